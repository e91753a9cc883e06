//! Who is asking: bearer tokens, and what they allow.
//!
//! A token is a JWT. Which algorithm it must be signed with is configuration, never the token's own say: HS256 with
//! the configured secret, or, where the issuer publishes its keys, the algorithm that belongs to the type of the key.

mod claims;
mod jwks;
mod mint;
mod scope;
mod verifier;

use secrecy::SecretString;
use url::Url;

pub use self::claims::Token;
#[cfg(fuzzing)]
pub use self::jwks::fuzz as fuzz_jwks;
pub use self::mint::{Grant, MintError, mint};
pub use self::scope::{Scope, Scopes, UnknownScope};
pub use self::verifier::{NoKeys, Verifier};

/// Which tokens are believed.
#[derive(Debug, Clone, Default)]
pub struct AuthConfig {
    /// The HS256 secret. Not used for verification when `jwks_url` is set.
    pub secret: Option<SecretString>,
    /// Where the public keys of the issuer are.
    pub jwks_url: Option<Url>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must be, or contain.
    pub audience: Option<String>,
}

/// Why a token is not believed. What it says is safe to show: no part of the token is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is longer than any token of ours.
    #[error("The token is too long.")]
    TooLong,
    /// It is no JWT, or a claim is not of its type.
    #[error("The token cannot be read.")]
    Malformed,
    /// It names another algorithm than the configured one.
    #[error("The token is signed with an algorithm that is not accepted here.")]
    WrongAlgorithm,
    /// The issuer has published no such key.
    #[error("The token is signed with an unknown key.")]
    UnknownKey,
    /// The signature does not match.
    #[error("The token's signature is not valid.")]
    BadSignature,
    /// There is no `exp` that is a time.
    #[error("The token has no valid `exp`: tokens must expire.")]
    NoExpiry,
    /// `exp` is over.
    #[error("The token has expired.")]
    Expired,
    /// `nbf` is still to come.
    #[error("The token is not valid yet.")]
    NotYetValid,
    /// `iss` is missing or another.
    #[error("The token is from another issuer.")]
    WrongIssuer,
    /// `aud` is missing or another.
    #[error("The token is for another audience.")]
    WrongAudience,
    /// `org` is empty or absurd.
    #[error("The token's `org` is not an organisation id.")]
    BadOrganisation,
    /// There is neither `org` nor the right to name one.
    #[error("The token names no organisation.")]
    NoOrganisation,
    /// There is `org` and the right to name any.
    #[error("The token has `org` and the scope `org:any`; it must have one of them.")]
    TwoOrganisations,
    /// `plan` is none of ours.
    #[error("The token's `plan` is unknown.")]
    UnknownPlan,
    /// Nothing is wrong with the token; its issuer's keys have not been reachable so far.
    #[error("The keys of the token issuer cannot be fetched at the moment.")]
    KeysUnavailable,
}
