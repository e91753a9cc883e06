//! Voluum's JSON and its conversion to our types, good answers and refusals alike.
//!
//! Rows are wide and differ from report to report, so only the keys that are needed are read and every one of them may
//! be missing. `hour`, a column of every row, is not the hour of the day and is not read.

use bytes::Bytes;
use compact_str::CompactString;
use jiff::Timestamp;
use jiff::civil::Date;
use reqwest::StatusCode;
use rust_decimal::Decimal;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::list::{self, MOST_ROWS};
use super::super::number;
use super::super::stats::{Dimension, DimensionValue, Metrics, SubId};
use super::super::words::speaks_of_addresses;
use crate::outbound::error::{ErrorKind, PlatformError, Stage};
use crate::outbound::{Answer, Upstream};

/// Stands in refusals of the rate, whatever their status and shape.
const RATE_CODE: &[u8] = b"NUMBER_OF_REQUEST_FOR_IP_EXCEEDED";

/// A session as the login answers it.
pub(super) struct Opened {
    pub(super) token: SecretString,
    pub(super) expires: Option<Timestamp>,
}

/// Reads the answer of a login.
pub(super) fn opened(answer: &Answer, upstream: &Upstream) -> Result<Opened, PlatformError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Login {
        token: String,
        #[serde(default)]
        expiration_timestamp: Option<Value>,
    }
    let login: Login =
        serde_json::from_slice(&answer.body).map_err(|error| unreadable(answer, upstream, "login", &error))?;
    let token = SecretString::from(login.token);
    if !is_token(&token) {
        return Err(PlatformError::bad_response(format!("{} opened a session without a token.", upstream.host())));
    }
    let expires = login.expiration_timestamp.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok());
    Ok(Opened { token, expires })
}

fn is_token(token: &SecretString) -> bool {
    let token = token.expose_secret();
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// One page of a report.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<Line>,
    /// How many rows the whole report has.
    pub(super) total_rows: u64,
    /// Sums over the whole report.
    pub(super) totals: Option<Line>,
    /// Whether Voluum says that rows are left out after this page.
    pub(super) truncated: bool,
}

/// A row, or the line of totals.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Line {
    #[serde(deserialize_with = "text")]
    day: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    hour_of_day: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    campaign_id: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    campaign_name: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    offer_id: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    offer_name: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    affiliate_network_id: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    affiliate_network_name: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    traffic_source_id: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    traffic_source_name: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    country_code: Option<CompactString>,
    #[serde(deserialize_with = "text")]
    country_name: Option<CompactString>,
    #[serde(rename = "customVariable1", deserialize_with = "variable")]
    variable_1: Option<CompactString>,
    #[serde(rename = "customVariable2", deserialize_with = "variable")]
    variable_2: Option<CompactString>,
    #[serde(rename = "customVariable3", deserialize_with = "variable")]
    variable_3: Option<CompactString>,
    #[serde(rename = "customVariable4", deserialize_with = "variable")]
    variable_4: Option<CompactString>,
    #[serde(rename = "customVariable5", deserialize_with = "variable")]
    variable_5: Option<CompactString>,
    #[serde(rename = "customVariable6", deserialize_with = "variable")]
    variable_6: Option<CompactString>,
    #[serde(rename = "customVariable7", deserialize_with = "variable")]
    variable_7: Option<CompactString>,
    #[serde(rename = "customVariable8", deserialize_with = "variable")]
    variable_8: Option<CompactString>,
    #[serde(rename = "customVariable9", deserialize_with = "variable")]
    variable_9: Option<CompactString>,
    #[serde(rename = "customVariable10", deserialize_with = "variable")]
    variable_10: Option<CompactString>,
    #[serde(deserialize_with = "number::count")]
    impressions: Option<i64>,
    #[serde(deserialize_with = "number::count")]
    visits: Option<i64>,
    #[serde(deserialize_with = "number::count")]
    unique_visits: Option<i64>,
    #[serde(deserialize_with = "number::count")]
    conversions: Option<i64>,
    #[serde(deserialize_with = "number::decimal")]
    revenue: Option<Decimal>,
    #[serde(deserialize_with = "number::decimal")]
    cost: Option<Decimal>,
}

