//! The certificates of the line between a site and the central system: ECDSA P-256 throughout, one CA, one server,
//! one gateway, and a foreign CA with a client of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint, CustomExtension,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{DevPki, files};

/// Name of the CA of the site network.
const LINK_CA: &str = "Uketsuke development link CA";

/// Validity of a further certificate.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Start of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
}

impl Default for ClientOptions {
    fn default() -> Self {
        let (not_before, not_after) = validity();
        Self { not_before, not_after }
    }
}

/// Wide and fixed: a development installation should neither expire nor depend on a stepped clock.
fn validity() -> (OffsetDateTime, OffsetDateTime) {
    (date_time_ymd(2025, 1, 1), date_time_ymd(2045, 1, 1))
}

/// Makes both CAs and their certificates where they are missing.
pub(super) fn create_missing(pki: &DevPki) -> Result<()> {
    let link = authority(&pki.link_ca_pem(), LINK_CA)?;
    leaf_if_missing(&link, &pki.server_pem(), &pki.server_key(), server_params)?;
    leaf_if_missing(&link, &pki.gateway_pem(), &pki.gateway_key(), || {
        client_params("Uketsuke development gateway", &ClientOptions::default())
    })?;
    let other = authority(&pki.other_ca_pem(), "Uketsuke development foreign CA")?;
    leaf_if_missing(&other, &pki.other_client_pem(), &pki.other_client_key(), || {
        client_params("Uketsuke development stranger", &ClientOptions::default())
    })
}

/// Issues a client certificate of the link CA under a name of its own.
pub(super) fn issue_client(pki: &DevPki, name: &str, options: &ClientOptions) -> Result<(PathBuf, PathBuf)> {
    let link = authority(&pki.link_ca_pem(), LINK_CA)?;
    let paths = (pki.dir().join(format!("{name}.pem")), pki.dir().join(format!("{name}.key")));
    leaf(&link, &paths.0, &paths.1, client_params(name, options)?)?;
    Ok(paths)
}

/// Issues the server's certificate again.
pub(super) fn issue_server(pki: &DevPki, options: &ClientOptions) -> Result<()> {
    server(pki, options, server_params()?)
}

/// Where a certificate says that its revocation list is found.
#[derive(Debug, Clone, Copy)]
pub enum ListedAt<'a> {
    /// By URI.
    Uri(&'a str),
    /// By directory name, as the authorities of the cards do.
    Directory,
}

/// Issues the server's certificate again, with the place of its revocation list.
pub(super) fn issue_server_listed(pki: &DevPki, options: &ClientOptions, at: &ListedAt<'_>) -> Result<()> {
    let mut params = server_params()?;
    match at {
        ListedAt::Uri(uri) => {
            params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![(*uri).to_owned()] }];
        }
        ListedAt::Directory => {
            let authority = CertificateDer::from_pem_file(pki.link_ca_pem())?;
            let (_, authority) = X509Certificate::from_der(&authority)?;
            // CRLDistributionPoints > DistributionPoint > distributionPoint [0] > fullName [0] > directoryName [4]
            let tags = [0xa4, 0xa0, 0xa0, 0x30, 0x30];
            let point = tags.iter().fold(authority.subject().as_raw().to_vec(), |content, tag| tagged(*tag, &content));
            params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 31], point)];
        }
    }
    server(pki, options, params)
}

fn server(pki: &DevPki, options: &ClientOptions, mut params: CertificateParams) -> Result<()> {
    let link = authority(&pki.link_ca_pem(), LINK_CA)?;
    (params.not_before, params.not_after) = (options.not_before, options.not_after);
    leaf(&link, &pki.server_pem(), &pki.server_key(), params)
}

/// A value of DER, its length in the form that fits all.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head: &[u8] = if high > 0 { &[tag, 0x82, high, low] } else { &[tag, 0x81, low] };
    let head = if content.len() < 0x80 { &[tag, low] } else { head };
    [head, content].concat()
}

/// The certificate of an authority that has the link CA's name and another key.
pub(super) fn namesake(pki: &DevPki) -> Result<PathBuf> {
    let pem = pki.dir().join("namesake-ca.pem");
    authority(&pem, LINK_CA)?;
    Ok(pem)
}

/// Writes the link CA's revocation list.
pub(super) fn write_crl(pki: &DevPki, serials: &[String], next_update: OffsetDateTime) -> Result<()> {
    let link = authority(&pki.link_ca_pem(), LINK_CA)?;
    let revoked = |serial: &String| {
        let bytes = unhex(serial).with_context(|| format!("{serial} is no serial"))?;
        Ok(RevokedCertParams {
            serial_number: SerialNumber::from_slice(&bytes),
            revocation_time: validity().0,
            reason_code: None,
            invalidity_date: None,
        })
    };
    let number = crate::clock::now_ms().to_be_bytes();
    let params = CertificateRevocationListParams {
        this_update: validity().0,
        next_update,
        crl_number: SerialNumber::from_slice(&number),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect::<Result<_>>()?,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    files::write_public(&pki.link_crl_pem(), params.signed_by(&link)?.pem()?.as_bytes())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// The CA whose certificate lies at `pem`, its key beside it with the ending `.key`.
fn authority(pem: &Path, name: &str) -> Result<Issuer<'static, KeyPair>> {
    let key_path = pem.with_extension("key");
    let mut params = named(name)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = if key_path.is_file() && pem.is_file() {
        KeyPair::from_pem(&files::read_text(&key_path)?).with_context(|| format!("reading {}", key_path.display()))?
    } else {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        files::write_secret(&key_path, key.serialize_pem().as_bytes())?;
        files::write_public(pem, params.self_signed(&key)?.pem().as_bytes())?;
        key
    };
    Ok(Issuer::new(params, key))
}

fn leaf_if_missing(
    issuer: &Issuer<'static, KeyPair>,
    pem: &Path,
    key: &Path,
    params: impl FnOnce() -> Result<CertificateParams>,
) -> Result<()> {
    if pem.is_file() && key.is_file() { Ok(()) } else { leaf(issuer, pem, key, params()?) }
}

fn leaf(issuer: &Issuer<'static, KeyPair>, pem: &Path, key: &Path, params: CertificateParams) -> Result<()> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    files::write_secret(key, pair.serialize_pem().as_bytes())?;
    files::write_public(pem, params.signed_by(&pair, issuer)?.pem().as_bytes())
}

fn named(common_name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "JP");
    params.distinguished_name.push(DnType::OrganizationName, "Uketsuke development");
    params.distinguished_name.push(DnType::CommonName, common_name);
    (params.not_before, params.not_after) = validity();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn server_params() -> Result<CertificateParams> {
    let mut params = named("Uketsuke development central system")?;
    let names = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from))?;
    params.subject_alt_names = names.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn client_params(name: &str, options: &ClientOptions) -> Result<CertificateParams> {
    let mut params = named(name)?;
    params.not_before = options.not_before;
    params.not_after = options.not_after;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}
