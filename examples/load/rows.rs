//! Long reports as NDJSON.

use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::rivals::{self, Cost};
use crate::service::Service;
use crate::table::{Table, median, millis};
use crate::tracker::Tracker;

const QUESTION: &str = "/stats?group_by=affiliate,offer&preset=today";

/// A stream, read to its end.
struct Read {
    time: Duration,
    first_row: Instant,
    bytes: usize,
}

/// Rows a second, beside what else reads them.
pub(crate) fn streams(plan: &Plan, table: &mut Table) {
    let tracker = Tracker::start(plan.rows);
    tracker.prepare();
    let service = Service::start(plan);
    let path = service.connect_to(&tracker);
    let others = rivals::readers(plan, &tracker);
    let (mut own, mut work) = (Vec::new(), Vec::new());
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); others.len()];
    let mut early = true;
    let mut bytes = 0;
    for round in 0..=plan.rounds {
        tracker.last_page_asked();
        let before = service.work();
        let read = stream(&service, &path, plan.rows);
        let done = service.work() - before;
        early &= tracker.last_page_asked().is_some_and(|asked| read.first_row < asked);
        bytes = read.bytes;
        // The first round only warms everything up; the slow ones need no more than their one.
        if round > 0 {
            own.push(read.time.as_secs_f64());
            work.push(done);
        }
        for (other, times) in others.iter().zip(&mut times) {
            if (other.is_slow && round == 1) || (!other.is_slow && round > 0) {
                times.push(other.read(plan.rows));
            }
        }
    }
    // The kernel counts in hundredths of a second: the mean says more than any round.
    let mean = work.iter().sum::<f64>() / work.len() as f64;
    let own = Cost { seconds: median(own), work: mean };
    let per_second = plan.rows as f64 / own.seconds;
    let name = format!("{} Affise rows as NDJSON", plan.rows);
    table.add(&name, "", format!("{per_second:.0} rows/s, {:.0} MB out", bytes as f64 / 1e6), None);
    let per_second = plan.rows as f64 / own.work;
    table.add("… in a second of a processor", "", format!("{per_second:.0} rows ({mean:.3} s, user and system)"), None);
    table.add("… peak memory so far", "", format!("{:.1} MiB", service.memory("VmHWM")), None);
    for (other, times) in others.iter().zip(times) {
        let (ratio, target, kept) = other.compare(own, median(times));
        table.add(format!("… beside {}", other.name), &target, ratio, Some(kept));
    }
    let when = if early { "before the last page was asked for" } else { "too late" };
    table.add("… first row", "before the last page is in", when, Some(early));
}

/// The most memory that a very long stream takes.
pub(crate) fn memory(plan: &Plan, table: &mut Table) {
    let tracker = Tracker::start(plan.many_rows);
    let service = Service::start(plan);
    let path = service.connect_to(&tracker);
    let read = stream(&service, &path, plan.many_rows);
    let peak = service.memory("VmHWM");
    table.add(
        format!("{} rows the same way", plan.many_rows),
        "peak memory under 64 MiB",
        format!("{peak:.1} MiB ({:.0} ms)", millis(read.time)),
        Some(peak < 64.0),
    );
}

fn stream(service: &Service, path: &str, rows: usize) -> Read {
    let request = service.get(&format!("{path}{QUESTION}"), &[("accept", "application/x-ndjson")]);
    let mut connection = service.connect();
    let (mut lines, mut bytes, mut first_row, mut tail) = (0, 0, None, Vec::new());
    let started = Instant::now();
    let (status, _) = connection
        .stream(&request, |part| {
            first_row.get_or_insert_with(Instant::now);
            lines += part.iter().filter(|byte| **byte == b'\n').count();
            bytes += part.len();
            tail.extend_from_slice(part);
            let surplus = tail.len().saturating_sub(4_096);
            tail.drain(..surplus);
        })
        .expect("a whole stream");
    let time = started.elapsed();
    let tail = String::from_utf8_lossy(&tail);
    assert_eq!(status, 200, "{tail}");
    assert!(tail.contains(&format!("\"row_count\":{rows},")), "{tail}");
    assert_eq!(lines, rows + 1, "a line a row and the summary");
    Read { time, first_row: first_row.expect("a row"), bytes }
}
