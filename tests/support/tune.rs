//! A TUNE network inside the test process, as its owner's key and one affiliate's see it.
//!
//! It refuses what the real one refuses, with HTTP status 200 and a sentence that repeats the key, and plays every
//! contested reading of the API through [`Reading`]. Facts lie at instants; days and hours are those of the network's
//! own clock, moved by whole hours where that is asked for, with no regard to clock changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Map, Value, json};

use super::tracker::{Reply, Request, Tracker, carried};

/// The network.
pub const NETWORK_ID: &str = "acme";

pub const NETWORK_KEY: &str = "NETcanaryKeY0123456789abcdef";
/// May not read reports.
pub const NETWORK_KEY_WITHOUT_REPORTS: &str = "NETcanaryKeYwithoutReports00";
/// Is bound to other addresses.
pub const NETWORK_KEY_OF_OTHER_ADDRESSES: &str = "NETcanaryKeYotherAddresses00";
/// Belongs to affiliate [`AFFILIATE`]. It has what has to be encoded in a form.
pub const AFFILIATE_KEY: &str = "canary+AfF/kEy=0123456789&abcdef";

/// The affiliate whose key [`AFFILIATE_KEY`] is.
pub const AFFILIATE: u32 = 7;

/// How many dollars a euro is, where amounts are converted.
const DOLLARS_PER_EURO: i64 = 2;

/// The longest address of a GET.
const LONGEST_ADDRESS: usize = 8 * 1_024;

/// For how long calls are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// How far back reports by source and sub-id go, in days.
const MONTHS_18: i64 = 548;

/// Traffic and conversions of half an hour.
#[derive(Debug, Clone)]
pub struct Fact {
    pub at: Timestamp,
    pub offer: u32,
    pub affiliate: u32,
    pub advertiser: u32,
    /// ISO 3166 alpha-2; blank where it is not known.
    pub country: &'static str,
    pub currency: &'static str,
    /// 0 is an offer's own goal.
    pub goal: u32,
    pub impressions: i64,
    pub clicks: i64,
    pub unique_clicks: i64,
    /// Negative where a correction takes some back.
    pub conversions: i64,
    /// In ten-thousandths.
    pub revenue: i64,
    pub payout: i64,
}

/// How lists are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    List,
    /// An object keyed by number, as PHP writes some.
    Numbered,
}

/// How errors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    List,
    Object,
    Text,
}

/// Where totals are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    InData,
    InResponse,
    Nowhere,
}

/// What `hour_offset` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    Forward,
    Back,
    Never,
}

/// One way to read what the documentation leaves open.
#[derive(Debug, Clone)]
pub struct Reading {
    pub lists: Lists,
    /// Whether rows come in a page that says what it is.
    pub pages: bool,
    /// Whether the page's number comes back as text.
    pub page_as_text: bool,
    pub errors: Errors,
    pub totals: Totals,
    pub shift: Shift,
    /// Columns that this account does not have.
    pub hidden: &'static [&'static str],
    /// Whether amounts are there with their currency in their name.
    pub twins: bool,
    /// Whether they are there without it.
    pub plain: bool,
    /// Whether the rate limit's text is the newer one.
    pub newer_rate_text: bool,
    /// How many calls may be made in ten seconds.
    pub calls: usize,
    /// The longest range that is answered in time, in days.
    pub widest: i64,
    /// A larger limit is refused.
    pub largest_limit: usize,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            lists: Lists::List,
            pages: true,
            page_as_text: false,
            errors: Errors::List,
            totals: Totals::InData,
            shift: Shift::Forward,
            hidden: &[],
            twins: true,
            plain: true,
            newer_rate_text: true,
            calls: 50,
            widest: i64::MAX,
            largest_limit: usize::MAX,
        }
    }
}

/// How it can be out of order, where [`super::tracker::Fault`] is not enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quirk {
    #[default]
    None,
    /// The totals count a click that no row has.
    LyingTotals,
    /// Every page is the first.
    RepeatsItself,
    /// The last row is counted and not sent.
    LosesARow,
    /// Filters are never understood, but that on the date.
    DeafToFilters,
}

