//! Everything that knows a tracker: what each platform can do, how it is asked, and how calls are bounded. Nothing here knows
//! a database, a caller or an organisation's settings.
//!
//! A crate of its own, so that it is built beside the database's crates and is not built again when something above it
//! changes.

pub mod clock;
pub mod input;
pub mod metrics;
pub mod outbound;
pub mod platforms;
pub mod shares;
pub mod sizing;
