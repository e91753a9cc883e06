//! A CAKE network.
//!
//! Serves the newer affiliate paths, the classic `.asmx` services of affiliates and those of the network, over the
//! same made-up traffic. What CAKE leaves undocumented is a reading that a test chooses; what it documents is
//! enforced: every declared parameter, the formats of dates and ids, the longest range, the key of the right portal.

use std::collections::BTreeMap;

use affzero_connections::platforms::calendar::DateRange;
use jiff::civil::{Date, DateTime};
use rust_decimal::Decimal;

use super::tracker::{Reply, Request, Tracker};

pub const AFFILIATE_KEY: &str = "canaryAteKey+/9";
pub const ADMIN_KEY: &str = "canaryOwnersKey01234567890";
pub const AFFILIATE_ID: &str = "42";

/// How the newer paths write an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    /// The rows alone.
    BareJson,
    Xml,
    BareXml,
}

/// What `row_count` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowCount {
    Total,
    Page,
    Absent,
}

/// How an hour is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HourLabel {
    /// `13` under `hour`.
    Number,
    /// `13:00` under `hour`.
    Clock,
    /// `1 PM` under `hour`.
    HalfDay,
    /// A timestamp under `hour`.
    Stamp,
    /// A timestamp under `date`, and no `hour`.
    DateStamp,
}

/// How the newer paths refuse a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Status 200, `success` false.
    InEnvelope,
    /// This status, with a JSON `message`.
    Message(u16),
    /// This status, without a body.
    Silent(u16),
}

/// Everything about CAKE that is not known, or differs between networks.
#[derive(Debug, Clone)]
pub struct Readings {
    /// Whether the newer paths exist.
    pub newer: bool,
    pub format: Format,
    /// Whether the newer paths take an end at midnight for the whole of that day.
    pub end_included: bool,
    pub affiliate_id_needed: bool,
    pub row_count: RowCount,
    /// The most rows of one page, whatever is asked for.
    pub page_cap: usize,
    /// Whether `start_at_row` is ignored.
    pub ignores_paging: bool,
    pub refusal: Refusal,
    pub hour_label: HourLabel,
    /// `3.000000` instead of `3`.
    pub decimal_counts: bool,
    /// `site_offer_id`, `macro_event_conversions` and `views` instead of the older names.
    pub renamed: bool,
    /// `"$1,234.5000"` instead of `1234.5000`.
    pub money_with_symbol: bool,
    /// The longest range, in days.
    pub longest: u32,
    /// Paths that this network lacks.
    pub missing: &'static [&'static str],
    /// Whether one campaign is paid in euro.
    pub euro: bool,
    /// Whether `Lists/Currencies` exists and rows have a `currency_id`.
    pub currency_list: bool,
    /// Daily answers have a day too many at each end.
    pub stray_days: bool,
    /// Added to the clicks of every summary.
    pub summary_off_by: i64,
    /// A revoked key gets an empty bare list instead of a refusal.
    pub bare_refusal: bool,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            newer: true,
            format: Format::Json,
            end_included: false,
            affiliate_id_needed: true,
            row_count: RowCount::Total,
            page_cap: 100_000,
            ignores_paging: false,
            refusal: Refusal::InEnvelope,
            hour_label: HourLabel::Number,
            decimal_counts: false,
            renamed: false,
            money_with_symbol: false,
            longest: 31,
            missing: &[],
            euro: false,
            currency_list: true,
            stray_days: false,
            summary_off_by: 0,
            bare_refusal: false,
        }
    }
}

