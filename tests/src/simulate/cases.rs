//! The reconciler's shell and the desk's work list: leads the cases in the store as the reconciler's actor does, and what staff do to
//! them, sensible or not.

use super::agenda::{Inside, Outside};
use super::books::{at_central, local};
use super::central::{Content, Purpose};
use super::disk::{For, Write, at_once};
use super::guard::Guard;
use super::world::World;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use uketsuke::store::papers::{self, EnteredNumbers, Filed, Paper};
use uketsuke::store::{CaseRow, CaseWrite, KeptReply, Lane, Proof, Request, RequestKind, StoreError};
use uketsuke_core::answer::Verdict;
use uketsuke_core::clock::Mono;
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::ladder::{
    Answered, Basis, Case, CloseReason, Declaration, Effect, Event, Final, Numbers, PersonMatch, Rejected, Rules,
    StaffAction, Work,
};
use uketsuke_core::person::{Person, Spelling};
use uketsuke_core::record::{Reply, Shown, StaffName, Stage};

/// As in the reconciler.
const LOOK_EVERY: Duration = Duration::from_secs(12 * 60 * 60);
/// As in the reconciler.
const AGAIN: Duration = Duration::from_secs(30);
/// As in the reconciler.
const AGED: Duration = Duration::from_secs(6 * 60 * 60);
/// As in the reconciler.
const TRIES: u32 = 8;
/// Of so many writes of the reconciler one is its last, so that the next life is met by what is still on its way to the disk.
const DIES_WRITING: u32 = 20;

/// Most worlds last minutes, so their cases live for minutes; some keep the rules of a site.
pub(super) fn rules(rng: &mut StdRng) -> Rules {
    if rng.random_ratio(1, 30) {
        return Rules::default();
    }
    let mut secs = |choices: [u64; 3]| Duration::from_secs(choices[rng.random_range(0..3)]);
    Rules {
        answer_within: secs([5, 30, 120]),
        later_data_after: vec![secs([0, 5, 20]), secs([10, 30, 60])],
        numbers_within: secs([10, 60, 300]),
        choose_within: secs([10, 60, 300]),
        tell_within: secs([10, 60, 300]),
        recheck_every: secs([10, 30, 90]),
        life: secs([60, 300, 900]),
        asks_max: [3, 8, 64][rng.random_range(0..3)],
    }
}

/// What staff do to a case as they saw it.
#[derive(Debug, Clone)]
pub(super) struct Order {
    reception: ReceptionId,
    turn: u32,
    action: Option<StaffAction>,
    paper: Option<Filed>,
    /// A name of its own, under which it can be found again.
    by: StaffName,
}

/// A step that is on its way to the disk.
struct Taking {
    reception: ReceptionId,
    order: Option<Order>,
    case: Case,
    tries: u32,
}

/// The reconciler in this life of the process.
#[derive(Default)]
pub(super) struct Reconciler {
    life: Option<u64>,
    looks: VecDeque<ReceptionId>,
    /// Outlive the actor.
    orders: VecDeque<Order>,
    taking: Option<Taking>,
    book: BTreeMap<ReceptionId, Mono>,
    armed: Option<Mono>,
}

impl Reconciler {
    /// When the first case is due.
    pub(super) fn due(&self) -> Option<Mono> {
        self.book.values().min().copied()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.life.is_some() && self.looks.is_empty() && self.orders.is_empty() && self.taking.is_none()
    }
}

/// What is known of cases beside the store.
#[derive(Debug, Default)]
pub(super) struct Told {
    ends: BTreeMap<ReceptionId, Final>,
    /// Orders that were told to be written down, and of which case.
    done: BTreeMap<StaffName, ReceptionId>,
    given: u64,
    opened: BTreeSet<ReceptionId>,
}

/// What a step comes to.
enum Step {
    /// There is no such case.
    NoCase,
    /// Staff were refused.
    Refused,
    /// Nothing to be written.
    Nothing(Box<Case>),
    Write(Box<CaseWrite>),
}

impl World {
    fn reconciler_in(&mut self, life: u64) -> Option<&mut Reconciler> {
        self.process.as_mut().map(|process| &mut process.reconciler).filter(|reconciler| reconciler.life == Some(life))
    }

