//! The question as it was answered, which every answer repeats.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use super::compare::Comparison;
use super::query::{Asked, Period};
use crate::platforms::calendar::{Preset, Zone};
use crate::platforms::stats::{DayOfConversion, Dimension, Metric, Terms};

/// The question as it was answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QueryEcho {
    /// The dimensions.
    pub group_by: Vec<Dimension>,
    /// The first local day.
    #[schema(example = "2026-11-16")]
    pub from: String,
    /// The last local day.
    #[schema(example = "2026-11-22")]
    pub to: String,
    /// The zone that the days really are in; `null` where nobody knows the account's, or several connections differ.
    #[schema(required, example = "Europe/Berlin")]
    pub timezone: Option<String>,
    /// The zone that was asked for. Where the days are in another, a warning says so.
    #[schema(example = "Europe/Berlin")]
    pub requested_timezone: String,
    /// On which day a conversion counts; `null` where several connections differ.
    #[schema(required)]
    pub day_of_conversion: Option<DayOfConversion>,
    /// The preset the days came from.
    #[schema(required)]
    pub preset: Option<Preset>,
    /// The filters: ids by dimension.
    pub filters: BTreeMap<&'static str, Vec<String>>,
    /// The least values of metrics.
    pub min: BTreeMap<&'static str, String>,
    /// The greatest.
    pub max: BTreeMap<&'static str, String>,
    /// What a name or an id of each row contains.
    #[schema(required)]
    pub search: Option<String>,
    /// What the rows are compared with.
    #[schema(required)]
    pub compare: Option<CompareEcho>,
}

/// The days that a question was compared with.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CompareEcho {
    /// How they were chosen.
    pub mode: Comparison,
    /// The first local day.
    #[schema(example = "2026-11-09")]
    pub from: String,
    /// The last local day.
    #[schema(example = "2026-11-15")]
    pub to: String,
}

impl QueryEcho {
    /// What was asked of one connection, and the terms on which it was answered.
    pub fn of(asked: &Asked, terms: &Terms) -> Self {
        Self::of_several(asked, [terms])
    }

    /// The same of several connections: what they have in common.
    pub(super) fn of_several<'a>(asked: &Asked, terms: impl IntoIterator<Item = &'a Terms> + Clone) -> Self {
        let question = &asked.question;
        let filters = question
            .filters
            .iter()
            .map(|(dimension, ids)| (dimension.key(), ids.iter().map(ToString::to_string).collect()))
            .collect();
        let preset = match question.period {
            Period::Preset(preset) => Some(preset),
            Period::Days(_) => None,
        };
        let bounds = |bounds: &BTreeMap<Metric, Decimal>| {
            bounds.iter().map(|(metric, bound)| (metric.key(), bound.to_string())).collect()
        };
        let alignment = asked.alignment().ok().flatten();
        let compare = question.compare.zip(alignment).map(|(mode, alignment)| CompareEcho {
            mode,
            from: alignment.then.from().to_string(),
            to: alignment.then.to().to_string(),
        });
        let days: BTreeSet<_> = terms.clone().into_iter().map(|terms| terms.day_of_conversion).collect();
        Self {
            group_by: question.group_by.clone(),
            from: asked.range.from().to_string(),
            to: asked.range.to().to_string(),
            timezone: common_zone(terms).map(|zone| zone.name().to_owned()),
            requested_timezone: question.zone.name().to_owned(),
            day_of_conversion: days.first().filter(|_| days.len() == 1).copied(),
            preset,
            filters,
            min: bounds(&question.sift.min),
            max: bounds(&question.sift.max),
            search: question.sift.search.as_ref().map(|search| search.text().to_owned()),
            compare,
        }
    }
}

/// The zone that days are in on all terms, if there is one.
pub(super) fn common_zone<'a>(terms: impl IntoIterator<Item = &'a Terms>) -> Option<&'a Zone> {
    let mut zones = terms.into_iter().map(|terms| terms.zone.as_ref());
    let first = zones.next()??;
    zones.all(|zone| zone == Some(first)).then_some(first)
}
