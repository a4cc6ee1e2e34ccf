//! A reader's shell: feeds one reception core and performs its effects, as the reader's actor and its scribe do.

use super::agenda::{Deed, Inside};
use super::central::{Content, Purpose};
use super::guard::Guard;
use super::people::PIN;
use super::scribe::{Job, Write};
use super::world::World;
use rand::Rng;
use rand::seq::SliceRandom;
use std::collections::VecDeque;
use std::ops::Range;
use uketsuke::store::{NewCase, Opening, Proof, Recording, Request, RequestKind};
use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::clock::Mono;
use uketsuke_core::consent::Consent;
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::invariants::ReceptionWatch;
use uketsuke_core::ladder::{Answered, Case, Cause, PersonMatch};
use uketsuke_core::outbox::Circuit;
use uketsuke_core::pin::Pad;
use uketsuke_core::reception::{
    CardFacts, CertificateAge, Effect, Event, FACE_FAILURES_MAX, FaceCount, FaceMethod, FaceOutcome, NotWritten,
    PinMethod, PinOutcome, ReadFailure, Reception, Rules, Screen,
};
use uketsuke_core::record::{Abandonment, Evidence, Method, Shown, Verification};

/// As in the reader's actor: how long ago a reception may have been recorded to be resumed.
const RESUME_WITHIN_MS: i64 = 5 * 60 * 1000;
/// What the shell knows of the card that is in.
struct Session {
    reception: ReceptionId,
    patient: u8,
    question: RequestId,
    /// 初回登録, while it is on its way to the disk and once it is there.
    registering: Option<RequestId>,
    registration: Option<RequestId>,
    face_failures: u32,
}

/// One reader in this life of the process.
pub(super) struct Reader {
    /// Which life of the actor; `None` while there is none.
    pub(super) life: Option<u64>,
    pub(super) core: Reception,
    watch: ReceptionWatch,
    /// The driver works.
    driver: bool,
    /// No report of the driver overtakes another.
    reported_at: u64,
    session: Option<Session>,
    resumable: Option<Range<i64>>,
    armed: Option<Mono>,
    pub(super) jobs: VecDeque<Job>,
    /// Something is on its way to the disk.
    pub(super) writing: bool,
    /// Abandonments that could not be written; they go before everything else.
    pub(super) owed: VecDeque<Write>,
}

impl Reader {
    pub(super) fn asleep(rules: &Rules) -> Self {
        Self {
            life: None,
            core: Reception::new(rules.clone()),
            watch: ReceptionWatch::default(),
            driver: false,
            reported_at: 0,
            session: None,
            resumable: None,
            armed: None,
            jobs: VecDeque::new(),
            writing: false,
            owed: VecDeque::new(),
        }
    }

    pub(super) fn lives(&self) -> bool {
        self.life.is_some()
    }

    /// Nothing to be written.
    pub(super) fn has_written(&self) -> bool {
        self.jobs.is_empty() && self.owed.is_empty()
    }
}

pub(super) fn name(reader: usize) -> String {
    format!("desk-1/{reader}")
}

impl World {
    pub(super) fn reader(&mut self, reader: usize) -> Option<&mut Reader> {
        self.process.as_mut()?.readers.get_mut(reader)
    }

    /// The reader, if it still lives this life.
    fn reader_in(&mut self, reader: usize, life: u64) -> Option<&mut Reader> {
        self.reader(reader).filter(|reader| reader.life == Some(life))
    }

    pub(super) fn reader_up(&mut self, index: usize) {
        let (life, stamp) = (self.new_life(), self.time.stamp());
        let rules = self.rules.clone();
        let Some(reader) = self.reader(index).filter(|reader| !reader.lives()) else { return };
        reader.life = Some(life);
        reader.core = Reception::new(rules);
        reader.watch = ReceptionWatch::default();
        (reader.session, reader.armed, reader.driver) = (None, None, true);
        reader.resumable = Some(stamp.wall_ms - RESUME_WITHIN_MS..stamp.wall_ms);
        self.trace.note(self.time.ms, 10, index as u64, || format!("reader {index} lives (life {life})"));
        self.slots[index].seen = (None, 0);
        self.write(index, Write::AbandonOpen(stamp));
        if self.slots[index].card.is_some() {
            self.report_card(index, true);
        }
    }

