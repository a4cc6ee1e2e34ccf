//! The few fields of an X.509 certificate (RFC 5280) that this crate needs, taken out once and owned.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA256WITHRSA};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::{CertificateError, SignatureInvalid};

/// Largest certificate that is parsed at all; certificates of people and CAs take about 1,600 bytes.
const DER_BYTES_MAX: usize = 16 * 1024;
/// JPKI uses 2048; larger keys are accepted up to where a check still takes well under a millisecond.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// RFC 5280, 4.1.2.2: at most 20 octets, and one more for a sign.
const SERIAL_BYTES_MAX: usize = 21;

#[derive(Clone)]
pub(crate) struct X509 {
    pub der: Vec<u8>,
    pub serial: Vec<u8>,
    /// Raw DER of the names: compared as bytes, the way one CA writes its own name.
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub not_before_s: i64,
    pub not_after_s: i64,
    /// PKCS#1 RSAPublicKey.
    pub rsa_public_key: Vec<u8>,
    pub is_ca: bool,
    pub digital_signature: bool,
    pub key_cert_sign: bool,
    to_be_signed: Vec<u8>,
    signature: Vec<u8>,
}

impl X509 {
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > DER_BYTES_MAX {
            return Err(CertificateError::TooLarge { bytes: der.len(), bytes_max: DER_BYTES_MAX });
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateError::NotX509)?;
        if !rest.is_empty() {
            return Err(CertificateError::TrailingBytes { bytes: rest.len() });
        }
        // The algorithm stands inside and outside of what is signed; both must agree (RFC 5280, 4.1.1.2).
        if parsed.signature_algorithm.algorithm != OID_PKCS1_SHA256WITHRSA
            || parsed.tbs_certificate.signature.algorithm != OID_PKCS1_SHA256WITHRSA
        {
            return Err(CertificateError::UnsupportedAlgorithm);
        }
        let key = parsed.public_key();
        if key.algorithm.algorithm != OID_PKCS1_RSAENCRYPTION {
            return Err(CertificateError::UnsupportedKey);
        }
        match key.parsed() {
            Ok(PublicKey::RSA(rsa)) if RSA_BITS.contains(&rsa.key_size()) => {}
            _ => return Err(CertificateError::UnsupportedKey),
        }
        if parsed.raw_serial().len() > SERIAL_BYTES_MAX {
            return Err(CertificateError::NotX509);
        }
        // An extension that is present but broken or doubled must not pass for an absent one.
        let usage = parsed.key_usage().map_err(|_| CertificateError::NotX509)?;
        let constraints = parsed.basic_constraints().map_err(|_| CertificateError::NotX509)?;
        Ok(Self {
            der: der.to_vec(),
            serial: parsed.raw_serial().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
            not_before_s: parsed.validity().not_before.timestamp(),
            not_after_s: parsed.validity().not_after.timestamp(),
            rsa_public_key: key.subject_public_key.data.to_vec(),
            is_ca: constraints.is_some_and(|found| found.value.ca),
            digital_signature: usage.as_ref().is_some_and(|found| found.value.digital_signature()),
            // RFC 5280, 4.2.1.3: without the extension every usage is allowed; for a person's certificate we insist on it.
            key_cert_sign: usage.as_ref().is_none_or(|found| found.value.key_cert_sign()),
            to_be_signed: parsed.tbs_certificate.as_ref().to_vec(),
            signature: parsed.signature_value.data.to_vec(),
        })
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 by this certificate's key.
    pub fn verify_signature(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureInvalid> {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.rsa_public_key)
            .verify(message, signature)
            .map_err(|_| SignatureInvalid)
    }

    /// Whether `issuer` made this certificate's signature.
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        issuer.verify_signature(&self.to_be_signed, &self.signature).is_ok()
    }
}
