//! A network on Affise, with its owner, its affiliates and their traffic.
//!
//! Built from what the vendor documents: one host for both portals, the key deciding which; parameters checked
//! strictly, so that a request the real API would refuse is refused here; native types as they come (traffic as text,
//! money as numbers, a removed affiliate as `null`). Where the real networks differ from each other a public field of
//! [`Affise`] chooses.
//!
//! Traffic is kept by UTC hour and put into the days of the zone asked for, so a change of zone really moves it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};

use super::tracker::{Reply, Request, Tracker, carried};

/// The key of a manager who may see everything.
pub const ADMIN_KEY: &str = "canarye2f4b80913a5c1d7e2f4b80913";
/// The key of affiliate [`AFFILIATE_ID`].
pub const AFFILIATE_KEY: &str = "canaryf3a5c91024b6d2e8f3a5c91024";
/// The key of an advertiser, who has no statistics to read.
pub const ADVERTISER_KEY: &str = "canarya4b6d02135c7e3f9a4b6d02135";
/// The affiliate behind [`AFFILIATE_KEY`].
pub const AFFILIATE_ID: u32 = 71;

/// The first day with traffic, in UTC.
pub const FIRST_DAY: Date = date(2026, 8, 31);
/// The last day with traffic, in UTC.
pub const LAST_DAY: Date = date(2026, 10, 4);

const SLICES: [&str; 13] = [
    "year",
    "month",
    "day",
    "hour",
    "affiliate",
    "offer",
    "advertiser",
    "country",
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
];
const ADMIN_SLICES: [&str; 4] = ["affiliate", "advertiser", "manager", "smart_id"];
const ORDERS: [&str; 6] = ["year", "month", "day", "hour", "offer", "country"];
const LARGEST_PAGE: usize = 500;

/// Conversions of one state. Money is in ten-thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    pub count: i64,
    /// What the advertiser owes.
    pub charge: i64,
    /// What the affiliate is owed.
    pub revenue: i64,
}

/// Numbers that add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    pub views: i64,
    pub clicks: i64,
    pub hosts: i64,
    pub confirmed: State,
    pub pending: State,
    pub declined: State,
    pub hold: State,
    pub not_found: State,
}

/// The traffic of one UTC hour from one affiliate to one offer.
#[derive(Debug, Clone, Copy)]
pub struct Hour {
    pub at: Timestamp,
    pub affiliate: u32,
    pub offer: u32,
    /// Empty where the visitor's country was not found out.
    pub country: &'static str,
    pub numbers: Numbers,
}

/// Whose key was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Network,
    Affiliate,
    Advertiser,
}

/// What stands in the network's money fields when an affiliate asks; it is not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkMoney {
    Zero,
    Absent,
    SameAsRevenue,
}

/// A network, and how its installation behaves.
#[derive(Debug, Clone)]
pub struct Affise {
    pub traffic: Vec<Hour>,
    /// Affiliates that no longer exist: their rows name nobody.
    pub removed: BTreeSet<u32>,
    /// The most rows of a page, if fewer than were asked for.
    pub rows_per_page: usize,
    /// Whether `/3.1/user/me` exists.
    pub returns_role: bool,
    /// What `user.type` says of the network's side.
    pub role: &'static str,
    /// Whether the key may read the custom report.
    pub may_read_statistics: bool,
    /// Whether the key may read the network's currencies.
    pub may_read_currencies: bool,
    /// Slices that the key may not read by.
    pub denied_slices: Vec<&'static str>,
    /// Whether calls from here are refused for where they come from.
    pub refuses_address: bool,
    /// The network's default currency.
    pub currency: &'static str,
    /// The key that error texts stand under.
    pub error_key: &'static str,
    /// Whether errors come with status 200.
    pub errors_in_success: bool,
    /// What an affiliate finds in `charge` and `earning`.
    pub network_money: NetworkMoney,
    /// Whether impressions are switched on.
    pub impressions: bool,
    /// Whether rows without conversions have `[]` for `actions`.
    pub empty_actions: bool,
    /// Whether `actions.total` is given.
    pub totals: bool,
    /// The longest range, in days.
    pub longest_range: i32,
    /// The zone of days when none is asked for.
    pub zone: &'static str,
}

