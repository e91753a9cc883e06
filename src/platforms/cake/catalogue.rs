//! What the catalogue says of CAKE.

use super::super::catalogue::{Combinations, Described, TimezoneAbility};
use super::super::schema::{CURRENCY, Field};
use super::super::stats::{Against, DayOfConversion, Dimension, Metric, Perspective, SubId};

pub(super) const SUMMARY: &str = "Performance marketing networks running on CAKE.";

const DOMAIN: Field = Field::text(
    "domain",
    "Domain",
    "The address at which you log in to the network's portal: its subdomain alone (acme for acme.cakemarketing.com), the whole host, or the URL.",
    "acme",
);

const TIMEZONE: Field = Field::text(
    "timezone",
    "Time zone",
    "The time zone your account reports in, as an IANA name; in the affiliate portal it stands under Account Info > Timezone. CAKE counts days in this zone only and its API does not name it.",
    "America/New_York",
)
.optional();

/// What affiliates call a sub-affiliate.
const SUB: Dimension = Dimension::Sub(SubId::nth(1));

pub(super) fn affiliate() -> Described {
    Described {
        title: "Affiliate Portal",
        recommended: true,
        sees: "Your own traffic, conversions and earnings",
        use_when: "You are an affiliate of the network",
        settings: vec![
            DOMAIN,
            Field::text(
                "affiliate_id",
                "Affiliate ID",
                "Shown beside the API key, under Reporting API at the top right of the affiliate portal. Many networks refuse the key without it.",
                "12345",
            )
            .optional()
            .matching("^[0-9]{1,18}$"),
            TIMEZONE,
            CURRENCY,
        ],
        credentials: vec![Field::secret(
            "api_key",
            "API key",
            "In the affiliate portal under Reporting API at the top right, or under your account name > Account Settings > API. If there is none, ask your affiliate manager to turn API access on. A pasted key|affiliate_id is understood.",
            "AbCdEfGhIjKlMnOp",
        )],
        dimensions: &[Dimension::Date, Dimension::Hour, Dimension::Offer, Dimension::Campaign],
        subs: &["Sub-affiliate"],
        undivided: &[],
        combinations: Combinations {
            max: 3,
            only: Some(vec![
                vec![Dimension::Date],
                vec![Dimension::Hour],
                vec![Dimension::Offer],
                vec![Dimension::Campaign],
                vec![Dimension::Date, Dimension::Hour],
                vec![Dimension::Date, Dimension::Offer],
                vec![Dimension::Date, Dimension::Campaign],
                vec![Dimension::Offer, Dimension::Campaign],
                vec![Dimension::Date, Dimension::Offer, Dimension::Campaign],
                vec![SUB],
                vec![Dimension::Date, SUB],
            ]),
        },
        metrics: &[
            (Metric::Impressions, "impressions"),
            (Metric::Clicks, "clicks"),
            (Metric::Conversions, "conversions (conversion_type=all)"),
            (Metric::Revenue, "revenue"),
        ],
        timezone: TimezoneAbility::Account,
        // The reports by date, hour and sub-affiliate carry no sums of their own.
        integrity: &[
            (Some(&[Dimension::Offer]), Against::Independent),
            (Some(&[Dimension::Campaign]), Against::Independent),
            (Some(&[Dimension::Date, Dimension::Offer]), Against::Independent),
            (Some(&[Dimension::Date, Dimension::Campaign]), Against::Independent),
            (Some(&[Dimension::Offer, Dimension::Campaign]), Against::Independent),
            (Some(&[Dimension::Date, Dimension::Offer, Dimension::Campaign]), Against::Independent),
            (None, Against::None),
        ],
        day_of_conversion: DayOfConversion::Conversion,
        perspective: Perspective::Affiliate,
    }
}

pub(super) fn admin() -> Described {
    Described {
        title: "Admin Portal",
        recommended: false,
        sees: "Full network data: all affiliates, all offers, all advertisers",
        use_when: "You own or manage the network",
        settings: vec![DOMAIN, TIMEZONE, CURRENCY],
        credentials: vec![
            Field::secret(
                "api_key",
                "API key",
                "In the admin portal under Admin > System Settings > API (older versions: Setup > Permissions > API key). An affiliate's key does not work here.",
                "AbCdEfGhIjKlMnOpQrStUvWx",
            )
            .explained_at("https://support.getcake.com/support/solutions/articles/13000118804-api-access-system-settings-in-cake"),
        ],
        dimensions: &[
            Dimension::Date,
            Dimension::Affiliate,
            Dimension::Offer,
            Dimension::Advertiser,
            Dimension::Campaign,
        ],
        subs: &[],
        undivided: &[],
        combinations: Combinations { max: 3, only: None },
        metrics: &[
            (Metric::Impressions, "views"),
            (Metric::Clicks, "clicks"),
            (Metric::Conversions, "macro_event_conversions (older: conversions)"),
            (Metric::Approved, "approved"),
            (Metric::Pending, "pending"),
            (Metric::Rejected, "rejected + returned"),
            (Metric::Revenue, "revenue"),
            (Metric::Payout, "cost"),
        ],
        timezone: TimezoneAbility::Account,
        integrity: &[(None, Against::SameSource)],
        day_of_conversion: DayOfConversion::Conversion,
        perspective: Perspective::Network,
    }
}
