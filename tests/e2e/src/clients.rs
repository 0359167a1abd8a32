//! The real publishing clients, one function each (wire.md 7). Every run has a private HOME, inherits nothing from this
//! machine's environment, trusts only the test authority and never waits for a person.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::ca::Ca;
use crate::issuer::{Issuer, JOB_SECRET};
use crate::{child, count, tools};

/// The longest any client may take; npm's own waits between attempts add up to 70 s.
const RUN_LIMIT: Duration = Duration::from_secs(180);

/// How a client run ended.
#[derive(Debug)]
pub struct Ran {
    /// The client as it appears in the summary, such as `npm 12`.
    pub client: &'static str,
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// All it printed.
    pub stdout: String,
    /// All it complained.
    pub stderr: String,
}

impl Ran {
    /// Counts a check that the client took the upload for a success.
    pub fn succeeded(self) -> Ran {
        assert!(self.code == 0, "{} failed with {}:\n{}", self.client, self.code, self.output());
        count::check(self.client);
        self
    }

    /// Counts a check that the client failed and showed `reason` to its user.
    pub fn failed_showing(self, reason: &str) -> Ran {
        assert!(
            self.code != 0,
            "{} succeeded, expected a failure:\n{}",
            self.client,
            self.output()
        );
        assert!(
            self.output().contains(reason),
            "{} did not show {reason:?}:\n{}",
            self.client,
            self.output()
        );
        count::check(self.client);
        self
    }

    /// Both streams.
    pub fn output(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// The kind of CI job the client believes it is in.
#[derive(Clone, Debug, Default)]
pub enum Job {
    /// Somebody's terminal.
    #[default]
    None,
    /// A GitHub Actions job with the permission to ask for tokens.
    GitHub {
        /// `ACTIONS_ID_TOKEN_REQUEST_URL`.
        request_url: String,
    },
    /// A GitLab job with ready tokens in its variables.
    GitLab {
        /// (variable, token), such as `LOCALHOST_ID_TOKEN` for uv or `NPM_ID_TOKEN` for npm.
        tokens: Vec<(String, String)>,
    },
}

impl Job {
    /// A GitHub job whose tokens come from `issuer`.
    pub fn github(issuer: &Issuer) -> Job {
        Job::GitHub { request_url: issuer.request_url() }
    }
}

/// What one client run works with: its HOME, whom it trusts, which job it is in.
pub struct Desk {
    home: TempDir,
    ca: PathBuf,
    job: Job,
}

/// Where Python clients upload, and as whom.
#[derive(Clone, Debug)]
pub struct PythonTarget {
    /// The upload address.
    pub url: String,
    /// `__token__`, or a registry's user.
    pub username: String,
    /// A token, a raw CI token or a password.
    pub password: String,
}

impl PythonTarget {
    /// A token for `url`, with the user name every client sends along.
    pub fn token(url: &str, token: &str) -> PythonTarget {
        PythonTarget {
            url: url.to_string(),
            username: "__token__".to_string(),
            password: token.to_string(),
        }
    }
}

/// Where npm clients publish.
#[derive(Clone, Debug)]
pub struct NpmTarget {
    /// The registry address, with its slash.
    pub url: String,
    /// A configured token; None relies on the exchange.
    pub token: Option<String>,
}

/// The npm versions under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Npm {
    /// npm 11.
    V11,
    /// npm 12.
    V12,
}

impl Desk {
    /// A fresh HOME for a client that trusts `ca` and runs in `job`.
    pub fn new(ca: &Ca, job: Job) -> Desk {
        Desk { home: tempfile::tempdir().expect("a folder"), ca: ca.certificate.clone(), job }
    }

