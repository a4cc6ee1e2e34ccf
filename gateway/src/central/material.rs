//! Everything for mutual TLS as one whole: TLS 1.3 only, the authorities of the site network alone, our certificate, and the
//! revocation list where one is configured. It is used as a whole or not at all.

use super::crl::{self, Rank, Scope};
use super::fault::Said;
use super::tls::{self, FileKind, TlsError};
use super::wire::{GatewaySigner, SignerError};
use crate::config;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;
use time::{OffsetDateTime, UtcOffset};
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Why a set of files cannot be used.
#[derive(Debug, Error)]
pub enum MaterialError {
    /// For TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// For signing requests.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl MaterialError {
    /// The same in both languages.
    pub fn said(&self) -> Said {
        match self {
            Self::Tls(error) => error.said(),
            Self::Signer(error) => Said::new(
                "秘密鍵で署名できません。central.key_file にPKCS#8形式のEC P-256の鍵を置いてください。",
                error.to_string(),
            ),
        }
    }
}

/// Until when the files in use are valid; milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Our certificate.
    pub certificate_ms: i64,
    /// The authorities: the first that ends among those that are still valid; the last one when none is.
    pub authorities_ms: i64,
    /// The revocation list, the first that ends; `None` when none is configured.
    pub crl_ms: Option<i64>,
}

impl Validity {
    /// Each part with its end: `certificate`, `authorities`, `crl`.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, i64)> {
        let crl = self.crl_ms.map(|end| ("crl", end));
        [("certificate", self.certificate_ms), ("authorities", self.authorities_ms)].into_iter().chain(crl)
    }

    /// What ends within `days`, or has ended, in words.
    pub fn warnings(&self, now_ms: i64, days: u32) -> Vec<Said> {
        let soon = self.parts().filter(|(_, end)| end.saturating_sub(now_ms) < i64::from(days) * DAY_MS);
        soon.map(|(part, end)| warning(part, end, now_ms)).collect()
    }
}

/// Whole days until `end_ms`, rounded down; negative once it is over.
pub fn days_left(end_ms: i64, now_ms: i64) -> i64 {
    end_ms.saturating_sub(now_ms).div_euclid(DAY_MS)
}

fn warning(part: &str, end_ms: i64, now_ms: i64) -> Said {
    let (ja, en, key) = match part {
        "certificate" => ("この施設の証明書", "our certificate", "central.certificate_file"),
        "authorities" => ("認証局の証明書", "an authority's certificate", "central.ca_file"),
        _ => ("失効リスト", "the revocation list", "central.crl_file"),
    };
    let (day, left) = (day(end_ms), days_left(end_ms, now_ms));
    if end_ms <= now_ms {
        return Said::new(
            format!("{ja}の期限が切れました({day})。新しいものを {key} に置いてください。"),
            format!("{en} expired on {day}; put a new one to {key}"),
        );
    }
    Said::new(
        format!("{ja}の期限まであと{left}日です({day})。新しいものを {key} に置いてください。"),
        format!("{en} expires in {left} days, on {day}; put a new one to {key}"),
    )
}

/// A moment as people in Japan read it.
pub(super) fn day(at_ms: i64) -> String {
    let japan = UtcOffset::from_hms(9, 0, 0).unwrap_or(UtcOffset::UTC);
    let at = OffsetDateTime::UNIX_EPOCH.saturating_add(time::Duration::milliseconds(at_ms)).to_offset(japan);
    let (hour, minute, second) = at.to_hms();
    format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02} JST", at.year(), u8::from(at.month()), at.day())
}

/// Usable material.
pub(super) struct Material {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) server_name: ServerName<'static>,
    /// Signs with the same key and certificate, so that both are renewed at once.
    pub(super) signer: GatewaySigner,
    pub(super) validity: Validity,
    /// How new the revocation lists are.
    pub(super) ranks: BTreeMap<Scope, Rank>,
    /// Our certificate is not valid before this.
    not_before_ms: i64,
}

