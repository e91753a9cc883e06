//! The catalogue: what a front end needs to draw the Add-Connection form and the Stats page, and what the service
//! itself checks requests against.
//!
//! Each platform describes itself in its own folder; this module only has the shapes.

use serde::Serialize;
use utoipa::ToSchema;

use super::integrity::{Against, DayOfConversion, IntegrityEntry};
use super::kind::{ConnectionType, Platform};
use super::schema::{self, Field, FieldEntry, Schema};
use super::stats::{Dimension, Metric, MetricType, Perspective, SubId};

/// Whether connections to a platform can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// They can.
    Available,
    /// Not yet.
    ComingSoon,
}

/// What a platform can do about time zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimezoneAbility {
    /// Days in any IANA zone.
    Any,
    /// Days in a fixed offset from UTC.
    UtcOffset,
    /// Days in the account's own zone only.
    Account,
}

/// A platform as the catalogue shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PlatformEntry {
    /// The key in URLs and bodies.
    pub platform: Platform,
    /// The name for people.
    #[schema(example = "Affise")]
    pub title: &'static str,
    /// Whether connections can be made.
    pub status: Availability,
    /// One sentence about the platform.
    pub summary: &'static str,
    /// The connection types it has.
    pub connection_types: Vec<ConnectionTypeEntry>,
}

/// One connection type of a platform.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConnectionTypeEntry {
    /// The key in bodies.
    pub connection_type: ConnectionType,
    /// The name for people.
    #[schema(example = "Admin Portal")]
    pub title: &'static str,
    /// Whether this is the type most users want.
    pub recommended: bool,
    /// What such a connection can see.
    pub sees: &'static str,
    /// Who should choose it.
    pub use_when: &'static str,
    /// JSON Schema (2020-12) of `settings`.
    #[schema(value_type = Object)]
    pub settings_schema: Schema,
    /// JSON Schema (2020-12) of `credentials`; secrets are `writeOnly`.
    #[schema(value_type = Object)]
    pub credentials_schema: Schema,
    /// What a form says beside each field, in the order of the fields.
    pub fields: Vec<FieldEntry>,
    /// What rows can be grouped by.
    pub dimensions: Vec<DimensionEntry>,
    /// What the platform is asked by where rows are grouped by nothing: a question that costs it least.
    #[serde(skip)]
    pub undivided: &'static [Dimension],
    /// Which dimensions go together.
    pub combinations: Combinations,
    /// The metrics it gives.
    pub metrics: Vec<MetricEntry>,
    /// The metrics it cannot give; they are `null` in every row.
    pub unavailable_metrics: Vec<Metric>,
    /// What it can do about time zones.
    pub timezone: TimezoneAbility,
    /// What rows are held against, by what they are grouped by: the first entry that fits counts.
    pub integrity: Vec<IntegrityEntry>,
    /// On which day a conversion counts, unless the connection's settings say otherwise.
    pub day_of_conversion: DayOfConversion,
    /// The longest range of one query, in days.
    #[schema(example = 366)]
    pub max_range_days: u32,
    /// Whose point of view the money has.
    #[serde(skip)]
    pub perspective: Perspective,
}

/// A dimension of a connection type.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DimensionEntry {
    /// The key in `group_by` and `filter[…]`.
    pub key: Dimension,
    /// The column heading; of a sub-id, what the platform calls it.
    #[schema(example = "Affiliate")]
    pub label: &'static str,
    /// Whether `filter[…]` takes it, as far as it goes together with what is grouped by: see `combinations`.
    pub filterable: bool,
}

/// Which dimensions go together in one question. What is filtered has to be read along, so a filtered dimension counts
/// as one that is grouped by. Grouping by nothing is always possible.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Combinations {
    /// The most dimensions of one `group_by`. Filters come on top.
    #[schema(example = 3)]
    pub max: u32,
    /// The only combinations possible (in any order), or `null` where all are. What is grouped by must be one of
    /// them, and together with what is filtered it must lie within one.
    #[schema(required)]
    pub only: Option<Vec<Vec<Dimension>>>,
}

/// A metric of a connection type.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MetricEntry {
    /// The key in `metrics` and in rows.
    pub key: Metric,
    /// The column heading.
    #[schema(example = "Revenue")]
    pub label: &'static str,
    /// How the value is written.
    #[serde(rename = "type")]
    pub metric_type: MetricType,
    /// The platform's own field behind it, or the formula of a derived metric.
    #[schema(example = "actions.confirmed.charge")]
    pub native: &'static str,
}

/// What a platform's folder says of one connection type; the rest of the entry follows from it.
pub(super) struct Described {
    pub(super) title: &'static str,
    pub(super) recommended: bool,
    pub(super) sees: &'static str,
    pub(super) use_when: &'static str,
    pub(super) settings: Vec<Field>,
    pub(super) credentials: Vec<Field>,
    /// What the platform itself can group by; weeks and months follow from days.
    pub(super) dimensions: &'static [Dimension],
    /// What it calls `sub1` and those after it, as far as its reports have them.
    pub(super) subs: &'static [&'static str],
    /// What it is asked by where rows are grouped by nothing, if it cannot be asked so.
    pub(super) undivided: &'static [Dimension],
    pub(super) combinations: Combinations,
    /// The stored metrics with the native field behind each; derived ones follow from them.
    pub(super) metrics: &'static [(Metric, &'static str)],
    pub(super) timezone: TimezoneAbility,
    /// What rows of a grouping (`None`: of every other one) are held against.
    pub(super) integrity: &'static [(Option<&'static [Dimension]>, Against)],
    pub(super) day_of_conversion: DayOfConversion,
    pub(super) perspective: Perspective,
}

