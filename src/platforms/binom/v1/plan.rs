//! Which pages answer a query, and what is asked of them.

use std::collections::HashMap;
use std::sync::Arc;

use compact_str::CompactString;
use futures_util::stream;
use jiff::civil::Date;

use super::super::report::{Line, Part, Values, afford, assemble, is_idle};
use super::super::windows::{Stretch, clocks_change, stretches};
use super::super::wire::Entity;
use super::{Panel, code};
use crate::outbound::error::PlatformError;
use crate::platforms::calendar::DateRange;
use crate::platforms::stats::{Currency, Dimension, DimensionValue, Report, StatsQuery};

/// Campaigns in one question: as many as other programs ask for.
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

    /// Whether every day is a question of its own.
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

/// One question to the tracker.
enum Question {
    List { page: &'static str, dimension: Dimension, days: Stretch },
    Nested { groupings: Vec<Dimension>, camps: String, days: Stretch },
}

/// The traffic sources of campaigns, by campaign.
type Sources = HashMap<CompactString, DimensionValue>;

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
    let mut sources = Sources::new();
    let mut questions = Vec::new();
    for stretch in stretches {
        questions.extend(panel.questions(&road, stretch, query, &mut sources).await?);
    }
    afford(&panel.upstream, questions.len(), scale)?;
    // Lists have every entity once; all else is put together from parts.
    let whole = questions.iter().all(|question| matches!(question, Question::List { .. }));
    let unique_keys = whole && !query.dimensions.is_empty() && (query.has(Dimension::Date) || questions.len() <= 1);
    let plan = Arc::new((panel, sources));
    let questions = questions.into_iter().map(move |question| {
        let plan = Arc::clone(&plan);
        async move {
            let (panel, sources) = &*plan;
            panel.answer(question, sources).await
        }
    });
    Ok(assemble(query, currency, unique_keys, stream::iter(questions)))
}

impl Panel {
    /// The questions to ask about a stretch of days.
    async fn questions(
        &self,
        road: &Road,
        days: Stretch,
        query: &StatsQuery,
        sources: &mut Sources,
    ) -> Result<Vec<Question>, PlatformError> {
        let groupings = match (road, &days.hours) {
            (Road::List { page, dimension, daily: true }, None) => return Ok(each_day(page, *dimension, &days)),
            (Road::List { page, dimension, .. }, None) => {
                return Ok(vec![Question::List { page, dimension: *dimension, days }]);
            }
            (Road::Nested(groupings), None) => groupings.clone(),
            (_, Some(_)) => road.hourly().ok_or_else(|| clocks_change(&query.zone, days.days.from()))?,
        };
        let campaigns = self.campaigns(&days, query, sources).await?;
        Ok(campaigns
            .chunks(CAMPAIGNS_PER_CALL)
            .map(|ids| Question::Nested { groupings: groupings.clone(), camps: ids.join(","), days: days.clone() })
            .collect())
    }

    /// The ids of the campaigns that have traffic in these days and that the query is about. Where it asks for their
    /// traffic sources, those are added to `sources`.
    async fn campaigns(
        &self,
        days: &Stretch,
        query: &StatsQuery,
        sources: &mut Sources,
    ) -> Result<Vec<String>, PlatformError> {
        let wanted = |dimension: Dimension, id: &str| query.filters.get(&dimension).is_none_or(|ids| ids.contains(id));
        let mut ids = Vec::new();
        for campaign in self.list("Campaigns", days).await? {
            if is_idle(&campaign.metrics) || !wanted(Dimension::Campaign, &campaign.id) {
                continue;
            }
            if query.has(Dimension::TrafficSource) {
                let (id, name) = campaign.source.ok_or_else(|| {
                    PlatformError::unsupported(
                        "This version of Binom does not say which traffic source a campaign has.",
                    )
                })?;
                if !wanted(Dimension::TrafficSource, &id) {
                    continue;
                }
                sources.insert(campaign.id.as_str().into(), DimensionValue::new(id, &name));
            }
            ids.push(campaign.id);
        }
        Ok(ids)
    }

    async fn answer(&self, question: Question, sources: &Sources) -> Result<Part, PlatformError> {
        let (mut part, days) = match question {
            Question::List { page, dimension, days } => {
                let line = |row: Entity| Line {
                    values: Values::from_iter([(dimension, DimensionValue::new(row.id, &row.name))]),
                    metrics: row.metrics,
                };
                let lines = self.list(page, &days).await?.into_iter().map(line).collect();
                (Part { lines, checks: Vec::new() }, days)
            }
            Question::Nested { groupings, camps, days } => (self.nested(&camps, &groupings, &days).await?, days),
        };
        for line in &mut part.lines {
            complete(line, &days, sources);
        }
        Ok(part)
    }
}

fn each_day(page: &'static str, dimension: Dimension, stretch: &Stretch) -> Vec<Question> {
    let day = |day: Date| Stretch { days: DateRange::day(day), ..stretch.clone() };
    stretch.days.days().map(|date| Question::List { page, dimension, days: day(date) }).collect()
}

/// Adds what a row does not say itself: the day that was asked for, and the traffic source of its campaign.
fn complete(line: &mut Line, days: &Stretch, sources: &Sources) {
    let find = |wanted: Dimension| line.values.iter().find(|(dimension, _)| *dimension == wanted);
    let source = find(Dimension::Campaign).and_then(|(_, campaign)| sources.get(&campaign.id)).cloned();
    let day = find(Dimension::Date).is_none().then(|| DimensionValue::date(days.days.from()));
    line.values.extend(source.map(|source| (Dimension::TrafficSource, source)));
    line.values.extend(day.map(|day| (Dimension::Date, day)));
}
