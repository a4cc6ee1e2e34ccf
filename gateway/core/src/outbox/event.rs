//! What a courier's plan hears, what it wants done, and the words for both.

use crate::clock::Mono;
use crate::ids::OrderKey;
use std::time::Duration;

/// What is asked of the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// For a patient's eligibility, the first time.
    Question,
    /// About an earlier question.
    FollowUp,
    /// To take consents.
    Consent,
}

/// What the plan needs to know of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its position.
    pub seq: i64,
    /// What it asks.
    pub kind: Kind,
    /// Its patient.
    pub order_key: OrderKey,
    /// Tries that failed although the destination was there, as [`super::attempts_after`] counts them.
    pub attempts: u32,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// It took effect (now or at an earlier try).
    Delivered,
    /// The destination could not be reached.
    Unreachable,
    /// The destination was reached, but did not answer in time or refused us; that may be its fault or this request's.
    Doubtful {
        /// A word for the kind.
        code: String,
    },
    /// The destination asks for a pause.
    Busy(Option<Duration>),
    /// The destination works, yet failed at this request; another try may mend it.
    Failed {
        /// A word for the kind.
        code: String,
    },
    /// The destination works, and does not believe who sends this; the request itself may be well.
    Disbelieved {
        /// A word for the kind.
        code: String,
    },
    /// The destination refuses this request for good.
    Rejected {
        /// A word for the kind.
        code: String,
    },
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There may be new rows.
    Wake,
    /// Rows that may go out, in order of precedence; fewer than asked for means there are no more.
    Selected(Vec<Head>),
    /// The store could not be asked.
    SelectFailed,
    /// A try ended.
    Tried(i64, Tried),
    /// What was to be written about a row is on disk.
    Settled(i64),
    /// It could not be written; the row is as it was.
    SettleFailed(i64),
    /// The destination answered a probe, or did not.
    Probed(bool),
    /// Time passed.
    Tick,
}

/// What is to be written about a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// It took effect.
    Delivered,
    /// Not before this much later.
    Retry {
        /// A word for the kind.
        code: String,
        /// From now.
        after: Duration,
        /// It is this request that failed, at a destination that works: see [`super::attempts_after`].
        own: bool,
    },
    /// Refused for good.
    Rejected {
        /// A word for the kind.
        code: String,
    },
}

/// Something to be done by the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the store for at most `limit` rows, none of these keys; report `Selected`.
    Select {
        /// At most this many.
        limit: u32,
        /// Patients with a row in flight.
        busy: Vec<OrderKey>,
        /// Kinds that the destination has asked to leave out for a while.
        without: Vec<Kind>,
    },
    /// Send this row, report `Tried`.
    Send(i64),
    /// Write this down, report `Settled`.
    Settle(i64, Settle),
    /// Open a connection and ping, report `Probed`.
    Probe,
}

/// Whether the destination works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// As far as we know.
    Up,
    /// Nothing is sent; one probe at a time finds out when it is back, or one request where probes are not believed.
    Down {
        /// When the next probe is due; `None` while one is under way.
        probe_at: Option<Mono>,
    },
    /// It asked for a pause.
    Paused {
        /// Until then.
        until: Mono,
    },
}
