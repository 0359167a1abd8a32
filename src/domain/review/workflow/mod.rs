//! What a GitHub workflow, an action or a Dockerfile brings into a run, read from its text.
//!
//! Nothing is fetched and no expression is evaluated: `${{ … }}` in a place that decides what runs
//! counts as something that moves. `review::closure` follows what is found here.

mod change;
mod downloads;
mod yaml;

use std::collections::BTreeSet;

use self::yaml::Yaml;

pub use change::{Touched, gravest_changes, touched};
pub use yaml::{BYTES_MAX, YamlError};

/// Most parts taken of one file; a file with more is reported as not read.
const PARTS_MAX: usize = 2_000;

/// Something that takes part in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// In which line it is named, from 1.
    pub line: u32,
    /// What.
    pub what: What,
    /// Whether the job it runs in may ask for an identity token, or is given secrets.
    pub trusted: bool,
}

/// What takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An action or reusable workflow of a repository, as in `uses: owner/name/path@reference`.
    Uses {
        /// `owner/name`.
        repository: String,
        /// The path in it; empty for its root.
        path: String,
        /// What stands after the `@`.
        reference: String,
        /// Whether it is a whole workflow.
        workflow: bool,
    },
    /// An action or reusable workflow beside the file that names it.
    Local {
        /// The path from the root of the repository.
        path: String,
        /// Whether it is a whole workflow.
        workflow: bool,
        /// Whether it is looked for in the action's own repository instead of the one checked out.
        own: bool,
    },
    /// A container image.
    Image(String),
    /// A Dockerfile or script of the action itself, from the action's folder.
    Beside(String),
    /// A command that fetches something unpinned.
    Download(String),
    /// A tool whose newest version is asked for, as `action input: value`.
    Tool(String),
    /// Something earlier runs may have left behind, by what restores it.
    Cache(String),
    /// More than publishing may ask for an identity token: the job, or the workflow.
    WideToken(String),
    /// A `uses` that is no address of an action.
    Unclear(String),
}

/// Why a file was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkflowError {
    /// It is not YAML within our bounds.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// It has no `jobs` or no `runs`.
    #[error("neither a workflow nor an action")]
    Shape,
    /// More than [`PARTS_MAX`] parts.
    #[error("more parts than are looked at")]
    Large,
}

/// Reads a workflow. `called_with_token` is for one that another workflow calls: its jobs have what
/// the caller granted unless they say otherwise.
pub fn workflow(text: &str, called_with_token: bool) -> Result<Vec<Part>, WorkflowError> {
    let tree = yaml::read(text)?;
    let jobs = tree.get("jobs").filter(|jobs| !jobs.entries().is_empty());
    let jobs = jobs.ok_or(WorkflowError::Shape)?;
    let mut parts = Vec::new();
    let whole = grants_token(tree.get("permissions"));
    if whole == Some(true) {
        let line = tree.get("permissions").map_or(1, |at| at.line);
        let what = What::WideToken("the whole workflow".to_owned());
        parts.push(Part { line, what, trusted: true });
    }
    for (name, job) in jobs.entries() {
        let granted = grants_token(job.get("permissions")).or(whole).unwrap_or(called_with_token);
        read_job(name, job, granted, &mut parts);
    }
    bounded(parts)
}

/// Reads an `action.yml`; `trusted` is what the step that uses it is.
pub fn action(text: &str, trusted: bool) -> Result<Vec<Part>, WorkflowError> {
    let tree = yaml::read(text)?;
    let runs = tree.get("runs").ok_or(WorkflowError::Shape)?;
    let mut parts = Vec::new();
    for key in ["main", "pre", "post"] {
        if let Some(script) = runs.get(key)
            && let Some(path) = script.text()
        {
            let what = What::Beside(path.to_owned());
            parts.push(Part { line: script.line, what, trusted });
        }
    }
    if let Some(image) = runs.get("image")
        && let Some(text) = image.text()
    {
        let what = match text.strip_prefix("docker://") {
            Some(image) => What::Image(image.to_owned()),
            None => What::Beside(text.to_owned()),
        };
        parts.push(Part { line: image.line, what, trusted });
    }
    for step in runs.get("steps").map_or(&[][..], Yaml::items) {
        read_step(step, trusted, &mut parts);
    }
    bounded(parts)
}

