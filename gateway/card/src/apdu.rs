//! Short APDUs (ISO 7816-4): building commands, parsing responses, one exchange.
//!
//! Promises: a command is built from a fixed list and is always well formed; a response is split into data and status or
//! refused; [`exchange`] follows `61xx` and `6Cxx` a bounded number of times and never repeats a command that carries a
//! secret, because repeating a VERIFY would cost the patient a try.

use std::fmt;

use zeroize::Zeroizing;

use crate::{Transport, TransportError};

/// Most data bytes in one response to a short command (Le = 00).
pub const RESPONSE_DATA_BYTES_MAX: usize = 256;

/// How often `61xx` may announce more data. 128 blocks are as much as the largest file that READ BINARY can address.
const MORE_DATA_ROUNDS_MAX: usize = 128;

/// An application identifier. Every application of the My Number Card has ten bytes.
pub type Aid = [u8; 10];

/// One short command APDU. `Debug` shows its name and length only: the body may be a PIN.
pub struct Command {
    name: &'static str,
    /// Complete APDU; the last byte is Le when `has_le`.
    bytes: Zeroizing<Vec<u8>>,
    has_le: bool,
}

impl Command {
    /// SELECT an application by its identifier, no answer data wanted (`00 A4 04 0C`).
    #[must_use]
    pub fn select_application(aid: &Aid) -> Self {
        Self::with_data("SELECT application", [0x00, 0xA4, 0x04, 0x0C], aid, None)
    }

    /// SELECT an elementary file of the current application (`00 A4 02 0C`).
    #[must_use]
    pub fn select_file(id: u16) -> Self {
        Self::with_data("SELECT file", [0x00, 0xA4, 0x02, 0x0C], &id.to_be_bytes(), None)
    }

    /// READ BINARY of the current file: `length` bytes (1 to 256) from `offset` (15 bits).
    ///
    /// `None` when either is out of range: bit 16 of the offset would turn it into a short file identifier.
    #[must_use]
    pub fn read_binary(offset: u16, length: u16) -> Option<Self> {
        let le = Self::encode_le(length)?;
        let [high, low] = offset.to_be_bytes();
        (offset <= 0x7FFF).then(|| Self::without_data("READ BINARY", [0x00, 0xB0, high, low], Some(le)))
    }

    /// VERIFY against the current file (`00 20 00 80`). Costs a try when wrong.
    #[must_use]
    pub fn verify<const N: usize>(secret: &[u8; N]) -> Self {
        Self::with_data("VERIFY", [0x00, 0x20, 0x00, 0x80], secret, None)
    }

    /// VERIFY without data: asks for the tries left and costs nothing (ISO 7816-4, `63Cx`).
    #[must_use]
    pub fn tries_left() -> Self {
        Self::without_data("VERIFY (tries left)", [0x00, 0x20, 0x00, 0x80], None)
    }

    /// COMPUTE DIGITAL SIGNATURE over a DigestInfo with the current key file (`80 2A 00 80`, JPKI).
    #[must_use]
    pub fn sign<const N: usize>(digest_info: &[u8; N]) -> Self {
        Self::with_data("COMPUTE DIGITAL SIGNATURE", [0x80, 0x2A, 0x00, 0x80], digest_info, Some(0))
    }

    fn get_response(le: u8) -> Self {
        Self::without_data("GET RESPONSE", [0x00, 0xC0, 0x00, 0x00], Some(le))
    }

    /// The complete APDU.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The command's name in the standard.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Le is one byte in which 00 stands for 256.
    fn encode_le(length: u16) -> Option<u8> {
        match length {
            1..=255 => u8::try_from(length).ok(),
            256 => Some(0),
            _ => None,
        }
    }

    fn without_data(name: &'static str, header: [u8; 4], le: Option<u8>) -> Self {
        let mut bytes = Zeroizing::new(header.to_vec());
        bytes.extend(le);
        Self { name, bytes, has_le: le.is_some() }
    }

