//! The answers of Keitaro's Admin API, read from their text.
//!
//! A report is `{"rows": […], "total": 43, "meta": {…}}`. Rows are flat objects whose members are the columns that were
//! asked for; values are JSON numbers or numeric texts, by column and version. Some versions are said to answer with a
//! bare list, to put the report under `data`, or to write rows as lists whose columns `meta.columns` names. Refusals
//! are `{"error": "…"}`, or `{"member": ["…"]}` where the request is not accepted.

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::super::list::{Members, Rows};
use super::super::number;

/// An answer that is not what this call answers, in words that quote nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Odd(Cow<'static, str>);

impl Odd {
    pub(super) const fn new(what: &'static str) -> Self {
        Self(Cow::Borrowed(what))
    }

    pub(super) fn column(name: &str, expected: &str) -> Self {
        Self(Cow::Owned(format!("a value of its column `{name}` is not {expected}")))
    }

    fn lacks(name: &str) -> Self {
        Self(Cow::Owned(format!("one of its rows lacks the column `{name}`")))
    }
}

/// The most rows of one answer: a panel that ignores paging lists everything there is at once.
const MOST_ROWS: usize = 100_000;

type List<'a> = Rows<&'a RawValue, MOST_ROWS>;

/// The text of an answer.
pub(super) fn text_of(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

/// A page of a report.
pub(super) struct Page<'a> {
    rows: Vec<&'a RawValue>,
    /// How many rows the whole report has, where the panel says.
    pub(super) total: Option<usize>,
    /// What the positions of a row mean where rows are lists.
    positions: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    rows: Option<List<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    total: Option<&'a RawValue>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    columns: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Page<'a> {
    /// Reads a page. An answer without a list of rows is not an empty report.
    pub(super) fn read(text: &'a str) -> Result<Self, Odd> {
        let text = text.trim();
        if text.starts_with('[') {
            let rows = list(text)?;
            return if rows.is_empty() {
                Err(Odd::new("it is an empty list, which nothing marks as a report"))
            } else {
                Ok(Self { rows, total: None, positions: Vec::new() })
            };
        }
        let outer = Envelope::of(text)?;
        match (outer.rows, outer.data) {
            (Some(rows), _) => Self::of(rows.0, outer.total, outer.meta),
            (None, Some(data)) if data.get().starts_with('[') => Self::of(list(data.get())?, outer.total, outer.meta),
            (None, Some(data)) => {
                let inner = Envelope::of(data.get())?;
                let rows = inner.rows.ok_or(Odd::new("it has no list of rows"))?.0;
                Self::of(rows, inner.total.or(outer.total), inner.meta.or(outer.meta))
            }
            (None, None) => Err(Odd::new("it has no list of rows")),
        }
    }

    fn of(rows: Vec<&'a RawValue>, total: Option<&'a RawValue>, meta: Option<&'a RawValue>) -> Result<Self, Odd> {
        let total = match total.map(scalar).transpose().map_err(|()| Odd::new("its total is not a number"))?.flatten() {
            Some(total) => {
                let total = number::parse_count(&total).and_then(|total| usize::try_from(total).ok());
                Some(total.ok_or(Odd::new("its total is not a number of rows"))?)
            }
            None => None,
        };
        let meta: Option<Meta<'a>> = meta.and_then(|meta| serde_json::from_str(meta.get()).ok());
        let positions = meta.map(|meta| meta.columns.into_iter().map(|name| name.0).collect());
        Ok(Self { rows, total, positions: positions.unwrap_or_default() })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Which of `columns` the first row lacks; none where there is no row.
    pub(super) fn missing(&self, columns: &[&'static str]) -> Result<Vec<&'static str>, Odd> {
        let Some(first) = self.rows.first() else { return Ok(Vec::new()) };
        let cells = self.cells(first, columns)?;
        Ok(columns.iter().copied().zip(cells).filter(|(_, cell)| cell.is_none()).map(|(name, _)| name).collect())
    }

    /// The rows' values of `columns`, in that order.
    pub(super) fn lines<'p>(
        &'p self,
        columns: &'p [&'static str],
    ) -> impl Iterator<Item = Result<Line<'a>, Odd>> + use<'p, 'a> {
        self.rows.iter().map(move |row| {
            let cells = columns.iter().copied().zip(self.cells(row, columns)?);
            cells.map(|(name, cell)| Ok(Cell { name, raw: cell.ok_or_else(|| Odd::lacks(name))? })).collect()
        })
    }

    fn cells(&self, row: &'a RawValue, columns: &[&'static str]) -> Result<Found<'a>, Odd> {
        let mut reader = serde_json::Deserializer::from_str(row.get());
        let wanted = Wanted { columns, positions: &self.positions };
        wanted.deserialize(&mut reader).map_err(|_| Odd::new("one of its rows cannot be read"))
    }

    /// Tells this page's rows from another's.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.rows.iter().for_each(|row| row.get().hash(&mut hasher));
        hasher.finish()
    }
}

