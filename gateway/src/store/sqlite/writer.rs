//! The one writer: takes whatever waits, commits it together, writes the side file, and only then answers.
//!
//! Promises:
//! * An answer follows the commit and its side file, never the other way round.
//! * A command that the database refuses fails alone: its batch is rolled back and repeated one by one.
//! * After an I/O error, or a side file that cannot be written, nothing is acknowledged any more.
//! * On a full disk half of the reserve is given back to every write, the other half to those that end work already begun;
//!   from then on new receptions are [`StoreError::Full`], and the writer keeps looking for room.
//! * A lock of another program is waited for, as long as a patient waits; its holder is named until it is gone.
//! * Before each acknowledgement it is seen that database, log and index are where they were; if not, nothing more is acknowledged, and
//!   what was is saved, however long that takes.
//! * A head file or a lock that was deleted is made anew. A database that is found damaged is saved from its mirror, if that is whole.

mod neighbours;

use super::files::Files;
use super::mirror::Mirror;
use super::open::{LOCK_LOOK_EVERY, Opened};
use super::queue::{Job, Queue, Tidying};
use super::write::{Batch, Told};
use super::{Trouble, trouble};
use crate::store::ballast::Ballast;
use crate::store::command::{Command, Outcome};
use crate::store::keys::Keys;
use crate::store::side_file::{Head, SideFile};
use crate::store::signals::Signals;
use crate::store::{StoreConfig, StoreError, blocking};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, SqlitePool};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How often a full disk is looked at again.
const FULL_PROBE_EVERY: Duration = Duration::from_secs(5);
/// How often an idle writer looks whether its files are where they were.
const FILES_LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    conn: SqliteConnection,
    head: Head,
    side: SideFile,
    ballast: Ballast,
    keys: Keys,
    signals: Arc<Signals>,
    queue: Queue,
    /// The second half of the reserve is in use.
    last_reserve: bool,
    /// When a full disk is looked at again.
    look_at: Instant,
    readers: SqlitePool,
    /// Where the database lies.
    path: PathBuf,
    /// How long a caller waits for a lock of another program.
    lock_patience: Duration,
    /// Since when one has been in the way.
    locked_since: Option<Instant>,
    /// Whether another program held the lock at the last look during a lull.
    was_held: bool,
    /// The files had been deleted or replaced, and everything is saved: nothing is to be done any more.
    is_saved: bool,
    files: Arc<Files>,
    mirror: Mirror,
    lock: File,
}

type Waiting = (Command, oneshot::Sender<Outcome>);

/// Says so when the writer ends without having closed: by a panic, or with its runtime.
struct Watch(Arc<Signals>, bool);

impl Drop for Watch {
    fn drop(&mut self) {
        // After a failure nobody tells it to close.
        if !self.1 && self.0.check().is_ok() {
            self.0.failed("the writer task has ended");
        }
    }
}

impl Writer {
    pub(super) fn new(
        opened: Opened,
        config: &StoreConfig,
        keys: Keys,
        signals: Arc<Signals>,
        queue: Queue,
        readers: SqlitePool,
    ) -> Self {
        let Opened { conn, head, side, ballast, files, lock, .. } = opened;
        let files = Arc::new(files);
        Self {
            mirror: Mirror::of(&config.path, Arc::clone(&files)),
            conn,
            head,
            side,
            ballast,
            keys,
            signals,
            queue,
            last_reserve: false,
            look_at: Instant::now(),
            readers,
            path: config.path.clone(),
            lock_patience: config.busy_timeout,
            locked_since: None,
            was_held: false,
            is_saved: false,
            files,
            lock,
        }
    }

    /// Until closed, or until the last handle is gone and the queue empty.
    pub(super) async fn run(mut self) {
        let mut watch = Watch(Arc::clone(&self.signals), false);
        let mut closing = Vec::new();
        self.tend_mirror().await;
        while let Some(job) = self.next().await {
            // Whoever was just answered and writes again at once comes with the others, not with the commit after.
            tokio::task::yield_now().await;
            let taken = self.queue.take_with(job);
            closing.extend(taken.closing);
            self.commit(taken.writes).await;
            for (what, done) in taken.tidyings {
                let _ = done.send(self.tidy(what).await);
            }
            self.mirror.finish_if_compared().await;
        }
        self.are_files_in_place().await;
        watch.1 = true;
        self.end(closing).await;
    }

