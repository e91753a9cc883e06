//! Connections, and what they stand on: the database, the key ring, what replicas share, tokens, and webhooks. Nothing here
//! knows HTTP as callers speak it, or how the program is configured.
//!
//! A crate of its own, for the same reasons as that of the trackers below it.

pub mod auth;
pub mod connections;
pub mod db;
pub mod hosts;
pub mod problem;
pub mod shared;
pub mod telemetry;
pub mod tenancy;
pub mod vault;
pub mod webhooks;

pub use affzero_trackers::{clock, input, metrics, outbound, platforms, shares, sizing};
