//! Whether the gateway can do its work, part by part: for `/healthz`.

use crate::central::Reach;
use crate::clock::Clock;
use crate::handle::{Counted, CourierStatus, SiteHandle};
use crate::store::{Store, StoreHealth};
use crate::upkeep::Upkept;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use uketsuke_core::outbox::Circuit;
use uketsuke_core::retention::{Deletion, Doubt};

/// The state of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// Patients can be received. A line that is down does not make this false.
    pub ok: bool,
    /// What it is made of.
    pub parts: Vec<HealthPart>,
    /// The courier as it was when this was reported: a page that shows both takes it from here, so that it never tells two counts.
    #[serde(skip)]
    pub central: CourierStatus,
}

/// The state of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthPart {
    /// Which: `store`, `queue`, `disk`, `deletion`, `central`, `certificates`, `clock`, `mqtt`, `face`, `connections`, `reader desk-1/a`,
    /// and `configuration`, `card anchors`, `web` once they had something to say.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// It has been wrong for so long that a person must see to it today.
    pub urgent: bool,
    /// In words; nothing personal.
    pub detail: String,
}

impl HealthPart {
    /// One that is not urgent.
    pub fn new(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self { name: name.into(), ok, urgent: false, detail: detail.into() }
    }
}

/// Keeps what the parts last said, and asks the others.
#[derive(Clone)]
pub struct Health {
    store: Store,
    clock: Clock,
    upkept: watch::Receiver<Upkept>,
    attention_waiting: u64,
    face: Arc<Mutex<HealthPart>>,
    told: Arc<Mutex<BTreeMap<&'static str, HealthPart>>>,
}

impl Health {
    /// The face method counts as loading until it says something. With more than `attention_waiting` requests that wait people are told.
    pub fn new(store: Store, clock: Clock, upkept: watch::Receiver<Upkept>, attention_waiting: u64) -> Self {
        let face = HealthPart::new("face", true, "loading the models");
        Self { store, clock, upkept, attention_waiting, face: Arc::new(Mutex::new(face)), told: Arc::default() }
    }

    /// What became of the face method.
    pub fn face(&self, detail: String, ok: bool) {
        let mut face = self.face.lock().unwrap_or_else(PoisonError::into_inner);
        (face.detail, face.ok) = (detail, ok);
    }

    /// What a part that is not asked says of itself: the latest holds.
    pub fn tell(&self, name: &'static str, ok: bool, detail: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(name, HealthPart::new(name, ok, detail));
    }

    /// The state of everything. Only a store that cannot write makes the whole unhealthy: without face, line or one of the readers
    /// patients are still received.
    pub fn report(&self, site: &SiteHandle) -> HealthReport {
        let store = self.store.health().borrow().clone();
        let ok = !matches!(
            store,
            StoreHealth::Full { writing: false } | StoreHealth::Locked { .. } | StoreHealth::Failed { .. }
        );
        let upkept = *self.upkept.borrow();
        let (sound, detail) = match &store {
            StoreHealth::Ok if upkept.figures.put_aside > 0 => (
                false,
                "another program had replaced the database; everything acknowledged was saved and is in use, what stood in its \
                 place lies beside it as *.aside: look at it, then move it away"
                    .to_owned(),
            ),
            StoreHealth::Ok => (true, "every write is acknowledged when it is on disk".to_owned()),
            StoreHealth::Tampered { rows } => {
                (false, format!("{rows} altered rows are held back; compare with a backup"))
            }
            StoreHealth::Full { writing: true } => {
                (false, "the disk is full; the reserve is in use, free some space".to_owned())
            }
            StoreHealth::Full { writing: false } => (false, "the disk is full; free some space".to_owned()),
            StoreHealth::Locked { holder } => (false, locked(holder)),
            StoreHealth::Failed { what } => (false, format!("{what}; the gateway ends once nothing is left to be saved")),
        };
        let mut parts = vec![HealthPart::new("store", sound, detail)];
        let central = *site.central.borrow();
        parts.extend([queue(&upkept, central.counted, self.attention_waiting), disk(&upkept), deletion(&upkept)]);
        let down = matches!(central.circuit, Circuit::Down { .. });
        let link = site.link.borrow().clone();
        let line = match (down, Reach::of(link.fault.as_ref())) {
            (false, _) => "reachable",
            (true, Reach::Nobody) => "cannot be reached, receptions are provisional",
            (true, Reach::Struggling) => "connected, but it does not work well, receptions are provisional",
            (true, Reach::NotServing) => "connected, but it does not serve this gateway, receptions are provisional",
        };
        let mut why = link.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
        why.extend(link.consents_wait().map(|said| format!("; {}", said.en)));
        parts.push(HealthPart::new("central", !down, format!("{line}{why}")));
        let warnings = link.warnings(self.clock.stamp().wall_ms);
        let detail = match &warnings[..] {
            [] => "valid and in use".to_owned(),
            some => some.iter().map(|said| said.en.as_str()).collect::<Vec<_>>().join("; "),
        };
        parts.push(HealthPart::new("certificates", warnings.is_empty(), detail));
        let contradicted = upkept.retention.and_then(|retention| match retention.deletion {
            Deletion::Waits(Doubt::Disagrees { ahead_ms }) => Some(ahead_ms),
            _ => None,
        });
        let clock = if self.clock.stamp().synchronised {
            (true, "synchronised")
        } else if contradicted.is_some() {
            (false, "not the central system's time: set the clock; no card is refused for its dates")
        } else {
            (false, "not known to be synchronised (clock.synchronised_marker): no card is refused for its dates")
        };
        parts.push(HealthPart::new("clock", clock.0, clock.1));
        let mqtt = site.mqtt.borrow().clone();
        parts.push(HealthPart::new("mqtt", mqtt.ok(), mqtt.said().en));
        parts.push(self.face.lock().unwrap_or_else(PoisonError::into_inner).clone());
        parts.extend(self.told.lock().unwrap_or_else(PoisonError::into_inner).values().cloned());
        for reader in site.readers.iter() {
            let status = reader.status().borrow().clone();
            let ok = !matches!(status.state, "closed" | "given_up" | "stopped");
            let detail = match &status.closed {
                Some(why) => format!("{}: {why}; it is tried again", status.state),
                None => status.state.to_owned(),
            };
            parts.push(HealthPart::new(format!("reader {}", reader.name()), ok, detail));
        }
        HealthReport { ok, parts, central }
    }
}

