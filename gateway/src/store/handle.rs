//! The handle that everybody holds: the port's calls, the same for SQLite and the model.

use super::command::{Command, Effect, Outcome};
use super::model::Model;
use super::papers::Paper;
use super::sqlite::{self, BackedUp, BackupError, RescueError, RescuedTable, Sqlite};
use super::{
    CaseNotice, CaseRow, CaseWrite, Destination, Figures, Horizon, Keeping, KeptName, KeptReply, Keys, Lane,
    LockHolder, OpenError, Opening, OutboxCounts, OutboxDetail, OutboxHead, OutboxRow, Recording, ReplyNotice, Request,
    RequestKind, Settlement, StoreError, StoreHealth, TrailEntry,
};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use uketsuke_core::clock::Stamp;
use uketsuke_core::consent::ConsentKind;
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::ladder::Owner;
use uketsuke_core::reception::FaceCount;
use uketsuke_core::record::{Abandonment, ReceptionRecord};
use zeroize::Zeroizing;

/// Where the store lies and how much of it waits in memory.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The database file; `-wal`, `-shm`, `.head`, `.lock` and `.ballast` files lie beside it.
    pub path: PathBuf,
    /// Writes that may wait; further callers wait for room.
    pub queue_max: usize,
    /// Most writes in one commit.
    pub batch_rows_max: usize,
    /// Most bytes of bodies in one commit; a commit takes at least one write.
    pub batch_bytes_max: usize,
    /// How long a write waits for a lock of another program before its caller hears [`StoreError::Busy`].
    pub busy_timeout: Duration,
    /// Size of the reserve for a full disk; 0 for none.
    pub ballast_bytes: usize,
    /// A database up to this size is looked through by SQLite before it opens; a larger one while it is in use
    /// ([`Store::check_file`]), so that a start takes no longer with years of receptions; unless the file is shorter than it says.
    pub check_bytes_max: u64,
}

impl StoreConfig {
    /// The defaults: 1024 waiting writes, commits of at most 256 writes and 4 MiB, 3 s, 24 MiB of reserve: each half holds the
    /// write-ahead log as it grows before it is moved into the database (4 MiB), and 500 receptions with two requests of 3 kB each.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            queue_max: 1024,
            batch_rows_max: 256,
            batch_bytes_max: 4 * 1024 * 1024,
            busy_timeout: Duration::from_secs(3),
            ballast_bytes: 24 * 1024 * 1024,
            check_bytes_max: 256 * 1024 * 1024,
        }
    }
}

/// A handle on the store; cheap to clone.
///
/// A durable write resolves when it is on disk. Once it is queued, dropping the future cancels nothing; a future dropped while
/// it waits for room in the queue has written nothing. When the last handle goes, queued writes are still committed.
#[derive(Clone)]
pub struct Store(Backend);

#[derive(Clone)]
enum Backend {
    Sqlite(Arc<Sqlite>),
    Model(Arc<Model>),
}

/// Calls the same method of whichever backend.
macro_rules! backend {
    ($store:expr, $backend:ident => $call:expr) => {
        match &$store.0 {
            Backend::Sqlite($backend) => $call,
            Backend::Model($backend) => $call,
        }
    };
}

impl Store {
    /// Opens the store for writing, creating it if there is none; recovers, checks and makes everything durable first.
    /// It takes as long as another program holds a lock of the database that is in the way.
    pub async fn open(config: &StoreConfig, keys: Keys) -> Result<Self, OpenError> {
        Self::open_telling(config, keys, &watch::Sender::new(None)).await
    }

    /// As [`Store::open`]; tells meanwhile whose lock it waits for.
    pub async fn open_telling(
        config: &StoreConfig,
        keys: Keys,
        lock_holder: &watch::Sender<Option<LockHolder>>,
    ) -> Result<Self, OpenError> {
        Ok(Self(Backend::Sqlite(Arc::new(Sqlite::open(config, keys, lock_holder).await?))))
    }

