//! What a user does with connections.
//!
//! Verification always stays outside a transaction; what it found out is saved in a transaction of its own, and only
//! if the connection did not change meanwhile.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use super::draft::{Draft, Patch};
use super::failures::FailureMeter;
use super::idempotency::IdempotencyKey;
use super::stats::Stats;
use super::store::{self, Event, Found, ListQuery, Profile, Sealer, SortColumn};
use super::uses::Uses;
use super::{
    Actor, AuditEventView, AutomationView, ConnectionView, Page, SecretHint, Status, Usage, cursor, now_micros, time,
};
use crate::db::models::ConnectionRow;
use crate::db::schema::connections;
use crate::db::{Db, DbConnection, DbError};
use crate::platforms::transport::{CallScope, Purpose};
use crate::platforms::verification::{self, Verification, VerificationStatus};
use crate::platforms::{self, Account, Client, Pair, Platforms, Settings};
use crate::problem::{Code, FieldProblem, Problem};
use crate::tenancy::{OrgId, Plan, PlanLimits};
use crate::vault::{Vault, VaultError};

/// Demo connections do not count, but there is an end to them too.
const MAX_DEMO: u32 = 100;

/// What the service is configured with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections by plan.
    pub plan_limits: PlanLimits,
    /// Failed verifications a minute and organisation; 0 for no limit.
    pub verify_failures_per_minute: u32,
    /// How long audit events are kept; for ever, if `None`.
    pub audit_retention: Option<Duration>,
    /// How statistics are pulled.
    pub stats: super::stats::Options,
}

/// Connections and everything that hangs on them.
#[derive(Clone)]
pub struct Connections {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) db: Db,
    pub(super) vault: Arc<Vault>,
    pub(super) platforms: Platforms,
    pub(super) options: Options,
    pub(super) stats: Stats,
    pub(super) uses: Uses,
    pub(super) work: Notify,
    failures: FailureMeter,
}

/// When a new connection is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A connection opened for calls.
pub(super) struct Opened {
    pub(super) row: Box<ConnectionRow>,
    pub(super) client: Client,
}

impl Connections {
    /// Puts the service together.
    #[must_use]
    pub fn new(db: Db, vault: Arc<Vault>, platforms: Platforms, options: Options) -> Self {
        let stats = Stats::new();
        let failures = FailureMeter::new(options.verify_failures_per_minute);
        let inner =
            Inner { db, vault, platforms, options, stats, uses: Uses::default(), work: Notify::new(), failures };
        Self { inner: Arc::new(inner) }
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// What the body, the plan, the tracker or an earlier request with the same key stands against.
    pub async fn create(
        &self,
        actor: &Actor,
        body: &Value,
        mode: VerifyMode,
        key: Option<String>,
    ) -> Result<Created, Problem> {
        let plan = plan_of(actor)?;
        let draft = Draft::read(body, true)?;
        let key = key.map(|key| IdempotencyKey::new(&self.inner.vault, &key, body));
        if let Some(key) = &key
            && let Some(earlier) = self.begin(actor, key).await?
        {
            return Ok(Created { connection: self.get(&actor.organisation, earlier).await?, replayed: true });
        }
        let outcome = self.create_new(actor, plan, draft, mode, key.clone()).await;
        if let (Err(_), Some(key)) = (&outcome, key) {
            self.release(actor, key).await;
        }
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
        let verification = match mode {
            VerifyMode::Deferred => None,
            VerifyMode::Required => {
                let verification = self.verify_draft_as(actor, id, &draft).await?;
                must_be_ok(&verification)?;
                Some(verification)
            }
        };
        let row = self.new_row(actor, id, &draft, name, verification.as_ref())?;
        let vault = Arc::clone(&self.inner.vault);
        let owner = actor.clone();
        let now = row.created_at;
        let connection = self
            .inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| {
                limits.check(db, &owner.organisation, draft.pair, &row.name)?;
                diesel::insert_into(connections::table).values(&row).execute(db)?;
                if let Some(sealed) = &row.verification_sealed {
                    store::remember_verification(db, &owner.organisation, id, sealed, now)?;
                }
                let event = Event {
                    action: "connection.created",
                    outcome: "ok".to_owned(),
                    connection: Some(id),
                    detail: json!({ "platform": row.platform, "connection_type": row.connection_type, "status": row.status }),
                };
                store::audit(db, &owner, &event, now)?;
                if let Some(key) = key {
                    key.keep(db, &owner.organisation, id, now)?;
                }
                store::view(&vault, &owner.organisation, &row).ok_or_else(|| Problem::internal(store::UnknownKind))
            })
            .await?;
        if mode == VerifyMode::Deferred {
            self.inner.work.notify_one();
        }
        Ok(connection)
    }

