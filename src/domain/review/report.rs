//! The report: what the gateway found in a sealed release, and what that asks of those who approve.
//!
//! Its bytes are kept beside the release; the log has their digest and the names of what has to be
//! answered ([`Inspection`]), and every approval names the digest. An inspection that could not be
//! carried out is a finding like any other, so a report without findings means that everything it
//! lists was looked at.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;
use crate::domain::ids::{PersonId, ReleaseId};
use crate::domain::manifest::SealedManifest;
use crate::domain::review::checks::{self, inspection};
use crate::domain::review::compared::{Extent, Tally};
use crate::domain::review::finding::{Finding, Severity, Since};
use crate::domain::review::provenance::Provenance;
use crate::domain::review::survey::place;

/// The only value of [`Report::format`].
pub const FORMAT: &str = "countersign/report/v1";
/// Most blocks and looks of one report. Nobody ticks more than that with their eyes open; what is
/// beyond them is one block that says how many.
pub const ASKED_MAX: usize = 100;
/// Most notes of one report; the others are counted.
pub const NOTES_MAX: usize = 200;
/// Longest name of a finding, without the number that tells it from others, in characters.
pub const NAME_MAX: usize = 120;
/// Longest sentence about what was not checked, in characters.
pub const SENTENCE_MAX: usize = 300;
/// Most sentences about what was not checked.
pub const SENTENCES_MAX: usize = 50;
/// Most attestations of one file; PyPI takes no more than two.
pub const CHAINS_MAX: usize = 8;
/// Longest words about one link of a chain, in characters.
pub const WORDS_MAX: usize = 1_000;

/// What one artifact was compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Against {
    /// A version that people run today.
    Baseline {
        /// The version.
        version: String,
        /// The file name at the registry.
        file: String,
        /// The content address.
        sha256: Sha256,
    },
    /// Nothing, so that everything counts as new.
    Nothing {
        /// Why, as what follows "Compared with".
        why: String,
    },
}

/// One file of the release and what it was compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedArtifact {
    /// The file name at the registry.
    pub name: String,
    /// The content address.
    pub sha256: Sha256,
    /// What it was compared with.
    pub against: Against,
    /// What changed in it, in numbers; `None` when it could not be read.
    pub tally: Option<Tally>,
}

/// What looking at a sealed release gave, before it is a [`Report`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Every file of it.
    pub artifacts: Vec<ReportedArtifact>,
    /// What was found.
    pub found: Vec<Found>,
    /// What CI attached to the files.
    pub provenance: Provenance,
    /// See [`Report::source_sha256`].
    pub source_sha256: Option<Sha256>,
    /// What nobody looked at and why, as sentences.
    pub not_checked: Vec<String>,
}

/// A finding before it has a place in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In which artifact; `None` when it is about the whole release.
    pub artifact: Option<String>,
    /// Digest of the file that it is in, where it is in one.
    pub sha256: Option<Sha256>,
    /// The finding.
    pub finding: Finding,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        Self { artifact: None, sha256: None, finding }
    }
}

/// One finding of a report, in the words that people read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedFinding {
    /// Tells it from every other finding of the report: check and place, in printable ASCII.
    pub name: String,
    /// Of which check.
    pub check: String,
    /// What was found.
    pub title: String,
    /// What it means for those who install the package.
    pub why: String,
    /// What it asks.
    pub severity: Severity,
    /// In which files of the release; none when it is about all of it.
    pub artifacts: Vec<String>,
    /// In which file inside.
    pub file: Option<String>,
    /// In which line of it, from 1.
    pub line: Option<u32>,
    /// The thing itself: untrusted text, cut.
    pub evidence: String,
    /// Against the baseline.
    pub since: Since,
    /// Digest of the file inside.
    pub sha256: Option<Sha256>,
    /// What it would ask, had the same not been accepted in the last release.
    pub lowered_from: Option<Severity>,
}

