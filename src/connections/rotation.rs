//! Sealing everything anew under the active key, while the service goes on.
//!
//! Rows are read in batches by id. Each blob is replaced only if it is still the one that was read, so a change made
//! meanwhile wins; its blob is under the active key already. A run that was cut off is simply started again: rows that
//! are done are skipped.

use std::fmt;

use diesel::prelude::*;

use super::now_micros;
use super::store::{self, Sealer};
use crate::db::models::{ConnectionRow, VerificationRow};
use crate::db::schema::{connections, verifications};
use crate::db::{Db, DbError};
use crate::problem::Problem;
use crate::tenancy::OrgId;
use crate::vault::{Vault, VaultError};

/// Rows of one batch.
const BATCH: i64 = 200;

/// What a rotation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Rows looked at.
    pub rows: u64,
    /// Blobs sealed anew.
    pub sealed: u64,
    /// Blobs that no key of the ring opens.
    pub unreadable: u64,
}

impl fmt::Display for Rotated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} rows looked at, {} blobs sealed under the active key", self.rows, self.sealed)?;
        if self.unreadable > 0 {
            write!(out, "; {} blobs cannot be opened by any key: keep looking for their key", self.unreadable)
        } else {
            write!(out, "; keys other than the active one are no longer needed")
        }
    }
}

/// Seals everything anew that is not under the active key. `progress` hears of every batch.
///
/// # Errors
/// A failing database. What was done until then stays done.
pub async fn rotate(db: &Db, vault: &Vault, mut progress: impl FnMut(u64)) -> Result<Rotated, DbError> {
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
    let settings = renew(vault, row.settings_sealed.as_deref(), report, |blob| {
        sealer.seal_profile(&sealer.open_profile(Some(blob))?)
    });
    let credentials = renew(vault, row.credentials_sealed.as_deref(), report, |blob| {
        sealer.seal_credentials(&sealer.open_credentials(Some(blob))?)
    });
    let verification = renew(vault, row.verification_sealed.as_deref(), report, |blob| {
        sealer.seal_verification(&sealer.open_verification(blob)?)
    });
    let owner = organisation.clone();
    let history = db
        .read(move |db| -> Result<Vec<VerificationRow>, DbError> { store::history(db, &owner, id, None, 1_000) })
        .await?;
    let history: Vec<(String, Vec<u8>)> = history
        .into_iter()
        .filter_map(|entry| {
            let renewed = renew(vault, Some(&entry.report_sealed), report, |blob| {
                sealer.seal_verification(&sealer.open_verification(blob)?)
            })?;
            Some((entry.id, renewed))
        })
        .collect();
    if settings.is_none() && credentials.is_none() && verification.is_none() && history.is_empty() {
        return Ok(());
    }
    db.write(row.organisation_id.clone(), now_micros(), move |db| -> Result<(), Problem> {
        let unchanged = || {
            connections::table
                .filter(connections::id.eq(row.id.clone()))
                .filter(connections::version.eq(row.version))
                .filter(connections::deleted_at.is_null())
        };
        if let Some(blob) = settings {
            diesel::update(unchanged()).set(connections::settings_sealed.eq(Some(blob))).execute(db)?;
        }
        if let Some(blob) = credentials {
            diesel::update(unchanged()).set(connections::credentials_sealed.eq(Some(blob))).execute(db)?;
        }
        if let Some(blob) = verification {
            diesel::update(unchanged().filter(connections::verification_sealed.eq(row.verification_sealed.clone())))
                .set(connections::verification_sealed.eq(Some(blob)))
                .execute(db)?;
        }
        for (entry, blob) in history {
            diesel::update(verifications::table.filter(verifications::id.eq(entry)))
                .set(verifications::report_sealed.eq(blob))
                .execute(db)?;
        }
        Ok(())
    })
    .await
    .map_err(|problem| DbError::Unavailable(problem.cause.unwrap_or(problem.detail).into()))
}

/// The blob under the active key, if it is not already there and can be opened.
fn renew(
    vault: &Vault,
    blob: Option<&[u8]>,
    report: &mut Rotated,
    seal: impl FnOnce(&[u8]) -> Result<Vec<u8>, VaultError>,
) -> Option<Vec<u8>> {
    let blob = blob.filter(|blob| vault.needs_rotation(blob))?;
    match seal(blob) {
        Ok(renewed) => {
            report.sealed += 1;
            Some(renewed)
        }
        Err(_) => {
            report.unreadable += 1;
            None
        }
    }
}