    fn new_row(
        &self,
        actor: &Actor,
        id: Uuid,
        draft: &Draft,
        name: String,
        verification: Option<&Verification>,
    ) -> Result<ConnectionRow, Problem> {
        let platform = draft.pair.platform();
        let sealer = Sealer::new(&self.inner.vault, &actor.organisation, id, platform);
        let hints = draft
            .credentials
            .iter()
            .map(|(key, secret)| (key.clone(), SecretHint::of(secret.expose_secret())))
            .collect();
        let profile = Profile { settings: draft.settings.clone(), hints };
        let now = now_micros();
        Ok(ConnectionRow {
            id: id.to_string(),
            organisation_id: actor.organisation.as_str().to_owned(),
            name_key: store::name_key(&name),
            name,
            platform: platform.key().to_owned(),
            connection_type: draft.pair.connection_type().key().to_owned(),
            settings_sealed: Some(sealer.seal_profile(&profile).map_err(Problem::internal)?),
            credentials_sealed: Some(sealer.seal_credentials(&draft.credentials).map_err(Problem::internal)?),
            verification_sealed: verification
                .map(|verification| sealer.seal_verification(verification).map_err(Problem::internal))
                .transpose()?,
            status: verification.map_or(Status::Unverified, |_| Status::Active).key().to_owned(),
            counts_toward_limit: platform.counts_toward_limit(),
            version: 1,
            verify_after: verification.is_none().then_some(now),
            verify_attempts: 0,
            lease_until: None,
            last_used_at: None,
            created_at: now,
            updated_at: now,
            created_by: actor.subject.clone(),
            deleted_at: None,
        })
    }

    /// Verifies what was posted without saving anything.
    ///
    /// # Errors
    /// A body that cannot be a connection. What the tracker says is in the verification.
    pub async fn verify_draft(&self, actor: &Actor, body: &Value) -> Result<Verification, Problem> {
        let draft = Draft::read(body, false)?;
        let verification = self.verify_draft_as(actor, Uuid::now_v7(), &draft).await?;
        let event = Event {
            action: "credentials.verified",
            outcome: outcome_of(&verification),
            connection: None,
            detail: json!({ "platform": draft.pair.platform(), "connection_type": draft.pair.connection_type() }),
        };
        self.audit(actor, event).await?;
        Ok(verification)
    }

    async fn verify_draft_as(&self, actor: &Actor, id: Uuid, draft: &Draft) -> Result<Verification, Problem> {
        self.inner.failures.check(&actor.organisation)?;
        let account = Account {
            connection: id,
            settings: draft.settings.clone(),
            credentials: draft.credentials.clone(),
            detected: verification::Detected::default(),
        };
        let verification = self.verify_account(&actor.organisation, draft.pair, account).await?;
        self.inner.failures.count(&actor.organisation, &verification);
        Ok(verification)
    }

    /// What clients are opened with, so that an organisation's calls take their turns beside those of others.
    fn platforms_for(&self, organisation: &OrgId) -> Platforms {
        let mut hasher = DefaultHasher::new();
        organisation.as_str().hash(&mut hasher);
        self.inner.platforms.on_behalf_of(hasher.finish())
    }

    async fn verify_account(
        &self,
        organisation: &OrgId,
        pair: Pair,
        account: Account,
    ) -> Result<Verification, Problem> {
        let scope = CallScope {
            purpose: Purpose::Verify,
            deadline: Instant::now() + verification::VERIFICATION_DEADLINE,
            max_calls: 100,
        };
        let client = platforms::open(pair, account, &self.platforms_for(organisation), scope).map_err(Problem::from)?;
        Ok(verification::verify(&client).await)
    }

