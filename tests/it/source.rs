//! Where a release came from, against repositories that git itself made: SRC and CI checks, and
//! repositories that mean no good.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use countersign::domain::artifact::{ArtifactKind, Facts, NpmFacts, PypiFacts};
use countersign::domain::claims::Claims;
use countersign::domain::digest::{Sha1, Sha256};
use countersign::domain::package::{Ecosystem, PackageName, Version};
use countersign::domain::repository::{Place, Repository, Rules};
use countersign::domain::review::binding::{
    ArtifactFile, Candidate, Counts, Matching, Summary, Tree,
};
use countersign::domain::review::closure::Closure;
use countersign::pipeline::binding::{self, Bound, Release, Sources};
use countersign::source::{Git, Settings, SourceError};
use serde_json::json;
use url::Url;

use crate::support::repository::{Forge, blob};

const WORKFLOW: &str = "\
on:
  push:
    tags: ['v*']
jobs:
  publish:
    permissions:
      id-token: write
    environment: release
    steps:
      - uses: octo/action@v1
      - run: npm publish
";
const PATH: &str = ".github/workflows/release.yml";
const PACKAGE_JSON: &str = "{\"name\":\"lib\",\"version\":\"1.0.0\"}";

/// The tokens of a run for a tag or branch of `octo/lib`.
fn claims(commit: &str, git_ref: &str) -> Claims {
    let workflow = format!("octo/lib/{PATH}@{git_ref}");
    let github = json!({
        "actor": "octo", "actor_id": "1", "base_ref": "", "environment": "release",
        "environment_node_id": null, "event_name": "push", "head_ref": "",
        "job_workflow_ref": workflow, "job_workflow_sha": commit, "ref": git_ref,
        "ref_protected": "true", "ref_type": "tag", "repository": "octo/lib", "repository_id": "1",
        "repository_owner": "octo", "repository_owner_id": "1", "repository_visibility": "public",
        "run_attempt": "1", "run_id": "1", "run_number": "1", "runner_environment": "github-hosted",
        "sha": commit, "workflow_ref": workflow,
    });
    serde_json::from_value(json!({
        "audience": "releases.example", "expires_at": "2026-01-01T00:05:00Z",
        "issued_at": "2026-01-01T00:00:00Z", "issuer": "019c0000-0000-7000-8000-000000000001",
        "issuer_url": "https://issuer.example", "jti": "1", "provider": { "github": github },
        "subject": "s", "unaccounted": [], "verified_at": "2026-01-01T00:00:00Z",
    }))
    .unwrap()
}

/// What is looked at, with what differs from case to case.
struct Case<'a> {
    git: Git,
    repositories: Vec<Repository>,
    files: Vec<(&'a str, &'a str)>,
    earlier: Vec<Summary>,
    last_look: Option<Summary>,
}

impl<'a> Case<'a> {
    fn new(place: Place) -> Self {
        let cache = std::env::temp_dir().join(format!("countersign-source-{}", std::process::id()));
        Self {
            git: Git::new(Settings::new(cache)),
            repositories: vec![repository("octo/lib", place)],
            files: vec![("package.json", PACKAGE_JSON), ("index.js", "run()\n")],
            earlier: Vec::new(),
            last_look: None,
        }
    }

    fn of(forge: &Forge) -> Self {
        Self::new(Place::Mirror(forge.bare.clone()))
    }

    fn with_action(mut self, action: &Forge) -> Self {
        let place = Place::Mirror(action.bare.clone());
        self.repositories.push(repository("octo/action", place));
        self
    }

    fn with_files(mut self, files: &[(&'a str, &'a str)]) -> Self {
        self.files = files.to_vec();
        self
    }

    fn after(mut self, earlier: Summary) -> Self {
        self.earlier = vec![earlier];
        self
    }

    async fn look(&self, commit: &str, git_ref: &str) -> Bound {
        let claims = claims(commit, git_ref);
        let (package, version) = (
            PackageName::parse(Ecosystem::Npm, "lib").unwrap(),
            Version::parse(Ecosystem::Npm, "1.0.0").unwrap(),
        );
        let files: Vec<ArtifactFile> = self.files.iter().map(|file| packed(*file)).collect();
        let facts = facts();
        let candidate = Candidate { file_name: "lib-1.0.0.tgz", facts: &facts, files: &files };
        let release = Release {
            package: &package,
            version: &version,
            claims: &claims,
            artifacts: &[candidate],
            earlier: &self.earlier,
            last_look: self.last_look.as_ref(),
        };
        let sources = Sources { git: &self.git, repositories: &self.repositories };
        binding::look(sources, &release).await
    }
}

