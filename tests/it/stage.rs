//! A simulated account on the road that the service takes: opened, verified, asked, assembled.
//!
//! Everything that comes out of it is searched for the account's secrets.

use std::collections::BTreeSet;
use std::time::Duration;

use affzero_connections::outbound::Purpose;
use affzero_connections::outbound::error::PlatformError;
use affzero_connections::platforms::assemble::read_along;
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{Dimension, Filters, StatsQuery};
use affzero_connections::platforms::verification::Verification;
use affzero_connections::platforms::{Client, Platforms};

use crate::road::{Road, TIMEOUT, Table, platforms};
use crate::support::samples::{self, Sample, Texts};
use crate::support::tracker::{Simulator, Tracker};

/// A sample whose simulator is running.
pub(crate) struct Stage {
    pub(crate) sample: Sample,
    pub(crate) simulator: Option<Simulator>,
    platforms: Platforms,
}

impl Stage {
    pub(crate) fn set(mut sample: Sample) -> Self {
        let tracker = sample.tracker.take();
        Self::play(sample, tracker, TIMEOUT)
    }

    pub(crate) fn play(sample: Sample, tracker: Option<impl Tracker>, timeout: Duration) -> Self {
        let simulator = tracker.map(Simulator::start);
        let url = simulator.as_ref().map(|simulator| simulator.url.as_str()).unwrap_or_default();
        let platforms = platforms(samples::gateways(url), timeout);
        Self { sample, simulator, platforms }
    }

    /// The simulator; only asked for where a tracker is called.
    pub(crate) fn simulator(&self) -> &Simulator {
        self.simulator.as_ref().expect("a tracker that is called")
    }

    fn road(&self, credentials: &Texts) -> Road {
        let url = self.simulator.as_ref().map(|simulator| simulator.url.as_str()).unwrap_or_default();
        let (settings, credentials) = (self.sample.settings_at(url), credentials.clone());
        Road { settings, credentials, ..Road::new(self.sample.pair) }.in_process(&self.platforms)
    }

    pub(crate) fn open(&self, purpose: Purpose, credentials: &Texts) -> Client {
        self.road(credentials).open(purpose)
    }

    pub(crate) async fn verify_with(&self, credentials: &Texts) -> Verification {
        let verification = self.road(credentials).verify().await;
        self.assert_discreet(&format!("{verification:?}"));
        verification
    }

    pub(crate) async fn verify(&self) -> Verification {
        self.verify_with(&self.sample.credentials).await
    }

    /// Reads a report keyed by `group_by`; `filters` may be on other dimensions too.
    pub(crate) async fn filtered(
        &self,
        group_by: &[Dimension],
        filters: Filters,
        range: DateRange,
        zone: &str,
    ) -> Result<Table, PlatformError> {
        let dimensions = read_along(group_by, &filters, self.sample.pair.entry().undivided);
        let query = StatsQuery { dimensions, range, zone: Zone::find(zone).expect("a zone"), filters };
        let outcome = self.road(&self.sample.credentials).pull_by(&query, group_by).await;
        self.assert_discreet(&format!("{outcome:?}"));
        outcome
    }

    pub(crate) async fn pull(
        &self,
        group_by: &[Dimension],
        range: DateRange,
        zone: &str,
    ) -> Result<Table, PlatformError> {
        self.filtered(group_by, Filters::new(), range, zone).await
    }

    /// Reads a report that must be there, and agree with whatever the platform says of its totals.
    pub(crate) async fn table(&self, group_by: &[Dimension], range: DateRange, zone: &str) -> Table {
        let name = self.sample.name();
        let table = self.pull(group_by, range, zone).await;
        let table = table.unwrap_or_else(|error| panic!("{name} by {group_by:?} in {zone}: {error:?}"));
        assert!(table.mismatches.is_empty(), "{name} by {group_by:?}: {:?}", table.mismatches);
        assert!(table.warnings.iter().all(|warning| !warning.detail.is_empty()), "{name}: {:?}", table.warnings);
        table
    }

    /// Fails if `text` has a secret in it.
    #[track_caller]
    pub(crate) fn assert_discreet(&self, text: &str) {
        let all = [Some(&self.sample.credentials), Some(&self.sample.wrong), self.sample.other_portal.as_ref()];
        for (field, secret) in all.into_iter().flatten().flatten() {
            assert!(!text.contains(secret.as_str()), "{}: {field} shows in {text}", self.sample.name());
        }
    }

    /// The dimensions of the catalogue.
    pub(crate) fn dimensions(&self) -> Vec<Dimension> {
        self.sample.pair.entry().dimensions.iter().map(|dimension| dimension.key).collect()
    }

    /// Whether the catalogue says that these go together.
    pub(crate) fn allows(&self, group_by: &[Dimension]) -> bool {
        let known = self.dimensions();
        let sources = |set: &[Dimension]| set.iter().map(|dimension| dimension.source()).collect::<BTreeSet<_>>();
        let wanted = sources(group_by);
        let combinations = &self.sample.pair.entry().combinations;
        let goes_together = combinations
            .only
            .as_ref()
            .is_none_or(|only| wanted.is_empty() || only.iter().any(|possible| sources(possible) == wanted));
        goes_together && group_by.iter().all(|dimension| known.contains(dimension))
    }
}
