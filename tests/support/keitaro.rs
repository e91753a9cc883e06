//! Keitaro's Admin API over one set of clicks.
//!
//! Clicks and conversions are kept at instants and cut by the zone that a question names, so that a report is right only
//! if it asked for the right stretch of time. What no source settles is a [`Readings`] field, and every value of it is
//! some panel that may exist.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::tracker::{Reply, Request, Tracker, carried};

/// The cells of a row by their columns, and what stands beside them.
type Group = (Vec<(String, Value)>, Sum);

pub const KEY: &str = "canaryke1tar0ke1tar0ke1tar0ke1t";

/// Clicks of one moment that share everything else, and what became of them.
#[derive(Debug, Clone)]
pub struct Event {
    pub at: Timestamp,
    /// How long after the clicks they converted.
    pub delay: SignedDuration,
    pub campaign: u32,
    /// `None` where the clicks never reached an offer.
    pub offer: Option<u32>,
    pub country: &'static str,
    pub clicks: i64,
    pub unique: i64,
    pub leads: i64,
    pub sales: i64,
    pub rejected: i64,
    /// Conversions of a status that the panel's owner made up.
    pub registrations: i64,
    pub revenue: Decimal,
    pub cost: Decimal,
}

/// Id, name, traffic source. One of them never had traffic.
pub const CAMPAIGNS: [(u32, &str, u32); 4] =
    [(7, "Loans DE", 3), (12, "Spring push", 3), (31, "Nutra, \"quoted\"", 5), (40, "Never used", 5)];

/// The name that a renamed campaign had before.
pub const OLD_NAME: &str = "Spring push (old)";

/// Id, name, affiliate network. Two offers have one name, and one belongs to no network.
pub const OFFERS: [(u32, &str, Option<&str>); 4] = [
    (41, "Loans", Some("North Net")),
    (42, "Loans", Some("South Net")),
    (43, "Sweeps", Some("North Net")),
    (44, "Own shop", None),
];

pub const SOURCES: [(u32, &str); 2] = [(3, "Push A"), (5, "Native B")];

pub const COUNTRIES: [(&str, &str); 4] =
    [("DE", "Germany"), ("US", "United States"), ("TR", "Türkiye"), ("CI", "Côte d'Ivoire")];

impl Event {
    pub fn source(&self) -> u32 {
        CAMPAIGNS.iter().find(|(id, ..)| *id == self.campaign).expect("a campaign").2
    }

    pub fn network(&self) -> Option<&'static str> {
        OFFERS.iter().find(|(id, ..)| Some(*id) == self.offer).and_then(|(_, _, network)| *network)
    }
}

/// Some events in every hour from `from` on, always the same ones for the same arguments.
pub fn sample(from: Timestamp, hours: i64) -> Vec<Event> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut pick = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let small = |number: u64| i64::try_from(number).expect("a small number");
    let index = |number: u64| usize::try_from(number).expect("a small number");
    (0..hours * 3)
        .map(|event| {
            let minute = event / 3 * 60 + [0, 15, 59][index(pick(3))];
            let clicks = small(pick(40)) + 1;
            let [leads, sales, rejected, registrations] = [pick(3), pick(3), pick(2), pick(2)].map(small);
            Event {
                at: from + SignedDuration::from_mins(minute),
                delay: SignedDuration::from_hours(small(pick(30))),
                campaign: CAMPAIGNS[index(pick(3))].0,
                offer: OFFERS.get(index(pick(5))).map(|(id, ..)| *id),
                country: COUNTRIES[index(pick(4))].0,
                clicks,
                unique: clicks - small(pick(2)).min(clicks - 1),
                leads,
                sales,
                rejected,
                registrations,
                revenue: Decimal::new(sales * 1_234_567, 5),
                cost: Decimal::new(clicks * 31_713, 6),
            }
        })
        .collect()
}

/// Which members a panel understands, and what it does with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `grouping` and `metrics`; anything else is refused.
    Grouping,
    /// `dimensions` and `measures`; anything else is refused.
    Dimensions,
    /// `dimensions` and `measures`; anything else is ignored, which leaves one row of totals.
    DimensionsIgnoringOthers,
    /// Nothing that anybody knows.
    Neither,
}

