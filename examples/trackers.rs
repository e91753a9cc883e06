//! Every tracker on this machine, to try the service with and without an account anywhere.
//!
//! `cargo run --example trackers` starts the simulators that the tests use, with traffic of the last five weeks, and
//! prints the bodies of connections to them and how to start the service so that it may call them. It serves until it
//! is interrupted. `-- --json` prints the same in one line for programs.

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
use support::tracker::Simulator;

/// Simulators stand on this port and those after it; a free port takes the place of one in use.
const FIRST_PORT: u16 = 9_101;

fn main() {
    let tomorrow = Timestamp::now() + 24.hours();
    let samples = Pair::ALL.into_iter().flat_map(|pair| samples::of(pair, TimeZone::UTC.to_datetime(tomorrow).date()));
    let mut called: Vec<Running> = Vec::new();
    for sample in samples.filter(|sample| sample.tracker.is_some()) {
        called.extend(Running::start(sample, &called));
    }
    let for_programs = std::env::args().nth(1).is_some_and(|argument| argument == "--json");
    if for_programs {
        print_json(&called)
    } else {
        print_words(&called)
    }
    loop {
        std::thread::park();
    }
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
    _simulator: Option<Simulator>,
}

impl Running {
    /// Starts a sample's simulator. A gateway has one address for all connections, so the first simulator there plays
    /// every portal of its platform, and its other variants play nowhere.
    fn start(mut sample: Sample, called: &[Self]) -> Option<Self> {
        let shares = |earlier: &&Self| earlier.sample.address == sample.address;
        if let Address::Gateway(_) = sample.address
            && let Some(first) = called.iter().find(shares)
        {
            return sample.variant.is_empty().then(|| Self { sample, url: first.url.clone(), _simulator: None });
        }
        let port = FIRST_PORT + u16::try_from(called.len()).expect("a small number");
        let simulator = Simulator::start_at(sample.tracker.take()?, port);
        Some(Self { sample, url: simulator.url.clone(), _simulator: Some(simulator) })
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
