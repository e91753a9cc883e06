//! The smallest report, only to see that one can be read.

use super::super::calendar::{DateRange, Zone};
use super::super::stats::{Dimension, StatsQuery};
use super::api::Api;
use super::columns::{CLICKS, OFFER};
use super::report::{self, Terms};
use super::request::ReportRequest;
use crate::outbound::error::{ErrorKind, PlatformError};

/// Reads it.
///
/// # Errors
/// What stands in the way. A key that is good at the other portal is reported as such.
pub(super) async fn run(api: &Api, terms: Terms<'_>) -> Result<(), PlatformError> {
    let zone = terms.network.cloned().unwrap_or_else(Zone::utc);
    let yesterday = zone.date_at(jiff::Timestamp::now()).yesterday();
    let day = DateRange::day(yesterday.map_err(|_| PlatformError::unsupported("There is no yesterday."))?);
    let query = StatsQuery { dimensions: vec![Dimension::Offer], range: day, filters: Default::default(), zone };
    let error = match report::first_row(api, &query, terms).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let least = ReportRequest {
        ids: vec![OFFER],
        names: Vec::new(),
        metrics: vec![CLICKS],
        days: day,
        hour_offset: 0,
        filters: &[],
        limit: 1,
        page: 1,
    };
    if error.kind == ErrorKind::CredentialsRejected && api.is_known_at_other_portal(&least).await {
        return Err(PlatformError::new(
            ErrorKind::WrongPortal,
            format!("{} takes this key at its other portal only.", api.upstream.host()),
        ));
    }
    Err(error)
}
