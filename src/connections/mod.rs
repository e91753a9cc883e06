//! Connections: saved credentials of one platform account, and everything a user does with them.
//!
//! [`service::Connections`] is what HTTP calls. Below it, [`store`] has the queries, each of which takes the
//! organisation, and [`stats`] pulls reports. Credentials are opened in one place, for verification and statistics
//! alike.

pub mod action;
pub mod audit;
mod background;
pub(crate) mod claims;
pub mod create;
pub mod cursor;
pub mod draft;
pub mod events;
pub mod expiry;
mod failures;
pub mod health;
pub mod idempotency;
pub mod if_match;
pub mod inventory;
mod kept;
mod keys;
mod learning;
pub mod lists;
pub mod names;
mod pasted;
mod readers;
pub mod rotation;
mod sample;
mod schedule;
pub mod seal;
pub mod service;
pub mod stats;
mod status;
pub mod store;
pub(crate) mod supervision;
pub mod update;
mod uses;
pub mod verdict;
mod verify;
pub mod wiped;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use self::action::Action;
use self::health::HealthView;
pub use self::status::Status;
use crate::platforms::verification::Verification;
use crate::platforms::{ConnectionType, Platform, Settings};
use crate::tenancy::{OrgId, Plan};

/// Who asks, for whom, and how the request is told from others.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The organisation whose data is meant.
    pub organisation: OrgId,
    /// Its plan, where the token names one.
    pub plan: Option<Plan>,
    /// The token's subject.
    pub subject: String,
    /// Whether that is a service which may act for any organisation: its subjects are not the organisation's own.
    pub via_service: bool,
    /// Where the request came from.
    pub address: Option<String>,
    /// The request's id.
    pub request_id: String,
}

/// What may be shown of a stored secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretHint {
    /// An ellipsis and the last four characters; only of secrets of 16 characters or more.
    #[schema(required, example = "…9f3c")]
    pub hint: Option<String>,
    /// When it was entered.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl SecretHint {
    /// The hint of a secret entered now.
    pub fn of(secret: &str) -> Self {
        let length = secret.chars().count();
        let hint = (length >= 16).then(|| std::iter::once('…').chain(secret.chars().skip(length - 4)).collect());
        Self { hint, updated_at: Timestamp::now() }
    }
}

/// A connection as it is shown. No secret is ever in here.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Connection)]
pub struct ConnectionView {
    /// The id, a UUIDv7.
    pub id: Uuid,
    /// The name, unique in the organisation whatever its letter case.
    #[schema(example = "Brand A")]
    pub name: String,
    /// The platform.
    pub platform: Platform,
    /// The connection type.
    pub connection_type: ConnectionType,
    /// The settings, normalised.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub settings: Settings,
    /// What may be shown of each secret.
    pub credentials: BTreeMap<String, SecretHint>,
    /// Whether it works, as far as is known.
    pub status: Status,
    /// Whether it counts toward the plan's limit; Demo never does.
    pub counts_toward_limit: bool,
    /// Grows with every change of name, settings or credentials; the `ETag` begins with it.
    #[schema(example = 1)]
    pub version: i64,
    /// The last day on which the key is good, as its user knows; to the end of that day in UTC.
    #[schema(required, value_type = Option<String>, format = Date)]
    pub credentials_expire_at: Option<Date>,
    /// Since when the status is what it is, and why.
    pub health: HealthView,
    /// The last verification.
    #[schema(required)]
    pub last_verification: Option<Verification>,
    /// The last pull through it.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Who added it.
    #[schema(example = "user-1")]
    pub created_by: String,
}

/// One page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// Asks for the next page; `null` on the last.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// How much of the plan is used.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Usage {
    /// The plan.
    pub plan: Plan,
    /// Connections it allows.
    #[schema(example = 3)]
    pub limit: u32,
    /// Connections that count.
    #[schema(example = 1)]
    pub used: u32,
    /// How many more may be added.
    #[schema(example = 2)]
    pub remaining: u32,
    /// Whether there are more than the plan allows, as after a downgrade. They all keep working.
    pub over_limit: bool,
    /// Demo connections, which do not count.
    #[schema(example = 1)]
    pub demo_used: u32,
}

/// An automation that pulled statistics through a connection.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AutomationView {
    /// What it sent as `X-Automation-Id`.
    #[schema(example = "weekly-payout-mail")]
    pub automation_id: String,
    /// Its first pull.
    #[schema(value_type = String, format = DateTime)]
    pub first_used_at: Timestamp,
    /// Its last pull.
    #[schema(value_type = String, format = DateTime)]
    pub last_used_at: Timestamp,
}

/// Something that was done.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditEventView {
    /// The id, a UUIDv7.
    pub id: Uuid,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What. Later versions may know more.
    #[schema(value_type = Action, example = "connection.created")]
    pub action: String,
    /// How it ended.
    #[schema(example = "ok")]
    pub outcome: String,
    /// Who: the token's subject.
    #[schema(example = "user-1")]
    pub actor: String,
    /// Which connection.
    #[schema(required)]
    pub connection_id: Option<Uuid>,
    /// From where.
    #[schema(required)]
    pub address: Option<String>,
    /// In which request.
    #[schema(required)]
    pub request_id: Option<String>,
    /// More about it; never a secret. `connection.used` is written at the first use of an hour, with the
    /// `automation_id`, and again when the hour is over, with the `count` of its uses, if there were more.
    /// `via_service` is `true` where `actor` is a service with the scope `org:any`, and
    /// not a user of the organisation.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_show_four_characters_of_long_secrets_only() {
        assert_eq!(SecretHint::of("0123456789abcdef").hint.as_deref(), Some("…cdef"));
        assert_eq!(SecretHint::of("0123456789abcde").hint, None);
        assert_eq!(SecretHint::of("").hint, None);
    }
}
