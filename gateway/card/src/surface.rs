//! The card-surface application (券面確認): the photo in the chip.
//!
//! The photo is locked by 照合番号B, a number printed on the card; ten wrong ones lock it (two independent
//! implementations; one table says three, so tries are always taken from the card). The number is never guessed and
//! never sent twice.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::apdu::{Aid, Command, Meaning, exchange};
use crate::reference::{self, Comparison};
use crate::tlv::{self, TlvError};
use crate::{Limits, ReadError, Transport, Unreadable, file};

/// Identifier of the card-surface application.
pub const AID: Aid = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x02];
/// File with the picture of the card's front, opened by 照合番号B.
pub const SURFACE_FILE: u16 = 0x0002;
/// File that compares 照合番号B.
pub const NUMBER_B: u16 = 0x0012;
/// Tag of the whole record in [`SURFACE_FILE`].
pub const TAG_SURFACE: u16 = 0xFF20;
/// Tag of the photo inside it: JPEG 2000 (JP2), greyscale.
pub const TAG_PHOTO: u16 = 0xDF27;

/// 照合番号B, 14 digits as printed on the card: birth date in era form YYMMDD, year of expiry YYYY, security code (4).
///
/// It reveals a birth date: wiped when dropped, redacted in `Debug`, without `Display`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct VerificationNumberB([u8; VerificationNumberB::DIGITS]);

impl VerificationNumberB {
    /// How many digits the number has.
    pub const DIGITS: usize = 14;

    /// Takes fourteen ASCII digits.
    ///
    /// # Errors
    /// [`NumberBFormatError`] when it is anything else; nothing has been sent to a card, no try is spent.
    pub fn from_ascii(digits: &[u8]) -> Result<Self, NumberBFormatError> {
        let Ok(fourteen) = <[u8; Self::DIGITS]>::try_from(digits) else {
            return Err(NumberBFormatError::Length { bytes: digits.len() });
        };
        if !fourteen.iter().all(u8::is_ascii_digit) {
            return Err(NumberBFormatError::NotADigit);
        }
        Ok(Self(fourteen))
    }

    /// The digits as the card wants them. The caller keeps no copy.
    #[must_use]
    pub fn expose_ascii(&self) -> &[u8; Self::DIGITS] {
        &self.0
    }
}

impl fmt::Debug for VerificationNumberB {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerificationNumberB(redacted)")
    }
}

/// The input is not a 照合番号B. It says nothing about the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberBFormatError {
    /// Not fourteen bytes.
    #[error("verification number B has 14 digits, got {bytes} bytes; read the front of the card again")]
    Length {
        /// Bytes given.
        bytes: usize,
    },
    /// Something other than 0-9.
    #[error("verification number B consists of the digits 0-9 alone; read the front of the card again")]
    NotADigit,
}

/// The photo from the chip: a JP2 file, grey. Wiped when dropped, redacted in `Debug`. Nothing has decoded it yet.
#[derive(Clone)]
pub struct Photo(Zeroizing<Vec<u8>>);

impl Photo {
    /// The JP2 file.
    #[must_use]
    pub fn jp2_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Hands over the JP2 file, still wiped when dropped.
    #[must_use]
    pub fn into_jp2_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl fmt::Debug for Photo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Photo(redacted)")
    }
}

