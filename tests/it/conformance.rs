//! What every platform promises, asked of every pair and every generation of its tracker.
//!
//! What is peculiar to a platform is in [`crate::platforms`]; here no platform is named. A new pair takes part as soon
//! as [`samples::of`] has an arm for it, and does not compile before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use affzero_connections::outbound::error::ErrorKind;
use affzero_connections::outbound::{MAX_BODY_BYTES, Purpose};
use affzero_connections::platforms::calendar::Zone;
use affzero_connections::platforms::cycle::Cycle;
use affzero_connections::platforms::stats::{
    Against, Dimension, DimensionValue, Filters, Metrics, Row, StatsQuery, SubId, WarningCode,
};
use affzero_connections::platforms::verification::{FailureCode, StageStatus, Verification, VerificationStatus};
use affzero_connections::platforms::{Pair, Platform, entries, normalise};
use compact_str::CompactString;
use futures_util::future::join_all;
use jiff::civil::{Date, date};
use serde_json::{Map, Value, json};

use crate::road::{Ids, TIMEOUT, range};
use crate::stage::Stage;
use crate::support::samples::{self, Sample};
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

/// Berlin's day of 25 hours lies between these.
const FROM: Date = date(2026, 10, 24);
const TO: Date = date(2026, 10, 26);
/// The last day with traffic.
const LAST: Date = date(2026, 10, 31);
/// Before any simulated tracker had traffic.
const LONG_AGO: Date = date(2026, 2, 13);

/// Every sample of every pair.
fn all() -> impl Iterator<Item = Stage> {
    Pair::ALL.into_iter().flat_map(|pair| samples::of(pair, LAST)).map(Stage::set)
}

/// Every sample that calls a tracker.
fn called() -> impl Iterator<Item = Stage> {
    all().filter(|stage| stage.simulator.is_some())
}

/// The samples of those, each beside its tracker, which is not running yet.
fn samples_called() -> impl Iterator<Item = (Sample, Box<dyn Tracker>)> {
    let samples = Pair::ALL.into_iter().flat_map(|pair| samples::of(pair, LAST));
    samples.filter_map(|mut sample| sample.tracker.take().map(|tracker| (sample, tracker)))
}

/// Asks every stage the same, in parallel: most of the time is spent waiting.
async fn each(stages: impl Iterator<Item = Stage>, ask: impl AsyncFn(Stage)) {
    join_all(stages.map(|stage| ask(stage))).await;
}

fn code(verification: &Verification) -> Option<FailureCode> {
    verification.failure.as_ref().map(|failure| failure.code)
}

/// A reply that asks to be left alone for longer than any test waits, so that nothing is repeated.
fn later(status: u16) -> Fault {
    Fault::Instead(Reply::text(status, "text/plain", "later").with_header("retry-after", "3600"))
}

fn answer(body: impl Into<Vec<u8>>) -> Fault {
    Fault::Instead(Reply::text(200, "application/json", body))
}

// Verification.

#[tokio::test]
async fn good_credentials_are_verified() {
    each(all(), async |stage| {
        let verification = stage.verify().await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{}: {verification:?}", stage.sample.name());
        assert_eq!(verification.failure, None);
        assert!(verification.stages.iter().all(|stage| stage.status != StageStatus::Failed));
    })
    .await;
}

#[tokio::test]
async fn wrong_credentials_are_rejected_and_point_at_their_field() {
    each(called(), async |stage| {
        let verification = stage.verify_with(&stage.sample.wrong).await;
        let name = stage.sample.name();
        assert_eq!(verification.status, VerificationStatus::Failed, "{name}: {verification:?}");
        assert_eq!(code(&verification), Some(FailureCode::CredentialsRejected), "{name}: {verification:?}");
        let failure = verification.failure.expect("a failure");
        let field = stage.sample.pair.subject().main_secret.expect("a secret");
        assert_eq!(failure.pointer, Some(format!("/credentials/{field}")), "{name}");
        assert!(!failure.retryable && !failure.hint.is_empty() && !failure.detail.is_empty(), "{name}: {failure:?}");
    })
    .await;
}

