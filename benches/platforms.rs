//! A report of each platform: asked for, parsed, brought into our vocabulary and written as NDJSON.
//!
//! The simulators of the tests answer each call once; from then on the very same bytes come from memory, so what is
//! measured is this side of the wire and the loopback round trips. `an answer without rows` is the part of those.

// Always true here; it shows clippy that the simulators are test code.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "the simulators are called from outside")]
#![expect(dead_code, reason = "the tests use more of the simulators")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use affzero_connections::connections::stats::layout::Layout;
use affzero_connections::http::question;
use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::outbound::{CallScope, Purpose, Transport, TransportConfig};
use affzero_connections::platforms::stats::{Dimension, StatsQuery};
use affzero_connections::platforms::verification::Detected;
use affzero_connections::platforms::{Account, Client, Pair, Platforms, assemble, normalise, open};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use support::samples::{self, Sample};
use support::tracker::{Reply, Request, Simulator, Tracker};
use uuid::Uuid;

/// More rows than any report here has.
const MAX_ROWS: usize = 1_000_000;

/// A tracker that remembers what it answered.
struct Replay {
    tracker: Box<dyn Tracker>,
    answers: Mutex<HashMap<(String, String), Reply>>,
}

impl Tracker for Replay {
    fn answer(&self, request: &Request) -> Reply {
        let question = format!("{:?} {}", request.query, String::from_utf8_lossy(&request.body));
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.entry((request.path.clone(), question)).or_insert_with(|| self.tracker.answer(request));
        answer.clone()
    }
}

/// A connection to a simulator, as the service opens it for each request.
struct Stage {
    sample: Sample,
    platforms: Platforms,
    url: String,
    simulator: Option<Simulator>,
}

impl Stage {
    fn set(mut sample: Sample) -> Self {
        let tracker = sample.tracker.take();
        let simulator = tracker.map(|tracker| Simulator::start(Replay { tracker, answers: Mutex::default() }));
        let url = simulator.as_ref().map(|simulator| simulator.url.clone()).unwrap_or_default();
        let config = TransportConfig {
            egress: EgressPolicy {
                allow: vec!["127.0.0.0/8".parse().expect("a network")],
                allow_http: false,
                ..EgressPolicy::default()
            },
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
        };
        let transport = Transport::new(config).expect("a transport");
        let platforms = Platforms::new(transport, samples::gateways(&url));
        Self { sample, platforms, url, simulator }
    }

    fn client(&self) -> Client {
        let texts = |texts: samples::Texts| texts.into_iter().map(|(key, value)| (key.to_owned(), value));
        // As a draft stores them.
        let mut settings = texts(self.sample.settings_at(&self.url)).collect();
        normalise(self.sample.pair, &mut settings).expect("settings that are in order");
        let account = Account {
            connection: Uuid::nil(),
            settings,
            credentials: texts(self.sample.credentials.clone()).map(|(key, value)| (key, value.into())).collect(),
            detected: Detected::default(),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        let scope = CallScope { purpose: Purpose::Pull, deadline, max_calls: 10_000 };
        open(self.sample.pair, account, &self.platforms, scope).expect("a client")
    }

    /// Pulls a report and writes it; returns how many rows and bytes it has.
    async fn pull(&self, query: &StatsQuery, layout: &Layout) -> (usize, usize) {
        let client = self.client();
        let report = client.stats(query).await.expect("a report");
        let mut batches = assemble::assemble(query, &query.dimensions, report, MAX_ROWS);
        let (mut rows, mut bytes) = (0, 0);
        while let Some(batch) = batches.next().await {
            let batch = batch.expect("a batch");
            let mut out = Vec::with_capacity(batch.rows.len() * 320);
            for row in &batch.rows {
                layout.write_json(row, None, &mut out);
            }
            rows += batch.rows.len();
            bytes += black_box(out).len();
        }
        if let Some(simulator) = &self.simulator {
            simulator.forget();
        }
        (rows, bytes)
    }
}

/// The last days of a sample by dimensions that its platform has.
fn question(pair: Pair, dimensions: &[Dimension], days: i8) -> (StatsQuery, Layout) {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let first = today.checked_sub(jiff::Span::new().days(days - 1)).expect("a day");
    let keys = dimensions.iter().map(|dimension| dimension.key()).collect::<Vec<_>>().join(",");
    let pairs = [("group_by", keys), ("from", first.to_string()), ("to", today.to_string())];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value));
    let asked = question::read(&pairs, false).expect("a question").at(Timestamp::now());
    let query = asked.for_client(pair, 366).unwrap_or_else(|problem| panic!("{}: {}", pair, problem.detail));
    (query, Layout::of(&asked, pair.entry().perspective))
}

fn reports(criterion: &mut Criterion) {
    use Dimension::{AffiliateNetwork, Country, Date, Hour, Offer};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let mut group = criterion.benchmark_group("report");
    for (pair, dimensions, days) in [
        (Pair::AffiseAdmin, vec![Date, Offer, Country], 28),
        (Pair::BinomAdmin, vec![AffiliateNetwork, Offer], 28),
        (Pair::CakeAffiliate, vec![Date, Offer], 28),
        (Pair::VoluumAdmin, vec![Hour, Offer], 28),
        (Pair::EverflowAdmin, vec![Date, Offer, Country], 28),
        (Pair::KeitaroAdmin, vec![Date, Offer, Country], 28),
        (Pair::TuneAdmin, vec![Date, Offer, Country], 28),
        (Pair::DemoAdmin, vec![Date, Offer, Country], 28),
    ] {
        let sample = samples::of(pair, today).into_iter().next().expect("a sample");
        let stage = Stage::set(sample);
        let (query, layout) = question(pair, &dimensions, days);
        let (rows, bytes) = runtime.block_on(stage.pull(&query, &layout));
        assert!(rows > 0 && bytes > 0, "{} has rows", pair);
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(BenchmarkId::new(pair.to_string(), format!("{rows} rows")), |bencher| {
            bencher.to_async(&runtime).iter(|| stage.pull(&query, &layout));
        });
    }
    group.finish();
}

criterion_group!(benches, reports);
criterion_main!(benches);
