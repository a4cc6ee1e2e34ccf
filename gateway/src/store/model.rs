//! The store in memory: the same behaviour as on disk, under virtual time, with switches for faults.
//!
//! Promise: [`Model`] and SQLite pass one contract suite. What the model leaves out is what memory cannot have: seals, row checks,
//! the side file.

mod consents;
mod read;

use super::cases::{self, Step};
use super::command::{Command, DONE, Effect, Outcome};
use super::papers::Paper;
use super::signals::Signals;
use super::{
    CaseNotice, CaseRow, CaseWrite, Horizon, ISOLATED_HOLD, KeptName, KeptReply, Lane, Opening, OutboxHead, OutboxRow,
    READER_CHARS_MAX, REQUEST_REJECTED, RETRY_AFTER_MAX, Recording, ReplyNotice, Request, RequestKind, RowState,
    Settlement, Store, StoreError, TrailEntry,
};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use uketsuke_core::answer::bounded_code;
use uketsuke_core::clock::{Now, Stamp};
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::outbox::attempts_after;
use uketsuke_core::reception::{Ask, FaceCount};
use uketsuke_core::record::{Abandonment, ReceptionRecord, Rejection, Reply, Shown, Stage};
use uketsuke_core::visit::{self, EarlierReception};
use zeroize::Zeroizing;

/// The store in memory.
#[derive(Default)]
pub struct Model {
    disk: Arc<Mutex<Disk>>,
    faults: Mutex<Faults>,
    signals: Signals,
}

/// Where writes are held until [`Model::release`] or [`Model::crash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// Nowhere.
    #[default]
    No,
    /// Before their commit: a crash loses them.
    BeforeCommit,
    /// After their commit, before anybody is told: a crash keeps them.
    BeforeAnswer,
}

/// A rule that can be taken out, to see that somebody would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Only an open reception is abandoned: without it, one that is recorded is turned into an abandoned one as well.
    RecordedStays,
    /// Receptions of one visit are linked, not merged: without it, the later one takes the place of the first.
    VisitsAreLinked,
}

#[derive(Default)]
struct Faults {
    failing: Option<(usize, StoreError)>,
    hold: Hold,
    uncommitted: VecDeque<(Command, oneshot::Sender<Outcome>)>,
    unanswered: VecDeque<(Outcome, oneshot::Sender<Outcome>)>,
}

/// What survives a crash.
#[derive(Default)]
struct Disk {
    receptions: Vec<Reception>,
    outbox: Vec<Row>,
    settled: HashMap<RequestId, (Zeroizing<Vec<u8>>, i64)>,
    /// How many, and when the last one was counted.
    face_failures: HashMap<OrderKey, (u32, i64)>,
    kept: HashMap<KeptName, Zeroizing<Vec<u8>>>,
    trail: Vec<TrailEntry>,
    /// In the order of their receptions, as far as it matters here: in the order they were opened.
    cases: Vec<(CaseRow, Vec<Paper>)>,
    answers: Vec<Answer>,
    last_seq: i64,
    commits: i64,
    without: Option<Rule>,
}

struct Reception {
    /// Of its first question.
    seq: i64,
    order_key: OrderKey,
    opened: Now,
    consent_request: Option<RequestId>,
    record: ReceptionRecord,
}

/// A reply of a reception, with the whole answer if it was one.
type Answer = (ReceptionId, KeptReply, Option<Zeroizing<Vec<u8>>>);

struct Row {
    row: OutboxRow,
    state: RowState,
    not_before_ms: i64,
    last_error: Option<String>,
    created_ms: i64,
}

impl Row {
    fn head(&self) -> OutboxHead {
        OutboxHead {
            seq: self.row.seq,
            id: self.row.request.id,
            kind: self.row.request.kind,
            reception: self.row.reception,
            lane: self.row.lane,
            state: self.state,
            attempts: self.row.attempts,
            last_error: self.last_error.clone(),
            created_ms: self.created_ms,
            not_before_ms: self.not_before_ms,
        }
    }
}

/// What one command means to others.
#[derive(Default)]
struct Told {
    changed: bool,
    appended: bool,
    replies: Vec<ReplyNotice>,
    cases: Vec<CaseNotice>,
}

impl Model {
    /// The next `commits` writes fail with `error`; [`StoreError::Fatal`] stays for ever.
    pub fn fail_next(&self, commits: usize, error: StoreError) {
        self.faults().failing = Some((commits, error));
    }