/// Reads a Dockerfile: the images it is made from and what it fetches.
pub fn dockerfile(text: &str, trusted: bool) -> Result<Vec<Part>, WorkflowError> {
    if text.len() > BYTES_MAX {
        return Err(YamlError::Long.into());
    }
    let (mut parts, mut stages) = (Vec::new(), BTreeSet::new());
    for (line, text) in (1_u32..).zip(text.lines()) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut found = |what| parts.push(Part { line, what, trusted });
        match words.as_slice() {
            [from, rest @ ..] if from.eq_ignore_ascii_case("FROM") => {
                let rest: Vec<_> = rest.iter().filter(|word| !word.starts_with("--")).collect();
                if let Some(image) = rest.first()
                    && **image != "scratch"
                    && !stages.contains(&image.to_lowercase())
                {
                    found(What::Image((**image).to_owned()));
                }
                if let [_, as_word, stage] = rest.as_slice()
                    && as_word.eq_ignore_ascii_case("AS")
                {
                    stages.insert(stage.to_lowercase());
                }
            }
            [copy, rest @ ..] if copy.eq_ignore_ascii_case("COPY") => {
                let image = rest.iter().find_map(|word| word.strip_prefix("--from="));
                let image = image.filter(|image| !stages.contains(&image.to_lowercase()));
                // A number is a stage, too.
                if let Some(image) = image.filter(|image| image.parse::<u32>().is_err()) {
                    found(What::Image(image.to_owned()));
                }
            }
            [add, rest @ ..]
                if add.eq_ignore_ascii_case("ADD")
                    && rest.iter().any(|word| word.contains("://")) =>
            {
                found(What::Download(text.trim().to_owned()));
            }
            _ => {}
        }
    }
    let runs = text.replace("RUN ", "").replace("run ", "");
    parts.extend(downloads::unpinned(&runs).into_iter().map(|(line, command)| Part {
        line: line + 1,
        what: What::Download(command),
        trusted,
    }));
    bounded(parts)
}

fn bounded(parts: Vec<Part>) -> Result<Vec<Part>, WorkflowError> {
    if parts.len() > PARTS_MAX { Err(WorkflowError::Large) } else { Ok(parts) }
}

/// What a `permissions` says about identity tokens; `None` where it is absent.
fn grants_token(permissions: Option<&Yaml>) -> Option<bool> {
    let permissions = permissions?;
    Some(match permissions.text() {
        Some(all) => all == "write-all",
        None => permissions.text_at("id-token") == Some("write"),
    })
}

/// Whether a job is given secrets, or an environment that may have some.
fn is_given_secrets(job: &Yaml) -> bool {
    job.get("environment").is_some()
        || job.get("secrets").is_some()
        || job.any(&|text| {
            let text = text.to_ascii_lowercase().replace("secrets.github_token", "");
            text.contains("secrets.") || text.contains("secrets[")
        })
}

fn read_job(name: &str, job: &Yaml, token: bool, parts: &mut Vec<Part>) {
    let trusted = token || is_given_secrets(job);
    if let Some(uses) = job.get("uses") {
        let what = uses_of(uses.text().unwrap_or_default(), true);
        parts.push(Part { line: uses.line, what, trusted });
    }
    let container = job.get("container").into_iter();
    let services =
        job.get("services").map_or(&[][..], Yaml::entries).iter().map(|(_, image)| image);
    for image in container.chain(services) {
        if let Some(text) = image.text().or_else(|| image.text_at("image")) {
            parts.push(Part { line: image.line, what: What::Image(text.to_owned()), trusted });
        }
    }
    let steps = job.get("steps").map_or(&[][..], Yaml::items);
    for step in steps {
        read_step(step, trusted, parts);
    }
    if token && steps.iter().any(builds) {
        let what = What::WideToken(format!("the job {name}, which also builds"));
        parts.push(Part { line: job.line, what, trusted });
    }
    for secret in ["TURBO_TOKEN", "NX_CLOUD_ACCESS_TOKEN"] {
        if job.any(&|text| text.contains(secret)) {
            let what = What::Cache(format!("a remote cache ({secret})"));
            parts.push(Part { line: job.line, what, trusted });
        }
    }
}

/// Commands that run code of the repository and of its dependencies.
const BUILDS: [&str; 16] = [
    "npm ci",
    "npm install",
    "npm test",
    "npm run",
    "pnpm install",
    "pnpm run",
    "yarn install",
    "pip install",
    "-m build",
    "uv build",
    "uv sync",
    "poetry install",
    "hatch build",
    "pytest",
    "make",
    "cargo",
];

fn builds(step: &Yaml) -> bool {
    let run = step.text_at("run").unwrap_or_default();
    BUILDS.iter().any(|words| run.contains(words))
}

