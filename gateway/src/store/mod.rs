//! The store: what was promised survives.
//!
//! Invariants:
//! * A caller hears of a write only after the commit that holds it, and the side file that names it, are on disk.
//! * Every durable write goes through one writer and shares a commit with whatever waits beside it; dropping the caller's
//!   future cancels nothing.
//! * An id is written once. The same id with the same content is acknowledged again; with other content it is refused.
//! * No row leaves the outbox without a verdict, and one patient's rows (same [`OrderKey`]) leave in the order they came, with
//!   two exceptions that let other receptions pass (see [`Store::select`]). A consent never leaves before its own question.
//! * A consent whose question was rejected is rejected with it ([`REQUEST_REJECTED`]): the central system would never know the
//!   request that it references.
//! * Personal columns are sealed; a row that was altered outside this program is detected, never silently used.
//! * A reception that needs a case has it in the same commit as T2, and a case's ask in the same commit as its request.
//! * Every reply is kept, to whichever question.
//! * After an I/O error nothing is acknowledged any more.
//! * No other program that looks at, copies, locks or deletes the database's files makes an acknowledged write disappear: the locks of
//!   SQLite are never given away (`sqlite/files`), and what is deleted or replaced is saved first (`sqlite/saved`).

mod ballast;
mod cases;
mod command;
mod error;
mod handle;
mod inspection;
mod kept;
mod key_file;
pub mod keys;
mod mac;
pub mod model;
pub mod papers;
pub mod rotation;
mod sealed;
mod side_file;
mod signals;
mod sqlite;
mod tables;
mod turns;
mod wipe;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod scene;

pub use cases::{CaseNotice, CaseRow, CaseWrite, ConsentsAnew, KeptReply, NewCase};
pub use error::{Class, OpenError, StoreError};
pub use handle::{Store, StoreConfig};
pub use inspection::Inspection;
pub use kept::{Keeping, KeptName, TrailEntry, ended_word};
pub use key_file::KeyError;
pub use keys::Keys;
pub use sqlite::{BackedUp, BackupError, LockHolder, RescueError, RescuedTable};
pub use wipe::{WipeError, wipe};

use crate::named_file::{self, Unread};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uketsuke_core::clock::{AGREES_WITHIN, Mono, Now, Stamp};
use uketsuke_core::consent::Consent;
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::reception::Ask;
use uketsuke_core::record::{Evidence, Reply, Shown};

/// A destination of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// The central eligibility system.
    Central,
}

/// What a row asks its destination to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// 資格確認: the body is an encoded `Signed` with an `EligibilityRequest`.
    Eligibility,
    /// 同意の登録: the body is an encoded `Signed` with a `ConsentRecord`.
    Consent,
    /// 初回登録, or the same question once more: the body is an encoded `Signed` with a `FollowUpRequest`.
    FollowUp,
}

impl RequestKind {
    /// Whether the destination replies with eligibility information, and which question that answers.
    pub fn asks(self) -> Option<Ask> {
        match self {
            Self::Eligibility => Some(Ask::First),
            Self::FollowUp => Some(Ask::FollowUp),
            Self::Consent => None,
        }
    }
}

/// Interactive rows go first: somebody stands at a reader and waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// A patient waits for it.
    Interactive,
    /// Nobody waits any more.
    Backlog,
}

/// One request on its way out.
#[derive(Clone)]
pub struct Request {
    /// Idempotency key.
    pub id: RequestId,
    /// What it asks.
    pub kind: RequestKind,
    /// What it says, without a signature: the same id with another body is refused, whoever signs it. Personal, so sealed on disk.
    pub body: zeroize::Zeroizing<Vec<u8>>,
    /// Who vouches for it.
    pub proof: Proof,
}

impl Request {
    /// Bytes that are kept of it, at most [`BODY_BYTES_MAX`].
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + if let Proof::Signed(proof) = &self.proof { proof.len() } else { 0 }
    }
}