impl Default for Affise {
    fn default() -> Self {
        Self {
            traffic: made_up_traffic(),
            removed: BTreeSet::from([90, 91]),
            rows_per_page: LARGEST_PAGE,
            returns_role: true,
            role: "common_manager",
            may_read_statistics: true,
            may_read_currencies: true,
            denied_slices: Vec::new(),
            refuses_address: false,
            currency: "EUR",
            error_key: "message",
            errors_in_success: false,
            network_money: NetworkMoney::Zero,
            impressions: true,
            empty_actions: false,
            totals: true,
            longest_range: 180,
            zone: "Europe/Moscow",
        }
    }
}

/// Traffic of five weeks: a few affiliates (two of them removed), offers and countries, the same on every run.
fn made_up_traffic() -> Vec<Hour> {
    let mut random = fastrand::Rng::with_seed(71);
    let mut traffic = Vec::new();
    let first = TimeZone::UTC.to_timestamp(FIRST_DAY.at(0, 0, 0, 0)).expect("a day");
    let hours = 24 * (i64::from((LAST_DAY - FIRST_DAY).get_days()) + 1);
    for hour in 0..hours {
        for _ in 0..4 {
            traffic.push(Hour {
                at: first + hour.hours(),
                affiliate: random.choice([71, 71, 72, 5000, 90, 91]).expect("a choice"),
                offer: random.choice([906, 907, 908]).expect("a choice"),
                country: random.choice(["US", "DE", "BR", ""]).expect("a choice"),
                numbers: made_up_numbers(&mut random),
            });
        }
    }
    traffic
}

fn made_up_numbers(random: &mut fastrand::Rng) -> Numbers {
    let clicks = random.i64(1..200);
    let mut state = |most: i64| {
        let count = random.i64(0..=most);
        // Now and then an adjustment takes more back than the hour brought in.
        let charge = if random.u8(0..20) == 0 { -count * 12_345 } else { count * random.i64(10_000..90_000) };
        State { count, charge, revenue: charge * 7 / 10 }
    };
    let (confirmed, pending, declined, hold, not_found) = (state(3), state(1), state(1), state(1), state(0));
    Numbers { views: clicks * 3, clicks, hosts: clicks * 4 / 5, confirmed, pending, declined, hold, not_found }
}

impl State {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.charge += other.charge;
        self.revenue += other.revenue;
    }
}

impl Numbers {
    /// Adds another row's numbers.
    pub fn add(&mut self, other: &Self) {
        self.views += other.views;
        self.clicks += other.clicks;
        self.hosts += other.hosts;
        self.confirmed.add(&other.confirmed);
        self.pending.add(&other.pending);
        self.declined.add(&other.declined);
        self.hold.add(&other.hold);
        self.not_found.add(&other.not_found);
    }

    /// Conversions of all states.
    pub fn conversions(&self) -> i64 {
        self.total().count
    }

    fn states(&self) -> [(&'static str, State); 5] {
        [
            ("confirmed", self.confirmed),
            ("pending", self.pending),
            ("declined", self.declined),
            ("hold", self.hold),
            ("not_found", self.not_found),
        ]
    }

    fn total(&self) -> State {
        let mut total = State::default();
        for (_, state) in self.states() {
            total.add(&state);
        }
        total
    }
}

/// An advertiser's id is a text, unlike all others.
fn advertiser_of(offer: u32) -> &'static str {
    if offer == 908 { "5f10a4be00000000000000a2" } else { "5f10a4be00000000000000a1" }
}

/// What a link of that hour carried in a sub-id.
pub fn sub_of(hour: &Hour, sub: &str) -> String {
    let number = sub.strip_prefix("sub").and_then(|number| number.parse().ok()).expect("a sub-id");
    carried(number, hour.country, hour.offer)
}