/// How a column that does not exist is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    NamesIt,
    ListsOthers,
    Both,
    /// 406, by the member of the question.
    ByMember,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    Mixed,
    Texts,
    Plain,
}

/// What `total` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    Rows,
    Text,
    Absent,
    /// Something smaller.
    Objects,
    /// More rows than there are.
    TooMany,
}

/// What the rows are wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    Rows,
    Data,
    Bare,
    /// Rows are lists, whose columns `meta` names.
    Positions,
}

/// How a day is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Days {
    Plain,
    Midnight,
    /// As nobody can be sure to read.
    Odd,
}

/// How an hour is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hours {
    Number,
    TwoDigits,
    Clock,
    /// With its day.
    Dated,
    Odd,
}

/// How the lack of an entity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blank {
    Null,
    Empty,
    Dash,
    Zero,
}

/// What stands in front of the panel, or in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    Nothing,
    /// A domain that carries campaigns.
    TrafficDomain,
    /// A CDN's challenge.
    Challenge,
    /// A web server's password.
    PasswordWall,
}

/// Which day a conversion counts on: a setting of the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedOn {
    Click,
    Conversion,
}

#[derive(Debug, Clone)]
pub struct Readings {
    pub dialect: Dialect,
    /// Columns that this version does not have.
    pub lacking: Vec<&'static str>,
    /// Whether columns it lacks are left out without a word.
    pub omits_quietly: bool,
    pub objection: Objection,
    pub numbers: Numbers,
    pub total: Total,
    pub wrapping: Wrapping,
    pub days: Days,
    pub hours: Hours,
    pub blank: Blank,
    /// Rows without a value are left out of a grouped report.
    pub drops_blanks: bool,
    /// Rows have more columns than were asked for, rates that are no numbers among them.
    pub more_columns: bool,
    /// `limit` is not heeded.
    pub ignores_limit: bool,
    /// `offset` is not heeded.
    pub ignores_offset: bool,
    /// The most rows a page has, whatever is asked for.
    pub page_cap: Option<usize>,
    /// The largest `limit` that is accepted.
    pub most_rows: Option<usize>,
    /// The key's user may see these campaigns alone.
    pub sees_only: Option<Vec<u32>>,
    /// The key's user may not see reports.
    pub denies_reports: bool,
    /// The edition has no Admin API.
    pub without_api: bool,
    /// A version without this call.
    pub without_reports: bool,
    pub front: Front,
    pub counted_on: CountedOn,
    /// Since when a campaign has its present name.
    pub renamed: Option<(u32, Timestamp)>,
    /// The zone of questions that name none.
    pub own_zone: &'static str,
    /// A name cut in the middle of a character.
    pub broken_name: bool,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            dialect: Dialect::Grouping,
            lacking: Vec::new(),
            omits_quietly: false,
            objection: Objection::Both,
            numbers: Numbers::Mixed,
            total: Total::Rows,
            wrapping: Wrapping::Rows,
            days: Days::Plain,
            hours: Hours::Number,
            blank: Blank::Null,
            drops_blanks: false,
            more_columns: false,
            ignores_limit: false,
            ignores_offset: false,
            page_cap: None,
            most_rows: None,
            sees_only: None,
            denies_reports: false,
            without_api: false,
            without_reports: false,
            front: Front::Nothing,
            counted_on: CountedOn::Click,
            renamed: None,
            own_zone: "Asia/Vladivostok",
            broken_name: false,
        }
    }
}

/// One panel.
#[derive(Debug, Clone)]
pub struct Keitaro {
    pub events: Vec<Event>,
    pub readings: Readings,
    /// Once set, every lead has become a sale of ten.
    pub matured: Arc<AtomicBool>,
}

impl Keitaro {
    pub fn new(events: Vec<Event>) -> Self {
        Self { events, readings: Readings::default(), matured: Arc::default() }
    }

    pub fn reading(mut self, change: impl FnOnce(&mut Readings)) -> Self {
        change(&mut self.readings);
        self
    }
}

