//! The store as commands open it: for reading, also while a gateway runs.

use crate::config::{Config, ConfigError};
use crate::exit;
use crate::store::{KeyError, Keys, OpenError, Store, StoreConfig, StoreError};
use std::path::Path;

/// Opens the store for reading, also while a gateway runs.
pub(super) async fn open_store(config: &Path) -> Result<Store, Error> {
    let config = Config::load(config)?;
    let keys = Keys::load(&config.store.key_file)?;
    Ok(Store::open_read_only(&StoreConfig::new(&config.store.path), keys).await?)
}

/// Why the store could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Keys(#[from] KeyError),
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Error {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => exit::CONFIG,
            Self::Keys(error) => crate::app::keys_exit_code(error),
            Self::Open(_) | Self::Store(_) => exit::STORE,
        }
    }
}
