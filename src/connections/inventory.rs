//! What is sealed under which key, and whether it still opens. Nothing is changed and nothing shown.

use std::collections::BTreeMap;

use diesel::prelude::*;

use super::seal::Sealer;
use super::store;
use crate::db::models::{ConnectionRow, VerificationRow};
use crate::db::schema::{connections, verifications};
use crate::db::{Db, DbError};
use crate::tenancy::OrgId;
use crate::vault::{self, Vault, VaultError};

/// Rows of one batch.
const BATCH: i64 = 200;

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
}

impl Inventory {
    /// Opens everything that is stored. `progress` hears how many connections are done.
    ///
    /// # Errors
    /// A failing database.
    pub async fn take(db: &Db, vault: &Vault, mut progress: impl FnMut(u64)) -> Result<Self, DbError> {
        let mut inventory = Self::default();
        let mut after = String::new();
        loop {
            let place = after.clone();
            let (rows, history) = db.read(move |db| batch(db, &place)).await?;
            let Some(last) = rows.last() else { return Ok(inventory) };
            after = last.id.clone();
            for row in &rows {
                let of_row = history.iter().filter(|entry| entry.connection_id == row.id);
                inventory.count_row(vault, row, of_row);
            }
            progress(inventory.rows);
        }
    }

    fn count_row<'a>(
        &mut self,
        vault: &Vault,
        row: &ConnectionRow,
        history: impl Iterator<Item = &'a VerificationRow>,
    ) {
        self.rows += 1;
        let (Ok(organisation), Ok(platform)) = (row.organisation_id.parse::<OrgId>(), row.platform.parse()) else {
            self.damaged += 1;
            self.unusable += 1;
            return;
        };
        let sealer = Sealer::new(vault, &organisation, store::id_of(row), platform);
        let settings = row.settings_sealed.as_deref();
        let credentials = row.credentials_sealed.as_deref();
        let usable = [
            self.count(settings, sealer.open_profile(settings).map(drop)),
            self.count(credentials, sealer.open_credentials(credentials).map(drop)),
        ];
        if usable.contains(&false) {
            self.unusable += 1;
        }
        let verifications =
            row.verification_sealed.iter().chain(history.map(|entry| &entry.report_sealed)).map(Vec::as_slice);
        for blob in verifications {
            self.count(Some(blob), sealer.open_verification(blob).map(drop));
        }
    }

    /// Counts one blob; says whether it opens.
    fn count(&mut self, blob: Option<&[u8]>, opened: Result<(), VaultError>) -> bool {
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

fn batch(db: &mut crate::db::DbConnection, after: &str) -> Result<(Vec<ConnectionRow>, Vec<VerificationRow>), DbError> {
    let rows: Vec<ConnectionRow> = connections::table
        .filter(connections::id.gt(after))
        .filter(connections::deleted_at.is_null())
        .order(connections::id.asc())
        .limit(BATCH)
        .select(ConnectionRow::as_select())
        .load(db)?;
    let ids = rows.iter().map(|row| row.id.as_str());
    let history = verifications::table
        .filter(verifications::connection_id.eq_any(ids))
        .select(VerificationRow::as_select())
        .load(db)?;
    Ok((rows, history))
}
