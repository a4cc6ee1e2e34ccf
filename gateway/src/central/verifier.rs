//! The server's certificate, judged by our authorities and revocation lists.

use super::crl::{self, Lists, Placed, Unfit};
use super::fault::Said;
use super::tls::{self, FileKind, TlsError};
use crate::config;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::{
    CertRevocationListError, CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// Judges revocation lists; there is at least one. `central` names the files in errors.
pub(super) fn judge(
    ders: Vec<CertificateRevocationListDer<'static>>,
    authorities: &[CertificateDer<'static>],
    central: &config::Central,
) -> Result<Lists, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots(authorities, &central.ca_file)?);
    let library = |list: &CertificateRevocationListDer<'static>| {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        verifier.with_crls([list.clone()]).build().map(drop).map_err(|error| error.to_string())
    };
    crl::judge(ders, authorities, central.crl_file.as_deref().unwrap_or(Path::new("")), library)
}

fn roots(authorities: &[CertificateDer<'static>], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| unusable(path, &error))?;
    }
    Ok(roots)
}

fn unusable(path: &Path, why: &dyn Display) -> TlsError {
    TlsError::Verifier { path: path.to_owned(), why: why.to_string() }
}

/// The library's verifiers: they alone decide. What they say of revocation lists gets the words that the library has none for.
#[derive(Debug)]
pub(super) struct Explained {
    /// With the lists in their first order.
    first: Arc<WebPkiServerVerifier>,
    /// With the lists in each other order.
    others: Vec<Arc<WebPkiServerVerifier>>,
    lists: Vec<Placed>,
}

impl Explained {
    /// A list of the past is an error, and so is one that says nothing of the server's authority: revocation is checked or the line is
    /// down. `central` names the files in errors.
    pub(super) fn new(
        authorities: &[CertificateDer<'static>],
        lists: Option<&Lists>,
        central: &config::Central,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(roots(authorities, &central.ca_file)?);
        let orders = lists.map_or_else(|| vec![Vec::new()], |lists| lists.orders.clone());
        let placed = lists.map(Lists::placed).unwrap_or_default();
        let verifiers = orders.into_iter().map(|lists| {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
            verifier.with_crls(lists).enforce_revocation_expiration().build()
        });
        let unusable = |why: VerifierBuilderError| unusable(&central.ca_file, &why);
        let verifiers = verifiers.collect::<Result<Vec<_>, _>>().map_err(unusable)?;
        let (first, others) =
            verifiers.split_first().ok_or_else(|| tls::nothing(FileKind::Authority, &central.ca_file))?;
        Ok(Self { first: first.clone(), others: others.to_vec(), lists: placed })
    }

    /// What one verifier says that has seen the list of the server's authority. `Revoked` by one list outweighs the silence of all others.
    fn decided(
        &self,
        verify: impl Fn(&WebPkiServerVerifier) -> Result<ServerCertVerified, rustls::Error>,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let revoked =
            |said: &Result<_, _>| matches!(said, Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)));
        let mut decided = verify(&self.first);
        for verifier in &self.others {
            let said = verify(verifier);
            if revoked(&said) || (said.is_ok() && !revoked(&decided)) {
                decided = said;
            }
        }
        decided
    }
}

/// What our revocation lists have to do with a handshake that failed.
#[derive(Debug, Error)]
#[error("{}", match self { Self::Silent(said) | Self::Expired(said) | Self::Foreign(said) => &said.en })]
pub(super) enum ListsUnfit {
    /// None speaks about the certificate.
    Silent(Said),
    /// The one that does is past its end.
    Expired(Said),
    /// The one that does is signed by another key.
    Foreign(Said),
}

impl ServerCertVerifier for Explained {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.decided(|verifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        });
        let now_ms = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000);
        let lists = |why| crl::unfit(&self.lists, end_entity, now_ms, why);
        verified.map_err(|error| {
            let unfit = match &error {
                rustls::Error::InvalidCertificate(CertificateError::UnknownRevocationStatus) => {
                    ListsUnfit::Silent(crl::silent(&self.lists, end_entity))
                }
                rustls::Error::InvalidCertificate(
                    CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. },
                ) => ListsUnfit::Expired(lists(Unfit::Expired)),
                rustls::Error::InvalidCertRevocationList(CertRevocationListError::BadSignature) => {
                    ListsUnfit::Foreign(lists(Unfit::Foreign))
                }
                _ => return error,
            };
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(unfit))))
        })
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // TLS 1.3 alone is offered.
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}
