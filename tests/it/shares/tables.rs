//! Tables that are made, and the memory of their rows.

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;

use super::{MIB, Victim};

/// Four months by the hour: some fifteen thousand rows.
pub(super) const MANY_ROWS: &str = "group_by=date,hour,offer&from=2026-03-01&to=2026-06-30";

#[tokio::test(flavor = "multi_thread")]
async fn many_tables_at_once_are_made_one_after_the_other() {
    let victim = Victim::start(&[("MEMORY_MIB", "256"), ("STATS_CACHE_TTL_S", "0")]);
    let token = victim.token("evil", Plan::Business);
    let names: Vec<String> = (0..10).map(|number| format!("Demo {number}")).collect();
    let ids = join_all(names.iter().map(|name| victim.add_demo(&token, name, "healthy"))).await;
    let path = format!("/api/v1/stats?{MANY_ROWS}&limit=1000");
    let sorted: Vec<String> = ids
        .iter()
        .take(3)
        .map(|id| format!("/api/v1/connections/{id}/stats?{MANY_ROWS}&sort=-clicks&format=csv"))
        .collect();
    let attack = async {
        let files = join_all(sorted.iter().map(|path| victim.get(&token, path)));
        futures_util::join!(victim.get(&token, &path), files)
    };
    let ((answer, files), growth, _) = victim.under("tables", attack).await;
    let answer = answer.ok(200);
    let (results, failures) = (&answer["results"], &answer["failures"]);
    let (results, failures) = (results.as_array().expect("results"), failures.as_array().expect("failures"));
    assert_eq!(results.len() + failures.len(), ids.len());
    assert!(!results.is_empty());
    for failure in failures {
        assert_eq!(failure["problem"]["code"], "overloaded", "{failure}");
    }
    for file in files {
        match file.status {
            200 => assert!(file.text.lines().count() > 10_000),
            _ => drop(file.problem(503, "overloaded")),
        }
    }
    assert!(growth < 192 * MIB, "{} MiB", growth / MIB);
}
