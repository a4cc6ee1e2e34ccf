//! What must hold over the whole world: what was shown, what is on the disk, and what the central system did, compared.

use super::central::{Answer, Letter};
use super::scribe::Write;
use super::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uketsuke::store::{OutboxHead, RequestKind, RowState};
use uketsuke_core::answer::Verdict;
use uketsuke_core::consent::GivenBy;
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::reception::{Ending, NotWritten, Screen};
use uketsuke_core::record::{Method, ReceptionRecord, Reply, Shown, Stage};

/// A timer may be this late.
const LATE: Duration = Duration::from_secs(1);

/// What the judge remembers.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// The first invariant that did not hold.
    pub(super) broken: Option<String>,
    /// Receptions whose T1 was acknowledged, with their question.
    pub(super) opened: BTreeMap<ReceptionId, RequestId>,
    done: BTreeMap<ReceptionId, Shown>,
    pub(super) acknowledged: BTreeSet<RequestId>,
    /// Receptions for which a companion came forward.
    pub(super) by_proxy: BTreeSet<ReceptionId>,
    /// Receptions with which staff helped.
    pub(super) assisted: BTreeSet<ReceptionId>,
    /// Whose question it is.
    pub(super) patients: BTreeMap<RequestId, u8>,
    /// Rows that were seen in the outbox.
    rows: BTreeMap<i64, OutboxHead>,
    /// Rows that failed at some time: others may pass them.
    failed: BTreeSet<i64>,
}

impl Judge {
    pub(super) fn fails(&mut self, what: impl Into<String>) {
        self.broken.get_or_insert(what.into());
    }

    /// Rows that are in the outbox now.
    pub(super) fn learn(&mut self, outbox: &[OutboxHead]) {
        for head in outbox {
            let row = self.rows.entry(head.seq).or_insert_with(|| head.clone());
            row.state = head.state;
        }
    }

    pub(super) fn failed(&mut self, seq: i64) {
        self.failed.insert(seq);
    }
}

impl World {
    /// I6 over all readers: no state outlives its deadline.
    pub(super) fn check_deadlines(&mut self) {
        let now = self.time.mono();
        let Some(process) = &self.process else { return };
        let late = process
            .readers
            .iter()
            .filter(|reader| reader.lives())
            .find(|reader| reader.core.deadline().is_some_and(|deadline| now.since(deadline) > LATE));
        if let Some(reader) = late {
            let state = reader.core.state_name();
            self.judge.fails(format!("I6 broken: state {state} has outlived its deadline"));
        }
    }

    /// A screen is shown for the first time.
    pub(super) fn judge_screen(&mut self, reception: Option<ReceptionId>, screen: &Screen) {
        match screen {
            Screen::TakeCard { ending: Ending::Done(shown), .. } => {
                let Some(reception) = reception else { return };
                if self.judge.done.insert(reception, shown.clone()).is_none() {
                    self.counts.done += 1;
                    self.counts.provisional += u64::from(*shown == Shown::Provisional);
                    self.counts.ineligible += u64::from(matches!(shown, Shown::Ineligible(_)));
                }
                self.check_promise(reception, &shown.clone());
                self.check_truth(reception, &shown.clone());
            }
            Screen::TakeCard { ending: Ending::NotWritten, .. } | Screen::Notice(Ending::NotWritten) => {
                self.counts.not_written += 1;
            }
            Screen::Ineligible(reason) => {
                let Some(reception) = reception else { return };
                self.check_truth(reception, &Shown::Ineligible(reason.clone()));
            }
            _ => {}
        }
    }

    /// I1: what was shown as done is recorded, and recorded as it was shown.
    fn check_promise(&mut self, reception: ReceptionId, shown: &Shown) {
        let record = self.disk.reception(reception);
        let kept = record.is_some_and(|record| {
            matches!(record.stage, Stage::Recorded | Stage::Closed)
                && record.recorded.is_some_and(|(_, as_)| as_ == *shown)
        });
        if !kept {
            self.judge.fails(format!(
                "I1 broken: reception {} was shown as done and is not recorded so",
                reception.0.as_u128()
            ));
        }
    }

