//! Problems (RFC 9457): every way this service says no, in one table.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::auth::Scope;
use crate::db::DbError;
use crate::input::InputCode;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::platforms::verification::{FailureCode, Verification};
use crate::telemetry;
use crate::tenancy::Plan;

/// The most errors of one problem: a request must not be answered with many times its own size.
const MAX_ERRORS: usize = 100;

/// The most of a field's name that is repeated, in characters.
const MAX_FIELD: usize = 100;

/// What is wrong with a field: its form, or what came of trying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum FieldCode {
    /// Its form.
    Input(InputCode),
    /// The tracker, or the way there.
    Verification(FailureCode),
}

impl From<InputCode> for FieldCode {
    fn from(code: InputCode) -> Self {
        Self::Input(code)
    }
}

impl From<FailureCode> for FieldCode {
    fn from(code: FailureCode) -> Self {
        Self::Verification(code)
    }
}

impl fmt::Display for FieldCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(out)
    }
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// JSON pointer into the body, or `/<parameter>` for a query parameter.
    #[schema(example = "/credentials/api_key")]
    pub pointer: String,
    /// A stable code.
    #[schema(example = "required")]
    pub code: FieldCode,
    /// What is wrong and how it should be.
    pub detail: String,
}

impl FieldProblem {
    /// Something that is wrong with what stands at a JSON pointer.
    pub fn new(pointer: impl Into<String>, code: impl Into<FieldCode>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }

    /// Something that is wrong with the member `key` of what stands at the JSON pointer `parent` (RFC 6901). A member's
    /// name may be anything, so only so much of it is repeated.
    pub fn at(parent: &str, key: &str, code: impl Into<FieldCode>, detail: impl Into<String>) -> Self {
        let key: String = key.chars().take(MAX_FIELD).collect();
        Self::new(format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1")), code, detail)
    }

    /// What is wrong, for people: the field as it is called, and the detail.
    fn in_words(&self) -> String {
        let fields = self.pointer.split('/').skip(1).map(|field| field.replace("~1", "/").replace("~0", "~"));
        match fields.collect::<Vec<_>>().join(".") {
            whole if whole.is_empty() => self.detail.clone(),
            field => format!("{field}: {}", self.detail),
        }
    }
}

macro_rules! codes {
    ($($variant:ident $slug:literal $status:literal $title:literal $explanation:literal)*) => {
        /// The stable code of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it stands in JSON and in the problem's type.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug),* }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// A fixed short title.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            /// What it means and what to do, for the page behind the problem's type.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation),* }
            }
        }
    };
}

