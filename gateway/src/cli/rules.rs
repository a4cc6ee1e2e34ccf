//! `uketsuke rules`: the rules of a day, and what they would make of receptions that have been.

use super::out::say;
use super::store::{Error, open_store};
use super::{Common, Lang, block_on, fail};
use crate::clock::Clock;
use crate::config::ClockSource;
use crate::exit;
use crate::store::{Store, StoreError};
use clap::Args;
use serde_json::json;
use uketsuke_core::date::Date;
use uketsuke_core::explain;
use uketsuke_core::record::ReceptionRecord;
use uketsuke_core::rules::dry_run::{Difference, DryRun};
use uketsuke_core::rules::{self, Change, Rule, RuleSet, Today};

#[derive(Args)]
pub(super) struct Rules {
    /// The day to ask for, as YYYY-MM-DD or YYYYMMDD; today in Japan by this machine's clock when left out
    #[arg(long, value_name = "DATE")]
    on: Option<Date>,
    /// Tell which stored receptions would be decided otherwise if they happened on that day; writes nothing and decides nothing
    #[arg(long = "try", requires = "on")]
    try_on_receptions: bool,
    /// With --try: only receptions of this day in Japan and later, as YYYY-MM-DD or YYYYMMDD
    #[arg(long, value_name = "DATE", requires = "try_on_receptions")]
    since: Option<Date>,
    /// With --try: receptions to look at, the latest first
    #[arg(long, default_value_t = 1000, requires = "try_on_receptions")]
    limit: usize,
    /// Language of the text
    #[arg(long, value_enum, default_value = "ja")]
    lang: Lang,
    #[command(flatten)]
    common: Common,
}

impl Rules {
    pub(super) fn execute(self) -> u8 {
        match self.on {
            Some(date) if self.try_on_receptions => self.try_on(date),
            _ => self.tell(),
        }
    }

    fn try_on(&self, date: Date) -> u8 {
        let json = self.common.json;
        let found = block_on(async {
            let store = open_store(&self.common.config).await?;
            trial(&store, date, self.since, self.limit).await.map_err(Error::Store)
        });
        let (run, full) = match found {
            Ok(Ok(tried)) => tried,
            Ok(Err(error)) => return fail(json, error.exit_code(), &error),
            Err(error) => return fail(json, exit::GAVE_UP, &error),
        };
        if json {
            print_trial_json(date, &run, full);
        } else {
            print_trial(date, &run, full, self.lang);
        }
        exit::OK
    }

    fn tell(&self) -> u8 {
        let today = match self.on {
            // Somebody who names the day vouches for it.
            Some(date) => Today { date, trusted: true },
            None => Today::of(Clock::new(ClockSource::default().synchronised_marker).stamp()),
        };
        let rules = rules::Rules::on(today);
        let next = rules::Rules::next_change(today.date);
        if self.common.json {
            print_json(&rules, next.as_ref());
        } else {
            print_text(&rules, next.as_ref(), self.lang);
        }
        exit::OK
    }
}

/// Tries the rules of a day on the latest receptions, and says whether `limit` may have left some out that are wanted.
async fn trial(store: &Store, date: Date, since: Option<Date>, limit: usize) -> Result<(DryRun, bool), StoreError> {
    let records = store.receptions(limit).await?;
    let wanted = |record: &&ReceptionRecord| since.is_none_or(|since| since.begins_ms_jst() <= record.opened.wall_ms);
    // Records come latest first: a full list whose last is still wanted may have left some out.
    let full = records.len() == limit && records.last().as_ref().is_some_and(wanted);
    Ok((DryRun::of(date, records.iter().filter(wanted)), full))
}

fn print_json(rules: &RuleSet, next: Option<&Change>) {
    let ids = |rules: &[&Rule]| rules.iter().map(|rule| rule.id).collect::<Vec<_>>();
    let next =
        next.map(|change| json!({ "date": change.date, "begins": ids(&change.begins), "ends": ids(&change.ends) }));
    let document = json!({
        "on": rules.today().date,
        "clock_doubtful": !rules.today().trusted,
        "version": rules.version(),
        "rules": rules.in_force().collect::<Vec<_>>(),
        "next_change": next,
    });
    say!("{document}");
}

fn print_text(rules: &RuleSet, next: Option<&Change>, lang: Lang) {
    let words = Text::of(lang);
    say!("{} {}  ({} {})", words.rules_of, rules.today().date, words.version, rules.version());
    if !rules.today().trusted {
        say!("{}", words.doubtful);
    }
    say!();
    for rule in rules.in_force() {
        say!("{}", line(rule, lang));
        say!("    {}", rule.meaning.pick(lang.into()));
    }
    say!();
    let Some(change) = next else {
        say!("{}", words.no_change);
        return;
    };
    say!("{} {}", words.next_change, change.date);
    for (word, rules) in [(words.ends, &change.ends), (words.begins, &change.begins)] {
        for rule in rules {
            say!("  {word}  {}", line(rule, lang));
        }
    }
}