    /// The same for all, whenever something was written or lost.
    pub(super) fn check_promises(&mut self) {
        for (reception, shown) in self.judge.done.clone() {
            self.check_promise(reception, &shown);
        }
    }

    /// I5: what a patient is told is an answer to one of this reception's own questions.
    fn check_truth(&mut self, reception: ReceptionId, shown: &Shown) {
        let of_it = self.central.ledger.values().filter(|entry| entry.content.reception == reception.0);
        let verdicts: Vec<_> = of_it
            .filter_map(|entry| match &entry.reply {
                Some(Reply::Answered { verdict, .. }) => Some(verdict.clone()),
                Some(Reply::Rejected(_)) | None => None,
            })
            .collect();
        let true_ = match shown {
            Shown::Confirmed => verdicts.contains(&Verdict::Eligible),
            Shown::Ineligible(reason) => verdicts.contains(&Verdict::Ineligible(reason.clone())),
            Shown::Provisional => true,
        };
        if !true_ {
            let reception = reception.0.as_u128();
            self.judge.fails(format!(
                "I5 broken: reception {reception} is told {shown:?}, the central system said {verdicts:?}"
            ));
        }
    }

    /// T1 or T2 was acknowledged, or refused.
    pub(super) fn acknowledged(&mut self, write: &Write, written: Result<(), NotWritten>) {
        if written.is_err() {
            return;
        }
        self.keep_books();
        match write {
            Write::Open(opening) => {
                self.counts.receptions += 1;
                self.judge.acknowledged.insert(opening.request.id);
                self.judge.opened.insert(opening.reception, opening.request.id);
            }
            Write::Record(recording) => {
                self.judge.acknowledged.extend(recording.request.as_ref().map(|request| request.id));
            }
            Write::FollowUp(_, request, _) => drop(self.judge.acknowledged.insert(request.id)),
            Write::Abandon(..) | Write::Close(_) | Write::CountFace(..) | Write::AbandonOpen(_) => {}
        }
    }

    /// Counts patients whose earlier question is still on its way.
    pub(super) fn count_again(&mut self, patient: u8) {
        let waiting = |entry: &super::central::Entry| entry.content.patient == patient && entry.reply.is_none();
        let known = self.central.ledger.values().any(|entry| waiting(entry) && entry.applied == 0);
        self.counts.same_patient_again += u64::from(known);
    }

    /// The central system took a message: I2, I3.
    pub(super) fn judge_central(&mut self, letter: &Letter, answer: &Answer) {
        let Some(entry) = self.central.ledger.get(&letter.id) else { return };
        let id = letter.id.0.as_u128();
        if entry.applied > 1 {
            return self.judge.fails(format!("I2 broken: request {id} was applied {} times", entry.applied));
        }
        match answer {
            Answer::Rejected("id_reused") => self.judge.fails(format!("I2 broken: id {id} came with other content")),
            Answer::Rejected("unknown_request") => {
                self.judge
                    .fails(format!("I3 broken: request {id} came before the question that it refers to was applied"));
            }
            Answer::Replied(_) => {
                let older = self.judge.rows.range(..letter.seq).find(|(seq, head)| {
                    let unanswered = self.central.ledger.get(&head.id).is_none_or(|older| older.reply.is_none());
                    let question = head.kind != RequestKind::Consent && head.state == RowState::Pending;
                    let same_patient = self.judge.patients.get(&head.id) == Some(&letter.content.patient);
                    question && same_patient && unanswered && !self.judge.failed.contains(seq)
                });
                if let Some((older, _)) = older {
                    let (older, newer) = (*older, letter.seq);
                    self.judge
                        .fails(format!("I3 broken: row {newer} was answered before row {older} of the same patient"));
                }
            }
            _ => {}
        }
    }

