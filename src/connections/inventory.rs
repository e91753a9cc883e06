//! What is sealed under which key, and whether it still opens. Nothing is changed and nothing shown.

use std::collections::BTreeMap;

use super::store::Stored;
use super::store::background;
use super::store::verifications::Remembered;
use crate::clock::now_micros;
use crate::db::{Db, DbError};
use crate::metrics::Checks;
use crate::vault::{self, Vault, VaultError};

/// Rows of one batch.
const BATCH: i64 = 200;

/// Checks in the background that are due.
pub async fn checks(db: &Db) -> Result<Checks, DbError> {
    let now = now_micros();
    db.read(move |db| background::count_checks(db, now)).await
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Connections looked at.
    pub rows: u64,
    /// Blobs that open, by the name of their key.
    pub readable: BTreeMap<String, u64>,
    /// Blobs under keys that the ring does not have, by name.
    pub keyless: BTreeMap<String, u64>,
    /// Blobs that are damaged, or lie in a row that they were not sealed for.
    pub damaged: u64,
    /// Those of them that name a key of the ring, by its name.
    pub refused: BTreeMap<String, u64>,
    /// Connections that cannot be used: their settings or their credentials do not open.
    pub unusable: u64,
    /// Webhooks looked at.
    pub webhooks: u64,
    /// Webhooks that cannot be used: their address or their secret does not open.
    pub unusable_webhooks: u64,
}

impl Inventory {
    /// Opens everything that is stored of connections. `progress` hears how many connections are done.
    pub async fn take(db: &Db, vault: &Vault, mut progress: impl FnMut(u64)) -> Result<Self, DbError> {
        let mut inventory = Self::default();
        let mut after = String::new();
        loop {
            let place = after.clone();
            let batch = db.read(move |db| background::batch(db, &place, BATCH)).await?;
            let Some(last) = batch.last else { return Ok(inventory) };
            after = last;
            for (stored, history) in &batch.connections {
                inventory.rows += 1;
                match stored {
                    Ok(stored) => inventory.count_connection(vault, stored, history),
                    Err(_) => {
                        inventory.damaged += 1;
                        inventory.unusable += 1;
                    }
                }
            }
            progress(inventory.rows);
        }
    }

    fn count_connection(&mut self, vault: &Vault, stored: &Stored, history: &[Remembered]) {
        let sealer = stored.sealer(vault);
        let settings = stored.sealed.settings.as_deref();
        let credentials = stored.sealed.credentials.as_deref();
        let usable = [
            self.count(settings, sealer.open_profile(settings).map(drop)),
            self.count(credentials, sealer.open_credentials(credentials).map(drop)),
        ];
        if usable.contains(&false) {
            self.unusable += 1;
        }
        let entries = history.iter().map(|entry| entry.sealed.as_slice());
        for blob in stored.sealed.verification.as_deref().into_iter().chain(entries) {
            self.count(Some(blob), sealer.open_verification(blob).map(drop));
        }
    }

    /// Counts one blob; says whether it opens.
    pub(crate) fn count(&mut self, blob: Option<&[u8]>, opened: Result<(), VaultError>) -> bool {
        match opened {
            Ok(()) => {
                let key = blob.and_then(vault::key_id).unwrap_or_default();
                *self.readable.entry(key.to_owned()).or_default() += 1;
                true
            }
            Err(VaultError::UnknownKey(key)) => {
                *self.keyless.entry(key).or_default() += 1;
                false
            }
            Err(VaultError::Damaged | VaultError::CannotSeal) => {
                self.damaged += 1;
                if let Some(key) = blob.and_then(vault::key_id) {
                    *self.refused.entry(key.to_owned()).or_default() += 1;
                }
                false
            }
        }
    }
}
