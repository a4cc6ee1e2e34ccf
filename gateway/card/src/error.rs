//! What went wrong with a card, named after what the caller does next.

use crate::apdu::{ApduError, StatusWord};
use crate::{CertificateError, FileError, SignatureInvalid, TransportError};

/// Whether doing the same again can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Place the card again, or restart the reader.
    Transient,
    /// This card will answer the same next time: take another way (staff, another document).
    Permanent,
}

/// Why a card could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The card was taken away. Go back to idle, or ask for it again.
    #[error("the card was taken away during {what}; ask for the card again")]
    CardGone {
        /// What was being read.
        what: &'static str,
    },
    /// The card gave no usable answer. Ask the patient to place it again, then show "card cannot be read".
    #[error("{what} failed: {why}; place the card again, photo side up and pushed to the end")]
    Unreadable {
        /// What was being read.
        what: &'static str,
        /// What the card did.
        #[source]
        why: Unreadable,
    },
    /// The reader failed, not the card. Restart the reader; send the patient to another one.
    #[error("{what} failed in the reader: {detail}; restart the reader")]
    ReaderFailed {
        /// What was being read.
        what: &'static str,
        /// The reader's own words.
        detail: String,
    },
    /// Something is in the slot that stays silent where every card answers. Ask for a card.
    #[error("what is in the slot does not answer as a card; take it out and place the My Number Card")]
    NotACard,
    /// The card has no JPKI application. Tell the patient that this is another card.
    #[error("the card has no JPKI application, so it is not a My Number Card; ask for the My Number Card")]
    NotMyNumberCard,
    /// A My Number Card that carries no authentication certificate. Send the patient to the desk.
    #[error("the card carries no authentication certificate; verify the patient by other documents at the desk")]
    NoCertificate,
    /// The certificate was read whole but cannot be understood. Send the patient to the desk.
    #[error("the card's certificate cannot be used: {0}; verify the patient by other documents at the desk")]
    BadCertificate(#[from] CertificateError),
}

impl ReadError {
    /// Whether placing the card again can help.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::CardGone { .. } | Self::Unreadable { .. } | Self::ReaderFailed { .. } | Self::NotACard => {
                Class::Transient
            }
            Self::NotMyNumberCard | Self::NoCertificate | Self::BadCertificate(_) => Class::Permanent,
        }
    }

    /// Sorts a failed exchange: is the card gone, is the reader broken, or was the answer unusable?
    pub(crate) fn exchange(what: &'static str, error: ApduError) -> Self {
        match error {
            ApduError::Transport(TransportError::CardGone) => Self::CardGone { what },
            ApduError::Transport(TransportError::Fault(detail)) => Self::ReaderFailed { what, detail },
            ApduError::Transport(TransportError::TimedOut) => Self::Unreadable { what, why: Unreadable::TimedOut },
            other => Self::Unreadable { what, why: Unreadable::Answer(other) },
        }
    }

    pub(crate) fn status(what: &'static str, status: StatusWord) -> Self {
        Self::Unreadable { what, why: Unreadable::Status(status) }
    }
}

/// What a card did instead of answering properly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Silence past the deadline.
    #[error("the card did not answer in time")]
    TimedOut,
    /// A response that breaks the protocol.
    #[error(transparent)]
    Answer(ApduError),
    /// A well-formed refusal.
    #[error("the card refused with {0}")]
    Status(StatusWord),
    /// A file whose contents contradict themselves or exceed a limit.
    #[error(transparent)]
    File(FileError),
}

/// Why no signature can be handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key is closed. Verify the PIN first, in the same session with the card.
    #[error("the card refused to sign because its PIN is not verified; verify the PIN first")]
    PinNotVerified,
    /// The signature does not belong to the certificate that this card showed: a copy, or a faulty card. Treat it as
    /// not genuine.
    #[error("the card's signature does not match its certificate; treat the card as not genuine and call staff")]
    Mismatch(#[from] SignatureInvalid),
    /// The card or reader failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl SignError {
    /// Whether trying again can help.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::PinNotVerified => Class::Transient,
            Self::Mismatch(_) => Class::Permanent,
            Self::Read(error) => error.class(),
        }
    }
}
