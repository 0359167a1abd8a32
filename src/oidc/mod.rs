//! From a CI token to [`Claims`]: strict reading, the issuer's keys, the signature, our own checks.
//!
//! The order matters. Nothing a token says is used for anything but choosing a configured issuer
//! and key until the signature held, and until issuer and audience held too a caller learns
//! nothing about why it was refused (Q6, O25). Which workload the claims name is
//! `domain::publisher`'s; remembering used tokens is the store's.

pub mod jwks;
pub mod sso;
pub mod token;

use std::sync::Arc;

use jiff::Timestamp;
use openidconnect::core::{
    CoreGenderClaim, CoreIdTokenVerifier, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
};
use openidconnect::{
    Audience, ClaimsVerificationError, ClientId, EmptyAdditionalClaims, IdToken, IssuerUrl,
    JsonWebKeySet, Nonce,
};
use serde_json::Value;

use self::jwks::{Cache, KeyError, KeysError, library_algorithm};
use self::token::UnverifiedToken;
use crate::domain::claims::{ClaimError, Claims, LEEWAY, VerifiedPayload};
use crate::domain::digest::Sha256;
use crate::domain::issuer::Issuer;
use crate::outbound::{ClientError, Http, HttpSettings};

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Signature, issuer or audience did not hold. The reason is for the log alone: whoever sends
    /// such a token may be looking for one that works (O25).
    #[error("the token is not one that a configured issuer signed for this service")]
    Unverified(Unverified),
    /// The token is genuine and for us, but this claim is not as it has to be.
    #[error("{0}")]
    Claim(ClaimError),
}

impl TokenRefusal {
    /// The precise reason, for logs only; contains nothing of the token's payload or signature.
    pub fn log_reason(&self) -> String {
        match self {
            Self::Unverified(reason) => reason.to_string(),
            Self::Claim(claim) => claim.to_string(),
        }
    }

    /// True when the same token may be accepted in a minute: we could not get the issuer's keys.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unverified(Unverified::KeysUnavailable(_)))
    }
}

/// Why a token's signature, issuer or audience did not hold. For logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Empty or longer than any real token.
    #[error("expected 1 to {} bytes of token, received `{received}`", token::TOKEN_MAX_BYTES)]
    Length {
        /// Its length in bytes.
        received: usize,
    },
    /// Not a signed compact token.
    #[error("expected three segments, received `{received}`")]
    Segments {
        /// How many there were, at most six counted.
        received: usize,
    },
    /// A segment is not canonical, unpadded base64url.
    #[error("expected canonical base64url in the {part}")]
    Encoding {
        /// Which segment.
        part: &'static str,
    },
    /// A segment is not the strict JSON we read.
    #[error("{part}: {reason}")]
    Json {
        /// Which segment.
        part: &'static str,
        /// What was wrong and where.
        reason: String,
    },
    /// The header carries a key, a link to one, an extension, or something unknown.
    #[error("expected no header member besides alg, kid, typ and x5t, received `{name}`")]
    HeaderMember {
        /// Its name.
        name: String,
    },
    /// `typ` is something else than a JWT.
    #[error("expected the type JWT or none, received `{received}`")]
    Type {
        /// The header's value.
        received: String,
    },
    /// `alg` is none that we accept, or none that this issuer may use.
    #[error("expected an algorithm of this issuer, received `{received}`")]
    Algorithm {
        /// The header's value.
        received: String,
    },
    /// `kid` is missing, empty, too long or not printable.
    #[error("expected a kid of 1 to {} printable characters", token::KID_MAX_BYTES)]
    KeyId,
    /// `iss` is not exactly a configured issuer.
    #[error("expected the exact url of a configured issuer as iss")]
    Issuer,
    /// The issuer has no such key.
    #[error("expected a kid among the issuer's keys")]
    UnknownKey,
    /// The issuer's keys could not be had: the only reason that may pass by itself.
    #[error("the keys of the issuer are not available: {0}")]
    KeysUnavailable(KeysError),
    /// The signature is not the key's, or the library refused the token for another reason.
    #[error("signature: {reason}")]
    Signature {
        /// The library's words.
        reason: String,
    },
    /// `aud` is not one string equal to one of ours (O10).
    #[error("expected exactly one audience, and one of ours")]
    Audience,
    /// A nonce means that this is a person's login token.
    #[error("expected no nonce")]
    Nonce,
}

/// Verifies CI tokens. Cheap to clone; clones share the keys they fetched.
#[derive(Debug, Clone)]
pub struct Verifier {
    cache: Arc<Cache>,
}

type CiToken = IdToken<
    EmptyAdditionalClaims,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

impl Verifier {
    /// Builds the HTTP clients; connects to nobody yet.
    pub fn new(settings: &HttpSettings) -> Result<Self, ClientError> {
        Ok(Self { cache: Arc::new(Cache::new(Http::new(settings)?)) })
    }

