//! Answers of trackers: read, or refused. The first letter says whose answer the rest is.

#![no_main]

use affzero_connections::platforms::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((b'a', answer)) => fuzzing::affise(answer),
        Some((b'b', answer)) => fuzzing::binom(answer),
        Some((b'c', answer)) => fuzzing::cake(answer),
        Some((b'e', answer)) => fuzzing::everflow(answer),
        Some((b'k', answer)) => fuzzing::keitaro(answer),
        Some((b't', answer)) => fuzzing::tune(answer),
        Some((b'v', answer)) => fuzzing::voluum(answer),
        _ => {}
    }
});
