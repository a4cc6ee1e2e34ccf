//! The configuration as text: read from its files, or from what was kept of the last one that ran here.
//!
//! Promises:
//! * What ran is kept sealed in the database, and beside the main file a small plain file says which database and key file that is:
//!   both are known only from the configuration itself.
//! * A configuration that cannot be used is replaced by the one that ran last, never by a guess.

use super::{Config, ConfigError};
use crate::encoding;
use crate::store::{Keeping, KeptName, Keys, Store, StoreConfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// One file's text and name, so that an error can point into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let encoding = |what: String| ConfigError::Encoding { path: path.to_owned(), what };
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if let Some(said) = encoding::utf16(bytes) {
            return Err(encoding(said.en));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { path: path.to_owned(), text: text.to_owned() }),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(encoding(format!("line {line} is not UTF-8, perhaps Shift_JIS (CP932); save the file as UTF-8")))
            }
        }
    }
}

/// The main file and those of the terminals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    pub(super) main: Source,
    pub(super) terminals: Vec<Source>,
}

/// The configuration that last ran.
pub struct Former {
    /// What it was read from.
    pub files: Files,
    /// The database that keeps it.
    pub store: PathBuf,
}

/// Where the last configuration that ran is kept.
#[derive(Serialize, Deserialize)]
struct Where {
    store: PathBuf,
    key_file: PathBuf,
}

/// Beside the main file, under its name.
fn pointer(main: &Path) -> PathBuf {
    let mut name = main.as_os_str().to_owned();
    name.push(".former");
    PathBuf::from(name)
}

impl Files {
    /// Keeps these files as the configuration that runs here. Writes nothing when they are kept already.
    ///
    /// # Errors
    /// In words: without them an unreadable configuration stops the next start.
    pub async fn keep(&self, config: &Config, store: &Store) -> Result<(), String> {
        let value = Zeroizing::new(serde_json::to_vec(self).map_err(|error| error.to_string())?);
        let kept = store.kept(KeptName::Configuration).await.map_err(|error| error.to_string())?;
        if kept.as_ref() != Some(&value) {
            let keeping = Keeping { name: KeptName::Configuration, value, trail: Vec::new() };
            store.keep(keeping).await.map_err(|error| error.to_string())?;
        }
        let absolute = |path: &Path| std::path::absolute(path).map_err(|error| error.to_string());
        let place = Where { store: absolute(&config.store.path)?, key_file: absolute(&config.store.key_file)? };
        let text = serde_json::to_string(&place).map_err(|error| error.to_string())?;
        let path = pointer(&self.main.path);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let draft = path.with_extension("former.new");
        let written = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &path));
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// The files of the configuration that last ran from `main`; `None` when none did, or when its store cannot be read.
    pub async fn former(main: &Path) -> Option<Former> {
        let place: Where = serde_json::from_str(&std::fs::read_to_string(pointer(main)).ok()?).ok()?;
        let keys = Keys::load(&place.key_file).ok()?;
        let store = Store::open_read_only(&StoreConfig::new(&place.store), keys).await.ok()?;
        let kept = store.kept(KeptName::Configuration).await.ok().flatten();
        // Closed before the gateway opens the same database for good.
        let _ = store.close().await;
        Some(Former { files: serde_json::from_slice(&kept?).ok()?, store: place.store })
    }
}
