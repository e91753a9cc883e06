//! The table of `docs/diagnosis.md`: each row is made to happen end to end, and says what the answer said.
//!
//! `UPDATE_DOCS=1` writes the table anew. A failure code that no row makes happen fails the test.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::outbound::{CallScope, Purpose, Transport, TransportConfig};
use affzero_connections::platforms::verification::{Detected, FailureCode};
use affzero_connections::platforms::{self, Account, Credentials, Pair, Platforms, Settings};
use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{TestApp, User};
use crate::stage::Stage;
use crate::support::affise::{ADMIN_KEY, AFFILIATE_KEY, Affise};
use crate::support::cake::{self, Cake};
use crate::support::samples;
use crate::support::tls::{Authority, Front, GOOD, Identity, PROTOCOL_VERSION, Says, TlsFront};
use crate::support::tracker::{Fault, Reply, Simulator};
use crate::support::walls::Wall;

const DRY_RUN: &str = "/api/v1/connections/verify";
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/diagnosis.md");
const HEADER: &str = "| cause | what the tracker or the network does | code | stage | owner | hint |\n\
                      | --- | --- | --- | --- | --- | --- |\n";
/// A key ring without the key of the others.
const OTHER_KEYS: &str = "k2:Y2FuYXJ5LW9mLXRoZS1zZWNvbmQta2V5LTAxMjM0NTY=";

#[derive(Default)]
struct Table {
    text: String,
    codes: Vec<String>,
}

impl Table {
    fn add(&mut self, cause: &str, does: &str, verified: &Value) {
        let failure = &verified["failure"];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{cause}: {verified}")).to_owned();
        let stages = verified["stages"].as_array().expect("stages");
        let stage = stages
            .iter()
            .find(|stage| stage["status"] == "failed")
            .map_or("none".to_owned(), |stage| text(&stage["name"]));
        let (code, owner, hint) = (text(&failure["code"]), text(&failure["owner"]), text(&failure["hint"]));
        writeln!(self.text, "| {cause} | {does} | `{code}` | {stage} | `{owner}` | {hint} |").expect("a text");
        self.codes.push(code);
    }
}

fn affise(url: &str, key: &str) -> Value {
    json!({ "name": "Brand", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": url }, "credentials": { "api_key": key } })
}

async fn verify(user: &User<'_>, body: &Value) -> Value {
    user.post(DRY_RUN, body).await.ok(200)
}

/// An Affise that always answers so.
async fn answered(user: &User<'_>, fault: Fault) -> Value {
    let tracker = Simulator::start(Affise::default());
    tracker.always(Some(fault));
    verify(user, &affise(&tracker.url, ADMIN_KEY)).await
}

/// What a gateway that is configured wrong comes to. No configuration that the service starts with gets so far.
async fn without_an_address() -> Value {
    let timeout = Duration::from_secs(5);
    let transport =
        Transport::new(TransportConfig { egress: EgressPolicy::default(), timeout, connect_timeout: timeout });
    let mut gateways = samples::gateways("http://127.0.0.1:1");
    gateways.voluum = "mailto:nowhere".to_owned();
    let account = Account {
        connection: Uuid::now_v7(),
        settings: Settings::new(),
        credentials: Credentials::from([
            ("access_key_id".to_owned(), "canary-id".into()),
            ("access_key".to_owned(), "canary-key".into()),
        ]),
        detected: Detected::default(),
    };
    let scope = CallScope { purpose: Purpose::Verify, deadline: Instant::now() + timeout, max_calls: 10 };
    let platforms = Platforms::new(transport.expect("TLS"), gateways);
    let client = platforms::open(Pair::VoluumAdmin, account, &platforms, scope).expect("a client");
    serde_json::to_value(platforms::verify(&client).await).expect("JSON")
}

async fn network(table: &mut Table) {
    table.add("No address", "a gateway is configured without a host", &without_an_address().await);
    let narrow = TestApp::with(&[("EGRESS_ALLOW", "")]).await;
    let blocked = verify(&narrow.user("acme", Plan::Pro), &affise("https://10.0.0.7", ADMIN_KEY)).await;
    table.add("Address not allowed", "it is private, reserved or plain http", &blocked);
    let app = TestApp::with(&[("UPSTREAM_TIMEOUT_MS", "500"), ("VOLUUM_BASE_URL", "https://gateway.invalid")]).await;
    let user = app.user("acme", Plan::Pro);
    let unknown = verify(&user, &affise("https://tracker.invalid", ADMIN_KEY)).await;
    table.add("Unknown host", "its name does not resolve", &unknown);
    let voluum =
        json!({ "platform": "voluum", "credentials": { "access_key_id": "canary-id", "access_key": "canary-key" } });
    table.add("Unknown gateway", "the name of a platform's own host does not resolve", &verify(&user, &voluum).await);
    let closed = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", free.local_addr().expect("an address"))
    };
    table.add("Nothing there", "nothing accepts the connection", &verify(&user, &affise(&closed, ADMIN_KEY)).await);
    let slow = answered(&user, Fault::Stall(Duration::from_secs(60))).await;
    table.add("Too slow", "no answer in time", &slow);
}

async fn tls(table: &mut Table) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("authorities.pem");
    let (trusted, unknown) = (Authority::new("Trusted"), Authority::new("Unknown"));
    trusted.save(&file);
    let variables = [("EGRESS_CA_FILE", file.to_str().expect("a path")), ("UPSTREAM_CONNECT_TIMEOUT_MS", "400")];
    let app = TestApp::with(&variables).await;
    let (user, tracker) = (app.user("acme", Plan::Pro), Simulator::start(Affise::default()));
    let both: &[_] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    for (cause, does, front) in [
        ("Expired", "its certificate has expired", trusted.issue(Says { from: -60, to: -30, ..GOOD }).server()),
        ("Not yet valid", "its certificate begins later", trusted.issue(Says { from: 30, to: 60, ..GOOD }).server()),
        (
            "Wrong name",
            "its certificate is for another host",
            trusted.issue(Says { name: Some("other.example"), ..GOOD }).server(),
        ),
        ("Self-signed", "its certificate vouches for itself", Identity::self_signed(GOOD).server()),
        ("Unknown authority", "nobody here knows who issued its certificate", unknown.issue(GOOD).server()),
        (
            "Incomplete chain",
            "it does not send the intermediate certificate",
            trusted.issue(Says { public: true, ..GOOD }).alone().server(),
        ),
        ("No TLS", "it speaks no TLS on this port", Front::Plain),
        ("Old TLS", "it speaks no version of TLS from 1.2 on", Front::Alert(PROTOCOL_VERSION)),
        ("Client certificate", "it demands one", trusted.issue(GOOD).demanding(&trusted, both)),
        ("Hung up", "it closes or resets the connection during the handshake", Front::HangUp),
        ("Silent", "it accepts the connection and says nothing", Front::Silence),
    ] {
        let front = TlsFront::before(&tracker.url, front).await;
        table.add(cause, does, &verify(&user, &affise(&front.url, ADMIN_KEY)).await);
    }
}

