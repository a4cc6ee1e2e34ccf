//! Time as an argument.
//!
//! Ages and deadlines of the machines here use [`Mono`] alone. The wall clock is recorded, together with whether it was synchronised;
//! the dates of certificates are judged by it only when it was.

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
