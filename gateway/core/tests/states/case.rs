//! A case of the ladder, explored in the same way: each kind of work, and what each event makes of it.

use super::Table;
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::time::Duration;
use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::clock::{CentralTime, Mono, Now, Stamp};
use uketsuke_core::ladder::{
    Answered, Basis, Case, Cause, CloseReason, Declaration, Effect, Event, Numbers, OnFile, PersonMatch, Rejected,
    Rules, StaffAction, Work,
};

/// So that a table of waiting shows the deadlines of the rungs, not that every case ends some day.
const LONG_LIFE: Duration = Duration::from_secs(100_000 * 24 * 60 * 60);

fn on_file() -> OnFile {
    let fields = [
        ("name", "a"),
        ("birthdate", "19800105"),
        ("sex", "1"),
        ("address", "b"),
        ("insurer_unknown", "yes"),
        ("cause", "other"),
        ("signed", "yes"),
    ];
    Declaration::parse(fields).unwrap().on_file()
}

/// One answer of each kind, with the name it has in the table.
fn answers() -> Vec<(&'static str, Answered)> {
    let (same, other) = (PersonMatch::SamePerson, PersonMatch::DifferentPerson);
    let answer = |verdict, results, person| Answered { verdict, results, person };
    let not_valid = |reason| answer(Verdict::Ineligible(reason), 0, same);
    let several = |person| answer(Verdict::Ineligible(Reason::SeveralInsurances), 2, person);
    vec![
        ("eligible", answer(Verdict::Eligible, 1, same)),
        ("eligible, another person", answer(Verdict::Eligible, 1, other)),
        ("eligible, nobody to compare with", answer(Verdict::Eligible, 1, PersonMatch::NothingToCompare)),
        ("several insurances", several(same)),
        ("several insurances, another person", several(other)),
        ("invalid", not_valid(Reason::InsuranceInvalid(None))),
        ("new insurance", not_valid(Reason::NewInsurance)),
        ("no insurance found", not_valid(Reason::NoInsuranceFound)),
        ("not registered", not_valid(Reason::CardNotRegistered)),
        ("revoked", not_valid(Reason::CertificateRevoked)),
        ("unknown code", not_valid(Reason::UnknownCode("9".into()))),
    ]
}

/// What can happen to a case. Answers are those to the present ask.
fn alphabet(case: &Case) -> Vec<(&'static str, Event)> {
    let ask = case.ask();
    let looked_at = match case.work() {
        Work::CheckPerson { ask } => ask,
        _ => ask,
    };
    let staff = |action| Event::Staff { turn: case.turn(), action };
    let checked = |same| staff(StaffAction::PersonChecked { ask: looked_at, same });
    let mut events: Vec<_> =
        answers().into_iter().map(|(name, answered)| (name, Event::Answer { ask, answered })).collect();
    events.extend([
        ("request refused", Event::Rejected { ask, rejected: rejected(None, false) }),
        ("refused, the clock was wrong", Event::Rejected { ask, rejected: rejected(another_time(), false) }),
        (
            "refused, the clock was wrong, asked by card",
            Event::Rejected { ask, rejected: rejected(another_time(), true) },
        ),
        ("staff: current numbers", staff(StaffAction::NumbersEntered(Numbers::Current))),
        ("staff: earlier numbers", staff(StaffAction::NumbersEntered(Numbers::Earlier))),
        ("staff: nothing to be had here", staff(StaffAction::NextRung)),
        ("staff: this insurance", staff(StaffAction::Chosen { index: 1 })),
        ("staff: same person", checked(true)),
        ("staff: another person", checked(false)),
        ("staff: declaration taken", staff(StaffAction::Declared(on_file()))),
        ("staff: seen and told", staff(StaffAction::Acknowledged)),
        ("staff: ineligible, by declaration", staff(StaffAction::EndIneligible { basis: Basis::Declaration })),
        ("staff: ineligible, explained", staff(StaffAction::EndIneligible { basis: Basis::PaymentRuleExplained })),
        ("staff: closed", staff(StaffAction::Close(CloseReason::Mistake))),
        ("deadline", Event::Tick),
    ]);
    events
}

fn rejected(central: Option<CentralTime>, by_card: bool) -> Rejected {
    let Now { stamp, .. } = at(Duration::ZERO);
    Rejected { at: stamp, opened: stamp, central, by_card }
}

