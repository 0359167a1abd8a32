//! Sending and reading back, against fake registries that misbehave (security.md 3.4).

use std::io::Read;
use std::time::{Duration, Instant};

use countersign::blobs::{Blobs, Wanted};
use countersign::domain::artifact::{ArtifactKind, Digests, NpmFacts, PypiFacts};
use countersign::domain::digest::{Sha1, Sha256, Sha512};
use countersign::domain::document::{NpmOrder, PublishDocument, npm_document, pypi_form};
use countersign::domain::ids::UpstreamId;
use countersign::domain::package::{Ecosystem, PackageName, Version};
use countersign::domain::upstream::{
    Observation, Outcome, RefusedFor, Seen, Upstream, UpstreamFields,
};
use countersign::upstream::{
    Client, Conditions, ReadFault, Reading, SendFault, Sending, Settings, Source,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha1::Digest as _;

use crate::support::faults::Fault;
use crate::support::npm_registry::NpmRegistry;
use crate::support::pypi_registry::{PypiRegistry, Style};

/// A token that must never be printed (K4).
const TOKEN: &str = "npm_canaryCanaryCanaryCanary0001";
const NPM_NAME: &str = "@octo/hello-wire";
const WHEEL: &str = "hello_wire-1.0.0-py3-none-any.whl";
/// More than any socket buffer on the way holds, so that a cut is noticed by the sender.
const LARGE: usize = 12_000_000;

fn client() -> Client {
    client_trusting(Vec::new())
}

fn client_trusting(extra_roots: Vec<Vec<u8>>) -> Client {
    Client::new(Settings { extra_roots, ..Settings::default() }).unwrap()
}

/// Gives up soon. Only for requests that are meant to stall: a busy machine stalls others.
fn impatient() -> Client {
    let idle = Duration::from_secs(1);
    Client::new(Settings { idle, answer: idle, read_total: 2 * idle, ..Settings::default() })
        .unwrap()
}

fn upstream(kind: Ecosystem, url: &str, simple_url: Option<&str>, private: bool) -> Upstream {
    let id = UpstreamId::from_uuid(uuid::Uuid::from_u128(1));
    let fields = UpstreamFields {
        id,
        name: "Fake",
        kind,
        url,
        simple_url,
        files_url: None,
        allow_private: private,
    };
    Upstream::parse(fields).unwrap()
}

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index * 31 % 253).unwrap()).collect()
}

fn digests(bytes: &[u8]) -> Digests {
    Digests {
        sha256: Sha256::of(bytes),
        sha512: Some(Sha512::from_bytes(sha2::Sha512::digest(bytes).into())),
        sha1: Some(Sha1::from_bytes(sha1::Sha1::digest(bytes).into())),
        md5: None,
        blake2b256: None,
    }
}

fn npm_version() -> Version {
    Version::parse(Ecosystem::Npm, "1.0.0").unwrap()
}

fn npm_package() -> PackageName {
    PackageName::parse(Ecosystem::Npm, NPM_NAME).unwrap()
}

fn pypi_package() -> PackageName {
    PackageName::parse(Ecosystem::Pypi, "hello-wire").unwrap()
}

fn npm_document_of(bytes: &[u8], registry: &Upstream) -> PublishDocument {
    let Value::Object(package_json) = json!({
        "name": NPM_NAME, "version": "1.0.0", "description": "wire test", "bin": "./cli.js",
    }) else {
        unreachable!()
    };
    let facts = NpmFacts {
        name: NPM_NAME.into(),
        version: "1.0.0".into(),
        package_json,
        readme: None,
        readme_filename: None,
        has_binding_gyp: false,
        has_shrinkwrap: false,
        file_count: 1,
        unpacked_bytes: 1,
    };
    let order = NpmOrder {
        facts: &facts,
        digests: &digests(bytes),
        size: bytes.len() as u64,
        registry: registry.url(),
        git_head: None,
        tag: "latest",
        access: None,
    };
    PublishDocument::Npm(npm_document(&order).unwrap())
}

fn pypi_document_of(bytes: &[u8]) -> PublishDocument {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let facts = PypiFacts {
        kind: ArtifactKind::Wheel,
        name: "hello-wire".into(),
        version: "1.0.0".into(),
        pyversion: "py3".into(),
        fields: vec![
            field("Metadata-Version", "2.4"),
            field("Name", "hello-wire"),
            field("Version", "1.0.0"),
            field("Classifier", "A :: B"),
            field("Classifier", "C :: D"),
        ],
        description: Some("line one\r\n--boundary\r\nümlaut".into()),
        file_count: 1,
        unpacked_bytes: 1,
    };
    PublishDocument::Pypi(pypi_form(&facts, &digests(bytes), WHEEL).unwrap())
}

/// One registry, one upstream that leads to it, and a client.
struct Npm {
    registry: NpmRegistry,
    upstream: Upstream,
    client: Client,
}

