//! What a caller should know about numbers that are good.

use std::str::FromStr;

use serde::Serialize;
use utoipa::ToSchema;

/// What a warning is about. The set is closed: a client may branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// The tracker does not show this key some columns; what depends on them is unknown.
    ColumnsHidden,
    /// Fractions of conversions were rounded to whole numbers.
    CountsRounded,
    /// The network does not let this key read the names of its currencies.
    CurrenciesUnnamed,
    /// Neither the connection nor the account names a currency, so a usual one was asked for.
    CurrencyNotConfigured,
    /// Amounts are in the account's own currency, which the platform does not name.
    CurrencyUnknown,
    /// The key's user may see a part of the data only, and the platform leaves out the rest without saying so.
    DataMayBeLimited,
    /// Rows came in while the report was read.
    DataMoved,
    /// The period is not over, so it is compared up to the same day.
    PeriodRunning,
    /// A name held half a character or control characters, and is shown without them.
    TextRepaired,
    /// Days are those of the account's own time zone and not of the one that was asked for.
    TimezoneFixedByPlatform,
    /// The platform's list of time zones could not be read, so this service's own copy was used.
    TimezoneListUnavailable,
    /// Nothing showed how the platform reads times, so days are taken to be right without proof.
    TimezoneUnproven,
    /// Some rows do not say a number, so its total is not known, or the platform did not answer with a sum of its own.
    TotalUnknown,
    /// The tracker counts the days of a zone by other rules than this service.
    ZoneTablesDiffer,
}

impl WarningCode {
    /// Every code.
    pub const ALL: [Self; 14] = [
        Self::ColumnsHidden,
        Self::CountsRounded,
        Self::CurrenciesUnnamed,
        Self::CurrencyNotConfigured,
        Self::CurrencyUnknown,
        Self::DataMayBeLimited,
        Self::DataMoved,
        Self::PeriodRunning,
        Self::TextRepaired,
        Self::TimezoneFixedByPlatform,
        Self::TimezoneListUnavailable,
        Self::TimezoneUnproven,
        Self::TotalUnknown,
        Self::ZoneTablesDiffer,
    ];

    /// The code as it stands in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ColumnsHidden => "columns_hidden",
            Self::CountsRounded => "counts_rounded",
            Self::CurrenciesUnnamed => "currencies_unnamed",
            Self::CurrencyNotConfigured => "currency_not_configured",
            Self::CurrencyUnknown => "currency_unknown",
            Self::DataMayBeLimited => "data_may_be_limited",
            Self::DataMoved => "data_moved",
            Self::PeriodRunning => "period_running",
            Self::TextRepaired => "text_repaired",
            Self::TimezoneFixedByPlatform => "timezone_fixed_by_platform",
            Self::TimezoneListUnavailable => "timezone_list_unavailable",
            Self::TimezoneUnproven => "timezone_unproven",
            Self::TotalUnknown => "total_unknown",
            Self::ZoneTablesDiffer => "zone_tables_differ",
        }
    }
}

impl FromStr for WarningCode {
    type Err = ();

    fn from_str(key: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|code| code.key() == key).ok_or(())
    }
}

/// Something a caller should know about otherwise good numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub struct Warning {
    /// What it is about.
    pub code: WarningCode,
    /// What it means for these numbers.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_by_its_key_and_found_by_it() {
        for code in WarningCode::ALL {
            assert_eq!(serde_json::to_value(code).expect("JSON"), code.key());
            assert_eq!(code.key().parse(), Ok(code));
        }
    }
}
