//! Keys, certificates and cards for the tests. Every person and number is invented.

use std::sync::LazyLock;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use time::OffsetDateTime;
use time::macros::datetime;
use uketsuke_card::{AuthCertificate, Pin, VerificationNumberB, VirtualCard, VirtualCardSpec};

/// The PIN of [`spec`].
pub const PIN: &[u8; 4] = b"7391";
/// 照合番号B of [`spec`].
pub const NUMBER_B: &[u8; 14] = b"55010120308642";
/// A moment at which everything in the scene is valid.
pub const NOW: OffsetDateTime = datetime!(2026-04-01 9:00 +9);
/// Expiry of [`spec`]'s certificate.
pub const NOT_AFTER: OffsetDateTime = datetime!(2029-04-01 23:59:59 +9);

/// An RSA-2048 key, PKCS#8 DER. Made once per test run: this is the slow part.
pub struct Key(Vec<u8>);

impl Key {
    fn generate() -> Self {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        Self(key.to_pkcs8_der().unwrap().as_bytes().to_vec())
    }

    pub fn pkcs8_der(&self) -> &[u8] {
        &self.0
    }

    fn pair(&self) -> KeyPair {
        KeyPair::try_from(self.0.as_slice()).unwrap()
    }
}

pub static CARD_KEY: LazyLock<Key> = LazyLock::new(Key::generate);
pub static OTHER_KEY: LazyLock<Key> = LazyLock::new(Key::generate);
pub static CA_KEY: LazyLock<Key> = LazyLock::new(Key::generate);
pub static NEXT_CA_KEY: LazyLock<Key> = LazyLock::new(Key::generate);

pub fn ms(instant: OffsetDateTime) -> i64 {
    i64::try_from(instant.unix_timestamp_nanos() / 1_000_000).unwrap()
}

/// One generation of a CA.
pub struct Ca {
    pub key: &'static Key,
    pub name: &'static str,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
}

impl Ca {
    pub fn jpki() -> Self {
        Self {
            key: &CA_KEY,
            name: "TEST JPKI",
            not_before: datetime!(2019-09-14 0:00 +9),
            not_after: datetime!(2029-09-14 23:59:59 +9),
        }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "JP");
        params.distinguished_name.push(DnType::OrganizationName, self.name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = self.not_before;
        params.not_after = self.not_after;
        params
    }

    pub fn der(&self) -> Vec<u8> {
        self.params().self_signed(&self.key.pair()).unwrap().der().to_vec()
    }

    /// A person's certificate for `key`, from five years before `not_after`.
    pub fn issue(&self, key: &Key, not_after: OffsetDateTime, usages: &[KeyUsagePurpose]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "MARKED-PERSON");
        params.key_usages = usages.to_vec();
        params.not_before = not_after.replace_year(not_after.year() - 5).unwrap();
        params.not_after = not_after;
        params.signed_by(&key.pair(), &Issuer::new(self.params(), self.key.pair())).unwrap().der().to_vec()
    }

    pub fn issue_for_signatures(&self, key: &Key, not_after: OffsetDateTime) -> AuthCertificate {
        AuthCertificate::from_der(&self.issue(key, not_after, &[KeyUsagePurpose::DigitalSignature])).unwrap()
    }
}

/// What the spec's photo file holds; long enough for several reads.
pub fn photo() -> Vec<u8> {
    (0..3086_u32).map(|position| (position * 31 % 251) as u8).collect()
}

/// A healthy card of an invented person.
pub fn spec() -> VirtualCardSpec {
    VirtualCardSpec {
        authentication_certificate_der: Ca::jpki().issue_for_signatures(&CARD_KEY, NOT_AFTER).der().to_vec(),
        ca_certificate_der: Ca::jpki().der(),
        private_key_pkcs8_der: CARD_KEY.pkcs8_der().to_vec(),
        pin: Some(*PIN),
        pin_tries_left: 3,
        verification_number_b: number_b(),
        photo_jp2: Some(photo()),
    }
}

pub fn card() -> VirtualCard {
    VirtualCard::new(&spec()).unwrap()
}

pub fn right_pin() -> Pin {
    Pin::from_ascii(PIN).unwrap()
}

pub fn wrong_pin() -> Pin {
    Pin::from_ascii(b"0000").unwrap()
}

pub fn number_b() -> VerificationNumberB {
    VerificationNumberB::from_ascii(NUMBER_B).unwrap()
}

pub fn wrong_number_b() -> VerificationNumberB {
    VerificationNumberB::from_ascii(b"00000000000000").unwrap()
}