impl Npm {
    async fn start() -> Self {
        let registry = NpmRegistry::start(TOKEN).await;
        let upstream = upstream(Ecosystem::Npm, &registry.url(), None, true);
        Self { registry, upstream, client: client() }
    }

    async fn send(&self, bytes: &[u8]) -> Result<Outcome, SendFault> {
        self.send_from(bytes, Box::new(std::io::Cursor::new(bytes.to_vec()))).await
    }

    /// Sends what `source` gives under the document and digest of `bytes`.
    async fn send_from(&self, bytes: &[u8], source: Source) -> Result<Outcome, SendFault> {
        let document = npm_document_of(bytes, &self.upstream);
        send(&self.client, &self.upstream, &document, (bytes, source)).await
    }

    async fn read_back(&self) -> Result<Observation, ReadFault> {
        let package = npm_package();
        let reading = Reading { upstream: &self.upstream, package: &package, credential: None };
        self.client.read_back(reading, &npm_version()).await
    }

    async fn seen(&self, bytes: &[u8]) -> Seen {
        self.read_back().await.unwrap().npm_tarball(&digests(bytes))
    }
}

/// The same for PyPI.
struct Pypi {
    registry: PypiRegistry,
    upstream: Upstream,
    client: Client,
}

impl Pypi {
    async fn start(style: Style) -> Self {
        let registry = PypiRegistry::start(TOKEN, style).await;
        let simple = registry.simple_url();
        let upstream = upstream(Ecosystem::Pypi, &registry.upload_url(), Some(&simple), true);
        Self { registry, upstream, client: client() }
    }

    async fn send(&self, bytes: &[u8]) -> Result<Outcome, SendFault> {
        self.send_from(bytes, Box::new(std::io::Cursor::new(bytes.to_vec()))).await
    }

    async fn send_from(&self, bytes: &[u8], source: Source) -> Result<Outcome, SendFault> {
        send(&self.client, &self.upstream, &pypi_document_of(bytes), (bytes, source)).await
    }

    async fn read_back(&self) -> Result<Observation, ReadFault> {
        let package = pypi_package();
        let version = Version::parse(Ecosystem::Pypi, "1.0.0").unwrap();
        let reading = Reading { upstream: &self.upstream, package: &package, credential: None };
        self.client.read_back(reading, &version).await
    }

    async fn seen(&self, bytes: &[u8]) -> Seen {
        self.read_back().await.unwrap().pypi_file(WHEEL, &digests(bytes))
    }
}

async fn send(
    client: &Client,
    upstream: &Upstream,
    document: &PublishDocument,
    (bytes, source): (&[u8], Source),
) -> Result<Outcome, SendFault> {
    let package = match upstream.kind() {
        Ecosystem::Npm => npm_package(),
        Ecosystem::Pypi => pypi_package(),
    };
    let sending = Sending {
        upstream,
        credential: &SecretString::from(TOKEN),
        username: "__token__",
        document,
        source,
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
        progress: None,
        until: None,
    };
    client.send(&package, sending).await
}

fn published(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Published { .. })
}

fn unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

