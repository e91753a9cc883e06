//! Sending in the background.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::queue::{self, Claim, Due, Job, Recorded};
use super::seal::Sealer;
use super::sending::{self, Attempt, Letter};
use super::service::Webhooks;
use super::slots::Slots;
use super::upkeep;
use crate::clock::{millis, now_micros};
use crate::connections::claims;
use crate::connections::events::EventView;
use crate::connections::supervision::{Phase, supervise};
use crate::db::DbError;
use crate::{metrics, telemetry};

/// How often it looks for what is to be sent.
const LOOK: Duration = Duration::from_millis(500);
/// How often it looks for what is kept too long. While there is more, a batch goes with every look.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How many of those due are looked at. One of them is taken at random, so that replicas seldom reach for the same.
const CHOICE: i64 = 16;
/// A webhook's turn is over after so many attempts,
const ATTEMPTS_OF_A_TURN: usize = 20;
/// or after this time: others may wait for the slot.
const LONGEST_TURN: Duration = Duration::from_secs(5);

impl Webhooks {
    /// Sends what is to be sent, until the work in the background ends.
    pub async fn work(self) {
        supervise(&self.inner.task, || self.send_due()).await;
    }

    async fn send_due(&self) {
        // If this is another start after a panic, nobody works on what is still claimed.
        self.hand_back().await;
        let mut phase = self.inner.phase.clone();
        // Tasks of their own: they go on while the database is asked for more. Dropping the set ends them.
        let mut running = JoinSet::new();
        let mut slots = Slots::default();
        let (mut next_look, mut prune_at) = (Instant::now(), Instant::now());
        while *phase.borrow_and_update() < Phase::Stop {
            self.inner.task.beat();
            while !slots.is_full() && Instant::now() >= next_look && *phase.borrow() == Phase::Work {
                match self.claim_or_wait(&slots).await {
                    Some(claim) => {
                        slots.take(claim.webhook.organisation.as_str(), claim.webhook.is_failing);
                        running.spawn(self.clone().run(claim));
                    }
                    None => next_look = Instant::now() + LOOK,
                }
            }
            if Instant::now() >= prune_at && !self.prune_or_wait().await {
                prune_at = Instant::now() + PRUNE_EVERY;
            }
            tokio::select! {
                Some(Ok(Due { organisation, is_failing, .. })) = running.join_next() => {
                    slots.give_back(organisation.as_str(), is_failing);
                    next_look = Instant::now();
                }
                () = self.inner.work.notified() => next_look = Instant::now(),
                () = tokio::time::sleep(LOOK) => {}
                _ = phase.changed() => {}
            }
        }
        running.shutdown().await;
        self.hand_back().await;
    }

    async fn claim_or_wait(&self, slots: &Slots) -> Option<Claim> {
        match self.claim(slots).await {
            Ok(Some(claim)) => Some(claim),
            Ok(None) => {
                metrics::background_worked("webhooks");
                None
            }
            Err(error) => {
                tracing::warn!(error = ?error.to_string(), "webhooks have to wait");
                None
            }
        }
    }

    /// Claims a webhook that has something to be sent, if there is one.
    async fn claim(&self, slots: &Slots) -> Result<Option<Claim>, DbError> {
        loop {
            let (now, left_out) = (now_micros(), slots.left_out());
            let due = self.inner.db.read(move |db| queue::due(db, now, left_out, CHOICE)).await?;
            let Some(webhook) = fastrand::choice(due) else { return Ok(None) };
            let claim = Claim { webhook, owner: claims::owner() };
            let (wanted, lease_end) = (claim.clone(), claims::lease_end());
            let organisation = claim.webhook.organisation.as_str().to_owned();
            let taken =
                self.inner.db.write(organisation, now, move |db| queue::claim(db, &wanted, now, lease_end)).await?;
            // A quicker worker has taken it off the list of those due.
            if taken {
                self.inner.claims.add(&claim.webhook.id, &claim);
                return Ok(Some(claim));
            }
        }
    }