/// Who vouches for a request.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// The gateway, when it sends it: no key that is wrong, missing or replaced meanwhile spoils what is kept.
    Gateway,
    /// Somebody who has signed it already, such as a card that is long gone: these bytes go with it every time. Personal, so sealed on
    /// disk.
    Signed(zeroize::Zeroizing<Vec<u8>>),
    /// Kept by an earlier version, which put body and signature into one.
    Within,
}

/// Limit on what is kept of one request. The central system takes 64 KiB: the rest is for the gateway's signature and certificate.
pub const BODY_BYTES_MAX: usize = 60 * 1024;

/// Limit on the name of a reader, in characters.
pub const READER_CHARS_MAX: usize = 128;

/// How long the id and fingerprint of a settled request are kept, so that the same request is known again.
pub const SETTLED_KEPT: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// Longest wait before a failed row is tried again. A row that claims to wait longer was dated by a wall clock that has since
/// been set back, and is due.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Code of a consent that was rejected because the eligibility request it references was.
pub const REQUEST_REJECTED: &str = "request_rejected";

/// How long an isolated row holds back the later rows of its reception.
pub const ISOLATED_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// T1: the reception is open and its question is on its way.
#[derive(Clone)]
pub struct Opening {
    /// New reception.
    pub reception: ReceptionId,
    /// `terminal/reader`.
    pub reader: String,
    /// The patient's order key.
    pub order_key: OrderKey,
    /// How the person was verified, and on what ground.
    pub evidence: Evidence,
    /// When.
    pub opened: Now,
    /// The eligibility request.
    pub request: Request,
}

/// T2: the reception counts. Irrevocable.
#[derive(Clone)]
pub struct Recording {
    /// A reception that is open.
    pub reception: ReceptionId,
    /// What the patient is told.
    pub shown: Shown,
    /// Consents as given; empty when none were asked.
    pub consents: Vec<Consent>,
    /// The consent row for the central system, if there is anything to say. When the question of this reception is already
    /// rejected it is written down as rejected too ([`REQUEST_REJECTED`]), for people to see, and never sent.
    pub request: Option<Request>,
    /// The case of a reception that did not end with a confirmed answer: it is there as soon as the reception counts.
    pub case: Option<NewCase>,
    /// When.
    pub recorded: Stamp,
}

/// A row of the outbox as the courier gets it.
#[derive(Clone)]
pub struct OutboxRow {
    /// Position; grows, never reused. Not a cursor.
    pub seq: i64,
    /// The request, body opened.
    pub request: Request,
    /// The reception it belongs to.
    pub reception: ReceptionId,
    /// The patient's order key.
    pub order_key: OrderKey,
    /// Lane.
    pub lane: Lane,
    /// Tries that failed although the destination was there.
    pub attempts: u32,
}

/// What became of a try, to be written down. Unreachable and busy destinations write nothing and do not appear here.
#[derive(Clone)]
pub enum Settlement {
    /// The destination replied to a request that asks for eligibility; `answer` is the encoded `EligibilityAnswer`, sealed on disk.
    Answered {
        /// What it means.
        reply: Reply,
        /// The whole answer as it came.
        answer: zeroize::Zeroizing<Vec<u8>>,
    },
    /// The destination took a consent.
    Delivered,
    /// The destination refused this request for good. With an eligibility request go the pending consents of its reception.
    Rejected {
        /// A word for the kind, no personal data.
        code: String,
    },
    /// This row failed although the destination was there: try again after a while.
    Retry {
        /// A word for the kind, no personal data.
        code: String,
        /// Not before this much later than the `at` of the settlement; at most [`RETRY_AFTER_MAX`] counts.
        after: Duration,
        /// It is this request that failed, at a destination that works ([`uketsuke_core::outbox::attempts_after`]).
        own: bool,
    },
}

