//! One connection to the central system, shared by the requests in flight.

use super::crl::{self, Rank, Scope};
use super::fault::{LineFault, Said};
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
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};
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
    /// The newest revocation lists that were ever in use.
    newest: Arc<Mutex<BTreeMap<Scope, Rank>>>,
    /// The files as they were before the first reading: a change from then on is one.
    first_read: Arc<Fingerprint>,
    call_deadline: Duration,
    /// Remembers what the central system's clock says.
    clock: Clock,
}

/// One connection with the material that it was, and will again be, opened with.
#[derive(Clone)]
pub(super) struct Generation {
    channel: Channel,
    /// Of the same pair that the connection shows: a signature and the connection that it comes over belong together. `None` while our files
    /// cannot be used.
    signer: Option<GatewaySigner>,
    /// What is known to be wrong with it.
    fault: Arc<Mutex<Option<LineFault>>>,
}

impl Generation {
    /// Opens nothing yet. Must be called within a tokio runtime.
    pub(super) fn new(central: &config::Central, material: &Material) -> Self {
        let ours = Ok((material.tls.clone(), material.server_name.clone()));
        Self::with(central, ours, Some(material.signer.clone()))
    }

    /// A line that stays down because our own files cannot be used. Must be called within a tokio runtime.
    pub(super) fn without_files(central: &config::Central, why: Said) -> Self {
        let line = Self::with(central, Err(LineFault::OurFiles(why.clone())), None);
        note(&line.fault, |_| Some(LineFault::OurFiles(why)));
        line
    }

    fn with(
        central: &config::Central,
        ours: Result<(Arc<ClientConfig>, ServerName<'static>), LineFault>,
        signer: Option<GatewaySigner>,
    ) -> Self {
        let deadline = Duration::from_millis(central.connect_timeout_ms);
        let address: Arc<str> = central.address.as_str().into();
        let fault = Arc::new(Mutex::new(None));
        let noted = fault.clone();
        let connector = tower::service_fn(move |_| {
            let (address, ours, noted) = (address.clone(), ours.clone(), noted.clone());
            async move {
                let connecting = async {
                    let (tls, name) = ours?;
                    connect(&address, tls, name, deadline).await
                };
                let connected = match tokio::time::timeout(deadline, connecting).await {
                    Ok(connected) => connected,
                    Err(_) => Err(LineFault::Silent(address.to_string())),
                };
                note(&noted, |known| match (&connected, known) {
                    (Err(fault), _) => Some(fault.clone()),
                    // The peer looks at our certificate after the handshake: only an answered call takes this back.
                    (Ok(_), Some(known)) if known.is_about_our_certificate() => Some(known),
                    (Ok(_), _) => None,
                });
                connected.map(TokioIo::new).map_err(io::Error::other)
            }
        });
        // The connector brings its own TLS and address; the name here is only the :authority of the requests.
        let channel = Endpoint::from_static("http://central")
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector);
        Self { channel, signer, fault }
    }

    /// Whether the service answers; its clock, milliseconds since 1970.
    pub(super) async fn ping(&self, deadline: Duration) -> Result<i64, CentralError> {
        let ping = |mut client: Client| async move { client.ping(PingRequest {}).await };
        self.call(deadline, ping).await.map(|reply| reply.central_time_ms)
    }

    /// What is known to be wrong.
    pub(super) fn fault(&self) -> Option<LineFault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn call<T, F>(&self, deadline: Duration, call: impl Fn(Client) -> F) -> Result<T, CentralError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let client = || Client::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let calling = async {
            match call(client()).await {
                // The peer ended the connection in order just as the request was handed to it. Another one is opened.
                Err(status) if status::never_sent(&status) => call(client()).await,
                called => called,
            }
        };
        let called = match tokio::time::timeout(deadline, calling).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(status::from_status(&status)),
            Err(_) => Err(CentralError::TimedOut),
        };
        note(&self.fault, |known| match &called {
            Ok(_) => None,
            Err(error) => error.fault(known),
        });
        called
    }
}

fn note(fault: &Mutex<Option<LineFault>>, change: impl FnOnce(Option<LineFault>) -> Option<LineFault>) {
    let mut fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
    *fault = change(fault.take());
}