    /// Verifies a token against the configured issuers (O1 to O10). Makes at most two requests, to
    /// an issuer's configured host, and most often none. Stores nothing: whether the token was
    /// used before is the caller's question, by [`Claims::replay_key`].
    pub async fn verify(
        &self,
        token: &str,
        issuers: &[Issuer],
        audiences: &[&str],
        now: Timestamp,
    ) -> Result<Claims, TokenRefusal> {
        let refused = TokenRefusal::Unverified;
        let unverified = UnverifiedToken::read(token).map_err(refused)?;
        // Chooses among what is configured; never becomes an address (O1, O2).
        let issuer = unverified
            .issuer()
            .and_then(|iss| issuers.iter().find(|known| known.url() == iss))
            .ok_or(refused(Unverified::Issuer))?;
        if !issuer.algorithms().contains(&unverified.algorithm) {
            let received = unverified.algorithm.as_str().to_owned();
            return Err(refused(Unverified::Algorithm { received }));
        }
        // Before the keys are asked for: a token for somebody else must not cost a fetch.
        let audience = check_audience(&unverified, audiences).map_err(refused)?;
        let key = self.cache.key(issuer, &unverified.kid, now).await.map_err(|error| {
            refused(match error {
                KeyError::Unknown => Unverified::UnknownKey,
                KeyError::Unavailable(reason) => Unverified::KeysUnavailable(reason),
            })
        })?;
        if unverified.members.contains_key("nonce") {
            return Err(refused(Unverified::Nonce));
        }
        let expected = Expected { issuer, audience, nonce: None };
        check_signature(token, &unverified, &expected, key, now).map_err(refused)?;
        let payload = VerifiedPayload {
            issuer,
            audience,
            signing_input: unverified.signing_input,
            members: &unverified.members,
        };
        Claims::from_verified(payload, now).map_err(TokenRefusal::Claim)
    }
}

/// A name for a token that is safe in logs: the first 16 hex digits of its SHA-256 (O25).
pub fn token_fingerprint(token: &str) -> String {
    Sha256::of(token.as_bytes()).to_string().chars().take(16).collect()
}

fn check_audience<'a>(
    token: &UnverifiedToken<'_>,
    audiences: &[&'a str],
) -> Result<&'a str, Unverified> {
    // An array of one is refused like an array of two: no CI provider sends one (O10).
    let received = token.members.get("aud").and_then(Value::as_str);
    let ours = audiences.iter().find(|ours| Some(**ours) == received && !ours.is_empty());
    ours.copied().ok_or(Unverified::Audience)
}

/// What a token has to say.
struct Expected<'a> {
    issuer: &'a Issuer,
    audience: &'a str,
    /// Of a person's sign-in; a CI token has none.
    nonce: Option<&'a str>,
}

/// The library's checks of a token that was read strictly before: `iss`, `aud`, `nonce`, algorithm,
/// signature and `exp`. An expired token passes here and is refused by [`Claims`] with its claim
/// named, because by then the library has found everything before `exp` in order.
fn check_signature(
    text: &str,
    unverified: &UnverifiedToken<'_>,
    expected: &Expected<'_>,
    key: CoreJsonWebKey,
    now: Timestamp,
) -> Result<(), Unverified> {
    let broken = |reason: String| Unverified::Signature { reason };
    let Expected { issuer, audience, nonce: expected } = *expected;
    let token: CiToken = text.parse().map_err(|error: serde_json::Error| {
        // The library's text may repeat parts of the payload.
        broken(format!("the library could not read the token ({:?})", error.classify()))
    })?;
    let client = ClientId::new(audience.to_owned());
    let url = IssuerUrl::new(issuer.url().to_owned()).map_err(|error| broken(error.to_string()))?;
    let clock = now - LEEWAY;
    let clock = chrono::DateTime::from_timestamp(clock.as_second(), 0).unwrap_or_default();
    let verifier =
        CoreIdTokenVerifier::new_public_client(client, url, JsonWebKeySet::new(vec![key]))
            .set_allowed_algs([library_algorithm(unverified.algorithm)])
            .set_other_audience_verifier_fn(|_: &Audience| false)
            .set_time_fn(move || clock);
    let same_nonce = |nonce: Option<&Nonce>| {
        if nonce.map(|nonce| nonce.secret().as_str()) == expected {
            Ok(())
        } else {
            Err("another nonce".to_owned())
        }
    };
    match token.claims(&verifier, same_nonce) {
        Ok(_) | Err(ClaimsVerificationError::Expired(_)) => Ok(()),
        Err(ClaimsVerificationError::SignatureVerification(error)) => {
            Err(broken(error.to_string()))
        }
        Err(error) => Err(broken(error.to_string())),
    }
}
