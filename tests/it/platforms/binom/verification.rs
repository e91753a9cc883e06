//! What a verification finds out, of either generation.

use super::*;

#[actix_web::test]
async fn v2_is_found_out_by_its_own_greeting_and_proven_by_a_report() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let verification = at(format!("{}/panel/campaigns", simulator.url)).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(verification.detected.platform_version.as_deref(), Some("v2"));
    assert_eq!(verification.detected.account.as_deref(), Some("user 2 (admin)"));
    let requests = simulator.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/public/api/v1/user/role", "/public/api/v1/stats/campaign"]);
    assert!(requests.iter().all(|request| request.header("api-key") == Some(KEY)));
    assert!(requests.iter().all(|request| request.param("api_key").is_none()));
    assert_eq!((requests[1].param("limit"), requests[1].param("datePreset")), (Some("1"), Some("custom_time")));
}

#[actix_web::test]
async fn an_installation_below_a_path_keeps_its_path() {
    let simulator = Simulator::start(Binom::v2("/binom", autumn()).reading(|readings| readings.older_build = true));
    let verification = at(format!("{}/binom/public/api/v1/", simulator.url)).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(simulator.requests()[1].path, "/binom/public/api/v1/date_preset/list");
}

#[actix_web::test]
async fn v1_is_found_by_its_file_at_the_root_and_as_index_php() {
    for (path, typed, calls) in [
        (PANEL, PANEL, 2),
        ("/sub/x.php", "/sub/x.php?page=Campaigns", 2),
        ("/", "", 3),
        ("/index.php", "", 4),
        ("/b/index.php", "/b/", 4),
    ] {
        let simulator = Simulator::start(Binom::v1(path, autumn()));
        let verification = at(format!("{}{typed}", simulator.url)).verify().await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{path}: {verification:?}");
        assert_eq!(verification.detected.platform_version.as_deref(), Some("v1"));
        let requests = simulator.requests();
        assert_eq!(requests.len(), calls, "{path}");
        let last = requests.last().expect("a request");
        assert_eq!(
            (last.path.as_str(), last.param("page"), last.param("api_key")),
            (path, Some("Campaigns"), Some(KEY))
        );
        assert_eq!(last.header("api-key"), None);
    }
}

#[actix_web::test]
async fn a_wrong_key_is_rejected_in_binoms_own_words() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let verification = at(&simulator.url).with_credential("api_key", "wrong-key-of-some-length").verify().await;
    assert_eq!(verification.status, VerificationStatus::Failed);
    assert_eq!(code(&verification), Some(FailureCode::CredentialsRejected));
    assert!(hint(&verification).contains("Settings → User"));
    let failure = verification.failure.expect("a failure");
    assert_eq!(failure.pointer.as_deref(), Some("/credentials/api_key"));
    assert!(failure.detail.contains("Full authentication is required"));
}

#[actix_web::test]
async fn no_answer_of_v1_to_a_wrong_key_passes() {
    for (wrong_key, expected) in [
        (WrongKey::ErrorObject, FailureCode::CredentialsRejected),
        (WrongKey::Empty, FailureCode::CredentialsRejected),
        // An empty 403 may be anybody's.
        (WrongKey::Forbidden, FailureCode::AccessBlocked),
        (WrongKey::Html, FailureCode::NotThisPlatform),
        (WrongKey::Redirect, FailureCode::Redirected),
    ] {
        let simulator = Simulator::start(Binom::v1(PANEL, autumn()).reading(|readings| readings.wrong_key = wrong_key));
        let road =
            at(format!("{}{PANEL}", simulator.url)).with_credential("api_key", "&api_key=wrong-key-of-some-length");
        let verification = road.verify().await;
        assert_eq!(code(&verification), Some(expected), "{wrong_key:?}");
        let text = serde_json::to_string(&verification).expect("JSON");
        assert!(!text.contains("wrong-key-of-some-length"), "{text}");
        match wrong_key {
            WrongKey::Redirect => {}
            WrongKey::Forbidden => assert!(hint(&verification).contains("A wrong key can look the same")),
            _ => assert!(hint(&verification).contains(".php"), "{wrong_key:?}"),
        }
    }
}

#[actix_web::test]
async fn a_key_pasted_with_its_parameter_is_sent_bare() {
    let simulator = Simulator::start(Binom::v1(PANEL, autumn()));
    let road = at(format!("{}{PANEL}", simulator.url)).with_credential("api_key", &format!("&api_key={KEY}"));
    assert_eq!(road.verify().await.status, VerificationStatus::Ok);
}

#[actix_web::test]
async fn another_product_is_not_this_platform_and_the_full_address_is_asked_for() {
    for reply in [
        Reply::html(200),
        Reply::html(404),
        Reply::json(404, &serde_json::json!({"message": "no"})),
        Reply::json(200, &serde_json::json!({"hello": "world"})),
        Reply::text(200, "text/plain", "ok"),
        Reply::json(200, &serde_json::json!([])),
    ] {
        let simulator = Simulator::start(Binom::v2("", Vec::new()));
        simulator.always(Some(Fault::Instead(reply.clone())));
        let verification = at(&simulator.url).verify().await;
        assert_eq!(code(&verification), Some(FailureCode::NotThisPlatform), "{reply:?}");
        assert!(hint(&verification).contains(".php"), "{reply:?}");
    }
}

#[actix_web::test]
async fn a_redirect_is_named_and_not_followed() {
    let simulator = Simulator::start(Binom::v2("", Vec::new()));
    let elsewhere = Reply::html(301).with_header("location", "https://trk.example.com/?api_key=x");
    simulator.always(Some(Fault::Instead(elsewhere)));
    let verification = at(&simulator.url).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::Redirected));
    assert!(verification.failure.expect("a failure").detail.contains("https://trk.example.com."));
}

#[actix_web::test]
async fn a_key_that_may_not_read_reports_lacks_permissions() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let denied = serde_json::json!({"errors": {"title": "AccessDenied", "detail": "Access Denied.", "status": 403}});
    simulator.inject([Fault::None, Fault::Instead(Reply::json(403, &denied))]);
    let verification = at(&simulator.url).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
}
