//! What a reader is made of: the port that drivers implement, and the commands a reader's actor gives.
//!
//! A driver runs as a task of its own and never blocks the arbiter. It reports insertions and removals, executes one command
//! at a time, and ends when its [`DriverHandle`] is dropped. Card sessions are exclusive; the card is reset before it is read
//! and when the reception ends, because a verified PIN holds until then.

mod virtual_slot;

use crate::central::Said;
use crate::config;
use tokio::sync::{mpsc, oneshot};
use uketsuke_card::{AuthCertificate, CardReading, Pin, PinVerification, ReadError, SignError};
use zeroize::Zeroizing;

/// What a driver tells without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverEvent {
    /// A card was put in.
    Inserted,
    /// The card was taken out.
    Removed,
    /// The reader does not work; the driver has ended. The text is for staff and log.
    Fault(String),
}

/// What the card said to a PIN, with its signature if the PIN was right.
pub enum PinReply {
    /// Right: RSASSA-PKCS1-v1_5 with SHA-256 over the payload, checked against the certificate.
    Signed(Vec<u8>),
    /// Wrong; tries left.
    Wrong(u8),
    /// No tries left.
    Locked,
    /// The card did not answer properly; the text is for the log.
    Fault(String),
}

/// A command to the card; the answer goes back through the oneshot.
pub(crate) enum Command {
    Read(oneshot::Sender<Result<CardReading, ReadError>>),
    VerifyAndSign {
        pin: Pin,
        certificate: Box<AuthCertificate>,
        payload: Zeroizing<Vec<u8>>,
        reply: oneshot::Sender<PinReply>,
    },
    Reset,
}

/// A reader's driver as its actor holds it. Dropping the last clone ends the driver.
#[derive(Clone)]
pub struct DriverHandle {
    commands: mpsc::Sender<Command>,
}

/// Starts the configured driver on the tokio workers.
///
/// # Errors
/// The slot cannot be opened; the text says why and what to do.
pub async fn open(config: &config::Reader) -> Result<(DriverHandle, mpsc::Receiver<DriverEvent>), Said> {
    match config.driver {
        config::Driver::Virtual => virtual_slot::open(config.slot).await,
    }
}

impl DriverHandle {
    /// Reads the card: reset, certificate, PIN status, photo.
    ///
    /// # Errors
    /// [`ReadError`]; a driver that ended counts as a card that is gone.
    pub async fn read(&self) -> Result<CardReading, ReadError> {
        let gone = || ReadError::CardGone { what: "reading the card" };
        let (reply, read) = oneshot::channel();
        self.commands.send(Command::Read(reply)).await.map_err(|_| gone())?;
        read.await.map_err(|_| gone())?
    }

    /// Tries a PIN, once, and has the card sign `payload` in the same session.
    pub async fn verify_and_sign(
        &self,
        pin: Pin,
        certificate: AuthCertificate,
        payload: Zeroizing<Vec<u8>>,
    ) -> PinReply {
        let gone = || PinReply::Fault("the driver has ended".into());
        let (reply, signed) = oneshot::channel();
        let command = Command::VerifyAndSign { pin, certificate: Box::new(certificate), payload, reply };
        if self.commands.send(command).await.is_err() {
            return gone();
        }
        signed.await.unwrap_or_else(|_| gone())
    }

    /// Resets the card so that nothing verified is left on it. Best effort: a card that is gone has forgotten anyway.
    pub fn reset(&self) {
        let _ = self.commands.try_send(Command::Reset);
    }
}

/// PIN and signature in one session, as every driver does it.
fn verify_and_sign<T: uketsuke_card::Transport>(
    transport: &mut T,
    pin: &Pin,
    certificate: &AuthCertificate,
    payload: &[u8],
) -> PinReply {
    let fault = |error: ReadError| PinReply::Fault(error.to_string());
    let mut jpki = match uketsuke_card::Jpki::select(transport) {
        Ok(jpki) => jpki,
        Err(error) => return fault(error),
    };
    match jpki.verify_pin(pin) {
        Ok(PinVerification::Verified) => {}
        Ok(PinVerification::Wrong { tries_left }) => return PinReply::Wrong(tries_left),
        Ok(PinVerification::Locked) => return PinReply::Locked,
        Err(error) => return fault(error),
    }
    match jpki.sign(certificate, payload) {
        Ok(signature) => PinReply::Signed(signature),
        Err(error @ (SignError::PinNotVerified | SignError::Mismatch(_) | SignError::Read(_))) => {
            PinReply::Fault(error.to_string())
        }
    }
}
