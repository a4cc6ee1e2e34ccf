//! Which other program holds the lock that a write needs, as the kernel tells.

use super::files::index_of;
use std::fmt;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// SQLite's lock of the one writer lies on this byte of the log's index (WAL_WRITE_LOCK, <https://www.sqlite.org/walformat.html> 2.2).
const WRITE_LOCK: u64 = 120;

/// Another program that holds a lock of the database, as far as it is known. `Display` is the English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockHolder {
    /// A process on this machine.
    Process {
        /// Its number.
        pid: u32,
        /// As the kernel shortens it; `None` when it cannot be read.
        program: Option<String>,
    },
    /// The kernel tells no number of a process in another container.
    InAnotherContainer,
    /// Nobody can tell.
    Unknown,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, program: Some(program) } => write!(f, "the program {program} (process {pid})"),
            Self::Process { pid, program: None } => write!(f, "process {pid}"),
            Self::InAnotherContainer => f.write_str("a program in another container"),
            Self::Unknown => f.write_str("a program that cannot be found out"),
        }
    }
}

/// A program that keeps the whole database for itself locks these bytes of the database (PENDING_BYTE to the end of the shared range,
/// SQLite's os.h); it needs no index.
const WHOLE_DATABASE: RangeInclusive<u64> = 0x4000_0000..=0x4000_0002 + 509;

/// SQLite keeps a lock of its own on this byte for as long as it has the index open (the dead man's switch, same place).
const OPEN_LOCK: u64 = 128;

/// Who else holds the writer's lock on the log's index with this inode; `None` when no other program does, or nobody can tell.
pub(super) fn of_the_write_lock(index_inode: u64) -> Option<LockHolder> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    writer(&locks, index_inode, std::process::id()).map(named)
}

/// Who keeps a database from being opened: by the writer's lock, or by one on the whole database.
pub(super) fn of(database: &Path) -> LockHolder {
    let inode = |path: &Path| fs::metadata(path).map_or(0, |found| found.ino());
    let whole = || {
        let locks = fs::read_to_string("/proc/locks").ok()?;
        keeper(&locks, inode(database), std::process::id()).map(named)
    };
    of_the_write_lock(inode(&index_of(database))).or_else(whole).unwrap_or(LockHolder::Unknown)
}

fn named(pid: u32) -> LockHolder {
    if pid == 0 {
        return LockHolder::InAnotherContainer;
    }
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    // A name is for people to read: no control characters from another program.
    let program = program.map(|name| name.trim().chars().filter(|c| !c.is_control()).collect());
    LockHolder::Process { pid, program }
}

/// A lock as proc_locks(5) tells it: `1: POSIX  ADVISORY  WRITE 4711 08:01:1234 120 120`. A line with `->` waits for one.
struct Lock<'a> {
    kind: &'a str,
    /// 0 in another container.
    pid: u32,
    /// Device and inode.
    file: &'a str,
    from: u64,
    to: u64,
}

impl<'a> Lock<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "POSIX" | "OFDLCK", _, kind, pid, file, from, to] = words[..] else { return None };
        let pid = pid.parse::<i64>().ok().map(|pid| u32::try_from(pid).unwrap_or(0))?;
        let to = if to == "EOF" { u64::MAX } else { to.parse().ok()? };
        Some(Self { kind, pid, file, from: from.parse().ok()?, to })
    }

    fn covers(&self, byte: u64) -> bool {
        (self.from..=self.to).contains(&byte)
    }

    fn has_inode(&self, inode: u64) -> bool {
        self.file.rsplit(':').next().is_some_and(|word| word.parse() == Ok(inode))
    }
}

/// The process of a write lock on [`WRITE_LOCK`] that is not ours. Another file system has files of the same inode: the device is the one
/// that our own lock on the index shows here, because some file systems tell stat(2) another one. Without such a lock, as before the index
/// is open, the inode has to do.
fn writer(locks: &str, inode: u64, own: u32) -> Option<u32> {
    let locks = || locks.lines().filter_map(Lock::read).filter(|lock| lock.has_inode(inode));
    let ours = locks().find(|lock| lock.pid == own && lock.covers(OPEN_LOCK));
    locks()
        .filter(|lock| lock.kind == "WRITE" && lock.pid != own && lock.covers(WRITE_LOCK))
        .find(|lock| ours.as_ref().is_none_or(|ours| ours.file == lock.file))
        .map(|lock| lock.pid)
}

