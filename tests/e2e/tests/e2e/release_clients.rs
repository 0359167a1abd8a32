//! Every real client stages at the real gateway, each with a version of its own; then the same bytes again, other
//! bytes, and wrong claims, with what the client shows to the person who reads CI's log.

use std::path::Path;

use countersign_e2e::browser::Browser;
use countersign_e2e::clients::{Desk, Job, Npm, NpmTarget, PythonTarget, Ran};
use countersign_e2e::gateway::Settings;
use countersign_e2e::projects::{self, Backend, PythonProject};
use countersign_e2e::world::{INES, NPM_NAME, PYTHON_NAME, World};
use serde_json::json;
use tempfile::TempDir;

struct Stage {
    world: World,
    ines: Browser,
    dir: TempDir,
}

impl Stage {
    async fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let world = World::start(dir.path(), &Settings::default()).await;
        let ines = world.enrol(INES).await;
        Stage { world, ines, dir }
    }

    async fn python(&self, version: &str, backend: Backend) -> PythonProject {
        let dir = self.dir.path().join(format!("python-{version}"));
        projects::python(&dir, PYTHON_NAME, version, backend).await
    }

    fn npm(&self, version: &str) -> std::path::PathBuf {
        let dir = self.dir.path().join(format!("npm-{version}"));
        projects::npm(&dir, NPM_NAME, version);
        dir
    }

    /// A target whose password is a token of the job itself, as its CI gave it out.
    fn raw(&self) -> PythonTarget {
        let token = self.world.issuer.github("localhost", &json!({}));
        PythonTarget::token(&self.world.gateway.pypi_url(), &token)
    }

    /// A target whose password is what the exchange gave out.
    async fn minted(&self) -> PythonTarget {
        let url = self.world.gateway.pypi_url();
        let (status, answer) = self.world.ci_desk().mint(&self.world.gateway.ca, &url).await;
        assert_eq!(status, 200, "{answer}");
        PythonTarget::token(&url, answer["token"].as_str().unwrap())
    }

    /// A desk that knows of no CI: what it sends is what it was given.
    fn plain_desk(&self) -> Desk {
        Desk::new(&self.world.gateway.ca, Job::None)
    }

    /// Addresses of all listed releases.
    async fn releases(&self) -> Vec<String> {
        self.ines.go(&format!("{}/releases", self.world.gateway.origin)).await;
        let script = "[...new Set([...document.querySelectorAll('tbody a[href*=\"/releases/\"]')].map(a => a.href))]";
        serde_json::from_value(self.ines.evaluate(script).await).unwrap()
    }

    /// One release more than `before`, holding exactly these files; returns its address.
    async fn assert_staged(&self, before: &[String], files: &[String]) -> String {
        let after = self.releases().await;
        let new: Vec<&String> = after.iter().filter(|link| !before.contains(link)).collect();
        assert_eq!(new.len(), 1, "new releases {new:?}");
        self.ines.review(new[0]).await;
        let digests = self.ines.digests("/artifacts/").await;
        let mut names: Vec<String> = digests.into_iter().map(|(name, _)| name).collect();
        names.sort();
        let mut files = files.to_vec();
        files.sort();
        assert_eq!(names, files);
        new[0].clone()
    }

    async fn assert_nothing_new(&self, before: &[String]) {
        let mut after = self.releases().await;
        let mut before = before.to_vec();
        after.sort();
        before.sort();
        assert_eq!(after, before, "a refused upload left a release");
    }

    /// What is listed for one release, digest by digest.
    async fn held(&self, release: &str) -> Vec<(String, String)> {
        self.ines.go(release).await;
        self.ines.digests("/artifacts/").await
    }

    /// Changes a claim of every later token. A run at another ref takes its workflow from there, too.
    fn set(&self, claim: &str, value: &str) {
        self.world.issuer.set(claim, json!(value));
        if claim == "ref" {
            let workflow = json!(format!("octo/hello-wire/.github/workflows/release.yml@{value}"));
            self.world.issuer.set("workflow_ref", workflow.clone());
            self.world.issuer.set("job_workflow_ref", workflow);
        }
    }

    /// Sets a claim of every later token to `wrong`, tries, sets it back, and sees that nothing came of it.
    async fn with_wrong<F: Future<Output = Ran>>(
        &self,
        (claim, wrong, right): (&str, &str, &str),
        expected: &str,
        run: impl FnOnce() -> F,
    ) {
        let before = self.releases().await;
        self.set(claim, wrong);
        let ran = run().await;
        self.set(claim, right);
        let ran = ran.failed_showing(claim).failed_showing(expected);
        ran.failed_showing(wrong);
        self.assert_nothing_new(&before).await;
    }
}

