//! Sealing everything anew under the active key, while the service goes on.
//!
//! Rows are read in batches by id. Each blob is replaced only if it is still the one that was read, so a change made
//! meanwhile wins. A process that still has the old ring may seal under the old key behind our back; therefore the
//! whole is gone through again until nothing is left to do, and only then is the old key said to be free. A run that
//! was cut off is simply started again: blobs that are done are skipped.

use std::fmt;

use diesel::prelude::*;

use super::keys;
use super::seal::Sealer;
use super::store;
use crate::clock::now_micros;
use crate::db::models::{ConnectionRow, VerificationRow};
use crate::db::schema::{connections, verifications};
use crate::db::{Db, DbError};
use crate::problem::Problem;
use crate::tenancy::OrgId;
use crate::vault::{Vault, VaultError};

/// Rows of one batch.
const BATCH: i64 = 200;
/// How often everything is gone through before a run gives up on a service that goes on sealing under another key.
const MAX_PASSES: u32 = 5;

/// What a rotation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Connections looked at.
    pub rows: u64,
    /// Blobs sealed anew.
    pub sealed: u64,
    /// Blobs that no key of the ring opens.
    pub unreadable: u64,
    /// Blobs that were not under the active key when the last pass came by.
    pub left: u64,
}

impl Rotated {
    /// Whether the keys other than the active one can go.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.left == 0 && self.unreadable == 0
    }
}

impl fmt::Display for Rotated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} rows looked at, {} blobs sealed under the active key; ", self.rows, self.sealed)?;
        match (self.unreadable, self.left) {
            (0, 0) => write!(out, "keys other than the active one are no longer needed"),
            (0, left) => write!(
                out,
                "{left} blobs were sealed under another key meanwhile: give every process the new ring, then run this \
                 again; keep the old keys"
            ),
            (unreadable, _) => {
                write!(out, "{unreadable} blobs cannot be opened by any key: keep the old keys, and look for theirs")
            }
        }
    }
}

/// Seals everything anew that is not under the active key. `progress` hears of every batch.
///
/// # Errors
/// A failing database. What was done until then stays done.
pub async fn rotate(db: &Db, vault: &Vault, mut progress: impl FnMut(u64)) -> Result<Rotated, DbError> {
    let mut sealed = 0;
    let mut report = Rotated::default();
    for _ in 0..MAX_PASSES {
        report = pass(db, vault, &mut progress).await?;
        sealed += report.sealed;
        if report.left == 0 {
            break;
        }
    }
    if report.is_complete() {
        keys::note_rotated(db, vault).await?;
    }
    Ok(Rotated { sealed, ..report })
}

/// How many connections there are to look at.
///
/// # Errors
/// A failing database.
pub async fn count(db: &Db) -> Result<u64, DbError> {
    let count: i64 = db
        .read(|db| -> Result<i64, DbError> {
            Ok(connections::table.filter(connections::deleted_at.is_null()).count().get_result(db)?)
        })
        .await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Goes through everything once.
async fn pass(db: &Db, vault: &Vault, progress: &mut impl FnMut(u64)) -> Result<Rotated, DbError> {
    let mut report = Rotated::default();
    let mut after = String::new();
    loop {
        let place = after.clone();
        let rows = db
            .read(move |db| -> Result<Vec<ConnectionRow>, DbError> {
                Ok(connections::table
                    .filter(connections::id.gt(place))
                    .filter(connections::deleted_at.is_null())
                    .order(connections::id.asc())
                    .limit(BATCH)
                    .select(ConnectionRow::as_select())
                    .load(db)?)
            })
            .await?;
        let Some(last) = rows.last() else { return Ok(report) };
        after = last.id.clone();
        for row in rows {
            report.rows += 1;
            rotate_connection(db, vault, row, &mut report).await?;
        }
        progress(report.rows);
    }
}

async fn rotate_connection(db: &Db, vault: &Vault, row: ConnectionRow, report: &mut Rotated) -> Result<(), DbError> {
    let (Ok(organisation), Ok(platform)) = (row.organisation_id.parse::<OrgId>(), row.platform.parse()) else {
        report.unreadable += 1;
        return Ok(());
    };
    let id = store::id_of(&row);
    let sealer = Sealer::new(vault, &organisation, id, platform);
    let settings =
        renew(vault, row.settings_sealed, report, |blob| sealer.seal_profile(&sealer.open_profile(Some(blob))?));
    let credentials = renew(vault, row.credentials_sealed, report, |blob| {
        sealer.seal_credentials(&sealer.open_credentials(Some(blob))?)
    });
    let verification = renew(vault, row.verification_sealed, report, |blob| {
        sealer.seal_verification(&sealer.open_verification(blob)?)
    });
    let owner = organisation.clone();
    let history = db
        .read(move |db| -> Result<Vec<VerificationRow>, DbError> { store::history(db, &owner, id, None, 1_000) })
        .await?;
    let history: Vec<(String, Renewed)> = history
        .into_iter()
        .filter_map(|entry| {
            let renewed = renew(vault, Some(entry.report_sealed), report, |blob| {
                sealer.seal_verification(&sealer.open_verification(blob)?)
            })?;
            Some((entry.id, renewed))
        })
        .collect();
    if settings.is_none() && credentials.is_none() && verification.is_none() && history.is_empty() {
        return Ok(());
    }
    let replaced = db
        .write(row.organisation_id, now_micros(), move |db| -> Result<usize, Problem> {
            let mut replaced = 0;
            // The blob that was read stands in each condition: whatever was written since is newer, and stays.
            macro_rules! replace {
                ($column:expr, $renewed:expr) => {
                    if let Some(Renewed { old, new }) = $renewed {
                        let unchanged = connections::table
                            .filter(connections::id.eq(&row.id))
                            .filter(connections::deleted_at.is_null())
                            .filter($column.eq(Some(old)));
                        replaced += diesel::update(unchanged).set($column.eq(Some(new))).execute(db)?;
                    }
                };
            }
            replace!(connections::settings_sealed, settings);
            replace!(connections::credentials_sealed, credentials);
            replace!(connections::verification_sealed, verification);
            for (entry, Renewed { new, .. }) in history {
                replaced += diesel::update(verifications::table.filter(verifications::id.eq(entry)))
                    .set(verifications::report_sealed.eq(new))
                    .execute(db)?;
            }
            Ok(replaced)
        })
        .await
        .map_err(|problem| DbError::Unavailable(problem.cause.unwrap_or(problem.detail).into()))?;
    report.sealed += replaced as u64;
    Ok(())
}

/// A blob and what takes its place.
struct Renewed {
    old: Vec<u8>,
    new: Vec<u8>,
}

/// The blob under the active key, if it is not already there and can be opened.
fn renew(
    vault: &Vault,
    blob: Option<Vec<u8>>,
    report: &mut Rotated,
    seal: impl FnOnce(&[u8]) -> Result<Vec<u8>, VaultError>,
) -> Option<Renewed> {
    let old = blob.filter(|blob| vault.needs_rotation(blob))?;
    match seal(&old) {
        Ok(new) => {
            report.left += 1;
            Some(Renewed { old, new })
        }
        Err(_) => {
            report.unreadable += 1;
            None
        }
    }
}
