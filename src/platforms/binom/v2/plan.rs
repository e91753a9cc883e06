//! Which calls answer a query, and how many.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use compact_str::CompactString;
use futures_util::future::ready;
use futures_util::stream;

use super::super::countries;
use super::super::report::{Control, Line, Part, Values, afford, assemble, is_idle};
use super::super::windows::{Grain, Window, Wording, cut};
use super::super::wire;
use super::road::{IDS_PER_CALL, Road};
use super::{Api, native};
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::platforms::stats::{Against, Check, Currency, Dimension, DimensionValue, Metrics, Report, StatsQuery};
use crate::platforms::total;

/// One request of a nested report: the ids it is about, and what they mean for its rows.
#[derive(Clone)]
struct Slice {
    ids: Arc<[CompactString]>,
    values: Values,
}

/// Plans and starts a report.
pub(in super::super) async fn report<'a>(
    api: Api,
    query: &'a StatsQuery,
    currency: Option<Currency>,
) -> Result<Report<'a>, PlatformError> {
    let road = Road::of(query)?;
    let grain = Grain::of(query);
    let windows = cut(&query.zone, query.range, grain)?;
    let scale = (grain != Grain::Whole).then(|| query.range.len_days());
    if let Some(mut part) = native::part(&api, query, &road, windows.len()).await? {
        let codes = api.codes_for(query).await?;
        part.lines.iter_mut().for_each(|line| name_country(line, &codes));
        return Ok(assemble(query, currency, false, stream::iter([ready(Ok(part))]), None));
    }
    afford(&api.upstream, windows.len(), scale)?;
    let codes = api.codes_for(query).await?;
    let slices = api.slices(&road, query).await?;
    afford(&api.upstream, windows.len() * slices.len(), scale)?;
    // A nested report is put together from several requests, any of which may have a part of a key.
    let unique_keys = matches!(road, Road::Totals | Road::Entities(..)) && are_told_apart(&windows, query);
    let figure = if road == Road::Totals { api.range_figure(query).await } else { None };
    let control = figure.map(|before| against_the_range(api.clone(), query, before));
    let plan = Arc::new((api, road, codes));
    let requests = windows.into_iter().flat_map(move |window| {
        let plan = Arc::clone(&plan);
        slices.clone().into_iter().map(move |slice| {
            let plan = Arc::clone(&plan);
            async move {
                let (api, road, codes) = &*plan;
                let mut part = api.answer(road, &slice, &window).await?;
                part.lines.iter_mut().for_each(|line| name_country(line, codes));
                Ok(part)
            }
        })
    });
    Ok(assemble(query, currency, unique_keys, stream::iter(requests), control))
}

/// The totals of windows, held against what the range came to before.
fn against_the_range<'a>(api: Api, query: &'a StatsQuery, before: Metrics) -> Control<'a> {
    Box::new(move |rows| {
        Box::pin(async move {
            let mut differences = total::differences("Binom", &rows, &before, &before);
            // A day that is not over goes on while its report is read.
            if !differences.is_empty() {
                let after = api.range_figure(query).await?;
                differences = total::differences("Binom", &rows, &before, &after);
            }
            let mismatch = (!differences.is_empty()).then(|| format!("{}.", differences.join("; ")));
            Some(Check { against: Against::Independent, mismatch })
        })
    })
}

/// Gives a country its code where only the tracker's own list knows the name.
fn name_country(line: &mut Line, codes: &HashMap<String, String>) {
    for (dimension, value) in &mut line.values {
        if *dimension == Dimension::Country
            && let Some(code) = codes.get(value.id.to_lowercase().as_str())
        {
            *value = countries::read(code);
        }
    }
}

/// Whether no two windows give rows of the same key. The same hour of two days does, unless the day is part of it.
fn are_told_apart(windows: &[Window], query: &StatsQuery) -> bool {
    let mut seen = HashSet::new();
    windows.iter().all(|window| {
        seen.insert((
            query.has(Dimension::Date).then_some(window.date),
            query.has(Dimension::Hour).then_some(window.hour),
        ))
    })
}

impl Api {
    /// The codes of countries, as far as the query asks for any.
    async fn codes_for(&self, query: &StatsQuery) -> Result<HashMap<String, String>, PlatformError> {
        if query.has(Dimension::Country) { self.country_codes().await } else { Ok(HashMap::new()) }
    }

