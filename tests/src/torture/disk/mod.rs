//! Campaigns that fail the disk under the store.

pub(super) mod bitflip;
pub(super) mod iofault;
pub mod load;
pub(super) mod powerloss;
mod scene;
mod witness;
