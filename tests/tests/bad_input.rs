//! Nothing that is wrong with a file, a port, a card, a camera or a peer keeps the next patient from being received.

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use uketsuke_card::Faults;
use uketsuke_tests::patient::{Kiosk, Shown, go_through};
use uketsuke_tests::scene::{PIN, STEP, Scene, named, part};
use uketsuke_tests::site::{Plan, installed_models, portrait, until};

const READER: &str = "desk-1/a";

fn line_of(text: &str, part: &str) -> Result<usize> {
    let before = text.split_once(part).with_context(|| format!("no {part:?}"))?.0;
    Ok(before.matches('\n').count() + 1)
}

// --- configuration and files ---

#[test]
fn a_wrong_configuration_is_answered_with_file_line_key_value_and_fix() -> Result<()> {
    for (from, to, key, value, fix) in [
        ("[web]\nlisten", "[web]\nlisen", "lisen", "\"127.", "remove the key or correct its spelling"),
        ("window_max = 4", "window_max = \"many\"", "window_max", "\"many\"", "a value of the expected type"),
        ("window_max = 4", "window_max = 0", "central.window_max", "0", "write a number from 1 to 256"),
        ("name = \"a\"", "name = \"Desk A\"", "terminal.0.reader.0.name", "\"Desk A\"", "of a-z, 0-9 and -"),
        ("slot = \"127.", "slot = \"10.", "terminal.0.reader.0.slot", "\"10.", "only this machine may connect"),
        ("driver = \"virtual\"", "driver = \"magic\"", "driver", "\"magic\"", "config/uketsuke.toml"),
        ("listen = \"127.", "listen = \"0.", "web.listen", "\"0.", "127.0.0.1:PORT"),
        ("\"1399999999\"", "\"12\"", "site.medical_institution_code", "\"12\"", "10 digits"),
        ("window_max = 4", "window_max = = 4", "window_max", "= 4", "correct the line"),
    ] {
        let scene = Scene::prepare(Plan::default())?;
        scene.site.reconfigure("probe_every_ms = 500", "probe_every_ms = 500\nwindow_max = 4")?;
        scene.site.reconfigure(from, to)?;
        let text = std::fs::read_to_string(scene.site.config())?;
        let line = line_of(&text, to)? + to.matches('\n').count();
        let place = format!("{}:{line}:", scene.site.config().display());
        for command in ["run", "check"] {
            let (code, said) = scene.ended(&[command])?;
            assert_eq!(code, Some(64), "{command} with {to:?}: {said}");
            for part in [place.as_str(), &format!("key:   {key}"), &format!("value: {value}"), "fix:", fix] {
                assert!(said.contains(part), "{command} with {to:?} does not say {part:?}:\n{said}");
            }
            let (code, said) = scene.site.ask(&[command, "--json"])?;
            let said: Value = serde_json::from_str(&said)?;
            assert_eq!((code, &said["exit"]), (Some(64), &64.into()), "{said}");
            let error = said["error"].as_str().unwrap_or_default();
            assert!(error.contains(&place) && error.contains(key) && error.contains(fix), "{said}");
        }
        assert!(!scene.dir().join("data").exists(), "a gateway that does not start makes nothing");
    }
    Ok(())
}

#[test]
fn a_configuration_that_is_missing_or_lacks_a_key_is_named() -> Result<()> {
    let scene = Scene::prepare(Plan::default())?;
    scene.site.reconfigure("server_name = \"localhost\"\n", "")?;
    let (code, said) = scene.ended(&["run"])?;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("server_name") && said.contains("add the key"), "{said}");
    std::fs::remove_file(scene.site.config())?;
    for command in ["run", "check", "queue", "explain"] {
        let (code, said) = scene.ended(&[command])?;
        assert_eq!(code, Some(64), "{command}: {said}");
        assert!(said.contains("cannot read the configuration") && said.contains("uketsuke.toml"), "{command}: {said}");
    }
    Ok(())
}

