//! The queries of the background and of commands, which go through the connections of all organisations: **the only ones
//! that reach a row without being given its organisation**. Nothing that a caller asks for may use them.

use diesel::prelude::*;
use uuid::Uuid;

use super::rows::{ConnectionRow, VerificationRow};
use super::stored::{Damaged, Stored};
use super::verifications::Remembered;
use crate::connections::claims::{Claim, LONGEST_LEASE, Work};
use crate::db::schema::{connections, verifications};
use crate::db::{DbConnection, DbError};
use crate::metrics::{Checks, Deferred};

/// Connections that are due to be verified, with their organisations: those that have been for longest, except of the
/// organisations left out.
pub(crate) fn due(
    db: &mut DbConnection,
    work: Work,
    now: i64,
    left_out: Vec<String>,
    limit: i64,
) -> Result<Vec<(String, String)>, DbError> {
    let free = connections::table
        .filter(connections::deleted_at.is_null())
        .filter(is_free(now))
        .filter(connections::organisation_id.ne_all(left_out))
        .limit(limit)
        .select((connections::id, connections::organisation_id))
        .into_boxed();
    let due = match work {
        Work::Deferred => free.filter(connections::verify_after.le(now)).order(connections::verify_after.asc()),
        Work::Check => free.filter(connections::check_after.le(now)).order(connections::check_after.asc()),
    };
    Ok(due.load(db)?)
}

/// Whether nobody holds a lease on a connection now.
#[diesel::dsl::auto_type(no_type_alias)]
fn is_free(now: i64) -> _ {
    let longest: i64 = now + LONGEST_LEASE;
    connections::lease_until.is_null().or(connections::lease_until.lt(now)).or(connections::lease_until.gt(longest))
}

/// How often a claimed connection has been tried, and what is stored of it.
type Claimed = (i64, Result<Stored, Damaged>);

/// Claims a connection that is due, unless another worker was quicker; says how often it has been tried.
pub(crate) fn claim(
    db: &mut DbConnection,
    claim: &Claim,
    now: i64,
    lease_end: i64,
) -> Result<Option<Claimed>, DbError> {
    let free = connections::table
        .filter(connections::id.eq(&claim.id))
        .filter(connections::deleted_at.is_null())
        .filter(is_free(now));
    let lease = (connections::lease_until.eq(Some(lease_end)), connections::lease_owner.eq(Some(&claim.owner)));
    let claimed = match claim.work {
        Work::Deferred => diesel::update(free.filter(connections::verify_after.le(now)))
            .set((lease, connections::verify_attempts.eq(connections::verify_attempts + 1)))
            .execute(db)?,
        Work::Check => diesel::update(free.filter(connections::check_after.le(now))).set(lease).execute(db)?,
    };
    if claimed == 0 {
        return Ok(None);
    }
    let row = connections::table.filter(connections::id.eq(&claim.id));
    let row: Option<ConnectionRow> = row.select(ConnectionRow::as_select()).get_result(db).optional()?;
    Ok(row.map(|row| (row.verify_attempts, row.try_into())))
}

/// Ends a claim, unless it is another worker's by now; with `next`, nobody takes it up before that time.
pub(crate) fn put_back(db: &mut DbConnection, claim: &Claim, next: Option<i64>) -> Result<(), DbError> {
    let claimed = || {
        connections::table
            .filter(connections::id.eq(claim.id.clone()))
            .filter(connections::lease_owner.eq(claim.owner.clone()))
    };
    if let Some(next) = next {
        match claim.work {
            Work::Deferred => diesel::update(claimed().filter(connections::verify_after.is_not_null()))
                .set(connections::verify_after.eq(Some(next)))
                .execute(db)?,
            Work::Check => diesel::update(claimed().filter(connections::check_after.is_not_null()))
                .set(connections::check_after.eq(Some(next)))
                .execute(db)?,
        };
    }
    diesel::update(claimed())
        .set((connections::lease_until.eq(None::<i64>), connections::lease_owner.eq(None::<String>)))
        .execute(db)?;
    Ok(())
}

/// Has a lease last until then, unless it is over and another worker's by now.
pub(crate) fn renew_lease(db: &mut DbConnection, claim: &Claim, until: i64) -> Result<(), DbError> {
    let claimed =
        connections::table.filter(connections::id.eq(&claim.id)).filter(connections::lease_owner.eq(&claim.owner));
    diesel::update(claimed).set(connections::lease_until.eq(Some(until))).execute(db)?;
    Ok(())
}

