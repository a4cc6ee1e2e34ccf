//! Real pictures through the real models.

// A panic in a helper is a failed test.
#![allow(clippy::unwrap_used)]

mod assets;

use assets::{chip_photo, engine, portrait};
use uketsuke_face::{
    Advice, Decider, Decision, DecodeError, Engine, FaceError, FrameResult, Limits, Rgb, Template, Thresholds, decode,
};

fn score(engine: &mut Engine, reference: &Template, frame: &str) -> f32 {
    match engine.frame(&portrait(frame), reference).unwrap() {
        FrameResult::Face { score, .. } => score.value(),
        FrameResult::NoFace { .. } => panic!("no face in {frame}"),
    }
}

#[test]
fn the_person_of_the_chip_photo_scores_high_and_another_low() {
    let mut engine = engine();
    let reference = engine.template(&chip_photo()).unwrap();
    let [same, again, other] =
        ["camera-same.jpg", "camera-same-2.jpg", "camera-other.jpg"].map(|frame| score(&mut engine, &reference, frame));
    println!("same {same:.3}, same again {again:.3}, other {other:.3}");
    assert!(same > 0.5 && again > 0.5, "same {same}, again {again}");
    assert!(other < 0.3, "other {other}");
}

#[test]
fn an_attempt_accepts_the_person_and_rejects_another() {
    let mut engine = engine();
    let reference = engine.template(&chip_photo()).unwrap();
    let mut attempt = |frame: &str| {
        let mut decider = Decider::new(Thresholds::default());
        let frame = portrait(frame);
        loop {
            if let Some(decision) = decider.push(engine.frame(&frame, &reference).unwrap()) {
                return decision;
            }
        }
    };
    assert!(matches!(attempt("camera-same.jpg"), Decision::Accept { .. }));
    assert!(matches!(attempt("camera-other.jpg"), Decision::Reject { .. }));
}

#[test]
fn a_large_picture_scores_like_its_camera_frame() {
    let mut engine = engine();
    let reference = engine.template(&chip_photo()).unwrap();
    let large = decode::jpeg(&portrait("obama2.jpg"), &Limits::FRAME).unwrap();
    let faces = engine.detect(&large).unwrap();
    assert_eq!(faces.len(), 1);
    let face = &faces[0].bbox;
    // The face spans 202–477 × 229–634 pixels of the original, found by OpenCV with the same model.
    assert!((face.x - 202.0).abs() < 15.0 && (face.y - 229.0).abs() < 15.0, "{} {}", face.x, face.y);
    assert!((face.width - 275.0).abs() < 25.0 && (face.height - 405.0).abs() < 25.0);
    let template = engine.template(&large).unwrap();
    assert!(uketsuke_face::compare(&reference, &template).value() > 0.5);
}

#[test]
fn a_good_frame_needs_no_advice() {
    let mut engine = engine();
    let reference = engine.template(&chip_photo()).unwrap();
    let result = engine.frame(&portrait("camera-same.jpg"), &reference).unwrap();
    assert!(matches!(result, FrameResult::Face { advice: None, .. }), "{result:?}");
}

#[test]
fn a_blank_picture_has_no_face() {
    let mut engine = engine();
    let blank = Rgb::new(640, 480, vec![128; 640 * 480 * 3]).unwrap();
    assert!(engine.detect(&blank).unwrap().is_empty());
    assert!(matches!(engine.template(&blank), Err(FaceError::NoFace)));
    assert_eq!(uketsuke_face::quality::advise(&blank, &[]), Some(Advice::NoFace));
}

#[test]
fn pictures_of_any_size_are_looked_at() {
    let mut engine = engine();
    for (width, height) in [(1, 1), (31, 33), (700, 2), (333, 641), (1600, 1200)] {
        let image = Rgb::new(width, height, vec![90; width * height * 3]).unwrap();
        assert!(engine.detect(&image).unwrap().is_empty(), "{width}×{height}");
    }
}

#[test]
fn a_damaged_frame_is_an_error_and_the_engine_goes_on() {
    let mut engine = engine();
    let reference = engine.template(&chip_photo()).unwrap();
    let frame = portrait("camera-same.jpg");
    let result = engine.frame(&frame[..frame.len() / 2], &reference);
    assert!(matches!(result, Err(FaceError::Unreadable(DecodeError::Corrupt(_)))));
    assert!(score(&mut engine, &reference, "camera-same.jpg") > 0.5);
}
