//! Tables as streams: all rows, one page of the tracker in memory at a time.
//!
//! A stream fails as a whole: after an error its body ends without the terminating chunk, so that nothing takes it
//! for complete.

use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tracing::Span;

use super::echo::QueryEcho;
use super::layout::{Layout, Summary};
use super::numbers::Totals;
use super::order::compare;
use super::pull::out_of_time;
use super::query::Asked;
use super::tally::Tally;
use crate::clock::millis;
use crate::connections::health::Finding;
use crate::connections::readers;
use crate::connections::service::{Connections, Opened};
use crate::metrics;
use crate::outbound::error::PlatformError;
use crate::platforms::assemble;
use crate::platforms::stats::{Batch, Metrics, Row, StatsQuery};
use crate::problem::Problem;
use crate::shares::Share;

/// The form of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line, and a summary at the end.
    Ndjson,
    /// RFC 4180, with a header line.
    Csv,
}

impl Form {
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// Whether its last line can say more than the rows do.
    pub(super) const fn has_summary(self) -> bool {
        matches!(self, Self::Ndjson)
    }
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// The form.
    pub form: Form,
    /// Whether CSV begins with a byte-order mark, by which Excel knows UTF-8.
    pub bom: bool,
    /// Whether NDJSON ends with a summary.
    pub summary: bool,
    /// Whether the file should be complete before its first byte leaves, if it is short enough.
    pub whole: bool,
}

/// A batch, and the memory of its rows where that goes along with it.
type Paid = (Batch, Option<Share>);

/// Sorted rows that are written at a time.
const SORTED_PART: usize = 1_000;

/// What was written of a batch: the memory of its rows is that of their lines now.
struct Part {
    bytes: Vec<u8>,
    _memory: Option<Share>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The lines of a table, in parts as they come: none before the first rows are there.
pub(super) type TableStream = Pin<Box<dyn Stream<Item = Result<Bytes, Problem>> + Send>>;

impl Connections {
    /// The lines of a pull's rows, with what stands before and behind them.
    pub(super) fn table_stream(self, opened: Opened, query: StatsQuery, asked: Asked, style: Style) -> TableStream {
        Box::pin(readers::stream(self.written(opened, query, asked, style)))
    }

    fn written(
        self,
        opened: Opened,
        query: StatsQuery,
        asked: Asked,
        style: Style,
    ) -> impl Stream<Item = Result<Bytes, Problem>> {
        let perspective = opened.client.pair().entry().perspective;
        let layout = Layout::of(&asked, perspective);
        let echo = QueryEcho::of(&asked, &opened.client.terms(&query));
        let sift = asked.question.sift.clone();
        let mut batches = Box::pin(self.batches(opened, query, asked));
        async_stream::try_stream! {
            let mut next = batches.next().await.transpose()?;
            let mut end = End::awaited(style.form);
            let writer = Writer { style, layout };
            let mut tally = Tally::default();
            let mut out = writer.start();
            while let Some((mut batch, memory)) = next {
                batch.rows.retain(|row| sift.keeps(row, |metrics, metric| metrics.get(metric, perspective)));
                tally.add(&mut batch);
                writer.rows(batch.rows.iter().map(|row| (row, None)), &mut out);
                end.set_rows(tally.row_count());
                yield Bytes::from_owner(Part { bytes: std::mem::take(&mut out), _memory: memory });
                next = batches.next().await.transpose().inspect_err(|_| end.finish_as("failed"))?;
            }
            writer.end(&Summary::of(&echo, &tally), &writer.layout.plain_totals(&tally), &mut out);
            end.finish_as("whole");
            yield Bytes::from(out);
        }
    }

