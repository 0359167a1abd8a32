//! `countersign inspect`: what changed between two artifacts, and what of it to look at.
//!
//! Opens two files, gives up every other right, and reads them. The gateway starts the same command
//! with a task instead of files ([`child`]).

mod child;
mod diff;
mod sandbox;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::domain::artifact::{Facts, Filename};
use crate::domain::package::{Ecosystem, PackageName, Version};
use crate::domain::review::checks::{self, Position};
use crate::domain::review::compared::Extent;
use crate::domain::review::delta::{Comparison, FileChange, Member};
use crate::domain::review::diff::{Counts, FileDiff, Wanted};
use crate::domain::review::finding::Finding;
use crate::domain::review::survey::Survey;
use crate::inspect::reading::{self, Origin};
use crate::inspect::request::{Artifact, Bounds, READING, Standing, Unreadable};
use crate::inspect::survey::{Source, survey, survey_baseline};
use crate::inspect::{Failure, Limits};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Says what changed between the version people run today and a candidate. Nothing is unpacked, run
/// or sent.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// An npm tarball (`.tgz`), a wheel, or an sdist under its own name
    #[arg(required_unless_present = "child")]
    candidate: Option<PathBuf>,
    /// The version to compare it with; without one everything is new
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Files and members of the manifest that are listed at most, of each
    #[arg(long, default_value_t = 200)]
    list: usize,
    /// Prints the difference of one file inside, by its path, instead; all of it without a baseline
    #[arg(long, value_name = "PATH")]
    diff: Option<String>,
    /// A task of the gateway
    #[arg(long, hide = true, value_name = "TASK", exclusive = true)]
    child: Option<String>,
}

/// Surveys, compares and prints.
pub fn run(arguments: &Inspect) -> Result<(), Failed> {
    if let Some(task) = &arguments.child {
        return child::run(task);
    }
    let open = |path: &PathBuf| Opened::new(&named(path)?);
    let candidate = arguments.candidate.as_ref().map(open).transpose()?;
    let candidate = candidate.ok_or("expected a file to inspect, received none")?;
    let baseline = arguments.baseline.as_ref().map(open).transpose()?;
    let sandbox = sandbox::enter(Bounds::default())?;
    if !sandbox.is_whole() {
        tracing::warn!("reading with less protection: {}", sandbox.sentences().join("; "));
    }
    if let Some(path) = &arguments.diff {
        return diff::print(&candidate, baseline.as_ref(), path);
    }
    let candidate = candidate.survey(None)?;
    let baseline = baseline.as_ref().map(|it| it.survey(Some(&candidate))).transpose()?;
    let comparison = Comparison { baseline: baseline.as_ref(), candidate: &candidate };
    let newest = baseline.as_ref().map(|survey| identity(&survey.facts).2.to_owned());
    let position = position(&candidate, &Standing { newest, ..Standing::default() });
    let findings = checks::findings(&comparison, &position);
    print(&mut std::io::stdout().lock(), &comparison, &findings, arguments.list)?;
    Ok(())
}

fn named(path: &Path) -> Result<Artifact, Failed> {
    let filename = path.file_name().and_then(|name| name.to_str());
    let filename = filename
        .ok_or_else(|| format!("expected the name of a file, received `{}`", path.display()))?;
    Ok(Artifact::new(path, filename))
}

/// A file on its way into the sandbox, where none can be opened any more.
struct Opened {
    artifact: Artifact,
    file: File,
    /// Its number among those of a task, to be said when reading begins.
    number: Option<usize>,
}

impl Opened {
    fn new(artifact: &Artifact) -> Result<Self, Failed> {
        let file = File::open(&artifact.path)
            .map_err(|error| format!("`{}` cannot be read: {error}", artifact.path.display()))?;
        Ok(Self { artifact: artifact.clone(), file, number: None })
    }

    /// Surveys it by itself, or as the baseline of a candidate. Fails with [`Unreadable`] when the bytes
    /// are to blame.
    fn survey(&self, candidate: Option<&Survey>) -> Result<Survey, Failed> {
        if let Some(number) = self.number {
            writeln!(std::io::stderr(), "{READING}{number}")?;
        }
        let name = self.python()?;
        let Origin { file, source } = self.origin(name.as_ref());
        let limits = Limits::default();
        let surveyed = match candidate {
            Some(candidate) => survey_baseline(file, source, &limits, candidate),
            None => survey(file, source, &limits),
        };
        if self.number.is_some() {
            writeln!(std::io::stderr(), "{READING}none")?;
        }
        surveyed.map_err(|failure| self.failed(failure))
    }

    /// How many rows of each file differ from those of the baseline.
    fn counts(
        &self,
        baseline: &Self,
        comparison: &Comparison<'_>,
    ) -> Result<BTreeMap<String, Counts>, Failed> {
        let (new, old) = (self.python()?, baseline.python()?);
        let (after, before) = (self.origin(new.as_ref()), baseline.origin(old.as_ref()));
        let counted = reading::counts(after, before, comparison, &Limits::default());
        counted.map_err(|failure| self.failed(failure))
    }