/// One affiliate's contract for one offer.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    pub id: u32,
    pub affiliate: (u32, &'static str),
    pub offer: (u32, &'static str),
    pub advertiser: (u32, &'static str),
}

pub const CAMPAIGNS: [Campaign; 6] = [
    Campaign { id: 5120, affiliate: (42, "Blue & Sons"), offer: (77, "Solar Quote US"), advertiser: (9, "Sun <Co>") },
    Campaign { id: 5121, affiliate: (42, "Blue & Sons"), offer: (78, "Loan \"Fast\""), advertiser: (9, "Sun <Co>") },
    Campaign { id: 5122, affiliate: (42, "Blue & Sons"), offer: (77, "Solar Quote US"), advertiser: (9, "Sun <Co>") },
    Campaign { id: 5123, affiliate: (42, "Blue & Sons"), offer: (79, "Casino äöü"), advertiser: (10, "House") },
    Campaign { id: 6001, affiliate: (43, "Red"), offer: (77, "Solar Quote US"), advertiser: (9, "Sun <Co>") },
    Campaign { id: 6002, affiliate: (44, "Green"), offer: (79, "Casino äöü"), advertiser: (10, "House") },
];

/// What the links of a campaign carry.
pub fn sub_of(campaign: Campaign) -> &'static str {
    match campaign.id {
        5120 => "banner, \\a",
        5122 => "0",
        _ => "",
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    pub impressions: i64,
    pub clicks: i64,
    pub conversions: i64,
    pub approved: i64,
    pub pending: i64,
    pub rejected: i64,
    pub returned: i64,
    pub revenue: Decimal,
    pub cost: Decimal,
}

impl Numbers {
    pub fn add(&mut self, other: Self) {
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.conversions += other.conversions;
        self.approved += other.approved;
        self.pending += other.pending;
        self.rejected += other.rejected;
        self.returned += other.returned;
        self.revenue += other.revenue;
        self.cost += other.cost;
    }
}

/// The traffic of a campaign in an hour: made up, always the same, and nothing on some days.
pub fn traffic(day: Date, hour: i8, campaign: Campaign) -> Numbers {
    let seed = i64::from(day.day_of_year()) * 31 + i64::from(hour) * 7 + i64::from(campaign.id) * 13;
    if seed % 5 == 0 || day.day() == 13 {
        return Numbers::default();
    }
    let clicks = seed % 11 + 1;
    let (approved, pending, rejected, returned) = (seed % 2, seed % 3, seed % 2, i64::from(seed % 7 == 0));
    Numbers {
        impressions: clicks * 5 + seed % 3,
        clicks,
        conversions: approved + pending + rejected + returned,
        approved,
        pending,
        rejected,
        returned,
        revenue: Decimal::new(approved * 125_000 + seed % 977, 4),
        cost: Decimal::new(approved * 90_000 + seed % 501, 4),
    }
}

/// The sums over whole days, made without any of the code that answers requests.
pub fn truth(range: DateRange, counts: impl Fn(Date, i8, Campaign) -> bool) -> Numbers {
    let mut sum = Numbers::default();
    for day in range.days() {
        for hour in 0..24 {
            for campaign in CAMPAIGNS.into_iter().filter(|campaign| counts(day, hour, *campaign)) {
                sum.add(traffic(day, hour, campaign));
            }
        }
    }
    sum
}

/// The network.
#[derive(Debug, Clone, Default)]
pub struct Cake {
    pub readings: Readings,
}

impl Cake {
    pub fn with(change: impl FnOnce(&mut Readings)) -> Self {
        let mut cake = Self::default();
        change(&mut cake.readings);
        cake
    }
}

impl Tracker for Cake {
    fn answer(&self, request: &Request) -> Reply {
        if self.readings.missing.contains(&request.path.as_str()) || request.method != "GET" {
            return Reply::html(404);
        }
        match request.path.strip_prefix("/affiliates/api/") {
            Some(path) if path.starts_with(|first: char| first.is_ascii_digit()) => {
                self.classic_affiliate(path, request)
            }
            Some(_) if !self.readings.newer => Reply::html(404),
            Some(path) => self.newer(path, request),
            None => match request.path.strip_prefix("/api/") {
                Some(path) => self.admin(path, request),
                None => Reply::html(200),
            },
        }
    }
}

// What is asked.

/// A window in whole hours: traffic stands at the middle of each.
#[derive(Debug, Clone, Copy)]
struct Asked {
    start: DateTime,
    end: DateTime,
    end_included: bool,
}

impl Asked {
    fn has(&self, day: Date, hour: i8) -> bool {
        let at = day.at(hour, 30, 0, 0);
        let whole_last_day = self.end_included && self.end.time().hour() == 0 && at.date() == self.end.date();
        self.start <= at && (at < self.end || whole_last_day)
    }

    fn days(&self) -> Vec<Date> {
        let range = DateRange::new(self.start.date(), self.end.date()).expect("a window that does not run backwards");
        range.days().filter(|day| (0..24).any(|hour| self.has(*day, hour))).collect()
    }
}

fn moment(text: &str) -> Option<DateTime> {
    let (date, time) = text.split_once(' ')?;
    format!("{date}T{time}").parse().ok().filter(|_| time.len() == 8 && date.len() == 10)
}

/// What ASP.NET answers to a call it cannot bind.
fn unbound(text: String) -> Reply {
    Reply::text(500, "text/plain", text)
}

fn cannot_convert(value: &str, to: &str) -> Reply {
    unbound(format!(
        "Cannot convert {value} to {to}.\r\nParameter name: type --> Input string was not in a correct format."
    ))
}

/// Checks every declared parameter of a classic method. Names that end with `_id` or are about rows are numbers.
fn bind(request: &Request, declared: &[&str]) -> Result<(), Reply> {
    for name in declared {
        let Some(value) = request.param(name) else { return Err(unbound(format!("Missing parameter: {name}."))) };
        let is_number = (name.ends_with("_id") && *name != "subid_id") || matches!(*name, "start_at_row" | "row_limit");
        if is_number && value.parse::<i32>().is_err() {
            return Err(cannot_convert(value, "System.Int32"));
        }
        let allowed: &[&str] = match *name {
            "conversion_type" => &["all", "events", "conversions"],
            "event_type" => &["all", "macro_event_conversions", "micro_events"],
            "revenue_filter" => &["conversions_and_events", "conversions", "events"],
            "sort_descending" | "include_tests" => &["TRUE", "FALSE"],
            _ => continue,
        };
        if !allowed.contains(&value) {
            return Err(cannot_convert(value, "an enumeration"));
        }
    }
    Ok(())
}

// What is answered.

#[derive(Debug, Clone)]
enum Value {
    Null,
    /// Written in quotes in JSON.
    Text(String),
    /// Written bare in JSON.
    Number(String),
    /// A pair in the namespace of ids and names.
    Pair(Vec<(String, Value)>),
}

type Line = Vec<(String, Value)>;

fn field(name: &str, value: Value) -> (String, Value) {
    (name.to_owned(), value)
}

fn pair(name: &str, (id, label): (u32, &str)) -> (String, Value) {
    let members = vec![
        field(&format!("{name}_id"), Value::Number(id.to_string())),
        field(&format!("{name}_name"), Value::Text(label.to_owned())),
    ];
    field(name, Value::Pair(members))
}

fn json_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => serde_json::json!(text).to_string(),
        Value::Number(digits) => digits.clone(),
        Value::Pair(members) => json_line(members),
    }
}

