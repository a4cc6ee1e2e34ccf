//! Replacing the key that personal values are sealed with, while the store is in use.
//!
//! The key file gets the new key beside the former one; the database names it; from then on everything new is sealed with it; all
//! older values are sealed anew, a few at a time through the writer; when a walk through everything finds none left, the write-ahead
//! log is emptied and the former key destroyed.
//!
//! Promises:
//! * Killed at any point, the next start or the next call goes on where it stopped: everything it knows lies in the key file and
//!   in the database.
//! * No value is sealed with a key that is not on disk in the key file and named by the database; none is left without its key.
//! * A value that was altered and opens with no key stays as it is; it holds nothing up and is counted.

use super::key_file::KeyError;
use super::keys::{Keys, Ring, SealingKey, id_word};
use super::tables::Walk;
use super::{Store, StoreError};
use crate::store::command::Command;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rows that are looked at, and sealed anew, in one step: few enough that a reception's commit waits for no more than a few
/// milliseconds.
const STEP_ROWS: usize = 64;
/// Tries to empty the write-ahead log while readers are in the way.
const CHECKPOINT_TRIES: u32 = 100;
/// Between those.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(50);

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// A new key lies in the key file, beside the former one.
    KeyWritten,
    /// From now on everything is sealed with the new key.
    Switched,
    /// Rows were looked at; so many of them were sealed anew.
    Resealed {
        /// Of those that were looked at.
        rows: u64,
    },
    /// No value of the former key is left, and the database says so.
    NoneLeft,
    /// The former key is destroyed.
    Destroyed,
}

/// What a rotation has come to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rotated {
    /// The id of the key that seals now.
    pub key: String,
    /// Rows that were sealed anew.
    pub resealed: u64,
    /// Rows with a value that no key opens: altered ones. They stay as they were found.
    pub unreadable: u64,
    /// It was begun before, by a call or a process that did not come to its end.
    pub resumed: bool,
}

