//! The gateway's certificate and key go wrong, or are renewed, while patients come: what they said is delivered once, signed with the
//! pair that the central system knows when it is sent.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;
use uketsuke::store::{KeptName, Keys, Store, StoreConfig};
use uketsuke_tests::central::ledger::Kind;
use uketsuke_tests::central::{Method, ModeSpec, Whose};
use uketsuke_tests::patient::{Way, go_through};
use uketsuke_tests::pki::{ClientOptions, serial_of};
use uketsuke_tests::scene::{PIN, STEP, Scene, named, part};
use uketsuke_tests::site::{Plan, until};

const READER: &str = "desk-1/a";
const DONE: &str = "受付が完了しました";
const PROVISIONAL: &str = "あとで自動的に行います";

/// The gateway's two files with what was in them.
struct Pair([(PathBuf, Vec<u8>); 2]);

impl Pair {
    fn of(scene: &Scene) -> Result<Self> {
        let read = |path: PathBuf| std::fs::read(&path).map(|content| (path, content));
        Ok(Self([read(scene.site.pki.gateway_pem())?, read(scene.site.pki.gateway_key())?]))
    }

    /// Written in place, so that the key's mode stays.
    fn put_back(&self) -> Result<()> {
        let Self(files) = self;
        Ok(files.iter().try_for_each(|(path, content)| std::fs::write(path, content))?)
    }

    /// Good in every way that can be seen from the site.
    fn put_foreign(&self, scene: &Scene) -> Result<()> {
        self.put(&scene.site.pki.other_client_pem(), &scene.site.pki.other_client_key())
    }

    fn put(&self, other_pem: &Path, other_key: &Path) -> Result<()> {
        let Self([(pem, _), (key, _)]) = self;
        std::fs::copy(other_pem, pem)?;
        std::fs::copy(other_key, key).map(drop).context("the other key")
    }
}

/// A gateway that looks at its files often, and a central system that may have something against a pair.
fn prepared() -> Result<Scene> {
    let scene = Scene::prepare(Plan { answer_deadline_ms: 700, ..Plan::default() })?;
    scene.site.reconfigure("call_deadline_ms = 2000", "call_deadline_ms = 2000\nwatch_every_ms = 100")?;
    Ok(scene)
}

fn says(scene: &Scene, name: &str, words: &str) -> Result<()> {
    let said = || scene.health().is_ok_and(|health| part(&health, name)["detail"].to_string().contains(words));
    until(STEP, words, said).with_context(|| format!("{:?}", scene.health()))
}

