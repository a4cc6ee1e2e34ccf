//! `uketsuke models`

use super::out::say;
use super::{Common, fail};
use crate::config::Config;
use crate::exit;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use uketsuke_face::{ModelDir, ModelError, models};

#[derive(Args)]
pub(super) struct Models {
    #[command(subcommand)]
    command: Command,
}

/// Where the models are.
#[derive(Args)]
struct Place {
    /// Folder of the installed models, instead of the configured face.models_dir
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Verify fetched models, rewrite them for this runtime, check that outputs agree, and install them
    Install {
        /// Folder with the fetched models and runtime (deploy/models fetches them)
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        common: Common,
    },
    /// Check the installed models against their record
    Verify {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        common: Common,
    },
    /// List models, where they come from, and their state
    Ls {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        common: Common,
    },
}

impl Models {
    pub(super) fn execute(self) -> u8 {
        match self.command {
            Command::Install { from, place, common } => with_dir(&common, place, |dir| {
                let report = models::install(&from, dir.path())?;
                for file in &report.files {
                    if !common.json {
                        say!("installed {} ({} bytes)", file.file, file.bytes);
                    }
                }
                print_json(&common, &report);
                Ok(exit::OK)
            }),
            Command::Verify { place, common } => with_dir(&common, place, |dir| {
                let report = models::verify(dir)?;
                if !common.json {
                    say!("{} files as installed in {}", report.files.len(), dir.path().display());
                }
                print_json(&common, &report);
                Ok(exit::OK)
            }),
            Command::Ls { place, common } => with_dir(&common, place, |dir| list(&common, dir)),
        }
    }
}

fn list(common: &Common, dir: &ModelDir) -> Result<u8, ModelError> {
    let listed = models::list(dir)?;
    let all_good = listed.iter().all(|model| model.state.is_ok());
    for model in listed {
        let state = model.state.as_ref().map_or_else(|error| format!("not usable: {error}"), |_| "ok".to_owned());
        if common.json {
            say!(
                "{}",
                serde_json::json!({
                    "role": model.role, "name": model.name, "licence": model.licence, "origin": model.origin,
                    "path": model.path, "state": state,
                })
            );
        } else {
            say!(
                "{:<9}  {}  [{}; {}]\n           {}: {state}",
                model.role.to_string(),
                model.name,
                model.licence,
                model.origin,
                model.path.display()
            );
        }
    }
    Ok(if all_good { exit::OK } else { exit::FAILED })
}

fn print_json(common: &Common, report: &models::Report) {
    if common.json {
        say!("{}", serde_json::json!(report));
    }
}

fn with_dir(common: &Common, place: Place, work: impl FnOnce(&ModelDir) -> Result<u8, ModelError>) -> u8 {
    let dir = match place.dir {
        Some(dir) => dir,
        None => match Config::load(&common.config) {
            Ok(config) => config.face.models_dir,
            Err(error) => return fail(common.json, exit::CONFIG, &error),
        },
    };
    match work(&ModelDir::new(dir)) {
        Ok(code) => code,
        Err(error) => fail(common.json, exit::FAILED, &error),
    }
}
