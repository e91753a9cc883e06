//! Binom's JSON, of both generations, and its conversion to our numbers.
//!
//! A row is an object whose keys differ by generation, version and the column settings of the key's user, and which
//! may hold columns its owner made up; so rows are read by name and unknown names are ignored. Numbers are strings,
//! in v1 sometimes dressed up for a screen (`"2,038"`, `"4.51%"`). A body that is not of the shape asked for is
//! [`Odd`], never an empty table.

use std::borrow::Cow;
use std::collections::HashMap;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::list::{Members, Rows};
use super::super::number;
use super::super::stats::{Against, Check, Metrics};
use crate::outbound::Answer;

/// An answer that is not what this call answers, in words that quote nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Odd(Cow<'static, str>);

impl Odd {
    const fn new(what: &'static str) -> Self {
        Self(Cow::Borrowed(what))
    }

    fn field(name: &str, expected: &str) -> Self {
        Self(Cow::Owned(format!("its field `{name}` is not {expected}")))
    }
}

/// How a generation writes numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// Digits alone. A cell without any is not known.
    Plain,
    /// Perhaps with thousands separators or a currency. An empty cell is a zero, where the row counts its clicks.
    Dressed,
}

impl Notation {
    fn count(self, text: &str) -> Option<i64> {
        match self {
            Self::Plain => number::parse_count(text),
            Self::Dressed => number::parse_money(text).and_then(number::whole),
        }
    }

    fn amount(self, text: &str) -> Option<Decimal> {
        match self {
            Self::Plain => number::parse_decimal(text),
            Self::Dressed => number::parse_money(text),
        }
    }
}

/// One row, by its own keys.
pub(super) struct Fields<'a>(Members<&'a RawValue>);

impl<'a> Fields<'a> {
    fn read(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok().map(Self)
    }

    /// The text of the first of `names` that holds one. Nulls and blanks hold none; a number is its own text.
    pub(super) fn text(&self, names: &[&str]) -> Result<Option<Cow<'a, str>>, Odd> {
        for name in names {
            if let Some(raw) = self.0.0.get(*name)
                && let Some(text) = scalar(raw).map_err(|()| Odd::field(name, "a text or a number"))?
            {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The text of the first of `names` that holds a number, or something else that says something.
    fn figure(&self, names: &[&str]) -> Result<Option<Cow<'a, str>>, Odd> {
        Ok(self.text(names)?.filter(|text| !number::is_blank(text)))
    }

    fn count(&self, names: &[&str], notation: Notation) -> Result<Option<i64>, Odd> {
        let odd = || Odd::field(names.first().unwrap_or(&""), "a whole number");
        self.figure(names)?.map(|text| notation.count(&text).ok_or_else(odd)).transpose()
    }

    fn money(&self, names: &[&str], notation: Notation) -> Result<Option<Decimal>, Odd> {
        let odd = || Odd::field(names.first().unwrap_or(&""), "an amount");
        self.figure(names)?.map(|text| notation.amount(&text).ok_or_else(odd)).transpose()
    }

    /// Whether one of `names` has a cell with nothing in it.
    fn is_empty_at(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.0.get(*name).is_some_and(|raw| raw.get().trim_matches('"').trim().is_empty()))
    }

    /// The numbers of a row; the later names are those of versions up to 1.8.
    pub(super) fn metrics(&self, notation: Notation) -> Result<Metrics, Odd> {
        let clicks = self.count(&["clicks", "Clicks"], notation)?;
        // v1 leaves a cell empty where there was nothing to count.
        let is_zero = |names: &[&str]| notation == Notation::Dressed && clicks.is_some() && self.is_empty_at(names);
        let count = |names: &[&str]| Ok(self.count(names, notation)?.or(is_zero(names).then_some(0)));
        let money = |names: &[&str]| Ok(self.money(names, notation)?.or(is_zero(names).then_some(Decimal::ZERO)));
        Ok(Metrics {
            clicks,
            unique_clicks: count(&["unique_clicks", "unique_camp_clicks", "unique_campaign_clicks"])?,
            conversions: count(&["leads", "Leads"])?,
            approved: count(&["a_leads"])?,
            rejected: count(&["r_leads"])?,
            hold: count(&["h_leads"])?,
            revenue: money(&["revenue", "rev", "Revenue"])?,
            cost: money(&["cost", "spend", "Spend"])?,
            ..Metrics::default()
        })
    }

