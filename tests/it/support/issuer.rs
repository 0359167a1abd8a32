//! An OIDC issuer on loopback that signs anything and answers as badly as it is told to.
//!
//! Ordinary tokens are minted by `jsonwebtoken`, a second implementation; malformed ones are put
//! together by hand and signed with `ring`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, header};
use axum::routing::{get, post};
use axum::{Form, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::domain::ids::IssuerId;
use countersign::domain::issuer::{Algorithm, Issuer, IssuerConfig, Preset};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::pkcs8::EncodePrivateKey as _;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

/// Primes of two RSA keys that exist for these tests only.
const PRIMES: [[&str; 2]; 2] = [
    [
        "faba0066ed8bd89ea6135f6e85397f7189019c9c798a2ab528c0babac3d440f60c93841f9811f80e1e62456056d973f46c96f8aa6e83764448411193bc5b382458862f9a6721cf12a62e7e89d2a320f822b9545920821a6278911a7b36c76b27eec69ca043dce3ead18ecfca13acee2174c9e634a02a8aab04b4e4a35d1cdb7f",
        "dcafcb7b1a89611016dd8f7292e70828863a5491017e5b0426b22271864555b29fef2d73a9ec8c025da1636f9e5a7966edbd078496915c401be47bf7abc219e39052d10a2232c0a46ac5ece61884bcd6075b77c6ff3edc81b29f814f17d58aa063dd18ef9e9b1f4a8e39b74b1b4919f2b7d1f78edd8afa32722d3883e7abcfd7",
    ],
    [
        "d05607580105e700688ae7804b5d6a0a492bdd8cf243b59a90582872d4dc5a725dac359024d3db1dc58642b796dc50b26ea6c420f099df39bed52337c9d34a2aca0b5816db47e23fb086a4e458c11e989bf34d35282dcfb7ab441094d7bd5bf38d8e6a58f8f1ca2776788ea095053b717d1217e5a5992920b58d30eb31304e3b",
        "cf32169aab86590b68734d190ec336cfcd7d13016662454feef7e06dd127801320c650062ee75aa72c6c02c6ba5a9f09e7abd87d38fc5fd231f42a002bb61d6922c3eb3ca5ec950c1949cea4547c320c1ac9495d85ba44926affae368d0f97241ee9bf2356e90a7ca4ac8d166377356105d022085e0e15d7187669285d3d28b1",
    ],
];

/// A signing key and what its issuer publishes of it.
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) jwk: Value,
    algorithm: jsonwebtoken::Algorithm,
    der: Vec<u8>,
}

