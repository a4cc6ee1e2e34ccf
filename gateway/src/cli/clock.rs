//! `uketsuke clock`

use super::store::{Error, order};
use super::{Common, ended};
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
    let time = |ms: i64| {
        let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok();
        at.and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok())
            .unwrap_or_else(|| ms.to_string())
    };
    format!(
        "this machine  {}\ncentral       {}\ndeletion      {}",
        time(status.wall_ms),
        status.central_ms.map_or("not heard since the start of the gateway".into(), time),
        status.words()
    )
}
