//! One affiliate's key: its own traffic and earnings.

use async_trait::async_trait;

use super::super::client::{Account, PlatformClient, Platforms};
use super::super::kind::ConnectionType;
use super::super::stats::{Report, StatsQuery};
use super::super::verification::Detected;
use super::api::Api;
use super::portal::Portal;
use super::report::{self, Terms};
use super::wire::Profile;
use super::zones::{self, Zones};
use crate::outbound::Upstream;
use crate::outbound::error::{ErrorKind, PlatformError, Stage};

pub(super) struct AffiliateClient {
    api: Api,
    zones: Zones,
}

impl AffiliateClient {
    pub(super) fn open(account: &Account, upstream: Upstream, platforms: &Platforms) -> Result<Self, PlatformError> {
        let api = Api::open(Portal::Affiliate, account, platforms, upstream)?;
        Ok(Self { api, zones: platforms.kept::<Zones>() })
    }

    /// The affiliate's own words about itself. What they contain is not documented, so nothing depends on them.
    async fn own_profile(&self) -> Option<Profile> {
        self.api.profile("affiliates/affiliate").await.ok().flatten()
    }
}

#[async_trait]
impl PlatformClient for AffiliateClient {
    /// A key that may read reports and nothing else is good too, so the report has the last word.
    async fn verify(&self) -> Result<Detected, PlatformError> {
        self.api.upstream().enter(Stage::Authenticate);
        let network = self.api.affiliate_side().await?;
        if network.is_none() && self.api.network_side().await?.is_some() {
            return Err(PlatformError::new(
                ErrorKind::WrongPortal,
                "The key is good, but it is the network's own: Everflow takes it in the network's portal only.",
            ));
        }
        let own = self.own_profile().await;
        self.api.upstream().enter(Stage::Authorize);
        let (list, _) = self.zones.list_or_built_in(&self.api).await;
        let (currency, _) = self.api.currency(async { Ok(own.clone()) }).await?;
        report::probe(&self.api, Terms { zones: &list, currency, warnings: Vec::new() }).await?;
        let (network, own) = (network.unwrap_or_default(), own.unwrap_or_default());
        Ok(Detected {
            connection_type: Some(ConnectionType::Affiliate),
            platform_version: None,
            account: own.account().or_else(|| network.account()),
            currency: own.currency().map(|currency| currency.as_str().to_owned()),
            timezone: network.timezone().and_then(|id| zones::name(&list, id)),
        })
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        let (list, zones_warning) = self.zones.list_or_built_in(&self.api).await;
        let (currency, currency_warning) = self.api.currency(async { Ok(self.own_profile().await) }).await?;
        let warnings = zones_warning.into_iter().chain(currency_warning).collect();
        report::start(&self.api, query, Terms { zones: &list, currency, warnings })
    }
}
