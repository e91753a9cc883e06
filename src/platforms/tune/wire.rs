//! TUNE's JSON, read without passing any number through a binary float.
//!
//! Lists come as lists or, as PHP writes them, as objects keyed by number; pages come with information about
//! themselves or without; errors come as a list, an object or a text. The member `request`, which repeats the key, is
//! passed over unread.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::kind::ConnectionType;
use super::super::list::MOST_ROWS;
use super::super::number;
use super::super::stats::{Currency, Metrics};
use crate::outbound::Answer;

/// What is longer than this is no refusal.
const LONGEST_REFUSAL_BYTES: usize = 256 * 1024;

/// How long a key is left alone that has used its calls up: that is how long they are counted.
const REST: Duration = Duration::from_secs(10);

/// The member `response` of an answer.
#[derive(Deserialize)]
pub(super) struct Response<'a> {
    #[serde(default, deserialize_with = "number::count")]
    status: Option<i64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
    #[serde(borrow, rename = "errorMessage")]
    error_message: Option<&'a RawValue>,
    #[serde(borrow)]
    totals: Option<&'a RawValue>,
}

impl<'a> Response<'a> {
    /// `None` for a body that is none of TUNE's.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            response: &'a RawValue,
        }
        let envelope: Envelope<'a> = serde_json::from_slice(body).ok()?;
        let response: Self = serde_json::from_str(envelope.response.get()).ok()?;
        (response.status.is_some() || !response.words().is_empty()).then_some(response)
    }

    pub(super) fn is_success(&self) -> bool {
        self.status == Some(1)
    }

    /// Whether it says how it went at all. What is asked at an unknown network's does not.
    pub(super) fn has_status(&self) -> bool {
        self.status.is_some()
    }

    /// What an error says, the whole message first.
    pub(super) fn words(&self) -> String {
        let mut words = Vec::new();
        for part in [self.error_message, self.errors].into_iter().flatten() {
            if part.get().len() <= LONGEST_REFUSAL_BYTES
                && let Ok(part) = serde_json::from_str::<Value>(part.get())
            {
                collect_words(&part, &mut words);
            }
        }
        words.join("; ")
    }

    /// The report.
    pub(super) fn table(&self) -> serde_json::Result<Table<'a>> {
        let Some(data) = self.data else { return Err(serde_json::Error::custom("it has no `data`")) };
        let mut table: Table<'a> = serde_json::from_str(data.get())?;
        table.totals = table.totals.or(self.totals);
        Ok(table)
    }
}

/// Gathers the texts of an error: messages under the names that are known, and texts that stand for themselves.
fn collect_words(part: &Value, words: &mut Vec<String>) {
    match part {
        Value::String(text) => {
            let text = text.trim();
            if !text.is_empty() && !words.iter().any(|known| known == text) {
                words.push(text.to_owned());
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| collect_words(part, words)),
        Value::Object(members) => {
            for name in ["publicMessage", "err_msg", "message"] {
                members.get(name).into_iter().for_each(|part| collect_words(part, words));
            }
            let numbered = members.iter().filter(|(name, _)| is_number(name));
            numbered.for_each(|(_, part)| collect_words(part, words));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether an answer is in the shape that the API gives a refusal.
pub(super) fn is_own_refusal(answer: &Answer) -> bool {
    Response::read(&answer.body).is_some_and(|response| response.has_status() && !response.is_success())
}

/// What an answer's words say of the rate of calls. Text may stand before it.
pub(super) fn speaks_of_rate(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    words.contains("exceeded") && words.contains("rate limit")
}

/// How long an answer asks its caller to rest, if it does: it has status 200 all the same.
pub(super) fn asks_for_rest(body: &[u8]) -> Option<Duration> {
    let response = (body.len() <= LONGEST_REFUSAL_BYTES).then(|| Response::read(body))??;
    (!response.is_success() && speaks_of_rate(&response.words())).then_some(REST)
}

/// A page of a report.
#[derive(Default)]
pub(super) struct Table<'a> {
    pub(super) rows: Vec<Line<'a>>,
    /// The number of the page.
    pub(super) page: Option<i64>,
    /// How many rows all pages have.
    pub(super) count: Option<i64>,
    /// How many pages there are.
    pub(super) pages: Option<i64>,
    totals: Option<&'a RawValue>,
}

impl<'a> Table<'a> {
    /// The platform's own totals of all pages, where it has some that can be read.
    pub(super) fn totals(&self) -> Option<Stat<'a>> {
        #[derive(Deserialize)]
        struct Totals<'a> {
            #[serde(borrow, rename = "Stat")]
            stat: Stat<'a>,
        }
        serde_json::from_str::<Totals<'a>>(self.totals?.get()).ok().map(|totals| totals.stat)
    }
}

impl<'de> Deserialize<'de> for Table<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TableVisitor;

        impl<'de> Visitor<'de> for TableVisitor {
            type Value = Table<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("rows, or a page of rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<Self::Value, A::Error> {
                Ok(Table { rows: RowsVisitor(PhantomData).visit_seq(rows)?, ..Table::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut table = Table::default();
                let (mut is_page, mut has_others) = (false, false);
                while let Some(name) = members.next_key::<Cow<'de, str>>()? {
                    match name.as_ref() {
                        "data" => {
                            table.rows = members.next_value::<Rows<'de>>()?.0;
                            is_page = true;
                        }
                        "page" => table.page = members.next_value::<Count>()?.0,
                        "count" => table.count = members.next_value::<Count>()?.0,
                        "pageCount" => table.pages = members.next_value::<Count>()?.0,
                        "totals" => table.totals = members.next_value::<Option<&'de RawValue>>()?,
                        name if is_number(name) => push(&mut table.rows, members.next_value()?)?,
                        _ => {
                            members.next_value::<IgnoredAny>()?;
                            has_others = true;
                        }
                    }
                }
                let is_list = !has_others && table.page.is_none() && table.count.is_none() && table.pages.is_none();
                if is_page || is_list { Ok(table) } else { Err(A::Error::custom("a page without `data`")) }
            }
        }

        deserializer.deserialize_any(TableVisitor)
    }
}

