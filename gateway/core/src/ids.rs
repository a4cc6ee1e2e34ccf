//! Names of things: UUIDv7 ids made by the shell, and the key that groups one patient's requests.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// One patient's visit to one reader, from card placed to card removed. UUIDv7.
    ReceptionId
}
uuid_id! {
    /// One request in the outbox; its idempotency key at the destination. UUIDv7.
    RequestId
}

/// HMAC-SHA-256 of the card's certificate serial under a key that never rotates: requests with the same key belong to
/// one patient and keep their order. Says nothing about the person without the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderKey(pub [u8; 32]);

impl fmt::Debug for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Eight hex digits tell keys apart in a log and cannot serve as a lasting pseudonym of a patient.
        write!(f, "OrderKey({:02x}{:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}
