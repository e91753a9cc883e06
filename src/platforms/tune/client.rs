//! A network's key, or one of its affiliates': the same reports under other names.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::calendar::Zone;
use super::super::client::{Account, PlatformClient, Platforms};
use super::super::kind::ConnectionType;
use super::super::learned::{Learned, Sizes};
use super::super::stats::{Currency, Report, StatsQuery};
use super::super::verification::Detected;
use super::api::Api;
use super::habits::{Habits, Known, Pages};
use super::probe;
use super::report::{self, Terms};
use super::request::ROWS_PER_PAGE;
use crate::outbound::Upstream;
use crate::outbound::error::{PlatformError, Stage};

pub(super) struct TuneClient {
    api: Api,
    known: Arc<Known>,
    pages: Sizes,
    /// The zone that the connection says its network reports in.
    network: Option<Zone>,
    /// The currency to label amounts with that name none.
    currency: Option<Currency>,
}

impl TuneClient {
    pub(super) fn open(
        portal: ConnectionType,
        account: &Account,
        upstream: Upstream,
        platforms: &Platforms,
    ) -> Result<Self, PlatformError> {
        let setting = |field: &str| account.settings.get(field);
        Ok(Self {
            known: platforms.kept::<Habits>().of(&upstream),
            pages: platforms.kept::<Learned<Pages>>().of(&upstream, ROWS_PER_PAGE),
            network: setting("timezone").and_then(|name| Zone::find(name)),
            currency: setting("currency").and_then(|code| code.parse().ok()),
            api: Api::open(portal, account, &platforms.gateways, upstream)?,
        })
    }

    fn terms(&self) -> Terms<'_> {
        Terms { known: &self.known, pages: &self.pages, network: self.network.as_ref(), currency: self.currency }
    }
}

#[async_trait]
impl PlatformClient for TuneClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        self.api.upstream.enter(Stage::Authenticate);
        probe::run(&self.api, self.terms()).await?;
        Ok(Detected {
            connection_type: Some(self.api.portal),
            currency: self.currency.map(|currency| currency.as_str().to_owned()),
            ..Detected::default()
        })
    }

    fn zone_of<'a>(&'a self, query: &'a StatsQuery) -> Option<&'a Zone> {
        self.network.is_some().then_some(&query.zone)
    }

    /// What is asked in another zone is moved by hours, which are worked out here.
    fn counts_days_in<'a>(&'a self, _: &'a StatsQuery) -> Option<&'a Zone> {
        self.network.as_ref()
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        report::start(&self.api, query, self.terms()).await
    }
}