codes! {
    MalformedRequest "malformed_request" 400 "Malformed request"
        "The request cannot be read: the JSON has a syntax error, a header is missing or unreadable, or the body is not text. Fix what the detail names and send it again."
    Unauthorized "unauthorized" 401 "Not authenticated"
        "There is no bearer token, or it is not valid: expired, of another issuer or audience, or signed with another key or algorithm. Get a new token and send it as `Authorization: Bearer …`."
    Forbidden "forbidden" 403 "Not allowed"
        "The token is valid but does not carry the scope this call needs, or names another organisation than the request."
    NotFound "not_found" 404 "Not found"
        "There is nothing at this address that this organisation may see."
    MethodNotAllowed "method_not_allowed" 405 "Method not allowed"
        "The address exists, but not with this method. The Allow header lists the methods it has."
    NotAcceptable "not_acceptable" 406 "Not acceptable"
        "None of the media types in the Accept header can be produced here. Statistics come as application/json, application/x-ndjson and text/csv; everything else as application/json."
    PayloadTooLarge "payload_too_large" 413 "Body too large"
        "The body is larger than 64 KiB."
    UnsupportedMediaType "unsupported_media_type" 415 "Unsupported media type"
        "The body must be JSON: send `Content-Type: application/json` (PATCH also takes application/merge-patch+json)."
    ConnectionLimitReached "connection_limit_reached" 409 "Connection limit reached"
        "The organisation already has as many connections as its plan allows; plan, limit and used say how many. Delete one or move to a larger plan. Demo connections do not count, but there may be at most 100 of them."
    WebhookLimitReached "webhook_limit_reached" 409 "Webhook limit reached"
        "The organisation already has as many webhooks as this service allows; limit and used say how many. Delete one that is no longer needed."
    NameTaken "name_taken" 409 "Name already taken"
        "Another connection of the organisation has this name; neither letter case nor letters that look alike distinguish names."
    RequestInProgress "request_in_progress" 409 "Request still in progress"
        "A request with the same Idempotency-Key is still running. Wait a moment and send it again."
    ConnectionDeleted "connection_deleted" 410 "Connection deleted"
        "The connection existed and was deleted; its credentials are destroyed. Add it again and use the new id, also in automations."
    VersionConflict "version_conflict" 412 "Changed in the meantime"
        "The connection or webhook is not at the version the request was made for. Read it again, and repeat the change on what is there now."
    ValidationFailed "validation_failed" 422 "Validation failed"
        "Fields or parameters are wrong; errors lists all of them, each with a pointer, a code and the fix."
    SecretRequired "secret_required" 422 "Secrets needed again"
        "The change moves the connection to another host. Stored secrets never go to a host they were not saved for: send them again with the change."
    VerificationFailed "verification_failed" 422 "Verification failed"
        "The tracker refused the connection, or the address is not the tracker's; nothing was saved. The member verification holds the stages, the cause and the next step."
    VerificationInconclusive "verification_inconclusive" 422 "Verification inconclusive"
        "The tracker could not be reached, is failing or throttling, so nothing is known of the credentials; nothing was saved. Try again later, or save with verify=deferred."
    IdempotencyKeyReused "idempotency_key_reused" 422 "Idempotency key reused"
        "The Idempotency-Key was used within the last 24 hours with another body. Use a new key for a new request."
    UnsupportedQuery "unsupported_query" 422 "Query not supported by the platform"
        "The platform cannot answer this question exactly, or it is beyond a limit; the detail names what is possible. Nothing is ever approximated or cut."
    PlatformUnavailable "platform_unavailable" 422 "Platform not available yet"
        "Connections to this platform cannot be made yet; the catalogue lists it as coming soon."
    EgressBlocked "egress_blocked" 422 "Address not allowed"
        "The address of the connection or webhook is not one this service may call: only public hosts over https, unless the operator allows more."
    CredentialsRejected "credentials_rejected" 424 "Tracker rejected the credentials"
        "The tracker does not accept the stored credentials any more. Renew them there and update the connection."
    InsufficientPermissions "insufficient_permissions" 424 "Tracker denies reporting"
        "The tracker accepts the credentials but does not let them read this report. Ask its administrator for the permission."
    IpNotAllowed "ip_not_allowed" 424 "Tracker does not accept this service's address"
        "The tracker restricts where the key may be used from. Ask its administrator to allow this service's address."
    WrongPortal "wrong_portal" 424 "Credentials of the other portal"
        "The stored credentials belong to the other connection type. Add a connection of that type."
    CredentialsUnreadable "credentials_unreadable" 424 "Stored credentials unreadable"
        "The stored credentials were sealed under a key this service no longer has. Enter them again."
    RateLimited "rate_limited" 429 "Too many requests"
        "The organisation is over this service's own limit. Retry-After says when to come back."
    Internal "internal" 500 "Internal error"
        "Something failed in this service. The request id finds it in the logs."
    AccessBlocked "access_blocked" 502 "Something in front of the tracker answers"
        "Not the tracker answered but something in front of it: a challenge page, a firewall, a password wall. It says nothing about the key, and the connection stays as it is. Ask the tracker's administrator to let this service's addresses through."
    UpstreamUnavailable "upstream_unavailable" 502 "Tracker not available"
        "The tracker cannot be reached or answers that it is failing. Nothing needs to be changed; try again later."
    UpstreamProtocolError "upstream_protocol_error" 502 "Tracker answered nonsense"
        "The tracker's answer cannot be understood or contradicts itself, so no number of it is shown. If it lasts, check the connection's address."
    UpstreamRateLimited "upstream_rate_limited" 503 "Tracker is throttling"
        "The tracker asks to be called less often. Retry-After says when to try again."
    Overloaded "overloaded" 503 "Overloaded"
        "Too much is waiting already, or the service's own database is not available. Retry-After says when to try again."
    ShuttingDown "shutting_down" 503 "Shutting down"
        "This instance is being stopped. Send the request again; another instance takes it."
    UpstreamTimeout "upstream_timeout" 504 "Tracker too slow"
        "The tracker did not answer within the time a request may take. Try again, or ask for less at once."
}

