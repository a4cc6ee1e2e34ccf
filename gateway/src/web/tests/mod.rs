//! The web as browsers meet it.

mod crowd;
mod health;
mod http;
mod screens;
mod served;
mod silence;
mod sockets;
mod waiting;

use super::WebState;
use crate::central::{Former, LineCheck, LinkStatus, Said, Validity};
use crate::clock::Clock;
use crate::config;
use crate::front_desk::FrontDesk;
use crate::handle::{self, Counted, CourierStatus, ReaderName, ReaderPort, ReaderStatus, SiteHandle, View};
use crate::health::{HealthPart, HealthReport};
use crate::modes::ModesHandle;
use crate::reconciler::CaseOrder;
use crate::store::papers::{Filed, Paper};
use crate::store::{
    CaseWrite, Destination, Keys, Lane, NewCase, Opening, Proof, Recording, Request, RequestKind, Settlement, Store,
};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use uketsuke_core::answer::Verdict;
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::ladder::{self, Cause, CloseReason, StaffAction};
use uketsuke_core::modes::Limits;
use uketsuke_core::outbox::Circuit;
use uketsuke_core::reception::{Attention, Screen};
use uketsuke_core::record::{Evidence, Method, Reply, Shown, StaffName, Verification};
use uketsuke_proto::central_v1 as wire;
use uuid::Uuid;

const NOW: Stamp = Stamp { wall_ms: 1_780_326_000_000, synchronised: true };

/// Every part that tells of itself; all are well or none is.
const PARTS: [&str; 12] = [
    "store",
    "queue",
    "disk",
    "deletion",
    "central",
    "certificates",
    "clock",
    "mqtt",
    "face",
    "configuration",
    "card anchors",
    "web",
];

/// A site with two readers, one of them with a name that must be escaped everywhere.
struct Scene {
    state: WebState,
    port: ReaderPort,
    _odd: ReaderPort,
    central: watch::Sender<CourierStatus>,
    link: watch::Sender<LinkStatus>,
    restarts: async_channel::Receiver<ReaderName>,
    cases: async_channel::Receiver<CaseOrder>,
    accepting: watch::Sender<bool>,
    healthy: Arc<AtomicBool>,
}

/// A central system whose name does not exist (RFC 6761).
fn nowhere() -> config::Central {
    let file = || "/nonexistent".into();
    config::Central {
        address: "central.invalid:443".into(),
        server_name: "central.invalid".into(),
        ca_file: file(),
        certificate_file: file(),
        key_file: file(),
        crl_file: None,
        watch_every_ms: 2_000,
        warn_days: 30,
        connect_timeout_ms: 500,
        call_deadline_ms: 500,
        window_max: 1,
        probe_every_ms: 1_000,
    }
}

impl Scene {
    fn new() -> Self {
        let (desk, port) = handle::reader(ReaderName { terminal: "desk-1".into(), reader: "a".into() }, NOW);
        let (odd_desk, odd) = handle::reader(ReaderName { terminal: "<b>".into(), reader: "\"&'".into() }, NOW);
        let (central_in, central) = watch::channel(CourierStatus {
            circuit: Circuit::Down { probe_at: None },
            in_flight: 0,
            window: 1,
            counted: Some(Counted { pending: 3, rejected: 0 }),
            since: NOW,
        });
        let (restart_in, restarts) = async_channel::bounded(1);
        let (cases_in, cases) = async_channel::bounded(1);
        let (accepting_in, accepting) = watch::channel(true);
        let healthy = Arc::new(AtomicBool::new(true));
        let (asked, asked_central) = (healthy.clone(), central.clone());
        let far = NOW.wall_ms + 1_000 * 24 * 3_600_000;
        let validity = Validity { certificate_ms: far, authorities_ms: far, crl_ms: None };
        let link_in = watch::Sender::new(LinkStatus::new(Some(validity), 30));
        let (store, clock) = (Store::model(), Clock::new("/nonexistent".into()));
        let limits = Limits { authorised: [StaffName::new("院長").unwrap()].into(), ..Limits::default() };
        let desk_page = FrontDesk {
            store: store.clone(),
            keys: Arc::new(Keys::random()),
            medical_institution_code: "1312345678".into(),
            modes: ModesHandle::closed(store.clone(), clock.clone(), limits),
            ladder: uketsuke_core::ladder::Rules::default(),
            clock: clock.clone(),
        };
        let state = WebState {
            site: SiteHandle {
                site: "みどり薬局".into(),
                readers: Arc::new([desk, odd_desk]),
                central,
                link: link_in.subscribe(),
                mqtt: watch::channel(crate::telemetry::MqttStatus::new(&config::Mqtt::default(), "midori")).1,
                restarts: restart_in,
                cases: cases_in,
                case_counts: watch::channel(crate::reconciler::CaseCounts::default()).1,
            },
            help_line: None,
            desk: desk_page,
            line: LineCheck::new(nowhere(), clock.clone(), Former::none()),
            lists: watch::Sender::new(0),
            store,
            clock,
            metrics: Arc::new(|| "# EOF\n".to_owned()),
            health: Arc::new(move || {
                let ok = asked.load(Ordering::Relaxed);
                let part = |name: &&str| HealthPart::new(*name, ok, Said::new("理由", "the reason"));
                HealthReport { ok, parts: PARTS.iter().map(part).collect(), central: *asked_central.borrow() }
            }),
            doors: crate::web::Doors::default(),
            beat_every: crate::web::BEAT_EVERY,
            accepting,
        };
        Self {
            state,
            port,
            _odd: odd,
            central: central_in,
            link: link_in,
            restarts,
            cases,
            accepting: accepting_in,
            healthy,
        }
    }