/// Why there is no photo to compare a face with. The card stays usable by PIN and visual check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhotoUnavailable {
    /// Nobody read the number on the front. Staff may key it in.
    #[error("the photo needs verification number B from the front of the card; let staff key it in or use the PIN")]
    NoNumberB,
    /// The number does not belong to this card. Read the front again, without guessing.
    #[error("the card refused verification number B, {tries_left} tries left; read the front of the card again")]
    WrongNumberB {
        /// Tries left on the card.
        tries_left: u8,
    },
    /// Too many wrong numbers. The municipality resets it.
    #[error("verification number B is locked on this card; use the PIN or a visual check")]
    Locked,
    /// The card stores no photo.
    #[error("the card stores no photo; use the PIN or a visual check")]
    Absent,
    /// The record around the photo contradicts itself.
    #[error("the photo record on the card is damaged: {0}; use the PIN or a visual check")]
    Corrupt(TlvError),
    /// The photo is larger than the limit.
    #[error(
        "the photo on the card has {bytes} bytes where at most {bytes_max} are accepted; use the PIN or a visual check"
    )]
    TooLarge {
        /// Size of the photo.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
    /// The application did not answer usably. Placing the card again may help.
    #[error("the photo could not be read: {0}; place the card again, or use the PIN or a visual check")]
    Unreadable(Unreadable),
}

/// The outcome of one comparison of 照合番号B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberBVerification {
    /// Right; the surface file is open until reset, removal or selection of another application.
    Verified,
    /// Wrong; so many tries are left, one at least.
    Wrong {
        /// Tries left on the card.
        tries_left: u8,
    },
    /// Wrong for the last time, or locked before.
    Locked,
}

/// A session with the selected card-surface application. It ends when another application is selected.
pub struct Surface<'t, T: Transport + ?Sized> {
    transport: &'t mut T,
}

impl<'t, T: Transport + ?Sized> Surface<'t, T> {
    /// Selects the application; `None` when the card does not have it.
    ///
    /// # Errors
    /// The card or reader failed.
    pub fn select(transport: &'t mut T) -> Result<Option<Self>, ReadError> {
        const WHAT: &str = "selecting the card-surface application";
        let response = exchange(transport, &Command::select_application(&AID))
            .map_err(|error| ReadError::exchange(WHAT, error))?;
        match response.status.meaning() {
            Meaning::Ok => Ok(Some(Self { transport })),
            Meaning::NotFound => Ok(None),
            _ => Err(ReadError::status(WHAT, response.status)),
        }
    }

    /// Has the card compare 照合番号B, once. A wrong one costs a try.
    ///
    /// # Errors
    /// The card or reader failed; whether a try was spent is unknown then.
    pub fn verify_number_b(&mut self, number: &VerificationNumberB) -> Result<NumberBVerification, ReadError> {
        const WHAT: &str = "verifying verification number B";
        Ok(match reference::compare(self.transport, NUMBER_B, number.expose_ascii(), WHAT)? {
            Comparison::Verified => NumberBVerification::Verified,
            Comparison::Wrong { tries_left } => NumberBVerification::Wrong { tries_left },
            Comparison::Locked => NumberBVerification::Locked,
        })
    }

    /// Reads the photo after [`Surface::verify_number_b`].
    ///
    /// # Errors
    /// Outer: the card or reader failed. Inner: the card answered, but has no usable photo.
    pub fn photo(&mut self, limits: &Limits) -> Result<Result<Photo, PhotoUnavailable>, ReadError> {
        const WHAT: &str = "reading the photo";
        if !file::select(self.transport, SURFACE_FILE, WHAT)? {
            return Ok(Err(PhotoUnavailable::Absent));
        }
        let record = file::read_selected(self.transport, limits.surface_file_bytes_max, WHAT)?;
        let photo = tlv::value(&record, TAG_SURFACE).and_then(|records| tlv::find(records, TAG_PHOTO));
        Ok(match photo {
            Err(error) => Err(PhotoUnavailable::Corrupt(error)),
            Ok(None | Some([])) => Err(PhotoUnavailable::Absent),
            Ok(Some(jp2)) if jp2.len() > limits.photo_bytes_max => {
                Err(PhotoUnavailable::TooLarge { bytes: jp2.len(), bytes_max: limits.photo_bytes_max })
            }
            Ok(Some(jp2)) => Ok(Photo(Zeroizing::new(jp2.to_vec()))),
        })
    }
}

