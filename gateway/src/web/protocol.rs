//! What goes over a kiosk's socket: parsing that never panics and never repeats what it was given.

use crate::handle::{Frame, FrameRequest, ReaderInput};
use serde::{Deserialize, Serialize};
use std::fmt;
use uketsuke_core::consent::Question;
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::pin::PinKeys;
use uketsuke_core::reception::{Intent, ScreenVersion};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Longest JSON text from a kiosk. The longest honest one has some 150 bytes.
pub(super) const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Longest binary message from a kiosk. A 640×480 JPEG at quality 0.85 has some 60 kB.
pub(super) const FRAME_BYTES_MAX: usize = 512 * 1024;

/// The frame's request number, big-endian.
const REQUEST_BYTES: usize = size_of::<FrameRequest>();

/// Every JPEG begins with this marker (ITU-T T.81, SOI).
const JPEG_START: [u8; 2] = [0xff, 0xd8];

/// What the server says to a kiosk.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToKiosk<'a> {
    /// Show this.
    Screen { reception: Option<ReceptionId>, version: ScreenVersion, name: &'a str, html: &'a str },
    /// Send one frame with this number.
    Frame { request: FrameRequest },
    /// A sign of life: the page's script cannot see protocol pings.
    Beat,
    /// A press arrived. `taken` is false when the reader has too many waiting: it must be made again.
    Heard { taken: bool },
    /// The camera is not needed any more.
    CameraOff,
    /// Another kiosk took over this reader.
    Replaced,
    /// The gateway is about to stop. The reception under way goes on.
    Closing,
}

/// How a peer broke the protocol. One word each for the log: never what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// Larger than any honest message.
    TooLong,
    /// No JSON, an unknown field or intent, a wrong type, or a field that does not belong to the intent.
    Malformed,
    /// A binary message that is no request number with a JPEG.
    NotAFrame,
    /// Too many messages per second.
    TooFast,
    /// A message where none is expected.
    Unexpected,
    /// A text that is no UTF-8.
    NotText,
    /// A frame of the WebSocket protocol itself is wrong.
    WebSocket,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::NotAFrame => "not_a_frame",
            Self::TooFast => "too_fast",
            Self::Unexpected => "unexpected",
            Self::NotText => "not_text",
            Self::WebSocket => "websocket",
        })
    }
}

/// Flat rather than a tagged enum: serde would collect a tagged one in buffers that nobody wipes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromKiosk {
    reception: ReceptionId,
    version: ScreenVersion,
    intent: IntentName,
    keys: Option<Keys>,
    question: Option<Question>,
    agreed: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum IntentName {
    ChooseFace,
    ChoosePin,
    CallStaff,
    Back,
    Cancel,
    Acknowledge,
    Forgotten,
    ByProxy,
    ByPatient,
    Pin,
    Register,
    Consent,
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Keys([u8; 4]);

/// Reads a text message. The caller wipes the text.
pub(super) fn parse_text(text: &[u8]) -> Result<ReaderInput, Violation> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Violation::TooLong);
    }
    // The error of serde_json quotes what it was given, so it ends here.
    let message: FromKiosk = serde_json::from_slice(text).map_err(|_| Violation::Malformed)?;
    let intent = match (message.intent, &message.keys, message.question, message.agreed) {
        (IntentName::ChooseFace, None, None, None) => Intent::ChooseFace,
        (IntentName::ChoosePin, None, None, None) => Intent::ChoosePin,
        (IntentName::CallStaff, None, None, None) => Intent::CallStaff,
        (IntentName::Back, None, None, None) => Intent::Back,
        (IntentName::Cancel, None, None, None) => Intent::Cancel,
        (IntentName::Acknowledge, None, None, None) => Intent::Acknowledge,
        (IntentName::Pin, Some(keys), None, None) => Intent::Pin(PinKeys::new(&keys.0).ok_or(Violation::Malformed)?),
        (IntentName::Forgotten, None, None, None) => Intent::Forgotten,
        (IntentName::ByProxy, None, None, None) => Intent::ByProxy,
        (IntentName::ByPatient, None, None, None) => Intent::ByPatient,
        (IntentName::Register, None, None, Some(agreed)) => Intent::Register(agreed),
        (IntentName::Consent, None, Some(question), Some(agreed)) => Intent::Consent { question, agreed },
        _ => return Err(Violation::Malformed),
    };
    Ok(ReaderInput::Intent(message.reception, message.version, intent))
}

