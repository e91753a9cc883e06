//! Servers that a test has for itself, to stop and to start.
//!
//! They run where `TEST_DATABASE_URL` and `TEST_REDIS_URL` are set, as in the stage of the tests with servers; there a missing program is a
//! failure. A plain `cargo test` needs no server, and skips what needs one.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use tempfile::TempDir;

/// The longest that a server takes to start.
const TIMEOUT: Duration = Duration::from_secs(20);

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a port").port()
}

fn signal(server: &Child, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", server.id())]).status();
    assert!(sent.expect("a shell").success());
}

/// A schema of its own in the PostgreSQL server of the tests; gone when dropped.
pub(crate) struct Schema {
    name: String,
    server: String,
    /// The database with this schema, and no other.
    pub(crate) url: String,
}

impl Schema {
    /// A new schema, or nothing where the tests have no PostgreSQL.
    pub(crate) fn make() -> Option<Self> {
        let server = std::env::var("TEST_DATABASE_URL").ok()?;
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        let mut connection = PgConnection::establish(&server).expect("the PostgreSQL server of the tests");
        connection.batch_execute(&format!("CREATE SCHEMA {name}")).expect("a schema");
        let separator = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{separator}options=-csearch_path%3D{name}");
        Some(Self { name, server, url })
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        if let Ok(mut connection) = PgConnection::establish(&self.server) {
            let _ = connection.batch_execute(&format!("DROP SCHEMA {} CASCADE", self.name));
        }
    }
}

/// A PostgreSQL server of its own, in a folder of its own.
pub(crate) struct PrivatePostgres {
    /// Its only database.
    pub(crate) url: String,
    port: u16,
    programs: PathBuf,
    folder: TempDir,
    /// The numbers of the user it runs as, where that is not the one of the tests: it refuses to be root's.
    user: Option<(u32, u32)>,
    server: Option<Child>,
}

