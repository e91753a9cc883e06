//! Reading a report: which parts it is asked in, and what its rows are in our terms.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;

use async_stream::try_stream;
use futures_util::{StreamExt, stream};
use jiff::civil::Date;

use super::super::calendar::{DateRange, Zone};
use super::super::learned::Sizes;
use super::super::stats::{Batch, Currency, Dimension, DimensionValue, Report, Row, StatsQuery, Warning, WarningCode};
use super::super::total::Sum;
use super::LIMITS;
use super::api::Api;
use super::clock::{Clocks, Part, Way};
use super::columns::{self, Columns};
use super::habits::Known;
use super::page::{self, Page, Pages};
use super::request::ReportRequest;
use super::shift::{self, Proof};
use super::trouble::Trouble;
use super::wire::{Line, Stat};
use crate::outbound::error::{ErrorKind, PlatformError};

/// The most ids that one request is narrowed to.
const MOST_IDS: usize = 100;

/// What the connection says and what is known of its account.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) known: &'a Known,
    /// How many rows of a page it takes.
    pub(super) pages: &'a Sizes,
    /// The network's zone.
    pub(super) network: Option<&'a Zone>,
    /// The currency of amounts that name none.
    pub(super) currency: Option<Currency>,
}

/// Plans and starts a report. Its first page is read here, to learn which columns the account has.
pub(super) async fn start<'a>(
    api: &'a Api,
    query: &'a StatsQuery,
    terms: Terms<'a>,
) -> Result<Report<'a>, PlatformError> {
    let mut reader = ReportReader::of(api, query, terms)?;
    let mut warnings: Vec<Warning> = reader.prove_shift().await?.into_iter().collect();
    warnings.extend(terms.network.is_none().then(|| unknown_zone(query)));
    let first = reader.settle().await?;
    warnings.extend(reader.columns.warning());
    let is_whole = |part: &Part| matches!(part.way, Way::Moved(_));
    let unique_keys = first.iter().map(|(part, _)| part).chain(&reader.queue).all(is_whole)
        && (query.has(Dimension::Date) || query.range.len_days() == 1);
    let batches = Box::pin(try_stream! {
        yield Batch { warnings, ..Batch::default() };
        let mut next = first;
        let mut has_totals = true;
        while let Some((part, first)) = next {
            let planned = page::planned(&first);
            reader.afford(&part, planned)?;
            let mut pages = Pages::default();
            let mut number = 1;
            yield Batch::of(reader.take(&mut pages, number, first)?);
            {
                let mut ahead =
                    stream::iter(2..=planned).map(|number| reader.page(&part, number)).buffered(LIMITS.most_at_once());
                while pages.more {
                    number += 1;
                    let page = match ahead.next().await {
                        Some(page) => page,
                        None => reader.page(&part, number).await,
                    };
                    let page = page.map_err(|trouble| api.explain(trouble))?;
                    yield Batch::of(reader.take(&mut pages, number, page)?);
                }
            }
            match pages.check() {
                Some(check) => yield Batch { checks: vec![check], ..Batch::default() },
                None => has_totals = false,
            }
            next = reader.open().await.map_err(|trouble| api.explain(trouble))?;
        }
        if !has_totals {
            yield Batch { warnings: vec![without_totals()], ..Batch::default() };
        }
    });
    Ok(Report { unique_keys, batches })
}

/// Reads one row of a report, if there is one.
pub(super) async fn first_row(api: &Api, query: &StatsQuery, terms: Terms<'_>) -> Result<(), PlatformError> {
    let mut reader = ReportReader::of(api, query, terms)?;
    reader.most_rows = Some(1);
    reader.settle().await.map(drop)
}

fn unknown_zone(query: &StatsQuery) -> Warning {
    Warning {
        code: WarningCode::TimezoneFixedByPlatform,
        detail: format!(
            "TUNE reports in the network's own time zone and does not say which one that is. Days and hours are in that zone, not in {}; fill in the connection's time zone to have them moved.",
            query.zone.name()
        ),
    }
}

fn without_totals() -> Warning {
    Warning {
        code: WarningCode::TotalUnknown,
        detail: "TUNE did not answer with its own totals, so the rows could not be held against them.".to_owned(),
    }
}

/// The day and hour of a row, as far as they are asked for.
struct Moment {
    day: Option<Date>,
    hour: Option<u8>,
}

