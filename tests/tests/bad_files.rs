//! One unusable file closes the part that needs it and nothing else: the gateway starts, patients are received, the reason is said
//! everywhere, and the file is taken once it is good, without a restart.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;
use uketsuke_tests::damage::{Damage, Good, site};
use uketsuke_tests::scene::{PIN, STEP, Scene, detail, part};
use uketsuke_tests::site::{Plan, binary, until};

use Damage::{Empty, Foreign, HalfWritten, Missing, WrongEncoding, WrongMode};

const READER: &str = "desk-1/a";

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_file_of_the_line_the_gateway_starts_says_it_and_takes_the_mended_one() -> Result<()> {
    let mut scene = site()?;
    let pki = scene.dir().join("pki");
    for (file, foreign, damages) in [
        (
            "gateway.pem",
            "other-client.pem",
            &[
                (Missing, "cannot read our certificate"),
                (Empty, "it is empty"),
                (HalfWritten, "half written"),
                (Foreign, "check that they belong together"),
                (WrongEncoding, "UTF-16"),
            ][..],
        ),
        (
            "gateway.key",
            "other-client.key",
            &[
                (Missing, "cannot read our private key"),
                (Empty, "it is empty"),
                (HalfWritten, "half written"),
                (Foreign, "check that they belong together"),
                (WrongMode, "chmod 600"),
                (WrongEncoding, "UTF-16"),
            ],
        ),
        (
            "link-ca.pem",
            "other-ca.pem",
            &[
                (Missing, "cannot read the authority's certificate"),
                (Empty, "it is empty"),
                (HalfWritten, "half written"),
                (Foreign, "is of another authority"),
                (WrongEncoding, "UTF-16"),
            ],
        ),
        (
            "link-crl.pem",
            "gateway.pem",
            &[
                (Missing, "cannot read the revocation list"),
                (Empty, "it is empty"),
                (HalfWritten, "half written"),
                (Foreign, "\"CERTIFICATE\""),
                (WrongEncoding, "UTF-16"),
            ],
        ),
    ] {
        let path = pki.join(file);
        let good = Good::of(&path)?;
        for (damage, words) in damages {
            damage.inflict(&path, &pki.join(foreign))?;
            let case = format!("{file} {damage:?}");
            scene.site.start_gateway().with_context(|| case.clone())?;
            until(STEP, &case, || detail(&scene, "central").is_ok_and(|said| said.contains(words)))
                .with_context(|| format!("{case}: {:?}", detail(&scene, "central")))?;
            let health = scene.health()?;
            ensure!(health["ok"] == true && part(&health, "central")["ok"] == false, "{case}: {health}");
            ensure!(scene.get("/staff?lang=en")?.contains(file) || matches!(damage, Foreign), "{case}: the staff page");
            let (code, said) = scene.ended(&["check"])?;
            ensure!(said.contains(words), "{case}: check says {code:?} {said}");
            println!("{case}: {}", detail(&scene, "central")?);
            if matches!(damage, HalfWritten) {
                let visit = scene
                    .check_in(
                        READER,
                        &scene.card(&format!("TEST-VALID-{}", file.replace('.', "-").to_uppercase()))?,
                        PIN,
                    )
                    .await?;
                ensure!(visit.ending.text().contains("あとで自動的に行います"), "{case}: {visit:?}");
                good.restore(&path)?;
                scene.until_code(&visit.reception, "confirmed_later").await.with_context(|| case.clone())?;
            }
            good.restore(&path)?;
            ensure!(scene.site.stop_gateway()? == Some(0), "{case}");
            // Each accident befalls a gateway that has nothing that worked before.
            let (_, said) = scene.ended(&["check", "--forget-former"])?;
            ensure!(said.contains("what worked before is deleted"), "{case}: {said}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_an_authority_of_the_cards_patients_are_received_and_the_mended_file_is_taken()
-> Result<()> {
    let mut scene = site()?;
    let path = scene.dir().join("pki/card-ca.der");
    let good = Good::of(&path)?;
    for (damage, words) in [
        (Missing, "No such file"),
        (Empty, "it is empty"),
        (HalfWritten, "half written"),
        (Foreign, "cannot use"),
        (WrongEncoding, "UTF-16"),
    ] {
        let case = format!("card-ca.der {damage:?}");
        // Issued before: the development PKI makes a new authority where the file is missing.
        let card = scene.card(&format!("TEST-VALID-{damage:?}").to_uppercase())?;
        damage.inflict(&path, &scene.dir().join("pki/gateway.pem"))?;
        scene.site.start_gateway().with_context(|| case.clone())?;
        let said = detail(&scene, "card anchors")?;
        println!("{case}: {said}");
        ensure!(said.contains(words) && said.contains("card-ca.der"), "{case}: {said}");
        ensure!(scene.get("/staff?lang=ja")?.contains("カードの認証局の証明書を使えません"), "{case}");
        let (code, check) = scene.ended(&["check"])?;
        ensure!(code == Some(1) && check.contains(words), "{case}: {code:?} {check}");
        let visit = scene.check_in(READER, &card, PIN).await.with_context(|| case.clone())?;
        let settled =
            |told: &serde_json::Value| told["code"].as_str().is_some_and(|code| code.starts_with("confirmed"));
        scene.until_explained(&visit.reception, &case, settled).await?;
        good.restore(&path)?;
        if matches!(damage, Missing) {
            until(STEP, "the mended file is taken", || {
                scene.health().is_ok_and(|health| part(&health, "card anchors")["ok"] == true)
            })?;
        }
        ensure!(scene.site.stop_gateway()? == Some(0), "{case}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_read_is_replaced_by_the_one_that_last_ran() -> Result<()> {
    let mut scene = site()?;
    scene.site.start_gateway()?;
    ensure!(scene.site.stop_gateway()? == Some(0));
    let (main, folder) = (scene.site.config(), scene.dir().join("terminals.d"));
    let good = Good::of(&main)?;
    std::fs::create_dir(&folder)?;
    let shift_jis = |path: &Path| std::fs::write(path, b"# \x90\xdd\x92\xe8\n");
    for (case, words) in [
        ("missing", "cannot read the configuration"),
        ("empty", "missing field"),
        ("half written", "fix:"),
        ("foreign", "fix:"),
        ("UTF-16", "it is UTF-16 text"),
        ("Shift_JIS", "perhaps Shift_JIS"),
        ("a terminal in Shift_JIS", "desk-9.TOML"),
    ] {
        match case {
            "missing" => Missing.inflict(&main, &main)?,
            "empty" => Empty.inflict(&main, &main)?,
            "half written" => HalfWritten.inflict(&main, &main)?,
            "foreign" => Foreign.inflict(&main, &scene.dir().join("pki/gateway.pem"))?,
            "UTF-16" => WrongEncoding.inflict(&main, &main)?,
            "Shift_JIS" => shift_jis(&main)?,
            _ => shift_jis(&folder.join("desk-9.TOML"))?,
        }
        scene.site.start_gateway().with_context(|| case.to_owned())?;
        let said = detail(&scene, "configuration")?;
        println!("configuration {case}: {said}");
        ensure!(said.contains("the one that ran last is used") && said.contains(words), "{case}: {said}");
        ensure!(scene.get("/staff?lang=ja")?.contains("設定ファイルに問題があります"), "{case}");
        scene.check_in(READER, &scene.card("TEST-VALID-CONFIGURATION")?, PIN).await.with_context(|| case.to_owned())?;
        good.restore(&main)?;
        ensure!(scene.site.stop_gateway()? == Some(0), "{case}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_at_any_moment_ends_nothing_and_says_what_changed() -> Result<()> {
    let mut scene = Scene::prepare(Plan::default())?;
    scene.site.spawn_gateway()?;
    // In the middle of its start, as soon as it hears: the kernel tells which signals are caught.
    let status = format!("/proc/{}/status", scene.site.gateway()?.pid());
    let hears = |status: String| {
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
    };
    until(STEP, "it hears", || std::fs::read_to_string(&status).is_ok_and(hears))?;
    scene.site.gateway()?.signal(Signal::HUP)?;
    scene.site.gateway()?.wait_ready(STEP)?;

    scene.site.gateway()?.signal(Signal::HUP)?;
    until(STEP, "nothing changed", || scene.log().is_ok_and(|log| log.contains("it is the one that runs")))?;
    until(STEP, "the keeper has looked", || {
        scene.log().is_ok_and(|log| log.contains("they are unchanged and in use"))
    })?;
    ensure!(!scene.log()?.contains("renewed certificate files"), "nothing was renewed");
    scene.site.reconfigure("probe_every_ms = 500", "probe_every_ms = 700")?;
    scene.site.gateway()?.signal(Signal::HUP)?;
    let changed = |said: String| said.contains("changed since the start: central; restart to use it");
    until(STEP, "the change is said", || detail(&scene, "configuration").is_ok_and(changed))?;
    scene.receives_the_next_patient(READER).await
}

#[test]
fn a_hang_up_is_survived_before_the_first_thread_is_there() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let calls = dir.path().join("calls");
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=rt_sigaction,clone,clone3", "-o"]).arg(&calls).arg(binary("uketsuke")?);
    let ended = command.args(["run", "--config"]).arg(dir.path().join("none.toml")).output()?;
    ensure!(ended.status.code() == Some(64), "{ended:?}");
    let calls = std::fs::read_to_string(calls)?;
    let first = |call: &str| calls.lines().position(|line| line.contains(call));
    let (heard, thread) = (first("rt_sigaction(SIGHUP, {sa_handler=0x"), first("clone"));
    ensure!(heard.is_some() && thread.is_some() && heard < thread, "{calls}");
    Ok(())
}

#[test]
fn a_file_beside_the_terminals_that_is_not_read_for_its_name_is_said() -> Result<()> {
    let scene = Scene::prepare(Plan::default())?;
    let folder = scene.dir().join("terminals.d");
    std::fs::create_dir(&folder)?;
    for name in ["desk-9.toml.txt", "desk-8.conf", ".desk-7.toml.swp", "desk-6.toml~", "desk-5.toml.bak"] {
        std::fs::write(folder.join(name), "")?;
    }
    let (code, said) = scene.ended(&["check"])?;
    ensure!(code == Some(0) && said.matches("does not end in .toml").count() == 2, "{code:?} {said}");
    ensure!(said.contains("desk-9.toml.txt") && said.contains("desk-8.conf"), "{said}");
    Ok(())
}
