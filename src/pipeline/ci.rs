//! From a CI token to an upload session (ruling Q1).
//!
//! A token opens one session per package on npm and per publisher on PyPI. Presenting it again
//! rejoins that session while it lives and is refused afterwards, so a stolen token is worth no
//! more than the run it came from. Minted tokens are stored as SHA-256 only.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Fault, Kind, Result, again, detached, refuse, transaction};
use crate::domain::claims::Claims;
use crate::domain::digest::Sha256;
use crate::domain::ids::{IssuerId, PackageId, PublisherId, UploadSessionId};
use crate::domain::issuer::Issuer;
use crate::domain::package::{Ecosystem, PackageName};
use crate::domain::publisher::{NoPublisher, Publisher, select};
use crate::entropy;
use crate::oidc::token::TOKEN_MAX_BYTES;
use crate::oidc::{TokenRefusal, Verifier, token_fingerprint};
use crate::store::ci::{RefusedToken, StoredSession, TokenUse};
use crate::store::setup::{StoredPackage, StoredPublisher};
use crate::store::{Store, Tx};

/// What a minted token starts with on npm.
pub const NPM_PREFIX: &str = "npm_";
/// What a minted token starts with on PyPI; the PyPA action warns about any other.
pub const PYPI_PREFIX: &str = "pypi-";

/// Tokens of one issuer judged per second in the long run: a busy organization's CI uploads that
/// often with raw tokens, and so many signatures cost a small part of one core.
const TOKENS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
/// Tokens of one issuer judged at once after a pause.
const TOKENS_AT_ONCE: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// The handles that tokens are judged with.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The database.
    pub store: Store,
    /// Knows the issuers' keys.
    pub verifier: Verifier,
    /// The audiences a token may name.
    pub audiences: Arc<[String]>,
    /// How long a session lives.
    pub session_life: SignedDuration,
    /// Tokens of one issuer judged lately, from whatever address.
    pub rate: IssuerRate,
}

/// Bounds how many tokens of one issuer are judged, before their signatures cost anything (O25).
/// Clones share the count.
#[derive(Clone)]
pub struct IssuerRate(Arc<DefaultKeyedRateLimiter<IssuerId>>);

impl Default for IssuerRate {
    fn default() -> Self {
        Self(Arc::new(RateLimiter::keyed(
            Quota::per_second(TOKENS_PER_SECOND).allow_burst(TOKENS_AT_ONCE),
        )))
    }
}

impl fmt::Debug for IssuerRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuerRate")
    }
}

/// What a client wants to stage.
#[derive(Debug, Clone)]
pub enum Scope {
    /// One npm package.
    Npm(PackageName),
    /// Whatever Python projects the publisher may stage; the upload says which.
    Pypi,
}

/// A token for the uploads of one session. Not stored; this is the only copy.
#[derive(Debug)]
pub struct MintedToken {
    /// `npm_` or `pypi-` and 43 characters.
    pub token: SecretString,
    /// Since when.
    pub created_at: Timestamp,
    /// When its session ends by itself.
    pub expires_at: Timestamp,
}

/// An upload session that is open now, with what it may stage.
#[derive(Debug, Clone)]
pub struct UploadSession {
    /// Names it.
    pub id: UploadSessionId,
    /// Whose rule the claims met.
    pub publisher: PublisherId,
    /// That publisher's name.
    pub publisher_name: String,
    /// The packages that may be staged, all of one ecosystem.
    pub packages: Vec<StoredPackage>,
    /// What the CI provider said about the run.
    pub claims: Claims,
    /// The exact text of the claims, to be kept with a release.
    pub claims_json: String,
    /// SHA-256 of that text.
    pub claims_sha256: Sha256,
    /// Names the CI run.
    pub run_key: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl UploadSession {
    /// The package with this name, if the session may stage it.
    pub fn package(&self, name: &PackageName) -> Option<&StoredPackage> {
        self.packages.iter().find(|package| package.name == *name)
    }
}

/// A CI run whose client says that it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRun {
    /// Who staged.
    pub publisher: PublisherId,
    /// Names the run.
    pub run_key: String,
}

/// Exchanges a CI token for an upload token (wire.md 2.2, 3.6).
pub async fn open_session(
    exchange: &Exchange,
    token: &SecretString,
    scope: Scope,
    now: Timestamp,
) -> Result<MintedToken> {
    let admitted = admit(exchange, token, Wanted::Scope(scope), now).await?;
    let (prefix, exchange) = (admitted.prefix(), exchange.clone());
    detached(async move {
        let minted = format!("{prefix}{}", entropy::token()?.expose_secret());
        let sha256 = Sha256::of(minted.as_bytes());
        let session = again(|| async {
            let mut tx = exchange.store.begin().await?;
            let session = join(&mut tx, &admitted, exchange.session_life, now).await?;
            tx.add_upload_token(sha256, session.id, now).await?;
            tx.commit().await?;
            Ok(session)
        })
        .await?;
        Ok(MintedToken { token: minted.into(), created_at: now, expires_at: session.expires_at })
    })
    .await
}

