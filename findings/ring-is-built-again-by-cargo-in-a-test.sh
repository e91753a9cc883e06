#!/usr/bin/env bash
# ring 0.17.14 under cargo (seen with 1.95): a test that runs cargo has ring, and all that stands on it, built anew.
#
# ring's build script asks to be run again when variables change that cargo sets: CARGO_MANIFEST_DIR, some of CARGO_PKG_* and
# OUT_DIR. Cargo sets them for tests too, to what they are for the package of the test. So a `cargo build` that a test
# starts, of the very same package in the very same target folder, finds them changed and builds ring again, then rustls,
# HTTP clients and the package; and the next cargo from a shell, where they are not set, does it all once more. Nothing
# fails, it only takes minutes. To take away CARGO_* is not enough where the package has a build script: OUT_DIR is set then.
# With all of them taken out of the environment of the inner cargo nothing is built.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset OUT_DIR

mkdir -p src tests
cat >Cargo.toml <<'TOML'
[package]
name = "outer"
version = "0.0.0"
edition = "2021"

[dependencies]
ring = "=0.17.14"
TOML
echo 'fn main() { println!("cargo::rerun-if-changed=build.rs"); }' >build.rs
echo 'pub use ring::digest;' >src/lib.rs
cat >tests/inner.rs <<'RUST'
#[test]
fn cargo_in_a_test() {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--verbose"]);
    let taken_away = std::env::var("TAKEN_AWAY").unwrap_or_default();
    for (name, _) in std::env::vars() {
        if taken_away.split(' ').any(|start| !start.is_empty() && name.starts_with(start)) {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output().expect("cargo runs");
    println!("{}", String::from_utf8_lossy(&output.stderr));
}
RUST
cargo build --quiet
cargo test --quiet --no-run

inner() { TAKEN_AWAY=$1 cargo test --quiet --test inner -- --nocapture 2>&1 | grep -E '^ *(Dirty|Fresh) ring '; }
all=$(inner 'CARGO_MANIFEST_ CARGO_PKG_ OUT_DIR')
most=$(inner 'CARGO_MANIFEST_ CARGO_PKG_')
none=$(inner '')
echo "all taken away:     $all"
echo "all but OUT_DIR:    $most"
echo "nothing taken away: $none"
grep -q Fresh <<<"$all"
grep -q 'Dirty.*OUT_DIR' <<<"$most"
grep -q 'Dirty.*CARGO_' <<<"$none"
