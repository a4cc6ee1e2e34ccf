//! `uketsuke keys`

use super::store::{Error, configured, order};
use super::{Common, ended};
use crate::operator::{Order, Told};
use clap::{Args, Subcommand};

#[derive(Args)]
pub(super) struct KeysCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Replace the key that personal values are sealed with, also while the gateway runs; killed at any point, it goes on when it is
    /// called again or the gateway starts. Back the key file up anew afterwards
    Rotate {
        #[command(flatten)]
        common: Common,
    },
    /// Show the id of the key that seals, and whether it is being replaced
    Show {
        #[command(flatten)]
        common: Common,
    },
}

impl KeysCommand {
    pub(super) fn execute(self) -> u8 {
        match self.action {
            Action::Rotate { common } => {
                ended(common.json, async { order(&common.config, Order::RotateKeys).await }, |told| match told {
                    Told::Rotated(rotated) => {
                        let begun = if rotated.resumed { "A rotation that was cut short was finished" } else { "Done" };
                        let mut text = format!(
                            "{begun}: everything is sealed with key {}; {} rows were sealed anew.",
                            rotated.key, rotated.resealed
                        );
                        if rotated.unreadable > 0 {
                            text += &format!(
                                "\n{} rows hold a value that no key opens; they stay as they are (uketsuke queue rescue names them).",
                                rotated.unreadable
                            );
                        }
                        text + "\nBack up the key file now: a copy of before does not open this database."
                    }
                    _ => "Nothing was to be done.".to_owned(),
                })
            }
            Action::Show { common } => ended(
                common.json,
                async {
                    let (_, keys) = configured(&common.config)?;
                    let (key, former) = keys.ids();
                    Ok::<_, Error>(serde_json::json!({ "key": key, "former": former }))
                },
                |told| match told["former"].as_str() {
                    Some(former) => {
                        format!("key {} seals; key {former} is being replaced", told["key"].as_str().unwrap_or(""))
                    }
                    None => format!("key {} seals", told["key"].as_str().unwrap_or("")),
                },
            ),
        }
    }
}