#[tokio::test]
async fn credentials_of_the_other_portal_are_named_as_such() {
    each(called(), async |stage| {
        let Some(other) = &stage.sample.other_portal else { return };
        let verification = stage.verify_with(other).await;
        let name = stage.sample.name();
        assert_eq!(code(&verification), Some(FailureCode::WrongPortal), "{name}: {verification:?}");
        assert_eq!(verification.detected.connection_type, Some(stage.sample.pair.connection_type().other()), "{name}");
        let failure = verification.failure.expect("a failure");
        assert_eq!(failure.pointer.as_deref(), Some("/connection_type"), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_web_page_with_status_200_never_passes() {
    each(called(), async |stage| {
        stage.simulator().always(Some(Fault::Instead(Reply::html(200))));
        let verification = stage.verify().await;
        let name = stage.sample.name();
        assert_eq!(verification.status, VerificationStatus::Failed, "{name}: {verification:?}");
        assert_eq!(code(&verification), Some(FailureCode::NotThisPlatform), "{name}: {verification:?}");
        stage.pull(&[Dimension::Date], range(FROM, TO), "UTC").await.expect_err(&name);
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_named_and_never_followed() {
    struct Elsewhere;
    impl Tracker for Elsewhere {
        fn answer(&self, _: &Request) -> Reply {
            Reply::html(200)
        }
    }
    let elsewhere = Simulator::start(Elsewhere);
    each(called(), async |stage| {
        for status in [301, 302, 303, 307, 308] {
            let reply = Reply::text(status, "text/plain", "").with_header("location", format!("{}/in", elsewhere.url));
            stage.simulator().always(Some(Fault::Instead(reply)));
            let verification = stage.verify().await;
            let name = stage.sample.name();
            assert_eq!(code(&verification), Some(FailureCode::Redirected), "{name} {status}: {verification:?}");
            let refused = stage.pull(&[Dimension::Date], range(FROM, TO), "UTC").await.expect_err(&name);
            assert_eq!(refused.kind, ErrorKind::Redirected, "{name} {status}: {refused:?}");
        }
    })
    .await;
    assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
}

#[tokio::test]
async fn throttling_and_outages_say_nothing_of_the_credentials() {
    let cases = [
        (502, FailureCode::PlatformError, ErrorKind::Failing),
        (503, FailureCode::PlatformError, ErrorKind::Failing),
        (504, FailureCode::PlatformError, ErrorKind::Failing),
        // Last, because from then on the account is left alone.
        (429, FailureCode::RateLimited, ErrorKind::RateLimited),
    ];
    each(called(), async |stage| {
        for (status, expected, kind) in cases {
            stage.simulator().always(Some(later(status)));
            let verification = stage.verify().await;
            let name = stage.sample.name();
            assert_eq!(verification.status, VerificationStatus::Inconclusive, "{name} {status}: {verification:?}");
            assert_eq!(code(&verification), Some(expected), "{name} {status}: {verification:?}");
            let failed = stage.pull(&[Dimension::Date], range(FROM, TO), "UTC").await.expect_err(&name);
            assert_eq!(failed.kind, kind, "{name} {status}: {failed:?}");
            assert!(failed.kind.is_retryable() && !failed.kind.is_refusal());
        }
    })
    .await;
}

#[tokio::test]
async fn a_tracker_that_does_not_answer_times_out() {
    let hasty = samples_called().map(|(sample, tracker)| Stage::play(sample, Some(tracker), Duration::from_millis(50)));
    each(hasty, async |stage| {
        stage.simulator().always(Some(Fault::Stall(Duration::from_secs(3_600))));
        let verification = stage.verify().await;
        let name = stage.sample.name();
        assert_eq!(verification.status, VerificationStatus::Inconclusive, "{name}: {verification:?}");
        assert_eq!(code(&verification), Some(FailureCode::Timeout), "{name}: {verification:?}");
        let late = stage.pull(&[Dimension::Date], range(FROM, TO), "UTC").await.expect_err(&name);
        assert_eq!(late.kind, ErrorKind::Timeout, "{name}: {late:?}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_beyond_the_bound_is_not_read() {
    let large = answer(vec![b' '; MAX_BODY_BYTES + 1]);
    each(called(), async |stage| {
        stage.simulator().always(Some(large.clone()));
        let failed = stage.pull(&[Dimension::Date], range(FROM, TO), "UTC").await.expect_err("too large");
        assert_eq!(failed.kind, ErrorKind::BadResponse, "{}: {failed:?}", stage.sample.name());
        let verification = stage.verify().await;
        assert_ne!(verification.status, VerificationStatus::Ok, "{}", stage.sample.name());
    })
    .await;
}

#[tokio::test]
async fn what_is_not_an_answer_is_not_taken_for_an_empty_one() {
    each(called(), async |stage| {
        let bodies = ["", "null", "true", "0", "\"\"", "{}", "[]", "hello", "{\"rows\":", "[[]]", "\u{feff}", "\0"];
        for body in bodies.into_iter().filter(|body| !stage.sample.says_nothing.contains(body)) {
            stage.simulator().always(Some(answer(body)));
            let name = stage.sample.name();
            let verification = stage.verify().await;
            assert_ne!(verification.status, VerificationStatus::Ok, "{name} answers {body:?}: {verification:?}");
            let outcome = stage.pull(&[Dimension::Date], range(FROM, TO), "UTC").await;
            let failed = outcome.expect_err(&format!("{name} answers {body:?}"));
            assert!(!failed.detail.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_the_tracker_sends_back_is_left_out() {
    each(called(), async |stage| {
        let secrets: Vec<&str> = stage.sample.credentials.iter().map(|(_, secret)| secret.as_str()).collect();
        let echo = secrets.join(" and ");
        let bodies = [
            json!({"error": echo, "Error": echo, "message": echo, "errors": {"message": echo, "detail": echo}})
                .to_string(),
            json!({"error": {"code": "X", "messages": [echo]}, "status": 2}).to_string(),
            json!({"success": false, "message": echo}).to_string(),
            format!("<response><success>false</success><message>{echo}</message></response>"),
            echo.clone(),
        ];
        for (status, body) in
            [200, 400, 401, 403].into_iter().flat_map(|status| bodies.iter().map(move |body| (status, body)))
        {
            stage.simulator().always(Some(Fault::Instead(Reply::text(status, "application/json", body.as_str()))));
            // Both look for secrets in what comes out.
            assert_ne!(stage.verify().await.status, VerificationStatus::Ok, "{} {status}", stage.sample.name());
            stage.pull(&[Dimension::Date], range(FROM, TO), "UTC").await.expect_err("an echo is no report");
        }
    })
    .await;
}

// Reports.

#[tokio::test]
async fn a_report_with_a_broken_call_is_whole_or_an_error() {
    each(called(), async |stage| {
        let name = stage.sample.name();
        let group_by = [Dimension::Offer, Dimension::Date];
        let whole = stage.table(&group_by, range(FROM, TO), "UTC").await.by_ids();
        // A second time: what is learned once (sessions, lists) is known by now.
        stage.simulator().forget();
        stage.table(&group_by, range(FROM, TO), "UTC").await;
        let calls = stage.simulator().requests().len();
        let faults = [Fault::Cut, later(429), later(502), answer(""), answer("{}"), Fault::Instead(Reply::html(200))];
        for (place, fault) in (0..calls).flat_map(|place| faults.iter().map(move |fault| (place, fault.clone()))) {
            stage.simulator().inject(std::iter::repeat_n(Fault::None, place).chain([fault.clone()]));
            if let Ok(table) = stage.pull(&group_by, range(FROM, TO), "UTC").await {
                // A label may be lost with its call, and then a warning says so; a number may not.
                let unnamed = table.rows.iter().all(|row| row.currency.is_none()) && !table.warnings.is_empty();
                let named =
                    |((ids, currency), metrics): (Ids, Metrics)| ((ids, currency.filter(|_| !unnamed)), metrics);
                let whole: BTreeMap<Ids, Metrics> = whole.clone().into_iter().map(named).collect();
                assert_eq!(table.by_ids(), whole, "{name}: call {place} of {calls} met {fault:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_day_without_traffic_has_no_rows_and_is_no_error() {
    each(called(), async |stage| {
        let table = stage.table(&[Dimension::Date], range(LONG_AGO, LONG_AGO), "UTC").await;
        assert!(!table.has_traffic(), "{}: {:?}", stage.sample.name(), table.rows);
    })
    .await;
}

#[tokio::test]
async fn every_grouping_adds_up_to_the_same_sums() {
    each(all(), async |stage| {
        let name = stage.sample.name();
        let by_day = stage.table(&[Dimension::Date], range(FROM, TO), "UTC").await;
        assert!(by_day.has_traffic(), "{name}");
        let dimensions = stage.dimensions();
        let nothing = std::iter::once(Vec::new());
        let alone = dimensions.iter().map(|dimension| vec![*dimension]);
        let dated = differing(&dimensions).into_iter().filter(|dimension| dimension.source() != Dimension::Date);
        let dated = dated.map(|dimension| vec![dimension, Dimension::Date]);
        for group_by in nothing.chain(alone).chain(dated) {
            assert!(stage.allows(&group_by), "{name}: every dimension goes alone and with the date, {group_by:?} too");
            let table = stage.table(&group_by, range(FROM, TO), "UTC").await;
            assert_eq!(table.sums(), by_day.sums(), "{name} by {group_by:?}");
            assert!(table.rows.iter().all(|row| row.key.len() == group_by.len()), "{name}");
            table.by_ids();
        }
    })
    .await;
}

/// Those that are read in different ways: sub-ids differ by their number alone, and months from weeks by nothing.
fn differing(dimensions: &[Dimension]) -> Vec<Dimension> {
    let is_another = |dimension: &Dimension| match dimension {
        Dimension::Sub(number) => number.number() == 1,
        Dimension::Month => false,
        _ => true,
    };
    dimensions.iter().copied().filter(is_another).collect()
}

#[tokio::test]
async fn no_grouping_is_one_row_a_currency() {
    each(all(), async |stage| {
        let name = stage.sample.name();
        let whole = stage.table(&[], range(FROM, TO), "UTC").await;
        let currencies: BTreeSet<_> = whole.rows.iter().map(|row| row.currency).collect();
        assert_eq!(currencies.len(), whole.rows.len(), "{name}: {:?}", whole.rows);
        assert!(whole.has_traffic() && whole.rows.iter().all(|row| row.key.is_empty()), "{name}");
    })
    .await;
}

#[tokio::test]
async fn weeks_and_months_are_their_days() {
    each(all(), async |stage| {
        let name = stage.sample.name();
        // A Sunday and a Monday, the last of a month and the first.
        let (from, to) = (date(2026, 10, 24), LAST);
        let days = stage.table(&[Dimension::Date], range(from, to), "UTC").await;
        for (dimension, cycle) in [(Dimension::Week, Cycle::Week), (Dimension::Month, Cycle::Month)] {
            let mut expected: BTreeMap<Ids, Metrics> = BTreeMap::new();
            for row in &days.rows {
                let day = row.key[0].id.parse().expect("a day");
                let sum = expected.entry((vec![cycle.id(day).to_string()], row.currency)).or_insert(Metrics::ZERO);
                *sum = sum.add(&row.metrics);
            }
            assert_eq!(stage.table(&[dimension], range(from, to), "UTC").await.by_ids(), expected, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn rows_without_a_sub_id_stand_under_an_empty_one_and_every_letter_of_others_counts() {
    each(called(), async |stage| {
        let name = stage.sample.name();
        let first = Dimension::Sub(SubId::nth(1));
        if !stage.dimensions().contains(&first) {
            return;
        }
        let table = stage.table(&[first], range(FROM, TO), "UTC").await;
        let ids: Vec<&str> = table.rows.iter().map(|row| row.key[0].id.as_str()).collect();
        assert!(ids.contains(&"") && ids.iter().any(|id| id.contains(", ")), "{name}: {ids:?}");
        let blank = Filters::from([(first, [CompactString::default()].into())]);
        let kept = stage.filtered(&[Dimension::Date], blank, range(FROM, TO), "UTC").await.expect("a table");
        let expected = table.rows.iter().filter(|row| row.key[0].id.is_empty());
        let expected = expected.map(|row| row.metrics.clicks.expect("clicks")).sum::<i64>();
        assert_eq!(kept.rows.iter().map(|row| row.metrics.clicks.expect("clicks")).sum::<i64>(), expected, "{name}");
    })
    .await;
}

#[tokio::test]
async fn combinations_are_exact_or_refused_by_name() {
    each(all(), async |stage| {
        let name = stage.sample.name();
        let sums = stage.table(&[Dimension::Date], range(FROM, FROM), "UTC").await.sums();
        let dimensions = differing(&stage.dimensions());
        for (place, first) in dimensions.iter().enumerate() {
            for second in &dimensions[place + 1..] {
                let group_by = [*first, *second];
                match stage.pull(&group_by, range(FROM, FROM), "UTC").await {
                    Ok(table) => assert_eq!(table.sums(), sums, "{name} by {group_by:?}"),
                    Err(refused) => {
                        let expected = !stage.allows(&group_by) || stage.sample.refuses_combinations;
                        assert!(expected, "{name} by {group_by:?}: {refused:?}");
                        assert_eq!(refused.kind, ErrorKind::Unsupported, "{name} by {group_by:?}: {refused:?}");
                        let words = format!("{} {}", refused.detail, refused.hint.unwrap_or_default());
                        let named = dimensions.iter().any(|dimension| words.contains(dimension.key()));
                        assert!(named, "{name} by {group_by:?} names nothing that works: {words}");
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn days_and_hours_are_inside_the_range_in_every_zone() {
    each(all(), async |stage| {
        let name = stage.sample.name();
        for zone in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"] {
            let days = match stage.pull(&[Dimension::Date], range(FROM, TO), zone).await {
                Ok(table) => table,
                Err(refused) => {
                    assert!(zone != "UTC" && refused.kind == ErrorKind::Unsupported, "{name} in {zone}: {refused:?}");
                    continue;
                }
            };
            assert!(days.mismatches.is_empty(), "{name} in {zone}: {:?}", days.mismatches);
            let asked: Vec<String> = range(FROM, TO).days().map(|day| day.to_string()).collect();
            let seen: BTreeSet<String> = days.rows.iter().map(|row| row.key[0].id.to_string()).collect();
            assert!(seen.iter().all(|day| asked.contains(day)), "{name} in {zone}: {seen:?}");
            let one = stage.table(&[Dimension::Date], range(TO, TO), zone).await;
            let same: Vec<&Row> = days.rows.iter().filter(|row| row.key[0].id == TO.to_string()).collect();
            assert_eq!(
                one.rows.iter().collect::<Vec<_>>(),
                same,
                "{name} in {zone}: a day alone is the day in a range"
            );
            if !stage.allows(&[Dimension::Hour]) {
                continue;
            }
            let hours = stage.table(&[Dimension::Hour], range(TO, TO), zone).await;
            let known: Vec<DimensionValue> = (0..24).map(DimensionValue::hour).collect();
            assert!(hours.rows.iter().all(|row| known.contains(&row.key[0])), "{name} in {zone}");
            assert_eq!(hours.sums(), one.sums(), "{name} in {zone}");
        }
    })
    .await;
}

#[tokio::test]
async fn filters_are_exact() {
    each(all(), async |stage| {
        let name = stage.sample.name();
        for dimension in stage.sample.pair.entry().dimensions.iter().filter(|dimension| dimension.filterable) {
            let key = dimension.key;
            let group_by = if key == Dimension::Date { vec![key] } else { vec![key, Dimension::Date] };
            let whole = stage.table(&group_by, range(FROM, TO), "UTC").await;
            let ids: BTreeSet<_> = whole.rows.iter().map(|row| row.key[0].id.clone()).collect();
            let chosen: BTreeSet<_> = ids.into_iter().step_by(2).take(2).collect();
            let filters = Filters::from([(key, chosen.clone())]);
            let kept = whole.by_ids().into_iter().filter(|((ids, _), _)| chosen.contains(ids[0].as_str()));
            let kept: BTreeMap<Ids, Metrics> = kept.collect();
            let table = stage.filtered(&group_by, filters.clone(), range(FROM, TO), "UTC").await;
            let table = table.unwrap_or_else(|error| panic!("{name} filtered by {key}: {error:?}"));
            assert_eq!(table.by_ids(), kept, "{name} filtered by {key}");
            let hidden = stage.filtered(&[Dimension::Date], filters, range(FROM, TO), "UTC").await;
            let hidden = hidden.unwrap_or_else(|error| panic!("{name} filtered by {key}, unseen: {error:?}"));
            assert_eq!(hidden.sums(), table.sums(), "{name} filtered by {key}, unseen");
        }
    })
    .await;
}

/// A tracker some of whose answers arrive with a few bytes changed, dropped or doubled.
struct Damaged(Box<dyn Tracker>, u64);

impl Tracker for Damaged {
    fn answer(&self, request: &Request) -> Reply {
        let mut reply = self.0.answer(request);
        let mut random = fastrand::Rng::with_seed(self.1);
        for _ in 0..random.usize(1..4) {
            if reply.body.is_empty() {
                break;
            }
            let place = random.usize(0..reply.body.len());
            match random.u8(0..4) {
                0 => reply.body[place] = random.choice(*b"0-.eE\"[]{}<>,:&;n\xff\0").expect("a byte"),
                1 => reply.body.truncate(place),
                2 => drop(reply.body.remove(place)),
                _ => reply.body.insert(place, random.choice(*b"09-\"[{<,").expect("a byte")),
            }
        }
        reply
    }
}

/// A tracker whose names of offers hold what no text may hold.
struct Dirty {
    tracker: Box<dyn Tracker>,
    is_heard: Arc<AtomicBool>,
}

impl Tracker for Dirty {
    fn answer(&self, request: &Request) -> Reply {
        const NAMES: [&str; 7] = ["name", "title", "label", "offer", "offerName", "offer_name", "site_offer_name"];
        let mut reply = self.tracker.answer(request);
        let mut body = String::from_utf8(reply.body).expect("a text");
        let before = body.len();
        for name in NAMES {
            for opening in [format!("\"{name}\":\""), format!("\"{name}\": \"")] {
                body = dirtied(&body, &opening);
            }
        }
        for name in ["offer_name", "site_offer_name"] {
            let end = format!("</{name}>");
            body = body.replace(&end, &format!("&#x0;\u{7}{end}"));
        }
        if body.len() > before {
            self.is_heard.store(true, Ordering::Relaxed);
        }
        reply.body = body.into_bytes();
        reply
    }
}

/// A body with half a character and a raw control character at the end of each name that begins so. What is no name of
/// an offer, such as a day, is left alone.
fn dirtied(body: &str, opening: &str) -> String {
    let mut parts = body.split(opening);
    let mut dirty = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        dirty.push_str(opening);
        let end = part.match_indices('"').find(|(at, _)| !part[..*at].ends_with('\\')).map_or(0, |(at, _)| at);
        let is_name = part[..end].contains(|letter: char| letter.is_alphabetic());
        dirty.push_str(&part[..end]);
        if is_name {
            dirty.push_str("\u{7} \\ud83d");
        }
        dirty.push_str(&part[end..]);
    }
    dirty
}

#[tokio::test]
async fn dirty_names_cost_no_number() {
    for pair in Pair::ALL {
        let clean = samples::of(pair, LAST).into_iter().map(Stage::set);
        for (clean, mut sample) in clean.zip(samples::of(pair, LAST)) {
            let Some(tracker) = sample.tracker.take() else { continue };
            let is_heard = Arc::new(AtomicBool::new(false));
            let dirty = Stage::play(sample, Some(Dirty { tracker, is_heard: Arc::clone(&is_heard) }), TIMEOUT);
            for group_by in [vec![Dimension::Offer], vec![Dimension::Offer, Dimension::Date]] {
                let expected = clean.table(&group_by, range(FROM, TO), "UTC").await.by_ids();
                is_heard.store(false, Ordering::Relaxed);
                let table = dirty.table(&group_by, range(FROM, TO), "UTC").await;
                let name = dirty.sample.name();
                assert_eq!(table.by_ids(), expected, "{name} by {group_by:?}");
                let repaired =
                    table.warnings.iter().filter(|warning| warning.code == WarningCode::TextRepaired).count();
                assert_eq!(repaired, usize::from(is_heard.load(Ordering::Relaxed)), "{name}: {:?}", table.warnings);
                let is_hidden = |letter: char| letter.is_control() || letter == '\u{fdd0}';
                let is_shown = |row: &Row| row.key.iter().all(|value| !value.name.contains(is_hidden));
                assert!(table.rows.iter().all(is_shown), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn rows_are_held_against_at_least_what_the_catalogue_says() {
    each(all(), async |stage| {
        let entry = stage.sample.pair.entry();
        let dimensions = stage.dimensions();
        let alone = dimensions.iter().map(|dimension| vec![*dimension]);
        let dated = dimensions.iter().filter(|dimension| **dimension != Dimension::Date);
        for group_by in alone.chain(dated.map(|dimension| vec![Dimension::Date, *dimension])) {
            let table = stage.table(&group_by, range(FROM, TO), "UTC").await;
            let promised = entry.integrity.iter().find(|entry| entry.fits(&group_by)).expect("a last entry").against;
            let was = table.against.unwrap_or(Against::None);
            // Where a platform leaves its own sum out, a warning says so.
            let is_left_out = table.warnings.iter().any(|warning| warning.code == WarningCode::TotalUnknown);
            assert!(was >= promised || is_left_out, "{} by {group_by:?}: {was:?}", stage.sample.name());
        }
        assert!(entry.integrity.last().is_some_and(|entry| entry.group_by.is_none()), "every grouping has an entry");
    })
    .await;
}

#[tokio::test]
async fn unique_clicks_of_days_are_not_added_up() {
    each(all(), async |stage| {
        let name = stage.sample.name();
        let days = stage.table(&[Dimension::Offer, Dimension::Date], range(FROM, TO), "UTC").await;
        let mut by_offer: BTreeMap<&str, Vec<Option<i64>>> = BTreeMap::new();
        for row in &days.rows {
            by_offer.entry(row.key[0].id.as_str()).or_default().push(row.metrics.unique_clicks);
        }
        // What is filtered is read along, and its rows are put together here.
        let filters =
            Filters::from([(Dimension::Date, range(FROM, TO).days().map(|day| day.to_string().into()).collect())]);
        let whole = stage.filtered(&[Dimension::Offer], filters, range(FROM, TO), "UTC").await.expect("a table");
        for row in &whole.rows {
            let parts = &by_offer[row.key[0].id.as_str()];
            let busy = parts.iter().filter(|unique| **unique != Some(0)).count();
            assert!(busy < 2 || row.metrics.unique_clicks.is_none(), "{name}: {row:?} of {parts:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn days_are_in_the_zone_that_was_asked_for_or_a_warning_says_so() {
    each(all(), async |stage| {
        let name = stage.sample.name();
        for zone in ["UTC", "America/New_York", "Asia/Tokyo"] {
            let Ok(table) = stage.pull(&[Dimension::Date], range(FROM, TO), zone).await else { continue };
            let client = stage.open(Purpose::Pull, &stage.sample.credentials);
            let zone = Zone::find(zone).expect("a zone");
            let query = StatsQuery {
                dimensions: vec![Dimension::Date],
                range: range(FROM, TO),
                zone: zone.clone(),
                filters: Filters::new(),
            };
            let terms = client.terms(&query);
            let is_fixed = table.warnings.iter().any(|warning| warning.code == WarningCode::TimezoneFixedByPlatform);
            assert_eq!(terms.zone == Some(zone), !is_fixed, "{name}: {:?}", terms.zone);
            assert_eq!(terms.day_of_conversion, stage.sample.pair.entry().day_of_conversion, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_rules_that_changed_in_2026_are_named_where_a_tracker_counts_days_by_its_own() {
    each(all(), async |stage| {
        let name = stage.sample.name();
        let days = range(date(2026, 11, 1), date(2026, 11, 2));
        let Ok(table) = stage.pull(&[Dimension::Date], days, "America/Vancouver").await else { return };
        let warnings: Vec<_> =
            table.warnings.iter().filter(|warning| warning.code == WarningCode::ZoneTablesDiffer).collect();
        let is_in_its_zone = table.warnings.iter().all(|warning| warning.code != WarningCode::TimezoneFixedByPlatform);
        let is_handed_instants =
            matches!(stage.sample.pair.platform(), Platform::Binom | Platform::Demo | Platform::Tune);
        assert_eq!(warnings.len(), usize::from(is_in_its_zone && !is_handed_instants), "{name}: {:?}", table.warnings);
        assert!(warnings.iter().all(|warning| warning.detail.contains("2026-11-01")), "{name}: {warnings:?}");
    })
    .await;
}

#[tokio::test]
async fn damaged_answers_never_panic() {
    for seed in 0..12 {
        let damaged =
            samples_called().map(|(sample, tracker)| Stage::play(sample, Some(Damaged(tracker, seed)), TIMEOUT));
        each(damaged, async |stage| {
            // Whether the damage shows depends on where it is; what comes out must be free of secrets anyway.
            stage.verify().await;
            drop(stage.pull(&[Dimension::Offer, Dimension::Date], range(FROM, TO), "UTC").await);
        })
        .await;
    }
}

// The catalogue.

#[test]
fn the_catalogue_explains_itself() {
    for platform in entries() {
        assert!(!platform.title.is_empty() && !platform.summary.is_empty(), "{platform:?}");
        let recommended = platform.connection_types.iter().filter(|kind| kind.recommended).count();
        assert_eq!(recommended, usize::from(!platform.connection_types.is_empty()), "{}", platform.title);
        for kind in &platform.connection_types {
            let name = format!("{} {}", platform.title, kind.connection_type);
            assert!(!kind.title.is_empty() && !kind.sees.is_empty() && !kind.use_when.is_empty(), "{name}");
            assert!(!kind.dimensions.is_empty() && !kind.metrics.is_empty(), "{name}");
            assert!(kind.dimensions.iter().all(|dimension| !dimension.label.is_empty()), "{name}");
            assert!(kind.metrics.iter().all(|metric| !metric.label.is_empty() && !metric.native.is_empty()), "{name}");
        }
    }
}

#[test]
fn every_form_field_is_explained_and_its_example_passes() {
    for pair in Pair::ALL {
        let entry = pair.entry();
        let settings = example(pair, &entry.settings_schema);
        example(pair, &entry.credentials_schema);
        let mut settings =
            settings.into_iter().map(|(key, value)| (key, value.as_str().expect("a text").to_owned())).collect();
        normalise(pair, &mut settings).unwrap_or_else(|errors| panic!("{}: {errors:?}", pair));
    }
}

/// The examples of a form together, having passed the form's schema.
fn example(pair: Pair, schema: &Value) -> Map<String, Value> {
    let name = pair.to_string();
    let fields = schema["properties"].as_object().expect("fields");
    for (key, field) in fields {
        for text in ["title", "description"] {
            assert!(field[text].as_str().is_some_and(|text| !text.trim().is_empty()), "{name}: {text} of {key}");
        }
    }
    let examples: Map<String, Value> =
        fields.iter().map(|(key, field)| (key.clone(), field["examples"][0].clone())).collect();
    let validator = jsonschema::validator_for(schema).expect("a schema");
    let body = Value::Object(examples.clone());
    assert!(validator.is_valid(&body), "{name}: {body}");
    assert!(!validator.is_valid(&json!({"misspelt": "x"})), "{name}");
    examples
}
