//! Events: what happened to connections' health, reported once and in order.
//!
//! An event is written in the transaction of the change it reports. There the organisation's row is locked, so that
//! exactly one event is written for a change on any number of replicas, and its `sequence` is the order of the commits,
//! whatever the clocks do. A reader that goes on from a `sequence` misses nothing.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Status;
use super::health::{Change, Condition, Reason, Source};
use super::store::events::KeptEvent;
use super::store::{Stored, automations, events};
use crate::clock::time;
use crate::db::{DbConnection, DbError};
use crate::platforms::verification::{FailureCode, Owner};
use crate::platforms::{ConnectionType, Platform, causes};
use crate::tenancy::OrgId;

/// An event names so many of the automations that used its connection, those that did last.
const MAX_AUTOMATIONS: i64 = 100;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum EventType {
    /// It was saved unverified, and works.
    #[serde(rename = "connection.verified")]
    Verified,
    /// The tracker refused the credentials or the right to report.
    #[serde(rename = "connection.failing")]
    Failing,
    /// It was failing, and works again.
    #[serde(rename = "connection.recovered")]
    Recovered,
    /// No check could be finished for three intervals.
    #[serde(rename = "connection.unreachable")]
    Unreachable,
    /// A check could be finished again.
    #[serde(rename = "connection.reachable")]
    Reachable,
    /// Its key runs out in 14 or 3 days, or today.
    #[serde(rename = "connection.expiring")]
    Expiring,
    /// It was deleted.
    #[serde(rename = "connection.deleted")]
    Deleted,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Verified,
        Self::Failing,
        Self::Recovered,
        Self::Unreachable,
        Self::Reachable,
        Self::Expiring,
        Self::Deleted,
    ];

    /// The key in JSON and the database.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Verified => "connection.verified",
            Self::Failing => "connection.failing",
            Self::Recovered => "connection.recovered",
            Self::Unreachable => "connection.unreachable",
            Self::Reachable => "connection.reachable",
            Self::Expiring => "connection.expiring",
            Self::Deleted => "connection.deleted",
        }
    }
}

impl From<Change> for EventType {
    fn from(change: Change) -> Self {
        match change {
            Change::Verified => Self::Verified,
            Change::Failing => Self::Failing,
            Change::Recovered => Self::Recovered,
            Change::Unreachable => Self::Unreachable,
            Change::Reachable => Self::Reachable,
        }
    }
}

/// An event, as it is read and sent. It names no host and no secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventView {
    /// The id, a UUIDv7.
    pub id: Uuid,
    /// Its number within the organisation: one more than that of the event before.
    #[schema(example = 1)]
    pub sequence: i64,
    /// What happened. Later versions may know more.
    #[serde(rename = "type")]
    #[schema(value_type = EventType, example = "connection.failing")]
    pub event_type: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// To which connection.
    pub connection: EventConnection,
    /// More about it.
    #[schema(value_type = EventData)]
    pub data: serde_json::Value,
}

/// The connection of an event, as it was then.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EventConnection {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    #[schema(example = "Brand A")]
    pub name: String,
    /// The platform.
    #[schema(value_type = Platform)]
    pub platform: String,
    /// The connection type.
    #[schema(value_type = ConnectionType)]
    pub connection_type: String,
}

/// What an event says of its connection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EventData {
    /// Its status from then on.
    pub status: Status,
    /// What made it failing; `null` while it is not. Of `connection.unreachable`, what keeps it from being checked.
    #[schema(required)]
    pub reason: Option<EventReason>,
    /// Since when the status is what it is.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// The automations that pulled statistics through it, the last hundred.
    #[schema(example = json!(["weekly-payout-mail"]))]
    pub automations: Vec<String>,
    /// The last day on which the key is good, in `connection.expiring`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = String, format = Date)]
    pub credentials_expire_at: Option<Date>,
    /// Days until then, in `connection.expiring`; less than nothing, if that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, example = 14)]
    pub days_left: Option<i32>,
}

/// The reason of an event. What the tracker said is no part of it: that may name a host.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EventReason {
    /// The cause.
    pub code: FailureCode,
    /// Who can fix it.
    pub owner: Owner,
    /// The one next step.
    pub hint: String,
    /// Who found out.
    pub source: Source,
}

