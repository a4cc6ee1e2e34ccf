//! The state that MQTT carries: which topics there are, and what stands in them.

use crate::config;
use crate::handle::{ReaderStatus, SiteHandle};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uketsuke_core::clock::Stamp;
use uketsuke_core::outbox::Circuit;
use uketsuke_core::reception::Attention;
use uketsuke_core::telemetry::session::Sighting;

/// `PREFIX/SITE/…` of one gateway.
#[derive(Clone)]
pub(super) struct Topics {
    root: String,
}

impl Topics {
    pub(super) fn new(mqtt: &config::Mqtt, site: &str) -> Self {
        Self { root: format!("{}/{site}", mqtt.topic_prefix) }
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn gateway(&self) -> String {
        format!("{}/gateway", self.root)
    }

    /// What the gateway reads back: who wrote its own state, and parts that are no longer there.
    pub(super) fn listened_to(&self) -> [String; 3] {
        [self.gateway(), format!("{}/reader/+/+", self.root), format!("{}/terminal/+", self.root)]
    }
}

/// The gateway's own topic; also the Last Will.
#[derive(Serialize)]
struct Gateway<'a> {
    state: &'a str,
    version: &'a str,
    since_ms: i64,
}

/// What the gateway's topic says while it lives, when it stopped in order, and when the broker misses it. `started` tells one process
/// from another.
pub(super) fn gateway(state: &str, started: Stamp) -> String {
    json(&Gateway { state, version: env!("CARGO_PKG_VERSION"), since_ms: started.wall_ms })
}

/// What is read back of a [`Gateway`]. Earlier versions left `since_ms` out of the Last Will.
#[derive(Deserialize)]
struct Written {
    state: String,
    #[serde(default)]
    since_ms: Option<i64>,
}

/// Who wrote this into the gateway's topic, seen from the process that started at `started`; `None` for what no gateway writes.
pub(super) fn sighting(payload: &[u8], kept: bool, started: Stamp) -> Option<Sighting> {
    let Written { state, since_ms } = serde_json::from_slice(payload).ok()?;
    Some(Sighting {
        foreign: since_ms != Some(started.wall_ms),
        younger: since_ms.is_some_and(|since| since > started.wall_ms),
        online: state == "online",
        kept,
    })
}

#[derive(Serialize)]
struct Terminal {
    readers: usize,
    in_service: usize,
}

#[derive(Serialize)]
struct Reader {
    state: &'static str,
    attention: Option<&'static str>,
    receptions: Receptions,
    restarts: u32,
    since_ms: i64,
}

/// Cumulative since the process started, so that a lost message loses nothing.
#[derive(Serialize)]
struct Receptions {
    recorded: u64,
    provisional: u64,
}

#[derive(Serialize)]
struct Outbox {
    central: &'static str,
    /// Absent before the first count since the start, like the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
    since_ms: i64,
}

#[derive(Serialize)]
struct Cases {
    machine: u64,
    desk: u64,
}

/// Every topic with what stands in it now.
pub(super) fn snapshot(topics: &Topics, site: &SiteHandle, started: Stamp) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([(topics.gateway(), gateway("online", started))]);
    let mut terminals: BTreeMap<&str, Terminal> = BTreeMap::new();
    for handle in site.readers.iter() {
        let status = handle.status().borrow().clone();
        let terminal = terminals.entry(&handle.name().terminal).or_insert(Terminal { readers: 0, in_service: 0 });
        terminal.readers += 1;
        terminal.in_service += usize::from(in_service(&status));
        all.insert(format!("{}/reader/{}", topics.root, handle.name()), json(&reader(&status)));
    }
    for (name, terminal) in terminals {
        all.insert(format!("{}/terminal/{name}", topics.root), json(&terminal));
    }
    let central = *site.central.borrow();
    let outbox = Outbox {
        central: match central.circuit {
            Circuit::Up => "up",
            Circuit::Paused { .. } => "busy",
            Circuit::Down { .. } => "down",
        },
        pending: central.counted.map(|counted| counted.pending),
        rejected: central.counted.map(|counted| counted.rejected),
        since_ms: central.since.wall_ms,
    };
    all.insert(format!("{}/outbox/central", topics.root), json(&outbox));
    let crate::reconciler::CaseCounts { machine, desk } = *site.case_counts.borrow();
    all.insert(format!("{}/cases", topics.root), json(&Cases { machine, desk }));
    all
}

/// Whether patients can use it.
pub(super) fn in_service(status: &ReaderStatus) -> bool {
    !matches!(status.state, "starting" | "closed" | "given_up" | "stopped")
}

fn reader(status: &ReaderStatus) -> Reader {
    let (confirmed, ineligible, provisional) = status.recorded;
    Reader {
        // Being told that the insurance is not valid is nobody's business here: to those who watch it is one more step.
        state: if status.state == "informing" { "asking" } else { status.state },
        // Only that somebody is wanted: why a patient's insurance is not valid is nobody's business here.
        attention: status.attention.as_ref().map(|attention| match attention {
            Attention::StaffLook(_) => "staff_look",
            Attention::HelpWanted => "help_wanted",
            Attention::LeftBehind => "card_left_behind",
            Attention::Ineligible(_) | Attention::Ended(_) => "desk",
        }),
        receptions: Receptions { recorded: confirmed + ineligible + provisional, provisional },
        restarts: status.restarts,
        since_ms: status.since.wall_ms,
    }
}

fn json<T: Serialize>(value: &T) -> String {
    // Plain structs of numbers and strings always serialise.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_in_the_gateways_topic_names_the_process_that_wrote_it() {
        let at = |wall_ms| Stamp { wall_ms, synchronised: false };
        let us = at(2_000);
        let seen = |foreign, younger, online| Some(Sighting { foreign, younger, online, kept: true });
        for (payload, expected) in [
            (gateway("online", us), seen(false, false, true)),
            (gateway("offline", us), seen(false, false, false)),
            (gateway("online", at(1_000)), seen(true, false, true)),
            (gateway("offline", at(3_000)), seen(true, true, false)),
            // The Last Will of an earlier version.
            (r#"{"state":"offline","version":"0.0.9"}"#.to_owned(), seen(true, false, false)),
            (String::new(), None),
            ("on".to_owned(), None),
            ("[1]".to_owned(), None),
        ] {
            assert_eq!(sighting(payload.as_bytes(), true, us), expected, "{payload}");
        }
    }
}
