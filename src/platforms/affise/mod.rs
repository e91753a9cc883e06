//! Affise: one API host per network, the same paths and shapes for the network's owner and for its affiliates.
//!
//! Follows the vendor's public reference (versions 3.0 to 3.2) and help center. The key alone decides which portal
//! answers and whose rows come back, so a verification asks whose key it is before it asks for numbers
//! (`identity`). Statistics come from one report for both portals, `/3.0/stats/custom` (`report`, `rows`).
//!
//! What is odd: a bad key and a missing one are reported the same way; error texts stand under `message` or `error` and
//! may come with status 200; the calls that say whose key it is repeat the key in their answer, so nothing of those
//! answers but ids is kept.

mod admin;
mod affiliate;
mod catalogue;
pub(super) mod descriptor;
mod identity;
mod line;
mod numbers;
mod report;
mod rows;
mod shape;
mod sizes;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use url::Url;

use self::sizes::{PAGE_ROWS, WINDOW_DAYS};
use self::wire::Envelope;
use super::address;
use super::client::{Account, Platforms};
use super::kind::{FieldError, Settings};
use super::learned::{Learned, Sizes};
use super::stats::Currency;
use super::words::speaks_of_addresses;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{Allowance, Answer, Dialect, Limits, Upstream};
#[cfg(fuzzing)]
pub(super) use rows::fuzz;

/// How its own answers are told from those of something in front of it.
const DIALECT: Dialect = Dialect { is_own_refusal: wire::is_own_refusal, knows_wrong_keys: true, is_gateway: false };

/// Affise publishes no limit. A key begins with four pages at a time, and takes all eight places of its network where the
/// network bears that.
const LIMITS: Limits = Limits { origin: Allowance::of(8), account: Allowance::of(4).up_to(8) };

/// How long a verification waits for something it can do without.
const OPTIONAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Brings the address down to the host: every path of the API is known, so whatever was pasted after it goes.
fn normalise(settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    if let Some(url) = settings.get_mut("base_url") {
        *url = address::normalise("base_url", url, |_| String::new()).map_err(|error| vec![error])?;
    }
    Ok(())
}

/// One network's API, asked with one key.
struct Api {
    base: Url,
    key: SecretString,
    upstream: Upstream,
    /// The currency the user named.
    chosen_currency: Option<Currency>,
    /// The currency a verification found out.
    detected_currency: Option<Currency>,
    /// How many rows of a page, and how many days, it takes at once.
    pages: Sizes,
    windows: Sizes,
}

/// What is remembered of networks that take fewer rows of a page, and of those that take fewer days.
struct Pages;
struct Windows;

/// Why a call was not answered as asked. Texts are quoted from the platform and safe to show.
enum Refusal {
    /// The parameters are not accepted.
    Invalid(String),
    /// The key is not accepted.
    Unauthorized(String),
    /// The key is known, but may not do this.
    Forbidden(String),
    /// There is no such path.
    NotFound,
    /// Everything that means the same on every path.
    Other(PlatformError),
}

impl From<PlatformError> for Refusal {
    fn from(error: PlatformError) -> Self {
        Self::Other(error)
    }
}

impl Api {
    fn open(account: Account, upstream: Upstream, platforms: &Platforms) -> Result<Self, PlatformError> {
        let currency = |code: Option<&String>| code.and_then(|code| code.parse().ok());
        let base =
            account.settings.get("base_url").and_then(|address| Url::parse(address).ok()).ok_or_else(|| {
                PlatformError::new(ErrorKind::InvalidUrl, "The connection has no usable API address.")
            })?;
        let mut credentials = account.credentials;
        let key = credentials
            .remove("api_key")
            .ok_or_else(|| PlatformError::new(ErrorKind::CredentialsRejected, "The connection has no API key."))?;
        Ok(Self {
            base,
            key,
            pages: platforms.kept::<Learned<Pages>>().of(&upstream, PAGE_ROWS),
            windows: platforms.kept::<Learned<Windows>>().of(&upstream, WINDOW_DAYS),
            upstream,
            chosen_currency: currency(account.settings.get("currency")),
            detected_currency: currency(account.detected.currency.as_ref()),
        })
    }

    /// The currency rows are labelled with: rows themselves name none.
    fn currency(&self) -> Option<Currency> {
        self.chosen_currency.or(self.detected_currency)
    }

    /// Asks, and returns the body of a successful answer.
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Bytes, Refusal> {
        self.sort(self.ask(path, query).await?)
    }

    /// Asks, and returns the answer whatever it says.
    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, PlatformError> {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.upstream.get(url).secret_header("api-key", &self.key)?.send().await
    }

