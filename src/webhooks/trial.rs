//! Test events: sent at once, to see whether a receiver takes them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::edit::unreadable;
use super::queue;
use super::seal::Sealer;
use super::sending::{self, Attempt, Letter};
use super::service::{Webhooks, known};
use super::store;
use super::view::{DeliveryOutcome, TestView};
use super::wanted::TEST;
use crate::clock::{millis, now_micros};
use crate::connections::Actor;
use crate::connections::action::Action;
use crate::connections::audit::{self, Event};
use crate::connections::service::to_the_end;
use crate::problem::{Code, Problem};
use crate::tenancy::OrgId;

/// Tests of one organisation at the same time: what a receiver is slow to take is not to be multiplied.
const AT_ONCE_OF_ONE: usize = 4;

impl Webhooks {
    /// Sends a test event to a webhook, turned on or not. A receiver that takes it counts as being back.
    ///
    /// # Errors
    /// Unknown to this organisation, an address or a secret that cannot be read, or too many tests at the same time.
    pub async fn test(&self, actor: &Actor, id: Uuid) -> Result<TestView, Problem> {
        let organisation = actor.organisation.clone();
        let row = self.inner.db.read(move |db| known(db, &organisation, id)).await?;
        let permit = TestPermit::take(self, &actor.organisation)?;
        let sealer = Sealer::of(&self.inner.vault, &row);
        let event = Uuid::now_v7().to_string();
        let letter = Letter {
            url: sealer.open_url(&row.url_sealed).map_err(|error| unreadable(&error))?,
            secrets: sealer.secrets_at(&row, now_micros()).map_err(|error| unreadable(&error))?,
            body: body(&event),
            event: event.clone(),
        };
        let (service, owner) = (self.clone(), actor.clone());
        to_the_end(async move {
            let attempt = sending::send(&service.inner.transport, letter, service.inner.options.timeout).await;
            drop(permit);
            service.remember_test(owner, id, event, attempt).await
        })
        .await
    }

    async fn remember_test(
        &self,
        actor: Actor,
        id: Uuid,
        event: String,
        attempt: Attempt,
    ) -> Result<TestView, Problem> {
        let now = now_micros();
        let is_delivered = attempt.is_delivered();
        let shown = TestView {
            delivered: is_delivered,
            status: attempt.status,
            duration_ms: millis(attempt.took),
            error: attempt.error.clone(),
        };
        self.inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| -> Result<(), Problem> {
                // Deleted meanwhile: then there is nothing to be remembered.
                let Some(row) = store::find(db, &actor.organisation, id)? else { return Ok(()) };
                let outcome = if is_delivered { DeliveryOutcome::Delivered } else { DeliveryOutcome::Failed };
                store::remember(db, &attempt.row(&row.id, (&event, TEST), 1, outcome, now))?;
                if is_delivered && row.failures > 0 {
                    queue::recover(db, &row, now)?;
                }
                let event = Event {
                    action: Action::WebhookTested,
                    outcome: if is_delivered { "ok" } else { "failed" }.to_owned(),
                    connection: None,
                    detail: json!({ "webhook_id": row.id, "status": attempt.status }),
                };
                Ok(audit::append(db, &actor, &event, now)?)
            })
            .await?;
        self.inner.work.notify_one();
        Ok(shown)
    }
}

/// A test event has the members of every event, and nothing in them: it is of no connection, and in no feed.
fn body(id: &str) -> Bytes {
    let event = json!({
        "id": id, "sequence": null, "type": TEST, "created_at": Timestamp::now(), "connection": null,
        "data": { "status": null, "reason": null, "since": null, "automations": [] },
    });
    event.to_string().into()
}

/// Counts a test that is being sent, until it is dropped.
struct TestPermit {
    webhooks: Arc<super::service::Inner>,
    organisation: OrgId,
}

impl TestPermit {
    fn take(webhooks: &Webhooks, organisation: &OrgId) -> Result<Self, Problem> {
        let mut trials = webhooks.inner.trials.lock();
        let taken = trials.entry(organisation.clone()).or_default();
        if *taken >= AT_ONCE_OF_ONE {
            let detail = format!("The organisation may send {AT_ONCE_OF_ONE} tests at the same time.");
            return Err(Problem::new(Code::RateLimited, detail)
                .retry_after(Duration::from_secs(1))
                .with("limit", AT_ONCE_OF_ONE));
        }
        *taken += 1;
        Ok(Self { webhooks: Arc::clone(&webhooks.inner), organisation: organisation.clone() })
    }
}

impl Drop for TestPermit {
    fn drop(&mut self) {
        let mut trials = self.webhooks.trials.lock();
        if let Some(taken) = trials.get_mut(&self.organisation) {
            *taken -= 1;
            if *taken == 0 {
                trials.remove(&self.organisation);
            }
        }
    }
}
