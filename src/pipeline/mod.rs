//! The stages a release walks through, in order, and the people and set-up around them.
//!
//! ```text
//! ci ─▶ intake ─▶ staging ─▶ inspection ─▶ review ─▶ approval ─▶ forwarding
//! ```
//!
//! Functions here take the handles they use, then values, then `now`. They open transactions and
//! order effects; they contain no SQL text, no HTTP words and no rules that `domain` could hold.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::store::{Store, StoreError, Tx};

pub mod approval;
pub mod baseline;
pub mod batch;
pub mod binding;
pub mod ci;
pub mod evidence;
pub mod files;
pub mod findings;
pub mod forwarding;
pub mod governance;
pub mod hold;
pub mod inspection;
pub mod intake;
pub mod leaving;
pub mod log;
pub mod people;
pub mod preview;
pub mod provenance;
pub mod registries;
pub mod review;
pub mod sessions;
pub mod setup;
pub mod signature;
pub mod signin;
pub mod sso;
pub mod staging;
pub mod submission;
pub mod viewed;

/// What sort of mistake the caller made. `web::error` maps each to a status and a problem type;
/// each is a heading in `docs/problems.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be understood or contradicts itself. Correct it and send it again.
    BadInput,
    /// The artifact breaks a rule of its format or ecosystem, or disagrees with what was claimed.
    BadArtifact,
    /// More bytes, files or fields than this installation accepts.
    TooLarge,
    /// A protocol feature this gateway does not offer, such as `npm deprecate`.
    Unsupported,
    /// No credential, or one that is unknown, expired or ended. Get a new one.
    NotAuthenticated,
    /// The CI token verified, but no trusted publisher accepts its claims.
    NotTrusted,
    /// Signed in, but not allowed to do this.
    Forbidden,
    /// No such thing, or none that the caller may see.
    NotFound,
    /// It contradicts what is already there, such as other bytes under a staged file name.
    Conflict,
    /// Packages would be left that nobody can release. To be said aloud, and sent again.
    LeavesUnreleasable,
    /// It was possible once and is over, such as approving an expired release.
    Gone,
    /// Too many of these in a short time. Wait.
    TooMany,
}

/// The caller is wrong, and is told what was expected and what came.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Refusal {
    /// What sort of mistake.
    pub kind: Kind,
    /// One sentence in lower case without a full stop: expected, then received.
    pub message: String,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// We are broken, or something we depend on is. The chain is logged once, at the edge.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct Fault {
    /// What we were doing.
    pub context: &'static str,
    /// What went wrong.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Fault {
    /// A fault with what we were doing.
    pub fn new(
        context: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { context, source: source.into() }
    }

    /// Whether the transaction only met another one, so that running it again may succeed.
    fn met_another(&self) -> bool {
        matches!(self.source.downcast_ref(), Some(StoreError::Again(_)))
            || self.source.downcast_ref::<Met>().is_some()
    }
}

/// Why a pipeline function did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is wrong.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// We are broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A pipeline function's answer.
pub type Result<T> = std::result::Result<T, Error>;

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        Self::Fault(Fault::new("using the database", source))
    }
}

impl From<crate::entropy::EntropyError> for Error {
    fn from(source: crate::entropy::EntropyError) -> Self {
        Self::Fault(Fault::new("drawing random bytes", source))
    }
}

/// Refuses with a sentence.
pub fn refuse<T>(kind: Kind, message: impl Into<String>) -> Result<T> {
    Err(Error::Refused(Refusal::new(kind, message)))
}

/// Runs work to its end even when the caller goes away.
///
/// A web framework drops a handler's future when its client disconnects; a transaction or a
/// multi-step effect must not stop in the middle for that.
pub async fn detached<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(Fault::new("running a task", error).into()),
    }
}

/// Times one piece of work is tried when the database asks for it: transactions that met once
/// rarely meet five times.
const TRIES_MAX: u32 = 5;
/// Pause before the second try, doubled before each further one.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Two requests changed the same thing at the same moment, which the database noticed by a
/// uniqueness rule. As the source of a [`Fault`] it has the work run again, like
/// [`StoreError::Again`].
#[derive(Debug, thiserror::Error)]
#[error("another request made the same change at the same moment")]
pub struct Met;

/// Runs work again, a bounded number of times, while its transaction met another one.
///
/// Each run begins its own transaction and has no effect outside of it, so that the one that
/// commits is the only one that happened.
pub async fn again<T, F>(mut work: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut pause = TRY_AGAIN_AFTER;
    for _ in 1..TRIES_MAX {
        match work().await {
            Err(Error::Fault(fault)) if fault.met_another() => {
                tracing::debug!(error = %fault, "a transaction met another one, running it again");
            }
            result => return result,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    work().await
}

/// What a function that works inside a transaction returns.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Runs work in a transaction that outlives the request, and commits when the work succeeds. It
/// runs [`again`] when the transaction met another one.
/// A refusal or fault leaves nothing behind; work that must be kept although the caller is refused
/// returns `Ok` with the refusal inside.
pub async fn transaction<T, W>(store: &Store, work: W) -> Result<T>
where
    T: Send + 'static,
    W: for<'a> FnOnce(&'a mut Tx) -> Work<'a, T> + Clone + Send + 'static,
{
    let store = store.clone();
    detached(async move {
        again(move || {
            let (store, work) = (store.clone(), work.clone());
            async move {
                let mut tx = store.begin().await?;
                let value = work(&mut tx).await?;
                tx.commit().await?;
                Ok(value)
            }
        })
        .await
    })
    .await
}
