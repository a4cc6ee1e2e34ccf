//! What the central system thinks of the pairs of certificate and key that this process has used: [`Standing`], by certificate.

use super::status::CentralError;
use super::wire::{self, NotSendable};
use crate::clock::Clock;
use crate::store::{OutboxRow, RequestKind};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use uketsuke_core::clock::lies_ahead;
use uketsuke_core::standing::{Blame, Invalid, Standing};
use uketsuke_proto::central_v1::{Signed, Signer};

/// The certificate of a pair, DER.
pub(super) type PairId = Arc<[u8]>;

/// Pairs remembered: the one in use, those that calls under way were signed with, and the former ones. The oldest is forgotten.
const PAIRS_MAX: usize = 8;

/// Of every pair. The one used last stands at the end.
#[derive(Default)]
pub(super) struct Pairs(Mutex<VecDeque<(PairId, Standing)>>);

impl Pairs {
    fn with<T>(&self, pair: &PairId, change: impl FnOnce(&mut Standing) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(known, _)| known == pair).unwrap_or_else(|| {
            all.push_back((pair.clone(), Standing::default()));
            all.len() - 1
        });
        let changed = change(&mut all[at].1);
        if all.len() > PAIRS_MAX {
            all.pop_front();
        }
        changed
    }

    /// This pair is in use from now on: nothing is known of it.
    pub(super) fn begin(&self, pair: &PairId) {
        self.with(pair, |standing| *standing = Standing::default());
    }

    pub(super) fn standing(&self, pair: &PairId) -> Standing {
        self.with(pair, |standing| standing.clone())
    }

    /// What came of a request that went out under this pair says something about the pair; and the pair about what a refusal means.
    pub(super) fn judge<T>(
        &self,
        pair: &PairId,
        (row, signed): (&OutboxRow, &Signed),
        sent: Result<T, CentralError>,
        clock: &Clock,
    ) -> Result<T, CentralError> {
        let by_gateway = signed.signer() == Signer::Gateway;
        let question = row.request.kind == RequestKind::Eligibility;
        match sent {
            Ok(_) if by_gateway => self.with(pair, |standing| standing.accepted(row.seq)),
            Ok(_) => self.with(pair, Standing::served),
            Err(CentralError::Rejected(code)) if by_gateway => {
                let faulty = || match wire::asked(row.request.kind, &signed.payload) {
                    Ok(asked) => asked.is_some_and(|asked| lies_ahead(asked, clock.mono(), clock.central())),
                    Err(NotSendable::Undecodable | NotSendable::Signer(_)) => true,
                };
                let invalid = Invalid { seq: row.seq, question, faulty: faulty() };
                return Err(match self.with(pair, |standing| standing.called_invalid(invalid)) {
                    Blame::Request => CentralError::Rejected(code),
                    Blame::Pair => CentralError::NotBelieved(code),
                });
            }
            Err(ref error) if question && error.is_about_the_gateway() => self.with(pair, Standing::not_permitted),
            _ => {}
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Lane, Proof, Request};
    use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
    use uuid::Uuid;

    /// What a gateway hears under one pair.
    struct Heard {
        pairs: Pairs,
        pair: PairId,
        clock: Clock,
    }

    impl Heard {
        fn nothing() -> Self {
            Self { pairs: Pairs::default(), pair: b"a certificate".as_slice().into(), clock: Clock::new("".into()) }
        }

        fn answer<T>(
            &self,
            seq: i64,
            kind: RequestKind,
            signer: Signer,
            sent: Result<T, CentralError>,
        ) -> Result<T, CentralError> {
            let id = RequestId(Uuid::from_u128(0));
            let request = Request { id, kind, body: Vec::new().into(), proof: Proof::Gateway };
            let reception = ReceptionId(Uuid::from_u128(0));
            let (order_key, lane) = (OrderKey([0; 32]), Lane::Interactive);
            let row = OutboxRow { seq, request, reception, order_key, lane, attempts: 0 };
            let signed = Signed { signer: signer.into(), ..Signed::default() };
            self.pairs.judge(&self.pair, (&row, &signed), sent, &self.clock)
        }

        fn accepts(&self, seq: i64, kind: RequestKind, signer: Signer) {
            self.answer(seq, kind, signer, Ok(())).unwrap();
        }

        fn forbids(&self, seq: i64, kind: RequestKind, signer: Signer) {
            let forbidden = Err::<(), _>(CentralError::Refused("permission_denied".into()));
            assert!(self.answer(seq, kind, signer, forbidden).is_err());
        }

        fn calls_invalid(&self, seq: i64, kind: RequestKind) -> CentralError {
            self.answer(seq, kind, Signer::Gateway, Err::<(), _>(CentralError::Rejected("invalid_argument".into())))
                .unwrap_err()
        }

        fn declined(&self) -> bool {
            self.pairs.standing(&self.pair).is_declined()
        }
    }

    #[test]
    fn a_pair_under_which_consents_alone_are_refused_is_not_declined() {
        let heard = Heard::nothing();
        for seq in 0..9 {
            heard.forbids(seq, RequestKind::Consent, Signer::Gateway);
            heard.calls_invalid(seq, RequestKind::Consent);
            assert!(!heard.declined(), "{seq}");
        }
    }

    #[test]
    fn any_request_that_is_accepted_under_a_pair_clears_the_refusals_before_it() {
        let heard = Heard::nothing();
        for seq in 0..9 {
            heard.forbids(seq, RequestKind::Eligibility, Signer::Card);
            heard.accepts(seq, RequestKind::Eligibility, Signer::Card);
            assert!(!heard.declined(), "{seq}");
        }
        assert!(!heard.pairs.standing(&heard.pair).is_believed(), "a card signed it");
        heard.forbids(1, RequestKind::Eligibility, Signer::Card);
        heard.forbids(2, RequestKind::Eligibility, Signer::Gateway);
        assert!(heard.declined());
    }

    #[test]
    fn a_request_that_one_of_two_peers_calls_invalid_is_kept_until_it_is_refused_again_round_an_acceptance() {
        let heard = Heard::nothing();
        heard.accepts(1, RequestKind::Consent, Signer::Gateway);
        let kept = CentralError::NotBelieved("invalid_argument".into());
        assert_eq!(heard.calls_invalid(2, RequestKind::FollowUp), kept);
        assert_eq!(heard.calls_invalid(2, RequestKind::FollowUp), kept);
        heard.accepts(3, RequestKind::Consent, Signer::Gateway);
        assert!(matches!(heard.calls_invalid(2, RequestKind::FollowUp), CentralError::Rejected(_)));
    }
}
