//! SIGHUP and the configuration: what changed in it since the start is said, for only a restart reads it. The certificate files of the
//! line are read again by their own keeper.

use crate::central::Said;
use crate::config::Config;
use crate::health::Health;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

const PART: &str = "configuration";

/// From here on SIGHUP does not end `uketsuke run`. What it asks for is done anyway: nothing has been read yet. Other commands end when
/// their terminal does.
pub fn survive_early_hang_ups() {
    if std::env::args_os().nth(1).is_some_and(|command| command == "run") {
        // Without room for a handler `listen` fails a moment later, and says so.
        let _ = signal_hook::flag::register(SignalKind::hangup().as_raw_value(), Arc::default());
    }
}

/// SIGHUP, heard from the moment this exists.
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
                        health.tell(
                            PART,
                            true,
                            Said::new("ファイルのとおりに動いています", "the one in the file runs"),
                        );
                    } else {
                        let sections = changed.join(", ");
                        tracing::warn!(sections, "the configuration changed; it is read at a restart only");
                        let said = Said::new(
                            format!("起動してから {sections} が変わりました。使うには再起動してください"),
                            format!("changed since the start: {sections}; restart to use it"),
                        );
                        health.tell(PART, false, said);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the configuration cannot be used; the one that runs stays");
                    let said = Said::new(
                        format!("ファイルが使えません。次の再起動の前に直してください({error})"),
                        format!("the file cannot be used, mend it before the next restart: {error}"),
                    );
                    health.tell(PART, false, said);
                }
            }
        }
    });
}
