//! The development PKI: everything that must be signed before a site, its central system and its patients' cards
//! can meet.
//!
//! Promises:
//! * opening a directory twice changes nothing in it; what exists is kept, what is missing is made;
//! * several processes may open the same directory at once (a lock file orders them);
//! * private keys are readable by their owner alone (mode 0600);
//! * the same card name with the same validity gets the same certificate serial in every directory, so that a
//!   seeded population answers alike for it everywhere.

mod card;
mod files;
mod link;
mod lists;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use card::{Card, CardOptions};
pub use link::{ClientOptions, ListedAt};
pub use lists::List;

/// Serial of the first certificate of a PEM file, lower-case hexadecimal.
pub fn serial_of(pem: &Path) -> Result<String> {
    let der = CertificateDer::from_pem_file(pem).with_context(|| format!("reading {}", pem.display()))?;
    serial_of_der(&der)
}

/// Serial of a certificate, lower-case hexadecimal.
pub(crate) fn serial_of_der(der: &[u8]) -> Result<String> {
    let (_, certificate) = X509Certificate::from_der(der).context("parsing a certificate")?;
    Ok(certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A directory with the certificates and keys of one development installation.
#[derive(Debug, Clone)]
pub struct DevPki {
    dir: PathBuf,
}

impl DevPki {
    /// Opens `dir` and makes whatever is missing in it. The first opening takes a second or two, because it
    /// generates the RSA key of the card CA.
    pub fn create_or_open(dir: impl Into<PathBuf>) -> Result<Self> {
        let pki = Self { dir: dir.into() };
        let _lock = pki.lock()?;
        link::create_missing(&pki)?;
        card::create_missing_ca(&pki)?;
        Ok(pki)
    }

    /// Opens a directory that `dev-pki` has made, and writes nothing.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let pki = Self { dir: dir.into() };
        for path in [pki.link_ca_pem(), pki.server_pem(), pki.server_key(), pki.card_ca_der()] {
            anyhow::ensure!(
                path.is_file(),
                "{} is missing; run `dev-pki --out {}` first",
                path.display(),
                pki.dir.display()
            );
        }
        Ok(pki)
    }

    /// The card called `name`: made on the first call, read on later ones. A card whose stored certificate has
    /// another validity than asked for gets a new certificate and keeps its key, as a renewed card would not, but
    /// as tests want.
    pub fn card(&self, name: &str, options: &CardOptions) -> Result<Card> {
        let _lock = self.lock()?;
        card::issue(self, name, options).with_context(|| format!("issuing the card {name}"))
    }

    /// A further client certificate of the link CA, for tests of validity and rotation: writes `NAME.pem` and
    /// `NAME.key` and returns both paths. What exists with these names is replaced.
    pub fn client(&self, name: &str, options: &ClientOptions) -> Result<(PathBuf, PathBuf)> {
        let _lock = self.lock()?;
        link::issue_client(self, name, options).with_context(|| format!("issuing the client certificate {name}"))
    }

    /// Another certificate for the central server, in the place of the present one.
    pub fn renew_server(&self, options: &ClientOptions) -> Result<()> {
        let _lock = self.lock()?;
        link::issue_server(self, options).context("issuing the server's certificate")
    }

    /// The link CA's revocation list with these serials (lower-case hexadecimal), valid until `next_update`; replaces the present one.
    pub fn revoke(&self, serials: &[String], next_update: OffsetDateTime) -> Result<()> {
        let _lock = self.lock()?;
        link::write_crl(self, serials, next_update).context("writing the revocation list")
    }

    /// The same with the place of its revocation list in it (RFC 5280, 4.2.1.13).
    pub fn renew_server_listed(&self, options: &ClientOptions, at: &ListedAt<'_>) -> Result<()> {
        let _lock = self.lock()?;
        link::issue_server_listed(self, options, at).context("issuing the server's certificate")
    }

    /// A revocation list of the link CA in any form, as PEM.
    pub fn list(&self, list: &List<'_>) -> Result<String> {
        lists::signed(&self.link_ca_pem(), list).context("making a revocation list")
    }

    /// The same by an authority that has the link CA's name and another key.
    pub fn list_of_namesake(&self, list: &List<'_>) -> Result<String> {
        let _lock = self.lock()?;
        lists::signed(&link::namesake(self)?, list).context("making a namesake's revocation list")
    }

    /// The same by an authority that nobody here trusts.
    pub fn list_of_stranger(&self, list: &List<'_>) -> Result<String> {
        lists::signed(&self.other_ca_pem(), list).context("making a stranger's revocation list")
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// CA of the site network: signs the central server and the gateways.
    pub fn link_ca_pem(&self) -> PathBuf {
        self.dir.join("link-ca.pem")
    }

    /// The link CA's revocation list; there is none until [`Self::revoke`] makes it.
    pub fn link_crl_pem(&self) -> PathBuf {
        self.dir.join("link-crl.pem")
    }

    /// Certificate of the central server, for `localhost`, 127.0.0.1 and ::1.
    pub fn server_pem(&self) -> PathBuf {
        self.dir.join("central.pem")
    }

    /// Key of the central server, PKCS#8 PEM.
    pub fn server_key(&self) -> PathBuf {
        self.dir.join("central.key")
    }

    /// The gateway's certificate: TLS client and signer of requests.
    pub fn gateway_pem(&self) -> PathBuf {
        self.dir.join("gateway.pem")
    }

    /// The gateway's key, ECDSA P-256, PKCS#8 PEM.
    pub fn gateway_key(&self) -> PathBuf {
        self.dir.join("gateway.key")
    }

    /// A CA that the central system does not know.
    pub fn other_ca_pem(&self) -> PathBuf {
        self.dir.join("other-ca.pem")
    }

    /// A client certificate by [`Self::other_ca_pem`].
    pub fn other_client_pem(&self) -> PathBuf {
        self.dir.join("other-client.pem")
    }

    /// The key of [`Self::other_client_pem`], PKCS#8 PEM.
    pub fn other_client_key(&self) -> PathBuf {
        self.dir.join("other-client.key")
    }

    /// CA of the cards' authentication certificates, DER.
    pub fn card_ca_der(&self) -> PathBuf {
        self.dir.join("card-ca.der")
    }

    /// The same certificate as PEM.
    pub fn card_ca_pem(&self) -> PathBuf {
        self.dir.join("card-ca.pem")
    }

    /// The directory of one card: `auth.der` and `key.pk8`.
    pub fn card_dir(&self, name: &str) -> PathBuf {
        self.dir.join("cards").join(name)
    }

    /// Held while anything is made; released when dropped or when the process ends.
    fn lock(&self) -> Result<File> {
        std::fs::create_dir_all(&self.dir).with_context(|| format!("creating {}", self.dir.display()))?;
        let path = self.dir.join(".lock");
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        file.lock().with_context(|| format!("locking {}", path.display()))?;
        Ok(file)
    }
}
