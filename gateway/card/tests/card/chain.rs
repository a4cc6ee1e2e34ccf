//! Which certificates are trusted, and when.

use rcgen::KeyUsagePurpose;
use time::macros::datetime;
use uketsuke_card::{AnchorError, AuthCertificate, CertificateError, ChainError, TrustAnchors};

use crate::scene::{CA_KEY, CARD_KEY, Ca, NEXT_CA_KEY, NOT_AFTER, NOW, ms};

/// A later generation with the same name and its own key.
fn next_generation() -> Ca {
    Ca {
        key: &NEXT_CA_KEY,
        not_before: datetime!(2023-07-16 0:00 +9),
        not_after: datetime!(2033-07-15 23:59:59 +9),
        ..Ca::jpki()
    }
}

fn anchors(cas: &[Ca]) -> TrustAnchors {
    TrustAnchors::from_ders(cas.iter().map(Ca::der)).unwrap()
}

#[test]
fn the_generation_that_signed_is_found_among_several_of_the_same_name() {
    let first = Ca::jpki().issue_for_signatures(&CARD_KEY, NOT_AFTER);
    let second = next_generation().issue_for_signatures(&CARD_KEY, NOT_AFTER);
    for anchors in [anchors(&[Ca::jpki(), next_generation()]), anchors(&[next_generation(), Ca::jpki()])] {
        assert_eq!(anchors.verify_chain(&first, ms(NOW)), Ok(()));
        assert_eq!(anchors.verify_chain(&second, ms(NOW)), Ok(()));
    }
}

#[test]
fn a_certificate_of_the_right_name_and_the_wrong_key_is_refused() {
    let forged = next_generation().issue_for_signatures(&CARD_KEY, NOT_AFTER);
    assert_eq!(anchors(&[Ca::jpki()]).verify_chain(&forged, ms(NOW)), Err(ChainError::NotSignedByIssuer));
}

#[test]
fn a_certificate_from_another_ca_is_refused() {
    let other = Ca { name: "SOMEBODY ELSE", ..next_generation() }.issue_for_signatures(&CARD_KEY, NOT_AFTER);
    let anchors = anchors(&[Ca::jpki(), next_generation()]);
    assert_eq!(anchors.verify_chain(&other, ms(NOW)), Err(ChainError::UnknownIssuer));
}

#[test]
fn a_tampered_certificate_is_refused() {
    let mut der = Ca::jpki().issue_for_signatures(&CARD_KEY, NOT_AFTER).der().to_vec();
    let name = der.windows(13).position(|window| window == b"MARKED-PERSON").unwrap();
    der[name] = b'N';
    let tampered = AuthCertificate::from_der(&der).unwrap();
    assert_eq!(anchors(&[Ca::jpki()]).verify_chain(&tampered, ms(NOW)), Err(ChainError::NotSignedByIssuer));
}

#[test]
fn a_certificate_that_is_not_for_signatures_is_refused() {
    for usages in [&[][..], &[KeyUsagePurpose::KeyEncipherment]] {
        let der = Ca::jpki().issue(&CARD_KEY, NOT_AFTER, usages);
        let certificate = AuthCertificate::from_der(&der).unwrap();
        assert_eq!(
            anchors(&[Ca::jpki()]).verify_chain(&certificate, ms(NOW)),
            Err(ChainError::NotForSignatures),
            "{usages:?}"
        );
    }
}

#[test]
fn a_ca_is_trusted_only_while_it_is_valid_itself() {
    let anchors = anchors(&[Ca::jpki()]);
    let outlives_its_ca = Ca::jpki().issue_for_signatures(&CARD_KEY, datetime!(2031-04-01 23:59:59 +9));
    assert_eq!(anchors.verify_chain(&outlives_its_ca, ms(datetime!(2029-09-14 23:59:59 +9))), Ok(()));
    assert_eq!(
        anchors.verify_chain(&outlives_its_ca, ms(datetime!(2029-09-15 0:00 +9))),
        Err(ChainError::IssuerNotValid)
    );
    assert_eq!(
        anchors.verify_chain(&outlives_its_ca, ms(datetime!(2019-09-13 23:59:59 +9))),
        Err(ChainError::IssuerNotValid)
    );
}

#[test]
fn a_ca_that_ends_during_the_grace_of_a_certificate_does_not_shorten_it() {
    let certificate = Ca::jpki().issue_for_signatures(&CARD_KEY, datetime!(2029-08-31 23:59:59 +9));
    let in_grace = ms(datetime!(2029-10-15 9:00 +9));
    assert!(certificate.not_after_ms() < in_grace);
    assert_eq!(anchors(&[Ca::jpki()]).verify_chain(&certificate, in_grace), Ok(()));
}

#[test]
fn the_same_key_in_a_renewed_ca_certificate_is_enough() {
    let expired = Ca { key: &CA_KEY, not_after: datetime!(2025-10-19 23:59:59 +9), ..Ca::jpki() };
    let certificate = Ca::jpki().issue_for_signatures(&CARD_KEY, NOT_AFTER);
    assert_eq!(anchors(&[Ca { ..expired }]).verify_chain(&certificate, ms(NOW)), Err(ChainError::IssuerNotValid));
    let expired = Ca { not_after: datetime!(2025-10-19 23:59:59 +9), ..Ca::jpki() };
    assert_eq!(anchors(&[expired, Ca::jpki()]).verify_chain(&certificate, ms(NOW)), Ok(()));
}

#[test]
fn anchors_that_cannot_be_used_are_refused_by_position() {
    let person = Ca::jpki().issue_for_signatures(&CARD_KEY, NOT_AFTER).der().to_vec();
    assert_eq!(TrustAnchors::from_ders(Vec::<Vec<u8>>::new()).unwrap_err(), AnchorError::None);
    assert_eq!(TrustAnchors::from_ders([Ca::jpki().der(), person]).unwrap_err(), AnchorError::NotACa { index: 1 });
    assert_eq!(
        TrustAnchors::from_ders([b"-----BEGIN CERTIFICATE-----".to_vec()]).unwrap_err(),
        AnchorError::BadCertificate { index: 0, source: CertificateError::NotX509 }
    );
    assert!(matches!(
        TrustAnchors::from_ders(vec![Ca::jpki().der(); 17]),
        Err(AnchorError::TooMany { anchors_max: 16 })
    ));
}

#[test]
fn serial_and_dates_come_out_of_the_certificate() {
    let certificate = Ca::jpki().issue_for_signatures(&CARD_KEY, NOT_AFTER);
    assert_eq!(certificate.not_after_ms(), ms(NOT_AFTER));
    assert_eq!(certificate.not_before_ms(), ms(datetime!(2024-04-01 23:59:59 +9)));
    assert!(!certificate.serial().as_bytes().is_empty());
    assert_eq!(certificate.serial(), AuthCertificate::from_der(certificate.der()).unwrap().serial());
}

#[test]
fn a_certificate_with_bytes_behind_it_is_refused() {
    let mut der = Ca::jpki().issue_for_signatures(&CARD_KEY, NOT_AFTER).der().to_vec();
    der.push(0);
    assert_eq!(AuthCertificate::from_der(&der).unwrap_err(), CertificateError::TrailingBytes { bytes: 1 });
}

#[test]
fn a_certificate_of_another_algorithm_is_refused() {
    let key = rcgen::KeyPair::generate().unwrap();
    let der = rcgen::CertificateParams::default().self_signed(&key).unwrap().der().to_vec();
    assert_eq!(AuthCertificate::from_der(&der).unwrap_err(), CertificateError::UnsupportedAlgorithm);
}
