//! The files of our side of mutual TLS, each read and checked for what it is.

use super::fault::Said;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, InvalidDnsNameError, PrivateKeyDer};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the material for mutual TLS cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read or is no PEM of its kind; one that is half written is none.
    #[error("cannot read {} {}: {source}; check the path, its permissions and that it is PEM", kind.en(), path.display())]
    File {
        /// What it should be.
        kind: FileKind,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file has nothing of its kind in it.
    #[error("{} holds no {}; put the right file there", path.display(), kind.en())]
    Empty {
        /// What it should be.
        kind: FileKind,
        /// Which file.
        path: PathBuf,
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
    /// The same in both languages.
    pub fn said(&self) -> Said {
        let ja = match self {
            Self::File { kind, path, source } => format!(
                "{} {} を読めません({source})。場所・権限・PEM形式であることを確かめてください。",
                kind.ja(),
                path.display()
            ),
            Self::Empty { kind, path } => {
                format!("{} に{}がありません。正しいファイルを置いてください。", path.display(), kind.ja())
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

/// Every certificate of a file; there is at least one.
pub(super) fn certificates(kind: FileKind, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    all(kind, path)
}

/// Every revocation list of a file; there is at least one.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    all(FileKind::Crl, path)
}

fn all<T: PemObject>(kind: FileKind, path: &Path) -> Result<Vec<T>, TlsError> {
    let file = |source| TlsError::File { kind, path: path.to_owned(), source };
    let found: Vec<T> = T::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)?;
    if found.is_empty() {
        return Err(TlsError::Empty { kind, path: path.to_owned() });
    }
    Ok(found)
}

/// Reads a PKCS#8 key that nobody else can read.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(metadata) = std::fs::metadata(path) {
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(TlsError::KeyMode { path: path.to_owned(), mode });
        }
    }
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::File {
        kind: FileKind::Key,
        path: path.to_owned(),
        source,
    })
}
