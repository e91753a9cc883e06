//! One table of several connections: the connection first in each row's key, totals over all of them by currency.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::echo::{QueryEcho, common_zone};
use super::file::{FailureLine, File, name_of};
use super::layout::{Layout, Summary};
use super::numbers::Totals;
use super::order::{RowPosition, sorted};
use super::page;
use super::query::{Asked, Question};
use super::sheet::{Part, Sheet, connection_value};
use super::stream::{End, Form, Style, TableStream, Writer, too_many};
use super::table::{ConnectionRef, Source};
use super::tally::Integrity;
use super::{MANY_AT_ONCE, Manner, whole};
use crate::connections::service::Connections;
use crate::connections::{Actor, cursor};
use crate::outbound::error::PlatformError;
use crate::platforms::assemble;
use crate::platforms::stats::Warning;
use crate::problem::Problem;

/// What one connection has to say of its part of a merged table.
#[derive(Debug, Serialize, ToSchema)]
pub struct MergedPart {
    /// The connection.
    connection: ConnectionRef,
    /// The question as it was answered.
    query: QueryEcho,
    /// Where the numbers came from.
    source: Source,
    /// What the platform's own totals say.
    integrity: Integrity,
    /// When the table was whole.
    #[schema(value_type = String, format = DateTime)]
    fetched_at: Timestamp,
    /// What should be known about the numbers.
    warnings: Vec<Warning>,
}

impl MergedPart {
    fn of(part: &Part, asked: &Asked) -> Self {
        Self {
            connection: part.now.connection.clone(),
            query: QueryEcho::of(asked, &part.now.terms),
            source: page::source(part),
            integrity: page::integrity(part),
            fetched_at: part.fetched_at(),
            warnings: page::warnings(part),
        }
    }

    /// As a summary has it.
    fn json(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }
}

/// Connections that could not answer, and why.
pub type Failures = Vec<(Uuid, Problem)>;

/// How a failure is reported.
pub type DescribeFailure = Box<dyn Fn(Uuid, &Problem) -> Value + Send + Sync>;

/// How a file of several connections is written.
pub struct MergedFile {
    /// How rows are.
    pub style: Style,
    /// Whether it may lack connections.
    pub is_partial_allowed: bool,
    /// What a failing stream says.
    pub failure_line: FailureLine,
    /// What is said of a connection that could not answer.
    pub describe_failure: DescribeFailure,
}

impl MergedFile {
    /// Whether it has a place to say which connections are not in it, or nobody needs to know.
    const fn may_lack_some(&self) -> bool {
        self.is_partial_allowed || (self.style.form.has_summary() && self.style.summary)
    }
}

/// The name of the file that a question to several connections gives.
pub fn merged_name(question: Question, form: Form) -> String {
    let asked = question.at(Timestamp::now());
    name_of("", &asked, Some(&asked.question.zone), form)
}

impl Connections {
    /// Answers a question about several connections with a page of one table.
    ///
    /// # Errors
    /// A failing database, a cursor of another question, and more rows than are held in memory.
    pub async fn merged_page(
        &self,
        actor: &Actor,
        ids: Vec<Uuid>,
        question: Question,
        manner: &Manner,
        describe_failure: &DescribeFailure,
    ) -> Result<Bytes, Problem> {
        let mut asked = question.at(Timestamp::now());
        let mut named: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        named.sort_unstable();
        let of = cursor::fingerprint(&[actor.organisation.as_str(), "merged", &named.join(" "), &asked.cursor_key()]);
        let after: Option<RowPosition> =
            asked.question.cursor.as_deref().map(|cursor| cursor::decode(&of, cursor)).transpose()?;
        if let Some(range) = after.as_ref().and_then(RowPosition::days) {
            asked.range = range;
        }
        let (parts, failures) = self.parts(actor, ids, &asked, manner, true).await?;
        let failures: Vec<Value> = failures.iter().map(|(id, problem)| describe_failure(*id, problem)).collect();
        let layout = layout(&parts, &asked);
        let connections: Vec<MergedPart> = parts.iter().map(|part| MergedPart::of(part, &asked)).collect();
        let echo = QueryEcho::of_several(&asked, parts.iter().map(|part| &part.now.terms));
        let work = move || {
            let sheet = Sheet::of(&parts, &asked, true);
            let order = sorted(&sheet.rows, asked.question.sort, &layout);
            let mut body = Vec::new();
            page::member(&mut body, b'{', "connections", &connections);
            page::member(&mut body, b',', "query", &echo);
            body.push(b',');
            let encode = |position: &RowPosition| cursor::encode(&of, position);
            page::rows(&sheet, &order, &layout, &asked, after.as_ref(), encode, &mut body);
            page::member(&mut body, b',', "failures", &failures);
            body.push(b'}');
            Bytes::from(body)
        };
        self.inner.heavy.run(actor.organisation.as_str(), work).await
    }

