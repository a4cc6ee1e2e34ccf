//! The central simulator keeps its promises: who is believed, what is applied once, and how it fails on demand.

#![allow(clippy::unwrap_used, reason = "a scene that cannot be set fails its test")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use prost::Message;
use tempfile::TempDir;
use tonic::{Code, Request};
use uketsuke_proto::central_v1::follow_up_request::{Purpose, Whom};
use uketsuke_proto::central_v1::{
    ConsentRecord, EligibilityAnswer, FollowUpRequest, FourItems, PingRequest, Qualification, Signed, Verification,
};
use uketsuke_tests::central::caller::{
    Client, client, consent_record, document_request, eligibility_request, follow_up, four_items_request,
    gateway_client, sign_by_card, sign_by_gateway,
};
use uketsuke_tests::central::ledger::{self, Kind};
use uketsuke_tests::central::{
    CardIdentity, Class, ModeSpec, Numbers, Options, Outcome, Person, Population, Rates, Simulator,
};
use uketsuke_tests::control::Central;
use uketsuke_tests::pki::{Card, CardOptions, ClientOptions, DevPki};
use uketsuke_tests::process::Child;

/// One directory for all tests, kept between runs: RSA keys are slow to make.
fn pki() -> DevPki {
    DevPki::create_or_open(Path::new(env!("CARGO_TARGET_TMPDIR")).join("central-pki")).unwrap()
}

fn card(pki: &DevPki, name: &str) -> Card {
    pki.card(name, &CardOptions::shared()).unwrap()
}

/// A simulator in this process that answers at once.
async fn simulator(pki: &DevPki) -> Simulator {
    Simulator::start(Options { think_ms: 0, ..Options::new(pki.clone()) }).await.unwrap()
}

/// A request by the card, with any deadline in milliseconds.
fn with_deadline(signed: &Signed, deadline_ms: u64) -> Request<Signed> {
    let mut request = Request::new(signed.clone());
    request.set_timeout(Duration::from_millis(deadline_ms));
    request
}

async fn ask(client: &mut Client, signed: &Signed) -> Result<EligibilityAnswer, tonic::Status> {
    client.check_eligibility(signed.clone()).await.map(tonic::Response::into_inner)
}

/// The simulator as a process, with its ledger in `dir`.
fn process(pki: &DevPki, dir: &TempDir, extra: &[&str]) -> (Child, SocketAddr, Central) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_central-sim"));
    command.arg("--pki").arg(pki.dir()).arg("--ledger").arg(dir.path().join("ledger.jsonl")).args(extra);
    let child = Child::spawn(command, dir.path().join("output.txt")).unwrap();
    let ready = child.wait_ready(Duration::from_secs(20)).unwrap();
    let address = |key: &str| ready[key].as_str().unwrap().parse().unwrap();
    let control = Central::at(address("control"));
    (child, address("listen"), control)
}

#[tokio::test]
async fn a_card_and_a_gateway_are_believed_and_answered() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");

    let by_card = ask(&mut client, &sign_by_card(&card, &eligibility_request(&card)).unwrap()).await.unwrap();
    let by_gateway = ask(&mut client, &sign_by_gateway(&pki, &eligibility_request(&card)).unwrap()).await.unwrap();

    assert_eq!(by_card.qualification_validity, "1");
    assert_eq!(by_card.results, by_gateway.results, "the person does not depend on who signs");
    assert_eq!(by_card.results[0].insurer_number.chars().count(), 8);
    assert!(client.ping(PingRequest {}).await.unwrap().into_inner().central_time_ms > 0);
}

#[tokio::test]
async fn a_client_without_certificate_does_not_get_past_the_handshake() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut nobody = client(simulator.address(), &pki, None).unwrap();

    nobody.ping(PingRequest {}).await.unwrap_err();

    assert_eq!(simulator.stats().pings_received, 0);
    assert!(simulator.stats().handshakes_refused > 0);
}

#[tokio::test]
async fn a_client_certificate_of_another_ca_does_not_get_past_the_handshake() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let identity = (pki.other_client_pem(), pki.other_client_key());
    let mut stranger = client(simulator.address(), &pki, Some((&identity.0, &identity.1))).unwrap();

    stranger.ping(PingRequest {}).await.unwrap_err();

    assert_eq!(simulator.stats().pings_received, 0);
    assert!(simulator.stats().handshakes_refused > 0);
}

#[tokio::test]
async fn an_expired_client_certificate_does_not_get_past_the_handshake() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let expired = ClientOptions {
        not_before: time::OffsetDateTime::UNIX_EPOCH,
        not_after: time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(1),
    };
    let (pem, key) = pki.client("expired", &expired).unwrap();
    let mut late = client(simulator.address(), &pki, Some((&pem, &key))).unwrap();

    late.ping(PingRequest {}).await.unwrap_err();

    assert_eq!(simulator.stats().pings_received, 0);
}

