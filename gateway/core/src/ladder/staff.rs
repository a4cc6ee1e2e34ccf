//! What staff can do to a case, and what they cannot.

use super::{Basis, Case, Check, Chosen, Effect, Final, Found, Numbers, Refusal, StaffAction, State};
use crate::clock::Now;

impl Case {
    /// Does what staff did, or says why it does not count.
    pub(super) fn staff(
        &mut self,
        turn: u32,
        action: StaffAction,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if self.is_final() {
            return Err(Refusal::Ended);
        }
        if turn != self.turn {
            return Err(Refusal::Stale);
        }
        let pending = self.check_pending();
        match (action, self.state) {
            (StaffAction::Close(reason), _) => self.end(Final::ClosedByStaff(reason), effects),
            (StaffAction::PersonChecked { ask, same }, _) => {
                let (number, found) = pending.filter(|(number, _)| *number == ask).ok_or(Refusal::NotNow)?;
                self.person_checked(number, found, same, effects);
            }
            // Whatever else is done might end the case past an answer that could settle it.
            _ if pending.is_some() => return Err(Refusal::PersonUnchecked),
            (StaffAction::NumbersEntered(with), state) => self.numbers_entered(with, state, now, effects)?,
            (StaffAction::NextRung, State::Telling(_)) => return Err(Refusal::NotNow),
            (StaffAction::NextRung, State::Declaration) => {
                return Err(if self.declared { Refusal::NotNow } else { Refusal::DeclarationMissing });
            }
            (StaffAction::NextRung, _) => self.next_rung(),
            (StaffAction::Chosen { index }, State::Choosing { count, ask }) => {
                if index >= count {
                    return Err(Refusal::NoSuchChoice);
                }
                self.chosen = Some(Chosen { ask, index });
                self.proven.get_or_insert(ask);
                self.end(Final::Changed, effects);
            }
            (StaffAction::Declared(_), state) => {
                self.declared = true;
                if !matches!(state, State::Telling(_) | State::Choosing { .. }) {
                    self.enter(State::Declaration);
                }
            }
            (StaffAction::Acknowledged, State::Telling(what)) => self.end(what.leads_to(), effects),
            (StaffAction::EndIneligible { .. }, State::Telling(_)) => return Err(Refusal::NotNow),
            (StaffAction::EndIneligible { .. }, _) if !self.found_ineligible => {
                return Err(Refusal::NotFoundIneligible);
            }
            (StaffAction::EndIneligible { basis: Basis::Declaration }, _) if !self.declared => {
                return Err(Refusal::DeclarationMissing);
            }
            (StaffAction::EndIneligible { basis }, _) => self.end(Final::Ineligible(basis), effects),
            (StaffAction::Chosen { .. } | StaffAction::Acknowledged, _) => return Err(Refusal::NotNow),
        }
        Ok(())
    }

    fn person_checked(&mut self, number: u32, found: Found, same: bool, effects: &mut Vec<Effect>) {
        let Some(ask) = self.asks.get_mut(number as usize) else { return };
        ask.check = if same { Check::NotNeeded } else { Check::OtherPerson };
        if same {
            self.settle(found, number, effects);
        } else if let State::AwaitingAnswer | State::LaterData { .. } = self.state {
            // The central system knows somebody else by this question: only other numbers help.
            self.enter(State::CurrentNumbers { asked: false });
        } else {
            // The rung goes on where it stopped, with its whole time.
            let state = match self.state {
                State::CurrentNumbers { asked: true } => State::EarlierNumbers { asked: false },
                State::EarlierNumbers { asked: true } => State::Declaration,
                other => other,
            };
            self.enter(state);
        }
    }

    fn numbers_entered(
        &mut self,
        with: Numbers,
        state: State,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if with == Numbers::Original {
            return Err(Refusal::NotNow);
        }
        if !self.ask_again(with, now, effects) {
            return Err(Refusal::TooManyAsks);
        }
        match state {
            // These stay what they are until an eligible answer comes.
            State::Telling(_) | State::Choosing { .. } | State::Declaration => {}
            State::EarlierNumbers { .. } => self.enter(State::EarlierNumbers { asked: true }),
            _ if with == Numbers::Earlier => self.enter(State::EarlierNumbers { asked: true }),
            _ => self.enter(State::CurrentNumbers { asked: true }),
        }
        Ok(())
    }
}
