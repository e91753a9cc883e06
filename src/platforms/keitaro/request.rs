//! One request to `POST /report/build`, in either of the two dialects that panels understand.

use serde::Serialize;

use super::super::calendar::DateRange;
use super::super::stats::{Filters, StatsQuery};
use super::columns::{Entity, Figure};
use super::time::Form;

/// How a panel wants the columns of a report to be named. No page says which version understands which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `grouping` and `metrics`, the documented one.
    Grouping,
    /// `dimensions` and `measures`.
    Dimensions,
}

impl Dialect {
    pub(super) const ALL: [Self; 2] = [Self::Grouping, Self::Dimensions];

    /// The name under which a verification remembers it.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Grouping => "grouping",
            Self::Dimensions => "dimensions",
        }
    }

    pub(super) fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.key() == key)
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Grouping => Self::Dimensions,
            Self::Dimensions => Self::Grouping,
        }
    }
}

/// What is asked, whatever the dialect and whatever columns the panel has.
#[derive(Debug, Clone)]
pub(super) struct ReportRequest {
    pub(super) form: Form,
    pub(super) window: DateRange,
    zone: String,
    entities: Vec<Entity>,
    filters: Vec<Filter>,
    /// Where the page begins; `None` for an answer of one row.
    offset: Option<usize>,
    /// The most rows that are wanted, where that is not a whole page.
    most: Option<usize>,
}

/// The columns a request was asked with, the ones that the panel lacks left out.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) form: Form,
    pub(super) entities: Vec<Entity>,
    pub(super) figures: Vec<Figure>,
    /// Those of the grouping, then those of the numbers.
    pub(super) columns: Vec<&'static str>,
    grouping: usize,
    /// How many rows were asked for.
    pub(super) limit: usize,
}

impl Asked {
    /// The columns of the grouping, and those of the numbers.
    pub(super) fn parts(&self) -> (&[&'static str], &[&'static str]) {
        self.columns.split_at(self.grouping.min(self.columns.len()))
    }
}

impl ReportRequest {
    /// A query by its dimensions.
    pub(super) fn of(query: &StatsQuery, form: Form, window: DateRange) -> Self {
        Self {
            form,
            window,
            zone: query.zone.canonical_name().to_owned(),
            entities: query.dimensions.iter().filter_map(|dimension| Entity::of(*dimension)).collect(),
            filters: filters(&query.filters),
            offset: Some(0),
            most: None,
        }
    }

    /// The same range and filters as one row, which the panel adds up itself.
    pub(super) fn total_of(query: &StatsQuery) -> Self {
        Self { entities: Vec::new(), offset: None, ..Self::of(query, Form::Whole, query.range) }
    }

    /// The same, for its first row alone.
    pub(super) fn first_row(self) -> Self {
        Self { most: Some(1), ..self }
    }

    /// The same, from a later row on.
    pub(super) fn starting_at(&self, offset: usize) -> Self {
        Self { offset: Some(offset), ..self.clone() }
    }

