//! Other programs at the files of the gateway's database: what they take away is saved before the process ends.

use anyhow::Result;
use uketsuke_tests::central::ModeSpec;
use uketsuke_tests::scene::{PIN, STEP, Scene, detail};
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
