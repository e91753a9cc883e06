//! Which currencies there are: ISO 4217, with the codes that were withdrawn, for reports about the past.

use std::sync::LazyLock;

use iso_currency::{Currency, IntoEnumIterator};
use serde::Serialize;
use utoipa::ToSchema;

/// A currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CurrencyEntry {
    /// The code.
    #[schema(example = "EUR")]
    pub code: &'static str,
    /// The name for people.
    #[schema(example = "Euro")]
    pub title: String,
    /// Whether it is a currency of the past.
    pub withdrawn: bool,
}

/// Codes of ISO 4217 that stand for no currency: reserved for tests, and for the absence of one.
const NO_CURRENCIES: [Currency; 2] = [Currency::XTS, Currency::XXX];

/// Codes withdrawn since 1999 that the crate has left out.
const WITHDRAWN: [(&str, &str); 28] = [
    ("ANG", "Netherlands Antillean guilder"),
    ("ATS", "Austrian schilling"),
    ("BEF", "Belgian franc"),
    ("BYR", "Belarusian ruble (2000–2016)"),
    ("CYP", "Cypriot pound"),
    ("DEM", "Deutsche Mark"),
    ("EEK", "Estonian kroon"),
    ("ESP", "Spanish peseta"),
    ("FIM", "Finnish markka"),
    ("FRF", "French franc"),
    ("GHC", "Ghanaian cedi (1979–2007)"),
    ("GRD", "Greek drachma"),
    ("IEP", "Irish pound"),
    ("ITL", "Italian lira"),
    ("LTL", "Lithuanian litas"),
    ("LUF", "Luxembourg franc"),
    ("LVL", "Latvian lats"),
    ("MRO", "Mauritanian ouguiya (1973–2017)"),
    ("MTL", "Maltese lira"),
    ("NLG", "Dutch guilder"),
    ("PTE", "Portuguese escudo"),
    ("ROL", "Romanian leu (1952–2005)"),
    ("SIT", "Slovenian tolar"),
    ("SKK", "Slovak koruna"),
    ("STD", "São Tomé and Príncipe dobra (1977–2017)"),
    ("TRL", "Turkish lira (1922–2005)"),
    ("VEF", "Venezuelan bolívar (2008–2018)"),
    ("ZMK", "Zambian kwacha (1968–2012)"),
];

/// All of them, by code.
#[must_use]
pub fn all() -> &'static [CurrencyEntry] {
    static ALL: LazyLock<Vec<CurrencyEntry>> = LazyLock::new(|| {
        let listed =
            Currency::iter().filter(|currency| !NO_CURRENCIES.contains(currency)).map(|currency| CurrencyEntry {
                code: currency.code(),
                title: title(currency),
                withdrawn: currency.is_superseded().is_some(),
            });
        let old =
            WITHDRAWN.iter().map(|(code, title)| CurrencyEntry { code, title: (*title).to_owned(), withdrawn: true });
        let mut all: Vec<CurrencyEntry> = listed.chain(old).collect();
        all.sort_unstable_by_key(|currency| (currency.code, currency.withdrawn));
        all.dedup_by_key(|currency| currency.code);
        all
    });
    &ALL
}

fn title(currency: Currency) -> String {
    match currency {
        // The crate has a typing mistake.
        Currency::XCG => "Caribbean guilder".to_owned(),
        other => other.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(code: &str) -> Option<&'static CurrencyEntry> {
        all().iter().find(|currency| currency.code == code)
    }

    #[test]
    fn the_list_is_that_of_2026_with_codes_of_the_past() {
        for code in ["EUR", "USD", "XCG", "ZWG", "SLE", "VED", "XAD"] {
            assert!(find(code).is_some_and(|currency| !currency.withdrawn), "{code}");
        }
        for code in ["ANG", "BGN", "HRK", "ZWL", "CUC", "SLL", "DEM"] {
            assert!(find(code).is_some_and(|currency| currency.withdrawn), "{code}");
        }
        for code in ["XTS", "XXX", "XBT", "ABC", "UDS"] {
            assert_eq!(find(code), None, "{code}");
        }
    }

    #[test]
    fn every_code_stands_once_and_in_order() {
        assert!(all().is_sorted_by(|one, next| one.code < next.code));
        assert!(all().iter().all(|currency| currency.code.len() == 3 && !currency.title.is_empty()));
    }
}
