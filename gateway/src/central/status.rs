//! What an answer other than "yes" says: about the destination, or about this request.

use super::fault::LineFault;
use std::error::Error;
use std::time::Duration;
use tonic::{Code, Status};
use uketsuke_core::line::Ended;

/// Why a request took no effect, named after what the courier does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CentralError {
    /// Nobody is there, or the connection broke: wait for the line.
    #[error("the central system cannot be reached ({0})")]
    Unreachable(String),
    /// It was reached, and says that it cannot serve at the moment.
    #[error("the central system says that it is unavailable")]
    Unavailable,
    /// It was reached, but did not answer in time.
    #[error("the central system did not answer in time")]
    TimedOut,
    /// It asks for a pause.
    #[error("the central system is busy")]
    Busy(Option<Duration>),
    /// It, or something in front of it, does not accept this gateway: no verdict on the request, which is tried again.
    #[error("the central system refuses this gateway ({0}); check certificate and registration of the site")]
    Refused(String),
    /// It refuses this request for good.
    #[error("the central system refuses this request ({0})")]
    Rejected(String),
    /// It calls this request invalid, and has accepted nothing that this gateway signed with the same key: the request is tried again.
    #[error("the central system may not believe what this gateway signs ({0}); check certificate and key of the site")]
    NotBelieved(String),
    /// It answered something that makes no sense, or failed at this request: another try may mend it.
    #[error("the central system failed at this request ({0})")]
    Protocol(String),
}

impl CentralError {
    /// What it says about the line, after `known` was: a broken connection or a missing answer explains nothing that is explained
    /// already. `None` when the line works.
    pub(super) fn fault(&self, known: Option<LineFault>) -> Option<LineFault> {
        match self {
            Self::Unreachable(cause) => known.or_else(|| Some(LineFault::Broke(cause.clone()))),
            Self::TimedOut => known.or(Some(LineFault::NoAnswer)),
            Self::Unavailable => Some(LineFault::Unavailable),
            Self::Busy(_) => Some(LineFault::Busy),
            Self::Refused(code) if code == snake(Code::Unimplemented) => Some(LineFault::NoService),
            Self::Refused(code) => {
                LineFault::certificate_alert(code).or_else(|| Some(LineFault::NotAccepted(code.clone())))
            }
            // The service is there and speaks about one request.
            Self::Rejected(_) | Self::NotBelieved(_) | Self::Protocol(_) => None,
        }
    }

    /// Whether the service itself does not take requests of this gateway, whatever they say.
    pub(super) fn is_about_the_gateway(&self) -> bool {
        matches!(self, Self::Refused(code) if code != snake(Code::Unimplemented))
    }
}

/// Metadata key with the pause that a busy peer asks for, in milliseconds (gRFC A6, server pushback).
const PUSHBACK_MS: &str = "grpc-retry-pushback-ms";

/// The longest pause that is honoured: a confused peer must not silence us for a day.
const PUSHBACK_MAX: Duration = Duration::from_secs(300);

/// The one place where gRPC codes get their meaning. Messages of the peer are not passed on: they may quote the request.
pub(super) fn from_status(status: &Status) -> CentralError {
    let code = format!("{:?}", status.code());
    match status.code() {
        Code::Ok => CentralError::Protocol(code),
        // tonic reports broken transports as Unavailable, Unknown, Cancelled or Internal, depending on the moment; only those of
        // our own making have a source, which says what broke and quotes nothing of the request.
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal if status.source().is_some() => {
            let cause = root_cause(status);
            match certificate_alert(&cause) {
                Some(alert) => CentralError::Refused(alert.into()),
                None => CentralError::Unreachable(cause),
            }
        }
        // Said by the service, or by a proxy before it: a connection that broke has a source.
        Code::Unavailable => CentralError::Unavailable,
        Code::Cancelled | Code::DeadlineExceeded => CentralError::TimedOut,
        Code::ResourceExhausted => CentralError::Busy(pushback(status)),
        // Also what a proxy in front of the service says (HTTP 401, 403, 404): never a verdict on one request.
        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => {
            CentralError::Refused(snake(status.code()).into())
        }
        // The one code that the protocol gives for a request that will never be accepted.
        Code::InvalidArgument => CentralError::Rejected(snake(status.code()).into()),
        // OutOfRange is also tonic's own word for an answer that is too large.
        Code::Unknown
        | Code::Internal
        | Code::NotFound
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::DataLoss => CentralError::Protocol(snake(status.code()).into()),
    }
}

/// How the connection, or its part in a call, ended under the call; `None` when the call failed in another way: it was answered, or no
/// connection could be opened, or the peer does not take our certificate.
pub(super) fn ended(status: &Status) -> Option<Ended> {
    let mut broke = false;
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_canceled() {
                return Some(Ended::Farewell);
            }
            broke = true;
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            if error.reason() == Some(h2::Reason::REFUSED_STREAM) {
                return Some(Ended::NotTaken);
            }
            // The streams that a farewell leaves out were not taken up (RFC 9113, 6.8).
            if error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR) {
                return Some(Ended::Farewell);
            }
            // The connection goes on: the peer has something against this call.
            if error.is_reset() {
                return None;
            }
            broke = true;
        }
        cause = error.source();
    }
    let transport = matches!(from_status(status), CentralError::Unreachable(_));
    (broke && transport).then_some(Ended::Broke)
}

