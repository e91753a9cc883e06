//! What is known of a connection's health, and whether it waits to be verified. Each query takes the organisation.

use diesel::prelude::*;
use uuid::Uuid;

use crate::connections::Status;
use crate::db::schema::connections;
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// Writes what a verification or pull taught: the health, and the verification if there was one. Does nothing, and says
/// so, if the connection changed or was deleted since `version` was read.
pub(crate) fn learn(
    db: &mut DbConnection,
    organisation: &OrgId,
    id: Uuid,
    version: i64,
    status: Option<Status>,
    verification: Option<&[u8]>,
) -> Result<bool, DbError> {
    let row = || {
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str().to_owned()))
            .filter(connections::id.eq(id.to_string()))
            .filter(connections::version.eq(version))
            .filter(connections::deleted_at.is_null())
    };
    let mut changed = 0;
    if let Some(status) = status {
        changed += diesel::update(row()).set(connections::status.eq(status.key())).execute(db)?;
    }
    if let Some(verification) = verification {
        changed += diesel::update(row()).set(connections::verification_sealed.eq(Some(verification))).execute(db)?;
    }
    Ok(changed > 0)
}

/// Takes a connection off the list of those waiting to be verified.
pub(crate) fn settle(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<(), DbError> {
    diesel::update(
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str()))
            .filter(connections::id.eq(id.to_string())),
    )
    .set((
        connections::verify_after.eq(None::<i64>),
        connections::lease_until.eq(None::<i64>),
        connections::verify_attempts.eq(0),
    ))
    .execute(db)?;
    Ok(())
}