fn refused_for(outcome: &Outcome) -> Option<RefusedFor> {
    match outcome {
        Outcome::Refused { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[tokio::test]
async fn npm_stores_the_exact_bytes_and_shows_them_when_read_back() {
    for length in [1, 2, 3, 4096, 196_607, 196_608, 196_609, 600_000] {
        let npm = Npm::start().await;
        let bytes = sample(length);
        assert_eq!(npm.seen(&bytes).await, Seen::Absent);
        let outcome = npm.send(&bytes).await.unwrap();
        assert_eq!(outcome, Outcome::Published { note: None }, "{length}");
        assert_eq!(npm.registry.tarball(NPM_NAME, "1.0.0"), Some(bytes.clone()));
        assert_eq!(npm.seen(&bytes).await, Seen::Same);
        assert_eq!(npm.read_back().await.unwrap().dist_tags["latest"], "1.0.0");
    }
}

/// wire.md 4.2: what clients send and we must send too.
#[tokio::test]
async fn the_npm_request_looks_like_a_client_s() {
    let npm = Npm::start().await;
    npm.send(b"tarball").await.unwrap();
    let seen = npm.registry.listener.seen();
    let [put] = seen.as_slice() else { panic!("one request: {seen:?}") };
    assert_eq!((put.method.as_str(), put.path.as_str()), ("PUT", "/npm/@octo%2fhello-wire"));
    assert_eq!(put.header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(put.header("npm-command"), "publish");
    assert_eq!(put.header("npm-auth-type"), "web");
    assert_eq!(put.header("content-type"), "application/json");
    assert_eq!(put.header("content-length"), put.received.to_string());
    assert_eq!(put.header("transfer-encoding"), "");
    let manifest = npm.registry.manifest(NPM_NAME, "1.0.0").unwrap();
    assert_eq!(manifest["bin"], json!({"hello-wire": "cli.js"}));
    let tarball = manifest["dist"]["tarball"].as_str().unwrap();
    assert!(tarball.starts_with(&npm.registry.url()), "{tarball}");
}

#[tokio::test]
async fn pypi_stores_the_exact_bytes_and_fields_and_both_index_styles_show_them() {
    for (style, length) in [(Style::Json, 1), (Style::Html, 196_608), (Style::Json, 600_001)] {
        let pypi = Pypi::start(style).await;
        let bytes = sample(length);
        assert_eq!(pypi.seen(&bytes).await, Seen::Absent);
        assert!(published(&pypi.send(&bytes).await.unwrap()));
        let stored = pypi.registry.file(WHEEL).unwrap();
        assert_eq!(stored.content, bytes);
        let PublishDocument::Pypi(form) = pypi_document_of(&bytes) else { unreachable!() };
        assert_eq!(stored.fields, form.fields());
        assert_eq!(pypi.seen(&bytes).await, Seen::Same);
        assert_eq!(pypi.seen(b"other bytes").await, Seen::Different);
    }
}

/// Faults U12, U13.
#[tokio::test]
async fn an_npm_duplicate_is_told_apart_by_its_digest() {
    let npm = Npm::start().await;
    npm.send(b"first").await.unwrap();
    assert_eq!(npm.send(b"first").await.unwrap(), Outcome::AlreadyThere);
    assert_eq!(npm.seen(b"first").await, Seen::Same);
    assert_eq!(npm.send(b"second").await.unwrap(), Outcome::AlreadyThere);
    assert_eq!(npm.seen(b"second").await, Seen::Different);
    assert_eq!(npm.registry.tarball(NPM_NAME, "1.0.0").unwrap(), b"first");
}

/// Faults U21, U22.
#[tokio::test]
async fn a_pypi_duplicate_is_a_success_only_with_the_same_bytes() {
    let pypi = Pypi::start(Style::Json).await;
    pypi.send(b"first").await.unwrap();
    assert!(published(&pypi.send(b"first").await.unwrap()));
    assert_eq!(pypi.send(b"second").await.unwrap(), Outcome::AlreadyThere);
    assert_eq!(pypi.seen(b"second").await, Seen::Different);
    assert_eq!(pypi.registry.file(WHEEL).unwrap().content, b"first");
}

/// Faults U07 to U09, U14, invariant I6: after an unclear answer only reading tells.
#[tokio::test]
async fn unclear_answers_are_unknown_whether_or_not_the_artifact_was_stored() {
    for store in [false, true] {
        let late = Fault::Late { pause: Duration::from_mins(1), store };
        let mut faults = vec![
            Fault::NoAnswer { store },
            late,
            Fault::answer(409, "Failed to save packument.", store),
            Fault::answer(409, "Cannot publish over previously staged version", store),
        ];
        faults.extend([408, 500, 502, 503, 504].map(|status| Fault::answer(status, "", store)));
        let expected = if store { Seen::Same } else { Seen::Absent };
        for fault in faults {
            let mut npm = Npm::start().await;
            npm.registry.fail_next_write(fault.clone());
            if matches!(fault, Fault::Late { .. }) {
                npm.client = impatient();
            }
            let outcome = npm.send(b"tarball").await.unwrap();
            assert!(unknown(&outcome), "{fault:?}: {outcome:?}");
            npm.client = client();
            assert_eq!(npm.seen(b"tarball").await, expected, "{fault:?}");
            let writes = npm.registry.listener.seen();
            let writes = writes.iter().filter(|seen| seen.method == "PUT").count();
            assert_eq!(writes, 1, "{fault:?} was sent again");
        }
        for fault in [Fault::NoAnswer { store }, Fault::answer(503, "", store)] {
            let pypi = Pypi::start(Style::Json).await;
            pypi.registry.fail_next_write(fault.clone());
            assert!(unknown(&pypi.send(b"wheel").await.unwrap()), "{fault:?}");
            assert_eq!(pypi.seen(b"wheel").await, expected, "{fault:?}");
        }
    }
}

/// Fault U07: the connection breaks at 0, 50 and 99 % of the body. Near its end nobody can tell
/// whether the rest was on its way already.
#[tokio::test]
async fn a_connection_cut_in_the_body_stores_nothing_and_is_tried_again() {
    let bytes = sample(LARGE);
    for percent in [0, 50, 99] {
        let npm = Npm::start().await;
        npm.registry.fail_next_write(Fault::CutWhileReading { percent });
        let outcome = npm.send(&bytes).await.unwrap();
        let again = matches!(outcome, Outcome::Retry { .. });
        assert!(again || (percent == 99 && unknown(&outcome)), "{percent} %: {outcome:?}");
        assert_eq!(npm.registry.count(), 0);
        assert_eq!(npm.seen(&bytes).await, Seen::Absent);
        assert!(published(&npm.send(b"tarball").await.unwrap()), "the next attempt is clean");
    }
}

/// A reader that gives right bytes first and then fails.
struct Failing(Vec<u8>);

impl Read for Failing {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        let length = self.0.len().min(out.len()).min(50_000);
        out[..length].copy_from_slice(&self.0[..length]);
        self.0.drain(..length);
        Ok(length)
    }
}

/// Invariant I5, fault U36: changed, cut and grown bytes never make a whole request.
#[tokio::test]
async fn wrong_bytes_are_noticed_and_nothing_is_stored() {
    for length in [1, 1000, 196_608, 1_000_000] {
        let bytes = sample(length);
        let sha256 = Sha256::of(&bytes);
        let mut flipped = bytes.clone();
        flipped[length - 1] ^= 1;
        let grown = [bytes.as_slice(), b"x"].concat();
        let wrong = [flipped, bytes[..length - 1].to_vec(), grown, Vec::new()];
        let npm = Npm::start().await;
        let pypi = Pypi::start(Style::Json).await;
        for wrong in &wrong {
            let source = || Box::new(std::io::Cursor::new(wrong.clone()));
            let outcomes =
                [npm.send_from(&bytes, source()).await, pypi.send_from(&bytes, source()).await];
            for outcome in outcomes {
                let found = matches!(&outcome, Err(SendFault::Tampered(found)) if *found == sha256);
                assert!(found, "{length} bytes sent as {}: {outcome:?}", wrong.len());
            }
        }
        assert_eq!((npm.registry.count(), pypi.registry.count()), (0, 0));
        let seen = [npm.registry.listener.seen(), pypi.registry.listener.seen()].concat();
        assert!(seen.iter().all(|seen| !seen.complete), "{seen:?}");
    }
}

/// Invariant I5, fault U36: from the disk to the registry, good and gone bad.
#[tokio::test]
async fn a_stored_blob_is_sent_as_it_was_stored_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(directory.path(), 2).unwrap();
    let bytes = sample(300_000);
    let mut writer = blobs.writer(Wanted::NPM).unwrap();
    writer.push(&bytes).await.unwrap();
    let stored = writer.finish().await.unwrap();
    assert_eq!(stored.digests, digests(&bytes));
    let npm = Npm::start().await;
    let hex = stored.digests.sha256.to_string();
    let path = directory.path().join(&hex[..2]).join(&hex[2..]);
    let mut changed = bytes.clone();
    changed[150_000] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    let source = Box::new(blobs.file(stored.digests.sha256).await.unwrap());
    let fault = npm.send_from(&bytes, source).await.unwrap_err();
    assert!(matches!(fault, SendFault::Tampered(_)), "{fault:?}");
    assert_eq!(npm.registry.count(), 0);
    std::fs::write(&path, &bytes).unwrap();
    let source = Box::new(blobs.file(stored.digests.sha256).await.unwrap());
    assert!(published(&npm.send_from(&bytes, source).await.unwrap()));
    assert_eq!(npm.seen(&bytes).await, Seen::Same);
}

/// Invariant I5: a registry that says yes early does not hide wrong bytes, and its yes counts for
/// nothing before all bytes were sent.
#[tokio::test]
async fn an_early_yes_is_not_believed() {
    let bytes = sample(LARGE);
    let npm = Npm::start().await;
    npm.registry.fail_next_write(Fault::Early { status: 201 });
    let outcome = npm.send(&bytes).await.unwrap();
    assert!(unknown(&outcome), "{outcome:?}");
    assert_eq!(npm.registry.count(), 0);
}

#[tokio::test]
async fn an_early_no_is_never_taken_for_a_yes() {
    let bytes = sample(LARGE);
    let npm = Npm::start().await;
    npm.registry.fail_next_write(Fault::Early { status: 403 });
    let outcome = npm.send(&bytes).await.unwrap();
    // The answer may be lost with the connection; the request was not complete then.
    let refused = refused_for(&outcome) == Some(RefusedFor::Credential);
    assert!(refused || matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    assert_eq!(npm.registry.count(), 0);
}

/// Fault U36: the store breaks while the artifact is read.
#[tokio::test]
async fn an_unreadable_artifact_is_our_fault_and_stores_nothing() {
    let bytes = sample(600_000);
    let npm = Npm::start().await;
    let source = Box::new(Failing(bytes[..400_000].to_vec()));
    let fault = npm.send_from(&bytes, source).await.unwrap_err();
    assert!(matches!(fault, SendFault::Source(_)), "{fault:?}");
    assert_eq!(npm.registry.count(), 0);
    assert!(npm.registry.listener.seen().iter().all(|seen| !seen.complete));
}

/// Fault U05: redirects are not followed and the credential does not travel.
#[tokio::test]
async fn a_redirect_is_refused_and_its_target_sees_nothing() {
    let elsewhere = NpmRegistry::start(TOKEN).await;
    let target: &'static str = Box::leak(elsewhere.url().into_boxed_str());
    for status in [301, 302, 303, 307, 308] {
        let headers = vec![("location", target)];
        let redirect = Fault::Answer { status, headers, body: String::new(), store: false };
        let npm = Npm::start().await;
        npm.registry.fail_next_write(redirect.clone());
        let outcome = npm.send(b"tarball").await.unwrap();
        assert_eq!(refused_for(&outcome), Some(RefusedFor::Redirect), "{outcome:?}");
        npm.registry.fail_next_read(redirect);
        let read = npm.read_back().await;
        assert!(matches!(read, Err(ReadFault::Redirect(found)) if found == status), "{read:?}");
    }
    assert_eq!(elsewhere.listener.connections(), 0);
}

/// Fault U03.
#[tokio::test]
async fn a_refused_connection_is_tried_again_later() {
    let mut npm = Npm::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    npm.upstream = upstream(Ecosystem::Npm, &format!("http://{closed}/"), None, true);
    let outcome = npm.send(b"tarball").await.unwrap();
    assert!(matches!(outcome, Outcome::Retry { after: None, .. }), "{outcome:?}");
    assert!(matches!(npm.read_back().await, Err(ReadFault::Unreachable(_))));
}

/// Fault U02, rules O4, Q15: neither a name nor an address leads inside by accident.
#[tokio::test]
async fn private_addresses_need_to_be_allowed() {
    let mut npm = Npm::start().await;
    let port = npm.registry.listener.address.port();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        npm.upstream = upstream(Ecosystem::Npm, &format!("https://{host}:{port}/"), None, false);
        let outcome = npm.send(b"tarball").await.unwrap();
        assert_eq!(refused_for(&outcome), Some(RefusedFor::PrivateAddress), "{host}: {outcome:?}");
        let read = npm.read_back().await;
        assert!(matches!(read, Err(ReadFault::PrivateAddress)), "{host}: {read:?}");
    }
    // Addresses that hand out cloud credentials are not private networks and never allowed.
    npm.upstream = upstream(Ecosystem::Npm, "http://169.254.169.254/", None, true);
    let outcome = npm.send(b"tarball").await.unwrap();
    assert_eq!(refused_for(&outcome), Some(RefusedFor::PrivateAddress), "{outcome:?}");
    assert_eq!(npm.registry.listener.connections(), 0);
}

/// Fault U03: somebody listens and says nothing.
#[tokio::test]
async fn a_handshake_that_never_ends_is_tried_again_later() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", mute.local_addr().unwrap());
    let connect = Duration::from_millis(300);
    let client = Client::new(Settings { connect, ..Settings::default() }).unwrap();
    let upstream = upstream(Ecosystem::Npm, &url, None, true);
    let source: Source = Box::new(std::io::Cursor::new(b"tarball".to_vec()));
    let document = npm_document_of(b"tarball", &upstream);
    let outcome = send(&client, &upstream, &document, (b"tarball", source)).await.unwrap();
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
}

/// Fault U04: no TLS behind an https address.
#[tokio::test]
async fn a_plain_server_behind_an_https_address_is_refused() {
    let mut npm = Npm::start().await;
    let url = npm.registry.url().replace("http:", "https:");
    npm.upstream = upstream(Ecosystem::Npm, &url, None, true);
    let outcome = npm.send(b"tarball").await.unwrap();
    assert_eq!(refused_for(&outcome), Some(RefusedFor::Tls), "{outcome:?}");
    assert!(npm.registry.listener.seen().is_empty());
}

fn tls(names: &[&str]) -> (tokio_rustls::TlsAcceptor, Vec<u8>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (std::sync::Arc::new(config).into(), made.cert.pem().into_bytes())
}

/// Fault U04: a certificate nobody vouched for, and one for another name.
#[tokio::test]
async fn a_certificate_that_proves_nothing_gets_no_request() {
    for (name, trusted) in [("localhost", false), ("elsewhere.example", true)] {
        let (acceptor, root) = tls(&[name]);
        let registry = NpmRegistry::start_with(TOKEN, Some(acceptor)).await;
        let url = registry.url().replace("127.0.0.1", "localhost");
        let upstream = upstream(Ecosystem::Npm, &url, None, true);
        let client = client_trusting(if trusted { vec![root] } else { Vec::new() });
        let npm = Npm { registry, upstream, client };
        let outcome = npm.send(b"tarball").await.unwrap();
        assert_eq!(refused_for(&outcome), Some(RefusedFor::Tls), "{name}: {outcome:?}");
        assert!(matches!(npm.read_back().await, Err(ReadFault::Tls(_))));
        assert!(npm.registry.listener.seen().is_empty());
    }
}

#[tokio::test]
async fn an_extra_root_makes_a_private_registry_trusted() {
    let (acceptor, root) = tls(&["localhost"]);
    let registry = NpmRegistry::start_with(TOKEN, Some(acceptor)).await;
    let url = registry.url().replace("127.0.0.1", "localhost");
    let upstream = upstream(Ecosystem::Npm, &url, None, true);
    let npm = Npm { registry, upstream, client: client_trusting(vec![root]) };
    assert!(published(&npm.send(b"tarball").await.unwrap()));
    assert_eq!(npm.seen(b"tarball").await, Seen::Same);
    let bad = Settings { extra_roots: vec![b"not PEM".to_vec()], ..Settings::default() };
    assert!(Client::new(bad).is_err());
}

/// Fault U10.
#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait() {
    let npm = Npm::start().await;
    npm.registry.fail_next_write(Fault::Answer {
        status: 429,
        headers: vec![("retry-after", "1800")],
        body: "rate limited exceeded".into(),
        store: false,
    });
    let outcome = npm.send(b"tarball").await.unwrap();
    let expected = Some(Duration::from_mins(30));
    assert!(matches!(&outcome, Outcome::Retry { after, .. } if *after == expected), "{outcome:?}");
    assert_eq!(npm.registry.count(), 0);
}

