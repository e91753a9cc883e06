//! What there is no time for, by an account's own pace.

use std::time::{Duration, Instant};

use super::scope::Purpose;
use super::upstream::Upstream;
use crate::outbound::error::PlatformError;

impl Upstream {
    /// Refuses a plan of so many calls that will not be done by the deadline, as the account was answered lately and with
    /// as many calls at once as it could ever take. `days` is how many days the calls are for, where more days are more
    /// calls.
    ///
    /// # Errors
    /// There is no time for so many calls; the refusal names the longest range that there is time for.
    pub(crate) fn has_time_for(&self, calls: usize, days: Option<u32>) -> Result<(), PlatformError> {
        let now = Instant::now();
        let account = self.account();
        let Some(usual) = account.recent.usual(now).filter(|_| self.trip.scope.purpose == Purpose::Pull) else {
            return Ok(());
        };
        let left = self.trip.scope.deadline.saturating_duration_since(now);
        let possible = possible(left, usual, self.trip.limits.most_at_once());
        if calls <= possible {
            return Ok(());
        }
        let days = days.map_or(0, |days| usize::try_from(days).unwrap_or(usize::MAX));
        let longest = possible / calls.div_ceil(days.max(1));
        let refusal = format!(
            "{} lately took {:.1} s for a call, so the {calls} calls that this takes would not be done in the {:.0} s there are",
            self.host(),
            usual.as_secs_f64(),
            left.as_secs_f64(),
        );
        Err(match longest.min(days) {
            0 => PlatformError::unsupported(format!("{refusal}."))
                .hint("Ask for fewer dimensions, or again when the tracker is faster."),
            longest => {
                PlatformError::unsupported(format!("{refusal}; the longest range that would be is {longest} days."))
                    .hint(format!("Ask for at most {longest} days at once, or for fewer dimensions."))
            }
        })
    }
}

/// How many calls there is time for, so many of them at once.
fn possible(left: Duration, usual: Duration, at_once: usize) -> usize {
    let rounds = left.as_micros() / usual.as_micros().max(1);
    usize::try_from(rounds).unwrap_or(usize::MAX).saturating_mul(at_once)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn there_is_time_for_whole_rounds() {
        assert_eq!(possible(60 * SECOND, 7 * SECOND, 8), 64);
        assert_eq!(possible(SECOND, 7 * SECOND, 8), 0);
        assert_eq!(possible(SECOND, Duration::ZERO, usize::MAX), usize::MAX);
    }
}
