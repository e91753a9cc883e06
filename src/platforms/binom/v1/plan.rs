//! Which pages answer a query, and what is asked of them.

use std::collections::HashMap;
use std::sync::Arc;

use compact_str::CompactString;
use futures_util::stream;
use jiff::civil::Date;

use super::super::report::{Control, Line, Part, Values, afford, assemble, is_idle};
use super::super::windows::{Stretch, clocks_change, stretches};
use super::super::wire::Entity;
use super::{Panel, code};
use crate::outbound::error::PlatformError;
use crate::platforms::calendar::DateRange;
use crate::platforms::stats::{Against, Check, Currency, Dimension, DimensionValue, Metrics, Report, StatsQuery};
use crate::platforms::total;

/// Campaigns in one request: as many as other programs ask for.
const CAMPAIGNS_PER_CALL: usize = 200;

/// The most groupings of `Stats`.
const MAX_GROUPINGS: usize = 3;

/// Which calls answer a query.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Road {
    /// A list page for every day or stretch of days.
    List { page: &'static str, dimension: Dimension, daily: bool },
    /// `Stats` by these groupings.
    Nested(Vec<Dimension>),
}

impl Road {
    fn of(query: &StatsQuery) -> Result<Self, PlatformError> {
        let dimensions = &query.dimensions;
        let daily = query.has(Dimension::Date);
        let entities: Vec<Dimension> = dimensions.iter().copied().filter(|dimension| !dimension.is_time()).collect();
        if let [dimension] = *entities.as_slice()
            && !query.has(Dimension::Hour)
        {
            match dimension {
                Dimension::Offer => return Ok(Self::List { page: "Offers", dimension, daily }),
                Dimension::AffiliateNetwork => return Ok(Self::List { page: "Affiliate_Networks", dimension, daily }),
                Dimension::TrafficSource => return Ok(Self::List { page: "Traffic_Sources", dimension, daily }),
                Dimension::Campaign if !daily => return Ok(Self::List { page: "Campaigns", dimension, daily }),
                _ => {}
            }
        }
        if dimensions.is_empty() {
            return Ok(Self::List { page: "Campaigns", dimension: Dimension::Campaign, daily: false });
        }
        let by_campaign = query.has(Dimension::Campaign) || query.has(Dimension::TrafficSource);
        let tokens = dimensions.iter().copied().filter(|dimension| dimension.is_sub_id());
        let mut groupings: Vec<Dimension> = [Dimension::Date, Dimension::Hour, Dimension::Country]
            .into_iter()
            .filter(|dimension| query.has(*dimension))
            .chain(tokens)
            .collect();
        if by_campaign || groupings.is_empty() {
            groupings.insert(0, Dimension::Campaign);
        }
        let told_apart =
            dimensions.iter().all(|dimension| code(*dimension).is_some() || *dimension == Dimension::TrafficSource);
        if told_apart && groupings.len() <= MAX_GROUPINGS {
            Ok(Self::Nested(groupings))
        } else {
            Err(PlatformError::unsupported(
                "Binom v1 cannot group like that without mixing up entities of the same name. It groups by offer or by \
                 affiliate network, alone or with date; by campaign or traffic source (or both) with up to two of \
                 date, hour, country and sub1 to sub10; and by up to three of the latter.",
            ))
        }
    }

    /// The groupings that give the hours of one day, for a day that has to be put together from them.
    fn hourly(&self) -> Option<Vec<Dimension>> {
        let mut groupings = match self {
            Self::List { dimension: Dimension::Campaign | Dimension::TrafficSource, .. } => vec![Dimension::Campaign],
            Self::List { .. } => return None,
            Self::Nested(groupings) => groupings.clone(),
        };
        groupings.retain(|dimension| !dimension.is_time());
        groupings.push(Dimension::Hour);
        Some(groupings)
    }

    /// Whether every day is a request of its own.
    const fn is_daily(&self) -> bool {
        matches!(self, Self::List { daily: true, .. })
    }

    /// The fewest calls that can be enough.
    fn least_calls(&self, stretches: &[Stretch]) -> usize {
        let days = |stretch: &Stretch| usize::try_from(stretch.days.len_days()).unwrap_or(usize::MAX);
        match self {
            Self::List { daily: true, .. } => stretches.iter().map(days).sum(),
            Self::List { .. } | Self::Nested(_) => stretches.len(),
        }
    }
}

/// One step of a plan: a request to the tracker, or what an earlier one said.
enum Step {
    List {
        page: &'static str,
        dimension: Dimension,
        days: Stretch,
    },
    /// A list that has been read already.
    Listed {
        dimension: Dimension,
        rows: Vec<Entity>,
        days: Stretch,
    },
    Nested {
        groupings: Vec<Dimension>,
        camps: String,
        days: Stretch,
    },
}

/// What the lists of campaigns say that are read while a report is planned.
struct Campaigns {
    /// Their traffic sources, by campaign.
    sources: Sources,
    /// The numbers of those that the query is about.
    sum: Metrics,
    /// The ids of all that are listed for each stretch, where their list is the report.
    ids: Vec<Vec<String>>,
}

