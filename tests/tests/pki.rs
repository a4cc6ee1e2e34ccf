//! The development PKI keeps its promises: idempotent, private keys private, certificates shaped like JPKI's.

#![allow(clippy::unwrap_used, reason = "a scene that cannot be set fails its test")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use uketsuke_tests::pki::{CardOptions, DevPki};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Every file below `dir` with its content and mode.
fn files(dir: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            found.insert(path.display().to_string(), (std::fs::read(&path).unwrap(), mode));
        }
    }
    found
}

#[test]
fn making_it_twice_changes_nothing_and_keys_are_their_owners_alone() {
    let dir = TempDir::new().unwrap();
    let make = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dev-pki"));
        let output = command.arg("--out").arg(dir.path()).args(["--card", "TEST-VALID-0001"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        files(dir.path())
    };

    let first = make();
    let second = make();

    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    assert!(first == second, "a second run changed a file");
    for (path, (_, mode)) in &first {
        if path.ends_with(".key") || path.ends_with(".pk8") {
            assert_eq!(*mode, 0o600, "{path}");
        }
    }
    DevPki::open(dir.path()).unwrap();
}

#[test]
fn a_card_certificate_is_shaped_like_jpki_and_chains_to_the_card_ca() {
    let dir = TempDir::new().unwrap();
    let pki = DevPki::create_or_open(dir.path()).unwrap();
    let card = pki.card("TEST-INVALID-0001", &CardOptions::shared()).unwrap();
    let other = pki.card("TEST-INVALID-0002", &CardOptions::shared()).unwrap();
    let ca_der = std::fs::read(pki.card_ca_der()).unwrap();
    let (_, ca) = X509Certificate::from_der(&ca_der).unwrap();
    let (_, auth) = X509Certificate::from_der(&card.certificate_der).unwrap();

    assert_eq!(ca.subject().to_string(), "C=JP, O=JPKI-TEST, OU=JPKI-TEST for user authentication");
    assert_eq!(auth.issuer(), ca.subject());
    auth.verify_signature(Some(ca.public_key())).unwrap();
    // sha256WithRSAEncryption.
    assert_eq!(auth.signature_algorithm.algorithm.to_id_string(), "1.2.840.113549.1.1.11");
    assert_eq!(auth.public_key().parsed().unwrap().key_size(), 2048);
    let usage = auth.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign());
    assert_eq!(auth.subject().iter_common_name().next().unwrap().as_str().unwrap(), "TEST-INVALID-0001");
    assert_ne!(card.serial_hex, other.serial_hex, "a shared key does not mean a shared serial");
}

#[test]
fn a_card_asked_for_with_another_validity_gets_a_new_certificate_and_keeps_its_key() {
    let dir = TempDir::new().unwrap();
    let pki = DevPki::create_or_open(dir.path()).unwrap();
    let first = pki.card("TEST-RENEWED", &CardOptions::shared()).unwrap();
    let until = CardOptions::default().not_after - time::Duration::days(900);

    let renewed = pki.card("TEST-RENEWED", &CardOptions { not_after: until, ..CardOptions::shared() }).unwrap();

    assert_ne!(first.serial_hex, renewed.serial_hex);
    assert_eq!(first.key_pkcs8_der, renewed.key_pkcs8_der);
    let (_, certificate) = X509Certificate::from_der(&renewed.certificate_der).unwrap();
    assert_eq!(certificate.validity().not_after.timestamp(), until.unix_timestamp());
}

#[test]
fn a_card_name_that_is_not_a_file_name_is_refused() {
    let dir = TempDir::new().unwrap();
    let pki = DevPki::create_or_open(dir.path()).unwrap();

    for name in ["", "../escape", "a/b", "名前"] {
        pki.card(name, &CardOptions::shared()).unwrap_err();
    }
}
