//! An RGB picture that wipes itself.

use std::fmt;

use zeroize::Zeroize;

/// An 8-bit RGB picture, rows from the top, three bytes a pixel without padding.
///
/// It holds somebody's face: the pixels are overwritten when it is dropped, and `Debug` shows only its size.
pub struct Rgb {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Rgb {
    /// A picture of `width` × `height` pixels out of `width · height · 3` bytes, sRGB as decoded.
    ///
    /// `None` when a side is zero or the bytes are not that many; they are wiped then.
    pub fn new(width: usize, height: usize, mut pixels: Vec<u8>) -> Option<Self> {
        let wanted = width.checked_mul(height).and_then(|area| area.checked_mul(3));
        if width == 0 || height == 0 || wanted != Some(pixels.len()) {
            pixels.zeroize();
            return None;
        }
        Some(Self { width, height, pixels })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// `height · width · 3` bytes: R, G, B of each pixel, rows from the top.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// R, G, B of one pixel; `x < width` and `y < height`.
    pub(crate) fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// The picture reduced so that its longer side is `side_max` pixels, each pixel the mean of those it covers;
    /// `None` when it is no larger than that already.
    ///
    /// Averaging matters: picking single pixels out of a large picture brings jagged edges the models never saw.
    pub(crate) fn reduced(&self, side_max: usize) -> Option<Self> {
        let long = self.width.max(self.height);
        if long <= side_max {
            return None;
        }
        let reduce = |side: usize| (side * side_max / long).max(1);
        let (width, height) = (reduce(self.width), reduce(self.height));
        let columns = shares(self.width, width);
        let rows = shares(self.height, height);
        let mut pixels = Vec::with_capacity(width * height * 3);
        for row in &rows {
            for column in &columns {
                pixels.extend(self.mean(row, column));
            }
        }
        Some(Self { width, height, pixels })
    }

    fn mean(&self, rows: &[(usize, f32)], columns: &[(usize, f32)]) -> [u8; 3] {
        let mut sum = [0.0_f32; 3];
        let mut area = 0.0;
        for &(y, row_share) in rows {
            for &(x, column_share) in columns {
                let share = row_share * column_share;
                for (total, value) in sum.iter_mut().zip(self.pixel(x, y)) {
                    *total += share * f32::from(value);
                }
                area += share;
            }
        }
        sum.map(|total| (total / area).round() as u8)
    }
}

/// For each of `to` new pixels: which old ones it covers, and how much of each (0–1).
fn shares(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let step = from as f32 / to as f32;
    (0..to)
        .map(|index| {
            let (start, end) = (index as f32 * step, (index as f32 + 1.0) * step);
            let last = (end.ceil() as usize).min(from);
            (start as usize..last)
                .map(|old| (old, (end.min(old as f32 + 1.0) - start.max(old as f32)).max(f32::EPSILON)))
                .collect()
        })
        .collect()
}

impl Drop for Rgb {
    fn drop(&mut self) {
        self.pixels.zeroize();
    }
}

impl fmt::Debug for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rgb({}×{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_fit_the_size() {
        assert!(Rgb::new(2, 2, vec![0; 12]).is_some());
        assert!(Rgb::new(2, 2, vec![0; 11]).is_none());
        assert!(Rgb::new(0, 2, Vec::new()).is_none());
        assert!(Rgb::new(usize::MAX, 2, vec![0; 12]).is_none());
    }

    #[test]
    fn reducing_averages_and_keeps_the_proportions() {
        let stripes = Rgb::new(4, 2, [[0, 0, 0], [200, 100, 50]].repeat(4).concat()).unwrap();
        let small = stripes.reduced(2).unwrap();
        assert_eq!((small.width(), small.height()), (2, 1));
        assert_eq!(small.pixels(), [100, 50, 25, 100, 50, 25]);
        assert!(small.reduced(2).is_none());
    }

    #[test]
    fn reducing_by_an_uneven_factor_keeps_an_even_colour() {
        let even = Rgb::new(7, 5, vec![77; 105]).unwrap();
        let small = even.reduced(3).unwrap();
        assert_eq!((small.width(), small.height()), (3, 2));
        assert!(small.pixels().iter().all(|&value| value == 77));
    }

    #[test]
    fn debug_shows_no_pixel() {
        assert_eq!(format!("{:?}", Rgb::new(1, 1, vec![201, 202, 203]).unwrap()), "Rgb(1×1)");
    }
}
