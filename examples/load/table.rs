//! What comes out.

use std::fmt;
use std::time::Duration;

/// One line for each promise.
#[derive(Default)]
pub(crate) struct Table {
    lines: Vec<[String; 4]>,
}

impl Table {
    /// Adds a line; `kept` is empty where nothing was promised.
    pub(crate) fn add(
        &mut self,
        work: impl Into<String>,
        target: &str,
        measured: impl Into<String>,
        kept: Option<bool>,
    ) {
        let kept = match kept {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        self.lines.push([work.into(), target.to_owned(), measured.into(), kept.to_owned()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["work", "to reach", "measured", "reached"].map(str::to_owned);
        let rule = ["---"; 4].map(str::to_owned);
        let all: Vec<&[String; 4]> = [&head, &rule].into_iter().chain(&self.lines).collect();
        let width = |column: usize| all.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; 4] = std::array::from_fn(width);
        for line in all {
            for (cell, width) in line.iter().zip(widths) {
                write!(out, "| {cell:width$} ")?;
            }
            writeln!(out, "|")?;
        }
        Ok(())
    }
}

/// The one in the middle.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The least of which so many per cent are no larger.
pub(crate) fn percentile(mut numbers: Vec<f64>, percent: usize) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let place = (numbers.len() * percent).div_ceil(100).saturating_sub(1);
    numbers.get(place).copied().unwrap_or(f64::NAN)
}

/// In milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
