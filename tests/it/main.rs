//! All integration tests in one binary, because linking is what costs time.

// Always true here; it tells clippy that helpers outside of `#[test]` functions are test code too.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests call the service from outside")]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod auth;
mod platforms;
mod smoke;
mod trust;
