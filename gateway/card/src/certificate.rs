//! The authentication certificate of a person (利用者証明用電子証明書). What its dates mean at a reception desk is a matter of rules,
//! which are not kept here.
//!
//! It names a person: serial and contents are redacted in `Debug`. Instants are unix milliseconds, passed in.

use std::fmt;

use crate::x509::X509;

/// A parsed authentication certificate. Parsing proves nothing: see [`crate::TrustAnchors::verify_chain`].
#[derive(Clone)]
pub struct AuthCertificate(X509);

impl AuthCertificate {
    /// Parses a DER certificate.
    ///
    /// # Errors
    /// [`CertificateError`]: too large, not X.509, bytes behind it, or not RSA (2048 to 4096 bits) signed with
    /// sha256WithRSAEncryption, which is what JPKI issues.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        X509::from_der(der).map(Self)
    }

    /// The certificate as read.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The serial number: the stable name of this certificate, and of its owner until it is renewed.
    #[must_use]
    pub fn serial(&self) -> CertificateSerial {
        CertificateSerial(self.0.serial.clone())
    }

    /// First instant of validity, unix milliseconds.
    #[must_use]
    pub fn not_before_ms(&self) -> i64 {
        self.0.not_before_s.saturating_mul(1000)
    }

    /// Start of the last second of validity, unix milliseconds.
    #[must_use]
    pub fn not_after_ms(&self) -> i64 {
        self.0.not_after_s.saturating_mul(1000)
    }

    /// Checks a signature of this certificate's key: RSASSA-PKCS1-v1_5 with SHA-256.
    ///
    /// # Errors
    /// [`SignatureInvalid`] when the signature is not this key's over exactly `payload`.
    pub fn verify_signature(&self, payload: &[u8], signature: &[u8]) -> Result<(), SignatureInvalid> {
        self.0.verify_signature(payload, signature)
    }

    pub(crate) fn x509(&self) -> &X509 {
        &self.0
    }
}

impl fmt::Debug for AuthCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthCertificate(redacted)")
    }
}

/// The serial number of a certificate, big-endian as in the DER, leading zero included. Redacted in `Debug`: it is a
/// person's pseudonym. Compare it, or derive a keyed hash from it; never log it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateSerial(Vec<u8>);

impl CertificateSerial {
    /// 1 to 21 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CertificateSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateSerial(redacted)")
    }
}

/// Why bytes are not a certificate that can be used. Names no contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Above the limit.
    #[error("the certificate has {bytes} bytes where at most {bytes_max} are accepted")]
    TooLarge {
        /// Size given.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Not a well-formed X.509 certificate.
    #[error("it is not a well-formed X.509 certificate in DER")]
    NotX509,
    /// Something follows the certificate.
    #[error("{bytes} bytes follow the certificate")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// Signed otherwise than by sha256WithRSAEncryption.
    #[error("it is not signed with sha256WithRSAEncryption")]
    UnsupportedAlgorithm,
    /// The public key is not RSA of 2048 to 4096 bits.
    #[error("its public key is not RSA of 2048 to 4096 bits")]
    UnsupportedKey,
}

/// A signature does not belong to the key and the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match the certificate's key and the signed bytes")]
pub struct SignatureInvalid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_certificate_are_refused() {
        assert_eq!(AuthCertificate::from_der(b"").unwrap_err(), CertificateError::NotX509);
        assert_eq!(AuthCertificate::from_der(&[0x30, 0x03, 1, 2, 3]).unwrap_err(), CertificateError::NotX509);
        assert!(matches!(AuthCertificate::from_der(&[0x30; 20_000]), Err(CertificateError::TooLarge { .. })));
    }
}
