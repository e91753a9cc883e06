//! How an answer is written, how fresh it is and how long it may take: the parameters of statistics that change nothing
//! about the numbers.

use std::time::Duration;

use super::negotiation::{FORMAT, Media};
use super::query::{Parameters, possible};
use crate::input::InputCode;

/// The names of the parameters.
pub(super) const KEYS: [&str; 5] = [FORMAT, "bom", "summary", "fresh", "deadline_ms"];

/// The shortest deadline a request may give itself, in milliseconds.
const SHORTEST_DEADLINE: u64 = 1_000;

/// The parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Whether CSV begins with a byte-order mark.
    pub(super) bom: bool,
    /// Whether NDJSON ends with a summary.
    pub(super) summary: bool,
    /// Whether to go to the tracker whatever is kept.
    pub(super) fresh: bool,
    /// The request's own deadline.
    pub(super) deadline: Option<Duration>,
}

/// Reads them, of a call that writes these formats and may take so long.
pub(super) fn read(parameters: &mut Parameters<'_>, formats: &[Media], longest: Duration) -> Shape {
    let known: Vec<&str> = formats.iter().map(|media| media.key()).collect();
    // Only looked at: what it decides has been decided.
    let _ = parameters.read(FORMAT, |format| {
        let is_known = known.contains(&format);
        is_known.then_some(()).ok_or_else(|| (InputCode::UnknownValue, possible(format, &known)))
    });
    Shape {
        bom: flag(parameters, "bom", false),
        summary: flag(parameters, "summary", true),
        fresh: flag(parameters, "fresh", false),
        deadline: deadline(parameters, longest),
    }
}

pub(super) fn flag(parameters: &mut Parameters<'_>, key: &str, default: bool) -> bool {
    parameters.choice(key, &["true", "false"]).unwrap_or(default)
}

fn deadline(parameters: &mut Parameters<'_>, longest: Duration) -> Option<Duration> {
    parameters.text("deadline_ms")?;
    let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    let deadline = parameters.number("deadline_ms", longest, SHORTEST_DEADLINE.min(longest)..=longest);
    Some(Duration::from_millis(deadline))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    const ALL: &[Media] = &Media::ALL;

    fn shape(query: &str, longest: Duration) -> Result<Shape, Problem> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut parameters = Parameters::of(&pairs, &KEYS, &[]);
        let shape = read(&mut parameters, ALL, longest);
        parameters.finish(Some(shape))
    }

    #[test]
    fn every_parameter_is_read_and_has_its_default() {
        let minute = Duration::from_secs(60);
        let unchanged = Shape { bom: false, summary: true, fresh: false, deadline: None };
        assert_eq!(shape("format=ndjson", minute).expect("a shape"), unchanged);
        let changed = Shape { bom: true, summary: false, fresh: true, deadline: Some(Duration::from_secs(1)) };
        let query = "format=csv&bom=true&summary=false&fresh=true&deadline_ms=1000";
        assert_eq!(shape(query, minute).expect("a shape"), changed);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let minute = Duration::from_secs(60);
        let problem = shape("format=xls&bom=1&summary=&fresh=yes&deadline_ms=60001", minute).expect_err("a problem");
        let pointers: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/format", "/bom", "/summary", "/fresh", "/deadline_ms"]);
        for wrong in ["deadline_ms=999", "deadline_ms=soon", "format=csv&format=json", "format=CSV"] {
            assert_eq!(shape(wrong, minute).expect_err(wrong).errors.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_service_with_a_short_deadline_still_takes_that_one() {
        let half = Duration::from_millis(500);
        assert_eq!(shape("deadline_ms=500", half).expect("a shape").deadline, Some(half));
    }
}
