//! Connections to the database: how long they may take, which are kept open, and how many are in use.
//!
//! Whoever needs one waits for a place first, which takes no thread; only then does a thread fetch a connection and run
//! the queries. What does not end in time is given up: its caller is told so and its place is free for others, while
//! thread and connection end by themselves, as soon as the system has noticed that nobody is there.
//!
//! The usual pools do not go with that: they try a connection without a bound, and one that hangs keeps its place.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use secrecy::ExposeSecret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::{DatabaseUrl, DbConnection, DbError};

/// How long PostgreSQL may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the system sends again what PostgreSQL does not acknowledge, before it takes the connection for lost.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// How long PostgreSQL lets a transaction hold its locks while its process does nothing: a replica that was lost in the
/// middle of one holds others up for no longer.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// How long a connection is kept open that nobody uses, and how long one is used.
const IDLE: Duration = Duration::from_secs(600);
const LIFETIME: Duration = Duration::from_secs(1_800);

/// Queries that were given up and are still running give their places to others, unless they are so many times as many
/// as there are places: threads and connections have an end too.
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

/// Opens a connection whose statements may take as long as they like, as those of a migration or a backup do.
pub(super) fn connect_without_bounds(url: &DatabaseUrl) -> Result<DbConnection, DbError> {
    connect(url, None)
}