    pub(super) fn reconciler_up(&mut self) {
        let life = self.new_life();
        let open = self.disk.open_cases();
        let Some(process) = &mut self.process else { return };
        let orders = std::mem::take(&mut process.reconciler.orders);
        let looks = open.iter().map(|row| row.reception).collect();
        process.reconciler = Reconciler { life: Some(life), looks, orders, ..Reconciler::default() };
        self.trace.note(self.time.ms, 30, life, || format!("the reconciler lives (life {life})"));
        self.reconcile(life);
    }

    /// What it had handed over is written all the same.
    pub(super) fn reconciler_dies(&mut self) {
        let Some(process) = &mut self.process else { return };
        if process.reconciler.life.take().is_none() {
            return;
        }
        process.reconciler.looks.clear();
        let interrupted = process.reconciler.taking.take().and_then(|taking| taking.order);
        self.counts.orders_lost += u64::from(interrupted.is_some());
        self.counts.reconciler_restarts += 1;
        self.trace.note(self.time.ms, 31, 0, || "the reconciler's actor dies".into());
        self.soon(100..=3_000, Inside::ReconcilerUp);
    }

    /// There is news of a case.
    pub(super) fn look_at_case(&mut self, reception: ReceptionId) {
        let Some(process) = &mut self.process else { return };
        let Some(life) = process.reconciler.life else { return };
        process.reconciler.looks.push_back(reception);
        self.soon(0..=3, Inside::Reconcile(life));
    }

    pub(super) fn case_timer(&mut self, life: u64) {
        let now = self.time.mono();
        let Some(reconciler) = self.reconciler_in(life) else { return };
        reconciler.armed = None;
        let due = reconciler.book.iter().filter(|(_, due)| **due <= now).map(|(reception, _)| *reception);
        let due: Vec<_> = due.collect();
        for reception in &due {
            reconciler.book.remove(reception);
        }
        reconciler.looks.extend(due);
        self.reconcile(life);
    }

    /// One step after the other, until one has to wait for the disk.
    pub(super) fn reconcile(&mut self, life: u64) {
        loop {
            let orders_first = self.rng.random();
            let Some(reconciler) = self.reconciler_in(life).filter(|reconciler| reconciler.taking.is_none()) else {
                return;
            };
            let order = if orders_first || reconciler.looks.is_empty() { reconciler.orders.pop_front() } else { None };
            let reception = match &order {
                Some(order) => Some(order.reception),
                None => reconciler.looks.pop_front(),
            };
            let Some(reception) = reception else { break };
            if self.dies_now() || self.take_step(life, reception, order, 0) {
                return;
            }
        }
        self.arm_reconciler(life);
    }

    /// `true`: it waits for the disk.
    fn take_step(&mut self, life: u64, reception: ReceptionId, order: Option<Order>, tries: u32) -> bool {
        let step = self.step(reception, order.as_ref()).unwrap_or(Step::NoCase);
        match step {
            Step::Write(write) => {
                let case = write.case.clone();
                if let Some(reconciler) = self.reconciler_in(life) {
                    reconciler.taking = Some(Taking { reception, order, case, tries });
                }
                let store = self.disk.store.clone();
                let write: Write = Box::pin(async move { store.save_case(*write).await });
                self.submit(For::Reconciler(life), write);
                if self.rng.random_ratio(1, DIES_WRITING) {
                    self.reconciler_dies();
                }
                return true;
            }
            Step::Nothing(case) => self.note_case(life, reception, &case),
            Step::Refused => self.counts.orders_refused += 1,
            Step::NoCase => {}
        }
        false
    }

    /// What the reconciler handed over is on the disk, or is not.
    pub(super) fn case_written(&mut self, life: u64, result: Result<(), StoreError>) {
        self.check_cases();
        let now = self.time.mono();
        let Some(Taking { reception, order, case, tries }) =
            self.reconciler_in(life).and_then(|reconciler| reconciler.taking.take())
        else {
            return;
        };
        match result {
            Ok(()) => {
                self.note_case(life, reception, &case);
                if let Some(order) = order {
                    self.counts.orders_done += 1;
                    self.told.done.insert(order.by, reception);
                }
            }
            Err(StoreError::Conflict { .. }) if tries < TRIES => {
                self.counts.steps_taken_anew += 1;
                if self.take_step(life, reception, order, tries + 1) {
                    return;
                }
            }
            Err(error) => {
                if !matches!(error, StoreError::Full) {
                    self.judge.fails(format!("a case could not be written: {error}"));
                }
                self.counts.orders_lost += u64::from(order.is_some());
                if let Some(reconciler) = self.reconciler_in(life)
                    && order.is_none()
                {
                    reconciler.book.insert(reception, now.after(AGAIN));
                }
            }
        }
        self.reconcile(life);
    }

