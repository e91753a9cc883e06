//! A static server that plays an Affise network: every page is made before it is asked for, as long as they are few.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Instant;

use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

/// The key it believes.
pub(crate) const KEY: &str = "a5c1d7e2f4b80913a5c1d7e2f4b80913";
/// The most rows of a page.
pub(crate) const PAGE_ROWS: usize = 500;
/// Pages beyond this number are made when they are asked for, so that they need not all be held.
const KEPT_PAGES: usize = 200;

const USER: &str = r#"{"status":1,"user":{"id":"65aa00112233445566778899","first_name":"A","last_name":"B","email":"someone@network.example","type":"common_manager","roles":[],"permissions":{}}}"#;
const CURRENCIES: &str = r#"{"status":1,"quotes":[{"code":"EUR","default":true,"active":true,"rate":1}]}"#;

/// What the network has, and who asked for it.
struct Network {
    rows: AtomicUsize,
    pages: Vec<OnceLock<Bytes>>,
    last_page_asked: Mutex<Option<Instant>>,
    paths: Mutex<Vec<String>>,
    /// An answer of the service, for a proxy that is to keep it.
    copy: Mutex<Bytes>,
}

/// A running tracker; it ends with the program.
pub(crate) struct Tracker {
    pub(crate) address: SocketAddr,
    network: Arc<Network>,
}

impl Tracker {
    pub(crate) fn start(rows: usize) -> Self {
        let network = Arc::new(Network {
            rows: AtomicUsize::new(rows),
            pages: std::iter::repeat_with(OnceLock::new).take(KEPT_PAGES).collect(),
            last_page_asked: Mutex::default(),
            paths: Mutex::default(),
            copy: Mutex::default(),
        });
        let (send, receive) = mpsc::channel();
        let shared = Arc::clone(&network);
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let network = Arc::clone(&shared);
                    App::new().default_service(web::to(move |request: HttpRequest| {
                        std::future::ready(network.answer(&request))
                    }))
                })
                .workers(1)
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .expect("a loopback port");
                send.send(server.addrs()[0]).expect("the starter waits");
                server.run().await.expect("the tracker runs");
            });
        });
        Self { address: receive.recv().expect("the tracker starts"), network }
    }

    /// Makes the pages that are kept, so that no measurement waits for them.
    pub(crate) fn prepare(&self) {
        for page in 1..=self.pages().min(KEPT_PAGES) {
            self.network.page(page);
        }
    }

    pub(crate) fn pages(&self) -> usize {
        self.network.rows.load(Ordering::Relaxed).div_ceil(PAGE_ROWS)
    }

    /// When the last page was asked for, since this was asked the last time.
    pub(crate) fn last_page_asked(&self) -> Option<Instant> {
        self.network.last_page_asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was asked for, since this was asked the last time.
    pub(crate) fn paths(&self) -> Vec<String> {
        std::mem::take(&mut *self.network.paths.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers `/copy` with these bytes.
    pub(crate) fn copy(&self, body: Vec<u8>) {
        *self.network.copy.lock().unwrap_or_else(PoisonError::into_inner) = body.into();
    }
}

impl Network {
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let is_copy = request.path() == "/copy";
        if !is_copy && request.headers().get("api-key").is_none_or(|key| key != KEY) {
            return HttpResponse::Unauthorized().body(r#"{"status":2,"message":"Token is necessary"}"#);
        }
        let body = match request.path() {
            "/copy" => self.copy.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            "/3.1/user/me" => Bytes::from_static(USER.as_bytes()),
            "/3.0/admin/currency_extended" => Bytes::from_static(CURRENCIES.as_bytes()),
            "/3.0/stats/custom" => self.statistics(request.query_string()),
            _ => return HttpResponse::NotFound().body(r#"{"status":2,"message":"Resource Not Found"}"#),
        };
        let target = request.uri().path_and_query().map(ToString::to_string);
        if !is_copy && self.rows.load(Ordering::Relaxed) <= PAGE_ROWS {
            self.paths.lock().unwrap_or_else(PoisonError::into_inner).extend(target);
        }
        let mut response = HttpResponse::Ok();
        if is_copy {
            response.insert_header(("cache-control", "max-age=3600"));
        }
        response.content_type("application/json").body(body)
    }

    fn statistics(&self, query: &str) -> Bytes {
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        if value("limit") == Some("1") {
            return statistics([row(1, 1)].into_iter(), 1, 1, 1).into();
        }
        let page = value("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        if page == self.rows.load(Ordering::Relaxed).div_ceil(PAGE_ROWS) {
            *self.last_page_asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        self.page(page)
    }

    fn page(&self, number: usize) -> Bytes {
        let total = self.rows.load(Ordering::Relaxed);
        let make = || {
            let first = (number - 1) * PAGE_ROWS;
            let rows = (first..total.min(first + PAGE_ROWS)).map(|place| row(number, place - first + 1));
            Bytes::from(statistics(rows, number, PAGE_ROWS, total))
        };
        match self.pages.get(number - 1) {
            Some(page) => page.get_or_init(make).clone(),
            None => make(),
        }
    }
}

fn statistics(rows: impl Iterator<Item = String>, page: usize, per_page: usize, total: usize) -> String {
    let rows: Vec<String> = rows.collect();
    let next = if page * per_page < total { format!(r#","next_page":{}"#, page + 1) } else { String::new() };
    format!(
        r#"{{"status":1,"stats":[{}],"pagination":{{"per_page":{per_page},"total_count":{total},"page":{page}{next}}}}}"#,
        rows.join(",")
    )
}

/// A row as the platform writes it: of one affiliate and one offer, or, for a verification, of a day.
fn row(affiliate: usize, offer: usize) -> String {
    let clicks = 1_000 + (affiliate * 7_919 + offer * 104_729) % 90_000;
    let block = |count: usize, cents: usize| {
        format!(
            r#"{{"revenue":{}.{:04},"charge":{}.{:04},"earning":{}.{:04},"null":0,"count":{count}}}"#,
            count * 3,
            cents % 10_000,
            count * 5,
            (cents * 3) % 10_000,
            count * 2,
            (cents * 2) % 10_000,
        )
    };
    let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
    format!(
        r#"{{"slice":{{"year":{year},"month":{month},"day":{day},"affiliate":{{"id":{affiliate},"title":"Affiliate {affiliate}","email":"a{affiliate}@affiliate.example","login":"Affiliate {affiliate}","name":null}},"offer":{{"id":{offer},"offer_id":"5f10a4be000000000{offer:07}","title":"Offer {offer}","status":"active"}}}},"traffic":{{"raw":"{clicks}","uniq":"{unique}"}},"actions":{{"total":{total},"confirmed":{confirmed},"pending":{pending},"declined":{declined},"hold":{hold},"not_found":{none}}},"views":{views},"cr":{{"total":2.23}},"ratio":"1:NaN","epc":0.1043,"trafficback":12}}"#,
        year = today.year(),
        month = today.month(),
        day = today.day(),
        unique = clicks * 9 / 10,
        total = block(clicks / 40, clicks * 11),
        confirmed = block(clicks / 55, clicks * 13),
        pending = block(clicks / 300, clicks * 17),
        declined = block(clicks / 500, clicks * 19),
        hold = block(clicks / 900, clicks * 23),
        none = block(0, 0),
        views = clicks * 5,
    )
}
