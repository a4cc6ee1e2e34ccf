//! `ladder`: receptions that ended without a confirmed answer, each led to the one end that it deserves.
//!
//! The line is down; patients are received by card, by document and by the four items. Then it comes back, and the real courier, the
//! real reconciler and a scripted member of staff lead every case on, while the gateway is killed again and again. Cases have minutes
//! instead of weeks. The campaign knows the population, and so the end that each reception deserves and whom it is about.

mod cards;
mod desk;
mod judge;
mod people;
mod staff;

use super::Settings;
use crate::central::{ModeSpec, Person};
use crate::report::Report;
use crate::site::{Plan, Site, until};
use anyhow::{Context, Result, ensure};
use judge::Ended;
use people::{By, End, Patient};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use staff::{Diary, Staff};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uketsuke::clock::Clock;
use uketsuke::config::Config;
use uketsuke::store::{CaseRow, Destination, Keys, Store, StoreConfig};
use uketsuke_core::ids::ReceptionId;

/// How long the queue may take to run empty at the end.
const DRAIN: Duration = Duration::from_secs(60);
/// How long staff may take to close what they close before any answer.
const EARLY: Duration = Duration::from_secs(30);
/// Beyond the life of the cases that expire: for whatever a busy machine does late.
const PATIENCE: Duration = Duration::from_secs(300);
/// The life of the cases that staff lead to another end: longer than any run.
const LONG_S: u64 = 3_600;
/// Kills while answers come in and staff work, and the time between two of them.
const KILLS: u32 = 3;
const LIFE_MS: std::ops::RangeInclusive<u64> = 2_000..=6_000;
/// Receptions from which a run without anybody mistaken for somebody else has not tried what it should.
const TRAPS_FROM: u32 = 300;

pub(super) fn run(dir: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let start = Instant::now();
    let life_s = 20 + u64::from(settings.cycles) / 100;
    let (short, long) = (rungs(life_s, life_s), rungs(LONG_S, life_s));
    let plan = Plan {
        think_ms: 1,
        population_seed: settings.seed,
        rates: people::RATES,
        more_config: short.clone(),
        ..Plan::default()
    };
    let mut site = Site::prepare(dir, plan)?;
    site.control.set_mode(&ModeSpec::new("down"))?;
    let patients = people::draw(&site.pki, settings.seed, settings.cycles as usize)?;
    make_known(&site, &patients)?;
    println!("ladder: everybody is drawn after {} s", start.elapsed().as_secs());

    let runtime = tokio::runtime::Runtime::new()?;
    let mut kills = 0;
    let received = receive_all(&mut site, &runtime, &patients, (&short, &long), &mut kills)?;
    println!("ladder: everybody is received after {} s", start.elapsed().as_secs());
    site.start_gateway()?;
    let patience = Duration::from_secs(life_s) + PATIENCE;
    let diary = lead_to_the_end(&mut site, &patients, &received, settings.seed, patience, &mut kills)?;
    println!("ladder: every case has ended after {} s", start.elapsed().as_secs());

    // Late answers arrive; another life of the reconciler looks once more. None of it may change an end.
    let store = runtime.block_on(open(&site))?;
    until(DRAIN, "the queue is empty", || {
        runtime.block_on(store.outbox_counts(Destination::Central)).is_ok_and(|counts| counts.pending == 0)
    })?;
    let before = runtime.block_on(ends(&store))?;
    site.kill_gateway()?;
    site.start_gateway()?;
    std::thread::sleep(Duration::from_secs(2));
    let after = runtime.block_on(ends(&store))?;
    let ended = runtime.block_on(collect(&store, &patients, &received))?;
    judge::judge(report, &ended, &site.control.ledger()?, &diary);
    finish(report, &site, settings, &diary, (&before, &after))?;
    report.figure("kills", kills + 1);
    report.figure("seconds", start.elapsed().as_secs());
    drop(ended);
    let code = site.stop_gateway()?;
    ensure!(code == Some(0), "the last gateway ended with {code:?} when asked to stop");
    Ok(())
}