    fn note_case(&mut self, life: u64, reception: ReceptionId, case: &Case) {
        let now = self.time.now();
        let Some(reconciler) = self.reconciler_in(life) else { return };
        match case.due_in(now) {
            Some(due) => drop(reconciler.book.insert(reception, now.mono.after(due.min(LOOK_EVERY)))),
            None => drop(reconciler.book.remove(&reception)),
        }
    }

    fn arm_reconciler(&mut self, life: u64) {
        let boot_ms = self.time.boot_ms;
        let Some(reconciler) = self.reconciler_in(life) else { return };
        let first = reconciler.due();
        if first.is_some() && reconciler.armed != first {
            reconciler.armed = first;
            let at = first.map_or(0, |first| boot_ms + first.0).max(self.time.ms) + self.rng.random_range(0..20);
            self.at(at, Inside::CaseTimer(life));
        }
    }

    /// A step of a case: read, told what is new, and what is to be written.
    fn step(&mut self, reception: ReceptionId, order: Option<&Order>) -> Option<Step> {
        let now = self.time.now();
        let row = self.disk.case(reception)?;
        let mut filed = at_once(self.disk.store.papers(reception))?.ok()?;
        let mut new = order.map_or_else(Vec::new, |order| order.papers(now.stamp));
        filed.extend_from_slice(&new);
        let (mut case, mut effects) = (row.case.clone(), Vec::new());
        let mut replies = at_once(self.disk.store.kept_replies(reception))?.ok()?;
        replies.sort_by_key(|kept| !matches!(kept.reply, Reply::Answered { verdict: Verdict::Eligible, .. }));
        for kept in replies {
            let other_spelling = self.hear(&row, &filed, &kept, &mut case, &mut effects);
            if let Some(theirs) = other_spelling.filter(|_| self.without == Some(Guard::Dots)) {
                new.push(Paper { filed: Filed::Person(theirs), by: StaffName::new("central")?, at: now.stamp });
            }
        }
        if let Some((turn, action)) = order.and_then(|order| Some((order.turn, order.action?))) {
            case.step(now, Event::Staff { turn, action }, &mut effects);
        }
        if effects.iter().any(|effect| matches!(effect, Effect::Refused(_))) {
            return Some(Step::Refused);
        }
        case.step(now, Event::Tick, &mut effects);
        let aged = case.has_aged(&row.case, AGED);
        if case.turn() == row.case.turn() && new.is_empty() && !aged {
            return Some(Step::Nothing(Box::new(row.case)));
        }
        self.trace.note(self.time.ms, 32, case.turn().into(), || {
            format!("case of {}: {:?} → {:?}; {effects:?}", reception.0.as_u128(), row.case.work(), case.work())
        });
        let (mut request, mut stands_alone) = (None, false);
        for effect in &effects {
            match effect {
                Effect::AskAgain { with, .. } => {
                    let (question, alone) = self.asks_again(reception, *with, &filed)?;
                    (request, stands_alone) = (Some(question), alone);
                }
                Effect::LateAnswer { .. } => self.counts.after_the_end += 1,
                Effect::Ended(_) | Effect::Refused(_) => {}
            }
        }
        let lane = if order.is_some() { Lane::Interactive } else { Lane::Backlog };
        let (version, papers) = (row.version, new);
        Some(Step::Write(Box::new(CaseWrite {
            reception,
            version,
            case,
            papers,
            request,
            stands_alone,
            lane,
            consents: None,
            at: now.stamp,
        })))
    }

