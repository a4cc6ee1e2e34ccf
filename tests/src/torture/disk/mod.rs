//! Campaigns that fail the disk under the store.

pub(super) mod bitflip;
pub(super) mod iofault;
pub mod load;
pub(super) mod powerloss;
mod scene;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own for one store: what the last one still closes, SQLite deletes by its path.
fn place(dir: &Path) -> std::io::Result<PathBuf> {
    static PLACES: AtomicU32 = AtomicU32::new(0);
    let folder = dir.join(format!("store-{}", PLACES.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// Empties a place. A file that its last store deletes at the same moment is no trouble, and what is left goes with the whole campaign.
fn clear(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    let _ = std::fs::remove_file(folder.with_extension("key"));
}
