//! A reader's scribe and the disk's time: writes one reader's receptions in the order they were decided, as the scribe does.

use super::agenda::Inside;
use super::desk::name;
use super::disk::{For, Write as DiskWrite};
use super::guard::Guard;
use super::world::World;
use rand::Rng;
use std::time::Duration;
use uketsuke::store::model::Hold;
use uketsuke::store::{Class, Lane, Opening, Recording, Request, StoreError};
use uketsuke_core::backoff::Backoff;
use uketsuke_core::clock::{Mono, Stamp};
use uketsuke_core::ids::{OrderKey, ReceptionId};
use uketsuke_core::reception::{Event, FaceCount, NotWritten};
use uketsuke_core::record::Abandonment;

/// As in the scribe.
const RETRY: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(2) };
/// As in the scribe.
const PATIENT_WAITS: Duration = Duration::from_secs(4);
/// As in the scribe.
const NOBODY_WAITS: Duration = Duration::from_secs(120);

/// Something to be written, in the order it was decided.
#[derive(Clone)]
pub(super) enum Write {
    Open(Box<Opening>),
    Record(Box<Recording>),
    Abandon(ReceptionId, Abandonment, Stamp),
    Close(ReceptionId),
    /// A later question while the patient waits.
    FollowUp(ReceptionId, Box<Request>, Stamp),
    CountFace(OrderKey, FaceCount, Stamp),
    AbandonOpen(Stamp),
}

pub(super) struct Job {
    write: Write,
    since: Mono,
    /// The life of the actor that waits.
    life: u64,
    failures: u32,
}

impl World {
    /// Queues a write behind this reader's earlier ones.
    pub(super) fn write(&mut self, index: usize, write: Write) {
        let (since, without) = (self.time.mono(), self.without);
        let Some(reader) = self.reader(index) else { return };
        let life = reader.life.unwrap_or_default();
        if without == Some(Guard::Ack) {
            // Reported before it is on the disk.
            let early = match &write {
                Write::Open(opening) => Some(Event::Opened(opening.reception, Ok(()))),
                Write::Record(recording) => Some(Event::Recorded(recording.reception, Ok(()))),
                Write::FollowUp(reception, ..) => Some(Event::RegistrationWritten(*reception, Ok(()))),
                Write::Abandon(..) | Write::Close(_) | Write::CountFace(..) | Write::AbandonOpen(_) => None,
            };
            early.into_iter().for_each(|event| self.soon(0..=2, Inside::Tell(index, life, event)));
        }
        let Some(reader) = self.reader(index) else { return };
        reader.jobs.push_back(Job { write, since, life, failures: 0 });
        if reader.jobs.len() == 1 {
            self.scribe(index);
        }
    }

    /// The scribe takes up its first job, or tries it again.
    pub(super) fn scribe(&mut self, index: usize) {
        let now = self.time.mono();
        let Some(reader) = self.reader(index).filter(|reader| !reader.writing) else { return };
        if let Some(late) = reader.jobs.front().filter(|job| matches!(job.write, Write::Open(_)))
            && now.since(late.since) > PATIENT_WAITS
        {
            return self.job_ends(index, Err(StoreError::Busy));
        }
        let (who, write) = match (reader.owed.front(), reader.jobs.front()) {
            (Some(owed), _) => (For::ScribeOwes(index), owed.clone()),
            (None, Some(job)) => (For::Scribe(index), job.write.clone()),
            (None, None) => return,
        };
        reader.writing = true;
        let store = self.disk.store.clone();
        let reader = name(index);
        let write: DiskWrite = Box::pin(async move {
            match write {
                Write::Open(opening) => store.open_reception(*opening).await,
                Write::Record(recording) => store.record_reception(*recording).await,
                Write::Abandon(reception, why, at) => store.abandon_reception(reception, why, at).await,
                Write::Close(reception) => store.close_reception(reception).await,
                Write::FollowUp(reception, request, at) => {
                    store.follow_up(reception, *request, Lane::Interactive, at).await
                }
                Write::CountFace(order_key, count, at) => store.count_face(order_key, count, at).await,
                Write::AbandonOpen(at) => store.abandon_open(Some(&reader), at).await.map(drop),
            }
        });
        self.submit(who, write);
    }

