//! Connections to the database: how long they may take, which are kept open, and how many are in use.
//!
//! A query waits for a permit first, which takes no thread; only then does a thread fetch a connection and run
//! the queries. What does not end in time is given up: its caller gets an error and its permit is free for others,
//! while thread and connection end by themselves, as soon as the system has noticed that nobody is there.
//!
//! The usual pools do not go with that: they try a connection without a bound, and one that hangs keeps its permit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, CacheSize, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use parking_lot::{Mutex, MutexGuard};
use secrecy::ExposeSecret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::server::{self, Timeline};
use super::{DatabaseUrl, DbConnection, DbError, ReadOnly};
use crate::hosts::Hosts;

/// How long PostgreSQL may take to take a connection, all its hosts together.
const CONNECT: Duration = Duration::from_secs(5);
/// The least that one of several hosts is given: libpq takes no less.
const LEAST_CONNECT_SECONDS: u64 = 2;
/// How often a server is looked for that is no standby and no old primary: behind one address there may be several.
const LEAST_TRIES: usize = 3;
/// The generation of connections that are used once.
const NEVER_AGAIN: u64 = u64::MAX;
/// How often a connection's server is asked whether it still takes writes.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long the system sends again what PostgreSQL does not acknowledge, before it takes the connection for lost.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// How long PostgreSQL lets a transaction hold its locks while its process does nothing: a replica that was lost in the
/// middle of one holds others up for no longer.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// How long a connection is kept open that nobody uses, and how long one is used.
const IDLE: Duration = Duration::from_secs(600);
const LIFETIME: Duration = Duration::from_secs(1_800);

/// Queries that were given up and are still running give their permits to others, unless they are so many times as many
/// as there are permits: threads and connections have an end too.
const MOST_GIVEN_UP: u32 = 3;

/// How long the database may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// For one statement. PostgreSQL ends what takes longer.
    pub(super) statement: Duration,
    /// To get a row that another session has locked.
    pub(super) lock: Duration,
    /// For everything together: a turn, a connection, and all statements.
    pub(super) total: Duration,
}

impl Bounds {
    /// While callers wait.
    pub(super) const SERVING: Self =
        Self { statement: Duration::from_secs(5), lock: Duration::from_secs(3), total: Duration::from_secs(10) };
    /// While a command goes through everything.
    pub(super) const WORKING: Self =
        Self { statement: Duration::from_secs(600), lock: Duration::from_secs(60), total: Duration::from_secs(900) };
}

fn connect_to_postgres(url: &str) -> Result<PgConnection, DbError> {
    let mut connection = PgConnection::establish(url).map_err(unavailable)?;
    // A pooler gives each transaction to whichever server connection is free: what one has prepared, another does not
    // know, or knows under the same name as something else.
    connection.set_prepared_statement_cache_size(CacheSize::Disabled);
    Ok(connection)
}

fn connect_to_sqlite(path: &Path) -> Result<SqliteConnection, DbError> {
    let mut connection = SqliteConnection::establish(&path.to_string_lossy()).map_err(unavailable)?;
    // WAL lets readers go on while one writes; `synchronous = FULL` makes an acknowledged write survive a power cut;
    // `secure_delete` overwrites what is deleted.
    connection
        .batch_execute(
            "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA cache_size = -1000;",
        )
        .map_err(unavailable)?;
    Ok(connection)
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> DbError {
    DbError::Unavailable(Box::new(error))
}

/// The URL with what it does not say itself of how long a connection may be silent, and which of several hosts is meant.
fn within_bounds(url: &str) -> String {
    let hosts = Hosts::parse(url);
    let several = hosts.as_ref().map_or(1, Hosts::count);
    let connect = CONNECT.as_secs().checked_div(several).unwrap_or_default().max(LEAST_CONNECT_SECONDS);
    let options = [
        ("connect_timeout", connect.to_string()),
        ("tcp_user_timeout", UNACKNOWLEDGED.as_millis().to_string()),
        ("keepalives_idle", "10".to_owned()),
        ("keepalives_interval", "5".to_owned()),
        ("keepalives_count", "3".to_owned()),
    ];
    let primary = (several > 1).then(|| ("target_session_attrs", "read-write".to_owned()));
    let mut all = url.to_owned();
    for (name, value) in options.into_iter().chain(primary) {
        if hosts.as_ref().is_none_or(|hosts| hosts.options().all(|known| known != name)) {
            let separator = if !all.contains('?') {
                "?"
            } else if all.ends_with(['?', '&']) {
                ""
            } else {
                "&"
            };
            all = format!("{all}{separator}{name}={value}");
        }
    }
    all
}

/// What a transaction of PostgreSQL begins with. A pooler may give each transaction another session, so all settings are
/// the transaction's own. Bounds that the URL, the role or the database has already are left alone; the isolation level
/// is the one that the queries were written for.
fn begin(bounds: Bounds) -> String {
    let settings = [
        ("statement_timeout", bounds.statement),
        ("lock_timeout", bounds.lock),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
    ];
    let settings = settings.map(|(name, time)| {
        let time = time.as_millis();
        format!("SELECT set_config('{name}', '{time}', true) WHERE current_setting('{name}') = '0';")
    });
    format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}", settings.concat())
}

