//! Saved, verified and encrypted credentials for affiliate tracking platforms, and exact live statistics through them.
//!
//! A request goes http -> webhooks, connections -> {vault, db, shared, platforms} -> outbound and back. `auth` stands beside
//! `connections`: `http` asks it who the caller is. Each module knows only what is below it; `docs/architecture.md` has
//! the map.

pub mod auth;
mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod connections;
pub mod db;
pub mod doctor;
mod hosts;
pub mod http;
pub mod input;
pub mod metrics;
pub mod outbound;
pub mod platforms;
pub mod problem;
mod process;
pub mod serve;
pub mod shared;
pub mod shares;
pub mod sizing;
pub mod telemetry;
pub mod tenancy;
mod terminal;
pub mod vault;
mod version;
pub mod webhooks;

/// The Rust on this page is compiled and run by `.ci/run contract`, which has a service for it to call.
#[cfg(doctest)]
#[doc = include_str!("../docs/service-to-service.md")]
struct ServiceToService;
