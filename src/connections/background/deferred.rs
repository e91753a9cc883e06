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

use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::clock::now_micros;
use crate::connections::claims::Claim;
use crate::connections::service::Connections;
use crate::connections::store::background::{self, Taken};
use crate::connections::store::{Damaged, Stored, verifications};
use crate::connections::supervision::{Phase, TICK};
use crate::connections::verdict::verified;
use crate::connections::{Actor, audit};
use crate::db::DbError;
use crate::platforms::verification::VerificationStatus;
use crate::problem::Problem;
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

/// A connection that is claimed.
struct Claimed {
    claim: Claim,
    attempts: i64,
    stored: Result<Box<Stored>, Damaged>,
}

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
                let Some(claimed) = self.claim_or_wait(&mut turns).await else { break };
                running.spawn(self.clone().run(claimed));
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

    async fn claim_or_wait(&self, turns: &mut Turns) -> Option<Claimed> {
        self.claim(turns).await.unwrap_or_else(|problem| {
            tracing::warn!(cause = problem.cause.as_deref(), "deferred verifications have to wait");
            None
        })
    }

    /// Claims a connection that is due, if there is one.
    async fn claim(&self, turns: &mut Turns) -> Result<Option<Claimed>, Problem> {
        loop {
            let (left_out, now) = (turns.left_out(), now_micros());
            let due = self.inner.db.read(move |db| background::due(db, now, left_out, CHOICE)).await?;
            let Some((id, organisation)) = fastrand::choice(due) else {
                if turns.next_round() {
                    continue;
                }
                metrics::background_worked("verifications");
                return Ok(None);
            };
            // A quicker worker has taken it off the list of those due.
            if let Some(claimed) = self.take(id, &organisation).await? {
                turns.begin(&organisation);
                return Ok(Some(claimed));
            }
        }
    }

    async fn take(&self, id: String, organisation: &str) -> Result<Option<Claimed>, DbError> {
        let now = now_micros();
        let claim = Claim { organisation: organisation.to_owned(), id, lease: now + LEASE };
        let wanted = claim.clone();
        let taken =
            self.inner.db.write(organisation.to_owned(), now, move |db| background::claim(db, &wanted, now)).await?;
        Ok(taken.map(|Taken { attempts, stored }| {
            self.inner.claims.add(&claim);
            Claimed { claim, attempts, stored: stored.map(Box::new) }
        }))
    }

    /// Verifies a claimed connection, whatever comes of it; returns the organisation whose turn it was.
    async fn run(self, claimed: Claimed) -> String {
        let Claimed { claim, attempts, stored } = claimed;
        let request_id = format!("background-{}", Timestamp::now().as_microsecond());
        let span = telemetry::background(&request_id);
        let work = async {
            let stored = stored.map_err(Problem::internal)?;
            self.verify_claimed(&claim, stored, attempts, request_id).await
        };
        let trouble = match AssertUnwindSafe(work.instrument(span.clone())).catch_unwind().await {
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

    async fn verify_claimed(
        &self,
        claim: &Claim,
        stored: Box<Stored>,
        attempts: i64,
        request_id: String,
    ) -> Result<(), Problem> {
        let id = stored.id;
        let actor = Actor {
            organisation: stored.organisation.clone(),
            plan: None,
            subject: stored.created_by.clone(),
            via_service: false,
            address: None,
            request_id,
        };
        let (verification, record) = self.verify_stored(stored, None).await?;
        if verification.status == VerificationStatus::Ok {
            self.inner.failures.forgive(&actor.organisation, id);
        }
        let event = verified(&verification, id, json!({ "deferred": true }));
        let (now, claim) = (now_micros(), claim.clone());
        self.inner
            .db
            .write(claim.organisation.clone(), now, move |db| -> Result<(), Problem> {
                if !verifications::record(db, &record, now)? {
                    // Renamed meanwhile, perhaps: what is there now is still to be verified.
                    return Ok(background::put_back(db, &claim, None)?);
                }
                audit::append(db, &actor, &event, now)?;
                if !record.is_conclusive {
                    background::put_back(db, &claim, Some(next_attempt(now, attempts)))?;
                }
                Ok(())
            })
            .await
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
        self.inner
            .db
            .write(claim.organisation.clone(), now_micros(), move |db| background::put_back(db, &claim, next))
            .await
    }
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
