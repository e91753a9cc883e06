//! The queries about connections. Each takes the organisation: without it there is no way to a row, except for the
//! background's, which stand in `background` alone.

pub(super) mod automations;
pub(super) mod background;
pub(crate) mod events;
pub(super) mod health;
mod rows;
mod stored;
pub(super) mod verifications;

use diesel::prelude::*;
use uuid::Uuid;

use self::rows::ConnectionRow;
pub(crate) use self::stored::{Damaged, Sealed, Stored};
use super::Status;
use super::expiry::Day;
use super::names::{look_alike, name_key};
use crate::db::schema::{connections, verifications as history};
use crate::db::{DbConnection, DbError};
use crate::platforms::{ConnectionType, Platform};
use crate::tenancy::OrgId;

/// What an id leads to.
#[derive(Debug)]
pub(crate) enum Found<T = Box<Stored>> {
    /// A connection.
    Live(T),
    /// The tombstone of one.
    Deleted,
    /// Nothing of this organisation.
    Nothing,
}

/// What deleting a connection takes: nothing that another version may have written in words of its own.
#[derive(Debug)]
pub(crate) struct Outline {
    pub(crate) version: i64,
    pub(crate) updated_at: i64,
    pub(crate) name: String,
    /// As it is stored; a later version may know more platforms.
    pub(crate) platform: String,
    pub(crate) connection_type: String,
    pub(crate) status: Status,
    /// The whole, where this version knows all of it.
    pub(crate) stored: Option<Box<Stored>>,
}

/// What an id leads to, for this organisation.
///
/// Another organisation's connection is nothing: the caller cannot tell it from an unknown id.
pub(crate) fn find(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<Found, DbError> {
    Ok(match find_row(db, organisation, id)? {
        Found::Live(row) => Found::Live(Box::new(row.try_into().map_err(|damaged: Damaged| DbError::from(damaged))?)),
        Found::Deleted => Found::Deleted,
        Found::Nothing => Found::Nothing,
    })
}

/// Like [`find`], also for a connection whose platform only another version knows.
pub(crate) fn find_outline(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<Found<Outline>, DbError> {
    Ok(match find_row(db, organisation, id)? {
        Found::Live(row) => Found::Live(Outline {
            version: row.version,
            updated_at: row.updated_at,
            name: row.name.clone(),
            platform: row.platform.clone(),
            connection_type: row.connection_type.clone(),
            status: Status::find(&row.status).unwrap_or(Status::Failing),
            stored: Stored::try_from(row).ok().map(Box::new),
        }),
        Found::Deleted => Found::Deleted,
        Found::Nothing => Found::Nothing,
    })
}

fn find_row(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<Found<ConnectionRow>, DbError> {
    let row = connections::table
        .filter(connections::organisation_id.eq(organisation.as_str()))
        .filter(connections::id.eq(id.to_string()))
        .select(ConnectionRow::as_select())
        // Not `first`: SQLite looks at a limit's value when it plans, and so plans anew for each query that has one.
        .get_result(db)
        .optional()?;
    Ok(match row {
        None => Found::Nothing,
        Some(row) if row.deleted_at.is_some() => Found::Deleted,
        Some(row) => Found::Live(row),
    })
}

/// A column that connections can be listed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortColumn {
    /// The name, in lower case.
    Name,
    /// When it was added.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
    /// When its key runs out. Those whose key does not are last, in either order.
    CredentialsExpireAt,
}

impl SortColumn {
    /// Whether `value`, from a cursor, can be one of this column's.
    pub(crate) fn can_hold(self, value: &str) -> bool {
        match self {
            Self::Name => true,
            Self::CreatedAt | Self::UpdatedAt => value.parse::<i64>().is_ok(),
            Self::CredentialsExpireAt => value.is_empty() || value.parse::<i64>().is_ok(),
        }
    }
}

/// Which connections are listed, and in which order.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Only this platform.
    pub platform: Option<Platform>,
    /// Only this type.
    pub connection_type: Option<ConnectionType>,
    /// Only this health.
    pub status: Option<Status>,
    /// Only names that contain this, whatever the letter case.
    pub name_contains: Option<String>,
    /// The order; ties are broken by id.
    pub sort: SortColumn,
    /// Whether the order is reversed.
    pub descending: bool,
    /// The last entry of the page before: the sort column's value as text, and the id.
    pub after: Option<ListPosition>,
    /// How many entries at most.
    pub limit: i64,
}

/// Where a connection stands in a list: the sort column's value as text, and the id.
pub(crate) type ListPosition = (String, String);

/// An entry of a list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) position: ListPosition,
    /// One that makes no sense hides no others.
    pub(crate) stored: Result<Stored, Damaged>,
}

