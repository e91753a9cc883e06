//! How many verifications may fail: verification must not be a way to guess keys.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::platforms::verification::{Verification, VerificationStatus};
use crate::problem::{Code, Problem};
use crate::tenancy::OrgId;

/// Counts failed verifications by organisation and minute: verification must not be a way to guess keys.
pub(super) struct FailureMeter {
    allowed: u32,
    minutes: Mutex<HashMap<OrgId, (Instant, u32)>>,
}

impl FailureMeter {
    const MINUTE: Duration = Duration::from_secs(60);

    pub(super) fn new(allowed: u32) -> Self {
        Self { allowed, minutes: Mutex::default() }
    }

    pub(super) fn check(&self, organisation: &OrgId) -> Result<(), Problem> {
        if self.allowed == 0 {
            return Ok(());
        }
        let minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        match minutes.get(organisation) {
            Some((since, failures)) if since.elapsed() < Self::MINUTE && *failures >= self.allowed => {
                Err(Problem::new(Code::RateLimited, "Too many verifications failed within a minute.")
                    .hint("Wait, and check the credentials before trying again.")
                    .retry_after(Self::MINUTE.saturating_sub(since.elapsed()))
                    .with("limit", self.allowed))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn count(&self, organisation: &OrgId, verification: &Verification) {
        if self.allowed == 0 || verification.status == VerificationStatus::Ok {
            return;
        }
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        if minutes.len() > 10_000 {
            minutes.retain(|_, (since, _)| since.elapsed() < Self::MINUTE);
        }
        let minute = minutes.entry(organisation.clone()).or_insert((Instant::now(), 0));
        if minute.0.elapsed() >= Self::MINUTE {
            *minute = (Instant::now(), 0);
        }
        minute.1 += 1;
    }
}
