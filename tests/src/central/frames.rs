//! HTTP/2 frames on their way between a client and the service: connections that end as those of nginx do, and connections that are
//! half dead.
//!
//! Promises:
//! * a frame is forwarded whole and in order, or not at all;
//! * PING is answered on every connection, however dead it is for requests;
//! * a request that a farewell leaves out has no effect.

use std::collections::BTreeSet;
use std::str::FromStr;

use bytes::{Buf, BytesMut};
use serde::{Deserialize, Serialize};

/// What every client sends first (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;
/// Length, type, flags and stream stand before each payload (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// END_STREAM of DATA and HEADERS, ACK of SETTINGS.
const FLAG: u8 = 1;

const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// When a connection ends, and how: nginx's `keepalive_requests`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Requests that a connection serves.
    pub requests: u32,
    /// How it ends.
    pub ending: Ending,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// GOAWAY with the last request; what comes later is ignored; closed when all is answered. As nginx does.
    InOrder,
    /// The same, but reset instead of closed, so that what the client sends meanwhile breaks the connection.
    Abrupt,
    /// No GOAWAY: reset when so many are answered, whatever else is under way.
    Cut,
}

impl FromStr for Ending {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "in-order" => Ok(Self::InOrder),
            "abrupt" => Ok(Self::Abrupt),
            "cut" => Ok(Self::Cut),
            other => Err(format!("unknown ending {other:?}; known: in-order abrupt cut")),
        }
    }
}

/// What is wrong with a connection that answers PING.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HalfDead {
    /// Requests vanish.
    Mute,
    /// Eligibility requests are never answered, every other call is.
    OneMethod,
    /// No stream may be opened: MAX_CONCURRENT_STREAMS is 0.
    NoStreams,
    /// No body may be sent: the flow-control window of every stream stays closed.
    NoWindow,
}

/// The frames of one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    rotation: Option<Rotation>,
    half_dead: Option<HalfDead>,
    preface: bool,
    from_client: BytesMut,
    /// What the service reads.
    pub(super) to_service: BytesMut,
    from_service: BytesMut,
    /// What the client reads; whole frames only.
    pub(super) to_client: BytesMut,
    last_stream: u32,
    requests: u32,
    answered: u32,
    open: BTreeSet<u32>,
    farewell: bool,
    /// Acknowledgements of settings that the service knows nothing of.
    unasked: u32,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    bytes: BytesMut,
}

impl Frames {
    pub(super) fn new(rotation: Option<Rotation>) -> Self {
        Self { rotation, ..Self::default() }
    }

    /// From now on.
    pub(super) fn turn(&mut self, half_dead: HalfDead) {
        self.half_dead = Some(half_dead);
        match half_dead {
            HalfDead::Mute | HalfDead::OneMethod => {}
            HalfDead::NoStreams => self.settings(MAX_CONCURRENT_STREAMS),
            HalfDead::NoWindow => self.settings(INITIAL_WINDOW_SIZE),
        }
    }

    fn settings(&mut self, zero: u16) {
        self.unasked += 1;
        let mut payload = zero.to_be_bytes().to_vec();
        payload.extend(0_u32.to_be_bytes());
        self.say(SETTINGS, &payload);
    }

    fn say(&mut self, kind: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.to_client.extend_from_slice(&length.to_be_bytes()[1..]);
        self.to_client.extend_from_slice(&[kind, 0, 0, 0, 0, 0]);
        self.to_client.extend_from_slice(payload);
    }

    /// The client sent this.
    pub(super) fn heard(&mut self, bytes: &[u8]) {
        self.from_client.extend_from_slice(bytes);
        if !self.preface {
            if self.from_client.len() < PREFACE_BYTES {
                return;
            }
            self.preface = true;
            let preface = self.from_client.split_to(PREFACE_BYTES);
            self.to_service.extend_from_slice(&preface);
        }
        while let Some(frame) = next(&mut self.from_client) {
            if self.admits(&frame) {
                self.to_service.extend_from_slice(&frame.bytes);
            }
        }
    }