    fn is_totals(&self) -> Result<bool, Odd> {
        let is = |text: Option<Cow<'_, str>>| text.as_deref() == Some("totals");
        Ok(is(self.text(&["id"])?) || is(self.text(&["entity_id"])?))
    }

    fn level(&self) -> Result<Option<usize>, Odd> {
        let Some(text) = self.text(&["level", "Level"])? else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| Odd::field("level", "a level"))
    }
}

/// The text a JSON scalar stands for, if it says anything.
fn scalar(raw: &RawValue) -> Result<Option<Cow<'_, str>>, ()> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => {
            let text: Borrowed<'_> = serde_json::from_str(json).map_err(drop)?;
            Ok((!text.0.trim().is_empty()).then_some(text.0))
        }
        Some(b'0'..=b'9' | b'-') => Ok(Some(Cow::Borrowed(json))),
        Some(b'n') => Ok(None),
        _ => Err(()),
    }
}

#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// A table as it stands in a body: its elements, and the totals beside them.
#[derive(Default)]
struct Table<'a> {
    elements: Vec<&'a RawValue>,
    totals: Option<&'a RawValue>,
}

/// The most elements of one answer: v1 lists everything there is at once.
const MOST_ELEMENTS: usize = 100_000;

type Elements<'a> = Rows<&'a RawValue, MOST_ELEMENTS>;

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    report: Option<Elements<'a>>,
    #[serde(borrow)]
    data: Option<Elements<'a>>,
    #[serde(borrow)]
    totals: Option<&'a RawValue>,
}

/// The text of a body, which PHP may begin with a byte order mark.
fn text_of(body: &[u8]) -> Result<&str, Odd> {
    let text = std::str::from_utf8(body).map_err(|_| Odd::new("it is not text"))?;
    Ok(without_notices(text.trim_start_matches('\u{feff}').trim()))
}

/// Whether a body is a web page and no data, whatever PHP has put in front of it.
pub(super) fn is_page(body: &[u8]) -> bool {
    text_of(body).is_ok_and(|text| text.starts_with('<'))
}

/// The text behind the warnings that PHP writes in front of an answer, where the server's settings have it show them:
/// `<br />\n<b>Warning</b>:  … on line <b>7</b><br />`, or the same without markup.
fn without_notices(text: &str) -> &str {
    const NOTICES: [&str; 4] = ["warning", "notice", "deprecated", "strict standards"];
    let mut rest = text;
    loop {
        let plain = rest.trim_start_matches("<br />").trim_start().trim_start_matches("<b>");
        let is_notice = |name: &&str| plain.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if !NOTICES.iter().any(is_notice) {
            return rest;
        }
        let Some((_, behind)) = plain.split_once(" on line ") else { return rest };
        let behind = behind.trim_start_matches("<b>").trim_start_matches(|digit: char| digit.is_ascii_digit());
        rest = behind.trim_start_matches("</b>").trim_start_matches("<br />").trim_start();
    }
}

/// Reads a table of v2: a bare list, or one beside its totals.
fn table(body: &[u8]) -> Result<Table<'_>, Odd> {
    let text = text_of(body)?;
    if text.starts_with('[') {
        return Ok(Table { elements: elements(text)?, totals: None });
    }
    let wrapped: Wrapped<'_> = serde_json::from_str(text).map_err(|_| Odd::new("it is not a table"))?;
    let elements = wrapped.report.or(wrapped.data).ok_or(Odd::new("it holds no table"))?;
    Ok(Table { elements: elements.0, totals: wrapped.totals })
}

fn elements(text: &str) -> Result<Vec<&RawValue>, Odd> {
    let elements: Elements<'_> = serde_json::from_str(text).map_err(|_| Odd::new("it is not a complete list"))?;
    Ok(elements.0)
}

/// What v2 says of a whole result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Totals {
    pub(super) metrics: Metrics,
    /// How many rows the result has on all its pages.
    pub(super) count: Option<usize>,
}

impl Totals {
    fn read(fields: &Fields<'_>) -> Result<Self, Odd> {
        let count = fields.count(&["total_count"], Notation::Plain)?;
        let count = count.map(usize::try_from).transpose().map_err(|_| Odd::field("total_count", "a count"))?;
        Ok(Self { metrics: fields.metrics(Notation::Plain)?, count })
    }
}

