//! The canary. Every secret of the tests has one word in it, and that word is looked for in all that comes out of the
//! service, in every test: answers, log lines at their loudest, what processes write, and what the database holds.
//!
//! An answer or a database with a canary in it fails its test. A log line has no test of its own, since it is written
//! by a thread of the service, so it ends the whole run: nobody can overlook that.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Once};

use affzero_connections::telemetry::is_discreet;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use crate::app::Answer;

/// What every secret of the tests has in it.
pub(crate) const CANARY: &str = "canary";

/// What a run ends with that a log line has ended.
const FOUND: i32 = 86;

/// Log lines that were looked at.
static LINES: AtomicUsize = AtomicUsize::new(0);

/// The word as it may be spelt: in small letters and capitals, in hexadecimal, and in base64 wherever it starts.
static SPELLINGS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = (0..3).map(|before| {
        let text = STANDARD_NO_PAD.encode([&vec![0; before], CANARY.as_bytes()].concat());
        // Letters at the ends have bits of what stands before and behind.
        let (first, last) = ((before * 8).div_ceil(6), (before + CANARY.len()) * 8 / 6);
        text[first..last].to_owned()
    });
    let plain = [CANARY.to_owned(), CANARY.to_ascii_uppercase(), hex.to_ascii_uppercase(), hex];
    plain.into_iter().chain(base64).map(String::into_bytes).collect()
});

/// The words around a canary, if there is one.
fn found_in(bytes: &[u8]) -> Option<String> {
    let spellings = &*SPELLINGS;
    let mut begins = [false; 256];
    spellings.iter().for_each(|spelling| begins[usize::from(spelling[0])] = true);
    let is_one = |(at, byte): (usize, &u8)| {
        begins[usize::from(*byte)] && spellings.iter().any(|spelling| bytes[at..].starts_with(spelling))
    };
    let place = bytes.iter().enumerate().position(is_one)?;
    let (from, to) = (place.saturating_sub(300), bytes.len().min(place + 100));
    Some(String::from_utf8_lossy(&bytes[from..to]).into_owned())
}

/// Fails the test if there is a canary.
#[track_caller]
pub(crate) fn search(what: &str, bytes: &[u8]) {
    if let Some(around) = found_in(bytes) {
        panic!("a secret is in {what}: {around}");
    }
}

/// Fails the test if an answer has a canary anywhere.
#[track_caller]
pub(crate) fn search_answer(answer: &Answer) {
    for (name, value) in &answer.headers {
        search(&format!("the header {name}"), value.as_bytes());
    }
    search("an answer", answer.text.as_bytes());
}

/// Ends the run if there is a canary. For threads whose panic nobody would notice.
pub(crate) fn guard(what: &str, bytes: &[u8]) {
    LINES.fetch_add(1, Ordering::Relaxed);
    if let Some(around) = found_in(bytes) {
        // The real standard error: what tests print is captured.
        let _ = writeln!(std::io::stderr().lock(), "\na secret is in {what}, the run ends: {around}");
        std::process::exit(FOUND);
    }
}

/// Has everything looked at that is logged in this process: what the real program would write at `trace`.
pub(crate) fn listen() {
    static START: Once = Once::new();
    START.call_once(|| {
        let lines = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| Guard)
            .finish()
            .with(filter_fn(is_discreet));
        tracing::subscriber::set_global_default(lines).expect("nobody else listens");
    });
}

struct Guard;

