//! What the service is compared with.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::plan::Plan;
use crate::tracker::{KEY, PAGE_ROWS, Tracker};

/// The question of a page, as the service puts it.
const PAGE: &str = "/3.0/stats/custom?slice%5B%5D=affiliate&slice%5B%5D=offer&filter%5Bdate_from%5D=2026-01-01&\
    filter%5Bdate_to%5D=2026-01-01&timezone=UTC&limit=500&page=";

/// Something else that reads all pages.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    /// Whether once is enough.
    pub(crate) is_slow: bool,
    /// How many times as fast as it the service must be; below one, how many times as long it may take.
    target: f64,
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
}

/// The readers that are there.
pub(crate) fn readers(plan: &Plan, tracker: &Tracker) -> Vec<Reader> {
    let base = format!("http://{}", tracker.address);
    let mut readers = Vec::new();
    if runs("curl") {
        let pages = format!("{base}{PAGE}[1-{}]", tracker.pages());
        let arguments = ["--silent", "--fail", "--output", "/dev/null", "--header", &format!("api-key: {KEY}"), &pages];
        readers.push(Reader::new("curl", "curl".into(), false, 0.2, arguments.map(str::to_owned).into()));
    }
    for (name, python, target, script) in [
        ("dlt's REST source", &plan.dlt, 10.0, include_str!("dlt_source.py")),
        ("Airbyte's low-code CDK", &plan.airbyte, 25.0, include_str!("airbyte_source.py")),
    ] {
        if let Some(python) = python {
            let mut reader = Reader::new(name, python.clone(), true, target, Vec::new());
            let path = reader.folder.path().join("source.py");
            std::fs::write(&path, script).expect("a script");
            reader.arguments = vec![path.display().to_string(), base.clone(), KEY.to_owned(), PAGE_ROWS.to_string()];
            readers.push(reader);
        }
    }
    readers
}

impl Reader {
    fn new(name: &'static str, program: PathBuf, is_slow: bool, target: f64, arguments: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { name, is_slow, target, program, arguments, folder }
    }

    /// Reads everything once. A script says itself how long its reading took and how much it read, so that its start
    /// does not count.
    pub(crate) fn read(&self, rows: usize) -> Duration {
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
        if !self.is_slow {
            return time;
        }
        let read = std::fs::read(&output).expect("its rows").iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(read, rows, "{} read something else: {said}", self.name);
        let seconds = said.lines().last().and_then(|line| line.strip_prefix("seconds ")?.parse().ok());
        Duration::from_secs_f64(seconds.unwrap_or_else(|| panic!("{}: {said}", self.name)))
    }

    /// The ratio in words, the target, and whether it is reached.
    pub(crate) fn compare(&self, own: f64, other: f64) -> (String, &'static str, bool) {
        let kept = other / own >= self.target;
        if self.is_slow {
            let target = if self.target > 10.0 { "25 × its rows/s" } else { "10 × its rows/s" };
            (format!("{:.1} × ({own:.2} s, it {other:.2} s)", other / own), target, kept)
        } else {
            (format!("{:.1} × ({own:.3} s, it {other:.3} s)", own / other), "at most 5 × its time", kept)
        }
    }
}

pub(crate) fn runs(program: &str) -> bool {
    Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