    /// Tells a case one reply. An answer about somebody else settles nothing, unless nobody could know. Gives the person in it, where
    /// the central system spells the patient in another way.
    fn hear(
        &mut self,
        row: &CaseRow,
        filed: &[Paper],
        kept: &KeptReply,
        case: &mut Case,
        effects: &mut Vec<Effect>,
    ) -> Option<Person> {
        let number = row.asks.iter().position(|request| *request == kept.request).and_then(|at| u32::try_from(at).ok());
        let patient = self.judge.patients.get(&kept.request).copied()?;
        let about = at_once(self.disk.store.answer(row.reception, kept.request)).and_then(Result::ok).flatten();
        let about = about.map(|about| about.to_vec()).unwrap_or_default();
        let (ask, reply) = match (number, &kept.reply) {
            (Some(ask), reply) => (ask, reply),
            (None, reply @ Reply::Answered { verdict: Verdict::Eligible, .. }) => (0, reply),
            (None, _) => return None,
        };
        let ours = papers::person(filed);
        let mut other_spelling = None;
        let event = match reply {
            // Its central system refuses for other reasons than the time.
            Reply::Rejected(_) => {
                let opened = self.disk.reception(row.reception)?.opened;
                let rejected = Rejected { at: kept.at, opened, central: None, by_card: true };
                Event::Rejected { ask, rejected }
            }
            Reply::Answered { verdict, .. } => {
                let person = match (about.first(), &ours) {
                    (Some(other), Some(ours)) => self.compared(patient, *other, ours),
                    _ => PersonMatch::NothingToCompare,
                };
                if person == PersonMatch::SameWithDifferences {
                    other_spelling = about.first().map(|other| at_central(*other));
                }
                let results = u32::try_from(about.len()).unwrap_or(u32::MAX);
                Event::Answer { ask, answered: Answered { verdict: verdict.clone(), results, person } }
            }
        };
        let ended = case.is_final();
        case.step(self.time.now(), event, effects);
        let settled = !ended && matches!(case.ended(), Some(Final::Confirmed | Final::Changed));
        let by_numbers = self.central.ledger.get(&kept.request);
        let by_numbers = by_numbers.is_some_and(|entry| matches!(entry.content.purpose, Purpose::Numbers(_)));
        if settled && (ours.is_some() || by_numbers) && about.iter().any(|other| *other != patient) {
            self.judge.fails("an answer about another person settled a case");
        }
        other_spelling
    }

    /// The question, as the reconciler words it.
    fn asks_again(&mut self, reception: ReceptionId, with: Numbers, filed: &[Paper]) -> Option<(Request, bool)> {
        self.counts.asked_again += 1;
        let record = self.disk.reception(reception)?;
        let patient = self.judge.patients.get(&record.request).copied()?;
        let entered = papers::numbers(filed, with).filter(|_| with != Numbers::Original);
        let whose = entered.and_then(|numbers| numbers.number.as_str().parse().ok());
        let refused = matches!(record.replied, Some((_, Reply::Rejected(_))));
        let stands_alone = refused && whose.is_some();
        let content = Content {
            patient,
            reception: reception.0,
            question: if stands_alone { uuid::Uuid::nil() } else { record.request.0 },
            purpose: whose.map_or(Purpose::Plain, Purpose::Numbers),
        };
        let id = RequestId(self.id());
        self.judge.patients.insert(id, patient);
        let body = content.to_body();
        Some((Request { id, kind: RequestKind::FollowUp, body, proof: Proof::Gateway }, stands_alone))
    }
}

impl Order {
    /// What is filed with the step: the paper, and who did it.
    fn papers(&self, at: uketsuke_core::clock::Stamp) -> Vec<Paper> {
        let action = self.action.is_some().then(|| Filed::Action("done".into()));
        let filed = self.paper.clone().into_iter().chain(action);
        filed.map(|filed| Paper { filed, by: self.by.clone(), at }).collect()
    }
}

impl World {
    /// Staff look at the work list, and come back later.
    pub(super) fn staff_look(&mut self) {
        if self.quiet {
            return;
        }
        self.later(500..=20_000, Outside::StaffLook);
        let open = self.disk.open_cases();
        if open.is_empty() {
            return;
        }
        let row = open[self.rng.random_range(0..open.len())].clone();
        let Some((action, paper)) = self.considers(&row) else { return };
        self.told.given += 1;
        let Some(by) = StaffName::new(&format!("{}", self.told.given)) else { return };
        let order = Order { reception: row.reception, turn: row.case.turn(), action, paper, by };
        if self.rng.random_ratio(1, 10) {
            // A click too many.
            self.later(300..=6_000, Outside::Orders(Box::new(order.clone())));
        }
        self.later(300..=6_000, Outside::Orders(Box::new(order)));
    }