/// What the peer has against our certificate, by the TLS alert that it sent. With TLS 1.3 the alert comes after our side of the
/// handshake, when the connection is in the hands of h2, which keeps only the words of an error.
fn certificate_alert(cause: &str) -> Option<&str> {
    let alert = cause.strip_prefix("received fatal alert: ")?;
    LineFault::certificate_alert(alert).map(|_| alert)
}

/// The deepest error: "Connection refused", "invalid peer certificate: UnknownIssuer", …
fn root_cause(status: &Status) -> String {
    let mut cause: &dyn Error = status;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn pushback(status: &Status) -> Option<Duration> {
    let value = status.metadata().get(PUSHBACK_MS)?.to_str().ok()?;
    Some(Duration::from_millis(value.parse().ok()?).min(PUSHBACK_MAX))
}

fn snake(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_says_something_about_the_line_the_gateway_or_the_request() {
        let rejected = |c: &CentralError| matches!(c, CentralError::Rejected(_));
        let protocol = |c: &CentralError| matches!(c, CentralError::Protocol(_));
        for number in 0..=16 {
            let code = Code::from_i32(number);
            let found = from_status(&Status::new(code, "secret words of the peer"));
            let right = match code {
                Code::Unavailable => found == CentralError::Unavailable,
                Code::Cancelled | Code::DeadlineExceeded => found == CentralError::TimedOut,
                Code::ResourceExhausted => found == CentralError::Busy(None),
                Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => {
                    matches!(found, CentralError::Refused(_))
                }
                Code::InvalidArgument => rejected(&found),
                _ => protocol(&found),
            };
            assert!(right, "{code:?} became {found:?}");
            assert!(!found.to_string().contains("secret"), "{found}");
        }
    }

    fn broken(code: Code, cause: impl Error + Send + Sync + 'static) -> Status {
        let mut status = Status::new(code, "transport error");
        status.set_source(std::sync::Arc::new(cause));
        status
    }

    #[test]
    fn a_broken_transport_is_the_lines_fault_under_every_code_that_tonic_gives_it() {
        for code in [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal] {
            let found = from_status(&broken(code, std::io::Error::other(LineFault::TheirAuthorityUnknown)));
            let CentralError::Unreachable(cause) = &found else { panic!("{code:?} became {found:?}") };
            assert_eq!(*cause, LineFault::TheirAuthorityUnknown.to_string());
            let alert = std::io::Error::other("received fatal alert: CertificateRevoked");
            let found = from_status(&broken(code, alert));
            assert_eq!(found, CentralError::Refused("CertificateRevoked".into()), "{code:?}");
            let other = std::io::Error::other("received fatal alert: ProtocolVersion");
            assert!(matches!(from_status(&broken(code, other)), CentralError::Unreachable(_)), "{code:?}");
        }
    }

    #[test]
    fn every_code_says_what_it_means_for_the_line_and_explains_away_nothing_that_is_known() {
        let known = || Some(LineFault::NobodyListens("x".into()));
        for number in 0..=16 {
            let code = Code::from_i32(number);
            let error = from_status(&Status::new(code, ""));
            let (fresh, kept) = (error.fault(None), error.fault(known()));
            match code {
                Code::Unavailable => assert!(fresh == Some(LineFault::Unavailable) && kept == fresh),
                Code::Cancelled | Code::DeadlineExceeded => {
                    assert!(fresh == Some(LineFault::NoAnswer) && kept == known());
                }
                Code::ResourceExhausted => assert!(fresh == Some(LineFault::Busy) && kept == fresh),
                Code::Unimplemented => assert!(fresh == Some(LineFault::NoService) && kept == fresh),
                Code::Unauthenticated | Code::PermissionDenied => {
                    assert!(matches!(fresh, Some(LineFault::NotAccepted(_))) && kept == fresh);
                }
                // It answers: the line works.
                _ => assert!(fresh.is_none() && kept.is_none(), "{code:?}: {fresh:?}, {kept:?}"),
            }
        }
    }

    #[test]
    fn a_busy_peer_names_its_pause_within_reason() {
        let mut status = Status::resource_exhausted("");
        status.metadata_mut().insert(PUSHBACK_MS, "300".parse().unwrap());
        assert_eq!(from_status(&status), CentralError::Busy(Some(Duration::from_millis(300))));
        status.metadata_mut().insert(PUSHBACK_MS, "999999999".parse().unwrap());
        assert_eq!(from_status(&status), CentralError::Busy(Some(PUSHBACK_MAX)));
        status.metadata_mut().insert(PUSHBACK_MS, "soon".parse().unwrap());
        assert_eq!(from_status(&status), CentralError::Busy(None));
    }
}