    /// Writes all rows of a question to several connections. A connection that could not answer makes the file fail,
    /// unless the form has a place to say so, or the caller wants the rest anyway.
    ///
    /// # Errors
    /// What [`Self::merged_page`] meets, and the first connection's failure with those of all others.
    pub async fn merged_file(
        &self,
        actor: &Actor,
        ids: Vec<Uuid>,
        question: Question,
        manner: &Manner,
        written: MergedFile,
    ) -> Result<File, Problem> {
        let asked = question.at(Timestamp::now());
        if written.style.form == Form::Ndjson && written.may_lack_some() && asked.question.sort.is_none() {
            return self.merged_stream(actor, ids, asked, manner, written).await;
        }
        let (parts, failures) = self.parts(actor, ids, &asked, manner, false).await?;
        let zone = common_zone(parts.iter().map(|part| &part.now.terms));
        let name = name_of("", &asked, zone, written.style.form);
        let echo = QueryEcho::of_several(&asked, parts.iter().map(|part| &part.now.terms));
        let reported: Vec<Value> =
            failures.iter().map(|(id, problem)| (written.describe_failure)(*id, problem)).collect();
        if let Some((_, problem)) = failures.into_iter().next().filter(|_| !written.may_lack_some()) {
            let hint = "Leave these connections out with connection_id, or take the rest with allow_partial=true.";
            return Err(problem.with("failures", reported).hint(hint));
        }
        let MergedFile { style, failure_line, .. } = written;
        let layout = layout(&parts, &asked);
        let connections: Vec<Value> = parts.iter().filter_map(|part| MergedPart::of(part, &asked).json()).collect();
        let (sheet, order) = self.sheet(actor, parts, asked, layout.clone()).await?;
        let table: TableStream = Box::pin(async_stream::try_stream! {
            let summary = Summary {
                query: &echo,
                row_count: sheet.rows.len(),
                integrity: None,
                warnings: None,
                connections: Some(&connections),
                failures: Some(&reported),
            };
            let mut lines = Box::pin(whole::lines(Writer { style, layout }, &sheet, &order, &summary));
            while let Some(part) = lines.next().await {
                yield part;
            }
        });
        let content = self.content(actor, table, style, failure_line).await?;
        Ok(File { name, content })
    }

