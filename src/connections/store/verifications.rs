//! The queries about verifications. Each takes the organisation.

use diesel::prelude::*;
use uuid::Uuid;

use super::rows::VerificationRow;
use crate::db::schema::verifications;
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// How many verifications of a connection are kept.
const HISTORY: i64 = 50;

/// One entry of a connection's history.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) id: String,
    pub(crate) sealed: Vec<u8>,
}

/// Adds a verification to a connection's history and drops what is too old.
pub(crate) fn remember(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    sealed: &[u8],
    now: i64,
) -> Result<(), DbError> {
    let row = VerificationRow {
        id: Uuid::now_v7().to_string(),
        organisation_id: organisation.as_str().to_owned(),
        connection_id: connection.to_string(),
        report_sealed: sealed.to_vec(),
        created_at: now,
    };
    diesel::insert_into(verifications::table).values(&row).execute(db)?;
    let oldest: Option<String> = verifications::table
        .filter(verifications::connection_id.eq(connection.to_string()))
        .order(verifications::id.desc())
        .select(verifications::id)
        .offset(HISTORY)
        .limit(1)
        .first(db)
        .optional()?;
    if let Some(oldest) = oldest {
        diesel::delete(
            verifications::table
                .filter(verifications::connection_id.eq(connection.to_string()))
                .filter(verifications::id.le(oldest)),
        )
        .execute(db)?;
    }
    Ok(())
}

/// One page of a connection's history, newest first.
pub(crate) fn history(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<Remembered>, DbError> {
    let mut rows = verifications::table
        .filter(verifications::organisation_id.eq(organisation.as_str().to_owned()))
        .filter(verifications::connection_id.eq(connection.to_string()))
        .select((verifications::id, verifications::report_sealed))
        .order(verifications::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(after) = after {
        rows = rows.filter(verifications::id.lt(after));
    }
    let rows: Vec<(String, Vec<u8>)> = rows.load(db)?;
    Ok(rows.into_iter().map(|(id, sealed)| Remembered { id, sealed }).collect())
}
