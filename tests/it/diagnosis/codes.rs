//! Every problem code is made to happen end to end somewhere. A new code fails this until it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use affzero_connections::problem::Code;
use affzero_connections::tenancy::Plan;
use tempfile::TempDir;

use crate::app::{Answer, TestApp, client};
use crate::connections::{affise, execute, path};
use crate::process::Service;
use crate::support::affise::Affise;
use crate::support::tracker::Simulator;

/// What no platform says of a pull as yet: verifications find it out, which `table` makes happen.
const OF_VERIFICATIONS: Code = Code::WrongPortal;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        match entry.path() {
            folder if folder.is_dir() => sources(&folder, found),
            file => found.push(file),
        }
    }
}

#[test]
fn every_problem_code_of_the_service_has_a_test_that_makes_it_happen() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut files);
    let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).expect("a source")).collect();
    let is_made = |code: &Code| {
        // The assertion that an answer over HTTP is this problem.
        let asserted = format!("problem({}, \"{}\")", code.status(), code.slug());
        texts.iter().any(|text| text.contains(&asserted))
    };
    let missing: Vec<&str> =
        Code::ALL.iter().filter(|code| **code != OF_VERIFICATIONS && !is_made(code)).map(|code| code.slug()).collect();
    assert_eq!(missing, [""; 0], "no test makes these happen");
}

fn stats(id: &str) -> String {
    format!("{}/stats?group_by=date&from=2026-11-16&to=2026-11-22", path(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_may_no_longer_be_called_is_named_on_a_pull() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let id = app.user("acme", Plan::Pro).add(affise("Brand", &tracker)).await;
    let stricter = app.replica(&[("EGRESS_ALLOW", "")]).await;
    stricter.user("acme", Plan::Pro).get(&stats(&id)).await.problem(422, "egress_blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_foresaw_is_an_internal_error_that_reveals_nothing() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Damaged").await;
    // As a later release may store it.
    execute(&app, "UPDATE connections SET platform = 'of 2031'".to_owned()).await;
    let problem = user.get(&path(&id)).await.problem(500, "internal");
    assert!(!problem.to_string().contains("of 2031"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_says_so_to_who_still_asks() {
    let folder = TempDir::new().expect("a folder");
    let service = Service::start(folder.path(), &[("SHUTDOWN_GRACE_S", "5")]);
    let token = service.wait_for("valid for a day): ");
    // One connection that is kept open, as balancers have them.
    let client = client();
    let ask = async || {
        let request = client.get(format!("{}/api/v1/connections", service.url)).bearer_auth(&token);
        Some(Answer::read(request.send().await.ok()?).await)
    };
    ask().await.expect("an answer").ok(200);
    service.terminate();
    let started = Instant::now();
    loop {
        let answer = ask().await.expect("an answer while the door is open");
        if answer.status == 503 {
            answer.problem(503, "shutting_down");
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "it goes on serving");
    }
}
