//! Reading `/3.0/stats/custom`, the one report behind both portals.
//!
//! A range is cut into windows, because the server answers about six months at most and has been seen to answer long
//! ranges with nothing at all. A window's first page says how many calls the window takes. Where the first window is so
//! short that the whole range most likely fits into the calls that are allowed, its rows go out while the other windows
//! are opened, and the bound on calls ends the report if it does not; otherwise every window is opened before it starts. There is no cursor, so rows can move from page
//! to page while they are read; what was gathered of a window is therefore held against the number of rows the server
//! says there are.
//!
//! No `fields[]` are named, because a zero could then mean "not asked for". Rows are ordered by time only: orders by
//! metric fail on some networks. Filters are left to the caller, because some networks answer an entity's slice with
//! an entity's filter by an empty table.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::quality::RandomState;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::super::assemble::Sums;
use super::super::calendar::{DateRange, Zone};
use super::super::kind::ConnectionType;
use super::super::stats::{Against, Batch, Check, Dimension, DimensionValue, Key, Report, Row, StatsQuery};
use super::rows::{Page, Reading, Slice};
use super::{Api, LIMITS, Refusal};
use crate::outbound::error::{ErrorKind, PlatformError};

const PATH: &str = "/3.0/stats/custom";
/// Pages that are asked for ahead; how many of them are under way is for the limits to say.
const PAGES_AT_ONCE: usize = LIMITS.most_at_once();
/// Pages from this size on are read beside the threads that answer requests.
const LONG_BODY_BYTES: usize = 128 * 1024;
/// Rows that memory is reserved for when a window is opened, however many are announced.
const MOST_EXPECTED_ROWS: u64 = 1 << 20;
/// A refused window longer than this is tried once more at half its length.
const LONG_WINDOW_DAYS: u32 = 31;
/// How many times as long as the first window the average one may be: only if all windows together still fit into the
/// calls that are allowed, nobody waits until they are opened.
const UNEVENNESS: u64 = 4;

/// Plans and starts a report.
pub(super) async fn read<'a>(
    api: &'a Api,
    portal: ConnectionType,
    query: &'a StatsQuery,
) -> Result<Report<'a>, PlatformError> {
    let slices = query.dimensions.iter().map(|dimension| slice(*dimension, portal)).collect::<Result<_, _>>()?;
    let request = Arc::new(ReportRequest { api, portal, slices, zone: query.zone.name(), most_rows: None });
    let windows = request.open_windows(query.range).await?;
    let unique_keys = windows.count == 1 || query.has(Dimension::Date);
    Ok(Report { unique_keys, batches: request.batches(windows) })
}

/// The smallest real report: one row of today.
pub(super) async fn probe(api: &Api, portal: ConnectionType) -> Result<(), PlatformError> {
    let today = DateRange::day(Zone::utc().date_at(Timestamp::now()));
    let request = ReportRequest { api, portal, slices: Arc::from([Slice::Date]), zone: "UTC", most_rows: Some(1) };
    request.page(today, 1).await.map(drop).map_err(|refusal| api.explain(refusal))
}

/// The slice behind a dimension. An affiliate's key must not even ask for the network's.
fn slice(dimension: Dimension, portal: ConnectionType) -> Result<Slice, PlatformError> {
    match (dimension, portal) {
        (Dimension::Date, _) => Ok(Slice::Date),
        (Dimension::Hour, _) => Ok(Slice::Hour),
        (Dimension::Offer, _) => Ok(Slice::Offer),
        (Dimension::Country, _) => Ok(Slice::Country),
        (Dimension::Sub(number), _) => Slice::of_sub(number)
            .ok_or_else(|| PlatformError::unsupported(format!("Affise reports by sub1 to sub5, not by {dimension}."))),
        (Dimension::Affiliate, ConnectionType::Admin) => Ok(Slice::Affiliate),
        (Dimension::Advertiser, ConnectionType::Admin) => Ok(Slice::Advertiser),
        (
            Dimension::Affiliate
            | Dimension::Advertiser
            | Dimension::Campaign
            | Dimension::TrafficSource
            | Dimension::AffiliateNetwork
            | Dimension::Week
            | Dimension::Month,
            _,
        ) => Err(PlatformError::unsupported(format!("Affise has no `{dimension}` for connections of type {portal}."))),
    }
}

