//! Verification: proving that a connection can do what a pull needs, or naming why it cannot.
//!
//! A client's [`verify`](super::client::PlatformClient::verify) ends with the smallest real read of the reporting API.
//! What it returns, good or bad, is turned into stages here, so that every platform's verification has one shape
//! and one set of failure codes.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kind::ConnectionType;
use crate::clock::millis;
pub use crate::outbound::VERIFICATION_DEADLINE;
pub use crate::outbound::error::Owner;
use crate::outbound::error::{ErrorKind, PlatformError, Stage};
use crate::outbound::{Timings, Upstream};

/// How a verification ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerificationStatus {
    /// Pulls will work.
    Ok,
    /// The platform refused, or the address is wrong: something must be changed.
    Failed,
    /// The platform could not be reached, is failing or throttling: nothing is known of the credentials.
    Inconclusive,
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    /// It worked.
    Ok,
    /// It is where the verification failed.
    Failed,
    /// It was not needed, or an earlier stage failed.
    Skipped,
}

/// One stage of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageReport {
    /// Which stage.
    pub name: Stage,
    /// How it ended.
    pub status: StageStatus,
    /// Milliseconds, or `null` where the stage cannot be measured on its own.
    #[schema(required, example = 3)]
    pub duration_ms: Option<u64>,
    /// What happened, on a failed stage.
    #[schema(required)]
    pub detail: Option<String>,
}

/// The closed set of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The address cannot be called.
    InvalidUrl,
    /// The address is not one this service may call.
    EgressBlocked,
    /// The host name does not resolve.
    DnsFailed,
    /// Nothing accepts the connection.
    ConnectFailed,
    /// The TLS handshake failed.
    TlsFailed,
    /// No answer in time.
    Timeout,
    /// The answer is a redirect.
    Redirected,
    /// Something answers, but not this tracker's API.
    NotThisPlatform,
    /// The platform does not accept the credentials.
    CredentialsRejected,
    /// The credentials belong to the other connection type.
    WrongPortal,
    /// The credentials may not read reports.
    InsufficientPermissions,
    /// The platform does not accept this service's address.
    IpNotAllowed,
    /// The network wants the affiliate's id beside the key.
    AffiliateIdRequired,
    /// The platform is throttling.
    RateLimited,
    /// The platform is failing.
    PlatformError,
    /// Something in front of the platform answers instead of it.
    AccessBlocked,
    /// The stored credentials cannot be read any more.
    CredentialsUnreadable,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 17] = [
        Self::InvalidUrl,
        Self::EgressBlocked,
        Self::DnsFailed,
        Self::ConnectFailed,
        Self::TlsFailed,
        Self::Timeout,
        Self::Redirected,
        Self::NotThisPlatform,
        Self::CredentialsRejected,
        Self::WrongPortal,
        Self::InsufficientPermissions,
        Self::IpNotAllowed,
        Self::AffiliateIdRequired,
        Self::RateLimited,
        Self::PlatformError,
        Self::AccessBlocked,
        Self::CredentialsUnreadable,
    ];

    /// The code as it stands in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::InvalidUrl => "invalid_url",
            Self::EgressBlocked => "egress_blocked",
            Self::DnsFailed => "dns_failed",
            Self::ConnectFailed => "connect_failed",
            Self::TlsFailed => "tls_failed",
            Self::Timeout => "timeout",
            Self::Redirected => "redirected",
            Self::NotThisPlatform => "not_this_platform",
            Self::AccessBlocked => "access_blocked",
            Self::CredentialsRejected => "credentials_rejected",
            Self::WrongPortal => "wrong_portal",
            Self::InsufficientPermissions => "insufficient_permissions",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::AffiliateIdRequired => "affiliate_id_required",
            Self::RateLimited => "rate_limited",
            Self::PlatformError => "platform_error",
            Self::CredentialsUnreadable => "credentials_unreadable",
        }
    }

    /// Whether the tracker refused the credentials or the right to report, or they cannot even be read.
    pub fn is_refusal(self) -> bool {
        self == Self::CredentialsUnreadable || ErrorKind::REFUSALS.into_iter().any(|kind| Self::from(kind) == self)
    }
}

