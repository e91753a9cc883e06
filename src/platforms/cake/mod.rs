//! CAKE networks, as their owner or as one affiliate.
//!
//! Follows the reporting API articles of CAKE's help centre (support.getcake.com) and, for the newer affiliate paths
//! that no article describes, what public clients send and read. Every network runs its own instance under its own
//! host; there is no shared gateway.
//!
//! What is odd:
//! - Three generations live side by side. Affiliates have `/affiliates/api/<Group>/<Report>` ([newer]) and the
//!   `.asmx` services below `/affiliates/api/<version>/`; networks have those below `/api/<version>/`. [`reports`]
//!   lists the forms of each report, and a form that a network lacks gives way to the next.
//! - JSON or XML is decided by the body ([`tree`]), never by its header.
//! - Most refusals come with status 200 and `success` false; ASP.NET's own come as a 500 with plain text
//!   ([`refusal`]).
//! - The classic services exclude the end of a range; what the newer paths do is not documented. Both are asked so
//!   that no day is lost or doubled.
//! - Days are those of the account's own zone, and nothing in the API says which that is ([`zone`]).
//! - A row names its currency by a symbol, or not at all ([`mod@currency`]).
//!
//! [newer]: api::Generation::Newer

mod admin;
mod affiliate;
mod api;
mod catalogue;
mod currency;
pub(super) mod descriptor;
mod parse;
mod pull;
mod refusal;
mod reports;
mod tree;
mod wire;
mod xml;
mod zone;

use jiff::Timestamp;
use jiff::civil::Date;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::address;
use super::calendar::Zone;
use super::client::Account;
use super::kind::{ConnectionType, FieldError, Gateways, Settings};
use super::stats::Currency;
use crate::input::InputCode;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{Allowance, Dialect, Limits, Upstream};
use api::Api;
#[cfg(fuzzing)]
pub(super) use wire::fuzz;

/// How its own answers are told from those of something in front of it.
const DIALECT: Dialect =
    Dialect { is_own_refusal: refusal::is_own_refusal, knows_wrong_keys: false, is_gateway: false };

/// No limit is documented and reports are slow: two calls at a time is what networks are used to, and where they come no
/// slower by that it may be more, up to what makes a quarter of daily reports bearable.
const LIMITS: Limits = Limits { origin: PLACES, account: PLACES };

const PLACES: Allowance = Allowance::of(2).up_to(8);

