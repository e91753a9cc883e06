//! How long the stages of a verification took.

use std::time::Duration;

use crate::clock::millis;
use crate::outbound::error::Stage;

/// How long each stage took, as far as that could be measured.
#[derive(Debug, Clone)]
pub struct Timings {
    pub(super) current: Stage,
    spent: [Option<Duration>; Stage::ALL.len()],
    skipped: [bool; Stage::ALL.len()],
}

impl Default for Timings {
    fn default() -> Self {
        Self { current: Stage::Request, spent: Default::default(), skipped: Default::default() }
    }
}

impl Timings {
    /// Milliseconds spent in a stage, where they could be told from the others'.
    pub fn millis(&self, stage: Stage) -> Option<u64> {
        self.spent.get(stage as usize).copied().flatten().map(millis)
    }

    /// Whether the stage was not needed.
    pub(crate) fn is_skipped(&self, stage: Stage) -> bool {
        self.skipped.get(stage as usize).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, stage: Stage, time: Duration) {
        if let Some(spent) = self.spent.get_mut(stage as usize) {
            *spent = Some(spent.unwrap_or_default() + time);
        }
    }

    pub(super) fn skip(&mut self, stage: Stage) {
        if let Some(skipped) = self.skipped.get_mut(stage as usize) {
            *skipped = true;
        }
    }
}
