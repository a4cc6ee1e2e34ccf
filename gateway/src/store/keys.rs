//! The store's secrets: one key file, readable by its owner alone.
//!
//! ```text
//! # Uketsuke store keys. …
//! sealing_key_id = "9f3a01c2"
//! sealing_key = "<64 hex digits>"
//! lasting_key = "<64 hex digits>"
//! ```
//!
//! Promises:
//! * The sealing key may be replaced one day (hence its id); the lasting key never is: the order of one patient's requests,
//!   the row checks and the fingerprints of settled requests depend on it. Three keys are derived from it by HMAC labels.
//! * A file that others can read is refused, with the command that repairs it.
//! * A new file is on disk, whole, before its keys are used.
//! * Key material is wiped when the last handle goes, and never printed.

use super::Class;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uketsuke_core::ids::OrderKey;
use zeroize::Zeroizing;

/// Which sealing key a value was sealed with; stands in front of every sealed value.
pub(super) type KeyId = [u8; 4];

const KEY_BYTES: usize = 32;

/// The store's keys; a cheap handle.
#[derive(Clone)]
pub struct Keys(Arc<Secrets>);

struct Secrets {
    sealing_id: KeyId,
    sealing: Zeroizing<[u8; KEY_BYTES]>,
    lasting: Zeroizing<[u8; KEY_BYTES]>,
    order: Zeroizing<[u8; KEY_BYTES]>,
    row: Zeroizing<[u8; KEY_BYTES]>,
    body: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys(…)")
    }
}

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
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let malformed = |why: String| KeyError::Malformed { path: path.to_owned(), why };
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing { path: path.to_owned() },
            io::ErrorKind::InvalidData => malformed("it is not text".into()),
            _ => KeyError::Io { doing: "read the store's key file", path: path.to_owned(), source },
        };
        let mut file = File::open(path).map_err(io)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Asked of the open file, so that it cannot be exchanged between the check and the read.
            let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Exposed { path: path.to_owned(), mode });
            }
        }
        // Reserved at once: growing would leave copies of the keys in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(4096));
        io::Read::read_to_string(&mut io::Read::take(&mut file, 4096), &mut text).map_err(io)?;
        Ok(Self::from_secrets(
            field(&text, "sealing_key_id").map_err(malformed)?,
            Zeroizing::new(field(&text, "sealing_key").map_err(malformed)?),
            Zeroizing::new(field(&text, "lasting_key").map_err(malformed)?),
        ))
    }

    /// Makes new keys and writes them to a new file of mode 0600; the file and its folder are on disk when this returns.
    /// An existing file is never replaced: losing these keys loses every sealed value. The draft's name is random, so one
    /// that a crash left behind is in nobody's way; its keys were never used.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let keys = Self::random();
        let mut text = Zeroizing::new(String::with_capacity(4096));
        text.push_str(
            "# Uketsuke store keys. Keep a copy apart from the database's backup: without this file nothing\n",
        );
        text.push_str("# personal in the database can be read again. Never edit it; mode 0600.\n");
        for (name, bytes) in [
            ("sealing_key_id", keys.0.sealing_id.as_slice()),
            ("sealing_key", keys.0.sealing.as_slice()),
            ("lasting_key", keys.0.lasting.as_slice()),
        ] {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{name} = \"");
            for byte in bytes {
                let _ = write!(text, "{byte:02x}");
            }
            text.push_str("\"\n");
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{:08x}.new", rand::random::<u32>()));
        let draft = PathBuf::from(draft);
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Io { doing, path, source }
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft).map_err(failed("create the draft of the store's key file", &draft))?;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed("write the draft of the store's key file", &draft))
            // A hard link fails where a rename would replace: an existing key file survives every race.
            .and_then(|()| fs::hard_link(&draft, path).map_err(failed("create the store's key file", path)));
        let removed = fs::remove_file(&draft).map_err(failed("remove the draft of the store's key file", &draft));
        written.and(removed)?;
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed("write to disk the folder of the store's key file,", folder))?;
        Ok(keys)
    }

    /// New keys that are written nowhere: for a store that need not outlive the process.
    pub fn random() -> Self {
        let mut sealing_id = KeyId::default();
        let mut sealing = Zeroizing::new([0; KEY_BYTES]);
        let mut lasting = Zeroizing::new([0; KEY_BYTES]);
        let mut random = rand::rng();
        rand::RngCore::fill_bytes(&mut random, &mut sealing_id);
        rand::RngCore::fill_bytes(&mut random, sealing.as_mut_slice());
        rand::RngCore::fill_bytes(&mut random, lasting.as_mut_slice());
        Self::from_secrets(sealing_id, sealing, lasting)
    }

    /// The key that groups this card's requests; `serial` is the serial number of the card's certificate.
    pub fn order_key(&self, serial: &[u8]) -> OrderKey {
        OrderKey(hmac(&self.0.order, &[serial]))
    }

    /// The fingerprint of a request's exact bytes: tells "the same again" from "another body", also after the body is gone.
    pub(super) fn body_mac(&self, body: &[u8]) -> [u8; 32] {
        hmac(&self.0.body, &[body])
    }

    /// Proves that a database belongs to these keys, without opening anything in it.
    pub(super) fn check(&self, store_id: &[u8]) -> [u8; 32] {
        hmac(&self.0.lasting, &[b"uketsuke key check", &self.0.sealing_id, self.0.sealing.as_slice(), store_id])
    }

    pub(super) fn row_key(&self) -> &[u8; KEY_BYTES] {
        &self.0.row
    }

    pub(super) fn sealing(&self) -> (KeyId, &[u8; KEY_BYTES]) {
        (self.0.sealing_id, &self.0.sealing)
    }

    fn from_secrets(
        sealing_id: KeyId,
        sealing: Zeroizing<[u8; KEY_BYTES]>,
        lasting: Zeroizing<[u8; KEY_BYTES]>,
    ) -> Self {
        let derive = |label: &[u8]| Zeroizing::new(hmac(&lasting, &[label]));
        let (order, row, body) =
            (derive(b"uketsuke order key"), derive(b"uketsuke row mac"), derive(b"uketsuke body mac"));
        Self(Arc::new(Secrets { sealing_id, sealing, lasting, order, row, body }))
    }
}

fn hmac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
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
    let hex = found
        .and_then(|value| value.strip_prefix('"')?.strip_suffix('"'))
        .ok_or_else(|| format!("{name} is missing or not quoted"))?;
    let mut bytes = [0; N];
    if hex.len() != 2 * N || !hex.is_ascii() {
        return Err(format!("{name} should have {} hex digits", 2 * N));
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16)
            .map_err(|_| format!("{name} has a digit that is not hex"))?;
    }
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
    fn keys_print_nothing_of_themselves() {
        assert_eq!(format!("{:?}", Keys::random()), "Keys(…)");
    }
}
