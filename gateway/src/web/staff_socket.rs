//! The staff page's socket: parts of the page, redrawn when something changed. It listens to nothing.
//!
//! `{"type":"fragment","id":"readers","html":"…","more":false}` replaces the inside of an element; a long one comes in pieces, all but
//! the last with `"more":true`. `{"type":"closing"}` says that the gateway is about to stop, `{"type":"beat"}` that it is there.

use super::WebState;
use super::doors::{self, Place};
use super::protocol::Violation;
use super::socket::{self, End, Line, Opened, reached};
use super::staff::{self, Fragments};
use super::words::Words;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, select_all};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;
use tokio_stream::wrappers::{BroadcastStream, WatchStream};
use uketsuke_core::room::Use;

/// Changes that come together are drawn together.
const GATHER: Duration = Duration::from_millis(150);

/// The lists are drawn anew this often even when nothing was heard of a change: midnight passes, commits are not all announced.
const REDRAW_EVERY: Duration = Duration::from_secs(5);

/// Largest piece of a fragment. A page that hears nothing for 12 seconds gives its connection up: on 10 kbit/s it hears of each piece.
const PIECE_BYTES_MAX: usize = 8 * 1024;

/// In the query of a page that gave way and comes back without a person.
const RETURNS: &str = "returns";

/// Browsers answer pings; nothing else is expected, so nothing else needs room.
const MESSAGE_BYTES_MAX: usize = 128;

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToStaff<'a> {
    Fragment {
        id: &'a str,
        html: &'a str,
        more: bool,
    },
    Closing,
    Beat,
    /// Too many staff pages are open, and this one gives way. It is closed with 1013. By itself it comes back with `?returns`, a minute
    /// later or more (static/staff.js): so it takes no other's place.
    Crowded,
}

/// `GET /staff/ws`.
pub(super) async fn connect(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<WebState>,
) -> actix_web::Result<HttpResponse> {
    let Opened { response, line, stream } = socket::open(&request, body, MESSAGE_BYTES_MAX).await?;
    let w = Words::of(&request);
    if request.query_string().split('&').any(|pair| pair == RETURNS) && !doors::returns(&request) {
        actix_web::rt::spawn(turn_away(line));
        return Ok(response);
    }
    let place = doors::take_place(&request, Use::Staff);
    actix_web::rt::spawn(serve(WebState::clone(&state), w, line, stream, place));
    Ok(response)
}

/// A page that came back by itself finds no room.
async fn turn_away(mut line: Line) {
    let end = line.send(&ToStaff::Crowded).await.err().unwrap_or(End::Crowded);
    line.close(end, "staff page").await;
}

async fn serve(
    state: WebState,
    w: Words,
    mut line: Line,
    mut stream: AggregatedMessageStream,
    mut place: Option<Place>,
) {
    let mut changes = changes(&state);
    let mut accepting = state.accepting.clone();
    let mut told_closing = false;
    let mut beats = socket::beats(state.beat_every);
    let mut draw_at = Instant::now();
    let mut shown = Fragments::default();
    let end = loop {
        let step = tokio::select! {
            biased;
            closing = reached(&mut accepting, |accepting| !*accepting), if !told_closing => {
                told_closing = true;
                if closing { line.send(&ToStaff::Closing).await } else { Ok(()) }
            }
            () = displaced(&mut place) => match line.send(&ToStaff::Crowded).await {
                Ok(()) => Err(End::Crowded),
                gone => gone,
            },
            _ = beats.tick() => line.keep_alive(&ToStaff::Beat).await,
            _ = tokio::time::sleep_until(draw_at) => {
                draw_at = Instant::now() + REDRAW_EVERY;
                redraw(&state, w, &mut line, &mut shown).await
            }
            change = changes.next() => match change {
                Some(()) => {
                    draw_at = draw_at.min(Instant::now() + GATHER);
                    Ok(())
                }
                None => Err(End::Stopped),
            },
            message = stream.recv() => heard(message, &mut line).await,
        };
        if let Err(end) = step {
            break end;
        }
    };
    line.close(end, "staff page").await;
}

/// Ends when newer staff pages need the place.
async fn displaced(place: &mut Option<Place>) {
    if let Some(place) = place
        && reached(&mut place.displaced, |displaced| *displaced).await
    {
        return;
    }
    // Cut, or no real connection: the stream says what is left to say.
    std::future::pending().await
}

/// Something may look different now.
fn changes(state: &WebState) -> BoxStream<'static, ()> {
    let readers = state.site.readers.iter().map(|reader| WatchStream::from_changes(reader.status()).map(drop).boxed());
    let central = WatchStream::from_changes(state.site.central.clone()).map(drop).boxed();
    let replies = BroadcastStream::new(state.store.replies()).map(drop).boxed();
    let appended = WatchStream::from_changes(state.store.appended()).map(drop).boxed();
    let lists = WatchStream::from_changes(state.lists.subscribe()).map(drop).boxed();
    let store = WatchStream::from_changes(state.store.health()).map(drop).boxed();
    let mqtt = WatchStream::from_changes(state.site.mqtt.clone()).map(drop).boxed();
    select_all(readers.chain([central, mqtt, replies, appended, lists, store])).boxed()
}

/// Sends what looks different.
async fn redraw(state: &WebState, w: Words, line: &mut Line, shown: &mut Fragments) -> Result<(), End> {
    let now = staff::fragments(state, w).await.map_err(|error| {
        tracing::error!(%error, "the staff page could not be drawn");
        End::Failed
    })?;
    for ((id, html), (_, before)) in now.parts().into_iter().zip(shown.parts()) {
        if html != before {
            let mut rest = html;
            loop {
                let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES_MAX));
                line.send(&ToStaff::Fragment { id, html: piece, more: !after.is_empty() }).await?;
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
        }
    }
    *shown = now;
    Ok(())
}

async fn heard(
    message: Option<Result<AggregatedMessage, actix_ws::ProtocolError>>,
    line: &mut Line,
) -> Result<(), End> {
    match socket::received(message)? {
        AggregatedMessage::Ping(payload) => line.pong(&payload).await,
        AggregatedMessage::Pong(_) | AggregatedMessage::Close(_) => Ok(()),
        AggregatedMessage::Text(_) | AggregatedMessage::Binary(_) => Err(End::Violation(Violation::Unexpected)),
    }
}