    /// Nothing is left to do.
    pub(super) fn is_through(&self) -> bool {
        self.only_cases_wait() && self.disk.open_cases().is_empty()
    }

    /// Nothing is left to do but what cases do by themselves, from now and then until this moment.
    pub(super) fn only_cases_wait_until(&self) -> Option<u64> {
        let due = self.process.as_ref()?.reconciler.due()?;
        let at = self.time.boot_ms + due.0 + 1;
        (self.quiet && at > self.time.ms && self.only_cases_wait()).then_some(at)
    }

    fn only_cases_wait(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let readers_idle = process.readers.iter().all(|r| r.lives() && r.core.deadline().is_none() && r.has_written());
        readers_idle
            && self.slots.iter().all(|slot| slot.card.is_none())
            && self.disk.is_idle()
            && process.courier.plan.in_flight() == 0
            && process.reconciler.is_idle()
            && self.disk.outbox().iter().all(|head| head.state == RowState::Rejected)
    }

    pub(super) fn what_waits(&self) -> String {
        let cards = self.slots.iter().filter(|slot| slot.card.is_some()).count();
        let rows = self.disk.outbox().iter().filter(|head| head.state != RowState::Rejected).count();
        let cases = self.disk.open_cases().len();
        format!(
            "{cards} cards in, {rows} rows waiting, {cases} cases open, process {}",
            if self.process.is_some() { "up" } else { "down" }
        )
    }

    /// Everything is through: is everything as it was promised?
    pub(super) fn judge_the_end(&mut self) {
        self.check_promises();
        for request in self.judge.acknowledged.clone() {
            let settled = self.central.ledger.get(&request).is_some_and(|e| e.applied == 1 || e.reply.is_some());
            let rejected_with_question = self.disk.outbox().iter().any(|head| head.id == request);
            if !settled && !rejected_with_question {
                let request = request.0.as_u128();
                self.judge.fails(format!("I2 and I4 broken: acknowledged request {request} never took effect"));
            }
        }
        for record in self.disk.receptions() {
            self.judge_record(&record);
        }
        self.judge_books();
        self.judge_cases();
    }

    /// Nobody is written down as having helped who did not come forward, and no look without who looked.
    fn judge_helpers(&mut self, record: &ReceptionRecord) {
        let verification = &record.evidence.verification;
        let gave = |by| record.consents.iter().any(|consent| consent.by == by);
        let by_proxy = verification.method == Method::PinByProxy || gave(GivenBy::Proxy);
        let wrong = by_proxy && !self.judge.by_proxy.contains(&record.reception)
            || gave(GivenBy::StaffAssisted) && !self.judge.assisted.contains(&record.reception)
            || (verification.method == Method::Staff) != verification.look.is_some()
            || record.consents.iter().any(|one| (one.by == GivenBy::StaffAssisted) != one.assisted_by.is_some())
            || verification.assisted_by.is_some() && !self.judge.assisted.contains(&record.reception);
        if wrong {
            let reception = record.reception.0.as_u128();
            self.judge.fails(format!("reception {reception} names a helper who was not there, or a look of nobody"));
        }
    }

    fn judge_record(&mut self, record: &ReceptionRecord) {
        let reception = record.reception.0.as_u128();
        if record.stage == Stage::Open {
            self.judge.fails(format!("reception {reception} is left open without an owner"));
        }
        if record.awaits_reply() {
            self.judge.fails(format!("I9 broken: provisional reception {reception} has no reply"));
        }
        self.judge_helpers(record);
        let central = self.central.ledger.get(&record.request).and_then(|entry| entry.reply.clone());
        let stored = record.replied.as_ref().map(|(_, reply)| reply.clone());
        let same = match (&central, &stored) {
            (Some(Reply::Rejected(_)), Some(Reply::Rejected(_))) => true,
            (central, stored) => central == stored,
        };
        if !same {
            self.judge
                .fails(format!("I4 broken: reception {reception} has {stored:?}, the central system said {central:?}"));
        }
    }
}
