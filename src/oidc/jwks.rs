//! An issuer's public keys: fetched rarely, checked one by one, kept while the issuer is away.
//!
//! Verification with keys we hold never waits for the network. A key the issuer withdrew stays
//! usable for up to [`KEYS_TTL`], or [`KEYS_STALE_MAX`] while the issuer cannot be reached.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKey as _, SignatureVerificationError};
use serde_json::{Map, Value};
use url::Url;

use super::token::{is_kid, read_json};
use crate::domain::issuer::{Algorithm, Issuer};
use crate::outbound::{FetchError, Http};

/// Age at which keys are fetched again.
pub const KEYS_TTL: SignedDuration = SignedDuration::from_mins(10);
/// Shortest time between two fetches for one issuer, failed ones included (O5).
pub const FETCH_COOLDOWN: SignedDuration = SignedDuration::from_secs(60);
/// Age up to which keys are used while the issuer gives no new ones (O5).
pub const KEYS_STALE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Most keys in a set (O4); issuers publish two to six.
pub const KEYS_MAX: usize = 50;
/// Shortest RSA modulus in bits (O6).
pub const RSA_MIN_BITS: usize = 2048;
/// Longest RSA modulus in bits; longer ones cost verification time.
pub const RSA_MAX_BITS: usize = 4096;

/// Why no keys could be had. For logs: callers of ours see one text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The discovery document did not arrive.
    #[error("discovery: {0}")]
    Discovery(FetchError),
    /// The key set did not arrive.
    #[error("key set: {0}")]
    KeySet(FetchError),
    /// A document is not what it should be.
    #[error("{document}: {reason}")]
    Document {
        /// `discovery` or `key set`.
        document: &'static str,
        /// What was wrong.
        reason: String,
    },
    /// The document names another issuer (O3).
    #[error("expected the issuer `{expected}` in discovery, received `{received}`")]
    Issuer {
        /// The configured one.
        expected: String,
        /// The one in the document.
        received: String,
    },
    /// The keys are somewhere else than the issuer or its configured key host (O3).
    #[error("expected jwks_uri on the issuer's host or its jwks_host, received `{received}`")]
    Host {
        /// `jwks_uri`.
        received: String,
    },
    /// No key in the set can be used; what we held before stays.
    #[error("expected at least one usable key")]
    NoKeys,
    /// The last attempt is too recent for another.
    #[error("no keys yet, and the last attempt was less than a minute ago")]
    CoolingDown,
}

/// Why a token's key was not found.
pub(super) enum KeyError {
    /// We hold keys of this issuer, this one is not among them.
    Unknown,
    /// We hold no usable keys of this issuer.
    Unavailable(KeysError),
}

/// The keys of all issuers.
#[derive(Debug)]
pub(super) struct Cache {
    http: Http,
    /// One entry per issuer configuration ever used since start: bounded by what people configure.
    entries: Mutex<HashMap<Source, Arc<Entry>>>,
}

/// What decides where keys come from. An edited issuer row starts with no keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Source {
    url: String,
    jwks_host: Option<String>,
    allow_private: bool,
    algorithms: BTreeSet<Algorithm>,
}

#[derive(Debug, Default)]
struct Entry {
    state: Mutex<State>,
    /// Held while fetching, so that there is one fetch at a time; `state` never is.
    flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    keys: KeySet,
    fetched_at: Option<Timestamp>,
    attempted_at: Option<Timestamp>,
    jwks_uri: Option<Url>,
    failure: Option<KeysError>,
}

enum Held {
    Fresh(CoreJsonWebKey),
    Stale(CoreJsonWebKey),
    Absent,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding these, and what they guard is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    pub(super) fn new(http: Http) -> Self {
        Self { http, entries: Mutex::default() }
    }