    /// Opens the store for reading, also while a gateway runs; every write is [`StoreError::ReadOnly`].
    pub async fn open_read_only(config: &StoreConfig, keys: Keys) -> Result<Self, OpenError> {
        Ok(Self(Backend::Sqlite(Arc::new(Sqlite::open_read_only(config, keys, None).await?))))
    }

    /// As [`Store::open_read_only`], but waits for a program that keeps the whole database for itself, and tells which it is.
    pub async fn open_read_only_telling(
        config: &StoreConfig,
        keys: Keys,
        lock_holder: &watch::Sender<Option<LockHolder>>,
    ) -> Result<Self, OpenError> {
        Ok(Self(Backend::Sqlite(Arc::new(Sqlite::open_read_only(config, keys, Some(lock_holder)).await?))))
    }

    /// Copies the store into a folder, with a side file that fits, and proves that the copy opens; also while a gateway runs. The keys
    /// are not copied: keep the key file of the same moment apart.
    pub async fn backup(config: &StoreConfig, keys: Keys, to: &Path) -> Result<BackedUp, BackupError> {
        sqlite::backup(config, keys, to).await
    }

    /// Writes whatever can be read of a database, sound or not, to `<table>.jsonl` files in a new folder, and says what cannot. Personal
    /// values stay sealed unless `open`.
    pub async fn rescue(
        config: &StoreConfig,
        keys: &Keys,
        to: &Path,
        open: bool,
    ) -> Result<Vec<RescuedTable>, RescueError> {
        sqlite::rescue(config, keys, to, open).await
    }

    /// An empty store in memory, with the same behaviour; for tests under virtual time.
    pub fn model() -> Self {
        Self::on_model(Model::default())
    }

    pub(super) fn on_model(model: Model) -> Self {
        Self(Backend::Model(Arc::new(model)))
    }

    /// The switches of the model, when this is one.
    pub fn as_model(&self) -> Option<&Model> {
        match &self.0 {
            Backend::Model(model) => Some(model),
            Backend::Sqlite(_) => None,
        }
    }

    pub(super) fn as_sqlite(&self) -> Option<&Sqlite> {
        match &self.0 {
            Backend::Sqlite(sqlite) => Some(sqlite),
            Backend::Model(_) => None,
        }
    }

    pub(super) async fn write(&self, command: Command) -> Outcome {
        command.check_limits()?;
        backend!(self, backend => backend.write(command).await)
    }

    /// T1. The same reception with the same request is acknowledged again, sent once; with another it is a conflict.
    pub async fn open_reception(&self, opening: Opening) -> Result<(), StoreError> {
        self.write(Command::Open(opening)).await.map(drop)
    }

    /// T2: [`Stage::Open`](uketsuke_core::record::Stage::Open) to `Recorded`. Irrevocable; the same content is acknowledged
    /// again (the first stamp stays), other content or an abandoned reception is a conflict.
    pub async fn record_reception(&self, recording: Recording) -> Result<(), StoreError> {
        self.write(Command::Record(Box::new(recording))).await.map(drop)
    }

    /// Gives up an open reception. One that is recorded stays so, an abandoned one keeps its first reason, and an id that was
    /// never opened is fine.
    pub async fn abandon_reception(
        &self,
        reception: ReceptionId,
        why: Abandonment,
        at: Stamp,
    ) -> Result<(), StoreError> {
        self.write(Command::Abandon { reception, why, at }).await.map(drop)
    }

    /// The card of a recorded reception was taken.
    pub async fn close_reception(&self, reception: ReceptionId) -> Result<(), StoreError> {
        self.write(Command::Close { reception }).await.map(drop)
    }

    /// Puts one more question about a reception on its way: 初回登録 while the patient waits, or asking again later. The same id with
    /// the same body is acknowledged again. A reception that is not known is [`StoreError::Unknown`].
    pub async fn follow_up(
        &self,
        reception: ReceptionId,
        request: Request,
        lane: Lane,
        at: Stamp,
    ) -> Result<(), StoreError> {
        self.write(Command::FollowUp { reception, request, lane, at }).await.map(drop)
    }

