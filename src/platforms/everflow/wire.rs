//! Everflow's JSON, read without passing any number through a binary float, and written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::super::list::{self, Members, Rows};
use super::super::number;
use super::super::stats::{Currency, Metrics};
use super::portal::Portal;
use crate::outbound::Answer;

/// Amounts are binary floats on the platform's side; what stands beyond this place is noise.
const MONEY_PLACES: u32 = 6;

/// A row has a column for each that was asked for; nobody asks for so many.
const MOST_COLUMNS: usize = 64;

/// The body of a report's request.
#[derive(Serialize)]
pub(super) struct ReportRequest<'a> {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) timezone_id: i64,
    pub(super) currency_id: &'a str,
    pub(super) columns: Vec<AskedColumn>,
    pub(super) query: Narrowing<'a>,
}

#[derive(Serialize)]
pub(super) struct AskedColumn {
    pub(super) column: &'static str,
}

#[derive(Serialize)]
pub(super) struct Narrowing<'a> {
    pub(super) filters: Vec<Filter<'a>>,
    pub(super) exclusions: Vec<Filter<'a>>,
}

#[derive(Serialize)]
pub(super) struct Filter<'a> {
    pub(super) resource_type: &'static str,
    pub(super) filter_id_value: &'a str,
}

/// A report: rows by columns.
pub(super) struct Table<'a> {
    pub(super) rows: Vec<TableRow<'a>>,
    /// Whether the platform says that rows are missing.
    pub(super) incomplete: bool,
}

#[derive(Deserialize)]
pub(super) struct TableRow<'a> {
    #[serde(borrow, deserialize_with = "list::at_most::<MOST_COLUMNS, _, _>")]
    pub(super) columns: Vec<Cell<'a>>,
    pub(super) reporting: Reporting,
}

#[derive(Deserialize)]
pub(super) struct Cell<'a> {
    #[serde(borrow)]
    pub(super) column_type: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) label: Cow<'a, str>,
}

impl<'a> Table<'a> {
    /// Reads an answer's body. The rows stand in `table`, or in `rows` of it; `null` is an empty report, a missing
    /// member is none.
    pub(super) fn read(body: &'a [u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            table: &'a RawValue,
            incomplete_results: Option<bool>,
        }
        #[derive(Deserialize)]
        struct Wrapped<'a> {
            #[serde(borrow)]
            rows: Rows<TableRow<'a>>,
        }
        let envelope: Envelope<'a> = serde_json::from_slice(body)?;
        let table = envelope.table.get();
        let rows = match table.as_bytes().first() {
            Some(b'n') => Vec::new(),
            Some(b'{') => serde_json::from_str::<Wrapped<'a>>(table)?.rows.0,
            _ => serde_json::from_str::<Rows<TableRow<'a>>>(table)?.0,
        };
        Ok(Self { rows, incomplete: envelope.incomplete_results.unwrap_or_default() })
    }
}

/// The numbers of a row, or of a whole report.
#[derive(Deserialize)]
pub(super) struct Reporting {
    #[serde(default, deserialize_with = "number::count")]
    imp: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    total_click: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    unique_click: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    cv: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    on_hold_conversion_count: Option<i64>,
    #[serde(default, deserialize_with = "number::decimal")]
    revenue: Option<Decimal>,
    #[serde(default, deserialize_with = "number::decimal")]
    payout: Option<Decimal>,
    #[serde(default, deserialize_with = "number::decimal")]
    media_buying_cost: Option<Decimal>,
}

impl Reporting {
    /// The numbers in our terms. What a network owes and spends is not an affiliate's to see.
    pub(super) fn metrics(&self, portal: Portal) -> Metrics {
        let money = |amount: Option<Decimal>| {
            amount.map(|amount| amount.round_dp_with_strategy(MONEY_PLACES, RoundingStrategy::MidpointNearestEven))
        };
        let of_network = |amount: Option<Decimal>| match portal {
            Portal::Network => money(amount),
            Portal::Affiliate => None,
        };
        Metrics {
            impressions: self.imp,
            clicks: self.total_click,
            unique_clicks: self.unique_click,
            // The platform counts approved conversions only, and splits the others off nowhere in this report.
            conversions: self.cv,
            approved: self.cv,
            pending: None,
            rejected: None,
            hold: self.on_hold_conversion_count,
            revenue: money(self.revenue),
            payout: of_network(self.payout),
            cost: of_network(self.media_buying_cost),
        }
    }
}

