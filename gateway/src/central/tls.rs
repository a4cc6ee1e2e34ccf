//! The files of our side of mutual TLS, each read and checked for what it is.

use super::fault::Said;
use crate::encoding::{self, Content};
use crate::named_file::{self, BYTES_MAX, LIST_BYTES_MAX, Unread};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, InvalidDnsNameError, PrivateKeyDer};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use uketsuke_core::former::Found;
use zeroize::Zeroizing;

/// Why the material for mutual TLS cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {} {}: {source}; check the path and its permissions", kind.en(), path.display())]
    File {
        /// What it should be.
        kind: FileKind,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is none of its kind; one that is half written is none.
    #[error("cannot read {} {}: {}; put the right file there", kind.en(), path.display(), what.en)]
    Content {
        /// What it should be.
        kind: FileKind,
        /// Which file.
        path: PathBuf,
        /// What it is instead.
        what: Said,
    },
    /// A revocation list cannot be used.
    #[error("the revocation list number {number}{} in {} {}", of(issuer), path.display(), why.en)]
    Crl {
        /// Which file.
        path: PathBuf,
        /// Its place in the file, counted from 1.
        number: usize,
        /// Its issuer; empty when it does not parse.
        issuer: String,
        /// Why, and what to do.
        why: Said,
    },
    /// What is in the PEM is not what it should be.
    #[error("{} {} does not parse; put the right file there", kind.en(), path.display())]
    Parse {
        /// What it should be.
        kind: FileKind,
        /// Which file.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error("the private key {} can be read by others (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    KeyMode {
        /// Which file.
        path: PathBuf,
        /// Its mode bits.
        mode: u32,
    },
    /// The key does not belong to the certificate, or is of no kind that can be used.
    #[error("certificate {} and its key cannot be used: {source}; check that they belong together", path.display())]
    Refused {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A certificate of our chain is not signed by the next one.
    #[error("the certificates in {} are no chain: number {number} is not signed by the next one; put ours first, then each authority above it", path.display())]
    Chain {
        /// The certificate file.
        path: PathBuf,
        /// Counted from 1.
        number: usize,
    },
    /// Revocation lists and authorities make no verifier.
    #[error("the authorities in {} cannot be used: {why}; put the right file there", path.display())]
    Verifier {
        /// The authorities' file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Something is past its date, or not valid yet; only refused where something valid is in use.
    #[error("{} {} {}; put a valid one there", kind.en(), path.display(), when.en)]
    Date {
        /// What it is.
        kind: FileKind,
        /// Which file.
        path: PathBuf,
        /// "expired on …" or "is not valid before …".
        when: Said,
    },
    /// `server_name` is no DNS name or address.
    #[error("central.server_name is not a DNS name or address: {0}")]
    ServerName(#[from] InvalidDnsNameError),
}

/// What a file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `central.ca_file`
    Authority,
    /// `central.certificate_file`
    Certificate,
    /// `central.key_file`
    Key,
    /// `central.crl_file`
    Crl,
}

impl FileKind {
    fn en(self) -> &'static str {
        match self {
            Self::Authority => "the authority's certificate",
            Self::Certificate => "our certificate",
            Self::Key => "our private key",
            Self::Crl => "the revocation list",
        }
    }

    fn ja(self) -> &'static str {
        match self {
            Self::Authority => "認証局の証明書",
            Self::Certificate => "この施設の証明書",
            Self::Key => "この施設の秘密鍵",
            Self::Crl => "失効リスト",
        }
    }
}

impl TlsError {
    /// Whether a file could not be read, or is refused for what it says. A key that others can read is refused.
    pub(super) fn found(&self) -> Found {
        match self {
            Self::File { .. } | Self::Content { .. } | Self::Parse { .. } => Found::Unreadable,
            Self::Crl { .. }
            | Self::KeyMode { .. }
            | Self::Refused { .. }
            | Self::Chain { .. }
            | Self::Verifier { .. }
            | Self::Date { .. }
            | Self::ServerName(_) => Found::Unfit,
        }
    }

