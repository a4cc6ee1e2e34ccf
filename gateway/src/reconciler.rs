//! Leads the cases of receptions without a confirmed answer to their ends.
//!
//! Promises: it owns nothing that is not in the store, so that another life goes on where this one stopped; each step is read,
//! taken and written against the version that was read, together with the question that it asks, so that no ask is lost or
//! sent twice; what staff do counts only for the case as they saw it.

mod step;

use crate::clock::Clock;
use crate::messages::{Ping, Stop};
use crate::store::papers::{Filed, Paper};
use crate::store::{Class, Store, StoreError};
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{oneshot, watch};
use uketsuke_core::clock::Mono;
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::ladder::{Case, Owner, Refusal, StaffAction};
use uketsuke_core::record::StaffName;

/// Orders of staff that may wait; further ones are turned away at the desk.
pub const ORDERS_MAX: usize = 64;
/// Cases that are led at once: years of a site's.
const CASES_MAX: usize = 100_000;
/// At least this often each case is told the time, so that its age survives a restart without a synchronised clock.
const LOOK_EVERY: Duration = Duration::from_secs(12 * 60 * 60);
/// Cases that are looked at together, so that their steps share commits: after an outage answers come by the thousand.
const TOGETHER: usize = 32;
/// After a step that could not be written, and may be soon.
const AGAIN: Duration = Duration::from_secs(30);
/// After one that needs somebody to act first: an altered row.
const AGAIN_LATER: Duration = Duration::from_secs(60 * 60);

/// Something that staff do to a case, or file with it.
pub struct CaseOrder {
    /// Whose case.
    pub reception: ReceptionId,
    /// [`Case::turn`] as staff saw it.
    pub turn: u32,
    /// What they do; `None` only files the paper.
    pub action: Option<StaffAction>,
    /// What they file. Numbers and declarations must come with their paper.
    pub paper: Option<Filed>,
    /// Who.
    pub by: StaffName,
    /// What came of it; nobody waiting is no error.
    pub done: oneshot::Sender<CaseTold>,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseTold {
    /// It is written down; the case's turn since.
    Done {
        /// For the next order.
        turn: u32,
    },
    /// It does not count; nothing has changed. [`uketsuke_core::ladder::words::refusal`] says it in words.
    Refused(Refusal),
    /// The action needs a paper that was not there, or another one.
    PaperMissing,
    /// This reception has no case.
    NoCase,
    /// It could not be written; the same order may be tried again.
    NotWritten,
}

/// How many cases are open, by who has to see to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaseCounts {
    /// The gateway waits or asks again.
    pub machine: u64,
    /// Staff at the desk.
    pub desk: u64,
}

/// Everything a reconciler needs to live again.
#[derive(Clone)]
pub struct ReconcilerParts {
    /// Where the cases are.
    pub store: Store,
    /// MedicalInstitutionCode.
    pub medical_institution_code: Arc<str>,
    /// Clocks.
    pub clock: Clock,
    /// What staff order.
    pub orders: async_channel::Receiver<CaseOrder>,
    /// What staff and telemetry see.
    pub counts: Arc<watch::Sender<CaseCounts>>,
}

/// The receiver is cloned into the life's own loop. Actors must be `Unpin`.
impl Unpin for ReconcilerParts {}

/// One life of the reconciler.
pub struct Reconciler {
    parts: ReconcilerParts,
    life: Option<SpawnHandle>,
}

impl Reconciler {
    /// A reconciler that will look at every open case first.
    pub fn new(parts: ReconcilerParts) -> Self {
        Self { parts, life: None }
    }
}

impl Actor for Reconciler {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let life = live(self.parts.clone()).into_actor(self).map(|(), _, context| context.stop());
        self.life = Some(context.spawn(life));
    }
}

impl Handler<Ping> for Reconciler {
    type Result = ();
    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Stop> for Reconciler {
    type Result = ();
    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        // A write under way reaches the store; what was not written is found by the next life.
        if let Some(life) = self.life.take() {
            context.cancel_future(life);
        }
        context.stop();
    }
}

/// When each open case wants to be looked at, and whose it is. Only what can be read from the store again.
#[derive(Default)]
struct Book {
    cases: BTreeMap<ReceptionId, (Mono, Owner)>,
    by_due: BTreeSet<(Mono, ReceptionId)>,
    /// Something is new about these; most have no case at all.
    woken: BTreeSet<ReceptionId>,
    counts: CaseCounts,
}

impl Book {
    fn note(&mut self, parts: &ReconcilerParts, reception: ReceptionId, case: &Case) {
        let now = parts.clock.now();
        self.remove(reception);
        if let (Some(due), Some(owner)) = (case.due_in(now), case.owner()) {
            self.insert(reception, now.mono.after(due.min(LOOK_EVERY)), owner);
        }
        parts.counts.send_if_modified(|known| std::mem::replace(known, self.counts) != self.counts);
    }

    fn insert(&mut self, reception: ReceptionId, due: Mono, owner: Owner) {
        self.remove(reception);
        self.cases.insert(reception, (due, owner));
        self.by_due.insert((due, reception));
        *self.count(owner) += 1;
    }

    fn remove(&mut self, reception: ReceptionId) {
        if let Some((due, owner)) = self.cases.remove(&reception) {
            self.by_due.remove(&(due, reception));
            *self.count(owner) -= 1;
        }
    }

    fn count(&mut self, owner: Owner) -> &mut u64 {
        match owner {
            Owner::Machine => &mut self.counts.machine,
            Owner::Desk => &mut self.counts.desk,
        }
    }

    /// Whose a case is, as far as is known.
    fn owner(&self, reception: ReceptionId) -> Owner {
        self.cases.get(&reception).map_or(Owner::Machine, |(_, owner)| *owner)
    }

