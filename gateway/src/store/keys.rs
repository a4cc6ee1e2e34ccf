//! The store's secrets.
//!
//! Promises:
//! * The sealing key can be replaced while the store is in use (hence its id; [`super::rotation`]); the lasting key never is: the
//!   order of one patient's requests, the row checks and the fingerprints of settled requests depend on it. Three keys are derived
//!   from it by HMAC labels.
//! * Key material is wiped when the last handle goes, and never printed.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use uketsuke_core::ids::OrderKey;
use zeroize::Zeroizing;

/// Which sealing key a value was sealed with; stands in front of every sealed value.
pub(super) type KeyId = [u8; 4];

pub(super) const KEY_BYTES: usize = 32;

/// The store's keys; a cheap handle.
#[derive(Clone)]
pub struct Keys(Arc<Secrets>);

struct Secrets {
    ring: RwLock<Ring>,
    lasting: Zeroizing<[u8; KEY_BYTES]>,
    order: Zeroizing<[u8; KEY_BYTES]>,
    row: Zeroizing<[u8; KEY_BYTES]>,
    body: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys(…)")
    }
}

/// A key that values are sealed with.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SealingKey {
    pub(super) id: KeyId,
    pub(super) secret: Zeroizing<[u8; KEY_BYTES]>,
}

/// The keys that open values; the current one seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) current: SealingKey,
    /// The one that is being replaced, as long as values of it may be left.
    pub(super) former: Option<SealingKey>,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", id_word(&self.id))
    }
}

impl SealingKey {
    /// A new one, with an id that none of `others` has.
    pub(super) fn random(others: &[&KeyId]) -> Self {
        let mut random = rand::rng();
        let mut key = Self { id: KeyId::default(), secret: Zeroizing::new([0; KEY_BYTES]) };
        rand::RngCore::fill_bytes(&mut random, key.secret.as_mut_slice());
        loop {
            rand::RngCore::fill_bytes(&mut random, &mut key.id);
            if !others.contains(&&key.id) {
                return key;
            }
        }
    }
}

/// A key's id as people read it.
pub(super) fn id_word(id: &[u8]) -> String {
    hex::encode(id)
}

impl Keys {
    /// New keys that are written nowhere: for a store that need not outlive the process.
    pub fn random() -> Self {
        let mut lasting = Zeroizing::new([0; KEY_BYTES]);
        rand::RngCore::fill_bytes(&mut rand::rng(), lasting.as_mut_slice());
        Self::from_secrets(Ring { current: SealingKey::random(&[]), former: None }, lasting)
    }

    /// The ids of the key that seals and of the one that is being replaced.
    pub fn ids(&self) -> (String, Option<String>) {
        let ring = self.read();
        (id_word(&ring.current.id), ring.former.as_ref().map(|former| id_word(&former.id)))
    }

    /// The key that groups this card's requests; `serial` is the serial number of the card's certificate.
    pub fn order_key(&self, serial: &[u8]) -> OrderKey {
        OrderKey(hmac(&self.0.order, &[serial]))
    }

    /// The fingerprint of what a request says, whoever signs it: tells "the same again" from "another body", also after the body is gone.
    pub(super) fn body_mac(&self, body: &[u8]) -> [u8; 32] {
        hmac(&self.0.body, &[body])
    }

    /// Proves that a database belongs to these keys and is sealed with `key`, without opening anything in it.
    pub(super) fn check(&self, key: &SealingKey, store_id: &[u8]) -> [u8; 32] {
        hmac(&self.0.lasting, &[b"uketsuke key check", &key.id, key.secret.as_slice(), store_id])
    }

    /// Proves that a database belongs to these keys, whichever of them seals it.
    pub(super) fn store_check(&self, store_id: &[u8]) -> [u8; 32] {
        hmac(&self.0.lasting, &[b"uketsuke store check", store_id])
    }

    pub(super) fn row_key(&self) -> &[u8; KEY_BYTES] {
        &self.0.row
    }

    /// The key that seals.
    pub(super) fn sealing(&self) -> SealingKey {
        self.read().current.clone()
    }

    /// The key with this id, if it is held.
    pub(super) fn opening(&self, id: KeyId) -> Option<SealingKey> {
        let ring = self.read();
        std::iter::once(&ring.current).chain(&ring.former).find(|key| key.id == id).cloned()
    }

    pub(super) fn ring(&self) -> Ring {
        self.read().clone()
    }

    /// From now on `ring` is what these handles hold, all of them.
    pub(super) fn set_ring(&self, ring: Ring) {
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// Whether both are the keys of one store, whatever seals at the moment.
    pub(super) fn same_store(&self, other: &Self) -> bool {
        *self.0.lasting == *other.0.lasting
    }

    pub(super) fn lasting(&self) -> &[u8] {
        self.0.lasting.as_slice()
    }

    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn from_secrets(ring: Ring, lasting: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let derive = |label: &[u8]| Zeroizing::new(hmac(&lasting, &[label]));
        let (order, row, body) =
            (derive(b"uketsuke order key"), derive(b"uketsuke row mac"), derive(b"uketsuke body mac"));
        Self(Arc::new(Secrets { ring: RwLock::new(ring), lasting, order, row, body }))
    }
}

fn hmac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_nothing_of_themselves() {
        assert_eq!(format!("{:?}", Keys::random()), "Keys(…)");
    }

    #[test]
    fn a_new_key_has_an_id_of_its_own() {
        let first = SealingKey::random(&[]);
        for _ in 0..100 {
            assert_ne!(SealingKey::random(&[&first.id]).id, first.id);
        }
    }
}
