//! Voluum, the cloud tracker of media buyers.
//!
//! Follows the vendor's API pages (developers.voluum.com) and help pages (doc.voluum.com), and where those are silent
//! what public clients send and record. What is odd:
//!
//! - An access key does not open the reports. It buys a session, whose token does; see `session`.
//! - Visits are what others call clicks. Voluum's own `clicks` are click-throughs of landing pages.
//! - Times are whole hours and end in `Z`, yet are most probably read in the report's zone. Which of the two it is, is
//!   found out before a report in another zone than UTC is believed; see `admin`.
//! - Archived entities drop out of a report together with their traffic unless all are asked for.
//! - Groupings have several spellings, and the page size is whatever the platform makes of the one asked for. What an
//!   account has been seen to accept is remembered; see `request::Habits`.

mod admin;
mod catalogue;
pub(super) mod descriptor;
mod reading;
mod request;
mod session;
mod wire;

use crate::outbound::{Allowance, Dialect, Limits, Pace};

#[cfg(fuzzing)]
pub(super) use wire::fuzz;

/// How its own answers are told from those of something in front of it.
const DIALECT: Dialect = Dialect { is_own_refusal: wire::is_own_refusal, knows_wrong_keys: true, is_gateway: true };

/// The setting that says on which day a conversion counts.
const CONVERSION_TIME_SETTING: &str = "conversion_time";

/// Voluum counts calls by the caller's address, so all accounts together stay at the few at once that one may make.
/// The published 15 calls a second are kept as a burst only, because another limit by the minute is not published.
/// One account takes all the places only where it is served no slower by that.
const LIMITS: Limits = Limits { origin: Allowance::of(3).at(Pace::new(5, 15)), account: Allowance::of(2).up_to(3) };
