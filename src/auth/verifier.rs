//! Bearer tokens, checked.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, get_current_timestamp};
use moka::sync::Cache;
use ring::digest::{SHA256, digest};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::claims::{Claims, Token};
use super::jwks::{self, Jwks, Published};
use super::provider::install_provider;
use super::{AuthConfig, AuthError};
use crate::outbound::Transport;

/// No token of a real issuer is longer.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 30;

/// What tokens of an issuer that publishes its keys are signed with.
const PUBLISHED: &str = "RS256, ES256 or EdDSA";

/// How many believed tokens are remembered.
const MAX_REMEMBERED: u64 = 10_000;

/// Believes tokens, or says why not.
///
/// A believed token is remembered by its SHA-256 until it expires, so that most requests need no signature check.
/// With published keys it is looked at again whenever these have been fetched anew, in case its own is withdrawn.
pub struct Verifier {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
    remembered: Cache<[u8; 32], Arc<Remembered>>,
}

enum Keys {
    Secret(DecodingKey),
    Published(Jwks),
}

struct Remembered {
    token: Token,
    expires_at: u64,
    /// The set that its key was in, where keys are published.
    generation: Option<u64>,
}

/// The configuration names no way to tell a good token from a bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither AUTH_JWT_SECRET nor AUTH_JWKS_URL is set")]
pub struct NoKeys;

impl Verifier {
    /// A verifier of HS256 tokens or, where the address of the issuer's keys is set, of theirs only. The keys are
    /// fetched with the first token.
    ///
    /// # Errors
    /// [`NoKeys`].
    pub fn new(config: &AuthConfig, transport: &Transport) -> Result<Self, NoKeys> {
        let keys = match (&config.jwks_url, &config.secret) {
            (Some(url), _) => Keys::Published(Jwks::new(Published { transport: transport.clone(), url: url.clone() })),
            (None, Some(secret)) => Keys::Secret(DecodingKey::from_secret(secret.expose_secret().as_bytes())),
            (None, None) => return Err(NoKeys),
        };
        Ok(Self::with_keys(keys, config))
    }

    fn with_keys(keys: Keys, config: &AuthConfig) -> Self {
        install_provider();
        Self {
            keys,
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            remembered: Cache::builder().max_capacity(MAX_REMEMBERED).time_to_live(jwks::MAX_AGE).build(),
        }
    }

