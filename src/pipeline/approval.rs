//! Approval: a person signs a statement about a sealed release, and the votes are counted.
//!
//! The statement is computed from the log when the ceremony begins and again when it finishes; if
//! anything it names changed in between, the signature is not taken. `domain::quorum` counts;
//! nothing here keeps a "quorum reached" flag (A2).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::assertion::Purpose;
use crate::domain::authorise::{Standing, standing};
use crate::domain::event::{Event, LogEntry};
use crate::domain::ids::{CeremonyId, PersonId, ReleaseId};
use crate::domain::quorum::{Tally, Verdict};
use crate::domain::release::State;
use crate::domain::roster::ActorIs;
use crate::domain::statement::{REASON_MAX, Statement};
use crate::entropy;
use crate::passkeys::Passkeys;
use crate::pipeline::signature::{self, Signer, Subject};
use crate::pipeline::{Error, Fault, Kind, Refusal, Result, again, refuse};
use crate::store::releases::ReleaseRecord;
use crate::store::signin::{Ceremony, CeremonyPurpose};
use crate::store::{Store, Tx};

/// What somebody hears who would end a hold without having seen it.
pub(super) const HELD_MEANWHILE: &str =
    "somebody put the release on hold since you opened the page; load it again and read why";

/// Why a person cannot decide about a release now, for the page and for refusals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotDecide {
    /// Not sealed yet, or over.
    #[error("the release is {}", .0.as_str())]
    State(State),
    /// Too late.
    #[error("the release expired")]
    Expired,
    /// Their one vote is in.
    #[error("you already decided about this release")]
    AlreadyDecided,
    /// The policy does not name them, or their role does not sign.
    #[error("the package's policy does not name you as somebody who signs")]
    NotNamed,
    /// No passkey that counts.
    #[error("you have no passkey that counts yet")]
    NoKey,
    /// They started the run.
    #[error("you started the CI run, and this policy does not count that person")]
    StartedIt,
    /// Nobody said whose CI identity started the run (Q16).
    #[error("it is not settled who started the CI run; link the CI identity to a person first")]
    ActorUnknown,
}

/// Begins a ceremony. Returns its id and the options for the browser.
pub async fn begin(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    release: ReleaseId,
    (verdict, reason): (Verdict, Option<String>),
    now: Timestamp,
) -> Result<(CeremonyId, serde_json::Value)> {
    let reason = check_reason(verdict, reason)?;
    again(|| begin_once(store, passkeys, signer, release, (verdict, reason.clone()), now)).await
}

async fn begin_once(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    release: ReleaseId,
    (verdict, reason): (Verdict, Option<String>),
    now: Timestamp,
) -> Result<(CeremonyId, serde_json::Value)> {
    let mut tx = store.begin().await?;
    let record = existing(tx.release(release).await?)?;
    let log = tx.log_for_release(release).await?;
    let standing = standing_of(&log, release, now)?;
    let voted = tx.verdict_of(release, signer.person).await?.is_some();
    may_decide(&record, &standing, signer.person, verdict, (voted, now)).map_err(forbidden)?;
    let subject = Subject {
        ceremony: purpose(verdict),
        purpose: signed_for(verdict),
        verdict,
        release: Some(release),
        proposal: None,
        statement: standing.statement(signer.person, verdict, reason).to_bytes(),
    };
    let begun = signature::begin(&mut tx, passkeys, signer, subject, now).await?;
    tx.commit().await?;
    Ok(begun)
}

/// What a finished ceremony came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// The release.
    pub release: ReleaseId,
    /// Where it stands now.
    pub state: State,
}

/// Finishes a ceremony: verifies, records the decision, counts, and queues the forward if enough
/// people approved, all in one transaction. The ceremony is used up whatever the result (W3).
pub async fn finish(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    (ceremony, credential): (CeremonyId, serde_json::Value),
    subject: (ReleaseId, Verdict),
    now: Timestamp,
) -> Result<Decided> {
    again(|| finish_once(store, passkeys, signer, (ceremony, &credential), subject, now)).await
}

