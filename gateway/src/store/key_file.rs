//! The key file on disk: reading it, making it, and putting another in its place.
//!
//! ```text
//! # Uketsuke store keys. …
//! sealing_key_id = "9f3a01c2"
//! sealing_key = "<64 hex digits>"
//! former_key_id = "…"            while a rotation is under way: the key that is being replaced
//! former_key = "…"
//! lasting_key = "<64 hex digits>"
//! ```
//!
//! Promises:
//! * A file that others can read is refused, with the command that repairs it.
//! * A file is on disk, whole, before its keys are used; at every moment the old one or the new one is there.
//! * What a replaced file held is overwritten on its disk, as far as the disk lets it: a file that has a second name (a hard link) is
//!   left alone, and a journal or a flash disk may keep copies of its own.

use super::Class;
use super::keys::{Keys, Ring, SealingKey};
use crate::encoding;
use crate::named_file::{self, Unread};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// No key file is larger.
const FILE_BYTES_MAX: usize = 4096;

/// Why there are no keys. Whether somebody has to act on the file first, [`KeyError::class`] tells.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no such file.
    #[error(
        "cannot read the store's key file {}: there is no such file; restore it from its backup: without it the database cannot \
         be read (where there is no database yet, start the gateway once: it makes both)",
        path.display()
    )]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The key file, its draft or its folder: what the operation was about.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is open to others.
    #[error("the store's key file {p} has mode {mode:04o}, so other users may read it; run: chmod 0600 {p}", p = path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key file.
    #[error("the store's key file {} is not usable: {why}; restore it from its backup", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong, without any key material.
        why: String,
    },
}

impl KeyError {
    /// [`Class::Permanent`]: wrong until somebody acts on the file, so another start does not help. [`Class::Transient`]: the
    /// machine is in trouble (a full or failing disk, no more file handles), the file and the configuration may be right.
    pub fn class(&self) -> Class {
        use io::ErrorKind::{AlreadyExists, IsADirectory, NotADirectory, NotFound, PermissionDenied};
        match self {
            Self::Missing { .. } | Self::Exposed { .. } | Self::Malformed { .. } => Class::Permanent,
            Self::Io { source, .. } => match source.kind() {
                AlreadyExists | IsADirectory | NotADirectory | NotFound | PermissionDenied => Class::Permanent,
                _ => Class::Transient,
            },
        }
    }
}

impl Keys {
    /// Reads a key file written by [`Keys::create`].
    ///
    /// # Errors
    /// [`KeyError`], each with what to do.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let malformed = |why: String| KeyError::Malformed { path: path.to_owned(), why };
        let text = read(path)?;
        let key = |id: &str, secret: &str| {
            Ok::<_, String>(SealingKey { id: field(&text, id)?, secret: Zeroizing::new(field(&text, secret)?) })
        };
        let current = key("sealing_key_id", "sealing_key").map_err(malformed)?;
        let former = match holds(&text, "former_key_id") || holds(&text, "former_key") {
            true => Some(key("former_key_id", "former_key").map_err(malformed)?),
            false => None,
        };
        if former.as_ref().is_some_and(|former| former.id == current.id) {
            return Err(malformed("former_key_id is sealing_key_id".into()));
        }
        let lasting = Zeroizing::new(field(&text, "lasting_key").map_err(malformed)?);
        Ok(Self::from_secrets(Ring { current, former }, lasting))
    }

    /// Makes new keys and writes them to a new file of mode 0600; the file and its folder are on disk when this returns.
    /// An existing file is never replaced: losing these keys loses every sealed value. The draft's name is random, so one
    /// that a crash left behind is in nobody's way; its keys were never used.
    ///
    /// # Errors
    /// [`KeyError::Io`] names the file that stands in the way.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let keys = Self::random();
        let draft = draft(path, &text(&keys.ring(), keys.lasting()))?;
        // A hard link fails where a rename would replace: an existing key file survives every race.
        let linked = fs::hard_link(&draft, path).map_err(failed("create the store's key file", path));
        let removed = fs::remove_file(&draft).map_err(failed("remove the draft of the store's key file", &draft));
        linked.and(removed)?;
        sync_folder(path)?;
        Ok(keys)
    }

    /// Puts a file with these sealing keys in the place of the present one, and overwrites what that held. Blocks.
    pub(super) fn replace(&self, path: &Path, ring: &Ring) -> Result<(), KeyError> {
        // Looked at first: a file that is not ours, or exposed, is not replaced.
        Self::load(path)?;
        let mut options = OpenOptions::new();
        let replaced = options.write(true).open(path).map_err(failed("open the store's key file", path))?;
        let draft = draft(path, &text(ring, self.lasting()))?;
        if let Err(source) = fs::rename(&draft, path) {
            let _ = fs::remove_file(&draft);
            return Err(failed("replace the store's key file", path)(source));
        }
        sync_folder(path)?;
        overwrite(&replaced);
        Ok(())
    }

    /// Overwrites and removes the key file: nothing that its keys sealed can be read again. Blocks.
    pub(super) fn destroy(path: &Path) -> Result<(), KeyError> {
        let mut options = OpenOptions::new();
        let file = options.write(true).open(path).map_err(failed("open the store's key file", path))?;
        fs::remove_file(path).map_err(failed("remove the store's key file", path))?;
        overwrite(&file);
        sync_folder(path)
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError + use<> {
    let path = path.to_owned();
    move |source| KeyError::Io { doing, path, source }
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { path: path.to_owned() },
        io::ErrorKind::InvalidData => KeyError::Malformed { path: path.to_owned(), why: "it is not text".into() },
        _ => KeyError::Io { doing: "read the store's key file", path: path.to_owned(), source },
    };
    let mut file = named_file::open(path).map_err(|unread| match unread {
        Unread::Io(source) => io(source),
        Unread::Unfit(said) => KeyError::Malformed { path: path.to_owned(), why: said.en },
    })?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Asked of the open file, so that it cannot be exchanged between the check and the read.
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(KeyError::Malformed { path: path.to_owned(), why: "it is a directory".into() });
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
    }
    // Reserved at once: growing would leave copies of the keys in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    io::Read::read_to_string(&mut io::Read::take(&mut file, FILE_BYTES_MAX as u64), &mut text).map_err(io)?;
    if let Some(said) = encoding::zeros(text.as_bytes()) {
        return Err(KeyError::Malformed { path: path.to_owned(), why: said.en });
    }
    // An editor's mark of the encoding says nothing about the keys.
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

