//! The special modes of the desk: one machine of the core, kept in the store, with a clock of its own.
//!
//! Nothing is open before it is on disk: an order is answered after the machine and its trail have been kept. A machine that cannot be
//! kept stays as it was.

use crate::clock::Clock;
use crate::store::{Keeping, KeptName, Store, StoreError, TrailEntry};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use uketsuke_core::clock::Stamp;
use uketsuke_core::modes::{Closing, Effect, Event, Limits, Mode, Modes, Permission, Refusal};
use uketsuke_core::record::StaffName;
use zeroize::Zeroizing;

/// Between tries to keep a machine that a full disk refused.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The rules of the modes are against it; [`Refusal::words`] says why and what to do.
    #[error("refused")]
    Refused(Refusal),
    /// It could not be written down, so it did not happen.
    #[error("the store cannot keep it: {0}")]
    Store(#[from] StoreError),
}

/// The modes of this site. Cheap to clone.
#[derive(Clone)]
pub struct ModesHandle {
    store: Store,
    clock: Clock,
    limits: Arc<Limits>,
    machine: Arc<Mutex<Modes>>,
    open: Arc<watch::Sender<Modes>>,
}

impl ModesHandle {
    /// Goes on where the last process stopped. A machine that cannot be read starts closed, and says so.
    pub async fn start(store: Store, clock: Clock, limits: Limits) -> Self {
        let kept = match store.kept(KeptName::Modes).await {
            Ok(kept) => kept.map(|value| serde_json::from_slice(&value)).transpose().unwrap_or_else(|error| {
                tracing::error!(%error, "the special modes that were open cannot be understood; all are closed");
                None
            }),
            Err(error) => {
                tracing::error!(%error, "the special modes that were open cannot be read; all are closed");
                None
            }
        };
        let modes: Modes = kept.unwrap_or_default();
        let handle = Self::with(modes, store, clock, limits);
        if let Err(error) = handle.step(Event::Tick).await {
            tracing::warn!(%error, "the special modes could not be kept");
        }
        tokio::spawn(handle.clone().keep_time());
        handle
    }

    fn with(modes: Modes, store: Store, clock: Clock, limits: Limits) -> Self {
        let open = Arc::new(watch::Sender::new(modes.clone()));
        Self { store, clock, limits: Arc::new(limits), open, machine: Arc::new(Mutex::new(modes)) }
    }

    /// Everything closed, and nothing that closes by itself.
    #[cfg(test)]
    pub(crate) fn closed(store: Store, clock: Clock, limits: Limits) -> Self {
        Self::with(Modes::default(), store, clock, limits)
    }

    /// The modes as they are now.
    pub fn now(&self) -> Modes {
        self.open.borrow().clone()
    }

    /// Whether the site has named nobody who may open a mode.
    pub fn nobody_authorised(&self) -> bool {
        self.limits.authorised.is_empty()
    }

    /// The mode that allows something now.
    pub fn permits(&self, permission: Permission) -> Option<Mode> {
        self.open.borrow().permits(permission, self.clock.now())
    }

    /// Opens or closes a mode.
    ///
    /// # Errors
    /// [`NotDone`]; nothing has changed then, save that a refusal stands in the trail.
    pub async fn order(&self, event: Event) -> Result<(), NotDone> {
        self.step(event).await
    }

    async fn step(&self, event: Event) -> Result<(), NotDone> {
        let mut machine = self.machine.lock().await;
        let mut next = machine.clone();
        let mut effects = Vec::new();
        let now = self.clock.now();
        next.step(now, &self.limits, event, &mut effects);
        let refused = effects.iter().find_map(|effect| match effect {
            Effect::Refused { why, .. } => Some(*why),
            _ => None,
        });
        if !effects.is_empty() {
            // Names, regions and counts only: no maps with keys that JSON could refuse.
            let value = Zeroizing::new(serde_json::to_vec(&next).unwrap_or_default());
            let trail = effects.iter().filter_map(|effect| entry(effect, now.stamp)).collect();
            self.store.keep(Keeping { name: KeptName::Modes, value, trail }).await?;
            for effect in &effects {
                tell(effect);
            }
        }
        *machine = next.clone();
        self.open.send_replace(next);
        refused.map_or(Ok(()), |why| Err(NotDone::Refused(why)))
    }

