//! The only place that reads clocks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use uketsuke_core::clock::{Mono, Now, Stamp};

/// Reads the clocks of this machine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: u64,
    start: Instant,
    marker: Arc<PathBuf>,
}

impl Clock {
    /// `synchronised_marker` is the file that exists while the operating system calls the wall clock synchronised.
    pub fn new(synchronised_marker: PathBuf) -> Self {
        Self { boot: boot_id(), start: Instant::now(), marker: Arc::new(synchronised_marker) }
    }

    /// The present.
    pub fn now(&self) -> Now {
        Now { boot: self.boot, mono: self.mono(), stamp: self.stamp() }
    }

    /// Milliseconds since this clock was made, which is as good as since boot within one process.
    pub fn mono(&self) -> Mono {
        Mono(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The wall clock with its flag.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn stamp(&self) -> Stamp {
        let wall_ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Stamp { wall_ms, synchronised: self.marker.exists() }
    }
}

/// A number for this boot of the machine; 0 where the kernel does not tell.
fn boot_id() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.chars().filter_map(|c| c.to_digit(16)).take(16).fold(0, |id, digit| id << 4 | u64::from(digit))
}
