//! A pulled table.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::layout::Layout;
use super::order::{Order, sorted};
use super::query::Sort;
use super::tally::Tally;
use crate::platforms::stats::{Perspective, Row, Terms};
use crate::platforms::{ConnectionType, Platform};
use crate::shares::Share;

/// Which connection a table is of.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConnectionRef {
    /// The id.
    pub id: Uuid,
    /// The name.
    #[schema(example = "Brand A")]
    pub name: String,
    /// The platform.
    pub platform: Platform,
    /// The connection type.
    pub connection_type: ConnectionType,
}

/// Where numbers came from.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Source {
    /// Calls to the platform.
    #[schema(example = 3)]
    pub upstream_calls: u32,
    /// Milliseconds until the table was whole.
    #[schema(example = 120)]
    pub duration_ms: u64,
}

/// A whole table.
#[derive(Debug)]
pub struct Table {
    /// Of which connection.
    pub connection: ConnectionRef,
    /// Unsorted, in the tracker's order.
    pub rows: Vec<Row>,
    /// What they add up to.
    pub tally: Tally,
    /// When the last row came in.
    pub fetched_at: Timestamp,
    /// The same moment on the clock that ages are measured by.
    pub whole_at: Instant,
    /// Where it came from.
    pub source: Source,
    /// Whose point of view the money has.
    pub perspective: Perspective,
    /// What its days are.
    pub terms: Terms,
    /// Before the connection it was pulled through was read, in microseconds.
    pub pulled_at_micros: i64,
    /// The version of the connection it was pulled through.
    pub version: i64,
    /// The orders it has been asked for in.
    pub orders: Orders,
    /// The memory it takes.
    pub memory: Memory,
}

/// The memory of a table: taken from what there is for rows, until the table is kept and weighed there.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Option<Share>>);

impl Memory {
    /// What was taken for its rows.
    pub fn of(share: Share) -> Self {
        Self(Mutex::new(Some(share)))
    }

    /// It is weighed elsewhere from now on.
    pub(super) fn give_back(&self) {
        let share = self.0.lock().take();
        drop(share);
    }
}

/// Orders of a table's rows, each sorted once and kept with the table, the latest few of them.
#[derive(Debug, Default)]
pub struct Orders(Mutex<Vec<(Option<Sort>, Order)>>);

/// How many orders of a table are kept.
pub(super) const MAX_ORDERS: usize = 4;

impl Orders {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn find(&self, sort: Option<Sort>) -> Option<Order> {
        let known = self.0.lock();
        known.iter().find(|(by, _)| *by == sort).map(|(_, order)| Arc::clone(order))
    }

    fn keep(&self, sort: Option<Sort>, order: &Order) {
        let mut known = self.0.lock();
        if known.len() >= MAX_ORDERS {
            known.remove(0);
        }
        known.push((sort, Arc::clone(order)));
    }
}

impl Table {
    /// The places of the rows in the order asked for.
    pub(super) fn order(&self, sort: Option<Sort>, layout: &Layout) -> Order {
        if let Some(order) = self.orders.find(sort) {
            return order;
        }
        let order = sorted(&self.rows, sort, layout);
        self.orders.keep(sort, &order);
        order
    }

    /// About how many bytes the table takes.
    pub(crate) fn weight(&self) -> usize {
        let Self { connection, rows, tally, .. } = self;
        let rows: usize = rows.iter().map(Row::weight).sum();
        size_of::<Self>() + connection.name.capacity() + tally.weight() + rows
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::platforms::calendar::Zone;
    use crate::platforms::stats::{Batch, DayOfConversion};

    /// A table of a Demo network with these rows.
    pub(in super::super) fn table(rows: Vec<Row>) -> Table {
        let mut batch = Batch::of(rows);
        let mut tally = Tally::default();
        tally.add(&mut batch);
        Table {
            connection: ConnectionRef {
                id: Uuid::nil(),
                name: "Test".to_owned(),
                platform: Platform::Demo,
                connection_type: ConnectionType::Admin,
            },
            rows: batch.rows,
            tally,
            fetched_at: Timestamp::UNIX_EPOCH,
            whole_at: Instant::now(),
            source: Source { upstream_calls: 1, duration_ms: 1 },
            perspective: Perspective::Network,
            terms: Terms { zone: Some(Zone::utc()), day_of_conversion: DayOfConversion::Conversion },
            pulled_at_micros: 0,
            version: 1,
            orders: Orders::default(),
            memory: Memory::default(),
        }
    }
}
