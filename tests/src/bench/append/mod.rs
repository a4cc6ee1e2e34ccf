//! `append`: how many receptions a second become durable (T1: the reception and its question), each caller waiting for its own commit.
//!
//! Beside it, in turns of the same run and on the same file system: a file that is appended to and synced; the two rows inserted by sqlx
//! in groups, sealed and checked with the same algorithms, and nothing else; PostgreSQL with as many clients; the same store without its
//! mirror.

mod grouped;
mod postgres;

use super::Settings;
use crate::report::{Report, quantile, rounded};
use anyhow::{Context, Result, anyhow};
use grouped::Grouped;
use postgres::Postgres;
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use uketsuke::store::{Keys, Opening, Proof, Request, RequestKind, Store, StoreConfig};
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::record::{Evidence, Verification};
use uuid::Uuid;
use zeroize::Zeroizing;

const CALLERS: [usize; 4] = [1, 16, 64, 256];
/// Each of the four is measured so often with so many callers, in turns.
const ROUNDS: usize = 4;
/// Commits of the reference that hold as many appends as there are callers, in each round: what a caller has to wait for at the least.
const COMMITS: usize = 25;
const LASTS: Duration = Duration::from_millis(1_500);
/// What a signed question with a certificate has.
pub(super) const BODY_BYTES: usize = 2_048;

/// Appends of one round, and how long each took.
#[derive(Debug, Default)]
pub(super) struct Sample {
    appends: u64,
    took: Duration,
    each_ms: Vec<f64>,
}

impl Sample {
    fn rate(&self) -> f64 {
        self.appends as f64 / self.took.as_secs_f64()
    }

    fn add(&mut self, other: Self) {
        self.appends += other.appends;
        self.took += other.took;
        self.each_ms.extend(other.each_ms);
    }
}

pub(super) fn run(_: Settings, report: &mut Report) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("uketsuke-bench-").tempdir()?;
    let runtime = Runtime::new()?;
    let config = StoreConfig::new(folder.path().join("store.db"));
    let store = runtime.block_on(Store::open(&config, Keys::random()))?;
    let unmirrored = StoreConfig::new(folder.path().join("unmirrored.db"));
    // A folder is in its way.
    std::fs::create_dir(folder.path().join("unmirrored.db.mirror"))?;
    let unmirrored = runtime.block_on(Store::open(&unmirrored, Keys::random()))?;
    let grouped = runtime.block_on(Grouped::start(&folder.path().join("grouped.db")))?;
    let postgres = Postgres::start(folder.path())?;
    if postgres.is_none() {
        println!("PostgreSQL 15 is not installed (deploy/setup --tests --release): its column stays empty");
    }

    println!(
        "{:>8} {:>10} {:>8} {:>8} {:>12} {:>12} {:>12} {:>10} {:>12} {:>13} {:>12}",
        "callers",
        "appends/s",
        "p50 ms",
        "p99 ms",
        "file+fsync/s",
        "grouped/s",
        "PostgreSQL/s",
        "of grouped",
        "of PostgreSQL",
        "of unmirrored",
        "p99/commit"
    );
    let mut aims = true;
    for callers in CALLERS {
        let [mut own, mut bare, mut file, mut sqlx, mut pg] = [(); 5].map(|()| Sample::default());
        let mut commits_ms = Vec::new();
        for _ in 0..ROUNDS {
            for (store, sample) in [(&store, &mut own), (&unmirrored, &mut bare)] {
                sample.add(runtime.block_on(append(callers, |_| {
                    let store = store.clone();
                    async move { store.open_reception(opening()).await.context("appending") }
                }))?);
            }
            file.add(append_to_file(folder.path(), callers)?);
            sqlx.add(runtime.block_on(append(callers, |_| grouped.append(1)))?);
            for _ in 0..COMMITS {
                let begun = Instant::now();
                runtime.block_on(grouped.append(callers))?;
                commits_ms.push(begun.elapsed().as_secs_f64() * 1000.0);
            }
            if let Some(postgres) = &postgres {
                pg.add(postgres.append(callers, LASTS)?);
            }
        }
        let commit_ms = quantile(&commits_ms, 0.5);
        let (p50, p99) = (quantile(&own.each_ms, 0.5), quantile(&own.each_ms, 0.99));
        let of = |other: &Sample| (other.appends > 0).then(|| own.rate() / other.rate());
        let of_commit = p99.zip(commit_ms).map(|(p99, commit)| p99 / commit);
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        println!(
            "{callers:>8} {:>10.0} {:>8} {:>8} {:>12.0} {:>12.0} {:>12.0} {:>10} {:>12} {:>13} {:>12}",
            own.rate(),
            shown(p50),
            shown(p99),
            file.rate(),
            sqlx.rate(),
            if pg.appends > 0 { pg.rate() } else { f64::NAN },
            shown(of(&sqlx)),
            shown(of(&pg)),
            shown(of(&bare)),
            shown(of_commit)
        );
        for (key, value) in [
            ("per_s", Some(own.rate().round())),
            ("p50_ms", p50),
            ("p99_ms", p99),
            ("of_file", of(&file)),
            ("of_grouped", of(&sqlx)),
            ("of_postgres", of(&pg)),
            ("of_unmirrored", of(&bare)),
            ("p99_of_commit", of_commit),
        ] {
            report.figure(format!("c{callers}_{key}"), value.map(|value| (value * 100.0).round() / 100.0));
        }
        if callers == 64 {
            aims = of(&sqlx).is_some_and(|of| of >= 0.8)
                && of(&pg).is_none_or(|of| of >= 1.0)
                && of_commit.is_some_and(|of| of <= 2.5);
        }
    }
    println!(
        "\naims with 64 callers: 0.8 of grouped sqlx, PostgreSQL, p99 within 2.5 commits of that size: {}",
        if aims { "met" } else { "not met" }
    );
    report.figure("aims_met", aims);
    report.figure("rss_mib", rounded(Some(super::machine::resident_mib(std::process::id())?)));
    runtime.block_on(store.close())?;
    runtime.block_on(unmirrored.close())?;
    Ok(())
}

