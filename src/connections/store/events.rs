//! The queries about events. Each takes the organisation, but for pruning.

use diesel::prelude::*;

use crate::db::models::EventRow;
use crate::db::schema::{events, organisations};
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// How many rows one transaction prunes.
const PRUNED_AT_ONCE: i64 = 500;

/// The next number of the organisation. Its row is locked since the transaction began, so that numbers are given in the
/// order of the commits, and one that is given back leaves no gap.
pub(crate) fn next_sequence(db: &mut DbConnection, organisation: &OrgId) -> Result<i64, DbError> {
    let row = || organisations::table.filter(organisations::id.eq(organisation.as_str().to_owned()));
    diesel::update(row()).set(organisations::event_sequence.eq(organisations::event_sequence + 1)).execute(db)?;
    Ok(row().select(organisations::event_sequence).get_result(db)?)
}

/// Adds an event.
pub(crate) fn insert(db: &mut DbConnection, row: &EventRow) -> Result<(), DbError> {
    diesel::insert_into(events::table).values(row).execute(db)?;
    Ok(())
}

/// The events of an organisation after this number, in order.
pub(crate) fn after(
    db: &mut DbConnection,
    organisation: &OrgId,
    sequence: i64,
    limit: i64,
) -> Result<Vec<EventRow>, DbError> {
    Ok(events::table
        .filter(events::organisation_id.eq(organisation.as_str()))
        .filter(events::sequence.gt(sequence))
        .order(events::sequence.asc())
        .limit(limit)
        .select(EventRow::as_select())
        .load(db)?)
}

/// The last of the oldest events made before `before`, a batch of them at most. Their ids begin with the time.
pub(crate) fn oldest_before(db: &mut DbConnection, before: i64) -> Result<Option<String>, DbError> {
    let millis = u64::try_from(before.div_euclid(1_000)).unwrap_or_default();
    let first_kept = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid().to_string();
    let batch: Vec<String> = events::table
        .filter(events::id.lt(first_kept))
        .order(events::id.asc())
        .limit(PRUNED_AT_ONCE)
        .select(events::id)
        .load(db)?;
    Ok(batch.into_iter().next_back())
}

/// Deletes the events up to this id, and says how many.
pub(crate) fn forget_up_to(db: &mut DbConnection, last: &str) -> Result<usize, DbError> {
    Ok(diesel::delete(events::table.filter(events::id.le(last))).execute(db)?)
}
