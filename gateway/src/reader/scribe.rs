//! Writes one reader's receptions in the order they were decided, and outlives the actors that decide them.
//!
//! T1, T2, abandonment and closing of one reception must reach the store in this order; separate tasks would race. When an
//! actor dies, what it had handed over is written before its successor's first write. A T2 that cannot be written becomes an
//! abandonment here, where it cannot be missed. An abandonment that a full disk refuses for longer than anybody waits is *owed*: it is
//! tried again by itself and goes before every later write. So no reception is left open without an owner.

use crate::store::{Class, Lane, Opening, Recording, Request, Store, StoreError, TrailEntry};
use crate::telemetry::Metrics;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uketsuke_core::backoff::Backoff;
use uketsuke_core::clock::Stamp;
use uketsuke_core::ids::{OrderKey, ReceptionId};
use uketsuke_core::reception::FaceCount;
use uketsuke_core::record::Abandonment;

/// Between tries of a write that may succeed later.
const RETRY: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(2) };
/// A patient waits for T1 and T2, from the moment they were decided: then rather the desk. Less than the core's own deadline.
const PATIENT_WAITS: Duration = Duration::from_secs(3);
/// Nobody waits for the others; they should not be lost to a disk that is full for a moment, nor hold up what comes behind them.
const NOBODY_WAITS: Duration = Duration::from_secs(120);

/// Something to be written.
#[derive(Clone)]
pub(super) enum Write {
    Open(Box<Opening>),
    Record(Box<Recording>),
    Abandon(ReceptionId, Abandonment, Stamp),
    Close(ReceptionId),
    /// A later question while the patient waits.
    FollowUp(ReceptionId, Box<Request>, Stamp),
    CountFace(OrderKey, FaceCount, Stamp),
    /// A check-in that ended before there was a reception.
    Note(TrailEntry),
    /// Whatever an earlier life of this reader left open.
    AbandonOpen(Stamp),
}

/// What became of a write.
pub(super) struct Written {
    pub(super) result: Result<(), StoreError>,
    /// From decision to disk.
    pub(super) took: Duration,
}

struct Job {
    write: Write,
    since: Instant,
    done: oneshot::Sender<Written>,
}

/// One reader's way to the store. Cheap to clone.
#[derive(Clone)]
pub struct Scribe {
    // Unbounded, yet never long: a reader has one reception at a time, and each writes a handful of times.
    jobs: mpsc::UnboundedSender<Job>,
}

impl Scribe {
    /// Starts a scribe for `reader` (`terminal/reader`). It ends when every clone is dropped and everything is written.
    pub fn start(store: Store, reader: String, metrics: Metrics) -> Self {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let mut desk = Desk { store, reader, metrics, owed: VecDeque::new() };
        tokio::spawn(async move {
            while let Some(Job { write, since, done }) = desk.next(&mut queue).await {
                let result = desk.perform(&write, since, &queue).await;
                // The actor may be gone; the write counts all the same.
                let _ = done.send(Written { result: result.clone(), took: since.elapsed() });
                if let Err(error) = result {
                    desk.owe(write, &error).await;
                }
            }
        });
        Self { jobs }
    }

    /// Queues a write behind all earlier ones, at once; what is returned only waits for it.
    pub(super) fn write(&self, write: Write) -> impl Future<Output = Written> + use<> {
        let (done, written) = oneshot::channel();
        // The task ends only after the last clone of this sender.
        let _ = self.jobs.send(Job { write, since: Instant::now(), done });
        async move {
            let lost = StoreError::Fatal { what: "the scribe of this reader has ended".into() };
            written.await.unwrap_or(Written { result: Err(lost), took: Duration::ZERO })
        }
    }
}

struct Desk {
    store: Store,
    reader: String,
    metrics: Metrics,
    /// Abandonments that could not be written yet. Never many: while the first of them cannot be written, no reception opens.
    owed: VecDeque<Write>,
}

