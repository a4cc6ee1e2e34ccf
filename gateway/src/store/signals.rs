//! What the store tells without being asked: replies, new rows, health. Shared by both backends.

use super::{CaseNotice, LockHolder, ReplyNotice, StoreError, StoreHealth};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{broadcast, watch};

/// Replies that a slow listener may fall behind before it has to ask the store again.
const REPLIES_MAX: usize = 1024;

pub(super) struct Signals {
    pub(super) replies: broadcast::Sender<ReplyNotice>,
    pub(super) cases: broadcast::Sender<CaseNotice>,
    pub(super) appended: watch::Sender<u64>,
    pub(super) health: watch::Sender<StoreHealth>,
    /// What the store holds is being saved: files of it were deleted or replaced.
    saving: watch::Sender<bool>,
    commits: AtomicU64,
    tampered: AtomicU64,
    mirror_bytes: AtomicU64,
    damaged: AtomicBool,
    closed: AtomicBool,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            replies: broadcast::Sender::new(REPLIES_MAX),
            cases: broadcast::Sender::new(REPLIES_MAX),
            appended: watch::Sender::new(0),
            health: watch::Sender::new(StoreHealth::Ok),
            saving: watch::Sender::new(false),
            commits: AtomicU64::new(0),
            tampered: AtomicU64::new(0),
            mirror_bytes: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }
}

impl Signals {
    /// The error of every call once the store has failed or is closed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if let StoreHealth::Failed { what } = &*self.health.borrow() {
            return Err(StoreError::Fatal { what: what.clone() });
        }
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// After a commit.
    pub(super) fn committed(&self, commits: i64, appended_seq: Option<i64>, replies: Vec<ReplyNotice>) {
        self.commits.store(commits.unsigned_abs(), Ordering::Release);
        if let Some(seq) = appended_seq {
            self.appended.send_replace(seq.unsigned_abs());
        }
        for notice in replies {
            // Nobody listening is no error: the reply is in the store.
            let _ = self.replies.send(notice);
        }
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// How large the mirror is; 0 while there is none that is whole.
    pub(super) fn mirrored(&self, bytes: u64) {
        self.mirror_bytes.store(bytes, Ordering::Release);
    }

    pub(super) fn mirror_bytes(&self) -> u64 {
        self.mirror_bytes.load(Ordering::Acquire)
    }

    /// After a commit that opened or changed cases.
    pub(super) fn cases_changed(&self, cases: Vec<CaseNotice>) {
        for notice in cases {
            // Nobody listening is no error: the case is in the store.
            let _ = self.cases.send(notice);
        }
    }

    /// There is room, as far as is known.
    pub(super) fn well(&self) {
        self.set(match self.tampered.load(Ordering::Acquire) {
            0 => StoreHealth::Ok,
            rows => StoreHealth::Tampered { rows },
        });
    }

    pub(super) fn full(&self, writing: bool) {
        self.set(StoreHealth::Full { writing });
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(*self.health.borrow(), StoreHealth::Full { .. })
    }

    /// Another program holds the write lock.
    pub(super) fn locked(&self, holder: LockHolder) {
        self.set(StoreHealth::Locked { holder });
    }

    pub(super) fn is_locked(&self) -> bool {
        matches!(*self.health.borrow(), StoreHealth::Locked { .. })
    }

    /// Said before [`Self::failed`], so that whoever hears of the failure waits for the end of it.
    pub(super) fn saving(&self, begins: bool) {
        self.saving.send_replace(begins);
    }

    /// How the saving goes. It replaces the reason of the failure: nothing is more urgent.
    pub(super) fn saving_tells(&self, what: &str) {
        self.health.send_replace(StoreHealth::Failed { what: what.to_owned() });
    }

    /// Resolves when nothing is being saved.
    pub(super) async fn saved(&self) {
        // The sender is a part of this.
        let _ = self.saving.subscribe().wait_for(|saving| !saving).await;
    }

    /// An altered row was met.
    pub(super) fn tampered(&self, what: &str) {
        tracing::error!(row = what, "a row was altered outside this program; it is held back");
        self.tampered.fetch_add(1, Ordering::AcqRel);
        if !self.is_full() && !self.is_locked() {
            self.well();
        }
    }

    /// Nothing is acknowledged from here on; the first reason stays.
    pub(super) fn failed(&self, what: &str) -> StoreError {
        tracing::error!(reason = what, "the store has failed and acknowledges nothing more");
        self.set(StoreHealth::Failed { what: what.to_owned() });
        StoreError::Fatal { what: what.to_owned() }
    }

    /// The same, because the database is no sound one any more.
    pub(super) fn damaged(&self, what: &str) -> StoreError {
        self.damaged.store(true, Ordering::Release);
        self.failed(what)
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn set(&self, new: StoreHealth) {
        self.health.send_if_modified(|health| {
            let changes = *health != new && !matches!(health, StoreHealth::Failed { .. });
            if changes {
                *health = new;
            }
            changes
        });
    }
}
