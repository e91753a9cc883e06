//! Servers that a test has for itself, to stop and to start.
//!
//! They run where `TEST_REDIS_URL` is set, as in the stage of the tests with servers; there a missing program is a
//! failure. A plain `cargo test` needs no server, and skips what needs one.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest that a server takes to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis of its own, in a folder of its own.
pub(crate) struct PrivateRedis {
    /// `redis://127.0.0.1:<port>`
    pub(crate) url: String,
    port: u16,
    folder: TempDir,
    options: Vec<String>,
    server: Option<Child>,
}

impl PrivateRedis {
    /// A running Redis, or nothing where tests are to do without servers.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with further options, such as `--requirepass`.
    pub(crate) fn start_with(options: &[&str]) -> Option<Self> {
        std::env::var_os("TEST_REDIS_URL")?;
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a port").port();
        let mut redis = Self {
            url: format!("redis://127.0.0.1:{port}"),
            port,
            folder: TempDir::new().expect("a folder"),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            server: None,
        };
        redis.restart();
        Some(redis)
    }

    /// Starts the server again, where it was.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &self.port.to_string()]);
        command.args(&self.options).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.server = Some(command.spawn().expect("redis-server is installed"));
        let patience = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < patience, "redis-server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the server, if it runs.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// The server takes connections from now on, and answers nobody.
    pub(crate) fn stall(&self) {
        self.signal("STOP");
    }

    /// A stalled server goes on.
    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.server.as_ref().expect("a running server").id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Runs a command.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = redis::Client::open(self.url.as_str()).and_then(|it| it.get_connection()).expect("Redis");
        let (name, arguments) = command.split_first().expect("a command");
        redis::cmd(name).arg(arguments).query(&mut connection).expect("an answer")
    }

    /// All names of this kind.
    pub(crate) fn names(&self, pattern: &str) -> Vec<String> {
        self.ask(&["KEYS", pattern])
    }

    /// Everything that is in it, and how it is called.
    pub(crate) fn contents(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for name in self.names("*") {
            all.extend_from_slice(name.as_bytes());
            all.push(b'\n');
            let kind: String = self.ask(&["TYPE", &name]);
            let value: redis::Value = match kind.as_str() {
                "zset" => self.ask(&["ZRANGE", &name, "0", "-1"]),
                "hash" => self.ask(&["HGETALL", &name]),
                _ => self.ask(&["GET", &name]),
            };
            flatten(value, &mut all);
            all.push(b'\n');
        }
        all
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn flatten(value: redis::Value, out: &mut Vec<u8>) {
    match value {
        redis::Value::BulkString(bytes) => out.extend_from_slice(&bytes),
        redis::Value::Array(values) => values.into_iter().for_each(|value| flatten(value, out)),
        other => out.extend_from_slice(format!("{other:?}").as_bytes()),
    }
}
