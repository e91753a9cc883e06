//! Who used which connection, gathered in memory and written in batches, so that a pull waits for no database.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use futures_util::StreamExt;
use moka::sync::Cache;
use serde_json::json;
use uuid::Uuid;

use super::Actor;
use super::store::{self, Event};
use crate::clock::now_micros;
use crate::db::models::AutomationRow;
use crate::db::schema::{automations, connections};
use crate::db::{Db, DbConnection, DbError};
use crate::problem::Problem;
use crate::tenancy::OrgId;

/// The audit trail has one `used` event per connection, user, automation and outcome in this time.
const QUIET: Duration = Duration::from_secs(3_600);
/// How long a batch waits for the one before it. Where the database hangs, nobody shall stand in a line behind it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Organisations whose batches are written at the same time.
const WRITERS: usize = 4;
const TURNS: usize = 64;

/// Uses of one organisation that wait to be written. More are not noted while the database is away.
const MOST_PENDING: usize = 10_000;

/// Automations of one connection that are remembered.
const MAX_AUTOMATIONS: i64 = 1_000;

/// Notes uses, and writes them.
#[derive(Clone)]
pub(super) struct Uses {
    db: Db,
    noted: Arc<Noted>,
}

/// Uses that are not written yet.
struct Noted {
    pending: Mutex<HashMap<OrgId, Vec<Use>>>,
    /// Held while an organisation's batch is written: who waits for it finds everything written that was used before.
    /// Several organisations share one.
    turns: [tokio::sync::Mutex<()>; TURNS],
    told: Cache<Identity, Instant>,
}

