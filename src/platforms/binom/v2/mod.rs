//! Binom v2: a REST API below `/public/api/v1`.
//!
//! One entity is asked for with `stats/{entity}`, which gives ids and ends in a row of totals with the number of rows;
//! several at once, and countries, with `report/{page}`, which wants the ids of the page's entities listed and answers
//! a flat, depth-first list. Groupings by day, by hour and by traffic source are unproven: days and hours are windows of
//! their own until the installation has proven that it groups by them (`native`), and a traffic source is the only id of
//! its page.

mod names;
mod native;
mod plan;
mod road;

#[cfg(fuzzing)]
pub(super) use self::names::fuzz as fuzz_names;

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use compact_str::CompactString;
use jiff::Timestamp;
use secrecy::SecretString;
use url::Url;

use super::super::calendar::{DateRange, Zone};
use super::super::learned::Sizes;
use super::super::stats::{Against, Check, Dimension, DimensionValue, Metrics};
use super::super::words::speaks_of_addresses;
use super::countries;
use super::report::{Outline, Part};
use super::windows::{Grain, Wording, cut};
use super::wire::{self, Entity, Nested, Totals};
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{Answer, Upstream};

use self::road::grouping;

pub(super) use names::{Known, Names};
pub(super) use plan::report;

pub(super) const KEY_HINT: &str =
    "In Binom, open Settings → User (v1: Settings, at the bottom of the page, block API) and copy the API key again.";

/// Rows asked for at once, as many as every source on the matter allows, and what is tried where an installation takes
/// fewer.
pub(super) const PAGE_ROWS: &[u32] = &[1_000, 500, 100, 25];

/// What is remembered of installations that take fewer.
pub(super) struct Pages;

/// What answers at an address.
pub(super) enum Greeting {
    /// Binom v2, which knows the key as this user's, if it says.
    Binom { user: Option<String> },
    /// Something else.
    Stranger,
}

/// The API of one installation.
#[derive(Clone)]
pub(super) struct Api {
    upstream: Upstream,
    root: String,
    key: SecretString,
    pages: Sizes,
    /// What the installation is known to call days and hours.
    times: Known,
    /// What they are called in the questions of this copy.
    named: Names,
}

impl Api {
    pub(super) fn new(upstream: Upstream, base: &str, key: SecretString, pages: Sizes, times: Known) -> Self {
        Self { upstream, root: format!("{base}/public/api/v1"), key, pages, times, named: Names::default() }
    }

    /// Finds out whether this is Binom v2, and whether it accepts the key.
    pub(super) async fn greet(&self) -> Result<Greeting, PlatformError> {
        let answer = self.ask("user/role", &[]).await?;
        let envelope = wire::envelope(&answer.body);
        match (answer.status.as_u16(), envelope) {
            (200, _) => Ok(match wire::user_role(&answer.body) {
                Some(user) => Greeting::Binom { user: Some(self.upstream.quote(&user)) },
                None => Greeting::Stranger,
            }),
            // Builds that do not have this call, or not for every user, have an older one.
            (403 | 404, Some(_)) => self.greet_older_build().await,
            (500, None) => Err(answer.failing(&self.upstream.host())),
            (_, Some(words)) => Err(self.refusal(&answer, Some(&words))),
            (_, None) => Ok(Greeting::Stranger),
        }
    }

    async fn greet_older_build(&self) -> Result<Greeting, PlatformError> {
        let answer = self.ask("date_preset/list", &[]).await?;
        if answer.status.is_success() && wire::is_date_presets(&answer.body) {
            return Ok(Greeting::Binom { user: None });
        }
        match wire::envelope(&answer.body) {
            Some(words) if answer.status != 404 => Err(self.refusal(&answer, Some(&words))),
            _ => Ok(Greeting::Stranger),
        }
    }