/// Reads a binary message. The caller wipes the bytes; the copy in the frame wipes itself.
pub(super) fn parse_frame(bytes: &[u8]) -> Result<Frame, Violation> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(Violation::TooLong);
    }
    let (request, jpeg) = bytes.split_first_chunk::<REQUEST_BYTES>().ok_or(Violation::NotAFrame)?;
    if !jpeg.starts_with(&JPEG_START) {
        return Err(Violation::NotAFrame);
    }
    Ok(Frame { request: FrameRequest::from_be_bytes(*request), jpeg: Zeroizing::new(jpeg.to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "018f5b7e-0000-7000-8000-000000000001";

    fn text(rest: &str) -> String {
        format!(r#"{{"reception":"{ID}","version":7,{rest}}}"#)
    }

    fn parsed(rest: &str) -> Result<Intent, Violation> {
        parse_text(text(rest).as_bytes()).map(|input| match input {
            ReaderInput::Intent(reception, 7, intent) if reception.to_string() == ID => intent,
            other => panic!("reception and version were lost: {other:?}"),
        })
    }

    #[test]
    fn every_intent_has_its_message() {
        for (rest, intent) in [
            (r#""intent":"choose_face""#, Intent::ChooseFace),
            (r#""intent":"choose_pin""#, Intent::ChoosePin),
            (r#""intent":"call_staff""#, Intent::CallStaff),
            (r#""intent":"back""#, Intent::Back),
            (r#""intent":"cancel""#, Intent::Cancel),
            (r#""intent":"acknowledge""#, Intent::Acknowledge),
            (r#""intent":"forgotten""#, Intent::Forgotten),
            (r#""intent":"by_proxy""#, Intent::ByProxy),
            (r#""intent":"by_patient""#, Intent::ByPatient),
            (r#""intent":"register","agreed":false"#, Intent::Register(false)),
            (r#""intent":"pin","keys":[0,9,8,1]"#, Intent::Pin(PinKeys::new(&[0, 9, 8, 1]).unwrap())),
            (
                r#""intent":"consent","question":"checkups","agreed":true"#,
                Intent::Consent { question: Question::Checkups, agreed: true },
            ),
            (
                r#""intent":"consent","question":"treatment_and_medication","agreed":false"#,
                Intent::Consent { question: Question::TreatmentAndMedication, agreed: false },
            ),
        ] {
            assert_eq!(parsed(rest).unwrap(), intent, "{rest}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        for rest in [
            r#""intent":"open_sesame""#,
            r#""intent":"choose_face","extra":1"#,
            r#""intent":"choose_face","keys":[1,2,3,4]"#,
            r#""intent":"choose_face","intent":"cancel""#,
            r#""intent":"pin""#,
            r#""intent":"pin","keys":[1,2,3]"#,
            r#""intent":"pin","keys":[1,2,3,4,5]"#,
            r#""intent":"pin","keys":[1,2,3,10]"#,
            r#""intent":"pin","keys":[1,2,3,-1]"#,
            r#""intent":"pin","keys":"1234""#,
            r#""intent":"consent","question":"checkups""#,
            r#""intent":"consent","question":"everything","agreed":true"#,
            r#""intent":"consent","question":"checkups","agreed":"yes""#,
            r#""intent":"register""#,
            r#""intent":"forgotten","agreed":true"#,
            r#""intent":7"#,
        ] {
            assert_eq!(parsed(rest).unwrap_err(), Violation::Malformed, "{rest}");
        }
        for whole in ["", "null", "[]", "{}", "{\"intent\":\"cancel\"}", "\u{0}", &"[".repeat(4000)] {
            assert_eq!(parse_text(whole.as_bytes()).unwrap_err(), Violation::Malformed, "{whole}");
        }
    }

    #[test]
    fn a_frame_is_a_number_and_a_jpeg_of_bounded_size() {
        let frame = parse_frame(&[0, 0, 1, 2, 0xff, 0xd8, 0xff]).unwrap();
        assert_eq!((frame.request, frame.jpeg.as_slice()), (258, [0xff, 0xd8, 0xff].as_slice()));
        for bytes in [&[][..], &[0, 0, 0], &[0, 0, 0, 1], &[0, 0, 0, 1, 0xff], &[0, 0, 0, 1, 0x89, b'P']] {
            assert_eq!(parse_frame(bytes).err(), Some(Violation::NotAFrame));
        }
        let mut large = vec![0; FRAME_BYTES_MAX + 1];
        large[4..6].copy_from_slice(&JPEG_START);
        assert_eq!(parse_frame(&large).err(), Some(Violation::TooLong));
        assert!(parse_frame(&large[..FRAME_BYTES_MAX]).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
            let _ = parse_text(&bytes);
            let _ = parse_frame(&bytes);
        }

        #[test]
        fn nothing_that_looks_like_a_message_makes_the_parser_panic(
            intent in "[a-z_]{0,12}|pin|consent|back",
            keys in proptest::option::of("\\[([0-9]{1,3},){0,5}[0-9]{1,20}\\]|\"[0-9]{4}\"|null"),
            agreed in proptest::option::of("true|false|1|null"),
            version in "[0-9]{1,25}|-1|1e9|null",
        ) {
            let mut text = format!(r#"{{"reception":"{ID}","version":{version},"intent":"{intent}""#);
            for (field, value) in [("keys", keys), ("agreed", agreed)] {
                if let Some(value) = value {
                    text.push_str(&format!(",\"{field}\":{value}"));
                }
            }
            text.push('}');
            let _ = parse_text(text.as_bytes());
        }
    }
}
