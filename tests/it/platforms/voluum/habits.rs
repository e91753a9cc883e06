//! What an account refuses, and what works in its place.

use super::*;

#[tokio::test]
async fn other_spellings_are_found_out_once_for_each_account() {
    let hits = september();
    let unheard_of = ["campaign", "country-code", "trafficSourceId", "affiliateNetworkId", "hour-of-day", "offer"];
    let voluum = Simulated::of(hits.clone(), Readings { unheard_of: unheard_of.into(), ..Readings::default() });
    for group_by in [
        &[Dimension::Country, Dimension::Date, Dimension::Campaign][..],
        &[Dimension::TrafficSource, Dimension::AffiliateNetwork],
        &[Dimension::Hour, Dimension::Offer],
    ] {
        let table = voluum.pull(group_by, first_two(), "UTC").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, group_by, first_two(), "UTC"), "{group_by:?}");
        voluum.simulator.forget();
        voluum.pull(group_by, first_two(), "UTC").await.expect("a table");
        assert_eq!(voluum.reports().len(), 1, "{group_by:?} is remembered");
    }
}

#[tokio::test]
async fn a_grouping_refused_in_every_spelling_is_unsupported_in_voluums_words() {
    let unheard_of = ["offer", "offerId"];
    let voluum = Simulated::of(september(), Readings { unheard_of: unheard_of.into(), ..Readings::default() });
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("INVALID_QUERY"), "{}", error.detail);
    nothing_leaks(&format!("{error:?}"));
}

#[tokio::test]
async fn columns_that_a_list_of_columns_loses_are_fetched_without_one() {
    let hits = september();
    for lost in ["cost", "offerId", "uniqueVisits"] {
        let voluum = Simulated::of(hits.clone(), Readings { lost_columns: [lost].into(), ..Readings::default() });
        let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"), "{lost}");
        assert_eq!(voluum.reports().last().map(|request| request.params("column").len()), Some(0));
    }
}

#[tokio::test]
async fn a_sort_key_that_is_refused_gives_way_to_visits() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings { sorts_by_metrics_only: true, ..Readings::default() });
    for _ in 0..2 {
        voluum.simulator.forget();
        let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
    }
    let reports = voluum.reports();
    assert_eq!(reports.iter().map(|request| request.param("sort")).collect::<Vec<_>>(), [Some("visits")]);
    assert!(reports[0].params("column").contains(&"offerId"), "the list of columns does no harm");
}

#[tokio::test]
async fn a_large_limit_that_is_refused_becomes_a_small_one() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings { largest_limit: 500, ..Readings::default() });
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
    voluum.simulator.forget();
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    assert_eq!(voluum.reports().iter().map(|request| request.param("limit")).collect::<Vec<_>>(), [Some("500")]);
}

#[tokio::test]
async fn what_is_refused_as_too_much_is_asked_for_in_smaller_pieces_from_then_on() {
    let hits: Vec<Hit> = (0..20 * 24)
        .map(|hour| {
            let at = "2026-09-01T00:00:00Z".parse::<Timestamp>().expect("an instant") + hour.hours();
            Hit::new(&at.to_string(), if hour % 2 == 0 { "a" } else { "b" }, hour % 9 + 1)
        })
        .collect();
    let readings = Readings { largest_limit: 60, most_days_by_hour: 7, ..Readings::default() };
    let voluum = Simulated::of(hits.clone(), readings);
    let (group_by, days) = ([Dimension::Date, Dimension::Hour], range(date(2026, 9, 1), date(2026, 9, 20)));
    let table = voluum.pull(&group_by, days, "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &group_by, days, "UTC"));
    // Now that it is known, nothing is refused any more.
    let before = voluum.tables().len();
    voluum.pull(&group_by, days, "UTC").await.expect("a table");
    let limits: Vec<String> =
        voluum.tables()[before..].iter().map(|request| request.param("limit").unwrap_or_default().to_owned()).collect();
    assert!(!limits.is_empty() && limits.iter().all(|limit| limit == "50"), "{limits:?}");
}
