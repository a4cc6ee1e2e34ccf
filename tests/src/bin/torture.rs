//! `torture`: runs one fault campaign.

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use uketsuke_tests::torture::{CAMPAIGNS, Settings};

/// Runs a fault campaign against the real gateway and ends with one line: `NAME: PASS|FAIL key=value …`.
#[derive(Parser)]
#[command(max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    /// The campaign; see --list
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// List the campaigns
    #[arg(long)]
    list: bool,
    /// Faults to inject; each campaign has its own default
    #[arg(long)]
    cycles: Option<u32>,
    /// What decides about the faults; without it one is drawn and printed
    #[arg(long)]
    seed: Option<u64>,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The exit code for a command line that makes no sense.
const USAGE: u8 = 64;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        for campaign in CAMPAIGNS {
            println!("{:<12} {} ({} cycles)", campaign.name, campaign.what, campaign.cycles);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let name = arguments.name.unwrap_or_default();
    let Some(campaign) = CAMPAIGNS.iter().find(|campaign| campaign.name == name) else {
        eprintln!("there is no campaign {name:?}; see --list");
        return Ok(ExitCode::from(USAGE));
    };
    let settings = Settings {
        cycles: arguments.cycles.unwrap_or(campaign.cycles),
        seed: arguments.seed.unwrap_or_else(rand::random),
    };
    campaign.run(settings).finish(arguments.json.as_deref())
}
