//! The kiosk's socket: screens and frame requests out, intents and frames in.

use super::WebState;
use super::doors::{self, Place};
use super::pace::Pace;
use super::page;
use super::protocol::{self, FRAME_BYTES_MAX, ToKiosk, Violation};
use super::screen;
use super::socket::{self, End, Line, Opened, reached, wipe};
use super::words::Words;
use crate::handle::{FrameRequest, ReaderHandle, View};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream};
use std::time::Instant;
use uketsuke_core::room::Use;

/// `GET /kiosk/{terminal}/{reader}/ws`.
pub(super) async fn connect(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<WebState>,
    path: web::Path<(String, String)>,
) -> actix_web::Result<HttpResponse> {
    let Some(reader) = state.site.reader(&path.0, &path.1) else { return Ok(page::not_found(request).await) };
    let w = Words::of(&request);
    if state.refuses_kiosk_of(reader) {
        return Ok(page::stopping(&state, w));
    }
    let Opened { response, line, stream } = socket::open(&request, body, FRAME_BYTES_MAX).await?;
    let number = state.site.readers.iter().position(|other| other.name() == reader.name()).unwrap_or_default();
    let place = doors::take_place(&request, Use::Kiosk(number));
    actix_web::rt::spawn(serve(WebState::clone(&state), reader.clone(), w, line, stream, place));
    Ok(response)
}

async fn serve(
    state: WebState,
    reader: ReaderHandle,
    w: Words,
    line: Line,
    mut stream: AggregatedMessageStream,
    _place: Option<Place>,
) {
    let (number, mut newest) = reader.connect();
    let mut view = reader.view();
    let mut wanted = reader.wanted_frame();
    view.mark_changed();
    wanted.mark_changed();
    let mut kiosk = Kiosk { reader, w, line, pace: Pace::new(Instant::now()), camera: false };
    let mut beats = socket::beats(state.beat_every);
    let mut accepting = state.accepting;
    let mut told_closing = false;
    let end = loop {
        // In this order: who is replaced shows nothing more, and a kiosk that floods us does not miss its screens.
        let step = tokio::select! {
            biased;
            newer = reached(&mut newest, |newest| *newest > number) => match newer {
                true => kiosk.replaced().await,
                false => Err(End::Stopped),
            },
            changed = view.changed() => match changed {
                Ok(()) => {
                    let now = view.borrow_and_update().clone();
                    kiosk.show(&now).await
                }
                Err(_) => Err(End::Stopped),
            },
            changed = wanted.changed() => match changed {
                Ok(()) => {
                    let now = *wanted.borrow_and_update();
                    kiosk.camera(now).await
                }
                Err(_) => Err(End::Stopped),
            },
            closing = reached(&mut accepting, |accepting| !*accepting), if !told_closing => {
                told_closing = true;
                if closing { kiosk.line.send(&ToKiosk::Closing).await } else { Ok(()) }
            }
            _ = beats.tick() => kiosk.line.keep_alive(&ToKiosk::Beat).await,
            message = stream.recv() => kiosk.heard(message).await,
        };
        if let Err(end) = step {
            break end;
        }
    };
    let who = format!("kiosk {}", kiosk.reader.name());
    kiosk.line.close(end, &who).await;
}

/// One connected kiosk.
struct Kiosk {
    reader: ReaderHandle,
    w: Words,
    line: Line,
    pace: Pace,
    /// The kiosk was asked for frames and not told to stop.
    camera: bool,
}

impl Kiosk {
    async fn show(&mut self, view: &View) -> Result<(), End> {
        let drawn = screen::render(view, self.w).map_err(|error| {
            tracing::error!(%error, "a screen could not be drawn");
            End::Failed
        })?;
        let (reception, version) = match view {
            View::Live { reception, version, .. } => (*reception, *version),
            View::Starting | View::OutOfService => (None, 0),
        };
        self.line.send(&ToKiosk::Screen { reception, version, name: drawn.name, html: &drawn.html }).await
    }

    async fn camera(&mut self, wanted: Option<FrameRequest>) -> Result<(), End> {
        match wanted {
            Some(request) => {
                self.camera = true;
                self.line.send(&ToKiosk::Frame { request }).await
            }
            None if std::mem::take(&mut self.camera) => self.line.send(&ToKiosk::CameraOff).await,
            None => Ok(()),
        }
    }

    async fn replaced(&mut self) -> Result<(), End> {
        self.line.send(&ToKiosk::Replaced).await?;
        Err(End::Replaced)
    }

    async fn heard(&mut self, message: Option<Result<AggregatedMessage, actix_ws::ProtocolError>>) -> Result<(), End> {
        let message = socket::received(message)?;
        if !self.pace.allows(Instant::now()) {
            return Err(End::Violation(Violation::TooFast));
        }
        match message {
            AggregatedMessage::Text(text) => {
                let text = text.into_bytes();
                let input = protocol::parse_text(&text);
                wipe(text);
                // A full queue drops the press: the screen is still there to be pressed again.
                let taken = self.reader.input(input.map_err(End::Violation)?);
                self.line.send(&ToKiosk::Heard { taken }).await?;
            }
            AggregatedMessage::Binary(bytes) => {
                let frame = protocol::parse_frame(&bytes);
                wipe(bytes);
                // A frame that nobody waits for is late, not hostile.
                self.reader.put_frame(frame.map_err(End::Violation)?);
            }
            AggregatedMessage::Ping(payload) => self.line.pong(&payload).await?,
            AggregatedMessage::Pong(_) | AggregatedMessage::Close(_) => {}
        }
        Ok(())
    }
}
