//! What pages show about governance: proposals as they stand or as they stood when they ended, the
//! founding, and what is frozen.
//!
//! All of it is replayed from the log. Rows give names, and what a proposal carries out beside it,
//! which has to be what people signed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::carry_out::{issuer_record, publisher_record};
use super::decide::{CannotDecide, may_decide};
use super::{Details, founding, unsound};
use crate::domain::assertion::CredentialId;
use crate::domain::digest::Sha256;
use crate::domain::event::{Event, LogEntry, ProposalEnd};
use crate::domain::founding::Founding;
use crate::domain::governed::{Founded, Governed, Open, ProposalStanding, ProposalState};
use crate::domain::ids::{IssuerId, PersonId, ProposalId, PublisherId, UpstreamId};
use crate::domain::issuer::Issuer;
use crate::domain::proposal::{Change, ProposalStatement, Scope};
use crate::domain::publisher::{Publisher, Rule};
use crate::domain::quorum::Verdict;
use crate::pipeline::{Fault, Kind, Result, refuse};
use crate::store::proposals::{ProposalRow, StoredProposal};
use crate::store::signin::PasskeyRecord;
use crate::store::{Store, Tx};

/// Most proposals in the list; all that may wait, and some that ended.
const LISTED: u32 = 120;

/// What the log does not say: what people call things.
#[derive(Debug, Clone, Default)]
pub struct Names {
    people: BTreeMap<PersonId, String>,
    upstreams: BTreeMap<UpstreamId, String>,
    publishers: BTreeMap<PublisherId, String>,
    keys: Vec<PasskeyRecord>,
    issuers: Vec<Issuer>,
}

impl Names {
    async fn load(tx: &mut Tx) -> Result<Self> {
        let upstreams = tx.upstreams().await?.into_iter();
        Ok(Self {
            people: tx.names().await?,
            upstreams: upstreams
                .map(|known| (known.upstream.id(), known.upstream.name().to_owned()))
                .collect(),
            publishers: tx.publisher_names().await?,
            keys: tx.kept_passkeys().await?,
            issuers: tx.issuers().await?,
        })
    }

    /// The same with the names of what a proposal would add.
    fn and_of(&self, changes: &[Change], details: &[Details]) -> Self {
        let mut names = self.clone();
        for (change, details) in changes.iter().zip(details) {
            match (change, details) {
                (Change::AddPerson { person, .. }, Details::Person { name }) => {
                    names.people.entry(*person).or_insert_with(|| name.clone());
                }
                (Change::SetUpstream { upstream }, Details::Upstream { name, .. }) => {
                    names.upstreams.entry(upstream.id).or_insert_with(|| name.clone());
                }
                (Change::SetIssuer { issuer }, Details::Issuer { config }) => {
                    names.issuers.extend(Issuer::parse(issuer.id, config.as_ref().clone()));
                }
                (Change::SetPublisher { publisher }, Details::Publisher { name, .. }) => {
                    names.publishers.entry(publisher.id).or_insert_with(|| name.clone());
                }
                (_, _) => {}
            }
        }
        names
    }

    /// What a person is called; their id when no row knows them.
    pub fn person(&self, id: PersonId) -> String {
        self.people.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// What a registry is called.
    pub fn upstream(&self, id: UpstreamId) -> String {
        self.upstreams.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// What a publisher is called.
    pub fn publisher(&self, id: PublisherId) -> String {
        self.publishers.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// What its owner calls a key.
    pub fn key(&self, id: &CredentialId) -> Option<&str> {
        self.keys.iter().find(|key| key.credential_id == *id).map(|key| key.name.as_str())
    }

    /// Who else was signed in where a key was enrolled (Q21).
    pub fn beside(&self, id: &CredentialId) -> Option<PersonId> {
        self.keys.iter().find(|key| key.credential_id == *id)?.beside
    }

    /// An issuer.
    pub fn issuer(&self, id: IssuerId) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.id() == id)
    }

    /// What an issuer of this url is called.
    pub fn issuer_at<'a>(&'a self, url: &'a str) -> &'a str {
        self.issuers.iter().find(|issuer| issuer.url() == url).map_or(url, Issuer::name)
    }
}

/// How a proposal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It took effect.
    Enacted,
    /// It did not.
    Without(ProposalEnd),
}