    /// From now on writes are held.
    pub fn hold(&self, hold: Hold) {
        self.faults().hold = hold;
    }

    /// From now on, crashes included, this rule is not kept.
    pub fn take_out(&self, rule: Rule) {
        self.disk().without = Some(rule);
    }

    /// Lets everything that is held go on, in order, and holds nothing more.
    pub fn release(&self) {
        let mut faults = self.faults();
        faults.hold = Hold::No;
        for (outcome, done) in std::mem::take(&mut faults.unanswered) {
            let _ = done.send(outcome);
        }
        let held = std::mem::take(&mut faults.uncommitted);
        drop(faults);
        for (command, done) in held {
            let _ = done.send(self.commit(&command));
        }
    }

    /// The power goes: what is committed is in the returned store; this one answers nobody any more.
    pub fn crash(&self) -> Store {
        self.signals.failed("the model crashed");
        let mut faults = self.faults();
        faults.uncommitted.clear();
        faults.unanswered.clear();
        drop(faults);
        // A copy: a handle that outlives the crash cannot reach the new store.
        let disk = std::mem::take(&mut *self.disk());
        let (commits, last_seq) = (disk.commits, disk.last_seq);
        let survivor = Self { disk: Arc::new(Mutex::new(disk)), ..Self::default() };
        survivor.signals.committed(commits, Some(last_seq), Vec::new());
        Store::on_model(survivor)
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    pub(super) async fn write(&self, command: Command) -> Outcome {
        self.signals.check()?;
        let (done, outcome) = oneshot::channel();
        let hold = self.faults().hold;
        match hold {
            Hold::No => return self.commit(&command),
            Hold::BeforeCommit => self.faults().uncommitted.push_back((command, done)),
            Hold::BeforeAnswer => {
                let outcome = self.commit(&command);
                self.faults().unanswered.push_back((outcome, done));
            }
        }
        outcome.await.unwrap_or_else(|_| Err(StoreError::Fatal { what: "the model crashed".into() }))
    }

    fn commit(&self, command: &Command) -> Outcome {
        self.signals.check()?;
        if let Some((left, error)) = self.faults().failing.as_mut().filter(|(left, _)| *left > 0) {
            *left -= 1;
            match error {
                StoreError::Fatal { what } => drop(self.signals.failed(what)),
                StoreError::Full => self.signals.full(false),
                _ => {}
            }
            return Err(error.clone());
        }
        let mut told = Told::default();
        let mut disk = self.disk();
        let outcome = disk.apply(command, &mut told);
        if told.changed {
            disk.commits += 1;
            let appended = told.appended.then_some(disk.last_seq);
            self.signals.committed(disk.commits, appended, told.replies);
            self.signals.cases_changed(told.cases);
            self.signals.well();
        }
        outcome
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&Disk) -> T) -> Result<T, StoreError> {
        self.signals.check()?;
        Ok(read(&self.disk()))
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        self.signals.check()?;
        self.release();
        self.signals.close();
        Ok(())
    }
}

fn conflict(what: impl std::fmt::Display, why: &'static str) -> Outcome {
    Err(StoreError::Conflict { what: what.to_string(), why })
}

fn unknown(what: impl std::fmt::Display) -> Outcome {
    Err(StoreError::Unknown { what: what.to_string() })
}

