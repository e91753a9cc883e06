//! When a call is repeated, and how long it waits first.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use backon::{BackoffBuilder, Retryable};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::answer::Answer;
use super::error::{ErrorKind, PlatformError, Stage};
use super::scope::{CallScope, Purpose};

/// The most often one call is repeated.
const MAX_RETRIES: usize = 4;
/// The most often one call is repeated that something in front of the tracker refuses.
const MAX_RETRIES_AT_WALLS: usize = 2;
/// The first wait lies between zero and this; each further bound is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longer waits than this are only made because the platform asks for them.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long a verification goes on repeating, all its calls together.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait that a platform is believed to mean.
const MOST_BELIEVED: Duration = Duration::from_secs(24 * 3_600);

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Fault {
    error: PlatformError,
    /// A 500 and a web page keep their answer: the platform may know what it means, and one repetition is all it gets.
    answer: Option<Box<Answer>>,
    /// Whether it is known that repeating it cannot help.
    last: bool,
}

impl Fault {
    /// A failure that is not repeated, whatever its kind.
    pub(super) fn last(error: PlatformError) -> Self {
        Self { error, answer: None, last: true }
    }

    /// An answer that is handed on if it comes again.
    pub(super) fn once_more(error: PlatformError, answer: Answer) -> Self {
        Self { error, answer: Some(Box::new(answer)), last: false }
    }

    /// Whether the host may be well and only this question too much for it, as with a 500.
    pub(super) fn may_be_the_question(&self) -> bool {
        self.answer.is_some() || self.last
    }

    /// What went wrong.
    pub(super) fn error(&self) -> &PlatformError {
        &self.error
    }
}

impl From<PlatformError> for Fault {
    fn from(error: PlatformError) -> Self {
        Self { error, answer: None, last: false }
    }
}

impl From<Fault> for PlatformError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

/// Sorts an answer by its status: what clients look at themselves, and what is an error on every platform.
pub(super) fn judge(answer: Answer, host: &str) -> Result<Answer, Fault> {
    let wait = retry_after(&answer.headers);
    let status = answer.status.as_u16();
    match status {
        429 => Err(PlatformError::new(ErrorKind::RateLimited, format!("{host} asks to be called less often (429)."))
            .retry_after(wait)
            .into()),
        500 => Err(Fault::once_more(failing(host, status), answer)),
        501.. => Err(Fault::last(failing(host, status).retry_after(wait))),
        _ => Ok(answer),
    }
}

fn failing(host: &str, status: u16) -> PlatformError {
    PlatformError::new(ErrorKind::Failing, format!("{host} is failing: it answered {status}.")).at(Stage::Request)
}

impl Answer {
    /// The error of an answer with status 500 whose body says nothing more.
    pub fn failing(&self, host: &str) -> PlatformError {
        failing(host, self.status.as_u16())
    }
}

/// Runs `attempt` until it works, is not worth repeating, or time or the origin's budget runs out.
pub(super) async fn run<F, Fut>(
    scope: CallScope,
    since: Instant,
    budget: &Budget,
    attempt: F,
) -> Result<Answer, PlatformError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Answer, Fault>>,
{
    let give_up_at = match scope.purpose {
        Purpose::Verify | Purpose::Check => scope.deadline.min(since + VERIFY_TIMEOUT),
        Purpose::Pull => scope.deadline,
    };
    budget.deposit();
    let repeated = AtomicBool::new(false);
    let walls = AtomicUsize::new(0);
    let outcome = attempt
        .retry(FullJitter)
        .when(|fault| match fault.error.kind {
            _ if fault.last || fault.error.lasts => false,
            ErrorKind::ConnectFailed | ErrorKind::TlsFailed | ErrorKind::RateLimited => true,
            _ if fault.answer.is_some() => !repeated.swap(true, Ordering::Relaxed),
            ErrorKind::Failing => true,
            // Hammering a firewall makes a ban longer.
            ErrorKind::AccessBlocked => walls.fetch_add(1, Ordering::Relaxed) < MAX_RETRIES_AT_WALLS,
            _ => false,
        })
        .adjust(|fault, wait| {
            let wait = wait?.max(fault.error.retry_after.unwrap_or_default());
            let left = give_up_at.saturating_duration_since(Instant::now());
            (wait < left && budget.withdraw()).then_some(wait)
        })
        .await;
    match outcome {
        Ok(answer) => Ok(answer),
        Err(Fault { answer: Some(answer), .. }) => Ok(*answer),
        Err(fault) => Err(fault.error),
    }
}

/// How long the platform asks to be left alone: seconds or an HTTP date. Absurd waits are cut to a day.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?;
            at.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(wait.min(MOST_BELIEVED))
}

/// Exponential waits, each drawn anew between zero and its bound.
struct FullJitter;

impl BackoffBuilder for FullJitter {
    type Backoff = std::vec::IntoIter<Duration>;

    fn build(self) -> Self::Backoff {
        let waits: Vec<Duration> = (0..MAX_RETRIES)
            .map(|round| {
                let bound = (FIRST_WAIT * 2_u32.pow(u32::try_from(round).unwrap_or_default())).min(LONGEST_WAIT);
                Duration::from_micros(fastrand::u64(0..=u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
            })
            .collect();
        waits.into_iter()
    }
}

/// What repetitions an origin may still cause: a fifth of its calls, and a few to start with.
pub(super) struct Budget {
    hundredths: AtomicI64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { hundredths: AtomicI64::new(1_000) }
    }
}

impl Budget {
    const DEPOSIT: i64 = 20;
    const PRICE: i64 = 100;
    const MOST: i64 = 2_000;

    fn deposit(&self) {
        let _ = self
            .hundredths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| Some((saved + Self::DEPOSIT).min(Self::MOST)));
    }

    fn withdraw(&self) -> bool {
        self.hundredths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                (saved >= Self::PRICE).then(|| saved - Self::PRICE)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_allows_a_fifth_of_the_calls_to_be_repeated() {
        let budget = Budget::default();
        while budget.withdraw() {}
        let repeated = (0..100).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });
        assert_eq!(repeated.count(), 20);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let headers = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a header"))]);
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(30));
        assert!(retry_after(&headers(&soon)).is_some_and(|wait| wait > Duration::from_secs(27)));
        assert_eq!(retry_after(&headers("Thu, 01 Jan 1970 00:00:00 GMT")), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers("soon")), None);
        assert_eq!(retry_after(&headers("18446744073709551615")), Some(MOST_BELIEVED));
    }
}