impl Write for Guard {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        guard("a log line", line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// That what is planted is found: each of these runs in a process of its own, and must fail.
mod planted {
    use affzero_connections::clock::now_micros;
    use affzero_connections::db::DbError;
    use affzero_connections::platforms::Pair;
    use affzero_connections::tenancy::Plan;
    use base64::engine::general_purpose::STANDARD;
    use diesel::connection::SimpleConnection;
    use jiff::civil::date;
    use serde_json::json;
    use std::process::{Command, Output, Stdio};

    use super::*;
    use crate::app::{KEYS, SECRET, TestApp, client};
    use crate::process::{Service, run};
    use crate::support::affise::ADMIN_KEY;
    use crate::support::samples;

    /// Runs a test that is ignored otherwise.
    fn alone(test: &str) -> (Option<i32>, String) {
        let name = format!("watch::planted::{test}");
        let arguments = ["--exact", &name, "--ignored", "--test-threads", "1"];
        // It ends in the middle of things: what it started and wrote goes with it.
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(arguments).env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().expect("it runs");
        let kill = format!("kill -s KILL -- -{}", child.id());
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert!(said.contains("running 1 test"), "{name}: {said}");
        (status.code(), said)
    }

    #[test]
    fn what_is_planted_is_found() {
        for (test, code) in [
            ("in_a_log_line", Some(FOUND)),
            ("in_a_whisper_of_the_service", Some(FOUND)),
            ("in_the_output_of_the_service", Some(FOUND)),
            ("in_the_output_of_a_command", Some(101)),
            ("in_an_answer", Some(101)),
            ("in_the_database", Some(101)),
        ] {
            let (status, said) = alone(test);
            assert_eq!(status, code, "{test}: {said}");
            assert!(said.contains("a secret is in "), "{test}: {said}");
        }
    }

    #[tokio::test]
    #[ignore = "what_is_planted_is_found runs it"]
    async fn in_a_log_line() {
        let _app = TestApp::start().await;
        tracing::info!(key = ADMIN_KEY, "planted");
    }

    #[tokio::test]
    #[ignore = "what_is_planted_is_found runs it"]
    async fn in_a_whisper_of_the_service() {
        let _app = TestApp::start().await;
        tracing::trace!(target: "affzero_connections::platforms", "{}", STANDARD.encode(format!("key={ADMIN_KEY}")));
    }

    #[tokio::test]
    #[ignore = "what_is_planted_is_found runs it"]
    async fn in_the_output_of_the_service() {
        let folder = tempfile::tempdir().expect("a folder");
        let service = Service::start(folder.path(), &[]);
        let request = client().get(format!("{}/healthz", service.url)).header("x-request-id", ADMIN_KEY);
        request.send().await.expect("an answer");
        service.stop();
    }

    #[test]
    #[ignore = "what_is_planted_is_found runs it"]
    fn in_the_output_of_a_command() {
        let folder = tempfile::tempdir().expect("a folder");
        run(folder.path(), &[ADMIN_KEY], &[]);
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "what_is_planted_is_found runs it"]
    async fn in_an_answer() {
        TestApp::start().await.anonymous("GET", &format!("/{ADMIN_KEY}")).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "what_is_planted_is_found runs it"]
    async fn in_the_database() {
        let app = TestApp::start().await;
        let sql = format!("INSERT INTO organisations (id, writes, created_at) VALUES ('{ADMIN_KEY}', 0, 0)");
        app.db.write_all(move |db| db.batch_execute(&sql).map_err(DbError::from)).await.expect("planted");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_service_logs_is_looked_at() {
        let app = TestApp::start().await;
        let before = LINES.load(Ordering::Relaxed);
        app.user("acme", Plan::Pro).get("/api/v1/usage").await.ok(200);
        assert!(LINES.load(Ordering::Relaxed) > before);
    }

    #[test]
    fn every_secret_of_the_tests_has_the_canary_in_it() {
        for pair in Pair::ALL {
            for sample in samples::of(pair, date(2026, 11, 1)) {
                for (field, secret) in [sample.credentials.clone(), sample.wrong.clone()].concat() {
                    assert!(secret.contains(CANARY), "{}: {field} {secret}", sample.name());
                }
            }
        }
        let ring = STANDARD.decode(KEYS.trim_start_matches("k1:")).expect("base64");
        assert!(found_in(SECRET.as_bytes()).is_some() && found_in(&ring).is_some());
    }

    #[test]
    fn no_spelling_and_no_place_is_overlooked() {
        let headers = reqwest::header::HeaderMap::from_iter([(
            reqwest::header::LOCATION,
            reqwest::header::HeaderValue::from_static(ADMIN_KEY),
        )]);
        let answer = Answer { status: 200, headers, text: String::new() };
        assert!(std::panic::catch_unwind(|| search_answer(&answer)).is_err());
        let hex: String = ADMIN_KEY.bytes().map(|byte| format!("{byte:02X}")).collect();
        assert!(found_in(hex.as_bytes()).is_some());
        assert!(found_in(ADMIN_KEY.to_ascii_uppercase().as_bytes()).is_some());
        for before in ["", "x", "xx", "xxx", "xxxx"] {
            assert!(found_in(STANDARD.encode(format!("{before}{ADMIN_KEY}")).as_bytes()).is_some(), "{before}");
        }
        let nothing = json!({ "at": now_micros(), "words": "a bird that sings" }).to_string();
        assert_eq!(found_in(nothing.as_bytes()), None);
    }
}
