//! Saved, verified and encrypted credentials for affiliate tracking platforms, and exact live statistics through them.

pub mod auth;
pub mod config;
pub mod metrics;
pub mod platforms;
pub mod vault;