#[tokio::test]
async fn the_same_request_is_applied_once_and_answered_alike() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-IDEMPOTENT");
    let signed = sign_by_card(&card, &eligibility_request(&card)).unwrap();

    let first = ask(&mut client, &signed).await.unwrap();
    let wish = Person::of_serial(&card.serial_hex, Class::Revoked).with_dots(true);
    simulator.wish(&wish).unwrap();
    let second = ask(&mut client, &signed).await.unwrap();

    assert_eq!(first, second, "the answer once given does not follow the scenario's change of mind");
    let [effect] = simulator.effects().try_into().unwrap();
    assert_eq!((effect.seq, effect.times_applied, effect.times_received), (1, 1, 2));
}

#[tokio::test]
async fn the_same_id_with_another_payload_is_refused() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    let mut request = eligibility_request(&card);
    ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap();
    request.asked_at_ms += 1;

    let refused = ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap_err();

    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(simulator.effects()[0].times_received, 1);
}

#[tokio::test]
async fn a_consent_is_applied_once_and_only_for_a_known_request() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    let request = eligibility_request(&card);
    let consent = sign_by_gateway(&pki, &consent_record(&request)).unwrap();

    let too_early = client.record_consent(consent.clone()).await.unwrap_err();
    ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap();
    let first = client.record_consent(consent.clone()).await.unwrap().into_inner();
    let second = client.record_consent(consent).await.unwrap().into_inner();

    assert_eq!(too_early.code(), Code::FailedPrecondition);
    assert_eq!(first, second);
    let effects = simulator.effects();
    assert_eq!(effects.iter().map(|effect| effect.kind).collect::<Vec<_>>(), [Kind::Eligibility, Kind::Consent]);
    assert_eq!((effects[1].times_applied, effects[1].times_received), (1, 2));
    assert_eq!(effects[0].order, effects[1].order, "both belong to one patient");
}

#[tokio::test]
async fn signatures_and_chains_that_do_not_hold_are_refused() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let (card, other) = (card(&pki, "TEST-VALID-0001"), card(&pki, "TEST-VALID-0002"));
    let request = eligibility_request(&card);
    let good = sign_by_card(&card, &request).unwrap();
    let by_gateway = sign_by_gateway(&pki, &request).unwrap();
    let short_id = eligibility_request(&card);

    let mut tampered = good.clone();
    tampered.payload[3] ^= 1;
    let mut flipped = good.clone();
    flipped.signature[10] ^= 1;
    let mut gateway_as_card = by_gateway.clone();
    gateway_as_card.signer = good.signer;
    let mut unspecified = good.clone();
    unspecified.signer = 0;
    let mut no_certificate = good.clone();
    no_certificate.certificate.clear();
    let foreign_card = {
        let dir = TempDir::new().unwrap();
        let foreign = DevPki::create_or_open(dir.path()).unwrap();
        let card = foreign.card("TEST-VALID-0001", &CardOptions::default()).unwrap();
        sign_by_card(&card, &eligibility_request(&card)).unwrap()
    };
    let other_card = sign_by_card(&other, &request).unwrap();
    let bad_id =
        sign_by_card(&card, &uketsuke_proto::central_v1::EligibilityRequest { request_id: vec![1; 15], ..short_id });

    for (name, signed, expected) in [
        ("tampered payload", tampered, Code::PermissionDenied),
        ("tampered signature", flipped, Code::PermissionDenied),
        ("a gateway that calls itself a card", gateway_as_card, Code::PermissionDenied),
        ("no kind of signer", unspecified, Code::InvalidArgument),
        ("no certificate", no_certificate, Code::InvalidArgument),
        ("a card of another authority", foreign_card, Code::PermissionDenied),
        ("another card than asked for", other_card, Code::InvalidArgument),
        ("an id of 15 bytes", bad_id.unwrap(), Code::InvalidArgument),
    ] {
        assert_eq!(ask(&mut client, &signed).await.unwrap_err().code(), expected, "{name}");
    }
    assert_eq!(simulator.effects(), []);
    ask(&mut client, &good).await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_signs_by_another_certificate_than_that_of_its_connection_is_refused() {
    let dir = TempDir::new().unwrap();
    let pki = DevPki::create_or_open(dir.path()).unwrap();
    let simulator = simulator(&pki).await;
    let card = card(&pki, "TEST-VALID-0001");
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let former = sign_by_gateway(&pki, &eligibility_request(&card)).unwrap();
    ask(&mut client, &former).await.unwrap();

    pki.client("gateway", &ClientOptions::default()).unwrap();
    let renewed = sign_by_gateway(&pki, &eligibility_request(&card)).unwrap();
    assert_eq!(ask(&mut client, &renewed).await.unwrap_err().code(), Code::PermissionDenied);
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    ask(&mut client, &renewed).await.unwrap();
}

/// A card whose certificate ends so many seconds from now.
fn card_until(pki: &DevPki, name: &str, seconds: i64) -> Card {
    let end = uketsuke_tests::clock::now_ms() / 1000 + seconds;
    let not_after = time::OffsetDateTime::from_unix_timestamp(end).unwrap();
    pki.card(name, &CardOptions { not_after, ..CardOptions::shared() }).unwrap()
}