/// Sums of events.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sum {
    pub clicks: i64,
    pub unique: i64,
    pub conversions: i64,
    pub leads: i64,
    pub sales: i64,
    pub rejected: i64,
    pub revenue: Decimal,
    pub cost: Decimal,
}

impl Sum {
    fn add(&mut self, part: &Part<'_>, is_matured: bool) {
        let Event { clicks, unique, leads, sales, rejected, registrations, revenue, cost, .. } = *part.event;
        if part.has_clicks {
            self.clicks += clicks;
            self.unique += unique;
            self.cost += cost;
        }
        if part.has_conversions {
            self.conversions += leads + sales + rejected + registrations;
            self.rejected += rejected;
            self.revenue += revenue;
            if is_matured {
                self.sales += leads + sales;
                self.revenue += Decimal::from(leads * 10);
            } else {
                (self.leads, self.sales) = (self.leads + leads, self.sales + sales);
            }
        }
    }

    pub fn of<'a>(parts: impl IntoIterator<Item = Part<'a>>, is_matured: bool) -> Self {
        let mut sum = Self::default();
        parts.into_iter().for_each(|part| sum.add(&part, is_matured));
        sum
    }
}

/// An event, or one side of it, at the instant it counts on.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub at: Timestamp,
    pub event: &'a Event,
    has_clicks: bool,
    has_conversions: bool,
}

/// Where events count.
pub fn parts(events: &[Event], counted_on: CountedOn) -> Vec<Part<'_>> {
    let whole = |event| Part { at: event_at(event), event, has_clicks: true, has_conversions: true };
    fn event_at(event: &Event) -> Timestamp {
        event.at
    }
    match counted_on {
        CountedOn::Click => events.iter().map(whole).collect(),
        CountedOn::Conversion => events
            .iter()
            .flat_map(|event| {
                [
                    Part { has_conversions: false, ..whole(event) },
                    Part { at: event.at + event.delay, has_clicks: false, ..whole(event) },
                ]
            })
            .collect(),
    }
}

const METRICS: [&str; 11] = [
    "clicks",
    "campaign_unique_clicks",
    "conversions",
    "leads",
    "sales",
    "rejected",
    "revenue",
    "cost",
    "cr",
    "epc",
    "roi",
];

const DIMENSIONS: [&str; 23] = [
    "day",
    "hour",
    "day_hour",
    "datetime",
    "campaign_id",
    "campaign",
    "offer_id",
    "offer",
    "affiliate_network",
    "ts_id",
    "ts",
    "country_code",
    "country",
    "sub_id_1",
    "sub_id_2",
    "sub_id_3",
    "sub_id_4",
    "sub_id_5",
    "sub_id_6",
    "sub_id_7",
    "sub_id_8",
    "sub_id_9",
    "sub_id_10",
];

fn refused(status: u16, words: &str) -> Reply {
    Reply::json(status, &json!({"error": words}))
}

fn invalid(member: &str, words: &str) -> Reply {
    Reply::json(406, &json!({member: [words]}))
}

/// Stands for half a character until the answer is written.
const HALF: &str = "<half>";

type Answered<T> = Result<T, Reply>;

impl Tracker for Keitaro {
    fn answer(&self, request: &Request) -> Reply {
        match self.readings.front {
            Front::Nothing => {}
            Front::TrafficDomain => return Reply::html(404),
            Front::Challenge => {
                return Reply::html(403).with_header("cf-mitigated", "challenge").with_header("server", "cloudflare");
            }
            Front::PasswordWall => {
                return Reply::html(401).with_header("www-authenticate", "Basic realm=\"Restricted\"");
            }
        }
        let Some(call) = request.path.strip_prefix("/admin_api/v1/") else {
            return Reply::html(if request.path.starts_with("/admin") { 200 } else { 404 });
        };
        if self.readings.without_api {
            return refused(402, "This feature is not available in that edition");
        }
        if request.header("api-key") != Some(KEY) {
            return refused(401, &format!("Unauthorized: {}", request.header("api-key").unwrap_or_default()));
        }
        let is_limited = self.readings.sees_only.is_some();
        match (request.method.as_str(), call) {
            ("POST", "report/build") if !self.readings.without_reports => match self.report(request) {
                Ok(body) => Reply::text(200, "application/json", body.to_string().replace(HALF, "\\ud83d")),
                Err(refusal) => refusal,
            },
            ("GET", "users") if is_limited => refused(403, "Access denied"),
            ("GET", "users") => Reply::json(200, &json!([{"id": 1, "login": "admin", "type": "ADMIN"}])),
            ("GET", "campaigns") => {
                let campaign = |(id, name, source)| json!({"id": id, "name": name, "traffic_source_id": source});
                Reply::json(200, &CAMPAIGNS.map(campaign).into_iter().collect())
            }
            _ => refused(404, "Not found"),
        }
    }
}

