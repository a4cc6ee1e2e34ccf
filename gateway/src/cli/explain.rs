//! `uketsuke explain`

use super::out::say;
use super::store::{Error, open_store};
use super::{Common, Lang, block_on, fail};
use crate::clock::Clock;
use crate::exit;
use crate::telling;
use clap::Args;
use std::path::PathBuf;
use uketsuke_core::explain::Explanation;
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::record::ReceptionRecord;

#[derive(Args)]
pub(super) struct Explain {
    /// The reception's id, as on the staff page and in the log; without it the latest receptions are listed
    reception: Option<ReceptionId>,
    /// Language of the explanation
    #[arg(long, value_enum, default_value = "ja")]
    lang: Lang,
    /// Receptions to list
    #[arg(long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    common: Common,
}

impl Explain {
    pub(super) fn execute(self) -> u8 {
        let json = self.common.json;
        // Only what the wall clock and this boot say counts here; the marker of the running gateway is its own affair.
        let now = Clock::new(PathBuf::new()).now();
        let found = block_on(async {
            let store = open_store(&self.common.config).await?;
            let records = match self.reception {
                Some(id) => store.reception(id).await.map_err(Error::Store)?.into_iter().collect(),
                None => store.receptions(self.limit).await.map_err(Error::Store)?,
            };
            let mut found = Vec::with_capacity(records.len());
            for record in records {
                let case = store.case(record.reception).await.map_err(Error::Store)?;
                let told = telling::reception(&store, &record, case.as_ref(), now, self.lang.into()).await;
                found.push((record, told));
            }
            Ok::<_, Error>(found)
        });
        let records: Vec<(ReceptionRecord, Explanation)> = match found {
            Ok(Ok(records)) => records,
            Ok(Err(error)) => return fail(json, error.exit_code(), &error),
            Err(error) => return fail(json, exit::GAVE_UP, &error),
        };
        if let (Some(id), []) = (self.reception, &records[..]) {
            let unknown = format!("no reception {id} is known here; `uketsuke explain` lists the latest ones");
            return fail(json, exit::FAILED, &unknown);
        }
        for (record, told) in records {
            if json {
                print_json(&record, &told);
            } else if self.reception.is_some() {
                print_one(&record, told, self.lang);
            } else {
                say!("{}  {}  {}", record.reception, record.reader, told.advice.what);
            }
        }
        exit::OK
    }
}

fn print_json(record: &ReceptionRecord, explanation: &Explanation) {
    let reception = record.reception.to_string();
    say!("{}", serde_json::json!({ "reception": reception, "reader": record.reader, "explanation": explanation }));
}

fn print_one(record: &ReceptionRecord, told: Explanation, lang: Lang) {
    let (next, owner, deadline, dots) = match lang {
        Lang::Ja => (
            "次にすること",
            "担当",
            "期限",
            "氏名か住所に表せない文字(●)があります。院内の表記はそのまま使ってください。",
        ),
        Lang::En => (
            "Next",
            "Owner",
            "Deadline",
            "A name or address has a character that could not be expressed (●): keep your own spelling.",
        ),
    };
    say!("{}  {}", record.reception, record.reader);
    say!("{}", told.advice.what);
    say!("{next}: {}", told.advice.next);
    if let Some(case) = &told.case {
        say!("{owner}: {}  {deadline}: {}", case.owner_words, case.deadline_words);
    }
    if told.unmapped_characters {
        say!("{dots}");
    }
    for line in told.story {
        say!("  {line}");
    }
}
