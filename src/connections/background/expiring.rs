//! Keys that run out: reported once at each mark, by the replica that comes to it first.

use uuid::Uuid;

use crate::clock::now_micros;
use crate::connections::events;
use crate::connections::service::Connections;
use crate::connections::store::{self, Found, background, health};
use crate::metrics;
use crate::problem::Problem;
use crate::tenancy::OrgId;

/// How many are announced at a time.
const BATCH: i64 = 100;

impl Connections {
    /// Writes the events of keys that run out, as many as are due.
    pub(super) async fn announce_expiring(&self) {
        match self.announce_all_expiring().await {
            Ok(()) => metrics::background_worked("expiry"),
            Err(problem) => {
                tracing::warn!(
                    cause = problem.cause.as_deref(),
                    "keys that run out cannot be reported; it is tried again"
                );
            }
        }
    }

    async fn announce_all_expiring(&self) -> Result<(), Problem> {
        let now = now_micros();
        let due = self.inner.db.read(move |db| background::to_expire(db, now, BATCH)).await?;
        for (id, organisation) in due {
            let (Ok(id), Ok(organisation)) = (id.parse(), organisation.parse()) else { continue };
            self.announce_one_expiring(organisation, id).await?;
        }
        Ok(())
    }

    async fn announce_one_expiring(&self, organisation: OrgId, id: Uuid) -> Result<(), Problem> {
        let (now, learner) = (now_micros(), self.learner());
        let owner = organisation.as_str().to_owned();
        self.inner
            .db
            .write(owner, now, move |db| -> Result<(), Problem> {
                let Found::Live(stored) = store::find(db, &organisation, id)? else { return Ok(()) };
                // Another replica may have announced it, or the date may have changed.
                if stored.tell_expiry_at.is_none_or(|at| at > now) {
                    return Ok(());
                }
                let due = stored.expiry.map(|day| (day, day.due(now)));
                if let Some((day, days_left)) = due.and_then(|(day, due)| Some((day, due.days_left?))) {
                    let condition = stored.condition(&learner.vault);
                    events::append_expiring(db, &stored, &condition, (day.date(), days_left), now)?;
                }
                Ok(health::set_tell_expiry_at(db, &organisation, id, due.and_then(|(_, due)| due.next))?)
            })
            .await
    }
}
