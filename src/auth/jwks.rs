//! The public keys of the issuer (JWK Set, RFC 7517): fetched when needed, kept through outages.
//!
//! The algorithm of a key follows from its type: RSA is RS256, P-256 is ES256, Ed25519 is EdDSA. A key that says
//! otherwise, that is meant for encryption, or that is too weak is passed over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use url::Url;

use super::AuthError;
use crate::outbound::Transport;
use crate::outbound::error::PlatformError;

/// Fetches are at least this far apart, however many unknown keys are asked for.
const MIN_INTERVAL: Duration = Duration::from_secs(30);

/// Older keys are fetched anew before one of them is believed, so that those the issuer has withdrawn go away.
pub(super) const MAX_AGE: Duration = Duration::from_secs(600);

/// At this age already, while nobody waits for it.
const REFRESH_AGE: Duration = Duration::from_secs(300);

/// How long anybody waits for an issuer while there are keys, if old ones.
const TIMEOUT: Duration = Duration::from_secs(3);

/// RSA keys shorter than 2048 bits can be broken.
const MIN_RSA_BYTES: usize = 256;

/// Where the document comes from.
#[async_trait]
pub(super) trait Source: Send + Sync {
    async fn fetch(&self) -> Result<Bytes, PlatformError>;
}

/// The address the issuer publishes its keys at.
pub(super) struct Published {
    pub(super) transport: Transport,
    pub(super) url: Url,
}

#[async_trait]
impl Source for Published {
    async fn fetch(&self) -> Result<Bytes, PlatformError> {
        self.transport.fetch_public(&self.url).await
    }
}

/// One key, and the only algorithm it may be used with.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// The keys of one issuer. Clones share them.
#[derive(Clone)]
pub(super) struct Jwks {
    inner: Arc<Inner>,
}

struct Inner {
    source: Box<dyn Source>,
    known: RwLock<Option<Arc<Known>>>,
    /// When the last fetch began. Held while one goes on, so that everybody waits for the same.
    last_fetch: Mutex<Option<Instant>>,
}

struct Known {
    keys: Vec<Arc<Key>>,
    since: Instant,
    /// How many sets there were before.
    generation: u64,
}

impl Jwks {
    pub(super) fn new(source: impl Source + 'static) -> Self {
        let inner = Inner { source: Box::new(source), known: RwLock::default(), last_fetch: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The key of this id, and the generation of the set it is in; without an id, the issuer's only one.
    ///
    /// Through an outage of the issuer old keys stay good.
    pub(super) async fn key(&self, id: Option<&str>, now: Instant) -> Result<(Arc<Key>, u64), AuthError> {
        let known = self.inner.known();
        let found = known.as_ref().and_then(|known| known.find(id));
        if let (Some(found), Some(_)) = (&found, self.generation(now)) {
            return Ok(found.clone());
        }
        // A failure is logged where it happens; what counts here is which keys there are afterwards.
        let refresh = self.refresh(now);
        match known {
            // Also for a key that is not among them: a caller that makes up names of keys holds no place for long.
            Some(_) => drop(tokio::time::timeout(TIMEOUT, refresh).await),
            None => drop(refresh.await),
        }
        self.inner.known().ok_or(AuthError::KeysUnavailable)?.find(id).ok_or(AuthError::UnknownKey)
    }

    /// Which set of keys there is, unless it is too old to be believed by default. Who asks for it has it fetched anew
    /// before that, behind.
    pub(super) fn generation(&self, now: Instant) -> Option<u64> {
        let known = self.inner.known()?;
        let age = now.saturating_duration_since(known.since);
        if age > REFRESH_AGE && self.inner.may_fetch(now) {
            drop(self.refresh(now));
        }
        (age <= MAX_AGE).then_some(known.generation)
    }

    /// Fetches in a task of its own, so that a caller who goes away does not take the fetch with it.
    pub(super) fn refresh(&self, now: Instant) -> tokio::task::JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.inner).refresh(now))
    }
}

impl Inner {
    fn known(&self) -> Option<Arc<Known>> {
        self.known.read().clone()
    }

    /// Whether a fetch would begin if it were asked for now.
    fn may_fetch(&self, now: Instant) -> bool {
        self.last_fetch.try_lock().is_ok_and(|last_fetch| is_due(*last_fetch, now))
    }

