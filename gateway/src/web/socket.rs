//! One WebSocket connection, whoever is behind it: sending with a limit on patience, pings, wiping, closing.

use super::protocol::Violation;
use actix_web::error::PayloadError;
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, ProtocolError, Session};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use uketsuke_core::silence::Silence;
use zeroize::Zeroize;

/// How often a peer is pinged, and its page's script given a sign of life. `static/link.js` leaves after four that did not come, the
/// gateway after as many without a byte from the peer ([`uketsuke_core::silence`]): in 12 to 15 seconds.
pub const BEAT_EVERY: Duration = Duration::from_secs(3);

/// A peer that takes nothing for this long is gone. The largest piece of a staff page takes 7 s at 10 kbit/s.
const SEND_TIMEOUT: Duration = Duration::from_secs(12);

/// Why a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer left.
    Left,
    /// The peer is silent, or takes nothing.
    Silent,
    /// The peer broke the protocol.
    Violation(Violation),
    /// A newer connection took its place.
    Replaced,
    /// Newer staff pages took the room there is.
    Crowded,
    /// The gateway stops, or the reader is gone.
    Stopped,
    /// Our own mistake: a page could not be drawn.
    Failed,
}

/// The meaning of each code: RFC 6455, section 7.4.1, and the registry of IANA for 1013.
fn reason(end: &End) -> CloseReason {
    match end {
        End::Left => CloseCode::Normal.into(),
        End::Silent => (CloseCode::Again, "silent: connect again").into(),
        End::Crowded => (CloseCode::Again, "too many staff pages are open").into(),
        End::Stopped => CloseCode::Away.into(),
        End::Failed => CloseCode::Error.into(),
        End::Replaced => (CloseCode::Normal, "replaced").into(),
        End::Violation(violation) => {
            let code = match violation {
                Violation::TooLong => CloseCode::Size,
                Violation::NotText => CloseCode::Invalid,
                Violation::Unexpected => CloseCode::Unsupported,
                Violation::WebSocket => CloseCode::Protocol,
                Violation::Malformed | Violation::NotAFrame | Violation::TooFast => CloseCode::Policy,
            };
            (code, violation.to_string()).into()
        }
    }
}

/// Both sides of a connection.
pub(super) struct Opened {
    /// What switches protocols.
    pub(super) response: HttpResponse,
    /// The sending side.
    pub(super) line: Line,
    /// The receiving side.
    pub(super) stream: AggregatedMessageStream,
}

/// Answers an upgrade. Neither a message nor its fragments together may be larger than `bytes_max`.
pub(super) async fn open(request: &HttpRequest, body: web::Payload, bytes_max: usize) -> actix_web::Result<Opened> {
    let silence = Rc::new(RefCell::new(Silence::default()));
    let bytes = body.into_inner().inspect({
        let silence = silence.clone();
        move |_| silence.borrow_mut().broken()
    });
    let mut counted: dev::Payload = dev::Payload::Stream { payload: Box::pin(bytes) };
    let counted = web::Payload::from_request(request, &mut counted).await?;
    let (response, session, stream) = actix_ws::handle(request, counted)?;
    let stream = stream.max_frame_size(bytes_max).aggregate_continuations().max_continuation_size(bytes_max);
    Ok(Opened { response, line: Line { session, silence }, stream })
}

/// What came from the peer; a close, a broken connection and a violation end the connection.
pub(super) fn received(message: Option<Result<AggregatedMessage, ProtocolError>>) -> Result<AggregatedMessage, End> {
    match message {
        None | Some(Ok(AggregatedMessage::Close(_))) => Err(End::Left),
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(fault(&error)),
    }
}

/// actix-ws says four things with `Io`; a broken connection carries a [`PayloadError`].
fn fault(error: &ProtocolError) -> End {
    End::Violation(match error {
        ProtocolError::Overflow => Violation::TooLong,
        ProtocolError::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Violation::NotText,
        ProtocolError::Io(error) if error.get_ref().is_some_and(|inner| !inner.is::<PayloadError>()) => {
            Violation::TooLong
        }
        ProtocolError::Io(_) => return End::Left,
        _ => Violation::WebSocket,
    })
}

/// When the next beat is due.
pub(super) fn beats(every: Duration) -> Interval {
    let mut beats = tokio::time::interval(every);
    // After a delay the peer is listened to for a whole beat before the next one.
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

/// The sending side.
pub(super) struct Line {
    session: Session,
    silence: Rc<RefCell<Silence>>,
}

impl Line {
    /// Sends a message as JSON text.
    pub(super) async fn send(&mut self, message: &impl Serialize) -> Result<(), End> {
        let text = serde_json::to_string(message).map_err(|_| End::Failed)?;
        patiently(self.session.text(text)).await
    }

    pub(super) async fn pong(&mut self, payload: &[u8]) -> Result<(), End> {
        patiently(self.session.pong(payload)).await
    }

    /// Gives the browser and its page's script a sign of life, or finds that the peer is gone.
    pub(super) async fn keep_alive(&mut self, beat: &impl Serialize) -> Result<(), End> {
        if self.silence.borrow_mut().beat() {
            return Err(End::Silent);
        }
        patiently(self.session.ping(b"")).await?;
        self.send(beat).await
    }

    /// Says why and closes; `who` is for the one line in the log.
    pub(super) async fn close(self, end: End, who: &str) {
        match &end {
            End::Violation(violation) => {
                tracing::warn!(peer = who, %violation, "connection closed: the peer broke the protocol");
            }
            End::Silent => tracing::info!(peer = who, "connection closed: the peer is silent"),
            _ => {}
        }
        let _ = patiently(self.session.close(Some(reason(&end)))).await;
    }
}

async fn patiently<E>(sending: impl Future<Output = Result<(), E>>) -> Result<(), End> {
    match tokio::time::timeout(SEND_TIMEOUT, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Left),
        Err(_) => Err(End::Silent),
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
