//! What a webhook keeps sealed: its address and its secrets, each bound to its organisation, webhook and purpose.

use url::Url;
use uuid::Uuid;

use super::rows::WebhookRow;
use super::secret::Secret;
use crate::vault::{Binding, Purpose, Vault, VaultError};

/// Seals and opens what a row holds.
#[derive(Clone, Copy)]
pub(super) struct Sealer<'a> {
    vault: &'a Vault,
    organisation: &'a str,
    webhook: Uuid,
}

impl<'a> Sealer<'a> {
    pub(super) fn new(vault: &'a Vault, organisation: &'a str, webhook: Uuid) -> Self {
        Self { vault, organisation, webhook }
    }

    /// Of a stored webhook. An id that is none opens nothing.
    pub(super) fn of(vault: &'a Vault, row: &'a WebhookRow) -> Self {
        Self::new(vault, &row.organisation_id, row.id.parse().unwrap_or_default())
    }

    fn binding(&self, purpose: Purpose) -> Binding<'a> {
        Binding { organisation: self.organisation, row: self.webhook, platform: None, purpose }
    }

    pub(super) fn seal_url(&self, url: &Url) -> Result<Vec<u8>, VaultError> {
        self.vault.seal(&self.binding(Purpose::WebhookUrl), url.as_str().as_bytes())
    }

    pub(super) fn open_url(&self, blob: &[u8]) -> Result<Url, VaultError> {
        let text = self.vault.open(&self.binding(Purpose::WebhookUrl), blob)?;
        let text = std::str::from_utf8(&text).map_err(|_| VaultError::Damaged)?;
        text.parse().map_err(|_| VaultError::Damaged)
    }

    pub(super) fn seal_secret(&self, secret: &Secret) -> Result<Vec<u8>, VaultError> {
        self.vault.seal(&self.binding(Purpose::WebhookSecret), secret.bytes())
    }

    pub(super) fn open_secret(&self, blob: &[u8]) -> Result<Secret, VaultError> {
        self.open_as(Purpose::WebhookSecret, blob)
    }

    pub(super) fn seal_former(&self, secret: &Secret) -> Result<Vec<u8>, VaultError> {
        self.vault.seal(&self.binding(Purpose::FormerWebhookSecret), secret.bytes())
    }

    pub(super) fn open_former(&self, blob: &[u8]) -> Result<Secret, VaultError> {
        self.open_as(Purpose::FormerWebhookSecret, blob)
    }

    fn open_as(&self, purpose: Purpose, blob: &[u8]) -> Result<Secret, VaultError> {
        Secret::of(&self.vault.open(&self.binding(purpose), blob)?).ok_or(VaultError::Damaged)
    }

    /// The secrets that sign at this time, in microseconds since 1970: the present one first.
    pub(super) fn secrets_at(&self, row: &WebhookRow, now: i64) -> Result<Vec<Secret>, VaultError> {
        let mut secrets = vec![self.open_secret(&row.secret_sealed)?];
        let former = row.former_secret_sealed.as_deref().filter(|_| row.former_secret_until > Some(now));
        // The present one is enough: a former one that cannot be read any more holds nothing up.
        secrets.extend(former.and_then(|blob| self.open_former(blob).ok()));
        Ok(secrets)
    }
}
