//! Cursors: read, or refused; one that is read can be written again.

#![no_main]

use affzero_connections::connections::cursor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let of = cursor::fingerprint(&["acme", "connections"]);
    if let Ok(place) = cursor::decode::<(String, String)>(&of, text) {
        let again = cursor::encode(&of, &place).expect("a cursor");
        assert_eq!(cursor::decode::<(String, String)>(&of, &again).ok(), Some(place));
    }
});
