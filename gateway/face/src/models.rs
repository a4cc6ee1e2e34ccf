//! The models on disk: what is installed, and whether it is what it should be.
//!
//! A model directory holds the rewritten detector and embedder, the runtime library and `installed.json`, which
//! records from which sources they were made and what their bytes are. [`install`] writes it, [`verify`] checks it
//! at start, [`Engine::load`](crate::Engine::load) reads from it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use crate::install::install;
use crate::manifest;

/// Name of the record in a model directory.
pub(crate) const INSTALLED: &str = "installed.json";

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Finds faces and landmarks.
    Detector,
    /// Turns an aligned face into a template.
    Embedder,
    /// The library that runs both.
    Runtime,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detector => "detector",
            Self::Embedder => "embedder",
            Self::Runtime => "runtime",
        })
    }
}

/// Why models cannot be installed or used. Without them the face method is off; reception goes on with PIN and staff.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A source has not been fetched: run `deploy/models`.
    #[error("model source '{}' is missing; fetch it with deploy/models", path.display())]
    NotFetched {
        /// The file looked for.
        path: PathBuf,
    },
    /// An installed file is not there: install the models.
    #[error("model file '{}' is missing; install the models", path.display())]
    Missing {
        /// The file looked for.
        path: PathBuf,
    },
    /// A file's bytes are not the recorded ones: remove it, then fetch (a source) or install (an installed file) again.
    #[error("'{}' has SHA-256 {got}, expected {expected}; {remedy}", path.display())]
    WrongChecksum {
        /// The file.
        path: PathBuf,
        /// SHA-256 on record, hexadecimal.
        expected: String,
        /// SHA-256 of the file, hexadecimal.
        got: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The directory was installed from sources this version does not use: install the models again.
    #[error("'{}' was installed from other sources than this version uses; install the models again", path.display())]
    Outdated {
        /// The record.
        path: PathBuf,
    },
    /// `installed.json` cannot be read: install the models again.
    #[error("'{}' is not a record of installed models ({reason}); install the models again", path.display())]
    BadRecord {
        /// The record.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The runtime library cannot be loaded: it is for another platform, or damaged.
    #[error("runtime '{}' cannot be used: {reason}; fetch it again with deploy/models", path.display())]
    RuntimeUnusable {
        /// The library.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The runtime refuses a model: install the models again.
    #[error("model '{}' cannot be used: {reason}", path.display())]
    ModelUnusable {
        /// The model.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A rewritten model does not compute what its source computes: nothing was installed; report it.
    #[error("rewriting '{}' changed its results by {difference} (allowed {allowed}); nothing was installed", path.display())]
    Disagrees {
        /// The source.
        path: PathBuf,
        /// Largest difference, as a share of the largest result.
        difference: f32,
        /// Largest difference allowed.
        allowed: f32,
    },
    /// The built-in manifest is wrong: a defect of this version.
    #[error("the built-in model manifest is wrong: {0}")]
    Manifest(String),
    /// The file system refused: look at rights and free space.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// A directory with installed models; nothing is looked at before a path is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDir(PathBuf);

impl ModelDir {
    /// The directory `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn detector(&self) -> Result<PathBuf, ModelError> {
        self.existing(Role::Detector)
    }

    pub(crate) fn embedder(&self) -> Result<PathBuf, ModelError> {
        self.existing(Role::Embedder)
    }

    pub(crate) fn runtime(&self) -> Result<PathBuf, ModelError> {
        self.existing(Role::Runtime)
    }

    fn existing(&self, role: Role) -> Result<PathBuf, ModelError> {
        let path = self.0.join(&manifest::file(role)?.installed);
        if path.is_file() { Ok(path) } else { Err(ModelError::Missing { path }) }
    }
}

/// What [`install`] did and [`verify`] found: the content of `installed.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// One entry a file.
    pub files: Vec<InstalledFile>,
}

/// One installed file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstalledFile {
    /// What it is for.
    pub role: Role,
    /// Its name in the model directory.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// SHA-256 of the published file it was made from, hexadecimal.
    pub source_sha256: String,
    /// Largest difference between its results and the published model's, as a share of the largest result; 0 for
    /// the runtime, which is copied.
    pub difference: f32,
}

/// One line of [`list`].
#[derive(Debug)]
pub struct Listed {
    /// What it is for.
    pub role: Role,
    /// What it is.
    pub name: &'static str,
    /// Its licence (SPDX).
    pub licence: &'static str,
    /// Where it comes from.
    pub origin: &'static str,
    /// Where it is installed.
    pub path: PathBuf,
    /// SHA-256 of the installed file, or what is wrong with it.
    pub state: Result<String, ModelError>,
}

/// Checks every file of a model directory against its record, and the record against the built-in manifest.
///
/// Reads about 75 MB; call it at start, not for every engine.
///
/// # Errors
/// The first thing wrong: [`ModelError::Missing`], [`ModelError::BadRecord`], [`ModelError::Outdated`],
/// [`ModelError::WrongChecksum`], [`ModelError::Io`].
pub fn verify(dir: &ModelDir) -> Result<Report, ModelError> {
    let report = record(dir)?;
    for wanted in manifest::files()? {
        checked(dir, &report, wanted)?;
    }
    Ok(report)
}

/// Every file the engine needs with its origin, its licence and its state.
///
/// # Errors
/// [`ModelError::Manifest`]; whatever is wrong with single files is in their `state`.
pub fn list(dir: &ModelDir) -> Result<Vec<Listed>, ModelError> {
    let lines = manifest::files()?.iter().map(|wanted| Listed {
        role: wanted.role,
        name: &wanted.name,
        licence: &wanted.licence,
        origin: &wanted.origin,
        path: dir.path().join(&wanted.installed),
        state: record(dir).and_then(|report| checked(dir, &report, wanted)),
    });
    Ok(lines.collect())
}

fn record(dir: &ModelDir) -> Result<Report, ModelError> {
    let path = dir.path().join(INSTALLED);
    let text = read(&path)?;
    serde_json::from_slice(&text).map_err(|error| ModelError::BadRecord { path, reason: error.to_string() })
}

fn checked(dir: &ModelDir, report: &Report, wanted: &manifest::ManifestFile) -> Result<String, ModelError> {
    let outdated = || ModelError::Outdated { path: dir.path().join(INSTALLED) };
    let entry = report.files.iter().find(|entry| entry.role == wanted.role).ok_or_else(outdated)?;
    // The name in the record is not believed: only names of the manifest are opened.
    if entry.source_sha256 != wanted.sha256 || entry.file != wanted.installed {
        return Err(outdated());
    }
    let path = dir.path().join(&wanted.installed);
    check_sum(&path, &read(&path)?, &entry.sha256, "install the models again")?;
    Ok(entry.sha256.clone())
}

/// The bytes of an installed file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    // A pipe would keep whoever reads it waiting.
    let whole = || match fs::metadata(path)?.is_file() {
        true => fs::read(path),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    };
    whole().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ModelError::Missing { path: path.to_owned() },
        _ => ModelError::Io { action: "read", path: path.to_owned(), source },
    })
}

pub(crate) fn check_sum(path: &Path, bytes: &[u8], expected: &str, remedy: &'static str) -> Result<(), ModelError> {
    let got = sha256_hex(bytes);
    if got == expected {
        return Ok(());
    }
    Err(ModelError::WrongChecksum { path: path.to_owned(), expected: expected.to_owned(), got, remedy })
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
