//! What is asked for, and what comes out.

use super::*;

#[tokio::test]
async fn what_is_sent_names_everything_that_has_a_doubtful_default() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.pull(&[Dimension::Date, Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let reports = voluum.reports();
    let [request] = reports.as_slice() else { panic!("one call is enough: {reports:?}") };
    for (name, value) in [
        ("from", "2026-09-01T00:00:00Z"),
        ("to", "2026-09-03T00:00:00Z"),
        ("tz", "Etc/GMT"),
        ("include", "ALL"),
        ("conversionTimeMode", "VISIT"),
        ("sort", "offerId"),
        ("direction", "asc"),
        ("limit", "1000"),
        ("offset", "0"),
        ("currency", "EUR"),
    ] {
        assert_eq!(request.params(name), [value], "{name}");
    }
    assert_eq!(request.params("groupBy"), ["day", "offer"]);
    assert_eq!(
        request.params("column"),
        ["day", "offerId", "offerName", "impressions", "visits", "uniqueVisits", "conversions", "revenue", "cost"]
    );
}

#[tokio::test]
async fn every_dimension_alone_and_every_pair_is_exact_in_utc() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings::default());
    for (place, one) in EVERY_DIMENSION.into_iter().enumerate() {
        let mut groups = vec![vec![one]];
        groups.extend(EVERY_DIMENSION[place + 1..].iter().map(|other| vec![*other, one]));
        for group_by in groups {
            let table = voluum.pull(&group_by, first_two(), "UTC").await.expect("a table");
            assert_eq!(found(&table), expected(&hits, &group_by, first_two(), "UTC"), "{group_by:?}");
            assert_eq!((table.checks.len(), table.codes(), table.mismatches), (1, vec![], vec![]), "{group_by:?}");
        }
    }
}

#[tokio::test]
async fn visits_are_the_clicks_and_profit_is_a_media_buyers() {
    let voluum = Simulated::of(vec![Hit::new("2026-09-01T10:00:00Z", "a", 100)], Readings::default());
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let row = &table.rows[0];
    assert_eq!(row.key[0], DimensionValue::new("offer-a", "The offer-a"));
    let get = |metric| row.metrics.get(metric, Perspective::MediaBuyer);
    let decimal = |text: &str| Some(MetricValue::Decimal(text.parse().expect("a decimal")));
    assert_eq!(get(Metric::Clicks), Some(MetricValue::Integer(300)));
    assert_eq!(get(Metric::Revenue), decimal("1234.567"));
    assert_eq!(get(Metric::Profit), decimal("1201.267"));
    assert_eq!(get(Metric::Cr), decimal("0.166667"));
    for unknown in [Metric::Approved, Metric::Pending, Metric::Rejected, Metric::Hold, Metric::Payout] {
        assert_eq!(get(unknown), None, "{unknown}");
    }
}

#[tokio::test]
async fn archived_entities_keep_their_traffic_and_idle_ones_make_no_rows() {
    let mut archived = Hit::new("2026-09-01T10:00:00Z", "archived", 5);
    archived.archived = true;
    let idle = Hit::new("2026-01-01T10:00:00Z", "idle", 5);
    let hits = vec![archived, idle, Hit::new("2026-09-02T10:00:00Z", "active", 7)];
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let table = voluum.pull(&[Dimension::Campaign], first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table).into_keys().flatten().collect::<Vec<_>>(), ["campaign-active", "campaign-archived"]);
    assert_eq!(table.mismatches, Vec::<String>::new());
}

#[tokio::test]
async fn traffic_of_no_entity_stays_as_unknown() {
    let mut direct = Hit::new("2026-09-01T10:00:00Z", "a", 5);
    direct.network = String::new();
    let hits = vec![direct, Hit::new("2026-09-02T10:00:00Z", "b", 7)];
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let group_by = [Dimension::AffiliateNetwork];
    let table = voluum.pull(&group_by, first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &group_by, first_two(), "UTC"));
    assert!(table.rows.iter().any(|row| row.key[0] == DimensionValue::unknown()));
}