/// Faults U11, U16, U26.
#[tokio::test]
async fn a_dead_credential_and_a_second_factor_stop_the_forward() {
    let mut npm = Npm::start().await;
    npm.registry.fail_next_write(Fault::Answer {
        status: 401,
        headers: vec![("www-authenticate", "OTP")],
        body: r#"{"authUrl":"https://registry.example/auth/1","doneUrl":"https://registry.example/done/1"}"#.into(),
        store: false,
    });
    let outcome = npm.send(b"tarball").await.unwrap();
    assert_eq!(refused_for(&outcome), Some(RefusedFor::SecondFactor), "{outcome:?}");
    npm.registry = NpmRegistry::start("another-token").await;
    npm.upstream = upstream(Ecosystem::Npm, &npm.registry.url(), None, true);
    let outcome = npm.send(b"tarball").await.unwrap();
    assert_eq!(refused_for(&outcome), Some(RefusedFor::Credential), "{outcome:?}");
    assert_eq!(npm.registry.count(), 0);
}

/// Rule K4: a registry that echoes the token, and everything that can be printed.
#[tokio::test]
async fn the_credential_appears_in_no_outcome_fault_or_debug_text() {
    let npm = Npm::start().await;
    let mut printed = vec![format!("{:?}", npm.client)];
    for status in [201, 400, 403, 409, 422, 429, 500] {
        let echo = format!(r#"{{"error":"bad token {TOKEN} and pypi-AgEIcHlwaS5vcmcCJDk"}}"#);
        npm.registry.fail_next_write(Fault::answer(status, &echo, false));
        let outcome = npm.send(b"tarball").await;
        printed.push(format!("{outcome:?}"));
    }
    npm.registry.fail_next_write(Fault::NoAnswer { store: false });
    printed.push(format!("{:?}", npm.send(b"tarball").await));
    npm.registry.fail_next_read(Fault::answer(403, TOKEN, false));
    printed.push(format!("{:?}", npm.read_back().await));
    let printed = printed.join("\n");
    assert!(printed.contains("[credential]") && printed.contains("[token]"), "{printed}");
    assert!(!printed.contains("canary") && !printed.contains("AgEI"), "{printed}");
    let spoiled = SecretString::from(format!("{TOKEN}\nx"));
    let document = npm_document_of(b"x", &npm.upstream);
    let sending = Sending {
        upstream: &npm.upstream,
        credential: &spoiled,
        username: "",
        document: &document,
        source: Box::new(std::io::empty()),
        size: 1,
        sha256: Sha256::of(b"x"),
        progress: None,
        until: None,
    };
    let fault = npm.client.send(&npm_package(), sending).await.unwrap_err();
    assert!(matches!(fault, SendFault::Credential));
    assert!(!format!("{fault:?} {fault}").contains("canary"));
}

/// Fault U28: whatever an answer's body does, the send ends and is sorted.
#[tokio::test]
async fn endless_slow_and_huge_answers_to_a_publish_are_capped() {
    for status in [201, 403, 500] {
        for fault in [
            Fault::Endless { status },
            Fault::Drip { status },
            Fault::Huge { status, bytes: 5_000_000 },
        ] {
            let mut npm = Npm::start().await;
            npm.registry.fail_next_write(fault.clone());
            if matches!(fault, Fault::Drip { .. }) {
                npm.client = impatient();
            }
            let began = Instant::now();
            let outcome = npm.send(b"tarball").await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(30), "{fault:?}");
            match status {
                201 => assert!(published(&outcome), "{fault:?}: {outcome:?}"),
                // A refusal whose words never end may be "already there".
                403 => assert!(unknown(&outcome) || refused_for(&outcome).is_some(), "{outcome:?}"),
                _ => assert!(unknown(&outcome), "{fault:?}: {outcome:?}"),
            }
            assert!(format!("{outcome:?}").len() < 1000);
        }
    }
}

