//! How hard all replicas together may work one origin, and one account there.
//!
//! A call that runs has a lease in the set of its origin and in that of its account. Leases are renewed with every beat
//! of the session, so those of a replica that died are gone after [`LEASE`]. How many there may be is what any replica has
//! found out last. The pace is kept as the time at which the
//! next call would be on schedule (GCRA); a call gets the time it has to wait for its own moment, so nobody asks
//! twice for that. An account whose tracker asked to be left alone has a name that lasts as long as that. Times are those
//! of Redis alone.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, ScriptInvocation, ToRedisArgs};

use super::Shared;
use super::inner::{Inner, LeaseKey};
use super::link::RedisConnections;
use crate::metrics::RedisOperation;
use crate::outbound::{AccountId, Allowance, Ask, BackOffId, Bound, Change, Decision, Places, SharedBudget};

/// How long a lease lasts that is not renewed.
const LEASE: Duration = Duration::from_secs(10);
/// How long it is remembered how many calls at once a tracker takes that nobody calls.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Leases that are renewed with one command.
const BATCH: usize = 500;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
static RESIZE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("resize.lua")));
static BACK_OFF: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("back_off.lua")));
static END_BACK_OFF: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("end_back_off.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));

#[async_trait]
impl SharedBudget for Shared {
    async fn ask(&self, ask: &Ask<'_>) -> (Decision, Places) {
        let alone = (Decision::Granted { lease: None, wait: Duration::ZERO, breaks: None }, Places::default());
        let Some(inner) = &self.inner else { return alone };
        let Some(connections) = inner.link.open_connections() else { return alone };
        inner.ask(&connections, ask).await.unwrap_or(alone)
    }

    async fn resize(&self, origin: &str, account: &AccountId, changes: [Option<Change>; 2]) {
        let Some(inner) = &self.inner else { return };
        for (change, name) in changes.into_iter().zip([origin.as_bytes(), account.as_slice()]) {
            if let Some(Change { from, to }) = change {
                let mut resize = RESIZE.prepare_invoke();
                resize.key(inner.name("concurrency", &[name])).arg(from).arg(to).arg(millis(REMEMBERED));
                inner.send(RedisOperation::Resize, &resize).await;
            }
        }
    }

    async fn back_off(&self, account: &AccountId, time: Duration) {
        let Some(inner) = &self.inner else { return };
        let mut back_off = BACK_OFF.prepare_invoke();
        // What is no time at all for Redis would be an error to it.
        back_off.key(inner.back_off_of(account)).arg(millis(time.max(Duration::from_millis(1))));
        inner.send(RedisOperation::BackOff, &back_off).await;
    }

    async fn end_back_off(&self, account: &AccountId, back_off: BackOffId) {
        let Some(inner) = &self.inner else { return };
        let mut end_back_off = END_BACK_OFF.prepare_invoke();
        end_back_off.key(inner.back_off_of(account)).arg(back_off.0);
        inner.send(RedisOperation::EndBackOff, &end_back_off).await;
    }
}

impl Inner {
    async fn ask(self: &Arc<Self>, connections: &RedisConnections, ask: &Ask<'_>) -> Option<(Decision, Places)> {
        let (origin, account) = (&[ask.origin.as_bytes()], &[ask.account.as_slice()]);
        let places = [self.name("places", origin), self.name("places", account)];
        let name = format!("{:032x}", fastrand::u128(..));
        let mut take = TAKE.prepare_invoke();
        take.key(&places)
            .key(self.name("pace", origin))
            .key(self.name("pace", account))
            .key(self.back_off_of(ask.account))
            .key(self.name("concurrency", origin))
            .key(self.name("concurrency", account));
        take.arg(&name).arg(millis(LEASE)).arg(micros(ask.timeout));
        for (allowance, places) in [(ask.limits.origin, ask.places.origin), (ask.limits.account, ask.places.account)] {
            let (interval, burst) = pace_of(allowance, ask.behind);
            take.arg(places).arg(interval).arg(burst);
        }
        take.arg(u8::from(ask.heeds_back_off)).arg(u8::from(ask.behind)).arg(millis(REMEMBERED));
        // Held before it is granted: a call that is given up while Redis is asked gives back what it may have got.
        let lease = Lease::new(self, places.map(|set| LeaseKey { set, name: name.clone() }));
        let mut quick = connections.quick.clone();
        let (outcome, wait, back_off, at_origin, at_account): (u8, u64, u64, usize, usize) =
            self.link.run(connections, RedisOperation::Take, take.invoke_async(&mut quick)).await?;
        let wait = Duration::from_micros(wait);
        let known = |places: usize| (places > 0).then_some(places);
        let places = Places { origin: known(at_origin), account: known(at_account) };
        let turn = match outcome {
            0 => Decision::Granted {
                lease: Some(Box::new(lease)),
                wait,
                breaks: (back_off > 0).then_some(BackOffId(back_off)),
            },
            refused => {
                lease.refused();
                match refused {
                    1 => Decision::Full(Bound::Origin),
                    2 => Decision::Full(Bound::Account),
                    3 => Decision::TooLate(wait),
                    _ => Decision::BackingOff(wait),
                }
            }
        };
        Some((turn, places))
    }

    fn back_off_of(&self, account: &AccountId) -> String {
        self.name("quiet", &[account.as_slice()])
    }

    async fn send(&self, operation: RedisOperation, script: &ScriptInvocation<'_>) {
        if let Some(connections) = self.link.open_connections() {
            let mut quick = connections.quick.clone();
            let _: Option<()> = self.link.run(&connections, operation, script.invoke_async(&mut quick)).await;
        }
    }

    /// Makes the leases of all running calls last.
    pub(super) async fn renew(&self, connections: &RedisConnections) -> Option<()> {
        let held: Vec<LeaseKey> = self.held.lock().iter().cloned().collect();
        for some in held.chunks(BATCH) {
            let mut renew = RENEW.prepare_invoke();
            renew.arg(millis(LEASE));
            for LeaseKey { set, name } in some {
                renew.key(set).arg(name);
            }
            let mut quick = connections.quick.clone();
            let () = self.link.run(connections, RedisOperation::Renew, renew.invoke_async(&mut quick)).await?;
        }
        Some(())
    }
}

/// The places of one running call; given back when dropped.
struct Lease {
    inner: Arc<Inner>,
    held: [LeaseKey; 2],
    /// Whether Redis may know of it.
    taken: bool,
}

impl Lease {
    fn new(inner: &Arc<Inner>, held: [LeaseKey; 2]) -> Self {
        inner.held.lock().extend(held.iter().cloned());
        Self { inner: Arc::clone(inner), held, taken: true }
    }

    /// There is nothing to give back.
    fn refused(mut self) {
        self.taken = false;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        {
            let mut held = self.inner.held.lock();
            for lease in &self.held {
                held.remove(lease);
            }
        }
        if !self.taken {
            return;
        }
        // Without a session, or a runtime to talk in, the leases end by themselves.
        let (Some(connections), Ok(runtime)) = (self.inner.link.connections(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (inner, held) = (Arc::clone(&self.inner), self.held.clone());
        runtime.spawn(async move {
            let mut back = redis::pipe();
            for LeaseKey { set, name } in &held {
                back.cmd("ZREM").arg(set).arg(name).ignore();
            }
            let mut quick = connections.quick.clone();
            let _: Option<()> =
                inner.link.run(&connections, RedisOperation::GiveBack, back.query_async(&mut quick)).await;
        });
    }
}

/// Microseconds between calls, and how many may come at once; zero where there is no pace to keep.
fn pace_of(allowance: Allowance, behind: bool) -> (u32, u32) {
    let pace = allowance.pace.map(|pace| if behind { pace.behind() } else { pace });
    pace.map_or((0, 0), |pace| (1_000_000 / pace.per_second.get(), pace.burst.get()))
}

fn millis(time: Duration) -> impl ToRedisArgs {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> impl ToRedisArgs {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