    /// Sends to a claimed webhook, whatever comes of it; returns whose turn it was.
    async fn run(self, claim: Claim) -> Due {
        let span = telemetry::background(&format!("webhook-{}", now_micros()));
        let work = claims::held(|| self.renew(claim.clone()), Box::pin(self.take_turn(&claim)));
        let trouble = match AssertUnwindSafe(work.instrument(span.clone())).catch_unwind().await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(telemetry::chain(&error)),
            Err(_) => Some("it panicked".to_owned()),
        };
        if let Some(cause) = trouble {
            span.in_scope(|| {
                tracing::error!(webhook.id = claim.webhook.id, cause, "events could not be sent; it is tried again");
            });
            // Not at once: whatever is in the way may still be there.
            tokio::time::sleep(LOOK).await;
        }
        // If this cannot be written, the lease ends some time.
        let _ = self.put_back(claim.clone()).await;
        self.inner.claims.remove(&claim.webhook.id);
        claim.webhook
    }

    async fn take_turn(&self, claim: &Claim) -> Result<(), DbError> {
        let started = Instant::now();
        for _ in 0..ATTEMPTS_OF_A_TURN {
            if started.elapsed() > LONGEST_TURN || *self.inner.phase.borrow() != Phase::Work {
                break;
            }
            let (own, now) = (claim.clone(), now_micros());
            let organisation = claim.webhook.organisation.as_str().to_owned();
            let job = self.inner.db.write(organisation, now, move |db| queue::next(db, &own, now)).await?;
            let Some(job) = job else { break };
            let attempt = self.attempt(&job).await;
            if !self.record(claim, job, attempt).await? {
                break;
            }
        }
        Ok(())
    }

    async fn attempt(&self, job: &Job) -> Attempt {
        let Some(event) = job.event.clone().map(EventView::from) else {
            return Attempt::without_answer("The event is no longer kept.");
        };
        let sealer = Sealer::of(&self.inner.vault, &job.webhook);
        let opened = sealer
            .open_url(&job.webhook.url_sealed)
            .and_then(|url| Ok((url, sealer.secrets_at(&job.webhook, now_micros())?)));
        let (Ok((url, secrets)), Ok(body)) = (opened, serde_json::to_vec(&event)) else {
            return Attempt::without_answer("The stored address or secret of the webhook cannot be read.");
        };
        let letter = Letter { url, secrets, event: job.event_id.clone(), body: Bytes::from(body) };
        sending::send(&self.inner.transport, letter, self.inner.options.timeout).await
    }

    /// Writes what came of an attempt; says whether there may be more to send.
    async fn record(&self, claim: &Claim, job: Job, attempt: Attempt) -> Result<bool, DbError> {
        let (own, now) = (claim.clone(), now_micros());
        let (status, took, number) = (attempt.status, attempt.took, job.attempt);
        let event_type = job.event_type.clone();
        let organisation = claim.webhook.organisation.as_str().to_owned();
        let recorded =
            self.inner.db.write(organisation, now, move |db| queue::record(db, &own, &job, &attempt, now)).await?;
        let Some(Recorded { outcome, goes_on }) = recorded else { return Ok(false) };
        metrics::webhook_delivery(outcome.key());
        tracing::info!(
            webhook.id = claim.webhook.id,
            event.r#type = event_type,
            attempt = number,
            delivery.outcome = outcome.key(),
            delivery.status = status,
            duration_ms = millis(took),
            "webhook delivery"
        );
        Ok(goes_on)
    }

    async fn renew(&self, claim: Claim) {
        let outcome = self
            .inner
            .db
            .write(claim.webhook.organisation.as_str().to_owned(), now_micros(), move |db| {
                queue::renew_lease(db, &claim, claims::lease_end())
            })
            .await;
        if let Err(error) = outcome {
            tracing::warn!(error = ?error.to_string(), "a lease could not be renewed; it is tried again");
        }
    }

    /// Gives every claim back that nobody works on any more.
    async fn hand_back(&self) {
        let claims = self.inner.claims.take().into_iter();
        for outcome in join_all(claims.map(|claim| self.put_back(claim))).await {
            if let Err(error) = outcome {
                // The lease ends some time.
                tracing::warn!(error = ?error.to_string(), "a webhook could not be handed back");
            }
        }
    }

    async fn put_back(&self, claim: Claim) -> Result<(), DbError> {
        let organisation = claim.webhook.organisation.as_str().to_owned();
        self.inner.db.write(organisation, now_micros(), move |db| queue::put_back(db, &claim)).await
    }

    /// Prunes one batch; says whether there is more to do now.
    async fn prune_or_wait(&self) -> bool {
        let now = now_micros();
        match upkeep::prune(&self.inner.db, now).await {
            Ok(pruned) => pruned > 0,
            Err(error) => {
                tracing::warn!(error = ?error.to_string(), "pruning of webhooks has to wait");
                false
            }
        }
    }
}
