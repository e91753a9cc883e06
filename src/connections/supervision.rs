//! Keeps the parts of the background alive, knows when each last came round, and how far the end of the work is off.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;

use crate::metrics;

/// How often the background looks for work that nobody announced.
pub(crate) const TICK: Duration = Duration::from_millis(900);
/// A task that did not come round for so long is stalled. Waiting for a database that does not answer takes less.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// How long a task that panicked rests before it is started again; each further time in a row twice as long.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// One part of the background.
pub(crate) struct Task {
    name: &'static str,
    last_round: Mutex<Instant>,
}

impl Task {
    pub(crate) fn named(name: &'static str) -> Self {
        metrics::background_task(name);
        Self { name, last_round: Mutex::new(Instant::now()) }
    }

    /// Says that the task has come round.
    pub(crate) fn beat(&self) {
        *self.last_round.lock() = Instant::now();
    }

    /// Whether it has not come round for too long.
    pub(crate) fn is_stalled(&self, now: Instant) -> bool {
        let last_round = *self.last_round.lock();
        now.saturating_duration_since(last_round) > STALLED_AFTER
    }
}

/// How far the end of the work is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It is not in sight.
    Work,
    /// Nothing new is begun.
    Finish,
    /// What is not done is left to others.
    Stop,
}

/// The parts of the background. They run side by side, so that none waits for another.
pub(crate) struct Tasks {
    pub(crate) upkeep: Task,
    pub(crate) watch: Task,
    pub(crate) deferred: Task,
    pub(crate) sharing: Task,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            upkeep: Task::named("upkeep"),
            watch: Task::named("watch"),
            deferred: Task::named("deferred_verifications"),
            sharing: Task::named("sharing"),
        }
    }
}

/// Runs a task until it ends by itself. One that panics is started again after a rest.
pub(crate) async fn supervise<Work: Future<Output = ()>>(task: &Task, start: impl Fn() -> Work) {
    let mut rest = FIRST_REST;
    loop {
        let started = Instant::now();
        // What a task shares with others stands behind locks that outlive a panic.
        if AssertUnwindSafe(start()).catch_unwind().await.is_ok() {
            return;
        }
        if started.elapsed() > LONGEST_REST {
            rest = FIRST_REST;
        }
        metrics::background_restart(task.name);
        tracing::error!(task = task.name, "background work panicked; it is started again");
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(LONGEST_REST);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_and_counted() {
        let (task, starts) = (Task::named("clumsy"), AtomicU32::new(0));
        supervise(&task, || async {
            assert!(starts.fetch_add(1, Ordering::Relaxed) > 0, "the first run stumbles");
        })
        .await;
        assert_eq!(starts.into_inner(), 2);
        let text = String::from_utf8(metrics::render(&metrics::Sample::default())).expect("text");
        assert!(text.contains("affzero_background_restarts_total{task=\"clumsy\"} 1"), "{text}");
    }

    #[test]
    fn a_task_that_does_not_come_round_is_stalled_until_it_does() {
        let task = Task::named("slow");
        let now = Instant::now();
        assert!(!task.is_stalled(now));
        let later = now + STALLED_AFTER + Duration::from_secs(1);
        assert!(task.is_stalled(later));
        *task.last_round.lock() = later;
        assert!(!task.is_stalled(later));
    }
}