/// Why a rotation did not come to its end. What it has done holds; call again, or start the gateway.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The key file.
    #[error("{0}; the key was not replaced everywhere, call again")]
    Keys(#[from] KeyError),
    /// The store.
    #[error("{0}; the key was not replaced everywhere, call again")]
    Store(#[from] StoreError),
    /// The file's keys are not those that the store was opened with.
    #[error("the key file {} was exchanged since the gateway started; put back the one that it started with", path.display())]
    Exchanged {
        /// The key file.
        path: PathBuf,
    },
    /// Only files are sealed.
    #[error("this store lies in memory and seals nothing")]
    InMemory,
}

/// A rotation on its way. One at a time: whoever holds it may take steps.
pub struct Rotation {
    store: Store,
    key_file: PathBuf,
    /// Whether a new key is to be made when no rotation is under way.
    begin: bool,
    walk: Walk,
    resealed_in_walk: u64,
    none_left: bool,
    result: Rotated,
}

impl Rotation {
    /// Goes on with the rotation that is under way, or begins one.
    pub fn begin(store: Store, key_file: &Path) -> Self {
        Self { begin: true, ..Self::resume(store, key_file) }
    }

    /// Goes on with the rotation that is under way, if one is.
    pub fn resume(store: Store, key_file: &Path) -> Self {
        let result = Rotated { key: String::new(), resealed: 0, unreadable: 0, resumed: false };
        let key_file = key_file.to_owned();
        Self { store, key_file, begin: false, walk: Walk::default(), resealed_in_walk: 0, none_left: false, result }
    }

    /// Takes all steps that are left. `None` when there was nothing to do.
    ///
    /// # Errors
    /// [`RotationError`]; everything stays readable, and another call goes on.
    pub async fn run(mut self) -> Result<Option<Rotated>, RotationError> {
        let mut steps = 0;
        while self.step().await?.is_some() {
            steps += 1;
        }
        Ok((steps > 0).then_some(self.result))
    }

    /// The next step; `None` when nothing is left to do.
    ///
    /// # Errors
    /// As for [`Rotation::run`].
    pub async fn step(&mut self) -> Result<Option<RotationStep>, RotationError> {
        let held = self.store.as_sqlite().ok_or(RotationError::InMemory)?.keys().clone();
        let file = blocking({
            let path = self.key_file.clone();
            move || Keys::load(&path)
        })
        .await?;
        let (in_file, in_use) = (file.ring(), held.ring());
        let known = |key: &SealingKey| *key == in_use.current || in_use.former.as_ref() == Some(key);
        let continues = known(&in_file.current) || in_file.former.as_ref().is_some_and(known);
        if !held.same_store(&file) || !continues {
            return Err(RotationError::Exchanged { path: self.key_file.clone() });
        }
        self.result.key = id_word(&in_file.current.id);
        match in_file.former {
            None if !std::mem::take(&mut self.begin) => Ok(None),
            None => {
                let ring =
                    Ring { current: SealingKey::random(&[&in_use.current.id]), former: Some(in_use.current.clone()) };
                self.replace(&held, ring).await?;
                Ok(Some(RotationStep::KeyWritten))
            }
            Some(_) if in_file.current != in_use.current => {
                self.result.resumed |= std::mem::take(&mut self.begin);
                self.store.write(Command::SwitchKey(in_file.current)).await?;
                Ok(Some(RotationStep::Switched))
            }
            Some(_) if self.none_left => {
                let ring = Ring { current: in_file.current, former: None };
                self.replace(&held, ring.clone()).await?;
                held.set_ring(ring);
                Ok(Some(RotationStep::Destroyed))
            }
            Some(_) => {
                self.result.resumed |= std::mem::take(&mut self.begin);
                self.look().await.map(Some)
            }
        }
    }

    async fn look(&mut self) -> Result<RotationStep, RotationError> {
        let Some(table) = self.walk.table() else { return self.walked().await };
        let sqlite = self.store.as_sqlite().ok_or(RotationError::InMemory)?;
        let seen = sqlite.look(&mut self.walk, STEP_ROWS).await?;
        let rows: Vec<_> = seen.into_iter().filter(|seen| seen.former).map(|seen| seen.key).collect();
        if rows.is_empty() {
            return Ok(RotationStep::Resealed { rows: 0 });
        }
        let found = rows.len() as u64;
        let rows = self.store.rows(Command::Reseal { table, rows }).await?;
        self.result.unreadable += found.saturating_sub(rows);
        self.result.resealed += rows;
        self.resealed_in_walk += rows;
        Ok(RotationStep::Resealed { rows })
    }

    /// The end of a walk. One that changed something is followed by another: only a walk that finds nothing proves that none is left.
    async fn walked(&mut self) -> Result<RotationStep, RotationError> {
        let rows = std::mem::take(&mut self.resealed_in_walk);
        if rows > 0 {
            self.walk = Walk::default();
            self.result.unreadable = 0;
            return Ok(RotationStep::Resealed { rows: 0 });
        }
        self.store.write(Command::ForgetFormerKey).await?;
        let mut tries = 0;
        loop {
            match self.store.checkpoint().await {
                Err(StoreError::Busy) if tries < CHECKPOINT_TRIES => tries += 1,
                done => break done?,
            }
            tokio::time::sleep(CHECKPOINT_PAUSE).await;
        }
        self.none_left = true;
        Ok(RotationStep::NoneLeft)
    }

    async fn replace(&self, keys: &Keys, ring: Ring) -> Result<(), RotationError> {
        let (keys, path) = (keys.clone(), self.key_file.clone());
        Ok(blocking(move || keys.replace(&path, &ring)).await?)
    }
}

/// File operations, away from the reactor.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyError> + Send + 'static,
) -> Result<T, KeyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => Err(KeyError::Io {
            doing: "wait for the work on the store's key file",
            path: PathBuf::new(),
            source: std::io::Error::other(ended),
        }),
    }
}
