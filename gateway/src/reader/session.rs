//! What the shell knows of the card that is in: personal data, wiped when the reception ends.

use crate::anchors::{CardAnchors, Judged};
use crate::face_pool::{FacePool, Template};
use crate::store::{Keys, Request, Store};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use uketsuke_card::{AuthCertificate, CardReading, PhotoUnavailable, PinStatus, ReadError};
use uketsuke_core::clock::Stamp;
use uketsuke_core::date::Date;
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::ladder;
use uketsuke_core::reception::{CardFacts, CertificateAge, FaceMethod, PinMethod, ReadFailure};
use uketsuke_core::record::{Basis, Method, Shown};
use uketsuke_core::rules::{Rules, Today};

/// The card that is in.
pub(super) struct Session {
    pub(super) reception: ReceptionId,
    /// The eligibility request that this reception makes, if it gets that far.
    pub(super) request: RequestId,
    pub(super) certificate: AuthCertificate,
    /// What the rules of the day were applied to.
    pub(super) basis: Basis,
    pub(super) order_key: OrderKey,
    /// How the person was verified; meaningful once T1 is under way.
    pub(super) method: Method,
    pub(super) template: Option<Arc<Template>>,
    /// The request with the card's signature, once the PIN was right.
    pub(super) signed: Option<Request>,
    /// The 初回登録 that was asked for, if it was.
    pub(super) registration: Option<RequestId>,
    /// The gateway's own share of this reception so far.
    pub(super) own: Duration,
}

/// What reading a card takes besides the card.
#[derive(Clone)]
pub struct Desk {
    /// For `recorded_before`, and for what the scribe writes.
    pub store: Store,
    /// For order keys.
    pub keys: Arc<Keys>,
    /// Which cards are believed.
    pub anchors: CardAnchors,
    /// Empty while the models are being loaded, and for good when the face method is off.
    pub face: Arc<OnceLock<FacePool>>,
    /// MedicalInstitutionCode.
    pub medical_institution_code: Arc<str>,
    /// For the cases of these receptions.
    pub ladder: ladder::Rules,
}

/// A card that was read: the facts for the core, and what stays in the shell.
pub(super) struct CardIn {
    pub(super) facts: CardFacts,
    pub(super) session: Session,
}

/// Turns a reading into facts: trusted or not, how old, which methods, and whether this card is only waiting to be taken.
pub(super) async fn card_in(
    desk: &Desk,
    reader: &str,
    reception: ReceptionId,
    reading: CardReading,
    now: Stamp,
    resumable: Option<Range<i64>>,
) -> Result<CardIn, ReadFailure> {
    let CardReading { certificate, pin, photo } = reading;
    let today_ms = judged_on(&certificate, now);
    let unchecked = match desk.anchors.judge(&certificate, today_ms) {
        Judged::Trusted => false,
        Judged::Unchecked => {
            tracing::warn!(%reception, "the card's certificate cannot be checked: an authority's file cannot be used");
            true
        }
        Judged::Untrusted(error) => {
            tracing::warn!(%reception, %error, "the card's certificate is not trusted");
            return Err(ReadFailure::Untrusted);
        }
    };
    // The whole certificate: serials are unique for one authority only, and there are several.
    let order_key = desk.keys.order_key(certificate.der());
    let (face, template) = face_method(desk, reception, photo).await;
    let recorded_before = match resumable {
        Some(when) => recorded_before(desk, reader, order_key, when).await,
        None => None,
    };
    let age = certificate_age(certificate.not_before_ms(), certificate.not_after_ms(), now);
    let facts = CardFacts {
        certificate: age,
        pin: match pin {
            PinStatus::TriesLeft(0) | PinStatus::Locked => PinMethod::Locked,
            PinStatus::TriesLeft(tries) => PinMethod::Tries(tries),
            // Left verified by whoever read it last; the reset before each reading makes this a card out of the ordinary.
            PinStatus::Verified => PinMethod::Tries(uketsuke_card::jpki::PIN_TRIES),
            PinStatus::NoPin => PinMethod::Absent,
        },
        face,
        face_failures: face_failures(desk, reception, order_key).await,
        recorded_before,
    };
    let basis = Basis::Card { certificate: age, not_after_ms: certificate.not_after_ms(), unchecked };
    let request = RequestId(uuid::Uuid::now_v7());
    let session = Session {
        reception,
        request,
        certificate,
        basis,
        order_key,
        method: Method::Staff,
        template,
        signed: None,
        registration: None,
        own: Duration::ZERO,
    };
    Ok(CardIn { facts, session })
}

