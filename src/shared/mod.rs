//! What the replicas of the service share, over Redis: pulled tables (`tables`), budgets towards trackers (`budget`)
//! and counters (`counter`).
//!
//! Redis is never needed. While it is away each replica continues with what it has itself; a request that finds it dead
//! waits for it once, and for a moment. One [`RedisSession`] follows the other (`link`), and only the background waits
//! for the next.
//!
//! What is in Redis is worth nothing to a thief. Values are sealed by the vault, each under a key of its own; names are
//! keyed hashes. Replicas whose active keys differ, as they do for the minutes in which a key ring is rotated, make
//! different names: they share no tables and count apart, but still notify each other of changes.
//!
//! # Why a shared table is never one of before a change
//!
//! Beside its tables each connection has a *state* in Redis: a random part, and the version of the connection that all
//! its tables are of. A table is sealed for the random part that was read before the pull began to read the connection,
//! it is only stored while that stands, and it opens under no other. Announcing a change, which is a version that the
//! state does not have, replaces both. A table that was pulled, or begun to be pulled, before an announcement is
//! therefore out of reach from then on, however late it comes, and no clocks are compared. A state that was evicted
//! comes back with another random part, so eviction forgets tables and never revives them.
//!
//! It remains that each change is announced, within a second and whatever dies:
//!
//! - The process that makes a change announces it before the answer goes out.
//! - Every replica looks into the database about once a second and announces what it finds there. The same
//!   announcement twice changes nothing, so if that process dies or loses Redis, it costs a second.
//! - A failed announcement ends the session, and so does whatever else fails. Before a session is opened for tables, all
//!   changes of the time that any table could have lived through are read from the database and announced; what is
//!   found after that read has begun is announced in the session.
//! - While the database cannot be asked, nothing shared is used.
//! - A Redis that was restarted may have loaded an old snapshot, and one that took over may have missed announcements.
//!   Names and seals depend on the server's run id, so nothing from before is found again.
//!
//! Independently of Redis each replica remembers the versions it has learned and takes no table of an older one. That
//! is what makes a change show at once where it was made.

mod address;
mod budget;
mod change;
mod counter;
mod inner;
mod link;
mod refusal;
mod session;
mod tables;

use std::sync::Arc;
use std::time::Duration;

pub use self::address::Address;
pub use self::change::Change;
pub use self::counter::{Taken, Token, Window};
use self::inner::Inner;
use self::link::Link;
pub use self::refusal::Refusal;
pub use self::session::RedisSession;
pub use self::tables::{Found, Kept, TableOf, Ticket};
use crate::vault::Vault;

/// How it stands with Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No `REDIS_URL` is set.
    Unused,
    /// It is there, and what replicas share is shared.
    Ok,
    /// It is away: each replica is on its own.
    Unavailable,
}

impl Standing {
    /// The word for it in readiness.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Ok => "ok",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What replicas share; nothing, where there is no Redis.
#[derive(Clone)]
pub struct Shared {
    inner: Option<Arc<Inner>>,
}

impl Shared {
    /// Shares nothing.
    pub fn nothing() -> Self {
        Self { inner: None }
    }

    /// Shares over the Redis at `address`, as soon as it is there.
    pub fn over(address: Address, vault: Arc<Vault>) -> Self {
        Self { inner: Some(Arc::new(Inner::new(vault, Link::new(address)))) }
    }

    /// How it stands with Redis right now.
    pub fn standing(&self) -> Standing {
        match &self.inner {
            None => Standing::Unused,
            Some(inner) if inner.link.open_connections().is_some() => Standing::Ok,
            Some(_) => Standing::Unavailable,
        }
    }

    /// Shares only with what stands beside the same history of the database: its versions mean the same changes.
    pub(crate) fn stand_beside(&self, history: &str) {
        if let Some(inner) = &self.inner {
            inner.link.stand_beside(history);
        }
    }

    /// Waits for Redis and begins a session; forever, where there is none.
    pub async fn join(&self) -> RedisSession {
        match &self.inner {
            None => std::future::pending().await,
            Some(inner) => RedisSession::join(inner).await,
        }
    }
}

/// Whether the Redis at `address` gives a session what it needs, and how long that took. It keeps one name for a minute.
///
/// # Errors
/// Why it is of no use.
pub async fn knock(address: Address) -> Result<Duration, Refusal> {
    link::knock(address).await
}
