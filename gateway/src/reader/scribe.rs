//! Writes one reader's receptions in the order they were decided, and outlives the actors that decide them.
//!
//! T1, T2, abandonment and closing of one reception must reach the store in this order; separate tasks would race. When an
//! actor dies, what it had handed over is written before its successor's first write.

use crate::store::{Opening, Recording, Store, StoreError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uketsuke_core::clock::Stamp;
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::record::Abandonment;

/// Something to be written.
pub(super) enum Write {
    Open(Box<Opening>),
    Record(Box<Recording>),
    Abandon(ReceptionId, Abandonment, Stamp),
    Close(ReceptionId),
    /// Whatever an earlier life of this reader left open.
    AbandonOpen(Stamp),
    /// Nothing: done when everything before it is.
    Nothing,
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
    // Unbounded, yet never long: a reader has one reception at a time, and each writes at most four times.
    jobs: mpsc::UnboundedSender<Job>,
}

impl Scribe {
    /// Starts a scribe for `reader` (`terminal/reader`). It ends when every clone is dropped and everything is written.
    pub fn start(store: Store, reader: String) -> Self {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        tokio::spawn(async move {
            while let Some(Job { write, since, done }) = queue.recv().await {
                let result = perform(&store, &reader, write).await;
                if let Err(error) = &result {
                    tracing::error!(reader, %error, "a reception could not be written");
                }
                // The actor may be gone; the write counts all the same.
                let _ = done.send(Written { result, took: since.elapsed() });
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

    /// Resolves when everything queued before this call is on disk, or could not be written.
    pub(super) fn caught_up(&self) -> impl Future<Output = ()> + use<> {
        let written = self.write(Write::Nothing);
        async move { drop(written.await) }
    }
}

async fn perform(store: &Store, reader: &str, write: Write) -> Result<(), StoreError> {
    match write {
        Write::Open(opening) => store.open_reception(*opening).await,
        Write::Record(recording) => store.record_reception(*recording).await,
        Write::Abandon(reception, why, at) => store.abandon_reception(reception, why, at).await,
        Write::Close(reception) => store.close_reception(reception).await,
        Write::Nothing => Ok(()),
        Write::AbandonOpen(at) => store.abandon_open(Some(reader), at).await.map(|abandoned| {
            for reception in abandoned {
                tracing::warn!(reader, %reception, "an open reception was abandoned by a restart");
            }
        }),
    }
}