async fn finish_once(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    (ceremony, credential): (CeremonyId, &serde_json::Value),
    (release, verdict): (ReleaseId, Verdict),
    now: Timestamp,
) -> Result<Decided> {
    let mut tx = store.begin().await?;
    let Some(taken) = tx.take_ceremony(ceremony, purpose(verdict), now).await? else {
        // One begun for another purpose is used up by the attempt all the same.
        tx.commit().await?;
        return refuse(Kind::Gone, "this ceremony is over or was never begun; start again");
    };
    let bound = taken.person == Some(signer.person)
        && taken.session == Some(signer.session)
        && taken.release == Some(release)
        && taken.expires_at > now;
    let result = if bound {
        decide(&mut tx, passkeys, &taken, credential, verdict, now).await
    } else {
        refuse(Kind::Gone, "this ceremony is over or belongs to another session; start again")
    };
    match &result {
        // A refusal uses the ceremony up; `decide` wrote nothing else, except that a key whose
        // counter went backwards is suspended.
        Ok(_) | Err(Error::Refused(_)) => tx.commit().await?,
        Err(Error::Fault(_)) => {}
    }
    result
}

/// Verifies first, writes second: nothing is written on the way to a refusal.
async fn decide(
    tx: &mut Tx,
    passkeys: &Passkeys,
    ceremony: &Ceremony,
    credential: &serde_json::Value,
    verdict: Verdict,
    now: Timestamp,
) -> Result<Decided> {
    let (Some(person), Some(id)) = (ceremony.person, ceremony.release) else {
        return Err(Fault::new("finishing a decision", "the ceremony has no subject").into());
    };
    let (record, before) = locked(tx, id, now).await?;
    let voted = tx.verdict_of(id, person).await?.is_some();
    may_decide(&record, &before, person, verdict, (voted, now)).map_err(forbidden)?;
    let hold = before.hold.as_ref().filter(|_| verdict == Verdict::Approve);
    if hold.is_some_and(|hold| hold.at >= ceremony.created_at) {
        return refuse(Kind::Conflict, HELD_MEANWHILE);
    }
    let statement = ceremony.statement.clone().unwrap_or_default();
    let reason = Statement::from_bytes(&statement).and_then(|statement| statement.reason);
    if before.statement(person, verdict, reason.clone()).to_bytes() != statement {
        return refuse(
            Kind::Conflict,
            "what you would sign changed while the prompt was open; read it again",
        );
    }
    let (decision, key) = signature::finish(
        tx,
        passkeys,
        (ceremony, credential),
        (signed_for(verdict), verdict),
        now,
    )
    .await?;
    tx.insert_decision(id, &decision, key, reason.as_deref(), now).await?;
    tx.append(now, Event::Decided { release: id, decision }).await?;
    if hold.is_some() {
        end_hold(tx, id, person, now).await?;
    }
    let state = count(tx, id, (now, now)).await?;
    Ok(Decided { release: id, state })
}

/// Ends a hold, and lets a release that was approved go on at once.
pub(super) async fn end_hold(
    tx: &mut Tx,
    release: ReleaseId,
    by: PersonId,
    now: Timestamp,
) -> Result<()> {
    tx.append(now, Event::ReleaseResumed { release, by }).await?;
    tx.hasten_job(release, now).await?;
    Ok(())
}

/// Counts again and moves the release on if the count says so; it is then sent when it is `due`.
pub(super) async fn count(
    tx: &mut Tx,
    id: ReleaseId,
    (now, due): (Timestamp, Timestamp),
) -> Result<State> {
    let log = tx.log_for_release(id).await?;
    let after = standing_of(&log, id, now)?;
    let from = existing(tx.release_locked(id).await?)?.state;
    let (to, event) = match after.tally {
        // One that was approved and held stays approved here: whether it may go out is asked again
        // before it is sent (A11).
        Tally::Pending { .. } => return Ok(from),
        Tally::Rejected { by } => (State::Rejected, Event::ReleaseRejected { release: id, by }),
        Tally::Met(_) => (State::Approved, Event::ReleaseApproved { release: id }),
    };
    if from == to {
        return Ok(to);
    }
    from.step(to).map_err(|error| Refusal::new(Kind::Conflict, error.to_string()))?;
    if !tx.move_release(id, from, to, None, now).await? {
        return Err(Fault::new("counting votes", "the locked release moved").into());
    }
    tx.append(now, event).await?;
    if to == State::Approved {
        tx.queue_job(entropy::id(now)?, id, due, now).await?;
    }
    Ok(to)
}

