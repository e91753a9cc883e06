//! From which address a request comes: that of its connection or, behind a proxy that is trusted, the one it passes on.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

/// Who passes requests of others on, and is believed whose they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(super) fn new(trusted: Vec<IpNet>) -> Self {
        Self(trusted)
    }

    /// Whether what this address says of others is believed.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|proxies| proxies.contains(&address))
    }

    /// Whose request it is. Each proxy adds at the end of `X-Forwarded-For` who called it, so the last address that is no
    /// proxy of ours is as far as anybody can be believed; what stands before it the caller may have written.
    pub(super) fn caller(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut caller = peer?.ip().to_canonical();
        if !self.trusts(caller) {
            return Some(caller);
        }
        let lines: Vec<&str> = headers.get_all("x-forwarded-for").filter_map(|line| line.to_str().ok()).collect();
        for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            // What cannot be read was written by nobody of ours: the proxy before it is the last that is known.
            let Some(address) = address(entry.trim()) else { break };
            caller = address;
            if !self.trusts(address) {
                break;
            }
        }
        Some(caller)
    }
}

/// An entry of `X-Forwarded-For`: an address, and with some proxies its port.
fn address(entry: &str) -> Option<IpAddr> {
    let plain = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    let address = plain.parse().ok().or_else(|| entry.parse().ok().map(|with_port: SocketAddr| with_port.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// What one caller has to himself: an IPv4 address, or the /64 of an IPv6 address.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn caller(proxies: &[&str], peer: &str, lines: &[&str]) -> String {
        let proxies = Proxies::new(proxies.iter().map(|net| net.parse().expect("a network")).collect());
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_str(line).expect("a value");
            headers.append(HeaderName::from_static("x-forwarded-for"), value);
        }
        let peer = SocketAddr::new(peer.parse().expect("an address"), 1);
        proxies.caller(Some(peer), &headers).expect("an address").to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_its_last_word() {
        let ours = ["10.0.0.0/8", "2001:db8::/32"];
        for (proxies, peer, lines, from) in [
            (&[][..], "10.0.0.1", &["192.0.2.1"][..], "10.0.0.1"),
            (&ours, "192.0.2.9", &["192.0.2.1"], "192.0.2.9"),
            (&ours, "10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            (&ours, "::ffff:10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            (&ours, "2001:db8::1", &["[2001:db9::1]:443"], "2001:db9::1"),
            (&ours, "10.0.0.1", &["192.0.2.1:50000"], "192.0.2.1"),
            // What the caller wrote itself stands before what the proxies say.
            (&ours, "10.0.0.1", &["203.0.113.1, 192.0.2.1"], "192.0.2.1"),
            (&ours, "10.0.0.1", &["203.0.113.1", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&ours, "10.0.0.1", &["203.0.113.1, not an address, 10.0.0.2"], "10.0.0.2"),
            (&ours, "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&ours, "10.0.0.1", &[], "10.0.0.1"),
            (&ours, "10.0.0.1", &["", "192.0.2.1, "], "10.0.0.1"),
        ] {
            assert_eq!(caller(proxies, peer, lines), from, "{peer} {lines:?}");
        }
    }
}
