//! Faces and their landmarks, by YuNet (2023mar).
//!
//! Input of the model: 1×3×H×W, planes B, G, R with values 0–255, sides multiples of 32, zeros right and below.
//! Output per stride s ∈ {8, 16, 32}: class and objectness scores, boxes and five points for each of H/s · W/s cells
//! (published post-processing of OpenCV's `FaceDetectorYN`).

use std::fmt;

use ort::session::Session;
use zeroize::Zeroize;

use crate::{image::Rgb, runtime};

/// Longest side the detector looks at, in pixels. Larger pictures are reduced: nearer faces need no more, and time
/// grows with the area (7.5 ms at 640×480).
pub const SIDE_MAX: usize = 640;

/// Score from which a cell counts as a face.
pub const SCORE_MIN: f32 = 0.6;

/// Overlap (intersection over union) from which two boxes are one face.
const OVERLAP_MAX: f32 = 0.3;

/// Cells looked at after scoring, best first: a bound on the pairwise comparisons that follow.
const CANDIDATES_MAX: usize = 500;

const STRIDES: [usize; 3] = [8, 16, 32];
const ALIGNMENT: usize = 32;
pub(crate) const OUTPUTS: [&str; 12] = [
    "cls_8", "cls_16", "cls_32", "obj_8", "obj_16", "obj_32", "bbox_8", "bbox_16", "bbox_32", "kps_8", "kps_16",
    "kps_32",
];

/// A rectangle in pixels of the picture; it may reach over the edge.
#[derive(Clone, Copy, PartialEq)]
pub struct Bbox {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width, positive.
    pub width: f32,
    /// Height, positive.
    pub height: f32,
}

impl Bbox {
    /// Area in square pixels.
    pub fn area(&self) -> f32 {
        self.width * self.height
    }

    fn overlap(&self, other: &Self) -> f32 {
        let shared = |a: f32, a_long: f32, b: f32, b_long: f32| ((a + a_long).min(b + b_long) - a.max(b)).max(0.0);
        let both =
            shared(self.x, self.width, other.x, other.width) * shared(self.y, self.height, other.y, other.height);
        both / (self.area() + other.area() - both)
    }
}

/// One face. `Debug` shows neither its place nor its points: landmarks are biometric.
#[derive(Clone, PartialEq)]
pub struct Detection {
    /// Where the face is.
    pub bbox: Bbox,
    /// Confidence, [`SCORE_MIN`]–1.
    pub score: f32,
    /// x and y of right eye, left eye, nose tip, right and left corner of the mouth (the person's right), in pixels.
    pub landmarks: [(f32, f32); 5],
}

impl fmt::Debug for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detection").finish_non_exhaustive()
    }
}

impl Drop for Detection {
    fn drop(&mut self) {
        for (x, y) in &mut self.landmarks {
            x.zeroize();
            y.zeroize();
        }
    }
}

/// The model with its input buffer, for one thread.
pub(crate) struct Detector {
    session: Session,
    input: Vec<f32>,
}

impl Detector {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, input: Vec::new() }
    }

    /// Faces of a picture whose sides are at most [`SIDE_MAX`], best score first.
    pub(crate) fn faces(&mut self, image: &Rgb) -> ort::Result<Vec<Detection>> {
        let size = planes(image, &mut self.input);
        let mut cells = Cells::new(size);
        let ran = runtime::run(&mut self.session, size, &self.input, OUTPUTS, &mut |index, values| {
            cells.fill(index, values);
        });
        self.input.as_mut_slice().zeroize();
        ran?;
        Ok(suppressed(cells.candidates()))
    }
}

/// Writes the picture as the model wants it and returns height and width of the tensor.
fn planes(image: &Rgb, input: &mut Vec<f32>) -> [usize; 2] {
    let [height, width] = [image.height(), image.width()].map(|side| side.next_multiple_of(ALIGNMENT));
    input.clear();
    input.resize(3 * height * width, 0.0);
    let (blue, rest) = input.split_at_mut(height * width);
    let (green, red) = rest.split_at_mut(height * width);
    for (y, row) in image.pixels().chunks_exact(image.width() * 3).enumerate() {
        let from = y * width;
        let to = from + image.width();
        let targets = red[from..to].iter_mut().zip(&mut green[from..to]).zip(&mut blue[from..to]);
        for (pixel, ((red, green), blue)) in row.as_chunks::<3>().0.iter().zip(targets) {
            [*red, *green, *blue] = pixel.map(f32::from);
        }
    }
    [height, width]
}

/// Copies of the model's twelve outputs, in the order of [`OUTPUTS`].
struct Cells {
    size: [usize; 2],
    outputs: [Vec<f32>; OUTPUTS.len()],
}

impl Cells {
    fn new(size: [usize; 2]) -> Self {
        Self { size, outputs: Default::default() }
    }

    fn fill(&mut self, index: usize, values: &[f32]) {
        self.outputs[index] = values.to_vec();
    }