/// What a key's own account says of itself: `GET /v1/networks`, and its likes on the affiliate's side.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Profile {
    #[serde(default, deserialize_with = "owned")]
    name: String,
    #[serde(default, deserialize_with = "owned")]
    displayed_name: String,
    #[serde(default, deserialize_with = "owned")]
    default_currency_id: String,
    #[serde(default, deserialize_with = "number::count")]
    reporting_timezone_id: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    timezone_id: Option<i64>,
}

impl Profile {
    /// The name for people.
    pub(super) fn account(&self) -> Option<String> {
        [&self.name, &self.displayed_name].into_iter().find(|name| !name.is_empty()).cloned()
    }

    /// The currency it reports in.
    pub(super) fn currency(&self) -> Option<Currency> {
        self.default_currency_id.parse().ok()
    }

    /// The number of the time zone it reports in.
    pub(super) fn timezone(&self) -> Option<i64> {
        self.reporting_timezone_id.or(self.timezone_id)
    }
}

/// One entry of `GET /v1/meta/timezones`.
#[derive(Deserialize)]
pub(super) struct Timezone {
    pub(super) timezone_id: i64,
    #[serde(default, deserialize_with = "owned")]
    pub(super) timezone: String,
}

/// Zones of that list. There are some hundred.
const MOST_TIMEZONES: usize = 2_000;

/// The whole of `GET /v1/meta/timezones`.
#[derive(Deserialize)]
pub(super) struct Timezones {
    #[serde(deserialize_with = "list::at_most::<MOST_TIMEZONES, _, _>")]
    pub(super) timezones: Vec<Timezone>,
}

/// An error's own words: `Error`, `error` or `message`, in any case.
pub(super) fn complaint(body: &[u8]) -> Option<String> {
    let members = members(body)?;
    let words = members.get("error").or_else(|| members.get("message"))?;
    Some(serde_json::from_str(words.get()).unwrap_or_else(|_| words.get().to_owned()))
}

/// Whether a refusal is Everflow's own: its errors are one text under `Error` or `error`, or carry a code.
pub(super) fn is_own_refusal(answer: &Answer) -> bool {
    members(&answer.body).is_some_and(|members| members.contains_key("error") || members.contains_key("code"))
}

/// Whether an error is the passing kind that the platform numbers 8.
pub(super) fn is_exhausted(body: &[u8]) -> bool {
    members(body).is_some_and(|members| members.get("code").is_some_and(|code| code.get().trim_matches('"') == "8"))
}

/// The members of an object by their names in lower case.
fn members(body: &[u8]) -> Option<BTreeMap<String, &RawValue>> {
    let members: Members<&RawValue> = serde_json::from_slice(body).ok()?;
    Some(members.0.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
}

/// A text, or a number as it is written; `null` and missing are blank.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    #[derive(Deserialize)]
    struct Quoted<'a>(#[serde(borrow)] Cow<'a, str>);

    let raw = <&RawValue>::deserialize(deserializer)?.get();
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map(|Quoted(text)| text).map_err(serde::de::Error::custom),
        Some(b'n') => Ok(Cow::Borrowed("")),
        Some(b'0'..=b'9' | b'-') => Ok(Cow::Borrowed(raw)),
        _ => Err(serde::de::Error::custom("expected a text")),
    }
}

fn owned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer).map(|text| text.trim().to_owned())
}

