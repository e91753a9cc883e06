//! Reading a report whole, whatever the platform's row cap.
//!
//! The range is asked at once. An answer at the cap is thrown away and its range halved; a single day is cut by the
//! ids of one of the report's own columns, which are listed first. Parts are disjoint and together complete, and both
//! is checked: a part must hold every id it was cut for and no other. So rows of parts never have to be added up
//! unless they would have to be without the cap.
//!
//! Cutting by offer, affiliate, advertiser and campaign is enough. What a day then has left are countries by hours,
//! and there are fewer than 10,000 of these.

use std::collections::{BTreeSet, HashSet};

use compact_str::CompactString;
use futures_util::stream::{self, StreamExt};
use jiff::{Timestamp, ToSpan};
use smallvec::SmallVec;

use super::super::calendar::{DateRange, Zone};
use super::super::stats::{
    Batch, Check, Currency, Dimension, DimensionValue, Key, Metrics, Report, Row, StatsQuery, Warning,
};
use super::super::total::Sum;
use super::LIMITS;
use super::api::Api;
use super::parts::{Listing, MAX_DAYS, Narrow, Part, ROW_CAP, Work};
use super::portal::Portal;
use super::time::{self, HourId};
use super::wire::{AskedColumn, Cell, Filter, Narrowing, ReportRequest, Reporting, Table, TableRow};
use super::zones::{self, Listed};
use crate::outbound::Answer;
use crate::outbound::error::{ErrorKind, PlatformError};

/// What a report is asked in.
pub(super) struct Terms<'a> {
    /// The time zones that have a number.
    pub(super) zones: &'a [Listed],
    /// The currency.
    pub(super) currency: Currency,
    /// What the caller should know about the two.
    pub(super) warnings: Vec<Warning>,
}

/// Plans and starts a report.
pub(super) fn start<'a>(api: &'a Api, query: &'a StatsQuery, terms: Terms<'_>) -> Result<Report<'a>, PlatformError> {
    let reader = ReportReader {
        api,
        query,
        columns: columns(api.portal(), &query.dimensions)?,
        caller: caller_narrows(api.portal(), query),
        timezone_id: zones::find(terms.zones, &query.zone, query.range)?,
        currency: terms.currency,
    };
    // Parts differ in their days or in ids that the rows have, and what comes twice in an answer is refused.
    let unique_keys = !query.has(Dimension::Hour) && (query.has(Dimension::Date) || query.range.len_days() == 1);
    let mut work = Work::of(query.range, api.strides().current());
    reader.afford(work.parts())?;
    let warnings = terms.warnings;
    let batches = Box::pin(async_stream::try_stream! {
        yield Batch { warnings, ..Batch::default() };
        // Days that are not over go on while they are read.
        let before = if reader.is_over() { None } else { reader.total().await };
        let mut sum = Sum::default();
        while let Some(wave) = work.wave() {
            let mut again = Vec::new();
            let read = |part| async { (reader.read(&part).await, part) };
            let mut outcomes = stream::iter(wave).map(read).buffered(LIMITS.most_at_once());
            while let Some((outcome, part)) = outcomes.next().await {
                match outcome? {
                    Outcome::Rows(rows) => {
                        work.record_whole(&part, rows.len());
                        rows.iter().for_each(|row| sum.add(&row.metrics));
                        yield Batch::of(rows);
                    }
                    Outcome::Cut(parts) => {
                        work.record_cut(&part);
                        again.extend(parts);
                    }
                    Outcome::TooMuch(parts) => {
                        work.record_refusal(&part);
                        api.strides().step_down(part.window.len_days());
                        again.extend(parts);
                    }
                    Outcome::ByDay => {
                        work.ask_single_days();
                        again.push(part);
                    }
                }
            }
            work.put_back(again);
            if work.single_days {
                reader.afford(work.days())?;
            }
        }
        if let Some(check) = reader.check(&sum, before).await {
            yield Batch { checks: vec![check], ..Batch::default() };
        }
    });
    Ok(Report { unique_keys, batches })
}

