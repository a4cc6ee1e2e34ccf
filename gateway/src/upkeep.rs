//! What keeps the store in shape while patients are received: limits, retention, inspection.
//!
//! Promises: everything happens in steps of a few milliseconds with pauses between them, so that no reception waits for it; nothing that
//! waits for the central system is ever dropped; a wall clock that nobody but the operating system vouches for decides about nobody's age,
//! neither now nor by what it dated earlier ([`crate::retention`]).
//!
//! Nothing of a round is kept over a restart: forgetting begins at the oldest reception each time, which is quick because what is over
//! is gone by then, and a walk through every row begins anew, which takes minutes and follows every start.
//!
//! | Limit | What happens there |
//! |---|---|
//! | rows that wait (`store.attention_waiting`) | said on the console and by `/healthz`; receptions go on |
//! | bytes (`store.attention_mib`) | the same |
//! | free bytes on the disk (`store.attention_free_mib`) | the same; on a disk that is really full the store's reserve takes over |
//! | hours for which a row fails by itself while the line is up (`store.set_aside_after_h`) | set aside for staff, until `uketsuke queue retry` |
//! | age of a reception that is over (`store.receptions_kept_days`) | forgotten, with its case, replies and refused requests |
//! | age of a settled id (60 days) | forgotten |

use crate::clock::Clock;
use crate::operator::{Operator, Order, Told};
use crate::retention::RetentionStatus;
use crate::store::{Figures, Horizon, Inspection, SETTLED_KEPT, Store, StoreError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uketsuke_core::clock::Stamp;
use uketsuke_core::date::Date;
use uketsuke_core::outbox::tries_in;
use uketsuke_core::retention::{Deletion, Oldest, VouchedBy};

/// Between looks at how much there is.
const FIGURES_EVERY: Duration = Duration::from_secs(10);
/// Between rounds of setting aside and forgetting.
const ROUND_EVERY: Duration = Duration::from_secs(10 * 60);
/// Between walks through every row.
const WALK_EVERY: Duration = Duration::from_secs(6 * 60 * 60);
/// Between checks of the whole file by SQLite.
const FILE_CHECK_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Rows in one step.
const STEP_ROWS: usize = 64;
/// Pages given back to the disk in one step.
const STEP_PAGES: u32 = 256;
/// After each step.
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// Code of a row that was set aside by its age.
pub const FAILED_TOO_LONG: &str = "failed_too_long";

/// Where the limits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the database and its log before people are told.
    pub attention_bytes: u64,
    /// With fewer free bytes on the disk of the database people are told.
    pub attention_free_bytes: u64,
    /// A row that fails although the line is up is set aside after this.
    pub set_aside_after: Duration,
    /// A reception that is over is forgotten after this.
    pub receptions_kept: Duration,
}

/// How the store is, for pages and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upkept {
    /// How much there is.
    pub figures: Figures,
    /// How much there is has been counted since the start.
    pub counted: bool,
    /// The oldest row that waits has waited for at least this long; 0 when none does.
    pub oldest_waiting: Duration,
    /// Whether what is old is deleted; `None` before the first look.
    pub retention: Option<RetentionStatus>,
    /// There are more bytes than [`Limits::attention_bytes`].
    pub large: bool,
    /// The disk has fewer free bytes than [`Limits::attention_free_bytes`].
    pub disk_low: bool,
    /// Walks through every row that came to their end since the start.
    pub walks: u64,
    /// Receptions that were forgotten since the start.
    pub forgotten: u64,
    /// For the age of the oldest row that waits.
    oldest: Oldest,
}

/// Everything that upkeep needs.
pub struct UpkeepParts {
    /// What is kept in shape.
    pub store: Store,
    /// Goes on with a change of the sealing key that an earlier process has begun.
    pub operator: Operator,
    /// For ages.
    pub clock: Clock,
    /// Where the limits are.
    pub limits: Limits,
    /// SQLite has not looked through the file at the start.
    pub check_file_first: bool,
    /// What people and machines see.
    pub told: watch::Sender<Upkept>,
}

/// Runs until the store is closed or has failed.
pub fn spawn(parts: UpkeepParts) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let operator = parts.operator.clone();
        // Beside the rest: with a large store it takes long.
        let rotation = async move {
            finish_rotation(operator).await;
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = live(parts) => ended,
            ended = rotation => ended,
        };
        let Err(error) = ended else { return };
        if error != StoreError::Closed {
            tracing::error!(%error, "upkeep of the store has ended");
        }
    })
}

