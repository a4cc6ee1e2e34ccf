//! `uketsuke run`

use super::{Common, fail, out};
use crate::app::{self, Origin, Ready};
use crate::config::{Config, Files};
use crate::exit;
use crate::reload;
use clap::Args;
use std::path::Path;
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
        let (config, files, alarm) = match read {
            Ok((config, files)) => (config, files, None),
            Err(error) => match system.block_on(former(&path)) {
                Some((config, files)) => (config, files, Some(error.to_string())),
                None => return fail(json, exit::CONFIG, &error),
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
        match system.block_on(app::run(config, origin, ready)) {
            Ok(code) => code,
            Err(error) => fail(json, error.exit_code(), &error),
        }
    }
}

/// The configuration that last ran here.
async fn former(path: &Path) -> Option<(Config, Files)> {
    let files = Files::former(path).await?.files;
    Some((files.parse().ok()?, files))
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