    /// Asks for something useful but not needed: no answer, a refusal and a slow answer are all the same.
    async fn get_if_quick(&self, path: &str) -> Option<Bytes> {
        tokio::time::timeout(OPTIONAL_TIMEOUT, self.get(path, &[])).await.ok()?.ok()
    }

    /// Tells success from refusal, and both from what is not this API at all.
    fn sort(&self, answer: Answer) -> Result<Bytes, Refusal> {
        let envelope = Envelope::read(&answer.body);
        let text =
            envelope.as_ref().and_then(Envelope::text).map(|text| self.upstream.quote(&text)).unwrap_or_default();
        match (answer.status.as_u16(), envelope) {
            (500, _) => Err(self.failing(&answer, &text).into()),
            (404, _) => Err(Refusal::NotFound),
            _ if answer.is_html() => Err(self.not_this_platform("answers with a web page").into()),
            (401, _) => Err(Refusal::Unauthorized(text)),
            (403, _) => Err(Refusal::Forbidden(text)),
            (400..=499, Some(_)) => Err(Refusal::Invalid(text)),
            (200..=299, Some(envelope)) if envelope.is_success() => Ok(answer.body),
            (200..=299, Some(envelope)) if envelope.is_error() => Err(self.error_in_success(text)),
            (200..=299, Some(_)) => Err(self.not_this_platform("answers JSON without Affise's `status`").into()),
            _ => Err(self.not_this_platform("does not answer JSON").into()),
        }
    }

    /// Some failures come with status 200; the documented texts say which status they should have had.
    fn error_in_success(&self, text: String) -> Refusal {
        match text.to_ascii_lowercase().as_str() {
            "token is necessary" => Refusal::Unauthorized(text),
            "auth denied" => Refusal::Forbidden(text),
            "resource not found" | "page not found" => Refusal::NotFound,
            _ if speaks_of_addresses(&text) => Refusal::Forbidden(text),
            _ => PlatformError::bad_response(format!("{} reports an error{}", self.upstream.host(), saying(&text)))
                .into(),
        }
    }

    fn failing(&self, answer: &Answer, text: &str) -> PlatformError {
        let mut error = answer.failing(&self.upstream.host());
        if !text.is_empty() {
            error.detail = format!("{} is failing{}", self.upstream.host(), saying(text));
        }
        error
    }

    fn not_this_platform(&self, what: &str) -> PlatformError {
        PlatformError::new(
            ErrorKind::NotThisPlatform,
            format!("{} {what}; this is not the Affise API.", self.upstream.host()),
        )
    }

    /// What a refusal means to the user, where the path asked for says nothing more about it.
    fn explain(&self, refusal: Refusal) -> PlatformError {
        let host = self.upstream.host();
        match refusal {
            Refusal::Invalid(text) => {
                PlatformError::unsupported(format!("{host} does not accept the question{}", saying(&text)))
            }
            Refusal::Forbidden(text) | Refusal::Unauthorized(text) if speaks_of_addresses(&text) => {
                self.upstream.ip_not_allowed(format!("{host} does not let this service's address in{}", saying(&text)))
            }
            Refusal::Unauthorized(text) => PlatformError::new(
                ErrorKind::CredentialsRejected,
                format!("{host} does not accept the API key{}", saying(&text)),
            ),
            Refusal::Forbidden(text) => PlatformError::new(
                ErrorKind::InsufficientPermissions,
                format!("{host} accepts the API key, but does not let it read these statistics{}", saying(&text)),
            ),
            Refusal::NotFound => self.not_this_platform("has no such path"),
            Refusal::Other(error) => error,
        }
    }
}

/// The end of a sentence, with the platform's own words if it had any.
fn saying(text: &str) -> String {
    if text.is_empty() { ".".to_owned() } else { format!(": \"{text}\".") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_address_comes_down_to_the_host() {
        for pasted in [
            "API-Brand.affise.com",
            "https://api-brand.affise.com/3.0/stats/custom?x=1",
            " https://api-brand.affise.com/ ",
        ] {
            let mut settings = Settings::from([("base_url".to_owned(), pasted.to_owned())]);
            assert!(normalise(&mut settings).is_ok());
            assert_eq!(settings.get("base_url").map(String::as_str), Some("https://api-brand.affise.com"), "{pasted}");
        }
        let mut settings = Settings::from([("base_url".to_owned(), "https://".to_owned())]);
        assert_eq!(normalise(&mut settings).map_err(|errors| errors.len()), Err(1));
    }
}
