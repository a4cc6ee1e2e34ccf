//! `simulate`: many seeded worlds, each with every fault; no invariant may break.
//!
//! World `n` of a run has the seed `seed + n`, so `--seed S --cycles 1` replays the one that failed, event for event.

use super::{Settings, Without};
use crate::report::Report;
use crate::simulate::{Counts, Guard, Told, run as world};
use anyhow::Result;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Failed worlds that are told; one is enough to work with.
const TOLD_MAX: usize = 3;

pub(super) fn run(_: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    match settings.without {
        Without::Nothing => all_must_hold(settings, None, report),
        Without::This(guard) => all_must_hold(settings, Some(guard), report),
        Without::Each => each_must_be_missed(settings, report),
    }
    Ok(())
}

fn all_must_hold(settings: Settings, without: Option<Guard>, report: &mut Report) {
    let start = Instant::now();
    let sum = worlds(settings, without);
    let seconds = start.elapsed().as_secs_f64();
    if let Some(guard) = without {
        report.figure("without", guard.name());
    }
    report.figure("worlds", sum.worlds);
    report.figure("worlds_per_s", (f64::from(sum.worlds) / seconds).round());
    report.figure("broken", sum.failed.len());
    report.figure("worlds_with_crash", sum.with_crash);
    for (name, count) in sum.counts.table() {
        report.figure(name, count);
    }
    for failed in sum.failed {
        tell(&failed, without, report);
    }
}

/// Says which seed, which invariant, and what came before it.
fn tell(failed: &Told, without: Option<Guard>, report: &mut Report) {
    let retold = world(failed.seed, without, true);
    let option = without.map(|guard| format!(" --without {}", guard.name())).unwrap_or_default();
    println!("seed {}{option}: the last events", failed.seed);
    retold.trace.iter().for_each(|line| println!("  {line}"));
    let broken = failed.broken.as_deref().unwrap_or_default();
    report.fault(format!("seed {}{option}: {broken}", failed.seed));
    if (retold.hash, &retold.broken) != (failed.hash, &failed.broken) {
        report.fault(format!("seed {} does not replay: the simulation is not deterministic", failed.seed));
    }
}

fn each_must_be_missed(settings: Settings, report: &mut Report) {
    for guard in Guard::ALL {
        let seeds = (0..settings.cycles).map(|n| settings.seed.wrapping_add(n.into()));
        let red = seeds.map(|seed| world(seed, Some(*guard), false)).position(|told| told.broken.is_some());
        match red {
            Some(position) => {
                let seed = settings.seed.wrapping_add(position as u64);
                let broken = world(seed, Some(*guard), false).broken.unwrap_or_default();
                println!("without {}: seed {seed}, the {}. world: {broken}", guard.name(), position + 1);
                report.figure(format!("without_{}", guard.name()), position + 1);
            }
            None => report.fault(format!("nobody missed the guard {} in {} worlds", guard.name(), settings.cycles)),
        }
    }
}

/// Many worlds together.
#[derive(Default)]
struct Sum {
    worlds: u32,
    with_crash: u32,
    counts: Counts,
    failed: Vec<Told>,
}

/// Runs the worlds on as many threads as there are processors; stops early when enough have failed.
fn worlds(settings: Settings, without: Option<Guard>) -> Sum {
    let next = AtomicU32::new(0);
    let sum = Mutex::new(Sum::default());
    let locked = || sum.lock().unwrap_or_else(PoisonError::into_inner);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= settings.cycles || locked().failed.len() >= TOLD_MAX {
                        return;
                    }
                    let told = world(settings.seed.wrapping_add(n.into()), without, false);
                    let mut sum = locked();
                    sum.worlds += 1;
                    sum.with_crash += u32::from(told.counts.crashes > 0);
                    sum.counts.add(&told.counts);
                    sum.failed.extend(told.broken.is_some().then_some(told));
                }
            });
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.failed.sort_by_key(|told| told.seed);
    sum
}
