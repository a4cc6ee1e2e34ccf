//! A card in software that answers like a My Number Card: for virtual readers, tests and demonstrations.
//!
//! It keeps the rules that matter to a client: applications are selected by identifier; a failed selection leaves the
//! current one; PIN and 照合番号B count down in memory that survives a reset, lock at zero (6984), and are full again after
//! one success; verified state is lost with a reset or another application; the key signs whatever DigestInfo it is given,
//! but only after the PIN; the surface file opens only after 照合番号B.
//!
//! Where no public source says how a real card answers, the choice is noted at the place. The signing side of JPKI
//! (署名用) is present but closed: its PIN never matches. That is enough for OpenSC to recognise the card.

mod files;
mod incoming;

use std::fmt;

use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use zeroize::{Zeroize, ZeroizeOnDrop};

use self::files::{Application, Contents, File, jpki_files, surface_files};
use self::incoming::Incoming;
use crate::apdu::Aid;
use crate::{Transport, TransportError, VerificationNumberB, jpki, surface};

const OK: [u8; 2] = [0x90, 0x00];
const WRONG_LENGTH: [u8; 2] = [0x67, 0x00];
const SECURITY_NOT_SATISFIED: [u8; 2] = [0x69, 0x82];
const LOCKED: [u8; 2] = [0x69, 0x84];
const CONDITIONS_NOT_SATISFIED: [u8; 2] = [0x69, 0x85];
const NO_CURRENT_FILE: [u8; 2] = [0x69, 0x86];
const NOT_FOUND: [u8; 2] = [0x6A, 0x82];
const WRONG_PARAMETERS: [u8; 2] = [0x6A, 0x86];
const PAST_END: [u8; 2] = [0x6B, 0x00];
const UNKNOWN_INSTRUCTION: [u8; 2] = [0x6D, 0x00];
const UNKNOWN_CLASS: [u8; 2] = [0x6E, 0x00];

/// What is on a virtual card. Wiped when dropped, redacted in `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct VirtualCardSpec {
    /// Certificate of the authentication key, DER.
    pub authentication_certificate_der: Vec<u8>,
    /// Certificate of the issuing CA, DER.
    pub ca_certificate_der: Vec<u8>,
    /// RSA authentication key, PKCS#8 DER. It need not match the certificate: then the card is a forgery.
    pub private_key_pkcs8_der: Vec<u8>,
    /// Four ASCII digits; `None` for a card without PIN (顔認証マイナンバーカード).
    pub pin: Option<[u8; 4]>,
    /// PIN tries left now, 0 (locked) to 3; more counts as 3.
    pub pin_tries_left: u8,
    /// The number printed on the front, which opens the photo.
    pub verification_number_b: VerificationNumberB,
    /// JP2 file; `None` for a card without a photo.
    pub photo_jp2: Option<Vec<u8>>,
}

impl fmt::Debug for VirtualCardSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VirtualCardSpec(redacted)")
    }
}

/// Ways in which a card can misbehave. The default is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every response is cut to at most so many bytes.
    pub response_bytes_max: Option<usize>,
    /// The card is gone after it has answered so many more commands.
    pub dies_after_commands: Option<u32>,
}

/// A specification that cannot become a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VirtualCardError {
    /// The key is not RSA in PKCS#8.
    #[error("the private key of the virtual card is not an RSA key in PKCS#8 DER; convert it")]
    PrivateKey,
    /// A file is longer than READ BINARY can address.
    #[error("a file of the virtual card has {bytes} bytes, at most {bytes_max} can be read; use a smaller one")]
    FileTooLarge {
        /// Size of the file.
        bytes: usize,
        /// What 15 bits of offset reach.
        bytes_max: usize,
    },
}

/// A virtual card. `Debug` shows counters only.
pub struct VirtualCard {
    applications: Vec<Application>,
    /// Index into `applications`.
    selected: Option<usize>,
    /// Current file of the selected application.
    current: Option<u16>,
    front: Option<VerificationNumberB>,
    faults: Faults,
}

impl VirtualCard {
    /// Answer-to-reset of a My Number Card in a contact reader, as OpenSC lists it.
    pub const ATR: [u8; 9] = [0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14];

