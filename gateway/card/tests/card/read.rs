//! The one call of a gateway.

use uketsuke_card::{
    CertificateError, Class, Faults, Limits, PhotoUnavailable, PinStatus, ReadError, Transport, TransportError,
    Unreadable, VirtualCard, read_card,
};

use crate::scene::{NUMBER_B, PIN, card, number_b, photo, spec, wrong_number_b};

#[test]
fn a_healthy_card_is_read_whole() {
    let reading = read_card(&mut card(), Some(&number_b()), &Limits::default()).unwrap();
    assert_eq!(reading.certificate.der(), spec().authentication_certificate_der);
    assert_eq!(reading.pin, PinStatus::TriesLeft(3));
    assert_eq!(reading.photo.unwrap().jp2_bytes(), photo());
}

#[test]
fn without_the_front_the_card_is_readable_and_no_try_is_spent() {
    let mut card = card();
    let reading = read_card(&mut card, None, &Limits::default()).unwrap();
    assert_eq!(reading.photo.unwrap_err(), PhotoUnavailable::NoNumberB);
    assert_eq!((card.pin_tries_left(), card.number_b_tries_left()), (Some(3), Some(10)));
}

#[test]
fn a_wrong_front_leaves_the_card_readable() {
    let reading = read_card(&mut card(), Some(&wrong_number_b()), &Limits::default()).unwrap();
    assert_eq!(reading.photo.unwrap_err(), PhotoUnavailable::WrongNumberB { tries_left: 9 });
}

#[test]
fn a_transport_may_be_a_trait_object() {
    let mut card: Box<dyn uketsuke_card::Transport + Send> = Box::new(card());
    assert!(read_card(card.as_mut(), None, &Limits::default()).is_ok());
}

#[test]
fn another_kind_of_card_is_told_apart() {
    let error = read_card(&mut VirtualCard::foreign(), None, &Limits::default()).unwrap_err();
    assert_eq!((error.class(), error), (Class::Permanent, ReadError::NotMyNumberCard));
}

#[test]
fn a_card_without_certificate_and_one_with_a_broken_one_are_told_apart() {
    let mut spec = spec();
    for blank in [vec![], vec![0xFF; 1600], vec![0x00; 1600]] {
        spec.authentication_certificate_der = blank;
        let error = read_card(&mut VirtualCard::new(&spec).unwrap(), None, &Limits::default()).unwrap_err();
        assert_eq!(error, ReadError::NoCertificate);
    }
    spec.authentication_certificate_der = [&[0x30, 0x82, 0x01, 0x00][..], &[0x05; 256]].concat();
    let error = read_card(&mut VirtualCard::new(&spec).unwrap(), None, &Limits::default()).unwrap_err();
    assert_eq!(error, ReadError::BadCertificate(CertificateError::NotX509));
}

#[test]
fn a_card_pulled_out_at_any_command_is_told_as_card_gone() {
    let mut commands = 0;
    loop {
        let mut card = card();
        card.set_faults(Faults { dies_after_commands: Some(commands), ..Faults::default() });
        match read_card(&mut card, Some(&number_b()), &Limits::default()) {
            Err(error) => assert!(matches!(error, ReadError::CardGone { .. }), "after {commands}: {error}"),
            Ok(_) => break,
        }
        commands += 1;
    }
    assert!(commands > 20, "a reading takes more than {commands} commands");
}

/// A healthy card until the photo is asked for, then `error` for ever.
struct FailsAtPhoto {
    card: VirtualCard,
    error: TransportError,
    failing: bool,
}

impl Transport for FailsAtPhoto {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.failing |= command.ends_with(&uketsuke_card::surface::AID);
        if self.failing { Err(self.error.clone()) } else { self.card.transmit(command) }
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.card.reset()
    }
}

#[test]
fn a_card_that_is_silent_about_its_photo_is_still_readable() {
    let mut card = FailsAtPhoto { card: card(), error: TransportError::TimedOut, failing: false };
    let reading = read_card(&mut card, Some(&number_b()), &Limits::default()).unwrap();
    assert_eq!(reading.photo.unwrap_err(), PhotoUnavailable::Unreadable(Unreadable::TimedOut));
}

#[test]
fn a_reader_that_fails_at_the_photo_has_failed() {
    let error = TransportError::Fault("usb: no such device".into());
    let mut card = FailsAtPhoto { card: card(), error, failing: false };
    let error = read_card(&mut card, Some(&number_b()), &Limits::default()).unwrap_err();
    assert!(matches!(error, ReadError::ReaderFailed { .. }), "{error}");
}

#[test]
fn truncated_responses_are_an_unreadable_card() {
    for bytes in 0..9 {
        let mut card = card();
        card.set_faults(Faults { response_bytes_max: Some(bytes), ..Faults::default() });
        let error = read_card(&mut card, Some(&number_b()), &Limits::default()).unwrap_err();
        assert!(matches!(error, ReadError::Unreadable { .. }), "{bytes} bytes: {error}");
        assert_eq!(error.class(), Class::Transient);
    }
}

#[test]
fn nothing_personal_is_shown_by_debug() {
    let mut card = card();
    let reading = read_card(&mut card, Some(&number_b()), &Limits::default()).unwrap();
    let serial = reading.certificate.serial();
    let shown = format!("{reading:?} {serial:?} {card:?} {:?}", spec());
    for secret in [&PIN[..], NUMBER_B, b"MARKED-PERSON"] {
        assert!(!shown.contains(std::str::from_utf8(secret).unwrap()), "{shown}");
    }
    // Bytes printed as a list would show up as long runs of numbers.
    assert!(shown.len() < 600, "{shown}");
}
