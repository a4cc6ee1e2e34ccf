//! The kiosk page as a patient meets it: Debian's Chromium with a fed camera, driven like a person.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use uketsuke_tests::patient::PatientCard;
use uketsuke_tests::process::Child;
use uketsuke_tests::scene::is_face_ready;
use uketsuke_tests::shell::Shell;
use uketsuke_tests::site::{Plan, Site, assets, portrait, until};

/// A browser on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

fn browse(site: &Site, arguments: &[&str], clip: &str) -> Child {
    let scripts = scripts();
    assert!(scripts.join("node_modules").is_dir(), "the browser driver is not installed; run: deploy/setup --tests");
    let mut node = Command::new("node");
    node.arg(scripts.join("checkin.mjs")).arg(format!("http://{}", site.web())).arg("desk-1/a");
    node.arg(assets().unwrap().join("portraits").join(clip)).args(arguments);
    Child::spawn(node, site.dir().join("browser.log")).unwrap()
}

fn site_with_card(dir: &Path, name: &str) -> (Site, PatientCard) {
    let site = Site::start(dir, Plan { face: true, ..Plan::default() }).unwrap();
    let card = site.card(name, Some(*b"1234"), Some(portrait("chip.jp2").unwrap())).unwrap();
    let url = format!("http://{}/healthz", site.web());
    let ready = || {
        let body = ureq::get(&url).call().ok().and_then(|mut answer| answer.body_mut().read_to_string().ok());
        body.is_some_and(|health| is_face_ready(&health))
    };
    until(Duration::from_secs(30), "the face method is ready", ready).unwrap();
    (site, card)
}

/// The card lies in the reader from the moment at which the page is open until the browser has done its part.
async fn with_card(site: &Site, card: &PatientCard, mut browser: Child) {
    browser.wait_ready(PATIENCE).unwrap();
    let inserted = card.insert(site.slot("desk-1/a").unwrap()).await.unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let status = browser.wait(PATIENCE).unwrap();
        (status.success(), std::fs::read_to_string(browser.output()).unwrap())
    });
    let (success, output) = ended.await.unwrap();
    assert!(success, "in the browser:\n{output}");
    inserted.remove().await;
}

async fn check_in(site: &Site, card: &PatientCard, browser: Child) -> String {
    with_card(site, card, browser).await;
    let (code, explained) = site.ask(&["explain", "--json"]).unwrap();
    assert_eq!(code, Some(0));
    explained
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_checks_in_by_face_through_the_page_with_a_camera() {
    let dir = tempfile::tempdir().unwrap();
    let (site, card) = site_with_card(dir.path(), "TEST-VALID-BROWSER-FACE");
    let browser = browse(&site, &[], "camera-same.mjpeg");
    let explained = check_in(&site, &card, browser).await;
    assert!(explained.contains("\"code\":\"confirmed\"") && explained.contains("face_score"), "{explained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_checks_in_by_pin_through_the_page_in_english() {
    let dir = tempfile::tempdir().unwrap();
    let (site, card) = site_with_card(dir.path(), "TEST-VALID-BROWSER-PIN");
    let browser = browse(&site, &["--pin", "1234", "--lang", "en"], "camera-other.mjpeg");
    let explained = check_in(&site, &card, browser).await;
    assert!(explained.contains("\"code\":\"confirmed\"") && !explained.contains("face_score"), "{explained}");
    assert_eq!(card.pin_tries_left(), Some(3));
}

#[test]
fn the_pin_pad_can_be_used_again_when_the_gateway_dropped_a_press() {
    let pad = Command::new("node").arg(scripts().join("pad.mjs")).output().unwrap();
    assert!(pad.status.success(), "{}", String::from_utf8_lossy(&pad.stderr));
}

#[test]
fn kiosk_and_staff_page_say_that_a_dead_line_is_dead_and_keep_a_slow_one() {
    let silence = Command::new("node").arg(scripts().join("silence.mjs")).output().unwrap();
    assert!(silence.status.success(), "{}", String::from_utf8_lossy(&silence.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_half_open_connection_both_pages_say_offline_readable_on_a_phone_and_no_pin_vanishes() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), Plan::default()).unwrap();
    let card = site.card("TEST-VALID-HALFOPEN", Some(*b"1234"), None).unwrap();
    let mut node = Command::new("node");
    node.arg(scripts().join("halfopen.mjs")).arg(format!("http://{}", site.web())).arg("desk-1/a");
    let browser = Child::spawn(node, site.dir().join("browser.log")).unwrap();
    with_card(&site, &card, browser).await;
    assert_eq!(card.pin_tries_left(), Some(3), "the PIN was tried once, although it was typed twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_whose_document_does_not_count_is_on_the_staff_page_until_received_or_seen_to() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), Plan::default()).unwrap();
    let mut node = Command::new("node");
    node.arg(scripts().join("desk.mjs")).arg(format!("http://{}", site.web()));
    let done = tokio::task::spawn_blocking(move || node.output()).await.unwrap().unwrap();
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(done.status.success(), "{said:?}");
}

#[test]
fn pages_opened_while_a_foreign_lock_is_waited_for_become_the_real_ones_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Site::start(dir.path(), Plan::default()).unwrap();
    site.kill_gateway().unwrap();
    let lock = Shell::open(&dir.path().join("data/uketsuke.db"), "BEGIN IMMEDIATE; SELECT 'held';").unwrap();
    site.spawn_gateway().unwrap();
    until(PATIENCE, "the lock to be said", || site.get("/healthz").is_ok_and(|told| told.contains("sqlite3"))).unwrap();
    let mut node = Command::new("node");
    node.arg(scripts().join("door.mjs")).arg(format!("http://{}", site.web())).arg("desk-1/a");
    let mut browser = Child::spawn(node, site.dir().join("browser.log")).unwrap();
    browser.wait_ready(PATIENCE).unwrap();
    // For a while nobody answers at all: that takes the page away from no kiosk.
    site.kill_gateway().unwrap();
    site.spawn_gateway().unwrap();
    lock.close().unwrap();
    let status = browser.wait(PATIENCE).unwrap();
    assert!(status.success(), "{}", std::fs::read_to_string(browser.output()).unwrap());
}
