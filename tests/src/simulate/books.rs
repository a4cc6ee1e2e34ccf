//! What a clinic keeps beside the receptions: which of them are one visit, derived from the store, so that it catches up with it after a
//! crash. And who its patients are, here and at the central system.

use super::world::World;
use std::collections::BTreeMap;
use std::time::Duration;
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::ladder::PersonMatch;
use uketsuke_core::person::{Person, compare};
use uketsuke_core::record::{ReceptionRecord, Stage};
use uketsuke_core::visit::{EarlierReception, OfVisit, SAME_VISIT_WITHIN, goes_to_receipt_computer, same_visit};

/// Name, kana, birth date, sex, and the name as the central system writes it. The first two are twins.
const PEOPLE: [[&str; 5]; 4] = [
    ["髙田　一郎", "タカダ　イチロウ", "19800101", "1", "●田　●郎"],
    ["髙田　二郎", "タカダ　ジロウ", "19800101", "1", "●田　●郎"],
    ["渡邉　花子", "ワタナベ　ハナコ", "19551203", "2", "渡●　花子"],
    ["𠮷野　桜", "ヨシノ　サクラ", "20010401", "2", "●野　桜"],
];

pub(super) fn local(patient: u8) -> Person {
    let [name, kana, birthdate, sex, _] = PEOPLE[usize::from(patient) % PEOPLE.len()];
    let birthdate = if usize::from(patient) < PEOPLE.len() { birthdate } else { "19991231" };
    Person {
        name: Some(name.into()),
        name_kana: Some(kana.into()),
        birthdate: Some(birthdate.into()),
        sex: Some(sex.into()),
        address: None,
    }
}

pub(super) fn at_central(patient: u8) -> Person {
    let name = PEOPLE[usize::from(patient) % PEOPLE.len()][4];
    Person { name: Some(name.into()), ..local(patient) }
}

/// One reception as the clinic has it in its books.
#[derive(Debug, Clone)]
struct Booked {
    patient: u8,
    request: RequestId,
    order_key: OrderKey,
    /// True milliseconds.
    opened: u64,
    same_visit_as: Option<ReceptionId>,
    recorded: Option<u64>,
}

/// Survives everything: it would be in the store.
#[derive(Default)]
pub(super) struct Books {
    booked: BTreeMap<ReceptionId, Booked>,
    /// Of each visit, which reception went to the receipt computer.
    went: BTreeMap<ReceptionId, ReceptionId>,
}

impl World {
    /// Catches up with the store.
    pub(super) fn keep_books(&mut self) {
        let mut records = self.disk.receptions();
        records.reverse();
        for record in &records {
            self.book(record);
        }
        // In the order in which they were recorded, which is not the one in which they were opened.
        records.retain(|record| matches!(record.stage, Stage::Recorded | Stage::Closed));
        records.sort_by_key(|record| record.recorded_place);
        for record in &records {
            self.book_recorded(record);
        }
    }

    fn book(&mut self, record: &ReceptionRecord) {
        let Some(patient) = self.judge.patients.get(&record.request).copied() else { return };
        let seen = self.books.booked.get(&record.reception).map(|booked| booked.request);
        if seen == Some(record.request) {
            return;
        }
        let order_key = super::desk::order_key(patient);
        let now = self.time.ms;
        let earlier = self.books.booked.iter().map(|(reception, booked)| EarlierReception {
            reception: *reception,
            order_key: booked.order_key,
            age: Duration::from_millis(now - booked.opened),
            same_visit_as: booked.same_visit_as,
        });
        let earlier = earlier.collect::<Vec<_>>();
        let same_visit_as = same_visit(order_key, &earlier, SAME_VISIT_WITHIN);
        self.counts.linked += u64::from(same_visit_as.is_some());
        let booked = Booked { patient, request: record.request, order_key, opened: now, same_visit_as, recorded: None };
        self.books.booked.insert(record.reception, booked);
    }

    fn book_recorded(&mut self, record: &ReceptionRecord) {
        let Some(booked) = self.books.booked.get_mut(&record.reception).filter(|b| b.recorded.is_none()) else {
            return;
        };
        booked.recorded = record.recorded_place;
        let first = booked.same_visit_as.unwrap_or(record.reception);
        let of_visit = |(reception, booked): (&ReceptionId, &Booked)| {
            let belongs = booked.same_visit_as.unwrap_or(*reception) == first;
            belongs.then_some(OfVisit { reception: *reception, recorded: booked.recorded })
        };
        let visit: Vec<_> = self.books.booked.iter().filter_map(of_visit).collect();
        let Some(goes) = goes_to_receipt_computer(&visit) else { return };
        if *self.books.went.entry(first).or_insert(goes) != goes {
            self.judge.fails("two receptions of one visit went to the receipt computer");
        }
    }

    /// Compares the person in an answer, which is sometimes another one, with the clinic's own papers.
    pub(super) fn compared(&mut self, patient: u8, other: u8, ours: &Person) -> PersonMatch {
        let person = PersonMatch::from(&compare(ours, &at_central(other)));
        self.counts.other_people += u64::from(other != patient);
        if matches!(person, PersonMatch::SamePerson | PersonMatch::SameWithDifferences) {
            if other != patient {
                self.judge.fails(format!("patients {patient} and {other} were taken for one person"));
            }
            self.counts.other_spellings += u64::from(person == PersonMatch::SameWithDifferences);
        }
        person
    }

    /// What the store has linked is one patient's, and each stays a reception of its own.
    fn judge_link(&mut self, record: &ReceptionRecord) {
        let Some(first) = record.same_visit_as else { return };
        self.counts.linked_by_store += 1;
        let whose = |record: &ReceptionRecord| self.judge.patients.get(&record.request).copied();
        let first = self.disk.reception(first);
        let right = first.is_some_and(|first| whose(&first) == whose(record) && first.same_visit_as.is_none());
        if !right {
            self.judge.fails("the store has linked a reception to another patient's, or to one that is itself linked");
        }
    }

    /// Every reception that was acknowledged is in the store as itself, and in the books; and every visit is one patient's.
    pub(super) fn judge_books(&mut self) {
        self.keep_books();
        for (reception, request) in self.judge.opened.clone() {
            if self.disk.reception(reception).is_none_or(|record| record.request != request) {
                let reception = reception.0.as_u128();
                self.judge.fails(format!("reception {reception} was opened, and has no record of its own"));
            }
        }
        for record in self.disk.receptions() {
            let Some(booked) = self.books.booked.get(&record.reception).cloned() else {
                let reception = record.reception.0.as_u128();
                self.judge.fails(format!("reception {reception} is nobody's"));
                continue;
            };
            self.judge_link(&record);
            let first = booked.same_visit_as.and_then(|first| self.books.booked.get(&first));
            if first.is_some_and(|first| first.patient != booked.patient || first.same_visit_as.is_some()) {
                self.judge.fails("a reception is linked to another patient's, or to one that is itself linked");
            }
        }
    }
}
