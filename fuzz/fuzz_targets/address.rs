//! Tracker addresses as people paste them: what is accepted has one form, leads to one origin, and the egress policy
//! says the same of it whichever way it was written.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::platforms::{ConnectionType, Gateways, Pair, Platform, Settings, normalise, origin};
use libfuzzer_sys::fuzz_target;
use url::{Host, Url};

const FIELDS: [(Platform, &str); 4] = [
    (Platform::Affise, "base_url"),
    (Platform::Binom, "base_url"),
    (Platform::Cake, "domain"),
    (Platform::Keitaro, "base_url"),
];

fuzz_target!(|pasted: &str| {
    let gateways = Gateways {
        cake_domain: "tracker.example".to_owned(),
        ..Gateways::default()
    };
    for (platform, field) in FIELDS {
        let pair = Pair::find(platform, ConnectionType::Admin).expect("a pair");
        let mut once = Settings::from([(field.to_owned(), pasted.to_owned())]);
        if normalise(pair, &mut once).is_err() {
            continue;
        }
        let mut twice = once.clone();
        assert_eq!(normalise(pair, &mut twice), Ok(()), "what is stored is not accepted again");
        assert_eq!(once, twice, "the stored form is not the one form");
        let leads_to = origin(pair, &once, &gateways).expect("an origin");
        assert_eq!(Some(&leads_to), origin(pair, &twice, &gateways).as_ref());
        let leads_to = Url::parse(&leads_to).expect("an address");
        assert!(matches!(leads_to.scheme(), "http" | "https"));
        assert!(leads_to.username().is_empty() && leads_to.password().is_none());
        assert_eq!(permitted(pasted), permitted(once.get(field).expect("the field")));
        if let Some(Host::Domain(name)) = leads_to.host() {
            assert!(name.trim_end_matches('.').parse::<IpAddr>().is_err(), "{name} is an address in disguise");
        }
    }
});

/// What the policy says of an address that names no host; `None` for one that does.
fn permitted(text: &str) -> Option<bool> {
    let text = text.trim();
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("https://{text}")) };
    let url = url.ok()?;
    let ip = match url.host()? {
        Host::Ipv4(ip) => IpAddr::V4(ip),
        Host::Ipv6(ip) => IpAddr::V6(ip),
        Host::Domain(_) => return None,
    };
    let address = SocketAddr::new(ip, url.port_or_known_default()?);
    Some(EgressPolicy::default().permits(address, url.scheme() == "https"))
}
