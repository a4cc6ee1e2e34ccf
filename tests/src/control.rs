//! The harness' hand on a running central simulator: a small blocking client of its control listener.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::central::ledger::Effect;
use crate::central::{ClockSpec, HalfDead, HalfDeadSpec, ModeSpec, Person, Refusal, Stats};

/// No control call takes longer; one that does means that the simulator is gone.
const DEADLINE: Duration = Duration::from_secs(10);

/// A central simulator in another process, or in this one.
#[derive(Debug, Clone)]
pub struct Central {
    base: String,
    agent: ureq::Agent,
}

impl Central {
    /// The simulator whose control listener is at `control`.
    pub fn at(control: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(DEADLINE))
            .http_status_as_error(false)
            // A network that was away leaves dead connections behind.
            .max_idle_connections(0);
        Self { base: format!("http://{control}"), agent: config.build().into() }
    }

    /// Whether it answers.
    pub fn healthy(&self) -> bool {
        self.get::<serde_json::Value>("/healthz").is_ok()
    }

    /// Changes the mode; when this returns it holds. After `down` nothing listens and every connection is reset.
    pub fn set_mode(&self, mode: &ModeSpec) -> Result<()> {
        self.put::<_, ModeSpec>("/mode", mode).map(drop)
    }

    /// The mode and what is left of its count.
    pub fn mode(&self) -> Result<ModeSpec> {
        self.get("/mode")
    }

    /// Every effect in the order of application.
    pub fn ledger(&self) -> Result<Vec<Effect>> {
        self.get("/ledger")
    }

    /// Counts since the simulator's start.
    pub fn stats(&self) -> Result<Stats> {
        self.get("/stats")
    }

    /// Chooses the outcome of a card.
    pub fn set_person(&self, person: &Person) -> Result<()> {
        self.put::<_, Person>("/person", person).map(drop)
    }

    /// Puts the central system's clock ahead of this machine's; negative puts it behind.
    pub fn set_clock_ahead_ms(&self, ahead_ms: i64) -> Result<()> {
        self.put::<_, ClockSpec>("/clock", &ClockSpec { ahead_ms }).map(drop)
    }

    /// Makes the connections that are there half dead; those that come are sound.
    pub fn half_dead(&self, how: HalfDead) -> Result<()> {
        self.put::<_, HalfDeadSpec>("/half-dead", &HalfDeadSpec { how }).map(drop)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let url = format!("{}{path}", self.base);
        let answer = self.agent.get(&url).call().with_context(|| format!("GET {url}"))?;
        content(answer).with_context(|| format!("GET {url}"))
    }

    fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        let url = format!("{}{path}", self.base);
        let answer = self.agent.put(&url).send_json(body).with_context(|| format!("PUT {url}"))?;
        content(answer).with_context(|| format!("PUT {url}"))
    }
}

fn content<T: DeserializeOwned>(mut answer: ureq::http::Response<ureq::Body>) -> Result<T> {
    let status = answer.status();
    if !status.is_success() {
        let reason = answer.body_mut().read_json::<Refusal>().map_or_else(|error| error.to_string(), |body| body.error);
        bail!("{status}: {reason}");
    }
    answer.body_mut().with_config().limit(u64::MAX).read_json().context("reading the answer")
}
