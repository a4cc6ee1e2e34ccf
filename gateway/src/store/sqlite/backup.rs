//! A copy of the store while it is in use.

use super::files::{create_private, sync_copy};
use super::open::{read_options, started};
use crate::store::keys::{Keys, id_word};
use crate::store::{OpenError, StoreConfig};
use serde::Serialize;
use sqlx::{ConnectOptions, Connection};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// The copied database; its side file lies beside it.
    pub database: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Commits that it holds.
    pub commits: i64,
    /// The keys that it is sealed with. Without the key file that holds all of them nothing personal in it can be read.
    pub key_ids: Vec<String>,
}

/// Why there is no copy. What was begun is left in the folder, without a side file, so that no gateway starts with it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store itself.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file operation failed.
    #[error("cannot back up to {}: cannot {doing}: {source}", to.display())]
    Io {
        /// The folder.
        to: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// There is something in the folder.
    #[error("cannot back up to {}: there is a file {name} in it already; give each backup a folder of its own", to.display())]
    Taken {
        /// The folder.
        to: PathBuf,
        /// The file.
        name: String,
    },
    /// The copy is not sound.
    #[error("cannot back up to {}: {why}; nothing there is to be used", to.display())]
    Copy {
        /// The folder.
        to: PathBuf,
        /// What went wrong.
        why: String,
    },
}

/// Copies the database into a folder as it is at this moment, with a side file that fits, and proves that the copy opens. Also while a
/// gateway runs, which is not held up: the copy is one long read.
pub(in crate::store) async fn backup(config: &StoreConfig, keys: Keys, to: &Path) -> Result<BackedUp, BackupError> {
    super::open::for_reading(config, &keys).await?;
    let io = |doing| move |source| BackupError::Io { to: to.to_owned(), doing, source };
    let wrong = |why: String| BackupError::Copy { to: to.to_owned(), why };
    let name = config.path.file_name().unwrap_or_default();
    let copy = to.join(name);
    fs::create_dir_all(to).map_err(io("make the folder"))?;
    for taken in [&copy, &crate::store::beside(&copy, "head")] {
        if taken.exists() {
            let name = taken.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(BackupError::Taken { to: to.to_owned(), name });
        }
    }
    // Made here for its permissions; an empty file is taken as none.
    create_private(&copy).map_err(io("create the copy"))?;
    let mut conn = read_options(config).connect().await.map_err(|error| wrong(error.to_string()))?;
    let copied = sqlx::query("VACUUM INTO ?").bind(copy.display().to_string()).execute(&mut conn).await;
    copied.map_err(|error| wrong(error.to_string()))?;
    let _ = conn.close().await;
    sync_copy(&copy).map_err(io("write the copy to disk"))?;
    let copied = StoreConfig { path: copy.clone(), ..config.clone() };
    let (commits, ids) = started(&copied, &keys).await?;
    super::open::for_reading(&copied, &keys).await?;
    let key_ids: Vec<String> = ids.iter().map(|id| id_word(id)).collect();
    let bytes = fs::metadata(&copy).map_err(io("look at the copy"))?.len();
    let done = BackedUp { database: copy, bytes, commits, key_ids };
    let words = serde_json::to_vec_pretty(&done).unwrap_or_default();
    let told = create_private(&to.join("backup.json")).and_then(|mut file| {
        file.write_all(&words)?;
        file.sync_all()
    });
    told.map_err(io("write down what it holds"))?;
    Ok(done)
}
