//! A clock that was wrong costs no patient anything, and no reception its place in the store.

use anyhow::{Context, Result};
use uketsuke_tests::central::ledger::Kind;
use uketsuke_tests::central::{Class, ModeSpec, Numbers, Person};
use uketsuke_tests::scene::{PIN, Scene};
use uketsuke_tests::site::Plan;

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