/// The process of a write lock on the whole database, or a part of it, that is not ours.
fn keeper(locks: &str, inode: u64, own: u32) -> Option<u32> {
    let overlaps = |lock: &Lock<'_>| lock.from <= *WHOLE_DATABASE.end() && lock.to >= *WHOLE_DATABASE.start();
    let mut locks = locks.lines().filter_map(Lock::read).filter(|lock| lock.has_inode(inode));
    locks.find(|lock| lock.kind == "WRITE" && lock.pid != own && overlaps(lock)).map(|lock| lock.pid)
}

/// The ranges of read and write locks that this process holds on a file.
#[cfg(test)]
pub(super) fn own_locks(inode: u64) -> Vec<(String, u64, u64)> {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let mut found: Vec<(String, u64, u64)> = Vec::new();
    for line in locks.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "POSIX", _, kind, pid, file, from, to] = words[..] else { continue };
        if pid == std::process::id().to_string() && file.rsplit(':').next().unwrap().parse() == Ok(inode) {
            found.push((kind.to_owned(), from.parse().unwrap(), to.parse().unwrap_or(u64::MAX)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKS: &str = "\
7: POSIX  ADVISORY  READ 8 08:01:1234 120 120
8: POSIX  ADVISORY  WRITE 9 08:01:1234 121 121
9: OFDLCK ADVISORY  WRITE 10 00:30:777 120 120
1: POSIX  ADVISORY  READ 77 08:01:1234 128 128
2: POSIX  ADVISORY  WRITE 4711 08:01:1234 120 120
2: -> POSIX  ADVISORY  WRITE 99 08:01:1234 120 120
3: FLOCK  ADVISORY  WRITE 5 08:01:1234 0 EOF
4: POSIX  ADVISORY  WRITE 6 08:01:999 0 EOF
5: POSIX  ADVISORY  WRITE -1 00:2f:555 120 127
";

    #[test]
    fn the_writer_is_found_by_file_kind_and_byte() {
        assert_eq!(writer(LOCKS, 1234, 1), Some(4711));
        assert_eq!(writer(LOCKS, 1234, 4711), None, "our own lock names nobody, and one who waits holds nothing");
        assert_eq!(writer(LOCKS, 999, 1), Some(6), "to the end of the file");
        assert_eq!(writer(LOCKS, 555, 1), Some(0), "in another container");
        assert_eq!(writer(LOCKS, 777, 1), Some(10), "a lock of an open file");
        assert_eq!(writer(LOCKS, 1, 1), None);
        assert_eq!(writer("nonsense\n1: POSIX\n", 1, 1), None);
    }

    #[test]
    fn a_file_of_the_same_inode_on_another_file_system_names_nobody() {
        let other = "6: POSIX  ADVISORY  WRITE 88 00:2f:1234 0 EOF\n";
        assert_eq!(writer(&format!("{other}{LOCKS}"), 1234, 77), Some(4711));
        let alone: String =
            LOCKS.lines().filter(|line| !line.contains("4711")).map(|line| format!("{line}\n")).collect();
        assert_eq!(writer(&format!("{other}{alone}"), 1234, 77), None);
        // Which file system ours is on is told by the lock that an open store always has, not by any other of this process.
        let elsewhere = "0: POSIX  ADVISORY  READ 77 00:2f:1234 120 120\n";
        assert_eq!(writer(&format!("{elsewhere}{other}{LOCKS}"), 1234, 77), Some(4711));
    }

    #[test]
    fn whoever_keeps_the_whole_database_is_found_by_a_write_lock_on_it() {
        let locks = "\
1: POSIX  ADVISORY  READ 5 08:01:42 1073741826 1073742335
2: POSIX  ADVISORY  WRITE 6 08:01:42 128 128
3: POSIX  ADVISORY  WRITE 7 08:01:43 1073741824 1073742335
4: POSIX  ADVISORY  WRITE 8 08:01:42 1073741826 1073742335
";
        assert_eq!(keeper(locks, 42, 1), Some(8));
        assert_eq!(keeper(locks, 42, 8), None, "our own lock names nobody");
        assert_eq!(keeper(locks, 43, 1), Some(7));
    }

    #[test]
    fn a_holder_is_told_by_program_and_process() {
        let told =
            |pid, program: Option<&str>| LockHolder::Process { pid, program: program.map(str::to_owned) }.to_string();
        assert_eq!(told(7, Some("sqlite3")), "the program sqlite3 (process 7)");
        assert_eq!(told(7, None), "process 7");
        assert_eq!(LockHolder::InAnotherContainer.to_string(), "a program in another container");
        assert_eq!(LockHolder::Unknown.to_string(), "a program that cannot be found out");
    }
}
