//! SRC-11: what an attestation proves about a file, beside what the token of CI said.
//!
//! The provenance adapter turns an attestation into [`Attested`], after every signature held, or into
//! [`Broken`]. What follows from either is decided here. Provenance says which run built a file and
//! nothing about whether the file is good: it is a precondition, never an approval.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::claims::{ABSENT, Claims, GitHubClaims, GitLabClaims, Provider};
use crate::domain::digest::Sha256;
use crate::domain::package::Ecosystem;
use crate::domain::review::finding::{Check, Finding, Severity, Since};

/// The checks of this file, for documentation.
pub const CHECKS: &[Check] = &[WRONG, LOST, UNEVEN];

const WRONG: Check = Check {
    id: "SRC-11",
    title: "Provenance that does not hold",
    why: "It is about another file, commit or run, or nobody trustworthy signed it.",
};
const LOST: Check = Check {
    id: "SRC-11",
    title: "No provenance, which the version people run today has",
    why: "Stolen tokens publish without the CI run that used to vouch for the files.",
};
const UNEVEN: Check = Check {
    id: "SRC-11",
    title: "A file without provenance among files that have it",
    why: "It may come from elsewhere than the others.",
};

/// What a verified attestation says. Text of the certificate and the log, cut by the adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The one subject of the statement.
    pub subject: String,
    /// What the statement is about the subject, an address.
    pub predicate_type: String,
    /// The certificate's subject alternative name: for CI the workflow that signed.
    pub identity: String,
    /// Who vouched for the identity: the `iss` of the token the certificate was given for.
    pub issuer: String,
    /// The run the certificate was given to.
    pub run: AttestedRun,
    /// The name of the log that has the entry.
    pub log: String,
    /// The number of the entry.
    pub log_index: u64,
    /// The earliest time at which somebody trusted saw the signature.
    pub logged_at: Timestamp,
}

/// The CI run a certificate was given to. A certificate of a person has nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestedRun {
    /// Address of the repository.
    pub repository: Option<String>,
    /// The provider's unchanging id of the repository.
    pub repository_id: Option<String>,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// The ref it was built from.
    pub git_ref: Option<String>,
    /// Address and ref of the workflow that was started; the identity may be one that it calls.
    pub workflow: Option<String>,
    /// Address of the run.
    pub run: Option<String>,
}

/// A link of the chain from the file to the release that was staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The statement is about this file, by name and digest.
    Subject,
    /// The statement is signed with a key that a trusted authority certified.
    Certificate,
    /// The signature is in a trusted log, made while the certificate was valid.
    Log,
    /// The certificate was given to a CI run.
    Run,
    /// That is the run whose token staged the release.
    Claims,
}

impl Link {
    /// In the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Subject, Self::Certificate, Self::Log, Self::Run, Self::Claims];
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "file",
            Self::Certificate => "certificate",
            Self::Log => "log",
            Self::Run => "CI run",
            Self::Claims => "CI token",
        })
    }
}

/// Why an attestation proves nothing: the first link that does not hold, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{link}: {words}")]
pub struct Broken {
    /// Where the chain breaks.
    pub link: Link,
    /// What was expected and what came, untrusted text included, cut.
    pub words: String,
}

/// How a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Verified.
    Holds,
    /// Nobody looked, or there is nothing to compare.
    NotChecked,
    /// Verified, with the result that it is wrong.
    Broken,
}

/// One link and what can be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which link.
    pub link: Link,
    /// How it stands.
    pub standing: Standing,
    /// In words, untrusted text included.
    pub words: String,
}

/// The chain of one attestation, link by link, in the order of [`Link::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// What was attested, where the chain holds so far that this can be said.
    pub predicate_type: Option<String>,
    /// The links.
    pub steps: Vec<Step>,
}

impl Chain {
    /// Whether no link is broken.
    pub fn holds(&self) -> bool {
        self.steps.iter().all(|step| step.standing != Standing::Broken)
    }

    /// A chain of which nothing was looked at, and why.
    pub fn not_checked(because: &str) -> Self {
        let step = |link| Step { link, standing: Standing::NotChecked, words: because.to_owned() };
        Self { predicate_type: None, steps: Link::ALL.map(step).into() }
    }
}

/// What is known of one file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProvenance {
    /// Its name at the registry.
    pub name: String,
    /// One chain per attestation; empty when CI sent none.
    pub chains: Vec<Chain>,
}

