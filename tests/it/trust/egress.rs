//! Addresses inside, in every spelling that leads there, and other ways past the one road out.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::Duration;

use affzero_connections::outbound::egress::{EgressPolicy, is_public};
use affzero_connections::outbound::error::ErrorKind;
use affzero_connections::outbound::{Transport, TransportConfig};
use affzero_connections::tenancy::Plan;
use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use crate::app::{KEYS, SECRET, TestApp};
use crate::process::Service;
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

/// Something inside that answers everything.
pub(super) struct Inside;

impl Tracker for Inside {
    fn answer(&self, _: &Request) -> Reply {
        Reply::json(200, &json!({ "secret": "of the inside" }))
    }
}

fn transport() -> Transport {
    Transport::new(TransportConfig {
        egress: EgressPolicy { allow: Vec::new(), allow_http: true, ..EgressPolicy::default() },
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(2),
    })
    .expect("a transport")
}

/// How a call of this address ends; `None` where it is no address at all.
fn outcome(text: &str) -> Option<ErrorKind> {
    let url = Url::parse(text).ok().filter(Url::has_host)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    Some(runtime.block_on(transport().fetch_public(&url)).expect_err("nothing inside is called").kind)
}

/// IPv4 addresses that are not public.
fn inside() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_flat_map(|bits| {
        let at = move |net: [u8; 4], prefix: u32| {
            let mask = u32::MAX << (32 - prefix);
            Ipv4Addr::from_bits((u32::from_be_bytes(net) & mask) | (bits & !mask))
        };
        prop::sample::select(vec![
            at([0, 0, 0, 0], 8),
            at([10, 0, 0, 0], 8),
            at([100, 64, 0, 0], 10),
            at([127, 0, 0, 0], 8),
            at([169, 254, 0, 0], 16),
            at([172, 16, 0, 0], 12),
            at([192, 0, 0, 0], 24),
            at([192, 0, 2, 0], 24),
            at([192, 168, 0, 0], 16),
            at([198, 18, 0, 0], 15),
            at([198, 51, 100, 0], 24),
            at([203, 0, 113, 0], 24),
            at([224, 0, 0, 0], 4),
            at([240, 0, 0, 0], 4),
        ])
    })
}

/// One number of an address: decimal, octal or hexadecimal.
fn number(value: u32, base: u8) -> String {
    match base % 5 {
        0 => value.to_string(),
        1 => format!("0{value:o}"),
        2 => format!("0x{value:x}"),
        3 => format!("0X{value:X}"),
        _ => format!("000{value:o}"),
    }
}

/// The address in one to four numbers, each in a base of its own.
fn numbers(ip: Ipv4Addr, parts: usize, bases: [u8; 4]) -> String {
    let octets = ip.octets().map(u32::from);
    let head = octets.iter().take(parts - 1).copied();
    let tail = octets.iter().skip(parts - 1).fold(0_u32, |value, octet| (value << 8) | octet);
    let all: Vec<String> = head.chain([tail]).zip(bases).map(|(value, base)| number(value, base)).collect();
    all.join(".")
}

/// The same text in letters that are folded to it: full-width, percent-encoded, other dots.
fn disguised(text: &str, how: u8) -> String {
    let wide = |letter: char| char::from_u32(u32::from(letter) + 0xfee0).unwrap_or(letter);
    match how % 6 {
        1 => text.chars().map(|letter| if letter.is_ascii_alphanumeric() { wide(letter) } else { letter }).collect(),
        2 => text.replace('.', "。"),
        3 => text.replace('.', "%2e"),
        4 => text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        5 => format!("{text}."),
        _ => text.to_owned(),
    }
}