    fn candidates(&self) -> Vec<Detection> {
        let [_, width] = self.size;
        let mut found = Vec::new();
        for (level, stride) in STRIDES.into_iter().enumerate() {
            let [class, object, boxes, points] = [0, 3, 6, 9].map(|kind| self.outputs[kind + level].as_slice());
            let (boxes, points) = (boxes.as_chunks::<4>().0, points.as_chunks::<10>().0);
            let values = class.iter().zip(object).zip(boxes.iter().zip(points));
            for (cell, ((&class, &object), (bbox, points))) in values.enumerate() {
                let score = (class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0)).sqrt();
                // Also false for a score that is not a number.
                if score >= SCORE_MIN {
                    let origin = (cell % (width / stride), cell / (width / stride));
                    found.extend(detection(score, origin, stride as f32, bbox, points));
                }
            }
        }
        found
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        self.outputs.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// A cell's values in pixels; `None` if one of them is not finite.
fn detection(
    score: f32,
    (column, row): (usize, usize),
    stride: f32,
    bbox: &[f32; 4],
    points: &[f32; 10],
) -> Option<Detection> {
    if !bbox.iter().chain(points).all(|value| value.is_finite()) {
        return None;
    }
    let (column, row) = (column as f32, row as f32);
    let (width, height) = (bbox[2].exp() * stride, bbox[3].exp() * stride);
    let (centre_x, centre_y) = ((column + bbox[0]) * stride, (row + bbox[1]) * stride);
    let landmark = |index: usize| ((points[index * 2] + column) * stride, (points[index * 2 + 1] + row) * stride);
    let bbox = Bbox { x: centre_x - width / 2.0, y: centre_y - height / 2.0, width, height };
    let sound = width.is_finite() && height.is_finite() && width > 0.0 && height > 0.0;
    sound.then(|| Detection { bbox, score, landmarks: std::array::from_fn(landmark) })
}

/// Best first, each face once.
fn suppressed(mut candidates: Vec<Detection>) -> Vec<Detection> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    candidates.truncate(CANDIDATES_MAX);
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|face| face.bbox.overlap(&candidate.bbox) <= OVERLAP_MAX) {
            kept.push(candidate);
        }
    }
    kept
}

/// The face nearest to the camera, which is the one that stands at the reader: the one with the largest box.
pub fn nearest(faces: &[Detection]) -> Option<&Detection> {
    faces.iter().max_by(|a, b| a.bbox.area().total_cmp(&b.bbox.area()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, side: f32, score: f32) -> Detection {
        Detection { bbox: Bbox { x, y: 0.0, width: side, height: side }, score, landmarks: [(0.0, 0.0); 5] }
    }

    #[test]
    fn the_picture_becomes_padded_planes_in_the_order_blue_green_red() {
        let image = Rgb::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let mut input = vec![9.0; 7];
        assert_eq!(planes(&image, &mut input), [32, 32]);
        assert_eq!(input.len(), 3 * 32 * 32);
        assert_eq!(input[..3], [3.0, 6.0, 0.0]);
        assert_eq!(input[1024..1027], [2.0, 5.0, 0.0]);
        assert_eq!(input[2048..2051], [1.0, 4.0, 0.0]);
        assert_eq!(input[32..64], [0.0; 32]);
    }

    #[test]
    fn a_cell_becomes_pixels_of_its_stride() {
        let found = detection(0.9, (3, 2), 8.0, &[0.5, 0.5, 0.0, 2.0_f32.ln()], &[0.25; 10]).unwrap();
        assert_eq!((found.bbox.x, found.bbox.width), (24.0, 8.0));
        assert!((found.bbox.y - 12.0).abs() < 1e-4 && (found.bbox.height - 16.0).abs() < 1e-4);
        assert_eq!(found.landmarks[4], (26.0, 18.0));
    }

    #[test]
    fn values_that_are_not_finite_are_no_face() {
        assert!(detection(0.9, (0, 0), 8.0, &[0.0, 0.0, f32::NAN, 0.0], &[0.0; 10]).is_none());
        assert!(detection(0.9, (0, 0), 8.0, &[0.0, 0.0, 1e9, 0.0], &[0.0; 10]).is_none());
        let mut cells = Cells::new([32, 32]);
        for index in 0..OUTPUTS.len() {
            cells.fill(index, &[f32::NAN; 160]);
        }
        assert!(cells.candidates().is_empty());
    }

    #[test]
    fn overlapping_boxes_are_one_face_and_the_best_score_stays() {
        let kept = suppressed(vec![face(1.0, 10.0, 0.7), face(0.0, 10.0, 0.9), face(30.0, 10.0, 0.8)]);
        assert_eq!(kept.iter().map(|face| face.score).collect::<Vec<_>>(), [0.9, 0.8]);
    }

    #[test]
    fn the_nearest_face_is_the_largest() {
        let faces = [face(0.0, 10.0, 0.9), face(50.0, 20.0, 0.7)];
        assert_eq!(nearest(&faces).map(|face| face.score), Some(0.7));
        assert!(nearest(&[]).is_none());
    }
}