/// What is known of a release, in a form to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Digest of the trust root it was verified with, so that anybody can do it again; none when
    /// nothing was verified.
    pub trust_root: Option<Sha256>,
    /// Every file of the release.
    pub files: Vec<FileProvenance>,
}

/// What the version people run today has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// There is no such version.
    FirstRelease,
    /// The registry does not say, or could not be read.
    Unknown,
    /// It has provenance.
    Had,
    /// It has none.
    HadNone,
}

/// Judges one attestation of a file against the claims of the run that staged it.
pub fn judge(
    file: &str,
    attestation: &Result<Attested, Broken>,
    claims: &Claims,
) -> (Chain, Vec<Finding>) {
    let attested = match attestation {
        Ok(attested) => attested,
        Err(broken) => {
            let found = finding(&WRONG, Severity::Block, file, &broken.to_string());
            return (broken_chain(broken), vec![found]);
        }
    };
    let disagreements = compare(attested, claims);
    let found = disagreements
        .iter()
        .flatten()
        .map(|disagreement| finding(&WRONG, disagreement.severity, file, &disagreement.to_string()))
        .collect();
    let steps = vec![
        holds(Link::Subject, format!("The statement is about {}", attested.subject)),
        holds(Link::Certificate, format!("Certified for {}", attested.identity)),
        holds(
            Link::Log,
            format!("Entry {} of {}, {}", attested.log_index, attested.log, attested.logged_at),
        ),
        run_step(&attested.run),
        claims_step(disagreements.as_deref()),
    ];
    (Chain { predicate_type: Some(attested.predicate_type.clone()), steps }, found)
}

/// What follows from files of a release that have no attestations.
pub fn missing(files: &[FileProvenance], before: Before, ecosystem: Ecosystem) -> Vec<Finding> {
    let without: Vec<_> = files.iter().filter(|file| file.chains.is_empty()).collect();
    if without.len() < files.len() {
        let uneven = |file: &&FileProvenance| finding(&UNEVEN, Severity::Look, &file.name, "");
        return without.iter().map(uneven).collect();
    }
    // A token upload to such a registry never carries any, so the loss says nothing about CI (Q2).
    let severity = match ecosystem {
        Ecosystem::Npm => Severity::Block,
        Ecosystem::Pypi => Severity::Note,
    };
    match before {
        Before::Had => vec![Finding::new(&LOST, severity, Since::New, "")],
        Before::FirstRelease | Before::Unknown | Before::HadNone => Vec::new(),
    }
}

/// The attestation says one thing and the token of CI another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Disagreement {
    about: &'static str,
    attested: String,
    claimed: String,
    severity: Severity,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: attested {}, staged by {}", self.about, self.attested, self.claimed)
    }
}

/// Where attestation and claims differ; `None` when the claims name nothing that could be compared.
fn compare(attested: &Attested, claims: &Claims) -> Option<Vec<Disagreement>> {
    let mut told = Disagreements::default();
    told.same("issuer", Some(&attested.issuer), claims.issuer_url());
    match claims.provider() {
        Provider::GitHub(claims) => compare_github(attested, claims, &mut told),
        Provider::GitLab(claims) => compare_gitlab(attested, claims, &mut told),
        // Nobody here knows what the claims of another issuer mean.
        Provider::Generic(_) if told.0.is_empty() => return None,
        Provider::Generic(_) => {}
    }
    Some(told.0)
}

fn compare_github(attested: &Attested, claims: &GitHubClaims, told: &mut Disagreements) {
    let run = &attested.run;
    told.repository(run, &claims.repository, &claims.repository_id);
    told.same("commit", run.commit.as_deref(), &claims.sha);
    told.same("ref", run.git_ref.as_deref(), &claims.git_ref);
    // The host is the issuer's affair; claims of GitHub name none.
    if path(&attested.identity) != Some(claims.job_workflow_ref.as_str()) {
        // A job may have been signed for inside a workflow that the staged one calls.
        let called = run.workflow.as_deref().and_then(path) == Some(claims.workflow_ref.as_str());
        let severity = if called { Severity::Look } else { Severity::Block };
        told.add("workflow", Some(&attested.identity), &claims.job_workflow_ref, severity);
    }
    // A later attempt may send what an earlier one attested (O22 shows the attempt).
    let runs = format!("{}/actions/runs/{}/attempts/", claims.repository, claims.run_id);
    let same = run.run.as_deref().and_then(path).is_some_and(|path| path.starts_with(&runs));
    if !same {
        told.add("run", run.run.as_deref(), &claims.run_id, Severity::Look);
    }
}