    fn show(&self, reception: Option<ReceptionId>, version: u64, screen: Screen) {
        self.port.view.send_replace(View::Live { reception, version, screen });
    }

    fn status(&self, state: &'static str, reception: Option<ReceptionId>, attention: Option<Attention>) {
        self.port.status.send_replace(ReaderStatus {
            helper: None,
            state,
            reception,
            attention,
            recorded: (4, 1, 2),
            restarts: 0,
            closed: None,
            since: NOW,
        });
    }

    fn opening(&self, reception: ReceptionId) -> Opening {
        Opening {
            reception,
            reader: "<b>/\"&'".into(),
            order_key: OrderKey([7; 32]),
            evidence: Evidence::of(Verification::by(Method::Pin)),
            opened: Now { boot: 1, mono: Mono(0), stamp: NOW },
            request: Request {
                id: RequestId(Uuid::now_v7()),
                kind: RequestKind::Eligibility,
                body: b"question".to_vec().into(),
                proof: Proof::Gateway,
            },
        }
    }

    /// The central system answers the reception's own question with these results.
    async fn answer(&self, reception: ReceptionId, results: Vec<wire::Qualification>) {
        let asked = self.state.store.case(reception).await.unwrap().unwrap().asks[0];
        let rows = self.state.store.outbox(Destination::Central, 99).await.unwrap();
        let seq = rows.iter().find(|row| row.id == asked).unwrap().seq;
        let reply = Reply::Answered { verdict: Verdict::Eligible, unmapped_characters: true };
        let answer = wire::EligibilityAnswer { results, ..wire::EligibilityAnswer::default() };
        let answer = Settlement::Answered { reply, answer: answer.encode_to_vec().into() };
        self.state.store.settle(seq, answer, NOW).await.unwrap();
    }

    /// Staff file who it is.
    async fn file(&self, reception: ReceptionId, person: &str) {
        let filed = Filed::Person(serde_json::from_str(person).unwrap());
        let papers = vec![Paper { filed, by: StaffName::new("7").unwrap(), at: NOW }];
        self.step(reception, papers, None).await;
    }

    /// Staff close the case.
    async fn close(&self, reception: ReceptionId) {
        self.step(reception, vec![], Some(StaffAction::Close(CloseReason::ConfirmedElsewhere))).await;
    }

    async fn step(&self, reception: ReceptionId, papers: Vec<Paper>, action: Option<StaffAction>) {
        let row = self.state.store.case(reception).await.unwrap().unwrap();
        let (mut case, turn) = (row.case.clone(), row.case.turn());
        if let Some(action) = action {
            case.step(self.state.clock.now(), ladder::Event::Staff { turn, action }, &mut Vec::new());
        }
        let (version, request, lane) = (row.version, None, Lane::Interactive);
        let write =
            CaseWrite { reception, version, case, papers, request, stands_alone: false, lane, consents: None, at: NOW };
        self.state.store.save_case(write).await.unwrap();
    }

    /// A reception that was recorded without an answer.
    async fn provisional(&self) -> ReceptionId {
        self.recorded(None).await
    }

    /// The same, with a case that began like this.
    async fn with_case(&self, cause: Cause) -> ReceptionId {
        self.recorded(Some(cause)).await
    }

    async fn recorded(&self, cause: Option<Cause>) -> ReceptionId {
        let reception = id();
        let opening = self.opening(reception);
        let asked = opening.request.id;
        self.state.store.open_reception(opening).await.unwrap();
        let now = self.state.clock.now();
        let open = |cause| ladder::Case::open(ladder::Rules::default(), now, cause, &mut Vec::new());
        let case = cause.map(|cause| NewCase { case: open(cause), asked, papers: vec![] });
        let recording =
            Recording { reception, shown: Shown::Provisional, consents: vec![], request: None, case, recorded: NOW };
        self.state.store.record_reception(recording).await.unwrap();
        reception
    }
}

fn id() -> ReceptionId {
    ReceptionId(Uuid::now_v7())
}
