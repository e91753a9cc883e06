//! Verifications in the background: deferred ones, for which somebody waits, and checks, for which nobody does.
//!
//! Both live on the connection's own row, so a restart loses none. A worker claims a row by a conditional update that sets a
//! lease, and renews that while it works; if the process dies, the lease ends within seconds and another worker takes over.
//! A process that stops in order hands back what it has claimed.
//!
//! Several run side by side, few of one organisation, and organisations take turns: one with hundreds of new connections
//! does not hold up the others. Checks have places of their own, few, and come one after the other, however many are due.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::turns::Turns;
use crate::clock::now_micros;
use crate::connections::claims::{self, Claim, Work};
use crate::connections::service::Connections;
use crate::connections::store::{Damaged, Stored, background};
use crate::connections::supervision::{Phase, TICK};
use crate::db::DbError;
use crate::problem::Problem;
use crate::{metrics, telemetry};

/// Deferred verifications of one process at the same time.
const AT_ONCE: usize = 8;
/// Checks of one process at the same time.
const CHECKS_AT_ONCE: usize = 4;
/// A process begins no two checks within this time: 25 a second.
const CHECK_GAP: Duration = Duration::from_millis(40);
/// How many of those due are looked at. One of them is taken at random, so that replicas seldom reach for the same.
const CHOICE: i64 = 16;

/// A connection that is claimed.
pub(super) struct Claimed {
    claim: Claim,
    attempts: i64,
    stored: Result<Box<Stored>, Damaged>,
}

impl Connections {
    /// Verifies what is due until the work is stopped; hands back what is not done then.
    pub(super) async fn verify_due(&self) {
        // If this is another start after a panic, nobody works on what is still claimed.
        self.hand_back().await;
        let mut phase = self.inner.phase.subscribe();
        // Tasks of their own: they go on while the database is asked for more. Dropping the set ends them.
        let mut running = JoinSet::new();
        let (mut deferred, mut checks) = (Turns::default(), Turns::default());
        let (mut next_look, mut next_check) = (Instant::now(), Instant::now());
        while *phase.borrow_and_update() < Phase::Stop {
            self.inner.tasks.deferred.beat();
            while deferred.running() < AT_ONCE && Instant::now() >= next_look && *phase.borrow() == Phase::Work {
                match self.claim_or_wait(Work::Deferred, &mut deferred).await {
                    Some(claimed) => drop(running.spawn(self.clone().run(claimed))),
                    None => next_look = Instant::now() + TICK,
                }
            }
            let mut pause = TICK;
            if checks.running() < CHECKS_AT_ONCE && self.wants_checks() && *phase.borrow() == Phase::Work {
                if Instant::now() >= next_check {
                    next_check = Instant::now() + TICK;
                    if let Some(claimed) = self.claim_or_wait(Work::Check, &mut checks).await {
                        running.spawn(self.clone().run(claimed));
                        next_check = Instant::now() + CHECK_GAP;
                    }
                }
                pause = next_check.saturating_duration_since(Instant::now());
            }
            tokio::select! {
                Some(Ok(Claim { work, organisation, .. })) = running.join_next() => match work {
                    Work::Deferred => {
                        deferred.end(&organisation);
                        next_look = Instant::now();
                    }
                    Work::Check => checks.end(&organisation),
                },
                () = self.inner.work.notified() => next_look = Instant::now(),
                () = tokio::time::sleep(pause) => {}
                _ = phase.changed() => {}
            }
        }
        running.shutdown().await;
        self.hand_back().await;
    }

    fn wants_checks(&self) -> bool {
        self.inner.schedule.interval().is_some()
    }

    async fn claim_or_wait(&self, work: Work, turns: &mut Turns) -> Option<Claimed> {
        self.claim(work, turns).await.unwrap_or_else(|problem| {
            tracing::warn!(cause = problem.cause.as_deref(), "verifications in the background have to wait");
            None
        })
    }

