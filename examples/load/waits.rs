//! What a person waits for: rounds, which are the tracker's own time for a call times the calls that wait for each other.
//!
//! The simulators of the tests answer each call after the same time. Each question has a tracker and a service of its own,
//! so that nothing is remembered when it is asked first; it is asked again with `fresh=true`.

use std::time::{Duration, Instant};

use affzero_connections::platforms::Pair;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::plan::Plan;
use crate::service::Service;
use crate::support::samples::{self, Address, Sample};
use crate::support::tracker::{Fault, Simulator};
use crate::table::Table;

/// A connection to measure, by its pair and by the name of its tracker's variant.
const CONNECTIONS: [(&str, Pair, &str); 8] = [
    ("Affise", Pair::AffiseAdmin, ""),
    ("Binom v2", Pair::BinomAdmin, "v2"),
    ("Binom v2 with hours", Pair::BinomAdmin, "v2 that groups by day and hour"),
    ("Binom v1", Pair::BinomAdmin, "v1"),
    ("CAKE affiliate", Pair::CakeAffiliate, ""),
    ("CAKE admin", Pair::CakeAdmin, ""),
    ("Voluum", Pair::VoluumAdmin, ""),
    ("Everflow", Pair::EverflowAdmin, ""),
];

/// Name, days, what is grouped by.
const QUESTIONS: [(&str, i32, &str); 4] = [
    ("month by hour", 30, "hour"),
    ("month by date and offer", 30, "date,offer"),
    ("quarter by date and offer", 92, "date,offer"),
    ("week by date", 7, "date"),
];

/// What all questions together and each by itself should take at most, in rounds.
const MOST_IN_ALL: f64 = 165.0;
const MOST_AT_FIRST: f64 = 17.0;
const MOST_AGAIN: f64 = 14.0;

/// A question that is not answered counts as so many.
const UNANSWERED: f64 = 120.0;

/// How often one question was asked of a tracker, and for how long.
struct Wait {
    calls: usize,
    rounds: f64,
}

/// Rounds of every question for every platform.
pub(crate) fn rounds(plan: &Plan, table: &mut Table) {
    let (mut in_all, mut first, mut again) = (0.0, 0.0_f64, 0.0_f64);
    for (name, pair, variant) in CONNECTIONS {
        for (question, days, group_by) in QUESTIONS {
            // CAKE has hours for affiliates only.
            if pair == Pair::CakeAdmin && group_by == "hour" {
                continue;
            }
            let stage = Stage::set(plan, pair, variant);
            let path = stage.question(days, group_by);
            let waits = [&path, &format!("{path}&fresh=true")].map(|path| stage.ask(path));
            let both = waits.each_ref().map(|wait| wait.as_ref().map_or(UNANSWERED, |wait| wait.rounds));
            in_all += both[0];
            (first, again) = (first.max(both[0]), again.max(both[1]));
            table.add(
                format!("{name}: {question}"),
                &format!("{MOST_AT_FIRST} rounds, again {MOST_AGAIN}"),
                waits.each_ref().map(words).join("; again "),
                Some(both[0] <= MOST_AT_FIRST && both[1] <= MOST_AGAIN),
            );
        }
        let stage = Stage::set(plan, pair, variant);
        table.add(format!("{name}: verification"), "", words(&stage.verify()), None);
    }
    let measured = format!("{in_all:.0} rounds; none above {first:.1}, again {again:.1}");
    table.add("all of these questions", &format!("{MOST_IN_ALL} rounds"), measured, Some(in_all <= MOST_IN_ALL));
}

fn words(wait: &Option<Wait>) -> String {
    match wait {
        Some(Wait { calls, rounds }) => format!("{calls} calls, {rounds:.1} rounds"),
        None => "no answer".to_owned(),
    }
}

/// A slow tracker, and the service with a connection to it.
struct Stage {
    tracker: Simulator,
    service: Service,
    connection: String,
    delay: Duration,
    last: Date,
}

impl Stage {
    fn set(plan: &Plan, pair: Pair, variant: &str) -> Self {
        let last = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        let mut sample = samples::of(pair, last)
            .into_iter()
            .find(|sample| sample.variant == variant)
            .unwrap_or_else(|| panic!("{pair} has no variant {variant}"));
        let tracker = Simulator::start(sample.tracker.take().expect("a tracker"));
        let gateway = match sample.address {
            Address::Gateway(variable) => vec![(variable, tracker.url.clone())],
            Address::Setting(..) | Address::Nowhere => Vec::new(),
        };
        let service = Service::beside(plan, &gateway);
        let connection = service.create(&body(&sample, &tracker.url));
        tracker.always(Some(Fault::Stall(plan.delay)));
        Self { tracker, service, connection, delay: plan.delay, last }
    }

    /// The path of a question about so many days up to yesterday.
    fn question(&self, days: i32, group_by: &str) -> String {
        let to = self.last.saturating_sub(1.day());
        let from = to.saturating_sub((days - 1).days());
        format!("{}/stats?group_by={group_by}&from={from}&to={to}", self.connection)
    }

    /// Asks, unless the answer takes more than the service has time for.
    fn ask(&self, path: &str) -> Option<Wait> {
        self.wait(&self.service.get(path, &[("accept", "application/json")]))
    }

    fn verify(&self) -> Option<Wait> {
        self.wait(&self.service.post(&format!("{}/verify", self.connection), &json!({})))
    }

    fn wait(&self, request: &crate::http::Request) -> Option<Wait> {
        self.tracker.forget();
        let mut connection = self.service.connect();
        let started = Instant::now();
        let answer = connection.send(request).expect("an answer");
        let rounds = started.elapsed().as_secs_f64() / self.delay.as_secs_f64();
        match answer.status {
            200 => Some(Wait { calls: self.tracker.requests().len(), rounds }),
            504 => None,
            status => panic!("{status}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }
}

fn body(sample: &Sample, url: &str) -> Value {
    let object = |texts: samples::Texts| -> Value {
        texts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::String(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "name": "Slow",
        "platform": sample.pair.platform(),
        "connection_type": sample.pair.connection_type(),
        "settings": object(sample.settings_at(url)),
        "credentials": object(sample.credentials.clone()),
    })
}