#[test]
fn store_keys_that_others_can_read_are_refused_with_the_command_that_mends_it() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    assert_eq!(scene.site.stop_gateway()?, Some(0));
    {
        // Without its own keys there is no store; a key of the line is another matter.
        let key = "keys/store.key";
        let path = scene.dir().join(key);
        for mode in [0o644, 0o640, 0o620, 0o604] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))?;
            let said_so = |said: &str| {
                let parts = [&format!("{mode:04o}"), "chmod", "600", key];
                parts.into_iter().all(|part| said.contains(part))
            };
            let (code, said) = scene.ended(&["run"])?;
            assert!(code == Some(64) && said_so(&said), "{key} {mode:04o}: {code:?} {said}");
            let (code, said) = scene.ended(&["check"])?;
            assert!(code == Some(1) && said_so(&said), "{key} {mode:04o}: {code:?} {said}");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
    }
    scene.site.start_gateway()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_with_little_room_is_said_in_both_languages_and_patients_are_received() -> Result<()> {
    let site = ("[store]", "[store]\nattention_free_mib = 1000000000000");
    let scene = Scene::start_with(Plan::default(), &[site])?;
    until(STEP, "the disk is looked at", || scene.health().is_ok_and(|health| part(&health, "disk")["ok"] == false))?;
    let health = scene.health()?;
    assert!(health["ok"] == true && part(&health, "disk")["detail"].to_string().contains("MiB are free"), "{health}");
    for (lang, words) in [("ja", "ディスクの空きが少なくなっています"), ("en", "check-in goes on, but tell the")]
    {
        let page = scene.get(&format!("/staff?lang={lang}"))?;
        assert!(page.contains(words), "{lang}: {page}");
    }
    let metrics = scene.get("/metrics")?;
    let free = metrics.lines().find_map(|line| line.strip_prefix("uketsuke_store{figure=\"free_bytes\"} "));
    assert!(free.context("the figure")?.parse::<u64>()? > 0);
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_port_that_is_taken_is_named_and_taken_over_when_it_is_free() -> Result<()> {
    let mut scene = Scene::prepare(Plan::default())?;
    let taken = TcpListener::bind(scene.site.web())?;
    scene.site.spawn_gateway()?;
    let address = scene.site.web().to_string();
    until(STEP, "the port is named", || {
        let said = scene.log().unwrap_or_default();
        said.contains(&address) && said.contains("web.listen") && said.contains("stop what uses it")
    })?;
    assert!(scene.site.gateway()?.is_running());
    drop(taken);
    scene.site.gateway()?.wait_ready(STEP)?;
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_on_the_same_database_is_sent_away_and_the_first_goes_on() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let (code, said) = scene.ended(&["run"])?;
    assert_eq!(code, Some(74), "{said}");
    assert!(said.contains("another process has it open") && said.contains("uketsuke.db"), "{said}");
    scene.receives_the_next_patient(READER).await
}

#[test]
fn a_database_of_somebody_else_is_refused_and_left_alone() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    assert_eq!(scene.site.stop_gateway()?, Some(0));
    let database = scene.dir().join("data/uketsuke.db");
    let own = std::fs::read(&database)?;
    let mut application = own.clone();
    // The application id of a SQLite file (file format, 1.3): another program's.
    application[68..72].copy_from_slice(b"MPOP");
    for foreign in [b"Dear diary, this is no database at all.".repeat(100), application] {
        std::fs::write(&database, &foreign)?;
        for (command, expected) in [("run", 74), ("check", 1), ("queue", 74)] {
            let (code, said) = scene.ended(&[command])?;
            assert_eq!(code, Some(expected), "{command}: {said}");
            assert!(said.contains("is not a database of Uketsuke; give another path"), "{command}: {said}");
        }
        assert!(std::fs::read(&database)? == foreign, "the foreign file was changed");
    }
    std::fs::write(&database, own)?;
    scene.site.start_gateway()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_a_certificate_that_the_central_system_does_not_know_still_receives_patients() -> Result<()> {
    let scene = Scene::start_with(
        Plan { answer_deadline_ms: 700, ..Plan::default() },
        &[("pki/gateway.pem", "pki/other-client.pem"), ("pki/gateway.key", "pki/other-client.key")],
    )?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-1")?, PIN).await?;
    assert!(visit.ending.text().contains("あとで自動的に行います"), "{visit:?}");
    assert_eq!(scene.explanation(&visit.reception)?["code"], "provisional");
    // The alert that says why may be overtaken by the end of the connection; asked again, it is heard.
    let in_words = || -> Result<bool> {
        let (code, said) = scene.site.ask(&["check", "--json"])?;
        let finding = said.lines().find(|line| line.contains("\"check\":\"central\"")).context("the finding")?;
        ensure!(code == Some(0) && finding.contains("\"warning\""), "{said}");
        ensure!(finding.contains("receptions will be provisional"), "{finding}");
        Ok(finding.contains("refuses this gateway") && finding.contains("certificate"))
    };
    until(STEP, "check says that the certificate is refused", || in_words().unwrap_or(false))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_authority_is_not_believed() -> Result<()> {
    let scene = Scene::start_with(
        Plan { answer_deadline_ms: 700, ..Plan::default() },
        &[("pki/link-ca.pem", "pki/other-ca.pem")],
    )?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-1")?, PIN).await?;
    assert!(visit.ending.text().contains("あとで自動的に行います"), "{visit:?}");
    assert_eq!(
        scene.site.control.stats()?.eligibility_received,
        0,
        "a request went to a server that nobody vouches for"
    );
    Ok(())
}

// --- models ---

#[tokio::test(flavor = "multi_thread")]
async fn missing_models_turn_the_face_method_off_and_say_so() -> Result<()> {
    let scene = Scene::start_with(Plan::default(), &[("enabled = false", "enabled = true")])?;
    until(STEP, "the face method is off", || scene.health().is_ok_and(|health| part(&health, "face")["ok"] == false))?;
    let health = scene.health()?;
    let detail = part(&health, "face")["detail"].to_string();
    assert!(detail.contains("the face method is off") && detail.contains("install the models"), "{health}");
    assert_eq!(health["ok"], true, "patients are received: {health}");
    let (code, said) = scene.site.ask(&["check"])?;
    assert!(code == Some(0) && said.contains("warn  face"), "{said}");
    let shown = choices(&scene).await?;
    assert!(!shown.html.contains("choose_face") && shown.html.contains("choose_pin"), "{}", shown.html);
    scene.receives_the_next_patient(READER).await
}

/// The choice of method that a card with everything meets.
async fn choices(scene: &Scene) -> Result<Shown> {
    let card = scene.card_with_photo("TEST-VALID-CHOOSING", portrait("chip.jp2")?)?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let shown = kiosk.wait(STEP, named("choose")).await?;
    inserted.remove().await;
    Ok(shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_model_turns_the_face_method_off_and_names_the_file() -> Result<()> {
    let scene = Scene::prepare(Plan::default())?;
    let models = scene.dir().join("models");
    std::fs::create_dir(&models)?;
    for entry in std::fs::read_dir(installed_models().context("run: deploy/setup")?)? {
        let entry = entry?;
        std::os::unix::fs::symlink(entry.path(), models.join(entry.file_name()))?;
    }
    let detector = models.join("detector.onnx");
    let mut bytes = std::fs::read(&detector)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&detector)?;
    std::fs::write(&detector, bytes)?;
    scene.site.reconfigure("enabled = false", "enabled = true")?;
    let mut scene = scene;
    scene.site.start_gateway()?;
    until(STEP, "the face method is off", || scene.health().is_ok_and(|health| part(&health, "face")["ok"] == false))?;
    let detail = part(&scene.health()?, "face")["detail"].to_string();
    assert!(detail.contains("detector.onnx") && detail.contains("SHA-256"), "{detail}");
    scene.receives_the_next_patient(READER).await
}

// --- the kiosk's socket ---

/// Sends something as a hostile page would, and waits until the gateway has closed the connection.
async fn closed_after(scene: &Scene, message: Message) -> Result<Option<u16>> {
    let mut request = format!("ws://{}/kiosk/{READER}/ws?lang=ja", scene.site.web()).into_client_request()?;
    request.headers_mut().insert("origin", format!("http://{}", scene.site.web()).parse()?);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
    socket.send(message).await?;
    let mut code = None;
    let closing = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                code = frame.map(|frame| frame.code.into());
            }
        }
    };
    tokio::time::timeout(STEP, closing).await.context("the connection stays open")?;
    Ok(code)
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_end_their_own_connection_and_the_patient_goes_on() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-UNDETERRED")?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let choose = kiosk.wait(STEP, named("choose")).await?;
    let (reception, version) = (choose.reception.clone(), choose.version);
    let intent = |rest: Value| {
        let mut message = json!({ "reception": reception, "version": version });
        message
            .as_object_mut()
            .into_iter()
            .for_each(|message| message.extend(rest.as_object().cloned().unwrap_or_default()));
        Message::text(message.to_string())
    };
    let frame = |bytes: usize| Message::binary([&[0, 0, 0, 1, 0xff, 0xd8][..], &vec![0; bytes]].concat());
    for (what, message) in [
        ("no JSON", Message::text("{\"reception\":")),
        ("huge text", Message::text("a".repeat(300_000))),
        ("deep JSON", Message::text("[".repeat(4_000))),
        ("an unknown intent", intent(json!({ "intent": "open_sesame" }))),
        ("a PIN of five keys", intent(json!({ "intent": "pin", "keys": [1, 2, 3, 4, 5] }))),
        ("a key off the pad", intent(json!({ "intent": "pin", "keys": [1, 2, 3, 10] }))),
        ("a PIN in digits", intent(json!({ "intent": "pin", "keys": "1234" }))),
        ("an extra field", intent(json!({ "intent": "cancel", "admin": true }))),
        ("a version below zero", Message::text(r#"{"reception":null,"version":-1,"intent":"cancel"}"#)),
        ("binary that is no JPEG", Message::binary(vec![0x55; 1_000])),
        ("an empty binary", Message::binary(Vec::new())),
        ("an oversize frame", frame(600_000)),
    ] {
        let code = closed_after(&scene, message).await.with_context(|| what.to_owned())?;
        let right = if matches!(what, "huge text" | "an oversize frame") { 1009 } else { 1008 };
        assert!(code.is_none_or(|code| code == right), "{what}: {code:?}");
    }
    // A frame nobody asked for and a press on nothing are late rather than hostile: they change nothing.
    let mut kiosk = scene.kiosk(READER).await?;
    let shown = kiosk.wait(STEP, named("choose")).await?;
    assert_eq!((shown.reception, shown.version), (choose.reception, choose.version), "the reception was disturbed");
    kiosk.send_raw(json!({ "reception": uuid::Uuid::nil(), "version": version, "intent": "cancel" }).to_string())?;
    let visit = go_through(&mut kiosk, PIN).await?;
    inserted.remove().await;
    scene.until_code(&visit.reception, "confirmed").await?;
    assert_eq!(card.pin_tries_left(), Some(3));
    let log = scene.log()?;
    assert!(!log.contains("open_sesame") && !log.contains("panicked"), "the log repeats what was sent, or worse");
    drop(kiosk);
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_messages_ends_the_flood_alone() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let kiosk = scene.kiosk(READER).await?;
    let press = json!({ "reception": uuid::Uuid::nil(), "version": 1, "intent": "cancel" }).to_string();
    for _ in 0..5_000 {
        if kiosk.send_raw(press.clone()).is_err() {
            break;
        }
    }
    until(STEP, "the flood is cut off", || !kiosk.connected())?;
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_gets_neither_socket_nor_orders() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    for origin in [Some("http://evil.example"), Some("null"), None] {
        let mut request = format!("ws://{}/kiosk/{READER}/ws?lang=ja", scene.site.web()).into_client_request()?;
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse()?);
        }
        let refused = tokio_tungstenite::connect_async(request).await.err().context("a foreign page got a socket")?;
        assert!(matches!(&refused, SocketError::Http(answer) if answer.status() == 403), "{origin:?}: {refused}");
        let order = json!({ "terminal": "desk-1", "reader": "a" });
        let mut post = ureq::post(format!("http://{}/staff/restart", scene.site.web()))
            .config()
            .http_status_as_error(false)
            .build();
        if let Some(origin) = origin {
            post = post.header("origin", origin);
        }
        assert_eq!(post.send_json(order)?.status(), 403, "{origin:?}");
    }
    scene.receives_the_next_patient(READER).await
}

