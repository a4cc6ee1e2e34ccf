//! What a patient meets between placing the card and taking it, with the real gateway and a simulated central system.

use anyhow::{Context, Result, bail};
use serde_json::json;
use uketsuke_tests::central::{Class, ModeSpec, Person};
use uketsuke_tests::patient::{Kiosk, PatientCard, Shown, Visit, Way, check_in, go_through};
use uketsuke_tests::pki::{CardOptions, DevPki};
use uketsuke_tests::scene::{PIN, STEP, Scene, named};
use uketsuke_tests::site::{Plan, portrait};

const READER: &str = "desk-1/a";
const DONE: &str = "受付が完了しました";
const PROVISIONAL: &str = "あとで自動的に行います";

/// Patients do not wait long for an answer here.
fn hasty() -> Plan {
    Plan { answer_deadline_ms: 700, ..Plan::default() }
}

/// Puts a card in that is never taken further than its first screen, and returns what the patient is told.
async fn told_at_once(scene: &Scene, card: &PatientCard) -> Result<Shown> {
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let shown = kiosk.wait(STEP, |shown| !matches!(shown.name.as_str(), "idle" | "reading")).await?;
    inserted.remove().await;
    kiosk.wait(STEP, named("idle")).await?;
    Ok(shown)
}

async fn press_pin(kiosk: &mut Kiosk, digits: &str, after: u64) -> Result<Shown> {
    let shown = kiosk.wait(STEP, |shown| shown.version > after && shown.pin_keys(digits).is_some()).await?;
    let keys = shown.pin_keys(digits).context("a pad")?;
    kiosk.press(&shown, json!({ "intent": "pin", "keys": keys })).await?;
    Ok(shown)
}

