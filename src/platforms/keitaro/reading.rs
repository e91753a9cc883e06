//! The pages of one report being read, and the guards that notice where a panel ignores paging.

use std::collections::HashSet;

use smallvec::SmallVec;

use super::super::calendar::DateRange;
use super::super::stats::{Against, Check, Currency, Dimension, DimensionValue, Metrics, Row, StatsQuery};
use super::columns::Entity;
use super::panel::{Panel, Refused};
use super::request::{Asked, ReportRequest};
use super::time::{self, Form, Moment, Strange};
use super::wire::{Cell, Line, Odd, Page};
use crate::outbound::error::PlatformError;

/// What all parts of a report have in common.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) panel: &'a Panel,
    pub(super) query: &'a StatsQuery,
    pub(super) currency: Option<Currency>,
}

/// The report of one window, page by page.
pub(super) struct Reading<'a> {
    subject: Subject<'a>,
    request: ReportRequest,
    /// Rows of a key come from more than one window, so visitors are not told apart any more.
    pub(super) is_part: bool,
    received: usize,
    /// What pages before this one had, where there are several.
    seen: HashSet<Box<str>>,
    repeated: usize,
    previous: Option<u64>,
    /// What the first and the last page said of the number of rows.
    totals: Option<(usize, usize)>,
    is_complete: bool,
}

/// A page as rows.
pub(super) struct Sheet {
    rows: Vec<Row>,
    /// The columns that tell rows apart, as they stand in the answer; none where one page is all there is.
    keys: Vec<Box<str>>,
    len: usize,
    total: Option<usize>,
    limit: usize,
    fingerprint: u64,
}

/// How the number of rows that were read compares with what the panel said.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) check: Option<Check>,
    /// The numbers of rows before and after, where they moved.
    pub(super) moved: Option<(usize, usize)>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(subject: Subject<'a>, form: Form, window: DateRange) -> Self {
        Self {
            subject,
            request: ReportRequest::of(subject.query, form, window),
            is_part: false,
            received: 0,
            seen: HashSet::new(),
            repeated: 0,
            previous: None,
            totals: None,
            is_complete: false,
        }
    }

    /// The rows of the next page; `None` once all are read.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Row>>, Refused> {
        if self.is_complete {
            return Ok(None);
        }
        let request = self.request.starting_at(self.received);
        let (subject, window, offset) = (self.subject, request.window, self.received);
        let read = |page: &Page<'_>, asked: &Asked| subject.sheet(page, asked, window, offset);
        let mut sheet = subject.panel.ask(&request, read).await?;
        self.guard(&sheet)?;
        self.drop_repeated(&mut sheet);
        if self.is_part {
            sheet.rows.iter_mut().for_each(|row| row.metrics.unique_clicks = None);
        }
        Ok(Some(sheet.rows))
    }

    /// Drops rows that stood on an earlier page: others that came in before them have pushed them on.
    fn drop_repeated(&mut self, sheet: &mut Sheet) {
        let keys = std::mem::take(&mut sheet.keys);
        let mut is_new = keys.iter().map(|key| !self.seen.contains(key));
        let before = sheet.rows.len();
        sheet.rows.retain(|_| is_new.next().unwrap_or(true));
        self.repeated += before - sheet.rows.len();
        drop(is_new);
        self.seen.extend(keys);
    }

    /// Takes note of a page, or refuses it.
    fn guard(&mut self, sheet: &Sheet) -> Result<(), PlatformError> {
        let Sheet { len, total, limit, .. } = *sheet;
        let is_first = self.received == 0;
        if let Some(total) = total {
            self.totals = Some((self.totals.map_or(total, |(first, _)| first), total));
        }
        if len > limit && !(is_first && total == Some(len)) {
            return Err(self.incomplete("it ignores the length of a page, and nothing says that this was all"));
        }
        if len > 0 && self.previous == Some(sheet.fingerprint) {
            return Err(self.incomplete("a page came twice"));
        }
        self.previous = Some(sheet.fingerprint);
        self.received += len;
        self.is_complete = match total {
            Some(total) if self.received < total && len == 0 => {
                return Err(self.incomplete(&format!("it counts {total} rows, but its pages hold {}", self.received)));
            }
            Some(total) if self.received > total => len < limit,
            Some(total) => self.received == total,
            None => len < limit,
        };
        Ok(())
    }

    fn incomplete(&self, what: &str) -> PlatformError {
        self.subject.panel.inconsistent(what)
    }

    /// Holds the rows that were read against the number of them that the panel named.
    pub(super) fn count(&self) -> Result<Count, PlatformError> {
        let Some((first, last)) = self.totals else { return Ok(Count::default()) };
        let rows = self.received - self.repeated;
        if rows < first.min(last) {
            return Err(self.incomplete(&format!("it counts {last} rows, but its pages hold {rows} different ones")));
        }
        let differs = rows > first.max(last);
        let mismatch = differs.then(|| format!("There are {rows} rows, but Keitaro counts {last}."));
        Ok(Count {
            check: Some(Check { against: Against::SameSource, mismatch }),
            moved: (first != last).then_some((first, last)),
        })
    }
}

