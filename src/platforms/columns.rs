//! What a table can be made of: what rows are grouped by, and what is counted in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Something rows can be grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The local calendar day, `YYYY-MM-DD`.
    Date,
    /// The ISO week, Monday first, `YYYY-Www`; put together from days here.
    Week,
    /// The calendar month, `YYYY-MM`; put together from days here.
    Month,
    /// The hour of the local day, `00` to `23`, summed over the range unless the date is asked too.
    Hour,
    /// The affiliate (publisher, partner) that sent the traffic.
    Affiliate,
    /// The offer.
    Offer,
    /// The advertiser behind the offer.
    Advertiser,
    /// The campaign.
    Campaign,
    /// The traffic source a media buyer bought from.
    TrafficSource,
    /// The affiliate network that pays a media buyer.
    AffiliateNetwork,
    /// The visitor's country, ISO 3166 alpha-2 where the platform gives it.
    Country,
    /// What a link carries in one of its sub-ids, tokens or custom variables.
    Sub(SubId),
}

/// The number of a sub-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubId(u8);

impl SubId {
    /// Those that some platform has.
    pub const ALL: [Self; 10] =
        [Self(1), Self(2), Self(3), Self(4), Self(5), Self(6), Self(7), Self(8), Self(9), Self(10)];

    /// That of a number from 1 to 10; the nearest to any other.
    pub const fn nth(number: u8) -> Self {
        match number {
            0 => Self(1),
            1..=10 => Self(number),
            _ => Self(10),
        }
    }

    /// From 1 to 10.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// What the platform calls it: the entry of `names` with its number, the first being of number 1.
    pub(super) fn named(self, names: &'static [&'static str]) -> Option<&'static str> {
        names.get(usize::from(self.0).checked_sub(1)?).copied()
    }

    const fn key(self) -> &'static str {
        match self.0 {
            1 => "sub1",
            2 => "sub2",
            3 => "sub3",
            4 => "sub4",
            5 => "sub5",
            6 => "sub6",
            7 => "sub7",
            8 => "sub8",
            9 => "sub9",
            _ => "sub10",
        }
    }

    const fn label(self) -> &'static str {
        match self.0 {
            1 => "Sub-ID 1",
            2 => "Sub-ID 2",
            3 => "Sub-ID 3",
            4 => "Sub-ID 4",
            5 => "Sub-ID 5",
            6 => "Sub-ID 6",
            7 => "Sub-ID 7",
            8 => "Sub-ID 8",
            9 => "Sub-ID 9",
            _ => "Sub-ID 10",
        }
    }
}

impl Dimension {
    /// Every dimension, in the order the catalogue and messages list them.
    pub const ALL: [Self; 21] = [
        Self::Date,
        Self::Week,
        Self::Month,
        Self::Hour,
        Self::Affiliate,
        Self::Offer,
        Self::Advertiser,
        Self::Campaign,
        Self::TrafficSource,
        Self::AffiliateNetwork,
        Self::Country,
        Self::Sub(SubId(1)),
        Self::Sub(SubId(2)),
        Self::Sub(SubId(3)),
        Self::Sub(SubId(4)),
        Self::Sub(SubId(5)),
        Self::Sub(SubId(6)),
        Self::Sub(SubId(7)),
        Self::Sub(SubId(8)),
        Self::Sub(SubId(9)),
        Self::Sub(SubId(10)),
    ];

    /// The key in URLs, columns and JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Week => "week",
            Self::Month => "month",
            Self::Hour => "hour",
            Self::Affiliate => "affiliate",
            Self::Offer => "offer",
            Self::Advertiser => "advertiser",
            Self::Campaign => "campaign",
            Self::TrafficSource => "traffic_source",
            Self::AffiliateNetwork => "affiliate_network",
            Self::Country => "country",
            Self::Sub(number) => number.key(),
        }
    }

    /// The column heading for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Date => "Date",
            Self::Week => "Week",
            Self::Month => "Month",
            Self::Hour => "Hour",
            Self::Affiliate => "Affiliate",
            Self::Offer => "Offer",
            Self::Advertiser => "Advertiser",
            Self::Campaign => "Campaign",
            Self::TrafficSource => "Traffic source",
            Self::AffiliateNetwork => "Affiliate network",
            Self::Country => "Country",
            Self::Sub(number) => number.label(),
        }
    }

    /// Whether a platform may have nothing but a name to tell the values apart by.
    pub(crate) const fn is_named_by_id(self) -> bool {
        matches!(self, Self::AffiliateNetwork | Self::Country) || self.is_sub_id()
    }

    /// Whether the dimension cuts the time axis.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Date | Self::Week | Self::Month | Self::Hour)
    }

    /// What has to be read for it: weeks and months are put together from days.
    #[must_use]
    pub const fn source(self) -> Self {
        match self {
            Self::Week | Self::Month => Self::Date,
            other => other,
        }
    }

    /// Whether ids are what the links of affiliates carry, so that every letter of them counts.
    pub const fn is_sub_id(self) -> bool {
        matches!(self, Self::Sub(_))
    }
}