/// A proposal: as it stands, or as it stood when it ended.
#[derive(Debug)]
pub struct ProposalView {
    /// What is proposed, and the votes.
    pub open: Open,
    /// What each change carries out beside.
    pub details: Vec<Details>,
    /// How it stands, or stood.
    pub standing: ProposalStanding,
    /// What is in force, or was when it ended.
    pub before: Governed,
    /// How it ended, and when.
    pub end: Option<(Ending, Timestamp)>,
    /// What people call things.
    pub names: Names,
    /// What the viewer would sign.
    pub statement: ProposalStatement,
    /// Whether the viewer can sign.
    pub mine: std::result::Result<(), CannotDecide>,
    /// Whether the viewer can object.
    pub may_object: bool,
    /// Whether the viewer can take it back.
    pub may_withdraw: bool,
    /// Rules that CI runs are compared with now, of the publishers it changes.
    pub rules: BTreeMap<PublisherId, Rule>,
    /// What people decided, in order.
    pub decisions: Vec<Said>,
    /// When the recovery key signed it.
    pub recovered_at: Option<Timestamp>,
}

/// What somebody decided about a proposal.
#[derive(Debug, Clone)]
pub struct Said {
    /// Who.
    pub person: PersonId,
    /// What.
    pub verdict: Verdict,
    /// When.
    pub at: Timestamp,
    /// Their words.
    pub reason: Option<String>,
}

impl ProposalView {
    /// Whether it loosens, has what it takes, and waits for its delay: everybody is told (A7).
    pub fn loosens_at(&self) -> Option<Timestamp> {
        match self.standing.state {
            ProposalState::Waiting { until } if self.end.is_none() => Some(until),
            _ => None,
        }
    }

    /// Whether the viewer is asked.
    pub const fn waits_for_viewer(&self) -> bool {
        self.end.is_none() && self.mine.is_ok()
    }
}

/// What the frame of every page needs.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// The installation is founded: changes are proposed.
    pub founded: bool,
    /// Proposals that the viewer can sign now; the founding is one.
    pub waiting: usize,
    /// What is frozen: packages by name, or `None` for everything.
    pub frozen: Vec<Option<String>>,
}

/// What the frame of every page needs, for `viewer`.
pub async fn overview(store: &Store, viewer: PersonId, now: Timestamp) -> Result<Overview> {
    let governed = super::governed(&mut store.snapshot().await?).await?;
    let mut waiting = usize::from(founding::waits_for(&governed, viewer, now));
    for open in governed.proposals() {
        let standing = governed.assess(open, now).map_err(unsound)?;
        waiting += usize::from(may_decide(open, &standing, viewer, Verdict::Approve).is_ok());
    }
    let frozen = governed.frozen().iter().map(|scope| match scope {
        Scope::Everything => None,
        Scope::Package(id) => {
            let name = governed.package(*id).map(|package| package.name.clone());
            Some(name.unwrap_or_else(|_| id.to_string()))
        }
    });
    Ok(Overview { founded: governed.founded().is_some(), waiting, frozen: frozen.collect() })
}

/// The proposals that wait, then those that ended, newest first.
pub async fn proposals(
    store: &Store,
    viewer: PersonId,
    now: Timestamp,
) -> Result<Vec<ProposalView>> {
    listed(store, |_| true, viewer, now).await
}

/// The proposals that wait, newest first. Cheaper than all of them: those that ended are shown as
/// they stood then, for which everything in force before each is held.
pub async fn waiting(store: &Store, viewer: PersonId, now: Timestamp) -> Result<Vec<ProposalView>> {
    listed(store, |stored| stored.state == ProposalRow::Open, viewer, now).await
}

