//! From a query to the report: which windows are asked for, in which form, and what the rows are held against.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::future::join;
use jiff::{Timestamp, ToSpan};

use super::super::calendar::{DateRange, Zone};
use super::super::stats::{
    Batch, Check, Currency, Dimension, Filters, Metrics, Report, Row, StatsQuery, Warning, WarningCode,
};
use super::panel::{Panel, Refused};
use super::reading::{Count, Reading, Subject};
use super::request::ReportRequest;
use super::time::Form;
use super::{refusal, total};
use crate::outbound::error::{ErrorKind, PlatformError};

/// How many calls of one report are under way at once.
pub(super) const CONCURRENCY: usize = 2;

/// How often a range is cut in half where its report takes too long.
const MOST_HALVINGS: u32 = 2;

/// A report whose first page has come.
struct Opening<'a> {
    form: Form,
    first: Vec<Row>,
    reading: Reading<'a>,
    /// The windows after this one.
    rest: VecDeque<DateRange>,
}

/// Asks for the first page, which shows whether the panel can answer, and starts the report.
pub(super) async fn start<'a>(
    panel: &'a Panel,
    query: &'a StatsQuery,
    currency: Option<Currency>,
) -> Result<Report<'a>, PlatformError> {
    let subject = Subject { panel, query, currency };
    let (opening, sum) = if panel.dialect().is_some() {
        let (opening, sum) = join(Box::pin(open(subject)), Box::pin(own_sum(panel, query))).await;
        (opening?, sum?)
    } else {
        // The first request finds out how others have to be put.
        (Box::pin(open(subject)).await?, own_sum(panel, query).await?)
    };
    let Opening { form, first, mut reading, rest } = opening;
    let batches = Box::pin(async_stream::try_stream! {
        let mut tally = Tally::new();
        tally.add(&first);
        yield Batch::of(first);
        while let Some(rows) = reading.next().await.map_err(|refused| later(panel, refused))? {
            tally.add(&rows);
            yield Batch::of(rows);
        }
        tally.note(reading.count()?);
        let is_part = reading.is_part;
        let mut parts = Box::pin(
            futures_util::stream::iter(rest).map(|window| whole(subject, form, window, is_part)).buffered(CONCURRENCY),
        );
        while let Some(part) = parts.next().await {
            let (rows, count) = part?;
            tally.add(&rows);
            tally.note(count);
            yield Batch::of(rows);
        }
        if let Some(before) = &sum {
            let check = tally.hold_against(panel, query, before).await?;
            tally.checks.push(check);
        }
        let is_sum_missing = sum.is_none() && !query.dimensions.is_empty();
        let warnings = warnings(panel, &tally, is_sum_missing);
        yield Batch { checks: std::mem::take(&mut tally.checks), warnings, ..Batch::default() };
    });
    // An entity that was renamed has several rows, and so has traffic without one.
    let unique_keys = query.dimensions.iter().all(|dimension| *dimension == Dimension::Date);
    Ok(Report { unique_keys, batches })
}

/// Reads the smallest report there is, one campaign of yesterday, as every report is read.
pub(super) async fn prove(panel: &Panel) -> Result<(), PlatformError> {
    let zone = Zone::utc();
    let range = DateRange::day(zone.date_at(Timestamp::now()).saturating_sub(1.day()));
    let query = StatsQuery { dimensions: vec![Dimension::Campaign], range, zone, filters: Filters::new() };
    let subject = Subject { panel, query: &query, currency: None };
    let request = ReportRequest::of(&query, Form::Whole, range).first_row();
    let outcome = panel.ask(&request, |page, asked| subject.sheet(page, asked, range, 0).map(drop)).await;
    outcome.map_err(|refused| match refused {
        Refused::Other(error) => error,
        Refused::Column(column) => refusal::not_accepted(panel.upstream(), &format!("no column {column}")),
    })
}

/// The panel's own sum, where the rows are not that already.
async fn own_sum(panel: &Panel, query: &StatsQuery) -> Result<Option<Metrics>, PlatformError> {
    if query.dimensions.is_empty() { Ok(None) } else { total::ask(panel, query).await }
}