/// Asks for the parts of one report and reads the answers.
struct ReportReader<'a> {
    api: &'a Api,
    query: &'a StatsQuery,
    known: &'a Known,
    clocks: Clocks<'a>,
    columns: Columns,
    filters: Vec<(&'static str, Vec<&'a str>)>,
    currency: Option<Currency>,
    /// The parts that are still to be asked for.
    queue: VecDeque<Part>,
    /// Whether rows of several parts may have the same key.
    is_cut: bool,
    /// Whether the platform puts its clock back by the hours that it is asked to put it forward.
    is_reversed: bool,
    pages: &'a Sizes,
    /// The most rows that are wanted, where that is not a whole page.
    most_rows: Option<u32>,
    hasher: RandomState,
}

impl<'a> ReportReader<'a> {
    fn of(api: &'a Api, query: &'a StatsQuery, terms: Terms<'a>) -> Result<Self, PlatformError> {
        let columns =
            Columns::of(api.portal, &query.dimensions, terms.known.refused_columns()).map_err(|dimension| {
                PlatformError::unsupported(format!("TUNE cannot group by {dimension} for this connection."))
            })?;
        let clocks = Clocks {
            wanted: &query.zone,
            // Where nothing is known of the network's clock, days are taken as they come.
            network: terms.network.unwrap_or(&query.zone),
            by_hour: query.has(Dimension::Hour),
            never_moves: false,
        };
        let mut reader = Self {
            api,
            query,
            known: terms.known,
            clocks,
            columns,
            filters: filters(api, query),
            currency: terms.currency,
            queue: VecDeque::new(),
            is_cut: false,
            is_reversed: false,
            pages: terms.pages,
            most_rows: None,
            hasher: RandomState::new(),
        };
        reader.plan()?;
        Ok(reader)
    }

    fn plan(&mut self) -> Result<(), PlatformError> {
        self.queue = self.clocks.plan(self.query.range)?.into();
        self.is_cut = self.queue.len() > 1;
        let (needed, left) = (self.queue.len(), self.calls_left());
        if usize::try_from(left).is_ok_and(|left| needed <= left) {
            return Ok(());
        }
        Err(PlatformError::unsupported(format!("The query needs {needed} calls to TUNE, and {left} are allowed."))
            .hint("Ask for a shorter range, or in the network's own time zone."))
    }

    fn calls_left(&self) -> u32 {
        self.api.upstream.max_calls().saturating_sub(self.api.upstream.calls())
    }

    /// Before the platform is relied on to move days: sees that it does, and which way.
    async fn prove_shift(&mut self) -> Result<Option<Warning>, PlatformError> {
        if !self.queue.iter().any(|part| matches!(part.way, Way::Moved(1.. | ..=-1))) {
            return Ok(None);
        }
        let proof = match self.known.proof() {
            Some(proof) => proof,
            None => match shift::look(self.api, self.clocks.network).await {
                Ok(proof) => {
                    self.known.remember_proof(proof);
                    proof
                }
                Err(Trouble::Failed(error)) if error.kind.is_refusal() => return Err(error),
                Err(_) => Proof::Unproven,
            },
        };
        match proof {
            Proof::Forward => {}
            Proof::Back => self.is_reversed = true,
            Proof::Never => {
                self.clocks.never_moves = true;
                self.plan()?;
            }
            Proof::Unproven => {
                let (network, wanted) = (self.clocks.network.name(), self.clocks.wanted.name());
                return Ok(Some(Warning {
                    code: WarningCode::TimezoneUnproven,
                    detail: format!(
                        "TUNE was asked to move its days from {network} to {wanted}. The network's last weeks have too little traffic to see that it does."
                    ),
                }));
            }
        }
        Ok(None)
    }

    /// Opens the first part, without the columns that the account turns out not to have.
    async fn settle(&mut self) -> Result<Option<(Part, Page)>, PlatformError> {
        loop {
            let queue = self.queue.clone();
            match self.open().await {
                Ok(opened) => return Ok(opened),
                Err(Trouble::Column(name)) => match self.columns.do_without(&name) {
                    Some(column) => {
                        self.known.remember_refused(column);
                        self.queue = queue;
                    }
                    None => return Err(self.api.explain(Trouble::Column(name))),
                },
                Err(trouble) => return Err(self.api.explain(trouble)),
            }
        }
    }