impl Serialize for Dimension {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl PartialSchema for Dimension {
    fn schema() -> RefOr<Schema> {
        let described = "Something rows can be grouped by. Weeks (ISO, Monday first) and months are put together from days; \
                         `sub1` to `sub10` are the platform's sub-ids, tokens or custom variables, as far as it reports by them.";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.map(Self::key)))
            .description(Some(described))
            .into()
    }
}

impl ToSchema for Dimension {}

impl FromStr for Dimension {
    type Err = ();

    fn from_str(key: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|dimension| dimension.key() == key).ok_or(())
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.key())
    }
}

/// How a metric's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricType {
    /// A JSON integer.
    Integer,
    /// A decimal string in the row's currency.
    Money,
    /// A decimal string, rounded half-even to six places.
    Ratio,
}

/// A number a row can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Ad or creative impressions.
    Impressions,
    /// Hits on the tracking link.
    Clicks,
    /// Clicks of distinct visitors, as the platform counts them.
    UniqueClicks,
    /// All conversions, whatever their state.
    Conversions,
    /// Approved conversions.
    Approved,
    /// Conversions awaiting a decision.
    Pending,
    /// Rejected conversions.
    Rejected,
    /// Conversions on hold.
    Hold,
    /// What the connected account earns (see the contract of each connection type).
    Revenue,
    /// What a network owes its affiliates.
    Payout,
    /// What the traffic cost.
    Cost,
    /// Revenue less payout (network) or less cost (media buyer).
    Profit,
    /// Conversions over clicks.
    Cr,
    /// Revenue over clicks.
    Epc,
    /// Clicks over impressions.
    Ctr,
    /// Revenue less cost, over cost.
    Roi,
}

impl Metric {
    /// Every metric, in the order columns appear.
    pub const ALL: [Self; 16] = [
        Self::Impressions,
        Self::Clicks,
        Self::UniqueClicks,
        Self::Conversions,
        Self::Approved,
        Self::Pending,
        Self::Rejected,
        Self::Hold,
        Self::Revenue,
        Self::Payout,
        Self::Cost,
        Self::Profit,
        Self::Cr,
        Self::Epc,
        Self::Ctr,
        Self::Roi,
    ];

    /// The key in URLs, columns and JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Impressions => "impressions",
            Self::Clicks => "clicks",
            Self::UniqueClicks => "unique_clicks",
            Self::Conversions => "conversions",
            Self::Approved => "approved",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
            Self::Hold => "hold",
            Self::Revenue => "revenue",
            Self::Payout => "payout",
            Self::Cost => "cost",
            Self::Profit => "profit",
            Self::Cr => "cr",
            Self::Epc => "epc",
            Self::Ctr => "ctr",
            Self::Roi => "roi",
        }
    }

    /// The column heading for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Impressions => "Impressions",
            Self::Clicks => "Clicks",
            Self::UniqueClicks => "Unique clicks",
            Self::Conversions => "Conversions",
            Self::Approved => "Approved",
            Self::Pending => "Pending",
            Self::Rejected => "Rejected",
            Self::Hold => "Hold",
            Self::Revenue => "Revenue",
            Self::Payout => "Payout",
            Self::Cost => "Cost",
            Self::Profit => "Profit",
            Self::Cr => "CR",
            Self::Epc => "EPC",
            Self::Ctr => "CTR",
            Self::Roi => "ROI",
        }
    }

    /// How the value is written.
    pub const fn metric_type(self) -> MetricType {
        match self {
            Self::Impressions
            | Self::Clicks
            | Self::UniqueClicks
            | Self::Conversions
            | Self::Approved
            | Self::Pending
            | Self::Rejected
            | Self::Hold => MetricType::Integer,
            Self::Revenue | Self::Payout | Self::Cost | Self::Profit => MetricType::Money,
            Self::Cr | Self::Epc | Self::Ctr | Self::Roi => MetricType::Ratio,
        }
    }
}

impl FromStr for Metric {
    type Err = ();

    fn from_str(key: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|metric| metric.key() == key).ok_or(())
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.key())
    }
}

/// Whose point of view a connection has; it decides what `profit` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Perspective {
    /// The network's owner: profit is revenue less payout.
    Network,
    /// One affiliate: its costs are unknown, so its profit is too.
    Affiliate,
    /// A media buyer: profit is revenue less traffic cost.
    MediaBuyer,
}
