//! An Everflow account inside the test process: a network, its affiliates, and one affiliate's own view.
//!
//! It refuses what the real one refuses, ignores what the real one ignores (filters it does not understand widen the
//! report), and plays every contested reading of the API through [`Reading`]. Facts lie at instants; they are put into
//! days and hours by the clocks of the time zone that is asked for.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::tracker::{Reply, Request, Tracker, carried};

/// Traffic and conversions of one quarter of an hour.
#[derive(Debug, Clone)]
pub struct Fact {
    pub at: Timestamp,
    pub offer: u32,
    pub affiliate: u32,
    pub advertiser: u32,
    /// Most traffic belongs to no campaign.
    pub campaign: Option<u32>,
    /// ISO 3166 alpha-2; blank where it is not known.
    pub country: &'static str,
    pub impressions: i64,
    pub clicks: i64,
    pub conversions: i64,
    pub on_hold: i64,
    /// In cents of USD.
    pub revenue: i64,
    pub payout: i64,
    pub cost: i64,
}

/// What the ids of the `date` column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateIds {
    LocalMidnight,
    LocalMidnightMillis,
    UtcMidnight,
    Written,
}

/// What the ids of the `hour` column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HourIds {
    Instant,
    /// 0 to 23: days fall together.
    OfDay,
}

/// When `incomplete_results` is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    Always,
    WhenTrue,
    Never,
}

/// One way to read what the documentation leaves open.
#[derive(Debug, Clone)]
pub struct Reading {
    pub dates: DateIds,
    pub hours: HourIds,
    pub flag: Flag,
    /// `{"rows": […]}` instead of an array.
    pub wrapped: bool,
    /// `null` instead of an empty array.
    pub null_when_empty: bool,
    /// `Error` instead of `error`.
    pub capital_error: bool,
    /// Whether the newer way to recognise an affiliate's key exists.
    pub knows_affiliates_network: bool,
    /// Whether conversions on hold are reported.
    pub knows_on_hold: bool,
    pub cap: usize,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            dates: DateIds::LocalMidnight,
            hours: HourIds::Instant,
            flag: Flag::Always,
            wrapped: false,
            null_when_empty: false,
            capital_error: true,
            knows_affiliates_network: true,
            knows_on_hold: true,
            cap: 10_000,
        }
    }
}

/// How it can be out of order, where [`super::tracker::Fault`] is not enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quirk {
    #[default]
    None,
    /// Filters are never understood.
    DeafToFilters,
    /// Exclusions are never understood.
    DeafToExclusions,
    /// Of several filters of one type only the first counts.
    FirstFilterOnly,
    /// The summary counts a click that no row has.
    LyingSummary,
    /// Each table has its first row twice.
    RepeatsItself,
}

/// The account.
#[derive(Debug, Clone)]
pub struct Everflow {
    pub facts: Vec<Fact>,
    pub reading: Reading,
    pub quirk: Quirk,
    pub default_currency: Option<&'static str>,
}

pub const NETWORK_KEY: &str = "canaryKeY0123456789abc";
/// May read the network, but no report.
pub const NETWORK_KEY_WITHOUT_REPORTS: &str = "canaryKeYwithoutReport";
/// May read reports and nothing else.
pub const NETWORK_KEY_OF_REPORTS_ONLY: &str = "canaryKeYreportsOnly01";
/// Belongs to affiliate [`AFFILIATE`].
pub const AFFILIATE_KEY: &str = "canaryAfFkEy0123456789";
/// Works in neither of the two portals.
pub const ADVERTISER_KEY: &str = "canaryAdVkEy0123456789";

/// The affiliate whose key [`AFFILIATE_KEY`] is.
pub const AFFILIATE: u32 = 11;

/// How many euros a dollar is.
pub const EUR: f64 = 0.5;

/// Some of the zones that have a number.
pub const TIMEZONES: &[(i64, &str)] = &[
    (9, "Australia/Lord_Howe"),
    (29, "Asia/Kathmandu"),
    (31, "Asia/Kolkata"),
    (55, "Europe/Amsterdam"),
    (56, "Europe/Berlin"),
    (63, "Europe/London"),
    (67, "UTC"),
    (71, "America/St_Johns"),
    (74, "America/Santiago"),
    (80, "America/New_York"),
    (85, "America/Chicago"),
    (99, "Pacific/Pago_Pago"),
];

