//! `neighbours`: other programs at the database's files while patients are received.
//!
//! A person looks with a database shell, a backup job copies, a browser of tables keeps a transaction open, a script locks, somebody
//! deletes. Whatever they do, nothing that was shown as done is lost or done twice, and every start succeeds. A lock is said and passes;
//! deleted files are said, the gateway saves what it holds and ends with 74, and the next start goes on.

use super::crowd::Crowd;
use super::{Settings, aftermath};
use crate::report::{Report, quantile, rounded};
use crate::shell::Shell;
use crate::site::{Plan, Site};
use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENTS: usize = 24;
/// Between two neighbours.
const PAUSE_MS: RangeInclusive<u64> = 20..=300;
/// How long a transaction that only reads stays open.
const READS_MS: RangeInclusive<u64> = 200..=2_500;
/// How long a foreign lock is held: shorter and longer than a patient waits.
const LOCKS_MS: RangeInclusive<u64> = 100..=5_000;
/// What another program writes: less and more than after what it moves its log by itself.
const WRITES_BYTES: RangeInclusive<u32> = 1..=8_000_000;
/// From here on `/healthz` must have named the holder.
const NAMED_AFTER: Duration = Duration::from_millis(1_500);
/// Under one foreign lock in so many the gateway is killed and started.
const STARTED_LOCKED_ONE_IN: u32 = 2;
/// One neighbour in so many is followed by a kill of the gateway, also while the neighbour is there.
const KILLED_ONE_IN: u32 = 4;
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A busy machine may take this long for what takes an idle one a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// What another program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Neighbour {
    Shell,
    ReadOnlyShell,
    Backup,
    VacuumInto,
    Copy,
    LongReader,
    WriterLock,
    Deletes(Gone),
}

/// Which files are deleted, or moved away with something else in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gone {
    Database,
    Log,
    Index,
    LogAndIndex,
    Everything,
    DatabaseReplacedByItsCopy,
    /// Then a row is written: through an index of its own into the gateway's log.
    IndexThenWrites,
    /// Then rows are written to a log of its own, and moved into the database.
    LogAndIndexThenWrites,
}

impl Neighbour {
    fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::ReadOnlyShell => "read_only",
            Self::Backup => "backup",
            Self::VacuumInto => "vacuum_into",
            Self::Copy => "copy",
            Self::LongReader => "long_reader",
            Self::WriterLock => "writer_lock",
            Self::Deletes(_) => "deletes",
        }
    }

    /// The first cycles go through all of them, so that a short run has seen each.
    fn draw(cycle: u32, rng: &mut StdRng) -> Self {
        use Gone::*;
        const ALL: [Neighbour; 11] = [
            Neighbour::Shell,
            Neighbour::WriterLock,
            Neighbour::Deletes(LogAndIndex),
            Neighbour::Backup,
            Neighbour::LongReader,
            Neighbour::Deletes(Database),
            Neighbour::Deletes(IndexThenWrites),
            Neighbour::Deletes(LogAndIndexThenWrites),
            Neighbour::VacuumInto,
            Neighbour::Copy,
            Neighbour::ReadOnlyShell,
        ];
        if let Some(first) = ALL.get(cycle as usize - 1) {
            return *first;
        }
        let gone = [
            Database,
            Log,
            Index,
            LogAndIndex,
            Everything,
            DatabaseReplacedByItsCopy,
            IndexThenWrites,
            LogAndIndexThenWrites,
        ];
        match ALL.choose(rng) {
            Some(Self::Deletes(_)) | None => Self::Deletes(*gone.choose(rng).unwrap_or(&Database)),
            Some(other) => *other,
        }
    }
}

#[derive(Default)]
struct Seen {
    done: BTreeMap<&'static str, u32>,
    kills: u32,
    refused_starts: u32,
    /// From a lock's release until `/healthz` is well.
    resumed_ms: Vec<f64>,
    named: u32,
    started_locked: u32,
    /// From the deletion until `/healthz` says so.
    noticed_ms: Vec<f64>,
    ended_74: u32,
}

pub(super) fn run(dir: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let plan = Plan {
        terminals: ["desk-1", "desk-2"].map(|desk| (desk.into(), vec!["a".into(), "b".into()])).to_vec(),
        answer_deadline_ms: 600,
        ..Plan::default()
    };
    let mut site = Site::start(dir, plan)?;
    let crowd = {
        let _tasks = runtime.enter();
        Crowd::send(&site, PATIENTS, settings.seed)?
    };
    let mut seen = Seen::default();
    let mut rng = StdRng::seed_from_u64(settings.seed);
    for cycle in 1..=settings.cycles {
        std::thread::sleep(Duration::from_millis(rng.random_range(PAUSE_MS)));
        let neighbour = Neighbour::draw(cycle, &mut rng);
        let mut visit = Visit { site: &mut site, crowd: &crowd, rng: &mut rng, seen: &mut seen, report, cycle };
        visit.of(neighbour).with_context(|| format!("{neighbour:?} in cycle {cycle}"))?;
    }
    let journal = aftermath::settle(&runtime, crowd, &mut site, report)?;
    for promise in &journal.false_promises {
        report.fault(format!("promised although nothing could be written: {promise}"));
    }
    for (name, times) in &seen.done {
        report.figure(*name, *times);
    }
    report.figure("kills", seen.kills);
    report.figure("refused_starts", seen.refused_starts);
    report.figure("sent_to_desk", journal.sent_to_desk);
    report.figure("holder_named", seen.named);
    report.figure("started_locked", seen.started_locked);
    report.figure("resumed_p50_ms", rounded(quantile(&seen.resumed_ms, 0.5)));
    report.figure("resumed_max_ms", rounded(quantile(&seen.resumed_ms, 1.0)));
    report.figure("deletion_noticed_max_ms", rounded(quantile(&seen.noticed_ms, 1.0)));
    report.figure("exit74", seen.ended_74);
    Ok(())
}