/// Whether a refusal is about the length of a page.
fn is_about_pages(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    words.contains("limit") || words.contains("per_page") || words.contains("per page")
}

/// What is asked, of any window and page.
struct ReportRequest<'a> {
    api: &'a Api,
    portal: ConnectionType,
    slices: Arc<[Slice]>,
    zone: &'a str,
    /// The most rows that are wanted, where that is not a whole page.
    most_rows: Option<u32>,
}

/// A part of the range, with its first page.
struct Window {
    range: DateRange,
    first: Page,
}

impl Window {
    fn pages(&self) -> u64 {
        self.first.total.div_ceil(self.first.per_page).max(1)
    }
}

/// The parts of a range, in order.
struct Windows<'a> {
    count: usize,
    opened: VecDeque<Window>,
    /// Those that are being opened. Nothing moves here unless it is polled.
    rest: BoxStream<'a, Result<Window, Refusal>>,
}

/// What comes next while a window is read.
enum Came {
    /// Its next page, if one was asked for ahead.
    Page(Option<Result<Page, Refusal>>),
    /// The first page of a later window.
    Window(Result<Window, Refusal>),
}

impl<'a> ReportRequest<'a> {
    /// Reads one page.
    async fn page(&self, window: DateRange, number: u64) -> Result<Page, Refusal> {
        let rows = self.most_rows.unwrap_or_else(|| self.api.pages.current()).to_string();
        let (from, to, page) = (window.from().to_string(), window.to().to_string(), number.to_string());
        let names = || self.slices.iter().flat_map(|slice| slice.names().iter().copied());
        let times = self.slices.iter().filter(|slice| slice.is_time()).flat_map(|slice| slice.names().iter().copied());
        let mut query: Vec<(&str, &str)> = names().map(|name| ("slice[]", name)).collect();
        query.extend(times.map(|name| ("order[]", name)));
        query.extend([
            ("filter[date_from]", from.as_str()),
            ("filter[date_to]", to.as_str()),
            ("timezone", self.zone),
            ("page", page.as_str()),
            ("limit", rows.as_str()),
        ]);
        let answer = self.api.ask(PATH, &query).await?;
        // A page is long, and nearly always one: it is looked at as anything else only where it cannot be read as that.
        let page = match self.read_page(window, answer.body.clone()).await {
            Ok(page) if answer.status.is_success() => page,
            read => {
                self.api.sort(answer)?;
                return Err(self.unreadable(&read.err().unwrap_or_default()).into());
            }
        };
        match page.number {
            Some(given) if given != number => {
                Err(self.unreadable(&format!("page {given} came when page {number} was asked for")).into())
            }
            _ => Ok(page),
        }
    }

    async fn read_page(&self, window: DateRange, body: Bytes) -> Result<Page, String> {
        let currency = self.api.currency();
        let reading = Reading { slices: Arc::clone(&self.slices), window, portal: self.portal, currency };
        if body.len() < LONG_BODY_BYTES {
            return reading.page(&body);
        }
        // Others of this thread go on meanwhile, the pages fetched ahead among them.
        let read = tokio::task::spawn_blocking(move || reading.page(&body)).await;
        read.unwrap_or_else(|_| Err("its reader failed".to_owned()))
    }

    fn unreadable(&self, what: &str) -> PlatformError {
        let upstream = &self.api.upstream;
        PlatformError::bad_response(format!(
            "The statistics of {} cannot be read: {}.",
            upstream.host(),
            upstream.quote(what)
        ))
    }