    /// One page of the organisation's connections.
    ///
    /// # Errors
    /// A cursor of another query, or a failing database.
    pub async fn list(
        &self,
        organisation: &OrgId,
        mut query: ListQuery,
        cursor: Option<&str>,
    ) -> Result<Page<ConnectionView>, Problem> {
        let of = cursor::fingerprint(&[
            organisation.as_str(),
            "connections",
            &format!("{:?}", (query.platform, query.connection_type, query.status, &query.name_contains)),
            &format!("{:?} {}", query.sort, query.descending),
        ]);
        query.after = cursor.map(|cursor| cursor::decode(&of, cursor)).transpose()?;
        if query.after.as_ref().is_some_and(|(value, _)| !query.sort.can_hold(value)) {
            return Err(cursor::damaged());
        }
        let limit = query.limit;
        query.limit += 1;
        let sort = query.sort;
        let owner = organisation.clone();
        let rows = self.inner.db.read(move |db| store::list(db, &owner, &query)).await.map_err(Problem::from)?;
        Ok(page(rows, limit, |row| cursor::encode(&of, store::place_of(row, sort)))
            .map(|row| store::view(&self.inner.vault, organisation, row)))
    }

    /// One connection.
    ///
    /// # Errors
    /// Unknown to this organisation, or deleted.
    pub async fn get(&self, organisation: &OrgId, id: Uuid) -> Result<ConnectionView, Problem> {
        let row = self.live(organisation, id).await?;
        store::view(&self.inner.vault, organisation, &row).ok_or_else(|| Problem::internal(store::UnknownKind))
    }

    pub(super) async fn live(&self, organisation: &OrgId, id: Uuid) -> Result<Box<ConnectionRow>, Problem> {
        let owner = organisation.clone();
        self.inner.db.read(move |db| live_row(db, &owner, id)).await
    }

    /// Changes name, settings or secrets.
    ///
    /// # Errors
    /// A version that is not the current one, wrong fields, missing secrets, or what the tracker says of the new ones.
    pub async fn update(
        &self,
        actor: &Actor,
        id: Uuid,
        body: &Value,
        if_match: Option<&IfMatch>,
    ) -> Result<ConnectionView, Problem> {
        let row = self.live(&actor.organisation, id).await?;
        if let Some(if_match) = if_match {
            if_match.check(row.version)?;
        }
        let (platform, _, pair) = store::kind(&row).map_err(Problem::internal)?;
        let sealer = Sealer::new(&self.inner.vault, &actor.organisation, id, platform);
        let profile = sealer.open_profile(row.settings_sealed.as_deref()).unwrap_or_default();
        let known: Vec<String> = profile.hints.keys().cloned().collect();
        let patch = Patch::read(body, pair, &profile.settings, &known)?;

        let settings = patch.settings.clone().unwrap_or_else(|| profile.settings.clone());
        let touches_secrets = !patch.credentials.is_empty() || !patch.removed.is_empty();
        let change = if settings == profile.settings && !touches_secrets {
            None
        } else {
            self.demand_secrets(pair, &profile, &settings, &patch)?;
            Some(self.verified_change(actor, id, pair, &row, profile, settings, &patch).await?)
        };
        let renamed = patch.name.filter(|name| *name != row.name);
        if change.is_none() && renamed.is_none() {
            return store::view(&self.inner.vault, &actor.organisation, &row)
                .ok_or_else(|| Problem::internal(store::UnknownKind));
        }
        let invalidates = change.is_some();
        let connection = self.save_change(actor, id, row, renamed, change, if_match.cloned()).await?;
        self.inner.stats.forget(id);
        if invalidates {
            self.inner.db.scrub().await;
        }
        Ok(connection)
    }

