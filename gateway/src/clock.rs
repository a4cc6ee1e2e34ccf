//! The only place that reads clocks, and where the central system's clock is remembered.

use rustix::time::{ClockId, clock_gettime};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use uketsuke_core::clock::{CentralTime, Mono, Now, Stamp, corrected, synchronised};

/// Reads the clocks of this machine. Cheap to clone; what one clone hears of the central system's clock all of them know.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: u64,
    marker: Arc<PathBuf>,
    central: Arc<Mutex<Option<CentralTime>>>,
}

impl Clock {
    /// `synchronised_marker` is the file that exists while the operating system calls the wall clock synchronised.
    pub fn new(synchronised_marker: PathBuf) -> Self {
        // Ages are stored and go on in the next process. Where the kernel does not tell which boot this is, each process counts as one
        // of its own.
        Self {
            boot: boot_id().unwrap_or_else(rand::random),
            marker: Arc::new(synchronised_marker),
            central: Arc::default(),
        }
    }

    /// The present.
    pub fn now(&self) -> Now {
        Now { boot: self.boot, mono: self.mono(), stamp: self.stamp() }
    }

    /// Milliseconds since the machine's boot, those asleep included; a later process of the same boot goes on counting.
    pub fn mono(&self) -> Mono {
        let since = clock_gettime(ClockId::Boottime);
        let (seconds, nanos) = (u64::try_from(since.tv_sec), u64::try_from(since.tv_nsec));
        Mono(seconds.unwrap_or(0).saturating_mul(1000).saturating_add(nanos.unwrap_or(0) / 1_000_000))
    }

    /// The central system has just said that its wall clock shows this, in milliseconds since 1970-01-01 UTC. An answer without a time
    /// changes nothing.
    pub fn hear_central(&self, said_ms: i64) {
        match CentralTime::said(said_ms, self.mono()) {
            Some(heard) => *self.central.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard),
            None => tracing::debug!(said_ms, "the central system's answer says no time"),
        }
    }

    /// What the central system last said to this process about the time.
    pub fn central(&self) -> Option<CentralTime> {
        *self.central.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time for a question to the central system: the wall clock's, or the central system's own when that is known to differ.
    pub fn corrected(&self) -> Stamp {
        corrected(self.stamp(), self.mono(), self.central())
    }

    /// The wall clock with its flag: the operating system's word, unless the central system's clock or reason speaks against it.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn stamp(&self) -> Stamp {
        let wall_ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Stamp { wall_ms, synchronised: synchronised(self.marker.exists(), wall_ms, self.mono(), self.central()) }
    }
}

/// A number for this boot of the machine, the same in each of its processes.
fn boot_id() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits = text.chars().filter_map(|c| c.to_digit(16)).take(16);
    Some(digits.fold(0, |id, digit| id << 4 | u64::from(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uketsuke_core::clock::EARLIEST_MS;

    #[test]
    fn a_second_process_of_one_boot_goes_on_counting_where_the_first_was() {
        let first = Clock::new("".into()).now();
        let second = Clock::new("".into()).now();
        assert_eq!(first.boot, second.boot);
        assert!(second.mono >= first.mono && first.mono > Mono(0), "{first:?} {second:?}");
    }

    #[test]
    fn a_wall_clock_that_the_central_system_contradicts_is_not_synchronised_whatever_the_marker_says() {
        let marker = tempfile::NamedTempFile::new().unwrap();
        let clock = Clock::new(marker.path().into());
        assert!(clock.stamp().synchronised, "nobody has contradicted it yet");
        for (ahead_ms, agrees) in [(0, true), (401 * 86_400_000, false), (86_400_000, false), (-60_000, true)] {
            clock.clone().hear_central(clock.stamp().wall_ms - ahead_ms);
            assert_eq!(clock.stamp().synchronised, agrees, "{ahead_ms}");
        }
    }

    #[test]
    fn an_answer_of_the_central_system_that_says_no_time_contradicts_no_clock() {
        let marker = tempfile::NamedTempFile::new().unwrap();
        let clock = Clock::new(marker.path().into());
        // An absent field, seconds in place of milliseconds, and the last moment before this program.
        for said_ms in [0, 1_800_000_000, -1, EARLIEST_MS - 1] {
            clock.hear_central(said_ms);
            assert_eq!((clock.central(), clock.stamp().synchronised), (None, true), "{said_ms}");
        }
        clock.hear_central(clock.stamp().wall_ms);
        let heard = clock.central();
        clock.hear_central(0);
        assert!(heard.is_some() && clock.central() == heard, "what was heard before stays");
    }

    #[test]
    fn the_clock_of_ages_counts_the_time_asleep_as_well() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        // The kernel's uptime does.
        assert!(Clock::new("".into()).mono().0 + 20 >= (seconds * 1000.0) as u64);
    }
}
