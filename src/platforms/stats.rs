//! The vocabulary of statistics: what is asked of a platform and what a platform answers.
//!
//! Everything here is free of any tracker's own words. Counts are integers, money is a decimal read
//! from the JSON text, ids are strings, and what a platform does not know is `None`, never zero.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use futures_util::stream::BoxStream;
use rust_decimal::Decimal;
use serde::Serialize;
use smallvec::SmallVec;

use super::calendar::{DateRange, Zone};
pub use super::columns::{Dimension, Metric, MetricType, Perspective, SubId};
pub use super::integrity::{Against, Check, DayOfConversion};
pub use super::ratio::{Fraction, change};
use super::ratio::{ratio, shortest};
pub use super::warning::{Warning, WarningCode};
use crate::outbound::MARK;
use crate::outbound::error::PlatformError;

/// An ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code, three upper-case letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = ();

    /// Reads three ASCII letters, in any case and with blanks around them.
    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes: [u8; 3] = text.trim().as_bytes().try_into().map_err(|_| ())?;
        if bytes.iter().all(u8::is_ascii_alphabetic) {
            Ok(Self(bytes.map(|byte| byte.to_ascii_uppercase())))
        } else {
            Err(())
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The longest id and the longest name, in bytes. No tracker has such long ones; what has is cut.
const MAX_ID_BYTES: usize = 256;
const MAX_NAME_BYTES: usize = 1_024;

/// What stands for an id that is cut, so that it is still told from others.
const DIGEST_BYTES: usize = 16;

/// The value of one dimension in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DimensionValue {
    /// The platform's id, always as text. Identity is the id alone.
    pub id: CompactString,
    /// The label for people; equals the id where the platform names nothing.
    pub name: CompactString,
}

impl DimensionValue {
    /// The id under which rows stand whose entity the platform no longer names.
    pub const UNKNOWN_ID: &'static str = "unknown";

    /// A value with a label; a blank label falls back to the id.
    pub fn new(id: impl Into<CompactString>, name: impl AsRef<str>) -> Self {
        let id = bounded_id(id.into());
        let name = shown(name.as_ref());
        if name.is_empty() { Self::plain(id) } else { Self { id, name } }
    }

    /// A value whose id is its own label.
    pub fn plain(id: impl Into<CompactString>) -> Self {
        let id = bounded_id(id.into());
        Self { name: shown(&id), id }
    }

    /// An entity the platform reports traffic for without saying which one it is.
    pub fn unknown() -> Self {
        Self { id: CompactString::const_new(Self::UNKNOWN_ID), name: CompactString::const_new("Unknown") }
    }

    /// A calendar day.
    pub fn date(day: jiff::civil::Date) -> Self {
        Self::plain(compact_str::format_compact!("{day}"))
    }

    /// An hour of the local day, 0 to 23.
    pub fn hour(hour: u8) -> Self {
        Self { id: compact_str::format_compact!("{hour:02}"), name: compact_str::format_compact!("{hour:02}:00") }
    }
}

/// A label without blanks at its ends, and without what stands for characters that its format forbids.
fn shown(text: &str) -> CompactString {
    let ends = [text.as_bytes().first(), text.as_bytes().last()];
    // Nearly all are fine as they are.
    if text.len() <= MAX_NAME_BYTES && text.is_ascii() && ends.iter().flatten().all(|byte| byte.is_ascii_graphic()) {
        return text.into();
    }
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == MARK);
    let text = start_of(text, MAX_NAME_BYTES);
    if text.contains(MARK) {
        return text.chars().filter(|letter| *letter != MARK).collect();
    }
    text.into()
}