/// A day away from what the wall clock said.
fn another_time() -> Option<CentralTime> {
    Some(CentralTime { said_ms: 24 * 60 * 60 * 1000, heard: Mono(0) })
}

#[derive(Clone)]
struct Spot {
    case: Case,
    age: Duration,
}

impl Spot {
    fn open(cause: Cause) -> Self {
        let rules = Rules { life: LONG_LIFE, asks_max: 4, ..Rules::default() };
        Self { case: Case::open(rules, at(Duration::ZERO), cause, &mut Vec::new()), age: Duration::ZERO }
    }

    /// Two spots with the same key are at the same work, and the next event means the same to both: everything but times, the turn,
    /// and asks that are past.
    fn key(&self) -> String {
        let mut kept = serde_json::to_value(&self.case).unwrap();
        let parts = kept.as_object_mut().unwrap();
        for past in ["aging", "turn", "until", "rules"] {
            assert!(parts.remove(past).is_some(), "a case has no {past} any more");
        }
        let asks = parts["asks"].as_array_mut().unwrap();
        for ask in asks.iter_mut() {
            assert!(ask.as_object_mut().unwrap().remove("made").is_some(), "an ask has no time any more");
        }
        let short = Value::from(vec![asks.last().unwrap().clone(), Value::from(asks.len() == 4)]);
        parts.insert("asks".into(), short);
        format!("{kept} {:?}", self.case.work())
    }

    /// What comes of an event, and whether anything did.
    fn after(&self, event: &Event) -> (Self, bool) {
        let mut next = self.clone();
        if *event == Event::Tick {
            next.age = self.case.deadline().unwrap_or(self.age);
        }
        let mut effects = Vec::new();
        next.case.step(at(next.age), event.clone(), &mut effects);
        let refused = effects.iter().any(|effect| matches!(effect, Effect::Refused(_)));
        let handled = !refused && (!effects.is_empty() || next.case != self.case);
        (next, handled)
    }
}

fn at(age: Duration) -> Now {
    Now { boot: 1, mono: Mono(0).after(age), stamp: Stamp { wall_ms: 0, synchronised: true } }
}

/// As it is called in the code, in words.
fn name(work: Work) -> String {
    let told = match work {
        Work::Done(end) => format!("Ended: {end:?}"),
        other => format!("{other:?}"),
    };
    let told = told.split([' ', '{']).filter(|part| !part.is_empty());
    let told = if matches!(work, Work::Done(_)) { told.collect::<Vec<_>>().join("") } else { told.take(1).collect() };
    let mut words = String::new();
    for letter in told.chars() {
        match letter {
            '(' => words.push_str(", "),
            ')' => {}
            _ => {
                if letter.is_uppercase() && !words.is_empty() && !words.ends_with(' ') {
                    words.push(' ');
                }
                words.extend(letter.to_lowercase());
            }
        }
    }
    words
}

/// Which work comes first, and what becomes of each.
pub fn tables() -> String {
    let mut causes = vec![("no answer in time", Cause::NoAnswer), ("request refused", Cause::Rejected)];
    causes.extend(answers().into_iter().map(|(name, answered)| (name, Cause::Answered(answered))));
    let mut text = String::from("| opened by | first work |\n|---|---|\n");
    let mut seen = BTreeSet::new();
    let mut open = VecDeque::new();
    for (cause, opens) in causes {
        let spot = Spot::open(opens);
        writeln!(text, "| {cause} | {} |", name(spot.case.work())).unwrap();
        if seen.insert(spot.key()) {
            open.push_back(spot);
        }
    }
    let (mut table, mut works) = (Table::default(), Vec::new());
    let mut events: Vec<&'static str> = Vec::new();
    while let Some(spot) = open.pop_front() {
        let from = name(spot.case.work());
        if !spot.case.is_final() && !works.contains(&from) {
            works.push(from.clone());
        }
        for (event, happens) in alphabet(&spot.case) {
            let (next, handled) = spot.after(&happens);
            table.add(event, &from, &name(next.case.work()), handled);
            if !events.contains(&event) {
                events.push(event);
            }
            if seen.insert(next.key()) {
                open.push_back(next);
            }
        }
    }
    let works: Vec<&str> = works.iter().map(String::as_str).collect();
    writeln!(text, "\n{}", table.text(&events, &works).trim_end()).unwrap();
    text
}
