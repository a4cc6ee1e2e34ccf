//! Whether anything may be deleted for its age now: asks the clocks, keeps over restarts what a person said and how long it waits.
//!
//! The decision is [`uketsuke_core::retention`]'s.

use crate::central::Said;
use crate::clock::Clock;
use crate::store::{Keeping, KeptName, Store, StoreError, TrailEntry};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use uketsuke_core::clock::Now;
use uketsuke_core::date::Date;
use uketsuke_core::retention::{Confirmation, Deletion, Doubt, VouchedBy, Waiting, decide};
use zeroize::Zeroizing;

/// A wait that goes on is kept when it has grown by this much.
const KEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Kept {
    confirmed: Option<Confirmation>,
    waiting: Option<Waiting>,
}

/// How it stands, for pages, commands and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionStatus {
    /// Whether deletion goes on.
    pub deletion: Deletion,
    /// The wall clock, milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// The central system's clock, if this process has heard it.
    pub central_ms: Option<i64>,
    /// How long deletion has waited; 0 when it goes on.
    pub waited: Duration,
    /// It has waited for so long that people are alarmed.
    pub alarms: bool,
}

/// What became of a person's word.
#[derive(Debug, thiserror::Error)]
pub enum NotConfirmed {
    /// The clock says another date than the person.
    #[error(
        "the clock of this machine says {shown}, not {given}, so nothing is confirmed and nothing is deleted; set the clock, then confirm the date"
    )]
    OtherDate {
        /// By the clock.
        shown: Date,
        /// By the person.
        given: Date,
    },
    /// It could not be written down.
    #[error("the date could not be confirmed: {0}")]
    Store(#[from] StoreError),
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Retention {
    store: Store,
    clock: Clock,
    /// As it is on disk; `None` until it is first asked for.
    kept: Arc<Mutex<Option<Kept>>>,
}

impl Retention {
    /// For a store that is open for writing.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, kept: Arc::default() }
    }

    /// How it stands now. Keeps over a restart what is worth it.
    ///
    /// # Errors
    /// The store's, when it is closed, has failed or cannot be read; nothing may be deleted then.
    pub async fn look(&self) -> Result<RetentionStatus, StoreError> {
        let mut guard = self.kept.lock().await;
        let kept = self.loaded(&mut guard).await?;
        let (now, central) = (self.clock.now(), self.clock.central());
        let deletion = decide(now, central, kept.confirmed);
        let waiting = match deletion {
            Deletion::GoesOn { .. } => None,
            Deletion::Waits(_) => Some(continued(kept.waiting, now)),
        };
        if worth_keeping(kept.waiting, waiting) {
            match self.keep(Kept { waiting, ..kept }, Vec::new()).await {
                Ok(kept) => *guard = Some(kept),
                Err(error @ (StoreError::Closed | StoreError::Fatal { .. })) => return Err(error),
                // On a full disk what is old must be able to go.
                Err(error) => tracing::warn!(%error, "how long deletion waits could not be kept; it is tried again"),
            }
        }
        Ok(RetentionStatus {
            deletion,
            wall_ms: now.stamp.wall_ms,
            central_ms: central.map(|central| central.at(now.mono)),
            waited: waiting.map(|waiting| waiting.waited()).unwrap_or_default(),
            alarms: waiting.is_some_and(|waiting| waiting.alarms()),
        })
    }

    /// A person says which date it is in Japan. It counts when the clock says the same.
    ///
    /// # Errors
    /// [`NotConfirmed`]; nothing has changed then.
    pub async fn confirm(&self, given: Date) -> Result<(), NotConfirmed> {
        let mut guard = self.kept.lock().await;
        let kept = self.loaded(&mut guard).await?;
        let now = self.clock.now();
        let shown = Date::of_stamp_jst(now.stamp.wall_ms);
        if shown != given {
            return Err(NotConfirmed::OtherDate { shown, given });
        }
        let line = TrailEntry {
            id: uuid::Uuid::now_v7(),
            at: now.stamp,
            by: String::new(),
            what: DATE_CONFIRMED.into(),
            detail: given.to_string(),
            rules: None,
        };
        *guard = Some(self.keep(Kept { confirmed: Some(Confirmation::of(now)), ..kept }, vec![line]).await?);
        tracing::warn!(date = %given, "an administrator has confirmed the date of the clock");
        Ok(())
    }

    async fn loaded(&self, guard: &mut Option<Kept>) -> Result<Kept, StoreError> {
        if let Some(kept) = *guard {
            return Ok(kept);
        }
        let kept = match self.store.kept(KeptName::Retention).await {
            Ok(value) => value.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default(),
            // Nobody has vouched for anything then: the careful side.
            Err(StoreError::Tampered { .. }) => Kept::default(),
            Err(error) => return Err(error),
        };
        *guard = Some(kept);
        Ok(kept)
    }

    async fn keep(&self, kept: Kept, trail: Vec<TrailEntry>) -> Result<Kept, StoreError> {
        // Numbers only: writing them cannot fail, and an empty value would count as nothing kept.
        let value = Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        self.store.keep(Keeping { name: KeptName::Retention, value, trail }).await?;
        Ok(kept)
    }
}

