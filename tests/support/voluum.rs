//! A Voluum that lives in the test process.
//!
//! Its data are hits in UTC hours, from which every report is computed. It refuses what Voluum is known to refuse, and
//! also parameters that Voluum would silently ignore, because sending one would be a mistake. Where it is not known
//! which way Voluum goes, [`Readings`] says which way this one does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};
use rust_decimal::Decimal;
use serde_json::json;

use super::tracker::{Reply, Request, Tracker, carried};

/// Traffic of one hour.
#[derive(Debug, Clone)]
pub struct Hit {
    pub at: Timestamp,
    pub campaign: String,
    pub offer: String,
    pub network: String,
    pub source: String,
    pub country: String,
    /// Whether campaign and offer are archived by now.
    pub archived: bool,
    pub impressions: i64,
    pub visits: i64,
    pub unique_visits: i64,
    /// Click-throughs of a landing page, which nobody must take for clicks.
    pub lander_clicks: i64,
    pub conversions: i64,
    pub revenue: Decimal,
    pub cost: Decimal,
    /// How many hours later its conversions came.
    pub matures_after: i64,
}

impl Hit {
    /// An hour's traffic of entities named after `name`, with numbers that follow from `size`.
    pub fn new(at: &str, name: &str, size: i64) -> Self {
        Self {
            at: at.parse().expect("an instant"),
            campaign: format!("campaign-{name}"),
            offer: format!("offer-{name}"),
            network: format!("network-{name}"),
            source: format!("source-{name}"),
            country: "DE".to_owned(),
            archived: false,
            impressions: size * 7,
            visits: size * 3,
            unique_visits: size * 2,
            lander_clicks: size,
            conversions: size / 2,
            revenue: Decimal::new(size * 1_234_567, 5),
            cost: Decimal::new(size * 333, 3),
            matures_after: 0,
        }
    }
}

/// The zone in which times are read that end in `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The report's.
    Local,
    /// UTC.
    Utc,
}

/// How the hour of the day is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HourForm {
    Number,
    Digits,
    Padded,
    Time,
    Span,
}

/// Everything that Voluum's documents leave open.
#[derive(Debug, Clone)]
pub struct Readings {
    pub clock: Clock,
    pub hours: HourForm,
    /// A larger limit is silently cut down to this.
    pub most_rows: usize,
    /// A larger limit is refused.
    pub largest_limit: usize,
    /// A longer range of hours is refused.
    pub most_days_by_hour: i64,
    /// Spellings of `groupBy` that are not understood.
    pub unheard_of: BTreeSet<&'static str>,
    /// Whether `day` and `hour-of-day` group together.
    pub hours_of_days: bool,
    /// Columns that are lost as soon as a list of columns is sent.
    pub lost_columns: BTreeSet<&'static str>,
    /// Whether only metrics can be sorted by.
    pub sorts_by_metrics_only: bool,
    /// Whether the table claims to be cut short although all rows came.
    pub claims_truncation: bool,
    /// Whether the totals leave some traffic out.
    pub wrong_totals: bool,
    /// Whether the user of the key may read reports.
    pub may_report: bool,
    /// How many hours after the login a session is said to end; `None` if nothing is said.
    pub lifetime: Option<i64>,
    /// What a report answers instead of a table, with a good or bad status.
    pub instead: Option<Reply>,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            clock: Clock::Local,
            hours: HourForm::Number,
            most_rows: usize::MAX,
            largest_limit: usize::MAX,
            most_days_by_hour: i64::MAX,
            unheard_of: BTreeSet::new(),
            hours_of_days: true,
            lost_columns: BTreeSet::new(),
            sorts_by_metrics_only: false,
            claims_truncation: false,
            wrong_totals: false,
            may_report: true,
            lifetime: Some(4),
            instead: None,
        }
    }
}

/// The access key that is known here.
pub const ACCESS_ID: &str = "canary-access-id-4f1b";
/// Its secret.
pub const ACCESS_KEY: &str = "canary-access-key-/9c\"2e";
/// What every session token begins with.
pub const TOKEN_PREFIX: &str = "canary-token-";
/// The currency of the account.
pub const ACCOUNT_CURRENCY: &str = "EUR";

