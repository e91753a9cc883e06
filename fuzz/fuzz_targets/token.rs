//! Bearer tokens: whatever comes, nothing but a token with our signature is believed.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use affzero_connections::auth::{AuthConfig, Verifier};
use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::outbound::{Transport, TransportConfig};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static VERIFIER: LazyLock<(Verifier, Runtime)> = LazyLock::new(|| {
    let timeout = Duration::from_secs(1);
    let transport = Transport::new(TransportConfig {
        egress: EgressPolicy::default(),
        timeout,
        connect_timeout: timeout,
    })
    .expect("a transport");
    let secret = Some("nobody who fuzzes can sign with this secret".into());
    let config = AuthConfig { secret, ..AuthConfig::default() };
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    (Verifier::new(&config, &transport).expect("a verifier"), runtime)
});

fuzz_target!(|token: &str| {
    let (verifier, runtime) = &*VERIFIER;
    assert!(runtime.block_on(verifier.verify(token)).is_err(), "a forged token was believed");
});
