//! A disk with twenty degrees of room left, from none at all to enough.

use super::super::witness::{self, Found};
use super::{command, promises};
use crate::report::Report;
use anyhow::{Context, Result, ensure};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::runtime::Runtime;

const LEVELS: u64 = 20;
const DISK_BYTES: u64 = 8 * 1024 * 1024;
/// Between two levels.
const STEP_BYTES: u64 = 320 * 1024;
const RESERVE_BYTES: usize = 512 * 1024;
const RECEPTIONS: u32 = 150;

/// A small file system in memory; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this machine does not let us mount.
    fn mount(at: &Path) -> Result<Option<Self>> {
        std::fs::create_dir_all(at)?;
        let size = format!("size={DISK_BYTES},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "uketsuke-test"]).arg(at).output();
        Ok(mounted.is_ok_and(|mounted| mounted.status.success()).then(|| Self(at.to_owned())))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Threads of a store that was refused may close their files a moment later.
        for _ in 0..20 {
            let unmounted = Command::new("umount").arg(&self.0).output();
            if unmounted.is_ok_and(|unmounted| unmounted.status.success()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// Nothing acknowledged is missing at any level, neither while the disk is full nor once there is room again.
pub(super) fn run(dir: &Path, runtime: &Runtime, report: &mut Report) -> Result<()> {
    let (mut received, mut turned_away) = (Vec::new(), 0);
    for level in 0..LEVELS {
        let at = dir.join("full");
        let Some(disk) = Disk::mount(&at)? else {
            println!(
                "iofault: the levels of a full disk are skipped: this machine does not allow to mount a file system"
            );
            report.figure("fill_levels", "skipped");
            return Ok(());
        };
        let outcome = one(&at, level, runtime, report)?;
        received.push(outcome);
        turned_away += u32::from(outcome < RECEPTIONS);
        drop(disk);
    }
    report.figure("fill_levels", LEVELS);
    report.figure("levels_full", turned_away);
    report.figure("received_at_least", received.iter().min());
    report.figure("received_at_most", received.iter().max());
    Ok(())
}

/// How many were received with so much room.
fn one(at: &Path, level: u64, runtime: &Runtime, report: &mut Report) -> Result<u32> {
    let store = at.join("store");
    std::fs::create_dir(&store)?;
    // A store that has been at work, with its reserve, before somebody else fills the disk.
    let begun = command(&store, 10, 1)?.args(["--ballast-bytes", &RESERVE_BYTES.to_string()]).output()?;
    ensure!(begun.status.success(), "the store cannot be begun: {}", String::from_utf8_lossy(&begun.stderr));
    let filler = at.join("filler");
    fill(&filler, level * STEP_BYTES)?;
    let load = command(&store, RECEPTIONS, 4)?.args(["--ballast-bytes", &RESERVE_BYTES.to_string()]).output()?;
    let mut promised = promises(&begun)?;
    let told = promises(&load)?;
    promised.extend(&told);
    let what = format!("with {} KiB left", level * STEP_BYTES / 1024);
    let ended = load.status.code();
    if ended != Some(0) {
        let said = String::from_utf8_lossy(&load.stderr).lines().last().unwrap_or_default().to_owned();
        report.fault(format!("{what} the process ended with {}; it said: {said}", load.status));
    }
    for (full, goes_on) in [(true, false), (false, true)] {
        if !full {
            std::fs::remove_file(&filler)?;
        }
        let still = if full { "still full" } else { "with room again" };
        match runtime.block_on(witness::look(&store, &promised, goes_on))? {
            Found::Opened(faults) => {
                faults.iter().for_each(|fault| report.fault(format!("{what}, {still}: {fault}")));
            }
            Found::Refused(error) => report.fault(format!("{what}, {still}: the next start is refused: {error}")),
        }
    }
    let opened = told.iter().filter(|promise| matches!(promise, super::Promise::Opened(_))).count();
    u32::try_from(opened).context("more receptions than there are numbers")
}

/// Fills the disk but for so many bytes.
fn fill(file: &Path, leave: u64) -> Result<()> {
    let mut filler = std::fs::File::create(file)?;
    let block = vec![0x55; 4096];
    while filler.write_all(&block).is_ok() {}
    let filled = filler.metadata()?.len();
    filler.set_len(filled.saturating_sub(leave)).context("leaving some room")?;
    Ok(())
}
