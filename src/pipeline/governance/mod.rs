//! Governance: how a change of people, rules or places comes into force.
//!
//! Until the installation is founded an owner's change is made at once ([`enter`]). Afterwards it
//! becomes a proposal: `propose` keeps it, `decide` collects signatures, [`enact_due`] carries out
//! what has what it takes. [`founding`] is the step between the two, [`freeze`] the brake, [`recovery`]
//! the way back when no quorum is left. What counts is decided by `domain::governed` from the log;
//! rows only follow. [`view`] is for pages.

pub(super) mod carry_out;
pub mod decide;
pub mod founding;
pub mod freeze;
pub mod recovery;
pub mod view;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::event::{Actor, Event, ProposalEnd};
use crate::domain::governed::{Governed, Inapplicable, ProposalState, Unsound};
use crate::domain::ids::{PersonId, ProposalId};
use crate::domain::proposal::{self, Change, Proposal, REASON_MAX};
use crate::domain::roster::Role;
use crate::entropy;
use crate::pipeline::people::revise_roster;
use crate::pipeline::{Error, Fault, Kind, Refusal, Result, refuse, transaction};
use crate::store::proposals::ProposalRow;
use crate::store::{Store, Tx};

pub use carry_out::Details;

/// Most proposals that may wait at once; each has to be read by people.
const OPEN_MAX: usize = 100;

/// A change somebody wants, with what carrying it out needs beside.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The change, as the log will hold it.
    pub change: Change,
    /// What the log does not hold.
    pub details: Details,
}

impl Wanted {
    /// A change that needs nothing beside.
    pub const fn plain(change: Change) -> Self {
        Self { change, details: Details::None }
    }
}

/// Who wants a change, and what they say beside it. An [`Actor`] is one who says nothing.
#[derive(Debug, Clone)]
pub struct Proposer {
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: Option<String>,
    /// They know that packages will be left that nobody can release, and mean it.
    pub leaves_unreleasable: bool,
}

impl From<Actor> for Proposer {
    fn from(actor: Actor) -> Self {
        Self { actor, reason: None, leaves_unreleasable: false }
    }
}

impl From<&Self> for Proposer {
    fn from(proposer: &Self) -> Self {
        proposer.clone()
    }
}

impl From<&Actor> for Proposer {
    fn from(actor: &Actor) -> Self {
        actor.clone().into()
    }
}

/// What became of a wanted change: made at once, or put before people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered<T> {
    /// What it is about.
    pub value: T,
    /// The proposal it became; `None` when the change was made.
    pub proposal: Option<ProposalId>,
}

/// What is in force, from the log.
pub async fn governed(tx: &mut Tx) -> Result<Governed> {
    let log = tx.log_of_governance().await?;
    Governed::replay(&log).map_err(unsound)
}

/// Whether changes take proposals already.
pub async fn is_founded(store: &Store) -> Result<bool> {
    Ok(governed(&mut store.snapshot().await?).await?.founded().is_some())
}

pub(super) fn unsound(unsound: Unsound) -> Error {
    Fault::new("replaying the log", unsound).into()
}

/// [`governed`], while nobody else appends until the transaction ends: what is appended on the
/// strength of it must find it so.
pub(super) async fn governed_alone(tx: &mut Tx) -> Result<Governed> {
    tx.lock_log().await?;
    governed(tx).await
}

/// Appends an entry and takes it as the replay does. Nobody publishes from a log with an entry that
/// contradicts it, so one that would is never committed.
pub(super) async fn append(tx: &mut Tx, now: Timestamp, event: Event) -> Result<Governed> {
    tx.append(now, event).await?;
    governed(tx).await
}

fn inapplicable(governed: &Governed, why: &Inapplicable) -> Error {
    let Inapplicable::LeavesUnreleasable(packages) = why else {
        return Refusal::new(Kind::Conflict, why.to_string()).into();
    };
    let stranded = governed.packages().filter(|package| packages.contains(&package.id));
    let names: Vec<_> = stranded.map(|package| format!("`{}`", package.name)).collect();
    let message =
        format!("nobody could release {} any more; say so if it is meant", names.join(", "));
    Refusal::new(Kind::LeavesUnreleasable, message).into()
}

