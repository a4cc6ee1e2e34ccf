//! Our side of mutual TLS: TLS 1.3 only, the authorities of the site network alone, our certificate. Checked as a whole before
//! anything is sent.

use crate::config;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Why the material for mutual TLS cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read or is no PEM of its kind.
    #[error("cannot read {what} {}: {source}; check the path, its permissions and that it is PEM", path.display())]
    File {
        /// What it should be.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A file has nothing of its kind in it.
    #[error("{} holds no {what}; put the right file there", path.display())]
    Empty {
        /// What it should be.
        what: &'static str,
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
    /// rustls refuses it.
    #[error("certificate {} and its key cannot be used: {source}; check that they belong together", path.display())]
    Refused {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// `server_name` is no DNS name or address.
    #[error("central.server_name is not a DNS name or address: {0}")]
    ServerName(#[from] InvalidDnsNameError),
}

/// Reads and checks everything for mutual TLS.
pub(super) fn client_config(central: &config::Central) -> Result<(Arc<ClientConfig>, ServerName<'static>), TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("the authority's certificate", &central.ca_file)? {
        roots.add(certificate).map_err(|source| TlsError::Refused { path: central.ca_file.clone(), source })?;
    }
    let chain = certificates("our certificate", &central.certificate_file)?;
    let key = private_key(&central.key_file)?;
    let refused = |source| TlsError::Refused { path: central.certificate_file.clone(), source };
    let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(refused)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((Arc::new(config), ServerName::try_from(central.server_name.clone())?))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File { what, path: path.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)?;
    if found.is_empty() {
        return Err(TlsError::Empty { what, path: path.to_owned() });
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
        what: "our private key",
        path: path.to_owned(),
        source,
    })
}

/// The first certificate of our own file, as it accompanies what we sign.
pub(super) fn own_certificate(path: &Path) -> Result<CertificateDer<'static>, TlsError> {
    let what = "our certificate";
    certificates(what, path)?.into_iter().next().ok_or(TlsError::Empty { what, path: path.to_owned() })
}
