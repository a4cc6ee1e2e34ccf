//! One session with a broker after the other: when to connect, when a session is worthless, whose topics are ours.
//!
//! * Nothing of a session outlives it: a session that ends in any way is dropped whole, and the next one starts from nothing.
//! * A publish that is not acknowledged in time ends the session ([`Condition::Stalled`]).
//! * Another gateway in our place is recognised ([`Condition::TakenOver`]). Then each gateway comes back after 30 s or later.
//! * Topics of parts that are gone are cleared, but never while another gateway may be writing them.
//!
//! MQTT 3.1.1 gives no reason when a broker closes a session. So a takeover is recognised by what it leaves behind: each gateway
//! listens to its own state topic, and each message there, the Last Will included, names the process that wrote it. A message of
//! another process that was written after ours proves the other gateway. Where the broker lets us hear nothing, three sessions in
//! a row that the broker closed soon after it accepted them raise the suspicion.

use crate::backoff::Backoff;
use crate::clock::{Mono, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Sessions closed early, one after the other, that raise the suspicion of a takeover.
const EARLY_ENDS_MAX: u32 = 3;
/// Foreign topics that are remembered at the most; more are found again in the next session.
const STRAYS_MAX: usize = 1024;
/// Topics cleared at once. The client's queue takes more than this.
const CLEAR_AT_ONCE: usize = 64;
/// Between two such lots.
const CLEAR_PAUSE: Duration = Duration::from_secs(1);

/// Time limits of the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A connection attempt that takes longer has failed.
    pub open_within: Duration,
    /// A publish without acknowledgement for longer ends the session.
    pub acknowledge_within: Duration,
    /// A session that the broker closes sooner than this was closed early.
    pub early: Duration,
    /// Between tries to reach the broker.
    pub retry: Backoff,
    /// Before the next try while another gateway is in our place.
    pub rival_retry: Backoff,
    /// A session is held for this long before anything is cleared. Another gateway that we pushed out is back sooner.
    pub clear_after: Duration,
    /// Another gateway counts as gone after a session of this length without a sign of it.
    pub quiet: Duration,
    /// While nothing is heard of our topics, it is asked for again this often.
    pub listen_again: Duration,
}

impl Rules {
    /// The limits for a keep-alive, and for how often state is published even without a change.
    pub fn new(keep_alive: Duration, refresh: Duration) -> Self {
        let rival_most = Duration::from_secs(60);
        Self {
            open_within: Duration::from_secs(15),
            // As patient as the broker is with us, but a stall is known within half a minute whatever the keep-alive.
            acknowledge_within: (keep_alive * 3 / 2).min(Duration::from_secs(30)),
            early: Duration::from_secs(20),
            retry: Backoff { first: Duration::from_millis(500), most: Duration::from_secs(30) },
            // Jitter spreads a delay over its upper half: 30 s to 60 s.
            rival_retry: Backoff { first: rival_most, most: rival_most },
            clear_after: Duration::from_secs(10),
            // Longer than the other gateway's own wait, and than two of its refreshes.
            quiet: (rival_most * 5 / 2).max(refresh * 2 + rival_most),
            // A message that is far too large costs a session each time that it is met.
            listen_again: Duration::from_secs(10 * 60),
        }
    }
}

/// How it stands with the broker, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// There is no session; one is being opened, or the next try is waited for.
    Connecting,
    /// A session is open and publishes are acknowledged.
    Up,
    /// The last session ended because publishes were not acknowledged, and no later one has shown that they are again.
    Stalled,
    /// Another gateway is in our place.
    TakenOver {
        /// Its messages were seen; otherwise it is concluded from sessions that the broker keeps closing.
        certain: bool,
    },
}

impl Condition {
    /// Its name in metrics, and every name there is.
    pub const NAMES: [&'static str; 4] = ["connecting", "up", "stalled", "taken_over"];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Stalled => "stalled",
            Self::TakenOver { .. } => "taken_over",
        }
    }
}

/// Why nothing is heard of what stands in our own topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deaf {
    /// The broker refuses the subscription.
    Refused,
    /// Something stood there that cannot be read and ended the session.
    Unreadable,
}

/// How often things happened since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sessions opened.
    pub connects: u64,
    /// Sessions given up because publishes were not acknowledged.
    pub stalls: u64,
    /// Times that another gateway was noticed in our place.
    pub takeovers: u64,
    /// Topics of parts that are gone which were cleared.
    pub cleared: u64,
}