fn repository(name: &str, place: Place) -> Repository {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let rules =
        Rules::parse(&owned(&["main", "release/*"]), &owned(&["v{version}"]), None).unwrap();
    Repository { name: name.to_owned(), place, rules, packages: Vec::new() }
}

fn packed((path, content): (&str, &str)) -> ArtifactFile {
    let (path, place) = (path.to_owned(), path.to_owned());
    let sha256 = Sha256::of(content.as_bytes());
    let blob = blob(content);
    ArtifactFile { path, place, blob, sha256, executable: false, only_version: false }
}

fn facts() -> Facts {
    Facts::Npm(NpmFacts {
        name: "lib".to_owned(),
        version: "1.0.0".to_owned(),
        package_json: serde_json::from_str(PACKAGE_JSON).unwrap(),
        readme: None,
        readme_filename: None,
        has_binding_gyp: false,
        has_shrinkwrap: false,
        file_count: 2,
        unpacked_bytes: 0,
    })
}

/// The repository of an action, `v1` at a composite one that runs nothing else.
fn action() -> Forge {
    let forge = Forge::new();
    forge.commit(&[("action.yml", "runs: { using: composite, steps: [] }\n")]);
    forge.tag("v1");
    forge
}

/// A repository with the package and its workflow, `v1.0.0` at it.
fn library() -> (Forge, String) {
    let forge = Forge::new();
    let commit = forge.commit(&[
        ("package.json", PACKAGE_JSON),
        ("index.js", "run()\n"),
        ("test/a.js", "test()\n"),
        (PATH, WORKFLOW),
    ]);
    forge.tag("v1.0.0");
    (forge, commit)
}

/// A release as its artifact and its tree were recorded, `blob path` a line.
fn recorded(artifact: &str, tree: &str, kind: ArtifactKind) -> Counts {
    let rows = |text: &str| -> Vec<(Sha1, String)> {
        let row = |line: &str| {
            let (blob, path) = line.split_once(' ').unwrap();
            (Sha1::parse_hex(blob).unwrap(), path.to_owned())
        };
        text.lines().map(row).collect()
    };
    let file = |(blob, path): (Sha1, String)| {
        let (place, sha256) = (path.clone(), Sha256::of(b""));
        ArtifactFile { path, place, blob, sha256, executable: false, only_version: false }
    };
    let files: Vec<ArtifactFile> = rows(artifact).into_iter().map(file).collect();
    let mut git = Tree::default();
    for (blob, path) in rows(tree) {
        git.add(path, blob);
    }
    let facts = match kind {
        ArtifactKind::NpmTarball => facts(),
        kind => Facts::Pypi(PypiFacts {
            kind,
            name: "Flask".to_owned(),
            version: "2.3.0".to_owned(),
            pyversion: "py3".to_owned(),
            fields: Vec::new(),
            description: None,
            file_count: 0,
            unpacked_bytes: 0,
        }),
    };
    let candidate = Candidate { file_name: "x", facts: &facts, files: &files };
    let matching = Matching::new(candidate, &git, None, &BTreeMap::new());
    assert_eq!(matching.findings(), Vec::new());
    matching.counts()
}

/// Real releases beside the trees of their tags. All of them must stay quiet.
#[test]
fn real_releases_are_found_in_git_to_the_last_file() {
    let file_name = "x".to_owned();
    let chalk = recorded(
        include_str!("../data/trees/chalk-5.0.0.tgz.txt"),
        include_str!("../data/trees/chalk-5.0.0.txt"),
        ArtifactKind::NpmTarball,
    );
    assert_eq!(chalk, Counts { exact: 12, file_name: file_name.clone(), ..Counts::default() });
    let source_map = recorded(
        include_str!("../data/trees/source-map-0.7.4.tgz.txt"),
        include_str!("../data/trees/source-map-0.7.4.txt"),
        ArtifactKind::NpmTarball,
    );
    assert_eq!(source_map, Counts { exact: 18, file_name: file_name.clone(), ..Counts::default() });
    let flask = recorded(
        include_str!("../data/trees/flask-2.3.0.whl.txt"),
        include_str!("../data/trees/flask-2.3.0.txt"),
        ArtifactKind::Wheel,
    );
    let expected = Counts { elsewhere: 24, generated: 5, file_name, ..Counts::default() };
    assert_eq!(flask, expected);
}

