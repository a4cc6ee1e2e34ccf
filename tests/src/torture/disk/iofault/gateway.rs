//! The gateway itself, with patients at its readers, on a disk that fails for good at some moment.
//!
//! From that moment nothing is promised any more, neither to patients nor to staff; `/healthz` and the staff page say so; the process
//! ends with 74; the next start, on a sound disk, has everything that was shown as done, and the central system has it once.

use crate::central::Numbers;
use crate::report::{Report, quantile, rounded};
use crate::site::{Plan, Site};
use crate::torture::crowd::Crowd;
use crate::torture::{Settings, aftermath};
use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// One for so many faults of the small program, and within these bounds: each takes seconds.
const ONE_IN: u32 = 25;
const FAULTS: RangeInclusive<u32> = 2..=12;
const PATIENTS: usize = 16;
/// Life of a gateway before its disk fails.
const LIFE_MS: RangeInclusive<u64> = 300..=2_000;
/// How long a promise is waited for, so that the disk fails right after it.
const PROMISE_WITHIN: Duration = Duration::from_secs(2);
/// The gateway writes all the time; one that still runs after this has not noticed.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What the staff page says of a store that has failed.
const ON_THE_PAGE: &str = "受付の保存に問題があります";
/// What a page says that is opened while the gateway is ending for that reason.
const ON_A_NEW_PAGE: &str = "いま受付を記録できません";

/// What was seen of the faults.
#[derive(Default)]
struct Seen {
    ended_74: u32,
    /// `/healthz` answered 503.
    health: u32,
    /// The staff page that was open said it, and so did a new one.
    pages: u32,
    refused_to_staff: u32,
    /// From the moment the disk fails until `/healthz` says so.
    noticed_ms: Vec<f64>,
    /// How long `/healthz` said so.
    said_ms: Vec<f64>,
    /// From the next start until ready.
    started_ms: Vec<f64>,
}

pub(super) fn run(dir: &Path, shim: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let faults = (settings.cycles / ONE_IN).clamp(*FAULTS.start(), *FAULTS.end());
    let dir = dir.join("gateway");
    std::fs::create_dir(&dir)?;
    let runtime = Runtime::new()?;
    let plan = Plan {
        terminals: ["desk-1", "desk-2"].map(|desk| (desk.into(), vec!["a".into(), "b".into()])).to_vec(),
        answer_deadline_ms: 600,
        ..Plan::default()
    };
    let mut site = Site::prepare(&dir, plan)?;
    let disk = Disk::under(&mut site, shim);
    let mut rng = StdRng::seed_from_u64(settings.seed);
    disk.will_fail(&mut site, "eio");
    site.start_gateway()?;
    receive(&runtime, &site).context("receiving at the desk while the disk is well")?;
    let crowd = {
        let _tasks = runtime.enter();
        Crowd::send(&site, PATIENTS, settings.seed)?
    };
    let mut seen = Seen::default();
    for fault in 1..=faults {
        std::thread::sleep(Duration::from_millis(rng.random_range(LIFE_MS)));
        if rng.random() {
            crowd.wait_for_a_promise(PROMISE_WITHIN);
        }
        let page = runtime.block_on(site.staff().watch(ON_THE_PAGE))?;
        disk.fail()?;
        // After the disk, so that nothing asked for later can have been written.
        crowd.disk_fails(true);
        let ended = watch(&runtime, &mut site, &mut seen, report)?;
        if ended == Some(74) {
            seen.ended_74 += 1;
        } else {
            report.fault(format!("fault {fault}: the gateway ended with {ended:?}"));
        }
        let stood = runtime.block_on(page)?;
        seen.pages += u32::from(stood);
        disk.mend()?;
        crowd.disk_fails(false);
        // Both ways in turn: every call, or fsync alone, whose failure is the easiest to overlook.
        disk.will_fail(&mut site, if fault % 2 == 0 { "eio" } else { "sync" });
        let started = site.start_gateway().with_context(|| format!("starting after fault {fault}"))?;
        seen.started_ms.push(started.as_secs_f64() * 1000.0);
    }
    let journal = aftermath::settle(&runtime, crowd, &mut site, report)?;
    for promise in &journal.false_promises {
        report.fault(format!("promised on a disk that had failed: {promise}"));
    }
    report.figure("gateway_faults", faults);
    report.figure("exit74", seen.ended_74);
    report.figure("false_promises", journal.false_promises.len());
    report.figure("sent_to_desk", journal.sent_to_desk);
    for (key, count, what) in [
        ("health_said", seen.health, "/healthz did not say that nothing can be recorded"),
        ("pages_said", seen.pages, "the staff page did not say that nothing can be recorded"),
        ("refused_to_staff", seen.refused_to_staff, "staff were not told that a patient cannot be received"),
    ] {
        report.figure(key, count);
        if count != faults {
            report.fault(format!("{} of {faults} times {what}", faults - count));
        }
    }
    report.figure("failure_noticed_max_ms", rounded(quantile(&seen.noticed_ms, 1.0)));
    report.figure("failure_said_min_ms", rounded(quantile(&seen.said_ms, 0.0)));
    report.figure("restart_max_ms", rounded(quantile(&seen.started_ms, 1.0)));
    Ok(())
}

