//! A whole gateway on a loopback port with a set-up applied, an issuer, and a signed-in owner.

use std::net::SocketAddr;
use std::path::PathBuf;

use countersign::pipeline::forwarding::{self, Forwarder};
use countersign::pipeline::setup::Credential;
use countersign::pipeline::setup::apply::{Invite, ReadySetup, UpstreamCredentials, apply};
use countersign::pipeline::setup::file::SetupFile;
use countersign::store::Store;
use countersign::{vault, web};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::readers::build;
use crate::support::database::sqlite;
use crate::support::http::{Answer, send};
use crate::support::issuer::TestIssuer;
use crate::support::pypi_registry::PypiRegistry;
use crate::support::setup;
use crate::support::site::{Browser, Site};

/// The password that the Python index of a gateway takes, where there is one.
pub(crate) const INDEX_PASSWORD: &str = "index-password-canary";
/// An account of the CI system that is nobody's.
pub(crate) const BOT: &str = "9000";

/// The file name of [`wheel`].
pub(crate) const WHEEL: &str = "hello_wire-1.0.0-py3-none-any.whl";

/// A small wheel that every reader accepts.
pub(crate) fn wheel() -> Vec<u8> {
    let files = build::wheel_files();
    build::wheel(&files, &build::record(&files))
}

/// A running gateway.
pub(crate) struct TestGateway {
    pub(crate) site: Site,
    pub(crate) issuer: TestIssuer,
    pub(crate) address: SocketAddr,
    /// `name=value` of the owner's session.
    pub(crate) cookie: String,
    /// The owner's browser, signed in.
    pub(crate) owner: Browser,
    invites: Vec<Invite>,
    folder: tempfile::TempDir,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl TestGateway {
    /// A gateway with the set-up of [`setup::text`].
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = sqlite(folder.path()).await;
        Self::set_up(store, folder, None).await
    }

    /// The same on a database of the caller, with a Python index to forward to if there is one.
    pub(crate) async fn on(store: Store, index: Option<&PypiRegistry>) -> Self {
        Self::set_up(store, tempfile::tempdir().unwrap(), index).await
    }

    async fn set_up(store: Store, folder: tempfile::TempDir, index: Option<&PypiRegistry>) -> Self {
        let issuer = TestIssuer::start().await;
        let site = Site::on(store).await;
        let mut text = setup::text(&issuer.url);
        let mut credentials = Vec::new();
        if let Some(index) = index {
            text = text
                .replace("http://127.0.0.1:13141/legacy/", &index.upload_url())
                .replace("http://127.0.0.1:13141/simple/", &index.simple_url());
            let publish = Some(Credential::parse(&INDEX_PASSWORD.into()).unwrap());
            let none = UpstreamCredentials { publish: None, read: None };
            credentials = vec![none, UpstreamCredentials { publish, read: None }];
        }
        let ready = ReadySetup { file: SetupFile::parse(&text).unwrap(), credentials };
        let now = site.app.clock.now();
        let invites =
            apply(&site.app.store, &site.app.sealing, &site.origin, ready, now).await.unwrap();
        let ines = invites.iter().find(|invite| invite.name == "Ines Duarte").unwrap();
        let mut browser: Browser = site.browser(1);
        browser.enrol(ines.token.expose_secret()).await.ok();
        browser.read_csrf().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = web::router(&site.app);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let cookie = browser.cookie.clone().unwrap();
        Self { site, issuer, address, cookie, owner: browser, invites, folder, server }
    }

    /// A browser of somebody in the set-up who enrols now and is signed in.
    pub(crate) async fn person(&self, name: &str, seed: u8) -> Browser {
        let invite = self.invites.iter().find(|invite| invite.name == name).unwrap();
        let mut browser = self.site.browser(seed);
        browser.enrol(invite.token.expose_secret()).await.ok();
        browser.read_csrf().await;
        browser
    }

    /// Leases the next job that is due and works on it; `false` when there was none.
    pub(crate) async fn forward(&self) -> bool {
        let app = &self.site.app;
        let key = vault::load_or_create(&app.config.data_dir).unwrap();
        let forwarder = Forwarder {
            store: &app.store,
            blobs: &app.intake.blobs,
            client: &app.upstreams,
            key: &key,
            trust: app.trust(),
            notary: &self.site.notary,
            progress: &app.progress,
        };
        forwarding::run_next(&forwarder, "test", app.clock.now()).await.unwrap()
    }

    /// A file in the gateway's temporary folder.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A CI token of the publisher, in a run that the owner started.
    pub(crate) fn ci_token(&self, jti: &str) -> String {
        self.ci_token_of("1001", jti)
    }

    /// A CI token of the publisher, in a run that this account started.
    pub(crate) fn ci_token_of(&self, actor_id: &str, jti: &str) -> String {
        let mut claims = self.issuer.github_claims("localhost", self.site.app.clock.now());
        claims["jti"] = json!(jti);
        claims["actor_id"] = json!(actor_id);
        self.issuer.rsa.mint(&claims)
    }

    /// A request as the owner.
    pub(crate) async fn as_owner(&self, target: &str) -> Answer {
        send(self.address, target, &[("cookie", &self.cookie)], "").await
    }

    /// A request with a bearer token and further headers.
    pub(crate) async fn as_ci(
        &self,
        target: &str,
        token: &str,
        more: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [&[("authorization", bearer.as_str())], more].concat();
        send(self.address, target, &headers, body).await
    }

    /// Stages and seals a wheel in a run of nobody's account; nothing is found in it. The id of its
    /// release.
    pub(crate) async fn stage(&self, jti: &str) -> String {
        let path = self.file(WHEEL, &wheel());
        let token = self.ci_token_of(BOT, jti);
        let (code, out, log) = self.submit("pypi", &path, &token, &[]).await;
        assert_eq!(code, Some(0), "{out}{log}");
        let line = out.lines().next().unwrap();
        let release = line.rsplit('/').next().unwrap();
        self.site.find_nothing(release.parse().unwrap()).await;
        release.to_owned()
    }

    /// Runs `countersign submit` on files with a CI token; exit code, output and log.
    pub(crate) async fn submit(
        &self,
        ecosystem: &str,
        file: &std::path::Path,
        token: &str,
        more: &[&str],
    ) -> (Option<i32>, String, String) {
        let url = format!("http://{}", self.address);
        let mut arguments = vec!["submit", "--url", &url, "--ecosystem", ecosystem];
        arguments.extend(["--token-env", "SUBMIT_TEST_TOKEN"]);
        arguments.extend(more);
        arguments.push(file.to_str().unwrap());
        command(&arguments, &[("SUBMIT_TEST_TOKEN", token)]).await
    }
}

/// Runs `countersign`; exit code, output and log.
pub(crate) async fn command(
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}
