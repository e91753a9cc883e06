//! From quarters of an hour to the rows of a query.
//!
//! A local day is the time between two [starts of a day](Zone::start_of), so days neither overlap nor leave a gap,
//! whatever the clocks do in between; a quarter of an hour belongs to the day and the hour it begins in. With the
//! date among the dimensions each day is finished on its own and sent on; without it, the one table of the whole
//! range has at most a row for each flow and hour.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;

use super::super::calendar::Zone;
use super::super::kind::ConnectionType;
use super::super::stats::{
    Against, Batch, Check, Currency, Dimension, DimensionValue, Metrics, Report, Row, StatsQuery,
};
use super::facts::{Account, Flow, QUARTER, Tally};
use super::world::Route;

/// Rows are sent on when there are this many.
const BATCH: usize = 300;

/// The report of `query` as it stands at `now`: only quarters of an hour that are over have happened.
pub(super) fn read<'a>(account: &'a Account, query: &'a StatsQuery, now: Timestamp) -> Report<'a> {
    let batches = async_stream::try_stream! {
        let mut table = Table::new(account, query);
        let mut sums = Sums::default();
        let mut rows = Vec::new();
        for day in query.range.days() {
            table.count(quarters(&query.zone, day, now), &query.zone);
            if query.has(Dimension::Date) {
                table.finish(day, &mut rows);
            }
            if rows.len() >= BATCH {
                sums.add(&rows);
                yield Batch::of(std::mem::take(&mut rows));
            }
            // A year is a good deal of arithmetic without anything to wait for; others get their turn in between.
            tokio::task::yield_now().await;
        }
        table.finish(query.range.to(), &mut rows);
        sums.add(&rows);
        yield Batch { rows, checks: vec![table.check(&sums)], ..Batch::default() };
    };
    Report { unique_keys: true, batches: Box::pin(batches) }
}

/// The quarters of an hour that begin on a local day and are over at `now`.
///
/// Days so far off that no clock can show them have none.
fn quarters(zone: &Zone, day: Date, now: Timestamp) -> Range<i64> {
    // Clocks only ever change on a whole second.
    let first_from = |instant: Timestamp| (instant.as_second() + QUARTER - 1).div_euclid(QUARTER);
    let Some(start) = zone.start_of(day).map(first_from) else { return 0..0 };
    let over = now.as_second().div_euclid(QUARTER);
    let next = day.tomorrow().ok().and_then(|tomorrow| zone.start_of(tomorrow)).map_or(over, first_from);
    start..next.min(over)
}

/// Counts by group, and by hour where that is asked.
struct Table<'a> {
    connection_type: ConnectionType,
    dimensions: &'a [Dimension],
    columns: Vec<Column<'a>>,
    groups: Vec<&'static Route>,
    /// For each hour the counts of each group; a single "hour" where hours are not asked.
    hours: Vec<Vec<Tally>>,
}

/// A flow, the group it is counted in, and its own total, which no grouping touches.
struct Column<'a> {
    flow: &'a Flow,
    group: usize,
    total: Tally,
}

impl<'a> Table<'a> {
    fn new(account: &'a Account, query: &'a StatsQuery) -> Self {
        let dimensions = query.dimensions.as_slice();
        let mut groups: Vec<&'static Route> = Vec::new();
        let columns = account
            .flows
            .iter()
            .map(|flow| {
                let known = groups.iter().position(|group| is_same_group(group, flow.route, dimensions));
                let group = known.unwrap_or_else(|| {
                    groups.push(flow.route);
                    groups.len() - 1
                });
                Column { flow, group, total: Tally::default() }
            })
            .collect();
        let hours = if query.has(Dimension::Hour) { 24 } else { 1 };
        let hours = vec![vec![Tally::default(); groups.len()]; hours];
        Self { connection_type: account.connection_type, dimensions, columns, groups, hours }
    }

    fn count(&mut self, quarters: Range<i64>, zone: &Zone) {
        let by_hour = self.hours.len() > 1;
        for quarter in quarters {
            let hour = if by_hour { hour_of(quarter, zone) } else { 0 };
            let Some(cells) = self.hours.get_mut(hour) else { continue };
            for column in &mut self.columns {
                let happened = column.flow.quarter(quarter);
                column.total += happened;
                if let Some(cell) = cells.get_mut(column.group) {
                    *cell += happened;
                }
            }
        }
    }

    /// Turns what has been counted into rows, and starts again from zero.
    fn finish(&mut self, day: Date, rows: &mut Vec<Row>) {
        for (hour, cells) in (0u8..).zip(&mut self.hours) {
            for (group, cell) in self.groups.iter().zip(cells) {
                let tally = std::mem::take(cell);
                if !tally.is_empty() {
                    rows.push(Row {
                        key: self.dimensions.iter().map(|dimension| value(*dimension, group, day, hour)).collect(),
                        currency: currency(group),
                        metrics: tally.metrics(self.connection_type),
                    });
                }
            }
        }
    }