/// The disk under the store's files, by way of the shim.
struct Disk {
    /// It fails as long as this file is there.
    fails: PathBuf,
}

impl Disk {
    fn under(site: &mut Site, shim: &Path) -> Self {
        let (fails, data) = (site.dir().join("disk-fails"), site.dir().join("data"));
        for (name, value) in [("LD_PRELOAD", shim), ("FAULT_DIR", &data), ("FAULT_WHEN", &fails)] {
            site.set_environment(name, &value.to_string_lossy());
        }
        // Each call from the first on, once it fails.
        site.set_environment("FAULT_AT", "1");
        site.set_environment("FAULT_STICKY", "1");
        Self { fails }
    }

    /// How it fails in the life of the next gateway.
    fn will_fail(&self, site: &mut Site, kind: &str) {
        site.set_environment("FAULT_KIND", kind);
    }

    fn fail(&self) -> Result<()> {
        std::fs::write(&self.fails, "").context("making the disk fail")
    }

    fn mend(&self) -> Result<()> {
        std::fs::remove_file(&self.fails).context("mending the disk")
    }
}

/// Looks and asks, as machines and staff do, until the gateway has ended; returns its exit code.
fn watch(runtime: &Runtime, site: &mut Site, seen: &mut Seen, report: &mut Report) -> Result<Option<i32>> {
    let failed = Instant::now();
    let mut said: Option<Instant> = None;
    while site.gateway()?.is_running() && failed.elapsed() < ENDS_WITHIN {
        if health(site) == Some(503) {
            let first = said.is_none();
            let since = *said.get_or_insert_with(Instant::now);
            if first {
                seen.health += 1;
                seen.noticed_ms.push(failed.elapsed().as_secs_f64() * 1000.0);
                seen.said_ms.push(0.0);
                ask_as_staff(runtime, site, seen, report);
            }
            if let Some(said_ms) = seen.said_ms.last_mut() {
                *said_ms = since.elapsed().as_secs_f64() * 1000.0;
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(site.gateway()?.wait(Duration::ZERO).context("the gateway does not end")?.code())
}

/// What `/healthz` answers; `None` when nobody does.
fn health(site: &Site) -> Option<u16> {
    let url = format!("http://{}/healthz", site.web());
    let request = ureq::get(&url).config().http_status_as_error(false).timeout_global(Some(Duration::from_secs(1)));
    request.build().call().ok().map(|answer| answer.status().as_u16())
}

/// A patient with a 資格確認書 stands at the desk.
fn receive(runtime: &Runtime, site: &Site) -> Result<String> {
    let numbers = Numbers {
        insurer: "990014".into(),
        symbol: "1234".into(),
        number: "00000042".into(),
        branch: "01".into(),
        birthdate: "19580401".into(),
    };
    runtime.block_on(site.staff().receive(&numbers))
}

fn ask_as_staff(runtime: &Runtime, site: &Site, seen: &mut Seen, report: &mut Report) {
    match receive(runtime, site) {
        Ok(reception) => {
            report.fault(format!("staff were told that {reception} is received, on a disk that had failed"))
        }
        Err(error) => seen.refused_to_staff += u32::from(error.to_string().contains("answered 503")),
    }
    match site.get("/staff?lang=ja") {
        Ok(page) if page.contains(ON_A_NEW_PAGE) || page.contains(ON_THE_PAGE) => {}
        Ok(page) => report.fault(format!("a staff page that is opened says nothing of it: {page}")),
        Err(error) => report.fault(format!("no staff page can be opened any more: {error:#}")),
    }
}
