//! Saved, verified and encrypted credentials for affiliate tracking platforms, and exact live statistics through them.
//!
//! A request goes http -> webhooks, connections -> {vault, db, shared, platforms} -> outbound and back. `auth` stands beside
//! `connections`: `http` asks it who the caller is. Each module knows only what is below it; `docs/architecture.md` has
//! the map.

mod cli;
pub mod commands;
pub mod config;
pub mod doctor;
pub mod http;
mod process;
pub mod serve;
mod terminal;
mod version;

pub use affzero_core::{
    auth, clock, connections, db, hosts, input, metrics, outbound, platforms, problem, shared, shares, sizing,
    telemetry, tenancy, vault, webhooks,
};

/// The Rust on this page is compiled and run by `.ci/run contract`, which has a service for it to call.
#[cfg(doctest)]
#[doc = include_str!("../docs/service-to-service.md")]
struct ServiceToService;
