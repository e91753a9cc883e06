//! What can go wrong on the way to a tracker and back, reported with its true cause and without a URL.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use url::{Origin, Url};

use super::handshake::TlsFault;
use super::host::host_of;
use super::resolver::{Blocked, ResolveError};
use super::tls::Handshake;
use crate::outbound::error::{ErrorKind, PlatformError, Stage};

pub(super) fn overloaded(url: &Url) -> PlatformError {
    PlatformError::new(ErrorKind::Overloaded, format!("Too many calls are waiting for {} already.", host_of(url)))
        .hint("This service is busy with that tracker; try again in a moment.")
        .retry_after(Some(Duration::from_secs(5)))
}

pub(super) fn asked_to_back_off(url: &Url, until: Instant) -> PlatformError {
    let left = until.saturating_duration_since(Instant::now());
    let detail = format!("{} has asked to be called less often (429), and for how long.", host_of(url));
    PlatformError::new(ErrorKind::RateLimited, detail).retry_after(Some(left))
}

/// The answer of a platform that asks to be called less often without a 429.
pub(super) fn asked_for_rest(host: &str, rest: Duration) -> PlatformError {
    let detail = format!("{host} asks to be called less often: its rate limit is used up.");
    PlatformError::new(ErrorKind::RateLimited, detail).retry_after(Some(rest))
}

/// An answer that takes room that others wait for, and hardly goes on.
pub(super) fn too_slow(url: &Url) -> PlatformError {
    let detail = format!("{} sends a large answer too slowly.", host_of(url));
    PlatformError::new(ErrorKind::Timeout, detail)
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
pub(super) fn classify(
    error: &reqwest::Error,
    url: &Url,
    handshake: &Handshake,
    quote: impl Fn(&str) -> String,
) -> PlatformError {
    let mut cause = cause_of(error);
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
            return TlsFault::of(tls, handshake).report(url, quote);
        }
        cause = cause_of(source);
    }
    let host = host_of(url);
    if error.is_timeout() {
        let connecting = error.is_connect();
        return match handshake.is_pending() {
            true => TlsFault::Silent.report(url, quote),
            false => timed_out(url, connecting.then_some(Stage::Connect)),
        };
    }
    if error.is_connect() && handshake.began() {
        let fault = if handshake.wants_certificate() { TlsFault::ClientCertificate } else { TlsFault::HungUp };
        return fault.report(url, quote);
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

/// The next error in a chain. An I/O error that was made of another error leads to what is behind that one; the error
/// itself is only ever seen by asking for it.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inside.map(|inside| -> &(dyn Error + 'static) { inside }).or_else(|| error.source())
}