/// The first bytes of a text, whole characters of them.
fn start_of(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

fn bounded_id(id: CompactString) -> CompactString {
    if id.len() <= MAX_ID_BYTES {
        return id;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    let mut bounded = CompactString::from(start_of(&id, MAX_ID_BYTES - 2 * DIGEST_BYTES));
    for byte in digest.as_ref().iter().take(DIGEST_BYTES) {
        bounded.push_str(&compact_str::format_compact!("{byte:02x}"));
    }
    bounded
}

/// The values of a row's dimensions, in the order of [`StatsQuery::dimensions`].
pub type Key = SmallVec<[DimensionValue; 3]>;

/// The numbers a platform gives for one row. Ratios and profit are derived, never stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the metric of the same name")]
pub struct Metrics {
    pub impressions: Option<i64>,
    pub clicks: Option<i64>,
    pub unique_clicks: Option<i64>,
    pub conversions: Option<i64>,
    pub approved: Option<i64>,
    pub pending: Option<i64>,
    pub rejected: Option<i64>,
    pub hold: Option<i64>,
    pub revenue: Option<Decimal>,
    pub payout: Option<Decimal>,
    pub cost: Option<Decimal>,
}

/// A metric's value, ready to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricValue {
    /// A count.
    Integer(i64),
    /// Money or a ratio.
    Decimal(Decimal),
}

impl Metrics {
    /// All counts and money known to be zero: the neutral element of [`Metrics::add`].
    pub const ZERO: Self = Self {
        impressions: Some(0),
        clicks: Some(0),
        unique_clicks: Some(0),
        conversions: Some(0),
        approved: Some(0),
        pending: Some(0),
        rejected: Some(0),
        hold: Some(0),
        revenue: Some(Decimal::ZERO),
        payout: Some(Decimal::ZERO),
        cost: Some(Decimal::ZERO),
    };

    /// Nothing known.
    pub const UNKNOWN: Self = Self {
        impressions: None,
        clicks: None,
        unique_clicks: None,
        conversions: None,
        approved: None,
        pending: None,
        rejected: None,
        hold: None,
        revenue: None,
        payout: None,
        cost: None,
    };

    /// The sum of two rows. A sum with an unknown part is unknown, and so is one that overflows. Unique clicks do not add
    /// up: they are known only where one of the rows has none.
    pub fn add(&self, other: &Self) -> Self {
        fn count(a: Option<i64>, b: Option<i64>) -> Option<i64> {
            a?.checked_add(b?)
        }
        fn money(a: Option<Decimal>, b: Option<Decimal>) -> Option<Decimal> {
            a?.checked_add(b?)
        }
        // A visitor of both rows is one visitor, and nobody says who was in both.
        fn visitors(a: Option<i64>, b: Option<i64>) -> Option<i64> {
            match (a?, b?) {
                (0, all) | (all, 0) => Some(all),
                _ => None,
            }
        }
        Self {
            impressions: count(self.impressions, other.impressions),
            clicks: count(self.clicks, other.clicks),
            unique_clicks: visitors(self.unique_clicks, other.unique_clicks),
            conversions: count(self.conversions, other.conversions),
            approved: count(self.approved, other.approved),
            pending: count(self.pending, other.pending),
            rejected: count(self.rejected, other.rejected),
            hold: count(self.hold, other.hold),
            revenue: money(self.revenue, other.revenue),
            payout: money(self.payout, other.payout),
            cost: money(self.cost, other.cost),
        }
    }

    /// The profit as `perspective` sees it.
    pub fn profit(&self, perspective: Perspective) -> Option<Decimal> {
        let spent = match perspective {
            Perspective::Network => self.payout?,
            Perspective::MediaBuyer => self.cost?,
            Perspective::Affiliate => return None,
        };
        self.revenue?.checked_sub(spent)
    }

    /// One metric, derived ones included. `None` is "not known", or a ratio over zero.
    pub fn get(&self, metric: Metric, perspective: Perspective) -> Option<MetricValue> {
        let count = |value: Option<i64>| value.map(MetricValue::Integer);
        let money = |value: Option<Decimal>| value.map(|amount| MetricValue::Decimal(shortest(amount)));
        let share = || self.quotient(metric).and_then(|(over, under)| ratio(Some(over), Some(under)));
        match metric {
            Metric::Impressions => count(self.impressions),
            Metric::Clicks => count(self.clicks),
            Metric::UniqueClicks => count(self.unique_clicks),
            Metric::Conversions => count(self.conversions),
            Metric::Approved => count(self.approved),
            Metric::Pending => count(self.pending),
            Metric::Rejected => count(self.rejected),
            Metric::Hold => count(self.hold),
            Metric::Revenue => money(self.revenue),
            Metric::Payout => money(self.payout),
            Metric::Cost => money(self.cost),
            Metric::Profit => money(self.profit(perspective)),
            Metric::Cr | Metric::Epc | Metric::Ctr | Metric::Roi => share().map(MetricValue::Decimal),
        }
    }

    /// What a ratio divides; `None` for what is none, and where either part is not known.
    fn quotient(&self, metric: Metric) -> Option<Fraction> {
        let clicks = || self.clicks.map(Decimal::from);
        match metric {
            Metric::Cr => Some((self.conversions?.into(), clicks()?)),
            Metric::Epc => Some((self.revenue?, clicks()?)),
            Metric::Ctr => Some((clicks()?, self.impressions?.into())),
            Metric::Roi => Some((self.revenue?.checked_sub(self.cost?)?, self.cost?)),
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
            | Metric::Cost
            | Metric::Profit => None,
        }
    }

    /// One metric as exactly as it is known: a ratio before it is divided, all else over one.
    pub fn exact(&self, metric: Metric, perspective: Perspective) -> Option<Fraction> {
        self.quotient(metric).or_else(|| match self.get(metric, perspective)? {
            MetricValue::Integer(count) => Some((count.into(), Decimal::ONE)),
            MetricValue::Decimal(amount) => Some((amount, Decimal::ONE)),
        })
    }

    /// Zero for the metrics that `is_zero` says so of, and unknown for all others.
    pub fn zero_where(is_zero: impl Fn(Metric) -> bool) -> Self {
        let count = |metric| is_zero(metric).then_some(0);
        let money = |metric| is_zero(metric).then_some(Decimal::ZERO);
        Self {
            impressions: count(Metric::Impressions),
            clicks: count(Metric::Clicks),
            unique_clicks: count(Metric::UniqueClicks),
            conversions: count(Metric::Conversions),
            approved: count(Metric::Approved),
            pending: count(Metric::Pending),
            rejected: count(Metric::Rejected),
            hold: count(Metric::Hold),
            revenue: money(Metric::Revenue),
            payout: money(Metric::Payout),
            cost: money(Metric::Cost),
        }
    }
}

/// One row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// One value for each of [`StatsQuery::dimensions`], in that order.
    pub key: Key,
    /// The currency of the row's money, `None` where it cannot be known.
    pub currency: Option<Currency>,
    /// The numbers.
    pub metrics: Metrics,
}

