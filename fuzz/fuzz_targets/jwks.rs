//! Documents of a token issuer: keys are taken from them, or passed over.

#![no_main]

use affzero_connections::auth::fuzz_jwks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|document: &[u8]| fuzz_jwks(document));
