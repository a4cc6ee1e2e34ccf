//! Measurements of the real programs, as tables. One entry of [`BENCHES`] each.
//!
//! Absolute times drift with the machine and its neighbours, so each stands beside a reference measured in the same run, and nothing
//! here fails for being slow: a bench passes when it could measure everything.

mod append;
mod drain;
mod histogram;
mod machine;
mod reception;

use crate::report::Report;
use anyhow::Result;
use std::time::Duration;

/// A measurement.
pub struct Bench {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it measures, in one line.
    pub what: &'static str,
    run: fn(Settings, &mut Report) -> Result<()>,
}

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a patient looks at each screen before pressing something.
    pub pause: Duration,
    /// Rows of a queue, where the bench has one; the bench's own number without.
    pub rows: Option<u64>,
}

/// Every measurement.
pub const BENCHES: &[Bench] = &[
    Bench {
        name: "append",
        what: "receptions that become durable in a second, beside a file with fsync, grouped inserts by sqlx, and PostgreSQL 15",
        run: append::run,
    },
    Bench {
        name: "drain",
        what: "100,000 requests of an outage delivered to the simulator, and what patients wait meanwhile",
        run: drain::run,
    },
    Bench {
        name: "queue",
        what: "start, append, drain and memory with a queue of 1,000,000 rows beside 1,000",
        run: drain::queue::run,
    },
    Bench {
        name: "reception",
        what: "the gateway's own share of a reception by face and by PIN, with 1, 4 and 16 busy readers; memory; cold start",
        run: reception::run,
    },
];

impl Bench {
    /// Measures and prints tables. A bench that breaks off has failed.
    pub fn run(&self, settings: Settings) -> Report {
        let mut report = Report::new(self.name);
        if let Err(error) = (self.run)(settings, &mut report) {
            report.fault(format!("broke off: {error:#}"));
        }
        report
    }
}