async fn walls(table: &mut Table) {
    let app = TestApp::with(&[("EGRESS_ADDRESSES", "192.0.2.10")]).await;
    let user = app.user("acme", Plan::Pro);
    for (cause, does, wall) in [
        ("Challenge", "a page that only lets browsers through, with 200, 403 or 503", Wall::Challenge),
        ("Firewall with a code", "403 with `error code: 1010`, 1020 and the like", Wall::Block1010),
        ("Firewall", "a block page of a CDN or a plugin", Wall::BlockedPage),
        ("Password wall", "401 with `WWW-Authenticate: Basic`", Wall::Password),
        ("Web server", "the server's own 403", Wall::Nginx403),
        ("Foreign refusal", "401, 403 or 407 with nothing of the tracker's in it", Wall::Empty403),
        ("Server down behind a CDN", "520 to 530", Wall::OriginDown521),
        ("Maintenance", "503 with a page that says so", Wall::Maintenance503),
        ("Idle connection", "408 from a web server or a proxy, three times in a row", Wall::Idle408),
    ] {
        table.add(cause, does, &answered(&user, Fault::Instead(wall.reply())).await);
    }
    let sample = samples::of(Pair::EverflowAdmin, jiff::civil::date(2026, 11, 20)).remove(0);
    let stage = Stage::set(sample);
    stage.simulator().always(Some(Fault::Instead(Wall::Challenge.reply())));
    let verified = serde_json::to_value(stage.verify().await).expect("JSON");
    table.add("Challenge at a gateway", "the same, in front of a platform's own host", &verified);
}

