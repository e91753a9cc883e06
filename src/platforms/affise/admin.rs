//! Affise, the network's side.
//!
//! A manager's key sees only what its role allows, and totals can then be silently partial: the platform does not say so.
//! A verification finds out whose key it is where the platform says so.

use async_trait::async_trait;

use super::super::client::{Account, PlatformClient, Platforms};
use super::super::kind::ConnectionType;
use super::super::stats::{Currency, Report, StatsQuery};
use super::super::verification::Detected;
use super::identity::{self, MANAGER};
use super::{Api, report, wire};
use crate::outbound::Upstream;
use crate::outbound::error::{PlatformError, Stage};

/// A network's owner or manager.
pub(super) struct AdminClient {
    api: Api,
    is_manager: bool,
}

impl AdminClient {
    pub(super) fn open(account: Account, upstream: Upstream, platforms: &Platforms) -> Result<Self, PlatformError> {
        let is_manager = account.detected.account.as_deref().is_some_and(|account| account.ends_with(MANAGER));
        Ok(Self { api: Api::open(account, upstream, platforms)?, is_manager })
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

    fn limits_of_user(&self) -> Option<&'static str> {
        self.is_manager.then_some(
            "The key belongs to a manager of the network. Affise leaves out what that manager may not see without saying \
             so. Use a General manager's key for whole numbers.",
        )
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        report::read(&self.api, ConnectionType::Admin, query).await
    }
}
