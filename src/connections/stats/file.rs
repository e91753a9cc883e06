//! A table as a file: complete before its first byte leaves where it is short enough, else streamed.
//!
//! Not every proxy and not every reader of a stream notices that it was cut off. A short file cannot be: if its pull
//! fails, the answer is the problem and nothing else.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use deunicode::deunicode;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use tracing::Span;
use uuid::Uuid;

use super::Manner;
use super::files::Gathered;
use super::query::{Asked, Question};
use super::stream::{Form, Style, TableStream};
use crate::connections::service::Connections;
use crate::connections::{Actor, readers};
use crate::platforms::calendar::Zone;
use crate::problem::Problem;
use crate::shares::Owner;

/// The longest file that is complete before its first byte leaves.
const MOST_WHOLE_BYTES: usize = 8 * 1024 * 1024;

/// How long the last line of a failing stream gets to leave: the server drops what it has not sent when a body fails.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Stands where nobody knows which zone the days of a file are in.
const UNKNOWN_ZONE: &str = "unknown-zone";

/// The most letters of a connection's name in the name of a file.
const MAX_NAME_LETTERS: usize = 60;

/// A table on its way out.
pub struct File {
    /// What it should be saved as; ASCII, without anything that has to be quoted.
    pub name: String,
    /// What is in it.
    pub content: Content,
}

/// What is in a file.
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// All of it if it ends; an error breaks the response off.
    Stream(Body),
}

/// The bytes of a stream.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// What a failing stream says in its last line.
pub type FailureLine = Box<dyn Fn(&Problem) -> Vec<u8> + Send>;

impl Connections {
    /// Writes all rows of a question. Returns when the first rows are there, or all of them where the file is to be
    /// whole, so that a pull which fails until then is still a problem with its own status.
    ///
    /// # Errors
    /// Everything that stands between the question and its first rows; for a whole file, its last.
    pub async fn file(
        &self,
        actor: &Actor,
        id: Uuid,
        question: Question,
        manner: &Manner,
        style: Style,
        failure_line: FailureLine,
    ) -> Result<File, Problem> {
        let asked = question.at(Timestamp::now());
        let (opened, query) = self.prepare(actor, id, &asked, self.pull_scope(manner.deadline)).await?;
        let name = name_of(&opened.stored.name, &asked, opened.client.terms(&query).zone.as_ref(), style.form);
        let table: TableStream = if asked.question.compare.is_some() {
            Box::pin(readers::stream(self.clone().compared_lines(actor.clone(), id, asked, manner.deadline, style)))
        } else {
            self.clone().table_stream(opened, query, asked, style)
        };
        let content = self.content(actor, table, style, failure_line).await.inspect_err(|problem| {
            self.inner.uses.record_refusal(actor, id, manner.automation.as_deref(), problem);
        })?;
        self.inner.uses.record(actor, id, manner.automation.as_deref());
        Ok(File { name, content })
    }

    /// The name of the file that a question would give, if it could start as far as that is known without its tracker.
    ///
    /// # Errors
    /// Everything that stands between the question and the first call.
    pub async fn file_name(
        &self,
        actor: &Actor,
        id: Uuid,
        question: Question,
        manner: &Manner,
        form: Form,
    ) -> Result<String, Problem> {
        let asked = question.at(Timestamp::now());
        let (opened, query) = self.prepare(actor, id, &asked, self.pull_scope(manner.deadline)).await?;
        Ok(name_of(&opened.stored.name, &asked, opened.client.terms(&query).zone.as_ref(), form))
    }
}

impl Connections {
    /// What is in a file of these lines, once the first of them are there.
    pub(super) async fn content(
        &self,
        actor: &Actor,
        mut table: TableStream,
        style: Style,
        failure_line: FailureLine,
    ) -> Result<Content, Problem> {
        let first = table.next().await.transpose()?;
        if style.whole {
            let room = self.inner.results.share_of(Owner::of(actor.organisation.as_str()));
            return gather(Gathered::in_room(room), first, table, style.form, failure_line).await;
        }
        Ok(Content::Stream(stream(first.into_iter().collect(), table, style.form, failure_line)))
    }
}

/// Gathers a file. What is too long, or finds no room, is streamed from where that turns out.
async fn gather(
    mut held: Gathered,
    first: Option<Bytes>,
    mut rest: TableStream,
    form: Form,
    failure_line: FailureLine,
) -> Result<Content, Problem> {
    let mut next = first;
    while let Some(part) = next {
        if held.len() + part.len() > MOST_WHOLE_BYTES || held.append(&part).is_err() {
            return Ok(Content::Stream(stream(vec![held.freeze(), part], rest, form, failure_line)));
        }
        next = rest.next().await.transpose()?;
    }
    Ok(Content::Whole(held.freeze()))
}