/// A count that may be missing.
#[derive(Deserialize)]
struct Count(#[serde(deserialize_with = "number::count")] Option<i64>);

/// Rows as a list, or keyed by number.
struct Rows<'a>(Vec<Line<'a>>);

impl<'de> Deserialize<'de> for Rows<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowsVisitor(PhantomData)).map(Rows)
    }
}

struct RowsVisitor<'a>(PhantomData<Line<'a>>);

impl<'de> Visitor<'de> for RowsVisitor<'de> {
    type Value = Vec<Line<'de>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "at most {MOST_ROWS} rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = elements.next_element()? {
            push(&mut rows, row)?;
        }
        Ok(rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(name) = elements.next_key::<Cow<'de, str>>()? {
            if !is_number(&name) {
                return Err(A::Error::custom("rows that are not numbered"));
            }
            push(&mut rows, elements.next_value()?)?;
        }
        Ok(rows)
    }
}

fn push<'a, E: serde::de::Error>(rows: &mut Vec<Line<'a>>, row: Line<'a>) -> Result<(), E> {
    if rows.len() == MOST_ROWS {
        return Err(E::custom("more rows than were asked for"));
    }
    rows.push(row);
    Ok(())
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// A row: one object for each model.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, rename = "Stat")]
    pub(super) stat: Stat<'a>,
    #[serde(borrow, rename = "Offer", default, deserialize_with = "name")]
    pub(super) offer: Cow<'a, str>,
    #[serde(borrow, rename = "Affiliate", default, deserialize_with = "name")]
    pub(super) affiliate: Cow<'a, str>,
    #[serde(borrow, rename = "Advertiser", default, deserialize_with = "name")]
    pub(super) advertiser: Cow<'a, str>,
    #[serde(borrow, rename = "Country", default, deserialize_with = "name")]
    pub(super) country: Cow<'a, str>,
}

/// The name in a model of an entity. Names are only shown, so whatever cannot be read as one is blank.
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, default, alias = "company")]
        name: Option<&'a RawValue>,
    }
    let raw = <&'de RawValue>::deserialize(deserializer)?.get();
    let named = serde_json::from_str::<Named<'de>>(raw).ok().and_then(|named| named.name);
    Ok(named.and_then(|name| number::unquoted(name.get()).ok()).unwrap_or_default())
}

