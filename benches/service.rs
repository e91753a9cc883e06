//! What requests cost beside the tracker: tokens, sealing, questions, and an answer from the cache through all the
//! middleware.

// Always true here; it shows clippy that a measurement may stop where it fails.
#![cfg(test)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, HttpResponse, HttpServer, web};
use affzero_connections::auth::{AuthConfig, Verifier, install_provider};
use affzero_connections::config::Config;
use affzero_connections::db::Db;
use affzero_connections::http::{self, question};
use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::outbound::{Transport, TransportConfig};
use affzero_connections::platforms::Platform;
use affzero_connections::serve;
use affzero_connections::vault::{Binding, KeyRing, Purpose, Vault};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use uuid::Uuid;

const SECRET: &str = "9f0c1a7be25d4836a1f3c5e7092b4d6f0123456789abcdef";
const SEALING_KEY: &str = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const QUESTION: &str = "group_by=affiliate,date&preset=last_7_days&timezone=Europe%2FBerlin&filter%5Boffer%5D=1,2,3&\
    metrics=clicks,conversions,revenue&sort=-revenue&limit=100";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Signs tokens that are all different.
struct Signer {
    header: Header,
    key: EncodingKey,
    signed: AtomicU64,
}

impl Signer {
    fn token(&self) -> String {
        let number = self.signed.fetch_add(1, Ordering::Relaxed);
        let claims = json!({
            "sub": format!("user-{number}"), "org": "bench", "plan": "business",
            "scope": "connections:read connections:write stats:read", "exp": 4_102_444_800_u64,
        });
        install_provider();
        jsonwebtoken::encode(&self.header, &claims, &self.key).expect("a token")
    }
}

fn hs256() -> Signer {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    Signer { header: Header::new(Algorithm::HS256), key, signed: AtomicU64::new(0) }
}

/// A signer, and its public key as an issuer publishes it.
fn es256() -> (Signer, Value) {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).expect("a key");
    let point = pair.public_key().as_ref();
    let part = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
    let published = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k", "x": part(1), "y": part(33),
    }] });
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("k".to_owned());
    (Signer { header, key: EncodingKey::from_ec_der(document.as_ref()), signed: AtomicU64::new(0) }, published)
}

/// Publishes an issuer's keys on this machine, until the program ends.
fn publish(keys: Value) -> url::Url {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || {
                let keys = keys.clone();
                App::new()
                    .default_service(web::to(move || std::future::ready(HttpResponse::Ok().body(keys.to_string()))))
            });
            let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("a port");
            send.send(server.addrs()[0]).expect("the starter waits");
            server.run().await.expect("the issuer runs");
        });
    });
    let address = receive.recv().expect("the issuer starts");
    format!("http://{address}/keys").parse().expect("a URL")
}

fn transport() -> Transport {
    let egress = EgressPolicy {
        allow: vec!["127.0.0.0/8".parse().expect("a network")],
        allow_http: false,
        ..EgressPolicy::default()
    };
    let timeout = Duration::from_secs(5);
    Transport::new(TransportConfig { egress, timeout, connect_timeout: timeout }).expect("a transport")
}

fn tokens(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("token");
    let (elliptic, published) = es256();
    let by_secret = AuthConfig { secret: Some(SECRET.into()), ..AuthConfig::default() };
    let by_keys = AuthConfig { jwks_url: Some(publish(published)), ..AuthConfig::default() };
    for (name, signer, config) in [("HS256", hs256(), by_secret), ("ES256", elliptic, by_keys)] {
        let verifier = Verifier::new(&config, &transport()).expect("a verifier");
        let known = signer.token();
        runtime.block_on(verifier.verify(&known)).expect("a good token");
        group.bench_function(format!("{name}, new"), |bencher| {
            bencher.to_async(&runtime).iter_batched(
                || signer.token(),
                |token| {
                    let verifier = &verifier;
                    async move { black_box(verifier.verify(&token).await.expect("a good token")) }
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(format!("{name}, known"), |bencher| {
            bencher.to_async(&runtime).iter(|| async { black_box(verifier.verify(&known).await.expect("a token")) });
        });
    }
    group.finish();
}

fn sealing(criterion: &mut Criterion) {
    let vault = Vault::new(KeyRing::parse(SEALING_KEY).expect("keys"));
    let binding = Binding {
        organisation: "bench",
        row: Uuid::nil(),
        platform: Some(Platform::Affise),
        purpose: Purpose::Credentials,
    };
    let credentials = br#"{"api_key":"a5c1d7e2f4b80913a5c1d7e2f4b80913"}"#;
    let blob = vault.seal(&binding, credentials).expect("sealed");
    let mut group = criterion.benchmark_group("vault");
    group.bench_function("seal", |bencher| bencher.iter(|| vault.seal(&binding, black_box(credentials))));
    group.bench_function("open", |bencher| bencher.iter(|| vault.open(&binding, black_box(&blob))));
    group.finish();
}

fn questions(criterion: &mut Criterion) {
    criterion.bench_function("question", |bencher| {
        bencher.iter(|| {
            let pairs: Vec<(String, String)> =
                form_urlencoded::parse(black_box(QUESTION).as_bytes()).into_owned().collect();
            question::read(&pairs, true).expect("a question").at(jiff::Timestamp::now())
        });
    });
}

fn cached(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("sqlite://{}", folder.path().join("bench.db").display());
    let lookup = |name: &str| match name {
        "AUTH_JWT_SECRET" => Some(SECRET.to_owned()),
        "CREDENTIALS_KEYS" => Some(SEALING_KEY.to_owned()),
        "DATABASE_URL" => Some(database.clone()),
        _ => None,
    };
    let config = Config::load(lookup, folder.path()).expect("a configuration");
    let db = Db::open(&config.database_url, 2).expect("a database");
    db.migrate().expect("migrations");
    let serve::Service { state, .. } = serve::assemble(&config, db).expect("the service");
    let runtime = runtime();
    let service = runtime.block_on(init_service(http::server::app(&state)));
    let bearer = ("authorization", format!("Bearer {}", hs256().token()));
    let creation = TestRequest::post()
        .uri("/api/v1/connections")
        .insert_header(bearer.clone())
        .set_json(json!({ "name": "Demo", "platform": "demo" }));
    let created = runtime.block_on(async { read_body(call_service(&service, creation.to_request()).await).await });
    let created: Value = serde_json::from_slice(&created).expect("a connection");
    let target = format!(
        "/api/v1/connections/{}/stats?group_by=affiliate&preset=last_7_days&limit=5",
        created["id"].as_str().expect("an id")
    );
    criterion.bench_function("a cached answer", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let request = TestRequest::get().uri(&target).insert_header(bearer.clone()).to_request();
            let response = call_service(&service, request).await;
            assert!(response.status().is_success(), "{}", response.status());
            black_box(read_body(response).await)
        });
    });
}

criterion_group!(benches, tokens, sealing, questions, cached);
criterion_main!(benches);