/// The URL, and those with the same hosts beginning at another one.
fn in_every_order(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), authority),
    };
    let mut hosts: Vec<&str> = hosts.split(',').collect();
    let orders = (0..hosts.len()).map(|_| {
        let order = format!("{scheme}://{login}{}{tail}", hosts.join(","));
        hosts.rotate_left(1);
        order
    });
    orders.collect()
}

fn is_in_transaction(connection: &mut DbConnection) -> bool {
    let status = match connection {
        DbConnection::Postgres(connection) => AnsiTransactionManager::transaction_manager_status_mut(connection),
        DbConnection::Sqlite(connection) => AnsiTransactionManager::transaction_manager_status_mut(connection),
    };
    matches!(status.transaction_depth(), Ok(Some(_)))
}

/// Commits what is going on, if anything is.
fn commit(connection: &mut DbConnection) -> QueryResult<()> {
    if !is_in_transaction(connection) {
        return Ok(());
    }
    match connection {
        DbConnection::Postgres(connection) => AnsiTransactionManager::commit_transaction(connection),
        DbConnection::Sqlite(connection) => AnsiTransactionManager::commit_transaction(connection),
    }
}

/// Takes back what is going on, if anything is. Where that fails the connection is broken, and is found to be.
fn roll_back(connection: &mut DbConnection) {
    if is_in_transaction(connection) {
        let _ = match connection {
            DbConnection::Postgres(connection) => AnsiTransactionManager::rollback_transaction(connection),
            DbConnection::Sqlite(connection) => AnsiTransactionManager::rollback_transaction(connection),
        };
    }
}

/// Whether a transaction was left open, or the connection is no good any more.
fn is_broken(connection: &mut DbConnection) -> bool {
    match connection {
        DbConnection::Postgres(connection) => AnsiTransactionManager::is_broken_transaction_manager(connection),
        DbConnection::Sqlite(connection) => AnsiTransactionManager::is_broken_transaction_manager(connection),
    }
}

/// The connections of one process.
pub(super) struct Pool {
    pub(super) url: DatabaseUrl,
    pub(super) bounds: Bounds,
    pub(super) size: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    /// Queries that are given up and still run.
    given_up: AtomicU32,
    /// Connections of an earlier generation are not used again.
    generation: AtomicU64,
    /// The latest history that a server was found to write.
    timeline: Mutex<Option<Timeline>>,
}

