//! A stored connection, as everything but the queries knows it.

use uuid::Uuid;

use super::rows::ConnectionRow;
use crate::clock::time;
use crate::connections::expiry::Day;
use crate::connections::health::{Condition, HealthView};
use crate::connections::seal::Sealer;
use crate::connections::{ConnectionView, Status};
use crate::db::DbError;
use crate::platforms::verification::{Verification, VerificationStatus};
use crate::platforms::{ConnectionType, Pair, Platform};
use crate::tenancy::OrgId;
use crate::vault::Vault;

/// A connection that is there: not the tombstone of one.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) organisation: OrgId,
    pub(crate) pair: Pair,
    pub(crate) name: String,
    pub(crate) sealed: Sealed,
    pub(crate) status: Status,
    pub(crate) counts_toward_limit: bool,
    /// Grows with every change of name, settings or credentials.
    pub(crate) version: i64,
    /// When it is due to be verified in the background, if it is.
    pub(crate) verify_after: Option<i64>,
    pub(crate) verify_attempts: i64,
    pub(crate) lease_until: Option<i64>,
    pub(crate) lease_owner: Option<String>,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) last_success_at: Option<i64>,
    pub(crate) last_checked_at: Option<i64>,
    /// When it is checked in the background, and how many checks in a row have not ended well.
    pub(crate) check_after: Option<i64>,
    pub(crate) check_attempts: i64,
    /// The last day on which the key is good, and when that is next announced.
    pub(crate) expiry: Option<Day>,
    pub(crate) tell_expiry_at: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) created_by: String,
    pub(crate) created_via_service: bool,
}

/// What is kept sealed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sealed {
    pub(crate) settings: Option<Vec<u8>>,
    pub(crate) credentials: Option<Vec<u8>>,
    pub(crate) verification: Option<Vec<u8>>,
    pub(crate) health: Option<Vec<u8>>,
}

/// A stored row that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damaged {
    /// No UUID.
    #[error("the id of a stored row is none")]
    Id,
    /// No organisation.
    #[error("the organisation of a stored connection is none")]
    Organisation,
    /// Stored by a later version, perhaps.
    #[error("the platform or connection type of a stored connection is not known")]
    Kind,
}

impl From<Damaged> for DbError {
    fn from(damaged: Damaged) -> Self {
        Self::Query(diesel::result::Error::DeserializationError(Box::new(damaged)))
    }
}

impl TryFrom<ConnectionRow> for Stored {
    type Error = Damaged;

    fn try_from(row: ConnectionRow) -> Result<Self, Damaged> {
        let platform: Platform = row.platform.parse().map_err(|()| Damaged::Kind)?;
        let connection_type: ConnectionType = row.connection_type.parse().map_err(|()| Damaged::Kind)?;
        Ok(Self {
            id: row.id.parse().map_err(|_| Damaged::Id)?,
            organisation: row.organisation_id.parse().map_err(|_| Damaged::Organisation)?,
            pair: Pair::find(platform, connection_type).ok_or(Damaged::Kind)?,
            name: row.name,
            sealed: Sealed {
                settings: row.settings_sealed,
                credentials: row.credentials_sealed,
                verification: row.verification_sealed,
                health: row.health_sealed,
            },
            // A health that only a later version knows: the next verification or pull says what it is.
            status: Status::find(&row.status).unwrap_or(Status::Failing),
            counts_toward_limit: row.counts_toward_limit,
            version: row.version,
            verify_after: row.verify_after,
            verify_attempts: row.verify_attempts,
            lease_until: row.lease_until,
            lease_owner: row.lease_owner,
            last_used_at: row.last_used_at,
            last_success_at: row.last_success_at,
            last_checked_at: row.last_checked_at,
            check_after: row.check_after,
            check_attempts: row.check_attempts,
            expiry: row.credentials_expire_on.map(Day::new),
            tell_expiry_at: row.tell_expiry_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            created_by: row.created_by,
            created_via_service: row.created_via_service,
        })
    }
}

impl Stored {
    /// Seals and opens what it holds.
    pub(crate) fn sealer<'a>(&'a self, vault: &'a Vault) -> Sealer<'a> {
        Sealer::new(vault, &self.organisation, self.id, self.pair.platform())
    }

    /// What is known of its health.
    pub(crate) fn condition(&self, vault: &Vault) -> Condition {
        self.condition_after(&self.sealer(vault), || self.last_verification(vault))
    }

    /// Its last verification, if that can be opened.
    pub(crate) fn last_verification(&self, vault: &Vault) -> Option<Verification> {
        self.sealed.verification.as_deref().and_then(|blob| self.sealer(vault).open_verification(blob).ok())
    }