    fn with_data<const N: usize>(name: &'static str, header: [u8; 4], data: &[u8; N], le: Option<u8>) -> Self {
        const { assert!(N >= 1 && N <= 255, "a short APDU carries 1 to 255 bytes of data") };
        // Reserved at once: growing would leave unwiped copies of a PIN behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 + 1 + N + 1));
        bytes.extend(header);
        bytes.push(N as u8);
        bytes.extend(data);
        bytes.extend(le);
        Self { name, bytes, has_le: le.is_some() }
    }

    /// The same command with another Le; `None` for a command that wants no data.
    fn with_le(&self, le: u8) -> Option<Self> {
        let mut bytes = self.bytes.clone();
        match bytes.last_mut() {
            Some(last) if self.has_le => *last = le,
            _ => return None,
        }
        Some(Self { name: self.name, bytes, has_le: true })
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// A parsed response. `Debug` shows the status and the length only: the data may be a photo.
pub struct Response {
    /// What the card sent before the status word.
    pub data: Zeroizing<Vec<u8>>,
    /// SW1 SW2.
    pub status: StatusWord,
}

impl Response {
    /// Splits the bytes of a response into data and status word.
    ///
    /// # Errors
    /// [`ApduError::Truncated`] below two bytes, [`ApduError::Overlong`] above 258.
    pub fn parse(command: &'static str, bytes: Vec<u8>) -> Result<Self, ApduError> {
        let mut data = Zeroizing::new(bytes);
        let bytes = data.len();
        if bytes > RESPONSE_DATA_BYTES_MAX + 2 {
            return Err(ApduError::Overlong { command, bytes });
        }
        let Some(&[sw1, sw2]) = data.last_chunk::<2>() else {
            return Err(ApduError::Truncated { command, bytes });
        };
        data.truncate(bytes - 2);
        Ok(Self { data, status: StatusWord(u16::from_be_bytes([sw1, sw2])) })
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} bytes, {})", self.data.len(), self.status)
    }
}

/// SW1 SW2 as they came; [`StatusWord::meaning`] names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusWord(pub u16);

impl StatusWord {
    /// `9000`.
    pub const OK: Self = Self(0x9000);

    /// What the status says, in the words of ISO 7816-4 as the My Number Card uses them.
    #[must_use]
    pub fn meaning(self) -> Meaning {
        let low = (self.0 & 0xFF) as u8;
        match self.0 {
            0x9000 => Meaning::Ok,
            0x6100..=0x61FF => Meaning::MoreData(low),
            0x6282 => Meaning::EndOfFile,
            0x6300 => Meaning::WrongWithoutCount,
            0x63C0..=0x63CF => Meaning::TriesLeft(low & 0x0F),
            0x6700 => Meaning::WrongLength,
            0x6982 => Meaning::SecurityNotSatisfied,
            // Observed on cards: 6984. Generic documents: 6983. Both mean locked.
            0x6983 | 0x6984 => Meaning::Locked,
            0x6985 | 0x6986 => Meaning::ConditionsNotSatisfied,
            0x6A82 | 0x6A88 => Meaning::NotFound,
            0x6A81 | 0x6A86 | 0x6D00 | 0x6E00 => Meaning::NotSupported,
            0x6B00 => Meaning::PastEnd,
            0x6C00..=0x6CFF => Meaning::WrongLe(low),
            _ => Meaning::Other,
        }
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.meaning() {
            Meaning::Ok => "ok",
            Meaning::MoreData(_) => "more data",
            Meaning::EndOfFile => "end of file reached",
            Meaning::WrongWithoutCount => "wrong, tries not told",
            Meaning::TriesLeft(_) => "wrong or not verified, last digit = tries left",
            Meaning::WrongLength => "wrong length",
            Meaning::SecurityNotSatisfied => "not allowed before verification",
            Meaning::Locked => "locked",
            Meaning::ConditionsNotSatisfied => "not possible now",
            Meaning::NotFound => "not found",
            Meaning::NotSupported => "not supported",
            Meaning::PastEnd => "past the end of the file",
            Meaning::WrongLe(_) => "wrong expected length",
            Meaning::Other => "unknown status",
        };
        write!(f, "status {:04X} ({words})", self.0)
    }
}