fn python_files(version: &str) -> Vec<String> {
    vec![format!("hello_wire-{version}.tar.gz"), format!("hello_wire-{version}-py3-none-any.whl")]
}

const ENVIRONMENT: (&str, &str, &str) = ("environment", "staging", "release");
const REF: (&str, &str, &str) = ("ref", "refs/heads/main", "refs/tags/v1.0.0");

#[tokio::test]
async fn every_python_client_stages_its_files() {
    let stage = Stage::new().await;
    let url = stage.world.gateway.pypi_url();

    let (before, project) =
        (stage.releases().await, stage.python("1.1.0", Backend::Hatchling).await);
    stage.plain_desk().twine(&stage.raw(), &project.files).await.succeeded();
    stage.assert_staged(&before, &python_files("1.1.0")).await;

    let (before, project) =
        (stage.releases().await, stage.python("1.2.0", Backend::Hatchling).await);
    stage.world.ci_desk().uv_trusted(&url, &project.files).await.succeeded();
    stage.assert_staged(&before, &python_files("1.2.0")).await;

    let (before, project) =
        (stage.releases().await, stage.python("1.3.0", Backend::Hatchling).await);
    stage.plain_desk().uv(&stage.minted().await, &project.files).await.succeeded();
    stage.assert_staged(&before, &python_files("1.3.0")).await;

    let (before, project) =
        (stage.releases().await, stage.python("1.4.0", Backend::Hatchling).await);
    stage.plain_desk().poetry(&stage.minted().await, &project.dir).await.succeeded();
    stage.assert_staged(&before, &python_files("1.4.0")).await;

    let (before, project) = (stage.releases().await, stage.python("1.5.0", Backend::Flit).await);
    stage.plain_desk().flit(&stage.minted().await, &project.dir).await.succeeded();
    stage.assert_staged(&before, &python_files("1.5.0")).await;

    let (before, project) =
        (stage.releases().await, stage.python("1.6.0", Backend::Hatchling).await);
    let target = stage.minted().await;
    stage.plain_desk().hatch(&target, &project.dir, &project.files).await.succeeded();
    stage.assert_staged(&before, &python_files("1.6.0")).await;

    let (before, project) =
        (stage.releases().await, stage.python("1.7.0", Backend::Hatchling).await);
    stage.plain_desk().maturin(&stage.minted().await, &project.files).await.succeeded();
    stage.assert_staged(&before, &python_files("1.7.0")).await;
}

#[tokio::test]
async fn python_clients_may_repeat_but_not_replace_and_see_which_claim_is_wrong() {
    let stage = Stage::new().await;
    let (ca, url) = (&stage.world.gateway.ca, stage.world.gateway.pypi_url());
    let project = stage.python("1.0.0", Backend::Hatchling).await;
    stage.plain_desk().twine(&stage.raw(), &project.files).await.succeeded();
    let release = stage.assert_staged(&[], &python_files("1.0.0")).await;
    let (before, held) = (stage.releases().await, stage.held(&release).await);

    // The same bytes from the same run are a success and no second release.
    stage.plain_desk().twine(&stage.raw(), &project.files).await.succeeded();
    stage.world.ci_desk().uv_trusted(&url, &project.files).await.succeeded();
    stage.assert_nothing_new(&before).await;

    // Other bytes under the same names, in the words that clients look for.
    std::fs::write(project.dir.join("README.md"), "# hello-wire\n\nSays something else.\n")
        .unwrap();
    let other = projects::build(&project.dir, PYTHON_NAME, "1.0.0").await;
    let ran = stage.plain_desk().twine(&stage.raw(), &other.files).await;
    ran.failed_showing("File already exists");
    let ran = stage.world.ci_desk().uv_trusted(&url, &other.files).await;
    ran.failed_showing("File already exists");
    stage.assert_nothing_new(&before).await;
    assert_eq!(stage.held(&release).await, held, "refused bytes replaced held ones");

    // Wrong claims: which, what was expected, what came.
    let next = stage.python("2.0.0", Backend::Hatchling).await;
    let files = &next.files;
    stage
        .with_wrong(ENVIRONMENT, "release", async || {
            stage.plain_desk().twine(&stage.raw(), files).await
        })
        .await;
    stage
        .with_wrong(REF, "refs/tags/v*", async || {
            stage.plain_desk().twine(&stage.raw(), files).await
        })
        .await;
    let desk = stage.world.ci_desk();
    stage
        .with_wrong(ENVIRONMENT, "release", async || desk.pypa_action(ca, &url, files).await)
        .await;
    stage.with_wrong(REF, "refs/tags/v*", async || desk.uv_trusted(&url, files).await).await;
    // With the right ones again the same upload goes through.
    desk.pypa_action(ca, &url, files).await.succeeded();
}