    /// Keeps a value under its name, in place of the one before, together with what led to it. The same entry is written once.
    pub async fn keep(&self, keeping: Keeping) -> Result<(), StoreError> {
        self.write(Command::Keep(keeping)).await.map(drop)
    }

    /// Adds a line to the trail. The same entry is written once.
    pub async fn note(&self, entry: TrailEntry) -> Result<(), StoreError> {
        self.write(Command::Note(entry)).await.map(drop)
    }

    /// The value that is kept under a name.
    pub async fn kept(&self, name: KeptName) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, StoreError> {
        backend!(self, backend => backend.kept(name).await)
    }

    /// The latest entries of the trail, newest first.
    pub async fn trail(&self, limit: usize) -> Result<Vec<TrailEntry>, StoreError> {
        self.trail_since(i64::MIN, limit).await
    }

    /// Those of them that were written at or after `wall_ms`.
    pub async fn trail_since(&self, wall_ms: i64, limit: usize) -> Result<Vec<TrailEntry>, StoreError> {
        backend!(self, backend => backend.trail_since(wall_ms, limit).await)
    }

    /// One step of a case, with the request for what it asks, in one commit. The same step again is acknowledged; one that was made
    /// from an older version is [`StoreError::Conflict`]: read the case again and take the step anew.
    pub async fn save_case(&self, write: CaseWrite) -> Result<(), StoreError> {
        self.write(Command::SaveCase(Box::new(write))).await.map(drop)
    }

    /// The case of a reception, if it has one.
    pub async fn case(&self, reception: ReceptionId) -> Result<Option<CaseRow>, StoreError> {
        backend!(self, backend => backend.case(reception).await)
    }

    /// Those of these receptions that have a case, in no order.
    pub async fn with_case(&self, receptions: &[ReceptionId]) -> Result<Vec<ReceptionId>, StoreError> {
        backend!(self, backend => backend.with_case(receptions).await)
    }

    /// Cases that have not ended, oldest first. Lists leave altered rows out; they show in [`Store::health`].
    pub async fn open_cases(&self, limit: usize) -> Result<Vec<CaseRow>, StoreError> {
        backend!(self, backend => backend.open_cases(limit).await)
    }

    /// Those of the open cases that this owner has to see to, newest first; altered rows are left out.
    pub async fn open_cases_of(&self, owner: Owner, limit: usize) -> Result<Vec<CaseRow>, StoreError> {
        backend!(self, backend => backend.open_cases_of(owner, limit).await)
    }

    /// How many there are of [`Self::open_cases_of`]; altered rows, and those of older versions whose owner is not told apart yet, count.
    pub async fn count_open_cases_of(&self, owner: Owner) -> Result<u64, StoreError> {
        backend!(self, backend => backend.count_open_cases_of(owner).await)
    }

    /// Open cases of earlier receptions of this reception's patient, oldest first: what is to be told or asked now that the patient is
    /// here again. Nobody else's, and none when the reception is not known. Altered rows are left out.
    pub async fn earlier_cases(&self, of: ReceptionId, limit: usize) -> Result<Vec<CaseRow>, StoreError> {
        backend!(self, backend => backend.earlier_cases(of, limit).await)
    }

    /// Cases that ended at or after `wall_ms`, newest end first.
    pub async fn ended_cases_since(&self, wall_ms: i64, limit: usize) -> Result<Vec<CaseRow>, StoreError> {
        backend!(self, backend => backend.ended_cases_since(wall_ms, limit).await)
    }

    /// What was filed with the case of a reception, oldest first; nothing when it has none.
    pub async fn papers(&self, reception: ReceptionId) -> Result<Vec<Paper>, StoreError> {
        backend!(self, backend => backend.papers(reception).await)
    }

    /// What the same patient has answered at receptions that were recorded after this one, each kind once. `None` when one of them was altered
    /// or this one is not there: nobody knows what they say.
    pub async fn answered_since(&self, reception: ReceptionId) -> Result<Option<Vec<ConsentKind>>, StoreError> {
        backend!(self, backend => backend.answered_since(reception).await)
    }