/// The tracker; clones are the same one.
#[derive(Clone)]
pub struct Voluum {
    readings: Readings,
    state: Arc<Mutex<State>>,
}

struct State {
    hits: Vec<Hit>,
    /// Traffic that comes in before the report call of this number.
    arrivals: Vec<(usize, Hit)>,
    reports: usize,
    sessions: BTreeSet<String>,
    logins: usize,
    accepts_key: bool,
    /// Report calls still answered 401 although their session lives.
    distrust: usize,
}

impl Voluum {
    pub fn new(hits: Vec<Hit>, readings: Readings) -> Self {
        let state = State {
            hits,
            arrivals: Vec::new(),
            reports: 0,
            sessions: BTreeSet::new(),
            logins: 0,
            accepts_key: true,
            distrust: 0,
        };
        Self { readings, state: Arc::new(Mutex::new(state)) }
    }

    /// Ends all sessions.
    pub fn kill_sessions(&self) {
        self.state().sessions.clear();
    }

    /// Deletes the access key, which ends its sessions too.
    pub fn revoke_key(&self) {
        self.state().accepts_key = false;
        self.kill_sessions();
    }

    /// Refuses the sessions of the next report calls.
    pub fn distrust(&self, calls: usize) {
        self.state().distrust = calls;
    }

    /// Has traffic come in just before the report call of this number, counted from 1.
    pub fn arrives_before(&self, call: usize, hit: Hit) {
        self.state().arrivals.push((call, hit));
    }

    /// How often somebody tried to log in.
    pub fn logins(&self) -> usize {
        self.state().logins
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_in(&self, request: &Request) -> Reply {
        let mut state = self.state();
        state.logins += 1;
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let is_json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        let (Some(id), Some(key)) = (body["accessId"].as_str(), body["accessKey"].as_str()) else {
            return refusal(400, "BAD_REQUEST", "accessId and accessKey are wanted");
        };
        if !is_json || request.method != "POST" {
            return refusal(400, "BAD_REQUEST", "JSON is wanted");
        }
        if !state.accepts_key || (id, key) != (ACCESS_ID, ACCESS_KEY) {
            return refusal(401, "BAD_CREDENTIALS", &format!("no such key: {id} {key}"));
        }
        let token = format!("{TOKEN_PREFIX}{}", state.logins);
        state.sessions.insert(token.clone());
        let mut body = json!({ "token": token, "inaugural": false });
        if let Some(hours) = self.readings.lifetime {
            let expires = Timestamp::now() + hours.hours();
            body["expirationTimestamp"] = json!(format!("{expires:.3}"));
        }
        Reply::json(200, &body)
    }

    fn report(&self, request: &Request) -> Reply {
        let mut state = self.state();
        let token = request.header("cwauth-token").unwrap_or_default();
        if state.distrust > 0 || !state.sessions.contains(token) {
            state.distrust = state.distrust.saturating_sub(1);
            return refusal(401, "SESSION_NOT_FOUND", &format!("session {token} is over"));
        }
        if !self.readings.may_report {
            return refusal(403, "FORBIDDEN", &format!("not with {token}"));
        }
        state.reports += 1;
        let call = state.reports;
        let (due, later) = std::mem::take(&mut state.arrivals).into_iter().partition(|(before, _)| *before <= call);
        state.arrivals = later;
        state.hits.extend(due.into_iter().map(|(_, hit): (usize, Hit)| hit));
        if let Some(instead) = &self.readings.instead {
            return instead.clone();
        }
        match Query::read(request, &self.readings) {
            Ok(query) => query.answer(&state.hits, &self.readings),
            Err(reply) => reply,
        }
    }
}

impl Tracker for Voluum {
    fn answer(&self, request: &Request) -> Reply {
        match request.path.as_str() {
            "/auth/access/session" => self.log_in(request),
            "/report" if request.method == "GET" => self.report(request),
            _ => refusal(404, "NOT_FOUND", "no such resource"),
        }
    }
}

/// A refusal in Voluum's shape.
pub fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({
        "error": { "code": code, "description": "", "messages": [message], "webRequestId": "req-0", "time": "2026-11-23T10:00:00.000+0000" },
        "typeName": "refusal", "typeCode": [status, 0], "status": code,
    });
    Reply::json(status, &body)
}