impl Disk {
    fn apply(&mut self, command: &Command, told: &mut Told) -> Outcome {
        match command {
            Command::Open(opening) => self.open(opening, told),
            Command::Record(recording) => self.record(recording, told),
            Command::Abandon { reception, why, at } => {
                self.abandon(*reception, *why, *at, told);
                DONE
            }
            Command::Close { reception } => self.close(*reception, told),
            Command::AbandonOpen { reader, at } => {
                let open = |r: &&Reception| r.record.stage == Stage::Open;
                let here = |r: &&Reception| reader.as_ref().is_none_or(|reader| *reader == r.record.reader);
                let ids: Vec<_> =
                    self.receptions.iter().filter(open).filter(here).map(|r| r.record.reception).collect();
                for id in &ids {
                    self.abandon(*id, Abandonment::Restarted, *at, told);
                }
                Ok(Effect::Abandoned(ids))
            }
            Command::Settle { seq, settlement, at, .. } => self.settle(*seq, settlement, *at, told),
            Command::FollowUp { reception, request, lane, at } => self.follow_up(*reception, request, *lane, *at, told),
            Command::SaveCase(write) => self.save_case(write, told),
            Command::CountFace { order_key, count, at } => {
                told.changed = true;
                let counted_ms = self.settled_ms(*at);
                match count {
                    FaceCount::Failed => {
                        let (failures, last_ms) = self.face_failures.entry(*order_key).or_default();
                        (*failures, *last_ms) = (failures.saturating_add(1), counted_ms);
                    }
                    FaceCount::Cleared => drop(self.face_failures.remove(order_key)),
                }
                DONE
            }
            Command::Keep(keeping) => {
                told.changed = true;
                self.kept.insert(keeping.name, keeping.value.clone());
                keeping.trail.iter().for_each(|entry| self.note(entry));
                DONE
            }
            Command::Note(entry) => {
                told.changed = true;
                self.note(entry);
                DONE
            }
            // Nothing is sealed in memory, and nobody alters it.
            Command::SwitchKey(_) | Command::Reseal { .. } | Command::ForgetFormerKey => DONE,
            Command::Requeue { seq } => self.requeue(*seq, told),
            Command::SetAside { seq, why, at } => self.set_aside(*seq, why, *at, told),
            Command::Forget { receptions, horizon } => {
                Ok(Effect::Rows(receptions.iter().map(|id| u64::from(self.forget(*id, *horizon, told))).sum()))
            }
            Command::ForgetNotes { before_ms, limit } => Ok(Effect::Rows(self.forget_notes(*before_ms, *limit, told))),
            Command::ForgetSettled { before_ms, limit } => {
                Ok(Effect::Rows(self.forget_settled(*before_ms, *limit, told)))
            }
            Command::Isolate { .. } | Command::Ping => DONE,
            #[cfg(test)]
            Command::Sql(_) | Command::BreakSideFile => DONE,
        }
    }

    fn note(&mut self, entry: &TrailEntry) {
        if self.trail.iter().all(|known| known.id != entry.id) {
            self.trail.push(entry.clone());
        }
    }

    fn open(&mut self, opening: &Opening, told: &mut Told) -> Outcome {
        let body = self.body(opening.request.id);
        match (self.reception(opening.reception), body) {
            (None, None) => {}
            (Some(index), Some(body))
                if self.receptions[index].record.request == opening.request.id && *body == opening.request.body =>
            {
                return DONE;
            }
            _ => return conflict(format!("reception {}", opening.reception), "it was opened before, or its request"),
        }
        if opening.reader.chars().count() > READER_CHARS_MAX {
            let what = format!("reception {}", opening.reception);
            return Err(StoreError::Refused { what, why: "the reader's name is too long".into() });
        }
        let same_visit_as = self.same_visit(opening);
        if let Some(first) = same_visit_as.filter(|_| self.without == Some(Rule::VisitsAreLinked)) {
            return self.merge(first, opening, told);
        }
        self.receptions.push(Reception {
            seq: self.last_seq + 1,
            order_key: opening.order_key,
            opened: opening.opened,
            consent_request: None,
            record: ReceptionRecord {
                reception: opening.reception,
                request: opening.request.id,
                reader: opening.reader.clone(),
                evidence: opening.evidence.clone(),
                same_visit_as,
                stage: Stage::Open,
                opened: opening.opened.stamp,
                recorded: None,
                recorded_place: None,
                consents: Vec::new(),
                abandoned: None,
                replied: None,
                followed_up: None,
            },
        });
        let (id, key) = (opening.reception, opening.order_key);
        self.append(&opening.request, id, key, Lane::Interactive, opening.opened.stamp, told);
        DONE
    }

    /// What is done without [`Rule::VisitsAreLinked`].
    fn merge(&mut self, first: ReceptionId, opening: &Opening, told: &mut Told) -> Outcome {
        let Some(index) = self.reception(first) else { return unknown(format!("reception {first}")) };
        let record = &mut self.receptions[index].record;
        record.request = opening.request.id;
        record.evidence = opening.evidence.clone();
        record.opened = opening.opened.stamp;
        self.append(&opening.request, first, opening.order_key, Lane::Interactive, opening.opened.stamp, told);
        DONE
    }

