//! Which other program holds the lock that a write needs, as the kernel tells.

use std::fmt;
use std::fs;

/// SQLite's lock of the one writer lies on this byte of the log's index (WAL_WRITE_LOCK, <https://www.sqlite.org/walformat.html> 2.2).
const WRITE_LOCK: u64 = 120;

/// Another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// 0 where the kernel does not tell: the program runs in another container.
    pid: u32,
    /// As the kernel shortens it; `None` when it cannot be read.
    program: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.program) {
            (0, _) => f.write_str("a program in another container"),
            (pid, Some(program)) => write!(f, "the program {program} (process {pid})"),
            (pid, None) => write!(f, "process {pid}"),
        }
    }
}

/// Who else holds the writer's lock on the log's index with this inode; `None` when no other program does, or nobody can tell.
pub(super) fn of_the_write_lock(index_inode: u64) -> Option<Holder> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = writer(&locks, index_inode, std::process::id())?;
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    // A name is for people to read: no control characters from another program.
    let program = program.map(|name| name.trim().chars().filter(|c| !c.is_control()).collect());
    Some(Holder { pid, program })
}

/// The process of a write lock on [`WRITE_LOCK`] that is not ours. A line of proc_locks(5) is
/// `1: POSIX  ADVISORY  WRITE 4711 08:01:1234 120 120`; one with `->` waits for the lock.
fn writer(locks: &str, inode: u64, own: u32) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "POSIX" | "OFDLCK", _, "WRITE", pid, file, from, to] = words[..] else { return None };
        // The device is left out: some file systems tell stat(2) another one than the kernel shows here.
        let on_the_index = file.rsplit(':').next()?.parse() == Ok(inode);
        let to = if to == "EOF" { u64::MAX } else { to.parse().ok()? };
        let covers = (from.parse::<u64>().ok()?..=to).contains(&WRITE_LOCK);
        let pid = pid.parse::<i64>().ok().map(|pid| u32::try_from(pid).unwrap_or(0))?;
        (on_the_index && covers && pid != own).then_some(pid)
    })
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
        assert_eq!(writer(LOCKS, 1, 1), None);
        assert_eq!(writer("nonsense\n1: POSIX\n", 1, 1), None);
    }

    #[test]
    fn a_holder_is_told_by_program_and_process() {
        let told = |pid, program: Option<&str>| Holder { pid, program: program.map(str::to_owned) }.to_string();
        assert_eq!(told(7, Some("sqlite3")), "the program sqlite3 (process 7)");
        assert_eq!(told(7, None), "process 7");
        assert_eq!(told(0, None), "a program in another container");
    }
}
