//! What a candidate is compared with, against registries that misbehave (rules U1-U3, Q15, Q17).

use countersign::domain::digest::{Sha1, Sha256};
use countersign::domain::ids::{ReleaseId, UpstreamId};
use countersign::domain::package::{Ecosystem, PackageName};
use countersign::domain::upstream::{Upstream, UpstreamFields};
use countersign::pipeline::baseline::{self, Baseline, BaselineFile, Shelf};
use countersign::store::Store;
use countersign::upstream::{Client, ReadFault, Reading, Settings};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha1::Digest as _;

use crate::support::database::on_both;
use crate::support::faults::{Fault, Listener, Seen};
use crate::support::pypi_registry::{PypiRegistry, Style};
use crate::support::setup::count;
use crate::support::world::{NPM_NAME, PUBLISH, READ, World, npm_document, run, sdist, wheel};

/// Reads of files, which are no packument and no page of the index.
fn fetched(listener: &Listener) -> Vec<Seen> {
    let file = |seen: &Seen| seen.path.contains("/-/") || seen.path.starts_with("/files/");
    listener.seen().into_iter().filter(|seen| seen.method == "GET" && file(seen)).collect()
}

async fn find_with(world: &World, shelf: Shelf<'_>, release: ReleaseId) -> Baseline {
    let (record, artifacts) = (world.record(release).await, world.artifacts(release).await);
    baseline::find(shelf, &record, &artifacts, world.now()).await.unwrap().baseline
}

async fn find(world: &World, release: ReleaseId) -> Baseline {
    find_with(world, world.site.app.shelf(), release).await
}

/// A candidate of the npm package that nobody decided about yet.
async fn npm_candidate(world: &World, version: &str) -> ReleaseId {
    world.stage_npm(run(9), &npm_document(version, b"x = 9")).await.unwrap().release
}

/// From now on the registry says this of the tarball of 1.0.0.
fn list(world: &World, member: &str, to: Value) {
    world.npm.change(NPM_NAME, |packument| {
        packument["versions"]["1.0.0"]["dist"][member] = to;
    });
}

/// The version and the only file of a baseline that was found.
#[track_caller]
fn only(found: &Baseline) -> (&str, &BaselineFile) {
    match found {
        Baseline::Found { version, files, .. } if files.len() == 1 => {
            (version, files.values().next().unwrap())
        }
        other => panic!("expected one file: {other:?}"),
    }
}

#[track_caller]
fn unreadable(found: &Baseline) -> (&str, bool) {
    match found {
        Baseline::Unreadable { why, passing } => (why, *passing),
        other => panic!("expected it to be unreadable: {other:?}"),
    }
}