    /// The private HOME.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// twine with a password or token. `--verbose` shows what the server said.
    pub async fn twine(&self, target: &PythonTarget, files: &[PathBuf]) -> Ran {
        let mut command = self.command(&tools::python("twine"));
        command.args(["upload", "--disable-progress-bar", "--verbose", "--non-interactive"]);
        command.args([
            "-u",
            &target.username,
            "-p",
            &target.password,
            "--repository-url",
            &target.url,
        ]);
        command.args(files);
        self.run("twine", command).await
    }

    /// uv with a token.
    pub async fn uv(&self, target: &PythonTarget, files: &[PathBuf]) -> Ran {
        let mut command = self.command(&tools::python("uv"));
        command.args(["publish", "--trusted-publishing", "never", "--publish-url", &target.url]);
        command.args(["-u", &target.username, "-p", &target.password]).args(files);
        self.run("uv", command).await
    }

    /// uv exchanging the job's identity itself: audience, token, mint, upload, burn, all over TLS.
    pub async fn uv_trusted(&self, url: &str, files: &[PathBuf]) -> Ran {
        let mut command = self.command(&tools::python("uv"));
        command
            .args(["publish", "--trusted-publishing", "always", "--publish-url", url])
            .args(files);
        self.run("uv trusted publishing", command).await
    }

    /// poetry, uploading what is in `project/dist`.
    pub async fn poetry(&self, target: &PythonTarget, project: &Path) -> Ran {
        let mut command = self.command(&tools::python("poetry"));
        command
            .env("POETRY_REPOSITORIES_GW_URL", &target.url)
            .env("POETRY_HTTP_BASIC_GW_USERNAME", &target.username)
            .env("POETRY_HTTP_BASIC_GW_PASSWORD", &target.password)
            .env("POETRY_VIRTUALENVS_CREATE", "false")
            .env("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring");
        command.args(["publish", "-r", "gw", "--no-ansi", "--no-interaction"]).current_dir(project);
        self.run("poetry", command).await
    }

    /// flit, which builds and uploads wheel and sdist of a flit project.
    pub async fn flit(&self, target: &PythonTarget, project: &Path) -> Ran {
        let mut command = self.command(&tools::python("flit"));
        command
            .env("FLIT_INDEX_URL", &target.url)
            .env("FLIT_USERNAME", &target.username)
            .env("FLIT_PASSWORD", &target.password);
        // The project folder is no checkout, so flit must not ask a version control for the list of files.
        command.args(["publish", "--no-use-vcs"]).current_dir(project);
        self.run("flit", command).await
    }

    /// hatch, uploading `files`.
    pub async fn hatch(&self, target: &PythonTarget, project: &Path, files: &[PathBuf]) -> Ran {
        let mut command = self.command(&tools::python("hatch"));
        command.args(["publish", "--no-prompt", "--repo", &target.url]);
        command.args(["--user", &target.username, "--auth", &target.password, "--ca-cert"]);
        command.arg(&self.ca).args(files).current_dir(project);
        self.run("hatch", command).await
    }

    /// maturin with a token.
    pub async fn maturin(&self, target: &PythonTarget, files: &[PathBuf]) -> Ran {
        let mut command = self.command(&tools::python("maturin"));
        command.args(["upload", "--non-interactive", "--repository-url", &target.url]);
        command.args(["-u", &target.username, "-p", &target.password]).args(files);
        self.run("maturin", command).await
    }

    /// The PyPA publish action: the requests of its exchange script, then twine with what it minted (wire.md 2.5).
    /// A refused exchange comes back as a failed run with the server's answer.
    pub async fn pypa_action(&self, ca: &Ca, url: &str, files: &[PathBuf]) -> Ran {
        let (status, answer) = self.mint(ca, url).await;
        let Some(token) = answer["token"].as_str().filter(|_| status == 200) else {
            let stderr = format!("Trusted publishing exchange failure: {status} {answer}");
            return Ran { client: "PyPA action", code: 1, stdout: String::new(), stderr };
        };
        let ran = self.twine(&PythonTarget::token(url, token), files).await;
        Ran { client: "PyPA action", ..ran }
    }

