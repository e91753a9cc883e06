//! Zones by their numbers.

use super::*;

#[tokio::test]
async fn a_zone_without_a_number_borrows_one_that_shows_the_same_time() {
    let everflow = Everflow::default();
    let regions = Regions::of(everflow.clone());
    for (zone, number) in [("Europe/Warsaw", 56), ("Asia/Calcutta", 31), ("America/Toronto", 80), ("Etc/UTC", 67)] {
        regions.us.forget();
        let query = query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, zone);
        assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
        assert_eq!(regions.reports()[0]["timezone_id"], number, "{zone}");
    }
}

#[tokio::test]
async fn a_zone_with_no_twin_is_refused_before_anything_is_read() {
    let regions = Regions::of(Everflow::default());
    let query = query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, "Australia/Eucla");
    let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("no such zone");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("Australia/Eucla") && error.detail.contains("nearest is"), "{}", error.detail);
    assert!(regions.reports().is_empty());
}

#[tokio::test]
async fn the_list_is_read_once_and_replaced_by_the_built_in_one_only_if_it_fails() {
    let everflow = Everflow::default();
    let regions = Regions::of(everflow.clone());
    regions.us.inject([Fault::Instead(Reply::json(404, &json!({ "error": "not here" })))]);
    let query = query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, "America/Chicago");
    let pulled = assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
    assert_eq!(
        pulled.warnings.iter().map(|warning| warning.code.key()).collect::<Vec<_>>(),
        ["timezone_list_unavailable"]
    );
    assert_eq!(regions.reports()[0]["timezone_id"], 85);
    for _ in 0..3 {
        let pulled = assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
        assert!(pulled.warnings.is_empty());
    }
    let lists = regions.asked().iter().filter(|call| call.ends_with("timezones")).count();
    assert_eq!(lists, 2, "the one that failed, and one for all the rest");
}
