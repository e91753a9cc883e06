//! Which currencies there are: ISO 4217, with the codes that were withdrawn, for reports about the past.

use std::sync::LazyLock;

use iso_currency::{Currency, IntoEnumIterator};
use serde::Serialize;
use utoipa::ToSchema;

use super::kind::{FieldError, Settings};
use crate::input::InputCode;

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

/// The setting that names an account's currency.
const SETTING: &str = "currency";

/// Of codes that are equally near to what was typed, the one that more accounts have: by turnover, according to the
/// surveys of the Bank for International Settlements.
const USUAL: [&str; 20] = [
    "USD", "EUR", "JPY", "GBP", "CNY", "AUD", "CAD", "CHF", "HKD", "SGD", "INR", "KRW", "SEK", "MXN", "NZD", "NOK",
    "BRL", "ZAR", "PLN", "TRY",
];

/// The letters of a longer text that are looked at: no code has as many.
const MOST_LETTERS: usize = 16;

/// Brings the currency of a connection into the form in which it is stored, and refuses what is none.
pub(super) fn normalise(settings: &mut Settings) -> Result<(), FieldError> {
    let Some(entered) = settings.get_mut(SETTING) else { return Ok(()) };
    let code = entered.trim().to_uppercase();
    if all().binary_search_by_key(&code.as_str(), |currency| currency.code).is_ok() {
        *entered = code;
        return Ok(());
    }
    // What was typed may be a secret in the wrong field, and is not repeated.
    let detail = match nearest(&code) {
        Some(CurrencyEntry { code, title, .. }) => {
            format!("This is not an ISO 4217 currency code; the nearest is {code} ({title}).")
        }
        None => "This is not an ISO 4217 currency code. It should look like USD.".to_owned(),
    };
    Err(FieldError { field: SETTING, code: InputCode::Format, detail })
}

/// The currency that was most likely meant.
fn nearest(typed: &str) -> Option<&'static CurrencyEntry> {
    let typed: String = typed.chars().take(MOST_LETTERS).collect();
    let usual = |code: &str| USUAL.iter().position(|known| *known == code).unwrap_or(USUAL.len());
    all().iter().min_by_key(|currency| {
        let mistakes = strsim::osa_distance(&typed, currency.code);
        (mistakes, currency.withdrawn, usual(currency.code))
    })
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
    use proptest::prelude::*;

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

    fn stored(typed: &str) -> Result<String, String> {
        let mut settings = Settings::from([(SETTING.to_owned(), typed.to_owned())]);
        normalise(&mut settings).map_err(|error| error.detail)?;
        Ok(settings.remove(SETTING).unwrap_or_default())
    }

    #[test]
    fn a_code_is_stored_in_capitals_whatever_the_letter_case() {
        for (typed, code) in [("USD", "USD"), ("usd", "USD"), ("Eur", "EUR"), ("dem", "DEM"), ("xcg", "XCG")] {
            assert_eq!(stored(typed).as_deref(), Ok(code), "{typed}");
        }
        assert_eq!(normalise(&mut Settings::new()), Ok(()));
    }

    #[test]
    fn what_is_no_code_is_refused_with_the_nearest_one() {
        for (typed, code) in [("UDS", "USD"), ("EURO", "EUR"), ("gpb", "GBP"), ("US", "USD"), ("ABC", ""), ("XBT", "")]
        {
            let refusal = stored(typed).expect_err(typed);
            assert!(refusal.contains(&format!("the nearest is {code}")), "{typed}: {refusal}");
        }
        assert!(!stored("canary").expect_err("no code").contains("canary"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_code_or_refused(typed in "\\PC{0,40}") {
            if let Ok(code) = stored(&typed) {
                prop_assert!(find(&code).is_some());
            }
        }
    }

    #[test]
    fn every_code_stands_once_and_in_order() {
        assert!(all().is_sorted_by(|one, next| one.code < next.code));
        assert!(all().iter().all(|currency| currency.code.len() == 3 && !currency.title.is_empty()));
    }
}