/// What the rules of the day say of a certificate's dates. By a clock that nobody vouches for no certificate is expired, as the rule has
/// it, nor not valid yet: it gives eligibility at least, and nothing medical where it seems to be past its last day.
fn certificate_age(not_before_ms: i64, not_after_ms: i64, now: Stamp) -> CertificateAge {
    if now.synchronised && now.wall_ms < not_before_ms {
        return CertificateAge::NotYetValid;
    }
    let today = Today::of(now);
    Rules::on(today).certificate_age(Date::of_stamp_jst(not_after_ms), today).age
}

/// The moment by which a certificate's chain is judged. A clock that nobody vouches for must not turn patients away, so then every chain
/// is judged as in the middle of the certificate's life; the evidence carries the flag, and the central system knows the date.
fn judged_on(certificate: &AuthCertificate, now: Stamp) -> i64 {
    if now.synchronised { now.wall_ms } else { certificate.not_before_ms().midpoint(certificate.not_after_ms()) }
}

/// The reception of this card that was recorded at this reader within `when`, if its card was never seen to be taken.
async fn recorded_before(
    desk: &Desk,
    reader: &str,
    order_key: OrderKey,
    when: Range<i64>,
) -> Option<(ReceptionId, Shown)> {
    match desk.store.last_recorded(reader, order_key, when.start, when.end).await {
        Ok(record) => record.and_then(|record| Some((record.reception, record.recorded?.1))),
        Err(error) => {
            tracing::warn!(reader, %error, "cannot tell whether the card that is in was recorded before the restart");
            None
        }
    }
}

/// A store that cannot be asked locks nobody out.
async fn face_failures(desk: &Desk, reception: ReceptionId, order_key: OrderKey) -> u32 {
    desk.store.face_failures(order_key).await.unwrap_or_else(|error| {
        tracing::warn!(%reception, %error, "cannot tell how often the face of this card failed before");
        0
    })
}

async fn face_method(
    desk: &Desk,
    reception: ReceptionId,
    photo: Result<uketsuke_card::Photo, PhotoUnavailable>,
) -> (FaceMethod, Option<Arc<Template>>) {
    let Some(pool) = desk.face.get() else { return (FaceMethod::Off, None) };
    match photo {
        Ok(photo) => match pool.enrol(photo.into_jp2_bytes()).await {
            Ok(template) => (FaceMethod::Ready, Some(Arc::new(template))),
            Err(error) => {
                tracing::warn!(%reception, %error, "the chip photo cannot be used");
                (FaceMethod::PhotoUnusable, None)
            }
        },
        Err(PhotoUnavailable::NoNumberB) => (FaceMethod::NoNumber, None),
        Err(error) => {
            tracing::warn!(%reception, %error, "the chip photo cannot be read");
            (FaceMethod::PhotoUnusable, None)
        }
    }
}

/// What a reading that failed means at the desk.
pub(super) fn read_failure(error: &ReadError) -> ReadFailure {
    match error {
        ReadError::NotACard => ReadFailure::NotACard,
        ReadError::NotMyNumberCard => ReadFailure::NotMyNumberCard,
        ReadError::ReaderFailed { .. } => ReadFailure::ReaderFault,
        ReadError::NoCertificate | ReadError::BadCertificate(_) => ReadFailure::NoCertificate,
        ReadError::CardGone { .. } | ReadError::Unreadable { .. } => ReadFailure::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jst(day: &str) -> i64 {
        Date::parse(day).unwrap().begins_ms_jst()
    }

    #[test]
    fn a_card_that_expired_years_ago_is_asked_for_nothing_medical_and_by_a_doubtful_clock_it_is_not_turned_away() {
        use CertificateAge::{Expired, ExpiresSoon, Grace, NotYetValid, Valid};
        for (day, known, doubtful) in [
            ("2021-01-01", NotYetValid, Valid),
            ("2024-01-01", Valid, Valid),
            ("2026-05-01", ExpiresSoon, ExpiresSoon),
            ("2026-07-01", Grace, Grace),
            ("2030-01-01", Expired, Grace),
        ] {
            for (synchronised, expected) in [(true, known), (false, doubtful)] {
                let now = Stamp { wall_ms: jst(day), synchronised };
                let age = certificate_age(jst("2021-06-10"), jst("2026-06-10"), now);
                assert_eq!(age, expected, "{day}, synchronised: {synchronised}");
            }
        }
    }
}
