//! Checks: connections of which nothing has shown for long that they work.

use serde_json::json;

use crate::clock::now_micros;
use crate::connections::Actor;
use crate::connections::audit;
use crate::connections::claims::Claim;
use crate::connections::service::Connections;
use crate::connections::store::{Stored, background, health};
use crate::connections::verdict::verified;
use crate::db::DbError;
use crate::problem::Problem;

/// Who checks, in the audit trail.
const NOBODY: &str = "background";
/// How many connections are put on the list of those to be checked at a time, or taken off.
const BATCH: i64 = 100;

impl Connections {
    /// Checks a claimed connection. The audit trail hears of it only if something changes by that.
    pub(super) async fn check_claimed(
        &self,
        claim: &Claim,
        stored: Box<Stored>,
        request_id: String,
    ) -> Result<(), Problem> {
        let (id, organisation) = (stored.id, stored.organisation.clone());
        let actor = Actor {
            organisation: organisation.clone(),
            plan: None,
            subject: NOBODY.to_owned(),
            via_service: false,
            address: None,
            request_id,
        };
        let checked = self.check_stored(stored).await?;
        let (now, claim, learner) = (now_micros(), claim.clone(), self.learner());
        self.inner
            .db
            .write(claim.organisation.clone(), now, move |db| -> Result<(), Problem> {
                match checked {
                    Some((verification, lesson)) => {
                        let changes = learner.learn(db, &lesson, now)?.unwrap_or_default();
                        if !changes.is_empty() {
                            let event = verified(&verification, id, json!({ "background": true }));
                            audit::append(db, &actor, &event, now)?;
                        }
                    }
                    None => health::postpone(db, &organisation, id, learner.schedule.once_more(now))?,
                }
                Ok(background::put_back(db, &claim, None)?)
            })
            .await
    }

    /// Puts connections on the list of those to be checked that an earlier release has added: not all for the same time.
    /// Where nobody wants checks, takes them off.
    pub(super) async fn list_checks(&self) {
        let schedule = self.inner.schedule;
        let outcome = async {
            let wanted = schedule.interval().is_some();
            let found = self
                .inner
                .db
                .read(
                    move |db| {
                        if wanted { background::without_check(db, BATCH) } else { background::with_check(db, BATCH) }
                    },
                )
                .await?;
            for (id, organisation) in found {
                let now = now_micros();
                let check_after = schedule.anywhere(now);
                self.inner.db.write(organisation, now, move |db| background::put_check(db, &id, check_after)).await?;
            }
            Ok::<(), DbError>(())
        };
        if let Err(error) = outcome.await {
            tracing::warn!(error = ?error.to_string(), "connections to be checked could not be listed; it is tried again");
        }
    }
}