/// What is there already, and the rest as it comes.
fn stream(first: Vec<Bytes>, mut rest: TableStream, form: Form, failure_line: FailureLine) -> Body {
    let parts = async_stream::stream! {
        for part in first {
            yield Ok(part);
        }
        while let Some(part) = rest.next().await {
            match part {
                Ok(part) => yield Ok(part),
                Err(problem) => {
                    if form == Form::Ndjson {
                        yield Ok(Bytes::from(failure_line(&problem)));
                        tokio::time::sleep(LAST_WORDS).await;
                    }
                    yield Err(std::io::Error::other("the pull failed"));
                    return;
                }
            }
        }
    };
    let mut parts = Box::pin(parts.filter(|part| {
        let is_empty = part.as_ref().is_ok_and(Bytes::is_empty);
        futures_util::future::ready(!is_empty)
    }));
    // The body is written after the handler has returned, and still belongs to its request.
    let span = Span::current();
    Box::pin(futures_util::stream::poll_fn(move |context| {
        let _inside = span.enter();
        parts.as_mut().poll_next(context)
    }))
}

/// Connection, days and the zone they are in, such as `Brand-A_2026-11-16_2026-11-22_Europe-Berlin.csv`.
pub(super) fn name_of(connection: &str, asked: &Asked, zone: Option<&Zone>, form: Form) -> String {
    let range = asked.range;
    let connection: String = plain(connection).chars().take(MAX_NAME_LETTERS).collect();
    let connection = Some(connection.as_str()).filter(|name| !name.is_empty()).unwrap_or("statistics");
    let zone = zone.map_or_else(|| UNKNOWN_ZONE.to_owned(), |zone| plain(zone.name()));
    format!("{connection}_{}_{}_{zone}.{}", range.from(), range.to(), form.key())
}

/// A text in letters and digits, with a hyphen for anything else between them.
fn plain(text: &str) -> String {
    let letters = deunicode(text);
    let words = letters.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::query::tests::asked;
    use super::*;
    use crate::shares::Pool;

    fn table(parts: Vec<Result<Bytes, Problem>>) -> TableStream {
        Box::pin(futures_util::stream::iter(parts))
    }

    fn failure_line() -> FailureLine {
        Box::new(|_| Vec::new())
    }

    fn room(bytes: usize) -> Gathered {
        Gathered::in_room(Pool::new(bytes, bytes).share_of(Owner::of("acme")))
    }

    fn part(bytes: usize) -> Bytes {
        vec![b'x'; bytes].into()
    }

    #[tokio::test]
    async fn a_file_is_whole_up_to_its_bound_and_streamed_beyond_it() {
        let half = MOST_WHOLE_BYTES / 2;
        for (more, is_whole) in [(half, true), (half + 1, false)] {
            let rest = table(vec![Ok(part(more))]);
            match gather(room(usize::MAX), Some(part(half)), rest, Form::Csv, failure_line()).await.expect("a file") {
                Content::Whole(bytes) => assert_eq!((bytes.len(), is_whole), (half + more, true)),
                Content::Stream(body) => {
                    let bytes: usize =
                        body.map(|part| part.expect("bytes").len()).collect::<Vec<_>>().await.iter().sum();
                    assert_eq!((bytes, is_whole), (half + more, false));
                }
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_finds_no_room_is_streamed_and_room_comes_back() {
        let results = Pool::new(10, 10);
        let room = || Gathered::in_room(results.share_of(Owner::of("acme")));
        let gather = || gather(room(), Some(part(6)), table(vec![Ok(part(4))]), Form::Csv, failure_line());
        let first = gather().await.expect("a file");
        assert!(matches!(first, Content::Whole(_)));
        assert!(matches!(gather().await.expect("a file"), Content::Stream(_)));
        drop(first);
        assert!(matches!(gather().await.expect("a file"), Content::Whole(_)));
    }

    #[tokio::test]
    async fn a_short_file_that_fails_is_a_problem_and_nothing_else() {
        let rest = table(vec![Ok(part(1)), Err(Problem::no_connection())]);
        assert!(gather(room(10), Some(part(1)), rest, Form::Csv, failure_line()).await.is_err());
    }

    #[test]
    fn a_file_is_named_after_its_connection_its_days_and_its_zone() {
        let asked = asked("");
        let berlin = Zone::find("Europe/Berlin");
        for (name, file) in [
            ("Brand A", "Brand-A"),
            ("Nordwind Verlag & Söhne", "Nordwind-Verlag-Sohne"),
            ("Северный трафик", "Severnyi-trafik"),
            ("../../etc/passwd\"; x=\"", "etc-passwd-x"),
            ("—", "statistics"),
        ] {
            let expected = format!("{file}_2026-01-01_2026-01-02_Europe-Berlin.csv");
            assert_eq!(name_of(name, &asked, berlin.as_ref(), Form::Csv), expected);
        }
        assert_eq!(name_of("x", &asked, None, Form::Ndjson), "x_2026-01-01_2026-01-02_unknown-zone.ndjson");
    }

    proptest! {
        #[test]
        fn a_name_has_nothing_to_quote(name in "\\PC{0,80}") {
            prop_assert!(plain(&name).bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        }
    }
}
