//! From a question to rows: which windows are read, in what order, and what is made of them.

use futures_util::{StreamExt, stream};
use jiff::civil::Date;
use rust_decimal::Decimal;

use super::super::assemble::Sums;
use super::super::calendar::DateRange;
use super::super::stats::{
    Against, Batch, Check, Dimension, DimensionValue, Key, Report, Row, StatsQuery, Warning, WarningCode,
};
use super::LIMITS;
use super::api::{Api, Part, ReportRequest, Road};
use super::currency::{Labels, Listed};
use super::tree::{Fields, Malformed};
use super::wire::{self, Measured};
use crate::outbound::error::PlatformError;

/// How rows of a report are read.
#[derive(Clone, Copy)]
pub(super) struct RowReader {
    /// An entity of a row; `None` where the row has no place for it.
    pub(super) entity: fn(&Fields, Dimension) -> Option<DimensionValue>,
    /// The numbers of a row.
    pub(super) metrics: fn(&Fields) -> Result<Measured, Malformed>,
}

/// What says which day and hour a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// The row's own date.
    Date,
    /// The row's own hour; the window is one day. Whether hours are those of each day or are summed over the range
    /// is not documented, and over one day it makes no difference.
    Hour,
    /// The window, which is one day wherever the day matters.
    Window,
}

/// A report to be read.
pub(super) struct Pull<'a> {
    pub(super) api: &'a Api,
    pub(super) road: &'a Road,
    pub(super) reader: RowReader,
    pub(super) clock: Clock,
    /// The most days of one call.
    pub(super) longest: u32,
    pub(super) labels: Labels,
    pub(super) warning: Option<Warning>,
    /// A report with an envelope, to tell an empty bare list from a refusal that looks like one.
    pub(super) proof: Option<&'a Road>,
}

impl<'a> Pull<'a> {
    /// Starts reading, unless the plan alone has too many calls.
    pub(super) fn start(mut self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        let days = self.days_per_call(query);
        let windows = query.range.windows(days);
        self.check_calls(windows.len(), days)?;
        let (api, road) = (self.api, self.road);
        let pushed = pushed(query);
        let batches = async_stream::try_stream! {
            if let Some(warning) = self.warning.take() {
                yield Batch { warnings: vec![warning], ..Batch::default() };
            }
            let mut said = Vec::new();
            let request = ReportRequest { road, pushed: &pushed };
            let mut fetched =
                stream::iter(windows).map(|window| api.window(request, window)).buffered(LIMITS.most_at_once());
            while let Some(parts) = fetched.next().await {
                for part in parts? {
                    self.prove_if_empty(&part).await?;
                    let listed = api.listed_for(&part.rows).await?;
                    let mut batch = self.batch(query, &part, listed)?;
                    // Each warning is about the report, and so is given once.
                    batch.warnings.retain(|warning| !said.contains(&warning.code));
                    said.extend(batch.warnings.iter().map(|warning| warning.code));
                    yield batch;
                }
            }
        };
        // No two windows have a day in common, and within each the rows of a key are added up.
        Ok(Report { unique_keys: query.has(Dimension::Date), batches: Box::pin(batches) })
    }

    fn days_per_call(&self, query: &StatsQuery) -> u32 {
        match self.clock {
            Clock::Hour => 1,
            Clock::Window if query.has(Dimension::Date) => 1,
            Clock::Date | Clock::Window => self.longest,
        }
    }

    fn check_calls(&self, planned: usize, days_per_call: u32) -> Result<(), PlatformError> {
        let upstream = self.api.upstream();
        let left = upstream.max_calls().saturating_sub(upstream.calls());
        // One more than the windows: for the list of currencies, or to prove an empty answer.
        if usize::try_from(left).is_ok_and(|left| planned < left) {
            let days = u32::try_from(planned).unwrap_or(u32::MAX).saturating_mul(days_per_call);
            return upstream.has_time_for(planned, Some(days));
        }
        let longest = left.saturating_sub(1).saturating_mul(days_per_call);
        Err(PlatformError::unsupported(format!(
            "This table takes one call to CAKE for every {days_per_call} day(s), {planned} in all; at most {left} are made."
        ))
        .hint(format!("Ask for at most {longest} days.")))
    }

    /// An empty list without an envelope may be what a refused key gets. One good answer from a report that says
    /// whether it succeeded settles that for the whole pull.
    async fn prove_if_empty(&mut self, part: &Part) -> Result<(), PlatformError> {
        if part.rows.is_empty()
            && let Some(proof) = self.proof.take()
        {
            self.api.probe(proof, part.window.to()).await?;
        }
        Ok(())
    }

