//! Writing a batch of uses.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::pending::{Item, Times, Used, What};
use crate::clock::time;
use crate::connections::action::Action;
use crate::connections::audit::{self, Event};
use crate::db::models::AutomationRow;
use crate::db::schema::{automations, connections};
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// A transaction begins nothing more after this time: others wait for theirs.
const LONGEST: Duration = Duration::from_millis(100);

/// Automations of one connection that are remembered.
const MAX_AUTOMATIONS: i64 = 1_000;

/// Writes as much of a batch as there is time for; says how much that was, always more than nothing.
pub(super) fn write(db: &mut DbConnection, organisation: &OrgId, items: &[Item]) -> Result<usize, DbError> {
    let began = Instant::now();
    let mut grown = BTreeSet::new();
    let mut written = 0;
    for item in items {
        match item {
            Item::Connection { connection, last } => write_last(db, organisation, *connection, *last)?,
            Item::Automation { connection, automation, times } => {
                if write_automation(db, organisation, *connection, automation, *times)? {
                    grown.insert(*connection);
                }
            }
            Item::Event(used) => write_event(db, used)?,
        }
        written += 1;
        if began.elapsed() >= LONGEST {
            break;
        }
    }
    grown.into_iter().try_for_each(|connection| forget_oldest(db, organisation, connection))?;
    Ok(written)
}

fn write_last(db: &mut DbConnection, organisation: &OrgId, connection: Uuid, last: i64) -> Result<(), DbError> {
    diesel::update(
        connections::table
            .filter(connections::organisation_id.eq(organisation.as_str()))
            .filter(connections::id.eq(connection.to_string()))
            // Another replica may have written a later one.
            .filter(connections::last_used_at.is_null().or(connections::last_used_at.lt(last))),
    )
    .set(connections::last_used_at.eq(Some(last)))
    .execute(db)?;
    Ok(())
}

/// Says whether the automation is one that the connection did not know.
fn write_automation(
    db: &mut DbConnection,
    organisation: &OrgId,
    connection: Uuid,
    automation: &str,
    times: Times,
) -> Result<bool, DbError> {
    let known = diesel::update(
        automations::table
            .filter(automations::organisation_id.eq(organisation.as_str()))
            .filter(automations::connection_id.eq(connection.to_string()))
            .filter(automations::automation_id.eq(automation)),
    )
    .set(automations::last_used_at.eq(times.last))
    .execute(db)?;
    if known > 0 {
        return Ok(false);
    }
    let row = AutomationRow {
        connection_id: connection.to_string(),
        automation_id: automation.to_owned(),
        organisation_id: organisation.as_str().to_owned(),
        first_used_at: times.first,
        last_used_at: times.last,
    };
    diesel::insert_into(automations::table).values(&row).execute(db)?;
    Ok(true)
}

fn write_event(db: &mut DbConnection, used: &Used) -> Result<(), DbError> {
    let detail = match &used.what {
        What::First { automation } => json!({ "automation_id": automation }),
        What::Hour { since, count } => json!({ "since": time(*since), "count": count }),
    };
    let event = Event {
        action: Action::ConnectionUsed,
        outcome: used.outcome.to_owned(),
        connection: Some(used.connection),
        detail,
    };
    match used.what {
        What::First { .. } => audit::append(db, &used.actor, &event, used.at),
        // Many requests, perhaps from many places.
        What::Hour { .. } => audit::append_without_request(db, &used.actor, &event, used.at),
    }
}

/// Made-up automations push out those that were used least lately, and take no more room.
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
