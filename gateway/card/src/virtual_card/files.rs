//! What is stored on a virtual card, and which secret opens what.

use rsa::RsaPrivateKey;
use zeroize::Zeroizing;

use super::{LOCKED, OK, VirtualCardSpec};
use crate::apdu::Aid;
use crate::{jpki, surface};

const SIGNING_CERTIFICATE: u16 = 0x0001;
const SIGNING_CA_CERTIFICATE: u16 = 0x0002;
const TOKEN_INFORMATION: u16 = 0x0006;
const SIGNING_PIN: u16 = 0x001B;
/// Wrong signing PINs until the card locks it (JPKI FAQ).
const SIGNING_PIN_TRIES: u8 = 5;
/// Wrong numbers until the card locks 照合番号B (two independent implementations).
const NUMBER_B_TRIES: u8 = 10;
/// How a physical card labels itself in its token information.
const TOKEN_LABEL: &[u8] = b"JPKIAPICCTOKEN2     ";
/// Tag and size of a record before the photo (a public key); here zeros, so that a reader has something to skip.
const TAG_SURFACE_KEY: u16 = 0xDF24;
const SURFACE_KEY_BYTES: usize = 256;

/// What a SELECT by identifier finds.
pub(super) struct Application {
    pub aid: Aid,
    pub files: Vec<File>,
}

/// What a SELECT by file id finds.
pub(super) struct File {
    pub id: u16,
    pub contents: Contents,
}

/// What a file does.
pub(super) enum Contents {
    /// Readable; `opened_by` names the secret that must be verified before.
    Data {
        bytes: Zeroizing<Vec<u8>>,
        opened_by: Option<u16>,
    },
    Secret(Secret),
    Key {
        key: Box<RsaPrivateKey>,
        opened_by: u16,
    },
}

/// A secret that the card compares itself.
pub(super) struct Secret {
    /// `None` never matches.
    value: Option<Zeroizing<Vec<u8>>>,
    pub tries_left: u8,
    tries_max: u8,
    pub verified: bool,
}

impl Secret {
    fn new(value: Option<&[u8]>, tries_left: u8, tries_max: u8) -> Self {
        let value = value.map(|value| Zeroizing::new(value.to_vec()));
        Self { value, tries_left: tries_left.min(tries_max), tries_max, verified: false }
    }

    /// The tries query is answered with the counter at any time, after a success too; OpenSC insists on that.
    pub fn count(&self) -> [u8; 2] {
        [0x63, 0xC0 | self.tries_left]
    }

    pub fn compare(&mut self, candidate: &[u8]) -> [u8; 2] {
        if self.tries_left == 0 {
            return LOCKED;
        }
        if self.value.as_ref().is_some_and(|value| value.as_slice() == candidate) {
            self.tries_left = self.tries_max;
            self.verified = true;
            return OK;
        }
        self.tries_left -= 1;
        self.verified = false;
        self.count()
    }
}

fn data(id: u16, bytes: &[u8], opened_by: Option<u16>) -> File {
    File { id, contents: Contents::Data { bytes: Zeroizing::new(bytes.to_vec()), opened_by } }
}

fn secret(id: u16, secret: Secret) -> File {
    File { id, contents: Contents::Secret(secret) }
}

/// Files of the JPKI application.
pub(super) fn jpki_files(spec: &VirtualCardSpec, key: RsaPrivateKey) -> Vec<File> {
    let mut files = vec![
        data(SIGNING_CERTIFICATE, &[], Some(SIGNING_PIN)),
        data(SIGNING_CA_CERTIFICATE, &spec.ca_certificate_der, None),
        data(TOKEN_INFORMATION, TOKEN_LABEL, None),
        data(jpki::AUTHENTICATION_CERTIFICATE, &spec.authentication_certificate_der, None),
        data(jpki::AUTHENTICATION_CA_CERTIFICATE, &spec.ca_certificate_der, None),
        secret(SIGNING_PIN, Secret::new(None, SIGNING_PIN_TRIES, SIGNING_PIN_TRIES)),
        File {
            id: jpki::AUTHENTICATION_KEY,
            contents: Contents::Key { key: Box::new(key), opened_by: jpki::AUTHENTICATION_PIN },
        },
    ];
    // How a card without PIN answers is not published. Here it has no PIN file (6A82): a client then knows that no PIN
    // exists, and signing answers 6982 for ever.
    if let Some(pin) = &spec.pin {
        files.push(secret(jpki::AUTHENTICATION_PIN, Secret::new(Some(pin), spec.pin_tries_left, jpki::PIN_TRIES)));
    }
    files
}

/// Files of the card-surface application.
pub(super) fn surface_files(spec: &VirtualCardSpec) -> Vec<File> {
    let mut records = record(TAG_SURFACE_KEY, &[0; SURFACE_KEY_BYTES]);
    if let Some(photo) = &spec.photo_jp2 {
        records.extend(record(surface::TAG_PHOTO, photo).iter());
    }
    let number = Secret::new(Some(spec.verification_number_b.expose_ascii()), NUMBER_B_TRIES, NUMBER_B_TRIES);
    vec![
        data(surface::SURFACE_FILE, &record(surface::TAG_SURFACE, &records), Some(surface::NUMBER_B)),
        secret(surface::NUMBER_B, number),
    ]
}

/// A record with a two-byte tag and a length of three bytes behind `83`, which holds every file that fits on the card.
fn record(tag: u16, value: &[u8]) -> Zeroizing<Vec<u8>> {
    let [_, length @ ..] = u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes();
    Zeroizing::new([&tag.to_be_bytes()[..], &[0x83], &length, value].concat())
}
