//! Removing a store for good.

use super::sqlite::{index_of, leftovers, log_of};
use super::{Destination, KeyError, Keys, OpenError, OutboxCounts, Store, StoreConfig, StoreError, beside};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store is still there, or part of it.
#[derive(Debug, thiserror::Error)]
pub enum WipeError {
    /// Only a store that opens can tell that nothing in it is unsent.
    #[error(
        "{0}; a store that does not open may hold requests that were never sent: see `uketsuke queue rescue`, then remove its files by hand"
    )]
    Open(#[from] OpenError),
    /// It could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The central system does not know everything yet.
    #[error(
        "the store is not wiped: {pending} requests wait for the central system and {isolated} are set aside or held back; let the gateway send \
         them, or see `uketsuke queue`"
    )]
    Unsent {
        /// On their way.
        pending: u64,
        /// Held back.
        isolated: u64,
    },
    /// Somebody still sees to a reception.
    #[error("the store is not wiped: receptions are still to be settled; see `uketsuke cases`")]
    OpenCases,
    /// The keys are still there.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A file is still there.
    #[error("cannot remove {}: {source}; its keys are destroyed, so nothing personal in it can be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Destroys the keys and removes the database and what lies beside it; refused while a gateway runs, while anything is unsent, and while
/// a case is open. Returns what was removed.
pub async fn wipe(config: &StoreConfig, keys: Keys, key_file: &Path) -> Result<Vec<PathBuf>, WipeError> {
    // Open for writing: nobody else has it.
    let store = Store::open(config, keys).await?;
    let refused = unsent(&store).await;
    store.close().await?;
    refused?;
    Keys::destroy(key_file)?;
    let mut removed = vec![key_file.to_owned()];
    let beside = ["ballast", "control", "head", "head.new", "lock"].map(|suffix| beside(&config.path, suffix));
    let files = [config.path.clone(), log_of(&config.path), index_of(&config.path)].into_iter().chain(beside);
    for path in files.chain(leftovers(&config.path)) {
        match fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(WipeError::Io { path, source }),
        }
    }
    Ok(removed)
}

async fn unsent(store: &Store) -> Result<(), WipeError> {
    let OutboxCounts { pending, isolated, .. } = store.outbox_counts(Destination::Central).await?;
    if pending + isolated > 0 {
        return Err(WipeError::Unsent { pending, isolated });
    }
    if !store.open_cases(1).await?.is_empty() {
        return Err(WipeError::OpenCases);
    }
    Ok(())
}