    /// A stored key never goes to a host it was not saved for.
    fn demand_secrets(&self, pair: Pair, profile: &Profile, settings: &Settings, patch: &Patch) -> Result<(), Problem> {
        let gateways = &self.inner.platforms.gateways;
        if platforms::origin(pair, &profile.settings, gateways) == platforms::origin(pair, settings, gateways) {
            return Ok(());
        }
        let missing: Vec<FieldProblem> = profile
            .hints
            .keys()
            .filter(|key| !patch.credentials.contains_key(*key) && !patch.removed.contains(key))
            .map(|key| {
                let detail = "Enter this secret again: the change moves the connection to another host.";
                FieldProblem::new(format!("/credentials/{key}"), "required", detail)
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut problem = Problem::new(
            Code::SecretRequired,
            "The change moves the connection to another host, so its secrets must be sent again.",
        );
        problem.errors = missing;
        Err(problem)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `update`, split off to keep that readable")]
    async fn verified_change(
        &self,
        actor: &Actor,
        id: Uuid,
        pair: Pair,
        row: &ConnectionRow,
        profile: Profile,
        settings: Settings,
        patch: &Patch,
    ) -> Result<Change, Problem> {
        self.inner.failures.check(&actor.organisation)?;
        let sealer = Sealer::new(&self.inner.vault, &actor.organisation, id, pair.platform());
        // Where every secret is replaced, the old ones need not be readable any more.
        let mut credentials = match sealer.open_credentials(row.credentials_sealed.as_deref()) {
            Ok(credentials) => credentials,
            Err(_) if profile.hints.keys().all(|key| patch.credentials.contains_key(key)) => Default::default(),
            Err(error) => return Err(unreadable(&error)),
        };
        let Profile { settings: stored_settings, mut hints } = profile;
        for key in &patch.removed {
            credentials.remove(key);
            hints.remove(key);
        }
        for (key, secret) in &patch.credentials {
            hints.insert(key.clone(), SecretHint::of(secret.expose_secret()));
            credentials.insert(key.clone(), secret.clone());
        }
        let account = Account {
            connection: id,
            settings: settings.clone(),
            credentials: credentials.clone(),
            detected: verification::Detected::default(),
        };
        let verification = self.verify_account(&actor.organisation, pair, account).await?;
        self.inner.failures.count(&actor.organisation, &verification);
        must_be_ok(&verification)?;
        let moved = (settings != stored_settings).then(|| "settings".to_owned());
        let fields = moved.into_iter().chain(patch.credentials.keys().chain(&patch.removed).cloned()).collect();
        Ok(Change {
            settings: sealer.seal_profile(&Profile { settings, hints }).map_err(Problem::internal)?,
            credentials: sealer.seal_credentials(&credentials).map_err(Problem::internal)?,
            verification: sealer.seal_verification(&verification).map_err(Problem::internal)?,
            fields,
        })
    }

    async fn save_change(
        &self,
        actor: &Actor,
        id: Uuid,
        seen: Box<ConnectionRow>,
        renamed: Option<String>,
        change: Option<Change>,
        if_match: Option<IfMatch>,
    ) -> Result<ConnectionView, Problem> {
        let vault = Arc::clone(&self.inner.vault);
        let owner = actor.clone();
        let now = now_micros();
        self.inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| {
                let mut row = live_row(db, &owner.organisation, id)?;
                if let Some(if_match) = &if_match {
                    if_match.check(row.version)?;
                }
                // What was verified is only saved over what it was verified against.
                if change.is_some() && row.version != seen.version {
                    return Err(version_conflict());
                }
                let mut fields = change.as_ref().map(|change| change.fields.clone()).unwrap_or_default();
                if let Some(name) = renamed {
                    if store::name_taken(db, &owner.organisation, &name, Some(id))? {
                        return Err(name_is_taken());
                    }
                    row.name_key = store::name_key(&name);
                    row.name = name;
                    fields.insert(0, "name".to_owned());
                }
                if let Some(change) = change {
                    store::remember_verification(db, &owner.organisation, id, &change.verification, now)?;
                    row.settings_sealed = Some(change.settings);
                    row.credentials_sealed = Some(change.credentials);
                    row.verification_sealed = Some(change.verification);
                    row.status = Status::Active.key().to_owned();
                    row.verify_after = None;
                    row.lease_until = None;
                }
                row.version += 1;
                row.updated_at = now;
                diesel::update(
                    connections::table
                        .filter(connections::organisation_id.eq(owner.organisation.as_str()))
                        .filter(connections::id.eq(id.to_string())),
                )
                .set((
                    connections::name.eq(&row.name),
                    connections::name_key.eq(&row.name_key),
                    connections::settings_sealed.eq(&row.settings_sealed),
                    connections::credentials_sealed.eq(&row.credentials_sealed),
                    connections::verification_sealed.eq(&row.verification_sealed),
                    connections::status.eq(&row.status),
                    connections::verify_after.eq(row.verify_after),
                    connections::lease_until.eq(row.lease_until),
                    connections::version.eq(row.version),
                    connections::updated_at.eq(row.updated_at),
                ))
                .execute(db)?;
                let event = Event {
                    action: "connection.updated",
                    outcome: "ok".to_owned(),
                    connection: Some(id),
                    detail: json!({ "fields": fields }),
                };
                store::audit(db, &owner, &event, now)?;
                store::view(&vault, &owner.organisation, &row).ok_or_else(|| Problem::internal(store::UnknownKind))
            })
            .await
    }

    /// Deletes a connection and destroys its secrets. Deleting it again changes nothing.
    ///
    /// # Errors
    /// Unknown to this organisation, or a version that is not the current one.
    pub async fn delete(&self, actor: &Actor, id: Uuid, if_match: Option<IfMatch>) -> Result<(), Problem> {
        let owner = actor.clone();
        let now = now_micros();
        let buried = self
            .inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| -> Result<bool, Problem> {
                let row = match store::find(db, &owner.organisation, id)? {
                    Found::Live(row) => row,
                    Found::Deleted => return Ok(false),
                    Found::Nothing => return Err(Problem::no_connection()),
                };
                if let Some(if_match) = if_match {
                    if_match.check(row.version)?;
                }
                store::bury(db, &owner.organisation, id, now)?;
                let event = Event {
                    action: "connection.deleted",
                    outcome: "ok".to_owned(),
                    connection: Some(id),
                    detail: json!({ "platform": row.platform, "connection_type": row.connection_type }),
                };
                store::audit(db, &owner, &event, now)?;
                Ok(true)
            })
            .await?;
        self.inner.stats.forget(id);
        if buried {
            self.inner.db.scrub().await;
        }
        Ok(())
    }

    /// Verifies a saved connection again, now.
    ///
    /// # Errors
    /// Unknown or deleted, or too many failures lately. What the tracker says is in the verification.
    pub async fn verify(&self, actor: &Actor, id: Uuid) -> Result<Verification, Problem> {
        self.inner.failures.check(&actor.organisation)?;
        let scope = CallScope {
            purpose: Purpose::Verify,
            deadline: Instant::now() + verification::VERIFICATION_DEADLINE,
            max_calls: 100,
        };
        let row = self.live(&actor.organisation, id).await?;
        let version = row.version;
        let (platform, _, _) = store::kind(&row).map_err(Problem::internal)?;
        let verification = match self.open_row(&actor.organisation, row, scope) {
            Ok(opened) => verification::verify(&opened.client).await,
            Err(problem) if problem.code == Code::CredentialsUnreadable => Verification::unreadable(),
            Err(problem) => return Err(problem),
        };
        self.inner.failures.count(&actor.organisation, &verification);
        let sealer = Sealer::new(&self.inner.vault, &actor.organisation, id, platform);
        let sealed = sealer.seal_verification(&verification).map_err(Problem::internal)?;
        let settled = verification.status != VerificationStatus::Inconclusive;
        let status = status_after(&verification);
        let event = Event {
            action: "connection.verified",
            outcome: outcome_of(&verification),
            connection: Some(id),
            detail: json!({}),
        };
        let owner = actor.clone();
        let now = now_micros();
        self.inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| -> Result<(), Problem> {
                if store::learn(db, &owner.organisation, id, version, status, Some(&sealed))? {
                    store::remember_verification(db, &owner.organisation, id, &sealed, now)?;
                    if settled {
                        store::settle_deferred(db, &owner.organisation, id)?;
                    }
                }
                Ok(store::audit(db, &owner, &event, now)?)
            })
            .await?;
        Ok(verification)
    }

