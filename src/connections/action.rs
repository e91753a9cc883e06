//! What can be done, in the words of the audit trail.

use serde::Serialize;
use utoipa::ToSchema;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuditAction)]
pub enum Action {
    /// A connection was added.
    #[serde(rename = "connection.created")]
    ConnectionCreated,
    /// Its name, settings or credentials were changed.
    #[serde(rename = "connection.updated")]
    ConnectionUpdated,
    /// It was verified again.
    #[serde(rename = "connection.verified")]
    ConnectionVerified,
    /// Statistics were pulled through it.
    #[serde(rename = "connection.used")]
    ConnectionUsed,
    /// It was deleted.
    #[serde(rename = "connection.deleted")]
    ConnectionDeleted,
    /// Credentials were tried and not saved.
    #[serde(rename = "credentials.verified")]
    CredentialsVerified,
    /// A webhook was added.
    #[serde(rename = "webhook.created")]
    WebhookCreated,
    /// It was changed, or turned on or off.
    #[serde(rename = "webhook.changed")]
    WebhookChanged,
    /// It got another secret.
    #[serde(rename = "webhook.secret_rotated")]
    WebhookSecretRotated,
    /// It was deleted.
    #[serde(rename = "webhook.deleted")]
    WebhookDeleted,
    /// A test event was sent to it.
    #[serde(rename = "webhook.tested")]
    WebhookTested,
    /// It was turned off because its receiver failed for days, or is gone.
    #[serde(rename = "webhook.paused")]
    WebhookPaused,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ConnectionCreated,
        Self::ConnectionUpdated,
        Self::ConnectionVerified,
        Self::ConnectionUsed,
        Self::ConnectionDeleted,
        Self::CredentialsVerified,
        Self::WebhookCreated,
        Self::WebhookChanged,
        Self::WebhookSecretRotated,
        Self::WebhookDeleted,
        Self::WebhookTested,
        Self::WebhookPaused,
    ];

    /// The action of this key.
    pub fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.key() == key)
    }

    /// The key in JSON and the database.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ConnectionCreated => "connection.created",
            Self::ConnectionUpdated => "connection.updated",
            Self::ConnectionVerified => "connection.verified",
            Self::ConnectionUsed => "connection.used",
            Self::ConnectionDeleted => "connection.deleted",
            Self::CredentialsVerified => "credentials.verified",
            Self::WebhookCreated => "webhook.created",
            Self::WebhookChanged => "webhook.changed",
            Self::WebhookSecretRotated => "webhook.secret_rotated",
            Self::WebhookDeleted => "webhook.deleted",
            Self::WebhookTested => "webhook.tested",
            Self::WebhookPaused => "webhook.paused",
        }
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_document_names_the_keys_that_are_stored() {
        let schema = serde_json::to_value(Action::schema()).expect("a schema");
        assert_eq!(schema["enum"], serde_json::json!(Action::ALL.map(Action::key)));
    }
}
