//! The store as commands reach it: for reading, also while a gateway runs; for writing through the gateway, or alone.

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::exit;
use crate::operator::{self, Operator, Order, Told};
use crate::store::{
    self, BackupError, KeyError, Keys, OpenError, RescueError, Store, StoreConfig, StoreError, WipeError,
};
use std::path::Path;

/// Opens the store for reading, also while a gateway runs.
pub(super) async fn open_store(config: &Path) -> Result<Store, Error> {
    let (config, keys) = configured(config)?;
    Ok(Store::open_read_only(&StoreConfig::new(&config.store.path), keys).await?)
}

/// The configuration and the store's keys.
pub(super) fn configured(config: &Path) -> Result<(Config, Keys), Error> {
    let config = Config::load(config)?;
    let keys = Keys::load(&config.store.key_file)?;
    Ok((config, keys))
}

/// Has an order carried out: by the gateway that runs, or here while none does.
pub(super) async fn order(config: &Path, order: Order) -> Result<Told, Error> {
    let (config, keys) = configured(config)?;
    let path = &config.store.path;
    let told = if store::in_use(path) {
        operator::ask(path, order).map_err(Error::Gateway)?
    } else {
        // A command that only reads needs no database; one that writes does not make one.
        drop(Store::open_read_only(&StoreConfig::new(path), keys.clone()).await?);
        let store = Store::open(&StoreConfig::new(path), keys).await?;
        let clock = Clock::new(config.clock.synchronised_marker.clone());
        let told = Operator::new(store.clone(), config.store.key_file.clone(), clock).perform(order).await;
        store.close().await?;
        told
    };
    match told {
        Told::Refused { error } => Err(Error::Refused(error)),
        told => Ok(told),
    }
}

/// Why the store could not be asked, or did not do it.
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
    #[error("{0}")]
    Backup(#[from] BackupError),
    #[error("{0}")]
    Rescue(#[from] RescueError),
    #[error("{0}")]
    Wipe(#[from] WipeError),
    #[error("cannot ask the running gateway: {0}; look at its log, or stop it and ask again")]
    Gateway(std::io::Error),
    #[error("{0}")]
    Refused(String),
    #[error("there is no row {0} in the queue: it has its answer, or was never there; `uketsuke queue` lists them")]
    NoRow(i64),
}

impl Error {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => exit::CONFIG,
            Self::Keys(error) => crate::app::keys_exit_code(error),
            Self::Refused(_) | Self::NoRow(_) | Self::Wipe(WipeError::Unsent { .. } | WipeError::OpenCases) => {
                exit::FAILED
            }
            Self::Open(_) | Self::Store(_) | Self::Backup(_) | Self::Rescue(_) | Self::Wipe(_) => exit::STORE,
            Self::Gateway(_) => exit::GAVE_UP,
        }
    }
}
