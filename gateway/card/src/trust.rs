//! Which CAs may have issued a person's certificate.
//!
//! JPKI has several CA generations with one and the same name, so the issuer is found by trying signatures; the name only
//! narrows the choice. Certificates are issued directly by the CA: the chain has two links. Revocation is not checked
//! here and cannot be at the edge (公的個人認証法 17条): the central system answers it.

use std::fmt;

use crate::x509::X509;
use crate::{AuthCertificate, CertificateError, Class};

/// More generations than JPKI will have in this product's life; a bound on what one certificate can cost.
const ANCHORS_MAX: usize = 16;

/// The CA certificates that are trusted, by configuration.
#[derive(Clone)]
pub struct TrustAnchors(Vec<X509>);

impl TrustAnchors {
    /// Takes CA certificates as DER. Their dates are judged when they are used, so old generations may stay.
    ///
    /// # Errors
    /// [`AnchorError`] when there is none, when there are more than 16, or when one is not a CA certificate; `index`
    /// counts from 0.
    pub fn from_ders<D: AsRef<[u8]>>(ders: impl IntoIterator<Item = D>) -> Result<Self, AnchorError> {
        let mut anchors = Vec::new();
        for (index, der) in ders.into_iter().enumerate() {
            if index == ANCHORS_MAX {
                return Err(AnchorError::TooMany { anchors_max: ANCHORS_MAX });
            }
            let anchor =
                X509::from_der(der.as_ref()).map_err(|source| AnchorError::BadCertificate { index, source })?;
            if !(anchor.is_ca && anchor.key_cert_sign) {
                return Err(AnchorError::NotACa { index });
            }
            anchors.push(anchor);
        }
        if anchors.is_empty() { Err(AnchorError::None) } else { Ok(Self(anchors)) }
    }

    /// Whether a trusted CA issued the certificate, for signing, and was itself valid at `now_ms` (unix milliseconds).
    ///
    /// The certificate's own dates are not judged here, [`AuthCertificate::validity`] does that. A certificate that has
    /// expired is held against its CA at its own expiry: a generation that ends in the meantime must not shorten the
    /// patient's three months of grace.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn verify_chain(&self, certificate: &AuthCertificate, now_ms: i64) -> Result<(), ChainError> {
        let certificate = certificate.x509();
        let judged_s = now_ms.div_euclid(1000).min(certificate.not_after_s);
        let mut failure = ChainError::UnknownIssuer;
        for anchor in self.0.iter().filter(|anchor| anchor.subject == certificate.issuer) {
            if !certificate.is_signed_by(anchor) {
                // Another generation may still have signed it, and one out of date says more than one that did not.
                if failure == ChainError::UnknownIssuer {
                    failure = ChainError::NotSignedByIssuer;
                }
            } else if (anchor.not_before_s..=anchor.not_after_s).contains(&judged_s) {
                return if certificate.digital_signature { Ok(()) } else { Err(ChainError::NotForSignatures) };
            } else {
                failure = ChainError::IssuerNotValid;
            }
        }
        Err(failure)
    }
}

impl fmt::Debug for TrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustAnchors({})", self.0.len())
    }
}

/// Why the configured CA certificates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// An empty list would refuse every card.
    #[error("no CA certificate is configured; add the JPKI CA certificates")]
    None,
    /// Too many.
    #[error("more than {anchors_max} CA certificates are configured; keep the generations still in use")]
    TooMany {
        /// The limit.
        anchors_max: usize,
    },
    /// One cannot be parsed.
    #[error("CA certificate number {index} cannot be used: {source}; replace the file")]
    BadCertificate {
        /// Position in the list, from 0.
        index: usize,
        /// Why.
        source: CertificateError,
    },
    /// One is not a CA certificate.
    #[error("certificate number {index} is not a CA certificate; configure the issuing CA, not a person's certificate")]
    NotACa {
        /// Position in the list, from 0.
        index: usize,
    },
}

/// Why a certificate is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No configured CA has the issuer's name: a test card, or a CA generation under a new name.
    #[error("no configured CA has the name of the certificate's issuer; check whether this is a test card")]
    UnknownIssuer,
    /// CAs of that name exist, none of them signed it: a new generation, or a forgery.
    #[error(
        "no configured CA generation signed the certificate; add the newest CA certificate, else treat the card as not genuine"
    )]
    NotSignedByIssuer,
    /// The CA that signed it is out of date, or the clock is wrong.
    #[error("the CA that issued the certificate is not valid at this time; check the gateway's clock")]
    IssuerNotValid,
    /// The certificate may not be used to sign (keyUsage lacks digitalSignature).
    #[error("the certificate is not meant for signatures; the card does not carry a proper authentication certificate")]
    NotForSignatures,
}

impl ChainError {
    /// Permanent for this card; only new configuration or a corrected clock changes it.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Permanent
    }
}
