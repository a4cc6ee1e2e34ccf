//! What is known to be wrong with the line: by what it was found, so that it is disproved by nothing less, and told once.

use super::fault::LineFault;
use super::status::CentralError;
use uketsuke_core::line::Call;

/// What is known to be wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// A connection or a ping found it.
    line: Option<LineFault>,
    /// A patient's first question for eligibility found it.
    questions: Option<LineFault>,
    /// A question about an earlier one found it: patients are received all the same.
    follow_ups: Option<LineFault>,
    /// Consents found it: patients are received all the same.
    consents: Option<LineFault>,
}

impl Known {
    /// What is wrong with the line, or with questions.
    pub(super) fn fault(&self) -> Option<LineFault> {
        self.line.clone().or_else(|| self.questions.clone())
    }

    /// What is wrong with consents alone.
    pub(super) fn consents(&self) -> Option<LineFault> {
        self.consents.clone()
    }

    /// What is wrong with follow-ups alone.
    pub(super) fn follow_ups(&self) -> Option<LineFault> {
        self.follow_ups.clone()
    }

    /// No connection could be opened.
    pub(super) fn not_connected(&mut self, fault: LineFault) {
        self.line = Some(fault);
    }

    /// A connection opened.
    pub(super) fn connected(&mut self) {
        // The peer looks at our certificate after the handshake: only an answered call takes this back.
        if !self.line.as_ref().is_some_and(LineFault::is_about_our_certificate) {
            self.disprove_by_less_than_a_request();
        }
    }

    /// Takes over what requests found on the connection before.
    pub(super) fn inherit(&mut self, former: Self) {
        let about_requests = |fault: &LineFault| fault.is_about_requests();
        if self.line.is_none() && self.questions.is_none() {
            self.questions = former.questions.filter(about_requests);
        }
        if self.consents.is_none() {
            self.consents = former.consents.filter(about_requests);
        }
        if self.follow_ups.is_none() {
            self.follow_ups = former.follow_ups.filter(about_requests);
        }
    }

    /// A call ended so; `mute` says that it is one of several of its kind without an answer.
    pub(super) fn ended(&mut self, call: Call, error: Option<&CentralError>, mute: bool) {
        match error {
            Some(CentralError::TimedOut) => self.silent(call, mute),
            Some(error @ CentralError::Unreachable(_)) => {
                if self.fault().is_none() {
                    self.line = error.fault(None);
                }
            }
            answered => {
                let found = answered.and_then(|error| error.fault(None));
                if found.as_ref().is_some_and(LineFault::is_about_our_certificate) {
                    self.line = found;
                    return;
                }
                self.disprove_by_less_than_a_request();
                *self.slot(call) = found;
            }
        }
    }

    /// A missing answer explains nothing that is explained already.
    fn silent(&mut self, call: Call, mute: bool) {
        let known_as = |fault: &mut LineFault| *fault == LineFault::NoAnswer;
        if mute {
            self.slot(call).take_if(known_as);
        }
        if mute && matches!(call, Call::Ping | Call::Eligibility) {
            self.line.take_if(known_as);
            self.questions.take_if(known_as);
        }
        // What a ping found too is disproved by no ping any more.
        if mute && call == Call::Eligibility && self.line == Some(LineFault::Unanswered) {
            self.line = None;
        }
        if self.fault().is_none() {
            let silence = if mute { LineFault::Unanswered } else { LineFault::NoAnswer };
            self.slot(call).get_or_insert(silence);
        }
    }

    fn slot(&mut self, call: Call) -> &mut Option<LineFault> {
        match call {
            Call::Ping => &mut self.line,
            Call::Eligibility => &mut self.questions,
            Call::FollowUp => &mut self.follow_ups,
            Call::Consent => &mut self.consents,
        }
    }

    /// A connection that opens, or another call that is answered, says nothing about requests that are not answered, or not accepted.
    fn disprove_by_less_than_a_request(&mut self) {
        self.line = None;
        self.questions.take_if(|fault| !fault.is_about_requests());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> CentralError {
        CentralError::Refused("permission_denied".into())
    }

    fn not_accepted() -> Option<LineFault> {
        Some(LineFault::NotAccepted("permission_denied".into()))
    }

    #[test]
    fn what_consents_found_is_no_fault_of_the_line_and_only_a_consent_disproves_it() {
        for (error, found) in [
            (refused(), not_accepted()),
            (CentralError::TimedOut, Some(LineFault::Unanswered)),
            (CentralError::Busy(None), Some(LineFault::Busy)),
        ] {
            let mut known = Known::default();
            known.ended(Call::Consent, Some(&error), true);
            for call in [Call::Ping, Call::Eligibility, Call::FollowUp] {
                known.ended(call, None, false);
                assert_eq!((known.fault(), known.consents()), (None, found.clone()), "after {call:?}");
            }
            known.connected();
            assert_eq!(known.consents(), found);
            known.ended(Call::Consent, None, false);
            assert_eq!(known, Known::default());
        }
    }

    #[test]
    fn what_questions_found_is_disproved_by_a_question_and_not_by_consents_or_pings() {
        let mut known = Known::default();
        known.ended(Call::Eligibility, Some(&refused()), false);
        known.ended(Call::Consent, None, false);
        known.ended(Call::Ping, None, false);
        known.connected();
        assert_eq!((known.fault(), known.consents()), (not_accepted(), None));
        known.ended(Call::FollowUp, None, false);
        assert_eq!(known.fault(), not_accepted(), "a follow-up says nothing about first questions");
        known.ended(Call::Eligibility, None, false);
        assert_eq!(known, Known::default());
    }

    #[test]
    fn what_follow_ups_found_is_no_fault_of_the_line_and_only_a_follow_up_disproves_it() {
        for error in [refused(), CentralError::Busy(None), CentralError::Unavailable] {
            let mut known = Known::default();
            known.ended(Call::FollowUp, Some(&error), false);
            for call in [Call::Ping, Call::Eligibility, Call::Consent] {
                known.ended(call, None, false);
                assert_eq!((known.fault(), known.follow_ups()), (None, error.fault(None)), "after {call:?}");
            }
            known.ended(Call::FollowUp, None, false);
            assert_eq!(known, Known::default());
        }
    }

    #[test]
    fn a_line_that_is_broken_or_mute_is_told_once_whatever_is_asked() {
        let mut known = Known::default();
        known.not_connected(LineFault::NobodyListens("x".into()));
        for call in [Call::Ping, Call::Eligibility, Call::Consent] {
            known.ended(call, Some(&CentralError::Unreachable("x".into())), false);
            known.ended(call, Some(&CentralError::TimedOut), true);
        }
        assert_eq!((known.fault(), known.consents()), (Some(LineFault::NobodyListens("x".into())), None));
        let mut known = Known::default();
        known.ended(Call::Ping, Some(&CentralError::TimedOut), false);
        assert_eq!(known.fault(), Some(LineFault::NoAnswer));
        known.ended(Call::Ping, Some(&CentralError::TimedOut), true);
        known.ended(Call::Eligibility, Some(&CentralError::TimedOut), true);
        known.ended(Call::Consent, Some(&CentralError::TimedOut), true);
        assert_eq!((known.fault(), known.consents()), (Some(LineFault::Unanswered), None));
        known.ended(Call::Ping, None, false);
        assert_eq!(known.fault(), Some(LineFault::Unanswered), "a question found it too");
    }
}