    /// Cuts the range into windows and opens them, or the first where that says enough of the others. Refuses a report
    /// that would take more calls than are allowed.
    async fn open_windows(self: &Arc<Self>, range: DateRange) -> Result<Windows<'a>, PlatformError> {
        let days = range.len_days().min(self.api.windows.current());
        let opened = match self.in_pages(range, days).await {
            // The longest range a network answers is not documented.
            Err(Refusal::Invalid(_)) if days > LONG_WINDOW_DAYS => {
                let shorter = self.in_pages(range, days.div_ceil(2)).await;
                if shorter.is_ok() {
                    self.api.windows.step_down(days);
                }
                shorter
            }
            opened => opened,
        };
        let windows = opened.map_err(|refusal| self.refused(refusal))?;
        if windows.opened.len() == windows.count {
            self.can_afford(range, &windows.opened)?;
        }
        Ok(windows)
    }

    /// The windows, in pages as long as the network takes them.
    async fn in_pages(self: &Arc<Self>, range: DateRange, days: u32) -> Result<Windows<'a>, Refusal> {
        loop {
            let rows = self.api.pages.current();
            match self.first_pages(range, days).await {
                Err(Refusal::Invalid(words)) if is_about_pages(&words) && self.api.pages.step_down(rows) => {}
                opened => return opened,
            }
        }
    }

    async fn first_pages(self: &Arc<Self>, range: DateRange, days: u32) -> Result<Windows<'a>, Refusal> {
        let ranges = range.windows(days);
        let count = ranges.len();
        let request = Arc::clone(self);
        let open = move |range| {
            let request = Arc::clone(&request);
            async move { request.page(range, 1).await.map(|first| Window { range, first }) }
        };
        let mut rest = stream::iter(ranges).map(open).buffered(PAGES_AT_ONCE).boxed();
        let mut opened: VecDeque<Window> = rest.try_next().await?.into_iter().collect();
        if !opened.front().is_some_and(|first| self.is_likely_to_fit(first, count)) {
            opened.extend(rest.try_collect::<Vec<_>>().await?);
            rest = stream::empty().boxed();
        }
        Ok(Windows { count, opened, rest })
    }

    /// Whether windows may on average be [`UNEVENNESS`] times as long as the first, and still take no more calls than are
    /// allowed.
    fn is_likely_to_fit(&self, first: &Window, windows: usize) -> bool {
        let upstream = &self.api.upstream;
        let left = u64::from(upstream.max_calls().saturating_sub(upstream.calls()));
        first.pages().saturating_mul(windows as u64).saturating_mul(UNEVENNESS) <= left
    }

    /// Refuses a report that would take more calls than are allowed, before most of them are made.
    fn can_afford(&self, range: DateRange, windows: &VecDeque<Window>) -> Result<(), PlatformError> {
        let upstream = &self.api.upstream;
        let needed: u64 = windows.iter().map(Window::pages).sum();
        let opened = windows.len() as u64;
        let affordable = opened + u64::from(upstream.max_calls().saturating_sub(upstream.calls()));
        if needed <= affordable {
            return Ok(());
        }
        let days = u64::from(range.len_days());
        // Rows are spread over the range more or less evenly; nothing better is known of them.
        let longest = match days * affordable / needed {
            0 => "even one day is too long".to_owned(),
            works => format!("up to {works} days work"),
        };
        Err(PlatformError::unsupported(format!(
            "{} would have to be called {needed} times for these {days} days, more than the {} calls allowed; with these \
             dimensions {longest}.",
            upstream.host(),
            upstream.max_calls(),
        ))
        .hint("Ask for a shorter range or fewer dimensions."))
    }

    /// What a refused page means. A key may be allowed some slices and not others.
    fn refused(&self, refusal: Refusal) -> PlatformError {
        let error = self.api.explain(refusal);
        if error.kind != ErrorKind::InsufficientPermissions {
            return error;
        }
        let names: Vec<&str> = self.slices.iter().flat_map(|slice| slice.names()).copied().collect();
        // Networks deny their affiliates some sub-ids, which says nothing of the key.
        if self.slices.iter().any(|slice| matches!(slice, Slice::Sub(_))) {
            let host = self.api.upstream.host();
            return PlatformError::unsupported(format!(
                "{host} does not let this key read statistics by {}.",
                names.join(", ")
            ))
            .hint("Ask without the sub-id, or have the tracker's administrator allow the key to read by it.");
        }
        error.hint(format!(
            "Ask the tracker's administrator to let this key read statistics by {}; other groupings may work.",
            names.join(", ")
        ))
    }

    /// The rows of all windows, page by page in order.
    fn batches(self: Arc<Self>, windows: Windows<'a>) -> BoxStream<'a, Result<Batch, PlatformError>> {
        let Windows { mut opened, mut rest, .. } = windows;
        Box::pin(async_stream::try_stream! {
            loop {
                let window = match opened.pop_front() {
                    Some(window) => window,
                    None => match rest.next().await {
                        Some(window) => window.map_err(|refusal| self.refused(refusal))?,
                        None => break,
                    },
                };
                let range = window.range;
                let planned = window.pages();
                let mut pages = stream::iter(2..=planned).map(|number| self.page(range, number)).buffered(PAGES_AT_ONCE);
                let mut gathered = Gathered::expecting(window.first.total);
                let mut number = 1;
                yield gathered.take(number, window.first).map_err(|what| self.unreadable(what))?;
                while gathered.more {
                    number += 1;
                    // A window that is being opened holds a place at the tracker: it must not be left standing.
                    let page = loop {
                        let came = tokio::select! {
                            page = pages.next() => Came::Page(page),
                            Some(window) = rest.next() => Came::Window(window),
                        };
                        match came {
                            Came::Page(page) => break page,
                            Came::Window(window) => opened.push_back(window.map_err(|refusal| self.refused(refusal))?),
                        }
                    };
                    // A table that grew at its end has more pages than planned; the bound on calls ends even those.
                    let page = match page {
                        Some(page) => page,
                        None => self.page(range, number).await,
                    };
                    let page = page.map_err(|refusal| self.refused(refusal))?;
                    yield gathered.take(number, page).map_err(|what| self.unreadable(what))?;
                }
                yield gathered.finish().map_err(|what| self.moved(&what))?;
            }
        })
    }

    fn moved(&self, what: &str) -> PlatformError {
        let host = self.api.upstream.host();
        PlatformError::new(
            ErrorKind::Inconsistent,
            format!("The statistics of {host} moved while they were read: {what}."),
        )
    }
}

