//! When a key runs out: a date that its user knows, and the moments at which others are notified that it comes near.
//!
//! The key is good to the end of that day in UTC.

use jiff::civil::Date;

/// Days before the date at which that is announced, the first first.
const MARKS: [i64; 3] = [14, 3, 0];
/// A day, in microseconds.
const DAY: i64 = 24 * 3_600 * 1_000_000;

/// A day, as the number of days since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    pub(crate) const fn new(number: i64) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> i64 {
        self.0
    }

    pub(crate) fn of(date: Date) -> Self {
        Self(date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24)
    }

    /// The day of a time, in microseconds.
    const fn at(micros: i64) -> Self {
        Self(micros.div_euclid(DAY))
    }

    pub(crate) fn date(self) -> Date {
        let days = jiff::SignedDuration::from_hours(self.0.saturating_mul(24));
        Date::constant(1970, 1, 1).saturating_add(days)
    }

    /// Reads a date as it is written in JSON: `2027-03-31`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let is_plain = text.len() == 10
            && text.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let date: Date = text.parse().ok().filter(|_| is_plain)?;
        Some(Self::of(date)).filter(|day| day.0 >= 0)
    }

    /// When it begins in UTC, in microseconds since 1970.
    pub(crate) const fn begins(self) -> i64 {
        self.0.saturating_mul(DAY)
    }

    /// When the next one begins.
    pub(crate) const fn ends(self) -> i64 {
        Self(self.0.saturating_add(1)).begins()
    }

    /// When it is first announced that this day comes near.
    pub(crate) const fn first_announcement(self) -> i64 {
        self.announcement_before(14)
    }

    const fn announcement_before(self, days: i64) -> i64 {
        self.0.saturating_sub(days).saturating_mul(DAY)
    }

    /// What has to be announced now: of several marks that have passed, only the nearest. And when the next one is due.
    pub(crate) fn due(self, now: i64) -> Due {
        let left = self.0 - Day::at(now).0;
        let passed = MARKS.iter().rposition(|mark| left <= *mark);
        let next = MARKS.get(passed.map_or(0, |passed| passed + 1)).map(|mark| self.announcement_before(*mark));
        Due { days_left: passed.and_then(|_| i32::try_from(left).ok()), next }
    }
}

/// What is due of a key that runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Days that are left, if that is to be announced; less than nothing, if nobody was there in time.
    pub(crate) days_left: Option<i32>,
    /// When the next mark is.
    pub(crate) next: Option<i64>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_date_is_read_as_it_is_written() {
        let day = Day::read("2027-03-31").expect("a date");
        assert_eq!((day.date().to_string().as_str(), Day::read("1970-01-02")), ("2027-03-31", Some(Day(1))));
        for bad in ["", "2027-3-31", "2027-02-30", "2027-03-31T00:00", "20270331", "1969-12-31", "+02027-03-3"] {
            assert_eq!(Day::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_mark_is_announced_once_and_of_several_only_the_nearest() {
        let day = Day(100);
        let before = |days: i64| (100 - days) * DAY;
        assert_eq!(day.first_announcement(), before(14));
        assert_eq!(day.due(before(14)), Due { days_left: Some(14), next: Some(before(3)) });
        assert_eq!(day.due(before(3) + 5), Due { days_left: Some(3), next: Some(before(0)) });
        assert_eq!(day.due(before(0) + 5), Due { days_left: Some(0), next: None });
        assert_eq!(day.due(before(2)), Due { days_left: Some(2), next: Some(before(0)) });
        assert_eq!(day.due(before(-5)), Due { days_left: Some(-5), next: None });
        assert_eq!(day.due(before(15)), Due { days_left: None, next: Some(before(14)) }, "the clock was set back");
    }

    proptest! {
        #[test]
        fn looks_at_any_times_find_three_announcements_at_most(day in 0_i64..40_000, mut looks in proptest::collection::vec(-40_i64..10, 0..40)) {
            looks.sort_unstable();
            let day = Day(day);
            let (mut next, mut announced) = (Some(day.first_announcement()), 0);
            for look in &looks {
                let now = (day.0 + look) * DAY + 7;
                if next.is_some_and(|at| at <= now) {
                    let due = day.due(now);
                    announced += u32::from(due.days_left.is_some());
                    prop_assert!(due.next.is_none_or(|next| next > now));
                    next = due.next;
                }
            }
            prop_assert!(announced <= 3);
            prop_assert_eq!(announced > 0, looks.last().is_some_and(|last| *last >= -14));
            prop_assert_eq!(Day::of(day.date()), day);
        }
    }
}
