//! A signature: one WebAuthn exchange over one statement, from the browser's prompt to a decision
//! with everything needed to verify it again.
//!
//! What a statement says, and whether this person may sign it, is the caller's: `approval` for
//! releases, `governance` for everything else.

use jiff::Timestamp;

use crate::domain::assertion::{Intent, Nonce, Purpose};
use crate::domain::decision::Decision;
use crate::domain::digest::Sha256;
use crate::domain::ids::{CeremonyId, PasskeyId, PersonId, ProposalId, ReleaseId};
use crate::domain::place::Place;
use crate::domain::quorum::Verdict;
use crate::domain::roster::NEVER;
use crate::entropy;
use crate::passkeys::{AssertState, Passkeys, PresentedAssertion, StoredPasskey};
use crate::pipeline::signin::suspend_on_alarm;
use crate::pipeline::{Error, Fault, Kind, Refusal, Result, refuse};
use crate::store::Tx;
use crate::store::signin::{Ceremony, CeremonyPurpose, PasskeyRecord};

/// What somebody hears whose ceremony cannot be finished.
pub(super) const OVER: &str = "this ceremony is over or belongs to another session; start again";

/// How long a person has between "Approve with passkey" and the touch (W3), in seconds.
const CEREMONY_SECS: i64 = 120;

/// A person acting in a session.
#[derive(Debug, Clone)]
pub struct Signer {
    /// Who.
    pub person: PersonId,
    /// The session the ceremony is bound to.
    pub session: Sha256,
    /// Where they are, when that is known; it decides nothing (W19).
    pub place: Option<Place>,
}

/// What a ceremony is about: its row is written with it, and given only to who names the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// One release, to approve or to reject it.
    Release(ReleaseId, Verdict),
    /// Several releases, which the statement lists.
    Batch,
    /// A proposal.
    Proposal(ProposalId),
    /// The founding.
    Founding,
}

impl About {
    /// What the row says the ceremony is for.
    const fn ceremony(self) -> CeremonyPurpose {
        match self {
            Self::Release(_, Verdict::Approve) => CeremonyPurpose::Approve,
            Self::Release(_, Verdict::Reject) => CeremonyPurpose::Reject,
            Self::Batch => CeremonyPurpose::ApproveBatch,
            Self::Proposal(_) | Self::Founding => CeremonyPurpose::Governance,
        }
    }

    /// What the challenge says it is for.
    const fn purpose(self) -> Purpose {
        match self {
            Self::Release(_, Verdict::Approve) => Purpose::Approve,
            Self::Release(_, Verdict::Reject) => Purpose::Reject,
            Self::Batch => Purpose::ApproveBatch,
            Self::Proposal(_) | Self::Founding => Purpose::Governance,
        }
    }

    const fn release(self) -> Option<ReleaseId> {
        match self {
            Self::Release(id, _) => Some(id),
            Self::Batch | Self::Proposal(_) | Self::Founding => None,
        }
    }

    const fn proposal(self) -> Option<ProposalId> {
        match self {
            Self::Proposal(id) => Some(id),
            Self::Release(..) | Self::Batch | Self::Founding => None,
        }
    }
}

/// What is about to be signed.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// What it is about.
    pub(super) about: About,
    /// What the person says; keys on probation say less (W13).
    pub(super) verdict: Verdict,
    /// The exact bytes.
    pub(super) statement: Vec<u8>,
}

/// Begins an exchange. Returns its id and the options for the browser.
pub(super) async fn begin(
    tx: &mut Tx,
    passkeys: &Passkeys,
    signer: &Signer,
    subject: Subject,
    now: Timestamp,
) -> Result<(CeremonyId, serde_json::Value)> {
    let statement = Sha256::of(&subject.statement);
    let intent = Intent { purpose: subject.about.purpose(), statement };
    let nonce = Nonce::from_bytes(entropy::bytes()?);
    let mut keys = Vec::new();
    for key in tx.passkeys_of(signer.person).await? {
        if may_say(&key, subject.verdict, now) {
            keys.push(stored(&key)?);
        }
    }
    let (options, state) = passkeys
        .begin_assert(signer.person, &keys, intent, nonce)
        .map_err(|error| Fault::new("beginning a ceremony", error))?;
    let ceremony = Ceremony {
        id: entropy::id(now)?,
        purpose: subject.about.ceremony(),
        person: Some(signer.person),
        session: Some(signer.session),
        invitation: None,
        release: subject.about.release(),
        proposal: subject.about.proposal(),
        nonce: Some(nonce),
        statement: Some(subject.statement),
        state: serde_json::to_string(&state)
            .map_err(|error| Fault::new("storing a ceremony", error))?,
        created_at: now,
        expires_at: now + jiff::SignedDuration::from_secs(CEREMONY_SECS),
    };
    tx.insert_ceremony(&ceremony).await?;
    Ok((ceremony.id, options))
}

