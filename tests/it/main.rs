//! All integration tests in one binary, because linking is what costs time.

// Always true here; it tells clippy that helpers outside of `#[test]` functions are test code too.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests call the service from outside")]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod auth;
mod binary;
mod conformance;
mod edge;
mod fixtures;
mod openapi;
mod connections;
mod platforms;
mod process;
mod secrets;
mod resilience;
mod smoke;
mod stage;
mod stats;
mod tokens;
mod storage;
mod trust;
