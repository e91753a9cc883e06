//! What stands around Affise's answers, and what they say of users and of currencies.
//!
//! The server is written in PHP: numbers may stand in quotes.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::super::list;
use super::super::number;
use super::super::stats::Currency;
use crate::outbound::Answer;

/// The `status` of an answer that is no error.
pub(super) const SUCCESS: i64 = 1;

/// What stands around the content of every answer.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(default, deserialize_with = "number::count")]
    status: Option<i64>,
    #[serde(borrow)]
    message: Option<Raw<'a>>,
    #[serde(borrow)]
    error: Option<Raw<'a>>,
}

impl<'a> Envelope<'a> {
    /// The envelope, if the body is a JSON object with one.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    pub(super) fn is_success(&self) -> bool {
        self.status == Some(SUCCESS)
    }

    pub(super) fn is_error(&self) -> bool {
        self.status.is_some() && !self.is_success()
    }

    /// The platform's own words: a text, or whatever else stands in its place.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        let raw = self.message.or(self.error)?;
        Some(text_of(raw).unwrap_or(Cow::Borrowed(raw.0)))
    }
}

/// Whether a refusal is Affise's own: only its errors have a `status` beside the words.
pub(super) fn is_own_refusal(answer: &Answer) -> bool {
    Envelope::read(&answer.body).is_some_and(|envelope| envelope.is_error())
}

/// A JSON value as it is written.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(pub(super) &'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

/// A text, or a number as it is written; `None` for blanks and everything else.
pub(super) fn text_of(Raw(json): Raw<'_>) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => number::unquoted(json).ok().filter(|text| !text.trim().is_empty()),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

/// The side of the network a user stands on.
pub(super) enum Role {
    Network,
    /// Of the network, but with the rights that somebody gave.
    Manager,
    Affiliate,
    Advertiser,
    Unknown,
}

/// What is read of a user's own record. The rest of it, the key included, is not looked at.
pub(super) struct User {
    pub(super) role: Role,
    pub(super) id: Option<String>,
    /// An affiliate's number in the network.
    pub(super) partner_id: Option<String>,
    pub(super) timezone: Option<String>,
}

impl User {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            user: Record<'a>,
        }
        #[derive(Deserialize)]
        struct Record<'a> {
            #[serde(borrow, rename = "type")]
            role: Option<Raw<'a>>,
            #[serde(borrow)]
            id: Option<Raw<'a>>,
            #[serde(borrow)]
            partner_id: Option<Raw<'a>>,
            #[serde(borrow)]
            timezone: Option<Raw<'a>>,
        }
        let Record { role, id, partner_id, timezone } = serde_json::from_slice::<Body<'_>>(body).ok()?.user;
        let owned = |raw: Option<Raw<'_>>| raw.and_then(text_of).map(Cow::into_owned);
        let role = match role.and_then(text_of).as_deref() {
            Some("common_manager" | "client" | "root") => Role::Network,
            Some("affiliate_manager" | "account_manager") => Role::Manager,
            Some("affiliate") => Role::Affiliate,
            Some("advertiser") => Role::Advertiser,
            _ => Role::Unknown,
        };
        Some(Self { role, id: owned(id), partner_id: owned(partner_id), timezone: owned(timezone) })
    }
}

/// Currencies of that list. The world has some two hundred.
const MOST_CURRENCIES: usize = 2_000;

/// The currency that a network's list marks as its default.
pub(super) fn default_currency(body: &[u8]) -> Option<Currency> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, deserialize_with = "list::at_most::<MOST_CURRENCIES, _, _>")]
        quotes: Vec<Quote<'a>>,
    }
    #[derive(Deserialize)]
    struct Quote<'a> {
        #[serde(borrow)]
        code: Option<Raw<'a>>,
        #[serde(borrow)]
        default: Option<Raw<'a>>,
    }
    let quotes = serde_json::from_slice::<Body<'_>>(body).ok()?.quotes;
    let default =
        quotes.iter().find(|quote| quote.default.is_some_and(|flag| matches!(flag.0, "true" | "1" | "\"1\"")))?;
    text_of(default.code?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_error_speaks_under_either_name_and_in_any_type() {
        let text =
            |json: &str| Envelope::read(json.as_bytes()).and_then(|envelope| envelope.text().map(Cow::into_owned));
        assert_eq!(text(r#"{"status": 2, "message": "a \"b\""}"#).as_deref(), Some("a \"b\""));
        assert_eq!(text(r#"{"status": 2, "message": null, "error": "c"}"#).as_deref(), Some("c"));
        assert_eq!(text(r#"{"status": 2, "message": {"d": 1}}"#).as_deref(), Some(r#"{"d": 1}"#));
        assert_eq!(text(r#"{"status": 2}"#), None);
    }

    #[test]
    fn the_default_currency_is_the_one_marked_so() {
        let list = r#"{"quotes": [{"code": "USD", "default": false}, {"code": "EUR", "default": true, "rate": 1}]}"#;
        assert_eq!(
            default_currency(list.as_bytes()).map(|currency| currency.as_str().to_owned()).as_deref(),
            Some("EUR")
        );
        assert_eq!(default_currency(br#"{"quotes": {"USD": 1}}"#), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = User::read(&bytes);
            let _ = default_currency(&bytes);
            let _ = Envelope::read(&bytes).map(|envelope| envelope.text().map(Cow::into_owned));
        }
    }
}
