//! The central simulator: the オンライン資格確認等システム as the gateway sees it, with faults on demand.
//!
//! Promises:
//! * it believes nothing that is not signed by a card of the card CA or a gateway of the link CA;
//! * an effect is applied once per id and gets the same answer for ever, across restarts of the simulator too when
//!   it has a ledger file;
//! * the ledger is what scenarios judge by: it says in which order, how often, and for which reception;
//! * it listens where this machine alone can reach it: on loopback, or on an address for tests of networks (RFC 2544).

pub mod caller;
mod certificates;
mod class;
mod faults;
mod frames;
mod http;
pub mod ledger;
mod line;
mod names;
mod numbers;
mod odd;
mod population;
mod service;
mod signed;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use uketsuke_proto::central_v1::online_eligibility_server::OnlineEligibilityServer;

pub use class::{Class, Rates};
pub use faults::{Method, Mode, ModeSpec, Switch, Whose};
pub use frames::{Ending, HalfDead, Rotation};
pub(crate) use http::{ClockSpec, HalfDeadSpec, Refusal};
pub use numbers::Numbers;
pub use odd::Oddity;
pub use population::{CardIdentity, Outcome, Person, Population, Which};
pub use service::Stats;

use crate::pki::DevPki;
use ledger::{Effect, Ledger};

/// How long a stop waits for answers under way before it resets their connections.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// 198.18.0.0/15, which RFC 2544 sets aside for tests of networks: routed nowhere, used between network namespaces of this machine.
fn for_tests(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if matches!(v4.octets(), [198, 18 | 19, ..]))
}

/// How a simulator is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address of the gRPC service; port 0 chooses one.
    pub listen: SocketAddr,
    /// Address of the control listener; port 0 chooses one.
    pub control: SocketAddr,
    /// Certificates and keys.
    pub pki: DevPki,
    /// Ledger file; goes on where it ends.
    pub ledger: Option<PathBuf>,
    /// Seed of the population.
    pub seed: u64,
    /// Rates of the outcomes.
    pub rates: Rates,
    /// Upper end of the service time, which is uniform from 0.
    pub think_ms: u64,
    /// The mode to start in.
    pub mode: ModeSpec,
    /// Age at which a connection is ended in order, so that clients shake hands again; `None` lets it live.
    pub connection_age: Option<Duration>,
    /// Requests after which a connection is ended, and how; `None` lets it live.
    pub rotation: Option<Rotation>,
    /// Explicit outcomes.
    pub persons: Vec<Person>,
}

impl Options {
    /// Loopback, free ports, no ledger file, seed 1, default rates, up to 20 ms of service time.
    pub fn new(pki: DevPki) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: any,
            control: any,
            pki,
            ledger: None,
            seed: 1,
            rates: Rates::default(),
            think_ms: 20,
            mode: ModeSpec::new("up"),
            connection_age: None,
            rotation: None,
            persons: Vec::new(),
        }
    }
}

/// What the service, the control listener and the owner share.
struct Shared {
    central: Arc<service::Central>,
    line: line::Line,
}

impl Shared {
    fn mode(&self) -> ModeSpec {
        self.central.faults.current().spec()
    }

    async fn set_mode(&self, switch: Switch) -> Result<()> {
        let down = switch.mode == Mode::Down;
        self.central.faults.set(switch);
        if down { self.line.close().await } else { self.line.open().await }
    }

    fn stats(&self) -> Stats {
        let counters = self.line.counters();
        Stats {
            connections_accepted: counters.accepted.load(Ordering::Relaxed),
            handshakes_refused: counters.refused.load(Ordering::Relaxed),
            connections_open: counters.open.load(Ordering::Relaxed),
            handshakes: line::lock(&counters.by_serial).clone(),
            handshakes_refused_why: line::lock(&counters.refused_why).clone(),
            ..self.central.state().stats.clone()
        }
    }
}

/// A running simulator. Dropping it without [`Simulator::stop`] leaves it to the runtime's end.
pub struct Simulator {
    shared: Arc<Shared>,
    http: http::Http,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Simulator {
    /// Starts on the current tokio runtime; both listeners accept when this returns.
    pub async fn start(options: Options) -> Result<Self> {
        for address in [options.listen, options.control] {
            ensure!(
                address.ip().is_loopback() || for_tests(address.ip()),
                "the central simulator listens on loopback or in 198.18.0.0/15 only, not on {address}"
            );
        }
        let switch = options.mode.parse().map_err(|error| anyhow!(error))?;
        let mut population = Population::new(options.seed, options.rates);
        for person in &options.persons {
            population.wish(person).map_err(|error| anyhow!("person {person:?}: {error}"))?;
        }
        let central = Arc::new(service::Central {
            trust: signed::Trust::load(&options.pki)?,
            faults: faults::Faults::new(),
            think_ms: options.think_ms,
            ahead_ms: AtomicI64::new(0),
            state: Mutex::new(service::State::new(Ledger::open(options.ledger.as_deref())?, population)),
        });
        let (line, incoming) = line::Line::listen(options.listen, &options.pki, options.rotation).await?;
        let (stop, stopped) = oneshot::channel();
        let mut server = Server::builder();
        if let Some(age) = options.connection_age {
            server = server.max_connection_age(age);
        }
        let served = tokio::spawn(
            server
                .add_service(
                    OnlineEligibilityServer::new(service::Service(central.clone()))
                        .max_decoding_message_size(service::REQUEST_BYTES_MAX),
                )
                .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async {
                    let _ = stopped.await;
                }),
        );
        let shared = Arc::new(Shared { central, line });
        shared.set_mode(switch).await?;
        let http = http::Http::start(options.control, shared.clone())?;
        Ok(Self { shared, http, stop, served })
    }

    /// Address of the gRPC service.
    pub fn address(&self) -> SocketAddr {
        self.shared.line.address()
    }

    /// Address of the control listener.
    pub fn control_address(&self) -> SocketAddr {
        self.http.address
    }

    /// Changes the mode; when this returns it holds.
    pub async fn set_mode(&self, spec: &ModeSpec) -> Result<()> {
        self.shared.set_mode(spec.parse().map_err(|error| anyhow!(error))?).await
    }

    /// Makes the connections that are there half dead; those that come are sound.
    pub fn half_dead(&self, how: HalfDead) {
        self.shared.line.half_dead(how);
    }

    /// Puts the central system's clock ahead of this machine's, as if so much time had passed.
    pub fn set_clock_ahead(&self, ahead: Duration) {
        self.shared.central.set_clock_ahead(i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX));
    }

    /// Chooses the outcome of a card.
    pub fn wish(&self, person: &Person) -> Result<()> {
        self.shared.central.state().population.wish(person).map_err(|error| anyhow!(error))
    }

    /// The ledger in memory.
    pub fn effects(&self) -> Vec<Effect> {
        self.shared.central.state().ledger.effects().to_vec()
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Stops taking connections, gives answers under way a second, and ends.
    pub async fn stop(self) -> Result<()> {
        let _ = self.stop.send(());
        let mut served = self.served;
        let ended = match tokio::time::timeout(STOP_GRACE, &mut served).await {
            Ok(ended) => ended.context("the central service panicked")?.context("serving the central service"),
            Err(_) => {
                served.abort();
                self.shared.line.close().await
            }
        };
        self.http.stop().await;
        ended
    }
}
