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
    /// The machine's uptime at `start`.
    up_ms: u64,
    marker: Arc<PathBuf>,
}

impl Clock {
    /// `synchronised_marker` is the file that exists while the operating system calls the wall clock synchronised.
    pub fn new(synchronised_marker: PathBuf) -> Self {
        let start = Instant::now();
        // Ages are stored and go on in the next process. Where the machine does not tell how long it is up, each process counts as a
        // boot of its own.
        let (boot, up_ms) = match uptime_ms() {
            Some(up_ms) => (boot_id(), up_ms),
            None => (rand::random(), 0),
        };
        Self { boot, start, up_ms, marker: Arc::new(synchronised_marker) }
    }

    /// The present.
    pub fn now(&self) -> Now {
        Now { boot: self.boot, mono: self.mono(), stamp: self.stamp() }
    }

    /// Milliseconds since the machine's boot; a later process of the same boot goes on counting.
    pub fn mono(&self) -> Mono {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Mono(self.up_ms.saturating_add(since))
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

fn uptime_ms() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, rest) = text.split_once('.')?;
    let hundredths: u64 = rest.get(..2)?.parse().ok()?;
    Some(seconds.parse::<u64>().ok()?.saturating_mul(1000).saturating_add(hundredths * 10))
}

/// A number for this boot of the machine; 0 where the kernel does not tell.
fn boot_id() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.chars().filter_map(|c| c.to_digit(16)).take(16).fold(0, |id, digit| id << 4 | u64::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_second_process_of_one_boot_goes_on_counting_where_the_first_was() {
        let first = Clock::new("".into());
        let before = first.now();
        let second = Clock::new("".into()).now();
        assert_eq!(before.boot, second.boot);
        // The kernel rounds the uptime to hundredths.
        assert!(second.mono.0 + 20 >= before.mono.0 && before.mono.0 >= 20, "{before:?} {second:?}");
    }
}
