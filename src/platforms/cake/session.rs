//! One account and the road to it: how a report is asked for, what a refusal means, and all pages of a window.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use jiff::civil::Date;
use secrecy::SecretString;
use tokio::sync::OnceCell;
use url::Url;

use super::super::ConnectionType;
use super::super::calendar::DateRange;
use super::super::error::{ErrorKind, PlatformError, Stage};
use super::super::transport::{Answer, Upstream};
use super::currency::{self, Listed};
use super::tree::{self, Fields};
use super::wire::{self, Table};

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

/// Why a call gave no table.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The network does not have this path or version.
    NoSuchPath,
    /// The window is longer than this network allows.
    RangeTooLong,
    /// A refusal in words that are not known.
    SaidNo(String),
    /// Anything else.
    Failed(PlatformError),
}

impl From<PlatformError> for Trouble {
    fn from(error: PlatformError) -> Self {
        Self::Failed(error)
    }
}

/// What is asked of every window of a report.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
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

/// One account.
pub(super) struct Session {
    pub(super) upstream: Upstream,
    portal: ConnectionType,
    origin: Url,
    api_key: SecretString,
    affiliate_id: Option<String>,
    currencies: OnceCell<Option<Listed>>,
}

impl Session {
    pub(super) fn new(
        portal: ConnectionType,
        upstream: Upstream,
        origin: Url,
        api_key: SecretString,
        affiliate_id: Option<String>,
    ) -> Self {
        Self { upstream, portal, origin, api_key, affiliate_id, currencies: OnceCell::new() }
    }

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
        Self::new(portal, self.upstream.clone(), self.origin.clone(), self.api_key.clone(), None)
    }

    /// The smallest real report: one row of a closed day, judged as any other.
    pub(super) async fn probe(&self, road: &Road, day: Date) -> Result<Table, PlatformError> {
        match self.page(Question { road, pushed: &[] }, DateRange::day(day), 1, 1).await {
            Ok((table, _)) => Ok(table),
            // No list of CAKE's messages exists. For the simplest question there is, the key is the likeliest reason.
            Err(Trouble::SaidNo(message)) => Err(self.refusal(ErrorKind::CredentialsRejected, &message)),
            Err(trouble) => Err(self.explain(trouble)),
        }
    }

    /// All rows of a window; one that the network finds too long is halved, and so are all after it.
    pub(super) async fn window(&self, question: Question<'_>, window: DateRange) -> Result<Vec<Part>, PlatformError> {
        let longest = &question.road.longest;
        let mut parts = Vec::new();
        let mut open = in_reverse(window.windows(longest.load(Ordering::Relaxed)));
        while let Some(window) = open.pop() {
            match self.pages(question, window).await {
                Ok(part) => parts.push(part),
                Err(Trouble::RangeTooLong) if window.len_days() > 1 => {
                    let half = window.len_days().div_ceil(2);
                    longest.fetch_min(half, Ordering::Relaxed);
                    open.extend(in_reverse(window.windows(half)));
                }
                Err(Trouble::SaidNo(message)) if !question.pushed.is_empty() && is_unknown_id(&message) => {
                    parts.push(Part { window, rows: Vec::new(), summary: None });
                }
                Err(trouble) => return Err(self.explain(trouble)),
            }
        }
        Ok(parts)
    }

    /// Reads page after page until the end is proven, and refuses what does not add up.
    async fn pages(&self, question: Question<'_>, window: DateRange) -> Result<Part, Trouble> {
        let mut part = Part { window, rows: Vec::new(), summary: None };
        let mut first_of_page: Option<Fields> = None;
        let mut announced = 0;
        for _ in 0..MAX_PAGES {
            let (table, form) = self.page(question, window, part.rows.len() + 1, ROWS_PER_PAGE).await?;
            let rows = table.rows.unwrap_or_default();
            let first = rows.first().cloned();
            if first.is_some() && first == first_of_page {
                return Err(self.odd("repeats a page instead of sending the next one").into());
            }
            first_of_page = first;
            let page_length = rows.len();
            part.rows.extend(rows);
            part.summary = part.summary.or(table.summary);
            announced = announced.max(table.row_count.unwrap_or_default());
            if table.row_count.is_some_and(|count| count < page_length) {
                return Err(self.odd("sends more rows than it counts").into());
            }
            if page_length == 0 || !form.paged || self.is_complete(&part, page_length, table.row_count)? {
                return if announced > part.rows.len() {
                    Err(self.rows_missing(announced, &part).into())
                } else {
                    Ok(part)
                };
            }
        }
        Err(self.odd("does not come to an end of its pages").into())
    }

    /// Whether a page was the last. `row_count` is the total on some networks and the page's own on others, and a
    /// page may be shorter than asked; where that leaves a doubt, the summary over all pages settles it.
    fn is_complete(&self, part: &Part, page_length: usize, row_count: Option<usize>) -> Result<bool, PlatformError> {
        if let Some(total) = row_count.filter(|count| *count > page_length) {
            return Ok(part.rows.len() >= total);
        }
        if page_length >= ROWS_PER_PAGE {
            return Ok(false);
        }
        let Some(summary) = &part.summary else { return Ok(true) };
        let check = wire::hold_against(summary, &part.rows).map_err(|malformed| self.odd(malformed.0))?;
        Ok(check.is_none_or(|check| check.mismatch.is_none()))
    }

    /// One page, by the best form the network has.
    async fn page(
        &self,
        question: Question<'_>,
        window: DateRange,
        start: usize,
        limit: usize,
    ) -> Result<(Table, &'static Form), Trouble> {
        let road = question.road;
        let mut place = road.place.load(Ordering::Relaxed);
        loop {
            let Some(form) = road.forms.get(place) else { return Err(Trouble::NoSuchPath) };
            match self.ask(question, form, window, start, limit).await {
                Err(Trouble::NoSuchPath) => place += 1,
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
        question: Question<'_>,
        form: &Form,
        window: DateRange,
        start: usize,
        limit: usize,
    ) -> Result<Table, Trouble> {
        if form.generation == Generation::Classic && self.lacks_affiliate_id() {
            return Err(self.affiliate_id_required("the network's reports want it on every call").into());
        }
        let (first, last) = bounds(form.generation, window)?;
        let (start, limit) = (start.to_string(), limit.to_string());
        let mut parameters = vec![("start_date", first.as_str()), ("end_date", last.as_str())];
        parameters.extend(form.parameters.iter().map(|(name, value)| {
            let pushed = question.pushed.iter().find(|(names, _)| names.contains(name));
            (*name, pushed.map_or(*value, |(_, id)| *id))
        }));
        if form.paged {
            parameters.extend([("start_at_row", start.as_str()), ("row_limit", limit.as_str())]);
        }
        let table = self.call(form.path, &parameters, question.road.rows).await?;
        self.expect_rows(table)
    }

    /// A table without rows is only empty if the answer says so.
    fn expect_rows(&self, mut table: Table) -> Result<Table, Trouble> {
        if table.rows.is_none() {
            match table.row_count {
                Some(0) => {}
                None if table.success == Some(true) => {}
                Some(_) => return Err(self.odd("counts rows but sends none").into()),
                None => return Err(self.odd("sent an answer that is no report").into()),
            }
            table.rows = Some(Vec::new());
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
        let answer = self.upstream.get(url).secret_query("api_key", &self.api_key).send().await?;
        self.judge(&answer, rows)
    }

    fn judge(&self, answer: &Answer, rows: &[&str]) -> Result<Table, Trouble> {
        let status = answer.status.as_u16();
        if status == 404 {
            return Err(Trouble::NoSuchPath);
        }
        let read = tree::parse(&answer.body).and_then(|document| Table::read(document, rows));
        if !answer.status.is_success() {
            let message = read.ok().and_then(|table| table.message).or_else(|| plain_text(answer));
            return Err(self.refused(answer, message.as_deref()));
        }
        if is_web_page(answer) {
            return Err(self.not_cake("answers with a web page instead of a report").into());
        }
        let table = read
            .map_err(|malformed| self.odd(&format!("sent an answer that cannot be read as a report: {malformed}")))?;
        match (table.success, &table.message) {
            (Some(false), message) => Err(self.said_no(message.as_deref().unwrap_or("no reason given"))),
            // Some envelopes have no `success`; a message instead of rows is a refusal all the same.
            (None, Some(message)) if table.rows.as_ref().is_none_or(Vec::is_empty) => Err(self.said_no(message)),
            _ => Ok(table),
        }
    }

    /// What a status other than 2xx and 404 means.
    fn refused(&self, answer: &Answer, message: Option<&str>) -> Trouble {
        let said = message.unwrap_or_default();
        let kind = kind_of(said);
        match answer.status.as_u16() {
            status @ (401 | 403) => {
                let kind = match kind {
                    Some(Said::Refusal(kind)) => kind,
                    _ => ErrorKind::CredentialsRejected,
                };
                let words = if said.is_empty() { format!("status {status}") } else { said.to_owned() };
                self.refusal(kind, &words).into()
            }
            500 if message.is_none() => answer.failing(&self.upstream.host()).into(),
            status => match kind {
                Some(Said::NoSuchPath) => Trouble::NoSuchPath,
                Some(Said::RangeTooLong) => Trouble::RangeTooLong,
                Some(Said::AffiliateId) if self.lacks_affiliate_id() => self.affiliate_id_required(said).into(),
                Some(Said::Parameter | Said::AffiliateId) => {
                    self.odd(&format!("does not take a parameter of the call: {}", self.upstream.quote(said))).into()
                }
                Some(Said::Refusal(kind)) => self.refusal(kind, said).into(),
                None if status == 500 => answer.failing(&self.upstream.host()).into(),
                None if said.is_empty() => self.not_cake(&format!("answers with status {status}")).into(),
                None => Trouble::SaidNo(said.to_owned()),
            },
        }
    }

    /// What `success=false` means. Most refusals of CAKE's come this way, with status 200.
    fn said_no(&self, message: &str) -> Trouble {
        match kind_of(message) {
            Some(Said::RangeTooLong) => Trouble::RangeTooLong,
            Some(Said::NoSuchPath) => Trouble::NoSuchPath,
            Some(Said::Refusal(kind)) => self.refusal(kind, message).into(),
            Some(Said::AffiliateId) if self.portal == ConnectionType::Affiliate => {
                self.refusal(ErrorKind::CredentialsRejected, message).into()
            }
            Some(Said::AffiliateId | Said::Parameter) | None => Trouble::SaidNo(message.to_owned()),
        }
    }

    fn refusal(&self, kind: ErrorKind, message: &str) -> PlatformError {
        if kind == ErrorKind::CredentialsRejected && self.lacks_affiliate_id() {
            return self.affiliate_id_required(message);
        }
        let (host, said) = (self.upstream.host(), self.upstream.quote(message));
        match kind {
            ErrorKind::RateLimited => PlatformError::new(kind, format!("{host} asks to be called less often: {said}.")),
            _ => PlatformError::new(kind, format!("{host} refuses the key: {said}.")).hint(match (kind, self.portal) {
                (ErrorKind::InsufficientPermissions, _) => {
                    "Ask the network to turn on API access to reports for this account."
                }
                (ErrorKind::IpNotAllowed, _) => "Ask the network to allow this service's address for this key.",
                (_, ConnectionType::Affiliate) => {
                    "Copy the key and the Affiliate ID again; both stand side by side under Reporting API (or Account Settings > API) in the affiliate portal."
                }
                (_, ConnectionType::Admin) => {
                    "Copy the key again from Admin > System Settings > API (older: Setup > Permissions > API key); regenerating a key ends the old one."
                }
            }),
        }
    }

    /// What is left of a trouble that nobody could work around.
    fn explain(&self, trouble: Trouble) -> PlatformError {
        match trouble {
            Trouble::Failed(error) => error,
            Trouble::NoSuchPath => self.not_cake("has none of the reports that CAKE's reporting API has"),
            Trouble::RangeTooLong => self.odd("finds even one day too long a range"),
            Trouble::SaidNo(message) => self.odd(&format!("refuses the report: {}", self.upstream.quote(&message))),
        }
    }

    fn lacks_affiliate_id(&self) -> bool {
        self.portal == ConnectionType::Affiliate && self.affiliate_id.is_none()
    }

    fn affiliate_id_required(&self, message: &str) -> PlatformError {
        let (host, said) = (self.upstream.host(), self.upstream.quote(message));
        PlatformError::new(
            ErrorKind::AffiliateIdRequired,
            format!("{host} refuses the key without an Affiliate ID: {said}."),
        )
        .hint("Enter the Affiliate ID that is shown beside the key, and check that the key was copied whole.")
    }

    /// The verdict on a key that works, but at the other portal.
    pub(super) fn wrong_portal(&self, what: &str) -> PlatformError {
        PlatformError::new(ErrorKind::WrongPortal, format!("{} knows this key: it is {what}.", self.upstream.host()))
    }

    fn not_cake(&self, does: &str) -> PlatformError {
        PlatformError::new(ErrorKind::NotThisPlatform, format!("{} {does}.", self.upstream.host()))
            .hint("Enter the address at which you log in to the network's portal.")
            .at(Stage::Request)
    }

    /// An answer that contradicts itself or what is known of CAKE.
    pub(super) fn odd(&self, does: &str) -> PlatformError {
        PlatformError::bad_response(format!("{} {does}.", self.upstream.host()))
    }

    fn rows_missing(&self, announced: usize, part: &Part) -> PlatformError {
        let (host, sent) = (self.upstream.host(), part.rows.len());
        PlatformError::new(ErrorKind::Inconsistent, format!("{host} counts {announced} rows but sent {sent}."))
    }
}

/// Whether a list that failed so is simply not to be had.
fn is_unavailable(kind: ErrorKind) -> bool {
    kind.is_refusal() || matches!(kind, ErrorKind::NotThisPlatform | ErrorKind::BadResponse)
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

/// What a message of CAKE's is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Refusal(ErrorKind),
    /// The affiliate's id is missing or wrong.
    AffiliateId,
    RangeTooLong,
    NoSuchPath,
    /// A parameter is missing or has a value that the method does not take.
    Parameter,
}

/// Sorts a message by its words; no complete list of them is published, and only these are known.
fn kind_of(message: &str) -> Option<Said> {
    let message = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match () {
        () if has(&["date range"]) && has(&["too long", "exceed", "maximum"]) => Some(Said::RangeTooLong),
        () if has(&["request format is unrecognized"]) => Some(Said::NoSuchPath),
        () if has(&["affiliate_id", "affiliate id", "affiliateid"]) => Some(Said::AffiliateId),
        () if has(&["missing parameter", "missing value for parameter", "cannot convert", "parameter name"]) => {
            Some(Said::Parameter)
        }
        () if has(&["ip address", "ip not ", "whitelist", "allowlist"]) => Some(Said::Refusal(ErrorKind::IpNotAllowed)),
        () if has(&["too many requests", "rate limit", "throttl"]) => Some(Said::Refusal(ErrorKind::RateLimited)),
        () if has(&["permission", "access to reports", "no api access", "api access is"]) => {
            Some(Said::Refusal(ErrorKind::InsufficientPermissions))
        }
        () if has(&[
            "api key",
            "api_key",
            "apikey",
            "expired",
            "not authorized",
            "unauthorized",
            "invalid affiliate",
            "forbidden",
        ]) =>
        {
            Some(Said::Refusal(ErrorKind::CredentialsRejected))
        }
        () => None,
    }
}

/// Whether a filter names an entity that the network does not have (`Invalid Offer ID`).
fn is_unknown_id(message: &str) -> bool {
    let message = message.trim().trim_end_matches('.').to_lowercase();
    message.starts_with("invalid ") && (message.ends_with(" id") || message.ends_with("_id"))
}

/// Windows as a stack whose top is the earliest, so that parts stay in order.
fn in_reverse(mut windows: Vec<DateRange>) -> Vec<DateRange> {
    windows.reverse();
    windows
}

/// The text of an error body that is neither a page nor a structure.
fn plain_text(answer: &Answer) -> Option<String> {
    if is_web_page(answer) {
        // A missing method is reported on a page, and is worth more than the page's status.
        let page = String::from_utf8_lossy(&answer.body).to_lowercase();
        let missing = "request format is unrecognized";
        return page.contains(missing).then(|| missing.to_owned());
    }
    let text = String::from_utf8_lossy(&answer.body).trim().to_owned();
    let is_text = !text.is_empty() && !text.starts_with(['{', '[', '<']);
    is_text.then_some(text)
}

/// Whether a body is HTML. Reports may be XML without a declaration, so a leading `<` proves nothing.
fn is_web_page(answer: &Answer) -> bool {
    let start = answer.body.get(..answer.body.len().min(500)).unwrap_or_default();
    let start = String::from_utf8_lossy(start).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let start = match start.split_once("?>") {
        Some((declaration, rest)) if declaration.starts_with("<?xml") => rest.trim_start(),
        _ => &start,
    };
    start.starts_with("<!doctype html") || start.starts_with("<html")
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

    #[test]
    fn messages_are_sorted_whatever_their_case() {
        use ErrorKind::{CredentialsRejected, InsufficientPermissions, IpNotAllowed, RateLimited};
        for (message, said) in [
            ("Invalid API Key", Some(Said::Refusal(CredentialsRejected))),
            ("INVALID AFFILIATE", Some(Said::Refusal(CredentialsRejected))),
            ("Your key has expired", Some(Said::Refusal(CredentialsRejected))),
            ("Missing parameter: affiliate_id.", Some(Said::AffiliateId)),
            ("Date Range Too Long", Some(Said::RangeTooLong)),
            ("Missing parameter: row_limit.", Some(Said::Parameter)),
            ("Cannot convert x to System.Int32.\r\nParameter name: type --> Input string", Some(Said::Parameter)),
            ("Request format is unrecognized for URL unexpectedly ending in '/X'.", Some(Said::NoSuchPath)),
            ("You do not have permission", Some(Said::Refusal(InsufficientPermissions))),
            ("IP address 1.2.3.4 is not allowed", Some(Said::Refusal(IpNotAllowed))),
            ("Too many requests", Some(Said::Refusal(RateLimited))),
            ("Something else", None),
        ] {
            assert_eq!(kind_of(message), said, "{message}");
        }
    }
}
