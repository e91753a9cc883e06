//! What commands write for people: results on standard output, progress on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often progress is written again, on a terminal and elsewhere.
const ON_TERMINAL: Duration = Duration::from_millis(100);
const IN_LOGS: Duration = Duration::from_secs(5);

/// Writes a line to standard output. A reader that has enough (`| head`) is no failure.
///
/// # Errors
/// An output that cannot be written, such as a full disk.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// A text without line breaks and whatever else a terminal might obey: the words of a library may have some.
pub(crate) fn one_line(text: &str) -> String {
    let visible: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Shows how far long work is: one line that is written over on a terminal, a line now and then elsewhere.
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    out: Box<dyn Write>,
    is_terminal: bool,
    shown_at: Option<Instant>,
}

impl Progress {
    /// Progress through `total` things, called `what` in the plural.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { what, total, out: Box::new(io::stderr()), is_terminal, shown_at: None }
    }

    /// So many are done. What cannot be shown is not worth failing for.
    pub(crate) fn show(&mut self, done: u64) {
        let pause = if self.is_terminal { ON_TERMINAL } else { IN_LOGS };
        let is_last = done >= self.total;
        if !is_last && self.shown_at.is_some_and(|shown_at| shown_at.elapsed() < pause) {
            return;
        }
        self.shown_at = Some(Instant::now());
        let percent = done.saturating_mul(100).checked_div(self.total).unwrap_or(100).min(100);
        let line = format!("{done} of {} {} ({percent} %)", self.total.max(done), self.what);
        let _ = if self.is_terminal {
            write!(self.out, "\r\x1b[K{line}").and_then(|()| self.out.flush())
        } else {
            writeln!(self.out, "{line}")
        };
    }
}

impl Drop for Progress {
    /// Leaves the line to what is written next.
    fn drop(&mut self) {
        if self.is_terminal && self.shown_at.is_some() {
            let _ = writeln!(self.out);
        }
    }
}

/// Shows the steps of work that says nothing in the middle of one: a line for each, and how long it took. To people
/// only: a log has no use for it.
pub(crate) struct Steps {
    out: Box<dyn Write>,
    is_terminal: bool,
    begun: Option<Instant>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { out: Box::new(io::stderr()), is_terminal: io::stderr().is_terminal(), begun: None }
    }

    /// The step before is done, and this one begins.
    pub(crate) fn begin(&mut self, step: impl std::fmt::Display) {
        self.finish();
        if self.is_terminal {
            let _ = write!(self.out, "{step} …").and_then(|()| self.out.flush());
            self.begun = Some(Instant::now());
        }
    }

    /// The last step is done.
    pub(crate) fn finish(&mut self) {
        if let Some(begun) = self.begun.take() {
            let _ = writeln!(self.out, " {:.1} s", begun.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Steps {
    /// A step that failed leaves the line to what is said of that.
    fn drop(&mut self) {
        if self.begun.is_some() {
            let _ = writeln!(self.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(is_terminal: bool, steps: &[u64], total: u64) -> String {
        let paper = Paper::default();
        let mut progress = Progress { what: "rows", total, out: Box::new(paper.clone()), is_terminal, shown_at: None };
        steps.iter().for_each(|done| progress.show(*done));
        drop(progress);
        let bytes = paper.0.lock().clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_terminal_has_one_line_that_is_written_over() {
        assert_eq!(written(true, &[1, 4], 4), "\r\x1b[K1 of 4 rows (25 %)\r\x1b[K4 of 4 rows (100 %)\n");
    }

    #[test]
    fn a_log_has_plain_lines_and_few_of_them() {
        assert_eq!(written(false, &[1, 2, 3, 4], 4), "1 of 4 rows (25 %)\n4 of 4 rows (100 %)\n");
        assert_eq!(written(false, &[], 4), "");
    }

    fn stepped(is_terminal: bool, finishes: bool) -> String {
        let paper = Paper::default();
        let mut steps = Steps { out: Box::new(paper.clone()), is_terminal, begun: None };
        steps.begin("copying");
        steps.begin("reading");
        if finishes {
            steps.finish();
        }
        drop(steps);
        let bytes = paper.0.lock().clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn steps_are_shown_to_people_and_one_that_failed_has_no_time() {
        assert_eq!(stepped(true, true), "copying … 0.0 s\nreading … 0.0 s\n");
        assert_eq!(stepped(true, false), "copying … 0.0 s\nreading …\n");
        assert_eq!(stepped(false, true), "");
    }

    #[test]
    fn more_than_was_expected_is_no_more_than_all() {
        assert_eq!(written(false, &[7], 4), "7 of 7 rows (100 %)\n");
        assert_eq!(written(false, &[0], 0), "0 of 0 rows (100 %)\n");
    }
}
