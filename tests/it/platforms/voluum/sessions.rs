//! Verifications, and the sessions that all calls of an account share.

use super::*;

#[tokio::test]
async fn a_good_key_is_verified_with_one_login_and_one_small_report() {
    let voluum = Simulated::of(september(), Readings::default());
    let verification = voluum.verify(ACCESS_KEY).await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert!(verification.stages.iter().all(|stage| stage.status != StageStatus::Failed));
    let requests = voluum.simulator.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/auth/access/session", "/report"]);
    let login: serde_json::Value = serde_json::from_slice(&requests[0].body).expect("json");
    assert_eq!(login, serde_json::json!({ "accessId": ACCESS_ID, "accessKey": ACCESS_KEY }));
    assert_eq!(requests[0].header("cwauth-token"), None);
    assert_eq!(requests[1].header("cwauth-token"), Some("canary-token-1"));
    assert_eq!(requests[1].header("authorization"), None);
    assert_eq!((requests[1].param("groupBy"), requests[1].param("limit")), (Some("campaign"), Some("1")));
}

#[tokio::test]
async fn a_verification_logs_in_anew_so_that_a_revoked_key_is_not_good_for_hours() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    voluum.verify(ACCESS_KEY).await;
    assert_eq!(voluum.tracker.logins(), 2);
    voluum.tracker.revoke_key();
    let failure = voluum.verify(ACCESS_KEY).await.failure.expect("a failure");
    assert_eq!(failure.code, FailureCode::CredentialsRejected);
}

#[tokio::test]
async fn a_wrong_key_is_rejected_with_a_pointer_to_it_and_without_being_quoted() {
    let voluum = Simulated::of(september(), Readings::default());
    let verification = voluum.verify("canary-access-key-/wrong").await;
    let failure = verification.failure.as_ref().expect("a failure");
    assert_eq!((verification.status, failure.code), (VerificationStatus::Failed, FailureCode::CredentialsRejected));
    assert_eq!(failure.pointer.as_deref(), Some("/credentials/access_key"));
    assert!(failure.detail.contains("BAD_CREDENTIALS"), "{}", failure.detail);
    assert!(failure.hint.contains("Access keys"), "{}", failure.hint);
    let everything = serde_json::to_string(&verification).expect("json");
    nothing_leaks(&everything);
    assert!(!everything.contains("canary"), "{everything}");
}

#[tokio::test]
async fn a_key_without_the_right_to_report_is_told_apart_and_its_token_is_not_quoted() {
    let voluum = Simulated::of(september(), Readings { may_report: false, ..Readings::default() });
    let verification = voluum.verify(ACCESS_KEY).await;
    let failure = verification.failure.as_ref().expect("a failure");
    assert_eq!(failure.code, FailureCode::InsufficientPermissions);
    assert!(failure.detail.contains("not with [secret]"), "{}", failure.detail);
    nothing_leaks(&serde_json::to_string(&verification).expect("json"));
}

#[tokio::test]
async fn throttling_is_known_by_its_code_whatever_the_status() {
    for status in [200, 400, 401, 403, 404] {
        let reply = refusal(status, "NUMBER_OF_REQUEST_FOR_IP_EXCEEDED", "slow down");
        let voluum = Simulated::of(september(), Readings { instead: Some(reply.clone()), ..Readings::default() });
        let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::RateLimited, "{status}");
        let verification = voluum.verify(ACCESS_KEY).await;
        assert_eq!(verification.status, VerificationStatus::Inconclusive);
        assert_eq!(verification.failure.map(|failure| failure.code), Some(FailureCode::RateLimited));

        let voluum = Simulated::of(september(), Readings::default());
        voluum.simulator.inject([Fault::Instead(reply)]);
        let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::RateLimited, "login, {status}");
    }
}

#[tokio::test]
async fn something_else_that_answers_is_not_voluum() {
    for reply in [
        Reply::html(200),
        Reply::html(404),
        Reply::text(200, "text/plain", "hello"),
        Reply::text(404, "text/plain", ""),
    ] {
        let voluum = Simulated::of(september(), Readings { instead: Some(reply.clone()), ..Readings::default() });
        let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::NotThisPlatform, "{reply:?}");
        let voluum = Simulated::of(september(), Readings::default());
        voluum.simulator.always(Some(Fault::Instead(reply)));
        let failure = voluum.verify(ACCESS_KEY).await.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::NotThisPlatform);
        assert_eq!(failure.pointer, None, "nobody enters Voluum's address");
    }
}

#[tokio::test]
async fn twenty_pulls_that_find_the_session_dead_at_once_cause_one_login() {
    let voluum = Simulated::of(september(), Readings::default());
    let all = || join_all((0..20).map(|_| voluum.pull(&[Dimension::Offer], first_two(), "UTC")));
    assert!(all().await.iter().all(Result::is_ok));
    assert_eq!(voluum.tracker.logins(), 1, "one session for all of the account's calls");
    voluum.tracker.kill_sessions();
    assert!(all().await.iter().all(Result::is_ok));
    assert_eq!(voluum.tracker.logins(), 2, "one more after its death");
}

#[tokio::test]
async fn twenty_pulls_that_find_the_key_revoked_at_once_ask_once_and_all_hear_the_answer() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    voluum.tracker.revoke_key();
    for outcome in join_all((0..20).map(|_| voluum.pull(&[Dimension::Offer], first_two(), "UTC"))).await {
        let error = outcome.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::CredentialsRejected);
        nothing_leaks(&format!("{error:?}"));
    }
    assert_eq!(voluum.tracker.logins(), 2);
}

#[tokio::test]
async fn a_session_refused_twice_in_a_row_is_the_keys_fault() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.tracker.distrust(1);
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("the second session is good");
    assert_eq!(voluum.tracker.logins(), 2);
    voluum.tracker.distrust(2);
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::CredentialsRejected);
    assert_eq!(voluum.tracker.logins(), 3);
    nothing_leaks(&format!("{error:?}"));
}

#[tokio::test]
async fn a_session_is_used_until_it_is_refused_where_its_end_is_not_known() {
    // Nothing said, or an end that is past already because clocks differ.
    for lifetime in [None, Some(-1)] {
        let voluum = Simulated::of(september(), Readings { lifetime, ..Readings::default() });
        for _ in 0..3 {
            voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
        }
        assert_eq!(voluum.tracker.logins(), 1, "{lifetime:?}");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_in_the_middle_of_a_login_holds_nobody_up() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.simulator.inject([Fault::Stall(Duration::from_secs(600))]);
    let asked = async {
        while voluum.simulator.requests().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = voluum.pull(&[Dimension::Offer], first_two(), "UTC") => panic!("the login does not come back"),
        () = asked => {}
    }
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
}

#[tokio::test]
async fn a_token_somebody_else_fetched_is_not_quoted_either() {
    let voluum = Simulated::of(september(), Readings { may_report: false, ..Readings::default() });
    for _ in 0..2 {
        let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::InsufficientPermissions);
        assert!(error.detail.contains("[secret]"), "{}", error.detail);
        nothing_leaks(&format!("{error:?}"));
    }
    assert_eq!(voluum.tracker.logins(), 1);
}

#[tokio::test]
async fn sessions_of_different_keys_are_kept_apart() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let stranger = voluum.road("another key");
    let error = stranger.pull(&query(&[Dimension::Offer], first_two(), "UTC")).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::CredentialsRejected, "a known ID alone opens nothing");
}
