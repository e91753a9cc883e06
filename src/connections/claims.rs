//! Which deferred verifications this process has claimed, so that it can hand them back when it stops.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The right to verify one connection, as long as the lease lasts.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) organisation: String,
    pub(super) id: String,
    pub(super) lease: i64,
}

/// Claims that this process holds.
#[derive(Default)]
pub(super) struct Claims(Mutex<HashMap<String, Claim>>);

impl Claims {
    pub(super) fn add(&self, claim: &Claim) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(claim.id.clone(), claim.clone());
    }

    pub(super) fn remove(&self, claim: &Claim) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&claim.id);
    }

    pub(super) fn take(&self) -> Vec<Claim> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, claim)| claim).collect()
    }
}