fn read_step(step: &Yaml, trusted: bool, parts: &mut Vec<Part>) {
    if let Some(run) = step.get("run")
        && let Some(script) = run.text()
    {
        // A block begins one line below its key, a plain command beside it.
        let first = run.line;
        parts.extend(downloads::unpinned(script).into_iter().map(|(line, command)| Part {
            line: first + line,
            what: What::Download(command),
            trusted,
        }));
    }
    let Some(uses) = step.get("uses") else { return };
    let name = uses.text().unwrap_or_default();
    parts.push(Part { line: uses.line, what: uses_of(name, false), trusted });
    let inputs = step.get("with");
    let short = name.split('@').next().unwrap_or_default();
    if let Some(what) = cache_of(short, inputs) {
        parts.push(Part { line: uses.line, what: What::Cache(what), trusted });
    }
    for (input, value) in inputs.map_or(&[][..], Yaml::entries) {
        let text = value.text().unwrap_or_default();
        let moves = matches!(text, "latest" | "stable" | "nightly" | "lts/*" | "node" | "*");
        if moves && input.contains("version") {
            let what = What::Tool(format!("{short} {input}: {text}"));
            parts.push(Part { line: value.line, what, trusted });
        }
    }
}

/// What of earlier runs a step restores.
fn cache_of(action: &str, inputs: Option<&Yaml>) -> Option<String> {
    let input = |name| inputs.and_then(|inputs: &Yaml| inputs.text_at(name));
    let on = |name| input(name).is_some_and(|value| !matches!(value, "" | "false"));
    let off = |name| input(name) == Some("false");
    let (owner, rest) = action.split_once('/')?;
    let name = rest.split('/').next().unwrap_or_default();
    let restores = match (owner, name) {
        ("actions", "cache") => !rest.ends_with("/save"),
        // These two restore a cache unless they are told not to.
        ("actions", "setup-go") => !off("cache"),
        ("astral-sh", "setup-uv") => !off("enable-cache"),
        _ => {
            let setup = name.starts_with("setup-") && (on("cache") || on("enable-cache"));
            setup || name.contains("cache") || on("cache-from")
        }
    };
    restores.then(|| action.to_owned())
}

