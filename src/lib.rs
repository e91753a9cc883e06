//! Saved, verified and encrypted credentials for affiliate tracking platforms, and exact live statistics through them.

pub mod metrics;
pub mod platforms;
pub mod vault;
