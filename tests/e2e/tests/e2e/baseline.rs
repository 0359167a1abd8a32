//! The product's own reader at real registries: what a real client published is listed, chosen as the baseline of the
//! next version, and fetched to the byte.

use std::path::Path;

use countersign::domain::artifact::ArtifactKind;
use countersign::domain::digest::Sha256;
use countersign::domain::ids::UpstreamId;
use countersign::domain::package::{Ecosystem, PackageName, Version};
use countersign::domain::review::baseline;
use countersign::domain::upstream::{Expected, Upstream, UpstreamFields};
use countersign::upstream::{Client, Reading, Settings};
use countersign_e2e::ca::Ca;
use countersign_e2e::clients::{Desk, Job, Npm, NpmTarget, PythonTarget};
use countersign_e2e::count;
use countersign_e2e::projects::{self, Backend};
use countersign_e2e::registries::{PythonRegistry, Verdaccio};

/// What a candidate's file of the version 1.1.0 is compared with: version, name and bytes.
async fn baseline_of(
    (kind, url, simple_url): (Ecosystem, &str, Option<&str>),
    name: &str,
    (sort, file): (ArtifactKind, &str),
) -> (String, String, Vec<u8>) {
    let upstream = Upstream::parse(UpstreamFields {
        id: UpstreamId::from_uuid("0193a7c2-5b1e-7d70-9a51-4e1f0e8f2d11".parse().unwrap()),
        name: "Real",
        kind,
        url,
        simple_url,
        files_url: None,
        allow_private: true,
    })
    .unwrap();
    let client = Client::new(Settings::default()).unwrap();
    let package = PackageName::parse(kind, name).unwrap();
    let reading = Reading { upstream: &upstream, package: &package, credential: None };
    let listing = client.listing(reading).await.unwrap();
    let candidate = Version::parse(kind, "1.1.0").unwrap();
    let version = baseline::version(&candidate, Some("latest"), &listing).expect("a baseline");
    let listed = baseline::file(sort, file, version, &listing).expect("a file of its sort");
    let mut download = client.download(reading, listed.url.as_ref(), 1 << 20).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = download.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    match listed.file.strongest() {
        Some(Expected::Sha256(sha256)) => assert_eq!(sha256, Sha256::of(&bytes)),
        Some(Expected::Sha512(_)) => {}
        other => panic!("expected a digest of today: {other:?}"),
    }
    (version.to_string(), listed.file.filename.clone(), bytes)
}

fn desk(dir: &Path) -> Desk {
    Desk::new(&Ca::create(&dir.join("tls")), Job::None)
}

#[tokio::test]
async fn verdaccio_gives_the_tarball_of_the_version_behind_the_tag() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, desk) = (Verdaccio::start().await, desk(dir.path()));
    let target = NpmTarget { url: registry.url.clone(), token: Some(registry.token.clone()) };
    let project = dir.path().join("npm");
    projects::npm(&project, "@octo/hello-wire", "1.0.0");
    let packed = std::fs::read(desk.npm_pack(&project).await).unwrap();
    desk.npm_publish(Npm::V12, &target, &project).await.succeeded();
    let found = baseline_of(
        (Ecosystem::Npm, &registry.url, None),
        "@octo/hello-wire",
        (ArtifactKind::NpmTarball, "hello-wire-1.1.0.tgz"),
    )
    .await;
    assert_eq!(found, ("1.0.0".to_owned(), "hello-wire-1.0.0.tgz".to_owned(), packed));
    count::check("Verdaccio");
}

async fn gives_files_by_their_sort(registry: &PythonRegistry, name: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let target = PythonTarget {
        url: registry.upload_url.clone(),
        username: registry.username.clone(),
        password: registry.password.clone(),
    };
    let folder = dir.path().join("python");
    let project = projects::python(&folder, "hello-wire", "1.0.0", Backend::Hatchling).await;
    desk(dir.path()).twine(&target, &project.files).await.succeeded();
    let place = (Ecosystem::Pypi, &*registry.upload_url, Some(&*registry.simple_url));
    for (sort, candidate, file) in [
        (ArtifactKind::Sdist, "hello_wire-1.1.0.tar.gz", &project.files[0]),
        (ArtifactKind::Wheel, "hello_wire-1.1.0-py3-none-any.whl", &project.files[1]),
    ] {
        let found = baseline_of(place, "hello-wire", (sort, candidate)).await;
        let filename = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(found, ("1.0.0".to_owned(), filename, std::fs::read(file).unwrap()));
    }
    count::check(name);
}

#[tokio::test]
async fn pypiserver_gives_files_by_their_sort() {
    gives_files_by_their_sort(&PythonRegistry::pypiserver().await, "pypiserver").await;
}

#[tokio::test]
async fn devpi_gives_files_by_their_sort() {
    gives_files_by_their_sort(&PythonRegistry::devpi().await, "devpi").await;
}
