//! All files of an artifact beside the baseline's, in the order in which somebody reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::domain::artifact::Facts;
use crate::domain::digest::Sha256;
use crate::domain::review::delta::Comparison;
use crate::domain::review::diff::Counts;
use crate::domain::review::modules::{AT_INSTALL, file_at, words};
use crate::domain::review::path;
use crate::domain::review::survey::{Format, Survey, SurveyedFile, place};

/// One file of the candidate, of the baseline, or of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it is, in the candidate if it is there.
    pub path: String,
    /// Where the same bytes were before, when they were elsewhere.
    pub from: Option<String>,
    /// How it stands against the baseline.
    pub status: Status,
    /// With what it is listed.
    pub group: Group,
    /// Size in bytes, of the candidate's file if there is one.
    pub size_bytes: u64,
    /// What it is by its content.
    pub format: Format,
    /// Rows that differ, where they were counted.
    pub counts: Option<Counts>,
    /// What the baseline has of it.
    pub before: Option<Held>,
    /// What the candidate has of it.
    pub after: Option<Held>,
    /// [`Self::difference`], once somebody asked: every view of a list asks for all of them.
    #[serde(skip)]
    difference: OnceLock<Sha256>,
}

/// A file as one of the two artifacts holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Digest of the content.
    pub sha256: Sha256,
    /// Whether the archive says that it is run as a program.
    pub executable: bool,
}

impl FileEntry {
    /// Names what somebody saw who read this file: its place, and what either side holds there. The
    /// same difference in another artifact, or after another inspection, has the same name.
    pub fn difference(&self) -> Sha256 {
        *self.difference.get_or_init(|| {
            let places = (place(&self.path), self.from.as_deref().map(place));
            Sha256::of(&crate::domain::canonical(&(places, self.before, self.after)))
        })
    }

    /// Whether there is anything to read: it is not just as people have it today.
    pub fn is_to_read(&self) -> bool {
        self.status != Status::Unchanged
    }

    /// Whether it can be run as a program and could not before, or the other way round.
    pub fn mode_change(&self) -> Option<bool> {
        let (before, after) = (self.before?, self.after?);
        (before.executable != after.executable).then_some(after.executable)
    }
}

/// How a file stands against the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Both have it, with other bytes.
    Changed,
    /// Only the candidate has it.
    Added,
    /// Only the baseline has it.
    Removed,
    /// The same bytes were somewhere else before.
    Moved,
    /// Both have it, with the same bytes, and it can be run as a program in only one of them.
    Mode,
    /// Both have it, with the same bytes.
    Unchanged,
}

/// What is listed together, in order of how fast it can hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Runs without being called, or says what does.
    ByItself,
    /// Nobody can read it.
    Opaque,
    /// Written by people.
    Source,
    /// Tests.
    Tests,
    /// Documentation and licenses.
    Docs,
    /// Written by programs: minified, bundled, maps.
    Generated,
}

/// How many files stand how, for whoever lists them and for whoever only counts them.
pub fn counted(files: &[FileEntry]) -> BTreeMap<Status, u64> {
    let mut counted = BTreeMap::new();
    for file in files {
        *counted.entry(file.status).or_default() += 1;
    }
    counted
}

/// Every file of both, sorted by group and then by place. `counts` are by place of the candidate.
pub fn list(comparison: &Comparison<'_>, counts: &BTreeMap<String, Counts>) -> Vec<FileEntry> {
    let by_itself = by_itself(comparison);
    let gone = gone(comparison);
    let mut came_from = BTreeSet::new();
    let mut entries = Vec::new();
    for file in &comparison.candidate.files {
        let before = comparison.before(file);
        let elsewhere = gone.get(&file.sha256).filter(|_| before.is_none() && file.size_bytes > 0);
        if let Some(old) = elsewhere {
            came_from.insert(old.place.as_str());
        }
        let status = match (before, elsewhere) {
            (Some(before), _) if Held::of(before) == Held::of(file) => Status::Unchanged,
            (Some(before), _) if before.sha256 == file.sha256 => Status::Mode,
            (Some(_), _) => Status::Changed,
            (None, Some(_)) => Status::Moved,
            (None, None) => Status::Added,
        };
        entries.push(FileEntry {
            from: elsewhere.map(|old| old.path.clone()),
            before: before.or_else(|| elsewhere.copied()).map(Held::of),
            counts: counts.get(&file.place).copied().or_else(|| {
                (status == Status::Added && file.format == Format::Text)
                    .then_some(Counts { added: file.lines, removed: 0 })
            }),
            ..entry(file, status, &by_itself)
        });
    }
    let removed = gone_files(comparison).filter(|file| !came_from.contains(file.place.as_str()));
    entries.extend(removed.map(|file| FileEntry {
        counts: (file.format == Format::Text).then_some(Counts { added: 0, removed: file.lines }),
        before: Some(Held::of(file)),
        after: None,
        ..entry(file, Status::Removed, &by_itself)
    }));
    entries.sort_by(|a, b| (a.group, &a.path).cmp(&(b.group, &b.path)));
    entries
}