    /// Makes a My Number Card.
    ///
    /// # Errors
    /// [`VirtualCardError`] when the specification cannot become a card.
    pub fn new(spec: &VirtualCardSpec) -> Result<Self, VirtualCardError> {
        let key =
            RsaPrivateKey::from_pkcs8_der(&spec.private_key_pkcs8_der).map_err(|_| VirtualCardError::PrivateKey)?;
        let applications = vec![
            Application { aid: jpki::AID, files: jpki_files(spec, key) },
            Application { aid: surface::AID, files: surface_files(spec) },
        ];
        let bytes_max = 0x8000;
        for file in applications.iter().flat_map(|application| &application.files) {
            if let Contents::Data { bytes, .. } = &file.contents
                && bytes.len() > bytes_max
            {
                return Err(VirtualCardError::FileTooLarge { bytes: bytes.len(), bytes_max });
            }
        }
        let front = Some(spec.verification_number_b.clone());
        Ok(Self { applications, selected: None, current: None, front, faults: Faults::default() })
    }

    /// A card of another kind: nothing can be selected on it, and nothing is printed on it.
    #[must_use]
    pub fn foreign() -> Self {
        Self { applications: Vec::new(), selected: None, current: None, front: None, faults: Faults::default() }
    }

    /// Makes the card misbehave from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// The number printed on the front, as a camera would read it; `None` for a foreign card.
    #[must_use]
    pub fn front(&self) -> Option<&VerificationNumberB> {
        self.front.as_ref()
    }

    /// PIN tries left, 0 to 3; `None` for a card without PIN and for a foreign one.
    #[must_use]
    pub fn pin_tries_left(&self) -> Option<u8> {
        self.tries_left(jpki::AID, jpki::AUTHENTICATION_PIN)
    }

    /// 照合番号B tries left, 0 to 10; `None` for a foreign card.
    #[must_use]
    pub fn number_b_tries_left(&self) -> Option<u8> {
        self.tries_left(surface::AID, surface::NUMBER_B)
    }

    fn tries_left(&self, aid: Aid, id: u16) -> Option<u8> {
        let application = self.applications.iter().find(|application| application.aid == aid)?;
        application.files.iter().find_map(|file| match &file.contents {
            Contents::Secret(secret) if file.id == id => Some(secret.tries_left),
            _ => None,
        })
    }

    /// What a reset and the choice of another application have in common.
    fn close_session(&mut self) {
        self.selected = None;
        self.current = None;
        for file in self.applications.iter_mut().flat_map(|application| &mut application.files) {
            if let Contents::Secret(secret) = &mut file.contents {
                secret.verified = false;
            }
        }
    }

    fn execute(&mut self, command: &[u8]) -> Vec<u8> {
        let Some(command) = Incoming::parse(command) else {
            return WRONG_LENGTH.to_vec();
        };
        match (command.class, command.instruction) {
            (0x00, 0xA4) => self.select(&command).to_vec(),
            (0x00, 0xB0) => self.read_binary(&command),
            (0x00, 0x20) => self.verify(&command).to_vec(),
            (0x80, 0x2A) => self.sign(&command),
            (0x00 | 0x80, _) => UNKNOWN_INSTRUCTION.to_vec(),
            _ => UNKNOWN_CLASS.to_vec(),
        }
    }

    fn select(&mut self, command: &Incoming<'_>) -> [u8; 2] {
        match command.parameters {
            [0x04, 0x0C] => {
                let Some(index) = self.applications.iter().position(|application| application.aid == command.data)
                else {
                    return NOT_FOUND;
                };
                self.close_session();
                self.selected = Some(index);
                OK
            }
            [0x02, 0x0C] => {
                let Ok(id) = <[u8; 2]>::try_from(command.data).map(u16::from_be_bytes) else {
                    return WRONG_LENGTH;
                };
                let found = self.selected_files().is_some_and(|files| files.iter().any(|file| file.id == id));
                if found {
                    self.current = Some(id);
                    OK
                } else {
                    NOT_FOUND
                }
            }
            // A foreign card refuses whatever is selected in the same way.
            _ if self.applications.is_empty() => NOT_FOUND,
            _ => WRONG_PARAMETERS,
        }
    }

    fn read_binary(&self, command: &Incoming<'_>) -> Vec<u8> {
        let [high, low] = command.parameters;
        if high & 0x80 != 0 {
            // Short file identifiers are not offered.
            return WRONG_PARAMETERS.to_vec();
        }
        let Some(length) = command.expected.filter(|_| command.data.is_empty()) else {
            return WRONG_LENGTH.to_vec();
        };
        let Some(Contents::Data { bytes, opened_by }) = self.current_contents() else {
            return NO_CURRENT_FILE.to_vec();
        };
        if opened_by.is_some_and(|secret| !self.is_verified(secret)) {
            return SECURITY_NOT_SATISFIED.to_vec();
        }
        let offset = usize::from(u16::from_be_bytes([high, low]));
        match bytes.get(offset..) {
            None | Some([]) => PAST_END.to_vec(),
            Some(rest) => [&rest[..rest.len().min(length)], &OK].concat(),
        }
    }