    /// Lets modes close by themselves.
    async fn keep_time(self) {
        let mut changes = self.open.subscribe();
        loop {
            let deadline = changes.borrow_and_update().deadline();
            let wait = deadline.map(|at| Duration::from_millis(at.0.saturating_sub(self.clock.mono().0)));
            let due = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = due => match self.step(Event::Tick).await {
                    Ok(()) | Err(NotDone::Refused(_)) => {}
                    Err(NotDone::Store(StoreError::Closed)) => return,
                    Err(error) => {
                        tracing::warn!(%error, "the special modes could not be kept");
                        tokio::time::sleep(TRY_AGAIN).await;
                    }
                },
            }
        }
    }
}

/// What the log says; reasons are free text and stay in the sealed trail.
fn tell(effect: &Effect) {
    match effect {
        Effect::Opened { mode, .. } => tracing::warn!(?mode, "a special mode was opened"),
        Effect::Closed { mode, why, .. } => {
            tracing::warn!(?mode, by_itself = *why == Closing::TimeUp, "a special mode was closed");
        }
        Effect::Refused { mode, why, .. } => tracing::warn!(?mode, ?why, "an order about a special mode was refused"),
        Effect::Persist => {}
    }
}

fn entry(effect: &Effect, now: Stamp) -> Option<TrailEntry> {
    let word = |mode: &Mode| serde_json::to_value(mode).ok()?.as_str().map(str::to_owned);
    let name = |by: &StaffName| by.as_str().to_owned();
    let (what, mode, by, detail) = match effect {
        Effect::Opened { mode, open } => {
            let region = open.region.as_deref().map(|region| format!(" ({region})")).unwrap_or_default();
            ("opened", mode, name(&open.by), format!("{}{region}", open.reason))
        }
        Effect::Closed { mode, why: Closing::By(by), .. } => ("closed", mode, name(by), String::new()),
        Effect::Closed { mode, why: Closing::TimeUp, .. } => ("time_up", mode, String::new(), String::new()),
        Effect::Refused { mode, by, why, .. } => ("refused", mode, name(by), why.word().to_owned()),
        Effect::Persist => return None,
    };
    Some(TrailEntry {
        id: uuid::Uuid::now_v7(),
        at: now,
        by,
        what: format!("{}_{what}", word(mode)?),
        detail,
        rules: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uketsuke_core::modes::Scope;

    fn limits() -> Limits {
        Limits { authorised: [StaffName::new("院長").unwrap()].into(), ..Limits::default() }
    }

    fn open(by: &str) -> Event {
        Event::Open {
            mode: Mode::SystemFailure,
            by: StaffName::new(by).unwrap(),
            reason: "回線障害".into(),
            scope: Scope::Here(Duration::from_secs(3600)),
        }
    }

    #[tokio::test]
    async fn a_mode_that_was_opened_is_open_after_a_restart_and_stands_in_the_trail() {
        let (store, clock) = (Store::model(), Clock::new("/nonexistent".into()));
        let modes = ModesHandle::start(store.clone(), clock.clone(), limits()).await;
        assert_eq!(modes.order(open("佐藤")).await, Err(NotDone::Refused(Refusal::NotAuthorised)));
        modes.order(open("院長")).await.unwrap();
        let later = ModesHandle::start(store.clone(), clock, limits()).await;
        assert_eq!(later.permits(Permission::RecordWithoutCard), Some(Mode::SystemFailure));
        let trail: Vec<String> = store.trail(9).await.unwrap().into_iter().map(|entry| entry.what).collect();
        assert_eq!(trail, ["system_failure_opened", "system_failure_refused"]);
    }

    #[tokio::test]
    async fn a_mode_that_cannot_be_written_down_is_not_open() {
        let (store, clock) = (Store::model(), Clock::new("/nonexistent".into()));
        let modes = ModesHandle::start(store.clone(), clock, limits()).await;
        store.as_model().unwrap().fail_next(1, StoreError::Full);
        assert_eq!(modes.order(open("院長")).await, Err(NotDone::Store(StoreError::Full)));
        assert_eq!(modes.permits(Permission::RecordWithoutCard), None);
    }
}