/// Minutes instead of weeks. What staff have to do may take as long as it takes on a busy machine; what they never do may not.
fn rungs(life_s: u64, untold_s: u64) -> String {
    let (quarter, untold) = (life_s / 4, untold_s / 4);
    format!(
        "[ladder]\nanswer_within_s = {life_s}\nlater_data_after_s = [1, 1]\nnumbers_within_s = {quarter}\n\
         choose_within_s = {quarter}\ntell_within_s = {untold}\nrecheck_every_s = {quarter}\nlife_s = {life_s}\n\n\
         [modes]\nauthorised = [\"{}\"]\n",
        desk::HEAD
    )
}

/// Who has no card is known to the central system all the same.
fn make_known(site: &Site, patients: &[Patient]) -> Result<()> {
    for patient in patients.iter().filter(|patient| patient.by != By::Card) {
        let person = Person {
            dots: Some(patient.outcome.dots),
            later: patient.outcome.later,
            ..Person::of_serial(&patient.serial, patient.outcome.class)
        };
        site.control.set_person(&person)?;
    }
    Ok(())
}

/// Receives everybody while the line is down; the gateway dies right after each part of it. Those who are to expire are received under
/// the short rules, the others under the long ones: each case keeps those that it was opened with.
fn receive_all(
    site: &mut Site,
    runtime: &tokio::runtime::Runtime,
    patients: &[Patient],
    (short, long): (&str, &str),
    kills: &mut u32,
) -> Result<HashMap<ReceptionId, usize>> {
    let (mut expiring, mut others): (Vec<&Patient>, Vec<&Patient>) =
        patients.iter().partition(|patient| patient.deserves() == End::Expired);
    let (mut received, mut cards) = (Vec::new(), Vec::new());
    for (group, next_rules) in [(&mut expiring, Some((short, long))), (&mut others, None)] {
        let (with, without): (Vec<&Patient>, Vec<&Patient>) =
            group.drain(..).partition(|patient| patient.by == By::Card);
        for half in without.chunks(without.len().div_ceil(2).max(1)) {
            site.start_gateway()?;
            desk::open_mode(site.web())?;
            received.extend(desk::receive(site.web(), half)?);
            site.kill_gateway()?;
            *kills += 1;
        }
        cards.push((with, Config::load(&site.config())?.ladder.rules()));
        if let Some((from, to)) = next_rules {
            site.reconfigure(from, to)?;
        }
    }
    let config = Config::load(&site.config())?;
    // The keys are there as soon as a gateway was; without patients at the desk there was none.
    if !config.store.key_file.exists() {
        site.start_gateway()?;
        site.kill_gateway()?;
    }
    let keys = Keys::load(&config.store.key_file)?;
    let clock = Clock::new(config.clock.synchronised_marker.clone());
    received.extend(runtime.block_on(async {
        let store = Store::open(&StoreConfig::new(&config.store.path), keys.clone()).await?;
        let mut received = Vec::new();
        for (with, rules) in &cards {
            received.extend(cards::receive(&store, &keys, &clock, rules, with).await?);
        }
        store.close().await?;
        anyhow::Ok(received)
    })?);
    Ok(received.into_iter().map(|(number, reception)| (reception, number)).collect())
}

