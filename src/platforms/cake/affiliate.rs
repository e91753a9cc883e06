//! CAKE, one affiliate.
//!
//! Four reports answer everything: days, hours, sub-ids, and campaigns, whose rows name their offer. A table of days by
//! campaign, offer or sub-id is one report for each day.

use async_trait::async_trait;
use jiff::civil::Date;

use super::super::calendar::Zone;
use super::super::client::{Account, PlatformClient};
use super::super::kind::ConnectionType;
use super::super::stats::{Currency, Dimension, DimensionValue, Report, StatsQuery, SubId};
use super::super::verification::Detected;
use super::api::{Api, Generation, Road};
use super::currency::Labels;
use super::pull::{Clock, Pull, RowReader};
use super::tree::{Fields, Node};
use super::{reports, wire, zone};
use crate::outbound::Upstream;
use crate::outbound::error::{PlatformError, Stage};

/// The longest window that networks are known to accept on the newer paths.
const LONGEST_WINDOW: u32 = 28;

const ROW_READER: RowReader = RowReader { entity, metrics: wire::affiliate_metrics };

/// The newer generation, as `platform_version` names it.
const NEWER: &str = "newer";
/// The classic services.
const CLASSIC: &str = "classic";

pub(super) struct AffiliateClient {
    api: Api,
    currency: Option<Currency>,
    zone: Option<Zone>,
    campaigns: Road,
    days: Road,
    hours: Road,
    subs: Road,
}

impl AffiliateClient {
    pub(super) fn open(account: &Account, upstream: Upstream) -> Result<Self, PlatformError> {
        let classic = account.detected.platform_version.as_deref() == Some(CLASSIC);
        Ok(Self {
            currency: super::currency(account),
            zone: super::account_zone(account),
            api: super::api(ConnectionType::Affiliate, account, upstream)?,
            campaigns: reports::affiliate_campaigns(classic),
            days: reports::affiliate_days(classic),
            hours: reports::affiliate_hours(classic),
            subs: reports::affiliate_subs(classic),
        })
    }

    fn plan(&self, query: &StatsQuery) -> Result<(&Road, Clock), PlatformError> {
        let clock = clock(query)?;
        let road = match clock {
            Clock::Hour => &self.hours,
            Clock::Window if query.has(SUB) => &self.subs,
            Clock::Window => &self.campaigns,
            Clock::Date => &self.days,
        };
        Ok((road, clock))
    }

    /// Whether a rejected key is one of the network's own: then its reports answer to it.
    async fn is_admin_key(&self, day: Date) -> bool {
        self.api.as_portal(ConnectionType::Admin).probe(&reports::admin_affiliates(), day).await.is_ok()
    }

    /// The currency of a sample row, or what the connection says it is.
    async fn reported_currency(&self, sample: &[Fields]) -> Result<Option<String>, PlatformError> {
        let currency = match sample.first() {
            Some(row) => {
                let listed = self.api.listed_for(sample).await?.cloned().unwrap_or_default();
                Labels::new(self.currency).of(wire::denomination(row), &listed)?
            }
            None => self.currency,
        };
        Ok(currency.map(|code| code.as_str().to_owned()))
    }
}

/// The one sub-id that there is a report of.
const SUB: Dimension = Dimension::Sub(SubId::nth(1));

/// Which of the reports has everything that is grouped by or filtered.
fn clock(query: &StatsQuery) -> Result<Clock, PlatformError> {
    let by_entity = query.has(Dimension::Offer) || query.has(Dimension::Campaign);
    match (query.has(Dimension::Hour), by_entity) {
        (by_hour, by_entity) if query.has(SUB) && (by_hour || by_entity) => {
            Err(PlatformError::unsupported("CAKE has no sub-ids by hour, offer or campaign.")
                .hint("Group or filter by sub1 alone or with date."))
        }
        (false, false) if query.has(SUB) => Ok(Clock::Window),
        (true, true) => Err(PlatformError::unsupported("CAKE has no hours by offer or campaign.")
            .hint("Group or filter by hour alone or with date; offer and campaign go together and with date.")),
        (true, false) => Ok(Clock::Hour),
        (false, true) => Ok(Clock::Window),
        (false, false) => Ok(Clock::Date),
    }
}

