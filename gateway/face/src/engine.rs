//! The whole way from a picture to a template or a score.

use crate::{
    compare::compare,
    decide::FrameResult,
    decode::{self, DecodeError, Limits},
    detect::{self, Bbox, Detection, Detector},
    embed::{Embedder, Template},
    image::Rgb,
    models::{ModelDir, ModelError},
    quality::{self, Advice},
    runtime,
};

/// Why a picture gave no result.
#[derive(Debug, thiserror::Error)]
pub enum FaceError {
    /// The picture shows no face: ask for another one, or turn the method off for this card.
    #[error("no face found in the picture")]
    NoFace,
    /// The bytes are no usable picture: drop it and take the next.
    #[error("unreadable picture: {0}")]
    Unreadable(#[from] DecodeError),
    /// The runtime failed: load the engine anew; if that fails too, turn the method off.
    #[error("inference failed: {0}")]
    Inference(String),
}

impl From<ort::Error> for FaceError {
    fn from(error: ort::Error) -> Self {
        Self::Inference(error.to_string())
    }
}

/// Both models with their buffers, for one thread; about 22 ms of one core for a 640×480 frame.
///
/// Each inference thread loads its own: sessions are not shared, and one picture uses one core.
pub struct Engine {
    detector: Detector,
    embedder: Embedder,
}

impl Engine {
    /// Loads the runtime (once per process) and both installed models.
    ///
    /// Checksums are not looked at here: call [`crate::models::verify`] once at start.
    ///
    /// # Errors
    /// [`ModelError::Missing`], [`ModelError::RuntimeUnusable`] or [`ModelError::ModelUnusable`]; the face method is
    /// off until the models are installed again.
    pub fn load(models: &ModelDir) -> Result<Self, ModelError> {
        let environment = runtime::load(&models.runtime()?)?;
        let session = |path: std::path::PathBuf| runtime::session(&environment, &crate::models::read(&path)?, &path);
        Ok(Self {
            detector: Detector::new(session(models.detector()?)?),
            embedder: Embedder::new(session(models.embedder()?)?),
        })
    }

    /// The faces of a picture in its own pixels, best score first.
    ///
    /// # Errors
    /// [`FaceError::Inference`].
    pub fn detect(&mut self, image: &Rgb) -> Result<Vec<Detection>, FaceError> {
        match image.reduced(detect::SIDE_MAX) {
            None => Ok(self.detector.faces(image)?),
            Some(reduced) => {
                let (x, y) =
                    (image.width() as f32 / reduced.width() as f32, image.height() as f32 / reduced.height() as f32);
                let mut faces = self.detector.faces(&reduced)?;
                faces.iter_mut().for_each(|face| enlarge(face, x, y));
                Ok(faces)
            }
        }
    }

    /// The template of the nearest face of a picture, as for the chip photo.
    ///
    /// # Errors
    /// [`FaceError::NoFace`], [`FaceError::Inference`].
    pub fn template(&mut self, image: &Rgb) -> Result<Template, FaceError> {
        let reduced = image.reduced(detect::SIDE_MAX);
        let image = reduced.as_ref().unwrap_or(image);
        let faces = self.detector.faces(image)?;
        let face = detect::nearest(&faces).ok_or(FaceError::NoFace)?;
        self.embedder.template(image, face)?.ok_or(FaceError::NoFace)
    }

    /// Compares the nearest face of a camera frame (JPEG) with the reference and says what could be better.
    ///
    /// # Errors
    /// [`FaceError::Unreadable`], [`FaceError::Inference`]; a frame without a face is a result, not an error.
    pub fn frame(&mut self, jpeg: &[u8], reference: &Template) -> Result<FrameResult, FaceError> {
        let image = decode::jpeg(jpeg, &Limits::FRAME)?;
        let reduced = image.reduced(detect::SIDE_MAX);
        let image = reduced.as_ref().unwrap_or(&image);
        let faces = self.detector.faces(image)?;
        let advice = quality::advise(image, &faces);
        let template = match detect::nearest(&faces) {
            Some(face) => self.embedder.template(image, face)?,
            None => None,
        };
        Ok(match template {
            Some(template) => FrameResult::Face { score: compare(reference, &template), advice },
            None => FrameResult::NoFace { advice: advice.unwrap_or(Advice::NoFace) },
        })
    }
}

fn enlarge(face: &mut Detection, x: f32, y: f32) {
    let Bbox { x: left, y: top, width, height } = face.bbox;
    face.bbox = Bbox { x: left * x, y: top * y, width: width * x, height: height * y };
    for point in &mut face.landmarks {
        *point = (point.0 * x, point.1 * y);
    }
}
