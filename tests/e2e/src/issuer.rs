//! An OIDC issuer shaped like a hosted CI: discovery, keys, and the endpoint inside a job that hands out tokens
//! (wire.md 2.3 and 6). Claims can be changed per issuer, per request URL or per token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::rand_core::{OsRng, RngCore as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Map, Value, json};

/// What a job presents at the token endpoint.
pub const JOB_SECRET: &str = "job-request-token";

/// How long a token is good for, in seconds, as hosted CIs give them out.
const TOKEN_SECONDS: u64 = 300;

struct Key {
    id: String,
    private: EncodingKey,
    public: Value,
}

impl Key {
    fn generate() -> Key {
        let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048).expect("an RSA key");
        let pem = key.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF).expect("PEM");
        let id = random_hex();
        let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
        let public = json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
            "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e),
        });
        Key {
            id,
            private: EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a signing key"),
            public,
        }
    }
}

struct Shared {
    url: String,
    key: Mutex<Key>,
    claims: Mutex<Map<String, Value>>,
}

/// A running issuer. It ends with the runtime that started it.
#[derive(Clone)]
pub struct Issuer {
    shared: Arc<Shared>,
}

impl Issuer {
    /// Starts one on a free loopback port.
    pub async fn start() -> Issuer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Shared { url, key: Mutex::new(Key::generate()), claims: Mutex::default() };
        let issuer = Issuer { shared: Arc::new(shared) };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(keys))
            .route("/token", get(job_token))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.expect("serving") });
        issuer
    }

    /// The exact `iss`.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// What a job finds in `ACTIONS_ID_TOKEN_REQUEST_URL`. Append `&c.name=value` to change a claim for one job.
    pub fn request_url(&self) -> String {
        format!("{}/token?api-version=2.0", self.shared.url)
    }

    /// Changes a claim of every later token; null removes it.
    pub fn set(&self, claim: &str, value: Value) {
        self.shared.claims.lock().expect("claims").insert(claim.to_string(), value);
    }

    /// Replaces the signing key, and with it the key id, as issuers do now and then.
    pub fn rotate(&self) {
        *self.shared.key.lock().expect("the key") = Key::generate();
    }

    /// A token as a hosted GitHub job for the tag `v1.0.0` of `octo/hello-wire` gets it, with `changes` on top.
    pub fn github(&self, audience: &str, changes: &Value) -> String {
        self.sign(&self.complete(github_claims(), audience, changes))
    }

    /// A token as a GitLab job for the protected tag `v1.0.0` gets it in an `id_tokens:` variable.
    pub fn gitlab(&self, audience: &str, changes: &Value) -> String {
        self.sign(&self.complete(gitlab_claims(), audience, changes))
    }

    /// Signs exactly these claims with the current key.
    pub fn sign(&self, claims: &Value) -> String {
        let key = self.shared.key.lock().expect("the key");
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, claims, &key.private).expect("a token")
    }

    fn complete(&self, mut claims: Value, audience: &str, changes: &Value) -> Value {
        let now = crate::clock::unix_seconds();
        let members = claims.as_object_mut().expect("an object");
        members.insert("iss".into(), json!(self.shared.url));
        members.insert("aud".into(), json!(audience));
        members.insert("jti".into(), json!(random_hex()));
        members.insert("iat".into(), json!(now));
        members.insert("nbf".into(), json!(now - 10));
        members.insert("exp".into(), json!(now + TOKEN_SECONDS));
        let standing = self.shared.claims.lock().expect("claims").clone();
        let once = changes.as_object().cloned().unwrap_or_default();
        for (name, value) in standing.into_iter().chain(once) {
            if value.is_null() {
                members.remove(&name)
            } else {
                members.insert(name, value)
            };
        }
        claims
    }
}

async fn discovery(State(issuer): State<Issuer>) -> Json<Value> {
    let url = issuer.url();
    Json(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks"),
        "authorization_endpoint": format!("{url}/authorize"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
    }))
}

async fn keys(State(issuer): State<Issuer>) -> Json<Value> {
    let key = issuer.shared.key.lock().expect("the key");
    Json(json!({ "keys": [key.public] }))
}

async fn job_token(
    State(issuer): State<Issuer>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let given = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    // Clients write the scheme in either case.
    if given.get(..7).is_none_or(|s| !s.eq_ignore_ascii_case("bearer "))
        || &given[7..] != JOB_SECRET
    {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let audience = query.get("audience").cloned().unwrap_or_default();
    let changes: Map<String, Value> = query
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("c.")?.to_string(), json!(value))))
        .collect();
    let value = issuer.github(&audience, &Value::Object(changes));
    Ok(Json(json!({ "count": 1, "value": value })))
}

fn github_claims() -> Value {
    let workflow = "octo/hello-wire/.github/workflows/release.yml@refs/tags/v1.0.0";
    let commit = "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed";
    json!({
        "sub": "repo:octo/hello-wire:environment:release",
        "repository": "octo/hello-wire", "repository_id": "4242",
        "repository_owner": "octo", "repository_owner_id": "77",
        // npm asks the public Sigstore for provenance when this says public.
        "repository_visibility": "private",
        "workflow": "Release", "workflow_ref": workflow, "workflow_sha": commit,
        "job_workflow_ref": workflow, "job_workflow_sha": commit,
        "ref": "refs/tags/v1.0.0", "ref_type": "tag", "ref_protected": "true", "sha": commit,
        "event_name": "push", "environment": "release", "environment_node_id": "EN_1",
        "runner_environment": "github-hosted",
        "run_id": "1000001", "run_number": "12", "run_attempt": "1", "check_run_id": "55",
        "actor": "jun", "actor_id": "1003", "head_ref": "", "base_ref": "",
    })
}

fn gitlab_claims() -> Value {
    json!({
        "sub": "project_path:octo/hello-wire:ref_type:tag:ref:v1.0.0",
        "namespace_id": "77", "namespace_path": "octo",
        "project_id": "4242", "project_path": "octo/hello-wire", "project_visibility": "private",
        "user_id": "1003", "user_login": "jun", "user_email": "jun@example.org", "user_access_level": "maintainer",
        "pipeline_id": "900", "pipeline_source": "push", "job_id": "901",
        "ref": "v1.0.0", "ref_type": "tag", "ref_path": "refs/tags/v1.0.0", "ref_protected": "true",
        "environment": "release", "environment_protected": "true", "deployment_tier": "production",
        "runner_id": 1, "runner_environment": "gitlab-hosted",
        "sha": "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed",
        "ci_config_ref_uri": "gitlab.example/octo/hello-wire//.gitlab-ci.yml@refs/tags/v1.0.0",
        "ci_config_sha": "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed",
    })
}

fn random_hex() -> String {
    format!("{:016x}{:016x}", OsRng.next_u64(), OsRng.next_u64())
}