/// Brings the settings into the form they are stored in.
///
/// A `domain` that is a single label stays one, in lower case: which domain it stands under is decided by the
/// service's configuration. A host or a URL becomes scheme, host and port.
fn normalise(settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    if let Some(domain) = settings.get_mut("domain") {
        match normal_domain(domain) {
            Ok(normal) => *domain = normal,
            Err(error) => errors.push(error),
        }
    }
    if let Some(zone) = settings.get_mut("timezone") {
        match Zone::find(zone.trim()) {
            Some(found) => found.name().clone_into(zone),
            None => errors.push(FieldError {
                field: "timezone",
                code: InputCode::UnknownTimezone,
                detail: "This is not an IANA time zone. It should look like America/New_York.".to_owned(),
            }),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn normal_domain(typed: &str) -> Result<String, FieldError> {
    let label = typed.trim().to_ascii_lowercase();
    if address::is_label(&label) {
        return Ok(label);
    }
    address::normalise("domain", typed, |_| String::new())
}

/// Scheme, host and port of the network. A configured domain may bring its own scheme, for emulators.
fn origin(settings: &Settings, gateways: &Gateways) -> Option<String> {
    let domain = settings.get("domain")?;
    if !address::is_label(domain) {
        return address::origin(domain);
    }
    let (scheme, under) = gateways.cake_domain.split_once("://").unwrap_or(("https", &gateways.cake_domain));
    address::origin(&format!("{scheme}://{domain}.{under}"))
}

/// Takes a key that was pasted together with its affiliate id (`key|id`) apart, before anything is made of either.
fn unpaste(mut account: Account) -> Account {
    let pair = account.credentials.get("api_key").and_then(|pasted| {
        let (key, id) = pasted.expose_secret().trim().split_once('|')?;
        let id = id.trim();
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        is_id.then(|| (SecretString::from(key.trim()), id.to_owned()))
    });
    if let Some((key, id)) = pair {
        account.credentials.insert("api_key".to_owned(), key);
        account.settings.entry("affiliate_id".to_owned()).or_insert(id);
    }
    account
}

/// The way to an account. `account` has been through [`unpaste`], and `origin` was derived from its settings.
fn api(portal: ConnectionType, account: &Account, upstream: Upstream) -> Result<Api, PlatformError> {
    let origin = upstream
        .address()
        .and_then(|address| Url::parse(address).ok())
        .ok_or_else(|| PlatformError::new(ErrorKind::InvalidUrl, "The connection has no usable domain."))?;
    let api_key = account.credentials.get("api_key").cloned().unwrap_or_default();
    let affiliate_id = match portal {
        ConnectionType::Affiliate => account.settings.get("affiliate_id").cloned(),
        ConnectionType::Admin => None,
    };
    Ok(Api::new(portal, upstream, origin, api_key, affiliate_id))
}

fn currency(account: &Account) -> Option<Currency> {
    account.settings.get("currency").and_then(|code| code.parse().ok())
}

/// The zone that the connection says its account reports in.
fn account_zone(account: &Account) -> Option<Zone> {
    account.settings.get("timezone").and_then(|name| Zone::find(name))
}

/// The last closed day, near enough for a request about nothing but the key.
fn yesterday(zone: Option<&Zone>) -> Date {
    let now = Timestamp::now();
    let today = zone.map_or_else(|| Zone::utc().date_at(now), |zone| zone.date_at(now));
    today.yesterday().unwrap_or(today)
}

/// Whether a key may have been refused because it belongs to the other portal.
const fn is_rejected(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::CredentialsRejected | ErrorKind::AffiliateIdRequired)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn domain(typed: &str) -> Result<String, Vec<FieldError>> {
        let mut settings = Settings::from([("domain".to_owned(), typed.to_owned())]);
        normalise(&mut settings)?;
        Ok(settings.remove("domain").unwrap_or_default())
    }

    fn origin_of(typed: &str, cake_domain: &str) -> Option<String> {
        let gateways = Gateways { cake_domain: cake_domain.to_owned(), ..Gateways::default() };
        let mut settings = Settings::from([("domain".to_owned(), typed.to_owned())]);
        normalise(&mut settings).ok()?;
        origin(&settings, &gateways)
    }

    #[test]
    fn a_label_a_host_and_a_url_lead_to_the_same_network() {
        for typed in ["acme", " ACME ", "acme.cakemarketing.com", "https://ACME.cakemarketing.com/affiliates/"] {
            assert_eq!(
                origin_of(typed, "cakemarketing.com").as_deref(),
                Some("https://acme.cakemarketing.com"),
                "{typed}"
            );
        }
        assert_eq!(domain("ACME"), Ok("acme".to_owned()));
        assert_eq!(domain("login.acme.com/x"), Ok("https://login.acme.com".to_owned()));
        assert_eq!(domain("http://127.0.0.1:8081/"), Ok("http://127.0.0.1:8081".to_owned()));
        assert_eq!(origin_of("acme", "http://cake.localhost:9000").as_deref(), Some("http://acme.cake.localhost:9000"));
        for typed in ["", "acme!", "user:pw@acme.com", "a..b"] {
            assert!(domain(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn zones_are_checked_and_written_as_the_database_has_them() {
        let mut settings = Settings::from([("timezone".to_owned(), "america/new_york".to_owned())]);
        normalise(&mut settings).expect("settings");
        assert_eq!(settings.get("timezone").map(String::as_str), Some("America/New_York"));
        settings.insert("timezone".to_owned(), "EST5".to_owned());
        assert!(normalise(&mut settings).is_err());
    }

    #[test]
    fn a_pasted_pair_is_taken_apart_and_an_entered_id_wins() {
        let account = |key: &str, id: Option<&str>| {
            let account = unpaste(Account {
                connection: uuid::Uuid::nil(),
                settings: id.map(|id| ("affiliate_id".to_owned(), id.to_owned())).into_iter().collect(),
                credentials: [("api_key".to_owned(), SecretString::from(key))].into(),
                detected: crate::platforms::verification::Detected::default(),
            });
            let key = account.credentials.get("api_key").expect("a key").expose_secret().to_owned();
            (key, account.settings.get("affiliate_id").cloned())
        };
        assert_eq!(account("abc|42", None), ("abc".to_owned(), Some("42".to_owned())));
        assert_eq!(account("abc|42", Some("7")), ("abc".to_owned(), Some("7".to_owned())));
        assert_eq!(account("abc|x", None), ("abc|x".to_owned(), None));
        assert_eq!(account("abc", None), ("abc".to_owned(), None));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(typed in "\\PC{0,40}") {
            if let Ok(once) = domain(&typed) {
                prop_assert_eq!(domain(&once), Ok(once.clone()));
            }
        }
    }
}
