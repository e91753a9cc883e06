//! The service that holds everything together. Its verbs stand in files of their own: `create`, `update`, `verify`,
//! `lists` and `stats`.
//!
//! Verification always stays outside a transaction; what it found out is saved in a transaction of its own, and only
//! if the connection did not change meanwhile.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::Instrument;
use uuid::Uuid;

use super::audit::{self, Event};
use super::claims::{Claim, Claims};
use super::failures::FailureMeter;
use super::kept::{KeptConnections, KeptPages};
use super::learning::Learner;
use super::schedule::Schedule;
use super::stats::cache::{self, Stats};
use super::stats::heavy::Heavy;
use super::store::{self, Found, Stored, background};
use super::supervision::{Phase, Tasks};
use super::uses::Uses;
use super::{Actor, ConnectionView};
use crate::clock::now_micros;
use crate::db::{Db, DbConnection, DbError, Timeline, Writes};
use crate::input::InputCode;
use crate::outbound::CallScope;
use crate::platforms::verification::VerificationStatus;
use crate::platforms::{self, Account, Client, Platforms};
use crate::problem::{Code, FieldProblem, Problem};
use crate::shared::{Change, Shared};
use crate::shares::Pool;
use crate::tenancy::{OrgId, Plan, PlanLimits};
use crate::vault::{Vault, VaultError};

/// What the service is configured with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections by plan.
    pub plan_limits: PlanLimits,
    /// Failed verifications a minute and organisation; 0 for no limit.
    pub verify_failures_per_minute: u32,
    /// How long audit events are kept; forever, if `None`.
    pub audit_retention: Option<Duration>,
    /// How long after it was last seen to work a connection is checked; never, if `None`.
    pub check_interval: Option<Duration>,
    /// How statistics are pulled.
    pub stats: cache::Options,
}

/// The version of a deleted connection: nothing that was pulled through it is of that.
pub(super) const DELETED: i64 = i64::MAX;

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
    pub(super) heavy: Heavy,
    /// Room for rows of tables that are being made, by organisation.
    pub(super) rows: Pool,
    /// Room for results until their callers have read them, by organisation.
    pub(super) results: Pool,
    pub(super) uses: Uses,
    pub(super) pages: KeptPages,
    pub(super) connections: KeptConnections,
    pub(super) work: Notify,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) tasks: Tasks,
    pub(super) claims: Claims<Claim>,
    pub(super) schedule: Schedule,
    pub(super) failures: FailureMeter,
    pub(super) shared: Shared,
    /// The history of the database that everything kept in memory is of.
    pub(super) timeline: Mutex<Option<Timeline>>,
}

/// A connection opened for calls.
pub(super) struct Opened {
    pub(super) stored: Box<Stored>,
    pub(super) client: Client,
}

