//! Webhooks as they are shown.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::wanted::WantedEvent;

/// Why a webhook was turned off without anybody's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedReason {
    /// An event could not be delivered for three days.
    Failures,
    /// The receiver answered 410.
    Gone,
}

impl PausedReason {
    /// The key in JSON and the database.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Gone => "gone",
        }
    }

    pub(super) fn find(key: &str) -> Option<Self> {
        [Self::Failures, Self::Gone].into_iter().find(|reason| reason.key() == key)
    }
}

/// A webhook as it is shown. Its secret is never in here.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookView {
    /// The id, a UUIDv7.
    pub id: Uuid,
    /// Where events are sent. Empty, if the key that it was sealed under is gone: then send it again, and rotate the secret.
    #[schema(example = "https://hooks.example.com/affzero")]
    pub url: String,
    /// Which events, or `*` for all.
    #[schema(value_type = Vec<WantedEvent>, example = json!(["connection.failing", "connection.recovered"]))]
    pub events: Vec<&'static str>,
    /// Whether events are sent.
    pub active: bool,
    /// Why they are not, if nobody has turned it off; a change to `"active": true` resumes.
    #[schema(required)]
    pub paused_reason: Option<PausedReason>,
    /// What it is for.
    #[schema(required, example = "Alerts of the operations team")]
    pub description: Option<String>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A webhook with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookWithSecret)]
pub struct WebhookWithSecret {
    /// The id, a UUIDv7.
    pub id: Uuid,
    /// Where events are sent.
    #[schema(example = "https://hooks.example.com/affzero")]
    pub url: String,
    /// Which events, or `*` for all.
    #[schema(value_type = Vec<WantedEvent>, example = json!(["connection.failing", "connection.recovered"]))]
    pub events: Vec<&'static str>,
    /// Whether events are sent.
    pub active: bool,
    /// Why they are not, if nobody has turned it off.
    #[schema(required)]
    pub paused_reason: Option<PausedReason>,
    /// What it is for.
    #[schema(required, example = "Alerts of the operations team")]
    pub description: Option<String>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What deliveries are signed with: `whsec_` and 32 bytes in base64. Keep it; it is not shown again.
    #[serde(serialize_with = "exposed")]
    #[schema(value_type = String, example = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]
    pub secret: SecretString,
}

impl WebhookWithSecret {
    /// A webhook, and what it is signed with.
    pub fn new(webhook: WebhookView, secret: SecretString) -> Self {
        let WebhookView { id, url, events, active, paused_reason, description, created_at } = webhook;
        Self { id, url, events, active, paused_reason, description, created_at, secret }
    }
}

fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// What an answer or a list says of a webhook beside itself.
#[derive(Debug, Clone)]
pub struct Versioned {
    /// The webhook.
    pub webhook: WebhookView,
    /// Grows with every change.
    pub version: i64,
    /// When it was last changed, in microseconds since 1970.
    pub updated_at: i64,
}

/// A webhook that was added.
#[derive(Debug)]
pub struct Created {
    /// The webhook with its secret.
    pub webhook: WebhookWithSecret,
    /// What its `ETag` is made of.
    pub versioned: Versioned,
    /// Whether an earlier request with the same key had added it.
    pub replayed: bool,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// The receiver took it.
    Delivered,
    /// It did not, and is asked again.
    Retrying,
    /// It did not, and is not asked again.
    Failed,
}

impl DeliveryOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Retrying, Self::Failed];

    /// The key in JSON, the database and metrics.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
        }
    }

    pub(super) fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.key() == key)
    }
}

/// An attempt to deliver an event.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct DeliveryView {
    /// The attempt's id, a UUIDv7.
    pub id: Uuid,
    /// The event, as it is in the header `webhook-id`.
    pub event_id: Uuid,
    /// What happened. Later versions may know more.
    #[serde(rename = "type")]
    #[schema(value_type = super::wanted::DeliveredEvent, example = "connection.failing")]
    pub event_type: String,
    /// Which attempt at this event.
    #[schema(example = 1)]
    pub attempt: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What came of it.
    pub outcome: DeliveryOutcome,
    /// The status that the receiver answered with.
    #[schema(required, example = 204)]
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    #[schema(example = 84)]
    pub duration_ms: u64,
    /// Why it was not taken.
    #[schema(required, example = json!(null))]
    pub error: Option<String>,
}

/// What came of a test event.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = WebhookTest)]
pub struct TestView {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// The status that it answered with.
    #[schema(required, example = 204)]
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    #[schema(example = 84)]
    pub duration_ms: u64,
    /// Why it was not taken.
    #[schema(required, example = json!(null))]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_document_names_the_keys_that_are_stored() {
        let schema = serde_json::to_value(DeliveryOutcome::schema()).expect("a schema");
        assert_eq!(schema["enum"], serde_json::json!(DeliveryOutcome::ALL.map(DeliveryOutcome::key)));
        let schema = serde_json::to_value(PausedReason::schema()).expect("a schema");
        assert_eq!(schema["enum"], serde_json::json!(["failures", "gone"]));
        for reason in [PausedReason::Failures, PausedReason::Gone] {
            assert_eq!(PausedReason::find(reason.key()), Some(reason));
        }
    }
}