/// Whether `person` may cast `verdict` now.
pub fn may_decide(
    record: &ReleaseRecord,
    standing: &Standing,
    person: PersonId,
    verdict: Verdict,
    (voted, now): (bool, Timestamp),
) -> std::result::Result<(), CannotDecide> {
    // An approved release can still be stopped until bytes leave (A9). One that was approved and put
    // on hold takes a further approval, which ends the hold (Q10).
    let held = record.state == State::Approved && standing.hold.is_some();
    let open_to = match verdict {
        Verdict::Approve => record.state == State::Awaiting || held,
        Verdict::Reject => matches!(record.state, State::Awaiting | State::Approved),
    };
    if !open_to {
        return Err(CannotDecide::State(record.state));
    }
    if now >= standing.expires_at {
        return Err(CannotDecide::Expired);
    }
    if voted {
        return Err(CannotDecide::AlreadyDecided);
    }
    let named = standing.policy.members().contains(&person)
        && standing.sealed_policy.members().contains(&person)
        && standing.roster.person(person).is_some_and(|p| p.role.may_sign());
    if !named {
        return Err(CannotDecide::NotNamed);
    }
    let able = match verdict {
        Verdict::Approve => standing.roster.able_to_sign(&BTreeSet::from([person]), now),
        Verdict::Reject => standing.roster.holding_keys(&BTreeSet::from([person])),
    };
    if !able.contains(&person) {
        return Err(CannotDecide::NoKey);
    }
    if verdict == Verdict::Reject {
        return Ok(());
    }
    if standing.started_by == ActorIs::Unknown {
        return Err(CannotDecide::ActorUnknown);
    }
    if !standing.may_count.contains(&person) {
        return Err(CannotDecide::StartedIt);
    }
    Ok(())
}

/// What a person says about a release, without the white space around it.
pub(super) fn remark(text: Option<String>) -> Result<Option<String>> {
    let remark = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if remark.as_deref().is_some_and(|text| text.chars().count() > REASON_MAX) {
        return refuse(
            Kind::BadInput,
            format!("expected at most {REASON_MAX} characters of note or reason"),
        );
    }
    Ok(remark)
}

fn check_reason(verdict: Verdict, reason: Option<String>) -> Result<Option<String>> {
    let reason = remark(reason)?;
    if verdict == Verdict::Reject && reason.is_none() {
        return refuse(Kind::BadInput, "expected a reason for the rejection, received none");
    }
    Ok(reason)
}

/// The release, its row locked until the transaction ends, and how it stands by the log.
pub(super) async fn locked(
    tx: &mut Tx,
    id: ReleaseId,
    now: Timestamp,
) -> Result<(ReleaseRecord, Standing)> {
    let record = existing(tx.release_locked(id).await?)?;
    // No other entry may come between what is read here and the decision: it counts under the
    // roster and policy in front of it.
    tx.lock_log().await?;
    let log = tx.log_for_release(id).await?;
    let standing = standing_of(&log, id, now)?;
    Ok((record, standing))
}

pub(super) fn standing_of(
    log: &[LogEntry],
    release: ReleaseId,
    now: Timestamp,
) -> Result<Standing> {
    standing(log, release, now).map_err(|why| Refusal::new(Kind::Conflict, why.to_string()).into())
}

pub(super) fn existing(record: Option<ReleaseRecord>) -> Result<ReleaseRecord> {
    record.ok_or_else(|| Refusal::new(Kind::NotFound, "no such release").into())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
pub(super) fn forbidden(why: CannotDecide) -> Error {
    let kind = match why {
        CannotDecide::State(_) | CannotDecide::Expired => Kind::Gone,
        CannotDecide::AlreadyDecided => Kind::Conflict,
        CannotDecide::NotNamed
        | CannotDecide::NoKey
        | CannotDecide::StartedIt
        | CannotDecide::ActorUnknown => Kind::Forbidden,
    };
    Refusal::new(kind, why.to_string()).into()
}

const fn purpose(verdict: Verdict) -> CeremonyPurpose {
    match verdict {
        Verdict::Approve => CeremonyPurpose::Approve,
        Verdict::Reject => CeremonyPurpose::Reject,
    }
}

/// What the challenge of a decision says it is for.
const fn signed_for(verdict: Verdict) -> Purpose {
    match verdict {
        Verdict::Approve => Purpose::Approve,
        Verdict::Reject => Purpose::Reject,
    }
}