impl Connections {
    /// Puts the service together.
    pub fn new(db: Db, vault: Arc<Vault>, platforms: Platforms, shared: Shared, options: Options) -> Self {
        let schedule = Schedule::every(options.check_interval);
        let inner = Inner {
            stats: Stats::new(&options.stats, db.is_shared()),
            heavy: Heavy::default(),
            // All but an eighth: a table of as many rows as may be in memory fits.
            rows: Pool::new(options.stats.sizing.rows, options.stats.sizing.rows / 8 * 7),
            results: Pool::new(options.stats.sizing.results, options.stats.sizing.results / 2),
            uses: Uses::new(db.clone(), schedule),
            pages: KeptPages::default(),
            connections: KeptConnections::default(),
            work: Notify::new(),
            phase: watch::Sender::new(Phase::Work),
            tasks: Tasks::default(),
            claims: Claims::default(),
            schedule,
            failures: FailureMeter::new(options.verify_failures_per_minute, shared.clone()),
            db,
            vault,
            platforms,
            options,
            shared,
            timeline: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What clients are opened with, so that an organisation's calls take their turns beside those of others.
    pub(super) fn platforms_for(&self, organisation: &OrgId) -> Platforms {
        let mut hasher = DefaultHasher::new();
        organisation.as_str().hash(&mut hasher);
        self.inner.platforms.on_behalf_of(hasher.finish())
    }

    pub(super) fn learner(&self) -> Learner {
        Learner { vault: Arc::clone(&self.inner.vault), schedule: self.inner.schedule }
    }

    /// One connection.
    ///
    /// # Errors
    /// Unknown to this organisation, or deleted.
    pub async fn get(&self, organisation: &OrgId, id: Uuid) -> Result<ConnectionView, Problem> {
        Ok(self.live(organisation, id).await?.view(&self.inner.vault))
    }

    pub(super) async fn live(&self, organisation: &OrgId, id: Uuid) -> Result<Box<Stored>, Problem> {
        // Before the row is read: whatever changes it from now on makes it one of the past.
        let stamp = self.inner.db.stamp();
        if let Some(kept) = stamp.and_then(|stamp| self.inner.connections.get(organisation, id, stamp)) {
            return Ok(kept);
        }
        let owner = organisation.clone();
        let stored = self.inner.db.read(move |db| live(db, &owner, id)).await?;
        if let Some(stamp) = stamp {
            self.inner.connections.keep(stamp, &stored);
        }
        Ok(stored)
    }

    /// Opens a stored connection for calls: the only way to a client of one.
    pub(super) fn open(&self, stored: Box<Stored>, scope: CallScope) -> Result<Opened, Problem> {
        let sealer = stored.sealer(&self.inner.vault);
        let sealed = &stored.sealed;
        let profile = sealer.open_profile(sealed.settings.as_deref()).map_err(|error| unreadable(&error))?;
        let credentials = sealer.open_credentials(sealed.credentials.as_deref()).map_err(|error| unreadable(&error))?;
        let detected = sealed
            .verification
            .as_deref()
            .and_then(|blob| sealer.open_verification(blob).ok())
            .filter(|verification| verification.status == VerificationStatus::Ok)
            .map(|verification| verification.detected)
            .unwrap_or_default();
        let account = Account { connection: stored.id, settings: profile.settings, credentials, detected };
        let platforms = self.platforms_for(&stored.organisation);
        let client = platforms::open(stored.pair, account, &platforms, scope).map_err(Problem::from)?;
        Ok(Opened { stored, client })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ready(&self) -> Result<Writes, DbError> {
        let writes = self.inner.db.writes().await?;
        self.inner.db.read(background::probe).await?;
        Ok(writes)
    }

    /// Writes who used which connection since the last time.
    pub async fn flush_uses(&self) {
        self.inner.uses.flush(|| self.inner.tasks.upkeep.beat()).await;
    }

    /// The same at the end of the process: what the audit trail counts by the hour is written too.
    pub async fn finish_uses(&self) {
        self.inner.uses.finish().await;
    }

    /// How far the end of the work in the background is off.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.inner.phase.subscribe()
    }

    /// What is shared with other replicas.
    pub fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Room for results until their callers have read them, by organisation.
    pub fn results(&self) -> &Pool {
        &self.inner.results
    }

    /// Has every process forget what was pulled through a connection before a change of it.
    pub(super) async fn announce_change(&self, id: Uuid, version: i64) {
        self.notice_failover();
        self.inner.stats.forget_older(id, version);
        self.inner.shared.announce(&[Change { connection: id, version }]).await;
    }

    /// Has every process forget what was pulled through a connection that is deleted.
    pub(super) async fn announce_deletion(&self, id: Uuid) {
        self.announce_change(id, DELETED).await;
    }

    pub(super) async fn audit(&self, actor: &Actor, event: Event) -> Result<(), Problem> {
        let owner = actor.clone();
        let now = now_micros();
        self.inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| -> Result<(), Problem> {
                Ok(audit::append(db, &owner, &event, now)?)
            })
            .await
    }
}

/// Does to its end what must not be left half done, whatever becomes of the caller.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| Err(Problem::internal(error)))
}

/// The name is, or looks like, that of another connection.
pub fn name_is_taken() -> Problem {
    let mut problem = Problem::new(
        Code::NameTaken,
        "Another connection of the organisation has this name, or one that looks the same.",
    )
    .hint("Choose another name; letter case and letters that look alike do not distinguish names.");
    problem.errors = vec![FieldProblem::new("/name", InputCode::NameTaken, "This name is taken.")];
    problem
}

/// What is stored was sealed with a key that the ring does not have. The cause says no more than that.
pub fn unreadable(_: &VaultError) -> Problem {
    Problem::new(Code::CredentialsUnreadable, "The stored credentials cannot be read.")
        .hint("Enter the credentials again, or give the service its old key back.")
}

/// There was such a connection.
pub fn deleted() -> Problem {
    Problem::new(Code::ConnectionDeleted, "This connection was deleted; its credentials are destroyed.")
        .hint("Add the connection again and use the new id, also in automations.")
}

pub(super) fn live(db: &mut DbConnection, organisation: &OrgId, id: Uuid) -> Result<Box<Stored>, Problem> {
    match store::find(db, organisation, id)? {
        Found::Live(stored) => Ok(stored),
        Found::Deleted => Err(deleted()),
        Found::Nothing => Err(Problem::no_connection()),
    }
}

pub(super) fn plan_of(actor: &Actor) -> Result<Plan, Problem> {
    actor.plan.ok_or_else(|| {
        Problem::new(Code::MalformedRequest, "The organisation's plan is missing.")
            .hint("Services send it as X-Org-Plan; users' tokens carry it as the claim plan.")
    })
}
