//! Evidence: who approved which bytes, in one file that anybody can check offline.
//!
//! A bundle holds the entries of the log from which the release was authorised, proof that each is
//! in the log, the signed checkpoint they are proven against, and what the entries name by digest
//! only. [`verify`] needs the bundle and the log's key, got from somewhere else, and repeats the
//! publish decision for every file that was sent. `docs/verify/README.md` describes the format and
//! says what a bundle cannot show.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::assertion::CredentialId;
use crate::domain::authorise::{Authorised, NotAuthorised, Trust, authorise};
use crate::domain::digest::Sha256;
use crate::domain::event::{Event, LogEntry};
use crate::domain::ids::{PersonId, ReleaseId};
use crate::domain::log;
use crate::domain::log::checkpoint::{Checkpoint, CheckpointError};
use crate::domain::log::note::{Note, NoteError, SignatureLine, Signer, VerifierKey};
use crate::domain::log::tree::{TreeHead, includes, leaf_hash};
use crate::domain::quorum::Verdict;
use crate::domain::release::State;
use crate::domain::statement::Statement;

/// The only value of [`Bundle::format`].
pub const FORMAT: &str = "countersign/evidence/v1";
/// Largest bundle that is read, in bytes. An entry is about 1 KB, with its proof 2 KB.
pub const BUNDLE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// An entry and why it is in the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenEntry {
    /// The entry's exact bytes; they are UTF-8 JSON.
    pub body: String,
    /// The inclusion proof of its leaf, the leaf's side first (RFC 9162 section 2.1.3).
    pub proof: Vec<Sha256>,
}

/// How a key that approved came to be known. Kept for whoever asks which hardware signed; the
/// verdict does not depend on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Which key.
    pub credential_id: CredentialId,
    /// What the authenticator said about it; base64url.
    pub attestation_object: String,
    /// What the browser added; base64url.
    pub client_data: String,
}

/// The file. Field order is the encoding.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`FORMAT`].
    pub format: String,
    /// About which release.
    pub release: ReleaseId,
    /// The signed checkpoint, with the signatures of witnesses.
    pub checkpoint: String,
    /// In order: every entry about people, rules and registries, and those about this release.
    pub entries: Vec<ProvenEntry>,
    /// What the CI's token said, verified when the files came; its digest is in the manifest.
    pub claims: String,
    /// What the gateway found in the files; its digest is in the statements that people signed.
    pub report: String,
    /// Of the keys that decided.
    pub enrolments: Vec<Enrolment>,
    /// Who the people are, where whoever made the bundle chose to say so. The installation says
    /// it; no entry of the log does.
    pub names: BTreeMap<PersonId, String>,
    /// The log's signature over everything before, a line as in a signed note.
    pub signature: String,
}

/// One approval that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Whose.
    pub person: PersonId,
    /// With which key.
    pub credential_id: CredentialId,
    /// When it was recorded.
    pub at: Timestamp,
    /// What they noted.
    pub note: Option<String>,
}

/// What a bundle shows.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The bundle.
    pub bundle: Bundle,
    /// The tree that its entries are in.
    pub tree: TreeHead,
    /// The decision before the last file was sent.
    pub authorised: Authorised,
    /// The approvals that made it.
    pub approvals: Vec<Approval>,
    /// When sending began.
    pub sent_at: Timestamp,
    /// What came of it.
    pub outcome: State,
}

/// Why a bundle shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// Longer than [`BUNDLE_MAX_BYTES`].
    #[error("expected a bundle of at most {BUNDLE_MAX_BYTES} bytes")]
    TooLarge,
    /// Not a bundle.
    #[error("expected an evidence bundle of format `{FORMAT}`: {0}")]
    Format(String),
    /// Not the encoding that the gateway writes, so some of it was changed.
    #[error("the bundle was changed: it is not in the encoding that gateways write")]
    Encoding,
    /// The bundle is not signed by the expected log.
    #[error("the bundle is not signed by the log `{log}`: {error}")]
    Signature {
        /// Which log was expected.
        log: String,
        /// What is wrong.
        error: NoteError,
    },
    /// The checkpoint is not one of the expected log.
    #[error("the checkpoint is not one of the expected log: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Not an entry.
    #[error("entry number {index} of the bundle is not an entry of a log")]
    Entry {
        /// Which, from zero.
        index: usize,
    },
    /// An entry is not in the log.
    #[error("entry {sequence} is not in the log")]
    NotInLog {
        /// Its position in the log.
        sequence: u64,
    },
    /// The log is of another installation than its entries.
    #[error("the entries are those of `{origin}`, the log is `{log}`")]
    OtherLog {
        /// Origin in the first entry.
        origin: String,
        /// Name of the log.
        log: String,
    },
    /// The claims are not those that the manifest names.
    #[error("the CI claims are not those that the release was sealed with")]
    Claims,
    /// The report is not the one that people approved over.
    #[error("the report is not the one that the release was approved over")]
    Report,
    /// Nothing was sent.
    #[error("the log does not say that anything of this release was sent")]
    NotSent,
    /// A file was sent although it was not authorised.
    #[error("entry {sequence} sent a file that was not authorised: {why}")]
    NotAuthorised {
        /// The entry that says that sending began.
        sequence: u64,
        /// Why it should not have been.
        why: NotAuthorised,
    },
}

impl Bundle {
    /// The bytes of the file, signed.
    pub fn sign(mut self, signer: &Signer) -> Vec<u8> {
        self.signature = signer.sign(&self.signed_text(), 0).to_string();
        super::canonical(&self)
    }

