//! Binom, both generations, over one set of clicks.
//!
//! The numbers are kept as single events in UTC and cut by the zone (v2) or offset (v1) that a call names, so that a
//! report is right only if it asked for the right stretch of time. What no source settles is a [`Readings`] field, and
//! every value of it is some Binom that may exist.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::tracker::{Reply, Request, Tracker, carried};

pub const KEY: &str = "canaryb1n0mb1n0mb1n0mb1n0mb1n0mb1n0mb1n0";

/// Clicks of one moment that share everything else.
#[derive(Debug, Clone)]
pub struct Event {
    pub at: Timestamp,
    pub campaign: u32,
    /// `None` where the clicks never reached an offer.
    pub offer: Option<u32>,
    pub country: &'static str,
    pub clicks: i64,
    pub unique: i64,
    pub leads: i64,
    pub approved: i64,
    pub rejected: i64,
    pub revenue: Decimal,
    pub cost: Decimal,
}

/// Id, name, traffic source. Some titles look like Binom's own suffix, and one campaign never had traffic.
pub const CAMPAIGNS: [(u32, &str, u32); 5] = [
    (7, "Loans DE", 24),
    (9, "Sweeps (id:99)", 24),
    (12, "Dating \u{201e}Süd\u{201c}", 31),
    (40, "Nutra, \"quoted\"", 32),
    (41, "Never used", 31),
];

/// Id, name, affiliate network. Two offers have one name, and one belongs to no network.
pub const OFFERS: [(u32, &str, Option<u32>); 4] =
    [(41, "Loans", Some(27)), (42, "Loans", Some(28)), (43, "Sweeps", Some(27)), (44, "Own shop", None)];

pub const NETWORKS: [(u32, &str); 2] = [(27, "North Net"), (28, "South Net")];

pub const SOURCES: [(u32, &str); 3] = [(24, "Push A"), (31, "Native B"), (32, "Social C")];

pub const COUNTRIES: [(&str, &str); 4] =
    [("DE", "Germany"), ("US", "United States"), ("TR", "Türkiye"), ("CI", "Côte d'Ivoire")];

impl Event {
    pub fn source(&self) -> u32 {
        CAMPAIGNS.iter().find(|(id, ..)| *id == self.campaign).expect("a campaign").2
    }

    /// What the link carried in a token.
    pub fn token(&self, number: usize) -> String {
        let is_blank = self.offer.is_none() || self.country == "CI";
        carried(number, if is_blank { "" } else { self.country }, self.offer.unwrap_or_default())
    }

    pub fn network(&self) -> Option<u32> {
        OFFERS.iter().find(|(id, ..)| Some(*id) == self.offer).and_then(|(_, _, network)| *network)
    }
}

/// The number of a token, as v2 names it.
fn token_of(grouping: &str) -> Option<usize> {
    grouping.strip_prefix("token_")?.parse().ok().filter(|number| (1..=10).contains(number))
}

/// The number of a token, by v1's code.
fn code_of_token(code: &str) -> Option<usize> {
    match code.parse().ok()? {
        27 => Some(1),
        code @ 282..=290 => Some(code - 280),
        _ => None,
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
            let leads = small(pick(4)).min(clicks);
            Event {
                at: from + SignedDuration::from_mins(minute),
                campaign: CAMPAIGNS[index(pick(4))].0,
                offer: OFFERS.get(index(pick(5))).map(|(id, ..)| *id),
                country: COUNTRIES[index(pick(4))].0,
                clicks,
                unique: clicks - small(pick(2)).min(clicks - 1),
                leads,
                approved: leads / 2,
                rejected: leads - leads / 2 - leads % 2,
                revenue: Decimal::new(leads * 1_234_567, 5),
                cost: Decimal::new(clicks * 31_713, 6),
            }
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    V1,
    V2,
}

/// How a country row is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountryStyle {
    Name,
    Code,
    Both,
    /// As nobody else spells it; only the tracker's own list says how.
    Own,
}

