//! How the gateway's pair of certificate and key stands with the central system: whether a refusal speaks about a request, or about the pair.
//!
//! Promises:
//! * What the gateway signed is refused for good only by a peer that has believed the same pair: each request that it accepts vouches for at
//!   most one refusal. A pair that it never believed, or believes no more, leaves requests as they were.
//! * A request with a fault that no other pair would mend is refused for good whoever signed it.
//! * A pair is declined after [`REFUSED_MAX`] refusals, and only before it was believed.
//!
//! The code of a refusal alone does not tell: a peer may call a request invalid because it does not believe the signature.

/// Refusals, one after the other, after which a pair that was never believed is declined. One alone may be about one patient's card.
pub const REFUSED_MAX: u32 = 2;

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request: it is refused for good.
    Request,
    /// The pair, as far as is known: the request is kept, and tried again.
    Pair,
}

/// Of one pair, since it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// A request that it signed was accepted.
    believed: bool,
    /// One was accepted since the last refusal that counted for good.
    vouches: bool,
    /// What it signed was called invalid, and nothing that it signed was accepted since.
    disbelieved: bool,
    /// Refusals since the last acceptance.
    refused: u32,
}

impl Standing {
    /// The peer accepted a request that this pair signed.
    pub fn accepted(&mut self) {
        *self = Self { believed: true, vouches: true, disbelieved: false, refused: 0 };
    }

    /// The peer does not permit a request, whoever signed it.
    pub fn not_permitted(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    /// The peer calls a request invalid that this pair signed. `faulty`: the request has a fault that no other pair would mend.
    pub fn called_invalid(&mut self, faulty: bool) -> Blame {
        if faulty || std::mem::take(&mut self.vouches) {
            return Blame::Request;
        }
        self.disbelieved = true;
        self.refused = self.refused.saturating_add(1);
        Blame::Pair
    }

    /// Whether a request that it signed was accepted.
    pub fn is_believed(self) -> bool {
        self.believed
    }

    /// Whether requests wait because the peer calls invalid what this pair signs.
    pub fn is_disbelieved(self) -> bool {
        self.disbelieved
    }

    /// Whether the peer refuses requests under this pair, and never believed it.
    pub fn is_declined(self) -> bool {
        !self.believed && self.refused >= REFUSED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pair_that_was_never_believed_spoils_no_request_however_often_it_is_refused() {
        let mut standing = Standing::default();
        for _ in 0..9 {
            assert_eq!(standing.called_invalid(false), Blame::Pair);
        }
        assert!(standing.is_disbelieved() && standing.is_declined());
        assert_eq!(standing.called_invalid(true), Blame::Request, "its own fault stays");
        standing.accepted();
        assert!(!standing.is_disbelieved());
        assert_eq!(
            standing.called_invalid(false),
            Blame::Request,
            "a bad request under a good pair is refused for good"
        );
    }

    #[test]
    fn a_pair_that_is_believed_no_more_spoils_one_request_at_the_most() {
        let mut standing = Standing::default();
        standing.accepted();
        let blames: Vec<_> = (0..4).map(|_| standing.called_invalid(false)).collect();
        assert_eq!(blames, [Blame::Request, Blame::Pair, Blame::Pair, Blame::Pair]);
        assert!(standing.is_disbelieved() && !standing.is_declined());
    }

    #[derive(Debug, Clone, Copy)]
    enum Heard {
        Accepted,
        NotPermitted,
        Invalid { faulty: bool },
    }

    fn heard() -> impl Strategy<Value = Heard> {
        prop_oneof![
            Just(Heard::Accepted),
            Just(Heard::NotPermitted),
            any::<bool>().prop_map(|faulty| Heard::Invalid { faulty }),
        ]
    }

    proptest! {
        #[test]
        fn refusals_for_good_are_no_more_than_acceptances_and_only_a_pair_never_believed_is_declined(
            all in prop::collection::vec(heard(), 0..40),
        ) {
            let (mut standing, mut accepted, mut for_good, mut in_a_row) = (Standing::default(), 0, 0, 0);
            for one in all {
                match one {
                    Heard::Accepted => {
                        standing.accepted();
                        (accepted, in_a_row) = (accepted + 1, 0);
                    }
                    Heard::NotPermitted => {
                        standing.not_permitted();
                        in_a_row += 1;
                    }
                    Heard::Invalid { faulty } => match standing.called_invalid(faulty) {
                        Blame::Request => for_good += u32::from(!faulty),
                        Blame::Pair => in_a_row += 1,
                    },
                }
                prop_assert!(for_good <= accepted);
                prop_assert_eq!(standing.is_declined(), accepted == 0 && in_a_row >= REFUSED_MAX);
            }
        }
    }
}
