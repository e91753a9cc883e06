//! Deferred verifications: connections that were saved first and are verified in the background, as soon as can be.

use serde_json::json;

use crate::clock::now_micros;
use crate::connections::Actor;
use crate::connections::audit;
use crate::connections::claims::Claim;
use crate::connections::service::Connections;
use crate::connections::store::{Stored, background};
use crate::connections::verdict::verified;
use crate::platforms::verification::VerificationStatus;
use crate::problem::Problem;

/// The first repetition of an inconclusive verification comes after this many microseconds; each later one after
/// twice as long, up to an hour.
const FIRST_REPEAT: i64 = 5 * 1_000_000;
const LAST_REPEAT: i64 = 3_600 * 1_000_000;

impl Connections {
    pub(super) async fn verify_claimed(
        &self,
        claim: &Claim,
        stored: Box<Stored>,
        attempts: i64,
        request_id: String,
    ) -> Result<(), Problem> {
        let id = stored.id;
        let actor = Actor {
            organisation: stored.organisation.clone(),
            plan: None,
            subject: stored.created_by.clone(),
            via_service: stored.created_via_service,
            address: None,
            request_id,
        };
        let (verification, lesson) = self.verify_stored(stored, None).await?;
        if verification.status == VerificationStatus::Ok {
            self.inner.failures.forgive(&actor.organisation, id);
        }
        let event = verified(&verification, id, json!({ "deferred": true }));
        let (now, claim, learner) = (now_micros(), claim.clone(), self.learner());
        self.inner
            .db
            .write(claim.organisation.clone(), now, move |db| -> Result<(), Problem> {
                if learner.learn(db, &lesson, now)?.is_none() {
                    // Renamed meanwhile, perhaps: what is there now is still to be verified.
                    return Ok(background::put_back(db, &claim, None)?);
                }
                audit::append(db, &actor, &event, now)?;
                if verification.status == VerificationStatus::Inconclusive {
                    background::put_back(db, &claim, Some(next_attempt(now, attempts)))?;
                }
                Ok(())
            })
            .await
    }
}

/// When an attempt that showed nothing is repeated.
pub(super) fn next_attempt(now: i64, attempts: i64) -> i64 {
    let doubled = FIRST_REPEAT.saturating_mul(1_i64 << attempts.saturating_sub(1).clamp(0, 20));
    now + doubled.min(LAST_REPEAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_come_less_and_less_often() {
        let waits: Vec<i64> = [1, 2, 3, 30].map(|attempts| next_attempt(0, attempts)).into();
        assert_eq!(waits, [FIRST_REPEAT, 2 * FIRST_REPEAT, 4 * FIRST_REPEAT, LAST_REPEAT]);
    }
}
