//! What the catalogue says of Affise.

use super::super::catalogue::{Combinations, Described, TimezoneAbility};
use super::super::schema::{CURRENCY, Field};
use super::super::stats::{Against, DayOfConversion, Dimension, Metric, Perspective};

pub(super) const SUMMARY: &str = "Performance marketing networks running on Affise.";

const SETTINGS: &[Field] = &[
    Field::text(
        "base_url",
        "API address",
        "The network's API address, usually https://api-<network>.affise.com. Network owners find it under Settings → Domains (row API URL); affiliates ask their account manager.",
        "https://api-brand.affise.com",
    ),
    CURRENCY,
];

/// What `sub1` to `sub5` are called there.
const SUBS: &[&str] = &["Sub 1", "Sub 2", "Sub 3", "Sub 4", "Sub 5"];

pub(super) fn admin() -> Described {
    Described {
        title: "Admin Portal",
        recommended: true,
        sees: "Full network data: all affiliates, all offers, all advertisers",
        use_when: "You own or manage the network",
        settings: SETTINGS.to_vec(),
        credentials: vec![
            Field::secret(
                "api_key",
                "API key",
                "In the admin panel under Users → Users management → your user (a General manager can open it). The connection sees what that user sees: a General manager everything, an affiliate or account manager the part in their charge, without notice.",
                "0123456789abcdef0123456789abcdef",
            )
            .explained_at("https://help-center.affise.com/en/articles/4127292-getting-started-with-api"),
        ],
        dimensions: &[
            Dimension::Date,
            Dimension::Hour,
            Dimension::Affiliate,
            Dimension::Offer,
            Dimension::Advertiser,
            Dimension::Country,
        ],
        subs: SUBS,
        undivided: &[Dimension::Date],
        combinations: Combinations { max: 3, only: None },
        metrics: &[
            (Metric::Impressions, "views"),
            (Metric::Clicks, "traffic.raw"),
            (Metric::UniqueClicks, "traffic.uniq"),
            (Metric::Conversions, "actions.total.count"),
            (Metric::Approved, "actions.confirmed.count"),
            (Metric::Pending, "actions.pending.count"),
            (Metric::Rejected, "actions.declined.count"),
            (Metric::Hold, "actions.hold.count"),
            (Metric::Revenue, "actions.confirmed.charge"),
            (Metric::Payout, "actions.confirmed.revenue"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[(None, Against::SameSource)],
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
        settings: SETTINGS.to_vec(),
        credentials: vec![
            Field::secret(
                "api_key",
                "API key",
                "In the affiliate panel under Settings → Security (older panels: Profile → API-key).",
                "0123456789abcdef0123456789abcdef",
            )
            .explained_at("https://help-center.affise.com/en/articles/4127292-getting-started-with-api"),
        ],
        dimensions: &[Dimension::Date, Dimension::Hour, Dimension::Offer, Dimension::Country],
        subs: SUBS,
        undivided: &[Dimension::Date],
        combinations: Combinations { max: 3, only: None },
        metrics: &[
            (Metric::Impressions, "views"),
            (Metric::Clicks, "traffic.raw"),
            (Metric::UniqueClicks, "traffic.uniq"),
            (Metric::Conversions, "actions.total.count"),
            (Metric::Approved, "actions.confirmed.count"),
            (Metric::Pending, "actions.pending.count"),
            (Metric::Rejected, "actions.declined.count"),
            (Metric::Hold, "actions.hold.count"),
            (Metric::Revenue, "actions.confirmed.revenue"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[(None, Against::SameSource)],
        day_of_conversion: DayOfConversion::Conversion,
        perspective: Perspective::Affiliate,
    }
}
