//! The connections of callers: on how many there may be at once, and how long one may ask nothing.
//!
//! The HTTP server bounds the first head of a connection, and the silence between two requests. It bounds neither a
//! later head of which a byte has come, nor what is left of a body that nobody read: whoever sends that much and falls
//! silent would keep the connection for good. So what counts here is not what comes in, but whether a request is being
//! answered.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;

use super::state::MAX_IN_FLIGHT;

/// A caller who takes nothing of its answer for this long is gone.
#[cfg(target_os = "linux")]
const READER_TIMEOUT: Duration = Duration::from_secs(30);

/// How often connections are looked at.
const ROUND: Duration = Duration::from_secs(1);

/// The most connections of callers at the same time.
const MAX_LINES: usize = 2 * MAX_IN_FLIGHT;

/// How many connections there may be at once: each takes two of the descriptors that the process may have, and half of
/// them are for other things.
pub(super) fn most_lines() -> usize {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, getrlimit};
        let descriptors = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
        MAX_LINES.min(descriptors.unwrap_or(usize::MAX) / 4)
    }
    #[cfg(not(target_os = "linux"))]
    MAX_LINES
}

/// The connections of one server. Clones share them.
#[derive(Clone)]
pub struct Lines {
    open: Arc<Mutex<Vec<Weak<Line>>>>,
    patience: Duration,
}

impl Lines {
    /// Closes those on which nobody has asked anything for so long, as long as there is a server to add some. The
    /// runtime that this is called in looks after them.
    #[must_use]
    pub fn watched(patience: Duration) -> Self {
        let lines = Self { open: Arc::default(), patience };
        let open = Arc::downgrade(&lines.open);
        actix_web::rt::spawn(async move {
            while let Some(open) = open.upgrade() {
                Self { open, patience }.sweep(Instant::now());
                tokio::time::sleep(ROUND).await;
            }
        });
        lines
    }

    /// Takes a connection in that has just been made. It is known to its requests by `data`, and forgotten with that.
    /// Who reads nothing of its answers is cut off too.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix lets a socket be held twice"))]
    pub fn add(&self, socket: &dyn Any, data: &mut Extensions) {
        cut_off_when_stalled(socket);
        #[cfg(unix)]
        if let Some(socket) = socket.downcast_ref::<TcpStream>() {
            use std::os::fd::AsFd;
            match socket.as_fd().try_clone_to_owned() {
                Ok(socket) => {
                    let usage = Mutex::new(Usage { requests: 0, since: Instant::now() });
                    let line = Arc::new(Line { socket: socket.into(), usage });
                    self.open().push(Arc::downgrade(&line));
                    data.insert(line);
                }
                Err(error) => tracing::warn!(%error, "a connection is not watched"),
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Weak<Line>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes what has asked nothing for too long, and forgets it, as it does what is gone.
    fn sweep(&self, now: Instant) {
        self.open().retain(|line| match line.upgrade() {
            Some(line) if line.is_unused(now, self.patience) => {
                line.close();
                false
            }
            Some(_) => true,
            None => false,
        });
    }
}

/// One connection.
pub(super) struct Line {
    /// The same socket as the server's, which is closed when both are gone.
    socket: std::net::TcpStream,
    usage: Mutex<Usage>,
}

struct Usage {
    /// Requests that are being answered.
    requests: usize,
    /// When the last of them was answered.
    since: Instant,
}

impl Line {
    /// Notes that a request is being answered, for as long as what this returns is kept.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.usage().requests += 1;
        Answering(Arc::clone(self))
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_unused(&self, now: Instant, patience: Duration) -> bool {
        let usage = self.usage();
        usage.requests == 0 && now.saturating_duration_since(usage.since) > patience
    }

    /// Has the server see that nothing more comes: it then sends what it has left to send, and closes.
    fn close(&self) {
        // One that is closed already needs nothing more.
        let _ = self.socket.shutdown(std::net::Shutdown::Read);
    }

    /// Has the caller see an error in place of an orderly end, once the server closes.
    pub(super) fn reset_when_closed(&self) {
        #[cfg(unix)]
        // One that is closed already shows nothing to anybody.
        let _ = rustix::net::sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
    }
}

/// A request that is being answered.
pub(super) struct Answering(Arc<Line>);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut usage = self.0.usage();
        usage.requests = usage.requests.saturating_sub(1);
        usage.since = Instant::now();
    }
}

/// Has the system close a connection whose other side reads nothing, or next to nothing, of what it is sent: the server
/// itself would wait forever. Only Linux can.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "only Linux can"))]
fn cut_off_when_stalled(socket: &dyn Any) {
    #[cfg(target_os = "linux")]
    if let Some(socket) = socket.downcast_ref::<actix_web::rt::net::TcpStream>() {
        let timeout = u32::try_from(READER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(socket, timeout) {
            tracing::warn!(%error, "slow readers of this connection are not cut off");
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    /// A connection that is watched, its server's end, and its caller's.
    #[expect(clippy::disallowed_methods, reason = "a caller of this service, not a call of it")]
    fn connected(lines: &Lines) -> (Extensions, TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let caller = std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (served, _) = listener.accept().expect("a caller");
        served.set_nonblocking(true).expect("a socket");
        let served = TcpStream::from_std(served).expect("a socket");
        let mut data = Extensions::new();
        lines.add(&served, &mut data);
        (data, served, caller)
    }

    fn lines() -> Lines {
        Lines { open: Arc::default(), patience: Duration::from_secs(15) }
    }

    async fn is_closed(served: &TcpStream) -> bool {
        let end = tokio::time::timeout(Duration::from_millis(50), served.readable()).await;
        end.is_ok() && served.try_read(&mut [0; 8]).is_ok_and(|read| read == 0)
    }

    #[actix_web::test]
    async fn a_connection_that_asks_nothing_for_too_long_is_closed() {
        let lines = lines();
        let (_data, served, _caller) = connected(&lines);
        let start = Instant::now();
        lines.sweep(start + Duration::from_secs(14));
        assert!(!is_closed(&served).await);
        lines.sweep(start + Duration::from_secs(16));
        assert!(is_closed(&served).await);
        assert!(lines.open().is_empty());
    }

    #[actix_web::test]
    async fn a_connection_stays_while_a_request_is_answered_and_for_a_while_after_it() {
        let lines = lines();
        let (data, served, _caller) = connected(&lines);
        let line = data.get::<Arc<Line>>().expect("a line");
        let (first, second) = (line.begin(), line.begin());
        drop(first);
        lines.sweep(Instant::now() + Duration::from_secs(3_600));
        assert!(!is_closed(&served).await, "one is still answered");
        drop(second);
        let answered = Instant::now();
        lines.sweep(answered + Duration::from_secs(14));
        assert!(!is_closed(&served).await);
        lines.sweep(answered + Duration::from_secs(16));
        assert!(is_closed(&served).await);
    }

    #[actix_web::test]
    async fn a_connection_that_the_server_drops_is_closed_and_forgotten() {
        let lines = lines();
        let (data, served, mut caller) = connected(&lines);
        drop((data, served));
        assert_eq!(caller.read(&mut [0; 8]).expect("its end"), 0, "nothing else keeps it open");
        lines.sweep(Instant::now());
        assert!(lines.open().is_empty());
    }

    #[test]
    fn descriptors_are_left_for_other_things() {
        assert!((1..=MAX_LINES).contains(&most_lines()));
    }
}