    /// The same in both languages.
    pub fn said(&self) -> Said {
        let ja = match self {
            Self::File { kind, path, source } => {
                let why = named_file::of_system(source).ja;
                format!("{} {} を読めません({why})。場所と権限を確かめてください。", kind.ja(), path.display())
            }
            Self::Content { kind, path, what } => {
                format!("{} {} を読めません({})。正しいファイルを置いてください。", kind.ja(), path.display(), what.ja)
            }
            Self::Crl { path, number, issuer, why } => {
                let of = if issuer.is_empty() { String::new() } else { format!("({issuer})") };
                format!("{} の{number}番目の失効リスト{of}を使えません。{}。", path.display(), why.ja)
            }
            Self::Parse { kind, path } => {
                format!("{} {} の中身が正しくありません。正しいファイルを置いてください。", kind.ja(), path.display())
            }
            Self::KeyMode { path, mode } => format!(
                "秘密鍵 {} をほかの利用者が読めます(モード {mode:04o})。chmod 600 を実行してください。",
                path.display()
            ),
            Self::Refused { path, source } => {
                format!("証明書 {} と鍵を使えません({source})。組が合っているか確かめてください。", path.display())
            }
            Self::Chain { path, number } => format!(
                "{} の{number}番目の証明書が次の証明書で署名されていません。この施設の証明書、上位の認証局の順に並べてください。",
                path.display()
            ),
            Self::Verifier { path, why } => {
                format!("{} の認証局を使えません({why})。正しいファイルを置いてください。", path.display())
            }
            Self::Date { kind, path, when } => {
                format!("{} {} は{}。有効なものを置いてください。", kind.ja(), path.display(), when.ja)
            }
            Self::ServerName(why) => {
                format!("central.server_name が正しい名前ではありません({why})。書き直してください。")
            }
        };
        Said::new(ja, self.to_string())
    }
}

fn of(issuer: &str) -> String {
    if issuer.is_empty() { String::new() } else { format!(" (of {issuer})") }
}

/// Every certificate of a file; there is at least one.
pub(super) fn certificates(kind: FileKind, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    all(kind, path, &["CERTIFICATE"])
}

/// Every revocation list of a file; there is at least one.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    all(FileKind::Crl, path, &["X509 CRL"])
}

fn all<T: PemObject + From<Vec<u8>>>(kind: FileKind, path: &Path, labels: &[&str]) -> Result<Vec<T>, TlsError> {
    let bytes = read(kind, path)?;
    let content = |what| TlsError::Content { kind, path: path.to_owned(), what };
    match encoding::content(&bytes, labels).map_err(content)? {
        Content::Der(der) => Ok(vec![T::from(der.to_vec())]),
        Content::Pem(pem) => T::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| content(broken(&error))),
    }
}

fn read(kind: FileKind, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let bytes_max = if kind == FileKind::Crl { LIST_BYTES_MAX } else { BYTES_MAX };
    named_file::read(path, bytes_max).map_err(|unread| match unread {
        Unread::Io(source) => TlsError::File { kind, path: path.to_owned(), source },
        Unread::Unfit(what) => TlsError::Content { kind, path: path.to_owned(), what },
    })
}

pub(super) fn nothing(kind: FileKind, path: &Path) -> TlsError {
    let what = Said::new("何も入っていません", "it holds nothing of the kind");
    TlsError::Content { kind, path: path.to_owned(), what }
}

fn broken(error: &pem::Error) -> Said {
    Said::new(format!("PEMが壊れています: {error}"), format!("its PEM is damaged: {error}"))
}

/// Reads a key that nobody else can read. What is no key has no secret: its mode is not looked at.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    use std::os::unix::fs::PermissionsExt;
    let kind = FileKind::Key;
    let bytes = read(kind, path)?;
    let content = |what| TlsError::Content { kind, path: path.to_owned(), what };
    // Keys of the older forms are read here and refused by what they are.
    let key = match encoding::content(&bytes, &["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]).map_err(content)? {
        Content::Der(der) => PrivateKeyDer::try_from(der.to_vec())
            .map_err(|_| content(Said::new("DERですが秘密鍵ではありません", "it is DER, but no private key")))?,
        Content::Pem(pem) => PrivateKeyDer::from_pem_slice(&pem).map_err(|error| content(broken(&error)))?,
    };
    if let Ok(metadata) = std::fs::metadata(path) {
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(TlsError::KeyMode { path: path.to_owned(), mode });
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_mode_of_a_key_file_is_looked_at_only_when_there_is_a_key_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.key");
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        let whole = key.as_ref();
        for (content, found) in
            [(&whole[..0], Found::Unreadable), (&whole[..whole.len() / 2], Found::Unreadable), (whole, Found::Unfit)]
        {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
            let error = private_key(&path).unwrap_err();
            assert_eq!(error.found(), found, "{} bytes: {error}", content.len());
            assert_eq!(matches!(error, TlsError::KeyMode { .. }), found == Found::Unfit);
        }
        let error = private_key(folder.path()).unwrap_err();
        assert!(matches!(error, TlsError::Content { .. }), "a directory: {error}");
    }
}