    /// The first page of the next part, which is halved until the platform can answer it.
    async fn open(&mut self) -> Result<Option<(Part, Page)>, Trouble> {
        while let Some(part) = self.queue.pop_front() {
            let rows = self.rows_per_page();
            match self.page(&part, 1).await {
                Ok(page) => return Ok(Some((part, page))),
                Err(Trouble::PageTooLong(_)) if self.pages.step_down(rows) => self.queue.push_front(part),
                Err(Trouble::TooMuch) => {
                    let halves = self.clocks.halves(&part).ok_or(Trouble::TooMuch)??;
                    halves.into_iter().rev().for_each(|half| self.queue.push_front(half));
                    self.is_cut = true;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(None)
    }

    fn rows_per_page(&self) -> u32 {
        self.most_rows.unwrap_or_else(|| self.pages.current())
    }

    /// Refuses a part that has more pages than there are calls left.
    fn afford(&self, part: &Part, pages: u64) -> Result<(), PlatformError> {
        let left = u64::from(self.calls_left());
        if pages.saturating_sub(1) <= left {
            return Ok(());
        }
        let days = u64::from(part.days.len_days());
        // Rows are spread over the range more or less evenly; nothing better is known of them.
        let longest = (days * (left + 1) / pages).max(1);
        Err(PlatformError::unsupported(format!(
            "The report has {pages} pages, and {left} more calls to TUNE are allowed."
        ))
        .hint(format!("Ask for {longest} days at most, or for fewer dimensions.")))
    }

    async fn page(&self, part: &Part, number: u64) -> Result<Page, Trouble> {
        let by_hours = matches!(part.way, Way::ByHours(_));
        let hour_offset = match part.way {
            Way::Moved(hours) if self.is_reversed => -hours,
            Way::Moved(hours) => hours,
            Way::ByHours(_) => 0,
        };
        let limit = usize::try_from(self.rows_per_page()).unwrap_or(usize::MAX);
        let request = ReportRequest {
            ids: self.columns.ids(by_hours),
            names: self.columns.names(),
            metrics: self.columns.metrics(),
            days: part.asked_days(),
            hour_offset,
            filters: &self.filters,
            limit,
            page: usize::try_from(number).unwrap_or(usize::MAX),
        };
        let is_divisible = number == 1 && part.days.len_days() > 1;
        let answer = self.api.ask(&request, is_divisible).await?;
        let table = self.api.judge(&answer)?.table().map_err(|error| {
            // The parser's own words name fields and places, and at most a value of the tracker's.
            self.api.odd(&format!("sent a report that cannot be read: {}", self.api.upstream.quote(&error.to_string())))
        })?;
        let mut page = Page {
            rows: Vec::with_capacity(table.rows.len()),
            fingerprints: table.rows.iter().map(|line| self.fingerprint(&line.stat)).collect(),
            sum: Sum::default(),
            currencies: BTreeSet::new(),
            number: table.page,
            count: table.count,
            pages: table.pages,
            totals: table.totals().map(|totals| totals.metrics(self.api.portal)),
            limit,
        };
        for line in &table.rows {
            let metrics = line.stat.metrics(self.api.portal);
            page.sum.add(&metrics);
            page.currencies.insert(self.currency_of(&line.stat));
            page.rows.extend(self.row(part, line)?);
        }
        Ok(page)
    }

    fn take(&self, pages: &mut Pages, number: u64, page: Page) -> Result<Vec<Row>, PlatformError> {
        pages.take(number, page).map_err(|does| {
            PlatformError::new(ErrorKind::Inconsistent, format!("{} {does}.", self.api.upstream.host()))
        })
    }

    /// Tells a row from others of the same part.
    fn fingerprint(&self, stat: &Stat<'_>) -> u64 {
        let Stat { date, hour, offer, affiliate, advertiser, country, currency, infos, .. } = stat;
        self.hasher.hash_one((date, hour, offer, affiliate, advertiser, country, currency, infos))
    }

    /// A row in our terms, `None` where it belongs to no day that was asked for.
    fn row(&self, part: &Part, line: &Line<'_>) -> Result<Option<Row>, PlatformError> {
        let Some(Moment { day, hour }) = self.moment(part, &line.stat)? else { return Ok(None) };
        let key = self.query.dimensions.iter().map(|dimension| match dimension {
            Dimension::Date => day.map(DimensionValue::date).ok_or_else(|| self.lacks("day")),
            Dimension::Hour => hour.map(DimensionValue::hour).ok_or_else(|| self.lacks("hour")),
            Dimension::Offer => self.entity(line.stat.offer.as_deref(), &line.offer),
            Dimension::Affiliate => self.entity(line.stat.affiliate.as_deref(), &line.affiliate),
            Dimension::Advertiser => self.entity(line.stat.advertiser.as_deref(), &line.advertiser),
            Dimension::Country => {
                let code = line.stat.country.as_deref().map(str::to_ascii_uppercase);
                self.entity(code.as_deref(), &line.country)
            }
            Dimension::Sub(number) => {
                // Every letter of what a link carried counts; a blank id where it carried nothing.
                let place = usize::from(number.number()).checked_sub(1);
                let info = place.and_then(|place| line.stat.infos.get(place)).and_then(Option::as_deref);
                info.map(DimensionValue::plain).ok_or_else(|| self.lacks(dimension.key()))
            }
            _ => Err(self.lacks(dimension.key())),
        });
        let key = key.collect::<Result<_, _>>()?;
        let mut metrics = line.stat.metrics(self.api.portal);
        // Visitors that are counted once in each of two parts may be the same.
        let is_whole = matches!(part.way, Way::Moved(_)) && (self.query.has(Dimension::Date) || !self.is_cut);
        metrics.unique_clicks = metrics.unique_clicks.filter(|_| is_whole);
        Ok(Some(Row { key, currency: self.currency_of(&line.stat), metrics }))
    }

    /// The day and hour that a row belongs to, as far as they are asked for; `None` where that is no day of the part's.
    fn moment(&self, part: &Part, stat: &Stat<'_>) -> Result<Option<Moment>, PlatformError> {
        match &part.way {
            Way::Moved(_) => {
                let day = self.query.has(Dimension::Date).then(|| self.day(stat, part.days)).transpose()?;
                let hour = self.query.has(Dimension::Hour).then(|| self.hour(stat)).transpose()?;
                Ok(Some(Moment { day, hour }))
            }
            Way::ByHours(hours) => {
                let shown = (self.day(stat, hours.days)?, self.hour(stat)?);
                let place = hours.place(shown).ok_or_else(|| {
                    let network = self.clocks.network.name();
                    self.api
                        .odd(&format!(
                            "has traffic at {} {:02}:00, which no clock of {network} shows",
                            shown.0, shown.1
                        ))
                        .hint("Check the connection's time zone: it has to be the one that the network reports in.")
                })?;
                Ok(place.map(|(day, hour)| Moment { day: Some(day), hour: Some(hour) }))
            }
        }
    }

    fn day(&self, stat: &Stat<'_>, days: DateRange) -> Result<Date, PlatformError> {
        let text = stat.date.as_deref().ok_or_else(|| self.lacks("day"))?;
        let day = text.trim().parse().ok().filter(|day| days.contains(*day));
        day.ok_or_else(|| self.unexpected("day", text))
    }

    fn hour(&self, stat: &Stat<'_>) -> Result<u8, PlatformError> {
        let text = stat.hour.as_deref().ok_or_else(|| self.lacks("hour"))?;
        let hour = text.trim().parse().ok().filter(|hour| *hour < 24);
        hour.ok_or_else(|| self.unexpected("hour", text))
    }

    /// A blank id is traffic without such an entity.
    fn entity(&self, id: Option<&str>, name: &str) -> Result<DimensionValue, PlatformError> {
        match id.map(str::trim) {
            Some("") => Ok(DimensionValue::unknown()),
            Some(id) => Ok(DimensionValue::new(id, name)),
            None => Err(self.lacks("column")),
        }
    }

    /// The currency of a row: its own, that in the names of its amounts, or the connection's.
    fn currency_of(&self, stat: &Stat<'_>) -> Option<Currency> {
        let own = stat.currency.as_deref().filter(|_| self.columns.has_currency());
        own.and_then(|code| code.parse().ok()).or_else(|| stat.currency_of_amounts()).or(self.currency)
    }

    fn lacks(&self, what: &str) -> PlatformError {
        self.api.odd(&format!("sent a row without a {what} that was asked for"))
    }

    fn unexpected(&self, what: &str, text: &str) -> PlatformError {
        self.api.odd(&format!("sent a row of the {what} “{}”, which was not asked for", self.api.upstream.quote(text)))
    }
}

/// The caller's filters that the platform is given too: by numbered ids, several of which mean any of them. They are
/// applied again to what it answers.
fn filters<'a>(api: &Api, query: &'a StatsQuery) -> Vec<(&'static str, Vec<&'a str>)> {
    let is_number = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let filters = query.filters.iter().filter_map(|(dimension, ids)| {
        let column = columns::numbered(api.portal, *dimension)?;
        let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
        (ids.len() <= MOST_IDS && ids.iter().all(|id| is_number(id))).then_some((column, ids))
    });
    filters.collect()
}
