//! A card CA shaped like JPKI and the authentication certificates it issues (domain facts C.3: RSA-2048,
//! sha256WithRSAEncryption, test hierarchy `O=JPKI-TEST`).

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, SerialNumber, date_time_ymd,
};
use ring::digest::{SHA256, digest};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{DevPki, files};

/// Bits of the cards' keys and of their CA's (domain facts C.3).
const KEY_BITS: usize = 2048;

/// What a card is made with.
#[derive(Debug, Clone)]
pub struct CardOptions {
    /// Subject CN of the certificate; the card's name when `None`. A prefix like `TEST-INVALID-` chooses the
    /// answer of the central simulator.
    pub common_name: Option<String>,
    /// Start of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
    /// Whether the card uses one RSA key together with other cards of this directory. Generating a key takes about
    /// a second; a load test with a thousand patients wants a thousand certificates, not a thousand keys.
    pub shared_key: bool,
}

impl Default for CardOptions {
    /// Valid from 2025-01-01 to 2035-01-01, a key of its own.
    fn default() -> Self {
        Self {
            common_name: None,
            not_before: date_time_ymd(2025, 1, 1),
            not_after: date_time_ymd(2035, 1, 1),
            shared_key: false,
        }
    }
}

impl CardOptions {
    /// The defaults with the directory's shared key.
    pub fn shared() -> Self {
        Self { shared_key: true, ..Self::default() }
    }
}

/// One issued card: certificate and key in memory, and where they lie.
#[derive(Clone)]
pub struct Card {
    /// The name it was asked for under.
    pub name: String,
    /// Directory with `auth.der` and `key.pk8`.
    pub dir: PathBuf,
    /// Authentication certificate, DER (EF 000A of a card).
    pub certificate_der: Vec<u8>,
    /// RSA private key, PKCS#8 DER (EF 0017 of a card).
    pub key_pkcs8_der: Vec<u8>,
    /// Serial number of the certificate, lower-case hexadecimal.
    pub serial_hex: String,
}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Card").field("name", &self.name).field("serial_hex", &self.serial_hex).finish_non_exhaustive()
    }
}

/// Makes the card CA where it is missing.
pub(super) fn create_missing_ca(pki: &DevPki) -> Result<()> {
    ca(pki).map(drop)
}

/// Reads the card if it exists as asked for, issues it otherwise.
pub(super) fn issue(pki: &DevPki, name: &str, options: &CardOptions) -> Result<Card> {
    ensure!(
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)),
        "a card's name is made of letters, digits, - and _, because it names a directory; got {name:?}"
    );
    let dir = pki.card_dir(name);
    let (certificate_path, key_path) = (dir.join("auth.der"), dir.join("key.pk8"));
    let common_name = options.common_name.as_deref().unwrap_or(name);
    let serial = serial(common_name, options);

    let key_pkcs8_der = if key_path.is_file() {
        files::read(&key_path)?
    } else {
        let key = if options.shared_key { shared_key(pki)? } else { generate_key()? };
        files::write_secret(&key_path, &key)?;
        key
    };
    let stored = if certificate_path.is_file() { Some(files::read(&certificate_path)?) } else { None };
    let certificate_der = match stored {
        // The serial is derived from everything that makes the certificate what it is.
        Some(der) if serial_of(&der)? == serial => der,
        _ => {
            let der = certify(&ca(pki)?, common_name, &serial, options, &key_pkcs8_der)?;
            files::write_public(&certificate_path, &der)?;
            der
        }
    };
    let serial_hex = serial.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Card { name: name.to_owned(), dir, certificate_der, key_pkcs8_der, serial_hex })
}

fn certify(
    ca: &Issuer<'static, KeyPair>,
    common_name: &str,
    serial: &[u8],
    options: &CardOptions,
    key_pkcs8: &[u8],
) -> Result<Vec<u8>> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "JP");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.not_before = options.not_before;
    params.not_after = options.not_after;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(&key_pair(key_pkcs8)?, ca)?.der().to_vec())
}

/// The card CA with its key.
fn ca(pki: &DevPki) -> Result<Issuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "JP");
    params.distinguished_name.push(DnType::OrganizationName, "JPKI-TEST");
    params.distinguished_name.push(DnType::OrganizationalUnitName, "JPKI-TEST for user authentication");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date_time_ymd(2019, 9, 14), date_time_ymd(2045, 1, 1));

    let key_path = pki.card_ca_der().with_extension("pk8");
    let exists = [&key_path, &pki.card_ca_der(), &pki.card_ca_pem()].iter().all(|path| path.is_file());
    let key = if exists {
        key_pair(&files::read(&key_path)?)?
    } else {
        let pkcs8 = generate_key()?;
        let key = key_pair(&pkcs8)?;
        let certificate = params.self_signed(&key)?;
        files::write_secret(&key_path, &pkcs8)?;
        files::write_public(&pki.card_ca_der(), certificate.der())?;
        files::write_public(&pki.card_ca_pem(), certificate.pem().as_bytes())?;
        key
    };
    Ok(Issuer::new(params, key))
}

/// The RSA key that cards with [`CardOptions::shared_key`] have in common.
fn shared_key(pki: &DevPki) -> Result<Vec<u8>> {
    let path = pki.dir().join("shared-card-key.pk8");
    if path.is_file() {
        return files::read(&path);
    }
    let key = generate_key()?;
    files::write_secret(&path, &key)?;
    Ok(key)
}

fn generate_key() -> Result<Vec<u8>> {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS).context("generating an RSA key")?;
    Ok(key.to_pkcs8_der().context("encoding an RSA key")?.as_bytes().to_vec())
}

fn key_pair(pkcs8: &[u8]) -> Result<KeyPair> {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &PKCS_RSA_SHA256)
        .context("reading an RSA key")
}

/// Eight bytes, positive and of full length. Derived from all that distinguishes one certificate from another, so
/// that shared keys do not collide and equal cards in two directories are equal persons to the simulator.
fn serial(common_name: &str, options: &CardOptions) -> Vec<u8> {
    let text = format!(
        "uketsuke development card\0{common_name}\0{}\0{}",
        options.not_before.unix_timestamp(),
        options.not_after.unix_timestamp()
    );
    let mut serial = digest(&SHA256, text.as_bytes()).as_ref()[..8].to_vec();
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

fn serial_of(der: &[u8]) -> Result<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).context("reading a stored card certificate")?;
    Ok(certificate.raw_serial().to_vec())
}
