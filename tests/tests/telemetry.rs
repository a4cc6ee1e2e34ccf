//! What an MQTT client sees of a site, and that the broker is optional.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use uketsuke_tests::process::Child;
use uketsuke_tests::scene::{PIN, STEP, Scene};
use uketsuke_tests::site::{Plan, until};

const READER: &str = "desk-1/a";
const ROOT: &str = "uketsuke/demo-clinic";

/// The latest message of every topic that a listener has seen.
fn latest(listener: &Child) -> Result<BTreeMap<String, Value>> {
    let captured = std::fs::read_to_string(listener.output())?;
    // The last line may still be on its way.
    let whole = captured.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| {
            let (topic, payload) = line.split_once(' ').with_context(|| format!("not a message: {line}"))?;
            Ok((topic.to_owned(), serde_json::from_str(payload).with_context(|| format!("not JSON: {line}"))?))
        })
        .collect()
}

fn until_seen(
    listener: &Child,
    patience: Duration,
    what: &str,
    wanted: impl Fn(&BTreeMap<String, Value>) -> bool,
) -> Result<()> {
    until(patience, what, || latest(listener).is_ok_and(|topics| wanted(&topics)))
        .with_context(|| format!("seen: {:?}", latest(listener)))
}

fn everything(topics: &BTreeMap<String, Value>) -> bool {
    ["gateway", "terminal/desk-1", "reader/desk-1/a", "reader/desk-1/b", "outbox/central"]
        .iter()
        .all(|topic| topics.contains_key(&format!("{ROOT}/{topic}")))
}

fn with_broker() -> Plan {
    Plan { mqtt: true, more_config: "keep_alive_s = 5\n".into(), ..Plan::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_a_site_has_a_retained_topic_with_its_state() -> Result<()> {
    let scene = Scene::start(with_broker())?;
    scene.check_in(READER, &scene.card("TEST-VALID-1")?, PIN).await?;
    scene.check_in(READER, &scene.card("TEST-INVALID-1")?, PIN).await?;
    let counted = |topics: &BTreeMap<String, Value>| {
        let reader =
            &topics.get(&format!("{ROOT}/reader/desk-1/a")).map_or(Value::Null, |reader| reader["receptions"].clone());
        everything(topics) && reader["recorded"] == 2 && reader["provisional"] == 0
    };
    let early = scene.site.listen_to_mqtt()?;
    until_seen(&early, STEP, "everything with two receptions", counted)?;

    // Somebody who comes later is told at once: the broker has kept it.
    drop(early);
    std::fs::remove_file(scene.dir().join("mqtt.log"))?;
    let late = scene.site.listen_to_mqtt()?;
    until_seen(&late, Duration::from_secs(3), "everything again", counted)?;
    let topics = latest(&late)?;
    assert_eq!(topics[&format!("{ROOT}/gateway")]["state"], "online");
    assert_eq!(topics[&format!("{ROOT}/terminal/desk-1")]["in_service"], 2);
    assert_eq!(topics[&format!("{ROOT}/outbox/central")]["central"], "up");
    let cases = &topics[&format!("{ROOT}/cases")];
    assert!(cases["desk"].is_u64() && cases["machine"].is_u64(), "{cases}");
    assert_eq!(topics.len(), 6, "{topics:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_announces_a_gateway_that_died_and_one_that_stopped_announces_itself() -> Result<()> {
    let mut scene = Scene::start(with_broker())?;
    let listener = scene.site.listen_to_mqtt()?;
    let says = |state: &'static str| {
        move |topics: &BTreeMap<String, Value>| {
            topics.get(&format!("{ROOT}/gateway")).is_some_and(|gateway| gateway["state"] == state)
        }
    };
    until_seen(&listener, STEP, "online", says("online"))?;
    scene.site.kill_gateway()?;
    until_seen(&listener, Duration::from_secs(8), "offline by the Last Will", says("offline"))?;
    scene.site.start_gateway()?;
    until_seen(&listener, STEP, "online again", says("online"))?;
    assert_eq!(scene.site.stop_gateway()?, Some(0));
    until_seen(&listener, Duration::from_secs(8), "offline by itself", says("offline"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_went_silent_is_announced_within_its_keep_alive() -> Result<()> {
    let mut scene = Scene::start(with_broker())?;
    let listener = scene.site.listen_to_mqtt()?;
    until_seen(&listener, STEP, "everything", everything)?;
    scene.site.gateway()?.freeze()?;
    let offline = |topics: &BTreeMap<String, Value>| topics[&format!("{ROOT}/gateway")]["state"] == "offline";
    // One and a half keep-alives, and the broker's own rounding.
    let announced = until_seen(&listener, Duration::from_secs(12), "offline by the Last Will", offline);
    scene.site.gateway()?.thaw()?;
    announced?;
    let online = |topics: &BTreeMap<String, Value>| topics[&format!("{ROOT}/gateway")]["state"] == "online";
    until_seen(&listener, STEP, "online again", online)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_lost_its_memory_is_told_everything_again() -> Result<()> {
    let mut scene = Scene::start(with_broker())?;
    let listener = scene.site.listen_to_mqtt()?;
    until_seen(&listener, STEP, "everything", everything)?;
    drop(listener);
    scene.site.stop_broker()?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-UNSEEN")?, PIN).await?;
    scene.until_code(&visit.reception, "confirmed").await?;

    // It keeps nothing on disk, so whatever it says now it was told now.
    std::fs::remove_file(scene.dir().join("mqtt.log"))?;
    scene.site.start_broker()?;
    let listener = scene.site.listen_to_mqtt()?;
    let with_the_reception = |topics: &BTreeMap<String, Value>| {
        everything(topics) && topics[&format!("{ROOT}/reader/desk-1/a")]["receptions"]["recorded"] == 1
    };
    until_seen(&listener, STEP, "everything, with the reception that the broker missed", with_the_reception)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_down_shows_in_the_outbox_topic() -> Result<()> {
    let scene = Scene::start(Plan { answer_deadline_ms: 500, ..with_broker() })?;
    let listener = scene.site.listen_to_mqtt()?;
    scene.central(uketsuke_tests::central::ModeSpec::new("down"))?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-WAITING")?, PIN).await?;
    let topic = format!("{ROOT}/outbox/central");
    until_seen(&listener, STEP, "down with rows that wait", |topics| {
        topics.get(&topic).is_some_and(|outbox| outbox["central"] == "down" && outbox["pending"].as_u64() > Some(0))
    })?;
    scene.central(uketsuke_tests::central::ModeSpec::new("up"))?;
    scene.until_code(&visit.reception, "confirmed_later").await?;
    until_seen(&listener, STEP, "up with nothing that waits", |topics| {
        topics.get(&topic).is_some_and(|outbox| outbox["central"] == "up" && outbox["pending"] == 0)
    })
}
