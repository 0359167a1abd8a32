//! Every snippet of `docs/ci/*.md` and of the README, read from the document and followed with the real clients: the
//! commands and variables as they stand there, with the address of the gateway under test. A page that nobody here
//! can follow fails.

use std::path::{Path, PathBuf};

use countersign_e2e::clients::{Desk, Job, Ran};
use countersign_e2e::documents::{self, IdToken, Snippet, Step};
use countersign_e2e::projects::Backend;
use countersign_e2e::world::MARA;
use serde_json::json;

use crate::stage::{Stage, python_files, tarball};

/// What a page's snippets are about decides which test follows them.
const PYTHON_PAGES: [&str; 6] = ["github-pypi", "twine", "uv", "poetry", "flit", "hatch"];
const NPM_PAGES: [&str; 5] = ["github-npm", "npm", "npm-stage", "pnpm", "yarn"];
const MIXED_PAGES: [&str; 3] = ["README.md", "docs/ci/gitlab.md", "docs/ci/generic.md"];

fn under_ci(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("docs/ci/{name}.md")).collect()
}

#[test]
fn no_page_is_left_out() {
    let mut followed = [under_ci(&PYTHON_PAGES), under_ci(&NPM_PAGES)].concat();
    followed.extend(MIXED_PAGES.map(str::to_string));
    followed.sort();
    assert_eq!(followed, documents::pages());
}

#[tokio::test]
async fn copied_python_snippets_stage_what_they_say() {
    Reader::new().await.follow(&under_ci(&PYTHON_PAGES)).await;
}

#[tokio::test]
async fn copied_npm_snippets_stage_what_they_say() {
    Reader::new().await.follow(&under_ci(&NPM_PAGES)).await;
}

#[tokio::test]
async fn copied_snippets_of_other_ci_and_of_the_readme_stage_what_they_say() {
    Reader::new().await.follow(&MIXED_PAGES.map(str::to_string)).await;
}

/// Somebody who copies one snippet after the other, each for a version of its own.
struct Reader {
    stage: Stage,
    minor: u32,
}

impl Reader {
    async fn new() -> Reader {
        Reader { stage: Stage::new().await, minor: 0 }
    }

    async fn follow(mut self, pages: &[String]) {
        for page in pages {
            let mut settings = Vec::new();
            let mut id_tokens = Vec::new();
            let mut steps = 0;
            for snippet in documents::snippets(page) {
                let snippet = snippet.at(&self.stage.world.gateway);
                if let Some(file) = &snippet.file {
                    settings.push((file.clone(), snippet.text().to_string()));
                }
                id_tokens.extend(snippet.id_tokens());
                for step in snippet.steps() {
                    println!("{}", snippet.place);
                    self.take(&snippet, step, (&settings, &id_tokens)).await;
                    steps += 1;
                }
            }
            assert!(steps > 0, "{page} tells its reader to do nothing");
        }
    }

    /// Takes one step for a fresh version and sees what came of it.
    async fn take(
        &mut self,
        snippet: &Snippet,
        step: Step,
        (settings, id_tokens): (&[(String, String)], &[IdToken]),
    ) {
        self.minor += 1;
        let version = format!("1.{}.0", self.minor);
        let commands = match step {
            Step::PypaAction(url) => return self.use_action(&version, &url).await,
            Step::Run(commands) => commands,
        };
        let job = self.job(&commands, id_tokens);
        let variables = self.variables(&commands).await;
        let (dir, files) = self.project(&commands, &version, settings).await;
        let before = self.stage.releases().await;
        let desk = Desk::new(&self.stage.world.gateway.ca, job);
        let client = client(&commands);
        if client == "curl" {
            // The exchange by itself: a token, and nothing staged.
            let commands = format!("{commands}\ntest ${{#TOKEN}} -gt 20");
            desk.shell(client, &commands, &dir, &variables).await.succeeded();
            self.stage.assert_nothing_new(&before).await;
        } else if client == "build" {
            // pipx fetches the tool and runs it; here it is installed, with what it builds with.
            let commands = commands.replace("pipx run build", "pyproject-build --no-isolation");
            desk.shell(client, &commands, &dir, &variables).await.succeeded();
            assert!(dir.join("dist").is_dir(), "nothing was built");
            self.stage.assert_nothing_new(&before).await;
        } else if commands.contains("--wait") {
            let waiting = desk.shell(client, &commands, &dir, &variables);
            let (ran, ()) = tokio::join!(waiting, self.approve_new(&before));
            shows(ran.succeeded(), "published", snippet);
        } else {
            desk.shell(client, &commands, &dir, &variables).await.succeeded();
            self.stage.assert_staged(&before, &files).await;
        }
    }

