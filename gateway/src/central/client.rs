//! One connection to the central system, shared by the requests in flight.

use super::fault::{LineFault, Said};
use super::former::{Chosen, Former};
use super::link::LinkStatus;
use super::material::{Fingerprint, Material};
use super::status::{self, CentralError};
use super::wire::{GatewaySigner, NotSendable};
use super::{dial, wire};
use crate::clock::Clock;
use crate::config;
use crate::store::{OutboxRow, RequestKind};
use hyper_util::rt::TokioIo;
use prost::Message;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};
use uketsuke_core::line::{self, Call, Effect, Ended, Event, Heard, Tries, Watch};
use uketsuke_core::record::Reply;
use uketsuke_proto::central_v1::online_eligibility_client::OnlineEligibilityClient;
use uketsuke_proto::central_v1::{EligibilityAnswer, PingRequest};
use zeroize::Zeroizing;

/// HTTP/2 pings while requests are in flight and while none are: a line that died in silence is noticed within 8 s.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(3);

/// An answer larger than this makes no sense.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

type Client = OnlineEligibilityClient<Channel>;

/// What a request that took effect came back with.
pub enum Delivery {
    /// To an eligibility request or a follow-up: what it means, and the whole answer.
    Answered {
        /// What it means.
        reply: Reply,
        /// The encoded `EligibilityAnswer`.
        answer: Zeroizing<Vec<u8>>,
    },
    /// To a consent.
    Taken,
}

/// The central system as the courier sees it. Cheap to clone; connects when it is first used, and again after a break. Every clone
/// uses renewed certificates from the moment that they are in use.
#[derive(Clone)]
pub struct CentralClient {
    line: Arc<RwLock<Generation>>,
    status: Arc<watch::Sender<LinkStatus>>,
    /// What stands in for files that cannot be used.
    former: Former,
    /// The files as they were before the first reading: a change from then on is one.
    first_read: Arc<Fingerprint>,
    call_deadline: Duration,
    /// Remembers what the central system's clock says.
    clock: Clock,
    /// Whether the connection in use is worth keeping.
    watch: Arc<Mutex<Watch>>,
}

/// One connection with the TLS material that opens it, and opens the next one.
#[derive(Clone)]
pub(super) struct Generation {
    channel: Channel,
    /// Tells connections apart.
    id: Arc<()>,
    way: Arc<Way>,
    fault: Arc<Mutex<Known>>,
}

/// Where a connection leads, and with what it is opened.
struct Way {
    address: Arc<str>,
    /// TLS material and the name of the peer; otherwise why our own files cannot be used.
    ours: Result<(Arc<ClientConfig>, ServerName<'static>), LineFault>,
    /// Of the same pair that the connection shows: a signature and the connection that it comes over belong together. `None` while our files
    /// cannot be used.
    signer: Option<GatewaySigner>,
    deadline: Duration,
    /// Calls that were answered, whatever was said.
    answers: AtomicU64,
}

/// What is known to be wrong.
#[derive(Debug, Clone, Default)]
struct Known {
    fault: Option<LineFault>,
    /// A request found it, so that a ping that is answered does not disprove it.
    by_request: bool,
}

impl Generation {
    /// Opens nothing yet. Must be called within a tokio runtime.
    pub(super) fn new(central: &config::Central, material: &Material) -> Self {
        let ours = Ok((material.tls.clone(), material.server_name.clone()));
        Self::to(central, ours, Some(material.parts.pair.signer.clone()))
    }

    /// A line that stays down because our own files cannot be used. Must be called within a tokio runtime.
    pub(super) fn without_files(central: &config::Central, why: Said) -> Self {
        let line = Self::to(central, Err(LineFault::OurFiles(why.clone())), None);
        lock(&line.fault).fault = Some(LineFault::OurFiles(why));
        line
    }

    fn to(
        central: &config::Central,
        ours: Result<(Arc<ClientConfig>, ServerName<'static>), LineFault>,
        signer: Option<GatewaySigner>,
    ) -> Self {
        let way = Way {
            address: central.address.as_str().into(),
            ours,
            signer,
            deadline: Duration::from_millis(central.connect_timeout_ms),
            answers: AtomicU64::new(0),
        };
        Self::open(Arc::new(way), Arc::default())
    }

    fn open(way: Arc<Way>, fault: Arc<Mutex<Known>>) -> Self {
        let (to, noted) = (way.clone(), fault.clone());
        let connector = tower::service_fn(move |_| {
            let (way, noted) = (to.clone(), noted.clone());
            async move {
                let connected = match tokio::time::timeout(way.deadline, connect(&way)).await {
                    Ok(connected) => connected,
                    Err(_) => Err(LineFault::Silent(way.address.to_string())),
                };
                let mut known = lock(&noted);
                match &connected {
                    Err(fault) => *known = Known { fault: Some(fault.clone()), by_request: false },
                    // The peer looks at our certificate after the handshake: only an answered call takes this back.
                    Ok(_) if known.fault.as_ref().is_some_and(LineFault::is_about_our_certificate) => {}
                    Ok(_) => known.disprove_by_less_than_a_request(),
                }
                drop(known);
                connected.map(TokioIo::new).map_err(io::Error::other)
            }
        });
        // The connector brings its own TLS and address; the name here is only the :authority of the requests.
        let channel = Endpoint::from_static("http://central")
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector);
        Self { channel, id: Arc::default(), way, fault }
    }

