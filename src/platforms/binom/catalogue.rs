//! What the catalogue says of Binom.

use super::super::catalogue::{Combinations, Described, TimezoneAbility};
use super::super::schema::{CURRENCY, Field};
use super::super::stats::{Against, DayOfConversion, Dimension, Metric, Perspective};

pub(super) const SUMMARY: &str = "Self-hosted tracker for media buyers, generations v1 and v2.";

const BASE_URL: Field = Field::text(
    "base_url",
    "Tracker address",
    "Binom v2: the address of the tracker's domain. Binom v1: the whole address of the admin panel as the browser shows it, with its .php file. The generation is found out by itself.",
    "https://trk.example.com",
);

const API_KEY: Field = Field::secret(
    "api_key",
    "API key",
    "Binom v2: Settings → User. Binom v1: Settings, at the bottom of the page, block API. The connection sees what the key's user sees.",
    "0123456789abcdef0123456789abcdef01234567",
)
.explained_at("https://docs.binom.org/api-v2.php");

/// One entry for both generations: which one an installation is shows only when it is verified, and what it cannot
/// combine it refuses by name.
/// What `sub1` to `sub10` are called there.
const SUBS: &[&str] =
    &["Token 1", "Token 2", "Token 3", "Token 4", "Token 5", "Token 6", "Token 7", "Token 8", "Token 9", "Token 10"];

pub(super) fn admin() -> Described {
    Described {
        title: "Tracker",
        recommended: true,
        sees: "The whole tracker, or without notice only the campaigns and columns that the key's user may see",
        use_when: "You run your own Binom tracker, or have a user with an API key on one",
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
            (Metric::UniqueClicks, "unique_clicks"),
            (Metric::Conversions, "leads"),
            (Metric::Approved, "a_leads (v1 only, where switched on)"),
            (Metric::Rejected, "r_leads (v1 only, where switched on)"),
            (Metric::Hold, "h_leads (v1 only, where switched on)"),
            (Metric::Revenue, "revenue"),
            (Metric::Cost, "cost"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[
            (Some(&[Dimension::Offer]), Against::None),
            (Some(&[Dimension::Offer, Dimension::Date]), Against::None),
            (Some(&[Dimension::AffiliateNetwork]), Against::None),
            (Some(&[Dimension::AffiliateNetwork, Dimension::Date]), Against::None),
            (None, Against::Independent),
        ],
        day_of_conversion: DayOfConversion::Click,
        perspective: Perspective::MediaBuyer,
    }
}
