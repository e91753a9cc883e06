//! Sealing everything anew under the active key, while the service goes on.
//!
//! Rows are read in batches by id. Each blob is replaced only if it is still the one that was read, so a change made
//! meanwhile wins. A process that still has the old ring may seal under the old key behind our back; therefore the
//! whole is gone through again until nothing is left to do, and only then is the old key said to be free. A run that
//! was cut off is simply started again: blobs that are done are skipped.

use std::fmt;

use jiff::Timestamp;

use super::idempotency;
use super::keys;
use super::store::background::{self, Renewal, Renewed};
use super::store::verifications::Remembered;
use super::store::{Sealed, Stored};
use crate::clock::{now_micros, time};
use crate::db::{Db, DbError};
use crate::vault::{Vault, VaultError};

/// Rows of one batch.
const BATCH: i64 = 200;
/// How often everything is gone through before a run gives up on a service that goes on sealing under another key.
const MAX_PASSES: u32 = 5;

/// What a rotation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Connections and webhooks looked at.
    pub rows: u64,
    /// Blobs sealed anew.
    pub sealed: u64,
    /// Blobs that no key of the ring opens.
    pub unreadable: u64,
    /// Blobs that were not under the active key when the last pass came by.
    pub left: u64,
    /// Until when other keys are needed to recognise requests that come again with their `Idempotency-Key`.
    pub remembered_until: Option<Timestamp>,
}

impl Rotated {
    /// Whether the keys other than the active one can go.
    pub const fn is_complete(&self) -> bool {
        self.left == 0 && self.unreadable == 0
    }
}

impl fmt::Display for Rotated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} rows looked at, {} blobs sealed under the active key; ", self.rows, self.sealed)?;
        match (self.unreadable, self.left) {
            (0, 0) => match self.remembered_until {
                Some(until) => write!(
                    out,
                    "keys other than the active one are no longer needed from {until:.0} on; until then requests with an \
                     Idempotency-Key are recognised by them"
                ),
                None => write!(out, "keys other than the active one are no longer needed"),
            },
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

/// Seals everything anew of connections that is not under the active key, and has `others` do the same with what else is
/// sealed. `progress` hears of every batch.
///
/// # Errors
/// A failing database. What was done until then stays done.
pub(crate) async fn rotate_with(
    db: &Db,
    vault: &Vault,
    mut others: impl AsyncFnMut(&mut Rotated) -> Result<(), DbError>,
    mut progress: impl FnMut(u64),
) -> Result<Rotated, DbError> {
    let mut sealed = 0;
    let mut report = Rotated::default();
    for _ in 0..MAX_PASSES {
        report = pass(db, vault, &mut progress).await?;
        let of_connections = report.rows;
        others(&mut report).await?;
        if report.rows > of_connections {
            progress(report.rows);
        }
        sealed += report.sealed;
        if report.left == 0 {
            break;
        }
    }
    if report.is_complete() {
        keys::note_rotated(db, vault).await?;
    }
    let remembered_until = remembered_until(db, vault).await?;
    Ok(Rotated { sealed, remembered_until, ..report })
}

/// When the last fingerprint under another key than the active one is over.
async fn remembered_until(db: &Db, vault: &Vault) -> Result<Option<Timestamp>, DbError> {
    let (active, now) = (vault.active_key_id().to_owned(), now_micros());
    let last = db.read(move |db| idempotency::last_under_another_key(db, &active, now)).await?;
    Ok(last.map(time))
}

/// How many connections there are to look at.
pub async fn count(db: &Db) -> Result<u64, DbError> {
    db.read(background::count).await
}

/// Goes through everything once.
async fn pass(db: &Db, vault: &Vault, progress: &mut impl FnMut(u64)) -> Result<Rotated, DbError> {
    let mut report = Rotated::default();
    let mut after = String::new();
    loop {
        let place = after.clone();
        let batch = db.read(move |db| background::batch(db, &place, BATCH)).await?;
        let Some(last) = batch.last else { return Ok(report) };
        after = last;
        for (stored, history) in batch.connections {
            report.rows += 1;
            match stored {
                Ok(stored) => rotate_connection(db, vault, stored, history, &mut report).await?,
                Err(_) => report.unreadable += 1,
            }
        }
        progress(report.rows);
    }
}

async fn rotate_connection(
    db: &Db,
    vault: &Vault,
    mut stored: Stored,
    history: Vec<Remembered>,
    report: &mut Rotated,
) -> Result<(), DbError> {
    let Sealed { settings, credentials, verification, health } = std::mem::take(&mut stored.sealed);
    let sealer = stored.sealer(vault);
    let verified = |blob: &[u8]| sealer.seal_verification(&sealer.open_verification(blob)?);
    let renewal = Renewal {
        settings: renew(vault, settings, report, |blob| sealer.seal_profile(&sealer.open_profile(Some(blob))?)),
        credentials: renew(vault, credentials, report, |blob| {
            sealer.seal_credentials(&sealer.open_credentials(Some(blob))?)
        }),
        verification: renew(vault, verification, report, verified),
        // One that cannot be opened is no loss: the next check writes it anew.
        health: renew(vault, health.filter(|blob| sealer.open_health(blob).is_ok()), report, |blob| {
            sealer.seal_health(&sealer.open_health(blob)?)
        }),
        history: history
            .into_iter()
            .filter_map(|entry| Some((entry.id, renew(vault, Some(entry.sealed), report, verified)?)))
            .collect(),
    };
    if renewal.is_empty() {
        return Ok(());
    }
    let id = stored.id;
    let replaced = db
        .write(stored.organisation.as_str().to_owned(), now_micros(), move |db| background::renew(db, id, renewal))
        .await?;
    report.sealed += replaced as u64;
    Ok(())
}

/// The blob under the active key, if it is not already there and can be opened.
fn renew(
    vault: &Vault,
    blob: Option<Vec<u8>>,
    report: &mut Rotated,
    seal: impl FnOnce(&[u8]) -> Result<Vec<u8>, VaultError>,
) -> Option<Renewed> {
    let old = blob.filter(|blob| vault.needs_rotation(blob))?;
    let new = sealed_anew(report, || seal(&old))?;
    Some(Renewed { old, new })
}

/// A blob that is sealed anew, counted whether that is possible or not.
pub(crate) fn sealed_anew(report: &mut Rotated, seal: impl FnOnce() -> Result<Vec<u8>, VaultError>) -> Option<Vec<u8>> {
    match seal() {
        Ok(new) => {
            report.left += 1;
            Some(new)
        }
        Err(_) => {
            report.unreadable += 1;
            None
        }
    }
}