async fn listed(
    store: &Store,
    wanted: fn(&StoredProposal) -> bool,
    viewer: PersonId,
    now: Timestamp,
) -> Result<Vec<ProposalView>> {
    let mut tx = store.snapshot().await?;
    let stored = tx.proposals(LISTED).await?.into_iter().filter(wanted);
    let ids: Vec<ProposalId> = stored.map(|stored| stored.proposal.id).collect();
    views(&mut tx, &ids, viewer, now).await
}

/// One proposal.
pub async fn proposal(
    store: &Store,
    id: ProposalId,
    viewer: PersonId,
    now: Timestamp,
) -> Result<ProposalView> {
    let mut tx = store.snapshot().await?;
    match views(&mut tx, &[id], viewer, now).await?.pop() {
        Some(view) => Ok(view),
        None => refuse(Kind::NotFound, "there is no such proposal"),
    }
}

async fn views(
    tx: &mut Tx,
    ids: &[ProposalId],
    viewer: PersonId,
    now: Timestamp,
) -> Result<Vec<ProposalView>> {
    let log = tx.log_of_governance().await?;
    let told = Told::replay(&log, ids)?;
    let names = Names::load(tx).await?;
    let mut views = Vec::new();
    for id in ids {
        if let Some(past) = told.of(*id) {
            let mut view = view(tx, past, &names, viewer, now).await?;
            tell(&log, *id, &mut view);
            views.push(view);
        }
    }
    Ok(views)
}

/// What happened to a proposal.
fn tell(log: &[LogEntry], id: ProposalId, view: &mut ProposalView) {
    for entry in log {
        match &entry.event {
            Event::ProposalDecided { proposal, decision } if *proposal == id => {
                let statement = ProposalStatement::from_bytes(decision.statement.as_bytes());
                view.decisions.push(Said {
                    person: decision.person,
                    verdict: decision.verdict,
                    at: entry.at,
                    reason: statement.and_then(|statement| statement.reason),
                });
            }
            Event::ProposalRecovered { proposal, .. } if *proposal == id => {
                view.recovered_at = Some(entry.at);
            }
            _ => {}
        }
    }
}

/// A proposal at the last moment at which it waited.
struct Past<'a> {
    governed: &'a Governed,
    open: &'a Open,
    end: Option<(Ending, Timestamp)>,
}

/// The whole log replayed, with what was in force before each of some proposals ended.
struct Told {
    now: Governed,
    before: BTreeMap<ProposalId, (Governed, Ending, Timestamp)>,
}

impl Told {
    fn replay(log: &[LogEntry], wanted: &[ProposalId]) -> Result<Self> {
        let (first, rest) =
            log.split_first().ok_or_else(|| Fault::new("replaying the log", "it is empty"))?;
        let mut governed = Governed::begin(first).map_err(unsound)?;
        let mut before = BTreeMap::new();
        for entry in rest {
            let ended = match entry.event {
                Event::ProposalEnacted { proposal } => Some((proposal, Ending::Enacted)),
                Event::ProposalEnded { proposal, how } => Some((proposal, Ending::Without(how))),
                _ => None,
            };
            if let Some((id, how)) = ended.filter(|(id, _)| wanted.contains(id)) {
                before.insert(id, (governed.clone(), how, entry.at));
            }
            governed.apply(entry).map_err(unsound)?;
        }
        Ok(Self { now: governed, before })
    }

    fn of(&self, id: ProposalId) -> Option<Past<'_>> {
        let (governed, end) = match self.before.get(&id) {
            Some((governed, how, at)) => (governed, Some((*how, *at))),
            None => (&self.now, None),
        };
        Some(Past { governed, open: governed.proposal(id)?, end })
    }
}