impl From<ErrorKind> for FailureCode {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidUrl => Self::InvalidUrl,
            ErrorKind::EgressBlocked => Self::EgressBlocked,
            ErrorKind::DnsFailed => Self::DnsFailed,
            ErrorKind::ConnectFailed => Self::ConnectFailed,
            ErrorKind::TlsFailed => Self::TlsFailed,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Redirected => Self::Redirected,
            ErrorKind::NotThisPlatform | ErrorKind::BadResponse => Self::NotThisPlatform,
            ErrorKind::AccessBlocked => Self::AccessBlocked,
            ErrorKind::CredentialsRejected => Self::CredentialsRejected,
            ErrorKind::WrongPortal => Self::WrongPortal,
            ErrorKind::InsufficientPermissions => Self::InsufficientPermissions,
            ErrorKind::IpNotAllowed => Self::IpNotAllowed,
            ErrorKind::AffiliateIdRequired => Self::AffiliateIdRequired,
            ErrorKind::RateLimited | ErrorKind::Overloaded => Self::RateLimited,
            ErrorKind::Failing | ErrorKind::Unsupported | ErrorKind::Inconsistent => Self::PlatformError,
        }
    }
}

/// Why a verification did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// The cause.
    pub code: FailureCode,
    /// Who can fix it.
    pub owner: Owner,
    /// Whether trying again later may help without changing anything.
    pub retryable: bool,
    /// The field of the create body that the cause lies in.
    #[schema(required, example = "/credentials/api_key")]
    pub pointer: Option<String>,
    /// What happened, in the tracker's terms, with the host.
    pub detail: String,
    /// The one next step.
    pub hint: String,
}

/// What a verification found out beside the verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Detected {
    /// The type the credentials really have, where the platform reports it.
    #[schema(required)]
    pub connection_type: Option<ConnectionType>,
    /// The generation of the tracker, where there are several.
    #[schema(required, example = "v2")]
    pub platform_version: Option<String>,
    /// The account the credentials belong to.
    #[schema(required)]
    pub account: Option<String>,
    /// The currency the account reports in.
    #[schema(required, example = "USD")]
    pub currency: Option<String>,
    /// The time zone the account reports in.
    #[schema(required)]
    pub timezone: Option<String>,
}

impl Detected {
    /// The same in words that can be shown: whatever a platform reads here, a tracker may have put there. What is
    /// changed by that is no currency and no time zone, and is not taken for one by a pull either.
    pub(super) fn quoted(self, upstream: &Upstream) -> Self {
        let quoted = |text: Option<String>| text.map(|text| upstream.quote(&text)).filter(|text| !text.is_empty());
        Self {
            connection_type: self.connection_type,
            platform_version: quoted(self.platform_version),
            account: quoted(self.account),
            currency: quoted(self.currency),
            timezone: quoted(self.timezone),
        }
    }
}

/// The whole answer of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// How it ended.
    pub status: VerificationStatus,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub checked_at: Timestamp,
    /// How long it took in all.
    #[schema(example = 84)]
    pub duration_ms: u64,
    /// The stages, in order.
    pub stages: Vec<StageReport>,
    /// The cause, unless it ended well.
    #[schema(required)]
    pub failure: Option<Failure>,
    /// What was found out.
    pub detected: Detected,
}

/// What is verified, as far as the diagnosis depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// The type the connection says it is of.
    pub connection_type: ConnectionType,
    /// The settings field that decides which host is called, if the user enters one.
    pub address_field: Option<&'static str>,
    /// The credentials field to look at when the platform rejects them.
    pub main_secret: Option<&'static str>,
    /// Whether the host is the platform's own gateway, which no user entered.
    pub is_gateway: bool,
}

/// What an outcome means, stage by stage.
pub fn report(
    subject: Subject,
    outcome: Result<Detected, PlatformError>,
    timings: &Timings,
    took: Duration,
) -> Verification {
    let failed_at = outcome.as_ref().err().map(stage_of);
    let stages = Stage::ALL
        .into_iter()
        .map(|name| {
            let skipped = failed_at.is_some_and(|failed| name > failed) || timings.is_skipped(name);
            let failed = failed_at == Some(name);
            StageReport {
                name,
                status: match (failed, skipped) {
                    (true, _) => StageStatus::Failed,
                    (false, true) => StageStatus::Skipped,
                    (false, false) => StageStatus::Ok,
                },
                duration_ms: if skipped && !failed { None } else { timings.millis(name) },
                detail: if failed { outcome.as_ref().err().map(|error| error.detail.clone()) } else { None },
            }
        })
        .collect();
    let (status, failure, detected) = match outcome {
        Ok(detected) => (VerificationStatus::Ok, None, detected),
        Err(error) => {
            let (status, failure) = diagnose(subject, &error);
            let portal = match error.kind {
                ErrorKind::WrongPortal => Some(subject.connection_type.other()),
                _ => None,
            };
            (status, Some(failure), Detected { connection_type: portal, ..Detected::default() })
        }
    };
    Verification { status, checked_at: Timestamp::now(), duration_ms: millis(took), stages, failure, detected }
}

