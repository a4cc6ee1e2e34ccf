//! Other programs at the files of the gateway's database: what they take away is saved before the process ends.

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use uketsuke_tests::central::ModeSpec;
use uketsuke_tests::scene::{PIN, STEP, Scene, detail};
use uketsuke_tests::shell::Shell;
use uketsuke_tests::site::{Plan, until};

const READER: &str = "desk-1/a";

#[tokio::test(flavor = "multi_thread")]
async fn no_signal_ends_a_gateway_that_holds_the_only_copy_of_what_was_acknowledged() -> Result<()> {
    let mut scene = Scene::start(Plan { answer_deadline_ms: 500, ..Plan::default() })?;
    scene.central(ModeSpec::new("down"))?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-SAVED")?, PIN).await?;
    let database = scene.dir().join("data/uketsuke.db");
    let in_the_way = scene.dir().join("data/uketsuke.db.saved");
    std::fs::create_dir(&in_the_way)?;
    std::fs::remove_file(&database)?;
    let says = |scene: &Scene| detail(scene, "store").is_ok_and(|detail| detail.contains("do not end it"));
    until(STEP, "the failed save to be said", || says(&scene))?;

    scene.site.gateway()?.terminate()?;
    until(STEP, "the signal to be heard", || scene.log().is_ok_and(|log| log.contains("asked again")))?;
    until(STEP, "the reason to be said while it waits", || says(&scene))?;
    assert!(scene.site.gateway()?.is_running());
    std::fs::remove_dir(&in_the_way)?;
    assert_eq!(scene.site.gateway()?.wait(STEP)?.code(), Some(74), "{}", scene.log()?);

    scene.site.start_gateway()?;
    assert!(scene.explanation(&visit.reception)?["code"].is_string(), "an acknowledged reception is lost");
    scene.check_in(READER, &scene.card("TEST-VALID-NEXT")?, PIN).await.map(drop)
}

/// Takes the lock that every write needs, and keeps it.
fn lock(scene: &Scene) -> Result<Shell> {
    Shell::open(&scene.dir().join("data/uketsuke.db"), "BEGIN IMMEDIATE; SELECT 'held';")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_under_a_foreign_lock_names_its_holder_and_sends_patients_to_the_desk_until_it_is_gone() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    scene.site.kill_gateway()?;
    let lock = lock(&scene)?;
    scene.site.spawn_gateway()?;

    let holder = format!("the program sqlite3 (process {})", lock.pid());
    let in_japanese = format!("プログラム sqlite3、プロセス番号 {}", lock.pid());
    let named = |scene: &Scene| detail(scene, "store").is_ok_and(|detail| detail.contains(&holder));
    until(STEP, "/healthz to name the holder", || named(&scene))?;
    assert_eq!(scene.health()?["ok"], false);
    for path in ["/kiosk/desk-1/a", "/kiosk/desk-1/a?lang=en", "/staff", "/staff?lang=en", "/"] {
        let page = scene.get(path)?;
        for sentence in ["窓口にお越しください", "Please go to the desk"] {
            assert!(page.contains(sentence), "{path}: {page}");
        }
        let named = [&holder, &in_japanese].map(|holder| page.contains(holder.as_str()));
        let wanted = [path == "/staff?lang=en", path == "/staff"];
        assert_eq!(named, wanted, "the holder is for staff alone, in their language: {path}: {page}");
        assert!(page.contains("/static/again.js"), "{path} does not look again: {page}");
    }
    scene.site.gateway()?.signal(Signal::HUP)?;
    until(STEP, "it to go on after SIGHUP", || named(&scene))?;
    assert!(scene.site.gateway()?.is_running());

    lock.close()?;
    scene.site.gateway()?.wait_ready(STEP)?;
    assert_eq!(scene.health()?["ok"], true);
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_waits_for_a_foreign_lock_ends_when_it_is_asked_to() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    scene.site.kill_gateway()?;
    let lock = lock(&scene)?;
    scene.site.spawn_gateway()?;
    until(STEP, "the lock to be said", || detail(&scene, "store").is_ok_and(|detail| detail.contains("sqlite3")))?;
    assert_eq!(scene.site.stop_gateway()?, Some(0), "{}", scene.log()?);
    lock.close()?;
    scene.site.start_gateway()?;
    scene.receives_the_next_patient(READER).await
}

/// Keeps the whole database for itself, as a program that packs or copies it may.
fn keep_all(scene: &Scene) -> Result<Shell> {
    // What the pragma tells is not what is waited for.
    let commands =
        ".output /dev/null\nPRAGMA locking_mode=EXCLUSIVE;\nBEGIN IMMEDIATE;\n.output stdout\nSELECT 'held';";
    Shell::open(&scene.dir().join("data/uketsuke.db"), commands)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_keeps_the_whole_database_stops_no_start_whatever_the_configuration_says() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    let main = scene.site.config();
    let good = std::fs::read(&main)?;
    for (case, text) in [("good", good.as_slice()), ("unreadable", b"# \x90\xdd\x92\xe8\n")] {
        scene.site.kill_gateway()?;
        std::fs::write(&main, text)?;
        let shell = keep_all(&scene)?;
        scene.site.spawn_gateway()?;
        let holder = format!("the program sqlite3 (process {})", shell.pid());
        let named = || detail(&scene, "store").is_ok_and(|detail| detail.contains(&holder));
        until(STEP, "/healthz to name the holder", named).with_context(|| case.to_owned())?;
        assert!(scene.get("/kiosk/desk-1/a")?.contains("窓口にお越しください"), "{case}");
        assert!(scene.get("/staff?lang=en")?.contains(&holder), "{case}");
        shell.close()?;
        scene.site.gateway()?.wait_ready(STEP).with_context(|| case.to_owned())?;
        let said = detail(&scene, "configuration");
        let former = said.is_ok_and(|said| said.contains("the one that ran last is used"));
        assert_eq!(former, case == "unreadable", "{case}");
        scene.check_in(READER, &scene.card("TEST-VALID-NEXT")?, PIN).await.with_context(|| case.to_owned())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_for_the_configuration_that_ran_last_ends_when_it_is_asked_to() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    scene.site.kill_gateway()?;
    let good = std::fs::read(scene.site.config())?;
    std::fs::write(scene.site.config(), "")?;
    let shell = keep_all(&scene)?;
    scene.site.spawn_gateway()?;
    until(STEP, "the lock to be said", || detail(&scene, "store").is_ok_and(|detail| detail.contains("sqlite3")))?;
    assert_eq!(scene.site.stop_gateway()?, Some(0), "{}", scene.log()?);
    shell.close()?;
    std::fs::write(scene.site.config(), good)?;
    scene.site.start_gateway()?;
    scene.receives_the_next_patient(READER).await
}
