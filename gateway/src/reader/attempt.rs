//! One face attempt: asks the kiosk for frame after frame until they amount to a decision.

use crate::face_pool::{Decision, FacePool, Template};
use crate::handle::{Frame, FrameRequest, ReaderPort};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use uketsuke_core::reception::FaceOutcome;

/// A kiosk that has not sent the frame by then is asked again: it may have reconnected.
const FRAME_DEADLINE: Duration = Duration::from_secs(1);

/// After a picture that showed nothing: the camera needs time for another one, and a kiosk that answers at once with rubbish must
/// not be asked as fast as it answers.
const UNUSABLE_PAUSE: Duration = Duration::from_millis(50);

/// An attempt's result, and how much of its time was ours (waiting for frames is not).
pub(super) struct Judged {
    pub(super) outcome: FaceOutcome,
    pub(super) own: Duration,
}

/// Runs until a decision; the core's deadline ends it from outside by dropping this future.
pub(super) async fn run(port: ReaderPort, pool: FacePool, reference: Arc<Template>) -> Judged {
    let asking = Asking { port: &port };
    let mut frames = port.frame.subscribe();
    let mut decider = pool.decider();
    let mut own = Duration::ZERO;
    let mut request: FrameRequest = rand::random();
    loop {
        request = request.wrapping_add(1);
        asking.port.wanted_frame.send_replace(Some(request));
        let Some(frame) = next_frame(&mut frames, request).await else { continue };
        let start = tokio::time::Instant::now();
        let result = pool.compare(frame, reference.clone()).await;
        own += start.elapsed();
        let outcome = match result {
            Ok(frame) => match decider.push(frame) {
                None => continue,
                Some(Decision::Accept { score }) => FaceOutcome::Match { score: score.value() },
                Some(Decision::StaffLook { score }) => FaceOutcome::Uncertain { score: score.value() },
                Some(Decision::Reject { score }) => FaceOutcome::NoMatch { score: score.value() },
                Some(Decision::NoFace) => FaceOutcome::NoFace,
            },
            Err(error) if error.is_frame() => {
                tracing::debug!(%error, "a frame was not usable");
                tokio::time::sleep(UNUSABLE_PAUSE).await;
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "the face engine failed");
                FaceOutcome::Fault
            }
        };
        return Judged { outcome, own };
    }
}

/// Stops asking for frames and wipes the slot when the attempt ends, also from outside.
struct Asking<'a> {
    port: &'a ReaderPort,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.port.wanted_frame.send_replace(None);
        self.port.frame.send_replace(None);
    }
}

async fn next_frame(frames: &mut watch::Receiver<Option<Arc<Frame>>>, request: FrameRequest) -> Option<Arc<Frame>> {
    let wanted = frames.wait_for(|frame| frame.as_ref().is_some_and(|frame| frame.request == request));
    match tokio::time::timeout(FRAME_DEADLINE, wanted).await {
        Ok(Ok(frame)) => frame.clone(),
        // The slot's other end lives as long as the terminal.
        Ok(Err(_)) => std::future::pending().await,
        Err(_) => None,
    }
}
