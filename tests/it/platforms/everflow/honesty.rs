//! Nothing that is wrong passes for a report.

use super::*;

fn offers() -> StatsQuery {
    query(&[Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC")
}

#[tokio::test]
async fn the_rows_are_held_against_the_networks_own_total() {
    let regions = Regions::of(Everflow::default());
    let pulled = regions.pull(Pair::EverflowAdmin, &offers()).await.expect("a report");
    assert_eq!(pulled.checks, [Check { against: Against::Independent, mismatch: None }]);
    let regions = Regions::of(quirky(Quirk::LyingSummary, Reading::default()));
    let pulled = regions.pull(Pair::EverflowAdmin, &offers()).await.expect("a report");
    let mismatch = pulled.checks[0].mismatch.as_deref().expect("a mismatch");
    assert!(mismatch.starts_with("clicks: the rows add up to "), "{mismatch}");
}

#[tokio::test]
async fn days_that_are_not_over_are_held_against_a_total_of_before_and_affiliates_against_nothing() {
    let regions = Regions::of(Everflow::default());
    let today = Zone::utc().date_at(Timestamp::now());
    let live = query(&[Dimension::Offer], today.saturating_sub(1.day()), today.saturating_add(1.day()), "UTC");
    let pulled = regions.pull(Pair::EverflowAdmin, &live).await.expect("a report");
    assert_eq!(pulled.checks, [Check { against: Against::Independent, mismatch: None }]);
    assert_eq!(regions.asked().iter().filter(|call| call.ends_with("summary")).count(), 1);
    assert!(regions.pull(Pair::EverflowAffiliate, &offers()).await.expect("a report").checks.is_empty());
    assert_eq!(regions.asked().iter().filter(|call| call.ends_with("summary")).count(), 1);
}

#[tokio::test]
async fn a_total_that_cannot_be_read_leaves_good_rows_unchecked() {
    let regions = Regions::of(Everflow::default());
    regions.us.inject([Fault::None, Fault::None, Fault::Instead(Reply::json(404, &json!({ "error": "gone" })))]);
    let pulled = regions.pull(Pair::EverflowAdmin, &offers()).await.expect("a report");
    assert!(pulled.checks.is_empty() && !pulled.rows.is_empty());
}

#[tokio::test]
async fn an_answer_that_is_not_what_was_asked_for_is_no_report() {
    let row = |columns: Value| json!({ "table": [{ "columns": columns, "reporting": { "cv": 1 } }] });
    let offer = json!({ "column_type": "offer", "id": "1", "label": "One" });
    let date_of = |id: &str| json!({ "column_type": "date", "id": id, "label": id });
    let by_offer = offers();
    let by_date = query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, "America/New_York");
    for (query, answer) in [
        (&by_offer, json!({ "incomplete_results": false })),
        (&by_offer, json!({ "table": {} })),
        (&by_offer, row(json!([]))),
        (&by_offer, row(json!([{ "column_type": "affiliate", "id": "1", "label": "One" }]))),
        (&by_offer, row(json!([offer, offer]))),
        (&by_offer, json!({ "table": [{ "columns": [offer], "reporting": { "cv": "many" } }] })),
        (&by_date, row(json!([date_of("1793500000")]))),
        (&by_date, row(json!([date_of("2026-11-05")]))),
        (&by_date, row(json!([date_of("1792296000")]))),
        (&by_date, row(json!([date_of("")]))),
    ] {
        let regions = Regions::of(Everflow::default());
        regions.us.inject([Fault::None, Fault::Instead(Reply::json(200, &answer))]);
        let error = regions.pull(Pair::EverflowAdmin, query).await.expect_err("no report");
        assert_eq!(error.kind, ErrorKind::BadResponse, "{answer}");
    }
}

#[tokio::test]
async fn a_row_that_comes_twice_is_refused() {
    let regions = Regions::of(quirky(Quirk::RepeatsItself, Reading::default()));
    for dimensions in [&[Dimension::Date, Dimension::Offer][..], &[Dimension::Offer], &[Dimension::Hour]] {
        let query = query(dimensions, OCTOBER_19, NOVEMBER_4, "UTC");
        let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("a repeated row");
        assert_eq!((error.kind, error.detail.as_str()), (ErrorKind::BadResponse, "Everflow gave the same row twice."));
    }
}

#[tokio::test]
async fn a_failed_part_fails_the_report() {
    let regions = Regions::of(playing(Reading { cap: 20, ..Reading::default() }));
    regions.us.inject([Fault::None, Fault::None, Fault::Instead(Reply::json(403, &json!({ "Error": "Forbidden" })))]);
    let query = query(&[Dimension::Date, Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC");
    let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("a failed part");
    assert_eq!(error.kind, ErrorKind::InsufficientPermissions);
}

#[tokio::test]
async fn an_exhaustion_is_asked_again_once_and_then_for_less_at_a_time() {
    let exhausted = || Fault::Instead(Reply::json(400, &json!({ "code": 8, "message": "exhausted" })));
    let everflow = Everflow::default();
    let regions = Regions::of(everflow.clone());
    regions.us.inject([Fault::None, exhausted()]);
    assert_exact(&regions, &everflow.facts, Pair::EverflowAffiliate, &offers()).await;
    assert_eq!(regions.reports().len(), 2);
    // The same code means that the question is too large.
    regions.us.inject([exhausted(), exhausted()]);
    assert_exact(&regions, &everflow.facts, Pair::EverflowAffiliate, &offers()).await;
    assert!(regions.reports().len() > 4, "the halves are asked for");
    regions.us.always(Some(exhausted()));
    let error = regions.pull(Pair::EverflowAffiliate, &offers()).await.expect_err("nothing smaller is left");
    assert_eq!(error.kind, ErrorKind::RateLimited);
}

#[tokio::test]
async fn a_bare_internal_error_blames_neither_the_question_nor_its_currency() {
    let regions = Regions::of(Everflow::default());
    regions.us.always(Some(Fault::Instead(Reply::json(400, &json!({ "Error": "Internal error" })))));
    let error = regions.pull(Pair::EverflowAffiliate, &offers()).await.expect_err("it failed inside");
    assert_eq!(error.kind, ErrorKind::Failing);
    assert!(!error.hint.unwrap_or_default().contains("currency"));
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let everflow = Everflow::default();
    let regions = Regions::of(everflow.clone());
    let throttled = Reply::json(429, &json!({ "Error": "Too Many Requests" })).with_header("retry-after", "0");
    regions.us.inject([Fault::Instead(throttled.clone()), Fault::None, Fault::Instead(throttled)]);
    let pulled = assert_exact(&regions, &everflow.facts, Pair::EverflowAffiliate, &offers()).await;
    assert!(pulled.warnings.is_empty());
}

#[tokio::test]
async fn a_query_beyond_its_calls_is_refused_and_says_how_much_is_possible() {
    let mut regions = Regions::of(playing(Reading { hours: HourIds::OfDay, ..Reading::default() }));
    regions.max_calls = 10;
    let query = query(&[Dimension::Date, Dimension::Hour], OCTOBER_19, NOVEMBER_4, "UTC");
    let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("17 days in 10 calls");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("8 days")), "{error:?}");
}

#[tokio::test]
async fn what_the_connection_cannot_see_is_refused_before_any_report() {
    let regions = Regions::of(Everflow::default());
    for (pair, dimension) in [
        (Pair::EverflowAffiliate, Dimension::Affiliate),
        (Pair::EverflowAffiliate, Dimension::Campaign),
        (Pair::EverflowAdmin, Dimension::TrafficSource),
    ] {
        let query = query(&[dimension], OCTOBER_19, NOVEMBER_4, "UTC");
        let error = regions.pull(pair, &query).await.expect_err("no such column");
        assert_eq!(error.kind, ErrorKind::Unsupported);
    }
    let reports: Vec<Request> = regions.us.requests().into_iter().filter(|call| call.method == "POST").collect();
    assert!(reports.is_empty());
}
