//! The commands as operators and their scripts use them: help, exit codes, progress, `doctor`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{KEYS, SECRET};
use crate::process::{Service, command, complaint, run};
use crate::servers::PrivateRedis;
use crate::support::tracker::{Reply, Request, Simulator, Tracker};

const OTHER_KEY: &str = "k2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// Nobody outside is asked, so that the tests need no network.
const INSIDE: [(&str, &str); 7] = [
    ("EGRESS_ALLOW", "127.0.0.0/8,::1/128"),
    ("VOLUUM_BASE_URL", "http://127.0.0.1:1"),
    ("EVERFLOW_BASE_URL", "http://127.0.0.1:1"),
    ("EVERFLOW_EU_BASE_URL", "http://127.0.0.1:1"),
    ("TUNE_BASE_URL", "http://127.0.0.1:1"),
    ("CAKE_BASE_DOMAIN", "localhost:1"),
    ("BIND_ADDR", "127.0.0.1:0"),
];

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What `doctor --json` says, by check, and its exit code.
fn examine(folder: &Path, variables: &[(&str, &str)]) -> (Option<i32>, Value) {
    let mut all = INSIDE.to_vec();
    all.extend_from_slice(variables);
    let output = run(folder, &["doctor", "--json"], &all);
    let said = text(&output);
    for secret in ["canary", SECRET, KEYS, OTHER_KEY] {
        assert!(!said.contains(secret) && !complaint(&output).contains(secret), "{said}");
    }
    (output.status.code(), serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", complaint(&output))))
}

/// The checks of this name: their status, what they found, and what is to be done.
#[track_caller]
fn check<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str, &'a str) {
    let checks = report["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name}: {report}"));
    let word = |key: &str| check[key].as_str().unwrap_or_default();
    (word("status"), word("found"), word("mend"))
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let folder = folder();
    let commands = ["serve", "migrate", "openapi", "token", "rotate-keys", "backup", "config", "doctor"];
    let help = run(folder.path(), &["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help).contains("Exit codes:") && text(&help).contains("130"));
    for name in commands {
        assert!(text(&help).contains(&format!("  {name} ")), "{name}");
        let own = run(folder.path(), &[name, "--help"], &[]);
        assert_eq!(own.status.code(), Some(0), "{name}");
        let said = text(&own);
        let (_, example) = said.split_once("Example").unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(example.contains(&format!("affzero-connections {name}")), "{name}: {said}");
    }
    let token = text(&run(folder.path(), &["token", "--help"], &[]));
    for said in ["[default: dev]", "[default: 86400]", "connections:write", "stats:read", "org:any"] {
        assert!(token.contains(said), "{said}: {token}");
    }
    let short = run(folder.path(), &["-V"], &[]);
    assert_eq!(text(&short), concat!("affzero-connections ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(folder.path().read_dir().expect("the folder").count(), 0, "explaining leaves nothing behind");
}

#[test]
fn the_version_names_the_commit_and_what_is_built_in() {
    let folder = folder();
    let said = text(&run(folder.path(), &["--version"], &[]));
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some(concat!("affzero-connections ", env!("CARGO_PKG_VERSION"))));
    let parts: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let [commit, zones, sqlite, libpq] = parts.as_slice() else { panic!("{said}") };
    // Of a checkout the commit is known; of an archive it is not.
    let is_commit = |word: &str| word == "unknown" || word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(commit[0] == "commit" && is_commit(commit[1]), "{said}");
    assert!(zones[0] == "zone_tables" && zones[1].starts_with("20") && zones[1].len() == 5, "{said}");
    assert!(sqlite[0] == "sqlite" && sqlite[1].starts_with("3."), "{said}");
    assert!(libpq[0] == "libpq" && libpq[1].parse::<f64>().is_ok_and(|version| version >= 17.0), "{said}");
    // What is said of SQLite is what runs.
    assert!(run(folder.path(), &["migrate"], &[]).status.success());
    let database = examine(folder.path(), &[]).1;
    assert!(check(&database, "database").1.contains(sqlite[1]), "{database}");
}

#[test]
fn a_misspelt_variable_is_named_at_the_start_and_by_doctor() {
    let folder = folder();
    let service = Service::start(folder.path(), &[("STATS_CACH_TTL_S", "canary"), ("LOG_LEVEL", "debug")]);
    let written = service.written();
    assert!(written.contains("STATS_CACH_TTL_S is set, but no variable of this service"), "{written}");
    assert!(written.contains("did you mean STATS_CACHE_TTL_S?") && written.contains("WARN"), "{written}");
    assert!(!written.contains("canary") && !written.contains("LOG_LEVEL"), "{written}");
    drop(service);
    let (code, report) = examine(folder.path(), &[("STATS_CACH_TTL_S", "canary")]);
    assert_eq!(code, Some(1), "{report}");
    let checks = report["checks"].as_array().expect("checks");
    let failed = checks.iter().find(|check| check["status"] == "fail").expect("a failure");
    assert!(failed["found"].as_str().is_some_and(|found| found.starts_with("STATS_CACH_TTL_S ")), "{failed}");
    assert!(failed["mend"].as_str().is_some_and(|fix| fix.contains("STATS_CACHE_TTL_S")), "{failed}");
}

#[test]
fn what_is_in_force_is_printed_with_its_source_and_without_secrets() {
    let folder = folder();
    std::fs::write(folder.path().join(".env"), "STATS_CACHE_TTL_S=7\nPLAN_LIMITS=pro=9\n").expect("a file");
    let variables = [
        ("AUTH_JWT_SECRET", SECRET),
        ("CREDENTIALS_KEYS", KEYS),
        ("DATABASE_URL", "postgres://affzero:canary-password@db.affzero.test/affzero"),
        ("PLAN_LIMITS", "pro=2"),
        ("STATS_CACH_TTL_S", "1"),
    ];
    let people = run(folder.path(), &["config"], &variables);
    assert_eq!(people.status.code(), Some(0), "{}", complaint(&people));
    assert!(complaint(&people).contains("did you mean STATS_CACHE_TTL_S?"), "{}", complaint(&people));
    let lines: Vec<Vec<String>> =
        text(&people).lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    for expected in [
        ["STATS_CACHE_TTL_S", ".env", "7"],
        ["PLAN_LIMITS", "environment", "starter=1,pro=2,pro_plus=8,business=10"],
        ["DATABASE_URL", "environment", "postgres://affzero:(hidden)@db.affzero.test/affzero"],
        ["AUTH_JWT_SECRET", "environment", "(hidden)"],
        ["CREDENTIALS_KEYS", "environment", "k1:(hidden)"],
        ["METRICS_ADDR", "default", "-"],
    ] {
        assert!(lines.iter().any(|line| line == &expected), "{expected:?}: {lines:?}");
    }
    let programs = run(folder.path(), &["config", "--json"], &variables);
    let settings: Value = serde_json::from_str(&text(&programs)).expect("JSON");
    assert_eq!(settings.as_array().expect("settings").len(), lines.len());
    assert!(
        settings
            .as_array()
            .is_some_and(|all| all.contains(&json!({ "name": "STATS_CACHE_TTL_S", "value": "7", "source": "file" })))
    );
    for output in [&people, &programs] {
        for secret in ["canary-password", SECRET, KEYS] {
            assert!(!text(output).contains(secret), "{}", text(output));
        }
    }
}

#[test]
fn wrong_usage_and_wrong_configuration_are_told_apart_from_failure() {
    let folder = folder();
    for usage in [
        vec!["nonsense"],
        vec!["serve", "--fast"],
        vec!["migrate", "now"],
        vec!["backup"],
        vec!["doctor", "--yaml"],
        vec!["token", "--org", "acme"],
        vec!["token", "--org", "acme", "--plan", "gold"],
        vec!["token", "--org", "acme", "--plan", "pro", "--scope", "everything"],
        vec!["token", "--org", "acme", "--plan", "pro", "--ttl", "0"],
    ] {
        let output = run(folder.path(), &usage, &[]);
        assert_eq!(output.status.code(), Some(2), "{usage:?}: {}", complaint(&output));
        assert!(output.stdout.is_empty() && !complaint(&output).is_empty(), "{usage:?}");
    }
    for name in ["serve", "migrate", "rotate-keys", "token --org a --plan pro", "backup x.db"] {
        let arguments: Vec<&str> = name.split(' ').collect();
        let output = run(folder.path(), &arguments, &[("PLAN_LIMITS", "gold=1")]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", complaint(&output));
    }
    for name in ["migrate", "rotate-keys", "serve"] {
        let output = run(folder.path(), &[name], &[("DATABASE_URL", "sqlite://data")]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", complaint(&output));
    }
}

#[test]
fn the_last_line_says_why_even_where_a_library_uses_several() {
    let folder = folder();
    let nobody = [("DATABASE_URL", "postgres://user:canary-password@127.0.0.1:1/nothing")];
    let output = run(folder.path(), &["migrate"], &nobody);
    assert_eq!(output.status.code(), Some(1));
    let said = complaint(&output);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("affzero-connections: ") && last.contains("refused"), "{said}");
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let folder = folder();
    let script = "set -o pipefail; \"$1\" openapi | head -c 1";
    let output = Command::new("bash")
        .args(["-c", script, "bash", env!("CARGO_BIN_EXE_affzero-connections")])
        .current_dir(folder.path())
        .output()
        .expect("bash");
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(0), "{"), "{}", complaint(&output));
    assert_eq!(complaint(&output), "");
}

#[test]
fn migrations_are_counted_and_done_once() {
    let folder = folder();
    let first = run(folder.path(), &["migrate"], &[]);
    let said = complaint(&first);
    let last = said.lines().last().unwrap_or_default();
    assert!(first.status.success() && last.ends_with("migrations (100 %)"), "{said}");
    assert!(!said.contains('\r') && !said.contains('\u{1b}'), "plain lines where nobody looks: {said:?}");
    let again = run(folder.path(), &["migrate"], &[]);
    assert_eq!((again.status.code(), complaint(&again)), (Some(0), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_stops_cleanly_at_ctrl_c_and_goes_on_later() {
    let folder = folder();
    let keys = |keys| [("CREDENTIALS_KEYS", keys), ("AUTH_JWT_SECRET", SECRET)];
    let service = Service::start(folder.path(), &keys(KEYS));
    let token = service.wait_for("valid for a day): ");
    service
        .send(&token, "POST", "/api/v1/connections", Some(&json!({"name": "One", "platform": "demo"})))
        .await
        .ok(201);
    assert!(service.stop().0.success());

    // Somebody holds the database, so that the rotation is in the middle of its work when it is interrupted.
    let file = folder.path().join("data/affzero.db").display().to_string();
    let mut hog = SqliteConnection::establish(&file).expect("the file");
    hog.batch_execute("BEGIN IMMEDIATE").expect("the only writer");
    let both = format!("{OTHER_KEY},{KEYS}");
    let child = command(folder.path(), &["rotate-keys"], &keys(&both)).stderr(Stdio::piped()).spawn().expect("a start");
    let mut child = child;
    let mut said = std::io::BufReader::new(child.stderr.take().expect("standard error"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).expect("a line");
    assert_eq!(line, "0 of 1 connections and webhooks (0 %)\n");
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().expect("a shell");
    assert!(sent.success());
    hog.batch_execute("ROLLBACK").expect("room for others");
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).expect("text");
    assert!(rest.contains("what is done stays done"), "{rest}");

    let again = run(folder.path(), &["rotate-keys"], &keys(&both));
    assert_eq!(again.status.code(), Some(0), "{}", complaint(&again));
    assert!(text(&again).contains("no longer needed"), "{}", text(&again));
    let serving = Service::start(folder.path(), &keys(OTHER_KEY));
    let page = serving.send(&token, "GET", "/api/v1/connections", None).await.ok(200);
    assert_eq!(page["data"][0]["status"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_leaves_something_unreadable_fails() {
    let folder = folder();
    let keys = |keys| [("CREDENTIALS_KEYS", keys), ("AUTH_JWT_SECRET", SECRET)];
    let service = Service::start(folder.path(), &keys(KEYS));
    let token = service.wait_for("valid for a day): ");
    service
        .send(&token, "POST", "/api/v1/connections", Some(&json!({"name": "One", "platform": "demo"})))
        .await
        .ok(201);
    assert!(service.stop().0.success());
    let output = run(folder.path(), &["rotate-keys"], &keys(OTHER_KEY));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("cannot be opened by any key"), "{}", text(&output));
}

#[test]
fn a_healthy_machine_gets_a_line_for_each_check_and_no_failure() {
    let folder = folder();
    assert!(run(folder.path(), &["migrate"], &[]).status.success());
    let (code, report) = examine(folder.path(), &[]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["status"], "warn", "trackers cannot be reached here: {report}");
    for name in [
        "configuration",
        "cors",
        "egress",
        "clock",
        "zone_tables",
        "files",
        "disk",
        "bind_addr",
        "database",
        "clock_skew",
        "migrations",
        "writable",
        "checks",
        "key_ring",
    ] {
        assert_eq!(check(&report, name).0, "ok", "{report}");
    }
    for name in ["gateway_voluum", "gateway_everflow_us", "gateway_everflow_eu", "gateway_cake", "gateway_tune"] {
        let (status, found, fix) = check(&report, name);
        assert_eq!(status, "warn", "{report}");
        assert!(found.contains("does not accept connections") && fix.contains("firewall"), "{report}");
    }
    assert!(check(&report, "egress").1.contains("127.0.0.0/8"));

    let people = run(folder.path(), &["doctor"], &INSIDE);
    assert_eq!(people.status.code(), Some(0));
    let said = text(&people);
    let checks = report["checks"].as_array().expect("checks").len();
    assert_eq!(said.lines().count(), checks + 1, "{said}");
    assert!(
        said.lines().all(|line| ["ok", "warn"].iter().any(|word| line.starts_with(word)) || line.ends_with("0 FAIL")),
        "{said}"
    );
}

#[test]
fn what_is_wrong_is_found_and_said_how_to_fix() {
    let folder = folder();
    let (code, report) = examine(folder.path(), &[("PLAN_LIMITS", "gold=1"), ("METRICS_ADDR", "nonsense")]);
    assert_eq!(code, Some(1));
    let problems: Vec<&str> = report["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .map(|check| check["found"].as_str().expect("text"))
        .collect();
    assert!(problems.iter().any(|problem| problem.starts_with("PLAN_LIMITS: ")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.starts_with("METRICS_ADDR: ")), "{problems:?}");

    let (code, report) = examine(folder.path(), &[]);
    assert_eq!(code, Some(0));
    assert!(check(&report, "database").1.contains("not there yet"), "{report}");
    assert!(!folder.path().join("data/affzero.db").exists(), "looking makes no database");

    let (code, report) =
        examine(folder.path(), &[("DATABASE_URL", "postgres://user:canary-password@127.0.0.1:1/nothing")]);
    assert_eq!((code, check(&report, "database").0), (Some(1), "fail"), "{report}");

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, report) = examine(folder.path(), &[("METRICS_ADDR", &address)]);
    assert_eq!((code, check(&report, "metrics_addr").0), (Some(0), "warn"), "it may be the service: {report}");
    drop(taken);
    let (code, report) = examine(folder.path(), &[("BIND_ADDR", &address), ("METRICS_ADDR", &address)]);
    let (status, _, fix) = check(&report, "metrics_addr");
    assert_eq!((code, status), (Some(1), "fail"), "{report}");
    assert!(fix.contains("a port of its own"), "{report}");
    let (code, report) = examine(folder.path(), &[("BIND_ADDR", "192.0.2.1:80")]);
    assert_eq!((code, check(&report, "bind_addr").0), (Some(1), "fail"), "{report}");

    let redis = [("REDIS_URL", "redis://:canary-password@127.0.0.1:1")];
    let (code, report) = examine(folder.path(), &redis);
    assert_eq!((code, check(&report, "redis").0), (Some(0), "warn"), "{report}");

    let blocked = [("EGRESS_ALLOW", "10.0.0.0/8:443"), ("VOLUUM_BASE_URL", "https://127.0.0.1:1")];
    let (code, report) = examine(folder.path(), &blocked);
    assert_eq!((code, check(&report, "gateway_voluum").0), (Some(1), "fail"), "{report}");
    assert!(check(&report, "gateway_voluum").2.contains("EGRESS_ALLOW"));
    let (_, report) = examine(folder.path(), &[("EGRESS_ALLOW", "0.0.0.0/0")]);
    assert_eq!(check(&report, "egress").0, "warn", "{report}");

    let production = [
        ("APP_ENV", "production"),
        ("AUTH_JWKS_URL", "http://127.0.0.1:1/keys"),
        ("CREDENTIALS_KEYS", KEYS),
        ("CORS_ALLOWED_ORIGINS", "http://app.affzero.test"),
        ("EGRESS_ALLOW_HTTP", "true"),
    ];
    let (code, report) = examine(folder.path(), &production);
    assert_eq!((code, check(&report, "token_issuer").0), (Some(1), "fail"), "{report}");
    assert_eq!((check(&report, "cors").0, check(&report, "egress").0), ("warn", "warn"), "{report}");
}

/// Answers everyone with the keys of a token issuer.
struct Issuer(Value);

impl Tracker for Issuer {
    fn answer(&self, _: &Request) -> Reply {
        Reply::json(200, &self.0)
    }
}

#[test]
fn what_answers_outside_is_reported_with_its_time() {
    let folder = folder();
    let issuer = Simulator::start(Issuer(json!({ "keys": [{ "kid": "a" }, { "kid": "b" }] })));
    let keys = format!("{}/keys", issuer.url);
    let variables = [("VOLUUM_BASE_URL", issuer.url.as_str()), ("AUTH_JWKS_URL", keys.as_str())];
    let (code, report) = examine(folder.path(), &variables);
    let (status, found, _) = check(&report, "gateway_voluum");
    assert_eq!((code, status), (Some(0), "ok"), "{report}");
    assert!(found.starts_with(&issuer.url) && found.ends_with(" ms"), "{report}");
    assert_eq!(check(&report, "token_issuer").0, "ok");
    assert!(check(&report, "token_issuer").1.ends_with("publishes 2 keys"), "{report}");

    let keyless = Simulator::start(Issuer(json!({ "keys": [] })));
    let (code, report) = examine(folder.path(), &[("AUTH_JWKS_URL", &keyless.url)]);
    assert_eq!((code, check(&report, "token_issuer").0), (Some(1), "fail"), "{report}");
}

/// Something else than Redis: it answers whatever it is sent as a web server would. It ends with the tests.
fn not_redis() -> SocketAddr {
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = door.local_addr().expect("an address");
    std::thread::spawn(move || {
        for caller in door.incoming() {
            let mut caller = caller.expect("a caller");
            // Some callers are gone by then.
            let _ = caller.read(&mut [0; 1_024]);
            let _ = caller.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

#[test]
fn redis_is_fine_only_if_it_does_what_replicas_need() {
    let folder = folder();
    let examined = |url: &str| {
        let (code, report) = examine(folder.path(), &[("REDIS_URL", url)]);
        let (status, found, fix) = check(&report, "redis");
        (code, status.to_owned(), format!("{found} -> {fix}"))
    };
    let plain = format!("redis://:canary-password@{}", not_redis());
    let (code, status, said) = examined(&plain);
    assert_eq!((code, status.as_str()), (Some(1), "fail"), "{said}");
    assert!(said.contains("not as Redis does") && said.contains("host and the port"), "{said}");
    let (code, status, said) = examined(&plain.replace("redis://", "rediss://"));
    assert_eq!((code, status.as_str()), (Some(1), "fail"), "{said}");
    assert!(said.contains("no TLS connection") && said.contains("use redis://"), "{said}");
    // Nobody says anything.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (code, status, said) = examined(&format!("redis://{}", silent.local_addr().expect("an address")));
    assert_eq!((code, status.as_str()), (Some(0), "warn"), "{said}");
    assert!(said.contains("does not answer in time"), "{said}");

    let Some(redis) = PrivateRedis::start() else { return };
    let (code, status, said) = examined(&redis.url);
    assert_eq!((code, status.as_str()), (Some(0), "ok"), "{said}");
    assert!(said.contains("reads and writes"), "{said}");
    let (code, status, said) = examined(&format!("{}/99", redis.url));
    assert_eq!((code, status.as_str()), (Some(1), "fail"), "{said}");
    assert!(said.contains("no database of this number"), "{said}");
    // It waits for the end of what it takes for a command.
    let (code, status, said) = examined(&redis.url.replace("redis://", "rediss://"));
    assert_eq!((code, status.as_str()), (Some(0), "warn"), "{said}");
    assert!(said.contains("does not answer in time") && said.contains("without TLS needs redis://"), "{said}");
    redis.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let (code, status, said) = examined(&redis.url);
    assert_eq!((code, status.as_str()), (Some(1), "fail"), "{said}");
    assert!(said.contains("READONLY") && said.contains("primary"), "{said}");

    let Some(locked) = PrivateRedis::start_with(&["--requirepass", "canary-right"]) else { return };
    let (code, status, said) = examined(&locked.url);
    assert_eq!((code, status.as_str()), (Some(1), "fail"), "{said}");
    assert!(said.contains("NOAUTH") && said.contains("password into REDIS_URL"), "{said}");
    for (password, expected) in [("canary-wrong", "fail"), ("canary-right", "ok")] {
        let (_, status, said) = examined(&locked.url.replace("redis://", &format!("redis://:{password}@")));
        assert_eq!(status, expected, "{said}");
    }
}

#[test]
fn pending_migrations_are_named() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    std::fs::write(folder.path().join("data/affzero.db"), "").expect("an empty database");
    let (code, report) = examine(folder.path(), &[]);
    let (status, found, fix) = check(&report, "migrations");
    assert_eq!((code, status), (Some(0), "warn"), "{report}");
    assert!(found.contains("connections") && fix.contains("migrate"), "{report}");
}

#[test]
fn a_database_that_cannot_be_made_or_opened_is_a_failure_with_a_fix_of_its_own() {
    let folder = folder();
    // A folder in which not even root can make a file.
    let (code, report) = examine(folder.path(), &[("DATABASE_URL", "sqlite:///proc/affzero.db")]);
    let (status, found, fix) = check(&report, "database");
    assert_eq!((code, status), (Some(1), "fail"), "{report}");
    assert!(found.contains("/proc/affzero.db is not there yet, and cannot be made"), "{report}");
    assert!(fix.contains("own and write the folder /proc"), "{report}");
    std::fs::write(folder.path().join("garbage.db"), vec![b'x'; 4_096]).expect("a file that is no database");
    let (code, report) = examine(folder.path(), &[("DATABASE_URL", "sqlite://garbage.db")]);
    let (status, _, fix) = check(&report, "database");
    assert_eq!((code, status), (Some(1), "fail"), "{report}");
    assert!(fix.contains("garbage.db") && fix.contains("restore a backup"), "{report}");
    let left = folder.path().read_dir().expect("the folder").map(|entry| entry.expect("an entry").file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".doctor")), "looking leaves nothing");
}

#[test]
fn a_folder_that_the_user_may_not_write_is_a_failure() {
    let folder = folder();
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).expect("a folder");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).expect("a mode");
    if std::fs::write(locked.join("try"), "").is_ok() {
        println!("skipped: root may write whatever the mode says");
        return;
    }
    let (code, report) = examine(folder.path(), &[("DATABASE_URL", "sqlite://locked/affzero.db")]);
    assert_eq!((code, check(&report, "database").0), (Some(1), "fail"), "{report}");
}

#[test]
fn files_that_others_can_read_are_named() {
    let folder = folder();
    assert!(run(folder.path(), &["migrate"], &[]).status.success());
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let data = folder.path().join("data");
    mode(&data, 0o755);
    mode(&data.join("credentials_keys"), 0o644);
    mode(&data.join("affzero.db"), 0o644);
    let (code, report) = examine(folder.path(), &[]);
    let (status, found, fix) = check(&report, "files");
    assert_eq!((code, status), (Some(1), "fail"), "{report}");
    assert_eq!(fix, "chmod go= data/credentials_keys");
    assert!(found.contains("data/credentials_keys") && !found.contains("auth_jwt_secret"), "{report}");
    // What it says to do is what helps.
    let fixed = Command::new("sh").args(["-c", fix]).current_dir(folder.path()).status().expect("a shell");
    assert!(fixed.success());
    let (code, report) = examine(folder.path(), &[]);
    let (status, _, fix) = check(&report, "files");
    assert_eq!((code, status, fix), (Some(0), "warn", "chmod go= data/affzero.db"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_ring_is_held_against_what_is_stored() {
    let folder = folder();
    fn with(keys: &str) -> [(&'static str, &str); 2] {
        [("CREDENTIALS_KEYS", keys), ("AUTH_JWT_SECRET", SECRET)]
    }
    let service = Service::start(folder.path(), &with(KEYS));
    let token = service.wait_for("valid for a day): ");
    for name in ["One", "Two"] {
        let body = json!({"name": name, "platform": "demo"});
        service.send(&token, "POST", "/api/v1/connections", Some(&body)).await.ok(201);
    }
    let ring = |keys: &str| {
        let (code, report) = examine(folder.path(), &with(keys));
        let (status, found, _) = check(&report, "key_ring");
        (code, status.to_owned(), found.to_owned())
    };
    // Two connections, each with settings, credentials, its last verification and that one in the history.
    let (code, status, found) = ring(KEYS);
    assert_eq!((code, status.as_str(), found.as_str()), (Some(0), "ok", "8 under `k1`; everything opens"));
    let (code, status, found) = ring(&format!("{KEYS},{OTHER_KEY}"));
    assert_eq!((code, status.as_str()), (Some(0), "ok"));
    assert!(found.ends_with("nothing needs `k2`"), "{found}");
    let (code, status, found) = ring(&format!("{OTHER_KEY},{KEYS}"));
    assert_eq!((code, status.as_str()), (Some(0), "warn"));
    assert!(found.contains("8 under `k1`; the active key is `k2`"), "{found}");
    let (code, status, found) = ring(OTHER_KEY);
    assert_eq!((code, status.as_str()), (Some(1), "fail"));
    assert!(found.contains("8 under `k1`") && found.contains("2 of 2 connections"), "{found}");

    // A new key that has the old one's name, as when the file it was made in is gone.
    let renewed = OTHER_KEY.replacen("k2:", "k1:", 1);
    let (code, report) = examine(folder.path(), &with(&renewed));
    let (status, found, fix) = check(&report, "key_ring");
    assert_eq!(
        (code, status, found),
        (Some(1), "fail", "none of 8 under `k1` opens; 2 of 2 connections cannot be used")
    );
    assert!(fix.contains("put the former one back"), "{fix}");

    let file = folder.path().join("data/affzero.db").display().to_string();
    let mut hand = SqliteConnection::establish(&file).expect("the file");
    hand.batch_execute(
        "UPDATE connections SET credentials_sealed = (SELECT settings_sealed FROM connections LIMIT 1) WHERE name = 'One'",
    )
    .expect("a change by other hands");
    let (code, status, found) = ring(KEYS);
    assert_eq!((code, status.as_str()), (Some(1), "fail"));
    assert!(found.contains("damaged blobs: 1; 1 of 2"), "{found}");
}