    /// Opens a stored connection for calls: the only way to a client of one.
    pub(super) fn open_row(
        &self,
        organisation: &OrgId,
        row: Box<ConnectionRow>,
        scope: CallScope,
    ) -> Result<Opened, Problem> {
        let (platform, _, pair) = store::kind(&row).map_err(Problem::internal)?;
        let id = store::id_of(&row);
        let sealer = Sealer::new(&self.inner.vault, organisation, id, platform);
        let profile = sealer.open_profile(row.settings_sealed.as_deref()).map_err(|error| unreadable(&error))?;
        let credentials =
            sealer.open_credentials(row.credentials_sealed.as_deref()).map_err(|error| unreadable(&error))?;
        let detected = row
            .verification_sealed
            .as_deref()
            .and_then(|blob| sealer.open_verification(blob).ok())
            .filter(|verification| verification.status == VerificationStatus::Ok)
            .map(|verification| verification.detected)
            .unwrap_or_default();
        let account = Account { connection: id, settings: profile.settings, credentials, detected };
        let client = platforms::open(pair, account, &self.platforms_for(organisation), scope).map_err(Problem::from)?;
        Ok(Opened { row, client })
    }

    /// How much of the plan is used.
    ///
    /// # Errors
    /// No plan, or a failing database.
    pub async fn usage(&self, actor: &Actor) -> Result<Usage, Problem> {
        let plan = plan_of(actor)?;
        let limit = self.inner.options.plan_limits.limit(plan);
        let owner = actor.organisation.clone();
        let (used, demo_used) = self.inner.db.read(move |db| store::count(db, &owner)).await.map_err(Problem::from)?;
        Ok(Usage { plan, limit, used, remaining: limit.saturating_sub(used), over_limit: used > limit, demo_used })
    }