    /// The rows of one part, added up by key, with what there is to check and to say of them.
    fn batch(&mut self, query: &StatsQuery, part: &Part, listed: Option<&Listed>) -> Result<Batch, PlatformError> {
        static NONE: Listed = Listed::new();
        let api = self.api;
        let odd = |malformed: Malformed| api.judge.odd(&format!("sent a row that cannot be read: {malformed}"));
        let mut sums = Sums::default();
        let mut profit = ProfitCheck::default();
        let mut rounded = false;
        for fields in &part.rows {
            let Some((day, hour)) = self.moment(fields, part.window).map_err(odd)? else { continue };
            let key = self.key(query, fields, day, hour)?;
            let measured = (self.reader.metrics)(fields).map_err(odd)?;
            let currency = self.labels.of(wire::denomination(fields), listed.unwrap_or(&NONE))?;
            rounded |= measured.rounded;
            profit.add(&measured);
            sums.add(Row { key, currency, metrics: measured.metrics }, query.dimensions.len());
        }
        let mut checks: Vec<Check> = profit.outcome().into_iter().collect();
        if let Some(summary) = &part.summary {
            checks.extend(wire::hold_against(summary, &part.rows).map_err(odd)?);
        }
        let warnings = [rounded.then(counts_rounded), listed.is_none().then(currencies_unnamed)];
        Ok(Batch { rows: sums.rows, checks, warnings: warnings.into_iter().flatten().collect(), ..Batch::default() })
    }

    /// The day and hour of a row; `None` where it lies outside of its window, because the platform counts the end
    /// of a range differently: another window has it, or nobody asked for it.
    fn moment(&self, row: &Fields, window: DateRange) -> Result<Option<(Date, Option<u8>)>, Malformed> {
        let (day, hour) = match self.clock {
            Clock::Window => (window.from(), None),
            Clock::Date => (wire::day(row)?, None),
            Clock::Hour => {
                let (day, hour) = wire::hour(row)?;
                (day.unwrap_or(window.from()), Some(hour))
            }
        };
        Ok(window.contains(day).then_some((day, hour)))
    }

    fn key(&self, query: &StatsQuery, row: &Fields, day: Date, hour: Option<u8>) -> Result<Key, PlatformError> {
        query
            .dimensions
            .iter()
            .map(|dimension| {
                let value = match dimension {
                    Dimension::Date => Some(DimensionValue::date(day)),
                    Dimension::Hour => hour.map(DimensionValue::hour),
                    entity => (self.reader.entity)(row, *entity),
                };
                value.ok_or_else(|| {
                    PlatformError::unsupported(format!(
                        "{}'s report does not say which {dimension} its rows belong to.",
                        self.api.upstream().host()
                    ))
                    .hint(format!("Ask for {dimension} alone or with date."))
                })
            })
            .collect()
    }
}

/// The ids that CAKE can filter by itself: one of each kind. Only reports that declare the parameter take it, and
/// rows are filtered again afterwards in any case.
fn pushed(query: &StatsQuery) -> Vec<(&'static [&'static str], &str)> {
    let names = |dimension: Dimension| -> Option<&'static [&'static str]> {
        match dimension {
            Dimension::Affiliate => Some(&["source_affiliate_id", "affiliate_id"]),
            Dimension::Offer => Some(&["site_offer_id", "offer_id"]),
            Dimension::Advertiser => Some(&["brand_advertiser_id", "advertiser_id"]),
            Dimension::Campaign => Some(&["campaign_id"]),
            _ => None,
        }
    };
    query
        .filters
        .iter()
        .filter_map(|(dimension, ids)| {
            let mut ids = ids.iter();
            let (id, None) = (ids.next()?, ids.next()) else { return None };
            // Zero means all to CAKE, and a number beyond its own is not taken.
            let is_id = id.parse::<i32>().is_ok_and(|number| number > 0);
            is_id.then_some((names(*dimension)?, id.as_str()))
        })
        .collect()
}

fn currencies_unnamed() -> Warning {
    Warning {
        code: WarningCode::CurrenciesUnnamed,
        detail: "The network does not let this key read its list of currencies. Amounts are labelled by their symbol where it stands for one currency only, else by the connection's own setting.".to_owned(),
    }
}

fn counts_rounded() -> Warning {
    Warning {
        code: WarningCode::CountsRounded,
        detail: "CAKE credits fractions of conversions in some rows; each was rounded to a whole number.".to_owned(),
    }
}

/// Holds revenue less payout against the profit that CAKE states, where every row states one.
#[derive(Default)]
struct ProfitCheck {
    seen: bool,
    unknown: bool,
    ours: Decimal,
    stated: Decimal,
}

impl ProfitCheck {
    fn add(&mut self, row: &Measured) {
        let sums =
            row.profit.zip(row.metrics.revenue).zip(row.metrics.payout).and_then(|((profit, revenue), payout)| {
                let ours = self.ours.checked_add(revenue)?.checked_sub(payout)?;
                Some((ours, self.stated.checked_add(profit)?))
            });
        match sums {
            Some((ours, stated)) => (self.seen, self.ours, self.stated) = (true, ours, stated),
            None => self.unknown = true,
        }
    }

    fn outcome(&self) -> Option<Check> {
        if !self.seen || self.unknown {
            return None;
        }
        let (ours, stated) = (self.ours.round_dp(4).normalize(), self.stated.round_dp(4).normalize());
        let mismatch = (ours != stated)
            .then(|| format!("Revenue less payout comes to {ours}, the profit that CAKE states to {stated}."));
        Some(Check { against: Against::SameSource, mismatch })
    }
}
