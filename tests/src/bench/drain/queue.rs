//! `queue`: start, append, drain and memory with a short queue and with a very long one beneath, side by side.

use super::backlog::Backlog;
use super::{deliver, plan};
use crate::bench::Settings;
use crate::bench::machine::resident_mib;
use crate::central::ModeSpec;
use crate::report::{Report, quantile, rounded};
use crate::site::Site;
use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Rows beneath those that are delivered.
const SHORT: u64 = 1_000;
const LONG: u64 = 1_000_000;
/// Rows that are delivered.
const DELIVERED: u64 = 20_000;
const STARTS: usize = 3;
const APPENDS: u64 = 5_000;
const CALLERS: usize = 64;
/// What the product aims at.
const MORE_MIB_MAX: f64 = 30.0;
/// Times on a machine with neighbours differ by this much anyway.
const FLAT: f64 = 1.3;

pub(in crate::bench) fn run(settings: Settings, report: &mut Report) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("uketsuke-bench-").tempdir()?;
    let runtime = Runtime::new()?;
    println!(
        "{:>10} {:>10} {:>10} {:>11} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "rows", "file MiB", "start ms", "appends/s", "drain/s", "CPU µs each", "RSS start", "RSS drain", "filled in s"
    );
    let short = measure(&folder.path().join("short"), &runtime, SHORT, report)?;
    let long = measure(&folder.path().join("long"), &runtime, settings.rows.unwrap_or(LONG), report)?;
    let start = long.start_ms / short.start_ms;
    let append = short.appends_per_s / long.appends_per_s;
    let drain = short.drain_per_s / long.drain_per_s;
    let more_mib = long.drain_mib - short.drain_mib;
    println!(
        "\nlong beside short: start {start:.2} ×, append {append:.2} × as long, drain {drain:.2} × as long, {more_mib:+.0} MiB"
    );
    let flat = [start, append, drain].iter().all(|ratio| *ratio <= FLAT) && more_mib <= MORE_MIB_MAX;
    println!(
        "aim: flat (within {FLAT} ×), and at most {MORE_MIB_MAX} MiB more: {}",
        if flat { "met" } else { "NOT met" }
    );
    for (key, value) in [("start", start), ("append", append), ("drain", drain)] {
        report.figure(format!("{key}_ratio"), (value * 100.0).round() / 100.0);
    }
    report.figure("more_rss_mib", rounded(Some(more_mib)));
    report.figure("aims_met", flat);
    Ok(())
}

struct Measured {
    start_ms: f64,
    appends_per_s: f64,
    drain_per_s: f64,
    drain_mib: f64,
}

fn measure(dir: &std::path::Path, runtime: &Runtime, beneath: u64, report: &mut Report) -> Result<Measured> {
    std::fs::create_dir_all(dir)?;
    let mut site = Site::start(dir, plan(1))?;
    site.stop_gateway()?;
    site.control.set_mode(&ModeSpec::new("down"))?;
    let backlog = Backlog::of(&site, false)?;
    let filling = Instant::now();
    let appends_per_s = runtime.block_on(async {
        let store = backlog.store().await?;
        backlog.add(&store, beneath + DELIVERED).await?;
        let begun = Instant::now();
        let (open, backlog) = (&store, &backlog);
        stream::iter(0..APPENDS)
            .map(|number| async move { anyhow::Ok(open.open_reception(backlog.opening(number)?).await?) })
            .buffer_unordered(CALLERS)
            .try_collect::<()>()
            .await?;
        let rate = APPENDS as f64 / begun.elapsed().as_secs_f64();
        store.close().await?;
        anyhow::Ok(rate)
    })?;
    let filled = filling.elapsed();
    let file_mib = std::fs::metadata(backlog.path())?.len() as f64 / 1_048_576.0;
    // The first one gives up the receptions that were open.
    let starts = (0..=STARTS).map(|_| start(&mut site)).collect::<Result<Vec<_>>>()?;
    let start_ms = quantile(&starts[1..], 0.5).context("it was started")?;
    site.start_gateway()?;
    std::thread::sleep(Duration::from_secs(1));
    let start_mib = resident_mib(site.gateway()?.pid())?;
    let (took, drain_mib, [cpu_us, _]) = deliver(&mut site, DELIVERED)?;
    site.kill_gateway()?;
    let drain_per_s = DELIVERED as f64 / took.as_secs_f64();
    println!(
        "{beneath:>10} {file_mib:>10.0} {start_ms:>10.0} {appends_per_s:>11.0} {drain_per_s:>12.0} {cpu_us:>12.0} {start_mib:>12.0} {drain_mib:>12.0} {:>12.0}",
        filled.as_secs_f64()
    );
    for (key, value) in [
        ("start_ms", start_ms),
        ("appends_per_s", appends_per_s.round()),
        ("drain_per_s", drain_per_s.round()),
        ("drain_cpu_us", cpu_us.round()),
        ("rss_mib", drain_mib),
    ] {
        report.figure(format!("r{beneath}_{key}"), rounded(Some(value)));
    }
    Ok(Measured { start_ms, appends_per_s, drain_per_s, drain_mib })
}

/// From spawning the process to its ready line, in milliseconds; then it is stopped.
fn start(site: &mut Site) -> Result<f64> {
    let took = site.start_gateway()?;
    site.stop_gateway()?;
    Ok(took.as_secs_f64() * 1000.0)
}