fn json_line(line: &Line) -> String {
    let members: Vec<String> = line.iter().map(|(name, value)| format!("\"{name}\":{}", json_value(value))).collect();
    format!("{{{}}}", members.join(","))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn xml_line(line: &Line) -> String {
    line.iter()
        .map(|(name, value)| match value {
            Value::Null => format!("<{name} xsi:nil=\"true\" />"),
            Value::Text(text) if text.is_empty() => format!("<{name} />"),
            Value::Text(text) | Value::Number(text) => format!("<{name}>{}</{name}>", escape(text)),
            Value::Pair(members) => {
                let inner = xml_line(members).replacen('>', " xmlns=\"API:id_name_store\">", 1);
                format!("<{name}>{inner}</{name}>")
            }
        })
        .collect()
}

const XSI: &str = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";

/// The names an XML answer of one report uses.
#[derive(Debug, Clone, Copy)]
struct Names {
    root: &'static str,
    container: &'static str,
    row: &'static str,
}

struct Envelope {
    row_count: Option<usize>,
    summary: Option<Line>,
    lines: Vec<Line>,
}

impl Envelope {
    fn xml(&self, names: Names, namespace: &str) -> Reply {
        let rows: String =
            self.lines.iter().map(|line| format!("\n    <{0}>{1}</{0}>", names.row, xml_line(line))).collect();
        let container = match rows.is_empty() {
            true => format!("<{} />", names.container),
            false => format!("<{0}>{rows}\n  </{0}>", names.container),
        };
        let count = self.row_count.map(|count| format!("<row_count>{count}</row_count>")).unwrap_or_default();
        let summary =
            self.summary.as_ref().map(|line| format!("<summary>{}</summary>", xml_line(line))).unwrap_or_default();
        let root = names.root;
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<{root} {XSI} xmlns=\"{namespace}\">\n  <success>true</success>{count}{summary}\n  {container}\n</{root}>"
        );
        Reply::text(200, "text/xml; charset=utf-8", body)
    }

    fn bare_xml(&self, row: &str) -> Reply {
        let rows: String = self.lines.iter().map(|line| format!("<{row}>{}</{row}>", xml_line(line))).collect();
        // Without a declaration, as some networks send it.
        Reply::text(
            200,
            "text/xml",
            format!("<ArrayOf{row} {XSI} xmlns=\"http://cakemarketing.com/api/1/\">{rows}</ArrayOf{row}>"),
        )
    }

    fn json(&self) -> Reply {
        let rows: Vec<String> = self.lines.iter().map(json_line).collect();
        let count = self.row_count.map(|count| format!("\"row_count\": {count}, ")).unwrap_or_default();
        let summary =
            self.summary.as_ref().map(|line| format!("\"summary\": {}, ", json_line(line))).unwrap_or_default();
        let body = format!("{{{count}\"success\": true, \"message\": null, {summary}\"data\": [{}]}}", rows.join(","));
        // The header is wrong on purpose: it is the body that counts.
        Reply::text(200, "text/xml", body)
    }

    fn bare_json(&self) -> Reply {
        let rows: Vec<String> = self.lines.iter().map(json_line).collect();
        Reply::text(200, "application/json", format!("[{}]", rows.join(",")))
    }
}

/// A refusal of a classic method.
fn refused_xml(message: &str) -> Reply {
    // Without a declaration: a leading `<` alone is no web page.
    let body = format!(
        "<report_response xmlns=\"http://cakemarketing.com/affiliates/api/3/\"><success>false</success><message>{message}</message><row_count>0</row_count></report_response>"
    );
    Reply::text(200, "text/xml", body)
}