/// Plans and starts a report.
pub(in super::super) async fn report<'a>(
    panel: Panel,
    query: &'a StatsQuery,
    currency: Option<Currency>,
) -> Result<Report<'a>, PlatformError> {
    let road = Road::of(query)?;
    let stretches = stretches(&query.zone, query.range)?;
    let scale = road.is_daily().then(|| query.range.len_days());
    afford(&panel.upstream, road.least_calls(&stretches), scale)?;
    let mut campaigns = Campaigns { sources: HashMap::new(), sum: Metrics::ZERO, ids: Vec::new() };
    let mut steps = Vec::new();
    for stretch in &stretches {
        steps.extend(panel.steps(&road, stretch, query, &mut campaigns).await?);
    }
    afford(&panel.upstream, steps.len(), scale)?;
    // Lists have every entity once; all else is put together from parts.
    let whole = steps.iter().all(|step| !matches!(step, Step::Nested { .. }));
    let unique_keys = whole && !query.dimensions.is_empty() && (query.has(Dimension::Date) || steps.len() <= 1);
    // A day that is put together from its hours is no day of any other report.
    let is_comparable = stretches.iter().all(|stretch| stretch.hours.is_none());
    let other = Other { panel: panel.clone(), query, stretches, ids: std::mem::take(&mut campaigns.ids) };
    let control: Option<Control<'a>> = match (&road, is_comparable) {
        (_, false) => None,
        (Road::Nested(_), true) => Some(other.against_the_list(campaigns.sum)),
        (Road::List { page, dimension: Dimension::Campaign | Dimension::TrafficSource, .. }, true) => {
            Some(other.against_campaigns(page))
        }
        (Road::List { .. }, true) => None,
    };
    let plan = Arc::new((panel, campaigns.sources));
    let steps = steps.into_iter().map(move |step| {
        let plan = Arc::clone(&plan);
        async move {
            let (panel, sources) = &*plan;
            panel.answer(step, sources).await
        }
    });
    Ok(assemble(query, currency, unique_keys, stream::iter(steps), control))
}

/// Another report of the same days, for rows to be held against.
struct Other<'a> {
    panel: Panel,
    query: &'a StatsQuery,
    stretches: Vec<Stretch>,
    /// The campaigns in each stretch.
    ids: Vec<Vec<String>>,
}

impl<'a> Other<'a> {
    /// What `Stats` says of campaigns, against their list. `before` is what that came to before.
    fn against_the_list(self, before: Metrics) -> Control<'a> {
        Box::new(move |rows| {
            Box::pin(async move {
                let mut differences = total::differences(BINOM, &rows, &before, &before);
                // A day that is not over goes on while its report is read.
                if !differences.is_empty() {
                    let after = self.listed("Campaigns", |campaign| is_wanted(campaign, self.query)).await?;
                    differences = total::differences(BINOM, &rows, &before, &after);
                }
                Some(outcome(&differences))
            })
        })
    }

    /// The rows of a list page, against `Stats` by day for campaigns, and against the campaigns for traffic sources.
    fn against_campaigns(self, page: &'static str) -> Control<'a> {
        Box::new(move |rows| {
            Box::pin(async move {
                let figure =
                    if page == "Campaigns" { self.days().await? } else { self.listed("Campaigns", |_| true).await? };
                let mut differences = total::differences(BINOM, &rows, &figure, &figure);
                if !differences.is_empty() {
                    let after = self.listed(page, |_| true).await?;
                    if total::differences(BINOM, &figure, &rows, &after).is_empty() {
                        differences.clear();
                    }
                }
                Some(outcome(&differences))
            })
        })
    }

    /// What the campaigns come to by day.
    async fn days(&self) -> Option<Metrics> {
        let mut sum = Metrics::ZERO;
        for (stretch, ids) in self.stretches.iter().zip(&self.ids) {
            for camps in ids.chunks(CAMPAIGNS_PER_CALL) {
                let part = self.panel.nested(&camps.join(","), &[Dimension::Date], stretch).await.ok()?;
                sum = part.lines.iter().fold(sum, |sum, line| sum.add(&line.metrics));
            }
        }
        Some(sum)
    }

    /// What a list page comes to.
    async fn listed(&self, page: &str, is_about: impl Fn(&Entity) -> bool) -> Option<Metrics> {
        let mut sum = Metrics::ZERO;
        for stretch in &self.stretches {
            let rows = self.panel.list(page, stretch).await.ok()?;
            sum = rows.iter().filter(|row| is_about(row)).fold(sum, |sum, row| sum.add(&row.metrics));
        }
        Some(sum)
    }
}

/// What its own sums are called.
const BINOM: &str = "Binom";

fn outcome(differences: &[String]) -> Check {
    let mismatch = (!differences.is_empty()).then(|| format!("{}.", differences.join("; ")));
    Check { against: Against::Independent, mismatch }
}

