//! The account's owner: verification, and reports from `GET /report`.
//!
//! Voluum has but this one role. Two things are found out by asking before a report relies on them, and remembered for
//! the account: whether times are read in the report's zone or in UTC, and whether days and hours group together. A
//! zone other than UTC is right under both readings of the times, as long as its days begin at full hours.

use async_stream::try_stream;
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use url::Url;

use super::super::calendar::DateRange;
use super::super::client::{Account, PlatformClient, Platforms};
use super::super::stats::{Batch, DayOfConversion, Dimension, Report, StatsQuery, Warning, WarningCode};
use super::super::verification::Detected;
use super::reading::Reading;
use super::request::{self, Clock, ConversionTime, Habits, ReportRequest, Terms, WINDOWS};
use super::session::{Keeper, Sessions, Ticket};
use super::wire::{self, Page, Refusal};
use super::{CONVERSION_TIME_SETTING, LIMITS};
use crate::outbound::error::{ErrorKind, PlatformError, Stage};
use crate::outbound::{Answer, Call, Upstream};

/// A zone twelve hours ahead of UTC: half a day there and the same half on UTC's clock have no hour in common.
const FAR_ZONE: &str = "Etc/GMT-12";

/// A first page, and the words in which it was asked for.
type Opening = (Habits, Page);

/// Pages that are asked for before they are needed; `None` once they turned out to begin elsewhere.
type Ahead<'a> = Option<BoxStream<'a, (u64, Result<Page, Refusal>)>>;

pub(super) struct AdminClient {
    report: Url,
    terms: Terms,
    keeper: Keeper,
    upstream: Upstream,
}

impl AdminClient {
    pub(super) fn open(account: &Account, upstream: Upstream, platforms: &Platforms) -> Result<Self, PlatformError> {
        let gateway = platforms.gateways.voluum.trim_end_matches('/');
        let login = endpoint(gateway, "auth/access/session")?;
        Ok(Self {
            report: endpoint(gateway, "report")?,
            terms: Terms {
                currency: account.settings.get("currency").and_then(|code| code.parse().ok()),
                conversion_time: ConversionTime::of(account.settings.get(CONVERSION_TIME_SETTING).map(String::as_str)),
            },
            keeper: Keeper::open(
                &platforms.kept::<Sessions>(),
                gateway,
                login,
                &account.credentials,
                upstream.clone(),
            )?,
            upstream,
        })
    }

    /// Asks with the account's session. A session found dead is replaced and the call repeated, once.
    async fn ask(&self, url: &Url) -> Result<Answer, Refusal> {
        let ticket = self.keeper.current().await?;
        match self.ask_with(&ticket, url, Call::taking_any_401).await {
            Err(Refusal::Session(_)) => {
                let ticket = self.keeper.after(&ticket).await?;
                self.ask_with(&ticket, url, |call| call).await
            }
            outcome => outcome,
        }
    }

    async fn ask_with(&self, ticket: &Ticket, url: &Url, as_meant: fn(Call) -> Call) -> Result<Answer, Refusal> {
        let call = self.upstream.get(url.clone()).secret_header("cwauth-token", &ticket.token)?;
        let answer = as_meant(call).send().await?;
        if answer.status.is_success() { Ok(answer) } else { Err(wire::report_refused(&answer, &self.upstream)) }
    }

    async fn page(&self, request: &ReportRequest, habits: &Habits, offset: u64) -> Result<Page, Refusal> {
        let url = request.url(&self.report, habits, self.terms, offset)?;
        let answer = self.ask(&url).await?;
        wire::page(&answer.body)
            .map_err(|error| Refusal::Final(wire::unreadable(&answer, &self.upstream, "report", &error)))
    }

