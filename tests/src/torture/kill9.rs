//! `kill9`: the gateway dies by SIGKILL and comes back; nothing shown as done may be lost or done twice.
//!
//! It dies at random moments, also while it starts, and half of the time just as it has promised something to a patient: whatever is
//! shown before it is on disk is lost then.

use super::crowd::Crowd;
use super::line::UnsteadyLine;
use super::{Settings, aftermath};
use crate::report::{Report, quantile, rounded};
use crate::site::{Plan, Site};
use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, Instant};

/// Enough that a patient comes back now and then, and that most visits are of somebody else.
const PATIENTS: usize = 40;
/// Life of a gateway after it is ready.
const LIFE_MS: RangeInclusive<u64> = 50..=1_500;
/// How long a promise is waited for; with the line down and everybody choosing there may be none.
const PROMISE_WITHIN: Duration = Duration::from_secs(2);
/// Life of a gateway that dies while it starts.
const EARLY_LIFE_MS: RangeInclusive<u64> = 1..=200;
pub(super) fn run(dir: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let plan = Plan {
        terminals: ["desk-1", "desk-2", "desk-3", "desk-4"]
            .map(|desk| (desk.into(), vec!["a".into(), "b".into()]))
            .to_vec(),
        // Patients here do not dawdle, and a late answer is the interesting case.
        answer_deadline_ms: 600,
        ..Plan::default()
    };
    let mut site = Site::start(dir, plan)?;
    let crowd = {
        let _tasks = runtime.enter();
        Crowd::send(&site, PATIENTS, settings.seed)?
    };
    let line = UnsteadyLine::start(site.control.clone(), settings.seed)?;
    let killed = kill_again_and_again(&mut site, &crowd, settings, report)?;

    let modes = line.steady()?;
    aftermath::settle(&runtime, crowd, &mut site, report)?;
    report.figure("modes", modes);
    report.figure("killed_at_a_promise", killed.at_a_promise);
    report.figure("killed_while_starting", killed.early);
    report.figure("recovery_p50_ms", rounded(quantile(&killed.recoveries_ms, 0.50)));
    report.figure("recovery_p99_ms", rounded(quantile(&killed.recoveries_ms, 0.99)));
    Ok(())
}

struct Killed {
    /// From the last SIGKILL of a cycle to ready.
    recoveries_ms: Vec<f64>,
    early: u32,
    at_a_promise: u32,
}

fn kill_again_and_again(site: &mut Site, crowd: &Crowd, settings: Settings, report: &mut Report) -> Result<Killed> {
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let mut killed = Killed { recoveries_ms: Vec::new(), early: 0, at_a_promise: 0 };
    for cycle in 1..=settings.cycles {
        std::thread::sleep(Duration::from_millis(rng.random_range(LIFE_MS)));
        if !site.gateway()?.is_running() {
            report.fault(format!("the gateway ended by itself in cycle {cycle}"));
        }
        if rng.random() && crowd.wait_for_a_promise(PROMISE_WITHIN) {
            killed.at_a_promise += 1;
        }
        let mut since = Instant::now();
        site.kill_gateway()?;
        if rng.random_ratio(1, 4) {
            site.spawn_gateway()?;
            std::thread::sleep(Duration::from_millis(rng.random_range(EARLY_LIFE_MS)));
            since = Instant::now();
            site.kill_gateway()?;
            killed.early += 1;
        }
        site.start_gateway().with_context(|| format!("starting again in cycle {cycle}"))?;
        killed.recoveries_ms.push(since.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(killed)
}
