//! Start and rest.

use std::time::Duration;

use crate::plan::Plan;
use crate::service::Service;
use crate::table::{Table, median};

/// How long it takes until it is ready, and what it takes when nobody asks.
pub(crate) fn starts(plan: &Plan, table: &mut Table) {
    let mut times = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..plan.rounds {
        let folder = tempfile::tempdir().expect("a folder");
        let database = format!("sqlite://{}", folder.path().join("load.db").display());
        let (service, time) = Service::start_in(plan, &database, folder);
        std::thread::sleep(Duration::from_secs(1));
        times.push(time.as_secs_f64());
        memory.push(service.memory("VmRSS"));
    }
    let (time, memory) = (median(times), median(memory));
    table.add("start to ready, new database", "0.3 s", format!("{time:.3} s"), Some(time <= 0.3));
    table.add("idle memory", "25 MiB", format!("{memory:.1} MiB"), Some(memory <= 25.0));
}
