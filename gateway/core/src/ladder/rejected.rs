//! What a refusal of the central system does to a case.
//!
//! A question carries the time at which it was asked, and is refused when that time cannot be. Such a refusal says something about a clock
//! and nothing about the patient: it never ends a case. The question is asked again, once, with the right time. What a card vouched for
//! cannot be asked again without the card: staff enter numbers then.

use super::{Case, Check, Effect, Numbers, Rejected, State, Telling};
use crate::clock::{Mono, Now, Stamp, agree};
use serde::{Deserialize, Serialize};

/// When something was asked, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    boot: u64,
    mono_ms: u64,
    stamp: Stamp,
}

impl Made {
    pub(super) fn of(now: Now) -> Self {
        Self { boot: now.boot, mono_ms: now.mono.0, stamp: now.stamp }
    }
}

impl Case {
    /// The central system refused an ask for good.
    pub(super) fn rejected(&mut self, number: u32, rejected: &Rejected, now: Now, effects: &mut Vec<Effect>) {
        let Some(ask) = self.asks.get(number as usize) else { return };
        // A refusal that was taken for one of the request itself, because the central system's clock was not known yet.
        let may_be_taken_back = self.state == State::Telling(Telling::Rejected)
            && number == self.ask()
            && ask.with == Numbers::Original
            && ask.check == Check::NotNeeded;
        let new = !ask.answered;
        let open = !self.is_final() && !ask.wrong_time && !ask.corrects;
        if open && (new || may_be_taken_back) && clock_was_wrong(number, ask.made, rejected, now) {
            if !new {
                self.enter(State::AwaitingAnswer);
            }
            // Only the reception's own question was asked with a card in the reader.
            self.refused_for_its_time(number, rejected.by_card && number == 0, now, effects);
        } else if new {
            self.refused_as_such(number);
        }
    }

    fn refused_for_its_time(&mut self, number: u32, by_card: bool, now: Now, effects: &mut Vec<Effect>) {
        let present = number == self.ask();
        let Some(ask) = self.asks.get_mut(number as usize) else { return };
        let with = ask.with;
        (ask.answered, ask.wrong_time) = (true, true);
        self.card_spent |= by_card;
        if !present {
            return;
        }
        if by_card {
            if self.state == State::AwaitingAnswer {
                self.enter(State::CurrentNumbers { asked: false });
            }
            return;
        }
        if !self.ask_again(with, now, effects) {
            return self.stands(self.nothing_heard());
        }
        if let Some(ask) = self.asks.last_mut() {
            ask.corrects = true;
        }
        match self.state {
            // The answer has its whole time.
            State::AwaitingAnswer | State::CurrentNumbers { asked: true } | State::EarlierNumbers { asked: true } => {
                self.enter(self.state);
            }
            _ => {}
        }
    }

    /// It refused the question for what it asks.
    pub(super) fn refused_as_such(&mut self, number: u32) {
        let nothing_heard = self.nothing_heard();
        let (present, ended) = (number == self.ask(), self.is_final());
        let Some(ask) = self.asks.get_mut(number as usize) else { return };
        ask.answered = true;
        ask.late = ended;
        if present && !ended {
            self.stands(nothing_heard);
        }
    }

    /// No ask has been answered, or refused for what it asks.
    fn nothing_heard(&self) -> bool {
        self.asks.iter().all(|ask| !ask.answered || ask.wrong_time)
    }

    /// The present ask will not be answered.
    fn stands(&mut self, nothing_heard: bool) {
        match self.state {
            // Numbers that cannot even be asked with were mistyped: staff try again.
            State::CurrentNumbers { asked: true } => self.enter(State::CurrentNumbers { asked: false }),
            State::EarlierNumbers { asked: true } => self.enter(State::EarlierNumbers { asked: false }),
            // What the card vouched for was refused for its time: that staff have something to enter is known.
            _ if nothing_heard && !self.card_spent => self.enter(State::Telling(Telling::Rejected)),
            // The last try for late data is over, answered or not.
            State::LaterData { turns } if self.later_data_wait(turns).is_none() => self.next_rung(),
            // A refusal after an answer says nothing new about the patient.
            _ => {}
        }
    }
}

/// Whether the clock was wrong when a refused question was asked. A question that says that its clock is not synchronised is not judged by
/// its time.
///
/// Within the boot in which it was asked, the central system's clock shows it to the minute. After a restart only a time that still lies
/// ahead shows it: how long the machine was off is not known. Without the central system's clock, a question that was asked later than it
/// was refused shows it.
fn clock_was_wrong(number: u32, made: Option<Made>, rejected: &Rejected, now: Now) -> bool {
    // The reception's own question was asked with the time at which the reception was opened.
    let claimed = match made {
        Some(made) if number > 0 => made.stamp.synchronised,
        _ => rejected.opened.synchronised,
    };
    if !claimed {
        return false;
    }
    let asked_ms = made.map_or(rejected.opened.wall_ms, |made| made.stamp.wall_ms);
    let (ahead_ms, exact) = match (rejected.central, made) {
        (Some(central), Some(made)) if made.boot == now.boot => {
            (asked_ms.saturating_sub(central.at(Mono(made.mono_ms))), true)
        }
        (Some(central), _) => (central.ahead_ms(now.mono, asked_ms), false),
        (None, _) => (asked_ms.saturating_sub(rejected.at.wall_ms), false),
    };
    !agree(ahead_ms) && (exact || ahead_ms > 0)
}

#[cfg(test)]
mod tests;