// --- camera ---

/// A JPEG that claims to be as large as a JPEG can claim (ITU-T T.81, SOF0).
fn boastful_jpeg(real: &[u8]) -> Vec<u8> {
    let mut jpeg = real.to_vec();
    if let Some(at) = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0] || marker == [0xff, 0xc2]) {
        jpeg[at + 5..at + 9].copy_from_slice(&[0xff; 4]);
    }
    jpeg
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_camera_frames_end_the_attempt_and_the_patient_is_received_another_way() -> Result<()> {
    let scene = Scene::start_with_face(&[("[reception]", "[reception]\nface_deadline_ms = 1500")])?;
    let real = portrait("camera-same.jpg")?;
    let mut flipped = real.clone();
    flipped.iter_mut().skip(200).step_by(97).for_each(|byte| *byte ^= 0x5a);
    let frames = [
        vec![0xff, 0xd8],
        [&[0xff, 0xd8][..], &[0; 5_000]].concat(),
        real[..real.len() / 2].to_vec(),
        boastful_jpeg(&real),
        flipped,
        [&real[..300], &vec![0xff; 400_000]].concat(),
    ];
    for (number, frame) in frames.into_iter().enumerate() {
        let card = scene.card_with_photo(&format!("TEST-VALID-FRAME-{number}"), portrait("chip.jp2")?)?;
        let mut kiosk = scene.kiosk_before(READER, &[frame]).await?;
        kiosk.wait(STEP, named("idle")).await?;
        let inserted = card.insert(scene.site.slot(READER)?).await?;
        let shown = kiosk.wait(STEP, named("choose")).await?;
        kiosk.press(&shown, json!({ "intent": "choose_face" })).await?;
        let after = kiosk.wait(STEP, named("face")).await?.version;
        let shown = kiosk.wait(STEP, |shown| shown.version > after).await?;
        assert!(matches!(shown.name.as_str(), "choose" | "staff"), "frame {number}: {}", shown.text());
        let visit = if shown.name == "choose" { go_through(&mut kiosk, PIN).await? } else { continue };
        inserted.remove().await;
        assert!(visit.ending.text().contains("受付が完了しました"), "frame {number}: {visit:?}");
    }
    assert!(!scene.log()?.contains("panicked"));
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_an_oversize_frame_loses_its_connection_and_the_page_comes_back() -> Result<()> {
    let scene = Scene::start_with_face(&[("[reception]", "[reception]\nface_deadline_ms = 1500")])?;
    let card = scene.card_with_photo("TEST-VALID-OVERSIZE", portrait("chip.jp2")?)?;
    let mut kiosk = scene.kiosk_before(READER, &[[&[0xff, 0xd8][..], &vec![0; 600_000]].concat()]).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let shown = kiosk.wait(STEP, named("choose")).await?;
    kiosk.press(&shown, json!({ "intent": "choose_face" })).await?;
    until(STEP, "the connection is closed", || !kiosk.connected())?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("choose")).await?;
    let visit = go_through(&mut kiosk, PIN).await?;
    inserted.remove().await;
    scene.until_code(&visit.reception, "confirmed").await?;
    Ok(())
}

