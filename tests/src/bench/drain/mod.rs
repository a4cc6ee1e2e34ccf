//! `drain`: a queue left by an outage runs empty while patients come in. `queue`: whether a queue of a million rows costs more than one of a
//! thousand.

mod backlog;
mod patients;
pub(super) mod queue;

use super::Settings;
use super::machine::{cpu, resident_mib};
use crate::central::ModeSpec;
use crate::report::{Report, quantile, rounded};
use crate::site::{Plan, Site};
use anyhow::{Result, bail};
use backlog::Backlog;
use patients::{Met, Patients};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const ROWS: u64 = 100_000;
/// Patients without a queue are watched for so long.
const QUIET: Duration = Duration::from_secs(15);
/// The simulator's own time for a request at the most: it is drawn evenly from nothing to this.
const THINK_MS: u64 = 5;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Nothing delivered for so long: the drain has stopped.
const STUCK: Duration = Duration::from_secs(30);
/// What the product aims at.
const PER_S: f64 = 3_000.0;
const P95_MS: f64 = 50.0;

pub(super) fn run(settings: Settings, report: &mut Report) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("uketsuke-bench-").tempdir()?;
    let runtime = Runtime::new()?;
    let mut site = Site::start(folder.path(), plan(4))?;
    let quiet = runtime.block_on(async {
        let patients = Patients::come(&site, settings.pause)?;
        tokio::time::sleep(QUIET).await;
        patients.stop().await
    })?;
    println!(
        "\nA backlog is delivered while patients come in by PIN at 4 readers. Waits are from \"asking\" to the next screen."
    );
    println!("The simulator takes 0 to {THINK_MS} ms for each request and runs on the same machine.\n");
    println!(
        "{:<34} {:>8} {:>12} {:>9} {:>9} {:>9} {:>10} {:>10} {:>12} {:>14}",
        "", "rows", "requests/s", "p50 ms", "p95 ms", "p99 ms", "patients", "RSS MiB", "CPU µs each", "simulator's"
    );
    let idle_mib = resident_mib(site.gateway()?.pid())?;
    tell(report, "no queue", "quiet", None, &quiet, idle_mib);
    let mut aims = Vec::new();
    for (what, key, with_cases) in [("backlog", "plain", false), ("backlog, each with its case", "cases", true)] {
        let rows = settings.rows.unwrap_or(if with_cases { ROWS / 4 } else { ROWS });
        site.stop_gateway()?;
        let drained = drain(&mut site, &runtime, rows, with_cases, settings.pause)?;
        let p95 = tell(report, what, key, Some(&drained), &drained.met, drained.most_mib);
        aims.push((what, drained.per_s(), p95));
    }
    println!();
    let mut met = 0;
    for (what, per_s, p95) in aims {
        let good = per_s >= PER_S && p95.is_some_and(|p95| p95 <= P95_MS + THINK_MS as f64);
        met += u32::from(good);
        println!(
            "aim: {what}: ≥ {PER_S} requests/s, p95 ≤ {P95_MS} ms + {THINK_MS} ms of the central system: {}",
            if good { "met" } else { "NOT met" }
        );
    }
    report.figure("aims_met", format!("{met}/2"));
    Ok(())
}

fn plan(readers: usize) -> Plan {
    let readers = ["a", "b", "c", "d"][..readers].iter().map(|reader| (*reader).to_owned()).collect();
    Plan { terminals: vec![("desk-1".into(), readers)], think_ms: THINK_MS, ..Plan::default() }
}

/// What came of a drain.
struct Drained {
    rows: u64,
    /// From the line's return to the last of them, the probe that notices it included.
    took: Duration,
    most_mib: f64,
    /// Processor time for each of them: of the gateway and of the simulator.
    cpu_us: [f64; 2],
    met: Met,
}

impl Drained {
    fn per_s(&self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64()
    }
}

