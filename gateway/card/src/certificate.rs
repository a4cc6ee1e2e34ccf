//! The authentication certificate of a person (利用者証明用電子証明書) and what its dates mean at a reception desk.
//!
//! It names a person: serial and contents are redacted in `Debug`. Instants are unix milliseconds, passed in.

use std::fmt;

use time::{Date, OffsetDateTime, UtcOffset};

use crate::x509::X509;

/// Calendar months before expiry in which the patient is reminded, and after expiry in which eligibility is still
/// supplied (Ministry of Health, Labour and Welfare, notice on expired electronic certificates; three months each).
const NOTICE_MONTHS: i32 = 3;

/// A parsed authentication certificate. Parsing proves nothing: see [`crate::TrustAnchors::verify_chain`].
#[derive(Clone)]
pub struct AuthCertificate(X509);

impl AuthCertificate {
    /// Parses a DER certificate.
    ///
    /// # Errors
    /// [`CertificateError`]: too large, not X.509, bytes behind it, or not RSA (2048 to 4096 bits) signed with
    /// sha256WithRSAEncryption, which is what JPKI issues.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        X509::from_der(der).map(Self)
    }

    /// The certificate as read.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The serial number: the stable name of this certificate, and of its owner until it is renewed.
    #[must_use]
    pub fn serial(&self) -> CertificateSerial {
        CertificateSerial(self.0.serial.clone())
    }

    /// First instant of validity, unix milliseconds.
    #[must_use]
    pub fn not_before_ms(&self) -> i64 {
        self.0.not_before_s.saturating_mul(1000)
    }

    /// Start of the last second of validity, unix milliseconds.
    #[must_use]
    pub fn not_after_ms(&self) -> i64 {
        self.0.not_after_s.saturating_mul(1000)
    }

    /// The RSA public key as PKCS#1 DER (`RSAPublicKey`, RFC 8017).
    #[must_use]
    pub fn rsa_public_key_der(&self) -> &[u8] {
        &self.0.rsa_public_key
    }

    /// Checks a signature of this certificate's key: RSASSA-PKCS1-v1_5 with SHA-256.
    ///
    /// # Errors
    /// [`SignatureInvalid`] when the signature is not this key's over exactly `payload`.
    pub fn verify_signature(&self, payload: &[u8], signature: &[u8]) -> Result<(), SignatureInvalid> {
        self.0.verify_signature(payload, signature)
    }

    /// What the certificate's dates allow at `now_ms` (unix milliseconds). Revocation is known to the central system alone.
    #[must_use]
    pub fn validity(&self, now_ms: i64) -> Validity {
        Validity::at(self.0.not_before_s, self.0.not_after_s, now_ms)
    }

    pub(crate) fn x509(&self) -> &X509 {
        &self.0
    }
}

impl fmt::Debug for AuthCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthCertificate(redacted)")
    }
}

/// The serial number of a certificate, big-endian as in the DER, leading zero included. Redacted in `Debug`: it is a
/// person's pseudonym. Compare it, or derive a keyed hash from it; never log it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateSerial(Vec<u8>);

impl CertificateSerial {
    /// 1 to 21 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CertificateSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateSerial(redacted)")
    }
}

/// What the dates of a certificate allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Nothing to say.
    Valid,
    /// Valid, but expires within three calendar months: show the renewal notice.
    ExpiresSoon {
        /// Start of the last second of validity, unix milliseconds.
        not_after_ms: i64,
    },
    /// Expired at most three calendar months ago: eligibility only, no medical information; show the renewal notice.
    ExpiredWithinGrace,
    /// Expired longer ago: not usable.
    Expired,
    /// Not valid yet. Usually the gateway's clock is wrong.
    NotYetValid,
}

impl Validity {
    /// Whole seconds are compared: `notAfter` names the last second that is still valid (RFC 5280, 4.1.2.5).
    fn at(not_before_s: i64, not_after_s: i64, now_ms: i64) -> Self {
        let now_s = now_ms.div_euclid(1000);
        if now_s < not_before_s {
            Self::NotYetValid
        } else if now_s > shift_months(not_after_s, NOTICE_MONTHS) {
            Self::Expired
        } else if now_s > not_after_s {
            Self::ExpiredWithinGrace
        } else if now_s >= shift_months(not_after_s, -NOTICE_MONTHS) {
            Self::ExpiresSoon { not_after_ms: not_after_s.saturating_mul(1000) }
        } else {
            Self::Valid
        }
    }
}

/// The same time of day so many calendar months away, on the last day of the month where the day does not exist there.
///
/// Counted in Japanese time: certificates end at midnight in Japan, which is another date in UTC. Outside the years the
/// calendar knows (to 9999), the end of time on that side: "9999-12-31", which stands for no expiry (RFC 5280, 4.1.2.5),
/// never gives notice.
fn shift_months(unix_s: i64, months: i32) -> i64 {
    let end_of_time = if unix_s < 0 { i64::MIN } else { i64::MAX };
    let shifted = || {
        let japan = UtcOffset::from_hms(9, 0, 0).ok()?;
        let then = OffsetDateTime::from_unix_timestamp(unix_s).ok()?.checked_to_offset(japan)?;
        let month_index = then.year() * 12 + i32::from(u8::from(then.month())) - 1 + months;
        let year = month_index.div_euclid(12);
        let month = time::Month::try_from(u8::try_from(month_index.rem_euclid(12) + 1).ok()?).ok()?;
        let date = Date::from_calendar_date(year, month, then.day().min(month.length(year))).ok()?;
        Some(then.replace_date(date).unix_timestamp())
    };
    shifted().unwrap_or(end_of_time)
}