#[tokio::test]
async fn a_request_that_waited_for_hours_proves_what_it_proved_when_it_was_signed() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card_until(&pki, "TEST-VALID-WAITED", 3_600);
    let request = eligibility_request(&card);
    let signed = sign_by_card(&card, &request).unwrap();
    let mut tampered = signed.clone();
    tampered.payload[3] ^= 1;

    // By now the certificate has expired, and its three months of grace are over too.
    let waited = Duration::from_secs(120 * 24 * 3_600);
    simulator.set_clock_ahead(waited);
    let refused = ask(&mut client, &tampered).await.unwrap_err();
    let answer = ask(&mut client, &signed).await.unwrap();

    assert_eq!(refused.code(), Code::PermissionDenied, "time heals no signature");
    assert_eq!(answer.qualification_validity, "1");
    let late_by = answer.answered_at_ms - request.asked_at_ms;
    assert!(late_by >= i64::try_from(waited.as_millis()).unwrap(), "{late_by} ms");
    let [effect] = simulator.effects().try_into().unwrap();
    assert_eq!(effect.reception_id.as_bytes()[..], request.reception_id);
}

#[tokio::test]
async fn a_card_that_was_not_valid_when_it_was_asked_for_is_refused_however_late() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    const DAY_S: i64 = 24 * 3_600;
    let in_grace = card_until(&pki, "TEST-VALID-GRACE", -30 * DAY_S);
    let long_ago = card_until(&pki, "TEST-VALID-LONG-AGO", -100 * DAY_S);
    ask(&mut client, &sign_by_card(&in_grace, &eligibility_request(&in_grace)).unwrap()).await.unwrap();
    let request = eligibility_request(&long_ago);
    let refused = ask(&mut client, &sign_by_card(&long_ago, &request).unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    // A clock that nobody vouches for condemns no card.
    let unsure = uketsuke_proto::central_v1::EligibilityRequest { clock_synchronised: false, ..request };
    ask(&mut client, &sign_by_card(&long_ago, &unsure).unwrap()).await.unwrap();
    let mut early = eligibility_request(&in_grace);
    early.asked_at_ms += 3_600_000;
    let refused = ask(&mut client, &sign_by_card(&in_grace, &early).unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "asked in the future");
}

#[test]
fn about_four_percent_of_the_names_contain_a_dot_and_most_people_are_valid() {
    let population = Population::new(7, Rates::default());
    let mut classes = HashMap::new();
    let mut dots = 0;
    for number in 0..5_000_u32 {
        let serial = number.to_be_bytes();
        let card = CardIdentity { serial: &serial, common_name: "" };
        let outcome = population.outcome(card);
        *classes.entry(outcome.class).or_insert(0) += 1;
        let person = &population.qualifications(card, as_if_valid(outcome))[0];
        assert_eq!(person.name.contains('●'), outcome.dots);
        assert!(person.name_kana.chars().all(|c| c == ' ' || ('｡'..='ﾟ').contains(&c)), "{}", person.name_kana);
        assert_eq!(person.birthdate.len(), 8);
        dots += u32::from(outcome.dots);
    }

    assert!((150..=250).contains(&dots), "{dots} of 5,000 names contain ●");
    assert!((4_550..=4_750).contains(&classes[&Class::Valid]), "{classes:?}");
    for class in [Class::Invalid, Class::InvalidNew, Class::None, Class::Several, Class::Unregistered, Class::Revoked] {
        assert!(classes[&class] > 0, "{class:?} never occurs");
    }
}

/// The same person as if valid: who has no qualification has no name in the answer either.
fn as_if_valid(outcome: Outcome) -> Outcome {
    Outcome { class: Class::Valid, ..outcome }
}

