//! Connections to the central system come to an end, or are half dead: requests do not notice, and what the line is said to be is true.

#![allow(clippy::unwrap_used, reason = "a scene that cannot be set fails its test")]

use anyhow::Result;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uketsuke::central::{CentralClient, CentralError, LineFault, LinkStatus};
use uketsuke::clock::Clock;
use uketsuke::config;
use uketsuke_tests::central::ledger::Kind;
use uketsuke_tests::central::{Ending, HalfDead, Method, ModeSpec, Options, Rotation, Simulator};
use uketsuke_tests::pki::DevPki;
use uketsuke_tests::scene::{PIN, STEP, Scene, detail, part};
use uketsuke_tests::site::{CALL_DEADLINE_MS, Plan, until};

/// A simulator in this process, and a line to it.
struct Line {
    simulator: Simulator,
    client: CentralClient,
}

impl Line {
    async fn to(call_deadline_ms: u64, change: impl FnOnce(&mut Options)) -> Self {
        let pki = DevPki::create_or_open(Path::new(env!("CARGO_TARGET_TMPDIR")).join("central-pki")).unwrap();
        let mut options = Options { think_ms: 3, ..Options::new(pki.clone()) };
        change(&mut options);
        let simulator = Simulator::start(options).await.unwrap();
        let central = config::Central {
            address: simulator.address().to_string(),
            server_name: "localhost".into(),
            ca_file: pki.link_ca_pem(),
            certificate_file: pki.gateway_pem(),
            key_file: pki.gateway_key(),
            crl_file: None,
            watch_every_ms: 1_000,
            warn_days: 30,
            connect_timeout_ms: 5_000,
            call_deadline_ms,
            window_max: 8,
            probe_every_ms: 500,
        };
        let client = CentralClient::new(&central, &Clock::new("/nonexistent".into()));
        Self { simulator, client }
    }

    fn connections(&self) -> u64 {
        self.simulator.stats().handshakes.values().sum()
    }
}

const ROTATIONS: u64 = 100;
const AT_ONCE: usize = 8;