// --- cards and slots ---

/// What a patient is told whose card does not answer properly; the card is out again when this returns.
async fn told_about(scene: &Scene, kiosk: &mut Kiosk, name: &str, faults: Faults) -> Result<Shown> {
    let card = scene.card(name)?;
    card.set_faults(faults);
    // The next patient need not wait until the last one's notice is gone.
    let before = kiosk.wait(STEP, |shown| matches!(shown.name.as_str(), "idle" | "notice")).await?.version;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let over = |shown: &Shown| {
        shown.version > before && matches!(shown.name.as_str(), "take_card" | "notice" | "choose" | "staff")
    };
    let shown = kiosk.wait(STEP, over).await.with_context(|| format!("{faults:?}"))?;
    inserted.remove().await;
    Ok(shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_answers_in_bits_is_told_to_be_placed_again() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let mut kiosk = scene.kiosk(READER).await?;
    for bytes_max in [0, 1, 2, 3, 10] {
        let faults = Faults { response_bytes_max: Some(bytes_max), ..Faults::default() };
        let shown = told_about(&scene, &mut kiosk, "TEST-VALID-BITS", faults).await?;
        assert!(matches!(shown.name.as_str(), "take_card" | "notice"), "{bytes_max} bytes: {}", shown.text());
        assert!(shown.text().contains("10割負担になることはありません"), "{bytes_max} bytes: {}", shown.text());
    }
    drop(kiosk);
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_dies_while_it_is_read_is_told_to_be_placed_again() -> Result<()> {
    let scene = Scene::start_with(Plan::default(), &[("[reception]", "[reception]\nread_deadline_ms = 4000")])?;
    let mut kiosk = scene.kiosk(READER).await?;
    for commands in 0..8 {
        let faults = Faults { dies_after_commands: Some(commands), ..Faults::default() };
        let shown = told_about(&scene, &mut kiosk, "TEST-VALID-DYING", faults).await?;
        // A card that died after the last command of its reading was read in full.
        let told = shown.text().contains("カードを読み取れませんでした")
            || shown.text().contains("途中でカードが取り出されました");
        assert!(told || (commands > 4 && shown.name == "choose"), "dead after {commands}: {}", shown.text());
    }
    drop(kiosk);
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_dies_at_its_pin_costs_the_patient_nothing_but_another_try() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-DYING-LATE")?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let shown = kiosk.wait(STEP, named("choose")).await?;
    kiosk.press(&shown, json!({ "intent": "choose_pin" })).await?;
    let pad = kiosk.wait(STEP, |shown| shown.pin_keys("1234").is_some()).await?;
    card.set_faults(Faults { dies_after_commands: Some(3), ..Faults::default() });
    kiosk.press(&pad, json!({ "intent": "pin", "keys": pad.pin_keys("1234") })).await?;
    let shown = kiosk.wait(STEP, |shown| matches!(shown.name.as_str(), "notice" | "choose")).await?;
    assert!(shown.text().contains("10割負担になることはありません"), "{}", shown.text());
    inserted.remove().await;
    card.set_faults(Faults::default());
    let visit = scene.check_in(READER, &card, PIN).await?;
    assert!(visit.ending.text().contains("受付が完了しました"), "{visit:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_no_card_does_not_harm_the_slot() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let slot = scene.site.slot(READER)?;
    scene.receives_the_next_patient(READER).await?;

    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 70_000], &[0, 0], &[0, 1]] {
        let mut peer = TcpStream::connect(slot).await?;
        // The slot may hang up before everything is said.
        let _ = peer.write_all(garbage).await;
    }

    // Answers every question with a length and a body that are not what was asked for.
    for answer in [&[0xff, 0xff][..], &[0, 0], &[0, 1, 0x55], &[0, 2, 0x6f, 0x00], &[0, 14, 0x41]] {
        let mut peer = TcpStream::connect(slot).await?;
        let lying = async {
            let mut question = [0; 512];
            while matches!(peer.read(&mut question).await, Ok(1..)) && peer.write_all(answer).await.is_ok() {}
        };
        let _ = tokio::time::timeout(Duration::from_millis(300), lying).await;
    }

    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let silent = TcpStream::connect(slot).await?;
    let shown = kiosk.wait(STEP, |shown| matches!(shown.name.as_str(), "take_card" | "notice")).await?;
    assert!(shown.text().contains("ICカードとして認識できないもの"), "{}", shown.text());
    drop((silent, kiosk));
    scene.receives_the_next_patient(READER).await?;
    assert!(!scene.log()?.contains("panicked"));
    Ok(())
}

// --- disk ---

/// A small disk of its own; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, with a line that says so, where mounting is not allowed.
    fn mount(at: &Path) -> Result<Option<Self>> {
        std::fs::create_dir_all(at)?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Some(Self(at.to_owned()))),
            refused => {
                println!("SKIPPED: a small disk cannot be mounted here ({refused:?})");
                Ok(None)
            }
        }
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Fills it to the last byte.
    fn fill(&self) -> Result<()> {
        use std::io::Write;
        let mut file = std::fs::File::options().create(true).append(true).open(self.filler())?;
        for size in [1 << 20, 4096, 1] {
            let block = vec![0x5a; size];
            while file.write_all(&block).is_ok() {}
        }
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_patients_are_sent_to_the_desk_and_nothing_is_lost() -> Result<()> {
    let scene = Scene::prepare(Plan::default())?;
    let Some(disk) = SmallDisk::mount(&scene.dir().join("data"))? else { return Ok(()) };
    // The disk is unmounted after the gateway has ended and before the folder is removed.
    let mut scene = scene;
    let told = full_disk(&mut scene, &disk).await;
    let log = scene.log()?;
    let _ = scene.site.stop_gateway();
    drop(disk);
    told.with_context(|| log)
}

async fn full_disk(scene: &mut Scene, disk: &SmallDisk) -> Result<()> {
    scene.site.start_gateway()?;
    let mut received = Vec::new();
    let mut sent_away = None;
    let mut kiosk = scene.kiosk(READER).await?;
    for number in 0..12 {
        // The reserve that the store gives back is used up by others at once: the worst case.
        disk.fill()?;
        let card = scene.card(&format!("TEST-VALID-FULL-{number}"))?;
        kiosk.wait(STEP, named("idle")).await?;
        let inserted = card.insert(scene.site.slot(READER)?).await?;
        let visit = go_through(&mut kiosk, PIN).await?;
        inserted.remove().await;
        if visit.ending.text().contains("受付が完了しました") {
            received.push(visit.reception);
        } else {
            sent_away = Some(visit);
            break;
        }
    }
    let sent_away = sent_away.context("the full disk was never noticed")?;
    let words = sent_away.ending.text();
    ensure!(words.contains("この機械では、いま受付を記録できません") && words.contains("窓口"), "told: {words}");
    let health = scene.health()?;
    ensure!(part(&health, "store")["detail"].to_string().contains("the disk is full"), "{health}");

    std::fs::remove_file(disk.filler())?;
    until(STEP, "the store finds room", || {
        scene
            .health()
            .is_ok_and(|health| part(&health, "store")["detail"].to_string().contains("every write is acknowledged"))
    })?;
    kiosk.wait(STEP, named("idle")).await?;
    drop(kiosk);
    scene.receives_the_next_patient(READER).await?;
    for reception in &received {
        scene
            .until_explained(reception, "kept", |explanation| explanation["code"].to_string().contains("confirmed"))
            .await?;
    }
    scene.site.kill_gateway()?;
    scene.site.start_gateway()?;
    for reception in &received {
        scene.explanation(reception).context("a reception that was shown as done is lost")?;
    }
    Ok(())
}
