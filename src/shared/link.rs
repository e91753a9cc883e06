//! The link to Redis: the connections of one session after the other.
//!
//! A session ends with the first thing that goes wrong in it. From then on nobody waits for Redis, until the background
//! has begun another session. So a Redis that is dead costs the calls that are on their way [`TIMEOUT`], once.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::{MultiplexedConnection, PubSubStream};
use redis::{AsyncConnectionConfig, Client, RedisResult};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::address::Address;
use super::refusal::{Refusal, value};
use crate::metrics::{self, RedisOperation};

/// The longest that anything waits for Redis.
pub(super) const TIMEOUT: Duration = Duration::from_millis(300);
/// The longest that beginning a session may take.
pub(super) const JOIN_TIMEOUT: Duration = Duration::from_secs(2);
/// All names in Redis begin with this.
pub(super) const PREFIX: &str = "affzero";

/// The channel on which changes are announced.
pub(super) const CHANGES: &str = "affzero:changed";

/// The link of one process.
pub(super) struct Link {
    address: Address,
    state: Mutex<State>,
    sessions: AtomicU64,
    /// Which history of the database this process stands beside; empty where there is but one.
    history: Mutex<String>,
}

struct State {
    connections: Option<RedisConnections>,
    /// Whether tables may be shared: all that changed meanwhile has been announced.
    open: bool,
    /// Whether the log said last that Redis is there.
    last_logged: Option<bool>,
}

impl State {
    /// Forgets the connections of a session; says whether they were the present ones.
    fn close(&mut self, session: u64) -> bool {
        let Some(connections) = self.connections.take_if(|connections| connections.session == session) else {
            return false;
        };
        connections.ended.notify_one();
        self.open = false;
        metrics::redis_up(false);
        true
    }

    fn log_unavailable(&mut self, cause: &str) {
        if self.last_logged.replace(false) != Some(false) {
            tracing::warn!(cause, "Redis is unavailable: this replica continues with limits and a cache of its own");
        }
    }
}

/// The connections of one session.
#[derive(Clone)]
pub(super) struct RedisConnections {
    pub(super) session: u64,
    /// The server's address.
    address: String,
    /// For what is small and urgent.
    pub(super) quick: MultiplexedConnection,
    /// For tables, which nothing small should have to wait behind.
    pub(super) bulk: MultiplexedConnection,
    /// Which run of which server this is, beside which history of the database.
    pub(super) era: Arc<str>,
    pub(super) ended: Arc<Notify>,
}

impl Link {
    pub(super) fn new(address: Address) -> Self {
        metrics::redis_up(false);
        let state = Mutex::new(State { connections: None, open: false, last_logged: None });
        Self { address, state, sessions: AtomicU64::new(0), history: Mutex::default() }
    }

    /// The connections, from the moment that there is a session.
    pub(super) fn connections(&self) -> Option<RedisConnections> {
        self.state.lock().connections.clone()
    }

    /// The connections, where the session is open for everything.
    pub(super) fn open_connections(&self) -> Option<RedisConnections> {
        let state = self.state.lock();
        if state.open { state.connections.clone() } else { None }
    }

    /// Waits for a command, within its time. Its failure ends the session.
    pub(super) async fn run<T>(
        &self,
        connections: &RedisConnections,
        operation: RedisOperation,
        command: impl Future<Output = RedisResult<T>>,
    ) -> Option<T> {
        let cause = match timeout(TIMEOUT, command).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        metrics::redis_error(operation);
        self.end(connections.session, &format!("{}: {cause}", operation.key()));
        None
    }

    pub(super) fn begin(&self, connections: RedisConnections) {
        let mut state = self.state.lock();
        state.connections = Some(connections);
        state.open = false;
    }

    pub(super) fn open(&self, session: u64) {
        let mut state = self.state.lock();
        if state.connections.as_ref().is_some_and(|connections| connections.session == session) {
            state.open = true;
            metrics::redis_up(true);
            if state.last_logged.replace(true) != Some(true) {
                tracing::info!("Redis is there: replicas share tables, budgets and counters");
            }
        }
    }