/// Reads the value of `uses`.
fn uses_of(text: &str, workflow: bool) -> What {
    let unclear = || What::Unclear(text.to_owned());
    if let Some(image) = text.strip_prefix("docker://") {
        return What::Image(image.to_owned());
    }
    for (prefix, own) in [("./", false), ("$/", true)] {
        if let Some(path) = text.strip_prefix(prefix) {
            let path = path.trim_end_matches('/').to_owned();
            return if is_path(&path) { What::Local { path, workflow, own } } else { unclear() };
        }
    }
    let Some((address, reference)) = text.rsplit_once('@') else { return unclear() };
    let mut parts = address.splitn(3, '/');
    let (Some(owner), Some(name)) = (parts.next(), parts.next()) else { return unclear() };
    let path = parts.next().unwrap_or_default().trim_end_matches('/').to_owned();
    if !is_name(owner) || !is_name(name) || !is_path(&path) || !is_reference(reference) {
        return unclear();
    }
    let (repository, reference) = (format!("{owner}/{name}"), reference.to_owned());
    What::Uses { repository, path, reference, workflow }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(['-', '.'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_path(text: &str) -> bool {
    text.is_empty()
        || text.split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !text.chars().any(char::is_control)
}

fn is_reference(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.contains("..")
        && !text.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\{}$".contains(c))
}

/// Whether a reference names a commit and so can never be another one.
pub fn is_commit(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64)
        && reference.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether an image is named by its digest.
pub fn is_digest(image: &str) -> bool {
    let digest = image.rsplit_once("@sha256:").map(|(_, digest)| digest);
    digest.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = "\
name: release
on:
  push:
    tags: ['v*']
permissions:
  contents: read
jobs:
  test:
    runs-on: ubuntu-latest
    container: node:22
    steps:
      - uses: actions/checkout@8f4b7f84864484a7bf31766abe9204da3cbe65b3
      - uses: ./.github/actions/prepare
      - run: curl -s https://example.test/i.sh | sh
  publish:
    permissions:
      id-token: write
    services:
      db: { image: 'postgres:17' }
    steps:
      - uses: actions/setup-node@v4
        with:
          node-version: latest
          cache: npm
      - run: |
          npm ci
          npm publish
  call:
    uses: octo/ci/.github/workflows/p.yml@main
    secrets: inherit
";

    fn whats(parts: &[Part], trusted: bool) -> Vec<String> {
        let chosen = parts.iter().filter(|part| part.trusted == trusted);
        chosen.map(|part| format!("{} {:?}", part.line, part.what)).collect()
    }

    #[test]
    fn a_workflow_is_read_job_by_job_with_what_each_is_trusted_with() {
        let parts = workflow(RELEASE, false).unwrap();
        let plain = whats(&parts, false);
        assert_eq!(plain.len(), 4, "{plain:?}");
        assert!(plain[0].starts_with("10 Image") && plain[3].starts_with("14 Download"));
        assert!(plain[2].contains("Local"));
        let trusted = whats(&parts, true).join("\n");
        for expected in
            ["postgres:17", "\"v4\"", "node-version: latest", "Cache(", "WideToken", "\"main\""]
        {
            assert!(trusted.contains(expected), "{expected}: {trusted}");
        }
    }

    #[test]
    fn a_called_workflow_has_the_token_its_caller_was_given() {
        let text = "on: workflow_call\njobs:\n  a:\n    steps:\n      - uses: o/x@v1\n";
        assert!(!workflow(text, false).unwrap()[0].trusted);
        assert!(workflow(text, true).unwrap()[0].trusted);
        let narrowed = text.replace("  a:\n", "  a:\n    permissions: {}\n");
        assert!(!workflow(&narrowed, true).unwrap()[0].trusted);
    }

    #[test]
    fn a_token_for_the_whole_workflow_is_wide() {
        let text = RELEASE.replace("contents: read", "id-token: write");
        let parts = workflow(&text, false).unwrap();
        assert_eq!(parts[0].what, What::WideToken("the whole workflow".to_owned()));
        assert!(whats(&parts, false).is_empty());
    }

    #[test]
    fn actions_of_every_sort_are_read() {
        let composite = "runs:\n  using: composite\n  steps:\n    - uses: actions/cache@v4\n    \
                         - run: pip install pre-commit\n      shell: bash\n    - uses: $/other\n";
        let parts = action(composite, true).unwrap();
        assert_eq!(parts.len(), 4, "{parts:?}");
        assert!(matches!(&parts[1].what, What::Cache(_)));
        assert!(matches!(&parts[3].what, What::Local { own: true, .. }));
        let node = action("runs: { using: node20, main: dist/index.js, post: d.js }", false);
        assert_eq!(node.unwrap().len(), 2);
        let docker = action("runs: { using: docker, image: Dockerfile }", false).unwrap();
        assert_eq!(docker[0].what, What::Beside("Dockerfile".to_owned()));
        assert_eq!(action("name: x\n", false), Err(WorkflowError::Shape));
        assert_eq!(workflow("name: x\n", false), Err(WorkflowError::Shape));
    }

    #[test]
    fn a_dockerfile_names_every_image_but_its_own_stages() {
        let text = "FROM --platform=linux/amd64 python:3.12-slim AS build\nRUN pip install build\n\
                    FROM build\nFROM scratch\nCOPY --from=build /a /b\nCOPY --from=0 /a /b\n\
                    COPY --from=ghcr.example/uv:latest /uv /bin/\nADD https://example.test/x /x\n";
        let found: Vec<String> = dockerfile(text, false)
            .unwrap()
            .iter()
            .map(|part| format!("{:?}", part.what))
            .collect();
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("python:3.12-slim") && found[1].contains("ghcr.example/uv"));
        assert!(found[2].contains("ADD https") && found[3].contains("pip install"));
    }

    /// What a workflow names becomes arguments of `git`: names that could be options are no names.
    #[test]
    fn a_uses_that_is_no_address_is_unclear() {
        for text in [
            "x",
            "-o/x@v1",
            "o/-x@v1",
            "o/x",
            "o/x@-v1",
            "o/x@a..b",
            "o/x/../y@v1",
            "o/x@",
            "o/x@${{ github.ref }}",
            "./../x",
            "o x/y@v1",
            "o/x@v1 y",
            "",
            "o/x//y@v1",
        ] {
            assert!(matches!(uses_of(text, false), What::Unclear(_)), "{text}");
        }
        let uses = uses_of("o/x/sub/dir@v1", false);
        assert!(matches!(uses, What::Uses { path, .. } if path == "sub/dir"));
    }

    #[test]
    fn commits_and_digests_are_told_from_names() {
        assert!(is_commit(&"a".repeat(40)) && !is_commit("v4") && !is_commit(&"A".repeat(40)));
        assert!(is_digest(&format!("x@sha256:{}", "0".repeat(64))) && !is_digest("x:1"));
    }
}
