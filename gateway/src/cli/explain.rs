//! `uketsuke explain`

use super::store::{Error, open_store};
use super::{Common, Lang, block_on, fail};
use crate::exit;
use clap::Args;
use uketsuke_core::explain;
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
        let found = block_on(async {
            let store = open_store(&self.common.config).await?;
            match self.reception {
                Some(id) => store.reception(id).await.map(|found| found.into_iter().collect()).map_err(Error::Store),
                None => store.receptions(self.limit).await.map_err(Error::Store),
            }
        });
        let records: Vec<ReceptionRecord> = match found {
            Ok(Ok(records)) => records,
            Ok(Err(error)) => return fail(json, error.exit_code(), &error),
            Err(error) => return fail(json, exit::GAVE_UP, &error),
        };
        if let (Some(id), []) = (self.reception, &records[..]) {
            let unknown = format!("no reception {id} is known here; `uketsuke explain` lists the latest ones");
            return fail(json, exit::FAILED, &unknown);
        }
        for record in &records {
            if json {
                print_json(record, self.lang);
            } else if self.reception.is_some() {
                print_one(record, self.lang);
            } else {
                let told = explain::reception(record, self.lang.into());
                println!("{}  {}  {}", record.reception, record.reader, told.advice.what);
            }
        }
        exit::OK
    }
}

fn print_json(record: &ReceptionRecord, lang: Lang) {
    let explanation = explain::reception(record, lang.into());
    let reception = record.reception.to_string();
    println!("{}", serde_json::json!({ "reception": reception, "reader": record.reader, "explanation": explanation }));
}

fn print_one(record: &ReceptionRecord, lang: Lang) {
    let told = explain::reception(record, lang.into());
    let (next, dots) = match lang {
        Lang::Ja => ("次にすること", "氏名か住所に表せない文字(●)があります。院内の表記はそのまま使ってください。"),
        Lang::En => {
            ("Next", "A name or address has a character that could not be expressed (●): keep your own spelling.")
        }
    };
    println!("{}  {}", record.reception, record.reader);
    println!("{}", told.advice.what);
    println!("{next}: {}", told.advice.next);
    if told.unmapped_characters {
        println!("{dots}");
    }
    for line in told.story {
        println!("  {line}");
    }
}
