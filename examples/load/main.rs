//! How fast the service is, end to end and beside what else does the same work: `cargo run --release --example load`.
//!
//! Everything runs on this machine: a static server plays an Affise network, the service is started as in production
//! (this program again, as `load serve`, or another build of it with `--service PATH`), and what it is compared with
//! runs in turns with it, because ratios of one run mean more than seconds do. The table at the end has one line for
//! each promise. `docs/performance.md` says how to read it.
//!
//! - `--smoke` does a little of everything in a few seconds, to see that it all works; its numbers mean nothing.
//! - `--only WORD` leaves out the measurements without the word in their name.
//! - `--delay MS`: how long the slow trackers take for a call, half a second by default.
//! - `--python-orjson PATH`, `--python-duckdb PATH`: interpreters that can import `orjson` and `duckdb`.
//! - `--python-dlt PATH`, `--python-airbyte PATH`: interpreters that can import `dlt` and `airbyte_cdk`.
//! - `TEST_DATABASE_URL`: a PostgreSQL server to list connections on too; a database is made there and dropped.
//!
//! curl, wrk, and nginx from the distribution's package, are used where they are installed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a measurement that fails must stop")]

mod answers;
mod checks;
mod http;
mod nginx;
mod plan;
mod rivals;
mod rows;
mod service;
mod start;
mod store;
mod table;
mod tracker;
mod waits;

#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests use more of the simulators")]
mod support;

use std::process::ExitCode;

use plan::Plan;
use table::Table;

/// Measures, and adds its lines to the table.
type Measurement = fn(&Plan, &mut Table);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "serve") {
        return affzero_connections::commands::run();
    }
    let plan = match Plan::read(&arguments) {
        Ok(plan) => plan,
        Err(complaint) => {
            eprintln!("{complaint}");
            return ExitCode::FAILURE;
        }
    };
    let measurements: [(&str, Measurement); 8] = [
        ("rounds", waits::rounds),
        ("rows", rows::streams),
        ("memory", rows::memory),
        ("cached", answers::cached),
        ("live", answers::live),
        ("list", store::lists),
        ("checks", checks::checks),
        ("start", start::starts),
    ];
    let mut table = Table::default();
    for (name, measure) in measurements {
        if plan.only.as_ref().is_none_or(|word| name.contains(word.as_str())) {
            eprintln!("measuring: {name}");
            measure(&plan, &mut table);
        }
    }
    print!("{table}");
    ExitCode::SUCCESS
}
