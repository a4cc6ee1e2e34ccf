//! What an answer of the central system does to a case.

use super::{Answered, Case, Check, Effect, Final, Found, Numbers, PersonMatch, State, Telling};
use crate::answer::{Reason, Verdict};

impl Case {
    /// An answer came, to whichever ask, however late and however often.
    pub(super) fn answered(&mut self, number: u32, answered: &Answered, effects: &mut Vec<Effect>) {
        let present = number == self.ask();
        let ended = self.is_final();
        // An answer to something that was never asked is not about this case.
        let Some(ask) = self.asks.get_mut(number as usize) else { return };
        let heard_before = std::mem::replace(&mut ask.answered, true);
        let about_this_person = match answered.person {
            PersonMatch::SamePerson | PersonMatch::SameWithDifferences => true,
            PersonMatch::DifferentPerson | PersonMatch::Undecided => false,
            // The card has proven whose it is; typed numbers prove nothing.
            PersonMatch::NothingToCompare => ask.with == Numbers::Original,
        };
        if ended {
            if !heard_before {
                ask.late = true;
                effects.push(Effect::LateAnswer { ask: number, verdict: answered.verdict.clone() });
                // What the patient said at the check-in is sent although the case is over.
                if answered.verdict == Verdict::Eligible && ask.check != Check::OtherPerson && about_this_person {
                    self.proven.get_or_insert(number);
                }
            }
            return;
        }
        if ask.check == Check::OtherPerson {
            return;
        }
        let several = Verdict::Ineligible(Reason::SeveralInsurances);
        let found = match (&answered.verdict, ask.check) {
            (Verdict::Eligible, _) => Found::Valid,
            // It is told again, with more known about the person.
            (verdict, Check::Pending(found @ Found::Several { .. })) if *verdict == several => found,
            (verdict, _) if *verdict == several && answered.results > 0 && present && !heard_before => {
                Found::Several { count: answered.results }
            }
            (Verdict::Ineligible(reason), _) => {
                if present && !heard_before {
                    self.ineligible(reason);
                }
                return;
            }
        };
        if about_this_person {
            ask.check = Check::NotNeeded;
            self.settle(found, number, effects);
        } else if !matches!(ask.check, Check::Pending(_)) {
            ask.check = Check::Pending(found);
        }
    }

    /// What was found in the answer to ask `number` is known to be about this person.
    pub(super) fn settle(&mut self, found: Found, number: u32, effects: &mut Vec<Effect>) {
        let with = self.asks.get(number as usize).map_or(Numbers::Original, |ask| ask.with);
        if found == Found::Valid {
            self.proven.get_or_insert(number);
        }
        match found {
            Found::Valid if with == Numbers::Original && !self.insurance_ended => self.end(Final::Confirmed, effects),
            Found::Valid => self.end(Final::Changed, effects),
            Found::Several { count } => self.enter(State::Choosing { count, ask: number }),
        }
    }

    /// The present ask was answered with "not valid" for the first time.
    fn ineligible(&mut self, reason: &Reason) {
        match reason {
            Reason::CertificateRevoked => return self.enter(State::Telling(Telling::Revoked)),
            Reason::CardNotRegistered => return self.enter(State::Telling(Telling::NotRegistered)),
            Reason::InsuranceInvalid(_) | Reason::NewInsurance => {
                self.found_ineligible = true;
                self.insurance_ended |= self.asks.last().is_some_and(|ask| ask.with == Numbers::Original);
            }
            Reason::NoInsuranceFound | Reason::SeveralInsurances => self.found_ineligible = true,
            Reason::UnknownCode(_) => {}
        }
        match (self.state, reason) {
            (State::AwaitingAnswer, Reason::InsuranceInvalid(_) | Reason::NoInsuranceFound) => {
                self.enter(State::LaterData { turns: 0 });
            }
            (State::AwaitingAnswer, _)
            | (State::LaterData { .. }, Reason::NewInsurance | Reason::SeveralInsurances | Reason::UnknownCode(_)) => {
                self.enter(State::CurrentNumbers { asked: false });
            }
            // The last try for late data is over.
            (State::LaterData { turns }, _) if self.later_data_wait(turns).is_none() => self.next_rung(),
            (State::CurrentNumbers { asked: true } | State::EarlierNumbers { asked: true }, _) => self.next_rung(),
            // Staff are at work on it already, or it is waited for in any case.
            _ => {}
        }
    }
}