/// An entity with its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entity {
    pub(super) id: String,
    pub(super) name: String,
    /// Id and name of the campaign's traffic source, which only v1 gives.
    pub(super) source: Option<(String, String)>,
    pub(super) metrics: Metrics,
}

impl Entity {
    fn read(fields: &Fields<'_>, notation: Notation) -> Result<Self, Odd> {
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let source = owned(fields.text(&["ts_id"])?);
        let source_name = owned(fields.text(&["ts_name"])?).unwrap_or_default();
        Ok(Self {
            id: owned(fields.text(&["id"])?).ok_or(Odd::new("a row has no id"))?,
            name: owned(fields.text(&["name"])?).unwrap_or_default(),
            source: source.map(|id| (id, source_name)),
            metrics: fields.metrics(notation)?,
        })
    }
}

/// A page of v2's `stats`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct EntityPage {
    pub(super) rows: Vec<Entity>,
    pub(super) totals: Option<Totals>,
}

/// Reads a page of v2's `stats`, whose last element holds the totals of all pages.
pub(super) fn entity_page(body: &[u8]) -> Result<EntityPage, Odd> {
    let mut page = EntityPage::default();
    for raw in table(body)?.elements {
        let fields = Fields::read(raw).ok_or(Odd::new("a row is not an object"))?;
        if fields.is_totals()? {
            page.totals = Some(Totals::read(&fields)?);
        } else {
            page.rows.push(Entity::read(&fields, Notation::Plain)?);
        }
    }
    Ok(page)
}

/// One row of a nested report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Nested {
    /// 1 for the outermost grouping.
    pub(super) level: usize,
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) metrics: Metrics,
}

impl Nested {
    fn read(fields: &Fields<'_>, level: usize, notation: Notation) -> Result<Self, Odd> {
        Ok(Self {
            level,
            id: fields.text(&["entity_id"])?.map(Cow::into_owned),
            name: fields.text(&["name", "Name"])?.map(Cow::into_owned).unwrap_or_default(),
            metrics: fields.metrics(notation)?,
        })
    }
}

/// A page of a nested report: a flat list, every row followed by its children.
#[derive(Debug, Default, PartialEq)]
pub(super) struct NestedPage {
    pub(super) rows: Vec<Nested>,
    pub(super) totals: Option<Totals>,
}

/// Reads a page of v2's `report`.
pub(super) fn nested_page(body: &[u8]) -> Result<NestedPage, Odd> {
    let table = table(body)?;
    // PHP writes an empty object as an empty list.
    let totals = table.totals.and_then(Fields::read).filter(|totals| !totals.0.0.is_empty());
    let mut page = NestedPage { rows: Vec::new(), totals: totals.as_ref().map(Totals::read).transpose()? };
    for raw in table.elements {
        let fields = Fields::read(raw).ok_or(Odd::new("a row is not an object"))?;
        if fields.is_totals()? {
            page.totals = page.totals.or(Some(Totals::read(&fields)?));
        } else {
            let level = fields.level()?.ok_or(Odd::new("a row has no level"))?;
            page.rows.push(Nested::read(&fields, level, Notation::Plain)?);
        }
    }
    Ok(page)
}

/// What a v1 page says.
#[derive(Debug, PartialEq)]
pub(super) enum PanelAnswer<T> {
    /// Rows; none where Binom says that there is no data.
    Rows(Vec<T>),
    /// A refusal, in Binom's words.
    Refused(String),
    /// Nothing at all.
    Silence,
}

/// Reads a list page of v1.
pub(super) fn list_page(body: &[u8]) -> Result<PanelAnswer<Entity>, Odd> {
    panel_answer(body, |elements| {
        elements
            .into_iter()
            .map(|raw| {
                let fields = Fields::read(raw).ok_or(Odd::new("a row is not an object"))?;
                Entity::read(&fields, Notation::Dressed)
            })
            .collect()
    })
}

/// Reads v1's `Stats` page. Elements without a level are none of the report's rows; a report of such alone is odd.
pub(super) fn stats_page(body: &[u8]) -> Result<PanelAnswer<Nested>, Odd> {
    panel_answer(body, |elements| {
        let some = !elements.is_empty();
        let mut rows = Vec::with_capacity(elements.len());
        for fields in elements.into_iter().filter_map(Fields::read) {
            if let Some(level) = fields.level()? {
                rows.push(Nested::read(&fields, level, Notation::Dressed)?);
            }
        }
        if some && rows.is_empty() { Err(Odd::new("none of its rows has a level")) } else { Ok(rows) }
    })
}