/// Reads a page.
pub(super) fn page(body: &Bytes) -> Result<Page, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        #[serde(deserialize_with = "list::at_most::<MOST_ROWS, _, _>")]
        rows: Vec<Line>,
        #[serde(deserialize_with = "number::count")]
        total_rows: Option<i64>,
        #[serde(default)]
        totals: Option<Line>,
        #[serde(default)]
        truncated: Option<bool>,
    }
    let envelope: Envelope = serde_json::from_slice(body)?;
    let total_rows = envelope
        .total_rows
        .and_then(|count| u64::try_from(count).ok())
        .ok_or_else(|| serde::de::Error::custom("`totalRows` is not a number of rows"))?;
    Ok(Page {
        rows: envelope.rows,
        total_rows,
        totals: envelope.totals,
        truncated: envelope.truncated.unwrap_or_default(),
    })
}

impl Page {
    /// Whether each column that a report by `groups` needs is there in some row.
    pub(super) fn has_columns_for(&self, groups: &[Dimension]) -> bool {
        let somewhere = |there: &dyn Fn(&Line) -> bool| self.rows.is_empty() || self.rows.iter().any(there);
        groups.iter().all(|group| somewhere(&|row| row.id(*group).is_some()))
            && somewhere(&|row| row.impressions.is_some())
            && somewhere(&|row| row.visits.is_some())
            && somewhere(&|row| row.unique_visits.is_some())
            && somewhere(&|row| row.conversions.is_some())
            && somewhere(&|row| row.revenue.is_some())
            && somewhere(&|row| row.cost.is_some())
    }
}

/// What stands where an id or a label may stand: text, a number, or nothing.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CompactString>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    match raw.as_bytes().first() {
        Some(b'"') => {
            serde_json::from_str::<String>(raw).map(|text| Some(text.into())).map_err(serde::de::Error::custom)
        }
        Some(b'n') => Ok(None),
        Some(b'-' | b'0'..=b'9') => Ok(Some(raw.into())),
        _ => Err(serde::de::Error::custom("expected text")),
    }
}

/// What a link carried, which is a blank text where it carried nothing.
fn variable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CompactString>, D::Error> {
    text(deserializer).map(|text| Some(text.unwrap_or_default()))
}

impl Line {
    /// The row's own id of a dimension, as it came.
    pub(super) fn id(&self, dimension: Dimension) -> Option<&CompactString> {
        self.columns(dimension).0.as_ref()
    }

    /// The row's value of a dimension; an entity without an id is unknown.
    ///
    /// # Errors
    /// A day or an hour that is none.
    pub(super) fn value(&self, dimension: Dimension) -> Result<DimensionValue, PlatformError> {
        match dimension {
            Dimension::Date => self
                .day()
                .map(DimensionValue::date)
                .ok_or_else(|| PlatformError::bad_response("Voluum sent a row without a readable `day`.")),
            Dimension::Hour => self
                .hour()
                .map(DimensionValue::hour)
                .ok_or_else(|| PlatformError::bad_response("Voluum sent a row without a readable `hourOfDay`.")),
            Dimension::Campaign
            | Dimension::Offer
            | Dimension::AffiliateNetwork
            | Dimension::TrafficSource
            | Dimension::Country
            | Dimension::Affiliate
            | Dimension::Advertiser
            | Dimension::Week
            | Dimension::Month => {
                let (id, name) = self.columns(dimension);
                let id = id.as_deref().map(str::trim).filter(|id| !id.is_empty());
                Ok(id.map_or_else(DimensionValue::unknown, |id| {
                    DimensionValue::new(id, name.as_deref().unwrap_or_default())
                }))
            }
            // What a link carried, letter by letter; a blank id where it carried nothing.
            Dimension::Sub(_) => self.id(dimension).cloned().map(DimensionValue::plain).ok_or_else(|| {
                PlatformError::bad_response(format!("Voluum sent a row without the custom variable of `{dimension}`."))
            }),
        }
    }

    /// The day, where the row is of one.
    pub(super) fn day(&self) -> Option<Date> {
        self.day.as_deref()?.trim().get(..10)?.parse().ok()
    }

    /// The hour of the day. Seen or likely: `7`, `"07"`, `"07:00"`, `"07:00 - 07:59"`.
    pub(super) fn hour(&self) -> Option<u8> {
        let text = self.hour_of_day.as_deref()?.trim();
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        text.get(..end)?.parse().ok().filter(|hour| *hour < 24)
    }