/// Opens a connection: its kind is chosen by the URL.
fn connect(url: &DatabaseUrl, bounds: Option<Bounds>) -> Result<DbConnection, DbError> {
    match url {
        DatabaseUrl::Postgres(url) => {
            let mut connection = PgConnection::establish(&within_bounds(url.expose_secret())).map_err(unavailable)?;
            connection.batch_execute(&session(bounds)).map_err(unavailable)?;
            Ok(DbConnection::Postgres(connection))
        }
        DatabaseUrl::Sqlite(path) => {
            let mut connection = SqliteConnection::establish(&path.to_string_lossy()).map_err(unavailable)?;
            // WAL lets readers go on while one writes; `synchronous = FULL` makes an acknowledged write survive a power
            // cut; `secure_delete` overwrites what is deleted.
            connection
                .batch_execute(
                    "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                     PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA cache_size = -1000;",
                )
                .map_err(unavailable)?;
            Ok(DbConnection::Sqlite(connection))
        }
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> DbError {
    DbError::Unavailable(Box::new(error))
}

/// The URL with what it does not say itself of how long a connection may be silent.
fn within_bounds(url: &str) -> String {
    let asked = url.split_once('?').map_or("", |(_, options)| options);
    let mut all = url.to_owned();
    let options = [
        ("connect_timeout", CONNECT.as_secs().to_string()),
        ("tcp_user_timeout", UNACKNOWLEDGED.as_millis().to_string()),
        ("keepalives_idle", "10".to_owned()),
        ("keepalives_interval", "5".to_owned()),
        ("keepalives_count", "3".to_owned()),
    ];
    for (name, value) in options {
        if form_urlencoded::parse(asked.as_bytes()).all(|(known, _)| known != name) {
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

/// What a session of PostgreSQL begins with. Bounds that the URL, the role or the database has already are left alone.
fn session(bounds: Option<Bounds>) -> String {
    let statement = bounds.map(|bounds| ("statement_timeout", bounds.statement));
    let lock = bounds.map(|bounds| ("lock_timeout", bounds.lock));
    let idle = Some(("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION));
    let settings = [statement, lock, idle].into_iter().flatten().map(|(name, time)| {
        let time = time.as_millis();
        format!("SELECT set_config('{name}', '{time}', false) WHERE current_setting('{name}') = '0';")
    });
    settings.collect()
}

/// Whether whoever is at the other end still answers.
fn answers(connection: &mut DbConnection) -> bool {
    match connection {
        DbConnection::Postgres(connection) => connection.batch_execute("SELECT 1").is_ok(),
        DbConnection::Sqlite(_) => true,
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
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    /// Queries that are given up and still run.
    given_up: AtomicU32,
}

/// A connection that nobody uses.
struct Idle {
    connection: DbConnection,
    opened: Instant,
    since: Instant,
}

impl Idle {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= IDLE || now.saturating_duration_since(self.opened) >= LIFETIME
    }
}

/// The right to use a connection.
pub(super) type Place = OwnedSemaphorePermit;

impl Pool {
    /// Opens the first connection. A server that is just being started is given a moment.
    pub(super) fn open(url: &DatabaseUrl, size: u32, bounds: Bounds) -> Result<Arc<Self>, DbError> {
        let started = Instant::now();
        let connection = loop {
            match connect(url, Some(bounds)) {
                Ok(connection) => break connection,
                Err(error) if started.elapsed() >= CONNECT => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        };
        let now = Instant::now();
        Ok(Arc::new(Self {
            url: url.clone(),
            bounds,
            size,
            places: Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1))),
            idle: Mutex::new(vec![Idle { connection, opened: now, since: now }]),
            given_up: AtomicU32::new(0),
        }))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections are open and idle, and how many are in use.
    pub(super) fn state(&self) -> (u32, u32) {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (count(self.idle().len()), self.size.saturating_sub(count(self.places.available_permits())))
    }

    /// Waits for a place until the deadline.
    pub(super) async fn place(&self, deadline: Instant) -> Result<Place, DbError> {
        match timeout_at(deadline.into(), Arc::clone(&self.places).acquire_owned()).await {
            Ok(place) => place.map_err(unavailable),
            Err(_) => Err(DbError::TooSlow),
        }
    }

    /// Fetches a connection that answers, or opens one: for threads that may wait, of whoever has a place.
    pub(super) fn fetch(self: &Arc<Self>) -> Result<Fetched, DbError> {
        // The lock is not held while a connection is tried, and closed if it is no good.
        let next = || self.idle().pop();
        while let Some(mut kept) = next() {
            if !kept.is_over(Instant::now()) && answers(&mut kept.connection) {
                let Idle { connection, opened, .. } = kept;
                return Ok(Fetched { pool: Arc::clone(self), connection: Some(connection), opened });
            }
        }
        let connection = connect(&self.url, Some(self.bounds))?;
        Ok(Fetched { pool: Arc::clone(self), connection: Some(connection), opened: Instant::now() })
    }

    fn put_back(&self, mut connection: DbConnection, opened: Instant) {
        if is_broken(&mut connection) {
            return;
        }
        let now = Instant::now();
        let mut idle = self.idle();
        if idle.len() < usize::try_from(self.size).unwrap_or(usize::MAX) {
            idle.push(Idle { connection, opened, since: now });
        }
        // Those that were used last stand behind: the first one has waited for longest.
        let over: Vec<Idle> = idle.extract_if(.., |kept| kept.is_over(now)).collect();
        drop(idle);
        drop(over);
    }

    /// Waits for queries until their deadline, and gives them up then.
    pub(super) async fn watch<T: Send + 'static>(
        self: Arc<Self>,
        mut queries: JoinHandle<T>,
        place: Place,
        deadline: Instant,
    ) -> Result<T, DbError> {
        match timeout_at(deadline.into(), &mut queries).await {
            Ok(done) => done.map_err(unavailable),
            Err(_) => {
                tracing::warn!("the database takes too long: a query is given up");
                // What no thread has begun yet never begins.
                queries.abort();
                tokio::spawn(self.wait_for_given_up(queries, place));
                Err(DbError::TooSlow)
            }
        }
    }

    async fn wait_for_given_up<T>(self: Arc<Self>, queries: JoinHandle<T>, place: Place) {
        let most = self.size.saturating_mul(MOST_GIVEN_UP);
        let kept = if self.given_up.fetch_add(1, Ordering::Relaxed) < most {
            drop(place);
            None
        } else {
            Some(place)
        };
        let _ = queries.await;
        self.given_up.fetch_sub(1, Ordering::Relaxed);
        drop(kept);
    }
}

/// A connection in use. It goes back to the others when it is dropped, if it is any good.
pub(super) struct Fetched {
    pool: Arc<Pool>,
    connection: Option<DbConnection>,
    opened: Instant,
}

impl Fetched {
    /// The connection, ready for queries that end by the deadline.
    pub(super) fn until(&mut self, deadline: Instant) -> Result<&mut DbConnection, DbError> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Nobody waits for what begins now, and a write would carry a time long past.
        let Some(connection) = self.connection.as_mut().filter(|_| !left.is_zero()) else {
            return Err(DbError::TooSlow);
        };
        if let DbConnection::Sqlite(connection) = connection {
            // Whoever waits for the file's lock ends by itself, and is not given up.
            let patience = left.saturating_sub(Duration::from_millis(200)).as_millis();
            connection.batch_execute(&format!("PRAGMA busy_timeout = {patience}")).map_err(unavailable)?;
        }
        Ok(connection)
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| !std::thread::panicking()) {
            self.pool.put_back(connection, self.opened);
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
    }

    #[test]
    fn work_without_bounds_still_lets_go_of_its_locks_when_it_is_lost() {
        let (bounded, unbounded) = (session(Some(Bounds::SERVING)), session(None));
        for (name, is_bounded_only) in
            [("statement_timeout", true), ("lock_timeout", true), ("idle_in_transaction_session_timeout", false)]
        {
            let setting = format!("set_config('{name}'");
            assert!(bounded.contains(&setting), "{bounded}");
            assert_eq!(!unbounded.contains(&setting), is_bounded_only, "{unbounded}");
        }
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
        old.opened = old.opened.checked_sub(LIFETIME).expect("a clock that runs");
        drop(old);
        assert_eq!(pool.state().0, 0);
    }

    #[tokio::test]
    async fn what_is_given_up_frees_its_place_until_too_much_is() {
        let (_folder, pool) = sqlite(1);
        let mut gates = Vec::new();
        for given_up in 0..=MOST_GIVEN_UP {
            let deadline = Instant::now() + Duration::from_millis(20);
            let place = pool.place(Instant::now() + CONNECT).await.expect("a place");
            let (gate, closed) = std::sync::mpsc::channel::<()>();
            gates.push(gate);
            let queries = tokio::task::spawn_blocking(move || closed.recv().is_ok());
            let outcome = Arc::clone(&pool).watch(queries, place, deadline).await;
            assert!(matches!(outcome, Err(DbError::TooSlow)), "{given_up}");
        }
        let soon = Instant::now() + Duration::from_millis(100);
        assert!(matches!(pool.place(soon).await, Err(DbError::TooSlow)), "there is an end to threads too");
        gates.clear();
        drop(pool.place(Instant::now() + CONNECT).await.expect("a place again"));
    }

    #[test]
    fn nothing_begins_after_its_deadline() {
        let (_folder, pool) = sqlite(1);
        let mut connection = pool.fetch().expect("a connection");
        assert!(matches!(connection.until(Instant::now()), Err(DbError::TooSlow)));
    }
}