/// Receives a patient who is told that the insurance is looked up later; returns the reception.
async fn received_provisionally(scene: &Scene, name: &str, way: Way) -> Result<String> {
    let pin = matches!(way, Way::Pin(_)).then_some(*b"1234");
    let card = scene.site.card(name, pin, None)?;
    if !matches!(way, Way::Staff) {
        let visit = scene.check_in(READER, &card, way).await?;
        ensure!(visit.ending.text().contains(PROVISIONAL), "{visit:?}");
        return Ok(visit.reception);
    }
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = card.insert(scene.site.slot(READER)?).await?;
    let shown = kiosk.wait(STEP, named("staff")).await?;
    let reception = shown.reception.context("a reception")?;
    // The desk hears of it a moment after the kiosk.
    let deadline = Instant::now() + STEP;
    while let Err(error) = scene.site.staff().decide(READER, &reception, true).await {
        ensure!(Instant::now() < deadline, "staff cannot decide: {error:#}");
    }
    kiosk.wait(STEP, |shown| shown.name != "staff").await?;
    let visit = go_through(&mut kiosk, way).await?;
    inserted.remove().await;
    ensure!(visit.ending.text().contains(PROVISIONAL), "{visit:?}");
    Ok(reception)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_patients_said_while_a_foreign_or_a_former_pair_lay_there_is_delivered_once() -> Result<()> {
    let mut scene = prepared()?;
    scene.site.start_gateway()?;
    let pair = Pair::of(&scene)?;

    // The insurance is confirmed, and the consents are still to come.
    let mut kiosk = scene.kiosk(READER).await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = scene.card("TEST-VALID-ASKED")?.insert(scene.site.slot(READER)?).await?;
    let choose = kiosk.wait(STEP, named("choose")).await?;
    kiosk.press(&choose, json!({ "intent": "choose_pin" })).await?;
    let pad = kiosk.wait(STEP, |shown| shown.version > choose.version && shown.pin_keys("1234").is_some()).await?;
    kiosk.press(&pad, json!({ "intent": "pin", "keys": pad.pin_keys("1234") })).await?;
    kiosk.wait(STEP, named("consent")).await?;
    until(STEP, "the insurance is known", || scene.eligibility_effects().is_ok_and(|effects| effects.len() == 1))?;

    scene.central(ModeSpec::new("down"))?;
    pair.put_foreign(&scene)?;
    says(&scene, "certificates", "have not been tried yet")?;
    let asked = go_through(&mut kiosk, PIN).await?;
    inserted.remove().await;
    ensure!(asked.ending.text().contains(DONE) && !asked.ending.text().contains(PROVISIONAL), "{asked:?}");
    drop(kiosk);

    // The foreign pair is the only one that the next life of the gateway finds.
    scene.site.kill_gateway()?;
    scene.site.start_gateway()?;
    let mut later = vec![
        received_provisionally(&scene, "TEST-VALID-LOOKED-AT", Way::Staff).await?,
        received_provisionally(&scene, "TEST-VALID-TYPED", PIN).await?,
    ];
    scene.central(ModeSpec::new("up"))?;
    says(&scene, "central", "it does not know the authority of our certificate")?;
    pair.put_back()?;
    for reception in &later {
        scene.until_code(reception, "confirmed_later").await?;
    }

    // Recorded under one pair, sent under the next.
    scene.central(ModeSpec::new("down"))?;
    later.push(received_provisionally(&scene, "TEST-VALID-RENEWED", PIN).await?);
    scene.site.pki.client("gateway", &ClientOptions::default())?;
    says(&scene, "certificates", "have not been tried yet")?;
    scene.central(ModeSpec::new("up"))?;
    scene.until_code(&later[2], "confirmed_later").await?;

    later.push(asked.reception);
    taken_once(&scene, &later)
}

/// What each of these receptions asked and agreed to took effect once, and nothing else did.
fn taken_once(scene: &Scene, all: &[String]) -> Result<()> {
    let of_all = |kind: Kind| {
        let effects = scene.site.control.ledger().unwrap_or_default();
        let effects: Vec<_> = effects.into_iter().filter(|effect| effect.kind == kind).collect();
        let of = |reception: &String| effects.iter().filter(|one| one.reception_id.to_string() == *reception).count();
        effects.len() == all.len() && all.iter().all(|reception| of(reception) == 1)
    };
    until(STEP, "everybody's consents are there", || of_all(Kind::Consent))?;
    ensure!(of_all(Kind::Eligibility), "{:?}", scene.site.control.ledger()?);
    for effect in scene.site.control.ledger()? {
        let consents = if effect.kind == Kind::Consent { 4 } else { 0 };
        ensure!(effect.times_applied == 1 && effect.consents.len() == consents, "{effect:?}");
    }
    Ok(())
}

fn queued(scene: &Scene) -> Result<serde_json::Value> {
    let (_, queue) = scene.site.ask(&["queue", "--json"])?;
    Ok(serde_json::from_str::<serde_json::Value>(&queue)?["counts"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pair_signed_that_nobody_believes_is_kept_and_a_bad_request_under_a_good_pair_is_final() -> Result<()> {
    const SAID: &str = "calls invalid what this gateway signs";
    let mut scene = prepared()?;
    // The code is that of a bad request.
    let signer = Whose::Signer(serial_of(&scene.site.pki.gateway_pem())?);
    scene.central(ModeSpec { code: Some("INVALID_ARGUMENT".into()), ..ModeSpec::new("refuse").of(signer) })?;
    scene.site.start_gateway()?;

    let mut all = vec![received_provisionally(&scene, "TEST-VALID-LOOKED-AT", Way::Staff).await?];
    says(&scene, "certificates", SAID)?;
    // What the card signed is believed; what was agreed to waits.
    let by_card = scene.check_in(READER, &scene.card("TEST-VALID-TYPED")?, PIN).await?;
    ensure!(by_card.ending.text().contains(DONE) && !by_card.ending.text().contains(PROVISIONAL), "{by_card:?}");
    all.push(by_card.reception);
    all.push(received_provisionally(&scene, "TEST-VALID-LOOKED-AT-TOO", Way::Staff).await?);
    for page in ["/staff?lang=en", "/staff/line?lang=en"] {
        ensure!(scene.get(page)?.contains(SAID), "{page}");
    }
    let (_, check) = scene.ended(&["check"])?;
    ensure!(check.lines().any(|line| line.starts_with("warn  running line") && line.contains(SAID)), "{check}");
    let asked = scene.site.control.stats()?.eligibility_received;
    until(STEP, "it is tried again", || {
        scene.site.control.stats().is_ok_and(|stats| stats.eligibility_received > asked)
    })?;
    ensure!(queued(&scene)?["rejected"] == 0, "{}", queued(&scene)?);

    scene.site.pki.client("gateway", &ClientOptions::default())?;
    for reception in [&all[0], &all[2]] {
        scene.until_code(reception, "confirmed_later").await?;
    }
    taken_once(&scene, &all)?;
    says(&scene, "certificates", "valid and in use")?;
    ensure!(scene.log()?.matches(SAID).count() == 1, "one line at the beginning");

    // Under a good pair too one refusal spoils nothing.
    scene.central(ModeSpec::error("INVALID_ARGUMENT").only(Method::Eligibility).times(1))?;
    let once = received_provisionally(&scene, "TEST-VALID-REFUSED-ONCE", Way::Staff).await?;
    scene.until_code(&once, "confirmed_later").await?;

    // Refused, another one's consents accepted, refused again.
    let mut kiosk = scene.kiosk("desk-1/b").await?;
    kiosk.wait(STEP, named("idle")).await?;
    let inserted = scene.card("TEST-VALID-VOUCHES")?.insert(scene.site.slot("desk-1/b")?).await?;
    let choose = kiosk.wait(STEP, named("choose")).await?;
    kiosk.press(&choose, json!({ "intent": "choose_pin" })).await?;
    let pad = kiosk.wait(STEP, |shown| shown.version > choose.version && shown.pin_keys("1234").is_some()).await?;
    let effects = scene.eligibility_effects()?.len();
    kiosk.press(&pad, json!({ "intent": "pin", "keys": pad.pin_keys("1234") })).await?;
    kiosk.wait(STEP, named("consent")).await?;
    until(STEP, "it is known", || scene.eligibility_effects().is_ok_and(|all| all.len() > effects))?;
    scene.central(ModeSpec::error("INVALID_ARGUMENT").only(Method::Eligibility))?;
    let refused = received_provisionally(&scene, "TEST-VALID-REFUSED", Way::Staff).await?;
    ensure!(queued(&scene)?["rejected"] == 0, "{}", queued(&scene)?);
    go_through(&mut kiosk, PIN).await?;
    inserted.remove().await;
    scene.until_code(&refused, "rejected_by_central").await?;
    scene.central(ModeSpec::new("up"))?;
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_nobody_believed_does_not_stand_in_before_the_one_that_was_believed() -> Result<()> {
    let mut scene = prepared()?;
    scene.site.start_gateway()?;
    let pair = Pair::of(&scene)?;
    scene.check_in(READER, &scene.card("TEST-VALID-BEFORE")?, PIN).await?;
    let kept = || scene.log().is_ok_and(|log| log.contains("works, and is kept"));
    until(STEP, "the pair of the site is kept", kept)?;

    // Let in at night, when nobody asks anything; in the morning its file is empty.
    let (pem, key) = scene.site.pki.client("neighbour", &ClientOptions::default())?;
    scene.central(ModeSpec::new("refuse").of(Whose::Connection(serial_of(&pem)?)))?;
    pair.put(&pem, &key)?;
    let renewed = || scene.log().is_ok_and(|log| log.contains("renewed certificate files are in use"));
    until(STEP, "the neighbour's pair is in use", renewed)?;
    std::fs::write(scene.site.pki.gateway_pem(), [])?;
    says(&scene, "certificates", "former material in use since")?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-MORNING")?, PIN).await?;
    scene.until_code(&visit.reception, "confirmed").await.map(drop)
}

/// Since when a former pair stands in, as a gateway that is stopped has written it down.
async fn stood_in_since(scene: &Scene) -> Result<i64> {
    let keys = Keys::load(&scene.dir().join("keys/store.key"))?;
    let store = Store::open(&StoreConfig::new(scene.dir().join("data/uketsuke.db")), keys).await?;
    let kept = store.kept(KeptName::LineRecord).await?.context("a record of the line")?;
    store.close().await?;
    let record: serde_json::Value = serde_json::from_slice(&kept)?;
    record["spells"]["pair"]["since_ms"].as_i64().with_context(|| format!("{record}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbours_pair_of_the_same_authority_gives_way_to_the_former_one_without_a_person() -> Result<()> {
    const SAID: &str = "lets the certificate in central.certificate_file in, and refuses every request under it";
    let mut scene = prepared()?;
    scene.site.start_gateway()?;
    let pair = Pair::of(&scene)?;
    let kept = || scene.log().is_ok_and(|log| log.contains("works, and is kept"));
    until(STEP, "the pair of the site is kept", kept)?;
    let confirmed = scene.check_in(READER, &scene.card("TEST-VALID-BEFORE")?, PIN).await?;
    let mut all = vec![confirmed.reception];

    // Let in, and answered when it pings.
    let (pem, key) = scene.site.pki.client("neighbour", &ClientOptions::default())?;
    scene.central(ModeSpec::new("refuse").of(Whose::Connection(serial_of(&pem)?)))?;
    let mut since = None;
    for life in ["while it runs", "after a restart"] {
        if life == "after a restart" {
            scene.site.kill_gateway()?;
            since = Some(stood_in_since(&scene).await?);
            scene.site.start_gateway()?;
        } else {
            pair.put(&pem, &key)?;
        }
        let serial = serial_of(&pem)?;
        let used = || scene.site.control.stats().is_ok_and(|stats| stats.handshakes.contains_key(&serial));
        until(STEP, "the neighbour's pair is tried", used)?;
        let mut later = vec![
            received_provisionally(&scene, &format!("TEST-VALID-{}-1", all.len()), PIN).await?,
            received_provisionally(&scene, &format!("TEST-VALID-{}-2", all.len()), Way::Staff).await?,
        ];
        says(&scene, "certificates", SAID).context(life)?;
        for reception in &later {
            scene.until_code(reception, "confirmed_later").await.context(life)?;
        }
        for page in ["/staff?lang=en", "/staff/line?lang=en"] {
            ensure!(scene.get(page)?.contains(SAID), "{life}: {page}");
        }
        let (_, check) = scene.ended(&["check"])?;
        ensure!(check.contains("former material in use since") && check.contains(SAID), "{life}: {check}");
        all.append(&mut later);
        let next = scene.check_in(READER, &scene.card(&format!("TEST-VALID-NEXT-{}", all.len()))?, PIN).await?;
        scene.until_code(&next.reception, "confirmed").await.context(life)?;
        all.push(next.reception);
    }
    ensure!(queued(&scene)?["rejected"] == 0, "{}", queued(&scene)?);
    scene.site.kill_gateway()?;
    ensure!(Some(stood_in_since(&scene).await?) == since, "a start gave the former pair its days anew");

    scene.site.pki.client("gateway", &ClientOptions::default())?;
    scene.site.start_gateway()?;
    says(&scene, "certificates", "valid and in use")?;
    let renewed = scene.check_in(READER, &scene.card("TEST-VALID-RENEWED")?, PIN).await?;
    scene.until_code(&renewed.reception, "confirmed").await?;
    all.push(renewed.reception);
    taken_once(&scene, &all)
}