    fn columns(&self, dimension: Dimension) -> (&Option<CompactString>, &Option<CompactString>) {
        match dimension {
            Dimension::Date => (&self.day, &None),
            Dimension::Hour => (&self.hour_of_day, &None),
            Dimension::Campaign => (&self.campaign_id, &self.campaign_name),
            Dimension::Offer => (&self.offer_id, &self.offer_name),
            Dimension::AffiliateNetwork => (&self.affiliate_network_id, &self.affiliate_network_name),
            Dimension::TrafficSource => (&self.traffic_source_id, &self.traffic_source_name),
            Dimension::Country => (&self.country_code, &self.country_name),
            Dimension::Affiliate | Dimension::Advertiser | Dimension::Week | Dimension::Month => (&None, &None),
            Dimension::Sub(number) => (self.variable(number), &None),
        }
    }

    fn variable(&self, number: SubId) -> &Option<CompactString> {
        match number.number() {
            1 => &self.variable_1,
            2 => &self.variable_2,
            3 => &self.variable_3,
            4 => &self.variable_4,
            5 => &self.variable_5,
            6 => &self.variable_6,
            7 => &self.variable_7,
            8 => &self.variable_8,
            9 => &self.variable_9,
            _ => &self.variable_10,
        }
    }

    /// Whether nothing happened: asking for all entities also brings those without traffic.
    pub(super) fn is_idle(&self) -> bool {
        let counts = [self.impressions, self.visits, self.unique_visits, self.conversions];
        let money = [self.revenue, self.cost];
        counts.iter().flatten().all(|count| *count == 0)
            && money.iter().flatten().all(Decimal::is_zero)
            && (counts.iter().any(Option::is_some) || money.iter().any(Option::is_some))
    }

    /// The numbers. A visit is the hit on the tracking link, which others call a click; Voluum's `clicks` are
    /// click-throughs of landing pages.
    pub(super) fn metrics(&self) -> Metrics {
        Metrics {
            impressions: self.impressions,
            clicks: self.visits,
            unique_clicks: self.unique_visits,
            conversions: self.conversions,
            revenue: self.revenue,
            cost: self.cost,
            ..Metrics::default()
        }
    }
}

/// The part of a refusal that decides what to do next.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The session is dead, or never lived.
    Session(PlatformError),
    /// The query is refused: a grouping, a column, the sort key or the limit.
    Query(PlatformError),
    /// A malformed parameter, such as a time or the limit.
    Parameter(PlatformError),
    /// Nothing that asking differently could fix.
    Final(PlatformError),
}

impl From<PlatformError> for Refusal {
    fn from(error: PlatformError) -> Self {
        Self::Final(error)
    }
}

impl From<Refusal> for PlatformError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Session(error) | Refusal::Query(error) | Refusal::Parameter(error) | Refusal::Final(error) => {
                error
            }
        }
    }
}

/// Reads a report's refusal.
pub(super) fn report_refused(answer: &Answer, upstream: &Upstream) -> Refusal {
    if is_throttled(&answer.body) {
        return Refusal::Final(throttled(upstream));
    }
    let words = Words::of(&answer.body);
    let said = words.quoted(answer.status, upstream);
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if speaks_of_addresses(&words.text) => {
            Refusal::Final(address_refused(&said, upstream))
        }
        StatusCode::UNAUTHORIZED => Refusal::Session(rejected(&said)),
        StatusCode::FORBIDDEN => Refusal::Final(
            PlatformError::new(ErrorKind::InsufficientPermissions, format!("Voluum does not let this access key read reports: {said}"))
                .at(Stage::Authorize)
                .hint("In Voluum, let the user who made the access key see reports and the workspaces concerned, or make the key as another user."),
        ),
        StatusCode::BAD_REQUEST if words.code.as_deref() == Some("INVALID_QUERY") => {
            Refusal::Query(PlatformError::unsupported(format!("Voluum refuses this report: {said}")))
        }
        StatusCode::BAD_REQUEST if words.code.is_some() => {
            Refusal::Parameter(PlatformError::unsupported(format!("Voluum refuses this report: {said}")))
        }
        _ => Refusal::Final(unexpected(answer, &words, upstream)),
    }
}

/// Reads a login's refusal.
pub(super) fn login_refused(answer: &Answer, upstream: &Upstream) -> PlatformError {
    if is_throttled(&answer.body) {
        return throttled(upstream);
    }
    let words = Words::of(&answer.body);
    if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) && speaks_of_addresses(&words.text) {
        return address_refused(&words.quoted(answer.status, upstream), upstream);
    }
    if answer.status == StatusCode::UNAUTHORIZED || words.code.as_deref() == Some("BAD_CREDENTIALS") {
        return rejected(&words.quoted(answer.status, upstream));
    }
    if answer.status == StatusCode::FORBIDDEN {
        let said = words.quoted(answer.status, upstream);
        return PlatformError::new(
            ErrorKind::InsufficientPermissions,
            format!("Voluum lets this access key open no session: {said}"),
        )
        .at(Stage::Authenticate);
    }
    unexpected(answer, &words, upstream)
}