/// Connections that are not checked yet, with their organisations: an earlier release has added them, or nobody wanted
/// checks.
pub(crate) fn without_check(db: &mut DbConnection, limit: i64) -> Result<Vec<(String, String)>, DbError> {
    Ok(connections::table
        .filter(connections::check_after.is_null())
        .filter(connections::verify_after.is_null())
        .filter(connections::deleted_at.is_null())
        .limit(limit)
        .select((connections::id, connections::organisation_id))
        .load(db)?)
}

/// Connections that are to be checked at some time, with their organisations.
pub(crate) fn with_check(db: &mut DbConnection, limit: i64) -> Result<Vec<(String, String)>, DbError> {
    Ok(connections::table
        .filter(connections::check_after.is_not_null())
        .limit(limit)
        .select((connections::id, connections::organisation_id))
        .load(db)?)
}

/// Puts a connection on the list of those to be checked, or takes it off.
pub(crate) fn put_check(db: &mut DbConnection, id: &str, check_after: Option<i64>) -> Result<(), DbError> {
    let row = connections::table.filter(connections::id.eq(id)).filter(connections::deleted_at.is_null());
    diesel::update(row).set(connections::check_after.eq(check_after)).execute(db)?;
    Ok(())
}

/// How many checks are due, and when the one was that has been for longest.
pub(crate) fn count_checks(db: &mut DbConnection, now: i64) -> Result<Checks, DbError> {
    let (due, oldest): (i64, Option<i64>) = connections::table
        .filter(connections::check_after.le(now))
        .filter(connections::deleted_at.is_null())
        .select((diesel::dsl::count_star(), diesel::dsl::min(connections::check_after)))
        .get_result(db)?;
    Ok(Checks { due, late: oldest.map_or(0, |oldest| now.saturating_sub(oldest)) })
}

/// Connections whose keys run out, and of which that is to be announced now, with their organisations.
pub(crate) fn to_expire(db: &mut DbConnection, now: i64, limit: i64) -> Result<Vec<(String, String)>, DbError> {
    Ok(connections::table
        .filter(connections::tell_expiry_at.le(now))
        .filter(connections::deleted_at.is_null())
        .order(connections::tell_expiry_at.asc())
        .limit(limit)
        .select((connections::id, connections::organisation_id))
        .load(db)?)
}

/// Takes away what an earlier release has left of connections that it deleted; says how many.
pub(crate) fn forget_health_of_deleted(db: &mut DbConnection) -> Result<usize, DbError> {
    let left = connections::table
        .filter(connections::deleted_at.is_not_null())
        .filter(connections::health_sealed.is_not_null());
    Ok(diesel::update(left).set(connections::health_sealed.eq(None::<Vec<u8>>)).execute(db)?)
}

/// How many verifications are due, being worked on, and to come later.
pub(crate) fn count_deferred(db: &mut DbConnection, now: i64) -> Result<Deferred, DbError> {
    let waiting = || connections::table.filter(connections::verify_after.is_not_null()).count();
    let due = waiting()
        .filter(connections::verify_after.le(now))
        .filter(is_free(now))
        .filter(connections::deleted_at.is_null())
        .get_result(db)?;
    let leased = waiting()
        .filter(connections::lease_until.between(now, now + LONGEST_LEASE))
        .filter(connections::deleted_at.is_null())
        .get_result(db)?;
    let later = waiting()
        .filter(connections::verify_after.gt(now))
        .filter(is_free(now))
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
    pub(crate) health: Option<Renewed>,
    /// Entries of the history, by their ids.
    pub(crate) history: Vec<(String, Renewed)>,
}

impl Renewal {
    pub(crate) fn is_empty(&self) -> bool {
        let blobs = [&self.settings, &self.credentials, &self.verification, &self.health];
        blobs.into_iter().all(Option::is_none) && self.history.is_empty()
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
    replace!(connections::health_sealed, renewal.health);
    for (entry, Renewed { new, .. }) in renewal.history {
        replaced += diesel::update(verifications::table.filter(verifications::id.eq(entry)))
            .set(verifications::report_sealed.eq(new))
            .execute(db)?;
    }
    Ok(replaced)
}