/// Asks from all sides until so many connections were used; returns how many calls there were, what failed, and the faults that were
/// told meanwhile.
async fn rotated(change: impl FnOnce(&mut Options)) -> (u64, Vec<String>) {
    let line = Arc::new(Line::to(10_000, change).await);
    line.client.ping().await.unwrap();
    let calls = Arc::new(AtomicU64::new(0));
    let mut status = line.client.status();
    let told = tokio::spawn(async move {
        let mut told = Vec::new();
        while status.changed().await.is_ok() {
            told.extend(status.borrow_and_update().fault.as_ref().map(ToString::to_string));
        }
        told
    });
    let load: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (line, calls) = (line.clone(), calls.clone());
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while line.connections() <= ROTATIONS {
                    calls.fetch_add(1, Ordering::Relaxed);
                    failed.extend(line.client.ping().await.err().map(|error| error.to_string()));
                }
                failed
            })
        })
        .collect();
    let mut wrong = Vec::new();
    for one in load {
        wrong.extend(one.await.unwrap());
    }
    let calls = calls.load(Ordering::Relaxed);
    drop(Arc::into_inner(line).unwrap().client);
    wrong.extend(told.await.unwrap());
    (calls, wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_rotations_of_any_kind_under_load_fail_no_call_and_are_no_fault() {
    for ending in [Ending::InOrder, Ending::Abrupt, Ending::Cut] {
        for requests in [3, 20] {
            let rotation = Rotation { requests, ending };
            let (calls, wrong) = rotated(|options| options.rotation = Some(rotation)).await;
            assert!(wrong.is_empty(), "{rotation:?}: {} of {calls}: {wrong:#?}", wrong.len());
        }
    }
    let age = Duration::from_millis(50);
    let (calls, wrong) = rotated(|options| options.connection_age = Some(age)).await;
    assert!(wrong.is_empty(), "by age: {} of {calls}: {wrong:#?}", wrong.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reception_is_provisional_because_connections_are_rotated() -> Result<()> {
    const READERS: [&str; 4] = ["a", "b", "c", "d"];
    let terminals = vec![("desk-1".into(), READERS.map(String::from).to_vec())];
    let scene = Scene::start(Plan { terminals, connection_requests: Some(2), ..Plan::default() })?;
    let before = scene.log()?.len();
    let patients = READERS.iter().map(async |reader| {
        let mut provisional = Vec::new();
        for number in 0.. {
            if scene.site.control.stats()?.handshakes.values().sum::<u64>() > ROTATIONS {
                break;
            }
            let card = scene.card(&format!("TEST-VALID-{reader}-{number}"))?;
            let visit = scene.check_in(&format!("desk-1/{reader}"), &card, PIN).await?;
            if visit.ending.text().contains("あとで自動的に行います") {
                provisional.push(visit.reception);
            }
        }
        anyhow::Ok(provisional)
    });
    let provisional = futures_util::future::try_join_all(patients).await?.concat();
    let log = scene.log()?.split_off(before);
    let noise: Vec<_> =
        log.lines().filter(|line| line.contains("the line to") || line.contains("not delivered")).collect();
    let down = log.lines().filter(|line| line.contains("the central system") && line.contains("down")).count();
    assert!(
        provisional.is_empty() && down == 0 && noise.is_empty(),
        "{} provisional, {down} times down; {noise:#?}",
        provisional.len()
    );
    Ok(())
}

/// Pings until one is answered; returns the deadlines that passed before.
async fn silent_pings(line: &Line) -> usize {
    let mut silent = 0;
    while let Err(error) = line.client.ping().await {
        assert_eq!(error, CentralError::TimedOut);
        silent += 1;
        assert!(silent < 20, "never answered: {:?}", line.client.status().borrow());
    }
    silent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_answers_no_call_is_left_after_a_few_deadlines_for_one_other() {
    for how in [HalfDead::Mute, HalfDead::NoStreams, HalfDead::NoWindow] {
        let line = Line::to(1_000, |_| {}).await;
        line.client.ping().await.unwrap();
        let mut status = line.client.status();
        let told = tokio::spawn(async move {
            let unanswered = |status: &LinkStatus| status.fault == Some(LineFault::Unanswered);
            status.wait_for(unanswered).await.map(|status| status.fault.clone()).unwrap_or_default()
        });
        line.simulator.half_dead(how);
        // Until the connection has heard of it, calls are answered.
        while line.client.ping().await.is_ok() {}
        let silent = 1 + silent_pings(&line).await;
        assert!((2..=3).contains(&silent), "{how:?}: {silent} deadlines");
        assert_eq!(line.connections(), 2, "{how:?}");
        assert_eq!(told.await.unwrap(), Some(LineFault::Unanswered), "{how:?}");
        assert_eq!(line.client.status().borrow().fault, None, "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_answers_on_no_connection_is_not_stormed_with_connections() {
    let line = Line::to(200, |_| {}).await;
    line.client.ping().await.unwrap();
    line.simulator.set_mode(&ModeSpec::new("hang")).await.unwrap();
    for _ in 0..20 {
        assert_eq!(line.client.ping().await, Err(CentralError::TimedOut));
    }
    assert_eq!(line.connections(), 2, "one beside, then a pause");
    assert_eq!(line.client.status().borrow().fault, Some(LineFault::Unanswered));
    line.simulator.set_mode(&ModeSpec::new("up")).await.unwrap();
    assert_eq!(silent_pings(&line).await, 0, "the connection in use was kept");
    assert_eq!(line.client.status().borrow().fault, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn patients_are_confirmed_again_after_a_few_deadlines_on_a_half_dead_connection() -> Result<()> {
    // Each of them waits for the whole of its deadline.
    const ANSWER_DEADLINE_MS: u64 = 700;
    const PROVISIONAL_MAX: u64 = 4 * CALL_DEADLINE_MS / ANSWER_DEADLINE_MS;
    for how in [HalfDead::Mute, HalfDead::OneMethod] {
        let scene = Scene::start(Plan { answer_deadline_ms: ANSWER_DEADLINE_MS, ..Plan::default() })?;
        scene.receives_the_next_patient("desk-1/a").await?;
        let before = scene.site.control.stats()?.handshakes.values().sum::<u64>();
        scene.site.control.half_dead(how)?;
        let mut provisional = Vec::new();
        loop {
            let card = scene.card(&format!("TEST-VALID-{}", provisional.len()))?;
            let visit = scene.check_in("desk-1/a", &card, PIN).await?;
            if !visit.ending.text().contains("あとで自動的に行います") {
                break;
            }
            provisional.push(visit.reception);
            let few = provisional.len() as u64 <= PROVISIONAL_MAX;
            assert!(few, "{how:?}: not left within four deadlines: {}", scene.health()?);
        }
        for reception in &provisional {
            scene.until_code(reception, "confirmed_later").await?;
        }
        let connections = scene.site.control.stats()?.handshakes.values().sum::<u64>() - before;
        assert_eq!(connections, 1, "{how:?}: after {} provisional receptions", provisional.len());
    }
    Ok(())
}

/// Visits by new patients; says which receptions are provisional.
async fn receptions(scene: &Scene, names: std::ops::Range<u32>) -> Result<(Vec<String>, Vec<String>)> {
    let (mut confirmed, mut provisional) = (Vec::new(), Vec::new());
    for name in names {
        let visit = scene.check_in("desk-1/a", &scene.card(&format!("TEST-VALID-{name}"))?, PIN).await?;
        let now = if visit.ending.text().contains("あとで自動的に行います") {
            &mut provisional
        } else {
            &mut confirmed
        };
        now.push(visit.reception);
    }
    Ok((confirmed, provisional))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_permission_is_one_state_with_a_line_in_the_log_at_its_beginning_and_one_at_its_end() -> Result<()>
{
    let scene = Scene::start(Plan::default())?;
    scene.receives_the_next_patient("desk-1/a").await?;
    let before = scene.log()?.len();
    let stats = || scene.site.control.stats();

    scene.central(ModeSpec::new("refuse"))?;
    let (confirmed, mut provisional) = receptions(&scene, 0..2).await?;
    assert_eq!(confirmed, [""; 0], "refused");
    let down = |health: &Value| part(health, "central")["ok"] == false;
    until(STEP, "the line is down", || scene.health().is_ok_and(|health| down(&health)))?;
    for name in 2..6 {
        let pings = stats()?.pings_received;
        provisional.extend(receptions(&scene, name..name + 1).await?.1);
        until(STEP, "a ping was answered", || {
            let health = scene.health().unwrap_or_default();
            assert!(down(&health), "it flaps: {health}");
            let said = part(&health, "central")["detail"].to_string();
            assert!(said.contains("does not serve this gateway"), "{said}");
            stats().is_ok_and(|stats| stats.pings_received > pings)
        })?;
    }
    assert_eq!(provisional.len(), 6);
    // A ping is answered, so a look at the line by a connection of its own finds nothing.
    let (_, check) = scene.ended(&["check"])?;
    assert!(
        check.lines().any(|line| line.starts_with("warn  running line") && line.contains("permission_denied")),
        "{check}"
    );
    let page = scene.get("/staff/line?lang=en")?;
    assert!(page.contains("is not well") && page.contains("permission_denied"), "{page}");
    assert!(!page.contains("Everything works"), "{page}");

    scene.central(ModeSpec::new("up"))?;
    for reception in &provisional {
        scene.until_code(reception, "confirmed_later").await?;
    }
    scene.receives_the_next_patient("desk-1/a").await?;
    let effects = scene.eligibility_effects()?;
    let ids: std::collections::BTreeSet<_> = effects.iter().map(|effect| effect.id).collect();
    assert_eq!((effects.len(), ids.len()), (8, 8), "each took effect once");

    let log = scene.log()?.split_off(before);
    let of_the_line = |line: &&str| line.contains("uketsuke::central") || line.contains("uketsuke::courier");
    let told: Vec<_> = log.lines().filter(of_the_line).collect();
    let [begin, end] = told.as_slice() else { panic!("{} lines: {told:#?}", told.len()) };
    assert!(begin.contains("WARN") && begin.contains("permission_denied"), "{begin}");
    assert!(end.contains("the line to the central system works"), "{end}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn consents_that_are_not_taken_make_nobody_provisional_and_are_one_line_in_the_log_at_each_end() -> Result<()> {
    let scene = Scene::start(Plan { answer_deadline_ms: 4_000, ..Plan::default() })?;
    scene.receives_the_next_patient("desk-1/a").await?;
    let stats = || scene.site.control.stats();
    let taken = |many| {
        until(STEP, "every consent is taken", || scene.effects(Kind::Consent).is_ok_and(|all| all.len() == many))
    };
    taken(1)?;
    let before = scene.log()?.len();

    for (mode, names) in [("refuse", 0..6), ("hang", 6..9)] {
        scene.central(ModeSpec::new(mode).only(Method::Consent))?;
        for name in names {
            let asked = stats()?.consent_received;
            let (confirmed, provisional) = receptions(&scene, name..name + 1).await?;
            assert_eq!((confirmed.len(), provisional), (1, vec![]), "{mode}");
            until(STEP, "its consent was sent", || stats().is_ok_and(|stats| stats.consent_received > asked))?;
            let health = scene.health()?;
            assert_eq!(part(&health, "central")["ok"], true, "{mode}: {health}");
        }
        if mode == "refuse" {
            let said = detail(&scene, "central")?;
            assert!(said.contains("consents alone are not taken") && said.contains("permission_denied"), "{said}");
            scene.central(ModeSpec::new("up"))?;
            taken(7)?;
            let log = scene.log()?.split_off(before);
            let of_the_line = |line: &&str| line.contains("uketsuke::central") || line.contains("uketsuke::courier");
            let told: Vec<_> = log.lines().filter(of_the_line).collect();
            let [begin, end] = told.as_slice() else { panic!("{} lines: {told:#?}", told.len()) };
            assert!(begin.contains("WARN") && begin.contains("permission_denied"), "{begin}");
            assert!(end.contains("INFO") && end.contains("consents are taken"), "{end}");
        }
    }
    scene.central(ModeSpec::new("up"))?;
    taken(10)
}

#[tokio::test(flavor = "multi_thread")]
async fn consents_that_are_answered_by_unavailable_or_busy_make_nobody_wait_and_pause_alone() -> Result<()> {
    // Longer than patients wait for their answers.
    const PAUSE_MS: u64 = 10_000;
    let scene = Scene::start(Plan { answer_deadline_ms: 4_000, ..Plan::default() })?;
    scene.receives_the_next_patient("desk-1/a").await?;
    let stats = || scene.site.control.stats();
    let taken = |many| {
        until(STEP, "every consent is taken", || scene.effects(Kind::Consent).is_ok_and(|all| all.len() == many))
    };
    taken(1)?;
    for (mode, names, words) in [
        (ModeSpec::error("UNAVAILABLE"), 0..4, "unavailable"),
        (ModeSpec { ms: Some(PAUSE_MS), ..ModeSpec::new("busy") }, 4..8, "busy"),
    ] {
        let (before, until_now) = (scene.log()?.len(), names.end as usize + 1);
        let asked = stats()?.consent_received;
        scene.central(mode.only(Method::Consent))?;
        let mut circuits = Vec::new();
        for name in names {
            let (confirmed, provisional) = receptions(&scene, name..name + 1).await?;
            assert_eq!((confirmed.len(), provisional), (1, vec![]), "{words}: patient {name}");
            until(STEP, "a consent was sent", || stats().is_ok_and(|stats| stats.consent_received > asked))?;
            circuits.push(part(&scene.health()?, "central").clone());
        }
        assert!(circuits.iter().all(|central| central["ok"] == true), "{circuits:#?}");
        let said = detail(&scene, "central")?;
        assert!(said.contains("consents alone are not taken") && said.contains(words), "{said}");
        if words == "busy" {
            assert_eq!(stats()?.consent_received, asked + 1, "the pause is kept");
        }
        scene.central(ModeSpec::new("up"))?;
        taken(until_now)?;
        let log = scene.log()?.split_off(before);
        let of_the_line = |line: &&str| line.contains("uketsuke::central") || line.contains("uketsuke::courier");
        let told: Vec<_> = log.lines().filter(of_the_line).collect();
        let [begin, end] = told.as_slice() else { panic!("{words}: {} lines: {told:#?}", told.len()) };
        assert!(begin.contains("WARN") && begin.contains(words), "{begin}");
        assert!(end.contains("INFO") && end.contains("consents are taken"), "{end}");
    }
    Ok(())
}
