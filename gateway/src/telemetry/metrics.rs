//! The metric catalogue, as OpenMetrics text for `/metrics`.

use super::state::in_service;
use super::status::MqttStatus;
use crate::central::days_left;
use crate::handle::{Counted, SiteHandle};
use crate::upkeep::Upkept;
use crate::web::Doors;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uketsuke_core::outbox::Circuit;
use uketsuke_core::record::{Abandonment, Method, Shown};
use uketsuke_core::telemetry::session::{Condition, Counts};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceptionLabels {
    method: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabel {
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReaderLabel {
    reader: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OwnerLabel {
    owner: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FigureLabel {
    figure: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabel {
    part: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HappenedLabel {
    happened: &'static str,
}

/// Of a figure that may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

/// Everything that is counted. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    receptions: Family<ReceptionLabels, Counter>,
    abandoned: Family<WhyLabel, Counter>,
    own: Family<MethodLabel, Histogram>,
    tries: Family<ResultLabel, Counter>,
    settle: Histogram,
    reader_up: Family<ReaderLabel, Gauge>,
    reader_restarts: Family<ReaderLabel, Gauge>,
    central_up: Gauge,
    central_in_flight: Gauge,
    central_window: Gauge,
    outbox_pending: Family<NoLabels, Gauge>,
    outbox_rejected: Family<NoLabels, Gauge>,
    cases_open: Family<OwnerLabel, Gauge>,
    store: Family<FigureLabel, Gauge>,
    connections: Family<KindLabel, Gauge>,
    connections_closed: Counter,
    certificate_days: Family<PartLabel, Gauge>,
    certificate_swaps: Gauge,
    certificate_refusals: Gauge,
    mqtt_state: Family<StateLabel, Gauge>,
    mqtt_sessions: Family<HappenedLabel, Gauge>,
    certificate_untried: Gauge,
}

/// 1 ms to about 3.4 s in steps of 15 %: fine enough to read a p95 off.
fn fine_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 1.15, 59))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("uketsuke");
        let receptions = Family::default();
        let abandoned = Family::default();
        let own = Family::new_with_constructor(fine_buckets as fn() -> Histogram);
        let tries = Family::default();
        let settle = fine_buckets();
        let reader_up = Family::default();
        let reader_restarts = Family::default();
        // Families without labels: absent before the first count.
        let (outbox_pending, outbox_rejected) = (Family::default(), Family::default());
        let central_up = Gauge::default();
        let (central_in_flight, central_window) = (Gauge::default(), Gauge::default());
        let cases_open = Family::default();
        registry.register("receptions", "Receptions recorded, by what the patient was told", receptions.clone());
        registry.register("receptions_abandoned", "Receptions given up between T1 and T2", abandoned.clone());
        registry.register(
            "reception_own_seconds",
            "The gateway's own share of a reception: event in to effect out, commits and inference included, without patient, card, camera and central system",
            own.clone(),
        );
        registry.register("central_tries", "Requests sent to the central system, by result", tries.clone());
        registry.register("settle_seconds", "From an answer's arrival to its commit", settle.clone());
        registry.register("reader_in_service", "1 while patients can use the reader", reader_up.clone());
        registry.register("reader_restarts", "Times the reader's actor was started again", reader_restarts.clone());
        registry.register("central_up", "1 while the central system counts as reachable", central_up.clone());
        registry.register(
            "central_in_flight",
            "Requests that were sent and whose verdict is not on disk yet",
            central_in_flight.clone(),
        );
        registry.register("central_window", "Requests that may be without an answer at once", central_window.clone());
        registry.register(
            "outbox_pending",
            "Requests that wait for their verdict; absent before the first count since the start",
            outbox_pending.clone(),
        );
        registry.register("outbox_rejected", "Requests refused for good", outbox_rejected.clone());
        registry.register(
            "cases_open",
            "Receptions without a confirmed answer yet, by who sees to them",
            cases_open.clone(),
        );
        let store = Family::default();
        registry.register(
            "store",
            "What the store holds: bytes of the database, its log and its reserve, bytes free on their disk, sealing keys held, isolated \
             requests, seconds that the oldest waiting request has waited at least, walks through every row, receptions forgotten; for how \
             many seconds deletion of what is old has waited for a clock that can be believed (deletion_waited_seconds), and whether that \
             is 14 days or longer (deletion_alarms, 1 or 0)",
            store.clone(),
        );
        let (connections, connections_closed) = (Family::default(), Counter::default());
        registry.register("web_connections", "Connections to the pages, by kind", connections.clone());
        registry.register(
            "web_connections_closed",
            "Connections that were closed for newer ones because a bound was hit",
            connections_closed.clone(),
        );
        let certificate_days = Family::default();
        registry.register(
            "central_certificate_days",
            "Whole days until the end of what the line to the central system uses; negative once it is over",
            certificate_days.clone(),
        );
        let (certificate_swaps, certificate_refusals) = (Gauge::default(), Gauge::default());
        registry.register(
            "central_certificate_swaps",
            "Times that renewed certificate files were taken into use",
            certificate_swaps.clone(),
        );
        registry.register(
            "central_certificate_refusals",
            "Times that changed certificate files were refused, and the former ones kept",
            certificate_refusals.clone(),
        );
        let (mqtt_state, mqtt_sessions) = (Family::default(), Family::default());
        registry.register(
            "mqtt_state",
            "1 for how it stands with the broker: off, connecting, up, stalled (nothing is acknowledged), taken_over (by another gateway)",
            mqtt_state.clone(),
        );
        registry.register(
            "mqtt_sessions",
            "What happened to sessions with the broker: connects, stalls, takeovers by another gateway; topics of removed parts cleared",
            mqtt_sessions.clone(),
        );
        let certificate_untried = Gauge::default();
        registry.register(
            "central_certificate_untried",
            "Whether changed certificate files wait to be tried, and the former ones serve (1 or 0)",
            certificate_untried.clone(),
        );
        Self {
            store,
            registry: Arc::new(Mutex::new(registry)),
            receptions,
            abandoned,
            own,
            tries,
            settle,
            reader_up,
            reader_restarts,
            central_up,
            central_in_flight,
            central_window,
            outbox_pending,
            outbox_rejected,
            cases_open,
            connections,
            connections_closed,
            certificate_days,
            certificate_swaps,
            certificate_refusals,
            mqtt_state,
            mqtt_sessions,
            certificate_untried,
        }
    }
}

impl Metrics {
    /// T2 is on disk. Not told apart by reader: beside the reader's state that would tell who just was not insured. `own` is the gateway's own share, where it is known.
    pub fn recorded(&self, method: Method, shown: &Shown, own: Option<Duration>) {
        let method = match method {
            Method::Face => "face",
            Method::Pin => "pin",
            Method::PinByProxy => "pin_by_proxy",
            Method::Document => "document",
            Method::Staff => "staff",
        };
        let outcome = match shown {
            Shown::Confirmed => "confirmed",
            Shown::Ineligible(_) => "ineligible",
            Shown::Provisional => "provisional",
        };
        self.receptions.get_or_create(&ReceptionLabels { method, outcome }).inc();
        if let Some(own) = own {
            self.own.get_or_create(&MethodLabel { method }).observe(own.as_secs_f64());
        }
    }

    /// An open reception was given up.
    pub fn abandoned(&self, why: Abandonment) {
        let why = match why {
            Abandonment::CardRemoved => "card_removed",
            Abandonment::Cancelled => "cancelled",
            Abandonment::NotRecorded => "not_recorded",
            Abandonment::ReaderFault => "reader_fault",
            Abandonment::Restarted => "restarted",
        };
        self.abandoned.get_or_create(&WhyLabel { why }).inc();
    }

    /// A request was sent, with this result.
    pub fn tried(&self, result: &'static str) {
        self.tries.get_or_create(&ResultLabel { result }).inc();
    }

    /// An answer was written down this long after it came.
    pub fn settled(&self, took: Duration) {
        self.settle.observe(took.as_secs_f64());
    }

    /// Who is connected to the pages.
    pub fn connected(&self, doors: &Doors) {
        let (figures, closed) = doors.figures();
        for (kind, count) in [("kiosk", figures.kiosks), ("staff", figures.staff), ("passing", figures.passing)] {
            self.connections.get_or_create(&KindLabel { kind }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.connections_closed.inner().store(closed, Ordering::Relaxed);
    }

    /// The whole catalogue as OpenMetrics text, with the site's present state. `now_ms` is the wall clock's.
    pub fn render(&self, site: &SiteHandle, upkept: &Upkept, now_ms: i64) -> String {
        for handle in site.readers.iter() {
            let status = handle.status().borrow().clone();
            let label = ReaderLabel { reader: handle.name().to_string() };
            self.reader_up.get_or_create(&label).set(i64::from(in_service(&status)));
            self.reader_restarts.get_or_create(&label).set(i64::from(status.restarts));
        }
        let central = *site.central.borrow();
        self.central_up.set(i64::from(!matches!(central.circuit, Circuit::Down { .. })));
        self.central_in_flight.set(i64::try_from(central.in_flight).unwrap_or(i64::MAX));
        self.central_window.set(i64::from(central.window));
        if let Some(Counted { pending, rejected }) = central.counted {
            self.outbox_pending.get_or_create(&NoLabels {}).set(i64::try_from(pending).unwrap_or(i64::MAX));
            self.outbox_rejected.get_or_create(&NoLabels {}).set(i64::try_from(rejected).unwrap_or(i64::MAX));
        }
        let cases = *site.case_counts.borrow();
        for (owner, count) in [("machine", cases.machine), ("desk", cases.desk)] {
            self.cases_open.get_or_create(&OwnerLabel { owner }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for (figure, value) in [("walks", upkept.walks), ("forgotten", upkept.forgotten)] {
            self.figure(figure, value);
        }
        if let Some(retention) = upkept.retention {
            self.figure("deletion_waited_seconds", retention.waited.as_secs());
            self.figure("deletion_alarms", u64::from(retention.alarms));
        }
        if upkept.counted {
            self.counted(upkept);
        }
        let link = site.link.borrow().clone();
        for (part, end_ms) in link.validity.iter().flat_map(|validity| validity.parts()) {
            self.certificate_days.get_or_create(&PartLabel { part }).set(days_left(end_ms, now_ms));
        }
        self.certificate_swaps.set(i64::try_from(link.swaps).unwrap_or(i64::MAX));
        self.certificate_untried.set(i64::from(link.untried.is_some()));
        self.certificate_refusals.set(i64::try_from(link.refusals).unwrap_or(i64::MAX));
        self.broker(&site.mqtt.borrow());
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String does not fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn figure(&self, figure: &'static str, value: u64) {
        self.store.get_or_create(&FigureLabel { figure }).set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn counted(&self, upkept: &Upkept) {
        let figures = &upkept.figures;
        for (figure, value) in [
            ("database_bytes", figures.database_bytes),
            ("log_bytes", figures.log_bytes),
            ("reserve_bytes", figures.reserve_bytes),
            ("mirror_bytes", figures.mirror_bytes),
            ("keys", figures.keys),
            ("isolated", figures.outbox.isolated),
            ("oldest_waiting_seconds", upkept.oldest_waiting.as_secs()),
        ]
        .into_iter()
        .chain(figures.free_bytes.map(|bytes| ("free_bytes", bytes)))
        {
            self.figure(figure, value);
        }
    }

    fn broker(&self, status: &MqttStatus) {
        let now = if status.enabled { status.condition.name() } else { "off" };
        for state in Condition::NAMES.into_iter().chain(["off"]) {
            self.mqtt_state.get_or_create(&StateLabel { state }).set(i64::from(state == now));
        }
        let Counts { connects, stalls, takeovers, cleared } = status.counts;
        for (happened, times) in
            [("connects", connects), ("stalls", stalls), ("takeovers", takeovers), ("cleared", cleared)]
        {
            let gauge = self.mqtt_sessions.get_or_create(&HappenedLabel { happened });
            gauge.set(i64::try_from(times).unwrap_or(i64::MAX));
        }
    }
}