    /// Every reply to a question of a reception: to its own first, then in the order they came.
    pub async fn kept_replies(&self, reception: ReceptionId) -> Result<Vec<KeptReply>, StoreError> {
        backend!(self, backend => backend.kept_replies(reception).await)
    }

    /// The whole answer (an encoded `EligibilityAnswer`) to one of a reception's questions; `None` while there is none, and when it
    /// was refused.
    pub async fn answer(
        &self,
        reception: ReceptionId,
        request: RequestId,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        backend!(self, backend => backend.answer(reception, request).await)
    }

    /// Counts a face attempt of a card.
    pub async fn count_face(&self, order_key: OrderKey, count: FaceCount, at: Stamp) -> Result<(), StoreError> {
        self.write(Command::CountFace { order_key, count, at }).await.map(drop)
    }

    /// Face attempts of this card that failed one after the other since the last match.
    pub async fn face_failures(&self, order_key: OrderKey) -> Result<u32, StoreError> {
        backend!(self, backend => backend.face_failures(order_key).await)
    }

    /// Gives up every open reception of one reader, or of all, as `Restarted`; returns which, oldest first. An altered row is
    /// left alone and shows in [`Store::health`].
    pub async fn abandon_open(&self, reader: Option<&str>, at: Stamp) -> Result<Vec<ReceptionId>, StoreError> {
        match self.write(Command::AbandonOpen { reader: reader.map(str::to_owned), at }).await? {
            Effect::Abandoned(receptions) => Ok(receptions),
            Effect::Done | Effect::Rows(_) => Ok(Vec::new()),
        }
    }

    /// Abandons what an earlier life left open, before anything new is opened: later they could not be told apart. Another program's lock
    /// is waited for, as [`Store::open_telling`] does.
    pub async fn abandon_former(
        &self,
        at: Stamp,
        lock_holder: &watch::Sender<Option<LockHolder>>,
    ) -> Result<Vec<ReceptionId>, StoreError> {
        let abandoning = async {
            loop {
                match self.abandon_open(None, at).await {
                    // The next try finds out whether the lock is gone, or the store.
                    Err(StoreError::Busy) => {
                        let _ = self.health().wait_for(|now| !matches!(now, StoreHealth::Locked { .. })).await;
                    }
                    done => break done,
                }
            }
        };
        let abandoned = tokio::select! {
            never = self.tell_whose_lock(lock_holder) => match never {},
            abandoned = abandoning => abandoned,
        };
        lock_holder.send_replace(None);
        abandoned
    }

