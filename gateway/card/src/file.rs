//! Reading a whole transparent file (EF) whose contents start with their own length.
//!
//! Promises: never more than the caller's limit, never more reads than the size justifies, and only bytes the card was
//! asked for. A card that lies about its length gets an error.

use zeroize::Zeroizing;

use crate::apdu::{Command, Meaning, exchange};
use crate::tlv::{self, TlvError};
use crate::{ReadError, Transport, Unreadable};

/// READ BINARY reaches 15 bits of offset (ISO 7816-4), so no file may be longer.
const FILE_BYTES_MAX: usize = 0x8000;

/// Bytes wanted from one READ BINARY; Le = 00.
const READ_BYTES: usize = 256;

/// A card may return less than asked for, but on average at least this: a card that gives one byte at a time would hold
/// the reader for a quarter of an hour.
const READ_BYTES_AVERAGE_MIN: usize = 64;

/// Why the contents of a file cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing was ever written into the file.
    #[error("the file is blank")]
    Blank,
    /// The file does not start with a tag and a length.
    #[error("the file does not start with a tag and a length: {0}")]
    Header(TlvError),
    /// The claimed size is above the limit.
    #[error("the file claims {bytes} bytes where at most {bytes_max} are accepted")]
    TooLarge {
        /// Size that the header claims.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
    /// More bytes than asked for.
    #[error("the card returned more bytes than asked for")]
    Overlong,
    /// The file ends before its own header says so.
    #[error("the file ends after {bytes} of the {bytes_claimed} bytes that its header claims")]
    Short {
        /// Bytes received.
        bytes: usize,
        /// Size that the header claims.
        bytes_claimed: usize,
    },
    /// The card hands out the file in uselessly small pieces.
    #[error("the card returns the file in too small pieces, given up after {reads} reads")]
    TooManyReads {
        /// READ BINARY commands sent.
        reads: usize,
    },
}

/// Selects a file of the current application; `false` when the application has no such file.
pub(crate) fn select<T: Transport + ?Sized>(transport: &mut T, id: u16, what: &'static str) -> Result<bool, ReadError> {
    let response = exchange(transport, &Command::select_file(id)).map_err(|error| ReadError::exchange(what, error))?;
    match response.status.meaning() {
        Meaning::Ok => Ok(true),
        Meaning::NotFound => Ok(false),
        _ => Err(ReadError::status(what, response.status)),
    }
}

/// Reads the selected file whole: header and value, without what may be stored behind them.
pub(crate) fn read_selected<T: Transport + ?Sized>(
    transport: &mut T,
    bytes_max: usize,
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let refuse = |error: FileError| ReadError::Unreadable { what, why: Unreadable::File(error) };

    let head = read_at(transport, 0, tlv::HEADER_BYTES_MAX, what)?;
    // Unwritten memory of a card reads as 00 or FF.
    if matches!(head.first(), None | Some(0x00 | 0xFF)) && head.get(1).is_none_or(|&second| head[0] == second) {
        return Err(refuse(FileError::Blank));
    }
    let header = tlv::header(&head).map_err(|error| refuse(FileError::Header(error)))?;
    let bytes = header.header_bytes.saturating_add(header.value_bytes);
    let bytes_max = bytes_max.min(FILE_BYTES_MAX);
    if bytes > bytes_max {
        return Err(refuse(FileError::TooLarge { bytes, bytes_max }));
    }

    // Reserved at once: growing would leave unwiped copies of a photo behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(bytes.max(head.len())));
    contents.extend_from_slice(&head);
    contents.truncate(bytes);
    let reads_max = 4 + bytes / READ_BYTES_AVERAGE_MIN;
    let mut reads = 1;
    while contents.len() < bytes {
        if reads == reads_max {
            return Err(refuse(FileError::TooManyReads { reads }));
        }
        reads += 1;
        let chunk = read_at(transport, contents.len(), READ_BYTES.min(bytes - contents.len()), what)?;
        if chunk.is_empty() {
            return Err(refuse(FileError::Short { bytes: contents.len(), bytes_claimed: bytes }));
        }
        contents.extend_from_slice(&chunk);
    }
    Ok(contents)
}

