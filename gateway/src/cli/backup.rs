//! `uketsuke backup`

use super::store::{Error, configured};
use super::{Common, ended};
use crate::store::{Store, StoreConfig};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Backup {
    /// The folder for the copy, one for each backup; made where there is none
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Backup {
    pub(super) fn execute(self) -> u8 {
        ended(
            self.common.json,
            async {
                let (config, keys) = configured(&self.common.config)?;
                let done = Store::backup(&StoreConfig::new(&config.store.path), keys, &self.to).await?;
                Ok::<_, Error>((done, config.store.key_file))
            },
            |(done, key_file)| {
                format!(
                    "{} ({} bytes) opens and is sound.\nThe keys are not in it. Keep a copy of {} of this moment (key {}) in another place: without it \
                     nothing personal in the backup can be read, and whoever has both can read everything.\nTo restore: stop the gateway, put the \
                     database and its .head file in place of the present ones, remove a -wal file that lies beside them, put back the key file, start.",
                    done.database.display(),
                    done.bytes,
                    key_file.display(),
                    done.key_ids.join(", "),
                )
            },
        )
    }
}