#[tokio::test]
async fn a_cards_name_or_an_explicit_wish_chooses_the_outcome() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let control = Central::at(simulator.control_address());
    let mut client = gateway_client(simulator.address(), &pki).unwrap();

    // Name of the card, validity, results, registered, revoked.
    for (name, validity, results, registered, revoked) in [
        ("TEST-VALID-0001", "1", 1, true, false),
        ("TEST-INVALID-0001", "2", 1, true, false),
        ("TEST-INVALID-NEW-0001", "3", 2, true, false),
        ("TEST-NONE-0001", "4", 0, true, false),
        ("TEST-SEVERAL-0001", "5", 2, true, false),
        ("TEST-VALID-UNREGISTERED-0001", "6", 1, true, false),
        ("TEST-UNKNOWN-CODE-0001", "8", 1, true, false),
        ("TEST-UNREGISTERED-0001", "", 0, false, false),
        ("TEST-REVOKED-0001", "", 0, true, true),
    ] {
        let card = card(&pki, name);
        let answer = ask(&mut client, &sign_by_card(&card, &eligibility_request(&card)).unwrap()).await.unwrap();
        assert_eq!(
            (
                answer.qualification_validity.as_str(),
                answer.results.len(),
                answer.card_registered,
                answer.certificate_revoked
            ),
            (validity, results, registered, revoked),
            "{name}"
        );
        let lost = matches!(validity, "2" | "3");
        assert_eq!(answer.results.first().is_some_and(|first| !first.reason_of_loss.is_empty()), lost, "{name}");
    }

    let card = card(&pki, "TEST-VALID-0001");
    let by_cn = Person::of_name(&card.name, Class::Valid).with_dots(true);
    let by_serial = Person::of_serial(&card.serial_hex, Class::Revoked);
    tokio::task::spawn_blocking({
        let control = control.clone();
        move || control.set_person(&by_cn).unwrap()
    })
    .await
    .unwrap();
    let dotted = ask(&mut client, &sign_by_card(&card, &eligibility_request(&card)).unwrap()).await.unwrap();
    tokio::task::spawn_blocking(move || control.set_person(&by_serial).unwrap()).await.unwrap();
    let revoked = ask(&mut client, &sign_by_card(&card, &eligibility_request(&card)).unwrap()).await.unwrap();

    assert!(dotted.results[0].name.contains('●'));
    assert!(revoked.certificate_revoked, "the serial is stronger than the CN");
}

#[tokio::test]
async fn down_refuses_and_resets_connections_and_up_brings_the_same_address_back() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    simulator.set_mode(&ModeSpec::new("hang")).await.unwrap();
    let under_way = tokio::spawn({
        let mut client = client.clone();
        let signed = sign_by_card(&card, &eligibility_request(&card)).unwrap();
        async move { ask(&mut client, &signed).await }
    });
    while simulator.stats().eligibility_received == 0 {
        tokio::task::yield_now().await;
    }

    simulator.set_mode(&ModeSpec::new("down")).await.unwrap();
    let broken = tokio::time::timeout(Duration::from_secs(10), under_way).await.unwrap().unwrap();
    let connect = tokio::net::TcpStream::connect(simulator.address()).await;
    let while_down = client.ping(PingRequest {}).await;
    simulator.set_mode(&ModeSpec::new("up")).await.unwrap();
    let again = client.ping(PingRequest {}).await;

    broken.unwrap_err();
    assert_eq!(connect.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    while_down.unwrap_err();
    again.unwrap();
}

#[tokio::test]
async fn a_hanging_central_leaves_the_client_to_its_deadline_and_has_no_effect() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    let signed = sign_by_card(&card, &eligibility_request(&card)).unwrap();
    simulator.set_mode(&ModeSpec::new("hang").times(1)).await.unwrap();

    let given_up = client.check_eligibility(with_deadline(&signed, 200)).await.unwrap_err();
    let effects = simulator.effects();
    let answered = ask(&mut client, &signed).await;

    assert!(matches!(given_up.code(), Code::Cancelled | Code::DeadlineExceeded), "{given_up:?}");
    assert_eq!(effects, []);
    answered.unwrap();
}

#[tokio::test]
async fn a_dropped_answer_is_an_effect_applied_once_after_a_retry() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    let signed = sign_by_card(&card, &eligibility_request(&card)).unwrap();
    simulator.set_mode(&ModeSpec::new("drop_answer").times(1)).await.unwrap();

    let dropped = ask(&mut client, &signed).await;
    let applied = simulator.effects().len();
    let retried = ask(&mut client, &signed).await;

    dropped.unwrap_err();
    assert_eq!(applied, 1, "the effect was there before the answer was lost");
    retried.unwrap();
    let [effect] = simulator.effects().try_into().unwrap();
    assert_eq!((effect.times_applied, effect.times_received), (1, 2));
}

#[tokio::test]
async fn a_slow_central_applies_at_once_and_answers_late() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    let signed = sign_by_card(&card, &eligibility_request(&card)).unwrap();
    simulator.set_mode(&ModeSpec::slow(60_000)).await.unwrap();

    client.check_eligibility(with_deadline(&signed, 500)).await.unwrap_err();

    assert_eq!(simulator.effects().len(), 1);
}

#[tokio::test]
async fn errors_and_busy_come_as_told_and_as_often_as_told() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    let signed = sign_by_card(&card, &eligibility_request(&card)).unwrap();

    simulator.set_mode(&ModeSpec::error("INTERNAL").times(2)).await.unwrap();
    let pinged = client.ping(PingRequest {}).await.unwrap_err().code();
    let failed = [ask(&mut client, &signed).await.unwrap_err(), ask(&mut client, &signed).await.unwrap_err()];
    simulator.set_mode(&ModeSpec { ms: Some(1_500), ..ModeSpec::new("busy").times(1) }).await.unwrap();
    let busy = ask(&mut client, &signed).await.unwrap_err();
    let effects = simulator.effects();
    let answered = ask(&mut client, &signed).await;

    assert_eq!(pinged, Code::Internal, "a ping meets the mode without using up its count");
    assert_eq!(failed.map(|status| status.code()), [Code::Internal; 2]);
    assert_eq!(busy.code(), Code::ResourceExhausted);
    assert_eq!(busy.metadata().get("retry-after").unwrap(), "2");
    assert_eq!(busy.metadata().get("grpc-retry-pushback-ms").unwrap(), "1500");
    assert_eq!(effects, []);
    answered.unwrap();
}

