//! The command line: help, exit codes, and output for people and programs.

use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;
use uketsuke_tests::central::ModeSpec;
use uketsuke_tests::scene::{PIN, STEP, Scene};
use uketsuke_tests::site::{Plan, binary, installed_models, until};

/// Exit code, standard output, standard error of a command without a site.
fn uketsuke(arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let output = Command::new(binary("uketsuke")?).args(arguments).output()?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

fn lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))).collect()
}

#[test]
fn every_command_explains_itself() -> Result<()> {
    for (command, words) in [
        (&["--help"][..], &["run", "check", "models", "queue", "explain", "rules"][..]),
        (&["run", "--help"], &["SIGTERM", "--config", "--json"]),
        (&["check", "--help"], &["mend", "--config", "--json"]),
        (&["models", "--help"], &["install", "verify", "ls"]),
        (&["models", "install", "--help"], &["--from", "--dir", "deploy/models"]),
        (&["models", "verify", "--help"], &["--dir", "--json"]),
        (&["models", "ls", "--help"], &["--dir", "--json"]),
        (&["queue", "--help"], &["--limit", "central system", "show", "retry", "quarantine", "rescue", "wipe"]),
        (&["queue", "retry", "--help"], &["<SEQ>", "--json"]),
        (&["queue", "rescue", "--help"], &["--to", "--open", "sealed"]),
        (&["queue", "wipe", "--help"], &["--yes", "unsent"]),
        (&["keys", "rotate", "--help"], &["--config", "Back the key file up anew"]),
        (&["clock", "--help"], &["show", "confirm"]),
        (&["clock", "confirm", "--help"], &["<YYYY-MM-DD>", "--json", "Japan", "deleted"]),
        (&["backup", "--help"], &["--to", "while the gateway runs"]),
        (&["explain", "--help"], &["[RECEPTION]", "--lang", "staff page"]),
        (&["rules", "--help"], &["--on", "--lang", "--json", "YYYY-MM-DD", "--try", "--since", "--limit"]),
    ] {
        let (code, help, errors) = uketsuke(command)?;
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{command:?}");
        for word in words {
            assert!(help.contains(word), "{command:?} does not mention {word}:\n{help}");
        }
        // An option without a word of explanation is a riddle: its text stands behind it or on the next line.
        let all: Vec<&str> = help.lines().collect();
        for (at, line) in all.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("--")) {
            let explained = line.trim().contains("  ") || all.get(at + 1).is_some_and(|next| !next.is_empty());
            assert!(explained, "{command:?}: {line:?}");
        }
    }
    Ok(())
}

#[test]
fn wrong_usage_is_exit_code_64_with_a_hint() -> Result<()> {
    for command in [
        &[][..],
        &["frobnicate"],
        &["run", "--frobnicate"],
        &["run", "--config"],
        &["explain", "not-an-id"],
        &["explain", "--lang", "fr"],
        &["queue", "--limit", "many"],
        &["queue", "retry"],
        &["queue", "wipe"],
        &["keys"],
        &["backup"],
        &["clock"],
        &["clock", "confirm"],
        &["clock", "confirm", "tomorrow"],
        &["rules", "--on", "2025-02-29"],
        &["rules", "--on", "tomorrow"],
        &["rules", "--try"],
        &["rules", "--on", "2026-04-01", "--since", "2026-03-31"],
        &["models"],
        &["models", "install"],
    ] {
        let (code, out, errors) = uketsuke(command)?;
        assert_eq!((code, out.as_str()), (Some(64), ""), "{command:?}: {errors}");
        assert!(errors.contains("--help") || errors.contains("Usage"), "{command:?} gives no hint: {errors}");
    }
    Ok(())
}

/// What `uketsuke rules` prints for a day in a language.
fn rules_on(day: &str, lang: &str) -> Result<String> {
    let (code, text, errors) = uketsuke(&["rules", "--on", day, "--lang", lang])?;
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{day}");
    Ok(text)
}

#[test]
fn rules_answer_differently_on_the_day_on_which_the_earlier_card_ends() -> Result<()> {
    // The rules of the day stand before the change that is announced, and nothing else begins with the bare name.
    let holds = |text: &str| text.lines().any(|line| line.starts_with("earlier-card "));
    for (lang, title, next) in [
        ("ja", "従来の健康保険証", "次に変わる日: 2025-12-02"),
        ("en", "Earlier paper or plastic", "Next change: 2025-12-02"),
    ] {
        let last_day = rules_on("2025-12-01", lang)?;
        assert!(holds(&last_day) && last_day.contains(title) && last_day.contains(next), "{last_day}");
        let day_after = rules_on("20251202", lang)?;
        assert!(!holds(&day_after) && day_after.contains("earlier-card-expired"), "{day_after}");
        assert!(day_after.contains("2025-12-02.") && day_after.contains("2026-03-01"), "{day_after}");
    }
    Ok(())
}

