//! All of it at once, on a machine for itself.

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;

use super::sockets::{asks_for_a_file, endless_head, flood};
use super::tables::MANY_ROWS;
use super::{MIB, Victim};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute of attacks at once: needs a machine that is not busy with other tests"]
async fn all_attacks_at_once_take_what_the_service_is_sized_for_and_nobody_else_notices() {
    let victim = Victim::start(&[("STATS_CACHE_TTL_S", "0"), ("STATS_DEADLINE_MS", "20000")]);
    let token = victim.token("evil", Plan::Business);
    let slow = victim.add_demo(&token, "Slow", "slow").await;
    let names: Vec<String> = (0..20).map(|number| format!("Demo {number}")).collect();
    let ids = join_all(names.iter().map(|name| victim.add_demo(&token, name, "healthy"))).await;
    let slow = format!("/api/v1/connections/{slow}/stats?group_by=date&preset=yesterday");
    let all = format!("/api/v1/stats?{MANY_ROWS}&limit=1000");
    let sorted: Vec<String> =
        ids.iter().map(|id| format!("/api/v1/connections/{id}/stats?{MANY_ROWS}&sort=-clicks&format=csv")).collect();
    let stay = Duration::from_secs(20);
    let attack = async {
        futures_util::join!(
            flood(&victim.service.url, 500, asks_for_a_file(), stay),
            flood(&victim.service.url, 1_500, endless_head(), stay),
            join_all((0..300).map(|_| victim.try_to_get(&token, &slow))),
            join_all((0..3).map(|_| victim.try_to_get(&token, &all))),
            join_all(sorted.iter().map(|path| victim.try_to_get(&token, path))),
        )
    };
    let (_, _, waits) = victim.under("everything", attack).await;
    let most = victim.service.memory("VmHWM");
    assert!(most < 512 * MIB, "{} MiB", most / MIB);
    assert!(waits.usually() < Duration::from_millis(500), "{:?}", waits.usually());
}
