//! The command line.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod backup;
mod cases;
mod check;
mod clock;
mod explain;
mod keys;
mod models;
mod out;
mod queue;
mod rules;
mod run;
mod store;

use clap::{Args, Parser, Subcommand, ValueEnum};
use out::say;
use std::path::PathBuf;
use std::process::ExitCode;
use uketsuke_core::explain::Lang as CoreLang;

/// Uketsuke (受付): the edge gateway of a clinic network.
///
/// Receives patients with the My Number Card at this site: drives the readers, verifies the person, asks the central eligibility
/// system, and goes on when a line or a machine fails.
#[derive(Parser)]
#[command(name = "uketsuke", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT
    Run(run::Run),
    /// Check configuration, files, store, models and the line, and say what to mend
    Check(check::Check),
    /// Install, verify and list the face models
    Models(models::Models),
    /// Copy the store to a folder, also while the gateway runs
    Backup(backup::Backup),
    /// Show or replace the key that personal values are sealed with
    Keys(keys::KeysCommand),
    /// Show whether the clock is believed, or confirm the date, so that what is older than its limit is deleted
    Clock(clock::ClockCommand),
    /// Show what waits for the central system, and see to single rows
    Queue(queue::Queue),
    /// Show the receptions whose insurance is still to be settled: whose turn it is, until when, and what to do
    Cases(cases::Cases),
    /// Tell what happened in a reception and what to do next
    Explain(explain::Explain),
    /// Tell which rules hold at the desk on a day, and what changes next
    Rules(rules::Rules),
}

/// Options of every command that reads the configuration.
#[derive(Args)]
struct Common {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/uketsuke/uketsuke.toml")]
    config: PathBuf,
    /// Print JSON for programs instead of text for people
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lang {
    Ja,
    En,
}

impl From<Lang> for CoreLang {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Ja => Self::Ja,
            Lang::En => Self::En,
        }
    }
}

/// Parses the arguments, runs the command, and returns its exit code.
pub fn main() -> ExitCode {
    // One provider for everything that speaks TLS; a second install can only mean that somebody was faster with the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let code = match Cli::parse_or_exit() {
        Command::Run(run) => run.execute(),
        Command::Check(check) => check.execute(),
        Command::Models(models) => models.execute(),
        Command::Backup(backup) => backup.execute(),
        Command::Keys(keys) => keys.execute(),
        Command::Clock(clock) => clock.execute(),
        Command::Queue(queue) => queue.execute(),
        Command::Cases(cases) => cases.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::Rules(rules) => rules.execute(),
    };
    ExitCode::from(code)
}

impl Cli {
    /// As clap does it, but wrong usage is exit code 64, not clap's 2.
    fn parse_or_exit() -> Command {
        match Self::try_parse() {
            Ok(cli) => cli.command,
            Err(error) => {
                let _ = error.print();
                let code = if error.use_stderr() { crate::exit::CONFIG } else { crate::exit::OK };
                std::process::exit(i32::from(code));
            }
        }
    }
}

/// A current-thread runtime for commands that ask one thing and end.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, std::io::Error> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

/// Asks one thing, prints what came of it for people or programs, and tells the exit code.
fn ended<T: serde::Serialize>(
    json: bool,
    asked: impl Future<Output = Result<T, store::Error>>,
    text: impl FnOnce(&T) -> String,
) -> u8 {
    match block_on(asked) {
        Ok(Ok(told)) if json => out::say!("{}", serde_json::json!(told)),
        Ok(Ok(told)) => out::say!("{}", text(&told)),
        Ok(Err(error)) => return fail(json, error.exit_code(), &error),
        Err(error) => return fail(json, crate::exit::GAVE_UP, &error),
    }
    crate::exit::OK
}

/// Prints an error for people on standard error, and for programs on standard output.
fn fail(json: bool, code: u8, error: &dyn std::fmt::Display) -> u8 {
    if json {
        say!("{}", serde_json::json!({ "error": error.to_string(), "exit": code }));
    } else {
        out::complain(error);
    }
    code
}
