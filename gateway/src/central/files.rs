//! What the line's material is made of: our certificate with its key, the authorities, the revocation lists. Each part is read and checked
//! for itself, so that one that cannot be used says nothing about the others.

use super::crl::Lists;
use super::material::{self, MaterialError};
use super::tls::{self, FileKind, TlsError};
use super::wire::GatewaySigner;
use crate::config;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroize;

/// Our certificate, those above it, and its key. They belong together.
pub(super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) signer: GatewaySigner,
    /// It is valid from here, and not after there; milliseconds since 1970.
    pub(super) from_ms: i64,
    pub(super) until_ms: i64,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Pair {
    /// Checks that the chain is one and that the key fits. `central` names the files in errors.
    pub(super) fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        central: &config::Central,
    ) -> Result<Self, MaterialError> {
        let (from_ms, until_ms) = material::chain_dates(&chain, &central.certificate_file)?;
        let signer = GatewaySigner::of(&key, &chain, &central.key_file)?;
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &rustls::crypto::ring::default_provider())
            .map_err(|source| TlsError::Refused { path: central.certificate_file.clone(), source })?;
        Ok(Self { chain, key, signer, from_ms, until_ms })
    }

    fn read(central: &config::Central) -> Result<Self, MaterialError> {
        let chain = tls::certificates(FileKind::Certificate, &central.certificate_file)?;
        // Said before what the key may have against it.
        material::chain_dates(&chain, &central.certificate_file)?;
        Self::of(chain, tls::private_key(&central.key_file)?, central)
    }
}

/// The parts as the files have them.
pub(super) struct Files {
    pub(super) authorities: Result<Vec<CertificateDer<'static>>, TlsError>,
    pub(super) pair: Result<Pair, MaterialError>,
    /// Not judged yet; `None` when none are configured.
    pub(super) lists: Option<Result<Vec<CertificateRevocationListDer<'static>>, TlsError>>,
}

impl Files {
    pub(super) fn read(central: &config::Central) -> Self {
        let authorities = tls::certificates(FileKind::Authority, &central.ca_file).and_then(|found| {
            found
                .iter()
                .try_for_each(|der| material::certificate(der, FileKind::Authority, &central.ca_file).map(drop))?;
            Ok(found)
        });
        Self { authorities, pair: Pair::read(central), lists: central.crl_file.as_deref().map(tls::revocation_lists) }
    }
}

/// All that the line needs of the files, or of what stands in for them.
pub(super) struct Parts {
    pub(super) pair: Pair,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) lists: Option<Lists>,
}