    /// What the token (without `Bearer `) stands for.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn verify(&self, bearer: &str) -> Result<Token, AuthError> {
        if bearer.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        let fingerprint = fingerprint(bearer);
        if let Some(token) = self.recall(&fingerprint, get_current_timestamp()) {
            return Ok(token);
        }
        let (claims, generation) = self.check(bearer).await?;
        let expires_at = claims.expires_at()?;
        let token = claims.into_token()?;
        self.remembered.insert(fingerprint, Arc::new(Remembered { token: token.clone(), expires_at, generation }));
        Ok(token)
    }

    /// A token that was believed before and is still good.
    fn recall(&self, fingerprint: &[u8; 32], now: u64) -> Option<Token> {
        let known = self.remembered.get(fingerprint)?;
        let keys_are_the_same = match &self.keys {
            Keys::Secret(_) => true,
            Keys::Published(jwks) => {
                known.generation.is_some_and(|generation| jwks.generation(Instant::now()) == Some(generation))
            }
        };
        let is_good = keys_are_the_same && now <= known.expires_at.saturating_add(LEEWAY);
        is_good.then(|| known.token.clone())
    }

    /// Checks signature, times, issuer and audience. Says which generation of published keys that was with.
    async fn check(&self, bearer: &str) -> Result<(Claims, Option<u64>), AuthError> {
        let header = jsonwebtoken::decode_header(bearer).map_err(|_| self.misread(bearer))?;
        // RFC 7515, 4.1.11: extensions that must be understood and are not make the token invalid.
        if header.crit.is_some() {
            return Err(AuthError::Malformed);
        }
        match &self.keys {
            Keys::Secret(secret) => Ok((self.decode(bearer, Algorithm::HS256, secret)?, None)),
            Keys::Published(jwks) => {
                let (key, generation) = Self::published_key(jwks, &header).await?;
                Ok((self.decode(bearer, key.algorithm, &key.decoding)?, Some(generation)))
            }
        }
    }

    /// The algorithms that are accepted.
    fn accepted(&self) -> &'static str {
        match &self.keys {
            Keys::Secret(_) => "HS256",
            Keys::Published(_) => PUBLISHED,
        }
    }

    /// What is wrong with a token whose header the library cannot read: it knows no algorithms but its own.
    fn misread(&self, bearer: &str) -> AuthError {
        #[derive(serde::Deserialize)]
        struct Named {
            alg: String,
        }
        let header = bearer.split('.').next().unwrap_or_default();
        let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
        let is_jwt = bearer.split('.').count() == 3
            && serde_json::from_slice::<Value>(&header).is_ok_and(|header| header.is_object());
        match serde_json::from_slice::<Named>(&header) {
            Ok(named) if is_jwt && named.alg.parse::<Algorithm>().is_err() => {
                AuthError::WrongAlgorithm(self.accepted())
            }
            _ if is_jwt => AuthError::Malformed,
            _ => AuthError::NotAJwt,
        }
    }

    async fn published_key(jwks: &Jwks, header: &Header) -> Result<(Arc<jwks::Key>, u64), AuthError> {
        // Asked before the issuer is: a token that can only be refused causes no fetch.
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Err(AuthError::WrongAlgorithm(PUBLISHED));
        }
        jwks.key(header.kid.as_deref(), Instant::now()).await
    }

    fn decode(&self, bearer: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<Claims, AuthError> {
        let decoded = jsonwebtoken::decode::<Claims>(bearer, key, &self.validation(algorithm));
        decoded.map(|data| data.claims).map_err(|error| self.refusal(error.kind()))
    }

    fn refusal(&self, kind: &ErrorKind) -> AuthError {
        match kind {
            ErrorKind::InvalidAlgorithm => AuthError::WrongAlgorithm(self.accepted()),
            ErrorKind::InvalidSignature => AuthError::BadSignature,
            ErrorKind::ExpiredSignature => AuthError::Expired,
            ErrorKind::ImmatureSignature => AuthError::NotYetValid,
            ErrorKind::InvalidIssuer => AuthError::WrongIssuer,
            ErrorKind::InvalidAudience => AuthError::WrongAudience,
            ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => AuthError::WrongIssuer,
            ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => AuthError::WrongAudience,
            ErrorKind::MissingRequiredClaim(claim) if claim == "exp" => AuthError::NoExpiry,
            ErrorKind::InvalidClaimFormat(claim) if claim == "nbf" => AuthError::ClaimType("nbf"),
            _ => AuthError::Malformed,
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.validate_aud = self.audience.is_some();
        // The library looks at `iss` and `aud` only where they are present, unless they are required.
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        validation
    }
}

fn fingerprint(bearer: &str) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, bearer.as_bytes()).as_ref());
    fingerprint
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use proptest::prelude::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use serde_json::json;

    use super::super::jwks::tests::Script;
    use super::super::{Grant, MintError, Scope, mint};
    use super::*;
    use crate::tenancy::Plan;

    const SECRET: &str = "9f0c1a7be25d4836a1f3c5e7092b4d6f";

    /// The public half of a key that was made for this test, and a token its other half signed, good until 2100.
    const RSA_MODULUS: &str = "mqIClhJ7_siwGQmOTor4d4SeJ8oGfQ0aWRUEZicGqtrqt592GcyGA944T57nBJZXhCvfB-b0-TNrWefIfRJKmF_XrfEqpZ_eiOMB\
    a6VCJSSzQHeuwKt4AKAiq_8RuG-Dh6tgVykBFmLCXLVmdkZlBA0612QS2-FlcPvaqy_ho_oCPki69eUwgy3K0mNxtnvakAnyJwi9\
    GzZDQTee4DhyEcNND9sxSM0M-T_o59XisVsZ8wTddPLZA2sZo-PbNw2plC2N22ysOWM1P5xrynOdY5Q5b5QIRlEakpHd0FxZm43b\
    iC6YsTtPkR3qjtgHXxWBhK6dwtBowd-sIGsyo4gauQ";
    const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYS0xIn0.eyJzdWIiOiJ1c2VyLTEiLCJvcmciOiJvcmctMSIsInBsYW4iOiJwcm8iLCJz\
    Y29wZSI6InN0YXRzOnJlYWQiLCJleHAiOjQxMDI0NDQ4MDB9.Lcd1y_W8eYvQY_GWio8zgPhDEzaFkZYq25ZAERar0KkjUhsO70H\
    B22VACc8Vwd9IPnHegm5QcZMbFhUENRHtTwK4h4Cj1LyIHLRP475l2oCRKpLKjGJysXh7f_JbNIxIpDQBEOpUf4-a-cvL0ULE1re\
    RYcLOXAZ7TAOS2p0PdaPAadrjeSHfEuK7CFmrJc4DSZTfGi5RmfRoyxZz2Y8KUK7bT6Relt9mD9y-a8PJhJ8E6RcDpR3QFZvZQeS\
    CcuZXpiwJ7Q2MaRS-ekqEKM2j7jsbGl0hcoH-ZQxJM0UtKQ2FkiGN2ZN9PEwKNFdHOTVlhV1GV9FQ0pzE6CUhQh9iBA";

    fn config() -> AuthConfig {
        AuthConfig { secret: Some(SECRET.into()), ..AuthConfig::default() }
    }

    fn verifier(config: &AuthConfig) -> Verifier {
        let secret = config.secret.as_ref().expect("a secret").expose_secret();
        Verifier::with_keys(Keys::Secret(DecodingKey::from_secret(secret.as_bytes())), config)
    }

    fn in_seconds(offset: i64) -> u64 {
        get_current_timestamp().checked_add_signed(offset).expect("a time")
    }

    /// The claims of a good token, with `changes` over them; `null` takes one out.
    fn claims(changes: &Value) -> Value {
        let mut claims = json!({
            "sub": "user-1", "org": "org-1", "plan": "pro", "scope": "stats:read", "exp": in_seconds(600),
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        claims
    }

    fn signed(header: &Header, claims: &Value, key: &EncodingKey) -> String {
        install_provider();
        jsonwebtoken::encode(header, claims, key).expect("a token")
    }

    fn hs256(claims: &Value) -> String {
        signed(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
    }

    /// A token whose header says anything, signed with HS256 whatever it says.
    fn with_header(header: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(header), part(&claims(&json!({}))));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        install_provider();
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed");
        format!("{message}.{signature}")
    }

    async fn outcome(config: &AuthConfig, changes: Value) -> Result<(), AuthError> {
        verifier(config).verify(&hs256(&claims(&changes))).await.map(drop)
    }

    #[tokio::test]
    async fn a_good_token_says_who_asks() {
        let token = verifier(&config()).verify(&hs256(&claims(&json!({})))).await.expect("a token");
        assert_eq!((token.subject.as_str(), token.plan), ("user-1", Some(Plan::Pro)));
        assert_eq!(token.organisation.expect("an organisation").as_str(), "org-1");
        assert!(token.scopes.has(Scope::StatsRead) && !token.scopes.has(Scope::ConnectionsWrite));
    }

    #[tokio::test]
    async fn the_algorithm_is_never_the_tokens_say() {
        let verifier = verifier(&config());
        assert!(verifier.verify(&with_header(&json!({"alg": "HS256"}))).await.is_ok());
        for other in
            ["Ed25519", "none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"]
        {
            let token = with_header(&json!({"alg": other, "typ": "JWT"}));
            assert_eq!(verifier.verify(&token).await, Err(AuthError::WrongAlgorithm("HS256")), "{other}");
        }
        let token = with_header(&json!({"alg": "none"}));
        let unsigned = format!("{}.", token.rsplit_once('.').expect("a signature").0);
        assert_eq!(verifier.verify(&unsigned).await, Err(AuthError::WrongAlgorithm("HS256")));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let hs384 = signed(&Header::new(Algorithm::HS384), &claims(&json!({})), &key);
        assert_eq!(verifier.verify(&hs384).await, Err(AuthError::WrongAlgorithm("HS256")));
        assert_eq!(verifier.verify(RSA_TOKEN).await, Err(AuthError::WrongAlgorithm("HS256")));
    }

    #[tokio::test]
    async fn what_is_no_jwt_is_called_so() {
        for opaque in ["", "secret", "a.b", "0123456789abcdef", "a.b.c", "e30", "W10.e30.x", "a.b.c.d.e"] {
            assert_eq!(verifier(&config()).verify(opaque).await, Err(AuthError::NotAJwt), "{opaque}");
        }
        // `{}`: no algorithm.
        assert_eq!(verifier(&config()).verify("e30.e30.x").await, Err(AuthError::Malformed));
    }

    #[tokio::test]
    async fn extensions_that_must_be_understood_are_refused() {
        let token = with_header(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}));
        assert_eq!(verifier(&config()).verify(&token).await, Err(AuthError::Malformed));
    }

    #[tokio::test]
    async fn a_key_inside_the_token_is_not_used() {
        let other = b"another-secret-another-secret-32";
        let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(other)});
        let header = serde_json::from_value(json!({"alg": "HS256", "jwk": jwk})).expect("a header");
        let token = signed(&header, &claims(&json!({})), &EncodingKey::from_secret(other));
        assert_eq!(verifier(&config()).verify(&token).await, Err(AuthError::BadSignature));
    }

    #[tokio::test]
    async fn times_are_held_to_within_half_a_minute() {
        let config = config();
        assert_eq!(outcome(&config, json!({"exp": in_seconds(-20)})).await, Ok(()));
        assert_eq!(outcome(&config, json!({"exp": in_seconds(-40)})).await, Err(AuthError::Expired));
        assert_eq!(outcome(&config, json!({"exp": null})).await, Err(AuthError::NoExpiry));
        assert_eq!(outcome(&config, json!({"exp": "tomorrow"})).await, Err(AuthError::NoExpiry));
        assert_eq!(outcome(&config, json!({"exp": -1})).await, Err(AuthError::NoExpiry));
        assert_eq!(outcome(&config, json!({"nbf": in_seconds(20)})).await, Ok(()));
        assert_eq!(outcome(&config, json!({"nbf": in_seconds(60)})).await, Err(AuthError::NotYetValid));
        assert_eq!(outcome(&config, json!({"nbf": "later"})).await, Err(AuthError::ClaimType("nbf")));
    }

    #[tokio::test]
    async fn issuer_and_audience_are_checked_where_configured() {
        let strict = AuthConfig { issuer: Some("id".into()), audience: Some("affzero".into()), ..config() };
        assert_eq!(outcome(&strict, json!({"iss": "id", "aud": "affzero"})).await, Ok(()));
        assert_eq!(outcome(&strict, json!({"iss": "id", "aud": ["other", "affzero"]})).await, Ok(()));
        assert_eq!(outcome(&strict, json!({"iss": "evil", "aud": "affzero"})).await, Err(AuthError::WrongIssuer));
        assert_eq!(outcome(&strict, json!({"aud": "affzero"})).await, Err(AuthError::WrongIssuer));
        assert_eq!(outcome(&strict, json!({"iss": "id", "aud": "other"})).await, Err(AuthError::WrongAudience));
        assert_eq!(outcome(&strict, json!({"iss": "id", "aud": []})).await, Err(AuthError::WrongAudience));
        assert_eq!(outcome(&strict, json!({"iss": "id", "aud": 7})).await, Err(AuthError::WrongAudience));
        assert_eq!(outcome(&strict, json!({"iss": "id"})).await, Err(AuthError::WrongAudience));
        assert_eq!(outcome(&config(), json!({"iss": "anybody", "aud": "anything"})).await, Ok(()));
    }

    #[tokio::test]
    async fn claims_that_contradict_each_other_are_refused() {
        let config = config();
        assert_eq!(outcome(&config, json!({"org": ""})).await, Err(AuthError::BadOrganisation));
        assert_eq!(outcome(&config, json!({"org": null})).await, Err(AuthError::NoOrganisation));
        assert_eq!(outcome(&config, json!({"scope": "org:any"})).await, Err(AuthError::TwoOrganisations));
        assert_eq!(outcome(&config, json!({"org": null, "scope": "org:any"})).await, Ok(()));
        assert_eq!(outcome(&config, json!({"plan": "gold"})).await, Err(AuthError::UnknownPlan));
    }

    #[tokio::test]
    async fn a_changed_payload_is_refused() {
        let token = hs256(&claims(&json!({})));
        let parts: Vec<&str> = token.split('.').collect();
        let payload = URL_SAFE_NO_PAD.encode(claims(&json!({"org": "org-2"})).to_string());
        let forged = format!("{}.{payload}.{}", parts[0], parts[2]);
        assert_eq!(verifier(&config()).verify(&forged).await, Err(AuthError::BadSignature));
    }

    #[tokio::test]
    async fn a_giant_token_is_not_even_read() {
        let giant = hs256(&claims(&json!({"padding": "x".repeat(MAX_TOKEN_BYTES)})));
        assert_eq!(verifier(&config()).verify(&giant).await, Err(AuthError::TooLong));
    }

    #[tokio::test]
    async fn a_believed_token_is_remembered_no_longer_than_it_is_good() {
        let verifier = verifier(&config());
        let exp = in_seconds(600);
        let bearer = hs256(&claims(&json!({"exp": exp})));
        let key = fingerprint(&bearer);
        assert_eq!(verifier.recall(&key, exp), None);
        let token = verifier.verify(&bearer).await.expect("a token");
        assert_eq!(verifier.recall(&key, exp + LEEWAY), Some(token.clone()));
        assert_eq!(verifier.recall(&key, exp + LEEWAY + 1), None);
        assert_eq!(verifier.verify(&bearer).await, Ok(token));
    }

    #[tokio::test]
    async fn a_refused_token_is_not_remembered() {
        let verifier = verifier(&config());
        let bearer = hs256(&claims(&json!({"org": ""})));
        assert!(verifier.verify(&bearer).await.is_err());
        assert_eq!(verifier.recall(&fingerprint(&bearer), 0), None);
    }

    #[tokio::test]
    async fn a_minted_token_is_believed_by_the_same_configuration() {
        let config = AuthConfig { issuer: Some("id".into()), audience: Some("affzero".into()), ..config() };
        let mut grant = Grant::new("org-1".parse().expect("an id"), Plan::Business);
        let token = verifier(&config).verify(&mint(&config, &grant).expect("minted")).await.expect("a token");
        assert_eq!((token.subject.as_str(), token.plan), ("dev", Some(Plan::Business)));
        let held: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| token.scopes.has(*scope)).collect();
        assert_eq!(held, [Scope::ConnectionsRead, Scope::ConnectionsWrite, Scope::StatsRead]);

        grant.scope = "org:any stats:read".to_owned();
        let token = verifier(&config).verify(&mint(&config, &grant).expect("minted")).await.expect("a token");
        assert_eq!((token.organisation, token.plan), (None, None));

        grant.scope = "stats:reed".to_owned();
        assert_eq!(mint(&config, &grant), Err(MintError::UnknownScope("stats:reed".to_owned())));
    }

    #[test]
    fn nothing_is_minted_that_would_be_refused() {
        let grant = Grant::new("org-1".parse().expect("an id"), Plan::Pro);
        assert_eq!(mint(&AuthConfig::default(), &grant), Err(MintError::NoSecret));
        let url = "https://id.affzero.test/keys".parse().expect("a URL");
        let foreign = AuthConfig { jwks_url: Some(url), ..config() };
        assert_eq!(mint(&foreign, &grant), Err(MintError::ForeignIssuer));
    }

    /// An issuer with one key of each type.
    struct Issuer {
        es256: EncodingKey,
        ed25519: EncodingKey,
        verifier: Verifier,
    }

    fn issuer() -> Issuer {
        let random = ring::rand::SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let ed = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let ec_pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).expect("a key");
        let ed_pair = Ed25519KeyPair::from_pkcs8(ed.as_ref()).expect("a key");
        let (x, y) = ec_pair.public_key().as_ref()[1..].split_at(32);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({"keys": [
            {"kty": "RSA", "kid": "rsa-1", "n": RSA_MODULUS, "e": "AQAB"},
            {"kty": "EC", "crv": "P-256", "kid": "ec-1", "x": part(x), "y": part(y)},
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed-1", "x": part(ed_pair.public_key().as_ref())},
            {"kty": "EC", "crv": "P-256", "kid": "off-curve", "x": part(&[7; 32]), "y": part(&[7; 32])},
        ]});
        let jwks = Jwks::new(Script::new([Some(keys)]));
        Issuer {
            es256: EncodingKey::from_ec_der(ec.as_ref()),
            ed25519: EncodingKey::from_ed_der(ed.as_ref()),
            verifier: Verifier::with_keys(Keys::Published(jwks), &AuthConfig::default()),
        }
    }

    fn header(algorithm: Algorithm, kid: &str) -> Header {
        Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) }
    }

    #[tokio::test]
    async fn tokens_of_a_published_key_are_believed() {
        let Issuer { es256, ed25519, verifier } = issuer();
        assert_eq!(verifier.verify(RSA_TOKEN).await.expect("a token").subject, "user-1");
        let token = signed(&header(Algorithm::ES256, "ec-1"), &claims(&json!({})), &es256);
        assert!(verifier.verify(&token).await.is_ok());
        let token = signed(&header(Algorithm::EdDSA, "ed-1"), &claims(&json!({})), &ed25519);
        assert!(verifier.verify(&token).await.is_ok());
    }

    #[tokio::test]
    async fn a_token_whose_key_is_withdrawn_is_no_longer_remembered() {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
        let key = |kid: &str| {
            let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
        };
        let sets = [json!({"keys": [key("old"), key("new")]}), json!({"keys": [key("new")]})];
        let jwks = Jwks::new(Script::new(sets.map(Some)));
        let verifier = Verifier::with_keys(Keys::Published(jwks.clone()), &AuthConfig::default());
        let signing = EncodingKey::from_ed_der(pkcs8.as_ref());
        let [old, new] =
            ["old", "new"].map(|kid| signed(&header(Algorithm::EdDSA, kid), &claims(&json!({})), &signing));
        for token in [&old, &new] {
            assert!(verifier.verify(token).await.is_ok());
            assert!(verifier.recall(&fingerprint(token), 0).is_some());
        }
        jwks.refresh(Instant::now() + jwks::MAX_AGE).await.expect("it ends");
        assert_eq!(verifier.verify(&old).await, Err(AuthError::UnknownKey));
        assert!(verifier.verify(&new).await.is_ok());
    }

    #[tokio::test]
    async fn with_published_keys_secrets_and_other_keys_count_for_nothing() {
        let Issuer { es256, ed25519, verifier } = issuer();
        let claims = claims(&json!({}));
        for (token, error) in [
            (hs256(&claims), AuthError::WrongAlgorithm(PUBLISHED)),
            // The classic confusion: the public key, taken for an HMAC secret.
            (
                signed(
                    &header(Algorithm::HS256, "rsa-1"),
                    &claims,
                    &EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(RSA_MODULUS).expect("base64")),
                ),
                AuthError::WrongAlgorithm(PUBLISHED),
            ),
            (signed(&header(Algorithm::ES256, "rsa-1"), &claims, &es256), AuthError::WrongAlgorithm(PUBLISHED)),
            (signed(&header(Algorithm::EdDSA, "ec-1"), &claims, &ed25519), AuthError::WrongAlgorithm(PUBLISHED)),
            (signed(&header(Algorithm::ES256, "ec-2"), &claims, &es256), AuthError::UnknownKey),
            (signed(&Header::new(Algorithm::ES256), &claims, &es256), AuthError::UnknownKey),
        ] {
            assert_eq!(verifier.verify(&token).await, Err(error));
        }
        let tampered = signed(&header(Algorithm::ES256, "ec-1"), &claims, &issuer().es256);
        assert_eq!(verifier.verify(&tampered).await, Err(AuthError::BadSignature));
        let off_curve = signed(&header(Algorithm::ES256, "off-curve"), &claims, &es256);
        assert!(verifier.verify(&off_curve).await.is_err());
    }

    #[tokio::test]
    async fn a_token_that_can_only_be_refused_causes_no_fetch() {
        let script = Script::default();
        let jwks = Jwks::new(script.clone());
        let verifier = Verifier::with_keys(Keys::Published(jwks), &AuthConfig::default());
        assert_eq!(verifier.verify(&hs256(&claims(&json!({})))).await, Err(AuthError::WrongAlgorithm(PUBLISHED)));
        assert_eq!(script.fetches(), 0);
        assert_eq!(verifier.verify(RSA_TOKEN).await, Err(AuthError::KeysUnavailable));
        assert_eq!(script.fetches(), 1);
    }

    proptest! {
        #[test]
        fn no_text_is_believed_and_none_panics(text in "\\PC{0,80}(\\.\\PC{0,40}){0,3}") {
            let verifier = verifier(&config());
            prop_assert!(futures_util::FutureExt::now_or_never(verifier.verify(&text)).expect("no fetch").is_err());
        }

        #[test]
        fn a_token_with_any_changed_letter_is_not_believed(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
            let token = hs256(&claims(&json!({})));
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != token);
            let verifier = verifier(&config());
            prop_assert!(futures_util::FutureExt::now_or_never(verifier.verify(&changed)).expect("no fetch").is_err());
        }
    }
}
