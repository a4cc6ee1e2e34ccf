//! The connection check: every layer between here and an answer of the central system, one after the other, in words.

use super::dial;
use super::fault::{LineFault, Said};
use super::former::Former;
use super::generation::Generation;
use super::material::{self, Material};
use super::status::CentralError;
use crate::clock::Clock;
use crate::config;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::client::TlsStream;
use uketsuke_core::clock::{CentralTime, Mono};
use uketsuke_core::explain::Lang;

/// Clocks may be apart by this much before it is said.
const CLOCKS_APART_MAX_MS: i64 = 30_000;

/// An alert about our certificate may be overtaken by the end of the connection; asked again, it is heard.
const HANDSHAKES_MAX: u32 = 3;

/// What an HTTP/2 client says first (RFC 9113, 3.4), with empty settings.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Length of a frame's head, and the place and value of its type when it holds settings.
const HTTP2_HEAD: usize = 9;
const HTTP2_TYPE: usize = 3;
const HTTP2_SETTINGS: u8 = 4;

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The name of the central system has an address.
    Name,
    /// The address takes connections.
    Tcp,
    /// Both sides believe each other's certificates.
    Tls,
    /// HTTP/2 is spoken.
    Http2,
    /// The eligibility service answers.
    Service,
    /// A call has the result that it should have.
    Application,
    /// Their clock and ours tell the same time.
    Clock,
}

impl Layer {
    /// All, in order.
    pub const ALL: [Self; 7] =
        [Self::Name, Self::Tcp, Self::Tls, Self::Http2, Self::Service, Self::Application, Self::Clock];

    /// For machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::Service => "service",
            Self::Application => "application",
            Self::Clock => "clock",
        }
    }

    /// For people.
    pub fn name(self, lang: Lang) -> &'static str {
        match self {
            Self::Name => lang.pick("名前解決", "name"),
            Self::Tcp => lang.pick("TCP接続", "TCP"),
            Self::Tls => lang.pick("TLS・証明書", "TLS"),
            Self::Http2 => lang.pick("HTTP/2", "HTTP/2"),
            Self::Service => lang.pick("サービス", "service"),
            Self::Application => lang.pick("応答", "answer"),
            Self::Clock => lang.pick("時計", "clock"),
        }
    }
}

/// What was found at a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Fine(Said),
    /// What is wrong, and what to do.
    Failed(LineFault),
    /// A layer before it failed.
    NotTried,
}

/// A layer with what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Which.
    pub layer: Layer,
    /// What.
    pub outcome: Outcome,
}

impl Looked {
    /// In words; what to do is part of it where something failed.
    pub fn words(&self, lang: Lang) -> String {
        match &self.outcome {
            Outcome::Fine(said) => said.pick(lang).to_owned(),
            Outcome::Failed(fault) => fault.said().pick(lang).to_owned(),
            Outcome::NotTried => lang.pick("調べていません", "not tried").to_owned(),
        }
    }
}

/// Looks at every layer, with connections of its own, and changes nothing. Ends within about five times the deadlines of the
/// configuration. The result has every layer once, in order.
pub async fn inspect(central: &config::Central, clock: &Clock) -> Vec<Looked> {
    inspect_with_former(central, clock, &Former::none()).await
}

/// As [`inspect`]; for files that cannot be used `former` stands in, as it does for the line itself.
pub async fn inspect_with_former(central: &config::Central, clock: &Clock, former: &Former) -> Vec<Looked> {
    let mut found = Vec::new();
    if let Err(fault) = look(central, clock, former, &mut found).await {
        found.push(Outcome::Failed(fault));
    }
    let outcomes = found.into_iter().chain(std::iter::repeat(Outcome::NotTried));
    Layer::ALL.into_iter().zip(outcomes).map(|(layer, outcome)| Looked { layer, outcome }).collect()
}

/// The connection check of a running gateway: one at a time, whoever asks.
#[derive(Clone)]
pub struct LineCheck {
    central: Arc<config::Central>,
    clock: Clock,
    former: Former,
    last: Arc<Mutex<Option<Found>>>,
}

/// What was found, and when.
type Found = (Instant, Vec<Looked>);

/// A page that is asked for again and again does not make as many connections.
const FRESH: Duration = Duration::from_secs(3);

impl LineCheck {
    /// Looks at nothing yet.
    pub fn new(central: config::Central, clock: Clock, former: Former) -> Self {
        Self { central: Arc::new(central), clock, former, last: Arc::default() }
    }

