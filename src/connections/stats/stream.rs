//! Tables as streams: all rows, one page of the tracker in memory at a time.
//!
//! A stream fails as a whole: after an error its body ends without the terminating chunk, so that nothing takes it
//! for complete.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use tracing::Span;
use uuid::Uuid;

use super::Manner;
use super::layout::Layout;
use super::order::compare;
use super::pull::out_of_time;
use super::query::{Asked, Question};
use super::tally::Tally;
use crate::clock::millis;
use crate::connections::service::{Connections, Opened};
use crate::connections::{Actor, Status};
use crate::metrics;
use crate::outbound::error::PlatformError;
use crate::platforms::assemble;
use crate::platforms::stats::{Batch, StatsQuery};
use crate::problem::Problem;

/// How long the last line of a failing stream gets to leave: the server drops what it has not sent when a body fails.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The form of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line, and a summary at the end.
    Ndjson,
    /// RFC 4180, with a header line.
    Csv,
}

impl Form {
    const fn key(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}

/// The bytes of a stream; an error breaks the response off.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// What a failing stream says in its last line.
pub type Tell = Box<dyn Fn(&Problem) -> Vec<u8> + Send>;

impl Connections {
    /// Streams all rows of a question. Returns when the first rows are there, so that a pull which cannot start is
    /// still a problem with its own status.
    ///
    /// # Errors
    /// Everything that stands between the question and its first rows.
    pub async fn stream(
        &self,
        actor: &Actor,
        id: Uuid,
        question: Question,
        manner: &Manner,
        form: Form,
        tell: Tell,
    ) -> Result<Body, Problem> {
        let asked = question.at(Timestamp::now());
        let (opened, query) = self.prepare(actor, id, &asked, self.pull_scope(None)).await?;
        let layout = Layout::of(&asked, opened.client.pair().entry().perspective);
        let mut batches = Box::pin(self.clone().batches(opened, query, asked));
        let first = batches.next().await.transpose().inspect_err(|problem| {
            self.inner.uses.record_refusal(actor, id, manner.automation.as_deref(), problem);
        })?;
        self.inner.uses.record(actor, id, manner.automation.as_deref());
        let mut end = End::awaited(form);
        let lines = async_stream::stream! {
            let mut writer = Writer { form, layout, tally: Tally::default() };
            yield Ok(writer.start());
            let mut next = first.map(Ok);
            while let Some(batch) = next {
                match batch {
                    Ok(batch) => {
                        let written = writer.rows(batch);
                        end.has_come_to(writer.tally.row_count());
                        yield Ok(written);
                    }
                    Err(problem) => {
                        end.is("failed");
                        if form == Form::Ndjson {
                            yield Ok(Bytes::from(tell(&problem)));
                            tokio::time::sleep(LAST_WORDS).await;
                        }
                        yield Err(std::io::Error::other("the pull failed"));
                        return;
                    }
                }
                next = batches.next().await;
            }
            end.is("whole");
            yield Ok(writer.end());
        };
        let mut lines = Box::pin(lines.filter(|part| {
            let empty = part.as_ref().is_ok_and(Bytes::is_empty);
            futures_util::future::ready(!empty)
        }));
        // The body is written after the handler has returned, and still belongs to its request.
        let span = Span::current();
        Ok(Box::pin(futures_util::stream::poll_fn(move |context| {
            let _inside = span.enter();
            lines.as_mut().poll_next(context)
        })))
    }

    /// Whether a stream of the question could start, as far as that is known without its tracker.
    ///
    /// # Errors
    /// Everything that stands between the question and the first call.
    pub async fn can_stream(&self, actor: &Actor, id: Uuid, question: Question) -> Result<(), Problem> {
        let asked = question.at(Timestamp::now());
        self.prepare(actor, id, &asked, self.pull_scope(None)).await.map(drop)
    }

    /// The batches of a pull as they come in, those without rows put to the next; or, to be sorted, all in one.
    fn batches(self, opened: Opened, query: StatsQuery, asked: Asked) -> impl Stream<Item = Result<Batch, Problem>> {
        async_stream::stream! {
            let deadline = opened.client.upstream().deadline();
            let options = self.inner.options.stats.clone();
            let layout = Layout::of(&asked, opened.client.pair().entry().perspective);
            let sort = asked.question.sort;
            let max_rows_in_memory = options.max_rows_in_memory;
            let (client, query, group_by) = (&opened.client, &query, &asked.question.group_by);
            let read = async_stream::stream! {
                let report = match client.stats(query).await {
                    Ok(report) => report,
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                };
                let mut batches = assemble::assemble(query, group_by, report, max_rows_in_memory);
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
                    if count > options.max_rows {
                        return Err(too_many(options.max_rows));
                    }
                    if sort.is_some() && count > max_rows_in_memory {
                        return Err(assemble::too_many_rows(max_rows_in_memory));
                    }
                    held.rows.append(&mut batch.rows);
                    held.checks.append(&mut batch.checks);
                    held.warnings.append(&mut batch.warnings);
                    Ok(())
                });
                if let Err(error) = within {
                    yield Err(self.refused(&opened, error).await);
                    return;
                }
                if sort.is_none() && !held.rows.is_empty() {
                    yield Ok(std::mem::take(&mut held));
                }
            }
            if sort.is_some() {
                held.rows.sort_by(|a, b| compare(a, b, sort, &layout));
            }
            self.learn_from_pull(&opened.stored, Status::Active).await;
            yield Ok(held);
        }
    }
}

fn too_many(max_rows: usize) -> PlatformError {
    PlatformError::unsupported(format!("The table has more than {max_rows} rows."))
        .hint("Ask for a shorter range, fewer dimensions or a filter.")
}

/// Tells how a stream ended, however it does.
struct End {
    form: Form,
    started: Instant,
    rows: usize,
    outcome: &'static str,
    span: Span,
}

impl End {
    fn awaited(form: Form) -> Self {
        Self { form, started: Instant::now(), rows: 0, outcome: "abandoned", span: Span::current() }
    }

    fn has_come_to(&mut self, rows: usize) {
        self.rows = rows;
    }

    fn is(&mut self, outcome: &'static str) {
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
struct Writer {
    form: Form,
    layout: Layout,
    tally: Tally,
}

impl Writer {
    fn start(&self) -> Bytes {
        match self.form {
            Form::Ndjson => Bytes::new(),
            Form::Csv => csv_lines([self.layout.csv_header()]),
        }
    }

    fn rows(&mut self, mut batch: Batch) -> Bytes {
        self.tally.add(&mut batch);
        match self.form {
            Form::Csv => csv_lines(batch.rows.iter().map(|row| self.layout.csv_fields(row))),
            Form::Ndjson => {
                let mut out = Vec::with_capacity(batch.rows.len() * 320);
                for row in &batch.rows {
                    self.layout.write_json(row, &mut out);
                    out.push(b'\n');
                }
                out.into()
            }
        }
    }

    fn end(&self) -> Bytes {
        match self.form {
            Form::Csv => Bytes::new(),
            Form::Ndjson => {
                let mut line = self.layout.summary(&self.tally);
                line.push(b'\n');
                line.into()
            }
        }
    }
}

fn csv_lines(lines: impl IntoIterator<Item = Vec<String>>) -> Bytes {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for line in lines {
        // Writing to memory cannot fail, and every line has as many fields as the header.
        let _ = writer.write_record(line);
    }
    writer.into_inner().unwrap_or_default().into()
}