    /// The issuer's key with this `kid`. Fetches when the key is not held or due for renewal, at
    /// most once per [`FETCH_COOLDOWN`] whatever callers ask for (O5).
    pub(super) async fn key(
        &self,
        issuer: &Issuer,
        kid: &str,
        now: Timestamp,
    ) -> Result<CoreJsonWebKey, KeyError> {
        let source = Source {
            url: issuer.url().to_owned(),
            jwks_host: issuer.jwks_host().map(str::to_owned),
            allow_private: issuer.allow_private(),
            algorithms: issuer.algorithms().clone(),
        };
        let entry = lock(&self.entries).entry(source).or_default().clone();
        let guard = match entry.held(kid, now) {
            Held::Fresh(key) => return Ok(key),
            // Somebody else is renewing: what we hold will do.
            Held::Stale(key) => match entry.flight.clone().try_lock_owned() {
                Ok(guard) => guard,
                Err(_) => return Ok(key),
            },
            Held::Absent => entry.flight.clone().lock_owned().await,
        };
        if let Held::Fresh(key) = entry.held(kid, now) {
            return Ok(key);
        }
        if entry.may_fetch(now) {
            let (http, issuer, entry) = (self.http.clone(), issuer.clone(), entry.clone());
            // In a task of its own: a caller who hangs up must not waste the attempt for others.
            let fetching = tokio::spawn(async move {
                let outcome = fetch(&http, &issuer).await;
                entry.record(&issuer, outcome, now);
                drop(guard);
            });
            if let Err(fault) = fetching.await {
                tracing::error!(%fault, "fetching the keys of an issuer stopped");
            }
        }
        match entry.held(kid, now) {
            Held::Fresh(key) | Held::Stale(key) => Ok(key),
            Held::Absent => Err(entry.why_absent(now)),
        }
    }
}

impl Entry {
    fn held(&self, kid: &str, now: Timestamp) -> Held {
        let state = lock(&self.state);
        let (Some(key), Some(fetched_at)) = (state.keys.get(kid), state.fetched_at) else {
            return Held::Absent;
        };
        let age = now.duration_since(fetched_at);
        // A clock set back makes keys due for renewal instead of eternal.
        if age >= SignedDuration::ZERO && age < KEYS_TTL {
            Held::Fresh(key)
        } else if age < KEYS_STALE_MAX {
            Held::Stale(key)
        } else {
            Held::Absent
        }
    }

    /// True once per cooldown; the caller holds `flight`. Marks the attempt before it is made, so
    /// that a failure counts like a success.
    fn may_fetch(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        let cooling = state.attempted_at.is_some_and(|at| {
            let since = now.duration_since(at);
            since >= SignedDuration::ZERO && since < FETCH_COOLDOWN
        });
        if !cooling {
            state.attempted_at = Some(now);
        }
        !cooling
    }

    fn record(&self, issuer: &Issuer, outcome: Result<Fetched, KeysError>, now: Timestamp) {
        let mut state = lock(&self.state);
        match outcome {
            Ok(Fetched { keys, jwks_uri }) => {
                if let Some(before) = state.jwks_uri.replace(jwks_uri.clone())
                    && before != jwks_uri
                {
                    // Allowed within the configured host, but never silent (O3).
                    tracing::warn!(
                        issuer = issuer.url(), %before, after = %jwks_uri,
                        "an issuer moved its keys"
                    );
                }
                if !keys.conflicting.is_empty() {
                    tracing::error!(
                        issuer = issuer.url(), kids = ?keys.conflicting,
                        "an issuer published different keys under one kid; all of them are refused"
                    );
                }
                state.keys = keys;
                state.fetched_at = Some(now);
                state.failure = None;
            }
            Err(failure) => {
                tracing::warn!(
                    issuer = issuer.url(), reason = %failure,
                    "the keys of an issuer could not be fetched"
                );
                state.failure = Some(failure);
            }
        }
    }

    fn why_absent(&self, now: Timestamp) -> KeyError {
        let state = lock(&self.state);
        let usable = state
            .fetched_at
            .is_some_and(|fetched_at| now.duration_since(fetched_at) < KEYS_STALE_MAX);
        match (&state.failure, usable) {
            (None, true) => KeyError::Unknown,
            (Some(failure), _) => KeyError::Unavailable(failure.clone()),
            (None, false) => KeyError::Unavailable(KeysError::CoolingDown),
        }
    }
}

