//! Batch approval: several releases of one CI run, with one touch (W17).
//!
//! A batch is approval done several times at once and never less of it: each release is judged as
//! if it stood alone, each gets a decision of its own, and either all are recorded or none. What has
//! to be read with care, as code that runs at installation, is left out and signed alone.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::approval::{
    CannotDecide, Decided, HELD_MEANWHILE, check_terms, count, existing, forbidden, locked,
    may_decide, remark,
};
use crate::domain::batch::{Batch, Node, RELEASES_MAX, dependency_order};
use crate::domain::decision::Decision;
use crate::domain::event::Event;
use crate::domain::ids::{CeremonyId, PasskeyId, PersonId, ReleaseId};
use crate::domain::package::{Ecosystem, PackageName};
use crate::domain::place::Place;
use crate::domain::quorum::Verdict;
use crate::domain::release::State;
use crate::domain::review::report::Inspection;
use crate::domain::statement::{Statement, Terms};
use crate::entropy;
use crate::passkeys::Passkeys;
use crate::pipeline::findings::Finding;
use crate::pipeline::review::{self, ReleaseView};
use crate::pipeline::signature::{self, About, Signer, Subject};
use crate::pipeline::{Fault, Kind, Result, again, refuse};
use crate::store::releases::{ReleaseFilter, ReleaseRecord};
use crate::store::signin::Ceremony;
use crate::store::{Store, Tx};

/// Most releases of one run that are read, the newest of them: two batches.
const RUN_MAX: u32 = 100;

/// Why a release of the run is not part of the batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Alone {
    /// The reader cannot approve it.
    #[error(transparent)]
    Cannot(#[from] CannotDecide),
    /// Somebody paused it; the words of the pause have to be read.
    #[error("it is on hold; open it and read why")]
    Held,
    /// Something about it has to be looked at by itself.
    #[error("it has something to look at that is approved alone")]
    Grave,
    /// What its policy asks of a signer is said about one release at a time.
    #[error("its policy asks for more than a note")]
    Declares,
    /// The batch is full.
    #[error("at most {RELEASES_MAX} releases are approved at once")]
    Full,
}

/// The undecided releases of one CI run, for one reader.
#[derive(Debug)]
pub struct RunReleases {
    /// What can be approved together, in the order in which it is sent.
    pub together: Vec<ReleaseView>,
    /// The others, and why.
    pub alone: Vec<(ReleaseView, Alone)>,
}

/// Loads the releases that the same CI run staged as `release`.
pub async fn of_run(
    store: &Store,
    release: ReleaseId,
    viewer: PersonId,
    now: Timestamp,
) -> Result<RunReleases> {
    let mut tx = store.snapshot().await?;
    let run_key = existing(tx.release(release).await?)?.run_key;
    let filter = ReleaseFilter {
        states: vec![State::Awaiting],
        run_key: Some(run_key),
        limit: RUN_MAX,
        ..ReleaseFilter::default()
    };
    let ids: Vec<ReleaseId> = tx.list_releases(&filter).await?.iter().map(|r| r.id).collect();
    drop(tx);
    let mut views = BTreeMap::new();
    for id in ids {
        views.insert(id, review::release(store, id, viewer, now).await?);
    }
    let nodes = views.values().map(node).collect::<Result<Vec<_>>>()?;
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for view in dependency_order(&nodes).iter().filter_map(|id| views.remove(id)) {
        match stands_alone(&view) {
            Some(why) => alone.push((view, why)),
            None if together.len() == RELEASES_MAX => alone.push((view, Alone::Full)),
            None => together.push(view),
        }
    }
    Ok(RunReleases { together, alone })
}

fn stands_alone(view: &ReleaseView) -> Option<Alone> {
    match &view.mine {
        Some(Err(why)) => Some(Alone::Cannot(why.clone())),
        None => Some(Alone::Cannot(CannotDecide::State(view.record.state))),
        Some(Ok(_)) if view.hold().is_some() => Some(Alone::Held),
        Some(Ok(_)) if is_grave(view) => Some(Alone::Grave),
        Some(Ok(statement)) if asks_for_terms(view, statement.person) => Some(Alone::Declares),
        Some(Ok(_)) => None,
    }
}

/// Whether there is something that has to be read with care, or answered.
fn is_grave(view: &ReleaseView) -> bool {
    let inspection = view.standing.as_ref().and_then(|standing| standing.inspection.as_ref());
    view.findings.iter().any(Finding::is_grave) || inspection.is_some_and(Inspection::has_findings)
}

/// Whether an approval with nothing but a note would not count.
fn asks_for_terms(view: &ReleaseView, person: PersonId) -> bool {
    let policies = view.standing.iter().flat_map(|it| [&it.policy, &it.sealed_policy]);
    policies.into_iter().any(|it| !it.authors_count() || !it.members().contains(&person))
}

fn node(view: &ReleaseView) -> Result<Node> {
    let needs = view.artifacts.iter().flat_map(|artifact| artifact.facts.requires()).collect();
    let name = name(view.record.ecosystem, &view.record.package_name)?;
    Ok(Node { release: view.record.id, name, needs })
}

fn name(ecosystem: Ecosystem, text: &str) -> Result<PackageName> {
    PackageName::parse(ecosystem, text)
        .map_err(|error| Fault::new("reading a stored package name", error).into())
}

