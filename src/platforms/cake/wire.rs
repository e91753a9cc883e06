//! What CAKE answers: the envelope around a report, and the values in its rows.
//!
//! Envelopes differ by generation and network: JSON with `data`, XML with one container per report, or a bare list
//! without any envelope. Field names differ by version (`offer_id` became `site_offer_id`), so every value is read
//! under all the names it is known by.

use compact_str::CompactString;
use jiff::civil::{Date, DateTime};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

use super::super::number::{is_blank, parse_money};
use super::super::stats::{Against, Check, DimensionValue, Metrics};
use super::tree::{Document, Fields, Malformed, Node};

/// A report's answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// What the platform says of the call; absent from bare lists, and from some networks' envelopes.
    pub(super) success: Option<bool>,
    /// Why it failed.
    pub(super) message: Option<String>,
    /// All rows of the request, or those of this page: networks differ.
    pub(super) row_count: Option<usize>,
    /// Totals over all pages.
    pub(super) summary: Option<Fields>,
    /// The rows; `None` where the answer has no place for any.
    pub(super) rows: Option<Vec<Fields>>,
}

impl Table {
    /// Finds the parts of an envelope. `row_names` are the names that row elements are known by, without
    /// underscores; in JSON, and in a container called `data`, rows need no name.
    pub(super) fn read(document: Document, row_names: &[&str]) -> Result<Self, Malformed> {
        let members = match document.content {
            content @ Node::List(_) => return Ok(Self { rows: Some(rows_of(content)?), ..Self::default() }),
            content if document.root.starts_with("arrayof") => {
                return Ok(Self { rows: Some(rows_of(content)?), ..Self::default() });
            }
            Node::Object(fields) => fields,
            Node::Text(_) | Node::Null => return Err(Malformed("the answer is no report")),
        };
        let mut table = Self {
            success: members.text(&["success"]).map(boolean).transpose()?,
            message: members.text(&["message", "error"]).map(str::to_owned),
            row_count: members
                .text(&["row_count"])
                .map(|text| text.parse().map_err(|_| Malformed("row_count is no number")))
                .transpose()?,
            ..Self::default()
        };
        for (name, node) in members.0 {
            match node {
                Node::Object(summary) if name == "summary" => table.summary = Some(summary),
                container if is_data(&name, &container) || holds_rows(&container, row_names) => {
                    let first = table.rows.replace(rows_of(container)?).is_none();
                    first.then_some(()).ok_or(Malformed("the answer has two lists of rows"))?;
                }
                _ => {}
            }
        }
        // What an empty container is called is known for few reports, and without a row nothing else shows it.
        let is_xml = !document.root.is_empty();
        if is_xml && table.rows.is_none() && table.row_count.is_none() && table.success == Some(true) {
            table.rows = Some(Vec::new());
        }
        Ok(table)
    }
}

/// Whether a member is the container that needs no row names.
fn is_data(name: &str, node: &Node) -> bool {
    name == "data" && *node != Node::Null
}

/// Whether a member is the list of rows: a JSON list of objects, or XML whose children all are row elements.
fn holds_rows(node: &Node, row_names: &[&str]) -> bool {
    match node {
        Node::List(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Node::Object(_))),
        Node::Object(children) => {
            children.0.iter().all(|(name, _)| row_names.contains(&name.replace('_', "").as_str()))
        }
        Node::Text(_) | Node::Null => false,
    }
}

fn rows_of(container: Node) -> Result<Vec<Fields>, Malformed> {
    let row = |node: Node| match node {
        Node::Object(fields) => Ok(fields),
        Node::Text(_) | Node::Null | Node::List(_) => Err(Malformed("a row has no fields")),
    };
    match container {
        Node::List(items) => items.into_iter().map(row).collect(),
        Node::Object(children) => children.0.into_iter().map(|(_, node)| row(node)).collect(),
        Node::Null => Ok(Vec::new()),
        Node::Text(text) if text.trim().is_empty() => Ok(Vec::new()),
        Node::Text(_) => Err(Malformed("there is text where the rows should be")),
    }
}

fn boolean(text: &str) -> Result<bool, Malformed> {
    match text {
        _ if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
        _ if text.eq_ignore_ascii_case("false") || text == "0" => Ok(false),
        _ => Err(Malformed("success is neither true nor false")),
    }
}

fn money(row: &Fields, names: &[&str]) -> Result<Option<Decimal>, Malformed> {
    let text = row.text(names).filter(|text| !is_blank(text));
    text.map(|text| parse_money(text).ok_or(Malformed("an amount of money is no number"))).transpose()
}

