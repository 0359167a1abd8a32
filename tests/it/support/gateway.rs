//! A whole gateway on a loopback port with a set-up applied, an issuer, and a signed-in owner.

use std::net::SocketAddr;
use std::path::PathBuf;

use countersign::pipeline::setup::apply::{ReadySetup, apply};
use countersign::pipeline::setup::file::SetupFile;
use countersign::web;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::support::database::sqlite;
use crate::support::http::{Answer, send};
use crate::support::issuer::TestIssuer;
use crate::support::setup;
use crate::support::site::{Browser, Site};

/// A running gateway.
pub(crate) struct TestGateway {
    pub(crate) site: Site,
    pub(crate) issuer: TestIssuer,
    pub(crate) address: SocketAddr,
    /// `name=value` of the owner's session.
    pub(crate) cookie: String,
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
        let issuer = TestIssuer::start().await;
        let site = Site::on(sqlite(folder.path()).await).await;
        let file = SetupFile::parse(&setup::text(&issuer.url)).unwrap();
        let ready = ReadySetup { file, credentials: Vec::new() };
        let now = site.app.clock.now();
        let invites =
            apply(&site.app.store, &site.app.sealing, &site.origin, ready, now).await.unwrap();
        let ines = invites.iter().find(|invite| invite.name == "Ines Duarte").unwrap();
        let mut browser: Browser = site.browser(1);
        browser.enrol(ines.token.expose_secret()).await.ok();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = web::router(&site.app);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let cookie = browser.cookie.unwrap();
        Self { site, issuer, address, cookie, folder, server }
    }

    /// A file in the gateway's temporary folder.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A CI token of the publisher.
    pub(crate) fn ci_token(&self, jti: &str) -> String {
        let mut claims = self.issuer.github_claims("localhost", self.site.app.clock.now());
        claims["jti"] = json!(jti);
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

    /// Runs `countersign submit` on files with a CI token; exit code, output and log.
    pub(crate) async fn submit(
        &self,
        ecosystem: &str,
        file: &std::path::Path,
        token: &str,
        more: &[&str],
    ) -> (Option<i32>, String, String) {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["submit", "--url", &format!("http://{}", self.address)])
            .args(["--ecosystem", ecosystem, "--token-env", "SUBMIT_TEST_TOKEN"])
            .args(more)
            .arg(file)
            .env("SUBMIT_TEST_TOKEN", token)
            .output()
            .await
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}