/// Opens the line and lets staff work, while the gateway dies and comes back.
fn lead_to_the_end(
    site: &mut Site,
    patients: &[Patient],
    received: &HashMap<ReceptionId, usize>,
    seed: u64,
    patience: Duration,
    kills: &mut u32,
) -> Result<Diary> {
    let [line_up, early_closed, all_ended] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
    let (web, config) = (site.web(), Config::load(&site.config())?);
    std::thread::scope(|scope| {
        let (up, early, ended) = (line_up.clone(), early_closed.clone(), all_ended.clone());
        let working = scope.spawn(move || -> Result<Diary> {
            // Told also when staff break off: nobody waits for them in vain.
            let told = ended.clone();
            let work = move || -> Result<Diary> {
                let runtime = tokio::runtime::Runtime::new()?;
                runtime.block_on(async {
                    let keys = Keys::load(&config.store.key_file)?;
                    let store = Store::open_read_only(&StoreConfig::new(&config.store.path), keys).await?;
                    let staff = Staff {
                        web,
                        store,
                        clock: Clock::new(config.clock.synchronised_marker.clone()),
                        patients,
                        received,
                        all_ended: ended,
                        early_closed: early,
                        line_up: up,
                        slipped: HashSet::new(),
                        gap_shown: HashSet::new(),
                        recorded: HashSet::new(),
                        due_since: HashMap::new(),
                    };
                    staff.work(patience).await
                })
            };
            let diary = work();
            told.store(true, Ordering::Relaxed);
            diary
        });
        // Staff close what they close early while no answer can come.
        let closed = until(EARLY, "what is closed early is closed", || {
            early_closed.load(Ordering::Relaxed) || all_ended.load(Ordering::Relaxed)
        });
        line_up.store(true, Ordering::Relaxed);
        let mut rng = StdRng::seed_from_u64(seed ^ 0x6b69_6c6c);
        let opened = closed.and_then(|()| site.control.set_mode(&ModeSpec::new("up")));
        let killed = opened.and_then(|()| {
            for _ in 0..KILLS {
                std::thread::sleep(Duration::from_millis(rng.random_range(LIFE_MS)));
                site.kill_gateway()?;
                *kills += 1;
                site.start_gateway()?;
            }
            Ok(())
        });
        while !all_ended.load(Ordering::Relaxed) && site.gateway()?.is_running() {
            std::thread::sleep(Duration::from_millis(100));
        }
        let diary = working.join().map_err(|_| anyhow::anyhow!("the member of staff panicked"))?;
        killed.and(diary)
    })
}

async fn open(site: &Site) -> Result<Store> {
    let config = Config::load(&site.config())?;
    let keys = Keys::load(&config.store.key_file)?;
    Store::open_read_only(&StoreConfig::new(&config.store.path), keys).await.context("opening the store to read it")
}

type Ends = HashMap<ReceptionId, Option<End>>;

/// The end of every case, by reception; `None` while it has none.
async fn ends(store: &Store) -> Result<Ends> {
    let mut rows: Vec<CaseRow> = store.open_cases(1_000_000).await?;
    rows.extend(store.ended_cases_since(0, 1_000_000).await?);
    Ok(rows.into_iter().map(|row| (row.reception, row.case.ended().map(End::from))).collect())
}

async fn collect<'a>(
    store: &Store,
    patients: &'a [Patient],
    received: &HashMap<ReceptionId, usize>,
) -> Result<Vec<Ended<'a>>> {
    let mut ended = Vec::with_capacity(received.len());
    for (reception, number) in received {
        ended.push(Ended {
            patient: &patients[*number],
            reception: *reception,
            row: store.case(*reception).await?,
            papers: store.papers(*reception).await?,
            replies: store.kept_replies(*reception).await?.len(),
        });
    }
    ended.sort_by_key(|one| one.patient.number);
    Ok(ended)
}

/// What holds for the run as a whole.
fn finish(
    report: &mut Report,
    site: &Site,
    settings: Settings,
    diary: &Diary,
    (before, after): (&Ends, &Ends),
) -> Result<()> {
    let changed = before.iter().filter(|(reception, end)| after.get(reception) != Some(end)).count();
    report.figure("changed_after_end", changed);
    if changed > 0 {
        report.fault(format!("{changed} cases changed after their end"));
    }
    if after.len() != settings.cycles as usize {
        report.fault(format!("{} receptions have {} cases", settings.cycles, after.len()));
    }
    if settings.cycles >= TRAPS_FROM && diary.other_person == 0 {
        report.fault("nobody was mistaken for somebody else: what should be tried was not");
    }
    let panics = std::fs::read_to_string(site.dir().join("gateway.log"))?.matches("panicked at").count();
    report.figure("panics", panics);
    if panics > 0 {
        report.fault(format!("the gateway panicked {panics} times"));
    }
    Ok(())
}
