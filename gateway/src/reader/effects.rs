//! What the core asks for, performed. Each effect leads back to the core as an event, at once or later.

use super::Reader;
use super::attempt;
use super::scribe::{Write, Written};
use super::session::{self, CardIn, Session};
use crate::central::{
    FollowUp, NewRequest, Purpose, Subject, consent_request, eligibility_payload, eligibility_request,
    follow_up_request, sealed_request,
};
use crate::driver::PinReply;
use crate::store::{NewCase, Opening, Recording, Request, TrailEntry, ended_word};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use rand::seq::SliceRandom;
use std::time::Instant;
use uketsuke_card::Pin as CardPin;
use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::consent::Consent;
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::ladder::{Answered, Case, Cause, PersonMatch};
use uketsuke_core::pin::{Pad, Pin};
use uketsuke_core::reception::{Effect, Ending, Event, FaceCount, FaceOutcome, NotWritten, PinOutcome};
use uketsuke_core::record::{Evidence, Method, Shown, StaffName, Verification};
use uketsuke_core::rules::{Rules, Today};

impl Reader {
    /// Performs an effect. What it leads to comes back as an event, at once or later.
    pub(super) fn perform(&mut self, effect: Effect, context: &mut Context<Self>) -> Option<Event> {
        match effect {
            Effect::ReadCard(reception) => self.read_card(reception, context),
            Effect::DrawPad(reception) => return draw_pad().map(|pad| Event::PadDrawn(reception, pad)),
            Effect::StartFace(reception, attempt) => return self.start_face(reception, attempt, context),
            Effect::StopFace(_) => {
                if let Some(attempt) = self.attempt.take() {
                    context.cancel_future(attempt);
                }
            }
            Effect::VerifyPin(reception, pin, method) => return self.verify_pin(reception, &pin, method, context),
            Effect::Open { reception, verification } => return self.open(reception, verification, context),
            Effect::CountFace(reception, count) => self.count_face(reception, count),
            Effect::Register(reception) => return self.register(reception, context),
            Effect::Record { reception, shown, consents } => return self.record(reception, shown, consents, context),
            Effect::Note { ending, by, .. } => self.note(&ending, by),
            Effect::Abandon(reception, why) => {
                let abandon = Write::Abandon(reception, why, self.parts.clock.stamp());
                drop(self.parts.scribe.write(abandon));
            }
            Effect::Close(reception) => drop(self.parts.scribe.write(Write::Close(reception))),
            Effect::ForgetCard(reception) => self.forget_card(reception),
        }
        None
    }

    fn read_card(&mut self, reception: ReceptionId, context: &mut Context<Self>) {
        let Some(driver) = self.driver.clone() else { return };
        let desk = self.parts.desk.clone();
        let reader = self.parts.port.name.to_string();
        let now = self.parts.clock.stamp();
        // Only the first card that a life can read may be one that was in when the last life ended.
        let resumable = self.resumable.clone();
        let read = async move {
            let reading = driver.read().await;
            let start = Instant::now();
            let card = match reading {
                Ok(reading) => session::card_in(&desk, &reader, reception, reading, now, resumable).await,
                Err(error) => {
                    tracing::warn!(%reception, %error, "the card cannot be read");
                    // Its removal is about to be reported, and leaves the patient time to read what happened.
                    if matches!(error, uketsuke_card::ReadError::CardGone { .. }) {
                        return None;
                    }
                    Err(session::read_failure(&error))
                }
            };
            Some((card, start.elapsed()))
        };
        let done = read.into_actor(self).map(move |read, actor, context| {
            let Some((card, own)) = read else { return };
            let facts = card.map(|CardIn { facts, session }| {
                actor.resumable = None;
                // A card that went in the meantime must not leave its data behind.
                if actor.core.current() == Some(reception) {
                    actor.session = Some(session);
                    actor.own(own);
                }
                facts
            });
            actor.on(Event::CardRead(reception, facts), context);
        });
        context.spawn(done);
    }

    fn start_face(&mut self, reception: ReceptionId, attempt: u32, context: &mut Context<Self>) -> Option<Event> {
        let template = self.session.as_ref().and_then(|session| session.template.clone());
        let (Some(pool), Some(template)) = (self.parts.desk.face.get().cloned(), template) else {
            return Some(Event::FaceJudged(reception, attempt, FaceOutcome::Fault));
        };
        let judging = attempt::run(self.parts.port.clone(), pool, template);
        let done = judging.into_actor(self).map(move |judged, actor, context| {
            tracing::info!(%reception, attempt, outcome = outcome_name(judged.outcome), "face judged");
            actor.attempt = None;
            actor.own(judged.own);
            actor.on(Event::FaceJudged(reception, attempt, judged.outcome), context);
        });
        self.attempt = Some(context.spawn(done));
        None
    }