impl Verification {
    /// The verification of credentials that this service itself can no longer read.
    pub fn unreadable() -> Self {
        Self {
            status: VerificationStatus::Failed,
            checked_at: Timestamp::now(),
            duration_ms: 0,
            stages: Stage::ALL
                .into_iter()
                .map(|name| StageReport { name, status: StageStatus::Skipped, duration_ms: None, detail: None })
                .collect(),
            failure: Some(Failure {
                code: FailureCode::CredentialsUnreadable,
                owner: Owner::Service,
                retryable: false,
                pointer: None,
                detail:
                    "The stored credentials cannot be read: they were sealed under a key this service no longer has."
                        .to_owned(),
                hint: "Enter the credentials again, or give the service its old key back.".to_owned(),
            }),
            detected: Detected::default(),
        }
    }
}

/// The stage a failure belongs to.
fn stage_of(error: &PlatformError) -> Stage {
    error.stage.unwrap_or(match error.kind {
        ErrorKind::InvalidUrl | ErrorKind::EgressBlocked | ErrorKind::DnsFailed => Stage::Resolve,
        ErrorKind::ConnectFailed => Stage::Connect,
        ErrorKind::TlsFailed => Stage::Tls,
        ErrorKind::Timeout
        | ErrorKind::Redirected
        | ErrorKind::NotThisPlatform
        | ErrorKind::AccessBlocked
        | ErrorKind::RateLimited
        | ErrorKind::Failing
        | ErrorKind::Unsupported
        | ErrorKind::BadResponse
        | ErrorKind::Inconsistent
        | ErrorKind::Overloaded => Stage::Request,
        ErrorKind::CredentialsRejected
        | ErrorKind::WrongPortal
        | ErrorKind::IpNotAllowed
        | ErrorKind::AffiliateIdRequired => Stage::Authenticate,
        ErrorKind::InsufficientPermissions => Stage::Authorize,
    })
}

/// What an error means, in a verification or a pull.
pub fn failure(subject: Subject, error: &PlatformError) -> Failure {
    diagnose(subject, error).1
}

