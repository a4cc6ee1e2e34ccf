//! One connection to the central system, with the TLS material that opens it, and opens the next one.
//!
//! Promises:
//! * a call whose connection ends under it is made again over the next one, as [`Tries`] allows;
//! * what travels over a connection is signed by the pair that the connection shows;
//! * what requests found wrong is not disproved by a connection that opens, or a ping that is answered;
//! * what consents found wrong is known apart: it says nothing about questions, and an answered question nothing about it.

use super::dial;
use super::fault::{LineFault, Said};
use super::known::Known;
use super::material::Material;
use super::pairs::PairId;
use super::status::{self, CentralError};
use super::wire::GatewaySigner;
use crate::config;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};
use uketsuke_core::line::{Call, Ended, Tries};
use uketsuke_proto::central_v1::PingRequest;
use uketsuke_proto::central_v1::online_eligibility_client::OnlineEligibilityClient;

/// HTTP/2 pings while requests are in flight and while none are: a line that died in silence is noticed within 8 s.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(3);

/// An answer larger than this makes no sense.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The service over one connection.
pub(super) type Client = OnlineEligibilityClient<Channel>;

/// One connection with the TLS material that opens it, and opens the next one.
#[derive(Clone)]
pub(super) struct Generation {
    channel: Channel,
    /// Tells connections apart.
    id: Arc<()>,
    way: Arc<Way>,
    known: Arc<Mutex<Known>>,
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

impl Generation {
    /// Opens nothing yet. Must be called within a tokio runtime.
    pub(super) fn new(central: &config::Central, material: &Material) -> Self {
        let ours = Ok((material.tls.clone(), material.server_name.clone()));
        Self::to(central, ours, Some(material.parts.pair.signer.clone()))
    }

    /// A line that stays down because our own files cannot be used. Must be called within a tokio runtime.
    pub(super) fn without_files(central: &config::Central, why: Said) -> Self {
        let line = Self::to(central, Err(LineFault::OurFiles(why.clone())), None);
        lock(&line.known).not_connected(LineFault::OurFiles(why));
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

    fn open(way: Arc<Way>, known: Arc<Mutex<Known>>) -> Self {
        let (to, noted) = (way.clone(), known.clone());
        let connector = tower::service_fn(move |_| {
            let (way, noted) = (to.clone(), noted.clone());
            async move {
                let connected = match tokio::time::timeout(way.deadline, connect(&way)).await {
                    Ok(connected) => connected,
                    Err(_) => Err(LineFault::Silent(way.address.to_string())),
                };
                match &connected {
                    Err(fault) => lock(&noted).not_connected(fault.clone()),
                    Ok(_) => lock(&noted).connected(),
                }
                connected.map(TokioIo::new).map_err(io::Error::other)
            }
        });
        // The connector brings its own TLS and address; the name here is only the :authority of the requests.
        let channel = Endpoint::from_static("http://central")
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector);
        Self { channel, id: Arc::default(), way, known }
    }

    /// Another connection in its place, of which the same is known.
    pub(super) fn next(&self) -> Self {
        Self::open(self.way.clone(), self.known.clone())
    }

    /// Another connection beside it.
    pub(super) fn beside(&self) -> Self {
        Self::open(self.way.clone(), Arc::default())
    }

    pub(super) fn is(&self, other: &Self) -> bool {
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
    pub(super) fn known(&self) -> Known {
        lock(&self.known).clone()
    }

    /// What is known to be wrong with the line, or with first questions.
    pub(super) fn fault(&self) -> Option<LineFault> {
        lock(&self.known).fault()
    }

    /// Whether both lead to the same place with the same material.
    pub(super) fn same_way(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.way, &other.way)
    }

    /// Signs what travels over it; `None` while our files cannot be used.
    pub(super) fn signer(&self) -> Option<&GatewaySigner> {
        self.way.signer.as_ref()
    }

    /// Which pair the connection shows; `None` while our files cannot be used.
    pub(super) fn pair(&self) -> Option<&PairId> {
        self.signer().map(GatewaySigner::pair)
    }

    /// It takes the place of `used`: what requests found there is not disproved yet.
    pub(super) fn inherit(&self, used: &Self) {
        let known = used.known();
        lock(&self.known).inherit(known);
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

    /// A call ended so; `mute` says that it is one of several of its kind without an answer.
    pub(super) fn note(&self, call: Call, error: Option<&CentralError>, mute: bool) {
        lock(&self.known).ended(call, error, mute);
    }
}

/// Makes a call; when the connection ends under it, makes it again over the next one, which stays in `line`.
pub(super) async fn carry<T, F>(
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connect(way: &Way) -> Result<TlsStream<TcpStream>, LineFault> {
    let (tls, name) = way.ours.clone()?;
    let addresses = dial::resolve(&way.address, way.deadline).await?;
    let stream = dial::tcp(&addresses, way.deadline).await?;
    dial::tls(stream, tls, name, way.deadline).await
}
