//! Every tracker on this machine, to try the service with and without an account anywhere.
//!
//! `cargo run --example trackers` starts the simulators that the tests use, with traffic of the last five weeks, and
//! prints the bodies of connections to them and how to start the service so that it may call them. It serves until it
//! is interrupted. `-- --json` prints the same in one line for programs. `-- --wall challenge` puts a challenge page in
//! front of all of them, and `--wall challenge --every 10` in front of one call in ten; an unknown name lists all walls.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "the simulators are test code")]
#![expect(dead_code, reason = "the tests use more of the simulators")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use affzero_connections::platforms::Pair;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};
use support::samples::{self, Address, Sample, Texts};
use support::tracker::{Fault, Simulator};
use support::walls::Wall;

/// Simulators stand on this port and those after it; a free port takes the place of one in use.
const FIRST_PORT: u16 = 9_101;

fn main() {
    let tomorrow = Timestamp::now() + 24.hours();
    let samples = Pair::ALL.into_iter().flat_map(|pair| samples::of(pair, TimeZone::UTC.to_datetime(tomorrow).date()));
    let mut called: Vec<Running> = Vec::new();
    for sample in samples.filter(|sample| sample.tracker.is_some()) {
        called.extend(Running::start(sample, &called));
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((wall, every)) = wall(&arguments) {
        let fault = || Fault::Instead(wall.reply());
        called.iter().filter_map(|running| running.simulator.as_ref()).for_each(|simulator| match every {
            Some(nth) => simulator.every(nth, fault()),
            None => simulator.always(Some(fault())),
        });
    }
    if arguments.iter().any(|argument| argument == "--json") {
        print_json(&called)
    } else {
        print_words(&called)
    }
    loop {
        std::thread::park();
    }
}

/// What is to stand in front of the trackers, and in front of how many of their calls.
fn wall(arguments: &[String]) -> Option<(Wall, Option<usize>)> {
    let after = |switch: &str| {
        let at = arguments.iter().position(|argument| argument == switch)?;
        Some(arguments.get(at + 1).cloned().unwrap_or_default())
    };
    let name = after("--wall")?;
    let wall = Wall::ALL.into_iter().find(|wall| wall.key() == name).unwrap_or_else(|| {
        panic!("--wall is one of {}", Wall::ALL.map(Wall::key).join(", "));
    });
    Some((wall, after("--every").map(|nth| nth.parse().expect("--every is a number"))))
}

fn print_words(called: &[Running]) {
    println!("Start the service in another terminal, so that it may call these trackers:\n");
    let variables: Vec<String> =
        environment(called).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    println!("    {} cargo run\n", variables.join(" "));
    println!("Then add connections, for instance at http://127.0.0.1:8080/swagger-ui/ with one of these bodies:\n");
    for running in called {
        println!("# {} at {}", running.sample.name(), running.url);
        println!("{}\n", body(&running.sample, &running.url));
    }
    println!("Ctrl-C stops the trackers.");
}

fn print_json(called: &[Running]) {
    let connections: Vec<Value> = called
        .iter()
        .map(|running| {
            json!({
                "body": body(&running.sample, &running.url),
                "wrong_credentials": object(running.sample.wrong.clone()),
            })
        })
        .collect();
    println!("{}", json!({ "environment": environment(called), "connections": connections }));
}

/// A sample, and where the simulator stands that plays it.
struct Running {
    sample: Sample,
    url: String,
    /// `None` where an earlier sample's simulator plays this one too. It stops when dropped.
    simulator: Option<Simulator>,
}

impl Running {
    /// Starts a sample's simulator. A gateway has one address for all connections, so the first simulator there plays
    /// every portal of its platform, and its other variants play nowhere.
    fn start(mut sample: Sample, called: &[Self]) -> Option<Self> {
        let shares = |earlier: &&Self| earlier.sample.address == sample.address;
        if let Address::Gateway(_) = sample.address
            && let Some(first) = called.iter().find(shares)
        {
            return sample.variant.is_empty().then(|| Self { sample, url: first.url.clone(), simulator: None });
        }
        let port = FIRST_PORT + u16::try_from(called.len()).expect("a small number");
        let simulator = Simulator::start_at(sample.tracker.take()?, port);
        Some(Self { sample, url: simulator.url.clone(), simulator: Some(simulator) })
    }
}

/// The variables under which the service finds the simulators.
fn environment(called: &[Running]) -> BTreeMap<&'static str, String> {
    let gateways = called.iter().filter_map(|running| match running.sample.address {
        Address::Gateway(name) => Some((name, running.url.clone())),
        Address::Setting(..) | Address::Nowhere => None,
    });
    gateways.chain([("EGRESS_ALLOW", "127.0.0.0/8".to_owned())]).collect()
}

/// What to post to `/api/v1/connections`.
fn body(sample: &Sample, url: &str) -> Value {
    json!({
        "name": format!("Sample {}", sample.name()),
        "platform": sample.pair.platform(),
        "connection_type": sample.pair.connection_type(),
        "settings": object(sample.settings_at(url)),
        "credentials": object(sample.credentials.clone()),
    })
}

fn object(texts: Texts) -> Map<String, Value> {
    texts.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value))).collect()
}
