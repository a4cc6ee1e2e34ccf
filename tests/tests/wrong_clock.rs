//! A clock that was wrong costs no patient anything, and no reception its place in the store.

use anyhow::{Context, Result};
use serde_json::Value;
use uketsuke_tests::central::ledger::Kind;
use uketsuke_tests::central::{Class, ModeSpec, Numbers, Person};
use uketsuke_tests::pki::ClientOptions;
use uketsuke_tests::scene::{PIN, STEP, Scene, part};
use uketsuke_tests::site::{Plan, until};

const READER: &str = "desk-1/a";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn document() -> Numbers {
    Numbers {
        insurer: "990014".into(),
        symbol: "1234".into(),
        number: "00000042".into(),
        branch: "01".into(),
        birthdate: "19580401".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_for_its_time_is_asked_again_or_handed_to_staff_with_the_reason() -> Result<()> {
    let scene = Scene::start(Plan { answer_deadline_ms: 1_000, ..Plan::default() })?;
    scene.site.control.set_person(&Person::of_document(document(), Class::Valid))?;
    // The marker vouches for the clock of this machine, which is a day ahead from now on; the line that could tell is down.
    scene.central(ModeSpec::new("down"))?;
    scene.site.control.set_clock_ahead_ms(-DAY_MS)?;
    let by_document = scene.site.staff().receive(&document()).await?;
    let by_card = scene.check_in(READER, &scene.card("TEST-VALID-AHEAD")?, PIN).await?;
    assert!(by_card.ending.text().contains("受付が完了しました"), "{by_card:?}");
    scene.central(ModeSpec::new("up"))?;

    scene.until_code(&by_document, "confirmed_later").await.context("asked again with the right time")?;
    scene.until_code(&by_card.reception, "enter_numbers_as_clock_was_wrong").await?;
    let case = scene.get(&format!("/staff/case/{}?lang=ja", by_card.reception))?;
    for words in ["時計がずれていた", "10割の請求はしません", "番号を入力"] {
        assert!(case.contains(words), "staff read why, and what to do: {case}");
    }
    let ledger = scene.site.control.ledger()?;
    assert_eq!(ledger.iter().map(|effect| effect.kind).collect::<Vec<_>>(), [Kind::FollowUp], "{ledger:?}");
    assert_eq!(ledger[0].times_applied, 1);

    // The clock is as wrong as before, but known to be.
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_patient_agreed_to_with_a_wrong_clock_arrives_once_when_the_numbers_prove_them() -> Result<()> {
    let mut scene = Scene::start(Plan { answer_deadline_ms: 1_000, ..Plan::default() })?;
    scene.site.control.set_person(&Person::of_document(document(), Class::Valid))?;
    scene.central(ModeSpec::new("down"))?;
    scene.site.control.set_clock_ahead_ms(-DAY_MS)?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-AHEAD")?, PIN).await?;
    assert!(visit.saw("consent") && visit.ending.text().contains("受付が完了しました"), "{visit:?}");
    scene.central(ModeSpec::new("up"))?;
    scene.until_code(&visit.reception, "enter_numbers_as_clock_was_wrong").await?;
    assert!(scene.effects(Kind::Consent)?.is_empty(), "the central system knows no question that they could name");

    scene.site.control.set_clock_ahead_ms(0)?;
    let numbers = document();
    let form = serde_json::json!({
        "which": "current", "insurer_number": numbers.insurer, "symbol": numbers.symbol, "number": numbers.number,
        "branch": numbers.branch, "birthdate": numbers.birthdate, "limit_certificate": "no",
    });
    scene.site.staff().act(&visit.reception, "numbers", form).await?;
    scene.until_code(&visit.reception, "check_person").await.context("typed numbers prove nothing")?;
    assert!(scene.effects(Kind::Consent)?.is_empty(), "nobody has looked yet");
    let look = serde_json::json!({ "ask": "1", "same": "yes" });
    scene.site.staff().act(&visit.reception, "check_person", look).await?;

    until(STEP, "the consents arrive", || scene.effects(Kind::Consent).is_ok_and(|effects| !effects.is_empty()))?;
    scene.until_code(&visit.reception, "ended_changed").await?;
    // Nothing more comes of it, neither now nor in another life.
    scene.site.stop_gateway()?;
    scene.site.start_gateway()?;
    scene.receives_the_next_patient(READER).await?;
    let ledger = scene.site.control.ledger()?;
    let of_it = ledger.iter().filter(|effect| effect.reception_id.to_string() == visit.reception).collect::<Vec<_>>();
    let [later, consent] = &of_it[..] else { anyhow::bail!("one question and one consent: {of_it:?}") };
    assert_eq!((later.kind, consent.kind), (Kind::FollowUp, Kind::Consent));
    assert_eq!((consent.request_id, consent.times_applied, consent.times_received), (Some(later.id), 1, 1));
    assert!(consent.consents.iter().any(|given| given.agreed), "what was said is what arrives: {consent:?}");
    let limit = consent.consents.iter().find(|given| given.kind.contains("LIMIT_CERTIFICATE"));
    assert_eq!(limit, None, "asked by numbers, the patient was asked anew, and said no");
    Ok(())
}

/// Moves the wall clock that the gateway sees, and neither the clock that it counts by nor the times of files.
fn move_clock(scene: &mut Scene, by: &str) -> Result<()> {
    let found = std::fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let library = found.into_iter().find(|path| path.is_file()).context("no libfaketime; run: deploy/setup --tests")?;
    for (name, value) in [
        ("LD_PRELOAD", library.to_str().context("a path of ASCII")?),
        ("FAKETIME", by),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
    ] {
        scene.site.set_environment(name, value);
    }
    Ok(())
}

/// As the gateway finds it at its next start: off by so much, and synchronised or not in the eyes of this machine.
fn set_clock(scene: &mut Scene, by: &str, marked: bool) -> Result<()> {
    move_clock(scene, by)?;
    let marker = scene.dir().join("clock-synchronised");
    if marked {
        return Ok(std::fs::write(&marker, "")?);
    }
    match std::fs::remove_file(&marker) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The day in Japan, so many days from now.
fn day(days: i64) -> Result<String> {
    let japan = time::OffsetDateTime::now_utc() + time::Duration::hours(9) + time::Duration::days(days);
    Ok(japan.date().format(time::macros::format_description!("[year]-[month]-[day]"))?)
}

fn deletion(scene: &Scene) -> Result<String> {
    let health = scene.health()?;
    Ok(part(&health, "deletion")["detail"].as_str().unwrap_or_default().to_owned())
}

/// Waits until the first round of upkeep is over: rows are walked after it.
fn a_round_is_over(scene: &Scene) -> Result<()> {
    until(STEP, "rows are walked", || {
        let metrics = scene.get("/metrics").unwrap_or_default();
        metrics.lines().any(|line| line.starts_with("uketsuke_store{figure=\"walks\"}") && !line.ends_with(" 0"))
    })
}

/// The log lines with these words, over all lives.
fn logged(scene: &Scene, words: &str) -> Result<Vec<Value>> {
    let lines = scene.log()?.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>();
    Ok(lines.into_iter().map(|mut line| line["fields"].take()).filter(|fields| fields["message"] == words).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_wrong_clock_forgets_nobody_until_the_date_is_confirmed() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-KEPT")?, PIN).await?;
    scene.until_code(&visit.reception, "confirmed").await?;
    scene.site.stop_gateway()?;
    scene.central(ModeSpec::new("down"))?;
    for (by, marked) in
        [("-3653d", true), ("-3653d", false), ("+401d", true), ("+401d", false), ("+1d", true), ("+1d", false)]
    {
        set_clock(&mut scene, by, marked)?;
        scene.site.start_gateway()?;
        a_round_is_over(&scene).with_context(|| format!("{by} {marked}"))?;
        let said = deletion(&scene)?;
        assert!(said.starts_with("nothing is deleted for its age, because"), "{by} {marked}: {said}");
        assert!(said.contains("uketsuke clock confirm"), "{by} {marked}: {said}");
        scene.until_code(&visit.reception, "confirmed").await.with_context(|| format!("{by} {marked}"))?;
        println!("{by} {marked}: {said}");
        scene.site.stop_gateway()?;
    }
    assert_eq!(logged(&scene, "deletion of what is old waits")?.len(), 7, "at each start, while nothing is heard");
    assert!(logged(&scene, "what was older than its limit is deleted")?.is_empty());

    // Who confirms another date than the clock's confirms nothing; who confirms its date lets deletion go on.
    set_clock(&mut scene, "+401d", true)?;
    scene.site.start_gateway()?;
    let (refused, _) = scene.site.ask(&["clock", "confirm", &day(0)?, "--json"])?;
    assert_ne!(refused, Some(0));
    let (confirmed, said) = scene.site.ask(&["clock", "confirm", &day(401)?, "--json"])?;
    assert_eq!(confirmed, Some(0), "{said}");
    until(STEP, "deletion goes on", || {
        logged(&scene, "what was older than its limit is deleted").is_ok_and(|lines| !lines.is_empty())
    })?;
    let lines = logged(&scene, "what was older than its limit is deleted")?;
    assert_eq!(
        (&lines[0]["receptions"], &lines[0]["clock"]),
        (&1.into(), &"date confirmed by a person".into()),
        "{lines:?}"
    );
    assert_eq!((&lines[0]["until"], &lines[0]["settled_until"]), (&day(1)?.into(), &day(341)?.into()), "{lines:?}");
    let (_, gone) = scene.site.ask(&["explain", &visit.reception, "--json"])?;
    assert!(!gone.contains("confirmed"), "{gone}");
    Ok(())
}

/// The line's certificates are valid from this year on.
fn issue_line(scene: &Scene, from_year: i32) -> Result<()> {
    let not_before = time::Date::from_calendar_date(from_year, time::Month::January, 1)?.midnight().assume_utc();
    let options = ClientOptions { not_before, ..ClientOptions::default() };
    scene.site.pki.renew_server(&options)?;
    let (certificate, key) = scene.site.pki.client("gateway-of-another-year", &options)?;
    std::fs::rename(certificate, scene.site.pki.gateway_pem())?;
    Ok(std::fs::rename(key, scene.site.pki.gateway_key())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_clock_that_differs_from_the_central_systems_forgets_nobody_and_says_by_how_much() -> Result<()>
{
    let mut scene = Scene::prepare(Plan::default())?;
    // Else the certificates of a clock ten years behind are not valid yet, and the central system is not heard.
    issue_line(&scene, 2015)?;
    scene.site.start_gateway()?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-KEPT")?, PIN).await?;
    scene.until_code(&visit.reception, "confirmed").await?;
    scene.site.stop_gateway()?;
    for (by, said) in [
        ("-3653d", "3653 days behind the central system"),
        ("+401d", "401 days ahead of the central system"),
        ("+1d", "24 hours ahead of the central system"),
    ] {
        for marked in [true, false] {
            let row = format!("{by}, marker {marked}");
            set_clock(&mut scene, by, marked)?;
            scene.site.start_gateway()?;
            until(STEP, "the difference is said", || deletion(&scene).is_ok_and(|words| words.contains(said)))
                .with_context(|| format!("{row}: {:?}", deletion(&scene)))?;
            a_round_is_over(&scene).context(row.clone())?;
            let words = deletion(&scene)?;
            assert!(words.starts_with("nothing is deleted for its age, because"), "{row}: {words}");
            assert!(words.contains("set the clock") && words.contains("uketsuke clock confirm"), "{row}: {words}");
            println!("| {row} | {words} |");
            until(STEP, "staff read it", || scene.get("/staff?lang=en").is_ok_and(|page| page.contains(said)))
                .with_context(|| row.clone())?;
            scene.until_code(&visit.reception, "confirmed").await.with_context(|| row.clone())?;
            assert_eq!(scene.health()?["ok"], true, "{row}: patients are received");
            assert_eq!(scene.site.stop_gateway()?, Some(0), "{row}");
        }
    }
    assert!(logged(&scene, "deletion of what is old goes on")?.len() <= 1, "but in the first life");
    assert!(logged(&scene, "what was older than its limit is deleted")?.is_empty());
    Ok(())
}