/// Finds the session behind an upload's credential: a minted token, or the CI token itself.
pub async fn authenticate(
    exchange: &Exchange,
    credential: &SecretString,
    scope: Scope,
    now: Timestamp,
) -> Result<UploadSession> {
    let text = credential.expose_secret();
    if is_minted(text) {
        return authenticate_minted(exchange, text, &scope, now).await;
    }
    let admitted = admit(exchange, credential, Wanted::Scope(scope), now).await?;
    let exchange = exchange.clone();
    detached(async move {
        let session = again(|| async {
            let mut tx = exchange.store.begin().await?;
            let session = join(&mut tx, &admitted, exchange.session_life, now).await?;
            tx.commit().await?;
            Ok(session)
        })
        .await?;
        let name = admitted.publisher.name().to_owned();
        Ok(session_with(session, name, admitted.packages))
    })
    .await
}

/// The publisher behind a credential of CI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Names it.
    pub publisher: PublisherId,
    /// What it is called.
    pub name: String,
    /// The one package that the credential is for (a minted npm token).
    pub package: Option<PackageId>,
}

/// Whose credential this is, whatever it may stage. For questions; opens no session.
pub async fn identify(
    exchange: &Exchange,
    credential: &SecretString,
    now: Timestamp,
) -> Result<Caller> {
    let text = credential.expose_secret();
    if is_minted(text) {
        let mut tx = exchange.store.snapshot().await?;
        let (session, name) = minted_session(&mut tx, text, now).await?;
        return Ok(Caller { publisher: session.publisher, name, package: session.package });
    }
    let Admitted { publisher, .. } = admit(exchange, credential, Wanted::Anything, now).await?;
    Ok(Caller { publisher: publisher.id(), name: publisher.name().to_owned(), package: None })
}

/// Ends the session behind a minted token: the client says that its run is done. `None` when the
/// token is unknown or its session ended before, which a caller is never told apart.
pub async fn burn(store: &Store, token: &SecretString, now: Timestamp) -> Result<Option<EndedRun>> {
    let sha256 = Sha256::of(token.expose_secret().as_bytes());
    transaction(store, move |tx| {
        Box::pin(async move {
            let Some(session) = tx.session_of_token(sha256).await? else {
                return Ok(None);
            };
            let ended = tx.end_upload_session(session.id, now).await?;
            Ok(ended.then_some(EndedRun { publisher: session.publisher, run_key: session.run_key }))
        })
    })
    .await
}

/// Forgets CI tokens nothing accepts any more, and their sessions. For the clock's driver.
pub async fn sweep(store: &Store, now: Timestamp) -> Result<()> {
    transaction(store, move |tx| {
        Box::pin(async move {
            tx.sweep_upload_sessions(now).await?;
            Ok(())
        })
    })
    .await
}

/// A CI token that verified and met a publisher's rule.
struct Admitted {
    claims: Claims,
    publisher: Publisher,
    packages: Vec<StoredPackage>,
    /// The one package (npm).
    package: Option<PackageId>,
}

impl Admitted {
    const fn prefix(&self) -> &'static str {
        if self.package.is_some() { NPM_PREFIX } else { PYPI_PREFIX }
    }

    /// What Q1 counts one session per, besides issuer and `jti`.
    fn scope_key(&self) -> String {
        match self.package {
            Some(package) => format!("npm:{package}"),
            None => format!("pypi:{}", self.publisher.id()),
        }
    }
}

/// Which packages a publisher has to have to be considered.
enum Wanted {
    Scope(Scope),
    /// Whatever it has.
    Anything,
}

