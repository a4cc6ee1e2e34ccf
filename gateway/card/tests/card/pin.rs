//! The PIN and its three tries.

use uketsuke_card::{Jpki, PinStatus, PinVerification, ReadError, SignError, Transport, VirtualCard};

use crate::scene::{card, right_pin, spec, wrong_pin};

fn status(card: &mut VirtualCard) -> PinStatus {
    Jpki::select(card).unwrap().pin_status().unwrap()
}

#[test]
fn a_wrong_pin_counts_down_and_locks_at_the_third() {
    let mut card = card();
    let mut jpki = Jpki::select(&mut card).unwrap();
    assert_eq!(jpki.verify_pin(&wrong_pin()), Ok(PinVerification::Wrong { tries_left: 2 }));
    assert_eq!(jpki.verify_pin(&wrong_pin()), Ok(PinVerification::Wrong { tries_left: 1 }));
    assert_eq!(jpki.verify_pin(&wrong_pin()), Ok(PinVerification::Locked));
    assert_eq!(jpki.verify_pin(&right_pin()), Ok(PinVerification::Locked));
    assert_eq!(card.pin_tries_left(), Some(0));
}

#[test]
fn a_lock_survives_a_reset() {
    let mut card = card();
    for _ in 0..3 {
        Jpki::select(&mut card).unwrap().verify_pin(&wrong_pin()).unwrap();
    }
    card.reset().unwrap();
    assert_eq!(status(&mut card), PinStatus::Locked);
    assert_eq!(Jpki::select(&mut card).unwrap().verify_pin(&right_pin()), Ok(PinVerification::Locked));
}

#[test]
fn tries_spent_survive_a_reset_and_one_success_restores_them() {
    let mut card = card();
    Jpki::select(&mut card).unwrap().verify_pin(&wrong_pin()).unwrap();
    card.reset().unwrap();
    assert_eq!(status(&mut card), PinStatus::TriesLeft(2));
    assert_eq!(Jpki::select(&mut card).unwrap().verify_pin(&right_pin()), Ok(PinVerification::Verified));
    assert_eq!(card.pin_tries_left(), Some(3));
}

#[test]
fn asking_for_the_tries_costs_nothing() {
    let mut card = card();
    for _ in 0..20 {
        assert_eq!(status(&mut card), PinStatus::TriesLeft(3));
    }
    assert_eq!(card.pin_tries_left(), Some(3));
}

#[test]
fn a_card_may_arrive_with_tries_already_spent() {
    for (left, expected) in [(1, PinStatus::TriesLeft(1)), (0, PinStatus::Locked), (9, PinStatus::TriesLeft(3))] {
        let mut spec = spec();
        spec.pin_tries_left = left;
        assert_eq!(status(&mut VirtualCard::new(&spec).unwrap()), expected);
    }
}

#[test]
fn a_card_without_pin_says_so_and_never_signs() {
    let mut spec = spec();
    spec.pin = None;
    let mut card = VirtualCard::new(&spec).unwrap();
    let mut jpki = Jpki::select(&mut card).unwrap();
    assert_eq!(jpki.pin_status(), Ok(PinStatus::NoPin));
    assert_eq!(jpki.verify_pin(&right_pin()), Ok(PinVerification::Locked));
    let certificate = jpki.authentication_certificate(&Default::default()).unwrap();
    assert_eq!(jpki.sign(&certificate, b"request").unwrap_err(), SignError::PinNotVerified);
    assert_eq!(card.pin_tries_left(), None);
}

#[test]
fn the_card_leaving_during_a_comparison_is_told_as_card_gone() {
    let mut card = card();
    // SELECT application and SELECT file are answered, VERIFY is not.
    card.set_faults(uketsuke_card::Faults { dies_after_commands: Some(2), ..Default::default() });
    let verification = Jpki::select(&mut card).unwrap().verify_pin(&right_pin());
    assert!(matches!(verification, Err(ReadError::CardGone { .. })));
}