fn tell(
    report: &mut Report,
    what: &str,
    key: &str,
    drained: Option<&Drained>,
    met: &Met,
    most_mib: f64,
) -> Option<f64> {
    let quantiles = [0.50, 0.95, 0.99].map(|part| quantile(&met.waits_ms, part));
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    println!(
        "{what:<34} {:>8} {:>12} {:>9} {:>9} {:>9} {:>10} {most_mib:>10.0} {:>12} {:>14}",
        drained.map_or(0, |drained| drained.rows),
        drained.map_or_else(|| "-".to_owned(), |drained| format!("{:.0}", drained.per_s())),
        shown(quantiles[0]),
        shown(quantiles[1]),
        shown(quantiles[2]),
        met.waits_ms.len(),
        shown(drained.map(|drained| drained.cpu_us[0])),
        shown(drained.map(|drained| drained.cpu_us[1])),
    );
    if let Some(drained) = drained {
        report.figure(format!("{key}_per_s"), drained.per_s().round());
        report.figure(format!("{key}_cpu_us"), drained.cpu_us[0].round());
        report.figure(format!("{key}_simulator_cpu_us"), drained.cpu_us[1].round());
    }
    for (name, value) in ["p50_ms", "p95_ms", "p99_ms"].iter().zip(quantiles) {
        report.figure(format!("{key}_{name}"), rounded(value));
    }
    report.figure(format!("{key}_rss_mib"), rounded(Some(most_mib)));
    report.figure(format!("{key}_unanswered"), met.unanswered);
    if met.waits_ms.len() <= met.unseen {
        report.fault(format!("{what}: {} waits measured, {} not seen", met.waits_ms.len(), met.unseen));
    }
    quantiles[1]
}

/// Fills the queue of a site whose gateway does not run, and lets it run empty.
fn drain(site: &mut Site, runtime: &Runtime, rows: u64, with_cases: bool, pause: Duration) -> Result<Drained> {
    let backlog = Backlog::of(site, with_cases)?;
    runtime.block_on(async {
        let store = backlog.store().await?;
        backlog.add(&store, rows).await?;
        anyhow::Ok(store.close().await?)
    })?;
    site.control.set_mode(&ModeSpec::new("down"))?;
    site.start_gateway()?;
    let patients = runtime.block_on(async { Patients::come(site, pause) })?;
    let (took, most_mib, cpu_us) = deliver(site, rows)?;
    let met = runtime.block_on(patients.stop())?;
    Ok(Drained { rows, took, most_mib, cpu_us, met })
}

/// Lets the line return and waits until so many requests were applied; how long that took, the most memory seen, and the processor time
/// for each of them, in microseconds, of the gateway and of the simulator.
fn deliver(site: &mut Site, rows: u64) -> Result<(Duration, f64, [f64; 2])> {
    let pid = site.gateway()?.pid();
    let pids = [pid, site.central_pid()?];
    let cpus = || pids.map(cpu).into_iter().collect::<Result<Vec<_>>>();
    let cpu_before = cpus()?;
    let before = site.control.stats()?.applied;
    site.control.set_mode(&ModeSpec::new("up"))?;
    let begun = Instant::now();
    let (mut applied, mut last, mut most_mib) = (0, Instant::now(), 0_f64);
    while applied < rows {
        std::thread::sleep(LOOK_EVERY);
        most_mib = most_mib.max(resident_mib(pid)?);
        let now = site.control.stats()?.applied - before;
        if now > applied {
            (applied, last) = (now, Instant::now());
        } else if last.elapsed() > STUCK {
            bail!("nothing was delivered for {STUCK:?}; {applied} of {rows} were");
        }
    }
    let took = begun.elapsed();
    let spent = |index: usize, now: &[Duration]| (now[index] - cpu_before[index]).as_secs_f64() * 1e6 / applied as f64;
    let now = cpus()?;
    Ok((took, most_mib, [spent(0, &now), spent(1, &now)]))
}