impl Code {
    /// Whether it says that the tracker was asked and refused what is stored.
    pub(crate) fn is_trackers_refusal(self) -> bool {
        ErrorKind::REFUSALS.into_iter().any(|kind| reported(kind).0 == self)
    }
}

/// A problem, before it is put into a response.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What kind.
    pub code: Code,
    /// What happened this time.
    pub detail: String,
    /// The next step.
    pub hint: Option<String>,
    /// All fields that are wrong.
    pub errors: Vec<FieldProblem>,
    /// Further members of the body.
    pub members: Map<String, Value>,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// For the log only: what really failed.
    pub cause: Option<String>,
}

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The problem's type, a page that explains it.
    #[serde(rename = "type")]
    #[schema(example = "/problems/validation_failed")]
    pub problem_type: String,
    /// The type's title.
    #[schema(example = "Validation failed")]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The path of the request.
    #[schema(example = "/api/v1/connections")]
    pub instance: String,
    /// The type's code.
    pub code: Code,
    /// The next step.
    #[schema(required)]
    pub hint: Option<String>,
    /// Finds the request in the logs.
    pub request_id: String,
    /// All fields that are wrong, on validation problems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
    /// Members that only some problems have.
    #[serde(flatten)]
    #[schema(value_type = ProblemMembers)]
    pub members: Map<String, Value>,
}

/// Members that only some problems have.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Problem::with` adds")]
pub(crate) struct ProblemMembers {
    /// The whole verification, where one was the reason.
    #[schema(required = false, nullable = false)]
    verification: Option<Verification>,
    /// The organisation's plan, where it is used up.
    #[schema(required = false, nullable = false)]
    plan: Option<Plan>,
    /// What is allowed: connections of the plan, webhooks, or requests in the time.
    #[schema(required = false, nullable = false, example = 3)]
    limit: Option<u32>,
    /// Connections that count, or webhooks.
    #[schema(required = false, nullable = false, example = 3)]
    used: Option<u32>,
    /// What is limited, unless it is the organisation.
    #[schema(required = false, nullable = false, example = "address")]
    limited_by: Option<String>,
    /// The scope that the token does not carry.
    #[schema(required = false, nullable = false)]
    scope: Option<Scope>,
}

impl Problem {
    /// A problem with a sentence about this occurrence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
            members: Map::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// With the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a further member.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.members.insert(key.to_owned(), value);
        }
        self
    }

    /// With the time to come back.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// All wrong fields at once, or as many as a problem holds.
    pub fn validation(mut errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.in_words(),
            many if many.len() > MAX_ERRORS => {
                format!("{} fields are wrong; errors has the first {MAX_ERRORS}.", many.len())
            }
            many => format!("{} fields are wrong; see errors.", many.len()),
        };
        errors.truncate(MAX_ERRORS);
        Self { errors, ..Self::new(Code::ValidationFailed, detail) }
    }

    /// Something failed inside; `cause` goes to the log and nowhere else.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::new(Code::Internal, "Something failed in this service.") }
    }

    /// Nothing is there that the organisation may see.
    pub fn no_connection() -> Self {
        Self::new(Code::NotFound, "There is no connection with this id.")
    }

    /// No webhook is there that the organisation may see.
    pub fn no_webhook() -> Self {
        Self::new(Code::NotFound, "There is no webhook with this id.")
    }

    /// The body, for a request.
    pub fn body(&self, instance: &str, request_id: &str) -> ProblemBody {
        ProblemBody {
            problem_type: format!("/problems/{}", self.code.slug()),
            title: self.code.title(),
            status: self.code.status(),
            detail: self.detail.clone(),
            instance: instance.to_owned(),
            code: self.code,
            hint: self.hint.clone(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
            members: self.members.clone(),
        }
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let chain = telemetry::chain(&error);
        match error {
            DbError::Unavailable(_) | DbError::ReadOnly(_) => Self {
                cause: Some(chain),
                retry_after: Some(Duration::from_secs(2)),
                ..Self::new(Code::Overloaded, "The service's database is not available just now.")
            },
            DbError::TooSlow => Self {
                cause: Some(chain),
                retry_after: Some(Duration::from_secs(2)),
                ..Self::new(Code::Overloaded, "The service's database takes too long just now.")
            },
            DbError::Conflict | DbError::Query(_) => Self::internal(chain),
        }
    }
}

impl From<diesel::result::Error> for Problem {
    fn from(error: diesel::result::Error) -> Self {
        DbError::from(error).into()
    }
}

