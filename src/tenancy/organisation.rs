//! The id of an organisation.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

/// The longest id, in characters.
const MAX_CHARS: usize = 128;

/// An organisation: 1 to 128 printable characters, without blanks at its ends.
///
/// It comes from a token, or from an internal service's header. Code that holds one has been allowed to act for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct OrgId(Arc<str>);

impl OrgId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text cannot be an organisation's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an organisation id has 1 to 128 printable characters")]
pub struct BadOrgId;

impl FromStr for OrgId {
    type Err = BadOrgId;

    fn from_str(text: &str) -> Result<Self, BadOrgId> {
        // Blanks at the ends are refused, not cut: the issuer of ids may tell them apart by them.
        let fits = !text.is_empty() && text.trim() == text && text.chars().count() <= MAX_CHARS;
        if fits && text.chars().all(is_printable) { Ok(Self(text.into())) } else { Err(BadOrgId) }
    }
}

/// Whether a character can be seen: two ids that look the same should be the same.
fn is_printable(letter: char) -> bool {
    // `escape_debug` leaves alone what can be printed, but for quotes and backslashes.
    matches!(letter, '"' | '\'' | '\\') || letter.escape_debug().eq([letter])
}

impl fmt::Display for OrgId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_visible_text() {
        for good in
            ["org-1", "0199a2b4-0000-7000-8000-000000000000", "Acme GmbH & Co. \"KG\"", "組織", &"x".repeat(128)]
        {
            assert_eq!(good.parse::<OrgId>().expect("an id").as_str(), good);
        }
        for bad in ["", "   ", "a\nb", "a\0", "a\u{200b}b", "a\u{202e}b", "a\u{7f}", " a", "a\t", &"x".repeat(129)] {
            assert_eq!(bad.parse::<OrgId>(), Err(BadOrgId), "{bad:?}");
        }
    }
}
