//! What a campaign asks of a gateway once its faults are over.

use super::crowd::Crowd;
use super::journal::Journal;
use super::judge;
use crate::report::Report;
use crate::site::Site;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long the queue may take to run empty once everything is up.
const DRAIN: Duration = Duration::from_secs(60);

/// Everybody goes home, the queue runs empty, the gateway stops in order; then what was shown is compared with what was done. Returns
/// what was shown, which is kept in the site's folder too.
pub(super) fn settle(runtime: &Runtime, crowd: Crowd, site: &mut Site, report: &mut Report) -> Result<Journal> {
    let journal = runtime.block_on(crowd.go_home())?;
    std::fs::write(site.dir().join("journal.json"), serde_json::to_vec_pretty(&journal)?)?;
    let drained = wait_until_the_queue_is_empty(site)?;
    let ended = site.stop_gateway()?;
    if ended != Some(0) {
        report.fault(format!("the last gateway ended with {ended:?} when asked to stop"));
    }
    judge::judge(report, &journal, &site.control.ledger()?, &codes(site)?);
    let panics = std::fs::read_to_string(site.dir().join("gateway.log"))?.matches("panicked at").count();
    if panics > 0 {
        report.fault(format!("the gateway panicked {panics} times"));
    }
    report.figure("panics", panics);
    report.figure("drained_ms", drained.as_millis());
    Ok(journal)
}

/// A row that is refused for good or held back counts as waiting too: nothing here deserves it.
pub(super) fn wait_until_the_queue_is_empty(site: &Site) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let queue = ask(site, &["queue", "--json"])?;
        let counts = &queue.first().context("no answer")?["counts"];
        let waiting: Option<u64> = ["pending", "isolated", "rejected"].iter().map(|state| counts[state].as_u64()).sum();
        if waiting.context("the queue's counts are not numbers")? == 0 {
            return Ok(start.elapsed());
        }
        ensure!(start.elapsed() < DRAIN, "the queue is not empty after {DRAIN:?}: {queue:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the gateway says about each reception that it knows, by id.
pub(super) fn codes(site: &Site) -> Result<HashMap<String, String>> {
    let told = ask(site, &["explain", "--json", "--limit", "1000000"])?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("not a text");
    told.iter().map(|told| Ok((text(&told["reception"])?, text(&told["explanation"]["code"])?))).collect()
}

/// Runs a command of the gateway's binary; returns its lines of JSON.
pub(super) fn ask(site: &Site, arguments: &[&str]) -> Result<Vec<Value>> {
    let (code, text) = site.ask(arguments)?;
    ensure!(code == Some(0), "uketsuke {arguments:?} ended with {code:?}: {text}");
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))).collect()
}