impl Desk {
    /// The next write; meanwhile what is owed is tried again. `None` once nobody is left who could ask.
    async fn next(&mut self, queue: &mut mpsc::UnboundedReceiver<Job>) -> Option<Job> {
        while !self.owed.is_empty() {
            match tokio::time::timeout(RETRY.most, queue.recv()).await {
                Ok(Some(job)) => return Some(job),
                // One last try; a start abandons what is left.
                Ok(None) => {
                    let _ = self.pay().await;
                    return None;
                }
                Err(_) => drop(self.pay().await),
            }
        }
        queue.recv().await
    }

    /// Takes over what must not be lost of a write that failed.
    async fn owe(&mut self, failed: Write, error: &StoreError) {
        match failed {
            Write::Record(recording) => {
                let (reception, at) = (recording.reception, recording.recorded);
                // Left alone by the store if T2 did reach the disk: that one is irrevocable.
                self.owed.push_back(Write::Abandon(reception, Abandonment::NotRecorded, at));
                drop(self.pay().await);
            }
            Write::Abandon(..) | Write::AbandonOpen(_) if error.class() == Class::Transient => {
                self.owed.push_back(failed);
            }
            _ => {}
        }
    }

    /// Writes what is owed, as far as it can be written now.
    async fn pay(&mut self) -> Result<(), StoreError> {
        while let Some(write) = self.owed.front() {
            match self.write_down(write).await {
                Err(error) if error.class() == Class::Transient => return Err(error),
                Ok(()) | Err(_) => drop(self.owed.pop_front()),
            }
        }
        Ok(())
    }