impl Cake {
    // The affiliate's reports, newer and classic.

    fn newer(&self, path: &str, request: &Request) -> Reply {
        if let Some(refusal) = self.check_affiliate(request) {
            return refusal;
        }
        if path == "Lists/Currencies" {
            return match self.readings.currency_list {
                true => self.dress(&Self::currencies(), "Currency"),
                false => Reply::html(404),
            };
        }
        let (Some(start), Some(end)) =
            (request.param("start_date").and_then(moment), request.param("end_date").and_then(moment))
        else {
            return Reply::json(400, &serde_json::json!({ "Message": "The dates are not valid." }));
        };
        let asked = Asked { start, end, end_included: self.readings.end_included };
        let (lines, row) = match path {
            "Reports/CampaignSummary" => (self.campaign_lines(asked), "Campaign"),
            "Reports/DailySummary" => (self.day_lines(asked), "DailySummary"),
            "Reports/HourlySummary" => (self.hour_lines(asked), "HourlySummary"),
            "Reports/SubAffiliateSummary" => (self.sub_lines(asked), "SubAffiliate"),
            _ => return Reply::html(404),
        };
        if asked.days().len() > usize::try_from(self.readings.longest).expect("few days") {
            return Reply::json(400, &serde_json::json!({ "message": "Date Range Too Long", "success": false }));
        }
        let summary = (path == "Reports/CampaignSummary").then(|| self.summary(asked));
        self.dress(&self.page(request, lines, summary), row)
    }

    fn dress(&self, envelope: &Envelope, row: &'static str) -> Reply {
        match self.readings.format {
            Format::Json => envelope.json(),
            Format::BareJson => envelope.bare_json(),
            Format::Xml => {
                envelope.xml(Names { root: "x_response", container: "data", row }, "http://schemas.example/affiliates")
            }
            Format::BareXml => envelope.bare_xml(row),
        }
    }

    fn check_affiliate(&self, request: &Request) -> Option<Reply> {
        let id = request.param("affiliate_id");
        let known = request.param("api_key") == Some(AFFILIATE_KEY)
            && match id {
                Some(id) => id == AFFILIATE_ID,
                None => !self.readings.affiliate_id_needed,
            };
        let message = if id.is_none() { "Invalid Affiliate" } else { "Invalid API Key" };
        (!known).then(|| match self.readings.refusal {
            Refusal::InEnvelope => Reply::json(
                200,
                &serde_json::json!({ "row_count": 0, "success": false, "message": message, "data": null }),
            ),
            Refusal::Message(status) => Reply::json(status, &serde_json::json!({ "message": message })),
            Refusal::Silent(status) => Reply::text(status, "text/plain", ""),
        })
    }

    fn classic_affiliate(&self, path: &str, request: &Request) -> Reply {
        let paging = ["start_at_row", "row_limit"];
        let (extra, names): (Vec<&str>, Names) = match path {
            "5/reports.asmx/CampaignSummary" => (
                ["sub_affiliate", "conversion_type", "sort_field", "sort_descending"]
                    .into_iter()
                    .chain(paging)
                    .collect(),
                CAMPAIGNS_XML,
            ),
            "3/reports.asmx/CampaignSummary" | "2/reports.asmx/CampaignSummary" => (paging.to_vec(), CAMPAIGNS_XML),
            "4/reports.asmx/SubAffiliateSummary" => (["site_offer_id"].into_iter().chain(paging).collect(), SUBS_XML),
            "3/reports.asmx/SubAffiliateSummary" | "2/reports.asmx/SubAffiliateSummary" => {
                (["offer_id"].into_iter().chain(paging).collect(), SUBS_XML)
            }
            "3/reports.asmx/DailySummary" => (vec!["site_offer_id"], DAYS_XML),
            "2/reports.asmx/DailySummary" => (vec!["offer_id"], DAYS_XML),
            "3/reports.asmx/HourlySummary" => (vec!["site_offer_id"], HOURS_XML),
            "2/reports.asmx/HourlySummary" => (vec!["offer_id"], HOURS_XML),
            _ => return unknown_method(path),
        };
        let declared: Vec<&str> =
            ["api_key", "affiliate_id", "start_date", "end_date"].into_iter().chain(extra).collect();
        let asked = match self.bind_window(request, &declared) {
            Ok(asked) => asked,
            Err(reply) => return reply,
        };
        if request.param("api_key") != Some(AFFILIATE_KEY) || request.param("affiliate_id") != Some(AFFILIATE_ID) {
            return refused_xml("Invalid API Key");
        }
        if asked.days().len() > usize::try_from(self.readings.longest).expect("few days") {
            return refused_xml("Date Range Too Long");
        }
        let namespace = "http://cakemarketing.com/affiliates/api/5/";
        match names.row {
            "campaign" => {
                self.page(request, self.campaign_lines(asked), Some(self.summary(asked))).xml(names, namespace)
            }
            "sub_affiliate" => self.page(request, self.sub_lines(asked), None).xml(names, namespace),
            "day" => self.whole(self.day_lines(asked)).xml(names, namespace),
            _ => self.whole(self.hour_lines(asked)).xml(names, namespace),
        }
    }

