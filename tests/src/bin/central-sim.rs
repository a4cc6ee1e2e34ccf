//! `central-sim`: the central eligibility system as a program of its own.

/// As in the gateway, which it is measured with.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use uketsuke_tests::central::{Ending, ModeSpec, Options, Person, Rates, Rotation, Simulator};
use uketsuke_tests::pki::DevPki;

/// Simulate the central eligibility system: gRPC over mutual TLS 1.3 on loopback, a synthetic population, a ledger of
/// effects, and faults on demand. Prints one JSON line with its addresses when it is ready.
#[derive(Parser)]
#[command(name = "central-sim")]
struct Arguments {
    /// Address of the gRPC service.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the control listener (HTTP, JSON).
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Directory made by `dev-pki`.
    #[arg(long, value_name = "DIR")]
    pki: PathBuf,
    /// Append every effect to this file, one JSON object a line, and go on where it ends.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Seed of the population.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// JSON array of explicit outcomes: [{"cn":"…","class":"invalid","later":"valid"}, {"serial":"…","class":"revoked"},
    /// {"numbers":{"insurer":"…","symbol":"…","number":"…","birthdate":"…"},"class":"valid"}].
    #[arg(long = "person", value_name = "FILE")]
    persons: Option<PathBuf>,
    /// Service time is uniform between 0 and this.
    #[arg(long, value_name = "MS", default_value_t = 20)]
    think_ms: u64,
    /// Mode to start in: up, down, slow, hang, error, refuse, drop_answer, busy or odd.
    #[arg(long, default_value = "up")]
    mode: String,
    /// Delay of slow; wait asked for by busy.
    #[arg(long, value_name = "MS")]
    mode_ms: Option<u64>,
    /// Status of error, such as UNAVAILABLE; what is odd about the answers of odd, such as large.
    #[arg(long, value_name = "NAME")]
    mode_code: Option<String>,
    /// End each connection in order at about this age; clients shake hands again.
    #[arg(long, value_name = "S")]
    connection_age_s: Option<u64>,
    /// End each connection after this many requests, as nginx's keepalive_requests does; clients shake hands again.
    #[arg(long, value_name = "N")]
    connection_requests: Option<u32>,
    /// How such a connection ends: in-order (GOAWAY, then closed), abrupt (GOAWAY, then reset) or cut (reset).
    #[arg(long, value_name = "WAY", default_value = "in-order")]
    connection_ending: Ending,
    /// Return to up after this many requests.
    #[arg(long, value_name = "N")]
    mode_count: Option<u32>,
    #[command(flatten)]
    rates: RateArguments,
}

/// How often each outcome occurs, in parts per thousand of the cards; the rest is valid.
#[derive(clap::Args)]
#[command(next_help_heading = "Rates (parts per thousand)")]
struct RateArguments {
    /// 無効.
    #[arg(long, value_name = "N", default_value_t = Rates::default().invalid)]
    invalid: u64,
    /// 無効(新しい資格あり): changed insurer.
    #[arg(long, alias = "changed-insurer", value_name = "N", default_value_t = Rates::default().invalid_new)]
    invalid_new: u64,
    /// 該当資格なし: unmatched.
    #[arg(long, alias = "unmatched", value_name = "N", default_value_t = Rates::default().none)]
    none: u64,
    /// 複数該当.
    #[arg(long, value_name = "N", default_value_t = Rates::default().several)]
    several: u64,
    /// Card not registered as an insurance card.
    #[arg(long, value_name = "N", default_value_t = Rates::default().unregistered)]
    unregistered: u64,
    /// Certificate revoked.
    #[arg(long, value_name = "N", default_value_t = Rates::default().revoked)]
    revoked: u64,
    /// Names with ●, whatever the outcome.
    #[arg(long, value_name = "N", default_value_t = Rates::default().dots)]
    dots: u64,
    /// Of the invalid and the not found: whose data is only late, so that asking again finds them valid.
    #[arg(long, value_name = "N", default_value_t = Rates::default().lag)]
    lag: u64,
}

impl RateArguments {
    fn rates(&self) -> Rates {
        let Self { invalid, invalid_new, none, several, unregistered, revoked, dots, lag } = *self;
        Rates { invalid, invalid_new, none, several, unregistered, revoked, dots, lag }
    }
}

impl Arguments {
    fn options(self) -> anyhow::Result<Options> {
        let persons: Vec<Person> = match &self.persons {
            Some(path) => {
                let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
                serde_json::from_slice(&text).with_context(|| format!("parsing {}", path.display()))?
            }
            None => Vec::new(),
        };
        Ok(Options {
            rotation: self.connection_requests.map(|requests| Rotation { requests, ending: self.connection_ending }),
            connection_age: self.connection_age_s.map(std::time::Duration::from_secs),
            listen: self.listen,
            control: self.control,
            pki: DevPki::open(self.pki)?,
            ledger: self.ledger,
            seed: self.seed,
            rates: self.rates.rates(),
            think_ms: self.think_ms,
            mode: ModeSpec {
                mode: self.mode,
                ms: self.mode_ms,
                code: self.mode_code,
                count: self.mode_count,
                only: None,
                of: None,
            },
            persons,
        })
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = Arguments::parse().options()?;
    // Before the ready line, so that a signal right after it already stops gracefully.
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let simulator = Simulator::start(options).await?;
    println!(
        "{}",
        json!({
            "ready": "central-sim",
            "listen": simulator.address(),
            "control": simulator.control_address(),
            "pid": std::process::id(),
        })
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await
}
