//! What the catalogue says of Everflow.

use super::super::catalogue::{Combinations, Described, TimezoneAbility};
use super::super::schema::Field;
use super::super::stats::{Against, DayOfConversion, Dimension, Metric, Perspective};
use super::{EU, REGION, US};

pub(super) const SUMMARY: &str = "Partner marketing networks running on Everflow.";

const SETTINGS: &[Field] = &[
    Field::text(
        REGION,
        "Region",
        "Where Everflow hosts the network: us (api.eflow.team) for nearly everyone, eu (api-eu.eflow.team) for the few networks that were given this address. Affiliates ask their network.",
        US,
    )
    .optional()
    .one_of(&[US, EU], US),
    Field::text(
        "currency",
        "Currency",
        "The currency the amounts are asked in (ISO 4217); Everflow converts into it. Left out, it is the account's default where the key can read it.",
        "USD",
    )
    .optional()
    .matching("^[A-Z]{3}$"),
];

const EXAMPLE_KEY: &str = "xxxxxxxxxxxxxxxxxxxxxx";

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
                "Network API key",
                "In Everflow under Control Center → Security → API Keys → + API Key; it is shown once. Give it the right to read reporting.",
                EXAMPLE_KEY,
            )
            .explained_at("https://helpdesk.everflow.io/customer/how-to-best-utilize-security-settings"),
        ],
        dimensions: &[
            Dimension::Date,
            Dimension::Hour,
            Dimension::Affiliate,
            Dimension::Offer,
            Dimension::Advertiser,
            Dimension::Campaign,
            Dimension::Country,
        ],
        subs: SUBS,
        undivided: &[Dimension::Date],
        combinations: Combinations { max: 3, only: None },
        metrics: &[
            (Metric::Impressions, "imp"),
            (Metric::Clicks, "total_click"),
            (Metric::UniqueClicks, "unique_click"),
            (Metric::Conversions, "cv"),
            (Metric::Approved, "cv"),
            (Metric::Hold, "on_hold_conversion_count"),
            (Metric::Revenue, "revenue"),
            (Metric::Payout, "payout"),
            (Metric::Cost, "media_buying_cost"),
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
        settings: SETTINGS.to_vec(),
        credentials: vec![Field::secret(
            "api_key",
            "Affiliate API key",
            "In the network's affiliate portal under My Account → API. If there is none, ask your affiliate manager: the network makes it under Manage Affiliate → API.",
            EXAMPLE_KEY,
        )],
        dimensions: &[Dimension::Date, Dimension::Hour, Dimension::Offer, Dimension::Country],
        subs: SUBS,
        undivided: &[Dimension::Date],
        combinations: Combinations { max: 3, only: None },
        metrics: &[
            (Metric::Impressions, "imp"),
            (Metric::Clicks, "total_click"),
            (Metric::UniqueClicks, "unique_click"),
            (Metric::Conversions, "cv"),
            (Metric::Approved, "cv"),
            (Metric::Hold, "on_hold_conversion_count"),
            (Metric::Revenue, "revenue"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[(None, Against::None)],
        day_of_conversion: DayOfConversion::Conversion,
        perspective: Perspective::Affiliate,
    }
}
