//! What has been learned of an account, so that it is not found out again with every report.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::Mutex;

use super::shift::Proof;
use crate::outbound::{AccountId, Upstream};

/// How many accounts are remembered.
const MOST_ACCOUNTS: u64 = 10_000;

/// How long; a network can change what its keys may read.
const FORGET_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

/// How long it is remembered that nothing could be found out.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// How many rows of a page accounts take.
pub(super) struct Pages;

/// What this process has learned, by account.
#[derive(Clone)]
pub(super) struct Habits {
    known: Cache<AccountId, Arc<Known>>,
}

impl Default for Habits {
    fn default() -> Self {
        Self { known: Cache::builder().max_capacity(MOST_ACCOUNTS).time_to_live(FORGET_AFTER).build() }
    }
}

impl Habits {
    pub(super) fn of(&self, upstream: &Upstream) -> Arc<Known> {
        self.known.get_with(*upstream.account_id(), Arc::default)
    }
}

/// What is known of one account.
#[derive(Default)]
pub(super) struct Known {
    refused: Mutex<BTreeSet<&'static str>>,
    proof: Mutex<Option<(Proof, Instant)>>,
}

impl Known {
    /// The columns that the account may not use.
    pub(super) fn refused_columns(&self) -> BTreeSet<&'static str> {
        self.refused.lock().clone()
    }

    pub(super) fn remember_refused(&self, column: &'static str) {
        self.refused.lock().insert(column);
    }

    /// What has been seen of how the platform moves days by hours.
    pub(super) fn proof(&self) -> Option<Proof> {
        let proof = *self.proof.lock();
        proof.filter(|(proof, at)| *proof != Proof::Unproven || at.elapsed() < TRY_AGAIN_AFTER).map(|(proof, _)| proof)
    }

    pub(super) fn remember_proof(&self, proof: Proof) {
        *self.proof.lock() = Some((proof, Instant::now()));
    }
}