/// Faults U28, U29.
#[tokio::test]
async fn endless_slow_huge_and_broken_reads_are_faults() {
    let mut npm = Npm::start().await;
    npm.send(b"tarball").await.unwrap();
    npm.registry.fail_next_read(Fault::Endless { status: 200 });
    assert!(matches!(npm.read_back().await, Err(ReadFault::TooLarge)));
    npm.client = impatient();
    npm.registry.fail_next_read(Fault::Drip { status: 200 });
    assert!(matches!(npm.read_back().await, Err(ReadFault::TimedOut)));
    let late = Fault::Late { pause: Duration::from_mins(1), store: false };
    npm.registry.fail_next_read(late);
    let read = npm.read_back().await;
    assert!(matches!(read, Err(ReadFault::TimedOut)), "{read:?}");
    npm.client = client();
    for body in ["", "garbage", "[]", r#"{"versions":{"1.0.0":{},"1.0.0":{}}}"#] {
        npm.registry.fail_next_read(Fault::answer(200, body, false));
        let read = npm.read_back().await;
        assert!(matches!(read, Err(ReadFault::Malformed(_))), "{body}: {read:?}");
    }
    npm.registry.fail_next_read(Fault::Answer {
        status: 200,
        headers: vec![("content-encoding", "gzip")],
        body: "{}".into(),
        store: false,
    });
    assert!(matches!(npm.read_back().await, Err(ReadFault::Malformed(_))));
    for (status, after) in [(429, Some(Duration::from_secs(7))), (503, None)] {
        let headers = after.map(|_| ("retry-after", "7")).into_iter().collect();
        npm.registry.fail_next_read(Fault::Answer {
            status,
            headers,
            body: String::new(),
            store: false,
        });
        let read = npm.read_back().await;
        let Err(ReadFault::Unavailable { status: found, after: pause }) = read else {
            panic!("{read:?}")
        };
        assert_eq!((found, pause), (status, after));
    }
    assert_eq!(npm.seen(b"tarball").await, Seen::Same, "the client still works");
}