/// Named status words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// 9000.
    Ok,
    /// 61xx: so many bytes more by GET RESPONSE (0 = 256 or more).
    MoreData(u8),
    /// 6282: fewer bytes than asked for, the file ends here.
    EndOfFile,
    /// 6300: verification failed, no counter.
    WrongWithoutCount,
    /// 63Cx: x tries left.
    TriesLeft(u8),
    /// 6700.
    WrongLength,
    /// 6982.
    SecurityNotSatisfied,
    /// 6983 or 6984.
    Locked,
    /// 6985 or 6986.
    ConditionsNotSatisfied,
    /// 6A82 or 6A88.
    NotFound,
    /// 6A81, 6A86, 6D00 or 6E00: the card does not know this command.
    NotSupported,
    /// 6B00.
    PastEnd,
    /// 6Cxx: send again with this Le.
    WrongLe(u8),
    /// Anything else.
    Other,
}

/// Why an exchange has no usable response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApduError {
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Fewer than the two bytes of a status word.
    #[error("the response to {command} has {bytes} byte(s), too few for a status word")]
    Truncated {
        /// Name of the command.
        command: &'static str,
        /// Bytes received.
        bytes: usize,
    },
    /// More than a short response can hold.
    #[error("the response to {command} has {bytes} bytes, more than the 258 of a short response")]
    Overlong {
        /// Name of the command.
        command: &'static str,
        /// Bytes received.
        bytes: usize,
    },
    /// `61xx` without end.
    #[error("the card announced more data for {command} without end, given up after {rounds} rounds")]
    Endless {
        /// Name of the command.
        command: &'static str,
        /// GET RESPONSE commands sent.
        rounds: usize,
    },
}

/// Sends one command and returns its complete response.
///
/// `6Cxx` repeats the command once with the right Le, only where the command had one; `61xx` is followed with GET
/// RESPONSE. The returned status is never `61xx`.
///
/// # Errors
/// [`ApduError`]; a refusal by the card is not an error but a [`Response`] with its status.
pub fn exchange<T: Transport + ?Sized>(transport: &mut T, command: &Command) -> Result<Response, ApduError> {
    let mut response = transmit(transport, command)?;
    if let Meaning::WrongLe(le) = response.status.meaning()
        && let Some(corrected) = command.with_le(le)
    {
        response = transmit(transport, &corrected)?;
    }
    let mut rounds = 0;
    while let Meaning::MoreData(le) = response.status.meaning() {
        if rounds == MORE_DATA_ROUNDS_MAX {
            return Err(ApduError::Endless { command: command.name, rounds });
        }
        rounds += 1;
        let more = transmit(transport, &Command::get_response(le))?;
        // A fresh buffer each round: extending in place could leave unwiped pieces of the photo behind.
        let mut data = Zeroizing::new(Vec::with_capacity(response.data.len() + more.data.len()));
        data.extend_from_slice(&response.data);
        data.extend_from_slice(&more.data);
        response = Response { data, status: more.status };
    }
    Ok(response)
}

