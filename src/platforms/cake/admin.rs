//! CAKE, the network's owner.
//!
//! Days have a report, and so has each kind of entity. A campaign is one affiliate's contract for one offer of one
//! advertiser and its rows name all of them, so the campaign report also answers every combination. A table of days
//! by anything is one report for each day.

use async_trait::async_trait;
use jiff::civil::Date;

use super::super::calendar::Zone;
use super::super::client::{Account, PlatformClient};
use super::super::kind::ConnectionType;
use super::super::stats::{Currency, Dimension, DimensionValue, Report, StatsQuery};
use super::super::verification::Detected;
use super::api::{Api, Road};
use super::currency::Labels;
use super::pull::{Clock, Pull, RowReader};
use super::tree::Fields;
use super::{reports, wire, zone};
use crate::outbound::Upstream;
use crate::outbound::error::{PlatformError, Stage};

/// The longest window that CAKE documents.
const LONGEST_WINDOW: u32 = 31;

const ROW_READER: RowReader = RowReader { entity, metrics: wire::admin_metrics };

pub(super) struct AdminClient {
    api: Api,
    currency: Option<Currency>,
    zone: Option<Zone>,
    days: Road,
    affiliates: Road,
    offers: Road,
    advertisers: Road,
    campaigns: Road,
}

impl AdminClient {
    pub(super) fn open(account: &Account, upstream: Upstream) -> Result<Self, PlatformError> {
        Ok(Self {
            currency: super::currency(account),
            zone: super::account_zone(account),
            api: super::api(ConnectionType::Admin, account, upstream)?,
            days: reports::admin_days(),
            affiliates: reports::admin_affiliates(),
            offers: reports::admin_offers(),
            advertisers: reports::admin_advertisers(),
            campaigns: reports::admin_campaigns(),
        })
    }

    fn plan(&self, query: &StatsQuery) -> (&Road, Clock) {
        let entities: Vec<Dimension> =
            query.dimensions.iter().copied().filter(|dimension| !dimension.is_time()).collect();
        match entities.as_slice() {
            [] => (&self.days, Clock::Date),
            [Dimension::Affiliate] => (&self.affiliates, Clock::Window),
            [Dimension::Offer] => (&self.offers, Clock::Window),
            [Dimension::Advertiser] => (&self.advertisers, Clock::Window),
            _ => (&self.campaigns, Clock::Window),
        }
    }

    /// Whether a rejected key is an affiliate's: then that portal's reports answer to it. Networks that want the
    /// affiliate's id on every call cannot be asked.
    async fn is_affiliate_key(&self, day: Date) -> bool {
        let portal = self.api.as_portal(ConnectionType::Affiliate);
        portal.probe(&reports::affiliate_campaigns(false), day).await.is_ok()
    }
}

fn entity(row: &Fields, dimension: Dimension) -> Option<DimensionValue> {
    match dimension {
        Dimension::Affiliate => wire::entity(row, &["source_affiliate", "affiliate"]),
        Dimension::Offer => wire::entity(row, &["site_offer", "offer"]),
        Dimension::Advertiser => wire::entity(row, &["brand_advertiser", "advertiser"]),
        Dimension::Campaign => wire::entity(row, &["campaign"]),
        _ => None,
    }
}

#[async_trait]
impl PlatformClient for AdminClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        let day = super::yesterday(self.zone.as_ref());
        self.api.upstream().enter(Stage::Authorize);
        match self.api.probe(&self.affiliates, day).await {
            Ok(_) => {}
            Err(error) if super::is_rejected(error.kind) && self.is_affiliate_key(day).await => {
                return Err(self.api.judge.wrong_portal("an affiliate's key, not one of the network itself"));
            }
            Err(error) => return Err(error),
        }
        Ok(Detected {
            connection_type: Some(ConnectionType::Admin),
            platform_version: None,
            account: None,
            currency: self.currency.map(|code| code.as_str().to_owned()),
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
        if query.has(Dimension::Hour) {
            return Err(PlatformError::unsupported("CAKE has no hourly report for networks.")
                .hint("Group by date, affiliate, offer, advertiser or campaign, alone or together."));
        }
        let (road, clock) = self.plan(query);
        let pull = Pull {
            api: &self.api,
            road,
            reader: ROW_READER,
            clock,
            longest: LONGEST_WINDOW,
            labels: Labels::new(self.currency),
            warning: zone::warning(self.zone.as_ref(), query),
            proof: (clock == Clock::Date).then_some(&self.affiliates),
        };
        pull.start(query)
    }
}
