//! Sealing everything anew under the active key: what connections keep, and what webhooks do.

use diesel::prelude::*;

use super::rows::WebhookRow;
use super::seal::Sealer;
use crate::clock::now_micros;
use crate::connections::rotation::{self, Rotated};
use crate::db::schema::webhooks;
use crate::db::{Db, DbConnection, DbError};
use crate::vault::{Vault, VaultError};

/// Rows of one batch.
const BATCH: i64 = 200;

/// Seals everything anew that is not under the active key. `progress` hears of every batch.
///
/// # Errors
/// A failing database. What was done until then stays done.
pub async fn rotate(db: &Db, vault: &Vault, progress: impl FnMut(u64)) -> Result<Rotated, DbError> {
    rotation::rotate_with(db, vault, async |report| pass(db, vault, report).await, progress).await
}

/// How many connections and webhooks there are to look at.
pub async fn count(db: &Db) -> Result<u64, DbError> {
    let webhooks: i64 = db.read(|db| Ok::<_, DbError>(webhooks::table.count().get_result(db)?)).await?;
    Ok(rotation::count(db).await? + u64::try_from(webhooks).unwrap_or_default())
}

/// The webhooks after an id, in the order of their ids.
pub(super) fn batch(db: &mut DbConnection, after: &str) -> Result<Vec<WebhookRow>, DbError> {
    Ok(webhooks::table
        .filter(webhooks::id.gt(after))
        .order(webhooks::id.asc())
        .limit(BATCH)
        .select(WebhookRow::as_select())
        .load(db)?)
}

/// Goes through all webhooks once.
async fn pass(db: &Db, vault: &Vault, report: &mut Rotated) -> Result<(), DbError> {
    let mut after = String::new();
    loop {
        let place = after.clone();
        let rows = db.read(move |db| batch(db, &place)).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for row in rows {
            report.rows += 1;
            rotate_webhook(db, vault, row, report).await?;
        }
    }
}

async fn rotate_webhook(db: &Db, vault: &Vault, row: WebhookRow, report: &mut Rotated) -> Result<(), DbError> {
    let sealer = Sealer::of(vault, &row);
    let url = renewed(vault, Some(&row.url_sealed), report, |blob| sealer.seal_url(&sealer.open_url(blob)?));
    let secret =
        renewed(vault, Some(&row.secret_sealed), report, |blob| sealer.seal_secret(&sealer.open_secret(blob)?));
    let former = renewed(vault, row.former_secret_sealed.as_ref(), report, |blob| {
        sealer.seal_former(&sealer.open_former(blob)?)
    });
    if url.is_none() && secret.is_none() && former.is_none() {
        return Ok(());
    }
    let organisation = row.organisation_id.clone();
    let sealed = db
        .write(organisation, now_micros(), move |db| -> Result<usize, DbError> {
            // The blob that was read stands in each condition: whatever was written since is newer, and stays.
            let of_row = || webhooks::table.filter(webhooks::id.eq(row.id.clone()));
            let mut sealed = 0;
            if let Some(new) = url {
                sealed += diesel::update(of_row().filter(webhooks::url_sealed.eq(row.url_sealed.clone())))
                    .set(webhooks::url_sealed.eq(new))
                    .execute(db)?;
            }
            if let Some(new) = secret {
                sealed += diesel::update(of_row().filter(webhooks::secret_sealed.eq(row.secret_sealed.clone())))
                    .set(webhooks::secret_sealed.eq(new))
                    .execute(db)?;
            }
            if let Some(new) = former {
                let unchanged = webhooks::former_secret_sealed.eq(row.former_secret_sealed.clone());
                sealed += diesel::update(of_row().filter(unchanged))
                    .set(webhooks::former_secret_sealed.eq(Some(new)))
                    .execute(db)?;
            }
            Ok(sealed)
        })
        .await?;
    report.sealed += sealed as u64;
    Ok(())
}

/// The blob under the active key, if it is not already there and can be opened.
fn renewed(
    vault: &Vault,
    blob: Option<&Vec<u8>>,
    report: &mut Rotated,
    seal: impl FnOnce(&[u8]) -> Result<Vec<u8>, VaultError>,
) -> Option<Vec<u8>> {
    let old = blob.filter(|blob| vault.needs_rotation(blob))?;
    rotation::sealed_anew(report, || seal(old))
}
