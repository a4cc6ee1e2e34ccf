//! The 4-digit PIN of the authentication certificate (利用者証明用電子証明書の暗証番号).

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Exactly four ASCII digits. Wiped when dropped, redacted in `Debug`, without `Display`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pin([u8; Pin::DIGITS]);

impl Pin {
    /// How many digits the PIN has (JPKI).
    pub const DIGITS: usize = 4;

    /// Takes four ASCII digits.
    ///
    /// # Errors
    /// [`PinFormatError`] when it is anything else; nothing has been sent to a card, no try is spent.
    pub fn from_ascii(digits: &[u8]) -> Result<Self, PinFormatError> {
        match <[u8; Self::DIGITS]>::try_from(digits) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            _ => Err(PinFormatError),
        }
    }

    /// The digits as the card wants them: four ASCII bytes. The caller keeps no copy.
    #[must_use]
    pub fn expose_ascii(&self) -> &[u8; Self::DIGITS] {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(redacted)")
    }
}

/// The input is not a PIN. It says nothing about the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a PIN needs exactly 4 digits 0-9; ask the patient to type it again")]
pub struct PinFormatError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_ascii_digits_are_a_pin() {
        for wrong in ["", "123", "12345", "12a4", "１２３４", "12 4", "-123"] {
            assert_eq!(Pin::from_ascii(wrong.as_bytes()).unwrap_err(), PinFormatError, "{wrong:?}");
        }
        assert_eq!(Pin::from_ascii(b"0420").unwrap().expose_ascii(), b"0420");
    }

    #[test]
    fn debug_shows_no_digit() {
        let shown = format!("{:?}", Pin::from_ascii(b"7391").unwrap());
        assert!(!shown.chars().any(|c| c.is_ascii_digit()), "{shown}");
    }
}