const TIME_COLUMNS: &[&str] = &["hour", "date"];
const SHARED_COLUMNS: &[&str] = &["offer", "country", "country_code", "sub1", "sub2", "sub3", "sub4", "sub5"];
const NETWORK_COLUMNS: &[&str] = &["affiliate", "advertiser", "campaign"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Portal {
    Network,
    Affiliate,
}

impl Default for Everflow {
    fn default() -> Self {
        Self { facts: sample(400, 7), reading: Reading::default(), quirk: Quirk::None, default_currency: Some("USD") }
    }
}

/// Made-up traffic of 20 October to 4 November 2026, across the clock changes of both continents.
pub fn sample(count: usize, seed: u64) -> Vec<Fact> {
    let start: Timestamp = "2026-10-19T00:00:00Z".parse().expect("an instant");
    let mut random = fastrand::Rng::with_seed(seed);
    let facts = (0..count).map(|_| {
        let conversions = random.i64(0..4);
        Fact {
            at: start + SignedDuration::from_mins(15 * random.i64(0..17 * 24 * 4)),
            offer: random.u32(301..308),
            affiliate: random.u32(10..14),
            advertiser: random.u32(50..53),
            campaign: random.bool().then(|| random.u32(70..72)),
            country: ["US", "DE", "GB", "IN", ""][random.usize(0..5)],
            impressions: random.i64(0..90),
            clicks: random.i64(1..40),
            conversions,
            on_hold: random.i64(0..2),
            revenue: conversions * random.i64(1..4_000),
            payout: conversions * random.i64(1..2_000),
            cost: random.i64(0..300),
        }
    });
    facts.collect()
}

impl Tracker for Everflow {
    fn answer(&self, request: &Request) -> Reply {
        let outcome = match request.path.as_str() {
            "/v1/meta/timezones" => Ok(timezones()),
            path => self.authorise(request).and_then(|(key, portal)| self.route(path, key, portal, request)),
        };
        match outcome {
            Ok(body) => Reply::json(200, &body),
            Err((status, text)) => {
                let member = if self.reading.capital_error { "Error" } else { "error" };
                Reply::json(status, &json!({ member: text }))
            }
        }
        .with_header("x-ratelimit-limit", "30")
        .with_header("x-ratelimit-remaining", "29")
    }
}

type Refusal = (u16, String);

fn refuse<T>(status: u16, text: impl Into<String>) -> Result<T, Refusal> {
    Err((status, text.into()))
}

impl Everflow {
    fn authorise<'a>(&self, request: &'a Request) -> Result<(&'a str, Portal), Refusal> {
        let Some(key) = request.header("x-eflow-api-key") else {
            return refuse(401, "No Authentication Method Found");
        };
        let of_key = match key {
            NETWORK_KEY | NETWORK_KEY_WITHOUT_REPORTS | NETWORK_KEY_OF_REPORTS_ONLY => Some(Portal::Network),
            AFFILIATE_KEY => Some(Portal::Affiliate),
            ADVERTISER_KEY => None,
            _ => return refuse(401, "Unauthorized"),
        };
        let path = request.path.as_str();
        let of_path = match path.split('/').nth(2) {
            Some("networks") => Portal::Network,
            Some("affiliates") => Portal::Affiliate,
            _ => return refuse(404, "Not Found"),
        };
        if of_key == Some(of_path) { Ok((key, of_path)) } else { refuse(403, "Out of realm") }
    }

    fn route(&self, path: &str, key: &str, portal: Portal, request: &Request) -> Result<Value, Refusal> {
        let reporting = path.contains("/reporting/");
        if (key == NETWORK_KEY_WITHOUT_REPORTS && reporting) || (key == NETWORK_KEY_OF_REPORTS_ONLY && !reporting) {
            return refuse(403, "Forbidden");
        }
        match (request.method.as_str(), path) {
            ("GET", "/v1/networks") => Ok(json!({
                "network_id": 12, "customer_id": 3, "name": "Sample Network", "identifier": "sample",
                "account_status": "active", "timezone_id": 80, "reporting_timezone_id": 56,
                "default_currency_id": self.default_currency, "time_created": 1_577_836_800,
            })),
            ("GET", "/v1/affiliates/network") if self.reading.knows_affiliates_network => {
                Ok(json!({ "network_id": 12, "displayed_name": "Sample Network", "timezone_id": 80 }))
            }
            ("GET", "/v1/affiliates/affiliate") => Ok(json!({
                "network_affiliate_id": AFFILIATE, "network_id": 12, "name": "Sample Affiliate",
                "account_status": "active", "default_currency_id": self.default_currency,
            })),
            ("POST", "/v1/networks/reporting/entity/table" | "/v1/affiliates/reporting/entity/table") => {
                self.table(&ReportRequest::read(request, portal)?)
            }
            ("POST", "/v1/networks/reporting/entity/summary") => self.summary(&ReportRequest::read(request, portal)?),
            _ => refuse(404, "Not Found"),
        }
    }

    fn table(&self, question: &ReportRequest) -> Result<Value, Refusal> {
        let mut groups: BTreeMap<Vec<(String, String)>, Sum> = BTreeMap::new();
        for fact in self.selected(question) {
            let key = question.columns.iter().map(|column| self.cell(column, fact, &question.zone)).collect();
            groups.entry(key).or_default().add(fact);
        }
        let mut rows: Vec<Value> = groups
            .iter()
            .map(|(key, sum)| {
                let cells: Vec<Value> = question
                    .columns
                    .iter()
                    .zip(key)
                    .map(|(column, (id, label))| json!({ "column_type": column, "id": id, "label": label }))
                    .collect();
                json!({
                    "columns": cells, "reporting": self.reporting(sum, question),
                    "usm_columns": [], "custom_metric_columns": [],
                })
            })
            .collect();
        if self.quirk == Quirk::RepeatsItself && !rows.is_empty() {
            rows.insert(0, rows[0].clone());
        }
        let incomplete = rows.len() > self.reading.cap;
        rows.truncate(self.reading.cap);
        let table = if rows.is_empty() && self.reading.null_when_empty { Value::Null } else { Value::Array(rows) };
        let table = if self.reading.wrapped && !table.is_null() { json!({ "rows": table }) } else { table };
        let mut answer = json!({ "table": table });
        if self.reading.flag == Flag::Always || (self.reading.flag == Flag::WhenTrue && incomplete) {
            answer["incomplete_results"] = json!(incomplete);
        }
        Ok(answer)
    }

    fn summary(&self, question: &ReportRequest) -> Result<Value, Refusal> {
        let mut sum = Sum::default();
        self.selected(question).for_each(|fact| sum.add(fact));
        sum.clicks += i64::from(self.quirk == Quirk::LyingSummary);
        Ok(self.reporting(&sum, question))
    }

    fn selected<'a>(&'a self, question: &'a ReportRequest) -> impl Iterator<Item = &'a Fact> {
        self.facts.iter().filter(|fact| {
            let day = question.zone.to_datetime(fact.at).date();
            let own = question.portal == Portal::Network || fact.affiliate == AFFILIATE;
            own && (question.from..=question.to).contains(&day) && self.passes(fact, question)
        })
    }

    /// Filters of one type are alternatives, those of different types all hold; a type nobody knows is ignored.
    fn passes(&self, fact: &Fact, question: &ReportRequest) -> bool {
        let id = |kind: &str| -> Option<String> {
            match kind {
                "offer" => Some(fact.offer.to_string()),
                "country" => Some(country_name(fact.country).to_owned()),
                "affiliate" if question.portal == Portal::Network => Some(fact.affiliate.to_string()),
                "advertiser" if question.portal == Portal::Network => Some(fact.advertiser.to_string()),
                "campaign" if question.portal == Portal::Network => {
                    Some(fact.campaign.map(|id| id.to_string()).unwrap_or_default())
                }
                _ => None,
            }
        };
        let alternatives = |values: &[String]| match self.quirk {
            Quirk::FirstFilterOnly => values[..1].to_vec(),
            _ => values.to_vec(),
        };
        let kept = self.quirk == Quirk::DeafToFilters
            || question
                .filters
                .iter()
                .all(|(kind, values)| id(kind).is_none_or(|id| alternatives(values).contains(&id)));
        let removed = self.quirk != Quirk::DeafToExclusions
            && question.exclusions.iter().any(|(kind, values)| id(kind).is_some_and(|id| values.contains(&id)));
        kept && !removed
    }

    /// Id and label of one cell.
    fn cell(&self, column: &str, fact: &Fact, zone: &TimeZone) -> (String, String) {
        let twice = |text: String| (text.clone(), text);
        let local = zone.to_datetime(fact.at);
        match column {
            "date" => {
                let midnight = first_instant(local.date(), zone);
                let utc = first_instant(local.date(), &TimeZone::UTC);
                twice(match self.reading.dates {
                    DateIds::LocalMidnight => midnight.as_second().to_string(),
                    DateIds::LocalMidnightMillis => midnight.as_millisecond().to_string(),
                    DateIds::UtcMidnight => utc.as_second().to_string(),
                    DateIds::Written => local.date().to_string(),
                })
            }
            "hour" => match self.reading.hours {
                HourIds::OfDay => twice(local.hour().to_string()),
                HourIds::Instant => {
                    let since = SignedDuration::from_mins(local.minute().into());
                    (fact.at.checked_sub(since).expect("an instant").as_second().to_string(), String::new())
                }
            },
            "offer" => (fact.offer.to_string(), format!("Offer {}", fact.offer)),
            "affiliate" => (fact.affiliate.to_string(), format!("Affiliate {}", fact.affiliate)),
            "advertiser" => (fact.advertiser.to_string(), format!("Advertiser {}", fact.advertiser)),
            "campaign" => match fact.campaign {
                Some(id) => (id.to_string(), format!("Campaign {id}")),
                None => (String::new(), String::new()),
            },
            "country_code" => twice(fact.country.to_owned()),
            sub if sub.starts_with("sub") => {
                let number = sub.strip_prefix("sub").and_then(|number| number.parse().ok()).expect("a number");
                twice(carried(number, fact.country, fact.offer))
            }
            _ => twice(country_name(fact.country).to_owned()),
        }
    }

    /// Amounts are binary floats, added up as such, noise and all.
    fn reporting(&self, sum: &Sum, question: &ReportRequest) -> Value {
        let money = |amount: f64| json!(amount * question.rate);
        let mut fields: Map<String, Value> = [
            ("imp", json!(sum.impressions)),
            ("total_click", json!(sum.clicks)),
            ("unique_click", json!(sum.clicks)),
            ("invalid_click", json!(0)),
            ("duplicate_click", json!(0)),
            ("cv", json!(sum.conversions)),
            ("view_through_cv", json!(0)),
            ("event", json!(0)),
            ("revenue", money(if question.portal == Portal::Network { sum.revenue } else { sum.payout })),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        if self.reading.knows_on_hold {
            fields.insert("on_hold_conversion_count".to_owned(), json!(sum.on_hold));
        }
        match question.portal {
            Portal::Network => {
                fields.insert("gross_click".to_owned(), json!(sum.clicks));
                fields.insert("invalid_cv_scrub".to_owned(), json!(0));
                fields.insert("total_cv".to_owned(), json!(sum.conversions));
                fields.insert("payout".to_owned(), money(sum.payout));
                fields.insert("profit".to_owned(), money(sum.revenue - sum.payout));
                fields.insert("media_buying_cost".to_owned(), money(sum.cost));
            }
            Portal::Affiliate => {
                fields.insert("redirect_traffic_revenue".to_owned(), json!(0));
            }
        }
        Value::Object(fields)
    }
}

fn timezones() -> Value {
    let list: Vec<Value> = TIMEZONES
        .iter()
        .map(|(id, zone)| {
            json!({ "timezone_id": id, "timezone_name": format!("({zone})"), "timezone": zone, "utc_offset": "+00:00" })
        })
        .collect();
    json!({ "timezones": list })
}

fn country_name(code: &str) -> &str {
    match code {
        "US" => "United States",
        "DE" => "Germany",
        "GB" => "United Kingdom",
        "IN" => "India",
        other => other,
    }
}

#[derive(Default)]
struct Sum {
    impressions: i64,
    clicks: i64,
    conversions: i64,
    on_hold: i64,
    revenue: f64,
    payout: f64,
    cost: f64,
}

impl Sum {
    fn add(&mut self, fact: &Fact) {
        let dollars = |cents: i64| cents as f64 / 100.0;
        self.impressions += fact.impressions;
        self.clicks += fact.clicks;
        self.conversions += fact.conversions;
        self.on_hold += fact.on_hold;
        self.revenue += dollars(fact.revenue);
        self.payout += dollars(fact.payout);
        self.cost += dollars(fact.cost);
    }
}

/// A report's request, checked.
struct ReportRequest {
    portal: Portal,
    from: Date,
    to: Date,
    zone: TimeZone,
    rate: f64,
    columns: Vec<String>,
    filters: BTreeMap<String, Vec<String>>,
    exclusions: BTreeMap<String, Vec<String>>,
}

impl ReportRequest {
    fn read(request: &Request, portal: Portal) -> Result<Self, Refusal> {
        if request.header("content-type") != Some("application/json") {
            return refuse(400, "Content-Type must be application/json");
        }
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return refuse(400, "bad JSON") };
        let (from, to) = (day(&body["from"])?, day(&body["to"])?);
        if from > to || to.duration_since(from).as_hours() / 24 > 366 {
            return refuse(400, "the range must not be longer than 367 days");
        }
        let Some((_, zone)) = TIMEZONES.iter().find(|(id, _)| body["timezone_id"].as_i64() == Some(*id)) else {
            return refuse(400, "timezone_id is required");
        };
        let rate = match body["currency_id"].as_str() {
            Some("USD") => 1.0,
            Some("EUR") => EUR,
            _ => return refuse(400, "currency_id is not valid"),
        };
        let columns = columns(&body["columns"], portal)?;
        let zone = TimeZone::get(zone).expect("a zone");
        let filters = narrows(&body["query"]["filters"])?;
        let exclusions = narrows(&body["query"]["exclusions"])?;
        Ok(Self { portal, from, to, zone, rate, columns, filters, exclusions })
    }
}