/// The network.
pub struct Tune {
    pub facts: Vec<Fact>,
    pub zone: &'static str,
    pub reading: Reading,
    pub quirk: Quirk,
    /// When calls were made.
    pub made: Mutex<VecDeque<Instant>>,
}

impl Default for Tune {
    fn default() -> Self {
        Self::of(sample("2026-10-19T00:00:00Z".parse().expect("an instant"), 17, 600, 7))
    }
}

impl Tune {
    pub fn of(facts: Vec<Fact>) -> Self {
        let (reading, quirk) = (Reading::default(), Quirk::None);
        Self { facts, zone: "America/New_York", reading, quirk, made: Mutex::default() }
    }
}

/// Made-up traffic of so many days.
pub fn sample(start: Timestamp, days: i64, count: usize, seed: u64) -> Vec<Fact> {
    let mut random = fastrand::Rng::with_seed(seed);
    let facts = (0..count).map(|_| {
        let offer = random.u32(11..16);
        // A correction has no clicks.
        let is_correction = random.u8(0..20) == 0;
        let clicks = if is_correction { 0 } else { random.i64(1..60) };
        let conversions = if is_correction { random.i64(-9..0) } else { random.i64(0..5) };
        Fact {
            at: start + SignedDuration::from_mins(30 * random.i64(0..days * 48)),
            offer,
            affiliate: random.u32(6..9),
            advertiser: 50 + offer % 2,
            country: ["US", "DE", "GB", ""][random.usize(0..4)],
            currency: if offer == 15 { "EUR" } else { "USD" },
            goal: random.u32(0..2),
            impressions: random.i64(0..90),
            clicks,
            unique_clicks: clicks / 2,
            conversions,
            revenue: conversions * random.i64(1..90_000),
            payout: conversions * random.i64(1..40_000),
        }
    });
    facts.collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Portal {
    Network,
    Affiliate,
}

/// A refusal, as TUNE words it.
struct Refusal(String);

fn refuse<T>(words: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(words.into()))
}

/// Every parameter of a call, in order.
struct Form(Vec<(String, String)>);

impl Form {
    fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.one(name).ok_or_else(|| Refusal(format!("Missing required argument: {name}")))
    }

    /// The columns with a parameter of this kind: `sort[Stat.date]`.
    fn keyed(&self, kind: &str, rest: &str) -> Vec<(&str, &str)> {
        let place = |name: &str| -> Option<(usize, usize)> {
            let inside = name.strip_prefix(kind)?.strip_prefix('[')?.strip_suffix(rest)?.strip_suffix(']')?;
            let from = kind.len() + 1;
            Some((from, from + inside.len()))
        };
        let pairs = self.0.iter().filter_map(|(name, value)| {
            let (from, to) = place(name)?;
            Some((&name[from..to], value.as_str()))
        });
        pairs.collect()
    }

    fn check(&self) -> Result<(), Refusal> {
        const KNOWN: [&str; 15] = [
            "Target",
            "Method",
            "Format",
            "NetworkId",
            "NetworkToken",
            "api_key",
            "fields[]",
            "groups[]",
            "limit",
            "page",
            "totals",
            "count",
            "data_start",
            "data_end",
            "hour_offset",
        ];
        let is_known =
            |name: &str| KNOWN.contains(&name) || ["sort[", "filters["].iter().any(|kind| name.starts_with(kind));
        match self.0.iter().find(|(name, _)| !is_known(name)) {
            Some((name, _)) => refuse(format!("Unknown argument: {name}")),
            None => Ok(()),
        }
    }
}

