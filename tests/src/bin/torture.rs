//! `torture`: runs one fault campaign.

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use uketsuke_tests::simulate::Guard;
use uketsuke_tests::torture::{CAMPAIGNS, Settings, Without};

/// Runs a fault campaign and ends with one line: `NAME: PASS|FAIL key=value …`.
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
    /// Take this guard out of the simulation, to see it fail: ack, ids, reception, order, deadline, t2, link or dots
    #[arg(long, value_name = "GUARD", value_parser = guard, conflicts_with = "guards")]
    without: Option<Guard>,
    /// Take each guard out of the simulation in turn: each has to be missed within the cycles
    #[arg(long)]
    guards: bool,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn guard(name: &str) -> Result<Guard, String> {
    let known = || Guard::ALL.iter().map(|guard| guard.name()).collect::<Vec<_>>().join(", ");
    Guard::from_name(name).ok_or_else(|| format!("there is no such guard; there are {}", known()))
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
    let without = match arguments.without {
        Some(guard) => Without::This(guard),
        None if arguments.guards => Without::Each,
        None => Without::Nothing,
    };
    if without != Without::Nothing && !campaign.guarded {
        eprintln!("{name} runs the real programs: no guard can be taken out of them");
        return Ok(ExitCode::from(USAGE));
    }
    let settings = Settings {
        without,
        cycles: arguments.cycles.unwrap_or(campaign.cycles),
        seed: arguments.seed.unwrap_or_else(rand::random),
    };
    campaign.run(settings).finish(arguments.json.as_deref())
}