/// What is told once: connection, user, whether that is a service, automation, and how it ended.
type Identity = (Uuid, String, bool, Option<String>, &'static str);

/// How a use ends that brought its statistics.
const OK: &str = "ok";

#[derive(Clone)]
struct Use {
    actor: Actor,
    connection: Uuid,
    automation: Option<String>,
    outcome: &'static str,
    first: i64,
    last: i64,
    tell: bool,
}

impl Uses {
    pub(super) fn new(db: Db) -> Self {
        let told = Cache::builder().max_capacity(100_000).time_to_live(QUIET).build();
        let turns = std::array::from_fn(|_| tokio::sync::Mutex::default());
        Self { db, noted: Arc::new(Noted { pending: Mutex::default(), turns, told }) }
    }

    /// Notes a use. The same user, connection and automation take one place until the next batch.
    pub(super) fn record(&self, actor: &Actor, connection: Uuid, automation: Option<&str>) {
        self.note(actor, connection, automation, OK);
    }

    /// Notes a pull that the tracker has refused: that is told, but is no use that brought anything.
    pub(super) fn record_refusal(&self, actor: &Actor, connection: Uuid, automation: Option<&str>, problem: &Problem) {
        if problem.code.is_trackers_refusal() {
            self.note(actor, connection, automation, problem.code.slug());
        }
    }

    fn note(&self, actor: &Actor, connection: Uuid, automation: Option<&str>, outcome: &'static str) {
        let identity = (connection, actor.subject.clone(), actor.via_service, automation.map(str::to_owned), outcome);
        let tell = self.noted.told.entry(identity).or_insert_with(Instant::now).is_fresh();
        if outcome != OK && !tell {
            return;
        }
        let mut pending = self.pending();
        let uses = pending.entry(actor.organisation.clone()).or_default();
        let (at, is_full) = (now_micros(), uses.len() >= MOST_PENDING);
        match uses.iter_mut().find(|known| {
            known.connection == connection
                && known.automation.as_deref() == automation
                && known.outcome == outcome
                && !tell
        }) {
            Some(known) => known.last = at,
            // The database has been away for long: what is known of is enough.
            None if is_full => {}
            None => uses.push(Use {
                actor: actor.clone(),
                connection,
                automation: automation.map(str::to_owned),
                outcome,
                first: at,
                last: at,
                tell,
            }),
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<OrgId, Vec<Use>>> {
        self.noted.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn organisations(&self) -> Vec<OrgId> {
        self.pending().keys().cloned().collect()
    }

    fn turn(&self, organisation: &OrgId) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        organisation.hash(&mut hasher);
        let [first, ..] = &self.noted.turns;
        usize::try_from(hasher.finish() % TURNS as u64)
            .ok()
            .and_then(|place| self.noted.turns.get(place))
            .unwrap_or(first)
    }

    fn take(&self, organisation: &OrgId) -> Option<Vec<Use>> {
        self.pending().remove(organisation)
    }

    /// In front, so that what was used later is written later.
    fn put_back(&self, organisation: OrgId, uses: Vec<Use>) {
        self.pending().entry(organisation).or_default().splice(..0, uses);
    }

    /// Writes what was used since the last time, a few organisations in parallel. What cannot be written now is tried
    /// again with the next batch. `progress` hears of every batch.
    pub(super) async fn flush(&self, progress: impl Fn()) {
        let mut written = futures_util::stream::iter(self.organisations())
            .map(async |organisation| self.flush_of(&organisation).await)
            .buffer_unordered(WRITERS);
        // Where one fails the database is away: the others stay where they are.
        while let Some(true) = written.next().await {
            progress();
        }
    }

    /// The same for one organisation, after any batch of it that is being written. Says whether that went well.
    pub(super) async fn flush_of(&self, organisation: &OrgId) -> bool {
        let (uses, organisation) = (self.clone(), organisation.clone());
        // A task of its own: a caller that leaves must not take along what is not written yet.
        let writing = tokio::spawn(async move { uses.write(organisation).await });
        writing.await.unwrap_or(false)
    }

    async fn write(&self, organisation: OrgId) -> bool {
        let turn = self.turn(&organisation).lock();
        let Ok(_turn) = tokio::time::timeout(PATIENCE, turn).await else { return false };
        let Some(mut uses) = self.take(&organisation) else { return true };
        // The last one written is the last use.
        uses.sort_by_key(|one| one.last);
        let (batch, owner) = (uses.clone(), organisation.clone());
        let outcome = self
            .db
            .write(organisation.as_str().to_owned(), now_micros(), move |db| -> Result<(), Problem> {
                batch.iter().try_for_each(|one| write(db, &owner, one)).map_err(Problem::from)
            })
            .await;
        if let Err(problem) = &outcome {
            tracing::warn!(cause = problem.cause.as_deref(), "uses could not be written; they wait for the next batch");
            self.put_back(organisation, uses);
        }
        outcome.is_ok()
    }
}

/// Whoever makes up automations pushes out those that were used least lately, and takes no more room.
fn forget_oldest(db: &mut DbConnection, organisation: &OrgId, connection: Uuid) -> Result<(), DbError> {
    let connection = connection.to_string();
    let first_too_many: Option<i64> = automations::table
        .filter(automations::organisation_id.eq(organisation.as_str()))
        .filter(automations::connection_id.eq(&connection))
        .order(automations::last_used_at.desc())
        .select(automations::last_used_at)
        .offset(MAX_AUTOMATIONS)
        .first(db)
        .optional()?;
    if let Some(last_used_at) = first_too_many {
        let too_many = automations::table
            .filter(automations::organisation_id.eq(organisation.as_str()))
            .filter(automations::connection_id.eq(&connection))
            .filter(automations::last_used_at.le(last_used_at));
        diesel::delete(too_many).execute(db)?;
    }
    Ok(())
}

fn write(db: &mut DbConnection, organisation: &OrgId, one: &Use) -> Result<(), DbError> {
    if one.outcome == OK {
        write_use(db, organisation, one)?;
    }
    if one.tell {
        let event = Event {
            action: "connection.used",
            outcome: one.outcome.to_owned(),
            connection: Some(one.connection),
            detail: json!({ "automation_id": one.automation }),
        };
        store::audit(db, &one.actor, &event, one.first)?;
    }
    Ok(())
}

fn write_use(db: &mut DbConnection, organisation: &OrgId, one: &Use) -> Result<(), DbError> {
    diesel::update(
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str()))
            .filter(connections::id.eq(one.connection.to_string())),
    )
    .set(connections::last_used_at.eq(Some(one.last)))
    .execute(db)?;
    if let Some(automation) = &one.automation {
        let known = diesel::update(
            automations::table
                .filter(automations::organisation_id.eq(organisation.as_str()))
                .filter(automations::connection_id.eq(one.connection.to_string()))
                .filter(automations::automation_id.eq(automation)),
        )
        .set(automations::last_used_at.eq(one.last))
        .execute(db)?;
        if known == 0 {
            let row = AutomationRow {
                connection_id: one.connection.to_string(),
                automation_id: automation.clone(),
                organisation_id: organisation.as_str().to_owned(),
                first_used_at: one.first,
                last_used_at: one.last,
            };
            diesel::insert_into(automations::table).values(&row).execute(db)?;
            forget_oldest(db, organisation, one.connection)?;
        }
    }
    Ok(())
}