impl Material {
    /// Reads and checks every file: it parses whole, the key is ours alone and fits, each certificate of the chain is signed by the
    /// next. Dates are for [`Material::current`]: a gateway whose certificate has expired starts nevertheless, and says so.
    pub(super) fn load(central: &config::Central, now_ms: i64) -> Result<Self, MaterialError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = tls::certificates(FileKind::Authority, &central.ca_file)?;
        let chain = tls::certificates(FileKind::Certificate, &central.certificate_file)?;
        let unusable = |why: String| TlsError::Verifier { path: central.ca_file.clone(), why };
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(|error| unusable(error.to_string()))?;
        }
        let roots = Arc::new(roots);
        let verifier_with =
            |lists| WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).with_crls(lists);
        let library = |list: &CertificateRevocationListDer<'static>| {
            verifier_with(vec![list.clone()]).build().map(|_| ()).map_err(|error| error.to_string())
        };
        let crls = central
            .crl_file
            .as_deref()
            .map(|path| crl::judge(tls::revocation_lists(path)?, &authorities, path, library))
            .transpose()?;
        let (not_before_ms, certificate_ms) = chain_dates(&chain, &central.certificate_file)?;
        let validity = Validity {
            certificate_ms,
            authorities_ms: authorities_end(&authorities, &central.ca_file, now_ms)?,
            crl_ms: crls.as_ref().map(|lists| lists.end_ms),
        };
        let key = tls::private_key(&central.key_file)?;
        let signer = GatewaySigner::of(&key, &chain, &central.key_file)?;

        let (orders, ranks) =
            crls.map_or_else(|| (vec![Vec::new()], BTreeMap::new()), |crls| (crls.orders, crls.ranks));
        let lists = orders.first().cloned().unwrap_or_default();
        // A list of the past is an error, and so is one that says nothing of the server's authority: revocation is checked or the
        // line is down.
        let verifiers = orders.into_iter().map(|lists| verifier_with(lists).enforce_revocation_expiration().build());
        let verifiers = verifiers.collect::<Result<Vec<_>, _>>().map_err(|error| unusable(error.to_string()))?;
        let (first, others) =
            verifiers.split_first().ok_or_else(|| tls::nothing(FileKind::Authority, &central.ca_file))?;
        let verifier = Arc::new(Explained { first: first.clone(), others: others.to_vec(), lists });
        let refused = |source| TlsError::Refused { path: central.certificate_file.clone(), source };
        let mut tls = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(refused)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .map_err(refused)?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would skip the certificates of both sides, and with them every revocation since.
        tls.resumption = Resumption::disabled();
        let server_name = ServerName::try_from(central.server_name.clone()).map_err(TlsError::from)?;
        Ok(Self { tls: Arc::new(tls), server_name, signer, validity, ranks, not_before_ms })
    }

    /// Whether every part is valid now: what replaces material in use has to be.
    pub(super) fn current(&self, central: &config::Central, now_ms: i64) -> Result<(), TlsError> {
        if now_ms < self.not_before_ms {
            let from = day(self.not_before_ms);
            let when = Said::new(format!("{from} より前は無効です"), format!("is not valid before {from}"));
            return Err(TlsError::Date { kind: FileKind::Certificate, path: central.certificate_file.clone(), when });
        }
        let crl = central.crl_file.clone().zip(self.validity.crl_ms);
        let dated = [
            (FileKind::Certificate, Some((central.certificate_file.clone(), self.validity.certificate_ms))),
            (FileKind::Authority, Some((central.ca_file.clone(), self.validity.authorities_ms))),
            (FileKind::Crl, crl),
        ];
        for (kind, dated) in dated {
            if let Some((path, end)) = dated
                && end <= now_ms
            {
                return Err(TlsError::Date { kind, path, when: expired(end) });
            }
        }
        Ok(())
    }
}

