//! Pages of connections as they were written, and connections as they are stored, kept for as long as nothing in the
//! database has changed.
//!
//! Making a page opens three or four sealed texts for each of its connections, again and again for a console that looks
//! every few seconds; reading a connection takes two threads, for each pull twice. Whether what is kept still holds is
//! asked of the database each time; the short time that it is kept bounds how long what pages say of settings stays in
//! memory. A connection's own texts stay sealed.

use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use uuid::Uuid;

use super::store::Stored;
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

/// The connections that are kept.
pub(super) struct KeptConnections(Cache<(OrgId, Uuid), (Stamp, Box<Stored>)>);

impl Default for KeptConnections {
    fn default() -> Self {
        let weigh = |_: &(OrgId, Uuid), (_, stored): &(Stamp, Box<Stored>)| {
            let sealed = &stored.sealed;
            let sealed = [&sealed.settings, &sealed.credentials, &sealed.verification, &sealed.health];
            let bytes = sealed.into_iter().flatten().map(Vec::len).sum::<usize>() + size_of::<Stored>();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MOST_BYTES).weigher(weigh).time_to_live(TIME).build())
    }
}

impl KeptConnections {
    /// The connection, if the database holds now what it held then.
    pub(super) fn get(&self, organisation: &OrgId, id: Uuid, now: Stamp) -> Option<Box<Stored>> {
        self.0.get(&(organisation.clone(), id)).filter(|(then, _)| *then == now).map(|(_, stored)| stored)
    }

    /// Keeps a connection that was read after `stamp` was taken.
    pub(super) fn keep(&self, stamp: Stamp, stored: &Stored) {
        self.0.insert((stored.organisation.clone(), stored.id), (stamp, Box::new(stored.clone())));
    }
}
