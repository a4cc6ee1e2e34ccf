//! `uketsuke clock`

use super::store::{Error, order};
use super::{Common, ended};
use crate::central::moment;
use crate::operator::{Order, Told};
use crate::retention::RetentionStatus;
use clap::{Args, Subcommand};
use uketsuke_core::date::Date;

#[derive(Args)]
pub(super) struct ClockCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show the clock, the central system's clock, and whether what is older than its limit is deleted
    Show {
        #[command(flatten)]
        common: Common,
    },
    /// Confirm today's date in Japan, so that what is older than its limit is deleted although the central system has not confirmed the
    /// clock; it holds until the clock jumps or the machine starts anew, and is refused when the clock says another date
    Confirm {
        /// Today, by a calendar and not by this machine
        #[arg(value_name = "YYYY-MM-DD")]
        date: Date,
        #[command(flatten)]
        common: Common,
    },
}

impl ClockCommand {
    pub(super) fn execute(self) -> u8 {
        match self.action {
            Action::Show { common } => {
                ended(common.json, async { shown(order(&common.config, Order::ShowClock).await?) }, text)
            }
            Action::Confirm { date, common } => {
                ended(common.json, async { order(&common.config, Order::ConfirmDate { date }).await }, |_| {
                    format!(
                        "The date {date} is confirmed: what is older than its limit is deleted within ten minutes of the gateway's work."
                    )
                })
            }
        }
    }
}

fn shown(told: Told) -> Result<RetentionStatus, Error> {
    match told {
        Told::Clock(status) => Ok(status),
        _ => Err(Error::Refused("the gateway did not tell its clock; is it of another version?".into())),
    }
}

fn text(status: &RetentionStatus) -> String {
    format!(
        "this machine  {}\ncentral       {}\ndeletion      {}",
        moment(status.wall_ms),
        status.central_ms.map_or("not heard since the start of the gateway".into(), moment),
        status.words().en
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use uketsuke_core::retention::{Deletion, Doubt};

    #[test]
    fn the_date_that_is_shown_is_the_one_that_can_be_confirmed() {
        // 08:30 in Japan, when it is still the day before by UTC; and clocks beyond the calendar.
        for (wall_ms, said) in [(1_780_270_200_000, "2026-06-01 08:30:00 JST"), (i64::MAX, "JST"), (i64::MIN, "JST")] {
            let status = RetentionStatus {
                deletion: Deletion::Waits(Doubt::NotHeard),
                wall_ms,
                central_ms: Some(wall_ms),
                waited: Duration::ZERO,
                alarms: false,
            };
            let text = text(&status);
            assert_eq!(text.matches(said).count(), 2, "{text}");
            let date = Date::of_stamp_jst(wall_ms).to_string();
            assert!(!said.starts_with("2026") || text.contains(&date), "{text} {date}");
        }
    }
}
