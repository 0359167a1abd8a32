//! `countersign inspect`: what changed between two artifacts, and what of it to look at.
//!
//! Opens two files, gives up every other right, and reads them. The gateway starts the same command
//! with a task instead of files ([`child`]).

mod child;
mod sandbox;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::domain::artifact::{Facts, Filename};
use crate::domain::package::{Ecosystem, PackageName, Version};
use crate::domain::review::checks::{self, Position};
use crate::domain::review::delta::{Comparison, FileChange, Member};
use crate::domain::review::finding::Finding;
use crate::domain::review::survey::Survey;
use crate::inspect::request::{Artifact, Bounds, Standing, Unreadable};
use crate::inspect::survey::{Source, survey};
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
    let candidate = candidate.survey()?;
    let baseline = baseline.as_ref().map(Opened::survey).transpose()?;
    let comparison = Comparison { baseline: baseline.as_ref(), candidate: &candidate };
    let newest = baseline.as_ref().map(|survey| identity(&survey.facts).2.to_owned());
    let position = position(&candidate, &Standing { newest, dist_tag: None });
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
}

impl Opened {
    fn new(artifact: &Artifact) -> Result<Self, Failed> {
        let file = File::open(&artifact.path)
            .map_err(|error| format!("`{}` cannot be read: {error}", artifact.path.display()))?;
        Ok(Self { artifact: artifact.clone(), file })
    }

    /// Fails with [`Unreadable`] when the bytes are to blame.
    fn survey(&self) -> Result<Survey, Failed> {
        let filename = &self.artifact.filename;
        let unreadable = |why: String| Unreadable { filename: filename.clone(), why };
        let python = match Path::new(filename).extension().is_some_and(|end| end == "tgz") {
            true => None,
            false => Some(
                Filename::parse(&spelled_anew(filename))
                    .map_err(|error| unreadable(error.to_string()))?,
            ),
        };
        let source = python.as_ref().map_or(Source::Npm, Source::Python);
        Ok(survey(&self.file, source, &Limits::default()).map_err(|failure| match failure {
            Failure::Refused(refusal) => Failed::from(unreadable(refusal.to_string())),
            Failure::Fault(error) => error.into(),
        })?)
    }
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
    let looked: usize = checks::ALL.iter().map(|family| family.len()).sum();
    writeln!(
        out,
        "\nLooked for {looked} kinds of things in what is in the files. Nothing was compared with \
         the source repository."
    )
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
