//! What is known of a connection's health, and whether it waits to be verified. Each query takes the organisation.

use diesel::prelude::*;
use uuid::Uuid;

use crate::connections::Status;
use crate::db::schema::connections;
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// What is written of a connection's health.
#[derive(Debug)]
pub(crate) struct Learnt {
    pub(crate) status: Status,
    /// Why, since when, and what else is wrong.
    pub(crate) sealed: Vec<u8>,
    /// Whether it was just seen to work.
    pub(crate) works: bool,
    pub(crate) at: i64,
    /// When it is checked next, and how many checks in a row have not ended well.
    pub(crate) check_after: Option<i64>,
    pub(crate) check_attempts: i64,
}

/// Writes the health of a connection, in the transaction that has read it.
pub(crate) fn write(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    learnt: &Learnt,
) -> Result<(), DbError> {
    diesel::update(row(organisation, connection))
        .set((
            connections::status.eq(learnt.status.key()),
            connections::health_sealed.eq(Some(&learnt.sealed)),
            connections::last_checked_at.eq(Some(learnt.at)),
            connections::check_after.eq(learnt.check_after),
            connections::check_attempts.eq(learnt.check_attempts),
        ))
        .execute(db)?;
    if learnt.works {
        let set = connections::last_success_at.eq(Some(learnt.at));
        diesel::update(row(organisation, connection)).set(set).execute(db)?;
    }
    Ok(())
}

/// Writes when a pull through a connection last worked, and that it need not be checked for a while.
pub(crate) fn write_success(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    worked: i64,
    check_after: Option<i64>,
) -> Result<(), DbError> {
    let row = row(organisation, connection);
    // Another replica may have written a later one.
    diesel::update(row.filter(connections::last_success_at.is_null().or(connections::last_success_at.lt(worked))))
        .set((
            connections::last_success_at.eq(Some(worked)),
            connections::last_checked_at.eq(Some(worked)),
            connections::check_after.eq(check_after),
            connections::check_attempts.eq(0),
        ))
        .execute(db)?;
    Ok(())
}

/// Writes the last verification.
pub(crate) fn write_verification(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    sealed: &[u8],
) -> Result<(), DbError> {
    let set = connections::verification_sealed.eq(Some(sealed));
    diesel::update(row(organisation, connection)).set(set).execute(db)?;
    Ok(())
}

/// Takes a connection off the list of those waiting to be verified.
pub(crate) fn settle(db: &mut DbConnection, organisation: &OrgId, connection: Uuid) -> Result<(), DbError> {
    diesel::update(row(organisation, connection))
        .set((
            connections::verify_after.eq(None::<i64>),
            connections::lease_until.eq(None::<i64>),
            connections::lease_owner.eq(None::<String>),
            connections::verify_attempts.eq(0),
        ))
        .execute(db)?;
    Ok(())
}

/// Writes when a connection is checked next, where nothing was found out.
pub(crate) fn postpone(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    check_after: Option<i64>,
) -> Result<(), DbError> {
    diesel::update(row(organisation, connection)).set(connections::check_after.eq(check_after)).execute(db)?;
    Ok(())
}

/// Writes when it is next announced that a connection's key runs out.
pub(crate) fn set_tell_expiry_at(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    at: Option<i64>,
) -> Result<(), DbError> {
    diesel::update(row(organisation, connection)).set(connections::tell_expiry_at.eq(at)).execute(db)?;
    Ok(())
}

#[diesel::dsl::auto_type(no_type_alias)]
fn row<'a>(organisation: &'a OrgId, connection: Uuid) -> _ {
    let organisation: &'a str = organisation.as_str();
    let connection: String = connection.to_string();
    connections::table.filter(connections::organisation_id.eq(organisation)).filter(connections::id.eq(connection))
}
