//! Saved, verified and encrypted credentials for affiliate tracking platforms, and exact live statistics through them.

pub mod connections;
pub mod db;
pub mod metrics;
pub mod platforms;
pub mod problem;
pub mod tenancy;
pub mod vault;
