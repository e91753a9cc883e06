//! Keitaro's own names: the columns of a dimension, and the numbers of a row.

use super::super::stats::{Dimension, Metrics, SubId};
use super::wire::{Cell, Odd};

/// The columns that tell one entity from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entity {
    pub(super) dimension: Dimension,
    /// The column of its id.
    pub(super) id: &'static str,
    /// The column of its name, where that is another one.
    pub(super) name: Option<&'static str>,
    /// Whether a filter on its ids is handed to the panel.
    pub(super) is_numbered: bool,
}

impl Entity {
    /// The columns of a dimension that is no time.
    pub(super) const fn of(dimension: Dimension) -> Option<Self> {
        let (id, name, is_numbered) = match dimension {
            Dimension::Campaign => ("campaign_id", Some("campaign"), true),
            Dimension::Offer => ("offer_id", Some("offer"), true),
            // `traffic_source_id` is its name in every other call, and refused in reports.
            Dimension::TrafficSource => ("ts_id", Some("ts"), true),
            // Whether there is a column of ids depends on the version.
            Dimension::AffiliateNetwork => ("affiliate_network", None, false),
            Dimension::Country => ("country_code", Some("country"), false),
            Dimension::Sub(number) => (sub_column(number), None, false),
            _ => return None,
        };
        Some(Self { dimension, id, name, is_numbered })
    }
}

/// Whatever the parameter of a link is called, the column has the underscore.
const fn sub_column(number: SubId) -> &'static str {
    match number.number() {
        1 => "sub_id_1",
        2 => "sub_id_2",
        3 => "sub_id_3",
        4 => "sub_id_4",
        5 => "sub_id_5",
        6 => "sub_id_6",
        7 => "sub_id_7",
        8 => "sub_id_8",
        9 => "sub_id_9",
        _ => "sub_id_10",
    }
}

/// A number of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Clicks,
    UniqueClicks,
    Conversions,
    Sales,
    Leads,
    Rejected,
    Revenue,
    Cost,
}

impl Figure {
    /// What every report is asked for.
    pub(super) const ALL: [Self; 8] = [
        Self::Clicks,
        Self::UniqueClicks,
        Self::Conversions,
        Self::Sales,
        Self::Leads,
        Self::Rejected,
        Self::Revenue,
        Self::Cost,
    ];

    /// Its column.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Clicks => "clicks",
            Self::UniqueClicks => "campaign_unique_clicks",
            Self::Conversions => "conversions",
            Self::Sales => "sales",
            Self::Leads => "leads",
            Self::Rejected => "rejected",
            Self::Revenue => "revenue",
            Self::Cost => "cost",
        }
    }

    /// Whether a report is worth something without it.
    pub(super) const fn is_optional(self) -> bool {
        !matches!(self, Self::Clicks)
    }

    /// Puts what a row says of it where it belongs.
    pub(super) fn read(self, cell: Cell<'_>, metrics: &mut Metrics) -> Result<(), Odd> {
        match self {
            Self::Clicks => metrics.clicks = cell.count()?,
            Self::UniqueClicks => metrics.unique_clicks = cell.count()?,
            Self::Conversions => metrics.conversions = cell.count()?,
            Self::Sales => metrics.approved = cell.count()?,
            Self::Leads => metrics.pending = cell.count()?,
            Self::Rejected => metrics.rejected = cell.count()?,
            Self::Revenue => metrics.revenue = cell.amount()?,
            Self::Cost => metrics.cost = cell.amount()?,
        }
        Ok(())
    }
}

/// Whether a report can do without a column: a name, or a number but the clicks.
pub(super) fn is_optional(column: &str) -> bool {
    let is_name = |dimension: &Dimension| Entity::of(*dimension).is_some_and(|entity| entity.name == Some(column));
    Figure::ALL.iter().any(|figure| figure.column() == column && figure.is_optional())
        || Dimension::ALL.iter().any(is_name)
}