impl CentralClient {
    /// Reads and checks the TLS material; opens nothing yet. Must be called within a tokio runtime. Material that is past its date is
    /// taken nevertheless. Material that cannot be used keeps the line down, and its status says why: patients are received without
    /// the line.
    pub fn new(central: &config::Central, clock: &Clock) -> Self {
        let first_read = Arc::new(Fingerprint::of(central));
        let mut newest = BTreeMap::new();
        let (line, status) = match Material::load(central, clock.stamp().wall_ms) {
            Ok(material) => {
                let status = LinkStatus::new(Some(material.validity), central.warn_days);
                newest.clone_from(&material.ranks);
                (Generation::new(central, &material), status)
            }
            Err(error) => {
                let said = error.said();
                tracing::error!(
                    why = said.en,
                    "the line stays down until its files can be used; receptions are provisional"
                );
                let mut status = LinkStatus::new(None, central.warn_days);
                status.refused = Some(said.clone());
                status.fault = Some(LineFault::OurFiles(said.clone()));
                (Generation::without_files(central, said), status)
            }
        };
        Self {
            line: Arc::new(RwLock::new(line)),
            status: Arc::new(watch::Sender::new(status)),
            newest: Arc::new(Mutex::new(newest)),
            first_read,
            call_deadline: Duration::from_millis(central.call_deadline_ms),
            clock: clock.clone(),
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

    /// What is wrong with revocation lists that are older than some that were in use.
    pub(super) fn older(&self, material: &Material) -> Option<Said> {
        crl::older(&material.ranks, &self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// These lists are in use: older ones never will be again.
    pub(super) fn accepted(&self, material: &Material) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.extend(material.ranks.clone());
    }

    /// What requests use now.
    pub(super) fn generation(&self) -> Generation {
        self.line.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// New requests take this one; the former connection ends with the last answer that is under way on it.
    pub(super) fn replace(&self, generation: Generation) {
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = generation;
    }

    /// Sends a row, signed now by the key of the connection unless a card signed it. Idempotent by its id.
    ///
    /// # Errors
    /// [`CentralError`], named after what the courier does next.
    pub async fn deliver(&self, row: &OutboxRow) -> Result<Delivery, CentralError> {
        let line = self.generation();
        // Nothing is sent, and nothing is wrong with this request.
        let unsent = |why: String| CentralError::Unreachable(why);
        let Some(signer) = &line.signer else {
            return Err(unsent(line.fault().map(|fault| fault.to_string()).unwrap_or_default()));
        };
        let signed = wire::signed(&row.request, signer).map_err(|error| match error {
            NotSendable::Undecodable => CentralError::Rejected("undecodable_body".into()),
            NotSendable::Signer(error) => unsent(error.to_string()),
        })?;
        let deadline = self.call_deadline;
        let delivered = match row.request.kind {
            RequestKind::Eligibility => {
                let ask = |mut client: Client| {
                    let signed = signed.clone();
                    async move { client.check_eligibility(signed).await }
                };
                line.call(deadline, ask).await.and_then(|answer| answered(row, &answer))
            }
            RequestKind::FollowUp => {
                let ask = |mut client: Client| {
                    let signed = signed.clone();
                    async move { client.ask_again(signed).await }
                };
                line.call(deadline, ask).await.and_then(|answer| answered(row, &answer))
            }
            RequestKind::Consent => {
                let record = |mut client: Client| {
                    let signed = signed.clone();
                    async move { client.record_consent(signed).await }
                };
                let taken = line.call(deadline, record).await;
                taken.and_then(|receipt| about(row, &receipt.consent_id)).map(|()| Delivery::Taken)
            }
        };
        self.publish(&line);
        delivered
    }

    /// Whether the service, not only the port, is there. Its clock is remembered ([`Clock::central`]).
    ///
    /// # Errors
    /// [`CentralError`].
    pub async fn ping(&self) -> Result<(), CentralError> {
        let line = self.generation();
        let answered = line.ping(self.call_deadline).await.map(|said_ms| self.clock.hear_central(said_ms));
        self.publish(&line);
        answered
    }

    fn publish(&self, line: &Generation) {
        let fault = line.fault();
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

async fn connect(
    address: &str,
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
    deadline: Duration,
) -> Result<TlsStream<TcpStream>, LineFault> {
    let addresses = dial::resolve(address, deadline).await?;
    dial::tls(dial::tcp(&addresses, deadline).await?, tls, name, deadline).await
}
