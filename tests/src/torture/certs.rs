//! `certs`: certificates of 60 s life, renewed again and again under load; no request may fail for it.
//!
//! Before a renewal comes what goes wrong at real sites: a half-written file, a key of another certificate, a key that everybody may
//! read, a revocation list of yesterday. The gateway has to refuse it, say so, and go on with what it has. The central system ends each
//! connection after 20 s, so that every certificate has to stand a handshake. At the end one certificate is revoked and one has
//! expired: both are to be explained.

use super::crowd::Crowd;
use super::{Settings, aftermath, judge};
use crate::pki::{ClientOptions, DevPki, serial_of};
use crate::report::Report;
use crate::scene::part;
use crate::site::{Plan, Site, until};
use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

const PATIENTS: usize = 20;
/// From a certificate's beginning to its end, seen from the moment that it is issued.
const LIFE: time::Duration = time::Duration::seconds(60);
/// Clocks are never quite the same, so authorities date certificates back.
const DATED_BACK: time::Duration = time::Duration::seconds(60);
/// From one renewal to the next.
const PERIOD: Duration = Duration::from_secs(40);
/// Age at which the central system ends a connection.
const CONNECTION_AGE_S: u64 = 20;
/// How long the gateway may take to notice changed files and to decide about them.
const NOTICED: Duration = Duration::from_secs(15);
/// How long a revoked gateway may still be served.
const REVOKED_WITHIN: Duration = Duration::from_secs(60);

/// What goes wrong before a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    HalfWritten,
    ForeignKey,
    ExposedKey,
    OldList,
    None,
}

const MISHAPS: [Mishap; 5] =
    [Mishap::HalfWritten, Mishap::ForeignKey, Mishap::OldList, Mishap::None, Mishap::ExposedKey];

impl Mishap {
    /// What the gateway has to say about it.
    fn words(self) -> &'static str {
        match self {
            Self::HalfWritten => "cannot read our certificate",
            Self::ForeignKey => "check that they belong together",
            Self::ExposedKey => "chmod 600",
            Self::OldList => "the revocation list",
            Self::None => "",
        }
    }

    fn happen(self, pki: &DevPki, rng: &mut StdRng) -> Result<()> {
        let (pem, key) = (pki.gateway_pem(), pki.gateway_key());
        match self {
            Self::None => {}
            Self::HalfWritten => {
                let (next, _) = pki.client("next", &validity(LIFE)?)?;
                let whole = std::fs::read(next)?;
                std::fs::write(pem, &whole[..rng.random_range(1..whole.len() - 1)])?;
            }
            Self::ForeignKey => {
                let (_, next) = pki.client("next", &validity(LIFE)?)?;
                std::fs::rename(next, key)?;
            }
            Self::ExposedKey => std::fs::set_permissions(key, PermissionsExt::from_mode(0o640))?,
            Self::OldList => pki.revoke(&[], OffsetDateTime::now_utc() - time::Duration::days(1))?,
        }
        Ok(())
    }
}

/// From a little before now.
fn validity(life: time::Duration) -> Result<ClientOptions> {
    let now = OffsetDateTime::from_unix_timestamp(crate::clock::now_ms() / 1000)?;
    Ok(ClientOptions { not_before: now - DATED_BACK, not_after: now + life })
}

/// New certificates for both sides and a new revocation list; returns the serial of the gateway's.
fn renew(pki: &DevPki, revoked: &[String]) -> Result<String> {
    let options = validity(LIFE)?;
    pki.renew_server(&options)?;
    pki.revoke(revoked, options.not_after)?;
    let (pem, _) = pki.client("gateway", &options)?;
    serial_of(&pem)
}

