//! Adding a connection: checked, verified, and saved under the plan's limit.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::Instrument;
use utoipa::ToSchema;
use uuid::Uuid;

use super::action::Action;
use super::audit::{self, Event};
use super::claims;
use super::draft::Draft;
use super::expiry::Day;
use super::health::Condition;
use super::idempotency::IdempotencyKey;
use super::seal::{Profile, Sealer};
use super::service::{Connections, name_is_taken, plan_of, to_the_end};
use super::store::{self, Sealed, Stored, verifications};
use super::wiped::Wiped;
use super::{Actor, ConnectionView, SecretHint, Status};
use crate::clock::{now_micros, time};
use crate::db::DbConnection;
use crate::platforms::Pair;
use crate::platforms::verification::Verification;
use crate::problem::{Code, Problem};
use crate::tenancy::{OrgId, Plan};

/// Demo connections do not count, but there is an end to them too.
const MAX_DEMO: u32 = 100;

impl Connections {
    /// Adds a connection.
    ///
    /// # Errors
    /// What the body, the plan, the tracker or an earlier request with the same key stands against.
    pub async fn create(
        &self,
        actor: &Actor,
        body: &Wiped,
        mode: VerifyMode,
        key: Option<String>,
    ) -> Result<Created, Problem> {
        let plan = plan_of(actor)?;
        let draft = Draft::read(body, true)?;
        let key = key.map(|key| IdempotencyKey::new(&self.inner.vault, &key, body));
        let claim = match key {
            None => None,
            Some(key) => match self.claim_key(actor, key).await? {
                Begun::Now(claim) => Some(claim),
                Begun::Earlier(id) => {
                    return Ok(Created { connection: self.get(&actor.organisation, id).await?, replayed: true });
                }
            },
        };
        let outcome = match claim {
            None => Box::pin(self.create_new(actor, plan, draft, mode, None)).await,
            Some(claim) => {
                let work = Box::pin(self.create_new(actor, plan, draft, mode, claim.key.clone()));
                let outcome = claims::held(|| claim.renew(), work).await;
                claim.end(outcome.is_ok()).await;
                outcome
            }
        };
        outcome.map(|connection| Created { connection, replayed: false })
    }

    async fn create_new(
        &self,
        actor: &Actor,
        plan: Plan,
        draft: Draft,
        mode: VerifyMode,
        key: Option<IdempotencyKey>,
    ) -> Result<ConnectionView, Problem> {
        let name = draft.name.clone().unwrap_or_default();
        let limits = Limits { plan, allowed: self.inner.options.plan_limits.limit(plan) };
        {
            // Asked early so that nobody waits for a tracker in vain; what counts is asked again below.
            let (organisation, name, pair) = (actor.organisation.clone(), name.clone(), draft.pair);
            self.inner.db.read(move |db| limits.check(db, &organisation, pair, &name)).await?;
        }
        let id = Uuid::now_v7();
        let (verification, slot) = match mode {
            VerifyMode::Deferred => (None, Some(self.inner.failures.reserve(&actor.organisation, id).await?)),
            VerifyMode::Required => {
                let verification = self.verify_draft_as(actor, id, &draft).await?;
                self.demand_ok(actor, draft.pair, &verification, None).await?;
                (Some(verification), None)
            }
        };
        let stored = self.new_connection(actor, id, &draft, name, verification.as_ref())?;
        let vault = Arc::clone(&self.inner.vault);
        let (service, owner) = (self.clone(), actor.clone());
        let (organisation, now) = (stored.organisation.as_str().to_owned(), stored.created_at);
        let save = move |db: &mut DbConnection| {
            let (pair, organisation) = (stored.pair, &stored.organisation);
            limits.check(db, organisation, pair, &stored.name)?;
            store::insert(db, &stored)?;
            if let Some(sealed) = &stored.sealed.verification {
                verifications::remember(db, organisation, id, sealed, now)?;
            }
            let (platform, connection_type) = (pair.platform(), pair.connection_type());
            let event = Event {
                action: Action::ConnectionCreated,
                outcome: "ok".to_owned(),
                connection: Some(id),
                detail: json!({
                    "platform": platform, "connection_type": connection_type, "status": stored.status,
                }),
            };
            audit::append(db, &owner, &event, now)?;
            if let Some(key) = key {
                key.keep(db, organisation, id, now)?;
            }
            Ok::<_, Problem>(stored.view(&vault))
        };
        to_the_end(async move {
            let connection = service.inner.db.write(organisation, now, save).await?;
            // Otherwise the first pull could be forgotten as one of before a change that is only noticed later.
            service.announce_change(id, connection.version).await;
            if let Some(slot) = slot {
                slot.leave();
                service.inner.work.notify_one();
            }
            Ok(connection)
        })
        .await
    }