async fn staff_say_the_same_person(scene: &Scene, kiosk: &mut Kiosk) -> Result<Visit> {
    let shown = kiosk.wait(STEP, named("staff")).await?;
    let reception = shown.reception.context("a reception")?;
    scene.site.staff().decide(READER, &reception, true).await?;
    kiosk.wait(STEP, |shown| shown.name != "staff").await?;
    go_through(kiosk, Way::Staff).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_with_a_pin_is_confirmed() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-PIN")?, PIN).await?;
    assert!(visit.saw("pin") && visit.saw("consent") && visit.ending.text().contains(DONE), "{visit:?}");
    assert!(!visit.ending.text().contains(PROVISIONAL), "{}", visit.ending.text());
    let explanation = scene.until_code(&visit.reception, "confirmed").await?;
    assert!(explanation["story"].to_string().contains("暗証番号"), "{explanation}");
    assert!(explanation["story"].to_string().contains("同意 3/3"), "{explanation}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_whose_face_matches_the_chip_photo_is_confirmed() -> Result<()> {
    let scene = Scene::start_with_face(&[])?;
    let card = scene.card_with_photo("TEST-VALID-FACE", portrait("chip.jp2")?)?;
    let frames = [portrait("camera-same.jpg")?, portrait("camera-same-2.jpg")?];
    let mut kiosk = scene.kiosk_before(READER, &frames).await?;
    let visit = check_in(&mut kiosk, scene.site.slot(READER)?, &card, Way::Face).await?;
    assert!(visit.saw("face") && visit.ending.text().contains(DONE), "{visit:?}");
    let explanation = scene.until_code(&visit.reception, "confirmed").await?;
    assert!(explanation["face_score"].as_f64().is_some_and(|score| score > 0.42), "{explanation}");
    assert_eq!(card.pin_tries_left(), Some(3), "no PIN was asked for");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_face_that_does_not_match_leads_to_a_staff_look_which_can_confirm() -> Result<()> {
    let scene = Scene::start_with_face(&[])?;
    let card = scene.card_with_photo("TEST-VALID-LOOK", portrait("chip.jp2")?)?;
    let mut kiosk = scene.kiosk_before(READER, &[portrait("camera-other.jpg")?]).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    for attempt in 1..=2 {
        let shown = kiosk.wait(STEP, named("choose")).await?;
        let told = shown.text().contains("顔認証が一致しませんでした");
        assert_eq!(told, attempt == 2, "at attempt {attempt}: {}", shown.text());
        kiosk.press(&shown, json!({ "intent": "choose_face" })).await?;
        let after = shown.version;
        kiosk.wait(STEP, |shown| shown.version > after && shown.name != "face").await?;
    }
    let shown = kiosk.wait(STEP, named("choose")).await?;
    assert!(!shown.html.contains("choose_face") && shown.html.contains("choose_pin"), "{}", shown.text());
    kiosk.press(&shown, json!({ "intent": "call_staff" })).await?;
    let visit = staff_say_the_same_person(&scene, &mut kiosk).await?;
    inserted.remove().await;
    assert!(visit.ending.text().contains(DONE), "{visit:?}");
    let explanation = scene.until_code(&visit.reception, "confirmed").await?;
    assert!(explanation["story"].to_string().contains("目視確認"), "{explanation}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_pins_lock_the_card_and_the_staff_look_still_leads_to_the_end() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-LOCKED")?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let choose = kiosk.wait(STEP, named("choose")).await?;
    assert!(choose.html.contains("choose_pin"), "{}", choose.html);
    kiosk.press(&choose, json!({ "intent": "choose_pin" })).await?;
    let mut version = choose.version;
    for tries_left in [2, 1, 0] {
        let pad = press_pin(&mut kiosk, "9999", version).await?;
        version = pad.version;
        // The screen that follows the check, not the one that says "checking".
        let next = |shown: &Shown| shown.version > version && (shown.name == "staff" || shown.pin_keys("0").is_some());
        let shown = kiosk.wait(STEP, next).await?;
        assert_eq!(card.pin_tries_left(), Some(tries_left));
        if tries_left > 0 {
            assert!(shown.text().contains(&format!("あと {tries_left}")), "{}", shown.text());
        }
        version = shown.version - 1;
    }
    let visit = staff_say_the_same_person(&scene, &mut kiosk).await?;
    inserted.remove().await;
    assert!(visit.ending.text().contains(DONE), "{visit:?}");

    let shown = told_at_once(&scene, &card).await?;
    assert_eq!(shown.name, "staff", "a locked card is not asked for its PIN: {}", shown.text());
    assert_eq!(card.pin_tries_left(), Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_without_a_pin_is_received_by_a_staff_look() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let card = scene.site.card("TEST-VALID-NO-PIN", None, None)?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let visit = staff_say_the_same_person(&scene, &mut kiosk).await?;
    inserted.remove().await;
    assert!(visit.ending.text().contains(DONE), "{visit:?}");
    scene.until_code(&visit.reception, "confirmed").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_whom_staff_do_not_recognise_is_not_asked_about() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-SOMEBODY-ELSE")?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let choose = kiosk.wait(STEP, named("choose")).await?;
    kiosk.press(&choose, json!({ "intent": "call_staff" })).await?;
    let reception = kiosk.wait(STEP, named("staff")).await?.reception.context("a reception")?;
    scene.site.staff().decide(READER, &reception, false).await?;
    let shown = kiosk.wait(STEP, named("take_card")).await?;
    inserted.remove().await;
    assert!(shown.text().contains("ご本人の確認ができませんでした"), "{}", shown.text());
    scene.receives_the_next_patient(READER).await?;
    assert_eq!(scene.eligibility_effects()?.len(), 1, "only the next patient was asked about");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_card_is_told_so() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let shown = told_at_once(&scene, &PatientCard::foreign()).await?;
    assert!(shown.text().contains("マイナンバーカードではないカードです"), "{}", shown.text());
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_of_an_authority_that_nobody_trusts_goes_to_the_desk() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let other = DevPki::create_or_open(scene.dir().join("another-pki"))?;
    let issued = other
        .card("forged", &CardOptions { common_name: Some("TEST-VALID-FORGED".into()), ..CardOptions::shared() })?;
    let card = PatientCard::new(&issued, Some(*b"1234"), &std::fs::read(other.card_ca_der())?, None)?;
    let shown = told_at_once(&scene, &card).await?;
    assert!(shown.text().contains("電子証明書を確認できませんでした"), "{}", shown.text());
    scene.receives_the_next_patient(READER).await?;
    assert_eq!(scene.eligibility_effects()?.len(), 1, "nobody was asked about the forged card");
    Ok(())
}

fn card_that_expired(scene: &Scene, name: &str, days_ago: i64) -> Result<PatientCard> {
    let not_after = time::OffsetDateTime::from_unix_timestamp(uketsuke_tests::clock::now_ms() / 1000)?
        - time::Duration::days(days_ago);
    let options = CardOptions { common_name: Some(name.to_owned()), not_after, ..CardOptions::shared() };
    let issued = scene.site.pki.card(&name.to_lowercase(), &options)?;
    PatientCard::new(&issued, Some(*b"1234"), &std::fs::read(scene.site.pki.card_ca_der())?, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expired_more_than_three_months_ago_goes_to_the_desk() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let shown = told_at_once(&scene, &card_that_expired(&scene, "TEST-VALID-EXPIRED", 100)?).await?;
    assert!(shown.text().contains("3か月以上前に切れています"), "{}", shown.text());
    assert!(shown.text().contains("10割負担になることはありません"), "the promise is missing: {}", shown.text());
    // Staff find the patient on their list, with the rules that decided; it is written behind the patient's back.
    let deadline = tokio::time::Instant::now() + STEP;
    loop {
        let listed = scene.get("/staff")?;
        if listed.contains("3か月以上前に切れています") && listed.contains("規則の版") {
            return Ok(());
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "not on the list: {listed}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expired_lately_is_received_without_consent_questions() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let visit = scene.check_in(READER, &card_that_expired(&scene, "TEST-VALID-GRACE", 30)?, PIN).await?;
    assert!(!visit.saw("consent") && visit.ending.text().contains(DONE), "{visit:?}");
    scene.until_code(&visit.reception, "confirmed").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_who_cancels_leaves_no_reception_behind() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-CANCEL")?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let choose = kiosk.wait(STEP, named("choose")).await?;
    kiosk.press(&choose, json!({ "intent": "cancel" })).await?;
    let shown = kiosk.wait(STEP, named("take_card")).await?;
    assert!(shown.text().contains("受付を取り消しました"), "{}", shown.text());
    inserted.remove().await;
    kiosk.wait(STEP, named("idle")).await?;
    assert_eq!(scene.eligibility_effects()?, []);
    assert_eq!(scene.site.ask(&["explain", "--json"])?, (Some(0), String::new()), "nothing was recorded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_who_cancels_after_the_answer_is_on_the_abandoned_list() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-CANCEL-LATE")?;
    let mut kiosk = scene.kiosk(READER).await?;
    let (inserted, shown) = until_consent(&scene, &mut kiosk, &card).await?;
    kiosk.press(&shown, json!({ "intent": "cancel" })).await?;
    let reception = kiosk.wait(STEP, named("take_card")).await?.reception.context("a reception")?;
    inserted.remove().await;
    let explanation = scene.until_code(&reception, "abandoned").await?;
    assert!(explanation["what"].to_string().contains("患者さんが取り消しました"), "{explanation}");
    assert!(explanation["what"].to_string().contains("資格は有効と確認できています"), "{explanation}");
    Ok(())
}

/// Goes by PIN to the first consent question.
async fn until_consent(
    scene: &Scene,
    kiosk: &mut Kiosk,
    card: &PatientCard,
) -> Result<(uketsuke_tests::patient::CardInSlot, Shown)> {
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let choose = kiosk.wait(STEP, named("choose")).await?;
    kiosk.press(&choose, json!({ "intent": "choose_pin" })).await?;
    press_pin(kiosk, "1234", choose.version).await?;
    let shown = kiosk.wait(STEP, named("consent")).await?;
    Ok((inserted, shown))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_pulled_too_early_abandons_the_reception_and_the_late_answer_is_attached() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    scene.central(ModeSpec::slow(1_000))?;
    let card = scene.card("TEST-VALID-HASTY")?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let choose = kiosk.wait(STEP, named("choose")).await?;
    kiosk.press(&choose, json!({ "intent": "choose_pin" })).await?;
    press_pin(&mut kiosk, "1234", choose.version).await?;
    let reception = kiosk.wait(STEP, named("asking")).await?.reception.context("a reception")?;
    // T1 is on disk when the request has reached the central system.
    uketsuke_tests::site::until(STEP, "the request arrives", || {
        scene.site.control.stats().is_ok_and(|stats| stats.eligibility_received > 0)
    })?;
    inserted.remove().await;
    let shown = kiosk.wait(STEP, named("notice")).await?;
    assert!(shown.text().contains("受付の途中でカードが取り出されました"), "{}", shown.text());
    let explanation = scene.until_code(&reception, "abandoned").await?;
    assert!(explanation["what"].to_string().contains("カードが途中で取り出されました"), "{explanation}");
    let late =
        |explanation: &serde_json::Value| explanation["what"].to_string().contains("資格は有効と確認できています");
    let explanation = scene.until_explained(&reception, "known to be insured", late).await?;
    assert_eq!(explanation["code"], "abandoned", "a late answer completes nothing: {explanation}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_left_behind_is_called_for_again_and_again() -> Result<()> {
    let scene = Scene::start_with(Plan::default(), &[("[reception]", "[reception]\nleft_behind_ms = 1000")])?;
    let card = scene.card("TEST-VALID-FORGETFUL")?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let visit = go_through(&mut kiosk, PIN).await?;
    assert!(!visit.ending.html.contains("urgent"), "{}", visit.ending.html);
    let reminder = kiosk.wait(STEP, |shown| shown.name == "take_card" && shown.html.contains("urgent")).await?;
    assert!(reminder.text().contains("カードを忘れずにお取りください"), "{}", reminder.text());
    assert!(scene.get("/staff")?.contains("カードが置いたままになっています"));
    inserted.remove().await;
    kiosk.wait(STEP, named("idle")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_why_an_insurance_is_not_valid_is_told_and_explained() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    for (name, code, words) in [
        ("TEST-INVALID-1", "insurance_invalid", "登録されている資格は無効です"),
        ("TEST-INVALID-NEW-1", "new_insurance", "新しい資格があります"),
        ("TEST-NONE-1", "no_insurance_found", "該当する資格が見つかりませんでした"),
        ("TEST-SEVERAL-1", "several_insurances", "有効な資格が複数見つかりました"),
        ("TEST-UNREGISTERED-1", "card_not_registered", "利用登録がまだです"),
        ("TEST-REVOKED-1", "certificate_revoked", "電子証明書が失効しています"),
        ("TEST-UNKNOWN-CODE-1", "unknown_code", "このシステムの知らないものです"),
    ] {
        let mut kiosk = scene.kiosk(READER).await?;
        kiosk.wait(STEP, named("idle")).await?;
        let card = scene.card(name)?;
        let inserted = card.insert(scene.site.slot(READER)?).await?;
        let choose = kiosk.wait(STEP, named("choose")).await?;
        kiosk.press(&choose, json!({ "intent": "choose_pin" })).await?;
        press_pin(&mut kiosk, "1234", choose.version).await?;
        if code == "card_not_registered" {
            let offer = kiosk.wait(STEP, named("register")).await?;
            assert!(offer.text().contains("10割負担になることはありません"), "{}", offer.text());
            kiosk.press(&offer, json!({ "intent": "register", "agreed": false })).await?;
        }
        let shown = kiosk.wait(STEP, named("ineligible")).await?;
        assert!(shown.text().contains(words), "{name}: {}", shown.text());
        assert!(shown.text().contains("10割負担になることはありません"), "{name} hears no promise: {}", shown.text());
        kiosk.press(&shown, json!({ "intent": "acknowledge" })).await?;
        let visit = go_through_from(&mut kiosk, shown.version).await?;
        inserted.remove().await;
        let insured = matches!(code, "new_insurance" | "several_insurances");
        assert_eq!(
            visit.saw("consent"),
            insured,
            "{name}: consents are asked of those who are insured, and of no others"
        );
        assert!(visit.ending.text().contains(words) && visit.ending.text().contains("窓口"), "{name}: {visit:?}");
        let explanation = scene.until_code(&visit.reception, code).await?;
        assert!(explanation["what"].to_string().contains(words), "{name}: {explanation}");
        assert!(!explanation["next"].to_string().is_empty(), "{name}: {explanation}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_is_not_registered_is_registered_at_the_reader_and_received() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let visit = scene.check_in(READER, &scene.card("TEST-UNREGISTERED-2")?, PIN).await?;
    assert!(visit.saw("register") && visit.saw("consent") && visit.ending.text().contains(DONE), "{visit:?}");
    scene.until_code(&visit.reception, "confirmed").await?;
    let again = scene.check_in(READER, &scene.card("TEST-UNREGISTERED-2")?, PIN).await?;
    assert!(!again.saw("register"), "once is enough: {again:?}");
    Ok(())
}

/// [`go_through`] for what comes after a screen that was already answered.
async fn go_through_from(kiosk: &mut Kiosk, after: u64) -> Result<Visit> {
    kiosk.wait(STEP, |shown| shown.version > after).await?;
    go_through(kiosk, PIN).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_whose_insurance_is_valid_but_unregistered_is_received_and_staff_are_told_of_the_ticket() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-UNREGISTERED-1")?, PIN).await?;
    assert!(visit.ending.text().contains(DONE), "{visit:?}");
    scene.until_code(&visit.reception, "confirmed_without_ticket").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_expressed_is_flagged_by_explain() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    for (name, dots) in [("TEST-VALID-DOTS", true), ("TEST-VALID-PLAIN", false)] {
        let person = Person::of_name(name, Class::Valid).with_dots(dots);
        scene.site.control.set_person(&person)?;
        let visit = scene.check_in(READER, &scene.card(name)?, PIN).await?;
        let explanation = scene.until_code(&visit.reception, "confirmed").await?;
        assert_eq!(explanation["unmapped_characters"], dots, "{name}: {explanation}");
        let (_, text) = scene.site.ask(&["explain", &visit.reception])?;
        assert_eq!(text.contains('●'), dots, "{name}: {text}");
    }
    Ok(())
}

/// A patient meets a central system that gives no answer in time, and is confirmed by itself once it does.
async fn provisional_and_confirmed_later(fault: ModeSpec) -> Result<()> {
    let scene = Scene::start(hasty())?;
    scene.central(fault)?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-IN-THE-DARK")?, PIN).await?;
    assert!(visit.ending.text().contains(PROVISIONAL), "{visit:?}");
    assert!(visit.saw("consent"), "consents are asked for all the same: {visit:?}");
    let explanation = scene.explanation(&visit.reception)?;
    if explanation["code"] != "confirmed_later" {
        assert_eq!(explanation["code"], "provisional", "{explanation}");
        scene.central(ModeSpec::new("up"))?;
    }
    scene.until_code(&visit.reception, "confirmed_later").await?;
    let effects = scene.eligibility_effects()?;
    assert!(matches!(&effects[..], [effect] if effect.times_applied == 1), "{effects:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_received_while_the_line_is_down_and_confirmed_afterwards() -> Result<()> {
    provisional_and_confirmed_later(ModeSpec::new("down")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_received_while_the_central_system_hangs_and_confirmed_afterwards() -> Result<()> {
    provisional_and_confirmed_later(ModeSpec::new("hang")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_received_while_the_central_system_fails_and_confirmed_afterwards() -> Result<()> {
    provisional_and_confirmed_later(ModeSpec::error("INTERNAL")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_received_while_the_central_system_is_unavailable_and_confirmed_afterwards() -> Result<()> {
    provisional_and_confirmed_later(ModeSpec::error("UNAVAILABLE")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_received_while_the_central_system_is_busy_and_confirmed_afterwards() -> Result<()> {
    provisional_and_confirmed_later(ModeSpec { ms: Some(1_000), ..ModeSpec::new("busy") }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_received_while_the_central_system_is_slow_and_confirmed_afterwards() -> Result<()> {
    provisional_and_confirmed_later(ModeSpec::slow(1_500).times(1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_who_comes_again_brings_what_is_open_from_the_last_time_before_the_staff() -> Result<()> {
    let scene = Scene::start(hasty())?;
    scene.central(ModeSpec::new("down"))?;
    let card = scene.card("TEST-VALID-AGAIN")?;
    let before = scene.check_in(READER, &card, PIN).await?;
    scene.check_in("desk-1/b", &scene.card("TEST-VALID-SOMEBODY-ELSE")?, PIN).await?;
    let link = format!("/staff/case/{}", before.reception);

    let mut kiosk = scene.kiosk(READER).await?;
    let (inserted, shown) = until_consent(&scene, &mut kiosk, &card).await?;
    let page = scene.get("/staff?lang=ja")?;
    let (readers, _) = page.split_once("窓口で対応する受付").context("the lists come after the readers")?;
    assert_eq!(readers.matches("同じ患者さんの以前の受付").count(), 1, "{readers}");
    assert!(readers.contains(&link), "{readers}");
    let again = shown.reception.context("a reception is under way")?;
    let told = scene.explanation(&again)?;
    assert_eq!(told["earlier"][0]["reception"], before.reception.as_str(), "{told}");
    assert!(told["earlier"][1].is_null(), "{told}");
    inserted.remove().await;

    scene.central(ModeSpec::new("up"))?;
    scene.until_code(&before.reception, "confirmed_later").await?;
    assert!(scene.explanation(&again)?["earlier"].is_null(), "nothing is open any more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_central_system_refuses_leaves_the_patient_received_and_staff_informed() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    scene.central(ModeSpec::error("INVALID_ARGUMENT").times(1))?;
    let card = scene.card("TEST-VALID-REFUSED")?;
    let visit = scene.check_in(READER, &card, PIN).await?;
    assert!(visit.ending.text().contains(DONE), "{visit:?}");
    let explanation = scene.until_code(&visit.reception, "rejected_by_central").await?;
    assert!(explanation["what"].to_string().contains("invalid_argument"), "{explanation}");
    assert!(explanation["next"].to_string().contains("受付は有効です"), "{explanation}");
    let (_, queue) = scene.site.ask(&["queue", "--json"])?;
    let queue: serde_json::Value = serde_json::from_str(&queue)?;
    // The request, and the consent that only made sense with it.
    assert_eq!(queue["counts"]["rejected"], 2, "they are kept for whoever looks after the system: {queue}");
    // Neither holds up the same patient's next visit.
    let again = scene.check_in(READER, &card, PIN).await?;
    scene.until_code(&again.reception, "confirmed").await?;
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_refused_for_a_while_loses_nothing_by_it() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    for code in ["PERMISSION_DENIED", "UNIMPLEMENTED", "UNAUTHENTICATED", "INTERNAL"] {
        scene.central(ModeSpec::error(code))?;
        let visit = scene.check_in(READER, &scene.card(&format!("TEST-VALID-{code}"))?, PIN).await?;
        assert!(visit.ending.text().contains(DONE), "{visit:?}");
        scene.central(ModeSpec::new("up"))?;
        scene.until_code(&visit.reception, "confirmed_later").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_on_the_way_is_asked_for_again_and_takes_effect_once() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    scene.central(ModeSpec::new("drop_answer").times(1))?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-DROPPED")?, PIN).await?;
    assert!(visit.ending.text().contains(DONE), "{visit:?}");
    let known = |explanation: &serde_json::Value| explanation["code"].to_string().contains("confirmed");
    scene.until_explained(&visit.reception, "confirmed", known).await?;
    let effects = scene.eligibility_effects()?;
    assert!(matches!(&effects[..], [effect] if effect.times_applied == 1 && effect.times_received == 2), "{effects:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_patients_at_two_readers_do_not_disturb_each_other() -> Result<()> {
    let scene = Scene::start(Plan { think_ms: 200, ..Plan::default() })?;
    let (valid, invalid) = (scene.card("TEST-VALID-LEFT")?, scene.card("TEST-INVALID-NEW-RIGHT")?);
    let (left, right) =
        tokio::try_join!(scene.check_in("desk-1/a", &valid, PIN), scene.check_in("desk-1/b", &invalid, PIN))?;
    assert!(left.ending.text().contains(DONE) && !left.saw("ineligible"), "{left:?}");
    assert!(right.saw("ineligible") && right.saw("consent"), "{right:?}");
    scene.until_code(&left.reception, "confirmed").await?;
    scene.until_code(&right.reception, "new_insurance").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_of_one_patient_keep_their_order() -> Result<()> {
    let scene = Scene::start(hasty())?;
    scene.central(ModeSpec::new("down"))?;
    let card = scene.card("TEST-VALID-AGAIN")?;
    let mut visits = Vec::new();
    for reader in ["desk-1/a", "desk-1/b", "desk-1/a"] {
        visits.push(scene.check_in(reader, &card, PIN).await?.reception);
    }
    scene.central(ModeSpec::new("up"))?;
    for visit in &visits {
        scene.until_code(visit, "confirmed_later").await?;
    }
    let asked: Vec<String> =
        scene.eligibility_effects()?.iter().map(|effect| effect.reception_id.to_string()).collect();
    assert_eq!(asked, visits);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_card_placed_again_at_once_is_a_new_reception() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-AT-ONCE")?;
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let mut receptions = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let inserted = card.insert(scene.site.slot(READER)?).await?;
        let visit = go_through(&mut kiosk, PIN).await?;
        receptions.insert(visit.reception);
        inserted.remove().await;
        // Not a moment is lost between two receptions: the disk must not be slower than the patient.
        kiosk.wait(STEP, named("idle")).await?;
    }
    assert_eq!(receptions.len(), 8, "a reception was taken for an earlier one of the same card");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_press_on_an_outdated_screen_changes_nothing() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let card = scene.card("TEST-VALID-STALE")?;
    let mut kiosk = scene.kiosk(READER).await?;
    let (inserted, consent) = until_consent(&scene, &mut kiosk, &card).await?;
    let stale = Shown { version: consent.version - 1, ..consent.clone() };
    kiosk.press(&stale, json!({ "intent": "cancel" })).await?;
    // Handled in order: when the next press shows its effect, the stale one has had its chance.
    kiosk
        .press(
            &consent,
            json!({ "intent": "consent", "question": consent.attribute("data-question"), "agreed": false }),
        )
        .await?;
    let shown = kiosk.wait(STEP, |shown| shown.version > consent.version).await?;
    if shown.name != "consent" {
        bail!("the stale press had an effect: {}", shown.text());
    }
    let visit = go_through(&mut kiosk, PIN).await?;
    inserted.remove().await;
    let explanation = scene.until_code(&visit.reception, "confirmed").await?;
    assert!(explanation["story"].to_string().contains("同意 1/3"), "{explanation}");
    Ok(())
}
