//! Everything a release walks past: CI, a gateway, two people who approve, two fake registries, and
//! a forwarder that goes when it is told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign::domain::digest::{Sha1, Sha256};
use countersign::domain::event::LogEntry;
use countersign::domain::ids::{PersonId, ReleaseId};
use countersign::domain::package::{Ecosystem, PackageName};
use countersign::pipeline::Result;
use countersign::pipeline::ci::{self, Scope};
use countersign::pipeline::forwarding::{self, Forwarder};
use countersign::pipeline::intake::{self, PypiForm, Upload};
use countersign::pipeline::setup::Credential;
use countersign::pipeline::setup::apply::{ReadySetup, UpstreamCredentials, apply};
use countersign::pipeline::setup::file::SetupFile;
use countersign::pipeline::staging::{Staged, Stager};
use countersign::store::Store;
use countersign::store::jobs::AttemptRecord;
use countersign::store::releases::{ArtifactRecord, ReleaseRecord};
use countersign::vault::{self, OpeningKey};
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha1::Digest as _;

use crate::readers::build;
use crate::support::issuer::TestIssuer;
use crate::support::npm_registry::NpmRegistry;
use crate::support::pypi_registry::{PypiRegistry, Style};
use crate::support::setup;
use crate::support::site::{Browser, Site};

/// The publish credential of both registries.
pub(crate) const PUBLISH: &str = "npm_canaryCanaryCanaryPublish1";
/// Their read credential, in a world that has one.
pub(crate) const READ: &str = "npm_canaryCanaryCanaryReading2";
/// The npm package of these tests.
pub(crate) const NPM_NAME: &str = "@octo/hello-wire";

/// A gateway and everything around it.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) npm: NpmRegistry,
    pub(crate) pypi: PypiRegistry,
    /// Ines Duarte, an owner.
    pub(crate) ines: Browser,
    /// Mara Lindqvist, a maintainer.
    pub(crate) mara: Browser,
    issuer: TestIssuer,
    key: OpeningKey,
    serial: AtomicU64,
    /// What CI checked out; some commit that nobody has unless a test says which.
    commit: Mutex<Option<String>>,
}

/// One run of CI.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) id: u32,
    pub(crate) attempt: u32,
}

/// The first attempt of a run.
pub(crate) const fn run(id: u32) -> Run {
    Run { id, attempt: 1 }
}

/// A Python file as CI has it, with what its client says about it.
pub(crate) struct PythonFile {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// The form's fields.
    pub(crate) fields: Vec<(String, String)>,
}

impl World {
    /// A world where one approval is enough and anybody may read the registries.
    pub(crate) async fn start(store: Store) -> Self {
        Self::start_with(store, 1, None).await
    }

    /// The same with an index that presents itself like this.
    pub(crate) async fn start_reading(store: Store, style: Style) -> Self {
        Self::start_beside(store, style, (1, None)).await
    }

    /// A world where so many approvals are needed, with a read credential for both registries if
    /// one is given.
    pub(crate) async fn start_with(store: Store, required: u32, read: Option<&str>) -> Self {
        Self::start_beside(store, Style::Json, (required, read)).await
    }

    async fn start_beside(
        store: Store,
        style: Style,
        (required, read): (u32, Option<&str>),
    ) -> Self {
        let (npm, pypi) =
            (NpmRegistry::start(PUBLISH).await, PypiRegistry::start(PUBLISH, style).await);
        let issuer = TestIssuer::start().await;
        let site = Site::on(store).await;
        let text = setup::text(&issuer.url)
            .replace("http://127.0.0.1:14873/", &npm.url())
            .replace("http://127.0.0.1:13141/legacy/", &pypi.upload_url())
            .replace("http://127.0.0.1:13141/simple/", &pypi.simple_url())
            .replace("required = 2", &format!("required = {required}"));
        let file = SetupFile::parse(&text).unwrap();
        let credential = |text: &str| Some(Credential::parse(&text.into()).unwrap());
        let of_one = || UpstreamCredentials {
            publish: credential(PUBLISH),
            read: read.and_then(credential),
        };
        let ready = ReadySetup { file, credentials: vec![of_one(), of_one()] };
        let app = &site.app;
        let invites =
            apply(&app.store, &app.sealing, &site.origin, ready, app.clock.now()).await.unwrap();
        let mut browsers = Vec::new();
        for (seed, name) in [(1, "Ines Duarte"), (2, "Mara Lindqvist")] {
            let invite = invites.iter().find(|invite| invite.name == name).unwrap();
            let mut browser = site.browser(seed);
            browser.enrol(invite.token.expose_secret()).await.ok();
            assert!(browser.read_csrf().await);
            browsers.push(browser);
        }
        let (mara, ines) = (browsers.pop().unwrap(), browsers.pop().unwrap());
        let key = vault::load_or_create(&site.app.config.data_dir).unwrap();
        let (serial, commit) = (AtomicU64::new(1), Mutex::default());
        Self { site, npm, pypi, ines, mara, issuer, key, serial, commit }
    }