impl PrivatePostgres {
    /// A running server, or nothing where tests are to do without servers.
    pub(crate) fn start() -> Option<Self> {
        std::env::var_os("TEST_DATABASE_URL")?;
        let port = free_port();
        let mut postgres = Self {
            url: format!("postgres://affzero@127.0.0.1:{port}/postgres"),
            port,
            programs: programs_of_postgres(),
            folder: TempDir::new().expect("a folder"),
            user: other_user(),
            server: None,
        };
        if let Some((user, group)) = postgres.user {
            chown(postgres.folder.path(), Some(user), Some(group)).expect("root may give away");
        }
        let data = postgres.data();
        let made = postgres
            .command("initdb")
            .args(["--auth", "trust", "--username", "affzero", "--no-sync", "--no-locale", "--encoding", "UTF8", "-D"])
            .arg(data)
            .output()
            .expect("initdb is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        postgres.restart();
        Some(postgres)
    }

    /// A standby of this server, which follows it from now on.
    pub(crate) fn standby(&self) -> Self {
        let port = free_port();
        let mut standby = Self {
            url: format!("postgres://affzero@127.0.0.1:{port}/postgres"),
            port,
            programs: self.programs.clone(),
            folder: TempDir::new().expect("a folder"),
            user: self.user,
            server: None,
        };
        if let Some((user, group)) = standby.user {
            chown(standby.folder.path(), Some(user), Some(group)).expect("root may give away");
        }
        let data = standby.data();
        let copied = standby
            .command("pg_basebackup")
            .args(["-h", "127.0.0.1", "-U", "affzero", "-p", &self.port.to_string(), "-R", "-c", "fast", "-N", "-D"])
            .arg(data)
            .output()
            .expect("pg_basebackup is installed");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        standby.restart();
        standby
    }

    /// Makes a standby a primary, and waits until it is.
    pub(crate) fn promote(&self) {
        let done = self.command("pg_ctl").args(["promote", "-w", "-D"]).arg(self.data()).status();
        assert!(done.expect("pg_ctl is installed").success());
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Everything that the server has stops where it is.
    pub(crate) fn stall(&self) {
        self.signal_all("STOP");
    }

    /// A stalled server goes on.
    pub(crate) fn go_on(&self) {
        self.signal_all("CONT");
    }

    /// Each of its processes has a group of its own.
    fn signal_all(&self, name: &str) {
        let server = self.server.as_ref().expect("a running server").id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {server} $(pgrep -P {server})")]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Runs statements as the server's owner, one after the other in one session.
    pub(crate) fn run(&self, sql: &str) {
        let mut connection = PgConnection::establish(&self.url).expect("PostgreSQL");
        for statement in sql.split(';') {
            connection.batch_execute(statement).expect("it can be done");
        }
    }

    /// Starts the server again, where it was.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let (data, port) = (self.data(), self.port.to_string());
        let mut command = self.command("postgres");
        command.args(["-h", "127.0.0.1", "-k", "", "-p", &port, "-c", "fsync=off", "-D"]).arg(data);
        self.server = Some(command.spawn().expect("postgres is installed"));
        let deadline = Instant::now() + TIMEOUT;
        while PgConnection::establish(&self.url).is_err() {
            assert!(Instant::now() < deadline, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server as a crash would, if it runs: nothing is tidied up, everybody is cut off.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal(&server, "QUIT");
            let _ = server.wait();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A PgBouncer of its own before a PostgreSQL server.
pub(crate) struct PrivatePooler {
    /// The server's database, through the pooler.
    pub(crate) url: String,
    _folder: TempDir,
    server: Child,
}

impl PrivatePooler {
    /// A pooler with few connections to the server, that gives them out by `transaction` or by `session`.
    pub(crate) fn start(before: &PrivatePostgres, mode: &str, connections: usize) -> Self {
        let (port, folder) = (free_port(), TempDir::new().expect("a folder"));
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} dbname=postgres user=affzero\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = {connections}\nmax_client_conn = 200\n",
            before.port
        );
        let path = folder.path().join("pgbouncer.ini");
        std::fs::write(&path, settings).expect("its settings");
        let mut command = Command::new("/usr/sbin/pgbouncer");
        command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = before.user {
            chown(folder.path(), Some(user), Some(group)).expect("root may give away");
            command.uid(user).gid(group);
        }
        let url = format!("postgres://affzero@127.0.0.1:{port}/postgres");
        let pooler = Self { url, _folder: folder, server: command.spawn().expect("pgbouncer is installed") };
        let deadline = Instant::now() + TIMEOUT;
        while PgConnection::establish(&pooler.url).is_err() {
            assert!(Instant::now() < deadline, "PgBouncer does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        pooler
    }
}

impl Drop for PrivatePooler {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A HAProxy of its own before two servers; its configuration is the one of docs/operations.md.
pub(crate) struct PrivateProxy {
    pub(crate) port: u16,
    _folder: TempDir,
    server: Child,
}

impl PrivateProxy {
    /// The part of the guide's configuration with this name, before these two ports of 127.0.0.1.
    pub(crate) fn start(guide: &str, name: &str, ports: [u16; 2]) -> Self {
        let (port, folder) = (free_port(), TempDir::new().expect("a folder"));
        let block = guide.split("```haproxy\n").nth(1).and_then(|rest| rest.split("```").next());
        let block = block.expect("the guide has a configuration of HAProxy");
        let (global, lists) = block.split_once("listen ").expect("a list");
        let list = lists.split("listen ").find(|list| list.starts_with(name)).expect("a list of this name");
        let script = guide.split("```script\n#!/bin/sh\n").nth(1).and_then(|rest| rest.split("```").next());
        let path = folder.path().join("is-primary");
        std::fs::write(&path, format!("#!/bin/sh\n{}", script.expect("the guide has a script"))).expect("a script");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it may be run");
        let mut settings =
            format!("{global}listen {list}").replace("/usr/local/bin/is-primary", &path.display().to_string());
        settings = settings.replacen("bind :5432", &format!("bind 127.0.0.1:{port}"), 1);
        settings = settings.replacen("bind :6379", &format!("bind 127.0.0.1:{port}"), 1);
        for (host, own) in
            [("db1:5432", ports[0]), ("db2:5432", ports[1]), ("r1:6379", ports[0]), ("r2:6379", ports[1])]
        {
            settings = settings.replace(host, &format!("127.0.0.1:{own}"));
        }
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, settings).expect("its settings");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let proxy = Self { port, _folder: folder, server: command.spawn().expect("haproxy is installed") };
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "HAProxy does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        proxy
    }
}

impl Drop for PrivateProxy {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A Sentinel that watches a Redis under the name `primary`.
pub(crate) struct PrivateSentinel {
    pub(crate) port: u16,
    _folder: TempDir,
    server: Child,
}

impl PrivateSentinel {
    /// Watches; so many Sentinels have to agree that the primary is down.
    pub(crate) fn watch(primary: &PrivateRedis, quorum: usize) -> Self {
        let (port, folder) = (free_port(), TempDir::new().expect("a folder"));
        let settings = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor primary 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds primary 500\nsentinel failover-timeout primary 3000\n",
            primary.port
        );
        let path = folder.path().join("sentinel.conf");
        std::fs::write(&path, settings).expect("its settings");
        let mut command = Command::new("redis-sentinel");
        command.arg(&path).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let sentinel = Self { port, _folder: folder, server: command.spawn().expect("redis-sentinel is installed") };
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-sentinel does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        sentinel
    }
}

impl Drop for PrivateSentinel {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Where the programs of the newest PostgreSQL are: Debian keeps them out of the path.
fn programs_of_postgres() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|found| found.filter_map(Result::ok).map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    versions.into_iter().rfind(|folder| folder.join("initdb").exists()).unwrap_or_default()
}

/// The user and the group that PostgreSQL's package has made, if this is root.
fn other_user() -> Option<(u32, u32)> {
    let ask = |arguments: &[&str]| {
        let printed = Command::new("id").args(arguments).output().expect("id").stdout;
        String::from_utf8(printed).expect("text").trim().parse::<u32>().expect("a user of that name")
    };
    (ask(&["-u"]) == 0).then(|| (ask(&["-u", "postgres"]), ask(&["-g", "postgres"])))
}

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
        let port = free_port();
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
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not start");
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

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The server takes connections from now on, and answers nobody.
    pub(crate) fn stall(&self) {
        signal(self.server.as_ref().expect("a running server"), "STOP");
    }

    /// A stalled server goes on.
    pub(crate) fn go_on(&self) {
        signal(self.server.as_ref().expect("a running server"), "CONT");
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
