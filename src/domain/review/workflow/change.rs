//! What changed in the files that decide how a release is made.

use super::{Yaml, YamlError, yaml};
use crate::domain::review::path;

/// How a path matters to the making of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// It pins what is installed while a release is made.
    LockFile,
    /// It says what runs.
    Pipeline,
}

/// Files that pin what a build installs.
const LOCK_FILES: [&str; 11] = [
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "Cargo.lock",
    "requirements.txt",
];

/// Whether a path of a repository matters to how a release is made.
pub fn touched(path: &str) -> Option<Touched> {
    let name = path::name(path);
    let pipeline = path.starts_with(".github/")
        || path.starts_with(".gitlab/")
        || name.ends_with(".gitlab-ci.yml")
        || matches!(name, "action.yml" | "action.yaml" | "Makefile" | "justfile" | ".npmrc")
        || name.starts_with("Dockerfile")
        || name.ends_with(".dockerfile")
        || (path.starts_with("scripts/") && (name.contains("release") || name.contains("publish")));
    if pipeline {
        Some(Touched::Pipeline)
    } else if LOCK_FILES.contains(&name) {
        Some(Touched::LockFile)
    } else {
        None
    }
}

/// What a step says that publishes.
const PUBLISHES: [&str; 10] = [
    "npm publish",
    "npm stage",
    "pnpm publish",
    "yarn npm publish",
    "twine upload",
    "uv publish",
    "poetry publish",
    "flit publish",
    "hatch publish",
    "countersign submit",
];

/// Everything a workflow says about one matter, as texts to compare.
type Aspect = fn(&Yaml) -> Vec<String>;

/// Which of the parts of a workflow that decide who can publish what are not the same: when it
/// runs, what it may do, in which environment, and the steps that publish.
pub fn gravest_changes(before: &str, after: &str) -> Result<Vec<&'static str>, YamlError> {
    let (before, after) = (yaml::read(before)?, yaml::read(after)?);
    let aspects: [(&str, Aspect); 4] = [
        ("when it runs", |tree| tree.get("on").map(Yaml::canonical).into_iter().collect()),
        ("what it may do", |tree| everywhere(tree, "permissions")),
        ("its environment", |tree| everywhere(tree, "environment")),
        ("the steps that publish", publishing_steps),
    ];
    let changed = aspects.iter().filter(|(_, aspect)| aspect(&before) != aspect(&after));
    Ok(changed.map(|(name, _)| *name).collect())
}

fn jobs(tree: &Yaml) -> &[(String, Yaml)] {
    tree.get("jobs").map_or(&[], Yaml::entries)
}

/// The value of a key of the workflow and of each of its jobs.
fn everywhere(tree: &Yaml, key: &str) -> Vec<String> {
    let mut found: Vec<String> = jobs(tree)
        .iter()
        .filter_map(|(name, job)| Some(format!("{name} {}", job.get(key)?.canonical())))
        .collect();
    found.extend(tree.get(key).map(Yaml::canonical));
    found.sort();
    found
}

fn publishing_steps(tree: &Yaml) -> Vec<String> {
    let jobs = || jobs(tree).iter().map(|(_, job)| job);
    let steps = jobs().flat_map(|job| job.get("steps").map_or(&[][..], Yaml::items));
    let publishes = |step: &&Yaml| {
        let run = step.text_at("run").unwrap_or_default();
        let uses = step.text_at("uses").unwrap_or_default();
        PUBLISHES.iter().any(|words| run.contains(words)) || uses.contains("publish")
    };
    let mut found: Vec<String> = steps.filter(publishes).map(Yaml::canonical).collect();
    // A job that is a called workflow may publish there.
    found.extend(jobs().filter(|job| job.get("uses").is_some()).map(Yaml::canonical));
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKFLOW: &str = "on:\n  push:\n    tags: ['v*']\njobs:\n  publish:\n    permissions:\n      \
                            id-token: write\n    environment: release\n    steps:\n      - run: npm \
                            test\n      - run: npm publish\n";

    #[test]
    fn the_parts_that_decide_who_can_publish_are_told_apart() {
        let same = gravest_changes(WORKFLOW, &WORKFLOW.replace("npm test", "npm run test"));
        assert_eq!(same.unwrap(), Vec::<&str>::new());
        for (from, to, expected) in [
            ("tags: ['v*']", "branches: [main]", "when it runs"),
            ("id-token: write", "id-token: write\n      contents: write", "what it may do"),
            ("environment: release", "environment: open", "its environment"),
            ("npm publish", "npm publish --ignore-scripts", "the steps that publish"),
        ] {
            let after = WORKFLOW.replace(from, to);
            assert_eq!(gravest_changes(WORKFLOW, &after).unwrap(), [expected]);
        }
        assert!(gravest_changes(WORKFLOW, "[").is_err());
    }

    #[test]
    fn paths_that_make_a_release_are_known() {
        for (path, expected) in [
            (".github/workflows/release.yml", Some(Touched::Pipeline)),
            (".gitlab-ci.yml", Some(Touched::Pipeline)),
            ("tools/action.yml", Some(Touched::Pipeline)),
            ("docker/Dockerfile.release", Some(Touched::Pipeline)),
            ("scripts/release.sh", Some(Touched::Pipeline)),
            ("packages/a/package-lock.json", Some(Touched::LockFile)),
            ("src/release.js", None),
            ("README.md", None),
        ] {
            assert_eq!(touched(path), expected, "{path}");
        }
    }
}