    /// Makes tokens differ and signature counters grow.
    fn next(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.site.app.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.site.app.clock.now()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: SignedDuration) {
        self.site.app.clock.advance(time);
    }

    pub(crate) fn forwarder(&self) -> Forwarder<'_> {
        let app = &self.site.app;
        Forwarder {
            store: &app.store,
            blobs: &app.intake.blobs,
            client: &app.upstreams,
            key: &self.key,
            trust: app.trust(),
            notary: &self.site.notary,
            progress: &app.progress,
        }
    }

    /// From now on CI builds from this commit.
    pub(crate) fn build_from(&self, commit: &str) {
        *self.commit.lock().unwrap() = Some(commit.to_owned());
    }

    /// A CI token of a run, which a bot started.
    pub(crate) fn ci_token(&self, run: Run) -> String {
        let mut claims = self.issuer.github_claims("localhost", self.now());
        claims["jti"] = json!(format!("jti-{}", self.next()));
        claims["run_id"] = json!(run.id.to_string());
        claims["run_attempt"] = json!(run.attempt.to_string());
        claims["actor_id"] = json!("9000");
        claims["actor"] = json!("release-bot");
        if let Some(commit) = &*self.commit.lock().unwrap() {
            for member in ["sha", "workflow_sha", "job_workflow_sha"] {
                claims[member] = json!(commit);
            }
        }
        self.issuer.rsa.mint(&claims)
    }

    async fn upload(&self, run: Run, scope: Scope) -> Upload {
        let token = SecretString::from(self.ci_token(run));
        let exchange = &self.site.app.exchange;
        let session = ci::authenticate(exchange, &token, scope, self.now()).await.unwrap();
        let stager = Stager {
            publisher: session.publisher,
            claims: session.claims,
            client: "a test".to_owned(),
        };
        Upload { stager, packages: session.packages }
    }

    /// Stages a publish document as `npm publish` sends it; nothing is found in it.
    pub(crate) async fn stage_npm(&self, run: Run, document: &Value) -> Result<Staged> {
        let staged = self.submit_npm(run, document).await?;
        if staged.new {
            self.site.find_nothing(staged.release).await;
        }
        Ok(staged)
    }

    /// The same, and nobody looks inside yet.
    pub(crate) async fn submit_npm(&self, run: Run, document: &Value) -> Result<Staged> {
        let name = PackageName::parse(Ecosystem::Npm, NPM_NAME).unwrap();
        let upload = self.upload(run, Scope::Npm(name.clone())).await;
        let body = Bytes::from(document.to_string());
        let body = stream::iter([Ok::<_, std::io::Error>(body)]);
        intake::npm(&self.site.app.intake, &upload, &name, body, self.now()).await
    }

    /// Stages a file as twine sends it.
    pub(crate) async fn stage_python(&self, run: Run, file: &PythonFile) -> Result<Staged> {
        let upload = self.upload(run, Scope::Pypi).await;
        let mut form = PypiForm::new(&self.site.app.intake);
        for (name, value) in &file.fields {
            form.field(name.clone(), value.clone())?;
        }
        let body = Bytes::from(file.bytes.clone());
        form.content(&file.name, stream::iter([Ok::<_, std::io::Error>(body)])).await?;
        form.finish(&upload, self.now()).await
    }

    /// Ines approves with her passkey, on the page.
    pub(crate) async fn approve(&self, release: ReleaseId) {
        let base = format!("/releases/{release}/approve");
        let mut ines = self.ines.clone();
        ines.authenticator.counter = u32::try_from(self.next()).unwrap();
        // Time that a test let pass may have ended the session.
        if !ines.read_csrf().await {
            ines.sign_in().await.ok();
            ines.read_csrf().await;
            ines.authenticator.counter = u32::try_from(self.next()).unwrap();
        }
        let answer = ines.answer(&base, &json!({})).await;
        ines.post_json(&format!("{base}/finish"), &answer).await.ok();
    }

    /// An npm version, staged and approved.
    pub(crate) async fn approved_npm(&self, version: &str) -> ReleaseId {
        let staged = self.stage_npm(run(1), &npm_document(version, b"x = 1")).await.unwrap();
        self.approve(staged.release).await;
        staged.release
    }

    /// Python files of one version, staged, sealed and approved.
    pub(crate) async fn approved_python(&self, files: &[PythonFile]) -> ReleaseId {
        let mut release = None;
        for file in files {
            release = Some(self.stage_python(run(1), file).await.unwrap().release);
        }
        let release = release.expect("at least one file");
        self.seal(release).await;
        self.approve(release).await;
        release
    }

    /// Seals as the first reviewer does; nothing is found in it.
    pub(crate) async fn seal(&self, release: ReleaseId) {
        let because = countersign::domain::event::SealedBecause::ReviewBegan;
        countersign::pipeline::staging::seal_now(self.store(), release, because, self.now())
            .await
            .unwrap();
        self.site.find_nothing(release).await;
    }

    /// The forwarder does what is due now.
    pub(crate) async fn forward(&self) {
        while forwarding::run_next(&self.forwarder(), "worker", self.now()).await.unwrap() {}
    }

    /// The forwarder goes on, minute by minute, until nothing is left to do for a release.
    pub(crate) async fn forward_to_the_end(&self, release: ReleaseId) {
        for _ in 0..200 {
            self.forward().await;
            if !self.record(release).await.state.is_on_its_way() {
                return;
            }
            self.pass(SignedDuration::from_mins(1));
        }
        panic!("{:?} goes on for ever", self.record(release).await);
    }

    pub(crate) async fn record(&self, release: ReleaseId) -> ReleaseRecord {
        self.store().snapshot().await.unwrap().release(release).await.unwrap().unwrap()
    }

    pub(crate) async fn attempts(&self, release: ReleaseId) -> Vec<AttemptRecord> {
        self.store().snapshot().await.unwrap().attempts(release).await.unwrap()
    }

    pub(crate) async fn artifacts(&self, release: ReleaseId) -> Vec<ArtifactRecord> {
        self.store().snapshot().await.unwrap().artifacts(release).await.unwrap()
    }

    /// What happened to a release, oldest first.
    pub(crate) async fn history(&self, release: ReleaseId) -> Vec<LogEntry> {
        self.store().snapshot().await.unwrap().release_history(release).await.unwrap()
    }

    /// Rows and files: everything that staging changes and a refused file must leave as it was.
    pub(crate) async fn stock(&self) -> (Vec<i64>, usize) {
        let mut rows = Vec::new();
        for table in ["releases", "artifacts", "attachments", "jobs", "log_entries"] {
            rows.push(setup::count(self.store(), table).await);
        }
        (rows, files(&self.site.app.config.data_dir.join("blobs")))
    }

    /// Somebody's id.
    pub(crate) async fn person(&self, name: &str) -> PersonId {
        let mut tx = self.store().snapshot().await.unwrap();
        tx.person_named(name).await.unwrap().expect(name).id
    }
}

