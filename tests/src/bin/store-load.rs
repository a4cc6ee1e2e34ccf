//! `store-load`: a store under load in a process of its own, whose disk somebody else makes fail.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use uketsuke_tests::torture::disk::load::{self, Load};

/// Writes receptions to a store and prints each promise that it gives. Ends with 0 when everything was written, with 74 when the store
/// failed.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Arguments {
    /// The folder of the store; its key file lies beside it
    #[arg(long)]
    dir: PathBuf,
    /// The number of the first reception
    #[arg(long, default_value_t = 0)]
    first: u32,
    /// Receptions to write, those before the first included
    #[arg(long, default_value_t = 100)]
    receptions: u32,
    /// Readers that write at the same time
    #[arg(long, default_value_t = 4)]
    readers: u32,
    /// Size of the reserve for a full disk, in bytes
    #[arg(long, default_value_t = 0)]
    ballast_bytes: usize,
    /// End without closing the store, as a killed process does
    #[arg(long)]
    abort: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { dir, first, receptions, readers, ballast_bytes, abort } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(load::run(&dir, Load { first, receptions, readers, ballast_bytes, abort }))?;
    Ok(ExitCode::from(code))
}