impl Tracker for Tune {
    fn answer(&self, request: &Request) -> Reply {
        let form = match request.method.as_str() {
            "POST" if request.header("content-type") != Some("application/x-www-form-urlencoded") => {
                return self.refused(&Form(Vec::new()), "Missing required argument: Target");
            }
            "POST" => form_urlencoded::parse(&request.body).into_owned().chain(request.query.clone()).collect(),
            "GET" => {
                let length: usize = request.query.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
                if length > LONGEST_ADDRESS {
                    return Reply::html(414);
                }
                request.query.clone()
            }
            _ => return Reply::html(405),
        };
        let form = Form(form);
        match request.path.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice() {
            ["Apiv3", "json"] => {}
            [network, "Apiv3", "json"] if *network == NETWORK_ID => {}
            [_, "Apiv3", "json"] => {
                // The key is not looked at.
                let errors = json!({ "publicMessage": "Network id is not valid" });
                return Reply::json(200, &json!({ "response": { "errors": errors, "link": "https://help.example" } }));
            }
            _ => return Reply::html(404),
        }
        if let Err(Refusal(words)) = self.count_call() {
            return self.refused(&form, &words);
        }
        let question = authorise(&form).and_then(|portal| self.question(&form, portal));
        match question {
            Ok(question) if question.days() > self.reading.widest => Reply::html(504),
            Ok(question) if question.limit.is_some_and(|limit| limit > self.reading.largest_limit) => {
                self.refused(&form, &format!("The limit may not exceed {} rows", self.reading.largest_limit))
            }
            Ok(question) => self.report(&form, &question),
            Err(Refusal(words)) => self.refused(&form, &words),
        }
    }
}

fn authorise(form: &Form) -> Result<Portal, Refusal> {
    form.check()?;
    let (target, method) = (form.need("Target")?, form.need("Method")?);
    let (portal, name) = match target {
        "Report" => (Portal::Network, "NetworkToken"),
        "Affiliate_Report" => (Portal::Affiliate, "api_key"),
        other => return refuse(format!("Target {other} does not exist")),
    };
    let key = form.need(name)?;
    match (portal, key) {
        (Portal::Network, NETWORK_KEY) | (Portal::Affiliate, AFFILIATE_KEY) => {}
        (Portal::Network, NETWORK_KEY_WITHOUT_REPORTS) => {
            return refuse(format!("User is not permitted to perform {method} on {target}"));
        }
        (Portal::Network, NETWORK_KEY_OF_OTHER_ADDRESSES) => {
            return refuse("IP 127.0.0.1 is not white-listed. Please contact your administrator.");
        }
        _ => return refuse(format!("{name} {key} is not authenticated")),
    }
    if method == "getStats" { Ok(portal) } else { refuse(format!("Method {method} does not exist")) }
}

/// A report's question, checked.
struct ReportRequest {
    portal: Portal,
    from: Date,
    to: Date,
    hour_offset: i64,
    fields: Vec<String>,
    groups: Vec<String>,
    filters: BTreeMap<String, Vec<String>>,
    is_sorted: bool,
    limit: Option<usize>,
    page: usize,
    totals: bool,
}

impl ReportRequest {
    fn days(&self) -> i64 {
        self.to.duration_since(self.from).as_hours() / 24 + 1
    }
}

const METRICS: [&str; 7] = [
    "Stat.impressions",
    "Stat.clicks",
    "Stat.unique_clicks",
    "Stat.conversions",
    "Stat.payout",
    "Stat.revenue",
    "Stat.profit",
];
const SHARED: [&str; 16] = [
    "Stat.date",
    "Stat.hour",
    "Stat.offer_id",
    "Offer.name",
    "Stat.country_code",
    "Country.name",
    "Stat.currency",
    "Stat.goal_id",
    "Stat.source",
    "Stat.affiliate_info1",
    "Stat.affiliate_info2",
    "Stat.affiliate_info3",
    "Stat.affiliate_info4",
    "Stat.affiliate_info5",
    "Category.name",
    "Goal.name",
];
const OF_NETWORK: [&str; 6] = [
    "Stat.revenue",
    "Stat.profit",
    "Stat.affiliate_id",
    "Affiliate.company",
    "Stat.advertiser_id",
    "Advertiser.company",
];

