//! Peers that are gone without a word, and peers that are only slow. Beats are the clock here: no time passes that is not told.

use super::Scene;
use super::served::{PATIENCE, Served};
use crate::web::protocol::{self, FRAME_BYTES_MAX, ToKiosk};
use crate::web::socket::{self, BEAT_EVERY, End, Line, Opened};
use actix_web::body::MessageBody;
use actix_web::error::PayloadError;
use actix_web::test::TestRequest;
use actix_web::{FromRequest, dev, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream};
use bytes::Bytes;
use futures_util::{SinkExt, poll};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use uketsuke_core::silence::BEATS_MAX;

/// A socket whose incoming bytes the test sends itself.
struct Bare {
    bytes: mpsc::UnboundedSender<Result<Bytes, PayloadError>>,
    line: Line,
    stream: AggregatedMessageStream,
}

impl Bare {
    async fn open() -> Self {
        let (request, _) = TestRequest::get()
            .insert_header(("connection", "upgrade"))
            .insert_header(("upgrade", "websocket"))
            .insert_header(("sec-websocket-version", "13"))
            .insert_header(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
            .to_http_parts();
        let (bytes, received) = mpsc::unbounded_channel();
        let mut payload: dev::Payload =
            dev::Payload::Stream { payload: Box::pin(UnboundedReceiverStream::new(received)) };
        let body = web::Payload::from_request(&request, &mut payload).await.unwrap();
        let Opened { response, line, stream } = socket::open(&request, body, FRAME_BYTES_MAX).await.unwrap();
        // What goes out is taken at once.
        actix_web::rt::spawn(async move {
            let mut sent = pin!(response.into_body());
            while std::future::poll_fn(|context| sent.as_mut().poll_next(context)).await.is_some() {}
        });
        Self { bytes, line, stream }
    }

    /// What the loop of a socket does between two beats: it hears whatever came.
    async fn hears(&mut self) -> Option<AggregatedMessage> {
        match poll!(pin!(self.stream.recv())) {
            Poll::Ready(message) => Some(message.unwrap().unwrap()),
            Poll::Pending => None,
        }
    }

    async fn beat(&mut self) -> Result<(), End> {
        self.line.keep_alive(&ToKiosk::Beat).await
    }
}

/// A binary message of a browser, masked with zeros.
fn masked(payload: &[u8]) -> Vec<u8> {
    let length = u64::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x82, 0x80 | 127], length.as_slice(), &[0; 4], payload].concat()
}

#[actix_web::test]
async fn a_camera_frame_that_is_under_way_for_minutes_keeps_its_kiosk_and_arrives() {
    let mut kiosk = Bare::open().await;
    let mut frame = vec![0; 96 * 1024];
    frame[..6].copy_from_slice(&[0, 0, 0, 1, 0xff, 0xd8]);
    let message = masked(&frame);
    let mut arrived = None;
    // 1 KiB in three beats is less than a kilobit in a second. No pong overtakes it.
    for piece in message.chunks(1024) {
        kiosk.bytes.send(Ok(Bytes::copy_from_slice(piece))).unwrap();
        for _ in 0..3 {
            arrived = kiosk.hears().await.or(arrived);
            assert_eq!(kiosk.beat().await, Ok(()));
        }
    }
    let Some(AggregatedMessage::Binary(bytes)) = arrived else { panic!("the frame is whole: {arrived:?}") };
    assert_eq!(protocol::parse_frame(&bytes).unwrap().jpeg.len(), frame.len() - 4);
}

#[actix_web::test]
async fn a_peer_of_which_no_byte_comes_any_more_is_gone_after_12_to_15_seconds() {
    let mut kiosk = Bare::open().await;
    kiosk.bytes.send(Ok(Bytes::from(masked(&[0, 0, 0, 1, 0xff, 0xd8])))).unwrap();
    assert!(kiosk.hears().await.is_some());
    for _ in 0..BEATS_MAX {
        assert_eq!((kiosk.hears().await, kiosk.beat().await), (None, Ok(())));
    }
    assert_eq!(kiosk.beat().await, Err(End::Silent));
    // The first of the five beats came up to one beat after the byte.
    assert_eq!(BEAT_EVERY * BEATS_MAX, Duration::from_secs(12));
    assert_eq!(BEAT_EVERY * (BEATS_MAX + 1), Duration::from_secs(15));
}

#[actix_web::test]
async fn a_gateway_that_was_held_up_listens_again_before_it_calls_a_peer_silent() {
    let mut kiosk = Bare::open().await;
    for _ in 0..BEATS_MAX {
        assert_eq!(kiosk.beat().await, Ok(()));
    }
    // An answer has come, and waits to be read.
    kiosk.bytes.send(Ok(Bytes::from(masked(&[0, 0, 0, 1, 0xff, 0xd8])))).unwrap();
    assert!(kiosk.hears().await.is_some());
    assert_eq!(kiosk.beat().await, Ok(()));
}

#[actix_web::test]
async fn kiosk_and_staff_page_that_vanished_are_dropped_with_a_word() {
    for path in ["/kiosk/desk-1/a/ws", "/staff/ws"] {
        let mut scene = Scene::new();
        scene.state.beat_every = Duration::from_millis(20);
        let served = Served::of(scene);
        let mut client = served.open(path).await;
        client.0.flush().await.unwrap();
        // From here on nothing answers pings.
        let mut vanished = client.0.into_inner();
        let mut seen = Vec::new();
        let word = b"silent: connect again";
        let told = async {
            while !seen.windows(word.len()).any(|window| window == word) {
                let mut part = [0; 4096];
                let count = vanished.read(&mut part).await.unwrap();
                assert!(count > 0, "{path}: ended without a word");
                seen.extend_from_slice(&part[..count]);
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("it is dropped");
    }
}
