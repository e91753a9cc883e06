//! Rows as they are stored.

use diesel::prelude::*;

use super::schema::{audit_events, automations, connections, events, idempotency_keys, verifications};

/// A connection, or the tombstone of one.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = connections)]
#[expect(missing_docs, reason = "the columns are described in the migration")]
pub struct ConnectionRow {
    pub id: String,
    pub organisation_id: String,
    pub name: String,
    pub name_key: String,
    pub platform: String,
    pub connection_type: String,
    pub settings_sealed: Option<Vec<u8>>,
    pub credentials_sealed: Option<Vec<u8>>,
    pub verification_sealed: Option<Vec<u8>>,
    pub status: String,
    pub counts_toward_limit: bool,
    pub version: i64,
    pub verify_after: Option<i64>,
    pub verify_attempts: i64,
    pub lease_until: Option<i64>,
    pub last_used_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub created_by: String,
    pub deleted_at: Option<i64>,
    pub lease_owner: Option<String>,
    pub created_via_service: bool,
    pub health_sealed: Option<Vec<u8>>,
    pub last_success_at: Option<i64>,
    pub last_checked_at: Option<i64>,
    pub check_after: Option<i64>,
    pub check_attempts: i64,
    pub credentials_expire_on: Option<i64>,
    pub tell_expiry_at: Option<i64>,
}

/// One entry of a connection's verification history.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = verifications)]
#[expect(missing_docs, reason = "the columns are described in the migration")]
pub struct VerificationRow {
    pub id: String,
    pub organisation_id: String,
    pub connection_id: String,
    pub report_sealed: Vec<u8>,
    pub created_at: i64,
}

/// An automation that pulled statistics through a connection.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = automations)]
#[expect(missing_docs, reason = "the columns are described in the migration")]
pub struct AutomationRow {
    pub connection_id: String,
    pub automation_id: String,
    pub organisation_id: String,
    pub first_used_at: i64,
    pub last_used_at: i64,
}

/// One audit event.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_events)]
#[expect(missing_docs, reason = "the columns are described in the migration")]
pub struct AuditRow {
    pub id: String,
    pub organisation_id: String,
    pub connection_id: Option<String>,
    pub action: String,
    pub outcome: String,
    pub actor: String,
    pub address: Option<String>,
    pub request_id: Option<String>,
    pub detail: String,
    pub created_at: i64,
}

/// A remembered `Idempotency-Key`.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = idempotency_keys)]
#[expect(missing_docs, reason = "the columns are described in the migration")]
pub struct IdempotencyRow {
    pub organisation_id: String,
    pub key_hash: String,
    pub body_hash: String,
    pub connection_id: Option<String>,
    pub expires_at: i64,
    pub owner: Option<String>,
}

/// One event.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = events)]
#[expect(missing_docs, reason = "the columns are described in the migration")]
pub struct EventRow {
    pub id: String,
    pub organisation_id: String,
    pub sequence: i64,
    pub event_type: String,
    pub connection_id: String,
    pub connection_name: String,
    pub platform: String,
    pub connection_type: String,
    pub data: String,
    pub created_at: i64,
}
