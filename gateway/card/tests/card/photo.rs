//! The photo behind 照合番号B.

use uketsuke_card::surface::read_photo;
use uketsuke_card::{Limits, PhotoUnavailable, Surface, Transport, Unreadable, VirtualCard};

use crate::scene::{card, number_b, photo, spec, wrong_number_b};

#[test]
fn the_right_number_opens_the_photo() {
    let read = read_photo(&mut card(), &number_b(), &Limits::default()).unwrap().unwrap();
    assert_eq!(read.jp2_bytes(), photo());
    assert_eq!(read.into_jp2_bytes()[..], photo());
}

#[test]
fn without_the_number_the_photo_stays_closed() {
    let mut card = card();
    let closed = Surface::select(&mut card).unwrap().unwrap().photo(&Limits::default());
    assert!(closed.is_err());
}

#[test]
fn a_wrong_number_costs_one_try_and_the_tenth_locks() {
    let mut card = card();
    for tries_left in (1..10).rev() {
        let refused = read_photo(&mut card, &wrong_number_b(), &Limits::default()).unwrap();
        assert_eq!(refused.unwrap_err(), PhotoUnavailable::WrongNumberB { tries_left });
    }
    for number in [wrong_number_b(), number_b()] {
        let refused = read_photo(&mut card, &number, &Limits::default()).unwrap();
        assert_eq!(refused.unwrap_err(), PhotoUnavailable::Locked);
    }
    card.reset().unwrap();
    assert_eq!(card.number_b_tries_left(), Some(0));
}

#[test]
fn one_right_number_restores_the_tries() {
    let mut card = card();
    read_photo(&mut card, &wrong_number_b(), &Limits::default()).unwrap().unwrap_err();
    assert_eq!(card.number_b_tries_left(), Some(9));
    read_photo(&mut card, &number_b(), &Limits::default()).unwrap().unwrap();
    assert_eq!(card.number_b_tries_left(), Some(10));
}

#[test]
fn a_card_without_photo_says_so() {
    let mut spec = spec();
    for empty in [None, Some(Vec::new())] {
        spec.photo_jp2 = empty;
        let mut card = VirtualCard::new(&spec).unwrap();
        let absent = read_photo(&mut card, &number_b(), &Limits::default()).unwrap();
        assert_eq!(absent.unwrap_err(), PhotoUnavailable::Absent);
    }
}

#[test]
fn a_photo_or_file_above_its_limit_is_refused() {
    let small_photo = Limits { photo_bytes_max: 3085, ..Limits::default() };
    let refused = read_photo(&mut card(), &number_b(), &small_photo).unwrap().unwrap_err();
    assert_eq!(refused, PhotoUnavailable::TooLarge { bytes: 3086, bytes_max: 3085 });

    let small_file = Limits { surface_file_bytes_max: 3000, ..Limits::default() };
    let refused = read_photo(&mut card(), &number_b(), &small_file).unwrap().unwrap_err();
    assert!(matches!(refused, PhotoUnavailable::Unreadable(Unreadable::File(_))));
}

#[test]
fn a_photo_too_large_for_a_card_makes_no_card() {
    let mut spec = spec();
    spec.photo_jp2 = Some(vec![0; 0x8000]);
    assert!(VirtualCard::new(&spec).is_err());
}
