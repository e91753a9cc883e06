//! Affise, the network's side.
//!
//! A manager's key sees only what its role allows, and totals can then be silently partial: the platform does not
//! say so, and neither can this client.

use async_trait::async_trait;

use super::super::client::{Account, PlatformClient};
use super::super::kind::ConnectionType;
use super::super::stats::{Currency, Report, StatsQuery};
use super::super::verification::Detected;
use super::{Api, identity, report, wire};
use crate::outbound::Upstream;
use crate::outbound::error::{PlatformError, Stage};

/// A network's owner or manager.
pub(super) struct AdminClient {
    api: Api,
}

impl AdminClient {
    pub(super) fn open(account: Account, upstream: Upstream) -> Result<Self, PlatformError> {
        Ok(Self { api: Api::open(account, upstream)? })
    }

    /// The network's default currency, which unfiltered amounts are in. Not every manager may read it.
    async fn default_currency(&self) -> Option<Currency> {
        wire::default_currency(&self.api.get_if_quick("/3.0/admin/currency_extended").await?)
    }
}

#[async_trait]
impl PlatformClient for AdminClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        let identity = identity::establish(&self.api, ConnectionType::Admin).await?;
        let currency = match self.api.chosen_currency {
            Some(currency) => Some(currency),
            None => self.default_currency().await,
        };
        self.api.upstream.enter(Stage::Authorize);
        report::probe(&self.api, ConnectionType::Admin)
            .await
            .map_err(|error| identity.judge(&self.api.upstream.host(), error))?;
        Ok(identity.detected(currency))
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        report::read(&self.api, ConnectionType::Admin, query).await
    }
}
