//! Answers that make no sense are believed by nobody, lose nobody's request, and are told with the code they came with.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use uketsuke_tests::central::ModeSpec;
use uketsuke_tests::patient::go_through;
use uketsuke_tests::scene::{PIN, STEP, Scene, named, part};
use uketsuke_tests::site::{Plan, until};

const READER: &str = "desk-1/a";

/// The row of a reception's question, with what was last found wrong.
fn question(scene: &Scene, reception: &str) -> Result<Value> {
    let (_, text) = scene.site.ask(&["queue", "--json"])?;
    let queue: Value = serde_json::from_str(&text)?;
    let rows = queue["rows"].as_array().context("rows")?;
    let row = rows.iter().find(|row| row["reception"] == reception && row["kind"] == "eligibility");
    row.cloned().with_context(|| format!("no question of {reception}: {queue}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_believed_is_no_answer_and_the_request_stays_until_there_is_one() -> Result<()> {
    let scene = Scene::start(Plan { answer_deadline_ms: 700, ..Plan::default() })?;
    // Somebody else, about whom an answer may be.
    let before = scene.check_in(READER, &scene.card("TEST-VALID-BEFORE")?, PIN).await?;
    scene.until_code(&before.reception, "confirmed").await?;
    for (oddity, words) in [
        ("stranger", "answer_to_another_request"),
        ("former", "answer_to_another_request"),
        ("large", "out_of_range"),
        ("status", "not_processed NEW-7007"),
    ] {
        scene.central(ModeSpec::odd(oddity))?;
        let card = scene.card(&format!("TEST-VALID-ODD-{}", oddity.to_uppercase()))?;
        let visit = scene.check_in(READER, &card, PIN).await?;
        assert!(visit.ending.text().contains("あとで自動的に行います"), "{oddity}: {visit:?}");
        assert_eq!(scene.explanation(&visit.reception)?["code"], "provisional", "{oddity}");
        until(STEP, "the queue says what was wrong with the answer", || {
            question(&scene, &visit.reception).is_ok_and(|row| row["last_error"] == words)
        })
        .with_context(|| format!("{oddity}: {:?}", question(&scene, &visit.reception)))?;
        assert_eq!(question(&scene, &visit.reception)?["state"], "pending", "{oddity}");
        assert_eq!(part(&scene.health()?, "central")["ok"], true, "{oddity}: the line has no fault");

        scene.central(ModeSpec::new("up"))?;
        let seq = question(&scene, &visit.reception)?["seq"].to_string();
        assert_eq!(scene.site.ask(&["queue", "retry", &seq])?.0, Some(0), "{oddity}");
        scene.until_code(&visit.reception, "confirmed_later").await?;
    }
    assert_eq!(scene.explanation(&before.reception)?["code"], "confirmed", "nobody else's reception was touched");
    let effects = scene.eligibility_effects()?;
    assert!(effects.iter().all(|effect| effect.times_applied == 1), "{effects:?}");
    assert!(effects.iter().any(|effect| effect.times_received > 1), "the odd ones were asked again: {effects:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_nobody_knows_is_told_as_it_came_and_the_patient_is_received_at_the_desk() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    for (oddity, code, raw) in [("codes", "unknown_code", "8X"), ("loss", "insurance_invalid", "42")] {
        scene.central(ModeSpec::odd(oddity))?;
        let card = scene.card(&format!("TEST-VALID-ODD-{}", oddity.to_uppercase()))?;
        let mut kiosk = scene.kiosk(READER).await?;
        kiosk.wait(STEP, named("idle")).await?;
        let inserted = card.insert(scene.site.slot(READER)?).await?;
        let choose = kiosk.wait(STEP, named("choose")).await?;
        kiosk.press(&choose, json!({ "intent": "choose_pin" })).await?;
        let pad = kiosk.wait(STEP, |shown| shown.pin_keys("1234").is_some()).await?;
        kiosk.press(&pad, json!({ "intent": "pin", "keys": pad.pin_keys("1234") })).await?;
        let shown = kiosk.wait(STEP, named("ineligible")).await?;
        assert!(shown.text().contains(raw), "{oddity}: {}", shown.text());
        assert!(shown.text().contains("10割負担になることはありません"), "{oddity}: {}", shown.text());
        kiosk.press(&shown, json!({ "intent": "acknowledge" })).await?;
        kiosk.wait(STEP, |after| after.version > shown.version).await?;
        let visit = go_through(&mut kiosk, PIN).await?;
        inserted.remove().await;
        let explanation = scene.until_code(&visit.reception, code).await?;
        assert!(explanation["what"].to_string().contains(raw), "{oddity}: {explanation}");
        let (_, english) = scene.site.ask(&["explain", &visit.reception, "--lang", "en"])?;
        assert!(english.contains(raw), "{oddity}: {english}");
        let page = scene.get(&format!("/staff/explain/{}", visit.reception))?;
        assert!(page.contains(raw), "{oddity}: {page}");
        let page = scene.get(&format!("/staff/case/{}", visit.reception))?;
        assert!(!page.contains("panicked") && page.contains("<h1"), "{oddity}: {page}");
        if oddity == "codes" {
            assert!(page.contains("NEW-INSURER"), "what is not known is shown as it came: {page}");
        }
    }
    assert!(!scene.log()?.contains("panicked"));
    scene.central(ModeSpec::new("up"))?;
    scene.receives_the_next_patient(READER).await
}
