//! Filters that the platform takes, and those that are applied here.

use super::*;

async fn assert_filtered(regions: &Regions, facts: &[Fact], query: &StatsQuery, group_by: &[Dimension]) -> Table {
    let pulled = regions.pull_by(Pair::EverflowAdmin, query, group_by).await.expect("a report");
    assert_eq!(table(&pulled), expected(facts, Pair::EverflowAdmin, query, group_by), "{query:?}");
    pulled
}

#[tokio::test]
async fn one_id_goes_to_the_platform_and_several_are_picked_here() {
    let everflow = Everflow::default();
    let regions = Regions::of(everflow.clone());
    let all = || query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, "UTC");
    let group_by = [Dimension::Date];
    type Case<'a> = (&'a [(Dimension, &'a [&'a str])], Value);
    let cases: [Case<'_>; 7] = [
        (&[(Dimension::Offer, &["303"])], json!([{ "resource_type": "offer", "filter_id_value": "303" }])),
        (
            &[(Dimension::Affiliate, &["11"]), (Dimension::Advertiser, &["51"])],
            json!([{ "resource_type": "affiliate", "filter_id_value": "11" },
                   { "resource_type": "advertiser", "filter_id_value": "51" }]),
        ),
        (&[(Dimension::Offer, &["303", "305"])], json!([])),
        (&[(Dimension::Country, &["DE"])], json!([])),
        (&[(Dimension::Campaign, &["unknown"])], json!([])),
        (&[(Dimension::Offer, &["no-such-offer"])], json!([])),
        (&[(Dimension::Hour, &["07", "08"])], json!([])),
    ];
    for (filters, sent) in cases {
        regions.us.forget();
        assert_filtered(&regions, &everflow.facts, &filtered(all(), filters), &group_by).await;
        assert_eq!(regions.reports()[0]["query"]["filters"], sent, "{filters:?}");
    }
}

#[tokio::test]
async fn a_filter_that_the_platform_ignores_is_kept_to_all_the_same() {
    let everflow = quirky(Quirk::DeafToFilters, Reading::default());
    let regions = Regions::of(everflow.clone());
    let all = query(&[Dimension::Advertiser], OCTOBER_19, NOVEMBER_4, "UTC");
    let one = filtered(all, &[(Dimension::Offer, &["303"])]);
    assert_filtered(&regions, &everflow.facts, &one, &[Dimension::Advertiser]).await;
}

#[tokio::test]
async fn a_day_is_cut_only_by_the_ids_that_the_filter_lets_pass() {
    let everflow = playing(Reading { cap: 11, ..Reading::default() });
    let regions = Regions::of(everflow.clone());
    let day = date(2026, 10, 28);
    let all = query(&[Dimension::Offer, Dimension::Affiliate], day, day, "UTC");
    let some = filtered(all, &[(Dimension::Offer, &["303", "305", "9999"])]);
    let pulled = assert_filtered(&regions, &everflow.facts, &some, &some.dimensions).await;
    assert!(pulled.checks.is_empty(), "rows were left unread, so there is no total to compare with");
    assert!(regions.reports().iter().any(|report| {
        report["query"]["filters"]
            == json!([{ "resource_type": "offer", "filter_id_value": "303" },
                      { "resource_type": "offer", "filter_id_value": "305" }])
    }));
}