    /// The name of a Python file, which says what is in it; `None` for an npm tarball.
    fn python(&self) -> Result<Option<Filename>, Failed> {
        let filename = &self.artifact.filename;
        if Path::new(filename).extension().is_some_and(|end| end == "tgz") {
            return Ok(None);
        }
        let parsed = Filename::parse(&spelled_anew(filename));
        Ok(Some(parsed.map_err(|error| self.unreadable(error.to_string()))?))
    }

    /// What is read, and as what.
    fn origin<'a>(&'a self, python: Option<&'a Filename>) -> Origin<'a, &'a File> {
        let source = python.map_or(Source::Npm, Source::Python);
        Origin { file: &self.file, source }
    }

    fn unreadable(&self, why: String) -> Unreadable {
        Unreadable { filename: self.artifact.filename.clone(), why }
    }

    fn failed(&self, failure: Failure) -> Failed {
        match failure {
            Failure::Refused(refusal) => self.unreadable(refusal.to_string()).into(),
            Failure::Fault(error) => error.into(),
        }
    }
}

/// One file of two artifacts, or all of it without a baseline; `None` when neither has it.
fn file_diff(
    candidate: &Opened,
    baseline: Option<&Opened>,
    wanted: &Wanted,
) -> Result<Option<FileDiff>, Failed> {
    let new = candidate.python()?;
    let old = baseline.map(Opened::python).transpose()?.flatten();
    let after = candidate.origin(new.as_ref());
    let before = baseline.map(|opened| opened.origin(old.as_ref()));
    let read = reading::file(after, before, wanted, &Limits::default());
    read.map_err(|failure| candidate.failed(failure))
}

/// The file name with its project in the canonical spelling, which older tools did not use.
fn spelled_anew(filename: &str) -> String {
    let stem = filename.strip_suffix(".tar.gz").and_then(|stem| stem.rsplit_once('-'));
    let project = match stem {
        Some((project, _)) => project,
        None => filename.split('-').next().unwrap_or_default(),
    };
    let spelled = PackageName::parse(Ecosystem::Pypi, project)
        .map_or_else(|_| project.to_owned(), |name| name.pypi_file_stem());
    format!("{spelled}{}", &filename[project.len()..])
}

fn position(candidate: &Survey, standing: &Standing) -> Position {
    let (ecosystem, _, version) = identity(&candidate.facts);
    let parsed = |version: &str| Version::parse(ecosystem, version).ok();
    Position {
        version: parsed(version),
        newest: standing.newest.as_deref().and_then(parsed),
        dist_tag: standing.dist_tag.clone(),
        ecosystem: Some(ecosystem),
    }
}

fn identity(facts: &Facts) -> (Ecosystem, &str, &str) {
    match facts {
        Facts::Npm(facts) => (Ecosystem::Npm, &facts.name, &facts.version),
        Facts::Pypi(facts) => (Ecosystem::Pypi, &facts.name, &facts.version),
    }
}

fn print(
    out: &mut impl Write,
    comparison: &Comparison<'_>,
    findings: &[Finding],
    list: usize,
) -> std::io::Result<()> {
    let (_, name, version) = identity(&comparison.candidate.facts);
    match comparison.baseline.map(|baseline| identity(&baseline.facts)) {
        Some((_, other, before)) if other == name => {
            writeln!(out, "{name} {version}, compared with {before}")?;
        }
        Some((_, other, before)) => {
            writeln!(out, "{name} {version}, compared with {other} {before}")?;
        }
        None => writeln!(out, "{name} {version}, compared with nothing: all of it is new")?,
    }
    let (files, members) = (comparison.files(), comparison.members());
    writeln!(
        out,
        "\n{} file(s) and {} member(s) of the manifest differ",
        files.len(),
        members.len()
    )?;
    if comparison.baseline.is_some() {
        for member in members.iter().take(list) {
            writeln!(out, "  {}", told(member))?;
        }
        for change in files.iter().take(list) {
            writeln!(out, "  {}", line(change))?;
        }
        let left = files.len().saturating_sub(list) + members.len().saturating_sub(list);
        if left > 0 {
            writeln!(out, "  and {left} more")?;
        }
    }
    writeln!(out, "\n{} thing(s) to look at", findings.len())?;
    for finding in findings {
        writeln!(out, "{finding}\n    {}", finding.check.why)?;
    }
    let looked = Extent::of(comparison.candidate);
    let assurance = checks::assurance(looked, findings.iter());
    writeln!(out, "\n{assurance} Nothing was compared with the source repository.")
}

fn told(member: &Member) -> String {
    let value = |value: &Option<String>| match value {
        Some(text) => text.chars().take(120).flat_map(char::escape_debug).collect(),
        None => "(none)".to_owned(),
    };
    let key = member.key.escape_debug();
    format!("{key}: {} → {}", value(&member.before), value(&member.after))
}

fn line(change: &FileChange<'_>) -> String {
    match change {
        FileChange::Added(file) => {
            format!("+ {} {} bytes", file.path.escape_debug(), file.size_bytes)
        }
        FileChange::Removed(file) => {
            format!("- {} {} bytes", file.path.escape_debug(), file.size_bytes)
        }
        FileChange::Changed(before, after) => format!(
            "~ {} {} → {} bytes",
            after.path.escape_debug(),
            before.size_bytes,
            after.size_bytes
        ),
    }
}
