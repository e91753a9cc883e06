//! What is kept too long of webhooks: attempts of a month ago, and secrets that sign no longer.

use std::time::Duration;

use diesel::prelude::*;

use crate::clock::micros;
use crate::db::schema::{webhook_deliveries, webhooks};
use crate::db::{Db, DbConnection, DbError};

/// How long attempts are remembered.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How many rows one transaction deletes.
const PRUNED_AT_ONCE: i64 = 500;

/// Deletes a batch of what is kept too long; says how much. Zero means that nothing is left.
pub(super) async fn prune(db: &Db, now: i64) -> Result<usize, DbError> {
    let (last, has_former) = db
        .read(move |db| -> Result<_, DbError> {
            Ok((oldest_before(db, now.saturating_sub(micros(KEPT)))?, count_former(db, now)? > 0))
        })
        .await?;
    if last.is_none() && !has_former {
        return Ok(0);
    }
    let pruned = db
        .write_all(move |db| -> Result<usize, DbError> {
            let attempts = last.map_or(Ok(0), |last| forget_up_to(db, &last))?;
            Ok(attempts + forget_former(db, now)?)
        })
        .await?;
    Ok(pruned)
}

/// The last of the oldest attempts made before `before`, a batch of them at most. Their ids begin with the time.
fn oldest_before(db: &mut DbConnection, before: i64) -> Result<Option<String>, DbError> {
    let millis = u64::try_from(before.div_euclid(1_000)).unwrap_or_default();
    let first_kept = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid().to_string();
    let batch: Vec<String> = webhook_deliveries::table
        .filter(webhook_deliveries::id.lt(first_kept))
        .order(webhook_deliveries::id.asc())
        .limit(PRUNED_AT_ONCE)
        .select(webhook_deliveries::id)
        .load(db)?;
    Ok(batch.into_iter().next_back())
}

fn forget_up_to(db: &mut DbConnection, last: &str) -> Result<usize, DbError> {
    Ok(diesel::delete(webhook_deliveries::table.filter(webhook_deliveries::id.le(last))).execute(db)?)
}

fn count_former(db: &mut DbConnection, now: i64) -> Result<i64, DbError> {
    Ok(webhooks::table.filter(webhooks::former_secret_until.le(now)).count().get_result(db)?)
}

fn forget_former(db: &mut DbConnection, now: i64) -> Result<usize, DbError> {
    Ok(diesel::update(webhooks::table.filter(webhooks::former_secret_until.le(now)))
        .set((webhooks::former_secret_sealed.eq(None::<Vec<u8>>), webhooks::former_secret_until.eq(None::<i64>)))
        .execute(db)?)
}