    /// The requests to ask for every window.
    async fn slices(&self, road: &Road, query: &StatsQuery) -> Result<Vec<Slice>, PlatformError> {
        let wanted = |dimension: Dimension| query.filters.get(&dimension);
        Ok(match road {
            Road::Totals | Road::Entities(..) => vec![Slice { ids: Arc::default(), values: Values::new() }],
            Road::ByCampaign(_) => {
                let campaigns = self.active("campaign", wanted(Dimension::Campaign), query).await?;
                let ids: Vec<CompactString> = campaigns.into_iter().map(|campaign| campaign.id).collect();
                ids.chunks(IDS_PER_CALL).map(|ids| Slice { ids: ids.into(), values: Values::new() }).collect()
            }
            Road::BySource(_) => self
                .active("traffic_source", wanted(Dimension::TrafficSource), query)
                .await?
                .into_iter()
                .map(|source| Slice {
                    ids: Arc::new([source.id.clone()]),
                    values: Values::from_iter([(Dimension::TrafficSource, source)]),
                })
                .collect(),
        })
    }

    /// The entities that have any numbers in the range, and that the query is about.
    async fn active(
        &self,
        entity: &str,
        wanted: Option<&BTreeSet<CompactString>>,
        query: &StatsQuery,
    ) -> Result<Vec<DimensionValue>, PlatformError> {
        let mut known = HashSet::new();
        let mut active = Vec::new();
        for window in cut(&query.zone, query.range, Grain::Whole)? {
            let period = window.wording();
            let (rows, _) = settled(|| self.entities(entity, &period)).await?;
            active.extend(
                rows.into_iter()
                    .filter(|row| !is_idle(&row.metrics))
                    .map(|row| DimensionValue::new(row.id, &row.name))
                    .filter(|value| wanted.is_none_or(|ids| ids.contains(&value.id)))
                    .filter(|value| known.insert(value.id.clone())),
            );
        }
        Ok(active)
    }

    /// Asks one request about one window.
    async fn answer(&self, road: &Road, slice: &Slice, window: &Window) -> Result<Part, PlatformError> {
        let period = window.wording();
        let mut part = match road {
            Road::Totals => self.totals_part(&period).await?,
            Road::Entities(dimension, name) => settled(|| self.entities_part(*dimension, name, &period)).await?,
            Road::ByCampaign(groupings) => settled(|| self.nested("campaign", &slice.ids, groupings, &period)).await?,
            Road::BySource(groupings) => {
                settled(|| self.nested("trafficSource", &slice.ids, groupings, &period)).await?
            }
        };
        for line in &mut part.lines {
            line.values.push((Dimension::Date, DimensionValue::date(window.date)));
            line.values.push((Dimension::Hour, DimensionValue::hour(window.hour)));
            line.values.extend(slice.values.iter().cloned());
        }
        Ok(part)
    }

    /// What totals by day or hour have to come to: the totals of the range as a whole, or, where it is asked for as a
    /// whole already, the sum of its campaigns.
    async fn range_figure(&self, query: &StatsQuery) -> Option<Metrics> {
        let mut sum = Metrics::ZERO;
        for window in cut(&query.zone, query.range, Grain::Whole).ok()? {
            let period = window.wording();
            if Grain::of(query) == Grain::Whole {
                let (rows, _) = self.entities("campaign", &period).await.ok()?;
                sum = rows.iter().fold(sum, |sum, row| sum.add(&row.metrics));
            } else if let Some(totals) = self.totals(&period).await.ok()? {
                sum = sum.add(&totals);
            }
        }
        Some(sum)
    }

    async fn totals_part(&self, period: &Wording) -> Result<Part, PlatformError> {
        let totals = self.totals(period).await?;
        let lines = totals.into_iter().map(|metrics| Line { values: Values::new(), metrics }).collect();
        Ok(Part { lines, checks: Vec::new() })
    }

    async fn entities_part(&self, dimension: Dimension, name: &str, period: &Wording) -> Result<Part, PlatformError> {
        let (rows, totals) = self.entities(name, period).await?;
        let sum = rows.iter().fold(Metrics::ZERO, |sum, row| sum.add(&row.metrics));
        let checks = totals
            .map(|totals| wire::check(&sum, &totals.metrics, "Binom's totals say", Against::Independent))
            .into_iter()
            .collect();
        let lines = rows
            .into_iter()
            .map(|row| Line {
                values: Values::from_iter([(dimension, DimensionValue::new(row.id, &row.name))]),
                metrics: row.metrics,
            })
            .collect();
        Ok(Part { lines, checks })
    }
}

/// Reads again, once, what moved while it was read.
async fn settled<T, F>(mut read: impl FnMut() -> F) -> Result<T, PlatformError>
where
    F: Future<Output = Result<T, PlatformError>>,
{
    match read().await {
        Err(error) if error.kind == ErrorKind::Inconsistent => read().await,
        outcome => outcome,
    }
}
