//! What can go wrong on the way to a tracker and back, told by its true cause and without a URL.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use url::{Origin, Url};

use super::resolver::{Blocked, ResolveError};
use crate::outbound::error::{ErrorKind, PlatformError, Stage};

/// Host and port as a person would write them.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

pub(super) fn overloaded(url: &Url) -> PlatformError {
    PlatformError::new(ErrorKind::Overloaded, format!("Too many calls are waiting for {} already.", host_of(url)))
        .hint("This service is busy with that tracker; try again in a moment.")
        .retry_after(Some(Duration::from_secs(5)))
}

pub(super) fn asked_for_quiet(url: &Url, until: Instant) -> PlatformError {
    let left = until.saturating_duration_since(Instant::now());
    let detail = format!("{} has asked to be called less often (429), and for how long.", host_of(url));
    PlatformError::new(ErrorKind::RateLimited, detail).retry_after(Some(left))
}

pub(super) fn out_of_memory() -> PlatformError {
    PlatformError::new(ErrorKind::Overloaded, "Too many large answers of trackers are being read already.")
        .hint("This service is busy; try again in a moment.")
        .retry_after(Some(Duration::from_secs(5)))
}

pub(super) fn blocked(url: &Url) -> PlatformError {
    PlatformError::new(
        ErrorKind::EgressBlocked,
        format!("This service does not call {}: only public hosts over https are allowed.", host_of(url)),
    )
}

pub(super) fn timed_out(url: &Url, stage: Option<Stage>) -> PlatformError {
    let mut error = PlatformError::new(ErrorKind::Timeout, format!("{} did not answer in time.", host_of(url)));
    error.stage = stage;
    error
}

pub(super) fn unresolved(error: &ResolveError, url: &Url) -> PlatformError {
    let detail = match error {
        ResolveError::NotFound => format!("The host name {} does not resolve.", host_of(url)),
        ResolveError::TimedOut => format!("Looking up the host name {} took too long.", host_of(url)),
    };
    PlatformError::new(ErrorKind::DnsFailed, detail)
}

/// Names where a redirect leads, without following it: only the host, and even that by way of `quote`. Whatever else is
/// there may hold a key, for a tracker can repeat all that it was asked.
pub(super) fn redirected(url: &Url, headers: &HeaderMap, quote: impl Fn(&str) -> String) -> PlatformError {
    let target = headers
        .get(reqwest::header::LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| url.join(location).ok())
        .map(|target| target.origin())
        .filter(Origin::is_tuple);
    let target = match target {
        Some(origin) if origin == url.origin() => "another address of its own".to_owned(),
        Some(origin) => quote(&origin.ascii_serialization()),
        None => "another address".to_owned(),
    };
    PlatformError::new(ErrorKind::Redirected, format!("{} redirects to {target}.", host_of(url)))
}

/// Finds the true cause in what the HTTP client reports. Its own text is never used: it contains the URL.
pub(super) fn classify(error: &reqwest::Error, url: &Url) -> PlatformError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    // Whatever happens to a body is called a decoding error; one of the connection has another error inside.
    let mut garbled = error.is_decode();
    while let Some(source) = cause {
        garbled &= !source.is::<reqwest::Error>();
        if let Some(unresolved_name) = source.downcast_ref::<ResolveError>() {
            return unresolved(unresolved_name, url);
        }
        if source.is::<Blocked>() {
            return blocked(url);
        }
        if let Some(tls) = source.downcast_ref::<rustls::Error>() {
            return tls_failed(tls, url);
        }
        // An I/O error hides the TLS error inside of it, not behind `source`.
        if let Some(tls) = source
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return tls_failed(tls, url);
        }
        cause = source.source();
    }
    let host = host_of(url);
    if error.is_timeout() {
        return timed_out(url, error.is_connect().then_some(Stage::Connect));
    }
    if error.is_connect() {
        return PlatformError::new(ErrorKind::ConnectFailed, format!("{host} does not accept connections."));
    }
    if garbled {
        return PlatformError::bad_response(format!("The answer of {host} cannot be decompressed."));
    }
    PlatformError::new(ErrorKind::ConnectFailed, format!("{host} broke the connection before its answer was complete."))
        .at(Stage::Request)
}

fn tls_failed(error: &rustls::Error, url: &Url) -> PlatformError {
    use rustls::{CertificateError, Error};
    let reason = match error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "its certificate is not valid yet"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name",
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is not trusted (self-signed, or from an unknown authority)"
        }
        Error::InvalidCertificate(CertificateError::Revoked) => "its certificate has been revoked",
        Error::InvalidCertificate(_) => "its certificate is not valid",
        _ => "no secure connection could be agreed on",
    };
    PlatformError::new(ErrorKind::TlsFailed, format!("TLS with {} failed: {reason}.", host_of(url)))
}