/// Reads the smallest report there is, only to see that it can be read.
pub(super) async fn probe(api: &Api, terms: Terms<'_>) -> Result<(), PlatformError> {
    let zone = Zone::utc();
    let today = zone.date_at(Timestamp::now());
    let query = StatsQuery {
        dimensions: vec![Dimension::Offer],
        range: DateRange::day(today.saturating_sub(1.day())),
        filters: Default::default(),
        zone,
    };
    let reader = ReportReader {
        api,
        query: &query,
        columns: columns(api.portal(), &query.dimensions)?,
        caller: Vec::new(),
        timezone_id: zones::find(terms.zones, &query.zone, query.range)?,
        currency: terms.currency,
    };
    let part = Part { window: query.range, narrows: Vec::new() };
    let answer = reader.ask("entity/table", &part, &reader.columns).await?.ok_or_else(|| api.exhausted())?;
    reader.rows(&part, &reader.table(&answer)?).map(|_| ())
}

/// The native column of a dimension.
fn column(portal: Portal, dimension: Dimension) -> Option<&'static str> {
    let network = portal == Portal::Network;
    match dimension {
        Dimension::Date => Some("date"),
        Dimension::Hour => Some("hour"),
        Dimension::Offer => Some("offer"),
        Dimension::Country => Some("country_code"),
        Dimension::Affiliate if network => Some("affiliate"),
        Dimension::Advertiser if network => Some("advertiser"),
        Dimension::Campaign if network => Some("campaign"),
        Dimension::Affiliate
        | Dimension::Advertiser
        | Dimension::Campaign
        | Dimension::TrafficSource
        | Dimension::AffiliateNetwork
        | Dimension::Week
        | Dimension::Month => None,
        Dimension::Sub(number) => match number.number() {
            1 => Some("sub1"),
            2 => Some("sub2"),
            3 => Some("sub3"),
            4 => Some("sub4"),
            5 => Some("sub5"),
            // Newer accounts have more; no documented report of either portal does.
            _ => None,
        },
    }
}

/// The native column of a dimension whose rows a filter can pick by id. Countries are filtered by name, times not, and of
/// what links carry it is nowhere written how it is compared.
fn id_column(portal: Portal, dimension: Dimension) -> Option<&'static str> {
    match dimension {
        Dimension::Date | Dimension::Hour | Dimension::Country | Dimension::Sub(_) => None,
        _ => column(portal, dimension),
    }
}

/// The columns to ask for: at most one of time, first, then the others in the order of the dimensions.
fn columns(portal: Portal, dimensions: &[Dimension]) -> Result<Vec<&'static str>, PlatformError> {
    let time = [Dimension::Hour, Dimension::Date].into_iter().find(|time| dimensions.contains(time));
    let others = dimensions.iter().copied().filter(|dimension| !dimension.is_time());
    time.into_iter()
        .chain(others)
        .map(|dimension| {
            column(portal, dimension).ok_or_else(|| {
                PlatformError::unsupported(format!("Everflow cannot group by {dimension} for this connection."))
            })
        })
        .collect()
}

/// The caller's filters that the platform is given too. Only one id at a time: that several mean "any of them" is
/// documented nowhere. What the platform makes of them is not relied on; they are applied again to what it answers.
fn caller_narrows(portal: Portal, query: &StatsQuery) -> Vec<Narrow> {
    query
        .filters
        .iter()
        .filter_map(|(dimension, ids)| {
            let column = id_column(portal, *dimension)?;
            let id = ids.first().filter(|id| ids.len() == 1 && is_native_id(id))?;
            Some(Narrow { column, ids: vec![id.clone()], without: false })
        })
        .collect()
}

/// Whether the platform could have given this id; it may refuse a filter by any other.
fn is_native_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// What became of a part.
enum Outcome {
    /// All its rows.
    Rows(Vec<Row>),
    /// It has more rows than the platform hands out; these are asked instead.
    Cut(Vec<Part>),
    /// The platform says that it is too much; these are asked instead.
    TooMuch(Vec<Part>),
    /// Its hours name no day; each of its days must be asked alone.
    ByDay,
}

/// Asks for parts of one report and reads the answers.
struct ReportReader<'a> {
    api: &'a Api,
    query: &'a StatsQuery,
    columns: Vec<&'static str>,
    caller: Vec<Narrow>,
    timezone_id: i64,
    currency: Currency,
}

