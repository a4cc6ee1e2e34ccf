//! Whether the gateway can do its work, part by part: for `/healthz`, in English, and for the staff page, in its language.

mod parts;

pub use parts::opening;

use crate::central::Said;
use crate::clock::Clock;
use crate::handle::{CourierStatus, SiteHandle};
use crate::store::{Store, StoreHealth};
use crate::upkeep::Upkept;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

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
    /// In words; nothing personal. Machines that ask `/healthz` read the English.
    #[serde(serialize_with = "in_english")]
    pub detail: Said,
}

fn in_english<S: Serializer>(said: &Said, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&said.en)
}

/// Several sentences as one.
pub fn joined(sentences: &[Said]) -> Said {
    let all = |text: fn(&Said) -> &str, between| sentences.iter().map(text).collect::<Vec<_>>().join(between);
    Said::new(all(|said| said.ja.trim_end_matches('。'), "。"), all(|said| &said.en, "; "))
}

impl HealthPart {
    /// One that is not urgent.
    pub fn new(name: impl Into<String>, ok: bool, detail: Said) -> Self {
        Self { name: name.into(), ok, urgent: false, detail }
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
        let face = HealthPart::new("face", true, Said::new("準備しています", "loading the models"));
        Self { store, clock, upkept, attention_waiting, face: Arc::new(Mutex::new(face)), told: Arc::default() }
    }

    /// What became of the face method.
    pub fn face(&self, detail: Said, ok: bool) {
        let mut face = self.face.lock().unwrap_or_else(PoisonError::into_inner);
        (face.detail, face.ok) = (detail, ok);
    }

    /// What a part that is not asked says of itself: the latest holds.
    pub fn tell(&self, name: &'static str, ok: bool, detail: Said) {
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
        let central = *site.central.borrow();
        let link = site.link.borrow().clone();
        let mqtt = site.mqtt.borrow().clone();
        let mut parts = vec![
            parts::store(&store, &upkept),
            parts::queue(&upkept, central.counted, self.attention_waiting),
            parts::disk(&upkept),
            parts::deletion(&upkept),
            parts::central(central.circuit, &link),
            parts::certificates(&link.warnings(self.clock.stamp().wall_ms)),
            parts::clock(self.clock.stamp().synchronised, &upkept),
            HealthPart::new("mqtt", mqtt.ok(), mqtt.said()),
            self.face.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        ];
        parts.extend(self.told.lock().unwrap_or_else(PoisonError::into_inner).values().cloned());
        parts.extend(site.readers.iter().map(|reader| parts::reader(reader.name(), &reader.status().borrow())));
        HealthReport { ok, parts, central }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_read_the_english() {
        let part = HealthPart::new("store", false, Said::new("理由", "the reason"));
        assert_eq!(
            serde_json::to_value(part).unwrap(),
            serde_json::json!({ "name": "store", "ok": false, "urgent": false, "detail": "the reason" })
        );
    }
}
