//! Requests and answers as they travel. What is asked is built once and kept; a card signs it then, the gateway when it is sent.

use super::pairs::PairId;
use crate::store::{Proof, Request, RequestKind};
use prost::Message;
use rand::RngCore;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;
use uketsuke_core::answer::{Answer, Validity, bounded_code};
use uketsuke_core::clock::Stamp;
use uketsuke_core::consent::{Consent, ConsentKind, GivenBy};
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
    /// Whom it asks about.
    pub subject: Subject<'a>,
    /// How the person was verified.
    pub method: Method,
    /// When.
    pub asked: Stamp,
}

/// Whom an eligibility request asks about. Personal, so without `Debug`.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// DER of the card's authentication certificate.
    Card(&'a [u8]),
    /// What staff entered from a document.
    Document(Numbers<'a>),
    /// What staff entered while no card and no document could be used.
    FourItems(FourItems<'a>),
}

/// 氏名・性別・生年月日・住所. Personal, so without `Debug`.
#[derive(Clone, Copy)]
pub struct FourItems<'a> {
    /// 氏名, as the patient says it.
    pub name: &'a str,
    /// 1 男, 2 女, 3 未設定.
    pub sex: &'a str,
    /// yyyyMMdd.
    pub birthdate: &'a str,
    /// 住所.
    pub address: &'a str,
}

impl FourItems<'_> {
    fn search(&self) -> wire::FourItems {
        wire::FourItems {
            name: self.name.to_owned(),
            sex: self.sex.to_owned(),
            birthdate: self.birthdate.to_owned(),
            address: self.address.to_owned(),
        }
    }
}

/// The numbers by which an insured person is found without a card. Personal, so without `Debug`.
#[derive(Clone, Copy)]
pub struct Numbers<'a> {
    /// 保険者番号, six or eight digits; padded here to the eight places of the exchange format.
    pub insurer: &'a str,
    /// 記号; empty when the document has none.
    pub symbol: &'a str,
    /// 番号.
    pub number: &'a str,
    /// 枝番, two digits; empty when not known.
    pub branch: &'a str,
    /// yyyyMMdd.
    pub birthdate: &'a str,
    /// Whether the patient agreed that 限度額適用認定証 information is given: without a card it needs a consent.
    pub limit_certificate: bool,
}

impl Numbers<'_> {
    fn search(&self) -> wire::QualificationConfirmSearchInfo {
        wire::QualificationConfirmSearchInfo {
            insurer_number: format!("{:>8}", self.insurer),
            insured_card_symbol: self.symbol.to_owned(),
            insured_identification_number: self.number.to_owned(),
            insured_branch_number: self.branch.to_owned(),
            birthdate: self.birthdate.to_owned(),
            limit_application_certificate_related_cons_flg: if self.limit_certificate { "1" } else { "0" }.to_owned(),
            arbitrary_identifier: String::new(),
        }
    }
}

/// The payload to be signed. Holds 32 fresh random bytes, so that a card's signature over it answers a fresh challenge.
pub fn eligibility_payload(new: &NewRequest<'_>) -> Zeroizing<Vec<u8>> {
    let mut nonce = vec![0; 32];
    rand::rng().fill_bytes(&mut nonce);
    let request = wire::EligibilityRequest {
        request_id: new.request.0.as_bytes().to_vec(),
        reception_id: new.reception.0.as_bytes().to_vec(),
        medical_institution_code: new.medical_institution_code.to_owned(),
        subject: Some(match &new.subject {
            Subject::Card(certificate) => wire::eligibility_request::Subject::CardCertificate(certificate.to_vec()),
            Subject::Document(numbers) => wire::eligibility_request::Subject::Search(numbers.search()),
            Subject::FourItems(items) => wire::eligibility_request::Subject::FourItems(items.search()),
        }),
        verification: match new.method {
            Method::Face => wire::Verification::Face,
            Method::Pin => wire::Verification::Pin,
            Method::PinByProxy => wire::Verification::PinByProxy,
            Method::Staff => wire::Verification::Staff,
            Method::Document => wire::Verification::Document,
        }
        .into(),
        asked_at_ms: new.asked.wall_ms,
        clock_synchronised: new.asked.synchronised,
        nonce,
    };
    Zeroizing::new(request.encode_to_vec())
}

/// An eligibility request that the gateway signs when it is sent.
pub fn eligibility_request(new: &NewRequest<'_>) -> Request {
    by_gateway(new.request, RequestKind::Eligibility, eligibility_payload(new))
}

/// An eligibility request with the card's own signature.
pub fn sealed_request(
    id: RequestId,
    payload: Zeroizing<Vec<u8>>,
    signature: Vec<u8>,
    card_certificate: &[u8],
) -> Request {
    let proof = wire::Signed {
        payload: Vec::new(),
        signature,
        signer: wire::Signer::Card.into(),
        certificate: card_certificate.to_vec(),
    };
    let proof = Proof::Signed(Zeroizing::new(proof.encode_to_vec()));
    Request { id, kind: RequestKind::Eligibility, body: payload, proof }
}

