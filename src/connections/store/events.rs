//! The queries about events. Each takes the organisation, but for pruning.

use diesel::prelude::*;
use uuid::Uuid;

use super::stored::Damaged;
use crate::db::schema::{events, organisations};
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// How many rows one transaction prunes.
const PRUNED_AT_ONCE: i64 = 500;

/// One event.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = events)]
struct EventRow {
    id: String,
    organisation_id: String,
    sequence: i64,
    event_type: String,
    connection_id: String,
    connection_name: String,
    platform: String,
    connection_type: String,
    data: String,
    created_at: i64,
}

/// The next number of the organisation. Its row is locked since the transaction began, so that numbers are given in the
/// order of the commits, and one that is given back leaves no gap.
pub(crate) fn next_sequence(db: &mut DbConnection, organisation: &OrgId) -> Result<i64, DbError> {
    let row = || organisations::table.filter(organisations::id.eq(organisation.as_str().to_owned()));
    diesel::update(row()).set(organisations::event_sequence.eq(organisations::event_sequence + 1)).execute(db)?;
    Ok(row().select(organisations::event_sequence).get_result(db)?)
}

/// An event as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct KeptEvent {
    pub(crate) id: Uuid,
    pub(crate) sequence: i64,
    pub(crate) event_type: String,
    pub(crate) connection: Uuid,
    pub(crate) connection_name: String,
    pub(crate) platform: String,
    pub(crate) connection_type: String,
    /// A JSON object.
    pub(crate) data: String,
    /// When, in microseconds since 1970.
    pub(crate) created_at: i64,
}

impl TryFrom<EventRow> for KeptEvent {
    type Error = Damaged;

    fn try_from(row: EventRow) -> Result<Self, Damaged> {
        Ok(Self {
            id: row.id.parse().map_err(|_| Damaged::Id)?,
            sequence: row.sequence,
            event_type: row.event_type,
            connection: row.connection_id.parse().map_err(|_| Damaged::Id)?,
            connection_name: row.connection_name,
            platform: row.platform,
            connection_type: row.connection_type,
            data: row.data,
            created_at: row.created_at,
        })
    }
}

/// Adds an event.
pub(crate) fn insert(db: &mut DbConnection, organisation: &OrgId, event: KeptEvent) -> Result<(), DbError> {
    let row = EventRow {
        id: event.id.to_string(),
        organisation_id: organisation.as_str().to_owned(),
        sequence: event.sequence,
        event_type: event.event_type,
        connection_id: event.connection.to_string(),
        connection_name: event.connection_name,
        platform: event.platform,
        connection_type: event.connection_type,
        data: event.data,
        created_at: event.created_at,
    };
    diesel::insert_into(events::table).values(&row).execute(db)?;
    Ok(())
}

/// The events of an organisation after this number, in order.
pub(crate) fn after(
    db: &mut DbConnection,
    organisation: &OrgId,
    sequence: i64,
    limit: i64,
) -> Result<Vec<KeptEvent>, DbError> {
    let rows: Vec<EventRow> = events::table
        .filter(events::organisation_id.eq(organisation.as_str()))
        .filter(events::sequence.gt(sequence))
        .order(events::sequence.asc())
        .limit(limit)
        .select(EventRow::as_select())
        .load(db)?;
    rows.into_iter().map(|row| KeptEvent::try_from(row).map_err(DbError::from)).collect()
}

/// The event of an organisation with this number, while it is kept.
pub(crate) fn at(db: &mut DbConnection, organisation: &OrgId, sequence: i64) -> Result<Option<KeptEvent>, DbError> {
    let row: Option<EventRow> = events::table
        .filter(events::organisation_id.eq(organisation.as_str()))
        .filter(events::sequence.eq(sequence))
        .select(EventRow::as_select())
        .get_result(db)
        .optional()?;
    row.map(|row| KeptEvent::try_from(row).map_err(DbError::from)).transpose()
}

/// The first event of an organisation after this number, of these types if they are given.
pub(crate) fn next(
    db: &mut DbConnection,
    organisation: &OrgId,
    sequence: i64,
    types: Option<Vec<&'static str>>,
) -> Result<Option<KeptEvent>, DbError> {
    let mut rows = events::table
        .filter(events::organisation_id.eq(organisation.as_str().to_owned()))
        .filter(events::sequence.gt(sequence))
        .order(events::sequence.asc())
        .limit(1)
        .select(EventRow::as_select())
        .into_boxed();
    if let Some(types) = types {
        rows = rows.filter(events::event_type.eq_any(types));
    }
    let row: Option<EventRow> = rows.get_result(db).optional()?;
    row.map(|row| KeptEvent::try_from(row).map_err(DbError::from)).transpose()
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
