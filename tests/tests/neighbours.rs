//! Other programs at the files of the gateway's database: what they take away is saved before the process ends.

use anyhow::Result;
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
