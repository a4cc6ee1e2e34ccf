//! `partition`: the line to the central system fails in every way that lines fail, while patients come and go.
//!
//! Every fault is measured: how long until the gateway knows, and how long after its end until requests get through again. Then the line
//! goes down for a second in every four, for as long as wanted. Then the same gateway reaches the central system through a real network,
//! which fails as networks do, where this machine allows to build one. In the end nothing may be lost, done twice, or out of order; and
//! five hundred gateways that return to one central system at once must not keep it down.

mod herd;
mod namespace;

use super::crowd::Crowd;
use super::{Settings, aftermath};
use crate::central::ModeSpec;
use crate::network::{Fault, Proxy};
use crate::report::{Report, rounded};
use crate::site::{Plan, Site};
use anyhow::{Context, Result};
use namespace::Network;
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
enum Trouble<'a> {
    Line(&'a Proxy, Fault),
    Central(ModeSpec),
    Network(&'a Network, namespace::Trouble),
}

fn troubles(proxy: &Proxy) -> Vec<(&'static str, Trouble<'_>)> {
    let slow = Fault::Slow { round_trip: Duration::from_secs(2), lost: 0.05 };
    vec![
        ("cut", Trouble::Line(proxy, Fault::Cut)),
        ("stalled", Trouble::Line(proxy, Fault::Stall)),
        ("half_open", Trouble::Line(proxy, Fault::HalfOpen)),
        ("slow_lossy", Trouble::Line(proxy, slow)),
        ("corrupt", Trouble::Line(proxy, Fault::Corrupt { one_in: 10 })),
        ("reset", Trouble::Line(proxy, Fault::Reset { after_bytes: 8 * 1024 })),
        ("answers_lost", Trouble::Line(proxy, Fault::AnswersLost)),
        ("never_answers", Trouble::Central(ModeSpec::new("hang"))),
        ("busy", Trouble::Central(ModeSpec::new("busy"))),
    ]
}

/// `settings.cycles` times the line goes down for a second and up for three, after each fault once.
pub(super) fn run(dir: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    // Dropped after the site, whose simulator is in it.
    let network = Network::build();
    let plan = Plan {
        terminals: ["desk-1", "desk-2"].map(|desk| (desk.into(), vec!["a".into(), "b".into()])).to_vec(),
        answer_deadline_ms: 600,
        elsewhere: network.as_ref().ok().map(Network::elsewhere),
        ..Plan::default()
    };
    let mut site = Site::prepare(dir, plan)?;
    let proxy = Proxy::start(site.central(), settings.seed)?;
    let at = |address| format!("address = \"{address}\"");
    site.reconfigure(&at(site.central()), &at(proxy.address()))?;
    site.start_gateway()?;
    let crowd = {
        let _tasks = runtime.enter();
        Crowd::send(&site, PATIENTS, settings.seed)?
    };

    println!("{:<16} {:>12} {:>13} {:>12}", "fault", "noticed s", "recovered s", "connections");
    for (name, trouble) in troubles(&proxy) {
        suffer(name, &site, &proxy, &trouble, report)?;
    }
    for _ in 0..settings.cycles {
        proxy.set(Fault::Cut);
        std::thread::sleep(DOWN);
        proxy.set(Fault::None);
        std::thread::sleep(UP);
    }
    let skipped = match &network {
        Ok(network) => {
            // Without the proxy, which would hide from the gateway what becomes of its packets.
            site.reconfigure(&at(proxy.address()), &at(site.central()))?;
            let ended = site.stop_gateway()?;
            anyhow::ensure!(ended == Some(0), "the gateway ended with {ended:?} when asked to stop");
            site.start_gateway()?;
            fail_the_network(&site, &proxy, network, report)?
        }
        Err(why) => {
            println!("{:<16} skipped: {why:#}", "net");
            namespace::Trouble::ALL.len()
        }
    };
    report.figure("skipped", skipped);

    report.figure("connections", proxy.accepted());
    aftermath::settle(&runtime, crowd, &mut site, report)?;
    herd::run(settings.seed, report);
    Ok(())
}

/// Every trouble of the network; returns how many this machine does not allow.
fn fail_the_network(site: &Site, proxy: &Proxy, network: &Network, report: &mut Report) -> Result<usize> {
    let mut skipped = 0;
    for (name, trouble) in namespace::Trouble::ALL {
        if let Some(why) = network.refuses(trouble) {
            println!("{name:<16} skipped: {why}");
            skipped += 1;
        } else {
            suffer(name, site, proxy, &Trouble::Network(network, trouble), report)?;
        }
    }
    Ok(skipped)
}

/// One trouble from beginning to end: a row of the table, and figures.
fn suffer(name: &str, site: &Site, proxy: &Proxy, trouble: &Trouble<'_>, report: &mut Report) -> Result<()> {
    let measured = measure(site, proxy, trouble)?;
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let (noticed, recovered) = (shown(measured.noticed_s), shown(measured.recovered_s));
    println!("{name:<16} {noticed:>12} {recovered:>13} {:>12}", measured.connections);
    report.figure(format!("{name}_noticed_s"), rounded(measured.noticed_s));
    report.figure(format!("{name}_recovered_s"), rounded(measured.recovered_s));
    if measured.recovered_s.is_none() {
        report.fault(format!("{name}: no request got through within {RECOVERS:?} after its end"));
    }
    Ok(())
}

struct Measured {
    /// Until the first try failed, or the gateway called the line down; `None` if it had no reason to.
    noticed_s: Option<f64>,
    /// From the end of the fault until a request got through.
    recovered_s: Option<f64>,
    /// Connections that came through: to the proxy, or, where there is none, to the central system.
    connections: u64,
}

fn measure(site: &Site, proxy: &Proxy, trouble: &Trouble<'_>) -> Result<Measured> {
    std::thread::sleep(CALM);
    let connections = || match trouble {
        Trouble::Network(..) => site.control.stats().map(|stats| stats.connections_accepted),
        Trouble::Line(..) | Trouble::Central(_) => Ok(proxy.accepted()),
    };
    let before = connections()?;
    trouble.begin(site)?;
    let begun = Instant::now();
    let failed = Line::of(site)?.failed;
    let noticed = look(LASTS, || Line::of(site).map(|line| !line.up || line.failed > failed))?;
    std::thread::sleep(LASTS.saturating_sub(begun.elapsed()));
    let delivered = Line::of(site)?.delivered;
    trouble.end(site)?;
    let recovered = look(RECOVERS, || Line::of(site).map(|line| line.up && line.delivered > delivered))?;
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    Ok(Measured { noticed_s: seconds(noticed), recovered_s: seconds(recovered), connections: connections()? - before })
}

impl Trouble<'_> {
    fn begin(&self, site: &Site) -> Result<()> {
        match self {
            Self::Line(proxy, fault) => {
                proxy.set(*fault);
                Ok(())
            }
            Self::Central(mode) => site.control.set_mode(mode),
            Self::Network(network, trouble) => network.begin(*trouble),
        }
    }

    fn end(&self, site: &Site) -> Result<()> {
        match self {
            Self::Line(proxy, _) => {
                proxy.set(Fault::None);
                Ok(())
            }
            Self::Central(_) => site.control.set_mode(&ModeSpec::new("up")),
            Self::Network(network, trouble) => network.end(*trouble),
        }
    }
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
