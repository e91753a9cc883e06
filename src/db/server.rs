//! What a PostgreSQL server says of itself: whether it takes writes, and which history it writes.
//!
//! After a failover the old primary may come back and take writes as if nothing had happened; nothing but its timeline
//! tells it from the new one. What is asked here a plain role may ask. Services that speak PostgreSQL without being it
//! may refuse the question of the timeline: then nothing is concluded from it.

use std::fmt;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use jiff::Timestamp;

use super::error::{DbError, ReadOnly};
use crate::clock;

/// Which history of which cluster a server writes. A promotion begins another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    cluster: i64,
    number: u32,
}

impl Timeline {
    /// Whether another server of the same cluster was promoted after this history.
    pub(super) fn is_before(self, other: Self) -> bool {
        self.cluster == other.cluster && self.number < other.number
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}-{:x}", self.cluster, self.number)
    }
}

#[derive(QueryableByName)]
struct Writes {
    #[diesel(sql_type = Bool)]
    is_standby: bool,
    #[diesel(sql_type = Bool)]
    is_read_only: bool,
    #[diesel(sql_type = BigInt)]
    now: i64,
}

#[derive(QueryableByName)]
struct History {
    #[diesel(sql_type = BigInt)]
    cluster: i64,
    #[diesel(sql_type = Text)]
    file: String,
}

#[derive(QueryableByName)]
struct Standbys {
    #[diesel(sql_type = Nullable<Text>)]
    wanted: Option<String>,
    #[diesel(sql_type = BigInt)]
    connected: i64,
    #[diesel(sql_type = BigInt)]
    waiting: i64,
}

const ASK_WRITES: &str = "SELECT pg_is_in_recovery() AS is_standby, \
                          current_setting('transaction_read_only') = 'on' AS is_read_only, \
                          CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS now";
const ASK_HISTORY: &str = "SELECT system_identifier AS cluster, pg_walfile_name(pg_current_wal_lsn()) AS file \
                           FROM pg_control_system()";
// A plain role sees that others are connected and what its own sessions wait for, and nothing more.
const ASK_STANDBYS: &str = "SELECT current_setting('synchronous_standby_names') AS wanted, \
                            (SELECT count(*) FROM pg_stat_replication) AS connected, \
                            (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
                             AND state_change < clock_timestamp() - interval '2 seconds') AS waiting";

/// Asks whether the server takes writes, and what its clock says.
pub(super) fn demand_writes(connection: &mut PgConnection) -> Result<(), DbError> {
    let asked = Timestamp::now();
    let Writes { is_standby, is_read_only, now } = sql_query(ASK_WRITES).get_result(connection)?;
    clock::follow(now, asked, Timestamp::now());
    if is_standby {
        Err(DbError::ReadOnly(ReadOnly::Standby))
    } else if is_read_only {
        Err(DbError::ReadOnly(ReadOnly::Setting))
    } else {
        Ok(())
    }
}

/// Asks a primary for its timeline.
pub(super) fn timeline(connection: &mut PgConnection) -> QueryResult<Timeline> {
    let History { cluster, file } = sql_query(ASK_HISTORY).get_result(connection)?;
    let number = file.get(..8).and_then(|number| u32::from_str_radix(number, 16).ok()).unwrap_or_default();
    Ok(Timeline { cluster, number })
}

/// Whether commits wait for a synchronous standby that is away.
pub(super) fn misses_standby(connection: &mut PgConnection) -> QueryResult<bool> {
    let Standbys { wanted, connected, waiting } = sql_query(ASK_STANDBYS).get_result(connection)?;
    let is_synchronous = wanted.is_some_and(|names| !names.trim().is_empty());
    Ok(is_synchronous && (connected == 0 || waiting > 0))
}