fn said(bound: &Bound) -> Vec<String> {
    let files = bound.artifacts.iter().flat_map(|(_, findings)| findings);
    bound.findings.iter().chain(files).map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_release_that_is_its_commit_is_quiet_and_its_origin_is_known() {
    let ((forge, commit), action) = (library(), action());
    let case = Case::of(&forge).with_action(&action);
    let bound = case.look(&commit, "refs/tags/v1.0.0").await;
    let summary = bound.summary.clone().unwrap();
    assert_eq!(bound.not_checked, Vec::<String>::new());
    assert_eq!((summary.artifacts[0].exact, summary.artifacts[0].missing), (2, 0));
    assert_eq!(summary.branch.as_deref(), Some("main"));
    assert_eq!(summary.tag.as_ref().unwrap().commit, commit);
    // A mutable reference where the token is: said once, and quiet when it is known to be the same.
    let first = said(&bound);
    assert!(first.len() == 1 && first[0].starts_with("block CI-01"), "{first:?}");
    let again = case.after(summary.clone()).look(&commit, "refs/tags/v1.0.0").await;
    assert!(said(&again)[0].starts_with("note CI-01"), "{:?}", said(&again));
    let (before, after) = (summary.closure.unwrap(), again.summary.unwrap().closure.unwrap());
    assert_eq!(before.sha256(), after.sha256());
    assert_eq!(Closure::try_from(before.text()).unwrap(), before);
}

#[tokio::test]
async fn a_summary_survives_being_kept() {
    let ((forge, commit), action) = (library(), action());
    let case = Case::of(&forge).with_action(&action);
    let summary = case.look(&commit, "refs/tags/v1.0.0").await.summary.unwrap();
    let kept = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&kept).unwrap(), summary);
}

#[tokio::test]
async fn files_that_git_does_not_have_or_has_differently_are_said() {
    let ((forge, commit), action) = (library(), action());
    let files = [
        ("package.json", PACKAGE_JSON),
        ("index.js", "run()\nsteal()\n"),
        ("router_init.js", "steal()\n"),
        ("notes.txt", "n"),
        ("copy/a.js", "test()\n"),
    ];
    let case = Case::of(&forge).with_action(&action).with_files(&files);
    let bound = case.look(&commit, "refs/tags/v1.0.0").await;
    let counts = &bound.summary.as_ref().unwrap().artifacts[0];
    assert_eq!((counts.exact, counts.elsewhere, counts.differs, counts.missing), (1, 1, 1, 2));
    let found: Vec<String> = bound.artifacts[0].1.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "look SRC-04: A file that is not in Git in notes.txt",
            "block SRC-04: A file that is not in Git in router_init.js",
            "block SRC-05: A file that differs from the one in Git in index.js",
        ]
    );
}

/// As in the release of a worm: a genuine run for a commit that no branch has.
#[tokio::test]
async fn a_commit_that_no_branch_has_blocks() {
    let (forge, _) = library();
    forge.git(&["checkout", "--quiet", "--orphan", "strange"]);
    forge.git(&["commit", "--quiet", "--allow-empty", "-m", "Strange"]);
    let orphan = forge.git(&["rev-parse", "HEAD"]);
    let unknown = Case::of(&forge).look(&orphan, "refs/heads/main").await;
    let found = said(&unknown).join("\n");
    assert!(found.contains("block SRC-01") && found.contains("no branch or tag"), "{found}");
    assert!(unknown.summary.is_none() && unknown.not_checked.len() == 1);
    // The same when the object is there, as through the network of forks, and nothing leads to it.
    forge.git(&["push", "--quiet", "origin", "HEAD:refs/pull/1/head"]);
    let found = said(&Case::of(&forge).look(&orphan, "refs/heads/main").await).join("\n");
    assert!(found.contains("no branch or tag"), "{found}");
    forge.git(&["push", "--quiet", "origin", "HEAD:refs/heads/feature"]);
    let bound = Case::of(&forge).look(&orphan, "refs/heads/feature").await;
    let found = said(&bound).join("\n");
    assert!(found.contains("is on feature alone"), "{found}");
    forge.git(&["push", "--quiet", "origin", "HEAD:refs/heads/release/1.x"]);
    let found = said(&Case::of(&forge).look(&orphan, "refs/heads/release/1.x").await).join("\n");
    assert!(!found.contains("SRC-01"), "{found}");
}