#[tokio::test]
async fn the_ledger_file_equals_the_memory_and_a_killed_simulator_goes_on_where_it_was() {
    let (pki, dir) = (pki(), TempDir::new().unwrap());
    let path = dir.path().join("ledger.jsonl");
    let (mut child, address, control) = process(&pki, &dir, &["--think-ms", "0"]);
    let mut client = gateway_client(address, &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    let mut sent = Vec::new();
    for _ in 0..20 {
        let signed = sign_by_card(&card, &eligibility_request(&card)).unwrap();
        let answer = ask(&mut client, &signed).await.unwrap();
        sent.push((signed, answer));
    }
    let first = sent[0].0.clone();
    ask(&mut client, &first).await.unwrap();

    let memory = control.ledger().unwrap();
    assert_eq!(ledger::read(&path).unwrap(), memory);
    assert_eq!(memory.len(), 20);
    assert_eq!(memory[0].times_received, 2);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&sent[0].1.results[0].name), "no names in the ledger");

    child.kill9().unwrap();
    // As if the last line had been under way when the power failed.
    std::fs::write(&path, format!("{text}{{\"event\":\"app")).unwrap();
    let (_child, address, control) = process(&pki, &dir, &["--think-ms", "0"]);
    let mut client = gateway_client(address, &pki).unwrap();
    let (signed, answer) = &sent[7];
    let repeated = ask(&mut client, signed).await.unwrap();

    assert_eq!(&repeated, answer, "the same answer after a restart");
    let memory = control.ledger().unwrap();
    assert_eq!(ledger::read(&path).unwrap(), memory);
    assert_eq!(memory.len(), 20);
    assert_eq!((memory[7].times_applied, memory[7].times_received), (1, 2));
}

#[test]
fn the_program_is_steered_over_http_and_ends_gracefully_on_sigterm() {
    let (pki, dir) = (pki(), TempDir::new().unwrap());
    let (mut child, _, control) = process(&pki, &dir, &["--mode", "busy", "--mode-count", "3"]);

    assert!(control.healthy());
    assert_eq!(control.mode().unwrap(), ModeSpec { ms: Some(1000), ..ModeSpec::new("busy").times(3) });
    control.set_mode(&ModeSpec::slow(800)).unwrap();
    assert_eq!(control.mode().unwrap(), ModeSpec::slow(800));
    let error = control.set_mode(&ModeSpec::new("sideways")).unwrap_err();
    assert!(format!("{error:#}").contains("unknown mode"), "{error:#}");
    control.set_mode(&ModeSpec::new("down")).unwrap();
    assert_eq!(control.stats().unwrap().applied, 0);

    child.terminate().unwrap();
    assert!(child.wait(Duration::from_secs(5)).unwrap().success());
}

#[test]
fn the_program_refuses_to_listen_where_other_machines_reach_it() {
    let (pki, dir) = (pki(), TempDir::new().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_central-sim"));
    command.arg("--pki").arg(pki.dir()).args(["--listen", "0.0.0.0:0"]);
    let mut child = Child::spawn(command, dir.path().join("output.txt")).unwrap();

    child.wait_ready(Duration::from_secs(20)).unwrap_err();

    assert!(!child.wait(Duration::from_secs(5)).unwrap().success());
    assert!(std::fs::read_to_string(child.output()).unwrap().contains("loopback"));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_calls_that_hang() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    simulator.set_mode(&ModeSpec::new("hang")).await.unwrap();
    let hanging = tokio::spawn(async move { client.ping(PingRequest {}).await });
    while simulator.stats().pings_received == 0 {
        tokio::task::yield_now().await;
    }

    simulator.stop().await.unwrap();

    hanging.await.unwrap().unwrap_err();
}

async fn again(
    client: &mut Client,
    pki: &DevPki,
    follow_up: &FollowUpRequest,
) -> Result<EligibilityAnswer, tonic::Status> {
    client.ask_again(sign_by_gateway(pki, follow_up).unwrap()).await.map(tonic::Response::into_inner)
}

/// How an answer ends at the desk.
fn validity(answer: &EligibilityAnswer) -> (&str, bool) {
    (&answer.qualification_validity, answer.card_registered)
}

#[tokio::test]
async fn a_follow_up_is_applied_once_and_another_body_under_its_id_is_refused() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    let request = eligibility_request(&card);
    let mut asked = follow_up(&request, Purpose::Recheck);

    let too_early = again(&mut client, &pki, &asked).await.unwrap_err();
    ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap();
    let first = again(&mut client, &pki, &asked).await.unwrap();
    simulator.wish(&Person::of_serial(&card.serial_hex, Class::None)).unwrap();
    let second = again(&mut client, &pki, &asked).await.unwrap();
    asked.asked_at_ms += 1;
    let other_body = again(&mut client, &pki, &asked).await.unwrap_err();

    assert_eq!(too_early.code(), Code::FailedPrecondition);
    assert_eq!(first, second);
    assert_eq!(first.request_id, asked.follow_up_id);
    assert_eq!(other_body.code(), Code::InvalidArgument);
    let effects = simulator.effects();
    assert_eq!(effects.iter().map(|effect| effect.kind).collect::<Vec<_>>(), [Kind::Eligibility, Kind::FollowUp]);
    assert_eq!((effects[1].times_applied, effects[1].times_received), (1, 2));
    assert_eq!(effects[1].request_id, Some(effects[0].id));
    assert_eq!(effects[1].purpose, Some(ledger::Purpose::Recheck));
    assert_eq!(effects[0].order, effects[1].order, "both belong to one patient");
}

