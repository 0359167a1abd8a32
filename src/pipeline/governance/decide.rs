//! Deciding about a proposal: a person signs the whole of it, and it takes effect once it has what
//! it takes.

use jiff::Timestamp;

use super::{append, governed, governed_alone, settle, unsound};
use crate::domain::event::Event;
use crate::domain::governed::{Governed, Open, ProposalStanding, ProposalState};
use crate::domain::ids::{CeremonyId, PersonId, ProposalId};
use crate::domain::proposal::ProposalStatement;
use crate::domain::quorum::Verdict;
use crate::passkeys::Passkeys;
use crate::pipeline::approval::remark;
use crate::pipeline::signature::{self, About, Signer, Subject};
use crate::pipeline::{Error, Kind, Refusal, Result, again, refuse};
use crate::store::signin::Ceremony;
use crate::store::{Store, Tx};

/// Why a person cannot decide about a proposal now, for the page and for refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotDecide {
    /// It is over.
    #[error("this proposal does not wait any more")]
    Over,
    /// Their one vote is in.
    #[error("you already decided about this proposal")]
    AlreadyDecided,
    /// It is about them.
    #[error("this proposal is about you; others decide")]
    Subject,
    /// No policy it touches names them.
    #[error("no policy that this proposal touches names you as somebody who signs")]
    NotNamed,
}

/// Whether `person` may cast `verdict` now.
pub fn may_decide(
    open: &Open,
    standing: &ProposalStanding,
    person: PersonId,
    verdict: Verdict,
) -> std::result::Result<(), CannotDecide> {
    let waits =
        matches!(standing.state, ProposalState::Pending { .. } | ProposalState::Waiting { .. });
    if !waits {
        return Err(CannotDecide::Over);
    }
    let before = open.votes().filter(|(who, _, _)| *who == person).map(|(_, what, _)| what).last();
    // A signature can be followed by an objection; nothing else changes one's mind.
    let settled = match (before, verdict) {
        (None, _) | (Some(Verdict::Approve), Verdict::Reject) => false,
        (Some(_), _) => true,
    };
    if settled {
        return Err(CannotDecide::AlreadyDecided);
    }
    let allowed = match verdict {
        Verdict::Approve => &standing.may_count,
        Verdict::Reject => &standing.may_object,
    };
    if allowed.contains(&person) {
        Ok(())
    } else if open.proposal.subjects().contains(&person) {
        Err(CannotDecide::Subject)
    } else {
        Err(CannotDecide::NotNamed)
    }
}

/// Begins a signature about a proposal.
pub async fn begin(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    id: ProposalId,
    (verdict, reason): (Verdict, Option<String>),
    now: Timestamp,
) -> Result<(CeremonyId, serde_json::Value)> {
    let reason = remark(reason)?;
    again(|| async {
        let mut tx = store.begin().await?;
        let said = (verdict, reason.clone());
        let statement = statement(&governed(&mut tx).await?, id, signer.person, said, now)?;
        let about = About::Proposal(id);
        let subject = Subject { about, verdict, statement: statement.to_bytes() };
        let begun = signature::begin(&mut tx, passkeys, signer, subject, now).await?;
        tx.commit().await?;
        Ok(begun)
    })
    .await
}

/// What a person would sign, if they may.
fn statement(
    governed: &Governed,
    id: ProposalId,
    person: PersonId,
    (verdict, reason): (Verdict, Option<String>),
    now: Timestamp,
) -> Result<ProposalStatement> {
    let Some(open) = governed.proposal(id) else {
        return refuse(Kind::Gone, CannotDecide::Over.to_string());
    };
    let standing = governed.assess(open, now).map_err(unsound)?;
    may_decide(open, &standing, person, verdict).map_err(forbidden)?;
    governed.statement(&open.proposal, person, verdict, reason).map_err(unsound)
}

/// Finishes a signature: verifies it and records it; then carries the proposal out if it has what it
/// takes. The ceremony is used up whatever the result (W3). `true` when it took effect.
pub async fn finish(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    (ceremony, credential): (CeremonyId, serde_json::Value),
    id: ProposalId,
    now: Timestamp,
) -> Result<bool> {
    again(|| async {
        let mut tx = store.begin().await?;
        let about = About::Proposal(id);
        let decided = match signature::take(&mut tx, signer, (ceremony, about), now).await? {
            Some(taken) => decide(&mut tx, passkeys, (&taken, &credential), id, now).await,
            None => refuse(Kind::Gone, signature::OVER),
        };
        signature::keep(tx, decided).await
    })
    .await?;
    // If we stop here the signature is kept, and the next sweep carries the proposal out.
    settle(store, id, now).await
}

/// Verifies first, writes second: nothing is written on the way to a refusal.
async fn decide(
    tx: &mut Tx,
    passkeys: &Passkeys,
    (ceremony, credential): (&Ceremony, &serde_json::Value),
    id: ProposalId,
    now: Timestamp,
) -> Result<()> {
    let before = governed_alone(tx).await?;
    let bytes = ceremony.statement.as_deref().unwrap_or_default();
    let Some(signed) = ProposalStatement::from_bytes(bytes) else {
        return refuse(Kind::Gone, "this ceremony is about something else; start again");
    };
    let verdict = signed.decision;
    let expected = statement(&before, id, signed.person, (verdict, signed.reason), now)?;
    if expected.to_bytes() != bytes {
        return refuse(
            Kind::Conflict,
            "what you would sign changed while the prompt was open; read it again",
        );
    }
    let said = (About::Proposal(id), verdict);
    let (decision, _) = signature::finish(tx, passkeys, (ceremony, credential), said, now).await?;
    append(tx, now, Event::ProposalDecided { proposal: id, decision }).await?;
    Ok(())
}

fn forbidden(why: CannotDecide) -> Error {
    let kind = match why {
        CannotDecide::Over => Kind::Gone,
        CannotDecide::AlreadyDecided => Kind::Conflict,
        CannotDecide::Subject | CannotDecide::NotNamed => Kind::Forbidden,
    };
    Refusal::new(kind, why.to_string()).into()
}
