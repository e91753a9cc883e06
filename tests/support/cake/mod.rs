//! A CAKE network.
//!
//! Serves the newer affiliate paths, the classic `.asmx` services of affiliates and those of the network, over the
//! same made-up traffic. What CAKE leaves undocumented is a reading that a test chooses; what it documents is
//! enforced: every declared parameter, the formats of dates and ids, the longest range, the key of the right portal.

mod affiliate;
mod asked;
mod network;
mod written;

use std::collections::BTreeMap;

use affzero_connections::platforms::calendar::DateRange;
use jiff::civil::{Date, DateTime};
use rust_decimal::Decimal;

use self::affiliate::{hours_of, sum_of, unknown_method};
use self::asked::{Asked, bind, cannot_convert, moment, unbound};
use self::written::{Envelope, Line, Names, Value, field, pair, refused_xml};
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
