//! `countersign inspect`: what changed between two artifacts, and what of it to look at. Reads two
//! files and nothing else.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::domain::artifact::{Facts, Filename};
use crate::domain::package::{Ecosystem, PackageName, Version};
use crate::domain::review::checks::{self, Position};
use crate::domain::review::delta::{Comparison, FileChange, Member};
use crate::domain::review::finding::Finding;
use crate::domain::review::survey::Survey;
use crate::inspect::Limits;
use crate::inspect::survey::{Source, survey};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Says what changed between the version people run today and a candidate. Nothing is unpacked, run
/// or sent.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// An npm tarball (`.tgz`), a wheel, or an sdist under its own name
    candidate: PathBuf,
    /// The version to compare it with; without one everything is new
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Files and members of the manifest that are listed at most, of each
    #[arg(long, default_value_t = 200)]
    list: usize,
}

/// Surveys, compares and prints.
pub fn run(arguments: &Inspect) -> Result<(), Failed> {
    let candidate = read(&arguments.candidate)?;
    let baseline = arguments.baseline.as_deref().map(read).transpose()?;
    let comparison = Comparison { baseline: baseline.as_ref(), candidate: &candidate };
    let findings = checks::findings(&comparison, &position(&comparison));
    print(&mut std::io::stdout().lock(), &comparison, &findings, arguments.list)?;
    Ok(())
}

fn read(path: &Path) -> Result<Survey, Failed> {
    let shown = path.display();
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("expected the name of a file, received `{shown}`"))?;
    let file = File::open(path).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    let limits = Limits::default();
    let surveyed = if Path::new(name).extension().is_some_and(|extension| extension == "tgz") {
        survey(file, Source::Npm, &limits)
    } else {
        let name = Filename::parse(&spelled_anew(name))?;
        survey(file, Source::Python(&name), &limits)
    };
    surveyed.map_err(|refusal| format!("`{shown}` is refused: {refusal}").into())
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

fn position(comparison: &Comparison<'_>) -> Position {
    let version = |survey: &Survey| {
        let (ecosystem, _, version) = identity(&survey.facts);
        Version::parse(ecosystem, version).ok()
    };
    Position {
        version: version(comparison.candidate),
        newest: comparison.baseline.and_then(version),
        dist_tag: None,
        ecosystem: Some(identity(&comparison.candidate.facts).0),
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