/// One page of an organisation's connections.
pub(crate) fn list(db: &mut DbConnection, organisation: &OrgId, query: &ListQuery) -> Result<Vec<Listed>, DbError> {
    let mut rows = connections::table
        .filter(connections::organisation_id.eq(organisation.as_str().to_owned()))
        .filter(connections::deleted_at.is_null())
        .select(ConnectionRow::as_select())
        .limit(query.limit)
        .into_boxed();
    if let Some(platform) = query.platform {
        rows = rows.filter(connections::platform.eq(platform.key()));
    }
    if let Some(connection_type) = query.connection_type {
        rows = rows.filter(connections::connection_type.eq(connection_type.key()));
    }
    if let Some(status) = query.status {
        rows = rows.filter(connections::status.eq(status.key()));
    }
    if let Some(part) = &query.name_contains {
        let escaped = name_key(part).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        rows = rows.filter(connections::name_key.like(format!("%{escaped}%")).escape('\\'));
    }
    macro_rules! keyset {
        ($column:expr, $value:expr) => {{
            if let Some((value, id)) = query.after.clone()
                && let Some(value) = $value(value)
            {
                rows = if query.descending {
                    rows.filter($column.lt(value.clone()).or($column.eq(value).and(connections::id.lt(id))))
                } else {
                    rows.filter($column.gt(value.clone()).or($column.eq(value).and(connections::id.gt(id))))
                };
            }
            if query.descending {
                rows.order(($column.desc(), connections::id.desc()))
            } else {
                rows.order(($column.asc(), connections::id.asc()))
            }
        }};
    }
    let number = |text: String| text.parse::<i64>().ok();
    let rows = match query.sort {
        SortColumn::Name => keyset!(connections::name_key, Some),
        SortColumn::CreatedAt => keyset!(connections::created_at, number),
        SortColumn::UpdatedAt => keyset!(connections::updated_at, number),
        SortColumn::CredentialsExpireAt => {
            let column = connections::credentials_expire_on;
            if let Some((value, id)) = query.after.clone() {
                rows =
                    match (number(value), query.descending) {
                        (Some(day), false) => rows
                            .filter(column.gt(day).or(column.eq(day).and(connections::id.gt(id))).or(column.is_null())),
                        (Some(day), true) => rows
                            .filter(column.lt(day).or(column.eq(day).and(connections::id.lt(id))).or(column.is_null())),
                        (None, false) => rows.filter(column.is_null().and(connections::id.gt(id))),
                        (None, true) => rows.filter(column.is_null().and(connections::id.lt(id))),
                    };
            }
            if query.descending {
                rows.order((column.is_null().asc(), column.desc(), connections::id.desc()))
            } else {
                rows.order((column.is_null().asc(), column.asc(), connections::id.asc()))
            }
        }
    };
    let rows: Vec<ConnectionRow> = rows.load(db)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let value = match query.sort {
                SortColumn::Name => row.name_key.clone(),
                SortColumn::CreatedAt => row.created_at.to_string(),
                SortColumn::UpdatedAt => row.updated_at.to_string(),
                SortColumn::CredentialsExpireAt => {
                    row.credentials_expire_on.map_or_else(String::new, |day| day.to_string())
                }
            };
            Listed { position: (value, row.id.clone()), stored: row.try_into() }
        })
        .collect())
}

/// The ids of all of an organisation's connections, oldest first: all of them, so that a question about all leaves
/// none out.
pub(crate) fn ids(db: &mut DbConnection, organisation: &OrgId) -> Result<Vec<Uuid>, DbError> {
    let ids: Vec<String> = connections::table
        .filter(connections::organisation_id.eq(organisation.as_str()))
        .filter(connections::deleted_at.is_null())
        .order((connections::created_at.asc(), connections::id.asc()))
        .select(connections::id)
        .load(db)?;
    ids.iter().map(|id| id.parse().map_err(|_| Damaged::Id.into())).collect()
}

/// How many connections an organisation has: those that count, and those that do not.
pub(crate) fn count(db: &mut DbConnection, organisation: &OrgId) -> Result<(u32, u32), DbError> {
    let mut counts = [0_u32; 2];
    for (place, counting) in [true, false].into_iter().enumerate() {
        let found: i64 = connections::table
            .filter(connections::organisation_id.eq(organisation.as_str()))
            .filter(connections::deleted_at.is_null())
            .filter(connections::counts_toward_limit.eq(counting))
            .count()
            .get_result(db)?;
        if let Some(count) = counts.get_mut(place) {
            *count = u32::try_from(found).unwrap_or(u32::MAX);
        }
    }
    let [counted, demo] = counts;
    Ok((counted, demo))
}

