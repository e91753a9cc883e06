//! What TUNE's answers mean where they are no report.
//!
//! A refusal has HTTP status 200 and a sentence. The sentences are sorted by the words that the vendor documents, or
//! that clients know.

use super::super::kind::ConnectionType;
use super::api::Api;
use super::request::ROWS_PER_PAGE;
use super::trouble::Trouble;
use super::wire::{self, Response};
use crate::outbound::Answer;
use crate::outbound::error::{ErrorKind, Owner, PlatformError, Stage};

/// What a refusal is about.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Key,
    Right,
    Rate,
    Address,
    Network,
    Column(String),
    Argument,
    Limit,
    Unknown,
}

/// Sorts a refusal by its words.
fn sort(words: &str) -> Said {
    let lower = words.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    match () {
        () if has("is not authenticated") => Said::Key,
        () if has("not permitted to perform") => Said::Right,
        () if wire::speaks_of_rate(words) => Said::Rate,
        () if has("not white-listed") || has("not whitelisted") => Said::Address,
        () if has("network id is not valid") || (has("networkid") && has("is not found")) => Said::Network,
        () if has("does not exist or is not allowed to be used") => match words.split('\'').nth(1) {
            Some(column) => Said::Column(column.trim().to_owned()),
            None => Said::Unknown,
        },
        () if has("missing required argument") => Said::Argument,
        () if has("limit") => Said::Limit,
        () => Said::Unknown,
    }
}