/// Reads the counts of a row and remembers whether one was no whole number: newer versions write `3.000000`, and
/// credit parts of a conversion.
struct Counts<'a> {
    row: &'a Fields,
    rounded: bool,
}

impl Counts<'_> {
    fn read(&mut self, names: &[&str]) -> Result<Option<i64>, Malformed> {
        let Some(text) = self.row.text(names).filter(|text| !is_blank(text)) else { return Ok(None) };
        let exact = parse_money(text).ok_or(Malformed("a count is no number"))?;
        let rounded = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointNearestEven);
        self.rounded |= rounded != exact;
        rounded.to_i64().map(Some).ok_or(Malformed("a count is too large"))
    }
}

const CLICKS: &[&str] = &["clicks"];
const CONVERSIONS: &[&str] = &["conversions", "macro_event_conversions"];
const IMPRESSIONS: &[&str] = &["impressions", "views"];
const REVENUE: &[&str] = &["revenue"];

/// The numbers of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) metrics: Metrics,
    /// Whether a count was no whole number.
    pub(super) rounded: bool,
    /// What CAKE itself calls the profit.
    pub(super) profit: Option<Decimal>,
}

/// What an affiliate's row says. States of conversions, costs and payouts are not in it.
pub(super) fn affiliate_metrics(row: &Fields) -> Result<Measured, Malformed> {
    let mut counts = Counts { row, rounded: false };
    let metrics = Metrics {
        impressions: counts.read(IMPRESSIONS)?,
        clicks: counts.read(CLICKS)?,
        conversions: counts.read(CONVERSIONS)?,
        revenue: money(row, REVENUE)?,
        ..Metrics::default()
    };
    Ok(Measured { metrics, rounded: counts.rounded, profit: None })
}

/// What a network's row says. CAKE calls `cost` what is paid to affiliates, which is the payout here.
pub(super) fn admin_metrics(row: &Fields) -> Result<Measured, Malformed> {
    let mut counts = Counts { row, rounded: false };
    let (rejected, returned) = (counts.read(&["rejected"])?, counts.read(&["returned"])?);
    let metrics = Metrics {
        impressions: counts.read(IMPRESSIONS)?,
        clicks: counts.read(CLICKS)?,
        conversions: counts.read(&["macro_event_conversions", "conversions"])?,
        approved: counts.read(&["approved"])?,
        pending: counts.read(&["pending"])?,
        // A returned conversion is one that was taken back, and there is no other place for it.
        rejected: rejected.and_then(|rejected| rejected.checked_add(returned.unwrap_or(0))),
        revenue: money(row, REVENUE)?,
        payout: money(row, &["cost"])?,
        ..Metrics::default()
    };
    Ok(Measured { metrics, rounded: counts.rounded, profit: money(row, &["profit"])? })
}

/// An entity of a row: a pair of its own (`offer{offer_id, offer_name}`) or two flat fields, under any of `names`.
/// `None` where the row has no place for it; a place without an id is the unknown entity.
pub(super) fn entity(row: &Fields, names: &[&str]) -> Option<DimensionValue> {
    names.iter().find_map(|name| match row.get(name) {
        Some(Node::Object(pair)) => Some(identified(by_suffix(pair, "id"), by_suffix(pair, "name"))),
        Some(Node::Null) => Some(DimensionValue::unknown()),
        _ => {
            let id = format!("{name}_id");
            row.get(&id)?;
            Some(identified(row.text(&[&id]), row.text(&[&format!("{name}_name")])))
        }
    })
}

fn identified(id: Option<&str>, name: Option<&str>) -> DimensionValue {
    match id {
        None | Some("0") => DimensionValue::unknown(),
        Some(id) => DimensionValue::new(id, name.unwrap_or_default()),
    }
}

/// The children of a pair go by various names; only their endings are sure.
fn by_suffix<'a>(pair: &'a Fields, suffix: &str) -> Option<&'a str> {
    let (key, _) = pair
        .0
        .iter()
        .find(|(key, _)| key.strip_suffix(suffix).is_some_and(|stem| stem.is_empty() || stem.ends_with('_')))?;
    pair.text(&[key])
}

/// The day of a row.
pub(super) fn day(row: &Fields) -> Result<Date, Malformed> {
    row.text(&["date"]).and_then(parse_day).ok_or(Malformed("a row has no readable date"))
}

