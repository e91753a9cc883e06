//! Lists over a database that fills up.

use diesel::connection::SimpleConnection;
use diesel::{Connection as _, PgConnection, SqliteConnection};
use serde_json::json;
use url::Url;

use crate::plan::Plan;
use crate::service::Service;
use crate::table::{Table, median, millis};

/// The organisation's own connections.
const OWN: usize = 30;
/// Connections of each of the organisations that fill the database up.
const OF_EACH: usize = 10;

/// The time of a page of connections, before and after others fill the database up.
pub(crate) fn lists(plan: &Plan, table: &mut Table) {
    let service = Service::start(plan);
    let file = service.folder().join("load.db").display().to_string();
    measure(plan, table, &service, "SQLite", |stored| {
        let mut database = SqliteConnection::establish(&file).expect("the database");
        database.batch_execute(&fill_sqlite(stored)).expect("the rows are stored");
    });
    drop(service);
    if let Ok(server) = std::env::var("TEST_DATABASE_URL") {
        let database = Postgres::create(&server);
        let service = Service::over(plan, &database.url);
        measure(plan, table, &service, "PostgreSQL", |stored| {
            let mut connection = PgConnection::establish(&database.url).expect("the database");
            connection.batch_execute(&fill_postgres(stored)).expect("the rows are stored");
        });
    }
}

fn measure(plan: &Plan, table: &mut Table, service: &Service, kind: &str, fill: impl Fn(usize)) {
    for number in 0..OWN {
        service.create(&json!({ "name": format!("Demo {number}"), "platform": "demo" }));
    }
    let before = page_time(plan, service);
    fill(plan.stored);
    let after = page_time(plan, service);
    let ratio = after / before;
    table.add(
        format!("listing 25 of {OWN} and of {} connections, {kind}", plan.stored + OWN),
        "flat",
        format!("{before:.2} and {after:.2} ms"),
        Some(ratio < 1.5),
    );
}

fn page_time(plan: &Plan, service: &Service) -> f64 {
    let request = service.get("/api/v1/connections?limit=25", &[]);
    let mut connection = service.connect();
    let page = connection.send(&request).expect("an answer").json();
    assert_eq!(page["data"].as_array().map(Vec::len), Some(25));
    median((0..plan.calls).map(|_| millis(connection.time(&request))).collect())
}

/// Copies of one connection with ids and organisations of their own; `id` and `organisation` are written from `i`.
fn copies(id: &str, organisation: &str) -> String {
    format!(
        "INSERT INTO connections (id, organisation_id, name, name_key, platform, connection_type, settings_sealed, \
         credentials_sealed, verification_sealed, status, counts_toward_limit, version, created_at, updated_at, created_by) \
         SELECT {id}, {organisation}, one.name || i, one.name_key || i, one.platform, one.connection_type, \
         one.settings_sealed, one.credentials_sealed, one.verification_sealed, one.status, one.counts_toward_limit, \
         1, one.created_at + i, one.updated_at - i, one.created_by FROM numbers, \
         (SELECT * FROM connections ORDER BY id LIMIT 1) AS one;"
    )
}

fn fill_sqlite(stored: usize) -> String {
    let organisations = stored.div_ceil(OF_EACH);
    let numbers =
        |last| format!("WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {last})");
    format!(
        "BEGIN; {} INSERT INTO organisations (id, writes, created_at) SELECT 'crowd-' || i, 1, 0 FROM numbers; {} {} COMMIT;",
        numbers(organisations),
        numbers(stored),
        copies("printf('00000000-0000-7000-8000-%012x', i)", &format!("'crowd-' || (1 + i % {organisations})")),
    )
}

fn fill_postgres(stored: usize) -> String {
    let organisations = stored.div_ceil(OF_EACH);
    let numbers = |last| format!("WITH numbers (i) AS (SELECT generate_series(1, {last}))");
    format!(
        "{} INSERT INTO organisations (id, writes, created_at) SELECT 'crowd-' || i, 1, 0 FROM numbers; {} {} ANALYZE;",
        numbers(organisations),
        numbers(stored),
        copies(
            "'00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0')",
            &format!("'crowd-' || (1 + i % {organisations})")
        ),
    )
}

/// A database of this run; dropped with it.
pub(crate) struct Postgres {
    server: String,
    name: String,
    pub(crate) url: String,
}

impl Postgres {
    pub(crate) fn create(server: &str) -> Self {
        let name = format!("affzero_load_{}", std::process::id());
        let mut url: Url = server.parse().expect("a URL");
        url.set_path(&name);
        let database = Self { server: server.to_owned(), name, url: url.to_string() };
        database.run("CREATE DATABASE");
        database
    }

    fn run(&self, verb: &str) {
        let mut connection = PgConnection::establish(&self.server).expect("the server");
        connection.batch_execute(&format!("{verb} {}", self.name)).expect("the server does it");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("DROP DATABASE");
    }
}
