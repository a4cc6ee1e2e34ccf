//! The card as a gateway uses it, against the virtual card and against cards that lie.
#![expect(clippy::unwrap_used, reason = "a scene that cannot be built is a failed test")]

mod chain;
mod damage;
mod photo;
mod pin;
mod read;
mod scene;
mod signature;
mod slot;
