//! What the catalogue says of TUNE.

use super::super::catalogue::{Combinations, Described, TimezoneAbility};
use super::super::schema::{CURRENCY, Field};
use super::super::stats::{Against, DayOfConversion, Dimension, Metric, Perspective};
use super::network::NETWORK_ID;

pub(super) const SUMMARY: &str = "Affiliate networks running on TUNE (formerly HasOffers).";

const NETWORK: Field = Field::text(
    NETWORK_ID,
    "Network ID",
    "The network's short name: acme if the portal is at acme.hasoffers.com. A pasted address of that kind is understood. If the portal has a domain of its own, the network's owner finds the ID in TUNE under Company → Support → API; affiliates find it on the portal's API page, or ask their affiliate manager.",
    "acme",
);

const TIMEZONE: Field = Field::text(
    "timezone",
    "Time zone",
    "The time zone that the network reports in, as an IANA name; the portal shows it beside the date range of a report. TUNE's API does not name it. Left out, days are the network's own, whichever zone that is.",
    "America/New_York",
)
.optional();

/// What `sub1` to `sub5` are called there.
const SUBS: &[&str] = &["Affiliate sub 1", "Affiliate sub 2", "Affiliate sub 3", "Affiliate sub 4", "Affiliate sub 5"];

pub(super) fn admin() -> Described {
    Described {
        title: "Network",
        recommended: true,
        sees: "Full network data: all affiliates, all offers, all advertisers",
        use_when: "You own or manage the network",
        settings: vec![NETWORK, TIMEZONE, CURRENCY],
        credentials: vec![Field::secret(
            "api_key",
            "Network token",
            "In TUNE under Company → Support → API; an employee needs the permission for brand management to see it. API access has to be part of the network's plan. If the token is bound to addresses there, add those of this service.",
            "NETxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        )],
        dimensions: &[
            Dimension::Date,
            Dimension::Hour,
            Dimension::Affiliate,
            Dimension::Offer,
            Dimension::Advertiser,
            Dimension::Country,
        ],
        subs: SUBS,
        undivided: &[],
        combinations: Combinations { max: 3, only: None },
        metrics: &[
            (Metric::Impressions, "Stat.impressions"),
            (Metric::Clicks, "Stat.clicks"),
            (Metric::UniqueClicks, "Stat.unique_clicks"),
            (Metric::Conversions, "Stat.conversions (all goals)"),
            (Metric::Revenue, "Stat.revenue"),
            (Metric::Payout, "Stat.payout"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[(None, Against::Independent)],
        day_of_conversion: DayOfConversion::Conversion,
        perspective: Perspective::Network,
    }
}

pub(super) fn affiliate() -> Described {
    Described {
        title: "Affiliate Portal",
        recommended: false,
        sees: "Your own traffic, conversions and earnings",
        use_when: "You are an affiliate of the network",
        settings: vec![NETWORK, TIMEZONE, CURRENCY],
        credentials: vec![Field::secret(
            "api_key",
            "Affiliate API key",
            "In the network's affiliate portal on its API page. If there is no such page, ask your affiliate manager to switch API access on.",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        )],
        dimensions: &[Dimension::Date, Dimension::Hour, Dimension::Offer, Dimension::Country],
        subs: SUBS,
        undivided: &[],
        combinations: Combinations { max: 3, only: None },
        metrics: &[
            (Metric::Impressions, "Stat.impressions"),
            (Metric::Clicks, "Stat.clicks"),
            (Metric::UniqueClicks, "Stat.unique_clicks"),
            (Metric::Conversions, "Stat.conversions (all goals)"),
            (Metric::Revenue, "Stat.payout"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[(None, Against::Independent)],
        day_of_conversion: DayOfConversion::Conversion,
        perspective: Perspective::Affiliate,
    }
}
