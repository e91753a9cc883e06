//! Room for files that are complete before their first byte leaves.

use crate::outbound::memory::Memory;

/// Bytes of such files that are in memory at the same time, until they have left.
const MOST_AT_ONCE: usize = 64 * 1024 * 1024;

/// Room for files until they have left.
pub(in crate::connections) struct Files(pub(super) Memory);

impl Default for Files {
    fn default() -> Self {
        Self(Memory::of(MOST_AT_ONCE))
    }
}
