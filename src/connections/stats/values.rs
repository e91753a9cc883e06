//! What rows can be filtered by: the ids and names that a dimension had of late.

use std::cmp::Reverse;
use std::collections::HashMap;

use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::{Period, Question, lacks, unsupported};
use super::sift::{Search, Sift};
use super::table::Table;
use super::{Manner, pull};
use crate::connections::Actor;
use crate::connections::service::Connections;
use crate::input::InputCode;
use crate::platforms::Pair;
use crate::platforms::calendar::{DateRange, Zone};
use crate::platforms::stats::{Dimension, Filters};
use crate::problem::{FieldProblem, Problem};

/// Days that are looked at beside today.
const DAYS: i64 = 29;

/// Which values are wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What an id or a name contains.
    pub search: Option<Search>,
    /// The most of them.
    pub limit: usize,
    /// The zone of the days.
    pub zone: Zone,
}

/// A value that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SeenValue {
    /// The id to filter by; empty for the rows without one.
    #[schema(example = "5000")]
    pub id: String,
    /// What people call it.
    #[schema(example = "Affiliate A")]
    pub name: String,
    /// Its clicks in all currencies.
    #[schema(required, example = 123)]
    pub clicks: Option<i64>,
}

/// The days that were looked at.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SeenIn {
    /// The first local day.
    #[schema(example = "2026-10-31")]
    pub from: String,
    /// The last local day, today.
    #[schema(example = "2026-11-29")]
    pub to: String,
    /// The zone of the days.
    #[schema(example = "Europe/Berlin")]
    pub timezone: String,
}

/// The values of a dimension that were seen, those with the most clicks first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DimensionValues {
    /// The values.
    pub data: Vec<SeenValue>,
    /// Whether there are more than were asked for.
    pub truncated: bool,
    /// The days that were looked at.
    pub query: SeenIn,
    /// When they were read.
    #[schema(value_type = String, format = DateTime)]
    pub fetched_at: Timestamp,
}

impl Connections {
    /// The ids and names that rows of a connection can be filtered by: those of the last 30 days.
    ///
    /// # Errors
    /// A dimension of which there is nothing to list, and everything that a question by it meets.
    pub async fn dimension_values(
        &self,
        actor: &Actor,
        id: Uuid,
        dimension: &str,
        wanted: &Wanted,
        manner: &Manner,
    ) -> Result<DimensionValues, Problem> {
        let known = dimension.parse::<Dimension>().ok().filter(|dimension| !dimension.is_time());
        let Some(known) = known else {
            let deadline = self.pull_scope(manner.deadline).deadline;
            let stored = pull::in_time(deadline, self.live(&actor.organisation, id)).await?;
            return Err(nothing_to_list(stored.pair, dimension));
        };
        let today = wanted.zone.date_at(Timestamp::now());
        let range = DateRange::new(today.saturating_sub(DAYS.days()), today).unwrap_or(DateRange::day(today));
        let question = Question {
            group_by: vec![known],
            period: Period::Days(range),
            zone: wanted.zone.clone(),
            filters: Filters::new(),
            sift: Sift::default(),
            compare: None,
            metrics: None,
            sort: None,
            limit: wanted.limit,
            cursor: None,
        };
        let asked = question.at(Timestamp::now());
        let automation = manner.automation.as_deref();
        let part = self.part(actor, id, &asked, manner).await;
        let (part, ..) = part.inspect_err(|problem| self.inner.uses.record_refusal(actor, id, automation, problem))?;
        self.inner.uses.record(actor, id, automation);
        let mut data = seen(&part.now, wanted.search.as_ref());
        let truncated = data.len() > wanted.limit;
        data.truncate(wanted.limit);
        let query = SeenIn {
            from: range.from().to_string(),
            to: range.to().to_string(),
            timezone: wanted.zone.name().to_owned(),
        };
        Ok(DimensionValues { data, truncated, query, fetched_at: part.now.fetched_at })
    }
}

/// Each value once, whatever the currency, the one with the most clicks first.
fn seen(table: &Table, search: Option<&Search>) -> Vec<SeenValue> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(table.rows.len());
    let mut values: Vec<SeenValue> = Vec::new();
    for row in &table.rows {
        let Some(value) = row.key.first() else { continue };
        if search.is_some_and(|search| !search.is_in(&value.id) && !search.is_in(&value.name)) {
            continue;
        }
        let place = *places.entry(&value.id).or_insert(values.len());
        match values.get_mut(place) {
            Some(known) => {
                known.clicks = known.clicks.zip(row.metrics.clicks).and_then(|(one, other)| one.checked_add(other));
            }
            None => values.push(SeenValue {
                id: value.id.to_string(),
                name: value.name.to_string(),
                clicks: row.metrics.clicks,
            }),
        }
    }
    values.sort_by(|one, other| (Reverse(one.clicks), &one.id).cmp(&(Reverse(other.clicks), &other.id)));
    values
}

fn nothing_to_list(pair: Pair, dimension: &str) -> Problem {
    let detail = match dimension.parse::<Dimension>() {
        Ok(time) => {
            let listed = pair.entry().dimensions.iter().map(|known| known.key).filter(|known| !known.is_time());
            let listed = listed.map(Dimension::key).collect::<Vec<_>>().join(", ");
            format!("{time} is not a list of values; there are lists of {listed}.")
        }
        Err(()) => lacks(pair, dimension),
    };
    unsupported(vec![FieldProblem::new("/dimension", InputCode::UnknownValue, detail)])
}
