//! The queries of the background and of commands, which go through the connections of all organisations: **the only ones
//! that reach a row without being given its organisation**. Nothing that a caller asks for may use them.

use diesel::prelude::*;
use uuid::Uuid;

use super::stored::{Damaged, Stored};
use super::verifications::Remembered;
use crate::connections::claims::Claim;
use crate::db::models::{ConnectionRow, VerificationRow};
use crate::db::schema::{connections, verifications};
use crate::db::{DbConnection, DbError};
use crate::metrics::Deferred;

/// Connections that are due to be verified, with their organisations: those that have been for longest, except of the
/// organisations left out.
pub(crate) fn due(
    db: &mut DbConnection,
    now: i64,
    left_out: Vec<String>,
    limit: i64,
) -> Result<Vec<(String, String)>, DbError> {
    Ok(connections::table
        .filter(connections::verify_after.le(now))
        .filter(connections::deleted_at.is_null())
        .filter(connections::lease_until.is_null().or(connections::lease_until.lt(now)))
        .filter(connections::organisation_id.ne_all(left_out))
        .order(connections::verify_after.asc())
        .limit(limit)
        .select((connections::id, connections::organisation_id))
        .load(db)?)
}

/// A connection that was claimed.
#[derive(Debug)]
pub(crate) struct Taken {
    /// How often it has been tried, this time included.
    pub(crate) attempts: i64,
    pub(crate) stored: Result<Stored, Damaged>,
}

/// Claims a connection that is due, unless another worker was quicker.
pub(crate) fn claim(db: &mut DbConnection, claim: &Claim, now: i64) -> Result<Option<Taken>, DbError> {
    let unclaimed = connections::table
        .filter(connections::id.eq(&claim.id))
        .filter(connections::verify_after.le(now))
        .filter(connections::lease_until.is_null().or(connections::lease_until.lt(now)));
    let claimed = diesel::update(unclaimed)
        .set((
            connections::lease_until.eq(Some(claim.lease)),
            connections::verify_attempts.eq(connections::verify_attempts + 1),
        ))
        .execute(db)?;
    if claimed == 0 {
        return Ok(None);
    }
    let row = connections::table.filter(connections::id.eq(&claim.id));
    let row: Option<ConnectionRow> = row.select(ConnectionRow::as_select()).get_result(db).optional()?;
    Ok(row.map(|row| Taken { attempts: row.verify_attempts, stored: row.try_into() }))
}

/// Ends a claim, unless it is another worker's by now; with `next`, nobody takes it up before that time.
pub(crate) fn put_back(db: &mut DbConnection, claim: &Claim, next: Option<i64>) -> Result<(), DbError> {
    let claimed = || {
        connections::table
            .filter(connections::id.eq(claim.id.clone()))
            .filter(connections::verify_after.is_not_null())
            .filter(connections::lease_until.eq(claim.lease))
    };
    if let Some(next) = next {
        diesel::update(claimed()).set(connections::verify_after.eq(Some(next))).execute(db)?;
    }
    diesel::update(claimed()).set(connections::lease_until.eq(None::<i64>)).execute(db)?;
    Ok(())
}

/// How many verifications are due, being worked on, and to come later.
pub(crate) fn count_deferred(db: &mut DbConnection, now: i64) -> Result<Deferred, DbError> {
    let waiting = || connections::table.filter(connections::verify_after.is_not_null()).count();
    let due = waiting()
        .filter(connections::verify_after.le(now))
        .filter(connections::lease_until.is_null().or(connections::lease_until.lt(now)))
        .filter(connections::deleted_at.is_null())
        .get_result(db)?;
    let leased =
        waiting().filter(connections::lease_until.ge(now)).filter(connections::deleted_at.is_null()).get_result(db)?;
    let later = waiting()
        .filter(connections::verify_after.gt(now))
        .filter(connections::lease_until.is_null().or(connections::lease_until.lt(now)))
        .filter(connections::deleted_at.is_null())
        .get_result(db)?;
    Ok(Deferred { due, leased, later })
}

/// A connection that changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) is_deleted: bool,
}

