//! The wire format of a virtual card slot: what a reader says to a card that is only a TCP peer.
//!
//! It is the format of vpcd (vsmartcard): each message is a length of two bytes, big-endian, and a body. A body of one
//! byte is a control message: 00 power off, 01 power on, 02 reset, 04 answer-to-reset wanted. Longer bodies are command
//! APDUs. Answer-to-reset and APDUs are answered in the same frame; off, on and reset are not answered.
//!
//! One extension of our own: `46` ("F", card front) is answered with the 14 ASCII digits of 照合番号B, or an empty body.
//! It stands for the camera of a face reader, which looks at the printed card; a card of a stock vpcd never sees it.
//!
//! Pure encoding and decoding; nothing here reads or writes a socket. Bodies may hold a PIN: `Debug` is redacted.

use std::fmt;

use zeroize::Zeroizing;

use crate::{NumberBFormatError, VerificationNumberB};
#[cfg(feature = "virtual")]
use crate::{Transport, TransportError, VirtualCard};

/// Longest body accepted in either direction. Short APDUs need 261 bytes; the rest is room for a curious client.
pub const BODY_BYTES_MAX: usize = 4096;

/// Bytes of the length in front of each body.
pub const LENGTH_BYTES: usize = 2;

const POWER_OFF: u8 = 0x00;
const POWER_ON: u8 = 0x01;
const RESET: u8 = 0x02;
const ATR: u8 = 0x04;
const FRONT: u8 = b'F';

/// What a slot asks of its card.
#[derive(Clone, PartialEq, Eq)]
pub enum SlotRequest {
    /// Power is cut: verified state is lost. Not answered.
    PowerOff,
    /// Power is given. Not answered.
    PowerOn,
    /// Reset: verified state is lost. Not answered.
    Reset,
    /// Answer-to-reset wanted.
    Atr,
    /// Extension: the digits on the card's front wanted; see [`decode_front`].
    Front,
    /// A command for the card, two bytes at least.
    Apdu(Vec<u8>),
}

impl SlotRequest {
    /// Decodes the body of a frame, without its length.
    ///
    /// # Errors
    /// [`SlotError`]; close the connection then, the peer speaks another protocol.
    pub fn decode(body: &[u8]) -> Result<Self, SlotError> {
        match body {
            [] => Err(SlotError::Empty),
            [POWER_OFF] => Ok(Self::PowerOff),
            [POWER_ON] => Ok(Self::PowerOn),
            [RESET] => Ok(Self::Reset),
            [ATR] => Ok(Self::Atr),
            [FRONT] => Ok(Self::Front),
            [code] => Err(SlotError::UnknownControl { code: *code }),
            apdu if apdu.len() > BODY_BYTES_MAX => Err(SlotError::TooLong { bytes: apdu.len() }),
            apdu => Ok(Self::Apdu(apdu.to_vec())),
        }
    }

    /// The complete frame, length included.
    ///
    /// # Errors
    /// [`SlotError::TooLong`], and [`SlotError::Empty`] or [`SlotError::UnknownControl`] for an APDU of fewer than two
    /// bytes, which would arrive as a control message.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, SlotError> {
        match self {
            Self::PowerOff => frame(&[POWER_OFF]),
            Self::PowerOn => frame(&[POWER_ON]),
            Self::Reset => frame(&[RESET]),
            Self::Atr => frame(&[ATR]),
            Self::Front => frame(&[FRONT]),
            Self::Apdu(apdu) => match apdu[..] {
                [] => Err(SlotError::Empty),
                [code] => Err(SlotError::UnknownControl { code }),
                _ => frame(apdu),
            },
        }
    }

    /// Whether the card sends a frame back.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        matches!(self, Self::Atr | Self::Front | Self::Apdu(_))
    }
}

impl fmt::Debug for SlotRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("PowerOff"),
            Self::PowerOn => f.write_str("PowerOn"),
            Self::Reset => f.write_str("Reset"),
            Self::Atr => f.write_str("Atr"),
            Self::Front => f.write_str("Front"),
            Self::Apdu(apdu) => write!(f, "Apdu({} bytes)", apdu.len()),
        }
    }
}

/// Puts the length in front of a body.
///
/// # Errors
/// [`SlotError::TooLong`] above [`BODY_BYTES_MAX`].
pub fn frame(body: &[u8]) -> Result<Zeroizing<Vec<u8>>, SlotError> {
    let too_long = || SlotError::TooLong { bytes: body.len() };
    let length = u16::try_from(body.len()).map_err(|_| too_long())?;
    if body.len() > BODY_BYTES_MAX {
        return Err(too_long());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH_BYTES + body.len()));
    bytes.extend(length.to_be_bytes());
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// How many bytes of body follow the length of a frame.
///
/// # Errors
/// [`SlotError::TooLong`] above [`BODY_BYTES_MAX`]; close the connection, nothing behind it can be found again.
pub fn body_bytes(length: [u8; LENGTH_BYTES]) -> Result<usize, SlotError> {
    let bytes = usize::from(u16::from_be_bytes(length));
    if bytes > BODY_BYTES_MAX { Err(SlotError::TooLong { bytes }) } else { Ok(bytes) }
}

