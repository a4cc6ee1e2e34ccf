//! `uketsuke cases`: the cases that are open; how one came to be, and how it ended, `uketsuke explain` tells.

use super::out::say;
use super::store::{Error, open_store};
use super::{Common, Lang, block_on, fail};
use crate::clock::Clock;
use crate::exit;
use clap::Args;
use std::path::PathBuf;
use uketsuke_core::explain::{self, CaseExplanation};
use uketsuke_core::ids::ReceptionId;

#[derive(Args)]
pub(super) struct Cases {
    /// Also those that ended in the last days, at most so many
    #[arg(long, default_value_t = 0)]
    ended_days: u32,
    /// Cases to list
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Language of the list
    #[arg(long, value_enum, default_value = "ja")]
    lang: Lang,
    #[command(flatten)]
    common: Common,
}

impl Cases {
    pub(super) fn execute(self) -> u8 {
        let json = self.common.json;
        let now = Clock::new(PathBuf::new()).now();
        let since_ms = now.stamp.wall_ms.saturating_sub(i64::from(self.ended_days) * 24 * 60 * 60 * 1000);
        let found = block_on(async {
            let store = open_store(&self.common.config).await?;
            let mut rows = store.open_cases(self.limit).await?;
            if self.ended_days > 0 {
                rows.extend(store.ended_cases_since(since_ms, self.limit).await?);
            }
            Ok::<_, Error>(rows)
        });
        let rows = match found {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => return fail(json, error.exit_code(), &error),
            Err(error) => return fail(json, exit::GAVE_UP, &error),
        };
        if rows.is_empty() && !json {
            say!(
                "{}",
                match self.lang {
                    Lang::Ja => "確認の途中の受付はありません。",
                    Lang::En => "No reception waits to be settled.",
                }
            );
        }
        for row in &rows {
            let told = explain::case(&row.case, now, self.lang.into());
            if json {
                say!("{}", serde_json::json!({ "reception": row.reception, "opened_ms": row.opened_ms, "case": told }));
            } else {
                print(row.reception, &told);
            }
        }
        exit::OK
    }
}

fn print(reception: ReceptionId, told: &CaseExplanation) {
    say!("{reception}  {}  {}  {}", told.owner_words, told.deadline_words, told.advice.what);
    say!("  {}", told.advice.next);
}