/// Reads any bytes as every answer there is, and its rows as those of both portals.
#[cfg(fuzzing)]
pub(in crate::platforms) fn fuzz(body: &[u8]) {
    let rows = Table::read(body).map(|table| table.rows).unwrap_or_default();
    let total = serde_json::from_slice::<Reporting>(body).ok();
    for reporting in rows.iter().map(|row| &row.reporting).chain(&total) {
        let _ = (reporting.metrics(Portal::Network), reporting.metrics(Portal::Affiliate));
    }
    let _ = serde_json::from_slice::<Profile>(body).map(|profile| (profile.account(), profile.currency()));
    let _ = serde_json::from_slice::<Timezones>(body);
    let _ = (complaint(body), is_exhausted(body));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROW: &str = r#"{"columns":[{"column_type":"offer","id":"301","label":"Spring \"Loan\""}],"reporting":{"total_click":640,"cv":17,"payout":238,"revenue":12.340000000000001,"media_buying_cost":"18.5"},"usm_columns":[]}"#;

    fn read(json: &str) -> Option<(usize, bool)> {
        Table::read(json.as_bytes()).ok().map(|table| (table.rows.len(), table.incomplete))
    }

    #[test]
    fn a_table_is_an_array_or_holds_one() {
        assert_eq!(read(&format!(r#"{{"table":[{ROW}],"incomplete_results":false}}"#)), Some((1, false)));
        assert_eq!(
            read(&format!(r#"{{"incomplete_results":true,"table": {{"rows":[{ROW},{ROW}]}}}}"#)),
            Some((2, true))
        );
        assert_eq!(read(r#"{"table":null}"#), Some((0, false)));
        assert_eq!(read(r#"{"table":[],"incomplete_results":null}"#), Some((0, false)));
    }

    #[test]
    fn anything_else_is_no_report() {
        for json in [
            "{}",
            "[]",
            r#"{"rows":[]}"#,
            r#"{"table":{}}"#,
            r#"{"table":"none"}"#,
            r#"{"table":7}"#,
            r#"{"table":[{"columns":[]}]}"#,
            r#"{"table":[{"columns":[],"reporting":null}]}"#,
            r#"{"table":[{"columns":[{"id":"1"}],"reporting":{}}]}"#,
            r#"{"table":[{"columns":[],"reporting":{"cv":"many"}}]}"#,
            "<html></html>",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn money_loses_its_noise_and_an_affiliate_sees_no_payout() {
        let row: TableRow<'_> = serde_json::from_str(ROW).expect("a row");
        let network = row.reporting.metrics(Portal::Network);
        assert_eq!(network.revenue.map(|money| money.normalize().to_string()).as_deref(), Some("12.34"));
        assert_eq!((network.conversions, network.approved, network.hold), (Some(17), Some(17), None));
        assert_eq!((network.payout, network.cost), (Some(238.into()), Some(Decimal::new(185, 1))));
        let affiliate = row.reporting.metrics(Portal::Affiliate);
        assert_eq!((affiliate.payout, affiliate.cost), (None, None));
        assert_eq!(row.columns.first().map(|cell| cell.label.as_ref()), Some("Spring \"Loan\""));
    }

    #[test]
    fn an_id_may_be_a_number_and_a_label_may_be_missing() {
        let cell: Cell<'_> = serde_json::from_str(r#"{"column_type":"date","id":1788235200}"#).expect("a cell");
        assert_eq!((cell.id.as_ref(), cell.label.as_ref()), ("1788235200", ""));
    }

    #[test]
    fn errors_speak_under_either_name() {
        assert_eq!(complaint(br#"{"Error":"Out of realm"}"#).as_deref(), Some("Out of realm"));
        assert_eq!(complaint(br#"{"error":"Out of realm"}"#).as_deref(), Some("Out of realm"));
        assert_eq!(complaint(br#"{"Message":"no"}"#).as_deref(), Some("no"));
        assert_eq!(complaint(b"nope"), None);
        assert!(is_exhausted(br#"{"code":8,"message":"x"}"#) && is_exhausted(br#"{"Code":"8"}"#));
        assert!(!is_exhausted(br#"{"code":80}"#) && !is_exhausted(b"8"));
    }

    proptest! {
        #[test]
        fn no_body_makes_a_parser_panic(body in "\\PC{0,200}", cut in 0usize..240) {
            let whole = format!(r#"{{"table":[{ROW}],"incomplete_results":false}}"#);
            let cut = whole.get(..cut.min(whole.len())).unwrap_or_default().to_owned();
            for body in [body, cut] {
                let body = body.as_bytes();
                let _ = Table::read(body).is_ok();
                let _ = (complaint(body), is_exhausted(body));
                let _ = serde_json::from_slice::<Profile>(body).is_ok();
                let _ = serde_json::from_slice::<Timezones>(body).is_ok();
            }
        }
    }
}