fn compare_gitlab(attested: &Attested, claims: &GitLabClaims, told: &mut Disagreements) {
    let run = &attested.run;
    told.repository(run, &claims.project_path, &claims.project_id);
    told.same("commit", run.commit.as_deref(), &claims.sha);
    told.same("ref", run.git_ref.as_deref(), &claims.ref_path);
    let definition = claims.ci_config_ref_uri.as_deref().unwrap_or(ABSENT);
    if attested.identity.strip_prefix("https://") != Some(definition) {
        told.add("pipeline definition", Some(&attested.identity), definition, Severity::Block);
    }
    // The certificate names the job and not the pipeline, and another job may have signed.
    let job = claims.job_id.as_deref().unwrap_or(ABSENT);
    let same = format!("{}/-/jobs/{job}", claims.project_path);
    if run.run.as_deref().and_then(path) != Some(same.as_str()) {
        told.add("job", run.run.as_deref(), job, Severity::Look);
    }
}

#[derive(Debug, Default)]
struct Disagreements(Vec<Disagreement>);

impl Disagreements {
    fn add(
        &mut self,
        about: &'static str,
        attested: Option<&str>,
        claimed: &str,
        severity: Severity,
    ) {
        let attested = attested.unwrap_or(ABSENT).to_owned();
        self.0.push(Disagreement { about, attested, claimed: claimed.to_owned(), severity });
    }

    fn same(&mut self, about: &'static str, attested: Option<&str>, claimed: &str) {
        if attested != Some(claimed) {
            self.add(about, attested, claimed, Severity::Block);
        }
    }

    /// By the id, which stays when a repository is renamed and is not given to another of its name.
    fn repository(&mut self, run: &AttestedRun, name: &str, id: &str) {
        if run.repository_id.as_deref() != Some(id) {
            let attested = run.repository_id.as_deref().unwrap_or(ABSENT);
            let repository = run.repository.as_deref().unwrap_or(ABSENT);
            let attested = format!("{repository} (id {attested})");
            let claimed = format!("{name} (id {id})");
            self.add("repository", Some(&attested), &claimed, Severity::Block);
        }
    }
}

/// The part of an address behind the host.
fn path(address: &str) -> Option<&str> {
    address.strip_prefix("https://")?.split_once('/').map(|(_, path)| path)
}

fn holds(link: Link, words: String) -> Step {
    Step { link, standing: Standing::Holds, words }
}

fn run_step(run: &AttestedRun) -> Step {
    let Some(repository) = &run.repository else {
        let words = "The certificate names no CI run".to_owned();
        return Step { link: Link::Run, standing: Standing::NotChecked, words };
    };
    let mut words = repository.clone();
    for (joined, value) in [(" at ", &run.commit), (", ", &run.git_ref), (", ", &run.run)] {
        if let Some(value) = value {
            words.push_str(joined);
            words.push_str(value);
        }
    }
    holds(Link::Run, words)
}

fn claims_step(disagreements: Option<&[Disagreement]>) -> Step {
    let (standing, words) = match disagreements {
        None => (
            Standing::NotChecked,
            "The claims of this issuer name no repository, commit and workflow to compare"
                .to_owned(),
        ),
        Some([]) => (Standing::Holds, "It is the run that staged the release".to_owned()),
        Some(told) => {
            let all: Vec<String> = told.iter().map(ToString::to_string).collect();
            let all = all.join("; ");
            if told.iter().any(|one| one.severity == Severity::Block) {
                (Standing::Broken, all)
            } else {
                (Standing::Holds, format!("It is of the same repository and commit, but {all}"))
            }
        }
    };
    Step { link: Link::Claims, standing, words }
}

/// Only the broken link was seen; what the others say rests on an attestation that does not hold.
fn broken_chain(broken: &Broken) -> Chain {
    let because = format!("Not checked, since the {} does not hold", broken.link);
    let mut chain = Chain::not_checked(&because);
    for step in &mut chain.steps {
        if step.link == broken.link {
            step.standing = Standing::Broken;
            step.words.clone_from(&broken.words);
        }
    }
    chain
}

fn finding(check: &'static Check, severity: Severity, file: &str, evidence: &str) -> Finding {
    Finding::new(check, severity, Since::New, evidence).at(file, None)
}
