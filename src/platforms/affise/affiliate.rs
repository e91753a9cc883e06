use async_trait::async_trait;

use super::super::error::PlatformError;
use super::super::stats::{Report, StatsQuery};
use super::super::transport::Upstream;
use super::super::verification::Detected;
use super::super::{Account, PlatformClient};

pub(in super::super) struct AffiliateClient;

impl AffiliateClient {
    pub(in super::super) fn open(_account: Account, _upstream: Upstream) -> Result<Self, PlatformError> {
        Ok(Self)
    }
}

#[async_trait]
impl PlatformClient for AffiliateClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        Err(PlatformError::unsupported("not yet"))
    }
    async fn stats<'a>(&'a self, _query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        Err(PlatformError::unsupported("not yet"))
    }
}