struct Fetched {
    keys: KeySet,
    jwks_uri: Url,
}

async fn fetch(http: &Http, issuer: &Issuer) -> Result<Fetched, KeysError> {
    let document = discover(http, issuer).await?;
    let jwks_uri = address(&document, "jwks_uri")?;
    if !is_key_host(issuer, &jwks_uri) {
        return Err(KeysError::Host { received: jwks_uri.into() });
    }
    let body = http.get(&jwks_uri, issuer.allow_private()).await.map_err(KeysError::KeySet)?;
    let keys = KeySet::read(&body, issuer.algorithms())?;
    Ok(Fetched { keys, jwks_uri })
}

/// Fetches the discovery document, which names the issuer it is about (O3). Not openidconnect's
/// type, which demands members that CI issuers do not have.
pub(super) async fn discover(
    http: &Http,
    issuer: &Issuer,
) -> Result<Map<String, Value>, KeysError> {
    let base = issuer.url().strip_suffix('/').unwrap_or(issuer.url());
    let place = parse(&format!("{base}/.well-known/openid-configuration"))?;
    let body = http.get(&place, issuer.allow_private()).await.map_err(KeysError::Discovery)?;
    let document = read_json(&body).map_err(broken)?;
    let named = document.get("issuer").and_then(Value::as_str);
    let named = named.ok_or_else(|| broken("expected the text `issuer`".to_owned()))?;
    if named != issuer.url() {
        return Err(KeysError::Issuer {
            expected: issuer.url().to_owned(),
            received: named.chars().take(200).collect(),
        });
    }
    Ok(document)
}

/// An address in a discovery document.
pub(super) fn address(document: &Map<String, Value>, name: &str) -> Result<Url, KeysError> {
    let text = document.get(name).and_then(Value::as_str);
    parse(text.ok_or_else(|| broken(format!("expected the text `{name}`")))?)
}

fn parse(text: &str) -> Result<Url, KeysError> {
    Url::parse(text).map_err(|error| broken(error.to_string()))
}

const fn broken(reason: String) -> KeysError {
    KeysError::Document { document: "discovery", reason }
}

fn is_key_host(issuer: &Issuer, jwks_uri: &Url) -> bool {
    let expected = match issuer.jwks_host() {
        Some(host) => Url::parse(&format!("{}://{host}/", issuer.address().scheme())).ok(),
        None => Some(issuer.address().clone()),
    };
    let bare = jwks_uri.username().is_empty() && jwks_uri.password().is_none();
    bare && expected.is_some_and(|expected| expected.origin() == jwks_uri.origin())
}

/// Usable keys by `kid`.
#[derive(Debug, Default)]
struct KeySet {
    keys: HashMap<String, CoreJsonWebKey>,
    conflicting: BTreeSet<String>,
}

impl KeySet {
    fn get(&self, kid: &str) -> Option<CoreJsonWebKey> {
        self.keys.get(kid).cloned()
    }

    /// Reads a key set (RFC 7517 section 5). A key that cannot be used is left out and does not
    /// spoil the others (O5); two different keys under one `kid` are both left out.
    fn read(body: &[u8], algorithms: &BTreeSet<Algorithm>) -> Result<Self, KeysError> {
        let broken = |reason| KeysError::Document { document: "key set", reason };
        let document = read_json(body).map_err(broken)?;
        let Some(Value::Array(members)) = document.get("keys") else {
            return Err(broken("expected the array `keys`".to_owned()));
        };
        if members.len() > KEYS_MAX {
            return Err(broken(format!("expected at most {KEYS_MAX} keys")));
        }
        let mut set = Self::default();
        for member in members {
            let (kid, key) = match read_key(member, algorithms) {
                Ok(found) => found,
                Err(reason) => {
                    tracing::debug!(reason, "a key of an issuer was left out");
                    continue;
                }
            };
            if set.keys.get(&kid).is_some_and(|other| *other != key) {
                set.conflicting.insert(kid);
            } else {
                set.keys.insert(kid, key);
            }
        }
        set.keys.retain(|kid, _| !set.conflicting.contains(kid));
        if set.keys.is_empty() {
            return Err(KeysError::NoKeys);
        }
        Ok(set)
    }
}

