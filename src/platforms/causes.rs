//! What the catalogue says of the causes of failed verifications, for front ends that show one before it happens.
//!
//! A verification's own `owner` and `hint` know more of the case, and count where the two differ.

use serde::Serialize;
use utoipa::ToSchema;

use super::verification::{FailureCode, Owner};

/// A cause.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct FailureCodeEntry {
    /// The code.
    pub code: FailureCode,
    /// What it means, in a few words.
    #[schema(example = "The key is wrong")]
    pub title: &'static str,
    /// Who can fix it, as a rule.
    pub owner: Owner,
    /// The next step.
    #[schema(example = "Copy the key again from the tracker.")]
    pub hint: &'static str,
}

/// Every cause there is.
pub fn all() -> Vec<FailureCodeEntry> {
    FailureCode::ALL.into_iter().map(about).collect()
}

/// One cause.
pub fn about(code: FailureCode) -> FailureCodeEntry {
    let (title, owner, hint) = match code {
        FailureCode::InvalidUrl => {
            ("The address cannot be called", Owner::You, "Check the address for typing mistakes.")
        }
        FailureCode::EgressBlocked => (
            "The address may not be called",
            Owner::You,
            "Use the tracker's public https address, or ask the operator of this service to allow this one.",
        ),
        FailureCode::DnsFailed => ("There is no such host", Owner::You, "Check the host name for typing mistakes."),
        FailureCode::ConnectFailed => (
            "Nothing answers there",
            Owner::TrackerAdmin,
            "Check that the tracker is running and that its firewall lets this service in.",
        ),
        FailureCode::TlsFailed => (
            "The connection cannot be secured",
            Owner::TrackerAdmin,
            "Ask the tracker's administrator to check the certificate and the TLS settings of the server.",
        ),
        FailureCode::Timeout => ("No answer in time", Owner::TrackerAdmin, "Verify again in a few minutes."),
        FailureCode::Redirected => (
            "It sends us elsewhere",
            Owner::You,
            "Enter the address the redirect leads to, if it is the tracker's own.",
        ),
        FailureCode::NotThisPlatform => (
            "Something else answers",
            Owner::You,
            "Enter the tracker's API address, not a login page or another product.",
        ),
        FailureCode::CredentialsRejected => {
            ("The key is wrong", Owner::You, "Copy the key again from the tracker and check that it was not revoked.")
        }
        FailureCode::WrongPortal => ("The key is of the other portal", Owner::You, "Choose the other connection type."),
        FailureCode::InsufficientPermissions => (
            "The key may not read reports",
            Owner::TrackerAdmin,
            "Ask the tracker's administrator to let this key read statistics.",
        ),
        FailureCode::IpNotAllowed => (
            "The tracker refuses our address",
            Owner::TrackerAdmin,
            "Ask the tracker's administrator to allow this service's addresses for the key.",
        ),
        FailureCode::AffiliateIdRequired => {
            ("The affiliate id is missing", Owner::You, "Enter the affiliate id that is shown beside the key.")
        }
        FailureCode::RateLimited => ("The tracker is throttling", Owner::Platform, "Verify again in a few minutes."),
        FailureCode::PlatformError => ("The tracker is failing", Owner::Platform, "Verify again in a few minutes."),
        FailureCode::AccessBlocked => (
            "Something in front of the tracker answers",
            Owner::TrackerAdmin,
            "Ask the tracker's administrator to let this service's addresses through.",
        ),
        FailureCode::CredentialsUnreadable => {
            ("The key must be entered again", Owner::Service, "Enter the credentials again.")
        }
    };
    FailureCodeEntry { code, title, owner, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_forgotten() {
        let schema = serde_json::to_value(<FailureCode as utoipa::PartialSchema>::schema()).expect("a schema");
        let known: Vec<serde_json::Value> =
            all().iter().map(|cause| serde_json::to_value(cause.code).expect("a code")).collect();
        assert_eq!(schema["enum"], serde_json::Value::Array(known));
    }
}