#[tokio::test]
async fn registering_makes_a_card_valid_for_good() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-UNREGISTERED-0001");
    let request = eligibility_request(&card);
    let before = ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap();

    let rechecked = again(&mut client, &pki, &follow_up(&request, Purpose::Recheck)).await.unwrap();
    let registered = again(&mut client, &pki, &follow_up(&request, Purpose::Register)).await.unwrap();
    let next_visit = ask(&mut client, &sign_by_card(&card, &eligibility_request(&card)).unwrap()).await.unwrap();

    assert_eq!(validity(&before), ("", false));
    assert_eq!(validity(&rechecked), ("", false), "asking again registers nobody");
    assert_eq!(validity(&registered), ("1", true));
    assert_eq!(validity(&next_visit), ("1", true));
}

#[tokio::test]
async fn a_follow_up_that_never_can_be_answered_is_refused() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-UNREGISTERED-0001");
    let mut by_staff = eligibility_request(&card);
    by_staff.verification = Verification::Staff.into();
    ask(&mut client, &sign_by_gateway(&pki, &by_staff).unwrap()).await.unwrap();
    let asked = follow_up(&by_staff, Purpose::Recheck);
    let nobody = FollowUpRequest { request_id: Vec::new(), ..asked.clone() };

    for (name, asked) in [
        ("no purpose", FollowUpRequest { purpose: 0, ..asked.clone() }),
        ("an unknown purpose", FollowUpRequest { purpose: 99, ..asked.clone() }),
        ("registering somebody whom staff looked at", FollowUpRequest { purpose: 1, ..asked.clone() }),
        ("registering nobody", FollowUpRequest { purpose: 1, ..nobody.clone() }),
        ("asking about nobody", nobody),
        ("a request id of 15 bytes", FollowUpRequest { request_id: vec![1; 15], ..asked.clone() }),
    ] {
        assert_eq!(again(&mut client, &pki, &asked).await.unwrap_err().code(), Code::InvalidArgument, "{name}");
    }
    let by_card = client.ask_again(sign_by_card(&card, &asked).unwrap()).await.unwrap_err();
    assert_eq!(by_card.code(), Code::InvalidArgument, "the gateway signs follow-ups");
    assert_eq!(simulator.effects().len(), 1);
    again(&mut client, &pki, &asked).await.unwrap();
}

#[tokio::test]
async fn late_data_is_found_when_asked_again_and_a_revoked_card_stays_revoked() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-LATE-0001");

    // Class, later, validity at first and when asked again.
    for (class, later, at_first, finally) in [
        (Class::None, Some(Class::Valid), "4", "1"),
        (Class::Invalid, Some(Class::Valid), "2", "1"),
        (Class::Invalid, Some(Class::InvalidNew), "2", "3"),
        (Class::None, None, "4", "4"),
        (Class::Revoked, None, "", ""),
    ] {
        let mut wish = Person::of_serial(&card.serial_hex, class);
        wish.later = later;
        simulator.wish(&wish).unwrap();
        let request = eligibility_request(&card);
        let first = ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap();
        let second = again(&mut client, &pki, &follow_up(&request, Purpose::Recheck)).await.unwrap();
        assert_eq!(
            (first.qualification_validity.as_str(), second.qualification_validity.as_str()),
            (at_first, finally)
        );
        assert_eq!(second.certificate_revoked, class == Class::Revoked);
    }
    simulator.wish(&Person::of_serial(&card.serial_hex, Class::Revoked).later(Class::Valid)).unwrap_err();
}

