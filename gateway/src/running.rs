//! What the gateway that runs uses, told to other processes: `uketsuke check` judges the files, which may have changed since.

use crate::central::{FormerUse, LinkStatus, Said};
use crate::config::Files;
use crate::telemetry::MqttStatus;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// At the moment of asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// When it read its configuration; milliseconds since 1970.
    pub started_ms: i64,
    /// The main file of the configuration that it was started with.
    pub path: PathBuf,
    /// The configuration that it uses.
    pub files: Files,
    /// Why that is not the one in the file; `None` when it was, at the start.
    pub alarm: Option<String>,
    /// On the line.
    pub line: LineMaterial,
    /// With the broker; `None` while telemetry is switched off.
    #[serde(default)]
    pub broker: Option<WithBroker>,
}

/// How it stands with the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithBroker {
    /// Whether state reaches it.
    pub ok: bool,
    /// In a sentence.
    pub said: Said,
}

impl WithBroker {
    /// As telemetry says of itself.
    pub fn of(mqtt: &MqttStatus) -> Option<Self> {
        mqtt.enabled.then(|| Self { ok: mqtt.ok(), said: mqtt.said() })
    }
}

/// What the line uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineMaterial {
    /// When it was taken into use; `None` while nothing can be used.
    pub taken_ms: Option<i64>,
    /// What stands in for files.
    pub former: Option<FormerUse>,
    /// Why the files as they are now are not used.
    pub refused: Option<Said>,
    /// Why they could not be tried yet.
    pub untried: Option<Said>,
    /// What receptions meet on the line; `None` while it works.
    #[serde(default)]
    pub trouble: Option<Said>,
}

impl LineMaterial {
    /// As the line says of itself.
    pub fn of(link: &LinkStatus) -> Self {
        Self {
            taken_ms: link.taken_ms,
            former: link.former.clone(),
            refused: link.refused.clone(),
            untried: link.untried.clone(),
            trouble: link.trouble(),
        }
    }
}
