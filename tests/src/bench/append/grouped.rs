//! The reference: the same two rows, with the same indexes and algorithms, inserted in groups; no look-ups, no side file, no recovery.

use anyhow::{Context, Result, anyhow};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection};
use std::path::Path;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const GROUP_MAX: usize = 256;
const TABLES: &str = "
    CREATE TABLE receptions (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, request BLOB NOT NULL, reader TEXT NOT NULL,
        order_key BLOB NOT NULL, evidence BLOB NOT NULL, stage TEXT NOT NULL, opened_ms INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
    CREATE INDEX receptions_by_key ON receptions (order_key, seq);
    CREATE INDEX receptions_by_stage ON receptions (stage, seq);
    CREATE TABLE outbox (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, reception BLOB NOT NULL, order_key BLOB NOT NULL,
        lane TEXT NOT NULL, body BLOB NOT NULL, body_mac BLOB NOT NULL, attempts INTEGER NOT NULL, state TEXT NOT NULL,
        created_ms INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
    CREATE INDEX outbox_by_lane ON outbox (state, lane, seq);
    CREATE INDEX outbox_by_key ON outbox (order_key, seq)";

/// Its one writer.
pub(super) struct Grouped {
    queue: mpsc::Sender<Job>,
}

/// So many rows of each table, and who waits for them.
struct Job {
    appends: usize,
    done: oneshot::Sender<()>,
}

struct Writer {
    conn: SqliteConnection,
    cipher: XChaCha20Poly1305,
    seq: i64,
}

struct Row {
    seq: i64,
    id: Uuid,
    request: Uuid,
    order_key: Vec<u8>,
    evidence: Vec<u8>,
    body: Vec<u8>,
    body_mac: Vec<u8>,
    macs: [Vec<u8>; 2],
}

impl Grouped {
    pub(super) async fn start(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).disable_statement_logging();
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let mut conn = options.connect().await?;
        sqlx::raw_sql(TABLES).execute(&mut conn).await?;
        let (queue, jobs) = mpsc::channel(1024);
        let cipher = XChaCha20Poly1305::new(&rand::random::<[u8; 32]>().into());
        tokio::spawn(Writer { conn, cipher, seq: 0 }.run(jobs));
        Ok(Self { queue })
    }

    /// So many appends in one commit, durable when it resolves.
    pub(super) fn append(&self, appends: usize) -> impl Future<Output = Result<()>> + Send + 'static {
        let queue = self.queue.clone();
        async move {
            let (done, told) = oneshot::channel();
            queue.send(Job { appends, done }).await.map_err(|_| anyhow!("the writer is gone"))?;
            told.await.context("a group failed")
        }
    }
}

impl Writer {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while jobs.recv_many(&mut group, GROUP_MAX).await > 0 {
            // Whoever waits for a group that failed hears that its end is gone.
            if self.write(group.iter().map(|job| job.appends).sum()).await.is_ok() {
                for job in group.drain(..) {
                    let _ = job.done.send(());
                }
            }
            group.clear();
        }
    }

    async fn write(&mut self, rows: usize) -> Result<()> {
        let rows = (0..rows).map(|_| self.row()).collect::<Result<Vec<_>>>()?;
        let mut transaction = self.conn.begin_with("BEGIN IMMEDIATE").await?;
        let mut receptions = QueryBuilder::<Sqlite>::new(
            "INSERT INTO receptions (seq, id, request, reader, order_key, evidence, stage, opened_ms, mac) ",
        );
        receptions.push_values(&rows, |mut values, row| {
            values.push_bind(row.seq).push_bind(row.id).push_bind(row.request).push_bind("desk-1/a");
            values
                .push_bind(&row.order_key)
                .push_bind(&row.evidence)
                .push_bind("open")
                .push_bind(1_i64)
                .push_bind(&row.macs[0]);
        });
        receptions.build().execute(&mut *transaction).await?;
        let mut outbox = QueryBuilder::<Sqlite>::new(
            "INSERT INTO outbox (seq, id, reception, order_key, lane, body, body_mac, attempts, state, created_ms, mac) ",
        );
        outbox.push_values(&rows, |mut values, row| {
            values.push_bind(row.seq).push_bind(row.request).push_bind(row.id).push_bind(&row.order_key);
            values.push_bind("interactive").push_bind(&row.body).push_bind(&row.body_mac).push_bind(0_i64);
            values.push_bind("pending").push_bind(1_i64).push_bind(&row.macs[1]);
        });
        outbox.build().execute(&mut *transaction).await?;
        transaction.commit().await.context("committing a group")
    }

    fn row(&mut self) -> Result<Row> {
        self.seq += 1;
        let (id, request) = (Uuid::now_v7(), Uuid::now_v7());
        let order_key = rand::random::<[u8; 32]>().to_vec();
        let plain = vec![0x55; super::BODY_BYTES];
        let (evidence, body) = (self.seal(&plain[..200], &id)?, self.seal(&plain, &request)?);
        let macs = [check(&[id.as_bytes(), &order_key, &evidence])?, check(&[request.as_bytes(), &order_key, &body])?];
        Ok(Row { seq: self.seq, id, request, body_mac: check(&[&plain])?, order_key, evidence, body, macs })
    }

    fn seal(&self, plain: &[u8], row: &Uuid) -> Result<Vec<u8>> {
        let nonce: [u8; 24] = rand::random();
        let payload = Payload { msg: plain, aad: row.as_bytes() };
        let cipher = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| anyhow!("not sealed"))?;
        Ok([nonce.as_slice(), &cipher].concat())
    }
}

fn check(parts: &[&[u8]]) -> Result<Vec<u8>> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&[7; 32]).context("a key")?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac.finalize().into_bytes().to_vec())
}