/// The columns of the report itself. A text is `None` where it is missing, and blank where it says nothing.
#[derive(Debug, Default)]
pub(super) struct Stat<'a> {
    pub(super) date: Option<Cow<'a, str>>,
    pub(super) hour: Option<Cow<'a, str>>,
    pub(super) offer: Option<Cow<'a, str>>,
    pub(super) affiliate: Option<Cow<'a, str>>,
    pub(super) advertiser: Option<Cow<'a, str>>,
    pub(super) country: Option<Cow<'a, str>>,
    pub(super) currency: Option<Cow<'a, str>>,
    /// What links carry: `affiliate_info1` first.
    pub(super) infos: [Option<Cow<'a, str>>; 5],
    impressions: Option<i64>,
    pub(super) clicks: Option<i64>,
    unique_clicks: Option<i64>,
    conversions: Option<i64>,
    payout: Money,
    revenue: Money,
}

/// An amount, which may only be there with its currency in its name (`payout@USD`).
#[derive(Debug, Default, Clone, Copy)]
struct Money {
    plain: Option<Decimal>,
    named: Option<(Decimal, Currency)>,
}

impl Money {
    fn amount(self) -> Option<Decimal> {
        self.plain.or(self.named.map(|(amount, _)| amount))
    }

    /// The currency of an amount that is only there by it.
    fn currency(self) -> Option<Currency> {
        self.named.filter(|_| self.plain.is_none()).map(|(_, currency)| currency)
    }
}

