//! The service that holds everything together. Its verbs stand in files of their own: `edit`, `trial`, and `worker` for
//! what is sent in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::queue::Claim;
use super::rows::{WebhookDeliveryRow, WebhookRow};
use super::seal::Sealer;
use super::store;
use super::view::{DeliveryOutcome, DeliveryView, PausedReason, Versioned, WebhookView};
use super::wanted::Wanted;
use crate::clock::time;
use crate::connections::claims::Claims;
use crate::connections::lists::page;
use crate::connections::service::Connections;
use crate::connections::supervision::{Phase, Task};
use crate::connections::{Page, cursor};
use crate::db::{Db, DbConnection};
use crate::outbound::Transport;
use crate::problem::Problem;
use crate::tenancy::OrgId;
use crate::vault::Vault;

/// What the service is configured with.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The longest that a receiver may take to answer.
    pub timeout: Duration,
    /// Webhooks that an organisation may have.
    pub max_per_organisation: u32,
}

/// Webhooks and everything that hangs on them.
#[derive(Clone)]
pub struct Webhooks {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) db: Db,
    pub(super) vault: Arc<Vault>,
    pub(super) transport: Transport,
    pub(super) options: Options,
    /// How far the end of the work in the background is off: that of connections is the process's.
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) task: Task,
    pub(super) claims: Claims<Claim>,
    /// Something may be due sooner than it is looked for.
    pub(super) work: Notify,
    /// Tests that are being sent, by organisation.
    pub(super) trials: Mutex<HashMap<OrgId, usize>>,
}

impl Webhooks {
    /// Puts the service together. Its work in the background ends with that of `connections`.
    pub fn new(db: Db, vault: Arc<Vault>, transport: Transport, connections: &Connections, options: Options) -> Self {
        let inner = Inner {
            db,
            vault,
            transport,
            options,
            phase: connections.phase(),
            task: Task::named("webhooks"),
            claims: Claims::default(),
            work: Notify::new(),
            trials: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the work in the background has come round lately.
    pub fn is_working(&self) -> bool {
        !self.inner.task.is_stalled(Instant::now())
    }

    /// One webhook.
    ///
    /// # Errors
    /// Unknown to this organisation.
    pub async fn get(&self, organisation: &OrgId, id: Uuid) -> Result<Versioned, Problem> {
        let owner = organisation.clone();
        let row = self.inner.db.read(move |db| known(db, &owner, id)).await?;
        Ok(versioned(&self.inner.vault, &row))
    }

    /// One page of the organisation's webhooks, newest first.
    ///
    /// # Errors
    /// A cursor of another query, or a failing database.
    pub async fn list(
        &self,
        organisation: &OrgId,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<WebhookView>, Problem> {
        let of = cursor::fingerprint(&[organisation.as_str(), "webhooks"]);
        let after = cursor.map(|cursor| cursor::decode::<String>(&of, cursor)).transpose()?;
        let owner = organisation.clone();
        let rows = self.inner.db.read(move |db| store::list(db, &owner, after, limit + 1)).await?;
        Ok(page(rows, limit, |row| cursor::encode(&of, &row.id)).map(|row| Some(view(&self.inner.vault, row))))
    }

    /// One page of the attempts at a webhook, newest first.
    ///
    /// # Errors
    /// Unknown to this organisation, or a cursor of another query.
    pub async fn deliveries(
        &self,
        organisation: &OrgId,
        id: Uuid,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<DeliveryView>, Problem> {
        let of = cursor::fingerprint(&[organisation.as_str(), "webhook-deliveries", &id.to_string()]);
        let after = cursor.map(|cursor| cursor::decode::<String>(&of, cursor)).transpose()?;
        let owner = organisation.clone();
        let rows = self
            .inner
            .db
            .read(move |db| -> Result<_, Problem> {
                let webhook = known(db, &owner, id)?;
                Ok(store::deliveries(db, &webhook, after, limit + 1)?)
            })
            .await?;
        Ok(page(rows, limit, |row| cursor::encode(&of, &row.id)).map(attempt))
    }
}

/// A webhook of this organisation.
pub(super) fn known(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<WebhookRow, Problem> {
    store::find(db, organisation, id)?.ok_or_else(Problem::no_webhook)
}

/// A webhook as it is shown. One whose address cannot be read is still shown: it can be deleted, or given another one.
pub(super) fn view(vault: &Vault, row: &WebhookRow) -> WebhookView {
    let url = Sealer::of(vault, row).open_url(&row.url_sealed).map(String::from).unwrap_or_default();
    WebhookView {
        id: row.id.parse().unwrap_or_default(),
        url,
        events: Wanted::read(&row.events).shown(),
        active: row.active,
        paused_reason: row.paused_reason.as_deref().and_then(PausedReason::find),
        description: row.description.clone(),
        created_at: time(row.created_at),
    }
}

pub(super) fn versioned(vault: &Vault, row: &WebhookRow) -> Versioned {
    Versioned { webhook: view(vault, row), version: row.version, updated_at: row.updated_at }
}

fn attempt(row: &WebhookDeliveryRow) -> Option<DeliveryView> {
    Some(DeliveryView {
        id: row.id.parse().ok()?,
        event_id: row.event_id.parse().ok()?,
        event_type: row.event_type.clone(),
        attempt: row.attempt,
        at: time(row.created_at),
        outcome: DeliveryOutcome::find(&row.outcome)?,
        status: row.status.and_then(|status| u16::try_from(status).ok()),
        duration_ms: u64::try_from(row.duration_ms).unwrap_or_default(),
        error: row.error.clone(),
    })
}