    /// What [`inspect`] finds now, or found within the last seconds.
    pub async fn run(&self) -> Vec<Looked> {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < FRESH
        {
            return found.clone();
        }
        let found = inspect_with_former(&self.central, &self.clock, &self.former).await;
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

/// Adds what is fine, layer by layer, up to the first that fails.
async fn look(
    central: &config::Central,
    clock: &Clock,
    former: &Former,
    found: &mut Vec<Outcome>,
) -> Result<(), LineFault> {
    let deadline = Duration::from_millis(central.connect_timeout_ms);
    let mut fine = |ja: String, en: String| found.push(Outcome::Fine(Said::new(ja, en)));

    let addresses = dial::resolve(&central.address, deadline).await?;
    let listed = addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
    fine(format!("{} は {listed} です", central.address), format!("{} is {listed}", central.address));

    let stream = dial::tcp(&addresses, deadline).await?;
    let peer = stream.peer_addr().map_or_else(|_| central.address.clone(), |peer| peer.to_string());
    drop(stream);
    fine(format!("{peer} につながります"), format!("{peer} accepts connections"));

    let now = clock.now();
    let now_ms = now.stamp.wall_ms;
    let chosen = former.choose(central, now).map_err(|not_usable| LineFault::OurFiles(not_usable.said))?;
    let material = Material::of(central, chosen.parts, now_ms).map_err(|error| LineFault::OurFiles(error.said()))?;
    let http2 =
        shake_hands(&addresses, &material, deadline).await.map_err(|fault| with_date(fault, &material, now_ms))?;
    let until = material::day(material.validity.certificate_ms);
    fine(
        format!("双方の証明書が有効です(この施設の証明書の期限 {until})"),
        format!("both sides take the other's certificate; ours is valid until {until}"),
    );
    if !http2 {
        return Err(LineFault::NoHttp2);
    }
    fine("HTTP/2で話せます".into(), "HTTP/2 is spoken".into());

    let line = Generation::new(central, &material);
    let before_ms = clock.stamp().wall_ms;
    let answered = line.ping(Duration::from_millis(central.call_deadline_ms)).await;
    let now_ms = i64::midpoint(before_ms, clock.stamp().wall_ms);
    let service = || Said::new("資格確認のサービスがあります", "the eligibility service is there");
    match answered {
        Ok(their_ms) => {
            found.push(Outcome::Fine(service()));
            found.push(Outcome::Fine(Said::new("資格確認システムが応答しました", "the central system answers")));
            found.push(Outcome::Fine(clocks(their_ms, now_ms)?));
            Ok(())
        }
        Err(error) => {
            if answers(&error) {
                found.push(Outcome::Fine(service()));
            }
            Err(match error {
                CentralError::Rejected(code) | CentralError::NotBelieved(code) | CentralError::Protocol(code) => {
                    LineFault::Failing(code)
                }
                error => error.fault(line.fault()).unwrap_or(LineFault::NoAnswer),
            })
        }
    }
}

/// Whether the service itself said this.
fn answers(error: &CentralError) -> bool {
    match error {
        CentralError::Busy(_)
        | CentralError::Rejected(_)
        | CentralError::NotBelieved(_)
        | CentralError::Protocol(_) => true,
        CentralError::Refused(_) => matches!(error.fault(None), Some(LineFault::NotAccepted(_))),
        CentralError::Unreachable(_) | CentralError::Unavailable | CentralError::TimedOut => false,
    }
}

/// A handshake up to the peer's first words, after which it has looked at our certificate. Returns whether those words are HTTP/2.
async fn shake_hands(addresses: &[SocketAddr], material: &Material, deadline: Duration) -> Result<bool, LineFault> {
    let mut tried = 1;
    loop {
        let stream = dial::tcp(addresses, deadline).await?;
        let tls = dial::tls(stream, material.tls.clone(), material.server_name.clone(), deadline).await?;
        let heard = match tokio::time::timeout(deadline, greet(tls)).await {
            Ok(heard) => heard,
            // It took the connection and says nothing: TLS is there.
            Err(_) => return Ok(false),
        };
        match heard {
            Ok(http2) => return Ok(http2),
            Err(error) => {
                let fault = LineFault::tls(&error);
                if fault != LineFault::ClosedInHandshake || tried == HANDSHAKES_MAX {
                    return Err(fault);
                }
                tried += 1;
            }
        }
    }
}

async fn greet(mut tls: TlsStream<TcpStream>) -> io::Result<bool> {
    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        // Still wait for what it has to say about our certificate.
        return tls.read_u8().await.map(|_| false);
    }
    // A peer that has closed already may have left its reason to be read.
    let written = async { tls.write_all(HTTP2_PREFACE).await.and(tls.flush().await) }.await;
    let mut head = [0; HTTP2_HEAD];
    match tls.read_exact(&mut head).await {
        Ok(_) => Ok(head[HTTP2_TYPE] == HTTP2_SETTINGS),
        Err(error) => Err(written.err().filter(|_| error.get_ref().is_none()).unwrap_or(error)),
    }
}

/// We know better than the peer when our certificate ended.
fn with_date(fault: LineFault, material: &Material, now_ms: i64) -> LineFault {
    match (fault, material::expired_since(&material.validity, now_ms)) {
        (LineFault::OurCertificateExpired(_), Some(since)) => LineFault::OurCertificateExpired(since),
        (LineFault::ClosedInHandshake, Some(since)) => LineFault::OurCertificateExpired(since),
        (fault, _) => fault,
    }
}

fn clocks(their_ms: i64, our_ms: i64) -> Result<Said, LineFault> {
    if CentralTime::said(their_ms, Mono::default()).is_none() {
        return Ok(Said::new(
            "資格確認システムの応答に時刻がないため、時計を比べられません",
            "the central system's answer says no time, so the clocks cannot be compared",
        ));
    }
    let apart_ms = their_ms.saturating_sub(our_ms);
    if apart_ms.saturating_abs() > CLOCKS_APART_MAX_MS {
        return Err(LineFault::ClocksApart(apart_ms / 1000));
    }
    let tenths = apart_ms.saturating_abs() / 100;
    let apart = format!("{}.{}", tenths / 10, tenths % 10);
    Ok(Said::new(format!("時計の差は{apart}秒です"), format!("the clocks are {apart} s apart")))
}
