//! Which currency a row is in.
//!
//! An affiliate's rows name it by a symbol, and on the newer paths by an id that `Lists/Currencies` explains; a
//! network's rows name none. A symbol such as `$` stands for many currencies, so it proves nothing on its own.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::super::stats::Currency;
use super::tree::Fields;
use super::wire::Denomination;
use crate::outbound::error::PlatformError;

/// The names that CAKE's currency list has in English, with their ISO codes.
const NAMES: &[(&str, &str)] = &[
    ("us dollar", "USD"),
    ("united states dollar", "USD"),
    ("euro", "EUR"),
    ("british pound", "GBP"),
    ("british pound sterling", "GBP"),
    ("pound sterling", "GBP"),
    ("uk pound", "GBP"),
    ("canadian dollar", "CAD"),
    ("australian dollar", "AUD"),
    ("new zealand dollar", "NZD"),
    ("singapore dollar", "SGD"),
    ("hong kong dollar", "HKD"),
    ("japanese yen", "JPY"),
    ("chinese yuan", "CNY"),
    ("chinese yuan renminbi", "CNY"),
    ("indian rupee", "INR"),
    ("swiss franc", "CHF"),
    ("swedish krona", "SEK"),
    ("norwegian krone", "NOK"),
    ("danish krone", "DKK"),
    ("polish zloty", "PLN"),
    ("czech koruna", "CZK"),
    ("hungarian forint", "HUF"),
    ("romanian leu", "RON"),
    ("bulgarian lev", "BGN"),
    ("russian ruble", "RUB"),
    ("ukrainian hryvnia", "UAH"),
    ("turkish lira", "TRY"),
    ("israeli new shekel", "ILS"),
    ("israeli shekel", "ILS"),
    ("south african rand", "ZAR"),
    ("brazilian real", "BRL"),
    ("mexican peso", "MXN"),
    ("south korean won", "KRW"),
    ("thai baht", "THB"),
    ("malaysian ringgit", "MYR"),
    ("indonesian rupiah", "IDR"),
    ("philippine peso", "PHP"),
    ("vietnamese dong", "VND"),
    ("uae dirham", "AED"),
    ("united arab emirates dirham", "AED"),
];