fn day(value: &Value) -> Result<Date, Refusal> {
    let text = value.as_str().filter(|text| text.len() == "2026-01-31".len());
    match text.and_then(|text| text.parse().ok()) {
        Some(day) => Ok(day),
        None => refuse(400, "from and to must be YYYY-MM-DD"),
    }
}

fn columns(value: &Value, portal: Portal) -> Result<Vec<String>, Refusal> {
    let asked = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let columns: Vec<String> = asked.iter().filter_map(|column| column["column"].as_str()).map(str::to_owned).collect();
    let known = |column: &str| {
        TIME_COLUMNS.contains(&column)
            || SHARED_COLUMNS.contains(&column)
            || (portal == Portal::Network && NETWORK_COLUMNS.contains(&column))
    };
    if columns.is_empty() || columns.len() > 10 || columns.len() != asked.len() {
        return refuse(400, "between 1 and 10 columns are required");
    }
    if let Some(unknown) = columns.iter().find(|column| !known(column)) {
        return refuse(400, format!("column {unknown} is not supported"));
    }
    if columns.iter().filter(|column| TIME_COLUMNS.contains(&column.as_str())).count() > 1 {
        return refuse(400, "only one time column is allowed");
    }
    Ok(columns)
}

fn narrows(value: &Value) -> Result<BTreeMap<String, Vec<String>>, Refusal> {
    let mut narrows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for narrow in value.as_array().map(Vec::as_slice).unwrap_or_default() {
        let Some(id) = narrow["filter_id_value"].as_str() else {
            return refuse(400, "filter_id_value must be a string");
        };
        if let Some(kind) = narrow["resource_type"].as_str() {
            narrows.entry(kind.to_owned()).or_default().push(id.to_owned());
        }
    }
    Ok(narrows)
}

fn first_instant(day: Date, zone: &TimeZone) -> Timestamp {
    day.to_zoned_datetime(zone.clone()).expect("a day").start_of_day().expect("a start").timestamp()
}