async fn tracker(table: &mut Table) {
    let app = TestApp::with(&[("EGRESS_ADDRESSES", "192.0.2.10")]).await;
    let user = app.user("acme", Plan::Pro);
    let redirect = Reply::text(302, "text/html", "").with_header("location", "https://panel.example/login");
    table.add("Redirect", "3xx to another address", &answered(&user, Fault::Instead(redirect)).await);
    let page = answered(&user, Fault::Instead(Reply::html(200))).await;
    table.add("Another product", "a web page or foreign JSON with 200 or 404", &page);
    let affise_of = Simulator::start(Affise::default());
    let wrong = verify(&user, &affise(&affise_of.url, "canary-nobody-has-this-key")).await;
    table.add("Wrong key", "a refusal in the tracker's own shape", &wrong);
    table.add(
        "Other portal",
        "the key is of the other type",
        &verify(&user, &affise(&affise_of.url, AFFILIATE_KEY)).await,
    );
    for (cause, does, affise_of) in [
        (
            "No right to report",
            "the key works, reports are refused",
            Affise { may_read_statistics: false, ..Affise::default() },
        ),
        (
            "Address not on the list",
            "a refusal that speaks of addresses",
            Affise { refuses_address: true, ..Affise::default() },
        ),
    ] {
        let tracker = Simulator::start(affise_of);
        table.add(cause, does, &verify(&user, &affise(&tracker.url, ADMIN_KEY)).await);
    }
    let network = Simulator::start(Cake::default());
    let body = json!({ "platform": "cake", "connection_type": "affiliate", "settings": { "domain": network.url },
                       "credentials": { "api_key": cake::AFFILIATE_KEY } });
    table.add("Affiliate ID missing", "CAKE wants it beside the key", &verify(&user, &body).await);
    let throttled = Reply::text(429, "text/plain", "").with_header("retry-after", "3600");
    table.add("Throttled", "429, from any sender", &answered(&user, Fault::Instead(throttled)).await);
    let failing = Reply::text(500, "text/plain", "oops");
    table.add("Failing", "500", &answered(&user, Fault::Instead(failing)).await);
    let tracker = Simulator::start(Affise::default());
    let id = user.add(affise(&tracker.url, ADMIN_KEY)).await;
    let replica = app.replica(&[("CREDENTIALS_KEYS", OTHER_KEYS)]).await;
    let path = format!("/api/v1/connections/{id}/verify");
    let unreadable = replica.user("acme", Plan::Pro).send("POST", &path, &[], None).await.ok(200);
    table.add("Credentials unreadable", "nothing: the service lost the key they were sealed with", &unreadable);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_happens_end_to_end_and_the_document_says_what_comes_of_it() {
    let mut table = Table::default();
    network(&mut table).await;
    tls(&mut table).await;
    walls(&mut table).await;
    tracker(&mut table).await;
    for code in FailureCode::ALL {
        assert!(table.codes.iter().any(|made| made == code.key()), "nothing makes {} happen", code.key());
    }
    let document = std::fs::read_to_string(DOCUMENT).expect("docs/diagnosis.md");
    let (before, old) = document.split_once(HEADER).expect("the table's header");
    let after = old.find("\n\n").map_or("", |end| &old[end + 1..]);
    let new = format!("{before}{HEADER}{}{after}", table.text);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(Path::new(DOCUMENT), &new).expect("the document");
    }
    let document = std::fs::read_to_string(DOCUMENT).expect("docs/diagnosis.md");
    for (shown, real) in document.lines().zip(new.lines()) {
        assert_eq!(shown, real, "run this test with UPDATE_DOCS=1");
    }
    assert_eq!(document.lines().count(), new.lines().count(), "run this test with UPDATE_DOCS=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_address_is_told_from_a_refused_key_on_every_platform() {
    let refusal = |pair: Pair| match pair {
        Pair::AffiseAdmin | Pair::AffiseAffiliate => {
            Some(Reply::json(403, &json!({ "status": 2, "message": "Your IP is not in the white list" })))
        }
        Pair::BinomAdmin => Some(Reply::json(403, &json!({ "errors": { "detail": "IP address is not allowed" } }))),
        Pair::CakeAdmin | Pair::CakeAffiliate => {
            Some(Reply::json(403, &json!({ "success": false, "message": "IP address 203.0.113.9 is not allowed" })))
        }
        Pair::VoluumAdmin => {
            Some(Reply::json(403, &json!({ "error": { "code": "FORBIDDEN", "messages": ["IP is not allowed"] } })))
        }
        Pair::EverflowAdmin | Pair::EverflowAffiliate => {
            Some(Reply::json(403, &json!({ "Error": "IP is not whitelisted" })))
        }
        _ => None,
    };
    for pair in Pair::ALL {
        let Some(reply) = refusal(pair) else { continue };
        let stage = Stage::set(samples::of(pair, jiff::civil::date(2026, 11, 20)).remove(0));
        stage.simulator().always(Some(Fault::Instead(reply)));
        let failure = stage.verify().await.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::IpNotAllowed, "{pair}: {failure:?}");
        assert!(failure.hint.contains("this service's address"), "{pair}: {failure:?}");
    }
}
