//! Requests and answers as they travel: built once, signed once, sent as these exact bytes every time.

use super::tls::{self, TlsError};
use crate::config;
use crate::store::{Request, RequestKind};
use prost::Message;
use rand::RngCore;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use thiserror::Error;
use uketsuke_core::answer::{Answer, Validity, bounded_code};
use uketsuke_core::clock::Stamp;
use uketsuke_core::consent::{Consent, ConsentKind};
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::record::{Method, Reply};
use uketsuke_proto::central_v1 as wire;
use zeroize::Zeroizing;

/// What the central system puts where it cannot express a character.
const UNMAPPED: char = '●';

/// What a new eligibility request says.
pub struct NewRequest<'a> {
    /// Fresh.
    pub request: RequestId,
    /// The reception that asks.
    pub reception: ReceptionId,
    /// Of the site.
    pub medical_institution_code: &'a str,
    /// DER of the card's authentication certificate.
    pub card_certificate: &'a [u8],
    /// How the person was verified.
    pub method: Method,
    /// When.
    pub asked: Stamp,
}

/// The payload to be signed. Holds 32 fresh random bytes, so that a card's signature over it answers a fresh challenge.
pub fn eligibility_payload(new: &NewRequest<'_>) -> Zeroizing<Vec<u8>> {
    let mut nonce = vec![0; 32];
    rand::rng().fill_bytes(&mut nonce);
    let request = wire::EligibilityRequest {
        request_id: new.request.0.as_bytes().to_vec(),
        reception_id: new.reception.0.as_bytes().to_vec(),
        medical_institution_code: new.medical_institution_code.to_owned(),
        card_certificate: new.card_certificate.to_vec(),
        verification: match new.method {
            Method::Face => wire::Verification::Face,
            Method::Pin => wire::Verification::Pin,
            Method::Staff | Method::Document => wire::Verification::Staff,
            Method::PinByProxy => wire::Verification::Pin,
        }
        .into(),
        asked_at_ms: new.asked.wall_ms,
        clock_synchronised: new.asked.synchronised,
        nonce,
    };
    Zeroizing::new(request.encode_to_vec())
}

/// An eligibility request with the card's own signature.
pub fn sealed_request(id: RequestId, payload: &[u8], signature: Vec<u8>, card_certificate: &[u8]) -> Request {
    let signed = wire::Signed {
        payload: payload.to_vec(),
        signature,
        signer: wire::Signer::Card.into(),
        certificate: card_certificate.to_vec(),
    };
    Request { id, kind: RequestKind::Eligibility, body: Zeroizing::new(signed.encode_to_vec()) }
}

/// A consent record, signed by the gateway.
///
/// # Errors
/// [`SignerError`], when the system has no randomness to give.
pub fn consent_request(
    signer: &GatewaySigner,
    id: RequestId,
    reception: ReceptionId,
    request: RequestId,
    medical_institution_code: &str,
    consents: &[Consent],
) -> Result<Request, SignerError> {
    let record = wire::ConsentRecord {
        consent_id: id.0.as_bytes().to_vec(),
        reception_id: reception.0.as_bytes().to_vec(),
        request_id: request.0.as_bytes().to_vec(),
        medical_institution_code: medical_institution_code.to_owned(),
        consents: consents
            .iter()
            .map(|consent| wire::Consent {
                kind: match consent.kind {
                    ConsentKind::Checkups => wire::ConsentKind::Checkups,
                    _ => wire::ConsentKind::TreatmentAndMedication,
                }
                .into(),
                agreed: consent.agreed,
                given_at_ms: consent.given.wall_ms,
                available_until_ms: consent.available_until_ms(),
            })
            .collect(),
    };
    signer.sign(id, RequestKind::Consent, &record.encode_to_vec())
}

pub enum FollowUpPurpose {
    Register,
    Recheck,
}
pub struct NewFollowUp<'a> {
    pub follow_up: RequestId,
    pub reception: ReceptionId,
    pub request: RequestId,
    pub medical_institution_code: &'a str,
    pub purpose: FollowUpPurpose,
    pub search: Option<()>,
    pub asked: Stamp,
}
pub fn follow_up_request(signer: &GatewaySigner, new: &NewFollowUp<'_>) -> Result<Request, SignerError> {
    signer.sign(new.follow_up, RequestKind::FollowUp, &[])
}
/// Why the gateway's key cannot sign.
#[derive(Debug, Error)]
pub enum SignerError {
    /// The files.
    #[error(transparent)]
    File(#[from] TlsError),
    /// The key is not of the kind we sign with.
    #[error("the private key {0} is no EC P-256 key in PKCS#8; make one with the site's certificate authority")]
    Kind(String),
    /// ring does not say why.
    #[error("signing a request failed; the system's source of randomness may be unavailable")]
    Sign,
}

/// Signs requests in the name of the site, with the key of the gateway's certificate.
#[derive(Clone)]
pub struct GatewaySigner {
    key: Arc<EcdsaKeyPair>,
    certificate: Arc<[u8]>,
}

impl GatewaySigner {
    /// Reads key and certificate.
    ///
    /// # Errors
    /// [`SignerError`] names the file and what to do.
    pub fn load(central: &config::Central) -> Result<Self, SignerError> {
        let kind = || SignerError::Kind(central.key_file.display().to_string());
        let PrivateKeyDer::Pkcs8(key) = tls::private_key(&central.key_file)? else { return Err(kind()) };
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_pkcs8_der(), &random)
            .map_err(|_| kind())?;
        let certificate = tls::own_certificate(&central.certificate_file)?;
        Ok(Self { key: Arc::new(key), certificate: certificate.as_ref().into() })
    }

    /// Signs a payload.
    ///
    /// # Errors
    /// [`SignerError::Sign`].
    pub fn sign(&self, id: RequestId, kind: RequestKind, payload: &[u8]) -> Result<Request, SignerError> {
        let signature = self.key.sign(&SystemRandom::new(), payload).map_err(|_| SignerError::Sign)?;
        let signed = wire::Signed {
            payload: payload.to_vec(),
            signature: signature.as_ref().to_vec(),
            signer: wire::Signer::Gateway.into(),
            certificate: self.certificate.to_vec(),
        };
        Ok(Request { id, kind, body: Zeroizing::new(signed.encode_to_vec()) })
    }
}

/// What an answer means; the code of an answer that is no verdict. Codes are kept raw where this version does not know them.
pub(super) fn reply(answer: &wire::EligibilityAnswer) -> Result<Reply, String> {
    let first = answer.results.first();
    let decisive = Answer {
        processed: answer.processing_result_status == "1",
        processing_code: bounded_code(&answer.processing_result_code),
        validity: Validity::from_code(&answer.qualification_validity),
        card_registered: answer.card_registered,
        certificate_revoked: answer.certificate_revoked,
        reason_of_loss: first.map(|r| bounded_code(&r.reason_of_loss)).filter(|code| !code.is_empty()),
        unmapped_characters: answer
            .results
            .iter()
            .any(|r| [&r.name, &r.name_kana, &r.address].into_iter().any(|text| text.contains(UNMAPPED))),
    };
    match decisive.verdict() {
        Some(verdict) => Ok(Reply::Answered { verdict, unmapped_characters: decisive.unmapped_characters }),
        None => Err(format!("not_processed {}", decisive.processing_code).trim_end().to_owned()),
    }
}
