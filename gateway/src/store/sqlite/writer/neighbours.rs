//! What the writer does about other programs: one that holds its lock is named, files that one has deleted or replaced are saved.

use super::Writer;
use crate::store::side_file::SideFile;
use crate::store::sqlite::{LockHolder, Trouble, files, holder, saved, trouble};
use crate::store::{OpenError, StoreError, blocking};
use std::time::Duration;
use tokio::time::Instant;

/// Between tries to save what no file name leads to any more.
const SAVE_AGAIN: Duration = Duration::from_secs(3);

impl Writer {
    pub(super) fn tell_the_holder(&mut self) {
        self.locked_since.get_or_insert_with(Instant::now);
        let holder = holder::of_the_write_lock(self.files.index_inode()).unwrap_or(LockHolder::Unknown);
        if !self.signals.is_locked() {
            tracing::error!(%holder, "another program holds the write lock of the store's database; end that program");
        }
        self.signals.locked(holder);
    }

    pub(super) fn lock_is_gone(&mut self) {
        self.locked_since = None;
        tracing::info!("the lock of another program on the store's database is gone");
        self.signals.well();
    }

    /// Without it nobody would hear of another program's lock before the next patient meets it. A program that only writes now and then
    /// is not there twice in a row.
    pub(super) async fn look_for_a_holder(&mut self) {
        let is_held = holder::of_the_write_lock(self.files.index_inode()).is_some();
        // What the kernel's list seems to say is tried before anybody is told.
        if std::mem::replace(&mut self.was_held, is_held) && is_held && self.is_lock_in_the_way().await {
            self.tell_the_holder();
        }
    }

    pub(super) async fn look_for_the_lock(&mut self) {
        if self.is_lock_in_the_way().await {
            self.tell_the_holder();
        } else {
            self.lock_is_gone();
        }
    }

    async fn is_lock_in_the_way(&mut self) -> bool {
        match sqlx::query("BEGIN IMMEDIATE").execute(&mut self.conn).await {
            Ok(_) => {
                let _ = sqlx::query("ROLLBACK").execute(&mut self.conn).await;
                false
            }
            // Whatever else is wrong is found, and said, by the next write.
            Err(error) => trouble(&error) == Trouble::Busy,
        }
    }

    /// Whether database, log and index are where they were, and sound as far as is known. If not, nothing is acknowledged from here on, and
    /// this returns only when everything is saved; then the process has to end.
    pub(super) async fn are_files_in_place(&mut self) -> bool {
        if self.is_saved {
            return false;
        }
        let Some(mut misplaced) = self.files.misplaced() else {
            if self.signals.is_damaged() {
                self.save_damaged().await;
                return false;
            }
            return matches!(self.signals.check(), Ok(()) | Err(StoreError::Closed));
        };
        let gone = format!("another program has deleted, moved or replaced {}", misplaced.path.display());
        self.signals.saving(true);
        let saving = format!("{gone}; what was acknowledged is being saved");
        self.signals.failed(&saving);
        // Whatever the store had failed by before.
        self.signals.saving_tells(&saving);
        // The room it keeps is for this. The next start makes it anew.
        let ballast = self.ballast.clone();
        let _ = tokio::task::spawn_blocking(move || ballast.release()).await;
        loop {
            match saved::save(&mut self.conn, &self.path, self.head, &self.files, &mut self.mirror, &misplaced).await {
                Ok(place) => {
                    tracing::error!(%place, "everything that was acknowledged is saved");
                    let next = match place {
                        saved::Place::Raw(_) => {
                            "the other program has spoiled the database, so that the next start may need a backup or `uketsuke queue rescue`"
                        }
                        _ => "the next start takes it by itself",
                    };
                    self.signals.saving_tells(&format!("{gone}; everything acknowledged is saved in {place}; {next}"));
                    break;
                }
                Err(error) => {
                    tracing::error!(
                        %error,
                        "what was acknowledged could not be saved and is held by this process alone: do not end it; it is tried again"
                    );
                    self.signals.saving_tells(&format!(
                        "{gone}; what was acknowledged could not be saved to {} and is held by this process alone, so do not end it: {error}; \
                         free some space or mend the folder, it is tried again every {} s",
                        saved::copy_of(&self.path).display(),
                        SAVE_AGAIN.as_secs()
                    ));
                }
            }
            tokio::time::sleep(SAVE_AGAIN).await;
            // What had been moved away may have been put back, and others may have come.
            misplaced = self.files.misplaced().unwrap_or(misplaced);
        }
        self.is_saved = true;
        self.signals.saving(false);
        false
    }

    /// A database that is damaged is still where it was, with its log: the mirror is a better one, if it is whole and can be saved. Tried
    /// once: nothing is held by this process alone.
    async fn save_damaged(&mut self) {
        if self.mirror.bytes() == 0 {
            return;
        }
        self.signals.saving(true);
        match saved::save_mirror(&self.path, self.head, &mut self.mirror).await {
            Ok(Some(copy)) => {
                tracing::error!(copy = %copy.display(), "the database is damaged; everything that was acknowledged is saved from its mirror");
                self.signals.saving_tells(&format!(
                    "{} is damaged; everything acknowledged is saved in {}; the next start takes it by itself",
                    self.path.display(),
                    copy.display()
                ));
                self.is_saved = true;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "the database is damaged, and its mirror could not be saved");
                self.mirror.give_up().await;
            }
        }
        self.signals.saving(false);
    }

    /// Whether head file and lock are where they were; if they are not, they are made anew. Without the first every later start would be
    /// refused, without the second another gateway could start on this store.
    pub(super) async fn are_side_files_in_place(&mut self) -> bool {
        if !self.side.is_in_place(&self.path) {
            let (path, head) = (self.path.clone(), self.head);
            match blocking(move || SideFile::start(&path, head)).await {
                Ok(side) => self.side = side,
                Err(error) => {
                    self.signals.failed(&format!(
                        "another program has deleted its head file, and it cannot be made anew: {error}"
                    ));
                    return false;
                }
            }
            tracing::error!("another program had deleted, moved or replaced the store's head file; it is made anew");
        }
        if !files::is_lock_in_place(&self.lock, &self.path) {
            match files::lock(&self.path) {
                Ok(lock) => {
                    self.lock = lock;
                    tracing::error!("another program had deleted or moved the store's lock file; it is made anew");
                }
                Err(OpenError::Locked { .. }) => {
                    self.signals.failed(
                        "its lock file was deleted, and another gateway has started on it since; stop one of the two",
                    );
                    return false;
                }
                // Nobody else can lock it either.
                Err(_) => {}
            }
        }
        true
    }
}
