//! A plain caller of the central service: what a gateway would send, made by hand. Simulator tests and probes use
//! it; it keeps no promise of its own and retries nothing.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use prost::Message;
use rand::RngCore;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use uketsuke_proto::central_v1::eligibility_request::Subject;
use uketsuke_proto::central_v1::follow_up_request::Purpose;
use uketsuke_proto::central_v1::online_eligibility_client::OnlineEligibilityClient;
use uketsuke_proto::central_v1::{
    Consent, ConsentKind, ConsentRecord, EligibilityRequest, FollowUpRequest, FourItems, GivenBy, Signed, Signer,
    Verification,
};
use uuid::Uuid;

use super::numbers::Numbers;
use crate::clock::now_ms;
use crate::pki::{Card, DevPki};

/// The service's client.
pub type Client = OnlineEligibilityClient<Channel>;

/// A well-formed medical institution code of no institution.
pub const MEDICAL_INSTITUTION_CODE: &str = "9999999999";

/// A client that presents the gateway's certificate. Connects when first used.
pub fn gateway_client(address: SocketAddr, pki: &DevPki) -> Result<Client> {
    client(address, pki, Some((&pki.gateway_pem(), &pki.gateway_key())))
}

/// A client with the given certificate and key, or without any. Connects when first used.
pub fn client(address: SocketAddr, pki: &DevPki, identity: Option<(&Path, &Path)>) -> Result<Client> {
    let ca = std::fs::read(pki.link_ca_pem()).context("reading the link CA")?;
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
    if let Some((certificate, key)) = identity {
        let certificate = std::fs::read(certificate).context("reading the client certificate")?;
        let key = std::fs::read(key).context("reading the client key")?;
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?;
    Ok(OnlineEligibilityClient::new(endpoint.connect_lazy()))
}

/// An eligibility request about `card` with new ids, as if verified by PIN just now.
pub fn eligibility_request(card: &Card) -> EligibilityRequest {
    request_about(Subject::CardCertificate(card.certificate_der.clone()), Verification::Pin)
}

/// A request about the person of a document, with new ids.
pub fn document_request(numbers: &Numbers) -> EligibilityRequest {
    request_about(Subject::Search(numbers.search()), Verification::Document)
}

/// A request about somebody without card and document, with new ids.
pub fn four_items_request(items: &FourItems) -> EligibilityRequest {
    request_about(Subject::FourItems(items.clone()), Verification::Document)
}

/// Asks again about the person of `request`.
pub fn follow_up(request: &EligibilityRequest, purpose: Purpose) -> FollowUpRequest {
    FollowUpRequest {
        follow_up_id: Uuid::now_v7().as_bytes().to_vec(),
        reception_id: request.reception_id.clone(),
        request_id: request.request_id.clone(),
        medical_institution_code: request.medical_institution_code.clone(),
        purpose: purpose.into(),
        whom: None,
        asked_at_ms: now_ms(),
        clock_synchronised: true,
    }
}

fn request_about(subject: Subject, verification: Verification) -> EligibilityRequest {
    let mut nonce = vec![0; 32];
    rand::rng().fill_bytes(&mut nonce);
    EligibilityRequest {
        request_id: Uuid::now_v7().as_bytes().to_vec(),
        reception_id: Uuid::now_v7().as_bytes().to_vec(),
        medical_institution_code: MEDICAL_INSTITUTION_CODE.to_owned(),
        subject: Some(subject),
        verification: verification.into(),
        asked_at_ms: now_ms(),
        clock_synchronised: true,
        nonce,
    }
}

/// A consent to everything that is asked in a clinic, which refers to `request`.
pub fn consent_record(request: &EligibilityRequest) -> ConsentRecord {
    let given_at_ms = now_ms();
    let consent = |kind: ConsentKind| Consent {
        kind: kind.into(),
        agreed: true,
        given_at_ms,
        available_until_ms: given_at_ms + 24 * 60 * 60 * 1000,
        given_by: GivenBy::Patient.into(),
        text_version: "1".to_owned(),
    };
    ConsentRecord {
        consent_id: Uuid::now_v7().as_bytes().to_vec(),
        reception_id: request.reception_id.clone(),
        request_id: request.request_id.clone(),
        medical_institution_code: request.medical_institution_code.clone(),
        consents: [
            ConsentKind::Surgery,
            ConsentKind::Diagnosis,
            ConsentKind::Medication,
            ConsentKind::Checkups,
            ConsentKind::SpecificDiseases,
            ConsentKind::ElectronicPrescription,
        ]
        .map(consent)
        .into(),
    }
}

/// Signs a message with the card's key.
pub fn sign_by_card(card: &Card, message: &impl Message) -> Result<Signed> {
    let payload = message.encode_to_vec();
    let key = RsaKeyPair::from_pkcs8(&card.key_pkcs8_der).context("reading the card's key")?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &payload, &mut signature).context("signing by the card")?;
    Ok(Signed { payload, signature, signer: Signer::Card.into(), certificate: card.certificate_der.clone() })
}

/// Signs a message with the gateway's key.
pub fn sign_by_gateway(pki: &DevPki, message: &impl Message) -> Result<Signed> {
    let payload = message.encode_to_vec();
    let random = SystemRandom::new();
    let key = PrivateKeyDer::from_pem_file(pki.gateway_key()).context("reading the gateway's key")?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_der(), &random)
        .context("parsing the gateway's key")?;
    let signature = key.sign(&random, &payload).context("signing by the gateway")?.as_ref().to_vec();
    let certificate =
        CertificateDer::from_pem_file(pki.gateway_pem()).context("reading the gateway's certificate")?.to_vec();
    Ok(Signed { payload, signature, signer: Signer::Gateway.into(), certificate })
}
