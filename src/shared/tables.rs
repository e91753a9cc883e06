//! Tables that one replica pulled and others use; see the module's documentation for what makes them forgotten.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Shared;
use super::change::Change;
use super::inner::Inner;
use super::link::{CHANGES, RedisConnections};
use crate::metrics::{self, RedisOperation};

/// The largest sealed table that is shared.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long a state stays that nobody asks for. It only has to outlive the tables that it is of.
const STATE_SECONDS: u64 = 2 * 24 * 3_600;
/// Changes that are announced with one command.
const BATCH: usize = 250;

static LOOK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("look.lua")));
static KEEP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keep.lua")));
static ANNOUNCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("announce.lua")));

/// What a table is of.
#[derive(Debug, Clone, Copy)]
pub struct TableOf<'a> {
    /// Whose it is.
    pub organisation: &'a str,
    /// The connection it was pulled through.
    pub connection: Uuid,
    /// The question, and the form in which the answer is kept.
    pub query: &'a str,
}

impl TableOf<'_> {
    fn parts<'a>(&'a self, era: &'a str) -> [&'a [u8]; 4] {
        [era.as_bytes(), self.organisation.as_bytes(), self.connection.as_bytes(), self.query.as_bytes()]
    }
}

/// The right to share a table whose pull begins now.
pub struct Ticket {
    connections: RedisConnections,
    /// The random part of the connection's state.
    state: Vec<u8>,
}

/// A table to be shared.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// The version of the connection it was pulled through.
    pub version: i64,
    /// Its packed form.
    pub packed: &'a [u8],
    /// How long it counts.
    pub lifetime: Duration,
}

/// A shared table.
pub struct Found {
    /// Its packed form.
    pub packed: Zeroizing<Vec<u8>>,
    /// How long it still counts.
    pub left: Duration,
}

impl Shared {
    /// Looks for a table, if it is `wanted`, and gets the ticket for a pull in case there is none. `None` where nothing
    /// is shared right now.
    pub async fn look(&self, of: TableOf<'_>, wanted: bool) -> Option<(Ticket, Option<Found>)> {
        let inner = self.inner.as_deref()?;
        let connections = inner.link.open_connections()?;
        let mut look = LOOK.prepare_invoke();
        look.key(inner.state_of(&connections, of.connection)).key(inner.name("table", &of.parts(&connections.era)));
        look.arg(random_word()?).arg(STATE_SECONDS).arg(u8::from(wanted));
        let mut bulk = connections.bulk.clone();
        let (state, sealed, left): (Vec<u8>, Option<Vec<u8>>, i64) =
            inner.link.run(&connections, RedisOperation::Look, look.invoke_async(&mut bulk)).await?;
        let found = sealed.and_then(|sealed| {
            let packed = inner.vault.open_passing(&sealed_for(&of, &connections, &state), &sealed);
            Some(Found { packed: packed.ok()?, left: Duration::from_millis(u64::try_from(left).ok()?) })
        });
        if wanted {
            metrics::shared_cache(if found.is_some() { "hit" } else { "miss" });
        }
        Some((Ticket { connections, state }, found))
    }

    /// Shares a table; says whether it is shared now.
    pub async fn keep(&self, ticket: Ticket, of: TableOf<'_>, table: Kept<'_>) -> bool {
        let outcome = self.try_keep(ticket, of, table).await;
        metrics::shared_cache(outcome);
        outcome == "stored"
    }

    async fn try_keep(&self, ticket: Ticket, of: TableOf<'_>, table: Kept<'_>) -> &'static str {
        let Some(inner) = &self.inner else { return "failed" };
        let Ticket { connections, state } = ticket;
        let Ok(sealed) = inner.vault.seal_passing(&sealed_for(&of, &connections, &state), table.packed) else {
            return "failed";
        };
        if sealed.len() > MAX_BYTES {
            return "too_large";
        }
        let mut keep = KEEP.prepare_invoke();
        keep.key(inner.state_of(&connections, of.connection)).key(inner.name("table", &of.parts(&connections.era)));
        keep.arg(state).arg(table.version).arg(STATE_SECONDS);
        keep.arg(sealed).arg(u64::try_from(table.lifetime.as_millis()).unwrap_or(u64::MAX));
        let mut bulk = connections.bulk.clone();
        match inner.link.run(&connections, RedisOperation::Keep, keep.invoke_async(&mut bulk)).await {
            Some(true) => "stored",
            Some(false) => "outdated",
            None => "failed",
        }
    }

    /// Makes every replica forget what was pulled before these changes. Where that fails the session ends, and the next
    /// one begins with announcing them.
    pub async fn announce(&self, changes: &[Change]) -> bool {
        let Some(inner) = self.inner.as_deref() else { return true };
        let Some(connections) = inner.link.connections() else { return false };
        for some in changes.chunks(BATCH) {
            let Some(()) = inner.announce(&connections, some).await else { return false };
        }
        true
    }
}

impl Inner {
    async fn announce(&self, connections: &RedisConnections, changes: &[Change]) -> Option<()> {
        let mut announce = ANNOUNCE.prepare_invoke();
        announce.arg(STATE_SECONDS).arg(CHANGES);
        for change in changes {
            announce.key(self.state_of(connections, change.connection));
            announce.arg(random_word()?).arg(change.version).arg(self.write_change(change)?);
        }
        let mut quick = connections.quick.clone();
        self.link.run(connections, RedisOperation::Announce, announce.invoke_async(&mut quick)).await
    }

    fn state_of(&self, connections: &RedisConnections, connection: Uuid) -> String {
        self.name("state", &[connections.era.as_bytes(), connection.as_bytes()])
    }

    fn write_change(&self, change: &Change) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(24);
        text.extend_from_slice(change.connection.as_bytes());
        text.extend_from_slice(&change.version.to_be_bytes());
        self.vault.seal_passing(&[CHANGES.as_bytes()], &text).ok()
    }

    /// What a message says; `None` if it is not one of ours.
    pub(super) fn read_change(&self, message: &[u8]) -> Option<Change> {
        let text = self.vault.open_passing(&[CHANGES.as_bytes()], message).ok()?;
        let (&connection, version) = text.split_first_chunk::<16>()?;
        Some(Change { connection: Uuid::from_bytes(connection), version: i64::from_be_bytes(version.try_into().ok()?) })
    }
}

fn sealed_for<'a>(of: &'a TableOf<'a>, connections: &'a RedisConnections, state: &'a [u8]) -> [&'a [u8]; 5] {
    let [era, organisation, connection, query] = of.parts(&connections.era);
    [era, organisation, connection, query, state]
}

/// What nobody has drawn before.
fn random_word() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(format!("{:032x}", u128::from_be_bytes(bytes)))
}