#[tokio::test]
async fn several_kinds_of_nothing_are_one_unknown_row() {
    let voluum = Simulated::of(Vec::new(), Readings::default());
    let pages = [page(5, &[r#""""#, r#""a""#]), page(5, &["null", r#"" ""#]), page(5, &[r#""b""#])];
    voluum.simulator.inject([Fault::None].into_iter().chain(pages.map(Fault::Instead)));
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let clicks: BTreeMap<String, i64> =
        found(&table).into_iter().map(|(key, numbers)| (key.concat(), numbers.1)).collect();
    assert_eq!(clicks, [("a", 1), ("b", 1), ("unknown", 3)].map(|(id, count)| (id.to_owned(), count)).into());
}

#[tokio::test]
async fn rows_that_all_lack_their_ids_are_refused_rather_than_merged() {
    let voluum =
        Simulated::of(Vec::new(), Readings { instead: Some(page(2, &["null", "null"])), ..Readings::default() });
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::BadResponse);
    assert_eq!(voluum.reports().len(), 2, "once with a list of columns, once without");
}

#[tokio::test]
async fn rows_of_one_key_on_one_page_are_added_up() {
    let voluum = Simulated::of(Vec::new(), Readings::default());
    voluum.simulator.inject([Fault::None, Fault::Instead(page(3, &[r#""a""#, r#""b""#, r#""a""#]))]);
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let clicks: Vec<i64> = found(&table).into_values().map(|numbers| numbers.1).collect();
    assert_eq!(clicks, [2, 1]);
}

#[tokio::test]
async fn the_fixtures_are_read_as_they_say() {
    let fixture =
        |status: u16, text: &str| Fault::Instead(Reply::text(status, "application/json; charset=utf-8", text));
    let voluum = Simulated::of(Vec::new(), Readings::default());
    voluum.simulator.inject([
        fixture(200, include_str!("../../../fixtures/voluum/admin/session.json")),
        fixture(200, include_str!("../../../fixtures/voluum/admin/stats_ok.json")),
        fixture(200, include_str!("../../../fixtures/voluum/admin/stats_page_2.json")),
        fixture(200, include_str!("../../../fixtures/voluum/admin/stats_empty.json")),
        fixture(400, include_str!("../../../fixtures/voluum/admin/rate_limited.json")),
    ]);
    let group_by = [Dimension::Date, Dimension::Offer];
    let table = voluum.pull(&group_by, first_two(), "UTC").await.expect("a table");
    let read: Vec<String> = table
        .rows
        .iter()
        .map(|row| {
            let [day, offer] = row.key.as_slice() else { panic!("{row:?}") };
            let metrics = &row.metrics;
            let money = |amount: Option<Decimal>| amount.expect("an amount").normalize();
            format!(
                "{} {} {:?} {:?} {:?} {} {}",
                day.id,
                offer.name,
                metrics.impressions,
                metrics.clicks,
                metrics.unique_clicks,
                money(metrics.revenue),
                money(metrics.cost)
            )
        })
        .collect();
    assert_eq!(
        read,
        [
            "2026-09-01 Global – Sweepstake – DE Some(0) Some(200) Some(180) 36 10",
            "2026-09-02 Global – Sweepstake – DE Some(0) Some(121) Some(99) 25.705 9.89",
            "2026-09-01 Unknown None Some(12) Some(11) 0 0.36",
        ]
    );
    assert_eq!((table.checks.len(), table.mismatches), (1, vec![]));
    let empty = voluum.pull(&group_by, first_two(), "UTC").await.expect("a table");
    assert_eq!((empty.rows.len(), empty.checks.len()), (0, 1));
    let error = voluum.pull(&group_by, first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::RateLimited);

    let voluum = Simulated::of(Vec::new(), Readings::default());
    voluum.simulator.inject([fixture(401, include_str!("../../../fixtures/voluum/admin/rejected.json"))]);
    let failure = voluum.verify(ACCESS_KEY).await.failure.expect("a failure");
    assert_eq!(failure.code, FailureCode::CredentialsRejected);
}

#[tokio::test]
async fn the_currency_is_asked_for_and_stated_or_said_to_be_unknown() {
    let voluum = Simulated::of(vec![Hit::new("2026-09-01T10:00:00Z", "a", 100)], Readings::default());
    let revenue_in = async |currency: Option<&str>| {
        let plain = voluum.road(ACCESS_KEY);
        let asked = currency.into_iter().fold(plain, |road, code| road.with_setting("currency", code));
        let table = asked.pull(&query(&[Dimension::Offer], first_two(), "UTC")).await.expect("a table");
        let row = &table.rows[0];
        (
            row.metrics.revenue.expect("revenue").normalize().to_string(),
            row.currency.map(|code| code.as_str().to_owned()),
            table.codes(),
        )
    };
    assert_eq!(revenue_in(Some("USD")).await, ("1543.20875".to_owned(), Some("USD".to_owned()), vec![]));
    assert_eq!(revenue_in(None).await, ("1234.567".to_owned(), None, vec!["currency_unknown"]));
    assert_eq!(voluum.reports().last().map(|request| request.params("currency").len()), Some(0));
}

#[tokio::test]
async fn filters_are_applied_exactly_to_what_comes() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let query = StatsQuery {
        filters: [(Dimension::Country, ["DE".into()].into())].into(),
        ..query(&[Dimension::Offer, Dimension::Country], first_two(), "UTC")
    };
    let table = voluum.road_in_euros().pull_by(&query, &[Dimension::Offer]).await.expect("a table");
    let german: Vec<Hit> = hits.into_iter().filter(|hit| hit.country == "DE").collect();
    assert_eq!(found(&table), expected(&german, &[Dimension::Offer], first_two(), "UTC"));
}

#[test]
fn the_catalogue_says_what_voluum_can() {
    let voluum = entry(Platform::Voluum).expect("an entry");
    let [admin] = voluum.connection_types.as_slice() else { panic!("Voluum has one connection type") };
    let listed = admin.dimensions.iter().map(|dimension| dimension.key);
    let native = listed.filter(|dimension| dimension.source() == *dimension && !dimension.is_sub_id());
    let dimensions: Vec<Dimension> = native.collect();
    assert_eq!(dimensions.iter().copied().collect::<BTreeSet<_>>(), EVERY_DIMENSION.into());
    let clicks = admin.metrics.iter().find(|metric| metric.key == Metric::Clicks).expect("clicks");
    assert_eq!(clicks.native, "visits");
    for unavailable in [Metric::Approved, Metric::Pending, Metric::Rejected, Metric::Hold, Metric::Payout] {
        assert!(admin.unavailable_metrics.contains(&unavailable), "{unavailable}");
    }
    assert_eq!(admin.credentials_schema["required"], serde_json::json!(["access_key_id", "access_key"]));
    assert_eq!(admin.settings_schema["required"], serde_json::json!([]));
    let gateways = Gateways { voluum: "https://api.voluum.com".to_owned(), ..Gateways::default() };
    let origin = origin(Pair::VoluumAdmin, &Settings::new(), &gateways);
    assert_eq!(origin.as_deref(), Some("https://api.voluum.com"));
}

#[tokio::test]
async fn a_conversion_counts_on_the_day_that_the_settings_choose_and_the_answer_says_which() {
    let late = Hit { matures_after: 48, ..Hit::new("2026-09-01T10:00:00Z", "a", 3) };
    let voluum = Simulated::of(vec![late.clone()], Readings::default());
    let days = range(date(2026, 9, 1), date(2026, 9, 3));
    for (time, day, counts_on) in [
        (None, "2026-09-01", DayOfConversion::Click),
        (Some("visit"), "2026-09-01", DayOfConversion::Click),
        (Some("postback"), "2026-09-03", DayOfConversion::Conversion),
    ] {
        let plain = voluum.road(ACCESS_KEY);
        let asked = time.into_iter().fold(plain, |road, time| road.with_setting("conversion_time", time));
        let query = query(&[Dimension::Date], days, "UTC");
        let table = asked.pull(&query).await.expect("a table");
        let converted = table.rows.iter().filter(|row| row.metrics.conversions > Some(0));
        let converted: Vec<&str> = converted.map(|row| row.key[0].id.as_str()).collect();
        assert_eq!(converted, [day], "{time:?}");
        assert_eq!(table.mismatches, Vec::<String>::new());
        assert_eq!(asked.open(Purpose::Pull).terms(&query).day_of_conversion, counts_on);
    }
}
