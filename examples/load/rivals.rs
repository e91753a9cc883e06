//! What the service is compared with.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::plan::Plan;
use crate::tracker::{KEY, PAGE_ROWS, Tracker};

/// The question of a page, as the service puts it.
const PAGE: &str = "/3.0/stats/custom?slice%5B%5D=affiliate&slice%5B%5D=offer&filter%5Bdate_from%5D=2026-01-01&\
    filter%5Bdate_to%5D=2026-01-01&timezone=UTC&limit=500&page=";

/// Something else that reads all pages.
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    /// Whether once is enough.
    pub(crate) is_slow: bool,
    target: Target,
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
}

/// What is compared, and how.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// The service may take so many times as long.
    Time(f64),
    /// The service must read so many times as many rows a second.
    Rate(f64),
    /// The service must read so many times as many rows in a second of a processor.
    Work(f64),
}

/// What reading everything once took.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// On the clock.
    pub(crate) seconds: f64,
    /// Of processors, for this program and for the system on behalf of it.
    pub(crate) work: f64,
}

/// The readers that are there.
pub(crate) fn readers(plan: &Plan, tracker: &Tracker) -> Vec<Rival> {
    let base = format!("http://{}", tracker.address);
    let mut readers = Vec::new();
    if runs("curl") {
        let pages = format!("{base}{PAGE}[1-{}]", tracker.pages());
        let arguments = ["--silent", "--fail", "--output", "/dev/null", "--header", &format!("api-key: {KEY}"), &pages];
        let arguments = arguments.map(str::to_owned).into();
        readers.push(Rival::new("curl", "curl".into(), false, Target::Time(5.0), arguments));
    }
    for (name, python, target, script) in [
        ("a loop over orjson", &plan.orjson, Target::Work(3.3), include_str!("orjson_loop.py")),
        ("DuckDB on one thread", &plan.duckdb, Target::Work(5.4), include_str!("duckdb_query.py")),
        ("dlt's REST source", &plan.dlt, Target::Rate(10.0), include_str!("dlt_source.py")),
        ("Airbyte's low-code CDK", &plan.airbyte, Target::Rate(25.0), include_str!("airbyte_source.py")),
    ] {
        if let Some(python) = python {
            let is_slow = matches!(target, Target::Rate(_));
            let mut reader = Rival::new(name, python.clone(), is_slow, target, Vec::new());
            let path = reader.folder.path().join("source.py");
            std::fs::write(&path, script).expect("a script");
            reader.arguments = vec![path.display().to_string(), base.clone(), KEY.to_owned(), PAGE_ROWS.to_string()];
            readers.push(reader);
        }
    }
    readers
}

impl Rival {
    fn new(name: &'static str, program: PathBuf, is_slow: bool, target: Target, arguments: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { name, is_slow, target, program, arguments, folder }
    }

    /// Reads everything once, and returns the seconds that count: on the clock or of processors. A script says itself how
    /// many that were and writes what it read, so that its start does not count.
    pub(crate) fn read(&self, rows: usize) -> f64 {
        let output = self.folder.path().join("rows.ndjson");
        let started = Instant::now();
        let outcome = Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .stdout(std::fs::File::create(&output).expect("a file"))
            .stderr(Stdio::piped())
            .output()
            .expect("it runs");
        let time = started.elapsed();
        let said = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "{}: {said}", self.name);
        if matches!(self.target, Target::Time(_)) {
            return time.as_secs_f64();
        }
        let read = std::fs::read(&output).expect("its rows").iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(read, rows, "{} read something else: {said}", self.name);
        let seconds = said.lines().last().and_then(|line| line.strip_prefix("seconds ")?.parse().ok());
        seconds.unwrap_or_else(|| panic!("{}: {said}", self.name))
    }

    /// The ratio in words, the target, and whether it is reached.
    pub(crate) fn compare(&self, own: Cost, other: f64) -> (String, String, bool) {
        match self.target {
            Target::Time(most) => {
                let times = own.seconds / other;
                let measured = format!("{times:.1} × ({:.3} s, it {other:.3} s)", own.seconds);
                (measured, format!("at most {most} × its time"), times <= most)
            }
            Target::Rate(least) => {
                let times = other / own.seconds;
                let measured = format!("{times:.1} × ({:.2} s, it {other:.2} s)", own.seconds);
                (measured, format!("{least} × its rows/s"), times >= least)
            }
            Target::Work(least) => {
                let times = other / own.work;
                let measured = format!("{times:.1} × ({:.3} s of a processor, it {other:.3} s)", own.work);
                (measured, format!("{least} × its rows a processor second"), times >= least)
            }
        }
    }
}

pub(crate) fn runs(program: &str) -> bool {
    Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
