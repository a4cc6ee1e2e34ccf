//! What every request has to pass, and what every response carries.
//!
//! There is no login yet: the gateway listens on loopback only. A browser on the same machine can still be steered by a foreign page, so
//! * `Host` must be a loopback name (a foreign name that resolves to loopback is DNS rebinding);
//! * upgrades and POSTs must come from our own pages (`Origin` equals `Host`);
//! * the content security policy allows our own files and nothing inline.

use super::doors;
use super::page;
use super::{WebState, words::Words};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    font-src 'self'; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The same for every response.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
];

/// The middleware around every route.
pub(super) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let camera = request.path().starts_with("/kiosk/");
    doors::asked(request.request());
    let mut response = match refusal(&request) {
        Some(refused) => request.into_response(refused),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    doors::answered(response.request());
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let permissions = if camera {
        "camera=(self), microphone=(), geolocation=()"
    } else {
        "camera=(), microphone=(), geolocation=()"
    };
    headers.insert(header::PERMISSIONS_POLICY, HeaderValue::from_static(permissions));
    Ok(response)
}

fn refusal(request: &ServiceRequest) -> Option<HttpResponse> {
    let Some(host) = loopback_host(request.headers(), request.uri().authority().map(|authority| authority.as_str()))
    else {
        return Some(plain(StatusCode::FORBIDDEN, "this host is not served here; use http://localhost"));
    };
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let post = request.method() == Method::POST;
    if (upgrade || post) && !same_origin(request.headers(), host) {
        return Some(plain(StatusCode::FORBIDDEN, "requests from other pages are refused"));
    }
    if post && !is_json(request.headers()) {
        return Some(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    let stopping = request.app_data::<web::Data<WebState>>().filter(|state| state.stopping());
    // Orders of staff still go through: receptions under way may need them to finish.
    stopping
        .filter(|_| !post && !answers_while_stopping(request.path()))
        .map(|state| page::stopping(state, Words::of(request.request())))
}

/// Kiosks decide for themselves: a patient in the middle of a reception may still load or connect
/// ([`WebState::refuses_kiosk_of`]).
fn answers_while_stopping(path: &str) -> bool {
    path == "/metrics" || path == "/healthz" || path.starts_with("/static/") || path.starts_with("/kiosk/")
}

fn plain(status: StatusCode, text: &'static str) -> HttpResponse {
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(text)
}

/// The one `Host` of a request if it names loopback (and agrees with the request line, should that name one too).
fn loopback_host<'a>(headers: &'a HeaderMap, authority: Option<&str>) -> Option<&'a str> {
    let mut hosts = headers.get_all(header::HOST);
    let host = hosts.next()?.to_str().ok()?;
    let agrees = hosts.next().is_none() && authority.is_none_or(|authority| authority.eq_ignore_ascii_case(host));
    (agrees && is_loopback(host)).then_some(host)
}

/// `localhost`, 127.0.0.0/8 or `[::1]`, with or without a port.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, rest)) => {
            return v6.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
                && is_port(rest.strip_prefix(':'), rest);
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let loopback = name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| IpAddr::V4(address).is_loopback());
    loopback && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Nothing after the bracket, or a colon with a port.
fn is_port(port: Option<&str>, rest: &str) -> bool {
    rest.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_ok())
}

fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    let mut origins = headers.get_all(header::ORIGIN);
    let origin = origins.next().and_then(|origin| origin.to_str().ok());
    origins.next().is_none()
        && origin.and_then(|origin| origin.strip_prefix("http://")).is_some_and(|from| from.eq_ignore_ascii_case(host))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
        kind.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_what_names_this_machine_and_nothing_else() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:8080"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "[::]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:x",
            "localhost:",
            "localhost:99999",
            "10.0.0.1:80",
            "2130706433",
            "localhost@evil.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