impl Stat<'_> {
    /// The numbers in our terms. Nothing in this report tells approved conversions from others.
    pub(super) fn metrics(&self, portal: ConnectionType) -> Metrics {
        let (revenue, payout) = match portal {
            ConnectionType::Admin => (self.revenue, self.payout),
            ConnectionType::Affiliate => (self.payout, Money::default()),
        };
        Metrics {
            impressions: self.impressions,
            clicks: self.clicks,
            unique_clicks: self.unique_clicks,
            conversions: self.conversions,
            revenue: revenue.amount(),
            payout: payout.amount(),
            ..Metrics::default()
        }
    }

    /// The currency that stands in the names of its amounts, where these are there by it alone.
    pub(super) fn currency_of_amounts(&self) -> Option<Currency> {
        self.payout.currency().or(self.revenue.currency())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Stat<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StatVisitor;

        impl<'de> Visitor<'de> for StatVisitor {
            type Value = Stat<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("the columns of a report")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut columns: A) -> Result<Self::Value, A::Error> {
                let mut stat = Stat::default();
                while let Some(name) = columns.next_key::<Cow<'de, str>>()? {
                    match name.as_ref() {
                        "date" => stat.date = Some(columns.next_value::<Text<'de>>()?.0),
                        "hour" => stat.hour = Some(columns.next_value::<Text<'de>>()?.0),
                        "offer_id" => stat.offer = Some(columns.next_value::<Text<'de>>()?.0),
                        "affiliate_id" => stat.affiliate = Some(columns.next_value::<Text<'de>>()?.0),
                        "advertiser_id" => stat.advertiser = Some(columns.next_value::<Text<'de>>()?.0),
                        "country_code" => stat.country = Some(columns.next_value::<Text<'de>>()?.0),
                        "currency" => stat.currency = Some(columns.next_value::<Text<'de>>()?.0),
                        "affiliate_info1" | "affiliate_info2" | "affiliate_info3" | "affiliate_info4"
                        | "affiliate_info5" => {
                            let text = columns.next_value::<Text<'de>>()?.0;
                            let place = name.bytes().last().and_then(|digit| usize::from(digit).checked_sub(0x31));
                            if let Some(info) = place.and_then(|place| stat.infos.get_mut(place)) {
                                *info = Some(text);
                            }
                        }
                        "impressions" => stat.impressions = columns.next_value::<Count>()?.0,
                        "clicks" => stat.clicks = columns.next_value::<Count>()?.0,
                        "unique_clicks" => stat.unique_clicks = columns.next_value::<Count>()?.0,
                        "conversions" => stat.conversions = columns.next_value::<Count>()?.0,
                        "payout" => stat.payout.plain = columns.next_value::<Amount>()?.0,
                        "revenue" => stat.revenue.plain = columns.next_value::<Amount>()?.0,
                        other => {
                            let named = other.split_once('@').and_then(|(name, code)| Some((name, code.parse().ok()?)));
                            match named {
                                Some(("payout", code)) => stat.payout.named = columns.next_value::<Amount>()?.in_(code),
                                Some(("revenue", code)) => {
                                    stat.revenue.named = columns.next_value::<Amount>()?.in_(code);
                                }
                                _ => drop(columns.next_value::<IgnoredAny>()?),
                            }
                        }
                    }
                }
                Ok(stat)
            }
        }

        deserializer.deserialize_map(StatVisitor)
    }
}

/// An amount that may be missing.
#[derive(Deserialize)]
struct Amount(#[serde(deserialize_with = "number::decimal")] Option<Decimal>);

impl Amount {
    fn in_(self, currency: Currency) -> Option<(Decimal, Currency)> {
        self.0.map(|amount| (amount, currency))
    }
}

/// A text, or a number as it is written; `null` is blank.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        match raw.as_bytes().first() {
            Some(b'"') => number::unquoted(raw).map(Text).map_err(D::Error::custom),
            Some(b'n') => Ok(Text(Cow::Borrowed(""))),
            Some(b'0'..=b'9' | b'-') => Ok(Text(Cow::Borrowed(raw))),
            _ => Err(D::Error::custom("expected a text")),
        }
    }
}

/// Reads any bytes as every answer there is, and its rows as those of both portals.
#[cfg(fuzzing)]
pub(in crate::platforms) fn fuzz(body: &[u8]) {
    let _ = asks_for_rest(body);
    let Some(response) = Response::read(body) else { return };
    let _ = (response.words(), response.is_success());
    let Ok(table) = response.table() else { return };
    let totals = table.totals();
    for stat in table.rows.iter().map(|row| &row.stat).chain(&totals) {
        let _ = (stat.metrics(ConnectionType::Admin), stat.metrics(ConnectionType::Affiliate));
        let _ = stat.currency_of_amounts();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROW: &str = r#"{"Stat":{"date":"2026-11-16","offer_id":"12","affiliate_id":7,"currency":"USD","impressions":"0","clicks":"1034","unique_clicks":"861","conversions":"9","payout":"126.5000","payout@USD":"126.5000","revenue":"176.50","profit":"50.0000"},"Offer":{"name":"Spring \"loan\""},"Affiliate":{"company":"Acme"},"Country":[]}"#;

    fn success(data: &str) -> String {
        format!(
            r#"{{"request":{{"NetworkToken":"secret"}},"response":{{"status":1,"httpStatus":200,"data":{data},"errors":[],"errorMessage":null}}}}"#
        )
    }

    fn rows(data: &str) -> Option<usize> {
        let body = success(data);
        Response::read(body.as_bytes())?.table().ok().map(|table| table.rows.len())
    }

    #[test]
    fn rows_come_in_pages_or_bare_and_as_a_list_or_numbered() {
        let page = |rows: &str| format!(r#"{{"page":"1","current":0,"count":2,"pageCount":1,"data":{rows}}}"#);
        for list in [format!("[{ROW},{ROW}]"), format!(r#"{{"0":{ROW},"17":{ROW}}}"#)] {
            assert_eq!(rows(&list), Some(2), "{list}");
            assert_eq!(rows(&page(&list)), Some(2), "{list}");
        }
        assert_eq!((rows("[]"), rows(&page("[]"))), (Some(0), Some(0)));
        let body = success(&page("[]"));
        let response = Response::read(body.as_bytes()).expect("a response");
        let table = response.table().expect("a table");
        assert_eq!((table.page, table.count, table.pages), (Some(1), Some(2), Some(1)));
    }

    #[test]
    fn what_is_no_report_is_not_an_empty_one() {
        for data in [
            r#""""#,
            "null",
            "false",
            "7",
            r#"{"page":1,"count":0}"#,
            r#"{"data":null}"#,
            r#"{"data":{"rows":[]}}"#,
            r#"{"rows":[]}"#,
            "[[]]",
            r#"[{"Offer":{}}]"#,
            r#"[{"Stat":{"clicks":"many"}}]"#,
            r#"[{"Stat":{"payout":"1,000.00"}}]"#,
            r#"[{"Stat":[]}]"#,
        ] {
            assert_eq!(rows(data), None, "{data}");
        }
        for body in
            ["", "null", "{}", "[]", r#"{"response":[]}"#, r#"{"response":{}}"#, r#"{"response":{"errors":""}}"#]
        {
            assert!(Response::read(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn a_row_is_read_to_the_last_digit_whatever_its_types() {
        let body = success(&format!("[{ROW}]"));
        let table = Response::read(body.as_bytes()).expect("a response").table().expect("a table");
        let line = table.rows.first().expect("a row");
        let network = line.stat.metrics(ConnectionType::Admin);
        assert_eq!((network.clicks, network.unique_clicks, network.conversions), (Some(1034), Some(861), Some(9)));
        assert_eq!(network.payout.map(|money| money.to_string()).as_deref(), Some("126.5000"));
        assert_eq!(network.revenue.map(|money| money.to_string()).as_deref(), Some("176.50"));
        assert_eq!((network.approved, network.hold), (None, None), "never guessed");
        let affiliate = line.stat.metrics(ConnectionType::Affiliate);
        assert_eq!((affiliate.revenue, affiliate.payout), (network.payout, None));
        assert_eq!(
            (line.offer.as_ref(), line.affiliate.as_ref(), line.country.as_ref()),
            ("Spring \"loan\"", "Acme", "")
        );
        assert_eq!(line.stat.affiliate.as_deref(), Some("7"));
        assert_eq!(line.stat.currency_of_amounts(), None);
    }

    #[test]
    fn an_amount_may_only_be_there_by_its_currency() {
        let stat: Stat<'_> =
            serde_json::from_str(r#"{"payout@EUR":"1.50","revenue@EUR":"2","cpc@EUR":"x"}"#).expect("columns");
        assert_eq!(stat.currency_of_amounts().map(|code| code.as_str().to_owned()).as_deref(), Some("EUR"));
        assert_eq!(stat.metrics(ConnectionType::Admin).payout, Some(Decimal::new(150, 2)));
    }

    #[test]
    fn a_name_that_cannot_be_read_costs_no_number() {
        for offer in ["null", "[]", r#"{"name":null}"#, r#"{"name":"\ud83d"}"#, r#"{"name":{}}"#, "7"] {
            let line = format!(r#"{{"Stat":{{"offer_id":"1","clicks":"2"}},"Offer":{offer}}}"#);
            let line: Line<'_> = serde_json::from_str(&line).expect(offer);
            assert_eq!((line.stat.clicks, line.offer.as_ref()), (Some(2), ""), "{offer}");
        }
    }

    #[test]
    fn errors_are_read_in_every_shape() {
        for errors in [
            r#"[{"publicMessage":"No"}]"#,
            r#"{"publicMessage":"No"}"#,
            r#"{"0":{"publicMessage":"No"}}"#,
            r#""No""#,
            r#"[{"err_code":1,"err_msg":"No","attribute_name":"x"}]"#,
        ] {
            let body = format!(r#"{{"response":{{"status":-1,"data":"","errors":{errors},"errorMessage":"No"}}}}"#);
            let response = Response::read(body.as_bytes()).expect(errors);
            assert!(!response.is_success() && response.has_status());
            assert_eq!(response.words(), "No", "{errors}");
        }
        let body = r#"{"response":{"errors":{"publicMessage":"Network id is not valid"},"link":"x"}}"#;
        let response = Response::read(body.as_bytes()).expect("a response");
        assert!(!response.has_status() && response.words() == "Network id is not valid");
    }

    #[test]
    fn both_texts_of_a_rate_limit_are_known_and_a_name_is_none() {
        let refused =
            |text: &str| format!(r#"{{"response":{{"status":-1,"data":"","errors":[],"errorMessage":"{text}"}}}}"#);
        for text in [
            "Request failed. API usage exceeded rate limit.  Configured: 50/10s window; Your usage: 51.",
            "User has exceeded API rate limit",
        ] {
            assert_eq!(asks_for_rest(refused(text).as_bytes()), Some(REST), "{text}");
        }
        assert_eq!(asks_for_rest(refused("No").as_bytes()), None);
        let named = success(r#"[{"Stat":{},"Offer":{"name":"exceeded rate limit"}}]"#);
        assert_eq!(asks_for_rest(named.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_body_makes_a_reader_panic(body in "\\PC{0,200}", cut in 0usize..700) {
            let whole = success(&format!(r#"{{"page":1,"count":2,"pageCount":1,"data":[{ROW},{ROW}],"totals":{{"Stat":{{}}}}}}"#));
            let cut = whole.get(..cut.min(whole.len())).unwrap_or_default().to_owned();
            for body in [body, cut] {
                let _ = asks_for_rest(body.as_bytes());
                if let Some(response) = Response::read(body.as_bytes()) {
                    let _ = (response.words(), response.table().map(|table| table.totals().is_some()).is_ok());
                }
            }
        }
    }
}