impl Affise {
    /// What a report must add up to, by the ids of `dimensions` (in the words of our API), for the local days of `zone`.
    pub fn expected(
        &self,
        owner: Owner,
        dimensions: &[&str],
        from: Date,
        to: Date,
        zone: &str,
    ) -> BTreeMap<Vec<String>, Numbers> {
        let rules = TimeZone::get(zone).expect("a zone");
        let mut sums: BTreeMap<Vec<String>, Numbers> = BTreeMap::new();
        for hour in self.traffic.iter().filter(|hour| owner == Owner::Network || hour.affiliate == AFFILIATE_ID) {
            let local = rules.to_datetime(hour.at);
            if !(from..=to).contains(&local.date()) {
                continue;
            }
            let id = |dimension: &&str| match *dimension {
                "date" => local.date().to_string(),
                "hour" => format!("{:02}", local.hour()),
                "affiliate" if self.removed.contains(&hour.affiliate) => "unknown".to_owned(),
                "affiliate" => hour.affiliate.to_string(),
                "offer" => hour.offer.to_string(),
                "advertiser" => advertiser_of(hour.offer).to_owned(),
                "country" if hour.country.is_empty() => "unknown".to_owned(),
                "country" => hour.country.to_owned(),
                sub if sub.starts_with("sub") => sub_of(hour, sub),
                other => panic!("Affise has no {other}"),
            };
            sums.entry(dimensions.iter().map(id).collect()).or_default().add(&hour.numbers);
        }
        sums
    }

    fn error(&self, status: u16, text: &str) -> Reply {
        let status = if self.errors_in_success { 200 } else { status };
        Reply::json(status, &json!({"status": 2, self.error_key: text}))
    }

    fn denied(&self) -> Reply {
        self.error(403, "Auth Denied")
    }

    fn owner(&self, request: &Request) -> Option<Owner> {
        match request.header("api-key")? {
            ADMIN_KEY => Some(Owner::Network),
            AFFILIATE_KEY => Some(Owner::Affiliate),
            ADVERTISER_KEY => Some(Owner::Advertiser),
            _ => None,
        }
    }

    fn user(&self, owner: Owner) -> Reply {
        let (role, id, key) = match owner {
            Owner::Network => (self.role, "65aa00112233445566778899", ADMIN_KEY),
            Owner::Affiliate => ("affiliate", "65aa00112233445566770071", AFFILIATE_KEY),
            Owner::Advertiser => ("advertiser", "65aa001122334455667700a1", ADVERTISER_KEY),
        };
        Reply::json(
            200,
            &json!({"status": 1, "user": {"id": id, "first_name": "A", "last_name": "B", "email": "someone@network.example",
                "type": role, "roles": [], "api_key": key, "permissions": {}}}),
        )
    }

    fn partner(&self, owner: Owner) -> Reply {
        if owner != Owner::Affiliate {
            return self.denied();
        }
        Reply::json(
            200,
            &json!({"status": 1, "user": {"partner_id": AFFILIATE_ID, "id": "65aa00112233445566770071",
                "email": "someone@affiliate.example", "login": "a", "name": null, "status": "1",
                "timezone": "Europe/Riga", "type": "affiliate", "api_key": AFFILIATE_KEY}}),
        )
    }

    fn currencies(&self, owner: Owner, extended: bool) -> Reply {
        if owner != Owner::Network || !self.may_read_currencies {
            return self.denied();
        }
        if !extended {
            return Reply::json(200, &json!({"status": 1, "quotes": {"USD": 1, self.currency: 1.1}}));
        }
        let quotes = json!([
            {"code": "BRL", "default": false, "active": true, "rate": 5.4},
            {"code": self.currency, "default": true, "active": true, "rate": 1},
        ]);
        Reply::json(200, &json!({"status": 1, "quotes": quotes}))
    }

    fn custom(&self, owner: Owner, request: &Request) -> Reply {
        if owner == Owner::Advertiser || !self.may_read_statistics {
            return self.denied();
        }
        match ReportRequest::read(self, owner, request) {
            Ok(question) => self.page(owner, &question),
            Err(refusal) => refusal,
        }
    }

