//! One account and the road to it: how a report is asked for, and all pages of a window.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use jiff::civil::Date;
use secrecy::SecretString;
use tokio::sync::OnceCell;
use url::Url;

use super::super::calendar::DateRange;
use super::super::kind::ConnectionType;
use super::currency::{self, Listed};
use super::refusal::{Judge, Trouble, is_unavailable, is_unknown_id};
use super::tree::Fields;
use super::wire::{self, Table};
use crate::outbound::Upstream;
use crate::outbound::error::{ErrorKind, PlatformError};

/// Rows asked for at once. CAKE allows ten times as many, but those would be too large an answer.
const ROWS_PER_PAGE: usize = 10_000;
/// More pages than this belong to no report that could be used.
const MAX_PAGES: usize = 200;

/// Which of CAKE's APIs a path belongs to; they count the end of a range differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// `/affiliates/api/<Group>/<Report>`. Whether its end is included is not documented, so the last second of the
    /// last day is sent, which is right under both readings.
    Newer,
    /// The `.asmx` services. The end is excluded, so the next midnight is sent.
    Classic,
}

/// One way to ask for a report.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) generation: Generation,
    /// Below the origin.
    pub(super) path: &'static str,
    /// Everything beyond key, dates and paging. Classic services refuse a call that leaves a parameter out.
    pub(super) parameters: &'static [(&'static str, &'static str)],
    /// Whether it takes `start_at_row` and `row_limit`; otherwise all rows come at once.
    pub(super) paged: bool,
}

/// A report by all forms that networks know it in, the best first. The first that a network has is kept to.
pub(super) struct Road {
    forms: &'static [Form],
    /// The names of row elements, without underscores.
    rows: &'static [&'static str],
    place: AtomicUsize,
    /// The longest window that has not been found too long.
    longest: AtomicU32,
}

impl Road {
    /// Starts at the best form, or at the best classic one.
    pub(super) fn new(forms: &'static [Form], rows: &'static [&'static str], classic: bool) -> Self {
        let place = match classic {
            true => forms.iter().position(|form| form.generation == Generation::Classic).unwrap_or_default(),
            false => 0,
        };
        Self { forms, rows, place: AtomicUsize::new(place), longest: AtomicU32::new(u32::MAX) }
    }

    /// Which generation answers, as far as is known.
    pub(super) fn generation(&self) -> Generation {
        let form = self.forms.get(self.place.load(Ordering::Relaxed));
        form.map_or(Generation::Classic, |form| form.generation)
    }
}

/// What is asked of every window of a report.
#[derive(Clone, Copy)]
pub(super) struct ReportRequest<'a> {
    pub(super) road: &'a Road,
    /// Ids that the platform filters by, each under all the parameter names it goes by. A form that declares none of
    /// them sends everything.
    pub(super) pushed: &'a [(&'static [&'static str], &'a str)],
}

/// All rows of one window.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) window: DateRange,
    pub(super) rows: Vec<Fields>,
    pub(super) summary: Option<Fields>,
}

/// What is remembered of a page while the next one is read.
#[derive(Default)]
struct Page {
    first: Option<Fields>,
    length: usize,
    counted: Option<usize>,
}

impl Page {
    /// Whether nothing but a summary that disagrees spoke against this page's being the last of `rows`: then a
    /// network that sends it again has no more.
    fn may_be_all(&self, rows: usize) -> bool {
        self.length < ROWS_PER_PAGE && self.counted.is_none_or(|count| count <= rows)
    }
}

/// One account.
pub(super) struct Api {
    pub(super) judge: Judge,
    origin: Url,
    api_key: SecretString,
    affiliate_id: Option<String>,
    currencies: OnceCell<Option<Listed>>,
}

impl Api {
    pub(super) fn new(
        portal: ConnectionType,
        upstream: Upstream,
        origin: Url,
        api_key: SecretString,
        affiliate_id: Option<String>,
    ) -> Self {
        let judge = Judge { upstream, portal, has_affiliate_id: affiliate_id.is_some() };
        Self { judge, origin, api_key, affiliate_id, currencies: OnceCell::new() }
    }

    /// The road to the account.
    pub(super) fn upstream(&self) -> &Upstream {
        &self.judge.upstream
    }

    /// The affiliate's id, where the connection has one.
    pub(super) fn affiliate_id(&self) -> Option<&str> {
        self.affiliate_id.as_deref()
    }

    /// The names behind the currency ids of these rows. `None` where they have ids and the network keeps their
    /// names to itself.
    pub(super) async fn listed_for(&self, rows: &[Fields]) -> Result<Option<&Listed>, PlatformError> {
        static NONE: Listed = Listed::new();
        let has_ids = rows.iter().any(|row| wire::denomination(row).id.is_some());
        if has_ids { self.currencies().await } else { Ok(Some(&NONE)) }
    }

