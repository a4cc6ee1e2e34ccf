//! A second copy of the database, for the case that another program spoils the first one.
//!
//! A program that has deleted the write-ahead log may go on to write, and moves what it wrote into the database: pages of two histories
//! in one file. What was acknowledged is then in no file that has a name. It is still whole in two others: the log, which this process
//! has open, holds what came since it was begun; this copy holds what had been moved into the database before.
//!
//! Promises:
//! * While the mirror is whole, it and the log together give every commit, whatever is done to the database. What is in the log is
//!   written to the mirror before the log is begun anew, taken from the log itself. What another program adds to the log without this
//!   process's index is not taken.
//! * It is for the life of this process: never synced, never read by a start, compared with the database and brought up to it in the
//!   background after a start, and after another program has begun the log anew.
//! * It is a convenience for the disk: made only where as much room again is left, and the first thing to go when the disk is full.
//!
//! Formats: <https://www.sqlite.org/walformat.html> (index) and <https://www.sqlite.org/fileformat2.html#walformat> (log).

use super::files::{Files, copy_to, create_private, open_private};
use crate::store::ballast::free_bytes;
use crate::store::{beside, blocking, is_at};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::mem;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};

const LOG_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Where the salt lies in the header of the log, and in that of each frame.
const SALT_IN_LOG: u64 = 16;
const SALT_IN_FRAME: usize = 8;
/// Database and mirror are compared in pieces of this size.
const PIECE_BYTES: usize = 256 * 1024;
/// Between two pieces: the disk is there for patients first.
const PIECE_PAUSE: Duration = Duration::from_millis(2);

/// How far the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LogState {
    /// Which log: the first half is one more each time it is begun anew, the second is drawn.
    salt: [u8; 8],
    page_bytes: usize,
    /// Frames of commits.
    frames: u32,
    /// How many of them are in the database.
    moved: u32,
    /// Counts commits, whoever makes them.
    commits: u32,
}

impl LogState {
    /// From the first bytes of the log's index; `None` while nobody has used the log, or somebody is just writing it.
    fn read(files: &Files) -> Option<Self> {
        let mut index = [0; 100];
        files.index().read_exact_at(&mut index, 0).ok()?;
        // Written twice, so that a reader can tell.
        if index[..48] != index[48..96] || index[12] == 0 {
            return None;
        }
        let number = |at: usize| u32::from_ne_bytes([index[at], index[at + 1], index[at + 2], index[at + 3]]);
        let page_bytes = match u16::from_ne_bytes([index[14], index[15]]) {
            1 => 65_536,
            bytes => usize::from(bytes),
        };
        let mut salt = [0; 8];
        salt.copy_from_slice(&index[32..40]);
        Some(Self { salt, page_bytes, frames: number(16), moved: number(96), commits: number(8) })
    }

    /// Whether the log was begun anew once, with nothing written to the former one since: it was emptied, or its next commit began it.
    fn follows(&self, was: &Self) -> bool {
        let begun = |salt: [u8; 8]| u32::from_be_bytes([salt[0], salt[1], salt[2], salt[3]]);
        let commits = self.commits.wrapping_sub(was.commits);
        begun(self.salt) == begun(was.salt).wrapping_add(1) && commits == u32::from(self.frames > 0)
    }
}

enum Stage {
    /// There is none: no room, or it could not be kept up.
    Absent,
    /// It is compared with the database.
    Compared {
        task: JoinHandle<io::Result<()>>,
        stop: Arc<AtomicBool>,
        /// Pages that may have been written to the database meanwhile.
        behind: BTreeSet<u32>,
    },
    Whole,
}

/// The mirror of one database.
pub(super) struct Mirror {
    path: PathBuf,
    files: Arc<Files>,
    file: Option<Arc<File>>,
    stage: Stage,
    log: Option<LogState>,
    /// So many frames of the log are in the mirror, or noted as behind.
    covered: u32,
}

/// Where the mirror of a database lies.
pub(super) fn mirror_of(database: &Path) -> PathBuf {
    beside(database, "mirror")
}

impl Mirror {
    /// One that is not there yet.
    pub(super) fn of(database: &Path, files: Arc<Files>) -> Self {
        Self { path: mirror_of(database), files, file: None, stage: Stage::Absent, log: None, covered: 0 }
    }

    /// Makes it if it is not there and there is room, and takes it for whole when it is. Nobody waits for either.
    pub(super) async fn tend(&mut self) {
        match &self.stage {
            Stage::Absent => self.begin(),
            Stage::Compared { .. } | Stage::Whole => self.finish_if_compared().await,
        }
    }

    /// Takes it for whole once it has been compared.
    pub(super) async fn finish_if_compared(&mut self) {
        if let Stage::Compared { task, .. } = &self.stage
            && task.is_finished()
        {
            self.finish().await;
        }
    }

