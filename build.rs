//! What no source file says of the program: the commit it is built from, and the libpq that is linked into it.
//!
//! A build without a repository, such as the one in the container image, is told the commit in `AFFZERO_COMMIT`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const UNKNOWN: &str = "unknown";

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=AFFZERO_COMMIT");
    println!("cargo::rustc-env=AFFZERO_COMMIT={}", commit(&root).unwrap_or_else(|| UNKNOWN.to_owned()));
    println!("cargo::rustc-env=AFFZERO_LIBPQ={}", libpq(&root).unwrap_or_else(|| UNKNOWN.to_owned()));
}

/// The commit that is named from outside, else the one that is checked out here.
fn commit(root: &Path) -> Option<String> {
    let named = env::var("AFFZERO_COMMIT").ok().filter(|named| !named.is_empty());
    let found = named.or_else(|| {
        // Of a repository further up this is no part.
        let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
        (top.canonicalize().ok()? == root.canonicalize().ok()?).then_some(())?;
        // The log of HEAD is written at each commit and checkout, in a worktree too.
        for file in ["HEAD", "logs/HEAD"] {
            let file = root.join(git(root, &["rev-parse", "--git-path", file])?);
            if file.exists() {
                println!("cargo::rerun-if-changed={}", file.display());
            }
        }
        git(root, &["rev-parse", "--short=12", "HEAD"])
    })?;
    // It becomes a label of a metric.
    found.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')).then_some(found)
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The version of libpq stands behind that of the crate that has its sources: `0.3.14+libpq-18.6`.
fn libpq(root: &Path) -> Option<String> {
    let lock = fs::read_to_string(root.join("Cargo.lock")).ok()?;
    let (_, package) = lock.split_once("name = \"pq-src\"")?;
    let version = package.lines().find_map(|line| line.strip_prefix("version = \""))?.trim_end_matches('"');
    version.split_once("+libpq-").map(|(_, version)| version.to_owned())
}
