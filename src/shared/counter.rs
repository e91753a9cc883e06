//! Counters that all replicas share: how often something may happen within a time.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::Shared;
use super::inner::Inner;
use crate::metrics::RedisOperation;

static COUNT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("count.lua")));
static UNCOUNT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("uncount.lua")));

/// So often, within a time that begins with the first.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// What is counted; counters of one kind never mix with those of another.
    pub label: &'static str,
    /// The most within the time.
    pub most: u32,
    /// The time.
    pub time: Duration,
}

/// What came of counting.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is within the limit. What counts this one is needed to take it back.
    Within(Token),
    /// The limit is reached; the time is over after this.
    Over(Duration),
}

/// One that was counted.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    counter: String,
    window: String,
}

impl Shared {
    /// Counts one for `whom`, unless the limit is reached. `None` where nothing is shared right now: then each replica
    /// counts for itself.
    pub async fn count(&self, window: Window, whom: &str) -> Option<Taken> {
        let inner = self.inner.as_deref()?;
        let connections = inner.link.open_connections()?;
        let counter = inner.counter(window, whom);
        let mut count = COUNT.prepare_invoke();
        count.key(&counter).arg(window.most).arg(u64::try_from(window.time.as_millis()).unwrap_or(u64::MAX));
        let mut quick = connections.quick.clone();
        let (within, left, window): (bool, u64, String) =
            inner.link.run(&connections, RedisOperation::Count, count.invoke_async(&mut quick)).await?;
        Some(if within { Taken::Within(Token { counter, window }) } else { Taken::Over(Duration::from_millis(left)) })
    }

    /// Takes one back that was counted, if its time is not over yet.
    pub async fn take_back(&self, token: Token) {
        let Some(inner) = self.inner.as_deref() else { return };
        let Some(connections) = inner.link.open_connections() else { return };
        let mut uncount = UNCOUNT.prepare_invoke();
        uncount.key(token.counter).arg(token.window);
        let mut quick = connections.quick.clone();
        let _: Option<()> =
            inner.link.run(&connections, RedisOperation::TakeBack, uncount.invoke_async(&mut quick)).await;
    }
}

impl Inner {
    fn counter(&self, window: Window, whom: &str) -> String {
        self.name("count", &[window.label.as_bytes(), whom.as_bytes()])
    }
}