const VARIABLES: [&str; 10] = [
    "customVariable1",
    "customVariable2",
    "customVariable3",
    "customVariable4",
    "customVariable5",
    "customVariable6",
    "customVariable7",
    "customVariable8",
    "customVariable9",
    "customVariable10",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Day,
    Hour,
    Campaign,
    Offer,
    Network,
    Source,
    Country,
    Variable(usize),
}

impl Group {
    fn find(spelling: &str) -> Option<Self> {
        Some(match spelling {
            "day" => Self::Day,
            "hour-of-day" | "hourOfDay" => Self::Hour,
            "campaign" | "campaignId" => Self::Campaign,
            "offer" | "offerId" => Self::Offer,
            "affiliateNetworkId" | "affiliate-network" => Self::Network,
            "trafficSourceId" | "traffic-source" => Self::Source,
            "country-code" | "countryCode" => Self::Country,
            variable => {
                let number = variable.strip_prefix("custom-variable-").or(variable.strip_prefix("customVariable"))?;
                Self::Variable(number.parse().ok().filter(|number| (1..=10).contains(number))?)
            }
        })
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Day => &["day"],
            Self::Hour => &["hourOfDay"],
            Self::Campaign => &["campaignId", "campaignName"],
            Self::Offer => &["offerId", "offerName"],
            Self::Network => &["affiliateNetworkId", "affiliateNetworkName"],
            Self::Source => &["trafficSourceId", "trafficSourceName"],
            Self::Country => &["countryCode", "countryName"],
            Self::Variable(number) => &VARIABLES[number - 1..number],
        }
    }

    fn value(self, hit: &Hit, zone: &TimeZone) -> String {
        let local = zone.to_datetime(hit.at);
        match self {
            Self::Day => local.date().to_string(),
            Self::Hour => format!("{:02}", local.hour()),
            Self::Campaign => hit.campaign.clone(),
            Self::Offer => hit.offer.clone(),
            Self::Network => hit.network.clone(),
            Self::Source => hit.source.clone(),
            Self::Country => hit.country.clone(),
            Self::Variable(number) => {
                let offer = hit.offer.bytes().map(u32::from).sum();
                // Some links carry nothing.
                carried(number, if hit.offer.ends_with('c') { "" } else { &hit.country }, offer)
            }
        }
    }

    fn is_entity(self) -> bool {
        !matches!(self, Self::Day | Self::Hour | Self::Variable(_))
    }
}

const METRICS: [&str; 8] =
    ["impressions", "visits", "uniqueVisits", "clicks", "conversions", "revenue", "cost", "profit"];

struct Query {
    groups: Vec<Group>,
    from: Timestamp,
    to: Timestamp,
    zone: TimeZone,
    columns: Option<BTreeSet<String>>,
    archived_too: bool,
    by_conversion: bool,
    sort: String,
    descending: bool,
    limit: usize,
    offset: usize,
    rate: Decimal,
}

