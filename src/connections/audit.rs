//! The audit trail: what was done, by whom. Events are only ever added, and go when they are old.

use diesel::prelude::*;
use jiff::civil::Date;
use uuid::Uuid;

use super::action::Action;
use super::expiry::Day;
use super::store::Damaged;
use super::{Actor, AuditEventView};
use crate::clock::time;
use crate::db::schema::audit_events;
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// How many rows one transaction prunes.
const PRUNED_AT_ONCE: i64 = 500;

/// One audit event.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_events)]
struct AuditRow {
    id: String,
    organisation_id: String,
    connection_id: Option<String>,
    action: String,
    outcome: String,
    actor: String,
    address: Option<String>,
    request_id: Option<String>,
    detail: String,
    created_at: i64,
}

/// By how much an event's id may be later than its time, in microseconds: a transaction takes no longer.
const LATEST_ID: i64 = 3_600 * 1_000_000;

/// Which audit events are asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only of this connection.
    pub connection: Option<Uuid>,
    /// Only what was done this way.
    pub action: Option<Action>,
    /// Only what this token's subject did.
    pub actor: Option<String>,
    /// Not before this day, in UTC.
    pub from: Option<Date>,
    /// Not after this day, in UTC.
    pub to: Option<Date>,
}

impl AuditQuery {
    /// What a cursor of this query holds on to. Nothing that is left out reads like something that is there.
    pub(super) fn cursor_key(&self) -> String {
        let Self { connection, action, actor, from, to } = self;
        match (action, actor, from, to) {
            // As it was written before there was anything else to ask for: a cursor of then goes on.
            (None, None, None, None) => connection.map(|id| id.to_string()).unwrap_or_default(),
            _ => format!("{connection:?} {:?} {actor:?} {from:?} {to:?}", action.map(Action::key)),
        }
    }
}

/// Less than the id of any row made at this time or later.
fn first_id_at(time: i64) -> String {
    let millis = u64::try_from(time.div_euclid(1_000)).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid().to_string()
}

/// Something to be put into the audit trail.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// What was done.
    pub(crate) action: Action,
    /// How it ended.
    pub(crate) outcome: String,
    /// To which connection.
    pub(crate) connection: Option<Uuid>,
    /// More about it; never a secret.
    pub(crate) detail: serde_json::Value,
}

/// Appends to the audit trail, in the transaction of the change itself.
pub(crate) fn append(db: &mut DbConnection, actor: &Actor, event: &Event, now: i64) -> Result<(), DbError> {
    let request_id = Some(actor.request_id.clone());
    insert(db, &AuditRow { address: actor.address.clone(), request_id, ..row(actor, event, now) })
}

/// The same for what many requests of the actor came to.
pub(super) fn append_without_request(
    db: &mut DbConnection,
    actor: &Actor,
    event: &Event,
    now: i64,
) -> Result<(), DbError> {
    insert(db, &row(actor, event, now))
}

fn row(actor: &Actor, event: &Event, now: i64) -> AuditRow {
    let mut detail = event.detail.clone();
    if let Some(members) = detail.as_object_mut().filter(|_| actor.via_service) {
        members.insert("via_service".to_owned(), true.into());
    }
    AuditRow {
        id: Uuid::now_v7().to_string(),
        organisation_id: actor.organisation.as_str().to_owned(),
        connection_id: event.connection.map(|id| id.to_string()),
        action: event.action.key().to_owned(),
        outcome: event.outcome.clone(),
        actor: actor.subject.clone(),
        address: None,
        request_id: None,
        detail: detail.to_string(),
        created_at: now,
    }
}

fn insert(db: &mut DbConnection, row: &AuditRow) -> Result<(), DbError> {
    diesel::insert_into(audit_events::table).values(row).execute(db)?;
    Ok(())
}

/// One page of an organisation's audit events, newest first.
pub(super) fn events_of(
    db: &mut DbConnection,
    organisation: &OrgId,
    wanted: &AuditQuery,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<AuditEventView>, DbError> {
    let mut rows = audit_events::table
        .filter(audit_events::organisation_id.eq(organisation.as_str().to_owned()))
        .select(AuditRow::as_select())
        .order(audit_events::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(connection) = wanted.connection {
        rows = rows.filter(audit_events::connection_id.eq(connection.to_string()));
    }
    if let Some(action) = wanted.action {
        rows = rows.filter(audit_events::action.eq(action.key()));
    }
    if let Some(actor) = &wanted.actor {
        rows = rows.filter(audit_events::actor.eq(actor.clone()));
    }
    // Ids begin with the time, and are what is indexed; an event may get its id a little after its time.
    if let Some(from) = wanted.from.map(|day| Day::of(day).begins()) {
        rows = rows.filter(audit_events::id.ge(first_id_at(from))).filter(audit_events::created_at.ge(from));
    }
    if let Some(end) = wanted.to.map(|day| Day::of(day).ends()) {
        let latest = end.saturating_add(LATEST_ID);
        rows = rows.filter(audit_events::id.lt(first_id_at(latest))).filter(audit_events::created_at.lt(end));
    }
    if let Some(after) = after {
        rows = rows.filter(audit_events::id.lt(after));
    }
    let rows: Vec<AuditRow> = rows.load(db)?;
    rows.into_iter().map(|row| AuditEventView::try_from(row).map_err(DbError::from)).collect()
}

impl TryFrom<AuditRow> for AuditEventView {
    type Error = Damaged;

    fn try_from(row: AuditRow) -> Result<Self, Damaged> {
        let id = |text: &str| text.parse().map_err(|_| Damaged::Id);
        Ok(Self {
            id: id(&row.id)?,
            at: time(row.created_at),
            action: row.action,
            outcome: row.outcome,
            actor: row.actor,
            connection_id: row.connection_id.as_deref().map(id).transpose()?,
            address: row.address,
            request_id: row.request_id,
            detail: serde_json::from_str(&row.detail).unwrap_or_default(),
        })
    }
}

/// The last of the oldest audit events made before `before`, a batch of them at most.
///
/// Their ids begin with the time, so the primary key finds them.
pub(super) fn oldest_before(db: &mut DbConnection, before: i64) -> Result<Option<String>, DbError> {
    let first_kept = first_id_at(before);
    let batch: Vec<String> = audit_events::table
        .filter(audit_events::id.lt(first_kept))
        .order(audit_events::id.asc())
        .limit(PRUNED_AT_ONCE)
        .select(audit_events::id)
        .load(db)?;
    Ok(batch.into_iter().next_back())
}

/// Deletes the events up to this id, and says how many.
pub(super) fn forget_up_to(db: &mut DbConnection, last: &str) -> Result<usize, DbError> {
    Ok(diesel::delete(audit_events::table.filter(audit_events::id.le(last))).execute(db)?)
}
