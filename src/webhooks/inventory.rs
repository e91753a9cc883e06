//! What is sealed of connections and of webhooks, under which key, and whether it still opens.

use super::rotation::batch;
use super::rows::WebhookRow;
use super::seal::Sealer;
use crate::connections::inventory::Inventory;
use crate::db::{Db, DbError};
use crate::vault::Vault;

/// Opens everything that is stored. `progress` hears how many rows are done.
pub async fn take(db: &Db, vault: &Vault, mut progress: impl FnMut(u64)) -> Result<Inventory, DbError> {
    let mut inventory = Inventory::take(db, vault, &mut progress).await?;
    let mut after = String::new();
    loop {
        let place = after.clone();
        let rows = db.read(move |db| batch(db, &place)).await?;
        let Some(last) = rows.last() else { return Ok(inventory) };
        after.clone_from(&last.id);
        for row in &rows {
            inventory.webhooks += 1;
            count_webhook(&mut inventory, vault, row);
        }
        progress(inventory.rows + inventory.webhooks);
    }
}

fn count_webhook(inventory: &mut Inventory, vault: &Vault, row: &WebhookRow) {
    let sealer = Sealer::of(vault, row);
    let usable = [
        inventory.count(Some(&row.url_sealed), sealer.open_url(&row.url_sealed).map(drop)),
        inventory.count(Some(&row.secret_sealed), sealer.open_secret(&row.secret_sealed).map(drop)),
    ];
    if usable.contains(&false) {
        inventory.unusable_webhooks += 1;
    }
    if let Some(blob) = row.former_secret_sealed.as_deref() {
        inventory.count(Some(blob), sealer.open_former(blob).map(drop));
    }
}
