//! What must be true whatever happens, checked after every step: by the property tests, by the simulation, and by the shell
//! of a debug build.

use crate::clock::Now;
use crate::ids::ReceptionId;
use crate::reception::{Effect, Ending, Event, Reception, Screen};
use std::collections::BTreeSet;
use thiserror::Error;

/// An invariant of the reception that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Broken {
    /// I1: "done" was shown for a reception whose T2 is not committed.
    #[error("I1 broken: shown as done before T2 was committed")]
    DoneBeforeCommit,
    /// I5: an event of another reception changed the current one.
    #[error("I5 broken: an event of another reception changed the current one")]
    StrangerChangedState,
    /// I6: a state other than idle has no deadline.
    #[error("I6 broken: state {0} has no deadline")]
    NoDeadline(&'static str),
    /// I6: a reception ended with its card in, and something other than its removal left "take your card".
    #[error("I6 broken: \"take your card\" was left while the card was in")]
    LeftWithCardIn,
    /// A reception was opened by T1 and ended with neither T2 nor a word that it was given up: nobody would own it.
    #[error("an opened reception ended without being recorded or abandoned")]
    EndedUnwritten,
    /// I6: a session is open although no card is in and nothing is being written.
    #[error("I6 broken: state {0} goes on without a card")]
    SessionWithoutCard(&'static str),
}

/// Watches one reception core from outside: fed every event with the effects it had.
#[derive(Debug, Clone, Default)]
pub struct ReceptionWatch {
    committed: BTreeSet<ReceptionId>,
    /// T1 was asked for; neither T2 nor abandonment was.
    unwritten: BTreeSet<ReceptionId>,
    card_in: bool,
}

impl ReceptionWatch {
    /// Checks one step. `before` is the core as it was; the watch itself only remembers what the outside world knows.
    pub fn check(
        &mut self,
        _now: Now,
        before: &Reception,
        event: &Event,
        effects: &[Effect],
        after: &Reception,
    ) -> Result<(), Broken> {
        match event {
            Event::CardPlaced(_) => self.card_in = true,
            Event::CardRemoved | Event::ReaderFault => self.card_in = false,
            Event::Recorded(reception, Ok(())) => {
                self.committed.insert(*reception);
            }
            Event::CardRead(_, Ok(facts)) => {
                // Read back from the store, where only T2 can have put it.
                self.committed.extend(facts.recorded_before.iter().map(|(reception, _)| *reception));
            }
            _ => {}
        }
        for effect in effects {
            match effect {
                Effect::Open { reception, .. } => {
                    self.unwritten.insert(*reception);
                }
                Effect::Record { reception, .. } | Effect::Abandon(reception, _) => {
                    self.unwritten.remove(reception);
                }
                _ => {}
            }
        }
        let going_on = after.current().filter(|_| after.busy());
        if self.unwritten.iter().any(|reception| Some(*reception) != going_on) {
            return Err(Broken::EndedUnwritten);
        }
        self.done_is_committed(before, after)?;
        stranger_changed_nothing(before, event, effects, after)?;
        self.card_and_deadline(before, event, after)
    }

    fn done_is_committed(&self, before: &Reception, after: &Reception) -> Result<(), Broken> {
        let done = |reception: &Reception| {
            matches!(
                reception.screen(),
                Screen::TakeCard { ending: Ending::Done(_), .. } | Screen::Notice(Ending::Done(_))
            )
        };
        if !done(after) {
            return Ok(());
        }
        // A notice no longer knows its reception; it is the one that was current before it appeared.
        match after.current().or(before.current()) {
            Some(reception) if !self.committed.contains(&reception) => Err(Broken::DoneBeforeCommit),
            _ => Ok(()),
        }
    }

    fn card_and_deadline(&self, before: &Reception, event: &Event, after: &Reception) -> Result<(), Broken> {
        let screen = after.screen();
        if screen != Screen::Idle && after.deadline().is_none() {
            return Err(Broken::NoDeadline(after.state_name()));
        }
        if self.card_in {
            // A second card can only mean that the removal of the first was never reported.
            let stays = matches!(before.screen(), Screen::TakeCard { .. }) && !matches!(event, Event::CardPlaced(_));
            let left = stays && !matches!(screen, Screen::TakeCard { .. });
            if left || matches!(screen, Screen::Idle | Screen::Notice(_)) {
                return Err(Broken::LeftWithCardIn);
            }
        } else if !matches!(screen, Screen::Idle | Screen::Notice(_) | Screen::Recording) {
            return Err(Broken::SessionWithoutCard(after.state_name()));
        }
        Ok(())
    }
}

fn stranger_changed_nothing(
    before: &Reception,
    event: &Event,
    effects: &[Effect],
    after: &Reception,
) -> Result<(), Broken> {
    let Some(of) = event.reception() else { return Ok(()) };
    let changed = !effects.is_empty() || before.version() != after.version() || before.deadline() != after.deadline();
    if before.current() != Some(of) && changed { Err(Broken::StrangerChangedState) } else { Ok(()) }
}
