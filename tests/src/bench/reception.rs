//! `reception`: what a reception costs by itself: time that the patient waits for the gateway and nobody else, and memory.

use super::Settings;
use super::histogram::Histogram;
use super::machine::{FsyncReference, resident_mib};
use crate::patient::{Camera, Manner, PatientCard, Way, check_in_as};
use crate::report::{Report, quantile, rounded};
use crate::scene::is_face_ready;
use crate::site::{Plan, Site, portrait, until};
use anyhow::{Context, Result};
use rand::Rng;
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Busy readers, and receptions measured with them.
const ROWS: [(usize, usize); 3] = [(1, 30), (4, 100), (16, 240)];
const COLD_STARTS: usize = 7;
/// Loading the models, on a busy machine.
const FACE_READY: Duration = Duration::from_secs(60);
/// After the models are loaded and nothing happens.
const IDLE: Duration = Duration::from_secs(3);
const PIN: &str = "1234";
const PIN_DIGITS: [u8; 4] = *b"1234";

pub(super) fn run(settings: Settings, report: &mut Report) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("uketsuke-bench-").tempdir()?;
    let readers = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let plan = Plan {
        terminals: (1..=4).map(|desk| (format!("desk-{desk}"), readers.clone())).collect(),
        face: true,
        ..Plan::default()
    };
    let mut site = Site::start(folder.path(), plan)?;
    let starts_ms = cold_starts(&mut site)?;
    let last_start = Instant::now();
    let pid = site.gateway()?.pid();
    let web = site.web();
    until(FACE_READY, "the face method is ready", || read(web, "/healthz").is_ok_and(|health| is_face_ready(&health)))?;
    let face_ready_ms = starts_ms.last().copied().unwrap_or_default() + last_start.elapsed().as_secs_f64() * 1000.0;
    std::thread::sleep(IDLE);
    let idle_mib = resident_mib(pid)?;

    let mut busy_mib = idle_mib;
    let rows = measure(&site, pid, settings.pause, &mut busy_mib)?;
    site.stop_gateway()?;

    print_head(settings.pause);
    for row in &rows {
        row.tell(report);
    }
    let ready_ms = quantile(&starts_ms, 0.5);
    println!(
        "\nstart, process to ready line, files in the page cache: median of {COLD_STARTS}: {:.0} ms",
        ready_ms.unwrap_or(f64::NAN)
    );
    println!("the face method follows by itself, ready after: {face_ready_ms:.0} ms");
    println!("resident memory with models loaded: idle {idle_mib:.0} MiB, busy {busy_mib:.0} MiB\n");
    report.figure("ready_p50_ms", rounded(ready_ms));
    report.figure("face_ready_ms", rounded(Some(face_ready_ms)));
    report.figure("idle_rss_mib", rounded(Some(idle_mib)));
    report.figure("busy_rss_mib", rounded(Some(busy_mib)));
    tell_aims(report, &rows, ready_ms, idle_mib);
    Ok(())
}

/// Every row, one after the other; `busy_mib` becomes the most memory seen.
fn measure(site: &Site, pid: u32, pause: Duration, busy_mib: &mut f64) -> Result<Vec<Row>> {
    let runtime = Runtime::new()?;
    let desks = desks(site)?;
    // Connections, caches and lazily made tables are not what is measured.
    for way in [Way::Face, Way::Pin(PIN)] {
        runtime.block_on(receive(&desks, 1, way, Duration::ZERO))?;
    }
    let mut rows = Vec::new();
    for (method, way) in [("face", Way::Face), ("pin", Way::Pin(PIN))] {
        for (readers, receptions) in ROWS {
            let before = settle(site.web())?;
            let reference = FsyncReference::start(site.dir())?;
            let received = runtime.block_on(receive(&desks[..readers], receptions / readers, way, pause));
            let fsync_ms = reference.stop()?;
            let settle_p95_ms = settle(site.web())?.quantile_ms_since(&before, 0.95);
            *busy_mib = resident_mib(pid)?.max(*busy_mib);
            rows.push(Row { method, readers, received: received?, own_ms: Vec::new(), fsync_ms, settle_p95_ms });
        }
    }
    let own_ms = own_shares(&site.dir().join("gateway.log"))?;
    for row in &mut rows {
        row.own_ms = row.received.iter().filter_map(|reception| own_ms.get(reception).copied()).collect();
    }
    Ok(rows)
}

fn print_head(pause: Duration) {
    println!(
        "Own share of a reception in ms: what its patient waits for the gateway alone, commits and inference included."
    );
    println!(
        "Patients look at each screen for {pause:?} ± 50 %; each shows the face at once and answers every question."
    );
    println!(
        "Absolute times drift with the machine and its neighbours: compare the ratios to a plain 1 KiB append + fsync,"
    );
    println!("measured at the same time on the same file system.\n");
    println!("method  readers    n     p50     p95     p99   fsync p50   own/fsync   settle p95");
}

