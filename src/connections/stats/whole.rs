//! Files of tables that have to be whole before their first line: those that are compared with others.

use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use uuid::Uuid;

use super::echo::QueryEcho;
use super::layout::{Layout, Summary};
use super::numbers::Before;
use super::order::{Order, sorted};
use super::page;
use super::query::Asked;
use super::sheet::{Part, Sheet};
use super::stream::{End, Style, Writer};
use crate::connections::service::Connections;
use crate::connections::{Actor, readers};
use crate::problem::Problem;

/// Rows that are written at once.
const ROWS_AT_ONCE: usize = 1_000;

impl Connections {
    /// Pulls the tables that answer a question, and keeps none of them.
    pub(super) async fn pull_part(
        &self,
        actor: &Actor,
        id: Uuid,
        asked: &Asked,
        deadline: Option<Instant>,
    ) -> Result<Part, Problem> {
        let pull = |asked: &Asked| {
            let (service, actor, asked) = (self.clone(), actor.clone(), asked.clone());
            readers::run(async move { service.pull(&actor, id, &asked, deadline).await })
        };
        let now = pull(asked);
        let Some(alignment) = asked.alignment()? else {
            return Ok(Part { now: now.await?.into(), then: None });
        };
        let earlier = asked.then(&alignment);
        let (now, then) = futures_util::try_join!(now, pull(&earlier))?;
        Ok(Part { now: now.into(), then: Some((alignment, then.into())) })
    }

    /// The lines of rows beside what they were before.
    pub(super) fn compared_lines(
        self,
        actor: Actor,
        id: Uuid,
        asked: Asked,
        deadline: Option<Instant>,
        style: Style,
    ) -> impl Stream<Item = Result<Bytes, Problem>> {
        async_stream::try_stream! {
            let part = self.pull_part(&actor, id, &asked, deadline).await?;
            let layout = Layout::of(&asked, part.now.perspective);
            let (integrity, warnings) = (page::integrity(&part), page::warnings(&part));
            let echo = QueryEcho::of(&asked, &part.now.terms);
            let (sheet, order) = self.sheet(&actor, vec![part], asked, layout.clone()).await?;
            let summary = Summary {
                query: &echo,
                row_count: sheet.rows.len(),
                integrity: Some(integrity),
                warnings: Some(warnings),
                connections: None,
                failures: None,
            };
            let mut lines = Box::pin(lines(Writer { style, layout }, &sheet, &order, &summary));
            while let Some(part) = lines.next().await {
                yield part;
            }
        }
    }

    /// The rows that are kept of some connections' tables, and their order, worked out beside the threads that answer.
    pub(super) async fn sheet(
        &self,
        actor: &Actor,
        parts: Vec<Part>,
        asked: Asked,
        layout: Layout,
    ) -> Result<(Sheet<'static>, Order), Problem> {
        let work = move || {
            let sheet = Sheet::of(&parts, &asked, layout.is_of_several());
            let order = match asked.question.sort {
                Some(sort) => sorted(&sheet.rows, Some(sort), &layout),
                None => (0..sheet.rows.len()).collect(),
            };
            (sheet, order)
        };
        self.inner.heavy.run(actor.organisation.as_str(), work).await
    }
}

/// The lines of a sheet, some at a time.
pub(super) fn lines<'a>(
    writer: Writer,
    sheet: &'a Sheet<'_>,
    order: &'a [usize],
    summary: &'a Summary<'_>,
) -> impl Stream<Item = Bytes> + use<'a> {
    async_stream::stream! {
        let mut end = End::awaited(writer.style.form);
        yield Bytes::from(writer.start());
        for part in rows(&writer, sheet, order) {
            yield part;
        }
        end.set_rows(order.len());
        let mut out = Vec::new();
        writer.end(summary, &sheet.totals, &mut out);
        end.finish_as("whole");
        yield Bytes::from(out);
    }
}

/// The lines of a sheet's rows, some at a time.
pub(super) fn rows<'a>(
    writer: &'a Writer,
    sheet: &'a Sheet<'_>,
    order: &'a [usize],
) -> impl Iterator<Item = Bytes> + use<'a> {
    order.chunks(ROWS_AT_ONCE).map(|places| {
        let row = |at: &usize| {
            let before = sheet.before.as_ref().and_then(|before| before.get(*at)).map(Before::shown);
            Some((sheet.rows.get(*at)?, before))
        };
        let rows: Vec<_> = places.iter().filter_map(row).collect();
        let mut out = Vec::new();
        writer.rows(rows.into_iter(), &mut out);
        Bytes::from(out)
    })
}
