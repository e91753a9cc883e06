//! Tokens of our own making, for development and tests.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::provider::install_provider;
use super::{AuthConfig, Scope, Scopes, UnknownScope};
use crate::tenancy::{OrgId, Plan};

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The organisation; left out of a token with the scope `org:any`.
    pub organisation: OrgId,
    /// Its plan.
    pub plan: Plan,
    /// Scopes, separated by blanks.
    pub scope: String,
    /// Who asks.
    pub subject: String,
    /// How long it is good for.
    pub ttl: Duration,
}

impl Grant {
    /// Everything that an organisation's own user may do.
    pub const SCOPE: &str = "connections:read connections:write stats:read";
    /// Nobody in particular.
    pub const SUBJECT: &str = "dev";
    /// A day, in seconds.
    pub const TTL_S: u64 = 86_400;

    /// Everything an organisation's own user may do, for a day.
    pub fn new(organisation: OrgId, plan: Plan) -> Self {
        Self {
            organisation,
            plan,
            scope: Self::SCOPE.to_owned(),
            subject: Self::SUBJECT.to_owned(),
            ttl: Duration::from_secs(Self::TTL_S),
        }
    }
}

/// Why no token can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// A misspelt scope would make a token that silently allows less.
    #[error("`{0}`: {UnknownScope}")]
    UnknownScope(String),
    /// This service would not believe a token of its own.
    #[error("AUTH_JWKS_URL is set: tokens come from that issuer, and this service refuses its own")]
    ForeignIssuer,
    /// There is nothing to sign with.
    #[error("AUTH_JWT_SECRET is not set")]
    NoSecret,
    /// Signing failed.
    #[error("the token cannot be signed")]
    Signing,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<&'a OrgId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
    scope: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Makes a token that the [`super::Verifier`] of the same configuration believes.
///
/// # Errors
/// An unknown scope, or a configuration under which tokens are made elsewhere.
pub fn mint(config: &AuthConfig, grant: &Grant) -> Result<String, MintError> {
    if config.jwks_url.is_some() {
        return Err(MintError::ForeignIssuer);
    }
    let secret = config.secret.as_ref().ok_or(MintError::NoSecret)?;
    let known = |name: &str| name.parse::<Scope>().map_err(|_| MintError::UnknownScope(name.to_owned()));
    let scopes: Scopes = grant.scope.split_ascii_whitespace().map(known).collect::<Result<_, _>>()?;
    let internal = scopes.has(Scope::OrgAny);
    let now = get_current_timestamp();
    let claims = Claims {
        sub: &grant.subject,
        org: (!internal).then_some(&grant.organisation),
        plan: (!internal).then_some(grant.plan),
        scope: &grant.scope,
        iat: now,
        exp: now.saturating_add(grant.ttl.as_secs()),
        iss: config.issuer.as_deref(),
        aud: config.audience.as_deref(),
    };
    install_provider();
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|_| MintError::Signing)
}
