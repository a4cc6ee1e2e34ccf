//! The 4-digit PIN and the scrambled pad it is typed on.
//!
//! A PIN travels from the kiosk as positions on the pad that the server drew; digits exist only between here and the card.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Digits in the PIN of the authentication certificate.
pub const PIN_LENGTH: usize = 4;

/// Four ASCII digits. Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Pin([u8; PIN_LENGTH]);

impl Pin {
    /// The ASCII digits, for the card alone.
    pub fn digits(&self) -> &[u8; PIN_LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(****)")
    }
}

/// Positions that were pressed, in order. As telling as the PIN once the pad is known, so treated alike.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PinKeys([u8; PIN_LENGTH]);

impl PinKeys {
    /// Accepts exactly four positions 0–9.
    pub fn new(positions: &[u8]) -> Option<Self> {
        let positions: [u8; PIN_LENGTH] = positions.try_into().ok()?;
        positions.iter().all(|p| *p < 10).then_some(Self(positions))
    }
}

impl fmt::Debug for PinKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinKeys(****)")
    }
}

/// Which digit stands at which of the ten positions (three rows of three, then one). New for every try.
#[derive(Clone, PartialEq, Eq)]
pub struct Pad([u8; 10]);

impl Pad {
    /// A pad from ten different digits 0–9.
    pub fn new(digits: [u8; 10]) -> Option<Self> {
        let mut seen = [false; 10];
        for digit in digits {
            *seen.get_mut(usize::from(digit))? = true;
        }
        seen.iter().all(|s| *s).then_some(Self(digits))
    }

    /// The digit at each position, for drawing.
    pub fn digits(&self) -> &[u8; 10] {
        &self.0
    }

    /// Reads the PIN off the pressed positions.
    pub fn read(&self, keys: &PinKeys) -> Pin {
        Pin(keys.0.map(|position| b'0' + self.0[usize::from(position)]))
    }
}

impl fmt::Debug for Pad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pad(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_off_the_pad_that_was_drawn() {
        let pad = Pad::new([1, 4, 9, 5, 7, 0, 8, 6, 3, 2]).unwrap();
        let keys = PinKeys::new(&[0, 9, 8, 1]).unwrap();
        assert_eq!(pad.read(&keys).digits(), b"1234");
    }

    #[test]
    fn pads_with_a_digit_twice_and_keys_off_the_pad_do_not_exist() {
        assert!(Pad::new([1, 1, 9, 5, 7, 0, 8, 6, 3, 2]).is_none());
        assert!(Pad::new([10, 4, 9, 5, 7, 0, 8, 6, 3, 2]).is_none());
        assert!(PinKeys::new(&[0, 1, 2]).is_none());
        assert!(PinKeys::new(&[0, 1, 2, 10]).is_none());
        assert!(PinKeys::new(&[0, 1, 2, 3, 4]).is_none());
    }

    #[test]
    fn nothing_about_a_pin_is_ever_printed() {
        let pad = Pad::new([1, 4, 9, 5, 7, 0, 8, 6, 3, 2]).unwrap();
        let keys = PinKeys::new(&[0, 9, 8, 1]).unwrap();
        let pin = pad.read(&keys);
        assert_eq!(format!("{pad:?} {keys:?} {pin:?}"), "Pad(…) PinKeys(****) Pin(****)");
    }
}
