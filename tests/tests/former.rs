//! What worked on the line stands in for files that cannot be used: over restarts, for as long as it may, said wherever it is used, and
//! until a person ends it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use uketsuke::store::{Keeping, KeptName, Keys, Store, StoreConfig};
use uketsuke_tests::central::ModeSpec;
use uketsuke_tests::damage::{Damage, Good, site, until_kept, until_line};
use uketsuke_tests::pki::List;
use uketsuke_tests::scene::{PIN, STEP, Scene, detail};
use uketsuke_tests::site::until;
use zeroize::Zeroizing;

const READER: &str = "desk-1/a";
const SAID: &str = "former material in use since";

/// A site that runs, and whose line has worked and is kept.
fn worked() -> Result<Scene> {
    let mut scene = site()?;
    scene.site.start_gateway()?;
    until_kept(&scene, 1)?;
    Ok(scene)
}

/// The former material is in use, and it is said on every page, in the log, and by `check`.
fn in_use(scene: &Scene, words: &str) -> Result<()> {
    until_line(scene, true)?;
    let said = |text: &str| text.contains(SAID) && text.contains(words);
    until(STEP, "it is said", || detail(scene, "certificates").is_ok_and(|text| said(&text)))
        .with_context(|| format!("{:?}", scene.health()))?;
    for page in ["/staff?lang=en", "/staff/line?lang=en"] {
        let page = scene.get(page)?;
        ensure!(page.contains(SAID), "{page}");
    }
    let log = scene.log()?;
    ensure!(said(&log), "{log}");
    let (code, check) = scene.ended(&["check"])?;
    ensure!(code == Some(0) && said(&check), "{code:?} {check}");
    println!("{}", detail(scene, "certificates")?);
    Ok(())
}

fn restart(scene: &mut Scene) -> Result<()> {
    ensure!(scene.site.stop_gateway()? == Some(0));
    scene.site.start_gateway().map(drop)
}

fn pki(scene: &Scene, file: &str) -> PathBuf {
    scene.dir().join("pki").join(file)
}

fn inflict(scene: &Scene, file: &str, damage: Damage) -> Result<()> {
    damage.inflict(&pki(scene, file), &pki(scene, "other-client.pem"))
}

