//! Pages of connections as they were written, kept for as long as nothing in the database has changed.
//!
//! Making one opens three or four sealed texts for each of its connections, again and again for a console that looks
//! every few seconds. Whether a page still holds is asked of the database each time; the short time that pages are kept
//! bounds how long what they tell of settings stays in memory.

use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;

use crate::db::Stamp;
use crate::tenancy::OrgId;

const TIME: Duration = Duration::from_secs(5);
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Which page of which list of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) organisation: OrgId,
    /// A fingerprint of the query.
    pub(super) query: String,
    pub(super) limit: i64,
    pub(super) cursor: Option<String>,
}

/// The pages that are kept.
pub(super) struct KeptPages(Cache<PageKey, (Stamp, Bytes)>);

impl Default for KeptPages {
    fn default() -> Self {
        let weigh = |key: &PageKey, (_, page): &(Stamp, Bytes)| {
            let bytes = page.len() + key.query.len() + key.cursor.as_ref().map_or(0, String::len);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MOST_BYTES).weigher(weigh).time_to_live(TIME).build())
    }
}

impl KeptPages {
    /// The page, if the database holds now what it held then.
    pub(super) fn get(&self, key: &PageKey, now: Stamp) -> Option<Bytes> {
        self.0.get(key).filter(|(then, _)| *then == now).map(|(_, page)| page)
    }

    /// Keeps a page that was read after `stamp` was taken.
    pub(super) fn keep(&self, key: PageKey, stamp: Stamp, page: &Bytes) {
        self.0.insert(key, (stamp, page.clone()));
    }
}
