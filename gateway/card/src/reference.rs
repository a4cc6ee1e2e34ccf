//! Secrets that a card compares itself: PIN and 照合番号B. One VERIFY, one try, never repeated.

use crate::apdu::{Command, Meaning, StatusWord, exchange};
use crate::{ReadError, Transport, file};

/// What the card says about a secret without comparing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// So many wrong values are still allowed, one at least.
    TriesLeft(u8),
    /// Compared successfully since the last reset.
    Verified,
    /// No value will be accepted any more.
    Locked,
    /// The card has no such secret.
    Absent,
}

/// The outcome of one comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Verified,
    Wrong { tries_left: u8 },
    Locked,
}

/// Asks for the tries left of the secret in file `id`. Costs nothing.
pub(crate) fn state<T: Transport + ?Sized>(transport: &mut T, id: u16, what: &'static str) -> Result<State, ReadError> {
    if !file::select(transport, id, what)? {
        return Ok(State::Absent);
    }
    let response = exchange(transport, &Command::tries_left()).map_err(|error| ReadError::exchange(what, error))?;
    match response.status.meaning() {
        Meaning::Ok => Ok(State::Verified),
        Meaning::TriesLeft(0) | Meaning::Locked => Ok(State::Locked),
        Meaning::TriesLeft(tries) => Ok(State::TriesLeft(tries)),
        Meaning::NotFound => Ok(State::Absent),
        _ => Err(ReadError::status(what, response.status)),
    }
}

/// Has the card compare `secret` with the one in file `id`. Costs a try when wrong.
///
/// A secret that the card does not have counts as locked: nothing the patient types will be accepted.
pub(crate) fn compare<T: Transport + ?Sized, const N: usize>(
    transport: &mut T,
    id: u16,
    secret: &[u8; N],
    what: &'static str,
) -> Result<Comparison, ReadError> {
    if !file::select(transport, id, what)? {
        return Ok(Comparison::Locked);
    }
    let response = exchange(transport, &Command::verify(secret)).map_err(|error| ReadError::exchange(what, error))?;
    match response.status.meaning() {
        Meaning::Ok => Ok(Comparison::Verified),
        Meaning::TriesLeft(0) | Meaning::Locked | Meaning::NotFound => Ok(Comparison::Locked),
        Meaning::TriesLeft(tries_left) => Ok(Comparison::Wrong { tries_left }),
        // Refused without a number: ask, so that the screen can say how many tries are left.
        Meaning::WrongWithoutCount => match state(transport, id, what)? {
            State::TriesLeft(tries_left) => Ok(Comparison::Wrong { tries_left }),
            State::Locked | State::Absent => Ok(Comparison::Locked),
            // "Verified" right after a refusal is a contradiction; believe neither.
            State::Verified => Err(ReadError::status(what, StatusWord(0x6300))),
        },
        _ => Err(ReadError::status(what, response.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::tests::Script;

    const OK: [u8; 2] = [0x90, 0x00];

    #[test]
    fn every_status_of_the_tries_query_has_a_meaning() {
        let cases = [
            ([0x63, 0xC3], State::TriesLeft(3)),
            ([0x63, 0xC0], State::Locked),
            ([0x69, 0x83], State::Locked),
            ([0x69, 0x84], State::Locked),
            ([0x90, 0x00], State::Verified),
            ([0x6A, 0x88], State::Absent),
        ];
        for (status, expected) in cases {
            let mut card = Script::new([OK.to_vec(), status.to_vec()]);
            assert_eq!(state(&mut card, 0x0018, "tries"), Ok(expected), "{status:02X?}");
        }
    }

    #[test]
    fn a_refusal_without_a_number_is_followed_by_the_free_query() {
        let mut card = Script::new([OK.to_vec(), vec![0x63, 0x00], OK.to_vec(), vec![0x63, 0xC2]]);
        assert_eq!(compare(&mut card, 0x0018, b"1234", "PIN"), Ok(Comparison::Wrong { tries_left: 2 }));
        assert_eq!(card.sent[3], [0x00, 0x20, 0x00, 0x80]);
    }

    #[test]
    fn the_last_wrong_value_and_both_lock_codes_mean_locked() {
        for status in [[0x63, 0xC0], [0x69, 0x83], [0x69, 0x84]] {
            let mut card = Script::new([OK.to_vec(), status.to_vec()]);
            assert_eq!(compare(&mut card, 0x0018, b"1234", "PIN"), Ok(Comparison::Locked), "{status:02X?}");
        }
    }

    #[test]
    fn an_unclear_answer_to_a_comparison_is_an_error_and_not_repeated() {
        let mut card = Script::new([OK.to_vec(), vec![0x6F, 0x00]]);
        assert!(matches!(compare(&mut card, 0x0018, b"1234", "PIN"), Err(ReadError::Unreadable { .. })));
        assert_eq!(card.sent.len(), 2);
    }
}