fn panel_answer<'a, T>(
    body: &'a [u8],
    rows: impl FnOnce(Vec<&'a RawValue>) -> Result<Vec<T>, Odd>,
) -> Result<PanelAnswer<T>, Odd> {
    let text = text_of(body)?;
    let unknown = Odd::new("it is neither a table nor any known word for an empty one");
    match text.as_bytes().first() {
        None => Ok(PanelAnswer::Silence),
        Some(b'[') => rows(elements(text)?).map(PanelAnswer::Rows),
        Some(b'{') => refusal(text).map(PanelAnswer::Refused).ok_or(unknown),
        _ => match text.trim_matches('"') {
            "null" | "no_clicks" => Ok(PanelAnswer::Rows(Vec::new())),
            _ => Err(unknown),
        },
    }
}

/// The words of an error object: `{"error": …}`, or `{"status": "error", …}`.
fn refusal(text: &str) -> Option<String> {
    let fields: Fields<'_> = Fields(serde_json::from_str(text).ok()?);
    let said = |name: &str| fields.text(&[name]).ok().flatten();
    if !fields.0.0.contains_key("error") && said("status").as_deref() != Some("error") {
        return None;
    }
    let words = ["message", "error", "error_message", "description"].into_iter().find_map(said);
    Some(words.map(Cow::into_owned).unwrap_or_default())
}

/// The words of v2's error envelope; `None` for any other body.
pub(super) fn envelope(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Errors,
    }
    #[derive(Deserialize)]
    struct Errors {
        detail: Option<String>,
        message: Option<String>,
        title: Option<String>,
    }
    let envelope: Envelope = serde_json::from_str(text_of(body).ok()?).ok()?;
    let Errors { detail, message, title } = envelope.errors;
    Some(detail.or(message).or(title).unwrap_or_default())
}

/// Whether a refusal is Binom's own, of either generation.
pub(super) fn is_own_refusal(answer: &Answer) -> bool {
    envelope(&answer.body).is_some() || text_of(&answer.body).is_ok_and(|text| refusal(text).is_some())
}

/// The user a v2 key belongs to, as `user/role` says; `None` if this is no such answer.
pub(super) fn user_role(body: &[u8]) -> Option<String> {
    let fields: Fields<'_> = Fields(serde_json::from_str(text_of(body).ok()?).ok()?);
    let role = fields.text(&["role"]).ok()??;
    match fields.text(&["id"]).ok().flatten() {
        Some(id) => Some(format!("user {id} ({role})")),
        None => Some(role.into_owned()),
    }
}

/// Whether the user that [`user_role`] names sees everything.
pub(super) fn is_administrator(user: &str) -> bool {
    let role = user.strip_suffix(')').and_then(|user| user.rsplit_once('(')).map_or(user, |(_, role)| role);
    role.to_ascii_lowercase().contains("admin")
}

/// Whether a body is v2's list of period names.
pub(super) fn is_date_presets(body: &[u8]) -> bool {
    let presets: Option<Rows<String>> = text_of(body).ok().and_then(|text| serde_json::from_str(text).ok());
    presets.is_some_and(|presets| presets.0.iter().any(|preset| preset == "custom_time"))
}

/// Country codes by the names a tracker has for them, as `geo/country` lists them, in lower case.
pub(super) fn country_codes(body: &[u8]) -> Option<HashMap<String, String>> {
    let mut codes = HashMap::new();
    for raw in table(body).ok()?.elements {
        let fields = Fields::read(raw)?;
        let code = fields.text(&["code"]).ok()??;
        for name in ["name", "fullname"] {
            if let Some(name) = fields.text(&[name]).ok()? {
                codes.insert(name.trim().to_lowercase(), code.clone().into_owned());
            }
        }
    }
    Some(codes)
}