fn transmit<T: Transport + ?Sized>(transport: &mut T, command: &Command) -> Result<Response, ApduError> {
    Response::parse(command.name, transport.transmit(command.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::tests::Script;

    #[test]
    fn commands_are_the_bytes_of_the_standard() {
        let aid = [0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
        let selected = Command::select_application(&aid);
        assert_eq!(selected.as_bytes()[..5], [0x00, 0xA4, 0x04, 0x0C, 0x0A]);
        assert_eq!(selected.as_bytes()[5..], aid);
        assert_eq!(Command::select_file(0x000A).as_bytes(), [0x00, 0xA4, 0x02, 0x0C, 0x02, 0x00, 0x0A]);
        assert_eq!(Command::read_binary(0x1234, 4).unwrap().as_bytes(), [0x00, 0xB0, 0x12, 0x34, 0x04]);
        assert_eq!(Command::read_binary(0, 256).unwrap().as_bytes(), [0x00, 0xB0, 0x00, 0x00, 0x00]);
        assert_eq!(Command::verify(b"1234").as_bytes(), [0x00, 0x20, 0x00, 0x80, 4, b'1', b'2', b'3', b'4']);
        assert_eq!(Command::tries_left().as_bytes(), [0x00, 0x20, 0x00, 0x80]);
        assert_eq!(Command::sign(&[7, 8]).as_bytes(), [0x80, 0x2A, 0x00, 0x80, 2, 7, 8, 0]);
    }

    #[test]
    fn read_binary_refuses_offsets_and_lengths_it_cannot_express() {
        assert!(Command::read_binary(0x8000, 1).is_none());
        assert!(Command::read_binary(0, 0).is_none());
        assert!(Command::read_binary(0, 257).is_none());
    }

    #[test]
    fn a_response_below_two_bytes_is_truncated_and_above_258_overlong() {
        assert_eq!(
            Response::parse("VERIFY", vec![0x90]).unwrap_err(),
            ApduError::Truncated { command: "VERIFY", bytes: 1 }
        );
        assert!(Response::parse("VERIFY", vec![]).is_err());
        assert!(Response::parse("READ BINARY", vec![0; 258]).is_ok());
        assert_eq!(
            Response::parse("READ BINARY", vec![0; 259]).unwrap_err(),
            ApduError::Overlong { command: "READ BINARY", bytes: 259 }
        );
    }

    #[test]
    fn more_data_is_fetched_and_joined() {
        let mut card = Script::new([vec![1, 2, 0x61, 0x02], vec![3, 4, 0x90, 0x00]]);
        let response = exchange(&mut card, &Command::read_binary(0, 4).unwrap()).unwrap();
        assert_eq!((&response.data[..], response.status), (&[1, 2, 3, 4][..], StatusWord::OK));
        assert_eq!(card.sent[1], [0x00, 0xC0, 0x00, 0x00, 0x02]);
    }

    #[test]
    fn more_data_without_end_is_given_up() {
        let mut card = Script::repeating(vec![0, 0x61, 0x01]);
        assert!(matches!(exchange(&mut card, &Command::tries_left()), Err(ApduError::Endless { .. })));
    }

    #[test]
    fn a_wrong_le_is_corrected_once() {
        let mut card = Script::new([vec![0x6C, 0x02], vec![9, 9, 0x90, 0x00]]);
        let response = exchange(&mut card, &Command::read_binary(0, 256).unwrap()).unwrap();
        assert_eq!(response.data[..], [9, 9]);
        assert_eq!(card.sent[1].last(), Some(&0x02));

        let mut stubborn = Script::repeating(vec![0x6C, 0x02]);
        let response = exchange(&mut stubborn, &Command::read_binary(0, 256).unwrap()).unwrap();
        assert_eq!(response.status, StatusWord(0x6C02));
        assert_eq!(stubborn.sent.len(), 2);
    }

    #[test]
    fn a_command_with_a_secret_is_never_sent_twice() {
        let mut card = Script::repeating(vec![0x6C, 0x10]);
        exchange(&mut card, &Command::verify(b"1234")).unwrap();
        assert_eq!(card.sent.len(), 1);
    }

    #[test]
    fn debug_shows_neither_the_secret_nor_the_data() {
        assert_eq!(format!("{:?}", Command::verify(b"1234")), "Command(VERIFY, 9 bytes)");
        let response = Response::parse("x", vec![0xAB, 0xCD, 0x90, 0x00]).unwrap();
        assert_eq!(format!("{response:?}"), "Response(2 bytes, status 9000 (ok))");
    }
}