    fn record(&mut self, recording: &Recording, told: &mut Told) -> Outcome {
        let what = format!("reception {}", recording.reception);
        let Some(index) = self.reception(recording.reception) else { return unknown(what) };
        let request = recording.request.as_ref();
        let known = request.and_then(|request| self.body(request.id));
        let same_body = request.is_none_or(|request| known == Some(&request.body));
        let fresh = known.is_none();
        let reception = &mut self.receptions[index];
        let record = &mut reception.record;
        match record.stage {
            Stage::Abandoned => return conflict(what, "it was abandoned"),
            Stage::Recorded | Stage::Closed => {
                let same = record.recorded.as_ref().is_some_and(|(_, shown)| *shown == recording.shown)
                    && record.consents == recording.consents
                    && reception.consent_request == request.map(|request| request.id)
                    && same_body;
                return if same { DONE } else { conflict(what, "it was recorded before with other content") };
            }
            Stage::Open if !fresh && !same_body => return conflict(what, "its consent request's id is in use"),
            Stage::Open => {}
        }
        record.stage = Stage::Recorded;
        record.recorded = Some((recording.recorded, recording.shown.clone()));
        self.last_seq += 1;
        record.recorded_place = u64::try_from(self.last_seq).ok();
        record.consents.clone_from(&recording.consents);
        reception.consent_request = request.map(|request| request.id);
        told.changed = true;
        if let Some(new) = &recording.case {
            let row = cases::opened(recording.reception, new, recording.recorded);
            told.cases.push(CaseNotice { reception: row.reception, version: row.version });
            self.cases.push((row, new.papers.clone()));
        }
        let (question, key) = (record.request, reception.order_key);
        let rejected = matches!(record.replied, Some((_, Reply::Rejected(_))));
        if recording.shown == Shown::Provisional {
            self.move_to_backlog(question);
        }
        if let Some(request) = request.filter(|_| fresh) {
            self.append(request, recording.reception, key, Lane::Backlog, recording.recorded, told);
        }
        if rejected {
            self.reject_dependents(recording.reception, None, recording.recorded, told);
        }
        DONE
    }

    fn abandon(&mut self, id: ReceptionId, why: Abandonment, at: Stamp, told: &mut Told) {
        let Some(index) = self.reception(id) else { return };
        let record = &mut self.receptions[index].record;
        let settled = record.stage == Stage::Abandoned
            || record.stage != Stage::Open && self.without != Some(Rule::RecordedStays);
        if settled {
            return;
        }
        record.stage = Stage::Abandoned;
        record.abandoned = Some((at, why));
        told.changed = true;
        let question = record.request;
        self.move_to_backlog(question);
    }

    fn close(&mut self, id: ReceptionId, told: &mut Told) -> Outcome {
        let what = format!("reception {id}");
        let Some(index) = self.reception(id) else { return unknown(what) };
        let record = &mut self.receptions[index].record;
        match record.stage {
            Stage::Closed => DONE,
            Stage::Recorded => {
                record.stage = Stage::Closed;
                told.changed = true;
                DONE
            }
            Stage::Open | Stage::Abandoned => conflict(what, "it is not recorded"),
        }
    }

    fn settle(&mut self, seq: i64, settlement: &Settlement, at: Stamp, told: &mut Told) -> Outcome {
        let what = format!("outbox row {seq}");
        let Some(index) = self.outbox.iter().position(|row| row.row.seq == seq) else {
            return if (1..=self.last_seq).contains(&seq) { DONE } else { unknown(what) };
        };
        let row = &mut self.outbox[index];
        if row.state == RowState::Rejected {
            return DONE;
        }
        let (id, kind) = (row.row.request.id, row.row.request.kind);
        let reception = row.row.reception;
        match settlement {
            Settlement::Retry { code, after, own } => {
                row.row.attempts = attempts_after(row.row.attempts, *own);
                row.not_before_ms = at.wall_ms.saturating_add((*after).min(RETRY_AFTER_MAX).as_millis() as i64);
                row.last_error = Some(bounded_code(code));
            }
            Settlement::Delivered if kind.asks().is_some() => {
                return conflict(what, "a request for eligibility needs its answer");
            }
            Settlement::Answered { reply, answer } => {
                let Some(ask) = kind.asks() else { return conflict(what, "it asks for no eligibility") };
                self.keep_settled(index, at);
                self.outbox.remove(index);
                let kept = KeptReply { request: id, at, reply: reply.clone() };
                self.attach(reception, ask, kept, Some(answer), told);
            }
            Settlement::Delivered => {
                self.keep_settled(index, at);
                self.outbox.remove(index);
            }
            Settlement::Rejected { code } => {
                self.reject(index, bounded_code(code), at);
                if let Some(ask) = kind.asks() {
                    let reply = Reply::Rejected(Rejection { code: bounded_code(code) });
                    self.attach(reception, ask, KeptReply { request: id, at, reply }, None, told);
                }
                if kind == RequestKind::Eligibility {
                    self.reject_dependents(reception, None, at, told);
                }
            }
        }
        told.changed = true;
        DONE
    }