impl Key {
    /// One of two RSA keys, under any name.
    pub(crate) fn rsa(which: usize, kid: &str) -> Self {
        let [p, q] =
            PRIMES[which].map(|hex| rsa::BigUint::parse_bytes(hex.as_bytes(), 16).unwrap());
        let key = rsa::RsaPrivateKey::from_p_q(p, q, rsa::BigUint::from(65_537_u32)).unwrap();
        let number = |number: &rsa::BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
        let jwk = json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": number(key.n()), "e": number(key.e()),
        });
        let der = key.to_pkcs1_der().unwrap().as_bytes().to_vec();
        Self { kid: kid.to_owned(), jwk, algorithm: jsonwebtoken::Algorithm::RS256, der }
    }

    /// An ES256 key, under any name; different seeds give different keys.
    pub(crate) fn es256(seed: u8, kid: &str) -> Self {
        let key = p256::SecretKey::from_slice(&[seed; 32]).unwrap();
        let point = key.public_key().to_sec1_point(false);
        // The point's uncompressed form: 4, then x and y of 32 bytes each.
        let [x, y] = [1..33, 33..65].map(|range| URL_SAFE_NO_PAD.encode(&point.as_bytes()[range]));
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": x, "y": y,
        });
        let der = key.to_pkcs8_der().unwrap().as_bytes().to_vec();
        Self { kid: kid.to_owned(), jwk, algorithm: jsonwebtoken::Algorithm::ES256, der }
    }

    /// A token with an ordinary header, minted by `jsonwebtoken`.
    pub(crate) fn mint(&self, claims: &Value) -> String {
        let mut header = jsonwebtoken::Header::new(self.algorithm);
        header.kid = Some(self.kid.clone());
        let key = match self.algorithm {
            jsonwebtoken::Algorithm::RS256 => jsonwebtoken::EncodingKey::from_rsa_der(&self.der),
            _ => jsonwebtoken::EncodingKey::from_ec_der(&self.der),
        };
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    /// A token with exactly this header and payload, validly signed.
    pub(crate) fn sign(&self, header: &[u8], payload: &[u8]) -> String {
        let input =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let random = ring::rand::SystemRandom::new();
        let signature = if self.algorithm == jsonwebtoken::Algorithm::RS256 {
            let pair = ring::signature::RsaKeyPair::from_der(&self.der).unwrap();
            let mut signature = vec![0; pair.public().modulus_len()];
            let padding = &ring::signature::RSA_PKCS1_SHA256;
            pair.sign(padding, &random, input.as_bytes(), &mut signature).unwrap();
            signature
        } else {
            let kind = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = ring::signature::EcdsaKeyPair::from_pkcs8(kind, &self.der, &random).unwrap();
            pair.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec()
        };
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// How one document is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Status 200 and this document.
    Json(Value),
    /// Status 200 and these bytes, with a content-encoding if one is named.
    Bytes(Vec<u8>, Option<&'static str>),
    /// This status and an empty body.
    Status(u16),
    /// A redirect to this address.
    Redirect(String),
    /// Status 200, then a byte now and then, without end.
    Drip,
}

struct Behavior {
    discovery: Mutex<Answer>,
    keys: Mutex<Answer>,
    /// What the token endpoint answers, and the forms that were sent there.
    token: Mutex<Answer>,
    exchanges: Mutex<Vec<Exchange>>,
    discovery_count: AtomicUsize,
    keys_count: AtomicUsize,
    delay: Mutex<Duration>,
}

/// A form that was sent to the token endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) form: BTreeMap<String, String>,
    pub(crate) authorization: Option<String>,
}

/// A running issuer; it stops when dropped.
pub(crate) struct TestIssuer {
    /// Its `iss`.
    pub(crate) url: String,
    /// The RSA key it publishes at first.
    pub(crate) rsa: Key,
    /// The ES256 key it publishes at first.
    pub(crate) es256: Key,
    behavior: Arc<Behavior>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl TestIssuer {
    /// Starts a well-behaved issuer with two keys.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let (rsa, es256) = (Key::rsa(0, "rsa-1"), Key::es256(7, "es-1"));
        let behavior = Arc::new(Behavior {
            discovery: Mutex::new(Answer::Json(json!({
                "issuer": url, "jwks_uri": format!("{url}/jwks"),
                "authorization_endpoint": format!("{url}/authorize"),
                "token_endpoint": format!("{url}/token"),
                "id_token_signing_alg_values_supported": ["RS256"],
            }))),
            keys: Mutex::new(Answer::Json(json!({ "keys": [rsa.jwk, es256.jwk] }))),
            token: Mutex::new(Answer::Status(400)),
            exchanges: Mutex::default(),
            discovery_count: AtomicUsize::new(0),
            keys_count: AtomicUsize::new(0),
            delay: Mutex::new(Duration::ZERO),
        });
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(keys))
            .route("/token", post(token))
            .with_state(behavior.clone());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, rsa, es256, behavior, server }
    }

    /// This issuer as configured with a preset; RS256 and ES256 unless `only` says otherwise.
    pub(crate) fn configured(&self, preset: Preset, algorithms: &[Algorithm]) -> Issuer {
        let config = IssuerConfig {
            name: "test issuer".to_owned(),
            preset,
            url: self.url.clone(),
            allow_private: true,
            jwks_host: None,
            algorithms: algorithms.iter().copied().collect(),
            max_age_minutes: 10,
        };
        let port = u128::from(self.url.rsplit_once(':').unwrap().1.parse::<u16>().unwrap());
        Issuer::parse(IssuerId::from_uuid(uuid::Uuid::from_u128(port)), config).unwrap()
    }

    /// What `/jwks` answers from now on.
    pub(crate) fn answer_keys(&self, answer: Answer) {
        *lock(&self.behavior.keys) = answer;
    }

    /// Publishes exactly these keys from now on.
    pub(crate) fn publish(&self, keys: &[&Value]) {
        self.answer_keys(Answer::Json(json!({ "keys": keys })));
    }

    /// What discovery answers from now on.
    pub(crate) fn answer_discovery(&self, answer: Answer) {
        *lock(&self.behavior.discovery) = answer;
    }

    /// What the token endpoint answers from now on.
    pub(crate) fn answer_token(&self, answer: Answer) {
        *lock(&self.behavior.token) = answer;
    }

    /// What was sent to the token endpoint.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.behavior.exchanges).clone()
    }

    /// Waits this long before every answer from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        *lock(&self.behavior.delay) = delay;
    }

    /// How often discovery was asked for.
    pub(crate) fn discovery_count(&self) -> usize {
        self.behavior.discovery_count.load(Ordering::SeqCst)
    }

    /// How often the keys were asked for.
    pub(crate) fn keys_count(&self) -> usize {
        self.behavior.keys_count.load(Ordering::SeqCst)
    }

    /// The claims of a tag push in the repository of the examples, as GitHub Actions writes them.
    pub(crate) fn github_claims(&self, audience: &str, now: Timestamp) -> Value {
        let now = now.as_second();
        let workflow = "octo/hello-wire/.github/workflows/release.yml@refs/tags/v1.0.0";
        json!({
            "iss": self.url, "aud": audience, "jti": format!("jti-{now}"),
            "sub": "repo:octo/hello-wire:environment:release",
            "iat": now, "nbf": now - 10, "exp": now + 300,
            "actor": "ines", "actor_id": "1001", "base_ref": "", "head_ref": "",
            "environment": "release", "environment_node_id": "EN_1", "event_name": "push",
            "job_workflow_ref": workflow, "job_workflow_sha": "f".repeat(40),
            "ref": "refs/tags/v1.0.0", "ref_protected": "true", "ref_type": "tag",
            "repository": "octo/hello-wire", "repository_id": "4242",
            "repository_owner": "octo", "repository_owner_id": "77",
            "repository_visibility": "private", "run_attempt": "1", "run_id": "9001",
            "run_number": "12", "runner_environment": "github-hosted", "sha": "f".repeat(40),
            "workflow": "Release", "workflow_ref": workflow, "workflow_sha": "f".repeat(40),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

async fn discovery(State(behavior): State<Arc<Behavior>>) -> Response<Body> {
    behavior.discovery_count.fetch_add(1, Ordering::SeqCst);
    let answer = lock(&behavior.discovery).clone();
    respond(&behavior, answer).await
}

async fn keys(State(behavior): State<Arc<Behavior>>) -> Response<Body> {
    behavior.keys_count.fetch_add(1, Ordering::SeqCst);
    let answer = lock(&behavior.keys).clone();
    respond(&behavior, answer).await
}

async fn token(
    State(behavior): State<Arc<Behavior>>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response<Body> {
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    lock(&behavior.exchanges).push(Exchange { form, authorization });
    let answer = lock(&behavior.token).clone();
    respond(&behavior, answer).await
}

async fn respond(behavior: &Behavior, answer: Answer) -> Response<Body> {
    let delay = *lock(&behavior.delay);
    tokio::time::sleep(delay).await;
    let response = Response::builder();
    match answer {
        Answer::Json(document) => response
            .header(header::CONTENT_TYPE, "application/json")
            .body(document.to_string().into()),
        Answer::Bytes(bytes, None) => response.body(bytes.into()),
        Answer::Bytes(bytes, Some(encoding)) => {
            response.header(header::CONTENT_ENCODING, encoding).body(bytes.into())
        }
        Answer::Status(status) => response.status(status).body(Body::empty()),
        Answer::Redirect(to) => {
            response.status(302).header(header::LOCATION, to).body(Body::empty())
        }
        Answer::Drip => {
            let drops = futures_util::stream::repeat(()).then(async |()| {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, std::convert::Infallible>(" ")
            });
            response.body(Body::from_stream(drops))
        }
    }
    .unwrap()
}