/// Checks one member of a key set (O6). The key is rebuilt from the checked numbers alone, so that
/// nothing else of the document can influence a verification.
fn read_key(
    member: &Value,
    algorithms: &BTreeSet<Algorithm>,
) -> Result<(String, CoreJsonWebKey), &'static str> {
    let members = member.as_object().ok_or("not an object")?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let kid = text("kid").filter(|kid| is_kid(kid)).ok_or("no usable kid")?;
    if ["d", "p", "q", "k"].iter().any(|secret| members.contains_key(*secret)) {
        return Err("a private or symmetric key");
    }
    if members.get("use").is_some_and(|usage| usage != "sig") {
        return Err("not for signatures");
    }
    let verifies =
        |usages: &Value| usages.as_array().is_some_and(|all| all.contains(&"verify".into()));
    if members.get("key_ops").is_some_and(|usages| !verifies(usages)) {
        return Err("not for verification");
    }
    let id = openidconnect::JsonWebKeyId::new(kid.to_owned());
    let (algorithm, key) = match text("kty") {
        Some("RSA") => (Algorithm::Rs256, read_rsa(members, id)?),
        Some("EC") => (Algorithm::Es256, read_ec(members, id)?),
        _ => return Err("neither RSA nor EC"),
    };
    if members.get("alg").is_some_and(|named| named != algorithm.as_str()) {
        return Err("for another algorithm");
    }
    if !algorithms.contains(&algorithm) {
        return Err("for an algorithm this issuer may not use");
    }
    // A probe that cannot verify tells a key the library can use from one it cannot, such as a
    // point off the curve.
    match key.verify_signature(&library_algorithm(algorithm), b"", &[1; 64]) {
        Err(SignatureVerificationError::CryptoError(_)) => Ok((kid.to_owned(), key)),
        _ => Err("not a key of its kind"),
    }
}

/// The library's name for an algorithm.
pub(super) const fn library_algorithm(algorithm: Algorithm) -> CoreJwsSigningAlgorithm {
    match algorithm {
        Algorithm::Rs256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        Algorithm::Es256 => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    }
}

fn number(members: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(members.get(name)?.as_str()?).ok()
}

fn read_rsa(
    members: &Map<String, Value>,
    kid: openidconnect::JsonWebKeyId,
) -> Result<CoreJsonWebKey, &'static str> {
    let modulus = number(members, "n").ok_or("no modulus")?;
    let exponent = number(members, "e").ok_or("no exponent")?;
    let digits: Vec<u8> = modulus.iter().copied().skip_while(|byte| *byte == 0).collect();
    let leading = digits.first().map_or(8, |byte| byte.leading_zeros() as usize);
    let bits = (digits.len() * 8).saturating_sub(leading);
    if !(RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits) {
        return Err("an RSA modulus that is too short or too long");
    }
    let exponent_value = exponent.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    if exponent.len() > 5 || exponent_value < 3 || exponent_value % 2 == 0 {
        return Err("an unusable RSA exponent");
    }
    Ok(CoreJsonWebKey::new_rsa(digits, exponent, Some(kid)))
}

fn read_ec(
    members: &Map<String, Value>,
    kid: openidconnect::JsonWebKeyId,
) -> Result<CoreJsonWebKey, &'static str> {
    if members.get("crv").is_none_or(|curve| curve != "P-256") {
        return Err("another curve than P-256");
    }
    let coordinate = |name| number(members, name).filter(|bytes| bytes.len() == 32);
    let x = coordinate("x").ok_or("no x coordinate of 32 bytes")?;
    let y = coordinate("y").ok_or("no y coordinate of 32 bytes")?;
    Ok(CoreJsonWebKey::new_ec(x, y, openidconnect::core::CoreJsonCurveType::P256, Some(kid)))
}