impl EventReason {
    fn new(code: FailureCode, owner: Owner, source: Source) -> Self {
        // The hint of the cause in general: that of the case may name a host.
        Self { code, owner, hint: causes::about(code).hint.to_owned(), source }
    }
}

impl From<&Reason> for EventReason {
    fn from(reason: &Reason) -> Self {
        Self::new(reason.code, reason.owner, reason.source)
    }
}

/// A page of events. There may always be more later: the cursor goes on from where the page ends.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EventPage {
    /// The events, oldest first.
    pub data: Vec<EventView>,
    /// Asks for what comes after this page; never `null`.
    pub next_cursor: String,
    /// Whether there is more already.
    pub has_more: bool,
}

/// The connection that an event is of, as it is stored.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) organisation: &'a OrgId,
    pub(super) id: Uuid,
    pub(super) name: &'a str,
    pub(super) platform: &'a str,
    pub(super) connection_type: &'a str,
}

impl<'a> From<&'a Stored> for Subject<'a> {
    fn from(stored: &'a Stored) -> Self {
        Self {
            organisation: &stored.organisation,
            id: stored.id,
            name: &stored.name,
            platform: stored.pair.platform().key(),
            connection_type: stored.pair.connection_type().key(),
        }
    }
}

/// Writes what happened to a connection, in the transaction of the change.
pub(super) fn append<'a>(
    db: &mut DbConnection,
    subject: impl Into<Subject<'a>>,
    condition: &Condition,
    happened: EventType,
    now: i64,
) -> Result<(), DbError> {
    let subject = subject.into();
    let data = data_of(db, subject, condition)?;
    let reason = match happened {
        EventType::Unreachable => condition
            .warning
            .as_ref()
            .map(|warning| EventReason::new(warning.code, causes::about(warning.code).owner, Source::Background)),
        _ => condition.reason.as_ref().map(EventReason::from),
    };
    insert(db, subject, happened, &EventData { reason, ..data }, now)
}

/// Writes that a connection's key runs out.
pub(super) fn append_expiring(
    db: &mut DbConnection,
    stored: &Stored,
    condition: &Condition,
    (on, days_left): (Date, i32),
    now: i64,
) -> Result<(), DbError> {
    let data = data_of(db, stored.into(), condition)?;
    let data = EventData { credentials_expire_at: Some(on), days_left: Some(days_left), ..data };
    insert(db, stored.into(), EventType::Expiring, &data, now)
}

fn data_of(db: &mut DbConnection, subject: Subject<'_>, condition: &Condition) -> Result<EventData, DbError> {
    Ok(EventData {
        status: condition.status,
        reason: condition.reason.as_ref().map(EventReason::from),
        since: condition.since,
        automations: automations::last_used(db, subject.organisation, subject.id, MAX_AUTOMATIONS)?,
        credentials_expire_at: None,
        days_left: None,
    })
}

fn insert(
    db: &mut DbConnection,
    subject: Subject<'_>,
    happened: EventType,
    data: &EventData,
    now: i64,
) -> Result<(), DbError> {
    let event = KeptEvent {
        id: Uuid::now_v7(),
        sequence: events::next_sequence(db, subject.organisation)?,
        event_type: happened.key().to_owned(),
        connection: subject.id,
        connection_name: subject.name.to_owned(),
        platform: subject.platform.to_owned(),
        connection_type: subject.connection_type.to_owned(),
        data: serde_json::to_string(data).unwrap_or_default(),
        created_at: now,
    };
    events::insert(db, subject.organisation, event)
}

impl From<KeptEvent> for EventView {
    fn from(event: KeptEvent) -> Self {
        Self {
            id: event.id,
            sequence: event.sequence,
            event_type: event.event_type,
            created_at: time(event.created_at),
            connection: EventConnection {
                id: event.connection,
                name: event.connection_name,
                platform: event.platform,
                connection_type: event.connection_type,
            },
            data: serde_json::from_str(&event.data).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_document_names_the_keys_that_are_stored() {
        let schema = serde_json::to_value(EventType::schema()).expect("a schema");
        assert_eq!(schema["enum"], serde_json::json!(EventType::ALL.map(EventType::key)));
    }
}
