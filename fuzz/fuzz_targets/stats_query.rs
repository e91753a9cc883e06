//! Query strings of statistics: a question, or a complaint that can be shown; and a question that every platform can
//! be asked, or refuses in words.

#![no_main]

use affzero_connections::http::question;
use affzero_connections::platforms::Pair;
use affzero_connections::problem::Problem;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

/// The longest range that is configured by default.
const MAX_RANGE_DAYS: u32 = 366;

fn showable(problem: &Problem) {
    assert!(serde_json::to_vec(&problem.body("/", "fuzz")).is_ok());
}

fuzz_target!(|query: &[u8]| {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query).into_owned().collect();
    let question = match question::read(&pairs, true) {
        Ok(question) => question,
        Err(problem) => {
            assert!(!problem.errors.is_empty(), "a complaint about nothing");
            return showable(&problem);
        }
    };
    let asked = question.at(Timestamp::UNIX_EPOCH);
    assert!(asked.range.from() <= asked.range.to());
    for pair in Pair::ALL {
        match asked.for_client(pair, MAX_RANGE_DAYS) {
            Ok(query) => assert!(query.range.len_days() <= MAX_RANGE_DAYS && !query.dimensions.is_empty()),
            Err(problem) => showable(&problem),
        }
    }
});