    /// The first page, put in the words that this account accepts.
    async fn first_page(&self, request: &ReportRequest) -> Result<Opening, Refusal> {
        let habits = self.keeper.habits();
        let (others, otherwise) = match self.page(request, &habits, 0).await {
            Ok(page) if habits.all_columns || page.has_columns_for(&request.groups) => return Ok((habits, page)),
            Ok(page) => (habits.without_columns().into_iter().collect(), Ok((habits, page))),
            Err(Refusal::Query(error)) => (habits.other_words(&request.groups), Err(Refusal::Query(error))),
            Err(Refusal::Parameter(error)) => (habits.smaller().collect(), Err(Refusal::Parameter(error))),
            Err(refusal) => return Err(refusal),
        };
        for other in others {
            match self.page(request, &other, 0).await {
                Ok(page) => {
                    self.keeper.learn(|habits| habits.adopt(other.clone()));
                    return Ok((other, page));
                }
                Err(Refusal::Query(_) | Refusal::Parameter(_)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        otherwise
    }

    /// Reads a short table whole, and the first page of a long one, which may be there already. A table that moves
    /// meanwhile is read once more.
    async fn begin<'a>(
        &'a self,
        request: &'a ReportRequest,
        dimensions: &'a [Dimension],
        opening: Option<Opening>,
    ) -> Result<Reading<'a>, PlatformError> {
        match self.begin_once(request, dimensions, opening).await {
            Err(error) if error.kind == ErrorKind::Inconsistent => self.begin_once(request, dimensions, None).await,
            outcome => outcome,
        }
    }

    async fn begin_once<'a>(
        &'a self,
        request: &'a ReportRequest,
        dimensions: &'a [Dimension],
        opening: Option<Opening>,
    ) -> Result<Reading<'a>, PlatformError> {
        let (habits, first) = match opening {
            Some(opening) => opening,
            None => self.first_page(request).await?,
        };
        let mut reading = Reading::begin(request, dimensions, self.terms.currency, habits, first)?;
        if reading.is_short() {
            let mut ahead = self.ahead(&reading);
            while !reading.is_complete() {
                self.advance(&mut reading, &mut ahead).await?;
            }
        }
        Ok(reading)
    }

    /// The pages after the first, asked for ahead, each with the number of rows before it if all are as long as the first.
    fn ahead<'s>(&'s self, reading: &Reading<'s>) -> Ahead<'s> {
        let (request, habits) = (reading.request, reading.habits.clone());
        let offsets = (1..).map_while({
            let (first, all) = (reading.received(), reading.total_rows());
            move |page: u64| page.checked_mul(first).filter(|offset| (1..all).contains(offset))
        });
        let page = move |offset| {
            let habits = habits.clone();
            async move { (offset, self.page(request, &habits, offset).await) }
        };
        Some(stream::iter(offsets).map(page).buffered(LIMITS.most_at_once()).boxed())
    }

    async fn advance<'s>(&'s self, reading: &mut Reading<'s>, ahead: &mut Ahead<'s>) -> Result<(), PlatformError> {
        let next = match ahead {
            Some(pages) => pages.next().await.filter(|(offset, _)| *offset == reading.received()),
            None => None,
        };
        let page = match next {
            Some((_, page)) => page?,
            // A page was shorter than the first, so those asked for ahead begin elsewhere.
            None => {
                *ahead = None;
                self.page(reading.request, &reading.habits, reading.received()).await?
            }
        };
        reading.take(page)
    }

    /// How times must be written for this query; `None` if there was no traffic to show it.
    async fn clock(&self, query: &StatsQuery) -> Result<Option<Clock>, PlatformError> {
        if request::clock_is_irrelevant(&query.zone, query.range) {
            return Ok(Some(Clock::Local));
        }
        if let Some(clock) = self.keeper.habits().clock {
            return Ok(Some(clock));
        }
        let mut days = vec![query.range.from(), query.range.to()];
        days.dedup();
        for day in days {
            for half in [0, 12] {
                if let Some(clock) = self.clock_shown_by(day, half).await? {
                    self.keeper.learn(|habits| habits.clock = Some(clock));
                    return Ok(Some(clock));
                }
            }
        }
        Ok(None)
    }

    /// Asks for half a day in a zone far from UTC: the hours that come show on which clock the half was measured.
    async fn clock_shown_by(&self, day: Date, half: i8) -> Result<Option<Clock>, PlatformError> {
        let from = day.at(half, 0, 0, 0);
        let request = ReportRequest::hours(&[Dimension::Hour], FAR_ZONE, from, from.saturating_add(12.hours()));
        let rows = match self.begin(&request, &[Dimension::Hour], None).await {
            Ok(mut reading) => reading.batch().rows,
            Err(error) if error.kind == ErrorKind::Unsupported => return Ok(None),
            Err(error) => return Err(error),
        };
        let in_half = rows.iter().filter(|row| {
            let hour = row.key.first().and_then(|value| value.id.parse::<i8>().ok());
            hour.is_some_and(|hour| (half..half + 12).contains(&hour))
        });
        match in_half.count() {
            _ if rows.is_empty() => Ok(None),
            all if all == rows.len() => Ok(Some(Clock::Local)),
            0 => Ok(Some(Clock::Utc)),
            _ => Err(PlatformError::bad_response("Voluum reports hours that do not fit its time zones.")),
        }
    }

    /// The tables that make up the report, with the first page of the first of them. Where a window of so many days is
    /// refused, shorter ones are asked for.
    async fn open_requests(
        &self,
        query: &StatsQuery,
        clock: Clock,
    ) -> Result<(Vec<ReportRequest>, Option<Opening>), PlatformError> {
        let by_hour = query.has(Dimension::Hour);
        let usual = self.keeper.habits().window_days(by_hour);
        let mut days = usual;
        loop {
            let requests = self.requests(query, clock, days).await?;
            let Some(first) = requests.first() else { return Ok((requests, None)) };
            let asked = first.range.len_days();
            match (self.first_page(first).await, WINDOWS.into_iter().find(|window| *window < asked)) {
                (Ok(opening), _) => {
                    if days < usual {
                        self.keeper.learn(|habits| habits.shorten_windows(by_hour, days));
                    }
                    return Ok((requests, Some(opening)));
                }
                (Err(Refusal::Query(_) | Refusal::Parameter(_)), Some(shorter)) => days = shorter,
                (Err(refusal), _) => return Err(refusal.into()),
            }
        }
    }

    /// The tables that make up the report, of at most so many days.
    async fn requests(
        &self,
        query: &StatsQuery,
        clock: Clock,
        most_days: u32,
    ) -> Result<Vec<ReportRequest>, PlatformError> {
        let both = query.has(Dimension::Date) && query.has(Dimension::Hour);
        let apart = both && !self.groups_hours_of_days(query, clock).await?;
        let windows = query.range.windows(if apart { 1 } else { most_days });
        self.afford(&windows)?;
        let grouped = query.dimensions.iter().filter(|dimension| !apart || **dimension != Dimension::Date);
        let groups: Vec<Dimension> = grouped.copied().collect();
        windows.into_iter().map(|window| ReportRequest::days(&groups, window, &query.zone, clock)).collect()
    }

    /// Whether days and hours group together.
    async fn groups_hours_of_days(&self, query: &StatsQuery, clock: Clock) -> Result<bool, PlatformError> {
        if let Some(known) = self.keeper.habits().hours_of_days {
            return Ok(known);
        }
        let pair = [Dimension::Date, Dimension::Hour];
        let request = ReportRequest::days(&pair, DateRange::day(query.range.from()), &query.zone, clock)?.at_most(1);
        let works = match self.first_page(&request).await {
            Ok(_) => true,
            Err(Refusal::Query(_)) => false,
            Err(refusal) => return Err(refusal.into()),
        };
        self.keeper.learn(|habits| habits.hours_of_days = Some(works));
        Ok(works)
    }

    fn read<'a>(
        &'a self,
        query: &'a StatsQuery,
        requests: Vec<ReportRequest>,
        mut opening: Option<Opening>,
        warnings: Vec<Warning>,
    ) -> BoxStream<'a, Result<Batch, PlatformError>> {
        Box::pin(try_stream! {
            let mut empty = true;
            let begin = requests.iter().map(|request| self.begin(request, &query.dimensions, opening.take()));
            let mut begun = stream::iter(begin.collect::<Vec<_>>()).buffered(LIMITS.most_at_once());
            while let Some(reading) = begun.next().await {
                let mut reading = reading?;
                let mut ahead = self.ahead(&reading);
                loop {
                    let batch = reading.batch();
                    empty &= batch.rows.is_empty();
                    yield batch;
                    if reading.is_complete() {
                        break;
                    }
                    self.advance(&mut reading, &mut ahead).await?;
                }
            }
            if !empty && !warnings.is_empty() {
                yield Batch { warnings, ..Batch::default() };
            }
        })
    }

    fn warnings(&self, query: &StatsQuery, clock: Option<Clock>) -> Vec<Warning> {
        let currency = self.terms.currency.is_none().then(|| Warning {
            code: WarningCode::CurrencyUnknown,
            detail: "Amounts are in the Voluum account's own currency, which Voluum does not name. Choose one in the connection's settings to have it used and stated.".to_owned(),
        });
        let clock = clock.is_none().then(|| Warning {
            code: WarningCode::TimezoneUnproven,
            detail: format!(
                "There was no traffic to show how Voluum reads times, so days are taken to be those of {} without proof.",
                query.zone.name()
            ),
        });
        currency.into_iter().chain(clock).collect()
    }

    /// Refuses a report that would need more calls than it may cause: one for each window at least, and one for a
    /// session that may be needed.
    fn afford(&self, windows: &[DateRange]) -> Result<(), PlatformError> {
        let left = self.upstream.max_calls().saturating_sub(self.upstream.calls()).saturating_sub(1);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if windows.len() <= left {
            return self.upstream.has_time_for(windows.len(), Some(windows.iter().map(DateRange::len_days).sum()));
        }
        let days: u32 = windows.iter().take(left).map(DateRange::len_days).sum();
        Err(PlatformError::unsupported(format!(
            "This report needs at least {} calls to Voluum, more than it may cause.",
            windows.len()
        ))
        .hint(format!("Ask for at most {days} days at once, or for days without hours.")))
    }
}

