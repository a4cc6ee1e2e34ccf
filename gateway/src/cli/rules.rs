//! `uketsuke rules`

use super::Lang;
use crate::clock::Clock;
use crate::config::ClockSource;
use crate::exit;
use clap::Args;
use serde_json::json;
use uketsuke_core::date::Date;
use uketsuke_core::rules::{self, Change, Rule, RuleSet, Today};

#[derive(Args)]
pub(super) struct Rules {
    /// The day to ask for, as YYYY-MM-DD or YYYYMMDD; today in Japan by this machine's clock when left out
    #[arg(long, value_name = "DATE")]
    on: Option<Date>,
    /// Language of the text
    #[arg(long, value_enum, default_value = "ja")]
    lang: Lang,
    /// Print JSON for programs, in both languages, instead of text for people
    #[arg(long)]
    json: bool,
}

impl Rules {
    pub(super) fn execute(self) -> u8 {
        let today = match self.on {
            // Somebody who names the day vouches for it.
            Some(date) => Today { date, trusted: true },
            None => Today::of(Clock::new(ClockSource::default().synchronised_marker).stamp()),
        };
        let rules = rules::Rules::on(today);
        let next = rules::Rules::next_change(today.date);
        if self.json {
            print_json(&rules, next.as_ref());
        } else {
            print_text(&rules, next.as_ref(), self.lang);
        }
        exit::OK
    }
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
    println!("{document}");
}

fn print_text(rules: &RuleSet, next: Option<&Change>, lang: Lang) {
    let words = Text::of(lang);
    println!("{} {}  ({} {})", words.rules_of, rules.today().date, words.version, rules.version());
    if !rules.today().trusted {
        println!("{}", words.doubtful);
    }
    println!();
    for rule in rules.in_force() {
        println!("{}", line(rule, lang));
        println!("    {}", rule.meaning.pick(lang.into()));
    }
    println!();
    let Some(change) = next else {
        println!("{}", words.no_change);
        return;
    };
    println!("{} {}", words.next_change, change.date);
    for (word, rules) in [(words.ends, &change.ends), (words.begins, &change.begins)] {
        for rule in rules {
            println!("  {word}  {}", line(rule, lang));
        }
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
            },
            Lang::En => Self {
                rules_of: "Rules on",
                version: "version",
                doubtful: "The clock of this machine is not synchronised: check that the day is right.",
                next_change: "Next change:",
                begins: "begins",
                ends: "ends  ",
                no_change: "No change after this day is known.",
            },
        }
    }
}
