//! The link to Redis: sessions, one after the other.
//!
//! A session ends with the first thing that goes wrong in it. From then on nobody waits for Redis, until the background
//! has begun another session. So a Redis that is dead costs the calls that are on their way [`PATIENCE`], once.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSubStream};
use redis::{AsyncConnectionConfig, Client, RedisResult};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::refusal::Refusal;
use super::{Change, Inner, PREFIX};
use crate::metrics::{self, RedisOperation};

/// The longest that anything waits for Redis.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);
/// The longest that beginning a session may take.
const JOIN_PATIENCE: Duration = Duration::from_secs(2);
/// The pause before the next try is between this and twice this.
const PAUSE: Duration = Duration::from_millis(400);
/// How often Redis is asked whether it is still there, and leases are renewed.
const BEAT: Duration = Duration::from_secs(1);

/// The channel on which changes are announced.
pub(super) const CHANGES: &str = "affzero:changed";

/// The link of one process.
pub(super) struct Link {
    client: Client,
    state: Mutex<State>,
    sessions: AtomicU64,
}

struct State {
    lines: Option<Lines>,
    /// Whether tables may be shared: all that changed meanwhile has been announced.
    open: bool,
    /// Whether the log said last that Redis is there.
    told: Option<bool>,
}

impl State {
    /// Forgets the connections of a session; says whether they were the present ones.
    fn close(&mut self, session: u64) -> bool {
        let Some(lines) = self.lines.take_if(|lines| lines.session == session) else { return false };
        lines.ended.notify_one();
        self.open = false;
        metrics::redis_up(false);
        true
    }

    fn tell_away(&mut self, cause: &str) {
        if self.told.replace(false) != Some(false) {
            tracing::warn!(cause, "Redis is unavailable: this replica goes on with limits and a cache of its own");
        }
    }
}

/// The connections of one session.
#[derive(Clone)]
pub(super) struct Lines {
    session: u64,
    /// For what is small and urgent.
    pub(super) quick: MultiplexedConnection,
    /// For tables, which nothing small should have to wait behind.
    pub(super) bulk: MultiplexedConnection,
    /// Which run of which server this is.
    pub(super) era: Arc<str>,
    ended: Arc<Notify>,
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        metrics::redis_up(false);
        let state = Mutex::new(State { lines: None, open: false, told: None });
        Self { client, state, sessions: AtomicU64::new(0) }
    }

    /// The connections, from the moment that there is a session.
    pub(super) fn lines(&self) -> Option<Lines> {
        self.lock().lines.clone()
    }

    /// The connections, where the session is open for everything.
    pub(super) fn open_lines(&self) -> Option<Lines> {
        let state = self.lock();
        if state.open { state.lines.clone() } else { None }
    }

    /// Waits for a command, within its time. Its failure ends the session.
    pub(super) async fn run<T>(
        &self,
        lines: &Lines,
        operation: RedisOperation,
        command: impl Future<Output = RedisResult<T>>,
    ) -> Option<T> {
        let cause = match timeout(PATIENCE, command).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        metrics::redis_error(operation);
        self.end(lines.session, &format!("{}: {cause}", operation.key()));
        None
    }

    fn begin(&self, lines: Lines) {
        let mut state = self.lock();
        state.lines = Some(lines);
        state.open = false;
    }

    fn open(&self, session: u64) {
        let mut state = self.lock();
        if state.lines.as_ref().is_some_and(|lines| lines.session == session) {
            state.open = true;
            metrics::redis_up(true);
            if state.told.replace(true) != Some(true) {
                tracing::info!("Redis is there: replicas share tables, budgets and counters");
            }
        }
    }

    /// Ends a session that something went wrong in, unless another has taken its place.
    fn end(&self, session: u64, cause: &str) {
        let mut state = self.lock();
        if state.close(session) {
            state.tell_away(cause);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> RedisResult<(Lines, PubSubStream)> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(JOIN_PATIENCE))
            .set_response_timeout(Some(JOIN_PATIENCE));
        let mut quick = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let bulk = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut changes = self.client.get_async_pubsub().await?;
        changes.subscribe(CHANGES).await?;
        // A server that only reads, or is full, is of no use.
        let () =
            redis::cmd("SET").arg(format!("{PREFIX}:link")).arg("").arg("EX").arg(60).query_async(&mut quick).await?;
        let about: String = redis::cmd("INFO").arg("server").query_async(&mut quick).await?;
        let era = about.lines().find_map(|line| line.strip_prefix("run_id:")).map(|id| Arc::from(id.trim()));
        let era = era.ok_or((redis::ErrorKind::UnexpectedReturnType, "INFO does not name the server's run_id"))?;
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        Ok((Lines { session, quick, bulk, era, ended: Arc::default() }, changes.into_on_message()))
    }
}

/// Does once what a session needs, and says how long that took.
pub(super) async fn knock(client: Client) -> Result<Duration, Refusal> {
    let tls = matches!(client.get_connection_info().addr(), redis::ConnectionAddr::TcpTls { .. });
    let link = Link::new(client);
    let started = Instant::now();
    let knocked = async {
        let (mut lines, _changes) = link.connect().await?;
        redis::cmd("PING").query_async::<()>(&mut lines.quick).await
    };
    match timeout(JOIN_PATIENCE, knocked).await {
        Ok(Ok(())) => Ok(started.elapsed()),
        Ok(Err(error)) => Err(Refusal::of(&error, tls)),
        Err(_) => Err(Refusal::silence(tls)),
    }
}

/// A time in which Redis is there. It ends with the first thing that goes wrong, and when it is dropped.
pub struct Session {
    inner: Arc<Inner>,
    lines: Lines,
    changes: PubSubStream,
    beat: Interval,
}

impl Session {
    pub(super) async fn join(inner: &Arc<Inner>) -> Self {
        loop {
            let cause = match timeout(JOIN_PATIENCE, inner.link.connect()).await {
                Ok(Ok((lines, changes))) => {
                    inner.link.begin(lines.clone());
                    let mut beat = interval(BEAT);
                    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    return Self { inner: Arc::clone(inner), lines, changes, beat };
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            metrics::redis_error(RedisOperation::Connect);
            inner.link.lock().tell_away(&cause);
            tokio::time::sleep(PAUSE + PAUSE.mul_f64(fastrand::f64())).await;
        }
    }

    /// Lets tables be shared: what changed while there was no session has been announced.
    pub fn open(&self) {
        self.inner.link.open(self.lines.session);
    }

    /// The next change that another replica announces; `None` when the session is over. Has to be waited for all the
    /// time: this is what keeps leases alive.
    pub async fn next_change(&mut self) -> Option<Change> {
        loop {
            tokio::select! {
                () = self.lines.ended.notified() => return None,
                message = self.changes.next() => match message {
                    None => {
                        self.inner.link.end(self.lines.session, "the connection ended");
                        return None;
                    }
                    Some(message) => {
                        if let Some(change) = self.inner.read_change(message.get_payload_bytes()) {
                            return Some(change);
                        }
                    }
                },
                _ = self.beat.tick() => {
                    let mut quick = self.lines.quick.clone();
                    let ping = redis::cmd("PING");
                    let () = self.inner.link.run(&self.lines, RedisOperation::Ping, ping.query_async(&mut quick)).await?;
                    self.inner.renew(&self.lines).await?;
                }
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.inner.link.lock().close(self.lines.session);
    }
}