    async fn currencies(&self) -> Result<Option<&Listed>, PlatformError> {
        let read = || async {
            match self.call("affiliates/api/Lists/Currencies", &[("format", "json")], &["currency"]).await {
                Ok(table) => Ok(Some(currency::listed(&table.rows.unwrap_or_default()))),
                Err(Trouble::Failed(error)) if !is_unavailable(error.kind) => Err(error),
                Err(_) => Ok(None),
            }
        };
        Ok(self.currencies.get_or_try_init(read).await?.as_ref())
    }

    /// The same key, tried at the other portal of the same host.
    pub(super) fn as_portal(&self, portal: ConnectionType) -> Self {
        Self::new(portal, self.upstream().clone(), self.origin.clone(), self.api_key.clone(), None)
    }

    /// The smallest real report: one row of a closed day, judged as any other.
    pub(super) async fn probe(&self, road: &Road, day: Date) -> Result<Table, PlatformError> {
        match self.page(ReportRequest { road, pushed: &[] }, DateRange::day(day), 1, 1).await {
            Ok((table, _)) => Ok(table),
            // No list of CAKE's messages exists. For the simplest request there is, the key is the likeliest reason.
            Err(Trouble::SaidNo(message)) => Err(self.judge.refusal(ErrorKind::CredentialsRejected, &message)),
            Err(trouble) => Err(self.judge.explain(trouble)),
        }
    }

    /// All rows of a window; one that the network finds too long is halved, and so are all after it.
    pub(super) async fn window(
        &self,
        request: ReportRequest<'_>,
        window: DateRange,
    ) -> Result<Vec<Part>, PlatformError> {
        let longest = &request.road.longest;
        let mut parts = Vec::new();
        let mut open = in_reverse(window.windows(longest.load(Ordering::Relaxed)));
        while let Some(window) = open.pop() {
            match self.pages(request, window).await {
                Ok(part) => parts.push(part),
                Err(Trouble::RangeTooLong) if window.len_days() > 1 => {
                    let half = window.len_days().div_ceil(2);
                    longest.fetch_min(half, Ordering::Relaxed);
                    open.extend(in_reverse(window.windows(half)));
                }
                Err(Trouble::SaidNo(message)) if !request.pushed.is_empty() && is_unknown_id(&message) => {
                    parts.push(Part { window, rows: Vec::new(), summary: None });
                }
                Err(trouble) => return Err(self.judge.explain(trouble)),
            }
        }
        Ok(parts)
    }

    /// Reads page after page until the end is proven, and refuses what does not add up.
    async fn pages(&self, request: ReportRequest<'_>, window: DateRange) -> Result<Part, Trouble> {
        let mut part = Part { window, rows: Vec::new(), summary: None };
        let mut last = Page::default();
        for _ in 0..MAX_PAGES {
            let (table, form) = self.page(request, window, part.rows.len() + 1, ROWS_PER_PAGE).await?;
            let rows = table.rows.unwrap_or_default();
            let page = Page { first: rows.first().cloned(), length: rows.len(), counted: table.row_count };
            if page.counted.is_some_and(|count| count < page.length) {
                return Err(self.judge.odd("sends more rows than it counts").into());
            }
            if page.first.is_some() && page.first == last.first {
                return match last.may_be_all(part.rows.len()) {
                    true => Ok(part),
                    false => Err(self.judge.odd("repeats a page instead of sending the next one").into()),
                };
            }
            part.rows.extend(rows);
            part.summary = part.summary.or(table.summary);
            if page.length == 0 || !form.paged || self.is_complete(&part, &page)? {
                let counted = page.counted.max(last.counted).unwrap_or_default();
                return if counted > part.rows.len() {
                    Err(self.rows_missing(counted, &part).into())
                } else {
                    Ok(part)
                };
            }
            last = page;
        }
        Err(self.judge.odd("does not come to an end of its pages").into())
    }

    /// Whether a page was the last. `row_count` is the total on some networks and the page's own on others, and a
    /// page may be shorter than asked; where that leaves a doubt, the summary over all pages settles it.
    fn is_complete(&self, part: &Part, page: &Page) -> Result<bool, PlatformError> {
        let total = page.counted.filter(|count| *count > page.length);
        match (total, &part.summary) {
            (Some(total), _) => Ok(part.rows.len() >= total),
            (None, _) if page.length >= ROWS_PER_PAGE => Ok(false),
            (None, None) => Ok(true),
            (None, Some(summary)) => {
                let check = wire::hold_against(summary, &part.rows).map_err(|malformed| self.judge.odd(malformed.0))?;
                Ok(check.is_none_or(|check| check.mismatch.is_none()))
            }
        }
    }