/// Reads `2026-09-01`, `2026-09-01T00:00:00` and CAKE's own `09/01/2026 00:00:00`. Times carry no zone, ever: they
/// are local to the account already.
fn parse_day(text: &str) -> Option<Date> {
    let date = text.split(['T', ' ']).next()?;
    if let Ok(date) = date.parse() {
        return Some(date);
    }
    let mut parts = date.splitn(3, '/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// The hour of a row, and its day where the row says it: `13`, `13:00`, `1 PM`, or a timestamp under `hour` or `date`.
pub(super) fn hour(row: &Fields) -> Result<(Option<Date>, u8), Malformed> {
    let unreadable = Malformed("a row has no readable hour");
    let date = row.text(&["date"]);
    let label = row.text(&["hour", "hour_of_day"]).or(date).ok_or(unreadable)?;
    let stamped = timestamp(label);
    let hour = stamped.map(|at| at.hour().unsigned_abs()).or_else(|| parse_hour(label)).ok_or(unreadable)?;
    let day = stamped.map(|at| at.date()).or_else(|| date.and_then(parse_day));
    Ok((day, hour))
}

fn timestamp(text: &str) -> Option<DateTime> {
    // A date alone would read as midnight.
    text.contains(':').then(|| text.parse().ok()).flatten()
}

fn parse_hour(label: &str) -> Option<u8> {
    let label = label.to_ascii_lowercase();
    let (clock, afternoon) = match (label.strip_suffix("am"), label.strip_suffix("pm")) {
        (Some(clock), _) => (clock, Some(false)),
        (_, Some(clock)) => (clock, Some(true)),
        (None, None) => (label.as_str(), None),
    };
    let mut parts = clock.trim().split(':');
    let hour: u8 = parts.next()?.trim().parse().ok()?;
    if parts.any(|part| part.parse::<u8>() != Ok(0)) {
        return None;
    }
    match afternoon {
        None => (hour < 24).then_some(hour),
        Some(afternoon) => (1..=12).contains(&hour).then(|| hour % 12 + if afternoon { 12 } else { 0 }),
    }
}

/// The currency a row says its money is in, as far as it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denomination {
    pub(super) id: Option<CompactString>,
    pub(super) symbol: Option<CompactString>,
}

/// What a row says of its currency.
pub(super) fn denomination(row: &Fields) -> Denomination {
    Denomination {
        id: row.text(&["currency_id"]).filter(|id| *id != "0").map(CompactString::from),
        symbol: row.text(&["currency_symbol"]).map(CompactString::from),
    }
}

/// Holds rows against the summary that came with them; `None` where it says nothing comparable.
///
/// Money is compared only where all rows are in one currency, to the four places that CAKE stores.
pub(super) fn hold_against(summary: &Fields, rows: &[Fields]) -> Result<Option<Check>, Malformed> {
    let one_currency = rows.windows(2).all(|pair| match pair {
        [a, b] => denomination(a) == denomination(b),
        _ => true,
    });
    let mut compared = false;
    for (what, names, comparable) in
        [("clicks", CLICKS, true), ("conversions", CONVERSIONS, true), ("revenue", REVENUE, one_currency)]
    {
        let (Some(stated), Some(sum)) = (money(summary, names)?, sum(rows, names)?) else { continue };
        if !comparable {
            continue;
        }
        compared = true;
        let places = stated.scale().max(4);
        if sum.round_dp(places) != stated {
            let (sum, stated) = (sum.normalize(), stated.normalize());
            let mismatch = format!("The rows' {what} add up to {sum}, CAKE's own summary says {stated}.");
            return Ok(Some(Check { against: Against::Independent, mismatch: Some(mismatch) }));
        }
    }
    Ok(compared.then_some(Check { against: Against::Independent, mismatch: None }))
}

/// The sum over all rows, unless one of them does not say.
fn sum(rows: &[Fields], names: &[&str]) -> Result<Option<Decimal>, Malformed> {
    rows.iter().try_fold(Some(Decimal::ZERO), |sum, row| {
        let value = money(row, names)?;
        Ok(sum.zip(value).and_then(|(sum, value)| sum.checked_add(value)))
    })
}

/// Reads any bytes as a report, and its rows as those of both portals.
#[cfg(fuzzing)]
pub(in crate::platforms) fn fuzz(body: &[u8]) {
    let row_names = ["campaign", "campaignsummary", "day", "dailysummary", "sourceaffiliatesummary"];
    let Ok(table) = super::parse::parse(body).and_then(|document| Table::read(document, &row_names)) else { return };
    let rows = table.rows.unwrap_or_default();
    for row in &rows {
        let _ = (admin_metrics(row), affiliate_metrics(row));
        let _ = (entity(row, &["source_affiliate", "affiliate"]), entity(row, &["campaign"]));
        let _ = (day(row), hour(row), denomination(row));
    }
    let _ = table.summary.map(|summary| hold_against(&summary, &rows));
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::super::parse::parse;
    use super::*;

    fn table(body: &str, row_names: &[&str]) -> Result<Table, Malformed> {
        Table::read(parse(body.as_bytes())?, row_names)
    }

    fn row(json: &str) -> Fields {
        let mut table = table(&format!("[{json}]"), &[]).expect("a table");
        table.rows.as_mut().and_then(Vec::pop).expect("a row")
    }

    #[test]
    fn rows_are_found_in_every_envelope() {
        for body in [
            r#"{"row_count": 1, "success": true, "message": null, "data": [{"clicks": "4"}]}"#,
            r#"{"success": true, "row_count": 1, "campaigns": [{"clicks": 4}]}"#,
            r#"[{"clicks": 4}]"#,
            "<x><success>true</success><row_count>1</row_count><campaigns><campaign><clicks>4</clicks></campaign></campaigns></x>",
            "<x_response><data><whatever><clicks>4</clicks></whatever></data></x_response>",
            "<ArrayOfCampaign xmlns='u'><Campaign><Clicks>4</Clicks></Campaign></ArrayOfCampaign>",
        ] {
            let table = table(body, &["campaign"]).expect(body);
            assert_eq!(table.rows, Some(vec![row(r#"{"clicks": 4}"#)]), "{body}");
        }
    }

    #[test]
    fn an_empty_container_has_no_rows_and_a_refusal_has_no_container() {
        let empty = table("<r><success>true</success><row_count>0</row_count><data /></r>", &["day"]).expect("a table");
        assert_eq!((empty.rows, empty.row_count), (Some(vec![]), Some(0)));
        let refused =
            table("<r><success>false</success><message>Invalid API Key</message></r>", &["day"]).expect("a table");
        assert_eq!(
            (refused.success, refused.message.as_deref(), refused.rows),
            (Some(false), Some("Invalid API Key"), None)
        );
    }

    #[test]
    fn hours_are_read_in_every_known_form() {
        for label in ["13", "13:00", "1 PM", "01:00 pm", "2026-09-01T13:00:00"] {
            let (_, hour) = hour(&row(&format!(r#"{{"hour": "{label}"}}"#))).expect(label);
            assert_eq!(hour, 13, "{label}");
        }
        assert_eq!(hour(&row(r#"{"date": "2026-09-01T05:00:00"}"#)), Ok((Some(date(2026, 9, 1)), 5)));
        assert_eq!(hour(&row(r#"{"hour": 0, "date": "2026-09-01T00:00:00"}"#)), Ok((Some(date(2026, 9, 1)), 0)));
        assert_eq!(parse_hour("12 AM"), Some(0));
        assert_eq!(parse_hour("12 PM"), Some(12));
        for label in ["24", "13 PM", "0 AM", "13:30", "noon"] {
            assert_eq!(parse_hour(label), None, "{label}");
        }
    }

    #[test]
    fn days_are_read_month_first_where_they_have_slashes() {
        for text in ["2026-09-01", "2026-09-01T00:00:00", "2026-09-01 00:00:00", "09/01/2026 00:00:00", "9/1/2026"] {
            assert_eq!(parse_day(text), Some(date(2026, 9, 1)), "{text}");
        }
    }

    #[test]
    fn counts_with_a_fraction_are_rounded_and_said_to_be() {
        let measured = admin_metrics(&row(r#"{"macro_event_conversions": "3.000000", "clicks": 7}"#)).expect("metrics");
        assert_eq!((measured.metrics.conversions, measured.rounded), (Some(3), false));
        let measured = admin_metrics(&row(r#"{"macro_event_conversions": "2.750000"}"#)).expect("metrics");
        assert_eq!((measured.metrics.conversions, measured.rounded), (Some(3), true));
        assert!(admin_metrics(&row(r#"{"clicks": "many"}"#)).is_err());
    }

    #[test]
    fn an_entity_is_a_pair_or_flat_and_a_missing_id_is_the_unknown_one() {
        let names = &["site_offer", "offer"];
        let expected = Some(DimensionValue::new("7", "Solar"));
        assert_eq!(entity(&row(r#"{"offer": {"offer_id": 7, "offer_name": "Solar"}}"#), names), expected);
        assert_eq!(entity(&row(r#"{"site_offer_id": "7", "site_offer_name": "Solar"}"#), names), expected);
        assert_eq!(entity(&row(r#"{"offer": null}"#), names), Some(DimensionValue::unknown()));
        assert_eq!(entity(&row(r#"{"offer_id": null}"#), names), Some(DimensionValue::unknown()));
        assert_eq!(entity(&row(r#"{"clicks": 1}"#), names), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC{0,20}") {
            let _ = (parse_day(&text), parse_hour(&text), timestamp(&text));
        }

        #[test]
        fn any_answer_is_a_table_or_refused(body in "\\PC{0,80}") {
            let _ = table(&body, &["campaign"]);
        }
    }
}
