//! What is left of receptions when the gateway, the broker, the line or a reader goes and comes back.

use anyhow::{Context, Result};
use serde_json::json;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use uketsuke_tests::central::ModeSpec;
use uketsuke_tests::patient::{CardInSlot, Kiosk, PatientCard, Shown, go_through};
use uketsuke_tests::scene::{PIN, STEP, Scene, detail, named, part};
use uketsuke_tests::site::{Plan, until};

const READER: &str = "desk-1/a";
const DONE: &str = "受付が完了しました";

/// Goes by PIN to the first consent question: T1 is on disk, T2 is not.
async fn until_consent(scene: &Scene, kiosk: &mut Kiosk, card: &PatientCard) -> Result<(CardInSlot, Shown)> {
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let choose = kiosk.wait(STEP, named("choose")).await?;
    kiosk.press(&choose, json!({ "intent": "choose_pin" })).await?;
    let pad = kiosk.wait(STEP, |shown| shown.pin_keys("1234").is_some()).await?;
    kiosk.press(&pad, json!({ "intent": "pin", "keys": pad.pin_keys("1234") })).await?;
    let shown = kiosk.wait(STEP, named("consent")).await?;
    Ok((inserted, shown))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reception_cut_off_by_a_power_cut_is_abandoned_and_its_late_answer_attached() -> Result<()> {
    let mut scene = Scene::start(Plan { answer_deadline_ms: 600, ..Plan::default() })?;
    scene.central(ModeSpec::new("down"))?;
    let card = scene.card("TEST-VALID-CUT-OFF")?;
    let mut kiosk = scene.kiosk(READER).await?;
    let (inserted, shown) = until_consent(&scene, &mut kiosk, &card).await?;
    let reception = shown.reception.context("a reception")?;
    scene.site.kill_gateway()?;
    drop(inserted);

    scene.site.start_gateway()?;
    let explanation = scene.explanation(&reception)?;
    assert_eq!(explanation["code"], "abandoned", "{explanation}");
    assert!(explanation["what"].to_string().contains("途中でシステムが再起動しました"), "{explanation}");
    assert!(scene.get("/staff")?.contains(&reception), "staff do not see the abandoned reception");
    scene.central(ModeSpec::new("up"))?;
    let late =
        |explanation: &serde_json::Value| explanation["what"].to_string().contains("資格は有効と確認できています");
    scene.until_explained(&reception, "known to be insured", late).await?;
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_still_in_after_a_power_cut_is_told_to_be_taken_and_not_received_twice() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-STILL-IN")?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let visit = go_through(&mut kiosk, PIN).await?;
    scene.site.kill_gateway()?;
    drop(inserted);

    scene.site.start_gateway()?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    // The card never left; a virtual slot sees it as a new connection.
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let shown = kiosk.wait(STEP, |shown| !matches!(shown.name.as_str(), "idle" | "reading" | "starting")).await?;
    assert_eq!((shown.name.as_str(), shown.reception), ("take_card", Some(visit.reception.clone())));
    assert!(shown.html.contains(DONE), "{}", shown.html);
    inserted.remove().await;
    kiosk.wait(STEP, named("idle")).await?;
    scene.until_code(&visit.reception, "confirmed").await?;
    assert_eq!(scene.eligibility_effects()?.len(), 1);

    let again = scene.check_in(READER, &card, PIN).await?;
    assert_ne!(again.reception, visit.reception, "a card that was taken and placed again is a new reception");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_shown_as_done_is_lost_by_a_power_cut() -> Result<()> {
    let mut scene = Scene::start(Plan { answer_deadline_ms: 500, ..Plan::default() })?;
    scene.central(ModeSpec::new("down"))?;
    let mut receptions = Vec::new();
    for number in 0..3 {
        let card = scene.card(&format!("TEST-VALID-KEPT-{number}"))?;
        let mut kiosk = scene.kiosk(READER).await?;
        kiosk.wait(STEP, named("idle")).await?;
        let _inserted = card.insert(scene.site.slot(READER)?).await?;
        receptions.push(go_through(&mut kiosk, PIN).await?.reception);
        // At this very moment, with nothing flushed by an orderly end.
        scene.site.kill_gateway()?;
        scene.site.start_gateway()?;
    }
    scene.central(ModeSpec::new("up"))?;
    for reception in &receptions {
        scene.until_code(reception, "confirmed_later").await?;
    }
    let effects = scene.eligibility_effects()?;
    assert!(effects.len() == 3 && effects.iter().all(|effect| effect.times_applied == 1), "{effects:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_asked_to_stop_lets_the_patient_finish() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-FINISHING")?;
    let mut kiosk = scene.kiosk(READER).await?;
    let (inserted, _) = until_consent(&scene, &mut kiosk, &card).await?;
    scene.site.gateway()?.terminate()?;
    until(STEP, "the gateway is stopping", || scene.log().is_ok_and(|log| log.contains("\"stopping\"")))?;
    assert!(scene.site.gateway()?.is_running(), "it did not wait for the patient");

    let visit = go_through(&mut kiosk, PIN).await?;
    assert!(visit.ending.text().contains(DONE), "{visit:?}");
    inserted.remove().await;
    assert_eq!(scene.site.gateway()?.wait(STEP)?.code(), Some(0));
    scene.site.start_gateway()?;
    scene.until_code(&visit.reception, "confirmed").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_asked_to_stop_waits_ten_seconds_at_the_most_and_abandons_what_is_left() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-DAWDLING")?;
    let mut kiosk = scene.kiosk(READER).await?;
    let (_inserted, shown) = until_consent(&scene, &mut kiosk, &card).await?;
    let start = Instant::now();
    assert_eq!(scene.site.stop_gateway()?, Some(0));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let explanation = scene.explanation(&shown.reception.context("a reception")?)?;
    assert_eq!(explanation["code"], "abandoned", "{explanation}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_gateway_at_once() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-INTERRUPTED")?;
    let mut kiosk = scene.kiosk(READER).await?;
    let (_inserted, shown) = until_consent(&scene, &mut kiosk, &card).await?;
    scene.site.gateway()?.terminate()?;
    until(STEP, "the gateway is stopping", || scene.log().is_ok_and(|log| log.contains("\"stopping\"")))?;
    let start = Instant::now();
    let gateway = scene.site.gateway()?;
    gateway.terminate()?;
    assert_eq!(gateway.wait(STEP)?.code(), Some(0));
    // Well below the ten seconds that the patient would have been given.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    scene.site.start_gateway()?;
    let explanation = scene.explanation(&shown.reception.context("a reception")?)?;
    assert_eq!(explanation["code"], "abandoned", "{explanation}");
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_comes_up_and_receives_patients_while_line_and_broker_are_down() -> Result<()> {
    let plan = Plan { mqtt: true, answer_deadline_ms: 600, ..Plan::default() };
    let mut scene = Scene::prepare(plan)?;
    scene.site.stop_broker()?;
    scene.central(ModeSpec::new("down"))?;
    scene.site.start_gateway()?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-ALONE")?, PIN).await?;
    assert!(visit.ending.text().contains("あとで自動的に行います"), "{visit:?}");
    let health = scene.health()?;
    assert_eq!((&health["ok"], &part(&health, "central")["ok"]), (&true.into(), &false.into()), "{health}");
    scene.site.start_broker()?;
    scene.central(ModeSpec::new("up"))?;
    scene.until_code(&visit.reception, "confirmed_later").await?;
    let found = || scene.health().is_ok_and(|health| part(&health, "mqtt")["ok"] == true);
    until(STEP, "the broker is found", found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_slot_is_taken_says_so_is_never_given_up_and_opens_by_itself_when_the_slot_is_free() -> Result<()>
{
    let mut scene = Scene::prepare(Plan::default())?;
    let taken = TcpListener::bind(scene.site.slot(READER)?)?;
    scene.site.start_gateway()?;
    scene.receives_the_next_patient("desk-1/b").await?;

    let mut kiosk = scene.kiosk(READER).await?;
    let shown = kiosk.wait(STEP, named("out_of_service")).await?;
    assert!(shown.reception.is_none(), "{shown:?}");
    let said = detail(&scene, "reader desk-1/a")?;
    assert!(said.contains("cannot open the card slot") && said.contains("tried again"), "{said}");
    assert_eq!(scene.health()?["ok"], true, "one reader is not the whole site");
    assert!(scene.get("/staff?lang=ja")?.contains("カードの読み取り口を開けません"));
    scene.receives_the_next_patient("desk-1/b").await?;
    let log = scene.log()?;
    assert!(!log.contains("child failed"), "a slot that is taken is no failure of the reader: {log}");

    drop(taken);
    kiosk.wait(STEP, named("idle")).await?;
    drop(kiosk);
    scene.receives_the_next_patient(READER).await
}
