//! Bodies of POST and PATCH: read, or refused with words that can be shown. What is read is what any reader would.

#![no_main]

use affzero_connections::connections::draft::{Draft, Patch};
use affzero_connections::http::json;
use affzero_connections::platforms::{ConnectionType, Pair, Platform, Settings};
use affzero_connections::problem::Problem;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn showable(problem: &Problem) {
    assert!(serde_json::to_vec(&problem.body("/", "fuzz")).is_ok());
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = json::read(bytes) else { return };
    assert_eq!(serde_json::from_slice::<Value>(bytes).ok().as_ref(), Some(&*body));
    if let Err(problem) = Draft::read(&body, true) {
        showable(&problem);
    }
    let pair = Pair::find(Platform::Affise, ConnectionType::Admin).expect("a pair");
    if let Err(problem) = Patch::read(&body, pair, &Settings::default(), &["api_key".to_owned()]) {
        showable(&problem);
    }
});
