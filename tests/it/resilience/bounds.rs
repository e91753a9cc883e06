//! Reports without an end.

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{connect, report, uncached};
use crate::support::affise::Affise;
use crate::support::tracker::{Reply, Request, Simulator, Tracker};

/// A network whose reports by offer have another page for ever.
pub(super) struct Endless {
    pub(super) network: Affise,
    pub(super) repeats_itself: bool,
}

impl Tracker for Endless {
    fn answer(&self, request: &Request) -> Reply {
        if request.path != "/3.0/stats/custom" || request.params("slice[]") != ["offer"] {
            return self.network.answer(request);
        }
        let page: u64 = request.param("page").and_then(|page| page.parse().ok()).expect("a page");
        let offer = if self.repeats_itself { 1 } else { page };
        let row = json!({"slice": {"offer": {"id": offer, "title": "Offer"}}, "traffic": {"raw": "1", "uniq": "1"},
            "actions": [], "views": 1});
        let pagination: Value = json!({"per_page": 1, "total_count": page + 1, "page": page, "next_page": page + 1});
        Reply::json(200, &json!({"status": 1, "stats": [row], "pagination": pagination}))
    }
}

async fn endless(repeats_itself: bool) -> (crate::app::Answer, usize) {
    let network = Simulator::start(Endless { network: Affise::default(), repeats_itself });
    let app = uncached(&[("STATS_MAX_UPSTREAM_CALLS", "40")]).await;
    let user = app.user("acme", Plan::Pro);
    let id = connect(&user, "Network", &network.url).await;
    network.forget();
    let answer = user.get(&report(&id)).await;
    (answer, network.requests().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_again_and_again_is_nonsense() {
    let (answer, calls) = endless(true).await;
    answer.problem(502, "upstream_protocol_error");
    assert!(calls <= 8, "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_an_end_end_at_the_bound_on_calls() {
    let (answer, calls) = endless(false).await;
    answer.problem(422, "unsupported_query");
    assert!(calls <= 40, "{calls}");
}