    /// One page, by the best form the network has.
    async fn page(
        &self,
        request: ReportRequest<'_>,
        window: DateRange,
        start: usize,
        limit: usize,
    ) -> Result<(Table, &'static Form), Trouble> {
        let road = request.road;
        let mut place = road.place.load(Ordering::Relaxed);
        loop {
            let Some(form) = road.forms.get(place) else { return Err(Trouble::NoSuchPath) };
            match self.ask(request, form, window, start, limit).await {
                // A page that suddenly has no path is no reason to go on with another form's second page.
                Err(Trouble::NoSuchPath) if start == 1 => place += 1,
                Err(trouble) => return Err(trouble),
                Ok(table) => {
                    road.place.fetch_max(place, Ordering::Relaxed);
                    return Ok((table, form));
                }
            }
        }
    }

    async fn ask(
        &self,
        request: ReportRequest<'_>,
        form: &Form,
        window: DateRange,
        start: usize,
        limit: usize,
    ) -> Result<Table, Trouble> {
        if form.generation == Generation::Classic && self.judge.lacks_affiliate_id() {
            return Err(self.judge.affiliate_id_required("the network's reports want it on every call").into());
        }
        let (first, last) = bounds(form.generation, window)?;
        let (start, limit) = (start.to_string(), limit.to_string());
        let mut parameters = vec![("start_date", first.as_str()), ("end_date", last.as_str())];
        parameters.extend(form.parameters.iter().map(|(name, value)| {
            let pushed = request.pushed.iter().find(|(names, _)| names.contains(name));
            (*name, pushed.map_or(*value, |(_, id)| *id))
        }));
        if form.paged {
            parameters.extend([("start_at_row", start.as_str()), ("row_limit", limit.as_str())]);
        }
        let table = self.call(form.path, &parameters, request.road.rows).await?;
        self.expect_rows(table)
    }

    /// A table without rows is only empty if the answer says so.
    fn expect_rows(&self, mut table: Table) -> Result<Table, Trouble> {
        if table.rows.is_none() {
            match table.row_count {
                Some(0) => table.rows = Some(Vec::new()),
                Some(_) => return Err(self.judge.odd("counts rows but sends none").into()),
                None => return Err(self.judge.odd("sent an answer that is no report").into()),
            }
        }
        Ok(table)
    }

    /// One call, judged by its status and by what the body says.
    async fn call(&self, path: &str, parameters: &[(&str, &str)], rows: &[&str]) -> Result<Table, Trouble> {
        let mut url = self.origin.clone();
        url.set_path(path);
        {
            let mut pairs = url.query_pairs_mut();
            if let Some(id) = &self.affiliate_id {
                pairs.append_pair("affiliate_id", id);
            }
            pairs.extend_pairs(parameters);
        }
        let answer = self.upstream().get(url).secret_query("api_key", &self.api_key).send().await?;
        self.judge.table(&answer, rows)
    }

    fn rows_missing(&self, announced: usize, part: &Part) -> PlatformError {
        let (host, sent) = (self.upstream().host(), part.rows.len());
        PlatformError::new(ErrorKind::Inconsistent, format!("{host} counts {announced} rows but sent {sent}."))
    }
}

/// First and last moment of a window, as the generation counts them.
fn bounds(generation: Generation, window: DateRange) -> Result<(String, String), PlatformError> {
    let last = match generation {
        Generation::Newer => format!("{} 23:59:59", window.to()),
        Generation::Classic => {
            let next = window.to().tomorrow();
            format!("{} 00:00:00", next.map_err(|_| PlatformError::unsupported("The range ends too late."))?)
        }
    };
    Ok((format!("{} 00:00:00", window.from()), last))
}

/// Windows as a stack whose top is the earliest, so that parts stay in order.
fn in_reverse(mut windows: Vec<DateRange>) -> Vec<DateRange> {
    windows.reverse();
    windows
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_end_is_the_last_second_or_the_next_midnight() {
        let window = DateRange::new(date(2026, 9, 29), date(2026, 9, 30)).expect("a range");
        let both = |first: &str, last: &str| (first.to_owned(), last.to_owned());
        assert_eq!(
            bounds(Generation::Newer, window).expect("bounds"),
            both("2026-09-29 00:00:00", "2026-09-30 23:59:59")
        );
        assert_eq!(
            bounds(Generation::Classic, window).expect("bounds"),
            both("2026-09-29 00:00:00", "2026-10-01 00:00:00")
        );
    }
}
