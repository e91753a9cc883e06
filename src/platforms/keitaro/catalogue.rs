//! What the catalogue says of Keitaro.

use super::super::catalogue::{Combinations, Described, TimezoneAbility};
use super::super::schema::{CURRENCY, Field};
use super::super::stats::{Against, DayOfConversion, Dimension, Metric, Perspective};

pub(super) const SUMMARY: &str = "Self-hosted tracker for media buyers; needs an edition with the Admin API.";

const BASE_URL: Field = Field::text(
    "base_url",
    "Panel address",
    "The address where you log in to Keitaro. The domains that carry your campaigns do not answer.",
    "https://panel.example.com",
);

const API_KEY: Field = Field::secret(
    "api_key",
    "Admin API key",
    "In Keitaro: Maintenance → Users, choose a user, Admin API keys; or API keys in your own account. The connection sees what the key's user sees: take an administrator's for whole numbers.",
    "0123456789abcdef0123456789abcdef",
)
.explained_at("https://docs.keitaro.io/en/development/admin-api.html");

/// On which day a conversion counts is a setting of the panel (the click's or its own), which no answer shows. With the
/// click's, numbers of past days still change when a lead becomes a sale.
/// What `sub1` to `sub10` are called there.
const SUBS: &[&str] = &[
    "Sub ID 1",
    "Sub ID 2",
    "Sub ID 3",
    "Sub ID 4",
    "Sub ID 5",
    "Sub ID 6",
    "Sub ID 7",
    "Sub ID 8",
    "Sub ID 9",
    "Sub ID 10",
];

pub(super) fn admin() -> Described {
    Described {
        title: "Tracker",
        recommended: true,
        sees: "The whole tracker, or without notice only the part of it that the key's user may see",
        use_when: "You run your own Keitaro, or have a user with an Admin API key on one. Conversions count on the day that the panel's own settings choose: the click's or their own",
        settings: vec![BASE_URL, CURRENCY],
        credentials: vec![API_KEY],
        dimensions: &[
            Dimension::Date,
            Dimension::Hour,
            Dimension::Campaign,
            Dimension::Offer,
            Dimension::AffiliateNetwork,
            Dimension::TrafficSource,
            Dimension::Country,
        ],
        subs: SUBS,
        undivided: &[],
        combinations: Combinations { max: 3, only: None },
        metrics: &[
            (Metric::Clicks, "clicks"),
            (Metric::UniqueClicks, "campaign_unique_clicks"),
            (Metric::Conversions, "conversions"),
            (Metric::Approved, "sales"),
            (Metric::Pending, "leads"),
            (Metric::Rejected, "rejected"),
            (Metric::Revenue, "revenue"),
            (Metric::Cost, "cost"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[(Some(&[]), Against::SameSource), (None, Against::Independent)],
        day_of_conversion: DayOfConversion::AccountSetting,
        perspective: Perspective::MediaBuyer,
    }
}
