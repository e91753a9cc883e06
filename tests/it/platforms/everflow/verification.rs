//! What a verification finds out.

use super::*;

#[tokio::test]
async fn a_network_key_is_proven_by_a_report_and_names_the_account() {
    let regions = Regions::of(Everflow::default());
    let verification = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(
        verification.detected,
        Detected {
            connection_type: Some(ConnectionType::Admin),
            platform_version: None,
            account: Some("Sample Network".to_owned()),
            currency: Some("USD".to_owned()),
            timezone: Some("Europe/Berlin".to_owned()),
        }
    );
    assert_eq!(
        regions.asked(),
        ["GET /v1/networks", "GET /v1/meta/timezones", "POST /v1/networks/reporting/entity/table"]
    );
    let report = &regions.reports()[0];
    assert_eq!(report["columns"], json!([{ "column": "offer" }]));
    assert_eq!((&report["from"], &report["timezone_id"]), (&report["to"], &json!(67)));
    for request in regions.us.requests() {
        let expected = (request.path != "/v1/meta/timezones").then_some(NETWORK_KEY);
        assert_eq!(request.header("x-eflow-api-key"), expected, "{}", request.path);
    }
}

#[tokio::test]
async fn an_affiliate_key_is_proven_by_a_report_of_its_own() {
    let regions = Regions::of(Everflow { default_currency: Some("EUR"), ..Everflow::default() });
    let verification = regions.verify(Pair::EverflowAffiliate, AFFILIATE_KEY).await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(
        verification.detected,
        Detected {
            connection_type: Some(ConnectionType::Affiliate),
            platform_version: None,
            account: Some("Sample Affiliate".to_owned()),
            currency: Some("EUR".to_owned()),
            timezone: Some("America/New_York".to_owned()),
        }
    );
    assert!(regions.us.requests().iter().all(|request| !request.path.starts_with("/v1/networks")));
    assert_eq!(regions.reports()[0]["currency_id"], "EUR");
}

#[tokio::test]
async fn a_key_of_the_other_portal_is_named_as_such_on_old_and_new_accounts() {
    for (knows_affiliates_network, capital_error) in [(true, true), (false, false)] {
        let reading = Reading { knows_affiliates_network, capital_error, ..Reading::default() };
        let regions = Regions::of(playing(reading));
        for (pair, key) in [(Pair::EverflowAdmin, AFFILIATE_KEY), (Pair::EverflowAffiliate, NETWORK_KEY)] {
            let verification = regions.verify(pair, key).await;
            let failure = verification.failure.expect("a failure");
            assert_eq!(failure.code, FailureCode::WrongPortal);
            assert_eq!(failure.pointer.as_deref(), Some("/connection_type"));
            assert_eq!(verification.detected.connection_type, Some(pair.connection_type().other()));
        }
        assert!(regions.reports().is_empty());
        let good = regions.verify(Pair::EverflowAffiliate, AFFILIATE_KEY).await;
        assert_eq!(good.status, VerificationStatus::Ok, "{good:?}");
    }
}

#[tokio::test]
async fn an_unknown_key_is_rejected_and_the_other_region_is_named_but_never_tried() {
    let regions = Regions::of(Everflow::default());
    for pair in [Pair::EverflowAdmin, Pair::EverflowAffiliate] {
        let verification = regions.verify(pair, "someone-elses-key-00000").await;
        let failure = verification.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::CredentialsRejected);
        assert_eq!(failure.pointer.as_deref(), Some("/credentials/api_key"));
        assert!(failure.hint.contains("set the region to eu"), "{}", failure.hint);
        assert!(failure.detail.contains("Unauthorized"), "{}", failure.detail);
    }
    assert!(regions.eu.requests().is_empty());
}

#[tokio::test]
async fn the_region_decides_the_host() {
    let regions = Regions::of(Everflow::default());
    let good = regions.road(Pair::EverflowAdmin, NETWORK_KEY).with_setting("region", "eu");
    assert_eq!(good.verify().await.status, VerificationStatus::Ok);
    assert!(regions.us.requests().is_empty() && !regions.eu.requests().is_empty());
    let wrong = good.with_credential("api_key", "nonsense");
    let failure = wrong.verify().await.failure.expect("a failure");
    assert!(failure.hint.contains("set the region to us"), "{}", failure.hint);
}

#[tokio::test]
async fn a_key_without_the_right_to_report_is_good_and_not_enough() {
    let regions = Regions::of(Everflow::default());
    for (pair, key) in [
        (Pair::EverflowAdmin, NETWORK_KEY_WITHOUT_REPORTS),
        (Pair::EverflowAdmin, ADVERTISER_KEY),
        (Pair::EverflowAffiliate, ADVERTISER_KEY),
    ] {
        let verification = regions.verify(pair, key).await;
        let failure = verification.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::InsufficientPermissions);
        let authenticate = verification.stages.iter().find(|stage| stage.name == Stage::Authenticate);
        assert_eq!(authenticate.map(|stage| stage.status), Some(StageStatus::Ok));
    }
}

#[tokio::test]
async fn a_key_that_may_only_read_reports_is_enough() {
    let regions = Regions::of(Everflow::default());
    let verification = regions.verify(Pair::EverflowAdmin, NETWORK_KEY_OF_REPORTS_ONLY).await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(verification.detected.currency, None);
}

#[tokio::test]
async fn a_web_page_is_not_everflow_and_an_outage_says_nothing_of_the_key() {
    let regions = Regions::of(Everflow::default());
    for status in [200, 404] {
        regions.us.always(Some(Fault::Instead(Reply::html(status))));
        let failure = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::NotThisPlatform, "{status}");
        // Nobody entered the gateway's address.
        assert_eq!((failure.pointer, failure.owner), (None, Owner::Platform));
    }
    regions.us.always(Some(Fault::Instead(Reply::json(500, &json!({ "error": "oops" })))));
    let verification = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await;
    assert_eq!(verification.status, VerificationStatus::Inconclusive);
    assert_eq!(verification.failure.map(|failure| failure.code), Some(FailureCode::PlatformError));
}

#[tokio::test]
async fn a_page_instead_of_the_report_never_passes() {
    let regions = Regions::of(Everflow::default());
    let page = || Fault::Instead(Reply::html(200));
    regions.us.inject([Fault::None, Fault::None, page(), page()]);
    let failure = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await.failure.expect("a failure");
    assert_eq!(failure.code, FailureCode::NotThisPlatform);
    regions.us.inject([Fault::None, Fault::Instead(Reply::json(200, &json!({ "rows": [] })))]);
    let failure = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await.failure.expect("a failure");
    assert_eq!(failure.code, FailureCode::NotThisPlatform, "{}", failure.detail);
}

#[tokio::test]
async fn a_key_echoed_by_the_tracker_is_not_repeated() {
    let regions = Regions::of(Everflow::default());
    let echo = json!({ "Error": format!("{NETWORK_KEY} is revoked\u{7}") });
    regions.us.always(Some(Fault::Instead(Reply::json(401, &echo))));
    let failure = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await.failure.expect("a failure");
    assert!(failure.detail.contains("[secret] is revoked"), "{}", failure.detail);
    assert!(!format!("{failure:?}").contains(NETWORK_KEY));
}
