//! Approval: a person signs a statement about a sealed release, and the votes are counted.
//!
//! The statement is computed from the log when the ceremony begins and again when it finishes; if
//! anything it names changed in between, the signature is not taken. `domain::quorum` counts;
//! nothing here keeps a "quorum reached" flag (A2).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::authorise::{NotAuthorised, Standing, standing};
use crate::domain::event::{Event, LogEntry};
use crate::domain::ids::{CeremonyId, PersonId, ReleaseId};
use crate::domain::place::Place;
use crate::domain::policy::Policy;
use crate::domain::quorum::{Tally, Verdict};
use crate::domain::release::State;
use crate::domain::review::report::Override;
use crate::domain::roster::ActorIs;
use crate::domain::statement::{REASON_MAX, Statement, Terms};
use crate::entropy;
use crate::passkeys::Passkeys;
use crate::pipeline::signature::{self, About, Signer, Subject};
use crate::pipeline::{Error, Fault, Kind, Refusal, Result, again, refuse};
use crate::store::releases::ReleaseRecord;
use crate::store::signin::Ceremony;
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
    /// Nobody looked inside yet (A14).
    #[error("the release is being checked; wait until that is done")]
    BeingChecked,
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
    (verdict, terms): (Verdict, Terms),
    now: Timestamp,
) -> Result<(CeremonyId, serde_json::Value)> {
    let terms = Terms {
        reason: check_reason(verdict, terms.reason)?,
        overrides: check_words(terms.overrides)?,
        ..terms
    };
    again(|| begin_once(store, passkeys, signer, release, (verdict, &terms), now)).await
}