    /// Holds the rows against the totals of the flows.
    fn check(&self, rows: &Sums) -> Check {
        let mut flows = Sums::default();
        for column in &self.columns {
            if !column.total.is_empty() {
                flows.add_one(currency(column.flow.route), &column.total.metrics(self.connection_type));
            }
        }
        let mismatch =
            (flows.0 != rows.0).then(|| format!("The flows add up to {:?}, the rows to {:?}.", flows.0, rows.0));
        Check { against: Against::Independent, mismatch }
    }
}

fn is_same_group(one: &Route, other: &Route, dimensions: &[Dimension]) -> bool {
    let id = |route: &Route, dimension: Dimension| match dimension {
        Dimension::Sub(number) => Some(route.sub_id(number)),
        other => route.entity(other).map(|entity| entity.id),
    };
    one.offer.currency == other.offer.currency
        && dimensions.iter().all(|dimension| id(one, *dimension) == id(other, *dimension))
}

fn hour_of(quarter: i64, zone: &Zone) -> usize {
    let instant = Timestamp::from_second(quarter * QUARTER).unwrap_or_default();
    usize::try_from(zone.rules().to_datetime(instant).hour()).unwrap_or_default()
}

fn value(dimension: Dimension, group: &Route, day: Date, hour: u8) -> DimensionValue {
    match (group.entity(dimension), dimension) {
        (Some(entity), _) => entity.value(),
        (None, Dimension::Sub(number)) => DimensionValue::plain(group.sub_id(number)),
        (None, Dimension::Hour) => DimensionValue::hour(hour),
        (None, _) => DimensionValue::date(day),
    }
}

fn currency(route: &Route) -> Option<Currency> {
    route.offer.currency.parse().ok()
}

/// Totals by currency, of what adds up: unique clicks do not.
#[derive(Default)]
struct Sums(BTreeMap<Option<Currency>, Metrics>);

impl Sums {
    fn add(&mut self, rows: &[Row]) {
        for row in rows {
            self.add_one(row.currency, &row.metrics);
        }
    }

    fn add_one(&mut self, currency: Option<Currency>, metrics: &Metrics) {
        let sum = self.0.entry(currency).or_insert(Metrics::ZERO);
        *sum = sum.add(&Metrics { unique_clicks: None, ..*metrics });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use futures_util::TryStreamExt;
    use jiff::ToSpan;
    use jiff::civil::date;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::super::calendar::DateRange;
    use super::super::super::stats::Filters;
    use super::*;

    const LATER: &str = "2027-06-01T00:00:00Z";

    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Berlin",
        "America/St_Johns",
        "Asia/Kathmandu",
        "Pacific/Chatham",
        "Pacific/Kiritimati",
        "Australia/Lord_Howe",
        "America/Santiago",
    ];