    async fn next(&mut self) -> Option<Job> {
        loop {
            // Also while there is no lull: whoever is refused now may be received in a few seconds.
            if self.signals.is_full() && Instant::now() >= self.look_at {
                self.look_at = Instant::now() + FULL_PROBE_EVERY;
                self.are_files_in_place().await;
                self.look_for_room().await;
            }
            let patience = if self.signals.is_locked() { LOCK_LOOK_EVERY } else { FILES_LOOK_EVERY };
            if let Ok(job) = tokio::time::timeout(patience, self.queue.next()).await {
                return job;
            }
            if self.signals.is_locked() {
                self.look_for_the_lock().await;
            } else if !self.signals.is_full() {
                self.look_for_a_holder().await;
            }
            if self.are_files_in_place().await {
                self.are_side_files_in_place().await;
            }
            self.tend_mirror().await;
        }
    }

    async fn tend_mirror(&mut self) {
        if self.signals.check().is_ok() && !self.signals.is_full() {
            self.mirror.tend().await;
        }
        self.signals.mirrored(self.mirror.bytes());
    }

    /// Commits a batch and answers everybody in it.
    async fn commit(&mut self, batch: Vec<Waiting>) {
        let commands: Vec<&Command> = batch.iter().map(|(command, _)| command).collect();
        let mut outcomes = if self.last_reserve { Err(Trouble::Row) } else { self.unlocked(&commands).await };
        if let Err(Trouble::Full) = outcomes {
            self.make_room(Ballast::release_half).await;
        }
        if let Err(Trouble::Full | Trouble::Row) = outcomes {
            let mut alone = Vec::with_capacity(commands.len());
            for command in &commands {
                alone.push(self.alone(command).await);
            }
            outcomes = Ok(alone);
        }
        let outcomes = outcomes
            .unwrap_or_else(|trouble| commands.iter().map(|command| Err(self.answer(trouble, command))).collect());
        for ((_, done), outcome) in batch.into_iter().zip(outcomes) {
            // Nobody waiting is no error: the write stands.
            let _ = done.send(outcome);
        }
    }

    /// One transaction, tried again while another program's lock is in the way. Once that has been so for longer than a caller waits,
    /// one try is all: nobody waits behind callers who came before.
    async fn unlocked(&mut self, commands: &[&Command]) -> Result<Vec<Outcome>, Trouble> {
        let until = self.locked_since.unwrap_or_else(Instant::now) + self.lock_patience;
        loop {
            let tried = self.attempt(commands).await;
            match tried {
                Err(Trouble::Busy) => {
                    self.tell_the_holder();
                    if Instant::now() >= until {
                        return tried;
                    }
                }
                tried => {
                    if self.signals.is_locked() {
                        self.lock_is_gone();
                    }
                    return tried;
                }
            }
        }
    }

    async fn alone(&mut self, command: &Command) -> Outcome {
        let begins = matches!(command, Command::Open(_));
        if begins && self.last_reserve {
            return Err(StoreError::Full);
        }
        let mut tried = self.attempt(&[command]).await;
        if !begins && !self.last_reserve && matches!(tried, Err(Trouble::Full)) {
            self.last_reserve = true;
            self.make_room(Ballast::release).await;
            tried = self.attempt(&[command]).await;
        }
        match tried {
            Ok(mut outcomes) => outcomes.pop().unwrap_or_else(|| Err(self.answer(Trouble::Row, command))),
            Err(trouble) => Err(self.answer(trouble, command)),
        }
    }