    /// Reads the smallest report there is: one campaign of today.
    pub(super) async fn prove_reporting(&self) -> Result<(), PlatformError> {
        let utc = Zone::utc();
        let today = DateRange::day(utc.date_at(Timestamp::now()));
        for window in cut(&utc, today, Grain::Whole)? {
            self.totals(&window.wording()).await?;
        }
        Ok(())
    }

    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Answer, PlatformError> {
        let mut url = Url::parse(&format!("{}/{path}", self.root))
            .map_err(|_| PlatformError::new(ErrorKind::InvalidUrl, "The connection's address cannot be read."))?;
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        self.upstream.get(url).secret_header("api-key", &self.key)?.send().await
    }

    async fn read(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Bytes, PlatformError> {
        let answer = self.ask(path, parameters).await?;
        if answer.status.is_success() && !wire::is_page(&answer.body) {
            return Ok(answer.body);
        }
        let words = wire::envelope(&answer.body);
        Err(self.refusal(&answer, words.as_deref()))
    }

    fn refusal(&self, answer: &Answer, words: Option<&str>) -> PlatformError {
        let host = self.upstream.host();
        let status = answer.status.as_u16();
        let said = match words.map(|words| self.upstream.quote(words)) {
            Some(words) if !words.is_empty() => format!(": {words}"),
            _ => ".".to_owned(),
        };
        match (status, words.is_some()) {
            (401 | 403, _) if words.is_some_and(speaks_of_addresses) => {
                self.upstream.ip_not_allowed(format!("Binom at {host} does not let this service's address in{said}"))
            }
            (401, _) => PlatformError::new(
                ErrorKind::CredentialsRejected,
                format!("Binom at {host} does not accept the API key{said}"),
            )
            .hint(KEY_HINT),
            (403, true) => PlatformError::new(
                ErrorKind::InsufficientPermissions,
                format!("Binom at {host} does not let this key's user read statistics{said}"),
            )
            .hint("Ask the owner of the tracker to give this user access to statistics, or use the owner's key."),
            (500, _) => PlatformError::new(ErrorKind::Failing, format!("Binom at {host} failed{said}")),
            (400, true) if words.is_some_and(is_about_pages) => {
                PlatformError::unsupported(format!("Binom at {host} does not take pages of so many rows{said}"))
            }
            (_, true) => PlatformError::bad_response(format!("Binom at {host} answered {status}{said}")),
            (_, false) => PlatformError::new(
                ErrorKind::NotThisPlatform,
                format!("{host} does not answer like Binom v2 (status {status})."),
            )
            .hint("Check the address. If the tracker has been moved or updated to another generation, verify again."),
        }
    }

    fn odd(&self, odd: &wire::Odd) -> PlatformError {
        PlatformError::bad_response(format!(
            "The answer of Binom at {} is not understood: {odd}.",
            self.upstream.host()
        ))
    }

    fn inconsistent(&self, what: &str) -> PlatformError {
        PlatformError::new(
            ErrorKind::Inconsistent,
            format!("The answers of Binom at {} disagree: {what}", self.upstream.host()),
        )
    }

    /// The codes of the countries the tracker names in its own way; none on a build that does not list them.
    async fn country_codes(&self) -> Result<HashMap<String, String>, PlatformError> {
        let answer = self.ask("geo/country", &[]).await?;
        let codes = answer.status.is_success().then(|| wire::country_codes(&answer.body)).flatten();
        Ok(codes.unwrap_or_default())
    }

    /// The totals of the whole tracker; `None` where it has no data.
    async fn totals(&self, period: &Wording) -> Result<Option<Metrics>, PlatformError> {
        let page = self.entity_page("campaign", period, 1, 0).await?;
        match page.totals {
            Some(totals) => Ok(Some(totals.metrics)),
            None if page.rows.is_empty() => Ok(None),
            None => Err(PlatformError::bad_response(format!(
                "The answer of Binom at {} lacks its row of totals.",
                self.upstream.host()
            ))),
        }
    }

    async fn entity_page(
        &self,
        entity: &str,
        period: &Wording,
        limit: usize,
        offset: usize,
    ) -> Result<wire::EntityPage, PlatformError> {
        let (limit, offset) = (limit.to_string(), offset.to_string());
        let mut parameters = paging(&limit, &offset);
        parameters.extend(dates(period));
        let body = self.read(&format!("stats/{entity}"), &parameters).await?;
        wire::entity_page(&body).map_err(|odd| self.odd(&odd))
    }

    /// All entities of a kind with their numbers, and the totals beside them.
    async fn entities(&self, entity: &str, period: &Wording) -> Result<(Vec<Entity>, Option<Totals>), PlatformError> {
        self.in_pages(|size| self.entities_by(size, entity, period)).await
    }

    /// Reads in pages of as many rows as the installation takes.
    async fn in_pages<T, F>(&self, read: impl Fn(usize) -> F) -> Result<T, PlatformError>
    where
        F: Future<Output = Result<T, PlatformError>>,
    {
        loop {
            let size = self.pages.current();
            match read(usize::try_from(size).unwrap_or(usize::MAX)).await {
                // Nothing else is refused so here.
                Err(error) if error.kind == ErrorKind::Unsupported && self.pages.step_down(size) => {}
                outcome => return outcome,
            }
        }
    }

    async fn entities_by(
        &self,
        size: usize,
        entity: &str,
        period: &Wording,
    ) -> Result<(Vec<Entity>, Option<Totals>), PlatformError> {
        let mut rows: Vec<Entity> = Vec::new();
        let mut known: HashSet<String> = HashSet::new();
        let mut totals: Option<Totals> = None;
        let mut offset = 0;
        loop {
            let page = self.entity_page(entity, period, size, offset).await?;
            totals = page.totals.or(totals);
            let received = page.rows.len();
            let before = rows.len();
            offset += received;
            // Figures move between two pages, and a row may move with them onto the next.
            rows.extend(page.rows.into_iter().filter(|row| known.insert(row.id.clone())));
            let complete = match totals.and_then(|totals| totals.count) {
                Some(count) => rows.len() >= count,
                None => received < size,
            };
            if complete || received == 0 {
                break;
            }
            if rows.len() == before {
                return Err(self.inconsistent("a page came twice."));
            }
        }
        match totals.and_then(|totals| totals.count) {
            Some(count) if count != rows.len() => {
                Err(self
                    .inconsistent(&format!("it counts {count} rows of {entity}, but its pages hold {}.", rows.len())))
            }
            _ => Ok((rows, totals)),
        }
    }

    /// A nested report over the given ids of a page's entities, all of its pages.
    async fn nested(
        &self,
        page: &str,
        ids: &[CompactString],
        groupings: &[Dimension],
        period: &Wording,
    ) -> Result<Part, PlatformError> {
        self.in_pages(|size| self.nested_by(size, page, ids, groupings, period)).await
    }

    async fn nested_by(
        &self,
        size: usize,
        page: &str,
        ids: &[CompactString],
        groupings: &[Dimension],
        period: &Wording,
    ) -> Result<Part, PlatformError> {
        let mut outline = Outline::new(groupings, meaning);
        let mut totals: Option<Totals> = None;
        let mut previous = Bytes::new();
        let mut pages = 0;
        let mut offset = 0;
        loop {
            let body = self.nested_body(page, ids, groupings, period, (size, offset)).await?;
            let read = wire::nested_page(&body).map_err(|odd| self.odd(&odd))?;
            totals = totals.or(read.totals);
            if read.rows.is_empty() {
                break;
            }
            if previous == body {
                return Err(self.inconsistent("a page came twice."));
            }
            for row in &read.rows {
                outline.push(row).ok_or_else(|| self.misplaced())?;
            }
            pages += 1;
            let outermost = read.rows.iter().filter(|row| row.level == 1).count();
            let short = differences(&outline, totals.as_ref()).any(|check| check.mismatch.is_some());
            match next_page(size, read.rows.len(), outermost, short) {
                Some(step) => offset += step,
                None => break,
            }
            previous = body;
        }
        let checks: Vec<Check> = differences(&outline, totals.as_ref()).collect();
        // Nothing else shows whether a row was lost or doubled between two pages.
        match checks.iter().find_map(|check| check.mismatch.as_deref()) {
            Some(mismatch) if pages > 1 => return Err(self.inconsistent(mismatch)),
            _ => {}
        }
        Ok(Part { lines: outline.into_lines(), checks })
    }

    async fn nested_body(
        &self,
        page: &str,
        ids: &[CompactString],
        groupings: &[Dimension],
        period: &Wording,
        (limit, offset): (usize, usize),
    ) -> Result<Bytes, PlatformError> {
        let (limit, offset) = (limit.to_string(), offset.to_string());
        let mut parameters = paging(&limit, &offset);
        parameters.extend(dates(period));
        parameters.extend(ids.iter().map(|id| ("ids[]", id.as_str())));
        let name = |dimension: &Dimension| grouping(*dimension).or_else(|| self.named.get(*dimension));
        parameters.extend(groupings.iter().filter_map(|dimension| Some(("groupings[]", name(dimension)?))));
        self.read(&format!("report/{page}"), &parameters).await
    }

    fn misplaced(&self) -> PlatformError {
        PlatformError::bad_response(format!(
            "A row in the answer of Binom at {} stands at an impossible level.",
            self.upstream.host()
        ))
    }
}

fn dates(period: &Wording) -> [(&str, &str); 4] {
    [("datePreset", "custom_time"), ("dateFrom", &period.from), ("dateTo", &period.to), ("timezone", &period.timezone)]
}

fn paging<'a>(limit: &'a str, offset: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("sortColumn", "clicks"), ("sortType", "desc"), ("limit", limit), ("offset", offset)]
}