    /// One page of a connection's verifications, newest first.
    ///
    /// # Errors
    /// Unknown or deleted, or a cursor of another query.
    pub async fn verifications(
        &self,
        organisation: &OrgId,
        id: Uuid,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<Verification>, Problem> {
        let of = cursor::fingerprint(&[organisation.as_str(), "verifications", &id.to_string()]);
        let after = cursor.map(|cursor| cursor::decode::<String>(&of, cursor)).transpose()?;
        let owner = organisation.clone();
        let (row, rows) = self
            .inner
            .db
            .read(move |db| -> Result<_, Problem> {
                let row = live_row(db, &owner, id)?;
                Ok((row, store::history(db, &owner, id, after, limit + 1)?))
            })
            .await?;
        let (platform, _, _) = store::kind(&row).map_err(Problem::internal)?;
        let sealer = Sealer::new(&self.inner.vault, organisation, id, platform);
        Ok(page(rows, limit, |row| cursor::encode(&of, &row.id))
            .map(|row| sealer.open_verification(&row.report_sealed).ok()))
    }

    /// One page of the automations that used a connection.
    ///
    /// # Errors
    /// Unknown or deleted, or a cursor of another query.
    pub async fn automations(
        &self,
        organisation: &OrgId,
        id: Uuid,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<AutomationView>, Problem> {
        let of = cursor::fingerprint(&[organisation.as_str(), "automations", &id.to_string()]);
        let after = cursor.map(|cursor| cursor::decode::<String>(&of, cursor)).transpose()?;
        self.flush_uses().await;
        let owner = organisation.clone();
        let rows = self
            .inner
            .db
            .read(move |db| -> Result<_, Problem> {
                live_row(db, &owner, id)?;
                Ok(store::automations_of(db, &owner, id, after, limit + 1)?)
            })
            .await?;
        Ok(page(rows, limit, |row| cursor::encode(&of, &row.automation_id)).map(|row| {
            Some(AutomationView {
                automation_id: row.automation_id.clone(),
                first_used_at: time(row.first_used_at),
                last_used_at: time(row.last_used_at),
            })
        }))
    }

    /// One page of the organisation's audit events, newest first.
    ///
    /// # Errors
    /// A cursor of another query, or a failing database.
    pub async fn audit_events(
        &self,
        organisation: &OrgId,
        connection: Option<Uuid>,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<AuditEventView>, Problem> {
        let about = connection.map(|id| id.to_string()).unwrap_or_default();
        let of = cursor::fingerprint(&[organisation.as_str(), "audit-events", &about]);
        let after = cursor.map(|cursor| cursor::decode::<String>(&of, cursor)).transpose()?;
        self.flush_uses().await;
        let owner = organisation.clone();
        let rows = self
            .inner
            .db
            .read(move |db| store::audit_events_of(db, &owner, connection, after, limit + 1))
            .await
            .map_err(Problem::from)?;
        Ok(page(rows, limit, |row| cursor::encode(&of, &row.id)).map(|row| {
            Some(AuditEventView {
                id: row.id.parse().ok()?,
                at: time(row.created_at),
                action: row.action.clone(),
                outcome: row.outcome.clone(),
                actor: row.actor.clone(),
                connection_id: row.connection_id.as_deref().and_then(|id| id.parse().ok()),
                address: row.address.clone(),
                request_id: row.request_id.clone(),
                detail: serde_json::from_str(&row.detail).unwrap_or_default(),
            })
        }))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ready(&self) -> Result<(), DbError> {
        self.inner
            .db
            .read(|db| -> Result<(), DbError> {
                let _: Option<i64> = connections::table.select(connections::version).first(db).optional()?;
                Ok(())
            })
            .await
    }

    async fn audit(&self, actor: &Actor, event: Event) -> Result<(), Problem> {
        let owner = actor.clone();
        let now = now_micros();
        self.inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| -> Result<(), Problem> {
                Ok(store::audit(db, &owner, &event, now)?)
            })
            .await
    }

    /// Claims an `Idempotency-Key`, or returns the connection an earlier request created under it.
    async fn begin(&self, actor: &Actor, key: &IdempotencyKey) -> Result<Option<Uuid>, Problem> {
        let vault = Arc::clone(&self.inner.vault);
        let (organisation, key) = (actor.organisation.clone(), key.clone());
        let now = now_micros();
        self.inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| key.begin(db, &vault, &organisation, now))
            .await
    }

    async fn release(&self, actor: &Actor, key: IdempotencyKey) {
        let organisation = actor.organisation.clone();
        let outcome = self
            .inner
            .db
            .write(actor.organisation.as_str().to_owned(), now_micros(), move |db| key.release(db, &organisation))
            .await;
        if let Err(problem) = outcome {
            // The lease frees the key a minute later.
            tracing::warn!(cause = problem.cause.as_deref(), "an idempotency key could not be released");
        }
    }
}

/// What a change of settings or secrets will write.
struct Change {
    settings: Vec<u8>,
    credentials: Vec<u8>,
    verification: Vec<u8>,
    /// What changes, by name.
    fields: Vec<String>,
}

/// What an `If-Match` header allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever version there is.
    Any,
    /// One of these versions.
    Versions(Vec<i64>),
}

impl IfMatch {
    fn check(&self, version: i64) -> Result<(), Problem> {
        match self {
            Self::Any => Ok(()),
            Self::Versions(versions) if versions.contains(&version) => Ok(()),
            Self::Versions(_) => Err(version_conflict()),
        }
    }
}

fn version_conflict() -> Problem {
    Problem::new(Code::VersionConflict, "The connection was changed in the meantime.")
        .hint("Read it again and repeat the change.")
}

fn name_is_taken() -> Problem {
    let mut problem = Problem::new(Code::NameTaken, "Another connection of the organisation has this name.")
        .hint("Choose another name; letter case does not distinguish names.");
    problem.errors = vec![FieldProblem::new("/name", "name_taken", "This name is taken.")];
    problem
}

fn unreadable(_: &VaultError) -> Problem {
    Problem::new(Code::CredentialsUnreadable, "The stored credentials cannot be read.")
        .hint("Enter the credentials again, or give the service its old key back.")
}

fn plan_of(actor: &Actor) -> Result<Plan, Problem> {
    actor.plan.ok_or_else(|| {
        Problem::new(Code::MalformedRequest, "The organisation's plan is missing.")
            .hint("Services send it as X-Org-Plan; users' tokens carry it as the claim plan.")
    })
}

fn live_row(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<Box<ConnectionRow>, Problem> {
    match store::find(db, organisation, id)? {
        Found::Live(row) => Ok(row),
        Found::Deleted => {
            Err(Problem::new(Code::ConnectionDeleted, "This connection was deleted; its credentials are destroyed.")
                .hint("Add the connection again and use the new id, also in automations."))
        }
        Found::Nothing => Err(Problem::no_connection()),
    }
}

/// Wrong credentials and an unreachable tracker are told apart: nothing is saved either way.
fn must_be_ok(verification: &Verification) -> Result<(), Problem> {
    let code = match verification.status {
        VerificationStatus::Ok => return Ok(()),
        VerificationStatus::Failed => Code::VerificationFailed,
        VerificationStatus::Inconclusive => Code::VerificationInconclusive,
    };
    let mut problem = Problem::new(code, "The connection could not be verified.").with("verification", verification);
    if let Some(failure) = &verification.failure {
        problem.detail = failure.detail.clone();
        problem.hint = Some(failure.hint.clone());
        if let Some(pointer) = &failure.pointer {
            let slug = serde_json::to_value(failure.code).ok().and_then(|code| code.as_str().map(str::to_owned));
            problem.errors = vec![FieldProblem::new(pointer.clone(), slug.unwrap_or_default(), failure.detail.clone())];
        }
    }
    Err(problem)
}

/// What a verification says of a connection's health: only a refusal makes it `failing`; a wrong page at the address
/// or an outage says nothing of the credentials.
pub(super) fn status_after(verification: &Verification) -> Option<Status> {
    match &verification.failure {
        None => Some(Status::Active),
        Some(failure) if failure.code.is_refusal() => Some(Status::Failing),
        Some(_) => None,
    }
}

pub(super) fn outcome_of(verification: &Verification) -> String {
    match &verification.failure {
        None => "ok".to_owned(),
        Some(failure) => serde_json::to_value(failure.code)
            .ok()
            .and_then(|code| code.as_str().map(str::to_owned))
            .unwrap_or_default(),
    }
}

/// A page cut to its limit, not yet shown.
struct Rows<T> {
    rows: Vec<T>,
    next_cursor: Option<String>,
}

fn page<T>(mut rows: Vec<T>, limit: i64, cursor: impl FnOnce(&T) -> Option<String>) -> Rows<T> {
    let limit = usize::try_from(limit).unwrap_or_default();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = if more { rows.last().and_then(cursor) } else { None };
    Rows { rows, next_cursor }
}

impl<T> Rows<T> {
    fn map<V>(self, show: impl FnMut(&T) -> Option<V>) -> Page<V> {
        Page { data: self.rows.iter().filter_map(show).collect(), next_cursor: self.next_cursor }
    }
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
            return Err(Problem::new(
                Code::ConnectionLimitReached,
                format!("The organisation has {used} of at most {limit} connections."),
            )
            .hint("Delete a connection or move to a larger plan.")
            .with("plan", self.plan)
            .with("limit", limit)
            .with("used", used));
        }
        if store::name_taken(db, organisation, name, None)? {
            return Err(name_is_taken());
        }
        Ok(())
    }
}

/// The order of a list, as `sort` names it.
///
/// # Errors
/// A column there is none of.
pub fn read_sort(text: &str) -> Result<(SortColumn, bool), FieldProblem> {
    let (descending, column) = match text.strip_prefix('-') {
        Some(column) => (true, column),
        None => (false, text),
    };
    let column = match column {
        "name" => SortColumn::Name,
        "created_at" => SortColumn::CreatedAt,
        "updated_at" => SortColumn::UpdatedAt,
        _ => {
            let detail = "Sort by name, created_at or updated_at, with a leading - for the reverse.";
            return Err(FieldProblem::new("/sort", "unknown_value", detail));
        }
    };
    Ok((column, descending))
}
