//! The rows of a report, and what they mean in our words.
//!
//! In a row of statistics `charge` is what the advertiser owes the network and `revenue` what the affiliate is
//! owed. Money is read from the `confirmed` block alone: `total` adds up all states, unsettled money included.
//!
//! The server is written in PHP: an empty object comes as `[]`, and numbers may stand in quotes. An entity that was
//! removed from the network comes as `null`; its row is kept, because the totals need it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

#[cfg(fuzzing)]
use jiff::civil::Date;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::calendar::DateRange;
use super::super::kind::ConnectionType;
use super::super::list::MOST_ROWS;
use super::super::number;
use super::super::stats::{Currency, DimensionValue, Key, Row, SubId};
use super::line::{Entity, Given, Line};
#[cfg(fuzzing)]
use super::wire::{Envelope, User, default_currency};
use super::wire::{Raw, text_of};

/// Something the custom report cuts rows by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    /// Three slices of the platform: it has no date, and a day without its month would merge months.
    Date,
    Hour,
    Affiliate,
    Offer,
    Advertiser,
    Country,
    /// What the links of affiliates carry.
    Sub(SubId),
}

/// The sub-ids that every network has; those beyond fail on some.
const SUBS: [&[&str]; 5] = [&["sub1"], &["sub2"], &["sub3"], &["sub4"], &["sub5"]];

impl Slice {
    /// The slice of a sub-id, where every network has it.
    pub(super) fn of_sub(number: SubId) -> Option<Self> {
        (usize::from(number.number()) <= SUBS.len()).then_some(Self::Sub(number))
    }

    /// Whether the slice cuts the time axis.
    pub(super) const fn is_time(self) -> bool {
        matches!(self, Self::Date | Self::Hour)
    }

    /// The platform's names.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Date => &["year", "month", "day"],
            Self::Hour => &["hour"],
            Self::Affiliate => &["affiliate"],
            Self::Offer => &["offer"],
            Self::Advertiser => &["advertiser"],
            Self::Country => &["country"],
            Self::Sub(number) => {
                usize::from(number.number()).checked_sub(1).and_then(|at| SUBS.get(at)).copied().unwrap_or(&[])
            }
        }
    }
}

/// How the rows of an answer are to be read.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) slices: Arc<[Slice]>,
    pub(super) window: DateRange,
    pub(super) portal: ConnectionType,
    pub(super) currency: Option<Currency>,
}

/// One page of statistics.
pub(super) struct Page {
    pub(super) rows: Vec<Row>,
    /// The page's own number, where it states one.
    pub(super) number: Option<u64>,
    /// Rows to a page; the server may give fewer than were asked for.
    pub(super) per_page: u64,
    /// Rows of all pages.
    pub(super) total: u64,
    /// Whether the answer points to a further page.
    pub(super) has_next: bool,
}

#[derive(Deserialize)]
pub(super) struct Pagination {
    #[serde(default, deserialize_with = "number::count")]
    pub(super) page: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    pub(super) per_page: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    pub(super) total_count: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    pub(super) next_page: Option<i64>,
}

impl Reading {
    /// Reads a page letter by letter, whatever its rows look like.
    pub(super) fn in_full(&self, text: &str) -> serde_json::Result<Body> {
        self.body(serde_json::Deserializer::from_str(text))
    }

    pub(super) fn body<'de, R: serde_json::de::Read<'de>>(
        &self,
        mut reader: serde_json::Deserializer<R>,
    ) -> serde_json::Result<Body> {
        let body = reader.deserialize_map(BodyOf(self))?;
        reader.end()?;
        Ok(body)
    }

    pub(super) fn row(&self, line: &Line<'_>) -> Result<Row, String> {
        let key: Key = self.slices.iter().map(|slice| self.value(*slice, &line.slice)).collect::<Result<_, _>>()?;
        let metrics = line.metrics(self.portal).map_err(|error| error.to_string())?;
        Ok(Row { key, currency: self.currency, metrics })
    }

