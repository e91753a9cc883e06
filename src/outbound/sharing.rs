//! What several processes keep together, as this one asks for it.

use std::time::Duration;

use async_trait::async_trait;

use super::account::AccountId;
use super::allowance::Limits;
use super::growth::Change;

/// Limits that several processes keep together.
#[async_trait]
pub trait SharedBudget: Send + Sync {
    /// Asks for the turn of one call. Answers soon, and as if there were no other process where nothing is known of
    /// them. Says what is known of the places there are.
    async fn ask(&self, ask: &Ask<'_>) -> (Decision, Places);
    /// Has all processes call an origin and an account with so many calls at once, as far as that has changed.
    async fn resize(&self, origin: &str, account: &AccountId, changes: [Option<Change>; 2]);
    /// Has all processes leave an account alone for this long.
    async fn back_off(&self, account: &AccountId, time: Duration);
    /// Ends a back-off of an account that a call broke and was answered all the same.
    async fn end_back_off(&self, account: &AccountId, back_off: BackOffId);
}

/// What a call asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Scheme, host and port.
    pub origin: &'a str,
    /// The account.
    pub account: &'a AccountId,
    /// How hard they may be worked.
    pub limits: Limits,
    /// How many calls at once each of them takes, as far as this process knows.
    pub places: Places<usize>,
    /// Whether nobody waits for it, so that it leaves half of the places free.
    pub behind: bool,
    /// How long the call can wait.
    pub timeout: Duration,
    /// Whether it leaves an account alone whose tracker asked for that.
    pub heeds_back_off: bool,
}

/// How many calls at once are taken; where it is an `Option`, as far as anything is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places<T = Option<usize>> {
    /// By the origin.
    pub origin: T,
    /// By the account.
    pub account: T,
}

/// The answer that a call gets.
pub enum Decision {
    /// It may go after `wait`, and keeps the lease until it is over.
    Granted {
        /// Nothing, where other processes are not known of.
        lease: Option<Lease>,
        /// How long the pace makes it wait.
        wait: Duration,
        /// The back-off that the call does not heed.
        breaks: Option<BackOffId>,
    },
    /// So many calls are under way already.
    Full(Bound),
    /// The pace would make it wait this long: beyond its timeout.
    TooLate(Duration),
    /// The tracker asked some process to leave the account alone, for this long from now on.
    BackingOff(Duration),
}

/// which back-off of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOffId(pub u64);

/// Something to be dropped when a call is over.
pub type Lease = Box<dyn Send + Sync>;

/// What is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The origin.
    Origin,
    /// The account.
    Account,
}