    fn bind_window(&self, request: &Request, declared: &[&str]) -> Result<Asked, Reply> {
        bind(request, declared)?;
        let date = |name: &str| {
            let text = request.param(name).unwrap_or_default();
            moment(text).ok_or_else(|| cannot_convert(text, "System.DateTime"))
        };
        Ok(Asked { start: date("start_date")?, end: date("end_date")?, end_included: false })
    }

    fn page(&self, request: &Request, lines: Vec<Line>, summary: Option<Line>) -> Envelope {
        let number = |name: &str| request.param(name).and_then(|value| value.parse::<usize>().ok()).unwrap_or_default();
        let total = lines.len();
        let limit = match number("row_limit") {
            0 => self.readings.page_cap,
            limit => limit.min(self.readings.page_cap),
        };
        let skipped = if self.readings.ignores_paging { 0 } else { number("start_at_row").saturating_sub(1) };
        let lines: Vec<Line> = lines.into_iter().skip(skipped).take(limit).collect();
        let row_count = match self.readings.row_count {
            RowCount::Total => Some(total),
            RowCount::Page => Some(lines.len()),
            RowCount::Absent => None,
        };
        Envelope { row_count, summary, lines }
    }

    fn whole(&self, lines: Vec<Line>) -> Envelope {
        let row_count = (self.readings.row_count != RowCount::Absent).then_some(lines.len());
        Envelope { row_count, summary: None, lines }
    }

    fn currencies() -> Envelope {
        let line = |id: u32, name: &str| {
            vec![
                field("currency_id", Value::Number(id.to_string())),
                field("currency_name", Value::Text(name.to_owned())),
            ]
        };
        Envelope { row_count: Some(2), summary: None, lines: vec![line(1, "US Dollar"), line(2, "Euro")] }
    }

    /// Which currency a campaign is paid in: its id and its symbol.
    fn currency(&self, campaign: Campaign) -> (u32, &'static str) {
        if self.readings.euro && campaign.id == 5123 { (2, "€") } else { (1, "$") }
    }

    fn own() -> impl Iterator<Item = Campaign> {
        CAMPAIGNS.into_iter().filter(|campaign| campaign.affiliate.0 == 42)
    }

    fn campaign_lines(&self, asked: Asked) -> Vec<Line> {
        Self::own()
            .map(|campaign| {
                let prefix = if self.readings.renamed { "site_" } else { "" };
                let mut line = vec![
                    field(&format!("{prefix}offer_id"), Value::Number(campaign.offer.0.to_string())),
                    field(&format!("{prefix}offer_name"), Value::Text(campaign.offer.1.to_owned())),
                    field("campaign_id", Value::Number(campaign.id.to_string())),
                    field("vertical_name", Value::Text(String::new())),
                    field("price_format", Value::Text("CPA".to_owned())),
                    field("price", Value::Text("$12.50".to_owned())),
                ];
                line.extend(self.affiliate_numbers(sum_of(asked, [campaign]), self.currency(campaign)));
                line
            })
            .collect()
    }