/// Whether another connection of the organisation has this name, or one that looks the same.
pub(crate) fn name_taken(
    db: &mut DbConnection,
    organisation: &OrgId,
    name: &str,
    except: Option<Uuid>,
) -> Result<bool, DbError> {
    let except = except.map(|id| id.to_string()).unwrap_or_default();
    let names: Vec<String> = connections::table
        .filter(connections::organisation_id.eq(organisation.as_str()))
        .filter(connections::deleted_at.is_null())
        .filter(connections::id.ne(except))
        .select(connections::name)
        .load(db)?;
    Ok(names.iter().any(|known| look_alike(known, name)))
}

/// Turns a connection into its tombstone: what was sealed is gone, the name is free.
pub(crate) fn bury(db: &mut DbConnection, organisation: &OrgId, id: Uuid, now: i64) -> Result<bool, DbError> {
    let buried = diesel::update(
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str()))
            .filter(connections::id.eq(id.to_string()))
            .filter(connections::deleted_at.is_null()),
    )
    .set((
        connections::settings_sealed.eq(None::<Vec<u8>>),
        connections::credentials_sealed.eq(None::<Vec<u8>>),
        connections::verification_sealed.eq(None::<Vec<u8>>),
        connections::health_sealed.eq(None::<Vec<u8>>),
        connections::verify_after.eq(None::<i64>),
        connections::check_after.eq(None::<i64>),
        connections::tell_expiry_at.eq(None::<i64>),
        connections::lease_until.eq(None::<i64>),
        connections::lease_owner.eq(None::<String>),
        connections::updated_at.eq(now),
        connections::deleted_at.eq(Some(now)),
    ))
    .execute(db)?;
    diesel::delete(
        history::table
            .filter(history::organisation_id.eq(organisation.as_str()))
            .filter(history::connection_id.eq(id.to_string())),
    )
    .execute(db)?;
    Ok(buried > 0)
}

/// Adds a connection.
pub(crate) fn insert(db: &mut DbConnection, stored: &Stored) -> Result<(), DbError> {
    let row = ConnectionRow {
        id: stored.id.to_string(),
        organisation_id: stored.organisation.as_str().to_owned(),
        name: stored.name.clone(),
        name_key: name_key(&stored.name),
        platform: stored.pair.platform().key().to_owned(),
        connection_type: stored.pair.connection_type().key().to_owned(),
        settings_sealed: stored.sealed.settings.clone(),
        credentials_sealed: stored.sealed.credentials.clone(),
        verification_sealed: stored.sealed.verification.clone(),
        status: stored.status.key().to_owned(),
        counts_toward_limit: stored.counts_toward_limit,
        version: stored.version,
        verify_after: stored.verify_after,
        verify_attempts: stored.verify_attempts,
        lease_until: stored.lease_until,
        last_used_at: stored.last_used_at,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        created_by: stored.created_by.clone(),
        deleted_at: None,
        lease_owner: stored.lease_owner.clone(),
        created_via_service: stored.created_via_service,
        health_sealed: stored.sealed.health.clone(),
        last_success_at: stored.last_success_at,
        last_checked_at: stored.last_checked_at,
        check_after: stored.check_after,
        check_attempts: stored.check_attempts,
        credentials_expire_on: stored.expiry.map(Day::number),
        tell_expiry_at: stored.tell_expiry_at,
    };
    diesel::insert_into(connections::table).values(&row).execute(db)?;
    Ok(())
}

/// Writes what a change may change.
pub(crate) fn change(db: &mut DbConnection, stored: &Stored) -> Result<(), DbError> {
    diesel::update(
        connections::table
            .filter(connections::organisation_id.eq(stored.organisation.as_str()))
            .filter(connections::id.eq(stored.id.to_string())),
    )
    .set((
        connections::name.eq(&stored.name),
        connections::name_key.eq(name_key(&stored.name)),
        connections::settings_sealed.eq(&stored.sealed.settings),
        connections::credentials_sealed.eq(&stored.sealed.credentials),
        connections::verification_sealed.eq(&stored.sealed.verification),
        connections::health_sealed.eq(&stored.sealed.health),
        connections::last_success_at.eq(stored.last_success_at),
        connections::last_checked_at.eq(stored.last_checked_at),
        connections::check_after.eq(stored.check_after),
        connections::check_attempts.eq(stored.check_attempts),
        connections::credentials_expire_on.eq(stored.expiry.map(Day::number)),
        connections::tell_expiry_at.eq(stored.tell_expiry_at),
        connections::status.eq(stored.status.key()),
        connections::verify_after.eq(stored.verify_after),
        connections::lease_until.eq(stored.lease_until),
        connections::lease_owner.eq(&stored.lease_owner),
        connections::version.eq(stored.version),
        connections::updated_at.eq(stored.updated_at),
    ))
    .execute(db)?;
    Ok(())
}