/// What a report's list is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    Report,
    Data,
    Bare,
}

/// What a clock time means that happens twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguity {
    First,
    Last,
    /// Both: events are compared by what the wall clock showed.
    Either,
}

/// What v1 answers to a wrong key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongKey {
    ErrorObject,
    Html,
    Empty,
    Forbidden,
    Redirect,
}

/// What v1 answers where there is no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoData {
    NoClicks,
    Null,
    NullText,
    List,
}

/// How v1 writes an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HourStyle {
    TwoDigits,
    Bare,
    Span,
}

#[derive(Debug, Clone)]
pub struct Readings {
    pub level_as_number: bool,
    pub country: CountryStyle,
    pub wrapping: Wrapping,
    pub totals_row_in_report: bool,
    pub limit_counts_outermost: bool,
    /// The most rows a page has, whatever is asked for.
    pub page_cap: Option<usize>,
    pub custom_columns: bool,
    /// Columns the key's user does not see.
    pub hidden: Vec<&'static str>,
    pub ambiguity: Ambiguity,
    /// The call that returns the user's role does not exist.
    pub older_build: bool,
    /// The answers do not say that they are JSON.
    pub vague_content_type: bool,
    /// What v2 calls its groupings by day and by hour, where it has any.
    pub times: Option<(&'static str, &'static str)>,
    /// By which hours they are off.
    pub times_are_off_by: i64,
    /// Totals carry the noise of binary floats.
    pub noise: bool,

    pub wrong_key: WrongKey,
    pub no_data: NoData,
    pub dressed_numbers: bool,
    pub hours: HourStyle,
    /// The columns for approved, rejected and held leads are switched on.
    pub statuses: bool,
    /// Field names of versions up to 1.8, which name no traffic source ids.
    pub old_names: bool,
    /// `val_page=all` is not understood and means this many.
    pub all_means: Option<usize>,
    /// v1 leaves the cells of what did not happen empty.
    pub empty_zeros: bool,
    /// v2 counts by tables of zones of before 2026.
    pub old_zone_tables: bool,
    /// The clicks below which an entity counts as one without traffic, by a setting of the key's user.
    pub least_clicks: i64,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            level_as_number: false,
            country: CountryStyle::Name,
            wrapping: Wrapping::Report,
            totals_row_in_report: false,
            limit_counts_outermost: false,
            page_cap: None,
            custom_columns: true,
            hidden: Vec::new(),
            ambiguity: Ambiguity::First,
            older_build: false,
            vague_content_type: false,
            times: None,
            times_are_off_by: 0,
            noise: false,
            wrong_key: WrongKey::ErrorObject,
            no_data: NoData::NoClicks,
            dressed_numbers: false,
            hours: HourStyle::TwoDigits,
            statuses: true,
            old_names: false,
            all_means: None,
            empty_zeros: false,
            old_zone_tables: false,
            least_clicks: 1,
        }
    }
}

/// One installation.
#[derive(Debug, Clone)]
pub struct Binom {
    pub generation: Generation,
    /// Where it stands: for v1 the path of its panel (`/jl8sn.php`), for v2 the path it is installed below.
    pub path: String,
    pub events: Vec<Event>,
    pub readings: Readings,
}

impl Binom {
    pub fn v1(path: &str, events: Vec<Event>) -> Self {
        Self { generation: Generation::V1, path: path.to_owned(), events, readings: Readings::default() }
    }

    pub fn v2(path: &str, events: Vec<Event>) -> Self {
        Self { generation: Generation::V2, path: path.to_owned(), events, readings: Readings::default() }
    }

    pub fn reading(mut self, change: impl FnOnce(&mut Readings)) -> Self {
        change(&mut self.readings);
        self
    }
}

impl Tracker for Binom {
    fn answer(&self, request: &Request) -> Reply {
        let mut reply = match self.generation {
            Generation::V1 => self.panel(request),
            Generation::V2 => self.api(request),
        };
        if self.readings.vague_content_type {
            reply.headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
        }
        reply
    }
}

