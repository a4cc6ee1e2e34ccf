//! Orders of an administrator to the store, the same for a gateway that runs and for one that is stopped.
//!
//! The running gateway alone writes to its store, so it takes orders at a Unix socket beside the database (mode 0600: whoever may read the
//! database may give them): one line of JSON each way. While no gateway runs, `uketsuke` opens the store itself.
//!
//! Promise: an order that was heard is carried out whoever stops listening; changes of the sealing key one at a time.

use crate::anchors::CardAnchors;
use crate::central::Former;
use crate::clock::Clock;
use crate::config::Card;
use crate::retention::{Retention, RetentionStatus};
use crate::running::Running;
use crate::store::rotation::{Rotated, Rotation};
use crate::store::{Store, StoreError, control_socket};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use uketsuke_core::date::Date;

/// Whoever connects gives an order at once.
const ORDER_DEADLINE: Duration = Duration::from_secs(5);
/// No order is longer.
const ORDER_BYTES_MAX: u64 = 4096;
/// Between tries to listen on, when the system has no more file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What an administrator asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Replace the sealing key, or go on doing so.
    RotateKeys,
    /// Go on replacing the sealing key, if that is under way.
    FinishRotation,
    /// Try a row of the outbox at once.
    Retry {
        /// Which.
        seq: i64,
    },
    /// Set a row of the outbox aside.
    Quarantine {
        /// Which.
        seq: i64,
    },
    /// Tell whether anything is deleted for its age, and by which clock.
    ShowClock,
    /// A person says which date it is, so that deletion may go on.
    ConfirmDate {
        /// In Japan.
        date: Date,
    },
    /// Delete what worked on the line before, and use the files alone.
    ForgetFormer,
    /// Tell what the gateway that runs uses.
    ShowRunning,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// It is on disk.
    Done,
    /// The sealing key was replaced.
    Rotated(Rotated),
    /// How the clock is believed.
    Clock(RetentionStatus),
    /// What the gateway that runs uses.
    Running(Box<Running>),
    /// It was not done.
    Refused {
        /// Why, and what to do.
        error: String,
    },
}

/// Carries orders out.
#[derive(Clone)]
pub struct Operator {
    store: Store,
    key_file: PathBuf,
    clock: Clock,
    retention: Retention,
    turn: Arc<Mutex<()>>,
    gateway: Option<Gateway>,
}

/// What only a gateway that runs can be asked.
#[derive(Clone)]
pub struct Gateway {
    /// What stands in for files of the line.
    pub former: Former,
    /// The authorities of the cards.
    pub anchors: CardAnchors,
    /// What it uses at the moment.
    pub running: Arc<dyn Fn() -> Running + Send + Sync>,
}

impl Operator {
    /// For a store that is open for writing.
    pub fn new(store: Store, key_file: PathBuf, clock: Clock) -> Self {
        let retention = Retention::new(store.clone(), clock.clone());
        Self { store, key_file, clock, retention, turn: Arc::default(), gateway: None }
    }

    /// For the gateway that runs.
    pub fn of_gateway(self, gateway: Gateway) -> Self {
        Self { gateway: Some(gateway), ..self }
    }

    /// Whether anything may be deleted for its age.
    pub fn retention(&self) -> &Retention {
        &self.retention
    }

    /// Carries an order out.
    pub async fn perform(&self, order: Order) -> Told {
        let of_keys = matches!(order, Order::RotateKeys | Order::FinishRotation);
        let _turn = if of_keys { Some(self.turn.lock().await) } else { None };
        tracing::info!(?order, "an order of an administrator");
        let done = match order {
            Order::RotateKeys | Order::FinishRotation => {
                let (store, key_file) = (self.store.clone(), self.key_file.as_path());
                let begin = order == Order::RotateKeys;
                let rotation = if begin { Rotation::begin(store, key_file) } else { Rotation::resume(store, key_file) };
                match rotation.run().await {
                    Ok(None) => Ok(()),
                    Ok(Some(rotated)) => {
                        tracing::info!(key = rotated.key, rows = rotated.resealed, "the sealing key was replaced");
                        return Told::Rotated(rotated);
                    }
                    Err(error) => Err(error.to_string()),
                }
            }
            Order::Retry { seq } => self.store.requeue(seq).await.map_err(|error| error.to_string()),
            Order::Quarantine { seq } => {
                let aside = self.store.set_aside(seq, "set_aside_by_hand", self.clock.stamp()).await;
                aside.map_err(|error| error.to_string())
            }
            Order::ConfirmDate { date } => self.retention.confirm(date).await.map_err(|error| error.to_string()),
            Order::ForgetFormer => {
                let (former, anchors) = match &self.gateway {
                    Some(gateway) => (gateway.former.clone(), gateway.anchors.clone()),
                    None => {
                        let card = Card { trust_anchors: Vec::new() };
                        let anchors = CardAnchors::read_with_former(&card, &self.clock, &self.store).await;
                        (Former::load(&self.store).await, anchors)
                    }
                };
                let forgotten = async {
                    former.forget().await?;
                    anchors.forget().await
                };
                forgotten.await.map_err(|error: StoreError| error.to_string())
            }
            Order::ShowRunning => match &self.gateway {
                Some(gateway) => return Told::Running(Box::new((gateway.running)())),
                None => Err("no gateway runs with this database".to_owned()),
            },
            Order::ShowClock => match self.retention.look().await {
                Ok(status) => return Told::Clock(status),
                Err(error) => Err(error.to_string()),
            },
        };
        match done {
            Ok(()) => Told::Done,
            Err(error) => {
                tracing::warn!(?order, error, "an order was not carried out");
                Told::Refused { error }
            }
        }
    }

    /// Takes orders until the process ends. The store's lock says that no other gateway runs: a socket that is there is left over.
    ///
    /// # Errors
    /// The operating system's: without the socket the gateway runs as well, but takes no orders.
    pub fn listen(self, database: &Path) -> io::Result<()> {
        let path = control_socket(database);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(self.clone().serve(stream))),
                    Err(error) => {
                        tracing::warn!(%error, "an order could not be heard");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        Ok(())
    }

    async fn serve(self, stream: UnixStream) {
        let (reading, mut writing) = stream.into_split();
        let mut line = String::new();
        let mut reading = tokio::io::BufReader::new(reading.take(ORDER_BYTES_MAX));
        let heard = tokio::time::timeout(ORDER_DEADLINE, reading.read_line(&mut line)).await;
        let told = match (heard, serde_json::from_str(&line)) {
            (Ok(Ok(_)), Ok(order)) => self.perform(order).await,
            _ => Told::Refused { error: "this is no order that the gateway knows; is it of another version?".into() },
        };
        let mut text = serde_json::to_string(&told).unwrap_or_default();
        text.push('\n');
        // Whoever asked may be gone; the order stands.
        let _ = writing.write_all(text.as_bytes()).await;
    }
}

/// Gives an order to the gateway that runs with this database, and waits for what comes of it. Blocks.
///
/// # Errors
/// The gateway cannot be reached, or went while it was at it.
pub fn ask(database: &Path, order: Order) -> io::Result<Told> {
    let mut stream = std::os::unix::net::UnixStream::connect(control_socket(database))?;
    let mut text = serde_json::to_string(&order)?;
    text.push('\n');
    stream.write_all(text.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