impl Tune {
    fn question(&self, form: &Form, portal: Portal) -> Result<ReportRequest, Refusal> {
        let texts = |name: &str| form.all(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let (fields, groups) = (texts("fields[]"), texts("groups[]"));
        let filters = filters(form)?;
        let sort = form.keyed("sort", "");
        let used = fields.iter().chain(&groups).chain(filters.keys()).map(String::as_str);
        for column in used.chain(sort.iter().map(|(column, _)| *column)) {
            let known = SHARED.contains(&column) || METRICS.contains(&column) || OF_NETWORK.contains(&column);
            let allowed = portal == Portal::Network || !OF_NETWORK.contains(&column);
            if !known || !allowed || self.reading.hidden.contains(&column) {
                return refuse(format!("Field '{column}' does not exist or is not allowed to be used"));
            }
        }
        if fields.is_empty() {
            return refuse("Missing required argument: fields");
        }
        let day = |text: &str| text.parse::<Date>().map_err(|_| Refusal(format!("{text} is not a date")));
        let (from, to) = match filters.get("Stat.date").map(Vec::as_slice) {
            Some([from, to]) => (day(from)?, day(to)?),
            _ => return refuse("Missing required argument: filters[Stat.date]"),
        };
        let is_short_lived = |column: &String| column == "Stat.source" || column.starts_with("Stat.affiliate_info");
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        if fields.iter().any(is_short_lived) && from < today.saturating_sub(MONTHS_18.days()) {
            return refuse("Data for the requested fields is available for the last 18 months only");
        }
        let number = |name: &str| -> Result<Option<i64>, Refusal> {
            let number =
                form.one(name).map(|text| text.parse().map_err(|_| Refusal(format!("{name} must be an integer"))));
            number.transpose()
        };
        let hour_offset = number("hour_offset")?.unwrap_or_default();
        if form.one("hour_offset").is_some()
            && (day(form.need("data_start")?)?, day(form.need("data_end")?)?) != (from, to)
        {
            return refuse("data_start and data_end must match the filter on Stat.date");
        }
        Ok(ReportRequest {
            portal,
            from,
            to,
            hour_offset,
            fields,
            groups,
            filters,
            is_sorted: !sort.is_empty() && sort.iter().all(|(_, order)| ["asc", "desc"].contains(order)),
            limit: number("limit")?.map(|limit| usize::try_from(limit).expect("a limit")),
            page: number("page")?.map_or(1, |page| usize::try_from(page).expect("a page")),
            totals: form.one("totals") == Some("1"),
        })
    }

    fn count_call(&self) -> Result<(), Refusal> {
        let mut calls = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|at| at.elapsed() < WINDOW);
        calls.push_back(Instant::now());
        let (made, allowed) = (calls.len(), self.reading.calls);
        if made <= allowed {
            return Ok(());
        }
        refuse(if self.reading.newer_rate_text {
            format!(
                "Request could not be completed. API usage exceeded rate limit.  Configured: {allowed}/10s window; Your usage: {made}."
            )
        } else {
            "User has exceeded API rate limit".to_owned()
        })
    }

    fn refused(&self, form: &Form, words: &str) -> Reply {
        let errors = match self.reading.errors {
            Errors::List => json!([{ "publicMessage": words }]),
            Errors::Object => json!({ "publicMessage": words }),
            Errors::Text => json!(words),
        };
        let response = json!({
            "status": -1, "httpStatus": 200, "data": "", "errors": errors, "errorMessage": words,
        });
        Reply::json(200, &json!({ "request": echo(form), "response": response }))
    }