    fn account(connection_type: ConnectionType) -> Account {
        Account::new(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001), connection_type)
    }

    fn query(dimensions: &[Dimension], from: Date, to: Date, zone: &str) -> StatsQuery {
        StatsQuery {
            dimensions: dimensions.to_vec(),
            range: DateRange::new(from, to).expect("a range"),
            zone: Zone::find(zone).expect("a zone"),
            filters: Filters::new(),
        }
    }

    async fn batches(account: &Account, query: &StatsQuery, now: &str) -> Vec<Batch> {
        let report = read(account, query, now.parse().expect("an instant"));
        assert!(report.unique_keys);
        report.batches.try_collect().await.expect("a whole report")
    }

    async fn rows(account: &Account, query: &StatsQuery, now: &str) -> Vec<Row> {
        let batches = batches(account, query, now).await;
        let checks: Vec<&Check> = batches.iter().flat_map(|batch| &batch.checks).collect();
        assert_eq!(checks, [&Check { against: Against::Independent, mismatch: None }]);
        let rows: Vec<Row> = batches.into_iter().flat_map(|batch| batch.rows).collect();
        let keys: HashSet<_> = rows
            .iter()
            .map(|row| (row.key.iter().map(|value| value.id.clone()).collect::<Vec<_>>(), row.currency))
            .collect();
        assert_eq!(keys.len(), rows.len(), "keys are unique");
        rows
    }

    fn totals(rows: &[Row]) -> BTreeMap<Option<Currency>, Metrics> {
        let mut sums = Sums::default();
        sums.add(rows);
        sums.0
    }

    /// The totals by the definition: every quarter of an hour whose local date lies in the range.
    fn expected(account: &Account, query: &StatsQuery) -> BTreeMap<Option<Currency>, Metrics> {
        let edge = |day: Date| Zone::utc().start_of(day).expect("a start").as_second() / QUARTER;
        let candidates = edge(query.range.from()) - 100..edge(query.range.to()) + 200;
        let mut sums = Sums::default();
        for quarter in candidates {
            let instant = Timestamp::from_second(quarter * QUARTER).expect("an instant");
            if query.range.contains(query.zone.date_at(instant)) {
                for flow in &account.flows {
                    let metrics = flow.quarter(quarter).metrics(account.connection_type);
                    sums.add_one(currency(flow.route), &metrics);
                }
            }
        }
        sums.0
    }

    fn dimensions() -> impl Strategy<Value = Vec<Dimension>> {
        let native = Dimension::ALL.into_iter().filter(|dimension| dimension.source() == *dimension);
        proptest::sample::subsequence(native.collect::<Vec<_>>(), 0..=4).prop_shuffle()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_grouping_in_every_zone_adds_up_to_the_same_instants(
            dimensions in dimensions(),
            zone in proptest::sample::select(&ZONES[..]),
            start in 0i64..365,
            length in 0i64..4,
            is_admin in any::<bool>(),
        ) {
            let account = account(if is_admin { ConnectionType::Admin } else { ConnectionType::Affiliate });
            let from = date(2026, 1, 1).saturating_add(start.days());
            let query = query(&dimensions, from, from.saturating_add(length.days()), zone);
            let rows = run(rows(&account, &query, LATER));
            prop_assert!(rows.iter().all(|row| row.key.len() == dimensions.len()));
            prop_assert_eq!(totals(&rows), expected(&account, &query));
        }

        #[test]
        fn what_has_happened_never_changes(start in 0i64..365, minute in 0i64..1440) {
            let account = account(ConnectionType::Admin);
            let day = date(2026, 1, 1).saturating_add(start.days());
            let hourly = query(&[Dimension::Hour, Dimension::Offer], day, day, "UTC");
            let now = format!("{day}T{:02}:{:02}:00Z", minute / 60, minute % 60);
            let then = run(rows(&account, &hourly, &now));
            let later = run(rows(&account, &hourly, LATER));
            let current = format!("{:02}", minute / 60);
            let over = |rows: &[Row]| rows.iter().filter(|row| row.key[0].id.as_str() < current.as_str()).cloned().collect::<Vec<_>>();
            prop_assert_eq!(over(&then), over(&later));
            prop_assert!(then.iter().all(|row| row.key[0].id.as_str() <= current.as_str()), "nothing has happened yet");
        }
    }

    #[test]
    fn days_on_which_the_clocks_change_have_23_and_25_hours() {
        let account = account(ConnectionType::Admin);
        let count = |day: Date| {
            let zone = Zone::find("Europe/Berlin").expect("a zone");
            quarters(&zone, day, LATER.parse().expect("an instant")).count()
        };
        assert_eq!((count(date(2026, 3, 29)), count(date(2026, 10, 25)), count(date(2026, 7, 1))), (92, 100, 96));
        let spring = query(&[Dimension::Hour], date(2026, 3, 29), date(2026, 3, 29), "Europe/Berlin");
        assert!(run(rows(&account, &spring, LATER)).iter().all(|row| row.key[0].id != "02"));
    }

    #[test]
    fn a_day_that_a_zone_skipped_is_empty_and_days_without_an_end_are_too() {
        let zone = Zone::find("Pacific/Apia").expect("a zone");
        let now = LATER.parse().expect("an instant");
        assert!(quarters(&zone, date(2011, 12, 30), now).is_empty());
        for day in [Date::MAX, Date::MIN] {
            assert!(quarters(&zone, day, now).count() <= 96, "{day}");
        }
    }

    #[test]
    fn an_affiliate_earns_what_the_network_owes_it_and_hears_nothing_else() {
        let (network, affiliate) = (account(ConnectionType::Admin), account(ConnectionType::Affiliate));
        let query = query(&[Dimension::Affiliate, Dimension::Offer], date(2026, 3, 2), date(2026, 3, 8), "UTC");
        let own = run(rows(&affiliate, &query, LATER));
        let id = own.first().expect("a row").key[0].id.clone();
        let seen: Vec<Row> = run(rows(&network, &query, LATER))
            .into_iter()
            .filter(|row| row.key[0].id == id)
            .map(|mut row| {
                row.metrics = Metrics { revenue: row.metrics.payout, payout: None, cost: None, ..row.metrics };
                row
            })
            .collect();
        assert_eq!(own, seen);
    }

    #[test]
    fn long_reports_come_in_batches_and_the_future_is_empty() {
        let account = account(ConnectionType::Admin);
        let dimensions = [Dimension::Date, Dimension::Hour, Dimension::Campaign];
        let query = query(&dimensions, date(2026, 3, 2), date(2026, 3, 31), "UTC");
        let sizes: Vec<usize> = run(batches(&account, &query, LATER)).iter().map(|batch| batch.rows.len()).collect();
        assert!(sizes.len() > 5 && sizes.iter().all(|size| *size < BATCH + 24 * 24), "{sizes:?}");
        assert!(run(rows(&account, &query, "2026-03-01T23:59:59Z")).is_empty());
    }
}