    /// What staff make of a case.
    fn considers(&mut self, row: &CaseRow) -> Option<(Option<StaffAction>, Option<Filed>)> {
        let record = self.disk.reception(row.reception)?;
        let patient = self.judge.patients.get(&record.request).copied()?;
        if let Work::CheckPerson { ask } = row.case.work() {
            let asked = row.asks.get(ask as usize).copied()?;
            let mut about = at_once(self.disk.store.answer(row.reception, asked))?.ok()??.to_vec();
            about.dedup();
            self.counts.people_checked += 1;
            return Some((Some(StaffAction::PersonChecked { ask, same: about == [patient] }), None));
        }
        let act = |action| Some((Some(action), None));
        match self.rng.random_range(0..12) {
            0..=2 => Some((None, Some(Filed::Person(local(patient))))),
            3 => act(StaffAction::NextRung),
            4..=6 => {
                let which = if self.rng.random_ratio(2, 3) { Numbers::Current } else { Numbers::Earlier };
                let mistyped = self.rng.random_ratio(1, 6);
                let whose = if mistyped { (patient ^ 1) % self.patients } else { patient };
                Some((Some(StaffAction::NumbersEntered(which)), Some(Filed::Numbers(numbers(which, whose)))))
            }
            7 => {
                let declaration = declaration(patient)?;
                Some((Some(StaffAction::Declared(declaration.on_file())), Some(Filed::Declaration(declaration))))
            }
            8 => act(StaffAction::Chosen { index: self.rng.random_range(0..3) }),
            9 => act(StaffAction::Acknowledged),
            10 => {
                let basis = if self.rng.random() { Basis::Declaration } else { Basis::PaymentRuleExplained };
                act(StaffAction::EndIneligible { basis })
            }
            _ if self.rng.random_ratio(1, 3) => act(StaffAction::Close(CloseReason::NoTreatment)),
            _ => None,
        }
    }

    pub(super) fn staff_order(&mut self, order: Order) {
        let Some(process) = &mut self.process else { return };
        process.reconciler.orders.push_back(order);
        if let Some(life) = process.reconciler.life {
            self.soon(0..=10, Inside::Reconcile(life));
        }
    }

    /// I9: until its end every case has an owner and a deadline; no end is ever changed; what staff were told is written down.
    pub(super) fn check_cases(&mut self) {
        for record in self.disk.receptions() {
            let Some(row) = self.disk.case(record.reception) else { continue };
            let reception = row.reception.0.as_u128();
            self.counts.cases += u64::from(self.told.opened.insert(row.reception));
            let Some(end) = row.case.ended() else {
                if self.told.ends.contains_key(&row.reception) {
                    self.judge.fails(format!("I9 broken: the case of {reception} had ended and is open again"));
                }
                if row.case.owner().is_none() || row.case.deadline().is_none() {
                    self.judge.fails(format!("I9 broken: the case of {reception} has no owner or no deadline"));
                }
                continue;
            };
            match self.told.ends.insert(row.reception, end) {
                None => {
                    let counts = &mut self.counts;
                    *match end {
                        Final::Confirmed | Final::Changed => &mut counts.cases_confirmed,
                        Final::Ineligible(_) | Final::ClosedByStaff(_) => &mut counts.cases_by_staff,
                        Final::Expired => &mut counts.cases_expired,
                        Final::NotRegistered | Final::Revoked | Final::RejectedByCentral => &mut counts.cases_told,
                    } += 1;
                }
                Some(before) if before != end => {
                    self.judge
                        .fails(format!("I9 broken: the case of {reception} ended as {before:?}, then as {end:?}"));
                }
                Some(_) => {}
            }
        }
    }