    async fn refresh(self: Arc<Self>, now: Instant) {
        let mut last_fetch = self.last_fetch.lock().await;
        if !is_due(*last_fetch, now) {
            return;
        }
        *last_fetch = Some(now);
        let keys = match self.source.fetch().await {
            Ok(document) => usable_keys(&document),
            Err(error) => {
                tracing::warn!(error = ?error.to_string(), "the keys of the token issuer cannot be fetched");
                return;
            }
        };
        if keys.is_empty() {
            tracing::warn!("the token issuer publishes no key that can be used; the old ones stay");
            return;
        }
        let generation = self.known().map_or(0, |known| known.generation + 1);
        let known = Arc::new(Known { keys, since: now, generation });
        *self.known.write() = Some(known);
    }
}

fn is_due(last_fetch: Option<Instant>, now: Instant) -> bool {
    last_fetch.is_none_or(|last| now.saturating_duration_since(last) >= MIN_INTERVAL)
}

impl Known {
    fn find(&self, id: Option<&str>) -> Option<(Arc<Key>, u64)> {
        let found = match (id, self.keys.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.map(|key| (Arc::clone(key), self.generation))
    }
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a document. One that cannot be used does not spoil the others.
fn usable_keys(document: &[u8]) -> Vec<Arc<Key>> {
    let entries = serde_json::from_slice::<Document<'_>>(document).map(|document| document.keys).unwrap_or_default();
    entries.into_iter().filter_map(|entry| serde_json::from_str::<Jwk>(entry.get()).ok()?.key()).map(Arc::new).collect()
}

/// Reads any document, for the fuzz target alone.
#[cfg(fuzzing)]
pub fn fuzz(document: &[u8]) {
    for key in usable_keys(document) {
        assert!(matches!(key.algorithm, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA));
    }
}

impl Jwk {
    fn key(self) -> Option<Key> {
        let (algorithm, decoding) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => ("RS256", self.rsa()?),
            ("EC", Some("P-256")) => ("ES256", self.p256()?),
            ("OKP", Some("Ed25519")) => ("EdDSA", self.ed25519()?),
            _ => return None,
        };
        let for_signatures = self.purpose.is_none_or(|purpose| purpose == "sig");
        let agrees = self.alg.is_none_or(|named| named == algorithm);
        let algorithm = algorithm.parse().ok().filter(|_| for_signatures && agrees)?;
        Some(Key { id: self.kid, algorithm, decoding })
    }

    fn rsa(&self) -> Option<DecodingKey> {
        let modulus = decoded(self.n.as_deref())?;
        let strong = modulus.iter().skip_while(|byte| **byte == 0).count() >= MIN_RSA_BYTES;
        let exponent = decoded(self.e.as_deref())?;
        strong.then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
    }

    fn p256(&self) -> Option<DecodingKey> {
        let point = [vec![4], coordinate(self.x.as_deref())?, coordinate(self.y.as_deref())?].concat();
        Some(DecodingKey::from_ec_der(&point))
    }

    fn ed25519(&self) -> Option<DecodingKey> {
        Some(DecodingKey::from_ed_der(&coordinate(self.x.as_deref())?))
    }
}

fn decoded(field: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(field?).ok()
}

/// The length is checked here because the library that uses the key relies on it.
fn coordinate(field: Option<&str>) -> Option<Vec<u8>> {
    decoded(field).filter(|bytes| bytes.len() == 32)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::outbound::error::ErrorKind;

    /// Answers with these documents in turn, then not at all.
    #[derive(Clone, Default)]
    pub(in crate::auth) struct Script {
        documents: Arc<parking_lot::Mutex<VecDeque<Option<Value>>>>,
        fetches: Arc<AtomicUsize>,
    }

    impl Script {
        pub(in crate::auth) fn new(documents: impl IntoIterator<Item = Option<Value>>) -> Self {
            let documents = Arc::new(parking_lot::Mutex::new(documents.into_iter().collect()));
            Self { documents, ..Self::default() }
        }

        pub(in crate::auth) fn fetches(&self) -> usize {
            self.fetches.load(Ordering::SeqCst)
        }
    }

    #[async_trait]
    impl Source for Script {
        async fn fetch(&self) -> Result<Bytes, PlatformError> {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let document = self.documents.lock().pop_front().flatten();
            let document = document.ok_or_else(|| PlatformError::new(ErrorKind::ConnectFailed, "down"))?;
            Ok(Bytes::from(document.to_string()))
        }
    }

    fn ed25519(id: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode([7; 32])})
    }

    fn set(ids: &[&str]) -> Option<Value> {
        Some(json!({"keys": ids.iter().map(|id| ed25519(id)).collect::<Vec<_>>()}))
    }

    async fn outcome(jwks: &Jwks, id: &str, now: Instant) -> Result<(), AuthError> {
        jwks.key(Some(id), now).await.map(drop)
    }

    #[tokio::test]
    async fn a_known_key_is_fetched_once() {
        let script = Script::new([set(&["a"])]);
        let (jwks, now) = (Jwks::new(script.clone()), Instant::now());
        for _ in 0..3 {
            assert_eq!(outcome(&jwks, "a", now).await, Ok(()));
        }
        assert_eq!(script.fetches(), 1);
    }

    #[tokio::test]
    async fn callers_at_the_same_time_share_one_fetch() {
        let script = Script::new([set(&["a"])]);
        let (jwks, now) = (Jwks::new(script.clone()), Instant::now());
        let all = futures_util::future::join_all((0..20).map(|_| outcome(&jwks, "a", now))).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(script.fetches(), 1);
    }

    #[tokio::test]
    async fn unknown_keys_cause_a_fetch_every_thirty_seconds_at_most() {
        let script = Script::new([set(&["a"]), set(&["a", "b"])]);
        let (jwks, now) = (Jwks::new(script.clone()), Instant::now());
        assert_eq!(outcome(&jwks, "b", now).await, Err(AuthError::UnknownKey));
        assert_eq!(outcome(&jwks, "b", now + Duration::from_secs(29)).await, Err(AuthError::UnknownKey));
        assert_eq!(script.fetches(), 1);
        assert_eq!(outcome(&jwks, "b", now + Duration::from_secs(31)).await, Ok(()));
        assert_eq!(script.fetches(), 2);
    }

    #[tokio::test]
    async fn keys_are_kept_through_an_outage() {
        let script = Script::new([set(&["a"]), None, Some(json!("not a set"))]);
        let (jwks, now) = (Jwks::new(script.clone()), Instant::now());
        for minutes in [0, 60, 120, 180] {
            let now = now + Duration::from_secs(60 * minutes);
            assert_eq!(outcome(&jwks, "a", now).await, Ok(()));
            assert_eq!(outcome(&jwks, "b", now).await, Err(AuthError::UnknownKey));
        }
        assert_eq!(script.fetches(), 4);
    }

    #[tokio::test]
    async fn a_withdrawn_key_is_refused_as_soon_as_the_set_is_too_old() {
        let script = Script::new([set(&["a", "b"]), set(&["b"])]);
        let (jwks, now) = (Jwks::new(script.clone()), Instant::now());
        assert_eq!(outcome(&jwks, "a", now).await, Ok(()));
        let later = now + MAX_AGE + Duration::from_secs(1);
        assert_eq!(jwks.generation(later), None);
        assert_eq!(outcome(&jwks, "a", later).await, Err(AuthError::UnknownKey), "the new ones are waited for");
        assert_eq!(outcome(&jwks, "b", later).await, Ok(()));
        assert_eq!((jwks.generation(later), script.fetches()), (Some(1), 2));
    }

    #[tokio::test]
    async fn a_set_that_is_getting_old_is_fetched_anew_while_nobody_waits() {
        let script = Script::new([set(&["a"]), set(&["b"])]);
        let (jwks, now) = (Jwks::new(script.clone()), Instant::now());
        assert_eq!(outcome(&jwks, "a", now).await, Ok(()));
        let later = now + REFRESH_AGE + Duration::from_secs(1);
        for _ in 0..20 {
            assert_eq!(outcome(&jwks, "a", later).await, Ok(()), "still good");
        }
        while jwks.generation(later) == Some(0) {
            tokio::task::yield_now().await;
        }
        assert_eq!(outcome(&jwks, "a", later).await, Err(AuthError::UnknownKey));
        assert_eq!(script.fetches(), 2);
    }

    #[tokio::test]
    async fn an_issuer_that_does_not_answer_holds_nobody_up_for_long() {
        /// Answers once.
        struct Silent(Script);
        #[async_trait]
        impl Source for Silent {
            async fn fetch(&self) -> Result<Bytes, PlatformError> {
                if self.0.fetches() > 0 {
                    std::future::pending::<()>().await;
                }
                self.0.fetch().await
            }
        }
        let (jwks, now) = (Jwks::new(Silent(Script::new([set(&["a"])]))), Instant::now());
        assert_eq!(outcome(&jwks, "a", now).await, Ok(()));
        let asked = Instant::now();
        assert_eq!(outcome(&jwks, "a", now + MAX_AGE * 2).await, Ok(()));
        assert!((TIMEOUT..TIMEOUT * 3).contains(&asked.elapsed()), "{:?}", asked.elapsed());
        let asked = Instant::now();
        assert_eq!(outcome(&jwks, "made up", now + MAX_AGE * 3).await, Err(AuthError::UnknownKey));
        assert!((TIMEOUT..TIMEOUT * 3).contains(&asked.elapsed()), "{:?}", asked.elapsed());
    }

    #[tokio::test]
    async fn keys_that_never_came_are_told_apart_from_a_bad_token() {
        let jwks = Jwks::new(Script::default());
        assert_eq!(outcome(&jwks, "a", Instant::now()).await, Err(AuthError::KeysUnavailable));
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_does_not_stop_the_fetch() {
        let script = Script::new([set(&["a"])]);
        let (jwks, now) = (Jwks::new(script.clone()), Instant::now());
        assert!(futures_util::FutureExt::now_or_never(jwks.key(Some("a"), now)).is_none());
        assert_eq!(outcome(&jwks, "a", now).await, Ok(()));
        assert_eq!(script.fetches(), 1);
    }

    #[tokio::test]
    async fn without_an_id_only_an_only_key_is_meant() {
        let now = Instant::now();
        assert!(Jwks::new(Script::new([set(&["a"])])).key(None, now).await.is_ok());
        let two = Jwks::new(Script::new([set(&["a", "b"])])).key(None, now).await;
        assert_eq!(two.map(drop), Err(AuthError::UnknownKey));
    }

    #[test]
    fn keys_that_cannot_be_used_are_passed_over() {
        let modulus = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
        let short = URL_SAFE_NO_PAD.encode([7; 31]);
        let full = URL_SAFE_NO_PAD.encode([7; 32]);
        let document = json!({"keys": [
            ed25519("good"),
            {"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": modulus(256), "e": "AQAB"},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "x": full, "y": full},
            {"kty": "RSA", "kid": "weak", "n": modulus(128), "e": "AQAB"},
            {"kty": "RSA", "kid": "weak and padded", "n": URL_SAFE_NO_PAD.encode([vec![0; 200], vec![1; 128]].concat()), "e": "AQAB"},
            {"kty": "RSA", "kid": "other algorithm", "alg": "PS256", "n": modulus(256), "e": "AQAB"},
            {"kty": "RSA", "kid": "encryption", "use": "enc", "n": modulus(256), "e": "AQAB"},
            {"kty": "RSA", "kid": "half", "n": modulus(256)},
            {"kty": "EC", "crv": "P-384", "kid": "curve", "x": full, "y": full},
            {"kty": "EC", "crv": "P-256", "kid": "short", "x": full, "y": short},
            {"kty": "OKP", "crv": "Ed25519", "kid": "short", "x": short},
            {"kty": "OKP", "crv": "Ed25519", "kid": "no base64", "x": "!"},
            {"kty": "oct", "kid": "secret", "k": full},
            {"kid": 7}, "text", null,
        ]});
        let keys = usable_keys(document.to_string().as_bytes());
        let found: Vec<_> = keys.iter().map(|key| (key.id.as_deref().unwrap_or_default(), key.algorithm)).collect();
        assert_eq!(found, [("good", Algorithm::EdDSA), ("rsa", Algorithm::RS256), ("ec", Algorithm::ES256)]);
        for garbage in ["", "[]", "{}", r#"{"keys": 1}"#] {
            assert!(usable_keys(garbage.as_bytes()).is_empty(), "{garbage}");
        }
    }
}
