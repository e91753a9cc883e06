//! When the key that seals came into use, and when the last one before it was done with. Their age is all that is
//! stored of keys.

use diesel::prelude::*;

use super::service::Connections;
use crate::clock::now_micros;
use crate::db::schema::vault_keys;
use crate::db::{Db, DbConnection, DbError};
use crate::metrics::KeyAges;
use crate::telemetry;
use crate::vault::Vault;

impl Connections {
    /// Notes that the active key seals from now on, unless that is known already.
    pub async fn note_active_key(&self) {
        if let Err(error) = note(&self.inner.db, &self.inner.vault, false).await {
            tracing::warn!(cause = ?telemetry::chain(&error), "the age of the active key could not be written");
        }
    }
}

/// Notes that nothing is sealed under another key than the active one.
pub(super) async fn note_rotated(db: &Db, vault: &Vault) -> Result<(), DbError> {
    note(db, vault, true).await
}

async fn note(db: &Db, vault: &Vault, is_rotated: bool) -> Result<(), DbError> {
    let id = vault.active_key_id().to_owned();
    let now = now_micros();
    db.write_all(move |db| -> Result<(), DbError> {
        // Others may write the same row at the same moment: the second one finds it there.
        let row = (vault_keys::id.eq(&id), vault_keys::first_used_at.eq(now));
        match db {
            DbConnection::Postgres(db) => {
                diesel::insert_into(vault_keys::table).values(row).on_conflict_do_nothing().execute(db)
            }
            DbConnection::Sqlite(db) => {
                diesel::insert_into(vault_keys::table).values(row).on_conflict_do_nothing().execute(db)
            }
        }?;
        if is_rotated {
            diesel::update(vault_keys::table.filter(vault_keys::id.eq(&id)))
                .set(vault_keys::rotated_at.eq(Some(now)))
                .execute(db)?;
        }
        Ok(())
    })
    .await
}

/// What is known of a key.
pub(super) fn ages(db: &mut DbConnection, id: &str) -> Result<KeyAges, DbError> {
    let row: Option<(i64, Option<i64>)> = vault_keys::table
        .filter(vault_keys::id.eq(id))
        .select((vault_keys::first_used_at, vault_keys::rotated_at))
        .get_result(db)
        .optional()?;
    Ok(row.map_or_else(KeyAges::default, |(at, rotated_at)| KeyAges { active_since: Some(at), rotated_at }))
}