    /// Exactly the receptions that did not end with a confirmed answer have a case, and each has come to one end.
    pub(super) fn judge_cases(&mut self) {
        self.check_cases();
        for record in self.disk.receptions() {
            let reception = record.reception.0.as_u128();
            let recorded = matches!(record.stage, Stage::Recorded | Stage::Closed);
            let needed = recorded && !matches!(record.recorded, Some((_, Shown::Confirmed)));
            let row = self.disk.case(record.reception);
            if needed != row.is_some() {
                self.judge.fails(format!("I9 broken: reception {reception} has a case: {}", row.is_some()));
            }
            let Some(row) = row else { continue };
            if !row.case.is_final() {
                self.judge.fails(format!("I9 broken: the case of {reception} does not come to its end by itself"));
            }
            self.judge_asks(&row);
            self.judge_spelling(&row);
        }
        self.judge_orders();
    }

    /// The papers of a case spell the patient as the clinic does, whatever the central system said.
    fn judge_spelling(&mut self, row: &CaseRow) {
        let Some(patient) = row.asks.first().and_then(|asked| self.judge.patients.get(asked).copied()) else { return };
        let papers = at_once(self.disk.store.papers(row.reception)).and_then(Result::ok).unwrap_or_default();
        let name = papers::person(&papers).and_then(|person| person.name);
        if name.is_some() && name != local(patient).name {
            self.judge.fails(format!("the clinic's own spelling of patient {patient} was overwritten"));
        }
    }

    /// I4: what the central system said to each ask of a case is kept, and an answer after the end changes nothing.
    fn judge_asks(&mut self, row: &CaseRow) {
        let reception = row.reception.0.as_u128();
        let replies = at_once(self.disk.store.kept_replies(row.reception)).and_then(Result::ok).unwrap_or_default();
        for (number, ask) in row.asks.iter().enumerate() {
            let kept = replies.iter().find(|kept| kept.request == *ask).map(|kept| &kept.reply);
            let said = self.central.ledger.get(ask).and_then(|entry| entry.reply.as_ref());
            let same = match (kept, said) {
                // Refused here or there, under one word or another.
                (Some(Reply::Rejected(_)), Some(Reply::Rejected(_)) | None) => true,
                (kept, said) => kept.is_some() && kept == said,
            };
            if !same {
                self.judge.fails(format!(
                    "I4 broken: ask {number} of the case of {reception} has {kept:?}, the central system said {said:?}"
                ));
            }
        }
        let (mut case, mut effects) = (row.case.clone(), Vec::new());
        let late = Answered { verdict: Verdict::Eligible, results: 1, person: PersonMatch::SamePerson };
        case.step(self.time.now(), Event::Answer { ask: 0, answered: late }, &mut effects);
        if case.ended() != row.case.ended() {
            self.judge.fails(format!("I9 broken: an answer after its end changed how the case of {reception} ended"));
        }
    }

    /// What staff were told is written down is written down, and once.
    fn judge_orders(&mut self) {
        for (by, reception) in std::mem::take(&mut self.told.done) {
            let papers = at_once(self.disk.store.papers(reception)).and_then(Result::ok).unwrap_or_default();
            let of_order = |paper: &&Paper| paper.by == by;
            let actions =
                papers.iter().filter(of_order).filter(|paper| matches!(paper.filed, Filed::Action(_))).count();
            if actions > 1 || !papers.iter().any(|paper| of_order(&paper)) {
                let (order, reception) = (by.as_str(), reception.0.as_u128());
                self.judge.fails(format!(
                    "order {order} on the case of {reception} was told done and took effect {actions} times"
                ));
            }
        }
    }
}

fn numbers(which: Numbers, whose: u8) -> EnteredNumbers {
    EnteredNumbers {
        which,
        insurer: "138057".into(),
        symbol: "1".into(),
        number: whose.to_string().as_str().into(),
        branch: "01".into(),
        birthdate: "19800101".into(),
        limit_certificate: false,
        consent: None,
    }
}

fn declaration(patient: u8) -> Option<Declaration> {
    let Person { name, birthdate, .. } = local(patient);
    let fields = [
        ("name", name.as_ref().map_or("", Spelling::as_str)),
        ("birthdate", birthdate.as_ref().map_or("", Spelling::as_str)),
        ("sex", if local(patient).sex == Some("1".into()) { "男" } else { "女" }),
        ("address", "東京都"),
        ("insurer_unknown", "yes"),
        ("cause", "machine"),
        ("signed", "yes"),
    ];
    Declaration::parse(fields).ok()
}