/// Sums of events.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sum {
    pub clicks: i64,
    pub unique: i64,
    pub leads: i64,
    pub approved: i64,
    pub rejected: i64,
    pub revenue: Decimal,
    pub cost: Decimal,
}

impl Sum {
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        events.into_iter().fold(Self::default(), |sum, event| Self {
            clicks: sum.clicks + event.clicks,
            unique: sum.unique + event.unique,
            leads: sum.leads + event.leads,
            approved: sum.approved + event.approved,
            rejected: sum.rejected + event.rejected,
            revenue: sum.revenue + event.revenue,
            cost: sum.cost + event.cost,
        })
    }
}

// v2

fn refused(status: u16, title: &str, detail: &str) -> Reply {
    let body = json!({"errors": {"title": title, "detail": detail, "message": detail, "code": 0, "status": status}});
    Reply::json(status, &body)
}

fn invalid(detail: &str) -> Reply {
    refused(400, "Webmozart.Assert.InvalidArgumentException", detail)
}

/// What a list holds, and which of it an event belongs to.
type Listed<'a> = (Vec<(u32, &'a str)>, fn(&Event) -> Option<u32>);

/// Either an answer or why there is none.
type Answered = Result<Value, Reply>;

impl Binom {
    fn api(&self, request: &Request) -> Reply {
        let Some(call) =
            request.path.strip_prefix(self.path.as_str()).and_then(|path| path.strip_prefix("/public/api/v1/"))
        else {
            return Reply::html(if request.path == "/" { 200 } else { 404 });
        };
        if request.method != "GET" {
            return refused(405, "MethodNotAllowed", "Method not allowed");
        }
        if request.query.iter().any(|(name, _)| name == "api_key") || request.header("api-key") != Some(KEY) {
            let words = "Full authentication is required to access this resource.";
            return refused(401, "Symfony.Component.HttpKernel.Exception.HttpException", words);
        }
        let answered = match call.split('/').collect::<Vec<_>>().as_slice() {
            ["user", "role"] if !self.readings.older_build => Ok(json!({"id": 2, "role": "admin"})),
            ["date_preset", "list"] => Ok(json!(["today", "yesterday", "last_7_days", "all_time", "custom_time"])),
            ["geo", "country"] if !self.readings.older_build => Ok(COUNTRIES
                .iter()
                .map(|(code, name)| {
                    let own = self.country(code);
                    json!({"code": code, "name": own, "fullname": format!("{name} ({code})")})
                })
                .collect()),
            ["stats", entity] => self.stats(entity, request),
            ["report", page] => self.report(page, request),
            _ => Err(refused(404, "NotFoundHttpException", "No route found")),
        };
        match answered {
            Ok(body) => Reply::json(200, &body),
            Err(refusal) => refusal,
        }
    }

    /// The events of the period a call asks for.
    fn in_period(&self, request: &Request) -> Result<Vec<&Event>, Reply> {
        if request.param("datePreset") != Some("custom_time") {
            return Err(invalid("datePreset: this simulator expects custom_time"));
        }
        let zone = request.param("timezone").ok_or_else(|| invalid("timezone is required"))?;
        let old_rules = OLD_RULES.iter().find(|(name, _)| self.readings.old_zone_tables && *name == zone);
        let zone = listed_zone(zone).ok_or_else(|| invalid("Unknown timezone"))?;
        let zone = old_rules.map_or(zone, |(_, rules)| TimeZone::posix(rules).expect("rules"));
        let bound = |name: &str| -> Result<DateTime, Reply> {
            let text = request.param(name).ok_or_else(|| invalid("dateFrom and dateTo are required"))?;
            DateTime::strptime("%Y-%m-%d %H:%M:%S", text).map_err(|_| invalid("Invalid date format"))
        };
        let (from, to) = (bound("dateFrom")?, bound("dateTo")?);
        let instant = |clock: DateTime| {
            let ambiguous = zone.to_ambiguous_timestamp(clock);
            match self.readings.ambiguity {
                Ambiguity::Last => ambiguous.later(),
                Ambiguity::First | Ambiguity::Either => ambiguous.earlier(),
            }
            .expect("an instant")
        };
        let inside = |event: &&Event| match self.readings.ambiguity {
            Ambiguity::Either => (from..=to).contains(&zone.to_datetime(event.at)),
            Ambiguity::First | Ambiguity::Last => (instant(from)..=instant(to)).contains(&event.at),
        };
        Ok(self.events.iter().filter(inside).collect())
    }

