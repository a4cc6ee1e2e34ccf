//! What others hold of a reader: kiosk sockets, the staff page and telemetry talk to a [`ReaderHandle`], never to an actor's
//! address, so that nothing they hold goes stale when the actor is restarted.

use crate::central::LinkStatus;
use crate::central::Said;
use crate::reconciler::{CaseCounts, CaseOrder};
use crate::telemetry::MqttStatus;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use uketsuke_core::clock::Stamp;
use uketsuke_core::explain::Lang;
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::outbox::Circuit;
use uketsuke_core::reception::{Attention, Helper, Intent, Screen, ScreenVersion, StaffDecision};
use uketsuke_core::record::StaffName;
use zeroize::Zeroizing;

/// Inputs that wait for one reader. A kiosk that floods its reader loses its own presses, nothing else.
const INPUTS_MAX: usize = 32;

/// `terminal/reader`, as in the configuration, in topics and in records.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReaderName {
    /// The terminal's name.
    pub terminal: Arc<str>,
    /// The reader's name within it.
    pub reader: Arc<str>,
}

impl fmt::Display for ReaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.terminal, self.reader)
    }
}

/// What comes in from kiosk and staff.
#[derive(Debug)]
pub enum ReaderInput {
    /// The patient did something on this version of the screen.
    Intent(ReceptionId, ScreenVersion, Intent),
    /// Staff decided about this reception.
    Staff(ReceptionId, StaffDecision, StaffName),
    /// Staff do the rest of this reception for the patient.
    Assist(ReceptionId, StaffName),
    /// They leave the rest to the patient again.
    Leave(ReceptionId),
}

/// What a kiosk shows.
#[derive(Debug, Clone, PartialEq)]
pub enum View {
    /// The reader is starting, or between two lives.
    Starting,
    /// The reader was given up: use another one.
    OutOfService,
    /// A screen of the reception core.
    Live {
        /// The reception that intents must name.
        reception: Option<ReceptionId>,
        /// The version that intents must name.
        version: ScreenVersion,
        /// The screen.
        screen: Screen,
    },
}

/// What staff and telemetry see of a reader. Nothing personal.
#[derive(Debug, Clone, PartialEq)]
pub struct ReaderStatus {
    /// `starting`, `closed`, `given_up`, or [`uketsuke_core::reception::Reception::state_name`].
    pub state: &'static str,
    /// The reception that a staff decision must name.
    pub reception: Option<ReceptionId>,
    /// Who works the screen for the patient.
    pub helper: Option<Helper>,
    /// Something staff should see to.
    pub attention: Option<Attention>,
    /// Receptions recorded since the process started, as (confirmed, ineligible, provisional).
    pub recorded: (u64, u64, u64),
    /// Times the reader's actor was started again.
    pub restarts: u32,
    /// Why its slot cannot be opened, while that is tried again.
    pub closed: Option<Arc<Said>>,
    /// Since when `state` holds.
    pub since: Stamp,
}

/// One number per frame that the gateway asks for; a frame that answers another number is dropped.
pub type FrameRequest = u32;

/// A camera frame (JPEG) on its way from kiosk socket to face engine. Never copied, never stored, wiped when dropped.
pub struct Frame {
    /// The request it answers.
    pub request: FrameRequest,
    /// JPEG bytes.
    pub jpeg: Zeroizing<Vec<u8>>,
}

/// One reader as everybody but its actor sees it. Cheap to clone.
#[derive(Clone)]
pub struct ReaderHandle {
    name: ReaderName,
    inputs: async_channel::Sender<ReaderInput>,
    view: watch::Receiver<View>,
    status: watch::Receiver<ReaderStatus>,
    wanted_frame: watch::Receiver<Option<FrameRequest>>,
    frame: Arc<watch::Sender<Option<Arc<Frame>>>>,
    connections: Arc<watch::Sender<u64>>,
    next_connection: Arc<AtomicU64>,
}

/// The other end, for the reader's actor and its supervisor.
#[derive(Clone)]
pub struct ReaderPort {
    /// Who this is.
    pub name: ReaderName,
    /// Inputs, in order.
    pub inputs: async_channel::Receiver<ReaderInput>,
    /// What the kiosk shows.
    pub view: Arc<watch::Sender<View>>,
    /// What staff and telemetry see.
    pub status: Arc<watch::Sender<ReaderStatus>>,
    /// The frame that is wanted now; `None` when the camera is not needed.
    pub wanted_frame: Arc<watch::Sender<Option<FrameRequest>>>,
    /// The newest frame.
    pub frame: Arc<watch::Sender<Option<Arc<Frame>>>>,
}

/// Nothing in it is ever polled in place: its receiver is cloned into a stream of its own. Actors must be `Unpin`.
impl Unpin for ReaderPort {}