/// The number of files below a folder.
fn files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap();
    let count = |path: std::path::PathBuf| if path.is_dir() { files(&path) } else { 1 };
    entries.map(|entry| count(entry.unwrap().path())).sum()
}

/// The publish document that npm makes of a package with one module.
pub(crate) fn npm_document(version: &str, module: &[u8]) -> Value {
    npm_document_of(json!({ "name": NPM_NAME, "version": version }), &[("index.js", module)])
}

/// The same with a `package.json` and files of the caller.
pub(crate) fn npm_document_of(mut manifest: Value, files: &[(&str, &[u8])]) -> Value {
    let text = |member: &str| manifest[member].as_str().unwrap().to_owned();
    let (name, version) = (text("name"), text("version"));
    let tarball = build::npm(&manifest, files);
    let integrity = STANDARD.encode(sha2::Sha512::digest(&tarball));
    let shasum = Sha1::from_bytes(sha1::Sha1::digest(&tarball).into()).to_string();
    manifest["_id"] = json!(format!("{name}@{version}"));
    manifest["dist"] = json!({
        "integrity": format!("sha512-{integrity}"), "shasum": shasum, "tarball": "x",
    });
    json!({
        "_id": name, "name": name, "dist-tags": { "latest": version },
        "versions": { &version: manifest },
        "access": "public",
        "_attachments": { format!("{name}-{version}.tgz"): {
            "content_type": "application/octet-stream",
            "data": STANDARD.encode(&tarball), "length": tarball.len(),
        } },
    })
}

