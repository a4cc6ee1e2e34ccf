//! Named inference threads behind a bounded queue. Pictures go in, scores come out; nothing waits on the arbiter.

use crate::config;
use crate::handle::Frame;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::oneshot;
use uketsuke_face::{Decider, Engine, FaceError, FrameResult, Limits, ModelDir, ModelError, Thresholds, decode};
use zeroize::Zeroizing;

pub use uketsuke_face::{Decision, Template};

/// Pictures that wait for a thread. A reader has one at a time, so this is room for a large site's burst.
const QUEUE_MAX: usize = 128;

/// Why there is no face method. Everything else works without it.
#[derive(Debug, Error)]
pub enum FaceOff {
    /// `face.enabled` is false.
    #[error("the face method is switched off (face.enabled)")]
    Disabled,
    /// Models or runtime.
    #[error("the face method is off: {0}")]
    Models(#[from] ModelError),
    /// `[face]` makes no sense as a whole.
    #[error("the face method is off: {0}")]
    Thresholds(#[from] uketsuke_face::decide::ThresholdsError),
    /// The system gives no threads.
    #[error("the face method is off: cannot start an inference thread: {0}")]
    Threads(#[from] std::io::Error),
}

/// Why a picture gave no result.
#[derive(Debug, Error)]
pub enum PoolError {
    /// The picture.
    #[error(transparent)]
    Face(#[from] FaceError),
    /// The pool is full or has ended.
    #[error("the inference threads are not available")]
    Gone,
}

impl PoolError {
    /// The frame was at fault: take the next one.
    pub fn is_frame(&self) -> bool {
        matches!(self, Self::Face(FaceError::Unreadable(_) | FaceError::NoFace))
    }
}

enum Job {
    Enrol { photo: Zeroizing<Vec<u8>>, reply: oneshot::Sender<Result<Template, FaceError>> },
    Compare { frame: Arc<Frame>, reference: Arc<Template>, reply: oneshot::Sender<Result<FrameResult, FaceError>> },
}

/// The inference threads. Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub struct FacePool {
    jobs: async_channel::Sender<Job>,
    thresholds: Thresholds,
}

impl FacePool {
    /// Verifies the models, loads them once per thread, and starts the threads. Takes some hundred milliseconds.
    ///
    /// # Errors
    /// [`FaceOff`] says why there is no face method and what to do.
    pub fn start(face: &config::Face) -> Result<Self, FaceOff> {
        if !face.enabled {
            return Err(FaceOff::Disabled);
        }
        let thresholds = Thresholds::new(face.accept, face.staff_look, face.frames_min, face.frames_max)?;
        let models = ModelDir::new(&face.models_dir);
        uketsuke_face::models::verify(&models)?;
        let (jobs, queue) = async_channel::bounded(QUEUE_MAX);
        for number in 0..face.threads {
            let engine = Engine::load(&models)?;
            let queue = queue.clone();
            std::thread::Builder::new().name(format!("face-{number}")).spawn(move || work(engine, &queue))?;
        }
        Ok(Self { jobs, thresholds })
    }

    /// A fresh attempt, by the configured thresholds.
    pub fn decider(&self) -> Decider {
        Decider::new(self.thresholds)
    }

    /// The template of a chip photo (JPEG 2000).
    ///
    /// # Errors
    /// [`PoolError`]; the photo cannot be used, or nobody can look at it.
    pub async fn enrol(&self, photo: Zeroizing<Vec<u8>>) -> Result<Template, PoolError> {
        let (reply, enrolled) = oneshot::channel();
        self.jobs.try_send(Job::Enrol { photo, reply }).map_err(|_| PoolError::Gone)?;
        Ok(enrolled.await.map_err(|_| PoolError::Gone)??)
    }

    /// Compares a camera frame (JPEG) with a chip photo's template.
    ///
    /// # Errors
    /// [`PoolError`]; with [`PoolError::is_frame`] the next frame may do.
    pub async fn compare(&self, frame: Arc<Frame>, reference: Arc<Template>) -> Result<FrameResult, PoolError> {
        let (reply, compared) = oneshot::channel();
        self.jobs.try_send(Job::Compare { frame, reference, reply }).map_err(|_| PoolError::Gone)?;
        Ok(compared.await.map_err(|_| PoolError::Gone)??)
    }
}

fn work(mut engine: Engine, queue: &async_channel::Receiver<Job>) {
    while let Ok(job) = queue.recv_blocking() {
        match job {
            Job::Enrol { photo, reply } => {
                let enrolled = decode::jpeg2000(&photo, &Limits::CHIP_PHOTO)
                    .map_err(FaceError::from)
                    .and_then(|image| engine.template(&image));
                // Whoever asked may have given up meanwhile.
                let _ = reply.send(enrolled);
            }
            Job::Compare { frame, reference, reply } => {
                if !reply.is_closed() {
                    let _ = reply.send(engine.frame(&frame.jpeg, &reference));
                }
            }
        }
    }
}