    fn answer(&self, trouble: Trouble, command: &Command) -> StoreError {
        match trouble {
            Trouble::Full => {
                self.signals.full(false);
                StoreError::Full
            }
            Trouble::Busy => StoreError::Busy,
            Trouble::Row => {
                StoreError::Refused { what: command.subject(), why: "the database refuses the row; see the log".into() }
            }
            Trouble::Fatal | Trouble::Damaged => {
                self.signals.check().err().unwrap_or_else(|| self.signals.failed("an I/O error"))
            }
        }
    }

    /// One transaction, its side file, and what is told of it.
    async fn attempt(&mut self, commands: &[&Command]) -> Result<Vec<Outcome>, Trouble> {
        if self.signals.check().is_err() {
            return Err(Trouble::Fatal);
        }
        // What another program has written to files of its own meanwhile is not to be overwritten.
        if !self.are_files_in_place().await || !self.are_side_files_in_place().await {
            return Err(Trouble::Fatal);
        }
        #[cfg(test)]
        if commands.iter().any(|command| matches!(command, Command::BreakSideFile)) {
            self.side = SideFile::broken(&self.path);
        }
        let mut last_seq = self.head.last_seq;
        let tried = Self::transaction(&mut self.conn, &mut self.mirror, &self.keys, &mut last_seq, commands).await;
        self.mirror.see().await;
        // Not given again, whatever came of them: a COMMIT may have succeeded unheard.
        self.head.last_seq = last_seq;
        let (outcomes, commits, told) = match tried {
            Ok(done) => done,
            Err(error) => {
                // Fails where SQLite has rolled back by itself.
                let _ = sqlx::query("ROLLBACK").execute(&mut self.conn).await;
                let trouble = trouble(&error);
                if trouble != Trouble::Busy {
                    tracing::warn!(%error, ?trouble, commands = commands.len(), "a transaction of the store failed");
                }
                self.told_of(trouble, &error);
                return Err(trouble);
            }
        };
        for what in &told.tampered {
            self.signals.tampered(what);
        }
        if let Some(commits) = commits {
            self.head.commits = commits;
        }
        if !self.are_files_in_place().await {
            return Err(Trouble::Fatal);
        }
        if let Some(commits) = commits {
            if let Some(ring) = told.ring {
                self.keys.set_ring(ring);
            }
            let (side, head) = (self.side.clone(), self.head);
            if let Err(error) = blocking(move || side.record(head)).await {
                self.signals.failed(&format!("the side file cannot be written: {error}"));
                return Err(Trouble::Fatal);
            }
            self.signals.committed(commits, told.appended.then_some(self.head.last_seq), told.replies);
            self.signals.cases_changed(told.cases);
            if self.signals.is_full() {
                self.signals.full(true);
            }
        }
        Ok(outcomes)
    }

    /// Nothing is acknowledged any more after these.
    fn told_of(&self, trouble: Trouble, error: &sqlx::Error) {
        match trouble {
            Trouble::Fatal => drop(self.signals.failed(&error.to_string())),
            Trouble::Damaged => drop(self.signals.damaged(&error.to_string())),
            Trouble::Full | Trouble::Busy | Trouble::Row => {}
        }
    }

