//! Writing a batch of uses.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::pending::{Item, Seen, Used, What};
use crate::clock::time;
use crate::connections::action::Action;
use crate::connections::audit::{self, Event};
use crate::connections::schedule::Schedule;
use crate::connections::store::{automations, health};
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// A transaction begins nothing more after this time: others wait for theirs.
const LONGEST: Duration = Duration::from_millis(100);

/// Writes as much of a batch as there is time for; says how much that was, always more than nothing.
pub(super) fn write(
    db: &mut DbConnection,
    schedule: Schedule,
    organisation: &OrgId,
    items: &[Item],
) -> Result<usize, DbError> {
    let began = Instant::now();
    let mut grown = BTreeSet::new();
    let mut written = 0;
    for item in items {
        match item {
            Item::Connection { connection, seen: Seen { used, worked } } => {
                if let Some(used) = *used {
                    automations::write_last(db, organisation, *connection, used)?;
                }
                if let Some(worked) = *worked {
                    let check_after = schedule.after_success(worked);
                    health::write_success(db, organisation, *connection, worked, check_after)?;
                }
            }
            Item::Automation { connection, automation, times } => {
                if automations::write(db, organisation, *connection, automation, (times.first, times.last))? {
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
    grown.into_iter().try_for_each(|connection| automations::forget_oldest(db, organisation, connection))?;
    Ok(written)
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
