//! What a panel's refusals mean.
//!
//! A status is Keitaro's word only where the body is in Keitaro's own shape. Panels stand behind CDNs, firewalls and
//! password walls more often than not, and the domains that carry campaigns answer with web pages of their own.

use super::super::words::speaks_of_addresses;
use super::wire;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{Answer, Upstream};

pub(super) const KEY_HINT: &str = "In Keitaro, open Maintenance → Users, choose the key's user and copy a key from Admin API keys, or make a new one.";

const PANEL_HINT: &str =
    "Enter the address where you log in to Keitaro. A domain that carries campaigns does not answer the Admin API.";

const EDITION_HINT: &str = "The Admin API is part of Keitaro's larger editions. Change the licence of this tracker, or \
                            renew it if it has run out; then verify again.";

const RIGHTS_HINT: &str =
    "Ask the administrator of the panel to give the key's user access to reports, or use an administrator's key.";

pub(super) const REPORTS_HINT: &str = "The key is good, but its user may not see reports. In Keitaro, give that user access to reports; then verify again.";

const VERSION_HINT: &str = "Update Keitaro to a current version; then verify again.";

/// The error that an answer other than a report stands for.
pub(super) fn refusal(upstream: &Upstream, answer: &Answer) -> PlatformError {
    let host = upstream.host();
    let status = answer.status.as_u16();
    let words = wire::error(&answer.body).map(|words| upstream.quote(&words));
    let said =
        words.as_deref().filter(|words| !words.is_empty()).map_or_else(String::new, |words| format!(": “{words}”"));
    match (status, words.as_deref()) {
        (500, None) => answer.failing(&host),
        (500, Some(_)) => PlatformError::new(ErrorKind::Failing, format!("Keitaro at {host} failed (500{said}).")),
        (_, None) => foreign(&host, status),
        (401, Some(_)) => rejected(&host, status, &said),
        (400 | 403, Some(words)) if is_about_the_key(words) => rejected(&host, status, &said),
        (402, Some(_)) => PlatformError::new(
            ErrorKind::InsufficientPermissions,
            format!("The licence of Keitaro at {host} does not include the Admin API (402{said})."),
        )
        .hint(EDITION_HINT),
        (403, Some(words)) if speaks_of_addresses(words) => {
            upstream.ip_not_allowed(format!("Keitaro at {host} does not let this service's address in (403{said})."))
        }
        (403, Some(_)) => PlatformError::new(
            ErrorKind::InsufficientPermissions,
            format!("Keitaro at {host} does not let the key's user read reports (403{said})."),
        )
        .hint(RIGHTS_HINT),
        (404, Some(_)) => PlatformError::new(
            ErrorKind::NotThisPlatform,
            format!("Keitaro at {host} does not know the reports of the Admin API (404{said})."),
        )
        .hint(VERSION_HINT),
        (_, Some(_)) => PlatformError::bad_response(format!("Keitaro at {host} answered {status}{said}.")),
    }
}

/// The refusal of a question that this panel takes in neither dialect.
pub(super) fn not_accepted(upstream: &Upstream, words: &str) -> PlatformError {
    let words = upstream.quote(words);
    let host = upstream.host();
    PlatformError::bad_response(format!("Keitaro at {host} does not accept this service's questions: “{words}”."))
        .hint(VERSION_HINT)
}

/// The error of an answer that is not Keitaro's.
pub(super) fn foreign(host: &str, status: u16) -> PlatformError {
    PlatformError::new(
        ErrorKind::NotThisPlatform,
        format!("{host} does not answer like Keitaro's Admin API (status {status})."),
    )
    .hint(PANEL_HINT)
}

/// The verdict on a key in the panel's own words.
pub(super) fn rejected(host: &str, status: u16, said: &str) -> PlatformError {
    PlatformError::new(
        ErrorKind::CredentialsRejected,
        format!("Keitaro at {host} does not accept the API key ({status}{said})."),
    )
    .hint(KEY_HINT)
}

/// Old versions are said to refuse a key with other statuses than 401.
pub(super) fn is_about_the_key(words: &str) -> bool {
    let words = words.to_lowercase();
    ["api key", "api-key", "api_key", "apikey", "unauthorized", "unauthenticated"]
        .iter()
        .any(|sign| words.contains(sign))
}