fn by_gateway(id: RequestId, kind: RequestKind, payload: Zeroizing<Vec<u8>>) -> Request {
    Request { id, kind, body: payload, proof: Proof::Gateway }
}

/// A consent record, which the gateway signs when it is sent.
pub fn consent_request(
    id: RequestId,
    reception: ReceptionId,
    request: RequestId,
    medical_institution_code: &str,
    consents: &[Consent],
) -> Request {
    let record = wire::ConsentRecord {
        consent_id: id.0.as_bytes().to_vec(),
        reception_id: reception.0.as_bytes().to_vec(),
        request_id: request.0.as_bytes().to_vec(),
        medical_institution_code: medical_institution_code.to_owned(),
        consents: consents
            .iter()
            .map(|consent| wire::Consent {
                kind: kind(consent.kind).into(),
                agreed: consent.agreed,
                given_at_ms: consent.given.wall_ms,
                available_until_ms: consent.available_until_ms(),
                given_by: given_by(consent.by).into(),
                text_version: consent.text.to_string(),
            })
            .collect(),
    };
    by_gateway(id, RequestKind::Consent, Zeroizing::new(record.encode_to_vec()))
}

fn kind(kind: ConsentKind) -> wire::ConsentKind {
    match kind {
        ConsentKind::Surgery => wire::ConsentKind::Surgery,
        ConsentKind::Diagnosis => wire::ConsentKind::Diagnosis,
        ConsentKind::Medication => wire::ConsentKind::Medication,
        ConsentKind::Checkups => wire::ConsentKind::Checkups,
        ConsentKind::LimitCertificate => wire::ConsentKind::LimitCertificate,
        ConsentKind::SpecificDiseases => wire::ConsentKind::SpecificDiseases,
        ConsentKind::ElectronicPrescription => wire::ConsentKind::ElectronicPrescription,
        ConsentKind::Subsidies => wire::ConsentKind::Subsidies,
    }
}

fn given_by(by: GivenBy) -> wire::GivenBy {
    match by {
        GivenBy::Patient => wire::GivenBy::Patient,
        GivenBy::StaffAssisted => wire::GivenBy::StaffAssisted,
        GivenBy::Proxy => wire::GivenBy::Proxy,
        GivenBy::NotAnswered => wire::GivenBy::NotAnswered,
        GivenBy::NotNeeded => wire::GivenBy::NotNeeded,
    }
}

/// What a follow-up asks the central system to do first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// 初回登録, then answer.
    Register,
    /// Answer with what is known by now.
    Recheck,
}

/// By what a follow-up looks for somebody. Personal, so without `Debug`.
#[derive(Clone, Copy)]
pub enum Whom<'a> {
    /// Current or earlier numbers, or those that a reception without a card began with.
    Numbers(Numbers<'a>),
    /// What a reception without card and document began with.
    FourItems(FourItems<'a>),
}

/// What a follow-up says: somebody who was asked about before is asked about once more.
pub struct FollowUp<'a> {
    /// Fresh.
    pub id: RequestId,
    /// The reception that asks.
    pub reception: ReceptionId,
    /// The eligibility request that proved the person, if any did.
    pub request: Option<RequestId>,
    /// Of the site.
    pub medical_institution_code: &'a str,
    /// What for. [`Purpose::Register`] needs a request that was proven by face or PIN, and nothing to look by.
    pub purpose: Purpose,
    /// By what to look. Without a request it says whom it asks about; after a request without a card it is needed too, because the
    /// central system keeps neither numbers nor items.
    pub whom: Option<Whom<'a>>,
    /// When.
    pub asked: Stamp,
}

/// A follow-up, which the gateway signs: the card may be long gone, and `request` says what it proved.
pub fn follow_up_request(follow_up: &FollowUp<'_>) -> Request {
    let payload = wire::FollowUpRequest {
        follow_up_id: follow_up.id.0.as_bytes().to_vec(),
        reception_id: follow_up.reception.0.as_bytes().to_vec(),
        request_id: follow_up.request.map(|request| request.0.as_bytes().to_vec()).unwrap_or_default(),
        medical_institution_code: follow_up.medical_institution_code.to_owned(),
        purpose: match follow_up.purpose {
            Purpose::Register => wire::follow_up_request::Purpose::Register,
            Purpose::Recheck => wire::follow_up_request::Purpose::Recheck,
        }
        .into(),
        whom: follow_up.whom.map(|whom| match whom {
            Whom::Numbers(numbers) => wire::follow_up_request::Whom::Search(numbers.search()),
            Whom::FourItems(items) => wire::follow_up_request::Whom::FourItems(items.search()),
        }),
        asked_at_ms: follow_up.asked.wall_ms,
        clock_synchronised: follow_up.asked.synchronised,
    };
    by_gateway(follow_up.id, RequestKind::FollowUp, Zeroizing::new(payload.encode_to_vec()))
}