impl Subject<'_> {
    /// Reads a page as rows.
    pub(super) fn sheet(
        &self,
        page: &Page<'_>,
        asked: &Asked,
        window: DateRange,
        offset: usize,
    ) -> Result<Sheet, Refused> {
        let len = page.len();
        let is_whole = offset == 0 && page.total.map_or(len < asked.limit, |total| total == len);
        let mut sheet = Sheet {
            rows: Vec::with_capacity(len),
            keys: Vec::new(),
            len,
            total: page.total,
            limit: asked.limit,
            fingerprint: page.fingerprint(),
        };
        for line in page.lines(&asked.columns) {
            let line = line.map_err(|odd| self.panel.odd(&odd))?;
            if let Some(row) = self.row(&line, asked, window)? {
                sheet.rows.push(row);
                if !is_whole {
                    sheet.keys.push(native_key(&line, asked));
                }
            }
        }
        Ok(sheet)
    }

    fn row(&self, line: &Line<'_>, asked: &Asked, window: DateRange) -> Result<Option<Row>, Refused> {
        let odd = |odd: Odd| Refused::from(self.panel.odd(&odd));
        let (times, cells) = line.split_at(asked.form.columns().len().min(line.len()));
        let moment = time::read(asked.form, window, times).map_err(|strange| self.strange(strange))?;
        let mut cells = cells.iter().copied();
        let mut next = || cells.next().ok_or(Odd::new("a row is too short"));
        let mut values: SmallVec<[(Dimension, DimensionValue); 4]> = SmallVec::new();
        for entity in &asked.entities {
            let id = next().map_err(odd)?;
            let name = entity.name.map(|_| next()).transpose().map_err(odd)?;
            values.push((entity.dimension, value(entity, id, name).map_err(odd)?));
        }
        let mut metrics = Metrics::default();
        for figure in &asked.figures {
            next().and_then(|cell| figure.read(cell, &mut metrics)).map_err(odd)?;
        }
        if asked.form == Form::EachDay && asked.entities.is_empty() && is_idle(&metrics) {
            return Ok(None);
        }
        let is_one_of_several = moment.date.is_some() && window.len_days() > 1 && !self.query.has(Dimension::Date);
        if is_one_of_several {
            metrics.unique_clicks = None;
        }
        let key = self.query.dimensions.iter().map(|dimension| of(*dimension, &values, moment)).collect::<Option<_>>();
        let key = key.ok_or_else(|| PlatformError::unsupported("Keitaro cannot group like that."))?;
        Ok(Some(Row { key, currency: self.currency, metrics }))
    }

    fn strange(&self, strange: Strange) -> Refused {
        match strange {
            Strange::Spelling(column) => Refused::Column(column),
            Strange::Outside => self.panel.inconsistent("it answers with a day that was not asked for").into(),
            Strange::Apart => self.panel.inconsistent("the day and the hour of a row are of different days").into(),
        }
    }
}

/// What tells a row from others in the panel's own words.
fn native_key(line: &Line<'_>, asked: &Asked) -> Box<str> {
    let columns = line.len().saturating_sub(asked.figures.len());
    let mut key = String::new();
    for cell in line.iter().take(columns) {
        key.push_str(&cell.label());
        key.push('\0');
    }
    key.into_boxed_str()
}

fn of(dimension: Dimension, values: &[(Dimension, DimensionValue)], moment: Moment) -> Option<DimensionValue> {
    match dimension {
        Dimension::Date => moment.date.map(DimensionValue::date),
        Dimension::Hour => moment.hour.map(DimensionValue::hour),
        _ => values.iter().find(|(known, _)| *known == dimension).map(|(_, value)| value.clone()),
    }
}

/// The entity of a row. Rows without one have a blank id.
fn value(entity: &Entity, id: Cell<'_>, name: Option<Cell<'_>>) -> Result<DimensionValue, Odd> {
    // Every letter of what a link carried counts.
    if entity.dimension.is_sub_id() {
        return Ok(DimensionValue::plain(id.label().as_ref()));
    }
    let label = |cell: Cell<'_>| cell.label().trim().to_owned();
    let text = match entity.dimension {
        // Its id is its name.
        Dimension::AffiliateNetwork => label(id),
        Dimension::Country => id.text()?.unwrap_or_default().trim().to_uppercase(),
        _ => id.text()?.unwrap_or_default().trim().to_owned(),
    };
    Ok(if matches!(text.as_str(), "" | "-" | "0") {
        DimensionValue::new("", "(none)")
    } else {
        DimensionValue::new(text, name.map(label).unwrap_or_default())
    })
}

/// Whether a row says that nothing happened.
fn is_idle(metrics: &Metrics) -> bool {
    let Metrics { clicks, unique_clicks, conversions, approved, pending, rejected, revenue, cost, .. } = *metrics;
    let counts = [clicks, unique_clicks, conversions, approved, pending, rejected];
    counts.into_iter().flatten().all(|count| count == 0)
        && [revenue, cost].into_iter().flatten().all(|amount| amount.is_zero())
}
