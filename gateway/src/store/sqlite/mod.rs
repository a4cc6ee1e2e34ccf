//! The store on SQLite: one writer task with the one write connection, a few connections for reading.
//!
//! | File | Room |
//! |---|---|
//! | `open` | what is checked before the first acknowledgement |
//! | `writer` | group commit |
//! | `write`, `settle` | the durable writes, inside a transaction; many answers at once |
//! | `read`, `select` | the reads |
//! | `walk` | every row, one after the other: looked at, sealed anew |
//! | `tend` | rows set aside, tried again, forgotten; figures |
//! | `files`, `holder`, `saved` | the hold on the files; who else holds a lock; what is done when they are deleted or replaced |
//! | `mirror` | a second copy of the database, for the case that another program spoils the first one |
//! | `backup`, `rescue` | copies of what is there, sound and not |
//! | `kept` | what the site keeps beside receptions |
//! | `rows` | rows, their checks and words |
//! | `case_read`, `case_rows`, `case_write` | the same for cases and later replies |

mod backup;
mod case_read;
mod case_rows;
mod case_write;
mod files;
mod holder;
mod kept;
mod mirror;
#[cfg(test)]
mod neighbour_tests;
mod open;
mod queue;
mod read;
mod rescue;
#[cfg(test)]
mod rescue_tests;
#[cfg(test)]
mod rotation_tests;
mod rows;
mod saved;
mod select;
mod settle;
mod tend;
#[cfg(test)]
mod tests;
mod walk;
mod write;
mod writer;

pub(super) use backup::backup;
pub use backup::{BackedUp, BackupError};
pub(super) use files::{index_of, log_of};
pub use holder::LockHolder;
pub(super) use rescue::rescue;
pub use rescue::{RescueError, RescuedTable};
pub(super) use saved::leftovers;

use super::command::{Command, Outcome};
use super::keys::id_word;
use super::sealed::Unreadable;
use super::signals::Signals;
use super::{Keys, OpenError, StoreConfig, StoreError};
use queue::{Entrance, Job, Tidying};
use sqlx::SqlitePool;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use writer::Writer;

/// A store on SQLite.
pub(super) struct Sqlite {
    path: PathBuf,
    pub(super) checked_at_open: bool,
    pool: SqlitePool,
    keys: Keys,
    signals: Arc<Signals>,
    /// None when open for reading only.
    jobs: Option<Entrance>,
    #[cfg(test)]
    pub(super) writer: Option<tokio::task::AbortHandle>,
}

impl Sqlite {
    pub(super) async fn open(
        config: &StoreConfig,
        keys: Keys,
        lock_holder: &watch::Sender<Option<LockHolder>>,
    ) -> Result<Self, OpenError> {
        let opened = open::for_writing(config, &keys, lock_holder).await?;
        let pool = open::read_pool(config);
        let signals = Arc::new(Signals::default());
        signals.committed(opened.head.commits, Some(opened.head.last_seq), Vec::new());
        let (jobs, queue) = queue::new(config);
        let checked_at_open = opened.checked;
        let writer = Writer::new(opened, config, keys.clone(), Arc::clone(&signals), queue, pool.clone());
        #[cfg_attr(not(test), expect(unused_variables, reason = "only tests end the writer from outside"))]
        let task = tokio::spawn(writer.run());
        Ok(Self {
            path: config.path.clone(),
            checked_at_open,
            pool,
            keys,
            signals,
            jobs: Some(jobs),
            #[cfg(test)]
            writer: Some(task.abort_handle()),
        })
    }