/// A wheel for one Python, with further metadata: header, form field and value.
pub(crate) fn wheel(version: &str, python: &str, more: &[(&str, &str, &str)]) -> PythonFile {
    wheel_holding(&[], version, python, more)
}

/// The same with files beside the one module.
pub(crate) fn wheel_holding(
    extra: &[(&str, &[u8])],
    version: &str,
    python: &str,
    more: &[(&str, &str, &str)],
) -> PythonFile {
    let module = ("hello_wire/__init__.py".to_owned(), b"x = 1\n".to_vec());
    let extra = extra.iter().map(|(name, body)| ((*name).to_owned(), body.to_vec()));
    wheel_of(version, python, more, std::iter::once(module).chain(extra).collect())
}

/// The same with nothing but files of the caller.
pub(crate) fn wheel_of(
    version: &str,
    python: &str,
    more: &[(&str, &str, &str)],
    mut files: Vec<(String, Vec<u8>)>,
) -> PythonFile {
    let info = format!("hello_wire-{version}.dist-info");
    let tag = format!("Wheel-Version: 1.0\nTag: {python}-none-any\n");
    files.push((format!("{info}/METADATA"), metadata(version, more)));
    files.push((format!("{info}/WHEEL"), tag.into_bytes()));
    let record = build::record_of(&files, &info);
    let mut all: Vec<_> = files.iter().map(|(name, body)| build::deflated(name, body)).collect();
    all.push(build::deflated(&format!("{info}/RECORD"), record.as_bytes()));
    let name = format!("hello_wire-{version}-{python}-none-any.whl");
    python_file(name, build::zip(&all), ("bdist_wheel", python), version, more)
}

/// A source distribution.
pub(crate) fn sdist(version: &str, more: &[(&str, &str, &str)]) -> PythonFile {
    let top = format!("hello_wire-{version}");
    let bytes = build::tgz(&[
        build::file(&format!("{top}/PKG-INFO"), &metadata(version, more)),
        build::file(&format!("{top}/hello_wire.py"), b"x = 1\n"),
    ]);
    python_file(format!("{top}.tar.gz"), bytes, ("sdist", "source"), version, more)
}

fn metadata(version: &str, more: &[(&str, &str, &str)]) -> Vec<u8> {
    let first = format!("Metadata-Version: 2.4\nName: hello-wire\nVersion: {version}\n");
    let more = more.iter().map(|(header, _, value)| format!("{header}: {value}\n"));
    std::iter::once(first).chain(more).collect::<String>().into_bytes()
}

fn python_file(
    name: String,
    bytes: Vec<u8>,
    (filetype, python): (&str, &str),
    version: &str,
    more: &[(&str, &str, &str)],
) -> PythonFile {
    let sha256 = Sha256::of(&bytes).to_string();
    let fields = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("metadata_version", "2.4"),
        ("name", "hello-wire"),
        ("version", version),
        ("filetype", filetype),
        ("pyversion", python),
        ("sha256_digest", &sha256),
    ];
    let more = more.iter().map(|(_, field, value)| (*field, *value));
    let fields = fields.into_iter().chain(more);
    PythonFile {
        name,
        bytes,
        fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}