/// Why the gateway's key cannot sign.
#[derive(Debug, Error)]
pub enum SignerError {
    /// The key is not of the kind we sign with.
    #[error("the private key {0} is no EC P-256 key in PKCS#8; make one with the site's certificate authority")]
    Kind(String),
    /// ring does not say why.
    #[error("signing a request failed; the system's source of randomness may be unavailable")]
    Sign,
}

/// Signs requests in the name of the site, with the key of the gateway's certificate.
#[derive(Clone)]
pub(super) struct GatewaySigner {
    key: Arc<EcdsaKeyPair>,
    certificate: PairId,
}

impl GatewaySigner {
    /// Of a key that was read from `key_file`, and the chain that begins with its certificate.
    pub(super) fn of(
        key: &PrivateKeyDer<'_>,
        chain: &[CertificateDer<'_>],
        key_file: &Path,
    ) -> Result<Self, SignerError> {
        let kind = || SignerError::Kind(key_file.display().to_string());
        let PrivateKeyDer::Pkcs8(key) = key else { return Err(kind()) };
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_pkcs8_der(), &SystemRandom::new())
                .map_err(|_| kind())?;
        let certificate = chain.first().map(AsRef::as_ref).unwrap_or_default();
        Ok(Self { key: Arc::new(key), certificate: certificate.into() })
    }

    /// Which pair it signs with.
    pub(super) fn pair(&self) -> &PairId {
        &self.certificate
    }

    fn sign(&self, payload: Vec<u8>) -> Result<wire::Signed, SignerError> {
        let signature = self.key.sign(&SystemRandom::new(), &payload).map_err(|_| SignerError::Sign)?;
        Ok(wire::Signed {
            payload,
            signature: signature.as_ref().to_vec(),
            signer: wire::Signer::Gateway.into(),
            certificate: self.certificate.to_vec(),
        })
    }
}

/// Why a kept request cannot be sent.
#[derive(Debug, Error)]
pub(super) enum NotSendable {
    /// Our own bytes, sealed since: no other try will do better.
    #[error("its bytes do not decode")]
    Undecodable,
    /// Nothing is wrong with the request.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// A request as it travels. What a card signed goes out as the card signed it; everything else gets `signer`'s signature now, also when
/// an earlier version kept it with one: the key of then may be worth nothing today.
pub(super) fn signed(request: &Request, signer: &GatewaySigner) -> Result<wire::Signed, NotSendable> {
    let decode = |bytes: &[u8]| wire::Signed::decode(bytes).map_err(|_| NotSendable::Undecodable);
    let payload = match &request.proof {
        Proof::Gateway => request.body.to_vec(),
        Proof::Signed(proof) => return Ok(wire::Signed { payload: request.body.to_vec(), ..decode(proof)? }),
        Proof::Within => match decode(&request.body)? {
            kept if kept.signer() == wire::Signer::Gateway => kept.payload,
            kept => return Ok(kept),
        },
    };
    Ok(signer.sign(payload)?)
}

/// When a question says that it was asked; `None` for consents, each of which has a time of its own.
pub(super) fn asked(kind: RequestKind, payload: &[u8]) -> Result<Option<Stamp>, NotSendable> {
    let at = |wall_ms, synchronised| Some(Stamp { wall_ms, synchronised });
    let asked = match kind {
        RequestKind::Eligibility => {
            wire::EligibilityRequest::decode(payload).map(|asked| at(asked.asked_at_ms, asked.clock_synchronised))
        }
        RequestKind::FollowUp => {
            wire::FollowUpRequest::decode(payload).map(|asked| at(asked.asked_at_ms, asked.clock_synchronised))
        }
        RequestKind::Consent => wire::ConsentRecord::decode(payload).map(|_| None),
    };
    asked.map_err(|_| NotSendable::Undecodable)
}

/// What an answer means; the code of an answer that is no verdict. Codes are kept raw where this version does not know them.
pub(super) fn reply(answer: &wire::EligibilityAnswer) -> Result<Reply, String> {
    let first = answer.results.first();
    let decisive = Answer {
        // A file that is still in process or abnormal (OQSCD003) is no verdict, whatever its body says.
        processed: answer.processing_result_status == "1" && matches!(answer.segment_of_result.as_str(), "" | "1"),
        processing_code: bounded_code(&answer.processing_result_code),
        validity: Validity::from_code(&answer.qualification_validity),
        card_registered: answer.card_registered,
        certificate_revoked: answer.certificate_revoked,
        reason_of_loss: first.map(|r| bounded_code(&r.reason_of_loss)).filter(|code| !code.is_empty()),
        unmapped_characters: answer.results.iter().any(|r| texts(r).into_iter().any(|text| text.contains(UNMAPPED))),
    };
    match decisive.verdict() {
        Some(verdict) => Ok(Reply::Answered { verdict, unmapped_characters: decisive.unmapped_characters }),
        None => Err(format!("not_processed {}", decisive.processing_code).trim_end().to_owned()),
    }
}

/// What people are called and where they live: where a character can be missing.
fn texts(result: &wire::Qualification) -> [&str; 6] {
    let wire::Qualification { name, name_kana, address, insured_name, name_of_other, name_of_other_kana, .. } = result;
    [name, name_kana, address, insured_name, name_of_other, name_of_other_kana]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_ASN1, KeyPair as _, UnparsedPublicKey};