/// What the trail calls the confirmation of a date.
pub const DATE_CONFIRMED: &str = "date_confirmed";

fn continued(kept: Option<Waiting>, now: Now) -> Waiting {
    let mut waiting = kept.unwrap_or_else(|| Waiting::begin(now));
    waiting.observe(now);
    waiting
}

/// A wait that began, ended, went over the alarm or has grown. Its growth within a boot counts from what was kept, so none is lost.
fn worth_keeping(kept: Option<Waiting>, waiting: Option<Waiting>) -> bool {
    match (kept, waiting) {
        (None, None) => false,
        (Some(kept), Some(waiting)) => {
            kept.boot() != waiting.boot() || waiting.waited().saturating_sub(kept.waited()) >= KEEP_EVERY
        }
        (None, Some(_)) | (Some(_), None) => true,
    }
}

impl RetentionStatus {
    /// In words: what waits, why, for how long, and what to do; or by which clock it goes on.
    pub fn words(&self) -> Said {
        let doubt = match self.deletion {
            Deletion::GoesOn { by: VouchedBy::CentralSystem, .. } => {
                return Said::new(
                    "時計は資格確認システムと合っています。保存期限を過ぎたものは削除されます",
                    "the clock agrees with the central system; what is older than its limit is deleted",
                );
            }
            Deletion::GoesOn { by: VouchedBy::Person, .. } => {
                return Said::new(
                    "日付は職員が確かめました。保存期限を過ぎたものは削除されます",
                    "the date was confirmed by a person; what is older than its limit is deleted",
                );
            }
            Deletion::Waits(Doubt::NotHeard) => Said::new(
                "このコンピューターの時計を、資格確認システムでまだ確かめていません",
                "the central system has not yet confirmed the clock of this machine",
            ),
            Deletion::Waits(Doubt::Disagrees { ahead_ms }) => {
                let (side_ja, side) = if ahead_ms < 0 { ("遅れて", "behind") } else { ("進んで", "ahead of") };
                let span = span(ahead_ms);
                Said::new(
                    format!(
                        "このコンピューターの時計は、資格確認システムより{}{side_ja}います。時計を合わせてください",
                        span.ja
                    ),
                    format!("the clock of this machine is {} {side} the central system's: set the clock", span.en),
                )
            }
        };
        let days = self.waited.as_secs() / (24 * 60 * 60);
        let confirm = Said::new(
            "日付が正しければ `uketsuke clock confirm YYYY-MM-DD` で確認済みにできます",
            "if the date is right, confirm it with `uketsuke clock confirm YYYY-MM-DD`",
        );
        if self.alarms {
            return Said::new(
                format!(
                    "【至急】{days}日前から期限による削除ができず、保存期限を過ぎた個人情報が残っています。{}。本日中に対応してください。{}",
                    doubt.ja, confirm.ja
                ),
                format!(
                    "ALARM: nothing has been deleted for its age for {days} days, so personal data are kept beyond their limit, because {}; \
                     see to it today; {}",
                    doubt.en, confirm.en
                ),
            );
        }
        let (since_ja, since) = match days {
            0 => (String::new(), String::new()),
            days => (format!("{days}日前から"), format!(" for {days} days")),
        };
        Said::new(
            format!("{since_ja}期限による削除を止めています。{}。{}", doubt.ja, confirm.ja),
            format!("nothing is deleted for its age{since}, because {}; {}", doubt.en, confirm.en),
        )
    }
}

