//! A store under load in a process of its own, for campaigns that fail its disk: readers and a courier write, and every promise is printed
//! the moment it is given.

use super::scene::{self, Promise};
use anyhow::{Context, Result};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use uketsuke::store::{Destination, Keys, Store, StoreConfig, StoreError, StoreHealth};
use uketsuke_core::record::Shown;

/// How this process ends when the store cannot be trusted or written; the gateway's own code for that.
pub const STORE_FAILED: u8 = 74;
/// Verdicts of the central system that are written together.
const IN_FLIGHT: usize = 8;
/// A courier with nothing to do looks again after this long.
const IDLE: Duration = Duration::from_millis(2);

/// What the process is asked to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The number of the first reception.
    pub first: u32,
    /// Receptions, those before the first included.
    pub receptions: u32,
    /// Readers that write at the same time.
    pub readers: u32,
    /// Size of the reserve for a full disk.
    pub ballast_bytes: usize,
    /// End without closing the store, as a killed process does.
    pub abort: bool,
}

/// Where the store of a campaign lies.
pub fn config(dir: &Path, ballast_bytes: usize) -> StoreConfig {
    StoreConfig { ballast_bytes, ..StoreConfig::new(dir.join("store.db")) }
}

/// The store's key file: beside the folder whose disk fails.
pub fn keys(dir: &Path) -> Result<Keys> {
    let path = dir.with_extension("key");
    if path.exists() { Ok(Keys::load(&path)?) } else { Ok(Keys::create(&path)?) }
}

/// Writes until everything is done or the store has failed. Returns the exit code.
pub async fn run(dir: &Path, load: Load) -> Result<u8> {
    let store = match Store::open(&config(dir, load.ballast_bytes), keys(dir)?).await {
        Ok(store) => store,
        Err(error) => {
            eprintln!("cannot open: {error}");
            return Ok(STORE_FAILED);
        }
    };
    let (next, left) = (Arc::new(AtomicU32::new(load.first)), Arc::new(AtomicU32::new(load.readers)));
    let readers: Vec<_> = (0..load.readers)
        .map(|_| tokio::spawn(read(store.clone(), next.clone(), left.clone(), load.receptions)))
        .collect();
    let courier = deliver(&store, &left, !load.abort).await;
    for reader in readers {
        reader.await.context("a reader panicked")??;
    }
    courier?;
    if matches!(*store.health().borrow(), StoreHealth::Failed { .. }) {
        return Ok(STORE_FAILED);
    }
    if load.abort {
        std::process::abort();
    }
    Ok(if store.close().await.is_ok() { 0 } else { STORE_FAILED })
}

/// One line in one write: a pipe takes it whole.
fn promise(promise: Promise) -> Result<()> {
    let line = format!("{promise}\n");
    std::io::stdout().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush()).context("telling a promise")
}

/// Whether a write was acknowledged. One that was not is no error here: somebody is told so at the desk.
fn acknowledged(written: Result<(), StoreError>) -> bool {
    written.inspect_err(|error| eprintln!("not written: {error}")).is_ok()
}

/// One reader: takes the next reception until there are no more.
async fn read(store: Store, next: Arc<AtomicU32>, left: Arc<AtomicU32>, receptions: u32) -> Result<()> {
    let done = read_all(&store, &next, receptions).await;
    left.fetch_sub(1, Ordering::SeqCst);
    done
}

async fn read_all(store: &Store, next: &AtomicU32, receptions: u32) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= receptions || matches!(*store.health().borrow(), StoreHealth::Failed { .. }) {
            return Ok(());
        }
        if !acknowledged(store.open_reception(scene::opening(number)).await) {
            continue;
        }
        promise(Promise::Opened(number))?;
        if let Some((why, at)) = scene::abandonment(number) {
            if acknowledged(store.abandon_reception(scene::reception(number), why, at).await) {
                promise(Promise::Abandoned(number))?;
            }
            continue;
        }
        if acknowledged(store.record_reception(scene::recording(number)).await) {
            promise(Promise::Recorded(number))?;
            if scene::shown(number) != Shown::Provisional
                && acknowledged(store.close_reception(scene::reception(number)).await)
            {
                promise(Promise::Closed(number))?;
            }
        }
    }
}

/// The courier: settles what there is until every reader has gone and, if it goes on to the end, nothing waits; or nothing can be written.
async fn deliver(store: &Store, readers_left: &AtomicU32, to_the_end: bool) -> Result<()> {
    loop {
        let over = readers_left.load(Ordering::SeqCst) == 0;
        let rows = match store.select(Destination::Central, IN_FLIGHT, &[], scene::at(0).wall_ms).await {
            Ok(rows) => rows,
            Err(error) => {
                eprintln!("not read: {error}");
                Vec::new()
            }
        };
        let failed = matches!(*store.health().borrow(), StoreHealth::Failed { .. });
        if over && (rows.is_empty() || failed || !to_the_end) {
            return Ok(());
        }
        let before = rows.len();
        let settling = rows.into_iter().map(|row| async move {
            let Some((number, settlement, told)) = scene::settlement(&row.request) else {
                anyhow::bail!("row {} is none that was written", row.seq);
            };
            promise(Promise::Settling(number, row.request.kind))?;
            let written = acknowledged(store.settle(row.seq, settlement, scene::at(9_000)).await);
            if written {
                promise(told)?;
            }
            anyhow::Ok(written)
        });
        let settled = futures_util::future::try_join_all(settling).await?;
        // Nothing of it could be written, and nobody is left who could make room: the next start goes on.
        if over && before > 0 && settled.iter().all(|written| !written) {
            return Ok(());
        }
        if before == 0 {
            tokio::time::sleep(IDLE).await;
        }
    }
}
