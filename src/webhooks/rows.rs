//! Rows as they are stored, behind the queries.

use diesel::prelude::*;

use crate::db::schema::{webhook_deliveries, webhook_retries, webhooks};

/// A webhook.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = webhooks)]
pub(super) struct WebhookRow {
    pub(super) id: String,
    pub(super) organisation_id: String,
    pub(super) url_sealed: Vec<u8>,
    pub(super) secret_sealed: Vec<u8>,
    pub(super) former_secret_sealed: Option<Vec<u8>>,
    pub(super) former_secret_until: Option<i64>,
    pub(super) events: String,
    pub(super) description: Option<String>,
    pub(super) active: bool,
    pub(super) paused_reason: Option<String>,
    pub(super) version: i64,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    pub(super) created_by: String,
    pub(super) progress: i64,
    pub(super) failures: i64,
    pub(super) rest_until: i64,
    pub(super) retry_at: Option<i64>,
    pub(super) served_at: i64,
    pub(super) lease_until: Option<i64>,
    pub(super) lease_owner: Option<String>,
}

/// An event that is tried again.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_retries)]
pub(super) struct WebhookRetryRow {
    pub(super) webhook_id: String,
    pub(super) sequence: i64,
    pub(super) event_id: String,
    pub(super) event_type: String,
    pub(super) attempts: i64,
    pub(super) first_at: i64,
    pub(super) next_at: i64,
}

/// An attempt to deliver an event.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_deliveries)]
pub(super) struct WebhookDeliveryRow {
    pub(super) id: String,
    pub(super) webhook_id: String,
    pub(super) event_id: String,
    pub(super) event_type: String,
    pub(super) attempt: i64,
    pub(super) outcome: String,
    pub(super) status: Option<i64>,
    pub(super) duration_ms: i64,
    pub(super) error: Option<String>,
    pub(super) created_at: i64,
}