/// The body that answers [`SlotRequest::Front`]: 14 digits, or nothing when the camera could not read them.
///
/// # Errors
/// [`NumberBFormatError`] when it is anything else.
pub fn decode_front(body: &[u8]) -> Result<Option<VerificationNumberB>, NumberBFormatError> {
    if body.is_empty() { Ok(None) } else { VerificationNumberB::from_ascii(body).map(Some) }
}

/// Has a virtual card answer a request: the complete frame to send back, or no bytes at all where the protocol has no
/// answer.
///
/// # Errors
/// [`TransportError::CardGone`] when the card has died: close the connection.
#[cfg(feature = "virtual")]
pub fn answer(card: &mut VirtualCard, request: SlotRequest) -> Result<Vec<u8>, TransportError> {
    let body = match request {
        SlotRequest::PowerOff | SlotRequest::PowerOn | SlotRequest::Reset => {
            card.reset()?;
            return Ok(Vec::new());
        }
        SlotRequest::Atr => VirtualCard::ATR.to_vec(),
        SlotRequest::Front => card.front().map_or_else(Vec::new, |number| number.expose_ascii().to_vec()),
        // Wiped after use: it may be a VERIFY with the PIN.
        SlotRequest::Apdu(apdu) => card.transmit(&Zeroizing::new(apdu))?,
    };
    let framed = frame(&body).map_err(|error| TransportError::Fault(error.to_string()))?;
    Ok(framed.to_vec())
}

/// Why bytes are not a message of a card slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// A body without bytes.
    #[error("the slot message is empty; close the connection and check what is connected to the slot")]
    Empty,
    /// A one-byte body that is no known control message.
    #[error("unknown slot control message {code:#04x}; close the connection and check what is connected to the slot")]
    UnknownControl {
        /// The byte.
        code: u8,
    },
    /// Above [`BODY_BYTES_MAX`].
    #[error("a slot message of {bytes} bytes, at most {BODY_BYTES_MAX} are accepted; close the connection")]
    TooLong {
        /// Claimed or given size.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_request_survives_the_wire() {
        let requests = [
            (SlotRequest::PowerOff, vec![0, 1, 0x00]),
            (SlotRequest::PowerOn, vec![0, 1, 0x01]),
            (SlotRequest::Reset, vec![0, 1, 0x02]),
            (SlotRequest::Atr, vec![0, 1, 0x04]),
            (SlotRequest::Front, vec![0, 1, 0x46]),
            (SlotRequest::Apdu(vec![0x00, 0x20, 0x00, 0x80]), vec![0, 4, 0x00, 0x20, 0x00, 0x80]),
        ];
        for (request, wire) in requests {
            assert_eq!(*request.encode().unwrap(), wire);
            let (length, body) = wire.split_first_chunk().unwrap();
            assert_eq!((body_bytes(*length), SlotRequest::decode(body).unwrap()), (Ok(body.len()), request));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(SlotRequest::decode(&[]), Err(SlotError::Empty));
        assert_eq!(SlotRequest::decode(&[0x03]), Err(SlotError::UnknownControl { code: 3 }));
        assert_eq!(SlotRequest::decode(&[0; 5000]), Err(SlotError::TooLong { bytes: 5000 }));
        assert_eq!(body_bytes([0xFF, 0xFF]), Err(SlotError::TooLong { bytes: 65_535 }));
        assert!(SlotRequest::Apdu(vec![0; BODY_BYTES_MAX + 1]).encode().is_err());
    }

    #[test]
    fn an_apdu_is_never_sent_as_a_control_message() {
        assert!(SlotRequest::Apdu(vec![0x00]).encode().is_err());
        assert!(SlotRequest::Apdu(vec![]).encode().is_err());
    }

    #[test]
    fn the_front_is_fourteen_digits_or_nothing() {
        assert!(decode_front(b"").unwrap().is_none());
        assert!(decode_front(b"55010120301234").unwrap().is_some());
        assert!(decode_front(b"5501").is_err());
    }

    #[test]
    fn debug_does_not_show_an_apdu() {
        assert_eq!(format!("{:?}", SlotRequest::Apdu(b"\x00\x20\x00\x80\x041234".to_vec())), "Apdu(9 bytes)");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = SlotRequest::decode(&bytes);
            let _ = decode_front(&bytes);
        }
    }
}