/// Fault U28, for the simple index.
#[tokio::test]
async fn broken_simple_pages_are_faults() {
    let pypi = Pypi::start(Style::Json).await;
    let media_types = ["application/vnd.pypi.simple.v1+json", "image/png", ""];
    for media_type in media_types {
        pypi.registry.fail_next_read(Fault::Answer {
            status: 200,
            headers: vec![("content-type", media_type)],
            body: "{\"files\":5}".into(),
            store: false,
        });
        let read = pypi.read_back().await;
        assert!(matches!(read, Err(ReadFault::Malformed(_))), "{media_type}: {read:?}");
    }
    pypi.registry.fail_next_read(Fault::Endless { status: 200 });
    assert!(matches!(pypi.read_back().await, Err(ReadFault::TooLarge)));
}

/// Faults U17, U18, U20, U34: what the registry shows is what is observed.
#[tokio::test]
async fn stale_moved_and_differing_packuments_are_seen() {
    let npm = Npm::start().await;
    npm.send(b"tarball").await.unwrap();
    npm.registry.fail_next_read(Fault::answer(404, "{}", false));
    assert_eq!(npm.seen(b"tarball").await, Seen::Absent);
    npm.registry.change(NPM_NAME, |packument| packument["dist-tags"]["latest"] = json!("9.9.9"));
    assert_eq!(npm.read_back().await.unwrap().dist_tags["latest"], "9.9.9");
    let other = format!("sha512-{}", Sha512::from_bytes([1; 64]).to_base64());
    npm.registry.change(NPM_NAME, |packument| {
        packument["versions"]["1.0.0"]["dist"]["integrity"] = json!(other);
    });
    assert_eq!(npm.seen(b"tarball").await, Seen::Different);
}