    /// The exchange by itself: audience, job token, mint. Returns the status and answer of the mint.
    pub async fn mint(&self, ca: &Ca, url: &str) -> (u16, Value) {
        let Job::GitHub { request_url } = &self.job else {
            panic!("the action runs in a GitHub job")
        };
        let authority =
            url.split("://").nth(1).and_then(|rest| rest.split('/').next()).expect("a URL");
        let https = ca.client();
        let audience = https
            .get(format!("https://{authority}/_/oidc/audience"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(audience.status(), 200, "the audience");
        let audience: Value = audience.json().await.expect("JSON");
        let audience = audience["audience"].as_str().expect("an audience");
        let token = crate::http()
            .get(format!("{request_url}&audience={audience}"))
            .header("authorization", format!("bearer {JOB_SECRET}"));
        let token: Value = token.send().await.expect("an answer").json().await.expect("JSON");
        let mint = https
            .post(format!("https://{authority}/_/oidc/mint-token"))
            .json(&json!({ "token": token["value"] }))
            .send()
            .await
            .expect("an answer");
        (mint.status().as_u16(), mint.json().await.expect("every answer of the mint is JSON"))
    }

    /// `npm publish` of the project.
    pub async fn npm_publish(&self, npm: Npm, target: &NpmTarget, project: &Path) -> Ran {
        let mut command = self.npm(npm, target);
        command.args(["publish", "--access", "public"]).current_dir(project);
        self.run(if npm == Npm::V11 { "npm 11" } else { "npm 12" }, command).await
    }

    /// `npm publish FILE` with a ready tarball.
    pub async fn npm_publish_file(&self, npm: Npm, target: &NpmTarget, file: &Path) -> Ran {
        let mut command = self.npm(npm, target);
        command.args(["publish", "--access", "public"]).arg(file);
        self.run(if npm == Npm::V11 { "npm 11" } else { "npm 12" }, command).await
    }

    /// `npm stage publish` of the project.
    pub async fn npm_stage(&self, target: &NpmTarget, project: &Path) -> Ran {
        let mut command = self.npm(Npm::V12, target);
        command.args(["stage", "publish", "--access", "public"]).current_dir(project);
        self.run("npm stage", command).await
    }

    /// `npm pack` of the project: the tarball that a later publish would make.
    pub async fn npm_pack(&self, project: &Path) -> PathBuf {
        let target = NpmTarget { url: "http://127.0.0.1:9/".to_string(), token: None };
        let mut command = self.npm(Npm::V12, &target);
        command
            .args(["pack", "--json", "--pack-destination"])
            .arg(self.home())
            .current_dir(project);
        let output = command.output().await.expect("npm pack");
        assert!(output.status.success(), "npm pack: {}", String::from_utf8_lossy(&output.stderr));
        let made =
            std::fs::read_dir(self.home()).expect("HOME").filter_map(Result::ok).map(|e| e.path());
        made.into_iter().find(|p| p.extension().is_some_and(|e| e == "tgz")).expect("a tarball")
    }

    /// `npm install PACKAGE` into `dir`.
    pub async fn npm_install(&self, target: &NpmTarget, dir: &Path, package: &str) -> Ran {
        std::fs::write(dir.join("package.json"), "{\"private\":true}\n").expect("a package.json");
        let mut command = self.npm(Npm::V12, target);
        command.args(["install", "--no-audit", "--no-fund", package]).current_dir(dir);
        self.run("npm install", command).await
    }

    /// pnpm.
    pub async fn pnpm(&self, target: &NpmTarget, project: &Path) -> Ran {
        self.write_npmrc(&project.join(".npmrc"), target);
        let mut command = self.command(&tools::pnpm());
        command.args(["publish", "--no-git-checks", "--access", "public"]).current_dir(project);
        self.run("pnpm", command).await
    }

    /// yarn (berry): an install first, as it asks for, then the publish.
    pub async fn yarn(&self, target: &NpmTarget, project: &Path) -> Ran {
        let mut settings = format!(
            "npmRegistryServer: \"{}\"\nnpmPublishAccess: public\nunsafeHttpWhitelist: [\"127.0.0.1\", \"localhost\"]\n\
             enableTelemetry: false\nenableImmutableInstalls: false\nnodeLinker: node-modules\nhttpsCaFilePath: \"{}\"\n",
            target.url.trim_end_matches('/'),
            self.ca.display()
        );
        if let Some(token) = &target.token {
            settings.push_str(&format!("npmAuthToken: \"{token}\"\n"));
        }
        std::fs::write(project.join(".yarnrc.yml"), settings).expect("yarn's settings");
        std::fs::write(project.join("yarn.lock"), "").expect("a lock file of its own");
        let yarn = tools::npm_file("@yarnpkg/cli-dist/bin/yarn.js");
        let mut install = self.command(&tools::node());
        install.arg(&yarn).arg("install").current_dir(project);
        let installed = self.run("yarn", install).await;
        if installed.code != 0 {
            return installed;
        }
        let mut command = self.command(&tools::node());
        command.arg(&yarn).args(["npm", "publish"]).current_dir(project);
        self.run("yarn", command).await
    }

    /// `pip install` of one project from one index into `dir/venv`, which is made here; nothing else is reachable.
    pub async fn pip_install(&self, simple_url: &str, dir: &Path, requirement: &str) -> Ran {
        let venv = dir.join("venv");
        let mut make = self.command(&tools::python("python"));
        make.args(["-m", "venv"]).arg(&venv);
        let made = self.run("pip", make).await;
        assert_eq!(made.code, 0, "no venv: {}", made.output());
        let mut command = self.command(&venv.join("bin/pip"));
        command.args(["install", "--no-cache-dir", "--index-url", simple_url, requirement]);
        self.run("pip install", command).await
    }

    /// Shell commands as a document has them, in `dir`, with the clients under their own names and these variables.
    /// Steps that fetch something from elsewhere find it installed already: `pipx run build` runs the `build` that is
    /// here, and builds take the backends that are here.
    pub async fn shell(
        &self,
        client: &'static str,
        commands: &str,
        dir: &Path,
        variables: &[(String, String)],
    ) -> Ran {
        let named = self.home().join("bin");
        put_clients(&named);
        let mut command = self.command(Path::new("/bin/bash"));
        let python = tools::tools_dir().join("python");
        command
            .env("PATH", format!("{}:{}/bin:/usr/bin:/bin", named.display(), python.display()))
            .env("VIRTUAL_ENV", &python)
            .env("UV_NO_BUILD_ISOLATION", "1")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("npm_config_audit", "false")
            .env("HATCH_INDEX_CA_CERT", &self.ca)
            .env("COUNTERSIGN_CA", &self.ca)
            .env("POETRY_VIRTUALENVS_CREATE", "false")
            .env("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
            .env("YARN_HTTPS_CA_FILE_PATH", &self.ca)
            .env("YARN_ENABLE_TELEMETRY", "false")
            // The CI that hands out tokens here speaks plain HTTP.
            .env("YARN_UNSAFE_HTTP_WHITELIST", "127.0.0.1")
            .env("YARN_NODE_LINKER", "node-modules")
            .envs(variables.iter().cloned());
        command.args(["-euo", "pipefail", "-c", commands]).current_dir(dir);
        self.run(client, command).await
    }

    /// Runs an installed program in this desk's environment.
    pub async fn program(&self, client: &'static str, program: &Path, arguments: &[&str]) -> Ran {
        let mut command = self.command(program);
        command.args(arguments);
        self.run(client, command).await
    }

    fn npm(&self, npm: Npm, target: &NpmTarget) -> Command {
        self.write_npmrc(&self.home().join(".npmrc"), target);
        let mut command = self.command(&tools::node());
        command.arg(tools::npm_file(if npm == Npm::V11 {
            "npm11/bin/npm-cli.js"
        } else {
            "npm12/bin/npm-cli.js"
        }));
        command
    }

    fn write_npmrc(&self, file: &Path, target: &NpmTarget) {
        let mut text = format!("registry={}\n", target.url);
        if let Some(token) = &target.token {
            let place = target.url.split_once(':').expect("a URL").1;
            text.push_str(&format!("{place}:_authToken={token}\n"));
        }
        std::fs::write(file, text).expect("an .npmrc");
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = child::command(program, self.home());
        let node = tools::node();
        let node_dir = node.parent().expect("a folder").display().to_string();
        command.env("PATH", format!("{node_dir}:/usr/local/bin:/usr/bin:/bin"));
        let trust = [
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "PIP_CERT",
        ];
        for variable in trust.iter().chain(&["npm_config_cafile", "MATURIN_CA_BUNDLE"]) {
            command.env(variable, &self.ca);
        }
        let none = self.home().join("none");
        command
            .env("npm_config_globalconfig", &none)
            .env("npm_config_update_notifier", "false")
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("UV_NO_CONFIG", "1")
            .env("UV_NO_PROGRESS", "1");
        match &self.job {
            Job::None => {}
            Job::GitHub { request_url } => github_variables(&mut command, request_url),
            Job::GitLab { tokens } => {
                command.env("CI", "true").env("GITLAB_CI", "true").envs(tokens.iter().cloned());
            }
        }
        command
    }

    async fn run(&self, client: &'static str, mut command: Command) -> Ran {
        let output = tokio::time::timeout(RUN_LIMIT, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{client} did not end in {RUN_LIMIT:?}"));
        let output = output.unwrap_or_else(|e| panic!("{client} did not start: {e}"));
        Ran {
            client,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The clients that are no programs of their own here, and stand-ins for what would fetch something first.
fn put_clients(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder for the clients");
    let node = tools::node().display().to_string();
    let script = |file: &str| format!("exec {node} {} \"$@\"", tools::npm_file(file).display());
    let clients = [
        ("node", format!("exec {node} \"$@\"")),
        ("npm", script("npm12/bin/npm-cli.js")),
        ("yarn", script("@yarnpkg/cli-dist/bin/yarn.js")),
        ("pnpm", format!("exec {} \"$@\"", tools::pnpm().display())),
        ("countersign", format!("exec {} \"$@\"", tools::countersign().display())),
        (
            "pipx",
            "test \"$1 $2\" = 'run build' && shift 2\nexec pyproject-build --no-isolation \"$@\""
                .to_string(),
        ),
    ];
    for (name, commands) in clients {
        let file = folder.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{commands}\n")).expect("a client");
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, all).expect("a client that can be run");
    }
}

fn github_variables(command: &mut Command, request_url: &str) {
    command
        .env("CI", "true")
        .env("GITHUB_ACTIONS", "true")
        .env("ACTIONS_ID_TOKEN_REQUEST_URL", request_url)
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", JOB_SECRET)
        .env("GITHUB_REPOSITORY", "octo/hello-wire")
        .env("GITHUB_REPOSITORY_ID", "4242")
        .env("GITHUB_REPOSITORY_OWNER_ID", "77")
        .env("GITHUB_SERVER_URL", "https://git.example")
        .env(
            "GITHUB_WORKFLOW_REF",
            "octo/hello-wire/.github/workflows/release.yml@refs/tags/v1.0.0",
        )
        .env("GITHUB_REF", "refs/tags/v1.0.0")
        .env("GITHUB_SHA", "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed")
        .env("GITHUB_EVENT_NAME", "push")
        .env("GITHUB_RUN_ID", "1000001")
        .env("GITHUB_RUN_ATTEMPT", "1")
        .env("RUNNER_ENVIRONMENT", "github-hosted");
}
