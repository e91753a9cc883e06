//! Which addresses may be called.
//!
//! Only public unicast addresses, over https, unless the operator allowed more. The check is made on the very
//! address that is connected to, so a name that changes its mind between check and connect gains nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;

/// What an operator allows beyond public https.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    /// Networks (with a port or for all ports) that may be called although they are not public.
    pub allow: Vec<AllowedNet>,
    /// Whether public hosts may be called over plain http.
    pub allow_http: bool,
    /// Authorities that are trusted beside the built-in ones.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The public addresses that trackers see this service come from, for people who have to allow them.
    pub own_addresses: Vec<IpAddr>,
}

/// One entry of `EGRESS_ALLOW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedNet {
    net: IpNet,
    port: Option<u16>,
}

impl FromStr for AllowedNet {
    type Err = String;

    /// Reads `10.0.0.0/8`, `10.0.0.7`, `127.0.0.1/32:8080`, `[::1]/128:8080` or `::1/128`.
    fn from_str(text: &str) -> Result<Self, String> {
        let complaint = || format!("`{text}` is not a CIDR such as 10.0.0.0/8, with an optional :port");
        let text = text.trim();
        let net_of = |text: &str| -> Option<IpNet> {
            let text = text.replace(['[', ']'], "");
            text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        if let Some(net) = net_of(text).filter(|_| !text.contains("]:")) {
            return Ok(Self { net, port: None });
        }
        let (net, port) = text.rsplit_once(':').ok_or_else(complaint)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(complaint)?;
        Ok(Self { net: net_of(net).ok_or_else(complaint)?, port: Some(port) })
    }
}

impl AllowedNet {
    /// Whether it holds more than any one operator's network does, on all ports.
    pub fn is_wide(&self) -> bool {
        let narrowest = if self.net.addr().is_ipv4() { 8 } else { 16 };
        self.port.is_none() && self.net.prefix_len() < narrowest
    }
}

impl fmt::Display for AllowedNet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.net) {
            (None, net) => write!(out, "{net}"),
            (Some(port), net @ IpNet::V4(_)) => write!(out, "{net}:{port}"),
            (Some(port), IpNet::V6(net)) => write!(out, "[{}]/{}:{port}", net.addr(), net.prefix_len()),
        }
    }
}

impl EgressPolicy {
    /// Whether `address` may be called, over TLS or not.
    pub fn permits(&self, address: SocketAddr, https: bool) -> bool {
        let ip = address.ip().to_canonical();
        let listed = self
            .allow
            .iter()
            .any(|allowed| allowed.net.contains(&ip) && allowed.port.is_none_or(|port| port == address.port()));
        listed || (is_public(ip) && (https || self.allow_http))
    }
}

/// Whether an address is public unicast: on the open internet and one host's own.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// Azure's host agent, which hands out credentials to the machines it hosts.
const AZURE_HOST: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0                                             // "this network"
        || a == 10 || a == 127                           // private, loopback
        || (a == 100 && (64..128).contains(&b))          // carrier-grade NAT
        || ip == AZURE_HOST                              // looks public, and is not
        || (a == 169 && b == 254)                        // link-local, cloud metadata
        || (a == 172 && (16..32).contains(&b))           // private
        || (a == 192 && b == 0 && (c == 0 || c == 2))    // protocol assignments, documentation
        || (a == 192 && b == 88 && c == 99)              // 6to4 relays
        || (a == 192 && b == 168)                        // private
        || (a == 198 && (b == 18 || b == 19))            // benchmarks
        || (a == 198 && b == 51 && c == 100)             // documentation
        || (a == 203 && b == 0 && c == 113)              // documentation
        || a >= 224) // multicast, reserved, broadcast
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // Only 2000::/3 is global unicast: this alone leaves out loopback, unspecified, mapped, compatible, NAT64
    // (64:ff9b::/96), unique local, link-local, site-local and multicast addresses.
    (a & 0xe000) == 0x2000
        && !(a == 0x2001 && b < 0x0200)                  // protocol assignments: Teredo, ORCHID, benchmarks
        && !(a == 0x2001 && b == 0x0db8)                 // documentation
        && a != 0x2002                                   // 6to4 carries an IPv4 address inside
        && !(a == 0x3fff && b < 0x1000) // documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(ip: &str) -> bool {
        is_public(ip.parse::<IpAddr>().expect("an address").to_canonical())
    }

    #[test]
    fn only_public_unicast_addresses_pass() {
        for ip in
            ["1.1.1.1", "100.63.255.255", "172.32.0.1", "192.0.1.1", "198.20.0.1", "223.255.255.254", "2606:4700::1111"]
        {
            assert!(public(ip), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!public(ip), "{ip}");
        }
    }

    #[test]
    fn the_allow_list_is_by_network_and_port() {
        let policy = |list: &str| EgressPolicy {
            allow: list.split(',').map(|entry| entry.parse().expect("an entry")).collect(),
            allow_http: false,
            ..EgressPolicy::default()
        };
        let to = |address: &str| address.parse().expect("an address");
        let local = policy("127.0.0.1/32:9000,10.0.0.0/8");
        assert!(local.permits(to("127.0.0.1:9000"), false));
        assert!(!local.permits(to("127.0.0.1:9001"), true));
        assert!(local.permits(to("10.9.9.9:1"), true));
        assert!(local.permits(to("[::ffff:10.9.9.9]:1"), true));
        assert!(!local.permits(to("1.1.1.1:80"), false));
        assert!(policy("::1/128").permits(to("[::1]:5"), false));
        assert!(policy("[::1]/128:8080").permits(to("[::1]:8080"), false));
        for entry in ["10.0.0.0/8", "127.0.0.1/32:9000", "::1/128", "[::1]/128:8080"] {
            assert_eq!(entry.parse::<AllowedNet>().expect("an entry").to_string(), entry);
        }
        let wide = ["0.0.0.0/0", "::/0", "10.0.0.0/8", "0.0.0.0/0:443"];
        let wide = wide.map(|entry| entry.parse::<AllowedNet>().expect("an entry").is_wide());
        assert_eq!(wide, [true, true, false, false]);
        for bad in ["", "10.0.0.0/33", "10.0.0.0/8:0", "10.0.0.0/8:x", "host", "::1]:"] {
            assert!(bad.parse::<AllowedNet>().is_err(), "{bad}");
        }
    }
}
