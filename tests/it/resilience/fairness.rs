//! One organisation's crowd and another's single call.

use std::sync::Arc;
use std::time::Duration;

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::json;

use super::{connect, report, report_of_day, uncached};
use crate::support::affise::{AFFILIATE_KEY, Affise};
use crate::support::tracker::{Fault, Simulator};

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_one_organisation_does_not_starve_another_organisation() {
    let network = Simulator::start(Affise::default());
    let app = uncached(&[]).await;
    let (crowd, single) = (app.user("crowd", Plan::Pro), app.user("single", Plan::Pro));
    let crowded = connect(&crowd, "Network", &network.url).await;
    let alone = connect(&single, "Network", &network.url).await;
    network.forget();
    network.always(Some(Fault::Stall(Duration::from_millis(150))));

    let many = join_all((2..102).map(|day| {
        let (crowd, path) = (crowd.clone(), report_of_day(&crowded, day));
        async move { crowd.get(&path).await.status }
    }));
    let newcomer = async {
        while network.requests().len() < 16 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let seen = network.requests().len();
        single.get(&report(&alone)).await.ok(200);
        (seen, network.requests().len())
    };
    let (statuses, (before, after)) = tokio::join!(many, newcomer);
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    // Eight at a time, and every second turn is the newcomer's: a few rounds, not the whole queue.
    assert!(after - before < 50, "{} calls came first", after - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_pulls_at_the_same_time_share_one() {
    let network = Simulator::start(Affise::default());
    let app = uncached(&[]).await;
    let user = app.user("acme", Plan::Pro);
    let id = connect(&user, "Network", &network.url).await;
    network.forget();
    network.always(Some(Fault::Stall(Duration::from_secs(2))));
    let path: Arc<str> = report(&id).into();
    let no_cache = [("cache-control", "no-cache")];
    let answers = join_all((0..20).map(|number| {
        let headers: &[(&str, &str)] = if number % 2 == 0 { &[] } else { &no_cache };
        let (user, path) = (user.clone(), Arc::clone(&path));
        async move { user.send("GET", &path, headers, None).await.ok(200)["rows"].clone() }
    }))
    .await;
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(network.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_together_never_take_more_places_than_their_host_has() {
    let network = Simulator::start(Affise::default());
    let app = uncached(&[]).await;
    let user = app.user("acme", Plan::Pro);
    let admin = connect(&user, "Network", &network.url).await;
    let affiliate = user
        .add(json!({
            "name": "Affiliate", "platform": "affise", "connection_type": "affiliate",
            "settings": { "base_url": network.url }, "credentials": { "api_key": AFFILIATE_KEY },
        }))
        .await;
    network.always(Some(Fault::Stall(Duration::from_millis(150))));
    let ask = |id: &str, day| {
        let (user, path) = (user.clone(), report_of_day(id, day));
        async move { user.get(&path).await.status }
    };
    let statuses = join_all((0..12).map(|day| ask(&admin, day))).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let most = network.most_at_once();
    assert!((4..=8).contains(&most), "{most}");
    join_all((12..24).flat_map(|day| [ask(&admin, day), ask(&affiliate, day)])).await;
    assert_eq!(network.most_at_once(), 8, "two accounts side by side");
}
