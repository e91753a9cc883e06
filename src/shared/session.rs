//! Sessions with Redis, one after the other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSubStream;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::change::Change;
use super::inner::Inner;
use super::link::RedisConnections;
use crate::metrics::RedisOperation;

/// The pause before the next try is between this and twice this.
const PAUSE: Duration = Duration::from_millis(400);
/// How often Redis is asked whether it is still there, and leases are renewed.
const BEAT: Duration = Duration::from_secs(1);
/// Every so many beats Sentinels are asked whether it is still the primary.
const SENTINEL_BEATS: u32 = 3;

/// A time in which Redis is there. It ends with the first thing that goes wrong, and when it is dropped.
pub struct RedisSession {
    inner: Arc<Inner>,
    connections: RedisConnections,
    changes: PubSubStream,
    beat: Interval,
    beats: u32,
}

impl RedisSession {
    pub(super) async fn join(inner: &Arc<Inner>) -> Self {
        loop {
            match inner.link.connect().await {
                Ok((connections, changes)) => {
                    inner.link.begin(connections.clone());
                    let mut beat = interval(BEAT);
                    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    return Self { inner: Arc::clone(inner), connections, changes, beat, beats: 0 };
                }
                Err(refusal) => inner.link.record_failure(&refusal.to_string()),
            }
            tokio::time::sleep(PAUSE + PAUSE.mul_f64(fastrand::f64())).await;
        }
    }

    /// Lets tables be shared: what changed while there was no session has been announced.
    pub fn open(&self) {
        self.inner.link.open(self.connections.session);
    }

    /// The next change that another replica announces; `None` when the session is over. Has to be waited for all the
    /// time: this is what keeps leases alive.
    pub async fn next_change(&mut self) -> Option<Change> {
        loop {
            tokio::select! {
                () = self.connections.ended.notified() => return None,
                message = self.changes.next() => match message {
                    None => {
                        self.inner.link.end(self.connections.session, "the connection ended");
                        return None;
                    }
                    Some(message) => {
                        if let Some(change) = self.inner.read_change(message.get_payload_bytes()) {
                            return Some(change);
                        }
                    }
                },
                _ = self.beat.tick() => self.beat().await?,
            }
        }
    }

    async fn beat(&mut self) -> Option<()> {
        let mut quick = self.connections.quick.clone();
        let ping = redis::cmd("PING");
        let () = self.inner.link.run(&self.connections, RedisOperation::Ping, ping.query_async(&mut quick)).await?;
        self.inner.renew(&self.connections).await?;
        self.beats = self.beats.wrapping_add(1);
        if self.beats.is_multiple_of(SENTINEL_BEATS) && self.inner.link.has_moved(&self.connections).await {
            self.inner.link.end(self.connections.session, "Sentinel names another primary");
            return None;
        }
        Some(())
    }
}

impl Drop for RedisSession {
    fn drop(&mut self) {
        self.inner.link.close(self.connections.session);
    }
}
