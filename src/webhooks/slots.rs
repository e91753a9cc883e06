//! Who sends at the same time in one process: an organisation has a share of the slots, and receivers that fail have a
//! half of each, so that they hold up nobody.

use std::collections::HashMap;

/// Webhooks of one process that are sent to at the same time.
const AT_ONCE: usize = 128;
/// Those of one organisation.
const OF_ONE: usize = 16;

/// The slots that are taken.
#[derive(Default)]
pub(super) struct Slots {
    all: Taken,
    of: HashMap<String, Taken>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    slots: usize,
    /// Those of them by receivers that failed the last time.
    by_failing: usize,
}

impl Taken {
    fn change(&mut self, is_failing: bool, change: impl Fn(usize) -> usize) {
        self.slots = change(self.slots);
        if is_failing {
            self.by_failing = change(self.by_failing);
        }
    }
}

/// Whom no slot is left for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// These organisations.
    pub(super) organisations: Vec<String>,
    /// The failing receivers of these.
    pub(super) failing_of: Vec<String>,
    /// All failing receivers.
    pub(super) all_failing: bool,
}

impl Slots {
    /// Whether any slot is left.
    pub(super) fn is_full(&self) -> bool {
        self.all.slots >= AT_ONCE
    }

    /// Whom no slot is left for.
    pub(super) fn left_out(&self) -> LeftOut {
        let full = |is_full: fn(&Taken) -> bool| {
            let mut names: Vec<String> =
                self.of.iter().filter(|(_, taken)| is_full(taken)).map(|(name, _)| name.clone()).collect();
            names.sort_unstable();
            names
        };
        LeftOut {
            organisations: full(|taken| taken.slots >= OF_ONE),
            failing_of: full(|taken| taken.by_failing >= OF_ONE / 2),
            all_failing: self.all.by_failing >= AT_ONCE / 2,
        }
    }

    pub(super) fn take(&mut self, organisation: &str, is_failing: bool) {
        self.all.change(is_failing, |taken| taken + 1);
        self.of.entry(organisation.to_owned()).or_default().change(is_failing, |taken| taken + 1);
    }

    pub(super) fn give_back(&mut self, organisation: &str, is_failing: bool) {
        self.all.change(is_failing, |taken| taken.saturating_sub(1));
        if let Some(of) = self.of.get_mut(organisation) {
            of.change(is_failing, |taken| taken.saturating_sub(1));
            if of.slots == 0 {
                self.of.remove(organisation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_has_its_share_and_its_failing_receivers_half_of_that() {
        let mut slots = Slots::default();
        for _ in 0..OF_ONE / 2 {
            slots.take("crowd", true);
        }
        assert_eq!((slots.left_out().failing_of, slots.left_out().organisations), (vec!["crowd".to_owned()], vec![]));
        for _ in 0..OF_ONE / 2 {
            slots.take("crowd", false);
        }
        assert_eq!(slots.left_out().organisations, ["crowd"]);
        assert!(!slots.is_full() && !slots.left_out().all_failing);
        for _ in 0..OF_ONE / 2 {
            slots.give_back("crowd", true);
            slots.give_back("crowd", false);
        }
        assert_eq!(slots.left_out(), Slots::default().left_out());
        assert!(slots.of.is_empty());
    }

    #[test]
    fn failing_receivers_never_take_the_last_places() {
        let mut slots = Slots::default();
        for number in 0..AT_ONCE / 2 {
            assert!(!slots.left_out().all_failing);
            slots.take(&format!("org-{}", number / 4), true);
        }
        assert!(slots.left_out().all_failing && !slots.is_full());
        for number in 0..AT_ONCE / 2 {
            slots.take(&format!("well-{}", number / 4), false);
        }
        assert!(slots.is_full());
    }
}