#[tokio::test]
async fn a_tag_that_leads_elsewhere_or_was_moved_blocks() {
    let (forge, commit) = library();
    let first = Case::of(&forge).look(&commit, "refs/tags/v1.0.0").await.summary.unwrap();
    let other = forge.commit(&[("index.js", "other()\n")]);
    forge.tag("v1.0.0");
    let found = said(&Case::of(&forge).look(&commit, "refs/tags/v1.0.0").await).join("\n");
    assert!(found.contains(&format!("v1.0.0 leads to {other}, and {commit} was built")), "{found}");
    // A later release sees that the tag of an earlier one was moved, and so does a second look.
    forge.tag("v2.0.0");
    let mut later = Case::of(&forge).after(first.clone());
    let moved = format!("v1.0.0 was moved from {commit} to {other}");
    let found = said(&later.look(&other, "refs/tags/v2.0.0").await).join("\n");
    assert!(found.contains(&moved), "{found}");
    later.earlier.clear();
    later.last_look = Some(first);
    assert!(said(&later.look(&other, "refs/tags/v2.0.0").await).join("\n").contains(&moved));
}

#[tokio::test]
async fn a_changed_workflow_and_a_changed_closure_are_said() {
    let ((forge, commit), action) = (library(), action());
    let case = Case::of(&forge).with_action(&action);
    let first = case.look(&commit, "refs/tags/v1.0.0").await.summary.unwrap();
    let opened = WORKFLOW.replace("tags: ['v*']", "branches: [main]");
    let next = forge.commit(&[
        (PATH, &opened),
        (".github/dependabot.yml", "version: 2\n"),
        ("package-lock.json", "{}"),
    ]);
    action
        .commit(&[("action.yml", "runs: { using: node20, main: steal.js }\n"), ("steal.js", "x")]);
    action.tag("v1");
    let bound = case.after(first.clone()).look(&next, "refs/heads/main").await;
    let found = said(&bound).join("\n");
    for expected in [
        format!(
            "block CI-05: What makes releases changed since the last one `when it runs` in {PATH}"
        ),
        "look CI-05: What makes releases changed since the last one in .github/dependabot.yml"
            .to_owned(),
        "note CI-05: What makes releases changed since the last one in package-lock.json"
            .to_owned(),
        "block CI-01: An action that can become another one `octo/action@v1 (".to_owned(),
        "look CI-02: Something else takes part in the build `octo/action/steal.js@v1".to_owned(),
    ] {
        assert!(found.contains(&expected), "{expected}:\n{found}");
    }
    let closure = bound.summary.unwrap().closure.unwrap();
    assert_ne!(closure.sha256(), first.closure.unwrap().sha256());
    assert!(closure.text().contains("bundle octo/action steal.js v1"), "{}", closure.text());
}

#[tokio::test]
async fn what_is_not_configured_is_said_in_plain_words() {
    let (forge, commit) = library();
    let mut case = Case::of(&forge);
    let bound = case.look(&commit, "refs/tags/v1.0.0").await;
    assert_eq!(
        bound.not_checked,
        ["Not looked into: octo/action@v1: no repository of this name is configured."]
    );
    case.repositories.clear();
    let bound = case.look(&commit, "refs/tags/v1.0.0").await;
    assert_eq!(bound.findings, Vec::new());
    assert!(bound.not_checked[0].starts_with("No source repository is configured for octo/lib"));
    assert!(bound.summary.is_none());
}

#[tokio::test]
async fn without_git_or_a_repository_the_release_is_not_silent() {
    let (forge, commit) = library();
    let mut case = Case::of(&forge);
    let settings = Settings::new(PathBuf::from("unused"));
    case.git = Git::new(Settings { program: PathBuf::from("git-that-is-not-there"), ..settings });
    let bound = case.look(&commit, "refs/tags/v1.0.0").await;
    assert!(bound.not_checked[0].contains("git is not installed"), "{bound:?}");
    assert!(said(&bound)[0].starts_with("look SRC-00"));
    let gone = Case::new(Place::Mirror(PathBuf::from("nowhere.git")));
    let bound = gone.look(&commit, "refs/tags/v1.0.0").await;
    assert!(said(&bound)[0].starts_with("look SRC-00"), "{bound:?}");
    assert!(bound.summary.is_none());
}

