//! The configuration as text: read from its files, or from what was kept of the last one that ran here.
//!
//! Promises:
//! * What ran is kept sealed in the database, and beside the main file a small plain file says which database and key file that is:
//!   both are known only from the configuration itself.
//! * A configuration that cannot be used is replaced by the one that ran last, never by a guess.

use super::{Config, ConfigError, Problem, Terminal, validate};
use crate::central::Said;
use crate::encoding;
use crate::named_file::{self, BYTES_MAX, Unread};
use crate::store::{Keeping, KeptName, Keys, LockHolder, OpenError, Store, StoreConfig, StoreError};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Folder beside the main file with one file per terminal.
const TERMINALS_DIR: &str = "terminals.d";

/// One file's text and name, so that an error can point into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(&self.text).map_err(|error| ConfigError::from_toml(&self.path, &self.text, &error))
    }

    fn locate(&self, problem: Problem) -> ConfigError {
        ConfigError::from_problem(&self.path, &self.text, problem)
    }

    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let unfit = |what: Said| ConfigError::Unfit { path: path.to_owned(), what };
        let bytes = named_file::read(path, BYTES_MAX).map_err(|unread| match unread {
            Unread::Io(source) => ConfigError::Unreadable { path: path.to_owned(), source },
            Unread::Unfit(what) => unfit(what),
        })?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if let Some(said) = encoding::zeros(bytes).or_else(|| encoding::utf16(bytes)) {
            return Err(unfit(said));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { path: path.to_owned(), text: text.to_owned() }),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(unfit(Said::new(
                    format!("{line}行目がUTF-8ではありません(Shift_JIS かもしれません)。UTF-8で保存し直してください"),
                    format!("line {line} is not UTF-8, perhaps Shift_JIS (CP932); save the file as UTF-8"),
                )))
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

/// Where the last configuration that ran is kept, and where its pages were: all that is known before the database can be read.
#[derive(Serialize, Deserialize)]
pub struct LastRun {
    store: PathBuf,
    key_file: PathBuf,
    /// Where its pages were. Earlier versions wrote neither this nor the number of readers.
    #[serde(default)]
    pub web: Option<SocketAddr>,
    /// How many readers it had.
    #[serde(default)]
    pub readers: usize,
}

/// Why the configuration that last ran cannot be read.
#[derive(Debug, Error)]
pub enum FormerError {
    /// Its keys, or its database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What the database keeps.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// None was kept in words that this version knows.
    #[error("the database keeps no configuration")]
    None,
}

impl LastRun {
    /// What the configuration of this path left when it last ran; `None` when none did.
    pub fn of(main: &Path) -> Option<Self> {
        serde_json::from_slice(&named_file::read(&pointer(main), BYTES_MAX).ok()?).ok()
    }

    /// The files of that configuration. A program that keeps the whole database for itself is an error, or waited for and told.
    ///
    /// # Errors
    /// [`FormerError`].
    pub async fn former(self, told: Option<&watch::Sender<Option<LockHolder>>>) -> Result<Former, FormerError> {
        let keys = Keys::load(&self.key_file).map_err(OpenError::from)?;
        let config = StoreConfig::new(&self.store);
        let kept = loop {
            let store = match told {
                Some(told) => Store::open_read_only_telling(&config, keys.clone(), told).await?,
                None => Store::open_read_only(&config, keys.clone()).await?,
            };
            let kept = store.kept(KeptName::Configuration).await;
            // Closed before the gateway opens the same database for good.
            let _ = store.close().await;
            match kept {
                // A lock that came just after the opening: opening waits for it.
                Err(StoreError::Busy) if told.is_some() => {}
                kept => break kept?,
            }
        };
        let files = kept.and_then(|kept| serde_json::from_slice(&kept).ok()).ok_or(FormerError::None)?;
        Ok(Former { files, store: self.store })
    }
}

/// Beside the main file, under its name.
fn pointer(main: &Path) -> PathBuf {
    let mut name = main.as_os_str().to_owned();
    name.push(".former");
    PathBuf::from(name)
}

impl Files {
    /// Reads the main file and those of `terminals.d/`.
    ///
    /// # Errors
    /// [`ConfigError`] names the file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let main = Source::read(path)?;
        let terminals = terminal_files(path)?.iter().map(|file| Source::read(file)).collect::<Result<_, _>>()?;
        Ok(Self { main, terminals })
    }

    /// Checks what the files say.
    ///
    /// # Errors
    /// [`ConfigError`] names file, line, key, value and the fix of the first thing that is wrong.
    pub fn parse(&self) -> Result<Config, ConfigError> {
        let main = &self.main;
        let mut config: Config = main.parse()?;
        validate::main(&config).map_err(|problem| main.locate(problem))?;
        for source in &self.terminals {
            let terminal: Terminal = source.parse()?;
            validate::terminal(&terminal, &config.terminals, "").map_err(|problem| source.locate(problem))?;
            config.terminals.push(terminal);
        }
        if config.terminals.is_empty() {
            return Err(main.locate(Problem {
                key: "terminal".into(),
                what: "no terminal is configured".into(),
                fix: format!("add a [[terminal]] table here, or a file to {TERMINALS_DIR}/"),
            }));
        }
        config.resolve_paths(main.path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

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
        let place = LastRun {
            store: absolute(&config.store.path)?,
            key_file: absolute(&config.store.key_file)?,
            web: Some(config.web.listen),
            readers: config.readers().count(),
        };
        let text = serde_json::to_string(&place).map_err(|error| error.to_string())?;
        let path = pointer(&self.main.path);
        if named_file::read(&path, BYTES_MAX).is_ok_and(|there| *there == *text.as_bytes()) {
            return Ok(());
        }
        let draft = path.with_extension("former.new");
        let written = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &path));
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

/// Files beside those of the terminals that look like one to a person, and are not read for their name: `desk-2.toml.txt`, `desk-2.conf`.
/// Hidden files and the copies that editors leave are not meant.
pub fn left_out(main: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(main.parent().unwrap_or(Path::new("")).join(TERMINALS_DIR));
    let named = |path: &Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let copied = name.starts_with('.') || ["~", ".bak", ".orig", ".swp"].iter().any(|end| name.ends_with(end));
        !copied && !is_terminal(path) && path.is_file()
    };
    let mut left_out: Vec<_> = entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    left_out.retain(|path| named(path));
    left_out.sort();
    left_out
}

fn is_terminal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

fn terminal_files(main: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = main.parent().unwrap_or(Path::new("")).join(TERMINALS_DIR);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ConfigError::Unreadable { path: folder, source }),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| ConfigError::Unreadable { path: folder.clone(), source })?.path();
        if is_terminal(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
