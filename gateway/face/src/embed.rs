//! A face as 128 numbers, by SFace (2021dec).
//!
//! Input of the model: 1×3×112×112, planes R, G, B with values 0–255 of an aligned face (it normalises by itself).

use std::fmt;

use ort::session::Session;
use zeroize::{Zeroize, Zeroizing};

use crate::{align, detect::Detection, image::Rgb, runtime};

/// Numbers in a template.
pub const DIMENSIONS: usize = 128;

/// A face as a vector of length one; two of them are compared by [`crate::compare()`].
///
/// Biometric: overwritten when dropped, not cloneable, not serialisable, and `Debug` shows nothing of it. It lies on
/// the heap so that moving it leaves no copies on stacks.
pub struct Template(Box<[f32; DIMENSIONS]>);

impl Template {
    /// Normalises a model's output; `None` when it is not [`DIMENSIONS`] finite numbers with a length.
    pub(crate) fn normalised(raw: &[f32]) -> Option<Self> {
        let raw: &[f32; DIMENSIONS] = raw.try_into().ok()?;
        let length = raw.iter().map(|value| value * value).sum::<f32>().sqrt();
        if !length.is_normal() {
            return None;
        }
        let mut template = Self(Box::new([0.0; DIMENSIONS]));
        for (value, raw) in template.0.iter_mut().zip(raw) {
            *value = raw / length;
        }
        Some(template)
    }

    /// The vector, of length one.
    pub(crate) fn values(&self) -> &[f32; DIMENSIONS] {
        &self.0
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(redacted)")
    }
}

/// The model with its input buffer, for one thread.
pub(crate) struct Embedder {
    session: Session,
    input: Vec<f32>,
}

impl Embedder {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, input: vec![0.0; 3 * align::SIDE * align::SIDE] }
    }

    /// The template of one face of the picture; `None` when its landmarks make no face.
    pub(crate) fn template(&mut self, image: &Rgb, face: &Detection) -> ort::Result<Option<Template>> {
        if !align::face(image, &face.landmarks, &mut self.input) {
            return Ok(None);
        }
        let mut raw = Zeroizing::new(Vec::with_capacity(DIMENSIONS));
        let size = [align::SIDE, align::SIDE];
        let ran = runtime::run(&mut self.session, size, &self.input, ["fc1"], &mut |_, values| {
            raw.extend_from_slice(values);
        });
        self.input.as_mut_slice().zeroize();
        ran?;
        match Template::normalised(&raw) {
            Some(template) => Ok(Some(template)),
            None => Err(ort::Error::new("the embedder's output is not 128 finite numbers")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_length_one() {
        let template = Template::normalised(&[3.0; DIMENSIONS]).unwrap();
        let length: f32 = template.values().iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }

    #[test]
    fn numbers_without_direction_are_no_template() {
        assert!(Template::normalised(&[0.0; DIMENSIONS]).is_none());
        assert!(Template::normalised(&[f32::NAN; DIMENSIONS]).is_none());
        assert!(Template::normalised(&[f32::INFINITY; DIMENSIONS]).is_none());
        assert!(Template::normalised(&[1.0; 127]).is_none());
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Template::normalised(&[0.5; DIMENSIONS]).unwrap()), "Template(redacted)");
    }
}
