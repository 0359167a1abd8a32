//! What CI asks about the releases it staged: which there are, and that one is complete.
//!
//! A publisher sees and seals its own releases only. Nothing here decides a release (A15).

use jiff::{SignedDuration, Timestamp};

use crate::domain::digest::Sha256;
use crate::domain::event::SealedBecause;
use crate::domain::ids::{PublisherId, ReleaseId};
use crate::domain::package::{Ecosystem, PackageName};
use crate::domain::release::State;
use crate::pipeline::ci::{self, Exchange, Scope, UploadSession};
use crate::pipeline::review::PAGE;
use crate::pipeline::{
    Error, Fault, Kind, Refusal, Result, detached, refuse, staging, transaction,
};
use crate::store::Store;
use crate::store::releases::{ReleaseFilter, ReleaseRecord};

pub use crate::store::idempotency::KeptAnswer;

/// How long an answer is kept for its `Idempotency-Key`.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Pages looked through for one publisher's releases of one package.
const PAGES_MAX: usize = 20;

/// The publisher's own releases of one package, newest first, at most [`PAGE`].
pub async fn submissions(
    store: &Store,
    publisher: PublisherId,
    name: &PackageName,
    version: Option<&str>,
) -> Result<Vec<ReleaseRecord>> {
    let mut tx = store.snapshot().await?;
    let Some(package) = tx.package_named(name).await? else {
        return Ok(Vec::new());
    };
    let wanted = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let mut filter =
        ReleaseFilter { package: Some(package.id), limit: PAGE, ..ReleaseFilter::default() };
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = tx.list_releases(&filter).await?;
        let full = page.len() == wanted;
        filter.before = page.last().map(|record| record.id);
        let own = page.into_iter().filter(|record| {
            record.publisher == publisher && version.is_none_or(|version| version == record.version)
        });
        found.extend(own);
        if !full || found.len() >= wanted {
            break;
        }
    }
    found.truncate(wanted);
    Ok(found)
}

/// The session behind a credential, when it may act on the release; whatever else is wrong with
/// a valid credential looks like a release that does not exist.
pub async fn session_for(
    exchange: &Exchange,
    credential: &secrecy::SecretString,
    id: ReleaseId,
    now: Timestamp,
) -> Result<UploadSession> {
    let missing = || Refusal::new(Kind::NotFound, "no such release");
    let release = exchange.store.snapshot().await?.release(id).await?;
    let scope = match &release {
        Some(release) if release.ecosystem == Ecosystem::Npm => {
            let name = PackageName::parse(Ecosystem::Npm, &release.package_name)
                .map_err(|error| Fault::new("reading a stored package name", error))?;
            Scope::Npm(name)
        }
        _ => Scope::Pypi,
    };
    let session = match ci::authenticate(exchange, credential, scope, now).await {
        Err(Error::Refused(refusal)) if refusal.kind == Kind::NotTrusted => {
            return Err(missing().into());
        }
        answer => answer?,
    };
    match release {
        Some(release) if release.publisher == session.publisher => Ok(session),
        _ => Err(missing().into()),
    }
}

/// Seals a publisher's own release because CI asked. One that is sealed already is answered as it
/// is; one that ended before it was sealed is refused.
pub async fn seal_own(
    store: &Store,
    id: ReleaseId,
    publisher: PublisherId,
    now: Timestamp,
) -> Result<ReleaseRecord> {
    let store = store.clone();
    detached(async move {
        let before = own(&store, id, publisher).await?;
        if before.state == State::Open {
            match staging::seal_now(&store, id, SealedBecause::CiAsked, now).await {
                // Somebody was faster, which is as good.
                Ok(()) | Err(Error::Refused(Refusal { kind: Kind::Conflict, .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let after = own(&store, id, publisher).await?;
        if after.seal.is_none() {
            let state = after.state.as_str();
            let message = format!("expected a release that can be sealed, received one `{state}`");
            return refuse(Kind::Gone, message);
        }
        Ok(after)
    })
    .await
}

async fn own(store: &Store, id: ReleaseId, publisher: PublisherId) -> Result<ReleaseRecord> {
    match store.snapshot().await?.release(id).await? {
        Some(release) if release.publisher == publisher => Ok(release),
        _ => refuse(Kind::NotFound, "no such release"),
    }
}

/// The answer that this request got before under the same key. The same key with another request
/// is refused.
pub async fn kept(
    store: &Store,
    key: Sha256,
    request: Sha256,
    now: Timestamp,
) -> Result<Option<KeptAnswer>> {
    match store.snapshot().await?.kept_answer(key, now - KEPT_FOR).await? {
        Some(answer) if answer.request != request => {
            let message = "expected an `Idempotency-Key` of its own for each request, received \
                           one that another request used";
            refuse(Kind::Conflict, message)
        }
        answer => Ok(answer),
    }
}

/// Keeps an answer for [`KEPT_FOR`]. When another request was faster under this key, its answer
/// counts: the same request gets it, another one is refused.
pub async fn keep(
    store: &Store,
    key: Sha256,
    answer: KeptAnswer,
    now: Timestamp,
) -> Result<KeptAnswer> {
    let mine = answer.clone();
    let first = transaction(store, move |tx| {
        Box::pin(async move { Ok(tx.keep_answer(key, &mine, now - KEPT_FOR, now).await?) })
    })
    .await?;
    if first {
        return Ok(answer);
    }
    let earlier = kept(store, key, answer.request, now).await?;
    Ok(earlier.unwrap_or(answer))
}