/// Names the cause of a failed verification: one match from what a platform did to what is reported to the user.
fn diagnose(subject: Subject, error: &PlatformError) -> (VerificationStatus, Failure) {
    use VerificationStatus::{Failed, Inconclusive};
    // Nobody typed a gateway's host; what the user entered beside it may still be wrong.
    let is_users = !subject.is_gateway || error.owner == Some(Owner::You);
    let address = subject.address_field.filter(|_| is_users).map(|field| format!("/settings/{field}"));
    let secret = subject.main_secret.map(|field| format!("/credentials/{field}"));
    let (status, owner, pointer, hint) = match error.kind {
        ErrorKind::InvalidUrl => (Failed, Owner::You, address, "Check the address for typing mistakes."),
        ErrorKind::EgressBlocked => (
            Failed,
            Owner::You,
            address,
            "Use the tracker's public https address, or ask the operator of this service to allow this one.",
        ),
        ErrorKind::DnsFailed => (
            Inconclusive,
            Owner::You,
            address,
            "Check the host name for typing mistakes; if it is new, its DNS entry may not be visible yet.",
        ),
        ErrorKind::ConnectFailed => (
            Inconclusive,
            Owner::TrackerAdmin,
            address,
            "Check that the tracker is running and that its firewall lets this service in; then verify again.",
        ),
        ErrorKind::TlsFailed => (
            Inconclusive,
            Owner::TrackerAdmin,
            address,
            "Ask the tracker's administrator to check the TLS settings of the server.",
        ),
        ErrorKind::Timeout => (
            Inconclusive,
            Owner::TrackerAdmin,
            address,
            "The tracker is too slow just now; verify again in a few minutes.",
        ),
        ErrorKind::Redirected => {
            (Failed, Owner::You, address, "Enter the address the redirect leads to, if it is the tracker's own.")
        }
        ErrorKind::NotThisPlatform | ErrorKind::BadResponse => (
            Failed,
            Owner::You,
            address,
            "Check that the address is the tracker's API address and not a login page or another product.",
        ),
        ErrorKind::AccessBlocked => (
            Inconclusive,
            Owner::TrackerAdmin,
            None,
            "Ask the tracker's administrator to let this service's address through to the API.",
        ),
        ErrorKind::CredentialsRejected => {
            (Failed, Owner::You, secret, "Copy the key again from the tracker and check that it has not been revoked.")
        }
        ErrorKind::WrongPortal => (
            Failed,
            Owner::You,
            Some("/connection_type".to_owned()),
            match subject.connection_type {
                ConnectionType::Admin => "This is an affiliate key: add it as a connection of type affiliate.",
                ConnectionType::Affiliate => "This is an admin key: add it as a connection of type admin.",
            },
        ),
        ErrorKind::InsufficientPermissions => {
            (Failed, Owner::TrackerAdmin, None, "Ask the tracker's administrator to let this key read statistics.")
        }
        ErrorKind::IpNotAllowed => (
            Failed,
            Owner::TrackerAdmin,
            None,
            "Ask the tracker's administrator to allow this service's address for this key.",
        ),
        ErrorKind::AffiliateIdRequired => (
            Failed,
            Owner::You,
            Some("/settings/affiliate_id".to_owned()),
            "Enter the Affiliate ID that is shown beside the key.",
        ),
        ErrorKind::RateLimited | ErrorKind::Overloaded => {
            (Inconclusive, Owner::Platform, None, "The platform is throttling; verify again in a few minutes.")
        }
        ErrorKind::Failing | ErrorKind::Unsupported | ErrorKind::Inconsistent => {
            (Inconclusive, Owner::Platform, None, "The platform is failing just now; verify again in a few minutes.")
        }
    };
    let (owner, hint) = match (!is_users).then(|| at_gateway(error.kind)).flatten() {
        Some((owner, hint)) => (owner, error.hint.as_deref().filter(|_| error.owner == Some(owner)).unwrap_or(hint)),
        None => (error.owner.unwrap_or(owner), error.hint.as_deref().unwrap_or(hint)),
    };
    let failure = Failure {
        code: error.kind.into(),
        owner,
        retryable: status == Inconclusive && !error.lasts,
        pointer,
        detail: error.detail.clone(),
        hint: hint.to_owned(),
    };
    (status, failure)
}

/// Who acts where a platform's own gateway is out of reach: its vendor, or the operator of this service.
fn at_gateway(kind: ErrorKind) -> Option<(Owner, &'static str)> {
    match kind {
        ErrorKind::InvalidUrl | ErrorKind::EgressBlocked | ErrorKind::DnsFailed => Some((
            Owner::Service,
            "Nothing you entered is wrong. Try again in a few minutes; if it lasts, ask the operator of this service to \
             check its name resolution and the platform's address in its configuration.",
        )),
        ErrorKind::ConnectFailed
        | ErrorKind::TlsFailed
        | ErrorKind::Timeout
        | ErrorKind::Redirected
        | ErrorKind::NotThisPlatform
        | ErrorKind::AccessBlocked
        | ErrorKind::BadResponse => Some((
            Owner::Platform,
            "Nothing you entered is wrong. Try again in a few minutes; if it lasts, ask the platform's support.",
        )),
        ErrorKind::CredentialsRejected
        | ErrorKind::WrongPortal
        | ErrorKind::InsufficientPermissions
        | ErrorKind::IpNotAllowed
        | ErrorKind::AffiliateIdRequired
        | ErrorKind::RateLimited
        | ErrorKind::Failing
        | ErrorKind::Unsupported
        | ErrorKind::Inconsistent
        | ErrorKind::Overloaded => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_by_its_key() {
        for code in FailureCode::ALL {
            assert_eq!(serde_json::to_value(code).expect("JSON"), code.key());
        }
    }

    #[test]
    fn the_refusals_among_the_codes_are_those_of_the_tracker_and_unreadable_credentials() {
        let refusals: Vec<&str> =
            FailureCode::ALL.into_iter().filter(|code| code.is_refusal()).map(FailureCode::key).collect();
        assert_eq!(
            refusals,
            [
                "credentials_rejected",
                "wrong_portal",
                "insufficient_permissions",
                "ip_not_allowed",
                "affiliate_id_required",
                "credentials_unreadable",
            ]
        );
    }
}
