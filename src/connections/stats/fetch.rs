//! Where a table comes from that is not in this process: from another replica, or else from the tracker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::cache::{Brought, Way};
use super::packed;
use super::query::Asked;
use super::table::Table;
use crate::clock::{now_micros, time};
use crate::connections::Actor;
use crate::connections::service::Connections;
use crate::problem::Problem;
use crate::shared::{Kept, TableOf, Ticket};

impl Connections {
    /// What another replica has pulled, or else a pull, which other replicas can have then.
    pub(super) async fn fetch(
        &self,
        actor: &Actor,
        id: Uuid,
        asked: &Asked,
        no_cache: bool,
        deadline: Option<Instant>,
    ) -> Result<Brought, Problem> {
        let era = self.inner.stats.era();
        let query = format!("{} {}", packed::FORM, asked.pull_key());
        let of = TableOf { organisation: actor.organisation.as_str(), connection: id, query: &query };
        let mut ticket = None;
        let ttl = self.time_to_live(asked, now_micros());
        if !ttl.is_zero() && self.inner.stats.is_watched() {
            // Before the row is read: a change from now on makes the ticket void.
            let looked = self.inner.shared.look(of, !no_cache).await;
            let found;
            (ticket, found) = looked.map_or((None, None), |(ticket, found)| (Some(ticket), found));
            if let Some(found) = found
                && let Some(table) = packed::unpack(&found.packed, found.left)
                && self.inner.stats.is_current(id, table.version)
            {
                let until = Instant::now() + found.left.min(ttl);
                return Ok(Brought { table: Arc::new(table), until, way: Way::Replica });
            }
        }
        let table = self.pull(actor, id, asked, deadline).await?;
        // What was read before a failover may have been lost with it.
        let is_lost = self.inner.stats.era() != era;
        let ttl = if is_lost { Duration::ZERO } else { self.time_to_live(asked, table.pulled_at_micros) };
        let offered = match ticket {
            Some(ticket) if self.inner.stats.is_current(id, table.version) => {
                Some(self.offer(ticket, of, &table, ttl).await)
            }
            Some(_) => Some(false),
            None => None,
        };
        Ok(Brought { table: Arc::new(table), until: Instant::now() + ttl, way: Way::Pull { offered } })
    }

    /// How long a table is kept: days count as closed if they were over when the pull began.
    fn time_to_live(&self, asked: &Asked, pulled_at_micros: i64) -> Duration {
        let options = &self.inner.options.stats;
        let today = asked.question.zone.date_at(time(pulled_at_micros));
        match (options.ttl.is_zero(), asked.range.to() >= today) {
            (true, _) => Duration::ZERO,
            (false, true) => options.ttl,
            (false, false) => options.closed_ttl,
        }
    }

    async fn offer(&self, ticket: Ticket, of: TableOf<'_>, table: &Table, ttl: Duration) -> bool {
        match packed::pack(table, ttl) {
            Some(packed) if !ttl.is_zero() => {
                let kept = Kept { version: table.version, packed: &packed, lifetime: ttl };
                self.inner.shared.keep(ticket, of, kept).await
            }
            _ => false,
        }
    }
}
