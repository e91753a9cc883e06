//! What a table can be made of: what rows are grouped by, and what is counted in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something rows can be grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The local calendar day, `YYYY-MM-DD`.
    Date,
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
}

impl Dimension {
    /// Every dimension, in the order the catalogue and messages list them.
    pub const ALL: [Self; 9] = [
        Self::Date,
        Self::Hour,
        Self::Affiliate,
        Self::Offer,
        Self::Advertiser,
        Self::Campaign,
        Self::TrafficSource,
        Self::AffiliateNetwork,
        Self::Country,
    ];

    /// The key in URLs, columns and JSON.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Hour => "hour",
            Self::Affiliate => "affiliate",
            Self::Offer => "offer",
            Self::Advertiser => "advertiser",
            Self::Campaign => "campaign",
            Self::TrafficSource => "traffic_source",
            Self::AffiliateNetwork => "affiliate_network",
            Self::Country => "country",
        }
    }

    /// The column heading for people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Date => "Date",
            Self::Hour => "Hour",
            Self::Affiliate => "Affiliate",
            Self::Offer => "Offer",
            Self::Advertiser => "Advertiser",
            Self::Campaign => "Campaign",
            Self::TrafficSource => "Traffic source",
            Self::AffiliateNetwork => "Affiliate network",
            Self::Country => "Country",
        }
    }

    /// Whether the dimension cuts the time axis.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Date | Self::Hour)
    }
}

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
    #[must_use]
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
    #[must_use]
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
    #[must_use]
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