    fn verify(&mut self, command: &Incoming<'_>) -> [u8; 2] {
        if command.parameters != [0x00, 0x80] {
            return WRONG_PARAMETERS;
        }
        let (Some(selected), Some(current)) = (self.selected, self.current) else {
            return CONDITIONS_NOT_SATISFIED;
        };
        let files = self.applications.get_mut(selected).map(|application| application.files.as_mut_slice());
        match files.unwrap_or_default().iter_mut().find(|file| file.id == current).map(|file| &mut file.contents) {
            Some(Contents::Secret(secret)) if command.data.is_empty() => secret.count(),
            Some(Contents::Secret(secret)) => secret.compare(command.data),
            _ => CONDITIONS_NOT_SATISFIED,
        }
    }

    fn sign(&self, command: &Incoming<'_>) -> Vec<u8> {
        if command.parameters != [0x00, 0x80] {
            return WRONG_PARAMETERS.to_vec();
        }
        let Some(Contents::Key { key, opened_by }) = self.current_contents() else {
            return CONDITIONS_NOT_SATISFIED.to_vec();
        };
        if !self.is_verified(*opened_by) {
            return SECURITY_NOT_SATISFIED.to_vec();
        }
        // The shortest padding of PKCS#1 v1.5 takes 11 bytes (RFC 8017, 9.2).
        if command.data.is_empty() || command.data.len() + 11 > key.size() {
            return WRONG_LENGTH.to_vec();
        }
        match key.sign(Pkcs1v15Sign::new_unprefixed(), command.data) {
            Ok(signature) => [&signature[..], &OK].concat(),
            Err(_) => CONDITIONS_NOT_SATISFIED.to_vec(),
        }
    }

    fn selected_files(&self) -> Option<&[File]> {
        self.applications.get(self.selected?).map(|application| application.files.as_slice())
    }

    fn current_contents(&self) -> Option<&Contents> {
        let current = self.current?;
        self.selected_files()?.iter().find(|file| file.id == current).map(|file| &file.contents)
    }

    fn is_verified(&self, id: u16) -> bool {
        self.selected_files()
            .unwrap_or_default()
            .iter()
            .any(|file| matches!(&file.contents, Contents::Secret(secret) if file.id == id && secret.verified))
    }
}

impl Transport for VirtualCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        match &mut self.faults.dies_after_commands {
            Some(0) => return Err(TransportError::CardGone),
            Some(left) => *left -= 1,
            None => {}
        }
        let mut response = self.execute(command);
        if let Some(bytes_max) = self.faults.response_bytes_max {
            response.truncate(bytes_max);
        }
        Ok(response)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        if self.faults.dies_after_commands == Some(0) {
            return Err(TransportError::CardGone);
        }
        self.close_session();
        Ok(())
    }
}

impl fmt::Debug for VirtualCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualCard")
            .field("pin_tries_left", &self.pin_tries_left())
            .field("number_b_tries_left", &self.number_b_tries_left())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_card_refuses_every_selection_and_shows_nothing() {
        let mut card = VirtualCard::foreign();
        for aid in [jpki::AID, surface::AID] {
            let command = crate::apdu::Command::select_application(&aid);
            assert_eq!(card.transmit(command.as_bytes()), Ok(vec![0x6A, 0x82]));
        }
        assert_eq!(card.transmit(&[0x00, 0xA4, 0x00, 0x00]), Ok(vec![0x6A, 0x82]));
        assert!(card.front().is_none());
        assert_eq!(card.pin_tries_left(), None);
    }

    #[test]
    fn malformed_commands_are_answered_politely() {
        let mut card = VirtualCard::foreign();
        let cases: [(&[u8], [u8; 2]); 5] = [
            (&[], WRONG_LENGTH),
            (&[0x00, 0xA4], WRONG_LENGTH),
            (&[0x00, 0xA4, 0x04, 0x0C, 0x05, 0x01], WRONG_LENGTH),
            (&[0x00, 0xCA, 0x00, 0x00, 0x00], UNKNOWN_INSTRUCTION),
            (&[0xA0, 0xA4, 0x00, 0x00], UNKNOWN_CLASS),
        ];
        for (command, status) in cases {
            assert_eq!(card.transmit(command), Ok(status.to_vec()), "{command:02X?}");
        }
    }
}