impl<'a> Envelope<'a> {
    fn of(text: &'a str) -> Result<Self, Odd> {
        serde_json::from_str(text).map_err(|_| Odd::new("it is not a report"))
    }
}

fn list(text: &str) -> Result<Vec<&RawValue>, Odd> {
    let rows: List<'_> = serde_json::from_str(text).map_err(|_| Odd::new("its list of rows cannot be read"))?;
    Ok(rows.0)
}

/// Columns found in a row.
type Found<'a> = SmallVec<[Option<&'a RawValue>; 16]>;

/// The values of one row.
pub(super) type Line<'a> = SmallVec<[Cell<'a>; 16]>;

/// The columns to be found in a row, which is an object or, where the positions are known, a list.
struct Wanted<'c> {
    columns: &'c [&'static str],
    positions: &'c [Cow<'c, str>],
}

impl Wanted<'_> {
    fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| *column == name)
    }
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Found<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = SmallVec::from_elem(None, self.columns.len());
        while let Some(name) = members.next_key::<Text<'de>>()? {
            match self.place(&name.0).and_then(|place| found.get_mut(place)) {
                Some(cell) => *cell = Some(members.next_value()?),
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        if self.positions.is_empty() {
            return Err(A::Error::custom("a list whose columns nothing names"));
        }
        let mut found = SmallVec::from_elem(None, self.columns.len());
        for name in self.positions {
            let Some(value) = elements.next_element::<&'de RawValue>()? else { break };
            if let Some(cell) = self.place(name).and_then(|place| found.get_mut(place)) {
                *cell = Some(value);
            }
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

/// The value of one column in one row.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a> {
    name: &'static str,
    raw: &'a RawValue,
}

impl<'a> Cell<'a> {
    /// Its text, if it says anything; a number is its own text.
    pub(super) fn text(self) -> Result<Option<Cow<'a, str>>, Odd> {
        scalar(self.raw).map_err(|()| self.odd("a text or a number"))
    }

    /// Its text where it is only shown, and blank where it is none.
    pub(super) fn label(self) -> Cow<'a, str> {
        scalar(self.raw).ok().flatten().unwrap_or_default()
    }

    /// A count; `None` where the panel leaves it blank.
    pub(super) fn count(self) -> Result<Option<i64>, Odd> {
        self.text()?.map(|text| number::parse_count(&text).ok_or_else(|| self.odd("a whole number"))).transpose()
    }

    /// An amount; `None` where the panel leaves it blank.
    pub(super) fn amount(self) -> Result<Option<Decimal>, Odd> {
        self.text()?.map(|text| number::parse_decimal(&text).ok_or_else(|| self.odd("an amount"))).transpose()
    }

    pub(super) fn odd(self, expected: &str) -> Odd {
        Odd::column(self.name, expected)
    }
}

/// The text a JSON scalar stands for, if it says anything.
fn scalar(raw: &RawValue) -> Result<Option<Cow<'_, str>>, ()> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => {
            let text = number::unquoted(json).map_err(drop)?;
            Ok((!text.trim().is_empty()).then_some(text))
        }
        Some(b'0'..=b'9' | b'-') => Ok(Some(Cow::Borrowed(json))),
        Some(b'n') => Ok(None),
        _ => Err(()),
    }
}

/// The words of a refusal in Keitaro's own shape, `{"error": "…"}`; `None` for any other body.
pub(super) fn error(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal<'a> {
        #[serde(borrow)]
        error: Cow<'a, str>,
    }
    let text = text_of(body);
    serde_json::from_str::<Refusal<'_>>(&text).ok().map(|refusal| refusal.error.into_owned())
}

