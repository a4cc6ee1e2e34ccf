//! `uketsuke run`

use super::{Common, fail, out};
use crate::app::{self, Origin, Ready};
use crate::config::{Config, ConfigError, Files, LastRun};
use crate::entrance::Door;
use crate::exit;
use crate::reload;
use clap::Args;
use std::path::Path;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    common: Common,
}

impl Run {
    pub(super) fn execute(self) -> u8 {
        let json = self.common.json;
        log_to_stderr(json);
        let runtime = || {
            // Cannot fail with this configuration unless the system is out of threads or descriptors.
            #[allow(clippy::expect_used, reason = "a process without a runtime can only end")]
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("worker")
                .enable_all()
                .build()
                .expect("the system has threads for two workers")
        };
        let system = actix::System::with_tokio_rt(runtime);
        // Before the configuration is read: what changes after that is heard.
        let hang_ups = match system.block_on(async { reload::listen() }) {
            Ok(hang_ups) => hang_ups,
            Err(error) => return fail(json, exit::GAVE_UP, &error),
        };
        let path = self.common.config;
        let read = Files::read(&path).and_then(|files| Ok((files.parse()?, files)));
        let (config, files, alarm, door) = match read {
            Ok((config, files)) => (config, files, None, None),
            Err(error) => match system.block_on(former(&path, &error)) {
                Last::Ran(ran) => {
                    let (config, files, door) = *ran;
                    (config, files, Some(error.said()), door)
                }
                Last::Nothing => return fail(json, exit::CONFIG, &error),
                Last::Asked => return exit::OK,
            },
        };
        let origin = Origin { path, files, alarm, hang_ups };
        let ready = |ready: &Ready| {
            if json {
                out::mention(&serde_json::json!({ "ready": "uketsuke", "web": ready.web.to_string() }));
            } else {
                out::mention(&format_args!("ready: http://{}/", ready.web));
            }
        };
        match system.block_on(app::run(config, origin, door, ready)) {
            Ok(code) => code,
            Err(error) => fail(json, error.exit_code(), &error),
        }
    }
}

/// The configuration that last ran here.
enum Last {
    /// It is there. The door is open, or was ready to be, where its pages were.
    Ran(Box<(Config, Files, Option<Door>)>),
    /// None did, or it cannot be read, which is logged.
    Nothing,
    /// A signal asked for the end while another program kept it from being read.
    Asked,
}

/// A program that keeps the database for itself is waited for: it stops no start. Meanwhile the pages are where they were last.
async fn former(path: &Path, why: &ConfigError) -> Last {
    let Some(last) = LastRun::of(path) else { return Last::Nothing };
    let reading = async |last: LastRun, told: &watch::Sender<_>| {
        let former = last.former(Some(told)).await.map_err(|error| error.to_string())?;
        Ok::<_, String>((former.files.parse().map_err(|error| error.to_string())?, former.files))
    };
    let mut door = last.web.and_then(|web| Door::at(web, None, last.readers).ok());
    let read = match &mut door {
        Some(door) => door.open_while(async |told: &_| reading(last, told).await).await,
        None => Some(reading(last, &watch::Sender::new(None)).await),
    };
    match read {
        Some(Ok((config, files))) => Last::Ran(Box::new((config, files, door))),
        Some(Err(error)) => {
            tracing::error!(%why, error, "neither this configuration nor the one that ran last can be used");
            Last::Nothing
        }
        None => {
            tracing::info!(%why, "stopped before the configuration that ran last could be read");
            Last::Asked
        }
    }
}

/// Logs go to standard error; `RUST_LOG` chooses what.
fn log_to_stderr(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        log.json().init();
    } else {
        log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}
