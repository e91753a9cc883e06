//! Calls to one panel, in the dialect and with the columns that it has.
//!
//! How a request is put:
//! 1. In the dialect that worked last, else in the documented one, with every column.
//! 2. A column that the panel refuses is left out and the request asked again, if a report can do without it.
//! 3. An answer counts only where its first row has every column that was asked for: a panel that ignores members it
//!    does not know answers with one row of totals.
//! 4. A request that is not accepted, or answered without its columns, is put once in the other dialect. So is one
//!    that finds nothing while it is not yet known which dialect the panel understands.

use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;
use url::Url;

use super::super::learned::Sizes;
use super::columns::is_optional;
use super::refusal;
use super::request::{Asked, Dialect, ReportRequest};
use super::wire::{self, Odd, Page};
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{Answer, Upstream};

/// Rows asked for at once, and what is tried where a panel finds that too many.
pub(super) const PAGE_ROWS: &[u32] = &[5_000, 1_000, 500, 100, 25];

/// What is remembered of panels that take fewer.
pub(super) struct Pages;

/// How often one request is put with fewer columns or rows.
const MOST_CONCESSIONS: usize = 16;

/// How long a verification waits for something it can do without.
const OPTIONAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Refused {
    /// The panel lacks a column that rows are told apart by, or writes it in a way of its own.
    Column(&'static str),
    Other(PlatformError),
}

impl From<PlatformError> for Refused {
    fn from(error: PlatformError) -> Self {
        Self::Other(error)
    }
}

/// What was found out about a panel while it was asked.
#[derive(Debug, Clone)]
struct Habits {
    /// The dialect that worked last.
    dialect: Option<Dialect>,
    /// Columns that the panel does not have.
    lacking: Vec<&'static str>,
}

/// One panel, asked with one key.
pub(super) struct Panel {
    upstream: Upstream,
    root: String,
    key: SecretString,
    habits: Mutex<Habits>,
    pages: Sizes,
}

/// How a request fared in one dialect.
enum Fared<T> {
    /// Rows came.
    Answered(T),
    /// No rows came, which may also mean that the request was not understood.
    Empty(T),
    /// The first row lacks columns; whether a report can do without them.
    Lacking(Vec<&'static str>, bool),
    /// The request was not accepted, in the panel's words.
    NotAccepted(String),
}

impl Panel {
    pub(super) fn new(
        upstream: Upstream,
        base: &str,
        key: SecretString,
        dialect: Option<Dialect>,
        pages: Sizes,
    ) -> Self {
        let habits = Mutex::new(Habits { dialect, lacking: Vec::new() });
        Self { upstream, root: format!("{base}/admin_api/v1"), key, habits, pages }
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The dialect that the panel is known to understand.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        self.habits().dialect
    }

    /// The columns that the panel turned out not to have.
    pub(super) fn lacking(&self) -> Vec<&'static str> {
        self.habits().lacking
    }

    fn habits(&self) -> Habits {
        self.habits.lock().clone()
    }

    fn learn(&self, change: impl FnOnce(&mut Habits)) {
        change(&mut self.habits.lock());
    }

    fn record_lacking(&self, columns: &[&'static str]) {
        self.learn(|habits| {
            let new = columns.iter().filter(|column| !habits.lacking.contains(column)).copied().collect::<Vec<_>>();
            habits.lacking.extend(new);
        });
    }

    /// Puts a request and reads the answer with `read`, which gets the columns it was asked with.
    pub(super) async fn ask<T>(
        &self,
        request: &ReportRequest,
        read: impl Fn(&Page<'_>, &Asked) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let known = self.dialect();
        let first = known.unwrap_or(Dialect::Grouping);
        let mut nothing = None;
        let mut objection = None;
        let mut lesser = None;
        for dialect in [first, first.other()] {
            match self.ask_in(dialect, request, &read).await? {
                Fared::Answered(answer) => {
                    self.learn(|habits| habits.dialect = Some(dialect));
                    return Ok(answer);
                }
                Fared::Empty(answer) if known == Some(dialect) => return Ok(answer),
                Fared::Empty(answer) => nothing = nothing.or(Some(answer)),
                Fared::Lacking(columns, true) => lesser = lesser.or(Some((dialect, columns))),
                Fared::Lacking(columns, false) => {
                    objection = objection.or_else(|| Some(format!("no column {}", columns.join(", "))));
                }
                Fared::NotAccepted(words) => objection = objection.or(Some(words)),
            }
        }
        if let Some(answer) = nothing {
            return Ok(answer);
        }
        if let Some((dialect, columns)) = lesser {
            self.record_lacking(&columns);
            if let Fared::Answered(answer) | Fared::Empty(answer) = self.ask_in(dialect, request, &read).await? {
                self.learn(|habits| habits.dialect = Some(dialect));
                return Ok(answer);
            }
        }
        Err(refusal::not_accepted(&self.upstream, &objection.unwrap_or_default()).into())
    }

    async fn ask_in<T>(
        &self,
        dialect: Dialect,
        request: &ReportRequest,
        read: impl Fn(&Page<'_>, &Asked) -> Result<T, Refused>,
    ) -> Result<Fared<T>, Refused> {
        for _ in 0..MOST_CONCESSIONS {
            let habits = self.habits();
            let rows = self.pages.current();
            let asked = request.without(&habits.lacking, usize::try_from(rows).unwrap_or(usize::MAX));
            let body = request
                .body(&asked, dialect)
                .map_err(|_| PlatformError::unsupported("The question cannot be written as JSON."))?;
            let answer = self.post("report/build", body).await?;
            if answer.status.is_success() {
                return self.judge(&answer, &asked, &read);
            }
            let Some(words) = objection(&answer) else { return Err(refusal::refusal(&self.upstream, &answer).into()) };
            let columns = wire::refused(&words, asked.parts().into());
            if let Some(column) = columns.iter().find(|column| !is_optional(column)) {
                return Err(Refused::Column(column));
            }
            if !columns.is_empty() {
                self.record_lacking(&columns);
            } else if !wire::is_about(&words, "limit") {
                return Ok(Fared::NotAccepted(words));
            } else if !self.pages.step_down(rows) {
                return Ok(Fared::NotAccepted(format!("{words} (a page of {rows} rows)")));
            }
        }
        Ok(Fared::NotAccepted("one column after another is refused".to_owned()))
    }

    /// Whether an answer is one to this request, and what it says.
    fn judge<T>(
        &self,
        answer: &Answer,
        asked: &Asked,
        read: impl Fn(&Page<'_>, &Asked) -> Result<T, Refused>,
    ) -> Result<Fared<T>, Refused> {
        if answer.is_html() {
            return Err(refusal::foreign(&self.upstream.host(), answer.status.as_u16()).into());
        }
        let text = wire::text_of(&answer.body);
        let page = Page::read(&text).map_err(|odd| self.odd(&odd))?;
        let missing = page.missing(&asked.columns).map_err(|odd| self.odd(&odd))?;
        if !missing.is_empty() {
            let is_bearable = missing.iter().all(|column| is_optional(column));
            return Ok(Fared::Lacking(missing, is_bearable));
        }
        let is_empty = page.len() == 0;
        read(&page, asked).map(if is_empty { Fared::Empty } else { Fared::Answered })
    }

    /// The error of an answer that is not understood.
    pub(super) fn odd(&self, odd: &Odd) -> PlatformError {
        PlatformError::bad_response(format!(
            "The answer of Keitaro at {} is not understood: {odd}.",
            self.upstream.host()
        ))
    }

    /// The error of answers that disagree with each other or with the request.
    pub(super) fn inconsistent(&self, what: &str) -> PlatformError {
        PlatformError::new(
            ErrorKind::Inconsistent,
            format!("The answers of Keitaro at {} disagree: {what}.", self.upstream.host()),
        )
    }

    /// Whether the key reads a list, as far as the panel says so in time.
    pub(super) async fn lists(&self, what: &str) -> Option<bool> {
        let answer = tokio::time::timeout(OPTIONAL_TIMEOUT, self.get(what)).await.ok()?.ok()?;
        match answer.status.as_u16() {
            200 => wire::is_list(&answer.body).then_some(true),
            401 | 403 => wire::error(&answer.body).map(|_| false),
            _ => None,
        }
    }

    async fn get(&self, path: &str) -> Result<Answer, PlatformError> {
        self.upstream.get(self.url(path)?).secret_header("api-key", &self.key)?.send().await
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Answer, PlatformError> {
        self.upstream.post_json(self.url(path)?, body).secret_header("api-key", &self.key)?.send().await
    }

    fn url(&self, path: &str) -> Result<Url, PlatformError> {
        Url::parse(&format!("{}/{path}", self.root))
            .map_err(|_| PlatformError::new(ErrorKind::InvalidUrl, "The connection's address cannot be read."))
    }
}

/// What an answer objects to in the request itself, in the panel's words.
fn objection(answer: &Answer) -> Option<String> {
    let words = match answer.status.as_u16() {
        400 | 406 | 422 => wire::objection(&answer.body)?,
        _ => return None,
    };
    (!refusal::is_about_the_key(&words)).then_some(words)
}