/// The longest range a query may have on any platform, as the catalogue states it.
pub const MAX_RANGE_DAYS: u32 = 366;

impl Described {
    pub(super) fn entry(self, connection_type: ConnectionType) -> ConnectionTypeEntry {
        let has = |metric: Metric| self.metrics.iter().any(|(known, _)| *known == metric);
        let native = |metric: Metric| -> Option<&'static str> {
            if let Some((_, native)) = self.metrics.iter().find(|(known, _)| *known == metric) {
                return Some(native);
            }
            let derived = match metric {
                Metric::Profit => match self.perspective {
                    Perspective::Network => has(Metric::Revenue) && has(Metric::Payout),
                    Perspective::MediaBuyer => has(Metric::Revenue) && has(Metric::Cost),
                    Perspective::Affiliate => false,
                },
                Metric::Cr => has(Metric::Conversions) && has(Metric::Clicks),
                Metric::Epc => has(Metric::Revenue) && has(Metric::Clicks),
                Metric::Ctr => has(Metric::Clicks) && has(Metric::Impressions),
                Metric::Roi => has(Metric::Revenue) && has(Metric::Cost),
                Metric::Impressions
                | Metric::Clicks
                | Metric::UniqueClicks
                | Metric::Conversions
                | Metric::Approved
                | Metric::Pending
                | Metric::Rejected
                | Metric::Hold
                | Metric::Revenue
                | Metric::Payout
                | Metric::Cost => false,
            };
            derived.then(|| formula(metric, self.perspective))
        };
        let metrics: Vec<MetricEntry> = Metric::ALL
            .into_iter()
            .filter_map(|key| {
                let native = native(key)?;
                Some(MetricEntry { key, label: key.label(), metric_type: key.metric_type(), native })
            })
            .collect();
        let unavailable = Metric::ALL.into_iter().filter(|metric| native(*metric).is_none()).collect();
        ConnectionTypeEntry {
            connection_type,
            title: self.title,
            recommended: self.recommended,
            sees: self.sees,
            use_when: self.use_when,
            settings_schema: schema::object("Settings", &self.settings),
            credentials_schema: schema::object("Credentials", &self.credentials),
            fields: self.field_entries(),
            dimensions: self.dimension_entries(),
            undivided: self.undivided,
            combinations: self.combinations.with_weeks_and_months(),
            metrics,
            unavailable_metrics: unavailable,
            timezone: self.timezone,
            integrity: self.integrity.iter().flat_map(entries_of).collect(),
            day_of_conversion: self.day_of_conversion,
            max_range_days: MAX_RANGE_DAYS,
            perspective: self.perspective,
        }
    }
}

/// What is said of a grouping; weeks and months are put together from days, and so the same is said of them.
fn entries_of((group_by, against): &(Option<&[Dimension]>, Against)) -> Vec<IntegrityEntry> {
    let entry = |group_by| IntegrityEntry { group_by, against: *against };
    let Some(group_by) = group_by else { return vec![entry(None)] };
    let stands = |cycle: Dimension| {
        let put = |dimension: &Dimension| if *dimension == Dimension::Date { cycle } else { *dimension };
        group_by.iter().map(put).collect::<Vec<_>>()
    };
    let cycles = [Dimension::Week, Dimension::Month].into_iter().filter(|_| group_by.contains(&Dimension::Date));
    std::iter::once(Dimension::Date).chain(cycles).map(|cycle| entry(Some(stands(cycle)))).collect()
}

impl Combinations {
    /// Wherever days go, weeks and months go in their place.
    fn with_weeks_and_months(self) -> Self {
        let stands = |set: &[Dimension], cycle: Dimension| {
            let put = |dimension: &Dimension| if *dimension == Dimension::Date { cycle } else { *dimension };
            set.iter().map(put).collect::<Vec<_>>()
        };
        let only = self.only.map(|sets| {
            let all =
                |cycle| sets.iter().filter(|set| set.contains(&Dimension::Date)).map(move |set| stands(set, cycle));
            let made: Vec<_> = all(Dimension::Week).chain(all(Dimension::Month)).collect();
            sets.into_iter().chain(made).collect()
        });
        Self { only, ..self }
    }
}

impl Described {
    fn dimension_entries(&self) -> Vec<DimensionEntry> {
        let entry = |key: Dimension, label: &'static str| DimensionEntry { key, label, filterable: true };
        let own = self.dimensions.iter().flat_map(|key| match key {
            Dimension::Date => vec![Dimension::Date, Dimension::Week, Dimension::Month],
            other => vec![*other],
        });
        let subs = SubId::ALL.into_iter().filter_map(|number| Some((number, number.named(self.subs)?)));
        own.map(|key| entry(key, key.label()))
            .chain(subs.map(|(number, label)| entry(Dimension::Sub(number), label)))
            .collect()
    }

    /// Of settings, then of credentials, required ones first.
    fn field_entries(&self) -> Vec<FieldEntry> {
        let in_order = |fields: &[Field], part: &str| -> Vec<FieldEntry> {
            let (required, optional): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|field| field.required);
            required.into_iter().chain(optional).map(|field| field.entry(part)).collect()
        };
        [in_order(&self.settings, "settings"), in_order(&self.credentials, "credentials")].concat()
    }
}

fn formula(metric: Metric, perspective: Perspective) -> &'static str {
    match (metric, perspective) {
        (Metric::Profit, Perspective::MediaBuyer) => "revenue − cost",
        (Metric::Profit, _) => "revenue − payout",
        (Metric::Cr, _) => "conversions ÷ clicks",
        (Metric::Epc, _) => "revenue ÷ clicks",
        (Metric::Ctr, _) => "clicks ÷ impressions",
        (Metric::Roi, _) => "(revenue − cost) ÷ cost",
        _ => "",
    }
}
