//! One WebSocket connection, whoever is behind it: sending with a limit on patience, pings, wiping, closing.

use super::protocol::Violation;
use actix_ws::{CloseCode, CloseReason, Session};
use bytes::Bytes;
use serde::Serialize;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use zeroize::Zeroize;

/// How often a peer is pinged.
pub(super) const PING_EVERY: Duration = Duration::from_secs(5);

/// A peer that sent nothing, not even a pong, for this long is gone.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(15);

/// A peer that takes nothing for this long is gone: nobody may hold back the loop that serves it.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer left, or is silent.
    Gone,
    /// The peer broke the protocol.
    Violation(Violation),
    /// A newer connection took its place.
    Replaced,
    /// Our own side ended: the reader is gone, or a page could not be drawn.
    Stopped,
}

/// The sending side.
pub(super) struct Line {
    session: Session,
    heard: Instant,
}

impl Line {
    pub(super) fn new(session: Session) -> Self {
        Self { session, heard: Instant::now() }
    }

    /// The peer gave a sign of life.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Sends a message as JSON text.
    pub(super) async fn send(&mut self, message: &impl Serialize) -> Result<(), End> {
        let text = serde_json::to_string(message).map_err(|_| End::Stopped)?;
        patiently(self.session.text(text)).await
    }

    pub(super) async fn pong(&mut self, payload: &[u8]) -> Result<(), End> {
        patiently(self.session.pong(payload)).await
    }

    /// Pings, or finds that the peer is gone.
    pub(super) async fn keep_alive(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > SILENCE_MAX {
            return Err(End::Gone);
        }
        patiently(self.session.ping(b"")).await
    }

    /// Says why and closes; `who` is for the one line in the log.
    pub(super) async fn close(self, end: End, who: &str) {
        let reason: CloseReason = match end {
            End::Gone => CloseCode::Normal.into(),
            End::Stopped => CloseCode::Away.into(),
            End::Replaced => (CloseCode::Normal, "replaced").into(),
            End::Violation(violation) => {
                tracing::warn!(peer = who, %violation, "connection closed: the peer broke the protocol");
                (CloseCode::Policy, violation.to_string()).into()
            }
        };
        let _ = patiently(self.session.close(Some(reason))).await;
    }
}

async fn patiently<E>(sending: impl Future<Output = Result<(), E>>) -> Result<(), End> {
    match tokio::time::timeout(SEND_TIMEOUT, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

/// Waits until a watched value is as told; `false` when it never will be, because its sender is gone.
pub(super) async fn reached<T>(watched: &mut watch::Receiver<T>, is_so: impl FnMut(&T) -> bool) -> bool {
    // The guard that `wait_for` returns must not outlive this line: held across an await it would block the sender.
    watched.wait_for(is_so).await.is_ok()
}

/// Overwrites what was received, when these are the only hands that hold it. The buffers inside the WebSocket library are its own.
pub(super) fn wipe(bytes: Bytes) {
    if let Ok(mut alone) = bytes.try_into_mut() {
        alone.as_mut().zeroize();
    }
}
