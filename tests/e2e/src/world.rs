//! A whole small world: an issuer, an npm and a Python registry, the gateway set up between them, and three people of
//! whom two must approve. Jun pushed the tag, so Jun's approval does not count; Ines and Mara are asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::browser::Browser;
use crate::clients::{Desk, Job, Npm, NpmTarget, Ran};
use crate::gateway::{Gateway, Invite, Settings};
use crate::issuer::Issuer;
use crate::projects::{self, Backend};
use crate::registries::{PythonRegistry, Verdaccio};

/// The npm package.
pub const NPM_NAME: &str = "@octo/hello-wire";
/// The Python project.
pub const PYTHON_NAME: &str = "hello-wire";
/// The version of both.
pub const VERSION: &str = "1.0.0";
/// The owner, one of the two who approve.
pub const INES: &str = "Ines Duarte";
/// A maintainer, the other one.
pub const MARA: &str = "Mara Lindqvist";
/// The maintainer who pushed the tag.
pub const JUN: &str = "Jun Watanabe";

/// Everything running, and the folder it runs in.
pub struct World {
    /// The CI's issuer.
    pub issuer: Issuer,
    /// The issuer of a second CI, shaped like GitLab's, that may submit the same packages.
    pub gitlab: Issuer,
    /// The npm registry.
    pub npm: Verdaccio,
    /// The Python registry.
    pub python: PythonRegistry,
    /// Between them.
    pub gateway: Gateway,
    /// One per person.
    pub invites: Vec<Invite>,
    dir: PathBuf,
}

/// A submitted release: where it is reviewed, and the files CI built for it.
pub struct Submitted {
    /// The review page.
    pub link: String,
    /// The files as CI has them.
    pub files: Vec<PathBuf>,
}

impl World {
    /// Starts all of it in `dir` and applies the set-up.
    pub async fn start(dir: &Path, settings: &Settings) -> World {
        let issuer = Issuer::start().await;
        let (npm, python) = tokio::join!(Verdaccio::start(), PythonRegistry::pypiserver());
        World::between(dir, settings, (issuer, npm, python)).await
    }

    /// The same, around registries and an issuer that already run.
    pub async fn between(
        dir: &Path,
        settings: &Settings,
        outside: (Issuer, Verdaccio, PythonRegistry),
    ) -> World {
        let (issuer, npm, python) = outside;
        let gateway = Gateway::start(&dir.join("gateway"), settings).await;
        gateway.write("npm.token", &npm.token);
        gateway.write("pypi.token", &python.password);
        let gitlab = Issuer::start().await;
        let setup = format!("{}{}", setup(&issuer, &npm, &python), gitlab_setup(&gitlab));
        let invites = gateway.apply(&setup).await;
        World { issuer, gitlab, npm, python, gateway, invites, dir: dir.to_path_buf() }
    }

    /// A place to run a client in a GitHub job of the issuer.
    pub fn ci_desk(&self) -> Desk {
        Desk::new(&self.gateway.ca, Job::github(&self.issuer))
    }

    /// The gateway as an npm registry, without a configured token.
    pub fn npm_target(&self) -> NpmTarget {
        NpmTarget { url: self.gateway.npm_url(), token: None }
    }

    /// The invitation of a person.
    pub fn invite(&self, name: &str) -> &str {
        let invite = self.invites.iter().find(|invite| invite.name == name);
        &invite.unwrap_or_else(|| panic!("no invitation for {name} in {:?}", self.invites)).url
    }

    /// Opens a browser for a person, adds a passkey at the invitation and signs in.
    pub async fn enrol(&self, name: &str) -> Browser {
        let (browser, _) = Browser::with_key().await;
        let enrolled = browser.enrol(self.invite(name)).await;
        assert_eq!(enrolled, Ok(()), "{name} adds a passkey");
        browser.go(&self.gateway.origin).await;
        if browser.url().await.contains("/login") {
            assert_eq!(browser.sign_in(&self.gateway.origin).await, Ok(()), "{name} signs in");
        }
        browser
    }

    /// Ines puts what is set up before the founders, and both sign it. Returns the recovery secret, which the page
    /// showed once.
    pub async fn found(&self, ines: &Browser, mara: &Browser) -> String {
        let page = format!("{}/founding", self.gateway.origin);
        ines.go(&page).await;
        assert_eq!(
            ines.press("form[action='/founding']").await,
            Ok(()),
            "{INES} puts it before them"
        );
        let shown = ines.evaluate("document.querySelector('#secret')?.innerText ?? ''").await;
        let secret = shown.as_str().unwrap_or_default().to_string();
        assert!(secret.starts_with("countersign-recovery-"), "no secret:\n{}", ines.text().await);
        for (name, founder) in [(INES, ines), (MARA, mara)] {
            assert_eq!(founder.sign(&page).await, Ok(()), "{name} signs the founding");
        }
        secret
    }

    /// Builds the Python project and uploads sdist and wheel the way the PyPA action does.
    pub async fn submit_python(&self) -> Submitted {
        let dir = self.dir.join("python");
        let project = projects::python(&dir, PYTHON_NAME, VERSION, Backend::Hatchling).await;
        let desk = self.ci_desk();
        let ran = desk
            .pypa_action(&self.gateway.ca, &self.gateway.pypi_url(), &project.files)
            .await
            .succeeded();
        Submitted { link: link(&ran), files: project.files }
    }