    /// Waits until it is whole, or cannot be.
    #[cfg(test)]
    pub(super) async fn settle(&mut self) {
        self.tend().await;
        if let Stage::Compared { .. } = self.stage {
            self.finish().await;
        }
    }

    fn begin(&mut self) {
        // Without a log in use nothing is to be followed yet.
        let Some(log) = LogState::read(&self.files) else { return };
        let length = |of: &File| of.metadata().map_or(0, |found| found.len());
        let missing =
            length(self.files.database()).saturating_sub(fs::metadata(&self.path).map_or(0, |found| found.len()));
        let folder = self.path.parent().unwrap_or(Path::new("."));
        if free_bytes(folder).is_some_and(|free| free < missing.saturating_mul(2)) {
            // What an earlier life left is of no use without the rest.
            let _ = fs::remove_file(&self.path);
            return;
        }
        let Ok(file) = open_own(&self.path).map(Arc::new) else { return };
        let stop = Arc::new(AtomicBool::new(false));
        let task = spawn_blocking({
            let (files, file, stop) = (Arc::clone(&self.files), Arc::clone(&file), Arc::clone(&stop));
            move || compare(files.database(), &file, &stop)
        });
        (self.log, self.covered) = (Some(log), 0);
        self.file = Some(file);
        self.stage = Stage::Compared { task, stop, behind: BTreeSet::new() };
    }

    async fn finish(&mut self) {
        let Stage::Compared { task, behind, .. } = mem::replace(&mut self.stage, Stage::Absent) else { return };
        let (Ok(Ok(())), Some(file), Some(log)) = (task.await, self.file.clone(), self.log) else {
            return self.give_up().await;
        };
        let files = Arc::clone(&self.files);
        let done = spawn_blocking(move || {
            let mut page = vec![0; log.page_bytes];
            for number in behind {
                let at = u64::from(number - 1) * log.page_bytes as u64;
                // Gone from the end of the database since.
                if files.database().read_exact_at(&mut page, at).is_ok() {
                    file.write_all_at(&page, at)?;
                }
            }
            file.set_len(files.database().metadata()?.len())?;
            // What was read after that may be another program's.
            if files.misplaced().is_some() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(()) }
        });
        match done.await {
            // What is noted was read from the database, where the frames of this log may not be yet.
            Ok(Ok(())) => (self.stage, self.covered) = (Stage::Whole, 0),
            _ => self.give_up().await,
        }
    }

    /// How large it is; 0 while it is not whole.
    pub(super) fn bytes(&self) -> u64 {
        let (Stage::Whole, Some(file)) = (&self.stage, &self.file) else { return 0 };
        file.metadata().map_or(0, |found| found.len())
    }

    /// Before a transaction writes, which has the write lock: it may begin the log anew once all of it has been moved.
    pub(super) async fn before_write(&mut self) {
        self.see().await;
        if self.log.is_some_and(|log| log.frames == log.moved) {
            self.follow().await;
        }
    }

    /// Before the log is emptied, or written without [`Mirror::before_write`].
    pub(super) async fn before_emptied(&mut self) {
        self.see().await;
        self.follow().await;
    }

    /// After whatever may have begun the log anew.
    pub(super) async fn see(&mut self) {
        let (false, Some(was)) = (matches!(self.stage, Stage::Absent), self.log) else { return };
        match LogState::read(&self.files) {
            Some(now) if now.salt == was.salt => self.log = Some(now),
            Some(now) if now.follows(&was) && self.covered >= was.frames => {
                (self.log, self.covered) = (Some(now), 0);
            }
            // Another program has written to it, and begun it anew.
            _ => self.lose().await,
        }
    }

    /// Takes over all that the log holds.
    async fn follow(&mut self) {
        let (Some(log), Some(file)) = (self.log, self.file.clone()) else { return };
        if matches!(self.stage, Stage::Absent) || self.covered >= log.frames {
            return;
        }
        let (files, from) = (Arc::clone(&self.files), self.covered);
        let is_whole = matches!(self.stage, Stage::Whole);
        let taken = spawn_blocking(move || {
            let (newest, pages) = newest_frames(files.log(), &log, from)?;
            if is_whole {
                let mut page = vec![0; log.page_bytes];
                for (number, frame) in &newest {
                    files.log().read_exact_at(&mut page, frame_at(&log, *frame) + FRAME_HEADER_BYTES as u64)?;
                    file.write_all_at(&page, u64::from(number - 1) * log.page_bytes as u64)?;
                }
                file.set_len(u64::from(pages) * log.page_bytes as u64)?;
            }
            io::Result::Ok(newest)
        });
        match (taken.await, &mut self.stage) {
            (Ok(Ok(newest)), stage) => {
                if let Stage::Compared { behind, .. } = stage {
                    behind.extend(newest.keys());
                }
                self.covered = log.frames;
            }
            // No room, most of all.
            _ => self.give_up().await,
        }
    }

    /// It cannot be kept up with what is in the database; it is compared anew at the next occasion.
    async fn lose(&mut self) {
        if let Stage::Compared { task, stop, .. } = mem::replace(&mut self.stage, Stage::Absent) {
            stop.store(true, Ordering::Relaxed);
            // It reads the database: nobody closes that while it does.
            let _ = task.await;
        }
    }

    /// Gives its room back.
    pub(super) async fn give_up(&mut self) {
        self.lose().await;
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Ends what it does in the background, and follows nothing any more: the files of the store may be closed.
    pub(super) async fn end(&mut self) {
        self.lose().await;
    }

    /// Whether another program has begun the log anew, as far as is known.
    pub(super) fn is_log_of_another(&self) -> bool {
        let (Some(log), mut salt) = (self.log, [0; 8]) else { return false };
        match self.files.log().read_exact_at(&mut salt, SALT_IN_LOG) {
            Ok(()) => log.salt != salt,
            // Emptied.
            Err(_) => log.frames > 0,
        }
    }

    /// Takes over what is missing of the commits that this process knows of, however the log goes on; whether all of them are in the
    /// mirror then.
    pub(super) async fn complete(&mut self) -> bool {
        if matches!(self.stage, Stage::Whole) && !self.is_log_of_another() {
            self.follow().await;
        } else {
            return false;
        }
        matches!(self.stage, Stage::Whole)
    }

    /// Whether the database is what the mirror is.
    pub(super) async fn is_the_database(&self) -> bool {
        let (Stage::Whole, Some(file)) = (&self.stage, self.file.clone()) else { return false };
        let files = Arc::clone(&self.files);
        let same = spawn_blocking(move || {
            let (mut one, mut other, mut at) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES], 0);
            loop {
                let bytes = read_up_to(files.database(), &mut one, at)?;
                if bytes != read_up_to(&file, &mut other, at)? || one[..bytes] != other[..bytes] {
                    return io::Result::Ok(false);
                }
                if bytes == 0 {
                    return Ok(true);
                }
                at += bytes as u64;
            }
        });
        matches!(same.await, Ok(Ok(true)))
    }

    /// Puts the complete mirror at `to`: the file itself, without room for a second one, or a copy if its name leads elsewhere by now.
    pub(super) async fn hand_over(&self, to: &Path) -> io::Result<()> {
        let Some(file) = self.file.clone() else { return Err(io::ErrorKind::NotFound.into()) };
        if is_at(&file, &self.path) {
            return fs::rename(&self.path, to);
        }
        let to = to.to_owned();
        blocking(move || copy_to(&file, &to)).await
    }

    /// Gives what was handed over its own name again: it could not be made use of.
    pub(super) fn take_back(&self, from: &Path) {
        if self.file.as_ref().is_some_and(|file| is_at(file, from)) {
            let _ = fs::rename(from, &self.path);
        }
    }
}

