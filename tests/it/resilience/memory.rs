//! Memory stays flat whatever trackers answer: the real program, and what the system says it ever needed at once.
//!
//! The bounds are generous: they tell a bounded program from one that keeps what it is sent, not a good day from a bad.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;

use super::bounds::Endless;
use super::report_of_day;
use crate::app::Answer;
use crate::process::Service;
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::toxic::{At, Proxy, Toxic};
use crate::support::tracker::{Reply, Request, Simulator, Tracker};

const MIB: u64 = 1 << 20;

/// The program with a connection to a network behind a line.
struct Line {
    service: Service,
    token: String,
    proxy: Proxy,
    network: Simulator,
    id: String,
    _folder: TempDir,
}

impl Line {
    async fn to(tracker: impl Tracker, variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut all = vec![("EGRESS_ALLOW", "127.0.0.0/8"), ("STATS_CACHE_TTL_S", "0")];
        all.extend_from_slice(variables);
        let service = Service::start(folder.path(), &all);
        let token = service.wait_for("valid for a day): ");
        let network = Simulator::start(tracker);
        let proxy = Proxy::before(&network.url).await;
        let body = json!({
            "name": "Network", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": proxy.url }, "credentials": { "api_key": ADMIN_KEY },
        });
        let created = service.send(&token, "POST", "/api/v1/connections", Some(&body)).await.ok(201);
        let id = created["id"].as_str().expect("an id").to_owned();
        Self { service, token, proxy, network, id, _folder: folder }
    }

    async fn pull(&self, day: usize) -> Answer {
        self.service.send(&self.token, "GET", &report_of_day(&self.id, day), None).await
    }

    /// What the most memory at any time has grown by since.
    async fn growth_during<T>(&self, work: impl Future<Output = T>) -> (u64, T) {
        let before = self.service.memory("VmHWM");
        let outcome = work.await;
        (self.service.memory("VmHWM") - before, outcome)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_and_a_bomb_take_no_more_than_an_answer_may() {
    for toxic in [Toxic::Flood, Toxic::Bomb] {
        let line = Line::to(Affise::default(), &[]).await;
        line.proxy.turn(toxic);
        let (growth, answer) = line.growth_during(line.pull(1)).await;
        answer.problem(502, "upstream_protocol_error");
        assert!(growth < 128 * MIB, "{toxic:?}: {} MiB", growth / MIB);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_gibibytes_at_once_share_one_bound() {
    let line = Line::to(Affise::default(), &[]).await;
    line.proxy.turn(Toxic::Flood);
    let (growth, answers) = line.growth_during(join_all((0..40).map(|day| line.pull(day)))).await;
    for answer in answers {
        let code = answer.json()["code"].clone();
        // Some find the room for answers taken, and after a while of that none is asked for.
        let known = ["upstream_protocol_error", "overloaded", "upstream_unavailable"];
        assert!(known.iter().any(|known| code == **known), "{}", answer.text);
    }
    assert!(growth < 800 * MIB, "{} MiB", growth / MIB);
}

/// A network whose reports by offer are one page of the shortest rows there are, as many as an answer has room for.
struct Crowded {
    network: Affise,
    page: Vec<u8>,
}

impl Crowded {
    fn new() -> Self {
        let (mut page, mut rows) = (br#"{"status":1,"stats":["#.to_vec(), 0);
        while page.len() < 31 * MIB as usize {
            let comma = if rows == 0 { "" } else { "," };
            page.extend(format!(r#"{comma}{{"slice":{{"offer":{rows}}}}}"#).into_bytes());
            rows += 1;
        }
        page.extend(format!(r#"],"pagination":{{"per_page":500,"total_count":{rows},"page":1}}}}"#).into_bytes());
        Self { network: Affise::default(), page }
    }
}

impl Tracker for Crowded {
    fn answer(&self, request: &Request) -> Reply {
        if request.path == "/3.0/stats/custom" && request.params("slice[]") == ["offer"] {
            return Reply::text(200, "application/json", self.page.clone());
        }
        self.network.answer(request)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_rows_without_number_takes_no_more_than_an_answer_may() {
    let line = Line::to(Crowded::new(), &[]).await;
    let (growth, answer) = line.growth_during(line.pull(1)).await;
    answer.problem(502, "upstream_protocol_error");
    assert!(growth < 192 * MIB, "{} MiB", growth / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_an_end_are_not_hoarded() {
    for repeats_itself in [true, false] {
        let endless = Endless { network: Affise::default(), repeats_itself };
        let line = Line::to(endless, &[("STATS_MAX_UPSTREAM_CALLS", "400")]).await;
        let (growth, answer) = line.growth_during(line.pull(1)).await;
        let (status, code) = if repeats_itself { (502, "upstream_protocol_error") } else { (422, "unsupported_query") };
        answer.problem(status, code);
        assert!(growth < 64 * MIB, "{} MiB", growth / MIB);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drips_without_number_take_next_to_nothing() {
    let line = Line::to(Affise::default(), &[("UPSTREAM_TIMEOUT_MS", "4000"), ("STATS_DEADLINE_MS", "8000")]).await;
    line.proxy.turn(Toxic::Drip(At::Start));
    let (growth, answers) = line.growth_during(join_all((0..100).map(|day| line.pull(day)))).await;
    for answer in answers {
        let code = answer.json()["code"].clone();
        // Eight at a time drip; the others wait, in vain, and when all have failed none is asked for.
        let known = ["upstream_timeout", "overloaded", "upstream_unavailable"];
        assert!(known.iter().any(|known| code == **known), "{}", answer.text);
    }
    assert!(growth < 64 * MIB, "{} MiB", growth / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_pulls_at_once_of_one_question_and_of_many() {
    let line = Line::to(Affise::default(), &[]).await;
    line.network.always(Some(crate::support::tracker::Fault::Stall(Duration::from_millis(100))));
    line.network.forget();
    let (growth, answers) = line.growth_during(join_all((0..200).map(|_| line.pull(1)))).await;
    answers.iter().for_each(|answer| drop(answer.ok(200)));
    assert!(line.network.requests().len() < 20, "{}", line.network.requests().len());
    assert!(growth < 64 * MIB, "{} MiB", growth / MIB);

    line.network.forget();
    let (growth, answers) = line.growth_during(join_all((0..200).map(|day| line.pull(day)))).await;
    answers.iter().for_each(|answer| drop(answer.ok(200)));
    assert_eq!(line.network.requests().len(), 200);
    assert!(growth < 128 * MIB, "{} MiB", growth / MIB);
}
