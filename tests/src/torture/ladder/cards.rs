//! Receptions with a card, as the gateway leaves them behind when it dies before any answer: written with its own store, signed by the
//! card's key. Thousands of patients at kiosks would take hours; what they leave behind is the same.

use super::people::Patient;
use anyhow::{Context, Result, anyhow};
use futures_util::{StreamExt, TryStreamExt, stream};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use uketsuke::central::{NewRequest, Subject, eligibility_payload, sealed_request};
use uketsuke::clock::Clock;
use uketsuke::store::{Keys, NewCase, Opening, Recording, Request, Store};
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::ladder::{Case, Cause, Rules};
use uketsuke_core::record::{Evidence, Method, Shown, Verification};
use uuid::Uuid;

/// Writes that wait for the same commit.
const TOGETHER: usize = 128;

/// As at every site of the harness.
pub(super) const INSTITUTION: &str = "1399999999";

/// Receives everybody with a card; who was received as which.
pub(super) async fn receive(
    store: &Store,
    keys: &Keys,
    clock: &Clock,
    rules: &Rules,
    patients: &[&Patient],
) -> Result<Vec<(usize, ReceptionId)>> {
    let Some(first) = patients.iter().find_map(|patient| patient.card.as_ref()) else { return Ok(Vec::new()) };
    // All cards of a campaign share one key: making five thousand would take hours.
    let key = KeyPair::from_pkcs8(&first.key_pkcs8_der).map_err(|error| anyhow!("the cards' key: {error}"))?;
    let received = stream::iter(patients).map(|patient| one(store, keys, clock, rules, &key, patient));
    received.buffer_unordered(TOGETHER).try_collect().await
}

async fn one(
    store: &Store,
    keys: &Keys,
    clock: &Clock,
    rules: &Rules,
    key: &KeyPair,
    patient: &Patient,
) -> Result<(usize, ReceptionId)> {
    let reception = ReceptionId(Uuid::now_v7());
    let request = question(clock, key, reception, patient)?;
    let asked = request.id;
    let certificate = &patient.card.as_ref().context("a patient with a card")?.certificate_der;
    let opening = Opening {
        reception,
        reader: "desk-1/a".into(),
        order_key: keys.order_key(certificate),
        evidence: Evidence::of(Verification::by(Method::Pin)),
        opened: clock.now(),
        request,
    };
    store.open_reception(opening).await?;
    let case = Case::open(rules.clone(), clock.now(), Cause::NoAnswer, &mut Vec::new());
    let recording = Recording {
        reception,
        shown: Shown::Provisional,
        consents: Vec::new(),
        request: None,
        case: Some(NewCase { case, asked, papers: Vec::new() }),
        recorded: clock.stamp(),
    };
    store.record_reception(recording).await?;
    store.close_reception(reception).await?;
    Ok((patient.number, reception))
}

fn question(clock: &Clock, key: &KeyPair, reception: ReceptionId, patient: &Patient) -> Result<Request> {
    let certificate = &patient.card.as_ref().context("a patient with a card")?.certificate_der;
    let request = RequestId(Uuid::now_v7());
    let payload = eligibility_payload(&NewRequest {
        request,
        reception,
        // A code that is too short is refused for good.
        medical_institution_code: if patient.refused { &INSTITUTION[1..] } else { INSTITUTION },
        subject: Subject::Card(certificate),
        method: Method::Pin,
        asked: clock.stamp(),
    });
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &payload, &mut signature)
        .map_err(|_| anyhow!("a card's key does not sign"))?;
    Ok(sealed_request(request, payload, signature, certificate))
}
