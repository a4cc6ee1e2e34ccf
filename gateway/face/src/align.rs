//! A face turned, scaled and moved to where the embedder expects it.

use crate::image::Rgb;

/// Side of the aligned picture in pixels.
pub(crate) const SIDE: usize = 112;

/// Where the five landmarks belong in the aligned picture (SFace's and ArcFace's published template).
pub(crate) const TEMPLATE: [(f32, f32); 5] =
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)];

/// `(x, y) ↦ (a·x − b·y + dx, b·x + a·y + dy)`: rotation and scale as the complex factor a + bi, then a shift.
#[derive(Clone, Copy)]
pub(crate) struct Similarity {
    a: f32,
    b: f32,
    dx: f32,
    dy: f32,
}

impl Similarity {
    /// The similarity that moves `from` nearest to `to` in the least-squares sense, without mirroring.
    ///
    /// In complex numbers around the centroids the minimum is Σ z̄ᵢwᵢ / Σ |zᵢ|². `None` when the points coincide or
    /// are not finite: no face has that, and no scale would follow.
    pub(crate) fn fitting(from: &[(f32, f32); 5], to: &[(f32, f32); 5]) -> Option<Self> {
        let (from_x, from_y) = centroid(from);
        let (to_x, to_y) = centroid(to);
        let (mut real, mut imaginary, mut spread) = (0.0, 0.0, 0.0);
        for (&(x, y), &(u, v)) in from.iter().zip(to) {
            let (x, y, u, v) = (x - from_x, y - from_y, u - to_x, v - to_y);
            real += x * u + y * v;
            imaginary += x * v - y * u;
            spread += x * x + y * y;
        }
        let (a, b) = (real / spread, imaginary / spread);
        let similarity = Self { a, b, dx: to_x - a * from_x + b * from_y, dy: to_y - b * from_x - a * from_y };
        similarity.is_sound().then_some(similarity)
    }

    fn is_sound(&self) -> bool {
        let scale = self.a.hypot(self.b);
        scale.is_normal() && self.dx.is_finite() && self.dy.is_finite()
    }

    pub(crate) fn apply(&self, (x, y): (f32, f32)) -> (f32, f32) {
        (self.a * x - self.b * y + self.dx, self.b * x + self.a * y + self.dy)
    }

    /// The way back; a sound similarity always has one.
    pub(crate) fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, dx: -a * self.dx + b * self.dy, dy: -b * self.dx - a * self.dy }
    }
}

fn centroid(points: &[(f32, f32); 5]) -> (f32, f32) {
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), &(u, v)| (x + u, y + v));
    (x / 5.0, y / 5.0)
}

/// Writes the face as planes R, G, B of 112×112 values 0–255, bilinear, zero outside the picture.
///
/// `false` when the landmarks fit no similarity; `planes` is then untouched. Its length is `3 · SIDE · SIDE`.
pub(crate) fn face(image: &Rgb, landmarks: &[(f32, f32); 5], planes: &mut [f32]) -> bool {
    let Some(to_template) = Similarity::fitting(landmarks, &TEMPLATE) else {
        return false;
    };
    let to_image = to_template.inverse();
    let (red, rest) = planes.split_at_mut(SIDE * SIDE);
    let (green, blue) = rest.split_at_mut(SIDE * SIDE);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let at = y * SIDE + x;
            [red[at], green[at], blue[at]] = bilinear(image, to_image.apply((x as f32, y as f32)));
        }
    }
    true
}

fn bilinear(image: &Rgb, (x, y): (f32, f32)) -> [f32; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (right_share, lower_share) = (x - left, y - top);
    let mut value = [0.0; 3];
    for (dy, row_share) in [(0, 1.0 - lower_share), (1, lower_share)] {
        for (dx, column_share) in [(0, 1.0 - right_share), (1, right_share)] {
            // Saturating casts: a point far outside stays outside.
            let (column, row) = ((left as i32).saturating_add(dx), (top as i32).saturating_add(dy));
            let (Ok(column), Ok(row)) = (usize::try_from(column), usize::try_from(row)) else { continue };
            if column < image.width() && row < image.height() {
                for (total, channel) in value.iter_mut().zip(image.pixel(column, row)) {
                    *total += row_share * column_share * f32::from(channel);
                }
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close((x, y): (f32, f32), (u, v): (f32, f32)) -> bool {
        (x - u).abs() < 0.01 && (y - v).abs() < 0.01
    }

    #[test]
    fn landmarks_already_in_place_leave_the_picture_as_it_is() {
        let pixels: Vec<u8> = (0..SIDE * SIDE * 3).map(|index| (index % 251) as u8).collect();
        let image = Rgb::new(SIDE, SIDE, pixels).unwrap();
        let mut planes = vec![0.0; 3 * SIDE * SIDE];
        assert!(face(&image, &TEMPLATE, &mut planes));
        for y in 1..SIDE - 1 {
            for x in 1..SIDE - 1 {
                for (channel, value) in image.pixel(x, y).into_iter().enumerate() {
                    let aligned = planes[channel * SIDE * SIDE + y * SIDE + x];
                    assert!((aligned - f32::from(value)).abs() < 0.1, "({x}, {y}) channel {channel}");
                }
            }
        }
    }

    #[test]
    fn outside_the_picture_is_black() {
        let white = Rgb::new(10, 10, vec![255; 300]).unwrap();
        assert_eq!(bilinear(&white, (-5.0, 3.0)), [0.0; 3]);
        assert_eq!(bilinear(&white, (f32::MAX, f32::MIN)), [0.0; 3]);
        assert_eq!(bilinear(&white, (9.5, 5.0)), [127.5; 3]);
        assert_eq!(bilinear(&white, (4.25, 5.75)), [255.0; 3]);
    }

    #[test]
    fn coinciding_or_infinite_points_fit_nothing() {
        assert!(Similarity::fitting(&[(5.0, 5.0); 5], &TEMPLATE).is_none());
        assert!(Similarity::fitting(&[(f32::NAN, 0.0); 5], &TEMPLATE).is_none());
    }

    proptest! {
        #[test]
        fn a_moved_template_is_moved_back(
            scale in 0.2_f32..5.0, turn in -3.0_f32..3.0, dx in -300.0_f32..300.0, dy in -300.0_f32..300.0,
        ) {
            let moved = Similarity { a: scale * turn.cos(), b: scale * turn.sin(), dx, dy };
            let points = TEMPLATE.map(|point| moved.apply(point));
            let back = Similarity::fitting(&points, &TEMPLATE).unwrap();
            for (point, wanted) in points.into_iter().zip(TEMPLATE) {
                prop_assert!(close(back.apply(point), wanted));
                prop_assert!(close(moved.inverse().apply(point), wanted));
            }
        }
    }
}
