//! What happened on each route in each quarter of an hour.
//!
//! Everything is counted per quarter of an hour of UTC and only then added up. All zones of today are whole quarters
//! away from UTC, so a local day or hour is a whole number of quarters anywhere, and two groupings of the same
//! instants always agree. A quarter is a pure function of the connection, the route and its place in time: asked
//! again it is the same, and nothing that comes later changes it.
//!
//! All arithmetic is in integers, because binary floats need not round alike everywhere.

use std::ops::AddAssign;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::super::kind::ConnectionType;
use super::super::stats::Metrics;
use super::dice::Dice;
use super::world::{AFFILIATES, Entity, ROUTES, Route};

/// How long a quarter of an hour is, in seconds.
pub(super) const QUARTER: i64 = 900;

const QUARTERS_A_DAY: i64 = 96;
const MILLION: u32 = 1_000_000;

/// Shares of the counts that are the same on every route, in parts per million of what they are taken from.
const UNIQUE_PPM: i64 = 870_000;
const APPROVED_PPM: i64 = 740_000;
const PENDING_PPM: i64 = 420_000;
const REJECTED_PPM: i64 = 640_000;

/// What one connection can see.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) connection_type: ConnectionType,
    /// The affiliate an affiliate connection belongs to.
    affiliate: &'static Entity,
    /// Its streams of traffic.
    pub(super) flows: Vec<Flow>,
}

impl Account {
    /// The account behind a connection. Both types see the same traffic under the same id, an affiliate its own part.
    pub(super) fn new(connection: Uuid, connection_type: ConnectionType) -> Self {
        let dice = Dice::of(connection);
        let affiliate = affiliate_of(dice);
        let flows = (0..)
            .zip(&ROUTES)
            .filter(|(_, route)| connection_type == ConnectionType::Admin || route.affiliate.id == affiliate.id)
            .map(|(place, route)| Flow::new(route, dice.about(place)))
            .collect();
        Self { connection_type, affiliate, flows }
    }

    /// Who the account belongs to.
    pub(super) const fn name(&self) -> &'static str {
        match self.connection_type {
            ConnectionType::Admin => "Demo network",
            ConnectionType::Affiliate => self.affiliate.name,
        }
    }
}

fn affiliate_of(mut dice: Dice) -> &'static Entity {
    let place = usize::try_from(dice.roll(8)).unwrap_or_default();
    AFFILIATES.get(place).copied().unwrap_or(AFFILIATES[0])
}

/// A route as one connection knows it.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) route: &'static Route,
    /// Impressions in a quarter of a busy hour.
    impressions: i64,
    days: Dice,
    quarters: Dice,
}

impl Flow {
    fn new(route: &'static Route, mut dice: Dice) -> Self {
        let size = 40 + dice.roll(121);
        Self { route, impressions: route.impressions * size / 100, days: dice.about(1), quarters: dice.about(2) }
    }

    /// What happened in a quarter of an hour, counted from the beginning of 1970 in UTC.
    pub(super) fn quarter(&self, quarter: i64) -> Tally {
        let mut dice = self.quarters.about(quarter.cast_unsigned());
        let impressions = self.impressions_in(quarter, &mut dice);
        let campaign = self.route.campaign;
        let clicks = share(impressions, campaign.clicks_ppm, &mut dice);
        if clicks == 0 {
            return Tally { impressions, ..Tally::default() };
        }
        let offer = self.route.offer;
        let unique_clicks = share(clicks, UNIQUE_PPM, &mut dice);
        let conversions = share(unique_clicks, offer.conversions_ppm, &mut dice);
        let approved = share(conversions, APPROVED_PPM, &mut dice);
        let pending = share(conversions - approved, PENDING_PPM, &mut dice);
        let rejected = share(conversions - approved - pending, REJECTED_PPM, &mut dice);
        Tally {
            impressions,
            clicks,
            unique_clicks,
            conversions,
            approved,
            pending,
            rejected,
            hold: conversions - approved - pending - rejected,
            revenue: approved * offer.charge,
            payout: approved * offer.payout,
            cost: clicks * campaign.click_cost,
        }
    }

    /// Follows the visitors' clock and week, a good or bad day, and a little chance.
    fn impressions_in(&self, quarter: i64, dice: &mut Dice) -> i64 {
        let local = quarter + self.route.country.quarters_ahead;
        let day = local.div_euclid(QUARTERS_A_DAY);
        let hour = local.rem_euclid(QUARTERS_A_DAY) / 4;
        // 1970 began on a Thursday, three days after a Monday.
        let weekday = (day + 3).rem_euclid(7);
        let fortune = 80 + self.days.about(day.cast_unsigned()).roll(41);
        let chance = 60 + dice.roll(81);
        self.impressions * hour_percent(hour) * weekday_percent(weekday) * fortune * chance / 100_000_000
    }
}

const fn hour_percent(hour: i64) -> i64 {
    match hour {
        0 => 38,
        1 => 22,
        2..=4 => 12,
        5 => 18,
        6 => 34,
        7 => 52,
        8..=10 => 68,
        11..=13 => 80,
        14..=16 => 74,
        17 | 18 => 86,
        19..=21 => 100,
        22 => 82,
        _ => 58,
    }
}

/// Monday is 0. Weekends are quiet.
const fn weekday_percent(weekday: i64) -> i64 {
    match weekday {
        0 | 4 => 96,
        1 | 3 => 100,
        2 => 103,
        5 => 71,
        _ => 64,
    }
}

