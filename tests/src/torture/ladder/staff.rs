//! The member of staff who works the list of cases: looks at what is open, does what each case waits for, slips now and then.

use super::desk::{Page, STAFF, Told};
use super::people::{Course, Patient, Script};
use crate::central::Numbers;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uketsuke::central::insured;
use uketsuke::clock::Clock;
use uketsuke::store::{CaseRow, Store};
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::ladder::{Owner, Work};

/// Between two looks at the list.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// A case that is due and that nobody has moved for so long has no owner, whatever it says.
const LEFT_LYING: Duration = Duration::from_secs(30);
/// Cases that are worked on at the same time.
const HANDS: usize = 4;
/// What stands for a person who was recorded: no action, only a paper.
pub(super) const RECORDED: &str = "person_recorded";
/// More than there are.
const ALL: usize = 1_000_000;

/// What staff saw and did.
#[derive(Debug, Default)]
pub(super) struct Diary {
    /// Orders that were acknowledged, by reception and the word under which they are kept.
    pub(super) acknowledged: HashMap<(ReceptionId, &'static str), usize>,
    pub(super) orders: usize,
    pub(super) stale_refused: usize,
    pub(super) gaps_refused: usize,
    pub(super) persons_recorded: usize,
    pub(super) other_person: usize,
    pub(super) same_person: usize,
    /// Orders that should have been refused and were not, and other things that must not be.
    pub(super) faults: Vec<String>,
    /// Cases that were seen without somebody who sees to them, or without a time by which.
    pub(super) without_owner: HashSet<ReceptionId>,
    pub(super) looks: usize,
}

/// What an order is to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant {
    Done(&'static str),
    Refused,
    Gaps,
}

struct Order {
    reception: ReceptionId,
    form: Value,
    meant: Meant,
}

/// One member of staff.
pub(super) struct Staff<'a> {
    pub(super) web: SocketAddr,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) patients: &'a [Patient],
    pub(super) received: &'a HashMap<ReceptionId, usize>,
    /// Nobody is left open: set by the member of staff.
    pub(super) all_ended: Arc<AtomicBool>,
    /// Nobody is left who is to be closed early: set by the member of staff.
    pub(super) early_closed: Arc<AtomicBool>,
    /// Once it is so, work beyond closing early begins.
    pub(super) line_up: Arc<AtomicBool>,
    pub(super) slipped: HashSet<ReceptionId>,
    pub(super) gap_shown: HashSet<ReceptionId>,
    pub(super) recorded: HashSet<ReceptionId>,
    pub(super) due_since: HashMap<ReceptionId, (u64, Instant)>,
}