    /// Another connection in its place, of which the same is known.
    fn next(&self) -> Self {
        Self::open(self.way.clone(), self.fault.clone())
    }

    /// Another connection beside it.
    fn beside(&self) -> Self {
        Self::open(self.way.clone(), Arc::default())
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.id, &other.id)
    }

    /// Whether the service answers; its clock, milliseconds since 1970.
    pub(super) async fn ping(&self, deadline: Duration) -> Result<i64, CentralError> {
        let ping = |mut client: Client| async move { client.ping(PingRequest {}).await };
        let mut line = self.clone();
        let carrying = carry(&mut line, Self::next, ping);
        let called = match tokio::time::timeout(deadline, carrying).await {
            Ok(Ok(response)) => Ok(response.into_inner().central_time_ms),
            Ok(Err(status)) => Err(status::from_status(&status)),
            Err(_) => Err(CentralError::TimedOut),
        };
        self.note(Call::Ping, called.as_ref().err(), false);
        called
    }

    /// What is known to be wrong.
    pub(super) fn fault(&self) -> Option<LineFault> {
        lock(&self.fault).fault.clone()
    }

    fn answers(&self) -> u64 {
        self.way.answers.load(Ordering::Relaxed)
    }

    fn count_an_answer(&self) {
        self.way.answers.fetch_add(1, Ordering::Relaxed);
    }

