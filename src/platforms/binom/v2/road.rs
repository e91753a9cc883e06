//! Which calls answer a query, and the words they are asked in.

use crate::outbound::error::PlatformError;
use crate::platforms::stats::{Dimension, StatsQuery, SubId};

/// Ids in one request: some hundreds still fit into the 8 KiB that a web server takes as an address.
pub(super) const IDS_PER_CALL: usize = 300;

/// The most groupings of a nested report.
pub(super) const MAX_GROUPINGS: usize = 3;

/// Which calls answer a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Road {
    /// The row of totals alone.
    Totals,
    /// One kind of entity.
    Entities(Dimension, &'static str),
    /// A nested report over the campaigns.
    ByCampaign(Vec<Dimension>),
    /// A nested report over one traffic source at a time.
    BySource(Vec<Dimension>),
}

impl Road {
    pub(super) fn of(query: &StatsQuery) -> Result<Self, PlatformError> {
        let others: Vec<Dimension> =
            query.dimensions.iter().copied().filter(|dimension| !dimension.is_time()).collect();
        if others.is_empty() {
            return Ok(Self::Totals);
        }
        if let [one] = *others.as_slice()
            && let Some(name) = entity(one)
        {
            return Ok(Self::Entities(one, name));
        }
        let groupings: Vec<Dimension> =
            others.iter().copied().filter(|dimension| *dimension != Dimension::TrafficSource).collect();
        if groupings.len() > MAX_GROUPINGS || groupings.iter().any(|dimension| grouping(*dimension).is_none()) {
            return Err(PlatformError::unsupported(
                "Binom v2 groups by date, hour, traffic source and up to three of campaign, offer, affiliate network, \
                 country and sub1 to sub10.",
            ));
        }
        Ok(if groupings.len() < others.len() { Self::BySource(groupings) } else { Self::ByCampaign(groupings) })
    }
}

/// The name of an entity in `stats/{entity}`.
pub(super) const fn entity(dimension: Dimension) -> Option<&'static str> {
    match dimension {
        Dimension::Campaign => Some("campaign"),
        Dimension::Offer => Some("offer"),
        Dimension::AffiliateNetwork => Some("affiliate_network"),
        Dimension::TrafficSource => Some("traffic_source"),
        Dimension::Date
        | Dimension::Week
        | Dimension::Month
        | Dimension::Hour
        | Dimension::Affiliate
        | Dimension::Advertiser
        | Dimension::Country
        | Dimension::Sub(_) => None,
    }
}

/// The name of a grouping in `report/{page}`, where it is proven.
pub(super) const fn grouping(dimension: Dimension) -> Option<&'static str> {
    match dimension {
        Dimension::Campaign => Some("campaign"),
        Dimension::Offer => Some("offer"),
        Dimension::AffiliateNetwork => Some("affiliateNetwork"),
        Dimension::Country => Some("geoCountry"),
        Dimension::TrafficSource
        | Dimension::Date
        | Dimension::Week
        | Dimension::Month
        | Dimension::Hour
        | Dimension::Affiliate
        | Dimension::Advertiser => None,
        Dimension::Sub(number) => Some(token(number)),
    }
}

/// The tokens of that number, whatever a campaign's traffic source calls them.
const fn token(number: SubId) -> &'static str {
    match number.number() {
        1 => "token_1",
        2 => "token_2",
        3 => "token_3",
        4 => "token_4",
        5 => "token_5",
        6 => "token_6",
        7 => "token_7",
        8 => "token_8",
        9 => "token_9",
        _ => "token_10",
    }
}