    /// The batches of a pull as they come in, those without rows put to the next; or, to be sorted, all in one.
    fn batches(self, opened: Opened, query: StatsQuery, asked: Asked) -> impl Stream<Item = Result<Paid, Problem>> {
        async_stream::stream! {
            let deadline = opened.client.upstream().deadline();
            let options = self.inner.options.stats.clone();
            let layout = Layout::of(&asked, opened.client.pair().entry().perspective);
            let sort = asked.question.sort;
            let max_rows_in_memory = options.max_rows_in_memory;
            let (client, query, group_by) = (&opened.client, &query, &asked.question.group_by);
            let (room, memory) = self.room_for_rows(&opened);
            let read = async_stream::stream! {
                let report = match client.stats(query).await {
                    Ok(report) => report,
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                };
                let mut batches = assemble::assemble(query, group_by, report, room);
                while let Some(batch) = batches.next().await {
                    yield batch;
                }
            };
            let mut read = Box::pin(read);
            let mut held = Batch::default();
            let mut count = 0;
            loop {
                // Rows that are always there, for a caller who takes them slowly, are no reason to go on either.
                let in_time = Instant::now() < deadline;
                let batch = match tokio::time::timeout_at(deadline.into(), read.next()).await {
                    Ok(Some(_)) if !in_time => Err(out_of_time(&opened)),
                    Err(_) => Err(out_of_time(&opened)),
                    Ok(None) => break,
                    Ok(Some(batch)) => batch,
                };
                let within = batch.and_then(|mut batch| {
                    count += batch.rows.len();
                    // Said before they are pulled, where the tracker counts them.
                    let at_least = count.saturating_add(batch.still_to_come);
                    if at_least > options.max_rows {
                        return Err(too_many(options.max_rows));
                    }
                    if sort.is_some() && at_least > max_rows_in_memory {
                        return Err(assemble::too_many_rows(max_rows_in_memory));
                    }
                    if held.rows.is_empty() {
                        // Rows are large: nearly always all of them stay where they are.
                        held.rows = std::mem::take(&mut batch.rows);
                    } else {
                        held.rows.append(&mut batch.rows);
                    }
                    held.checks.append(&mut batch.checks);
                    held.warnings.append(&mut batch.warnings);
                    Ok(())
                });
                if let Err(error) = within {
                    yield Err(self.refused(&opened, error).await);
                    return;
                }
                if sort.is_none() && !held.rows.is_empty() {
                    let memory = memory.lock().await.detach();
                    yield Ok((std::mem::take(&mut held), Some(memory)));
                }
            }
            if sort.is_some() {
                held.rows.sort_by(|a, b| compare(a, b, sort, &layout));
            }
            self.learn_from_pull(&opened.stored, Finding::Works).await;
            // Written a part at a time: all at once would take as much memory again.
            let _memory = memory.lock().await.detach();
            let mut rows = std::mem::take(&mut held.rows).into_iter();
            while rows.len() > SORTED_PART {
                yield Ok((Batch::of(rows.by_ref().take(SORTED_PART).collect()), None));
            }
            held.rows.extend(rows);
            yield Ok((held, None));
        }
    }
}

pub(super) fn too_many(max_rows: usize) -> PlatformError {
    PlatformError::unsupported(format!("The table has more than {max_rows} rows."))
        .hint("Ask for a shorter range, fewer dimensions or a filter.")
}

/// Reports how a stream ended, however it does.
pub(super) struct End {
    form: Form,
    started: Instant,
    rows: usize,
    outcome: &'static str,
    span: Span,
}

impl End {
    pub(super) fn awaited(form: Form) -> Self {
        Self { form, started: Instant::now(), rows: 0, outcome: "abandoned", span: Span::current() }
    }

    pub(super) fn set_rows(&mut self, rows: usize) {
        self.rows = rows;
    }

    pub(super) fn finish_as(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let Self { form, started, rows, outcome, ref span } = *self;
        metrics::stream(form.key(), outcome);
        let _inside = span.enter();
        let duration_ms = millis(started.elapsed());
        tracing::info!(stream.form = form.key(), stream.outcome = outcome, rows, duration_ms, "stream");
    }
}

/// Turns rows into bytes.
pub(super) struct Writer {
    pub(super) style: Style,
    pub(super) layout: Layout,
}

impl Writer {
    pub(super) fn start(&self) -> Vec<u8> {
        match self.style.form {
            Form::Ndjson => Vec::new(),
            Form::Csv => {
                let mark = if self.style.bom { "\u{feff}" } else { "" };
                // Quoted, so that no reader takes the keys for data.
                write_csv(csv::QuoteStyle::Always, [self.layout.csv_header()], mark.into())
            }
        }
    }

    /// Writes rows, each with what it was before where that is shown.
    pub(super) fn rows<'r>(
        &self,
        rows: impl ExactSizeIterator<Item = (&'r Row, Option<&'r Metrics>)>,
        out: &mut Vec<u8>,
    ) {
        match self.style.form {
            Form::Csv => {
                let rows = rows.map(|(row, then)| self.layout.csv_fields(row, then));
                *out = write_csv(csv::QuoteStyle::Necessary, rows, std::mem::take(out));
            }
            Form::Ndjson => {
                out.reserve(rows.len() * 320);
                for (row, then) in rows {
                    self.layout.write_line(row, then, out);
                    out.push(b'\n');
                }
            }
        }
    }

    pub(super) fn end(&self, summary: &Summary<'_>, totals: &Totals, out: &mut Vec<u8>) {
        match self.style.form {
            Form::Ndjson if self.style.summary => {
                out.extend(self.layout.summary(summary, totals));
                out.push(b'\n');
            }
            Form::Ndjson | Form::Csv => {}
        }
    }
}

/// Writes lines behind what is there.
fn write_csv(quotes: csv::QuoteStyle, lines: impl IntoIterator<Item = Vec<String>>, out: Vec<u8>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).quote_style(quotes).from_writer(out);
    for line in lines {
        // Writing to memory cannot fail, and every line has as many fields as the header.
        let _ = writer.write_record(line);
    }
    writer.into_inner().unwrap_or_default()
}
