//! The configuration as text: read from its files, or from what was kept of the last one that ran here.
//!
//! Promises:
//! * What ran is kept sealed in the database, and beside the main file a small plain file says which database and key file that is:
//!   both are known only from the configuration itself.
//! * A configuration that cannot be used is replaced by the one that ran last, never by a guess.

use super::{Config, ConfigError, Problem, Terminal, validate};
use crate::encoding;
use crate::store::{Keeping, KeptName, Keys, Store, StoreConfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
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