    fn condition_after(&self, sealer: &Sealer<'_>, last: impl FnOnce() -> Option<Verification>) -> Condition {
        let kept = self.sealed.health.as_deref().and_then(|blob| sealer.open_health(blob).ok());
        // An earlier release that runs beside this one changes the status alone.
        kept.filter(|condition| condition.status == self.status)
            .unwrap_or_else(|| Condition::inherited(self.status, last().as_ref()))
    }

    /// As it is shown. One that cannot be opened shows as `failing` and hides nothing else.
    pub(crate) fn view(&self, vault: &Vault) -> ConnectionView {
        let sealer = self.sealer(vault);
        let profile = sealer.open_profile(self.sealed.settings.as_deref());
        // Only opening finds a blob that was damaged or sealed for another row; what is opened is wiped at once.
        let readable = profile.is_ok() && sealer.open_credentials(self.sealed.credentials.as_deref()).is_ok();
        let profile = profile.unwrap_or_default();
        let last_verification = if readable {
            self.sealed.verification.as_deref().and_then(|blob| sealer.open_verification(blob).ok())
        } else {
            Some(Verification::unreadable())
        };
        let health = self.health(&sealer, readable, last_verification.as_ref());
        ConnectionView {
            id: self.id,
            name: self.name.clone(),
            platform: self.pair.platform(),
            connection_type: self.pair.connection_type(),
            settings: profile.settings,
            credentials: profile.hints,
            status: if readable { self.status } else { Status::Failing },
            counts_toward_limit: self.counts_toward_limit,
            version: self.version,
            credentials_expire_at: self.expiry.map(Day::date),
            health,
            last_verification,
            last_used_at: self.last_used_at.map(time),
            created_at: time(self.created_at),
            updated_at: time(self.updated_at),
            created_by: self.created_by.clone(),
        }
    }

    /// One that cannot be opened is failing for that reason, since nobody knows when.
    fn health(&self, sealer: &Sealer<'_>, readable: bool, last: Option<&Verification>) -> HealthView {
        let condition = if readable {
            self.condition_after(sealer, || last.cloned())
        } else {
            Condition::inherited(Status::Failing, last)
        };
        let last = last.filter(|_| readable);
        let worked = last.filter(|last| last.status == VerificationStatus::Ok);
        let either = |stored: Option<i64>, last: Option<&Verification>| {
            stored.map(time).or_else(|| last.map(|last| last.checked_at))
        };
        HealthView {
            since: condition.since,
            reason: condition.reason,
            warning: condition.warning,
            last_success_at: either(self.last_success_at, worked),
            last_checked_at: either(self.last_checked_at, last),
            next_check_at: self.verify_after.or(self.check_after).map(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> ConnectionRow {
        ConnectionRow {
            id: Uuid::from_u128(7).to_string(),
            organisation_id: "acme".to_owned(),
            name: "Demo".to_owned(),
            name_key: "demo".to_owned(),
            platform: "demo".to_owned(),
            connection_type: "admin".to_owned(),
            settings_sealed: None,
            credentials_sealed: None,
            verification_sealed: None,
            status: "active".to_owned(),
            counts_toward_limit: false,
            version: 1,
            verify_after: None,
            verify_attempts: 0,
            lease_until: None,
            last_used_at: None,
            created_at: 0,
            updated_at: 0,
            created_by: "ann".to_owned(),
            deleted_at: None,
            lease_owner: None,
            created_via_service: false,
            health_sealed: None,
            last_success_at: None,
            last_checked_at: None,
            check_after: None,
            check_attempts: 0,
            credentials_expire_on: None,
            tell_expiry_at: None,
        }
    }

    #[test]
    fn a_damaged_row_is_an_error_and_no_other_connection() {
        let damaged = |row: ConnectionRow| Stored::try_from(row).expect_err("it is damaged");
        assert_eq!(Stored::try_from(row()).expect("a connection").id, Uuid::from_u128(7));
        for id in ["", "7", "not-an-id", "00000000-0000-0000-0000-00000000000"] {
            assert_eq!(damaged(ConnectionRow { id: id.to_owned(), ..row() }), Damaged::Id, "{id}");
        }
        assert_eq!(damaged(ConnectionRow { organisation_id: String::new(), ..row() }), Damaged::Organisation);
        for (platform, connection_type) in [("of 2031", "admin"), ("demo", "of 2031"), ("voluum", "affiliate")] {
            let (platform, connection_type) = (platform.to_owned(), connection_type.to_owned());
            assert_eq!(damaged(ConnectionRow { platform, connection_type, ..row() }), Damaged::Kind);
        }
    }

    #[test]
    fn a_health_that_only_a_later_version_knows_is_no_good_one() {
        let stored = Stored::try_from(ConnectionRow { status: "of 2031".to_owned(), ..row() }).expect("a connection");
        assert_eq!(stored.status, Status::Failing);
    }
}