/// `ppm` millionths of `count`. Chance decides on the last one, so that small counts come out right on average;
/// the share is never more than the whole.
fn share(count: i64, ppm: i64, dice: &mut Dice) -> i64 {
    (count * ppm + dice.roll(MILLION)) / i64::from(MILLION)
}

/// What has been counted; money is in ten-thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    impressions: i64,
    clicks: i64,
    unique_clicks: i64,
    conversions: i64,
    approved: i64,
    pending: i64,
    rejected: i64,
    hold: i64,
    revenue: i64,
    payout: i64,
    cost: i64,
}

impl Tally {
    /// Whether nothing happened: without an impression there is no click, and without a click nothing else.
    pub(super) const fn is_empty(&self) -> bool {
        self.impressions == 0
    }

    /// The numbers as a connection of this type gets them. What the network calls payout is what its affiliate
    /// earns; the affiliate hears nothing of the rest.
    pub(super) fn metrics(&self, connection_type: ConnectionType) -> Metrics {
        let (revenue, payout, cost) = match connection_type {
            ConnectionType::Admin => (self.revenue, Some(money(self.payout)), Some(money(self.cost))),
            ConnectionType::Affiliate => (self.payout, None, None),
        };
        Metrics {
            impressions: Some(self.impressions),
            clicks: Some(self.clicks),
            unique_clicks: Some(self.unique_clicks),
            conversions: Some(self.conversions),
            approved: Some(self.approved),
            pending: Some(self.pending),
            rejected: Some(self.rejected),
            hold: Some(self.hold),
            revenue: Some(money(revenue)),
            payout,
            cost,
        }
    }
}

fn money(ten_thousandths: i64) -> Decimal {
    Decimal::new(ten_thousandths, 4)
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.unique_clicks += other.unique_clicks;
        self.conversions += other.conversions;
        self.approved += other.approved;
        self.pending += other.pending;
        self.rejected += other.rejected;
        self.hold += other.hold;
        self.revenue += other.revenue;
        self.payout += other.payout;
        self.cost += other.cost;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MONDAY: i64 = 1_772_409_600 / QUARTER; // 2026-03-02T00:00:00Z

    fn admin(seed: u128) -> Account {
        Account::new(Uuid::from_u128(seed), ConnectionType::Admin)
    }

    fn sum(account: &Account, quarters: impl IntoIterator<Item = i64>) -> Tally {
        let mut sum = Tally::default();
        for quarter in quarters {
            for flow in &account.flows {
                sum += flow.quarter(quarter);
            }
        }
        sum
    }

    fn day(account: &Account, days_later: i64) -> Tally {
        let start = MONDAY + days_later * QUARTERS_A_DAY;
        sum(account, start..start + QUARTERS_A_DAY)
    }

    #[test]
    fn a_day_is_of_a_size_that_looks_real() {
        let monday = day(&admin(7), 0);
        assert!((50_000..5_000_000).contains(&monday.impressions), "{monday:?}");
        assert!((50..5_000).contains(&monday.conversions), "{monday:?}");
    }

    #[test]
    fn weekends_are_quieter_than_the_week() {
        for seed in 0..20 {
            let account = admin(seed);
            let week = sum(&account, MONDAY..MONDAY + 5 * QUARTERS_A_DAY).impressions / 5;
            let weekend = sum(&account, MONDAY + 5 * QUARTERS_A_DAY..MONDAY + 7 * QUARTERS_A_DAY).impressions / 2;
            assert!(weekend * 100 < week * 85, "seed {seed}: {weekend} against {week}");
        }
    }

    #[test]
    fn nights_are_quieter_than_evenings_where_the_visitors_live() {
        for flow in &admin(7).flows {
            let hours = |from: i64, to: i64| -> i64 {
                (0..14)
                    .flat_map(|day| (from * 4..to * 4).map(move |quarter| MONDAY + day * QUARTERS_A_DAY + quarter))
                    .map(|local| flow.quarter(local - flow.route.country.quarters_ahead).impressions)
                    .sum()
            };
            assert!(hours(2, 5) * 4 < hours(19, 22), "{:?}", flow.route);
        }
    }

    proptest! {
        #[test]
        fn every_quarter_is_a_funnel(seed in any::<u128>(), quarter in -2_000_000i64..4_000_000) {
            for flow in &admin(seed).flows {
                let tally = flow.quarter(quarter);
                let funnel = [tally.impressions, tally.clicks, tally.unique_clicks, tally.conversions, tally.approved, 0];
                prop_assert!(funnel.is_sorted_by(|wide, narrow| wide >= narrow), "{tally:?}");
                prop_assert_eq!(tally.conversions, tally.approved + tally.pending + tally.rejected + tally.hold);
                prop_assert!(tally.pending >= 0 && tally.rejected >= 0 && tally.hold >= 0);
                prop_assert!(tally.payout < tally.revenue || tally.approved == 0);
                prop_assert_eq!(tally, flow.quarter(quarter));
            }
        }

        #[test]
        fn connections_differ_and_days_do_too(seed in any::<u128>()) {
            prop_assert_ne!(day(&admin(seed), 0), day(&admin(seed.wrapping_add(1)), 0));
            prop_assert_ne!(day(&admin(seed), 0), day(&admin(seed), 7));
        }
    }
}