impl Query {
    fn read(request: &Request, readings: &Readings) -> Result<Self, Reply> {
        const KNOWN: [&str; 11] = [
            "from",
            "to",
            "tz",
            "groupBy",
            "column",
            "include",
            "conversionTimeMode",
            "sort",
            "direction",
            "limit",
            "offset",
        ];
        for (name, _) in &request.query {
            if !KNOWN.contains(&name.as_str()) && name != "currency" {
                return Err(refusal(400, "SIMULATOR", &format!("{name} would be ignored")));
            }
        }
        let bad = |message: &str| refusal(400, "BAD_REQUEST", message);
        let invalid = |message: &str| refusal(400, "INVALID_QUERY", message);
        let spellings = request.params("groupBy");
        if spellings.is_empty() {
            return Err(refusal(400, "PARAMETER_MISSING", "groupBy"));
        }
        let groups: Vec<Group> = spellings
            .iter()
            .map(|spelling| {
                Group::find(spelling)
                    .filter(|_| !readings.unheard_of.contains(spelling))
                    .ok_or_else(|| invalid(spelling))
            })
            .collect::<Result<_, _>>()?;
        if !readings.hours_of_days && groups.contains(&Group::Day) && groups.contains(&Group::Hour) {
            return Err(invalid("day and hour-of-day"));
        }
        let zone = TimeZone::get(request.param("tz").unwrap_or_default()).map_err(|_| bad("tz"))?;
        let time = |name: &str| -> Result<Timestamp, Reply> {
            let text = request.param(name).ok_or_else(|| refusal(400, "PARAMETER_MISSING", name))?;
            let wall: DateTime = text
                .strip_suffix(":00:00Z")
                .and_then(|hour| format!("{hour}:00").parse().ok())
                .ok_or_else(|| bad("Invalid time format"))?;
            let clock = if readings.clock == Clock::Utc { TimeZone::UTC } else { zone.clone() };
            // A strict reader: a wall-clock time that never was is none.
            let read = clock.to_ambiguous_zoned_datetime(wall);
            if matches!(read.offset(), AmbiguousOffset::Gap { .. }) {
                return Err(bad("Invalid time"));
            }
            read.compatible().map(|zoned| zoned.timestamp()).map_err(|_| bad("Invalid time"))
        };
        let columns: BTreeSet<String> = request.params("column").into_iter().map(str::to_owned).collect();
        let there =
            |column: &str| METRICS.contains(&column) || groups.iter().any(|group| group.columns().contains(&column));
        if let Some(strange) = columns.iter().find(|column| !there(column)) {
            return Err(invalid(strange));
        }
        let sort = request.param("sort").unwrap_or("visits");
        let direction = request.param("direction").unwrap_or("desc");
        let sortable = there(sort) && (METRICS.contains(&sort) || !readings.sorts_by_metrics_only);
        if !sortable || !matches!(direction, "asc" | "desc") {
            return Err(invalid("sort"));
        }
        if !matches!(request.param("conversionTimeMode"), None | Some("VISIT" | "CONVERSION")) {
            return Err(bad("conversionTimeMode"));
        }
        let number = |name: &str, default: usize| match request.param(name) {
            Some(text) => text.parse::<usize>().map_err(|_| bad(name)),
            None => Ok(default),
        };
        let limit = number("limit", 100)?;
        if limit > readings.largest_limit {
            return Err(bad("limit"));
        }
        let (from, to) = (time("from")?, time("to")?);
        // A day of a clock change has an hour more.
        let hours = (to - from).as_hours();
        if groups.contains(&Group::Hour) && hours > readings.most_days_by_hour.saturating_mul(24).saturating_add(1) {
            return Err(bad("the range is too long for hours"));
        }
        Ok(Self {
            from,
            to,
            columns: (!columns.is_empty()).then_some(columns),
            archived_too: match request.param("include").unwrap_or("ACTIVE") {
                "ALL" => true,
                "ACTIVE" => false,
                _ => return Err(bad("include")),
            },
            by_conversion: request.param("conversionTimeMode") == Some("CONVERSION"),
            sort: sort.to_owned(),
            descending: direction == "desc",
            limit: limit.min(readings.most_rows),
            offset: number("offset", 0)?,
            rate: match request.param("currency").unwrap_or(ACCOUNT_CURRENCY) {
                "EUR" => Decimal::ONE,
                "USD" => Decimal::new(125, 2),
                _ => return Err(bad("currency")),
            },
            groups,
            zone,
        })
    }

    /// A hit on the days that it counts on: its conversions may have a day of their own.
    fn counted(&self, hit: &Hit) -> Vec<Hit> {
        if !self.by_conversion {
            return vec![hit.clone()];
        }
        let visits = Hit { conversions: 0, revenue: Decimal::ZERO, ..hit.clone() };
        let conversions = Hit {
            at: hit.at + SignedDuration::from_hours(hit.matures_after),
            impressions: 0,
            visits: 0,
            unique_visits: 0,
            lander_clicks: 0,
            cost: Decimal::ZERO,
            ..hit.clone()
        };
        vec![visits, conversions]
    }