/// Why a session, or the attempt at one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The broker closed the connection.
    Closed,
    /// The broker cannot be reached, refuses us, or fell silent.
    Unreachable,
    /// Something came in that cannot be read, such as a message far too large: the next sessions do not listen for a while.
    Unreadable,
}

/// What stands in our own state topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Another process than this one wrote it.
    pub foreign: bool,
    /// That process started later than this one, so it cannot be an earlier run of this gateway.
    pub younger: bool,
    /// It says that the gateway runs; otherwise that it has stopped or died.
    pub online: bool,
    /// The broker had kept it; otherwise it was written just now.
    pub kept: bool,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed.
    Tick,
    /// The broker accepted the session.
    Opened,
    /// A publish left under this packet id.
    Sent(u16),
    /// The broker acknowledged this packet id.
    Acknowledged(u16),
    /// The broker has answered [`Effect::Listen`]: whether it lets us hear all that was asked for.
    Listening(bool),
    /// Our own state topic was read.
    Seen(Sighting),
    /// This topic below our root is not empty.
    Found(String),
    /// The session, or the attempt at one, ended.
    Ended(End),
}

/// Something to be done by the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a session with a client made for it; report `Opened` or `Ended`.
    Connect,
    /// Drop the session whole. Nothing more is reported of it.
    Drop,
    /// Ask for our own state topic and for the topics of readers and terminals. Comes before `PublishAll`, so that what the broker
    /// kept is read before it is overwritten.
    Listen,
    /// Publish every topic, our own state first.
    PublishAll,
    /// Publish our own state again: something else stands in its topic.
    Restate,
    /// Publish nothing (retained) to this topic.
    Clear(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Stalled,
    TakenOver { certain: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Waiting { until: Mono },
    Opening { since: Mono },
    Open(Session),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    opened: Mono,
    /// An earlier session of this process had told the broker our state already.
    told_before: bool,
    /// Since when the broker lets us hear.
    hears_since: Option<Mono>,
    /// Publishes without acknowledgement, by packet id, with the time that they left.
    unacknowledged: BTreeMap<u16, Mono>,
    /// Topics of parts that this gateway does not have.
    strays: BTreeSet<String>,
    /// Not before this is anything cleared.
    clear_at: Mono,
}

/// The sessions of one gateway with its broker.
#[derive(Debug, Clone)]
pub struct Sessions {
    rules: Rules,
    root: String,
    /// Topics of parts that this gateway has.
    own: BTreeSet<String>,
    line: Line,
    trouble: Option<Trouble>,
    /// Tries and short sessions since the last session that lasted.
    failures: u32,
    early_ends: u32,
    /// The broker has acknowledged our state in this process, so what another process left there was written later…
    told: bool,
    /// …unless the broker was away meanwhile and came back with what it knew before.
    away: bool,
    /// Nothing is heard, and why.
    deaf: Option<Deaf>,
    /// When it is listened again, while nothing is heard.
    listen_at: Mono,
    rival_seen: Mono,
    counts: Counts,
}

impl Sessions {
    /// The first try is due at once. `root` is the first part of every topic, without a slash at its end; `own` are the topics of the
    /// parts that there are.
    pub fn new(rules: Rules, root: String, own: BTreeSet<String>, now: Now) -> Self {
        Self {
            rules,
            root,
            own,
            line: Line::Waiting { until: now.mono },
            trouble: None,
            failures: 0,
            early_ends: 0,
            told: false,
            away: false,
            deaf: None,
            listen_at: now.mono,
            rival_seen: now.mono,
            counts: Counts::default(),
        }
    }

    /// How it stands.
    pub fn condition(&self) -> Condition {
        match (&self.line, self.trouble) {
            (_, Some(Trouble::TakenOver { certain })) => Condition::TakenOver { certain },
            (_, Some(Trouble::Stalled)) => Condition::Stalled,
            (Line::Open(_), None) => Condition::Up,
            (Line::Waiting { .. } | Line::Opening { .. }, None) => Condition::Connecting,
        }
    }

    /// Whether a session is open, so that something can be published.
    pub fn is_open(&self) -> bool {
        matches!(self.line, Line::Open(_))
    }

    /// Why nothing is heard of our own topics; `None` when it is, or may be.
    pub fn deaf(&self) -> Option<Deaf> {
        self.deaf
    }

    /// How often things happened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When the next `Tick` is due, if nothing happens before.
    pub fn deadline(&self) -> Option<Mono> {
        match &self.line {
            Line::Waiting { until } => Some(*until),
            Line::Opening { since } => Some(since.after(self.rules.open_within)),
            Line::Open(session) => {
                let overdue = session.oldest().map(|sent| sent.after(self.rules.acknowledge_within));
                let quiet = self.taken_over().then(|| self.quiet_at(session));
                let clear = (self.trouble.is_none() && !session.strays.is_empty()).then_some(session.clear_at);
                let hearing = self.deaf.map(|_| match session.hears_since {
                    Some(since) => since.after(self.rules.clear_after),
                    None => self.listen_at,
                });
                [overdue, quiet, clear, hearing].into_iter().flatten().min()
            }
        }
    }

    /// Takes one event. `jitter` is a random number in 0..=1.
    pub fn step(&mut self, now: Now, event: Event, jitter: f64, effects: &mut Vec<Effect>) {
        let now = now.mono;
        match event {
            Event::Tick => {}
            Event::Opened => self.opened(now, effects),
            Event::Sent(id) => {
                if let Line::Open(session) = &mut self.line {
                    session.unacknowledged.insert(id, now);
                }
            }
            Event::Acknowledged(id) => self.acknowledged(id),
            Event::Listening(granted) => self.listening(now, granted),
            Event::Seen(sighting) => self.seen(now, sighting, effects),
            Event::Found(topic) => self.found(topic),
            Event::Ended(end) => self.ended(now, end, jitter),
        }
        self.time(now, jitter, effects);
    }

    fn opened(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        if !matches!(self.line, Line::Opening { .. }) {
            return;
        }
        self.counts.connects += 1;
        self.line = Line::Open(Session {
            opened: now,
            told_before: self.told,
            hears_since: None,
            unacknowledged: BTreeMap::new(),
            strays: BTreeSet::new(),
            clear_at: now.after(self.rules.clear_after),
        });
        // A new session asks again although the last one was refused: the broker may have been started anew with other rights.
        if self.deaf != Some(Deaf::Unreadable) || now >= self.listen_at {
            self.listen(now, effects);
        }
        effects.push(Effect::PublishAll);
    }

    fn listen(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        self.listen_at = now.after(self.rules.listen_again);
        effects.push(Effect::Listen);
    }

    fn listening(&mut self, now: Mono, granted: bool) {
        let Line::Open(session) = &mut self.line else { return };
        session.hears_since = granted.then_some(now);
        match self.deaf {
            _ if !granted => self.deaf = Some(Deaf::Refused),
            Some(Deaf::Refused) => self.deaf = None,
            // It is over when what stands in the topics has come in and the session has lived on.
            Some(Deaf::Unreadable) | None => {}
        }
    }

    /// Asks again after a while, and finds out that what could not be read is gone.
    fn hear_again(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        let Line::Open(session) = &self.line else { return };
        match session.hears_since {
            _ if self.deaf.is_none() => {}
            Some(since) if now >= since.after(self.rules.clear_after) => self.deaf = None,
            None if now >= self.listen_at => self.listen(now, effects),
            Some(_) | None => {}
        }
    }

    fn acknowledged(&mut self, id: u16) {
        let Line::Open(session) = &mut self.line else { return };
        if session.unacknowledged.remove(&id).is_none() {
            return;
        }
        self.told = true;
        if session.unacknowledged.is_empty() && self.trouble == Some(Trouble::Stalled) {
            self.trouble = None;
        }
    }

    fn seen(&mut self, now: Mono, sighting: Sighting, effects: &mut Vec<Effect>) {
        let Sighting { foreign, younger, online, kept } = sighting;
        let Line::Open(Session { told_before, .. }) = self.line else { return };
        if !foreign {
            return;
        }
        // What the broker kept may be of an earlier run of this gateway, and so may an "offline" that comes late. Nothing else may.
        let rival = if kept { told_before && (younger || !self.away) } else { online };
        let known = self.trouble == Some(Trouble::TakenOver { certain: true });
        if rival {
            self.rival(now, true);
        }
        // Kept messages are overwritten anyway. Two gateways that answer each other's "online" would never end: each does it once.
        if !kept && (!online || !known) {
            effects.push(Effect::Restate);
        }
    }

    fn rival(&mut self, now: Mono, certain: bool) {
        if !self.taken_over() {
            self.counts.takeovers += 1;
        }
        self.trouble = Some(Trouble::TakenOver { certain });
        self.rival_seen = now;
    }

    fn found(&mut self, topic: String) {
        let Line::Open(session) = &mut self.line else { return };
        if session.strays.len() < STRAYS_MAX && !self.own.contains(&topic) && is_of_a_part(&self.root, &topic) {
            session.strays.insert(topic);
        }
    }

    fn ended(&mut self, now: Mono, end: End, jitter: f64) {
        match &self.line {
            Line::Waiting { .. } => {}
            Line::Opening { .. } => self.failed_to_open(now, jitter),
            Line::Open(session) => {
                let early = now.since(session.opened) < self.rules.early;
                self.away = end == End::Unreachable;
                if end == End::Unreadable {
                    self.deaf = Some(Deaf::Unreadable);
                    self.listen_at = now.after(self.rules.listen_again);
                }
                if end == End::Closed && self.taken_over() {
                    self.counts.takeovers += 1;
                    self.rival_seen = now;
                }
                self.early_ends = if early && end == End::Closed { self.early_ends + 1 } else { 0 };
                if self.early_ends >= EARLY_ENDS_MAX && !self.taken_over() {
                    self.rival(now, false);
                }
                self.wait(now, !early, jitter);
            }
        }
    }

    /// What was concluded from sessions says nothing about a broker that is not there.
    fn failed_to_open(&mut self, now: Mono, jitter: f64) {
        self.away = true;
        self.early_ends = 0;
        self.trouble = None;
        self.wait(now, false, jitter);
    }

    fn wait(&mut self, now: Mono, lasted: bool, jitter: f64) {
        self.failures = if lasted { 1 } else { self.failures.saturating_add(1) };
        let delay = if self.taken_over() {
            self.rules.rival_retry.delay(1, jitter)
        } else {
            self.rules.retry.delay(self.failures, jitter)
        };
        self.line = Line::Waiting { until: now.after(delay) };
    }

    /// What is due.
    fn time(&mut self, now: Mono, jitter: f64, effects: &mut Vec<Effect>) {
        match &self.line {
            Line::Waiting { until } if now >= *until => {
                self.line = Line::Opening { since: now };
                effects.push(Effect::Connect);
            }
            Line::Opening { since } if now >= since.after(self.rules.open_within) => {
                effects.push(Effect::Drop);
                self.failed_to_open(now, jitter);
            }
            Line::Open(session) => {
                if session.oldest().is_some_and(|sent| now >= sent.after(self.rules.acknowledge_within)) {
                    self.stalled(now, jitter, effects);
                    return;
                }
                if self.taken_over() && now >= self.quiet_at(session) {
                    (self.trouble, self.early_ends) = (None, 0);
                }
                self.hear_again(now, effects);
                self.clear(now, effects);
            }
            Line::Waiting { .. } | Line::Opening { .. } => {}
        }
    }

    fn stalled(&mut self, now: Mono, jitter: f64, effects: &mut Vec<Effect>) {
        let Line::Open(session) = &self.line else { return };
        let lasted = now.since(session.opened) >= self.rules.early.max(self.rules.acknowledge_within * 2);
        self.counts.stalls += 1;
        if !self.taken_over() {
            self.trouble = Some(Trouble::Stalled);
        }
        self.early_ends = 0;
        effects.push(Effect::Drop);
        self.wait(now, lasted, jitter);
    }

    fn clear(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        let Line::Open(session) = &mut self.line else { return };
        if self.trouble.is_some() || session.strays.is_empty() || now < session.clear_at {
            return;
        }
        session.clear_at = now.after(CLEAR_PAUSE);
        for _ in 0..CLEAR_AT_ONCE {
            let Some(topic) = session.strays.pop_first() else { break };
            self.counts.cleared += 1;
            effects.push(Effect::Clear(topic));
        }
    }

    fn taken_over(&self) -> bool {
        matches!(self.trouble, Some(Trouble::TakenOver { .. }))
    }

    fn quiet_at(&self, session: &Session) -> Mono {
        session.opened.max(self.rival_seen).after(self.rules.quiet)
    }
}

impl Session {
    fn oldest(&self) -> Option<Mono> {
        self.unacknowledged.values().min().copied()
    }
}

/// Whether a topic has the shape of a reader's or a terminal's. Other topics below our root were never written by a gateway.
fn is_of_a_part(root: &str, topic: &str) -> bool {
    let Some(below) = topic.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')) else { return false };
    let parts: Vec<_> = below.split('/').collect();
    matches!(parts[..], ["reader", _, _] | ["terminal", _]) && parts.iter().all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests;
