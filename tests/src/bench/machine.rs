//! What this machine does by itself: the reference beside which times are read, and memory of processes.

use anyhow::{Context, Result, anyhow};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// About one durable row.
const APPEND_BYTES: usize = 1024;
/// Seldom enough to leave the disk to the gateway, often enough for a median.
const EVERY: Duration = Duration::from_millis(50);

/// Appends and fsyncs a file of its own while something else is measured on the same file system.
pub(super) struct FsyncReference {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<std::io::Result<Vec<f64>>>,
}

impl FsyncReference {
    /// Starts at once. `fsync` and not `fdatasync`: SQLite calls the former.
    pub(super) fn start(dir: &Path) -> Result<Self> {
        let path = dir.join("fsync-reference");
        let mut file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("fsync".into()).spawn(move || {
            let mut took_ms = Vec::new();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let start = Instant::now();
                file.write_all(&[0x55; APPEND_BYTES])?;
                file.sync_all()?;
                took_ms.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(took_ms)
        })?;
        Ok(Self { stop, thread })
    }

    /// Milliseconds of every append so far.
    pub(super) fn stop(self) -> Result<Vec<f64>> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow!("the reference panicked"))?.context("appending to the reference file")
    }
}

/// VmRSS of a process in MiB: what it holds in memory now.
pub(super) fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("reading the gateway's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS is missing")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Processor time that a process has used so far, in user and system mode.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("reading a process's times")?;
    // The name before the last parenthesis may hold anything; state is the first field behind it, utime and stime the 12th and 13th.
    let fields = stat.rsplit_once(')').context("no name in a process's times")?.1;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    // Linux counts these in hundredths of a second for every program.
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}