    /// Ends a session that something went wrong in, unless another has taken its place.
    pub(super) fn end(&self, session: u64, cause: &str) {
        let mut state = self.state.lock();
        if state.close(session) {
            state.log_unavailable(cause);
        }
    }

    /// Ends the session if this process stands beside another history of the database from now on.
    pub(super) fn stand_beside(&self, history: &str) {
        let mut known = self.history.lock();
        if *known == history {
            return;
        }
        history.clone_into(&mut known);
        let session = self.connections().map(|connections| connections.session);
        if let Some(session) = session {
            self.end(session, "the database has failed over");
        }
    }

    /// Notes that there is no session to be had.
    pub(super) fn record_failure(&self, cause: &str) {
        metrics::redis_error(RedisOperation::Connect);
        self.state.lock().log_unavailable(cause);
    }

    /// Forgets the connections of a session that is over.
    pub(super) fn close(&self, session: u64) {
        self.state.lock().close(session);
    }

    /// Whether Sentinels name another server than that of this session. Where they say nothing, nothing is known.
    pub(super) async fn has_moved(&self, connections: &RedisConnections) -> bool {
        if !self.address.may_move() {
            return false;
        }
        let named = timeout(JOIN_TIMEOUT, self.address.client()).await;
        matches!(named, Ok(Ok(client)) if client.get_connection_info().addr().to_string() != connections.address)
    }

    /// Opens the connections of a session, if Redis gives one what it needs.
    pub(super) async fn connect(&self) -> Result<(RedisConnections, PubSubStream), Refusal> {
        let connecting = async {
            let refused = |error| Refusal::of(&error, self.address.uses_tls());
            let client = self.address.client().await.map_err(refused)?;
            let mut quick =
                client.get_multiplexed_async_connection_with_config(&within_bounds()).await.map_err(refused)?;
            let about: String = redis::cmd("INFO").arg("server").query_async(&mut quick).await.map_err(refused)?;
            if let Some(refusal) = Refusal::of_mode(&about) {
                return Err(refusal);
            }
            let run = value(&about, "run_id").ok_or_else(Refusal::no_run_id)?;
            let history = self.history.lock().clone();
            let era = Arc::from(if history.is_empty() { run.to_owned() } else { format!("{run} {history}") });
            let (bulk, changes) = prepare(&client, &mut quick).await.map_err(refused)?;
            let session = self.sessions.fetch_add(1, Ordering::Relaxed);
            let address = client.get_connection_info().addr().to_string();
            Ok((RedisConnections { session, address, quick, bulk, era, ended: Arc::default() }, changes))
        };
        match timeout(JOIN_TIMEOUT, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Refusal::silence(self.address.uses_tls())),
        }
    }
}

fn within_bounds() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(JOIN_TIMEOUT)).set_response_timeout(Some(JOIN_TIMEOUT))
}

/// The connections beside the first one.
async fn prepare(
    client: &Client,
    quick: &mut MultiplexedConnection,
) -> RedisResult<(MultiplexedConnection, PubSubStream)> {
    let bulk = client.get_multiplexed_async_connection_with_config(&within_bounds()).await?;
    let mut changes = client.get_async_pubsub().await?;
    changes.subscribe(CHANGES).await?;
    // A server that only reads, or is full, is of no use.
    let () = redis::cmd("SET").arg(format!("{PREFIX}:link")).arg("").arg("EX").arg(60).query_async(quick).await?;
    Ok((bulk, changes.into_on_message()))
}

/// Does once what a session needs, and says how long that took.
pub(super) async fn knock(address: Address) -> Result<Duration, Refusal> {
    let tls = address.uses_tls();
    let link = Link::new(address);
    let started = Instant::now();
    let (mut connections, _changes) = link.connect().await?;
    redis::cmd("PING").query_async::<()>(&mut connections.quick).await.map_err(|error| Refusal::of(&error, tls))?;
    Ok(started.elapsed())
}