#[async_trait]
impl PlatformClient for AdminClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        self.upstream.enter(Stage::Authenticate);
        self.keeper.proven().await?;
        self.upstream.enter(Stage::Authorize);
        let now = TimeZone::UTC.to_datetime(Timestamp::now());
        let hour = now.date().at(now.hour(), 0, 0, 0);
        let request =
            ReportRequest::hours(&[Dimension::Campaign], "Etc/GMT", hour.saturating_sub(1.hour()), hour).at_most(1);
        self.first_page(&request).await?;
        Ok(Detected::default())
    }

    fn day_of_conversion(&self) -> Option<DayOfConversion> {
        Some(match self.terms.conversion_time {
            ConversionTime::Visit => DayOfConversion::Click,
            ConversionTime::Postback => DayOfConversion::Conversion,
        })
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        request::supported(&query.dimensions)?;
        self.afford(&query.range.windows(WINDOWS[0]))?;
        let clock = self.clock(query).await?;
        let (requests, opening) = self.open_requests(query, clock.unwrap_or(Clock::Local)).await?;
        let unique_keys = query.has(Dimension::Date) || requests.len() == 1;
        let warnings = self.warnings(query, clock);
        Ok(Report { unique_keys, batches: self.read(query, requests, opening, warnings) })
    }
}

fn endpoint(gateway: &str, path: &str) -> Result<Url, PlatformError> {
    Url::parse(&format!("{gateway}/{path}"))
        .map_err(|_| PlatformError::new(ErrorKind::InvalidUrl, "The address of Voluum's gateway is not an address."))
}
