//! Personal values as they lie on disk.
//!
//! Promises:
//! * On disk: key id (4 bytes) ‖ random nonce (24 bytes) ‖ XChaCha20-Poly1305 ciphertext. Two seals of one value differ.
//! * A value opens only in the table, column and row that it was sealed for: a copied or altered one is detected.
//! * The plaintext is wiped from our buffers; neither it nor the ciphertext is printed.

use super::keys::{KeyId, Keys};
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use std::fmt;
use std::marker::PhantomData;
use uketsuke_core::consent::Consent;
use uketsuke_core::record::Evidence;
use zeroize::Zeroizing;

const KEY_ID_BYTES: usize = size_of::<KeyId>();
const NONCE_BYTES: usize = 24;

/// Where a sealed value belongs.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    pub(super) row: &'a [u8],
}

/// A value that can be sealed.
pub(super) trait Plain: Sized {
    fn to_plain(&self) -> Zeroizing<Vec<u8>>;
    fn from_plain(plain: Zeroizing<Vec<u8>>) -> Option<Self>;
}

/// A sealed `T`.
pub(super) struct Sealed<T> {
    bytes: Vec<u8>,
    what: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.bytes.len())
    }
}

/// Why a value or a row is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It was altered or moved.
    Altered,
    /// It was sealed with a key that is not held.
    NoKey(KeyId),
}

impl<T: Plain> Sealed<T> {
    /// Seals `value` for one place.
    pub(super) fn seal(keys: &Keys, place: Place<'_>, value: &T) -> Self {
        let key = keys.sealing();
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let plain = value.to_plain();
        let payload = Payload { msg: &plain, aad: &associated(place) };
        #[expect(clippy::expect_used, reason = "fails only beyond 256 GB; values are at most 64 KiB")]
        let cipher =
            XChaCha20Poly1305::new((&*key.secret).into()).encrypt(&nonce, payload).expect("a value is at most 64 KiB");
        let mut bytes = Vec::with_capacity(KEY_ID_BYTES + NONCE_BYTES + cipher.len());
        bytes.extend_from_slice(&key.id);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&cipher);
        Self { bytes, what: PhantomData }
    }

    /// Opens the value in its place.
    pub(super) fn open(&self, keys: &Keys, place: Place<'_>) -> Result<T, Unreadable> {
        let (id, rest) = self.bytes.split_first_chunk::<KEY_ID_BYTES>().ok_or(Unreadable::Altered)?;
        let (nonce, cipher) = rest.split_at_checked(NONCE_BYTES).ok_or(Unreadable::Altered)?;
        let key = keys.opening(*id).ok_or(Unreadable::NoKey(*id))?;
        let payload = Payload { msg: cipher, aad: &associated(place) };
        let plain = XChaCha20Poly1305::new((&*key.secret).into()).decrypt(XNonce::from_slice(nonce), payload);
        let plain = Zeroizing::new(plain.map_err(|_| Unreadable::Altered)?);
        T::from_plain(plain).ok_or(Unreadable::Altered)
    }

    /// What the database held.
    pub(super) fn from_disk(bytes: Vec<u8>) -> Self {
        Self { bytes, what: PhantomData }
    }

    /// What the database is to hold.
    pub(super) fn into_disk(self) -> Vec<u8> {
        self.bytes
    }
}

/// Lengths in front, so that no two places give the same bytes.
fn associated(place: Place<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    for part in [place.table.as_bytes(), place.column.as_bytes(), place.row] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Bodies and answers, byte for byte.
impl Plain for Zeroizing<Vec<u8>> {
    fn to_plain(&self) -> Zeroizing<Vec<u8>> {
        self.clone()
    }
    fn from_plain(plain: Zeroizing<Vec<u8>>) -> Option<Self> {
        Some(plain)
    }
}

/// A similarity measured on somebody's face.
impl Plain for f32 {
    fn to_plain(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.to_le_bytes().to_vec())
    }
    fn from_plain(plain: Zeroizing<Vec<u8>>) -> Option<Self> {
        Some(f32::from_le_bytes(plain.as_slice().try_into().ok()?))
    }
}

/// As JSON: kinds and fields may be added later.
macro_rules! plain_json {
    ($($type:ty),*) => {$(
        impl Plain for $type {
            fn to_plain(&self) -> Zeroizing<Vec<u8>> {
                // These types have no maps: writing them cannot fail, and an empty value would not open.
                Zeroizing::new(serde_json::to_vec(self).unwrap_or_default())
            }
            fn from_plain(plain: Zeroizing<Vec<u8>>) -> Option<Self> {
                serde_json::from_slice(&plain).ok()
            }
        }
    )*};
}
plain_json!(Vec<Consent>, Evidence, Vec<super::papers::Paper>);

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static> = Place { table: "outbox", column: "body", row: b"row-1" };

    fn body(text: &str) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_sealed_value_opens_in_its_place() {
        let keys = Keys::random();
        assert_eq!(Sealed::seal(&keys, HERE, &body("山田")).open(&keys, HERE).unwrap(), body("山田"));
        assert_eq!(Sealed::seal(&keys, HERE, &0.68f32).open(&keys, HERE), Ok(0.68));
        assert_eq!(Sealed::<Vec<Consent>>::seal(&keys, HERE, &vec![]).open(&keys, HERE), Ok(vec![]));
    }

    #[test]
    fn two_seals_of_one_value_differ_and_hide_it() {
        let keys = Keys::random();
        let first = Sealed::seal(&keys, HERE, &body("MARKED-PATIENT")).into_disk();
        let second = Sealed::seal(&keys, HERE, &body("MARKED-PATIENT")).into_disk();
        assert_ne!(first, second);
        assert!(!first.windows(6).any(|w| w == b"MARKED"));
    }

    #[test]
    fn a_value_moved_to_another_table_column_or_row_does_not_open() {
        let keys = Keys::random();
        let sealed = Sealed::seal(&keys, HERE, &body("x"));
        for elsewhere in [
            Place { table: "receptions", ..HERE },
            Place { column: "answer", ..HERE },
            Place { row: b"row-2", ..HERE },
            Place { table: "outboxb", column: "ody", ..HERE },
        ] {
            assert_eq!(sealed.open(&keys, elsewhere), Err(Unreadable::Altered));
        }
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let keys = Keys::random();
        let bytes = Sealed::seal(&keys, HERE, &body("山田")).into_disk();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let opened = Sealed::<Zeroizing<Vec<u8>>>::from_disk(flipped).open(&keys, HERE);
            assert!(opened.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_value_cut_short_or_sealed_with_another_key_does_not_open() {
        let keys = Keys::random();
        let bytes = Sealed::seal(&keys, HERE, &body("x")).into_disk();
        for length in 0..bytes.len() {
            let cut = Sealed::<Zeroizing<Vec<u8>>>::from_disk(bytes[..length].to_vec());
            assert_eq!(cut.open(&keys, HERE), Err(Unreadable::Altered));
        }
        let whole = Sealed::<Zeroizing<Vec<u8>>>::from_disk(bytes);
        assert_eq!(whole.open(&Keys::random(), HERE), Err(Unreadable::NoKey(keys.sealing().id)));
    }
}