#[tokio::test]
async fn who_changed_the_insurer_is_found_by_the_new_numbers() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-INVALID-NEW-0001");
    let request = eligibility_request(&card);
    let first = ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap();
    let [old, new] = [0, 1].map(|which: usize| Numbers::of(&first.results[which]));
    let mut stranger = new.clone();
    stranger.birthdate = "18680101".to_owned();

    for (numbers, found) in [(&old, "3"), (&new, "1"), (&stranger, "4")] {
        let asked =
            FollowUpRequest { whom: Some(Whom::Search(numbers.search())), ..follow_up(&request, Purpose::Recheck) };
        assert_eq!(again(&mut client, &pki, &asked).await.unwrap().qualification_validity, found);
        let without_request = FollowUpRequest { request_id: Vec::new(), ..with_new_id(&asked) };
        assert_eq!(again(&mut client, &pki, &without_request).await.unwrap().qualification_validity, found);
        let by_document = sign_by_gateway(&pki, &document_request(numbers)).unwrap();
        let answer = ask(&mut client, &by_document).await.unwrap();
        assert_eq!((answer.qualification_validity.as_str(), answer.reference_classification.as_str()), (found, "2"));
        assert_eq!(answer.search, Some(numbers.search()), "the query is echoed");
        assert!(answer.results.iter().all(|result| result.specific_diseases_certificate_list.is_empty()));
    }
    let effects = simulator.effects();
    let persons: Vec<&str> = effects.iter().map(|effect| effect.person.as_str()).collect();
    assert!(persons[..7].iter().all(|person| *person == persons[0]), "one person under all their numbers: {persons:?}");
    assert!(persons[7..].iter().all(|person| person.is_empty()), "nobody is joined with somebody else: {persons:?}");
}

#[tokio::test]
async fn a_consent_may_name_a_later_question_that_stood_alone_and_found_somebody_insured_and_no_other() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-INVALID-NEW-0001");
    let request = eligibility_request(&card);
    let first = ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap();
    let [old, new] = [0, 1].map(|which: usize| Numbers::of(&first.results[which]));
    let mut stranger = new.clone();
    stranger.birthdate = "18680101".to_owned();

    for (name, numbers, alone, code) in [
        ("found, alone", &new, true, None),
        ("found, after a question", &new, false, Some(Code::FailedPrecondition)),
        ("not insured any more", &old, true, Some(Code::FailedPrecondition)),
        ("nobody", &stranger, true, Some(Code::FailedPrecondition)),
    ] {
        let mut asked =
            FollowUpRequest { whom: Some(Whom::Search(numbers.search())), ..follow_up(&request, Purpose::Recheck) };
        if alone {
            asked.request_id.clear();
        }
        let record = ConsentRecord { request_id: asked.follow_up_id.clone(), ..consent_record(&request) };
        let signed = sign_by_gateway(&pki, &record).unwrap();
        let too_early = client.record_consent(signed.clone()).await.unwrap_err();
        assert_eq!(too_early.code(), Code::FailedPrecondition, "{name}");
        again(&mut client, &pki, &asked).await.unwrap();
        assert_eq!(client.record_consent(signed).await.err().map(|status| status.code()), code, "{name}");
        let elsewhere = eligibility_request(&card).reception_id;
        let other =
            ConsentRecord { reception_id: elsewhere, request_id: asked.follow_up_id, ..consent_record(&request) };
        let other = client.record_consent(sign_by_gateway(&pki, &other).unwrap()).await.unwrap_err();
        assert_eq!(other.code(), code.unwrap_or(Code::InvalidArgument), "{name}, of another reception");
    }
}

fn with_new_id(asked: &FollowUpRequest) -> FollowUpRequest {
    FollowUpRequest { follow_up_id: uuid::Uuid::now_v7().as_bytes().to_vec(), ..asked.clone() }
}

#[tokio::test]
async fn a_document_without_a_card_is_found_by_a_wish_and_asked_for_by_the_gateway_only() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let numbers = Numbers {
        insurer: "990014".to_owned(),
        symbol: "1234".to_owned(),
        number: "00000042".to_owned(),
        branch: "01".to_owned(),
        birthdate: "19580401".to_owned(),
    };
    simulator.wish(&Person::of_document(numbers.clone(), Class::None).later(Class::Valid)).unwrap();
    let request = document_request(&numbers);
    let card = card(&pki, "TEST-VALID-0001");

    let by_card = ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap_err();
    let first = ask(&mut client, &sign_by_gateway(&pki, &request).unwrap()).await.unwrap();
    let forgotten = again(&mut client, &pki, &follow_up(&request, Purpose::Recheck)).await.unwrap_err();
    let asked = FollowUpRequest { whom: Some(Whom::Search(numbers.search())), ..follow_up(&request, Purpose::Recheck) };
    let second = again(&mut client, &pki, &asked).await.unwrap();

    assert_eq!(by_card.code(), Code::InvalidArgument);
    assert_eq!(first.qualification_validity, "4");
    assert_eq!(forgotten.code(), Code::InvalidArgument, "the central system keeps no numbers");
    assert_eq!(second.qualification_validity, "1");
    assert_eq!(Numbers::of(&second.results[0]), numbers);
}

