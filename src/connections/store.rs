//! The queries about connections. Each takes the organisation: there is no way to a row without it.

use diesel::prelude::*;
use uuid::Uuid;

use super::seal::Sealer;
use super::{ConnectionView, Status};
use crate::clock::time;
use crate::db::models::{AutomationRow, ConnectionRow, VerificationRow};
use crate::db::schema::{automations, connections, verifications};
use crate::db::{DbConnection, DbError};
use crate::platforms::verification::Verification;
use crate::platforms::{ConnectionType, Pair, Platform};
use crate::tenancy::OrgId;
use crate::vault::Vault;

/// How many verifications of a connection are kept.
const HISTORY: i64 = 50;

/// What an id leads to.
#[derive(Debug)]
pub enum Found {
    /// A connection.
    Live(Box<ConnectionRow>),
    /// The tombstone of one.
    Deleted,
    /// Nothing of this organisation.
    Nothing,
}

/// A stored row that makes no sense: its platform or type is not known to this version.
#[derive(Debug, thiserror::Error)]
#[error("the stored platform or connection type is not known")]
pub struct UnknownKind;

/// What kind a stored connection is.
///
/// # Errors
/// A platform or type this version does not know.
pub fn kind(row: &ConnectionRow) -> Result<(Platform, ConnectionType, Pair), UnknownKind> {
    let platform: Platform = row.platform.parse().map_err(|()| UnknownKind)?;
    let connection_type: ConnectionType = row.connection_type.parse().map_err(|()| UnknownKind)?;
    let pair = Pair::find(platform, connection_type).ok_or(UnknownKind)?;
    Ok((platform, connection_type, pair))
}

/// The id of a row.
#[must_use]
pub fn id_of(row: &ConnectionRow) -> Uuid {
    row.id.parse().unwrap_or_default()
}

/// The key under which a name is unique and sorted: trimmed and in lower case.
#[must_use]
pub fn name_key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// A row as it is shown. One that cannot be opened shows as `failing` and hides nothing else.
#[must_use]
pub fn view(vault: &Vault, organisation: &OrgId, row: &ConnectionRow) -> Option<ConnectionView> {
    let (platform, connection_type, _) = kind(row).ok()?;
    let sealer = Sealer::new(vault, organisation, id_of(row), platform);
    let profile = sealer.open_profile(row.settings_sealed.as_deref());
    // Only opening tells a blob that was damaged or sealed for another row; what is opened is wiped at once.
    let readable = profile.is_ok() && sealer.open_credentials(row.credentials_sealed.as_deref()).is_ok();
    let profile = profile.unwrap_or_default();
    let last_verification = if readable {
        row.verification_sealed.as_deref().and_then(|blob| sealer.open_verification(blob).ok())
    } else {
        Some(Verification::unreadable())
    };
    let status = Status::find(&row.status).filter(|_| readable).unwrap_or(Status::Failing);
    Some(ConnectionView {
        id: id_of(row),
        name: row.name.clone(),
        platform,
        connection_type,
        settings: profile.settings,
        credentials: profile.hints,
        status,
        counts_toward_limit: row.counts_toward_limit,
        version: row.version,
        last_verification,
        last_used_at: row.last_used_at.map(time),
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        created_by: row.created_by.clone(),
    })
}

