//! Single sign-on: what an account at a directory is worth here, which is reading (S10).
//!
//! An account is somebody's by issuer and `sub`, after they linked it in a session that a passkey
//! opened. Besides, the configuration may let people of the directory read as one viewer. Sessions
//! opened this way read and change nothing, whoever it is: signing takes the passkey itself.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::config::Readers;
use crate::domain::digest::Sha256;
use crate::domain::ids::{CeremonyId, PersonId};
use crate::domain::roster::Role;
use crate::entropy;
use crate::oidc::sso::{Account, Pending, SingleSignOn, SsoError};
use crate::pipeline::people::token_hash;
use crate::pipeline::signin::{
    Opening, SESSION_IDLE, SIGN_INS_OPEN_MAX, Session, Started, is_own_path, start_session,
};
use crate::pipeline::{Fault, Kind, Result, refuse, transaction};
use crate::store::signin::{Ceremony, CeremonyPurpose};
use crate::store::{Store, Tx};

/// How long somebody may be away at the issuer; they may have to find a second factor.
pub const AWAY_MAX: SignedDuration = SignedDuration::from_mins(10);

/// Single sign-on as this installation is configured.
#[derive(Debug)]
pub struct Directory {
    /// The flow.
    pub flow: SingleSignOn,
    /// Who reads without having linked an account.
    pub readers: Option<Readers>,
}

/// What somebody goes to the issuer for.
#[derive(Debug, Clone)]
pub enum Wish {
    /// A session for reading, and the page to go to afterwards.
    SignIn {
        /// A path on this site; anything else is forgotten.
        next: Option<String>,
    },
    /// To link the account to whoever is signed in here.
    Link(Box<Session>),
}

/// Somebody on their way to the issuer.
#[derive(Debug)]
pub struct Leaving {
    /// Where to send the browser.
    pub place: String,
    /// What it must bring back as a cookie. Kept nowhere else.
    pub cookie: SecretString,
}

/// Somebody who came back.
#[derive(Debug)]
pub enum Back {
    /// They are signed in for reading.
    SignedIn(Started),
    /// Their account is linked.
    Linked,
}

/// What the row keeps while somebody is away.
#[derive(Serialize, Deserialize)]
struct Kept {
    cookie: Sha256,
    state: Sha256,
    next: Option<String>,
    pending: Pending,
}

/// Begins: keeps what is needed when the browser comes back, bound to it by a cookie.
pub async fn begin(
    store: &Store,
    directory: &Directory,
    wish: Wish,
    now: Timestamp,
) -> Result<Leaving> {
    let id: CeremonyId = entropy::id(now)?;
    let (cookie, secret) = (entropy::token()?, entropy::token()?);
    let state = format!("{id}.{}", secret.expose_secret());
    let (place, pending) = directory.flow.begin(&state, now).await.map_err(away)?;
    let (next, session) = match wish {
        Wish::SignIn { next } => (next.filter(|next| is_own_path(next)), None),
        Wish::Link(session) => (None, Some(*session)),
    };
    let kept = Kept { cookie: token_hash(&cookie), state: token_hash(&secret), next, pending };
    let ceremony = Ceremony {
        id,
        purpose: CeremonyPurpose::SingleSignOn,
        person: session.as_ref().map(|session| session.person),
        session: session.as_ref().map(|session| session.hash),
        invitation: None,
        release: None,
        proposal: None,
        nonce: None,
        statement: None,
        state: serde_json::to_string(&kept)
            .map_err(|error| Fault::new("writing a sign-in", error))?,
        created_at: now,
        expires_at: now + AWAY_MAX,
    };
    transaction(store, move |tx| {
        Box::pin(async move {
            if tx.open_sign_ins(now).await? >= SIGN_INS_OPEN_MAX {
                return refuse(Kind::TooMany, "too many people are signing in, try again soon");
            }
            tx.insert_ceremony(&ceremony).await?;
            Ok(())
        })
    })
    .await?;
    Ok(Leaving { place: place.into(), cookie })
}

/// What a browser brought back.
#[derive(Debug)]
pub struct Returned {
    /// As it was sent to the issuer.
    pub state: String,
    /// The issuer's code.
    pub code: String,
    /// The cookie from [`begin`].
    pub cookie: String,
    /// What browser and system call themselves.
    pub browser: String,
}

