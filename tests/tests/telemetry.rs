//! What an MQTT client sees of a site, and that the broker is optional.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use uketsuke_core::telemetry::session::Rules;
use uketsuke_tests::broker::MqttProxy;
use uketsuke_tests::process::Child;
use uketsuke_tests::scene::{PIN, STEP, Scene, part};
use uketsuke_tests::site::{Plan, until};

const READER: &str = "desk-1/a";
const ROOT: &str = "uketsuke/demo-clinic";
const KEEP_ALIVE_S: u64 = 5;

/// The latest message of every topic that a listener has seen; one that was cleared is null.
fn latest(listener: &Child) -> Result<BTreeMap<String, Value>> {
    let captured = std::fs::read_to_string(listener.output())?;
    // The last line may still be on its way.
    let whole = captured.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| {
            let (topic, payload) = line.split_once(' ').with_context(|| format!("not a message: {line}"))?;
            if payload == "(null)" {
                return Ok((topic.to_owned(), Value::Null));
            }
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
    Plan { mqtt: true, more_config: format!("keep_alive_s = {KEEP_ALIVE_S}\n"), ..Plan::default() }
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

/// What the gateway itself says about MQTT on `/healthz`.
fn mqtt_part(scene: &Scene) -> (bool, String) {
    let Ok(health) = scene.health() else { return (false, String::new()) };
    let part = part(&health, "mqtt");
    (part["ok"] == true, part["detail"].as_str().unwrap_or_default().to_owned())
}

/// A figure of `/metrics`.
fn figure(scene: &Scene, name: &str) -> Result<u64> {
    let metrics = scene.get("/metrics")?;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(line.trim().parse()?)
}

fn sessions(scene: &Scene, happened: &str) -> Result<u64> {
    figure(scene, &format!("uketsuke_mqtt_sessions{{happened=\"{happened}\"}}"))
}

fn state(scene: &Scene, state: &str) -> bool {
    figure(scene, &format!("uketsuke_mqtt_state{{state=\"{state}\"}}")).is_ok_and(|value| value == 1)
}

/// A proxy before `broker`, and the gateway's configuration pointed at it.
fn through_a_proxy(scene: &Scene, broker: SocketAddr) -> Result<MqttProxy> {
    let proxy = MqttProxy::start(broker)?;
    let (ip, own) = (scene.site.mqtt().ip(), proxy.address());
    scene.site.reconfigure(
        &format!("host = \"{ip}\"\nport = 1883"),
        &format!("host = \"{}\"\nport = {}", own.ip(), own.port()),
    )?;
    Ok(proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_the_broker_refuses_is_said_until_it_is_granted() -> Result<()> {
    let mut scene = Scene::prepare(with_broker())?;
    let proxy = through_a_proxy(&scene, scene.site.mqtt())?;
    proxy.refuse_subscriptions(true);
    scene.site.start_gateway()?;
    let said = "does not let it be read back";
    until(STEP, "refused, in words", || mqtt_part(&scene).1.contains(said))?;
    assert!(mqtt_part(&scene).0, "state goes out all the same");
    proxy.refuse_subscriptions(false);
    scene.site.stop_broker()?;
    scene.site.start_broker()?;
    until(Duration::from_secs(45), "granted, and no longer said", || {
        let (ok, words) = mqtt_part(&scene);
        ok && !words.contains(said)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_acknowledgement_ends_the_session_and_the_next_one_publishes_again() -> Result<()> {
    let mut scene = Scene::prepare(with_broker())?;
    let proxy = through_a_proxy(&scene, scene.site.mqtt())?;
    scene.site.start_gateway()?;
    let listener = scene.site.listen_to_mqtt()?;
    until_seen(&listener, STEP, "everything", everything)?;
    until(STEP, "up", || mqtt_part(&scene).0)?;

    proxy.withhold_acknowledgements(true);
    let from = Instant::now();
    until(STEP, "stalled, in words, as a state, for the staff", || {
        let said = mqtt_part(&scene).1.contains("does not acknowledge what is published");
        said && state(&scene, "stalled")
            && scene.get("/staff").is_ok_and(|page| page.contains("受け取ったと答えません"))
    })?;
    println!("stall: noticed after {:?}", from.elapsed());
    // More than one session: what one of them waits for is not what the next one waits for.
    until(Duration::from_secs(60), "three sessions given up", || {
        sessions(&scene, "stalls").is_ok_and(|stalls| stalls >= 3)
    })?;
    assert!(proxy.withheld() >= 3);
    assert_eq!(scene.health()?["ok"], true, "patients are received all the same");

    proxy.withhold_acknowledgements(false);
    let from = Instant::now();
    until(Duration::from_secs(45), "up again", || mqtt_part(&scene).0)?;
    println!("stall: recovered after {:?}, {} connections", from.elapsed(), proxy.accepted().len());
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-AFTER")?, PIN).await?;
    scene.until_code(&visit.reception, "confirmed").await?;
    until_seen(&listener, STEP, "a reception after the stall", |topics| {
        topics.get(&format!("{ROOT}/reader/desk-1/a")).is_some_and(|reader| reader["receptions"]["recorded"] == 1)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_with_one_client_id_both_say_so_and_leave_each_other_in_place_for_half_a_minute() -> Result<()> {
    let mut first = Scene::prepare(with_broker())?;
    let mut second = Scene::prepare(Plan { terminals: vec![("desk-2".into(), vec!["c".into()])], ..with_broker() })?;
    let broker = first.site.mqtt();
    let proxies = [through_a_proxy(&first, broker)?, through_a_proxy(&second, broker)?];
    first.site.start_gateway()?;
    let listener = first.site.listen_to_mqtt()?;
    until_seen(&listener, STEP, "everything", everything)?;
    second.site.start_gateway()?;

    let from = Instant::now();
    let said = "another gateway uses the same site.name or the client id uketsuke-demo-clinic";
    for scene in [&first, &second] {
        until(Duration::from_secs(90), "taken over, in words, as a state, for the staff, in the log", || {
            mqtt_part(scene).1.contains(said)
                && state(scene, "taken_over")
                && scene.get("/staff").is_ok_and(|page| page.contains("別のゲートウェイが同じ施設名"))
                && scene.log().is_ok_and(|log| log.contains(said))
        })?;
        println!("takeover: noticed after {:?}", from.elapsed());
        assert_eq!(scene.health()?["ok"], true, "patients are received all the same");
    }
    // One is in place. The other one was pushed out by the latest connection, and comes back after 30 s to 60 s.
    let accepted = || {
        let mut all: Vec<_> = proxies.iter().flat_map(MqttProxy::accepted).collect();
        all.sort();
        all
    };
    let before = accepted().len();
    println!("takeover: {before} sessions until both knew");
    assert!(before <= 8, "{before} sessions");
    until(Duration::from_secs(90), "the other one tries again", || accepted().len() > before)?;
    let accepted = accepted();
    let waited = accepted[before].duration_since(accepted[before - 1]);
    println!("takeover: the next session after {waited:?}");
    let rules = Rules::new(Duration::from_secs(KEEP_ALIVE_S), Duration::from_secs(60));
    assert!(waited >= rules.rival_retry.delay(1, 0.0), "{waited:?}");

    // Neither has cleared what the other one shows.
    let topics = latest(&listener)?;
    for topic in ["reader/desk-1/a", "reader/desk-1/b", "reader/desk-2/c", "terminal/desk-1", "terminal/desk-2"] {
        assert!(topics.get(&format!("{ROOT}/{topic}")).is_some_and(Value::is_object), "{topic}: {topics:?}");
    }
    for scene in [&first, &second] {
        assert_eq!(sessions(scene, "cleared")?, 0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_of_one_site_name_with_client_ids_of_their_own_see_each_other_as_well() -> Result<()> {
    let first = Scene::start(with_broker())?;
    let mut second = Scene::prepare(with_broker())?;
    let (theirs, ours) = (second.site.mqtt().ip(), first.site.mqtt().ip());
    second.site.reconfigure(&format!("host = \"{theirs}\""), &format!("client_id = \"other\"\nhost = \"{ours}\""))?;
    until(STEP, "up", || mqtt_part(&first).0)?;
    second.site.start_gateway()?;
    for scene in [&first, &second] {
        until(STEP, "taken over", || state(scene, "taken_over"))?;
        assert!(sessions(scene, "connects")? <= 2, "nobody is pushed out");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_readers_that_are_gone_after_a_kill_are_cleared() -> Result<()> {
    let mut scene = Scene::start(with_broker())?;
    let listener = scene.site.listen_to_mqtt()?;
    until_seen(&listener, STEP, "everything", everything)?;
    scene.site.kill_gateway()?;
    // One reader is renamed; then the terminal as well.
    scene.site.reconfigure("name = \"b\"", "name = \"c\"")?;
    scene.site.start_gateway()?;
    let null =
        |topics: &BTreeMap<String, Value>, topic: &str| topics.get(&format!("{ROOT}/{topic}")) == Some(&Value::Null);
    let from = Instant::now();
    until_seen(&listener, STEP, "the former name cleared", |topics| null(topics, "reader/desk-1/b"))?;
    println!("removed reader: cleared after {:?}", from.elapsed());
    scene.site.kill_gateway()?;
    scene.site.reconfigure("name = \"desk-1\"", "name = \"desk-9\"")?;
    scene.site.start_gateway()?;
    until_seen(&listener, STEP, "the former terminal cleared", |topics| {
        ["reader/desk-1/a", "reader/desk-1/c", "terminal/desk-1"].iter().all(|topic| null(topics, topic))
    })?;
    drop(listener);

    // What somebody else keeps below the same root is not a gateway's to clear.
    std::fs::remove_file(scene.dir().join("mqtt.log"))?;
    let listener = scene.site.listen_to_mqtt()?;
    until_seen(&listener, STEP, "what there is", |topics| topics.contains_key(&format!("{ROOT}/terminal/desk-9")))?;
    let topics: Vec<_> = latest(&listener)?.into_keys().collect();
    let expected = ["cases", "gateway", "outbox/central", "reader/desk-9/a", "reader/desk-9/c", "terminal/desk-9"];
    assert_eq!(topics, expected.map(|topic| format!("{ROOT}/{topic}")));
    Ok(())
}
