//! Work in the background: deferred verifications, batches of uses, changes made by other processes, and pruning.
//!
//! A deferred verification lives on the connection's own row, so a restart loses none. A worker claims a row by a
//! conditional update that sets a lease; if the process dies, the lease ends and another worker takes over.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use jiff::Timestamp;
use serde_json::json;

use super::now_micros;
use super::service::{Connections, Opened, outcome_of, status_after};
use super::store::{self, Event, Sealer};
use super::{Actor, Status};
use crate::db::models::ConnectionRow;
use crate::db::schema::connections;
use crate::db::{DbConnection, DbError};
use crate::platforms::transport::{CallScope, Purpose};
use crate::platforms::verification::{self, VERIFICATION_DEADLINE, Verification, VerificationStatus};
use crate::problem::{Code, Problem};
use crate::tenancy::OrgId;

/// How often the background looks for work that nobody announced.
const TICK: Duration = Duration::from_millis(900);
/// How long a claimed verification belongs to its worker, in microseconds.
const LEASE: i64 = 60 * 1_000_000;
/// The first repetition of an inconclusive verification comes after this many microseconds; each later one after
/// twice as long, up to an hour.
const FIRST_REPEAT: i64 = 5 * 1_000_000;
const LAST_REPEAT: i64 = 3_600 * 1_000_000;
/// How often the background looks for what is kept too long. While there is more, a batch goes with every tick.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

impl Connections {
    /// Runs until the future is dropped.
    pub async fn work(self) {
        // Side by side: a verification may take long, and what others changed must be noticed within a second.
        tokio::join!(self.keep_up(), self.verify_deferred());
    }

    async fn keep_up(&self) {
        let mut seen = 0;
        let mut prune_at = Instant::now();
        loop {
            tokio::time::sleep(TICK).await;
            self.flush_uses().await;
            self.inner.db.finish_scrub().await;
            self.notice_changes(&mut seen).await;
            if Instant::now() >= prune_at && !self.prune_and_tell().await {
                prune_at = Instant::now() + PRUNE_EVERY;
            }
        }
    }

