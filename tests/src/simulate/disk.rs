//! The disk: the store's model behind one writer that takes its time, fills up, and survives the process.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::sync::{broadcast, watch};
use uketsuke::store::model::{Hold, Rule};
use uketsuke::store::{CaseNotice, CaseRow, Destination, OutboxHead, ReplyNotice, Store, StoreError};
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::record::ReceptionRecord;

/// A write on its way: a call of the store.
pub(super) type Write = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Who waits for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A reader's scribe.
    Scribe(usize),
    /// The same, for what it owes.
    ScribeOwes(usize),
    /// A life of the courier, for a row.
    Courier(u64, i64),
    /// A life of the reconciler.
    Reconciler(u64),
}

pub(super) struct Disk {
    pub(super) store: Store,
    full: bool,
    waiting: Vec<(Write, For)>,
    replies: broadcast::Receiver<ReplyNotice>,
    cases: broadcast::Receiver<CaseNotice>,
    appended: watch::Receiver<u64>,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self::on(Store::model(), false)
    }

    fn on(store: Store, full: bool) -> Self {
        let (replies, cases, appended) = (store.replies(), store.case_notices(), store.appended());
        let mut disk = Self { store, full, waiting: Vec::new(), replies, cases, appended };
        disk.fill(full);
        disk
    }

    /// The store keeps this rule no longer.
    pub(super) fn take_out(&self, rule: Rule) {
        if let Some(model) = self.store.as_model() {
            model.take_out(rule);
        }
    }

    /// Writes fail, or do not, from now on.
    pub(super) fn fill(&mut self, full: bool) {
        self.full = full;
        if let Some(model) = self.store.as_model() {
            model.fail_next(if full { usize::MAX } else { 0 }, StoreError::Full);
        }
    }

    /// Nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Hands a write over, to be held there; what is handed over while others are on their way shares their fate.
    pub(super) fn submit(&mut self, hold: Hold, who: For, mut write: Write) {
        if let Some(model) = self.store.as_model().filter(|_| self.waiting.is_empty()) {
            model.hold(hold);
        }
        // A write that is refused at once is kept, too: its caller hears of it with the others.
        if let Poll::Ready(result) = poll(&mut write) {
            write = Box::pin(std::future::ready(result));
        }
        self.waiting.push((write, who));
    }

    /// Everything on its way is on the disk, or refused; in the order it came.
    pub(super) fn done(&mut self) -> Vec<(For, Result<(), StoreError>)> {
        if let Some(model) = self.store.as_model() {
            model.release();
        }
        let lost = || Err(StoreError::Fatal { what: "the model never answered".into() });
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|(write, who)| (who, at_once(write).unwrap_or_else(lost))).collect()
    }

    /// The process dies. Whether there were writes on their way.
    pub(super) fn crash(&mut self) -> bool {
        let writing = !self.waiting.is_empty();
        if let Some(survivor) = self.store.as_model().map(|model| model.crash()) {
            *self = Self::on(survivor, self.full);
        }
        writing
    }

    /// Replies that were committed since the last time.
    pub(super) fn replies(&mut self) -> Vec<ReplyNotice> {
        std::iter::from_fn(|| self.replies.try_recv().ok()).collect()
    }

    /// Cases that were opened since the last time.
    pub(super) fn opened_cases(&mut self) -> Vec<ReceptionId> {
        let notices = std::iter::from_fn(|| self.cases.try_recv().ok());
        notices.filter(|notice| notice.version == 1).map(|notice| notice.reception).collect()
    }

    pub(super) fn case(&self, id: ReceptionId) -> Option<CaseRow> {
        at_once(self.store.case(id))?.ok()?
    }

    pub(super) fn open_cases(&self) -> Vec<CaseRow> {
        at_once(self.store.open_cases(usize::MAX)).and_then(Result::ok).unwrap_or_default()
    }

    /// Whether rows were added since the last time.
    pub(super) fn appended(&mut self) -> bool {
        let changed = self.appended.has_changed().unwrap_or(false);
        self.appended.mark_unchanged();
        changed
    }

    pub(super) fn reception(&self, id: ReceptionId) -> Option<ReceptionRecord> {
        at_once(self.store.reception(id))?.ok()?
    }

    pub(super) fn receptions(&self) -> Vec<ReceptionRecord> {
        at_once(self.store.receptions(usize::MAX)).and_then(Result::ok).unwrap_or_default()
    }

    pub(super) fn outbox(&self) -> Vec<OutboxHead> {
        at_once(self.store.outbox(Destination::Central, usize::MAX)).and_then(Result::ok).unwrap_or_default()
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// What a future of the model says without waiting: it does no I/O.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match poll(&mut Box::pin(future)) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