/// Fingerprints are hashes already, and made with a key that nobody outside knows.
type Fingerprints = HashSet<u64, BuildHasherDefault<AsItIs>>;

#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What has been read of one window. Of rows that went on their way only a fingerprint is kept.
#[derive(Default)]
struct Gathered {
    hasher: RandomState,
    seen: Fingerprints,
    /// Rows of entities that the platform does not describe. Several of them share a key, so they are added up.
    unknown: Sums,
    /// Rows gathered, without those that came twice.
    rows: u64,
    /// How many rows the latest page said there are.
    total: Option<u64>,
    /// Whether that number changed between pages.
    moving: bool,
    /// Whether there are further pages.
    more: bool,
}

impl Gathered {
    fn expecting(rows: u64) -> Self {
        let rows = usize::try_from(rows.min(MOST_EXPECTED_ROWS)).unwrap_or_default();
        Self { seen: Fingerprints::with_capacity_and_hasher(rows, BuildHasherDefault::default()), ..Self::default() }
    }

    /// Takes a page in and gives out what is new on it.
    ///
    /// A key that stood on an earlier page has moved from there to here and is left out. Keys that stand on one page
    /// twice cannot have moved: their rows belong together, such as the two hours of one name when clocks go back.
    fn take(&mut self, number: u64, page: Page) -> Result<Batch, &'static str> {
        if page.rows.is_empty() {
            // What a page past the end says of the total is not reliable.
            self.more = false;
            self.total.get_or_insert(page.total);
            return Ok(Batch::default());
        }
        self.more = page.has_next || number.saturating_mul(page.per_page) < page.total;
        self.moving |= self.total.is_some_and(|total| total != page.total);
        self.total = Some(page.total);
        let before = self.rows;
        // Rows are large: nearly always all of them stay where they are.
        let mut rows = page.rows;
        for row in rows.extract_if(.., |row| is_unknown(row)) {
            let columns = row.key.len();
            self.unknown.add(row, columns);
            self.rows += 1;
        }
        let mut fresh = Fingerprints::with_capacity_and_hasher(rows.len(), BuildHasherDefault::default());
        let mut repeats = false;
        rows.retain(|row| {
            let fingerprint = self.fingerprint(&row.key);
            let is_new = !self.seen.contains(&fingerprint);
            if is_new {
                repeats |= !fresh.insert(fingerprint);
                self.rows += 1;
            }
            is_new
        });
        if self.rows == before {
            return Err("a page repeats what came before");
        }
        if self.more {
            self.seen.extend(fresh);
        }
        let still_to_come = if self.more { page.total.saturating_sub(self.rows) } else { 0 };
        Ok(Batch {
            // A key that stands on the page twice, as far as fingerprints show.
            rows: if repeats { added_up(rows) } else { rows },
            still_to_come: usize::try_from(still_to_come).unwrap_or(usize::MAX),
            ..Batch::default()
        })
    }

    fn fingerprint(&self, key: &Key) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for value in key {
            value.id.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Holds what was gathered against what the platform said there is, and gives out the rest.
    fn finish(self) -> Result<Batch, String> {
        let total = self.total.unwrap_or_default();
        if self.rows != total {
            return Err(format!("{} rows came of the {total} announced", self.rows));
        }
        if self.moving && !self.unknown.rows.is_empty() {
            return Err("rows were added, and some rows cannot be told from each other".to_owned());
        }
        Ok(Batch {
            rows: self.unknown.rows,
            checks: vec![Check { against: Against::SameSource, mismatch: None }],
            ..Batch::default()
        })
    }
}

