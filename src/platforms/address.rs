//! Tracker addresses as people paste them, brought into the one form that is stored.

use url::{Host, Url};

use super::kind::{FieldError, Settings};
use crate::input::InputCode;

/// Reads a pasted tracker address.
///
/// A missing scheme becomes https, the host is lower-cased, user and password are refused, query and fragment are
/// dropped, and the path is cut by `keep_path`, which gets the pasted path without slashes at its ends and returns
/// the part that belongs to the installation.
///
/// # Errors
/// One [`FieldError`] that says what is wrong with the address.
pub(super) fn normalise(
    field: &'static str,
    pasted: &str,
    keep_path: impl FnOnce(&str) -> String,
) -> Result<String, FieldError> {
    let refuse = |detail: &str| FieldError { field, code: InputCode::InvalidUrl, detail: detail.to_owned() };
    let text = pasted.trim();
    if text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(refuse("The address must not contain blanks or control characters."));
    }
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&with_scheme)
        .map_err(|_| refuse("This is not an address. It should look like https://tracker.example.com."))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("The address must start with https://."));
    }
    if !url.username().is_empty() || url.password().is_some() || with_scheme.contains('@') {
        return Err(refuse("The address must not contain a user name or password."));
    }
    match url.host() {
        Some(Host::Domain(name)) if plausible_name(name) => {}
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => {}
        Some(Host::Domain(_)) | None => {
            return Err(refuse("The host of the address is incomplete. It should look like tracker.example.com."));
        }
    }
    if url.port() == Some(0) {
        return Err(refuse("The port of the address must not be 0."));
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = keep_path(url.path().trim_matches('/'));
    url.set_path(&path);
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether a name could be one that DNS knows: labels of 1 to 63 letters, digits, hyphens and underscores.
/// One-label names pass; the egress policy decides about them.
fn plausible_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

/// Scheme, host and port of the normalised address that stands in this field.
pub(super) fn origin_in(settings: &Settings, field: &str) -> Option<String> {
    settings.get(field).and_then(|address| origin(address))
}

/// Whether a text is one label of a host name, in lower case.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Scheme, host and port of a normalised address.
pub(super) fn origin(address: &str) -> Option<String> {
    Some(Url::parse(address).ok()?.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bare(pasted: &str) -> Result<String, String> {
        normalise("base_url", pasted, |_| String::new()).map_err(|error| error.detail)
    }

    #[test]
    fn pasted_addresses_come_down_to_the_host() {
        for pasted in [
            "https://api-brand.affise.com",
            " https://API-Brand.Affise.com/ ",
            "api-brand.affise.com/3.0/stats/custom?slice[]=day#x",
            "https://api-brand.affise.com:443/",
        ] {
            assert_eq!(bare(pasted).as_deref(), Ok("https://api-brand.affise.com"), "{pasted}");
        }
        assert_eq!(bare("http://127.0.0.1:8080/x").as_deref(), Ok("http://127.0.0.1:8080"));
    }

    #[test]
    fn names_in_other_letters_are_stored_as_they_are_looked_up() {
        for (pasted, stored) in [
            ("трекер.example", "https://xn--e1aaowdh.example"),
            ("https://ТРЕКЕР.example/", "https://xn--e1aaowdh.example"),
            ("https://xn--e1aaowdh.example", "https://xn--e1aaowdh.example"),
            ("https://straße.example", "https://xn--strae-oqa.example"),
            ("https://cafe\u{301}.example", "https://xn--caf-dma.example"),
            ("https://例え.example", "https://xn--r8jz45g.example"),
        ] {
            assert_eq!(bare(pasted).as_deref(), Ok(stored), "{pasted}");
        }
    }

    #[test]
    fn impossible_addresses_are_refused() {
        for pasted in [
            "",
            "https://",
            "ftp://a.example",
            "https://user:pw@a.example",
            "https://a b.example",
            "https://a..example",
            "javascript:alert(1)",
            "https://a.example:0",
            "https://@a.example",
            "https://a.example\n.evil",
            "file:///etc/passwd",
        ] {
            assert!(bare(pasted).is_err(), "{pasted}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing_and_nothing_panics(pasted in "\\PC{0,60}") {
            if let Ok(once) = bare(&pasted) {
                prop_assert_eq!(bare(&once), Ok(once.clone()));
            }
        }
    }
}