#[tokio::test]
async fn who_was_asked_about_by_the_four_items_is_asked_about_again_by_them() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    // Somebody whom the central system knows by a card that they did not bring.
    let card = card(&pki, "TEST-LATE-0001");
    simulator.wish(&Person::of_serial(&card.serial_hex, Class::Valid).with_dots(false)).unwrap();
    let known = ask(&mut client, &sign_by_card(&card, &eligibility_request(&card)).unwrap()).await.unwrap();
    let known = &known.results[0];
    let items = FourItems {
        name: known.name.replace('　', " "),
        sex: known.sex1.clone(),
        birthdate: known.birthdate.clone(),
        address: known.address.clone(),
    };
    simulator.wish(&Person::of_serial(&card.serial_hex, Class::None).later(Class::Valid).with_dots(false)).unwrap();

    let request = four_items_request(&items);
    let first = ask(&mut client, &sign_by_gateway(&pki, &request).unwrap()).await.unwrap();
    let asked = follow_up(&request, Purpose::Recheck);
    let forgotten = again(&mut client, &pki, &asked).await.unwrap_err();
    let nameless = FourItems { name: " ".to_owned(), ..items.clone() };
    let by = |items: &FourItems| FollowUpRequest { whom: Some(Whom::FourItems(items.clone())), ..with_new_id(&asked) };
    let nameless = again(&mut client, &pki, &by(&nameless)).await.unwrap_err();
    let second = again(&mut client, &pki, &by(&items)).await.unwrap();
    let without_request = FollowUpRequest { request_id: Vec::new(), ..by(&items) };
    let third = again(&mut client, &pki, &without_request).await.unwrap();
    let twin = FourItems { name: format!("{}二", items.name), ..items.clone() };
    let somebody_else = again(&mut client, &pki, &by(&twin)).await.unwrap();
    let register = FollowUpRequest { purpose: Purpose::Register.into(), ..by(&items) };
    let registered = again(&mut client, &pki, &register).await.unwrap_err();

    assert_eq!(first.qualification_validity, "4");
    assert_eq!(forgotten.code(), Code::InvalidArgument, "the central system keeps no items");
    assert_eq!(nameless.code(), Code::InvalidArgument);
    assert_eq!((second.qualification_validity.as_str(), third.qualification_validity.as_str()), ("1", "1"));
    assert_eq!(second.results[0].name, known.name);
    assert_eq!(somebody_else.qualification_validity, "4", "nobody is joined with somebody else");
    assert_eq!(registered.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_was_agreed_to_stands_in_the_answer_when_asked_again() {
    let pki = pki();
    let simulator = simulator(&pki).await;
    let mut client = gateway_client(simulator.address(), &pki).unwrap();
    let card = card(&pki, "TEST-VALID-0001");
    let request = eligibility_request(&card);
    let consent = consent_record(&request);

    let before = ask(&mut client, &sign_by_card(&card, &request).unwrap()).await.unwrap();
    client.record_consent(sign_by_gateway(&pki, &consent).unwrap()).await.unwrap();
    let after = again(&mut client, &pki, &follow_up(&request, Purpose::Recheck)).await.unwrap();

    let state = |answer: &EligibilityAnswer| answer.results[0].pharmacists_info.clone().unwrap();
    assert_eq!((state(&before).cons_flg.as_str(), before.prescription_issue_select.as_str()), ("0", "2"));
    assert_eq!((state(&after).cons_flg.as_str(), after.prescription_issue_select.as_str()), ("1", "1"));
    assert_eq!(state(&after).cons_time.len(), 14);
    assert!(state(&after).available_time > state(&after).cons_time);
}

#[test]
fn every_certificate_occurs_in_the_population_and_survives_the_wire() {
    let population = Population::new(7, Rates::default());
    let people: Vec<Qualification> = (0..2_000_u32)
        .flat_map(|number| {
            let serial = number.to_be_bytes();
            let card = CardIdentity { serial: &serial, common_name: "" };
            let class = if number.is_multiple_of(2) { Class::Valid } else { Class::ValidUnregistered };
            population.qualifications(card, Outcome { class, ..Outcome::NOBODY })
        })
        .collect();

    for (name, has) in [
        ("高齢受給者証", (|person| person.elderly_recipient_certificate_info.is_some()) as fn(&Qualification) -> bool),
        ("限度額", |person| person.limit_application_certificate_related_info.is_some()),
        ("特定疾病", |person| !person.specific_diseases_certificate_list.is_empty()),
        ("医療券", |person| !person.public_expense_result_list.is_empty()),
        ("未就学", |person| person.preschool_classification == "1"),
    ] {
        let found = people.iter().filter(|person| has(person)).count();
        assert!(found > 0 && found < people.len(), "{found} of {} have {name}", people.len());
    }
    for person in &people {
        let welfare = person.insured_card_classification == "A1";
        assert_eq!(welfare, person.insurer_number.starts_with("12"));
        assert_eq!(welfare, !person.public_expense_result_list.is_empty());
        assert_eq!(Qualification::decode(person.encode_to_vec().as_slice()).as_ref(), Ok(person));
    }
}
