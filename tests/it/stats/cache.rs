//! What is kept, for how long, who shares it, and what makes it forgotten.

use std::sync::mpsc;
use std::time::Duration;

use affzero_connections::db::DbError;
use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{WEEK, add, eventually, list, path, pulls};
use crate::app::{Answer, TestApp, User, on_sqlite};
use crate::support::affise::{Affise, Owner};
use crate::support::tracker::{Fault, Simulator};

const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");

fn question(id: &str) -> String {
    path(id, &format!("group_by=offer&{WEEK}"))
}

fn cache_status(answer: &Answer) -> &str {
    answer.header("cache-status").expect("a Cache-Status")
}

pub(super) async fn rename(user: &User<'_>, id: &str, name: &str) {
    user.patch(&format!("/api/v1/connections/{id}"), &json!({ "name": name })).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_question_is_answered_from_memory_with_the_same_bytes() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let first = user.get(&question(&id)).await;
    assert_eq!(cache_status(&first), "affzero; fwd=uri-miss; stored");
    assert_eq!(first.header("age"), Some("0"));
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    assert!(first.header("etag").expect("an ETag").starts_with("W/\""));
    let second = user.get(&question(&id)).await;
    let left = cache_status(&second).strip_prefix("affzero; hit; ttl=").expect("a hit").parse::<u64>();
    assert!((880..=900).contains(&left.expect("seconds")), "closed days are kept for longer");
    assert_eq!(second.text, first.text);
    assert_eq!(second.header("etag"), first.header("etag"));
    assert_eq!(pulls(&simulator).len(), 1);
    // Another order, other columns and another page are made of the same table.
    let other = user.get(&format!("{}&sort=-clicks&metrics=clicks&limit=1", question(&id))).await;
    assert!(cache_status(&other).starts_with("affzero; hit; ttl="), "{}", cache_status(&other));
    assert_eq!(pulls(&simulator).len(), 1);

    let today = path(&id, "group_by=offer&preset=this_month");
    user.get(&today).await.ok(200);
    let kept = user.get(&today).await;
    let left = cache_status(&kept).strip_prefix("affzero; hit; ttl=").expect("a hit").parse::<u64>();
    assert!((40..=60).contains(&left.expect("seconds")), "a running day is kept for a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_touches_no_database() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let first = user.get(&question(&id)).await;
    let (mut doors, mut taken) = (Vec::new(), Vec::new());
    // Every connection to the database is in use, for as long as the doors are shut.
    for _ in 0..app.db.pool().max {
        let (door, shut) = mpsc::channel::<()>();
        let db = app.db.clone();
        doors.push(door);
        taken.push(tokio::spawn(async move {
            db.read(move |_| -> Result<(), DbError> {
                let _ = shut.recv();
                Ok(())
            })
            .await
        }));
    }
    eventually("all connections are in use", async || {
        let pool = app.db.pool();
        (pool.in_use == pool.max && pool.idle == 0).then_some(())
    })
    .await;
    if on_sqlite(&app) {
        // Long enough for everything that could look at the database behind the answer.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let second = user.get(&question(&id)).await;
        assert!(cache_status(&second).contains("; hit"), "{}", cache_status(&second));
        assert_eq!(second.text, first.text);
        let other = user.get(&format!("{}&sort=-clicks&metrics=clicks&limit=1", question(&id))).await;
        assert!(cache_status(&other).contains("; hit"), "{}", cache_status(&other));
    } else {
        // Others may have changed it, and only the database could say so.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let waiting = tokio::time::timeout(Duration::from_secs(1), user.get(&question(&id))).await;
        assert!(waiting.is_err(), "what nobody watches over is not answered with");
    }
    let list = tokio::time::timeout(Duration::from_millis(300), user.get("/api/v1/connections")).await;
    assert!(list.is_err(), "the database cannot be asked");
    doors.clear();
    for reader in taken {
        reader.await.expect("no panic").expect("a connection");
    }
    user.get("/api/v1/connections").await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_a_page_is_the_age_of_its_table() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Age").await;
    let query = path(&id, "group_by=offer&preset=last_7_days");
    user.get(&query).await.ok(200);
    eventually("an age of a second", async || {
        let hit = user.get(&query).await;
        (hit.header("age") == Some("1")).then_some(())
    })
    .await;
    let fresh_page = user.get(&format!("{query}&limit=1")).await;
    assert_ne!(fresh_page.header("age"), Some("0"), "{}", cache_status(&fresh_page));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_that_still_holds_is_answered_without_a_body() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let etag = user.get(&question(&id)).await.header("etag").expect("an ETag").to_owned();
    for tags in [etag.clone(), format!("\"x\", {etag}"), etag.trim_start_matches("W/").to_owned(), "*".to_owned()] {
        let answer = user.send("GET", &question(&id), &[("if-none-match", &tags)], None).await;
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{tags}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert!(answer.header("cache-status").is_some() && answer.header("age").is_some());
    }
    // Pulled anew, the data is the same, and so is its tag.
    let pulled = user.send("GET", &question(&id), &[NO_CACHE, ("if-none-match", &etag)], None).await;
    assert_eq!(pulled.status, 304);
    assert_eq!(pulls(&simulator).len(), 2);
    let other = user.send("GET", &format!("{}&limit=1", question(&id)), &[("if-none-match", &etag)], None).await;
    assert_eq!(other.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cache_goes_to_the_tracker_and_what_it_brings_is_kept() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    user.get(&question(&id)).await.ok(200);
    let forced = user.send("GET", &question(&id), &[("cache-control", "max-age=0, No-Cache")], None).await;
    assert_eq!(cache_status(&forced), "affzero; fwd=request; stored");
    assert_eq!(pulls(&simulator).len(), 2);
    let kept = user.get(&question(&id)).await;
    assert!(cache_status(&kept).contains("; hit"));
    assert_eq!(kept.text, forced.text, "the newer answer replaced the older one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_of_zero_keeps_nothing() {
    let app = TestApp::with(&[("STATS_CACHE_TTL_S", "0")]).await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    for calls in 1..=3 {
        let answer = user.get(&question(&id)).await;
        assert_eq!(cache_status(&answer), "affzero; fwd=uri-miss");
        assert_eq!(pulls(&simulator).len(), calls);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_not_kept() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    // A page is asked for once more.
    let page = || Fault::Instead(crate::support::tracker::Reply::html(200));
    simulator.inject([page(), page()]);
    user.get(&question(&id)).await.problem(502, "upstream_protocol_error");
    user.get(&question(&id)).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_shows_at_once() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let before = user.get(&question(&id)).await;
    rename(&user, &id, "Renamed").await;
    let after = user.get(&question(&id)).await;
    assert_eq!(after.ok(200)["connection"]["name"], "Renamed");
    assert_ne!(after.header("etag"), before.header("etag"));

    let change = json!({ "settings": { "base_url": simulator.url, "currency": "BRL" } });
    user.patch(&format!("/api/v1/connections/{id}"), &change).await.ok(200);
    let after = user.get(&question(&id)).await.ok(200);
    assert!(list(&after["rows"]).iter().all(|row| row["currency"] == "BRL"), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_while_a_pull_is_running_leaves_nothing_old_behind() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    simulator.inject([Fault::Stall(Duration::from_millis(700))]);
    let question = question(&id);
    let edit = async {
        eventually("the pull", async || (pulls(&simulator).len() == 1).then_some(())).await;
        rename(&user, &id, "Renamed").await;
        user.get(&question).await
    };
    let (old, new) = tokio::join!(user.get(&question), edit);
    assert_eq!(old.ok(200)["connection"]["name"], "Affise admin", "it was asked before the edit");
    assert_eq!(cache_status(&old), "affzero; fwd=uri-miss");
    assert_eq!(new.ok(200)["connection"]["name"], "Renamed");
    assert_eq!(user.get(&question).await.ok(200)["connection"]["name"], "Renamed");
    assert_eq!(pulls(&simulator).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_connection_is_gone_at_once() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    user.get(&question(&id)).await.ok(200);
    assert_eq!(user.delete(&format!("/api/v1/connections/{id}")).await.status, 204);
    for accept in ["application/json", "application/x-ndjson", "text/csv"] {
        user.send("GET", &question(&id), &[("accept", accept)], None).await.problem(410, "connection_deleted");
    }
    assert_eq!(pulls(&simulator).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_notices_edits_and_deletions() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let replica = app.replica(&[]).await;
    let there = replica.user("acme", Plan::Pro);
    there.get(&question(&id)).await.ok(200);
    rename(&user, &id, "Renamed").await;
    eventually("the new name in the other process", async || {
        let page = there.get(&question(&id)).await.ok(200);
        (page["connection"]["name"] == "Renamed").then_some(())
    })
    .await;
    user.delete(&format!("/api/v1/connections/{id}")).await;
    eventually("the deletion in the other process", async || {
        (there.get(&question(&id)).await.status == 410).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pull_goes_out_through_what_another_process_has_just_changed_or_deleted() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let replica = app.replica(&[]).await;
    let there = replica.user("acme", Plan::Pro);
    for name in ["Once", "Twice", "Three times"] {
        rename(&user, &id, name).await;
        // The second pull may take the connection as the first has read it.
        for _ in 0..2 {
            let page = there.send("GET", &question(&id), &[NO_CACHE], None).await.ok(200);
            assert_eq!(page["connection"]["name"], name);
        }
    }
    assert_eq!(user.delete(&format!("/api/v1/connections/{id}")).await.status, 204);
    simulator.forget();
    there.send("GET", &question(&id), &[NO_CACHE], None).await.problem(410, "connection_deleted");
    assert!(simulator.requests().is_empty(), "nothing was sent with a deleted key");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_notices_edits_while_it_verifies_something_slow() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Business);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let replica = app.replica(&[]).await;
    let there = replica.user("acme", Plan::Business);
    there.get(&question(&id)).await.ok(200);
    let slow = Simulator::start(Affise::default());
    slow.always(Some(Fault::Stall(Duration::from_secs(60))));
    for name in ["Slow", "Slower"] {
        let mut body = super::affise(&slow, Owner::Network);
        body["name"] = json!(name);
        user.post("/api/v1/connections?verify=deferred", &body).await.ok(201);
    }
    // Each process verifies one at a time, so two at once are one here and one there.
    eventually("two verifications", async || (slow.requests().len() >= 2).then_some(())).await;
    rename(&user, &id, "Renamed").await;
    let asked = std::time::Instant::now();
    eventually("the new name in the other process", async || {
        let page = there.get(&question(&id)).await.ok(200);
        (page["connection"]["name"] == "Renamed").then_some(())
    })
    .await;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_questions_at_the_same_time_are_one_pull() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    for (headers, why) in [(&[][..], "uri-miss"), (&[NO_CACHE], "request")] {
        simulator.forget();
        simulator.inject([Fault::Stall(Duration::from_millis(700))]);
        let question = question(&id);
        let asking = (0..12).map(|_| user.send("GET", &question, headers, None));
        let answers = futures_util::future::join_all(asking).await;
        assert_eq!(pulls(&simulator).len(), 1, "{why}");
        let mut states: Vec<&str> = answers.iter().map(cache_status).collect();
        states.sort_unstable();
        let (first, rest) = states.split_first().expect("answers");
        assert_eq!(*first, format!("affzero; fwd={why}; stored"));
        assert!(rest.iter().all(|state| *state == format!("affzero; fwd={why}; stored; collapsed")), "{rest:?}");
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text == answers[0].text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_pull_fails_all_who_shared_it() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise { rows_per_page: 1, ..Affise::default() });
    let id = add(&user, &simulator, Owner::Network).await;
    simulator.inject([Fault::Stall(Duration::from_millis(500))]);
    simulator.always(Some(Fault::Instead(crate::support::tracker::Reply::html(200))));
    let question = question(&id);
    let answers = futures_util::future::join_all((0..5).map(|_| user.get(&question))).await;
    for answer in answers {
        answer.problem(502, "upstream_protocol_error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_does_not_take_a_shared_pull_along() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise { rows_per_page: 1, ..Affise::default() });
    let id = add(&user, &simulator, Owner::Network).await;
    let question = question(&id);
    // The first page holds the pull up; the other two are only asked for if somebody still waits.
    simulator.inject([Fault::Stall(Duration::from_millis(700))]);
    let leaver = tokio::time::timeout(Duration::from_millis(350), user.get(&question));
    let stayer = async {
        eventually("the pull", async || (!pulls(&simulator).is_empty()).then_some(())).await;
        user.get(&question).await
    };
    let (left, stayed) = tokio::join!(leaver, stayer);
    assert!(left.is_err());
    assert_eq!(stayed.ok(200)["row_count"], 3);
    assert_eq!(pulls(&simulator).len(), 3);
    let kept = user.get(&question).await;
    assert!(cache_status(&kept).contains("; hit"), "{}", cache_status(&kept));
    let reordered = user.get(&format!("{question}&sort=-clicks")).await;
    assert!(cache_status(&reordered).contains("; hit"), "the table itself was kept too");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_organisation_never_sees_what_another_pulled() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Own").await;
    let query = path(&id, "group_by=date&preset=last_7_days");
    user.get(&query).await.ok(200);
    let answer = app.user("other", Plan::Pro).get(&query).await;
    answer.problem(404, "not_found");
    assert_eq!(answer.header("etag"), None);
    assert_eq!(answer.json()["rows"], Value::Null);
}