async fn begin_once(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    release: ReleaseId,
    (verdict, terms): (Verdict, &Terms),
    now: Timestamp,
) -> Result<(CeremonyId, serde_json::Value)> {
    let mut tx = store.begin().await?;
    let record = existing(tx.release(release).await?)?;
    let log = tx.log_for_release(release).await?;
    let standing = standing_of(&log, release, now)?;
    may_decide(&record, &standing, signer.person, verdict, now).map_err(forbidden)?;
    check_terms(&standing, signer.person, (verdict, terms), now)?;
    let subject = Subject {
        about: About::Release(release, verdict),
        verdict,
        statement: standing.statement(signer.person, verdict, terms.clone()).to_bytes(),
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
    let about = About::Release(subject.0, subject.1);
    again(|| async {
        let mut tx = store.begin().await?;
        let result = match signature::take(&mut tx, signer, (ceremony, about), now).await? {
            Some(taken) => {
                let answer = (&taken, &credential);
                decide(&mut tx, passkeys, answer, (subject, signer.place), now).await
            }
            None => refuse(Kind::Gone, signature::OVER),
        };
        signature::keep(tx, result).await
    })
    .await
}

/// Verifies first, writes second: nothing is written on the way to a refusal.
async fn decide(
    tx: &mut Tx,
    passkeys: &Passkeys,
    answer: (&Ceremony, &serde_json::Value),
    ((id, verdict), place): ((ReleaseId, Verdict), Option<Place>),
    now: Timestamp,
) -> Result<Decided> {
    let (ceremony, _) = answer;
    let Some(person) = ceremony.person else {
        return Err(Fault::new("finishing a decision", "the ceremony has no person").into());
    };
    let (record, before) = locked(tx, id, now).await?;
    may_decide(&record, &before, person, verdict, now).map_err(forbidden)?;
    let hold = before.hold.as_ref().filter(|_| verdict == Verdict::Approve);
    if hold.is_some_and(|hold| hold.at >= ceremony.created_at) {
        return refuse(Kind::Conflict, HELD_MEANWHILE);
    }
    let statement = ceremony.statement.clone().unwrap_or_default();
    let terms = Statement::from_bytes(&statement).map(|statement| statement.terms());
    let terms = terms.unwrap_or_default();
    let expected = before.statement(person, verdict, terms);
    if expected.to_bytes() != statement {
        return refuse(
            Kind::Conflict,
            "what you would sign changed while the prompt was open; read it again",
        );
    }
    let said = (About::Release(id, verdict), verdict);
    let (decision, key) = signature::finish(tx, passkeys, answer, said, now).await?;
    let from = (key, place.map(|place| place.about(id)));
    tx.insert_decision(id, &decision, from, &expected, now).await?;
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
    let (to, event) = match &after.tally {
        // One that was approved and held stays approved here: whether it may go out is asked again
        // before it is sent (A11).
        Tally::Pending { .. } => return Ok(from),
        Tally::Rejected { by } => {
            (State::Rejected, Event::ReleaseRejected { release: id, by: *by })
        }
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
    if let Tally::Met(met) = &after.tally {
        // Until then it cools off, or waits for the time that somebody set.
        let due = met.not_before().max(due);
        tx.queue_job(entropy::id(now)?, id, due, now).await?;
        tx.hasten_job(id, due).await?;
    }
    Ok(to)
}

/// Counts every release again that waits for people or for its turn, because people or rules
/// changed: what has enough approvals now goes on, and what has not any more waits again.
pub(super) async fn reassess(tx: &mut Tx, now: Timestamp) -> Result<()> {
    let waiting = tx.releases_that_wait().await?;
    for id in waiting {
        count_again(tx, id, now).await?;
    }
    Ok(())
}

/// Counts one such release again.
pub(super) async fn count_again(tx: &mut Tx, id: ReleaseId, now: Timestamp) -> Result<()> {
    let log = tx.log_for_release(id).await?;
    let after = standing_of(&log, id, now)?;
    let from = existing(tx.release_locked(id).await?)?.state;
    match (from, &after.tally) {
        (State::Awaiting, Tally::Met(_)) => {
            count(tx, id, (now, now)).await?;
        }
        (State::Approved, Tally::Met(met)) => {
            tx.hasten_job(id, met.not_before().max(now)).await?;
        }
        (State::Approved, Tally::Pending { missing, .. }) => {
            // Its job finds nothing to send.
            let message = NotAuthorised::Pending { missing: missing.people }.to_string();
            if tx.move_release(id, from, State::Awaiting, Some(&message), now).await? {
                tx.append(now, Event::ReleaseReturned { release: id, message }).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether `person` may cast `verdict` now.
pub fn may_decide(
    record: &ReleaseRecord,
    standing: &Standing,
    person: PersonId,
    verdict: Verdict,
    now: Timestamp,
) -> std::result::Result<(), CannotDecide> {
    // An approved release can still be stopped until bytes leave (A9). One that was approved and put
    // on hold takes a further approval, which ends the hold (Q10).
    let held = record.state == State::Approved && standing.hold.is_some();
    let open_to = match verdict {
        Verdict::Approve => record.state == State::Awaiting || held,
        Verdict::Reject => record.state.waits(),
    };
    if !open_to {
        return Err(CannotDecide::State(record.state));
    }
    if now >= standing.expires_at {
        return Err(CannotDecide::Expired);
    }
    if standing.decided.contains(&person) {
        return Err(CannotDecide::AlreadyDecided);
    }
    let named = standing.policy.named().contains(&person)
        && standing.sealed_policy.named().contains(&person)
        && signs(standing, person);
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
    if standing.inspection.is_none() {
        return Err(CannotDecide::BeingChecked);
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

/// The words of every override, without the white space around them.
fn check_words(overrides: Vec<Override>) -> Result<Vec<Override>> {
    let given =
        |it: Override| Ok(Override { words: remark(Some(it.words))?.unwrap_or_default(), ..it });
    overrides.into_iter().map(given).collect()
}

fn check_reason(verdict: Verdict, reason: Option<String>) -> Result<Option<String>> {
    let reason = remark(reason)?;
    if verdict == Verdict::Reject && reason.is_none() {
        return refuse(Kind::BadInput, "expected a reason for the rejection, received none");
    }
    Ok(reason)
}

/// Whether an approval with these terms would be one that both policies count, so that nobody
/// spends their one vote in vain.
pub(super) fn check_terms(
    standing: &Standing,
    person: PersonId,
    (verdict, terms): (Verdict, &Terms),
    now: Timestamp,
) -> Result<()> {
    if verdict == Verdict::Reject {
        let plain = Terms::from(terms.reason.clone());
        return if *terms == plain {
            Ok(())
        } else {
            refuse(Kind::BadInput, "expected nothing but a reason beside a rejection")
        };
    }
    if let Some(inspection) = &standing.inspection {
        let answers = inspection.check(&terms.looked_at, &terms.overrides);
        answers.map_err(|why| Refusal::new(Kind::BadInput, why.to_string()))?;
    }
    let policies = [&standing.policy, &standing.sealed_policy];
    let note = standing.has_findings() && policies.iter().any(|policy| policy.note_on_findings());
    if note && terms.reason.is_none() {
        return refuse(
            Kind::BadInput,
            "expected a note, because something was found in this release, received none",
        );
    }
    if !terms.no_author && policies.iter().any(|policy| !policy.authors_count()) {
        return refuse(
            Kind::BadInput,
            "expected the declaration that you wrote none of what changed; this policy counts no \
             approval of an author",
        );
    }
    if terms.not_before.is_some_and(|time| time <= now || time >= standing.expires_at) {
        let expires_at = standing.expires_at;
        return refuse(
            Kind::BadInput,
            format!("expected a time to send it between now and `{expires_at}`"),
        );
    }
    let of_rule =
        |policy: &&Policy| policy.embargo().is_some_and(|embargo| embargo.people.contains(&person));
    if terms.embargo && !policies.iter().all(of_rule) {
        return refuse(
            Kind::Forbidden,
            "expected somebody whom the embargo rule of this policy names",
        );
    }
    if !terms.embargo && !policies.iter().all(|policy| policy.members().contains(&person)) {
        return refuse(
            Kind::Forbidden,
            "the policy names you for releases under embargo only; approve it as one",
        );
    }
    Ok(())
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

/// Whether somebody's role signs.
pub(super) fn signs(standing: &Standing, person: PersonId) -> bool {
    standing.roster.person(person).is_some_and(|known| known.role.may_sign())
}

pub(super) fn existing(record: Option<ReleaseRecord>) -> Result<ReleaseRecord> {
    record.ok_or_else(|| Refusal::new(Kind::NotFound, "no such release").into())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
pub(super) fn forbidden(why: CannotDecide) -> Error {
    let kind = match why {
        CannotDecide::State(_) | CannotDecide::Expired => Kind::Gone,
        CannotDecide::AlreadyDecided | CannotDecide::BeingChecked => Kind::Conflict,
        CannotDecide::NotNamed
        | CannotDecide::NoKey
        | CannotDecide::StartedIt
        | CannotDecide::ActorUnknown => Kind::Forbidden,
    };
    Refusal::new(kind, why.to_string()).into()
}
