//! The JPKI application (公的個人認証): authentication certificate, PIN, signature.
//!
//! Files of the application (OpenSC `pkcs15-jpki.c`; confirmed by independent implementations): `000A` authentication
//! certificate and `000B` its CA, both free to read; `0017` authentication key, opened by the PIN in `0018` (4 digits,
//! 3 tries over all readers and days, one success resets).

use sha2::{Digest, Sha256};

use crate::apdu::{Aid, Command, Meaning, exchange};
use crate::reference::{self, Comparison, State};
use crate::{AuthCertificate, FileError, Limits, Pin, ReadError, SignError, Transport, Unreadable, file};

/// Identifier of the JPKI application.
pub const AID: Aid = [0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
/// File of the authentication certificate (利用者証明用電子証明書).
pub const AUTHENTICATION_CERTIFICATE: u16 = 0x000A;
/// File of the CA certificate that issued it.
pub const AUTHENTICATION_CA_CERTIFICATE: u16 = 0x000B;
/// File of the authentication key.
pub const AUTHENTICATION_KEY: u16 = 0x0017;
/// File of the authentication PIN.
pub const AUTHENTICATION_PIN: u16 = 0x0018;
/// Wrong PINs until the card locks it (JPKI FAQ).
pub const PIN_TRIES: u8 = 3;

/// DER of DigestInfo for SHA-256 up to the digest itself (RFC 8017, 9.2 note 1).
const SHA256_DIGEST_INFO_PREFIX: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// What can be done with the PIN, without having tried one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinStatus {
    /// A PIN may be typed; so many wrong ones are allowed, the last of them locks.
    TriesLeft(u8),
    /// Already verified since the last reset; the card does not say how many tries are left.
    Verified,
    /// Locked. The municipality (or the phone application and a convenience store) resets it; face and visual check
    /// still work.
    Locked,
    /// The card has no PIN (顔認証マイナンバーカード): face or visual check only. How such cards answer is not published;
    /// one that reports its PIN as [`PinStatus::Locked`] leads to the same screens.
    NoPin,
}

/// The outcome of one PIN entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinVerification {
    /// Right; the counter is full again and the key is open until reset or removal.
    Verified,
    /// Wrong; so many tries are left, one at least.
    Wrong {
        /// Tries left on the card.
        tries_left: u8,
    },
    /// Wrong for the last time, locked before, or the card has no PIN. Offer face or visual check.
    Locked,
}

/// A session with the selected JPKI application. It ends when another application is selected.
pub struct Jpki<'t, T: Transport + ?Sized> {
    transport: &'t mut T,
}

impl<'t, T: Transport + ?Sized> Jpki<'t, T> {
    /// Selects the application.
    ///
    /// # Errors
    /// [`ReadError::NotMyNumberCard`] when the card does not have it; otherwise the card or reader failed.
    pub fn select(transport: &'t mut T) -> Result<Self, ReadError> {
        const WHAT: &str = "selecting the JPKI application";
        let response = exchange(transport, &Command::select_application(&AID))
            .map_err(|error| ReadError::exchange(WHAT, error))?;
        match response.status.meaning() {
            Meaning::Ok => Ok(Self { transport }),
            // Licences, transit and bank cards decline in one of these ways.
            Meaning::NotFound | Meaning::NotSupported | Meaning::WrongLength => Err(ReadError::NotMyNumberCard),
            _ => Err(ReadError::status(WHAT, response.status)),
        }
    }

    /// Reads and parses the authentication certificate. Needs no PIN. Nothing is verified yet: see
    /// [`crate::TrustAnchors::verify_chain`].
    ///
    /// # Errors
    /// [`ReadError::NoCertificate`], [`ReadError::BadCertificate`], or the card or reader failed.
    pub fn authentication_certificate(&mut self, limits: &Limits) -> Result<AuthCertificate, ReadError> {
        let der = self.certificate_der(AUTHENTICATION_CERTIFICATE, limits, "reading the authentication certificate")?;
        Ok(AuthCertificate::from_der(&der)?)
    }

