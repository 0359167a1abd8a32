//! The brake: whoever signs stops a package or everything with one touch (A17).
//!
//! A freeze is a proposal that takes one signature, that of whoever proposes it. It is proposed when
//! the button is pressed and takes effect with the signature; a prompt that was closed leaves a
//! proposal behind that the next press takes up again.

use jiff::Timestamp;

use super::{Draft, Wanted, decide, governed, propose, withdraw};
use crate::domain::governed::Governed;
use crate::domain::ids::{CeremonyId, PersonId, ProposalId};
use crate::domain::proposal::{Change, Proposal, Scope};
use crate::domain::quorum::Verdict;
use crate::passkeys::Passkeys;
use crate::pipeline::signature::Signer;
use crate::pipeline::{Kind, Result, refuse};
use crate::store::Store;

/// Begins the signature that freezes. Everybody who signs may.
pub async fn begin(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    (scope, reason): (Scope, Option<String>),
    now: Timestamp,
) -> Result<(CeremonyId, serde_json::Value)> {
    let reason = reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let before = governed(&mut store.snapshot().await?).await?;
    let id = match waiting(&before, scope, signer.person) {
        Some(proposal) if proposal.reason == reason => proposal.id,
        other => {
            // If we stop between the two, the next press proposes it.
            if let Some(proposal) = other {
                withdraw(store, signer.person, proposal.id, now).await?;
            }
            let wanted = vec![Wanted::plain(Change::Freeze { scope })];
            let draft = Draft { wanted, leaves_unreleasable: false, reason };
            propose(store, signer.person, draft, now).await?
        }
    };
    decide::begin(store, passkeys, signer, id, (Verdict::Approve, None), now).await
}

/// Finishes it: from now on nothing of this is sent.
pub async fn finish(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    answer: (CeremonyId, serde_json::Value),
    scope: Scope,
    now: Timestamp,
) -> Result<bool> {
    let before = governed(&mut store.snapshot().await?).await?;
    let Some(proposal) = waiting(&before, scope, signer.person) else {
        return refuse(Kind::Gone, "nothing waits to be frozen; press the button again");
    };
    decide::finish(store, passkeys, signer, answer, proposal.id, now).await
}

/// Proposes that sending goes on. Owners may.
pub async fn propose_end(
    store: &Store,
    by: PersonId,
    (scope, reason): (Scope, Option<String>),
    now: Timestamp,
) -> Result<ProposalId> {
    let wanted = vec![Wanted::plain(Change::Unfreeze { scope })];
    let draft = Draft { wanted, leaves_unreleasable: false, reason };
    propose(store, by, draft, now).await
}

/// What this person began to freeze and did not sign.
fn waiting(governed: &Governed, scope: Scope, by: PersonId) -> Option<&Proposal> {
    let freezes =
        |proposal: &&Proposal| proposal.by == by && proposal.changes == [Change::Freeze { scope }];
    governed.proposals().map(|open| &open.proposal).find(freezes)
}