impl Held {
    const fn of(file: &SurveyedFile) -> Self {
        Self { sha256: file.sha256, executable: file.executable }
    }
}

fn entry(file: &SurveyedFile, status: Status, by_itself: &BTreeSet<String>) -> FileEntry {
    FileEntry {
        path: file.path.clone(),
        from: None,
        status,
        group: if by_itself.contains(&file.place) { Group::ByItself } else { group(file) },
        size_bytes: file.size_bytes,
        format: file.format,
        counts: None,
        before: None,
        after: Some(Held::of(file)),
        difference: OnceLock::new(),
    }
}

/// What the baseline has and the candidate does not have at the same place.
fn gone_files<'a>(comparison: &Comparison<'a>) -> impl Iterator<Item = &'a SurveyedFile> {
    let files = comparison.baseline.map_or(&[][..], |survey| &survey.files);
    let candidate = comparison.candidate;
    files.iter().filter(move |file| candidate.at(&file.place).is_none())
}

fn gone<'a>(comparison: &Comparison<'a>) -> BTreeMap<Sha256, &'a SurveyedFile> {
    gone_files(comparison).map(|file| (file.sha256, file)).collect()
}

/// Places of what runs, or says what runs, without being called, in either of the two.
fn by_itself(comparison: &Comparison<'_>) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    for survey in std::iter::once(comparison.candidate).chain(comparison.baseline) {
        match &survey.facts {
            Facts::Npm(facts) => {
                places.extend(["package.json", "binding.gyp"].map(str::to_owned));
                let text = |value: Option<&serde_json::Value>| {
                    value.and_then(|value| value.as_str()).unwrap_or_default().to_owned()
                };
                let scripts = facts.package_json.get("scripts");
                for name in AT_INSTALL {
                    named(survey, &text(scripts.and_then(|all| all.get(name))), &mut places);
                }
                match facts.package_json.get("bin") {
                    Some(serde_json::Value::Object(bins)) => {
                        for bin in bins.values() {
                            named(survey, &text(Some(bin)), &mut places);
                        }
                    }
                    bin => named(survey, &text(bin), &mut places),
                }
            }
            Facts::Pypi(_) => {
                let runs = survey.files.iter().filter(|file| python_by_itself(&file.place));
                places.extend(runs.map(|file| file.place.clone()));
            }
        }
    }
    places
}

/// The files that a command or a path of `package.json` names.
fn named(survey: &Survey, command: &str, places: &mut BTreeSet<String>) {
    let files = words(command).filter_map(|word| file_at(survey, word));
    places.extend(files.map(|file| file.place.clone()));
}

fn python_by_itself(place: &str) -> bool {
    let name = path::name(place);
    let ends = |end: &str| name.len() > end.len() && name.to_ascii_lowercase().ends_with(end);
    matches!(place, "setup.py" | "setup.cfg" | "pyproject.toml" | "*.dist-info/entry_points.txt")
        || matches!(name, "sitecustomize.py" | "usercustomize.py")
        || ends(".pth")
        || ends(".start")
        || place.starts_with("*.data/scripts/")
}

/// Longest line that people write, in bytes.
const WRITTEN_BYTES: u64 = 1_000;