/// Why bytes are not a certificate that can be used. Names no contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Above the limit.
    #[error("the certificate has {bytes} bytes where at most {bytes_max} are accepted")]
    TooLarge {
        /// Size given.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Not a well-formed X.509 certificate.
    #[error("it is not a well-formed X.509 certificate in DER")]
    NotX509,
    /// Something follows the certificate.
    #[error("{bytes} bytes follow the certificate")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// Signed otherwise than by sha256WithRSAEncryption.
    #[error("it is not signed with sha256WithRSAEncryption")]
    UnsupportedAlgorithm,
    /// The public key is not RSA of 2048 to 4096 bits.
    #[error("its public key is not RSA of 2048 to 4096 bits")]
    UnsupportedKey,
}

/// A signature does not belong to the key and the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match the certificate's key and the signed bytes")]
pub struct SignatureInvalid;

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn unix_s(text: &str) -> i64 {
        OffsetDateTime::parse(text, &Rfc3339).unwrap().unix_timestamp()
    }

    #[test]
    fn dates_are_classified_at_their_boundaries() {
        let soon = |not_after: &str| Validity::ExpiresSoon { not_after_ms: unix_s(not_after) * 1000 };
        let june = "2026-06-30T23:59:59+09:00";
        let november = "2026-11-30T23:59:59+09:00";
        let may = "2026-05-31T23:59:59+09:00";
        // Midnight in Japan is still 28 February in UTC.
        let march = "2026-03-01T00:00:00+09:00";
        let cases = [
            (june, "2021-07-01T08:59:59+09:00", Validity::NotYetValid),
            (june, "2021-07-01T09:00:00+09:00", Validity::Valid),
            (june, "2026-03-30T23:59:58+09:00", Validity::Valid),
            (june, "2026-03-30T23:59:59+09:00", soon(june)),
            (june, "2026-06-30T23:59:59+09:00", soon(june)),
            (june, "2026-07-01T00:00:00+09:00", Validity::ExpiredWithinGrace),
            (june, "2026-09-30T23:59:59+09:00", Validity::ExpiredWithinGrace),
            (june, "2026-10-01T00:00:00+09:00", Validity::Expired),
            // 30 November + 3 months: February ends earlier.
            (november, "2027-02-28T23:59:59+09:00", Validity::ExpiredWithinGrace),
            (november, "2027-03-01T00:00:00+09:00", Validity::Expired),
            // 31 May - 3 months, likewise.
            (may, "2026-02-28T23:59:58+09:00", Validity::Valid),
            (may, "2026-02-28T23:59:59+09:00", soon(may)),
            (march, "2026-06-01T00:00:00+09:00", Validity::ExpiredWithinGrace),
            (march, "2026-06-01T00:00:01+09:00", Validity::Expired),
            (march, "2025-12-01T00:00:00+09:00", soon(march)),
            (march, "2025-11-30T23:59:59+09:00", Validity::Valid),
        ];
        for (not_after, now, expected) in cases {
            let validity = Validity::at(unix_s("2021-07-01T00:00:00Z"), unix_s(not_after), unix_s(now) * 1000);
            assert_eq!(validity, expected, "expires {not_after}, now {now}");
        }
    }

    #[test]
    fn the_last_second_is_valid_to_its_end() {
        let not_after = unix_s("2026-06-30T23:59:59+09:00");
        assert!(matches!(Validity::at(0, not_after, not_after * 1000 + 999), Validity::ExpiresSoon { .. }));
        assert_eq!(Validity::at(0, not_after, not_after * 1000 + 1000), Validity::ExpiredWithinGrace);
    }

    #[test]
    fn a_certificate_without_a_real_expiry_is_simply_valid() {
        let never = unix_s("9999-12-31T23:59:59Z");
        assert_eq!(Validity::at(0, never, unix_s("2026-01-01T00:00:00Z") * 1000), Validity::Valid);
        assert_eq!(Validity::at(i64::MIN, i64::MAX, 0), Validity::Valid);
        assert_eq!(Validity::at(i64::MIN, i64::MIN, i64::MAX), Validity::Expired);
    }

    #[test]
    fn leap_days_are_honoured() {
        assert_eq!(shift_months(unix_s("2027-11-30T12:00:00+09:00"), 3), unix_s("2028-02-29T12:00:00+09:00"));
        assert_eq!(shift_months(unix_s("2028-02-29T12:00:00+09:00"), -3), unix_s("2027-11-29T12:00:00+09:00"));
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused() {
        assert_eq!(AuthCertificate::from_der(b"").unwrap_err(), CertificateError::NotX509);
        assert_eq!(AuthCertificate::from_der(&[0x30, 0x03, 1, 2, 3]).unwrap_err(), CertificateError::NotX509);
        assert!(matches!(AuthCertificate::from_der(&[0x30; 20_000]), Err(CertificateError::TooLarge { .. })));
    }
}
