//! The port to a card: one command in, one response out.
//!
//! An implementation promises that every call ends (it owns the deadline), that responses never arrive for an older
//! command, and that [`TransportError`] says whether the card or the reader is at fault.

use crate::Class;

/// A way to talk to one card in one reader.
///
/// The caller holds the card exclusively: a verified PIN stays verified until [`Transport::reset`] or removal, so a shared
/// card would let a stranger sign.
pub trait Transport {
    /// Sends one complete command APDU and returns the complete response, status word included (2 to 258 bytes).
    ///
    /// # Errors
    /// See [`TransportError`]. After an error it is unknown whether the card has executed the command.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError>;

    /// Resets the card: no application is selected and nothing is verified afterwards. Tries left survive.
    ///
    /// # Errors
    /// See [`TransportError`].
    fn reset(&mut self) -> Result<(), TransportError>;
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transmit(command)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        (**self).reset()
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transmit(command)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        (**self).reset()
    }
}

/// Why a command did not come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The card left the reader. Ask for it again.
    #[error("the card left the reader before it answered; ask for the card again")]
    CardGone,
    /// The card or reader was silent past its deadline. Ask the patient to place the card again.
    #[error("the card did not answer within its deadline; ask the patient to place it again")]
    TimedOut,
    /// The reader, its driver or its connection failed. Restart the reader. The text must carry no bytes of a command.
    #[error("the reader failed while talking to the card: {0}; restart the reader")]
    Fault(String),
}

impl TransportError {
    /// Whether trying again can help: always, for a card may be placed again and a reader restarted.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Transient
    }
}
