//! One connection to the central system, shared by the requests in flight.

use super::fault::LineFault;
use super::former::{Chosen, Former};
use super::generation::{Client, Generation, carry, lock};
use super::link::LinkStatus;
use super::material::{Fingerprint, Material};
use super::pairs::{PairId, Pairs};
use super::status::{self, CentralError};
use super::wire;
use super::wire::NotSendable;
use crate::clock::Clock;
use crate::config;
use crate::store::{OutboxRow, RequestKind};
use prost::Message;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Response, Status};
use uketsuke_core::line::{self, Call, Effect, Event, Heard, Watch};
use uketsuke_core::record::Reply;
use uketsuke_core::standing::Standing;
use uketsuke_proto::central_v1::{EligibilityAnswer, PingRequest, Signed};
use zeroize::Zeroizing;

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
    /// What the central system thinks of the pairs that were used.
    pairs: Arc<Pairs>,
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
            pairs: Arc::default(),
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

    /// The pair in use, and what the central system thinks of it; `None` while our files cannot be used.
    pub(super) fn pair(&self) -> Option<(PairId, Standing)> {
        let pair = self.generation().pair()?.clone();
        let standing = self.pairs.standing(&pair);
        Some((pair, standing))
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
        let mut line = self.line.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = generation.pair()
            && line.pair() != Some(pair)
        {
            self.pairs.begin(pair);
        }
        *line = generation;
        drop(line);
        lock(&self.watch).step(self.clock.mono(), Event::Replaced, rand::random(), &mut Vec::new());
    }

    /// What to use after `ended`: the calls that it ended under share one connection. It shows the same pair, which signed them.
    fn instead_of(&self, ended: &Generation) -> Generation {
        let mut line = self.line.write().unwrap_or_else(PoisonError::into_inner);
        if line.is(ended) {
            *line = ended.next();
        }
        if line.same_way(ended) { line.clone() } else { ended.next() }
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
        let mute = self.judge(&line, kind, Event::Ended { call: kind, sent, heard });
        line.note(kind, called.as_ref().err(), mute);
        self.publish();
        called
    }

    /// Thinks about the connection in use after a call on it; returns whether it is mute to calls of this kind.
    fn judge(&self, line: &Generation, call: Call, event: Event) -> bool {
        if !line.is(&self.generation()) {
            return false;
        }
        let mut effects = Vec::new();
        let mut watch = lock(&self.watch);
        watch.step(self.clock.mono(), event, rand::random(), &mut effects);
        if effects.contains(&Effect::TryBeside) {
            tokio::spawn(self.clone().try_beside(line.clone()));
        }
        watch.mute_to(call)
    }

    /// Nobody waits for this: requests go on over the connection in use meanwhile.
    async fn try_beside(self, used: Generation) {
        tracing::debug!("another connection is tried beside the one that does not answer");
        let beside = used.beside();
        let answered = match beside.ping(self.call_deadline).await {
            Ok(_) => true,
            Err(CentralError::Unreachable(_) | CentralError::Unavailable | CentralError::TimedOut) => false,
            Err(_) => true,
        };
        let mut effects = Vec::new();
        lock(&self.watch).step(self.clock.mono(), Event::Tried(answered), rand::random(), &mut effects);
        if effects.contains(&Effect::Replace) {
            let mut line = self.line.write().unwrap_or_else(PoisonError::into_inner);
            if line.is(&used) {
                beside.inherit(&used);
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
        let Some(signer) = line.signer() else {
            return Err(unsent(line.fault().map(|fault| fault.to_string()).unwrap_or_default()));
        };
        let signed = wire::signed(&row.request, signer).map_err(|error| match error {
            NotSendable::Undecodable => CentralError::Rejected("undecodable_body".into()),
            NotSendable::Signer(error) => unsent(error.to_string()),
        })?;
        let pair = signer.pair().clone();
        let sent = self.send(line, row, &signed).await;
        let judged = self.pairs.judge(&pair, (row, &signed), sent, &self.clock);
        self.publish();
        judged
    }

    async fn send(&self, line: Generation, row: &OutboxRow, signed: &Signed) -> Result<Delivery, CentralError> {
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
        let line = self.generation();
        let known = line.known();
        let (fault, consents, follow_ups) = (known.fault(), known.consents(), known.follow_ups());
        let disbelieved = line.pair().is_some_and(|pair| self.pairs.standing(pair).is_disbelieved());
        self.status.send_if_modified(|status| {
            let changed = (
                status.fault != fault,
                status.consents != consents,
                status.disbelieved != disbelieved,
                status.follow_ups != follow_ups,
            );
            match &fault {
                Some(fault) if changed.0 => tracing::warn!(%fault, "the line to the central system"),
                None if changed.0 => tracing::info!("the line to the central system works"),
                _ => {}
            }
            match &consents {
                Some(fault) if changed.1 => tracing::warn!(%fault, "consents are not taken by the central system"),
                None if changed.1 => tracing::info!("consents are taken by the central system again"),
                _ => {}
            }
            match &follow_ups {
                Some(fault) if changed.3 => {
                    tracing::warn!(%fault, "questions that are asked again are not answered by the central system");
                }
                None if changed.3 => tracing::info!("questions that are asked again are answered again"),
                _ => {}
            }
            match disbelieved {
                true if changed.2 => tracing::warn!("the central system calls invalid what this gateway signs"),
                false if changed.2 => tracing::info!("the central system accepts what this gateway signs"),
                _ => {}
            }
            (status.fault, status.consents, status.follow_ups) = (fault, consents, follow_ups);
            status.disbelieved = disbelieved;
            changed.0 || changed.1 || changed.2 || changed.3
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
