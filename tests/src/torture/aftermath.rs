//! What a campaign asks of a gateway once its faults are over.

use crate::site::Site;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long the queue may take to run empty once everything is up.
const DRAIN: Duration = Duration::from_secs(60);

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
