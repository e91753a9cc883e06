//! Keys and ids as they are meant, whatever was pasted with them.
//!
//! What stands around a key is cut off without a word. What stands inside it is refused with its place and its name:
//! nobody sees a zero-width space, and the tracker would only say that the key is wrong.

use std::collections::BTreeMap;

use serde_json::Value;
use zeroize::Zeroizing;

use super::wiped::Wiped;
use crate::input::{Collector, InputCode};
use crate::problem::FieldProblem;

/// Settings that are ids, and are copied like keys.
const IDS: [&str; 2] = ["affiliate_id", "network_id"];

/// Quotation marks that people and their programs put around a value.
const QUOTES: [(char, char); 9] =
    [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('„', '“'), ('„', '”'), ('‘', '’'), ('«', '»'), ('»', '«')];

/// Whether a field holds a key or an id, and not words or an address.
pub(super) fn is_key(at: &str, field: &str) -> bool {
    at == "/credentials" || IDS.contains(&field)
}

/// A text without what stands around it: blanks and line breaks, characters that nobody sees, and for keys quotation marks.
pub(super) fn as_meant(text: &str, is_key: bool) -> &str {
    let mut text = text.trim_matches(is_around);
    while let Some(inside) = QUOTES
        .iter()
        .filter(|_| is_key)
        .find_map(|(open, close)| text.strip_prefix(*open).and_then(|rest| rest.strip_suffix(*close)))
    {
        text = inside.trim_matches(is_around);
    }
    text
}

fn is_around(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || is_invisible(letter)
}

/// Whether nothing is seen of a character: what Unicode lets a font leave out, and letters that are drawn as blanks.
pub(super) const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// What is wrong inside a key, by its name and place. No key has anything but visible ASCII.
pub(super) fn odd_character(text: &str) -> Option<String> {
    let (place, letter) = (1..).zip(text.chars()).find(|(_, letter)| !letter.is_ascii_graphic())?;
    let name = name_of(letter);
    Some(format!("The value has {name} at position {place}, which no key has. Take it out, or copy the value again."))
}

/// The name of a character that no key has, with an article.
fn name_of(letter: char) -> String {
    let name = match letter {
        ' ' => return "a blank".to_owned(),
        '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => return "a line break".to_owned(),
        '\t' => return "a tab".to_owned(),
        '\u{200b}' => "a zero-width space",
        '\u{200c}' => "a zero-width non-joiner",
        '\u{200d}' => "a zero-width joiner",
        '\u{2060}' => "a word joiner",
        '\u{feff}' => "a byte-order mark",
        '\u{ad}' => "a soft hyphen",
        '\u{a0}' | '\u{202f}' => "a no-break space",
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "a mark of the writing direction"
        }
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "a dash that is no hyphen",
        '\u{2018}'..='\u{201f}' | '«' | '»' => "a typographic quotation mark",
        '…' => "an ellipsis",
        '\u{370}'..='\u{3ff}' => "a Greek letter",
        '\u{400}'..='\u{52f}' => "a Cyrillic letter",
        '\u{530}'..='\u{58f}' => "an Armenian letter",
        '\u{ff01}'..='\u{ff5e}' => "a full-width character",
        _ if letter.is_whitespace() => "an unusual blank",
        _ if letter.is_control() => "a control character",
        _ if is_invisible(letter) => "an invisible character",
        _ if letter.is_alphabetic() => "a letter outside ASCII",
        _ => "a character outside ASCII",
    };
    format!("{name} (U+{:04X})", u32::from(letter))
}

/// Takes two halves apart that stand in one field, where it is sure which is which.
///
/// It is sure where the other field is empty, holds the same two, or holds the half that belongs there. Everything else
/// is reported with the field.
pub(super) fn take_apart(halves: (&str, &str), credentials: &mut Wiped, errors: &mut Collector<FieldProblem>) {
    let (first, second) = halves;
    let text = |field: &str| credentials.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (left, right) = (text(first), text(second));
    let (in_left, in_right) = (left.and_then(split), right.and_then(split));
    let found = match (in_left, in_right) {
        (None, None) => return,
        (Some(pair), Some(other)) if pair == other => pair,
        (Some(pair), None) if right.is_none_or(|right| right == *pair.1) => pair,
        (None, Some(pair)) if left.is_none_or(|left| left == *pair.0) => pair,
        (in_left, in_right) => {
            for (field, pasted) in [(first, in_left), (second, in_right)] {
                if pasted.is_some() {
                    let detail = format!(
                        "Two values stand in this field. Put the first into {first} and the second into {second}."
                    );
                    errors.note(FieldProblem::at("/credentials", field, InputCode::TwoValues, detail));
                }
            }
            return;
        }
    };
    let (mut id, mut key) = found;
    credentials.put(first.to_owned(), Value::String(std::mem::take(&mut *id)));
    credentials.put(second.to_owned(), Value::String(std::mem::take(&mut *key)));
}