    /// Raw BEGIN and COMMIT: the library's own count of open transactions goes wrong when SQLite rolls back by itself, as it
    /// does on a full disk.
    async fn transaction(
        conn: &mut SqliteConnection,
        mirror: &mut Mirror,
        keys: &Keys,
        last_seq: &mut i64,
        commands: &[&Command],
    ) -> sqlx::Result<(Vec<Outcome>, Option<i64>, Told)> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
        mirror.before_write().await;
        let mut batch = Batch { conn: &mut *conn, keys, last_seq, told: Told::default() };
        let outcomes = batch.apply(commands).await?;
        let told = batch.told;
        if !told.changed {
            // Whatever they found had been committed, side file and all, by this same writer.
            sqlx::query("ROLLBACK").execute(&mut *conn).await?;
            return Ok((outcomes, None, told));
        }
        let commits: i64 = sqlx::query_scalar("UPDATE meta SET commits = commits + 1, last_seq = ? RETURNING commits")
            .bind(*last_seq)
            .fetch_one(&mut *conn)
            .await?;
        sqlx::query("COMMIT").execute(&mut *conn).await?;
        Ok((outcomes, Some(commits), told))
    }

    /// Gives back some of the reserve and moves the write-ahead log into the database, so that it can start over.
    async fn make_room(&mut self, release: fn(&Ballast) -> bool) {
        self.mirror.give_up().await;
        let ballast = self.ballast.clone();
        let released = tokio::task::spawn_blocking(move || release(&ballast)).await.unwrap_or(false);
        if released {
            tracing::error!("the disk is full; the store gave back some of its reserve; free some space");
        }
        self.signals.full(false);
        self.look_at = Instant::now() + FULL_PROBE_EVERY;
        if self.are_files_in_place().await {
            self.checkpoint().await;
        }
    }

    /// Room for the reserve as it was means room for everything.
    async fn look_for_room(&mut self) {
        let ballast = self.ballast.clone();
        if tokio::task::spawn_blocking(move || ballast.has_room() && ballast.hold()).await.unwrap_or(false) {
            tracing::info!("there is room on the disk again; the store's reserve is back");
            self.last_reserve = false;
            self.signals.well();
        }
    }

    async fn checkpoint(&mut self) {
        self.mirror.before_emptied().await;
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.conn).await {
            tracing::warn!(%error, "the store's write-ahead log could not be emptied; its content is safe in it");
            self.told_of(trouble(&error), &error);
        }
    }

    async fn tidy(&mut self, what: Tidying) -> Result<(), StoreError> {
        // First of all: what is moved into a database by a log that is not in use any more spoils it.
        self.are_files_in_place().await;
        self.signals.check()?;
        if what != Tidying::Look {
            self.mirror.before_emptied().await;
        }
        let done = match what {
            Tidying::Look => Ok(true),
            // First without waiting for anybody: nobody queues behind a reader that takes its time.
            Tidying::Checkpoint => match self.move_log("PRAGMA wal_checkpoint(PASSIVE)").await {
                Ok(true) => self.move_log("PRAGMA wal_checkpoint(TRUNCATE)").await,
                other => other,
            },
            Tidying::Shrink { pages } => {
                let vacuum = AssertSqlSafe(format!("PRAGMA incremental_vacuum({pages})"));
                match sqlx::query(vacuum).execute(&mut self.conn).await {
                    Ok(_) => self.move_log("PRAGMA wal_checkpoint(PASSIVE)").await.map(|_| true),
                    Err(error) => Err(error),
                }
            }
        };
        self.mirror.see().await;
        match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Busy),
            Err(error) => Err(match trouble(&error) {
                Trouble::Full => StoreError::Full,
                Trouble::Busy | Trouble::Row => StoreError::Busy,
                Trouble::Fatal => self.signals.failed(&error.to_string()),
                Trouble::Damaged => self.signals.damaged(&error.to_string()),
            }),
        }
    }

    /// Whether all of the log is in the database afterwards.
    async fn move_log(&mut self, statement: &'static str) -> sqlx::Result<bool> {
        let (busy, in_log, moved): (i64, i64, i64) = sqlx::query_as(statement).fetch_one(&mut self.conn).await?;
        Ok(busy == 0 && in_log == moved)
    }

    async fn end(mut self, closing: Vec<oneshot::Sender<()>>) {
        self.signals.close();
        // Readers first: one of them may keep the log from being emptied.
        self.readers.close().await;
        if !self.are_files_in_place().await && self.is_saved {
            // When it closes, SQLite moves its log into whatever stands in the database's place, and removes the log that lies beside it.
            std::mem::forget((self.conn, self.files, self.mirror));
            return;
        }
        self.mirror.end().await;
        if self.signals.check() == Err(StoreError::Closed) {
            let _ = sqlx::query("PRAGMA incremental_vacuum").execute(&mut self.conn).await;
            self.checkpoint().await;
        }
        if let Err(error) = self.conn.close().await {
            tracing::warn!(%error, "the store's database did not close cleanly; nothing is lost");
        }
        drop((self.files, self.mirror));
        drop(self.lock);
        for done in closing {
            let _ = done.send(());
        }
    }
}
