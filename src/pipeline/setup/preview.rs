//! What a policy would mean before it is saved: the editor's simulation, on the real roster and the
//! real releases. Nothing is written here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::authorise;
use crate::domain::ids::{PersonId, PolicyId};
use crate::domain::policy::{Policy, PolicyDraft, PolicyRefusal};
use crate::domain::quorum::Tally;
use crate::domain::release::State;
use crate::domain::simulation::{Simulation, simulate};
use crate::pipeline::governance::governed;
use crate::pipeline::{Fault, Result};
use crate::store::releases::ReleaseFilter;
use crate::store::{Store, Tx};

/// Releases that are counted again under the new rule.
const REPLAYED: usize = 20;
/// Releases that are looked at to find them.
const LOOKED_AT: u32 = 100;

/// What a draft would mean.
#[derive(Debug)]
pub struct Preview {
    /// The policy, which is within what the people there are can satisfy, or why it is none.
    pub policy: std::result::Result<Policy, PolicyRefusal>,
    /// With everybody who can sign today; none while the draft is no policy.
    pub today: Option<Simulation>,
    /// For a release in which something was found, where that makes a difference.
    pub findings: Option<Simulation>,
    /// With some of them away, if any are said to be.
    pub away: Option<Simulation>,
    /// What saving it takes.
    pub saving: Saving,
    /// What would have become of earlier releases.
    pub replay: Replay,
    /// What everybody is called.
    pub names: BTreeMap<PersonId, String>,
}

/// What saving a policy takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saving {
    /// Nothing is founded yet.
    AtOnce,
    /// The quorum.
    Quorum,
    /// The quorum and a delay: it loosens the present rule.
    QuorumAndDelay,
}

/// How the last releases would have fared with the approvals that they got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// How many were looked at.
    pub releases: usize,
    /// How many would have passed.
    pub passed: usize,
    /// How many would have needed so many approvals more.
    pub short: BTreeMap<u32, usize>,
}

/// Previews a draft of a new policy, or of the next revision of one.
pub async fn preview(
    store: &Store,
    id: Option<PolicyId>,
    draft: PolicyDraft,
    away: &BTreeSet<PersonId>,
    now: Timestamp,
) -> Result<Preview> {
    let mut tx = store.snapshot().await?;
    let before = match id {
        Some(id) => tx.policy(id).await?,
        None => None,
    };
    let names = tx.people().await?.into_iter().map(|person| (person.id, person.name)).collect();
    let founded = governed(&mut tx).await?.founded().is_some();
    let saving = |policy: &Policy| match &before {
        _ if !founded => Saving::AtOnce,
        Some(before) if !policy.is_within(before) => Saving::QuorumAndDelay,
        _ => Saving::Quorum,
    };
    // The id of a draft that has none yet is never seen.
    let id = before.as_ref().map_or_else(|| PolicyId::from_uuid(uuid::Uuid::nil()), Policy::id);
    let revision = before.as_ref().map_or(1, |before| before.revision() + 1);
    let mut preview = Preview {
        policy: Policy::parse(id, revision, draft),
        today: None,
        findings: None,
        away: None,
        saving: Saving::AtOnce,
        replay: Replay::default(),
        names,
    };
    if let Ok(policy) = &preview.policy {
        let able = tx.roster().await?.unwrap_or_default().approvers(policy, now);
        let today = simulate(policy, &able, false);
        let findings = simulate(policy, &able, true);
        preview.findings = (findings != today).then_some(findings);
        preview.away = (!away.is_empty()).then(|| simulate(policy, &able.without(away), false));
        preview.today = Some(today);
        preview.saving = saving(policy);
        preview.replay = replay(&mut tx, before.map(|before| before.id()), policy).await?;
    }
    Ok(preview)
}

/// Counts the last releases again that went out: of the packages under this policy, or of all while
/// it is new.
async fn replay(tx: &mut Tx, id: Option<PolicyId>, policy: &Policy) -> Result<Replay> {
    let packages = tx.packages().await?;
    let under = |package| {
        let mut packages = packages.iter();
        id.is_none() || packages.any(|known| known.id == package && Some(known.policy) == id)
    };
    let states = vec![State::Published, State::Partial];
    let filter = ReleaseFilter { states, limit: LOOKED_AT, ..ReleaseFilter::default() };
    let mut replay = Replay::default();
    let releases = tx.list_releases(&filter).await?;
    for record in releases.into_iter().filter(|record| under(record.package)).take(REPLAYED) {
        let log = tx.log_for_release(record.id).await?;
        let tally = authorise::replay_under(&log, record.id, policy)
            .map_err(|why| Fault::new("replaying a release", why))?;
        replay.releases += 1;
        match tally {
            Tally::Met(_) => replay.passed += 1,
            Tally::Pending { missing, .. } => *replay.short.entry(missing.people).or_default() += 1,
            // It went out before somebody objected.
            Tally::Rejected { .. } => {}
        }
    }
    Ok(replay)
}
