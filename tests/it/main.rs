//! All integration tests in one binary, because linking is what costs time.

// Always true here; it tells clippy that helpers outside of `#[test]` functions are test code too.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod auth;
mod platforms;
mod resilience;
mod smoke;
