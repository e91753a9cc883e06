//! `Idempotency-Key`: the same request twice makes one connection.
//!
//! Neither key nor body is stored, only fingerprints. A key is claimed under a lease that is renewed while its request
//! runs, kept for a day if that made a connection, and free again if it did not.

use std::time::Duration;

use diesel::prelude::*;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::claims;
use super::cursor;
use super::wiped::Wiped;
use crate::db::schema::idempotency_keys;
use crate::db::{DbConnection, DbError};
use crate::problem::{Code, Problem};
use crate::tenancy::OrgId;
use crate::vault::Vault;

/// How long an `Idempotency-Key` is remembered, in microseconds.
const KEY_LIFE: i64 = 24 * 3_600 * 1_000_000;
/// How many keys one transaction deletes.
const PRUNED_AT_ONCE: i64 = 500;

/// A remembered `Idempotency-Key`.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = idempotency_keys)]
struct IdempotencyRow {
    organisation_id: String,
    key_hash: String,
    body_hash: String,
    connection_id: Option<String>,
    expires_at: i64,
    owner: Option<String>,
}

/// The first request of this key has no outcome yet.
pub fn in_progress() -> Problem {
    Problem::new(Code::RequestInProgress, "A request with this Idempotency-Key is still running.")
        .retry_after(Duration::from_secs(1))
}

/// The first request of this key had another body.
pub fn reused() -> Problem {
    Problem::new(Code::IdempotencyKeyReused, "This Idempotency-Key was used with another body.")
        .hint("Use a new key for a new request.")
}

/// When the last fingerprint ends that is under another key than this one, in microseconds since 1970.
pub(super) fn last_under_another_key(db: &mut DbConnection, active: &str, now: i64) -> Result<Option<i64>, DbError> {
    let under_active = format!("{}:%", active.replace('_', "\\_"));
    Ok(idempotency_keys::table
        .filter(idempotency_keys::body_hash.not_like(under_active).escape('\\'))
        .filter(idempotency_keys::expires_at.gt(now))
        .select(diesel::dsl::max(idempotency_keys::expires_at))
        .get_result(db)?)
}

/// An `Idempotency-Key` with the body it came with. Neither is kept here, nor stored: only fingerprints are.
#[derive(Clone)]
pub(crate) struct IdempotencyKey {
    key_hash: String,
    body: Zeroizing<[u8; 32]>,
    body_hash: String,
    /// Which request holds the key while it runs: another with the same body is another holder.
    owner: String,
}

impl IdempotencyKey {
    const LABEL: &'static str = "idempotent body";

    pub(crate) fn new(vault: &Vault, key: &str, body: &Wiped) -> Self {
        // Order and blanks do not make another body.
        let body = body.digest();
        let body_hash = vault.keyed_hash(Self::LABEL, &*body);
        Self { key_hash: cursor::fingerprint(&[key]), body, body_hash, owner: claims::owner() }
    }

    pub(crate) fn begin(
        &self,
        db: &mut DbConnection,
        vault: &Vault,
        organisation: &OrgId,
        now: i64,
    ) -> Result<Option<Uuid>, Problem> {
        diesel::delete(
            idempotency_keys::table
                .filter(idempotency_keys::organisation_id.eq(organisation.as_str()))
                .filter(idempotency_keys::expires_at.lt(now)),
        )
        .execute(db)?;
        let known = idempotency_keys::table
            .filter(idempotency_keys::organisation_id.eq(organisation.as_str()))
            .filter(idempotency_keys::key_hash.eq(&self.key_hash))
            .select(IdempotencyRow::as_select())
            .get_result(db)
            .optional()?;
        let Some(known) = known else {
            let row = IdempotencyRow {
                organisation_id: organisation.as_str().to_owned(),
                key_hash: self.key_hash.clone(),
                body_hash: self.body_hash.clone(),
                connection_id: None,
                expires_at: claims::lease_end(),
                owner: Some(self.owner.clone()),
            };
            diesel::insert_into(idempotency_keys::table).values(&row).execute(db)?;
            return Ok(None);
        };
        if !vault.verify_keyed_hash(Self::LABEL, &*self.body, &known.body_hash) {
            return Err(reused());
        }
        match known.connection_id.and_then(|id| id.parse().ok()) {
            Some(id) => Ok(Some(id)),
            None => Err(in_progress()),
        }
    }

    pub(crate) fn keep(&self, db: &mut DbConnection, organisation: &OrgId, id: Uuid, now: i64) -> Result<(), Problem> {
        let kept = diesel::update(self.held(organisation))
            .set((
                idempotency_keys::connection_id.eq(Some(id.to_string())),
                idempotency_keys::expires_at.eq(now + KEY_LIFE),
            ))
            .execute(db)?;
        // The lease ran out and another request has the key: it must not stand for two connections.
        if kept == 0 { Err(in_progress()) } else { Ok(()) }
    }

    pub(super) fn release(&self, db: &mut DbConnection, organisation: &OrgId) -> Result<(), Problem> {
        diesel::delete(self.held(organisation)).execute(db)?;
        Ok(())
    }

    pub(super) fn renew(&self, db: &mut DbConnection, organisation: &OrgId) -> Result<(), DbError> {
        let until = claims::lease_end();
        diesel::update(self.held(organisation)).set(idempotency_keys::expires_at.eq(until)).execute(db)?;
        Ok(())
    }

    /// The key's row while this request holds it.
    #[diesel::dsl::auto_type(no_type_alias)]
    fn held<'a>(&'a self, organisation: &'a OrgId) -> _ {
        let organisation: &'a str = organisation.as_str();
        let key_hash: &'a str = &self.key_hash;
        let owner: &'a str = &self.owner;
        idempotency_keys::table
            .filter(idempotency_keys::organisation_id.eq(organisation))
            .filter(idempotency_keys::key_hash.eq(key_hash))
            .filter(idempotency_keys::connection_id.is_null())
            .filter(idempotency_keys::owner.eq(owner))
    }
}

/// When the last of the oldest idempotency keys that are over has ended, a batch of them at most.
pub(super) fn oldest_before(db: &mut DbConnection, now: i64) -> Result<Option<i64>, DbError> {
    let batch: Vec<i64> = idempotency_keys::table
        .filter(idempotency_keys::expires_at.lt(now))
        .order(idempotency_keys::expires_at.asc())
        .limit(PRUNED_AT_ONCE)
        .select(idempotency_keys::expires_at)
        .load(db)?;
    Ok(batch.into_iter().next_back())
}

/// Deletes the keys that ended up to this time, and says how many.
pub(super) fn forget_up_to(db: &mut DbConnection, last: i64) -> Result<usize, DbError> {
    Ok(diesel::delete(idempotency_keys::table.filter(idempotency_keys::expires_at.le(last))).execute(db)?)
}
