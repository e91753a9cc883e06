//! What a verification finds out.

use super::*;

#[actix_web::test]
async fn a_key_is_proven_by_the_smallest_report_and_its_rights_are_looked_up() {
    let last = Zone::utc().date_at(Timestamp::now());
    let events = sample(Timestamp::now() - SignedDuration::from_hours(48), 48);
    let simulator = Simulator::start(Keitaro::new(events));
    let verification = road(&simulator).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(verification.detected.platform_version.as_deref(), Some("grouping"));
    assert_eq!(verification.detected.account.as_deref(), Some("an administrator's key"));
    let requests = simulator.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/admin_api/v1/report/build", "/admin_api/v1/users"]);
    assert!(requests.iter().all(|request| request.header("api-key") == Some(KEY) && request.query.is_empty()));
    let asked = body(&requests[0]);
    assert_eq!((&asked["limit"], &asked["grouping"]), (&json!(1), &json!(["campaign_id", "campaign"])));
    let yesterday = last.saturating_sub(1.day());
    assert_eq!(asked["range"]["from"], json!(format!("{yesterday} 00:00:00")));
    assert_eq!(asked["range"]["to"], json!(format!("{yesterday} 23:59:59")));
}

#[actix_web::test]
async fn what_a_panel_without_traffic_understands_is_found_out_later() {
    let simulator = panel(|readings| readings.dialect = Dialect::Dimensions);
    let verification = road(&simulator).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(verification.detected.platform_version, None);
    assert_asked(&ReportCase::by(&[DAY], day(24), day(26), "UTC"), &road(&simulator), &autumn()).await;
    // What an earlier verification found is kept.
    let verification = remembering(&simulator, Some("dimensions"), None).verify().await;
    assert_eq!(verification.detected.platform_version.as_deref(), Some("dimensions"));
}

#[actix_web::test]
async fn a_wrong_key_is_rejected_and_the_hint_says_where_keys_are() {
    let simulator = panel(|_| {});
    let verification = Road::to(PAIR, &simulator.url, "wrong-key-of-some-length").verify().await;
    assert_eq!(code(&verification), Some(FailureCode::CredentialsRejected));
    assert!(hint(&verification).contains("Maintenance → Users"), "{}", hint(&verification));
    let text = serde_json::to_string(&verification).expect("JSON");
    assert!(text.contains("Unauthorized") && !text.contains("wrong-key-of-some-length"), "{text}");
    assert_eq!(simulator.requests().len(), 1, "nothing else is asked with a refused key");
}

#[actix_web::test]
async fn an_edition_without_the_api_is_no_fault_of_the_key() {
    let simulator = panel(|readings| readings.without_api = true);
    let verification = road(&simulator).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
    assert!(hint(&verification).contains("edition"), "{}", hint(&verification));
    let refused = ReportCase::by(&[DAY], day(24), day(24), "UTC").ask(&road(&simulator)).await.expect_err("no API");
    assert_eq!(refused.kind, ErrorKind::InsufficientPermissions);
}

#[actix_web::test]
async fn a_user_that_may_not_see_reports_is_told_from_one_that_may_see_nothing() {
    let simulator = panel(|readings| readings.denies_reports = true);
    let verification = road(&simulator).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
    assert!(hint(&verification).contains("The key is good"), "{}", hint(&verification));
    simulator.always(Some(Fault::Instead(Reply::json(403, &json!({"error": "Access denied"})))));
    let verification = road(&simulator).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
    assert!(!hint(&verification).contains("The key is good"), "{}", hint(&verification));
}

#[actix_web::test]
async fn refusals_of_old_versions_and_of_addresses_are_recognised_by_their_words() {
    let simulator = panel(|_| {});
    for (status, words, expected) in [
        (400, "Invalid API key", FailureCode::CredentialsRejected),
        (403, "Api-Key is not valid", FailureCode::CredentialsRejected),
        (403, "Your IP is not allowed", FailureCode::IpNotAllowed),
        (500, "Database is away", FailureCode::PlatformError),
    ] {
        simulator.always(Some(Fault::Instead(Reply::json(status, &json!({"error": words})))));
        let verification = road(&simulator).verify().await;
        assert_eq!(code(&verification), Some(expected), "{status} {words}: {verification:?}");
    }
}