    fn reject(&mut self, index: usize, code: String, at: Stamp) {
        let row = &mut self.outbox[index];
        row.state = RowState::Rejected;
        row.last_error = Some(code);
        self.keep_settled(index, at);
    }

    fn append_follow_up(
        &mut self,
        of: usize,
        request: &Request,
        stands_alone: bool,
        lane: Lane,
        at: Stamp,
        told: &mut Told,
    ) {
        let Reception { order_key, record, .. } = &self.receptions[of];
        let (reception, rejected) = (record.reception, matches!(record.replied, Some((_, Reply::Rejected(_)))));
        self.append(request, reception, *order_key, lane, at, told);
        if rejected && !stands_alone {
            self.reject_dependents(reception, Some(request.id), at, told);
        }
    }

    fn reject_dependents(&mut self, reception: ReceptionId, only: Option<RequestId>, at: Stamp, told: &mut Told) {
        for index in 0..self.outbox.len() {
            let Row { row, state, .. } = &self.outbox[index];
            let (request, kind) = (row.request.id, row.request.kind);
            let depends = kind != RequestKind::Eligibility && only.is_none_or(|only| only == request);
            if row.reception == reception && depends && *state == RowState::Pending {
                self.reject(index, REQUEST_REJECTED.into(), at);
                if let Some(ask) = kind.asks() {
                    let reply = Reply::Rejected(Rejection { code: REQUEST_REJECTED.into() });
                    self.attach(reception, ask, KeptReply { request, at, reply }, None, told);
                }
            }
        }
    }

    fn attach(
        &mut self,
        id: ReceptionId,
        ask: Ask,
        kept: KeptReply,
        answer: Option<&Zeroizing<Vec<u8>>>,
        told: &mut Told,
    ) {
        let KeptReply { request, at, reply } = kept.clone();
        let Some(index) = self.reception(id) else { return };
        let record = &mut self.receptions[index].record;
        match ask {
            Ask::First if record.replied.is_some() => return,
            Ask::First => record.replied = Some((at, reply.clone())),
            Ask::FollowUp => record.followed_up = Some((at, reply.clone())),
        }
        self.answers.push((id, kept, answer.cloned()));
        told.replies.push(ReplyNotice { reception: id, ask, request, reply });
    }

    fn save_case(&mut self, write: &CaseWrite, told: &mut Told) -> Outcome {
        let Some(index) = self.case(write.reception) else {
            return unknown(format!("the case of reception {}", write.reception));
        };
        let known = write.request.as_ref().and_then(|r| self.body(r.id).map(|body| *body == r.body));
        let (row, papers) = &self.cases[index];
        let step = cases::step(write, row, papers, known)?;
        let of = self.reception(write.reception);
        if let (Step::Write(..), Some(anew), Some(of)) = (&step, &write.consents, of)
            && self.answered_since(of) != anew.answered_since
        {
            return conflict(format!("the case of reception {}", write.reception), "its patient has answered anew");
        }
        match step {
            Step::Known => {}
            Step::Write(row, papers) => {
                told.changed = true;
                told.cases.push(CaseNotice { reception: row.reception, version: row.version });
                self.cases[index] = (*row, papers);
                if let (Some(request), Some(of)) = (&write.request, of) {
                    self.append_follow_up(of, request, write.stands_alone, write.lane, write.at, told);
                }
                if let (Some(anew), Some(of)) = (&write.consents, of) {
                    self.consent_anew(of, &anew.request, write.at, told);
                }
            }
        }
        DONE
    }