    fn paging(&self, request: &Request, default: usize) -> Result<(usize, usize), Reply> {
        let number = |name: &str, default: usize| -> Result<usize, Reply> {
            request.param(name).map_or(Ok(default), |text| text.parse().map_err(|_| invalid("Invalid paging")))
        };
        let limit = number("limit", default)?.min(self.readings.page_cap.unwrap_or(usize::MAX));
        Ok((limit, number("offset", 0)?))
    }

    fn stats(&self, entity: &str, request: &Request) -> Answered {
        let events = self.in_period(request)?;
        let (limit, offset) = self.paging(request, 25)?;
        let (known, of): Listed<'_> = match entity {
            "campaign" => (CAMPAIGNS.map(|(id, name, _)| (id, name)).to_vec(), |event| Some(event.campaign)),
            "offer" => (OFFERS.map(|(id, name, _)| (id, name)).to_vec(), |event| event.offer),
            "affiliate_network" => (NETWORKS.to_vec(), Event::network),
            "traffic_source" => (SOURCES.to_vec(), |event| Some(event.source())),
            _ => return Err(refused(404, "NotFoundHttpException", "No route found")),
        };
        let mut rows: Vec<(u32, &str, Sum)> = known
            .into_iter()
            .map(|(id, name)| (id, name, Sum::of(events.iter().copied().filter(|event| of(event) == Some(id)))))
            .collect();
        rows.sort_by_key(|(id, _, sum)| (std::cmp::Reverse(sum.clicks), *id));
        let reached = events.iter().copied().filter(|event| of(event).is_some());
        let mut totals = self.metrics(&Sum::of(reached), self.readings.noise);
        totals.insert("id".to_owned(), json!("totals"));
        totals.insert("total_count".to_owned(), json!(rows.len().to_string()));
        let page = rows.into_iter().skip(offset).take(limit).map(|(id, name, sum)| {
            let mut row = self.metrics(&sum, false);
            row.insert("id".to_owned(), json!(id.to_string()));
            row.insert("name".to_owned(), json!(name));
            row.insert("is_deleted".to_owned(), json!(if id % 2 == 0 { "1" } else { "" }));
            row.insert("is_noted".to_owned(), json!(false));
            row.insert("payout".to_owned(), json!({"money": {"amount": 0, "currency": "USD"}, "isAuto": true}));
            Value::Object(row)
        });
        let mut page: Vec<Value> = page.collect();
        if !page.is_empty() {
            page.push(Value::Object(totals));
        }
        Ok(Value::Array(page))
    }

    fn metrics(&self, sum: &Sum, noise: bool) -> Map<String, Value> {
        let noisy = |amount: Decimal| if noise { amount + Decimal::new(11, 9) } else { amount };
        let all = [
            ("clicks", sum.clicks.to_string()),
            ("unique_clicks", sum.unique.to_string()),
            ("leads", sum.leads.to_string()),
            ("revenue", noisy(sum.revenue).to_string()),
            ("cost", sum.cost.to_string()),
            ("profit", (sum.revenue - sum.cost).to_string()),
            ("cr", "0.076936".to_owned()),
            ("bots", "3".to_owned()),
        ];
        let mut row: Map<String, Value> = all
            .into_iter()
            .filter(|(name, _)| !self.readings.hidden.contains(name))
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        if self.readings.custom_columns {
            row.insert("Approved % of all::4adcb8e3-0000-4000-8000-000000000001".to_owned(), json!("87"));
        }
        row
    }

    fn report(&self, page: &str, request: &Request) -> Answered {
        let events = self.in_period(request)?;
        let ids: BTreeSet<u32> = request.params("ids[]").iter().filter_map(|id| id.parse().ok()).collect();
        let groupings = request.params("groupings[]");
        if ids.is_empty() || !(1..=3).contains(&groupings.len()) {
            return Err(invalid("ids and groupings must not be empty"));
        }
        if request.param("sortColumn").is_none() || request.param("sortType").is_none() {
            return Err(invalid("sortColumn and sortType are required"));
        }
        let owner: fn(&Event) -> u32 = match page {
            "campaign" => |event| event.campaign,
            "trafficSource" => Event::source,
            _ => return Err(refused(404, "NotFoundHttpException", "No route found")),
        };
        let unproven = |name: &&str| {
            !matches!(*name, "campaign" | "offer" | "affiliateNetwork" | "geoCountry")
                && token_of(name).is_none()
                && self.readings.times.is_none_or(|(day, hour)| ![day, hour].contains(name))
        };
        if let Some(name) = groupings.iter().find(|name| unproven(name)) {
            return Err(invalid(&format!("Unknown grouping {name}")));
        }
        let events: Vec<&Event> = events.into_iter().filter(|event| ids.contains(&owner(event))).collect();
        let mut rows = Vec::new();
        let zone = request.param("timezone").and_then(listed_zone).ok_or_else(|| invalid("Unknown timezone"))?;
        self.nest(&events, &groupings, &zone, 1, &mut rows);
        let (limit, offset) = self.paging(request, 25)?;
        let page = if self.readings.limit_counts_outermost {
            let starts: Vec<usize> =
                rows.iter().enumerate().filter(|(_, (level, _))| *level == 1).map(|(place, _)| place).collect();
            let place = |root: usize| starts.get(root).copied().unwrap_or(rows.len());
            rows[place(offset)..place(offset.saturating_add(limit))].to_vec()
        } else {
            rows.into_iter().skip(offset).take(limit).collect()
        };
        let mut list: Vec<Value> = page.into_iter().map(|(_, row)| row).collect();
        let totals = self.metrics(&Sum::of(events.iter().copied()), self.readings.noise);
        if self.readings.totals_row_in_report {
            let mut row = totals.clone();
            row.insert("entity_id".to_owned(), json!("totals"));
            list.push(Value::Object(row));
        }
        Ok(match self.readings.wrapping {
            Wrapping::Bare => Value::Array(list),
            Wrapping::Data => json!({"data": list, "totals": totals}),
            Wrapping::Report if events.is_empty() => json!({"report": list, "totals": []}),
            Wrapping::Report => json!({"report": list, "totals": totals}),
        })
    }

    fn nest(
        &self,
        events: &[&Event],
        groupings: &[&str],
        zone: &TimeZone,
        level: usize,
        rows: &mut Vec<(usize, Value)>,
    ) {
        let Some((grouping, deeper)) = groupings.split_first() else { return };
        let mut groups: BTreeMap<(Option<u32>, &str, String), Vec<&Event>> = BTreeMap::new();
        for event in events {
            let key = match *grouping {
                "campaign" => (Some(event.campaign), "", String::new()),
                "offer" => (event.offer, "", String::new()),
                "affiliateNetwork" => (event.network(), "", String::new()),
                "geoCountry" => (None, event.country, String::new()),
                time if self.readings.times.is_some_and(|(day, hour)| [day, hour].contains(&time)) => {
                    let at = event.at + SignedDuration::from_hours(self.readings.times_are_off_by);
                    let local = zone.to_datetime(at);
                    let is_day = self.readings.times.is_some_and(|(day, _)| day == time);
                    (None, "", if is_day { local.date().to_string() } else { format!("{:02}:00", local.hour()) })
                }
                token => (None, "", event.token(token_of(token).expect("a token"))),
            };
            groups.entry(key).or_default().push(event);
        }
        for ((id, country, carried), events) in groups {
            let name = match *grouping {
                "campaign" => CAMPAIGNS.iter().find(|(known, ..)| Some(*known) == id).map(|(_, name, _)| *name),
                "offer" => OFFERS.iter().find(|(known, ..)| Some(*known) == id).map(|(_, name, _)| *name),
                "affiliateNetwork" => NETWORKS.iter().find(|(known, _)| Some(*known) == id).map(|(_, name)| *name),
                "geoCountry" => Some(country),
                _ => Some(carried.as_str()),
            };
            let name = if country.is_empty() { name.unwrap_or("").to_owned() } else { self.country(country) };
            let mut row = self.metrics(&Sum::of(events.iter().copied()), false);
            row.insert(
                "level".to_owned(),
                if self.readings.level_as_number { json!(level) } else { json!(level.to_string()) },
            );
            row.insert("entity_id".to_owned(), json!(id.map(|id| id.to_string())));
            row.insert("name".to_owned(), json!(name));
            rows.push((level, Value::Object(row)));
            self.nest(&events, deeper, zone, level + 1, rows);
        }
    }

    fn country(&self, code: &str) -> String {
        let (code, name) = COUNTRIES.iter().find(|(known, _)| *known == code).expect("a country");
        match self.readings.country {
            CountryStyle::Name => (*name).to_owned(),
            CountryStyle::Code => (*code).to_owned(),
            CountryStyle::Both => format!("{name} ({code})"),
            CountryStyle::Own => format!("The land of {name}"),
        }
    }
}