#[test]
fn rules_are_told_to_programs_too_and_need_neither_a_day_nor_a_configuration() -> Result<()> {
    let (code, text, _) = uketsuke(&["rules", "--on", "2025-12-01", "--json"])?;
    let answer: Value = serde_json::from_str(&text)?;
    assert_eq!((code, &answer["on"], &answer["clock_doubtful"]), (Some(0), &"2025-12-01".into(), &false.into()));
    assert_eq!(answer["next_change"]["ends"], serde_json::json!(["earlier-card"]));
    let rules = answer["rules"].as_array().context("rules")?;
    let earlier = rules.iter().find(|rule| rule["id"] == "earlier-card").context("the earlier card")?;
    assert_eq!((&earlier["until"], &earlier["title"]["ja"]), (&"2025-12-01".into(), &"従来の健康保険証".into()));

    let (code, text, errors) = uketsuke(&["rules"])?;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(text.contains("my-number-card"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_nothing_wrong_with_a_good_site_before_and_while_it_runs() -> Result<()> {
    let mut scene = Scene::prepare(Plan { mqtt: true, ..Plan::default() })?;
    for running in [false, true] {
        if running {
            scene.site.start_gateway()?;
        }
        let (code, text) = scene.site.ask(&["check", "--json"])?;
        let findings = lines(&text)?;
        assert_eq!(code, Some(0), "{text}");
        assert!(findings.iter().all(|finding| finding["grade"] == "ok"), "{text}");
        let checks: Vec<_> = findings.iter().filter_map(|finding| finding["check"].as_str()).collect();
        let runs: &[_] = if running { &["running configuration", "running certificates"] } else { &[] };
        let before = ["card anchors", "store", "face", "clock", "ports"];
        let layers =
            ["name", "tcp", "tls", "http2", "service", "answer", "clock"].map(|layer| format!("central {layer}"));
        let layers = layers.iter().map(String::as_str);
        let before = ["configuration"].into_iter().chain(runs.iter().copied()).chain(before);
        let expected: Vec<_> = before.chain(layers).chain(["central", "mqtt"]).collect();
        assert_eq!(checks, expected);
        let (code, text) = scene.site.ask(&["check"])?;
        assert_eq!((code, text.lines().count()), (Some(0), expected.len()), "{text}");
        assert!(text.lines().all(|line| line.starts_with("ok ")), "{text}");
    }
    assert!(!scene.dir().join("data").join("uketsuke.db.part").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_changes_nothing() -> Result<()> {
    let scene = Scene::prepare(Plan::default())?;
    assert_eq!(scene.site.ask(&["check"])?.0, Some(0));
    for made_by_a_start in ["data", "keys"] {
        assert!(!scene.dir().join(made_by_a_start).exists(), "check made {made_by_a_start}/");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_in_words_about_what_is_down_and_says_that_patients_are_received() -> Result<()> {
    let mut scene = Scene::start(Plan { mqtt: true, ..Plan::default() })?;
    scene.site.stop_broker()?;
    scene.central(ModeSpec::new("down"))?;
    let (code, text) = scene.site.ask(&["check", "--json"])?;
    assert_eq!(code, Some(0), "a warning is no failure: {text}");
    for (check, words) in [("central", "receptions will be provisional"), ("mqtt", "telemetry will wait")] {
        let findings = lines(&text)?;
        let finding = findings.iter().find(|finding| finding["check"] == check).context("the finding")?;
        assert_eq!(finding["grade"], "warning", "{finding}");
        assert!(finding["text"].to_string().contains(words), "{finding}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_lists_the_latest_receptions_tells_one_and_knows_when_it_does_not_know() -> Result<()> {
    let scene = Scene::start(Plan::default())?;
    let visit = scene.check_in("desk-1/a", &scene.card("TEST-VALID-1")?, PIN).await?;
    scene.until_code(&visit.reception, "confirmed").await?;
    let (code, list) = scene.site.ask(&["explain"])?;
    assert!(code == Some(0) && list.contains(&visit.reception) && list.contains("desk-1/a"), "{list}");
    let (code, told) = scene.site.ask(&["explain", &visit.reception, "--lang", "en"])?;
    assert!(
        code == Some(0) && told.contains("The insurance is valid.") && told.contains("Next: Nothing to do."),
        "{told}"
    );

    let unknown = uuid::Uuid::now_v7().to_string();
    let (code, said) = scene.ended(&["explain", &unknown])?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&unknown) && said.contains("`uketsuke explain` lists the latest ones"), "{said}");
    let (code, said) = scene.site.ask(&["explain", &unknown, "--json"])?;
    let said: Value = serde_json::from_str(&said)?;
    assert_eq!((code, &said["exit"]), (Some(1), &1.into()), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_shows_what_waits_for_people_and_for_programs() -> Result<()> {
    let scene = Scene::start(Plan { answer_deadline_ms: 500, ..Plan::default() })?;
    let (code, text) = scene.site.ask(&["queue"])?;
    assert!(code == Some(0) && text.contains("Nothing waits"), "{text}");
    scene.central(ModeSpec::new("down"))?;
    let visit = scene.check_in("desk-1/a", &scene.card("TEST-VALID-1")?, PIN).await?;
    let (code, text) = scene.site.ask(&["queue"])?;
    assert!(code == Some(0) && text.contains("2 waiting") && text.contains(&visit.reception), "{text}");
    let (code, text) = scene.site.ask(&["queue", "--json"])?;
    let queue: Value = serde_json::from_str(&text)?;
    assert_eq!((code, &queue["counts"]["pending"]), (Some(0), &2.into()), "{queue}");
    let kinds: Vec<_> = queue["rows"].as_array().context("rows")?.iter().map(|row| row["kind"].clone()).collect();
    assert_eq!(kinds, ["eligibility", "consent"]);
    let (_, text) = scene.site.ask(&["queue", "--json", "--limit", "1"])?;
    let queue: Value = serde_json::from_str(&text)?;
    assert_eq!(queue["rows"].as_array().map(Vec::len), Some(1), "{queue}");
    Ok(())
}

/// What a command says in JSON, with its exit code.
fn said(scene: &Scene, arguments: &[&str]) -> Result<(Option<i32>, Value)> {
    let (code, text) = scene.site.ask(&[arguments, &["--json"]].concat())?;
    Ok((code, serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_shown_and_its_date_confirmed_through_the_running_gateway_only() -> Result<()> {
    let mut scene = Scene::prepare(Plan::default())?;
    scene.central(ModeSpec::new("down"))?;
    let japan = time::OffsetDateTime::now_utc() + time::Duration::hours(9);
    let today = japan.date().format(time::macros::format_description!("[year]-[month]-[day]"))?;
    assert_ne!(said(&scene, &["clock", "show"])?.0, Some(0), "no gateway runs that could be asked");
    scene.site.start_gateway()?;
    let (code, status) = said(&scene, &["clock", "show"])?;
    assert_eq!((code, &status["central_ms"]), (Some(0), &Value::Null), "{status}");
    let (_, text) = scene.site.ask(&["clock", "show"])?;
    assert!(text.contains("not heard since the start") && text.contains("nothing is deleted for its age"), "{text}");
    assert!(
        text.contains(&today) && text.contains("JST"),
        "the date that is asked for is the one that is shown: {text}"
    );
    let (code, refused) = said(&scene, &["clock", "confirm", "2020-02-29"])?;
    assert!(code == Some(1) && refused["error"].to_string().contains("set the clock"), "{code:?} {refused}");
    assert_eq!(said(&scene, &["clock", "confirm", &today])?.0, Some(0));
    let (_, text) = scene.site.ask(&["clock", "show"])?;
    assert!(text.contains("the date was confirmed by a person"), "{text}");

    scene.central(ModeSpec::new("up"))?;
    until(STEP, "the central system's clock is heard", || {
        scene
            .site
            .ask(&["clock", "show"])
            .is_ok_and(|(_, text)| text.contains("the clock agrees with the central system"))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_queue_are_seen_to_through_the_running_gateway_and_without_it() -> Result<()> {
    let mut scene = Scene::start(Plan { answer_deadline_ms: 500, ..Plan::default() })?;
    scene.central(ModeSpec::new("down"))?;
    let visit = scene.check_in("desk-1/a", &scene.card("TEST-VALID-1")?, PIN).await?;
    let (_, queue) = said(&scene, &["queue", "ls"])?;
    let seq = queue["rows"][0]["seq"].to_string();

    let (code, row) = said(&scene, &["queue", "show", &seq])?;
    assert_eq!((code, &row["state"], &row["genuine"]), (Some(0), &"pending".into(), &true.into()), "{row}");
    assert_eq!(said(&scene, &["queue", "quarantine", &seq])?.0, Some(0));
    let (_, row) = said(&scene, &["queue", "show", &seq])?;
    assert_eq!((&row["state"], &row["last_error"]), (&"isolated".into(), &"set_aside_by_hand".into()), "{row}");
    let (code, refused) = said(&scene, &["queue", "retry", "999999"])?;
    assert!(code == Some(1) && refused["error"].to_string().contains("does not know it"), "{refused}");
    let (code, refused) = said(&scene, &["queue", "wipe", "--yes"])?;
    assert!(code == Some(74) && refused["error"].to_string().contains("another process has it open"), "{refused}");

    assert_eq!(scene.site.stop_gateway()?, Some(0));
    let (code, refused) = said(&scene, &["queue", "wipe", "--yes"])?;
    assert!(code == Some(1) && refused["error"].to_string().contains("1 are set aside"), "{refused}");
    assert_eq!(said(&scene, &["queue", "retry", &seq])?.0, Some(0), "without a gateway the command writes itself");
    scene.central(ModeSpec::new("up"))?;
    scene.site.start_gateway()?;
    scene.until_code(&visit.reception, "confirmed_later").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_a_backup_is_made_and_restored_while_the_gateway_runs() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    let visit = scene.check_in("desk-1/a", &scene.card("TEST-VALID-1")?, PIN).await?;
    scene.until_code(&visit.reception, "confirmed").await?;
    let (_, before) = said(&scene, &["keys", "show"])?;
    let (code, rotated) = said(&scene, &["keys", "rotate"])?;
    assert!(code == Some(0) && rotated["resealed"].as_u64() > Some(0), "{rotated}");
    let (_, after) = said(&scene, &["keys", "show"])?;
    assert!(after["key"] == rotated["key"] && after["key"] != before["key"] && after["former"].is_null(), "{after}");
    scene.receives_the_next_patient("desk-1/b").await?;

    let to = scene.site.dir().join("backup");
    let folder = to.to_str().context("a path in UTF-8")?;
    let (code, text) = scene.site.ask(&["backup", "--to", folder])?;
    assert!(code == Some(0) && text.contains("The keys are not in it"), "{text}");
    let later = scene.check_in("desk-1/a", &scene.card("TEST-VALID-2")?, PIN).await?;
    assert_eq!(scene.site.stop_gateway()?, Some(0));
    let data = scene.site.config().parent().context("a folder")?.join("data");
    for entry in std::fs::read_dir(&data)? {
        let path = entry?.path();
        if path.is_file() {
            std::fs::remove_file(path)?;
        }
    }
    for name in ["uketsuke.db", "uketsuke.db.head"] {
        std::fs::copy(to.join(name), data.join(name))?;
    }
    scene.site.start_gateway()?;
    assert_eq!(scene.explanation(&visit.reception)?["code"], "confirmed");
    let (code, _) = scene.ended(&["explain", &later.reception])?;
    assert_eq!(code, Some(1), "a backup holds what was there when it was made");
    let (code, tables) = said(&scene, &["queue", "rescue", "--to", &format!("{folder}-rescued")])?;
    assert!(code == Some(0) && tables[0]["rows"].as_u64() >= Some(2), "{tables}");
    scene.receives_the_next_patient("desk-1/b").await
}

#[test]
fn questions_to_a_site_that_never_ran_are_answered_with_what_to_do() -> Result<()> {
    let scene = Scene::prepare(Plan::default())?;
    for command in [&["queue"][..], &["explain"]] {
        let (code, said) = scene.ended(command)?;
        assert!(matches!(code, Some(64 | 74)), "{command:?}: {code:?} {said}");
        assert!(said.contains("store") && !said.contains("panicked"), "{command:?}: {said}");
    }
    Ok(())
}

#[test]
fn models_are_listed_and_verified_for_programs() -> Result<()> {
    let models = installed_models().context("run: deploy/setup")?;
    let dir = models.to_str().context("a path in UTF-8")?;
    let (code, text, _) = uketsuke(&["models", "ls", "--json", "--dir", dir])?;
    let listed = lines(&text)?;
    assert_eq!(code, Some(0), "{text}");
    let roles: Vec<_> = listed.iter().filter_map(|model| model["role"].as_str()).collect();
    assert_eq!(roles, ["detector", "embedder", "runtime"]);
    for model in &listed {
        assert_eq!(model["state"], "ok", "{model}");
        assert!(model["licence"].as_str().is_some_and(|licence| !licence.is_empty()), "{model}");
    }
    let (code, text, _) = uketsuke(&["models", "verify", "--json", "--dir", dir])?;
    let report: Value = serde_json::from_str(&text)?;
    assert_eq!((code, report["files"].as_array().map(Vec::len)), (Some(0), Some(3)), "{report}");
    Ok(())
}

#[test]
fn a_reader_that_has_read_enough_ends_a_command_in_peace() -> Result<()> {
    for arguments in [&["rules"][..], &["rules", "--json"]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let ended = Command::new(binary("uketsuke")?).args(arguments).stdout(writer).output()?;
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), said.as_ref()), (Some(0), ""), "{arguments:?}");
    }
    Ok(())
}
