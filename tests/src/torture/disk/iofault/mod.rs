//! `iofault`: every call by which the store touches its disk fails, once or from then on; and the disk is full, to twenty degrees.
//!
//! A preloaded library (`shim.c`) fails the calls of a store under load. Whatever fails: nothing was acknowledged that is not there, the
//! process ends by itself, and the next start is clean and serves the next patient. The same then under the gateway itself, with patients
//! at its readers.

mod full;
mod gateway;

use super::load::STORE_FAILED;
use super::scene::Promise;
use super::witness::{self, Found};
use super::{clear, place};
use crate::report::Report;
use crate::torture::Settings;
use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tokio::runtime::Runtime;

const SHIM: &str = include_str!("shim.c");
/// Few, so that every single call can be failed in minutes.
const RECEPTIONS: u32 = 5;
/// Written before, by a process that died: its write-ahead log has to be recovered.
const BEFORE: u32 = 4;

/// How a call fails.
#[derive(Debug, Clone, Copy)]
struct Fault {
    /// From the first call of the process on.
    at: u64,
    kind: &'static str,
    sticky: bool,
    /// On a store that is made anew, rather than one that a dead process left.
    new: bool,
}

/// At most `settings.cycles` faults are injected, drawn from all there are.
pub(in crate::torture) fn run(dir: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let mut campaign = Campaign::begin(dir)?;
    let mut faults = Vec::new();
    for new in [false, true] {
        let calls = campaign.count(new)?;
        report.figure(if new { "calls_new" } else { "calls" }, calls);
        for kind in ["eio", "enospc", "short"] {
            for sticky in [false, true] {
                faults.extend((1..=calls).map(|at| Fault { at, kind, sticky, new }));
            }
        }
    }
    report.figure("faults", faults.len());
    faults.shuffle(&mut StdRng::seed_from_u64(settings.seed));
    faults.truncate(settings.cycles as usize);
    for fault in faults {
        campaign.fail(fault, report)?;
    }
    report.figure("injected", campaign.met.values().sum::<u32>());
    for ((kind, call), count) in &campaign.met {
        report.figure(format!("{kind}_{call}"), count);
    }
    report.figure("ended_74", campaign.failed);
    report.figure("went_on", campaign.went_on);
    full::run(dir, &campaign.runtime, report)?;
    gateway::run(dir, &campaign.shim, settings, report)
}

struct Campaign {
    dir: PathBuf,
    shim: PathBuf,
    /// A store that a dead process left, and what it had promised.
    before: (PathBuf, Vec<Promise>),
    runtime: Runtime,
    /// How often which call met which fault.
    met: BTreeMap<(&'static str, String), u32>,
    failed: u32,
    went_on: u32,
}

impl Campaign {
    fn begin(dir: &Path) -> Result<Self> {
        let (source, shim) = (dir.join("shim.c"), dir.join("shim.so"));
        std::fs::write(&source, SHIM)?;
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&shim).arg(&source).arg("-ldl").status();
        ensure!(built.context("starting the C compiler")?.success(), "the shim does not compile");
        let before = dir.join("before");
        std::fs::create_dir(&before)?;
        let mut load = command(&before, BEFORE, 1)?;
        let promised = promises(&load.arg("--abort").output()?)?;
        let runtime = Runtime::new()?;
        let (met, failed, went_on) = (BTreeMap::new(), 0, 0);
        Ok(Self { dir: dir.to_owned(), shim, before: (before, promised), runtime, met, failed, went_on })
    }

    /// How many calls there are when none fails.
    fn count(&self, new: bool) -> Result<u64> {
        let (folder, _) = self.folder(new)?;
        let (output, report) = self.load(&folder, Fault { at: 0, kind: "eio", sticky: false, new })?;
        ensure!(output.status.success(), "without a fault the load ended with {}", output.status);
        clear(&folder);
        report.0.context("the shim has counted nothing")
    }

    /// A folder with a store that a dead process left, or an empty one.
    fn folder(&self, new: bool) -> Result<(PathBuf, &[Promise])> {
        let folder = place(&self.dir)?;
        let (before, promised) = &self.before;
        std::fs::copy(before.with_extension("key"), folder.with_extension("key"))?;
        if new {
            return Ok((folder, &[]));
        }
        for entry in std::fs::read_dir(before)? {
            let entry = entry?;
            std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        Ok((folder, promised))
    }

    fn load(&self, folder: &Path, fault: Fault) -> Result<(Output, (Option<u64>, String))> {
        let told = self.dir.join("shim.txt");
        let mut load = command(folder, RECEPTIONS, 1)?;
        load.env("LD_PRELOAD", &self.shim)
            .env("FAULT_DIR", folder)
            .env("FAULT_AT", fault.at.to_string())
            .env("FAULT_KIND", fault.kind)
            .env("FAULT_STICKY", if fault.sticky { "1" } else { "0" })
            .env("FAULT_REPORT", &told);
        let output = load.output().context("starting the load")?;
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        let _ = std::fs::remove_file(&told);
        let mut words = text.split_whitespace();
        let calls = words.next().and_then(|calls| calls.parse().ok());
        Ok((output, (calls, words.next().unwrap_or("none").to_owned())))
    }

    fn fail(&mut self, fault: Fault, report: &mut Report) -> Result<()> {
        let (folder, before) = self.folder(fault.new)?;
        let mut promised = before.to_vec();
        let (output, (_, call)) = self.load(&folder, fault)?;
        if call != "none" {
            *self.met.entry((fault.kind, call.clone())).or_default() += 1;
        }
        promised.extend(promises(&output)?);
        let mut faults = Vec::new();
        match output.status.code() {
            Some(0) => self.went_on += 1,
            Some(code) if code == i32::from(STORE_FAILED) => self.failed += 1,
            _ => faults.push(format!("the process ended with {}", output.status)),
        }
        match self.runtime.block_on(witness::look(&folder, &promised, true))? {
            Found::Opened(found) => faults.extend(found),
            Found::Refused(error) => faults.push(format!("the next start is refused: {error}")),
        }
        if faults.is_empty() {
            clear(&folder);
            return Ok(());
        }
        let Fault { at, kind, sticky, new } = fault;
        let what = format!(
            "{kind}{} at call {at} ({call}) of a store {}",
            if sticky { " from then on" } else { "" },
            if new { "made anew" } else { "that was there" }
        );
        let said = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
        report.fault(format!("{what}: {}; it said: {said}", faults.join("; ")));
        std::fs::rename(&folder, self.dir.join(format!("{kind}-{at}-{sticky}-{new}")))?;
        Ok(())
    }
}

/// The load as a command.
pub(super) fn command(folder: &Path, receptions: u32, readers: u32) -> Result<Command> {
    let mut command = Command::new(crate::site::binary("store-load")?);
    command.arg("--dir").arg(folder).args(["--receptions", &receptions.to_string()]);
    command.args(["--readers", &readers.to_string()]).stdin(Stdio::null());
    Ok(command)
}

pub(super) fn promises(output: &Output) -> Result<Vec<Promise>> {
    std::str::from_utf8(&output.stdout)?.lines().map(str::parse).collect()
}