/// Rule Q17: reads carry the read credential, and a kept file is not fetched again.
#[tokio::test]
async fn a_candidate_is_compared_with_what_the_registry_holds_which_is_fetched_once() {
    on_both(|store: Store| async move {
        let world = World::start_with(store, 1, Some(READ)).await;
        world.npm.demand_to_read(READ);
        world.pypi.demand_to_read(READ);
        world.npm.hold(NPM_NAME, "1.0.0", b"tarball of before");
        let candidate = npm_candidate(&world, "1.1.0").await;
        for _ in 0..2 {
            let found = find(&world, candidate).await;
            let (version, file) = only(&found);
            assert_eq!((version, file.filename.as_str()), ("1.0.0", "hello-wire-1.0.0.tgz"));
            assert_eq!(file.sha256, Sha256::of(b"tarball of before"));
            assert_eq!((file.size_bytes, file.sha1_only), (17, false));
            let blobs = &world.site.app.intake.blobs;
            assert_eq!(blobs.verify(file.sha256).await.unwrap(), 17);
        }
        let seen = fetched(&world.npm.listener);
        assert_eq!(seen.len(), 1, "the second look fetches nothing");
        assert_eq!(seen[0].header("authorization"), format!("Bearer {READ}"));

        let before = wheel("1.0.0", "py3", &[]);
        world.pypi.hold(&before.name, &before.bytes);
        let staged = world.stage_python(run(2), &wheel("1.1.0", "py3", &[])).await.unwrap();
        for _ in 0..2 {
            let found = find(&world, staged.release).await;
            let (version, file) = only(&found);
            assert_eq!((version, &file.filename), ("1.0.0", &before.name));
            assert_eq!(file.sha256, Sha256::of(&before.bytes));
        }
        assert_eq!(fetched(&world.pypi.listener).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_this_gateway_published_comes_from_its_blobs_and_is_what_the_registry_lists() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let published = world.approved_npm("1.0.0").await;
        world.forward_to_the_end(published).await;
        let candidate = npm_candidate(&world, "1.1.0").await;
        let found = find(&world, candidate).await;
        let ours = &world.artifacts(published).await[0];
        assert_eq!(only(&found).1.sha256, ours.digests.sha256);
        assert_eq!(fetched(&world.npm.listener).len(), 0);
        // Packages from before 2017 have SHA-1 alone; ours are known by more.
        list(&world, "integrity", json!(null));
        let found = find(&world, candidate).await;
        assert!(!only(&found).1.sha1_only);
        list(&world, "integrity", json!(format!("sha512-{}", "A".repeat(86) + "==")));
        let found = find(&world, candidate).await;
        let (why, passing) = unreadable(&found);
        assert!(why.contains("with other bytes than this gateway published"), "{why}");
        assert!(!passing);
        assert_eq!(fetched(&world.npm.listener).len(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_first_release_has_none_and_a_registry_that_hides_a_package_is_not_a_first_release() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let first = npm_candidate(&world, "1.0.0").await;
        assert_eq!(find(&world, first).await, Baseline::None);
        world.npm.hold(NPM_NAME, "2.0.0", b"higher");
        assert_eq!(find(&world, first).await, Baseline::None, "a higher version is no baseline");

        let published = world.approved_python(&[sdist("1.0.0", &[])]).await;
        world.forward_to_the_end(published).await;
        let next = world.stage_python(run(2), &sdist("1.1.0", &[])).await.unwrap().release;
        world.pypi.demand_to_read("a password nobody has");
        world.pypi.fail_next_read(Fault::answer(404, "not found", false));
        let found = find(&world, next).await;
        assert!(unreadable(&found).0.contains("although this gateway published 1.0.0"));
        let found = find(&world, next).await;
        assert!(unreadable(&found).0.contains("refused to be read with 401"), "{found:?}");
    })
    .await;
}

/// Faults U03, U05, U20, U28: whatever goes wrong is said, and nothing of it is kept.
#[tokio::test]
async fn a_file_that_cannot_be_fetched_as_listed_leaves_nothing_and_is_said_in_words() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        world.npm.hold(NPM_NAME, "1.0.0", b"tarball of before");
        let candidate = npm_candidate(&world, "1.1.0").await;
        let before = world.stock().await;
        let elsewhere = Fault::Answer {
            status: 302,
            headers: vec![("location", "/npm/@octo/hello-wire/-/@octo/hello-wire-1.0.0.tgz")],
            body: String::new(),
            store: false,
        };
        let rows = [
            (Fault::answer(200, "other bytes", false), "has another digest", false),
            (Fault::answer(404, "", false), "answers 404 for it", false),
            (elsewhere, "redirected with 302", false),
            (Fault::Endless { status: 200 }, "a file of at most 1048576 bytes", false),
            (Fault::Huge { status: 200, bytes: 2 << 20 }, "a file of at most 1048576 bytes", false),
            (Fault::answer(403, "no", false), "refused to be read with 403: no", false),
            (Fault::answer(503, "", false), "answered 503", true),
            (Fault::NoAnswer { store: false }, "could not be reached", true),
        ];
        let shelf = Shelf { npm_tarball_bytes: 1 << 20, ..world.site.app.shelf() };
        for (fault, words, may_pass) in rows {
            world.npm.fail_next_read(Fault::Late { pause: std::time::Duration::ZERO, store: true });
            world.npm.fail_next_read(fault);
            let found = find_with(&world, shelf, candidate).await;
            let (why, passing) = unreadable(&found);
            assert!(why.contains(words), "{why}");
            assert_eq!(passing, may_pass, "{why}");
            assert_eq!(world.stock().await, before, "{why}");
            assert_eq!(count(world.store(), "fetched_files").await, 0, "{why}");
        }
        // The same with a listing that cannot be read.
        world.npm.fail_next_read(Fault::answer(200, "[]", false));
        let found = find_with(&world, shelf, candidate).await;
        assert!(unreadable(&found).0.contains("could not be read"), "{found:?}");
        assert_eq!(only(&find_with(&world, shelf, candidate).await).0, "1.0.0");
    })
    .await;
}

/// Rule U3, ruling Q15: the address of a file is the registry's word and no more.
#[tokio::test]
async fn files_at_addresses_that_are_not_configured_are_not_asked_for() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let elsewhere = PypiRegistry::start(PUBLISH, Style::Json).await;
        world.npm.hold(NPM_NAME, "1.0.0", b"tarball of before");
        let candidate = npm_candidate(&world, "1.1.0").await;
        let before = world.stock().await;
        for address in [
            json!(format!("http://{}/files/a.tgz", elsewhere.listener.address)),
            json!(format!("http://localhost:{}/npm/a.tgz", world.npm.listener.address.port())),
            json!(world.npm.url().replace("http://", "http://user:password@")),
            json!("file:///etc/passwd"),
            json!("http://169.254.169.254/latest"),
            json!(null),
        ] {
            list(&world, "tarball", address.clone());
            let found = find(&world, candidate).await;
            let (why, passing) = unreadable(&found);
            assert!(why.contains("is not among the addresses configured"), "{address}: {why}");
            assert!(!why.contains("password") && !passing, "{why}");
        }
        assert_eq!(elsewhere.listener.connections(), 0);
        assert_eq!(fetched(&world.npm.listener).len(), 0);
        assert_eq!(world.stock().await, before);

        let file = wheel("1.0.0", "py3", &[]);
        world.pypi.hold(&file.name, &file.bytes);
        world.pypi.name_files_at(&format!("http://{}/files/", elsewhere.listener.address));
        let staged = world.stage_python(run(2), &wheel("1.1.0", "py3", &[])).await.unwrap();
        let found = find(&world, staged.release).await;
        assert!(unreadable(&found).0.contains("is not among the addresses configured"));
        assert_eq!(elsewhere.listener.connections(), 0);
    })
    .await;
}