/// So many tasks, each appending again as soon as its last append is durable.
async fn append<F, R>(callers: usize, one: F) -> Result<Sample>
where
    F: Fn(usize) -> R,
    R: Future<Output = Result<()>> + Send + 'static,
{
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let start = Instant::now();
    let mut sample = Sample::default();
    let mut running = tokio::task::JoinSet::new();
    let spawn = |running: &mut tokio::task::JoinSet<()>, caller: usize| {
        let (append, tell) = (one(caller), tell.clone());
        running.spawn(async move {
            let begun = Instant::now();
            let done = append.await;
            let _ = tell.send((caller, begun.elapsed(), done));
        });
    };
    (0..callers).for_each(|caller| spawn(&mut running, caller));
    let mut left = callers;
    while left > 0 {
        let (caller, took, done) = told.recv().await.context("a caller is gone")?;
        done?;
        sample.appends += 1;
        sample.each_ms.push(took.as_secs_f64() * 1000.0);
        if start.elapsed() < LASTS {
            spawn(&mut running, caller);
        } else {
            left -= 1;
        }
    }
    sample.took = start.elapsed();
    Ok(sample)
}

fn opening() -> Opening {
    let (reception, request) = (Uuid::now_v7(), Uuid::now_v7());
    let now = Now { boot: 1, mono: Mono(1), stamp: Stamp { wall_ms: 1_800_000_000_000, synchronised: true } };
    Opening {
        reception: ReceptionId(reception),
        reader: "desk-1/a".into(),
        order_key: OrderKey(rand::random()),
        evidence: Evidence::of(Verification::by_face(0.6)),
        opened: now,
        request: Request {
            id: RequestId(request),
            kind: RequestKind::Eligibility,
            body: Zeroizing::new(vec![0x55; BODY_BYTES]),
            proof: Proof::Gateway,
        },
    }
}

/// As many threads, each appending a body to a file of its own and syncing it.
fn append_to_file(dir: &Path, callers: usize) -> Result<Sample> {
    let start = Instant::now();
    let threads: Vec<_> = (0..callers)
        .map(|caller| {
            let path = dir.join(format!("file-{caller}"));
            std::thread::spawn(move || -> std::io::Result<Vec<f64>> {
                let mut file = File::create(path)?;
                let mut each_ms = Vec::new();
                while start.elapsed() < LASTS {
                    let begun = Instant::now();
                    file.write_all(&[0x55; BODY_BYTES])?;
                    file.sync_data()?;
                    each_ms.push(begun.elapsed().as_secs_f64() * 1000.0);
                }
                Ok(each_ms)
            })
        })
        .collect();
    let mut sample = Sample::default();
    for thread in threads {
        sample.each_ms.extend(thread.join().map_err(|_| anyhow!("a writer panicked"))??);
    }
    sample.took = start.elapsed();
    sample.appends = sample.each_ms.len() as u64;
    for caller in 0..callers {
        std::fs::remove_file(dir.join(format!("file-{caller}")))?;
    }
    Ok(sample)
}