/// Opens what an earlier life left, or makes it. What is not a file for this user alone, or has a second name, is none of ours.
fn open_own(path: &Path) -> io::Result<File> {
    let ours = |found: &Metadata| found.is_file() && found.nlink() == 1 && found.mode() & 0o777 == 0o600;
    match fs::symlink_metadata(path) {
        Ok(found) if ours(&found) => open_private(path),
        Ok(_) => {
            fs::remove_file(path)?;
            create_private(path)
        }
        Err(_) => create_private(path),
    }
}

/// Brings the mirror up to the database, writing only what differs.
fn compare(database: &File, mirror: &File, stop: &AtomicBool) -> io::Result<()> {
    let (mut wanted, mut found) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        let wanted_bytes = read_up_to(database, &mut wanted, at)?;
        if wanted_bytes == 0 {
            return mirror.set_len(at);
        }
        let found_bytes = read_up_to(mirror, &mut found, at)?;
        if wanted[..wanted_bytes] != found[..found_bytes] {
            mirror.write_all_at(&wanted[..wanted_bytes], at)?;
        }
        at += wanted_bytes as u64;
        std::thread::sleep(PIECE_PAUSE);
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// Fills the buffer, or as much of it as there is.
fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => break,
            bytes => filled += bytes,
        }
    }
    Ok(filled)
}

fn frame_at(log: &LogState, frame: u32) -> u64 {
    LOG_HEADER_BYTES + u64::from(frame) * (FRAME_HEADER_BYTES + log.page_bytes) as u64
}