/// Goes on with a change of the sealing key that was cut short; what keeps it from that (a full disk) is over at the next try, or the one
/// after.
async fn finish_rotation(operator: Operator) {
    loop {
        match operator.perform(Order::FinishRotation).await {
            Told::Rotated(rotated) => {
                tracing::info!(key = rotated.key, "a change of the sealing key that was cut short has come to its end");
                return;
            }
            Told::Done | Told::Clock(_) | Told::Running(_) => return,
            Told::Refused { .. } => sleep(ROUND_EVERY).await,
        }
    }
}

async fn live(parts: UpkeepParts) -> Result<(), StoreError> {
    let start = Instant::now();
    let mut file_check_at = if parts.check_file_first { start } else { start + FILE_CHECK_EVERY };
    let (mut round_at, mut walk_at, mut figures_at) = (start, start, start);
    let mut inspection = Inspection::default();
    let mut upkept = Upkept::default();
    loop {
        let now = Instant::now();
        if now >= figures_at {
            figures_at = now + FIGURES_EVERY;
            let waited = !goes_on(&upkept);
            going_on(look(&parts, &mut upkept).await)?;
            if waited && goes_on(&upkept) {
                round_at = now;
            }
        }
        if now >= file_check_at {
            file_check_at = now + FILE_CHECK_EVERY;
            going_on(parts.store.check_file().await)?;
        }
        if now >= round_at {
            round_at = now + ROUND_EVERY;
            going_on(round(&parts, &mut upkept).await)?;
        }
        if now >= walk_at {
            let now_ms = parts.clock.stamp().wall_ms;
            match going_on(parts.store.inspect(&mut inspection, STEP_ROWS, now_ms).await)? {
                Some(false) => {}
                Some(true) | None => walk_at = now + WALK_EVERY,
            }
            upkept.walks = inspection.walks();
            sleep(STEP_PAUSE).await;
        } else {
            let next = figures_at.min(file_check_at).min(round_at).min(walk_at);
            tokio::time::sleep_until(next).await;
        }
    }
}

/// What may pass by itself (a full disk, a lock) is tried again in the next round.
fn going_on<T>(done: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error @ (StoreError::Closed | StoreError::Fatal { .. })) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "a step of the store's upkeep was put off");
            Ok(None)
        }
    }
}

/// Whether deletion went on at the last look.
fn goes_on(upkept: &Upkept) -> bool {
    upkept.retention.is_some_and(|retention| matches!(retention.deletion, Deletion::GoesOn { .. }))
}

async fn look(parts: &UpkeepParts, upkept: &mut Upkept) -> Result<(), StoreError> {
    let retention = parts.operator.retention().look().await?;
    tell_changes(upkept.retention.as_ref(), &retention);
    upkept.retention = Some(retention);
    let figures = parts.store.figures().await?;
    upkept.oldest_waiting = upkept.oldest.age(figures.outbox.oldest_created_ms, parts.clock.now(), retention.deletion);
    (upkept.figures, upkept.counted) = (figures, true);
    upkept.large = figures.database_bytes + figures.log_bytes > parts.limits.attention_bytes;
    upkept.disk_low = figures.free_bytes.is_some_and(|free| free < parts.limits.attention_free_bytes);
    parts.told.send_replace(*upkept);
    Ok(())
}

/// Says aloud that deletion waits, goes on again, or has waited for too long: that one each day.
fn tell_changes(before: Option<&RetentionStatus>, now: &RetentionStatus) {
    let words = now.words().en;
    let kind = |status: &RetentionStatus| std::mem::discriminant(&status.deletion);
    let days = |status: &RetentionStatus| status.waited.as_secs() / (24 * 60 * 60);
    if now.alarms && before.is_none_or(|before| !before.alarms || days(before) != days(now)) {
        tracing::error!(words, days = days(now), "deletion of what is old has waited for two weeks or longer");
    } else if before.is_none_or(|before| kind(before) != kind(now)) {
        match now.deletion {
            Deletion::Waits(_) => tracing::warn!(words, "deletion of what is old waits"),
            Deletion::GoesOn { .. } => tracing::info!(words, "deletion of what is old goes on"),
        }
    }
}

