//! The registries on loopback start, take a publish from a real client, and give the same bytes back.

use countersign_e2e::ca::Ca;
use countersign_e2e::clients::{Desk, Job, Npm, NpmTarget, PythonTarget};
use countersign_e2e::count;
use countersign_e2e::projects::{self, Backend};
use countersign_e2e::registries::{PythonRegistry, Verdaccio};
use tempfile::TempDir;

fn desk(dir: &TempDir) -> Desk {
    Desk::new(&Ca::create(&dir.path().join("tls")), Job::None)
}

#[tokio::test]
async fn verdaccio_takes_a_publish_and_npm_installs_it() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, desk) = (Verdaccio::start().await, desk(&dir));
    let project = dir.path().join("npm");
    projects::npm(&project, "@octo/hello-wire", "1.0.0");
    let target = NpmTarget { url: registry.url.clone(), token: Some(registry.token.clone()) };
    let packed = std::fs::read(desk.npm_pack(&project).await).unwrap();
    assert_eq!(registry.tarball("@octo/hello-wire", "1.0.0").await, None);
    desk.npm_publish(Npm::V12, &target, &project).await.succeeded();
    assert_eq!(registry.tarball("@octo/hello-wire", "1.0.0").await, Some(packed));
    count::check("Verdaccio");

    let fresh = dir.path().join("fresh");
    std::fs::create_dir(&fresh).unwrap();
    desk.npm_install(&target, &fresh, "@octo/hello-wire@1.0.0").await.succeeded();
    let ran = desk
        .program("npm install", &fresh.join("node_modules/.bin/hello-wire"), &[])
        .await
        .succeeded();
    assert_eq!(ran.stdout.trim(), "hello from @octo/hello-wire 1.0.0");
}

async fn takes_and_gives_back(registry: &PythonRegistry, name: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir);
    let project =
        projects::python(&dir.path().join("python"), "hello-wire", "1.0.0", Backend::Hatchling)
            .await;
    let target = PythonTarget {
        url: registry.upload_url.clone(),
        username: registry.username.clone(),
        password: registry.password.clone(),
    };
    assert_eq!(registry.file("hello-wire", "hello_wire-1.0.0.tar.gz").await, None);
    desk.twine(&target, &project.files).await.succeeded();
    for file in &project.files {
        let filename = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            registry.file("hello-wire", filename).await,
            Some(std::fs::read(file).unwrap()),
            "{filename}"
        );
    }
    count::check(name);
    let wrong = PythonTarget { password: "wrong".to_string(), ..target };
    desk.twine(&wrong, &project.files[..1]).await.failed_showing("40");
}

#[tokio::test]
async fn pypiserver_takes_a_publish_and_pip_installs_it() {
    let registry = PythonRegistry::pypiserver().await;
    takes_and_gives_back(&registry, "pypiserver").await;
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir);
    desk.pip_install(&registry.simple_url, dir.path(), "hello-wire==1.0.0").await.succeeded();
    let ran =
        desk.program("pip install", &dir.path().join("venv/bin/hello-wire"), &[]).await.succeeded();
    assert_eq!(ran.stdout.trim(), "hello from hello-wire 1.0.0");
}

#[tokio::test]
async fn devpi_takes_a_publish() {
    let registry = PythonRegistry::devpi().await;
    takes_and_gives_back(&registry, "devpi").await;
}