/// Campaigns have no name of their own: the offer's, with the campaign's id, tells them apart.
fn entity(row: &Fields, dimension: Dimension) -> Option<DimensionValue> {
    let offer = || wire::entity(row, &["offer", "site_offer"]);
    match dimension {
        Dimension::Offer => offer(),
        // Blank where links carried nothing.
        SUB => row.get("sub_id").map(|id| match id {
            Node::Text(text) => DimensionValue::plain(text.as_str()),
            Node::Null | Node::List(_) | Node::Object(_) => DimensionValue::plain(""),
        }),
        Dimension::Campaign => {
            let campaign = wire::entity(row, &["campaign"])?;
            let named = offer().filter(|_| campaign.id != DimensionValue::UNKNOWN_ID);
            Some(match named {
                Some(offer) => DimensionValue::new(campaign.id.clone(), format!("{} ({})", offer.name, campaign.id)),
                None => campaign,
            })
        }
        _ => None,
    }
}

#[async_trait]
impl PlatformClient for AffiliateClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        let day = super::yesterday(self.zone.as_ref());
        self.api.upstream().enter(Stage::Authorize);
        let table = match self.api.probe(&self.campaigns, day).await {
            Ok(table) => table,
            Err(error) if super::is_rejected(error.kind) && self.is_admin_key(day).await => {
                return Err(self.api.judge.wrong_portal("a key of the network itself, not of an affiliate"));
            }
            Err(error) => return Err(error),
        };
        let generation = match self.campaigns.generation() {
            Generation::Newer => NEWER,
            Generation::Classic => CLASSIC,
        };
        Ok(Detected {
            connection_type: Some(ConnectionType::Affiliate),
            platform_version: Some(generation.to_owned()),
            account: self.api.affiliate_id().map(str::to_owned),
            currency: self.reported_currency(&table.rows.unwrap_or_default()).await?,
            timezone: None,
        })
    }

    fn zone_of<'a>(&'a self, query: &'a StatsQuery) -> Option<&'a Zone> {
        zone::of(self.zone.as_ref(), query)
    }

    fn counts_days_in<'a>(&'a self, _: &'a StatsQuery) -> Option<&'a Zone> {
        self.zone.as_ref()
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        let (road, clock) = self.plan(query)?;
        let pull = Pull {
            api: &self.api,
            road,
            reader: ROW_READER,
            clock,
            longest: LONGEST_WINDOW,
            labels: Labels::new(self.currency),
            warning: zone::warning(self.zone.as_ref(), query),
            proof: None,
        };
        pull.start(query)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::platforms::Pair;
    use crate::platforms::calendar::DateRange;

    #[test]
    fn a_filter_counts_as_a_grouping_just_as_the_catalogue_says() {
        let entry = Pair::CakeAffiliate.entry();
        let only = entry.combinations.only.as_ref().expect("CAKE lists what goes together");
        let day = jiff::civil::date(2026, 11, 1);
        for grouped in only {
            for filtered in entry.dimensions.iter().filter(|dimension| dimension.filterable) {
                let dimensions = grouped.iter().copied().chain([filtered.key]);
                let dimensions: Vec<Dimension> = dimensions.map(Dimension::source).collect();
                let allowed = only.iter().any(|known| dimensions.iter().all(|dimension| known.contains(dimension)));
                let query = StatsQuery {
                    dimensions,
                    range: DateRange::new(day, day).expect("a day"),
                    zone: Zone::find("UTC").expect("a zone"),
                    filters: BTreeMap::new(),
                };
                assert_eq!(clock(&query).is_ok(), allowed, "{grouped:?} with filter[{}]", filtered.key);
            }
        }
    }
}