/// The last approved release of a package, whose findings people accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Which release.
    pub release: ReleaseId,
    /// Its version.
    pub version: String,
    /// Whose approvals counted.
    pub by: BTreeSet<PersonId>,
    /// What was found in it.
    pub findings: Vec<ReportedFinding>,
}

/// How many findings ask less than they would, because people accepted the same before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lowered {
    /// How many.
    pub count: u32,
    /// In which release they were accepted.
    pub release: ReleaseId,
    /// Its version.
    pub version: String,
    /// By whom.
    pub by: BTreeSet<PersonId>,
}

/// What was found in a sealed release. Field order is the encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// About which release.
    pub release: ReleaseId,
    /// Digest of its manifest.
    pub manifest_sha256: Sha256,
    /// Every file of it, sorted by name.
    pub artifacts: Vec<ReportedArtifact>,
    /// What CI attached to each file, link by link.
    pub provenance: Provenance,
    /// Digest of what the source repository and the closure of the CI run were found to be, when
    /// they were looked at.
    pub source_sha256: Option<Sha256>,
    /// What was found, the gravest first.
    pub findings: Vec<ReportedFinding>,
    /// Notes that are not listed: about what stands as it did in the baseline, or beyond
    /// [`NOTES_MAX`].
    pub unlisted: u32,
    /// What was accepted before, if anything was.
    pub lowered: Option<Lowered>,
    /// What was looked for in every file and is not new, in one line; `None` when one of them could
    /// not be read.
    pub assurance: Option<String>,
    /// What nobody looked at and why, as sentences.
    pub not_checked: Vec<String>,
}

impl Report {
    /// Puts findings in order, names them and lowers what was accepted before. The same inputs
    /// always make the same report.
    pub fn new(manifest: &SealedManifest, gathered: Gathered, accepted: Option<&Accepted>) -> Self {
        let Gathered { mut artifacts, found, provenance, source_sha256, not_checked } = gathered;
        artifacts.sort_by(|a, b| a.name.cmp(&b.name));
        let assurance = assurance(&artifacts, &found);
        let mut findings = merged(found);
        let lowered = accepted.and_then(|accepted| lower(&mut findings, accepted));
        let (mut notes, mut asked): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|finding| finding.severity == Severity::Note);
        asked.sort_by_key(|it| (Reverse(it.severity), checks::urgency(&it.check)));
        if asked.len() > ASKED_MAX {
            let more = asked.len() - (ASKED_MAX - 1);
            asked.truncate(ASKED_MAX - 1);
            asked.insert(0, unnamed(inspection::too_many(more).into()));
        }
        let all = notes.len();
        notes.retain(|note| note.since != Since::Unchanged || note.lowered_from.is_some());
        notes.truncate(NOTES_MAX);
        let unlisted = u32::try_from(all - notes.len()).unwrap_or(u32::MAX);
        asked.append(&mut notes);
        let cut = |sentence: &String| sentence.chars().take(SENTENCE_MAX).collect();
        Self {
            format: FORMAT.to_owned(),
            release: manifest.manifest().release,
            manifest_sha256: manifest.digest(),
            artifacts,
            provenance: cut_short(provenance),
            source_sha256,
            findings: named(asked),
            unlisted,
            lowered,
            assurance,
            not_checked: not_checked.iter().take(SENTENCES_MAX).map(cut).collect(),
        }
    }

    /// The exact bytes: UTF-8 JSON without white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        crate::domain::canonical(self)
    }

    /// Reads a report back; `None` when the bytes are not one of this format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let report: Self = serde_json::from_slice(bytes).ok()?;
        (report.format == FORMAT && report.to_bytes() == bytes).then_some(report)
    }

    /// What it asks of those who approve.
    pub fn inspection(&self) -> Inspection {
        let names = |severity| self.of(severity).map(|finding| finding.name.clone()).collect();
        Inspection {
            report_sha256: Sha256::of(&self.to_bytes()),
            blocks: names(Severity::Block),
            looks: names(Severity::Look),
        }
    }

    /// The findings of a severity.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &ReportedFinding> {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }

    /// Whether what people run today could not be read, so that nobody knows what is new.
    pub fn is_baseline_unread(&self) -> bool {
        self.findings.iter().any(|finding| inspection::is_no_baseline(&finding.check))
    }

    /// Whether something could not be inspected, or not be compared with what people run today, so
    /// that it may be worth another try.
    pub fn is_incomplete(&self) -> bool {
        self.findings.iter().any(|finding| inspection::is_failure(&finding.check))
    }
}

