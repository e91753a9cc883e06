//! What the metrics show of the service at this moment.

use std::time::Duration;

use super::keys;
use super::service::Connections;
use super::store::background;
use crate::clock::now_micros;
use crate::db::DbError;
use crate::metrics::{Checks, Deferred, KeyAges, Sample};

/// A scrape does not wait longer for the database.
const TIMEOUT: Duration = Duration::from_secs(1);

impl Connections {
    /// Looks at the pool, the caches and the key ring, and asks the database what is left to do.
    pub async fn sample(&self) -> Sample {
        let pool = self.inner.db.pool();
        let answer = tokio::time::timeout(TIMEOUT, self.ask_database()).await;
        let answer = answer.ok().and_then(Result::ok);
        let (deferred, checks, key_ages) =
            answer.map_or((None, None, None), |(deferred, checks, ages)| (Some(deferred), checks, Some(ages)));
        Sample {
            pool,
            keys: self.inner.vault.key_ids().count(),
            key_ages,
            deferred,
            checks,
            cache_bytes: self.inner.stats.bytes(),
            ..Sample::default()
        }
    }

    async fn ask_database(&self) -> Result<(Deferred, Option<Checks>, KeyAges), DbError> {
        let key = self.inner.vault.active_key_id().to_owned();
        let now = now_micros();
        let checks = self.inner.schedule.interval().is_some();
        self.inner
            .db
            .read(move |db| {
                let checks = checks.then(|| background::count_checks(db, now)).transpose()?;
                Ok((background::count_deferred(db, now)?, checks, keys::ages(db, &key)?))
            })
            .await
    }
}
