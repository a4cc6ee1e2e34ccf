//! `bench`: measures the real gateway.

/// As in the gateway; what it is measured beside has the same.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use uketsuke_tests::bench::{BENCHES, Settings};

/// Measures speed and memory of the real gateway, prints tables, and ends with one line: `NAME: PASS|FAIL key=value …`.
/// PASS says that everything could be measured; whether the product's aims are met stands above it and in `aims_met`.
#[derive(Parser)]
#[command(max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    /// What to measure; see --list
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// List the benches
    #[arg(long)]
    list: bool,
    /// How long a patient looks at each screen before pressing something; 0 saturates the machine
    #[arg(long, value_name = "MS", default_value_t = 300)]
    pause_ms: u64,
    /// Rows of the queue of `drain` and `queue`, instead of 100,000 and 1,000,000
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The exit code for a command line that makes no sense.
const USAGE: u8 = 64;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        for bench in BENCHES {
            println!("{:<12} {}", bench.name, bench.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let name = arguments.name.unwrap_or_default();
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        eprintln!("there is no bench {name:?}; see --list");
        return Ok(ExitCode::from(USAGE));
    };
    let settings = Settings { pause: Duration::from_millis(arguments.pause_ms), rows: arguments.rows };
    bench.run(settings).finish(arguments.json.as_deref())
}
