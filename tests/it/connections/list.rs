//! Lists: pages, filters, orders and cursors.

use std::collections::BTreeSet;

use affzero_connections::tenancy::Plan;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{CONNECTIONS, acme, affise, execute, fields, names, service_and_tracker};
use crate::app::{TestApp, User};

/// Percent-encodes a value of a query.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Reads all pages of a list; every page but the last is full.
async fn all_pages(user: &User<'_>, query: &str, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    for _ in 0..100 {
        let page = user.get(&format!("{CONNECTIONS}?limit={limit}{query}{cursor}")).await.ok(200);
        let names = names(&page);
        found.extend(names.clone());
        match page["next_cursor"].as_str() {
            None => return found,
            Some(next) => {
                assert_eq!(names.len(), limit);
                cursor = format!("&cursor={next}");
            }
        }
    }
    panic!("the pages never end");
}

async fn with_demos(app: &TestApp, names: &[&str]) {
    for name in names {
        acme(app).add_demo(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_that_is_filtered_by_is_the_one_that_is_shown() {
    let app = TestApp::start().await;
    with_demos(&app, &["a", "b", "c", "d", "e"]).await;
    let after = app.replica(&[("CREDENTIALS_KEYS", "k2:EBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8=")]).await;
    let user = acme(&after);
    // The key of the five is lost, and the two that come after it are well.
    for name in ["f", "g"] {
        user.add_demo(name).await;
    }
    execute(&app, "UPDATE connections SET status = 'unverified' WHERE name IN ('e', 'g')".to_owned()).await;
    for (status, expected) in
        [("failing", vec!["a", "b", "c", "d", "e"]), ("active", vec!["f"]), ("unverified", vec!["g"])]
    {
        for limit in [1, 2, 5, 100] {
            let found = all_pages(&user, &format!("&sort=name&status={status}"), limit).await;
            assert_eq!(found, expected, "{status} by {limit}");
        }
        let page = user.get(&format!("{CONNECTIONS}?status={status}")).await.ok(200);
        assert!(page["data"].as_array().expect("entries").iter().all(|entry| entry["status"] == status), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_overlap_nor_lose_anything_under_any_order() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let all = ["b", "A", "ä", "Z", "c-1", "C-2", "日本", "0", "_", "%"];
    with_demos(&app, &all).await;
    app.user("other", Plan::Pro).add_demo("theirs").await;
    // Ties are what pages go wrong on.
    execute(&app, "UPDATE connections SET created_at = 1000, updated_at = 2000 WHERE name < 'b'".to_owned()).await;
    for sort in ["", "name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"] {
        let query = if sort.is_empty() { String::new() } else { format!("&sort={sort}") };
        let whole = names(&user.get(&format!("{CONNECTIONS}?limit=100{query}")).await.ok(200));
        assert_eq!(whole.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(all), "{sort}");
        for limit in [1, 3, 5, 10, 11] {
            assert_eq!(all_pages(&user, &query, limit).await, whole, "{sort} by {limit}");
        }
    }
    let by_name = all_pages(&user, "&sort=name", 4).await;
    let mut expected: Vec<String> = all.map(str::to_owned).to_vec();
    expected.sort_by_key(|name| name.to_lowercase());
    assert_eq!(by_name, expected);
    expected.reverse();
    assert_eq!(all_pages(&user, "&sort=-name", 4).await, expected);
    assert_eq!(all_pages(&user, "", 4).await, all_pages(&user, "&sort=-created_at", 7).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_hold_on_every_page() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    for n in 0..3 {
        user.add(affise(&format!("brand {n}"), &tracker)).await;
        user.add_demo(&format!("Brand demo {n}")).await;
        user.add(json!({ "name": format!("mine {n}"), "platform": "demo", "connection_type": "affiliate" })).await;
    }
    execute(&app, "UPDATE connections SET status = 'failing' WHERE name LIKE '%1'".to_owned()).await;
    for (query, expected) in [
        ("&platform=affise", vec!["brand 0", "brand 1", "brand 2"]),
        ("&platform=demo&connection_type=admin", vec!["Brand demo 0", "Brand demo 1", "Brand demo 2"]),
        ("&connection_type=affiliate", vec!["mine 0", "mine 1", "mine 2"]),
        ("&status=failing", vec!["brand 1", "Brand demo 1", "mine 1"]),
        ("&q=BRAND&status=active", vec!["brand 0", "brand 2", "Brand demo 0", "Brand demo 2"]),
        ("&q=nothing", vec![]),
        ("&status=unverified", vec![]),
    ] {
        assert_eq!(all_pages(&user, &format!("&sort=name{query}"), 2).await, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_searched_for_is_taken_literally_whatever_its_case() {
    let app = TestApp::start().await;
    let user = acme(&app);
    with_demos(&app, &["100% sure", "100 sure", "snake_case", "snakeXcase", r"back\slash", "it's", "ÄRGER"]).await;
    for (part, expected) in [
        ("%", vec!["100% sure"]),
        ("0%", vec!["100% sure"]),
        ("_", vec!["snake_case"]),
        ("e_c", vec!["snake_case"]),
        (r"\", vec![r"back\slash"]),
        (r"\s", vec![r"back\slash"]),
        ("'", vec!["it's"]),
        ("ärg", vec!["ÄRGER"]),
        ("SURE", vec!["100 sure", "100% sure"]),
    ] {
        assert_eq!(all_pages(&user, &format!("&sort=name&q={}", encoded(part)), 10).await, expected, "{part}");
    }
    assert_eq!(all_pages(&user, "&q=%20", 10).await.len(), 7, "nothing to look for finds all");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_named_together() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let wrong = "limit=0&platform=x&connection_type=y&status=deleted&sort=size&q=%00";
    let mut named = fields(&user.get(&format!("{CONNECTIONS}?{wrong}")).await.problem(422, "validation_failed"));
    named.sort();
    let named: Vec<_> = named.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(named, ["/connection_type", "/limit", "/platform", "/q", "/sort", "/status"]);
    let long = "x".repeat(10_000);
    for (query, pointer) in [
        ("limit=101", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=x", "/limit"),
        ("limit=5&limit=6", "/limit"),
        ("page=2", "/page"),
        ("sort=--name", "/sort"),
        ("sort=", "/sort"),
        ("platform=", "/platform"),
        (format!("q={long}").as_str(), "/q"),
    ] {
        let problem = user.get(&format!("{CONNECTIONS}?{query}")).await.problem(422, "validation_failed");
        assert_eq!(fields(&problem)[0].0, pointer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_its_own_query_and_organisation_only() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let stranger = app.user("stranger", Plan::Pro);
    with_demos(&app, &["a", "b", "c"]).await;
    let page = user.get(&format!("{CONNECTIONS}?limit=1&sort=name&q=&platform=demo")).await.ok(200);
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let ask = async |who: &User<'_>, query: &str, cursor: &str| {
        who.get(&format!("{CONNECTIONS}?{query}&cursor={}", encoded(cursor))).await
    };
    assert_eq!(names(&ask(&user, "sort=name&platform=demo&limit=9", cursor).await.ok(200)), ["b", "c"]);
    for query in
        ["sort=-name&platform=demo", "sort=created_at&platform=demo", "sort=name", "sort=name&platform=demo&q=a"]
    {
        let problem = ask(&user, query, cursor).await.problem(422, "validation_failed");
        assert_eq!(fields(&problem), [("/cursor".to_owned(), "invalid_cursor".to_owned())]);
    }
    ask(&stranger, "sort=name&platform=demo", cursor).await.problem(422, "validation_failed");
    user.get(&format!("/api/v1/audit-events?cursor={cursor}")).await.problem(422, "validation_failed");
    for garbage in ["", "x", "äöü", "e30", &"A".repeat(9_000)] {
        ask(&user, "sort=name&platform=demo", garbage).await.problem(422, "validation_failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_cursor_is_refused_and_never_an_error_of_the_service() {
    let app = TestApp::start().await;
    let user = acme(&app);
    with_demos(&app, &["a", "b"]).await;
    for sort in ["name", "-created_at"] {
        let page = user.get(&format!("{CONNECTIONS}?limit=1&sort={sort}")).await.ok(200);
        let bytes = URL_SAFE_NO_PAD.decode(page["next_cursor"].as_str().expect("a cursor")).expect("base64");
        let envelope: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        for place in [json!(null), json!(["a"]), json!([1, 2]), json!(["\u{0}", "\u{0}"]), json!(["1", "\u{0}"])] {
            let forged = json!({ "of": envelope["of"], "at": place }).to_string();
            let cursor = URL_SAFE_NO_PAD.encode(forged);
            let answer = user.get(&format!("{CONNECTIONS}?limit=1&sort={sort}&cursor={cursor}")).await;
            answer.problem(422, "validation_failed");
        }
    }
    let page = user.get(&format!("{CONNECTIONS}?limit=1")).await.ok(200);
    let bytes = URL_SAFE_NO_PAD.decode(page["next_cursor"].as_str().expect("a cursor")).expect("base64");
    let envelope: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let cursor = URL_SAFE_NO_PAD.encode(json!({ "of": envelope["of"], "at": ["no number", "x"] }).to_string());
    user.get(&format!("{CONNECTIONS}?limit=1&cursor={cursor}")).await.problem(422, "validation_failed");
}