/// Makes changes at once before the founding, and proposes them after it.
pub async fn enter(
    tx: &mut Tx,
    by: impl Into<Proposer>,
    wanted: Vec<Wanted>,
    now: Timestamp,
) -> Result<Option<ProposalId>> {
    let governed = governed_alone(tx).await?;
    let Proposer { actor: by, reason, leaves_unreleasable } = by.into();
    if governed.founded().is_some() {
        let by = match &by {
            Actor::Person(person) => *person,
            Actor::Publisher(_) | Actor::Gateway | Actor::Host => {
                return refuse(Kind::Forbidden, "after the founding, people propose changes");
            }
        };
        let draft = Draft { wanted, leaves_unreleasable, reason };
        return propose_in(tx, &governed, by, draft, now).await.map(Some);
    }
    let roster = wanted.iter().any(|wanted| carry_out::is_about_people(&wanted.change));
    for Wanted { change, details } in wanted {
        carry_out::carry_out(tx, &change, details, now).await?;
        if let Some(event) = carry_out::set_up_event(change, by.clone()) {
            tx.append(now, event).await?;
        }
    }
    if roster {
        revise_roster(tx, now, by.clone()).await?;
    }
    Ok(None)
}

/// A proposal as somebody makes it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The changes.
    pub wanted: Vec<Wanted>,
    /// Whoever proposes it knows that packages will be left that nobody can release. The proposal
    /// names them, so that everybody who signs it says so too.
    pub leaves_unreleasable: bool,
    /// Why.
    pub reason: Option<String>,
}

impl Draft {
    /// Some changes without further words.
    pub const fn of(wanted: Vec<Wanted>) -> Self {
        Self { wanted, leaves_unreleasable: false, reason: None }
    }
}

/// Proposes changes. Owners may; about oneself and about freezing, everybody who signs may.
pub async fn propose(
    store: &Store,
    by: PersonId,
    draft: Draft,
    now: Timestamp,
) -> Result<ProposalId> {
    transaction(store, move |tx| {
        Box::pin(async move {
            let governed = governed_alone(tx).await?;
            propose_in(tx, &governed, by, draft, now).await
        })
    })
    .await
}

async fn propose_in(
    tx: &mut Tx,
    governed: &Governed,
    by: PersonId,
    draft: Draft,
    now: Timestamp,
) -> Result<ProposalId> {
    if governed.founded().is_none() {
        return refuse(Kind::Conflict, "nothing is proposed before the installation is founded");
    }
    may_propose(governed, by, &draft)?;
    if governed.proposals().count() >= OPEN_MAX {
        return refuse(
            Kind::TooMany,
            format!("expected fewer than {OPEN_MAX} proposals that wait; end some first"),
        );
    }
    let reason = draft.reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if reason.as_ref().is_some_and(|text| text.chars().count() > REASON_MAX) {
        return refuse(
            Kind::BadInput,
            format!("expected a reason of at most {REASON_MAX} characters, received a longer one"),
        );
    }
    let (changes, details): (Vec<_>, Vec<_>) =
        draft.wanted.into_iter().map(|wanted| (wanted.change, wanted.details)).unzip();
    let mut proposal = Proposal {
        format: proposal::FORMAT.to_owned(),
        id: entropy::id(now)?,
        instance: governed.instance(),
        by,
        changes,
        leaves_unreleasable: BTreeSet::new(),
        reason,
        expires_at: now + proposal::LIFETIME,
    };
    match governed.after(&proposal, now) {
        Ok(_) => {}
        Err(Inapplicable::LeavesUnreleasable(packages)) if draft.leaves_unreleasable => {
            proposal.leaves_unreleasable = packages;
        }
        Err(why) => return Err(inapplicable(governed, &why)),
    }
    let details =
        serde_json::to_string(&details).map_err(|error| Fault::new("keeping a proposal", error))?;
    tx.add_proposal(&proposal, &details, now).await?;
    let id = proposal.id;
    append(tx, now, Event::Proposed { proposal }).await?;
    Ok(id)
}

fn may_propose(governed: &Governed, by: PersonId, draft: &Draft) -> Result<()> {
    let roster = governed.roster().map_err(unsound)?;
    let Some(person) = roster.person(by) else {
        return refuse(Kind::Forbidden, "only people on the roster may propose changes");
    };
    let own = |change: &Change| {
        matches!(
            change,
            Change::AddKey { .. }
                | Change::RevokeKey { .. }
                | Change::RemovePerson { .. }
                | Change::LinkIdentity { .. }
        ) && change.subject() == Some(by)
    };
    let allowed = |wanted: &Wanted| {
        person.role == Role::Owner
            || own(&wanted.change)
            || (person.role.may_sign() && matches!(wanted.change, Change::Freeze { .. }))
    };
    if draft.wanted.iter().all(allowed) {
        Ok(())
    } else {
        refuse(Kind::Forbidden, "only owners may propose this")
    }
}

