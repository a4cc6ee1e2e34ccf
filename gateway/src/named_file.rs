//! A file that the configuration names, and the configuration itself: read without waiting for anybody, or refused in words.
//!
//! Promises:
//! * A name behind which nobody writes (a pipe, a socket, a device) is refused at once: a start, a look and an end never wait for it.
//! * No more is read than such a file ever holds.

use crate::central::Said;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// A configuration, a certificate or a key is never larger.
pub const BYTES_MAX: u64 = 1 << 20;
/// A revocation list of a large authority has some hundred thousand entries.
pub const LIST_BYTES_MAX: u64 = 64 << 20;

/// Why a file was not read.
#[derive(Debug)]
pub enum Unread {
    /// The system's word.
    Io(io::Error),
    /// It is none, or none of this kind.
    Unfit(Said),
}

impl Unread {
    /// In both languages; the system's own word stays as it is where there is no other.
    pub fn said(&self) -> Said {
        match self {
            Self::Io(source) => of_system(source),
            Self::Unfit(said) => said.clone(),
        }
    }
}

impl From<io::Error> for Unread {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

impl From<Unread> for io::Error {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Io(source) => source,
            Unread::Unfit(said) => Self::new(io::ErrorKind::InvalidInput, said.en),
        }
    }
}

/// An error of the system for people who read Japanese.
pub fn of_system(source: &io::Error) -> Said {
    let ja = match source.kind() {
        io::ErrorKind::NotFound => "ファイルがありません".to_owned(),
        io::ErrorKind::PermissionDenied => "読む権限がありません".to_owned(),
        _ => format!("システムのエラーです: {source}"),
    };
    Said::new(ja, source.to_string())
}

/// Opens it for reading. Neither the opening nor a read of what is opened waits.
///
/// # Errors
/// [`Unread::Unfit`] where something else than a file has the name.
pub fn open(path: &Path) -> Result<File, Unread> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        // A socket cannot be opened at all, and the system's word for that helps nobody.
        Err(error) => {
            return Err(std::fs::metadata(path)
                .ok()
                .and_then(|found| no_file(found.file_type()))
                .map_or(Unread::Io(error), Unread::Unfit));
        }
    };
    match no_file(file.metadata()?.file_type()) {
        Some(said) => Err(Unread::Unfit(said)),
        None => Ok(file),
    }
}

fn no_file(kind: std::fs::FileType) -> Option<Said> {
    let (ja, en) = if kind.is_file() {
        return None;
    } else if kind.is_dir() {
        ("フォルダー", "a directory")
    } else if kind.is_fifo() {
        ("パイプ", "a pipe")
    } else if kind.is_socket() {
        ("ソケット", "a socket")
    } else {
        ("デバイス", "a device")
    };
    Some(Said::new(format!("通常のファイルではなく{ja}です"), format!("it is {en}, not a regular file")))
}

/// Reads it whole.
///
/// # Errors
/// Beside those of [`open`]: it holds more than `bytes_max`.
pub fn read(path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let file = open(path)?;
    let there = file.metadata()?.len();
    // Reserved at once: growing would leave copies of a key in freed memory.
    let reserved = usize::try_from(there.min(bytes_max)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(reserved));
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let kib = bytes_max / 1024;
        return Err(Unread::Unfit(Said::new(
            format!("大きすぎます({kib} KiBまで)"),
            format!("it is larger than {kib} KiB, so it is no such file"),
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    fn refused(path: &Path) -> String {
        match read(path, 16) {
            Err(unread) => unread.said().en,
            Ok(bytes) => panic!("{} bytes", bytes.len()),
        }
    }

    #[test]
    fn whatever_is_no_file_is_refused_at_once_and_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(refused(&path("pipe")), "it is a pipe, not a regular file");
        std::os::unix::fs::symlink(path("pipe"), path("link")).unwrap();
        assert_eq!(refused(&path("link")), "it is a pipe, not a regular file");
        let _listens = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        assert_eq!(refused(&path("socket")), "it is a socket, not a regular file");
        assert_eq!(refused(folder.path()), "it is a directory, not a regular file");
        assert_eq!(refused(Path::new("/dev/zero")), "it is a device, not a regular file");
        assert!(refused(&path("none")).starts_with("No such file"));
    }

    #[test]
    fn a_file_is_read_whole_or_refused_for_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 16]).unwrap();
        assert_eq!(read(&path, 16).unwrap().as_slice(), [7; 16]);
        std::fs::write(&path, [7; 17]).unwrap();
        assert!(refused(&path).starts_with("it is larger than"), "{}", refused(&path));
    }
}
