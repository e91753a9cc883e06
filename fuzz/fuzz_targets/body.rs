//! Bodies of POST and PATCH: read, or refused with words that can be shown.

#![no_main]

use affzero_connections::connections::draft::{Draft, Patch};
use affzero_connections::platforms::{ConnectionType, Pair, Platform, Settings};
use affzero_connections::problem::Problem;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn showable(problem: &Problem) {
    assert!(serde_json::to_vec(&problem.body("/", "fuzz")).is_ok());
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
    if let Err(problem) = Draft::read(&body, true) {
        showable(&problem);
    }
    let pair = Pair::find(Platform::Affise, ConnectionType::Admin).expect("a pair");
    if let Err(problem) = Patch::read(&body, pair, &Settings::default(), &["api_key".to_owned()]) {
        showable(&problem);
    }
});
