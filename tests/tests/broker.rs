//! What `uketsuke check` says about the MQTT broker: each way in which it lets nobody in, and that nobody is pushed out by the question.

use anyhow::{Context, Result};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use uketsuke_tests::scene::{STEP, Scene, detail};
use uketsuke_tests::site::{Plan, until};

const OWN: &str = "uketsuke-demo-clinic";

fn with_broker() -> Result<Scene> {
    Scene::prepare(Plan { mqtt: true, ..Plan::default() })
}

/// Grade and words of the finding about the broker.
fn found(scene: &Scene, lang: &str) -> Result<(String, String)> {
    let (code, text) = scene.site.ask(&["check", "--json", "--lang", lang])?;
    assert_eq!(code, Some(0), "telemetry is no reason to fail: {text}");
    let findings: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let finding = findings.iter().find(|finding| finding["check"] == "mqtt").context("a finding about the broker")?;
    let word = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    Ok((word("grade"), word("text")))
}

/// That the broker is refused with these words, in both languages.
fn warns(scene: &Scene, english: &[&str], japanese: &str) -> Result<()> {
    let (grade, said) = found(scene, "en")?;
    println!("| {said} |");
    assert_eq!(grade, "warning", "{said}");
    for words in english.iter().chain(&["telemetry will wait for it, and receptions go on"]) {
        assert!(said.contains(words), "no {words:?}: {said}");
    }
    let (_, said) = found(scene, "ja")?;
    assert!(said.contains(japanese) && said.contains("受付は続けられます"), "no {japanese:?}: {said}");
    Ok(())
}

/// Points the configuration at another place than the broker.
fn point_at(scene: &Scene, to: SocketAddr) -> Result<()> {
    let broker = scene.site.mqtt();
    let place = |host: &str, port: u16| format!("host = \"{host}\"\nport = {port}\n");
    scene.site.reconfigure(&place(&broker.ip().to_string(), broker.port()), &place(&to.ip().to_string(), to.port()))
}

#[test]
fn a_broker_that_is_not_there_or_is_something_else_is_named_with_what_to_do() -> Result<()> {
    let scene = with_broker()?;
    let silent = TcpListener::bind((scene.site.mqtt().ip(), 0))?;
    point_at(&scene, silent.local_addr()?)?;
    warns(&scene, &["does not answer an MQTT CONNECT", "check mqtt.port"], "接続要求に答えません")?;

    let place = silent.local_addr()?;
    drop(silent);
    warns(&scene, &["cannot be reached", "check that the broker runs"], "につながりません")?;

    let host = format!("host = \"{}\"\nport = {}", place.ip(), place.port());
    scene.site.reconfigure(&host, &format!("host = \"broker.invalid\"\nport = {}", place.port()))?;
    warns(&scene, &["broker.invalid", "does not resolve", "check the spelling of mqtt.host"], "名前を解決できません")
}

#[test]
fn a_web_server_in_place_of_a_broker_is_called_one() -> Result<()> {
    let mut scene = with_broker()?;
    let web = scene.site.web();
    point_at(&scene, web)?;
    scene.site.start_gateway()?;
    let english = ["is a web server and no MQTT broker", "check mqtt.host and mqtt.port", "the running gateway says"];
    warns(&scene, &english, "Webサーバーです")
}

#[test]
fn a_broker_that_wants_tls_or_a_password_says_so_by_check() -> Result<()> {
    let mut scene = with_broker()?;
    let (certificate, key) = (scene.site.pki.server_pem(), scene.site.pki.server_key());
    scene.site.stop_broker()?;
    scene.site.set_broker_rules(&format!(
        "allow_anonymous true\nuser root\ncertfile {}\nkeyfile {}",
        certificate.display(),
        key.display()
    ))?;
    scene.site.start_broker()?;
    warns(&scene, &["TLS", "port without TLS"], "TLSなしのポート")?;

    scene.site.stop_broker()?;
    let passwords = scene.dir().join("passwords");
    let made =
        Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["watcher", "secret"]).status()?;
    assert!(made.success());
    scene.site.set_broker_rules(&format!("user root\nallow_anonymous false\npassword_file {}", passwords.display()))?;
    scene.site.start_broker()?;
    let id = format!("does not authorise the client {OWN}-check-");
    warns(&scene, &[&id, "no user name and no password", "start the gateway and check again"], "接続を許していません")
}

#[test]
fn check_pushes_no_running_gateway_out_and_leaves_no_trace_at_the_broker() -> Result<()> {
    let mut scene = with_broker()?;
    scene.site.start_gateway()?;
    let said = format!("as {OWN}");
    until(STEP, "state goes to the broker", || detail(&scene, "mqtt").is_ok_and(|words| words.contains(&said)))?;
    let listener = scene.site.listen_to_mqtt()?;
    let heard = || std::fs::read_to_string(listener.output()).unwrap_or_default();
    until(STEP, "the gateway is seen online", || heard().contains("online"))?;

    for _ in 0..3 {
        let (grade, said) = found(&scene, "en")?;
        assert!(grade == "ok" && said.contains("opens an MQTT session"), "{grade}: {said}");
    }
    let log = || std::fs::read_to_string(scene.dir().join("mosquitto.log"));
    let checks = |end: &str| -> Result<usize> {
        let log = log()?;
        Ok(log.lines().filter(|line| line.contains(&format!("{OWN}-check-")) && line.ends_with(end)).count())
    };
    until(STEP, "each check has said goodbye to the broker", || {
        checks(" disconnected.").is_ok_and(|ended| ended == 3)
    })?;
    let log = log()?;
    // (p2, c1: MQTT 3.1.1, a clean session.
    let sessions = log.lines().filter(|line| line.contains(&format!(" as {OWN}-check-")) && line.contains("(p2, c1, "));
    assert_eq!(sessions.count(), 3, "{log}");
    assert!(!log.contains("already connected"), "{log}");
    assert_eq!(log.matches(&format!(" as {OWN} (")).count(), 1, "one session of the gateway: {log}");
    assert!(!heard().contains("offline") && !heard().contains("check"), "{}", heard());
    Ok(())
}

#[test]
fn a_broker_that_lets_the_gateway_in_alone_is_judged_by_what_the_gateway_says() -> Result<()> {
    let mut scene = with_broker()?;
    scene.site.start_gateway()?;
    let well = |scene: &Scene| detail(scene, "mqtt").is_ok_and(|words| words.starts_with("state goes to"));
    until(STEP, "state goes to the broker", || well(&scene))?;
    // A session that is open stays.
    scene.site.set_broker_rules("allow_anonymous true\nclientid_prefixes another-")?;
    until(STEP, "the broker reads its rules again", || {
        let english = "does not let in the client id of this check, uketsuke-demo-clinic-check-";
        found(&scene, "en").is_ok_and(|(grade, said)| {
            grade == "ok" && said.contains(english) && said.contains("the running gateway says: state goes to")
        })
    })?;
    let (_, said) = found(&scene, "ja")?;
    assert!(
        said.contains("試せませんでした。動作中のゲートウェイの状態: ") && said.contains("状態を送っています"),
        "{said}"
    );
    assert!(well(&scene), "the gateway is still in");
    scene.site.kill_gateway()?;
    warns(
        &scene,
        &["does not authorise the client", "if the broker lets in uketsuke-demo-clinic alone"],
        "だけを許している場合",
    )
}