type Halves = (Zeroizing<String>, Zeroizing<String>);

/// An id and a key: with a colon, a blank or a line break between them, or as JSON.
fn split(text: &str) -> Option<Halves> {
    if text.starts_with('{') {
        let members: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
        let members = members.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), Zeroizing::new(value)));
        let (ids, keys): (Vec<_>, Vec<_>) = members.partition(|(name, _)| name.ends_with("id"));
        return match (<[_; 1]>::try_from(ids), <[_; 1]>::try_from(keys)) {
            (Ok([(_, id)]), Ok([(_, key)])) => Some((id, key)),
            _ => None,
        };
    }
    let is_between = |letter: char| matches!(letter, ':' | ',' | ';') || letter.is_whitespace();
    let mut parts = text.split(is_between).map(|part| as_meant(part, true)).filter(|part| !part.is_empty());
    let (id, key) = (parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && [id, key].iter().all(|part| odd_character(part).is_none());
    (whole && !text.contains("//")).then(|| (Zeroizing::new(id.to_owned()), Zeroizing::new(key.to_owned())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn what_stands_around_a_key_is_cut_off() {
        for pasted in [
            " abc-123\r\n",
            "\u{feff}abc-123",
            "abc-123\u{200b}",
            "\"abc-123\"",
            "“ abc-123 ”",
            " '\u{a0}\"abc-123\"\u{2060}' ",
        ] {
            assert_eq!(as_meant(pasted, true), "abc-123", "{pasted:?}");
        }
        assert_eq!(as_meant("\u{feff} \"Brand\" ", false), "\"Brand\"");
        assert_eq!(as_meant("\"", true), "\"");
    }

    #[test]
    fn what_stands_inside_a_key_is_named_with_its_place() {
        for (text, words) in [
            ("abcdefghijk\u{200b}l", "a zero-width space (U+200B) at position 12"),
            ("ab cd", "a blank at position 3"),
            ("а1b2", "a Cyrillic letter (U+0430) at position 1"),
            ("abc\u{feff}d", "a byte-order mark (U+FEFF) at position 4"),
            ("ab\ncd", "a line break at position 3"),
            ("ab\u{7}cd", "a control character (U+0007) at position 3"),
            ("ab–cd", "a dash that is no hyphen (U+2013) at position 3"),
        ] {
            assert!(odd_character(text).is_some_and(|detail| detail.contains(words)), "{text:?}");
        }
        assert_eq!(odd_character("aZ09+/=_-.~:"), None);
    }

    fn apart(id: Option<&str>, key: Option<&str>) -> Result<(String, String), Vec<String>> {
        let fields = [("access_key_id", id), ("access_key", key)];
        let members = fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?))));
        let mut credentials: Wiped = members.collect::<Map<_, _>>().into();
        let mut errors = Collector::default();
        take_apart(("access_key_id", "access_key"), &mut credentials, &mut errors);
        if errors.so_far().is_empty() {
            let text = |name: &str| credentials.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            Ok((text("access_key_id"), text("access_key")))
        } else {
            Err(errors.so_far().iter().map(|error| error.pointer.clone()).collect())
        }
    }

    #[test]
    fn two_halves_in_one_field_are_taken_apart_only_where_that_is_sure() {
        let both = || Ok(("id-1".to_owned(), "key-2".to_owned()));
        for (id, key) in [
            (Some("id-1:key-2"), None),
            (None, Some("id-1\nkey-2")),
            (Some("id-1"), Some("id-1:key-2")),
            (Some("id-1 key-2"), Some("key-2")),
            (Some("id-1:key-2"), Some("id-1:key-2")),
            (Some(r#"{"accessId": "id-1", "accessKey": "key-2"}"#), Some("")),
            (Some("id-1"), Some("key-2")),
        ] {
            assert_eq!(apart(id, key), both(), "{id:?} {key:?}");
        }
        let wrong = |field: &str| Err(vec![format!("/credentials/{field}")]);
        assert_eq!(apart(Some("other"), Some("id-1:key-2")), wrong("access_key"));
        assert_eq!(apart(Some("id-1:key-2"), Some("other")), wrong("access_key_id"));
        assert!(apart(Some("id-1:key-2"), Some("id-3:key-4")).is_err_and(|fields| fields.len() == 2));
        for alone in ["a:b:c", "https://x", "abc"] {
            assert_eq!(apart(Some(alone), None), Ok((alone.to_owned(), String::new())), "{alone}");
        }
    }

    proptest! {
        #[test]
        fn what_is_meant_stays_as_it_is(pasted in "[ \"'\u{200b}\u{feff}]{0,4}[!-~]{0,12}[ \"'\u{200b}\r\n]{0,4}") {
            let once = as_meant(&pasted, true);
            prop_assert_eq!(as_meant(once, true), once);
        }
    }
}
