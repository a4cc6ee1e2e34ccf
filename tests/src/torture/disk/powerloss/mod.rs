//! `powerloss`: the power goes at a random moment; whatever the disk had not been told to keep is lost, torn or out of order.
//!
//! A store under load is recorded call by call. From the record come the folders that a power cut could have left; each is opened as
//! the next start would, and has to hold everything that was promised by then.

mod disk;
mod trace;

use super::scene::Promise;
use super::witness::{self, Found};
use super::{clear, place};
use crate::report::Report;
use crate::torture::Settings;
use anyhow::{Context, Result, ensure};
use disk::{Disk, Loss};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};
use trace::Event;

/// Enough that the log is moved into the database several times.
const RECEPTIONS: u32 = 400;
/// Cuts of a disk that lies, which have to be noticed.
const CONTROLS: usize = 20;

/// `settings.cycles` folders are rebuilt and opened.
pub(in crate::torture) fn run(dir: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let store = dir.join("store");
    std::fs::create_dir(&store)?;
    let record = dir.join("strace.txt");
    let traced = Command::new("strace")
        .args(trace::STRACE)
        .arg("-o")
        .arg(&record)
        .arg(crate::site::binary("store-load")?)
        .arg("--dir")
        .arg(&store)
        .args(["--receptions", &RECEPTIONS.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status()
        .context("starting strace")?;
    ensure!(traced.success(), "the recorded load ended with {traced}");
    let events = trace::read(BufReader::new(File::open(&record)?))?;
    std::fs::remove_file(&record)?;
    report.figure("calls", events.len());

    let runtime = tokio::runtime::Runtime::new()?;
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let mut cuts = Cuts { dir, runtime: &runtime, refused: 0, faults: Vec::new(), missing: 0 };
    let moments = moments(&events, settings.cycles as usize, &mut rng);
    replay(&store, &events, &moments, false, &mut rng, &mut cuts)?;
    report.figure("states", moments.len());
    for loss in Loss::EVERY {
        report.figure(format!("{loss:?}").to_lowercase(), moments.values().filter(|it| **it == loss).count());
    }
    report.figure("refused", cuts.refused);
    report.figure("missing", cuts.missing);
    cuts.faults.drain(..).for_each(|fault| report.fault(fault));

    // A disk that makes nothing durable has to be found out: otherwise these cuts would prove nothing.
    let promised = events.iter().position(|event| matches!(event, Event::Told(text) if text.starts_with(b"opened")));
    let late = moments.keys().filter(|moment| promised.is_some_and(|promised| **moment > promised));
    let lies: BTreeMap<usize, Loss> = late.step_by(7).take(CONTROLS).map(|moment| (*moment, Loss::All)).collect();
    let mut control = Cuts { faults: Vec::new(), missing: 0, refused: 0, ..cuts };
    replay(&store, &events, &lies, true, &mut rng, &mut control)?;
    let noticed = control.missing + control.refused;
    report.figure("lying_disk", format!("{noticed}/{}", lies.len()));
    if noticed < lies.len() {
        report.fault(format!("a disk that makes nothing durable was noticed {noticed} times of {}", lies.len()));
    }
    Ok(())
}

/// When the power goes, and what is lost: moments at which something is not durable, and a promise was given.
fn moments(events: &[Event], count: usize, rng: &mut StdRng) -> BTreeMap<usize, Loss> {
    let first = events.iter().position(|event| matches!(event, Event::Told(_))).unwrap_or(0);
    let mut moments = BTreeMap::new();
    // Some before the first promise: a start that was cut short must not stand in the way of the next.
    let early = first.min(count / 10);
    while moments.len() < count.min(events.len()) {
        let at = if moments.len() < early { rng.random_range(0..first) } else { rng.random_range(first..events.len()) };
        if let Some(loss) = Loss::EVERY.choose(rng) {
            moments.insert(at, *loss);
        }
    }
    moments
}

struct Cuts<'a> {
    dir: &'a Path,
    runtime: &'a tokio::runtime::Runtime,
    refused: usize,
    /// Folders in which something promised is missing.
    missing: usize,
    faults: Vec<String>,
}

fn replay(
    store: &Path,
    events: &[Event],
    moments: &BTreeMap<usize, Loss>,
    lies: bool,
    rng: &mut StdRng,
    cuts: &mut Cuts<'_>,
) -> Result<()> {
    let mut disk = Disk::new(store);
    disk.lies = lies;
    let mut promises: Vec<Promise> = Vec::new();
    for (moment, event) in events.iter().enumerate() {
        if let Event::Told(text) = event {
            for line in std::str::from_utf8(text)?.lines() {
                promises.push(line.parse()?);
            }
        }
        disk.on(event)?;
        if let Some(loss) = moments.get(&moment) {
            cuts.look(&disk, *loss, moment, &promises, store, rng)?;
        }
    }
    Ok(())
}

impl Cuts<'_> {
    fn look(
        &mut self,
        disk: &Disk,
        loss: Loss,
        moment: usize,
        promises: &[Promise],
        store: &Path,
        rng: &mut StdRng,
    ) -> Result<()> {
        let folder = place(self.dir)?;
        std::fs::copy(store.with_extension("key"), folder.with_extension("key"))?;
        disk.cut(loss, rng, &folder)?;
        let what = format!("cut at call {moment}, {} changes not durable, lost: {loss:?}", disk.pending());
        let keep = match self.runtime.block_on(witness::look(&folder, promises, true))? {
            Found::Opened(faults) => {
                self.missing += usize::from(!faults.is_empty());
                self.faults.extend(faults.iter().map(|fault| format!("{what}: {fault}")));
                !faults.is_empty()
            }
            Found::Refused(error) => {
                self.refused += 1;
                self.faults.push(format!("{what}: the next start is refused: {error}"));
                true
            }
        };
        if keep {
            std::fs::rename(&folder, self.dir.join(format!("cut-{moment}")))?;
        } else {
            clear(&folder);
        }
        Ok(())
    }
}
