//! The service inside the test process, over real HTTP on a loopback port.
//!
//! Every [`TestApp`] has a database of its own: a SQLite file in a temporary folder, or, where `TEST_DATABASE_URL`
//! names a PostgreSQL server, a schema that is dropped at the end. Trackers on loopback may be called.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use affzero_connections::auth::{Grant, mint};
use affzero_connections::config::Config;
use affzero_connections::connections::service::Connections;
use affzero_connections::db::{DatabaseUrl, Db};
use affzero_connections::http;
use affzero_connections::serve;
use affzero_connections::tenancy::Plan;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::Text;
use diesel::{Connection, RunQueryDsl};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::Schema;
use crate::watch;

/// The HS256 secret of every test.
pub(crate) const SECRET: &str = "the canary among secrets, for tests only and long enough for HS256";
/// A key ring of one key.
pub(crate) const KEYS: &str = "k1:Y2FuYXJ5LW9mLXRoZS1maXJzdC1rZXktMDEyMzQ1Njc=";

/// A running service.
pub(crate) struct TestApp {
    /// `http://127.0.0.1:<port>`
    pub(crate) url: String,
    pub(crate) config: Config,
    pub(crate) connections: Connections,
    pub(crate) db: Db,
    /// Holds the SQLite file, among others.
    pub(crate) folder: Arc<TempDir>,
    client: reqwest::Client,
    handle: actix_web::dev::ServerHandle,
    schema: Option<Schema>,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Reads a response to its end, and looks for secrets in it.
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Self { status, headers, text: response.text().await.expect("a whole body") };
        watch::search_answer(&answer);
        answer
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON ({}): {}", self.status, self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// Asserts a problem with this code in the one form, and returns its body.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
        assert!(!body["detail"].as_str().expect("a detail").is_empty());
        body
    }

    /// Asserts success with this status, and returns the body.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }
}

/// Someone who asks: a token and what goes with it.
#[derive(Clone)]
pub(crate) struct User<'a> {
    app: &'a TestApp,
    token: String,
}

impl TestApp {
    /// A service with the default configuration.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A service with these variables beside the tests' own.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        Self::with_folder(variables, folder).await
    }

    /// A second process, so to speak, over the same database.
    pub(crate) async fn replica(&self, variables: &[(&str, &str)]) -> Self {
        let config = configure(variables, &self.folder, self.schema.as_ref().map(|schema| schema.url.as_str()));
        Self::run(config, Arc::clone(&self.folder), None).await
    }

    /// Stops the service and starts it again over the same database.
    pub(crate) async fn restart(mut self) -> Self {
        self.handle.stop(false).await;
        let schema = self.schema.take();
        Self::run(self.config.clone(), Arc::clone(&self.folder), schema).await
    }

    /// A service over a copy of a database that an earlier release has written: `affzero.db` or `affzero.sql` in a folder.
    pub(crate) async fn over_release(release: &Path, variables: &[(&str, &str)]) -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let schema = Schema::make();
        match &schema {
            Some(schema) => {
                let dump = std::fs::read_to_string(release.join("affzero.sql")).expect("the release's dump");
                let mut connection = diesel::PgConnection::establish(&schema.url).expect("PostgreSQL");
                connection.batch_execute(&dump).expect("the release's database");
            }
            None => {
                let copied = std::fs::copy(release.join("affzero.db"), folder.path().join("affzero.db"));
                copied.expect("a copy of the release's database");
            }
        }
        let config = configure(variables, &folder, schema.as_ref().map(|schema| schema.url.as_str()));
        Self::run(config, folder, schema).await
    }

    async fn with_folder(variables: &[(&str, &str)], folder: Arc<TempDir>) -> Self {
        let schema = Schema::make();
        let config = configure(variables, &folder, schema.as_ref().map(|schema| schema.url.as_str()));
        Self::run(config, folder, schema).await
    }

    async fn run(config: Config, folder: Arc<TempDir>, schema: Option<Schema>) -> Self {
        watch::listen();
        let db = Db::open(&config.database_url, 4).expect("a database");
        db.migrate().expect("migrations");
        let service = serve::assemble(&config, db.clone()).expect("the service");
        let serve::Service { state, connections, .. } = service.clone();
        let (send, receive) = mpsc::channel();
        let worker = service;
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let any_port = ([127, 0, 0, 1], 0).into();
                let (addresses, server) =
                    http::server::listen(&state, any_port, 2, Duration::from_secs(1)).expect("a port");
                actix_web::rt::spawn(worker.work());
                send.send((addresses[0], server.handle())).expect("the test waits");
                server.await.expect("the service runs");
            });
        });
        let (address, handle) = receive.recv().expect("the service starts");
        Self { url: format!("http://{address}"), config, connections, db, folder, client: client(), handle, schema }
    }

    /// A user of an organisation with all scopes.
    pub(crate) fn user(&self, organisation: &str, plan: Plan) -> User<'_> {
        let grant = Grant::new(organisation.parse().expect("an organisation"), plan);
        self.holder(&mint(&self.config.auth, &grant).expect("a token"))
    }

    /// A user with these scopes only.
    pub(crate) fn user_with_scope(&self, organisation: &str, plan: Plan, scope: &str) -> User<'_> {
        let mut grant = Grant::new(organisation.parse().expect("an organisation"), plan);
        grant.scope = scope.to_owned();
        self.holder(&mint(&self.config.auth, &grant).expect("a token"))
    }

    /// The holder of this token.
    pub(crate) fn holder(&self, token: &str) -> User<'_> {
        User { app: self, token: token.to_owned() }
    }

    /// A request without a token.
    pub(crate) async fn anonymous(&self, method: &str, path: &str) -> Answer {
        self.send(method, path, &[], None).await
    }

    /// Any request at all.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        Answer::read(self.raw(method, path, headers, body).await).await
    }

    /// Any request, its answer not read yet.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> reqwest::Response {
        let mut request = self.client.request(method.parse().expect("a method"), format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.expect("an answer")
    }
}