impl Api {
    /// The response of an answer, or what the answer says instead.
    pub(super) fn judge<'a>(&self, answer: &'a Answer) -> Result<Response<'a>, Trouble> {
        let Some(response) = Response::read(&answer.body) else { return Err(self.foreign(answer).into()) };
        if response.is_success() && answer.status.is_success() {
            return Ok(response);
        }
        let words = response.words();
        match sort(&words) {
            Said::Network => Err(self.unknown_network(&words).into()),
            _ if !response.has_status() => Err(self.foreign(answer).into()),
            Said::Column(name) => Err(Trouble::Column(name)),
            Said::Limit => Err(Trouble::PageTooLong(words)),
            said => Err(self.refused(&said, answer, &words).into()),
        }
    }

    fn refused(&self, said: &Said, answer: &Answer, words: &str) -> PlatformError {
        let host = self.upstream.host();
        let words = self.saying(words);
        match said {
            Said::Key => PlatformError::new(ErrorKind::CredentialsRejected, format!("{host} does not accept the key{words}"))
                .hint(self.key_hint()),
            Said::Right => PlatformError::new(
                ErrorKind::InsufficientPermissions,
                format!("{host} knows the key, but does not let it read reports{words}"),
            )
            .hint("Ask the network's administrator to let this key read reports. API access also has to be part of the network's plan."),
            Said::Address => PlatformError::new(
                ErrorKind::IpNotAllowed,
                format!("{host} does not accept calls with this key from this service's address{words}"),
            )
            .hint("Ask the network's administrator to add this service's address to those of the key, under Company → Support → API."),
            Said::Rate => PlatformError::new(ErrorKind::RateLimited, format!("{host} asks to be called less often{words}")),
            Said::Argument => PlatformError::bad_response(format!("{host} misses a part of the question{words}")),
            Said::Network | Said::Column(_) | Said::Limit | Said::Unknown => self.unknown_refusal(answer, &words),
        }
    }

    /// A refusal in words that are not known: then its status says what it can.
    fn unknown_refusal(&self, answer: &Answer, words: &str) -> PlatformError {
        let host = self.upstream.host();
        match answer.status.as_u16() {
            401 => PlatformError::new(
                ErrorKind::CredentialsRejected,
                format!("{host} does not accept the key (401){words}"),
            )
            .hint(self.key_hint()),
            403 => PlatformError::new(
                ErrorKind::InsufficientPermissions,
                format!("{host} does not let this key read reports (403){words}"),
            ),
            500 => answer.failing(&host),
            _ => PlatformError::new(ErrorKind::Failing, format!("{host} could not make the report{words}"))
                .at(Stage::Request),
        }
    }

    /// The platform's own words, to end a sentence with.
    fn saying(&self, words: &str) -> String {
        let words = self.upstream.quote(words);
        if words.is_empty() { ".".to_owned() } else { format!(": “{words}”") }
    }

    fn key_hint(&self) -> &'static str {
        match self.portal {
            ConnectionType::Admin => {
                "Copy the network token again from Company → Support → API, and check that the network ID is that of the same network and that API access is part of its plan."
            }
            ConnectionType::Affiliate => {
                "Copy the key again from the API page of the affiliate portal, and check that the network ID is that of the same network."
            }
        }
    }

    fn unknown_network(&self, words: &str) -> PlatformError {
        let error = PlatformError::new(
            ErrorKind::NotThisPlatform,
            format!("{} knows no network with this ID{}", self.upstream.host(), self.saying(words)),
        )
        .hint("Check the network ID: it is acme if the network's portal is at acme.hasoffers.com.");
        PlatformError { owner: Some(Owner::You), ..error }
    }

    /// The error of an answer that is not in TUNE's own shape.
    fn foreign(&self, answer: &Answer) -> PlatformError {
        let host = self.upstream.host();
        if answer.status == 500 {
            return answer.failing(&host);
        }
        let does = if answer.is_html() { "answers with a web page" } else { "does not answer as TUNE's API does" };
        PlatformError::new(ErrorKind::NotThisPlatform, format!("{host} {does} (status {}).", answer.status.as_u16()))
            .hint("Check the network ID: it is acme if the network's portal is at acme.hasoffers.com.")
    }

    /// An answer that contradicts itself or the request.
    pub(super) fn odd(&self, does: &str) -> PlatformError {
        PlatformError::bad_response(format!("{} {does}.", self.upstream.host()))
    }

    /// What is left of a trouble that nothing could be done about.
    pub(super) fn explain(&self, trouble: Trouble) -> PlatformError {
        match trouble {
            Trouble::Failed(error) => error,
            Trouble::TooMuch => self.odd("finds even one day too much"),
            Trouble::PageTooLong(words) => PlatformError::unsupported(format!(
                "{} takes no page of {} rows either{}",
                self.upstream.host(),
                ROWS_PER_PAGE.last().copied().unwrap_or_default(),
                self.saying(&words)
            )),
            Trouble::Column(name) => {
                let (host, name) = (self.upstream.host(), self.upstream.quote(&name));
                PlatformError::new(
                    ErrorKind::InsufficientPermissions,
                    format!(
                        "{host} does not let this key use the column {name}, without which there is no such report."
                    ),
                )
                .hint("Ask for other dimensions, or ask the network's administrator to let this key use the column.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_sorted_by_their_words_whatever_their_case() {
        for (words, said) in [
            ("NetworkToken abc is not authenticated", Said::Key),
            ("API KEY abc IS NOT AUTHENTICATED", Said::Key),
            ("User is not permitted to perform getStats on Report", Said::Right),
            ("x. API usage exceeded rate limit.  Configured: 50/10s window; Your usage: 51.", Said::Rate),
            ("User has exceeded API rate limit", Said::Rate),
            ("IP 192.0.2.1 is not white-listed", Said::Address),
            ("Network id is not valid", Said::Network),
            ("NetworkId acme is not found", Said::Network),
            (
                "Field 'Stat.currency' does not exist or is not allowed to be used",
                Said::Column("Stat.currency".to_owned()),
            ),
            ("Missing required argument: fields", Said::Argument),
            ("The limit may not exceed 1000 rows", Said::Limit),
            ("There was an error with the trackable id", Said::Unknown),
            ("", Said::Unknown),
        ] {
            assert_eq!(sort(words), said, "{words}");
        }
    }
}