async fn view(
    tx: &mut Tx,
    Past { governed, open, end }: Past<'_>,
    names: &Names,
    viewer: PersonId,
    now: Timestamp,
) -> Result<ProposalView> {
    let proposal = &open.proposal;
    let details = details(tx, open).await?;
    let standing = governed.assess(open, end.map_or(now, |(_, at)| at)).map_err(unsound)?;
    let waits = |verdict| match end {
        Some(_) => Err(CannotDecide::Over),
        None => may_decide(open, &standing, viewer, verdict),
    };
    let statement =
        governed.statement(proposal, viewer, Verdict::Approve, None).map_err(unsound)?;
    let mut rules = BTreeMap::new();
    for change in &proposal.changes {
        if let Change::SetPublisher { publisher: record } = change
            && let Some(stored) = tx.publisher(record.id).await?
        {
            rules.insert(record.id, stored.publisher.rule().clone());
        }
    }
    Ok(ProposalView {
        names: names.and_of(&proposal.changes, &details),
        mine: waits(Verdict::Approve),
        statement,
        may_object: waits(Verdict::Reject).is_ok(),
        may_withdraw: end.is_none() && proposal.by == viewer,
        open: open.clone(),
        before: governed.clone(),
        details,
        standing,
        end,
        rules,
        decisions: Vec::new(),
        recovered_at: None,
    })
}

/// What stands beside a proposal, which has to be what people sign: a page that showed something
/// else would have them sign what they did not read.
async fn details(tx: &mut Tx, open: &Open) -> Result<Vec<Details>> {
    const CONTEXT: &str = "showing a proposal";
    let id = open.proposal.id;
    let stored = tx.proposal(id).await?.ok_or_else(|| Fault::new(CONTEXT, "its row is missing"))?;
    let details: Vec<Details> =
        serde_json::from_str(&stored.details).map_err(|error| Fault::new(CONTEXT, error))?;
    let changes = &open.proposal.changes;
    let sound = stored.proposal == open.proposal
        && details.len() == changes.len()
        && changes.iter().zip(&details).all(|(change, details)| belongs(change, details));
    if sound {
        Ok(details)
    } else {
        Err(Fault::new(CONTEXT, "its row is not what is signed").into())
    }
}

fn belongs(change: &Change, details: &Details) -> bool {
    match (change, details) {
        (Change::SetCredential { sealed_sha256, .. }, Details::Credential { sealed }) => {
            Sha256::of(sealed) == *sealed_sha256
        }
        (Change::SetIssuer { issuer }, Details::Issuer { config }) => {
            Issuer::parse(issuer.id, config.as_ref().clone())
                .is_ok_and(|parsed| issuer_record(&parsed) == *issuer)
        }
        (Change::SetPublisher { publisher }, Details::Publisher { name, issuer, rule }) => {
            let packages = publisher.packages.clone();
            Publisher::parse(publisher.id, name, *issuer, rule.as_ref().clone(), packages)
                .is_ok_and(|parsed| publisher_record(&parsed) == *publisher)
        }
        (
            Change::SetCredential { .. } | Change::SetIssuer { .. } | Change::SetPublisher { .. },
            _,
        ) => false,
        (_, _) => true,
    }
}

/// What may be frozen and what is.
#[derive(Debug)]
pub struct BrakeView {
    /// What is in force.
    pub governed: Governed,
    /// The proposals that would end a freeze.
    pub ending: BTreeMap<Scope, ProposalId>,
    /// Who froze what, when and why.
    pub frozen: BTreeMap<Scope, (String, Timestamp, Option<String>)>,
}