    fn value(&self, slice: Slice, given: &Given<'_>) -> Result<DimensionValue, String> {
        match slice {
            Slice::Date => {
                let day = given.date().ok_or("a row has no valid `year`, `month` and `day`")?;
                let inside = self.window.contains(day);
                inside.then(|| DimensionValue::date(day)).ok_or_else(|| format!("a row of {day} was not asked for"))
            }
            Slice::Hour => {
                let hour = given.hour.and_then(|hour| u8::try_from(hour).ok()).filter(|hour| *hour < 24);
                hour.map(DimensionValue::hour).ok_or_else(|| "a row has no valid `hour`".to_owned())
            }
            Slice::Affiliate => entity(given.affiliate.as_ref(), "affiliate"),
            Slice::Offer => entity(given.offer.as_ref(), "offer"),
            Slice::Advertiser => entity(given.advertiser.as_ref(), "advertiser"),
            Slice::Country => country(given.country),
            Slice::Sub(number) => sub_id(given.sub(number)),
        }
    }
}

/// An answer with its rows made already: a row as it comes is ten times as large as what it says.
pub(super) struct Body {
    pub(super) status: Option<i64>,
    pub(super) rows: Vec<Row>,
    pub(super) pagination: Pagination,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Status,
    Stats,
    Pagination,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
pub(super) struct Count(#[serde(deserialize_with = "number::count")] pub(super) Option<i64>);

#[derive(Clone, Copy)]
struct BodyOf<'r>(&'r Reading);

impl<'de> Visitor<'de> for BodyOf<'_> {
    type Value = Body;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an answer with statistics")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let (mut status, mut rows, mut pagination) = (None, None, None);
        while let Some(member) = map.next_key()? {
            match member {
                Member::Stats if rows.is_none() => rows = Some(map.next_value_seed(RowsOf(self.0))?),
                Member::Stats => return Err(A::Error::duplicate_field("stats")),
                Member::Status => {
                    let Count(count) = map.next_value()?;
                    status = count;
                }
                Member::Pagination => pagination = Some(map.next_value()?),
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let rows = rows.ok_or_else(|| A::Error::missing_field("stats"))?;
        let pagination = pagination.ok_or_else(|| A::Error::missing_field("pagination"))?;
        Ok(Body { status, rows, pagination })
    }
}

/// The rows of an answer, each made as soon as it is read.
struct RowsOf<'r>(&'r Reading);

impl<'de> DeserializeSeed<'de> for RowsOf<'_> {
    type Value = Vec<Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsOf<'_> {
    type Value = Vec<Row>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a list of at most {MOST_ROWS} rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(line) = lines.next_element::<Line<'_>>()? {
            if rows.len() == MOST_ROWS {
                return Err(A::Error::invalid_length(MOST_ROWS + 1, &self));
            }
            rows.push(self.0.row(&line).map_err(A::Error::custom)?);
        }
        Ok(rows)
    }
}

/// One that the platform no longer describes is unknown; one that is missing from the row altogether means that the
/// platform ignored the slice.
fn entity(given: Option<&Entity<'_>>, name: &str) -> Result<DimensionValue, String> {
    let entity = given.ok_or_else(|| format!("a row has no `{name}`"))?;
    let Some(id) = entity.id.and_then(text_of) else { return Ok(DimensionValue::unknown()) };
    let label = [entity.title, entity.login, entity.name, entity.email].into_iter().flatten().find_map(text_of);
    Ok(DimensionValue::new(id.trim(), label.unwrap_or_default()))
}

/// What a link carried, letter by letter; a blank id where it carried nothing.
fn sub_id(raw: Option<Raw<'_>>) -> Result<DimensionValue, String> {
    let raw = raw.ok_or("a row lacks a sub-id that was asked for")?;
    let text = match raw.0.as_bytes().first() {
        Some(b'"') => number::unquoted(raw.0).map_err(|error| error.to_string())?,
        Some(b'n') => Cow::Borrowed(""),
        Some(b'-' | b'0'..=b'9') => Cow::Borrowed(raw.0),
        _ => return Err("a sub-id is not a text".to_owned()),
    };
    Ok(DimensionValue::plain(text.as_ref()))
}