/// Why a person approves although a finding blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The finding's name.
    pub finding: String,
    /// In their words.
    pub words: String,
}

/// What the log keeps of a report: what those who approve have to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Digest of the report.
    pub report_sha256: Sha256,
    /// Names of the findings that are overridden in words, or nothing is approved.
    pub blocks: BTreeSet<String>,
    /// Names of the findings that are ticked one by one.
    pub looks: BTreeSet<String>,
}

/// How an approval does not answer a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// A finding was not ticked.
    #[error("`{0}` is to be looked at and is not ticked")]
    Look(String),
    /// A block was not overridden.
    #[error("`{0}` stops the approval and is not overridden in words")]
    Block(String),
    /// No such finding asks for such an answer.
    #[error("`{0}` is no finding of this report that asks for that")]
    Unknown(String),
}

impl Inspection {
    /// Whether something was found that people have to answer.
    pub fn has_findings(&self) -> bool {
        !self.blocks.is_empty() || !self.looks.is_empty()
    }

    /// Every name to tick, and every block with the words still to be said.
    pub fn to_answer(&self) -> (Vec<String>, Vec<Override>) {
        let open = |finding: &String| Override { finding: finding.clone(), words: String::new() };
        (self.looks.iter().cloned().collect(), self.blocks.iter().map(open).collect())
    }

    /// Whether an approval ticks exactly what is to be looked at and overrides exactly what
    /// blocks, each once and in words.
    pub fn check(&self, looked_at: &[String], overrides: &[Override]) -> Result<(), Unanswered> {
        let words = |given: &&Override| given.words.chars().any(|c| c > ' ');
        let overridden = overrides.iter().filter(words).map(|given| &given.finding);
        if let Some(name) = first_without(&self.blocks, overridden) {
            return Err(Unanswered::Block(name));
        }
        if let Some(name) = first_without(&self.looks, looked_at.iter()) {
            return Err(Unanswered::Look(name));
        }
        let mut seen = BTreeSet::new();
        let strange = |(name, among): &(&String, &BTreeSet<String>)| {
            !among.contains(*name) || !seen.insert((*name).clone())
        };
        let overridden = overrides.iter().map(|given| (&given.finding, &self.blocks));
        let mut given = overridden.chain(looked_at.iter().map(|name| (name, &self.looks)));
        match given.find(strange) {
            Some((name, _)) => Err(Unanswered::Unknown(name.clone())),
            None => Ok(()),
        }
    }
}

/// The line about all files of a release.
fn assurance(artifacts: &[ReportedArtifact], found: &[Found]) -> Option<String> {
    let read: Option<Vec<&Tally>> = artifacts.iter().map(|it| it.tally.as_ref()).collect();
    let read = read.filter(|read| !read.is_empty())?;
    let sum = |of: fn(&Extent) -> u64| read.iter().map(|tally| of(&tally.after)).sum();
    let looked = Extent {
        files: sum(|it| it.files),
        bytes: sum(|it| it.bytes),
        lines: sum(|it| it.lines),
        parsed: sum(|it| it.parsed),
    };
    Some(checks::assurance(looked, found.iter().map(|found| &found.finding)))
}

/// As much of the chains as is kept; they are in order of what CI sent.
fn cut_short(mut provenance: Provenance) -> Provenance {
    for file in &mut provenance.files {
        file.chains.truncate(CHAINS_MAX);
        for step in file.chains.iter_mut().flat_map(|chain| &mut chain.steps) {
            step.words = step.words.chars().take(WORDS_MAX).collect();
        }
    }
    provenance
}

