//! Deferred verifications: connections that were saved first and are verified in the background.
//!
//! Such a verification lives on the connection's own row, so a restart loses none. A worker claims a row by a conditional
//! update that sets a lease; if the process dies, the lease ends and another worker takes over. A process that stops in
//! order hands back what it has claimed.
//!
//! Several run side by side, few of one organisation, and organisations take turns: one with hundreds of new connections
//! does not hold up the others.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;

use diesel::prelude::*;
use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::clock::now_micros;
use crate::connections::Actor;
use crate::connections::action::Action;
use crate::connections::audit::{self, Event};
use crate::connections::claims::Claim;
use crate::connections::seal::Sealer;
use crate::connections::service::{Connections, Opened};
use crate::connections::store;
use crate::connections::supervision::{Phase, TICK};
use crate::connections::verdict::{outcome_of, status_after};
use crate::db::models::ConnectionRow;
use crate::db::schema::connections;
use crate::db::{DbConnection, DbError};
use crate::outbound::CallScope;
use crate::platforms;
use crate::platforms::verification::{Verification, VerificationStatus};
use crate::problem::{Code, Problem};
use crate::tenancy::OrgId;
use crate::{metrics, telemetry};

/// Verifications of one process at the same time,
const AT_ONCE: usize = 8;
/// and of one organisation among them.
const AT_ONCE_OF_ONE: usize = 2;
/// How long a claimed verification belongs to its worker, in microseconds: three times as long as it may take.
const LEASE: i64 = 60 * 1_000_000;
/// The first repetition of an inconclusive verification comes after this many microseconds; each later one after
/// twice as long, up to an hour.
const FIRST_REPEAT: i64 = 5 * 1_000_000;
const LAST_REPEAT: i64 = 3_600 * 1_000_000;
/// How many of those due are looked at. One of them is taken at random, so that replicas seldom reach for the same.
const CHOICE: i64 = 16;
/// A round in which so many organisations had their turn is over.
const LONGEST_ROUND: usize = 1_000;

/// Whose turn it is: in each round every organisation is served once.
#[derive(Default)]
struct Turns {
    running: HashMap<String, usize>,
    served: HashSet<String>,
}

impl Turns {
    /// The organisations that have to wait.
    fn left_out(&self) -> Vec<String> {
        let busy = self.running.iter().filter(|(_, count)| **count >= AT_ONCE_OF_ONE).map(|(id, _)| id);
        busy.chain(&self.served).cloned().collect()
    }

    /// Begins another round, if this one is not a new one.
    fn next_round(&mut self) -> bool {
        let was_new = self.served.is_empty();
        self.served.clear();
        !was_new
    }

    fn begin(&mut self, organisation: &str) {
        *self.running.entry(organisation.to_owned()).or_default() += 1;
        self.served.insert(organisation.to_owned());
        if self.served.len() >= LONGEST_ROUND {
            self.served.clear();
        }
    }

    fn end(&mut self, organisation: &str) {
        if let Some(count) = self.running.get_mut(organisation) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(organisation);
            }
        }
    }
}

impl Connections {
    /// Verifies what is due until the work is stopped; hands back what is not done then.
    pub(super) async fn verify_deferred(&self) {
        // If this is another start after a panic, nobody works on what is still claimed.
        self.hand_back().await;
        let mut phase = self.inner.phase.subscribe();
        // Tasks of their own: they go on while the database is asked for more. Dropping the set ends them.
        let mut running = JoinSet::new();
        let mut turns = Turns::default();
        while *phase.borrow_and_update() < Phase::Stop {
            self.inner.tasks.deferred.beat();
            while running.len() < AT_ONCE && *phase.borrow() == Phase::Work {
                let Some((claim, row)) = self.claim_or_tell(&mut turns).await else { break };
                running.spawn(self.clone().run(claim, row));
            }
            tokio::select! {
                Some(Ok(organisation)) = running.join_next() => turns.end(&organisation),
                _ = tokio::time::timeout(TICK, self.inner.work.notified()) => {}
                _ = phase.changed() => {}
            }
        }
        running.shutdown().await;
        self.hand_back().await;
    }

    async fn claim_or_tell(&self, turns: &mut Turns) -> Option<(Claim, Box<ConnectionRow>)> {
        self.claim(turns).await.unwrap_or_else(|problem| {
            tracing::warn!(cause = problem.cause.as_deref(), "deferred verifications have to wait");
            None
        })
    }