/// Rules of before 2026.
const OLD_RULES: [(&str, &str); 2] =
    [("Africa/Casablanca", "<+01>-1"), ("America/Vancouver", "PST8PDT,M3.2.0,M11.1.0")];

/// The zones Binom lists: geographic ones by their canonical names, and UTC.
fn listed_zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok()?;
    let canonical = zone.primary_iana_name() == Some(name);
    let area = name.split('/').next().unwrap_or_default();
    let geographic = matches!(
        area,
        "Africa"
            | "America"
            | "Antarctica"
            | "Arctic"
            | "Asia"
            | "Atlantic"
            | "Australia"
            | "Europe"
            | "Indian"
            | "Pacific"
    );
    (name == "UTC" || (canonical && geographic)).then_some(zone)
}

// v1

/// A parameter that v1 needs and got wrong or not at all; the real one's words for that are not known.
fn panel_error(what: &str) -> Reply {
    Reply::json(200, &json!({"status": "error", "error": what}))
}

impl Binom {
    fn panel(&self, request: &Request) -> Reply {
        if request.path != self.path {
            return Reply::html(404);
        }
        if request.param("api_key") != Some(KEY) {
            return match self.readings.wrong_key {
                WrongKey::ErrorObject => {
                    panel_error(&format!("Wrong api_key {}", request.param("api_key").unwrap_or_default()))
                }
                WrongKey::Html => Reply::html(200),
                WrongKey::Empty => Reply::text(200, "text/html", ""),
                WrongKey::Forbidden => Reply::html(403),
                WrongKey::Redirect => Reply::html(302).with_header("location", "/login"),
            };
        }
        let rows = match request.param("page") {
            Some("Stats") => self.panel_stats(request),
            Some(page @ ("Campaigns" | "Offers" | "Affiliate_Networks" | "Traffic_Sources")) => {
                self.panel_list(page, request)
            }
            // The panel itself.
            _ => return Reply::html(200),
        };
        match rows {
            Ok(rows) if rows.is_empty() => match self.readings.no_data {
                NoData::NoClicks => Reply::json(200, &json!("no_clicks")),
                NoData::Null => Reply::json(200, &Value::Null),
                NoData::NullText => Reply::json(200, &json!("null")),
                NoData::List => Reply::json(200, &json!([])),
            },
            Ok(rows) => Reply::json(200, &Value::Array(rows)),
            Err(refusal) => refusal,
        }
    }

