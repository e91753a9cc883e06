//! Reports of v1.

use super::*;

#[actix_web::test]
async fn v1_answers_every_combination_it_can_tell_apart() {
    let events = autumn();
    let simulator = Simulator::start(Binom::v1(PANEL, events.clone()));
    let road = v1(&simulator);
    for (zone, from, to) in [("UTC", 24, 26), ("Europe/Berlin", 23, 24), ("America/Phoenix", 23, 26)] {
        for group_by in [
            &[DAY][..],
            &[Hour],
            &[Campaign],
            &[Offer],
            &[AffiliateNetwork],
            &[TrafficSource],
            &[Country],
            &[DAY, Campaign],
            &[Offer, DAY],
            &[DAY, AffiliateNetwork],
            &[DAY, TrafficSource],
            &[Country, DAY],
            &[Hour, DAY, Country],
            &[Campaign, TrafficSource],
            &[TrafficSource, Country, Hour],
            &[Country, Campaign, DAY],
        ] {
            let question = ReportCase::by(group_by, day(from), day(to), zone);
            let pulled = question.ask(&road).await.unwrap_or_else(|error| panic!("{group_by:?}: {error}"));
            assert_true(&pulled, &question, &events);
        }
    }
    for request in simulator.requests() {
        assert_eq!((request.param("date"), request.param("api_key")), (Some("12"), Some(KEY)));
        assert_ne!(request.param("val_page"), None);
    }
}

#[actix_web::test]
async fn v1_is_asked_once_for_every_stretch_of_one_offset() {
    let events = sample("2026-10-20T20:00:00Z".parse().expect("an instant"), 11 * 24);
    let simulator = Simulator::start(Binom::v1(PANEL, events.clone()));
    let question = ReportCase::by(&[Campaign], day(21), day(30), "Europe/Berlin");
    let pulled = question.ask(&v1(&simulator)).await.expect("a report");
    assert_true(&pulled, &question, &events);
    let mut sent: Vec<_> = simulator
        .requests()
        .iter()
        .map(|request| {
            ["page", "date_s", "date_e", "timezone"].map(|name| request.param(name).unwrap_or("").to_owned())
        })
        .collect();
    sent.sort();
    assert_eq!(
        sent,
        [
            ["Campaigns", "2026-10-21", "2026-10-24", "+2:00"],
            // The day of the change, from its hours at either offset.
            ["Campaigns", "2026-10-25", "2026-10-25", "+1:00"],
            ["Campaigns", "2026-10-25", "2026-10-25", "+2:00"],
            ["Campaigns", "2026-10-26", "2026-10-30", "+1:00"],
            ["Stats", "2026-10-25", "2026-10-25", "+1:00"],
            ["Stats", "2026-10-25", "2026-10-25", "+2:00"],
        ]
    );
}

#[actix_web::test]
async fn v1_puts_days_of_clock_changes_together_from_their_hours() {
    for (zone, date) in [
        ("Europe/Berlin", day(25)),
        ("Europe/Berlin", date(2026, 3, 29)),
        ("America/New_York", date(2026, 11, 1)),
        ("America/Santiago", date(2026, 9, 6)),
        ("America/Santiago", date(2026, 4, 4)),
        ("America/Havana", date(2024, 11, 3)),
        ("Pacific/Auckland", date(2026, 4, 5)),
    ] {
        let events = around(date, 1);
        let simulator = Simulator::start(Binom::v1(PANEL, events.clone()));
        let road = v1(&simulator);
        for group_by in [
            &[DAY][..],
            &[Hour],
            &[DAY, Hour, Country],
            &[Campaign],
            &[TrafficSource],
            &[DAY, TrafficSource],
            &[Campaign, TrafficSource, Country],
            &[Campaign, Country, DAY],
        ] {
            let question = ReportCase::by(group_by, date, date.saturating_add(1.day()), zone);
            match question.ask(&road).await {
                Ok(pulled) => assert_true(&pulled, &question, &events),
                // Summer time in Auckland is 13 hours from UTC.
                Err(error) => assert!(zone == "Pacific/Auckland" && error.detail.contains("whole hours"), "{error}"),
            }
        }
    }
}

#[actix_web::test]
async fn v1_refuses_what_it_would_get_wrong_and_says_what_works() {
    let simulator = Simulator::start(Binom::v1(PANEL, autumn()));
    let road = v1(&simulator);
    for (group_by, zone, words) in [
        (&[DAY][..], "Asia/Kolkata", "whole hours"),
        (&[DAY], "Pacific/Kiritimati", "whole hours"),
        (&[Offer], "Europe/Berlin", "2026-10-25"),
        (&[Offer, Country], "UTC", "by offer or by affiliate network, alone or with date"),
        (&[Offer, Campaign], "UTC", "Binom v1 cannot group like that"),
        (&[Offer, Hour], "UTC", "Binom v1 cannot group like that"),
        (&[AffiliateNetwork, DAY, Country], "UTC", "Binom v1 cannot group like that"),
    ] {
        let question = ReportCase::by(group_by, day(24), day(26), zone);
        let error = question.ask(&road).await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.detail.contains(words), "{error}");
    }
    assert_eq!(simulator.requests().len(), 0);
}

