//! What holds for any question.

use super::*;

#[test]
fn the_simulators_tables_have_no_id_twice() {
    let count = |ids: Vec<u32>| (ids.len(), ids.into_iter().collect::<BTreeSet<_>>().len());
    for (all, distinct) in [
        count(CAMPAIGNS.iter().map(|(id, ..)| *id).collect()),
        count(OFFERS.iter().map(|(id, ..)| *id).collect()),
        count(NETWORKS.iter().map(|(id, _)| *id).collect()),
        count(SOURCES.iter().map(|(id, _)| *id).collect()),
    ] {
        assert_eq!(all, distinct);
    }
    assert_eq!(COUNTRIES.len(), 4);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn v2_loses_and_doubles_nothing_in_any_zone_at_any_page_size(
        zone in prop::sample::select(&["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns",
                                       "Australia/Lord_Howe", "Pacific/Kiritimati", "America/Santiago"][..]),
        group_by in prop::sample::select(vec![vec![DAY], vec![Hour], vec![Offer, DAY], vec![Campaign, Country],
                                           vec![Country, Offer, Campaign], vec![TrafficSource, Offer]]),
        start in 0i64..365,
        length in 0i64..3,
        page_cap in prop::option::of(1usize..12),
        ambiguity in prop::sample::select(&[Ambiguity::First, Ambiguity::Last, Ambiguity::Either][..]),
    ) {
        let from = date(2026, 1, 1).saturating_add(start.days());
        let events = around(from, length);
        let binom = Binom::v2("", events.clone())
            .reading(|readings| (readings.page_cap, readings.ambiguity) = (page_cap, ambiguity));
        let simulator = Simulator::start(binom);
        let question = ReportCase::by(&group_by, from, from.saturating_add(length.days()), zone);
        let pulled = runtime().block_on(question.ask(&v2(&simulator))).expect("a report");
        assert_true(&pulled, &question, &events);
    }

    #[test]
    fn v1_is_right_or_refuses_in_any_zone(
        zone in prop::sample::select(&["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York",
                                       "Asia/Tokyo", "Pacific/Auckland", "Australia/Lord_Howe"][..]),
        group_by in prop::sample::select(vec![vec![DAY], vec![Hour], vec![Offer, DAY], vec![Campaign, Country, Hour],
                                           vec![TrafficSource, Country], vec![Offer, Country]]),
        start in 0i64..365,
        length in 0i64..3,
        all_means in prop::option::of(prop::sample::select(vec![10usize, 25, 50])),
    ) {
        let from = date(2026, 1, 1).saturating_add(start.days());
        let events = around(from, length);
        let simulator =
            Simulator::start(Binom::v1(PANEL, events.clone()).reading(|readings| readings.all_means = all_means));
        let question = ReportCase::by(&group_by, from, from.saturating_add(length.days()), zone);
        match runtime().block_on(question.ask(&v1(&simulator))) {
            Ok(pulled) => assert_true(&pulled, &question, &events),
            Err(error) => prop_assert_eq!(error.kind, ErrorKind::Unsupported, "{}", error),
        }
    }

    #[test]
    fn the_sample_is_cut_without_remainder(hours in 1i64..50) {
        let events = sample(Timestamp::UNIX_EPOCH, hours);
        let question = ReportCase::by(&[Campaign, Hour], date(1970, 1, 1), date(1970, 1, 4), "UTC");
        let total: Decimal = question.truth(&events).values().map(|sum| sum.revenue).sum();
        prop_assert_eq!(total, Sum::of(&events).revenue);
    }
}