    fn panel_period(&self, request: &Request) -> Result<(Vec<&Event>, TimeZone), Reply> {
        if request.param("date") != Some("12") {
            return Err(panel_error("date: this simulator expects 12"));
        }
        let day = |name: &str| -> Result<Date, Reply> {
            request.param(name).and_then(|text| text.parse().ok()).ok_or_else(|| panel_error("date_s and date_e"))
        };
        let offset = request.param("timezone").and_then(|text| text.strip_suffix(":00"));
        let hours: i8 = offset.and_then(|hours| hours.parse().ok()).ok_or_else(|| panel_error("timezone"))?;
        if !(-12..=12).contains(&hours) {
            return Err(panel_error("timezone"));
        }
        let zone = Offset::constant(hours).to_time_zone();
        let (from, to) = (day("date_s")?, day("date_e")?);
        let events =
            self.events.iter().filter(|event| (from..=to).contains(&zone.to_datetime(event.at).date())).collect();
        Ok((events, zone))
    }

    /// The page of `rows` that a call asks for.
    fn panel_page(&self, request: &Request, rows: Vec<Value>) -> Result<Vec<Value>, Reply> {
        let size = match request.param("val_page") {
            Some(all) if all.eq_ignore_ascii_case("all") => self.readings.all_means.unwrap_or(usize::MAX),
            Some(size) => size.parse().map_err(|_| panel_error("val_page"))?,
            None => return Err(panel_error("val_page: the default is not known")),
        };
        let number: usize =
            request.param("num_page").and_then(|text| text.parse().ok()).ok_or_else(|| panel_error("num_page"))?;
        if size == usize::MAX {
            return Ok(rows);
        }
        Ok(rows.into_iter().skip(size * (number - 1)).take(size).collect())
    }

