//! The parts that a report is read in: which days and ids each asks for, and in what order they are asked.

use std::collections::VecDeque;

use compact_str::CompactString;

use super::super::calendar::DateRange;
use super::LIMITS;

/// The longest range of one report is documented as a year; this fits every year.
pub(super) const MAX_DAYS: u32 = 366;

/// The most days that are asked for at once, and what is tried where the platform says that this is too much for it.
pub(super) const STRIDES: &[u32] = &[MAX_DAYS, 183, 92, 31, 7];

/// What is remembered of accounts that take fewer.
pub(super) struct Strides;

/// The most rows of one answer. The flag that should come with a cut table may be missing, so a full one counts as cut.
pub(super) const ROW_CAP: usize = 10_000;

/// The most ids that one request is narrowed to.
const IDS_PER_PART: usize = 100;

/// A part of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) window: DateRange,
    /// What it was cut down to, beside the caller's filters.
    pub(super) narrows: Vec<Narrow>,
}

/// Only the rows with one of these ids, or only those without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Narrow {
    pub(super) column: &'static str,
    pub(super) ids: Vec<CompactString>,
    pub(super) without: bool,
}

impl Narrow {
    pub(super) fn passes(&self, id: &str) -> bool {
        self.ids.iter().any(|known| known == id) != self.without
    }
}

impl Part {
    /// The two halves of its days, or of the ids it is cut down to.
    pub(super) fn halves(&self) -> Option<Vec<Self>> {
        let days = self.window.len_days();
        if days > 1 {
            let windows = self.window.windows(days.div_ceil(2));
            return Some(windows.into_iter().map(|window| Self { window, narrows: self.narrows.clone() }).collect());
        }
        let place = self.narrows.iter().position(|narrow| !narrow.without && narrow.ids.len() > 1)?;
        let ids = &self.narrows.get(place)?.ids;
        let half = |ids: &[CompactString]| {
            let mut part = self.clone();
            if let Some(narrow) = part.narrows.get_mut(place) {
                narrow.ids = ids.to_vec();
            }
            part
        };
        let (first, second) = ids.split_at(ids.len() / 2);
        Some(vec![half(first), half(second)])
    }

    /// The parts for the listed ids of a column, and one for the rows that have no id there.
    pub(super) fn by_ids(&self, column: &'static str, listed: &Listing) -> Vec<Self> {
        let with = |ids: &[CompactString], without: bool| {
            let mut part = self.clone();
            part.narrows.push(Narrow { column, ids: ids.to_vec(), without });
            part
        };
        let mut parts: Vec<Self> = listed.wanted.chunks(IDS_PER_PART).map(|ids| with(ids, false)).collect();
        if listed.blank {
            parts.push(with(&listed.all, true));
        }
        parts
    }

    /// Its first days and the rest.
    fn cut_after(self, days: u32) -> (Self, Option<Self>) {
        let mut windows = self.window.windows(days).into_iter();
        match (windows.next(), windows.next()) {
            (Some(first), Some(second)) => {
                let rest = DateRange::new(second.from(), self.window.to());
                let narrows = self.narrows.clone();
                (Self { window: first, narrows }, rest.map(|window| Self { window, narrows: self.narrows }))
            }
            _ => (self, None),
        }
    }
}

/// The ids that a column has in a part.
pub(super) struct Listing {
    /// All of them.
    pub(super) all: Vec<CompactString>,
    /// Those that the caller's filter lets pass.
    pub(super) wanted: Vec<CompactString>,
    /// Whether there are wanted rows without an id.
    pub(super) blank: bool,
}

/// What is still to be asked, in order, and how many days to ask at once.
pub(super) struct Work {
    queue: VecDeque<Part>,
    stride: u32,
    /// The most days that the platform takes at once.
    most_days: u32,
    /// Whether the platform's hours name no day, so that each day must be asked alone.
    pub(super) single_days: bool,
}

impl Work {
    /// What there is to ask of a range, by at most so many days at once.
    pub(super) fn of(range: DateRange, stride: u32) -> Self {
        let parts = range.windows(MAX_DAYS).into_iter().map(|window| Part { window, narrows: Vec::new() });
        Self { queue: parts.collect(), stride, most_days: stride, single_days: false }
    }

    /// The next parts to ask at the same time, `None` when all is done.
    pub(super) fn wave(&mut self) -> Option<Vec<Part>> {
        let mut wave = Vec::new();
        while wave.len() < LIMITS.most_at_once()
            && let Some(part) = self.queue.pop_front()
        {
            let (part, rest) = part.cut_after(self.stride);
            if let Some(rest) = rest {
                self.queue.push_front(rest);
            }
            wave.push(part);
        }
        (!wave.is_empty()).then_some(wave)
    }

