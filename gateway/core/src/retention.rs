//! Whether anything may be deleted for its age now.
//!
//! Promises: nothing is deleted by a wall clock that only the operating system vouches for. The central system must have said the same
//! time to this process, or a person must have confirmed the date. What may be deleted is judged by the lower of the two clocks, so that
//! nothing is deleted that either of them calls too young. A wait is measured without the doubtful clock.

mod oldest;

pub use oldest::Oldest;

use crate::clock::{CentralTime, Mono, Now, agree};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// People are alarmed when deletion has waited this long. Weekends and holidays count like any other day.
pub const ALARM_AFTER: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How much of the time between two boots is counted at most: the machine was off, and only the doubtful clock says for how long. A long
/// weekend fits, and no jump of the clock alarms at once.
pub const OFF_COUNTED_MAX: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// A person said that the wall clock shows the right date. It holds for as long as the clock then runs on evenly, within one boot of the
/// machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The boot it holds for.
    pub boot: u64,
    /// When, in milliseconds of that boot.
    pub mono_ms: u64,
    /// What the wall clock said then.
    pub wall_ms: i64,
}

impl Confirmation {
    /// Of what the wall clock says now.
    pub fn of(now: Now) -> Self {
        Self { boot: now.boot, mono_ms: now.mono.0, wall_ms: now.stamp.wall_ms }
    }

    fn holds(self, now: Now) -> bool {
        let confirmed = CentralTime { said_ms: self.wall_ms, heard: Mono(self.mono_ms) };
        self.boot == now.boot && agree(confirmed.ahead_ms(now.mono, now.stamp.wall_ms))
    }
}

/// Who says that the wall clock is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VouchedBy {
    /// The central system's clock says the same.
    CentralSystem,
    /// A person confirmed the date.
    Person,
}

/// Why the wall clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// The central system has not said its time to this process, and no person has confirmed the date since the machine's boot.
    NotHeard,
    /// The central system says another time.
    Disagrees {
        /// By how many milliseconds the wall clock is ahead of it; negative when it is behind.
        ahead_ms: i64,
    },
}

/// Whether deletion goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "deletion", rename_all = "snake_case")]
pub enum Deletion {
    /// What is old enough at `now_ms` may go.
    GoesOn {
        /// The lower of the wall clock and the newest central time, milliseconds since 1970-01-01 UTC.
        now_ms: i64,
        /// Who vouches for it.
        by: VouchedBy,
    },
    /// Nothing may go.
    Waits(Doubt),
}

/// Decides it.
pub fn decide(now: Now, central: Option<CentralTime>, confirmed: Option<Confirmation>) -> Deletion {
    let wall_ms = now.stamp.wall_ms;
    let lower_ms = central.map_or(wall_ms, |central| central.at(now.mono).min(wall_ms));
    let ahead_ms = central.map(|central| central.ahead_ms(now.mono, wall_ms));
    match ahead_ms {
        Some(apart_ms) if agree(apart_ms) => Deletion::GoesOn { now_ms: lower_ms, by: VouchedBy::CentralSystem },
        _ if confirmed.is_some_and(|confirmed| confirmed.holds(now)) => {
            Deletion::GoesOn { now_ms: lower_ms, by: VouchedBy::Person }
        }
        Some(ahead_ms) => Deletion::Waits(Doubt::Disagrees { ahead_ms }),
        None => Deletion::Waits(Doubt::NotHeard),
    }
}

/// How long deletion has waited, over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    waited_ms: u64,
    boot: u64,
    mono_ms: u64,
    wall_ms: i64,
}

impl Waiting {
    /// It begins.
    pub fn begin(now: Now) -> Self {
        Self { waited_ms: 0, boot: now.boot, mono_ms: now.mono.0, wall_ms: now.stamp.wall_ms }
    }

    /// It has gone on until now. Within one boot the machine's own clock counts. Of the time between two boots what the wall clock claims
    /// is counted, from nothing to [`OFF_COUNTED_MAX`].
    pub fn observe(&mut self, now: Now) {
        let passed = if self.boot == now.boot {
            now.mono.0.saturating_sub(self.mono_ms)
        } else {
            let claimed = u64::try_from(now.stamp.wall_ms.saturating_sub(self.wall_ms)).unwrap_or(0);
            claimed.min(u64::try_from(OFF_COUNTED_MAX.as_millis()).unwrap_or(u64::MAX))
        };
        *self = Self { waited_ms: self.waited_ms.saturating_add(passed), ..Self::begin(now) };
    }

    /// The boot it was last observed in.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// How long by now.
    pub fn waited(&self) -> Duration {
        Duration::from_millis(self.waited_ms)
    }

    /// Whether people are to be alarmed.
    pub fn alarms(&self) -> bool {
        self.waited() >= ALARM_AFTER
    }
}

#[cfg(test)]
mod tests;