/// Why a request is not accepted, in one of Keitaro's own two shapes; `None` for any other body.
pub(super) fn objection(body: &[u8]) -> Option<String> {
    if let Some(words) = error(body) {
        return Some(words);
    }
    let text = text_of(body);
    let members: Members<Rows<String>> = serde_json::from_str(&text).ok()?;
    let objections: Vec<String> =
        members.0.into_iter().map(|(member, words)| format!("{member}: {}", words.0.join(" "))).collect();
    (!objections.is_empty()).then(|| objections.join("; "))
}

/// Whether a body is a list of objects, as the calls that list entities answer.
pub(super) fn is_list(body: &[u8]) -> bool {
    // Of an object nothing is kept but that it is one.
    #[derive(Deserialize)]
    struct Object {}

    serde_json::from_str::<Rows<Object>>(&text_of(body)).is_ok()
}

/// Which of the columns asked for, by grouping and numbers, an objection is about.
///
/// Some versions name the column, some list what there is, some do both. What stands before such a list is refused;
/// where nothing does, what is not in the list is. A list may be of the one kind of columns only.
pub(super) fn refused(words: &str, asked: [&[&'static str]; 2]) -> Vec<&'static str> {
    let words = words.to_lowercase();
    let (head, list) = words.split_at(start_of_list(&words).unwrap_or(words.len()));
    let in_head: Vec<&'static str> = asked.into_iter().flat_map(|columns| mentioned(head, columns)).collect();
    if !in_head.is_empty() {
        return in_head;
    }
    let mut unlisted = Vec::new();
    for columns in asked {
        let listed = mentioned(list, columns);
        if !listed.is_empty() {
            unlisted.extend(columns.iter().filter(|name| !listed.contains(name)));
        }
    }
    unlisted
}

/// Whether an objection is about this member of the request.
pub(super) fn is_about(words: &str, member: &'static str) -> bool {
    !mentioned(&words.to_lowercase(), &[member]).is_empty()
}

fn mentioned(words: &str, names: &[&'static str]) -> Vec<&'static str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let tokens: Vec<&str> = words.split(|letter| !is_part(letter)).collect();
    names.iter().copied().filter(|name| tokens.contains(name)).collect()
}

/// Where the list of what there is begins. "Not allowed" and "unexpected" begin none.
fn start_of_list(words: &str) -> Option<usize> {
    let begins = |sign: &str| {
        words.match_indices(sign).map(|(place, _)| place).find(|place| {
            let before = words.get(..*place).unwrap_or_default();
            !before.ends_with("not ") && !before.ends_with("un")
        })
    };
    ["allowed", "available", "one of", "expected"].into_iter().filter_map(begins).min()
}

/// Reads any bytes as every answer of the panel.
#[cfg(fuzzing)]
pub(in crate::platforms) fn fuzz(body: &[u8]) {
    const COLUMNS: [&str; 4] = ["day", "campaign_id", "campaign", "clicks"];
    let text = text_of(body);
    if let Ok(page) = Page::read(&text) {
        let _ = (page.missing(&COLUMNS), page.fingerprint(), page.len());
        for line in page.lines(&COLUMNS).flatten() {
            line.into_iter().for_each(|cell| drop((cell.text(), cell.label(), cell.count(), cell.amount())));
        }
    }
    if let Some(words) = objection(body) {
        let _ = (refused(&words, [&COLUMNS, &[]]), is_about(&words, "limit"));
    }
    let _ = (error(body), is_list(body));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [&str; 3] = ["campaign_id", "campaign", "revenue"];

    fn texts(text: &str) -> Result<Vec<Vec<String>>, Odd> {
        let page = Page::read(text)?;
        page.lines(&COLUMNS)
            .map(|line| line?.into_iter().map(|cell| Ok(cell.text()?.unwrap_or_default().into_owned())).collect())
            .collect()
    }

    #[test]
    fn every_form_of_a_report_is_read_alike() {
        let row = r#"{"campaign_id":12,"campaign":"Spring push","revenue":"176.50","cr":"NaN"}"#;
        let list = r#"[12,"NaN","Spring push","176.50"]"#;
        let columns = r#"{"columns":["campaign_id","cr","campaign","revenue"]}"#;
        for text in [
            format!(r#"{{"rows":[{row}],"total":1,"meta":{{"execution_time":0.04}}}}"#),
            format!("\u{feff}[{row}]").trim_start_matches('\u{feff}').to_owned(),
            format!(r#"{{"data":[{row}]}}"#),
            format!(r#"{{"data":{{"rows":[{row}],"total":"1"}}}}"#),
            format!(r#"{{"rows":[{list}],"meta":{columns}}}"#),
        ] {
            assert_eq!(texts(&text), Ok(vec![vec!["12".into(), "Spring push".into(), "176.50".into()]]), "{text}");
        }
    }

    #[test]
    fn nothing_but_a_list_of_rows_is_a_report() {
        for text in [
            "",
            "null",
            "{}",
            "[]",
            "[[]]",
            "[1]",
            r#"{"rows":null}"#,
            r#"{"rows":{}}"#,
            r#"{"data":{}}"#,
            r#"{"rows":[],"total":"many"}"#,
            r#"{"rows":[[1]]}"#,
            r#"{"rows":[{"campaign_id":1}]}"#,
            r#"{"rows":["#,
        ] {
            assert!(texts(text).is_err(), "{text}");
        }
        assert_eq!(texts(r#"{"rows":[],"total":0}"#), Ok(Vec::new()));
    }

    #[test]
    fn numbers_are_exact_blanks_are_unknown_and_words_are_refused() {
        let cell = |raw: &'static str| Cell { name: "revenue", raw: serde_json::from_str(raw).expect("a value") };
        let amount = |raw| cell(raw).amount().map(|amount| amount.map(|amount| amount.to_string()));
        assert_eq!(amount("176.50"), Ok(Some("176.50".to_owned())));
        assert_eq!(amount("\"88.1200\""), Ok(Some("88.1200".to_owned())));
        assert_eq!((amount("null"), amount("\"\"")), (Ok(None), Ok(None)));
        for raw in ["\"NaN\"", "\"12 EUR\"", "true", "{}"] {
            assert_eq!(
                amount(raw),
                Err(Odd::column("revenue", if raw.starts_with('"') { "an amount" } else { "a text or a number" }))
            );
        }
        assert_eq!((cell("\"861\"").count(), cell("3.0").count()), (Ok(Some(861)), Ok(Some(3))));
        assert!(cell("1.5").count().is_err());
    }

    #[test]
    fn a_name_that_is_none_costs_only_itself() {
        let text = r#"{"rows":[{"campaign_id":7,"campaign":["Party"],"revenue":1}]}"#;
        let page = Page::read(text).expect("a page");
        let line = page.lines(&COLUMNS).next().expect("a row").expect("cells");
        assert_eq!((line[0].label().as_ref(), line[1].label().as_ref()), ("7", ""));
    }

    #[test]
    fn the_refused_column_is_found_whether_it_is_named_or_what_there_is_listed() {
        let asked = [&["campaign_id", "campaign"][..], &["clicks", "rejected", "revenue"]];
        for (words, expected) in [
            ("Unknown column \"rejected\"", vec!["rejected"]),
            ("metrics: Column rejected is not allowed", vec!["rejected"]),
            ("Unexpected metric rejected. Allowed: campaign_id, clicks, revenue", vec!["rejected"]),
            ("Invalid metric. Available metrics are clicks, revenue.", vec!["rejected"]),
            ("Allowed are campaign_id, clicks and revenue", vec!["campaign", "rejected"]),
            ("Grouping is not accepted", vec![]),
        ] {
            assert_eq!(refused(words, asked), expected, "{words}");
        }
        assert!(is_about("limit: must be at most 1000", "limit") && !is_about("Your plan is limited", "limit"));
    }

    #[test]
    fn refusals_are_read_in_their_two_shapes_only() {
        assert_eq!(error(br#"{"error":"Unauthorized"}"#).as_deref(), Some("Unauthorized"));
        assert_eq!(
            objection(br#"{"range":["is required"],"limit":["too large"]}"#).as_deref(),
            Some("limit: too large; range: is required")
        );
        for body in ["{}", "[]", "<html>", r#"{"error":{"code":1}}"#, r#"{"message":"no"}"#, "null"] {
            assert_eq!((error(body.as_bytes()), objection(body.as_bytes())), (None, None), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_a_reader_panic(body in any::<Vec<u8>>(), json in "[\\[{\"rowsdata:,0-9}\\] .]{0,80}") {
            for body in [body.as_slice(), json.as_bytes()] {
                let text = text_of(body);
                let _ = texts(&text);
                let _ = (error(body), objection(body), is_list(body));
            }
        }

        #[test]
        fn no_words_make_the_search_for_columns_panic(words in "\\PC*") {
            let _ = (refused(&words, [&COLUMNS, &[]]), is_about(&words, "limit"));
        }
    }
}
