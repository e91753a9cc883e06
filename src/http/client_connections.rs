//! The connections of callers: how many there may be, how much each may send before it is answered, how long one may ask
//! nothing, and how slowly an answer may be read.
//!
//! The HTTP server itself bounds the first head of a connection in time, and each in bytes, but with 128 KiB for every
//! connection; it bounds neither a later head of which a byte has come, nor what is left of a body that nobody read, nor
//! how slowly an answer is taken. So what counts here is whether a request is being answered, and what has been sent
//! beside it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::callers::{Proxies, network};
use crate::shares::{Owner, Pool, Share};

/// How often connections are looked at.
const ROUND: Duration = Duration::from_secs(1);

/// What a connection may send before a request of it is answered: an address of 16 KiB, a token of 8 KiB and what else
/// stands in a head.
pub(super) const MAX_UNREAD_BYTES: usize = 32 * 1024;

/// What is read and thrown away of a body that was refused, so that its sender gets to see the answer.
pub(super) const MAX_REFUSED_BYTES: usize = 1024 * 1024;

/// What a body may have of the memory for bodies, beyond what each connection has.
const BODY_SHARE: usize = 96 * 1024;

/// An answer of which less than so much is read in that time has no reader.
const LEAST_READ_BYTES: usize = 64 * 1024;
pub(super) const READER_TIMEOUT: Duration = Duration::from_secs(30);

/// How many connections there may be at once: each takes one of the descriptors that the process may have, and calls to
/// trackers take some too.
fn most_by_descriptors() -> usize {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, getrlimit};
        let descriptors = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
        descriptors.unwrap_or(usize::MAX) / 4
    }
    #[cfg(not(target_os = "linux"))]
    usize::MAX
}

/// The connections of one server. Clones share them.
#[derive(Clone)]
pub(crate) struct ClientConnections {
    open: Arc<Mutex<Open>>,
    most: usize,
    bodies: Pool,
    proxies: Proxies,
}

struct Open {
    by_address: HashMap<IpAddr, HashMap<u64, Arc<ClientConnection>>>,
    count: usize,
    next: u64,
}

impl ClientConnections {
    /// Closes those on which nobody has asked anything for so long, as long as there is a server to add some. There are
    /// at most so many of them, and none without a descriptor of its own. The runtime that this is called in looks after
    /// them.
    pub(crate) fn watched(timeout: Duration, most: usize, bodies: Pool, proxies: Proxies) -> Self {
        let connections = Self::new(most.min(most_by_descriptors()), bodies, proxies);
        let open = Arc::downgrade(&connections.open);
        actix_web::rt::spawn(async move {
            while let Some(open) = open.upgrade() {
                sweep(&open, Instant::now(), timeout);
                drop(open);
                tokio::time::sleep(ROUND).await;
            }
        });
        connections
    }

    fn new(most: usize, bodies: Pool, proxies: Proxies) -> Self {
        let open = Open { by_address: HashMap::new(), count: 0, next: 0 };
        Self { open: Arc::new(Mutex::new(open)), most, bodies, proxies }
    }