fn print_trial_json(date: Date, run: &DryRun, full: bool) {
    let difference = |found: &Difference| {
        json!({
            "reception": found.reception,
            "reader": found.reader,
            "opened_ms": found.opened.wall_ms,
            "clock_doubtful": !found.opened.synchronised,
            "shown": found.shown,
            "was": found.was,
            "would_be": found.would_be,
            "rule": found.rule.id,
            "next": found.next,
        })
    };
    let document = json!({
        "on": date,
        "version": rules::Rules::on(Today { date, trusted: true }).version(),
        "differences": run.differences.iter().map(difference).collect::<Vec<_>>(),
        "same": run.same,
        "not_judged": run.not_judged,
        "limit_reached": full,
    });
    say!("{document}");
}

fn print_trial(date: Date, run: &DryRun, full: bool, lang: Lang) {
    let words = Text::of(lang);
    say!("{} {date}: {}", words.rules_of, run.summary(lang.into()));
    if full {
        say!("{}", words.limit_reached);
    }
    for found in &run.differences {
        let opened = explain::moment(found.opened.wall_ms);
        say!();
        say!("{}  {}  {opened}", found.reception, found.reader);
        say!("  {}  ({})", found.sentence(lang.into()), found.rule.id);
        say!("  {} {}", words.next_step, found.next.pick(lang.into()));
    }
}

/// Name, first and last day, title. The columns before the title are ASCII, so that they stand in line whatever the font.
fn line(rule: &Rule, lang: Lang) -> String {
    let day = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
    let (from, until) = (day(rule.from), day(rule.until));
    format!("{:<39}  {from:>10} ~ {until:<10}  {}", rule.id, rule.title.pick(lang.into()))
}

/// The words around the table.
struct Text {
    rules_of: &'static str,
    version: &'static str,
    doubtful: &'static str,
    next_change: &'static str,
    begins: &'static str,
    ends: &'static str,
    no_change: &'static str,
    limit_reached: &'static str,
    next_step: &'static str,
}

impl Text {
    fn of(lang: Lang) -> Self {
        match lang {
            Lang::Ja => Self {
                rules_of: "受付のきまり",
                version: "版",
                doubtful: "この機器の時計は同期していません。日付が正しいか確かめてください。",
                next_change: "次に変わる日:",
                begins: "始まる",
                ends: "終わる",
                no_change: "この先の変更は、まだ知られていません。",
                limit_reached: "これより前の受付は見ていません。--limit で増やせます。",
                next_step: "次にすること:",
            },
            Lang::En => Self {
                rules_of: "Rules on",
                version: "version",
                doubtful: "The clock of this machine is not synchronised: check that the day is right.",
                next_change: "Next change:",
                begins: "begins",
                ends: "ends  ",
                no_change: "No change after this day is known.",
                limit_reached: "Earlier receptions were not looked at: --limit takes more.",
                next_step: "Next:",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Opening, Proof, Request, RequestKind};
    use uketsuke_core::clock::{Mono, Now, Stamp};
    use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
    use uketsuke_core::record::{Basis, Evidence, Method, Verification};
    use uketsuke_core::rules::dry_run::Decision;
    use uketsuke_core::rules::{Document, DocumentKind};
    use uuid::Uuid;

    fn day(text: &str) -> Date {
        Date::parse(text).unwrap()
    }

    /// An earlier card without a date, shown as the day began.
    fn opening(number: u8, on: &str) -> Opening {
        let opened = Stamp { wall_ms: day(on).begins_ms_jst(), synchronised: true };
        let document = Document { kind: DocumentKind::EarlierCard, valid_until: None };
        Opening {
            reception: ReceptionId(Uuid::from_u128(number.into())),
            reader: "front-desk".into(),
            order_key: OrderKey([number; 32]),
            evidence: Evidence::new(Verification::by(Method::Document), Basis::Document { document }, opened),
            opened: Now { boot: u64::from(number), mono: Mono(0), stamp: opened },
            request: Request {
                id: RequestId(Uuid::from_u128(100 + u128::from(number))),
                kind: RequestKind::Eligibility,
                body: b"question".to_vec().into(),
                proof: Proof::Gateway,
            },
        }
    }

    #[tokio::test]
    async fn a_trial_looks_at_the_receptions_since_a_day_and_changes_none() {
        let store = Store::model();
        for (number, on) in [(1, "2025-12-01"), (2, "2026-03-30"), (3, "2026-03-31")] {
            store.open_reception(opening(number, on)).await.unwrap();
        }
        let before = (store.receptions(9).await.unwrap(), store.commits());
        for (since, limit, differ, full) in [
            (None, 9, 3, false),
            (None, 2, 2, true),
            (Some("2026-03-31"), 2, 1, false),
            (Some("2026-03-30"), 2, 2, true),
            (Some("2026-04-01"), 9, 0, false),
        ] {
            let (run, left_out) = trial(&store, day("2026-04-01"), since.map(day), limit).await.unwrap();
            assert_eq!((run.differences.len(), run.same, left_out), (differ, 0, full), "{since:?} {limit}");
            assert!(run.differences.iter().all(|found| found.would_be == Decision::NotAccepted));
        }
        assert_eq!((store.receptions(9).await.unwrap(), store.commits()), before);
    }
}
