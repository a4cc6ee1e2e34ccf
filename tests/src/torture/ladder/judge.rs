//! Compares the end of every case with the one that it deserves, and whom it was joined with with whom was received.

use super::people::{By, End, Patient};
use super::staff::{Diary, RECORDED};
use crate::central::Class;
use crate::central::ledger::Effect;
use crate::report::Report;
use std::collections::{BTreeMap, HashMap};
use uketsuke::store::CaseRow;
use uketsuke::store::papers::{Filed, Paper};
use uketsuke_core::ids::ReceptionId;
use uuid::Uuid;

/// One reception at the end of the campaign.
pub(super) struct Ended<'a> {
    pub(super) patient: &'a Patient,
    pub(super) reception: ReceptionId,
    pub(super) row: Option<CaseRow>,
    pub(super) papers: Vec<Paper>,
    /// Replies that are kept.
    pub(super) replies: usize,
}

impl Ended<'_> {
    fn end(&self) -> Option<End> {
        self.row.as_ref()?.case.ended().map(End::from)
    }
}

/// Adds the figures, a fault for each broken promise, and prints which end was deserved and which came.
pub(super) fn judge(report: &mut Report, ended: &[Ended<'_>], ledger: &[Effect], diary: &Diary) {
    let mut table: BTreeMap<(End, Option<End>), usize> = BTreeMap::new();
    for one in ended {
        *table.entry((one.patient.deserves(), one.end())).or_default() += 1;
    }
    print(&table);
    for end in End::ALL {
        report.figure(end.name(), ended.iter().filter(|one| one.end() == Some(end)).count());
    }
    tell(report, "unended", ended.iter().filter(|one| one.end().is_none()).map(told));
    let other = ended.iter().filter(|one| one.end().is_some_and(|end| end != one.patient.deserves()));
    tell(report, "undeserved", other.map(told));
    let effects: HashMap<Uuid, &Effect> = ledger.iter().map(|effect| (effect.id, effect)).collect();
    tell(report, "wrong_person", ended.iter().filter_map(|one| wrongly_joined(one, &effects)));
    tell(report, "without_owner", diary.without_owner.iter().map(ReceptionId::to_string));
    tell(report, "respelled", ended.iter().filter(|one| respelled(one)).map(told));
    tell(report, "lost_orders", ended.iter().filter_map(|one| lost(one, diary)));
    tell(report, "staff_faults", diary.faults.iter().cloned());
    let late = ended.iter().filter(|one| one.end() == Some(End::Closed) && one.replies > 0).count();
    report.figure("late_answers", late);
    report.figure("looks", diary.looks);
    report.figure("orders", diary.orders);
    report.figure("refused_stale", diary.stale_refused);
    report.figure("refused_gaps", diary.gaps_refused);
    report.figure("persons_recorded", diary.persons_recorded);
    report.figure("same_person", diary.same_person);
    report.figure("other_person", diary.other_person);
}

fn tell(report: &mut Report, key: &str, faults: impl IntoIterator<Item = String>) {
    /// More would hide the others.
    const TOLD_MAX: usize = 10;
    let mut count = 0;
    for fault in faults {
        count += 1;
        if count <= TOLD_MAX {
            report.fault(format!("{key}: {fault}"));
        }
    }
    report.figure(key, count);
}

fn told(one: &Ended<'_>) -> String {
    let Patient { number, by, outcome, script, .. } = one.patient;
    let work = one.row.as_ref().map(|row| row.case.work());
    format!(
        "{} (patient {number}, by {by:?}, {:?} later {:?}, ● {}, staff {script:?}) deserves {:?}: {work:?}",
        one.reception,
        outcome.class,
        outcome.later,
        outcome.dots,
        one.patient.deserves()
    )
}

/// A case that ended as valid must have been settled by answers about this patient, and by at least one.
fn wrongly_joined(one: &Ended<'_>, effects: &HashMap<Uuid, &Effect>) -> Option<String> {
    let row = one.row.as_ref()?;
    if !matches!(one.end()?, End::Confirmed | End::Changed) {
        return None;
    }
    let case = serde_json::to_value(&row.case).ok()?;
    let counted = row.asks.iter().enumerate().filter_map(|(number, request)| {
        // What waits for a look, or was seen to be about somebody else, has not settled anything.
        let ask = &case["asks"][number];
        let effect = effects.get(&request.0)?;
        let valid = matches!(effect.outcome?.class, Class::Valid | Class::ValidUnregistered | Class::Several);
        let in_time = row.ended_ms.is_some_and(|ended| effect.at_ms <= ended);
        (ask["answered"] == true && ask["check"] == "not_needed" && valid && in_time).then_some(effect)
    });
    let persons: Vec<&str> = counted.map(|effect| effect.person.as_str()).collect();
    let right = !persons.is_empty() && persons.iter().all(|person| *person == one.patient.serial);
    (!right).then(|| format!("{} is patient {}, and was joined with {persons:?}", told(one), one.patient.serial))
}

/// What the patient wrote stands in the papers byte for byte, whatever the central system makes of it.
fn respelled(one: &Ended<'_>) -> bool {
    let ours = one.patient.name.as_str();
    let mut spellings = one.papers.iter().filter_map(|paper| match &paper.filed {
        Filed::Person(person) => Some(person.name.as_ref().map_or("", |name| name.as_str())),
        Filed::Declaration(declaration) => Some(declaration.name.as_str()),
        Filed::Numbers(_) | Filed::Note(_) | Filed::Action(_) => None,
    });
    let known = one.papers.iter().any(|paper| matches!(paper.filed, Filed::Person(_)));
    spellings.any(|spelling| spelling != ours) || (one.patient.by == By::FourItems && !known)
}

/// What was acknowledged to staff is kept.
fn lost(one: &Ended<'_>, diary: &Diary) -> Option<String> {
    let orders = diary.acknowledged.iter().filter(|((reception, _), _)| *reception == one.reception);
    let mut missing = orders.filter(|((_, word), times)| {
        let kept = one.papers.iter().filter(|paper| match &paper.filed {
            Filed::Action(kept) => kept == word,
            Filed::Person(_) => *word == RECORDED,
            Filed::Numbers(_) | Filed::Declaration(_) | Filed::Note(_) => false,
        });
        kept.count() < **times
    });
    missing.next().map(|((reception, word), times)| format!("{word} of {reception}, acknowledged {times} times"))
}

fn print(table: &BTreeMap<(End, Option<End>), usize>) {
    let columns: Vec<Option<End>> = End::ALL.into_iter().map(Some).chain([None]).collect();
    print!("{:<16}", "deserved \\ came");
    for column in &columns {
        print!("{:>15}", column.map_or("none", End::name));
    }
    println!();
    for row in End::ALL {
        print!("{:<16}", row.name());
        for column in &columns {
            print!("{:>15}", table.get(&(row, *column)).copied().unwrap_or(0));
        }
        println!();
    }
}