    fn client(&self) -> Client {
        Client::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// A call ended so; `mute` says that it is one of several without an answer.
    fn note(&self, call: Call, error: Option<&CentralError>, mute: bool) {
        let mut known = lock(&self.fault);
        let by_request = call != Call::Ping;
        let found = match error {
            Some(CentralError::TimedOut) if mute => {
                known.fault.take_if(|fault| matches!(fault, LineFault::NoAnswer));
                known.fault.clone().or(Some(LineFault::Unanswered))
            }
            Some(error) => error.fault(known.fault.clone()),
            None => None,
        };
        match found {
            None if by_request => *known = Known::default(),
            None => known.disprove_by_less_than_a_request(),
            found if found == known.fault => known.by_request |= by_request,
            fault => *known = Known { fault, by_request },
        }
    }
}

impl Known {
    /// A connection that opens, or a ping that is answered, says nothing about requests that are not answered, or not accepted.
    fn disprove_by_less_than_a_request(&mut self) {
        if !(self.by_request && self.fault.as_ref().is_some_and(LineFault::is_about_requests)) {
            *self = Self::default();
        }
    }
}

/// Makes a call; when the connection ends under it, makes it again over the next one, which stays in `line`.
async fn carry<T, F>(
    line: &mut Generation,
    next: impl Fn(&Generation) -> Generation,
    call: impl Fn(Client) -> F,
) -> Result<Response<T>, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut tries = Tries::new(line.answers());
    loop {
        let called = call(line.client()).await;
        let status = match called {
            Ok(response) => {
                line.count_an_answer();
                return Ok(response);
            }
            Err(status) => status,
        };
        let Some(ended) = status::ended(&status) else {
            if !matches!(status::from_status(&status), CentralError::Unreachable(_)) {
                line.count_an_answer();
            }
            return Err(status);
        };
        let Some(pause) = tries.again(ended, line.answers(), rand::random()) else { return Err(status) };
        tracing::debug!(?ended, ?tries, "a call is made again");
        tokio::time::sleep(pause).await;
        if ended != Ended::NotTaken {
            *line = next(line);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CentralClient {
    /// As [`CentralClient::with_former`], where nothing is kept.
    pub fn new(central: &config::Central, clock: &Clock) -> Self {
        Self::with_former(central, clock, Former::none())
    }

    /// Reads and checks the TLS material; opens nothing yet. Must be called within a tokio runtime. Material that is past its date is
    /// taken nevertheless. Where files cannot be used `former` may stand in. Otherwise the line stays down, and its status says why:
    /// patients are received without the line.
    pub fn with_former(central: &config::Central, clock: &Clock, former: Former) -> Self {
        let first_read = Arc::new(Fingerprint::of(central));
        let (line, status) = opened(central, clock, &former);
        Self {
            line: Arc::new(RwLock::new(line)),
            status: Arc::new(watch::Sender::new(status)),
            former,
            first_read,
            call_deadline: Duration::from_millis(central.call_deadline_ms),
            clock: clock.clone(),
            watch: Arc::new(Mutex::new(Watch::new(line::Rules::default(), clock.mono()))),
        }
    }

    /// What is to be known about certificates and line.
    pub fn status(&self) -> watch::Receiver<LinkStatus> {
        self.status.subscribe()
    }

    pub(super) fn first_read(&self) -> Fingerprint {
        Fingerprint::clone(&self.first_read)
    }

    /// For the keeper of the certificates, the only one that changes it.
    pub(super) fn set_status(&self, change: impl FnOnce(&mut LinkStatus)) {
        self.status.send_modify(change);
    }

    /// What stands in for files that cannot be used.
    pub(super) fn former(&self) -> &Former {
        &self.former
    }

    /// What requests use now.
    pub(super) fn generation(&self) -> Generation {
        self.line.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// New requests take this one; the former connection ends with the last answer that is under way on it.
    pub(super) fn replace(&self, generation: Generation) {
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = generation;
        lock(&self.watch).step(self.clock.mono(), Event::Replaced, rand::random(), &mut Vec::new());
    }

    /// What to use after `ended`: the calls that it ended under share one connection. It shows the same pair, which signed them.
    fn instead_of(&self, ended: &Generation) -> Generation {
        let mut line = self.line.write().unwrap_or_else(PoisonError::into_inner);
        if line.is(ended) {
            *line = ended.next();
        }
        if Arc::ptr_eq(&line.way, &ended.way) { line.clone() } else { ended.next() }
    }

    /// One call of a row or a probe, within the deadline of calls.
    async fn call<T, F>(&self, mut line: Generation, kind: Call, call: impl Fn(Client) -> F) -> Result<T, CentralError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let sent = self.clock.mono();
        let carrying = carry(&mut line, |ended| self.instead_of(ended), call);
        let (called, heard) = match tokio::time::timeout(self.call_deadline, carrying).await {
            Ok(Ok(response)) => (Ok(response.into_inner()), Heard::Answer),
            Ok(Err(status)) => match status::from_status(&status) {
                error @ CentralError::Unreachable(_) => (Err(error), Heard::Broke),
                error => (Err(error), Heard::Answer),
            },
            Err(_) => (Err(CentralError::TimedOut), Heard::Silence),
        };
        let mute = self.judge(&line, Event::Ended { call: kind, sent, heard });
        line.note(kind, called.as_ref().err(), mute);
        self.publish();
        called
    }

    /// Thinks about the connection in use after a call on it; returns whether it is mute.
    fn judge(&self, line: &Generation, event: Event) -> bool {
        if !line.is(&self.generation()) {
            return false;
        }
        let mut effects = Vec::new();
        let mut watch = lock(&self.watch);
        watch.step(self.clock.mono(), event, rand::random(), &mut effects);
        if effects.contains(&Effect::TryBeside) {
            tokio::spawn(self.clone().try_beside(line.clone()));
        }
        watch.mute()
    }

    /// Nobody waits for this: requests go on over the connection in use meanwhile.
    async fn try_beside(self, used: Generation) {
        tracing::debug!("another connection is tried beside the one that does not answer");
        let beside = used.beside();
        let answered = match beside.ping(self.call_deadline).await {
            Ok(_) => true,
            Err(CentralError::Unreachable(_) | CentralError::TimedOut) => false,
            Err(_) => true,
        };
        let mut effects = Vec::new();
        lock(&self.watch).step(self.clock.mono(), Event::Tried(answered), rand::random(), &mut effects);
        if effects.contains(&Effect::Replace) {
            let mut line = self.line.write().unwrap_or_else(PoisonError::into_inner);
            if line.is(&used) {
                let known = lock(&used.fault).clone();
                if known.by_request && lock(&beside.fault).fault.is_none() {
                    *lock(&beside.fault) = known;
                    lock(&beside.fault).disprove_by_less_than_a_request();
                }
                *line = beside;
                drop(line);
                tracing::info!(
                    "requests take another connection to the central system: the former one does not answer"
                );
            }
        }
        self.publish();
    }

    /// Sends a row, signed now by the key of the connection unless a card signed it. Idempotent by its id.
    ///
    /// # Errors
    /// [`CentralError`], named after what the courier does next.
    pub async fn deliver(&self, row: &OutboxRow) -> Result<Delivery, CentralError> {
        let line = self.generation();
        // Nothing is sent, and nothing is wrong with this request.
        let unsent = |why: String| CentralError::Unreachable(why);
        let Some(signer) = &line.way.signer else {
            return Err(unsent(line.fault().map(|fault| fault.to_string()).unwrap_or_default()));
        };
        let signed = wire::signed(&row.request, signer).map_err(|error| match error {
            NotSendable::Undecodable => CentralError::Rejected("undecodable_body".into()),
            NotSendable::Signer(error) => unsent(error.to_string()),
        })?;
        match row.request.kind {
            RequestKind::Eligibility => {
                let ask = |mut client: Client| {
                    let signed = signed.clone();
                    async move { client.check_eligibility(signed).await }
                };
                self.call(line, Call::Eligibility, ask).await.and_then(|answer| answered(row, &answer))
            }
            RequestKind::FollowUp => {
                let ask = |mut client: Client| {
                    let signed = signed.clone();
                    async move { client.ask_again(signed).await }
                };
                self.call(line, Call::FollowUp, ask).await.and_then(|answer| answered(row, &answer))
            }
            RequestKind::Consent => {
                let record = |mut client: Client| {
                    let signed = signed.clone();
                    async move { client.record_consent(signed).await }
                };
                let taken = self.call(line, Call::Consent, record).await;
                taken.and_then(|receipt| about(row, &receipt.consent_id)).map(|()| Delivery::Taken)
            }
        }
    }

    /// Whether the service, not only the port, is there. Its clock is remembered ([`Clock::central`]).
    ///
    /// # Errors
    /// [`CentralError`].
    pub async fn ping(&self) -> Result<(), CentralError> {
        let ping = |mut client: Client| async move { client.ping(PingRequest {}).await };
        let answered = self.call(self.generation(), Call::Ping, ping).await;
        answered.map(|reply| self.clock.hear_central(reply.central_time_ms))
    }

    /// Tells what is known of the connection in use.
    fn publish(&self) {
        let fault = self.generation().fault();
        self.status.send_if_modified(|status| {
            let changed = status.fault != fault;
            if changed {
                match &fault {
                    Some(fault) => tracing::warn!(%fault, "the line to the central system"),
                    None => tracing::info!("the line to the central system works"),
                }
                status.fault = fault;
            }
            changed
        });
    }
}

/// The line of a start.
fn opened(central: &config::Central, clock: &Clock, former: &Former) -> (Generation, LinkStatus) {
    let now = clock.now();
    let material = match former.choose(central, now) {
        Ok(Chosen { parts, former }) => match Material::of(central, parts, now.stamp.wall_ms) {
            Ok(material) => Ok((material, former)),
            Err(error) => Err(error.said()),
        },
        Err(not_usable) => Err(not_usable.said),
    };
    match material {
        Ok((material, stands_in)) => {
            let mut status = LinkStatus::new(Some(material.validity), central.warn_days);
            status.taken_ms = Some(now.stamp.wall_ms);
            former.in_use(material.parts.clone(), stands_in.is_some(), false);
            if let Some(stands_in) = stands_in {
                tracing::error!(why = stands_in.said().en, "the line is opened with former material");
                status.refused = Some(stands_in.why.clone());
                status.former = Some(stands_in);
            }
            (Generation::new(central, &material), status)
        }
        Err(said) => {
            tracing::error!(
                why = said.en,
                "the line stays down until its files can be used; receptions are provisional"
            );
            let mut status = LinkStatus::new(None, central.warn_days);
            status.refused = Some(said.clone());
            status.fault = Some(LineFault::OurFiles(said.clone()));
            (Generation::without_files(central, said), status)
        }
    }
}

fn answered(row: &OutboxRow, answer: &EligibilityAnswer) -> Result<Delivery, CentralError> {
    about(row, &answer.request_id)?;
    let reply = wire::reply(answer).map_err(CentralError::Protocol)?;
    Ok(Delivery::Answered { reply, answer: Zeroizing::new(answer.encode_to_vec()) })
}

fn about(row: &OutboxRow, id: &[u8]) -> Result<(), CentralError> {
    if id == row.request.id.0.as_bytes() {
        Ok(())
    } else {
        Err(CentralError::Protocol("answer_to_another_request".into()))
    }
}

async fn connect(way: &Way) -> Result<TlsStream<TcpStream>, LineFault> {
    let (tls, name) = way.ours.clone()?;
    let addresses = dial::resolve(&way.address, way.deadline).await?;
    let stream = dial::tcp(&addresses, way.deadline).await?;
    dial::tls(stream, tls, name, way.deadline).await
}
