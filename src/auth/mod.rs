//! Who is asking: bearer tokens, and what they allow.
//!
//! A token is a JWT. Which algorithm it must be signed with is configuration, never the token's own say: HS256 with
//! the configured secret, or, where the issuer publishes its keys, the algorithm that belongs to the type of the key.

mod claims;
mod jwks;
mod mint;
mod provider;
mod scope;
mod verifier;

use secrecy::SecretString;
use url::Url;

pub use self::claims::MAX_SUBJECT;
pub use self::claims::Token;
#[cfg(fuzzing)]
pub use self::jwks::fuzz as fuzz_jwks;
pub use self::mint::{Grant, MintError, mint};
pub use self::provider::install_provider;
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
    #[error("The token is longer than any token this service takes.")]
    TooLong,
    /// It is no JWT at all.
    #[error("The token is not a JWT.")]
    NotAJwt,
    /// It is a JWT with something in it that this service cannot make sense of.
    #[error("The token is a JWT whose header or claims cannot be read.")]
    Malformed,
    /// A claim is of another JSON type.
    #[error("The token's claim `{0}` is of the wrong type.")]
    ClaimType(&'static str),
    /// It names another algorithm than those that are accepted.
    #[error("The token is signed with an algorithm that is not accepted here; {0} is.")]
    WrongAlgorithm(&'static str),
    /// The issuer has published no such key.
    #[error("The token is signed with a key that its issuer has not published.")]
    UnknownKey,
    /// The signature does not match.
    #[error("The token's signature is not valid.")]
    BadSignature,
    /// There is no `exp` that is a time.
    #[error("The token has no `exp` that is a number of seconds: tokens must expire.")]
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
    /// `sub` is absurd.
    #[error("The token's `sub` is longer than 255 characters, or holds control characters.")]
    BadSubject,
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

impl AuthError {
    /// The next step of anyone who has such a token.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NotAJwt => {
                "Ask the token issuer for a JWT, and send it whole; opaque tokens and API keys are not taken."
            }
            Self::TooLong | Self::Malformed | Self::BadSubject => "Ask the token issuer for a smaller, plain token.",
            Self::ClaimType("exp" | "nbf") => "Ask the token issuer to write times as seconds since 1970.",
            Self::ClaimType(_) => "Ask the token issuer to write this claim as text; scopes are separated by blanks.",
            Self::WrongAlgorithm(_) => "Ask the token issuer to sign with an accepted algorithm.",
            Self::UnknownKey | Self::BadSignature => {
                "Get a new token; if it is refused too, it is not from the issuer that this service trusts."
            }
            Self::Expired => "Get a new token.",
            Self::NoExpiry => "Ask the token issuer for a token whose `exp` is in seconds since 1970.",
            Self::NotYetValid => "Wait until the token is valid, or compare the clocks of the issuer and this service.",
            Self::WrongIssuer | Self::WrongAudience => {
                "Get a token that is made for this service, from the issuer that it trusts."
            }
            Self::BadOrganisation | Self::NoOrganisation => {
                "Ask the token issuer for a token with the organisation's id in `org`."
            }
            Self::TwoOrganisations => "Ask the token issuer to leave out either `org` or the scope `org:any`.",
            Self::UnknownPlan => "Ask the token issuer for one of starter, pro, pro_plus and business as `plan`.",
            Self::KeysUnavailable => "Send the request again in a few seconds.",
        }
    }
}
