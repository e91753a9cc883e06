//! Tables as streams: all rows, one page of the tracker in memory at a time.
//!
//! A stream fails as a whole: after an error its body ends without the terminating chunk, so that nothing takes it
//! for complete.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use uuid::Uuid;

use super::query::{Asked, Question};
use super::table::{Layout, Tally, compare};
use super::{Manner, Refusal, out_of_time};
use crate::connections::service::{Connections, Opened};
use crate::connections::{Actor, Status};
use crate::platforms::assemble;
use crate::platforms::error::PlatformError;
use crate::platforms::stats::{Batch, Row, StatsQuery};
use crate::problem::Problem;

/// The form of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line, and a summary at the end.
    Ndjson,
    /// RFC 4180, with a header line.
    Csv,
}

/// The bytes of a stream; an error breaks the response off.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// What a failing stream says in its last line.
pub type Tell = Box<dyn Fn(&Problem) -> Vec<u8> + Send>;

enum Part {
    Rows(Vec<Row>),
    End,
}

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
        let row = self.live(&actor.organisation, id).await?;
        let opened = self.open_row(&actor.organisation, row, self.pull_scope())?;
        let options = &self.inner.options.stats;
        let query = asked.for_client(opened.client.pair(), options.max_range_days)?;
        let layout = Layout::of(&asked, opened.client.pair().entry().perspective);
        self.inner.uses.record(actor, id, manner.automation.as_deref());

        let mut parts = Box::pin(self.clone().parts(actor.clone(), opened, query, asked));
        let first = parts.next().await.transpose()?;
        let lines = async_stream::stream! {
            let mut writer = Writer { form, layout, tally: Tally::default() };
            yield Ok(writer.start());
            let mut next = first.map(Ok);
            while let Some(part) = next {
                match part {
                    Ok((Part::Rows(rows), mut batch)) => {
                        let bytes = writer.rows(rows, &mut batch);
                        if !bytes.is_empty() {
                            yield Ok(bytes);
                        }
                    }
                    Ok((Part::End, _)) => yield Ok(writer.end()),
                    Err(problem) => {
                        if form == Form::Ndjson {
                            yield Ok(Bytes::from(tell(&problem)));
                        }
                        yield Err(std::io::Error::other("the pull failed"));
                        return;
                    }
                }
                next = parts.next().await;
            }
        };
        Ok(Box::pin(lines.filter(|part| {
            let empty = part.as_ref().is_ok_and(Bytes::is_empty);
            futures_util::future::ready(!empty)
        })))
    }

    /// The rows of a pull as they come in, or sorted at the end; then [`Part::End`].
    fn parts(
        self,
        actor: Actor,
        opened: Opened,
        query: StatsQuery,
        asked: Asked,
    ) -> impl Stream<Item = Result<(Part, Batch), Problem>> {
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
            let mut held: Vec<Row> = Vec::new();
            let mut count = 0;
            loop {
                let batch = match tokio::time::timeout_at(deadline.into(), read.next()).await {
                    Err(_) => Err(out_of_time(&opened)),
                    Ok(None) => break,
                    Ok(Some(batch)) => batch,
                };
                let within = batch.and_then(|mut batch| {
                    count += batch.rows.len();
                    if count > options.max_rows {
                        return Err(too_many(options.max_rows));
                    }
                    if sort.is_some() {
                        held.append(&mut batch.rows);
                        if held.len() > options.max_rows_in_memory {
                            return Err(assemble::too_many_rows(options.max_rows_in_memory));
                        }
                    }
                    Ok(batch)
                });
                match within {
                    Ok(mut batch) => {
                        let rows = std::mem::take(&mut batch.rows);
                        yield Ok((Part::Rows(rows), batch));
                    }
                    Err(error) => {
                        let problem = match Refusal::from(error) {
                            Refusal::Platform(error) => self.refused(&actor, &opened, error).await,
                            Refusal::Question(problem) => problem,
                        };
                        yield Err(problem);
                        return;
                    }
                }
            }
            if sort.is_some() {
                held.sort_by(|a, b| compare(a, b, sort, &layout));
                yield Ok((Part::Rows(std::mem::take(&mut held)), Batch::default()));
            }
            self.learn_from_pull(&actor.organisation, &opened.row, Status::Active).await;
            yield Ok((Part::End, Batch::default()));
        }
    }
}

fn too_many(max_rows: usize) -> PlatformError {
    PlatformError::unsupported(format!("The table has more than {max_rows} rows."))
        .hint("Ask for a shorter range, fewer dimensions or a filter.")
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

    fn rows(&mut self, rows: Vec<Row>, batch: &mut Batch) -> Bytes {
        batch.rows = rows;
        self.tally.add(batch);
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