/// What each symbol may stand for. One candidate proves the currency, several only rule others out.
const SYMBOLS: &[(&str, &[&str])] = &[
    ("€", &["EUR"]),
    ("£", &["GBP"]),
    ("US$", &["USD"]),
    ("C$", &["CAD"]),
    ("CA$", &["CAD"]),
    ("A$", &["AUD"]),
    ("AU$", &["AUD"]),
    ("NZ$", &["NZD"]),
    ("HK$", &["HKD"]),
    ("R$", &["BRL"]),
    ("₹", &["INR"]),
    ("₽", &["RUB"]),
    ("₪", &["ILS"]),
    ("₩", &["KRW"]),
    ("₺", &["TRY"]),
    ("₴", &["UAH"]),
    ("₫", &["VND"]),
    ("฿", &["THB"]),
    ("zł", &["PLN"]),
    ("$", &["USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "CLP", "COP", "BBD", "BSD", "JMD", "TTD"]),
    ("¥", &["JPY", "CNY"]),
    ("kr", &["SEK", "NOK", "DKK", "ISK"]),
];

/// The network's currency ids, as far as their names say which currency they are.
pub(super) type Listed = BTreeMap<CompactString, Currency>;

/// Reads the rows of `Lists/Currencies`.
pub(super) fn listed(rows: &[Fields]) -> Listed {
    rows.iter()
        .filter_map(|row| {
            let id = row.text(&["currency_id"])?;
            let code = row.text(&["currency_code", "currency_abbr"]).and_then(|code| code.parse().ok());
            let currency = code.or_else(|| named(row.text(&["currency_name"])?))?;
            Some((id.into(), currency))
        })
        .collect()
}

fn named(name: &str) -> Option<Currency> {
    if let Ok(code) = name.parse() {
        return Some(code);
    }
    let (_, code) = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
    code.parse().ok()
}

fn candidates(symbol: &str) -> Vec<Currency> {
    let iso = symbol.parse().ok();
    let known = SYMBOLS.iter().find(|(known, _)| *known == symbol).map_or(&[][..], |(_, codes)| codes);
    iso.into_iter().chain(known.iter().filter_map(|code| code.parse().ok())).collect()
}

/// Names the currency of each row of one report, and refuses to call two currencies the same.
pub(super) struct Labels {
    configured: Option<Currency>,
    seen: Vec<Label>,
}

/// What was made of rows that say the same of their currency.
#[derive(PartialEq, Eq)]
struct Label {
    currency: Option<Currency>,
    money: Denomination,
    proven: bool,
}

impl Label {
    /// Whether both are called the same although their rows say that they differ. What is proven twice is the same
    /// whatever else rows say; a symbol only counts against another guess.
    fn confuses(&self, other: &Self) -> bool {
        let differ = match (&self.money.id, &other.money.id) {
            (Some(a), Some(b)) => a != b,
            _ if self.proven || other.proven => false,
            _ => matches!((&self.money.symbol, &other.money.symbol), (Some(a), Some(b)) if a != b),
        };
        self.currency == other.currency && !(self.proven && other.proven) && differ
    }
}

impl Labels {
    /// With the connection's own setting, which counts where a row proves nothing else.
    pub(super) fn new(configured: Option<Currency>) -> Self {
        Self { configured, seen: Vec::new() }
    }

    /// The currency of a row: what its id is listed as, what the symbol proves, the setting unless the symbol rules
    /// it out, or nothing.
    pub(super) fn of(&mut self, money: Denomination, listed: &Listed) -> Result<Option<Currency>, PlatformError> {
        let possible = money.symbol.as_deref().map(candidates).unwrap_or_default();
        let by_id = money.id.as_ref().and_then(|id| listed.get(id)).copied();
        let (currency, proven) = match (by_id, possible.as_slice()) {
            (Some(currency), _) => (Some(currency), true),
            (None, [currency]) => (Some(*currency), true),
            (None, _) => (self.configured.filter(|code| possible.is_empty() || possible.contains(code)), false),
        };
        self.remember(Label { currency, money, proven })?;
        Ok(currency)
    }

    fn remember(&mut self, label: Label) -> Result<(), PlatformError> {
        if self.seen.contains(&label) {
            return Ok(());
        }
        if self.seen.iter().any(|known| known.confuses(&label)) {
            return Err(PlatformError::unsupported(
                "The rows are in several currencies that the network does not name, so they cannot be kept apart.",
            )
            .hint("Ask the network to name its currencies (the list that the reporting API calls Currencies)."));
        }
        self.seen.push(label);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<Currency> {
        text.parse().ok()
    }

    fn money(id: &str, symbol: &str) -> Denomination {
        let some = |text: &str| (!text.is_empty()).then(|| text.into());
        Denomination { id: some(id), symbol: some(symbol) }
    }

    #[test]
    fn an_id_outranks_the_setting_and_a_symbol_may_contradict_it() {
        let listed = Listed::from([("3".into(), code("CAD").expect("a code"))]);
        let mut labels = Labels::new(code("USD"));
        let mut of = |id, symbol| labels.of(money(id, symbol), &listed).expect("a label");
        assert_eq!(of("3", "$"), code("CAD"));
        assert_eq!(of("", "$"), code("USD"));
        assert_eq!(of("", ""), code("USD"));
        assert_eq!(of("", "€"), code("EUR"));
        assert_eq!(of("", "kr"), None);
    }

    #[test]
    fn a_dollar_sign_alone_is_no_currency() {
        assert_eq!(Labels::new(None).of(money("", "$"), &Listed::new()).ok(), Some(None));
        assert_eq!(Labels::new(None).of(money("", "£"), &Listed::new()).ok(), Some(code("GBP")));
    }

    #[test]
    fn rows_that_say_they_differ_are_never_called_the_same() {
        let mut labels = Labels::new(code("USD"));
        assert!(labels.of(money("1", "$"), &Listed::new()).is_ok());
        assert!(labels.of(money("1", "$"), &Listed::new()).is_ok());
        assert!(labels.of(money("2", "$"), &Listed::new()).is_err());
        let listed =
            Listed::from([("1".into(), code("USD").expect("a code")), ("7".into(), code("USD").expect("a code"))]);
        let mut labels = Labels::new(code("USD"));
        assert!(labels.of(money("1", "$"), &listed).is_ok());
        assert!(labels.of(money("7", "US$"), &listed).is_ok());
        assert!(labels.of(money("2", "$"), &listed).is_err());
        let mut labels = Labels::new(None);
        assert!(labels.of(money("", "$"), &Listed::new()).is_ok());
        assert!(labels.of(money("", "kr"), &Listed::new()).is_err());
    }

    #[test]
    fn every_listed_name_and_symbol_leads_to_codes() {
        assert!(NAMES.iter().all(|(_, iso)| code(iso).is_some()));
        assert!(SYMBOLS.iter().all(|(symbol, codes)| candidates(symbol).len() == codes.len()));
        assert_eq!(named("US DOLLAR"), code("USD"));
        assert_eq!(named("eur"), code("EUR"));
    }
}