    async fn verify_deferred(&self) {
        loop {
            let _ = tokio::time::timeout(TICK, self.inner.work.notified()).await;
            loop {
                match self.verify_one_due().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(problem) => {
                        tracing::warn!(cause = problem.cause.as_deref(), "background work has to wait");
                        break;
                    }
                }
            }
        }
    }

    /// Prunes one batch; says whether there is more to do now.
    async fn prune_and_tell(&self) -> bool {
        match self.prune().await {
            Ok(pruned) => pruned > 0,
            Err(problem) => {
                tracing::warn!(cause = problem.cause.as_deref(), "pruning has to wait");
                false
            }
        }
    }

    /// Deletes a small batch of what is over: audit events past their retention, and idempotency keys. Says how many
    /// rows went; zero means that nothing is left.
    ///
    /// # Errors
    /// A failing database.
    pub async fn prune(&self) -> Result<usize, Problem> {
        let now = now_micros();
        let retention = self.inner.options.audit_retention;
        let audit_before =
            retention.map(|kept| now.saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX)));
        let over = self
            .inner
            .db
            .read(move |db| -> Result<_, DbError> {
                let events = audit_before.map(|before| store::audit_before(db, before)).transpose()?.flatten();
                Ok((events, store::idempotency_keys_before(db, now)?))
            })
            .await?;
        if over == (None, None) {
            return Ok(0);
        }
        self.inner.db.write_all(move |db| Ok(store::prune(db, over)?)).await
    }

    /// Forgets cached statistics of connections that another process changed.
    async fn notice_changes(&self, seen: &mut i64) {
        if self.inner.stats.is_empty() {
            *seen = now_micros();
            return;
        }
        // Commits become visible a little after the time they carry.
        let since = seen.saturating_sub(5_000_000);
        let changed = self
            .inner
            .db
            .read(move |db| -> Result<Vec<(String, i64)>, DbError> {
                Ok(connections::table
                    .filter(connections::updated_at.gt(since))
                    .select((connections::id, connections::updated_at))
                    .load(db)?)
            })
            .await;
        match changed {
            Ok(changed) => {
                *seen = now_micros();
                for (id, at) in changed {
                    if let Ok(id) = id.parse() {
                        self.inner.stats.forget_older(id, at);
                    }
                }
            }
            // Without the database nothing tells whether a cached answer is still wanted.
            Err(_) => self.inner.stats.forget_all(),
        }
    }

    /// Claims and runs one deferred verification; says whether there was one.
    async fn verify_one_due(&self) -> Result<bool, Problem> {
        let now = now_micros();
        let due = self
            .inner
            .db
            .read(move |db| -> Result<Option<ConnectionRow>, Problem> {
                Ok(connections::table
                    .filter(connections::verify_after.le(now))
                    .filter(connections::deleted_at.is_null())
                    .filter(connections::lease_until.is_null().or(connections::lease_until.lt(now)))
                    .order(connections::verify_after.asc())
                    .select(ConnectionRow::as_select())
                    .first(db)
                    .optional()?)
            })
            .await?;
        let Some(row) = due else { return Ok(false) };
        let Ok(organisation) = row.organisation_id.parse::<OrgId>() else { return Ok(false) };
        let (id, lease) = (row.id.clone(), row.lease_until);
        let claimed = self
            .inner
            .db
            .write(row.organisation_id.clone(), now, move |db| -> Result<usize, Problem> {
                let unclaimed = connections::table
                    .filter(connections::id.eq(id))
                    .filter(connections::verify_after.le(now))
                    .filter(connections::lease_until.is_null().or(connections::lease_until.eq(lease)));
                Ok(diesel::update(unclaimed)
                    .set((
                        connections::lease_until.eq(Some(now + LEASE)),
                        connections::verify_attempts.eq(connections::verify_attempts + 1),
                    ))
                    .execute(db)?)
            })
            .await?;
        if claimed == 1 {
            self.verify_claimed(organisation, row).await?;
        }
        Ok(true)
    }

    async fn verify_claimed(&self, organisation: OrgId, row: ConnectionRow) -> Result<(), Problem> {
        let (platform, _, _) = store::kind(&row).map_err(Problem::internal)?;
        let (id, version) = (store::id_of(&row), row.version);
        let attempts = row.verify_attempts;
        let actor = Actor {
            organisation,
            plan: None,
            subject: row.created_by.clone(),
            address: None,
            request_id: format!("background-{}", Timestamp::now().as_microsecond()),
        };
        let scope =
            CallScope { purpose: Purpose::Verify, deadline: Instant::now() + VERIFICATION_DEADLINE, max_calls: 100 };
        let verification = match self.open_row(&actor.organisation, Box::new(row), scope) {
            Ok(Opened { client, .. }) => verification::verify(&client).await,
            Err(problem) if problem.code == Code::CredentialsUnreadable => Verification::unreadable(),
            Err(problem) => return Err(problem),
        };
        let sealer = Sealer::new(&self.inner.vault, &actor.organisation, id, platform);
        let sealed = sealer.seal_verification(&verification).map_err(Problem::internal)?;
        let status = status_after(verification.status);
        let event = Event {
            action: "connection.verified",
            outcome: outcome_of(&verification),
            connection: Some(id),
            detail: json!({ "deferred": true }),
        };
        let again = verification.status == VerificationStatus::Inconclusive;
        let now = now_micros();
        self.inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| -> Result<(), Problem> {
                if !store::learn(db, &actor.organisation, id, version, status, Some(&sealed))? {
                    // Renamed meanwhile, perhaps: what is there now is still to be verified.
                    return Ok(release(db, &actor.organisation, &id.to_string())?);
                }
                store::remember_verification(db, &actor.organisation, id, &sealed, now)?;
                store::audit(db, &actor, &event, now)?;
                if again {
                    Ok(postpone(db, &actor.organisation, &id.to_string(), now, attempts)?)
                } else {
                    Ok(store::settle_deferred(db, &actor.organisation, id)?)
                }
            })
            .await
    }

    /// Writes what a pull taught about a connection's health.
    pub(super) async fn learn_from_pull(&self, organisation: &OrgId, row: &ConnectionRow, status: Status) {
        if row.status == status.key() {
            return;
        }
        let (owner, id, version) = (organisation.clone(), store::id_of(row), row.version);
        let outcome = self
            .inner
            .db
            .write(organisation.as_str().to_owned(), now_micros(), move |db| -> Result<(), Problem> {
                store::learn(db, &owner, id, version, Some(status), None)?;
                Ok(())
            })
            .await;
        if let Err(problem) = outcome {
            tracing::warn!(cause = problem.cause.as_deref(), "a connection's health could not be written");
        }
    }
}

fn release(db: &mut DbConnection, organisation: &OrgId, id: &str) -> Result<(), DbError> {
    diesel::update(
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str()))
            .filter(connections::id.eq(id)),
    )
    .set(connections::lease_until.eq(None::<i64>))
    .execute(db)?;
    Ok(())
}

fn postpone(db: &mut DbConnection, organisation: &OrgId, id: &str, now: i64, attempts: i64) -> Result<(), DbError> {
    let doubled = FIRST_REPEAT.saturating_mul(1_i64 << attempts.clamp(0, 20));
    let wait = doubled.min(LAST_REPEAT);
    diesel::update(
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str()))
            .filter(connections::id.eq(id))
            .filter(connections::verify_after.is_not_null()),
    )
    .set((connections::verify_after.eq(Some(now + wait)), connections::lease_until.eq(None::<i64>)))
    .execute(db)?;
    Ok(())
}
