//! The queries about webhooks that a caller asks for. Each takes the organisation.

use diesel::prelude::*;
use uuid::Uuid;

use super::rows::{WebhookDeliveryRow, WebhookRow};
use crate::db::schema::{organisations, webhook_deliveries, webhook_retries, webhooks};
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// A webhook, if it is this organisation's.
pub(super) fn find(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<Option<WebhookRow>, DbError> {
    Ok(webhooks::table
        .filter(webhooks::organisation_id.eq(organisation.as_str()))
        .filter(webhooks::id.eq(id.to_string()))
        .select(WebhookRow::as_select())
        .get_result(db)
        .optional()?)
}

/// One page of an organisation's webhooks, newest first.
pub(super) fn list(
    db: &mut DbConnection,
    organisation: &OrgId,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<WebhookRow>, DbError> {
    let mut rows = webhooks::table
        .filter(webhooks::organisation_id.eq(organisation.as_str().to_owned()))
        .order(webhooks::id.desc())
        .limit(limit)
        .select(WebhookRow::as_select())
        .into_boxed();
    if let Some(after) = after {
        rows = rows.filter(webhooks::id.lt(after));
    }
    Ok(rows.load(db)?)
}

/// How many webhooks an organisation has.
pub(super) fn count(db: &mut DbConnection, organisation: &OrgId) -> Result<u32, DbError> {
    let count: i64 =
        webhooks::table.filter(webhooks::organisation_id.eq(organisation.as_str())).count().get_result(db)?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The number of the organisation's last event. Within a write nobody else adds one.
pub(super) fn last_sequence(db: &mut DbConnection, organisation: &OrgId) -> Result<i64, DbError> {
    let row = organisations::table.filter(organisations::id.eq(organisation.as_str()));
    Ok(row.select(organisations::event_sequence).get_result(db).optional()?.unwrap_or_default())
}

/// Adds a webhook.
pub(super) fn insert(db: &mut DbConnection, row: &WebhookRow) -> Result<(), DbError> {
    diesel::insert_into(webhooks::table).values(row).execute(db)?;
    Ok(())
}

/// Writes what a change may change.
pub(super) fn change(db: &mut DbConnection, row: &WebhookRow) -> Result<(), DbError> {
    diesel::update(
        webhooks::table.filter(webhooks::organisation_id.eq(&row.organisation_id)).filter(webhooks::id.eq(&row.id)),
    )
    .set((
        webhooks::url_sealed.eq(&row.url_sealed),
        webhooks::secret_sealed.eq(&row.secret_sealed),
        webhooks::former_secret_sealed.eq(&row.former_secret_sealed),
        webhooks::former_secret_until.eq(row.former_secret_until),
        webhooks::events.eq(&row.events),
        webhooks::description.eq(&row.description),
        webhooks::active.eq(row.active),
        webhooks::paused_reason.eq(&row.paused_reason),
        webhooks::version.eq(row.version),
        webhooks::updated_at.eq(row.updated_at),
        webhooks::progress.eq(row.progress),
        webhooks::failures.eq(row.failures),
        webhooks::rest_until.eq(row.rest_until),
        webhooks::retry_at.eq(row.retry_at),
    ))
    .execute(db)?;
    Ok(())
}

/// Forgets what was to be tried again.
pub(super) fn forget_retries(db: &mut DbConnection, row: &WebhookRow) -> Result<(), DbError> {
    diesel::delete(webhook_retries::table.filter(webhook_retries::webhook_id.eq(&row.id))).execute(db)?;
    Ok(())
}

/// Deletes a webhook with all that was remembered of it; says whether there was one.
pub(super) fn delete(db: &mut DbConnection, row: &WebhookRow) -> Result<(), DbError> {
    forget_retries(db, row)?;
    diesel::delete(webhook_deliveries::table.filter(webhook_deliveries::webhook_id.eq(&row.id))).execute(db)?;
    diesel::delete(
        webhooks::table.filter(webhooks::organisation_id.eq(&row.organisation_id)).filter(webhooks::id.eq(&row.id)),
    )
    .execute(db)?;
    Ok(())
}

/// Remembers an attempt at one of the organisation's webhooks.
pub(super) fn remember(db: &mut DbConnection, attempt: &WebhookDeliveryRow) -> Result<(), DbError> {
    diesel::insert_into(webhook_deliveries::table).values(attempt).execute(db)?;
    Ok(())
}

/// One page of the attempts at a webhook that was found before, newest first.
pub(super) fn deliveries(
    db: &mut DbConnection,
    webhook: &WebhookRow,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<WebhookDeliveryRow>, DbError> {
    let mut rows = webhook_deliveries::table
        .filter(webhook_deliveries::webhook_id.eq(webhook.id.clone()))
        .order(webhook_deliveries::id.desc())
        .limit(limit)
        .select(WebhookDeliveryRow::as_select())
        .into_boxed();
    if let Some(after) = after {
        rows = rows.filter(webhook_deliveries::id.lt(after));
    }
    Ok(rows.load(db)?)
}