    /// Publishes the npm package with npm 12 through the exchange.
    pub async fn submit_npm(&self) -> Submitted {
        self.submit_npm_after(|_| {}).await
    }

    /// The same after a change of what lies in its folder.
    pub async fn submit_npm_after(&self, change: impl FnOnce(&Path)) -> Submitted {
        let dir = self.dir.join("npm");
        projects::npm(&dir, NPM_NAME, VERSION);
        change(&dir);
        let desk = self.ci_desk();
        let packed = desk.npm_pack(&dir).await;
        let kept = self.dir.join(packed.file_name().expect("a file name"));
        std::fs::copy(&packed, &kept).expect("a copy of the tarball");
        let ran = desk.npm_publish(Npm::V12, &self.npm_target(), &dir).await.succeeded();
        Submitted { link: link(&ran), files: vec![kept] }
    }

    /// The log's verifier key, as everybody may read it.
    pub async fn log_key(&self) -> String {
        let url = format!("{}/log/key", self.gateway.origin);
        let answer = crate::http().get(url).send().await.expect("an answer");
        answer.text().await.expect("the key").trim().to_owned()
    }

    /// Waits until both registries hold the releases.
    pub async fn until_published(&self, limit: Duration) {
        let begun = Instant::now();
        while !(self.npm_is_published().await && self.python_is_published().await) {
            assert!(begun.elapsed() < limit, "not published in {limit:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Whether the npm registry holds the version.
    pub async fn npm_is_published(&self) -> bool {
        self.npm.tarball(NPM_NAME, VERSION).await.is_some()
    }

    /// Whether the Python registry holds both files of the version.
    pub async fn python_is_published(&self) -> bool {
        for suffix in [".tar.gz", "-py3-none-any.whl"] {
            let filename = format!("hello_wire-{VERSION}{suffix}");
            if self.python.file(PYTHON_NAME, &filename).await.is_none() {
                return false;
            }
        }
        true
    }
}

/// The address of a release page in what a client printed: the product's one channel to the person who watches CI.
fn link(ran: &Ran) -> String {
    let output = ran.output();
    let found = output
        .split_whitespace()
        .find(|word| word.starts_with("http") && word.contains("/releases/"));
    let found =
        found.unwrap_or_else(|| panic!("{} showed no link to the release:\n{output}", ran.client));
    found.trim_end_matches(['.', ',', ')', '"', '\'']).to_string()
}

fn setup(issuer: &Issuer, npm: &Verdaccio, python: &PythonRegistry) -> String {
    format!(
        r#"[[issuer]]
name = "ci"
preset = "github"
url = "{issuer}"
allow_private = true

[[person]]
name = "{INES}"
role = "owner"
ci_identities = [{{ issuer = "ci", actor_id = "1001" }}]

[[person]]
name = "{MARA}"
role = "maintainer"
ci_identities = [{{ issuer = "ci", actor_id = "1002" }}]

[[person]]
name = "{JUN}"
role = "maintainer"
ci_identities = [{{ issuer = "ci", actor_id = "1003" }}, {{ issuer = "gitlab", actor_id = "1003" }}]

[[upstream]]
name = "Local npm"
kind = "npm"
url = "{npm}"
allow_private = true
credential_file = "npm.token"

[[upstream]]
name = "Local Python"
kind = "pypi"
url = "{upload}"
simple_url = "{simple}"
allow_private = true
credential_file = "pypi.token"
username = "{user}"

[[policy]]
name = "Two people"
required = 2
people = ["{INES}", "{MARA}", "{JUN}"]
expires_hours = 168
triggering_actor_counts = false

[[package]]
ecosystem = "npm"
name = "{NPM_NAME}"
upstream = "Local npm"
policy = "Two people"
access = "public"

[[package]]
ecosystem = "pypi"
name = "{PYTHON_NAME}"
upstream = "Local Python"
policy = "Two people"

[[publisher]]
name = "Release workflow"
issuer = "ci"
packages = ["npm:{NPM_NAME}", "pypi:{PYTHON_NAME}"]

[publisher.github]
repository = "octo/hello-wire"
repository_id = "4242"
repository_owner_id = "77"
workflow = ".github/workflows/release.yml"
environment = "release"
ref = "refs/tags/v*"
events = ["push", "release", "workflow_dispatch"]
runner = "github-hosted"
"#,
        issuer = issuer.url(),
        npm = npm.url,
        upload = python.upload_url,
        simple = python.simple_url,
        user = python.username,
    )
}

fn gitlab_setup(issuer: &Issuer) -> String {
    format!(
        r#"
[[issuer]]
name = "gitlab"
preset = "gitlab"
url = "{issuer}"
allow_private = true

[[publisher]]
name = "Release pipeline"
issuer = "gitlab"
packages = ["npm:{NPM_NAME}", "pypi:{PYTHON_NAME}"]

[publisher.gitlab]
project_id = "4242"
namespace_id = "77"
ref_path = "refs/tags/v*"
environment = "release"
"#,
        issuer = issuer.url(),
    )
}
