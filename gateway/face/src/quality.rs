//! What the person at the camera could do better. Advice only: it never accepts and never refuses anybody.

use crate::{
    detect::{self, Bbox, Detection},
    image::Rgb,
};

/// One sentence for the screen; the caller puts it in the patient's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nobody is in the picture.
    NoFace,
    /// Somebody else is nearly as near: only the patient should be in front of the camera.
    SeveralFaces,
    /// The face is too small to be compared well.
    ComeCloser,
    /// The face nearly fills the picture, or more.
    MoveBack,
    /// The face is far from the middle.
    MoveToCentre,
    /// Too little light on the face.
    TooDark,
    /// Too much light on the face.
    TooBright,
}

/// Share of the nearest face's area from which another one counts as nearly as near.
const RIVAL_AREA_MIN: f32 = 0.4;

/// Width in pixels below which a face carries less detail than the 112 pixels the embedder looks at.
const WIDTH_MIN_PX: f32 = 80.0;

/// Share of a side of the picture over which a face is likely to be cut off in the next frame.
const SIDE_SHARE_MAX: f32 = 0.85;

/// Distance of the face's centre from the picture's, as a share of the side, over which the person should move.
const OFF_CENTRE_MAX: f32 = 0.25;

/// Mean luma (0–255) under and over which contrast is lost; the whole picture counts when it shows no face.
const LUMA_MIN: f32 = 50.0;
const LUMA_MAX: f32 = 215.0;

/// The most useful advice for this picture, `None` when all is well.
///
/// `faces` are the detections in pixels of `image`. The order is the order of usefulness: somebody who stands too
/// far away is not yet told about the light.
pub fn advise(image: &Rgb, faces: &[Detection]) -> Option<Advice> {
    let Some(nearest) = detect::nearest(faces) else {
        let whole = Bbox { x: 0.0, y: 0.0, width: image.width() as f32, height: image.height() as f32 };
        // In the dark the detector finds nobody; "come in front of the camera" would be wrong then.
        return Some(light(image, &whole).unwrap_or(Advice::NoFace));
    };
    let face = &nearest.bbox;
    let (width, height) = (image.width() as f32, image.height() as f32);
    let rivals = faces.iter().filter(|other| other.bbox.area() >= face.area() * RIVAL_AREA_MIN).count();
    let off_x = (face.x + face.width / 2.0 - width / 2.0).abs() / width;
    let off_y = (face.y + face.height / 2.0 - height / 2.0).abs() / height;
    if rivals > 1 {
        Some(Advice::SeveralFaces)
    } else if face.width < WIDTH_MIN_PX {
        Some(Advice::ComeCloser)
    } else if face.width > width * SIDE_SHARE_MAX || face.height > height * SIDE_SHARE_MAX {
        Some(Advice::MoveBack)
    } else if off_x > OFF_CENTRE_MAX || off_y > OFF_CENTRE_MAX {
        Some(Advice::MoveToCentre)
    } else {
        light(image, face)
    }
}

fn light(image: &Rgb, area: &Bbox) -> Option<Advice> {
    let luma = mean_luma(image, area)?;
    if luma < LUMA_MIN {
        Some(Advice::TooDark)
    } else if luma > LUMA_MAX {
        Some(Advice::TooBright)
    } else {
        None
    }
}

/// Mean luma (ITU-R BT.601) of the part of the area that lies in the picture, every fourth pixel of every fourth row.
fn mean_luma(image: &Rgb, area: &Bbox) -> Option<f32> {
    const STEP: usize = 4;

    // Float to integer casts saturate, so an edge outside the picture becomes the picture's edge.
    let columns = area.x as usize..((area.x + area.width) as usize).min(image.width());
    let rows = area.y as usize..((area.y + area.height) as usize).min(image.height());
    let (mut sum, mut count) = (0.0, 0.0);
    for y in rows.step_by(STEP) {
        for x in columns.clone().step_by(STEP) {
            let [red, green, blue] = image.pixel(x, y).map(f32::from);
            sum += 0.299 * red + 0.587 * green + 0.114 * blue;
            count += 1.0;
        }
    }
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(level: u8) -> Rgb {
        Rgb::new(640, 480, vec![level; 640 * 480 * 3]).unwrap()
    }

    fn face(x: f32, y: f32, width: f32, height: f32) -> Detection {
        Detection { bbox: Bbox { x, y, width, height }, score: 0.9, landmarks: [(0.0, 0.0); 5] }
    }

    #[test]
    fn each_flaw_has_its_advice() {
        let good = face(240.0, 140.0, 160.0, 200.0);
        let cases: [(&str, u8, Vec<Detection>, Option<Advice>); 11] = [
            ("a good picture", 128, vec![good.clone()], None),
            ("nobody", 128, vec![], Some(Advice::NoFace)),
            ("nobody seen in the dark", 10, vec![], Some(Advice::TooDark)),
            ("two people", 128, vec![good.clone(), face(0.0, 0.0, 150.0, 190.0)], Some(Advice::SeveralFaces)),
            ("somebody far behind", 128, vec![good.clone(), face(0.0, 0.0, 60.0, 70.0)], None),
            ("far away", 128, vec![face(300.0, 220.0, 40.0, 50.0)], Some(Advice::ComeCloser)),
            ("very near", 128, vec![face(120.0, -20.0, 400.0, 500.0)], Some(Advice::MoveBack)),
            ("at the side", 128, vec![face(0.0, 140.0, 160.0, 200.0)], Some(Advice::MoveToCentre)),
            ("dark", 20, vec![good.clone()], Some(Advice::TooDark)),
            ("bright", 240, vec![good], Some(Advice::TooBright)),
            ("outside the picture", 128, vec![face(900.0, 900.0, 100.0, 100.0)], Some(Advice::MoveToCentre)),
        ];
        for (scene, level, faces, wanted) in cases {
            assert_eq!(advise(&grey(level), &faces), wanted, "{scene}");
        }
    }
}
