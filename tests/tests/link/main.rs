//! The line to the central system: certificates come and go without a dropped request, and the connection check says what is wrong.

#![allow(clippy::unwrap_used, reason = "a scene that cannot be set fails its test")]

mod revocation;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uketsuke::central::{CentralClient, CentralError, Layer, LineFault, LinkStatus, Looked, Outcome, inspect, watch};
use uketsuke::clock::Clock;
use uketsuke::config;
use uketsuke::store::{BODY_BYTES_MAX, Lane, OutboxRow, Proof, Request, RequestKind};
use uketsuke_core::explain::Lang;
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_tests::central::{ModeSpec, Options, Simulator};
use uketsuke_tests::pki::{ClientOptions, DevPki, serial_of};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Longest wait for something that the watch does.
const SOON: Duration = Duration::from_secs(20);

/// A PKI of its own, made of a kept one: RSA keys are slow to make.
struct Scene {
    pki: DevPki,
    _dir: TempDir,
    simulator: Simulator,
    central: config::Central,
}

impl Scene {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(connection_age: Option<Duration>) -> Self {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("central-pki");
        DevPki::create_or_open(&kept).unwrap();
        let dir = TempDir::new().unwrap();
        for entry in std::fs::read_dir(kept).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
            }
        }
        let pki = DevPki::open(dir.path()).unwrap();
        let options = Options { think_ms: 0, connection_age, ..Options::new(pki.clone()) };
        let simulator = Simulator::start(options).await.unwrap();
        let central = central(&pki, simulator.address());
        Self { pki, _dir: dir, simulator, central }
    }

    async fn inspected(&self) -> Vec<Looked> {
        inspect(&self.central, &clock()).await
    }

    /// The fault, once it is certain that all before it is fine and all after it was not tried.
    async fn fault(&self) -> (Layer, LineFault) {
        let looked = self.inspected().await;
        let at = looked.iter().position(|looked| matches!(looked.outcome, Outcome::Failed(_))).unwrap();
        assert!(looked[..at].iter().all(|looked| matches!(looked.outcome, Outcome::Fine(_))), "{looked:?}");
        assert!(looked[at + 1..].iter().all(|looked| looked.outcome == Outcome::NotTried), "{looked:?}");
        let Outcome::Failed(fault) = looked[at].outcome.clone() else { panic!("{looked:?}") };
        (looked[at].layer, fault)
    }

    fn watched(&self) -> (CentralClient, tokio::task::JoinHandle<()>) {
        let client = CentralClient::new(&self.central, &clock());
        let watching = watch(self.central.clone(), client.clone(), clock());
        (client, watching)
    }
}

fn central(pki: &DevPki, address: SocketAddr) -> config::Central {
    config::Central {
        address: address.to_string(),
        server_name: "localhost".into(),
        ca_file: pki.link_ca_pem(),
        certificate_file: pki.gateway_pem(),
        key_file: pki.gateway_key(),
        crl_file: None,
        watch_every_ms: 100,
        warn_days: 30,
        connect_timeout_ms: 2_000,
        call_deadline_ms: 2_000,
        window_max: 4,
        probe_every_ms: 500,
    }
}

fn clock() -> Clock {
    Clock::new("/nonexistent".into())
}

fn days(from: i64, to: i64) -> ClientOptions {
    let now = OffsetDateTime::from_unix_timestamp(uketsuke_tests::clock::now_ms() / 1000).unwrap();
    ClientOptions { not_before: now + time::Duration::days(from), not_after: now + time::Duration::days(to) }
}

fn tomorrow() -> OffsetDateTime {
    days(0, 1).not_after
}

async fn until(client: &CentralClient, what: &str, so: impl FnMut(&LinkStatus) -> bool) -> LinkStatus {
    let mut status = client.status();
    let found = tokio::time::timeout(SOON, status.wait_for(so)).await;
    found.unwrap_or_else(|_| panic!("not within {SOON:?}: {what}: {:?}", client.status().borrow())).unwrap().clone()
}

// --- the connection check ---