pub(super) fn run(dir: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let plan = Plan {
        terminals: vec![("desk-1".into(), vec!["a".into(), "b".into()])],
        // A machine that is busy with other things is no fault of a certificate.
        answer_deadline_ms: 10_000,
        connection_age_s: Some(CONNECTION_AGE_S),
        ..Plan::default()
    };
    let mut site = Site::prepare(dir, plan)?;
    site.reconfigure(
        "call_deadline_ms = 2000",
        "call_deadline_ms = 10000\ncrl_file = \"pki/link-crl.pem\"\nwatch_every_ms = 1000",
    )?;
    let mut serials = vec![renew(&site.pki, &[])?];
    site.start_gateway()?;
    let crowd = {
        let _tasks = runtime.enter();
        Crowd::send(&site, PATIENTS, settings.seed)?
    };
    let refused = renew_again_and_again(&site, settings, &mut serials, report)?;
    judge_the_load(&site, &serials, report)?;
    report.figure("refused_files", refused);

    let last = serials.last().context("a serial")?.clone();
    let took = revoked(&site, &last, report)?;
    report.figure("revoked_after_ms", took.as_millis());
    expired(&site, report)?;
    let before = link(&site)?.swaps;
    let back = Instant::now();
    renew(&site.pki, &[last])?;
    until(NOTICED, "a good certificate is taken into use", || link(&site).is_ok_and(|link| link.swaps > before))?;
    until(NOTICED, "the line is back", || part_of(&site, "central").is_ok_and(|(ok, _)| ok))?;
    report.figure("back_after_ms", back.elapsed().as_millis());

    let journal = runtime.block_on(crowd.go_home())?;
    std::fs::write(dir.join("journal.json"), serde_json::to_vec_pretty(&journal)?)?;
    aftermath::wait_until_the_queue_is_empty(&site)?;
    let ended = site.stop_gateway()?;
    if ended != Some(0) {
        report.fault(format!("the gateway ended with {ended:?} when asked to stop"));
    }
    judge::judge(report, &journal, &site.control.ledger()?, &aftermath::codes(&site)?);
    let panics = std::fs::read_to_string(dir.join("gateway.log"))?.matches("panicked at").count();
    if panics > 0 {
        report.fault(format!("the gateway panicked {panics} times"));
    }
    Ok(())
}

/// Renews once a period, after a mishap. Returns how many files were refused, which is how many should be.
fn renew_again_and_again(
    site: &Site,
    settings: Settings,
    serials: &mut Vec<String>,
    report: &mut Report,
) -> Result<u64> {
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let mut next = Instant::now() + PERIOD / 2;
    let mut slowest = Duration::ZERO;
    for (cycle, mishap) in (1..=settings.cycles).zip(MISHAPS.into_iter().cycle()) {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += PERIOD;
        let before = link(site)?;
        mishap.happen(&site.pki, &mut rng)?;
        if mishap != Mishap::None {
            let said = || link(site).is_ok_and(|link| link.refusals > before.refusals);
            until(NOTICED, &format!("{mishap:?} is refused in cycle {cycle}"), said)?;
            let (ok, words) = part_of(site, "certificates")?;
            if ok || !words.contains(mishap.words()) {
                report.fault(format!("cycle {cycle}, {mishap:?}: /healthz does not say so: {words}"));
            }
        }
        let since = Instant::now();
        serials.push(renew(&site.pki, &[])?);
        let swapped = || link(site).is_ok_and(|link| link.swaps > before.swaps);
        until(NOTICED, &format!("new certificates are in use in cycle {cycle}"), swapped)?;
        slowest = slowest.max(since.elapsed());
        let (_, words) = part_of(site, "certificates")?;
        if words.contains("not used") {
            report.fault(format!("cycle {cycle}: still called refused: {words}"));
        }
    }
    std::thread::sleep(next.saturating_duration_since(Instant::now()));
    report.figure("in_use_after_max_ms", slowest.as_millis());
    Ok(link(site)?.refusals)
}

/// While certificates came and went, nothing failed, and each of them was really used.
fn judge_the_load(site: &Site, serials: &[String], report: &mut Report) -> Result<()> {
    let metrics = site.get("/metrics")?;
    let tries = labelled(&metrics, "uketsuke_central_tries_total", "result");
    let delivered: u64 = tries.iter().filter(|(result, _)| result == "delivered").map(|(_, count)| count).sum();
    report.figure("delivered", delivered);
    let failed: u64 = tries.iter().map(|(_, count)| count).sum::<u64>() - delivered;
    report.figure("failed", failed);
    if failed > 0 || delivered == 0 {
        report.fault(format!("requests failed: {tries:?}"));
    }
    let provisional: u64 = labelled(&metrics, "uketsuke_receptions_total", "outcome")
        .iter()
        .filter(|(outcome, _)| outcome == "provisional")
        .map(|(_, count)| count)
        .sum();
    report.figure("provisional", provisional);
    if provisional > 0 {
        report.fault(format!("{provisional} patients had to do without an answer"));
    }
    let stats = site.control.stats()?;
    report.figure("handshakes", stats.handshakes.values().sum::<u64>());
    report.figure("serials", serials.len());
    let of = |serial: &String| stats.handshakes.get(serial).copied().unwrap_or(0);
    report.figure("handshakes_per_serial_min", serials.iter().map(of).min());
    report.figure("handshakes_per_serial_max", serials.iter().map(of).max());
    for serial in serials.iter().filter(|serial| of(serial) == 0) {
        report.fault(format!("the certificate {serial} was never shown in a handshake"));
    }
    if stats.handshakes_refused > 0 {
        report.fault(format!("handshakes failed under load: {:?}", stats.handshakes_refused_why));
    }
    Ok(())
}

