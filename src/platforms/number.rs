//! Numbers as trackers write them: JSON numbers, digits in quotes, blanks, nulls.
//!
//! Values are read from the JSON text itself. Nothing passes through a binary float.

use std::borrow::Cow;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads a plain or scientific decimal exactly, ignoring blanks around it.
///
/// `None` for anything that is not a number, and for numbers a 96-bit decimal cannot hold. Digits beyond the
/// 28th place are rounded half-even: no tracker has that many that mean something.
#[must_use]
pub(super) fn parse_decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let valid = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    if text.is_empty() || !valid {
        return None;
    }
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => Decimal::from_scientific(text).ok(),
    }
}

/// Reads a count. A fraction of zero (`3.000000`) is a count too; any other fraction is not.
#[must_use]
pub(super) fn parse_count(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let number = parse_decimal(text)?;
    number.fract().is_zero().then(|| number.trunc().to_i64()).flatten()
}

/// What stands where a number may stand: a number, a number in quotes, or nothing.
fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    match raw.as_bytes().first() {
        Some(b'"') => {
            let text = unquoted(raw).map_err(serde::de::Error::custom)?;
            Ok((!text.trim().is_empty()).then_some(text))
        }
        Some(b'n') => Ok(None),
        _ => Ok(Some(Cow::Borrowed(raw))),
    }
}

/// What a JSON string says. Where nothing is escaped, and nearly nothing is, that is what stands between the quotes.
pub(super) fn unquoted(json: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let inside = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inside.filter(|text| !text.contains('\\')) {
        Some(text) => Ok(Cow::Borrowed(text)),
        None => serde_json::from_str(json).map(|Text(text)| text),
    }
}

/// Money or any other exact number; `null`, missing and `""` are `None`, anything else but a number is refused.
///
/// Use with `#[serde(default, deserialize_with = "number::decimal")]`.
pub(super) fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    scalar(deserializer)?
        .map(|text| parse_decimal(&text).ok_or_else(|| serde::de::Error::custom("expected a decimal number")))
        .transpose()
}

/// A count; `null`, missing and `""` are `None`, anything else but a whole number is refused.
///
/// Use with `#[serde(default, deserialize_with = "number::count")]`.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    scalar(deserializer)?
        .map(|text| parse_count(&text).ok_or_else(|| serde::de::Error::custom("expected a whole number")))
        .transpose()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Deserialize)]
    struct Line {
        #[serde(default, deserialize_with = "decimal")]
        money: Option<Decimal>,
        #[serde(default, deserialize_with = "count")]
        clicks: Option<i64>,
    }

    fn line(json: &str) -> Option<Line> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn money_keeps_every_digit_of_the_text() {
        let read = line(r#"{"money": 339894.05859619, "clicks": "1840"}"#).expect("a line");
        assert_eq!(read.money.map(|money| money.to_string()).as_deref(), Some("339894.05859619"));
        assert_eq!(read.clicks, Some(1840));
        let read = line(r#"{"money": "0.1000", "clicks": 3.000000}"#).expect("a line");
        assert_eq!(read.money.map(|money| money.to_string()).as_deref(), Some("0.1000"));
        assert_eq!(read.clicks, Some(3));
        let read = line(r#"{"money": 1.5e-3}"#).expect("a line");
        assert_eq!(read.money.map(|money| money.to_string()).as_deref(), Some("0.0015"));
    }

    #[test]
    fn absent_null_and_blank_are_unknown_and_words_are_refused() {
        for json in ["{}", r#"{"money": null, "clicks": null}"#, r#"{"money": "", "clicks": " "}"#] {
            let read = line(json).expect("a line");
            assert_eq!((read.money, read.clicks), (None, None));
        }
        for json in
            [r#"{"money": "ten"}"#, r#"{"clicks": 1.5}"#, r#"{"clicks": []}"#, r#"{"money": {}}"#, r#"{"money": true}"#]
        {
            assert!(line(json).is_none(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_a_number_or_refused_without_a_panic(text in "\\PC*") {
            let _ = parse_decimal(&text);
            let _ = parse_count(&text);
        }

        #[test]
        fn decimals_survive_the_round_trip(mantissa in any::<i64>(), scale in 0u32..12) {
            let money = Decimal::new(mantissa, scale);
            prop_assert_eq!(parse_decimal(&money.to_string()), Some(money));
        }
    }
}