struct Visit<'a> {
    site: &'a mut Site,
    crowd: &'a Crowd,
    rng: &'a mut StdRng,
    seen: &'a mut Seen,
    report: &'a mut Report,
    cycle: u32,
}

impl Visit<'_> {
    fn of(&mut self, neighbour: Neighbour) -> Result<()> {
        *self.seen.done.entry(neighbour.name()).or_default() += 1;
        let database = self.site.dir().join("data/uketsuke.db");
        let taken = self.site.dir().join(format!("taken-{}", self.cycle));
        let path = |name: &str| taken.join(name).display().to_string();
        std::fs::create_dir(&taken)?;
        let count = "SELECT COUNT(*) FROM receptions";
        match neighbour {
            Neighbour::Shell => shell(&database, &[count])?,
            Neighbour::ReadOnlyShell => shell(&database, &["-readonly", count])?,
            Neighbour::Backup => shell(&database, &[&format!(".backup '{}'", path("backup.db"))])?,
            Neighbour::VacuumInto => shell(&database, &[&format!("VACUUM INTO '{}'", path("vacuum.db"))])?,
            Neighbour::Copy => {
                for file in [database.clone(), with(&database, "-wal"), with(&database, "-shm")] {
                    // The log may be gone at this very moment: the gateway is just starting.
                    let _ = std::fs::copy(&file, taken.join(file.file_name().unwrap_or_default()));
                }
            }
            Neighbour::LongReader => {
                let reader = Shell::open(&database, &format!("BEGIN; {count};"))?;
                let stays = Duration::from_millis(self.rng.random_range(READS_MS));
                self.maybe_killed(stays)?;
                reader.close()?;
            }
            Neighbour::WriterLock => self.locked(&database)?,
            Neighbour::Deletes(gone) => self.deleted(&database, gone, &taken)?,
        }
        std::fs::remove_dir_all(&taken)?;
        if !matches!(neighbour, Neighbour::LongReader | Neighbour::Deletes(_) | Neighbour::WriterLock) {
            self.maybe_killed(Duration::ZERO)?;
        }
        if !self.site.gateway()?.is_running() {
            self.report.fault(format!("the gateway ended by itself after {neighbour:?} in cycle {}", self.cycle));
            self.start()?;
        }
        Ok(())
    }

    fn maybe_killed(&mut self, within: Duration) -> Result<()> {
        if self.rng.random_ratio(1, KILLED_ONE_IN) {
            std::thread::sleep(within.mul_f64(self.rng.random()));
            if self.rng.random() {
                self.crowd.wait_for_a_promise(Duration::from_secs(1));
            }
            self.site.kill_gateway()?;
            self.seen.kills += 1;
            return self.start();
        }
        std::thread::sleep(within);
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        if let Err(error) = self.site.start_gateway() {
            self.seen.refused_starts += 1;
            self.report.fault(format!("refused start in cycle {}: {error:#}", self.cycle));
            return Err(error);
        }
        Ok(())
    }

    /// Another program takes the lock that every write needs, and keeps it for a while.
    fn locked(&mut self, database: &Path) -> Result<()> {
        let holds = Duration::from_millis(self.rng.random_range(LOCKS_MS));
        let lock = Shell::open(database, ".timeout 30000\nBEGIN IMMEDIATE; SELECT 'held';")?;
        self.crowd.disk_fails(true);
        let since = Instant::now();
        let mut named = false;
        while since.elapsed() < holds {
            named |= store_says(self.site).is_some_and(|(_, detail)| detail.contains("the program sqlite3 (process "));
            std::thread::sleep(LOOK_EVERY);
        }
        if holds > NAMED_AFTER {
            self.seen.named += u32::from(named);
            if !named {
                self.report.fault(format!("cycle {}: nobody named the program that held the lock", self.cycle));
            }
        }
        // The first one always, so that a short run has seen it.
        let started = self.seen.started_locked == 0 || self.rng.random_ratio(1, STARTED_LOCKED_ONE_IN);
        if started {
            self.started_under_the_lock()?;
        }
        self.crowd.disk_fails(false);
        let released = Instant::now();
        lock.close()?;
        if started && let Err(error) = self.site.gateway()?.wait_ready(PATIENCE) {
            self.seen.refused_starts += 1;
            self.report.fault(format!("refused start after a lock in cycle {}: {error:#}", self.cycle));
            return Err(error);
        }
        while store_says(self.site).is_none_or(|(ok, _)| !ok) {
            ensure!(released.elapsed() < PATIENCE, "the gateway does not go on after the lock is gone");
            std::thread::sleep(LOOK_EVERY);
        }
        self.seen.resumed_ms.push(released.elapsed().as_secs_f64() * 1000.0);
        Ok(())
    }

    /// The gateway is killed, and started while the lock is still held: the door is open, and names the holder.
    fn started_under_the_lock(&mut self) -> Result<()> {
        self.site.kill_gateway()?;
        self.site.spawn_gateway()?;
        self.seen.kills += 1;
        self.seen.started_locked += 1;
        let started = Instant::now();
        while store_says(self.site).is_none_or(|(ok, detail)| ok || !detail.contains("the program sqlite3 (process ")) {
            ensure!(self.site.gateway()?.is_running(), "a start under a foreign lock ended by itself");
            ensure!(started.elapsed() < PATIENCE, "a start under a foreign lock does not say what it waits for");
            std::thread::sleep(LOOK_EVERY);
        }
        std::thread::sleep(Duration::from_millis(self.rng.random_range(LOCKS_MS)));
        ensure!(self.site.gateway()?.is_running(), "a start under a foreign lock ended by itself");
        Ok(())
    }

    /// Somebody deletes files, or puts others in their place: said, saved, ended with 74, and taken up by the next start.
    fn deleted(&mut self, database: &Path, gone: Gone, taken: &Path) -> Result<()> {
        let (log, index) = (with(database, "-wal"), with(database, "-shm"));
        if gone == Gone::DatabaseReplacedByItsCopy {
            std::fs::copy(database, taken.join("copy.db"))?;
        }
        self.crowd.disk_fails(true);
        let deleted = Instant::now();
        match gone {
            Gone::Database => std::fs::remove_file(database)?,
            Gone::Log => std::fs::remove_file(&log)?,
            Gone::Index | Gone::IndexThenWrites => std::fs::remove_file(&index)?,
            Gone::LogAndIndex | Gone::LogAndIndexThenWrites => {
                [&log, &index].into_iter().try_for_each(std::fs::remove_file)?
            }
            Gone::Everything => [database, &log, &index].into_iter().try_for_each(std::fs::remove_file)?,
            Gone::DatabaseReplacedByItsCopy => std::fs::rename(taken.join("copy.db"), database)?,
        }
        if matches!(gone, Gone::IndexThenWrites | Gone::LogAndIndexThenWrites) {
            let bytes = self.rng.random_range(WRITES_BYTES);
            let moved = if self.rng.random() { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "" };
            // The gateway may have noticed and saved everything before: then this fails, or is kept beside.
            let _ = shell(
                database,
                &[
                    "CREATE TABLE IF NOT EXISTS of_another_program (what)",
                    &format!("INSERT INTO of_another_program SELECT randomblob({bytes})"),
                    moved,
                ],
            );
        }
        let mut noticed = None;
        while self.site.gateway()?.is_running() {
            ensure!(deleted.elapsed() < 3 * PATIENCE, "the gateway goes on without its files");
            if noticed.is_none()
                && store_says(self.site)
                    .is_some_and(|(_, detail)| detail.contains("another program has deleted, moved or replaced"))
            {
                noticed = Some(deleted.elapsed());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let ended = self.site.gateway()?.wait(Duration::ZERO)?.code();
        self.seen.ended_74 += u32::from(ended == Some(74));
        match noticed {
            Some(after) => self.seen.noticed_ms.push(after.as_secs_f64() * 1000.0),
            None => self.report.fault(format!("cycle {}: /healthz did not say that {gone:?} is gone", self.cycle)),
        }
        if ended != Some(74) {
            self.report.fault(format!("cycle {}: the gateway ended with {ended:?} without {gone:?}", self.cycle));
        }
        self.crowd.disk_fails(false);
        self.start()
    }
}

/// Whether patients can be received, and what `/healthz` says of the store; `None` when nobody answers.
fn store_says(site: &Site) -> Option<(bool, String)> {
    let report: Value = serde_json::from_str(&site.get("/healthz").ok()?).ok()?;
    let store = report["parts"].as_array()?.iter().find(|part| part["name"] == "store")?;
    Some((report["ok"].as_bool()?, store["detail"].as_str()?.to_owned()))
}

fn with(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A database shell that is called, and ends.
fn shell(database: &Path, arguments: &[&str]) -> Result<()> {
    let (flags, commands): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|argument| argument.starts_with('-'));
    let mut command = Command::new("sqlite3");
    command.args(flags).args(["-cmd", ".timeout 10000"]).arg(database).args(commands);
    let output = command.output().context("calling sqlite3")?;
    ensure!(output.status.success(), "sqlite3 {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
