//! What the rows of a report are held against, and on which day its conversions count: said of each question in the
//! catalogue, and in each answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::columns::Dimension;

/// What rows are held against. A check can only find what its other side has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// Nothing.
    #[default]
    None,
    /// What the same answers say elsewhere, such as a number of rows or the sum of a group. Where they are cut, so is that.
    SameSource,
    /// A figure of its own: another report, or the platform's own totals.
    Independent,
}

/// What the rows of a question are held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IntegrityEntry {
    /// What rows are grouped by, in any order; `null` for every other grouping.
    #[schema(required)]
    pub group_by: Option<Vec<Dimension>>,
    /// At least this. An answer says what it was.
    pub against: Against,
}

impl IntegrityEntry {
    /// Whether it is about this grouping.
    pub fn fits(&self, group_by: &[Dimension]) -> bool {
        let set = |dimensions: &[Dimension]| dimensions.iter().copied().collect::<BTreeSet<_>>();
        self.group_by.as_deref().is_none_or(|own| set(own) == set(group_by))
    }
}

/// On which day a conversion counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DayOfConversion {
    /// The day of its click: days that are over still change.
    Click,
    /// Its own day.
    Conversion,
    /// Either, as a setting of the account has it, which the platform does not report.
    AccountSetting,
}

/// The outcome of holding rows against what the platform itself says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What they were held against.
    pub against: Against,
    /// What differs, with both numbers; `None` where everything agrees.
    pub mismatch: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_fits_its_grouping_in_any_order_or_every_one() {
        let entry = |group_by: Option<&[Dimension]>| IntegrityEntry {
            group_by: group_by.map(<[Dimension]>::to_vec),
            against: Against::None,
        };
        let both = [Dimension::Offer, Dimension::Date];
        assert!(entry(Some(&[Dimension::Date, Dimension::Offer])).fits(&both));
        assert!(!entry(Some(&[Dimension::Date])).fits(&both) && !entry(Some(&[])).fits(&both));
        assert!(entry(None).fits(&both) && entry(Some(&[])).fits(&[]));
    }
}
