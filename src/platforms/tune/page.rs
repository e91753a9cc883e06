//! Page after page of one part, until its end is proven.

use std::collections::{BTreeSet, HashSet};

use super::super::stats::{Check, Currency, Metrics, Row};
use super::super::total::Sum;

/// One page as it was read.
pub(super) struct Page {
    /// The rows that belong to days that were asked for.
    pub(super) rows: Vec<Row>,
    /// A fingerprint of each row of the page.
    pub(super) fingerprints: Vec<u64>,
    /// What all rows of the page add up to.
    pub(super) sum: Sum,
    /// The currencies of all rows of the page.
    pub(super) currencies: BTreeSet<Option<Currency>>,
    /// Its number, where it has one.
    pub(super) number: Option<i64>,
    /// How many rows all pages have, where it says so.
    pub(super) count: Option<i64>,
    /// How many pages there are, where it says so.
    pub(super) pages: Option<i64>,
    /// The platform's own totals of all pages.
    pub(super) totals: Option<Metrics>,
    /// How many rows were asked for.
    pub(super) limit: usize,
}

/// What has been read of a part.
#[derive(Default)]
pub(super) struct Pages {
    seen: HashSet<u64>,
    sum: Sum,
    currencies: BTreeSet<Option<Currency>>,
    totals: Option<Metrics>,
    /// Whether there are further pages.
    pub(super) more: bool,
}

impl Pages {
    /// Takes the page with this number in, and gives its rows out.
    ///
    /// # Errors
    /// What does not add up.
    pub(super) fn take(&mut self, number: u64, page: Page) -> Result<Vec<Row>, String> {
        if let Some(given) = page.number
            && u64::try_from(given) != Ok(number)
        {
            return Err(format!("sent page {given} when page {number} was asked for"));
        }
        let length = page.fingerprints.len();
        for fingerprint in page.fingerprints {
            if !self.seen.insert(fingerprint) {
                return Err("sent a row twice: its pages repeat, or the report moved while it was read".to_owned());
            }
        }
        let rows = self.seen.len();
        self.more = match (page.count, page.pages) {
            (Some(count), _) => {
                let count = usize::try_from(count).unwrap_or_default();
                if rows > count || (length == 0 && rows < count) {
                    return Err(format!("sent {rows} of the {count} rows that it counts"));
                }
                rows < count
            }
            (None, Some(pages)) => u64::try_from(pages).is_ok_and(|pages| number < pages),
            // A page that is not full is the last, and so is all of a report that comes at once.
            (None, None) => length == page.limit,
        };
        self.sum.merge(&page.sum);
        self.currencies.extend(page.currencies);
        self.totals = self.totals.or(page.totals);
        Ok(page.rows)
    }

    /// The rows held against the platform's own totals, if it sent any. Amounts in several currencies have no total.
    pub(super) fn check(&self) -> Option<Check> {
        let mut totals = self.totals?;
        if self.currencies.len() > 1 {
            (totals.revenue, totals.payout) = (None, None);
        }
        Some(self.sum.compare("TUNE", &totals))
    }
}

/// How many pages a first page speaks of.
pub(super) fn planned(first: &Page) -> u64 {
    let by_count = || {
        let count = u64::try_from(first.count?).ok()?;
        Some(count.div_ceil(first.fingerprints.len().max(1) as u64))
    };
    first.pages.and_then(|pages| u64::try_from(pages).ok()).or_else(by_count).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: std::ops::Range<u64>) -> Page {
        Page {
            rows: Vec::new(),
            fingerprints: rows.collect(),
            sum: Sum::default(),
            currencies: BTreeSet::new(),
            number: None,
            count: None,
            pages: None,
            totals: None,
            limit: 5_000,
        }
    }

    fn full(from: u64) -> Page {
        page(from..from + 5_000)
    }

    #[test]
    fn a_count_says_when_all_is_there() {
        let mut pages = Pages::default();
        assert!(pages.take(1, Page { count: Some(5), ..page(0..3) }).is_ok() && pages.more);
        assert!(pages.take(2, Page { count: Some(5), ..page(3..5) }).is_ok() && !pages.more);
        assert!(Pages::default().take(1, Page { count: Some(5), ..page(0..0) }).is_err(), "rows are missing");
        assert!(Pages::default().take(1, Page { count: Some(5), ..page(0..6) }).is_err(), "more than are counted");
    }

    #[test]
    fn without_a_word_on_pages_a_short_one_is_the_last() {
        let mut pages = Pages::default();
        assert!(pages.take(1, full(0)).is_ok() && pages.more);
        assert!(pages.take(2, page(5_000..5_001)).is_ok() && !pages.more);
        let mut pages = Pages::default();
        assert!(pages.take(1, page(0..5_001)).is_ok() && !pages.more, "all at once");
    }

    #[test]
    fn a_page_that_repeats_or_is_another_is_refused() {
        let mut pages = Pages::default();
        assert!(pages.take(1, full(0)).is_ok());
        assert!(pages.take(2, full(0)).is_err());
        assert!(Pages::default().take(2, Page { number: Some(1), ..page(0..1) }).is_err());
    }

    #[test]
    fn pages_are_planned_by_what_the_first_says() {
        assert_eq!(planned(&Page { pages: Some(3), count: Some(5), ..page(0..5) }), 3);
        assert_eq!(planned(&Page { count: Some(5), ..page(0..2) }), 3);
        assert_eq!(planned(&page(0..2)), 1);
    }
}
