//! How alike two faces are.

use crate::embed::Template;

/// Cosine of two templates, −1 to 1; higher is more alike.
///
/// Rates measured on Labeled Faces in the Wild, threshold fixed on one half and measured on the other. They compare
/// models and thresholds; LFW is mostly Western adult press portraits, so they are no statement of fitness for use.
///
/// | score from | false matches (FMR) | false non-matches (FNMR) |
/// |---|---|---|
/// | 0.360 | 1 in 1,000 | 0.9 % |
/// | 0.416 | 1 in 10,000 | 2.1 % |
/// | 0.465 | 1 in 100,000 | 4.9 % |
///
/// A grey 240×320 chip photo of 3 kB against a colour frame has FNMR 4.1 % at 0.415. On old grey pictures of 92×112
/// pixels strangers score higher: FMR 0.34 % at 0.415.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Score(f32);

impl Score {
    /// A score from a number, kept within −1 to 1; what is not a number becomes −1, so it never matches.
    pub fn new(value: f32) -> Self {
        Self(if value.is_nan() { -1.0 } else { value.clamp(-1.0, 1.0) })
    }

    /// The number, −1 to 1.
    pub fn value(self) -> f32 {
        self.0
    }
}

/// The cosine of two templates; symmetric.
pub fn compare(a: &Template, b: &Template) -> Score {
    Score::new(a.values().iter().zip(b.values()).map(|(a, b)| a * b).sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::embed::DIMENSIONS;

    fn template(value: impl Fn(usize) -> f32) -> Template {
        let raw: Vec<f32> = (0..DIMENSIONS).map(value).collect();
        Template::normalised(&raw).unwrap()
    }

    #[test]
    fn the_same_direction_scores_one_the_opposite_minus_one_and_a_right_angle_zero() {
        let ramp = template(|index| index as f32 + 1.0);
        let doubled = template(|index| 2.0 * index as f32 + 2.0);
        let opposite = template(|index| -(index as f32) - 1.0);
        let (even, odd) = (template(|index| (index % 2) as f32), template(|index| ((index + 1) % 2) as f32));
        assert!((compare(&ramp, &doubled).value() - 1.0).abs() < 1e-5);
        assert!((compare(&ramp, &opposite).value() + 1.0).abs() < 1e-5);
        assert_eq!(compare(&even, &odd).value(), 0.0);
    }

    #[test]
    fn what_is_not_a_number_never_matches() {
        assert_eq!(Score::new(f32::NAN).value(), -1.0);
    }

    proptest! {
        #[test]
        fn comparing_is_symmetric(a in prop::collection::vec(-9.0_f32..9.0, DIMENSIONS), b in prop::collection::vec(-9.0_f32..9.0, DIMENSIONS)) {
            let (Some(a), Some(b)) = (Template::normalised(&a), Template::normalised(&b)) else { return Ok(()) };
            prop_assert_eq!(compare(&a, &b), compare(&b, &a));
        }
    }
}