/// The store before it is open.
pub fn opening(lock_holder: Option<&str>) -> HealthPart {
    let detail = match lock_holder {
        Some(holder) => locked(holder),
        None => "the database is being opened and checked; receptions begin by themselves".to_owned(),
    };
    HealthPart::new("store", false, detail)
}

fn locked(holder: &str) -> String {
    format!("{holder} holds the write lock of the database; end it, then receptions go on by themselves")
}

/// People are told of a wait for the central system's clock after this long: a line that is down at a start is no news about the clock.
const DELETION_SAID_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether what is old is deleted. Nobody is turned away for it. A clock that the central system contradicts is told of at once.
fn deletion(upkept: &Upkept) -> HealthPart {
    let Some(retention) = &upkept.retention else {
        return HealthPart::new("deletion", true, "not looked at yet since the start");
    };
    let wrong = matches!(retention.deletion, Deletion::Waits(Doubt::Disagrees { .. }));
    let ok = !wrong && retention.waited < DELETION_SAID_AFTER;
    HealthPart { urgent: retention.alarms, ..HealthPart::new("deletion", ok, retention.words()) }
}

/// What is left of the store's disk.
fn disk(upkept: &Upkept) -> HealthPart {
    let free = match upkept.figures.free_bytes {
        Some(bytes) => format!("{} MiB are free on the disk of the database", bytes / (1024 * 1024)),
        None => "not known how much is free on the disk of the database".to_owned(),
    };
    let low = if upkept.disk_low { ", less than store.attention_free_mib: free some space" } else { "" };
    HealthPart::new("disk", !upkept.disk_low, format!("{free}{low}"))
}

/// What the store's limits say. Nobody is turned away for them.
fn queue(upkept: &Upkept, counted: Option<Counted>, attention_waiting: u64) -> HealthPart {
    let isolated = upkept.counted.then_some(upkept.figures.outbox.isolated);
    let many_wait = counted.is_some_and(|counted| counted.pending > attention_waiting);
    let mut words = vec![match (counted, isolated) {
        (Some(Counted { pending, .. }), Some(isolated)) => {
            format!("{pending} requests wait, {isolated} are held back or set aside")
        }
        (Some(Counted { pending, .. }), None) => {
            format!(
                "{pending} requests wait, those that are held back or set aside are not counted yet since the start"
            )
        }
        (None, Some(isolated)) => {
            format!("requests that wait are not counted yet since the start, {isolated} are held back or set aside")
        }
        (None, None) => "not counted yet since the start".to_owned(),
    }];
    if many_wait {
        words.push("more than store.attention_waiting: see why the central system does not take them".into());
    }
    if upkept.large {
        words.push(
            "the database is larger than store.attention_mib: see to the disk, or keep receptions for less long".into(),
        );
    }
    let held_back = isolated.is_some_and(|isolated| isolated > 0);
    if held_back {
        words.push("see `uketsuke queue`".into());
    }
    HealthPart::new("queue", !many_wait && !upkept.large && !held_back, words.join("; "))
}
