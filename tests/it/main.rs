//! All integration tests in one binary, because linking is what costs time.

// Always true here; it shows clippy that helpers outside of `#[test]` functions are test code too.
#![cfg(test)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests call the service from outside")]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod auth;
mod backup;
mod binary;
mod checks;
mod conformance;
mod connections;
mod console;
mod diagnosis;
mod docs;
mod edge;
mod failover;
mod fixtures;
mod fleet;
mod layers;
mod observe;
mod openapi;
mod operate;
mod platforms;
mod process;
mod resilience;
mod road;
mod secrets;
mod servers;
mod shared;
mod shares;
mod smoke;
mod stage;
mod stats;
mod storage;
mod tokens;
mod trust;
mod upgrade;
mod watch;
mod webhooks;