fn tarball(version: &str) -> Vec<String> {
    vec![format!("hello-wire-{version}.tgz")]
}

#[tokio::test]
async fn every_npm_client_stages_its_tarball() {
    let stage = Stage::new().await;
    let target = stage.world.npm_target();
    let desk = || stage.world.ci_desk();

    let before = stage.releases().await;
    desk().npm_publish(Npm::V11, &target, &stage.npm("1.1.0")).await.succeeded();
    stage.assert_staged(&before, &tarball("1.1.0")).await;

    let before = stage.releases().await;
    desk().npm_publish(Npm::V12, &target, &stage.npm("1.2.0")).await.succeeded();
    stage.assert_staged(&before, &tarball("1.2.0")).await;

    let before = stage.releases().await;
    let ran = desk().npm_stage(&target, &stage.npm("1.3.0")).await.succeeded();
    let release = stage.assert_staged(&before, &tarball("1.3.0")).await;
    let id = release.rsplit('/').next().unwrap();
    assert!(ran.output().contains(id), "npm stage showed another id than {id}:\n{}", ran.output());

    let before = stage.releases().await;
    desk().pnpm(&target, &stage.npm("1.4.0")).await.succeeded();
    stage.assert_staged(&before, &tarball("1.4.0")).await;

    let before = stage.releases().await;
    desk().yarn(&target, &stage.npm("1.5.0")).await.succeeded();
    stage.assert_staged(&before, &tarball("1.5.0")).await;
}

#[tokio::test]
async fn npm_clients_may_repeat_but_not_replace_and_see_which_claim_is_wrong() {
    let stage = Stage::new().await;
    let target = stage.world.npm_target();
    let desk = stage.world.ci_desk();
    let project = stage.npm("1.0.0");
    desk.npm_publish(Npm::V12, &target, &project).await.succeeded();
    let release = stage.assert_staged(&[], &tarball("1.0.0")).await;
    let (before, held) = (stage.releases().await, stage.held(&release).await);

    desk.npm_publish(Npm::V12, &target, &project).await.succeeded();
    stage.assert_nothing_new(&before).await;

    append(&project.join("index.js"), "exports.other = true\n");
    for npm in [Npm::V11, Npm::V12] {
        let ran = desk.npm_publish(npm, &target, &project).await;
        ran.failed_showing("You cannot publish over");
    }
    stage.assert_nothing_new(&before).await;
    assert_eq!(stage.held(&release).await, held, "refused bytes replaced held ones");

    // npm keeps a refused exchange to itself and sends nothing; with a token in its settings it shows the reason.
    let next = stage.npm("2.0.0");
    let with_token = || NpmTarget {
        url: target.url.clone(),
        token: Some(stage.world.issuer.github("npm:localhost", &json!({}))),
    };
    for (wrong, expected) in [(ENVIRONMENT, "release"), (REF, "refs/tags/v*")] {
        let run = async || stage.plain_desk().npm_publish(Npm::V12, &with_token(), &next).await;
        stage.with_wrong(wrong, expected, run).await;
    }
    stage.world.issuer.set("environment", json!("staging"));
    let ran = desk.npm_publish(Npm::V12, &target, &next).await;
    stage.world.issuer.set("environment", json!("release"));
    assert_ne!(ran.code, 0, "{}", ran.output());
    stage.assert_nothing_new(&before).await;
    desk.npm_publish(Npm::V12, &target, &next).await.succeeded();
}

fn append(file: &Path, text: &str) {
    let mut code = std::fs::read_to_string(file).unwrap();
    code.push_str(text);
    std::fs::write(file, code).unwrap();
}