    /// How many there may be at once.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Takes a connection in that has just been made. Where there are too many, the one makes room that can best be
    /// done without: of the same address once that has its share, else of the address that has most. `None` where all of
    /// those are in use.
    ///
    /// An address has half of all connections, and a quarter while more than half are taken. A proxy that speaks for
    /// others has no bound of its own.
    pub(super) fn add(&self, peer: Option<IpAddr>) -> Option<Registered> {
        let address = network(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        let is_bound = !peer.is_some_and(|peer| self.proxies.trusts(peer));
        let mut open = self.open.lock();
        let share = if open.count * 2 < self.most { self.most / 2 } else { self.most / 4 };
        let own = open.by_address.get(&address).map_or(0, HashMap::len);
        if is_bound && own >= share.max(1) {
            open.make_room(address)?;
        } else if open.count >= self.most {
            let largest =
                open.by_address.iter().max_by_key(|(_, connections)| connections.len()).map(|(address, _)| *address)?;
            open.make_room(largest)?;
        }
        open.next += 1;
        open.count += 1;
        let number = open.next;
        let connection =
            Arc::new(ClientConnection { address, bodies: self.bodies.clone(), usage: Mutex::new(Usage::new()) });
        open.by_address.entry(address).or_default().insert(number, Arc::clone(&connection));
        drop(open);
        Some(Registered { connection, number, open: Arc::clone(&self.open) })
    }
}

/// Closes what has asked nothing for too long and what is not read, and lets those go on who waited for memory.
fn sweep(open: &Mutex<Open>, now: Instant, timeout: Duration) {
    let connections: Vec<Arc<ClientConnection>> =
        open.lock().by_address.values().flat_map(HashMap::values).cloned().collect();
    for connection in connections {
        connection.look(now, timeout);
    }
}

impl Open {
    /// Closes the connection of an address that can best be done without.
    fn make_room(&mut self, address: IpAddr) -> Option<()> {
        let connections = self.by_address.get(&address)?;
        let now = Instant::now();
        let idle =
            connections.iter().filter_map(|(number, connection)| Some((connection.idle(now)?, *number, connection)));
        let (_, number, connection) = idle.min_by_key(|(idle, number, _)| (*idle, *number))?;
        connection.close();
        self.remove(address, number);
        Some(())
    }

    fn remove(&mut self, address: IpAddr, number: u64) {
        if let Some(connections) = self.by_address.get_mut(&address)
            && connections.remove(&number).is_some()
        {
            self.count = self.count.saturating_sub(1);
            if connections.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }
}

/// A connection that counts until this is dropped.
pub(super) struct Registered {
    pub(super) connection: Arc<ClientConnection>,
    number: u64,
    open: Arc<Mutex<Open>>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.open.lock().remove(self.connection.address, self.number);
    }
}

/// One connection.
pub(super) struct ClientConnection {
    address: IpAddr,
    bodies: Pool,
    usage: Mutex<Usage>,
}

struct Usage {
    /// Requests that are being answered.
    requests: usize,
    /// Whether there has been one.
    has_asked: bool,
    /// When the last of them was answered.
    since: Instant,
    /// What has come and, as far as is known, belongs to no request yet; of a request, its body.
    unread: usize,
    /// How much of it there was when the last answer ended.
    carried: usize,
    /// The memory of a body that is being read.
    body: Option<Share>,
    /// What is announced of the body that is being read.
    announced: Body,
    /// What still comes is thrown away: it belongs to a request that was refused.
    refuses: bool,
    /// What has been read of answers since `stalled` was zero, and for how long the reader has been waited for.
    read: usize,
    stalled: Duration,
    stalled_since: Option<Instant>,
    is_closed: bool,
    /// The caller is to see an error in place of an orderly end.
    resets: bool,
    waker: Option<Waker>,
    /// Whether it waits to read on.
    waits: bool,
}

/// A connection that can be done without, the first one best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Idle {
    /// It has had time to ask, and has not.
    Silent(Instant),
    /// Nothing is read of its answer.
    Unread(Instant),
    /// It may ask again.
    Resting(Instant),
    /// It is about to ask.
    New(Instant),
}

/// How much of a body is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// There is none.
    Nothing,
    /// So many bytes.
    Sized(usize),
    /// It comes in chunks.
    Chunked,
}

/// What a connection may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Read on.
    Read,
    /// Wait until it is woken.
    Wait,
    /// A head is too long.
    Refuse,
    /// It is over.
    End,
}

impl Usage {
    fn new() -> Self {
        Self {
            requests: 0,
            has_asked: false,
            since: Instant::now(),
            unread: 0,
            carried: 0,
            body: None,
            announced: Body::Nothing,
            refuses: false,
            read: 0,
            stalled: Duration::ZERO,
            stalled_since: None,
            is_closed: false,
            resets: false,
            waker: None,
            waits: false,
        }
    }

    fn close(&mut self, resets: bool) -> Option<Waker> {
        self.is_closed = true;
        self.resets |= resets;
        self.waker.take()
    }

    /// Who is to be woken because it may read on now.
    fn read_on(&mut self) -> Option<Waker> {
        std::mem::take(&mut self.waits).then(|| self.waker.take()).flatten()
    }
}

