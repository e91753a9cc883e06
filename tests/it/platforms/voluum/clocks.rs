//! Days and hours, under both readings of the clock.

use super::*;

#[tokio::test]
async fn days_and_hours_of_any_zone_are_exact_under_both_readings_of_the_clock() {
    let hits = september();
    for clock in [Clock::Local, Clock::Utc] {
        let voluum = Simulated::of(hits.clone(), Readings { clock, ..Readings::default() });
        for zone in ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC", "Etc/GMT"] {
            for group_by in
                [&[Dimension::Date][..], &[Dimension::Hour], &[Dimension::Offer], &[Dimension::Hour, Dimension::Date]]
            {
                let table = voluum.pull(group_by, first_two(), zone).await.expect("a table");
                assert_eq!(
                    found(&table),
                    expected(&hits, group_by, first_two(), zone),
                    "{clock:?} {zone} {group_by:?}"
                );
                assert_eq!(table.codes(), Vec::<&str>::new());
            }
        }
        let asked_the_time = voluum.reports().len() - voluum.tables().len();
        assert_eq!(asked_the_time, 1, "the clock is asked for once");
    }
}

#[tokio::test]
async fn a_year_whose_ends_stand_on_utc_but_not_its_middle_is_exact_under_both_readings() {
    let first: jiff::Timestamp = "2025-01-01T00:00:00Z".parse().expect("an instant");
    let hits: Vec<Hit> = (0..1_500)
        .map(|place: i64| {
            Hit::new(&(first + jiff::SignedDuration::from_hours(6 * place)).to_string(), "a", place % 50 + 1)
        })
        .chain((0..300).map(|place: i64| {
            Hit::new(&(first + jiff::SignedDuration::from_hours(24 * place + 23)).to_string(), "a", place % 50 + 1)
        }))
        .collect();
    let range = range(date(2025, 1, 1), date(2025, 12, 31));
    for clock in [Clock::Local, Clock::Utc] {
        let voluum = Simulated::of(hits.clone(), Readings { clock, ..Readings::default() });
        for group_by in [&[Dimension::Date][..], &[Dimension::Offer]] {
            let table = voluum.pull(group_by, range, "Europe/London").await.expect("a table");
            assert_eq!(found(&table), expected(&hits, group_by, range, "Europe/London"), "{clock:?}");
        }
    }
}

#[tokio::test]
async fn half_hour_zones_are_exact_on_their_own_clock_and_refused_on_that_of_utc() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings::default());
    for zone in ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"] {
        let table = voluum.pull(&[Dimension::Date], first_two(), zone).await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &[Dimension::Date], first_two(), zone), "{zone}");
    }
    let voluum = Simulated::of(hits, Readings { clock: Clock::Utc, ..Readings::default() });
    let error = voluum.pull(&[Dimension::Date], first_two(), "Asia/Kolkata").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(voluum.tables().len(), 0);
}

#[tokio::test]
async fn days_on_which_the_clocks_change_are_exact() {
    for (zone, day) in [
        ("Europe/Berlin", date(2026, 3, 29)),
        ("Europe/Berlin", date(2026, 10, 25)),
        ("America/Santiago", date(2026, 9, 6)),
        ("America/Havana", date(2025, 11, 2)),
        ("Australia/Lord_Howe", date(2026, 4, 5)),
    ] {
        let start = Zone::find(zone).expect("a zone").start_of(day).expect("a start");
        let before = jiff::Timestamp::from_second(start.as_second() / 3600 * 3600).expect("an hour")
            - jiff::SignedDuration::from_hours(5);
        let hits: Vec<Hit> = (0..40)
            .map(|hour: i64| Hit::new(&(before + jiff::SignedDuration::from_hours(hour)).to_string(), "a", hour + 1))
            .collect();
        let range = DateRange::day(day);
        for clock in [Clock::Local, Clock::Utc] {
            let voluum = Simulated::of(hits.clone(), Readings { clock, ..Readings::default() });
            for group_by in [&[Dimension::Date][..], &[Dimension::Date, Dimension::Hour]] {
                match voluum.pull(group_by, range, zone).await {
                    Ok(table) => assert_eq!(found(&table), expected(&hits, group_by, range, zone), "{zone} {clock:?}"),
                    Err(error) => {
                        assert_eq!(
                            (error.kind, clock, zone),
                            (ErrorKind::Unsupported, Clock::Utc, "Australia/Lord_Howe")
                        );
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_clock_that_no_traffic_shows_is_stated() {
    let hits = vec![Hit::new("2026-09-15T11:00:00Z", "a", 3)];
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let range = range(date(2026, 9, 1), date(2026, 9, 30));
    let table = voluum.pull(&[Dimension::Date], range, "Europe/Berlin").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &[Dimension::Date], range, "Europe/Berlin"));
    assert_eq!(table.codes(), ["timezone_unproven"]);
}

#[tokio::test]
async fn a_day_that_was_not_asked_for_fails_the_report() {
    let body = r#"{"totalRows": 1, "rows": [{"day": "2026-09-03", "visits": 1, "uniqueVisits": 1, "conversions": 0, "impressions": 0, "revenue": 0, "cost": 0}]}"#;
    let reply = Reply::text(200, "application/json", body);
    let voluum = Simulated::of(Vec::new(), Readings { instead: Some(reply), ..Readings::default() });
    let error = voluum.pull(&[Dimension::Date], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::BadResponse);
    assert!(error.detail.contains("2026-09-03"), "{}", error.detail);
}

#[tokio::test]
async fn hours_are_read_in_every_form() {
    let hits = september();
    for hours in [HourForm::Number, HourForm::Digits, HourForm::Padded, HourForm::Time, HourForm::Span] {
        let voluum = Simulated::of(hits.clone(), Readings { hours, ..Readings::default() });
        let group_by = [Dimension::Hour];
        let table = voluum.pull(&group_by, first_two(), "Europe/Berlin").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &group_by, first_two(), "Europe/Berlin"), "{hours:?}");
    }
}

#[tokio::test]
async fn days_and_hours_that_do_not_group_together_are_asked_day_by_day() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings { hours_of_days: false, ..Readings::default() });
    let group_by = [Dimension::Hour, Dimension::Campaign, Dimension::Date];
    for _ in 0..2 {
        voluum.simulator.forget();
        let table = voluum.pull(&group_by, first_two(), "Europe/Berlin").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &group_by, first_two(), "Europe/Berlin"));
    }
    let asked: BTreeSet<String> =
        voluum.tables().iter().map(|request| request.param("from").unwrap_or_default().to_owned()).collect();
    assert_eq!(asked, ["2026-09-01T00:00:00Z", "2026-09-02T00:00:00Z"].map(str::to_owned).into());
    assert_eq!(voluum.tables().len(), 2, "the pair is not tried again");
}