fn text(ring: &Ring, lasting: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    text.push_str("# Uketsuke store keys. Keep a copy apart from the database's backup, and a new one after every rotation: without\n");
    text.push_str("# this file nothing personal in the database can be read again. Never edit it; mode 0600.\n");
    let mut line = |name: &str, bytes: &[u8]| {
        let digits = Zeroizing::new(hex::encode(bytes));
        text.extend([name, " = \"", &digits, "\"\n"]);
    };
    line("sealing_key_id", &ring.current.id);
    line("sealing_key", ring.current.secret.as_slice());
    if let Some(former) = &ring.former {
        line("former_key_id", &former.id);
        line("former_key", former.secret.as_slice());
    }
    line("lasting_key", lasting);
    text
}

/// A file of mode 0600 beside `path`, on disk with this content. Nothing is left behind when it cannot be written.
fn draft(path: &Path, text: &str) -> Result<PathBuf, KeyError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{:08x}.new", rand::random::<u32>()));
    let draft = PathBuf::from(draft);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft).map_err(failed("create the draft of the store's key file", &draft))?;
    match file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(draft),
        Err(source) => {
            let _ = fs::remove_file(&draft);
            Err(failed("write the draft of the store's key file", &draft)(source))
        }
    }
}

fn sync_folder(path: &Path) -> Result<(), KeyError> {
    super::sync_folder(path).map_err(failed("write to disk the folder of the store's key file,", path))
}

/// As well as the disk lets it: by now the file has no name, and nothing depends on this.
fn overwrite(file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{FileExt, MetadataExt};
        // Another name for it is somebody's copy.
        let Ok(found) = file.metadata() else { return };
        let bytes = usize::try_from(found.len()).unwrap_or(FILE_BYTES_MAX).min(FILE_BYTES_MAX);
        if found.nlink() == 0 && file.write_all_at(&vec![0; bytes], 0).and_then(|()| file.sync_all()).is_err() {
            tracing::warn!("what the replaced key file held could not be overwritten");
        }
    }
}

/// Whether a line names this value.
fn holds(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.split_once('=').is_some_and(|(key, _)| key.trim() == name))
}