impl ClientConnection {
    /// Notes that a request is being answered, for as long as what this returns is kept. Its head had so many bytes.
    pub(super) fn begin(self: &Arc<Self>, head: usize, body: Body) -> Answering {
        let mut usage = self.usage();
        usage.requests += 1;
        usage.has_asked = true;
        usage.unread = usage.unread.saturating_sub(head);
        usage.carried = 0;
        usage.announced = body;
        usage.refuses = false;
        drop(usage);
        Answering(Arc::clone(self))
    }

    /// Notes that the body is refused that is on its way: what is left of it is thrown away, so that its sender gets to see
    /// the answer. Says whether nobody knows where it ends, so that the connection has to end with it.
    pub(super) fn refuse_body(&self) -> bool {
        let mut usage = self.usage();
        let is_chunked = usage.announced == Body::Chunked;
        usage.refuses |= is_chunked || matches!(usage.announced, Body::Sized(bytes) if usage.unread < bytes);
        is_chunked
    }

    /// Whether the connection may read on. If not, it is woken when that changes.
    pub(super) fn next(&self, context: &Context<'_>) -> Next {
        let mut usage = self.usage();
        if !usage.waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            usage.waker = Some(context.waker().clone());
        }
        let next = self.decide(&mut usage);
        usage.waits = next == Next::Wait;
        next
    }

    fn decide(&self, usage: &mut Usage) -> Next {
        let most = if usage.refuses { MAX_REFUSED_BYTES } else { MAX_UNREAD_BYTES };
        if usage.is_closed {
            return Next::End;
        }
        if usage.unread < most {
            return Next::Read;
        }
        match (usage.requests, usage.refuses) {
            (_, true) => return Next::End,
            // What had come before the last answer ended may hold a whole request, which is about to begin.
            (0, false) if usage.unread <= usage.carried => return Next::Wait,
            (0, false) => return Next::Refuse,
            (_, false) => {}
        }
        if usage.body.is_none() && usage.announced != Body::Nothing {
            usage.body = self.bodies.take_now(Owner::of(self.address), BODY_SHARE).ok();
        }
        let has_room = usage.body.is_some() && usage.unread < most + BODY_SHARE;
        if has_room { Next::Read } else { Next::Wait }
    }

    /// Notes what has come.
    pub(super) fn note_received(&self, bytes: usize) {
        self.usage().unread += bytes;
    }

    /// Notes that so much of an answer could be passed on.
    pub(super) fn note_sent(&self, bytes: usize) {
        let mut usage = self.usage();
        usage.stalled_since = None;
        usage.read += bytes;
    }

    /// Notes that the caller has to read before more of an answer can be passed on.
    pub(super) fn note_stall(&self) {
        self.usage().stalled_since.get_or_insert_with(Instant::now);
    }

    /// Has the caller see an error in place of an orderly end, once the server closes.
    pub(super) fn reset_when_closed(&self) {
        self.usage().resets = true;
    }

    /// Whether it ends with an error, and whether that is now.
    pub(super) fn resets(&self) -> (bool, bool) {
        let usage = self.usage();
        (usage.resets, usage.resets && usage.is_closed)
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock()
    }

    fn idle(&self, now: Instant) -> Option<Idle> {
        let usage = self.usage();
        match (usage.requests, usage.stalled_since) {
            (0, _) if !usage.has_asked && now.saturating_duration_since(usage.since) < ROUND => {
                Some(Idle::New(usage.since))
            }
            (0, _) if !usage.has_asked => Some(Idle::Silent(usage.since)),
            (0, _) => Some(Idle::Resting(usage.since)),
            (_, Some(since)) => Some(Idle::Unread(since)),
            _ => None,
        }
    }

    /// Has the server see that nothing more comes: it then sends what it has left to send, if that is read, and closes.
    fn close(&self) {
        let mut usage = self.usage();
        let is_stalled = usage.stalled_since.is_some();
        let waker = usage.close(is_stalled);
        drop(usage);
        wake(waker);
    }

    /// Looks after the connection, every [`ROUND`].
    fn look(&self, now: Instant, timeout: Duration) {
        let mut usage = self.usage();
        let is_unused = usage.requests == 0 && now.saturating_duration_since(usage.since) > timeout;
        if usage.read >= LEAST_READ_BYTES || usage.requests == 0 {
            (usage.read, usage.stalled) = (0, Duration::ZERO);
        } else if usage.stalled_since.is_some() {
            usage.stalled += ROUND;
        }
        let is_unread = usage.stalled > READER_TIMEOUT;
        let waker = if is_unused || is_unread {
            usage.close(is_unread)
        } else if usage.requests > 0 && usage.unread >= MAX_UNREAD_BYTES {
            // There may be memory for its body now.
            usage.read_on()
        } else {
            None
        };
        drop(usage);
        wake(waker);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A request that is being answered.
pub(super) struct Answering(Arc<ClientConnection>);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut usage = self.0.usage();
        usage.requests = usage.requests.saturating_sub(1);
        usage.since = Instant::now();
        usage.unread = match usage.announced {
            Body::Nothing => usage.unread,
            Body::Sized(bytes) => usage.unread.saturating_sub(bytes),
            Body::Chunked => 0,
        };
        // Lines end in one byte or two, and with blanks or without.
        if usage.unread < 1_024 {
            usage.unread = 0;
        }
        usage.carried = usage.unread;
        let body = usage.body.take();
        let waker = usage.read_on();
        drop(usage);
        drop(body);
        wake(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(15);

    fn connections(most: usize) -> ClientConnections {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        ClientConnections::new(most, Pool::new(2 * BODY_SHARE, BODY_SHARE), proxies)
    }

    fn add(connections: &ClientConnections, address: &str) -> Option<Registered> {
        connections.add(Some(address.parse().expect("an address")))
    }

    fn next(connection: &ClientConnection) -> Next {
        connection.next(&Context::from_waker(Waker::noop()))
    }

    fn is_closed(connection: &ClientConnection) -> bool {
        connection.usage().is_closed
    }

    #[test]
    fn a_connection_that_asks_nothing_for_too_long_is_closed() {
        let connections = connections(4);
        let kept = add(&connections, "192.0.2.1").expect("a connection");
        let start = Instant::now();
        sweep(&connections.open, start + Duration::from_secs(14), TIMEOUT);
        assert_eq!(next(&kept.connection), Next::Read);
        let (first, second) = (kept.connection.begin(0, Body::Nothing), kept.connection.begin(0, Body::Nothing));
        drop(first);
        sweep(&connections.open, start + Duration::from_secs(3_600), TIMEOUT);
        assert_eq!(next(&kept.connection), Next::Read, "one is still answered");
        drop(second);
        sweep(&connections.open, Instant::now() + Duration::from_secs(14), TIMEOUT);
        assert_eq!(next(&kept.connection), Next::Read);
        sweep(&connections.open, Instant::now() + Duration::from_secs(16), TIMEOUT);
        assert_eq!(next(&kept.connection), Next::End);
    }

    #[test]
    fn an_address_that_has_its_share_makes_room_for_itself() {
        let connections = connections(8);
        let mut own: Vec<Registered> = (0..4).map(|_| add(&connections, "192.0.2.1").expect("a connection")).collect();
        let first_used = own[0].connection.begin(0, Body::Nothing);
        own.push(add(&connections, "192.0.2.1").expect("the oldest unused one makes room"));
        assert_eq!(
            own.iter().map(|one| is_closed(&one.connection)).collect::<Vec<_>>(),
            [false, true, false, false, false]
        );
        let used: Vec<Answering> = own.iter().map(|one| one.connection.begin(0, Body::Nothing)).collect();
        assert!(add(&connections, "192.0.2.1").is_none(), "all are in use");
        let others: Vec<Registered> =
            (2..6).map(|n| add(&connections, &format!("192.0.2.{n}")).expect("a connection")).collect();
        assert!(others.iter().all(|one| !is_closed(&one.connection)));
        drop((first_used, used, others, own));
        let open = connections.open.lock();
        assert_eq!((open.count, open.by_address.len()), (0, 0));
    }

    #[test]
    fn when_all_are_taken_the_address_with_most_makes_room_and_a_proxy_has_no_bound_of_its_own() {
        let connections = connections(8);
        let proxied: Vec<Registered> = (0..7).map(|_| add(&connections, "10.0.0.1").expect("a connection")).collect();
        let _one = add(&connections, "192.0.2.1").expect("a connection");
        let _other = add(&connections, "192.0.2.2").expect("a connection");
        assert_eq!(proxied.iter().filter(|one| is_closed(&one.connection)).count(), 1);
    }

    #[test]
    fn a_head_without_an_end_is_read_no_further() {
        let connections = connections(8);
        let registered = add(&connections, "192.0.2.1").expect("a connection");
        registered.connection.note_received(MAX_UNREAD_BYTES - 1);
        assert_eq!(next(&registered.connection), Next::Read);
        registered.connection.note_received(1);
        assert_eq!(next(&registered.connection), Next::Refuse);
    }

    #[test]
    fn what_comes_while_a_request_is_answered_waits_for_its_end() {
        let connections = connections(8);
        let connection = &add(&connections, "192.0.2.1").expect("a connection").connection;
        connection.note_received(MAX_UNREAD_BYTES);
        let answering = connection.begin(MAX_UNREAD_BYTES - 100, Body::Nothing);
        assert_eq!(next(connection), Next::Read);
        connection.note_received(MAX_UNREAD_BYTES);
        assert_eq!(next(connection), Next::Wait);
        drop(answering);
        assert_eq!(next(connection), Next::Wait, "the next request may have come already");
        drop(connection.begin(100, Body::Nothing));
        connection.note_received(MAX_UNREAD_BYTES);
        assert_eq!(next(connection), Next::Refuse);
    }

    #[test]
    fn bodies_share_their_memory_and_wait_for_it() {
        let connections = connections(8);
        let registered: Vec<Registered> =
            (1..=3).map(|n| add(&connections, &format!("192.0.2.{n}")).expect("a connection")).collect();
        let mut answering = Vec::new();
        for one in &registered {
            answering.push(one.connection.begin(0, Body::Sized(60_000)));
            one.connection.note_received(60_000);
        }
        let states: Vec<Next> = registered.iter().map(|one| next(&one.connection)).collect();
        assert_eq!(states, [Next::Read, Next::Read, Next::Wait]);
        drop(answering.remove(0));
        assert_eq!(next(&registered[2].connection), Next::Read);
        assert_eq!(registered[0].connection.usage().unread, 0, "it was the body");
    }

    #[test]
    fn what_is_left_of_a_refused_body_is_thrown_away() {
        let connections = connections(8);
        let connection = &add(&connections, "192.0.2.1").expect("a connection").connection;
        for (announced, ends) in [(Body::Sized(500_000), false), (Body::Chunked, true)] {
            let answering = connection.begin(0, announced);
            assert_eq!(connection.refuse_body(), ends);
            drop(answering);
            connection.note_received(MAX_UNREAD_BYTES * 2);
            assert_eq!(next(connection), Next::Read);
        }
        let answering = connection.begin(MAX_REFUSED_BYTES, Body::Nothing);
        assert!(!connection.refuse_body());
        drop(answering);
        connection.note_received(MAX_UNREAD_BYTES);
        assert_eq!(next(connection), Next::Refuse, "that was another request");
    }

    #[test]
    fn an_answer_that_is_hardly_read_ends_and_a_slow_one_does_not() {
        let connections = connections(8);
        let (idle, slow) =
            (add(&connections, "192.0.2.1").expect("one"), add(&connections, "192.0.2.1").expect("another"));
        let _answering = [idle.connection.begin(0, Body::Nothing), slow.connection.begin(0, Body::Nothing)];
        for round in 0..31 {
            assert_eq!((is_closed(&idle.connection), is_closed(&slow.connection)), (false, false), "{round}");
            idle.connection.note_sent(1);
            idle.connection.note_stall();
            slow.connection.note_sent(4_096);
            slow.connection.note_stall();
            sweep(&connections.open, Instant::now(), TIMEOUT);
        }
        assert_eq!((idle.connection.resets(), slow.connection.resets()), ((true, true), (false, false)));
    }

    #[test]
    fn descriptors_are_left_for_other_things() {
        assert!(most_by_descriptors() >= 1);
    }
}