/// Fault U27.
#[tokio::test]
async fn a_quarantined_project_is_seen() {
    let pypi = Pypi::start(Style::Json).await;
    pypi.send(b"wheel").await.unwrap();
    assert_eq!(pypi.read_back().await.unwrap().project_status, None);
    pypi.registry.quarantine();
    let status = pypi.read_back().await.unwrap().project_status;
    assert_eq!(status.as_deref(), Some("quarantined"));
}

/// wire.md 3.1: the packument goes through as it is, without the registry's other headers.
#[tokio::test]
async fn a_packument_passes_through_with_safe_headers_alone() {
    let npm = Npm::start().await;
    let package = npm_package();
    let reading = Reading { upstream: &npm.upstream, package: &package, credential: None };
    let absent = npm.client.packument(reading, Conditions::default()).await.unwrap();
    assert_eq!(absent.status, 404);
    npm.send(b"tarball").await.unwrap();
    let accept = http::HeaderValue::from_static("application/vnd.npm.install-v1+json; q=1.0");
    let tag = http::HeaderValue::from_static("\"one\"");
    let conditions = Conditions { accept: Some(&accept), if_none_match: Some(&tag) };
    let passed = npm.client.packument(reading, conditions).await.unwrap();
    assert_eq!(passed.status, 200);
    assert_eq!(passed.headers["etag"], "\"one\"");
    let names: Vec<_> = passed.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let packument: Value = serde_json::from_slice(&passed.body).unwrap();
    assert_eq!(packument["name"], NPM_NAME);
    let seen = npm.registry.listener.seen().pop().unwrap();
    assert_eq!(seen.header("accept"), accept);
    assert_eq!(seen.header("if-none-match"), "\"one\"");
    npm.registry.fail_next_read(Fault::answer(304, "", false));
    let unchanged = npm.client.packument(reading, conditions).await.unwrap();
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
}