/// The numbers that a tracker's totals can be held against: those that add up. Unique clicks do not, since one
/// visitor may be in several rows.
pub(super) fn check(rows: &Metrics, said: &Metrics, whose: &str, against: Against) -> Check {
    let counts = [("clicks", rows.clicks, said.clicks), ("leads", rows.conversions, said.conversions)]
        .into_iter()
        .filter_map(|(name, rows, said)| Some((name, rows?, said?)))
        .find(|(_, rows, said)| rows != said)
        .map(|(name, rows, said)| (name, rows.to_string(), said.to_string()));
    let money = || {
        [("revenue", rows.revenue, said.revenue), ("cost", rows.cost, said.cost)]
            .into_iter()
            .filter_map(|(name, rows, said)| Some((name, rows?, said?)))
            .find(|(_, rows, said)| !same_amount(*rows, *said))
            .map(|(name, rows, said)| (name, rows.to_string(), said.to_string()))
    };
    let mismatch = counts
        .or_else(money)
        .map(|(name, rows, said)| format!("The rows' {name} add up to {rows}, but {whose} {said}."));
    Check { against, mismatch }
}

/// Whether two sums of the same amounts agree: the tracker adds up in binary floats, we do not.
fn same_amount(a: Decimal, b: Decimal) -> bool {
    let half_a_cent = Decimal::new(5, 3);
    let one_in_a_billion = Decimal::new(1, 9);
    let Some(apart) = a.checked_sub(b).map(|difference| difference.abs()) else { return false };
    apart < half_a_cent || a.abs().max(b.abs()).checked_mul(one_in_a_billion).is_some_and(|noise| apart <= noise)
}