impl Row {
    /// What sorting takes of each row, and the few orders that a table is kept with.
    const ORDER_BYTES: usize = 80;

    /// About how many bytes it takes, in a table.
    pub fn weight(&self) -> usize {
        let heap = |text: &CompactString| if text.is_heap_allocated() { text.capacity() } else { 0 };
        let texts: usize = self.key.iter().map(|value| heap(&value.id) + heap(&value.name)).sum();
        let spilled = if self.key.spilled() { self.key.capacity() * size_of::<DimensionValue>() } else { 0 };
        size_of::<Self>() + Self::ORDER_BYTES + texts + spilled
    }
}

/// Ids by dimension: a row passes if each filtered dimension has one of the listed ids.
pub type Filters = BTreeMap<Dimension, BTreeSet<CompactString>>;

/// What a client is asked for.
#[derive(Debug, Clone)]
pub struct StatsQuery {
    /// What rows are keyed by: the caller's grouping, then the filtered dimensions that are not part of it.
    pub dimensions: Vec<Dimension>,
    /// Local days, both ends included.
    pub range: DateRange,
    /// The zone that days and hours are in.
    pub zone: Zone,
    /// A client may hand these to the platform where that is reliable; they are applied again, exactly,
    /// to what it answers.
    pub filters: Filters,
}

impl StatsQuery {
    /// Whether rows are keyed by `dimension`.
    pub fn has(&self, dimension: Dimension) -> bool {
        self.dimensions.contains(&dimension)
    }
}

/// What a report's days are, as far as it is known before its first call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The zone they really are in; `None` where nobody knows the account's.
    pub zone: Option<Zone>,
    /// Which of them a conversion counts on.
    pub day_of_conversion: DayOfConversion,
}

/// A part of a report, usually one page.
#[derive(Debug, Default)]
pub struct Batch {
    /// Rows in the tracker's order.
    pub rows: Vec<Row>,
    /// How many rows are still to come at least, as far as the tracker counts them before it sends them; 0 where it does not.
    pub still_to_come: usize,
    /// Checks that this part completed.
    pub checks: Vec<Check>,
    /// Warnings that this part gives rise to.
    pub warnings: Vec<Warning>,
}