/// Whether a refusal is Voluum's own: its envelope has a code, and the refusal of the rate its own word.
pub(super) fn is_own_refusal(answer: &Answer) -> bool {
    Words::of(&answer.body).code.is_some() || is_throttled(&answer.body)
}

/// Voluum does not accept the address that the call came from.
fn address_refused(said: &str, upstream: &Upstream) -> PlatformError {
    upstream.ip_not_allowed(format!("Voluum does not accept calls from this service's address: {said}"))
}

/// Voluum does not accept the access key.
fn rejected(said: &str) -> PlatformError {
    PlatformError::new(ErrorKind::CredentialsRejected, format!("Voluum does not accept this access key: {said}")).hint(
        "In Voluum, open the profile icon → Security → Access keys and check that the key is still listed; copy its ID, and make a new key if the secret is lost.",
    )
}

/// A refusal with a meaning that is not known: Voluum's own words if they are in its shape, else another product's.
fn unexpected(answer: &Answer, words: &Words, upstream: &Upstream) -> PlatformError {
    if answer.status == StatusCode::INTERNAL_SERVER_ERROR {
        return answer.failing(&upstream.host());
    }
    let said = words.quoted(answer.status, upstream);
    match words.code {
        Some(_) => PlatformError::new(ErrorKind::Failing, format!("{} refuses to answer: {said}", upstream.host())),
        None => PlatformError::new(
            ErrorKind::NotThisPlatform,
            format!("{} does not answer as Voluum does: {said}", upstream.host()),
        ),
    }
}

/// An answer with a good status that is not what was asked for.
pub(super) fn unreadable(answer: &Answer, upstream: &Upstream, what: &str, error: &serde_json::Error) -> PlatformError {
    if is_throttled(&answer.body) {
        return throttled(upstream);
    }
    let host = upstream.host();
    if answer.is_html() {
        return PlatformError::new(
            ErrorKind::NotThisPlatform,
            format!("{host} answers with a web page instead of Voluum's {what}."),
        );
    }
    if serde_json::from_slice::<&RawValue>(&answer.body).is_err() {
        return PlatformError::new(
            ErrorKind::NotThisPlatform,
            format!("{host} does not answer Voluum's {what} in JSON."),
        );
    }
    let reason = upstream.quote(&error.to_string());
    PlatformError::bad_response(format!("The answer of {host} is not a {what} of Voluum: {reason}."))
}

fn is_throttled(body: &[u8]) -> bool {
    body.windows(RATE_CODE.len()).any(|window| window == RATE_CODE)
}

fn throttled(upstream: &Upstream) -> PlatformError {
    PlatformError::new(ErrorKind::RateLimited, format!("{} asks to be called less often.", upstream.host()))
}

/// What a refusal says of itself.
struct Words {
    code: Option<String>,
    text: String,
}

impl Words {
    /// Reads the usual envelope, the code alone, or nothing: bodies may be empty or a web page.
    fn of(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = body.get("error").unwrap_or(&Value::Null);
        let code = error.get("code").or_else(|| body.get("code")).and_then(Value::as_str).map(str::to_owned);
        let messages = error.get("messages").and_then(Value::as_array).into_iter().flatten().map(|message| {
            message.as_str().or_else(|| message.get("message").and_then(Value::as_str)).unwrap_or_default()
        });
        let described = error.get("description").and_then(Value::as_str);
        let text = code.as_deref().into_iter().chain(described).chain(messages).filter(|part| !part.is_empty());
        let text = text.collect::<Vec<_>>().join(", ");
        Self { code, text }
    }

    fn quoted(&self, status: StatusCode, upstream: &Upstream) -> String {
        match self.text.as_str() {
            "" => format!("it answered {}.", status.as_u16()),
            text => format!("“{}” ({}).", upstream.quote(text), status.as_u16()),
        }
    }
}

