//! Single answers: from the cache, from the tracker, and verifications.

use std::time::Duration;

use serde_json::json;

use crate::http::{Connection, Request, rate};
use crate::nginx::Nginx;
use crate::plan::Plan;
use crate::service::Service;
use crate::table::{Table, median, millis};
use crate::tracker::{KEY, Tracker};

/// Rows of the one page that is pulled live: those of a usual report, and as many as a page of an answer has.
const FEW_ROWS: usize = 60;
const ROWS: usize = 100;
/// Rows of the cached answer, which make 6 kB.
const CACHED_ROWS: usize = 8;
/// Connections of the organisation that lists 25 of them.
const LISTED: usize = 30;

/// Cached answers and lists of connections a second, beside nginx with an answer of the same bytes in its own cache. The
/// service logs warnings only, and nginx nothing.
pub(crate) fn cached(plan: &Plan, table: &mut Table) {
    let tracker = Tracker::start(ROWS);
    let service = Service::beside(plan, &[("RUST_LOG", "warn".to_owned())]);
    let path = service.connect_to(&tracker);
    let question = format!("{path}/stats?group_by=affiliate,offer&preset=today&limit={CACHED_ROWS}");
    let request = service.get(&question, &[]);
    let answer = service.connect().send(&request).expect("an answer");
    assert_eq!(answer.status, 200);
    let hit = service.connect().send(&request).expect("an answer");
    assert!(hit.head.contains("cache-status: affzero; hit"), "{}", hit.head);
    for number in 1..LISTED {
        service.create(&json!({ "name": format!("Demo {number}"), "platform": "demo" }));
    }
    let list = service.get("/api/v1/connections?limit=25", &[]);
    let page = service.connect().send(&list).expect("an answer");
    assert_eq!(page.json()["data"].as_array().map(Vec::len), Some(25));
    let size = answer.body.len();
    tracker.copy(answer.body);
    let nginx = Nginx::start(&tracker);
    let own = [
        (format!("a cached answer of {size} bytes"), request, 0.85),
        (format!("listing 25 connections, {} bytes", page.body.len()), list, 0.25),
    ];
    let mut rates = vec![Vec::new(); own.len()];
    let mut ratios = vec![Vec::new(); own.len()];
    for round in 0..=plan.rounds {
        let of_nginx = nginx.as_ref().map(|nginx| rate(nginx.address, &nginx.request, plan.seconds, plan.hits));
        for (place, (_, request, _)) in own.iter().enumerate() {
            let of_own = rate(service.address, request, plan.seconds, plan.hits);
            // The first round only warms everything up.
            if round > 0 {
                rates[place].push(of_own);
                ratios[place].extend(of_nginx.map(|other| of_own / other));
            }
        }
    }
    for ((work, _, target), (rates, ratios)) in own.into_iter().zip(rates.into_iter().zip(ratios)) {
        let (wanted, per_second) = (format!("{target} × nginx"), median(rates));
        if ratios.is_empty() {
            table.add(work, &wanted, format!("{per_second:.0}/s; nginx is not installed"), None);
        } else {
            let ratio = median(ratios);
            table.add(work, &wanted, format!("{ratio:.2} × ({per_second:.0}/s)"), Some(ratio >= target));
        }
    }
}

/// What the service adds to the tracker's own time, pulling and verifying.
pub(crate) fn live(plan: &Plan, table: &mut Table) {
    for (rows, target) in [(FEW_ROWS, 0.35), (ROWS, 0.5)] {
        let tracker = Tracker::start(rows);
        let service = Service::start(plan);
        let question = "/stats?group_by=affiliate,offer&preset=today";
        let pull =
            service.get(&format!("{}{question}", service.connect_to(&tracker)), &[("cache-control", "no-cache")]);
        let (whole, own) = against_the_tracker(plan, &tracker, &service, &pull);
        table.add(
            format!("a live pull of one page, {rows} rows"),
            &format!("{target} ms over the tracker's"),
            format!("{own:.2} ms over it, {whole:.2} in all"),
            Some(own <= target),
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
