//! What can go wrong between this service and a platform, said once and without HTTP statuses of ours.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The true cause of a failure.
///
/// The first group is the closed set of failure codes of a verification; the second can only come up while
/// statistics are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The address cannot be called at all.
    InvalidUrl,
    /// The address leads to a place this service must not call.
    EgressBlocked,
    /// The host name does not resolve.
    DnsFailed,
    /// Nothing accepts the connection.
    ConnectFailed,
    /// There is no TLS: the certificate is refused, or the handshake fails.
    TlsFailed,
    /// No answer in time.
    Timeout,
    /// The answer is a redirect, which is never followed.
    Redirected,
    /// Something answers, but it is not this tracker's API.
    NotThisPlatform,
    /// Something in front of the platform answers instead of it.
    AccessBlocked,
    /// The platform does not accept the credentials.
    CredentialsRejected,
    /// The credentials are good, but of the other connection type.
    WrongPortal,
    /// The credentials are good, but may not read reports.
    InsufficientPermissions,
    /// The platform does not accept this service's address.
    IpNotAllowed,
    /// The network wants the affiliate's id beside the key.
    AffiliateIdRequired,
    /// The platform asks to be called less often.
    RateLimited,
    /// The platform answers that it is failing (5xx).
    Failing,

    /// The platform cannot answer this question; nothing is wrong with the connection.
    Unsupported,
    /// The answer cannot be understood, contradicts itself or is larger than allowed.
    BadResponse,
    /// The rows moved while they were read; reading everything again may help.
    Inconsistent,
    /// Too many calls are waiting for this platform already.
    Overloaded,
}

impl ErrorKind {
    /// Whether the same call may work a moment later without anybody fixing anything.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::DnsFailed
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::Timeout
            | Self::AccessBlocked
            | Self::RateLimited
            | Self::Failing
            | Self::Inconsistent
            | Self::Overloaded => true,
            Self::InvalidUrl
            | Self::EgressBlocked
            | Self::Redirected
            | Self::NotThisPlatform
            | Self::CredentialsRejected
            | Self::WrongPortal
            | Self::InsufficientPermissions
            | Self::IpNotAllowed
            | Self::AffiliateIdRequired
            | Self::Unsupported
            | Self::BadResponse => false,
        }
    }

    /// A short stable name, for metrics and logs.
    pub const fn label(self) -> &'static str {
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
            Self::Failing => "platform_error",
            Self::Unsupported => "unsupported",
            Self::BadResponse => "bad_response",
            Self::Inconsistent => "inconsistent",
            Self::Overloaded => "overloaded",
        }
    }

    /// The tracker refused the credentials or the right to report. Only such a refusal makes a connection `failing`; an
    /// outage never does. What failure codes and problem codes say of refusals follows from this list.
    pub const REFUSALS: [Self; 5] = [
        Self::CredentialsRejected,
        Self::WrongPortal,
        Self::InsufficientPermissions,
        Self::IpNotAllowed,
        Self::AffiliateIdRequired,
    ];

    /// Whether it is one of [`Self::REFUSALS`].
    pub fn is_refusal(self) -> bool {
        Self::REFUSALS.contains(&self)
    }
}

/// The stages a verification goes through, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The host name is looked up and its addresses are checked.
    Resolve,
    /// A TCP connection is made.
    Connect,
    /// TLS is negotiated.
    Tls,
    /// A first request is answered, by the right kind of server.
    Request,
    /// The credentials are accepted, and are of the right type.
    Authenticate,
    /// The smallest real report can be read.
    Authorize,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 6] =
        [Self::Resolve, Self::Connect, Self::Tls, Self::Request, Self::Authenticate, Self::Authorize];
}

/// Who can fix a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The person who entered the connection.
    You,
    /// The operator of the tracker.
    TrackerAdmin,
    /// The platform's vendor.
    Platform,
    /// This service.
    Service,
}

/// One failure, with the words a person needs.
///
/// `detail` and `hint` may be shown to the user as they are: text quoted from a tracker goes through
/// `Upstream::quote` first, and no URL, header or credential is ever part of either.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct PlatformError {
    /// The cause.
    pub kind: ErrorKind,
    /// What happened, in the tracker's terms, with the host.
    pub detail: String,
    /// The one next step, where there is a better one than the kind's own.
    pub hint: Option<String>,
    /// How long the platform (or a breaker) asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The stage it happened in, where the kind alone does not name it.
    pub stage: Option<Stage>,
    /// Who can fix it, where it is not who usually can.
    pub owner: Option<Owner>,
    /// Whether it is known that a second try ends in the same way.
    pub lasts: bool,
}

impl PlatformError {
    /// A failure of this kind.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), hint: None, retry_after: None, stage: None, owner: None, lasts: false }
    }

    /// With the next step for the person who reads it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With the time to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// With the stage, where the kind alone does not name it.
    #[must_use]
    pub fn at(mut self, stage: Stage) -> Self {
        self.stage = Some(stage);
        self
    }

    /// The question is beyond the platform.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, detail)
    }

    /// The answer is not what this platform answers.
    pub(crate) fn bad_response(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadResponse, detail)
    }
}
