//! Reports that are cut at a number of rows.

use super::*;

#[tokio::test]
async fn a_cut_report_is_asked_again_in_parts_that_lose_and_double_nothing() {
    for cap in [8, 10, 40, 150] {
        let everflow = playing(Reading { cap, ..Reading::default() });
        let regions = Regions::of(everflow.clone());
        for dimensions in [
            &[Dimension::Date, Dimension::Offer, Dimension::Affiliate][..],
            &[Dimension::Advertiser, Dimension::Offer],
            &[Dimension::Campaign, Dimension::Date, Dimension::Advertiser],
        ] {
            let query = query(dimensions, OCTOBER_19, NOVEMBER_4, "America/New_York");
            let pulled = assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
            assert_eq!(pulled.checks, [Check { against: Against::Independent, mismatch: None }]);
        }
    }
}

#[tokio::test]
async fn a_full_table_is_never_used_even_if_nothing_says_that_it_is_cut() {
    let at: Timestamp = "2026-10-20T12:00:00Z".parse().expect("an instant");
    let mut facts = Vec::new();
    for place in 0..12_000 {
        let (offer, affiliate) = (1_000 + place / 100, 1 + place % 100);
        facts.push(Fact { at, offer, affiliate, campaign: None, country: "US", ..sample(1, 1)[0].clone() });
    }
    let reading = Reading { flag: Flag::Never, ..Reading::default() };
    let everflow = Everflow { facts, reading, ..Everflow::default() };
    let regions = Regions::of(everflow.clone());
    let query = query(&[Dimension::Offer, Dimension::Affiliate], date(2026, 10, 19), date(2026, 10, 20), "UTC");
    assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
    let reports = regions.reports();
    assert_eq!(reports[0]["to"], "2026-10-20");
    let parts: Vec<usize> = reports
        .iter()
        .map(|report| report["query"]["filters"].as_array().map(Vec::len).unwrap_or_default())
        .filter(|ids| *ids > 0)
        .collect();
    assert_eq!(parts, [100, 20, 50, 50], "120 offers, a hundred at a time, halved where still too many");
}

#[tokio::test]
async fn rows_without_an_id_are_asked_for_by_excluding_the_others() {
    let everflow = playing(Reading { cap: 8, ..Reading::default() });
    let regions = Regions::of(everflow.clone());
    let query = query(&[Dimension::Campaign, Dimension::Offer], date(2026, 10, 28), date(2026, 10, 28), "UTC");
    assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
    let excluding = regions.reports().into_iter().find(|report| report["query"]["exclusions"] != json!([]));
    let exclusions = excluding.expect("such a part")["query"]["exclusions"].clone();
    assert_eq!(
        exclusions,
        json!([{ "resource_type": "campaign", "filter_id_value": "70" },
               { "resource_type": "campaign", "filter_id_value": "71" }])
    );
}

#[tokio::test]
async fn a_day_that_cannot_be_cut_down_fails_loudly() {
    let regions = Regions::of(playing(Reading { cap: 2, ..Reading::default() }));
    let query = query(&[Dimension::Country, Dimension::Date], OCTOBER_19, NOVEMBER_4, "UTC");
    let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("too many rows");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("more rows than Everflow hands out"), "{}", error.detail);
}

#[tokio::test]
async fn a_part_that_is_not_what_it_was_cut_to_fails_loudly() {
    for (quirk, kind) in [
        (Quirk::DeafToFilters, ErrorKind::BadResponse),
        (Quirk::DeafToExclusions, ErrorKind::BadResponse),
        (Quirk::FirstFilterOnly, ErrorKind::Inconsistent),
    ] {
        let regions = Regions::of(quirky(quirk, Reading { cap: 11, ..Reading::default() }));
        let query = query(&[Dimension::Campaign, Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC");
        let outcome = regions.pull(Pair::EverflowAdmin, &query).await;
        assert_eq!(outcome.expect_err("an odd part").kind, kind, "{quirk:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_the_cap_a_report_is_exact_or_fails(
        seed in any::<u64>(), count in 0usize..500, cap in 1usize..60, length in 0i64..16,
        dimensions in prop::sample::subsequence(vec![Dimension::Date, Dimension::Hour, Dimension::Affiliate,
            Dimension::Offer, Dimension::Campaign, Dimension::Country], 1..=3).prop_shuffle(),
        hours in prop::sample::select(vec![HourIds::Instant, HourIds::OfDay]),
        flag in prop::sample::select(vec![Flag::Always, Flag::WhenTrue]),
        zone in prop::sample::select(vec!["UTC", "America/St_Johns", "Europe/Berlin", "America/Santiago"]),
    ) {
        let facts = sample(count, seed);
        let everflow = Everflow {
            facts: facts.clone(),
            reading: Reading { cap, hours, flag, ..Reading::default() },
            ..Everflow::default()
        };
        let query = query(&dimensions, OCTOBER_19, OCTOBER_19.saturating_add(length.days()), zone);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let outcome = runtime.block_on(async {
            let regions = Regions::of(everflow);
            regions.pull(Pair::EverflowAdmin, &query).await
        });
        match outcome {
            Ok(pulled) => {
                prop_assert_eq!(table(&pulled), expected(&facts, Pair::EverflowAdmin, &query, &query.dimensions));
                prop_assert!(pulled.mismatches.is_empty(), "{:?}", pulled.checks);
            }
            Err(error) => prop_assert_eq!(error.kind, ErrorKind::Unsupported, "{}", error.detail),
        }
    }
}