    /// The actor dies; its scribe goes on.
    pub(super) fn reader_dies(&mut self, index: usize) {
        let Some(reader) = self.reader(index).filter(|reader| reader.lives()) else { return };
        (reader.life, reader.driver) = (None, false);
        self.counts.reader_restarts += 1;
        self.trace.note(self.time.ms, 11, index as u64, || format!("the actor of reader {index} dies"));
        self.soon(100..=8_000, Inside::ReaderUp(index));
    }

    /// The reader itself fails, and its driver ends.
    pub(super) fn reader_fails(&mut self, index: usize) {
        let notice = self.rules.timing.notice.as_millis() as u64;
        let Some(reader) = self.reader(index).filter(|reader| reader.driver) else { return };
        reader.driver = false;
        let Some(life) = reader.life else { return };
        self.counts.reader_faults += 1;
        self.soon(1..=20, Inside::Tell(index, life, Event::ReaderFault));
        self.soon(notice + 30..=notice + 60, Inside::ReaderEnds(index, life));
        if self.slots[index].card.is_some() {
            self.will_do(index, 2_000..=60_000, Deed::Pull);
        }
    }

    pub(super) fn reader_ends(&mut self, index: usize, life: u64) {
        let Some(reader) = self.reader_in(index, life) else { return };
        reader.life = None;
        self.trace.note(self.time.ms, 12, index as u64, || format!("reader {index} ends"));
        self.soon(200..=8_000, Inside::ReaderUp(index));
    }

    /// The driver notices a card, or its absence, after a moment.
    pub(super) fn report_card(&mut self, index: usize, inserted: bool) {
        let moment = self.time.ms + self.rng.random_range(1..60);
        let Some(reader) = self.reader(index).filter(|reader| reader.driver) else { return };
        let Some(life) = reader.life else { return };
        let at = moment.max(reader.reported_at + 1);
        reader.reported_at = at;
        self.at(at, Inside::Card(index, life, inserted));
    }

    pub(super) fn card_reported(&mut self, index: usize, life: u64, inserted: bool) {
        let reception = ReceptionId(self.id());
        let Some(reader) = self.reader_in(index, life).filter(|reader| reader.driver) else { return };
        let recording = matches!(reader.core.screen(), Screen::Recording);
        if !inserted && reader.core.busy() {
            self.counts.pulled += 1;
            self.counts.too_late_to_leave += u64::from(recording);
        }
        self.on(index, if inserted { Event::CardPlaced(reception) } else { Event::CardRemoved });
    }

    /// An event on its way to whoever lives at this reader when it arrives.
    pub(super) fn send(&mut self, index: usize, event: Event) {
        let Some(life) = self.reader(index).and_then(|reader| reader.life) else { return };
        self.soon(1..=30, Inside::Tell(index, life, event));
    }

    pub(super) fn tell(&mut self, index: usize, life: u64, event: Event) {
        let Some(reader) = self.reader_in(index, life) else { return };
        if let Event::Intent(reception, version, uketsuke_core::reception::Intent::Cancel) = &event
            && (reader.core.current(), reader.core.version()) == (Some(*reception), *version)
            && reader.core.screen() == Screen::Recording
        {
            let reception = *reception;
            self.counts.too_late_to_leave += 1;
            self.leaves_during_t2(index, reception, Abandonment::Cancelled);
        }
        if let Event::RegistrationWritten(reception, Ok(())) = &event
            && let Some(reader) = self.reader(index)
            && let Some(session) = reader.session.as_mut().filter(|session| session.reception == *reception)
        {
            session.registration = session.registering;
        }
        self.on(index, event);
    }

    pub(super) fn timer(&mut self, index: usize, life: u64) {
        if self.without != Some(Guard::Deadline) && self.reader_in(index, life).is_some() {
            self.on(index, Event::Tick);
        }
    }

    /// Counts what was pressed too late.
    pub(super) fn pressed(&mut self, index: usize, version: u64) {
        if self.reader(index).is_some_and(|reader| reader.core.version() != version) {
            self.counts.stale_presses += 1;
        }
    }