    /// Claims a connection that is due, if there is one.
    async fn claim(&self, turns: &mut Turns) -> Result<Option<(Claim, Box<ConnectionRow>)>, Problem> {
        loop {
            let due = self.due(turns.left_out()).await?;
            let Some((id, organisation)) = fastrand::choice(due) else {
                if turns.next_round() {
                    continue;
                }
                metrics::background_worked("verifications");
                return Ok(None);
            };
            // Whoever is quicker has taken it off the list of those due.
            if let Some(claimed) = self.take(id, &organisation).await? {
                turns.begin(&organisation);
                return Ok(Some(claimed));
            }
        }
    }

    /// Some of the connections that have been due for longest, with their organisations.
    async fn due(&self, left_out: Vec<String>) -> Result<Vec<(String, String)>, DbError> {
        let now = now_micros();
        self.inner
            .db
            .read(move |db| {
                Ok(connections::table
                    .filter(connections::verify_after.le(now))
                    .filter(connections::deleted_at.is_null())
                    .filter(connections::lease_until.is_null().or(connections::lease_until.lt(now)))
                    .filter(connections::organisation_id.ne_all(left_out))
                    .order(connections::verify_after.asc())
                    .limit(CHOICE)
                    .select((connections::id, connections::organisation_id))
                    .load(db)?)
            })
            .await
    }

    async fn take(&self, id: String, organisation: &str) -> Result<Option<(Claim, Box<ConnectionRow>)>, DbError> {
        let now = now_micros();
        let claim = Claim { organisation: organisation.to_owned(), id, lease: now + LEASE };
        let wanted = claim.clone();
        let row = self
            .inner
            .db
            .write(organisation.to_owned(), now, move |db| -> Result<Option<ConnectionRow>, DbError> {
                let unclaimed = connections::table
                    .filter(connections::id.eq(&wanted.id))
                    .filter(connections::verify_after.le(now))
                    .filter(connections::lease_until.is_null().or(connections::lease_until.lt(now)));
                let claimed = diesel::update(unclaimed)
                    .set((
                        connections::lease_until.eq(Some(wanted.lease)),
                        connections::verify_attempts.eq(connections::verify_attempts + 1),
                    ))
                    .execute(db)?;
                if claimed == 0 {
                    return Ok(None);
                }
                let row = connections::table.filter(connections::id.eq(&wanted.id));
                Ok(row.select(ConnectionRow::as_select()).get_result(db).optional()?)
            })
            .await?;
        Ok(row.map(|row| {
            self.inner.claims.add(&claim);
            (claim, Box::new(row))
        }))
    }