    fn answer(&self, hits: &[Hit], readings: &Readings) -> Reply {
        let mut rows: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
        let mut totals = Sums::default();
        let hits: Vec<Hit> = hits.iter().flat_map(|hit| self.counted(hit)).collect();
        for hit in hits.iter().filter(|hit| self.archived_too || !hit.archived) {
            let key: Vec<String> = self.groups.iter().map(|group| group.value(hit, &self.zone)).collect();
            if (self.from..self.to).contains(&hit.at) {
                rows.entry(key).or_default().add(hit, self.rate);
                totals.add(hit, self.rate);
            } else if self.archived_too && self.groups.iter().all(|group| group.is_entity()) {
                rows.entry(key).or_default();
            }
        }
        if readings.wrong_totals {
            totals.counts[1] += 1;
        }
        let mut lines: Vec<BTreeMap<String, Cell>> =
            rows.iter().map(|(key, sums)| self.line(key, sums, readings)).collect();
        lines.sort_by(|a, b| {
            let order = a[&self.sort].cmp(&b[&self.sort]);
            if self.descending { order.reverse() } else { order }
        });
        let total_rows = lines.len();
        let page: Vec<String> =
            lines.iter().skip(self.offset).take(self.limit).map(|line| self.print(line, readings)).collect();
        let truncated = readings.claims_truncation || self.offset + page.len() < total_rows;
        let body = format!(
            r#"{{"limit":{},"offset":{},"truncated":{truncated},"messages":[],"totalRows":{total_rows},"totals":{},"columnMappings":[],"rows":[{}],"responseParams":{{}}}}"#,
            self.limit,
            self.offset,
            print(&totals.cells()),
            page.join(","),
        );
        Reply::text(200, "application/json; charset=utf-8", body)
    }

    fn line(&self, key: &[String], sums: &Sums, readings: &Readings) -> BTreeMap<String, Cell> {
        let mut line = sums.cells();
        for (group, value) in self.groups.iter().zip(key) {
            let cell = if *group == Group::Hour { hour(value, readings.hours) } else { Cell::Text(value.clone()) };
            for (place, column) in group.columns().iter().enumerate() {
                let cell =
                    if place > 0 && !value.is_empty() { Cell::Text(format!("The {value}")) } else { cell.clone() };
                line.insert((*column).to_owned(), cell);
            }
        }
        line
    }

    /// A row as it is sent: with the asked columns, and with noise that was not asked for.
    fn print(&self, line: &BTreeMap<String, Cell>, readings: &Readings) -> String {
        let mut sent = line.clone();
        if let Some(columns) = &self.columns {
            sent.retain(|column, _| columns.contains(column) && !readings.lost_columns.contains(column.as_str()));
        }
        sent.insert("hour".to_owned(), Cell::Number(Decimal::from(3)));
        sent.insert("type".to_owned(), Cell::Text("noise".to_owned()));
        print(&sent)
    }
}

fn hour(padded: &str, form: HourForm) -> Cell {
    match form {
        HourForm::Number => Cell::Number(padded.parse().expect("an hour")),
        HourForm::Digits => Cell::Text(padded.parse::<u8>().expect("an hour").to_string()),
        HourForm::Padded => Cell::Text(padded.to_owned()),
        HourForm::Time => Cell::Text(format!("{padded}:00")),
        HourForm::Span => Cell::Text(format!("{padded}:00 - {padded}:59")),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Text(String),
    Number(Decimal),
}

/// Writes numbers digit by digit, as no binary float stands between the data and the test.
fn print(line: &BTreeMap<String, Cell>) -> String {
    let members: Vec<String> = line
        .iter()
        .map(|(name, cell)| match cell {
            Cell::Text(text) => format!("{}:{}", json!(name), json!(text)),
            Cell::Number(number) => format!("{}:{number}", json!(name)),
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

#[derive(Default)]
struct Sums {
    /// impressions, visits, uniqueVisits, clicks, conversions
    counts: [i64; 5],
    revenue: Decimal,
    cost: Decimal,
}

impl Sums {
    fn add(&mut self, hit: &Hit, rate: Decimal) {
        let counts = [hit.impressions, hit.visits, hit.unique_visits, hit.lander_clicks, hit.conversions];
        for (sum, count) in self.counts.iter_mut().zip(counts) {
            *sum += count;
        }
        self.revenue += hit.revenue * rate;
        self.cost += hit.cost * rate;
    }

    fn cells(&self) -> BTreeMap<String, Cell> {
        let counts = self.counts.map(Decimal::from);
        let values = counts.into_iter().chain([self.revenue, self.cost, self.revenue - self.cost]);
        METRICS.iter().zip(values).map(|(name, value)| ((*name).to_owned(), Cell::Number(value.normalize()))).collect()
    }
}
