//! What the tests of clients share: a world with projects to publish, and a person who looks at what came of it.

use countersign_e2e::browser::Browser;
use countersign_e2e::clients::{Desk, Job, PythonTarget, Ran};
use countersign_e2e::gateway::Settings;
use countersign_e2e::projects::{self, Backend, PythonProject};
use countersign_e2e::world::{INES, NPM_NAME, PYTHON_NAME, World};
use serde_json::json;
use tempfile::TempDir;

/// The small world, with Ines signed in to see what came of an upload.
pub struct Stage {
    pub world: World,
    pub ines: Browser,
    dir: TempDir,
}

impl Stage {
    pub async fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let world = World::start(dir.path(), &Settings::default()).await;
        let ines = world.enrol(INES).await;
        Stage { world, ines, dir }
    }

    pub async fn python(&self, version: &str, backend: Backend) -> PythonProject {
        let dir = self.dir.path().join(format!("python-{version}"));
        projects::python(&dir, PYTHON_NAME, version, backend).await
    }

    pub fn npm(&self, version: &str) -> std::path::PathBuf {
        let dir = self.dir.path().join(format!("npm-{version}"));
        projects::npm(&dir, NPM_NAME, version);
        dir
    }

    /// A target whose password is a token of the job itself, as its CI gave it out.
    pub fn raw(&self) -> PythonTarget {
        let token = self.world.issuer.github("localhost", &json!({}));
        PythonTarget::token(&self.world.gateway.pypi_url(), &token)
    }

    /// A target whose password is what the exchange gave out.
    pub async fn minted(&self) -> PythonTarget {
        let url = self.world.gateway.pypi_url();
        let (status, answer) = self.world.ci_desk().mint(&self.world.gateway.ca, &url).await;
        assert_eq!(status, 200, "{answer}");
        PythonTarget::token(&url, answer["token"].as_str().unwrap())
    }

    /// A desk that knows of no CI: what it sends is what it was given.
    pub fn plain_desk(&self) -> Desk {
        Desk::new(&self.world.gateway.ca, Job::None)
    }

    /// Addresses of all listed releases.
    pub async fn releases(&self) -> Vec<String> {
        self.ines.go(&format!("{}/releases", self.world.gateway.origin)).await;
        let script = "[...new Set([...document.querySelectorAll('tbody a[href*=\"/releases/\"]')].map(a => a.href))]";
        serde_json::from_value(self.ines.evaluate(script).await).unwrap()
    }

    /// One release more than `before`, holding exactly these files; returns its address.
    pub async fn assert_staged(&self, before: &[String], files: &[String]) -> String {
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

    pub async fn assert_nothing_new(&self, before: &[String]) {
        let mut after = self.releases().await;
        let mut before = before.to_vec();
        after.sort();
        before.sort();
        assert_eq!(after, before, "a refused upload left a release");
    }

    /// What is listed for one release, digest by digest.
    pub async fn held(&self, release: &str) -> Vec<(String, String)> {
        self.ines.go(release).await;
        self.ines.digests("/artifacts/").await
    }

    /// Changes a claim of every later token. A run at another ref takes its workflow from there, too.
    pub fn set(&self, claim: &str, value: &str) {
        self.world.issuer.set(claim, json!(value));
        if claim == "ref" {
            let workflow = json!(format!("octo/hello-wire/.github/workflows/release.yml@{value}"));
            self.world.issuer.set("workflow_ref", workflow.clone());
            self.world.issuer.set("job_workflow_ref", workflow);
        }
    }

    /// Sets a claim of every later token to `wrong`, tries, sets it back, and sees that nothing came of it.
    pub async fn with_wrong<F: Future<Output = Ran>>(
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

/// Both files of the Python project.
pub fn python_files(version: &str) -> Vec<String> {
    vec![format!("hello_wire-{version}.tar.gz"), format!("hello_wire-{version}-py3-none-any.whl")]
}

/// The tarball of the npm package.
pub fn tarball(version: &str) -> Vec<String> {
    vec![format!("hello-wire-{version}.tgz")]
}