/// What holds a row of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// On its way.
    Pending,
    /// Never sent: altered outside this program, or set aside for people because it failed for too long or they asked for it; holds
    /// the later rows of its reception for [`ISOLATED_HOLD`] (a consent only the later consents).
    Isolated,
    /// Refused for good by its destination; holds nobody.
    Rejected,
}

/// A row of the outbox as people see it: without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutboxHead {
    /// Position.
    pub seq: i64,
    /// The request.
    pub id: RequestId,
    /// What it asks.
    pub kind: RequestKind,
    /// The reception it belongs to.
    pub reception: ReceptionId,
    /// Lane.
    pub lane: Lane,
    /// State.
    pub state: RowState,
    /// Tries that failed although the destination was there.
    pub attempts: u32,
    /// A word for the last failure or refusal.
    pub last_error: Option<String>,
    /// When it was written, in milliseconds since 1970 UTC.
    pub created_ms: i64,
    /// Not to be tried before, in milliseconds since 1970 UTC; 0 when it may go at once.
    pub not_before_ms: i64,
}

/// One row of the outbox, in full, without anything personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutboxDetail {
    /// As it stands in lists.
    #[serde(flatten)]
    pub head: OutboxHead,
    /// Whether it is as this program wrote it. An isolated row that is was set aside, by age or by people, and can be tried again.
    pub genuine: bool,
    /// Bytes of the body as it is kept.
    pub stored_bytes: u64,
    /// The id of the key that the body is sealed with; `None` in memory.
    pub sealed_with: Option<String>,
}

/// How much the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Figures {
    /// What waits for the central system.
    pub outbox: OutboxCounts,
    /// Of the database file.
    pub database_bytes: u64,
    /// Of its write-ahead log.
    pub log_bytes: u64,
    /// Of the reserve for a full disk.
    pub reserve_bytes: u64,
    /// Of the second copy of the database that is kept against other programs; 0 while there is none that is whole.
    pub mirror_bytes: u64,
    /// That the file system of the database still has for this program, the reserve apart; `None` where it does not say.
    pub free_bytes: Option<u64>,
    /// Sealing keys that are held: 2 while a rotation is under way.
    pub keys: u64,
    /// Databases that another program had put in place of the store's, and that a start put aside for people to look at.
    pub put_aside: u64,
}

/// How many rows wait for one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OutboxCounts {
    /// On their way.
    pub pending: u64,
    /// Held back: altered, or set aside for people.
    pub isolated: u64,
    /// Refused for good.
    pub rejected: u64,
    /// When the oldest pending row was written, in milliseconds since 1970 UTC.
    pub oldest_created_ms: Option<i64>,
}

/// A reply was committed. A listener that lags asks the store again ([`Store::reception`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyNotice {
    /// Whose.
    pub reception: ReceptionId,
    /// To which question.
    pub ask: Ask,
    /// The request that it answers.
    pub request: RequestId,
    /// What.
    pub reply: Reply,
}

/// Whether the store keeps its promises. The worst of what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreHealth {
    /// It does.
    Ok,
    /// Rows were found that were altered outside this program; they are held back. Everything else goes on.
    Tampered {
        /// Detections since the start, the same row perhaps more than once.
        rows: u64,
    },
    /// The disk is full. The store tries again by itself.
    Full {
        /// The reserve was given back and writes still pass; false: the last one did not.
        writing: bool,
    },
    /// Another program holds the database's write lock. The store tries again by itself, and goes on as soon as the lock is gone.
    Locked {
        /// That program.
        holder: LockHolder,
    },
    /// An I/O error, or files that were deleted or replaced: nothing is acknowledged any more, the process has to end (exit code 74).
    Failed {
        /// What failed.
        what: String,
    },
}

/// Whether a gateway has this database open for writing right now.
pub fn in_use(database: &Path) -> bool {
    look_at_lock(database).unwrap_or(false)
}