fn first_without<'a>(
    asked: &BTreeSet<String>,
    given: impl Iterator<Item = &'a String>,
) -> Option<String> {
    let given: BTreeSet<&String> = given.collect();
    asked.iter().find(|name| !given.contains(name)).cloned()
}

/// The same in several artifacts is one finding: nobody ticks it once for every wheel.
fn merged(found: Vec<Found>) -> Vec<ReportedFinding> {
    let mut merged: Vec<ReportedFinding> = Vec::new();
    let mut known = BTreeMap::new();
    for one in found {
        let artifact = one.artifact.clone();
        let finding = unnamed(one);
        let at = *known.entry(identity(&finding)).or_insert_with(|| {
            merged.push(finding);
            merged.len() - 1
        });
        merged[at].artifacts.extend(artifact);
    }
    for finding in &mut merged {
        finding.artifacts.sort();
        finding.artifacts.dedup();
    }
    merged
}

fn identity(finding: &ReportedFinding) -> impl Ord + use<> {
    (
        (finding.check.clone(), finding.file.as_deref().map(place), finding.line),
        (
            finding.evidence.clone(),
            finding.sha256,
            finding.severity,
            format!("{:?}", finding.since),
        ),
    )
}

fn unnamed(Found { sha256, finding, .. }: Found) -> ReportedFinding {
    ReportedFinding {
        name: String::new(),
        check: finding.check.id.to_owned(),
        title: finding.check.title.to_owned(),
        why: finding.check.why.to_owned(),
        severity: finding.severity,
        artifacts: Vec::new(),
        file: finding.file,
        line: finding.line,
        evidence: finding.evidence,
        since: finding.since,
        sha256,
        lowered_from: None,
    }
}

/// What people accepted about a file and stands in the same file again asks nothing any more, as
/// often as they accepted it. Whatever is new or in other bytes asks as it would.
fn lower(findings: &mut [ReportedFinding], accepted: &Accepted) -> Option<Lowered> {
    let key = |finding: &ReportedFinding| {
        let file = place(finding.file.as_deref()?);
        Some((finding.check.clone(), file, finding.sha256?))
    };
    let asked = |finding: &&ReportedFinding| {
        finding.severity > Severity::Note || finding.lowered_from.is_some()
    };
    let mut left: BTreeMap<_, u32> = BTreeMap::new();
    for key in accepted.findings.iter().filter(asked).filter_map(key) {
        *left.entry(key).or_default() += 1;
    }
    let mut count = 0;
    for finding in findings {
        let stands = finding.since == Since::Unchanged && finding.severity > Severity::Note;
        let left = key(finding).filter(|_| stands).and_then(|key| left.get_mut(&key));
        let Some(left) = left.filter(|left| **left > 0) else { continue };
        *left -= 1;
        count += 1;
        finding.lowered_from = Some(finding.severity);
        finding.severity = Severity::Note;
    }
    (count > 0).then(|| Lowered {
        count,
        release: accepted.release,
        version: accepted.version.clone(),
        by: accepted.by.clone(),
    })
}

/// Gives every finding its name: check and place, and a number from the second of a name on.
fn named(mut findings: Vec<ReportedFinding>) -> Vec<ReportedFinding> {
    let mut taken = BTreeSet::new();
    for finding in &mut findings {
        let of = finding.file.as_deref().map_or_else(|| finding.evidence.clone(), place);
        let plain = |c: char| if c.is_ascii_graphic() { c } else { '_' };
        let of: String = of.chars().map(plain).take(NAME_MAX).collect();
        let name = match of.as_str() {
            "" => finding.check.clone(),
            of => format!("{}:{of}", finding.check),
        };
        let numbered = (2..).map(|number| format!("{name}#{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|it| !taken.contains(it));
        finding.name = free.unwrap_or(name);
        taken.insert(finding.name.clone());
    }
    findings
}