/// Puts a renewed list of the link's authority in place.
fn revoke(scene: &Scene) -> Result<()> {
    scene.site.pki.revoke(&[], time::OffsetDateTime::now_utc() + time::Duration::days(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_with_files_that_cannot_be_read_the_line_is_up_with_what_worked_and_says_so() -> Result<()> {
    let mut scene = worked()?;
    for (file, damage, words) in [
        ("gateway.pem", Damage::HalfWritten, "half written"),
        ("gateway.key", Damage::Missing, "cannot read our private key"),
        ("link-ca.pem", Damage::Empty, "it is empty"),
        ("link-crl.pem", Damage::WrongEncoding, "UTF-16"),
    ] {
        let good = Good::of(&pki(&scene, file))?;
        inflict(&scene, file, damage)?;
        restart(&mut scene).context(file)?;
        in_use(&scene, words).context(file)?;
        scene.receives_the_next_patient(READER).await.context(file)?;
        good.restore(&pki(&scene, file))?;
        until(STEP, "the mended file is used", || {
            detail(&scene, "certificates").is_ok_and(|said| !said.contains(SAID))
        })
        .with_context(|| format!("{file}: {:?}", scene.health()))?;
        let (_, check) = scene.ended(&["check"])?;
        ensure!(check.contains("uses the files as they are"), "{check}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_say_what_they_are_and_do_not_fit_are_never_replaced_by_a_former_pair() -> Result<()> {
    let mut scene = worked()?;
    let good = Good::of(&pki(&scene, "gateway.pem"))?;
    inflict(&scene, "gateway.pem", Damage::Foreign)?;
    restart(&mut scene)?;
    until_line(&scene, false)?;
    let said = detail(&scene, "certificates")?;
    ensure!(said.contains("check that they belong together") && !said.contains(SAID), "{said}");
    good.restore(&pki(&scene, "gateway.pem"))?;
    until_line(&scene, true)
}

/// The time that a pair may stand in passes while the gateway is stopped: what it has written down of it grows to `days`.
async fn let_pass(scene: &Scene, days: u64) -> Result<()> {
    let keys = Keys::load(&scene.dir().join("keys/store.key"))?;
    let store = Store::open(&StoreConfig::new(scene.dir().join("data/uketsuke.db")), keys).await?;
    let kept = store.kept(KeptName::LineRecord).await?.context("a record of the line")?;
    let mut record: Value = serde_json::from_slice(&kept)?;
    let waited = &mut record["spells"]["pair"]["waiting"]["waited_ms"];
    ensure!(waited.is_u64(), "no time is counted: {waited}");
    *waited = (days * 24 * 60 * 60 * 1000).into();
    let value = Zeroizing::new(serde_json::to_vec(&record)?);
    store.keep(Keeping { name: KeptName::LineRecord, value, trail: Vec::new() }).await?;
    Ok(store.close().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_pair_stands_in_for_seven_days_and_then_the_line_is_down_in_words() -> Result<()> {
    let mut scene = worked()?;
    let good = Good::of(&pki(&scene, "gateway.key"))?;
    inflict(&scene, "gateway.key", Damage::HalfWritten)?;
    restart(&mut scene)?;
    in_use(&scene, "half written")?;
    for (days, up) in [(6, true), (7, false)] {
        ensure!(scene.site.stop_gateway()? == Some(0));
        let_pass(&scene, days).await?;
        scene.site.start_gateway()?;
        until_line(&scene, up).with_context(|| format!("{days} days"))?;
    }
    let words = "stood in for 7 days";
    until(STEP, "why", || detail(&scene, "central").is_ok_and(|said| said.contains(words)))
        .with_context(|| format!("{:?}", scene.health()))?;
    ensure!(scene.get("/staff?lang=en")?.contains(words));
    let (code, check) = scene.ended(&["check"])?;
    ensure!(code == Some(1) && check.contains(words), "{code:?} {check}");
    println!("{}", detail(&scene, "central")?);
    // A good pair begins anew.
    good.restore(&pki(&scene, "gateway.key"))?;
    until_line(&scene, true)?;
    inflict(&scene, "gateway.key", Damage::Empty)?;
    restart(&mut scene)?;
    in_use(&scene, "it is empty")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_a_good_file_lacks_is_not_brought_back() -> Result<()> {
    let mut scene = site()?;
    let (ours, other) = (pki(&scene, "link-ca.pem"), pki(&scene, "other-ca.pem"));
    let both = [std::fs::read(&ours)?, std::fs::read(&other)?].concat();
    std::fs::write(&ours, both)?;
    scene.site.start_gateway()?;
    until_kept(&scene, 1)?;
    // On purpose: the file parses, and lacks the authority of the central system.
    std::fs::copy(&other, &ours)?;
    let words = "is of another authority";
    let down = |scene: &Scene| -> Result<()> {
        until_line(scene, false)?;
        until(STEP, words, || detail(scene, "central").is_ok_and(|said| said.contains(words)))
            .with_context(|| format!("{:?}", scene.health()))
    };
    restart(&mut scene)?;
    down(&scene)?;
    inflict(&scene, "link-ca.pem", Damage::HalfWritten)?;
    restart(&mut scene)?;
    down(&scene)?;
    let said = detail(&scene, "certificates")?;
    ensure!(said.contains(SAID), "the authority that the good file had stands in: {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_older_than_one_that_was_accepted_is_refused_after_a_restart_whatever_was_forgotten() -> Result<()> {
    let mut scene = worked()?;
    let path = pki(&scene, "link-crl.pem");
    let older = Good::of(&path)?;
    revoke(&scene)?;
    until_kept(&scene, 2)?;
    let newest = Good::of(&path)?;
    ensure!(scene.site.stop_gateway()? == Some(0));
    older.restore(&path)?;
    scene.site.start_gateway()?;
    in_use(&scene, "is older than one that was in use before").context("the newer list stands in")?;

    let (code, said) = scene.ended(&["check", "--forget-former"])?;
    ensure!(said.contains("what worked before is deleted"), "{code:?} {said}");
    for restarted in [false, true] {
        if restarted {
            restart(&mut scene)?;
        }
        until_line(&scene, false)?;
        let said = detail(&scene, "central")?;
        ensure!(said.contains("is older than one that was in use before"), "restarted {restarted}: {said}");
    }
    newest.restore(&path)?;
    until_line(&scene, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_nobody_is_seen_to_have_signed_makes_no_later_one_old() -> Result<()> {
    let mut scene = site()?;
    // Nothing is proved: only what can be seen in the file itself counts.
    scene.central(ModeSpec::new("down"))?;
    let path = pki(&scene, "link-crl.pem");
    let ours = std::fs::read_to_string(&path)?;
    let now = time::OffsetDateTime::now_utc();
    let (made, ends) = (now - time::Duration::hours(1), now + time::Duration::days(1));
    for number in [999, 5] {
        let theirs = List { number, made, ends, revoked: &[], point: "", extensions: "" };
        std::fs::write(&path, [&*ours, &*scene.site.pki.list_of_stranger(&theirs)?].concat())?;
        scene.site.start_gateway()?;
        let (_, said) = scene.ended(&["check"])?;
        ensure!(said.contains("ok    running certificates"), "{number}: {said}");
        ensure!(!said.contains("is older than"), "{number}: {said}");
        ensure!(scene.site.stop_gateway()? == Some(0));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_ends_the_use_of_former_material_while_the_gateway_runs_and_while_it_does_not() -> Result<()> {
    let mut scene = worked()?;
    let path = pki(&scene, "gateway.pem");
    let good = Good::of(&path)?;
    inflict(&scene, "gateway.pem", Damage::HalfWritten)?;
    in_use(&scene, "half written").context("the gateway goes on")?;
    restart(&mut scene)?;
    in_use(&scene, "half written")?;
    forget(&scene)?;
    for restarted in [false, true] {
        if restarted {
            restart(&mut scene)?;
        }
        until_line(&scene, false)?;
        let said = detail(&scene, "certificates")?;
        ensure!(said.contains("half written") && !said.contains(SAID), "{said}");
    }
    good.restore(&path)?;
    until_line(&scene, true)?;
    until_kept(&scene, 2)?;

    ensure!(scene.site.stop_gateway()? == Some(0));
    inflict(&scene, "gateway.pem", Damage::HalfWritten)?;
    let (code, said) = scene.ended(&["check"])?;
    ensure!(code == Some(0) && said.contains("no gateway runs; for one that starts: former material"), "{said}");
    forget(&scene)?;
    scene.site.start_gateway()?;
    until_line(&scene, false)?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-FORGOTTEN")?, PIN).await?;
    good.restore(&path)?;
    scene.until_code(&visit.reception, "confirmed_later").await.map(drop)
}

fn forget(scene: &Scene) -> Result<()> {
    let (code, said) = scene.ended(&["check", "--forget-former"])?;
    ensure!(code == Some(1) && said.contains("what worked before is deleted"), "{code:?} {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorities_of_the_cards_that_a_file_last_held_stand_in_for_it_until_a_person_ends_it() -> Result<()> {
    let mut scene = worked()?;
    let (path, part) = (pki(&scene, "card-ca.der"), "card anchors");
    let good = Good::of(&path)?;
    let cards = [scene.card("TEST-VALID-ANCHOR-A")?, scene.card("TEST-VALID-ANCHOR-B")?];
    let unchecked = "the card's certificate cannot be checked";
    inflict(&scene, "card-ca.der", Damage::HalfWritten)?;
    restart(&mut scene)?;
    let said = detail(&scene, part)?;
    ensure!(said.contains("half written") && said.contains("the former ones of it are used until"), "{said}");
    let visit = scene.check_in(READER, &cards[0], PIN).await?;
    scene.until_code(&visit.reception, "confirmed").await?;
    ensure!(!scene.log()?.contains(unchecked), "the card is checked");

    forget_of_cards(&scene)?;
    let said = detail(&scene, part)?;
    let visit = scene.check_in(READER, &cards[1], PIN).await?;
    scene.until_code(&visit.reception, "confirmed").await?;
    ensure!(scene.log()?.contains(unchecked), "{said}");
    good.restore(&path)?;
    restart(&mut scene)?;
    ensure!(!scene.health()?.to_string().contains("card-ca.der"), "{}", scene.health()?);
    Ok(())
}

fn forget_of_cards(scene: &Scene) -> Result<()> {
    let (code, said) = scene.ended(&["check", "--forget-former"])?;
    ensure!(code == Some(1) && said.contains("what worked before is deleted"), "{code:?} {said}");
    ensure!(!said.contains("the former ones of it"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_the_running_gateway_uses_where_the_files_say_something_else() -> Result<()> {
    let mut scene = worked()?;
    let (_, check) = scene.ended(&["check"])?;
    ensure!(check.contains("uses the configuration of") && check.contains("which is that of the file"), "{check}");
    scene.site.reconfigure("probe_every_ms = 500", "probe_every_ms = 700")?;
    let (code, check) = scene.ended(&["check"])?;
    let changed = "the file has changed since in sections central, and this check judges the file";
    ensure!(code == Some(0) && check.contains(changed), "{code:?} {check}");

    let main = scene.site.config();
    let good = Good::of(&main)?;
    std::fs::write(&main, "[site]\nname = 7\n")?;
    let (code, check) = scene.ended(&["check"])?;
    ensure!(code == Some(64) && check.contains("the running gateway uses the configuration of"), "{code:?} {check}");
    ensure!(scene.site.stop_gateway()? == Some(0));
    let (code, check) = scene.ended(&["check"])?;
    let former = "a gateway that starts now uses the configuration that ran last, kept in";
    ensure!(code == Some(64) && check.contains(former), "{code:?} {check}");
    scene.site.start_gateway()?;
    good.restore(&main)?;
    let (code, check) = scene.ended(&["check"])?;
    let alarm = "the one that ran last, for";
    ensure!(code == Some(0) && check.contains(alarm) && check.contains("could not be used then"), "{code:?} {check}");
    std::fs::remove_file(scene.dir().join("uketsuke.toml.former"))?;
    std::fs::remove_file(&main)?;
    let (code, check) = scene.ended(&["check"])?;
    ensure!(code == Some(64) && check.contains("no configuration that ran before is kept"), "{code:?} {check}");
    Ok(())
}

#[test]
fn nothing_of_the_key_lies_readable_in_the_database() -> Result<()> {
    let mut scene = worked()?;
    ensure!(scene.site.stop_gateway()? == Some(0));
    let key = pem_body(&pki(&scene, "gateway.key"))?;
    let secret = key.get(36..68).context("the secret number of a P-256 key in PKCS#8")?;
    for entry in std::fs::read_dir(scene.dir().join("data"))? {
        let path = entry?.path();
        if path.is_file() {
            let bytes = std::fs::read(&path)?;
            ensure!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
        }
    }
    Ok(())
}

fn pem_body(path: &Path) -> Result<Vec<u8>> {
    use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
    Ok(PrivateKeyDer::from_pem_file(path)?.secret_der().to_vec())
}
