//! How much a tracker takes at once, where that turned out to be less than it is asked for by default.
//!
//! What an account has refused is remembered for some hours, so that it is not found out again with every report.

use std::marker::PhantomData;
use std::time::Duration;

use moka::sync::Cache;

use crate::outbound::{AccountId, Upstream};

/// How many accounts are remembered.
const MOST_ACCOUNTS: u64 = 10_000;

/// How long; a tracker can be updated, or be given other limits.
const FORGET_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

/// The sizes that accounts of a platform take. `P` tells the memories of platforms, or of their calls, apart.
pub(super) struct Learned<P> {
    known: Cache<AccountId, u32>,
    of: PhantomData<fn() -> P>,
}

impl<P> Clone for Learned<P> {
    fn clone(&self) -> Self {
        Self { known: self.known.clone(), of: PhantomData }
    }
}

impl<P> Default for Learned<P> {
    fn default() -> Self {
        Self { known: Cache::builder().max_capacity(MOST_ACCOUNTS).time_to_live(FORGET_AFTER).build(), of: PhantomData }
    }
}

impl<P> Learned<P> {
    /// The sizes of one account: any of `ladder`, which goes down.
    pub(super) fn of(&self, upstream: &Upstream, ladder: &'static [u32]) -> Sizes {
        Sizes { known: self.known.clone(), account: *upstream.account_id(), ladder }
    }
}

/// The sizes of one account.
#[derive(Clone)]
pub(super) struct Sizes {
    known: Cache<AccountId, u32>,
    account: AccountId,
    ladder: &'static [u32],
}

impl Sizes {
    /// How much to ask for.
    pub(super) fn current(&self) -> u32 {
        let default = self.ladder.first().copied().unwrap_or(1);
        self.known.get(&self.account).unwrap_or(default)
    }

    /// Remembers that a size is refused; whether there is a smaller one to ask for.
    pub(super) fn step_down(&self, refused: u32) -> bool {
        let Some(smaller) = self.ladder.iter().copied().find(|size| *size < refused) else { return false };
        if smaller < self.current() {
            self.known.insert(self.account, smaller);
        }
        true
    }
}

/// Anything else that was found out of accounts, remembered for as long.
#[derive(Clone)]
pub(super) struct Facts<T: Clone + Send + Sync + 'static>(Cache<AccountId, T>);

impl<T: Clone + Send + Sync + 'static> Default for Facts<T> {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_ACCOUNTS).time_to_live(FORGET_AFTER).build())
    }
}

impl<T: Clone + Send + Sync + 'static> Facts<T> {
    /// What is known of one account.
    pub(super) fn of(&self, upstream: &Upstream) -> Fact<T> {
        Fact { known: self.0.clone(), account: *upstream.account_id() }
    }
}

/// What was found out of one account.
#[derive(Clone)]
pub(super) struct Fact<T: Clone + Send + Sync + 'static> {
    known: Cache<AccountId, T>,
    account: AccountId,
}

impl<T: Clone + Default + Send + Sync + 'static> Fact<T> {
    /// What is known.
    pub(super) fn get(&self) -> T {
        self.known.get(&self.account).unwrap_or_default()
    }

    /// Remembers something.
    pub(super) fn set(&self, fact: T) {
        self.known.insert(self.account, fact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_down_to_the_smallest_and_stay_there_for_their_account() {
        struct Pages;
        let learned = Learned::<Pages>::default();
        let sizes =
            |account: u8| Sizes { known: learned.known.clone(), account: [account; 32], ladder: &[1_000, 500, 100] };
        assert_eq!(sizes(1).current(), 1_000);
        assert!(sizes(1).step_down(1_000));
        assert_eq!((sizes(1).current(), sizes(2).current()), (500, 1_000));
        // Another call had asked for more, before that was known.
        assert!(sizes(1).step_down(1_000));
        assert_eq!(sizes(1).current(), 500);
        assert!(sizes(1).step_down(500) && !sizes(1).step_down(100));
        assert_eq!(sizes(1).current(), 100);
    }
}
