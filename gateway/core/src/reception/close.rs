//! T2: the moment after which the reception counts.

use super::event::{Effect, Event};
use super::screen::Ending;
use super::timing::Timing;
use crate::clock::{Mono, Now};
use crate::consent::{Consent, ConsentKind, GivenBy};
use crate::ids::ReceptionId;
use crate::record::Shown;

/// T2 is on its way to the disk. Irrevocable: neither 取消 nor a pulled card stops it.
#[derive(Debug, Clone, PartialEq)]
pub struct Close {
    shown: Shown,
    deadline: Mono,
    /// The card was taken while T2 was being written.
    pub(super) card_gone: bool,
}

impl Close {
    pub(super) fn start(
        reception: ReceptionId,
        shown: Shown,
        mut consents: Vec<Consent>,
        now: Now,
        timing: &Timing,
        effects: &mut Vec<Effect>,
    ) -> Self {
        // 限度額 needs no consent with the card, unless the site asks for it together with something that does.
        let limit = ConsentKind::LimitCertificate;
        if shown.is_about_an_insured() && consents.iter().all(|consent| consent.kind != limit) {
            consents.push(Consent::new(limit, true, now.stamp, GivenBy::NotNeeded));
        }
        effects.push(Effect::Record { reception, shown: shown.clone(), consents });
        Self { shown, deadline: now.mono.after(timing.write), card_gone: false }
    }

    pub(super) fn deadline(&self) -> Mono {
        self.deadline
    }

    pub(super) fn on(&mut self, now: Now, event: &Event) -> Option<Ending> {
        match event {
            Event::Recorded(_, Ok(())) => Some(Ending::Done(self.shown.clone())),
            Event::Recorded(_, Err(_)) => Some(Ending::NotWritten),
            // It may still reach the disk; only "done" must not be said without knowing.
            Event::Tick if now.mono >= self.deadline => Some(Ending::NotWritten),
            _ => None,
        }
    }
}
