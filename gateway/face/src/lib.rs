//! Face verification: is the person in front of the camera the person on the card's photo?
//!
//! The way of a picture, one module a step: [`decode`] → [`detect`] → `align` → [`embed`] → [`mod@compare`] →
//! [`decide`]; [`quality`] says what the person could do better. [`Engine`] walks it, one per thread. [`models`]
//! verifies, rewrites and installs the two models and their runtime.
//!
//! What this crate promises:
//! - Pictures and templates live in memory only, are overwritten when dropped, and appear in no `Debug`, `Display`
//!   or error. Scratch memory inside the decoders and ONNX Runtime is theirs and is not wiped.
//! - Bytes from outside are measured before anything is allocated for them; a damaged picture is an error.
//! - Deciding is pure: no clock, no I/O, no randomness.
//!
//! It knows nothing of the gateway.

#[cfg(test)]
#[path = "../tests/assets/dir.rs"]
mod assets;

mod align;
pub mod compare;
pub mod decide;
pub mod decode;
pub mod detect;
pub mod embed;
pub mod engine;
pub mod image;
mod install;
mod manifest;
pub mod models;
mod onnx;
pub mod quality;
mod rewrite;
mod runtime;

pub use compare::{Score, compare};
pub use decide::{Decider, Decision, FrameResult, Thresholds};
pub use decode::{DecodeError, Limits};
pub use embed::Template;
pub use engine::{Engine, FaceError};
pub use image::Rgb;
pub use models::{ModelDir, ModelError};
pub use quality::Advice;
