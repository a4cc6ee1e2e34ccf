//! Verification of [`Signed`]: who signed these bytes, and may the central system believe it.
//!
//! A request may have waited for hours since it was signed, so a card's dates are held against the moment of asking, never of
//! arrival; a card is usable for three months after its certificate expired (domain facts A.2). Revocation is an answer, not an error.
//! A gateway's dates are looked at when its connection is made.

use anyhow::{Context as _, Result};
use prost::Message;
use ring::digest::{Context, SHA256};
use ring::signature::{ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use tonic::Status;
use uketsuke_proto::central_v1::{Signed, Signer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::population::CardIdentity;
use crate::pki::DevPki;

/// Three months, as long as three months can be.
const GRACE_S: i64 = 92 * 24 * 60 * 60;

/// The two authorities that the central system believes.
pub(super) struct Trust {
    card_ca: Vec<u8>,
    link_ca: Vec<u8>,
    /// Digests of certificates that were found to be from the authority for them: a gateway's comes with each of its requests.
    known: Mutex<HashSet<[u8; 32]>>,
}

/// Certificates remembered; then all are forgotten.
const KNOWN_MAX: usize = 10_000;

impl Trust {
    pub(super) fn load(pki: &DevPki) -> Result<Self> {
        let card_ca = std::fs::read(pki.card_ca_der()).context("reading the card CA")?;
        let link_ca = CertificateDer::from_pem_file(pki.link_ca_pem()).context("reading the link CA")?.to_vec();
        for ca in [&card_ca, &link_ca] {
            X509Certificate::from_der(ca).context("parsing a CA certificate")?;
        }
        Ok(Self { card_ca, link_ca, known: Mutex::default() })
    }

    /// The payload of a message whose signature holds.
    ///
    /// INVALID_ARGUMENT when the message is malformed, PERMISSION_DENIED when the signature or the chain does not
    /// hold. Neither goes away by sending the same bytes again.
    pub(super) fn open<M: Message + Default>(&self, signed: &Signed) -> Result<M, Status> {
        let certificate = parse(&signed.certificate, "the signer's certificate")?;
        let (ca, algorithm): (_, &dyn ring::signature::VerificationAlgorithm) = match signed.signer() {
            Signer::Card => (&self.card_ca, &RSA_PKCS1_2048_8192_SHA256),
            Signer::Gateway => (&self.link_ca, &ECDSA_P256_SHA256_ASN1),
            Signer::Unspecified => return Err(Status::invalid_argument("unknown kind of signer")),
        };
        self.chains(&certificate, &signed.certificate, ca, "the signer's certificate")?;
        UnparsedPublicKey::new(algorithm, &certificate.public_key().subject_public_key.data)
            .verify(&signed.payload, &signed.signature)
            .map_err(|_| Status::permission_denied("the signature does not hold"))?;
        M::decode(signed.payload.as_slice())
            .map_err(|error| Status::invalid_argument(format!("the payload does not decode: {error}")))
    }

    /// What `use_card` makes of a card's identity, once its certificate is known to chain to the card CA and to have been usable
    /// when it was asked about it, where that is known.
    pub(super) fn with_card<T>(
        &self,
        certificate: &[u8],
        asked_ms: Option<i64>,
        use_card: impl FnOnce(CardIdentity<'_>) -> T,
    ) -> Result<T, Status> {
        let der = certificate;
        let certificate = parse(der, "the card's certificate")?;
        self.chains(&certificate, der, &self.card_ca, "the card's certificate")?;
        let (from, to) = (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
        if asked_ms.is_some_and(|asked| !(from..=to.saturating_add(GRACE_S)).contains(&asked.div_euclid(1000))) {
            return Err(Status::invalid_argument("the card's certificate was not valid when it was asked for"));
        }
        let common_name =
            certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
        Ok(use_card(CardIdentity { serial: certificate.raw_serial(), common_name }))
    }

    fn chains(&self, certificate: &X509Certificate<'_>, der: &[u8], ca: &[u8], what: &str) -> Result<(), Status> {
        // Of both, so that a certificate is known for one authority only.
        let mut context = Context::new(&SHA256);
        context.update(ca);
        context.update(der);
        let digest: Option<[u8; 32]> = context.finish().as_ref().try_into().ok();
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if digest.is_some_and(|digest| known().contains(&digest)) {
            return Ok(());
        }
        chains(certificate, ca, what)?;
        if let Some(digest) = digest {
            let mut known = known();
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(digest);
        }
        Ok(())
    }
}

fn parse<'a>(der: &'a [u8], what: &str) -> Result<X509Certificate<'a>, Status> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Status::invalid_argument(format!("{what} does not parse"))),
    }
}

fn chains(certificate: &X509Certificate<'_>, ca: &[u8], what: &str) -> Result<(), Status> {
    let ca = parse(ca, "the authority's certificate")?;
    if certificate.issuer() == ca.subject() && certificate.verify_signature(Some(ca.public_key())).is_ok() {
        Ok(())
    } else {
        Err(Status::permission_denied(format!("{what} is not from the authority for it")))
    }
}

/// An id of 16 bytes.
pub(super) fn id(bytes: &[u8], name: &str) -> Result<uuid::Uuid, Status> {
    uuid::Uuid::from_slice(bytes)
        .map_err(|_| Status::invalid_argument(format!("{name} has {} bytes instead of 16", bytes.len())))
}
