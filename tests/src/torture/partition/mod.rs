//! `partition`: the line to the central system fails in every way that lines fail, while patients come and go.
//!
//! Every fault is measured: how long until the gateway knows, and how long after its end until requests get through again. Then the line
//! goes down for a second in every four, for as long as wanted. In the end nothing may be lost, done twice, or out of order; and five
//! hundred gateways that return to one central system at once must not keep it down.

mod herd;

use super::crowd::Crowd;
use super::{Settings, aftermath};
use crate::central::ModeSpec;
use crate::network::{Fault, Proxy};
use crate::report::{Report, rounded};
use crate::site::{Plan, Site};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENTS: usize = 40;
/// How long each fault lasts: well beyond every deadline.
const LASTS: Duration = Duration::from_secs(8);
/// In between.
const CALM: Duration = Duration::from_secs(2);
/// How long the gateway may take to get a request through once the line is well.
const RECOVERS: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const DOWN: Duration = Duration::from_secs(1);
const UP: Duration = Duration::from_secs(3);

/// What goes wrong, and where.
enum Trouble {
    Line(Fault),
    Central(ModeSpec),
}

fn troubles() -> Vec<(&'static str, Trouble)> {
    let slow = Fault::Slow { round_trip: Duration::from_secs(2), lost: 0.05 };
    vec![
        ("cut", Trouble::Line(Fault::Cut)),
        ("stalled", Trouble::Line(Fault::Stall)),
        ("half_open", Trouble::Line(Fault::HalfOpen)),
        ("slow_lossy", Trouble::Line(slow)),
        ("corrupt", Trouble::Line(Fault::Corrupt { one_in: 10 })),
        ("reset", Trouble::Line(Fault::Reset { after_bytes: 8 * 1024 })),
        ("answers_lost", Trouble::Line(Fault::AnswersLost)),
        ("never_answers", Trouble::Central(ModeSpec::new("hang"))),
        ("busy", Trouble::Central(ModeSpec::new("busy"))),
    ]
}

/// `settings.cycles` times the line goes down for a second and up for three, after each fault once.
pub(super) fn run(dir: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let plan = Plan {
        terminals: ["desk-1", "desk-2"].map(|desk| (desk.into(), vec!["a".into(), "b".into()])).to_vec(),
        answer_deadline_ms: 600,
        ..Plan::default()
    };
    let mut site = Site::prepare(dir, plan)?;
    let proxy = Proxy::start(site.central(), settings.seed)?;
    site.reconfigure(&format!("address = \"{}\"", site.central()), &format!("address = \"{}\"", proxy.address()))?;
    site.start_gateway()?;
    let crowd = {
        let _tasks = runtime.enter();
        Crowd::send(&site, PATIENTS, settings.seed)?
    };

    println!("{:<14} {:>12} {:>13} {:>12}", "fault", "noticed s", "recovered s", "connections");
    for (name, trouble) in troubles() {
        let measured = measure(&site, &proxy, &trouble)?;
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let (noticed, recovered) = (shown(measured.noticed_s), shown(measured.recovered_s));
        println!("{name:<14} {noticed:>12} {recovered:>13} {:>12}", measured.connections);
        report.figure(format!("{name}_noticed_s"), rounded(measured.noticed_s));
        report.figure(format!("{name}_recovered_s"), rounded(measured.recovered_s));
        if measured.recovered_s.is_none() {
            report.fault(format!("{name}: no request got through within {RECOVERS:?} after its end"));
        }
    }
    for _ in 0..settings.cycles {
        proxy.set(Fault::Cut);
        std::thread::sleep(DOWN);
        proxy.set(Fault::None);
        std::thread::sleep(UP);
    }

    report.figure("connections", proxy.accepted());
    aftermath::settle(&runtime, crowd, &mut site, report)?;
    herd::run(settings.seed, report);
    Ok(())
}

struct Measured {
    /// Until the first try failed, or the gateway called the line down; `None` if it had no reason to.
    noticed_s: Option<f64>,
    /// From the end of the fault until a request got through.
    recovered_s: Option<f64>,
    connections: u64,
}

fn measure(site: &Site, proxy: &Proxy, trouble: &Trouble) -> Result<Measured> {
    std::thread::sleep(CALM);
    let before = proxy.accepted();
    set(site, proxy, Some(trouble))?;
    let begun = Instant::now();
    let failed = Line::of(site)?.failed;
    let noticed = look(LASTS, || Line::of(site).map(|line| !line.up || line.failed > failed))?;
    std::thread::sleep(LASTS.saturating_sub(begun.elapsed()));
    let delivered = Line::of(site)?.delivered;
    set(site, proxy, None)?;
    let recovered = look(RECOVERS, || Line::of(site).map(|line| line.up && line.delivered > delivered))?;
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    Ok(Measured {
        noticed_s: seconds(noticed),
        recovered_s: seconds(recovered),
        connections: proxy.accepted() - before,
    })
}

fn set(site: &Site, proxy: &Proxy, trouble: Option<&Trouble>) -> Result<()> {
    match trouble {
        Some(Trouble::Line(fault)) => proxy.set(*fault),
        Some(Trouble::Central(mode)) => site.control.set_mode(mode)?,
        None => {
            proxy.set(Fault::None);
            site.control.set_mode(&ModeSpec::new("up"))?;
        }
    }
    Ok(())
}

/// How long until it is so; `None` if not within the time.
fn look(patience: Duration, mut so: impl FnMut() -> Result<bool>) -> Result<Option<Duration>> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if so()? {
            return Ok(Some(start.elapsed()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(None)
}

/// What the gateway says of the line.
struct Line {
    up: bool,
    /// Requests that took effect so far.
    delivered: u64,
    /// Tries of which nothing came.
    failed: u64,
}

impl Line {
    fn of(site: &Site) -> Result<Self> {
        let url = format!("http://{}/metrics", site.web());
        let metrics = ureq::get(&url).call().context("asking the gateway")?.body_mut().read_to_string()?;
        let mut line = Self { up: false, delivered: 0, failed: 0 };
        for (name, value) in metrics.lines().filter_map(|line| line.rsplit_once(' ')) {
            match name.strip_prefix("uketsuke_").unwrap_or(name) {
                "central_up" => line.up = value == "1",
                "central_tries_total{result=\"delivered\"}" => line.delivered = value.parse()?,
                name if name.starts_with("central_tries_total{") => line.failed += value.parse::<u64>()?,
                _ => {}
            }
        }
        Ok(line)
    }
}