/// The connections that changed after `since`, in microseconds.
pub(crate) fn changed_since(db: &mut DbConnection, since: i64) -> Result<Vec<Changed>, DbError> {
    let rows: Vec<(String, i64, Option<i64>)> = connections::table
        .filter(connections::updated_at.gt(since))
        .select((connections::id, connections::version, connections::deleted_at))
        .load(db)?;
    // One that is damaged is never answered from what is kept: its pulls fail.
    Ok(rows
        .into_iter()
        .filter_map(|(id, version, deleted_at)| {
            Some(Changed { id: id.parse().ok()?, version, is_deleted: deleted_at.is_some() })
        })
        .collect())
}

/// Whether the table of connections can be read.
pub(crate) fn probe(db: &mut DbConnection) -> Result<(), DbError> {
    let _: Option<i64> = connections::table.select(connections::version).first(db).optional()?;
    Ok(())
}

/// How many connections there are.
pub(crate) fn count(db: &mut DbConnection) -> Result<u64, DbError> {
    let count: i64 = connections::table.filter(connections::deleted_at.is_null()).count().get_result(db)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// A batch of connections with their histories.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) connections: Vec<(Result<Stored, Damaged>, Vec<Remembered>)>,
    /// The id after which the next batch begins; `None` where nothing was left.
    pub(crate) last: Option<String>,
}

/// The connections after an id, in the order of their ids.
pub(crate) fn batch(db: &mut DbConnection, after: &str, limit: i64) -> Result<Batch, DbError> {
    let rows: Vec<ConnectionRow> = connections::table
        .filter(connections::id.gt(after))
        .filter(connections::deleted_at.is_null())
        .order(connections::id.asc())
        .limit(limit)
        .select(ConnectionRow::as_select())
        .load(db)?;
    let ids = rows.iter().map(|row| row.id.as_str());
    let mut entries: Vec<VerificationRow> = verifications::table
        .filter(verifications::connection_id.eq_any(ids))
        .select(VerificationRow::as_select())
        .load(db)?;
    let last = rows.last().map(|row| row.id.clone());
    let connections = rows.into_iter().map(|row| {
        let history = entries
            .extract_if(.., |entry| entry.connection_id == row.id)
            .map(|entry| Remembered { id: entry.id, sealed: entry.report_sealed })
            .collect();
        (Stored::try_from(row), history)
    });
    Ok(Batch { connections: connections.collect(), last })
}

/// A blob and what takes its place.
#[derive(Debug)]
pub(crate) struct Renewed {
    pub(crate) old: Vec<u8>,
    pub(crate) new: Vec<u8>,
}

/// What is sealed anew of a connection.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    pub(crate) settings: Option<Renewed>,
    pub(crate) credentials: Option<Renewed>,
    pub(crate) verification: Option<Renewed>,
    /// Entries of the history, by their ids.
    pub(crate) history: Vec<(String, Renewed)>,
}

impl Renewal {
    pub(crate) fn is_empty(&self) -> bool {
        self.settings.is_none() && self.credentials.is_none() && self.verification.is_none() && self.history.is_empty()
    }
}

/// Replaces blobs that are still those that were read; says how many.
pub(crate) fn renew(db: &mut DbConnection, connection: Uuid, renewal: Renewal) -> Result<usize, DbError> {
    let id = connection.to_string();
    let mut replaced = 0;
    // The blob that was read stands in each condition: whatever was written since is newer, and stays.
    macro_rules! replace {
        ($column:expr, $renewed:expr) => {
            if let Some(Renewed { old, new }) = $renewed {
                let unchanged = connections::table
                    .filter(connections::id.eq(&id))
                    .filter(connections::deleted_at.is_null())
                    .filter($column.eq(Some(old)));
                replaced += diesel::update(unchanged).set($column.eq(Some(new))).execute(db)?;
            }
        };
    }
    replace!(connections::settings_sealed, renewal.settings);
    replace!(connections::credentials_sealed, renewal.credentials);
    replace!(connections::verification_sealed, renewal.verification);
    for (entry, Renewed { new, .. }) in renewal.history {
        replaced += diesel::update(verifications::table.filter(verifications::id.eq(entry)))
            .set(verifications::report_sealed.eq(new))
            .execute(db)?;
    }
    Ok(replaced)
}
