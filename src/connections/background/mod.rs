//! Work in the background: batches of uses, changes made by other processes, pruning, deferred verifications, checks, and
//! keys that run out.

mod checks;
mod deferred;
mod expiring;
mod replicas;
mod turns;
mod verifying;

use std::time::{Duration, Instant};

use self::replicas::SLACK;
use super::service::Connections;
use super::store::{background, events};
use super::supervision::{Phase, TICK, Tasks, supervise};
use super::{audit, idempotency};
use crate::clock::{micros, now_micros};
use crate::db::DbError;
use crate::metrics;
use crate::problem::Problem;
use crate::shared::Standing;

/// How often it looks for what other processes changed: well within the second after which they must be noticed.
const WATCH: Duration = Duration::from_millis(300);
/// How often the background looks for what is kept too long. While there is more, a batch goes with every tick.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

impl Connections {
    /// Runs until [`Connections::stop_work`], or until the future is dropped.
    pub async fn work(self) {
        let tasks = &self.inner.tasks;
        tokio::join!(
            supervise(&tasks.upkeep, || self.keep_up()),
            supervise(&tasks.watch, || self.keep_watch()),
            supervise(&tasks.deferred, || self.verify_due()),
            supervise(&tasks.sharing, || self.keep_sharing()),
        );
    }

    /// Begins nothing new in the background; what is being done goes on.
    pub fn finish_work(&self) {
        self.inner.phase.send_replace(Phase::Finish);
    }

    /// Ends the work in the background. Claimed verifications that are not over are handed back, so that another
    /// process takes them up at once.
    pub fn stop_work(&self) {
        self.inner.phase.send_replace(Phase::Stop);
    }

    /// Whether every part of the background has come round lately.
    pub fn is_working(&self) -> bool {
        // Sharing waits for others to change something, which may take days.
        let Tasks { upkeep, watch, deferred, sharing: _ } = &self.inner.tasks;
        let now = Instant::now();
        [upkeep, watch, deferred].into_iter().all(|task| !task.is_stalled(now))
    }

    async fn keep_up(&self) {
        let mut prune_at = Instant::now();
        while self.pause(TICK).await {
            self.inner.tasks.upkeep.beat();
            self.flush_uses().await;
            self.inner.db.finish_scrub().await;
            self.announce_expiring().await;
            self.list_checks().await;
            if Instant::now() >= prune_at && !self.prune_and_report().await {
                prune_at = Instant::now() + PRUNE_EVERY;
            }
        }
    }

    async fn keep_watch(&self) {
        let mut seen = now_micros();
        while self.pause(WATCH).await {
            self.inner.tasks.watch.beat();
            self.notice_changes(&mut seen).await;
        }
    }

    /// Waits for this time; says whether the work goes on.
    async fn pause(&self, time: Duration) -> bool {
        let mut phase = self.inner.phase.subscribe();
        // The sender lives as long as the service.
        tokio::time::timeout(time, phase.wait_for(|phase| *phase == Phase::Stop)).await.is_err()
    }

    /// Prunes one batch; says whether there is more to do now.
    async fn prune_and_report(&self) -> bool {
        match self.prune().await {
            Ok(pruned) => {
                metrics::background_worked("pruning");
                pruned > 0
            }
            Err(problem) => {
                tracing::warn!(cause = problem.cause.as_deref(), "pruning has to wait");
                false
            }
        }
    }

    /// Deletes a small batch of what is over: audit events and events past their retention, idempotency keys, and what an
    /// earlier release leaves of deleted connections. Says how many rows went; zero means that nothing is left.
    pub async fn prune(&self) -> Result<usize, Problem> {
        let now = now_micros();
        let retention = self.inner.options.audit_retention;
        let audit_before =
            retention.map(|kept| now.saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX)));
        let over = self
            .inner
            .db
            .read(move |db| -> Result<_, DbError> {
                let audited = audit_before.map(|before| audit::oldest_before(db, before)).transpose()?.flatten();
                let reported = audit_before.map(|before| events::oldest_before(db, before)).transpose()?.flatten();
                Ok((audited, reported, idempotency::oldest_before(db, now)?))
            })
            .await?;
        let (audited, reported, key) = over;
        self.inner
            .db
            .write_all(move |db| -> Result<usize, Problem> {
                let audited = audited.map_or(Ok(0), |last| audit::forget_up_to(db, &last))?;
                let reported = reported.map_or(Ok(0), |last| events::forget_up_to(db, &last))?;
                let keys = key.map_or(Ok(0), |last| idempotency::forget_up_to(db, last))?;
                Ok(audited + reported + keys + background::forget_health_of_deleted(db)?)
            })
            .await
    }

    /// Forgets cached statistics of connections that another process changed, and sees to it that all others do. While
    /// the database does not answer nothing is forgotten, but what is kept is not answered with either: see
    /// [`super::stats::cache::Stats::is_watched`].
    async fn notice_changes(&self, seen: &mut i64) {
        let (began, now) = (Instant::now(), now_micros());
        self.notice_failover();
        if self.inner.stats.is_empty() && self.inner.shared.standing() != Standing::Ok {
            *seen = now;
            self.inner.stats.mark_watched(began);
            return;
        }
        let Ok(mut changes) = self.changes_since(seen.saturating_sub(micros(SLACK))).await else { return };
        self.notice_failover();
        *seen = now;
        changes.retain(|change| self.inner.stats.forget_older(change.connection, change.version));
        if !changes.is_empty() {
            self.inner.shared.announce(&changes).await;
        }
        self.inner.stats.mark_watched(began);
    }
}