    fn admits(&mut self, frame: &Frame) -> bool {
        if frame.stream == 0 {
            if frame.kind == SETTINGS && frame.flags & FLAG != 0 && self.unasked > 0 {
                self.unasked -= 1;
                return false;
            }
            return true;
        }
        if self.half_dead == Some(HalfDead::Mute) {
            return false;
        }
        if frame.kind == HEADERS && frame.stream > self.last_stream && !self.farewell {
            self.begin(frame.stream);
        }
        if frame.kind == RST_STREAM {
            self.open.remove(&frame.stream);
        }
        frame.stream <= self.last_stream
    }

    fn begin(&mut self, stream: u32) {
        self.last_stream = stream;
        self.requests += 1;
        self.open.insert(stream);
        let Some(rotation) = self.rotation else { return };
        if self.requests >= rotation.requests && rotation.ending != Ending::Cut {
            self.farewell = true;
            let mut payload = stream.to_be_bytes().to_vec();
            // NO_ERROR
            payload.extend(0_u32.to_be_bytes());
            self.say(GOAWAY, &payload);
        }
    }

    /// The service sent this.
    pub(super) fn said(&mut self, bytes: &[u8]) {
        self.from_service.extend_from_slice(bytes);
        while let Some(frame) = next(&mut self.from_service) {
            let last = matches!(frame.kind, DATA | HEADERS) && frame.flags & FLAG != 0;
            if (last || frame.kind == RST_STREAM) && self.open.remove(&frame.stream) {
                self.answered += 1;
            }
            if self.half_dead != Some(HalfDead::NoWindow) || frame.kind != WINDOW_UPDATE {
                self.to_client.extend_from_slice(&frame.bytes);
            }
        }
    }

    /// How the connection ends now, if it does.
    pub(super) fn over(&self) -> Option<Ending> {
        let Rotation { requests, ending } = self.rotation?;
        let over = match ending {
            Ending::InOrder | Ending::Abrupt => self.farewell && self.open.is_empty(),
            Ending::Cut => self.answered >= requests,
        };
        (over && self.to_client.is_empty()).then_some(ending)
    }
}

fn next(bytes: &mut BytesMut) -> Option<Frame> {
    let head: [u8; HEAD_BYTES] = bytes.get(..HEAD_BYTES)?.try_into().ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    if bytes.remaining() < HEAD_BYTES + length {
        return None;
    }
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], flags: head[4], stream, bytes: bytes.split_to(HEAD_BYTES + length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn shaken(rotation: Option<Rotation>) -> Frames {
        let mut frames = Frames::new(rotation);
        frames.heard(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.to_service.clear();
        frames
    }

    #[test]
    fn the_last_request_is_told_farewell_and_served_and_the_next_one_is_ignored() {
        let mut frames = shaken(Some(Rotation { requests: 2, ending: Ending::InOrder }));
        for stream in [1, 3, 5] {
            // In pieces: a frame is seen whole however it comes.
            for byte in frame(HEADERS, 0, stream, b"ab") {
                frames.heard(&[byte]);
            }
        }
        assert_eq!(frames.to_service, [frame(HEADERS, 0, 1, b"ab"), frame(HEADERS, 0, 3, b"ab")].concat());
        assert_eq!(frames.to_client, frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]));
        frames.to_client.clear();
        frames.said(&frame(DATA, FLAG, 1, b""));
        frames.to_client.clear();
        assert_eq!(frames.over(), None, "one is not answered yet");
        frames.said(&frame(HEADERS, FLAG, 3, b""));
        frames.to_client.clear();
        assert_eq!(frames.over(), Some(Ending::InOrder));
    }

    #[test]
    fn a_half_dead_connection_takes_pings_alone() {
        let mut frames = shaken(None);
        frames.turn(HalfDead::Mute);
        frames.heard(&frame(HEADERS, 0, 1, b""));
        frames.heard(&frame(6, 0, 0, b"12345678"));
        assert_eq!(frames.to_service, frame(6, 0, 0, b"12345678"));
    }

    #[test]
    fn settings_that_the_service_did_not_send_are_not_acknowledged_to_it() {
        let mut frames = shaken(None);
        frames.turn(HalfDead::NoStreams);
        assert_eq!(frames.to_client, frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]));
        frames.heard(&[frame(SETTINGS, FLAG, 0, b""), frame(SETTINGS, FLAG, 0, b"")].concat());
        assert_eq!(frames.to_service, frame(SETTINGS, FLAG, 0, b""));
    }
}