/// Takes a proposal back. Whoever proposed it may.
pub async fn withdraw(store: &Store, by: PersonId, id: ProposalId, now: Timestamp) -> Result<()> {
    transaction(store, move |tx| {
        Box::pin(async move {
            let governed = governed_alone(tx).await?;
            let Some(open) = governed.proposal(id) else {
                return refuse(Kind::Gone, "this proposal does not wait any more");
            };
            if open.proposal.by != by {
                return refuse(Kind::Forbidden, "only whoever proposed this may take it back");
            }
            end(tx, &governed, id, ProposalEnd::Withdrawn, now).await
        })
    })
    .await
}

/// Ends a proposal without effect. A key that it would have added cannot come into force any more.
async fn end(
    tx: &mut Tx,
    governed: &Governed,
    id: ProposalId,
    how: ProposalEnd,
    now: Timestamp,
) -> Result<()> {
    let row = match how {
        ProposalEnd::Withdrawn => ProposalRow::Withdrawn,
        ProposalEnd::Rejected => ProposalRow::Rejected,
        ProposalEnd::Expired => ProposalRow::Expired,
        ProposalEnd::Stale => ProposalRow::Stale,
    };
    let roster = governed.roster().map_err(unsound)?;
    let changes = governed.proposal(id).map(|open| open.proposal.changes.as_slice());
    for change in changes.unwrap_or_default() {
        if let Change::AddKey { person, key } = change
            && roster.key(&key.credential_id).is_none()
        {
            tx.revoke_credential(&key.credential_id, now).await?;
            // Nobody vouched for whoever opened them with it.
            tx.end_reading_sessions_of(*person).await?;
        }
    }
    tx.end_proposal(id, row, now).await?;
    append(tx, now, Event::ProposalEnded { proposal: id, how }).await?;
    Ok(())
}

/// Carries out every proposal that has what it takes, and ends those that cannot get it. Returns
/// how many took effect.
pub async fn enact_due(store: &Store, now: Timestamp) -> Result<usize> {
    let waiting = store.snapshot().await?.waiting_proposals().await?;
    let (mut enacted, mut fault) = (0, None);
    for id in waiting {
        match settle(store, id, now).await {
            Ok(took_effect) => enacted += usize::from(took_effect),
            // The others do not wait for one that meets trouble.
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    fault.map_or(Ok(enacted), Err)
}

/// Moves one proposal on if its state says so. `true` when it took effect. One that has what it
/// takes and still cannot be carried out, as when a name was taken meanwhile, ends as stale.
async fn settle(store: &Store, id: ProposalId, now: Timestamp) -> Result<bool> {
    let settled =
        transaction(store, move |tx| Box::pin(async move { settle_in(tx, id, now).await })).await;
    let Err(Error::Refused(why)) = settled else { return settled };
    tracing::warn!(proposal = %id, %why, "a proposal could not be carried out");
    transaction(store, move |tx| {
        Box::pin(async move {
            let governed = governed_alone(tx).await?;
            if governed.proposal(id).is_some() {
                end(tx, &governed, id, ProposalEnd::Stale, now).await?;
            }
            Ok(false)
        })
    })
    .await
}

/// If we stop before the caller commits, nothing happened, and the next sweep does the same.
async fn settle_in(tx: &mut Tx, id: ProposalId, now: Timestamp) -> Result<bool> {
    let before = governed_alone(tx).await?;
    let Some(open) = before.proposal(id) else { return Ok(false) };
    let how = match before.assess(open, now).map_err(unsound)?.state {
        ProposalState::Pending { .. } | ProposalState::Waiting { .. } => return Ok(false),
        ProposalState::Rejected { .. } => ProposalEnd::Rejected,
        ProposalState::Expired => ProposalEnd::Expired,
        ProposalState::Stale(_) => ProposalEnd::Stale,
        ProposalState::Ready => {
            carry_out::enact(tx, &before, id, now).await?;
            return Ok(true);
        }
    };
    end(tx, &before, id, how, now).await?;
    Ok(false)
}
