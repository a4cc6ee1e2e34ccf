//! Time as an argument.
//!
//! Ages and deadlines of the machines here use [`Mono`] alone. The wall clock is recorded, together with whether it was synchronised;
//! the dates of certificates are judged by it only when it was. The operating system's word for that is not enough: it is overruled by the
//! central system's clock, and by a date at which this program did not exist ([`synchronised`]).

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Milliseconds of the monotonic clock of one boot. Never compared across boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// This instant moved into the future.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A point of the wall clock as it was read, to be recorded and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// Whether the operating system called the clock synchronised at that moment.
    pub synchronised: bool,
}

/// The present, as every `step` is told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Which boot `mono` belongs to.
    pub boot: u64,
    /// For ages and deadlines.
    pub mono: Mono,
    /// For records.
    pub stamp: Stamp,
}

/// Two clocks that differ by no more than this agree: requests to the central system, and signatures, allow as much.
pub const AGREES_WITHIN: Duration = Duration::from_secs(5 * 60);

/// 2025-01-01 UTC. A wall clock that says an earlier date is wrong, whatever else is said about it: this program did not exist then.
pub const EARLIEST_MS: i64 = 1_735_689_600_000;

/// What the central system last said about the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CentralTime {
    /// Its wall clock, milliseconds since 1970-01-01 UTC.
    pub said_ms: i64,
    /// When it was heard.
    pub heard: Mono,
}

impl CentralTime {
    /// What an answer says; `None` for one that says no time: a field that is absent reads as 1970, and no central system runs on a date at
    /// which this program did not exist.
    pub fn said(said_ms: i64, heard: Mono) -> Option<Self> {
        (said_ms >= EARLIEST_MS).then_some(Self { said_ms, heard })
    }

    /// What its wall clock says, or said, at a moment of this boot, which may lie before the one in which it was heard.
    pub fn at(self, then: Mono) -> i64 {
        let ms = |of: u64| i64::try_from(of).unwrap_or(i64::MAX);
        self.said_ms
            .saturating_add(ms(then.0.saturating_sub(self.heard.0)))
            .saturating_sub(ms(self.heard.0.saturating_sub(then.0)))
    }

    /// By how many milliseconds a wall clock is ahead of it; negative when it is behind.
    pub fn ahead_ms(self, now: Mono, wall_ms: i64) -> i64 {
        wall_ms.saturating_sub(self.at(now))
    }
}

/// Whether two wall clocks that differ by so many milliseconds agree.
pub fn agree(apart_ms: i64) -> bool {
    u128::from(apart_ms.unsigned_abs()) <= AGREES_WITHIN.as_millis()
}

/// The time to put into a question to the central system: its own, when the wall clock is known to differ from it.
pub fn corrected(stamp: Stamp, now: Mono, central: Option<CentralTime>) -> Stamp {
    match central {
        Some(central) if !agree(central.ahead_ms(now, stamp.wall_ms)) => {
            Stamp { wall_ms: central.at(now), synchronised: true }
        }
        _ => stamp,
    }
}

/// Whether a time that was put into a question as a synchronised clock's still lies ahead, by the central system's clock.
pub fn lies_ahead(asked: Stamp, now: Mono, central: Option<CentralTime>) -> bool {
    let ahead_ms = central.map_or(0, |central| central.ahead_ms(now, asked.wall_ms));
    asked.synchronised && ahead_ms > 0 && !agree(ahead_ms)
}

/// Whether the wall clock counts as synchronised: the operating system says so, and nothing that is known speaks against it.
pub fn synchronised(marked: bool, wall_ms: i64, now: Mono, central: Option<CentralTime>) -> bool {
    marked && wall_ms >= EARLIEST_MS && central.is_none_or(|central| agree(central.ahead_ms(now, wall_ms)))
}