async fn open(subject: Subject<'_>) -> Result<Opening<'_>, PlatformError> {
    let mut unread = "";
    for form in Form::of(subject.query).iter().copied() {
        let mut rest: VecDeque<DateRange> = form.windows(subject.query.range).into();
        afford(subject, rest.len())?;
        let mut halvings = 0;
        while let Some(window) = rest.pop_front() {
            let mut reading = Reading::new(subject, form, window);
            reading.is_part = !rest.is_empty() && !subject.query.has(Dimension::Date);
            match reading.next().await {
                Ok(first) => {
                    let first = first.unwrap_or_default();
                    return Ok(Opening { form, first, reading, rest });
                }
                Err(Refused::Column(column)) if form.columns().contains(&column) => {
                    unread = column;
                    break;
                }
                Err(Refused::Column(column)) => return Err(without(subject, column)),
                Err(Refused::Other(error)) if error.kind == ErrorKind::Timeout && halvings < MOST_HALVINGS => {
                    let [first, second] = halves(window).ok_or(error)?;
                    rest.push_front(second);
                    rest.push_front(first);
                    halvings += 1;
                }
                Err(Refused::Other(error)) => return Err(error),
            }
        }
    }
    Err(later(subject.panel, Refused::Column(unread)))
}

/// The report of one window, all of its pages.
async fn whole(
    subject: Subject<'_>,
    form: Form,
    window: DateRange,
    is_part: bool,
) -> Result<(Vec<Row>, Count), PlatformError> {
    let mut reading = Reading::new(subject, form, window);
    reading.is_part = is_part;
    let mut all = Vec::new();
    while let Some(rows) = reading.next().await.map_err(|refused| later(subject.panel, refused))? {
        all.extend(rows);
    }
    Ok((all, reading.count()?))
}

/// A range cut in two; `None` for a day.
fn halves(window: DateRange) -> Option<[DateRange; 2]> {
    window.windows(window.len_days().div_ceil(2)).try_into().ok()
}

/// A column that turns out not to be usable once the report is being read.
fn later(panel: &Panel, refused: Refused) -> PlatformError {
    match refused {
        Refused::Other(error) => error,
        Refused::Column(column) => PlatformError::bad_response(format!(
            "The times in the column `{column}` of Keitaro at {} cannot be read.",
            panel.upstream().host()
        )),
    }
}

/// The refusal of a grouping that this version does not have.
fn without(subject: Subject<'_>, column: &str) -> PlatformError {
    let host = subject.panel.upstream().host();
    PlatformError::unsupported(format!(
        "Keitaro at {host} has no column `{column}`, so it cannot group or filter by it."
    ))
    .hint("Ask by date, hour, campaign, offer, traffic_source or country, or update Keitaro.")
}

/// Refuses a report that needs more calls than are left, and names the longest range that works.
fn afford(subject: Subject<'_>, requests: usize) -> Result<(), PlatformError> {
    let upstream = subject.panel.upstream();
    let left = usize::try_from(upstream.max_calls().saturating_sub(upstream.calls())).unwrap_or(usize::MAX);
    // One more is for the sum.
    match left.saturating_sub(1) {
        possible if requests > possible.max(1) => Err(PlatformError::unsupported(format!(
            "Keitaro has to be asked for each day by itself, and may be asked {left} times; the longest range that \
             works is {possible} days."
        ))
        .hint(format!("Ask for at most {possible} days at once."))),
        _ => Ok(()),
    }
}

/// What the rows came to.
struct Tally {
    sum: Metrics,
    checks: Vec<Check>,
    moved: Option<(usize, usize)>,
}

impl Tally {
    fn new() -> Self {
        Self { sum: Metrics::ZERO, checks: Vec::new(), moved: None }
    }

    fn add(&mut self, rows: &[Row]) {
        self.sum = rows.iter().fold(self.sum, |sum, row| sum.add(&row.metrics));
    }

    fn note(&mut self, count: Count) {
        self.checks.extend(count.check);
        self.moved = self.moved.or(count.moved);
    }

    /// Holds the rows against the panel's own sum. Where they differ it is asked for again, since a day that is not
    /// over goes on while its report is read.
    async fn hold_against(&self, panel: &Panel, query: &StatsQuery, before: &Metrics) -> Result<Check, PlatformError> {
        let check = total::check(&self.sum, before, before, query);
        if check.mismatch.is_none() {
            return Ok(check);
        }
        let after = total::ask(panel, query).await?;
        Ok(after.map_or(check, |after| total::check(&self.sum, before, &after, query)))
    }
}

fn warnings(panel: &Panel, tally: &Tally, is_sum_missing: bool) -> Vec<Warning> {
    let lacking = panel.lacking();
    let hidden = (!lacking.is_empty()).then(|| Warning {
        code: WarningCode::ColumnsHidden,
        detail: format!(
            "This Keitaro does not report the columns {}; what depends on them is unknown.",
            lacking.join(", ")
        ),
    });
    let moved = tally.moved.map(|(before, after)| Warning {
        code: WarningCode::DataMoved,
        detail: format!(
            "Keitaro's report went from {before} to {after} rows while its pages were read. Ask again, or for days \
             that are over."
        ),
    });
    let unknown = is_sum_missing.then(|| Warning {
        code: WarningCode::TotalUnknown,
        detail: "Keitaro did not answer with its own sum, so the rows could not be held against it.".to_owned(),
    });
    [hidden, moved, unknown].into_iter().flatten().collect()
}