/// Up to `length` bytes at `offset`; fewer, or none, where the file ends.
fn read_at<T: Transport + ?Sized>(
    transport: &mut T,
    offset: usize,
    length: usize,
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let refuse = |error: FileError| ReadError::Unreadable { what, why: Unreadable::File(error) };
    let command = u16::try_from(offset)
        .ok()
        .zip(u16::try_from(length).ok())
        .and_then(|(offset, length)| Command::read_binary(offset, length))
        .ok_or_else(|| refuse(FileError::TooLarge { bytes: offset, bytes_max: FILE_BYTES_MAX }))?;
    let response = exchange(transport, &command).map_err(|error| ReadError::exchange(what, error))?;
    match response.status.meaning() {
        Meaning::Ok | Meaning::EndOfFile if response.data.len() > length => Err(refuse(FileError::Overlong)),
        Meaning::Ok | Meaning::EndOfFile => Ok(response.data),
        Meaning::PastEnd => Ok(Zeroizing::new(Vec::new())),
        _ => Err(ReadError::status(what, response.status)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::TransportError;

    /// A card that gives prepared responses, then is gone.
    pub(crate) struct Script {
        responses: Box<dyn Iterator<Item = Vec<u8>>>,
        /// Every command received.
        pub sent: Vec<Vec<u8>>,
    }

    impl Script {
        pub fn new<const N: usize>(responses: [Vec<u8>; N]) -> Self {
            Self { responses: Box::new(responses.into_iter()), sent: Vec::new() }
        }

        pub fn repeating(response: Vec<u8>) -> Self {
            Self { responses: Box::new(std::iter::repeat(response)), sent: Vec::new() }
        }
    }

    impl Transport for Script {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
            self.sent.push(command.to_vec());
            self.responses.next().ok_or(TransportError::CardGone)
        }

        fn reset(&mut self) -> Result<(), TransportError> {
            Ok(())
        }
    }

    /// A card with one file that hands out at most `piece` bytes a read.
    struct OneFile {
        contents: Vec<u8>,
        piece: usize,
        reads: usize,
    }

    impl Transport for OneFile {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
            self.reads += 1;
            let offset = usize::from(u16::from_be_bytes([command[2], command[3]]));
            let wanted = if command[4] == 0 { 256 } else { usize::from(command[4]) };
            let rest = self.contents.get(offset..).unwrap_or_default();
            let mut response = rest[..rest.len().min(wanted).min(self.piece)].to_vec();
            response.extend([0x90, 0x00]);
            Ok(response)
        }

        fn reset(&mut self) -> Result<(), TransportError> {
            Ok(())
        }
    }

    fn file(value_bytes: u16, stored: usize) -> OneFile {
        let mut contents = vec![0x30, 0x82];
        contents.extend(value_bytes.to_be_bytes());
        contents.resize(stored, 0xAB);
        OneFile { contents, piece: 256, reads: 0 }
    }

    fn why(result: Result<Zeroizing<Vec<u8>>, ReadError>) -> FileError {
        match result.unwrap_err() {
            ReadError::Unreadable { why: Unreadable::File(error), .. } => error,
            other => panic!("expected a file error, got {other}"),
        }
    }

    #[test]
    fn a_file_is_read_whole_without_the_padding_behind_it() {
        for (value_bytes, stored) in [(3, 7), (3, 40), (252, 256), (253, 300), (1000, 1004), (32_764, 32_768)] {
            let read = read_selected(&mut file(value_bytes, stored), 0x8000, "a file").unwrap();
            assert_eq!(read.len(), usize::from(value_bytes) + 4);
            assert_eq!(read[..], file(value_bytes, stored).contents[..read.len()]);
        }
    }

    #[test]
    fn a_file_that_claims_more_than_the_limit_is_refused_after_one_read() {
        let mut card = file(5000, 5004);
        assert_eq!(why(read_selected(&mut card, 4096, "a file")), FileError::TooLarge { bytes: 5004, bytes_max: 4096 });
        assert_eq!(card.reads, 1);
    }

    #[test]
    fn a_file_that_ends_before_its_claimed_length_is_refused() {
        assert_eq!(
            why(read_selected(&mut file(1000, 500), 4096, "a file")),
            FileError::Short { bytes: 500, bytes_claimed: 1004 }
        );
    }

    #[test]
    fn a_card_that_gives_one_byte_at_a_time_is_given_up() {
        let mut card = file(4000, 4004);
        // The header still comes whole, so only the crawl behind it can fail.
        card.piece = 7;
        assert!(matches!(why(read_selected(&mut card, 4096, "a file")), FileError::TooManyReads { .. }));
        assert!(card.reads < 100, "{}", card.reads);
    }

    #[test]
    fn a_card_that_returns_more_than_asked_for_is_refused() {
        let mut card = Script::repeating([&[0x30; 200][..], &[0x90, 0x00]].concat());
        assert_eq!(why(read_selected(&mut card, 4096, "a file")), FileError::Overlong);
    }

    #[test]
    fn unwritten_memory_is_a_blank_file() {
        for filling in [0x00, 0xFF] {
            let mut card = Script::repeating([&[filling; 7][..], &[0x90, 0x00]].concat());
            assert_eq!(why(read_selected(&mut card, 4096, "a file")), FileError::Blank);
        }
        assert_eq!(why(read_selected(&mut Script::repeating(vec![0x90, 0x00]), 4096, "a file")), FileError::Blank);
    }
}