    fn valid() -> wire::EligibilityAnswer {
        wire::EligibilityAnswer {
            processing_result_status: "1".into(),
            qualification_validity: "1".into(),
            card_registered: true,
            results: vec![wire::Qualification::default()],
            ..Default::default()
        }
    }

    #[test]
    fn an_answer_that_is_still_in_process_or_abnormal_is_no_verdict() {
        for (segment, verdict) in [("", true), ("1", true), ("2", false), ("3", false), ("9", false)] {
            let answer = wire::EligibilityAnswer { segment_of_result: segment.into(), ..valid() };
            assert_eq!(reply(&answer).is_ok(), verdict, "SegmentOfResult {segment:?}");
        }
    }

    #[test]
    fn a_missing_character_is_noticed_in_every_name() {
        let put: [fn(&mut wire::Qualification) -> &mut String; 3] =
            [|q| &mut q.insured_name, |q| &mut q.name_of_other, |q| &mut q.address];
        for field in put {
            let mut answer = valid();
            field(&mut answer.results[0]).push(UNMAPPED);
            assert!(matches!(reply(&answer), Ok(Reply::Answered { unmapped_characters: true, .. })));
        }
        assert!(matches!(reply(&valid()), Ok(Reply::Answered { unmapped_characters: false, .. })));
    }

    fn signer(certificate: &[u8]) -> GatewaySigner {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        GatewaySigner { key: Arc::new(key), certificate: certificate.into() }
    }

    fn holds(signer: &GatewaySigner, sent: &wire::Signed) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, signer.key.public_key());
        sent.certificate == *signer.certificate && key.verify(&sent.payload, &sent.signature).is_ok()
    }

    fn kept(body: &[u8], proof: Proof) -> Request {
        let id = RequestId(uuid::Uuid::from_u128(1));
        Request { id, kind: RequestKind::Eligibility, body: Zeroizing::new(body.to_vec()), proof }
    }

    #[test]
    fn what_the_gateway_vouches_for_is_signed_with_the_pair_that_is_in_use_when_it_is_sent() {
        let (former, present) = (signer(b"former"), signer(b"present"));
        let mut of_an_earlier_version = former.sign(b"question".to_vec()).unwrap();
        let within = kept(&of_an_earlier_version.encode_to_vec(), Proof::Within);
        for request in [kept(b"question", Proof::Gateway), within] {
            let sent = signed(&request, &present).unwrap();
            assert_eq!((sent.payload.as_slice(), sent.signer()), (b"question".as_slice(), wire::Signer::Gateway));
            assert!(holds(&present, &sent));
        }
        of_an_earlier_version.signature.clear();
        let spoilt = kept(&of_an_earlier_version.encode_to_vec(), Proof::Within);
        assert!(holds(&present, &signed(&spoilt, &present).unwrap()), "whatever the former signature was worth");
    }

    #[test]
    fn what_a_card_signed_is_sent_as_the_card_signed_it() {
        let by_card = wire::Signed {
            payload: b"question".to_vec(),
            signature: b"signature".to_vec(),
            signer: wire::Signer::Card.into(),
            certificate: b"card".to_vec(),
        };
        let payload = Zeroizing::new(by_card.payload.clone());
        let sealed = sealed_request(RequestId(uuid::Uuid::from_u128(1)), payload, by_card.signature.clone(), b"card");
        assert_eq!(*sealed.body, by_card.payload, "the body holds no signature");
        for request in [sealed, kept(&by_card.encode_to_vec(), Proof::Within)] {
            assert_eq!(signed(&request, &signer(b"gateway")).unwrap(), by_card);
        }
    }

    #[test]
    fn insurer_numbers_are_padded_to_eight_places() {
        let numbers = Numbers {
            insurer: "990014",
            symbol: "",
            number: "7",
            branch: "",
            birthdate: "19580401",
            limit_certificate: true,
        };
        assert_eq!(numbers.search().insurer_number, "  990014");
    }
}