/// Takes a ceremony from its row: `None` when it is over, or was begun by somebody else, in another
/// session or about something else. It is used up in any case (W3), so the caller commits.
pub(super) async fn take(
    tx: &mut Tx,
    signer: &Signer,
    (ceremony, about): (CeremonyId, About),
    now: Timestamp,
) -> Result<Option<Ceremony>> {
    let taken = tx.take_ceremony(ceremony, about.ceremony(), now).await?;
    Ok(taken.filter(|taken| {
        taken.person == Some(signer.person)
            && taken.session == Some(signer.session)
            && taken.release == about.release()
            && taken.proposal == about.proposal()
            && taken.expires_at > now
    }))
}

/// Commits what a ceremony came to, a refusal too: that uses it up, and may have suspended a key.
pub(super) async fn keep<T>(tx: Tx, result: Result<T>) -> Result<T> {
    match &result {
        Ok(_) | Err(Error::Refused(_)) => tx.commit().await?,
        Err(Error::Fault(_)) => {}
    }
    result
}

/// Verifies the browser's answer to a ceremony that was taken from its row, moves the key's counter
/// on and makes the decision. Nothing is written on the way to a refusal, except that a key whose
/// counter went backwards is suspended.
pub(super) async fn finish(
    tx: &mut Tx,
    passkeys: &Passkeys,
    (ceremony, credential): (&Ceremony, &serde_json::Value),
    (about, verdict): (About, Verdict),
    now: Timestamp,
) -> Result<(Decision, PasskeyId)> {
    let statement = ceremony.statement.clone().unwrap_or_default();
    let Some(person) = ceremony.person else {
        return Err(Fault::new("finishing a signature", "the ceremony has no person").into());
    };
    let intent = Intent { purpose: about.purpose(), statement: Sha256::of(&statement) };
    let said = (intent, verdict);
    let (key, accepted) = verify(tx, passkeys, ceremony, credential, said, now).await?;
    let decision = Decision {
        id: entropy::id(now)?,
        person,
        verdict,
        statement: String::from_utf8_lossy(&statement).into_owned(),
        batch: None,
        nonce: *accepted.nonce(),
        assertion: accepted.assertion().clone(),
    };
    let (from, to) = (key.counter, accepted.stored().counter());
    let advanced = serde_json::to_string(accepted.stored())
        .map_err(|error| Fault::new("storing a passkey", error))?;
    if !tx.advance_counter(key.id, from, to, &advanced, now).await? {
        return refuse(Kind::Conflict, "the passkey was used elsewhere meanwhile; start again");
    }
    Ok((decision, key.id))
}

async fn verify(
    tx: &mut Tx,
    passkeys: &Passkeys,
    ceremony: &Ceremony,
    credential: &serde_json::Value,
    (intent, verdict): (Intent, Verdict),
    now: Timestamp,
) -> Result<(PasskeyRecord, crate::passkeys::AcceptedAssertion)> {
    let state: AssertState = serde_json::from_str(&ceremony.state)
        .map_err(|error| Fault::new("reading a stored ceremony", error))?;
    let presented = PresentedAssertion::parse(credential)
        .map_err(|refusal| Refusal::new(Kind::BadInput, refusal.to_string()))?;
    let Some(key) = tx.usable_passkey_locked(presented.credential_id()).await? else {
        return refuse(Kind::Forbidden, "this passkey is not enrolled here");
    };
    if Some(key.person) != ceremony.person || !may_say(&key, verdict, now) {
        return refuse(Kind::Forbidden, "this passkey is not yours or does not count");
    }
    match passkeys.finish_assert(&state, &intent, &stored(&key)?, &presented) {
        Ok(accepted) => Ok((key, accepted)),
        Err(refusal) => {
            suspend_on_alarm(tx, &key, &refusal, now).await?;
            refuse(Kind::Forbidden, refusal.to_string())
        }
    }
}

/// Whether a key may say this now. One on probation objects and does not approve (W13); one whose
/// proposal waits is on no roster yet and does neither.
fn may_say(key: &PasskeyRecord, verdict: Verdict, now: Timestamp) -> bool {
    match verdict {
        Verdict::Approve => key.counts_from <= now,
        Verdict::Reject => key.counts_from < NEVER,
    }
}

/// The verifier's own form of a passkey.
fn stored(key: &PasskeyRecord) -> Result<StoredPasskey> {
    serde_json::from_str(&key.stored)
        .map_err(|error| Fault::new("reading a stored passkey", error).into())
}