    pub(super) async fn open_read_only(
        config: &StoreConfig,
        keys: Keys,
        lock_holder: Option<&watch::Sender<Option<LockHolder>>>,
    ) -> Result<Self, OpenError> {
        match lock_holder {
            Some(told) => open::unlocked(&config.path, told, &async || open::for_reading(config, &keys).await).await?,
            None => open::for_reading(config, &keys).await?,
        }
        Ok(Self {
            path: config.path.clone(),
            checked_at_open: false,
            pool: open::read_pool(config),
            keys,
            signals: Arc::new(Signals::default()),
            jobs: None,
            #[cfg(test)]
            writer: None,
        })
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    pub(super) async fn write(&self, command: Command) -> Outcome {
        let jobs = self.jobs.as_ref().ok_or(StoreError::ReadOnly)?;
        self.signals.check()?;
        let (done, outcome) = oneshot::channel();
        jobs.send(Job::Write(Box::new(command), done)).await.map_err(|_| self.gone())?;
        outcome.await.map_err(|_| self.gone())?
    }

    /// Moves the write-ahead log into the database. Busy while a reader takes its time: try again.
    pub(super) async fn checkpoint(&self) -> Result<(), StoreError> {
        self.tidy(Tidying::Checkpoint).await
    }

    pub(super) async fn shrink(&self, pages: u32) -> Result<(), StoreError> {
        self.tidy(Tidying::Shrink { pages }).await
    }

    async fn tidy(&self, what: Tidying) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::ReadOnly)?;
        self.signals.check()?;
        let (done, outcome) = oneshot::channel();
        jobs.send(Job::Tidy(what, done)).await.map_err(|_| self.gone())?;
        outcome.await.map_err(|_| self.gone())?
    }

    /// SQLite's own check of the whole file.
    pub(super) async fn check_file(&self) -> Result<(), StoreError> {
        let verdict: Option<(String,)> = self.rows(sqlx::query_as("PRAGMA quick_check(1)")).await?.pop();
        match verdict {
            Some((verdict,)) if verdict != "ok" => {
                let what = format!(
                    "the database is damaged ({verdict}); restore it from a backup, or see `uketsuke queue rescue`"
                );
                Err(self.signals.damaged(&what))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        if let Some(jobs) = &self.jobs {
            if let Err(failed) = self.signals.check() {
                self.secured().await;
                return Err(failed);
            }
            let (done, closed) = oneshot::channel();
            jobs.send(Job::Close(done)).await.map_err(|_| self.gone())?;
            closed.await.map_err(|_| self.gone())?;
        }
        self.signals.close();
        self.pool.close().await;
        // The writer may be saving what no file name leads to any more: the process must not end before that.
        self.signals.saved().await;
        match self.signals.check() {
            Err(failed @ StoreError::Fatal { .. }) => Err(failed),
            _ => Ok(()),
        }
    }

    /// See [`crate::store::Store::secured`].
    pub(super) async fn secured(&self) {
        if let Some(jobs) = &self.jobs {
            // Also after a failure: the files may have been deleted since. A writer that has ended has looked before.
            let (done, looked) = oneshot::channel();
            if jobs.send(Job::Tidy(Tidying::Look, done)).await.is_ok() {
                let _ = looked.await;
            }
        }
        self.signals.saved().await;
    }

    /// What is not used because it is not as it was written, or cannot be opened. Everybody is told; without its key nothing goes on.
    pub(super) fn unreadable(&self, what: String, why: Unreadable) -> StoreError {
        match why {
            Unreadable::Altered => {
                self.signals.tampered(&what);
                StoreError::Tampered { what }
            }
            Unreadable::NoKey(id) => self.signals.failed(&format!(
                "{what} was sealed with key {}, which the key file does not hold; put back the key file that holds it",
                id_word(&id)
            )),
        }
    }

    /// The writer is not there: closed, failed, or ended with its runtime.
    fn gone(&self) -> StoreError {
        self.signals.check().err().unwrap_or_else(|| self.signals.failed("the writer task has ended"))
    }
}

/// What a database error means for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// No room.
    Full,
    /// Somebody else's lock.
    Busy,
    /// What was found is no sound database.
    Damaged,
    /// An I/O error, or a file that cannot be opened: whether a write is on disk is unknown.
    Fatal,
    /// This statement, with these values.
    Row,
}

/// Sorts an error by SQLite's result codes, <https://www.sqlite.org/rescode.html>.
fn trouble(error: &sqlx::Error) -> Trouble {
    /// SQLITE_IOERR_SHMSIZE: the shared-memory file cannot grow, which is how a full disk shows there.
    const IOERR_SHMSIZE: i32 = 4874;
    /// SQLITE_IOERR_SHORT_READ: the file ends before a page that it should have.
    const IOERR_SHORT_READ: i32 = 522;
    let sqlx::Error::Database(error) = error else {
        return match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => Trouble::Row,
            sqlx::Error::PoolTimedOut => Trouble::Busy,
            _ => Trouble::Fatal,
        };
    };
    let code: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or(1);
    match (code, code & 0xff) {
        (IOERR_SHMSIZE, _) | (_, 13) => Trouble::Full,
        // BUSY, LOCKED
        (_, 5 | 6) => Trouble::Busy,
        // CORRUPT, NOTADB
        (_, 11 | 26) | (IOERR_SHORT_READ, _) => Trouble::Damaged,
        // PERM, READONLY, IOERR, CANTOPEN, PROTOCOL
        (_, 3 | 8 | 10 | 14 | 15) => Trouble::Fatal,
        _ => Trouble::Row,
    }
}
