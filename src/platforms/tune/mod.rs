//! TUNE, once called HasOffers: the software that networks run on, for the network's owner and for its affiliates.
//!
//! Follows the vendor's developer site (`developers.tune.com`, API v3) and, where that is silent, what public clients
//! send and recorded. All reports are read from `POST /Apiv3/json` at the network's own host below `api.hasoffers.com`.
//!
//! What is odd:
//! - The key is a parameter. So every call is a POST with a form as its body, and the key stands in no address.
//! - Success and failure both come with HTTP status 200; `response.status` tells them apart, and the words of a failure
//!   say what it is about ([`refusal`]). They repeat the key, and so does the member `request` of every answer, which
//!   is never read.
//! - A network's key and an affiliate's go by different parameters and methods, and each is as unknown as a wrong one
//!   where the other belongs.
//! - Days are the network's own, moved by whole hours if that is asked for, and an hour is a plain number: clock
//!   changes are this side's to deal with ([`clock`]). Nothing in the API says which zone the network has.
//! - A column that an account may not use is refused by name; most can be done without ([`columns`]).
//! - 50 calls in ten seconds are all that a network's integrations have together.

mod api;
mod catalogue;
mod client;
mod clock;
mod columns;
pub(super) mod descriptor;
mod habits;
mod network;
mod page;
mod probe;
mod refusal;
mod report;
mod request;
mod shift;
mod trouble;
mod wire;

use self::network::NETWORK_ID;
use super::address;
use super::calendar::Zone;
use super::kind::{FieldError, Gateways, Settings};
use crate::input::InputCode;
use crate::outbound::{Allowance, Dialect, Limits, Pace};

#[cfg(fuzzing)]
pub(super) use wire::fuzz;

/// At most 40 of the 50 calls that a network has in ten seconds, and 30 in the long run: others share them.
const LIMITS: Limits = Limits { origin: Allowance::of(3).at(Pace::new(3, 10)), account: Allowance::of(3) };

/// It refuses with status 200; a refusal by status is its own only in the shape that every answer of its API has.
const DIALECT: Dialect = Dialect { is_own_refusal: wire::is_own_refusal, knows_wrong_keys: true, is_gateway: true };

/// Brings the settings into the form they are stored in: the network's id alone, a zone by its name in the database.
fn normalise(settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    if let Some(id) = settings.get_mut(NETWORK_ID) {
        match network::id_in(id) {
            Ok(found) => *id = found,
            Err(error) => errors.push(error),
        }
    }
    if let Some(zone) = settings.get_mut("timezone") {
        match Zone::find(zone.trim()) {
            Some(found) => found.name().clone_into(zone),
            None => errors.push(FieldError {
                field: "timezone",
                code: InputCode::UnknownTimezone,
                detail: "This is not an IANA time zone. It should look like America/New_York.".to_owned(),
            }),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Scheme, host and port of the network's API.
fn origin(settings: &Settings, gateways: &Gateways) -> Option<String> {
    address::origin(&network::gateway(settings, gateways)?)
}