    /// Writes, again and again while that may help and nobody is the worse for it.
    async fn perform(
        &mut self,
        write: &Write,
        since: Instant,
        queue: &mpsc::UnboundedReceiver<Job>,
    ) -> Result<(), StoreError> {
        let waits = matches!(write, Write::Open(_) | Write::Record(_) | Write::FollowUp(..));
        if matches!(write, Write::Open(_)) && since.elapsed() > PATIENT_WAITS {
            // The patient has been sent to the desk, or is about to be.
            return Err(StoreError::Busy);
        }
        let mut failures = 0;
        loop {
            let error = match self.once(write).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            failures += 1;
            let wait = RETRY.delay(failures, rand::random());
            let patience = if waits { PATIENT_WAITS } else { NOBODY_WAITS };
            let again = since.elapsed() + wait <= patience && (waits || queue.is_empty());
            if error.class() != Class::Transient || !again {
                tracing::error!(reader = self.reader, %error, failures, "a reception could not be written");
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// One try. Nothing goes before what is owed, so that a restart's abandonment never meets a reception opened after it.
    async fn once(&mut self, write: &Write) -> Result<(), StoreError> {
        self.pay().await?;
        self.write_down(write).await
    }

    async fn write_down(&self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Open(opening) => self.store.open_reception(Opening::clone(opening)).await,
            Write::Record(recording) => self.store.record_reception(Recording::clone(recording)).await,
            Write::Abandon(reception, why, at) => {
                self.store.abandon_reception(*reception, *why, *at).await?;
                self.metrics.abandoned(*why);
                Ok(())
            }
            Write::Close(reception) => self.store.close_reception(*reception).await,
            Write::FollowUp(reception, request, at) => {
                self.store.follow_up(*reception, Request::clone(request), Lane::Interactive, *at).await
            }
            Write::CountFace(order_key, count, at) => self.store.count_face(*order_key, *count, *at).await,
            Write::Note(entry) => self.store.note(entry.clone()).await,
            Write::AbandonOpen(at) => {
                for reception in self.store.abandon_open(Some(&self.reader), *at).await? {
                    tracing::warn!(reader = self.reader, %reception, "an open reception was abandoned by a restart");
                    self.metrics.abandoned(Abandonment::Restarted);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Proof, Recording, Request, RequestKind};
    use uketsuke_core::clock::{Mono, Now};
    use uketsuke_core::ids::{OrderKey, RequestId};
    use uketsuke_core::record::{Evidence, Method, Shown, Stage, Verification};
    use uuid::Uuid;

    const NOW: Stamp = Stamp { wall_ms: 0, synchronised: true };

    fn reception(number: u128) -> ReceptionId {
        ReceptionId(Uuid::from_u128(number))
    }

    fn opening(number: u128) -> Write {
        let id = RequestId(Uuid::from_u128(100 + number));
        let body = zeroize::Zeroizing::new(vec![1]);
        Write::Open(Box::new(Opening {
            reception: reception(number),
            reader: "desk-1/a".into(),
            order_key: OrderKey([1; 32]),
            evidence: Evidence::of(Verification::by(Method::Staff)),
            opened: Now { boot: 1, mono: Mono(0), stamp: NOW },
            request: Request { id, kind: RequestKind::Eligibility, body, proof: Proof::Gateway },
        }))
    }

    async fn stage(store: &Store, number: u128) -> Option<Stage> {
        store.reception(reception(number)).await.unwrap().map(|record| record.stage)
    }

    #[tokio::test]
    async fn an_abandonment_that_a_full_disk_refuses_is_written_as_soon_as_there_is_room() {
        let store = Store::model();
        let scribe = Scribe::start(store.clone(), "desk-1/a".into(), Metrics::default());
        scribe.write(opening(1)).await.result.unwrap();
        store.as_model().unwrap().fail_next(usize::MAX, StoreError::Full);
        let abandoned = scribe.write(Write::Abandon(reception(1), Abandonment::Cancelled, NOW));
        // The card is taken: what is queued behind the abandonment makes it give way.
        let closed = scribe.write(Write::Close(reception(1)));
        assert_eq!(abandoned.await.result, Err(StoreError::Full));
        store.as_model().unwrap().fail_next(0, StoreError::Full);
        closed.await.result.unwrap_err();
        assert_eq!(stage(&store, 1).await, Some(Stage::Abandoned));
    }

    #[tokio::test]
    async fn a_restarts_abandonment_goes_before_what_is_opened_after_it() {
        let store = Store::model();
        let scribe = Scribe::start(store.clone(), "desk-1/a".into(), Metrics::default());
        scribe.write(opening(1)).await.result.unwrap();
        store.as_model().unwrap().fail_next(usize::MAX, StoreError::Full);
        let restarted = scribe.write(Write::AbandonOpen(NOW));
        let opened = scribe.write(opening(2));
        assert_eq!(restarted.await.result, Err(StoreError::Full));
        store.as_model().unwrap().fail_next(0, StoreError::Full);
        opened.await.result.unwrap();
        assert_eq!((stage(&store, 1).await, stage(&store, 2).await), (Some(Stage::Abandoned), Some(Stage::Open)));
    }

    #[tokio::test]
    async fn a_reception_whose_t2_a_full_disk_refuses_is_abandoned_without_being_asked() {
        let store = Store::model();
        let scribe = Scribe::start(store.clone(), "desk-1/a".into(), Metrics::default());
        scribe.write(opening(1)).await.result.unwrap();
        // As long as the patient waits, and once more for the abandonment.
        store.as_model().unwrap().fail_next(usize::MAX, StoreError::Full);
        let (shown, request) = (Shown::Provisional, None);
        let recording =
            Recording { reception: reception(1), shown, consents: Vec::new(), request, case: None, recorded: NOW };
        assert_eq!(scribe.write(Write::Record(Box::new(recording))).await.result, Err(StoreError::Full));
        store.as_model().unwrap().fail_next(0, StoreError::Full);
        let waited = tokio::time::timeout(2 * RETRY.most, async {
            while stage(&store, 1).await != Some(Stage::Abandoned) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("abandoned by itself");
    }
}
