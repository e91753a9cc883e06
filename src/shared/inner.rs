//! What one process has to do with Redis.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::link::{Link, PREFIX};
use crate::vault::Vault;

pub(super) struct Inner {
    pub(super) vault: Arc<Vault>,
    pub(super) link: Link,
    /// The leases of calls that run right now.
    pub(super) held: Mutex<HashSet<LeaseKey>>,
}

/// A lease: the set it stands in, and its name there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LeaseKey {
    pub(super) set: String,
    pub(super) name: String,
}

impl Inner {
    pub(super) fn new(vault: Arc<Vault>, link: Link) -> Self {
        Self { vault, link, held: Mutex::default() }
    }

    /// What `parts` are called in Redis.
    pub(super) fn name(&self, label: &str, parts: &[&[u8]]) -> String {
        format!("{PREFIX}:{label}:{}", self.vault.pseudonym(label, parts))
    }
}
