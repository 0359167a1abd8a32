//! Single sign-on of people: the authorization code flow with PKCE against one configured issuer
//! (RFC 6749, RFC 7636, OpenID Connect Core 3.1).
//!
//! It says who somebody is at the issuer, by `iss` and `sub` alone (S10). What that is worth here is
//! `pipeline::sso`'s question; state and cookies are its, too.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use super::jwks::{Cache, KEYS_TTL, KeyError, KeysError, address, discover};
use super::token::{UnverifiedToken, read_json};
use super::{Expected, Unverified, check_audience, check_signature};
use crate::domain::claims::LEEWAY;
use crate::domain::issuer::Issuer;
use crate::entropy::{self, EntropyError};
use crate::outbound::{ClientError, FetchError, Http, HttpSettings};

/// Longest `sub`, as OpenID Connect Core 2 bounds it.
pub const SUBJECT_MAX_BYTES: usize = 255;
/// Oldest ID token that is taken: it was made for this very exchange.
const AGE_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Shortest time between two fetches of the discovery document when the first one failed.
const COOLDOWN: SignedDuration = SignedDuration::from_secs(5);
/// Longest authorization code in bytes; real ones have some hundred.
const CODE_MAX_BYTES: usize = 4 * 1024;

/// Why nobody was vouched for. For logs: people see one text.
#[derive(Debug, thiserror::Error)]
pub enum SsoError {
    /// The issuer's discovery document or keys could not be had.
    #[error(transparent)]
    Issuer(#[from] KeysError),
    /// An endpoint is somewhere else than the issuer or a configured host.
    #[error(
        "expected `{endpoint}` on the issuer's host or one of `sso.hosts`, received `{received}`"
    )]
    Host {
        /// Which one.
        endpoint: &'static str,
        /// Where it is said to be.
        received: String,
    },
    /// The last attempt failed a moment ago.
    #[error("discovery failed less than {} s ago", COOLDOWN.as_secs())]
    CoolingDown,
    /// The code is not one.
    #[error("expected an authorization code of 1 to {CODE_MAX_BYTES} printable characters")]
    Code,
    /// The token endpoint did not answer.
    #[error("token endpoint: {0}")]
    Exchange(FetchError),
    /// The token endpoint answered with an error, or with something else than a token.
    #[error("expected an ID token, received status `{status}`")]
    NoToken {
        /// The status.
        status: u16,
    },
    /// The ID token is not the issuer's for this exchange.
    #[error("ID token: {0}")]
    IdToken(#[from] Unverified),
    /// The token is genuine, but a claim is not as it has to be.
    #[error("expected {0} in the ID token")]
    Claim(&'static str),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// How people sign in there.
#[derive(Debug)]
pub struct SsoSettings {
    /// The issuer.
    pub issuer: Issuer,
    /// Hosts besides the issuer's own where its endpoints may be.
    pub hosts: Vec<String>,
    /// Our name there.
    pub client_id: String,
    /// Our secret there; a public client has none.
    pub secret: Option<SecretString>,
    /// Where the issuer sends people back to.
    pub redirect: String,
}

/// The flow against one issuer.
#[derive(Debug)]
pub struct SingleSignOn {
    http: Http,
    keys: Arc<Cache>,
    settings: SsoSettings,
    /// When they were asked for, and what came of it.
    endpoints: Mutex<Option<(Timestamp, Option<Endpoints>)>>,
}

#[derive(Debug, Clone)]
struct Endpoints {
    authorization: Url,
    token: Url,
}

/// A sign-in between leaving for the issuer and coming back; kept on the server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pending {
    nonce: String,
    verifier: String,
    token_endpoint: Url,
}

/// Who somebody is at the issuer.
#[derive(Debug, Clone)]
pub struct Account {
    /// The exact `iss`.
    pub issuer: String,
    /// `sub`, which names the account there for ever.
    pub subject: String,
    claims: Map<String, Value>,
}

impl Account {
    /// Whether a claim is this text, or a list that holds it.
    pub fn has(&self, claim: &str, value: &str) -> bool {
        match self.claims.get(claim) {
            Some(Value::String(text)) => text == value,
            Some(Value::Array(texts)) => texts.iter().any(|text| text.as_str() == Some(value)),
            _ => false,
        }
    }
}

impl SingleSignOn {
    /// Builds the HTTP clients; connects to nobody yet.
    pub fn new(http: &HttpSettings, settings: SsoSettings) -> Result<Self, ClientError> {
        let http = Http::new(http)?;
        let keys = Arc::new(Cache::new(http.clone()));
        Ok(Self { http, keys, settings, endpoints: Mutex::default() })
    }

    /// What people call the issuer.
    pub fn name(&self) -> &str {
        self.settings.issuer.name()
    }

    /// The exact `iss`.
    pub fn issuer(&self) -> &str {
        self.settings.issuer.url()
    }

    /// Where to send the browser, and what to keep until it comes back. `state` comes back with it.
    pub async fn begin(&self, state: &str, now: Timestamp) -> Result<(Url, Pending), SsoError> {
        let Endpoints { authorization, token } = self.endpoints(now).await?;
        let nonce = entropy::token()?.expose_secret().to_owned();
        let verifier = PkceCodeVerifier::new(entropy::token()?.expose_secret().to_owned());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let mut place = authorization;
        place
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.settings.redirect)
            .append_pair("scope", "openid")
            .append_pair("state", state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", challenge.method().as_str());
        let verifier = verifier.into_secret();
        Ok((place, Pending { nonce, verifier, token_endpoint: token }))
    }

    /// Exchanges the code that came back, and verifies the ID token that it gives.
    pub async fn finish(
        &self,
        code: &str,
        pending: &Pending,
        now: Timestamp,
    ) -> Result<Account, SsoError> {
        if !(1..=CODE_MAX_BYTES).contains(&code.len())
            || !code.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(SsoError::Code);
        }
        let SsoSettings { client_id, secret, redirect, issuer, .. } = &self.settings;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect)
            .append_pair("client_id", client_id)
            .append_pair("code_verifier", &pending.verifier)
            .finish();
        let credential = secret.as_ref().map(|secret| (client_id.as_str(), secret));
        let (status, body) = self
            .http
            .post_form(&pending.token_endpoint, issuer.allow_private(), form, credential)
            .await
            .map_err(SsoError::Exchange)?;
        let answer = read_json(&body).ok().filter(|_| status == 200);
        let token = answer.as_ref().and_then(|answer| answer.get("id_token")?.as_str());
        self.verify(token.ok_or(SsoError::NoToken { status })?, &pending.nonce, now).await
    }

    async fn verify(&self, token: &str, nonce: &str, now: Timestamp) -> Result<Account, SsoError> {
        let SsoSettings { issuer, client_id, .. } = &self.settings;
        let unverified = UnverifiedToken::read(token)?;
        if unverified.issuer() != Some(issuer.url()) {
            return Err(Unverified::Issuer.into());
        }
        if !issuer.algorithms().contains(&unverified.algorithm) {
            let received = unverified.algorithm.as_str().to_owned();
            return Err(Unverified::Algorithm { received }.into());
        }
        let audience = check_audience(&unverified, &[client_id.as_str()])?;
        let key =
            self.keys.key(issuer, &unverified.kid, now).await.map_err(|error| match error {
                KeyError::Unknown => Unverified::UnknownKey,
                KeyError::Unavailable(reason) => Unverified::KeysUnavailable(reason),
            })?;
        let expected = Expected { issuer, audience, nonce: Some(nonce) };
        check_signature(token, &unverified, &expected, key, now)?;
        let claims = unverified.members;
        let time = |name: &str| {
            let seconds = claims.get(name).and_then(Value::as_i64)?;
            Timestamp::from_second(seconds).ok()
        };
        let expires = time("exp").ok_or(SsoError::Claim("`exp`"))?;
        let issued = time("iat").ok_or(SsoError::Claim("`iat`"))?;
        if expires + LEEWAY <= now {
            return Err(SsoError::Claim("an `exp` that is not over"));
        }
        if issued > now + LEEWAY || issued + AGE_MAX + LEEWAY <= now {
            return Err(SsoError::Claim("an `iat` of a moment ago"));
        }
        if claims.get("azp").is_some_and(|azp| azp.as_str() != Some(client_id)) {
            return Err(SsoError::Claim("our client id as `azp`"));
        }
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        if !(1..=SUBJECT_MAX_BYTES).contains(&subject.len()) || subject.contains(char::is_control) {
            return Err(SsoError::Claim("1 to 255 printable bytes as `sub`"));
        }
        let subject = subject.to_owned();
        Ok(Account { issuer: issuer.url().to_owned(), subject, claims })
    }

    async fn endpoints(&self, now: Timestamp) -> Result<Endpoints, SsoError> {
        // One fetch at a time, and none right after one that failed (O5).
        let mut held = self.endpoints.lock().await;
        match &*held {
            Some((at, Some(endpoints))) if *at <= now && now < *at + KEYS_TTL => {
                return Ok(endpoints.clone());
            }
            Some((at, None)) if *at <= now && now < *at + COOLDOWN => {
                return Err(SsoError::CoolingDown);
            }
            _ => *held = Some((now, None)),
        }
        let document = discover(&self.http, &self.settings.issuer).await?;
        let endpoint = |name| {
            let found = address(&document, name)?;
            if self.is_allowed(&found) {
                return Ok(found);
            }
            Err(SsoError::Host { endpoint: name, received: found.into() })
        };
        let authorization = endpoint("authorization_endpoint")?;
        let endpoints = Endpoints { authorization, token: endpoint("token_endpoint")? };
        *held = Some((now, Some(endpoints.clone())));
        Ok(endpoints)
    }

    /// An endpoint is on the issuer's host or on a configured one, under the issuer's scheme.
    fn is_allowed(&self, place: &Url) -> bool {
        let home = self.settings.issuer.address();
        let host = |host: &String| Url::parse(&format!("{}://{host}/", home.scheme())).ok();
        let others = self.settings.hosts.iter().filter_map(host);
        let mut allowed = others.chain(std::iter::once(home.clone()));
        let bare = place.username().is_empty() && place.password().is_none();
        bare && place.fragment().is_none()
            && allowed.any(|allowed| allowed.origin() == place.origin())
    }
}