/// The words for [`ReaderStatus::state`]; a state that is not known here is shown as it is.
pub fn state_words(state: &'static str, lang: Lang) -> &'static str {
    match state {
        "starting" => lang.pick("起動中", "starting"),
        "closed" => lang.pick("開けません(自動でやり直しています)", "cannot be opened; it is tried again by itself"),
        "given_up" => lang.pick("停止(再起動が必要)", "stopped, needs a restart"),
        "stopped" => lang.pick("停止しました", "stopped"),
        "idle" => lang.pick("受付できます", "ready"),
        "reading" => lang.pick("カード読み取り中", "reading the card"),
        "choosing" => lang.pick("本人確認の選択中", "choosing how to confirm identity"),
        "face" => lang.pick("顔認証中", "face recognition"),
        "pin" => lang.pick("暗証番号の入力中", "entering the PIN"),
        "staff_look" => lang.pick("職員の確認待ち", "waiting for staff"),
        "asking" => lang.pick("資格を確認中", "checking the insurance"),
        "offering_registration" => lang.pick("利用登録の案内中", "offering registration"),
        "registering" => lang.pick("利用登録中", "registering the card"),
        "informing" => lang.pick("資格について案内中", "telling about the insurance"),
        "consent" => lang.pick("同意の確認中", "asking for consent"),
        "recording" => lang.pick("記録中", "recording"),
        "take_card" => lang.pick("カードの取り出し待ち", "waiting for the card to be taken"),
        "notice" => lang.pick("案内を表示中", "showing a notice"),
        other => other,
    }
}

/// A handle and its other end.
pub fn reader(name: ReaderName, now: Stamp) -> (ReaderHandle, ReaderPort) {
    let (input_in, inputs) = async_channel::bounded(INPUTS_MAX);
    let (view_in, view) = watch::channel(View::Starting);
    let (status_in, status) = watch::channel(ReaderStatus {
        state: "starting",
        reception: None,
        helper: None,
        attention: None,
        recorded: (0, 0, 0),
        restarts: 0,
        closed: None,
        since: now,
    });
    let (wanted_in, wanted_frame) = watch::channel(None);
    let frame = Arc::new(watch::Sender::new(None));
    let (connections_in, _) = watch::channel(0);
    let handle = ReaderHandle {
        name: name.clone(),
        inputs: input_in,
        view,
        status,
        wanted_frame,
        frame: frame.clone(),
        connections: Arc::new(connections_in),
        next_connection: Arc::new(AtomicU64::new(1)),
    };
    let port = ReaderPort {
        name,
        inputs,
        view: Arc::new(view_in),
        status: Arc::new(status_in),
        wanted_frame: Arc::new(wanted_in),
        frame,
    };
    (handle, port)
}

impl ReaderHandle {
    /// `terminal/reader`.
    pub fn name(&self) -> &ReaderName {
        &self.name
    }

    /// Hands an input to the reader. `false` when it has too many waiting: the input is dropped, the kiosk may press again.
    pub fn input(&self, input: ReaderInput) -> bool {
        self.inputs.try_send(input).is_ok()
    }

    /// What the kiosk shows; changes with every screen.
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// What staff and telemetry see.
    pub fn status(&self) -> watch::Receiver<ReaderStatus> {
        self.status.clone()
    }

    /// The frame that is wanted now.
    pub fn wanted_frame(&self) -> watch::Receiver<Option<FrameRequest>> {
        self.wanted_frame.clone()
    }

    /// Puts a frame into the slot if it is the one that is wanted; the newest wins. `false` when nobody asked for it.
    pub fn put_frame(&self, frame: Frame) -> bool {
        let wanted = |request| *self.wanted_frame.borrow() == Some(request);
        let request = frame.request;
        if !wanted(request) {
            return false;
        }
        self.frame.send_replace(Some(Arc::new(frame)));
        // The attempt may have ended in between, after which nobody would wipe the slot.
        if !wanted(request) {
            self.frame.send_replace(None);
        }
        true
    }

    /// A kiosk connects. Returns its number and a view of the newest number: when that grows, this kiosk has been replaced.
    pub fn connect(&self) -> (u64, watch::Receiver<u64>) {
        let number = self.next_connection.fetch_add(1, Ordering::Relaxed);
        self.connections.send_modify(|newest| *newest = (*newest).max(number));
        (number, self.connections.subscribe())
    }
}

/// Requests in a courier's outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Those that wait, in flight ones included.
    pub pending: u64,
    /// Those that the destination refused for good, kept for the staff.
    pub rejected: u64,
}

/// What staff and telemetry see of a courier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CourierStatus {
    /// Whether the destination works.
    pub circuit: Circuit,
    /// Requests in flight.
    pub in_flight: usize,
    /// Requests that may be without an answer.
    pub window: u32,
    /// What waits; `None` before the first count since the start. Every page, metric and topic that tells how many wait takes it from here.
    pub counted: Option<Counted>,
    /// Since when the destination is as it is.
    pub since: Stamp,
}

/// Everything at this site, for the web and for telemetry. Cheap to clone.
#[derive(Clone)]
pub struct SiteHandle {
    /// The site's name, as in the configuration.
    pub site: Arc<str>,
    /// Every reader, in the order of the configuration.
    pub readers: Arc<[ReaderHandle]>,
    /// The courier to the central system.
    pub central: watch::Receiver<CourierStatus>,
    /// The certificates of the line to the central system, and what is wrong with it.
    pub link: watch::Receiver<LinkStatus>,
    /// How it stands with the broker.
    pub mqtt: watch::Receiver<MqttStatus>,
    /// Asks the supervisors to start a reader again, also one that was given up.
    pub restarts: async_channel::Sender<ReaderName>,
    /// What staff do to cases; the reconciler takes one after the other.
    pub cases: async_channel::Sender<CaseOrder>,
    /// How many cases are open.
    pub case_counts: watch::Receiver<CaseCounts>,
}

impl SiteHandle {
    /// Finds a reader by its two names.
    pub fn reader(&self, terminal: &str, reader: &str) -> Option<&ReaderHandle> {
        self.readers.iter().find(|handle| &*handle.name.terminal == terminal && &*handle.name.reader == reader)
    }
}