fn span(ms: i64) -> Said {
    let minutes = whole_minutes(ms);
    match minutes {
        0..120 => Said::new(format!("{minutes}分"), format!("{minutes} minutes")),
        120..2880 => Said::new(format!("{}時間", minutes / 60), format!("{} hours", minutes / 60)),
        _ => Said::new(format!("{}日", minutes / 1440), format!("{} days", minutes / 1440)),
    }
}

fn whole_minutes(ms: i64) -> u64 {
    ms.unsigned_abs().saturating_add(30_000) / 60_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today(clock: &Clock) -> Date {
        Date::of_stamp_jst(clock.stamp().wall_ms)
    }

    #[tokio::test]
    async fn a_date_that_a_person_confirmed_counts_in_the_next_process_of_the_same_boot() {
        let (store, clock) = (Store::model(), Clock::new("/nonexistent".into()));
        let retention = Retention::new(store.clone(), clock.clone());
        let waits = retention.look().await.unwrap();
        assert_eq!(waits.deletion, Deletion::Waits(Doubt::NotHeard));
        assert!(waits.words().en.contains("uketsuke clock confirm"), "{:?}", waits.words());
        retention.confirm(today(&clock)).await.unwrap();
        let later = Retention::new(store.clone(), clock).look().await.unwrap();
        assert!(matches!(later.deletion, Deletion::GoesOn { by: VouchedBy::Person, .. }), "{later:?}");
        let trail = store.trail(9).await.unwrap();
        assert_eq!(trail.iter().map(|line| line.what.as_str()).collect::<Vec<_>>(), [DATE_CONFIRMED]);
    }

    #[tokio::test]
    async fn a_person_who_says_another_date_than_the_clock_confirms_nothing() {
        let (store, clock) = (Store::model(), Clock::new("/nonexistent".into()));
        let retention = Retention::new(store, clock.clone());
        let refused = retention.confirm(today(&clock).plus_days(-401)).await.unwrap_err();
        assert!(refused.to_string().contains("set the clock"), "{refused}");
        assert_eq!(retention.look().await.unwrap().deletion, Deletion::Waits(Doubt::NotHeard));
    }

    #[tokio::test]
    async fn the_central_systems_clock_decides_and_a_difference_is_said_with_its_size() {
        let (store, clock) = (Store::model(), Clock::new("/nonexistent".into()));
        let retention = Retention::new(store, clock.clone());
        let day = 24 * 60 * 60 * 1000;
        for (ahead_ms, said) in
            [(401 * day, "401 days ahead of"), (-3653 * day, "3653 days behind"), (day, "24 hours ahead of")]
        {
            clock.hear_central(clock.stamp().wall_ms - ahead_ms);
            let status = retention.look().await.unwrap();
            assert!(matches!(status.deletion, Deletion::Waits(Doubt::Disagrees { .. })), "{status:?}");
            assert!(status.words().en.contains(said), "{:?}", status.words());
        }
        clock.hear_central(clock.stamp().wall_ms);
        let status = retention.look().await.unwrap();
        assert!(matches!(status.deletion, Deletion::GoesOn { by: VouchedBy::CentralSystem, .. }), "{status:?}");
        assert_eq!(status.waited, Duration::ZERO);
    }
}