    /// What the scribe handed over is on the disk, or is not.
    pub(super) fn scribe_heard(&mut self, index: usize, result: Result<(), StoreError>) {
        let now = self.time.mono();
        let jitter = self.rng.random();
        let Some(reader) = self.reader(index) else { return };
        reader.writing = false;
        let more = reader.jobs.len() > 1;
        let Some(job) = reader.jobs.front_mut() else { return };
        let Err(error) = result else { return self.job_ends(index, Ok(())) };
        job.failures += 1;
        let wait = RETRY.delay(job.failures, jitter);
        let waits = matches!(job.write, Write::Open(_) | Write::Record(_) | Write::FollowUp(..));
        let patience = if waits { PATIENT_WAITS } else { NOBODY_WAITS };
        let again = now.since(job.since) + wait <= patience && (waits || !more);
        if error.class() == Class::Transient && again {
            let wait = wait.as_millis() as u64;
            return self.soon(wait..=wait, Inside::Scribe(index));
        }
        self.job_ends(index, Err(error));
    }

    fn job_ends(&mut self, index: usize, result: Result<(), StoreError>) {
        let without = self.without;
        let stamp = self.time.stamp();
        let Some(reader) = self.reader(index) else { return };
        let Some(Job { write, life, .. }) = reader.jobs.pop_front() else { return };
        let transient = result.as_ref().is_err_and(|error| error.class() == Class::Transient);
        let written = result.map_err(|_| NotWritten);
        let (event, owed) = match &write {
            Write::Open(opening) => (Some(Event::Opened(opening.reception, written)), None),
            Write::Record(recording) => {
                let abandon = Write::Abandon(recording.reception, Abandonment::NotRecorded, stamp);
                (Some(Event::Recorded(recording.reception, written)), written.is_err().then_some(abandon))
            }
            Write::Abandon(..) | Write::AbandonOpen(_) => (None, transient.then(|| write.clone())),
            Write::FollowUp(reception, ..) => (Some(Event::RegistrationWritten(*reception, written)), None),
            Write::Close(_) | Write::CountFace(..) => (None, None),
        };
        reader.owed.extend(owed);
        if let Some(event) = event {
            self.acknowledged(&write, written);
            if without != Some(Guard::Ack) {
                self.soon(0..=5, Inside::Tell(index, life, event));
            }
        }
        self.scribe(index);
    }

    /// What the scribe owed is on the disk, or is not.
    fn scribe_paid(&mut self, index: usize, result: Result<(), StoreError>) {
        let Some(reader) = self.reader(index) else { return };
        reader.writing = false;
        match result {
            Err(error) if error.class() == Class::Transient => {
                if reader.jobs.is_empty() {
                    return self.soon(2_000..=2_000, Inside::Scribe(index));
                }
                // Nothing goes before what is owed: the job has failed in the same way.
                self.scribe_heard(index, Err(error));
            }
            Ok(()) | Err(_) => {
                reader.owed.pop_front();
                self.scribe(index);
            }
        }
    }

    /// Hands a write to the disk, which takes its time.
    pub(super) fn submit(&mut self, who: For, write: DiskWrite) {
        let hold = if self.rng.random() { Hold::BeforeCommit } else { Hold::BeforeAnswer };
        let idle = self.disk.is_idle();
        self.disk.submit(hold, who, write);
        if idle {
            let slow = self.bad_luck(0.01);
            self.counts.slow_writes += u64::from(slow);
            self.soon(if slow { 2_000..=15_000 } else { 1..=40 }, Inside::Written);
        }
        self.hear_the_store();
    }

    /// The disk is done with what it had.
    pub(super) fn written(&mut self) {
        let done = self.disk.done();
        self.hear_the_store();
        for (who, result) in done {
            self.counts.full_disk_refusals += u64::from(result == Err(StoreError::Full));
            self.trace.note(self.time.ms, 14, u64::from(result.is_ok()), || {
                format!("{who:?}: {}", result.as_ref().map_or_else(ToString::to_string, |()| "on the disk".into()))
            });
            if self.process.is_none() {
                return;
            }
            match who {
                For::Scribe(reader) => self.scribe_heard(reader, result),
                For::ScribeOwes(reader) => self.scribe_paid(reader, result),
                For::Courier(life, seq) => self.settled(life, seq, result),
                For::Reconciler(life) => self.case_written(life, result),
            }
        }
    }
}