/// What a question asks for.
struct ReportRequest {
    grouping: Vec<String>,
    metrics: Vec<String>,
    limit: Option<usize>,
    offset: usize,
}

impl Keitaro {
    fn report(&self, request: &Request) -> Answered<Value> {
        if request.header("content-type") != Some("application/json") {
            return Err(refused(400, "A JSON body is expected"));
        }
        if self.readings.denies_reports {
            return Err(refused(403, "Access denied"));
        }
        let body: Map<String, Value> =
            serde_json::from_slice(&request.body).map_err(|_| refused(400, "The body is not JSON"))?;
        let question = self.question(&body)?;
        let zone = self.zone(&body)?;
        let parts = self.filtered(&body, self.in_range(&body, &zone)?)?;
        let mut rows = self.rows(&question.grouping, &parts, &zone);
        sort(&body, &mut rows)?;
        let total = rows.len();
        let offset = if self.readings.ignores_offset { 0 } else { question.offset };
        let limit = question.limit.filter(|_| !self.readings.ignores_limit).unwrap_or(usize::MAX);
        let limit = limit.min(self.readings.page_cap.unwrap_or(usize::MAX));
        let page: Vec<Map<String, Value>> =
            rows.into_iter().skip(offset).take(limit).map(|(cells, sum)| self.row(&question, cells, &sum)).collect();
        Ok(self.wrap(page, total))
    }

    fn question(&self, body: &Map<String, Value>) -> Answered<ReportRequest> {
        let (grouping, metrics) = match self.readings.dialect {
            Dialect::Grouping => ("grouping", "metrics"),
            Dialect::Dimensions | Dialect::DimensionsIgnoringOthers => ("dimensions", "measures"),
            Dialect::Neither => return Err(refused(400, "This question is not understood")),
        };
        let known = [grouping, metrics, "range", "columns", "filters", "sort", "limit", "offset", "summary"];
        if self.readings.dialect != Dialect::DimensionsIgnoringOthers
            && let Some(member) = body.keys().find(|member| !known.contains(&member.as_str()))
        {
            return Err(invalid(member, "This member was not expected"));
        }
        let names = |member: &str| -> Answered<Vec<String>> {
            let Some(list) = body.get(member) else { return Ok(Vec::new()) };
            let texts =
                list.as_array().and_then(|list| list.iter().map(|name| Some(name.as_str()?.to_owned())).collect());
            texts.ok_or_else(|| invalid(member, "A list of columns is expected"))
        };
        let number = |member: &str| -> Answered<Option<usize>> {
            let Some(number) = body.get(member) else { return Ok(None) };
            let number = number.as_u64().and_then(|number| usize::try_from(number).ok());
            number.map(Some).ok_or_else(|| invalid(member, "A number is expected"))
        };
        let mut question = ReportRequest {
            grouping: names(grouping)?,
            metrics: names(metrics)?,
            limit: number("limit")?,
            offset: number("offset")?.unwrap_or(0),
        };
        if let (Some(limit), Some(most)) = (question.limit, self.readings.most_rows)
            && limit > most
        {
            return Err(invalid("limit", &format!("must not be more than {most}")));
        }
        for (member, asked, known) in
            [(grouping, &mut question.grouping, &DIMENSIONS[..]), (metrics, &mut question.metrics, &METRICS[..])]
        {
            let has = |name: &str| known.contains(&name) && !self.readings.lacking.contains(&name);
            if self.readings.omits_quietly {
                asked.retain(|name| has(name));
            } else if let Some(name) = asked.iter().find(|name| !has(name)) {
                return Err(self.unknown_column(member, name));
            }
        }
        if question.metrics.is_empty() {
            question.metrics = vec!["clicks".to_owned(), "conversions".to_owned()];
        }
        Ok(question)
    }

