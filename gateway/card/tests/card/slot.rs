//! A virtual card behind the wire format of a slot.

use uketsuke_card::slot::{LENGTH_BYTES, answer, body_bytes, decode_front};
use uketsuke_card::{Faults, Jpki, PinStatus, SlotRequest, Transport, TransportError, VirtualCard};

use crate::scene::{NUMBER_B, card, right_pin, wrong_pin};

/// What a gateway does over TCP, without the TCP.
struct Wire(VirtualCard);

impl Transport for Wire {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let sent = SlotRequest::Apdu(command.to_vec()).encode().unwrap();
        let request = SlotRequest::decode(&sent[LENGTH_BYTES..]).unwrap();
        let received = answer(&mut self.0, request)?;
        let (length, body) = received.split_first_chunk().unwrap();
        assert_eq!(body_bytes(*length), Ok(body.len()));
        Ok(body.to_vec())
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        answer(&mut self.0, SlotRequest::Reset).map(|received| assert!(received.is_empty()))
    }
}

#[test]
fn a_card_answers_through_its_slot() {
    let mut wire = Wire(card());
    let mut jpki = Jpki::select(&mut wire).unwrap();
    let certificate = jpki.authentication_certificate(&Default::default()).unwrap();
    jpki.verify_pin(&right_pin()).unwrap();
    assert!(jpki.sign(&certificate, b"request").is_ok());
    wire.reset().unwrap();
    assert!(Jpki::select(&mut wire).unwrap().sign(&certificate, b"request").is_err());
}

#[test]
fn tries_survive_power_off() {
    let mut wire = Wire(card());
    Jpki::select(&mut wire).unwrap().verify_pin(&wrong_pin()).unwrap();
    for request in [SlotRequest::PowerOff, SlotRequest::PowerOn] {
        assert!(!request.is_answered());
        assert!(answer(&mut wire.0, request).unwrap().is_empty());
    }
    assert_eq!(Jpki::select(&mut wire).unwrap().pin_status(), Ok(PinStatus::TriesLeft(2)));
}

#[test]
fn answer_to_reset_is_the_one_that_opensc_knows() {
    let received = answer(&mut card(), SlotRequest::Atr).unwrap();
    assert_eq!(received, [0, 9, 0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14]);
}

#[test]
fn the_front_of_a_card_is_its_number_and_a_foreign_card_has_none() {
    let received = answer(&mut card(), SlotRequest::Front).unwrap();
    let number = decode_front(&received[LENGTH_BYTES..]).unwrap().unwrap();
    assert_eq!(number.expose_ascii(), NUMBER_B);
    assert_eq!(answer(&mut VirtualCard::foreign(), SlotRequest::Front).unwrap(), [0, 0]);
}

#[test]
fn a_dead_card_closes_its_slot() {
    let mut card = card();
    card.set_faults(Faults { dies_after_commands: Some(0), ..Faults::default() });
    assert_eq!(answer(&mut card, SlotRequest::Apdu(vec![0, 0xA4])), Err(TransportError::CardGone));
    assert_eq!(answer(&mut card, SlotRequest::Reset), Err(TransportError::CardGone));
}
