//! What a verification finds out.

use super::*;

#[tokio::test]
async fn a_good_key_is_verified_by_one_row_of_a_real_report() {
    let simulator = Simulator::start(Cake::default());
    let verification = affiliate(&simulator).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{:?}", verification.failure);
    assert_eq!(
        verification.detected,
        Detected {
            connection_type: Some(ConnectionType::Affiliate),
            platform_version: Some("newer".to_owned()),
            account: Some(AFFILIATE_ID.to_owned()),
            currency: Some("USD".to_owned()),
            timezone: None,
        }
    );
    assert_eq!(simulator.requests()[0].param("row_limit"), Some("1"));
    let verification = admin(&simulator).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{:?}", verification.failure);
    assert_eq!(verification.detected.connection_type, Some(ConnectionType::Admin));
}

#[tokio::test]
async fn a_classic_network_is_recognised_and_remembered() {
    let simulator = Simulator::start(Cake::with(|cake| cake.newer = false));
    let mut connection = affiliate(&simulator);
    connection.detected = connection.verify().await.detected;
    assert_eq!(connection.detected.platform_version.as_deref(), Some("classic"));
    simulator.forget();
    connection.pull(&query(&[Dimension::Date], september())).await.expect("a table");
    assert!(simulator.requests().iter().all(|request| request.path.contains(".asmx/")));
}

#[tokio::test]
async fn keys_are_refused_for_their_true_cause() {
    for refusal in [Refusal::InEnvelope, Refusal::Message(403), Refusal::Message(400), Refusal::Message(401)] {
        let simulator = Simulator::start(Cake::with(|cake| cake.refusal = refusal));
        let affiliate = affiliate(&simulator);
        assert_eq!(
            failure_code(&affiliate.clone().with_credential("api_key", "wrong")).await,
            FailureCode::CredentialsRejected,
            "{refusal:?}"
        );
        assert_eq!(
            failure_code(&affiliate.clone().with_credential("api_key", ADMIN_KEY)).await,
            FailureCode::WrongPortal,
            "{refusal:?}"
        );
        assert_eq!(
            failure_code(&affiliate.without_setting("affiliate_id")).await,
            FailureCode::AffiliateIdRequired,
            "{refusal:?}"
        );
    }
    // An empty 403 may be anybody's.
    let silent = Simulator::start(Cake::with(|cake| cake.refusal = Refusal::Silent(403)));
    let failure = affiliate(&silent).with_credential("api_key", "wrong").verify().await.failure.expect("a failure");
    assert_eq!(failure.code, FailureCode::AccessBlocked);
    assert!(failure.hint.contains("A wrong key can look the same"), "{failure:?}");
    let simulator = Simulator::start(Cake::with(|cake| cake.affiliate_id_needed = false));
    let admin = admin(&simulator);
    assert_eq!(
        failure_code(&admin.clone().with_credential("api_key", "wrong")).await,
        FailureCode::CredentialsRejected
    );
    let verification = admin.with_credential("api_key", AFFILIATE_KEY).verify().await;
    assert_eq!(verification.detected.connection_type, Some(ConnectionType::Affiliate));
    assert_eq!(verification.failure.expect("a failure").code, FailureCode::WrongPortal);
}

#[tokio::test]
async fn a_key_without_an_affiliate_id_works_where_the_network_does_not_want_one() {
    let simulator = Simulator::start(Cake::with(|cake| cake.affiliate_id_needed = false));
    let connection = affiliate(&simulator).without_setting("affiliate_id");
    assert_eq!(connection.verify().await.status, VerificationStatus::Ok);
    assert_eq!(simulator.requests()[0].param("affiliate_id"), None);
    let classic = Simulator::start(Cake::with(|cake| cake.newer = false));
    let connection = affiliate(&classic).without_setting("affiliate_id");
    assert_eq!(failure_code(&connection).await, FailureCode::AffiliateIdRequired);
}

#[tokio::test]
async fn a_pasted_pair_is_taken_apart() {
    let simulator = Simulator::start(Cake::default());
    let pasted = affiliate(&simulator).without_setting("affiliate_id").with_credential("api_key", "canaryAteKey+/9|42");
    assert_eq!(pasted.verify().await.status, VerificationStatus::Ok);
    let requests = simulator.requests();
    assert_eq!(requests[0].params("api_key"), [AFFILIATE_KEY]);
    assert_eq!(requests[0].params("affiliate_id"), [AFFILIATE_ID]);
}

#[tokio::test]
async fn refusals_in_words_are_understood_and_quoted_without_the_key() {
    for (message, code) in [
        ("Your API key canaryAteKey+/9 has expired", FailureCode::CredentialsRejected),
        ("You do not have permission to view this report", FailureCode::InsufficientPermissions),
        ("IP address 203.0.113.9 is not allowed", FailureCode::IpNotAllowed),
        ("Too many requests", FailureCode::RateLimited),
        ("Nope", FailureCode::CredentialsRejected),
    ] {
        for body in [
            serde_json::json!({ "success": false, "message": message }),
            serde_json::json!({ "row_count": 0, "message": message, "data": [] }),
            serde_json::json!({ "Message": message }),
        ] {
            let simulator = Simulator::start(Cake::default());
            simulator.always(Some(Fault::Instead(Reply::json(200, &body))));
            assert_eq!(failure_code(&affiliate(&simulator)).await, code, "{body}");
        }
    }
}

#[tokio::test]
async fn what_is_not_cake_never_passes() {
    let html = Reply::html(200);
    let xhtml = Reply::text(200, "text/html", "<?xml version=\"1.0\"?><!DOCTYPE html><html><body>Log in</body></html>");
    let json = Reply::text(200, "application/json", r#"{"status": "ok", "items": []}"#);
    for reply in [html, xhtml, json, Reply::html(404), Reply::text(200, "text/plain", "hello")] {
        for connect in [affiliate as fn(&Simulator) -> Road, admin] {
            let simulator = Simulator::start(Cake::default());
            simulator.always(Some(Fault::Instead(reply.clone())));
            assert_eq!(failure_code(&connect(&simulator)).await, FailureCode::NotThisPlatform, "{reply:?}");
        }
    }
}

#[tokio::test]
async fn an_asp_net_failure_is_a_failing_platform_and_a_refused_parameter_is_not() {
    let simulator = Simulator::start(Cake::default());
    let page = "<html><title>Runtime Error</title></html>";
    simulator.always(Some(Fault::Instead(Reply::text(500, "text/html", page))));
    assert_eq!(failure_code(&admin(&simulator)).await, FailureCode::PlatformError);
    simulator.always(Some(Fault::Instead(Reply::text(500, "text/plain", "Missing parameter: something_new."))));
    let error = admin(&simulator).pull(&query(&[Dimension::Offer], september())).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::BadResponse);
    assert!(error.detail.contains("something_new"), "{}", error.detail);
}
