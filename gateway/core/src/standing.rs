//! How the gateway's pair of certificate and key stands with the central system: whether a refusal speaks about a request, or about the pair.
//!
//! Promises:
//! * What the gateway signed is refused for good only when the peer calls the same request invalid again, after it has accepted another
//!   request that the same pair signed. One refusal spoils nothing: behind one address there may be a peer that does not know the pair.
//! * A request with a fault that no other pair would mend is refused for good whoever signed it.
//! * A pair is declined after [`REFUSED_MAX`] refusals of questions, and only before it was believed. Whatever is accepted under it clears
//!   them. Consents and follow-ups do not count: a peer that forbids these alone serves patients under the pair.
//!
//! The code of a refusal alone does not tell: a peer may call a request invalid because it does not believe the signature.

use std::collections::BTreeMap;

/// Refusals, one after the other, after which a pair that was never believed is declined. One alone may be about one patient's card.
pub const REFUSED_MAX: u32 = 2;

/// Requests remembered that were called invalid once. Of more the one that was refused longest ago is forgotten: it is tried once more.
const SUSPECTS_MAX: usize = 64;

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request: it is refused for good.
    Request,
    /// The pair, as far as is known: the request is kept, and tried again.
    Pair,
}

/// A request that the pair signed was called invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid {
    /// Which one.
    pub seq: i64,
    /// It asks for a patient's eligibility, the first time.
    pub question: bool,
    /// It has a fault that no other pair would mend.
    pub faulty: bool,
}

/// Of one pair, since it is in use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// How many requests that it signed were accepted.
    accepted: u64,
    /// What it signed and was called invalid, with `accepted` as it was then.
    suspects: BTreeMap<i64, u64>,
    /// Refusals of questions since the last acceptance.
    refused: u32,
}

impl Standing {
    /// The peer accepted a request that this pair signed.
    pub fn accepted(&mut self, seq: i64) {
        self.suspects.remove(&seq);
        self.accepted = self.accepted.saturating_add(1);
        self.refused = 0;
    }

    /// The peer accepted a request that a card signed.
    pub fn served(&mut self) {
        self.refused = 0;
    }

    /// The peer does not permit a question, whoever signed it.
    pub fn not_permitted(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    /// The peer calls a request invalid that this pair signed.
    pub fn called_invalid(&mut self, invalid: Invalid) -> Blame {
        let Invalid { seq, question, faulty } = invalid;
        if faulty || self.suspects.get(&seq).is_some_and(|then| *then < self.accepted) {
            self.suspects.remove(&seq);
            return Blame::Request;
        }
        self.suspects.insert(seq, self.accepted);
        if self.suspects.len() > SUSPECTS_MAX
            && let Some((first, _)) = self.suspects.iter().min_by_key(|(_, then)| **then)
        {
            let first = *first;
            self.suspects.remove(&first);
        }
        self.refused = self.refused.saturating_add(u32::from(question));
        Blame::Pair
    }

    /// Whether a request that it signed was accepted.
    pub fn is_believed(&self) -> bool {
        self.accepted > 0
    }

    /// Whether requests wait because the peer calls invalid what this pair signs. Of a pair that was believed one request alone may be
    /// invalid itself.
    pub fn is_disbelieved(&self) -> bool {
        let since = self.suspects.values().filter(|then| **then == self.accepted).count();
        since > usize::from(self.is_believed())
    }

    /// Whether the peer refuses questions under this pair, and never believed it.
    pub fn is_declined(&self) -> bool {
        !self.is_believed() && self.refused >= REFUSED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question(seq: i64) -> Invalid {
        Invalid { seq, question: true, faulty: false }
    }

    #[test]
    fn a_pair_that_was_never_believed_spoils_no_request_however_often_it_is_refused() {
        let mut standing = Standing::default();
        for _ in 0..9 {
            assert_eq!(standing.called_invalid(question(1)), Blame::Pair);
        }
        assert!(standing.is_disbelieved() && standing.is_declined());
        let faulty = Invalid { faulty: true, ..question(2) };
        assert_eq!(standing.called_invalid(faulty), Blame::Request, "its own fault stays");
    }

    #[test]
    fn a_request_is_refused_for_good_when_another_one_was_accepted_between_its_refusals_and_not_before() {
        let mut standing = Standing::default();
        standing.accepted(1);
        assert_eq!(standing.called_invalid(question(2)), Blame::Pair, "one refusal spoils nothing");
        assert_eq!(standing.called_invalid(question(2)), Blame::Pair, "nothing was accepted between");
        assert!(!standing.is_disbelieved(), "it may be this request");
        standing.served();
        assert_eq!(standing.called_invalid(question(2)), Blame::Pair, "what a card signed does not vouch for the pair");
        standing.accepted(3);
        assert_eq!(standing.called_invalid(question(4)), Blame::Pair, "another request is another one");
        assert_eq!(standing.called_invalid(question(2)), Blame::Request);
    }

    #[test]
    fn a_pair_that_is_believed_no_more_spoils_no_request() {
        let mut standing = Standing::default();
        standing.accepted(0);
        for seq in (1..=200).chain(1..=200) {
            assert_eq!(standing.called_invalid(question(seq)), Blame::Pair, "{seq}");
        }
        assert!(standing.suspects.len() <= SUSPECTS_MAX);
        assert!(standing.is_disbelieved() && !standing.is_declined());
    }

    #[derive(Debug, Clone, Copy)]
    enum Heard {
        Accepted(i64),
        Served,
        NotPermitted,
        Invalid(Invalid),
    }

    fn heard() -> impl Strategy<Value = Heard> {
        let invalid = (0..4i64, any::<bool>(), prop::bool::weighted(0.2));
        prop_oneof![
            (0..4i64).prop_map(Heard::Accepted),
            Just(Heard::Served),
            Just(Heard::NotPermitted),
            invalid.prop_map(|(seq, question, faulty)| Heard::Invalid(Invalid { seq, question, faulty })),
        ]
    }

    proptest! {
        #[test]
        fn a_refusal_for_good_is_the_second_one_round_an_acceptance_and_only_a_pair_never_believed_is_declined(
            all in prop::collection::vec(heard(), 0..40),
        ) {
            let (mut standing, mut accepted, mut in_a_row) = (Standing::default(), 0, 0);
            for (now, one) in all.iter().enumerate() {
                match *one {
                    Heard::Accepted(seq) => {
                        standing.accepted(seq);
                        (accepted, in_a_row) = (accepted + 1, 0);
                    }
                    Heard::Served => {
                        standing.served();
                        in_a_row = 0;
                    }
                    Heard::NotPermitted => {
                        standing.not_permitted();
                        in_a_row += 1;
                    }
                    Heard::Invalid(invalid) => {
                        let same = |one: &Heard| matches!(one, Heard::Invalid(before) if before.seq == invalid.seq);
                        let before = all[..now].iter().position(same);
                        let vouched = before.is_some_and(|before| {
                            all[before..now].iter().any(|one| matches!(one, Heard::Accepted(seq) if *seq != invalid.seq))
                        });
                        match standing.called_invalid(invalid) {
                            Blame::Request => prop_assert!(invalid.faulty || vouched),
                            Blame::Pair => in_a_row += u32::from(invalid.question),
                        }
                    }
                }
                prop_assert_eq!(standing.is_declined(), accepted == 0 && in_a_row >= REFUSED_MAX);
            }
        }
    }
}
