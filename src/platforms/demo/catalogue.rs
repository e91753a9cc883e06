//! What the catalogue says of Demo.

use super::super::catalogue::{Combinations, Described, TimezoneAbility};
use super::super::schema::Field;
use super::super::stats::{Against, DayOfConversion, Dimension, Metric, Perspective};
use super::Scenario;

pub(super) const SUMMARY: &str = "Made-up numbers that behave like real ones: try everything without an account.";

const SCENARIO: Field = Field::text(
    Scenario::FIELD,
    "Scenario",
    "What happens when statistics are pulled. Every scenario can be saved; all but healthy then fail in their own way, so that each state can be seen.",
    Scenario::Healthy.key(),
)
.optional()
.one_of(&Scenario::KEYS, Scenario::Healthy.key());

const DIMENSIONS: &[Dimension] = &[
    Dimension::Date,
    Dimension::Hour,
    Dimension::Affiliate,
    Dimension::Offer,
    Dimension::Advertiser,
    Dimension::Campaign,
    Dimension::TrafficSource,
    Dimension::AffiliateNetwork,
    Dimension::Country,
];

const SUBS: &[&str] =
    &["Creative", "Placement", "Region", "Partner", "Product", "Keyword", "Sub 7", "Sub 8", "Sub 9", "Sub 10"];

const COMBINATIONS: Combinations = Combinations { max: 3, only: None };

pub(super) fn admin() -> Described {
    Described {
        title: "Admin Portal",
        recommended: true,
        sees: "A made-up network in full: all affiliates, all offers, all advertisers",
        use_when: "You want to see what a network owner sees",
        settings: vec![SCENARIO],
        credentials: Vec::new(),
        dimensions: DIMENSIONS,
        subs: SUBS,
        undivided: &[],
        combinations: COMBINATIONS,
        metrics: &[
            (Metric::Impressions, "impressions"),
            (Metric::Clicks, "clicks"),
            (Metric::UniqueClicks, "unique_clicks"),
            (Metric::Conversions, "approved + pending + rejected + hold"),
            (Metric::Approved, "approved"),
            (Metric::Pending, "pending"),
            (Metric::Rejected, "rejected"),
            (Metric::Hold, "hold"),
            (Metric::Revenue, "approved × charge"),
            (Metric::Payout, "approved × payout"),
            (Metric::Cost, "clicks × click cost"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[(None, Against::Independent)],
        day_of_conversion: DayOfConversion::Click,
        perspective: Perspective::Network,
    }
}

pub(super) fn affiliate() -> Described {
    Described {
        title: "Affiliate Portal",
        recommended: false,
        sees: "One made-up affiliate's own traffic, conversions and earnings",
        use_when: "You want to see what an affiliate sees",
        settings: vec![SCENARIO],
        credentials: Vec::new(),
        dimensions: DIMENSIONS,
        subs: SUBS,
        undivided: &[],
        combinations: COMBINATIONS,
        metrics: &[
            (Metric::Impressions, "impressions"),
            (Metric::Clicks, "clicks"),
            (Metric::UniqueClicks, "unique_clicks"),
            (Metric::Conversions, "approved + pending + rejected + hold"),
            (Metric::Approved, "approved"),
            (Metric::Pending, "pending"),
            (Metric::Rejected, "rejected"),
            (Metric::Hold, "hold"),
            (Metric::Revenue, "approved × payout"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[(None, Against::Independent)],
        day_of_conversion: DayOfConversion::Click,
        perspective: Perspective::Affiliate,
    }
}