/// What an id leads to, for this organisation.
///
/// Another organisation's connection is nothing: the caller cannot tell it from an unknown id.
///
/// # Errors
/// A failing database.
pub fn find(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<Found, DbError> {
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
        Some(row) => Found::Live(Box::new(row)),
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
}

impl SortColumn {
    /// Whether `value`, from a cursor, can be one of this column's.
    #[must_use]
    pub fn can_hold(self, value: &str) -> bool {
        match self {
            Self::Name => true,
            Self::CreatedAt | Self::UpdatedAt => value.parse::<i64>().is_ok(),
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
    pub after: Option<(String, String)>,
    /// How many entries at most.
    pub limit: i64,
}

/// One page of an organisation's connections.
///
/// # Errors
/// A failing database.
pub fn list(db: &mut DbConnection, organisation: &OrgId, query: &ListQuery) -> Result<Vec<ConnectionRow>, DbError> {
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
    };
    Ok(rows.load(db)?)
}

/// The ids of all of an organisation's connections, oldest first: all of them, so that a question about all leaves
/// none out.
///
/// # Errors
/// A failing database.
pub fn ids(db: &mut DbConnection, organisation: &OrgId) -> Result<Vec<Uuid>, DbError> {
    let ids: Vec<String> = connections::table
        .filter(connections::organisation_id.eq(organisation.as_str()))
        .filter(connections::deleted_at.is_null())
        .order((connections::created_at.asc(), connections::id.asc()))
        .select(connections::id)
        .load(db)?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// Where a list goes on after this row.
#[must_use]
pub fn place_of(row: &ConnectionRow, sort: SortColumn) -> (String, String) {
    let value = match sort {
        SortColumn::Name => row.name_key.clone(),
        SortColumn::CreatedAt => row.created_at.to_string(),
        SortColumn::UpdatedAt => row.updated_at.to_string(),
    };
    (value, row.id.clone())
}

/// How many connections an organisation has: those that count, and those that do not.
///
/// # Errors
/// A failing database.
pub fn count(db: &mut DbConnection, organisation: &OrgId) -> Result<(u32, u32), DbError> {
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

/// Whether another connection of the organisation has this name.
///
/// # Errors
/// A failing database.
pub fn name_taken(
    db: &mut DbConnection,
    organisation: &OrgId,
    name: &str,
    except: Option<Uuid>,
) -> Result<bool, DbError> {
    let except = except.map(|id| id.to_string()).unwrap_or_default();
    let found: i64 = connections::table
        .filter(connections::organisation_id.eq(organisation.as_str()))
        .filter(connections::name_key.eq(name_key(name)))
        .filter(connections::deleted_at.is_null())
        .filter(connections::id.ne(except))
        .count()
        .get_result(db)?;
    Ok(found > 0)
}

/// Adds a verification to a connection's history and drops what is too old.
///
/// # Errors
/// A failing database.
pub fn remember_verification(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    sealed: &[u8],
    now: i64,
) -> Result<(), DbError> {
    let row = VerificationRow {
        id: Uuid::now_v7().to_string(),
        organisation_id: organisation.as_str().to_owned(),
        connection_id: connection.to_string(),
        report_sealed: sealed.to_vec(),
        created_at: now,
    };
    diesel::insert_into(verifications::table).values(&row).execute(db)?;
    let oldest: Option<String> = verifications::table
        .filter(verifications::connection_id.eq(connection.to_string()))
        .order(verifications::id.desc())
        .select(verifications::id)
        .offset(HISTORY)
        .limit(1)
        .first(db)
        .optional()?;
    if let Some(oldest) = oldest {
        diesel::delete(
            verifications::table
                .filter(verifications::connection_id.eq(connection.to_string()))
                .filter(verifications::id.le(oldest)),
        )
        .execute(db)?;
    }
    Ok(())
}

/// Writes what a verification or pull taught: the health, and the verification if there was one. Does nothing if the
/// connection changed or was deleted since `version` was read.
///
/// # Errors
/// A failing database.
pub fn learn(
    db: &mut DbConnection,
    organisation: &OrgId,
    id: Uuid,
    version: i64,
    status: Option<Status>,
    verification: Option<&[u8]>,
) -> Result<bool, DbError> {
    let row = || {
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str().to_owned()))
            .filter(connections::id.eq(id.to_string()))
            .filter(connections::version.eq(version))
            .filter(connections::deleted_at.is_null())
    };
    let mut changed = 0;
    if let Some(status) = status {
        changed += diesel::update(row()).set(connections::status.eq(status.key())).execute(db)?;
    }
    if let Some(verification) = verification {
        changed += diesel::update(row()).set(connections::verification_sealed.eq(Some(verification))).execute(db)?;
    }
    Ok(changed > 0)
}

/// Takes a connection off the list of those waiting to be verified.
///
/// # Errors
/// A failing database.
pub fn settle_deferred(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<(), DbError> {
    diesel::update(
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str()))
            .filter(connections::id.eq(id.to_string())),
    )
    .set((
        connections::verify_after.eq(None::<i64>),
        connections::lease_until.eq(None::<i64>),
        connections::verify_attempts.eq(0),
    ))
    .execute(db)?;
    Ok(())
}

/// Turns a connection into its tombstone: what was sealed is gone, the name is free.
///
/// # Errors
/// A failing database.
pub fn bury(db: &mut DbConnection, organisation: &OrgId, id: Uuid, now: i64) -> Result<bool, DbError> {
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
        connections::verify_after.eq(None::<i64>),
        connections::lease_until.eq(None::<i64>),
        connections::updated_at.eq(now),
        connections::deleted_at.eq(Some(now)),
    ))
    .execute(db)?;
    diesel::delete(
        verifications::table
            .filter(verifications::organisation_id.eq(organisation.as_str()))
            .filter(verifications::connection_id.eq(id.to_string())),
    )
    .execute(db)?;
    Ok(buried > 0)
}

/// One page of a connection's verification history, newest first.
///
/// # Errors
/// A failing database.
pub fn history(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<VerificationRow>, DbError> {
    let mut rows = verifications::table
        .filter(verifications::organisation_id.eq(organisation.as_str().to_owned()))
        .filter(verifications::connection_id.eq(connection.to_string()))
        .select(VerificationRow::as_select())
        .order(verifications::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(after) = after {
        rows = rows.filter(verifications::id.lt(after));
    }
    Ok(rows.load(db)?)
}

/// One page of the automations that used a connection, by their ids.
///
/// # Errors
/// A failing database.
pub fn automations_of(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<AutomationRow>, DbError> {
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
    Ok(rows.load(db)?)
}