    /// One line for each sub-id and currency that had traffic. Some links carry none.
    fn sub_lines(&self, asked: Asked) -> Vec<Line> {
        let mut sums: BTreeMap<(&'static str, (u32, &'static str)), Numbers> = BTreeMap::new();
        for (day, hour) in hours_of(asked) {
            for campaign in Self::own() {
                let numbers = traffic(day, hour, campaign);
                if numbers != Numbers::default() {
                    sums.entry((sub_of(campaign), self.currency(campaign))).or_default().add(numbers);
                }
            }
        }
        let line = |((sub, currency), numbers): ((&str, (u32, &'static str)), Numbers)| {
            let mut line = vec![field("sub_id", Value::Text(sub.to_owned()))];
            line.extend(self.affiliate_numbers(numbers, currency));
            line
        };
        sums.into_iter().map(line).collect()
    }

    /// One line for each key and currency that had traffic.
    fn timed_lines<K: Ord + Copy>(
        &self,
        hours: impl Iterator<Item = (Date, i8)>,
        key: impl Fn(Date, i8) -> K,
        label: impl Fn(K) -> Line,
    ) -> Vec<Line> {
        let mut sums: BTreeMap<(K, (u32, &'static str)), Numbers> = BTreeMap::new();
        for (day, hour) in hours {
            for campaign in Self::own() {
                let numbers = traffic(day, hour, campaign);
                if numbers != Numbers::default() {
                    sums.entry((key(day, hour), self.currency(campaign))).or_default().add(numbers);
                }
            }
        }
        sums.into_iter()
            .map(|((key, currency), numbers)| {
                let mut line = label(key);
                line.extend(self.affiliate_numbers(numbers, currency));
                line
            })
            .collect()
    }

    fn day_lines(&self, asked: Asked) -> Vec<Line> {
        let mut days = asked.days();
        if self.readings.stray_days {
            days.insert(0, asked.start.date().yesterday().expect("a day"));
            days.push(asked.end.date().tomorrow().expect("a day"));
        }
        let hours = days.into_iter().flat_map(|day| (0..24).map(move |hour| (day, hour)));
        self.timed_lines(hours, |day, _| day, |day| vec![field("date", Value::Text(format!("{day}T00:00:00")))])
    }

    fn hour_lines(&self, asked: Asked) -> Vec<Line> {
        let hours = hours_of(asked).into_iter();
        self.timed_lines(hours, |day, hour| (day, hour), |(day, hour)| self.hour_label(day, hour))
    }

    fn hour_label(&self, day: Date, hour: i8) -> Line {
        let date = field("date", Value::Text(format!("{day}T00:00:00")));
        let stamp = Value::Text(format!("{day}T{hour:02}:00:00"));
        match self.readings.hour_label {
            HourLabel::Number => vec![date, field("hour", Value::Number(hour.to_string()))],
            HourLabel::Clock => vec![field("hour", Value::Text(format!("{hour:02}:00")))],
            HourLabel::HalfDay => {
                let (clock, half) = ((hour + 11) % 12 + 1, if hour < 12 { "AM" } else { "PM" });
                vec![date, field("hour", Value::Text(format!("{clock} {half}")))]
            }
            HourLabel::Stamp => vec![field("hour", stamp)],
            HourLabel::DateStamp => vec![field("date", stamp)],
        }
    }

    fn summary(&self, asked: Asked) -> Line {
        let mut sum = sum_of(asked, Self::own());
        sum.clicks += self.readings.summary_off_by;
        let mut line = vec![
            field("clicks", self.count(sum.clicks)),
            field("conversions", self.count(sum.conversions)),
            field("conversion_rate", Value::Number("0.0316326530612244897959183673".to_owned())),
        ];
        line.push(field("revenue", self.money(sum.revenue, "$")));
        line
    }

    fn affiliate_numbers(&self, numbers: Numbers, (id, symbol): (u32, &str)) -> Line {
        let renamed = |old: &'static str, new: &'static str| if self.readings.renamed { new } else { old };
        let mut line = vec![
            field(renamed("impressions", "views"), self.count(numbers.impressions)),
            field("clicks", self.count(numbers.clicks)),
            field(renamed("conversions", "macro_event_conversions"), self.count(numbers.conversions)),
            field("revenue", self.money(numbers.revenue, symbol)),
            field("revenue_converted", self.money(numbers.revenue * Decimal::new(11, 1), "$")),
            field("epc", Value::Null),
            field("currency_symbol", Value::Text(symbol.to_owned())),
            field("currency_symbol_converted", Value::Text("$".to_owned())),
        ];
        if self.readings.currency_list && self.readings.newer {
            line.push(field("currency_id", Value::Number(id.to_string())));
        }
        line
    }

    fn count(&self, count: i64) -> Value {
        Value::Number(if self.readings.decimal_counts { format!("{count}.000000") } else { count.to_string() })
    }

    fn money(&self, amount: Decimal, symbol: &str) -> Value {
        if !self.readings.money_with_symbol {
            return Value::Number(format!("{amount:.4}"));
        }
        let text = format!("{amount:.4}");
        let (whole, fraction) = text.split_once('.').expect("four places");
        let mut grouped = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        Value::Text(format!("{symbol}{grouped}.{fraction}"))
    }

    // The network's reports.

    fn admin(&self, path: &str, request: &Request) -> Reply {
        let Some(report) = ADMIN_REPORTS.iter().find(|report| report.path == path) else { return unknown_method(path) };
        let declared: Vec<&str> =
            ["api_key", "start_date", "end_date"].into_iter().chain(report.declared.iter().copied()).collect();
        let asked = match self.bind_window(request, &declared) {
            Ok(asked) => asked,
            Err(reply) => return reply,
        };
        let known = request.param("api_key") == Some(ADMIN_KEY);
        if report.names.container.is_empty() {
            return match (known, self.readings.bare_refusal) {
                (true, _) => self.whole(self.network_day_lines(asked)).bare_xml("DailySummary"),
                (false, true) => self.whole(Vec::new()).bare_xml("DailySummary"),
                (false, false) => unbound("Invalid API Key".to_owned()),
            };
        }
        if !known {
            return refused_xml("Invalid API Key");
        }
        if asked.days().len() > usize::try_from(self.readings.longest).expect("few days") {
            return refused_xml("Date Range Too Long");
        }
        for (name, known) in FILTERS {
            let id = request.param(name).filter(|_| report.declared.contains(&name)).unwrap_or("0");
            if id != "0" && !CAMPAIGNS.iter().any(|campaign| known(*campaign).to_string() == id) {
                return refused_xml(&format!("Invalid {name}"));
            }
        }
        let envelope = self.whole(self.network_lines(asked, report, request));
        envelope.xml(report.names, "http://cakemarketing.com/api/4/")
    }

    fn network_lines(&self, asked: Asked, report: &AdminReport, request: &Request) -> Vec<Line> {
        let passes = |campaign: &Campaign| {
            FILTERS.iter().filter(|(name, _)| report.declared.contains(name)).all(|(name, id)| {
                request.param(name).is_none_or(|wanted| wanted == "0" || wanted == id(*campaign).to_string())
            })
        };
        let mut groups: BTreeMap<u32, Vec<Campaign>> = BTreeMap::new();
        for campaign in CAMPAIGNS.into_iter().filter(passes) {
            groups.entry((report.group)(campaign)).or_default().push(campaign);
        }
        groups
            .into_values()
            .map(|campaigns| {
                let mut line = (report.label)(campaigns[0]);
                line.extend(self.network_numbers(sum_of(asked, campaigns), report.newer));
                line
            })
            .collect()
    }

    fn network_day_lines(&self, asked: Asked) -> Vec<Line> {
        let mut days: BTreeMap<Date, Numbers> = BTreeMap::new();
        for (day, hour) in hours_of(asked) {
            for campaign in CAMPAIGNS {
                days.entry(day).or_default().add(traffic(day, hour, campaign));
            }
        }
        days.into_iter()
            .map(|(day, numbers)| {
                let mut line = vec![field("date", Value::Text(format!("{day}T00:00:00")))];
                line.extend(self.network_numbers(numbers, false));
                line
            })
            .collect()
    }

    fn network_numbers(&self, numbers: Numbers, newer: bool) -> Line {
        let conversions = match newer {
            true => field("macro_event_conversions", Value::Number(format!("{}.000000", numbers.conversions))),
            false => field("conversions", self.count(numbers.conversions)),
        };
        vec![
            field("views", self.count(numbers.impressions)),
            field("clicks", self.count(numbers.clicks)),
            conversions,
            field("micro_events", Value::Number("0.000000".to_owned())),
            field("pending", self.count(numbers.pending)),
            field("rejected", self.count(numbers.rejected)),
            field("approved", self.count(numbers.approved)),
            field("returned", self.count(numbers.returned)),
            field("cost", self.money(numbers.cost, "$")),
            field("revenue", self.money(numbers.revenue, "$")),
            field("profit", self.money(numbers.revenue - numbers.cost, "")),
        ]
    }
}

fn unknown_method(path: &str) -> Reply {
    let method = path.rsplit('/').next().unwrap_or_default();
    let text = format!("Request format is unrecognized for URL unexpectedly ending in '/{method}'.");
    Reply::text(500, "text/html", format!("<html><title>{text}</title><body>{text}</body></html>"))
}

fn hours_of(asked: Asked) -> Vec<(Date, i8)> {
    let hours = asked.days().into_iter().flat_map(|day| (0..24).map(move |hour| (day, hour)));
    hours.filter(|(day, hour)| asked.has(*day, *hour)).collect()
}

fn sum_of(asked: Asked, campaigns: impl IntoIterator<Item = Campaign>) -> Numbers {
    let hours = hours_of(asked);
    let mut sum = Numbers::default();
    for campaign in campaigns {
        hours.iter().for_each(|(day, hour)| sum.add(traffic(*day, *hour, campaign)));
    }
    sum
}

const CAMPAIGNS_XML: Names = Names { root: "campaign_summary_response", container: "campaigns", row: "campaign" };
const SUBS_XML: Names =
    Names { root: "sub_affiliate_summary_response", container: "sub_affiliates", row: "sub_affiliate" };
const DAYS_XML: Names = Names { root: "daily_summary_response", container: "days", row: "day" };
const HOURS_XML: Names = Names { root: "hourly_summary_response", container: "hours", row: "hour" };

/// Which id of a campaign is meant.
type IdOf = fn(Campaign) -> u32;

/// The parameters that reports can be filtered by.
const FILTERS: [(&str, IdOf); 7] = [
    ("source_affiliate_id", |campaign| campaign.affiliate.0),
    ("affiliate_id", |campaign| campaign.affiliate.0),
    ("site_offer_id", |campaign| campaign.offer.0),
    ("offer_id", |campaign| campaign.offer.0),
    ("brand_advertiser_id", |campaign| campaign.advertiser.0),
    ("advertiser_id", |campaign| campaign.advertiser.0),
    ("campaign_id", |campaign| campaign.id),
];

struct AdminReport {
    path: &'static str,
    declared: &'static [&'static str],
    /// Without a container: a bare list.
    names: Names,
    group: IdOf,
    label: fn(Campaign) -> Line,
    newer: bool,
}

const ADMIN_REPORTS: &[AdminReport] = &[
    AdminReport {
        path: "5/reports.asmx/CampaignSummary",
        declared: &[
            "campaign_id",
            "source_affiliate_id",
            "subid_id",
            "site_offer_id",
            "source_affiliate_tag_id",
            "site_offer_tag_id",
            "source_affiliate_manager_id",
            "brand_advertiser_manager_id",
            "event_id",
            "event_type",
        ],
        names: Names { root: "campaign_summary_response", container: "campaigns", row: "campaign_summary" },
        group: |campaign| campaign.id,
        label: |campaign| {
            vec![
                pair("campaign", (campaign.id, "")),
                pair("source_affiliate", campaign.affiliate),
                pair("site_offer", campaign.offer),
                pair("brand_advertiser", campaign.advertiser),
            ]
        },
        newer: true,
    },
    AdminReport {
        path: "3/reports.asmx/SourceAffiliateSummary",
        declared: &[
            "source_affiliate_id",
            "source_affiliate_manager_id",
            "source_affiliate_tag_id",
            "site_offer_tag_id",
            "event_id",
            "event_type",
        ],
        names: Names {
            root: "source_affiliate_summary_response",
            container: "source_affiliates",
            row: "source_affiliate_summary",
        },
        group: |campaign| campaign.affiliate.0,
        label: |campaign| vec![pair("source_affiliate", campaign.affiliate)],
        newer: true,
    },
    AdminReport {
        path: "2/reports.asmx/AffiliateSummary",
        declared: &[
            "affiliate_id",
            "affiliate_manager_id",
            "affiliate_tag_id",
            "offer_tag_id",
            "event_id",
            "revenue_filter",
        ],
        names: Names { root: "affiliate_summary_response", container: "affiliates", row: "affiliate_summary" },
        group: |campaign| campaign.affiliate.0,
        label: |campaign| vec![pair("affiliate", campaign.affiliate)],
        newer: false,
    },
    AdminReport {
        path: "4/reports.asmx/SiteOfferSummary",
        declared: &[
            "brand_advertiser_id",
            "brand_advertiser_manager_id",
            "site_offer_id",
            "site_offer_tag_id",
            "source_affiliate_tag_id",
            "event_id",
            "event_type",
        ],
        names: Names {
            root: "site_offer_summary_report_response",
            container: "site_offers",
            row: "site_offer_summary",
        },
        group: |campaign| campaign.offer.0,
        label: |campaign| vec![pair("site_offer", campaign.offer)],
        newer: true,
    },
    AdminReport {
        path: "3/reports.asmx/OfferSummary",
        declared: &[
            "advertiser_id",
            "advertiser_manager_id",
            "offer_id",
            "offer_tag_id",
            "affiliate_tag_id",
            "event_id",
            "revenue_filter",
        ],
        names: Names { root: "offer_summary_report_response", container: "offers", row: "offer_summary" },
        group: |campaign| campaign.offer.0,
        label: |campaign| vec![pair("offer", campaign.offer)],
        newer: false,
    },
    AdminReport {
        path: "3/reports.asmx/BrandAdvertiserSummary",
        declared: &[
            "brand_advertiser_id",
            "brand_advertiser_manager_id",
            "brand_advertiser_tag_id",
            "event_id",
            "event_type",
        ],
        names: Names {
            root: "brand_advertiser_summary_response",
            container: "brand_advertisers",
            row: "brand_advertiser_summary",
        },
        group: |campaign| campaign.advertiser.0,
        label: |campaign| vec![pair("brand_advertiser", campaign.advertiser)],
        newer: true,
    },
    AdminReport {
        path: "2/reports.asmx/DailySummaryExport",
        declared: &[
            "source_affiliate_id",
            "brand_advertiser_id",
            "site_offer_id",
            "vertical_id",
            "campaign_id",
            "creative_id",
            "account_manager_id",
            "include_tests",
        ],
        names: Names { root: "", container: "", row: "" },
        group: |_| 0,
        label: |_| Vec::new(),
        newer: false,
    },
    AdminReport {
        path: "1/reports.asmx/DailySummaryExport",
        declared: &[
            "affiliate_id",
            "advertiser_id",
            "offer_id",
            "vertical_id",
            "campaign_id",
            "creative_id",
            "account_manager_id",
            "include_tests",
        ],
        names: Names { root: "", container: "", row: "" },
        group: |_| 0,
        label: |_| Vec::new(),
        newer: false,
    },
];
