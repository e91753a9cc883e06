//! Who is asking.

mod plan;

use secrecy::SecretString;

pub use self::plan::{Plan, PlanLimits, UnknownPlan};

/// Which tokens are believed.
#[derive(Debug, Clone, Default)]
pub struct AuthConfig {
    /// The HS256 secret. Not used for verification when `jwks_url` is set.
    pub secret: Option<SecretString>,
    /// Where the public keys of the issuer are.
    pub jwks_url: Option<String>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must be, or contain.
    pub audience: Option<String>,
}