    fn unknown_column(&self, member: &str, name: &str) -> Reply {
        let all = DIMENSIONS.iter().chain(&METRICS).filter(|known| !self.readings.lacking.contains(known));
        let list = all.copied().collect::<Vec<_>>().join(", ");
        match self.readings.objection {
            Objection::NamesIt => refused(400, &format!("Unknown column \"{name}\"")),
            Objection::ListsOthers => refused(400, &format!("Invalid column. Allowed: {list}")),
            Objection::Both => refused(400, &format!("Unknown column \"{name}\". Allowed columns: {list}")),
            Objection::ByMember => invalid(member, &format!("{name} is not allowed")),
        }
    }

    fn zone(&self, body: &Map<String, Value>) -> Answered<TimeZone> {
        let name = body.get("range").and_then(|range| range.get("timezone")).and_then(Value::as_str);
        TimeZone::get(name.unwrap_or(self.readings.own_zone)).map_err(|_| invalid("range", "Unknown timezone"))
    }

    fn in_range<'a>(&'a self, body: &Map<String, Value>, zone: &TimeZone) -> Answered<Vec<Part<'a>>> {
        let sees = |event: &Event| self.readings.sees_only.as_ref().is_none_or(|ids| ids.contains(&event.campaign));
        let parts = parts(&self.events, self.readings.counted_on).into_iter().filter(|part| sees(part.event));
        let Some(range) = body.get("range") else { return Ok(parts.collect()) };
        if range.get("interval").is_some() {
            return Err(invalid("range", "This simulator expects dates"));
        }
        let end = |name: &str, is_last: bool| -> Answered<DateTime> {
            let text = range.get(name).and_then(Value::as_str).ok_or_else(|| invalid("range", "from and to"))?;
            if let Ok(clock) = DateTime::strptime("%Y-%m-%d %H:%M:%S", text) {
                return Ok(clock);
            }
            let day: Date = Date::strptime("%Y-%m-%d", text).map_err(|_| invalid("range", "Invalid date"))?;
            Ok(if is_last { day.at(23, 59, 59, 0) } else { day.at(0, 0, 0, 0) })
        };
        let (from, to) = (end("from", false)?, end("to", true)?);
        Ok(parts.filter(|part| (from..=to).contains(&zone.to_datetime(part.at))).collect())
    }

    fn filtered<'a>(&self, body: &Map<String, Value>, mut parts: Vec<Part<'a>>) -> Answered<Vec<Part<'a>>> {
        let Some(filters) = body.get("filters") else { return Ok(parts) };
        for filter in filters.as_array().ok_or_else(|| invalid("filters", "A list is expected"))? {
            let member = |name: &str| filter.get(name).ok_or_else(|| invalid("filters", name));
            let name = member("name")?.as_str().unwrap_or_default();
            let operator = member("operator")?.as_str().unwrap_or_default();
            let expression = member("expression")?;
            if !DIMENSIONS.contains(&name) || self.readings.lacking.contains(&name) {
                return Err(self.unknown_column("filters", name));
            }
            let listed = |value: &str| {
                let is = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned) == value;
                expression.as_array().map_or_else(|| is(expression), |list| list.iter().any(is))
            };
            // Times are compared in UTC, whatever the zone of the range is.
            let value = |part: &Part<'_>| text(&self.cell(name, part, &TimeZone::UTC));
            match operator {
                "EQUALS" | "IN_LIST" => parts.retain(|part| listed(&value(part))),
                "NOT_EQUAL" | "NOT_IN_LIST" => parts.retain(|part| !listed(&value(part))),
                "BETWEEN" => {
                    let bound = |place: usize| expression.get(place).and_then(Value::as_str).unwrap_or_default();
                    let (low, high) = (bound(0), bound(1));
                    parts.retain(|part| (low..=high).contains(&value(part).as_str()));
                }
                _ => return Err(invalid("filters", "Unknown operator")),
            }
        }
        Ok(parts)
    }

    fn rows(&self, grouping: &[String], parts: &[Part<'_>], zone: &TimeZone) -> Vec<Group> {
        let is_matured = self.matured.load(Ordering::SeqCst);
        let mut groups: BTreeMap<Vec<String>, Group> = BTreeMap::new();
        for part in parts {
            let cells: Vec<(String, Value)> =
                grouping.iter().map(|name| (name.clone(), self.cell(name, part, zone))).collect();
            if self.readings.drops_blanks && cells.iter().any(|(_, value)| *value == self.blank()) {
                continue;
            }
            let key = cells.iter().map(|(_, value)| text(value)).collect();
            groups.entry(key).or_insert_with(|| (cells, Sum::default())).1.add(part, is_matured);
        }
        if grouping.is_empty() && groups.is_empty() {
            return vec![(Vec::new(), Sum::default())];
        }
        groups.into_values().collect()
    }

    fn cell(&self, name: &str, part: &Part<'_>, zone: &TimeZone) -> Value {
        let event = part.event;
        let local = zone.to_datetime(part.at);
        let named = |name: Option<&str>| name.map_or_else(|| self.blank(), |name| json!(name));
        let offer = OFFERS.iter().find(|(id, ..)| Some(*id) == event.offer);
        match name {
            "day" => match self.readings.days {
                Days::Plain => json!(local.date().to_string()),
                Days::Midnight => json!(format!("{} 00:00:00", local.date())),
                Days::Odd => json!(local.strftime("%d.%m.%Y").to_string()),
            },
            "hour" => match self.readings.hours {
                Hours::Number => json!(local.hour()),
                Hours::TwoDigits => json!(format!("{:02}", local.hour())),
                Hours::Clock => json!(format!("{:02}:00", local.hour())),
                Hours::Dated => json!(local.strftime("%Y-%m-%d %H:00").to_string()),
                Hours::Odd => json!(format!("{} o'clock", local.hour())),
            },
            sub if sub.starts_with("sub_id_") => {
                let number = sub.strip_prefix("sub_id_").and_then(|number| number.parse().ok()).expect("a number");
                match (event.offer, self.readings.blank) {
                    (Some(offer), _) => json!(carried(number, event.country, offer)),
                    (None, Blank::Null) => Value::Null,
                    (None, _) => json!(""),
                }
            }
            "day_hour" => json!(local.strftime("%Y-%m-%d %H:00:00").to_string()),
            "datetime" => json!(local.strftime("%Y-%m-%d %H:%M:%S").to_string()),
            "campaign_id" => json!(event.campaign),
            "campaign" => json!(self.campaign_name(part)),
            "offer_id" => event.offer.map_or_else(|| self.blank(), |id| json!(id)),
            "offer" => named(offer.map(|(_, name, _)| *name)),
            "affiliate_network" => named(event.network()),
            "ts_id" => json!(event.source().to_string()),
            "ts" => json!(SOURCES.iter().find(|(id, _)| *id == event.source()).expect("a source").1),
            "country_code" => json!(event.country.to_lowercase()),
            "country" => json!(COUNTRIES.iter().find(|(code, _)| *code == event.country).expect("a country").1),
            _ => json!(""),
        }
    }

    fn campaign_name(&self, part: &Part<'_>) -> &'static str {
        if self.readings.renamed.is_some_and(|(id, since)| id == part.event.campaign && part.at < since) {
            return OLD_NAME;
        }
        CAMPAIGNS.iter().find(|(id, ..)| *id == part.event.campaign).expect("a campaign").1
    }

    fn blank(&self) -> Value {
        match self.readings.blank {
            Blank::Null => Value::Null,
            Blank::Empty => json!(""),
            Blank::Dash => json!("-"),
            Blank::Zero => json!(0),
        }
    }

    fn row(&self, question: &ReportRequest, cells: Vec<(String, Value)>, sum: &Sum) -> Map<String, Value> {
        let count = |number: i64, is_text: bool| match self.readings.numbers {
            Numbers::Texts => json!(number.to_string()),
            Numbers::Mixed if is_text => json!(number.to_string()),
            Numbers::Mixed | Numbers::Plain => json!(number),
        };
        let amount = |amount: Decimal, is_text: bool| match self.readings.numbers {
            Numbers::Plain => number(amount),
            Numbers::Mixed if !is_text => number(amount),
            Numbers::Mixed | Numbers::Texts => json!(amount.to_string()),
        };
        let rate = |over: Decimal| {
            if sum.clicks == 0 { json!("NaN") } else { json!((over / Decimal::from(sum.clicks)).to_string()) }
        };
        let mut row: Map<String, Value> = cells.into_iter().collect();
        let more = ["cr", "epc", "roi"].map(str::to_owned);
        for name in question.metrics.iter().chain(more.iter().filter(|_| self.readings.more_columns)) {
            let value = match name.as_str() {
                "clicks" => count(sum.clicks, false),
                "campaign_unique_clicks" => count(sum.unique, true),
                "conversions" => count(sum.conversions, false),
                "leads" => count(sum.leads, true),
                "sales" => count(sum.sales, false),
                "rejected" => count(sum.rejected, false),
                "revenue" => amount(sum.revenue, true),
                "cost" => amount(sum.cost, false),
                "roi" => json!("NaN"),
                _ => rate(sum.revenue),
            };
            row.insert(name.clone(), value);
        }
        row
    }

    fn wrap(&self, rows: Vec<Map<String, Value>>, total: usize) -> Value {
        let columns: Vec<String> = rows.first().into_iter().flat_map(|row| row.keys().cloned()).collect();
        let rows: Vec<Value> = rows
            .into_iter()
            .map(|row| match self.readings.wrapping {
                Wrapping::Positions => columns.iter().map(|name| row[name].clone()).collect(),
                Wrapping::Rows | Wrapping::Data | Wrapping::Bare => Value::Object(row),
            })
            .collect();
        let mut report = json!({"rows": rows, "meta": {"body": rows.len(), "summary": 1, "count": total}});
        let total = match self.readings.total {
            Total::Rows => json!(total),
            Total::Text => json!(total.to_string()),
            Total::Objects => json!(total / 2),
            Total::TooMany => json!(total + 3),
            Total::Absent => Value::Null,
        };
        if self.readings.total != Total::Absent {
            report["total"] = total;
        }
        if self.readings.broken_name {
            for row in report["rows"].as_array_mut().into_iter().flatten() {
                if let Some(name) = row.get_mut("campaign") {
                    *name = json!(format!("{}{HALF}", name.as_str().unwrap_or_default()));
                }
            }
        }
        match self.readings.wrapping {
            Wrapping::Rows => report,
            Wrapping::Data => json!({"data": report}),
            Wrapping::Bare => report["rows"].take(),
            Wrapping::Positions => {
                report["meta"]["columns"] = json!(columns);
                report
            }
        }
    }
}

fn sort(body: &Map<String, Value>, rows: &mut [(Vec<(String, Value)>, Sum)]) -> Answered<()> {
    let Some(sort) = body.get("sort") else { return Ok(()) };
    let sort = sort.as_array().ok_or_else(|| invalid("sort", "A list is expected"))?;
    for one in sort.iter().rev() {
        let name = one.get("name").and_then(Value::as_str).ok_or_else(|| invalid("sort", "name"))?;
        let is_descending = match one.get("order").and_then(Value::as_str) {
            Some(order) if order.eq_ignore_ascii_case("asc") => false,
            Some(order) if order.eq_ignore_ascii_case("desc") => true,
            _ => return Err(invalid("sort", "order")),
        };
        let cell = |cells: &[(String, Value)]| -> (u64, String) {
            let value =
                cells.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default();
            (value.as_u64().unwrap_or_default(), text(&value))
        };
        rows.sort_by(|(one, _), (other, _)| {
            let order = cell(one).cmp(&cell(other));
            if is_descending { order.reverse() } else { order }
        });
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A number as JSON writes it, with all its digits.
fn number(amount: Decimal) -> Value {
    serde_json::from_str(&amount.to_string()).expect("a number")
}
