//! Whose turn it is among organisations: in each round every one is served once, and none takes many places.

use std::collections::{HashMap, HashSet};

/// Places of one organisation at the same time.
const AT_ONCE_OF_ONE: usize = 2;
/// A round in which so many organisations had their turn is over.
const LONGEST_ROUND: usize = 1_000;

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Turns {
    running: HashMap<String, usize>,
    served: HashSet<String>,
}

impl Turns {
    /// How many are at work.
    pub(super) fn running(&self) -> usize {
        self.running.values().sum()
    }

    /// The organisations that have all their places.
    pub(super) fn busy(&self) -> Vec<String> {
        self.running.iter().filter(|(_, count)| **count >= AT_ONCE_OF_ONE).map(|(id, _)| id.clone()).collect()
    }

    /// The organisations that have to wait.
    pub(super) fn left_out(&self) -> Vec<String> {
        self.busy().into_iter().chain(self.served.iter().cloned()).collect()
    }

    /// Begins another round, if this one is not a new one.
    pub(super) fn next_round(&mut self) -> bool {
        let was_new = self.served.is_empty();
        self.served.clear();
        !was_new
    }

    pub(super) fn begin(&mut self, organisation: &str) {
        *self.running.entry(organisation.to_owned()).or_default() += 1;
        self.served.insert(organisation.to_owned());
        if self.served.len() >= LONGEST_ROUND {
            self.served.clear();
        }
    }

    pub(super) fn end(&mut self, organisation: &str) {
        if let Some(count) = self.running.get_mut(organisation) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(organisation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_organisation_has_its_turn_before_any_has_its_second() {
        let mut turns = Turns::default();
        turns.begin("crowd");
        assert_eq!(turns.left_out(), ["crowd"]);
        turns.begin("other");
        turns.end("other");
        assert_eq!(turns.left_out().len(), 2, "served is served, done or not");
        assert!(turns.next_round());
        assert!(turns.left_out().is_empty());
        assert!(!turns.next_round(), "nobody was served since");
    }

    #[test]
    fn no_organisation_takes_more_places_than_its_own() {
        let mut turns = Turns::default();
        for _ in 0..AT_ONCE_OF_ONE {
            turns.begin("crowd");
            turns.next_round();
        }
        assert_eq!(turns.left_out(), ["crowd"]);
        turns.end("crowd");
        assert!(turns.left_out().is_empty());
    }

    #[test]
    fn a_round_does_not_grow_without_end() {
        let mut turns = Turns::default();
        for number in 0..10 * LONGEST_ROUND {
            turns.begin(&number.to_string());
            turns.end(&number.to_string());
        }
        assert!(turns.left_out().len() < LONGEST_ROUND);
    }
}