/// Names of files are whatever bytes Git allows; they are compared and shown, never arguments.
#[tokio::test]
async fn hostile_names_in_a_repository_are_only_names() {
    let (forge, _) = library();
    let names = ["-rf", "--upload-pack=x", ":(glob)**", "a\nb", "$(touch x)", "a\tb", "é"];
    let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, *name)).collect();
    let commit = forge.commit(&files);
    // Paths that no work tree can have, made of objects alone.
    let blob = forge.git(&["hash-object", "-w", "index.js"]);
    let list = format!(
        "100644 blob {blob}\t..\n100644 blob {blob}\t.git\n120000 blob {blob}\tlink\n\
                        160000 commit {commit}\tsub\n"
    );
    let tree = forge.bare_git_reads(&["mktree"], &list);
    let evil = forge.bare_git(&["commit-tree", &tree, "-p", &commit, "-m", "Evil"]);
    forge.bare_git(&["update-ref", "refs/heads/main", &evil]);
    let mut expected = files.clone();
    expected.push(("index.js", "run()\n"));
    let case = Case::of(&forge).with_files(&expected);
    let bound = case.look(&commit, "refs/heads/main").await;
    assert_eq!(bound.summary.unwrap().artifacts[0].exact, expected.len());
    let case = case.with_files(&[("index.js", "run()\n"), ("../x", "y"), ("link", "run()\n")]);
    let bound = case.look(&evil, "refs/heads/main").await;
    let counts = &bound.summary.as_ref().unwrap().artifacts[0];
    assert_eq!((counts.elsewhere, counts.missing), (2, 1));
    assert!(bound.not_checked.iter().any(|text| text.contains("1 submodules")), "{bound:?}");
    // A token can name whatever it likes; a commit is 40 hex digits and nothing else here.
    let mirror = case.git.open(&Place::Mirror(forge.bare.clone())).await.unwrap();
    for name in ["--all", "-x", "HEAD:index.js", "main^{tree}", "refs/heads/../x", "@{-1}", ""] {
        assert_eq!(mirror.commit(name).await, Ok(None), "{name}");
    }
}

/// A few objects that stand for more files than there is memory.
#[tokio::test]
async fn a_tree_that_grows_without_end_is_refused() {
    let (forge, _) = library();
    let blob = forge.bare_git_reads(&["hash-object", "-w", "--stdin"], "x");
    let row = |kind: &str, object: &str| {
        let mode = if kind == "blob" { "100644" } else { "040000" };
        let rows: Vec<String> =
            (0..10).map(|n| format!("{mode} {kind} {object}\tname{n}\n")).collect();
        rows.concat()
    };
    let mut tree = forge.bare_git_reads(&["mktree"], &row("blob", &blob));
    for _ in 0..9 {
        tree = forge.bare_git_reads(&["mktree"], &row("tree", &tree));
    }
    let commit = forge.bare_git(&["commit-tree", &tree, "-m", "Bomb"]);
    forge.bare_git(&["update-ref", "refs/heads/main", &commit]);
    let bound = Case::of(&forge).look(&commit, "refs/heads/main").await;
    let found = said(&bound).join("\n");
    assert!(found.contains("look SRC-00") && found.contains("more files"), "{found}");
    assert!(bound.summary.is_none());
}