    /// What the log signs: the format and the digest of the file with an empty signature. A
    /// checkpoint has three lines, so neither is ever taken for the other.
    fn signed_text(&self) -> String {
        let unsigned = Self { signature: String::new(), ..self.clone() };
        format!("{FORMAT}\n{}\n", Sha256::of(&super::canonical(&unsigned)))
    }
}

/// Checks a bundle against the key of the log it should come from.
pub fn verify(bytes: &[u8], key: &VerifierKey) -> Result<Proven, Unproven> {
    let bundle = read(bytes, key)?;
    let (checkpoint, _) = Checkpoint::open(bundle.checkpoint.as_bytes(), key)?;
    let entries = entries(&bundle, &checkpoint.tree)?;
    let Some(Event::Genesis { origin, .. }) = entries.first().map(|entry| &entry.event) else {
        return Err(Unproven::Entry { index: 0 });
    };
    if log::name(origin).as_deref() != Some(key.name()) {
        return Err(Unproven::OtherLog { origin: origin.clone(), log: key.name().to_owned() });
    }
    let (authorised, sent_at) = authorised(&entries, bundle.release)?;
    if Sha256::of(bundle.claims.as_bytes()) != authorised.manifest().manifest().claims_sha256 {
        return Err(Unproven::Claims);
    }
    if Sha256::of(bundle.report.as_bytes()) != authorised.report_sha256() {
        return Err(Unproven::Report);
    }
    Ok(Proven {
        tree: checkpoint.tree,
        approvals: approvals(&entries, &authorised),
        outcome: outcome(&entries, bundle.release),
        authorised,
        sent_at,
        bundle,
    })
}

/// Reads a bundle; not one bit of it may be another than what was signed.
fn read(bytes: &[u8], key: &VerifierKey) -> Result<Bundle, Unproven> {
    if bytes.len() > BUNDLE_MAX_BYTES {
        return Err(Unproven::TooLarge);
    }
    let bundle: Bundle =
        serde_json::from_slice(bytes).map_err(|error| Unproven::Format(error.to_string()))?;
    if bundle.format != FORMAT {
        return Err(Unproven::Format(format!("received format `{}`", bundle.format)));
    }
    if super::canonical(&bundle) != bytes {
        return Err(Unproven::Encoding);
    }
    let unsigned = |error| Unproven::Signature { log: key.name().to_owned(), error };
    let line = SignatureLine::parse(&bundle.signature).map_err(unsigned)?;
    if line.to_string() != bundle.signature {
        return Err(Unproven::Encoding);
    }
    Note::new(bundle.signed_text(), line).verify(key).map_err(unsigned)?;
    Ok(bundle)
}

fn entries(bundle: &Bundle, tree: &TreeHead) -> Result<Vec<LogEntry>, Unproven> {
    let proven = bundle.entries.iter().enumerate().map(|(index, proven)| {
        let body = proven.body.as_bytes();
        let entry = LogEntry::from_bytes(body).ok_or(Unproven::Entry { index })?;
        let (sequence, leaf) = (entry.sequence, leaf_hash(&entry.leaf(body).to_bytes()));
        if !includes(tree, sequence, leaf, &proven.proof) {
            return Err(Unproven::NotInLog { sequence });
        }
        Ok(entry)
    });
    proven.collect()
}

/// Repeats the decision before each file that was sent, with the log as it was then. Returns the
/// last one, and when the first file was sent.
fn authorised(
    entries: &[LogEntry],
    release: ReleaseId,
) -> Result<(Authorised, Timestamp), Unproven> {
    let mut first = None;
    let mut last = None;
    for (index, entry) in entries.iter().enumerate() {
        let Event::ForwardStarted { release: about, .. } = &entry.event else { continue };
        if *about != release {
            continue;
        }
        // The checkpoint says which log this is, so what the log says of itself is taken.
        let log = &entries[..index];
        let decided = Trust::of(log)
            .map_err(NotAuthorised::from)
            .and_then(|trust| authorise(log, trust, release, entry.at));
        let sequence = entry.sequence;
        last = Some(decided.map_err(|why| Unproven::NotAuthorised { sequence, why })?);
        first.get_or_insert(entry.at);
    }
    last.zip(first).ok_or(Unproven::NotSent)
}

fn approvals(entries: &[LogEntry], authorised: &Authorised) -> Vec<Approval> {
    let release = authorised.manifest().manifest().release;
    let counted = authorised.quorum().counted();
    let approval = |entry: &LogEntry| {
        let Event::Decided { release: about, decision } = &entry.event else { return None };
        let counts = *about == release
            && decision.verdict == Verdict::Approve
            && counted.contains(&decision.person);
        let statement = Statement::from_bytes(decision.statement.as_bytes())?;
        counts.then(|| Approval {
            person: decision.person,
            credential_id: decision.assertion.credential_id().clone(),
            at: entry.at,
            note: statement.reason,
        })
    };
    entries.iter().filter_map(approval).collect()
}

fn outcome(entries: &[LogEntry], release: ReleaseId) -> State {
    let after = |state, entry: &LogEntry| match entry.event {
        Event::ForwardStarted { .. } => State::Forwarding,
        Event::ReleaseConfirming { .. } => State::Confirming,
        Event::ReleasePublished { .. } => State::Published,
        Event::ReleasePartlyPublished { .. } => State::Partial,
        Event::ReleaseFailed { .. } => State::Failed,
        _ => state,
    };
    let own = entries.iter().filter(|entry| entry.event.release() == Some(release));
    own.fold(State::Approved, after)
}
