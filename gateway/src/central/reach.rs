//! How far a line that is down still goes.

use super::fault::LineFault;

/// How far a line that is down still goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nobody is reached.
    Nobody,
    /// The service is there, and does not work well: an answer came late, or it asked for a pause.
    Struggling,
    /// The service is there, and does not take requests.
    NotServing,
}

impl Reach {
    /// Of a line that is down, by what is known to be wrong.
    pub fn of(fault: Option<&LineFault>) -> Self {
        match fault {
            Some(fault) if fault.is_about_requests() => Self::NotServing,
            Some(LineFault::NoAnswer | LineFault::Busy | LineFault::Failing(_) | LineFault::ClocksApart(_)) => {
                Self::Struggling
            }
            _ => Self::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_answer_or_a_pause_is_not_said_to_be_a_refusal() {
        for fault in [LineFault::NoAnswer, LineFault::Busy, LineFault::Failing("x".into()), LineFault::ClocksApart(61)]
        {
            assert_eq!(Reach::of(Some(&fault)), Reach::Struggling, "{fault}");
        }
        for fault in [LineFault::Unanswered, LineFault::NotAccepted("x".into()), LineFault::NoService] {
            assert_eq!(Reach::of(Some(&fault)), Reach::NotServing, "{fault}");
        }
        for fault in [None, Some(LineFault::Broke("x".into())), Some(LineFault::OurAuthorityUnknown)] {
            assert_eq!(Reach::of(fault.as_ref()), Reach::Nobody, "{fault:?}");
        }
    }
}