/// What the caller of a pull gets to know of a failure, with the next step where the failure itself has none.
const fn reported(kind: ErrorKind) -> (Code, Option<&'static str>) {
    match kind {
        ErrorKind::Unsupported => (Code::UnsupportedQuery, None),
        ErrorKind::EgressBlocked => {
            (Code::EgressBlocked, Some("Ask the operator of this service to allow the address."))
        }
        ErrorKind::CredentialsRejected | ErrorKind::AffiliateIdRequired => {
            (Code::CredentialsRejected, Some("Renew the credentials and update the connection."))
        }
        ErrorKind::WrongPortal => (Code::WrongPortal, Some("Add a connection of the other type.")),
        ErrorKind::InsufficientPermissions => {
            (Code::InsufficientPermissions, Some("Ask the tracker's administrator to let this key read statistics."))
        }
        ErrorKind::IpNotAllowed => {
            (Code::IpNotAllowed, Some("Ask the tracker's administrator to allow this service's address."))
        }
        ErrorKind::AccessBlocked => {
            (Code::AccessBlocked, Some("Ask the tracker's administrator to let this service's address through."))
        }
        ErrorKind::RateLimited => (Code::UpstreamRateLimited, None),
        ErrorKind::Overloaded => (Code::Overloaded, None),
        ErrorKind::Timeout => (Code::UpstreamTimeout, Some("Try again, or ask for a shorter range.")),
        ErrorKind::InvalidUrl
        | ErrorKind::DnsFailed
        | ErrorKind::ConnectFailed
        | ErrorKind::TlsFailed
        | ErrorKind::Failing => {
            (Code::UpstreamUnavailable, Some("Try again later; verify the connection if it lasts."))
        }
        ErrorKind::Redirected | ErrorKind::NotThisPlatform | ErrorKind::BadResponse | ErrorKind::Inconsistent => {
            (Code::UpstreamProtocolError, Some("Try again; verify the connection if it lasts."))
        }
    }
}

impl From<PlatformError> for Problem {
    /// What a platform did, as it is reported to the caller of a pull. A verification says the same in its own form.
    fn from(error: PlatformError) -> Self {
        let (code, hint) = reported(error.kind);
        let wait = match code {
            Code::UpstreamRateLimited | Code::Overloaded => {
                Some(error.retry_after.unwrap_or(Duration::from_secs(30)).max(Duration::from_secs(1)))
            }
            _ => error.retry_after,
        };
        Self {
            hint: error.hint.or_else(|| hint.map(str::to_owned)),
            retry_after: wait,
            ..Self::new(code, error.detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(parent: &str, key: &str) -> FieldProblem {
        FieldProblem::at(parent, key, InputCode::Required, "This field is required.")
    }

    #[test]
    fn a_pointer_is_escaped_and_bounded() {
        assert_eq!(wrong("/settings", "a/b~c").pointer, "/settings/a~1b~0c");
        assert_eq!(wrong("", &"x".repeat(1_000)).pointer.len(), 101);
    }

    #[test]
    fn a_detail_names_the_field_and_is_no_pointer() {
        let detail = |errors| Problem::validation(errors).detail;
        assert_eq!(detail(vec![wrong("/credentials", "api_key")]), "credentials.api_key: This field is required.");
        assert_eq!(detail(vec![wrong("", "a/b")]), "a/b: This field is required.");
        let whole = FieldProblem::new("", InputCode::Type, "The body must be a JSON object.");
        assert_eq!(detail(vec![whole]), "The body must be a JSON object.");
        assert_eq!(detail(vec![wrong("", "a"), wrong("", "b")]), "2 fields are wrong; see errors.");
    }

    #[test]
    fn a_problem_holds_a_hundred_errors_and_says_how_many_there_were() {
        let problem = Problem::validation((0..5_000).map(|number| wrong("", &number.to_string())).collect());
        assert_eq!((problem.errors.len(), problem.errors.first()), (100, Some(&wrong("", "0"))));
        assert_eq!(problem.detail, "5000 fields are wrong; errors has the first 100.");
    }

    #[test]
    fn a_field_code_is_written_as_its_key() {
        for (code, key) in [
            (FieldCode::from(InputCode::OutOfRange), "out_of_range"),
            (FieldCode::from(FailureCode::CredentialsRejected), "credentials_rejected"),
        ] {
            assert_eq!((code.to_string().as_str(), serde_json::to_value(code).expect("json")), (key, key.into()));
        }
    }
}
