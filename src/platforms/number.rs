//! Numbers as trackers write them: JSON numbers, digits in quotes, blanks, nulls, and numbers dressed up for a screen.
//!
//! Values are read from the JSON text itself. Nothing passes through a binary float.

use std::borrow::Cow;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// So many digits fit into any count.
const MOST_PLAIN_DIGITS: usize = 18;

/// Reads a plain or scientific decimal exactly, ignoring blanks around it.
///
/// `None` for anything that is not a number, and for numbers a 96-bit decimal cannot hold. Digits beyond the
/// 28th place are rounded half-even: no tracker has that many that mean something.
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
pub(super) fn parse_count(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    whole(parse_decimal(text)?)
}

/// A count out of a number that has no fraction but zero.
pub(super) fn whole(number: Decimal) -> Option<i64> {
    number.fract().is_zero().then(|| number.trunc().to_i64()).flatten()
}

/// Reads a number that may be dressed up for a screen: `112.5000`, `$2.50`, `1,234.50`, `-$5.00`, and `($12.50)` for less
/// than nothing. A comma or a blank stands between thousands or nowhere: what could be a decimal comma is refused.
pub(super) fn parse_money(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let (is_negative, text) = match (text.strip_prefix('('), text.strip_prefix('-')) {
        (Some(inside), _) => (true, inside.strip_suffix(')')?.trim()),
        (None, Some(rest)) => (true, rest.trim_start()),
        (None, None) => (false, text),
    };
    let number_at = text.find(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-' | '+'))?;
    let (symbol, number) = text.split_at_checked(number_at)?;
    let is_symbol = symbol.chars().count() <= 4 && symbol.chars().any(|letter| letter == '$' || !letter.is_ascii());
    if !(symbol.is_empty() || is_symbol) || (is_negative && number.starts_with(['-', '+'])) {
        return None;
    }
    let amount = parse_decimal(&without_thousands(number)?)?;
    Some(if is_negative { -amount } else { amount })
}

/// Takes the commas out of `1,234.50`, or the blanks that stand for them; one anywhere else is no separator of thousands
/// and is refused.
fn without_thousands(number: &str) -> Option<Cow<'_, str>> {
    let Some(separator) = number.chars().find(|letter| matches!(letter, ',' | ' ' | '\u{a0}' | '\u{202f}')) else {
        return Some(Cow::Borrowed(number));
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut groups = whole.trim_start_matches(['-', '+']).split(separator);
    let first = groups.next()?;
    let grouped =
        (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3) && !fraction.contains(separator);
    grouped.then(|| Cow::Owned(number.replace(separator, "")))
}

/// Whether a text stands where a number could stand, and says that there is none.
pub(super) fn is_blank(text: &str) -> bool {
    let text = text.trim();
    matches!(text, "" | "-" | "\u{2013}" | "\u{2014}")
        || ["nan", "n/a", "null"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// What stands where a number may stand: a number, a number in quotes, or nothing.
fn scalar(raw: &str) -> Result<Option<Cow<'_, str>>, serde_json::Error> {
    match raw.as_bytes().first() {
        Some(b'"') => {
            let text = unquoted(raw)?;
            Ok((!is_blank(&text)).then_some(text))
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

/// Money or any other exact number; `null`, missing, `""`, `"-"` and `"NaN"` are `None`, anything else but a number is refused.
///
/// Use with `#[serde(default, deserialize_with = "number::decimal")]`.
pub(super) fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    decimal_of(<&RawValue>::deserialize(deserializer)?.get()).map_err(Error::custom)
}

/// The same of a JSON value as it is written.
pub(super) fn decimal_of(raw: &str) -> Result<Option<Decimal>, serde_json::Error> {
    scalar(raw)?.map(|text| parse_decimal(&text).ok_or_else(|| Error::custom("expected a decimal number"))).transpose()
}

/// A count; `null`, missing, `""`, `"-"` and `"NaN"` are `None`, anything else but a whole number is refused.
///
/// Use with `#[serde(default, deserialize_with = "number::count")]`.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    count_of(<&RawValue>::deserialize(deserializer)?.get()).map_err(Error::custom)
}

/// The same of a JSON value as it is written.
pub(super) fn count_of(raw: &str) -> Result<Option<i64>, serde_json::Error> {
    if let Some(count) = plain_count(raw) {
        return Ok(Some(count));
    }
    scalar(raw)?.map(|text| parse_count(&text).ok_or_else(|| Error::custom("expected a whole number"))).transpose()
}

/// A count that is nothing but digits, in quotes or not, and not too many of them. Nearly all are.
fn plain_count(raw: &str) -> Option<i64> {
    let digits = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(raw);
    if !(1..=MOST_PLAIN_DIGITS).contains(&digits.len()) {
        return None;
    }
    digits.bytes().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
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
        for json in [
            "{}",
            r#"{"money": null, "clicks": null}"#,
            r#"{"money": "", "clicks": " "}"#,
            r#"{"money": "NaN", "clicks": "-"}"#,
        ] {
            let read = line(json).expect("a line");
            assert_eq!((read.money, read.clicks), (None, None));
        }
        for json in
            [r#"{"money": "ten"}"#, r#"{"clicks": 1.5}"#, r#"{"clicks": []}"#, r#"{"money": {}}"#, r#"{"money": true}"#]
        {
            assert!(line(json).is_none(), "{json}");
        }
    }

    #[test]
    fn money_loses_its_dress_and_nothing_else() {
        for (text, amount) in [
            ("$2.50", "2.50"),
            ("1,234,567.5", "1234567.5"),
            ("-$5.00", "-5.00"),
            ("($12.50)", "-12.50"),
            ("(1,204)", "-1204"),
            ("1 204.50", "1204.50"),
            ("1\u{a0}204\u{a0}000", "1204000"),
            ("( € 3 )", "-3"),
            ("€ 12", "12"),
            ("US$3", "3"),
            ("0.0000", "0"),
            ("5.684341886080802e-14", "0.00000000000005684341886080802"),
        ] {
            assert_eq!(parse_money(text), text_of(amount), "{text}");
        }
        for text in [
            "",
            "$",
            "ten",
            "1,5",
            "12,34.5",
            "1.234,50",
            "1 5",
            "1,204 500",
            "e5",
            "--5",
            "12 USD",
            "n/a",
            "(5",
            "5)",
            "(-5)",
            "-(5)",
            "()",
        ] {
            assert_eq!(parse_money(text), None, "{text}");
        }
    }

    fn text_of(amount: &str) -> Option<Decimal> {
        Some(amount.parse().expect("a decimal"))
    }

    proptest! {
        #[test]
        fn every_text_is_a_number_or_refused_without_a_panic(text in "\\PC*") {
            let _ = parse_decimal(&text);
            let _ = parse_count(&text);
            let _ = (parse_money(&text), is_blank(&text));
        }

        #[test]
        fn a_plain_count_is_what_any_count_is(text in "\"?-?[0-9]{0,20}[.e ]?0?\"?") {
            if let Some(count) = plain_count(&text) {
                prop_assert_eq!(parse_count(text.trim_matches('"')), Some(count));
            }
        }

        #[test]
        fn decimals_survive_the_round_trip(mantissa in any::<i64>(), scale in 0u32..12) {
            let money = Decimal::new(mantissa, scale);
            prop_assert_eq!(parse_decimal(&money.to_string()), Some(money));
        }
    }
}