async fn admit(
    exchange: &Exchange,
    token: &SecretString,
    wanted: Wanted,
    now: Timestamp,
) -> Result<Admitted> {
    let claims = verify(exchange, token.expose_secret(), now).await?;
    let mut tx = exchange.store.snapshot().await?;
    let known = tx.publishers_of(claims.issuer()).await?;
    let all_packages = tx.packages().await?;
    drop(tx);
    let package = match &wanted {
        Wanted::Scope(Scope::Npm(name)) => {
            match all_packages.iter().find(|package| package.name == *name) {
                Some(package) => Some(package.id),
                None => return refuse(Kind::NotTrusted, unregistered(name)),
            }
        }
        Wanted::Scope(Scope::Pypi) | Wanted::Anything => None,
    };
    let packages_of = |publisher: &Publisher| -> Vec<StoredPackage> {
        let in_scope = |known: &&StoredPackage| match wanted {
            Wanted::Scope(Scope::Npm(_)) => package == Some(known.id),
            Wanted::Scope(Scope::Pypi) => known.name.ecosystem() == Ecosystem::Pypi,
            Wanted::Anything => true,
        };
        let allowed = |package: &&StoredPackage| publisher.packages().contains(&package.id);
        all_packages.iter().filter(in_scope).filter(allowed).cloned().collect()
    };
    let candidates: Vec<Publisher> = known
        .into_iter()
        .map(|StoredPublisher { publisher, .. }| publisher)
        .filter(|publisher| !packages_of(publisher).is_empty())
        .collect();
    match select(&candidates, &claims) {
        Ok((publisher, _)) => {
            let (publisher, packages) = (publisher.clone(), packages_of(publisher));
            Ok(Admitted { claims, publisher, packages, package })
        }
        Err(error) => {
            note_refusal(exchange, &claims, package, &error, now).await?;
            refuse(Kind::NotTrusted, error.to_string())
        }
    }
}

fn unregistered(name: &PackageName) -> String {
    format!("expected a package that is registered here, received `{name}`")
}

/// Q6: one text until signature, issuer and audience hold, then the claim that does not.
async fn verify(exchange: &Exchange, token: &str, now: Timestamp) -> Result<Claims> {
    let issuers = exchange.store.snapshot().await?.issuers().await?;
    if !within_rate(exchange, token, &issuers) {
        return refuse(Kind::TooMany, "too many tokens at once, try again later");
    }
    let audiences: Vec<&str> = exchange.audiences.iter().map(String::as_str).collect();
    let error = match exchange.verifier.verify(token, &issuers, &audiences, now).await {
        Ok(claims) => return Ok(claims),
        Err(error) => error,
    };
    tracing::info!(
        token = token_fingerprint(token),
        reason = error.log_reason(),
        "refused a CI token"
    );
    let kind = match &error {
        TokenRefusal::Unverified(_) => Kind::NotAuthenticated,
        TokenRefusal::Claim(claim) => match claim.claim.as_str() {
            "exp" | "iat" | "nbf" | "jti" => Kind::NotAuthenticated,
            _ => Kind::NotTrusted,
        },
    };
    refuse(kind, error.to_string())
}

/// Counts a token against the issuer it claims. Only configured issuers are counted, so strangers
/// cannot make us remember anything.
fn within_rate(exchange: &Exchange, token: &str, issuers: &[Issuer]) -> bool {
    let claimed = claimed_issuer(token);
    let issuer = issuers.iter().find(|issuer| Some(issuer.url()) == claimed.as_deref());
    issuer.is_none_or(|issuer| exchange.rate.0.check_key(&issuer.id()).is_ok())
}

/// The `iss` a token claims, for counting only. What the strict reader refuses needs no count.
fn claimed_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Payload {
        iss: String,
    }
    if token.len() > TOKEN_MAX_BYTES {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Payload>(&payload).ok().map(|payload| payload.iss)
}

/// Keeps what the publisher page shows about a token nobody trusts. Bounded per issuer.
async fn note_refusal(
    exchange: &Exchange,
    claims: &Claims,
    package: Option<PackageId>,
    error: &NoPublisher,
    now: Timestamp,
) -> Result<()> {
    let id = entropy::opaque_uuid()?;
    let (claim, expected, received) = match &error.closest {
        Some(closest) => {
            let mismatch = &closest.mismatch;
            if mismatch.is_resurrection() {
                tracing::warn!(
                    publisher = %closest.publisher,
                    claim = mismatch.claim(),
                    "a trusted name now belongs to somebody else"
                );
            }
            (mismatch.claim(), mismatch.expected(), mismatch.received())
        }
        None => ("iss", "an issuer with a publisher for this", claims.issuer_url()),
    };
    let refused = RefusedToken {
        at: now,
        issuer: claims.issuer(),
        package,
        claim: claim.to_owned(),
        expected: expected.to_owned(),
        received: received.to_owned(),
    };
    transaction(&exchange.store, move |tx| {
        Box::pin(async move { Ok(tx.add_refused_token(id, &refused).await?) })
    })
    .await
}