    fn panel_list(&self, page: &str, request: &Request) -> Result<Vec<Value>, Reply> {
        let (events, _) = self.panel_period(request)?;
        let with_traffic = match request.param("status") {
            Some("2") => true,
            Some("all") => false,
            _ => return Err(panel_error("status")),
        };
        let (known, of): Listed<'_> = match page {
            "Campaigns" => (CAMPAIGNS.map(|(id, name, _)| (id, name)).to_vec(), |event| Some(event.campaign)),
            "Offers" => (OFFERS.map(|(id, name, _)| (id, name)).to_vec(), |event| event.offer),
            "Affiliate_Networks" => (NETWORKS.to_vec(), Event::network),
            _ => (SOURCES.to_vec(), |event| Some(event.source())),
        };
        let rows = known.into_iter().filter_map(|(id, name)| {
            let sum = Sum::of(events.iter().copied().filter(|event| of(event) == Some(id)));
            if with_traffic && sum.clicks < self.readings.least_clicks {
                return None;
            }
            let mut row = self.panel_metrics(&sum);
            row.insert("id".to_owned(), json!(id.to_string()));
            row.insert("name".to_owned(), json!(name));
            row.insert("is_note".to_owned(), json!(0));
            if page == "Campaigns" && !self.readings.old_names {
                let (_, _, source) = CAMPAIGNS.iter().find(|(known, ..)| *known == id).expect("a campaign");
                let (_, name) = SOURCES.iter().find(|(known, _)| known == source).expect("a source");
                row.insert("ts_id".to_owned(), json!(source.to_string()));
                row.insert("ts_name".to_owned(), json!(name));
            }
            Some(Value::Object(row))
        });
        self.panel_page(request, rows.collect())
    }

    fn panel_stats(&self, request: &Request) -> Result<Vec<Value>, Reply> {
        let (events, zone) = self.panel_period(request)?;
        let camps: BTreeSet<u32> =
            request.param("camps").unwrap_or_default().split(',').filter_map(|id| id.parse().ok()).collect();
        if camps.is_empty() {
            return Err(panel_error("camps"));
        }
        let mut groups = Vec::new();
        for name in ["group1", "group2", "group3"] {
            match request.param(name) {
                Some("1") if name != "group1" => {}
                Some(code @ ("31" | "26" | "33" | "19" | "3" | "22")) => groups.push(code),
                Some(code) if code_of_token(code).is_some() => groups.push(code),
                _ => return Err(panel_error(name)),
            }
        }
        let events: Vec<&Event> = events.into_iter().filter(|event| camps.contains(&event.campaign)).collect();
        let mut rows = Vec::new();
        self.panel_nest(&events, &groups, &zone, 1, &mut rows);
        self.panel_page(request, rows)
    }

    fn panel_nest(&self, events: &[&Event], groups: &[&str], zone: &TimeZone, level: usize, rows: &mut Vec<Value>) {
        let Some((group, deeper)) = groups.split_first() else { return };
        let mut named: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
        for event in events {
            let local = zone.to_datetime(event.at);
            let name = match *group {
                "31" => local.date().to_string(),
                "26" => match self.readings.hours {
                    HourStyle::TwoDigits => format!("{:02}", local.hour()),
                    HourStyle::Bare => local.hour().to_string(),
                    HourStyle::Span => format!("{:02}:00 - {:02}:00", local.hour(), (local.hour() + 1) % 24),
                },
                "33" => {
                    let (id, name, _) = CAMPAIGNS.iter().find(|(id, ..)| *id == event.campaign).expect("a campaign");
                    format!("{name} (id:{id})")
                }
                "19" => self.country(event.country),
                code if code_of_token(code).is_some() => event.token(code_of_token(code).expect("a token")),
                "3" => {
                    OFFERS.iter().find(|(id, ..)| Some(*id) == event.offer).map_or("", |(_, name, _)| name).to_owned()
                }
                _ => {
                    NETWORKS.iter().find(|(id, _)| Some(*id) == event.network()).map_or("", |(_, name)| name).to_owned()
                }
            };
            named.entry(name).or_default().push(event);
        }
        for (name, events) in named {
            let mut row = self.panel_metrics(&Sum::of(events.iter().copied()));
            let [level_key, name_key] = if self.readings.old_names { ["Level", "Name"] } else { ["level", "name"] };
            row.insert(level_key.to_owned(), json!(level.to_string()));
            row.insert(name_key.to_owned(), json!(name));
            rows.push(Value::Object(row));
            self.panel_nest(&events, deeper, zone, level + 1, rows);
        }
    }

    fn panel_metrics(&self, sum: &Sum) -> Map<String, Value> {
        let count = |number: i64| if self.readings.dressed_numbers { grouped(number) } else { number.to_string() };
        let amount =
            |amount: Decimal| if self.readings.dressed_numbers { format!("$ {amount}") } else { amount.to_string() };
        let names = if self.readings.old_names {
            ["Clicks", "unique_clicks", "Leads", "Revenue", "Spend"]
        } else {
            ["clicks", "unique_clicks", "leads", "revenue", "cost"]
        };
        let blank =
            |text: String, is_zero: bool| if self.readings.empty_zeros && is_zero { String::new() } else { text };
        let values = [
            count(sum.clicks),
            blank(count(sum.unique), sum.unique == 0),
            blank(count(sum.leads), sum.leads == 0),
            blank(amount(sum.revenue), sum.revenue.is_zero()),
            blank(amount(sum.cost), sum.cost.is_zero()),
        ];
        let mut row: Map<String, Value> = names
            .into_iter()
            .zip(values)
            .filter(|(name, _)| !self.readings.hidden.contains(name))
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        row.insert("cr".to_owned(), json!(if self.readings.dressed_numbers { "4.51%" } else { "4.513000000" }));
        if self.readings.statuses {
            row.insert("a_leads".to_owned(), json!(sum.approved.to_string()));
            row.insert("r_leads".to_owned(), json!(sum.rejected.to_string()));
            row.insert("h_leads".to_owned(), json!((sum.leads - sum.approved - sum.rejected).to_string()));
        }
        row
    }
}

/// Digits with thousands separators.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
