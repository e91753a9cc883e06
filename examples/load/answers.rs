//! Single answers: from the cache, from the tracker, and verifications.

use std::time::Duration;

use serde_json::json;

use crate::http::{Connection, Request, rate};
use crate::plan::Plan;
use crate::rivals::Nginx;
use crate::service::Service;
use crate::table::{Table, median, millis};
use crate::tracker::{KEY, Tracker};

/// Rows of the one page that is pulled live: those of a usual report, and as many as a page of an answer has.
const FEW_ROWS: usize = 25;
const ROWS: usize = 100;
/// Kept connections that cached answers are asked for over.
const CONNECTIONS: usize = 32;

/// Answers a second from the cache, beside nginx with the same bytes in its own.
pub(crate) fn cached(plan: &Plan, table: &mut Table) {
    let tracker = Tracker::start(ROWS);
    let service = Service::start(plan);
    let path = service.connect_to(&tracker);
    let request = service.get(&format!("{path}/stats?group_by=affiliate,offer&preset=today&limit=5"), &[]);
    let answer = service.connect().send(&request).expect("an answer");
    assert_eq!(answer.status, 200);
    let hit = service.connect().send(&request).expect("an answer");
    assert!(hit.head.contains("cache-status: affzero; hit"), "{}", hit.head);
    let size = answer.body.len();
    tracker.copy(answer.body);
    let nginx = Nginx::start(&tracker);
    let (mut own, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let rate_of_own = rate(service.address, &request, CONNECTIONS, plan.hits);
        let rate_of_nginx = nginx.as_ref().map(|nginx| rate(nginx.address, &nginx.request, CONNECTIONS, plan.hits));
        if round > 0 {
            own.push(rate_of_own);
            ratios.extend(rate_of_nginx.map(|other| rate_of_own / other));
        }
    }
    let work = format!("a cached answer of {size} bytes");
    let per_second = median(own);
    if ratios.is_empty() {
        table.add(work, "0.8 × nginx", format!("{per_second:.0}/s; nginx is not installed"), None);
    } else {
        let ratio = median(ratios);
        table.add(work, "0.8 × nginx", format!("{ratio:.2} × ({per_second:.0}/s)"), Some(ratio >= 0.8));
    }
}

/// What the service adds to the tracker's own time, pulling and verifying.
pub(crate) fn live(plan: &Plan, table: &mut Table) {
    for rows in [FEW_ROWS, ROWS] {
        let tracker = Tracker::start(rows);
        let service = Service::start(plan);
        let question = "/stats?group_by=affiliate,offer&preset=today";
        let pull =
            service.get(&format!("{}{question}", service.connect_to(&tracker)), &[("cache-control", "no-cache")]);
        let (whole, own) = against_the_tracker(plan, &tracker, &service, &pull);
        table.add(
            format!("a live pull of one page, {rows} rows"),
            "0.5 ms over the tracker's",
            format!("{own:.2} ms over it, {whole:.2} in all"),
            Some(own <= 0.5),
        );
    }
    let tracker = Tracker::start(ROWS);
    let service = Service::start(plan);
    let path = service.connect_to(&tracker);
    let verify = service.post(&format!("{path}/verify"), &json!({}));
    let (whole, own) = against_the_tracker(plan, &tracker, &service, &verify);
    table.add(
        "a verification",
        "5 ms over the tracker's",
        format!("{own:.2} ms over it, {whole:.2} in all"),
        Some(own <= 5.0),
    );
}

/// The median times in milliseconds: of the request, and of what is left of it without the calls that it causes.
fn against_the_tracker(plan: &Plan, tracker: &Tracker, service: &Service, request: &Request) -> (f64, f64) {
    let mut to_service = service.connect();
    let mut to_tracker = Connection::open(tracker.address).expect("a connection");
    tracker.paths();
    to_service.time(request);
    let calls: Vec<Request> = tracker.paths().iter().map(|path| Request::get(path, &[("api-key", KEY)])).collect();
    assert!(!calls.is_empty(), "the request goes to the tracker");
    let (mut whole, mut own) = (Vec::new(), Vec::new());
    for _ in 0..plan.calls {
        let theirs: Duration = calls.iter().map(|call| to_tracker.time(call)).sum();
        let time = to_service.time(request);
        whole.push(millis(time));
        own.push(millis(time) - millis(theirs));
    }
    (median(whole), median(own))
}