/// Reads any bytes as every answer of both generations.
#[cfg(fuzzing)]
pub(super) fn fuzz(body: &[u8]) {
    let _ = (entity_page(body), nested_page(body));
    let _ = (list_page(body), stats_page(body));
    let _ = (envelope(body), user_role(body), is_date_presets(body), country_codes(body));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    #[test]
    fn what_php_warns_of_in_front_of_an_answer_costs_nothing_of_it() {
        let notice = "<br />\n<b>Warning</b>:  Undefined index: x in <b>/var/www/a.php</b> on line <b>12</b><br />\n";
        for text in [
            format!("{notice}[1]"),
            format!("{notice}{notice}[1]"),
            "\nDeprecated: Function y() in /a.php on line 7\n[1]".to_owned(),
            "[1]".to_owned(),
        ] {
            assert_eq!(text_of(text.as_bytes()).expect("text"), "[1]", "{text}");
        }
        assert!(is_page(b"<br />page") && !is_page(format!("{notice}{{}}").as_bytes()));
    }

    #[test]
    fn a_recorded_shape_is_read_and_its_totals_stand_apart() {
        let body = br#"[
            {"id":"41","name":"Loans DE","affiliate_network":"North Net","clicks":"1280","leads":"19","epc":"0.148438",
             "revenue":"190","cost":"40.576","payout":{"money":{"amount":10,"currency":"USD"},"isAuto":false},
             "unique_clicks":"1101","is_deleted":"","is_noted":false,"Deposits::0f6b4c1e-2f1d-4c55-8a57-0c2f6f0d9a10":"4"},
            {"id":"totals","clicks":"1306","leads":"19","revenue":"190","cost":"41.9","total_count":"3"}]"#;
        let page = entity_page(body).expect("a page");
        assert_eq!(page.rows.len(), 1);
        let row = &page.rows[0];
        assert_eq!((row.id.as_str(), row.name.as_str()), ("41", "Loans DE"));
        assert_eq!(row.metrics.cost, Some(decimal("40.576")));
        assert_eq!((row.metrics.approved, row.metrics.payout), (None, None));
        let totals = page.totals.expect("totals");
        assert_eq!((totals.metrics.clicks, totals.count), (Some(1306), Some(3)));
    }

    #[test]
    fn a_report_is_read_bare_wrapped_and_with_its_totals_inside() {
        let row = r#"{"level":1,"entity_id":null,"name":"Germany","clicks":"60"}"#;
        for body in [
            format!("[{row}]"),
            format!(r#"{{"data":[{row}]}}"#),
            format!(r#"{{"report":[{row},{{"entity_id":"totals","clicks":"60"}}],"totals":[]}}"#),
            format!(r#"{{"report":[{row}],"totals":{{"clicks":"60"}}}}"#),
        ] {
            let page = nested_page(body.as_bytes()).expect("a page");
            assert_eq!(page.rows.len(), 1, "{body}");
            assert_eq!((page.rows[0].level, page.rows[0].id.as_deref()), (1, None));
        }
    }

    #[test]
    fn every_word_for_no_data_is_an_empty_table_and_every_other_body_is_not() {
        for body in ["null", "\"null\"", "\"no_clicks\"", "no_clicks", "[]", "\u{feff}[]"] {
            assert_eq!(list_page(body.as_bytes()), Ok(PanelAnswer::Rows(Vec::new())), "{body}");
        }
        for body in ["{}", "<html></html>", "\"wrong key\"", "[1]", "12", "[{\"name\":\"no id\"}]", "[{\"id\":1}"] {
            assert!(list_page(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(list_page(b"  "), Ok(PanelAnswer::Silence));
        assert_eq!(
            stats_page(br#"{"status":"error","message":"Access denied"}"#),
            Ok(PanelAnswer::Refused("Access denied".to_owned()))
        );
        assert!(entity_page(b"{}").is_err());
        assert!(nested_page(b"null").is_err());
    }

    #[test]
    fn dressed_numbers_are_undressed_in_v1_only() {
        let body =
            br#"[{"level":"1","name":"2026-09-01","clicks":"2,038","leads":" 4 ","rev":"$1,204.50","spend":""}]"#;
        let Ok(PanelAnswer::Rows(rows)) = stats_page(body) else { panic!("rows") };
        assert_eq!((rows[0].metrics.clicks, rows[0].metrics.conversions), (Some(2038), Some(4)));
        assert_eq!((rows[0].metrics.revenue, rows[0].metrics.cost), (Some(decimal("1204.50")), Some(Decimal::ZERO)));
        assert!(nested_page(body).is_err());
    }

    #[test]
    fn an_empty_cell_is_a_zero_in_v1_and_not_known_in_v2_or_where_the_column_is_hidden() {
        let body = br#"[{"level":"1","id":"1","name":"A","clicks":"3","leads":"","revenue":""}]"#;
        let Ok(PanelAnswer::Rows(rows)) = list_page(body) else { panic!("rows") };
        let Metrics { conversions, revenue, cost, .. } = rows[0].metrics;
        assert_eq!((conversions, revenue, cost), (Some(0), Some(Decimal::ZERO), None));
        let Metrics { conversions, revenue, .. } = entity_page(body).expect("a page").rows[0].metrics;
        assert_eq!((conversions, revenue), (None, None));
    }

    #[test]
    fn a_user_is_an_administrator_by_the_role() {
        for (user, is_administrator) in [
            ("user 2 (admin)", true),
            ("ROLE_SUPER_ADMIN", true),
            ("user 7 (manager)", false),
            ("user 1 admin (buyer)", false),
        ] {
            assert_eq!(super::is_administrator(user), is_administrator, "{user}");
        }
    }

    #[test]
    fn float_noise_is_no_mismatch_and_a_cent_is_one() {
        let with = |revenue: &str| Metrics { revenue: Some(decimal(revenue)), clicks: Some(3), ..Metrics::default() };
        assert_eq!(
            check(&with("13135.725768893"), &with("13135.725768882"), "Binom says", Against::SameSource).mismatch,
            None
        );
        assert_eq!(
            check(&with("78475092548.79"), &with("78475092549.80"), "Binom says", Against::SameSource).mismatch,
            None
        );
        let differs =
            check(&with("10.00"), &with("10.01"), "Binom says", Against::SameSource).mismatch.expect("a mismatch");
        assert_eq!(differs, "The rows' revenue add up to 10.00, but Binom says 10.01.");
    }

    proptest! {
        #[test]
        fn no_body_makes_a_parser_panic(body in any::<Vec<u8>>(), json in "[\\[{\"a-z:,0-9}\\] .]{0,80}") {
            for body in [body.as_slice(), json.as_bytes()] {
                let _ = (entity_page(body), nested_page(body), list_page(body), stats_page(body));
                let _ = (envelope(body), user_role(body), is_date_presets(body), country_codes(body));
            }
        }

        #[test]
        fn no_row_makes_a_parser_panic(
            key in "(id|level|name|clicks|revenue|total_count|entity_id)",
            value in "(null|true|\\[\\]|\\{\\}|\"[a-z0-9,.%$ -]{0,8}\"|-?[0-9]{1,30}(\\.[0-9]{1,30})?)",
            wrap in any::<bool>(),
        ) {
            let rows = format!(r#"[{{"id":"1","level":"1","{key}":{value}}}]"#);
            let body = if wrap { format!(r#"{{"report":{rows},"totals":{{"{key}":{value}}}}}"#) } else { rows };
            let body = body.as_bytes();
            let _ = (entity_page(body), nested_page(body), list_page(body), stats_page(body));
        }
    }
}
