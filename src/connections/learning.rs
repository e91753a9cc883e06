//! What a verification or a pull has found out about a stored connection, written down in one transaction, with the events
//! of what changed by that.

use std::sync::Arc;

use uuid::Uuid;

use super::events;
use super::health::{Change, Finding, Moment, Source};
use super::schedule::Schedule;
use super::store::{self, Found, Stored, health, verifications};
use crate::clock::time;
use crate::db::DbConnection;
use crate::platforms::verification::Verification;
use crate::problem::Problem;
use crate::tenancy::OrgId;
use crate::vault::Vault;

/// Something that was found out.
#[derive(Debug, Clone)]
pub(super) struct Lesson {
    pub(super) organisation: OrgId,
    pub(super) connection: Uuid,
    /// The version that was tried.
    pub(super) version: i64,
    pub(super) finding: Finding,
    pub(super) source: Source,
    /// The verification, if it was one.
    pub(super) verified: Option<Verified>,
}

/// A verification, ready to be written.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    pub(super) verification: Verification,
    pub(super) sealed: Vec<u8>,
    /// Whether it says yes or no, so that the background need not ask again.
    pub(super) is_conclusive: bool,
}

/// What it takes to write lessons down.
#[derive(Clone)]
pub(super) struct Learner {
    pub(super) vault: Arc<Vault>,
    pub(super) schedule: Schedule,
}

impl Learner {
    /// The time, as far as a connection's health goes by it.
    pub(super) fn moment(&self, stored: &Stored, now: i64) -> Moment {
        let interval = self.schedule.interval();
        Moment { now: time(now), interval, last_success: stored.last_success_at.map(time) }
    }

    /// Writes a lesson, and returns what changed by it. `None` if nothing was written, because the connection was changed
    /// or deleted since it was tried.
    pub(super) fn learn(
        &self,
        db: &mut DbConnection,
        lesson: &Lesson,
        now: i64,
    ) -> Result<Option<Vec<Change>>, Problem> {
        let Lesson { organisation, connection, version, finding, source, verified } = lesson;
        let Found::Live(stored) = store::find(db, organisation, *connection)? else { return Ok(None) };
        if stored.version != *version {
            return Ok(None);
        }
        let mut condition = stored.condition(&self.vault);
        let changes = condition.learn(finding, *source, self.moment(&stored, now));
        let works = *finding == Finding::Works;
        let check_attempts = if works { 0 } else { stored.check_attempts + 1 };
        // A deferred verification goes on by itself until it knows.
        let is_deferred = stored.verify_after.is_some() && matches!(finding, Finding::Unknown(_));
        let check_after = self.schedule.after(finding, &condition, check_attempts, now).filter(|_| !is_deferred);
        let learnt = health::Learnt {
            status: condition.status,
            sealed: stored.sealer(&self.vault).seal_health(&condition).map_err(Problem::internal)?,
            works,
            at: now,
            check_after,
            check_attempts,
        };
        health::write(db, organisation, *connection, &learnt)?;
        if let Some(verified) = verified {
            self.write_verification(db, &stored, verified, *source, now)?;
        }
        for change in &changes {
            events::append(db, &*stored, &condition, (*change).into(), now)?;
        }
        Ok(Some(changes))
    }

    fn write_verification(
        &self,
        db: &mut DbConnection,
        stored: &Stored,
        verified: &Verified,
        source: Source,
        now: i64,
    ) -> Result<(), Problem> {
        let Verified { verification, sealed, is_conclusive } = verified;
        // The history is of what somebody asked for, and of what changed: checks that find the same again are none.
        let is_remembered = source != Source::Background || {
            let last = stored.last_verification(&self.vault);
            let outcome = |it: &Verification| (it.status, it.failure.as_ref().map(|failure| failure.code));
            last.as_ref().map(outcome) != Some(outcome(verification))
        };
        health::write_verification(db, &stored.organisation, stored.id, sealed)?;
        if is_remembered {
            verifications::remember(db, &stored.organisation, stored.id, sealed, now)?;
        }
        if *is_conclusive {
            health::settle(db, &stored.organisation, stored.id)?;
        }
        Ok(())
    }
}
