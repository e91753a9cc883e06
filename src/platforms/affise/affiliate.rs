//! Affise, one affiliate's side.
//!
//! The affiliate's own payout stands under `revenue`. What `charge` and `earning` hold under an affiliate's key is
//! nowhere documented, so they are never read; neither are the network's slices ever asked for.

use async_trait::async_trait;

use super::super::client::{Account, PlatformClient, Platforms};
use super::super::kind::ConnectionType;
use super::super::stats::{Report, StatsQuery};
use super::super::verification::Detected;
use super::{Api, identity, report};
use crate::outbound::Upstream;
use crate::outbound::error::{PlatformError, Stage};

/// One affiliate of a network.
pub(super) struct AffiliateClient {
    api: Api,
}

impl AffiliateClient {
    pub(super) fn open(account: Account, upstream: Upstream, platforms: &Platforms) -> Result<Self, PlatformError> {
        Ok(Self { api: Api::open(account, upstream, platforms)? })
    }
}

#[async_trait]
impl PlatformClient for AffiliateClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        let mut identity = identity::establish(&self.api, ConnectionType::Affiliate).await?;
        identity.look_up_number(&self.api).await;
        self.api.upstream.enter(Stage::Authorize);
        report::probe(&self.api, ConnectionType::Affiliate)
            .await
            .map_err(|error| identity.judge(&self.api.upstream.host(), error))?;
        Ok(identity.detected(self.api.chosen_currency))
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        report::read(&self.api, ConnectionType::Affiliate, query).await
    }
}
