//! Makes the evidence of a release: what `domain::evidence` can check offline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use crate::domain::event::{Event, LogEntry};
use crate::domain::evidence::{Bundle, Enrolment, FORMAT, Proven, ProvenEntry, Unproven, verify};
use crate::domain::ids::{PersonId, ReleaseId};
use crate::pipeline::log::notary::Notary;
use crate::pipeline::log::reading::inclusions;
use crate::pipeline::{Fault, Kind, Result, refuse};
use crate::store::{Store, Tx};

const CONTEXT: &str = "making evidence";

/// Whether the file says who the people are. Their ids are in it in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// It does.
    Revealed,
    /// It does not.
    Withheld,
}

/// Evidence, and what it shows.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The file.
    pub bytes: Vec<u8>,
    /// What anybody can prove with it.
    pub proven: Proven,
}

/// The evidence of a release of which something was sent, verified as anybody would.
pub async fn evidence(
    store: &Store,
    notary: &Arc<Notary>,
    release: ReleaseId,
    names: Names,
    now: Timestamp,
) -> Result<Evidence> {
    let mut tx = store.snapshot().await?;
    let Some(record) = tx.release(release).await? else {
        return refuse(Kind::NotFound, "no such release");
    };
    if tx.attempts(release).await?.is_empty() {
        let state = record.state.as_str();
        return refuse(
            Kind::Conflict,
            format!("expected a release of which something was sent, this one is {state}"),
        );
    }
    drop(tx);
    // So that the newest checkpoint has every entry about the release. A log that may not be
    // written to is shown up to the newest checkpoint it has.
    if !store.is_read_only() {
        notary.run(now).await?;
    }
    let mut tx = store.snapshot().await?;
    let Some(checkpoint) = tx.newest_checkpoint().await? else {
        return refuse(Kind::Conflict, "no checkpoint of the log is signed yet");
    };
    let log = tx.log_for_release(release).await?;
    let log: Vec<_> = log.into_iter().filter(|entry| entry.sequence < checkpoint.size).collect();
    let bundle = Bundle {
        format: FORMAT.to_owned(),
        release,
        entries: proven(&mut tx, &log, checkpoint.size).await?,
        checkpoint: checkpoint.note,
        claims: record.claims,
        report: report(&mut tx, release, &log).await?,
        enrolments: enrolments(&mut tx, &log).await?,
        names: match names {
            Names::Revealed => revealed(&mut tx, &log).await?,
            Names::Withheld => BTreeMap::new(),
        },
        signature: String::new(),
    };
    drop(tx);
    // Every entry is hashed and every signature checked: work for a thread that serves nobody.
    let notary = Arc::clone(notary);
    let verified = tokio::task::spawn_blocking(move || {
        let bytes = notary.sign_evidence(bundle);
        let proven = verify(&bytes, notary.verifier_key())?;
        Ok::<_, Unproven>(Evidence { bytes, proven })
    });
    let verified = verified.await.map_err(|error| Fault::new(CONTEXT, error))?;
    Ok(verified.map_err(|why| Fault::new(CONTEXT, why))?)
}

/// The report that counted when the release was sent, which is the last one.
async fn report(tx: &mut Tx, release: ReleaseId, log: &[LogEntry]) -> Result<String> {
    let last = log.iter().rev().find_map(|entry| match &entry.event {
        Event::ReleaseInspected { release: about, report_sha256, .. } if *about == release => {
            Some(*report_sha256)
        }
        _ => None,
    });
    let last = last.ok_or_else(|| Fault::new(CONTEXT, "nobody looked inside the release"))?;
    let report = tx.report(release, last).await?;
    Ok(report.ok_or_else(|| Fault::new(CONTEXT, "the log names a report that is not kept"))?)
}

async fn proven(tx: &mut Tx, log: &[LogEntry], size: u64) -> Result<Vec<ProvenEntry>> {
    let sequences: Vec<u64> = log.iter().map(|entry| entry.sequence).collect();
    let proofs = inclusions(tx, &sequences, size).await?;
    let entry = |(entry, proof): (&LogEntry, _)| {
        let body = String::from_utf8(entry.to_bytes());
        Ok(ProvenEntry { body: body.map_err(|error| Fault::new(CONTEXT, error))?, proof })
    };
    log.iter().zip(proofs).map(entry).collect()
}

/// How the keys that decided came to be known.
async fn enrolments(tx: &mut Tx, log: &[LogEntry]) -> Result<Vec<Enrolment>> {
    let mut enrolments = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in log {
        let Event::Decided { decision, .. } = &entry.event else { continue };
        let credential_id = decision.assertion.credential_id();
        if !seen.insert(credential_id.as_bytes().to_vec()) {
            continue;
        }
        let Some((attestation_object, client_data)) = tx.enrolment(credential_id).await? else {
            continue;
        };
        enrolments.push(Enrolment {
            credential_id: credential_id.clone(),
            attestation_object: URL_SAFE_NO_PAD.encode(attestation_object),
            client_data: URL_SAFE_NO_PAD.encode(client_data),
        });
    }
    Ok(enrolments)
}

/// The names of everybody who was ever on the roster.
async fn revealed(tx: &mut Tx, log: &[LogEntry]) -> Result<BTreeMap<PersonId, String>> {
    let mut names: BTreeMap<PersonId, String> =
        tx.people().await?.into_iter().map(|person| (person.id, person.name)).collect();
    let on_roster = |entry: &LogEntry| match &entry.event {
        Event::RosterRevised { roster, .. } => roster.people.iter().map(|p| p.id).collect(),
        Event::Proposed { proposal } => proposal.subjects().into_iter().collect(),
        _ => Vec::new(),
    };
    let known: BTreeSet<PersonId> = log.iter().flat_map(on_roster).collect();
    names.retain(|person, _| known.contains(person));
    Ok(names)
}