    fn verify_pin(
        &mut self,
        reception: ReceptionId,
        pin: &Pin,
        method: Method,
        context: &mut Context<Self>,
    ) -> Option<Event> {
        let fault = Some(Event::PinChecked(reception, PinOutcome::Fault));
        let Some(session) = &self.session else { return fault };
        let (Some(driver), Ok(pin)) = (self.driver.clone(), CardPin::from_ascii(pin.digits())) else { return fault };
        let certificate = session.certificate.clone();
        let (request, payload) = (session.request, eligibility_payload(&self.question(session, method)));
        let checking = async move {
            let reply = driver.verify_and_sign(pin, certificate.clone(), payload.clone()).await;
            match reply {
                PinReply::Signed(signature) => {
                    (PinOutcome::Verified, Some(sealed_request(request, payload, signature, certificate.der())))
                }
                PinReply::Wrong(tries_left) => (PinOutcome::Wrong { tries_left }, None),
                PinReply::Locked => (PinOutcome::Locked, None),
                PinReply::Fault(error) => {
                    tracing::warn!(%reception, error, "the card did not answer to the PIN");
                    (PinOutcome::Fault, None)
                }
            }
        };
        let done = checking.into_actor(self).map(move |(outcome, signed), actor, context| {
            if let Some(session) = actor.session.as_mut().filter(|session| session.reception == reception) {
                session.signed = signed;
            }
            actor.on(Event::PinChecked(reception, outcome), context);
        });
        context.spawn(done);
        None
    }

    fn question<'a>(&'a self, session: &'a Session, method: Method) -> NewRequest<'a> {
        NewRequest {
            request: session.request,
            reception: session.reception,
            medical_institution_code: &self.parts.desk.medical_institution_code,
            subject: Subject::Card(session.certificate.der()),
            method,
            asked: self.parts.clock.stamp(),
        }
    }

    /// T1.
    fn open(
        &mut self,
        reception: ReceptionId,
        verification: Verification,
        context: &mut Context<Self>,
    ) -> Option<Event> {
        let method = verification.method;
        let Some(request) = self.request(method) else { return Some(Event::Opened(reception, Err(NotWritten))) };
        let session = self.session.as_mut()?;
        session.method = method;
        let opened = self.parts.clock.now();
        let opening = Opening {
            reception,
            reader: self.parts.port.name.to_string(),
            order_key: session.order_key,
            evidence: Evidence::new(verification, session.basis.clone(), opened.stamp),
            opened,
            request,
        };
        self.write(Write::Open(Box::new(opening)), context, move |_, result| Event::Opened(reception, result));
        None
    }

    /// The eligibility request: signed by the card where it was asked for its PIN; the gateway signs when it sends.
    fn request(&mut self, method: Method) -> Option<Request> {
        let session = self.session.as_mut()?;
        if matches!(method, Method::Pin | Method::PinByProxy)
            && let Some(signed) = session.signed.take()
        {
            return Some(signed);
        }
        Some(eligibility_request(&self.question(self.session.as_ref()?, method)))
    }

    /// 初回登録: the gateway asks for it and names the request that proved the person.
    fn register(&mut self, reception: ReceptionId, context: &mut Context<Self>) -> Option<Event> {
        let Some(session) = &self.session else {
            return Some(Event::RegistrationWritten(reception, Err(NotWritten)));
        };
        let asked = self.parts.clock.stamp();
        let follow_up = FollowUp {
            id: RequestId(uuid::Uuid::now_v7()),
            reception,
            request: Some(session.request),
            medical_institution_code: &self.parts.desk.medical_institution_code,
            purpose: Purpose::Register,
            whom: None,
            asked,
        };
        let id = follow_up.id;
        let write = Write::FollowUp(reception, Box::new(follow_up_request(&follow_up)), asked);
        self.write(write, context, move |actor, result| {
            let session = actor.session.as_mut().filter(|session| session.reception == reception);
            if let (Some(session), Ok(())) = (session, &result) {
                session.registration = Some(id);
            }
            Event::RegistrationWritten(reception, result)
        });
        None
    }

    fn count_face(&mut self, reception: ReceptionId, count: FaceCount) {
        if let Some(session) = self.session.as_ref().filter(|session| session.reception == reception) {
            drop(self.parts.scribe.write(Write::CountFace(session.order_key, count, self.parts.clock.stamp())));
        }
    }

    /// For the desk's list of the day: how, where, by whom and by which rules, and nothing about the card.
    fn note(&mut self, ending: &Ending, by: Option<StaffName>) {
        let at = self.parts.clock.stamp();
        let entry = TrailEntry {
            id: uuid::Uuid::now_v7(),
            at,
            by: by.map(|by| by.as_str().to_owned()).unwrap_or_default(),
            what: ended_word(ending),
            detail: self.parts.port.name.to_string(),
            rules: decided_by_rules(ending).then(|| Rules::on(Today::of(at)).version()),
        };
        drop(self.parts.scribe.write(Write::Note(entry)));
    }