/// The brake.
pub async fn brake(store: &Store) -> Result<BrakeView> {
    let mut tx = store.snapshot().await?;
    let log = tx.log_of_governance().await?;
    let names = tx.names().await?;
    let mut governed =
        Governed::begin(log.first().ok_or_else(|| Fault::new("replaying the log", "it is empty"))?)
            .map_err(unsound)?;
    let mut frozen = BTreeMap::new();
    for entry in &log[1..] {
        if let Event::ProposalEnacted { proposal } = entry.event
            && let Some(open) = governed.proposal(proposal)
        {
            let proposal = &open.proposal;
            let who = names.get(&proposal.by).cloned().unwrap_or_default();
            for change in &proposal.changes {
                if let Change::Freeze { scope } = change {
                    frozen.insert(*scope, (who.clone(), entry.at, proposal.reason.clone()));
                }
            }
        }
        governed.apply(entry).map_err(unsound)?;
    }
    let unfreezes = |open: &Open| {
        let scopes = open.proposal.changes.iter().filter_map(|change| match change {
            Change::Unfreeze { scope } => Some(*scope),
            _ => None,
        });
        scopes.map(|scope| (scope, open.proposal.id)).collect::<Vec<_>>()
    };
    let ending = governed.proposals().flat_map(unfreezes).collect();
    frozen.retain(|scope, _| governed.frozen().contains(scope));
    Ok(BrakeView { governed, ending, frozen })
}

/// The founding: what is set up, who signed it, and what is in force since.
#[derive(Debug)]
pub struct FoundingView {
    /// What is in force.
    pub governed: Governed,
    /// The document that waits, or that was signed.
    pub document: Option<Founding>,
    /// Who signed it, and when, in order.
    pub signed: Vec<(PersonId, Timestamp)>,
    /// Whose signature would count.
    pub able: BTreeSet<PersonId>,
    /// The founding in force.
    pub founded: Option<Founded>,
    /// Whether the viewer is asked to sign.
    pub waits_for_viewer: bool,
    /// What people call things.
    pub names: Names,
    /// The issuers in the document, as far as the rows say what is signed.
    pub issuers: BTreeMap<IssuerId, Issuer>,
    /// The rules of the publishers in the document, as far as the rows say what is signed.
    pub publishers: BTreeMap<PublisherId, (IssuerId, Rule)>,
}

/// The founding, for `viewer`.
pub async fn founding(store: &Store, viewer: PersonId, now: Timestamp) -> Result<FoundingView> {
    let mut tx = store.snapshot().await?;
    let log = tx.log_of_governance().await?;
    let governed = Governed::replay(&log).map_err(unsound)?;
    let (document, signed) = signed_document(&log, &governed);
    let policy = document.as_ref().and_then(|it| governed.policy(it.governing).ok());
    let able = match (policy, governed.roster()) {
        (Some(policy), Ok(roster)) => roster.able_to_sign(policy.members(), now),
        (_, _) => BTreeSet::new(),
    };
    let mut publishers = BTreeMap::new();
    for record in document.iter().flat_map(|document| &document.publishers) {
        if let Some(stored) = tx.publisher(record.id).await?
            && publisher_record(&stored.publisher) == *record
        {
            let publisher = stored.publisher;
            publishers.insert(record.id, (publisher.issuer(), publisher.rule().clone()));
        }
    }
    let signed_issuers: BTreeSet<_> =
        document.iter().flat_map(|document| &document.issuers).cloned().collect();
    let issuers = tx.issuers().await?.into_iter();
    let issuers = issuers.filter(|issuer| signed_issuers.contains(&issuer_record(issuer)));
    Ok(FoundingView {
        issuers: issuers.map(|issuer| (issuer.id(), issuer)).collect(),
        waits_for_viewer: founding::waits_for(&governed, viewer, now),
        founded: governed.founded().cloned(),
        names: Names::load(&mut tx).await?,
        document,
        signed,
        able,
        publishers,
        governed,
    })
}

/// The document that founders sign or signed last, with those who did.
fn signed_document(
    log: &[LogEntry],
    governed: &Governed,
) -> (Option<Founding>, Vec<(PersonId, Timestamp)>) {
    let (mut document, mut signed) = (None, Vec::new());
    for entry in log {
        match &entry.event {
            Event::FoundingProposed { founding, .. } => {
                document = Some(founding.as_ref().clone());
                signed.clear();
            }
            Event::FoundingSigned { decision } => signed.push((decision.person, entry.at)),
            _ => {}
        }
    }
    // A change since then took it away.
    if governed.founded().is_none() && governed.unfounded().is_none() {
        return (None, Vec::new());
    }
    (document, signed)
}
