//! The columns of a report: what it is grouped by, and what it measures.
//!
//! An account may lack a column. Its currency, numbers and names can be done without, and then the report says so; what
//! rows are told apart by cannot.

use std::collections::BTreeSet;

use super::super::kind::ConnectionType;
use super::super::stats::{Dimension, SubId, Warning, WarningCode};

pub(super) const DATE: &str = "Stat.date";
pub(super) const HOUR: &str = "Stat.hour";
pub(super) const CURRENCY: &str = "Stat.currency";
pub(super) const CLICKS: &str = "Stat.clicks";
pub(super) const OFFER: &str = "Stat.offer_id";

const UNIQUE_CLICKS: &str = "Stat.unique_clicks";
const REVENUE: &str = "Stat.revenue";
const METRICS: [&str; 6] = ["Stat.impressions", CLICKS, UNIQUE_CLICKS, "Stat.conversions", "Stat.payout", REVENUE];

/// The columns of an entity: its id, and its name in another model, if it has one.
struct Entity {
    id: &'static str,
    name: Option<&'static str>,
}

fn entity(portal: ConnectionType, dimension: Dimension) -> Option<Entity> {
    let (id, name) = match (dimension, portal) {
        (Dimension::Offer, _) => (OFFER, Some("Offer.name")),
        (Dimension::Country, _) => ("Stat.country_code", Some("Country.name")),
        (Dimension::Affiliate, ConnectionType::Admin) => ("Stat.affiliate_id", Some("Affiliate.company")),
        (Dimension::Advertiser, ConnectionType::Admin) => ("Stat.advertiser_id", Some("Advertiser.company")),
        (Dimension::Sub(number), _) => (info_column(number)?, None),
        _ => return None,
    };
    Some(Entity { id, name })
}

const fn info_column(number: SubId) -> Option<&'static str> {
    match number.number() {
        1 => Some("Stat.affiliate_info1"),
        2 => Some("Stat.affiliate_info2"),
        3 => Some("Stat.affiliate_info3"),
        4 => Some("Stat.affiliate_info4"),
        5 => Some("Stat.affiliate_info5"),
        _ => None,
    }
}

/// The column to filter a dimension by, where its ids are numbers.
pub(super) fn numbered(portal: ConnectionType, dimension: Dimension) -> Option<&'static str> {
    match dimension {
        Dimension::Country | Dimension::Sub(_) => None,
        _ => entity(portal, dimension).map(|entity| entity.id),
    }
}

/// Which columns of a report an account can be asked for.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    portal: ConnectionType,
    dimensions: Vec<Dimension>,
    refused: BTreeSet<&'static str>,
}

impl Columns {
    /// # Errors
    /// The dimension that this portal's reports do not have.
    pub(super) fn of(
        portal: ConnectionType,
        dimensions: &[Dimension],
        refused: BTreeSet<&'static str>,
    ) -> Result<Self, Dimension> {
        match dimensions.iter().find(|dimension| !dimension.is_time() && entity(portal, **dimension).is_none()) {
            Some(unknown) => Err(*unknown),
            None => Ok(Self { portal, dimensions: dimensions.to_vec(), refused }),
        }
    }

    /// What rows are told apart by, the currency last. `by_hours` asks for the day and hour whatever the dimensions.
    pub(super) fn ids(&self, by_hours: bool) -> Vec<&'static str> {
        let has = |dimension| by_hours || self.dimensions.contains(&dimension);
        let times = [(Dimension::Date, DATE), (Dimension::Hour, HOUR)];
        let times = times.into_iter().filter(|(dimension, _)| has(*dimension)).map(|(_, column)| column);
        let entities = self.dimensions.iter().filter_map(|dimension| entity(self.portal, *dimension));
        let currency = self.has_currency().then_some(CURRENCY);
        times.chain(entities.map(|entity| entity.id)).chain(currency).collect()
    }

    /// The names beside the ids.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let entities = self.dimensions.iter().filter_map(|dimension| entity(self.portal, *dimension));
        entities.filter_map(|entity| entity.name).filter(|name| !self.refused.contains(name)).collect()
    }

    /// The numbers.
    pub(super) fn metrics(&self) -> Vec<&'static str> {
        let own = METRICS.into_iter().filter(|metric| self.portal == ConnectionType::Admin || *metric != REVENUE);
        own.filter(|metric| !self.refused.contains(metric)).collect()
    }

    /// Whether rows come by currency.
    pub(super) fn has_currency(&self) -> bool {
        !self.refused.contains(CURRENCY)
    }

    /// Does without a column that was refused by this name, and returns it; `None` where nothing is left to measure, or
    /// rows could not be told apart, or the column was not asked for.
    pub(super) fn do_without(&mut self, name: &str) -> Option<&'static str> {
        let metrics = self.metrics();
        let spare = if metrics.len() > 1 { metrics } else { Vec::new() };
        let currency = self.has_currency().then_some(CURRENCY);
        let column = spare.into_iter().chain(self.names()).chain(currency).find(|column| *column == name)?;
        self.refused.insert(column);
        Some(column)
    }

    /// What a caller should know of columns that the report lacks. That a network has no column for its one currency is
    /// no loss.
    pub(super) fn warning(&self) -> Option<Warning> {
        let asked = |column: &&&str| {
            let named = self.dimensions.iter().filter_map(|dimension| entity(self.portal, *dimension));
            METRICS.contains(*column) || named.into_iter().any(|entity| entity.name == Some(**column))
        };
        let lost: Vec<&str> = self.refused.iter().filter(asked).copied().collect();
        (!lost.is_empty()).then(|| Warning {
            code: WarningCode::ColumnsHidden,
            detail: format!(
                "The network does not let this key use {}. Their numbers are null, and ids stand in for names.",
                lost.join(", ")
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(portal: ConnectionType, dimensions: &[Dimension]) -> Columns {
        Columns::of(portal, dimensions, BTreeSet::new()).expect("columns")
    }

    #[test]
    fn an_affiliate_is_asked_for_nothing_of_the_network() {
        let affiliate = columns(ConnectionType::Affiliate, &[Dimension::Offer]);
        assert!(!affiliate.metrics().contains(&REVENUE));
        for dimension in [Dimension::Affiliate, Dimension::Advertiser, Dimension::Campaign] {
            let refused = Columns::of(ConnectionType::Affiliate, &[dimension], BTreeSet::new());
            assert_eq!(refused.err(), Some(dimension));
        }
    }

    #[test]
    fn hours_are_asked_for_where_days_are_put_together() {
        let columns = columns(ConnectionType::Admin, &[Dimension::Offer, Dimension::Date]);
        assert_eq!(columns.ids(false), [DATE, OFFER, CURRENCY]);
        assert_eq!(columns.ids(true), [DATE, HOUR, OFFER, CURRENCY]);
    }

    #[test]
    fn ids_and_the_last_number_cannot_be_done_without() {
        let mut columns = columns(ConnectionType::Affiliate, &[Dimension::Offer]);
        assert_eq!(columns.do_without(OFFER), None);
        assert_eq!(columns.do_without("Stat.secret"), None);
        assert_eq!(columns.do_without(CURRENCY), Some(CURRENCY));
        assert_eq!(columns.do_without(CURRENCY), None, "it is not asked for any more");
        assert!(columns.warning().is_none());
        for metric in &METRICS[..4] {
            assert_eq!(columns.do_without(metric), Some(*metric));
        }
        assert_eq!(columns.do_without("Stat.payout"), None, "nothing would be left");
        assert!(columns.warning().is_some_and(|warning| warning.detail.contains(UNIQUE_CLICKS)));
    }
}