impl User<'_> {
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, &[], Some(body)).await
    }

    /// Any request with the token; `headers` are sent too.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        if body.is_some() {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        self.app.send(method, path, &all, body.map(|body| body.to_string().into_bytes())).await
    }

    /// Adds a healthy Demo connection and returns its id.
    #[track_caller]
    pub(crate) fn add_demo(&self, name: &str) -> impl Future<Output = String> {
        self.add(json!({ "name": name, "platform": "demo" }))
    }

    /// Adds a connection and returns its id.
    pub(crate) async fn add(&self, body: Value) -> String {
        let created = self.post("/api/v1/connections", &body).await.ok(201);
        created["id"].as_str().expect("an id").to_owned()
    }
}

impl TestApp {
    /// Everything the database holds, as anyone who steals it would read it.
    fn dump(&self) -> Vec<u8> {
        match &self.config.database_url {
            DatabaseUrl::Sqlite(_) => {
                let files = std::fs::read_dir(self.folder.path()).expect("the folder").filter_map(Result::ok);
                files.filter_map(|file| std::fs::read(file.path()).ok()).flatten().collect()
            }
            DatabaseUrl::Postgres(url) => {
                let url = url.expose_secret();
                // A proxy that has just lost its primary turns some away.
                let connections = std::iter::repeat_with(|| diesel::PgConnection::establish(url));
                let mut connection = connections
                    .take(50)
                    .inspect(|tried| {
                        if tried.is_err() {
                            std::thread::sleep(Duration::from_millis(200));
                        }
                    })
                    .find_map(Result::ok)
                    .expect("the PostgreSQL server of the tests");
                let schema = sql::<Text>("schema_to_xml(current_schema(), false, false, '')::text");
                diesel::select(schema).get_result::<String>(&mut connection).expect("a dump").into_bytes()
            }
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if !std::thread::panicking() {
            watch::search("the database", &self.dump());
        }
    }
}

/// A client that does nothing of its own accord.
pub(crate) fn client() -> reqwest::Client {
    client_from(None)
}

/// A client that calls from this address of the machine, or from any.
///
/// It closes a resting connection before the service does, as a proxy has to by `docs/operations.md`: a request that is
/// sent in the moment in which the service closes it has no answer.
pub(crate) fn client_from(address: Option<std::net::IpAddr>) -> reqwest::Client {
    reqwest::Client::builder()
        .local_address(address)
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(no_tls())
        .no_proxy()
        .pool_idle_timeout(Duration::from_secs(3))
        .build()
        .expect("a client")
}

/// The tests speak plain HTTP to themselves; the client still needs a configuration of TLS.
fn no_tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

fn configure(variables: &[(&str, &str)], folder: &TempDir, postgres: Option<&str>) -> Config {
    let sqlite = format!("sqlite://{}", folder.path().join("affzero.db").display());
    let mut all: HashMap<String, String> = [
        ("DATABASE_URL", postgres.unwrap_or(&sqlite)),
        ("AUTH_JWT_SECRET", SECRET),
        ("CREDENTIALS_KEYS", KEYS),
        ("EGRESS_ALLOW", "127.0.0.0/8,::1/128"),
        ("UPSTREAM_TIMEOUT_MS", "5000"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Config::load(|name| all.get(name).cloned(), folder.path()).expect("a configuration")
}

/// The database of this run, for tests that only make sense on one of them.
pub(crate) fn on_sqlite(app: &TestApp) -> bool {
    matches!(app.config.database_url, DatabaseUrl::Sqlite(_))
}