impl Batch {
    /// A batch of rows and nothing else.
    pub fn of(rows: Vec<Row>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// About how many bytes its rows take.
    pub fn weight(&self) -> usize {
        self.rows.iter().map(Row::weight).sum()
    }
}

/// A report being read.
pub struct Report<'a> {
    /// Whether a key (with its currency) occurs at most once in the whole report. Where it does not, the
    /// rows of a key add up to its row, and they are added up before anybody sees them.
    pub unique_keys: bool,
    /// The batches. An error ends the report, and what came before it must not be used.
    pub batches: BoxStream<'a, Result<Batch, PlatformError>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    #[test]
    fn a_sum_with_an_unknown_part_is_unknown() {
        let known = Metrics { clicks: Some(3), hold: Some(1), ..Metrics::default() };
        let other = Metrics { clicks: Some(4), ..Metrics::default() };
        let sum = known.add(&other);
        assert_eq!(sum.clicks, Some(7));
        assert_eq!(sum.hold, None);
    }

    #[test]
    fn unique_clicks_never_add_up() {
        let unique = |unique_clicks| Metrics { unique_clicks, ..Metrics::ZERO };
        for (one, other, both) in [
            (Some(3), Some(4), None),
            (Some(3), Some(0), Some(3)),
            (Some(0), Some(4), Some(4)),
            (None, Some(0), None),
            (Some(3), None, None),
        ] {
            assert_eq!(unique(one).add(&unique(other)).unique_clicks, both, "{one:?} and {other:?}");
        }
    }

    #[test]
    fn ratios_are_rounded_half_even_to_six_places() {
        let metrics = Metrics { clicks: Some(3), conversions: Some(2), ..Metrics::default() };
        assert_eq!(metrics.get(Metric::Cr, Perspective::Network), Some(MetricValue::Decimal(decimal("0.666667"))));
        let even = Metrics { clicks: Some(2_000_000), conversions: Some(1), ..Metrics::default() };
        assert_eq!(even.get(Metric::Cr, Perspective::Network), Some(MetricValue::Decimal(decimal("0"))));
    }

    #[test]
    fn a_ratio_over_zero_or_nothing_is_null() {
        let zero = Metrics { clicks: Some(0), conversions: Some(2), ..Metrics::default() };
        assert_eq!(zero.get(Metric::Cr, Perspective::Network), None);
        let unknown = Metrics { clicks: Some(5), ..Metrics::default() };
        assert_eq!(unknown.get(Metric::Ctr, Perspective::Network), None);
    }

    #[test]
    fn profit_follows_the_point_of_view() {
        let metrics = Metrics {
            revenue: Some(decimal("10.5")),
            payout: Some(decimal("4")),
            cost: Some(decimal("1")),
            ..Metrics::default()
        };
        assert_eq!(metrics.profit(Perspective::Network), Some(decimal("6.5")));
        assert_eq!(metrics.profit(Perspective::MediaBuyer), Some(decimal("9.5")));
        assert_eq!(metrics.profit(Perspective::Affiliate), None);
    }

    #[test]
    fn a_blank_label_falls_back_to_the_id() {
        assert_eq!(DimensionValue::new("71", "  ").name, "71");
        assert_eq!(DimensionValue::new("71", "Loan\u{fdd0}s\u{fdd0} ").name, "Loans");
        assert_eq!(DimensionValue::hour(7), DimensionValue { id: "07".into(), name: "07:00".into() });
    }

    #[test]
    fn ids_and_names_are_bounded_and_ids_are_still_told_apart() {
        let long = "é".repeat(100_000);
        let values = [DimensionValue::new(&*long, &long), DimensionValue::plain(format!("{long}x"))];
        for value in &values {
            assert!(value.id.len() <= MAX_ID_BYTES && value.name.len() <= MAX_NAME_BYTES, "{value:?}");
        }
        let [one, other] = values;
        assert_ne!(one.id, other.id);
        assert_eq!(one.id, DimensionValue::plain(long).id);
        let fits = "x".repeat(MAX_ID_BYTES);
        assert_eq!(DimensionValue::plain(fits.clone()).id, fits);
    }

    #[test]
    fn a_row_weighs_what_its_texts_take_too() {
        let row = |id: &str| Row {
            key: std::iter::once(DimensionValue::plain(id)).collect(),
            currency: None,
            metrics: Metrics::default(),
        };
        let (short, long) = (row("1").weight(), row(&"x".repeat(200)).weight());
        assert!(short < 512, "{short}");
        assert!(long >= short + 400, "{long}");
    }

    #[test]
    fn currencies_are_three_letters() {
        assert_eq!("eur".parse::<Currency>().map(|code| code.as_str().to_owned()), Ok("EUR".to_owned()));
        assert!("E1R".parse::<Currency>().is_err());
        assert!("EURO".parse::<Currency>().is_err());
    }
}
