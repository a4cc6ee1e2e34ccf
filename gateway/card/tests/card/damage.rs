//! Cards that answer anything at all: every call returns, nothing panics, nothing goes on for ever.

use proptest::prelude::*;
use uketsuke_card::surface::read_photo;
use uketsuke_card::{AuthCertificate, Jpki, Limits, SlotRequest, Transport, TransportError, VirtualCard, read_card};

use crate::scene::{CARD_KEY, Ca, NOT_AFTER, card, number_b, right_pin};

/// No honest reading of a card takes more commands; a loop would.
const COMMANDS_MAX: usize = 100_000;

/// A card that repeats its responses in turn.
struct Babble {
    responses: Vec<Vec<u8>>,
    commands: usize,
}

impl Transport for Babble {
    fn transmit(&mut self, _command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let response = self.responses.get(self.commands % self.responses.len().max(1));
        self.commands += 1;
        assert!(self.commands < COMMANDS_MAX, "the client does not come to an end");
        response.cloned().ok_or(TransportError::TimedOut)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        Ok(())
    }
}

fn everything(transport: &mut impl Transport, certificate: &AuthCertificate) {
    let limits = Limits::default();
    let _ = read_card(transport, Some(&number_b()), &limits);
    let _ = read_photo(transport, &number_b(), &limits);
    if let Ok(mut jpki) = Jpki::select(transport) {
        let _ = jpki.pin_status();
        let _ = jpki.verify_pin(&right_pin());
        let _ = jpki.ca_certificate_der(&limits);
        assert!(jpki.sign(certificate, b"request").is_err(), "babble was accepted as a signature");
    }
}

/// Mostly plausible statuses, or no test would get past the first SELECT.
fn response() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        6 => Just(vec![0x90, 0x00]),
        1 => any::<u8>().prop_map(|low| vec![0x61, low]),
        1 => any::<u8>().prop_map(|low| vec![0x6C, low]),
        1 => any::<u8>().prop_map(|low| vec![0x63, low]),
        1 => proptest::collection::vec(any::<u8>(), 0..3),
    ];
    let start = prop_oneof![
        Just(vec![]),
        Just(vec![0x30, 0x82, 0x04, 0x00]),
        Just(vec![0xFF, 0x20, 0x82, 0x7F, 0x00, 0xDF, 0x27]),
        Just(vec![0xFF, 0x20, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
    ];
    (start, proptest::collection::vec(any::<u8>(), 0..300), status)
        .prop_map(|(start, noise, status)| [start, noise, status].concat())
}

proptest! {
    #[test]
    fn a_card_that_answers_anything_is_survived(responses in proptest::collection::vec(response(), 0..12)) {
        let certificate = Ca::jpki().issue_for_signatures(&CARD_KEY, NOT_AFTER);
        everything(&mut Babble { responses, commands: 0 }, &certificate);
    }

    #[test]
    fn a_real_card_with_one_spoilt_response_is_survived(at in 0_usize..40, spoilt in response()) {
        /// Answers properly save once.
        struct Spoilt { card: VirtualCard, at: usize, with: Vec<u8>, commands: usize }

        impl Transport for Spoilt {
            fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
                let proper = self.card.transmit(command)?;
                self.commands += 1;
                assert!(self.commands < COMMANDS_MAX, "the client does not come to an end");
                Ok(if self.commands == self.at + 1 { self.with.clone() } else { proper })
            }

            fn reset(&mut self) -> Result<(), TransportError> {
                self.card.reset()
            }
        }

        let mut card = Spoilt { card: card(), at, with: spoilt, commands: 0 };
        let _ = read_card(&mut card, Some(&number_b()), &Limits::default());
    }

    #[test]
    fn a_certificate_with_any_byte_changed_never_panics(at in 0_usize..700, with: u8) {
        let mut der = Ca::jpki().issue_for_signatures(&CARD_KEY, NOT_AFTER).der().to_vec();
        let length = der.len();
        der[at % length] = with;
        if let Ok(certificate) = AuthCertificate::from_der(&der) {
            let _ = (certificate.not_after_ms(), certificate.serial());
            let _ = certificate.verify_signature(b"request", &[0; 256]);
        }
    }

    #[test]
    fn the_virtual_card_answers_any_command_with_a_status(
        commands in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..270), 1..8),
    ) {
        let mut card = card();
        for command in commands {
            if let Ok(request) = SlotRequest::decode(&command) {
                prop_assert!(uketsuke_card::slot::answer(&mut card, request).is_ok());
            }
            let response = card.transmit(&command).unwrap();
            prop_assert!(response.len() >= 2 && response.len() <= 258);
        }
    }
}