    fn same_visit(&self, opening: &Opening) -> Option<ReceptionId> {
        let earlier = self.receptions.iter().filter(|other| other.order_key == opening.order_key).filter_map(|other| {
            let record = &other.record;
            Some(EarlierReception {
                reception: record.reception,
                order_key: other.order_key,
                age: super::visit_age(opening.opened, other.opened.into())?,
                same_visit_as: record.same_visit_as,
            })
        });
        visit::same_visit(opening.order_key, &earlier.collect::<Vec<_>>(), visit::SAME_VISIT_WITHIN)
    }

    fn case(&self, reception: ReceptionId) -> Option<usize> {
        self.cases.iter().position(|(row, _)| row.reception == reception)
    }

    fn follow_up(&mut self, id: ReceptionId, request: &Request, lane: Lane, at: Stamp, told: &mut Told) -> Outcome {
        let what = format!("reception {id}");
        let Some(index) = self.reception(id) else { return unknown(what) };
        match self.body(request.id) {
            Some(body) if *body == request.body => DONE,
            Some(_) => conflict(what, "its later question's id is in use"),
            None => {
                self.append_follow_up(index, request, false, lane, at, told);
                DONE
            }
        }
    }

    fn keep_settled(&mut self, index: usize, at: Stamp) {
        let settled_ms = self.settled_ms(at);
        let request = &self.outbox[index].row.request;
        self.settled.entry(request.id).or_insert_with(|| (request.body.clone(), settled_ms));
    }

    /// The date of what is settled now: no earlier than the latest one known, whatever the clock says.
    fn settled_ms(&self, at: Stamp) -> i64 {
        let latest = self.settled.values().map(|(_, settled_ms)| *settled_ms).max();
        latest.map_or(at.wall_ms, |latest| latest.max(at.wall_ms))
    }

    fn forget_settled(&mut self, before_ms: i64, limit: usize, told: &mut Told) -> u64 {
        let dated = self.settled.iter().map(|(id, (_, settled_ms))| (*settled_ms, *id));
        let mut old: Vec<_> = dated.filter(|(settled_ms, _)| *settled_ms < before_ms).collect();
        old.sort();
        old.truncate(limit);
        for (_, id) in &old {
            self.settled.remove(id);
        }
        told.changed |= !old.is_empty();
        old.len() as u64
    }

    fn forget_notes(&mut self, before_ms: i64, limit: usize, told: &mut Told) -> u64 {
        let old = self.trail.iter().take_while(|entry| entry.at.wall_ms < before_ms).count().min(limit);
        self.trail.drain(..old);
        let counts = self.face_failures.iter().filter(|(_, (_, counted_ms))| *counted_ms < before_ms);
        let keys: Vec<_> = counts.map(|(key, _)| *key).take(limit).collect();
        for key in &keys {
            self.face_failures.remove(key);
        }
        let forgotten = old + keys.len();
        told.changed |= forgotten > 0;
        forgotten as u64
    }

    fn waiting(&mut self, seq: i64) -> Result<&mut Row, StoreError> {
        let what = format!("outbox row {seq}");
        match self.outbox.iter_mut().find(|row| row.row.seq == seq) {
            None => Err(StoreError::Unknown { what }),
            Some(row) if row.state == RowState::Rejected => {
                Err(StoreError::Conflict { what, why: "it was refused for good" })
            }
            Some(row) => Ok(row),
        }
    }

    fn requeue(&mut self, seq: i64, told: &mut Told) -> Outcome {
        let row = self.waiting(seq)?;
        if row.state != RowState::Pending || row.not_before_ms != 0 {
            (row.state, row.not_before_ms) = (RowState::Pending, 0);
            (told.changed, told.appended) = (true, true);
        }
        DONE
    }

    fn set_aside(&mut self, seq: i64, why: &str, at: Stamp, told: &mut Told) -> Outcome {
        let row = self.waiting(seq)?;
        if row.state == RowState::Pending {
            row.state = RowState::Isolated;
            row.not_before_ms = at.wall_ms.saturating_add(ISOLATED_HOLD.as_millis() as i64);
            row.last_error = Some(bounded_code(why));
            told.changed = true;
        }
        DONE
    }

