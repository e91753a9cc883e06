//! Tokens of an issuer that publishes its keys, fetched over the road that trackers are called on.

use std::time::Duration;

use affzero_connections::auth::{AuthConfig, AuthError, Verifier, install_provider};
use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::outbound::{Transport, TransportConfig};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

/// An issuer with one key; the only thing it serves is that.
struct Issuer(Value);

impl Tracker for Issuer {
    fn answer(&self, request: &Request) -> Reply {
        match request.path.as_str() {
            "/keys" => Reply::json(200, &self.0),
            _ => Reply::html(404),
        }
    }
}

/// A running issuer, and a good token of it.
fn issuer() -> (Simulator, String) {
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let public = Ed25519KeyPair::from_pkcs8(pair.as_ref()).expect("a key").public_key().as_ref().to_vec();
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed-1", "use": "sig", "x": URL_SAFE_NO_PAD.encode(public)});
    let header = Header { kid: Some("ed-1".to_owned()), ..Header::new(Algorithm::EdDSA) };
    let claims = json!({"sub": "user-1", "org": "org-1", "exp": get_current_timestamp() + 600});
    install_provider();
    let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(pair.as_ref())).expect("a token");
    (Simulator::start(Issuer(json!({"keys": [key]}))), token)
}

fn verifier(issuer: &Simulator, allow: &[&str]) -> Verifier {
    let allow = allow.iter().map(|net| net.parse().expect("a network")).collect();
    let transport = Transport::new(TransportConfig {
        egress: EgressPolicy { allow, allow_http: false, ..EgressPolicy::default() },
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
    });
    let jwks_url = Some(format!("{}/keys", issuer.url).parse().expect("a URL"));
    let config = AuthConfig { jwks_url, ..AuthConfig::default() };
    Verifier::new(&config, &transport.expect("a transport")).expect("a verifier")
}

#[actix_web::test]
async fn a_token_is_checked_with_the_published_key_which_is_fetched_once() {
    let (issuer, token) = issuer();
    let verifier = verifier(&issuer, &["127.0.0.1/32"]);
    for _ in 0..3 {
        assert_eq!(verifier.verify(&token).await.expect("a token").subject, "user-1");
    }
    let asked: Vec<_> = issuer.requests().into_iter().map(|request| (request.method, request.path)).collect();
    assert_eq!(asked, [("GET".to_owned(), "/keys".to_owned())]);
}

#[actix_web::test]
async fn an_issuer_inside_is_not_called_unless_the_operator_allowed_it() {
    let (issuer, token) = issuer();
    let verifier = verifier(&issuer, &[]);
    assert_eq!(verifier.verify(&token).await, Err(AuthError::KeysUnavailable));
    assert!(issuer.requests().is_empty());
}

#[actix_web::test]
async fn a_document_that_is_not_a_key_set_leaves_no_key() {
    let (issuer, token) = issuer();
    for reply in [
        Reply::json(503, &json!({})),
        Reply::html(200),
        Reply::json(302, &json!({})).with_header("location", format!("{}/keys", issuer.url)),
    ] {
        issuer.forget();
        issuer.inject([Fault::Instead(reply)]);
        let verifier = verifier(&issuer, &["127.0.0.1/32"]);
        assert_eq!(verifier.verify(&token).await, Err(AuthError::KeysUnavailable));
        assert_eq!(issuer.requests().len(), 1, "neither repeated nor redirected");
    }
}
