//! Signing, and the check that nobody gets an unchecked signature.

use uketsuke_card::{AuthCertificate, Class, Jpki, Limits, PinVerification, SignError, Transport, VirtualCard};

use crate::scene::{Ca, NOT_AFTER, OTHER_KEY, card, right_pin, spec};

fn open(card: &mut VirtualCard) -> (Jpki<'_, VirtualCard>, AuthCertificate) {
    let mut jpki = Jpki::select(card).unwrap();
    let certificate = jpki.authentication_certificate(&Limits::default()).unwrap();
    assert_eq!(jpki.verify_pin(&right_pin()), Ok(PinVerification::Verified));
    (jpki, certificate)
}

#[test]
fn after_the_pin_a_payload_is_signed_and_the_signature_holds_for_it_alone() {
    let mut card = card();
    let (mut jpki, certificate) = open(&mut card);
    let signature = jpki.sign(&certificate, b"request").unwrap();
    assert_eq!(signature.len(), 256);
    assert!(certificate.verify_signature(b"request", &signature).is_ok());
    assert!(certificate.verify_signature(b"another request", &signature).is_err());
}

#[test]
fn an_empty_and_a_large_payload_are_signed_too() {
    let mut card = card();
    let (mut jpki, certificate) = open(&mut card);
    assert!(jpki.sign(&certificate, b"").is_ok());
    assert!(jpki.sign(&certificate, &vec![7; 1_000_000]).is_ok());
}

#[test]
fn without_the_pin_nothing_is_signed() {
    let mut card = card();
    let mut jpki = Jpki::select(&mut card).unwrap();
    let certificate = jpki.authentication_certificate(&Limits::default()).unwrap();
    assert_eq!(jpki.sign(&certificate, b"request").unwrap_err(), SignError::PinNotVerified);
}

#[test]
fn a_reset_and_another_application_close_the_key() {
    let mut card = card();
    let (_, certificate) = open(&mut card);
    card.reset().unwrap();
    assert_eq!(Jpki::select(&mut card).unwrap().sign(&certificate, b"request").unwrap_err(), SignError::PinNotVerified);

    let (_, certificate) = open(&mut card);
    uketsuke_card::Surface::select(&mut card).unwrap();
    assert_eq!(Jpki::select(&mut card).unwrap().sign(&certificate, b"request").unwrap_err(), SignError::PinNotVerified);
}

#[test]
fn a_card_that_signs_with_another_key_is_refused() {
    let mut spec = spec();
    spec.private_key_pkcs8_der = OTHER_KEY.pkcs8_der().to_vec();
    let mut card = VirtualCard::new(&spec).unwrap();
    let (mut jpki, certificate) = open(&mut card);
    let error = jpki.sign(&certificate, b"request").unwrap_err();
    assert!(matches!(error, SignError::Mismatch(_)));
    assert_eq!(error.class(), Class::Permanent);
}

#[test]
fn a_signature_is_checked_against_the_certificate_that_was_given() {
    let mut card = card();
    let (mut jpki, _) = open(&mut card);
    let another = Ca::jpki().issue_for_signatures(&OTHER_KEY, NOT_AFTER);
    assert!(matches!(jpki.sign(&another, b"request"), Err(SignError::Mismatch(_))));
}
