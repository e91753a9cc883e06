//! What the metrics show of webhooks at this moment.

use std::time::Duration;

use diesel::prelude::*;

use super::service::Webhooks;
use crate::clock::now_micros;
use crate::db::schema::{events, organisations, webhook_retries, webhooks};
use crate::db::{Db, DbConnection, DbError};
use crate::metrics::Undelivered;

/// A scrape does not wait longer for the database.
const TIMEOUT: Duration = Duration::from_secs(1);

impl Webhooks {
    /// What is still to be delivered; `None` while the database does not answer.
    pub async fn undelivered(&self) -> Option<Undelivered> {
        let counted = tokio::time::timeout(TIMEOUT, undelivered(&self.inner.db)).await;
        counted.ok()?.ok()
    }
}

/// What is still to be delivered to the webhooks of all organisations.
pub(super) async fn undelivered(db: &Db) -> Result<Undelivered, DbError> {
    let now = now_micros();
    db.read(move |db| count(db, now)).await
}

/// Events that no webhook has been asked about yet count for each that may want them: whether it does is only looked at
/// when its turn comes.
fn count(db: &mut DbConnection, now: i64) -> Result<Undelivered, DbError> {
    let open = || {
        webhooks::table
            .inner_join(organisations::table.on(organisations::id.eq(webhooks::organisation_id)))
            .filter(webhooks::active.eq(true))
            .filter(organisations::event_sequence.gt(webhooks::progress))
    };
    let behind: Vec<i64> = open().select(organisations::event_sequence - webhooks::progress).load(db)?;
    let retries: i64 = webhook_retries::table.count().get_result(db)?;
    // The next one of each webhook; where it is no longer kept, those after it are younger.
    let oldest_new: Option<i64> =
        webhooks::table
            .inner_join(events::table.on(
                events::organisation_id.eq(webhooks::organisation_id).and(events::sequence.eq(webhooks::progress + 1)),
            ))
            .filter(webhooks::active.eq(true))
            .select(diesel::dsl::min(events::created_at))
            .get_result(db)?;
    let oldest_retry: Option<i64> =
        webhook_retries::table.select(diesel::dsl::min(webhook_retries::first_at)).get_result(db)?;
    let oldest = oldest_new.into_iter().chain(oldest_retry).min();
    Ok(Undelivered {
        events: behind.into_iter().sum::<i64>() + retries,
        oldest: oldest.map_or(0, |at| now.saturating_sub(at).max(0)),
    })
}
