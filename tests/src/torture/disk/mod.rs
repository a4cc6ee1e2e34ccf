//! Campaigns that fail the disk under the store.

pub mod load;
pub(super) mod powerloss;
mod scene;
mod witness;
