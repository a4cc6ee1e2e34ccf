//! Card placed → card read.

use super::event::{CardFacts, CertificateAge, Event, ReadFailure};
use super::screen::Ending;
use super::timing::Timing;
use crate::clock::Mono;
use crate::clock::Now;
use crate::ids::ReceptionId;
use crate::record::Shown;

/// Waiting for the card's certificate and photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub(super) deadline: Mono,
}

/// What reading led to.
pub enum Outcome {
    /// Go on to verification.
    Ready(CardFacts),
    /// This card was recorded just before a restart: only "take your card" is left to say.
    Resume(ReceptionId, Shown),
    /// The reception ends here.
    End(Ending),
}

impl Read {
    pub(super) fn start(now: Now, timing: &Timing) -> Self {
        Self { deadline: now.mono.after(timing.read) }
    }

    pub(super) fn on(&mut self, now: Now, event: &Event) -> Option<Outcome> {
        match event {
            Event::CardRead(_, Err(failure)) => Some(Outcome::End(Ending::NotRead(*failure))),
            Event::CardRead(_, Ok(facts)) => Some(match (&facts.recorded_before, facts.certificate) {
                (Some((reception, shown)), _) => Outcome::Resume(*reception, shown.clone()),
                (None, CertificateAge::Expired) => Outcome::End(Ending::CertificateExpired),
                (None, CertificateAge::NotYetValid) => Outcome::End(Ending::CertificateNotYetValid),
                (None, CertificateAge::Valid | CertificateAge::ExpiresSoon | CertificateAge::Grace) => {
                    Outcome::Ready(facts.clone())
                }
            }),
            Event::Tick if now.mono >= self.deadline => Some(Outcome::End(Ending::NotRead(ReadFailure::Unreadable))),
            _ => None,
        }
    }
}
