//! Demo (stub while the spine is being built).
pub(super) mod catalogue;
use async_trait::async_trait;

use super::error::PlatformError;
use super::stats::{Report, StatsQuery};
use super::transport::{Limits, Upstream};
use super::verification::Detected;
use super::{Account, Pair, PlatformClient, Settings};

pub(super) const LIMITS: Limits = Limits { concurrency: 64 };

pub(super) fn normalise(settings: &mut Settings) {
    settings.entry("scenario".to_owned()).or_insert_with(|| "healthy".to_owned());
}

pub(super) struct DemoClient;

impl DemoClient {
    pub(super) fn open(_pair: Pair, _account: &Account, _upstream: Upstream) -> Self {
        Self
    }
}

#[async_trait]
impl PlatformClient for DemoClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        Ok(Detected::default())
    }
    async fn stats<'a>(&'a self, _query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        Err(PlatformError::unsupported("not yet"))
    }
}