/// IPv6 addresses that carry an IPv4 address inside.
fn carriers(ip: Ipv4Addr) -> [Ipv6Addr; 6] {
    let [a, b, c, d] = ip.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    [
        ip.to_ipv6_mapped(),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_of_an_inside_address_is_called(
        ip in inside(),
        parts in 1..=4_usize,
        bases in any::<[u8; 4]>(),
        how in any::<u8>(),
        user in prop::sample::select(vec!["", "user@", "1.1.1.1:80@", "a:b@"]),
        port in prop::sample::select(vec!["", ":80", ":8080", ":00443", ":65535", ":"]),
        scheme in prop::sample::select(vec!["http", "https", "HTTP", "hTTps"]),
        rest in prop::sample::select(vec!["", "/", "/x?y#z", "\\@1.1.1.1", "#@1.1.1.1", "?@1.1.1.1"]),
    ) {
        let host = disguised(&numbers(ip, parts, bases), how);
        let text = format!("{scheme}://{user}{host}{port}{rest}");
        if let Some(kind) = outcome(&text) {
            prop_assert_eq!(kind, ErrorKind::EgressBlocked, "{}", text);
        }
    }

    #[test]
    fn no_inside_address_is_called_in_the_guise_of_ipv6(ip in inside(), port in prop::sample::select(vec!["", ":8443"])) {
        for carrier in carriers(ip) {
            for text in [format!("https://[{carrier}]{port}/"), format!("https://[{}]{port}/", long(carrier))] {
                prop_assert_eq!(outcome(&text), Some(ErrorKind::EgressBlocked), "{}", text);
            }
        }
    }

    #[test]
    fn every_address_that_is_called_public_is_global_unicast(bits in any::<u128>()) {
        let ip = Ipv6Addr::from_bits(bits);
        if is_public(ip.into()) {
            prop_assert_eq!(ip.segments()[0] & 0xe000, 0x2000);
            prop_assert!(!ip.is_loopback() && !ip.is_multicast() && ip.to_ipv4().is_none());
        }
    }
}

fn long(ip: Ipv6Addr) -> String {
    ip.segments().map(|segment| format!("{segment:04X}")).join(":")
}

#[test]
fn names_and_zones_of_this_machine_are_blocked_or_no_address() {
    for text in [
        "http://localhost/",
        "https://LOCALHOST./",
        "http://anything.localhost:8080/",
        "http://ｌｏｃａｌｈｏｓｔ/",
        "http://%6cocalhost/",
        "http://metadata.google.internal/",
        "http://router.lan/",
        "http://printer/",
        "http://[::]/",
        "http://[::1]/",
        "http://①②⑦.⓪.⓪.①/",
        "http://127.1/",
        "http://0/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0x7f.1/",
        "http://[fd00:ec2::254]/",
        "http://168.63.129.16/",
    ] {
        assert_eq!(outcome(text), Some(ErrorKind::EgressBlocked), "{text}");
    }
    for text in [
        "http://[fe80::1%25eth0]/",
        "http://[::1%lo]/",
        "http://127.0.0.1%00/",
        "http://256.1.1.1/",
        "http://1.2.3.4.5/",
    ] {
        assert_eq!(outcome(text), None, "{text}");
    }
}

pub(super) fn affise(base_url: &str) -> Value {
    json!({ "name": "Inside", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": base_url }, "credentials": { "api_key": "canary-key-0123456789" } })
}

/// The verification without the parts that differ by nature: the host that was asked for, and times.
fn comparable(mut verification: Value, host: &str) -> String {
    verification["checked_at"] = Value::Null;
    verification["duration_ms"] = Value::Null;
    for stage in verification["stages"].as_array_mut().expect("stages") {
        stage["duration_ms"] = Value::Null;
    }
    verification.to_string().replace(host, "HOST")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_target_reveals_nothing_of_what_is_behind_it() {
    let inside = Simulator::start(Inside);
    let app = TestApp::with(&[("EGRESS_ALLOW", "")]).await;
    let user = app.user("acme", Plan::Pro);
    let open = inside.url.trim_start_matches("http://").to_owned();
    let closed = {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("an address").to_string()
    };
    let mut answers = Vec::new();
    for host in [open.as_str(), closed.as_str(), "10.255.255.1:9", "localhost:9", "no-such-name.internal:9"] {
        let verified = user.post("/api/v1/connections/verify", &affise(&format!("https://{host}"))).await.ok(200);
        assert_eq!(verified["failure"]["code"], "egress_blocked", "{verified}");
        answers.push(comparable(verified, host));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert!(inside.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_reported_and_nothing_follows_it() {
    let (tracker, thief) = (Simulator::start(Inside), Simulator::start(Inside));
    let key = "canary-key-0123456789";
    let (address, app) = (thief.url.trim_start_matches("http://"), TestApp::start().await);
    let user = app.user("acme", Plan::Pro);
    for (status, target, named) in [
        (301, format!("{}/take?key={key}#{key}", thief.url), thief.url.as_str()),
        (302, format!("{}/{key}/take", thief.url), thief.url.as_str()),
        (303, format!("http://{key}:{key}@{address}/"), thief.url.as_str()),
        (307, format!("http://{key}.tracker.example/"), "http://[secret].tracker.example"),
        (308, format!("HTTPS://{}.TRACKER.EXAMPLE:8443/", key.to_uppercase()), "https://[secret].tracker.example:8443"),
        (302, format!("/login/{key}?api-key={key}"), "another address of its own"),
        (302, format!("{key}:take"), "another address"),
        (302, format!("http://{}.example/", "x.".repeat(4_000)), "http://x.x."),
    ] {
        let reply = Reply::json(status, &json!({})).with_header("location", target.as_str());
        tracker.inject([Fault::Instead(reply)]);
        let verified = user.post("/api/v1/connections/verify", &affise(&tracker.url)).await.ok(200);
        assert_eq!(verified["failure"]["code"], "redirected", "{target}: {verified}");
        let detail = verified["failure"]["detail"].as_str().expect("text");
        assert!(detail.contains(named) && detail.chars().count() < 400, "{target}: {detail}");
        assert!(!verified.to_string().to_lowercase().contains("canary-key"), "{verified}");
    }
    assert!(thief.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_variables_lead_no_call_astray_and_memory_is_not_dumped() {
    let (tracker, proxy) = (Simulator::start(Inside), Simulator::start(Inside));
    let variables = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let mut variables: Vec<(&str, &str)> = variables.map(|name| (name, proxy.url.as_str())).to_vec();
    variables.extend([("EGRESS_ALLOW", "127.0.0.0/8"), ("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)]);
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(folder.path(), &variables);
    let app = TestApp::start().await;
    let token = app.user("acme", Plan::Pro).token().to_owned();
    let body = affise(&tracker.url).to_string();
    let answer = crate::trust::abuse::exchange(
        &service.url,
        &format!(
            "POST /api/v1/connections/verify HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!tracker.requests().is_empty());
    assert!(proxy.requests().is_empty());
    #[cfg(target_os = "linux")]
    {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.id())).expect("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
        let sizes: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
        assert_eq!(sizes, ["0", "0"]);
    }
}