/// The rows, those of one key added up.
fn added_up(rows: Vec<Row>) -> Vec<Row> {
    let mut sums = Sums::default();
    for row in rows {
        let columns = row.key.len();
        sums.add(row, columns);
    }
    sums.rows
}

/// Whether rows of this key may come several times: no entity is described, or links carry nothing.
fn is_unknown(row: &Row) -> bool {
    row.key.iter().any(|value| value.id == DimensionValue::UNKNOWN_ID || value.id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::super::stats::Metrics;
    use super::*;

    fn row(id: &str, clicks: i64) -> Row {
        let metrics = Metrics { clicks: Some(clicks), ..Metrics::default() };
        Row { key: Key::from_iter([DimensionValue::plain(id)]), currency: None, metrics }
    }

    fn page(rows: Vec<Row>, total: u64) -> Page {
        Page { rows, number: None, per_page: 2, total, has_next: false }
    }

    fn clicks(batch: &Batch) -> Vec<Option<i64>> {
        batch.rows.iter().map(|row| row.metrics.clicks).collect()
    }

    #[test]
    fn a_key_that_stands_twice_on_one_page_is_one_row() {
        let mut gathered = Gathered::default();
        let batch = gathered.take(1, page(vec![row("02", 3), row("02", 4)], 2)).expect("a page");
        assert_eq!(clicks(&batch), [Some(7)]);
        assert!(gathered.finish().is_ok());
    }

    #[test]
    fn rows_of_nobody_are_added_up_and_never_taken_for_a_repetition() {
        let mut gathered = Gathered::default();
        for number in 1..=2 {
            let batch = gathered.take(number, page(vec![row("unknown", 1), row("unknown", 1)], 4)).expect("a page");
            assert!(batch.rows.is_empty());
        }
        assert!(!gathered.more);
        assert_eq!(clicks(&gathered.finish().expect("a whole table")), [Some(4)]);
    }

    #[test]
    fn rows_of_nobody_in_a_table_that_moves_cannot_be_trusted() {
        let mut gathered = Gathered::default();
        gathered.take(1, page(vec![row("1", 1), row("unknown", 1)], 3)).expect("a page");
        gathered.take(2, page(vec![row("unknown", 1), row("2", 1)], 4)).expect("a page");
        assert!(gathered.finish().is_err());
    }

    #[test]
    fn an_empty_page_ends_the_table() {
        let mut gathered = Gathered::default();
        gathered.take(1, Page { has_next: true, ..page(vec![row("1", 1)], 1) }).expect("a page");
        assert!(gathered.more);
        gathered.take(2, page(Vec::new(), 0)).expect("a page");
        assert!(!gathered.more && gathered.finish().is_ok());
    }
}