impl ReportReader<'_> {
    /// Refuses what cannot be read within the calls that a query may make.
    fn afford(&self, calls: usize) -> Result<(), PlatformError> {
        let upstream = self.api.upstream();
        let left = upstream.max_calls().saturating_sub(upstream.calls());
        if usize::try_from(left).is_ok_and(|left| calls <= left) {
            return Ok(());
        }
        Err(PlatformError::unsupported(format!(
            "The query needs {calls} more calls to Everflow, and {left} are allowed."
        ))
        .hint(format!("Ask for {} days at most.", left.max(1))))
    }

    async fn read(&self, part: &Part) -> Result<Outcome, PlatformError> {
        let Some(answer) = self.ask("entity/table", part, &self.columns).await? else {
            // Code 8 means throttled or too large: less is asked for until nothing smaller is left.
            return self.cut(part).await.map(Outcome::TooMuch).map_err(|_| self.api.exhausted());
        };
        let table = self.table(&answer)?;
        self.check_narrows(part, &table)?;
        if is_cut(&table) {
            return self.cut(part).await.map(Outcome::Cut);
        }
        self.check_presence(part, &table)?;
        Ok(self.rows(part, &table)?.map_or(Outcome::ByDay, Outcome::Rows))
    }

    /// `None` where the platform says that this is too much for it.
    async fn ask(&self, path: &str, part: &Part, columns: &[&'static str]) -> Result<Option<Answer>, PlatformError> {
        let filters = |without: bool| {
            self.caller
                .iter()
                .chain(&part.narrows)
                .filter(|narrow| narrow.without == without)
                .flat_map(|narrow| {
                    narrow.ids.iter().map(|id| Filter { resource_type: narrow.column, filter_id_value: id })
                })
                .collect()
        };
        let request = ReportRequest {
            from: part.window.from().to_string(),
            to: part.window.to().to_string(),
            timezone_id: self.timezone_id,
            currency_id: self.currency.as_str(),
            columns: columns.iter().map(|column| AskedColumn { column }).collect(),
            query: Narrowing { filters: filters(false), exclusions: filters(true) },
        };
        self.api.report(path, &request).await
    }

    fn table<'t>(&self, answer: &'t Answer) -> Result<Table<'t>, PlatformError> {
        Table::read(&answer.body).map_err(|error| self.api.unreadable(answer, &error))
    }

    /// The parts of a part that has more rows than the platform hands out.
    async fn cut(&self, part: &Part) -> Result<Vec<Part>, PlatformError> {
        if let Some(halves) = part.halves() {
            return Ok(halves);
        }
        for dimension in &self.query.dimensions {
            let fixed = |column: &str| self.caller.iter().chain(&part.narrows).any(|narrow| narrow.column == column);
            let Some(column) = id_column(self.api.portal(), *dimension).filter(|column| !fixed(column)) else {
                continue;
            };
            if let Some(listing) = self.list(part, *dimension, column).await? {
                return Ok(part.by_ids(column, &listing));
            }
        }
        Err(PlatformError::unsupported(format!(
            "{} alone has more rows than Everflow hands out ({ROW_CAP}).",
            part.window.from()
        ))
        .hint("Ask for fewer dimensions, or for one offer with a filter."))
    }

    /// The ids that a column has in a part, `None` where these are too many as well.
    async fn list(
        &self,
        part: &Part,
        dimension: Dimension,
        column: &'static str,
    ) -> Result<Option<Listing>, PlatformError> {
        let Some(answer) = self.ask("entity/table", part, &[column]).await? else { return Ok(None) };
        let table = self.table(&answer)?;
        if is_cut(&table) {
            return Ok(None);
        }
        let mut ids = BTreeSet::new();
        for row in &table.rows {
            for cell in self.cells(row, &[column])? {
                if !ids.insert(CompactString::from(cell.id.trim())) {
                    return Err(self.repeated());
                }
            }
        }
        if ids.is_empty() {
            return Err(self.moved());
        }
        let wanted = |id: &str| self.query.filters.get(&dimension).is_none_or(|filter| filter.contains(id));
        let blank = ids.contains("") && wanted(DimensionValue::UNKNOWN_ID);
        let all: Vec<CompactString> = ids.into_iter().filter(|id| !id.is_empty()).collect();
        let wanted = all.iter().filter(|id| wanted(id)).cloned().collect();
        Ok(Some(Listing { all, wanted, blank }))
    }

    /// Checks that an answer, cut or not, keeps to what the part was cut down to. A filter that the platform does not
    /// understand would widen it.
    fn check_narrows(&self, part: &Part, table: &Table<'_>) -> Result<(), PlatformError> {
        for narrow in &part.narrows {
            if !self.ids(table, narrow.column).all(|id| narrow.passes(id)) {
                let detail = format!("Everflow did not keep to a filter by {}.", narrow.column);
                return Err(PlatformError::bad_response(detail));
            }
        }
        Ok(())
    }

    /// Checks that a whole answer has rows for every id that the part was made for: each was listed just before.
    fn check_presence(&self, part: &Part, table: &Table<'_>) -> Result<(), PlatformError> {
        for narrow in part.narrows.iter().filter(|narrow| !narrow.without) {
            let present: HashSet<&str> = self.ids(table, narrow.column).collect();
            if !narrow.ids.iter().all(|id| present.contains(id.as_str())) {
                return Err(self.moved());
            }
        }
        Ok(())
    }

    fn ids<'t>(&self, table: &'t Table<'_>, column: &'static str) -> impl Iterator<Item = &'t str> {
        let cells = table.rows.iter().flat_map(|row| &row.columns);
        cells.filter(move |cell| cell.column_type == column).map(|cell| cell.id.trim())
    }

    /// The rows of a whole answer, each checked against what was asked; `None` where hours name no day and the part
    /// has several.
    fn rows(&self, part: &Part, table: &Table<'_>) -> Result<Option<Vec<Row>>, PlatformError> {
        let mut rows = Vec::with_capacity(table.rows.len());
        let mut seen: HashSet<(&str, SmallVec<[CompactString; 3]>)> = HashSet::with_capacity(table.rows.len());
        for native in &table.rows {
            let cells = self.cells(native, &self.columns)?;
            let Some(key) = self.key(part.window, &cells)? else { return Ok(None) };
            let hour = self.hour_id(&cells);
            if !seen.insert((hour, key.iter().map(|value| value.id.clone()).collect())) && !time::may_recur(hour) {
                return Err(self.repeated());
            }
            let metrics = native.reporting.metrics(self.api.portal());
            rows.push(Row { key, currency: Some(self.currency), metrics });
        }
        Ok(Some(rows))
    }

    /// The id of a row's hour, blank where hours were not asked for: two hours of a day can have the same key, as the
    /// clocks go back.
    fn hour_id<'t>(&self, cells: &[&'t Cell<'t>]) -> &'t str {
        let hour = cells.first().filter(|_| self.query.has(Dimension::Hour));
        hour.map(|cell| cell.id.trim()).unwrap_or_default()
    }

    /// The cells of a row in the order of `columns`, which must be the very ones that the row has.
    fn cells<'t>(&self, row: &'t TableRow<'t>, columns: &[&str]) -> Result<SmallVec<[&'t Cell<'t>; 1]>, PlatformError> {
        if row.columns.len() != columns.len() {
            return Err(self.misshapen());
        }
        columns
            .iter()
            .map(|column| row.columns.iter().find(|cell| cell.column_type == *column).ok_or_else(|| self.misshapen()))
            .collect()
    }

    /// The key of a row, `None` where its hour names no day and the window has several.
    fn key(&self, window: DateRange, cells: &[&Cell<'_>]) -> Result<Option<Key>, PlatformError> {
        let timed = self.query.dimensions.iter().any(|dimension| dimension.is_time());
        let (time, others) = cells.split_at_checked(usize::from(timed)).ok_or_else(|| self.misshapen())?;
        let moment = match time.first() {
            Some(cell) => self.moment(cell, window)?,
            None => Moment::default(),
        };
        let mut others = others.iter();
        let mut key = Key::new();
        for dimension in &self.query.dimensions {
            key.push(match dimension {
                Dimension::Date => match moment.day {
                    Some(day) => DimensionValue::date(day),
                    None => return Ok(None),
                },
                Dimension::Hour => DimensionValue::hour(moment.hour),
                Dimension::Country => country(others.next().ok_or_else(|| self.misshapen())?),
                Dimension::Sub(_) => sub_id(others.next().ok_or_else(|| self.misshapen())?),
                _ => entity(others.next().ok_or_else(|| self.misshapen())?),
            });
        }
        Ok(Some(key))
    }

    /// What the time column of a row says. The day must be one that was asked for.
    fn moment(&self, cell: &Cell<'_>, window: DateRange) -> Result<Moment, PlatformError> {
        let id = cell.id.trim();
        let read = if self.query.has(Dimension::Hour) {
            time::hour(id, &self.query.zone).map(|hour| match hour {
                HourId::Of(day, hour) => Moment { day: Some(day), hour },
                HourId::OfAnyDay(hour) => Moment { day: (window.from() == window.to()).then_some(window.from()), hour },
            })
        } else {
            time::day(id, &self.query.zone).map(|day| Moment { day: Some(day), hour: 0 })
        };
        let odd = |what: &str| {
            let id = self.api.upstream().quote(id);
            PlatformError::bad_response(format!("Everflow's {} “{id}” {what}.", cell.column_type))
        };
        let moment = read.ok_or_else(|| odd("cannot be understood in this time zone"))?;
        match moment.day {
            Some(day) if !window.contains(day) => Err(odd("lies outside the range that was asked for")),
            _ => Ok(moment),
        }
    }

    fn is_over(&self) -> bool {
        self.query.zone.date_at(Timestamp::now()) > self.query.range.to()
    }

    /// Holds the rows against the platform's own total, which may have been another before they were read.
    async fn check(&self, sum: &Sum, before: Option<Metrics>) -> Option<Check> {
        match before {
            Some(before) => {
                let check = sum.compare("Everflow", &before);
                if check.mismatch.is_none() {
                    return Some(check);
                }
                self.total().await.map(|after| sum.compare_between("Everflow", &before, &after))
            }
            None if self.is_over() => self.total().await.map(|total| sum.compare("Everflow", &total)),
            None => None,
        }
    }

    /// The platform's own total, where it has one that can be compared: for networks, and where no row is left unread
    /// because a filter makes it useless. A total that cannot be read leaves the report unchecked; the rows do not
    /// depend on it.
    async fn total(&self) -> Option<Metrics> {
        let portal = self.api.portal();
        let all_read = self.query.filters.keys().all(|dimension| {
            let column = id_column(portal, *dimension);
            column.is_none_or(|column| self.caller.iter().any(|narrow| narrow.column == column))
        });
        if portal != Portal::Network || !all_read || self.query.range.len_days() > MAX_DAYS {
            return None;
        }
        let whole = Part { window: self.query.range, narrows: Vec::new() };
        let answer = self.ask("entity/summary", &whole, &self.columns).await.ok().flatten()?;
        let total: Reporting = serde_json::from_slice(&answer.body).ok()?;
        Some(total.metrics(portal))
    }

    fn misshapen(&self) -> PlatformError {
        PlatformError::bad_response("Everflow's rows have other columns than were asked for.")
    }

    fn repeated(&self) -> PlatformError {
        PlatformError::bad_response("Everflow gave the same row twice.")
    }

    fn moved(&self) -> PlatformError {
        PlatformError::new(
            ErrorKind::Inconsistent,
            "Everflow lists ids for a day and then has no rows for them: the report moved while it was read.",
        )
    }
}

/// The day and hour of a row.
#[derive(Default)]
struct Moment {
    day: Option<jiff::civil::Date>,
    hour: u8,
}

fn is_cut(table: &Table<'_>) -> bool {
    table.incomplete || table.rows.len() >= ROW_CAP
}

/// A blank id is traffic without such an entity.
fn entity(cell: &Cell<'_>) -> DimensionValue {
    match cell.id.trim() {
        "" => DimensionValue::unknown(),
        id => DimensionValue::new(id, &cell.label),
    }
}

/// What a link carried, letter by letter; a blank id where it carried nothing.
fn sub_id(cell: &Cell<'_>) -> DimensionValue {
    DimensionValue::plain(if cell.id.is_empty() { cell.label.as_ref() } else { cell.id.as_ref() })
}

/// A country by its two letters, whichever of id and label they stand in.
fn country(cell: &Cell<'_>) -> DimensionValue {
    let letters = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let (id, label) = (cell.id.trim(), cell.label.trim());
    if letters(id) {
        DimensionValue::new(id.to_ascii_uppercase(), label)
    } else if letters(label) {
        DimensionValue::plain(label.to_ascii_uppercase())
    } else {
        entity(cell)
    }
}