    async fn tell_whose_lock(&self, lock_holder: &watch::Sender<Option<LockHolder>>) -> Infallible {
        let mut health = self.health();
        loop {
            let holder = match &*health.borrow_and_update() {
                StoreHealth::Locked { holder } => Some(holder.clone()),
                _ => None,
            };
            lock_holder.send_replace(holder);
            if health.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Writes down what became of a try. A row that has its verdict already keeps it, and the first reply of a reception stays.
    pub async fn settle(&self, seq: i64, settlement: Settlement, at: Stamp) -> Result<(), StoreError> {
        self.settle_in(Lane::Interactive, seq, settlement, at).await
    }

    /// The same in a lane: what somebody waits for is written before what nobody waits for.
    pub async fn settle_in(&self, lane: Lane, seq: i64, settlement: Settlement, at: Stamp) -> Result<(), StoreError> {
        self.write(Command::Settle { seq, settlement, lane, at }).await.map(drop)
    }

    /// A no-op through the writer: resolves when everything that somebody waited for and that was queued before it has been committed.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.write(Command::Ping).await.map(drop)
    }

    /// The next rows to send: pending and due, of each patient only the oldest that may go, no key of `busy` (the keys in
    /// flight). Interactive first, one in four backlog while both wait. A patient's older backlog rows go with his
    /// interactive one.
    ///
    /// Among the interactive ones, those that have not failed yet.
    ///
    /// A row may go when no older row of its patient is left, with two exceptions, since a patient may be standing at a reader: a row
    /// that failed and waits for its next try, or was isolated, holds only rows of its own reception, and a consent never
    /// holds an eligibility request. The order of independent questions carries no meaning.
    pub async fn select(
        &self,
        destination: Destination,
        limit: usize,
        busy: &[OrderKey],
        now_ms: i64,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.select_without(destination, limit, busy, &[], now_ms).await
    }

    /// As [`Self::select`], without requests of these kinds. They keep their place: one that has not failed is not passed by another reception
    /// of the same patient either.
    pub async fn select_without(
        &self,
        destination: Destination,
        limit: usize,
        busy: &[OrderKey],
        without: &[RequestKind],
        now_ms: i64,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        backend!(self, backend => backend.select(destination, limit, busy, without, now_ms).await)
    }

    /// One reception.
    pub async fn reception(&self, id: ReceptionId) -> Result<Option<ReceptionRecord>, StoreError> {
        backend!(self, backend => backend.reception(id).await)
    }

    /// The latest receptions, newest first. Lists leave altered rows out; they show in [`Store::health`].
    pub async fn receptions(&self, limit: usize) -> Result<Vec<ReceptionRecord>, StoreError> {
        backend!(self, backend => backend.receptions(limit).await)
    }

    /// The receptions of the visit that began with this one, in the order in which they were opened; none when it is not known.
    pub async fn visit(&self, first: ReceptionId) -> Result<Vec<ReceptionRecord>, StoreError> {
        backend!(self, backend => backend.visit(first).await)
    }

    /// Abandoned at or after `wall_ms`, newest first.
    pub async fn abandoned_since(&self, wall_ms: i64, limit: usize) -> Result<Vec<ReceptionRecord>, StoreError> {
        backend!(self, backend => backend.abandoned_since(wall_ms, limit).await)
    }

    /// The latest reception of this reader, if it is not closed, of this card, and was recorded within
    /// `recorded_since_ms..recorded_before_ms` (milliseconds since 1970 UTC).
    pub async fn last_recorded(
        &self,
        reader: &str,
        key: OrderKey,
        recorded_since_ms: i64,
        recorded_before_ms: i64,
    ) -> Result<Option<ReceptionRecord>, StoreError> {
        let recorded_ms = recorded_since_ms..recorded_before_ms;
        backend!(self, backend => backend.last_recorded(reader, key, recorded_ms).await)
    }

    /// How many rows wait.
    pub async fn outbox_counts(&self, destination: Destination) -> Result<OutboxCounts, StoreError> {
        backend!(self, backend => backend.outbox_counts(destination).await)
    }

    /// The rows themselves, without bodies: what waits first, oldest first, then what was refused.
    pub async fn outbox(&self, destination: Destination, limit: usize) -> Result<Vec<OutboxHead>, StoreError> {
        backend!(self, backend => backend.outbox(destination, limit).await)
    }

    /// One row in full, without anything personal.
    pub async fn outbox_row(&self, seq: i64) -> Result<Option<OutboxDetail>, StoreError> {
        backend!(self, backend => backend.outbox_row(seq).await)
    }

    /// A row that waits for its next try, or was set aside, may go at once. One that was refused for good is a conflict, an altered
    /// one stays where it is.
    pub async fn requeue(&self, seq: i64) -> Result<(), StoreError> {
        self.write(Command::Requeue { seq }).await.map(drop)
    }

    /// A row that waits is set aside for people ([`RowState::Isolated`](super::RowState)): it is not tried until [`Store::requeue`],
    /// and never dropped. `why` is a word, nothing personal.
    pub async fn set_aside(&self, seq: i64, why: &str, at: Stamp) -> Result<(), StoreError> {
        self.write(Command::SetAside { seq, why: why.to_owned(), at }).await.map(drop)
    }

    /// Rows that wait, were written before `wall_ms`, and have failed at `tries` tries or more although the destination was there; oldest first. Rows that
    /// waited only because the line was down are not among them, nor are those of receptions that no synchronised clock dated.
    pub async fn failing_since(&self, wall_ms: i64, tries: u32, limit: usize) -> Result<Vec<i64>, StoreError> {
        backend!(self, backend => backend.failing_since(wall_ms, tries, limit).await)
    }

    /// One step of forgetting: of the next `limit` receptions after `mark` those that were opened before the horizon and are over go, each
    /// with its case, its replies and its refused requests. What is open, waits for anything, or has a case that is open or ended
    /// later, stays. One whose date is not believed counts as opened when the next one was, and none is older than one that came before it,
    /// whatever a clock that was wrong has dated it. Returns how many went, and where the next step begins; `None` at the end.
    pub async fn forget_receptions(
        &self,
        mark: i64,
        horizon: Horizon,
        limit: usize,
    ) -> Result<(u64, Option<i64>), StoreError> {
        let found = backend!(self, backend => backend.opened_after(mark, horizon, limit).await)?;
        // What comes after the first that is too young is too young itself.
        let old = found.iter().take_while(|(.., opened_ms)| *opened_ms < horizon.before_ms);
        let receptions: Vec<ReceptionId> = old.map(|(_, id, _)| *id).collect();
        if receptions.is_empty() {
            return Ok((0, None));
        }
        let next = found.last().filter(|_| receptions.len() == found.len()).map(|(seq, ..)| *seq);
        let went = self.rows(Command::Forget { receptions, horizon }).await?;
        Ok((went, next))
    }

    /// One step of forgetting ids that were settled before `before_ms`; how many.
    pub async fn forget_settled(&self, before_ms: i64, limit: usize) -> Result<u64, StoreError> {
        self.rows(Command::ForgetSettled { before_ms, limit }).await
    }

    /// One step of forgetting entries of the trail and counts of faces of before `before_ms`; how many. None is older than one that was
    /// written before it, whatever a clock that was wrong has dated it.
    pub async fn forget_notes(&self, before_ms: i64, limit: usize) -> Result<u64, StoreError> {
        self.rows(Command::ForgetNotes { before_ms, limit }).await
    }

    /// How much there is.
    pub async fn figures(&self) -> Result<Figures, StoreError> {
        backend!(self, backend => backend.figures().await)
    }

    pub(super) async fn rows(&self, command: Command) -> Result<u64, StoreError> {
        match self.write(command).await? {
            Effect::Rows(rows) => Ok(rows),
            Effect::Done | Effect::Abandoned(_) => Ok(0),
        }
    }

    /// Replies, as they are committed.
    pub fn replies(&self) -> broadcast::Receiver<ReplyNotice> {
        backend!(self, backend => backend.signals().replies.subscribe())
    }

    /// Cases, as they are opened and changed.
    pub fn case_notices(&self) -> broadcast::Receiver<CaseNotice> {
        backend!(self, backend => backend.signals().cases.subscribe())
    }

    /// Changes after every commit that added rows to the outbox; the value is the highest seq.
    pub fn appended(&self) -> watch::Receiver<u64> {
        backend!(self, backend => backend.signals().appended.subscribe())
    }

    /// Whether the store keeps its promises.
    pub fn health(&self) -> watch::Receiver<StoreHealth> {
        backend!(self, backend => backend.signals().health.subscribe())
    }

    /// Commits since the store was made.
    pub fn commits(&self) -> u64 {
        backend!(self, backend => backend.signals().commits())
    }

    /// Whether SQLite has looked through the whole file when it was opened.
    pub fn checked_at_open(&self) -> bool {
        self.as_sqlite().is_none_or(|sqlite| sqlite.checked_at_open)
    }

    /// Moves the write-ahead log into the database, whole. [`StoreError::Busy`] while a reader takes its time.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.checkpoint().await,
            Backend::Model(_) => Ok(()),
        }
    }

    /// Resolves when the process may end without losing what was acknowledged: its files are where they were, or it is saved elsewhere.
    /// A save that fails is tried again, for as long as it takes.
    pub async fn secured(&self) {
        if let Backend::Sqlite(sqlite) = &self.0 {
            sqlite.secured().await;
        }
    }

    /// Commits what is queued, empties the write-ahead log and closes, for every handle.
    pub async fn close(self) -> Result<(), StoreError> {
        backend!(self, backend => backend.close().await)
    }
}
