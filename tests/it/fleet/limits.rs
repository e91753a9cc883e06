//! What may only happen so often, whichever process is asked.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::{Fleet, SIZE, affise, eventually, question};
use crate::support::affise::Affise;
use crate::support::tracker::{Fault, Simulator};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_a_name_and_an_idempotency_key_hold_over_all_processes() {
    let Some(fleet) = Fleet::start(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let pro = fleet.token("pro", "pro");
    let bodies: Vec<_> = (0..24).map(|number| affise(&format!("Brand {number}"), &network)).collect();
    let creates = bodies.iter().enumerate();
    let answers =
        join_all(creates.map(|(number, body)| fleet.ask(number, &pro, "POST", "/api/v1/connections", Some(body))))
            .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 3);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(refused.problem(409, "connection_limit_reached")["limit"], 3);
    }
    for answer in fleet.ask_all(&pro, "/api/v1/usage").await {
        let usage = answer.ok(200);
        assert_eq!((&usage["used"], &usage["remaining"]), (&json!(3), &json!(0)));
    }

    let named = fleet.token("named", "business");
    let body = affise("The One", &network);
    let answers =
        join_all((0..9).map(|number| fleet.ask(number, &named, "POST", "/api/v1/connections", Some(&body)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.problem(409, "name_taken");
    }

    let keyed = fleet.token("keyed", "business");
    let headers = [("idempotency-key", "the-same-for-all")];
    let create = |number| fleet.ask_with(number, &keyed, "POST", "/api/v1/connections", &headers, Some(&body));
    let mut ids = BTreeSet::new();
    for answer in join_all((0..9).map(create)).await {
        match answer.status {
            201 => drop(ids.insert(answer.json()["id"].as_str().expect("an id").to_owned())),
            // The caller that lost the race gets that answer, or that the winner has the name now.
            _ => assert_eq!(answer.status, 409, "{}", answer.text),
        }
    }
    for replica in 0..SIZE {
        let again = create(replica).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        ids.insert(again.ok(201)["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(fleet.ask(1, &keyed, "GET", "/api/v1/usage", None).await.ok(200)["used"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_is_called_by_all_processes_together_as_by_one() {
    // Answers are not kept, so that each question is a call.
    let Some(fleet) = Fleet::start(&[("STATS_CACHE_TTL_S", "0")]).await else { return };
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "pro");
    let id = fleet.add(&token, &affise("Network", &network)).await;
    network.forget();
    network.always(Some(Fault::Stall(Duration::from_millis(60))));
    let paths: Vec<_> = (0..60).map(|number| question(&id, number)).collect();
    let answers =
        join_all(paths.iter().enumerate().map(|(number, path)| fleet.ask(number, &token, "GET", path, None))).await;
    for answer in answers {
        answer.ok(200);
    }
    assert_eq!(network.requests().len(), 60);
    let most = network.most_at_once();
    assert!(
        (4..=8).contains(&most),
        "one account begins with four calls at a time and never takes more than eight: {most}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_may_ask_and_guess_no_more_often_with_more_processes() {
    let limits = [("RATE_LIMIT_PER_ORG", "6"), ("RATE_LIMIT_VERIFY_FAILURES", "5")];
    let Some(fleet) = Fleet::start(&limits).await else { return };
    let busy = fleet.token("busy", "pro");
    // All within one second; where a second ended meanwhile, twice as many may get through.
    let answers = join_all((0..45).map(|number| fleet.ask(number, &busy, "GET", "/api/v1/usage", None))).await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((6..=12).contains(&taken), "{taken} of 45");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(refused.problem(429, "rate_limited")["limit"], 6);
    }

    let network = Simulator::start(Affise::default());
    let wrong = |number: usize| {
        let mut body = affise("Guess", &network);
        body["credentials"]["api_key"] = json!(format!("a-guess-with-canary-{number}"));
        body
    };
    let token = fleet.token("guesser", "pro");
    let (mut failed, mut refused) = (0, 0);
    for number in 0..SIZE * 5 {
        let body = wrong(number);
        let verify = || fleet.ask(number, &token, "POST", "/api/v1/connections/verify", Some(&body));
        let answer = eventually("a second with room", async || {
            let answer = verify().await;
            let is_paced = answer.status == 429 && answer.json()["limited_by"] != "verifications";
            (!is_paced).then_some(answer)
        })
        .await;
        match answer.status {
            200 => failed += 1,
            _ => {
                assert_eq!(answer.problem(429, "rate_limited")["limit"], 5);
                refused += 1;
            }
        }
    }
    // A minute may have ended in between.
    assert!((5..=10).contains(&failed) && refused >= 5, "{failed} guesses, {refused} refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_pulls_for_all_and_a_change_shows_everywhere_within_a_second() {
    let Some(fleet) = Fleet::start(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "pro");
    let id = fleet.add(&token, &affise("Before", &network)).await;
    let own = format!("/api/v1/connections/{id}");
    let (path, first) = fleet.until_one_pulls_for_all(&token, &id, &network).await;
    for answer in fleet.ask_all(&token, &path).await {
        assert_eq!((answer.status, &answer.text), (200, &first.text));
    }

    fleet.ask(1, &token, "PATCH", &own, Some(&json!({ "name": "After" }))).await.ok(200);
    let since = Instant::now();
    for replica in 0..SIZE {
        eventually("the edit", async || {
            let page = fleet.ask(replica, &token, "GET", &path, None).await.ok(200);
            (page["connection"]["name"] == "After").then_some(())
        })
        .await;
    }
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());

    assert_eq!(fleet.ask(2, &token, "DELETE", &own, None).await.status, 204);
    let since = Instant::now();
    for replica in 0..SIZE {
        eventually("the deletion", async || {
            (fleet.ask(replica, &token, "GET", &path, None).await.status == 410).then_some(())
        })
        .await;
    }
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}