/// Finishes: the row is used up whatever the result (W3).
pub async fn finish(
    store: &Store,
    directory: &Directory,
    returned: Returned,
    now: Timestamp,
) -> Result<Back> {
    let Some((ceremony, kept)) = take(store, &returned, now).await? else {
        return refuse(Kind::Gone, "this sign-in is over or was begun elsewhere, begin again");
    };
    let account =
        directory.flow.finish(&returned.code, &kept.pending, now).await.map_err(not_vouched)?;
    let (readers, with) = (directory.readers.clone(), directory.flow.name().to_owned());
    transaction(store, move |tx| {
        Box::pin(async move {
            if let Some(session) = ceremony.session {
                return link(tx, &session, &account, now).await;
            }
            let Some(person) = reader(tx, &account, readers.as_ref()).await? else {
                return refuse(
                    Kind::Forbidden,
                    "nobody here linked this account: sign in with your passkey and link it under \
                     `My keys`",
                );
            };
            let opening = Opening { with, browser: returned.browser, reads_only: true };
            start_session(tx, person, opening, kept.next, now).await.map(Back::SignedIn)
        })
    })
    .await
}

/// The row behind a state, if this browser began it.
async fn take(
    store: &Store,
    returned: &Returned,
    now: Timestamp,
) -> Result<Option<(Ceremony, Kept)>> {
    let Some((id, secret)) = returned.state.split_once('.') else { return Ok(None) };
    let Ok(id) = id.parse::<CeremonyId>() else { return Ok(None) };
    let purpose = CeremonyPurpose::SingleSignOn;
    let taken = transaction(store, move |tx| {
        Box::pin(async move { Ok(tx.take_ceremony(id, purpose, now).await?) })
    })
    .await?;
    let Some(ceremony) = taken else { return Ok(None) };
    let kept: Kept = serde_json::from_str(&ceremony.state)
        .map_err(|error| Fault::new("reading a sign-in", error))?;
    // Digests are compared, so how long it takes says nothing about the secrets.
    let same = kept.state == Sha256::of(secret.as_bytes())
        && kept.cookie == Sha256::of(returned.cookie.as_bytes());
    Ok(same.then_some((ceremony, kept)))
}

async fn link(tx: &mut Tx, session: &Sha256, account: &Account, now: Timestamp) -> Result<Back> {
    let session = tx.live_session(session, now - SESSION_IDLE, now).await?;
    let Some(session) = session.filter(|session| !session.reads_only) else {
        return refuse(Kind::NotAuthenticated, "your session has ended, sign in again");
    };
    tx.unlink_sso_of(session.person).await?;
    let names = (account.issuer.as_str(), account.subject.as_str());
    if !tx.link_sso(names, session.person, now).await? {
        return refuse(Kind::Conflict, "this account is somebody else's here already");
    }
    Ok(Back::Linked)
}

/// As whom an account reads.
async fn reader(
    tx: &mut Tx,
    account: &Account,
    readers: Option<&Readers>,
) -> Result<Option<PersonId>> {
    if let Some(person) = tx.sso_owner(&account.issuer, &account.subject).await? {
        return Ok(Some(person));
    }
    let Some(readers) = readers.filter(|readers| account.has(&readers.claim, &readers.value))
    else {
        return Ok(None);
    };
    let person = tx.person_named(&readers.person).await?;
    // Only ever a viewer: the directory gives nobody a role.
    let viewer = person.filter(|person| person.role == Role::Viewer && person.left_at.is_none());
    Ok(viewer.map(|person| person.id))
}

/// Since when the person's account is linked.
pub async fn linked_at(
    store: &Store,
    directory: &Directory,
    person: PersonId,
) -> Result<Option<Timestamp>> {
    let mut tx = store.snapshot().await?;
    Ok(tx.sso_linked_at(directory.flow.issuer(), person).await?)
}

/// Forgets the link of one's own account.
pub async fn unlink(store: &Store, person: PersonId) -> Result<()> {
    transaction(store, move |tx| Box::pin(async move { Ok(tx.unlink_sso_of(person).await?) })).await
}

fn away(error: SsoError) -> crate::pipeline::Error {
    Fault::new("leaving for single sign-on", error).into()
}

/// People hear one text; what was wrong is for the log (O25).
#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn not_vouched(error: SsoError) -> crate::pipeline::Error {
    tracing::warn!(reason = %error, "single sign-on vouched for nobody");
    crate::pipeline::Refusal::new(
        Kind::NotAuthenticated,
        "single sign-on did not vouch for you, begin again",
    )
    .into()
}
