//! The one call for a card that has just been placed.

use crate::{
    AuthCertificate, Jpki, Limits, Photo, PhotoUnavailable, PinStatus, ReadError, Transport, VerificationNumberB,
    surface,
};

/// What a placed card tells before anybody has proven anything. `Debug` is redacted throughout.
#[derive(Debug)]
pub struct CardReading {
    /// Parsed, not verified: see [`crate::TrustAnchors::verify_chain`] and [`AuthCertificate::validity`].
    pub certificate: AuthCertificate,
    /// What can be done with the PIN.
    pub pin: PinStatus,
    /// The photo, or why the face method is off for this card.
    pub photo: Result<Photo, PhotoUnavailable>,
}

/// Reads a card: certificate, PIN tries, photo.
///
/// `front` is 照合番号B as somebody read it from the card's front; without it the photo is
/// [`PhotoUnavailable::NoNumberB`] and nothing is sent for it. A wrong one costs one of the card's tries, so pass a
/// number once, not once per attempt. The caller resets the card before (an old session may still be open on it) and at
/// the end of the reception.
///
/// # Errors
/// [`ReadError`], only when the reception cannot go on with this card: a missing photo or locked PIN is no error.
pub fn read_card<T: Transport + ?Sized>(
    transport: &mut T,
    front: Option<&VerificationNumberB>,
    limits: &Limits,
) -> Result<CardReading, ReadError> {
    // JPKI first: it decides whether this is a My Number Card at all, and selecting the next application closes it.
    let mut jpki = Jpki::select(transport)?;
    let certificate = jpki.authentication_certificate(limits)?;
    let pin = jpki.pin_status()?;
    let photo = match front {
        Some(number) => surface::read_photo(transport, number, limits)?,
        None => Err(PhotoUnavailable::NoNumberB),
    };
    Ok(CardReading { certificate, pin, photo })
}