#[actix_web::test]
async fn a_domain_that_carries_campaigns_is_not_the_panel() {
    let simulator = panel(|readings| readings.front = Front::TrafficDomain);
    let verification = road(&simulator).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::NotThisPlatform));
    assert!(hint(&verification).contains("where you log in"), "{}", hint(&verification));
    let old = panel(|readings| readings.without_reports = true);
    let verification = road(&old).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::NotThisPlatform));
    assert!(hint(&verification).contains("Update"), "{}", hint(&verification));
}

#[actix_web::test]
async fn what_stands_in_front_of_the_panel_says_nothing_of_the_key() {
    for front in [Front::Challenge, Front::PasswordWall] {
        let simulator = panel(|readings| readings.front = front);
        let verification = road(&simulator).verify().await;
        let code = code(&verification).expect("a failure");
        assert!(!code.is_refusal(), "{front:?}: {verification:?}");
    }
}

#[actix_web::test]
async fn a_panel_that_understands_neither_dialect_fails_by_name() {
    let simulator = panel(|readings| readings.dialect = Dialect::Neither);
    let refused = ReportCase::by(&[DAY], day(24), day(24), "UTC").ask(&road(&simulator)).await.expect_err("no dialect");
    assert_eq!(refused.kind, ErrorKind::BadResponse);
    assert!(refused.detail.contains("not understood"), "{}", refused.detail);
    let members: Vec<Value> = simulator.requests().iter().map(body).collect();
    assert!(members.iter().any(|asked| asked.get("grouping").is_some()));
    assert_eq!(members.len(), 2, "each dialect is tried once");
}

#[actix_web::test]
async fn the_other_dialect_is_tried_once_and_remembered() {
    for dialect in [Dialect::Dimensions, Dialect::DimensionsIgnoringOthers] {
        let simulator = panel(|readings| readings.dialect = dialect);
        let question = ReportCase::by(&[DAY, Campaign], day(23), day(25), "UTC");
        assert_asked(&question, &road(&simulator), &autumn()).await;
        let first = body(&simulator.requests()[0]);
        assert!(first.get("grouping").is_some() && first.get("dimensions").is_none(), "the documented one comes first");
        simulator.forget();
        assert_asked(&question, &remembering(&simulator, Some("dimensions"), None), &autumn()).await;
        let requests = simulator.requests();
        assert_eq!(requests.len(), 2, "a page and the panel's own sum");
        assert!(requests.iter().all(|request| body(request).get("measures").is_some()));
    }
    // A panel that was updated since is found out too.
    let simulator = panel(|_| {});
    let question = ReportCase::by(&[DAY, Campaign], day(23), day(25), "UTC");
    assert_asked(&question, &remembering(&simulator, Some("dimensions"), None), &autumn()).await;
}

#[actix_web::test]
async fn a_limited_users_key_gives_less_without_an_error_and_is_warned_of() {
    let simulator = panel(|readings| readings.sees_only = Some(vec![7]));
    let verification = road(&simulator).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    let account = verification.detected.account.expect("an account");
    let question = ReportCase::by(&[Campaign], day(24), day(25), "UTC");
    let table = question.ask(&remembering(&simulator, None, Some(&account))).await.expect("a report");
    assert_eq!(table.rows.len(), 1);
    assert_eq!(table.codes(), ["data_may_be_limited"]);
    // With an administrator's key there is nothing to warn of.
    let simulator = panel(|_| {});
    let account = road(&simulator).verify().await.detected.account.expect("an account");
    let table = question.ask(&remembering(&simulator, None, Some(&account))).await.expect("a report");
    assert_eq!(table.codes(), Vec::<&str>::new());
}

#[actix_web::test]
async fn a_list_of_users_that_does_not_come_holds_nothing_up() {
    let simulator = panel(|_| {});
    // A page is asked for once more.
    for (fault, calls) in [(Fault::Stall(Duration::from_secs(60)), 1), (Fault::Instead(Reply::html(200)), 2)] {
        simulator.inject([Fault::None, Fault::None].into_iter().chain(vec![fault; calls]));
        let verification = remembering(&simulator, None, Some("a limited user's key")).verify().await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
        assert_eq!(verification.detected.account.as_deref(), Some("a limited user's key"));
    }
}