/// The hex value of `name = "…"`; errors name the field and never its content.
fn field<const N: usize>(text: &str, name: &str) -> Result<[u8; N], String> {
    let mut found = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').ok_or("a line is not of the form name = \"value\"")?;
        if key.trim() == name && found.replace(value.trim()).is_some() {
            return Err(format!("{name} appears twice"));
        }
    }
    let digits = found
        .and_then(|value| value.strip_prefix('"')?.strip_suffix('"'))
        .ok_or_else(|| format!("{name} is missing or not quoted"))?;
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|error| match error {
        hex::FromHexError::InvalidHexCharacter { .. } => format!("{name} has a digit that is not hex"),
        _ => format!("{name} should have {} hex digits", 2 * N),
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_key_file_gives_the_same_keys_when_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        let created = Keys::create(&path).unwrap();
        let loaded = Keys::load(&path).unwrap();
        assert_eq!(created.order_key(b"serial"), loaded.order_key(b"serial"));
        assert_eq!(created.sealing(), loaded.sealing());
        assert_ne!(created.order_key(b"serial"), created.order_key(b"another"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn a_directory_in_the_place_of_the_key_file_is_called_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = Keys::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("it is a directory"), "{error}");
    }

    #[test]
    fn an_existing_key_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        Keys::create(&path).unwrap();
        let before = fs::read(&path).unwrap();
        let error = Keys::create(&path).unwrap_err();
        assert!(error.to_string().contains("cannot create the store's key file"), "{error}");
        assert!(error.to_string().contains("store.key: "), "the file that stands in the way is named: {error}");
        assert_eq!(error.class(), Class::Permanent);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn a_draft_left_by_a_crash_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        for draft in ["store.new", "store.key.new", "store.key.00000000.new"] {
            fs::write(folder.path().join(draft), "half a").unwrap();
        }
        let created = Keys::create(&path).unwrap();
        assert_eq!(created.sealing(), Keys::load(&path).unwrap().sealing());
    }

    #[test]
    fn a_missing_key_file_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = Keys::load(&folder.path().join("store.key")).unwrap_err();
        assert!(matches!(error, KeyError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("restore it from its backup: without it the database cannot be read"));
        assert_eq!(error.class(), Class::Permanent);
    }

    #[test]
    fn a_full_disk_is_no_matter_of_configuration_and_a_missing_folder_is() {
        let failed = |source: io::Error| KeyError::Io { doing: "write", path: "store.key".into(), source };
        assert_eq!(failed(io::ErrorKind::StorageFull.into()).class(), Class::Transient);
        // EMFILE
        assert_eq!(failed(io::Error::from_raw_os_error(24)).class(), Class::Transient);
        let folder = tempfile::tempdir().unwrap();
        let error = Keys::create(&folder.path().join("no-such-folder/store.key")).unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        assert!(error.to_string().contains("no-such-folder/store.key."), "the draft is named: {error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_the_command_that_repairs_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        Keys::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Keys::load(&path).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { mode: 0o644, .. }), "{error}");
        assert!(error.to_string().contains("chmod 0600"), "{error}");
    }

    #[test]
    fn a_damaged_key_file_is_described_without_quoting_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        Keys::create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let secret = text.split("lasting_key = \"").nth(1).unwrap()[..60].to_owned();
        fs::write(&path, text.replace(&secret, &format!("zz{}", &secret[2..]))).unwrap();
        let error = Keys::load(&path).unwrap_err().to_string();
        assert!(error.contains("lasting_key has a digit that is not hex"), "{error}");
        assert!(!error.contains(&secret[4..12]), "{error}");
    }

    #[test]
    fn a_replaced_key_file_holds_both_keys_and_nothing_else_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        let keys = Keys::create(&path).unwrap();
        let old = File::open(&path).unwrap();
        let new = SealingKey::random(&[]);
        let ring = Ring { current: new, former: Some(keys.sealing()) };
        keys.replace(&path, &ring).unwrap();
        let loaded = Keys::load(&path).unwrap();
        assert!(loaded.ring() == ring && loaded.same_store(&keys));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the draft is gone");
        let mut left = Vec::new();
        io::Read::read_to_end(&mut &old, &mut left).unwrap();
        assert!(!left.is_empty() && left.iter().all(|byte| *byte == 0), "what it held is overwritten");
    }

    #[test]
    fn a_copy_under_another_name_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        let keys = Keys::create(&path).unwrap();
        fs::hard_link(&path, folder.path().join("copy")).unwrap();
        keys.replace(&path, &Ring { current: SealingKey::random(&[]), former: None }).unwrap();
        assert!(Keys::load(&folder.path().join("copy")).unwrap().ring() == keys.ring());
    }

    #[test]
    fn half_a_former_key_is_described() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        Keys::create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}former_key_id = \"00000000\"\n")).unwrap();
        let error = Keys::load(&path).unwrap_err().to_string();
        assert!(error.contains("former_key is missing"), "{error}");
    }
}