    /// A shell that knows better than the core writes an abandonment behind T2, see [`Guard::T2`].
    fn leaves_during_t2(&mut self, index: usize, reception: ReceptionId, why: Abandonment) {
        if self.without == Some(Guard::T2) {
            self.write(index, Write::Abandon(reception, why, self.time.stamp()));
        }
    }

    /// Feeds one event, performs what follows, and shows the screen.
    fn on(&mut self, index: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.time.now();
            let without = self.without;
            let Some(reader) = self.reader(index) else { return };
            let event = match reader.core.current() {
                Some(current) if without == Some(Guard::Reception) => stamped(event, current),
                _ => event,
            };
            if event == Event::CardRemoved && reader.core.screen() == Screen::Recording {
                let of = reader.core.current();
                of.into_iter().for_each(|of| self.leaves_during_t2(index, of, Abandonment::CardRemoved));
            }
            let Some(reader) = self.reader(index) else { return };
            let before = reader.core.clone();
            let mut effects = Vec::new();
            reader.core.step(now, event.clone(), &mut effects);
            let checked = reader.watch.check(now, &before, &event, &effects, &reader.core);
            let (current, version, state) = (reader.core.current(), reader.core.version(), reader.core.state_name());
            let detail =
                current.map_or(0, |reception| reception.0.as_u128() as u64) << 20 ^ version << 8 ^ index as u64;
            if event != Event::Tick || !effects.is_empty() || before.version() != version {
                self.trace.note(self.time.ms, 13, detail, || {
                    format!("reader {index}: {} → {state}; {}", brief(&event), list(&effects))
                });
            }
            if let Err(broken) = checked {
                self.judge.fails(broken.to_string());
            }
            for effect in effects {
                if self.dies_now() {
                    return;
                }
                events.extend(self.perform(index, effect));
            }
            let down = self.line_is_known_to_be_down();
            if let Event::Opened(reception, Ok(())) = event
                && down
            {
                events.push_back(Event::LineDown(reception));
            }
        }
        self.arm(index);
        self.show(index);
    }

    fn arm(&mut self, index: usize) {
        let boot_ms = self.time.boot_ms;
        let Some(reader) = self.reader(index) else { return };
        let (deadline, Some(life)) = (reader.core.deadline(), reader.life) else { return };
        if reader.armed != deadline {
            reader.armed = deadline;
            if let Some(deadline) = deadline {
                let at = (boot_ms + deadline.0).max(self.time.ms) + self.rng.random_range(0..40);
                self.at(at, Inside::Timer(index, life));
            }
        }
    }

    fn show(&mut self, index: usize) {
        let Some(reader) = self.reader(index) else { return };
        let (seen, screen) = ((reader.core.current(), reader.core.version()), reader.core.screen());
        if self.slots[index].seen != seen {
            self.slots[index].seen = seen;
            self.judge_screen(seen.0, &screen);
            self.sees(index, seen.0, seen.1, &screen);
        }
    }

    /// Performs an effect, as the reader's actor does.
    fn perform(&mut self, index: usize, effect: Effect) -> Option<Event> {
        let life = self.reader(index)?.life?;
        match effect {
            Effect::ReadCard(reception) => {
                let slow = self.bad_luck(0.02);
                self.soon(150..=if slow { 14_000 } else { 1_500 }, Inside::Read(index, life, reception));
            }
            Effect::DrawPad(reception) => {
                let mut digits = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
                digits.shuffle(&mut self.rng);
                return Pad::new(digits).map(|pad| Event::PadDrawn(reception, pad));
            }
            Effect::StartFace(reception, attempt) => {
                let judged = self.face(index);
                self.soon(400..=7_000, Inside::Tell(index, life, Event::FaceJudged(reception, attempt, judged)));
            }
            Effect::VerifyPin(reception, pin, _) => {
                let right = pin.digits() == PIN;
                self.soon(100..=2_000, Inside::Pin(index, life, reception, right));
            }
            Effect::Open { reception, verification } => match self.opening(index, reception, verification) {
                Some(opening) => self.write(index, Write::Open(Box::new(opening))),
                None => return Some(Event::Opened(reception, Err(NotWritten))),
            },
            Effect::CountFace(reception, count) => {
                let stamp = self.time.stamp();
                let session = self.reader(index)?.session.as_mut().filter(|session| session.reception == reception)?;
                let locked = session.face_failures >= FACE_FAILURES_MAX;
                match count {
                    FaceCount::Failed => session.face_failures += 1,
                    FaceCount::Cleared => session.face_failures = 0,
                }
                let order_key = order_key(session.patient);
                self.counts.faces_unlocked += u64::from(locked && count == FaceCount::Cleared);
                self.write(index, Write::CountFace(order_key, count, stamp));
            }
            Effect::Register(reception) => match self.registering(index) {
                Some(request) => {
                    self.counts.registrations += 1;
                    self.write(index, Write::FollowUp(reception, Box::new(request), self.time.stamp()));
                }
                None => return Some(Event::RegistrationWritten(reception, Err(NotWritten))),
            },
            Effect::Record { reception, shown, consents } => match self.recording(index, reception, shown, consents) {
                Some(recording) => self.write(index, Write::Record(Box::new(recording))),
                None => return Some(Event::Recorded(reception, Err(NotWritten))),
            },
            Effect::Abandon(reception, why) => {
                self.counts.abandoned += 1;
                self.write(index, Write::Abandon(reception, why, self.time.stamp()));
            }
            Effect::Close(reception) => self.write(index, Write::Close(reception)),
            // The desk's list of the day is nobody's promise here.
            Effect::StopFace(_) | Effect::Note { .. } => {}
            Effect::ForgetCard(reception) => {
                let reader = self.reader(index)?;
                if reader.session.as_ref().is_some_and(|session| session.reception == reception) {
                    reader.session = None;
                }
            }
        }
        None
    }

    /// What the camera and the models make of the person here. Some look nothing like their photo.
    fn face(&mut self, index: usize) -> FaceOutcome {
        let session = self.reader(index).and_then(|reader| reader.session.as_ref());
        let (patient, failures) = session.map_or((0, 0), |session| (session.patient, session.face_failures));
        if failures >= FACE_FAILURES_MAX {
            self.judge.fails(format!("the face of patient {patient} was compared although it is locked"));
        }
        if patient % 3 == 2 && self.rng.random_ratio(4, 5) {
            self.counts.wrong_faces += 1;
            return FaceOutcome::NoMatch { score: 0.1 };
        }
        match self.rng.random_range(0..20) {
            0..=11 => FaceOutcome::Match { score: 0.7 },
            12 | 13 => FaceOutcome::Uncertain { score: 0.4 },
            14..=16 => {
                self.counts.wrong_faces += 1;
                FaceOutcome::NoMatch { score: 0.1 }
            }
            17 | 18 => FaceOutcome::NoFace,
            _ => FaceOutcome::Fault,
        }
    }

    pub(super) fn card_read(&mut self, index: usize, life: u64, reception: ReceptionId) {
        let question = RequestId(self.id());
        let dirty = self.bad_luck(0.02);
        let Some(patient) = self.slots[index].card.filter(|_| !dirty) else {
            let unreadable = Event::CardRead(reception, Err(ReadFailure::Unreadable));
            return self.soon(500..=500, Inside::Tell(index, life, unreadable));
        };
        let pin = match self.tries.get(usize::from(patient)).copied() {
            None => PinMethod::Absent,
            Some(0) => PinMethod::Locked,
            Some(tries) => PinMethod::Tries(tries),
        };
        let face =
            [FaceMethod::Ready, FaceMethod::NoNumber, FaceMethod::Off][[0, 0, 0, 1, 2][self.rng.random_range(0..5)]];
        let certificate = match self.rng.random_range(0..12) {
            0 => CertificateAge::Grace,
            1 => CertificateAge::ExpiresSoon,
            _ => CertificateAge::Valid,
        };
        let store = self.disk.store.clone();
        let failures = super::disk::at_once(store.face_failures(order_key(patient)));
        let face_failures = failures.and_then(Result::ok).unwrap_or_default();
        self.counts.faces_locked += u64::from(face_failures >= FACE_FAILURES_MAX);
        let Some(reader) = self.reader_in(index, life).filter(|reader| reader.driver) else { return };
        let recorded_before = reader.resumable.take().and_then(|when| {
            let at = name(index);
            let looking = store.last_recorded(&at, order_key(patient), when.start, when.end);
            let record = super::disk::at_once(looking)?.ok()??;
            Some((record.reception, record.recorded?.1))
        });
        if reader.core.current() == Some(reception) {
            let (registering, registration) = (None, None);
            reader.session = Some(Session { reception, patient, question, registering, registration, face_failures });
        }
        self.counts.resumes += u64::from(recorded_before.is_some());
        let facts = CardFacts { certificate, pin, face, face_failures, recorded_before };
        self.on(index, Event::CardRead(reception, Ok(facts)));
    }

    pub(super) fn pin_checked(&mut self, index: usize, life: u64, reception: ReceptionId, right: bool) {
        let fault = self.bad_luck(0.02);
        let outcome = match self.slots[index].card.filter(|_| !fault) {
            None => PinOutcome::Fault,
            Some(patient) => {
                let tries = &mut self.tries[usize::from(patient)];
                match (right, *tries) {
                    (_, 0) => PinOutcome::Locked,
                    (true, _) => {
                        *tries = 3;
                        PinOutcome::Verified
                    }
                    (false, _) => {
                        *tries -= 1;
                        if *tries == 0 { PinOutcome::Locked } else { PinOutcome::Wrong { tries_left: *tries } }
                    }
                }
            }
        };
        self.tell(index, life, Event::PinChecked(reception, outcome));
    }

    fn opening(&mut self, index: usize, reception: ReceptionId, verification: Verification) -> Option<Opening> {
        self.counts.by_proxy += u64::from(verification.method == Method::PinByProxy);
        self.counts.staff_looks += u64::from(verification.method == Method::Staff);
        let (opened, without) = (self.time.now(), self.without);
        let anything = OrderKey(self.rng.random());
        let session = self.reader(index)?.session.as_ref()?;
        let (patient, id) = (session.patient, session.question);
        let body = Content { patient, reception: reception.0, question: id.0, purpose: Purpose::Plain }.to_body();
        self.judge.patients.insert(id, patient);
        self.count_again(patient);
        Some(Opening {
            reception,
            reader: name(index),
            order_key: if without == Some(Guard::Order) { anything } else { order_key(patient) },
            evidence: Evidence::of(verification),
            opened,
            request: Request { id, kind: RequestKind::Eligibility, body, proof: Proof::Gateway },
        })
    }

    fn recording(
        &mut self,
        index: usize,
        reception: ReceptionId,
        shown: Shown,
        consents: Vec<Consent>,
    ) -> Option<Recording> {
        let (recorded, id) = (self.time.stamp(), RequestId(self.id()));
        let case = self.case(index, &shown);
        let session = self.reader(index)?.session.as_ref()?;
        let (patient, question) = (session.patient, session.question.0);
        let content = Content { patient, reception: reception.0, question, purpose: Purpose::Plain };
        let request = (!consents.is_empty()).then(|| Request {
            id,
            kind: RequestKind::Consent,
            body: content.to_body(),
            proof: Proof::Gateway,
        });
        Some(Recording { reception, shown, consents, request, case, recorded })
    }

    /// As in the reader's actor.
    fn case(&mut self, index: usize, shown: &Shown) -> Option<NewCase> {
        let (now, rules) = (self.time.now(), self.case_rules.clone());
        let session = self.reader(index)?.session.as_ref()?;
        let cause = match shown {
            Shown::Confirmed => return None,
            Shown::Provisional | Shown::Ineligible(Reason::SeveralInsurances) => Cause::NoAnswer,
            Shown::Ineligible(reason) => Cause::Answered(Answered {
                verdict: Verdict::Ineligible(reason.clone()),
                results: 0,
                person: PersonMatch::NothingToCompare,
            }),
        };
        let case = Case::open(rules, now, cause, &mut Vec::new());
        Some(NewCase { case, asked: session.registration.unwrap_or(session.question), papers: Vec::new() })
    }

    fn registering(&mut self, index: usize) -> Option<Request> {
        let id = RequestId(self.id());
        let session = self.reader(index)?.session.as_mut()?;
        session.registering = Some(id);
        let (patient, reception, question) = (session.patient, session.reception.0, session.question.0);
        self.judge.patients.insert(id, patient);
        let body = Content { patient, reception, question, purpose: Purpose::Register }.to_body();
        Some(Request { id, kind: RequestKind::FollowUp, body, proof: Proof::Gateway })
    }

    /// Some have failed at other readers, or on other days.
    pub(super) fn faces_that_failed_before(&mut self) {
        for patient in 0..self.patients {
            let times = if self.rng.random_ratio(1, 3) { self.rng.random_range(5..=FACE_FAILURES_MAX) } else { 0 };
            for _ in 0..times {
                let count = self.disk.store.count_face(order_key(patient), FaceCount::Failed, self.time.stamp());
                super::disk::at_once(count);
            }
        }
    }

    /// What the store tells without being asked.
    pub(super) fn hear_the_store(&mut self) {
        let replies = self.disk.replies();
        if !replies.is_empty() {
            self.keep_books();
        }
        for notice in replies {
            let ended = !self.is_current(notice.reception);
            self.counts.late_verdicts += u64::from(ended);
            // Every reader hears every notice; the core drops those of other receptions.
            for index in 0..self.slots.len() {
                self.send(index, Event::Replied(notice.reception, notice.ask, notice.reply.clone()));
            }
            self.look_at_case(notice.reception);
        }
        for reception in self.disk.opened_cases() {
            self.look_at_case(reception);
        }
        if self.disk.appended() {
            self.wake_courier();
        }
    }

    fn is_current(&self, reception: ReceptionId) -> bool {
        self.process.iter().flat_map(|p| &p.readers).any(|r| r.core.busy() && r.core.current() == Some(reception))
    }

    /// The line went down: whoever waits for an answer hears of it.
    pub(super) fn tell_line_down(&mut self) {
        for index in 0..self.slots.len() {
            if let Some(reception) = self.reader(index).and_then(|reader| reader.core.current()) {
                self.send(index, Event::LineDown(reception));
            }
        }
    }

    fn line_is_known_to_be_down(&self) -> bool {
        self.process.as_ref().is_some_and(|process| matches!(process.courier.plan.circuit(), Circuit::Down { .. }))
    }
}