/// From number to photo in one call. Ends with the card-surface application selected.
///
/// # Errors
/// Outer: only [`ReadError::CardGone`] and [`ReadError::ReaderFailed`], for then the whole reception is affected. Inner:
/// everything that leaves the card usable without its photo.
pub fn read_photo<T: Transport + ?Sized>(
    transport: &mut T,
    number: &VerificationNumberB,
    limits: &Limits,
) -> Result<Result<Photo, PhotoUnavailable>, ReadError> {
    match unlock_and_read(transport, number, limits) {
        Err(ReadError::Unreadable { why, .. }) => Ok(Err(PhotoUnavailable::Unreadable(why))),
        other => other,
    }
}

fn unlock_and_read<T: Transport + ?Sized>(
    transport: &mut T,
    number: &VerificationNumberB,
    limits: &Limits,
) -> Result<Result<Photo, PhotoUnavailable>, ReadError> {
    let Some(mut surface) = Surface::select(transport)? else {
        return Ok(Err(PhotoUnavailable::Absent));
    };
    match surface.verify_number_b(number)? {
        NumberBVerification::Verified => surface.photo(limits),
        NumberBVerification::Wrong { tries_left } => Ok(Err(PhotoUnavailable::WrongNumberB { tries_left })),
        NumberBVerification::Locked => Ok(Err(PhotoUnavailable::Locked)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::tests::Script;

    /// A card that accepts every selection and number and holds `file`.
    fn read_from(file: &[u8]) -> PhotoUnavailable {
        let ok = || vec![0x90, 0x00];
        let head = [&file[..file.len().min(7)], &[0x90, 0x00]].concat();
        let rest = [&file[file.len().min(7)..], &[0x90, 0x00]].concat();
        let mut card = Script::new([ok(), ok(), ok(), ok(), head, rest]);
        let number = VerificationNumberB::from_ascii(b"55010120301234").unwrap();
        read_photo(&mut card, &number, &Limits::default()).unwrap().unwrap_err()
    }

    #[test]
    fn a_damaged_record_is_told_as_such() {
        let overrun = [0xFF, 0x20, 5, 0xDF, 0x27, 100, 1, 2];
        assert_eq!(read_from(&overrun), PhotoUnavailable::Corrupt(TlvError::Overrun));
        let indefinite = [0xFF, 0x20, 5, 0xDF, 0x27, 0x80, 1, 2];
        assert_eq!(read_from(&indefinite), PhotoUnavailable::Corrupt(TlvError::BadLength));
        let other = [0x30, 6, 0xDF, 0x27, 3, 1, 2, 3];
        let unexpected = TlvError::UnexpectedTag { found: 0x30, expected: TAG_SURFACE };
        assert_eq!(read_from(&other), PhotoUnavailable::Corrupt(unexpected));
    }

    #[test]
    fn a_record_without_photo_is_no_damage() {
        assert_eq!(read_from(&[0xFF, 0x20, 5, 0xDF, 0x22, 2, 1, 2]), PhotoUnavailable::Absent);
        assert_eq!(read_from(&[0xFF, 0x20, 5, 0xDF, 0x27, 0, 0x30, 0]), PhotoUnavailable::Absent);
    }

    #[test]
    fn only_fourteen_ascii_digits_are_a_number_b() {
        assert_eq!(VerificationNumberB::from_ascii(b"123").unwrap_err(), NumberBFormatError::Length { bytes: 3 });
        assert_eq!(VerificationNumberB::from_ascii(b"12345678901a34").unwrap_err(), NumberBFormatError::NotADigit);
        assert_eq!(VerificationNumberB::from_ascii(b"55010120301234").unwrap().expose_ascii(), b"55010120301234");
    }

    #[test]
    fn debug_shows_neither_number_nor_photo() {
        let number = VerificationNumberB::from_ascii(b"55010120301234").unwrap();
        assert_eq!(format!("{number:?}"), "VerificationNumberB(redacted)");
        assert_eq!(format!("{:?}", Photo(Zeroizing::new(b"face".to_vec()))), "Photo(redacted)");
    }
}
