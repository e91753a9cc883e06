//! What the catalogue says of Voluum.

use super::super::catalogue::{Combinations, Described, TimezoneAbility};
use super::super::schema::Field;
use super::super::stats::{Against, DayOfConversion, Dimension, Metric, Perspective};
use super::CONVERSION_TIME_SETTING;

pub(super) const SUMMARY: &str = "Cloud tracker for media buyers.";

/// Here the currency does more than label: Voluum converts into it.
const CURRENCY: Field = Field::text(
    "currency",
    "Currency",
    "The currency to report in (ISO 4217). Voluum converts amounts into it. Left out, amounts come in the account's own currency, which Voluum does not name.",
    "USD",
)
.optional()
.matching("^[A-Za-z]{3}$");

/// Which of Voluum's two ways to count a conversion is asked for; the first is the default.
pub(super) const CONVERSION_TIMES: [&str; 2] = ["visit", "postback"];

const CONVERSION_TIME: Field = Field::text(
    CONVERSION_TIME_SETTING,
    "Conversion time",
    "On which day a conversion counts: the day of its visit, or the day on which its postback came. Voluum's own reports follow your user's choice (Settings → General): choose the same here to have the same days.",
    CONVERSION_TIMES[0],
)
.optional()
.one_of(&CONVERSION_TIMES, CONVERSION_TIMES[0]);

/// What `sub1` to `sub10` are called there.
const SUBS: &[&str] = &[
    "Custom variable 1",
    "Custom variable 2",
    "Custom variable 3",
    "Custom variable 4",
    "Custom variable 5",
    "Custom variable 6",
    "Custom variable 7",
    "Custom variable 8",
    "Custom variable 9",
    "Custom variable 10",
];

pub(super) fn admin() -> Described {
    Described {
        title: "Account",
        recommended: true,
        sees: "Everything the access key's user sees: campaigns, offers, traffic sources, affiliate networks, revenue and cost. Workspaces that the user does not belong to are left out without notice",
        use_when: "You track your campaigns with Voluum",
        settings: vec![CURRENCY, CONVERSION_TIME],
        credentials: vec![
            Field::secret(
                "access_key_id",
                "Access Key ID",
                "In Voluum: profile icon (top right) → Security → Access keys → Add new key. The ID stays visible in that list.",
                "00000000-0000-0000-0000-000000000000",
            )
            .explained_at("https://doc.voluum.com/en/voluum_api_docs.html"),
            Field::secret(
                "access_key",
                "Secret Access Key",
                "Shown once, when the access key is made (profile icon → Security → Access keys → Add new key). If it is lost, make a new key.",
                "EXAMPLE-not-a-real-secret-access-key",
            )
            .explained_at("https://doc.voluum.com/en/voluum_api_docs.html"),
        ],
        dimensions: &[
            Dimension::Date,
            Dimension::Hour,
            Dimension::Offer,
            Dimension::Campaign,
            Dimension::TrafficSource,
            Dimension::AffiliateNetwork,
            Dimension::Country,
        ],
        subs: SUBS,
        undivided: &[Dimension::Date],
        combinations: Combinations { max: 3, only: None },
        metrics: &[
            (Metric::Impressions, "impressions"),
            (Metric::Clicks, "visits"),
            (Metric::UniqueClicks, "uniqueVisits"),
            (Metric::Conversions, "conversions"),
            (Metric::Revenue, "revenue"),
            (Metric::Cost, "cost"),
        ],
        timezone: TimezoneAbility::Any,
        integrity: &[(None, Against::Independent)],
        day_of_conversion: DayOfConversion::Click,
        perspective: Perspective::MediaBuyer,
    }
}