    fn forget(&mut self, id: ReceptionId, horizon: Horizon, told: &mut Told) -> bool {
        let before_ms = horizon.before_ms;
        let Some(index) = self.reception(id) else { return false };
        let record = &self.receptions[index].record;
        let waits = self.outbox.iter().any(|row| row.row.reception == id && row.state != RowState::Rejected);
        let case = self.case(id).map(|case| self.cases[case].0.ended_ms);
        let Stamp { wall_ms, synchronised } = record.opened;
        let old = wall_ms < before_ms || !horizon.believes(wall_ms, synchronised);
        let case_over = case.is_none_or(|ended| ended.is_some_and(|ended_ms| ended_ms < before_ms));
        if record.stage == Stage::Open || !old || waits || !case_over {
            return false;
        }
        self.receptions.remove(index);
        self.outbox.retain(|row| row.row.reception != id);
        self.cases.retain(|(row, _)| row.reception != id);
        self.answers.retain(|(of, ..)| *of != id);
        told.changed = true;
        true
    }

    fn append(
        &mut self,
        request: &Request,
        reception: ReceptionId,
        order_key: OrderKey,
        lane: Lane,
        at: Stamp,
        told: &mut Told,
    ) {
        self.last_seq += 1;
        let row = OutboxRow { seq: self.last_seq, request: request.clone(), reception, order_key, lane, attempts: 0 };
        self.outbox.push(Row {
            row,
            state: RowState::Pending,
            not_before_ms: 0,
            last_error: None,
            created_ms: at.wall_ms,
        });
        (told.changed, told.appended) = (true, true);
    }

    fn move_to_backlog(&mut self, request: RequestId) {
        if let Some(row) = self.outbox.iter_mut().find(|r| r.row.request.id == request && r.state == RowState::Pending)
        {
            row.row.lane = Lane::Backlog;
        }
    }

    fn reception(&self, id: ReceptionId) -> Option<usize> {
        self.receptions.iter().position(|r| r.record.reception == id)
    }

    fn body(&self, id: RequestId) -> Option<&Zeroizing<Vec<u8>>> {
        let waiting = self.outbox.iter().find(|row| row.row.request.id == id).map(|row| &row.row.request.body);
        waiting.or_else(|| self.settled.get(&id).map(|(body, _)| body))
    }

    fn pending(&self) -> impl Iterator<Item = &Row> {
        self.outbox.iter().filter(|row| row.state == RowState::Pending)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{at, opening, reception};
    use super::*;

    #[tokio::test]
    async fn writes_held_before_their_commit_are_lost_in_a_crash_and_those_held_after_it_are_kept() {
        for (hold, kept) in [(Hold::BeforeCommit, false), (Hold::BeforeAnswer, true)] {
            let store = Store::model();
            let model = store.as_model().unwrap();
            model.hold(hold);
            let write = tokio::spawn({
                let store = store.clone();
                async move { store.open_reception(opening(1, 1)).await }
            });
            tokio::task::yield_now().await;
            assert!(!write.is_finished());
            let after = model.crash();
            assert!(matches!(write.await.unwrap(), Err(StoreError::Fatal { .. })));
            assert_eq!(after.reception(reception(1)).await.unwrap().is_some(), kept, "{hold:?}");
        }
    }

    #[tokio::test]
    async fn held_writes_go_on_in_order_when_released() {
        let store = Store::model();
        let model = store.as_model().unwrap();
        model.hold(Hold::BeforeCommit);
        let (opened, abandoned, ()) = tokio::join!(
            store.open_reception(opening(1, 1)),
            store.abandon_reception(reception(1), Abandonment::CardRemoved, at(1)),
            async { model.release() },
        );
        assert_eq!((opened, abandoned), (Ok(()), Ok(())));
        assert_eq!(store.reception(reception(1)).await.unwrap().unwrap().stage, Stage::Abandoned);
    }

    #[tokio::test]
    async fn a_failing_model_recovers_from_a_full_disk_and_not_from_a_fatal_error() {
        let store = Store::model();
        let model = store.as_model().unwrap();
        model.fail_next(1, StoreError::Full);
        assert_eq!(store.open_reception(opening(1, 1)).await, Err(StoreError::Full));
        store.open_reception(opening(1, 1)).await.unwrap();
        model.fail_next(1, StoreError::Fatal { what: "a test".into() });
        assert!(matches!(store.open_reception(opening(2, 2)).await, Err(StoreError::Fatal { .. })));
        assert!(matches!(store.open_reception(opening(2, 2)).await, Err(StoreError::Fatal { .. })));
    }
}