/// Neither what the repository has configured nor replacement objects take effect.
#[tokio::test]
async fn a_repository_cannot_run_programs_or_stand_in_for_objects() {
    let (forge, commit) = library();
    let mark = forge.bare.join("ran");
    let script = forge.bare.join("script");
    std::fs::write(&script, format!("#!/bin/sh\ntouch '{}'\n", mark.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for key in ["core.fsmonitor", "core.alternateRefsCommand", "diff.external", "core.pager"] {
        forge.bare_git(&["config", key, script.to_str().unwrap()]);
    }
    let stolen = forge.git(&["rev-parse", "HEAD:index.js"]);
    let evil = forge.bare_git_reads(&["hash-object", "-w", "--stdin"], "steal()\n");
    forge.bare_git(&["update-ref", &format!("refs/replace/{stolen}"), &evil]);
    let bound = Case::of(&forge).look(&commit, "refs/tags/v1.0.0").await;
    assert_eq!(bound.summary.unwrap().artifacts[0].exact, 2);
    assert!(!mark.exists());
    let git = Git::new(Settings::new(forge.bare.join("cache")));
    let mirror = git.open(&Place::Mirror(forge.bare.clone())).await.unwrap();
    assert_eq!(mirror.content(blob("run()\n"), 100).await.unwrap(), b"run()\n");
    assert_eq!(mirror.content(blob("run()\n"), 3).await, Err(SourceError::TooLarge));
}

/// Serves the files of a folder, as any web server would, to those who know the password.
fn serve(folder: PathBuf, password: Option<&'static str>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/lib.git", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(request)) = lines.next() else { continue };
            let headers: Vec<String> =
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let allowed = password.is_none_or(|wanted| headers.iter().any(|h| h.ends_with(wanted)));
            let path = request.split([' ', '?']).nth(1).unwrap_or_default();
            let path = folder.join(path.trim_start_matches("/lib.git/"));
            let answer = match std::fs::read(&path) {
                Ok(content) if allowed => (200, content),
                Ok(_) => (403, Vec::new()),
                Err(_) => (404, Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.0,
                answer.1.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &answer.1].concat());
        }
    });
    Url::parse(&url).unwrap()
}

fn remote(url: Url, credentials_file: Option<PathBuf>) -> Place {
    Place::Remote { url, credentials_file, allow_private: true }
}

fn cached(place: Place, cache: &Path) -> Case<'static> {
    let mut case = Case::new(place);
    case.git = Git::new(Settings::new(cache.to_owned()));
    case
}

#[tokio::test]
async fn a_repository_is_fetched_each_time_with_its_credentials() {
    let (forge, commit) = library();
    let cache = tempfile::tempdir().unwrap();
    forge.bare_git(&["update-server-info"]);
    let secret = cache.path().join("credentials");
    std::fs::write(&secret, "octo:s3cret\n").unwrap();
    let url = serve(forge.bare.clone(), Some("b2N0bzpzM2NyZXQ="));
    let case = cached(remote(url.clone(), Some(secret)), &cache.path().join("c"));
    let bound = case.look(&commit, "refs/tags/v1.0.0").await;
    assert_eq!(bound.summary.unwrap().artifacts[0].exact, 2);
    let next = forge.commit(&[("index.js", "run()\n"), ("b.js", "b")]);
    forge.bare_git(&["update-server-info"]);
    assert!(case.look(&next, "refs/heads/main").await.summary.is_some());
    // Without the credentials nothing is fetched, and nobody is asked for any.
    let stranger = cached(remote(url, None), &cache.path().join("d"));
    let bound = stranger.look(&commit, "refs/tags/v1.0.0").await;
    assert!(said(&bound)[0].starts_with("look SRC-00") && bound.summary.is_none(), "{bound:?}");
}

#[tokio::test]
async fn only_the_configured_transport_is_spoken() {
    let (forge, commit) = library();
    let cache = tempfile::tempdir().unwrap();
    for address in
        [Url::from_file_path(&forge.bare).unwrap(), Url::parse("ext::sh%20-c%20touch%20x").unwrap()]
    {
        let case = cached(remote(address.clone(), None), cache.path());
        let bound = case.look(&commit, "refs/tags/v1.0.0").await;
        let found = said(&bound).join("\n");
        assert!(
            found.contains("look SRC-00") && found.contains("not allowed"),
            "{address}: {found}"
        );
    }
}

#[tokio::test]
async fn a_fetch_that_takes_too_long_or_grows_too_large_is_ended() {
    let cache = tempfile::tempdir().unwrap();
    let (_forge, commit) = library();
    // Takes the connection and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/x.git", silent.local_addr().unwrap())).unwrap();
    let mut case = cached(remote(url, None), cache.path());
    let mut settings = Settings::new(cache.path().to_owned());
    settings.fetch_within = Duration::from_millis(500);
    case.git = Git::new(settings.clone());
    let began = Instant::now();
    let bound = case.look(&commit, "refs/tags/v1.0.0").await;
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(said(&bound)[0].contains("took longer"), "{bound:?}");
    settings.fetched_max_bytes = 0;
    settings.fetch_within = Duration::from_secs(20);
    case.git = Git::new(settings);
    let bound = case.look(&commit, "refs/tags/v1.0.0").await;
    assert!(bound.summary.is_none() && said(&bound)[0].starts_with("look SRC-00"));
    assert!(said(&bound)[0].contains("more files or bytes"), "{bound:?}");
}