impl Staff<'_> {
    /// Works until nothing is open, or until `patience` is over.
    pub(super) async fn work(mut self, patience: Duration) -> Result<Diary> {
        let (mut diary, start) = (Diary::default(), Instant::now());
        loop {
            let open = self.store.open_cases(ALL).await.context("reading the open cases")?;
            diary.looks += 1;
            self.inspect(&open, &mut diary);
            if open.is_empty() || start.elapsed() > patience {
                self.all_ended.store(true, Ordering::Relaxed);
                return Ok(diary);
            }
            if !open.iter().any(|row| self.closes_early(row.reception)) {
                self.early_closed.store(true, Ordering::Relaxed);
            }
            let mut orders = Vec::new();
            for row in &open {
                orders.push(self.orders(row).await?);
            }
            orders.retain(|orders| !orders.is_empty());
            diary = self.send(orders, diary)?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn closes_early(&self, reception: ReceptionId) -> bool {
        self.received.get(&reception).is_some_and(|number| self.patients[*number].script == Script::ClosesEarly)
    }

    /// Every open case has somebody who sees to it, and a time by which something happens to it.
    fn inspect(&mut self, open: &[CaseRow], diary: &mut Diary) {
        let now = self.clock.now();
        if diary.looks == 1 && open.len() != self.patients.len() {
            diary.faults.push(format!("{} receptions have {} open cases", self.patients.len(), open.len()));
        }
        for row in open {
            let due = row.case.due_in(now);
            let seen_to = row.case.owner().is_some() && row.case.deadline().is_some() && due.is_some();
            let lying = if due == Some(Duration::ZERO) {
                let (version, since) = *self.due_since.entry(row.reception).or_insert((row.version, Instant::now()));
                if version != row.version {
                    self.due_since.remove(&row.reception);
                }
                version == row.version && since.elapsed() > LEFT_LYING
            } else {
                self.due_since.remove(&row.reception);
                false
            };
            if !seen_to || lying {
                diary.without_owner.insert(row.reception);
            }
        }
    }

    /// What is sent about a case now, in order; the last is what is really meant.
    async fn orders(&mut self, row: &CaseRow) -> Result<Vec<Order>> {
        let reception = row.reception;
        let Some(number) = self.received.get(&reception) else { return Ok(Vec::new()) };
        let patient = &self.patients[*number];
        let turn = row.case.turn();
        let Some((what, mut fields, word)) = self.deed(patient, row).await? else { return Ok(Vec::new()) };
        fields.extend([
            ("by".to_owned(), json!(STAFF)),
            ("turn".to_owned(), json!(turn)),
            ("what".to_owned(), json!(what)),
        ]);
        let mut orders = Vec::new();
        if patient.number % 20 == turn as usize % 20 {
            // A click on a page that was left open: it must not close the case.
            let old = turn.checked_sub(1).unwrap_or(1000);
            let form = json!({ "by": STAFF, "turn": old, "what": "close", "reason": "mistake" });
            orders.push(Order { reception, form, meant: Meant::Refused });
        }
        if what == "declare" && patient.number.is_multiple_of(2) && self.gap_shown.insert(reception) {
            let mut gap = fields.clone();
            gap.remove("address");
            orders.push(Order { reception, form: json!(gap), meant: Meant::Gaps });
        }
        if let Work::ChooseInsurance { count, .. } = row.case.work()
            && what == "choose"
        {
            let mut none = fields.clone();
            none.insert("index".to_owned(), json!(count.to_string()));
            orders.push(Order { reception, form: json!(none), meant: Meant::Refused });
        }
        orders.push(Order { reception, form: json!(fields), meant: Meant::Done(word) });
        Ok(orders)
    }

    /// What is done about a case as it is: the form, its fields, and the word under which it is kept.
    async fn deed(
        &mut self,
        patient: &Patient,
        row: &CaseRow,
    ) -> Result<Option<(&'static str, BTreeMap<String, Value>, &'static str)>> {
        let fields =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let close = Some(("close", fields(&[("reason", "no_treatment")]), "close"));
        let work = row.case.work();
        if patient.script == Script::ClosesEarly {
            return Ok(close);
        }
        if !self.line_up.load(Ordering::Relaxed) || patient.script == Script::Alone {
            return Ok(None);
        }
        if patient.script == Script::Closes && work.owner() == Some(Owner::Desk) {
            return Ok(close);
        }
        let ends = patient.script == Script::Works && patient.course() == Course::Nothing;
        Ok(match work {
            // The page stays as it is until their answer is there.
            Work::TellRevoked
                if patient.present_numbers().is_some() && row.asks.len() > 1 + usize::from(patient.slip.is_some()) =>
            {
                None
            }
            Work::EnterCurrentNumbers
            | Work::EnterNumbersAsClockWasWrong
            | Work::EnterEarlierNumbers
            | Work::TakeDeclaration
            | Work::TellRevoked
                if let Some(numbers) = patient.present_numbers() =>
            {
                let which = if work == Work::EnterEarlierNumbers { "earlier" } else { "current" };
                let slip = patient.slip.as_ref().filter(|_| self.slipped.insert(row.reception));
                Some(("numbers", numbers_form(slip.unwrap_or(numbers), which), "numbers_entered"))
            }
            Work::EnterCurrentNumbers if ends && patient.number.is_multiple_of(3) => {
                Some(("end_ineligible", fields(&[("basis", "payment_rule_explained")]), "end_ineligible"))
            }
            Work::EnterCurrentNumbers | Work::EnterNumbersAsClockWasWrong | Work::EnterEarlierNumbers => {
                Some(("next_rung", fields(&[]), "next_rung"))
            }
            Work::TakeDeclaration => Some(("declare", declaration(patient), "declared")),
            Work::DeclarationOnFile if ends => {
                Some(("end_ineligible", fields(&[("basis", "declaration")]), "end_ineligible"))
            }
            Work::ChooseInsurance { count, .. } => {
                let index = (patient.number % count.max(1) as usize).to_string();
                Some(("choose", fields(&[("index", &index)]), "chosen"))
            }
            // What the receipt computer says may settle it, or say that it is somebody else; else they look.
            Work::CheckPerson { .. } if patient.number.is_multiple_of(2) && self.recorded.insert(row.reception) => {
                Some(("person", person(patient), RECORDED))
            }
            Work::CheckPerson { ask } => {
                let same = self.is_about(patient, row, ask).await?;
                let (said, word) = if same { ("yes", "same_person") } else { ("no", "other_person") };
                Some(("check_person", fields(&[("ask", &ask.to_string()), ("same", said)]), word))
            }
            Work::TellRevoked | Work::TellNotRegistered | Work::LookAtRejection => {
                Some(("acknowledge", fields(&[]), "acknowledged"))
            }
            Work::AwaitAnswer
            | Work::AwaitLaterData
            | Work::AwaitNumbersAnswer
            | Work::DeclarationOnFile
            | Work::Done(_) => None,
        })
    }

    /// A look at the person in an answer, beside the patient: staff see who it is.
    async fn is_about(&self, patient: &Patient, row: &CaseRow, ask: u32) -> Result<bool> {
        let request = row.asks.get(ask as usize).context("an answer to be looked at has a request")?;
        let answer = self.store.answer(row.reception, *request).await?.context("an answer to be looked at is kept")?;
        let found = insured(&answer).unwrap_or_default();
        let is = |theirs: &Option<uketsuke_core::person::Spelling>, ours: &str| {
            theirs.as_ref().is_some_and(|theirs| theirs.as_str() == ours)
        };
        Ok(!found.is_empty()
            && found.iter().all(|one| {
                is(&one.person.name, &patient.known.name)
                    && is(&one.person.name_kana, &patient.known.name_kana)
                    && is(&one.person.birthdate, &patient.known.birthdate)
            }))
    }

    /// Sends what was decided, several cases at a time, each case's orders in their order.
    fn send(&self, orders: Vec<Vec<Order>>, diary: Diary) -> Result<Diary> {
        let (next, written) = (AtomicUsize::new(0), Mutex::new(diary));
        std::thread::scope(|scope| {
            let hand = || -> Result<()> {
                let page = Page::at(self.web);
                while let Some(case) = orders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for order in case {
                        let told = page.send(&format!("/staff/case/{}", order.reception), &order.form)?;
                        note(&mut written.lock().unwrap_or_else(PoisonError::into_inner), order, &told);
                    }
                }
                Ok(())
            };
            let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(hand)).collect();
            hands.into_iter().try_for_each(|hand| hand.join().map_err(|_| anyhow::anyhow!("a hand panicked"))?)
        })?;
        Ok(written.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

fn note(diary: &mut Diary, order: &Order, told: &Told) {
    diary.orders += 1;
    match (order.meant, told) {
        (Meant::Done(word), Told::Done(_)) => {
            *diary.acknowledged.entry((order.reception, word)).or_default() += 1;
            diary.persons_recorded += usize::from(word == RECORDED);
            diary.other_person += usize::from(word == "other_person");
            diary.same_person += usize::from(word == "same_person");
        }
        (Meant::Refused, Told::Refused) => diary.stale_refused += 1,
        (Meant::Gaps, Told::Gaps) => diary.gaps_refused += 1,
        // The case has moved on since the look, or the gateway is dead: they look again.
        (_, Told::Unknown) | (Meant::Done(_) | Meant::Gaps, Told::Refused) => {}
        (meant, told) => diary.faults.push(format!("{}: meant {meant:?}, told {told:?}", order.reception)),
    }
}

fn numbers_form(numbers: &Numbers, which: &str) -> BTreeMap<String, Value> {
    [
        ("which", which),
        ("insurer_number", &numbers.insurer),
        ("symbol", &numbers.symbol),
        ("number", &numbers.number),
        ("branch", &numbers.branch),
        ("birthdate", &numbers.birthdate),
        ("limit_certificate", "no"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), json!(value)))
    .collect()
}

/// The patient as the clinic's receipt computer has them.
fn person(patient: &Patient) -> BTreeMap<String, Value> {
    [
        ("name", patient.name.as_str()),
        ("name_kana", &patient.known.name_kana),
        ("birthdate", &patient.known.birthdate),
        ("sex", &patient.known.sex1),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), json!(value)))
    .collect()
}

fn declaration(patient: &Patient) -> BTreeMap<String, Value> {
    [
        ("name", patient.name.as_str()),
        ("birthdate", &patient.known.birthdate),
        ("sex", &patient.known.sex1),
        ("address", &patient.known.address),
        ("insurer_unknown", "yes"),
        ("cause", "not_registered_yet"),
        ("signed", "yes"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), json!(value)))
    .collect()
}