    /// Verifies a claimed connection, whatever comes of it; returns the organisation whose turn it was.
    async fn run(self, claim: Claim, row: Box<ConnectionRow>) -> String {
        let attempts = row.verify_attempts;
        let request_id = format!("background-{}", Timestamp::now().as_microsecond());
        let span = telemetry::background(&request_id);
        let work = self.verify_claimed(&claim, row, request_id).instrument(span.clone());
        let trouble = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(())) => None,
            Ok(Err(problem)) => Some(problem.cause),
            Err(_) => Some(Some("it panicked".into())),
        };
        if let Some(cause) = trouble {
            span.in_scope(|| {
                tracing::error!(connection.id = claim.id, cause = cause.as_deref(), "a deferred verification failed");
            });
            // If this cannot be written either, the lease ends some time.
            let _ = self.put_back(claim.clone(), Some(next_attempt(now_micros(), attempts))).await;
        }
        self.inner.claims.remove(&claim);
        claim.organisation
    }

    async fn verify_claimed(&self, claim: &Claim, row: Box<ConnectionRow>, request_id: String) -> Result<(), Problem> {
        let (platform, _, _) = store::kind(&row).map_err(Problem::internal)?;
        let (id, version, attempts) = (store::id_of(&row), row.version, row.verify_attempts);
        let actor = Actor {
            organisation: claim.organisation.parse::<OrgId>().map_err(Problem::internal)?,
            plan: None,
            subject: row.created_by.clone(),
            via_service: false,
            address: None,
            request_id,
        };
        let verification = self.verify_row(&actor.organisation, row).await?;
        if verification.status == VerificationStatus::Ok {
            self.inner.failures.forgive(&actor.organisation, id);
        }
        let sealer = Sealer::new(&self.inner.vault, &actor.organisation, id, platform);
        let sealed = sealer.seal_verification(&verification).map_err(Problem::internal)?;
        let status = status_after(&verification);
        let event = Event {
            action: Action::ConnectionVerified,
            outcome: outcome_of(&verification),
            connection: Some(id),
            detail: json!({ "deferred": true }),
        };
        let again = verification.status == VerificationStatus::Inconclusive;
        let (now, claim) = (now_micros(), claim.clone());
        self.inner
            .db
            .write(claim.organisation.clone(), now, move |db| -> Result<(), Problem> {
                if !store::learn(db, &actor.organisation, id, version, status, Some(&sealed))? {
                    // Renamed meanwhile, perhaps: what is there now is still to be verified.
                    return Ok(put_back(db, &claim, None)?);
                }
                store::remember_verification(db, &actor.organisation, id, &sealed, now)?;
                audit::append(db, &actor, &event, now)?;
                if again {
                    Ok(put_back(db, &claim, Some(next_attempt(now, attempts)))?)
                } else {
                    Ok(store::settle_deferred(db, &actor.organisation, id)?)
                }
            })
            .await
    }

    async fn verify_row(&self, organisation: &OrgId, row: Box<ConnectionRow>) -> Result<Verification, Problem> {
        match self.open_row(organisation, row, CallScope::verification()) {
            Ok(Opened { client, .. }) => Ok(platforms::verify(&client).await),
            Err(problem) if problem.code == Code::CredentialsUnreadable => Ok(Verification::unreadable()),
            Err(problem) => Err(problem),
        }
    }

    /// Gives every claim back that nobody works on any more.
    async fn hand_back(&self) {
        let claims = self.inner.claims.take().into_iter();
        // All at once: one organisation that cannot be written does not keep the others from it.
        for outcome in join_all(claims.map(|claim| self.put_back(claim, None))).await {
            if let Err(error) = outcome {
                // The lease ends some time.
                tracing::warn!(error = ?error.to_string(), "a deferred verification could not be handed back");
            }
        }
    }

    async fn put_back(&self, claim: Claim, next: Option<i64>) -> Result<(), DbError> {
        self.inner.db.write(claim.organisation.clone(), now_micros(), move |db| put_back(db, &claim, next)).await
    }
}

/// Ends a claim, unless it is another worker's by now; with `next`, nobody takes it up before that time.
fn put_back(db: &mut DbConnection, claim: &Claim, next: Option<i64>) -> Result<(), DbError> {
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

/// When an attempt that told nothing is repeated.
fn next_attempt(now: i64, attempts: i64) -> i64 {
    let doubled = FIRST_REPEAT.saturating_mul(1_i64 << attempts.saturating_sub(1).clamp(0, 20));
    now + doubled.min(LAST_REPEAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_organisation_has_its_turn_before_any_has_its_second() {
        let mut turns = Turns::default();
        turns.begin("crowd");
        assert_eq!(turns.left_out(), ["crowd"]);
        turns.begin("other");
        turns.end("other");
        assert_eq!(turns.left_out().len(), 2, "served is served, done or not");
        assert!(turns.next_round());
        assert!(turns.left_out().is_empty());
        assert!(!turns.next_round(), "nobody was served since");
    }

    #[test]
    fn no_organisation_takes_more_places_than_its_own() {
        let mut turns = Turns::default();
        for _ in 0..AT_ONCE_OF_ONE {
            turns.begin("crowd");
            turns.next_round();
        }
        assert_eq!(turns.left_out(), ["crowd"]);
        turns.end("crowd");
        assert!(turns.left_out().is_empty());
    }

    #[test]
    fn a_round_does_not_grow_without_end() {
        let mut turns = Turns::default();
        for number in 0..10 * LONGEST_ROUND {
            turns.begin(&number.to_string());
            turns.end(&number.to_string());
        }
        assert!(turns.left_out().len() < LONGEST_ROUND);
    }

    #[test]
    fn repetitions_come_less_and_less_often() {
        let waits: Vec<i64> = [1, 2, 3, 30].map(|attempts| next_attempt(0, attempts)).into();
        assert_eq!(waits, [FIRST_REPEAT, 2 * FIRST_REPEAT, 4 * FIRST_REPEAT, LAST_REPEAT]);
    }
}