fn country(raw: Option<Raw<'_>>) -> Result<DimensionValue, String> {
    let raw = raw.ok_or("a row has no `country`")?;
    match (text_of(raw), raw.0.as_bytes().first()) {
        (Some(code), _) => Ok(DimensionValue::plain(code.trim())),
        (None, Some(b'"' | b'n')) => Ok(DimensionValue::unknown()),
        (None, _) => Err("a `country` is not a text".to_owned()),
    }
}

/// Reads any bytes as every answer there is, each page by each slice.
#[cfg(fuzzing)]
pub(in crate::platforms) fn fuzz(body: &[u8]) {
    let _ = Envelope::read(body).map(|envelope| envelope.text().map(|text| text.into_owned()));
    let _ = (User::read(body), default_currency(body));
    let Some(window) = DateRange::new(Date::MIN, Date::MAX) else { return };
    let slices = [Slice::Date, Slice::Hour, Slice::Affiliate, Slice::Offer, Slice::Advertiser, Slice::Country];
    for portal in ConnectionType::ALL {
        for slice in slices {
            let reading = Reading { slices: Arc::from([slice]), window, portal, currency: None };
            let _ = reading.page(body);
            // What is read quickly is what is read in full. How deep a value may nest is counted from where it begins.
            if let Ok(text) = std::str::from_utf8(body)
                && let Some(quick) = reading.quickly(text)
            {
                match reading.in_full(text) {
                    Ok(full) => assert!(quick.rows == full.rows, "other rows"),
                    Err(error) => assert!(error.to_string().starts_with("recursion limit"), "{error}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::super::super::stats::Metrics;
    use super::super::line::described;
    use super::*;

    const ROW: &str = r#"{"slice": {"year": 2026, "month": "9", "day": 4,
        "affiliate": {"id": 71, "title": "", "login": "nord", "email": "a@b.example", "name": null}},
        "traffic": {"raw": "1840", "uniq": 1602}, "views": 9120, "ratio": "1:NaN",
        "actions": {"total": {"revenue": 1, "charge": 1, "earning": 0, "null": 3, "count": 41},
            "confirmed": {"revenue": 191190.40796039, "charge": "339894.05859619", "earning": "?", "null": 0, "count": 30},
            "pending": {"count": 8}, "declined": {"count": 3}, "hold": {"count": 0}}}"#;

    fn body(row: &str) -> String {
        format!(r#"{{"status": 1, "stats": [{row}], "pagination": {{"per_page": 500, "total_count": 1, "page": 1}}}}"#)
    }

    fn page(portal: ConnectionType, body: &[u8]) -> Result<Page, String> {
        let window = DateRange::new(date(2026, 9, 1), date(2026, 9, 30)).expect("a range");
        Reading { slices: Arc::from([Slice::Date, Slice::Affiliate]), window, portal, currency: None }.page(body)
    }

    fn row(portal: ConnectionType, row: &str) -> Row {
        page(portal, body(row).as_bytes()).expect("a page").rows.remove(0)
    }

    fn with_actions(actions: &str) -> Metrics {
        let json = format!(
            r#"{{"slice": {{"year": 2026, "month": 9, "day": 4, "affiliate": null}}, "traffic": [], "actions": {actions}}}"#
        );
        row(ConnectionType::Admin, &json).metrics
    }

    fn money(text: &str) -> Option<Decimal> {
        number::parse_decimal(text)
    }

    #[test]
    fn charge_is_the_networks_revenue_and_revenue_is_its_payout() {
        let read = row(ConnectionType::Admin, ROW);
        assert_eq!(read.key.iter().map(|value| value.id.as_str()).collect::<Vec<_>>(), ["2026-09-04", "71"]);
        assert_eq!(read.key[1].name, "nord");
        assert_eq!(read.metrics.revenue, money("339894.05859619"));
        assert_eq!(read.metrics.payout, money("191190.40796039"));
        let Metrics { impressions, clicks, unique_clicks, conversions, approved, pending, rejected, hold, .. } =
            read.metrics;
        assert_eq!((impressions, clicks, unique_clicks), (Some(9120), Some(1840), Some(1602)));
        assert_eq!((conversions, approved, pending, rejected, hold), (Some(41), Some(30), Some(8), Some(3), Some(0)));
    }

    #[test]
    fn an_affiliate_earns_revenue_and_charge_is_not_even_parsed() {
        let read = row(ConnectionType::Affiliate, &ROW.replace("\"339894.05859619\"", "{\"hidden\": true}"));
        assert_eq!((read.metrics.revenue, read.metrics.payout), (money("191190.40796039"), None));
    }

    #[test]
    fn without_a_total_all_states_count_even_those_not_known_here() {
        let read = with_actions(r#"{"confirmed": {"count": 4}, "declined": {"count": 2}, "not_found": {"count": 1}}"#);
        assert_eq!((read.conversions, read.approved, read.rejected), (Some(7), Some(4), Some(2)));
        assert_eq!((read.pending, read.hold, read.revenue), (None, None, None));
        assert_eq!(with_actions(r#"{"confirmed": {"count": 4}, "hold": {}}"#).conversions, None);
    }

    #[test]
    fn a_missing_state_is_unknown_unless_there_are_no_conversions() {
        let some = with_actions(r#"{"total": {"count": 2}, "pending": {"count": 2}}"#);
        assert_eq!((some.approved, some.revenue, some.payout, some.pending), (None, None, None, Some(2)));
        for none in [r#"{"total": {"count": 0}, "hold": null}"#, "{}", "[]"] {
            let read = with_actions(none);
            assert_eq!((read.conversions, read.approved, read.hold), (Some(0), Some(0), Some(0)), "{none}");
            assert_eq!((read.revenue, read.payout), (Some(Decimal::ZERO), Some(Decimal::ZERO)), "{none}");
        }
        for unknown in ["null", r#"{"total": {}}"#] {
            let read = with_actions(unknown);
            assert_eq!((read.conversions, read.approved, read.revenue), (None, None, None), "{unknown}");
        }
    }

    #[test]
    fn an_entity_that_is_not_described_is_unknown_and_a_missing_one_is_refused() {
        for affiliate in ["null", "[]", "71", "\"x\"", "{}", r#"{"id": null}"#, r#"{"id": " "}"#] {
            let value = described(&mut serde_json::Deserializer::from_str(affiliate)).expect("JSON");
            assert_eq!(entity(value.as_ref(), "affiliate"), Ok(DimensionValue::unknown()), "{affiliate}");
        }
        assert!(entity(None, "affiliate").is_err());
        for blank in ["null", "\"\""] {
            assert_eq!(country(serde_json::from_str(blank).ok()), Ok(DimensionValue::unknown()));
        }
        assert!(country(serde_json::from_str("{}").ok()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_page_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = page(ConnectionType::Admin, &bytes);
        }

        #[test]
        fn any_damage_to_a_page_is_read_or_refused_without_a_panic(
            at in 0usize..700,
            length in 0usize..40,
            patch in prop::sample::select(vec!["", "null", "[]", "{}", "-1", "1e999", "\"\"", "\"x\"", "99999999999999999999", ",", "\u{0}"]),
        ) {
            let mut text = body(ROW);
            let start = at.min(text.len());
            let end = (start + length).min(text.len());
            text.replace_range(start..end, patch);
            for portal in ConnectionType::ALL {
                let _ = page(portal, text.as_bytes());
            }
        }
    }
}
