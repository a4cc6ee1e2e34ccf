//! Everything for mutual TLS as one whole: TLS 1.3 only, the authorities of the site network alone, our certificate, and the
//! revocation list where one is configured. It is used as a whole or not at all.

use super::fault::Said;
use super::files::Parts;
use super::tls::{self, FileKind, TlsError};
use super::verifier::Explained;
use super::wire::SignerError;
use crate::config;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;
use time::{OffsetDateTime, UtcOffset};
use uketsuke_core::former::Found;
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
    /// Whether files could not be read, or are refused for what they say.
    pub(super) fn found(&self) -> Found {
        match self {
            Self::Tls(error) => error.found(),
            Self::Signer(_) => Found::Unfit,
        }
    }

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
pub fn day(at_ms: i64) -> String {
    let japan = UtcOffset::from_hms(9, 0, 0).unwrap_or(UtcOffset::UTC);
    let at = OffsetDateTime::UNIX_EPOCH.saturating_add(time::Duration::milliseconds(at_ms));
    // A clock at the end of the calendar has no time in Japan.
    let at = at.checked_to_offset(japan).unwrap_or(at);
    let (hour, minute, second) = at.to_hms();
    format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02} JST", at.year(), u8::from(at.month()), at.day())
}

/// Usable material.
pub(super) struct Material {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) server_name: ServerName<'static>,
    pub(super) validity: Validity,
    /// What it is made of. Its key signs requests, so that both are renewed at once.
    pub(super) parts: Arc<Parts>,
}

impl Material {
    /// Makes material of parts that fit. Dates are for [`Material::current`]: a gateway whose certificate has expired starts nevertheless,
    /// and says so.
    pub(super) fn of(central: &config::Central, parts: Parts, now_ms: i64) -> Result<Self, MaterialError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let validity = Validity {
            certificate_ms: parts.pair.until_ms,
            authorities_ms: authorities_end(&parts.authorities, &central.ca_file, now_ms)?,
            crl_ms: parts.lists.as_ref().map(|lists| lists.end_ms),
        };
        let verifier = Arc::new(Explained::new(&parts.authorities, parts.lists.as_ref(), central)?);
        let refused = |source| TlsError::Refused { path: central.certificate_file.clone(), source };
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(refused)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(parts.pair.chain.clone(), parts.pair.key.clone_key())
            .map_err(refused)?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would skip the certificates of both sides, and with them every revocation since.
        tls.resumption = Resumption::disabled();
        let server_name = ServerName::try_from(central.server_name.clone()).map_err(TlsError::from)?;
        Ok(Self { tls: Arc::new(tls), server_name, validity, parts: Arc::new(parts) })
    }

    /// Whether every part is valid now: what replaces material in use has to be.
    pub(super) fn current(&self, central: &config::Central, now_ms: i64) -> Result<(), TlsError> {
        if now_ms < self.parts.pair.from_ms {
            let from = day(self.parts.pair.from_ms);
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
pub(super) fn chain_dates(chain: &[CertificateDer<'_>], path: &Path) -> Result<(i64, i64), TlsError> {
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

pub(super) fn certificate<'a>(
    der: &'a CertificateDer<'_>,
    kind: FileKind,
    path: &Path,
) -> Result<X509Certificate<'a>, TlsError> {
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