/// Whether the query is about a campaign.
fn is_wanted(campaign: &Entity, query: &StatsQuery) -> bool {
    let passes = |dimension: Dimension, id: Option<&str>| {
        query.filters.get(&dimension).is_none_or(|ids| id.is_some_and(|id| ids.contains(id)))
    };
    let source = campaign.source.as_ref().map(|(id, _)| id.as_str());
    passes(Dimension::Campaign, Some(&campaign.id)) && passes(Dimension::TrafficSource, source)
}

/// The traffic sources of campaigns, by campaign.
type Sources = HashMap<CompactString, DimensionValue>;

impl Panel {
    /// The steps for a stretch of days.
    async fn steps(
        &self,
        road: &Road,
        days: &Stretch,
        query: &StatsQuery,
        campaigns: &mut Campaigns,
    ) -> Result<Vec<Step>, PlatformError> {
        let groupings = match (road, &days.hours) {
            (Road::List { page, dimension, daily: true }, None) => return Ok(each_day(page, *dimension, days)),
            (Road::List { page, dimension: dimension @ Dimension::Campaign, .. }, None) => {
                let rows = self.list(page, days).await?;
                // All of them, whatever the list says of their traffic.
                campaigns.ids.push(rows.iter().map(|row| row.id.clone()).collect());
                return Ok(vec![Step::Listed { dimension: *dimension, rows, days: days.clone() }]);
            }
            (Road::List { page, dimension, .. }, None) => {
                return Ok(vec![Step::List { page, dimension: *dimension, days: days.clone() }]);
            }
            (Road::Nested(groupings), None) => groupings.clone(),
            (_, Some(_)) => road.hourly().ok_or_else(|| clocks_change(&query.zone, days.days.from()))?,
        };
        let ids = self.campaigns(days, query, campaigns).await?;
        Ok(ids
            .chunks(CAMPAIGNS_PER_CALL)
            .map(|ids| Step::Nested { groupings: groupings.clone(), camps: ids.join(","), days: days.clone() })
            .collect())
    }

    /// The ids of the campaigns that have traffic in these days and that the query is about. Their numbers are added to
    /// those of `campaigns`, and so are their traffic sources where the query asks for them.
    async fn campaigns(
        &self,
        days: &Stretch,
        query: &StatsQuery,
        campaigns: &mut Campaigns,
    ) -> Result<Vec<String>, PlatformError> {
        let mut ids = Vec::new();
        for campaign in self.list("Campaigns", days).await? {
            if is_idle(&campaign.metrics) {
                continue;
            }
            if query.has(Dimension::TrafficSource) {
                let (id, name) = campaign.source.as_ref().ok_or_else(|| {
                    PlatformError::unsupported(
                        "This version of Binom does not say which traffic source a campaign has.",
                    )
                })?;
                campaigns.sources.insert(campaign.id.as_str().into(), DimensionValue::new(id, name));
            }
            if is_wanted(&campaign, query) {
                campaigns.sum = campaigns.sum.add(&campaign.metrics);
                ids.push(campaign.id);
            }
        }
        Ok(ids)
    }

    async fn answer(&self, step: Step, sources: &Sources) -> Result<Part, PlatformError> {
        let (mut part, days) = match step {
            Step::List { page, dimension, days } => (listed(dimension, self.list(page, &days).await?), days),
            Step::Listed { dimension, rows, days } => (listed(dimension, rows), days),
            Step::Nested { groupings, camps, days } => (self.nested(&camps, &groupings, &days).await?, days),
        };
        for line in &mut part.lines {
            complete(line, &days, sources);
        }
        Ok(part)
    }
}

/// The rows of a list, each of which is an entity.
fn listed(dimension: Dimension, rows: Vec<Entity>) -> Part {
    let line = |row: Entity| Line {
        values: Values::from_iter([(dimension, DimensionValue::new(row.id, &row.name))]),
        metrics: row.metrics,
    };
    Part { lines: rows.into_iter().map(line).collect(), checks: Vec::new() }
}

fn each_day(page: &'static str, dimension: Dimension, stretch: &Stretch) -> Vec<Step> {
    let day = |day: Date| Stretch { days: DateRange::day(day), ..stretch.clone() };
    stretch.days.days().map(|date| Step::List { page, dimension, days: day(date) }).collect()
}

/// Adds what a row does not say itself: the day that was asked for, and the traffic source of its campaign.
fn complete(line: &mut Line, days: &Stretch, sources: &Sources) {
    let find = |wanted: Dimension| line.values.iter().find(|(dimension, _)| *dimension == wanted);
    let source = find(Dimension::Campaign).and_then(|(_, campaign)| sources.get(&campaign.id)).cloned();
    let day = find(Dimension::Date).is_none().then(|| DimensionValue::date(days.days.from()));
    line.values.extend(source.map(|source| (Dimension::TrafficSource, source)));
    line.values.extend(day.map(|day| (Dimension::Date, day)));
}
