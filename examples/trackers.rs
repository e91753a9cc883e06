//! Every tracker on this machine, to try the service with and without an account anywhere.
//!
//! `cargo run --example trackers` starts the simulators that the tests use, with traffic of the last five weeks, and
//! prints the bodies of connections to them and how to start the service so that it may call them. It serves until it
//! is interrupted.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "the simulators are test code")]
#![expect(dead_code, reason = "the tests use more of the simulators")]

#[path = "../tests/support/mod.rs"]
mod support;

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
    let called: Vec<Running> =
        samples.filter(|sample| sample.tracker.is_some()).zip(FIRST_PORT..).map(Running::start).collect();
    println!("Start the service in another terminal, so that it may call these trackers:\n");
    println!("    {} cargo run\n", environment(&called).join(" "));
    println!("Then add connections, for instance at http://127.0.0.1:8080/swagger-ui/ with one of these bodies:\n");
    for running in &called {
        println!("# {} at {}", running.sample.name(), running.simulator.url);
        println!("{}\n", body(&running.sample, &running.simulator.url));
    }
    println!("Ctrl-C stops the trackers.");
    loop {
        std::thread::park();
    }
}

/// A sample and the simulator that plays it.
struct Running {
    sample: Sample,
    simulator: Simulator,
}

impl Running {
    fn start((mut sample, port): (Sample, u16)) -> Self {
        let is_free = std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        let tracker = sample.tracker.take().expect("a sample that calls a tracker");
        Self { sample, simulator: Simulator::start_at(tracker, if is_free { port } else { 0 }) }
    }
}

/// The variables under which the service finds the simulators. A gateway has one address, so its first sample is used.
fn environment(called: &[Running]) -> Vec<String> {
    let mut variables = vec!["EGRESS_ALLOW=127.0.0.0/8".to_owned()];
    for running in called {
        if let Address::Gateway(name) = running.sample.address
            && !variables.iter().any(|known| known.starts_with(name))
        {
            variables.push(format!("{name}={}", running.simulator.url));
        }
    }
    variables
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
