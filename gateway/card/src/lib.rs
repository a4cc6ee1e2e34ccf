//! The My Number Card (マイナンバーカード) as a check-in gateway meets it.
//!
//! Everything goes through a [`Transport`]: bytes to a card, bytes back. On top of it stand the two card applications
//! that matter at a reception desk, JPKI (公的個人認証) and the card surface (券面確認), and [`read_card`], the one call
//! that reads a card which has just been placed.
//!
//! What the crate promises:
//!
//! - No clock, no randomness, no I/O of its own: instants are passed in as unix milliseconds, bytes go through the transport.
//! - Whatever a card answers — truncated, lying, endless — a call returns: an error, never a panic and never a loop.
//! - A signature is checked against the certificate before it is handed out.
//! - A wrong PIN or number is sent once; the crate never retries a command that costs a try.
//! - PIN, number, certificate and photo are redacted in `Debug`, have no `Display`, and PIN, number and photo are wiped when dropped.
//!
//! What it cannot do, by design of the card: tell whether a certificate is revoked (only the central system knows), and
//! use the authentication key without a PIN (that needs a terminal certificate).

pub mod apdu;
mod certificate;
mod error;
mod file;
pub mod jpki;
mod limits;
mod pin;
mod read;
mod reference;
pub mod slot;
pub mod surface;
mod tlv;
mod transport;
mod trust;
#[cfg(feature = "virtual")]
pub mod virtual_card;
mod x509;

pub use certificate::{AuthCertificate, CertificateError, CertificateSerial, SignatureInvalid};
pub use error::{Class, ReadError, SignError, Unreadable};
pub use file::FileError;
pub use jpki::{Jpki, PinStatus, PinVerification};
pub use limits::Limits;
pub use pin::{Pin, PinFormatError};
pub use read::{CardReading, read_card};
pub use slot::SlotRequest;
pub use surface::{NumberBFormatError, NumberBVerification, Photo, PhotoUnavailable, Surface, VerificationNumberB};
pub use tlv::TlvError;
pub use transport::{Transport, TransportError};
pub use trust::{AnchorError, ChainError, TrustAnchors};
#[cfg(feature = "virtual")]
pub use virtual_card::{Faults, VirtualCard, VirtualCardError, VirtualCardSpec};
