//! What this replica reports to the others, and what it learns of them: changes of connections.
//!
//! The database shows every change within about a second ([`super`]). Where there is Redis, changes are also announced at
//! once, and tables are shared; see [`crate::shared`] for what keeps those true.

use std::time::Duration;

use crate::clock::{micros, now_micros};
use crate::connections::service::{Connections, DELETED};
use crate::connections::store::background::{self, Changed};
use crate::connections::supervision::Phase;
use crate::db::{DbError, LONGEST_WRITE};
use crate::shared::{Change, RedisSession};

/// Commits become visible a little after the time they carry, and other processes have other clocks.
pub(super) const SLACK: Duration = Duration::from_secs(60);

// A change carries the time at which it was asked for, and may have to wait: the other half is for the clocks.
const _: () = assert!(LONGEST_WRITE.as_secs() * 2 <= SLACK.as_secs());

impl Connections {
    /// Keeps a session with Redis, as long as there is one to be had.
    pub(super) async fn keep_sharing(&self) {
        let mut phase = self.inner.phase.subscribe();
        tokio::select! {
            () = self.share_always() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Stop) => {}
        }
    }

    async fn share_always(&self) {
        loop {
            self.notice_failover();
            let session = self.inner.shared.join().await;
            if let Err(error) = self.share(session).await {
                tracing::warn!(cause = ?error, "sharing has to wait for the database");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Lives through one session.
    async fn share(&self, mut session: RedisSession) -> Result<(), DbError> {
        // Whatever a table in Redis may have lived through: its lifetime, and the pull before that.
        let lived = self.inner.options.stats.longest_life() + SLACK;
        let changes = self.changes_since(now_micros().saturating_sub(micros(lived))).await?;
        if self.inner.shared.announce(&changes).await {
            session.open();
        }
        while let Some(change) = session.next_change().await {
            self.inner.stats.forget_older(change.connection, change.version);
        }
        Ok(())
    }

    /// Forgets everything when the database writes another history: changes that were acknowledged may be lost with the
    /// one before, and others carry their versions.
    pub(in crate::connections) fn notice_failover(&self) {
        let Some(timeline) = self.inner.db.timeline() else { return };
        let mut known = self.inner.timeline.lock();
        let before = known.replace(timeline);
        if before == Some(timeline) {
            return;
        }
        if before.is_some() {
            self.inner.stats.forget_all();
        }
        self.inner.shared.stand_beside(&timeline.to_string());
    }

    /// The connections that changed after `since`, in microseconds.
    pub(super) async fn changes_since(&self, since: i64) -> Result<Vec<Change>, DbError> {
        let changed = self.inner.db.read(move |db| background::changed_since(db, since)).await?;
        let changes = changed.into_iter().map(|Changed { id, version, is_deleted }| Change {
            connection: id,
            version: if is_deleted { DELETED } else { version },
        });
        Ok(changes.collect())
    }
}