    fn report(&self, form: &Form, question: &ReportRequest) -> Reply {
        let zone = TimeZone::get(self.zone).expect("a zone");
        let hours = match self.reading.shift {
            Shift::Forward => question.hour_offset,
            Shift::Back => -question.hour_offset,
            Shift::Never => 0,
        };
        let shown = |fact: &Fact| zone.to_datetime(fact.at).saturating_add(hours.hours());
        let is_own = |fact: &&Fact| question.portal == Portal::Network || fact.affiliate == AFFILIATE;
        let in_range = |fact: &&Fact| (question.from..=question.to).contains(&shown(fact).date());
        let facts: Vec<&Fact> =
            self.facts.iter().filter(is_own).filter(in_range).filter(|fact| self.passes(fact, question)).collect();
        // Dimensions among the fields split rows whether they are grouped by or not.
        let split: Vec<&str> = question
            .fields
            .iter()
            .chain(&question.groups)
            .map(String::as_str)
            .filter(|column| !METRICS.contains(column) && *column != "Category.name")
            .collect();
        let by_currency = split.contains(&"Stat.currency");
        let mut groups: BTreeMap<Vec<String>, Sum> = BTreeMap::new();
        let mut total = Sum::default();
        for fact in facts {
            let key = split.iter().map(|column| cell(column, fact, shown(fact))).collect();
            groups.entry(key).or_default().add(fact, !by_currency);
            total.add(fact, true);
        }
        let mut rows: Vec<Value> = groups.iter().map(|(key, sum)| self.row(question, &split, key, sum)).collect();
        if question.fields.iter().any(|column| column == "Category.name") {
            // An offer has several categories.
            rows = rows.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
        }
        let count = rows.len();
        let limit = question.limit.unwrap_or(usize::MAX);
        if !question.is_sorted && count > limit {
            // Nothing says in which order they come.
            rows.rotate_left(question.page % count);
        }
        let page = if self.quirk == Quirk::RepeatsItself { 1 } else { question.page };
        let mut rows: Vec<Value> = rows.into_iter().skip(limit.saturating_mul(page - 1)).take(limit).collect();
        if self.quirk == Quirk::LosesARow {
            rows.pop();
        }
        let rows = match self.reading.lists {
            Lists::Numbered if !rows.is_empty() => {
                Value::Object((1..).zip(rows).map(|(place, row): (u32, _)| (place.to_string(), row)).collect())
            }
            _ => Value::Array(rows),
        };
        total.clicks += i64::from(self.quirk == Quirk::LyingTotals);
        let totals = question.totals.then(|| json!({ "Stat": self.numbers(question, &total, None) }));
        let mut response = json!({ "status": 1, "httpStatus": 200, "errors": [], "errorMessage": null });
        response["data"] = if self.reading.pages {
            let number =
                if self.reading.page_as_text { json!(question.page.to_string()) } else { json!(question.page) };
            let pages = count.div_ceil(limit.clamp(1, count.max(1)));
            let mut page = json!({ "page": number, "current": 0, "count": count, "pageCount": pages, "data": rows });
            if by_currency && self.reading.twins {
                page["currency_columns"] = json!(["Stat.payout@USD", "Stat.payout@EUR"]);
            }
            page
        } else {
            rows
        };
        match (self.reading.totals, totals) {
            (Totals::InData, Some(totals)) if self.reading.pages => response["data"]["totals"] = totals,
            (Totals::InResponse, Some(totals)) => response["totals"] = totals,
            _ => {}
        }
        Reply::json(200, &json!({ "request": echo(form), "response": response }))
    }

    fn passes(&self, fact: &Fact, question: &ReportRequest) -> bool {
        let midnight = question.from.at(0, 0, 0, 0);
        self.quirk == Quirk::DeafToFilters
            || question
                .filters
                .iter()
                .filter(|(column, _)| *column != "Stat.date")
                .all(|(column, values)| values.contains(&cell(column, fact, midnight)))
    }

    fn row(&self, question: &ReportRequest, split: &[&str], key: &[String], sum: &Sum) -> Value {
        let at = |column: &str| split.iter().position(|known| *known == column).map(|place| key[place].as_str());
        let mut models: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for (column, value) in split.iter().zip(key) {
            let (model, name) = column.split_once('.').expect("a column");
            let value = if value.is_empty() { Value::Null } else { json!(value) };
            models.entry(model).or_default().insert(name.to_owned(), value);
        }
        models.entry("Stat").or_default().extend(self.numbers(question, sum, at("Stat.currency")));
        json!(models)
    }

