//! Tag-length-value as the card's files use it: one- and two-byte tags, definite lengths (BER-TLV, ISO 7816-4 annex).
//!
//! Nothing here recurses or allocates, and every step moves forward by at least two bytes.

/// Why bytes are not the TLV that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    /// The bytes end inside a tag or length.
    #[error("the record ends inside a tag or a length")]
    Incomplete,
    /// A tag of three or more bytes.
    #[error("a tag of more than two bytes")]
    LongTag,
    /// An indefinite length, or one of more than four bytes.
    #[error("a length that is indefinite or longer than four bytes")]
    BadLength,
    /// A value that claims to be longer than what holds it.
    #[error("a value that reaches past the end of what holds it")]
    Overrun,
    /// Another tag than the file is known to start with.
    #[error("tag {found:04X} where {expected:04X} was expected")]
    UnexpectedTag {
        /// The tag in the data.
        found: u16,
        /// The tag of the specification.
        expected: u16,
    },
}

/// A tag and a length, and where the value starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// `0x30`, `0xDF27`, …
    pub tag: u16,
    /// Bytes of tag and length together.
    pub header_bytes: usize,
    /// Bytes of the value as claimed; nothing is known yet about whether they exist.
    pub value_bytes: usize,
}

/// Longest header: two bytes of tag, five of length.
pub(crate) const HEADER_BYTES_MAX: usize = 7;

/// Reads the header at the start of `bytes`.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, TlvError> {
    let (&first, rest) = bytes.split_first().ok_or(TlvError::Incomplete)?;
    let (tag, rest) = if first & 0x1F == 0x1F {
        let (&second, rest) = rest.split_first().ok_or(TlvError::Incomplete)?;
        if second & 0x80 != 0 {
            return Err(TlvError::LongTag);
        }
        (u16::from_be_bytes([first, second]), rest)
    } else {
        (u16::from(first), rest)
    };
    let (&length, rest) = rest.split_first().ok_or(TlvError::Incomplete)?;
    let (value_bytes, rest) = match length {
        0..=0x7F => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7F)).ok_or(TlvError::Incomplete)?;
            (digits.iter().fold(0_usize, |sum, &digit| (sum << 8) | usize::from(digit)), rest)
        }
        _ => return Err(TlvError::BadLength),
    };
    Ok(Header { tag, header_bytes: bytes.len() - rest.len(), value_bytes })
}

/// The value of the one record that `bytes` hold, which must carry the tag `expected`.
pub(crate) fn value(bytes: &[u8], expected: u16) -> Result<&[u8], TlvError> {
    let header = header(bytes)?;
    if header.tag != expected {
        return Err(TlvError::UnexpectedTag { found: header.tag, expected });
    }
    let end = header.header_bytes.checked_add(header.value_bytes).ok_or(TlvError::Overrun)?;
    bytes.get(header.header_bytes..end).ok_or(TlvError::Overrun)
}

/// The value of the first record with `tag` among the records in `bytes`; `None` when there is none.
pub(crate) fn find(mut bytes: &[u8], tag: u16) -> Result<Option<&[u8]>, TlvError> {
    while !bytes.is_empty() {
        let header = header(bytes)?;
        let rest = bytes.get(header.header_bytes..).ok_or(TlvError::Overrun)?;
        let (value, rest) = rest.split_at_checked(header.value_bytes).ok_or(TlvError::Overrun)?;
        if header.tag == tag {
            return Ok(Some(value));
        }
        bytes = rest;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_read_in_every_length_form() {
        let cases: [(&[u8], u16, usize, usize); 5] = [
            (&[0x30, 0x03], 0x30, 2, 3),
            (&[0x30, 0x82, 0x05, 0xDC], 0x30, 4, 1500),
            (&[0xFF, 0x20, 0x82, 0x01, 0x00], 0xFF20, 5, 256),
            (&[0xDF, 0x27, 0x81, 0x80], 0xDF27, 4, 128),
            (&[0xDF, 0x27, 0x84, 0, 1, 0, 0], 0xDF27, 7, 65_536),
        ];
        for (bytes, tag, header_bytes, value_bytes) in cases {
            assert_eq!(header(bytes), Ok(Header { tag, header_bytes, value_bytes }), "{bytes:02X?}");
        }
    }

    #[test]
    fn broken_headers_are_refused() {
        assert_eq!(header(&[]), Err(TlvError::Incomplete));
        assert_eq!(header(&[0xDF]), Err(TlvError::Incomplete));
        assert_eq!(header(&[0x30, 0x82, 0x05]), Err(TlvError::Incomplete));
        assert_eq!(header(&[0x30, 0x80]), Err(TlvError::BadLength));
        assert_eq!(header(&[0x30, 0x85, 1, 1, 1, 1, 1]), Err(TlvError::BadLength));
        assert_eq!(header(&[0xDF, 0x81, 0x01, 0x00]), Err(TlvError::LongTag));
    }

    #[test]
    fn a_record_is_found_behind_others_and_an_overrun_is_refused() {
        let records = [0xDF, 0x22, 1, 7, 0xDF, 0x27, 2, 8, 9];
        assert_eq!(find(&records, 0xDF27), Ok(Some(&[8, 9][..])));
        assert_eq!(find(&records, 0xDF29), Ok(None));
        assert_eq!(find(&[0xDF, 0x22, 100, 7], 0xDF27), Err(TlvError::Overrun));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), tag: u16) {
            let _ = header(&bytes);
            let _ = value(&bytes, tag);
            let _ = find(&bytes, tag);
        }
    }
}