    fn page(&self, owner: Owner, question: &ReportRequest) -> Reply {
        let mut rows: BTreeMap<Vec<String>, (Value, Numbers)> = BTreeMap::new();
        for hour in self.traffic.iter().filter(|hour| owner == Owner::Network || hour.affiliate == AFFILIATE_ID) {
            let local = question.zone.to_datetime(hour.at);
            if (question.from..=question.to).contains(&local.date()) {
                let slice = self.slice(question, hour, local);
                let (_, numbers) =
                    rows.entry(question.place(hour, local)).or_insert_with(|| (slice, Numbers::default()));
                numbers.add(&hour.numbers);
            }
        }
        let size = question.limit.min(self.rows_per_page);
        let total = rows.len();
        let stats: Vec<Value> = rows
            .into_values()
            .skip((question.page - 1) * size)
            .take(size)
            .map(|(slice, numbers)| self.row(owner, &slice, &numbers))
            .collect();
        let mut pagination = json!({"per_page": size, "total_count": total, "page": question.page});
        if question.page * size < total {
            pagination["next_page"] = json!(question.page + 1);
        }
        Reply::json(200, &json!({"status": 1, "stats": stats, "pagination": pagination}))
    }

    fn slice(&self, question: &ReportRequest, hour: &Hour, local: jiff::civil::DateTime) -> Value {
        let part = |name: &String| {
            let value = match name.as_str() {
                "year" => json!(local.year()),
                "month" => json!(local.month()),
                "day" => json!(local.day()),
                "hour" => json!(local.hour()),
                "affiliate" if self.removed.contains(&hour.affiliate) => Value::Null,
                "affiliate" => {
                    let title = format!("Affiliate {}", hour.affiliate);
                    json!({"id": hour.affiliate, "title": title, "email": "a@affiliate.example", "login": title, "name": null})
                }
                "offer" => json!({"id": hour.offer, "offer_id": format!("5f10a4be0000000000000{}", hour.offer),
                    "title": format!("Offer {}", hour.offer), "status": "active"}),
                "advertiser" => json!({"id": advertiser_of(hour.offer), "title": "Advertiser"}),
                "country" => json!(hour.country),
                sub => json!(sub_of(hour, sub)),
            };
            (name.clone(), value)
        };
        Value::Object(question.slices.iter().map(part).collect())
    }

    fn row(&self, owner: Owner, slice: &Value, numbers: &Numbers) -> Value {
        let mut row = json!({
            "slice": slice,
            "traffic": {"raw": numbers.clicks.to_string(), "uniq": numbers.hosts.to_string()},
            "actions": self.actions(owner, numbers),
            "cr": {"total": 2.23}, "ratio": "1:NaN", "epc": 0.1043, "trafficback": 12,
        });
        if self.impressions {
            row["views"] = json!(numbers.views);
        }
        row
    }

    fn actions(&self, owner: Owner, numbers: &Numbers) -> Value {
        if self.empty_actions && numbers.conversions() == 0 {
            return json!([]);
        }
        let total = self.totals.then(|| ("total", numbers.total()));
        let blocks: Map<String, Value> = total
            .into_iter()
            .chain(numbers.states())
            .map(|(name, state)| (name.to_owned(), self.block(owner, state)))
            .collect();
        Value::Object(blocks)
    }

    fn block(&self, owner: Owner, state: State) -> Value {
        let mut block = json!({"revenue": money(state.revenue), "null": 0, "count": state.count});
        let (charge, earning) = match (owner, self.network_money) {
            (Owner::Affiliate, NetworkMoney::Absent) => return block,
            (Owner::Affiliate, NetworkMoney::Zero) => (0, 0),
            (Owner::Affiliate, NetworkMoney::SameAsRevenue) => (state.revenue, state.revenue),
            _ => (state.charge, state.charge - state.revenue),
        };
        block["charge"] = money(charge);
        block["earning"] = money(earning);
        block
    }
}

/// A number as Affise writes money: an integer when whole, else up to four decimals.
fn money(ten_thousandths: i64) -> Value {
    if ten_thousandths % 10_000 == 0 {
        return json!(ten_thousandths / 10_000);
    }
    // Amounts here are small enough for the nearest binary number to print as the very same digits.
    json!(ten_thousandths as f64 / 10_000.0)
}

