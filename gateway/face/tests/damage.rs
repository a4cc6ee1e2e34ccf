//! Damaged pictures: an error or a picture, never a panic, never more memory than the limits allow.

mod assets;

use std::sync::LazyLock;

use assets::portrait;
use proptest::prelude::*;
use uketsuke_face::{DecodeError, Limits, decode};

static FRAME: LazyLock<Vec<u8>> = LazyLock::new(|| portrait("camera-same.jpg"));
static CHIP: LazyLock<Vec<u8>> = LazyLock::new(|| portrait("chip.jp2"));

/// Overwrites bytes at relative places (0–1).
fn damaged(whole: &[u8], marks: &[(f64, u8)]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for &(place, value) in marks {
        let at = (place * bytes.len() as f64) as usize;
        bytes[at] = value;
    }
    bytes
}

#[test]
fn whole_pictures_are_read_at_their_size() {
    let chip = decode::jpeg2000(&CHIP, &Limits::CHIP_PHOTO).unwrap();
    assert_eq!((chip.width(), chip.height()), (240, 320));
    let frame = decode::jpeg(&FRAME, &Limits::FRAME).unwrap();
    assert_eq!((frame.width(), frame.height()), (640, 480));
}

#[test]
fn limits_hold_for_whole_pictures() {
    let tight = Limits { pixels_max: 76_799, ..Limits::CHIP_PHOTO };
    let refused = DecodeError::TooLarge { unit: "pixels", found: 76_800, limit: 76_799 };
    assert_eq!(decode::jpeg2000(&CHIP, &tight).unwrap_err(), refused);
    let tight = Limits { side_max: 639, ..Limits::FRAME };
    let refused = DecodeError::TooLarge { unit: "pixels a side", found: 640, limit: 639 };
    assert_eq!(decode::jpeg(&FRAME, &tight).unwrap_err(), refused);
}

#[test]
fn cut_off_pictures_are_errors_wherever_they_are_cut() {
    for share in 0..20 {
        let cut = |whole: &[u8]| whole[..whole.len() * share / 20].to_vec();
        assert!(decode::jpeg(&cut(&FRAME), &Limits::FRAME).is_err(), "JPEG cut at {share}/20");
        assert!(decode::jpeg2000(&cut(&CHIP), &Limits::CHIP_PHOTO).is_err(), "JPEG 2000 cut at {share}/20");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_frame_never_panics(marks in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..20)) {
        let _ = decode::jpeg(&damaged(&FRAME, &marks), &Limits::FRAME);
    }

    #[test]
    fn a_frame_with_a_damaged_header_never_panics(marks in prop::collection::vec((0.0..0.02_f64, any::<u8>()), 1..8)) {
        let _ = decode::jpeg(&damaged(&FRAME, &marks), &Limits::FRAME);
    }

    #[test]
    fn a_damaged_chip_photo_never_panics(marks in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..20)) {
        let _ = decode::jpeg2000(&damaged(&CHIP, &marks), &Limits::CHIP_PHOTO);
    }

    #[test]
    fn a_chip_photo_with_a_damaged_header_never_panics(marks in prop::collection::vec((0.0..0.08_f64, any::<u8>()), 1..8)) {
        let _ = decode::jpeg2000(&damaged(&CHIP, &marks), &Limits::CHIP_PHOTO);
    }

    #[test]
    fn noise_is_an_error(noise in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(decode::jpeg(&noise, &Limits::FRAME).is_err());
        prop_assert!(decode::jpeg2000(&noise, &Limits::CHIP_PHOTO).is_err());
    }
}