#[tokio::test]
async fn python_files_are_compared_by_their_sort_with_a_version_that_is_not_yanked() {
    for style in [Style::Json, Style::Html] {
        on_both(|store: Store| async move {
            let world = World::start_reading(store, style).await;
            let sent = [sdist("1.0.0", &[]), wheel("1.0.0", "py3", &[])];
            let yanked = [sdist("1.1.0", &[]), wheel("1.1.0", "py3", &[])];
            for file in sent.iter().chain(&yanked) {
                world.pypi.hold(&file.name, &file.bytes);
            }
            for file in &yanked {
                world.pypi.yank(&file.name);
            }
            let mut staged = None;
            let new = [sdist("1.2.0", &[]), wheel("1.2.0", "py3", &[]), wheel("1.2.0", "py2", &[])];
            for file in &new {
                staged = Some(world.stage_python(run(1), file).await.unwrap().release);
            }
            let found = find(&world, staged.unwrap()).await;
            let Baseline::Found { version, files, names, .. } = found else { panic!("{found:?}") };
            assert_eq!(names.len(), 2, "{names:?}");
            assert_eq!((version.as_str(), files.len()), ("1.0.0", 3));
            for (file, beside) in [(&new[0], &sent[0]), (&new[1], &sent[1]), (&new[2], &sent[1])] {
                assert_eq!(files[&file.name].filename, beside.name);
                assert_eq!(files[&file.name].sha256, Sha256::of(&beside.bytes));
            }
            assert_eq!(fetched(&world.pypi.listener).len(), 2, "one file is fetched once");
        })
        .await;
    }
}

/// SHA-1 is better than nothing and is said to be weak; nothing at all is refused.
#[tokio::test]
async fn a_tarball_with_sha1_alone_is_marked_and_one_without_a_digest_is_not_fetched() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        world.npm.hold(NPM_NAME, "1.0.0", b"tarball of before");
        let candidate = npm_candidate(&world, "1.1.0").await;
        list(&world, "integrity", json!(null));
        let found = find(&world, candidate).await;
        assert!(unreadable(&found).0.contains("without a digest to check"));
        assert_eq!(fetched(&world.npm.listener).len(), 0);
        let sha1 = sha1::Sha1::digest(b"tarball of before");
        list(&world, "shasum", json!(Sha1::from_bytes(sha1.into())));
        assert!(only(&find(&world, candidate).await).1.sha1_only);
        list(&world, "shasum", json!("06".repeat(20)));
        let found = find(&world, candidate).await;
        assert!(unreadable(&found).0.contains("has another digest"));
    })
    .await;
}

/// Rule U2: the credential of reads goes where it is for and not to the host of the files.
#[tokio::test]
async fn the_read_credential_does_not_go_to_another_host_of_files() {
    let index = PypiRegistry::start(PUBLISH, Style::Json).await;
    let files = PypiRegistry::start(PUBLISH, Style::Json).await;
    for registry in [&index, &files] {
        registry.hold("a.whl", b"bytes");
    }
    let (simple, elsewhere) = (index.simple_url(), files.simple_url().replace("simple", "files"));
    let upstream = Upstream::parse(UpstreamFields {
        id: UpstreamId::from_uuid(uuid::Uuid::from_u128(1)),
        name: "Index",
        kind: Ecosystem::Pypi,
        url: &index.upload_url(),
        simple_url: Some(&simple),
        files_url: Some(&elsewhere),
        allow_private: true,
    })
    .unwrap();
    let client = Client::new(Settings::default()).unwrap();
    let package = PackageName::parse(Ecosystem::Pypi, "hello-wire").unwrap();
    let secret = SecretString::from(READ);
    let reading = Reading { upstream: &upstream, package: &package, credential: Some(&secret) };
    let fetch = async |base: &str| {
        let url = url::Url::parse(&format!("{base}a.whl#sha256=x")).unwrap();
        let mut download = client.download(reading, Some(&url), 100).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = download.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok::<_, ReadFault>(bytes)
    };
    assert_eq!(fetch(&elsewhere).await.unwrap(), b"bytes");
    assert_eq!(fetch(&simple.replace("simple", "files")).await.unwrap(), b"bytes");
    assert_eq!(fetched(&files.listener)[0].header("authorization"), "");
    assert!(fetched(&index.listener)[0].header("authorization").starts_with("Basic "));
    assert!(matches!(fetch(&files.simple_url()).await, Err(ReadFault::Address(_))));
}
