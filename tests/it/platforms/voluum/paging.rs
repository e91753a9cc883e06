//! Long tables and long ranges.

use super::*;

/// So many offers, each with one hour's traffic.
fn offers(count: usize) -> Vec<Hit> {
    (0..count)
        .map(|place| {
            Hit::new("2026-09-01T10:00:00Z", &format!("{place:05}"), i64::try_from(place % 97).expect("small") + 1)
        })
        .collect()
}

#[tokio::test]
async fn a_long_table_streams_through_and_is_whole() {
    let hits = offers(20_500);
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
    assert_eq!((table.checks.len(), table.mismatches), (1, vec![]));
    assert_eq!(voluum.reports().len(), 21);
}

#[tokio::test]
async fn a_long_table_that_moves_fails_rather_than_lose_a_row() {
    let voluum = Simulated::of(offers(20_500), Readings::default());
    voluum.tracker.arrives_before(5, Hit::new("2026-09-01T10:00:00Z", "00000-new", 1));
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Inconsistent);
}

#[tokio::test]
async fn a_short_table_that_moves_is_read_once_more() {
    let hits = offers(50);
    let new = |place: usize| Hit::new("2026-09-01T10:00:00Z", &format!("00000-{place}"), 1);
    let readings = Readings { most_rows: 20, ..Readings::default() };
    let voluum = Simulated::of(hits.clone(), readings.clone());
    voluum.tracker.arrives_before(2, new(1));
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let all: Vec<Hit> = hits.iter().cloned().chain([new(1)]).collect();
    assert_eq!(found(&table), expected(&all, &[Dimension::Offer], first_two(), "UTC"));

    let voluum = Simulated::of(hits, readings);
    // Two of three pages are asked for ahead, so the second reading begins with the fourth call.
    for call in [2, 5] {
        voluum.tracker.arrives_before(call, new(call));
    }
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Inconsistent);
}

#[tokio::test]
async fn a_row_that_comes_on_two_pages_is_noticed_even_if_the_count_is_right() {
    let voluum = Simulated::of(Vec::new(), Readings::default());
    let twice = || Fault::Instead(page(2, &[r#""a""#]));
    voluum.simulator.inject([Fault::None, twice(), twice(), twice(), twice()]);
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Inconsistent);
    assert!(error.detail.contains("twice"), "{}", error.detail);
}

#[tokio::test]
async fn totals_that_disagree_are_reported_and_not_hidden() {
    let voluum = Simulated::of(september(), Readings { wrong_totals: true, ..Readings::default() });
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let [mismatch] = table.mismatches.as_slice() else { panic!("{:?}", table.mismatches) };
    assert!(mismatch.starts_with("2026-09-01 to 2026-09-02: visits of the rows add up to "), "{mismatch}");
}

#[tokio::test]
async fn a_table_said_to_be_cut_is_believed_only_if_its_totals_agree() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings { claims_truncation: true, ..Readings::default() });
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
    let voluum = Simulated::of(hits, Readings { claims_truncation: true, wrong_totals: true, ..Readings::default() });
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
}

#[tokio::test]
async fn long_ranges_are_cut_into_months_and_put_together_exactly() {
    let first: jiff::Timestamp = "2025-09-01T05:00:00Z".parse().expect("an instant");
    let hits: Vec<Hit> = (0..366)
        .map(|day: i64| {
            Hit::new(
                &(first + jiff::SignedDuration::from_hours(24 * day)).to_string(),
                &format!("{}", day % 5),
                day + 1,
            )
        })
        .collect();
    let range = range(date(2025, 9, 1), date(2026, 9, 1));
    let voluum = Simulated::of(hits.clone(), Readings::default());
    for group_by in [&[Dimension::Offer][..], &[Dimension::Date], &[Dimension::Hour]] {
        voluum.simulator.forget();
        let table = voluum.pull(group_by, range, "America/New_York").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, group_by, range, "America/New_York"), "{group_by:?}");
        assert_eq!((voluum.tables().len(), table.checks.len()), (12, 12));
    }
}

#[tokio::test]
async fn a_failed_window_fails_the_whole_report() {
    let voluum = Simulated::of(september(), Readings::default());
    let range = range(date(2026, 8, 1), date(2026, 9, 30));
    voluum.simulator.inject([Fault::None, Fault::None, Fault::Instead(refusal(418, "TEAPOT", "no"))]);
    let error = voluum.pull(&[Dimension::Offer], range, "UTC").await.expect_err("a refusal");
    assert!(error.detail.contains("TEAPOT"), "{}", error.detail);
}

#[tokio::test]
async fn a_report_of_too_many_calls_is_refused_with_the_longest_that_works() {
    let voluum = Simulated::of(september(), Readings::default());
    let few = Road { max_calls: 3, ..voluum.road(ACCESS_KEY) };
    let range = range(date(2026, 1, 1), date(2026, 9, 30));
    let error = few.pull(&query(&[Dimension::Offer], range, "UTC")).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("at most 62 days")), "{:?}", error.hint);
    assert_eq!(voluum.simulator.requests().len(), 0, "nothing is read in vain");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn paging_loses_and_doubles_nothing_whatever_the_page_size(rows in 0usize..90, page in 1usize..40, unknown in 0usize..3) {
        let mut hits = offers(rows);
        for hit in hits.iter_mut().take(unknown) {
            hit.offer = String::new();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (table, calls) = runtime.block_on(async {
            let voluum = Simulated::of(hits.clone(), Readings { most_rows: page, ..Readings::default() });
            let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
            (table, voluum.reports().len())
        });
        prop_assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
        let distinct = hits.iter().map(|hit| &hit.offer).collect::<BTreeSet<_>>().len();
        prop_assert_eq!(calls, distinct.div_ceil(page).max(1));
        prop_assert_eq!(table.mismatches, Vec::<String>::new());
    }
}