/// Whether a gateway has this database open for writing right now, as a start would find out.
///
/// # Errors
/// [`OpenError::Io`] names what lies in place of the lock's file: no gateway starts then.
pub fn look_at_lock(database: &Path) -> Result<bool, OpenError> {
    let failed = |source| OpenError::Io { path: database.to_owned(), doing: LOCKING, source };
    match named_file::open(&beside(database, "lock")) {
        Ok(lock) => Ok(matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))),
        Err(Unread::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(unread) => Err(failed(unread.into())),
    }
}

/// What a start does first, in words.
const LOCKING: &str = "lock the file beside it that ends in .lock";

/// When a reception was opened, as far as its row tells.
#[derive(Debug, Clone, Copy)]
struct Opened {
    stamp: Stamp,
    /// The clock that no correction moves, and which boot it counts from.
    since_boot: Option<(u64, Mono)>,
}

impl From<Now> for Opened {
    fn from(now: Now) -> Self {
        Self { stamp: now.stamp, since_boot: Some((now.boot, now.mono)) }
    }
}

/// How long before `now` a reception was opened; `None` when that cannot be told. Within one boot of the machine its own clock tells, and
/// no jump of the wall clock joins or parts two visits. Across boots only two synchronised wall clocks can tell: a visit that is not
/// linked shows twice, where staff see it, while one that is linked in error would not be sent to the receipt computer.
fn visit_age(now: Now, opened: Opened) -> Option<Duration> {
    if let Some((boot, mono)) = opened.since_boot
        && boot == now.boot
    {
        // Two that share a commit may come in either order.
        return Some(Duration::from_millis(now.mono.0.abs_diff(mono.0)));
    }
    let known = now.stamp.synchronised && opened.stamp.synchronised;
    known.then(|| Duration::from_millis(now.stamp.wall_ms.abs_diff(opened.stamp.wall_ms)))
}

/// What is old enough to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// What came before may go, in milliseconds since 1970 UTC.
    pub before_ms: i64,
    /// The present by a clock that is vouched for.
    pub now_ms: i64,
}

impl Horizon {
    /// What has been kept for so long at `now_ms`.
    pub fn of(now_ms: i64, kept: Duration) -> Self {
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        Self { before_ms: now_ms.saturating_sub(kept_ms), now_ms }
    }

    /// Whether the clock that gave a date can be believed: it was synchronised, and has not dated what is here already in the future.
    fn believes(self, wall_ms: i64, synchronised: bool) -> bool {
        synchronised && wall_ms <= self.dated_max_ms()
    }

    /// The latest date that is believed.
    fn dated_max_ms(self) -> i64 {
        self.now_ms.saturating_add(AGREES_WITHIN.as_millis() as i64)
    }
}

/// For the ages of receptions in the order they came, of which each says when it was opened and whether that date is believed: one that is
/// not counts as opened with the next one that is. After the last row that is `beyond`; without any it counts as just opened.
fn dated_by_the_next(opened: impl DoubleEndedIterator<Item = (i64, bool)>, beyond: Option<i64>) -> Vec<i64> {
    let mut next = beyond.unwrap_or(i64::MAX);
    let mut dates: Vec<i64> = opened
        .rev()
        .map(|(wall_ms, believed)| {
            if believed {
                next = wall_ms;
            }
            next
        })
        .collect();
    dates.reverse();
    dates
}

/// Where the running gateway takes orders about its store: a socket beside the database.
pub fn control_socket(database: &Path) -> PathBuf {
    beside(database, "control")
}

/// `<database>.<suffix>`, beside the database.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether the name leads to this open file. One that cannot be looked at for another reason (no memory) is not known to lead elsewhere.
fn is_at(file: &std::fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |found: std::fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(found)) => id(held) == id(found),
        (_, Err(error)) => error.kind() != std::io::ErrorKind::NotFound,
        (Err(_), _) => true,
    }
}

/// File operations, away from the reactor.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
}

/// Makes the names in the database's folder durable.
fn sync_folder(database: &Path) -> std::io::Result<()> {
    let folder = database.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