/// The newest frame of each page from the frame `from` on, and how many pages the database has after the last one.
fn newest_frames(log: &File, state: &LogState, from: u32) -> io::Result<(BTreeMap<u32, u32>, u32)> {
    let (mut newest, mut pages) = (BTreeMap::new(), 0);
    let mut header = [0; FRAME_HEADER_BYTES];
    for frame in from..state.frames {
        log.read_exact_at(&mut header, frame_at(state, frame))?;
        let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if header[SALT_IN_FRAME..SALT_IN_FRAME + 8] != state.salt || number(0) == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        newest.insert(number(0), frame);
        // Only the last frame of a commit says it.
        if number(4) > 0 {
            pages = number(4);
        }
    }
    newest.retain(|number, _| *number <= pages);
    Ok((newest, pages))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::files::{index_of, log_of};
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};
    use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

    async fn connect(database: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(database).create_if_missing(true);
        let options = options.auto_vacuum(SqliteAutoVacuum::Incremental).journal_mode(SqliteJournalMode::Wal);
        // Small, so that the log is begun anew again and again.
        options
            .pragma("wal_autocheckpoint", "8")
            .pragma("synchronous", "OFF")
            .disable_statement_logging()
            .connect()
            .await
            .unwrap()
    }

    async fn run(conn: &mut SqliteConnection, statement: &str) {
        sqlx::query(AssertSqlSafe(statement)).execute(conn).await.unwrap();
    }

    async fn content(conn: &mut SqliteConnection) -> String {
        let whole = "SELECT group_concat(id || ':' || length(what) || ':' || hex(substr(what, 1, 8)) || hex(substr(what, -8))) \
                     FROM (SELECT * FROM things ORDER BY id)";
        let rows: Option<String> = sqlx::query_scalar(whole).fetch_one(&mut *conn).await.unwrap();
        let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(conn).await.unwrap();
        assert_eq!(sound, "ok");
        rows.unwrap_or_default()
    }

    fn change(rng: &mut StdRng) -> String {
        let bytes = rng.random_range(1..9000);
        match rng.random_range(0..4) {
            0 => format!("DELETE FROM things WHERE id % 3 = {}", rng.random_range(0..3)),
            1 => format!("UPDATE things SET what = randomblob({bytes}) WHERE id % 7 = {}", rng.random_range(0..7)),
            _ => format!("INSERT INTO things (what) VALUES (randomblob({bytes}))"),
        }
    }

    /// What the writer does, and what a neighbour may do who leaves the files alone.
    #[tokio::test]
    async fn mirror_and_log_are_what_was_committed_whoever_wrote_and_moved_it() {
        let mut whole = 0;
        for seed in 0..8 {
            let mut rng = StdRng::seed_from_u64(seed);
            let folder = tempfile::tempdir().unwrap();
            let database = folder.path().join("store.db");
            let files = Arc::new(Files::open(&database).unwrap());
            let (mut writer, mut neighbour) = (connect(&database).await, connect(&database).await);
            run(&mut writer, "CREATE TABLE things (id INTEGER PRIMARY KEY, what BLOB)").await;
            let mut mirror = Mirror::of(&database, Arc::clone(&files));
            for step in 0..120 {
                match rng.random_range(0..20) {
                    0 => {
                        mirror.before_emptied().await;
                        run(&mut writer, "PRAGMA wal_checkpoint(TRUNCATE)").await;
                        mirror.see().await;
                    }
                    1 => {
                        mirror.before_emptied().await;
                        run(&mut writer, "PRAGMA incremental_vacuum(3)").await;
                        mirror.see().await;
                    }
                    2 => run(&mut neighbour, &change(&mut rng)).await,
                    3 => run(&mut neighbour, "PRAGMA wal_checkpoint(PASSIVE)").await,
                    4 => run(&mut neighbour, "PRAGMA wal_checkpoint(TRUNCATE)").await,
                    5 => mirror.tend().await,
                    6 => mirror.settle().await,
                    7 if step % 40 == 0 => mirror.give_up().await,
                    _ => {
                        run(&mut writer, "BEGIN IMMEDIATE").await;
                        mirror.before_write().await;
                        run(&mut writer, &change(&mut rng)).await;
                        run(&mut writer, "COMMIT").await;
                        mirror.see().await;
                    }
                }
                let copy = folder.path().join("copy.db");
                mirror.see().await;
                if rng.random_ratio(1, 4) && mirror.complete().await {
                    whole += 1;
                    copy_to(mirror.file.as_ref().unwrap(), &copy).unwrap();
                    let mut copied = connect(&copy).await;
                    assert_eq!(content(&mut copied).await, content(&mut writer).await, "seed {seed}, step {step}");
                    copied.close().await.unwrap();
                    for path in [log_of(&copy), index_of(&copy)] {
                        assert!(!path.exists());
                    }
                }
            }
            mirror.end().await;
            neighbour.close().await.unwrap();
            writer.close().await.unwrap();
        }
        assert!(whole > 80, "it was whole after {whole} of 960 steps only");
    }
}