/// The library's verifiers: they alone decide. What they say of revocation lists gets the words that the library has none for.
#[derive(Debug)]
struct Explained {
    /// With the lists in their first order.
    first: Arc<WebPkiServerVerifier>,
    /// With the lists in each other order.
    others: Vec<Arc<WebPkiServerVerifier>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
}

impl Explained {
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
#[error("{}", self.0.en)]
pub(super) struct ListsUnfit(pub(super) Said);

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
        verified.map_err(|error| match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownRevocationStatus) => {
                let why = Arc::new(ListsUnfit(crl::silent(&self.lists, end_entity)));
                rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first.verify_tls12_signature(message, certificate, signature)
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

fn expired(end_ms: i64) -> Said {
    let day = day(end_ms);
    Said::new(format!("{day} に期限が切れました"), format!("expired on {day}"))
}

/// When our certificate expired, in words; `None` while it is valid.
pub(super) fn expired_since(validity: &Validity, now_ms: i64) -> Option<Said> {
    let day = day(validity.certificate_ms);
    (validity.certificate_ms <= now_ms).then(|| Said::new(day.clone(), format!("on {day}")))
}

/// Start and end of our certificate, once every certificate of the chain is signed by the next.
fn chain_dates(chain: &[CertificateDer<'_>], path: &Path) -> Result<(i64, i64), TlsError> {
    let parsed: Vec<X509Certificate<'_>> =
        chain.iter().map(|der| certificate(der, FileKind::Certificate, path)).collect::<Result<_, _>>()?;
    for (index, pair) in parsed.windows(2).enumerate() {
        let [one, above] = pair else { continue };
        if one.issuer() != above.subject() || one.verify_signature(Some(above.public_key())).is_err() {
            return Err(TlsError::Chain { path: path.to_owned(), number: index + 1 });
        }
    }
    let nothing = || tls::nothing(FileKind::Certificate, path);
    // The chain is as good as its first end, and good from when its last one begins.
    let from = parsed.iter().map(|one| one.validity().not_before.timestamp()).max().ok_or_else(nothing)?;
    let to = parsed.iter().map(|one| one.validity().not_after.timestamp()).min().ok_or_else(nothing)?;
    Ok((ms(from), ms(to)))
}

fn authorities_end(authorities: &[CertificateDer<'_>], path: &Path, now_ms: i64) -> Result<i64, TlsError> {
    let mut ends = Vec::new();
    for der in authorities {
        ends.push(ms(certificate(der, FileKind::Authority, path)?.validity().not_after.timestamp()));
    }
    // While one authority follows another, the one that has ended is of no more interest.
    let valid = ends.iter().filter(|end| **end > now_ms).min();
    valid.or(ends.iter().max()).copied().ok_or_else(|| tls::nothing(FileKind::Authority, path))
}

fn certificate<'a>(der: &'a CertificateDer<'_>, kind: FileKind, path: &Path) -> Result<X509Certificate<'a>, TlsError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(TlsError::Parse { kind, path: path.to_owned() }),
    }
}

pub(super) fn ms(seconds: i64) -> i64 {
    seconds.saturating_mul(1000)
}

/// What the file system says about the files, without reading them: another value means that one was replaced or written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Option<[i64; 6]>>);

impl Fingerprint {
    pub(super) fn of(central: &config::Central) -> Self {
        let files = [&central.ca_file, &central.certificate_file, &central.key_file];
        Self(files.into_iter().chain(&central.crl_file).map(|path| one(path)).collect())
    }
}

fn one(path: &Path) -> Option<[i64; 6]> {
    let found = std::fs::metadata(path).ok()?;
    // ctime also tells of a changed mode, and of a file that was given an old mtime.
    let (size, inode) = (found.size().cast_signed(), found.ino().cast_signed());
    Some([size, inode, found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()])
}