    /// Claims a connection that is due, if there is one.
    async fn claim(&self, work: Work, turns: &mut Turns) -> Result<Option<Claimed>, Problem> {
        loop {
            let left_out = match work {
                Work::Deferred => turns.left_out(),
                // What has been due for longest comes first, of any organisation: nobody waits for it.
                Work::Check => turns.busy(),
            };
            let now = now_micros();
            let due = self.inner.db.read(move |db| background::due(db, work, now, left_out, CHOICE)).await?;
            let Some((id, organisation)) = fastrand::choice(due) else {
                if work == Work::Deferred && turns.next_round() {
                    continue;
                }
                metrics::background_worked(match work {
                    Work::Deferred => "verifications",
                    Work::Check => "checks",
                });
                return Ok(None);
            };
            // A quicker worker has taken it off the list of those due.
            if let Some(claimed) = self.take(work, id, &organisation).await? {
                turns.begin(&organisation);
                return Ok(Some(claimed));
            }
        }
    }

    async fn take(&self, work: Work, id: String, organisation: &str) -> Result<Option<Claimed>, DbError> {
        let now = now_micros();
        let claim = Claim { work, organisation: organisation.to_owned(), id, owner: claims::owner() };
        let (wanted, lease_end) = (claim.clone(), claims::lease_end());
        let taken = self
            .inner
            .db
            .write(organisation.to_owned(), now, move |db| background::claim(db, &wanted, now, lease_end))
            .await?;
        Ok(taken.map(|(attempts, stored)| {
            self.inner.claims.add(&claim.id, &claim);
            Claimed { claim, attempts, stored: stored.map(Box::new) }
        }))
    }

    /// Verifies a claimed connection, whatever comes of it; returns whose turn it was.
    async fn run(self, claimed: Claimed) -> Claim {
        let Claimed { claim, attempts, stored } = claimed;
        let request_id = format!("background-{}", Timestamp::now().as_microsecond());
        let span = telemetry::background(&request_id);
        let work = async {
            let stored = stored.map_err(Problem::internal)?;
            let work = async {
                match claim.work {
                    Work::Deferred => self.verify_claimed(&claim, stored, attempts, request_id).await,
                    Work::Check => self.check_claimed(&claim, stored, request_id).await,
                }
            };
            claims::held(|| self.renew(claim.clone()), work).await
        };
        let trouble = match AssertUnwindSafe(work.instrument(span.clone())).catch_unwind().await {
            Ok(Ok(())) => None,
            Ok(Err(problem)) => Some(problem.cause),
            Err(_) => Some(Some("it panicked".into())),
        };
        if let Some(cause) = trouble {
            span.in_scope(|| {
                tracing::error!(
                    connection.id = claim.id,
                    cause = cause.as_deref(),
                    "a verification in the background failed"
                );
            });
            let next = match claim.work {
                Work::Deferred => Some(super::deferred::next_attempt(now_micros(), attempts)),
                Work::Check => self.inner.schedule.after_success(now_micros()),
            };
            // If this cannot be written either, the lease ends some time.
            let _ = self.put_back(claim.clone(), next).await;
        }
        self.inner.claims.remove(&claim.id);
        claim
    }

    async fn renew(&self, claim: Claim) {
        let outcome = self
            .inner
            .db
            .write(claim.organisation.clone(), now_micros(), move |db| {
                background::renew_lease(db, &claim, claims::lease_end())
            })
            .await;
        if let Err(error) = outcome {
            tracing::warn!(error = ?error.to_string(), "a lease could not be renewed; it is tried again");
        }
    }

    /// Gives every claim back that nobody works on any more.
    async fn hand_back(&self) {
        let claims = self.inner.claims.take().into_iter();
        // All at once: one organisation that cannot be written does not keep the others from it.
        for outcome in join_all(claims.map(|claim| self.put_back(claim, None))).await {
            if let Err(error) = outcome {
                // The lease ends some time.
                tracing::warn!(error = ?error.to_string(), "a verification in the background could not be handed back");
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