/// One key for one patient.
pub(super) fn order_key(patient: u8) -> OrderKey {
    OrderKey([patient; 32])
}

/// The same result, as if it were the current reception's.
fn stamped(event: Event, current: ReceptionId) -> Event {
    match event {
        Event::CardRead(_, read) => Event::CardRead(current, read),
        Event::PadDrawn(_, pad) => Event::PadDrawn(current, pad),
        Event::FaceJudged(_, attempt, judged) => Event::FaceJudged(current, attempt, judged),
        Event::PinChecked(_, checked) => Event::PinChecked(current, checked),
        Event::StaffDecided(_, decision, by) => Event::StaffDecided(current, decision, by),
        Event::StaffAssists(_, by) => Event::StaffAssists(current, by),
        Event::StaffLeave(_) => Event::StaffLeave(current),
        Event::RegistrationWritten(_, result) => Event::RegistrationWritten(current, result),
        Event::Opened(_, result) => Event::Opened(current, result),
        Event::Replied(_, ask, reply) => Event::Replied(current, ask, reply),
        Event::LineDown(_) => Event::LineDown(current),
        Event::Recorded(_, result) => Event::Recorded(current, result),
        event => event,
    }
}

fn short(id: ReceptionId) -> u128 {
    id.0.as_u128()
}

/// An event in a few words.
fn brief(event: &Event) -> String {
    let text = format!("{event:?}");
    let of = event.reception().map(|reception| format!(" of reception {}", short(reception))).unwrap_or_default();
    let kind = text.split(['(', ' ']).next().unwrap_or_default().to_owned();
    match event {
        Event::Intent(_, version, intent) => format!("{intent:?} (screen {version}){of}"),
        Event::CardPlaced(reception) => format!("CardPlaced: reception {}", short(*reception)),
        Event::Opened(_, result) | Event::Recorded(_, result) => format!("{kind} {result:?}{of}"),
        Event::Replied(_, ask, reply) => format!("{kind} {ask:?} {reply:?}{of}"),
        _ => format!("{kind}{of}"),
    }
}

/// Effects by their names.
fn list(effects: &[Effect]) -> String {
    let names = effects.iter().map(|effect| {
        let text = format!("{effect:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    });
    names.collect::<Vec<_>>().join(", ")
}