/// Sets aside, forgets, gives room back. What a wait left over is done in the round after it.
async fn round(parts: &UpkeepParts, upkept: &mut Upkept) -> Result<(), StoreError> {
    let set_aside = set_aside(parts).await;
    let mut gone = Gone::default();
    let forgotten = forget(parts, &mut gone).await;
    upkept.forgotten += gone.receptions;
    gone.tell(&parts.limits);
    set_aside.and(forgotten)?;
    parts.store.shrink(STEP_PAGES).await
}

/// What one round has deleted. It is told however the round ends: nothing is deleted without a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Gone {
    receptions: u64,
    notes: u64,
    settled: u64,
    /// The clock of the last step that deleted something, and who vouched for it.
    by: Option<(i64, VouchedBy)>,
}

impl Gone {
    fn tell(&self, limits: &Limits) {
        let Self { receptions, notes, settled, by: Some((now_ms, by)) } = *self else { return };
        let until = |kept| Date::of_stamp_jst(Horizon::of(now_ms, kept).before_ms).to_string();
        tracing::info!(
            receptions,
            trail_and_face_counts = notes,
            until = until(limits.receptions_kept),
            settled_ids = settled,
            settled_until = until(SETTLED_KEPT),
            clock = match by {
                VouchedBy::CentralSystem => "agrees with the central system",
                VouchedBy::Person => "date confirmed by a person",
            },
            "what was older than its limit is deleted"
        );
    }
}

/// Deletes in steps what is older than its limit, and counts each step as soon as it is done. The clock is asked anew before each step: it
/// may go wrong between two.
async fn forget(parts: &UpkeepParts, gone: &mut Gone) -> Result<(), StoreError> {
    let UpkeepParts { store, limits, .. } = parts;
    let mut mark = Some(0);
    while let (Some(from), Some((now_ms, by))) = (mark, believed(parts).await?) {
        let horizon = Horizon::of(now_ms, limits.receptions_kept);
        let (went, next) = store.forget_receptions(from, horizon, STEP_ROWS).await?;
        if went > 0 {
            (gone.receptions, gone.by) = (gone.receptions + went, Some((now_ms, by)));
        }
        mark = next;
        sleep(STEP_PAUSE).await;
    }
    while let Some((now_ms, by)) = believed(parts).await? {
        let before_ms = Horizon::of(now_ms, limits.receptions_kept).before_ms;
        let notes = store.forget_notes(before_ms, STEP_ROWS).await?;
        if notes > 0 {
            (gone.notes, gone.by) = (gone.notes + notes, Some((now_ms, by)));
        }
        let settled = store.forget_settled(Horizon::of(now_ms, SETTLED_KEPT).before_ms, STEP_ROWS).await?;
        if settled > 0 {
            (gone.settled, gone.by) = (gone.settled + settled, Some((now_ms, by)));
        }
        if notes + settled == 0 {
            break;
        }
        sleep(STEP_PAUSE).await;
    }
    Ok(())
}

/// The present by which something may be deleted or set aside for its age, and who vouches for it; `None` while nobody does.
async fn believed(parts: &UpkeepParts) -> Result<Option<(i64, VouchedBy)>, StoreError> {
    Ok(match parts.operator.retention().look().await?.deletion {
        Deletion::GoesOn { now_ms, by } => Some((now_ms, by)),
        Deletion::Waits(_) => None,
    })
}

async fn set_aside(parts: &UpkeepParts) -> Result<(), StoreError> {
    let UpkeepParts { store, limits, .. } = parts;
    let Some((now_ms, _)) = believed(parts).await? else { return Ok(()) };
    let now = Stamp { wall_ms: now_ms, ..parts.clock.stamp() };
    let failing_ms = Horizon::of(now_ms, limits.set_aside_after).before_ms;
    for seq in store.failing_since(failing_ms, tries_in(limits.set_aside_after), STEP_ROWS).await? {
        match store.set_aside(seq, FAILED_TOO_LONG, now).await {
            Ok(()) => tracing::error!(
                seq,
                hours = limits.set_aside_after.as_secs() / 3600,
                "a request failed for too long and is set aside; see `uketsuke queue show`"
            ),
            // Settled meanwhile, or altered: others see to that.
            Err(StoreError::Conflict { .. } | StoreError::Unknown { .. } | StoreError::Tampered { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