    /// T2.
    fn record(
        &mut self,
        reception: ReceptionId,
        shown: Shown,
        consents: Vec<Consent>,
        context: &mut Context<Self>,
    ) -> Option<Event> {
        let Some(session) = &self.session else { return Some(Event::Recorded(reception, Err(NotWritten))) };
        let (request, method) = (self.consent_row(session, &consents), session.method);
        self.recording = Some((reception, method, shown.clone()));
        let case = self.case(&shown);
        let recording = Recording { reception, shown, consents, request, case, recorded: self.parts.clock.stamp() };
        self.write(Write::Record(Box::new(recording)), context, move |actor, result| {
            if result.is_ok() {
                actor.count_recorded(reception);
            }
            Event::Recorded(reception, result)
        });
        None
    }

    /// The case of a reception that does not end with a confirmed answer. A reply that is there already and was not shown is not
    /// lost: the reconciler finds it with the reception.
    fn case(&self, shown: &Shown) -> Option<NewCase> {
        let session = self.session.as_ref()?;
        let cause = match shown {
            Shown::Confirmed => return None,
            // How many there are to choose from stands in the answer, which the reconciler reads as soon as this is written.
            Shown::Provisional | Shown::Ineligible(Reason::SeveralInsurances) => Cause::NoAnswer,
            Shown::Ineligible(reason) => Cause::Answered(Answered {
                verdict: Verdict::Ineligible(reason.clone()),
                results: 0,
                person: PersonMatch::NothingToCompare,
            }),
        };
        // What a case asks for begins with a deadline of its own or an answer; opening one asks for nothing.
        let case = Case::open(self.parts.desk.ladder.clone(), self.parts.clock.now(), cause, &mut Vec::new());
        let asked = session.registration.unwrap_or(session.request);
        Some(NewCase { case, asked, papers: Vec::new() })
    }

    fn count_recorded(&mut self, reception: ReceptionId) {
        let Some((_, method, shown)) = self.recording.take_if(|(recorded, ..)| *recorded == reception) else { return };
        let own = self.session.as_ref().filter(|session| session.reception == reception).map(|session| session.own);
        self.parts.metrics.recorded(method, &shown, own);
        let own_ms = own.map(|own| own.as_secs_f64() * 1000.0);
        tracing::info!(%reception, ?method, own_ms, "recorded");
        self.parts.port.status.send_modify(|status| match shown {
            Shown::Confirmed => status.recorded.0 += 1,
            Shown::Ineligible(_) => status.recorded.1 += 1,
            Shown::Provisional => status.recorded.2 += 1,
        });
    }

    fn consent_row(&self, session: &Session, consents: &[Consent]) -> Option<Request> {
        let id = RequestId(uuid::Uuid::now_v7());
        let code = &self.parts.desk.medical_institution_code;
        (!consents.is_empty()).then(|| consent_request(id, session.reception, session.request, code, consents))
    }

    /// Queues a write now; its event comes when it is on disk, or is not.
    fn write(
        &mut self,
        write: Write,
        context: &mut Context<Self>,
        event: impl FnOnce(&mut Self, Result<(), NotWritten>) -> Event + 'static,
    ) {
        let done = self.parts.scribe.write(write).into_actor(self).map(|written, actor, context| {
            let Written { result, took } = written;
            actor.own(took);
            let event = event(actor, result.map_err(|_| NotWritten));
            actor.on(event, context);
        });
        context.spawn(done);
    }

    fn forget_card(&mut self, reception: ReceptionId) {
        if let Some(driver) = &self.driver {
            driver.reset();
        }
        if self.session.as_ref().is_some_and(|session| session.reception == reception) {
            self.session = None;
        }
        self.parts.port.frame.send_replace(None);
    }
}

/// A pad at random. `None` cannot happen: a shuffled 0..=9 is a pad.
fn draw_pad() -> Option<Pad> {
    let mut digits = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    digits.shuffle(&mut rand::rng());
    Pad::new(digits)
}

/// Whether a rule that depends on the day made this end. That a certificate is not valid yet is no matter of rules.
fn decided_by_rules(ending: &Ending) -> bool {
    matches!(ending, Ending::CertificateExpired)
}

fn outcome_name(outcome: FaceOutcome) -> &'static str {
    match outcome {
        FaceOutcome::Match { .. } => "match",
        FaceOutcome::Uncertain { .. } => "uncertain",
        FaceOutcome::NoMatch { .. } => "no_match",
        FaceOutcome::NoFace => "no_face",
        FaceOutcome::Fault => "fault",
    }
}