/// The central system revokes the gateway's certificate; returns how long it was served on.
fn revoked(site: &Site, serial: &String, report: &mut Report) -> Result<Duration> {
    let since = Instant::now();
    site.pki.revoke(std::slice::from_ref(serial), validity(LIFE)?.not_after)?;
    let refused = || {
        let why = site.control.stats().map(|stats| stats.handshakes_refused_why);
        why.is_ok_and(|why| why.keys().any(|why| why.contains("Revoked")))
    };
    until(REVOKED_WITHIN, "the central system refuses the revoked gateway", refused)?;
    let took = since.elapsed();
    let said =
        || part_of(site, "central").is_ok_and(|(ok, said)| !ok && said.contains("our certificate has been revoked"));
    until(NOTICED, "/healthz says that our certificate has been revoked", said)?;
    explained(site, "has been revoked", "失効しているとして拒否", report)?;
    Ok(took)
}

/// An expired certificate lies in the place of ours: the gateway does not take it, and `check` explains it.
fn expired(site: &Site, report: &mut Report) -> Result<()> {
    let before = link(site)?.refusals;
    let ended = validity(LIFE)?.not_before - time::Duration::days(1);
    site.pki.client("gateway", &ClientOptions { not_before: ended - LIFE, not_after: ended })?;
    until(NOTICED, "an expired certificate is refused", || link(site).is_ok_and(|link| link.refusals > before))?;
    explained(site, "our certificate expired on", "証明書の期限が切れています", report)
}

/// What `uketsuke check` says about TLS, in both languages; what comes after is not tried.
fn explained(site: &Site, english: &str, japanese: &str, report: &mut Report) -> Result<()> {
    for (lang, words, not_tried) in [("en", english, "not tried"), ("ja", japanese, "調べていません")] {
        let findings = aftermath::ask(site, &["check", "--json", "--lang", lang])?;
        let text = |check: &str| {
            let found = findings.iter().find(|finding| finding["check"] == check);
            found.and_then(|finding| finding["text"].as_str()).unwrap_or_default().to_owned()
        };
        if !text("central tls").contains(words) || text("central http2") != not_tried {
            let (tls, http2) = (text("central tls"), text("central http2"));
            report.fault(format!("check does not say {words:?}: TLS: {tls:?}, HTTP/2: {http2:?}"));
        }
    }
    Ok(())
}

struct Link {
    swaps: u64,
    refusals: u64,
}

fn link(site: &Site) -> Result<Link> {
    let metrics = site.get("/metrics")?;
    let value = |name: &str| -> Result<u64> {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name} in the metrics"))?.trim().parse()?)
    };
    Ok(Link {
        swaps: value("uketsuke_central_certificate_swaps")?,
        refusals: value("uketsuke_central_certificate_refusals")?,
    })
}

/// The values of a family, by one label.
fn labelled(metrics: &str, name: &str, label: &str) -> Vec<(String, u64)> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let one = |line: &str| {
        let (labels, value) = line.rsplit_once("} ")?;
        let (_, rest) = labels.split_once(&format!("{label}=\""))?;
        Some((rest.split('"').next()?.to_owned(), value.trim().parse().ok()?))
    };
    lines.filter_map(one).collect()
}

/// A part of `/healthz`: whether it is well, and what it says.
fn part_of(site: &Site, name: &str) -> Result<(bool, String)> {
    let health: Value = serde_json::from_str(&site.get("/healthz")?)?;
    let part = part(&health, name);
    let ok = part["ok"].as_bool().with_context(|| format!("no part {name}: {health}"))?;
    ensure!(part["detail"].is_string(), "no words about {name}: {health}");
    Ok((ok, part["detail"].as_str().unwrap_or_default().to_owned()))
}
