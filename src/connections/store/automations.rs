//! The queries about automations, and about when a connection was used. Each takes the organisation.

use diesel::prelude::*;
use uuid::Uuid;

use crate::clock::time;
use crate::connections::AutomationView;
use crate::db::schema::{automations, connections};
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// Automations of one connection that are remembered.
const MAX_AUTOMATIONS: i64 = 1_000;

/// An automation that pulled statistics through a connection.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = automations)]
struct AutomationRow {
    connection_id: String,
    automation_id: String,
    organisation_id: String,
    first_used_at: i64,
    last_used_at: i64,
}

/// Writes when a connection was used last.
pub(crate) fn write_last(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    last: i64,
) -> Result<(), DbError> {
    diesel::update(
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str()))
            .filter(connections::id.eq(connection.to_string()))
            // Another replica may have written a later one.
            .filter(connections::last_used_at.is_null().or(connections::last_used_at.lt(last))),
    )
    .set(connections::last_used_at.eq(Some(last)))
    .execute(db)?;
    Ok(())
}

/// Writes when an automation used a connection; says whether it is one that the connection did not know.
pub(crate) fn write(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    automation: &str,
    (first, last): (i64, i64),
) -> Result<bool, DbError> {
    let known = diesel::update(
        automations::table
            .filter(automations::organisation_id.eq(organisation.as_str()))
            .filter(automations::connection_id.eq(connection.to_string()))
            .filter(automations::automation_id.eq(automation)),
    )
    .set(automations::last_used_at.eq(last))
    .execute(db)?;
    if known > 0 {
        return Ok(false);
    }
    let row = AutomationRow {
        connection_id: connection.to_string(),
        automation_id: automation.to_owned(),
        organisation_id: organisation.as_str().to_owned(),
        first_used_at: first,
        last_used_at: last,
    };
    diesel::insert_into(automations::table).values(&row).execute(db)?;
    Ok(true)
}

/// Made-up automations push out those that were used least lately, and take no more room.
pub(crate) fn forget_oldest(db: &mut DbConnection, organisation: &OrgId, connection: Uuid) -> Result<(), DbError> {
    let connection = connection.to_string();
    let first_too_many: Option<i64> = automations::table
        .filter(automations::organisation_id.eq(organisation.as_str()))
        .filter(automations::connection_id.eq(&connection))
        .order(automations::last_used_at.desc())
        .select(automations::last_used_at)
        .offset(MAX_AUTOMATIONS)
        .first(db)
        .optional()?;
    if let Some(last_used_at) = first_too_many {
        let too_many = automations::table
            .filter(automations::organisation_id.eq(organisation.as_str()))
            .filter(automations::connection_id.eq(&connection))
            .filter(automations::last_used_at.le(last_used_at));
        diesel::delete(too_many).execute(db)?;
    }
    Ok(())
}

/// The automations that used a connection last.
pub(crate) fn last_used(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    limit: i64,
) -> Result<Vec<String>, DbError> {
    Ok(automations::table
        .filter(automations::organisation_id.eq(organisation.as_str()))
        .filter(automations::connection_id.eq(connection.to_string()))
        .order((automations::last_used_at.desc(), automations::automation_id.asc()))
        .limit(limit)
        .select(automations::automation_id)
        .load(db)?)
}

/// One page of the automations that used a connection, by their ids.
pub(crate) fn page(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<AutomationView>, DbError> {
    let mut rows = automations::table
        .filter(automations::organisation_id.eq(organisation.as_str().to_owned()))
        .filter(automations::connection_id.eq(connection.to_string()))
        .select(AutomationRow::as_select())
        .order(automations::automation_id.asc())
        .limit(limit)
        .into_boxed();
    if let Some(after) = after {
        rows = rows.filter(automations::automation_id.gt(after));
    }
    let rows: Vec<AutomationRow> = rows.load(db)?;
    Ok(rows
        .into_iter()
        .map(|row| AutomationView {
            automation_id: row.automation_id,
            first_used_at: time(row.first_used_at),
            last_used_at: time(row.last_used_at),
        })
        .collect())
}