#[tokio::test]
async fn a_line_that_works_is_fine_in_every_layer_and_in_both_languages() {
    let scene = Scene::new().await;
    let looked = scene.inspected().await;
    assert_eq!(looked.iter().map(|looked| looked.layer).collect::<Vec<_>>(), Layer::ALL);
    for looked in looked {
        assert!(matches!(looked.outcome, Outcome::Fine(_)), "{looked:?}");
        assert_ne!(looked.words(Lang::Ja), looked.words(Lang::En));
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_and_a_port_where_nobody_listens_are_told_apart() {
    let mut scene = Scene::new().await;
    scene.central.address = "central.invalid:443".into();
    assert!(matches!(scene.fault().await, (Layer::Name, LineFault::Name { host, .. }) if host == "central.invalid"));
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    scene.central.address = free.to_string();
    assert_eq!(scene.fault().await, (Layer::Tcp, LineFault::NobodyListens(free.to_string())));
}

/// A listener that answers whatever it hears with these bytes; without any it only listens.
async fn oddity(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if !answer.is_empty() {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer).await;
            }
            kept.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn something_that_speaks_no_tls_is_called_so_whether_it_talks_or_not() {
    let mut scene = Scene::new().await;
    scene.central.connect_timeout_ms = 500;
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        scene.central.address = oddity(answer).await.to_string();
        assert!(matches!(scene.fault().await, (Layer::Tls, LineFault::NotTls(_))), "{:?}", scene.inspected().await);
    }
}

#[tokio::test]
async fn the_servers_certificate_is_held_against_authority_name_dates_and_revocation_list() {
    let mut scene = Scene::new().await;
    scene.central.server_name = "central.example".into();
    assert!(matches!(scene.fault().await, (Layer::Tls, LineFault::TheirName(names)) if names.contains("localhost")));
    scene.central.server_name = "localhost".into();

    scene.central.ca_file = scene.pki.other_ca_pem();
    assert_eq!(scene.fault().await, (Layer::Tls, LineFault::TheirAuthorityUnknown));
    scene.central.ca_file = scene.pki.link_ca_pem();

    scene.pki.renew_server(&days(-3, -1)).unwrap();
    assert_eq!(scene.fault().await, (Layer::Tls, LineFault::TheirCertificateExpired));
    scene.pki.renew_server(&days(1, 3)).unwrap();
    assert_eq!(scene.fault().await, (Layer::Tls, LineFault::TheirCertificateNotYetValid));
    scene.pki.renew_server(&days(-1, 3)).unwrap();

    scene.central.crl_file = Some(scene.pki.link_crl_pem());
    assert!(matches!(scene.fault().await, (Layer::Tls, LineFault::OurFiles(_))), "a list that is missing");
    scene.pki.revoke(&[], days(-2, -1).not_after).unwrap();
    let (layer, fault) = scene.fault().await;
    assert!(matches!(&fault, LineFault::OurCrlExpired(_)) && layer == Layer::Tls, "{fault:?}");
    assert!(fault.to_string().contains("1: C=JP, O=Uketsuke development, CN=Uketsuke development link CA"), "{fault}");
    scene.pki.revoke(&[serial_of(&scene.pki.server_pem()).unwrap()], tomorrow()).unwrap();
    assert_eq!(scene.fault().await, (Layer::Tls, LineFault::TheirCertificateRevoked));
    scene.pki.revoke(&[], tomorrow()).unwrap();
    assert!(scene.inspected().await.iter().all(|looked| matches!(looked.outcome, Outcome::Fine(_))));
}

#[tokio::test]
async fn what_the_central_system_has_against_our_certificate_is_said() {
    let mut scene = Scene::new().await;
    let serial = serial_of(&scene.pki.gateway_pem()).unwrap();
    scene.pki.revoke(&[serial], tomorrow()).unwrap();
    assert_eq!(scene.fault().await, (Layer::Tls, LineFault::OurCertificateRevoked));

    (scene.central.certificate_file, scene.central.key_file) =
        (scene.pki.other_client_pem(), scene.pki.other_client_key());
    assert_eq!(scene.fault().await, (Layer::Tls, LineFault::OurAuthorityUnknown));

    let expired = days(-3, -1);
    (scene.central.certificate_file, scene.central.key_file) = scene.pki.client("expired", &expired).unwrap();
    let (layer, fault) = scene.fault().await;
    assert!(matches!(fault, LineFault::OurCertificateExpired(_)) && layer == Layer::Tls, "{fault:?}");
    let date = expired.not_after.to_offset(time::UtcOffset::from_hms(9, 0, 0).unwrap()).date().to_string();
    assert!(fault.said().en.contains(&date) && fault.said().ja.contains(&date), "{fault}");
}

#[tokio::test]
async fn a_service_that_is_missing_mute_busy_or_refuses_is_told_apart() {
    let scene = Scene::new().await;
    for (mode, layer, fault) in [
        (ModeSpec::error("UNIMPLEMENTED"), Layer::Service, LineFault::NoService),
        (ModeSpec::new("hang"), Layer::Service, LineFault::NoAnswer),
        (ModeSpec::new("busy"), Layer::Application, LineFault::Busy),
        (ModeSpec::error("INTERNAL"), Layer::Application, LineFault::Failing("internal".into())),
        (ModeSpec::error("PERMISSION_DENIED"), Layer::Application, LineFault::NotAccepted("permission_denied".into())),
    ] {
        scene.simulator.set_mode(&mode).await.unwrap();
        assert_eq!(scene.fault().await, (layer, fault), "{mode:?}");
    }
}

#[tokio::test]
async fn clocks_that_are_apart_are_said_with_their_direction() {
    let scene = Scene::new().await;
    scene.simulator.set_clock_ahead(Duration::from_secs(3_600));
    let (layer, fault) = scene.fault().await;
    assert!(layer == Layer::Clock && matches!(fault, LineFault::ClocksApart(3_590..=3_610)), "{fault:?}");
    assert!(fault.said().en.contains("ahead of"), "{fault}");
}

// --- odd requests and answers ---

/// An eligibility request as the store would hand it over, of so many bytes that say nothing.
fn padded(bytes: usize) -> OutboxRow {
    let id = RequestId(Uuid::now_v7());
    let body = Zeroizing::new(vec![0; bytes]);
    let request = Request { id, kind: RequestKind::Eligibility, body, proof: Proof::Gateway };
    let reception = ReceptionId(Uuid::now_v7());
    OutboxRow { seq: 1, request, reception, order_key: OrderKey([1; 32]), lane: Lane::Interactive, attempts: 0 }
}

#[tokio::test]
async fn the_largest_request_that_is_kept_is_read_and_a_larger_one_is_no_verdict_on_it() {
    let scene = Scene::new().await;
    let client = CentralClient::new(&scene.central, &clock());
    let largest = client.deliver(&padded(BODY_BYTES_MAX)).await.err().unwrap();
    assert_eq!(largest, CentralError::Rejected("invalid_argument".into()), "read, and found to say nothing");
    let larger = client.deliver(&padded(64 * 1024)).await.err().unwrap();
    assert_eq!(larger, CentralError::Protocol("out_of_range".into()), "it is kept and tried again");
    client.ping().await.unwrap();
    assert_eq!(client.status().borrow().fault, None, "the line has no fault");
}

// --- renewal ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed_under_load_without_a_failed_request() {
    // Each connection ends by itself after a second: renewals and reconnections meet in every way.
    let scene = Scene::with(Some(Duration::from_secs(1))).await;
    let (client, watching) = scene.watched();
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (client, stop, asked) = (client.clone(), stop.clone(), asked.clone());
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = client.ping().await {
                        failed.push(error);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        })
        .collect();
    let mut serials = vec![serial_of(&scene.pki.gateway_pem()).unwrap()];
    for renewal in 1..=5 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        scene.pki.client("gateway", &days(-1, 60)).unwrap();
        serials.push(serial_of(&scene.pki.gateway_pem()).unwrap());
        until(&client, "a renewal", |status| status.swaps == renewal).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut failed = Vec::new();
    for one in load {
        failed.extend(one.await.unwrap());
    }
    assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), asked.load(Ordering::Relaxed));
    assert!(asked.load(Ordering::Relaxed) > 100);
    let stats = scene.simulator.stats();
    assert!(serials.iter().all(|serial| stats.handshakes[serial] > 0), "{stats:?}");
    watching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_ends_on_the_former_connection() {
    let scene = Scene::new().await;
    let (client, watching) = scene.watched();
    client.ping().await.unwrap();
    scene.simulator.set_mode(&ModeSpec::slow(1_500)).await.unwrap();
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.ping().await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    scene.simulator.set_mode(&ModeSpec::new("up")).await.unwrap();
    scene.pki.client("gateway", &days(-1, 60)).unwrap();
    until(&client, "the renewal", |status| status.swaps == 1).await;
    assert!(!slow.is_finished(), "the renewal waited for the request");
    slow.await.unwrap().unwrap();
    watching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_used_are_refused_with_a_sentence_and_the_former_go_on() {
    let mut scene = Scene::new().await;
    scene.pki.revoke(&[], days(0, 60).not_after).unwrap();
    scene.central.crl_file = Some(scene.pki.link_crl_pem());
    let (client, watching) = scene.watched();
    let (pem, key, crl) = (scene.pki.gateway_pem(), scene.pki.gateway_key(), scene.pki.link_crl_pem());
    let whole = std::fs::read(&pem).unwrap();
    // Two files are never replaced at once, so that another refusal may come before.
    let refused = async |words: &str| {
        let before = client.status().borrow().refusals;
        let says = |status: &LinkStatus| status.refused.as_ref().is_some_and(|said| said.en.contains(words));
        let status = until(&client, words, says).await;
        assert!(status.refusals > 0 && status.refusals >= before, "{status:?}");
        assert!(status.warnings(0).iter().any(|warning| warning.en.contains("are not used")), "{status:?}");
        client.ping().await.unwrap();
    };
    let file = std::fs::File::create(&pem).unwrap();
    (&file).write_all(&whole[..whole.len() / 2]).unwrap();
    refused("cannot read our certificate").await;
    std::fs::write(&pem, &whole).unwrap();

    let good_crl = std::fs::read(&crl).unwrap();
    std::fs::write(&crl, &good_crl[..good_crl.len() / 2]).unwrap();
    refused("cannot read the revocation list").await;
    std::fs::write(&crl, &good_crl).unwrap();

    let good_key = std::fs::read(&key).unwrap();
    // Written in place, so that its mode stays.
    std::fs::write(&key, &good_key[..good_key.len() / 2]).unwrap();
    refused("cannot read our private key").await;
    std::fs::write(&key, &good_key).unwrap();

    let (_, foreign) = scene.pki.client("next", &days(-1, 60)).unwrap();
    std::fs::rename(foreign, &key).unwrap();
    refused("check that they belong together").await;
    std::fs::write(&key, &good_key).unwrap();

    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
    refused("chmod 600").await;
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();

    scene.pki.client("gateway", &days(-3, -1)).unwrap();
    refused("expired on").await;
    scene.pki.client("gateway", &days(1, 3)).unwrap();
    refused("is not valid before").await;

    // Good in every way that can be seen from here: only the central system knows that it is of a foreign authority.
    std::fs::copy(scene.pki.other_client_pem(), &pem).unwrap();
    std::fs::copy(scene.pki.other_client_key(), &key).unwrap();
    refused("it does not know the authority").await;

    scene.pki.client("gateway", &days(-1, 60)).unwrap();
    let status = until(&client, "a good one at last", |status| status.refused.is_none()).await;
    assert!(status.swaps > 0 && status.warnings(uketsuke_tests::clock::now_ms()).is_empty(), "{status:?}");
    watching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_put_in_place_while_the_line_is_down_are_used_only_once_they_have_been_tried() {
    let scene = Scene::new().await;
    let (client, watching) = scene.watched();
    client.ping().await.unwrap();
    // The central system looks at what is asked only after it has believed the signature.
    let believed = async || {
        let answer = client.deliver(&padded(100)).await.err().unwrap();
        assert_eq!(answer, CentralError::Rejected("invalid_argument".into()));
    };
    let untried = async || {
        let status = until(&client, "files that wait to be tried", |status| status.untried.is_some()).await;
        let said = status.warnings(0);
        assert!(said.iter().any(|said| said.en.contains("have not been tried yet")), "{said:?}");
        assert_eq!(status.swaps, 0, "the former pair serves until then");
    };
    believed().await;

    scene.simulator.set_mode(&ModeSpec::new("down")).await.unwrap();
    std::fs::copy(scene.pki.other_client_pem(), scene.pki.gateway_pem()).unwrap();
    std::fs::copy(scene.pki.other_client_key(), scene.pki.gateway_key()).unwrap();
    untried().await;
    scene.simulator.set_mode(&ModeSpec::new("up")).await.unwrap();
    let says = |status: &LinkStatus| {
        status.refused.as_ref().is_some_and(|said| said.en.contains("it does not know the authority"))
    };
    let status = until(&client, "the foreign pair is refused", says).await;
    assert_eq!((status.swaps, status.untried), (0, None));
    believed().await;

    scene.simulator.set_mode(&ModeSpec::new("down")).await.unwrap();
    scene.pki.client("gateway", &days(-1, 60)).unwrap();
    untried().await;
    scene.simulator.set_mode(&ModeSpec::new("up")).await.unwrap();
    let status = until(&client, "the good pair is used", |status| status.swaps == 1).await;
    assert_eq!((status.refused, status.untried), (None, None));
    believed().await;
    let serial = serial_of(&scene.pki.gateway_pem()).unwrap();
    assert!(scene.simulator.stats().handshakes[&serial] > 0);
    watching.abort();
}

#[tokio::test]
async fn a_gateway_whose_certificate_has_expired_starts_and_warns() {
    let mut scene = Scene::new().await;
    (scene.central.certificate_file, scene.central.key_file) = scene.pki.client("expired", &days(-3, -1)).unwrap();
    let client = CentralClient::new(&scene.central, &clock());
    let warnings = client.status().borrow().warnings(uketsuke_tests::clock::now_ms());
    assert!(warnings.iter().any(|said| said.en.contains("our certificate expired on")), "{warnings:?}");
}