    /// A part came back whole: where it was sparse, what follows is asked in longer strides.
    pub(super) fn record_whole(&mut self, part: &Part, rows: usize) {
        if !self.single_days && part.narrows.is_empty() && rows < ROW_CAP / 4 {
            self.stride = self.stride.max(part.window.len_days().saturating_mul(2)).min(self.most_days);
        }
    }

    /// A part came back cut: what follows is asked in shorter strides.
    pub(super) fn record_cut(&mut self, part: &Part) {
        self.stride = self.stride.min(part.window.len_days().div_ceil(2));
    }

    /// The platform finds a part too much for it: no more than half of its days are asked for at once from now on.
    pub(super) fn record_refusal(&mut self, part: &Part) {
        self.most_days = self.most_days.min(part.window.len_days().div_ceil(2));
        self.stride = self.stride.min(self.most_days);
    }

    /// A part came back that does not name its days: each day is asked alone.
    pub(super) fn ask_single_days(&mut self) {
        self.single_days = true;
        self.stride = 1;
    }

    /// These parts are next.
    pub(super) fn put_back(&mut self, parts: Vec<Part>) {
        for part in parts.into_iter().rev() {
            self.queue.push_front(part);
        }
    }

    /// How many parts are left, as they stand.
    pub(super) fn parts(&self) -> usize {
        self.queue.len()
    }

    /// How many days these parts have in all.
    pub(super) fn days(&self) -> usize {
        self.queue.iter().map(|part| usize::try_from(part.window.len_days()).unwrap_or(usize::MAX)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::ToSpan;
    use jiff::civil::{Date, date};
    use proptest::prelude::*;

    use super::*;

    /// Reads days of `weights` rows each through a cap, and returns which days came back, in order.
    fn read(weights: &[usize], cap: usize, by_day: bool) -> Option<Vec<Date>> {
        let first = date(2026, 1, 1);
        let last =
            first.saturating_add(i64::try_from(weights.len()).expect("a length").days()).yesterday().expect("a day");
        let range = DateRange::new(first, last).expect("a range");
        let all: Vec<Date> = range.days().collect();
        let mut work = Work::of(range, MAX_DAYS);
        let mut read = Vec::new();
        while let Some(wave) = work.wave() {
            let mut again = Vec::new();
            for part in wave {
                let days: Vec<Date> = part.window.days().collect();
                let rows: usize =
                    all.iter().zip(weights).filter(|(day, _)| days.contains(day)).map(|(_, rows)| rows).sum();
                if rows > cap {
                    work.record_cut(&part);
                    again.extend(part.halves()?);
                } else if by_day && days.len() > 1 {
                    work.ask_single_days();
                    again.push(part);
                } else {
                    work.record_whole(&part, rows);
                    read.extend(days);
                }
            }
            work.put_back(again);
        }
        Some(read)
    }

    #[test]
    fn a_single_day_is_cut_by_its_ids_and_by_their_absence() {
        let day = Part { window: DateRange::day(date(2026, 1, 1)), narrows: Vec::new() };
        assert_eq!(day.halves(), None);
        let ids = |range: std::ops::Range<u32>| range.map(|id| CompactString::from(id.to_string())).collect::<Vec<_>>();
        let listed = Listing { all: ids(0..130), wanted: ids(0..130), blank: true };
        let parts = day.by_ids("offer", &listed);
        let sizes: Vec<(usize, bool)> =
            parts.iter().map(|part| (part.narrows[0].ids.len(), part.narrows[0].without)).collect();
        assert_eq!(sizes, [(100, false), (30, false), (130, true)]);
        let halves = parts[1].halves().expect("halves");
        assert_eq!(halves.iter().map(|half| half.narrows[0].ids.len()).collect::<Vec<_>>(), [15, 15]);
        assert_eq!(parts[2].halves(), None, "what has no id cannot be halved");
    }

    proptest! {
        #[test]
        fn every_day_is_read_exactly_once_under_any_cap(
            weights in prop::collection::vec(0usize..6_000, 1..500), cap in 1usize..20_000, by_day in any::<bool>(),
        ) {
            match read(&weights, cap, by_day) {
                Some(days) => {
                    prop_assert_eq!(days.len(), weights.len());
                    prop_assert_eq!(days.iter().collect::<BTreeSet<_>>().len(), weights.len());
                }
                None => prop_assert!(weights.iter().any(|rows| *rows > cap)),
            }
        }
    }
}