    /// The columns to ask for on a panel that lacks some.
    pub(super) fn without(&self, lacking: &[&'static str], page: usize) -> Asked {
        let limit = self.most.unwrap_or(page);
        let has = |column: &&'static str| !lacking.contains(column);
        let entities: Vec<Entity> =
            self.entities.iter().map(|entity| Entity { name: entity.name.filter(has), ..*entity }).collect();
        let figures: Vec<Figure> = Figure::ALL.into_iter().filter(|figure| has(&figure.column())).collect();
        let mut columns = self.form.columns().to_vec();
        columns.extend(entities.iter().flat_map(|entity| std::iter::once(entity.id).chain(entity.name)));
        let grouping = columns.len();
        columns.extend(figures.iter().map(|figure| figure.column()));
        Asked { form: self.form, entities, figures, columns, grouping, limit }
    }

    /// The body of the call.
    pub(super) fn body(&self, asked: &Asked, dialect: Dialect) -> Result<Vec<u8>, serde_json::Error> {
        let (grouping, metrics) = asked.parts();
        let documented = dialect == Dialect::Grouping;
        // In an order that stays while pages are read: that of the ids.
        let ids = self.form.columns().iter().copied().chain(asked.entities.iter().map(|entity| entity.id));
        let sort = ids.map(|name| Sort { name, order: "ASC" }).collect();
        serde_json::to_vec(&Body {
            range: Range {
                from: format!("{} 00:00:00", self.window.from()),
                to: format!("{} 23:59:59", self.window.to()),
                timezone: &self.zone,
            },
            grouping: if documented { grouping } else { &[] },
            metrics: if documented { metrics } else { &[] },
            dimensions: if documented { &[] } else { grouping },
            measures: if documented { &[] } else { metrics },
            filters: &self.filters,
            sort,
            limit: self.offset.map(|_| asked.limit),
            offset: self.offset,
        })
    }
}

/// Filters that the panel can be trusted with: ids that are numbers. They are applied again to what it answers, and
/// all others only then. Never filters on time, which are compared in UTC whatever the zone of the range is.
fn filters(filters: &Filters) -> Vec<Filter> {
    let numbered = filters.iter().filter_map(|(dimension, ids)| Some((Entity::of(*dimension)?, ids)));
    numbered
        .filter(|(entity, _)| entity.is_numbered)
        .filter_map(|(entity, ids)| {
            let expression: Option<Vec<u64>> = ids.iter().map(|id| id.parse().ok().filter(|id| *id > 0)).collect();
            Some(Filter { name: entity.id, operator: "IN_LIST", expression: expression? })
        })
        .collect()
}

#[derive(Serialize)]
struct Body<'a> {
    range: Range<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    grouping: &'a [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    metrics: &'a [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    dimensions: &'a [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    measures: &'a [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    filters: &'a [Filter],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sort: Vec<Sort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
}

#[derive(Serialize)]
struct Range<'a> {
    from: String,
    to: String,
    timezone: &'a str,
}

#[derive(Debug, Clone, Serialize)]
struct Filter {
    name: &'static str,
    operator: &'static str,
    expression: Vec<u64>,
}

#[derive(Serialize)]
struct Sort {
    name: &'static str,
    order: &'static str,
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::{Value, json};

    use super::super::super::calendar::Zone;
    use super::super::super::stats::Dimension;
    use super::*;

    fn query(dimensions: &[Dimension], filter: Option<(Dimension, &[&str])>) -> StatsQuery {
        let filters = filter.map(|(dimension, ids)| (dimension, ids.iter().map(|id| (*id).into()).collect()));
        StatsQuery {
            dimensions: dimensions.to_vec(),
            range: DateRange::new(date(2026, 11, 16), date(2026, 11, 17)).expect("a range"),
            zone: Zone::find("Asia/Calcutta").expect("a zone"),
            filters: filters.into_iter().collect(),
        }
    }

    fn body(request: &ReportRequest, lacking: &[&'static str], dialect: Dialect) -> Value {
        let asked = request.without(lacking, 5_000);
        serde_json::from_slice(&request.body(&asked, dialect).expect("a body")).expect("JSON")
    }

    #[test]
    fn a_request_is_put_in_both_dialects() {
        let query = query(&[Dimension::Date, Dimension::Campaign], Some((Dimension::Campaign, &["12", "7"])));
        let request = ReportRequest::of(&query, Form::Days, query.range);
        let columns = ["clicks", "campaign_unique_clicks", "conversions", "sales", "leads", "revenue", "cost"];
        let common = json!({
            "range": {"from": "2026-11-16 00:00:00", "to": "2026-11-17 23:59:59", "timezone": "Asia/Kolkata"},
            "filters": [{"name": "campaign_id", "operator": "IN_LIST", "expression": [12, 7]}],
            "sort": [{"name": "day", "order": "ASC"}, {"name": "campaign_id", "order": "ASC"}],
            "limit": 5000, "offset": 0,
        });
        for (dialect, grouping, metrics) in
            [(Dialect::Grouping, "grouping", "metrics"), (Dialect::Dimensions, "dimensions", "measures")]
        {
            let mut expected = common.clone();
            expected[grouping] = json!(["day", "campaign_id", "campaign"]);
            expected[metrics] = json!(columns);
            assert_eq!(body(&request, &["rejected"], dialect), expected);
        }
    }

    #[test]
    fn a_total_has_no_grouping_and_no_pages_but_the_same_filters() {
        let query = query(&[Dimension::Offer], Some((Dimension::Offer, &["41"])));
        let body = body(&ReportRequest::total_of(&query), &[], Dialect::Grouping);
        let members: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, ["filters", "metrics", "range"]);
    }

    #[test]
    fn ids_that_are_no_numbers_are_not_filtered_by_the_panel() {
        for ids in [&["12", ""][..], &["0"], &["abc"]] {
            let query = query(&[Dimension::Campaign], Some((Dimension::Campaign, ids)));
            let body = body(&ReportRequest::of(&query, Form::Whole, query.range), &[], Dialect::Grouping);
            assert_eq!(body.get("filters"), None, "{ids:?}");
        }
    }
}