fn group(file: &SurveyedFile) -> Group {
    let place = file.place.to_ascii_lowercase();
    let name = path::name(&place);
    let in_folder = |folders: &[&str]| {
        place
            .rsplit_once('/')
            .is_some_and(|(path, _)| path.split('/').any(|part| folders.contains(&part)))
    };
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let test = name.starts_with("test_") || name.contains(".test.") || name.contains(".spec.");
    let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    if file.format != Format::Text {
        Group::Opaque
    } else if ends(&[".map", ".min.js", ".min.css"])
        || file.longest_line > WRITTEN_BYTES
        || place == "*.dist-info/record"
    {
        Group::Generated
    } else if in_folder(&["test", "tests", "__tests__", "spec"]) || test {
        Group::Tests
    } else if ends(&[".md", ".rst", ".txt"])
        || begins(&["license", "licence", "readme", "changelog", "notice", "authors"])
        || in_folder(&["docs", "doc"])
    {
        Group::Docs
    } else {
        Group::Source
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::artifact::NpmFacts;

    fn survey(files: &[(&str, &str)], package_json: serde_json::Value) -> Survey {
        let serde_json::Value::Object(package_json) = package_json else { panic!("no object") };
        let mut files: Vec<SurveyedFile> = files
            .iter()
            .map(|(path, content)| SurveyedFile {
                path: (*path).to_owned(),
                place: (*path).to_owned(),
                size_bytes: content.len() as u64,
                sha256: Sha256::of(content.as_bytes()),
                lines: 1,
                ..serde_json::from_value(serde_json::json!({
                    "path": "", "place": "", "size_bytes": 0, "sha256": Sha256::of(b""),
                    "git_blob": "0".repeat(40), "format": "text", "lines": 0, "longest_line": 9,
                    "executable": false, "only_version": false, "marks": []
                }))
                .unwrap()
            })
            .collect();
        files.sort_by(|a, b| a.place.cmp(&b.place));
        Survey {
            facts: Facts::Npm(NpmFacts {
                name: "a".to_owned(),
                version: "1.0.0".to_owned(),
                package_json,
                readme: None,
                readme_filename: None,
                has_binding_gyp: false,
                has_shrinkwrap: false,
                file_count: 0,
                unpacked_bytes: 0,
            }),
            files,
            python: crate::domain::review::survey::PythonParts::default(),
            named: BTreeSet::new(),
        }
    }

    #[test]
    fn files_are_listed_by_how_fast_they_can_hurt_with_how_they_changed() {
        let before = survey(
            &[("package.json", "1"), ("a.js", "a"), ("old.js", "moved"), ("test/x.js", "t")],
            serde_json::json!({}),
        );
        let hook = serde_json::json!({ "scripts": { "postinstall": "node ./setup" } });
        let after = survey(
            &[
                ("package.json", "2"),
                ("a.js", "a"),
                ("lib/new.js", "moved"),
                ("setup.js", "s"),
                ("README.md", "r"),
                ("b.min.js", "b"),
            ],
            hook,
        );
        let comparison = Comparison { baseline: Some(&before), candidate: &after };
        let counts = [("package.json".to_owned(), Counts { added: 1, removed: 1 })].into();
        let entries = list(&comparison, &counts);
        let told: Vec<_> =
            entries.iter().map(|entry| (entry.group, entry.path.as_str(), entry.status)).collect();
        assert_eq!(
            told,
            [
                (Group::ByItself, "package.json", Status::Changed),
                (Group::ByItself, "setup.js", Status::Added),
                (Group::Source, "a.js", Status::Unchanged),
                (Group::Source, "lib/new.js", Status::Moved),
                (Group::Tests, "test/x.js", Status::Removed),
                (Group::Docs, "README.md", Status::Added),
                (Group::Generated, "b.min.js", Status::Added),
            ]
        );
        assert_eq!(entries[3].from.as_deref(), Some("old.js"), "and old.js is listed once");
        assert_eq!(entries[0].counts, Some(Counts { added: 1, removed: 1 }));
    }

    /// A script finds its file by the same endings here as where its code is judged (HK-02).
    #[test]
    fn a_script_runs_the_file_that_node_would_find() {
        let scripts =
            serde_json::json!({ "preinstall": "node ./a", "install": "node b/ && node c" });
        let files = ["a.cjs", "b/index.mjs", "c.ts", "d.cjs"].map(|path| (path, "x")).to_vec();
        let package = survey(&files, serde_json::json!({ "scripts": scripts, "bin": "./d" }));
        let comparison = Comparison { baseline: None, candidate: &package };
        let listed = list(&comparison, &BTreeMap::new());
        assert_eq!(listed.len(), files.len());
        for entry in listed {
            assert_eq!(entry.group, Group::ByItself, "{}", entry.path);
        }
    }
}