    /// How long until one of them wants to be looked at.
    fn wait(&self, now: Mono) -> Duration {
        if !self.woken.is_empty() {
            return Duration::ZERO;
        }
        self.by_due.first().map_or(LOOK_EVERY, |(due, _)| Duration::from_millis(due.0.saturating_sub(now.0)))
    }

    /// Some of those that want to be looked at now.
    fn next(&mut self, now: Mono) -> Vec<ReceptionId> {
        let woken = std::iter::from_fn(|| self.woken.pop_first()).take(TOGETHER).collect::<Vec<_>>();
        if !woken.is_empty() {
            return woken;
        }
        self.by_due.iter().take_while(|(due, _)| *due <= now).take(TOGETHER).map(|(_, reception)| *reception).collect()
    }
}

/// Runs until the store is closed.
pub(crate) async fn live(parts: ReconcilerParts) {
    // Subscribed before the first look: nothing falls in between.
    let (mut replies, mut notices) = (parts.store.replies(), parts.store.case_notices());
    let mut book = Book::default();
    let mut missed = true;
    let mut orders = Some(parts.orders.clone());
    loop {
        // Not before those known to be new are seen to: while answers come faster than cases are led, every look at all of them would
        // miss some again.
        if missed && book.woken.is_empty() {
            missed = false;
            wake_all(&parts, &mut book).await;
        }
        let wait = book.wait(parts.clock.mono());
        tokio::select! {
            // Somebody stands at the desk: they wait for one look at some at the most, however many cases want one after a start or a cut.
            biased;
            order = next(&mut orders) => {
                if let Some(order) = order {
                    obey(&parts, &mut book, order).await;
                } else {
                    orders = None;
                }
            }
            notice = replies.recv() => match notice {
                Ok(notice) => drop(book.woken.insert(notice.reception)),
                Err(RecvError::Lagged(_)) => missed = true,
                Err(RecvError::Closed) => return,
            },
            notice = notices.recv() => match notice {
                // Later versions are its own.
                Ok(notice) if notice.version == 1 => drop(book.woken.insert(notice.reception)),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => missed = true,
                Err(RecvError::Closed) => return,
            },
            () = pause(wait) => {
                let wanted = with_case(&parts, &mut book).await;
                let looks = wanted.into_iter().map(|reception| {
                    let parts = &parts;
                    async move { (reception, step::take(parts, reception, None).await) }
                });
                for (reception, taken) in futures_util::future::join_all(looks).await {
                    looked(&parts, &mut book, reception, taken);
                }
            }
        }
    }
}

/// The next that want to be looked at. Most answers are about a reception without a case, and one question sorts those out.
async fn with_case(parts: &ReconcilerParts, book: &mut Book) -> Vec<ReceptionId> {
    let mut wanted = book.next(parts.clock.mono());
    // An error shows, and is seen to, where each is read.
    if let Ok(found) = parts.store.with_case(&wanted).await {
        for reception in wanted.extract_if(.., |reception| !found.contains(reception)) {
            book.remove(reception);
        }
    }
    wanted
}

/// Over at once when there is nothing to wait for.
async fn pause(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

/// The next order; never resolves once nobody is left who could give one.
async fn next(orders: &mut Option<async_channel::Receiver<CaseOrder>>) -> Option<CaseOrder> {
    match orders {
        Some(orders) => orders.recv().await.ok(),
        None => std::future::pending().await,
    }
}

/// Everything may have changed: each open case is looked at as soon as nothing else waits.
async fn wake_all(parts: &ReconcilerParts, book: &mut Book) {
    match parts.store.open_cases(CASES_MAX).await {
        Ok(open) => {
            for row in open {
                book.note(parts, row.reception, &row.case);
                book.woken.insert(row.reception);
            }
        }
        Err(error) => tracing::error!(%error, "the open cases cannot be read"),
    }
}

/// A case was told what has been answered by now, and the time.
fn looked(
    parts: &ReconcilerParts,
    book: &mut Book,
    reception: ReceptionId,
    taken: Result<Option<step::Taken>, StoreError>,
) {
    match taken {
        Ok(Some(taken)) => book.note(parts, reception, &taken.case),
        Ok(None) => book.remove(reception),
        Err(error) => {
            tracing::warn!(%reception, %error, "a case could not be led on; it is tried again");
            let owner = book.owner(reception);
            let wait = if error.class() == Class::Transient { AGAIN } else { AGAIN_LATER };
            book.insert(reception, parts.clock.mono().after(wait), owner);
        }
    }
}

async fn obey(parts: &ReconcilerParts, book: &mut Book, order: CaseOrder) {
    let CaseOrder { reception, turn, action, paper, by, done } = order;
    if !step::paper_fits(action.as_ref(), paper.as_ref()) {
        let _ = done.send(CaseTold::PaperMissing);
        return;
    }
    let at = parts.clock.stamp();
    let action_word = action.as_ref().map(|action| Filed::Action(step::word(action).to_owned()));
    let filed = paper.into_iter().chain(action_word);
    let papers = filed.map(|filed| Paper { filed, by: by.clone(), at }).collect();
    let told = match step::take(parts, reception, Some(step::Ordered { turn, action, papers })).await {
        Ok(Some(taken)) => {
            book.note(parts, reception, &taken.case);
            taken.refused.map_or(CaseTold::Done { turn: taken.case.turn() }, CaseTold::Refused)
        }
        Ok(None) => CaseTold::NoCase,
        Err(error) => {
            if !matches!(error, StoreError::Closed) {
                tracing::error!(%reception, %error, "what staff did to a case could not be written");
            }
            CaseTold::NotWritten
        }
    };
    // Staff may have closed the page; what they did counts all the same.
    let _ = done.send(told);
}

#[cfg(test)]
mod tests;