/// Rule Q17: reads use the read credential or none, never the publish credential.
#[tokio::test]
async fn reads_carry_only_the_read_credential() {
    let npm = Npm::start().await;
    npm.send(b"tarball").await.unwrap();
    let secret = SecretString::from("read-only");
    let package = npm_package();
    let mut reading = Reading { upstream: &npm.upstream, package: &package, credential: None };
    npm.client.read_back(reading, &npm_version()).await.unwrap();
    reading.credential = Some(&secret);
    npm.client.read_back(reading, &npm_version()).await.unwrap();
    let seen = npm.registry.listener.seen();
    let sent: Vec<_> = seen.iter().map(|seen| seen.header("authorization")).collect();
    assert_eq!(sent, [format!("Bearer {TOKEN}").as_str(), "", "Bearer read-only"]);
}

#[tokio::test]
async fn progress_reaches_the_whole_size() {
    let npm = Npm::start().await;
    let bytes = sample(500_000);
    let (progress, watching) = tokio::sync::watch::channel(0);
    let document = npm_document_of(&bytes, &npm.upstream);
    let sending = Sending {
        upstream: &npm.upstream,
        credential: &SecretString::from(TOKEN),
        username: "",
        document: &document,
        source: Box::new(std::io::Cursor::new(bytes.clone())),
        size: bytes.len() as u64,
        sha256: Sha256::of(&bytes),
        progress: Some(progress),
        until: None,
    };
    assert!(published(&npm.client.send(&npm_package(), sending).await.unwrap()));
    assert_eq!(*watching.borrow(), 500_000);
}

/// A reader that takes its time for each piece.
struct Slow(std::io::Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(20));
        self.0.read(out)
    }
}

/// Rule R3, row R11: not a byte leaves after the time a sender was given, unless it is put off.
#[tokio::test]
async fn a_body_stops_when_its_time_is_over() {
    let bytes = sample(3_000_000);
    for (given, put_off, sent) in [(0, false, false), (120, false, false), (120, true, true)] {
        let npm = Npm::start().await;
        let document = npm_document_of(&bytes, &npm.upstream);
        let now = tokio::time::Instant::now();
        let (until, limit) = tokio::sync::watch::channel(now + Duration::from_millis(given));
        let sending = Sending {
            upstream: &npm.upstream,
            credential: &SecretString::from(TOKEN),
            username: "",
            document: &document,
            source: Box::new(Slow(std::io::Cursor::new(bytes.clone()))),
            size: bytes.len() as u64,
            sha256: Sha256::of(&bytes),
            progress: None,
            until: Some(limit),
        };
        if put_off {
            until.send_replace(now + Duration::from_mins(1));
        }
        let outcome = npm.client.send(&npm_package(), sending).await;
        if sent {
            assert!(published(&outcome.unwrap()));
        } else {
            assert!(matches!(outcome, Err(SendFault::Overdue)), "{given}: {outcome:?}");
            assert!(npm.registry.listener.seen().iter().all(|seen| !seen.complete));
        }
        assert_eq!(npm.registry.count(), usize::from(sent));
    }
}

#[tokio::test]
async fn a_document_of_the_other_protocol_is_not_sent() {
    let npm = Npm::start().await;
    let source: Source = Box::new(std::io::Cursor::new(b"x".to_vec()));
    let mixed = send(&npm.client, &npm.upstream, &pypi_document_of(b"x"), (b"x", source)).await;
    assert!(matches!(mixed, Err(SendFault::Protocol)));
    assert_eq!(npm.registry.listener.connections(), 0);
}