/// How much further the next page of a nested report begins, if there is one.
///
/// Whether a limit counts all rows or the outermost ones is not written anywhere, but a page shows it: one with more
/// rows than asked for counts the outermost ones. A page with fewer is the last, unless the sums speak of more: then
/// the tracker may allow less than was asked for.
fn next_page(size: usize, rows: usize, outermost: usize, short: bool) -> Option<usize> {
    match rows.cmp(&size) {
        Ordering::Less => short.then_some(rows),
        Ordering::Equal => Some(size),
        Ordering::Greater => (outermost == size).then_some(size),
    }
}

/// Whether a refusal is about the length of a page.
fn is_about_pages(words: &str) -> bool {
    words.to_ascii_lowercase().contains("limit")
}

/// The deepest rows held against the outermost ones, and those against the totals.
fn differences(outline: &Outline<'_>, totals: Option<&Totals>) -> impl Iterator<Item = Check> {
    let inner = wire::check(outline.leaves(), outline.roots(), "the rows above them say", Against::SameSource);
    let outer =
        totals.map(|totals| wire::check(outline.roots(), &totals.metrics, "Binom's totals say", Against::Independent));
    std::iter::once(inner).chain(outer)
}

/// What a row of a nested report stands for. Traffic that belongs to no entity has no id, or a zero and no name.
fn meaning(dimension: Dimension, row: &Nested) -> Option<DimensionValue> {
    let nameless = row.name.trim().is_empty();
    Some(match (dimension, row.id.as_deref()) {
        (Dimension::Country, _) => countries::read(&row.name),
        (Dimension::Date, _) => return names::day(&row.name),
        (Dimension::Hour, _) => return names::hour(&row.name),
        // Every letter of what a link carried counts.
        (Dimension::Sub(_), _) => DimensionValue::plain(row.name.as_str()),
        (_, Some(id)) if id != "0" || !nameless => DimensionValue::new(id, &row.name),
        (_, _) => DimensionValue::unknown(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_whatever_a_limit_counts() {
        // All rows: a full page may have a successor, any other is the last.
        assert_eq!(next_page(1_000, 1_000, 40, false), Some(1_000));
        assert_eq!(next_page(1_000, 999, 40, false), None);
        // The outermost rows: the page has more rows than asked for.
        assert_eq!(next_page(1_000, 2_500, 1_000, false), Some(1_000));
        assert_eq!(next_page(1_000, 2_500, 900, false), None);
        // A limit that is not heeded at all, and one that is cut.
        assert_eq!(next_page(1_000, 9_000, 4_000, false), None);
        assert_eq!(next_page(1_000, 100, 40, true), Some(100));
    }
}
