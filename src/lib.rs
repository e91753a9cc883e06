//! Saved, verified and encrypted credentials for affiliate tracking platforms, and exact live statistics through them.
//!
//! A request goes http -> auth -> connections -> vault -> platforms -> back, each module knowing only what is below it.

pub mod auth;
pub mod commands;
pub mod config;
pub mod connections;
pub mod db;
pub mod http;
pub mod metrics;
pub mod platforms;
pub mod problem;
pub mod tenancy;
pub mod vault;
