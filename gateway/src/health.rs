//! Whether the gateway can do its work, part by part: for `/healthz`.

use crate::central::Reach;
use crate::clock::Clock;
use crate::handle::SiteHandle;
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
}

/// The state of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthPart {
    /// Which: `store`, `queue`, `disk`, `deletion`, `central`, `certificates`, `clock`, `mqtt`, `face`, `connections`, `reader desk-1/a`,
    /// and `configuration`, `card anchors`, `web` once they had something to say.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// In words; nothing personal.
    pub detail: String,
}

/// Keeps what the parts last said, and asks the others.
#[derive(Clone)]
pub struct Health {
    store: Store,
    clock: Clock,
    upkept: watch::Receiver<Upkept>,
    face: Arc<Mutex<HealthPart>>,
    told: Arc<Mutex<BTreeMap<&'static str, HealthPart>>>,
}

impl Health {
    /// The face method counts as loading until it says something.
    pub fn new(store: Store, clock: Clock, upkept: watch::Receiver<Upkept>) -> Self {
        let face = HealthPart { name: "face".into(), ok: true, detail: "loading the models".into() };
        Self { store, clock, upkept, face: Arc::new(Mutex::new(face)), told: Arc::default() }
    }

    /// What became of the face method.
    pub fn face(&self, detail: String, ok: bool) {
        let mut face = self.face.lock().unwrap_or_else(PoisonError::into_inner);
        (face.detail, face.ok) = (detail, ok);
    }

    /// What a part that is not asked says of itself: the latest holds.
    pub fn tell(&self, name: &'static str, ok: bool, detail: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(name, HealthPart { name: name.into(), ok, detail });
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
            StoreHealth::Locked { holder } => (
                false,
                format!("{holder} holds the write lock of the database; end it, then receptions go on by themselves"),
            ),
            StoreHealth::Failed { what } => (false, format!("{what}; the gateway is ending")),
        };
        let mut parts = vec![HealthPart { name: "store".into(), ok: sound, detail }];
        parts.extend([queue(&upkept), disk(&upkept), deletion(&upkept)]);
        let central = *site.central.borrow();
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
        parts.push(HealthPart { name: "central".into(), ok: !down, detail: format!("{line}{why}") });
        let warnings = link.warnings(self.clock.stamp().wall_ms);
        parts.push(HealthPart {
            name: "certificates".into(),
            ok: warnings.is_empty(),
            detail: match &warnings[..] {
                [] => "valid and in use".to_owned(),
                some => some.iter().map(|said| said.en.as_str()).collect::<Vec<_>>().join("; "),
            },
        });
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
        parts.push(HealthPart { name: "clock".into(), ok: clock.0, detail: clock.1.into() });
        let mqtt = site.mqtt.borrow().clone();
        parts.push(HealthPart { name: "mqtt".into(), ok: mqtt.ok(), detail: mqtt.said().en });
        parts.push(self.face.lock().unwrap_or_else(PoisonError::into_inner).clone());
        parts.extend(self.told.lock().unwrap_or_else(PoisonError::into_inner).values().cloned());
        for reader in site.readers.iter() {
            let status = reader.status().borrow().clone();
            let ok = !matches!(status.state, "closed" | "given_up" | "stopped");
            let detail = match &status.closed {
                Some(why) => format!("{}: {why}; it is tried again", status.state),
                None => status.state.to_owned(),
            };
            parts.push(HealthPart { name: format!("reader {}", reader.name()), ok, detail });
        }
        HealthReport { ok, parts }
    }
}

/// People are told of a wait for the central system's clock after this long: a line that is down at a start is no news about the clock.
const DELETION_SAID_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether what is old is deleted. Nobody is turned away for it. A clock that the central system contradicts is told of at once.
fn deletion(upkept: &Upkept) -> HealthPart {
    let (ok, detail) = match &upkept.retention {
        None => (true, "not looked at yet since the start".to_owned()),
        Some(retention) => {
            let wrong = matches!(retention.deletion, Deletion::Waits(Doubt::Disagrees { .. }));
            (!wrong && retention.waited < DELETION_SAID_AFTER, retention.words())
        }
    };
    HealthPart { name: "deletion".into(), ok, detail }
}

/// What is left of the store's disk.
fn disk(upkept: &Upkept) -> HealthPart {
    let free = match upkept.figures.free_bytes {
        Some(bytes) => format!("{} MiB are free on the disk of the database", bytes / (1024 * 1024)),
        None => "not known how much is free on the disk of the database".to_owned(),
    };
    let low = if upkept.disk_low { ", less than store.attention_free_mib: free some space" } else { "" };
    HealthPart { name: "disk".into(), ok: !upkept.disk_low, detail: format!("{free}{low}") }
}

/// What the store's limits say. Nobody is turned away for them.
fn queue(upkept: &Upkept) -> HealthPart {
    let Upkept { figures, many_wait, large, .. } = upkept;
    let outbox = &figures.outbox;
    if !upkept.counted {
        return HealthPart { name: "queue".into(), ok: true, detail: "not counted yet since the start".into() };
    }
    let mut words = vec![format!("{} requests wait, {} are held back or set aside", outbox.pending, outbox.isolated)];
    if *many_wait {
        words.push("more than store.attention_waiting: see why the central system does not take them".into());
    }
    if *large {
        words.push(
            "the database is larger than store.attention_mib: see to the disk, or keep receptions for less long".into(),
        );
    }
    if outbox.isolated > 0 {
        words.push("see `uketsuke queue`".into());
    }
    HealthPart { name: "queue".into(), ok: !many_wait && !large && outbox.isolated == 0, detail: words.join("; ") }
}