    /// Reads the CA certificate stored on the card, as DER. It is what the card claims, so never a trust anchor.
    ///
    /// # Errors
    /// As for [`Jpki::authentication_certificate`].
    pub fn ca_certificate_der(&mut self, limits: &Limits) -> Result<Vec<u8>, ReadError> {
        self.certificate_der(AUTHENTICATION_CA_CERTIFICATE, limits, "reading the CA certificate")
    }

    fn certificate_der(&mut self, id: u16, limits: &Limits, what: &'static str) -> Result<Vec<u8>, ReadError> {
        if !file::select(self.transport, id, what)? {
            return Err(ReadError::NoCertificate);
        }
        match file::read_selected(self.transport, limits.certificate_bytes_max, what) {
            Ok(contents) => Ok(contents.to_vec()),
            Err(ReadError::Unreadable { why: Unreadable::File(FileError::Blank), .. }) => Err(ReadError::NoCertificate),
            Err(error) => Err(error),
        }
    }

    /// Asks what can be done with the PIN. Costs no try.
    ///
    /// # Errors
    /// The card or reader failed.
    pub fn pin_status(&mut self) -> Result<PinStatus, ReadError> {
        Ok(match reference::state(self.transport, AUTHENTICATION_PIN, "asking for the PIN tries left")? {
            State::TriesLeft(tries) => PinStatus::TriesLeft(tries),
            State::Verified => PinStatus::Verified,
            State::Locked => PinStatus::Locked,
            State::Absent => PinStatus::NoPin,
        })
    }

    /// Has the card compare the PIN, once. A wrong one costs a try.
    ///
    /// # Errors
    /// The card or reader failed; whether a try was spent is unknown then: ask [`Jpki::pin_status`], never resend.
    pub fn verify_pin(&mut self, pin: &Pin) -> Result<PinVerification, ReadError> {
        Ok(match reference::compare(self.transport, AUTHENTICATION_PIN, pin.expose_ascii(), "verifying the PIN")? {
            Comparison::Verified => PinVerification::Verified,
            Comparison::Wrong { tries_left } => PinVerification::Wrong { tries_left },
            Comparison::Locked => PinVerification::Locked,
        })
    }

    /// Signs `payload` with the authentication key: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017), as many bytes as the
    /// modulus. The signature is checked against `certificate` before it is returned.
    ///
    /// # Errors
    /// [`SignError::PinNotVerified`] before [`Jpki::verify_pin`] succeeded in this session with the card;
    /// [`SignError::Mismatch`] when the key is not the certificate's.
    pub fn sign(&mut self, certificate: &AuthCertificate, payload: &[u8]) -> Result<Vec<u8>, SignError> {
        const WHAT: &str = "signing with the authentication key";
        if !file::select(self.transport, AUTHENTICATION_KEY, WHAT)? {
            return Err(ReadError::NoCertificate.into());
        }
        let mut digest_info = [0; SHA256_DIGEST_INFO_PREFIX.len() + 32];
        let (prefix, digest) = digest_info.split_at_mut(SHA256_DIGEST_INFO_PREFIX.len());
        prefix.copy_from_slice(&SHA256_DIGEST_INFO_PREFIX);
        digest.copy_from_slice(&Sha256::digest(payload));

        let response =
            exchange(self.transport, &Command::sign(&digest_info)).map_err(|error| ReadError::exchange(WHAT, error))?;
        match response.status.meaning() {
            Meaning::Ok => {
                certificate.verify_signature(payload, &response.data)?;
                Ok(response.data.to_vec())
            }
            Meaning::SecurityNotSatisfied => Err(SignError::PinNotVerified),
            _ => Err(ReadError::status(WHAT, response.status).into()),
        }
    }
}
