//! The model manifest `config/models.toml`, built into the binary.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::models::{ModelError, Role};

/// Part of the binary on purpose: what may run is decided when the gateway is built, not by a file at the site.
const MANIFEST: &str = include_str!("../../../config/models.toml");

/// One file of the manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestFile {
    pub(crate) role: Role,
    /// Path below the directory that `deploy/models` fills.
    pub(crate) source: String,
    /// Name in the directory the engine loads from.
    pub(crate) installed: String,
    /// SHA-256 of the source, lower-case hexadecimal.
    pub(crate) sha256: String,
    pub(crate) name: String,
    pub(crate) licence: String,
    pub(crate) origin: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    file: Vec<ManifestFile>,
}

/// Every file of the manifest, in its order.
pub(crate) fn files() -> Result<&'static [ManifestFile], ModelError> {
    static FILES: OnceLock<Result<Vec<ManifestFile>, String>> = OnceLock::new();
    FILES
        .get_or_init(|| {
            toml::from_str::<Manifest>(MANIFEST).map(|manifest| manifest.file).map_err(|error| error.to_string())
        })
        .as_deref()
        .map_err(|reason| ModelError::Manifest(reason.clone()))
}

/// The one file of a role.
pub(crate) fn file(role: Role) -> Result<&'static ManifestFile, ModelError> {
    let found = files()?.iter().find(|file| file.role == role);
    found.ok_or_else(|| ModelError::Manifest(format!("no file has the role {role}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_each_role_once_with_a_full_checksum() {
        let roles: Vec<_> = files().unwrap().iter().map(|file| file.role).collect();
        assert_eq!(roles, [Role::Detector, Role::Embedder, Role::Runtime]);
        for file in files().unwrap() {
            assert!(file.sha256.len() == 64 && file.sha256.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')));
        }
    }
}