/// Begins a ceremony over these releases. Returns its id and the options for the browser.
pub async fn begin(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    (releases, note): (&[ReleaseId], Option<String>),
    now: Timestamp,
) -> Result<(CeremonyId, serde_json::Value)> {
    let note = remark(note)?;
    let Some(first) = releases.first().filter(|_| releases.len() > 1) else {
        return refuse(Kind::BadInput, "expected at least 2 releases to approve together");
    };
    // What the page showed, or the ceremony does not begin.
    let run = of_run(store, *first, signer.person, now).await?;
    let ready: Vec<ReleaseId> = run.together.iter().map(|view| view.record.id).collect();
    if let Some((view, why)) = run.alone.iter().find(|(view, _)| releases.contains(&view.record.id))
    {
        let (name, version) = (&view.record.package_name, &view.record.version);
        return refuse(
            Kind::Conflict,
            format!("{name} {version} cannot be approved with others: {why}"),
        );
    }
    if ready != releases {
        return refuse(
            Kind::Conflict,
            "the releases that wait together changed since you opened the page; read it again",
        );
    }
    let terms = Terms::from(note);
    let mut statements = Vec::new();
    for standing in run.together.iter().filter_map(|view| view.standing.as_ref()) {
        check_terms(standing, signer.person, (Verdict::Approve, &terms), now)?;
        statements.push(standing.statement(signer.person, Verdict::Approve, terms.clone()));
    }
    let statement = of(&statements)?.to_bytes();
    again(|| async {
        let mut tx = store.begin().await?;
        let (about, verdict) = (About::Batch, Verdict::Approve);
        let subject = Subject { about, verdict, statement: statement.clone() };
        let begun = signature::begin(&mut tx, passkeys, signer, subject, now).await?;
        tx.commit().await?;
        Ok(begun)
    })
    .await
}

fn of(statements: &[Statement]) -> Result<Batch> {
    Batch::of(statements).ok_or_else(|| Fault::new("making a batch", "it has no release").into())
}

/// Finishes a ceremony: verifies one assertion and records a decision for every release, all in one
/// transaction. The ceremony is used up whatever the result (W3).
pub async fn finish(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    (ceremony, credential): (CeremonyId, serde_json::Value),
    now: Timestamp,
) -> Result<Vec<Decided>> {
    again(|| async {
        let mut tx = store.begin().await?;
        let result = match signature::take(&mut tx, signer, (ceremony, About::Batch), now).await? {
            Some(taken) => approve(&mut tx, passkeys, (&taken, &credential), signer, now).await,
            None => refuse(Kind::Gone, signature::OVER),
        };
        signature::keep(tx, result).await
    })
    .await
}

/// Verifies first, writes second: nothing is written on the way to a refusal.
async fn approve(
    tx: &mut Tx,
    passkeys: &Passkeys,
    answer: (&Ceremony, &serde_json::Value),
    signer: &Signer,
    now: Timestamp,
) -> Result<Vec<Decided>> {
    let bytes = answer.0.statement.as_deref().unwrap_or_default();
    let Some(batch) = Batch::from_bytes(bytes) else {
        return Err(Fault::new("finishing a batch", "the ceremony has no batch").into());
    };
    let statements = statements(tx, &batch, signer, now).await?;
    if of(&statements)? != batch {
        return refuse(
            Kind::Conflict,
            "what you would sign changed while the prompt was open; read it again",
        );
    }
    let said = (About::Batch, Verdict::Approve);
    let (decision, key) = signature::finish(tx, passkeys, answer, said, now).await?;
    let mut decided = Vec::new();
    for (place, statement) in statements.iter().enumerate() {
        // Due one after the other, so that what others need is sent before them.
        let due = now + SignedDuration::from_millis(i64::try_from(place).unwrap_or(i64::MAX));
        decided.push(record(tx, statement, (&decision, key, signer.place), (now, due)).await?);
    }
    Ok(decided)
}

/// The statements as they are now, every release's row locked until the transaction ends.
async fn statements(
    tx: &mut Tx,
    batch: &Batch,
    signer: &Signer,
    now: Timestamp,
) -> Result<Vec<Statement>> {
    // In one order whoever comes, so that two batches never wait for each other.
    let mut ids: Vec<ReleaseId> = batch.releases.iter().map(|item| item.release).collect();
    ids.sort();
    for id in ids {
        let _: ReleaseRecord = existing(tx.release_locked(id).await?)?;
    }
    let mut statements = Vec::new();
    for item in &batch.releases {
        let (record, standing) = locked(tx, item.release, now).await?;
        may_decide(&record, &standing, signer.person, Verdict::Approve, now).map_err(forbidden)?;
        if standing.hold.is_some() {
            return refuse(Kind::Conflict, HELD_MEANWHILE);
        }
        let reason = batch.reason.clone();
        statements.push(standing.statement(signer.person, Verdict::Approve, reason));
    }
    Ok(statements)
}

/// Records the decision about one release of a batch, counts, and queues it when that suffices.
async fn record(
    tx: &mut Tx,
    statement: &Statement,
    (signed, key, place): (&Decision, PasskeyId, Option<Place>),
    (now, due): (Timestamp, Timestamp),
) -> Result<Decided> {
    let release = statement.release;
    let text = String::from_utf8(statement.to_bytes())
        .map_err(|error| Fault::new("encoding a statement", error))?;
    let decision = Decision {
        id: entropy::id(now)?,
        statement: text,
        batch: Some(signed.statement.clone()),
        ..signed.clone()
    };
    let from = (key, place.map(|place| place.about(release)));
    tx.insert_decision(release, &decision, from, statement, now).await?;
    tx.append(now, Event::Decided { release, decision }).await?;
    let state = count(tx, release, (now, due)).await?;
    Ok(Decided { release, state })
}
