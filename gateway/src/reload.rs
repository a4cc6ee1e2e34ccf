//! SIGHUP and the configuration: what changed in it since the start is said, for only a restart reads it. The certificate files of the
//! line are read again by their own keeper.

use crate::config::Config;
use crate::health::Health;
use std::path::PathBuf;
use tokio::signal::unix::{Signal, SignalKind, signal};

const PART: &str = "configuration";

/// SIGHUP, heard from the moment this exists: without a listener it ends the process.
///
/// # Errors
/// The operating system's, when it has no room for a handler.
pub fn listen() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Compares the files with the configuration that runs, each time that it is asked.
pub fn watch(mut asked: Signal, path: PathBuf, running: Config, health: Health) {
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            let path = path.clone();
            let Ok(loaded) = tokio::task::spawn_blocking(move || Config::load(&path)).await else { continue };
            match loaded {
                Ok(now) => {
                    let changed = running.changed_sections(&now);
                    if changed.is_empty() {
                        tracing::info!("asked to read the configuration: it is the one that runs");
                        health.tell(PART, true, "the one in the file runs".into());
                    } else {
                        let sections = changed.join(", ");
                        tracing::warn!(sections, "the configuration changed; it is read at a restart only");
                        health.tell(PART, false, format!("changed since the start: {sections}; restart to use it"));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the configuration cannot be used; the one that runs stays");
                    health.tell(
                        PART,
                        false,
                        format!("the file cannot be used, mend it before the next restart: {error}"),
                    );
                }
            }
        }
    });
}