/// What the product aims at, beside what was measured; told, never asserted.
fn tell_aims(report: &mut Report, rows: &[Row], ready_ms: Option<f64>, idle_mib: f64) {
    let own_p95 = |method| {
        let row = rows.iter().find(|row| row.method == method && row.readers == 4);
        row.and_then(|row| quantile(&row.own_ms, 0.95))
    };
    // 1 MB is 1,000,000 bytes, as the aim is written.
    let idle_mb = idle_mib * 1.048_576;
    let aims = [
        ("own share p95 by face with 4 readers", own_p95("face"), 250.0, "ms"),
        ("own share p95 by PIN with 4 readers", own_p95("pin"), 60.0, "ms"),
        ("start", ready_ms, 1000.0, "ms"),
        ("idle memory", Some(idle_mb), 150.0, "MB"),
    ];
    let mut aims_met = 0;
    for (what, value, most, unit) in aims {
        let met = value.is_some_and(|value| value <= most);
        aims_met += u32::from(met);
        let (value, verdict) = (value.unwrap_or(f64::NAN), if met { "met" } else { "NOT met" });
        println!("aim: {what} ≤ {most} {unit}: {value:.1} {unit}, {verdict}");
    }
    report.figure("aims_met", format!("{aims_met}/{}", aims.len()));
}

/// One line of the table.
struct Row {
    method: &'static str,
    readers: usize,
    received: Vec<String>,
    own_ms: Vec<f64>,
    fsync_ms: Vec<f64>,
    settle_p95_ms: Option<f64>,
}

impl Row {
    fn tell(&self, report: &mut Report) {
        let Self { method, readers, received, own_ms, fsync_ms, settle_p95_ms } = self;
        let [p50, p95, p99] = [0.50, 0.95, 0.99].map(|part| quantile(own_ms, part));
        let fsync_p50 = quantile(fsync_ms, 0.5);
        let ratio = p50.zip(fsync_p50).map(|(own, fsync)| own / fsync);
        let cell = |value: &Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
        println!(
            "{method:<6}  {readers:>7}  {:>3}  {:>6}  {:>6}  {:>6}   {:>9}   {:>9}   {:>10}",
            own_ms.len(),
            cell(&p50),
            cell(&p95),
            cell(&p99),
            cell(&fsync_p50),
            cell(&ratio),
            cell(settle_p95_ms),
        );
        if own_ms.len() != received.len() || [p50, fsync_p50, *settle_p95_ms].contains(&None) {
            let known = own_ms.len();
            report.fault(format!("{method} with {readers} readers: {known} of {} receptions measured", received.len()));
        }
        for (key, value) in [
            ("own_p50_ms", p50),
            ("own_p95_ms", p95),
            ("own_p99_ms", p99),
            ("own_per_fsync", ratio),
            ("settle_p95_ms", *settle_p95_ms),
        ] {
            report.figure(format!("{method}_{readers}_{key}"), rounded(value));
        }
    }
}

/// From spawning the process to its ready line, in milliseconds.
fn cold_starts(site: &mut Site) -> Result<Vec<f64>> {
    (0..COLD_STARTS)
        .map(|_| {
            site.stop_gateway()?;
            Ok(site.start_gateway()?.as_secs_f64() * 1000.0)
        })
        .collect()
}

/// A reader, and the patient who uses it again and again.
#[derive(Clone)]
struct Desk {
    web: SocketAddr,
    reader: String,
    slot: SocketAddr,
    card: PatientCard,
    camera: Camera,
}

fn desks(site: &Site) -> Result<Vec<Desk>> {
    let photo = portrait("chip.jp2")?;
    let faces = [portrait("camera-same.jpg")?, portrait("camera-same-2.jpg")?];
    let readers = site.readers().into_iter().enumerate();
    readers
        .map(|(index, reader)| {
            let camera = Camera::default();
            camera.show(&faces);
            let card = site.card(&format!("TEST-VALID-{index}"), Some(PIN_DIGITS), Some(photo.clone()))?;
            Ok(Desk { web: site.web(), slot: site.slot(&reader)?, reader, card, camera })
        })
        .collect()
}

/// Receives `each` patients at every desk, all desks at once; returns their receptions.
async fn receive(desks: &[Desk], each: usize, way: Way, pause: Duration) -> Result<Vec<String>> {
    let busy: Vec<_> = desks.iter().cloned().map(|desk| tokio::spawn(desk.receive(each, way, pause))).collect();
    let mut receptions = Vec::new();
    for desk in busy {
        receptions.extend(desk.await??);
    }
    Ok(receptions)
}

impl Desk {
    async fn receive(self, each: usize, way: Way, pause: Duration) -> Result<Vec<String>> {
        let mut kiosk = crate::patient::Kiosk::open(self.web, &self.reader, self.camera.clone()).await?;
        let mut receptions = Vec::new();
        for _ in 0..each {
            // Spread, so that the readers do not fall into step.
            let pause = pause.mul_f64(rand::rng().random_range(0.5..1.5));
            let manner = Manner { way, pause, seen: &mut |_| {} };
            let visit = check_in_as(&mut kiosk, self.slot, &self.card, manner).await?;
            receptions.push(visit.reception);
        }
        Ok(receptions)
    }
}

fn settle(web: SocketAddr) -> Result<Histogram> {
    Histogram::read(&read(web, "/metrics")?, "uketsuke_settle_seconds")
}

fn read(web: SocketAddr, path: &str) -> Result<String> {
    let url = format!("http://{web}{path}");
    ureq::get(&url).call().with_context(|| format!("GET {url}"))?.body_mut().read_to_string().context("reading it")
}

/// Exact own shares in milliseconds by reception, from the gateway's log.
fn own_shares(log: &Path) -> Result<HashMap<String, f64>> {
    let log = std::fs::read_to_string(log).context("reading the gateway's log")?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let recorded = lines.filter(|line| line["fields"]["message"] == "recorded");
    Ok(recorded
        .filter_map(|line| {
            let fields = &line["fields"];
            Some((fields["reception"].as_str()?.to_owned(), fields["own_ms"].as_f64()?))
        })
        .collect())
}