/// Reads any bytes as a page, its rows by every dimension, and as a refusal.
#[cfg(fuzzing)]
pub(in crate::platforms) fn fuzz(body: &[u8]) {
    let rows = page(&Bytes::copy_from_slice(body)).map(|page| page.rows).unwrap_or_default();
    for row in rows {
        for dimension in Dimension::ALL {
            let _ = row.value(dimension);
        }
        let _ = (row.is_idle(), row.metrics());
    }
    let _ = (Words::of(body), is_throttled(body));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(json: &str) -> Line {
        serde_json::from_str(json).expect("a line")
    }

    #[test]
    fn the_hour_is_read_in_every_form_and_never_from_the_column_hour() {
        for (json, hour) in [
            (r#"{"hourOfDay": 7, "hour": 3}"#, Some(7)),
            (r#"{"hourOfDay": "7"}"#, Some(7)),
            (r#"{"hourOfDay": "07"}"#, Some(7)),
            (r#"{"hourOfDay": "07:00"}"#, Some(7)),
            (r#"{"hourOfDay": "23:00 - 23:59"}"#, Some(23)),
            (r#"{"hourOfDay": 24}"#, None),
            (r#"{"hourOfDay": "noon"}"#, None),
            (r#"{"hourOfDay": null, "hour": 3}"#, None),
            (r#"{"hour": 3}"#, None),
        ] {
            assert_eq!(line(json).hour(), hour, "{json}");
        }
    }

    #[test]
    fn visits_are_the_clicks_and_money_keeps_every_digit() {
        let metrics =
            line(r#"{"visits": 12, "clicks": 3, "uniqueVisits": "9", "uniqueClicks": 2, "revenue": 174133.02247658}"#)
                .metrics();
        assert_eq!((metrics.clicks, metrics.unique_clicks, metrics.approved), (Some(12), Some(9), None));
        assert_eq!(metrics.revenue.map(|money| money.to_string()).as_deref(), Some("174133.02247658"));
    }

    #[test]
    fn an_empty_id_is_an_unknown_entity_and_its_traffic_stays() {
        let row = line(r#"{"affiliateNetworkId": "", "affiliateNetworkName": "", "visits": 12}"#);
        assert_eq!(row.value(Dimension::AffiliateNetwork).ok(), Some(DimensionValue::unknown()));
        assert!(!row.is_idle());
        assert!(line(r#"{"visits": 0, "revenue": 0.0, "cost": 0}"#).is_idle());
        assert!(!line(r#"{"visits": 0, "revenue": -0.01}"#).is_idle());
        assert!(!line("{}").is_idle(), "a row whose numbers are all unknown is not an empty one");
    }

    #[test]
    fn a_page_needs_rows_and_their_number() {
        let read = |json: &str| page(&Bytes::copy_from_slice(json.as_bytes()));
        let good =
            read(r#"{"rows": [{"day": "2026-09-01", "visits": 1}], "totalRows": 1, "unheard": {}}"#).expect("a page");
        assert_eq!((good.rows.len(), good.total_rows, good.truncated), (1, 1, false));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"rows": []}"#,
            r#"{"totalRows": 0}"#,
            r#"{"rows": {}, "totalRows": 0}"#,
            r#"{"rows": [], "totalRows": -1}"#,
            r#"{"rows": [], "totalRows": null}"#,
            r#"{"rows": [{"visits": "many"}], "totalRows": 1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_are_read_in_every_shape() {
        let words = |json: &str| {
            let words = Words::of(json.as_bytes());
            (words.code, words.text)
        };
        let nested = r#"{"error": {"code": "BAD_REQUEST", "description": "", "messages": ["Invalid time format", {"message": "from"}]}}"#;
        assert_eq!(
            words(nested),
            (Some("BAD_REQUEST".to_owned()), "BAD_REQUEST, Invalid time format, from".to_owned())
        );
        assert_eq!(words(r#"{"code": "X"}"#), (Some("X".to_owned()), "X".to_owned()));
        for nothing in ["", "<html>", "[]", r#"{"error": "no"}"#] {
            assert_eq!(words(nothing), (None, String::new()), "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_a_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = page(&Bytes::from(body.clone()));
            let _ = Words::of(&body);
            let _ = is_throttled(&body);
        }

        #[test]
        fn no_cell_makes_a_row_panic(cell in "\\PC{0,20}") {
            let quoted = serde_json::to_string(&cell).expect("json");
            for json in [
                format!(r#"{{"rows": [{{"day": {quoted}, "hourOfDay": {quoted}, "offerId": {quoted}}}], "totalRows": 1}}"#),
                format!(r#"{{"rows": [{{"day": {cell}, "visits": {cell}, "revenue": {quoted}}}], "totalRows": {cell}}}"#),
            ] {
                for row in page(&Bytes::from(json)).map(|page| page.rows).unwrap_or_default() {
                    for dimension in Dimension::ALL {
                        let _ = row.value(dimension);
                    }
                    let _ = (row.is_idle(), row.metrics());
                }
            }
        }
    }
}
