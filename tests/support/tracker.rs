//! The stage the simulators play on: a loopback HTTP server with a recording of what was asked and faults to inject.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

/// A request as the tracker saw it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Decoded pairs, in order, repetitions kept.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Request {
    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a query parameter.
    pub fn params(&self, name: &str) -> Vec<&str> {
        self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What a tracker answers.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    pub fn html(status: u16) -> Self {
        Self::text(status, "text/html", "<!doctype html><title>Sign in</title><form></form>")
    }

    pub fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A simulated tracker: a pure function of the request and its own state.
pub trait Tracker: Send + Sync + 'static {
    fn answer(&self, request: &Request) -> Reply;
}

impl Tracker for Box<dyn Tracker> {
    fn answer(&self, request: &Request) -> Reply {
        (**self).answer(request)
    }
}

/// Something that goes wrong instead of (or before) the tracker's answer, once.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This reply stands in for the tracker's.
    Instead(Reply),
    /// The tracker answers, but later.
    Stall(Duration),
    /// The connection breaks in the middle of the body.
    Cut,
    /// Nothing special: keeps a place in the queue of faults.
    None,
}

#[derive(Default)]
struct Script {
    requests: Mutex<Vec<Request>>,
    faults: Mutex<VecDeque<Fault>>,
    always: Mutex<Option<Fault>>,
    /// Which of the requests meet a fault, counted from now, and which fault.
    every: Mutex<Option<(usize, Fault)>>,
    since: AtomicUsize,
    running: AtomicUsize,
    most_at_once: AtomicUsize,
}

/// A running simulator; it stops when dropped.
pub struct Simulator {
    /// `http://127.0.0.1:<port>`
    pub url: String,
    script: Arc<Script>,
    handle: actix_web::dev::ServerHandle,
}

impl Simulator {
    /// Serves `tracker` on a free loopback port.
    pub fn start(tracker: impl Tracker) -> Self {
        Self::start_at(tracker, 0)
    }

    /// Serves `tracker` on a loopback port of choice, or on a free one where somebody has that already.
    pub fn start_at(tracker: impl Tracker, port: u16) -> Self {
        let script = Arc::new(Script::default());
        let tracker: Arc<dyn Tracker> = Arc::new(tracker);
        let (send, receive) = mpsc::channel();
        let shared = Arc::clone(&script);
        // Taking it is what shows whether it was free: others may start at the same moment.
        let listener = TcpListener::bind(("127.0.0.1", port)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
        let listener = listener.expect("a loopback port");
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let (tracker, script) = (Arc::clone(&tracker), Arc::clone(&shared));
                    App::new().app_data(web::PayloadConfig::new(1 << 20)).default_service(web::to(
                        move |request: HttpRequest, body: Bytes| {
                            play(Arc::clone(&tracker), Arc::clone(&script), request, body)
                        },
                    ))
                })
                .workers(1)
                // On a busy machine a call may take longer than the five seconds of the default, which ends in a 408.
                .client_request_timeout(Duration::from_secs(60))
                .shutdown_timeout(0)
                .disable_signals()
                .listen(listener)
                .expect("a server");
                let address = server.addrs()[0];
                let server = server.run();
                send.send((address, server.handle())).expect("the starter waits");
                server.await.expect("the simulator runs");
            });
        });
        let (address, handle) = receive.recv().expect("the simulator starts");
        Self { url: format!("http://{address}"), script, handle }
    }

    /// Everything asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.script.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most requests that were being answered at the same time.
    pub fn most_at_once(&self) -> usize {
        self.script.most_at_once.load(Ordering::SeqCst)
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        self.script.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The next requests meet these faults, one each, in order.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script.faults.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    /// One request in so many meets this fault from now on, the last of each lot.
    pub fn every(&self, nth: usize, fault: Fault) {
        self.script.since.store(0, Ordering::SeqCst);
        *self.script.every.lock().unwrap_or_else(PoisonError::into_inner) = Some((nth, fault));
    }

    /// Every request from now on meets this fault (after the injected ones are used up).
    pub fn always(&self, fault: Option<Fault>) {
        *self.script.always.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // The future only awaits the acknowledgement; the command itself is sent at once.
        drop(self.handle.stop(false));
    }
}

async fn play(tracker: Arc<dyn Tracker>, script: Arc<Script>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let running = script.running.fetch_add(1, Ordering::SeqCst) + 1;
    script.most_at_once.fetch_max(running, Ordering::SeqCst);
    let _done = Done(Arc::clone(&script));
    let seen = Request {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body,
    };
    script.requests.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
    let injected = script.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let number = script.since.fetch_add(1, Ordering::SeqCst) + 1;
    let every = script.every.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let nth = every.filter(|(nth, _)| number.is_multiple_of(*nth)).map(|(_, fault)| fault);
    let fault = injected.or(nth).or_else(|| script.always.lock().unwrap_or_else(PoisonError::into_inner).clone());
    match fault {
        Some(Fault::Instead(reply)) => respond(reply),
        Some(Fault::Stall(time)) => {
            actix_web::rt::time::sleep(time).await;
            respond(tracker.answer(&seen))
        }
        Some(Fault::Cut) => {
            let body = tracker.answer(&seen).body;
            let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
            let parts = vec![Ok(half), Err(std::io::Error::other("cut"))];
            HttpResponse::Ok().streaming(futures_util::stream::iter(parts))
        }
        Some(Fault::None) | None => respond(tracker.answer(&seen)),
    }
}

/// A request that is being answered, until this is dropped.
struct Done(Arc<Script>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn respond(reply: Reply) -> HttpResponse {
    let status = StatusCode::from_u16(reply.status).expect("a status");
    let mut response = HttpResponse::build(status);
    for (name, value) in reply.headers {
        response.insert_header((name, value));
    }
    response.body(reply.body)
}

/// What a link carries in its sub-ids: signs that have to be escaped, blanks that count, a word of ours, or nothing.
pub fn carried(number: usize, country: &str, offer: u32) -> String {
    match (number, country) {
        (_, "") => String::new(),
        (1, country) => format!("{country}, \\{offer}"),
        (2, country) => format!(" {country} "),
        (3, _) => offer.to_string(),
        (4, _) => "unknown".to_owned(),
        (9 | 10, country) => country.to_lowercase(),
        _ => String::new(),
    }
}
