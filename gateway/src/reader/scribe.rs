//! Writes one reader's receptions in the order they were decided, and outlives the actors that decide them.
//!
//! T1, T2, abandonment and closing of one reception must reach the store in this order; separate tasks would race. When an
//! actor dies, what it had handed over is written before its successor's first write. A T2 that cannot be written becomes an
//! abandonment here, where it cannot be missed: no reception is left open without an owner.

use crate::store::{Class, Lane, Opening, Recording, Request, Store, StoreError};
use crate::telemetry::Metrics;
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
const PATIENT_WAITS: Duration = Duration::from_secs(4);
/// Nobody waits for the others; they should not be lost to a disk that is full for a moment, nor hold up what comes behind them.
const NOBODY_WAITS: Duration = Duration::from_secs(120);

/// Something to be written.
pub(super) enum Write {
    Open(Box<Opening>),
    Record(Box<Recording>),
    Abandon(ReceptionId, Abandonment, Stamp),
    Close(ReceptionId),
    /// A later question while the patient waits.
    FollowUp(ReceptionId, Box<Request>, Stamp),
    CountFace(OrderKey, FaceCount, Stamp),
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
        let desk = Desk { store, reader, metrics };
        tokio::spawn(async move {
            while let Some(Job { write, since, done }) = queue.recv().await {
                let result = desk.perform(&write, since, &queue).await;
                // The actor may be gone; the write counts all the same.
                let _ = done.send(Written { result: result.clone(), took: since.elapsed() });
                if let (Write::Record(recording), Err(_)) = (&write, &result) {
                    let (reception, at) = (recording.reception, recording.recorded);
                    // Refused by the store if T2 did reach the disk: that one is irrevocable.
                    let _ = desk.store.abandon_reception(reception, Abandonment::NotRecorded, at).await;
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
}

impl Desk {
    /// Writes, again and again while that may help and nobody is the worse for it.
    async fn perform(
        &self,
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

    async fn once(&self, write: &Write) -> Result<(), StoreError> {
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
