//! What the machine gives: time, files, room, addresses.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::check::Check;
use crate::config::{Config, DATA_DIR, SECRET_FILES};
use crate::db::DatabaseUrl;
use crate::platforms::calendar;

/// No machine that runs this is younger: a clock that stands before 2025 was never set.
const EARLIEST: i64 = 1_735_689_600;

const MIB: u64 = 1024 * 1024;

pub(super) fn clock() -> Check {
    let now = Timestamp::now();
    if now.as_second() < EARLIEST {
        return Check::fail(
            "clock",
            format!("it is {now}"),
            "set this machine's clock; tokens and certificates need it",
        );
    }
    Check::ok("clock", format!("it is {now:.0}"))
}

/// By which tables the days of reports begin and end.
pub(super) fn zone_tables() -> Check {
    Check::ok("zone_tables", format!("days are counted by the time zone tables {}", calendar::zone_tables()))
}

/// Whether what should be private is.
#[cfg(unix)]
pub(super) fn files(config: &Config) -> Vec<Check> {
    let mut secrets: Vec<PathBuf> = SECRET_FILES.iter().map(|name| Path::new(DATA_DIR).join(name)).collect();
    secrets.push(PathBuf::from(".env"));
    let database = match &config.database_url {
        DatabaseUrl::Sqlite(path) => vec![path.clone()],
        DatabaseUrl::Postgres(_) => Vec::new(),
    };
    let mut checks = Vec::new();
    let command = |files: &[String]| format!("chmod go= {}", files.join(" "));
    let (open, open_database) = (exposed(&secrets), exposed(&database));
    if !open.is_empty() {
        let found = format!("others on this machine can get at {}", open.join(", "));
        checks.push(Check::fail("files", found, command(&open)));
    }
    if !open_database.is_empty() {
        let found = format!("others on this machine can get at {}", open_database.join(", "));
        checks.push(Check::warn("files", found, command(&open_database)));
    }
    if checks.is_empty() {
        let there = secrets.iter().chain(&database).filter(|path| path.exists()).count();
        checks.push(Check::ok("files", format!("{there} private files, readable by their owner only")));
    }
    checks
}

/// Modes say nothing here.
#[cfg(not(unix))]
pub(super) fn files(_: &Config) -> Vec<Check> {
    Vec::new()
}

/// The files among these that others may open: their own mode lets them, and the folder's lets them get there.
#[cfg(unix)]
fn exposed(files: &[PathBuf]) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| path.metadata().map(|data| data.permissions().mode());
    let is_open = |path: &&PathBuf| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let reachable = mode(folder).is_ok_and(|mode| mode & 0o011 != 0);
        reachable && mode(path).is_ok_and(|mode| mode & 0o077 != 0)
    };
    files.iter().filter(is_open).map(|path| path.display().to_string()).collect()
}

/// Room for the database, where it is on this machine.
pub(super) fn disk(config: &Config) -> Option<Check> {
    let DatabaseUrl::Sqlite(path) = &config.database_url else { return None };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(match free_bytes(folder) {
        Ok(free) => room(free / MIB),
        Err(error) => Check::warn("disk", format!("{}: {error}", folder.display()), "look at the folder"),
    })
}

fn room(free_mib: u64) -> Check {
    let found = format!("{free_mib} MiB free for the database");
    match free_mib {
        0..64 => Check::fail("disk", found, "make room: what cannot be saved is refused"),
        64..1024 => Check::warn("disk", found, "make room before it gets less"),
        _ => Check::ok("disk", found),
    }
}

#[cfg(target_os = "linux")]
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let file_system = rustix::fs::statvfs(folder)?;
    Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
}

#[cfg(not(target_os = "linux"))]
fn free_bytes(_: &Path) -> io::Result<u64> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Whether the service could listen where it is configured to.
pub(super) fn addresses(config: &Config) -> Vec<Check> {
    let api = config.bind_addr;
    if let Some(metrics) = config.metrics_addr.filter(|metrics| overlap(api, *metrics)) {
        let found = format!("METRICS_ADDR is {metrics}, where BIND_ADDR={api} listens already");
        let fix = "give METRICS_ADDR a port of its own";
        return vec![listen("bind_addr", "BIND_ADDR", api), Check::fail("metrics_addr", found, fix)];
    }
    let metrics = config.metrics_addr.map(|address| listen("metrics_addr", "METRICS_ADDR", address));
    std::iter::once(listen("bind_addr", "BIND_ADDR", config.bind_addr)).chain(metrics).collect()
}

/// Whether nothing can listen on one while something listens on the other. Port 0 is any that is free.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || is_everywhere)
}

fn listen(check: &'static str, variable: &str, address: SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok(check, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Check::warn(
            check,
            format!("{address} is in use"),
            format!("fine if the service is running already; else stop what listens there, or change {variable}"),
        ),
        Err(error) => Check::fail(check, format!("{address}: {error}"), format!("change {variable}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn room_is_judged_by_how_much_is_left() {
        let verdicts = [0, 63, 64, 1023, 1024].map(|free| room(free).status);
        assert_eq!(verdicts, [Verdict::Fail, Verdict::Fail, Verdict::Warn, Verdict::Warn, Verdict::Ok]);
    }

    #[test]
    fn an_address_is_free_in_use_or_not_ours() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        assert_eq!(listen("bind_addr", "BIND_ADDR", address).status, Verdict::Warn);
        drop(taken);
        assert_eq!(listen("bind_addr", "BIND_ADDR", address).status, Verdict::Ok);
        let foreign = "192.0.2.1:80".parse().expect("an address");
        assert_eq!(listen("bind_addr", "BIND_ADDR", foreign).status, Verdict::Fail);
    }

    #[test]
    fn two_addresses_overlap_if_both_cannot_be_listened_on() {
        let overlaps = |one: &str, other: &str| overlap(one.parse().expect("one"), other.parse().expect("another"));
        assert!(overlaps("127.0.0.1:8080", "127.0.0.1:8080") && overlaps("0.0.0.0:8080", "127.0.0.1:8080"));
        assert!(!overlaps("127.0.0.1:8080", "127.0.0.1:9090") && !overlaps("127.0.0.1:8080", "127.0.0.2:8080"));
        assert!(!overlaps("127.0.0.1:0", "127.0.0.1:0"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_exposed_if_its_mode_and_its_folder_let_others_in() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, "x").expect("a file");
        for (folder_mode, file_mode, is_exposed) in
            [(0o755, 0o644, true), (0o755, 0o600, false), (0o700, 0o644, false), (0o710, 0o640, true)]
        {
            set_permissions(folder.path(), Permissions::from_mode(folder_mode)).expect("a mode");
            set_permissions(&file, Permissions::from_mode(file_mode)).expect("a mode");
            assert_eq!(!exposed(std::slice::from_ref(&file)).is_empty(), is_exposed, "{folder_mode:o} {file_mode:o}");
        }
    }
}