/// A connection that nobody uses.
struct Idle {
    connection: DbConnection,
    age: Age,
    since: Instant,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
struct Age {
    opened: Instant,
    generation: u64,
    /// When its server was asked last whether it takes writes.
    asked: Option<Instant>,
}

impl Age {
    fn is_over(&self, now: Instant, generation: u64) -> bool {
        self.generation != generation || now.saturating_duration_since(self.opened) >= LIFETIME
    }
}

impl Idle {
    fn is_over(&self, now: Instant, generation: u64) -> bool {
        now.saturating_duration_since(self.since) >= IDLE || self.age.is_over(now, generation)
    }
}

/// The right to use a connection.
pub(super) type Permit = OwnedSemaphorePermit;

impl Pool {
    /// Opens the first connection. A server that is just being started is given a moment.
    pub(super) fn open(url: &DatabaseUrl, size: u32, bounds: Bounds) -> Result<Arc<Self>, DbError> {
        let pool = Arc::new(Self {
            url: url.clone(),
            bounds,
            size,
            permits: Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1))),
            idle: Mutex::default(),
            given_up: AtomicU32::new(0),
            generation: AtomicU64::new(0),
            timeline: Mutex::default(),
        });
        let started = Instant::now();
        let (connection, age) = loop {
            match pool.connect() {
                Ok(opened) => break opened,
                Err(error) if started.elapsed() >= CONNECT => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        };
        pool.put_back(connection, age);
        Ok(pool)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock()
    }

    /// The history that the database writes, where that is known.
    pub(super) fn timeline(&self) -> Option<Timeline> {
        *self.timeline.lock()
    }

    /// How many connections are open and idle, and how many are in use.
    pub(super) fn state(&self) -> (u32, u32) {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (count(self.idle().len()), self.size.saturating_sub(count(self.permits.available_permits())))
    }

    /// Waits for a permit until the deadline.
    pub(super) async fn permit(&self, deadline: Instant) -> Result<Permit, DbError> {
        match timeout_at(deadline.into(), Arc::clone(&self.permits).acquire_owned()).await {
            Ok(permit) => permit.map_err(unavailable),
            Err(_) => Err(DbError::TooSlow),
        }
    }

    /// Opens a connection for queries within bounds.
    fn connect(&self) -> Result<(DbConnection, Age), DbError> {
        let generation = self.generation.load(Ordering::Relaxed);
        let (connection, writes) = self.connect_to_any()?;
        let now = Instant::now();
        let generation = if writes { generation } else { NEVER_AGAIN };
        Ok((connection, Age { opened: now, generation, asked: Some(now) }))
    }

    /// Opens a connection that takes writes, whose statements may take as long as they like: for a migration or a backup.
    pub(super) fn connect_without_bounds(&self) -> Result<DbConnection, DbError> {
        match self.connect_to_any()? {
            (connection, true) => Ok(connection),
            (_, false) => Err(DbError::ReadOnly(ReadOnly::Setting)),
        }
    }

    /// Opens a connection, and says whether its session takes writes. Of several servers one is taken that is no standby
    /// and no old primary, if there is one.
    fn connect_to_any(&self) -> Result<(DbConnection, bool), DbError> {
        match &self.url {
            DatabaseUrl::Sqlite(path) => Ok((DbConnection::Sqlite(connect_to_sqlite(path)?), true)),
            DatabaseUrl::Postgres(url) => {
                let mut last = DbError::TooSlow;
                let orders = in_every_order(url.expose_secret());
                for url in orders.iter().cycle().take(orders.len().max(LEAST_TRIES)) {
                    let mut connection = connect_to_postgres(&within_bounds(url))?;
                    match connection.transaction(|connection| self.examine(connection)) {
                        Ok(writes) => return Ok((DbConnection::Postgres(connection), writes)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// Asks a server whether it takes writes, and continues the history that others have seen. Says whether the session is
    /// worth keeping: one that is set to be read only is used for reading, and a write says why it fails.
    fn examine(&self, connection: &mut PgConnection) -> Result<bool, DbError> {
        let writes = match server::demand_writes(connection) {
            Ok(()) => true,
            Err(DbError::ReadOnly(ReadOnly::Setting)) => false,
            Err(error) => return Err(error),
        };
        // Within a savepoint: a server that does not know the question has not failed.
        let Ok(found) = connection.transaction(server::timeline) else { return Ok(writes) };
        let mut known = self.timeline.lock();
        if known.is_some_and(|known| found.is_before(known)) {
            return Err(DbError::ReadOnly(ReadOnly::OldPrimary));
        }
        if known.replace(found).is_some_and(|known| known != found) {
            tracing::warn!(timeline = %found, "the database has failed over, or is another one");
        }
        Ok(writes)
    }

    /// Fetches a connection that answers, or opens one: for threads that may wait, with a permit. On PostgreSQL a
    /// transaction has begun on it.
    pub(super) fn fetch(self: &Arc<Self>) -> Result<Fetched, DbError> {
        // The lock is not held while a connection is tried, and closed if it is no good.
        let next = || self.idle().pop();
        while let Some(kept) = next() {
            if !kept.is_over(Instant::now(), self.generation.load(Ordering::Relaxed)) {
                let Idle { connection, age, .. } = kept;
                if let Ok(fetched) = self.begin(connection, age) {
                    return Ok(fetched);
                }
            }
        }
        let (connection, age) = self.connect()?;
        self.begin(connection, age)
    }

    /// Begins a transaction of PostgreSQL; that it can begin shows that somebody is at the other end.
    fn begin(self: &Arc<Self>, mut connection: DbConnection, mut age: Age) -> Result<Fetched, DbError> {
        if let DbConnection::Postgres(connection) = &mut connection {
            AnsiTransactionManager::begin_transaction_sql(connection, &begin(self.bounds)).map_err(unavailable)?;
            if age.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
                age.asked = Some(Instant::now());
                if !self.examine(connection)? {
                    age.generation = NEVER_AGAIN;
                }
            }
        }
        Ok(Fetched { pool: Arc::clone(self), connection: Some(connection), age, deadline: None })
    }

    /// Stops using the connections that are open now, once they are back: something is wrong with their server, or was.
    fn distrust(&self) {
        if matches!(self.url, DatabaseUrl::Postgres(_)) {
            self.generation.fetch_add(1, Ordering::Relaxed);
            let over = std::mem::take(&mut *self.idle());
            drop(over);
        }
    }

    fn put_back(&self, connection: DbConnection, age: Age) {
        let (now, generation) = (Instant::now(), self.generation.load(Ordering::Relaxed));
        if age.is_over(now, generation) {
            return;
        }
        let mut idle = self.idle();
        if idle.len() < usize::try_from(self.size).unwrap_or(usize::MAX) {
            idle.push(Idle { connection, age, since: now });
        }
        // Those that were used last stand behind: the first one has waited for longest.
        let over: Vec<Idle> = idle.extract_if(.., |kept| kept.is_over(now, generation)).collect();
        drop(idle);
        drop(over);
    }

    /// Waits for queries until their deadline, and gives them up then.
    pub(super) async fn watch<T: Send + 'static>(
        self: Arc<Self>,
        mut queries: JoinHandle<T>,
        permit: Permit,
        deadline: Instant,
    ) -> Result<T, DbError> {
        match timeout_at(deadline.into(), &mut queries).await {
            Ok(done) => done.map_err(unavailable),
            Err(_) => {
                tracing::warn!("the database takes too long: a query is given up");
                self.distrust();
                // What no thread has begun yet never begins.
                queries.abort();
                tokio::spawn(self.wait_for_given_up(queries, permit));
                Err(DbError::TooSlow)
            }
        }
    }

    async fn wait_for_given_up<T>(self: Arc<Self>, queries: JoinHandle<T>, permit: Permit) {
        let most = self.size.saturating_mul(MOST_GIVEN_UP);
        let kept = if self.given_up.fetch_add(1, Ordering::Relaxed) < most {
            drop(permit);
            None
        } else {
            Some(permit)
        };
        let _ = queries.await;
        self.given_up.fetch_sub(1, Ordering::Relaxed);
        drop(kept);
    }
}

/// A connection in use. It goes back to the others when it is dropped, if it is any good and its time is not over.
pub(super) struct Fetched {
    pool: Arc<Pool>,
    connection: Option<DbConnection>,
    age: Age,
    /// When its user was to be done.
    deadline: Option<Instant>,
}

impl Fetched {
    /// Runs queries that end by the deadline; as one transaction, if they write or the database is PostgreSQL.
    pub(super) fn run<T, E: From<DbError>>(
        mut self,
        deadline: Instant,
        writes: bool,
        queries: impl FnOnce(&mut DbConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.deadline = Some(deadline);
        let connection = self.until(deadline)?;
        if let (DbConnection::Sqlite(connection), true) = (&mut *connection, writes) {
            AnsiTransactionManager::begin_transaction(connection).map_err(DbError::from)?;
        }
        let outcome = queries(connection);
        match outcome {
            // The failure has been reported to its caller by now.
            Ok(_) if writes && Instant::now() >= deadline => {
                roll_back(connection);
                Err(DbError::TooSlow.into())
            }
            Ok(done) => {
                commit(connection).map_err(DbError::from)?;
                Ok(done)
            }
            Err(error) => {
                roll_back(connection);
                Err(error)
            }
        }
    }

    /// The connection, ready for queries that end by the deadline.
    fn until(&mut self, deadline: Instant) -> Result<&mut DbConnection, DbError> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Nobody waits for what begins now, and a write would carry a time long past.
        let Some(connection) = self.connection.as_mut().filter(|_| !left.is_zero()) else {
            return Err(DbError::TooSlow);
        };
        if let DbConnection::Sqlite(connection) = connection {
            // A wait for the file's lock ends by itself, and is not given up.
            let timeout = left.saturating_sub(Duration::from_millis(200)).as_millis();
            connection.batch_execute(&format!("PRAGMA busy_timeout = {timeout}")).map_err(unavailable)?;
        }
        Ok(connection)
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take().filter(|_| !std::thread::panicking()) else { return };
        if matches!(connection, DbConnection::Postgres(_)) {
            // Where nothing was run, the transaction that had begun has come to nothing.
            roll_back(&mut connection);
        }
        let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_broken(&mut connection) {
            self.pool.distrust();
        } else if !(is_late && matches!(connection, DbConnection::Postgres(_))) {
            self.pool.put_back(connection, self.age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_given_the_bounds_that_it_does_not_name() {
        let bounded = within_bounds("postgres://user:pass%3Fword@host/database");
        assert_eq!(
            bounded,
            "postgres://user:pass%3Fword@host/database?connect_timeout=5&tcp_user_timeout=10000&keepalives_idle=10\
             &keepalives_interval=5&keepalives_count=3"
        );
        assert_eq!(within_bounds(&bounded), bounded);
        let own = within_bounds("postgres://host/database?sslmode=require&connect_timeout=60");
        assert!(own.starts_with("postgres://host/database?sslmode=require&connect_timeout=60&tcp_user_timeout="));
        assert!(!own.contains("connect_timeout=5&"), "{own}");
        assert!(within_bounds("postgres://host/database?").contains("database?connect_timeout=5&"));
        let several = within_bounds("postgres://a,b,c/database");
        assert!(several.contains("connect_timeout=2&") && several.ends_with("&target_session_attrs=read-write"));
        let own = within_bounds("postgres:///database?host=a,b&target_session_attrs=any");
        assert!(own.contains("connect_timeout=2&") && !own.contains("read-write"), "{own}");
    }

    #[test]
    fn each_of_several_hosts_comes_first_once() {
        let orders = in_every_order("postgres://u:p@a:1,b,c/database?sslmode=require");
        let hosts = ["a:1,b,c", "b,c,a:1", "c,a:1,b"];
        assert_eq!(orders, hosts.map(|hosts| format!("postgres://u:p@{hosts}/database?sslmode=require")));
        assert_eq!(in_every_order("postgres://a"), ["postgres://a"]);
        assert_eq!(in_every_order("postgres:///database?host=a,b"), ["postgres:///database?host=a,b"]);
    }

    #[test]
    fn each_transaction_brings_its_own_bounds_and_isolation() {
        let begin = begin(Bounds::SERVING);
        assert!(begin.starts_with("BEGIN ISOLATION LEVEL READ COMMITTED;"), "{begin}");
        for name in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
            assert!(begin.contains(&format!("set_config('{name}'")), "{begin}");
        }
        assert!(!begin.contains(", false)"), "nothing outlives the transaction: {begin}");
    }

    fn sqlite(size: u32) -> (tempfile::TempDir, Arc<Pool>) {
        let folder = tempfile::TempDir::new().expect("a folder");
        let url = DatabaseUrl::Sqlite(folder.path().join("test.db"));
        let pool = Pool::open(&url, size, Bounds::SERVING).expect("a pool");
        (folder, pool)
    }

    #[test]
    fn a_connection_is_used_again_unless_a_transaction_was_left_open_or_it_is_too_old() {
        let (_folder, pool) = sqlite(2);
        drop(pool.fetch().expect("a connection"));
        assert_eq!(pool.state().0, 1);
        let mut left_open = pool.fetch().expect("a connection");
        let connection = left_open.until(Instant::now() + CONNECT).expect("time");
        let DbConnection::Sqlite(connection) = connection else { panic!("this is SQLite") };
        AnsiTransactionManager::begin_transaction(connection).expect("a transaction");
        drop(left_open);
        assert_eq!(pool.state().0, 0);
        let mut old = pool.fetch().expect("a connection");
        old.age.opened = old.age.opened.checked_sub(LIFETIME).expect("a clock that runs");
        drop(old);
        assert_eq!(pool.state().0, 0);
    }

    #[tokio::test]
    async fn what_is_given_up_frees_its_permit_until_too_much_is() {
        let (_folder, pool) = sqlite(1);
        let mut gates = Vec::new();
        for given_up in 0..=MOST_GIVEN_UP {
            let deadline = Instant::now() + Duration::from_millis(20);
            let permit = pool.permit(Instant::now() + CONNECT).await.expect("a permit");
            let (gate, closed) = std::sync::mpsc::channel::<()>();
            gates.push(gate);
            let queries = tokio::task::spawn_blocking(move || closed.recv().is_ok());
            let outcome = Arc::clone(&pool).watch(queries, permit, deadline).await;
            assert!(matches!(outcome, Err(DbError::TooSlow)), "{given_up}");
        }
        let soon = Instant::now() + Duration::from_millis(100);
        assert!(matches!(pool.permit(soon).await, Err(DbError::TooSlow)), "there is an end to threads too");
        gates.clear();
        drop(pool.permit(Instant::now() + CONNECT).await.expect("a permit again"));
    }

    #[test]
    fn nothing_begins_after_its_deadline() {
        let (_folder, pool) = sqlite(1);
        let mut connection = pool.fetch().expect("a connection");
        assert!(matches!(connection.until(Instant::now()), Err(DbError::TooSlow)));
    }
}