    /// The same in no order: the rows of each connection leave as soon as its table is whole. Nobody waits for a slow
    /// one, and of one that fails no row has left.
    async fn merged_stream(
        &self,
        actor: &Actor,
        ids: Vec<Uuid>,
        asked: Asked,
        manner: &Manner,
        MergedFile { style, failure_line, describe_failure, .. }: MergedFile,
    ) -> Result<File, Problem> {
        let (ids, manner) = self.many(actor, ids, manner).await?;
        let name = name_of("", &asked, Some(&asked.question.zone), style.form);
        let (service, owner) = (self.clone(), actor.clone());
        let table: TableStream = Box::pin(async_stream::try_stream! {
            let mut end = End::awaited(style.form);
            let (mut row_count, mut totals) = (0, Totals::default());
            // Each by its place in the question.
            let (mut terms, mut connections, mut failures) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            let mut outcomes = Box::pin(service.outcomes(&owner, ids, &asked, &manner, false));
            while let Some((place, id, outcome)) = outcomes.next().await {
                let part = match outcome {
                    Ok(part) => part,
                    Err(problem) => {
                        failures.insert(place, describe_failure(id, &problem));
                        continue;
                    }
                };
                terms.insert(place, part.now.terms.clone());
                connections.extend(MergedPart::of(&part, &asked).json().map(|connection| (place, connection)));
                let parts = vec![part];
                let layout = layout(&parts, &asked);
                let (sheet, order) = service.sheet(&owner, parts, asked.clone(), layout.clone()).await?;
                totals.absorb(&sheet.totals);
                row_count += order.len();
                let most = service.inner.options.stats.max_rows;
                if row_count > most {
                    Err(Problem::from(too_many(most)))?;
                }
                end.set_rows(row_count);
                let writer = Writer { style, layout };
                for part in whole::rows(&writer, &sheet, &order) {
                    yield part;
                }
            }
            let [connections, failures] = [connections, failures].map(|all| all.into_values().collect::<Vec<Value>>());
            let summary = Summary {
                query: &QueryEcho::of_several(&asked, terms.values()),
                row_count,
                integrity: None,
                warnings: None,
                connections: Some(&connections),
                failures: Some(&failures),
            };
            let mut out = Vec::new();
            Writer { style, layout: layout(&[], &asked) }.end(&summary, &totals, &mut out);
            end.finish_as("whole");
            yield Bytes::from(out);
        });
        let content = self.content(actor, table, style, failure_line).await?;
        Ok(File { name, content })
    }

    /// The tables of all connections that could answer, and why the others could not.
    async fn parts(
        &self,
        actor: &Actor,
        ids: Vec<Uuid>,
        asked: &Asked,
        manner: &Manner,
        is_kept: bool,
    ) -> Result<(Vec<Part>, Failures), Problem> {
        let (ids, manner) = self.many(actor, ids, manner).await?;
        let mut outcomes: Vec<_> = self.outcomes(actor, ids, asked, &manner, is_kept).collect().await;
        outcomes.sort_by_key(|(place, ..)| *place);
        let (mut parts, mut failures) = (Vec::new(), Failures::new());
        for (_, id, outcome) in outcomes {
            match outcome {
                Ok(part) => parts.push(part),
                Err(problem) => failures.push((id, problem)),
            }
        }
        let most = self.inner.options.stats.max_rows_in_memory;
        if parts.iter().map(Part::row_count).sum::<usize>() > most {
            return Err(PlatformError::into(assemble::too_many_rows(most)));
        }
        Ok((parts, failures))
    }

    /// The table of each connection, or why there is none, with its place among them: as they come.
    fn outcomes<'a>(
        &'a self,
        actor: &'a Actor,
        ids: Vec<Uuid>,
        asked: &'a Asked,
        manner: &'a Manner,
        is_kept: bool,
    ) -> impl Stream<Item = (usize, Uuid, Result<Part, Problem>)> + 'a {
        let parts = futures_util::stream::iter(ids.into_iter().enumerate()).map(move |(place, id)| async move {
            let part = if is_kept {
                self.part(actor, id, asked, manner).await.map(|(part, ..)| part)
            } else {
                self.pull_part(actor, id, asked, manner.deadline).await
            };
            let automation = manner.automation.as_deref();
            match &part {
                Ok(_) => self.inner.uses.record(actor, id, automation),
                Err(problem) => self.inner.uses.record_refusal(actor, id, automation, problem),
            }
            (place, id, part)
        });
        parts.buffer_unordered(MANY_AT_ONCE)
    }

    /// Which connections are asked, and by when all of them must have answered.
    pub(super) async fn many(
        &self,
        actor: &Actor,
        ids: Vec<Uuid>,
        manner: &Manner,
    ) -> Result<(Vec<Uuid>, Manner), Problem> {
        let ids = if ids.is_empty() { self.all_ids(actor).await? } else { ids };
        // One deadline for the whole question, and nobody waits behind a slow one.
        let longest = self.longest_deadline();
        let deadline = Some(Instant::now() + manner.own_deadline.unwrap_or(longest));
        Ok((ids, Manner { deadline, ..manner.clone() }))
    }
}

fn layout(parts: &[Part], asked: &Asked) -> Layout {
    let perspectives = parts.iter().map(|part| (connection_value(&part.now).id, part.now.perspective)).collect();
    Layout::of_several(asked, perspectives)
}
