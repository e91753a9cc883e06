//! Everflow: partner marketing networks behind one gateway a region, for all customers.
//!
//! Follows the vendor's developer site (`developers.everflow.io`). Reports are read from
//! `POST /v1/networks/reporting/entity/table` with a network's key and from its twin below `/v1/affiliates` with an
//! affiliate's; a key works below its own prefix only and gets 403 below the other.
//!
//! What is odd:
//! - A time zone is a number from `GET /v1/meta/timezones`, which asks for no key; some 99 zones have one (`zones`).
//! - One time column a report: date and hour together are the `hour` column alone. Which instant the ids of time
//!   columns name is written down nowhere, so every plausible reading is understood and anything else is refused
//!   (`time`).
//! - At most 10,000 rows, no pages. A report that reaches that is never used but asked again in parts (`report`).
//! - A filter that the platform does not understand widens the report in silence, so nothing relies on one unseen.
//! - Amounts are converted into the currency that is asked for, and the answer does not repeat it.
//! - An error is one text under `Error` or `error`; an answer with `code` 8 means "exhausted" at whatever status.

mod admin;
mod affiliate;
mod api;
mod catalogue;
pub(super) mod descriptor;
mod parts;
mod portal;
mod report;
mod time;
mod wire;
mod zones;

use super::kind::{FieldError, Gateways, Settings};
use crate::outbound::{Allowance, Dialect, Limits, Pace};

#[cfg(fuzzing)]
pub(super) use wire::fuzz;

/// How its own answers are told from those of something in front of it.
const DIALECT: Dialect = Dialect { is_own_refusal: wire::is_own_refusal, knows_wrong_keys: true, is_gateway: true };

/// Well below the ten reports that one network may have running at the same time, for all networks together too. The
/// pace is what the oldest quota lets one network's keys do, though all networks share the gateway.
const LIMITS: Limits = Limits { origin: GATEWAY, account: Allowance::of(4).up_to(8) };

/// Affiliates' quotas are smaller. One is shared by all affiliates of a network; what the others leave of it shows in
/// the headers of each answer and is spared by what reads them.
const AFFILIATE_LIMITS: Limits = Limits { origin: GATEWAY, account: Allowance::of(4).up_to(8).at(Pace::new(5, 20)) };

const GATEWAY: Allowance = Allowance::of(8).at(Pace::new(20, 50));

const REGION: &str = "region";
const US: &str = "us";
const EU: &str = "eu";

/// Fills the default region in.
fn normalise(settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    settings.entry(REGION.to_owned()).or_insert_with(|| US.to_owned());
    Ok(())
}

/// The API of the region that the settings name.
fn gateway<'a>(settings: &Settings, gateways: &'a Gateways) -> &'a str {
    match settings.get(REGION).map(String::as_str) {
        Some(EU) => &gateways.everflow_eu,
        _ => &gateways.everflow_us,
    }
}