/// Opens the session of a CI token, or rejoins it (Q1). Dying before the commit leaves nothing, and
/// the same token may be presented again.
async fn join(
    tx: &mut Tx,
    admitted: &Admitted,
    life: SignedDuration,
    now: Timestamp,
) -> Result<StoredSession> {
    let (claims, scope) = (&admitted.claims, admitted.scope_key());
    let key = claims.replay_key();
    let expires_at = now.checked_add(life).unwrap_or(Timestamp::MAX);
    let token_use = TokenUse {
        issuer_url: claims.issuer_url(),
        jti: &key.jti,
        scope: &scope,
        keep_until: claims.remember_until().max(expires_at),
    };
    if let Some(session) = tx.session_of_use(&token_use).await? {
        return rejoin(session, claims, now);
    }
    let claims_json = claims
        .to_canonical_json()
        .map_err(|error| Fault::new("writing the claims of a run", error))?;
    let session = StoredSession {
        id: entropy::id(now)?,
        publisher: admitted.publisher.id(),
        package: admitted.package,
        claims: claims.clone(),
        claims_sha256: Sha256::of(claims_json.as_bytes()),
        claims_json,
        run_key: claims.run().to_string(),
        created_at: now,
        expires_at,
        ended_at: None,
    };
    if tx.add_upload_session(&session, &token_use).await? {
        tx.touch_publisher(session.publisher, now).await?;
        return Ok(session);
    }
    // Another presentation of the same token was a moment faster.
    match tx.session_of_use(&token_use).await? {
        Some(session) => rejoin(session, claims, now),
        None => Err(Fault::new("rejoining a session", "its token use vanished").into()),
    }
}

fn rejoin(session: StoredSession, claims: &Claims, now: Timestamp) -> Result<StoredSession> {
    if session.run_key != claims.run().to_string() {
        let message = "expected a jti that no other run used, received one that opened the session \
                       of another run";
        return refuse(Kind::Gone, message);
    }
    if !session.is_open(now) {
        let at = session.ended_at.unwrap_or(session.expires_at);
        return refuse(
            Kind::Gone,
            format!(
                "expected a CI token that was not used up, received one whose uploads ended at \
                 `{at}`"
            ),
        );
    }
    Ok(session)
}

fn is_minted(credential: &str) -> bool {
    credential.starts_with(NPM_PREFIX) || credential.starts_with(PYPI_PREFIX)
}

/// The open session behind a minted token, and its publisher's name.
async fn minted_session(
    tx: &mut Tx,
    token: &str,
    now: Timestamp,
) -> Result<(StoredSession, String)> {
    let Some(session) = tx.session_of_token(Sha256::of(token.as_bytes())).await? else {
        tracing::info!(token = token_fingerprint(token), "refused an unknown upload token");
        return refuse(Kind::NotAuthenticated, "expected an upload token of this gateway");
    };
    if !session.is_open(now) {
        let at = session.ended_at.unwrap_or(session.expires_at);
        let message = format!("expected an upload token in use, received one that ended at `{at}`");
        return refuse(Kind::NotAuthenticated, message);
    }
    match tx.active_publisher_name(session.publisher).await? {
        Some(name) => Ok((session, name)),
        None => refuse(Kind::NotTrusted, "the publisher of this upload token was removed"),
    }
}

async fn authenticate_minted(
    exchange: &Exchange,
    token: &str,
    scope: &Scope,
    now: Timestamp,
) -> Result<UploadSession> {
    let mut tx = exchange.store.snapshot().await?;
    let (session, publisher_name) = minted_session(&mut tx, token, now).await?;
    let packages = match session.package {
        Some(id) => tx.publishers_package(session.publisher, id).await?.into_iter().collect(),
        None => tx.publishers_packages(session.publisher, Ecosystem::Pypi).await?,
    };
    check_scope(&packages, session.package, scope)?;
    Ok(session_with(session, publisher_name, packages))
}

fn check_scope(
    packages: &[StoredPackage],
    package: Option<PackageId>,
    scope: &Scope,
) -> Result<()> {
    match (scope, package) {
        (Scope::Pypi, None) => Ok(()),
        (Scope::Npm(name), Some(_)) if packages.iter().any(|package| package.name == *name) => {
            Ok(())
        }
        (Scope::Npm(name), Some(_)) => refuse(
            Kind::NotTrusted,
            format!(
                "expected an upload token for this package, received one for another than `{name}`"
            ),
        ),
        (Scope::Npm(_), None) => {
            refuse(Kind::NotTrusted, "expected an upload token for npm, received one for PyPI")
        }
        (Scope::Pypi, Some(_)) => {
            refuse(Kind::NotTrusted, "expected an upload token for PyPI, received one for npm")
        }
    }
}

fn session_with(
    session: StoredSession,
    publisher_name: String,
    packages: Vec<StoredPackage>,
) -> UploadSession {
    UploadSession {
        id: session.id,
        publisher: session.publisher,
        publisher_name,
        packages,
        claims: session.claims,
        claims_json: session.claims_json,
        claims_sha256: session.claims_sha256,
        run_key: session.run_key,
        expires_at: session.expires_at,
    }
}