    /// All numbers are texts.
    fn numbers(&self, question: &ReportRequest, sum: &Sum, currency: Option<&str>) -> Map<String, Value> {
        let asked = |name: &str| question.fields.iter().any(|field| field.strip_prefix("Stat.") == Some(name));
        let counts = [
            ("impressions", sum.impressions),
            ("clicks", sum.clicks),
            ("unique_clicks", sum.unique_clicks),
            ("conversions", sum.conversions),
        ];
        let mut numbers: Map<String, Value> = counts
            .into_iter()
            .filter(|(name, _)| asked(name))
            .map(|(name, count)| (name.to_owned(), json!(count.to_string())))
            .collect();
        let amounts = [("payout", sum.payout), ("revenue", sum.revenue), ("profit", sum.revenue - sum.payout)];
        for (name, amount) in amounts.into_iter().filter(|(name, _)| asked(name)) {
            let sign = if amount < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:04}", amount.abs() / 10_000, amount.abs() % 10_000);
            if self.reading.plain || currency.is_none() {
                numbers.insert(name.to_owned(), json!(text));
            }
            if let Some(currency) = currency.filter(|_| self.reading.twins) {
                numbers.insert(format!("{name}@{currency}"), json!(text));
            }
        }
        numbers
    }
}

/// What every answer repeats, the key with it.
fn echo(form: &Form) -> Value {
    let parameters: Map<String, Value> = form.0.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut echo = json!({ "Target": form.one("Target"), "Format": "json", "Service": "HasOffers", "Version": "2" });
    echo.as_object_mut().expect("an object").extend(parameters);
    echo
}

fn filters(form: &Form) -> Result<BTreeMap<String, Vec<String>>, Refusal> {
    let conditionals = form.keyed("filters", "[conditional]");
    let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (column, value) in form.keyed("filters", "[values][]") {
        filters.entry(column.to_owned()).or_default().push(value.to_owned());
    }
    for column in filters.keys() {
        let conditional = conditionals.iter().find(|(known, _)| known == column);
        let expected = if column == "Stat.date" { "BETWEEN" } else { "EQUAL_TO" };
        if conditional.map(|(_, conditional)| *conditional) != Some(expected) {
            return refuse(format!("Missing required argument: filters[{column}][conditional]"));
        }
    }
    Ok(filters)
}

/// The value of a column.
fn cell(column: &str, fact: &Fact, shown: DateTime) -> String {
    match column {
        "Stat.date" => shown.date().to_string(),
        "Stat.hour" => shown.hour().to_string(),
        "Stat.offer_id" => fact.offer.to_string(),
        "Offer.name" => format!("Offer {}", fact.offer),
        "Stat.affiliate_id" => fact.affiliate.to_string(),
        "Affiliate.company" => format!("Affiliate {}", fact.affiliate),
        "Stat.advertiser_id" => fact.advertiser.to_string(),
        "Advertiser.company" => format!("Advertiser {}", fact.advertiser),
        "Stat.country_code" => fact.country.to_owned(),
        "Country.name" => match fact.country {
            "US" => "United States".to_owned(),
            "DE" => "Germany".to_owned(),
            "GB" => "United Kingdom".to_owned(),
            other => other.to_owned(),
        },
        "Stat.currency" => fact.currency.to_owned(),
        "Stat.goal_id" => fact.goal.to_string(),
        info if info.starts_with("Stat.affiliate_info") => {
            let number = info.strip_prefix("Stat.affiliate_info").and_then(|number| number.parse().ok());
            carried(number.expect("a number"), fact.country, fact.offer)
        }
        _ => String::new(),
    }
}

#[derive(Debug, Default)]
struct Sum {
    impressions: i64,
    clicks: i64,
    unique_clicks: i64,
    conversions: i64,
    revenue: i64,
    payout: i64,
}

impl Sum {
    /// Adds a fact, its amounts converted into dollars or as they are.
    fn add(&mut self, fact: &Fact, in_dollars: bool) {
        let rate = if in_dollars && fact.currency == "EUR" { DOLLARS_PER_EURO } else { 1 };
        self.impressions += fact.impressions;
        self.clicks += fact.clicks;
        self.unique_clicks += fact.unique_clicks;
        self.conversions += fact.conversions;
        self.revenue += rate * fact.revenue;
        self.payout += rate * fact.payout;
    }
}