#[actix_web::test]
async fn every_reading_of_v1_gives_the_same_numbers() {
    let events = autumn();
    let readings: [fn(&mut crate::support::binom::Readings); 9] = [
        |readings| readings.dressed_numbers = true,
        |readings| readings.hours = HourStyle::Bare,
        |readings| readings.hours = HourStyle::Span,
        |readings| readings.country = CountryStyle::Both,
        |readings| readings.old_names = true,
        |readings| readings.all_means = Some(25),
        |readings| readings.all_means = Some(100),
        |readings| readings.statuses = false,
        |readings| readings.vague_content_type = true,
    ];
    for (number, reading) in readings.into_iter().enumerate() {
        let simulator = Simulator::start(Binom::v1(PANEL, events.clone()).reading(reading));
        for group_by in [&[Offer][..], &[Campaign, DAY, Hour], &[Country, Hour]] {
            let question = ReportCase::by(group_by, day(23), day(26), "UTC");
            let pulled = question.ask(&v1(&simulator)).await;
            let pulled = pulled.unwrap_or_else(|error| panic!("reading {number}: {error}"));
            assert_true(&pulled, &question, &events);
        }
    }
}

#[actix_web::test]
async fn every_word_of_v1_for_no_data_is_an_empty_report() {
    for no_data in [NoData::NoClicks, NoData::Null, NoData::NullText, NoData::List] {
        let binom = Binom::v1(PANEL, autumn()).reading(|readings| readings.no_data = no_data);
        let simulator = Simulator::start(binom);
        for group_by in [&[Offer][..], &[DAY], &[Campaign, Hour]] {
            let question = ReportCase::by(group_by, date(2025, 1, 1), date(2025, 1, 2), "UTC");
            let pulled = question.ask(&v1(&simulator)).await.expect("a report");
            assert!(pulled.rows.is_empty() && pulled.warnings.is_empty());
        }
        assert_eq!(v1(&simulator).verify().await.status, VerificationStatus::Ok);
    }
}

#[actix_web::test]
async fn leads_are_split_by_status_only_where_the_owner_switched_that_on() {
    for statuses in [true, false] {
        let events = autumn();
        let binom = Binom::v1(PANEL, events.clone()).reading(|readings| readings.statuses = statuses);
        let simulator = Simulator::start(binom);
        let question = ReportCase::by(&[Campaign, DAY], day(24), day(25), "UTC");
        let pulled = question.ask(&v1(&simulator)).await.expect("a report");
        let rows = pulled.by_key();
        for (key, sum) in question.truth(&events) {
            let row = &rows[&key];
            let split = (sum.approved, sum.rejected, sum.leads - sum.approved - sum.rejected);
            let split = statuses.then_some(split);
            assert_eq!((row.approved, row.rejected), (split.map(|s| s.0), split.map(|s| s.1)));
            assert_eq!((row.hold, row.pending), (split.map(|s| s.2), None));
        }
        assert_eq!(pulled.warnings, []);
    }
}

#[actix_web::test]
async fn a_refusal_is_about_the_key_only_if_the_list_of_campaigns_is_refused_too() {
    let simulator = Simulator::start(Binom::v1(PANEL, autumn()));
    let question = ReportCase::by(&[Campaign, DAY], day(24), day(25), "UTC");
    let refusal = Reply::json(200, &serde_json::json!({"status": "error", "message": "busy"}));
    simulator.inject([Fault::None, Fault::Instead(refusal.clone())]);
    let error = question.ask(&v1(&simulator)).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::BadResponse, "{error}");
    assert!(error.detail.contains("busy"));
    simulator.always(Some(Fault::Instead(refusal)));
    let error = question.ask(&v1(&simulator)).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::CredentialsRejected, "{error}");
}

#[actix_web::test]
async fn sources_by_campaign_need_a_version_that_names_them() {
    let simulator = Simulator::start(Binom::v1(PANEL, autumn()).reading(|readings| readings.old_names = true));
    let question = ReportCase::by(&[TrafficSource, Country], day(24), day(25), "UTC");
    let error = question.ask(&v1(&simulator)).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
}

#[actix_web::test]
async fn a_threshold_of_the_keys_user_hides_nothing_and_a_list_that_is_short_is_found_out() {
    let events = autumn();
    for group_by in
        [vec![DAY], vec![Campaign], vec![Dimension::TrafficSource], vec![Offer], vec![DAY, Offer], vec![DAY, Campaign]]
    {
        let panel = Binom::v1(PANEL, events.clone()).reading(|readings| readings.least_clicks = 1_000);
        let simulator = Simulator::start(panel);
        let question = ReportCase::by(&group_by, day(22), day(24), "UTC");
        let pulled = question.ask(&v1(&simulator)).await.expect("a report");
        assert_true(&pulled, &question, &events);
        let lists = simulator.requests().into_iter().filter(|request| request.param("page") != Some("Stats"));
        assert!(lists.into_iter().all(|request| request.param("status") == Some("all")), "{group_by:?}");
    }
    // A list that leaves a campaign out, whatever the reason.
    for group_by in [vec![DAY], vec![Campaign], vec![Dimension::TrafficSource]] {
        let simulator = Simulator::start(Short(Binom::v1(PANEL, events.clone())));
        let question = ReportCase::by(&group_by, day(22), day(24), "UTC");
        let pulled = question.ask(&v1(&simulator)).await.expect("a report");
        let independent = pulled.checks.iter().find(|check| check.against == Against::Independent).expect("a check");
        let is_found = independent.mismatch.as_deref().is_some_and(|mismatch| mismatch.starts_with("clicks"));
        // Days are asked for of the campaigns on the list, so both lack the same.
        assert_eq!(is_found, group_by != [DAY] && group_by != [Campaign], "{group_by:?}: {:?}", pulled.checks);
    }
}

/// A panel whose list of campaigns lacks its last line.
struct Short(Binom);

impl Tracker for Short {
    fn answer(&self, request: &Request) -> Reply {
        let mut reply = self.0.answer(request);
        if request.param("page") == Some("Campaigns")
            && let Ok(Value::Array(mut rows)) = serde_json::from_slice(&reply.body)
        {
            rows.retain(|row| row["id"] != "12");
            reply.body = Value::Array(rows).to_string().into_bytes();
        }
        reply
    }
}
