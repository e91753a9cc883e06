//! Rows as they are stored, behind the queries.

use diesel::prelude::*;

use crate::db::schema::{connections, verifications};

/// A connection, or the tombstone of one.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = connections)]
pub(super) struct ConnectionRow {
    pub(super) id: String,
    pub(super) organisation_id: String,
    pub(super) name: String,
    pub(super) name_key: String,
    pub(super) platform: String,
    pub(super) connection_type: String,
    pub(super) settings_sealed: Option<Vec<u8>>,
    pub(super) credentials_sealed: Option<Vec<u8>>,
    pub(super) verification_sealed: Option<Vec<u8>>,
    pub(super) status: String,
    pub(super) counts_toward_limit: bool,
    pub(super) version: i64,
    pub(super) verify_after: Option<i64>,
    pub(super) verify_attempts: i64,
    pub(super) lease_until: Option<i64>,
    pub(super) last_used_at: Option<i64>,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    pub(super) created_by: String,
    pub(super) deleted_at: Option<i64>,
    pub(super) lease_owner: Option<String>,
    pub(super) created_via_service: bool,
    pub(super) health_sealed: Option<Vec<u8>>,
    pub(super) last_success_at: Option<i64>,
    pub(super) last_checked_at: Option<i64>,
    pub(super) check_after: Option<i64>,
    pub(super) check_attempts: i64,
    pub(super) credentials_expire_on: Option<i64>,
    pub(super) tell_expiry_at: Option<i64>,
}

/// One entry of a connection's verification history.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = verifications)]
pub(super) struct VerificationRow {
    pub(super) id: String,
    pub(super) organisation_id: String,
    pub(super) connection_id: String,
    pub(super) report_sealed: Vec<u8>,
    pub(super) created_at: i64,
}