    fn new_connection(
        &self,
        actor: &Actor,
        id: Uuid,
        draft: &Draft,
        name: String,
        verification: Option<&Verification>,
    ) -> Result<Stored, Problem> {
        let platform = draft.pair.platform();
        let sealer = Sealer::new(&self.inner.vault, &actor.organisation, id, platform);
        let hints = draft
            .credentials
            .iter()
            .map(|(key, secret)| (key.clone(), SecretHint::of(secret.expose_secret())))
            .collect();
        let profile = Profile { settings: draft.settings.clone(), hints };
        let now = now_micros();
        let status = verification.map_or(Status::Unverified, |_| Status::Active);
        Ok(Stored {
            id,
            organisation: actor.organisation.clone(),
            pair: draft.pair,
            name,
            sealed: Sealed {
                health: Some(sealer.seal_health(&Condition::new(status, time(now))).map_err(Problem::internal)?),
                settings: Some(sealer.seal_profile(&profile).map_err(Problem::internal)?),
                credentials: Some(sealer.seal_credentials(&draft.credentials).map_err(Problem::internal)?),
                verification: verification
                    .map(|verification| sealer.seal_verification(verification).map_err(Problem::internal))
                    .transpose()?,
            },
            status,
            counts_toward_limit: platform.counts_toward_limit(),
            version: 1,
            verify_after: verification.is_none().then_some(now),
            verify_attempts: 0,
            lease_until: None,
            lease_owner: None,
            last_used_at: None,
            last_success_at: verification.map(|_| now),
            last_checked_at: verification.map(|_| now),
            check_after: verification.and_then(|_| self.inner.schedule.after_success(now)),
            check_attempts: 0,
            expiry: draft.expiry,
            tell_expiry_at: draft.expiry.map(Day::first_announcement),
            created_at: now,
            updated_at: now,
            created_by: actor.subject.clone(),
            created_via_service: actor.via_service,
        })
    }

    /// Claims an `Idempotency-Key` for this request, unless an earlier one has made a connection under it.
    async fn claim_key(&self, actor: &Actor, key: IdempotencyKey) -> Result<Begun, Problem> {
        let (service, actor) = (self.clone(), actor.clone());
        // Where the caller leaves meanwhile, the claim frees its key as soon as there is one.
        to_the_end(async move {
            Ok(match service.begin(&actor, &key).await? {
                Some(earlier) => Begun::Earlier(earlier),
                None => Begun::Now(Claim { service, actor, key: Some(key) }),
            })
        })
        .await
    }

    async fn begin(&self, actor: &Actor, key: &IdempotencyKey) -> Result<Option<Uuid>, Problem> {
        let vault = Arc::clone(&self.inner.vault);
        let (organisation, key) = (actor.organisation.clone(), key.clone());
        let now = now_micros();
        self.inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| key.begin(db, &vault, &organisation, now))
            .await
    }

    async fn release(self, actor: Actor, key: IdempotencyKey) {
        let organisation = actor.organisation.clone();
        let outcome = self
            .inner
            .db
            .write(actor.organisation.as_str().to_owned(), now_micros(), move |db| key.release(db, &organisation))
            .await;
        if let Err(problem) = outcome {
            // The lease frees the key some seconds later.
            tracing::warn!(cause = problem.cause.as_deref(), "an idempotency key could not be released");
        }
    }
}

/// How long an answer waits for its key to be free again. That happens anyway.
const RELEASING: Duration = Duration::from_secs(1);

/// What came of claiming an `Idempotency-Key`.
enum Begun {
    /// It is this request's.
    Now(Claim),
    /// An earlier request made this connection under it.
    Earlier(Uuid),
}

/// An `Idempotency-Key` that is this request's. However that ends, the key is free again unless it made a connection.
struct Claim {
    service: Connections,
    actor: Actor,
    key: Option<IdempotencyKey>,
}

impl Claim {
    async fn end(mut self, made_a_connection: bool) {
        if made_a_connection {
            self.key = None;
        } else if let Some(releasing) = self.release() {
            let _ = tokio::time::timeout(RELEASING, releasing).await;
        }
    }

    /// Has the key stay this request's for some more seconds.
    async fn renew(&self) {
        let (Some(key), organisation) = (self.key.clone(), self.actor.organisation.clone()) else { return };
        let db = &self.service.inner.db;
        let owner = organisation.as_str().to_owned();
        if let Err(error) = db.write(owner, now_micros(), move |db| key.renew(db, &organisation)).await {
            tracing::warn!(error = ?error.to_string(), "an idempotency key could not be renewed; it is tried again");
        }
    }

    /// Frees the key, in a task of its own: the caller may have left.
    fn release(&mut self) -> Option<JoinHandle<()>> {
        let (key, runtime) = (self.key.take()?, Handle::try_current().ok()?);
        Some(runtime.spawn(self.service.clone().release(self.actor.clone(), key).in_current_span()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        drop(self.release());
    }
}

/// When a new connection is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum VerifyMode {
    /// Before it is saved.
    Required,
    /// After it is saved, in the background.
    Deferred,
}

/// A created connection.
pub struct Created {
    /// The connection.
    pub connection: ConnectionView,
    /// Whether an earlier request with the same key had created it.
    pub replayed: bool,
}

/// The plan takes no further connection.
pub fn limit_reached(plan: Plan, used: u32, limit: u32) -> Problem {
    let detail = format!("The organisation has {used} of at most {limit} connections.");
    Problem::new(Code::ConnectionLimitReached, detail)
        .hint("Delete a connection or move to a larger plan.")
        .with("plan", plan)
        .with("limit", limit)
        .with("used", used)
}

/// How many connections an organisation may have.
#[derive(Clone, Copy)]
struct Limits {
    plan: Plan,
    allowed: u32,
}

impl Limits {
    /// Whether one more connection may be added under this name.
    fn check(&self, db: &mut DbConnection, organisation: &OrgId, pair: Pair, name: &str) -> Result<(), Problem> {
        let (used, demo) = store::count(db, organisation)?;
        let (used, limit) = if pair.platform().counts_toward_limit() { (used, self.allowed) } else { (demo, MAX_DEMO) };
        if used >= limit {
            return Err(limit_reached(self.plan, used, limit));
        }
        if store::name_taken(db, organisation, name, None)? {
            return Err(name_is_taken());
        }
        Ok(())
    }
}
