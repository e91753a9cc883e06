//! Bodies as their senders meant them.
//!
//! Trackers put together JSON from whatever their users typed. A name that was cut in the middle of an emoji leaves half a
//! character (`\ud83d`), and control characters stand in texts as they are; both forbid the whole body to any parser. Here
//! they are written as JSON can have them: half a character becomes a replacement character, a control character a mark
//! that no text has of its own. Labels lose the mark; numbers and ids are read strictly afterwards, and have neither.

use std::borrow::Cow;

/// Stands where a text held a control character that its format forbids: a code point that is no character.
pub const MARK: char = '\u{fdd0}';

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What to read in place of a body.
pub(super) struct Repaired<'a> {
    pub(super) body: Cow<'a, [u8]>,
    /// Whether a text in it was not as it should be.
    pub(super) is_repaired: bool,
}

/// Looks a body through. One that is fine, as nearly all are, is not copied.
pub(super) fn repair(body: &[u8]) -> Repaired<'_> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    // Looking for what is wrong takes ten times as long as seeing that nothing is.
    let text = std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let escaped = is_json(&text).then(|| escape(&text)).flatten();
    match (escaped, text) {
        (Some(escaped), _) => Repaired { body: Cow::Owned(escaped.into_bytes()), is_repaired: true },
        (None, Cow::Owned(text)) => Repaired { body: Cow::Owned(text.into_bytes()), is_repaired: true },
        (None, Cow::Borrowed(_)) => Repaired { body: Cow::Borrowed(body), is_repaired: false },
    }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// The same JSON with its texts repaired; `None` where there is nothing to repair.
fn escape(json: &str) -> Option<String> {
    if !has_control(json) && !json.contains("\\ud") && !json.contains("\\uD") {
        return None;
    }
    let mut repaired = String::new();
    let (mut copied, mut at, mut is_inside) = (0, 0, false);
    let bytes = json.as_bytes();
    while let Some(byte) = bytes.get(at) {
        let (length, instead) = match byte {
            b'"' => {
                is_inside = !is_inside;
                (1, None)
            }
            b'\\' if is_inside => match half(bytes.get(at..).unwrap_or_default()) {
                Some(Half::Alone) => (6, Some(char::REPLACEMENT_CHARACTER)),
                Some(Half::Paired) => (12, None),
                None => (2, None),
            },
            0..b' ' if is_inside => (1, Some(MARK)),
            _ => (1, None),
        };
        if let Some(instead) = instead {
            repaired.push_str(json.get(copied..at)?);
            repaired.push(instead);
            copied = at + length;
        }
        at += length;
    }
    if copied == 0 {
        return None;
    }
    repaired.push_str(json.get(copied..)?);
    Some(repaired)
}

/// Whether there is a control character. Parts are looked through to their ends, which is done many bytes at a time.
fn has_control(json: &str) -> bool {
    json.as_bytes().chunks(512).any(|part| part.iter().fold(false, |found, byte| found | (*byte < b' ')))
}

/// An escape of half a character.
enum Half {
    Alone,
    /// The first of two halves that belong together.
    Paired,
}

/// What kind of half an escape stands for, if it does.
fn half(escape: &[u8]) -> Option<Half> {
    let unit = code_unit(escape)?;
    let is_paired = || escape.get(6..).and_then(code_unit).is_some_and(|next| matches!(next, 0xdc00..=0xdfff));
    match unit {
        0xd800..=0xdbff if is_paired() => Some(Half::Paired),
        0xd800..=0xdfff => Some(Half::Alone),
        _ => None,
    }
}

/// The number of an escape such as `\ud83d`.
fn code_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.get(..6)?.strip_prefix(b"\\u")?;
    let is_hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hexadecimal)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> (serde_json::Value, bool) {
        let Repaired { body, is_repaired } = repair(body.as_bytes());
        (serde_json::from_slice(&body).expect("JSON"), is_repaired)
    }

    #[test]
    fn half_a_character_becomes_a_replacement_character() {
        for (json, text) in [
            (r#""Loan \ud83d""#, "Loan \u{fffd}"),
            (r#""\ude00 and \uD83D, \ud83dx""#, "\u{fffd} and \u{fffd}, \u{fffd}x"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
        ] {
            assert_eq!(read(&format!("[{json}]")), (serde_json::json!([text]), true), "{json}");
        }
    }

    #[test]
    fn control_characters_in_texts_are_marked_and_blanks_between_them_stay() {
        assert_eq!(
            read("{\r\n\t\"a\tb\": \"c\u{1}\nd\"\n}"),
            (serde_json::json!({"a\u{fdd0}b": "c\u{fdd0}\u{fdd0}d"}), true)
        );
        assert!(!read("[\n 1,\n \"\\ud83d\\ude00 \\\\ud83d \\\"\"\n]").1);
    }

    #[test]
    fn a_number_with_something_in_it_stays_none() {
        assert_eq!(read("[\"1\u{1}2\"]").0, serde_json::json!(["1\u{fdd0}2"]));
    }

    #[test]
    fn a_mark_of_the_byte_order_is_left_out_and_is_no_damage() {
        let Repaired { body, is_repaired } = repair("\u{feff}{}".as_bytes());
        assert_eq!((body.as_ref(), is_repaired), (b"{}".as_slice(), false));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let Repaired { body, is_repaired } = repair(b"[\"a\xffb\"]");
        assert_eq!((body.as_ref(), is_repaired), ("[\"a\u{fffd}b\"]".as_bytes(), true));
    }

    proptest! {
        #[test]
        fn what_is_json_already_says_the_same_afterwards(texts in prop::collection::vec(".{0,12}", 0..6), pretty in any::<bool>()) {
            let value = serde_json::json!(texts);
            let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            prop_assert_eq!(read(&json.expect("JSON")), (value, false));
        }

        #[test]
        fn whatever_is_repaired_stays_so(body in prop_oneof![any::<Vec<u8>>(), "\\[(\"([a-z\\\\\n]|\\\\u[dD][0-9a-f]{3}){0,9}\",?){0,5}\\]".prop_map(String::into_bytes)]) {
            let once = repair(&body).body.into_owned();
            prop_assert!(!repair(&once).is_repaired);
        }
    }
}
