//! A hundred thousand connections that are all due to be checked, over a real database, and people who pull meanwhile.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use crate::http::Request;
use crate::plan::Plan;
use crate::service::Service;
use crate::store::Postgres;
use crate::table::{Table, median, millis, percentile};
use crate::tracker::Tracker;

/// Connections of one organisation: as many as its plan allows.
const OF_EACH: usize = 10;
/// Organisations that create theirs at the same time.
const SIDE_BY_SIDE: usize = 4;
/// The time from one pull to the next.
const PAUSE: Duration = Duration::from_millis(200);
/// Rows of the page that is pulled.
const ROWS: usize = 25;

const ALL_DUE: &str = "UPDATE connections SET check_after = 1";
const DONE: &str = "SELECT count(*) AS checks FROM connections WHERE check_after > 1";

#[derive(QueryableByName)]
struct Done {
    #[diesel(sql_type = BigInt)]
    checks: i64,
}

/// What a pull takes while everything is due to be checked, and how many checks are done meanwhile.
pub(crate) fn checks(plan: &Plan, table: &mut Table) {
    let service = Service::start(plan);
    let mut file = SqliteConnection::establish(&service.folder().join("load.db").display().to_string())
        .expect("the database of the service");
    file.batch_execute("PRAGMA busy_timeout = 10000").expect("a patient connection");
    measure(plan, table, &service, "SQLite", |command| match command {
        Command::MakeDue => {
            file.batch_execute(ALL_DUE).expect("checks that are due");
            0
        }
        Command::Count => sql_query(DONE).get_result::<Done>(&mut file).expect("a count").checks,
    });
    drop(service);
    if let Ok(server) = std::env::var("TEST_DATABASE_URL") {
        let database = Postgres::create(&server);
        let service = Service::over(plan, &database.url);
        let mut connection = PgConnection::establish(&database.url).expect("the database");
        measure(plan, table, &service, "PostgreSQL", |command| match command {
            Command::MakeDue => {
                connection.batch_execute(ALL_DUE).expect("checks that are due");
                0
            }
            Command::Count => sql_query(DONE).get_result::<Done>(&mut connection).expect("a count").checks,
        });
    }
}

/// What is asked of the database behind the service's back.
enum Command {
    MakeDue,
    Count,
}

fn measure(plan: &Plan, table: &mut Table, service: &Service, kind: &str, mut database: impl FnMut(Command) -> i64) {
    let tracker = Tracker::start(ROWS);
    let path = service.connect_to(&tracker);
    fill(plan, service, &tracker);
    let question = format!("{path}/stats?group_by=affiliate,offer&preset=today");
    let pull = service.get(&question, &[("cache-control", "no-cache")]);
    let before = pulls(plan, service, &pull);
    database(Command::MakeDue);
    let started = Instant::now();
    let during = pulls(plan, service, &pull);
    let done = database(Command::Count);
    let a_second = done as f64 / started.elapsed().as_secs_f64();
    tracker.paths();
    let (typical, of_before) = (median(during.clone()), median(before));
    table.add(
        format!("a live pull while {} checks are due at its tracker, {kind}", plan.checked),
        "as before",
        format!("{typical:.2} ms, 95 % within {:.2}; before {of_before:.2} ms", percentile(during, 95)),
        Some(typical < of_before * 1.5 + 1.0),
    );
    table.add(format!("… and checks done meanwhile, {kind}"), "at most 25/s", format!("{a_second:.1}/s"), None);
}

/// Creates the connections that are going to be due.
fn fill(plan: &Plan, service: &Service, tracker: &Tracker) {
    let organisations = plan.checked.div_ceil(OF_EACH);
    std::thread::scope(|scope| {
        for first in 0..SIDE_BY_SIDE {
            scope.spawn(move || {
                for organisation in (first..organisations).step_by(SIDE_BY_SIDE) {
                    service.connect_many(tracker, &format!("crowd-{organisation}"), OF_EACH);
                    // Nobody wants to know what was asked for.
                    tracker.paths();
                }
            });
        }
    });
}

/// The time of each pull in milliseconds, one every now and then.
fn pulls(plan: &Plan, service: &Service, pull: &Request) -> Vec<f64> {
    let mut connection = service.connect();
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < plan.watched {
        times.push(millis(connection.time(pull)));
        std::thread::sleep(PAUSE);
    }
    times
}
