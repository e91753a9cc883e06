//! A tracker's own words, made safe to show.

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// A shorter secret is left out only where it stands alone: inside of words it is most likely a part of them.
const SHORTEST_ANYWHERE: usize = 8;
/// Text quoted from a tracker is cut at this many characters.
const MAX_QUOTE: usize = 300;

/// The words without these secrets (as they are, percent-encoded, or as JSON writes them; in capitals or not), without
/// control characters, and cut short.
pub(super) fn quote<'a>(text: &str, secrets: impl IntoIterator<Item = &'a SecretString>) -> String {
    // What is on the way to clean is wiped: the tracker may have repeated the key.
    let mut clean = Zeroizing::new(text.to_owned());
    for secret in secrets {
        let secret = secret.expose_secret().trim();
        if secret.is_empty() {
            continue;
        }
        let mut encoded = Zeroizing::new(String::with_capacity(secret.len() * 3));
        encoded.extend(form_urlencoded::byte_serialize(secret.as_bytes()));
        let json = Zeroizing::new(serde_json::to_string(secret).unwrap_or_default());
        let escaped = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        for form in [secret, encoded.as_str(), escaped.unwrap_or(secret)] {
            clean = without(&clean, form, secret.chars().count() < SHORTEST_ANYWHERE);
        }
    }
    let visible = clean.replace(char::is_control, " ");
    let mut words = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = words.char_indices().nth(MAX_QUOTE) {
        words.truncate(cut);
        words.push('…');
    }
    words
}

/// Whatever case its letters have: that of a host's, for one, is lost on the way.
fn without(text: &str, form: &str, only_alone: bool) -> Zeroizing<String> {
    // In ASCII, letters of either case take the same place.
    let [folded, form] = [text, form].map(|text| Zeroizing::new(text.to_ascii_lowercase()));
    let mut clean = Zeroizing::new(String::with_capacity(text.len()));
    let mut from = 0;
    let is_inside = |at: usize, end: usize| {
        let before = folded.get(..at).and_then(|before| before.chars().next_back());
        let after = folded.get(end..).and_then(|after| after.chars().next());
        before.is_some_and(char::is_alphanumeric) || after.is_some_and(char::is_alphanumeric)
    };
    for (at, found) in folded.match_indices(form.as_str()) {
        if only_alone && is_inside(at, at + found.len()) {
            continue;
        }
        clean.push_str(text.get(from..at).unwrap_or_default());
        clean.push_str("[secret]");
        from = at + found.len();
    }
    clean.push_str(text.get(from..).unwrap_or_default());
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_left_out_in_every_form_and_case() {
        let secrets = [SecretString::from(" Canary/Key+\"1\" "), SecretString::from(" ")];
        let quoted = |text: &str| quote(text, &secrets);
        for (text, clean) in [
            ("no Canary/Key+\"1\", no CANARY/KEY+\"1\"", "no [secret], no [secret]"),
            ("?key=Canary%2FKey%2B%221%22&x", "?key=[secret]&x"),
            ("?key=canary%2fkey%2b%221%22&x", "?key=[secret]&x"),
            (r#"{"key":"Canary/Key+\"1\""}"#, r#"{"key":"[secret]"}"#),
            ("Ünder canary/key+\"1\" Çeviri", "Ünder [secret] Çeviri"),
            ("nothing of the kind", "nothing of the kind"),
        ] {
            assert_eq!(quoted(text), clean);
        }
    }

    #[test]
    fn a_short_secret_is_left_out_where_it_stands_alone_and_shreds_no_words() {
        let quoted = |secret: &str, text: &str| quote(text, &[SecretString::from(secret)]);
        assert_eq!(quoted("US", "US key in USD, status"), "[secret] key in USD, status");
        assert_eq!(quoted("1", "key=1, 11 of 21 rows"), "key=[secret], 11 of 21 rows");
        assert_eq!(quoted("secret12", "xsecret12x"), "x[secret]x");
    }

    #[test]
    fn what_controls_a_terminal_or_begins_a_line_is_a_blank_and_the_rest_is_cut() {
        assert_eq!(quote(" one\r\n\u{1b}[31mtwo\u{0}\u{85}three ", []), "one [31mtwo three");
        let long = quote(&"ä".repeat(1_000_000), []);
        assert_eq!((long.chars().count(), long.ends_with("ä…")), (301, true));
    }
}