/// A question to the custom report that the real API would answer.
struct ReportRequest {
    slices: Vec<String>,
    order: Vec<String>,
    from: Date,
    to: Date,
    zone: TimeZone,
    page: usize,
    limit: usize,
}

impl ReportRequest {
    fn read(network: &Affise, owner: Owner, request: &Request) -> Result<Self, Reply> {
        let bad = |text: &str| network.error(400, text);
        let known = [
            "slice[]",
            "order[]",
            "filter[date_from]",
            "filter[date_to]",
            "timezone",
            "page",
            "limit",
            "orderType",
            "locale",
        ];
        if let Some((name, _)) = request.query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            return Err(bad(&format!("unknown parameter {name}")));
        }
        let owned = |name: &str| request.params(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let (slices, order) = (owned("slice[]"), owned("order[]"));
        if slices.is_empty() {
            return Err(bad("slice is required"));
        }
        if owner == Owner::Affiliate && slices.iter().any(|name| ADMIN_SLICES.contains(&name.as_str())) {
            return Err(network.denied());
        }
        if slices.iter().any(|name| network.denied_slices.contains(&name.as_str())) {
            return Err(network.denied());
        }
        if slices.iter().any(|name| !SLICES.contains(&name.as_str())) {
            return Err(bad("unknown slice"));
        }
        if order.iter().any(|name| !ORDERS.contains(&name.as_str())) {
            return Err(network.denied());
        }
        let day = |name: &str| request.param(name).and_then(|text| text.parse::<Date>().ok());
        let (Some(from), Some(to)) = (day("filter[date_from]"), day("filter[date_to]")) else {
            return Err(bad("date_from and date_to are required"));
        };
        if to < from || (to - from).get_days() >= network.longest_range {
            return Err(bad("the range of dates is not valid"));
        }
        let Ok(zone) = TimeZone::get(request.param("timezone").unwrap_or(network.zone)) else {
            return Err(bad("timezone is not valid"));
        };
        let number = |name: &str, default: usize| request.param(name).map_or(Some(default), |text| text.parse().ok());
        match (number("page", 1), number("limit", 100)) {
            (Some(page @ 1..), Some(limit @ 1..=LARGEST_PAGE)) => {
                Ok(Self { slices, order, from, to, zone, page, limit })
            }
            _ => Err(bad("page or limit is not valid")),
        }
    }

    /// Where a row stands: by the order asked for, then somewhere, but always at the same place.
    fn place(&self, hour: &Hour, local: jiff::civil::DateTime) -> Vec<String> {
        let part = |name: &String| match name.as_str() {
            "year" => local.year().to_string(),
            "month" => format!("{:02}", local.month()),
            "day" => format!("{:02}", local.day()),
            "hour" => format!("{:02}", local.hour()),
            "affiliate" => hour.affiliate.to_string(),
            "offer" => hour.offer.to_string(),
            "advertiser" => advertiser_of(hour.offer).to_owned(),
            "country" => hour.country.to_owned(),
            sub => sub_of(hour, sub),
        };
        self.order.iter().chain(&self.slices).map(part).collect()
    }
}

impl Tracker for Affise {
    fn answer(&self, request: &Request) -> Reply {
        if request.method != "GET" {
            return self.error(404, "Page Not Found");
        }
        let Some(owner) = self.owner(request) else {
            return self.error(401, "Token is necessary");
        };
        if self.refuses_address {
            return self.error(403, "Your IP is not in the allow list");
        }
        match request.path.as_str() {
            "/3.1/user/me" if self.returns_role => self.user(owner),
            "/3.1/partner/me" => self.partner(owner),
            "/3.0/admin/currency" => self.currencies(owner, false),
            "/3.0/admin/currency_extended" => self.currencies(owner, true),
            "/3.0/stats/custom" => self.custom(owner, request),
            _ => self.error(404, "Resource Not Found"),
        }
    }
}
