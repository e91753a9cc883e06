//! How much is asked for at once.

/// The most rows a page may have, and what is tried where a network takes fewer.
pub(super) const PAGE_ROWS: &[u32] = &[500, 250, 100, 25];

/// The days of a window, and what is tried where a network takes fewer.
pub(super) const WINDOW_DAYS: &[u32] = &[90, 45, 31];