    async fn use_action(&self, version: &str, url: &str) {
        let project = self.stage.python(version, Backend::Hatchling).await;
        let before = self.stage.releases().await;
        let ca = &self.stage.world.gateway.ca;
        self.stage.world.ci_desk().pypa_action(ca, url, &project.files).await.succeeded();
        self.stage.assert_staged(&before, &python_files(version)).await;
    }

    /// The job such a snippet belongs to: GitLab's when the page asks it for tokens, none when a token is given.
    fn job(&self, commands: &str, id_tokens: &[IdToken]) -> Job {
        let world = &self.stage.world;
        if !id_tokens.is_empty() {
            let sign = |(variable, audience): &IdToken| {
                (variable.clone(), world.gitlab.gitlab(audience, &json!({})))
            };
            return Job::GitLab { tokens: id_tokens.iter().map(sign).collect() };
        }
        if commands.contains("$TOKEN") || commands.contains("$JWT") {
            return Job::None;
        }
        Job::github(&world.issuer)
    }

    /// What the page tells its reader to have: the CI's token in `JWT`, or a token for uploads in `TOKEN`.
    async fn variables(&self, commands: &str) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        if commands.contains("$JWT") {
            let npm = commands.contains("/oidc/token/exchange/");
            let audience = if npm { "npm:localhost" } else { "localhost" };
            let token = self.stage.world.issuer.github(audience, &json!({}));
            variables.push(("JWT".to_string(), token));
        } else if commands.contains("$TOKEN") {
            variables.push(("TOKEN".to_string(), self.stage.minted().await.password));
        }
        variables
    }

    /// A project as it lies in the job before the commands run, and the files that should be staged.
    async fn project(
        &self,
        commands: &str,
        version: &str,
        settings: &[(String, String)],
    ) -> (PathBuf, Vec<String>) {
        if !commands.contains("npm") {
            let backend = match client(commands) {
                "poetry" => Backend::Poetry,
                "flit" => Backend::Flit,
                _ => Backend::Hatchling,
            };
            let project = self.stage.python(version, backend).await;
            if commands.contains("build") && backend == Backend::Hatchling {
                std::fs::remove_dir_all(project.dir.join("dist")).unwrap();
            }
            return (project.dir, python_files(version));
        }
        let dir = self.stage.npm(version);
        for (file, text) in settings {
            std::fs::write(dir.join(file), text).unwrap();
        }
        self.lock(commands, &dir).await;
        (dir, tarball(version))
    }

    /// The lock file that is in every repository: `npm ci` and `yarn install --immutable` insist on it.
    async fn lock(&self, commands: &str, dir: &Path) {
        let lock = if commands.contains("npm ci") {
            "npm install --package-lock-only"
        } else if commands.contains("yarn install") {
            "touch yarn.lock; yarn install"
        } else {
            return;
        };
        let ran = self.stage.plain_desk().shell("lock", lock, dir, &[]).await;
        assert_eq!(ran.code, 0, "no lock file:\n{}", ran.output());
    }

    /// Two people approve the release that appears.
    async fn approve_new(&self, before: &[String]) {
        let mara = self.stage.world.enrol(MARA).await;
        self.stage.world.found(&self.stage.ines, &mara).await;
        let release = loop {
            let after = self.stage.releases().await;
            if let Some(new) = after.into_iter().find(|link| !before.contains(link)) {
                break new;
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        };
        for person in [&self.stage.ines, &mara] {
            assert_eq!(person.approve(&release).await, Ok(()));
        }
        mara.close().await;
    }
}

fn shows(ran: Ran, words: &str, snippet: &Snippet) {
    let output = ran.output();
    assert!(output.contains(words), "{} did not show {words:?}:\n{output}", snippet.place);
}

/// Whose commands these are; longer names first, since `pnpm publish` contains `npm publish`.
fn client(commands: &str) -> &'static str {
    let known = [
        ("countersign submit", "countersign submit"),
        ("uv publish", "uv trusted publishing"),
        ("twine upload", "twine"),
        ("poetry publish", "poetry"),
        ("flit publish", "flit"),
        ("hatch publish", "hatch"),
        ("npm stage publish", "npm stage"),
        ("pnpm publish", "pnpm"),
        ("yarn npm publish", "yarn"),
        ("npm publish", "npm 12"),
        ("curl", "curl"),
        ("pipx run build", "build"),
    ];
    let found = known.into_iter().find(|(command, _)| commands.contains(command));
    found.unwrap_or_else(|| panic!("nobody here knows a client in\n{commands}")).1
}
